"""Scores for tests of suppression, and the dense scores of large sets."""

from __future__ import annotations

from typing import Any

import numpy as np
from boxes_for_tests import Array
from scenes_for_tests import Scene, dense, dense_blocks

import fastiou
from fastiou import reference

METHODS = ["hard", "linear", "gaussian"]

#: Metrics that soft suppression is tested for: one that is symmetric, one that can be below 0, and
#: one that is not symmetric.
SOFT_METRICS = ["iou", "giou", "iof"]


class Rows:
    """Dense scores of a large set with itself, of which only what is not 0 is kept."""

    def __init__(self, scene: Scene) -> None:
        self.parts = {}
        for first, scores in dense_blocks(scene, scene.a, None):
            self.dtype, self.count = scores.dtype, scores.shape[1]
            for row, of_row in enumerate(scores, first):
                (cols,) = np.nonzero(of_row)
                self.parts[row] = cols, of_row[cols]

    def __getitem__(self, row: int) -> Array:
        scores = np.zeros(self.count, self.dtype)
        cols, values = self.parts[row]
        scores[cols] = values
        return scores


def tied_scores(rng: np.random.Generator, count: int) -> Array:
    """Scores of which each is shared by many."""
    return rng.integers(0, 20, count) / np.float32(16)


#: A product of exponentials may differ in its last bits from one library to the next, and in all of
#: them where it is too small for a normal number.
ROUNDING = 1e-12


SMALLEST = 1e-290


def assert_order(
    kept: Array, overlaps: Array, scores: Array, threshold: float, **options: Any
) -> None:
    """Replay soft NMS in the order of a result, and check that each one taken was the best.

    Unlike a comparison of indices, it allows two boxes whose scores are equal but for rounding in
    either order.
    """
    groups = options.get("groups")
    groups = np.zeros(len(scores), int) if groups is None else groups
    minimum = options.get("score_threshold", 0.0)
    current = scores.astype(np.float64)
    left = current >= minimum
    taken = np.empty(len(kept))
    assert len(set(kept.tolist())) == len(kept)
    for position, index in enumerate(kept):
        assert left[index]
        same = left & (groups == groups[index])
        assert current[index] >= current[same].max() * (1 - ROUNDING) - SMALLEST
        taken[position] = current[index]
        left[index] = same[index] = False
        values = overlaps[index].astype(np.float64)
        if options["method"] == "linear":
            factors = np.where(values > threshold, 1 - values, 1)
        else:
            factors = np.where(values > 0, np.exp(-(values**2) / options.get("sigma", 0.5)), 1)
        current[same] *= factors[same]
        left &= current >= minimum * (1 - ROUNDING)
    assert (np.diff(taken) <= taken[:-1] * ROUNDING + SMALLEST).all()
    if options.get("max_output") is not None:
        return
    most = options.get("max_total")
    if most is None or len(kept) < most:
        assert not (left & (current > minimum * (1 + ROUNDING))).any()
        if minimum == 0:
            assert not left.any()
    else:
        assert len(kept) == most
        if most:
            assert (current[left] <= taken[-1] * (1 + ROUNDING) + SMALLEST).all()


def assert_soft(scene: Scene, scores: Array, threshold: float, **options: Any) -> Array:
    """Compare with the oracle index for index, for scores that rounding does not make equal."""
    overlaps = dense(scene.a, scene.a, **scene.options)
    wanted = reference.nms(overlaps, scores, threshold, **options)
    kept = fastiou.nms(scene.a, scores, threshold, **scene.options, **options)
    np.testing.assert_array_equal(kept, wanted, strict=True)
    assert_order(wanted, overlaps, scores, threshold, **options)  # the oracle, too, is checked
    return wanted


def first_of_each(kept: Array, groups: Array | None, most: int | None) -> Array:
    """The first of each group among those kept."""
    seen: dict[Any, int] = {}
    chosen = []
    for index in kept.tolist():
        group = 0 if groups is None else groups[index]
        seen[group] = seen.get(group, 0) + 1
        if most is None or seen[group] <= most:
            chosen.append(index)
    return np.array(chosen, np.int64)
