"""`pairs` and `topk` find on a GPU what they find on the CPU, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import METRICS, awkward_boxes, random_boxes
from masks_for_tests import METRICS as MASK_METRICS
from masks_for_tests import awkward_masks, random_masks
from numba import cuda

import fastiou
from fastiou.cuda import search as join
from fastiou.geometries.boxes import BOX
from fastiou.geometries.table import read_sets
from fastiou.metrics import METRICS as METRIC_ROWS
from fastiou.relations.pairs import Pairs, find_pairs
from fastiou.runtime import memory
from fastiou.runtime.gpu import working
from fastiou.runtime.gpu_kernel import threads_of_block
from fastiou.search import grid_plan

#: The CPU searches the same index, and so makes as many scores; other tests compare what one call
#: does for a few.
pytestmark = pytest.mark.general_way

Array = np.ndarray[Any, Any]

#: Who serves a row: always one thread; teams of more the more there is to do; always many threads.
SERVICES = {
    "alone": ((1, 1 << 40),),
    "mixed": ((1, 6), (3, 20), (8, 1 << 40)),
    "teams": ((1, -1), (4, 1 << 40)),
}


@pytest.fixture(autouse=True)
def few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "MANY_ROWS", 0)


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(join, "TEAMS", SERVICES[request.param])
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["as it is", "grid"])
def grid(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Also have every group searched by a grid, as only large ones are, with the smallest cells."""
    if request.param:
        for name, value in (
            ("BUILDING_SCORES", 0),
            ("ASKING_SCORES", 0),
            ("CELL_BOXES", 1),
            ("CLASS_SHARE", 0),
        ):
            monkeypatch.setattr(grid_plan, name, value)
    return bool(request.param)


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
    assert (found.tested, found.shape) == (expected.tested, expected.shape)
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


@pytest.mark.parametrize("metric", METRICS)
def test_pairs_of_every_metric(rng: np.random.Generator, metric: str) -> None:
    dtype = np.float32 if METRICS.index(metric) % 2 else np.float64
    a, b = both_sides(rng, dtype)
    assert_pairs(a, b, 0.2 if metric != "intersection" else 40.0, metric=metric, least=10)


def test_pairs_by_any_service(rng: np.random.Generator, service: str, grid: bool) -> None:
    a, b = both_sides(rng, np.float32)
    assert_pairs(a, b, 1e-6, least=40)
    assert_pairs(a, None, 0.05, least=5)


def test_pairs_exactly_at_the_threshold(service: str) -> None:
    boxes = np.array([[0, 0, 2, 1], [0, 0, 1, 1], [0, 0, 4, 1]], np.float32)
    assert_pairs(boxes, None, 0.5, least=2)
    assert len(fastiou.pairs(boxes, threshold=0.5, device="cuda")) == 2
    assert fastiou.topk(boxes[:1], boxes, 3, threshold=0.5, device="cuda").indices[0, 2] >= 0


@pytest.mark.parametrize("found", [31, 32, 33])
def test_rows_of_as_many_pairs_as_are_sorted_by_insertion(
    rng: np.random.Generator, grid: bool, found: int
) -> None:
    """By a grid they come in the order of its cells."""
    assert join.FEW == 32
    b = np.tile(np.array([[0, 0, 2, 2.0]]), (found, 1)) + rng.random((found, 1)) / 8
    assert_pairs(b[:1], b, 0.5, least=found)


@pytest.mark.parametrize("dtype", [np.float16, np.uint8, np.int64])
def test_pairs_of_other_dtypes(rng: np.random.Generator, dtype: Any) -> None:
    a, b = (boxes.clip(0, 200).astype(dtype) for boxes in both_sides(rng, np.int32))
    assert_pairs(a, b, 0.1, fmt="xywh", least=10)


@pytest.mark.parametrize("metric", ["iou", "ciou"])
def test_pairs_of_integers_too_far_apart_for_floats(rng: np.random.Generator, metric: str) -> None:
    boxes = random_boxes(rng, 20, np.int64)
    boxes[::2] += 2**62
    boxes[1::4] -= 2**62
    assert_pairs(boxes, boxes + 1, 0.3, metric=metric, least=10)
    assert_pairs(boxes, threshold=1e-6, metric=metric, least=1)


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e-18), (np.float64, 1e-155)])
def test_pairs_of_tiny_boxes(rng: np.random.Generator, dtype: Any, scale: float) -> None:
    """Of float32 ones columns are float64, of float64 ones magnified."""
    a, b = (boxes * boxes.dtype.type(scale) for boxes in both_sides(rng, dtype))
    assert_pairs(a, b, 40 * scale**2, metric="intersection", least=10)
    assert_topk(a, b, 2, metric="intersection", least=10)


