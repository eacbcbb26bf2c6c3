"""Weighted boxes fusion: the boxes of several detectors as one set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastiou.arrays.checks import check_choice, finite_number, score_array, threshold_number
from fastiou.arrays.inputs import hand_back, plain_array, result_dtype
from fastiou.cpu.fusion import LANES, fusion_kernel
from fastiou.geometries.box_columns import limits
from fastiou.geometries.boxes import BOX
from fastiou.geometries.table import convert_members, convert_widely
from fastiou.metrics import METRICS
from fastiou.relations import small
from fastiou.relations.cleaning import UPRIGHT
from fastiou.relations.nms import by_score
from fastiou.runtime import steps
from fastiou.typing import Array

__all__ = ["Fused", "weighted_boxes_fusion"]

#: Work of having a box join its cluster, in scores.
SCORES_TO_FUSE = 64

#: More detectors than anybody has.
MOST_MODELS = 10_000


@dataclass(frozen=True, eq=False)
class Fused:
    """Boxes that were fused, by descending score.

    Iterating gives `boxes`, `scores` and `indices`, so that they can be unpacked.

    Attributes
    ----------
    boxes : array, shape (K, 4)
        The mean of the boxes of each cluster, weighted by their scores.
    scores : array of float64, shape (K,)
    indices : array of int64, shape (K,)
        Position of the best box of each cluster, by which its class is found.
    owners : array of int64, shape (N,)
        The cluster that each box belongs to; -1 if its score is too low.
    """

    boxes: Any
    scores: Any
    indices: Any
    owners: Any

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.boxes, self.scores, self.indices))

    def __repr__(self) -> str:
        return f"<Fused: {len(self.owners):,} boxes to {len(self):,}>"


def weighted_boxes_fusion(
    boxes: Any,
    scores: Any,
    threshold: float = 0.55,
    *,
    groups: Any = None,
    models: Any = None,
    weights: Any = None,
    method: str = "avg",
    score_threshold: float = 0.0,
    fmt: str = "xyxy",
) -> Fused:
    """Fuse boxes of several detectors: means of boxes that overlap (Solovyev et al. 2019).

    Boxes are taken by descending score. Each joins the cluster of its group whose fused box has the
    highest IoU with it, if that is more than the threshold, and else begins a new one. The fused
    box is the mean of its cluster, weighted by scores, and moves with each box that joins.

    Parameters
    ----------
    boxes : array_like, shape (N, 4)
        The boxes of all detectors one after another, as in `box_iou`.
    scores : array_like, shape (N,)
        How sure each is: finite numbers from 0 on.
    threshold : float
        What the IoU is more than where a box joins a cluster.
    groups : array_like, shape (N,), or several, optional
        The class or image that each belongs to, as in `nms`.
    models : array_like of int, shape (N,), optional
        The detector that each box came from: numbers from 0 on. Without it there is one.
    weights : array_like, shape (number of detectors,), optional
        How much the scores of each detector count: 1 if not given.
    method : {"avg", "max"}
        The score of a cluster: the mean of its scores, times the number of its boxes, at most that
        of detectors, over the sum of weights; or the highest, over the highest weight.
    score_threshold : float
        Boxes whose own score is less are left out.
    fmt : {"xyxy", "xywh", "cxcywh"}
        What the numbers are, as in `box_iou`.

    Returns
    -------
    Fused
        Boxes in `fmt`, float32 or float64 as `box_iou` has it.

    Raises
    ------
    TypeError, ValueError
        As `nms`; a NaN in a box, a score below 0, or a detector without a weight.

    Notes
    -----
    A box takes about 1 µs, and more where its group has thousands of clusters: each is scored.

    Examples
    --------
    >>> import fastiou
    >>> boxes = [[0, 0, 10, 10], [0, 0, 10, 12], [30, 30, 40, 40]]
    >>> fused = fastiou.weighted_boxes_fusion(boxes, [0.9, 0.6, 0.4], models=[0, 1, 1])
    >>> fused.boxes
    array([[ 0. ,  0. , 10. , 10.8],
           [30. , 30. , 40. , 40. ]])
    >>> fused.scores, fused.indices
    (array([0.75, 0.2 ]), array([0, 2]))
    """
    check_choice("fmt", fmt, UPRIGHT)
    check_choice("method", method, ("avg", "max"))
    given = BOX.read("boxes", boxes, fmt, batches=False)
    count = given.size
    corners = convert_widely(given, "xyxy")
    missing = np.isnan(corners).any(axis=1)
    if missing.any():
        raise ValueError(f"boxes must be numbers, got NaN in row {int(missing.argmax())}")
    own = score_array("scores", scores)
    if own.shape != (count,):
        raise ValueError(f"scores must have the shape ({count},), got {own.shape}")
    if (own < 0).any():
        raise ValueError(f"scores must be at least 0, got {own.min()} in row {int(own.argmin())}")
    minimum = threshold_number(threshold, 1.0, zero=True)
    least = finite_number("score_threshold", score_threshold)
    numbers, shares = _models(models, weights, count)
    known = small.checked_groups(groups, count, count, True)
    codes = np.zeros(count, np.int64)
    if known is not None:
        codes = np.unique(known, return_inverse=True)[1].reshape(-1)
    weighted = own * shares[numbers]
    order = by_score(weighted)
    order = order[own[order] >= least]
    order = order[np.argsort(codes[order], kind="stable")]
    owners = np.full(count, -1)
    middle, owners[order] = _clusters(corners[order], weighted[order], codes[order], minimum)
    members = np.flatnonzero(owners >= 0)
    sizes = np.bincount(owners[members], minlength=len(middle))
    if method == "avg":
        sums = np.bincount(owners[members], weighted[members], len(middle))
        results = sums / sizes * np.minimum(len(shares), sizes) / shares.sum()
    else:
        results = np.zeros(len(middle))
        np.maximum.at(results, owners[members], weighted[members])
        results /= shares.max()
    best = np.full(len(middle), -1)
    best[owners[order[::-1]]] = order[::-1]
    ranks = by_score(results)
    places = np.empty(len(middle), np.int64)
    places[ranks] = np.arange(len(middle))
    owners[members] = places[owners[members]]
    fused = given._replace(held=middle[ranks], fmt="xyxy")
    made = convert_members(fused, fmt).astype(result_dtype(given))
    parts_of_result = (made, results[ranks], best[ranks], owners)
    return Fused(*(hand_back(part, given) for part in parts_of_result))


def _models(models: Any, weights: Any, count: int) -> tuple[Array, Array]:
    """The detector of each box, and the weight of each detector."""
    numbers = np.zeros(count, np.int64)
    if models is not None:
        numbers = plain_array("models", models)
        if numbers.shape != (count,) or (numbers.dtype.kind not in "iu" and count):
            raise ValueError(
                f"models must be {count} integers, got the shape {numbers.shape} and dtype "
                f"{numbers.dtype}"
            )
        numbers = numbers.astype(np.int64)
        wrong = (numbers < 0) | (numbers >= MOST_MODELS)
        if wrong.any():
            raise ValueError(
                f"models must be numbers from 0 to {MOST_MODELS - 1:,}, got {numbers[wrong][0]}"
            )
    needed = int(numbers.max(initial=0)) + 1
    shares = np.ones(needed) if weights is None else score_array("weights", weights)
    if len(shares) < needed or (shares <= 0).any():
        raise ValueError(
            f"weights must be a number above 0 for each of {needed} models, got {shares.tolist()}"
        )
    return numbers, shares


def _clusters(boxes: Array, scores: Array, groups: Array, threshold: float) -> tuple[Array, Array]:
    """The boxes (k, 4) of all clusters by group, and the cluster of each box.

    `boxes` (n, 4), `scores` (n,) and `groups` (n,) come by group, and in it by descending score.
    """
    count = len(boxes)
    sizes = np.unique(groups, return_counts=True)[1]
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    room = -(-sizes // LANES) * LANES
    places = np.cumsum(room) - room
    # As far from what overflows as `box_iou` has it. A power of two rounds nothing.
    largest, smallest = limits(boxes.dtype)
    sides = boxes[:, 2:] - boxes[:, :2]
    least = float(sides.min(initial=np.inf, where=sides > 0))
    highest = float(np.abs(boxes).max(initial=0))
    exponent = 0
    if highest > largest or least**2 < smallest:
        exponent = math.frexp(largest)[1] - math.frexp(highest)[1] - 2
        boxes = np.ldexp(boxes, exponent)
    assert BOX.small is not None
    total, rows = int(room.sum()), 4 + BOX.small.data_rows
    fused, sums, totals = np.zeros((total, 4)), np.zeros((total, 4)), np.zeros(total)
    used, owners = np.zeros(len(sizes), np.int64), np.empty(count, np.int64)
    prepared = np.empty((rows, -(-count // LANES) * LANES))
    kernel = fusion_kernel(BOX, METRICS["iou"])
    each = SCORES_TO_FUSE + float(sizes.max(initial=0)) / 2
    columns = np.zeros((rows, total))
    for first, last, _ in steps.ranges(count, each):
        kernel.serial(
            boxes, scores, numbers, places, threshold, used, fused, sums, totals, prepared, columns,
            owners, first, last,
        )  # fmt: skip
    kept = np.arange(total) < np.repeat(places + used, room)
    found = np.ldexp(fused[kept], -exponent) if exponent else fused[kept]
    return found, (np.cumsum(kept) - 1)[owners]
