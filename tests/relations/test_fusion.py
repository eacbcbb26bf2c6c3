"""Weighted boxes fusion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import fastiou
from fastiou import reference


def random_sets(rng: np.random.Generator, models: int) -> tuple[list, list, list]:
    """Boxes within the unit square, scores and labels of each of several detectors."""
    truth = rng.random((6, 2)) * 0.7
    boxes, scores, labels = [], [], []
    for _ in range(models):
        count = int(rng.integers(0, 9))
        corners = truth[rng.integers(0, 6, count)] + rng.normal(0, 0.01, (count, 2))
        sizes = np.array([0.2, 0.2]) + rng.normal(0, 0.02, (count, 2))
        boxes.append(np.clip(np.hstack([corners, corners + sizes]), 0, 1))
        scores.append(rng.random(count))
        labels.append(rng.integers(0, 2, count))
    return boxes, scores, labels


@pytest.mark.parametrize("method", ["avg", "max"])
@pytest.mark.parametrize("many", [40, pytest.param(20_000, marks=pytest.mark.thorough)])
def test_boxes_are_those_of_ensemble_boxes(method: str, many: int) -> None:
    peer = pytest.importorskip("ensemble_boxes", exc_type=ImportError)
    for case in range(many):
        rng = np.random.default_rng([5, case])
        boxes, scores, labels = random_sets(rng, int(rng.integers(1, 4)))
        weights = rng.uniform(0.5, 2, len(boxes)) if case % 2 else np.ones(len(boxes))
        threshold = float(rng.choice([0.3, 0.55, 0.7]))
        if not sum(map(len, boxes)):
            continue
        expected = peer.weighted_boxes_fusion(
            [one.tolist() for one in boxes], [one.tolist() for one in scores],
            [one.tolist() for one in labels], weights.tolist(), threshold, 0.1, method,
        )  # fmt: skip
        fused = fastiou.weighted_boxes_fusion(
            np.concatenate(boxes), np.concatenate(scores), threshold,
            groups=np.concatenate(labels), weights=weights, method=method, score_threshold=0.1,
            models=np.repeat(np.arange(len(boxes)), list(map(len, boxes))),
        )  # fmt: skip
        assert len(fused) == len(expected[0])
        # It keeps float32.
        np.testing.assert_allclose(fused.boxes, expected[0].reshape(-1, 4), atol=1e-6)
        np.testing.assert_allclose(fused.scores, expected[1], atol=1e-6)
        np.testing.assert_array_equal(np.concatenate(labels)[fused.indices], expected[2])


def clusters_one_by_one(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> tuple:
    """The boxes of clusters and the cluster of each box, as the paper has it."""
    fused, sums, totals = np.empty((0, 4)), np.empty((0, 4)), np.empty(0)
    owners = np.empty(len(boxes), int)
    for row in np.argsort(-scores, kind="stable"):
        overlaps = reference.box_iou(fused, boxes[row][None])[:, 0]
        cluster = int(overlaps.argmax()) if (overlaps > threshold).any() else len(fused)
        if cluster == len(fused):
            fused, sums = (np.vstack([some, np.zeros(4)]) for some in (fused, sums))
            totals = np.append(totals, 0)
        sums[cluster] += scores[row] * boxes[row]
        totals[cluster] += scores[row]
        fused[cluster] = sums[cluster] / totals[cluster]
        owners[row] = cluster
    return fused, owners


@pytest.mark.parametrize("scale", [1.0, 1e-160, 1e150])
def test_many_clusters_of_uneven_groups(
    rng: np.random.Generator, fixed_steps: Callable[[int], None], scale: float
) -> None:
    fixed_steps(5000)  # a hundred boxes or so
    groups = np.repeat([3, 1, 2, 0], [1, 500, 37, 120])
    corners = 90 * rng.random((len(groups), 2))
    boxes = np.hstack([corners, corners + 5 + 20 * rng.random(corners.shape)])
    boxes[5:9], boxes[20, :2] = boxes[4], boxes[20, 2:] + 1
    scores = rng.permutation(len(groups)) / len(groups) + 0.01
    fused = fastiou.weighted_boxes_fusion(boxes * scale, scores, 0.4, groups=groups)
    assert len(fused) > 4 * 16
    for group in range(4):
        rows = np.flatnonzero(groups == group)
        expected, owners = clusters_one_by_one(boxes[rows], scores[rows], 0.4)
        own = fused.owners[rows]
        np.testing.assert_allclose(fused.boxes[own] / scale, expected[owners], rtol=1e-12)
        assert len(np.unique(np.stack([own, owners]), axis=1).T) == len(expected)


def test_clusters_are_told() -> None:
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 10, 12], [0, 0, 10, 11]]
    fused = fastiou.weighted_boxes_fusion(
        boxes, [0.6, 0.9, 0.8, 0.05], models=[0, 0, 1, 1], score_threshold=0.1
    )
    assert repr(fused) == "<Fused: 4 boxes to 2>"
    made, scores, indices = fused
    assert indices.tolist() == [2, 1]
    assert fused.owners.tolist() == [0, 1, 0, -1]
    np.testing.assert_allclose(made[0], [0, 0, 10, (0.6 * 10 + 0.8 * 12) / 1.4])
    np.testing.assert_allclose(scores, [0.7, 0.45])
    for fmt in ("xywh", "cxcywh"):
        other = fastiou.weighted_boxes_fusion(
            fastiou.box_convert(boxes, "xyxy", fmt), [0.6, 0.9, 0.8, 0.05], models=[0, 0, 1, 1],
            score_threshold=0.1, fmt=fmt,
        )  # fmt: skip
        np.testing.assert_allclose(fastiou.box_convert(other.boxes, fmt, "xyxy"), made)
    apart = fastiou.weighted_boxes_fusion(boxes, [0.6, 0.9, 0.8, 0.5], groups=["a", "b", "b", "a"])
    assert apart.owners.tolist()[2] != apart.owners.tolist()[0] == apart.owners.tolist()[3]
    # A box alone stays as it is, also one without a score.
    assert fastiou.weighted_boxes_fusion([[1, 2, 3, 4]], [0]).boxes.tolist() == [[1, 2, 3, 4]]
    assert fastiou.weighted_boxes_fusion([], []).boxes.shape == (0, 4)
    single = fastiou.weighted_boxes_fusion(np.ones((1, 4), np.float32), [0.5])
    assert single.boxes.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": [-1]}, "scores must be at least 0, got -1.0 in row 0"),
        ({"scores": [1, 2]}, r"scores must have the shape \(1,\)"),
        ({"boxes": [[0, 0, np.nan, 1]]}, "boxes must be numbers, got NaN in row 0"),
        ({"models": [-1]}, "models must be numbers from 0 to 9,999"),
        ({"models": [0.5]}, "models must be 1 integers"),
        ({"models": [1], "weights": [1]}, "a number above 0 for each of 2 models"),
        ({"weights": [0]}, "a number above 0 for each of 1 models"),
        ({"method": "mean"}, "method must be one of"),
        ({"fmt": "cxcywhr"}, "fmt must be one of"),
        ({"threshold": 2}, "threshold must be at least 0 and at most 1"),
    ],
)
def test_bad_input_is_refused(options: dict, message: str) -> None:
    given = {"boxes": [[0, 0, 1, 1]], "scores": [0.5], **options}
    with pytest.raises(ValueError, match=message):
        fastiou.weighted_boxes_fusion(**given)


def test_boxes_of_half_precision_are_not_rounded_before() -> None:
    boxes = np.array([[1024, 5, 1, 4]], np.float16)
    fused = fastiou.weighted_boxes_fusion(boxes, [0.5], fmt="cxcywh")
    np.testing.assert_array_equal(fused.boxes, boxes)


def test_more_models_than_anybody_has_are_refused() -> None:
    with pytest.raises(ValueError, match="models must be numbers from 0 to 9,999, got 1000000000"):
        fastiou.weighted_boxes_fusion([[0, 0, 1, 1]], [0.5], models=[10**14])
