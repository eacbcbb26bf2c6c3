"""Hard suppression of arrays on a GPU: one record is copied to the host, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, awkward_boxes, random_boxes
from counted_for_tests import counted
from numba import cuda
from test_cells import RECORD, sizes_of_all_kinds
from test_device_arrays import BOXES, MEMBERS

import fastiou
from fastiou.cuda import nms as suppress
from fastiou.runtime.gpu_kernel import CudaKernel

#: Metrics that are asked for on demand, since the CPU's kernels are compiled for each.
OTHERS = (("giou", 0.1), ("ios", 0.9))


def both(
    a: Array, scores: Array, threshold: float, *, copies: list[int] | None = RECORD, **options: Any
) -> list[int]:
    """Keep of arrays on the GPU and of the host; `copies` None stands for some records."""
    expected: list[int] = fastiou.nms(a, scores, threshold, device="cpu", **options).tolist()
    groups = options.pop("groups", None)
    groups = None if groups is None else cuda.to_device(groups)
    there = cuda.to_device(a), cuda.to_device(scores)
    with counted() as counts:
        found = fastiou.nms(*there, threshold, groups=groups, **options)
    copies = counts.waits * RECORD if copies is None else copies
    assert (counts.to_host, counts.to_gpu, counts.waits) == (copies, [], len(copies))
    assert found.dtype == np.int64
    assert found.copy_to_host().tolist() == expected
    return expected


def test_members_that_are_kept(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 20, np.float32, span=20)
    for dtype in (np.float32, np.float64):
        scores = (np.round(rng.random(20), 1) - 0.5).astype(dtype)  # with ties, and -0.0
        assert 1 < len(both(boxes, scores, 0.2)) < 20
    scores[3], scores[7] = np.inf, -np.inf
    both(boxes, scores, 0.0)


@pytest.mark.parametrize("count", [1, 2, 5, 33])
def test_odd_sizes(rng: np.random.Generator, count: int) -> None:
    both(random_boxes(rng, count, np.float32, span=20), rng.random(count), 0.1)


def test_awkward_boxes_and_sizes_of_all_kinds(rng: np.random.Generator) -> None:
    odd = awkward_boxes(np.float32)[::2].copy()
    both(odd, np.arange(len(odd), dtype=np.float64), 0.0)
    boxes = sizes_of_all_kinds(rng, np.float64)
    both(boxes, rng.random(len(boxes)), 1e-6)


def test_groups_and_limits(rng: np.random.Generator) -> None:
    boxes, scores = random_boxes(rng, 16, np.float32, span=10), rng.random(16)
    groups = rng.integers(0, 2, 16)
    both(boxes, scores, 0.1, groups=groups)
    both(boxes, scores, 0.1, groups=groups, max_total=3)
    both(boxes, scores, 0.1, score_threshold=float(scores[5]))
    both(boxes, scores, 0.1, score_threshold=2.0)
    for most in (0, 2):
        both(boxes, scores, 0.1, max_output=most)
    there = cuda.to_device(boxes), cuda.to_device(scores)
    kept = fastiou.nms(*there, 0.1, groups=groups, max_output=2)  # by the host
    assert kept.copy_to_host().tolist() == fastiou.nms(
        boxes, scores, 0.1, groups=groups, max_output=2
    ).tolist()  # fmt: skip
    kept = fastiou.batched_nms(*there, groups, 0.1)
    assert kept.copy_to_host().tolist() == fastiou.nms(boxes, scores, 0.1, groups=groups).tolist()


@pytest.mark.parametrize(
    ("metric", "threshold"),
    [("iof", 0.7), *(pytest.param(*row, marks=pytest.mark.thorough) for row in OTHERS)],
)
def test_metrics(rng: np.random.Generator, metric: str, threshold: float) -> None:
    both(random_boxes(rng, 16, np.float64, span=10), rng.random(16), threshold, metric=metric)


@pytest.mark.thorough
def test_the_rotated() -> None:
    both(MEMBERS["cxcywhr"].astype(np.float32), np.arange(5, dtype=np.float32), 0.05, fmt="cxcywhr")


def test_sizes_that_the_arithmetic_is_not_fit_for(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 10, span=10)
    both((boxes * 1e18).astype(np.float32), rng.random(10), 0.1, copies=2 * RECORD)
    both(boxes * 1e153, rng.random(10), 1e306, metric="intersection", copies=2 * RECORD)


@pytest.mark.parametrize(
    ("scene", "waits"), [("chain", 1), ("chain", 0), ("pile", 3), ("groups", 1)]
)
def test_order_of_launches_does_not_matter(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, scene: str, waits: int
) -> None:
    """The last members ask first: those that wait in vain are left, and ask once more."""
    monkeypatch.setattr(suppress, "TURNS", 4)
    monkeypatch.setattr(suppress, "WAITS", waits)
    launch = CudaKernel.launch
    held: list[Any] = []

    def backwards(kernel: CudaKernel, *arguments: Any) -> None:
        if "suppress-" in kernel.function.__qualname__:
            held.append((kernel, *arguments))
            return
        while held:
            launch(*held.pop())
        launch(kernel, *arguments)

    monkeypatch.setattr(CudaKernel, "launch", backwards)
    scores, groups = -np.arange(11.0), None
    boxes = np.array([0, 0, 100, 100.0]) + rng.integers(0, 20, (11, 4))
    if scene == "groups":
        groups = rng.integers(0, 2, 11)
    if scene != "chain":
        both(boxes, scores, 0.8, groups=groups, copies=None)
        return
    left = 6.0 * np.arange(11)
    chain = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1)
    kept = both(chain, scores, 0.2, copies=3 * RECORD)
    assert kept == list(range(0, 11, 2))


def test_what_is_refused() -> None:
    boxes, scores = BOXES.astype(np.float32), np.arange(5, dtype=np.float32)
    bad = boxes.copy()
    bad[2, 1] = np.inf
    with pytest.raises(ValueError, match="a has an infinite coordinate in row 2"):
        fastiou.nms(cuda.to_device(bad), cuda.to_device(scores))
    scores[3] = np.nan
    with pytest.raises(ValueError, match="scores must be numbers, got NaN in row 3"):
        fastiou.nms(cuda.to_device(boxes), cuda.to_device(scores))
    with pytest.raises(ValueError, match=r"scores must have the shape \(5,\), got \(4,\)"):
        fastiou.nms(cuda.to_device(boxes), cuda.to_device(scores[:4]))
