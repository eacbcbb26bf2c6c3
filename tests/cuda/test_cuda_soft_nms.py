"""Soft suppression on a GPU: the members and scores of the CPU, with one record for the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, awkward_boxes, random_boxes
from counted_for_tests import counted
from masks_for_tests import random_masks
from numba import cuda
from test_cells import RECORD, sizes_of_all_kinds
from test_device_arrays import BOXES, MEMBERS

import fastiou
from fastiou.relations import nms
from fastiou.runtime.gpu import Work

METHODS = ["linear", "gaussian"]


def both(
    a: Array,
    scores: Array,
    threshold: float = 0.2,
    *,
    copies: list[int] = RECORD,
    least: int = 1,
    **options: Any,
) -> Array:
    """Lower scores of arrays on the GPU and of the host: the same bits in the same order."""
    expected = fastiou.soft_nms(a, scores, threshold, **options)
    groups = options.pop("groups", None)
    there = cuda.to_device(a), cuda.to_device(scores)
    on_gpu = None if groups is None else cuda.to_device(groups)
    with counted() as counts:
        found = fastiou.soft_nms(*there, threshold, groups=on_gpu, **options)
    assert (counts.to_host, counts.to_gpu, counts.waits) == (copies, [], len(copies))
    for part, other in zip(found, expected, strict=True):
        host = part.copy_to_host()
        assert host.dtype == other.dtype
        assert host.tobytes() == other.tobytes()
    assert len(expected) >= least
    return np.asarray(expected.scores)


@pytest.mark.parametrize("method", METHODS)
def test_scores_and_order(rng: np.random.Generator, method: str) -> None:
    for dtype in (np.float32, np.float64):
        low = 10 * rng.random((19, 2))
        boxes = np.concatenate([low, low + 4 + rng.random((19, 2))], axis=1).astype(dtype)
        scores = np.round(rng.random(19), 1).astype(dtype)  # with ties, and 0
        lowered = both(boxes, scores, method=method, least=19)
        assert not np.array_equal(np.sort(lowered), np.sort(scores))
        both(boxes, scores, 0.0, method=method, score_threshold=0.3, sigma=0.1)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_few(rng: np.random.Generator, count: int) -> None:
    both(random_boxes(rng, count, np.float32, span=5), rng.random(count), least=count)


def test_many_that_overlap(rng: np.random.Generator) -> None:
    """Scores are lowered often, to numbers that are not normal, too."""
    pile = np.tile([[0, 0, 9, 9.0]], (40, 1)) + rng.random((40, 4))
    lowered = both(pile, rng.random(40), method="gaussian", sigma=0.02)
    assert 0 < lowered[lowered > 0].min() < 1e-300
    both(pile, rng.random(40), 0.0)


@pytest.mark.parametrize("method", METHODS)
def test_groups_and_limits(rng: np.random.Generator, method: str) -> None:
    boxes, scores = random_boxes(rng, 21, np.float32, span=10), rng.random(21)
    boxes[::5, 2] = np.nan
    groups = rng.integers(-2, 3, 21) * 10**12
    both(boxes, scores, method=method, groups=groups, least=21)
    both(boxes, scores, method=method, groups=groups, max_total=4, least=4)
    both(boxes, scores, method=method, max_output=3, max_total=8, least=3)
    both(boxes, scores, method=method, max_output=0, least=0)
    there = cuda.to_device(boxes), cuda.to_device(scores)
    expected = fastiou.soft_nms(boxes, scores, method=method, groups=groups, max_output=2)
    found = fastiou.soft_nms(*there, method=method, groups=groups, max_output=2)  # cut by the host
    for part, other in zip(found, expected, strict=True):
        assert part.copy_to_host().tobytes() == other.tobytes()


def test_awkward_boxes_and_sizes_of_all_kinds(rng: np.random.Generator) -> None:
    odd = awkward_boxes(np.float32)[::2].copy()
    both(odd, np.arange(len(odd), dtype=np.float64), 0.0, score_threshold=2)
    both(sizes_of_all_kinds(rng, np.float64), rng.random(18), 1e-6)


@pytest.mark.parametrize(
    ("fmt", "metric"),
    [
        ("cxcywhr", "ios"),
        *(
            pytest.param(*row, marks=pytest.mark.thorough)
            for row in (("cxcywhr", "probiou"), ("xyxyxyxy", "iou"), ("xyzxyz", "giou"))
        ),
    ],
)
def test_geometries(fmt: str, metric: str) -> None:
    both(MEMBERS[fmt].astype(np.float64), np.arange(5.0), 0.05, fmt=fmt, metric=metric, least=5)


def test_sizes_that_the_arithmetic_is_not_fit_for(rng: np.random.Generator) -> None:
    boxes = (random_boxes(rng, 10, span=10) * 1e18).astype(np.float32)
    both(boxes, rng.random(10), copies=2 * RECORD)


@pytest.mark.parametrize("method", METHODS)
def test_arrays_of_the_host(rng: np.random.Generator, method: str) -> None:
    """What the host prepares, too."""
    boxes, scores = random_boxes(rng, 14, np.float32, span=15), rng.random(14)
    for members, options in (
        (boxes, {}),
        (boxes, {"metric": "ciou"}),
        (boxes, {"groups": rng.integers(0, 2, 14), "max_output": 3, "max_total": 5}),
        (random_masks(rng, 14, (20, 20)), {}),
    ):
        found = fastiou.nms(members, scores, 0.1, method=method, device="cuda", **options)
        expected = fastiou.nms(members, scores, 0.1, method=method, **options)
        np.testing.assert_array_equal(found, expected, strict=True)
        assert len(expected) > 1


def test_what_is_refused() -> None:
    boxes, scores = BOXES.astype(np.float32), np.arange(5, dtype=np.float32)
    for wrong, message in (
        (np.nan, "scores must be numbers, got NaN in row 3"),
        (-1, "scores must be at least 0 for method='linear'"),
        (np.inf, "scores must be finite for method='linear'"),
    ):
        bad = scores.copy()
        bad[3] = wrong
        for metric in ("iou", "ciou"):
            with pytest.raises(ValueError, match=message):
                fastiou.soft_nms(cuda.to_device(boxes), cuda.to_device(bad), metric=metric)
    boxes[2, 1] = np.inf
    with pytest.raises(ValueError, match="a has an infinite coordinate in row 2"):
        fastiou.soft_nms(cuda.to_device(boxes), cuda.to_device(scores))


def test_large_groups_and_little_memory(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, launched: list[Any]
) -> None:
    """These are the CPU's, unless the GPU is asked for by name."""
    boxes, scores = random_boxes(rng, 6, np.float32), rng.random(6)
    there = cuda.to_device(boxes), cuda.to_device(scores)
    expected = fastiou.nms(boxes, scores, method="linear").tolist()
    monkeypatch.setattr(nms, "MOST_OF_A_BLOCK", 5)
    assert fastiou.nms(*there, method="linear").copy_to_host().tolist() == expected
    assert not launched
    kept = fastiou.nms(*there, method="linear", device="cuda")
    assert kept.copy_to_host().tolist() == expected
    assert launched
    launched.clear()
    monkeypatch.setattr(nms, "MOST_OF_A_BLOCK", 6)
    monkeypatch.setattr(Work, "free", lambda work: 100)
    assert fastiou.nms(*there, method="linear").copy_to_host().tolist() == expected
    with pytest.raises(MemoryError, match="soft suppression among 6 members needs"):
        fastiou.nms(*there, method="linear", device="cuda")
    assert not launched
