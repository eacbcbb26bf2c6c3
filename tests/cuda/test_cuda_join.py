"""`pairs` and `topk` of arrays of the host find on a GPU what they find on the CPU, bit for bit.

What both do with arrays that lie there is in `test_cells`: here are those that the host prepares,
and what becomes of results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes_for_tests import METRICS, awkward_boxes, random_boxes
from masks_for_tests import METRICS as MASK_METRICS
from masks_for_tests import awkward_masks, random_masks
from numba import cuda

import fastiou
from fastiou.cuda import cell_sets
from fastiou.geometries.masks.mask_set import Masks
from fastiou.runtime import memory

Array = np.ndarray[Any, Any]

#: Metrics that `test_cells` has, too.
ALSO_THERE = [metric for metric in METRICS if metric not in ("iou", "ciou")]


def assert_same(actual: Any, expected: Any) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert type(one) is np.ndarray
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


def assert_pairs(*arguments: Any, least: int = 1, **options: Any) -> fastiou.Pairs:
    """Compare `pairs` of both backends; at least so many must be found."""
    found = fastiou.pairs(*arguments, device="cuda", **options)
    expected = fastiou.pairs(*arguments, device="cpu", **options)
    assert_same(found, expected)
    assert found.shape == expected.shape
    assert found.tested >= len(found)
    assert len(found) >= least
    return found


def assert_topk(*arguments: Any, least: int = 1, **options: Any) -> None:
    found = fastiou.topk(*arguments, device="cuda", **options)
    assert_same(found, fastiou.topk(*arguments, device="cpu", **options))
    assert (found.indices >= 0).sum() >= least


def both_sides(rng: np.random.Generator, dtype: Any) -> tuple[Array, Array]:
    """Boxes of all sizes, some of them equal, degenerate or missing."""
    odd = awkward_boxes(np.float64)
    if np.dtype(dtype).kind != "f":
        odd = odd[~np.isnan(odd).any(axis=1)]
    a = np.concatenate([random_boxes(rng, 14), odd])
    b = np.concatenate([a[3:9], random_boxes(rng, 18), [[-50, -40, 150, 130]], odd[::2]])
    return a.astype(dtype), b.astype(dtype)


# ---- pairs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metric",
    [
        pytest.param(metric, marks=pytest.mark.thorough if metric in ALSO_THERE else ())
        for metric in METRICS
    ],
)
def test_pairs_of_every_metric(rng: np.random.Generator, metric: str) -> None:
    dtype = np.float32 if METRICS.index(metric) % 2 else np.float64
    a, b = both_sides(rng, dtype)
    assert_pairs(a, b, 0.2 if metric != "intersection" else 40.0, metric=metric, least=10)


@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.uint8, np.int64])
def test_pairs_of_other_dtypes(rng: np.random.Generator, dtype: Any) -> None:
    a, b = (boxes.clip(0, 200).astype(dtype) for boxes in both_sides(rng, np.int32))
    assert_pairs(a, b, 0.1, fmt="xywh", least=10)


@pytest.mark.parametrize("metric", ["iou", "ciou"])
def test_integers_too_far_apart_for_floats(rng: np.random.Generator, metric: str) -> None:
    boxes = random_boxes(rng, 20, np.int64)
    boxes[::2] += 2**62
    boxes[1::4] -= 2**62
    boxes[3] = -(2**62), -(2**62), 2**62, 2**62 - 1
    assert_pairs(boxes, boxes + 1, 0.3, metric=metric, least=10)
    assert_pairs(boxes, threshold=1e-6, metric=metric, least=1)
    assert_topk(boxes, boxes + 1, 2, metric=metric, least=10)


def test_pairs_in_groups(rng: np.random.Generator) -> None:
    a, b = both_sides(rng, np.float32)
    groups = rng.integers(-1, 3, len(a)) * 10**12, rng.integers(0, 4, len(b)) * 10**12
    assert_pairs(a, b, 0.05, groups=groups, least=3)
    assert_pairs(a, threshold=0.01, groups=groups[0], least=1)


@pytest.mark.parametrize(("size1", "size2"), [(0, 0), (33, 0), (0, 1)])
def test_empty_sets(rng: np.random.Generator, size1: int, size2: int) -> None:
    a, b = random_boxes(rng, size1, np.float32), random_boxes(rng, size2, np.float32)
    for metric in ("iou", "ciou"):
        assert_pairs(a, b, 0.1, metric=metric, least=0)
        assert_topk(a, b, 2, metric=metric, least=0)


def test_nothing_proper() -> None:
    boxes = awkward_boxes()[6:13]
    for metric in ("iou", "ciou"):
        assert len(assert_pairs(boxes, boxes, 0.1, metric=metric, least=0)) == 0
        assert_topk(boxes, boxes, 3, metric=metric, least=0)


@pytest.mark.parametrize("metric", ["iou", pytest.param("giou", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("in_groups", [False, True])
def test_crowds(rng: np.random.Generator, metric: str, in_groups: bool) -> None:
    """Among groups that the other set does not have."""
    a, b = both_sides(rng, np.float32)
    crowd = rng.random(len(b)) < 0.3
    groups = None
    if in_groups:
        groups = rng.integers(0, 3, len(a)) * 10**12, rng.integers(0, 2, len(b)) * 10**12
    for relation in (assert_pairs, assert_topk):
        argument = 0.1 if relation is assert_pairs else 2
        relation(a, b, argument, iscrowd=crowd, metric=metric, groups=groups, least=3)
    there = cuda.to_device(a), cuda.to_device(b)
    found = fastiou.pairs(*there, 0.2, iscrowd=crowd, metric=metric, groups=groups)
    expected = fastiou.pairs(a, b, 0.2, iscrowd=crowd, metric=metric, groups=groups)
    assert_same((part.copy_to_host() for part in found), expected)


@pytest.mark.parametrize(
    "metric",
    [
        pytest.param(metric, marks=pytest.mark.thorough if metric in ("dice", "ios", "iof") else ())
        for metric in MASK_METRICS
    ],
)
def test_masks(rng: np.random.Generator, metric: str) -> None:
    masks = np.concatenate([awkward_masks((70, 31))[::4], random_masks(rng, 9, (70, 31))])
    assert_pairs(masks, masks[::2], 0.3 if metric != "intersection" else 9, metric=metric, least=9)


def test_packed_masks(rng: np.random.Generator) -> None:
    masks = Masks.from_dense(random_masks(rng, 15, (70, 30)))
    groups = rng.integers(0, 2, 15)
    assert_pairs(masks, threshold=1e-6, least=5)
    assert_pairs(masks, masks[::2], 0.01, groups=(groups, groups[::2]), least=5)
    assert_topk(masks, masks[::-1], 4, metric="iof", least=10)


def test_masks_that_a_block_serves(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_sets, "FEW_CELLS", -1)
    masks = Masks.from_dense(random_masks(rng, 6, (70, 30)))
    assert_pairs(masks, threshold=1e-6, least=5)
    assert_topk(masks, masks, 2, least=6)


def test_progress(rng: np.random.Generator) -> None:
    a, b = both_sides(rng, np.float32)
    told: list[tuple[int, int]] = []
    options = {"device": "cuda", "progress": lambda done, total: told.append((done, total))}
    fastiou.pairs(a, b, 0.1, **options)
    assert told == [(1, 2), (2, 2)]
    told.clear()
    fastiou.topk(a, b, 3, **options)
    assert told == [(1, 1)]


def test_more_pairs_than_the_host_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = np.tile([0.0, 0, 1, 1], (40, 1))
    monkeypatch.setattr(memory, "KEPT_BYTES", 1)
    needed = 40 * 40 * 24
    monkeypatch.setattr(memory, "_available_memory", lambda: needed)
    assert len(fastiou.pairs(boxes, boxes, device="cuda")) == 1600
    monkeypatch.setattr(memory, "_available_memory", lambda: needed // 2)
    with pytest.raises(MemoryError, match="the list of 1,600 pairs needs "):
        fastiou.pairs(boxes, boxes, device="cuda")
    # None of them is a pair, however many are compared.
    shifted = boxes + np.array([0.5, 0, 0.5, 0])
    assert len(fastiou.pairs(boxes, shifted, 0.9, device="cuda")) == 0
