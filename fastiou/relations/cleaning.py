"""What detectors do to boxes before they are scored: cut off at the image, leave out small ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.checks import check_choice, finite_number
from fastiou.arrays.inputs import hand_back
from fastiou.geometries.boxes import BOX
from fastiou.geometries.masks.run_lengths import image_size
from fastiou.geometries.table import convert_members, convert_widely

__all__ = ["clip_boxes", "remove_small_boxes"]

#: Formats of boxes whose sides lie along the axes.
UPRIGHT = ("xyxy", "xywh", "cxcywh")


def clip_boxes(boxes: Any, size: tuple[int, int], fmt: str = "xyxy") -> Any:
    """Cut boxes off at the edges of an image.

    Parameters
    ----------
    boxes : array_like, shape (..., N, 4)
        Boxes, as in `box_iou`. An infinite corner is cut off, too.
    size : (height, width)
        The size of the image.
    fmt : {"xyxy", "xywh", "cxcywh"}
        What the numbers are, as in `box_iou`.

    Returns
    -------
    array, shape (..., N, 4)
        A new array of the dtype of the input; float64 for integers as "xywh" or "cxcywh", and
        float32 for bfloat16. NaN stays NaN. A box outside the image lies on its edge, with an area
        of 0.

    Raises
    ------
    TypeError, ValueError
        Not boxes, another format, no size, or an infinite number that is no corner.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.clip_boxes([[-2, 5, 30, 40], [90, 5, 99, 9]], (20, 80))
    array([[ 0,  5, 30, 20],
           [80,  5, 80,  9]])
    """
    check_choice("fmt", fmt, UPRIGHT)
    given = BOX.read("boxes", boxes, fmt, batches=True)
    height, width = image_size("size", size)
    corners = given.array
    if fmt != "xyxy":
        is_float = corners.dtype.kind == "f"
        corners = convert_widely(given, "xyxy") if is_float else convert_members(given, "xyxy")
    ends = [width, height, width, height]
    if corners.dtype.kind in "biu":
        # A side beyond the largest number of a narrow type cuts nothing off.
        corners = corners.astype(np.uint8) if corners.dtype.kind == "b" else corners
        ends = [min(end, int(np.iinfo(corners.dtype).max)) for end in ends]
    with np.errstate(over="ignore"):  # of a float16, for which a large side is infinite
        clipped = np.clip(corners, 0, np.array(ends).astype(corners.dtype))
    if fmt != "xyxy":
        made = convert_members(given._replace(held=clipped, fmt="xyxy"), fmt)
        if is_float:  # which are what they were, where nothing is cut off
            made = made.astype(given.array.dtype)
            same = (clipped == corners).all(axis=-1, keepdims=True)
            made = np.where(same, given.array, made)
        clipped = made
    return hand_back(clipped, given)


def remove_small_boxes(boxes: Any, min_size: float, fmt: str = "xyxy") -> Any:
    """Find the boxes of which both sides are long enough.

    Parameters
    ----------
    boxes : array_like, shape (N, 4)
        Boxes, as in `box_iou`.
    min_size : float
        The least width and height, in units of the boxes, rounded to the dtype of floats.
    fmt : {"xyxy", "xywh", "cxcywh"}
        What the numbers are, as in `box_iou`.

    Returns
    -------
    array of int64
        Positions of those that stay, ascending. A box with a NaN does not.

    Raises
    ------
    TypeError, ValueError
        Not boxes, another format, an infinite number, or `min_size` is no finite number.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.remove_small_boxes([[0, 0, 9, 9], [0, 0, 9, 2], [4, 4, 8, 8]], 4)
    array([0, 2])
    """
    check_choice("fmt", fmt, UPRIGHT)
    given = BOX.read("boxes", boxes, fmt, batches=False)
    least = finite_number("min_size", min_size)
    sides = convert_members(given, "xywh")[:, 2:]
    return hand_back(np.flatnonzero((sides >= sides.dtype.type(least)).all(axis=1)), given)
