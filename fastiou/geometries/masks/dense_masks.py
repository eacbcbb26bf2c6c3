"""Arguments of dense masks, packed where they lie.

Floats are masks where all are whole numbers. Others are probabilities, of which nearly all are not
0: as masks, two of them would cover everything and score 1.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastiou.arrays.checks import finite_number
from fastiou.arrays.inputs import Input, mask_array, masks_on_gpu
from fastiou.geometries.masks.packing import Packed, pack_dense, pack_on_gpu
from fastiou.typing import Array

__all__ = ["dense_on_gpu", "read_dense"]


#: Sides of the smallest image of colours that is told from masks.
LEAST_SIDE = 8

#: Pixels that are looked at in one call of NumPy's: they fit in a cache.
PIXELS_AT_A_TIME = 1 << 17


def dense_on_gpu(name: str, value: Any) -> tuple[Input, Any] | None:
    """A dense argument on a GPU, not copied, and its pixels (n, h, w) as kernels read them.

    None for any other. Whether floats are whole numbers is not known yet.
    """
    found = masks_on_gpu(name, value)
    if found is not None:
        _refuse_colours(name, found[1])
    return found


def read_dense(name: str, value: Any, threshold: Any = None) -> tuple[Packed, Input]:
    """A dense argument as bits, and what it came as.

    Without a threshold what is not 0 is foreground, and with it what is more.
    """
    if threshold is not None:
        least = finite_number("threshold", threshold)
        given = mask_array(name, value)
        _refuse_colours(name, given.array)
        above = functools.partial(_above, name, threshold=least)
        return pack_dense(given.array, above), given
    on_gpu = dense_on_gpu(name, value)
    if on_gpu is not None:
        given, pixels = on_gpu
        assert given.gpu is not None
        with contextlib.suppress(MemoryError):  # of the GPU; the host may have more
            packed = pack_on_gpu(pixels, given.gpu)
            if packed is not None:  # otherwise the host finds what is to be refused
                return packed, given
    given = mask_array(name, value)
    _refuse_colours(name, given.array)
    whole = functools.partial(_not_zero, name) if given.array.dtype.kind == "f" else None
    return pack_dense(given.array, whole), given


def _refuse_colours(name: str, array: Any) -> None:
    """Raise a ValueError for what is rather an image (H, W, 3) of bytes than H masks."""
    shape = tuple(map(int, array.shape))
    if str(array.dtype).endswith("uint8") and shape[-1] in (3, 4) and min(shape[:2]) >= LEAST_SIDE:
        raise ValueError(
            f"{name} must be masks of shape (N, H, W), got shape {shape} and dtype uint8, as an "
            f"image of colours has; if these are {shape[0]:,} masks, pass {name} != 0"
        )


def _not_zero(name: str, masks: Array, first: int) -> Array:
    """Which pixels of floats are not 0; all must be whole."""
    foreground = np.empty(masks.shape, np.bool_)
    for part in _parts(masks):
        pixels = masks[part]
        with np.errstate(invalid="ignore"):
            rest = np.subtract(pixels, np.trunc(pixels))  # NaN where a pixel is infinite or NaN
        if rest.any():
            place = np.unravel_index(int((rest != 0).argmax()), rest.shape)
            k, row, column = _place_of(part, place, first)
            raise ValueError(
                f"{name} must hold whole numbers, got {float(pixels[place])} in mask {k} at row "
                f"{row}, column {column}; probabilities become masks by "
                f"Masks.from_dense({name}, threshold=0.5)"
            )
        np.not_equal(pixels, 0, out=foreground[part])
    return foreground


def _above(name: str, masks: Array, first: int, *, threshold: float) -> Array:
    """Which pixels are more than a threshold, compared as they are, without rounding either."""
    if masks.dtype.kind != "f":
        if masks.dtype.kind == "b":  # over other memory, booleans may be any byte
            masks = (masks.view(np.uint8) != 0).view(np.uint8)
        limits, bound = np.iinfo(masks.dtype), math.floor(threshold)
        if not limits.min <= bound <= limits.max:
            return np.full(masks.shape, bound < limits.min)
        return _greater(masks, masks.dtype.type(bound))
    for part in _parts(masks):
        missing = np.isnan(masks[part])
        if missing.any():
            place = np.unravel_index(int(missing.argmax()), missing.shape)
            k, row, column = _place_of(part, place, first)
            raise ValueError(
                f"{name} must hold numbers, got nan in mask {k} at row {row}, column {column}"
            )
    # An array of one: of a scalar NumPy 1 makes the type of the masks.
    return _greater(masks, np.full(1, threshold))


def _greater(masks: Array, least: Any) -> Array:
    """Which pixels are greater, in C order."""
    greater = np.empty(masks.shape, np.bool_)
    for part in _parts(masks):
        np.greater(masks[part], least, out=greater[part])
    return greater


def _parts(masks: Array) -> Iterator[tuple[slice, slice]]:
    """Parts of masks (n, h, w) to be looked at one after the other, between which Ctrl-C works."""
    count, height, width = masks.shape
    some = max(1, PIXELS_AT_A_TIME // max(height * width, 1))
    rows = height if some > 1 else max(1, PIXELS_AT_A_TIME // max(width, 1))
    for first in range(0, count, some):
        for top in range(0, height, max(rows, 1)):
            yield slice(first, first + some), slice(top, top + rows)


def _place_of(
    part: tuple[slice, slice], place: tuple[Any, ...], first: int
) -> tuple[int, int, int]:
    """Mask, row and column of a place in a part of the masks from `first` on."""
    k, row, column = map(int, place)
    return first + part[0].start + k, part[1].start + row, column
