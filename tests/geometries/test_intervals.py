"""Intervals against exact fractions, the reference and themselves, in every relation."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array
from combinations_for_tests import intervals

import fastiou
from fastiou import reference, reference3d

FMT = "xx"
TOLERANCES = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-12}


def exact_score(one: Array, other: Array, metric: str) -> float:
    """A score without rounding."""
    a, b = ([Fraction(float(number)) for number in pair] for pair in (one, other))
    lengths = [max(pair[1] - pair[0], Fraction(0)) for pair in (a, b)]
    shared = max(Fraction(0), min(a[1], b[1]) - max(a[0], b[0])) if all(lengths) else Fraction(0)
    union = sum(lengths) - shared
    hull = max(a[1], b[1], a[0], b[0]) - min(a[0], b[0])
    score = shared / union if union else Fraction(0)
    way = (sum(a) - sum(b)) / 2
    lost = {"giou": (hull - union) / hull, "diou": way**2 / hull**2} if hull else {}
    return float(score - lost.get(metric, Fraction(0)))


def families(rng: np.random.Generator, count: int) -> list[tuple[Array, Array]]:
    a, b = intervals(rng, count), intervals(rng, count)
    near = a + 10 ** rng.uniform(-12, -3, (count, 1)) * rng.normal(0, 1, (count, 2))
    touching = np.column_stack([a[:, 1], a[:, 1] + 1])
    whole = [rng.integers(0, 5, (count, 2)).astype(float) for _ in "ab"]
    whole = [np.sort(some, axis=1) for some in whole]
    return [(a, b), (a, a), (a, near), (a, touching), (a * 1e-9, b * 1e-9), (whole[0], whole[1])]


@pytest.mark.parametrize("metric", ["iou", pytest.param("giou", marks=pytest.mark.slow), "diou"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_families(rng: np.random.Generator, metric: str, dtype: type) -> None:
    for a, b in families(rng, 30):
        one, other = a.astype(dtype), b.astype(dtype)
        found = fastiou.box_iou(one, other, FMT, metric=metric, aligned=True)
        expected = [exact_score(*pair, metric) for pair in zip(one, other, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCES[found.dtype])
        back = fastiou.box_iou(other, one, FMT, metric=metric, aligned=True)
        assert found.tobytes() == back.tobytes()
        if metric == "iou":
            itself = fastiou.box_iou(one, one.copy(), FMT, aligned=True)
            np.testing.assert_array_equal(itself, one[:, 1] > one[:, 0])


@pytest.mark.thorough
@pytest.mark.parametrize("metric", ["iou", "giou"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_pairs(rng: np.random.Generator, metric: str, dtype: type) -> None:
    """100,000 pairs anywhere, and 20,000 of the families that are hard."""
    for number, count in enumerate((100_000, *[4_000] * 5)):
        one, other = (some.astype(dtype) for some in families(rng, count)[number])
        found = fastiou.box_iou(one, other, FMT, metric=metric, aligned=True)
        expected = [exact_score(*pair, metric) for pair in zip(one, other, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCES[found.dtype])


def test_published_cases(real_data: Path) -> None:
    cases = json.loads((real_data / "geometry" / "vectors.json").read_text())["cases"]
    cases = [case for case in cases if case["kind"] == "interval_iou"]
    for case in cases:
        found = fastiou.box_iou(case["a"], case["b"], FMT)
        np.testing.assert_allclose(found, np.array(case["expected"])[: len(found)], atol=1e-12)
    assert cases


def test_gaps_are_signed() -> None:
    """giou of two that are apart is less the gap beside what both span."""
    found = fastiou.box_iou([[0, 10]], [[5, 15], [10, 20], [20, 30], [90, 100]], FMT, metric="giou")
    np.testing.assert_allclose(found, [[1 / 3, 0, -1 / 3, -0.8]])


def test_awkward_ones() -> None:
    nan = math.nan
    some = np.array([[0, 2], [2, 4], [3, 3], [5, 1], [nan, 2], [0, nan]])
    scores = fastiou.box_iou(some, some, FMT)
    expected = np.diag([1.0, 1, 0, 0, nan, nan])
    expected[4:] = expected[:, 4:] = nan
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_array_equal(fastiou.box_area(some, FMT), [2, 2, 0, 0, nan, nan])
    with pytest.raises(ValueError, match="boxes2 has an infinite coordinate in row 1"):
        fastiou.box_iou(some, [[0, 1], [0, math.inf]], FMT)
    with pytest.raises(ValueError, match=r"\(\.\.\., N, 2\), got \(2,\); one interval has shape"):
        fastiou.box_iou(some, [0, 1], FMT)
    assert fastiou.box_iou(some, [], FMT).shape == (6, 0)
    far = np.array([[0, 3], [1, 5]]) + 2**60
    np.testing.assert_array_equal(
        fastiou.box_iou(far, far, FMT), fastiou.box_iou(far - 2**60, far - 2**60, FMT)
    )
    for exponent in (-900, -300, 300, 900):
        scaled = np.ldexp(some[:4], exponent)
        np.testing.assert_array_equal(fastiou.box_iou(scaled, scaled, FMT), scores[:4, :4])
        lengths = fastiou.box_area(scaled, FMT)
        np.testing.assert_array_equal(lengths, np.ldexp([2.0, 2, 0, 0], exponent))


@pytest.mark.slow(on_one_thread=True)
def test_many_are_found_in_bands(rng: np.random.Generator) -> None:
    """Of all lengths, so that a search has several classes, and more than it samples."""
    start = rng.random(6_000) * 4_000
    some = np.column_stack([start, start + 10 ** rng.uniform(-3, 1, 6_000)])
    dense = fastiou.box_iou(some[:2_500], some[1_500:], FMT)
    options: dict[str, Any] = {"fmt": FMT}
    found = fastiou.pairs(some[:2_500], some[1_500:], 0.1, **options)
    for part, expected in zip(found, reference.box_pairs(dense, 0.1), strict=True):
        np.testing.assert_array_equal(part, expected)
    scores = rng.random(1_500)
    kept = fastiou.nms(some[:1_500], scores, 0.2, **options)
    among = fastiou.box_iou(some[:1_500], some[:1_500], FMT)
    assert kept.tolist() == reference.nms(among, scores, 0.2).tolist()
    index = fastiou.Index(some[1_500:], FMT)
    best = index.topk(some[:2_500], 2)
    values, indices = reference.topk(dense, 2)
    np.testing.assert_array_equal(best.values, values)
    np.testing.assert_array_equal(best.indices, indices)


def test_the_reference(rng: np.random.Generator) -> None:
    for a, b in families(rng, 20):
        for metric in ("iou", "giou", "diou"):
            expected = [[exact_score(one, other, metric) for other in b] for one in a]
            found = reference3d.axis_aligned_iou(a, b, FMT, metric=metric)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_there_is_one_format(rng: np.random.Generator) -> None:
    some = intervals(rng, 4)
    converted = fastiou.box_convert(some, FMT, FMT)
    assert converted is not some
    np.testing.assert_array_equal(converted, some)


@pytest.mark.parametrize(("dtype", "length"), [("float32", 1e-25), ("float64", 1e-170)])
def test_the_squares_of_tiny_hulls_are_precise(dtype: str, length: float) -> None:
    a, b = np.array([[[0, length]], [[length, 2 * length]]], dtype)
    score = fastiou.box_iou(a, b, "xx", metric="diou")
    np.testing.assert_allclose(score, [[-0.25]], rtol=1e-6)
