"""`probiou` of rotated boxes against Ultralytics' formula, exact sums and the reference."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array
from combinations_for_tests import rotated_boxes

import fastiou
from fastiou import reference, reference_gaussians
from fastiou.blocks.parts import block_of, summary_of

PROBIOU: dict[str, Any] = {"fmt": "cxcywhr-rad-cw", "metric": "probiou"}


def radians(rng: np.random.Generator, count: int, span: float = 1.0) -> Array:
    boxes = rotated_boxes(rng, count) * [span, span, 1, 1, 1]
    boxes[:, 4] = np.radians(boxes[:, 4])
    return boxes


def of_ultralytics(boxes1: Array, boxes2: Array, eps: float = 1e-7) -> Array:
    """`ultralytics.utils.metrics.batch_probiou`, as NumPy writes it."""

    def covariance(boxes: Array) -> tuple[Array, Array, Array]:
        a, b = (side**2 / 12 for side in boxes[:, 2:4].T)
        cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
        return a * cos**2 + b * sin**2, a * sin**2 + b * cos**2, (a - b) * cos * sin

    x1, y1 = boxes1[:, :2].T[..., None]
    x2, y2 = boxes2[:, :2].T[:, None]
    a1, b1, c1 = (part[:, None] for part in covariance(boxes1))
    a2, b2, c2 = (part[None] for part in covariance(boxes2))
    divisor = (a1 + a2) * (b1 + b2) - (c1 + c2) ** 2 + eps
    t1 = ((a1 + a2) * (y1 - y2) ** 2 + (b1 + b2) * (x1 - x2) ** 2) / divisor * 0.25
    t2 = (c1 + c2) * (x2 - x1) * (y1 - y2) / divisor * 0.5
    det1, det2 = (np.maximum(a * b - c**2, 0) for a, b, c in ((a1, b1, c1), (a2, b2, c2)))
    t3 = np.log((divisor - eps) / (4 * np.sqrt(det1 * det2) + eps) + eps) * 0.5
    distance = np.clip(t1 + t2 + t3, eps, 100.0)
    return 1 - np.sqrt(1.0 - np.exp(-distance) + eps)


def exact_score(one: Array, other: Array) -> float:
    """Without rounding but that of cosines and sines, and of the last steps."""
    covariances = []
    for box in (one, other):
        a, b = (Fraction(float(side)) ** 2 / 12 for side in box[2:4])
        cos, sin = Fraction(math.cos(box[4])), Fraction(math.sin(box[4]))
        covariances.append((a * cos**2 + b * sin**2, a * sin**2 + b * cos**2, (a - b) * cos * sin))
    (a1, b1, c1), (a2, b2, c2) = covariances
    dx, dy = (Fraction(float(other[i])) - Fraction(float(one[i])) for i in (0, 1))
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    divisor = a * b - c**2
    way = (b * dx**2 - 2 * c * dx * dy + a * dy**2) / divisor / 4
    unlike = divisor**2 / (16 * (a1 * b1 - c1**2) * (a2 * b2 - c2**2))
    apart = float(way) + math.log1p(float(unlike - 1)) / 4
    apart = min(max(apart, 1e-7), 100)
    return max(0.0, 1 - math.sqrt(1e-7 - math.expm1(-apart)))


def test_scores_are_those_of_ultralytics(rng: np.random.Generator) -> None:
    a, b = radians(rng, 80), radians(rng, 60)
    expected = of_ultralytics(a, b)
    assert 0.2 < (expected > 0.1).mean() < 0.9
    # What it adds to a determinant counts for boxes of a few pixels, and its scores may be -5e-8.
    np.testing.assert_allclose(fastiou.box_iou(a, b, **PROBIOU), expected, rtol=0, atol=3e-7)
    assert fastiou.box_iou(a, a.copy(), aligned=True, **PROBIOU) == pytest.approx(0.99955272)
    touching = fastiou.box_iou([[0, 0, 2, 2, 0]], [[2, 0, 2, 2, 0]], **PROBIOU)
    np.testing.assert_allclose(touching, 0.1186, atol=5e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scores_are_exact(rng: np.random.Generator, dtype: type) -> None:
    """Boxes that differ by much, by little, by an angle alone, and thin ones."""
    usual = radians(rng, 100)
    near = usual + 10.0 ** rng.uniform(-9, -1, (100, 1)) * rng.standard_normal((100, 5))
    turned = usual + np.array([0, 0, 0, 0, 1e-3])
    thin = usual * [1, 1, 40, 0.5, 1]
    one = np.concatenate([usual, usual, usual, thin]).astype(dtype)
    other = np.concatenate([usual[::-1], near, turned, thin[::-1]]).astype(dtype)
    found = fastiou.box_iou(one, other, aligned=True, **PROBIOU)
    pairs = zip(one.astype(np.float64), other.astype(np.float64), strict=True)
    tolerance = 1e-12 if dtype == np.float64 else 1e-6
    expected = [exact_score(*pair) for pair in pairs]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(found, fastiou.box_iou(other, one, aligned=True, **PROBIOU))
    oracle = np.diagonal(reference_gaussians.probiou(one, other, PROBIOU["fmt"]))
    np.testing.assert_allclose(oracle, expected, rtol=0, atol=1e-6)


def test_no_unit_counts(rng: np.random.Generator) -> None:
    boxes = radians(rng, 40)
    expected = fastiou.box_iou(boxes, boxes, **PROBIOU)
    for exponent in (-500, -40, 40, 400):
        scaled = boxes.copy()
        scaled[:, :4] = np.ldexp(boxes[:, :4], exponent)
        np.testing.assert_array_equal(fastiou.box_iou(scaled, scaled, **PROBIOU), expected)
    # Of any sizes together: no overflow makes a NaN of a score.
    sizes = np.ldexp(boxes[:, :4], rng.integers(-400, 400, (40, 1)))
    scores = fastiou.box_iou(np.column_stack([sizes, boxes[:, 4]]), boxes, **PROBIOU)
    assert ((scores >= 0) & (scores < 1)).all()


def test_empty_and_missing_boxes() -> None:
    nan = math.nan
    boxes = [[5, 5, 4, 2, 0], [5, 5, 0, 2, 0], [5, 5, 0, 0, 0], [5, 5, 4, -2, 0], [nan, 5, 4, 2, 0]]
    expected = np.zeros((5, 5))
    expected[0, 0] = 1 - math.sqrt(1 - math.exp(-1e-7) + 1e-7)
    expected[4] = expected[:, 4] = nan
    np.testing.assert_allclose(fastiou.box_iou(boxes, boxes, **PROBIOU), expected, atol=1e-15)
    np.testing.assert_allclose(
        reference_gaussians.probiou(boxes, boxes, PROBIOU["fmt"]), expected, atol=1e-15
    )


@pytest.mark.slow(on_one_thread=True)
@pytest.mark.parametrize("threshold", [1e-6, 0.01, 0.3, 0.8, 0.9995])
def test_searches_find_all_of_the_dense_result(rng: np.random.Generator, threshold: float) -> None:
    """Boxes whose bounds are far apart score something, and equal ones along an axis the most."""
    boxes = radians(rng, 500, span=20)
    boxes[200:300, 2:] = [3, 3, 0]
    boxes[200:300, 1] = 7
    boxes[300:320] = boxes[:20] + rng.standard_normal((20, 5)) * 1e-4
    boxes[320:330] = boxes[:10]
    dense = fastiou.box_iou(boxes, boxes[100:], **PROBIOU)
    rows, cols, values = reference.box_pairs(dense, threshold)
    assert len(rows) > 300
    for found in (
        fastiou.pairs(boxes, boxes[100:], threshold, **PROBIOU),
        fastiou.Index(boxes[100:], PROBIOU["fmt"]).pairs(boxes, threshold, metric="probiou"),
    ):
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_array_equal(found.cols, cols)
        np.testing.assert_array_equal(found.values, values)


@pytest.mark.slow(on_one_thread=True)
def test_crowds_are_scored_by_their_areas(rng: np.random.Generator) -> None:
    a, b, crowd = radians(rng, 40), radians(rng, 30), rng.random(30) < 0.5
    shares = fastiou.box_iou(a, b, PROBIOU["fmt"], metric="iof")
    expected = np.where(crowd, shares, fastiou.box_iou(a, b, **PROBIOU))
    np.testing.assert_array_equal(fastiou.box_iou(a, b, iscrowd=crowd, **PROBIOU), expected)
    found = fastiou.pairs(a, b, 0.3, iscrowd=crowd, **PROBIOU)
    for part, other in zip(found, reference.box_pairs(expected, 0.3), strict=True):
        np.testing.assert_array_equal(part, other)


def test_parts_of_the_plane_are_refused(rng: np.random.Generator) -> None:
    boxes = radians(rng, 10)
    kind = PROBIOU["fmt"], "probiou", np.float64
    with pytest.raises(ValueError, match="'probiou'; it is searched in boxes with keys"):
        summary_of("a", block_of("a", boxes), *kind)
    assert summary_of("a", block_of("a", boxes, [np.zeros(10, int)]), *kind).size == 10


def test_others_have_no_such_score() -> None:
    for fmt, numbers in (("xyxy", 4), ("xyxyxyxy", 8), ("xyzwhdr", 7)):
        member = np.ones((1, numbers))
        with pytest.raises(ValueError, match="got 'probiou', which needs rotated boxes, which"):
            fastiou.box_iou(member, member, fmt, metric="probiou")