def test_pairs_in_groups(rng: np.random.Generator, service: str, grid: bool) -> None:
    a, b = both_sides(rng, np.float32)
    groups = rng.integers(-1, 3, len(a)) * 10**12, rng.integers(0, 4, len(b)) * 10**12
    assert_pairs(a, b, 0.05, groups=groups, least=3)
    assert_pairs(a, threshold=0.01, groups=groups[0], least=1)


def test_pairs_of_a_pile(rng: np.random.Generator) -> None:
    """Rows of more pairs than one thread sorts."""
    pile = np.concatenate([rng.random((37, 2)), 50 + rng.random((37, 2))], axis=1)
    assert_pairs(pile, threshold=0.1, least=37 * 36 // 2)
    assert_pairs(pile[:1], pile[::-1], 0.1, least=37)


@pytest.mark.parametrize("size1", [0, 33])
@pytest.mark.parametrize("size2", [0, 1])
def test_pairs_and_topk_of_odd_sizes(rng: np.random.Generator, size1: int, size2: int) -> None:
    a, b = random_boxes(rng, size1, np.float32), random_boxes(rng, size2, np.float32)
    b[:1] = a[: len(b[:1])] if size1 else b[:1]
    assert_pairs(a, b, 0.1, least=min(size1, size2, 1))
    assert_topk(a, b, 2, least=min(size1, size2, 1))
    if not size2:
        assert_pairs(a, threshold=0.1, least=0)


def test_nothing_proper() -> None:
    boxes = awkward_boxes()[6:13]
    assert len(assert_pairs(boxes, boxes, 0.1, least=0)) == 0
    assert_topk(boxes, boxes, 3, least=0)


def test_pairs_of_crowds(rng: np.random.Generator, service: str) -> None:
    a, b = both_sides(rng, np.float32)
    crowd = rng.random(len(b)) < 0.3

    def found(device: str) -> Pairs:
        sets = read_sets(BOX, ("a", "b"), a, b, "xyxy")
        return find_pairs(*sets, METRIC_ROWS["iou"], 0.2, None, crowd=crowd, device=device)

    assert_same(found("cuda"), found("cpu"))
    assert found("cuda").tested == found("cpu").tested
    assert len(found("cuda")) > 10


@pytest.mark.parametrize("metric", MASK_METRICS)
def test_pairs_of_masks(rng: np.random.Generator, metric: str) -> None:
    masks = np.concatenate([awkward_masks((70, 31))[::4], random_masks(rng, 9, (70, 31))])
    assert_pairs(masks, masks[::2], 0.3 if metric != "intersection" else 9, metric=metric, least=9)


def test_pairs_of_packed_masks(rng: np.random.Generator, service: str, grid: bool) -> None:
    masks = fastiou.Masks.from_dense(random_masks(rng, 15, (70, 30)))
    groups = rng.integers(0, 2, 15)
    assert_pairs(masks, threshold=1e-6, least=5)
    assert_pairs(masks, masks[::2], 0.01, groups=(groups, groups[::2]), least=5)


def test_progress_and_many_steps(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "STEP", 1200)
    monkeypatch.setattr(join, "TEAMS", SERVICES["mixed"])
    a, b = both_sides(rng, np.float32)
    told: list[tuple[int, int]] = []
    assert_pairs(a, b, 0.1, progress=lambda done, total: told.append((done, total)), least=10)
    told = told[: told.index((told[0][1], told[0][1])) + 1]  # those of the GPU
    assert len(told) > 3
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert len({total for _, total in told}) == 1
    assert_topk(a, b, 3, least=10)


def test_long_rows_are_sorted(rng: np.random.Generator) -> None:
    counts = np.array([0, 1, 2, 5, 64, 71])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rows = rng.permutation(len(counts))[:-1]
    columns = np.concatenate([rng.permutation(count) * 2**33 for count in counts])
    values = rng.random(len(columns)).astype(np.float32)
    expected = columns.copy(), values.copy()
    for row in rows:
        own = slice(offsets[row], offsets[row + 1])
        order = np.argsort(columns[own])
        expected[0][own], expected[1][own] = columns[own][order], values[own][order]
    with working() as work:
        gpu_columns, gpu_values = cuda.to_device(columns), cuda.to_device(values)
        join.SORT_MANY.launch(
            len(rows), threads_of_block(join.THREADS), work.stream, cuda.to_device(rows),
            cuda.to_device(offsets), gpu_columns, gpu_values,
        )  # fmt: skip
        assert_same((work.to_host(gpu_columns), work.to_host(gpu_values)), expected)


# ---- the best of each row ----------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 40])
def test_topk(rng: np.random.Generator, service: str, k: int) -> None:
    a, b = both_sides(rng, np.float32)
    assert_topk(a[::3], b, k, least=5)


@pytest.mark.parametrize("metric", ["ciou", "intersection"])
def test_topk_of_other_metrics(rng: np.random.Generator, metric: str, grid: bool) -> None:
    a, b = both_sides(rng, np.float64)
    assert_topk(a[::3], b, 3, metric=metric, threshold=0.05, least=5)


def test_topk_of_ties(rng: np.random.Generator, service: str, grid: bool) -> None:
    some = random_boxes(rng, 3, np.float32)
    b = some[rng.integers(0, 3, 40)]
    groups = rng.integers(0, 2, 3), rng.integers(0, 2, 40)
    assert_topk(some, b, 7, least=20)
    assert_topk(some, b, 7, groups=groups, least=5)


@pytest.mark.parametrize("k", [3, 300])
def test_topk_of_more_than_can_wait(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, k: int
) -> None:
    monkeypatch.setattr(join, "TEAMS", SERVICES["teams"])
    b = np.concatenate([np.sort(rng.random((170, 2)), axis=0)[::-1], np.full((170, 2), 9.0)], 1)
    assert_topk(b[-1:], b, k, least=min(k, 170))


def test_topk_of_masks(rng: np.random.Generator, service: str) -> None:
    masks = fastiou.Masks.from_dense(random_masks(rng, 10, (65, 30)))
    assert_topk(masks, masks[::-1], 4, metric="iof", least=10)


# ---- where arguments lie -----------------------------------------------------------------------


def test_arrays_of_a_gpu_stay_there(rng: np.random.Generator) -> None:
    a, b = both_sides(rng, np.float32)
    on_gpu = cuda.to_device(a), cuda.to_device(b)
    found, expected = fastiou.pairs(*on_gpu, 0.1), fastiou.pairs(a, b, 0.1)
    assert all(hasattr(column, "__cuda_ndarray__") for column in found)
    assert_same((column.copy_to_host() for column in found), expected)
    best, expected_best = fastiou.topk(*on_gpu, 2), fastiou.topk(a, b, 2)
    assert all(hasattr(part, "__cuda_ndarray__") for part in best)
    assert_same((part.copy_to_host() for part in best), expected_best)


def test_few_rows_get_teams(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "MANY_ROWS", 1 << 15)
    a, b = both_sides(rng, np.float32)
    assert_pairs(a[:3], b, 0.1)
    assert_topk(a[:3], b, 2)


def test_too_many_pairs_are_refused_while_they_are_counted(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    boxes = np.tile([0.0, 0, 1, 1], (40, 1))
    monkeypatch.setattr(join, "STEP", 200)
    monkeypatch.setattr(memory, "KEPT_BYTES", 1)
    needed = 40 * 40 * 24
    monkeypatch.setattr(memory, "_available_memory", lambda: needed)
    assert len(fastiou.pairs(boxes, boxes, device="cuda")) == 1600
    monkeypatch.setattr(memory, "_available_memory", lambda: needed // 2)
    with pytest.raises(MemoryError, match=r"the list of more than (8|9)\d\d pairs needs "):
        fastiou.pairs(boxes, boxes, device="cuda")
    # None of them is a pair, however many are compared.
    shifted = boxes + np.array([0.5, 0, 0.5, 0])
    assert len(fastiou.pairs(boxes, shifted, 0.9, device="cuda")) == 0
