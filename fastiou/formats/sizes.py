"""Sizes of images as files tell them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastiou.formats.errors import FileError
from fastiou.typing import Array

__all__ = ["Size", "are_sizes", "mask_size", "size_described"]

#: Height and width of an image.
Size = tuple[int, int]


def mask_size(path: Path, name: str, value: Any, where: str, remedy: str = "") -> Size:
    """The size of an image that `value` says, checked; a remedy ends the message."""
    from fastiou.geometries.masks.run_lengths import image_size

    try:
        return image_size(name, value)
    except (TypeError, ValueError) as error:
        raise FileError(path, f"{error}{remedy}", None, where) from None


def are_sizes(sizes: Array) -> Array:
    """Which of some heights and widths, (n, 2), `mask_size` accepts: bool, (n,)."""
    from fastiou.geometries.masks.run_lengths import MAX_PIXELS, MAX_SIDE

    inside: Any = ((sizes >= 0) & (sizes <= MAX_SIDE)).all(axis=1)
    # What overflows is none.
    accepted: Array = inside & (sizes[:, 0] * sizes[:, 1] <= MAX_PIXELS)
    return accepted


def size_described(size: Size | None) -> str:
    """A size as it may stand in a message."""
    return "without a size" if size is None else f"{size[0]} × {size[1]} pixels"
