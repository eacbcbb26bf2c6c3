"""Overlaps and suppression of `supervision`. ``docs/compat.md`` has what differs.

`predictions` are rows of left, top, right, bottom and score, and a class where there are six. Equal
scores come in the order of `numpy.argsort`, turned round, as there: of a few the later row first.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np

import fastiou
from fastiou.arrays.inputs import plain_array
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = [
    "OverlapMetric",
    "box_iou",
    "box_iou_batch",
    "box_iou_batch_with_jaccard",
    "box_non_max_merge",
    "box_non_max_suppression",
    "box_soft_non_max_suppression",
    "mask_iou_batch",
    "mask_non_max_merge",
    "mask_non_max_suppression",
    "mask_soft_non_max_suppression",
    "oriented_box_iou_batch",
    "oriented_box_non_max_merge",
    "oriented_box_non_max_suppression",
]

SINGLE, DOUBLE = np.float32, np.float64

#: Pixels up to which supervision scores masks in float32.
COUNTED_IN_SINGLE = 2**24

CORNERS = "xyxyxyxy"


class OverlapMetric(Enum):
    """The intersection over the union, or over the smaller area."""

    IOU = "IOU"
    IOS = "IOS"


def _metric(given: Any) -> str:
    """The name here of an overlap metric, of supervision's own type, too."""
    name = str(getattr(given, "value", given)).upper()
    if name not in ("IOU", "IOS"):
        raise ValueError(f"overlap_metric must be IOU or IOS, got {described(given)}")
    return name.lower()


# ---- scores ------------------------------------------------------------------------------------


def box_iou(box_true: Any, box_detection: Any, overlap_metric: Any = OverlapMetric.IOU) -> float:
    """The overlap of two boxes.

    Examples
    --------
    >>> from fastiou.compat import supervision as sv
    >>> sv.box_iou([100, 100, 200, 200], [150, 150, 250, 250], "IOS")
    0.25
    """
    one, other = (plain_array("box", box)[None] for box in (box_true, box_detection))
    return float(fastiou.box_iou(_wide(one), _wide(other), metric=_metric(overlap_metric))[0, 0])


def box_iou_batch(
    boxes_true: Any, boxes_detection: Any, overlap_metric: Any = OverlapMetric.IOU
) -> Array:
    """Overlaps (N, M) of all boxes with all, float32.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import supervision as sv
    >>> boxes = np.array([[100, 100, 200, 200], [300, 300, 400, 400]])
    >>> sv.box_iou_batch(boxes, np.array([[150, 150, 250, 250]]))
    array([[0.14285715],
           [0.        ]], dtype=float32)
    """
    one, other = (_wide(plain_array("boxes", boxes)) for boxes in (boxes_true, boxes_detection))
    scores: Array = fastiou.box_iou(one, other, metric=_metric(overlap_metric))
    return scores.astype(SINGLE)


def box_iou_batch_with_jaccard(boxes_true: Any, boxes_detection: Any, is_crowd: Any) -> Array:
    """IoU (detections, truth) of boxes (left, top, width, height), float64, with crowds.

    Examples
    --------
    >>> from fastiou.compat import supervision as sv
    >>> sv.box_iou_batch_with_jaccard([[1, 0, 2, 2], [0, 0, 4, 4]], [[0, 0, 2, 2]], [False, True])
    array([[0.33333333, 1.        ]])
    """
    if len(is_crowd) != len(boxes_true):
        raise ValueError(
            f"is_crowd must have the length of boxes_true, {len(boxes_true)}, got {len(is_crowd)}"
        )
    found, true = (
        np.asarray(boxes, DOUBLE).reshape(-1, 4) for boxes in (boxes_detection, boxes_true)
    )
    crowds = np.asarray(is_crowd, np.bool_)
    scores: Array = fastiou.box_iou(found, true, "xywh", iscrowd=crowds)
    return scores


