"""Sets on a GPU are searched there: one small record is copied to the host, and nothing else."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from boxes_for_tests import Array, awkward_boxes, random_boxes
from counted_for_tests import counted
from numba import cuda
from test_device_arrays import BOXES, MEMBERS

import fastiou
from fastiou.cuda import cell_sets, cells
from fastiou.runtime.gpu_kernel import CudaKernel

#: What is copied to the host: so many numbers, once.
RECORD = [cells.TOLD]


#: All formats; one of most geometries is tested unasked, since CPU kernels are compiled for each.
FORMATS = [
    name
    if name in ("xywh", "cxcywhr", "xyzxyz", "xx")
    else pytest.param(name, marks=pytest.mark.thorough)
    for name in MEMBERS
]


def on_gpu(value: Any) -> Any:
    """An array, or a tuple of them, on the GPU; None stays."""
    if isinstance(value, tuple):
        return tuple(map(on_gpu, value))
    return None if value is None else cuda.to_device(value)


def same_pairs(
    a: Array,
    b: Array | None,
    threshold: float,
    *,
    least: int = 1,
    copies: list[int] = RECORD,
    **options: Any,
) -> fastiou.Pairs:
    """Find pairs of arrays on the GPU and of the host: the same bits in the same order."""
    expected = fastiou.pairs(a, b, threshold, device="cpu", **options)
    groups = on_gpu(options.pop("groups", None))
    sets = on_gpu((a, b))
    with counted() as counts:
        found = fastiou.pairs(*sets, threshold, groups=groups, **options)
    assert (counts.to_host, counts.to_gpu, counts.waits) == (copies, [], len(copies))
    for column, other in zip(found, expected, strict=True):
        host = column.copy_to_host()
        assert host.dtype == other.dtype
        np.testing.assert_array_equal(host, other)
    assert found.shape == expected.shape
    assert found.tested <= expected.shape[0] * expected.shape[1]
    assert len(found) >= least
    return found


@pytest.fixture
def teams_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all threads of a block serve each row."""
    monkeypatch.setattr(cell_sets, "FEW_CELLS", -1)


def sizes_of_all_kinds(rng: np.random.Generator, dtype: Any) -> Array:
    """Boxes of 8 classes of sizes, some of which hold many cells of others, and odd ones."""
    low = rng.random((14, 2)) * 20
    sides = 2.0 ** rng.integers(-9, 9, (14, 1)) * (1 + rng.random((14, 2)))
    some = [[-1e6, -1e6, 1e6, 1e6], [0, 0, 30, 25], [np.nan, 0, 1, 1], [3, 3, 2, 5]]
    return np.concatenate([np.column_stack([low, low + sides]), some]).astype(dtype)


def test_pairs(rng: np.random.Generator) -> None:
    a = np.concatenate([random_boxes(rng, 20, np.float32), awkward_boxes(np.float32)[::3]])
    same_pairs(a, a[::-2].copy(), 1e-6, least=10)
    same_pairs(a, None, 0.05, least=4)
    same_pairs(a, a, 0.5, least=20)


def test_launches() -> None:
    """Seven for the pairs of two sets, and five for the best of each row."""
    boxes = BOXES.astype(np.float32)
    sets = on_gpu((boxes, boxes[::-1].copy()))
    for relation, wanted in ((fastiou.pairs, 7), (fastiou.topk, 5)):
        own = CudaKernel.launch
        with mock.patch.object(CudaKernel, "launch", autospec=True, side_effect=own) as launch:
            relation(*sets)
        assert launch.call_count == wanted


def test_sizes_of_all_kinds(rng: np.random.Generator) -> None:
    """Rows of one cell, of many, and of more than there are members."""
    boxes = sizes_of_all_kinds(rng, np.float64)
    found = same_pairs(boxes, None, 1e-12, least=20)
    assert same_pairs(boxes, None, 0.5, least=0).tested < found.tested / 2
    same_pairs(boxes, None, 1e-12, groups=np.arange(len(boxes)) % 2, least=8)
    with mock.patch.object(cell_sets, "FEW_CELLS", 4):
        same_pairs(boxes.astype(np.float32), boxes[:15].astype(np.float32), 1e-9, least=20)


