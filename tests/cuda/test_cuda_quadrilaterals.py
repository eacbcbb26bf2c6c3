"""Quadrilaterals on a GPU, or in its simulator, score what they score on the CPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array
from combinations_for_tests import quadrilaterals
from numba import cuda

import fastiou
from fastiou import reference
from fastiou.runtime import gpu_arrays as interop

FLOATS = [np.float32, np.float64]
FMT = "xyxyxyxy"


def special(dtype: Any) -> Array:
    """Equal in other orders, nearly so, touching, nested, concave, empty and missing ones."""
    nan = math.nan
    return np.array(
        [
            [0, 0, 8, 1, 9, 7, 1, 6],
            [9, 7, 8, 1, 0, 0, 1, 6],
            [0, 0, 8, 1, 9, 7.00001, 1, 6],
            [8, 1, 12, 1, 12, 7, 9, 7],  # a common edge
            [3, 3, 4, 3, 4, 4, 3, 4],
            [0, 0, 8, 0, 2, 2, 0, 8],
            [0, 0, 4, 4, 8, 8, 2, 2],
            [5, 5, 5, 5, 5, 5, 5, 5],
            [0, nan, 8, 1, 9, 7, 1, 6],
            [nan] * 8,
        ],
        dtype,
    )


def same(found: Any, expected: Array) -> None:
    """Bit for bit in the simulator; a GPU may fuse sums with products, and round but once."""
    assert isinstance(found, np.ndarray)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if interop.is_simulated() or found.dtype.kind != "f":
        assert np.array_equal(found, expected, equal_nan=True)
    else:
        tolerance = 1e-6 if found.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def both(*arguments: Any, **options: Any) -> Array:
    """Score on the GPU and on the CPU."""
    found = fastiou.box_iou(*arguments, FMT, **options, device="cuda")
    same(found, fastiou.box_iou(*arguments, FMT, **options, device="cpu"))
    return np.asarray(found)


@pytest.mark.parametrize("metric", ["iou", "iof", "intersection"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_dense(rng: np.random.Generator, metric: str, dtype: type) -> None:
    a, b = quadrilaterals(rng, 5).astype(dtype), quadrilaterals(rng, 4).astype(dtype)
    scores = both(a, b, metric=metric)
    assert (scores > 0).sum() > 5
    if metric != "iof":
        assert np.array_equal(both(b, a, metric=metric).T, scores)


@pytest.mark.parametrize("dtype", FLOATS)
def test_aligned(rng: np.random.Generator, dtype: type) -> None:
    a, b = quadrilaterals(rng, 19).astype(dtype), quadrilaterals(rng, 19).astype(dtype)
    both(a, b, aligned=True)
    assert (both(a, np.roll(a, 2, axis=1), aligned=True) == 1).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_special_ones(dtype: type) -> None:
    members = special(dtype)
    scores = both(members, members)
    assert (scores[:2, :2] == 1).all()
    assert np.array_equal(scores, scores.T, equal_nan=True)
    np.testing.assert_array_equal(np.isnan(scores).all(axis=0), np.arange(10) >= 8)
    assert not scores[6:8, :8].any()


def test_points_integers_crowds_and_none(rng: np.random.Generator) -> None:
    a = quadrilaterals(rng, 4).reshape(4, 4, 2)
    both(a, a.round().astype(np.int16), iscrowd=[True, False, False, True])
    both(a[:0], a)
    both(np.stack([a, a]), a)


def test_huge_and_tiny_ones() -> None:
    for size in (1e160, 1e-200):
        members = special(np.float64)[:8] * size
        both(members, members)


def test_results_into_out(rng: np.random.Generator) -> None:
    a, b = quadrilaterals(rng, 3), quadrilaterals(rng, 4)
    out = cuda.to_device(np.full((3, 4), 7.0))
    assert fastiou.box_iou(a, b, FMT, out=out, device="cuda") is out
    same(out.copy_to_host(), fastiou.box_iou(a, b, FMT, device="cpu"))


@pytest.mark.parametrize("dtype", FLOATS)
def test_relations(rng: np.random.Generator, dtype: type) -> None:
    a, b = quadrilaterals(rng, 10).astype(dtype), quadrilaterals(rng, 8).astype(dtype)
    b[7, 1] = a[9, 4] = np.nan
    for arguments, options in (
        ((a, b), {}),
        ((a,), {}),
        ((a, b), {"groups": (np.arange(10) % 2, np.arange(8) % 2)}),
    ):
        options |= {"threshold": 0.1, "fmt": FMT}
        found = fastiou.pairs(*arguments, **options, device="cuda")
        expected = fastiou.pairs(*arguments, **options, device="cpu")
        assert len(expected) > 1
        for part, wanted in zip(found, expected, strict=True):
            same(part, wanted)
    best = fastiou.topk(a, b, 2, fmt=FMT, device="cuda")
    expected_best = fastiou.topk(a, b, 2, fmt=FMT, device="cpu")
    same(best.values, expected_best.values)
    same(best.indices, expected_best.indices)
    scores = rng.integers(0, 8, 10) / 8
    kept = fastiou.nms(a, scores, 0.2, fmt=FMT, device="cuda")
    dense = fastiou.box_iou(a, a, FMT, device="cpu")
    assert kept.tolist() == reference.nms(dense, scores, 0.2).tolist()
