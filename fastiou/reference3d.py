"""The oracle of boxes in space and of intervals, beside `reference`, of which it has the divisions.

It computes in float64, and rounds the scores to the dtype that the contract gives the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou import reference

__all__ = ["axis_aligned_iou", "yawed_iou"]

Array = npt.NDArray[Any]

quotient, of_areas = reference._quotient, reference._of_areas


def axis_aligned_iou(
    members1: npt.ArrayLike, members2: npt.ArrayLike, fmt: str, *, metric: str = "iou"
) -> Array:
    """Dense scores of 3-D boxes and intervals as `fastiou.box_iou` must give them, within rounding.

    Parameters
    ----------
    members1, members2 : array_like, shapes (N, 2 * D) and (M, 2 * D)
        Members along D axes: both ends as "xyzxyz" and "xx", or the centre and the sizes.
    fmt, metric
        As in `fastiou.box_iou`.

    Examples
    --------
    >>> from fastiou import reference3d
    >>> reference3d.axis_aligned_iou([[0, 0, 0, 2, 2, 2]], [[1, 0, 0, 3, 2, 2]], "xyzxyz").round(6)
    array([[0.333333]])
    >>> reference3d.axis_aligned_iou([[0, 10]], [[5, 15], [20, 30]], "xx", metric="giou").round(6)
    array([[ 0.333333, -0.333333]])
    """
    axes = 1 if fmt == "xx" else 3
    given = [np.asarray(members).reshape(-1, 2 * axes) for members in (members1, members2)]
    single = all(members.dtype.kind == "f" and members.dtype.itemsize <= 4 for members in given)
    a, b = (members.astype(np.float64) for members in given)
    missing = np.isnan(a).any(-1, keepdims=True) | np.isnan(b).any(-1)
    lows, highs = [], []
    for members in (a, b):
        low, high = members[:, :axes], members[:, axes:]
        if fmt == "cxcyczwhd":
            low, high = low - high / 2, low + high / 2
        lows.append(low)
        highs.append(np.maximum(low, high))
    low1, low2, high1, high2 = lows[0][:, None], lows[1][None], highs[0][:, None], highs[1][None]
    size1, size2 = (high1 - low1).prod(-1), (high2 - low2).prod(-1)
    shared = np.maximum(np.minimum(high1, high2) - np.maximum(low1, low2), 0).prod(-1)
    if metric in ("giou", "diou"):
        sides = np.maximum(high1, high2) - np.minimum(low1, low2)
        union = size1 + size2 - shared
        hull, diagonal = sides.prod(-1), (sides**2).sum(-1)
        distance = (((low1 + high1) / 2 - (low2 + high2) / 2) ** 2).sum(-1)
        lost = quotient(hull - union, hull) if metric == "giou" else quotient(distance, diagonal)
        result = quotient(shared, union) - lost
    else:
        result = of_areas(metric, shared, size1, size2, 0)
    result[missing] = np.nan
    return result.astype(np.float32 if single else np.float64)


def yawed_iou(
    boxes1: npt.ArrayLike, boxes2: npt.ArrayLike, fmt: str = "xyzwhdr", *, metric: str = "iou"
) -> Array:
    """Dense scores of 3-D boxes with yaw as `fastiou.box_iou` must give them, within rounding.

    Seen from above they are rotated boxes; what they share is the area of those times the height
    of both.

    Examples
    --------
    >>> from fastiou import reference3d
    >>> reference3d.yawed_iou([[0, 0, 0, 2, 2, 2, 0]], [[0, 0, 1, 2, 2, 2, 0]]).round(6)
    array([[0.333333]])
    """
    given = [np.asarray(boxes).reshape(-1, 7) for boxes in (boxes1, boxes2)]
    single = all(boxes.dtype.kind == "f" and boxes.dtype.itemsize <= 4 for boxes in given)
    a, b = (boxes.astype(np.float64) for boxes in given)
    missing = np.isnan(a).any(-1, keepdims=True) | np.isnan(b).any(-1)
    proper1, proper2 = (np.nan_to_num(boxes)[:, 3:6].min(-1) > 0 for boxes in (a, b))
    above = [0, 1, 3, 4, 6]
    areas = reference.rotated_iou(a[:, above], b[:, above], "cxcywhr-rad-cw", metric="intersection")
    middles = []
    for boxes in (a, b):
        middles.append(boxes[:, 2] + (boxes[:, 5] / 2 if fmt.endswith("bottom") else 0))
    half1, half2 = a[:, 5, None] / 2, b[None, :, 5] / 2
    apart = np.abs(middles[0][:, None] - middles[1])
    heights = np.minimum(half1 + half2 - apart, 2 * np.minimum(half1, half2))
    shared = np.maximum(heights, 0) * areas
    shared[~(proper1[:, None] & proper2)] = 0
    size1, size2 = (
        np.where(proper, boxes[:, 3:6].prod(-1), 0)
        for boxes, proper in ((a, proper1), (b, proper2))
    )
    result = of_areas(metric, shared, size1[:, None], size2[None], 0)
    result[missing] = np.nan
    return result.astype(np.float32 if single else np.float64)
