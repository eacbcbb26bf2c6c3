"""`lsnms`: suppression and clustering of very many boxes. ``docs/compat.md`` has what differs."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastiou
from fastiou.arrays.inputs import plain_array
from fastiou.typing import Array

__all__ = ["nms", "wbc"]


def nms(
    boxes: Any,
    scores: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.0,
    class_ids: Any = None,
    rtree_leaf_size: int = 32,
    backend: Any = "rust",
) -> Array:
    """Positions of boxes that are kept, uint64, by descending score.

    A box is suppressed whose IoU with one that is kept is `iou_threshold` or more. Scores count
    from `score_threshold` on. `rtree_leaf_size` and `backend` change nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import lsnms
    >>> boxes = np.array([[0, 0, 10, 1], [9, 0, 10, 1], [5, 5, 6, 6]])
    >>> lsnms.nms(boxes, np.array([0.9, 0.8, 0.7]), iou_threshold=0.1)
    array([0, 2], dtype=uint64)
    """
    own = _chosen(boxes, scores, iou_threshold, score_threshold, class_ids, np.float32)
    kept = fastiou.nms(own.boxes, own.scores, own.below, groups=own.classes)
    positions: Array = own.positions[kept].astype(np.uint64)
    return positions


def wbc(
    boxes: Any,
    scores: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.0,
    iou_reweight: bool = False,
    cutoff_distance: Any = None,
    tree: Any = None,
) -> tuple[Array, Array, list[tuple[int, Array]]]:
    """Boxes averaged with those that they absorb: weighted box clustering; float64.

    A box absorbs those whose IoU with it is `iou_threshold` or more; `iou_reweight` weighs them by
    it. Scores count that are more than `score_threshold`. `cutoff_distance` and `tree` change
    nothing.

    Returns
    -------
    tuple
        The boxes (K, 4) and scores (K,) of the clusters; and for each the position of its best box,
        and those of all.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import lsnms
    >>> boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    >>> lsnms.wbc(boxes, np.array([0.5, 0.7, 0.1]))[:2]
    (array([[ 0. ,  0. , 10. ,  9.5],
           [20. , 20. , 30. , 30. ]]), array([0.6, 0.1]))
    """
    own = _chosen(boxes, scores, iou_threshold, score_threshold, None, np.float64)
    if not len(own.boxes):
        return np.empty((0, 4)), np.empty(0), []
    least = max(iou_threshold, np.finfo(np.float64).tiny)
    merged = fastiou.non_max_merge(own.boxes, own.scores, least)
    weights = np.ones(len(merged.members))
    if iou_reweight:
        heads = merged.owners[merged.members]
        others = merged.members != heads
        weights[others] = fastiou.box_iou(
            own.boxes[heads[others]], own.boxes[merged.members[others]], aligned=True
        )
    begins = merged.offsets[:-1]
    both = np.column_stack([own.boxes, own.scores])[merged.members] * weights[:, None]
    means = np.add.reduceat(both, begins) / np.add.reduceat(weights, begins)[:, None]
    clusters = [
        (int(own.positions[cluster[0]]), own.positions[np.sort(cluster)])
        for cluster in merged.clusters
    ]
    return means[:, :4], means[:, 4], clusters


class _Chosen:
    """The boxes that count, and what their IoU must be more than to be suppressed."""

    def __init__(
        self, boxes: Array, scores: Array, below: float, classes: Array | None, positions: Array
    ) -> None:
        self.boxes, self.scores, self.below = boxes, scores, below
        self.classes, self.positions = classes, positions


def _chosen(
    boxes: Any,
    scores: Any,
    iou_threshold: float,
    score_threshold: float,
    class_ids: Any,
    usual: type[np.floating[Any]],
) -> _Chosen:
    """Arguments, checked; floats of 32 bits where `usual` is that and none has 64."""
    own_boxes, own_scores = plain_array("boxes", boxes), plain_array("scores", scores)
    if own_boxes.dtype != np.float64:
        own_boxes = own_boxes.astype(usual)
    if own_boxes.ndim != 2 or own_boxes.shape[1] != 4:
        if own_boxes.size:
            raise ValueError(f"boxes must have the shape (N, 4), got {own_boxes.shape}")
        own_boxes = own_boxes.reshape(0, 4)
    count = len(own_boxes)
    if own_scores.shape != (count,):
        raise ValueError(f"scores must have the shape ({count},), got {own_scores.shape}")
    for name, value in (("iou_threshold", iou_threshold), ("score_threshold", score_threshold)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be between 0 and 1, got {value}")
    inverted = (own_boxes[:, 2:] < own_boxes[:, :2]).any(axis=1)
    if inverted.any():
        row = int(inverted.argmax())
        raise ValueError(
            "boxes must be (left, top, right, bottom) with left <= right and top <= bottom, got "
            f"{own_boxes[row].tolist()} in row {row}"
        )
    classes = None
    if class_ids is not None:
        classes = plain_array("class_ids", class_ids)
        if classes.dtype.kind not in "iu" or classes.shape != (count,) or (classes < 0).any():
            raise ValueError(
                f"class_ids must be {count} integers from 0 on, got the shape {classes.shape} and "
                f"dtype {classes.dtype}" + (" with numbers below 0" if classes.size else "")
            )
    # A box with a NaN is left out, and so is a score that is one.
    is_enough = np.greater_equal if usual is np.float32 else np.greater
    counts = is_enough(own_scores, score_threshold) & ~np.isnan(own_boxes).any(axis=1)
    positions = np.flatnonzero(counts)
    kind = own_boxes.dtype.type
    below = max(0.0, float(np.nextafter(kind(iou_threshold), kind(-1))))
    chosen_classes = None if classes is None else classes[positions]
    return _Chosen(own_boxes[positions], own_scores[positions], below, chosen_classes, positions)
