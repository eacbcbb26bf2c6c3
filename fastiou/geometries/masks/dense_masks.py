"""Arguments of dense masks, packed where they lie."""

from __future__ import annotations

import contextlib
from typing import Any

from fastiou.arrays.inputs import Input, mask_array, masks_on_gpu
from fastiou.geometries.masks.packing import Packed, pack_dense, pack_on_gpu

__all__ = ["read_dense"]


def read_dense(name: str, value: Any) -> tuple[Packed, Input]:
    """A dense argument as bits, and what it came as."""
    on_gpu = masks_on_gpu(name, value)
    if on_gpu is not None and on_gpu[0].gpu is not None:
        given, array = on_gpu
        with contextlib.suppress(MemoryError):  # of the GPU; the host may have more
            return pack_on_gpu(array, on_gpu[0].gpu), given
    given = mask_array(name, value)
    return pack_dense(given.array), given
