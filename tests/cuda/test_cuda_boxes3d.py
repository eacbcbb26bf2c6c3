"""Boxes in space and intervals on a GPU, or in its simulator, score what they score on the CPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array
from combinations_for_tests import boxes3d, intervals, yawed_boxes
from numba import cuda

import fastiou
from fastiou import reference
from fastiou.runtime import gpu_arrays as interop

FLOATS = [np.float32, np.float64]
MAKERS = {"xyzxyz": boxes3d, "xyzwhdr": yawed_boxes}


def special(fmt: str, dtype: Any) -> Array:
    """Equal, touching, nested, empty and missing ones."""
    nan = math.nan
    corners = [
        [0, 0, 0, 2, 2, 2],
        [0, 0, 0, 2, 2, 2],
        [2, 0, 0, 4, 2, 2],
        [0, 0, 2, 2, 2, 4],
        [0, 0, 0, 1, 1, 1],
        [0, 0, 0, 2, 2, 0],
        [0, 0, nan, 2, 2, 2],
    ]
    given = np.array(corners, dtype)
    return given if fmt == "xyzxyz" else fastiou.box_convert(given, "xyzxyz", fmt)


def same(found: Any, expected: Array) -> None:
    """Bit for bit in the simulator; a GPU may fuse sums with products, and round but once."""
    assert isinstance(found, np.ndarray)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if interop.is_simulated() or found.dtype.kind != "f":
        assert np.array_equal(found, expected, equal_nan=True)
    else:
        tolerance = 1e-6 if found.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def both(a: Array, b: Array, fmt: str, **options: Any) -> Array:
    """Score on the GPU and on the CPU."""
    found = fastiou.box_iou(a, b, fmt, **options, device="cuda")
    same(found, fastiou.box_iou(a, b, fmt, **options, device="cpu"))
    return np.asarray(found)


@pytest.mark.parametrize(
    ("fmt", "metric"),
    [("xyzxyz", "iou"), ("xyzxyz", "giou"), ("xyzxyz", "diou"), ("xyzwhdr", "iou")],
)
@pytest.mark.parametrize("dtype", FLOATS)
def test_dense_and_aligned(rng: np.random.Generator, fmt: str, metric: str, dtype: type) -> None:
    a, b = (MAKERS[fmt](rng, count).astype(dtype) for count in (5, 4))
    scores = both(a, b, fmt, metric=metric)
    assert len(np.unique(scores)) > 2
    assert np.array_equal(both(b, a, fmt, metric=metric).T, scores)
    aligned = both(a[:4], b, fmt, metric=metric, aligned=True)
    same(aligned, np.diagonal(scores).copy())


@pytest.mark.parametrize("fmt", list(MAKERS))
@pytest.mark.parametrize("dtype", FLOATS)
def test_special_ones(fmt: str, dtype: type) -> None:
    members = special(fmt, dtype)
    scores = both(members, members, fmt)
    assert (scores[:2, :2] == 1).all()
    assert scores[0, 4] == 1 / 8
    np.testing.assert_array_equal(np.isnan(scores).all(axis=0), np.arange(7) == 6)
    assert not scores[5, :6].any()
    assert not scores[0, 2:4].any()


def test_volumes_of_huge_and_tiny_ones() -> None:
    for size in (2.0**400, 2.0**-350):
        for fmt in MAKERS:
            members = special(fmt, np.float64)[:6]
            members[:, :6] *= size
            both(members, members, fmt)
            both(members, members, fmt, metric="intersection")


def test_crowds_and_none(rng: np.random.Generator) -> None:
    a = yawed_boxes(rng, 4)
    both(a, a[:, :], "xyzwhdr", iscrowd=[True, False, False, True])
    both(a[:0], a, "xyzwhdr")
    out = cuda.to_device(np.full((4, 4), 7.0))
    assert fastiou.box_iou(a, a, "xyzwhdr-bottom", out=out, device="cuda") is out
    same(out.copy_to_host(), fastiou.box_iou(a, a, "xyzwhdr-bottom", device="cpu"))


@pytest.mark.parametrize("fmt", list(MAKERS))
@pytest.mark.parametrize("flat", [0, 2])
def test_relations(rng: np.random.Generator, fmt: str, flat: int) -> None:
    """Whichever axis the search leaves out."""
    a, b = (MAKERS[fmt](rng, count) for count in (10, 8))
    for members in (a, b):
        members[:, flat] /= 50
    b[7, 1] = a[9, 4] = np.nan
    for arguments, options in (
        ((a, b), {}),
        ((a,), {}),
        ((a, b), {"groups": (np.arange(10) % 2, np.arange(8) % 2)}),
    ):
        options |= {"threshold": 0.05, "fmt": fmt}
        found = fastiou.pairs(*arguments, **options, device="cuda")
        expected = fastiou.pairs(*arguments, **options, device="cpu")
        assert len(expected) > 0
        for part, wanted in zip(found, expected, strict=True):
            same(part, wanted)
    best = fastiou.topk(a, b, 2, fmt=fmt, device="cuda")
    expected_best = fastiou.topk(a, b, 2, fmt=fmt, device="cpu")
    same(best.values, expected_best.values)
    same(best.indices, expected_best.indices)
    scores = rng.integers(0, 8, 10) / 8
    kept = fastiou.nms(a, scores, 0.1, fmt=fmt, device="cuda")
    dense = fastiou.box_iou(a, a, fmt, device="cpu")
    assert kept.tolist() == reference.nms(np.nan_to_num(dense), scores, 0.1).tolist()


def test_intervals(rng: np.random.Generator) -> None:
    a, b = intervals(rng, 9), intervals(rng, 7)
    for metric in ("iou", "giou", "diou", "intersection"):
        both(a, b, "xx", metric=metric)
    both(a[:7].astype(np.float32), b.astype(np.float32), "xx", aligned=True)
    found = fastiou.pairs(a, b, 0.1, fmt="xx", device="cuda")
    expected = fastiou.pairs(a, b, 0.1, fmt="xx", device="cpu")
    for part, wanted in zip(found, expected, strict=True):
        same(part, wanted)