@pytest.mark.usefixtures("teams_for_all")
def test_rows_that_a_block_serves(rng: np.random.Generator) -> None:
    a = random_boxes(rng, 5, np.float32)
    same_pairs(a, random_boxes(rng, 9, np.float32), 1e-6)
    same_pairs(a, None, 1e-6, groups=np.array([1, 0, 1, 1, 0]), least=0)


@pytest.mark.parametrize("found", [1, 31, 32, 33, 70])
def test_piles(found: int) -> None:
    """Equal boxes are of one cell. A thread sorts a row of 32 pairs, and a block one of more."""
    pile = np.tile(np.array([[0, 0, 2, 2.0]]), (found, 1))
    same_pairs(pile[:2], pile, 0.5, least=found)


def test_cells_that_share_a_slot(rng: np.random.Generator) -> None:
    """Found once, though a row looks into several cells of one slot."""
    a = random_boxes(rng, 10, span=30)
    many = np.concatenate([a, 3 * a, 9 * a])
    with mock.patch.object(cell_sets, "_slots_for", return_value=cells.STRIP):
        same_pairs(many, None, 1e-6, least=9)
        same_pairs(many, None, 1e-6, groups=np.arange(30) // 10 % 2, least=6)


@pytest.mark.parametrize("size1", [0, 1, 33])
@pytest.mark.parametrize("size2", [0, 1])
def test_odd_sizes(rng: np.random.Generator, size1: int, size2: int) -> None:
    a, b = random_boxes(rng, size1, np.float32), random_boxes(rng, size2, np.float32)
    b[:1] = a[: len(b[:1])] if size1 else b[:1]
    same_pairs(a, b, 0.1, least=min(size1, size2))
    if not size2:
        same_pairs(a, None, 0.1, least=0)


@pytest.mark.parametrize("dtypes", [("i8", "i8"), ("u1", "i4"), ("?", "u2")])
def test_groups(rng: np.random.Generator, dtypes: tuple[str, str]) -> None:
    a = random_boxes(rng, 24, np.float32, span=20)
    first, second = (rng.integers(0, 2, 24).astype(dtype) for dtype in dtypes)
    if dtypes[0] == "i8":
        first, second = (some * 10**12 - 10**12 for some in (first, second))
    same_pairs(a, a[::-1].copy(), 0.01, groups=(first, second), least=5)
    same_pairs(a, None, 0.01, groups=first, least=3)


def test_groups_that_the_host_numbers(rng: np.random.Generator) -> None:
    """Names, and integers of which some may be another's as int64: numbers alone are copied."""
    a = random_boxes(rng, 12, np.float32, span=10)
    sets = cuda.to_device(a), cuda.to_device(a[::-1].copy())
    names = [f"image {i % 3}" for i in range(12)]
    large = np.arange(12, dtype=np.uint64) % 2 + np.uint64(2**63)
    for groups in ((names, names), (large, large)):
        expected = fastiou.pairs(a, a[::-1], 0.01, groups=groups)
        with counted() as counts:
            found = fastiou.pairs(*sets, 0.01, groups=groups)
        assert counts.to_host == RECORD
        np.testing.assert_array_equal(found.cols.copy_to_host(), expected.cols)
    there = cuda.to_device(large)
    found = fastiou.pairs(*sets, 0.01, groups=(there, there))
    np.testing.assert_array_equal(found.cols.copy_to_host(), expected.cols)
    with pytest.raises(ValueError, match=r"groups\[0\] must have the shape \(12,\), got \(24,\)"):
        fastiou.pairs(*sets, groups=(cuda.to_device(np.arange(24)), there))


@pytest.mark.parametrize(
    "metric",
    [
        *("giou", "intersection"),
        *(
            pytest.param(name, marks=pytest.mark.thorough)
            for name in ("diou", "iof", "ios", "dice")
        ),
    ],
)
def test_metrics(rng: np.random.Generator, metric: str) -> None:
    a = random_boxes(rng, 16, np.float64, span=30)
    touching = np.concatenate([a, a + (a[:, [2, 3, 2, 3]] - a[:, [0, 1, 0, 1]])])
    same_pairs(touching, a, 0.2, metric=metric, least=8)
    same_pairs(touching.astype(np.float32), a.astype(np.float32), 1e-9, metric=metric, least=8)


@pytest.mark.parametrize("fmt", FORMATS)
def test_formats(fmt: str) -> None:
    members = MEMBERS[fmt].astype(np.float64)
    members[1:] += 0.3
    same_pairs(members, members[::-1].copy(), 1e-3, fmt=fmt)
    same_pairs(MEMBERS[fmt].astype(np.int32), None, 1e-3, fmt=fmt)


@pytest.mark.thorough
def test_gaussians_reach_past_their_bounds() -> None:
    boxes = np.array([[0, 0, 4, 2, 30], [3.5, 1, 2, 1, 0], [6.5, 1, 3, 1, 0], [30, 1, 2, 2, 5.0]])
    for dtype in (np.float32, np.float64):
        some = boxes.astype(dtype)
        found = same_pairs(some, None, 0.01, fmt="cxcywhr", metric="probiou")
        for row, col in zip(
            *(part.copy_to_host() for part in (found.rows, found.cols)), strict=True
        ):
            assert fastiou.box_iou(some, some, "cxcywhr")[row, col] == 0


@pytest.mark.parametrize(
    ("fmt", "power"), [("xyxy", -540), ("xyxy", 600), ("cxcywhr", -540), ("xyxyxyxy", 510)]
)
def test_sizes_that_the_arithmetic_is_not_fit_for(fmt: str, power: int) -> None:
    """Then the host reads the record, and all is done once more."""
    members = MEMBERS[fmt].astype(np.float64)
    last = -1 if fmt == "cxcywhr" else None
    members[:, :last] = np.ldexp(members[:, :last], power)
    same_pairs(members, members[::-1].copy(), 0.01, fmt=fmt, copies=2 * RECORD)


def test_single_precision_that_is_not_enough() -> None:
    members = np.ldexp(BOXES, -70).astype(np.float32)
    same_pairs(members, None, 0.01, copies=2 * RECORD)


def test_areas_of_magnified_boxes(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 20, np.float64) * 1e-155
    same_pairs(boxes, None, 40e-310, metric="intersection", copies=2 * RECORD, least=4)


def test_what_is_refused() -> None:
    boxes = BOXES.astype(np.float32)
    bad = boxes.copy()
    bad[2, 1] = np.inf
    for a, b, name in (
        (bad, boxes, "a"),
        (boxes, bad, "b"),
        (bad, None, "a"),
        (boxes[:0], bad, "b"),
    ):
        with pytest.raises(ValueError, match=f"{name} has an infinite coordinate in row 2"):
            fastiou.pairs(*on_gpu((a, b)))
    crossing = cuda.to_device(np.array([[0, 0, 2, 2, 2, 0, 0, 2.0]]))
    with pytest.raises(ValueError, match="cross"):
        fastiou.pairs(crossing, fmt="xyxyxyxy")


def test_what_the_host_prepares() -> None:
    """Angles of ciou, and integers that float64 does not hold: the search is there."""
    boxes = BOXES.astype(np.float32)
    far = BOXES + np.iinfo(np.int64).max - 100
    for some, metric in ((boxes, "ciou"), (far, "iou"), (far.astype(np.uint64) * 2, "iou")):
        expected = fastiou.pairs(some, threshold=0.01, metric=metric)
        assert len(expected)
        found = fastiou.pairs(cuda.to_device(some), threshold=0.01, metric=metric)
        np.testing.assert_array_equal(found.values.copy_to_host(), expected.values)


@pytest.mark.parametrize("fmt", [*FORMATS, "xyxy", "cxcywh"])
def test_integers_of_64_bits(fmt: str) -> None:
    """Prepared there up to 2^50, where nothing that is done with them rounds."""
    if fmt in ("xywhr", "xyzwhdr-bottom"):  # whose centres hang on an origin
        return
    members = MEMBERS[fmt].astype(np.int64)
    lengths = 4 if fmt.startswith("cxcywhr") else 6 if fmt.startswith("xyzwhdr") else None
    if fmt in ("xyxy", "xx", "xyzxyz", "xyxyxyxy"):
        members[:, :lengths] += 2**49
    else:
        members[:, :2] -= 2**49
    same_pairs(members, members[::-1].copy(), 1e-3, fmt=fmt)
    same_pairs(members, members.astype(np.uint32).astype(np.uint64), 1e-3, fmt=fmt, least=0)


# ---- the best of each row ----------------------------------------------------------------------


def same_best(
    a: Array, b: Array, k: int, *, least: int = 1, copies: list[int] = RECORD, **options: Any
) -> None:
    """Find the best of arrays on the GPU and of the host: the same bits."""
    expected = fastiou.topk(a, b, k, device="cpu", **options)
    groups = on_gpu(options.pop("groups", None))
    sets = on_gpu((a, b))
    with counted() as counts:
        found = fastiou.topk(*sets, k, groups=groups, **options)
    assert (counts.to_host, counts.to_gpu, counts.waits) == (copies, [], len(copies))
    for part, other in zip(found, expected, strict=True):
        host = part.copy_to_host()
        assert host.dtype == other.dtype
        np.testing.assert_array_equal(host, other)
    assert (expected.indices >= 0).sum() >= least


@pytest.mark.parametrize("k", [1, 3, 40])
def test_best(rng: np.random.Generator, k: int) -> None:
    a = np.concatenate([random_boxes(rng, 20, np.float32), awkward_boxes(np.float32)[::3]])
    same_best(a, a[::-2].copy(), k, least=10)
    same_best(a[:5], a, k, threshold=0.3, least=5)


def test_best_of_sizes_of_all_kinds(rng: np.random.Generator) -> None:
    boxes = sizes_of_all_kinds(rng, np.float64)
    same_best(boxes, boxes, 4, least=20)
    same_best(boxes, boxes, 4, metric="intersection", least=20)


@pytest.mark.usefixtures("teams_for_all")
@pytest.mark.parametrize("k", [2, 90])
def test_best_of_rows_that_a_block_serves(rng: np.random.Generator, k: int) -> None:
    """Of more candidates than can wait, too."""
    b = np.concatenate([np.sort(rng.random((170, 2)), axis=0)[::-1], np.full((170, 2), 9.0)], 1)
    same_best(b[-1:], b, k, least=k)


def test_best_of_ties_and_groups(rng: np.random.Generator) -> None:
    some = random_boxes(rng, 3, np.float32)
    b = some[rng.integers(0, 3, 40)]
    groups = rng.integers(0, 2, 3), rng.integers(0, 2, 40)
    same_best(some, b, 7, least=20)
    same_best(some, b, 7, groups=groups, least=5)


@pytest.mark.parametrize("size1", [0, 33])
@pytest.mark.parametrize("size2", [0, 1])
def test_best_of_odd_sizes(rng: np.random.Generator, size1: int, size2: int) -> None:
    a, b = random_boxes(rng, size1, np.float32), random_boxes(rng, size2, np.float32)
    same_best(a, b, 2, least=0)


def test_best_of_magnified_areas(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 12, np.float64) * 1e-155
    same_best(boxes, boxes, 2, metric="intersection", copies=2 * RECORD, least=5)


@pytest.mark.thorough
@pytest.mark.parametrize("fmt", ["cxcywhr", "xyzxyz", "xx"])
def test_best_of_formats(fmt: str) -> None:
    members = MEMBERS[fmt].astype(np.float32)
    same_best(members, members[::-1].copy(), 2, fmt=fmt)


def test_best_of_what_is_refused() -> None:
    boxes = BOXES.astype(np.float32)
    boxes[2, 1] = np.inf
    with pytest.raises(ValueError, match="b has an infinite coordinate in row 2"):
        fastiou.topk(*on_gpu((boxes[:2], boxes)))


def test_matches(rng: np.random.Generator) -> None:
    """Their search is that of pairs."""
    a, b = random_boxes(rng, 12, np.float32, span=20), random_boxes(rng, 9, np.float32, span=20)
    expected = fastiou.match(a, b, 0.05)
    with counted() as counts:
        found = fastiou.match(*on_gpu((a, b)), 0.05)
    assert counts.to_host == [*RECORD, *[counts.to_host[-1]] * 3]  # and the pairs
    for column, other in zip(found, expected, strict=True):
        host = column.copy_to_host() if hasattr(column, "copy_to_host") else column
        np.testing.assert_array_equal(host, other)
