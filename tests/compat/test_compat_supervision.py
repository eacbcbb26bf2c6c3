"""Overlaps and suppression of supervision, against supervision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from compat_for_tests import boxes_of, scores_of, signature_of

from fastiou.compat import supervision as own


@pytest.fixture
def peer() -> Any:
    return pytest.importorskip("supervision.detection.utils.iou_and_nms", exc_type=ImportError)


def rows_of(rng: np.random.Generator, boxes: np.ndarray) -> np.ndarray:
    """Predictions of boxes, of up to 12, of which supervision's sort keeps the order."""
    rows = [boxes.astype(float), scores_of(rng, len(boxes), "float64")[:, None]]
    if rng.random() < 0.7:
        rows.append(rng.integers(0, 3, len(boxes))[:, None])
    return np.hstack(rows)


def test_names_and_arguments(peer: Any) -> None:
    for name in set(own.__all__) - {"OverlapMetric"}:
        mine, theirs = (signature_of(getattr(module, name)) for module in (own, peer))
        for (argument, default), (expected, usual) in zip(mine, theirs, strict=True):
            assert argument == expected, name
            assert getattr(default, "value", default) == getattr(usual, "value", usual), name


def test_scores(peer: Any, cases: Iterator[np.random.Generator]) -> None:
    for rng in cases:
        dtype = str(rng.choice(["float64", "int32", "float32"]))
        boxes, others = boxes_of(rng, dtype), boxes_of(rng, dtype)
        metric = peer.OverlapMetric(rng.choice(["IOU", "IOS"]))
        actual, expected = (module.box_iou_batch(boxes, others, metric) for module in (own, peer))
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=1.2e-7, atol=0)
        if len(boxes) and len(others):
            one = own.box_iou(boxes[0], others[0], metric)
            assert one == pytest.approx(peer.box_iou(boxes[0], others[0], metric), rel=1e-12)
        crowd = rng.random(len(boxes)) < 0.3
        sizes, other_sizes = (
            np.hstack([some[:, :2], some[:, 2:] - some[:, :2]]).tolist() for some in (boxes, others)
        )
        actual, expected = (
            module.box_iou_batch_with_jaccard(sizes, other_sizes, crowd) for module in (own, peer)
        )
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)


def test_suppression(peer: Any, cases: Iterator[np.random.Generator]) -> None:
    for rng in cases:
        rows = rows_of(rng, boxes_of(rng, str(rng.choice(["float64", "int32"])), 12))
        metric = peer.OverlapMetric(rng.choice(["IOU", "IOS"]))
        threshold = float(rng.choice([0, 0.1, 0.3, 0.5, 0.7, 1, 1 / 3]))
        np.testing.assert_array_equal(
            own.box_non_max_suppression(rows, threshold, metric),
            peer.box_non_max_suppression(rows, threshold, metric),
        )
        assert own.box_non_max_merge(rows, threshold, metric) == peer.box_non_max_merge(
            rows, threshold, metric
        )
        sigma = float(rng.choice([0.1, 0.5, 2]))
        actual, expected = (
            module.box_soft_non_max_suppression(rows, sigma, metric) for module in (own, peer)
        )
        assert actual.dtype == expected.dtype
        # supervision squares and sums in float32.
        np.testing.assert_allclose(actual, expected, rtol=2e-5)