def mask_iou_batch(
    masks_true: Any,
    masks_detection: Any,
    overlap_metric: Any = OverlapMetric.IOU,
    memory_limit: int = 1024 * 5,
) -> Array:
    """Overlaps (N, M) of all masks with all, float64 that were rounded to float32.

    `memory_limit` changes nothing: masks are packed to bits.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import supervision as sv
    >>> sv.mask_iou_batch(np.ones((1, 2, 3), bool), np.eye(3)[None, :2] > 0)
    array([[0.33333334]])
    """
    one, other = (_masks(name, masks) for name, masks in _named(masks_true, masks_detection))
    if one.shape[1:] != other.shape[1:]:
        raise ValueError(
            "masks_true and masks_detection must have one size, got "
            f"{one.shape[1:]} and {other.shape[1:]}"
        )
    scores: Array = fastiou.mask_iou(one, other, metric=_metric(overlap_metric))
    if one.shape[1] * one.shape[2] > COUNTED_IN_SINGLE:
        return scores
    return scores.astype(SINGLE).astype(DOUBLE)


def oriented_box_iou_batch(
    boxes_true: Any, boxes_detection: Any, overlap_metric: Any = OverlapMetric.IOU
) -> Array:
    """Overlaps (N, M) of all convex quadrilaterals (N, 4, 2) or (N, 8) with all, float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import supervision as sv
    >>> boxes = np.array([[[0, 0], [4, 0], [4, 2], [0, 2]], [[0, 0], [2, 0], [2, 2], [0, 2]]])
    >>> sv.oriented_box_iou_batch(boxes[:1], boxes)
    array([[1. , 0.5]])
    """
    one, other = (_quadrilaterals("boxes", boxes) for boxes in (boxes_true, boxes_detection))
    scores: Array = fastiou.box_iou(one, other, CORNERS, metric=_metric(overlap_metric))
    return scores


# ---- suppression -------------------------------------------------------------------------------


def box_non_max_suppression(
    predictions: Any, iou_threshold: float = 0.5, overlap_metric: Any = OverlapMetric.IOU
) -> Array:
    """Which boxes are kept, in the order in which they came: bool.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import supervision as sv
    >>> sv.box_non_max_suppression(np.array([[0, 0, 4, 4, 0.9, 0], [0, 0, 4, 4, 0.9, 0]]))
    array([False,  True])
    """
    rows = _rows(predictions)
    limit = _above_in_single(_checked(iou_threshold))
    return _kept(rows, _wide(rows[:, :4]), limit, overlap_metric, "xyxy")


def mask_non_max_suppression(
    predictions: Any,
    masks: Any,
    iou_threshold: float = 0.5,
    overlap_metric: Any = OverlapMetric.IOU,
    mask_dimension: int = 640,
) -> Array:
    """As `box_non_max_suppression`, by the overlap of masks; `mask_dimension` changes nothing."""
    rows, packed = _rows(predictions), _masks("masks", masks)
    limit = _above_in_single(_checked(iou_threshold))
    return _kept(rows, packed, limit, overlap_metric, "xyxy")


def oriented_box_non_max_suppression(
    predictions: Any,
    oriented_boxes: Any,
    iou_threshold: float = 0.5,
    overlap_metric: Any = OverlapMetric.IOU,
) -> Array:
    """As `box_non_max_suppression`, by the overlap of quadrilaterals."""
    rows = _rows(predictions)
    boxes = _quadrilaterals("oriented_boxes", oriented_boxes)
    return _kept(rows, boxes, _checked(iou_threshold), overlap_metric, CORNERS)


def _kept(rows: Array, members: Any, limit: float, metric: Any, fmt: str) -> Array:
    _check_length(rows, members)
    order = _by_score(rows)
    kept = fastiou.nms(
        members[order], rows[order, 4], limit, groups=_classes(rows)[order],
        metric=_metric(metric), fmt=fmt,
    )  # fmt: skip
    flags = np.zeros(len(rows), np.bool_)
    flags[order[kept]] = True
    return flags


def box_soft_non_max_suppression(
    predictions: Any, sigma: float = 0.5, overlap_metric: Any = OverlapMetric.IOU
) -> Array:
    """The lowered scores of all boxes, in the order in which they came.

    A score is multiplied by ``exp(-v² / sigma)`` for each ``v``, the overlap with a box of its
    class that scored higher before.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import supervision as sv
    >>> rows = np.array([[0, 0, 4, 4, 0.9, 0], [0, 0, 4, 4, 0.8, 0]])
    >>> sv.box_soft_non_max_suppression(rows).round(6)
    array([0.9     , 0.108268])
    """
    rows = _rows(predictions)
    return _lowered(rows, _wide(rows[:, :4]), sigma, overlap_metric)


