"""Objects of two label images, matched at many thresholds after one pass over the pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastiou.relations.match import match_pairs
from fastiou.relations.pairs import Pairs
from fastiou.segmentation.labels import count_pairs, label_areas
from fastiou.typing import Array

__all__ = ["CRITERIA", "MatchedImage", "match_labels"]


#: What a pair is judged by: the intersection over the union, the true or the predicted object.
CRITERIA = ("iou", "iot", "iop")


class _Overlaps(NamedTuple):
    """The pairs of objects that share pixels, sorted by true and then predicted object."""

    #: Labels of the objects, ascending, and their pixels, float64.
    labels: tuple[Array, Array]
    areas: tuple[Array, Array]
    #: (pair,) int64: numbers of the true and the predicted object.
    true: Array
    pred: Array
    #: (pair,) float64: shared pixels.
    shared: Array


class MatchedImage(NamedTuple):
    """What the scores of an image follow from. T is the number of thresholds."""

    n_true: int
    n_pred: int
    #: (T,) int64: how many objects are matched.
    matched: Array
    #: (T,) float64: the sums of their scores, each a sum of float32 in float32.
    score_sums: Array
    #: Pixels of intersections and of unions, as the aggregated Jaccard index adds them up.
    intersection: int
    union: int
    #: All pairs that share pixels: true and predicted label, and score, float32.
    pairs: tuple[Array, Array, Array]
    #: For each threshold, the numbers of the pairs that are matched, ascending.
    chosen: tuple[Array, ...]


def match_labels(true: Array, pred: Array, limits: Array, criterion: str) -> MatchedImage:
    """Match the objects of two label images at each of the thresholds.

    Parameters
    ----------
    true, pred
        Label images of one shape; 0 is background.
    limits
        (T,) float32: what a pair scores at least.
    criterion
        One of `CRITERIA`.

    Raises
    ------
    ValueError
        A label is negative.
    """
    overlaps = _overlaps(true, pred)
    sizes = len(overlaps.labels[0]), len(overlaps.labels[1])
    area1, area2 = overlaps.areas[0][overlaps.true], overlaps.areas[1][overlaps.pred]
    unions = area1 + area2 - overlaps.shared
    wholes = {"iou": unions, "iot": area1, "iop": area2}[criterion]
    scores = (overlaps.shared / wholes).astype(np.float32)
    chosen = [_chosen(overlaps, scores, limit, criterion) for limit in limits]
    intersection, union = _aggregated(overlaps, unions)
    return MatchedImage(
        *sizes,
        np.array([len(own) for own in chosen], np.int64),
        np.array([scores[own].sum() for own in chosen], np.float64),
        intersection,
        union,
        (overlaps.labels[0][overlaps.true], overlaps.labels[1][overlaps.pred], scores),
        tuple(chosen),
    )


def _overlaps(true: Array, pred: Array) -> _Overlaps:
    """The overlaps of all objects, of which background is none."""
    rows, cols, counts = count_pairs(true, pred)
    labels, areas, numbers = [], [], []
    for name, column in (("target", rows), ("pred", cols)):
        known, pixels, places = label_areas(column, counts)
        if len(known) and known[0] < 0:
            raise ValueError(f"{name} must hold labels of at least 0, got {known[0]}")
        behind = int(len(known) > 0 and known[0] == 0)
        labels.append(known[behind:])
        areas.append(pixels[behind:])
        numbers.append(places - behind)
    kept = np.flatnonzero((numbers[0] >= 0) & (numbers[1] >= 0))
    return _Overlaps(
        (labels[0], labels[1]), (areas[0], areas[1]),
        numbers[0][kept], numbers[1][kept], counts[kept].astype(np.float64),
    )  # fmt: skip


def _chosen(overlaps: _Overlaps, scores: Array, limit: np.float32, criterion: str) -> Array:
    """Numbers of the pairs that are matched at a threshold.

    There are as many as there can be. Where that leaves a choice, the sum of the scores of all
    partners decides, of which some may score less than the threshold.
    """
    enough = scores >= limit
    own = np.flatnonzero(enough)
    # Two objects have more than half of their union in common with no others.
    if criterion == "iou" and limit > 0.5:
        return own
    sizes = len(overlaps.labels[0]), len(overlaps.labels[1])
    if all(
        np.bincount(numbers[own], minlength=1).max() <= 1
        for numbers in (overlaps.true, overlaps.pred)
    ):
        return own
    weights = enough.astype(np.float64) + scores / np.float32(2 * min(sizes))
    pairs = Pairs(overlaps.true, overlaps.pred, weights, sizes, len(scores))
    rows, cols, *_ = match_pairs(pairs, "optimal")
    partners = np.full(sizes[0], -1)
    partners[rows] = cols
    return np.flatnonzero(enough & (partners[overlaps.true] == overlaps.pred))


def _aggregated(overlaps: _Overlaps, unions: Array) -> tuple[int, int]:
    """Pixels of intersections and unions of true objects and the predicted ones of highest IoU.

    Several true objects may have the same one. Those without a partner, on either side, add their
    own pixels to the unions.
    """
    true, pred, shared = overlaps.true, overlaps.pred, overlaps.shared
    begins = np.flatnonzero(np.diff(true, prepend=-1))
    ious = shared / unions
    highest = np.maximum.reduceat(ious, begins) if len(begins) else ious
    best = np.flatnonzero(ious == np.repeat(highest, np.diff(begins, append=len(true))))
    best = best[np.flatnonzero(np.diff(true[best], prepend=-1))]  # of equal ones, the first
    alone = 0
    for areas, numbers in zip(overlaps.areas, (true[best], pred[best]), strict=True):
        is_alone = np.ones(len(areas), np.bool_)
        is_alone[numbers] = False
        alone += int(areas[is_alone].sum())
    return int(shared[best].sum()), int(unions[best].sum()) + alone