def test_masks(peer: Any, cases: Iterator[np.random.Generator]) -> None:
    for rng in cases:
        count = int(rng.integers(1, 9))
        masks = rng.random((count, 9, 11)) < rng.choice([0.1, 0.5, 0.8])
        masks[:, : int(rng.integers(0, 8))] = False
        rows = rows_of(rng, np.zeros((count, 4)))
        metric = peer.OverlapMetric(rng.choice(["IOU", "IOS"]))
        threshold = float(rng.choice([0, 0.1, 0.3, 0.5, 0.7, 1]))
        actual, expected = (
            module.mask_iou_batch(masks[:3], masks, metric) for module in (own, peer)
        )
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)
        np.testing.assert_array_equal(
            own.mask_non_max_suppression(rows, masks, threshold, metric),
            peer.mask_non_max_suppression(rows, masks, threshold, metric),
        )
        assert own.mask_non_max_merge(
            rows, masks, threshold, overlap_metric=metric
        ) == peer.mask_non_max_merge(rows, masks, threshold, overlap_metric=metric)
        np.testing.assert_allclose(
            own.mask_soft_non_max_suppression(rows, masks, 0.5, metric),
            peer.mask_soft_non_max_suppression(rows, masks, 0.5, metric),
            rtol=2e-5,
        )


def test_oriented_boxes(peer: Any, cases: Iterator[np.random.Generator]) -> None:
    for place, rng in enumerate(cases):
        if place >= 20_000:
            break
        count = int(rng.integers(1, 9))
        middles, sides = rng.uniform(0, 30, (count, 1, 2)), rng.uniform(2, 20, (count, 1, 2))
        angles = rng.uniform(0, 2 * np.pi, count)
        turned = np.array([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * sides / 2
        boxes = middles + np.einsum("nci,ijn->ncj", corners, turned)
        rows = rows_of(rng, np.zeros((count, 4)))
        metric = peer.OverlapMetric(rng.choice(["IOU", "IOS"]))
        actual, expected = (
            module.oriented_box_iou_batch(boxes[:3], boxes, metric) for module in (own, peer)
        )
        np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5)
        scores = own.oriented_box_iou_batch(boxes, boxes, metric)
        threshold = 0.31
        if (np.abs(scores - threshold) < 1e-4).any():
            continue
        for name in ("oriented_box_non_max_suppression", "oriented_box_non_max_merge"):
            mine, theirs = (
                getattr(module, name)(rows, boxes, threshold, metric) for module in (own, peer)
            )
            np.testing.assert_equal(mine, theirs)


def test_thresholds_are_compared_as_supervision_does(peer: Any) -> None:
    rows = np.array([[0, 0, 10, 1, 0.9], [9, 0, 10, 1, 0.8]])
    for threshold in np.arange(1, 40) / 40:
        for numerator in (1, 3, 7):
            rows[1, 0], rows[:, 2] = 40 - numerator, 40
            np.testing.assert_array_equal(
                own.box_non_max_suppression(rows, float(threshold)),
                peer.box_non_max_suppression(rows, float(threshold)),
            )
            assert own.box_non_max_merge(rows, float(threshold)) == peer.box_non_max_merge(
                rows, float(threshold)
            )


def test_errors() -> None:
    rows, masks = np.zeros((2, 5)), np.ones((2, 3, 4), bool)
    assert own.box_non_max_merge(rows[:0]) == []
    assert own.box_non_max_suppression(rows[:0]).tolist() == []
    for call, message in (
        (lambda: own.box_iou_batch(rows[:, :4], rows[:, :4], "dice"), "overlap_metric must be IOU"),
        (lambda: own.box_non_max_suppression(rows, 1.5), "iou_threshold must be between 0 and 1"),
        (lambda: own.box_non_max_suppression(rows[:, :4]), r"shape \(N, 5\) or \(N, 6\)"),
        (lambda: own.mask_non_max_suppression(rows[:1], masks), "got 1 and 2"),
        (lambda: own.mask_iou_batch(masks[0], masks), r"masks_true must have the shape \(N, H"),
        (lambda: own.mask_iou_batch(masks[:, 1:], masks), "must have one size"),
        (lambda: own.box_soft_non_max_suppression(rows, 0), "sigma must be greater than 0"),
        (lambda: own.oriented_box_iou_batch(rows, rows), r"shape \(N, 4, 2\) or \(N, 8\)"),
        (lambda: own.box_iou_batch_with_jaccard([[0, 0, 1, 1]], [], []), "is_crowd must have the"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