def mask_soft_non_max_suppression(
    predictions: Any,
    masks: Any,
    sigma: float = 0.5,
    overlap_metric: Any = OverlapMetric.IOU,
    mask_dimension: int = 640,
) -> Array:
    """As `box_soft_non_max_suppression`, by the overlap of masks."""
    return _lowered(_rows(predictions), _masks("masks", masks), sigma, overlap_metric)


def _lowered(rows: Array, members: Any, sigma: float, metric: Any) -> Array:
    if not sigma > 0:
        raise ValueError(f"sigma must be greater than 0, got {sigma}")
    _check_length(rows, members)
    order = _by_score(rows)
    pairs = fastiou.pairs(
        members[order], threshold=np.finfo(SINGLE).tiny, metric=_metric(metric),
        groups=_classes(rows)[order],
    )  # fmt: skip
    sums = np.bincount(pairs.cols, pairs.values**2, len(rows))
    scores: Array = rows[:, 4].astype(np.result_type(rows.dtype, SINGLE))
    scores[order] *= np.exp(-sums / sigma).astype(scores.dtype)
    return scores


# ---- merging -----------------------------------------------------------------------------------


def box_non_max_merge(
    predictions: Any, iou_threshold: float = 0.5, overlap_metric: Any = OverlapMetric.IOU
) -> list[list[int]]:
    """Positions of boxes that belong together, class by class; the best of each comes first.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import supervision as sv
    >>> sv.box_non_max_merge(np.array([[0, 0, 4, 4, 0.9, 0], [0, 0, 4, 4, 0.8, 0]]))
    [[0, 1]]
    """
    rows = _rows(predictions)
    # The threshold becomes a float32 there.
    limit = _from_in_single(SINGLE(_checked(iou_threshold)))
    return _merged(rows, _wide(rows[:, :4]), limit, overlap_metric, "xyxy")


def oriented_box_non_max_merge(
    predictions: Any,
    oriented_boxes: Any,
    iou_threshold: float = 0.5,
    overlap_metric: Any = OverlapMetric.IOU,
) -> list[list[int]]:
    """As `box_non_max_merge`, by the overlap of quadrilaterals."""
    rows = _rows(predictions)
    boxes = _quadrilaterals("oriented_boxes", oriented_boxes)
    return _merged(rows, boxes, _checked(iou_threshold), overlap_metric, CORNERS)


def mask_non_max_merge(
    predictions: Any,
    masks: Any,
    iou_threshold: float = 0.5,
    *args: Any,
    overlap_metric: Any = OverlapMetric.IOU,
    mask_dimension: int = 640,
) -> list[list[int]]:
    """As `box_non_max_merge`, by the overlap with the union of the masks that were merged before.

    `mask_dimension` changes nothing.
    """
    rows, packed = _rows(predictions), _masks("masks", masks)
    for given in args:
        overlap_metric = overlap_metric if isinstance(given, int) else given
    metric, limit = _metric(overlap_metric), _checked(iou_threshold)
    _check_length(rows, packed)

    def joined(order: Array) -> list[list[int]]:
        """Clusters of rows in this order."""
        clusters = []
        while len(order):
            candidate, cluster, order = packed[order[:1]], [int(order[0])], order[1:]
            while len(order):
                scores = fastiou.mask_iou(packed[order], candidate, metric=metric)[:, 0]
                near = scores.astype(SINGLE).astype(DOUBLE) >= limit
                if not near.any():
                    break
                union = fastiou.Masks.concatenate([packed[order[near]], candidate])
                candidate = fastiou.merge_masks(union)
                cluster += order[near].tolist()
                order = order[~near]
            clusters.append(cluster)
        return clusters

    return _class_by_class(rows, joined)


