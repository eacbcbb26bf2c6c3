"""Masks made of boxes, and of other masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.checks import check_choice, true_or_false
from fastiou.geometries.masks.mask_set import (
    Masks,
    as_masks,
    masks_of_runs,
    runs_of_masks,
)
from fastiou.geometries.masks.polygons import rasterise_corners
from fastiou.geometries.masks.run_lengths import image_size
from fastiou.geometries.masks.unpacking import complements
from fastiou.geometries.table import FORMATS, convert_widely, geometry_of
from fastiou.runtime import memory

__all__ = ["boxes_to_masks", "merge_masks"]

#: Geometries of the plane that have corners.
FLAT = ("box", "rotated box", "quadrilateral")

#: Which numbers of (left, top, right, bottom) are the corners of a box, in COCO's order.
CORNERS = [0, 1, 0, 3, 2, 3, 2, 1]


def boxes_to_masks(boxes: Any, size: tuple[int, int], fmt: str = "xyxy") -> Masks:
    """Draw boxes as masks, to the same pixels as pycocotools.

    Parameters
    ----------
    boxes : array_like, shape (N, 4), (N, 5) or (N, 8)
        Boxes, rotated boxes or quadrilaterals in pixels, as in `box_iou`.
    size : (height, width)
        The size of the image. What lies outside is cut off.
    fmt
        What the numbers are, as in `box_iou`.

    Returns
    -------
    Masks
        One mask for each box.

    Raises
    ------
    TypeError, ValueError
        As `box_iou`; a box has a NaN or lies too far away, or there is no size.
    MemoryError
        The bits would not fit in memory.

    Examples
    --------
    >>> import fastiou
    >>> masks = fastiou.boxes_to_masks([[1, 0, 3, 2], [2, 1, 9, 9]], (3, 4))
    >>> masks.to_dense().astype(int)
    array([[[0, 1, 1, 0],
            [0, 1, 1, 0],
            [0, 0, 0, 0]],
    <BLANKLINE>
           [[0, 0, 0, 0],
            [0, 0, 1, 1],
            [0, 0, 1, 1]]])
    """
    check_choice("fmt", fmt, [name for name, row in FORMATS.items() if row.name in FLAT])
    given = geometry_of(fmt).read("boxes", boxes, fmt, batches=False)
    height, width = image_size("size", size)
    if FORMATS[fmt].load() is FORMATS["xyxy"].load():
        left_top_right_bottom = convert_widely(given, "xyxy")
        left_top_right_bottom[:, 2:] = np.maximum(
            left_top_right_bottom[:, :2], left_top_right_bottom[:, 2:]
        )
        corners = left_top_right_bottom[:, CORNERS]
    else:
        corners = convert_widely(given, "xyxyxyxy")
    count = len(corners)
    sizes = np.empty((count, 2), np.int64)
    sizes[:] = height, width
    with memory.in_words("boxes", "pass fewer at a time"):
        runs = rasterise_corners(
            lambda row: f"boxes[{row}]", corners.reshape(-1, 2), 4 * np.arange(count + 1), sizes,
            (height, width),
        )  # fmt: skip
        return masks_of_runs(runs)


def merge_masks(masks: Any, *, intersect: bool = False) -> Masks:
    """Make one mask of many: all pixels that any of them has, or that all have.

    Parameters
    ----------
    masks : Masks, array_like or list of dict
        Masks of one size, as in `mask_iou`.
    intersect : bool
        Take only the pixels that all masks have.

    Returns
    -------
    Masks
        One mask. Of no masks it is empty.

    Raises
    ------
    TypeError, ValueError
        As `mask_iou`.
    MemoryError
        The bits would not fit in memory.

    Examples
    --------
    >>> import fastiou
    >>> masks = fastiou.Masks.from_dense([[[1, 1, 0]], [[0, 1, 1]]])
    >>> fastiou.merge_masks(masks).to_dense().astype(int)
    array([[[1, 1, 1]]])
    >>> fastiou.merge_masks(masks, intersect=True).to_dense().astype(int)
    array([[[0, 1, 0]]])
    """
    intersect = true_or_false("intersect", intersect)
    given = as_masks("masks", masks)[0]
    if len(given) == 1:
        return given
    if not len(given):
        height, width = given.shape[1:]
        return Masks.from_rle([{"size": [height, width], "counts": [height * width]}])
    runs, all_of_them = runs_of_masks(given), np.array([0, len(given)])
    if not intersect:
        return masks_of_runs(runs, all_of_them)
    # What not one mask leaves out.
    left_out = masks_of_runs(complements(runs), all_of_them)
    return masks_of_runs(complements(runs_of_masks(left_out)))
