"""Rotated boxes on a GPU, or in its simulator, score what they score on the CPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array
from numba import cuda

import fastiou
from fastiou import reference
from fastiou.runtime import gpu_arrays as interop

FLOATS = [np.float32, np.float64]
FORMATS = ["cxcywhr", "cxcywhr-rad", "cxcywhr-cw", "cxcywhr-rad-cw", "xywhr"]


def rotated(rng: np.random.Generator, count: int, dtype: Any = np.float64) -> Array:
    """Boxes at any angle, of which each meets a few others."""
    boxes = np.concatenate(
        [
            rng.random((count, 2)) * 20,
            2 + rng.random((count, 2)) * 8,
            rng.uniform(-400, 400, (count, 1)),
        ],
        axis=1,
    )
    return boxes.astype(dtype)


def special(dtype: Any) -> Array:
    """Equal in other forms, nearly so, touching, nested, empty, inverted and missing boxes."""
    nan = math.nan
    return np.array(
        [
            [5, 5, 10, 6, 30],
            [5, 5, 6, 10, 120],
            [5, 5, 10, 6, -150],
            [5, 5, 10, 6, 30.00001],
            [5, 5, 10, 6, 0],
            [15, 5, 10, 6, 180],  # touches the last
            [5, 5, 1, 2, 45],
            [5, 5, 0, 6, 30],
            [5, 5, -10, 6, 30],
            [5, nan, 10, 6, 30],
            [5, 5, 10, 6, nan],
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


def both(*arguments: Any, fmt: str = "cxcywhr", **options: Any) -> Array:
    """Score on the GPU and on the CPU."""
    found = fastiou.box_iou(*arguments, fmt, **options, device="cuda")
    same(found, fastiou.box_iou(*arguments, fmt, **options, device="cpu"))
    return np.asarray(found)


@pytest.mark.parametrize("metric", ["iou", "iof", "intersection"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_dense(rng: np.random.Generator, metric: str, dtype: type) -> None:
    a, b = rotated(rng, 7, dtype), rotated(rng, 8, dtype)
    scores = both(a, b, metric=metric)  # rows of whole accesses
    assert (scores > 0).sum() > 10
    if metric != "iof":
        assert np.array_equal(both(b, a, metric=metric).T, scores)
    both(a[:3], b[:5], metric=metric)  # and others


@pytest.mark.parametrize("dtype", FLOATS)
def test_aligned(rng: np.random.Generator, dtype: type) -> None:
    a, b = rotated(rng, 19, dtype), rotated(rng, 19, dtype)
    both(a, b, aligned=True)
    assert (both(a, a, aligned=True) == 1).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_special_boxes(dtype: type) -> None:
    boxes = special(dtype)
    scores = both(boxes, boxes)
    assert (scores[:3, :3] == 1).all()
    assert np.array_equal(scores, scores.T, equal_nan=True)
    np.testing.assert_array_equal(np.isnan(scores).all(axis=0), np.arange(11) >= 9)
    assert not scores[7:9, :9].any()
    assert scores[4, 5] == 0
    both(boxes, boxes[::-1], aligned=True)


@pytest.mark.parametrize("fmt", FORMATS)
def test_formats(rng: np.random.Generator, fmt: str) -> None:
    a, b = rotated(rng, 4, np.float32), rotated(rng, 4, np.float32)
    both(a, b, fmt=fmt)
    both(a.astype(np.int16), b.astype(np.int16), fmt=fmt)


def test_batches_crowds_and_no_boxes(rng: np.random.Generator) -> None:
    a, b = rotated(rng, 6, np.float32), rotated(rng, 4, np.float32)
    both(a.reshape(2, 3, 5), b)
    both(a, b, iscrowd=[True, False, False, True])
    both(a[:0], b)
    both(a, b[:0])


def test_huge_and_tiny_boxes() -> None:
    boxes = np.array([[0, 0, 2, 1, 0], [0, 0, 1, 2, 90], [0.5, 0, 1, 1, 20], [0, 0, 1, 1, 45]])
    for size in (1e160, 1e-200, 1e30, 1e-30):
        for dtype in FLOATS if 1e-37 < size < 1e37 else [np.float64]:
            scaled = (boxes * [size, size, size, size, 1]).astype(dtype)
            both(scaled, scaled)


@pytest.mark.parametrize("dtype", FLOATS)
def test_results_into_out(rng: np.random.Generator, dtype: type) -> None:
    a, b = rotated(rng, 3, dtype), rotated(rng, 4, dtype)
    out = cuda.to_device(np.full((3, 4), 7, dtype))
    assert fastiou.box_iou(a, b, "cxcywhr", out=out, device="cuda") is out
    same(out.copy_to_host(), fastiou.box_iou(a, b, "cxcywhr", device="cpu"))


def sets(rng: np.random.Generator, dtype: type) -> tuple[Array, Array]:
    """Two sets, of which some are equal and some are missing."""
    a, b = rotated(rng, 12, dtype), rotated(rng, 10, dtype)
    b[:3] = a[:3][:, [0, 1, 3, 2, 4]]
    b[:3, 4] += 90
    b[9, 1] = a[11, 4] = np.nan
    return a, b


@pytest.mark.parametrize("dtype", FLOATS)
def test_pairs(rng: np.random.Generator, dtype: type) -> None:
    a, b = sets(rng, dtype)
    for arguments, options in (
        ((a, b), {}),
        ((a,), {}),
        ((a, b), {"groups": (np.arange(12) % 2, np.arange(10) % 2)}),
    ):
        options |= {"threshold": 0.15, "fmt": "cxcywhr"}
        found = fastiou.pairs(*arguments, **options, device="cuda")
        expected = fastiou.pairs(*arguments, **options, device="cpu")
        assert len(expected) > 3
        for part, wanted in zip(found, expected, strict=True):
            same(part, wanted)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_best_few(rng: np.random.Generator, dtype: type) -> None:
    a, b = sets(rng, dtype)
    found = fastiou.topk(a, b, 2, fmt="cxcywhr", device="cuda")
    expected = fastiou.topk(a, b, 2, fmt="cxcywhr", device="cpu")
    same(found.values, expected.values)
    same(found.indices, expected.indices)


@pytest.mark.parametrize("dtype", FLOATS)
def test_suppression(rng: np.random.Generator, dtype: type) -> None:
    a, b = sets(rng, dtype)
    boxes, scores = np.concatenate([a, b]), rng.integers(0, 8, 22) / 8
    kept = fastiou.nms(boxes, scores, 0.3, fmt="cxcywhr", device="cuda")
    dense = fastiou.box_iou(boxes, boxes, "cxcywhr", device="cpu")
    assert kept.tolist() == reference.nms(dense, scores, 0.3).tolist()
    assert len(kept) < 20