def _merged(rows: Array, members: Any, limit: float, metric: Any, fmt: str) -> list[list[int]]:
    _check_length(rows, members)
    if limit <= 0:  # all of a class are one
        return _class_by_class(rows, lambda order: [order.tolist()])
    order = np.concatenate([np.empty(0, np.int64), *_in_classes(rows)])
    merged = fastiou.non_max_merge(
        members[order], rows[order, 4], limit, groups=_classes(rows)[order],
        metric=_metric(metric), fmt=fmt,
    )  # fmt: skip
    clusters: list[list[int]] = [order[cluster].tolist() for cluster in merged.clusters]
    classes = _classes(rows)
    return sorted(clusters, key=lambda cluster: int(classes[cluster[0]]))


def _class_by_class(rows: Array, joined: Callable[[Array], list[list[int]]]) -> list[list[int]]:
    """What is joined of each class, whose rows are by descending score."""
    return [cluster for order in _in_classes(rows) for cluster in joined(order)]


def _in_classes(rows: Array) -> list[Array]:
    """The rows of each class by descending score."""
    classes = _classes(rows)
    of_each = [np.flatnonzero(classes == label) for label in range(classes.max(initial=-1) + 1)]
    return [own[_by_score(rows[own])] for own in of_each]


def _by_score(rows: Array) -> Array:
    # Not a stable sort: equal scores come in the order that supervision has.
    order: Array = rows[:, 4].argsort()[::-1]
    return order


# ---- arguments ---------------------------------------------------------------------------------


def _wide(boxes: Array) -> Array:
    """Floats in float64; integers are exact as they are."""
    return boxes.astype(DOUBLE) if boxes.dtype.kind == "f" else boxes


def _rows(predictions: Any) -> Array:
    rows = plain_array("predictions", predictions)
    if rows.ndim != 2 or rows.shape[1] not in (5, 6):
        raise ValueError(f"predictions must have the shape (N, 5) or (N, 6), got {rows.shape}")
    return rows


def _classes(rows: Array) -> Array:
    """Classes as numbers from 0, in their order."""
    if rows.shape[1] == 5:
        return np.zeros(len(rows), np.int64)
    return np.unique(rows[:, 5], return_inverse=True)[1].reshape(-1)


def _named(masks_true: Any, masks_detection: Any) -> list[tuple[str, Any]]:
    return [("masks_true", masks_true), ("masks_detection", masks_detection)]


def _masks(name: str, value: Any) -> fastiou.Masks:
    """Masks as bits: of an array, or of what becomes one."""
    if isinstance(value, fastiou.Masks):
        return value
    array = np.asarray(value)
    if array.ndim != 3:
        raise ValueError(f"{name} must have the shape (N, H, W), got {array.shape}")
    return fastiou.Masks.from_dense(array)


def _quadrilaterals(name: str, value: Any) -> Array:
    array = plain_array(name, value)
    if array.shape[1:] not in ((4, 2), (8,)):
        raise ValueError(f"{name} must have the shape (N, 4, 2) or (N, 8), got {array.shape}")
    return _wide(array.reshape(-1, 8))


def _check_length(rows: Array, members: Any) -> None:
    if len(rows) != len(members):
        raise ValueError(
            f"predictions must be as many as what they are of, got {len(rows)} and {len(members)}"
        )


def _checked(iou_threshold: float) -> float:
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be between 0 and 1, got {iou_threshold}")
    return float(iou_threshold)


# supervision rounds overlaps to float32 before it compares them. What is compared here is float64.


def _from_in_single(least: Any) -> float:
    """The least float64 that is rounded to this float32, or to a larger one."""
    middle = (DOUBLE(np.nextafter(least, SINGLE(-1))) + DOUBLE(least)) / 2
    # Halfway it is rounded to the even one of both.
    return float(middle if SINGLE(middle) == least else np.nextafter(middle, DOUBLE(1)))


def _above_in_single(threshold: float) -> float:
    """What a float64 is more than just where it is rounded to a float32 above the threshold."""
    least = SINGLE(threshold)
    while DOUBLE(least) <= threshold:
        least = np.nextafter(least, SINGLE(2))
    return min(1.0, float(np.nextafter(_from_in_single(least), -1.0)))
