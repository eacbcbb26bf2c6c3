"""`powerboxes`: distances of boxes, 1 minus their scores. ``docs/compat.md`` has what differs."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastiou
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = [
    "box_convert",
    "boxes_areas",
    "ciou_distance",
    "diou_distance",
    "giou_distance",
    "iou_distance",
    "masks_to_boxes",
    "nms",
    "parallel_giou_distance",
    "parallel_iou_distance",
    "parallel_rotated_giou_distance",
    "parallel_rotated_iou_distance",
    "parallel_rotated_tiou_distance",
    "remove_small_boxes",
    "rotated_giou_distance",
    "rotated_iou_distance",
    "rotated_nms",
    "rotated_tiou_distance",
    "rtree_nms",
    "rtree_rotated_nms",
    "supported_dtypes",
    "tiou_distance",
]

supported_dtypes = [
    *("float64", "float32", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
]  # fmt: skip

#: Those of functions that need fractions, and of those that search a tree there.
FLOATS = ("float64", "float32")
SIGNED = (*FLOATS, "int16", "int32", "int64")

#: Rotated boxes turn clockwise.
ROTATED = "cxcywhr-cw"


# ---- distances ---------------------------------------------------------------------------------


def iou_distance(boxes1: Any, boxes2: Any) -> Array:
    """1 - IoU of all boxes with all, float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import powerboxes
    >>> powerboxes.iou_distance(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]]))
    array([[0.66666667]])
    """
    return _distances(boxes1, boxes2, "iou", supported_dtypes)


def giou_distance(boxes1: Any, boxes2: Any) -> Array:
    """1 - GIoU of all boxes with all, float64."""
    return _distances(boxes1, boxes2, "giou", supported_dtypes)


def diou_distance(boxes1: Any, boxes2: Any) -> Array:
    """1 - DIoU of all boxes with all, float64."""
    return _distances(boxes1, boxes2, "diou", FLOATS)


def ciou_distance(boxes1: Any, boxes2: Any) -> Array:
    """1 - CIoU of all boxes with all, float64."""
    return _distances(boxes1, boxes2, "ciou", FLOATS)


def tiou_distance(boxes1: Any, boxes2: Any) -> Array:
    """1 - the smaller area over the smallest box around both, of all boxes with all, float64."""
    _check_pair(boxes1, boxes2, supported_dtypes)
    one, other = boxes1.astype(np.float64), boxes2.astype(np.float64)
    return _tiou_distances(
        one, other, (one[:, :2], one[:, 2:]), (other[:, :2], other[:, 2:]), "xyxy"
    )


def rotated_iou_distance(boxes1: Any, boxes2: Any) -> Array:
    """1 - IoU of all rotated boxes with all: centre, width, height, clockwise degrees; float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import powerboxes
    >>> boxes = np.array([[5.0, 5, 4, 2, 0], [5, 5, 2, 4, 90]])
    >>> powerboxes.rotated_iou_distance(boxes[:1], boxes)
    array([[0., 0.]])
    """
    one, other = _rotated(boxes1, boxes2)
    return 1 - _scores(one, other, ROTATED, "iou")


def rotated_giou_distance(boxes1: Any, boxes2: Any) -> Array:
    """1 - GIoU of all rotated boxes with all, by the upright box around both; float64."""
    one, other = _rotated(boxes1, boxes2)
    shared = _scores(one, other, ROTATED, "intersection")
    areas1, areas2 = (fastiou.box_area(boxes, ROTATED) for boxes in (one, other))
    with np.errstate(invalid="ignore"):
        shares = (areas1[:, None] + areas2 - shared) / _hulls(_bounds(one), _bounds(other))
    distances: Array = 2 - _scores(one, other, ROTATED, "iou") - shares
    return distances


def rotated_tiou_distance(boxes1: Any, boxes2: Any) -> Array:
    """1 - the smaller area over the upright box around both, of all rotated boxes with all."""
    one, other = _rotated(boxes1, boxes2)
    return _tiou_distances(one, other, _bounds(one), _bounds(other), ROTATED)


def _tiou_distances(one: Array, other: Array, bounds1: Any, bounds2: Any, fmt: str) -> Array:
    areas1, areas2 = (fastiou.box_area(boxes, fmt) for boxes in (one, other))
    with np.errstate(invalid="ignore"):  # around two boxes at one point
        distances: Array = 1 - np.minimum(areas1[:, None], areas2) / _hulls(bounds1, bounds2)
    return distances


def _hulls(bounds1: tuple[Array, Array], bounds2: tuple[Array, Array]) -> Array:
    """Areas of the boxes around two boxes, by their lowest and highest corners."""
    (low1, high1), (low2, high2) = bounds1, bounds2
    sides = np.maximum(high1[:, None], high2) - np.minimum(low1[:, None], low2)
    areas: Array = sides.prod(axis=-1)
    return areas


# Here all use several threads, where there is enough to do.
parallel_iou_distance = iou_distance
parallel_giou_distance = giou_distance
parallel_rotated_iou_distance = rotated_iou_distance
parallel_rotated_giou_distance = rotated_giou_distance
parallel_rotated_tiou_distance = rotated_tiou_distance


def _distances(boxes1: Any, boxes2: Any, metric: str, dtypes: Any) -> Array:
    """1 - a score in float64, NaN where both boxes are empty and meet: 0 / 0."""
    _check_pair(boxes1, boxes2, dtypes)
    if boxes1.dtype == np.float32:
        boxes1, boxes2 = boxes1.astype(np.float64), boxes2.astype(np.float64)
    distances = 1 - _scores(boxes1, boxes2, "xyxy", metric)
    empty1, empty2 = (fastiou.box_area(boxes) == 0 for boxes in (boxes1, boxes2))
    if empty1.any() and empty2.any():
        both = np.ix_(empty1, empty2)
        one, other = boxes1[empty1][:, None], boxes2[empty2]
        low, high = (
            np.maximum(one[..., :2], other[..., :2]),
            np.minimum(one[..., 2:], other[..., 2:]),
        )
        undefined = (low <= high).all(axis=-1)
        if metric == "giou":
            sides = np.maximum(one[..., 2:], other[..., 2:]) - np.minimum(
                one[..., :2], other[..., :2]
            )
            undefined |= (sides == 0).any(axis=-1)
        distances[both] = np.where(undefined, np.nan, distances[both])
    return distances


def _scores(one: Array, other: Array, fmt: str, metric: str) -> Array:
    scores: Array = fastiou.box_iou(one, other, fmt, metric=metric)
    return scores


def _rotated(boxes1: Any, boxes2: Any) -> tuple[Array, Array]:
    _check_arrays(boxes1=boxes1, boxes2=boxes2)
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        _check_dtype(name, boxes, ("float64",))
    return boxes1, boxes2


def _bounds(boxes: Array) -> tuple[Array, Array]:
    """The lowest and the highest corner of the upright box around each rotated box."""
    corners = fastiou.box_convert(boxes, ROTATED, "xyxyxyxy").reshape(-1, 4, 2)
    return corners.min(axis=1), corners.max(axis=1)


# ---- boxes -------------------------------------------------------------------------------------


def boxes_areas(boxes: Any) -> Array:
    """Areas of boxes, float64."""
    _check_arrays(boxes=boxes)
    _check_dtype("boxes", boxes, supported_dtypes)
    areas: Array = fastiou.box_area(boxes.astype(np.float64) if _is_float(boxes) else boxes)
    return areas


def remove_small_boxes(boxes: Any, min_size: float) -> Array:
    """The boxes whose area is at least `min_size`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import powerboxes
    >>> powerboxes.remove_small_boxes(np.array([[0, 0, 9, 9], [0, 0, 2, 2]]), 5)
    array([[0, 0, 9, 9]])
    """
    kept: Array = boxes[boxes_areas(boxes) >= min_size]
    return kept


def box_convert(boxes: Any, in_fmt: str, out_fmt: str) -> Array:
    """Boxes in another format, of the same dtype: halves of integers are cut off.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import powerboxes
    >>> powerboxes.box_convert(np.array([[0, 0, 9, 4]]), "xyxy", "cxcywh")
    array([[4, 2, 9, 4]])
    """
    _check_arrays(boxes=boxes)
    _check_dtype("boxes", boxes, supported_dtypes)
    if not _is_float(boxes) and in_fmt == "cxcywh" and in_fmt != out_fmt:
        # Half a side is cut off, and not the corner that it leads to.
        sides = boxes[:, 2:].astype(np.int64)
        low = boxes[:, :2].astype(np.int64) - np.trunc(sides / 2).astype(np.int64)
        high = boxes[:, :2].astype(np.int64) + np.trunc(sides / 2).astype(np.int64)
        whole = np.hstack([low, high if out_fmt == "xyxy" else sides])
        return whole.astype(boxes.dtype)
    converted: Array = fastiou.box_convert(boxes, in_fmt, out_fmt)
    if _is_float(boxes):
        return converted
    return np.trunc(converted).astype(np.int64).astype(boxes.dtype)


def masks_to_boxes(masks: Any) -> Array:
    """Boxes (left, top, right, bottom) of boolean masks, uint64, with the last pixel in them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import powerboxes
    >>> powerboxes.masks_to_boxes(np.array([[[False, True, True], [False, True, False]]]))
    array([[1, 0, 2, 1]], dtype=uint64)
    """
    _check_arrays(masks=masks)
    _check_dtype("masks", masks, ("bool",))
    boxes: Array = fastiou.masks_to_boxes(masks).astype(np.uint64)
    return boxes


# ---- suppression -------------------------------------------------------------------------------


def nms(boxes: Any, scores: Any, iou_threshold: float, score_threshold: float) -> Array:
    """Positions of boxes that are kept, uint64, by descending score; see `fastiou.nms`.

    Scores count from `score_threshold` on, if that is more than 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import powerboxes
    >>> boxes = np.array([[0.0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]])
    >>> powerboxes.nms(boxes, np.array([0.8, 0.9, 0.1]), 0.5, 0.2)
    array([1], dtype=uint64)
    """
    return _kept(boxes, scores, iou_threshold, score_threshold, "xyxy", supported_dtypes)


def rtree_nms(boxes: Any, scores: Any, iou_threshold: float, score_threshold: float) -> Array:
    """As `nms`, of signed integers and floats."""
    return _kept(boxes, scores, iou_threshold, score_threshold, "xyxy", SIGNED)


def rotated_nms(boxes: Any, scores: Any, iou_threshold: float, score_threshold: float) -> Array:
    """As `nms`, of rotated boxes."""
    return _kept(boxes, scores, iou_threshold, score_threshold, ROTATED, supported_dtypes)


def rtree_rotated_nms(
    boxes: Any, scores: Any, iou_threshold: float, score_threshold: float
) -> Array:
    """As `nms`, of rotated boxes of signed integers and floats."""
    return _kept(boxes, scores, iou_threshold, score_threshold, ROTATED, SIGNED)


def _kept(
    boxes: Any, scores: Any, iou_threshold: float, score_threshold: float, fmt: str, dtypes: Any
) -> Array:
    _check_arrays(boxes=boxes, scores=scores)
    _check_dtype("boxes", boxes, dtypes)
    least = score_threshold if score_threshold > 0 else None
    wide = boxes.astype(np.float64) if _is_float(boxes) else boxes
    kept: Array = fastiou.nms(wide, scores, iou_threshold, fmt=fmt, score_threshold=least)
    return kept.astype(np.uint64)


# ---- arguments ---------------------------------------------------------------------------------


def _is_float(boxes: Array) -> bool:
    return boxes.dtype.kind == "f"


def _check_arrays(**arrays: Any) -> None:
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name} must be a NumPy array, got {described(array)}")


def _check_pair(boxes1: Any, boxes2: Any, dtypes: Any) -> None:
    _check_arrays(boxes1=boxes1, boxes2=boxes2)
    if boxes1.dtype != boxes2.dtype:
        raise ValueError(
            f"boxes1 and boxes2 must have the same dtype, got {boxes1.dtype} and {boxes2.dtype}"
        )
    _check_dtype("boxes1 and boxes2", boxes1, dtypes)


def _check_dtype(name: str, array: Array, dtypes: Any) -> None:
    if array.dtype.name not in dtypes:
        raise TypeError(
            f"{name} must have one of the dtypes {', '.join(dtypes)}, got {array.dtype}"
        )
