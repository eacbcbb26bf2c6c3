"""Sizes of images as files tell them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.formats.errors import FileError
from fastiou.tables.layouts import extents
from fastiou.typing import Array

__all__ = ["Size", "are_sizes", "mask_size", "size_described", "sizes_in_columns"]

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


def sizes_in_columns(
    images: Array | None, sides: Sequence[Array], boxes: Array, fmt: str
) -> dict[int | str, Size]:
    """The sizes of images that a table tells beside each box; none if they may be anything else.

    Parameters
    ----------
    images
        The image of each box, if the table tells it.
    sides
        Width and height beside each box; none if there are no such columns.
    boxes, fmt
        The boxes, (N, numbers of the layout), and their layout.
    """
    if images is None or not len(boxes) or any(side.dtype.kind != "i" for side in sides):
        return {}
    axes = list(zip(extents(boxes, fmt), sides, strict=False))
    # Sizes of boxes are another in each row, and boxes lie within their images.
    inside = all(((low >= 0) & (high <= side)).all() for (low, high), side in axes)
    if len(axes) < 2 or not inside or not are_sizes(np.stack(sides, axis=1)).all():
        return {}
    rows = zip(images.tolist(), *(side.tolist() for side in reversed(sides)), strict=True)
    told: dict[int | str, Size] = {}
    for image, height, width in rows:
        if told.setdefault(image, (height, width)) != (height, width):
            return {}
    return told
