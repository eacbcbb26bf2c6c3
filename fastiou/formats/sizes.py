"""Sizes of images as files tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastiou.formats.content import whole_number_in
from fastiou.formats.errors import FileError, shortened
from fastiou.tables.layouts import extents
from fastiou.typing import Array

__all__ = ["ColumnSizes", "Size", "are_sizes", "mask_size", "size_described", "sizes_in_columns"]

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


class ColumnSizes(NamedTuple):
    """What columns tell of the sizes of images."""

    #: By images, None where several or none is told; none at all if no columns tell sizes.
    sizes: dict[int | str, Size | None]
    #: What is said of images without one.
    words: tuple[str, ...] = ()
    #: The names of the columns.
    names: tuple[str, ...] = ()


def sizes_in_columns(
    images: Array | None, pairs: Sequence[Mapping[str, Array]], boxes: Array, fmt: str
) -> ColumnSizes:
    """The sizes of images that the first of some pairs of columns tells that are no sizes of boxes.

    Parameters
    ----------
    images
        The image of each box; None where the table is of one image, "".
    pairs
        Width and height beside each box, by their names.
    boxes, fmt
        The boxes, (N, numbers of the layout), and their layout.
    """
    images = np.full(len(boxes), "") if images is None else images
    told = (_sizes_of_pair(images, pair, boxes, fmt) for pair in pairs)
    return next((found for found in told if found.names), ColumnSizes({}))


def _sizes_of_pair(images: Any, sides: Mapping[str, Array], boxes: Array, fmt: str) -> ColumnSizes:
    axes = list(zip(extents(boxes, fmt), map(_whole, sides.values()), strict=False))
    if not len(boxes) or len(axes) < 2:
        return ColumnSizes({})
    # A box may end on the first pixel behind it, or on its last one.
    own = np.all([np.abs(high - low - side) <= 1 for (low, high), side in axes], axis=0)
    if np.count_nonzero(own) > len(boxes) / 2:
        return ColumnSizes({})
    rows = np.stack([side for _, side in reversed(axes)], axis=1)
    valid = are_sizes(rows) & (rows > 0).all(axis=1)
    told: dict[int | str, set[Size]] = {image: set() for image in images.tolist()}
    for image, (height, width) in zip(images[valid].tolist(), rows[valid].tolist(), strict=True):
        told[image].add((height, width))
    wrong = [image for image, sizes in told.items() if len(sizes) != 1]
    if len(wrong) == len(told):
        return ColumnSizes({})
    words = ""
    if wrong:
        which = f"no size or several of {len(wrong):,} of {len(told):,} images"
        words = f"{' and '.join(sides)} tell {which}, such as {shortened(str(wrong[0]))}"
    known = {image: min(sizes) if len(sizes) == 1 else None for image, sizes in told.items()}
    return ColumnSizes(known, (words,) if words else (), tuple(sides))


def _whole(column: Array) -> Array:
    """Numbers of a column that are whole, and 0 where it has something else."""
    if column.dtype.kind == "i":
        return column
    numbers = [whole_number_in(cell) or 0 for cell in column.tolist()]
    return np.array(numbers, np.int64)
