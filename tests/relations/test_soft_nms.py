"""`soft_nms` keeps what `nms` keeps by the same method, with the scores at which each was taken."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, random_boxes
from masks_for_tests import random_masks
from numba import vectorize

import fastiou
from fastiou import reference
from fastiou.cpu.decay import exponential

CHAIN = [[0, 0, 10, 10], [0, 0, 10, 6], [0, 3, 10, 6], [50, 50, 60, 60]]


def replayed(
    overlaps: Array, scores: Array, kept: Array, groups: Array, threshold: float, method: str
) -> Array:
    """The score of each that is kept when its turn comes."""
    current, found = scores.astype(np.float64), []
    for index in kept:
        found.append(current[index])
        values = overlaps[index].astype(np.float64)
        factor = np.exp(-(values**2) / 0.5) if method == "gaussian" else 1 - values
        least = 0.0 if method == "gaussian" else threshold
        lowered = (groups == groups[index]) & (values > least)
        current[lowered] *= factor[lowered]
    return np.array(found)


def test_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.3])
    indices, lowered = fastiou.soft_nms(CHAIN, scores, 0.5)
    assert indices.tolist() == [0, 2, 1, 3]
    np.testing.assert_allclose(lowered, [0.9, 0.7, 0.8 * 0.4, 0.3])
    found = fastiou.soft_nms(CHAIN, scores, method="gaussian")
    assert found.indices.tolist() == [0, 2, 3, 1]
    last = 0.8 * math.exp(-2 * 0.36) * math.exp(-2 * 0.25)
    np.testing.assert_allclose(found.scores, [0.9, 0.7 * math.exp(-2 * 0.09), 0.3, last])
    assert len(found) == 4
    assert [part.tolist() for part in found] == [found.indices.tolist(), found.scores.tolist()]
    assert len(fastiou.soft_nms(CHAIN, scores, 0.5, score_threshold=0.31)) == 3
    assert fastiou.soft_nms(CHAIN, scores, 0.5, max_output=1).scores.tolist() == [0.9]
    groups = [1, 1, 2, 2]
    assert fastiou.soft_nms(CHAIN, scores, groups=groups, max_output=1).indices.tolist() == [0, 2]
    assert fastiou.soft_nms(CHAIN, scores, groups=groups, max_total=1).indices.tolist() == [0]


@pytest.mark.parametrize("method", ["linear", "gaussian"])
@pytest.mark.parametrize("grouped", [False, True])
def test_scores_are_those_at_which_each_was_taken(
    rng: np.random.Generator, method: str, grouped: bool
) -> None:
    boxes, scores = random_boxes(rng, 300, span=60), rng.random(300)
    groups = rng.integers(0, 4, 300) if grouped else np.zeros(300, int)
    options: dict[str, Any] = {"method": method, "groups": groups if grouped else None}
    overlaps = reference.box_iou(boxes, boxes)
    for least in (None, 0.0, 0.2):
        indices, lowered = fastiou.soft_nms(boxes, scores, 0.3, score_threshold=least, **options)
        kept = fastiou.nms(boxes, scores, 0.3, score_threshold=least, **options)
        np.testing.assert_array_equal(indices, kept, strict=True)
        assert lowered.dtype == np.float64
        assert (np.diff(lowered) <= 0).all()
        assert least is None or (lowered >= least).all()
        wanted = replayed(overlaps, scores, kept, groups, 0.3, method)
        np.testing.assert_allclose(lowered, wanted, rtol=1e-12)
    assert least is not None
    assert len(fastiou.soft_nms(boxes, scores, 0.3, **options)) == 300


def test_exponential(rng: np.random.Generator) -> None:
    """It is off by one unit at most, as are those of libraries, also below all normal numbers."""
    compute = vectorize(["float64(float64)"])(exponential)
    given = np.concatenate([-10 * rng.random(3000), -750 * rng.random(3000), [-0.0, -1e-300]])
    found = compute(given)
    units = np.abs(found.view(np.int64) - np.exp(given).view(np.int64))
    assert units.max() <= 1
    assert (units == 0).mean() > 0.8
    assert compute([-745.1, -np.inf]).tolist() == [5e-324, 0]


def test_dtypes_and_libraries(rng: np.random.Generator) -> None:
    boxes, scores = random_boxes(rng, 20, np.float32, span=20), rng.random(20)
    wanted = fastiou.soft_nms(boxes, scores)
    for dtype, expected in ((np.float16, np.float32), (np.float32, np.float32), (int, np.float64)):
        found = fastiou.soft_nms(boxes, (scores * 4).astype(dtype))
        assert (found.indices.dtype, found.scores.dtype) == (np.int64, expected)
        assert (np.diff(found.scores) <= 0).all()
    torch = pytest.importorskip("torch", reason="torch is not installed")
    found = fastiou.soft_nms(torch.from_numpy(boxes), torch.from_numpy(scores))
    assert isinstance(found.indices, torch.Tensor)
    assert isinstance(found.scores, torch.Tensor)
    for part, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(part.numpy(), other, strict=True)


def test_masks_and_missing_boxes(rng: np.random.Generator) -> None:
    masks, scores = random_masks(rng, 12, (20, 20)), rng.random(12)
    overlaps = fastiou.mask_iou(masks, masks)
    indices, lowered = fastiou.soft_nms(fastiou.Masks.from_dense(masks), scores, 0.1)
    np.testing.assert_allclose(
        lowered, replayed(overlaps, scores, indices, np.zeros(12), 0.1, "linear"), rtol=1e-12
    )
    indices, lowered = fastiou.soft_nms([[math.nan] * 4, [0, 0, 1, 1], [0, 0, 1, 1]], [1, 2, 2])
    assert (indices.tolist(), lowered.tolist()) == ([1, 0, 2], [2, 1, 0])
    found = fastiou.soft_nms([], [])
    assert (found.indices.dtype, found.scores.shape) == (np.int64, (0,))


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([1, 2], {"method": "hard"}, "method must be one of 'linear', 'gaussian', got 'hard'"),
        ([-1, 2], {}, "scores must be at least 0 for method='linear'"),
        ([math.inf, 2], {}, "scores must be finite for method='linear'"),
        ([1, 2], {"metric": "intersection"}, "method must be 'hard' for the metric 'intersection'"),
        ([1, 2], {"sigma": 0}, "sigma must be greater than 0"),
        ([1, 2], {"threshold": 2}, "threshold must be at least 0 and at most 1"),
        ([1, 2], {"groups": [1]}, "groups must have the shape"),
    ],
)
def test_what_is_refused(scores: list[float], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fastiou.soft_nms([[0, 0, 1, 1], [0, 0, 1, 1]], scores, **options)
