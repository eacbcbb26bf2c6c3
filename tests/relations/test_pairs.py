"""Pairs above a threshold equal the dense result, bit for bit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from boxes_for_tests import (
    FORMATS,
    METRICS,
    USUAL_METRICS,
    Array,
    as_format,
    awkward_boxes,
    drawn_boxes,
    random_boxes,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from masks_for_tests import METRICS as MASK_METRICS
from masks_for_tests import awkward_masks, drawn_masks, drawn_sizes, forms_of, noise, random_masks

import fastiou
from fastiou import reference
from fastiou.geometries.boxes import BOX
from fastiou.geometries.table import read_sets
from fastiou.metrics import METRICS as METRIC_ROWS
from fastiou.runtime import memory, threads
from fastiou.search import grid_plan, pair_lists
from fastiou.search import search as candidates
from fastiou.search.groups import group_codes

#: Few are many here: other tests compare what one call does for a few.
pytestmark = pytest.mark.general_way


def assert_pairs(found: fastiou.Pairs, scores: Array, threshold: float) -> None:
    rows, cols, values = reference.box_pairs(scores, threshold)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.cols, cols)
    np.testing.assert_array_equal(found.values, values)
    assert found.rows.dtype == found.cols.dtype == np.int64
    assert found.values.dtype == scores.dtype
    assert found.shape == scores.shape
    assert len(found) == len(values)


@pytest.mark.parametrize(
    ("metric", "dtype"),
    [
        *[(metric, dtype) for metric in METRICS for dtype in (np.float64, np.int32)],
        *[(metric, dtype) for metric in USUAL_METRICS for dtype in (np.float16, np.float32)],
    ],
)
@pytest.mark.parametrize("fmt", FORMATS)
def test_equals_the_dense_result(
    rng: np.random.Generator, metric: str, fmt: str, dtype: type
) -> None:
    a, b = (as_format(random_boxes(rng, size), fmt).astype(dtype) for size in (130, 333))
    dense = fastiou.box_iou(a, b, fmt, metric=metric)
    for threshold in (1e-6, 0.1, 0.5, 1.0):
        assert_pairs(fastiou.pairs(a, b, threshold, metric=metric, fmt=fmt), dense, threshold)
    itself = np.triu(fastiou.box_iou(a, a, fmt, metric=metric), 1)
    assert_pairs(fastiou.pairs(a, threshold=0.1, metric=metric, fmt=fmt), itself, 0.1)


def test_the_threshold_itself_is_a_pair() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array(
        [[0, 0, 10, 7], [0, 0, 10, np.nextafter(np.float32(7), np.float32(0))]], np.float32
    )
    # 0.7 is no float32, and is compared in the dtype of the scores, as NumPy does.
    assert_pairs(fastiou.pairs(a, b, 0.7), fastiou.box_iou(a, b), 0.7)
    assert fastiou.pairs(a, b, 0.7).cols.tolist() == [0]
    assert fastiou.pairs(a, b, np.float64(0.7)).cols.tolist() == [0]


@given(a=drawn_boxes(), b=drawn_boxes(), data=st.data())
def test_any_boxes_and_groups(a: Array, b: Array, data: st.DataObject) -> None:
    group = st.integers(-1, 2)
    groups = [
        np.array(data.draw(st.lists(group, min_size=len(boxes), max_size=len(boxes))), np.int64)
        for boxes in (a, b)
    ]
    same = groups[0][:, None] == groups[1][None]
    dense = np.nan_to_num(fastiou.box_iou(a, b))
    found = fastiou.pairs(a, b, 0.2, groups=(groups[0], groups[1]))
    assert_pairs(found, np.where(same, dense, 0), 0.2)
    assert found.tested <= same.sum()  # what has no area is not even compared
    itself = np.nan_to_num(np.triu(fastiou.box_iou(a, a), 1))
    within = groups[0][:, None] == groups[0][None]
    assert_pairs(
        fastiou.pairs(a, threshold=0.2, groups=groups[0]), np.where(within, itself, 0), 0.2
    )


@pytest.mark.parametrize("metric", METRICS)
def test_awkward_boxes_never_pair(metric: str) -> None:
    boxes = awkward_boxes()
    found = fastiou.pairs(boxes, boxes, 1e-9, metric=metric)
    assert_pairs(found, np.nan_to_num(fastiou.box_iou(boxes, boxes, metric=metric)), 1e-9)
    assert not {10, 11, 12} & {*found.rows.tolist(), *found.cols.tolist()}


@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0)])
def test_empty(sizes: tuple[int, int]) -> None:
    a, b = np.ones((sizes[0], 4)), np.ones((sizes[1], 4))
    for groups in (
        None,
        (np.zeros(sizes[0], int), np.zeros(sizes[1], int)),
        ([0] * sizes[0], [0] * sizes[1]),
    ):
        found = fastiou.pairs(a, b, groups=groups)
        assert len(found) == 0
        assert found.to_scipy().shape == sizes
    assert len(fastiou.pairs(a)) == 0


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.bool_])
def test_group_dtypes(rng: np.random.Generator, dtype: type) -> None:
    boxes = random_boxes(rng, 60)
    groups = rng.integers(0, 2, 60)
    expected = fastiou.pairs(boxes, boxes, 0.1, groups=(groups, groups))
    found = fastiou.pairs(boxes, boxes, 0.1, groups=(groups.astype(dtype), groups.astype(dtype)))
    for part, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_threshold_that_rounds_to_0_is_still_above_it(dtype: type) -> None:
    boxes = np.array([[0, 0, 10, 10], [np.nan, 0, 1, 1], [20, 20, 30, 30]], dtype)
    found = fastiou.pairs(boxes, boxes, 1e-320)
    assert (found.rows.tolist(), found.cols.tolist()) == ([0, 2], [0, 2])
    huge = np.array([[0, 0, 1e200, 1e200], [5e200, 5e200, 6e200, 6e200], [0, 0, 1, 1]])
    found = fastiou.pairs(huge, huge, 1e-300, metric="intersection")
    assert {0, 1} <= set(found.rows.tolist()) <= {0, 1, 2}
    assert (found.values > 0).all()


def test_the_result_is_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its three columns together do not fit, each of them would."""
    boxes = np.tile([0.0, 0, 1, 1], (3000, 1))
    monkeypatch.setattr(memory, "_available_memory", lambda: 200_000_000)
    with pytest.raises(MemoryError, match=r"9,000,000 pairs needs 206.0 MiB, and 190.7"):
        fastiou.pairs(boxes, boxes)


@pytest.mark.parametrize("itself", [False, True])
@pytest.mark.parametrize("kind", ["boxes", "masks", "groups", "index", "match"])
def test_too_many_pairs_are_refused_while_they_are_counted(
    monkeypatch: pytest.MonkeyPatch, fixed_steps: Callable[[int], None], kind: str, itself: bool
) -> None:
    boxes = np.tile([0.0, 0, 1, 1], (6000, 1))
    groups = np.arange(6000) // 3000
    calls = {
        "boxes": lambda: fastiou.pairs(boxes, None if itself else boxes),
        "masks": lambda: fastiou.pairs(*[fastiou.Masks.from_dense(np.ones((6000, 2, 2), bool))]
                                       * (1 if itself else 2)),
        "groups": lambda: fastiou.pairs(
            boxes, None if itself else boxes, groups=groups if itself else (groups, groups)
        ),
        "index": lambda: fastiou.Index(boxes).pairs(boxes),
        "match": lambda: fastiou.match(boxes, boxes, metric="iou" if itself else "dice"),
    }  # fmt: skip
    fixed_steps(1 << 19)
    monkeypatch.setattr(memory, "_available_memory", lambda: 140_000_000)
    with pytest.raises(
        MemoryError, match=r"the list of more than [\d,]+ pairs needs .* free; "
    ) as told:
        calls[kind]()
    counted = int(re.findall("[0-9,]+(?= pairs)", str(told.value))[0].replace(",", ""))
    # So many fit, and some of those in the pool besides: 12 bytes a pair more are asked for.
    assert 140_000_000 / 24 < counted < 140_000_000 / 12 + 2**20


def test_pairs_that_fit_are_found_although_more_are_compared(
    monkeypatch: pytest.MonkeyPatch, fixed_steps: Callable[[int], None]
) -> None:
    """Few of the scores are enough."""
    boxes = np.tile([0.0, 0, 1, 1], (6000, 1))
    boxes[:, 2] += np.arange(6000)
    fixed_steps(1 << 19)
    monkeypatch.setattr(memory, "_available_memory", lambda: 140_000_000)
    found = fastiou.pairs(boxes, threshold=0.999)
    assert found.tested > 140_000_000 / 24 / 2
    assert 0 < len(found) < 10**6


def test_group_numbers_beyond_int64() -> None:
    box = np.array([[0, 0, 1, 1]] * 2)
    # These two become equal as float64.
    groups = np.array([2**64 - 1, 2**64 - 2], np.uint64)
    found = fastiou.pairs(box, box, groups=(groups, groups))
    assert (found.rows.tolist(), found.cols.tolist()) == ([0, 1], [0, 1])
    small = np.array([2**62, 2**64 - 2], np.uint64), np.array([2**62, 5], np.uint64)
    found = fastiou.pairs(box, box, groups=small)
    assert (found.rows.tolist(), found.cols.tolist()) == ([0], [0])
    assert len(fastiou.pairs(box, box[:0], groups=(groups, np.empty(0, np.uint64)))) == 0
    # No integer type of NumPy's holds both of these.
    assert len(fastiou.pairs(box, box, groups=(groups, [0, -1]))) == 0
    found = fastiou.pairs(box, box, groups=(np.array([2**64 - 1, 5], np.uint64), [5, -1]))
    assert (found.rows.tolist(), found.cols.tolist()) == ([1], [0])
    found = fastiou.pairs(box, box, groups=([5, -1], np.array([2**64 - 1, 5], np.uint64)))
    assert (found.rows.tolist(), found.cols.tolist()) == ([0], [1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threshold": 0}, ValueError, "threshold must be greater than 0 and at most 1, got 0"),
        ({"threshold": float("nan")}, ValueError, "greater than 0"),
        ({"threshold": 1.5}, ValueError, "at most 1"),
        ({"threshold": "high"}, TypeError, "threshold must be a number, got 'high'"),
        ({"threshold": "0.5"}, TypeError, "threshold must be a number, got '0.5'"),
        (
            {"threshold": np.array([0.5])},
            TypeError,
            r"threshold must be a number, got array\(\[0.5\]",
        ),
        ({"progress": 0}, TypeError, "progress must be a bool or a function"),
        ({"metric": "no"}, ValueError, "metric must be one of"),
        ({"fmt": "no"}, ValueError, "fmt must be one of"),
        ({"device": "cuda"}, RuntimeError, "cannot be used"),
        (
            {"groups": [1, 1]},
            ValueError,
            "groups must be a tuple of two, the groups of a and those of b",
        ),
        (
            {"groups": ([1], [1, 2])},
            ValueError,
            r"groups\[1\] must have the shape \(1,\), got \(2,\)",
        ),
        (
            {"groups": ([1.5], [1])},
            TypeError,
            r"groups\[0\] must hold integers or names, .*got 1.5 at position 0",
        ),
        ({"groups": 3}, ValueError, "groups must be a tuple"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastiou.pairs([[0, 0, 1, 1]], [[0, 0, 1, 1]], **options)


def test_bad_boxes() -> None:
    with pytest.raises(
        ValueError, match=r"a must have the shape \(N, 4\), got \(1, 1, 4\); tell bat"
    ):
        fastiou.pairs([[[0, 0, 1, 1]]])
    with pytest.raises(ValueError, match=r"b must have the shape"):
        fastiou.pairs([[0, 0, 1, 1]], [0, 0, 1, 1])


@pytest.mark.slow
@pytest.mark.usefixtures("several_threads")
def test_the_same_bits_for_any_threads_and_steps(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, fixed_steps: Callable[[int], None]
) -> None:
    a, b = random_boxes(rng, 700, np.float32), random_boxes(rng, 900, np.float32)
    groups = rng.integers(0, 5, 700), rng.integers(0, 5, 900)
    wanted = [fastiou.pairs(a, b, 0.1), fastiou.pairs(a, b, 0.1, groups=groups)]
    for count in (1, 2, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        for step in (1, 777, 200_000, 1 << 26):
            if step == 1 and count > 1:
                continue
            fixed_steps(max(step, 500) if step == 1 else step)
            for cuts in (1, 7, 64):
                monkeypatch.setattr(candidates, "CUTS", cuts)
                monkeypatch.setattr(grid_plan, "CUTS", cuts)
                found = [fastiou.pairs(a, b, 0.1), fastiou.pairs(a, b, 0.1, groups=groups)]
                for one, other in zip(found, wanted, strict=True):
                    for part, expected in zip(one, other, strict=True):
                        np.testing.assert_array_equal(part, expected)


def test_progress_is_told_and_ends_at_the_total(
    rng: np.random.Generator, fixed_steps: Callable[[int], None]
) -> None:
    fixed_steps(10_000)
    told: list[tuple[int, int]] = []
    boxes = random_boxes(rng, 400)
    fastiou.pairs(boxes, boxes, progress=lambda done, total: told.append((done, total)))
    done = [step[0] for step in told]
    assert done == sorted(done)
    assert len(done) > 10
    assert told[-1][0] == told[-1][1] > 320_000


def test_pairs_object(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 50)
    found = fastiou.pairs(boxes, threshold=0.1)
    rows, cols, values = found
    assert rows is found.rows
    assert cols is found.cols
    matrix = found.to_scipy()
    expected = np.triu(fastiou.box_iou(boxes, boxes), 1)
    np.testing.assert_array_equal(matrix.toarray(), np.where(expected >= 0.1, expected, 0))
    first, header, *lines = repr(found).splitlines()
    assert first == f"<Pairs: {len(values):,} of 50 × 50>"
    assert header.split() == ["row", "col", "value"]
    assert len(lines) == (11 if len(values) > 10 else len(values))
    assert lines[0].split()[:2] == [str(rows[0]), str(cols[0])]
    assert lines[-1].split()[:2] == [str(rows[-1]), str(cols[-1])]
    for part, column in zip(found, found.to_numpy(), strict=True):
        np.testing.assert_array_equal(part, column)


def test_memory_does_not_grow_with_the_product(rng: np.random.Generator) -> None:
    """The dense result of these would be 8 GB; the boxes of different groups never meet."""
    tracemalloc = pytest.importorskip("tracemalloc")
    boxes = random_boxes(rng, 30_000)
    groups = np.arange(30_000) // 10
    tracemalloc.start()
    found = fastiou.pairs(boxes, boxes, 0.5, groups=(groups, groups))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tested <= 300_000
    assert peak < 30_000_000


def test_pairs_beyond_2_to_the_31(rng: np.random.Generator) -> None:
    """More than 2**31 pairs are compared; few are found."""
    # One above the other, so that each overlaps each, and no two of unlike heights enough.
    a = np.tile(np.array([0, 0, 8, 5.9]), (1_000_000, 1)).astype(np.float32)
    b = np.tile(np.array([0, 0, 8, 6.1]), (2200, 1)).astype(np.float32)
    b[:, 3] += np.arange(2200, dtype=np.float32) * np.float32(1e-4)
    a[[0, 499_999, 999_999]] = b[[0, 1100, 2199]]
    found = fastiou.pairs(a, b, 0.999999)
    assert found.tested == 2_200_000_000 > 2**31
    assert found.rows.tolist() == [0, 499_999, 999_999]
    assert found.cols.tolist() == [0, 1100, 2199]


def test_real_tracks(real_data: Any) -> None:
    truth, tracks = (
        np.loadtxt(real_data / "mot17" / name, delimiter=",", usecols=range(6))
        for name in ("MOT17-02.gt.txt.gz", "MOT17-02-SDP.mpntrack.txt.gz")
    )
    found = fastiou.pairs(
        truth[:, 2:], tracks[:, 2:], 0.5, fmt="xywh",
        groups=(truth[:, 0].astype(int), tracks[:, 0].astype(int)),
    )  # fmt: skip
    rows, cols = [], []
    for frame in np.unique(truth[:, 0]):
        here, there = np.flatnonzero(truth[:, 0] == frame), np.flatnonzero(tracks[:, 0] == frame)
        scores = reference.box_iou(truth[here, 2:], tracks[there, 2:], "xywh")
        row, col = np.nonzero(scores >= 0.5)
        rows.append(here[row])
        cols.append(there[col])
    order = np.lexsort((np.concatenate(cols), np.concatenate(rows)))
    np.testing.assert_array_equal(found.rows, np.concatenate(rows)[order])
    np.testing.assert_array_equal(found.cols, np.concatenate(cols)[order])


# ---- masks -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("metric", MASK_METRICS)
def test_masks_equal_the_dense_result(rng: np.random.Generator, metric: str) -> None:
    numba.set_num_threads(1)  # the parallel kernels take as long again to compile
    a = fastiou.Masks.from_dense(random_masks(rng, 130, (90, 70)))
    b = fastiou.Masks.from_dense(
        np.concatenate([awkward_masks((90, 70)), random_masks(rng, 160, (90, 70))])
    )
    dense = fastiou.mask_iou(a, b, metric=metric)
    groups = rng.integers(0, 3, len(a)), rng.integers(0, 3, len(b))
    same = groups[0][:, None] == groups[1][None]
    itself = np.triu(fastiou.mask_iou(a, a, metric=metric), 1)
    within = groups[0][:, None] == groups[0][None]
    for threshold in (1, 5.5, 700) if metric == "intersection" else (1e-320, 0.1, 0.5, 1):
        limit = max(threshold, 1e-300)
        assert_pairs(fastiou.pairs(a, b, threshold, metric=metric), dense, limit)
        found = fastiou.pairs(a, b, threshold, metric=metric, groups=groups)
        assert_pairs(found, np.where(same, dense, 0), limit)
        assert found.tested <= same.sum()  # what has no area is not even compared
        found = fastiou.pairs(a, threshold=threshold, metric=metric)
        assert_pairs(found, itself, limit)
        assert found.tested <= 130 * 129 // 2
        found = fastiou.pairs(a, threshold=threshold, metric=metric, groups=groups[0])
        assert_pairs(found, np.where(within, itself, 0), limit)


@given(size=drawn_sizes(), data=st.data())
@settings(max_examples=30)
def test_any_masks_and_groups(size: tuple[int, int], data: st.DataObject) -> None:
    sets = [data.draw(drawn_masks(size)) for _ in range(2)]
    group = st.integers(-1, 2)
    groups = [
        np.array(data.draw(st.lists(group, min_size=len(some), max_size=len(some))), np.int64)
        for some in sets
    ]
    a, b = map(fastiou.Masks.from_dense, sets)
    same = groups[0][:, None] == groups[1][None]
    threshold = data.draw(st.sampled_from([1e-9, 0.3, 1.0]))
    scores = np.where(same, reference.mask_iou(*sets), 0)
    assert_pairs(fastiou.pairs(a, b, threshold, groups=(groups[0], groups[1])), scores, threshold)
    within = groups[0][:, None] == groups[0][None]
    scores = np.where(within, np.triu(reference.mask_iou(sets[0], sets[0]), 1), 0)
    assert_pairs(fastiou.pairs(a, threshold=threshold, groups=groups[0]), scores, threshold)


def test_forms_of_masks_mix_freely(rng: np.random.Generator) -> None:
    a, b = random_masks(rng, 6, (20, 30)), random_masks(rng, 8, (20, 30))
    scores = reference.mask_iou(a, b)
    itself = np.triu(reference.mask_iou(a, a), 1)
    for form in forms_of(a).values():
        assert_pairs(fastiou.pairs(form, threshold=0.1), itself, 0.1)
        for other in forms_of(b).values():
            assert_pairs(fastiou.pairs(form, other, 0.1), scores, 0.1)
    # A slice of a set with another of the same, and one with the whole.
    packed = fastiou.Masks.from_dense(b)
    scores = reference.mask_iou(b[5:], b[2:7])
    assert_pairs(fastiou.pairs(packed[5:], packed[2:7], 0.1), scores, 0.1)


def test_masks_four_wide_are_told_from_boxes(rng: np.random.Generator) -> None:
    dense = random_masks(rng, 9, (6, 4))
    scores = reference.mask_iou(dense, dense)
    packed = fastiou.Masks.from_dense(dense)
    assert_pairs(fastiou.pairs(packed, dense, 0.1), scores, 0.1)
    assert_pairs(fastiou.pairs(dense, packed.to_rle(), 0.1), scores, 0.1)
    with pytest.raises(ValueError, match="pass masks that are 4 wide as Masks"):
        fastiou.pairs(dense, dense)


@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0)])
def test_no_masks(sizes: tuple[int, int]) -> None:
    whole = fastiou.Masks.from_dense(np.ones((3, 5, 6)))
    a, b = whole[: sizes[0]], whole[: sizes[1]]
    groups = np.zeros(sizes[0], int), np.zeros(sizes[1], int)
    for found in (fastiou.pairs(a, b), fastiou.pairs(a, b, groups=groups)):
        assert len(found) == 0
        assert found.to_scipy().shape == sizes
    assert len(fastiou.pairs(whole[:0])) == 0
    assert len(fastiou.pairs(whole, [])) == len(fastiou.pairs([], whole)) == 0
    assert len(fastiou.pairs(np.ones((3, 0, 6)), threshold=1e-9)) == 0


@pytest.mark.usefixtures("several_threads")
@pytest.mark.slow
def test_masks_give_the_same_bits_for_any_threads_and_steps(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, fixed_steps: Callable[[int], None]
) -> None:
    """Masks of very unequal sizes, which rows of equal work must still share."""
    dense = random_masks(rng, 150, (90, 70))
    dense[:20] = noise(rng, 20, (90, 70))
    dense[40:60] = False
    a = fastiou.Masks.from_dense(dense)
    b = a[rng.permutation(150)]
    groups = rng.integers(0, 4, 150), rng.integers(0, 4, 150)
    numba.set_num_threads(1)

    def found() -> list[Any]:
        several = [
            fastiou.pairs(a, b, 0.1),
            fastiou.pairs(a, b, 0.1, groups=groups),
            fastiou.pairs(a, threshold=0.1),
        ]
        return [part.tolist() for one in several for part in one]

    wanted = found()
    for count in (1, 2, 4):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
        for step in (500, 20_000):
            fixed_steps(step)
            for cuts in (1, 7, 64):
                monkeypatch.setattr(candidates, "CUTS", cuts)
                monkeypatch.setattr(grid_plan, "CUTS", cuts)
                assert found() == wanted


def test_progress_of_masks_is_told_and_ends_at_the_total(
    rng: np.random.Generator, fixed_steps: Callable[[int], None]
) -> None:
    fixed_steps(5_000)
    dense = noise(rng, 60, (100, 120))  # each as much work as many boxes
    told: list[tuple[int, int]] = []
    found = fastiou.pairs(dense, dense, 0.3, progress=lambda *step: told.append(step))
    assert_pairs(found, reference.mask_iou(dense, dense), 0.3)
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(set(done))
    assert len(done) > 10
    assert set(totals) == {done[-1]}
    assert done[-1] > 2 * 60 * 60


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones((1, 2, 3)),), {"metric": "giou"}, ValueError, "metric of masks must be one of"),
        ((np.ones((1, 2, 3)),), {"metric": "no"}, ValueError, "metric must be one of"),
        ((np.ones((1, 2, 3)),), {"threshold": 0}, ValueError, "greater than 0 and at most 1"),
        ((np.ones((1, 2, 3)),), {"device": "cuda"}, RuntimeError, "cannot be used"),
        ((np.ones((1, 2, 3)),), {"groups": [1, 1]}, ValueError, "groups must have the shape"),
        ((np.ones((1, 2, 3)), np.ones((1, 3, 2))), {}, ValueError, "a and b must have one size"),
        (
            (np.ones((2, 9, 9)), np.ones((3, 4))),
            {},
            ValueError,
            "b must have .* which would be boxes",
        ),
        ((np.ones((1, 2, 3)), np.ones((1, 5))), {}, ValueError, "a and b must have one size"),
        ((np.ones((1, 2, 3)), 0.5), {}, ValueError, "b must have the shape|b must be"),
        (([{"size": [2, 2], "counts": [3]}],), {}, ValueError, r"a\[0\]: counts sum to 3"),
        (({"size": [2, 2], "counts": [4]},), {}, TypeError, "a must be a list of dicts, got one"),
    ],
)
def test_bad_masks(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fastiou.pairs(*arguments, **options)


def test_pairs_of_tensors_are_tensors(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    dense = random_masks(rng, 9, (20, 30))
    tensor = torch.from_numpy(dense)
    for pair in ((tensor, dense), (fastiou.Masks.from_dense(dense), tensor)):
        found = fastiou.pairs(*pair, 0.1)
        assert all(isinstance(part, torch.Tensor) for part in found)
        np.testing.assert_array_equal(
            found.to_scipy().toarray() >= 0.1, reference.mask_iou(dense, dense) >= 0.1
        )


def test_masks_that_fill_little_of_their_boxes() -> None:
    """Each is a block with a tail: the block it shares with another is a small part of its box."""
    masks = np.zeros((600, 40, 400), np.bool_)
    for i in range(0, 600, 2):
        left = i // 2 + 10
        masks[i : i + 2, 10:20, left : left + 10] = True
        masks[i + 1, 10, left : left + 60] = True
        masks[i + 1, :, left] = True
    a = fastiou.Masks.from_dense(masks)
    dense = fastiou.mask_iou(a, a)
    assert dense[0, 1] > 0.5
    assert_pairs(fastiou.pairs(a, a, 0.5), dense, 0.5)


def test_work_is_reckoned_whatever_the_order_of_rows(rng: np.random.Generator) -> None:
    """Two cheap rows before every thirty dear ones, so that a fixed sample would see the cheap."""
    count = 3200
    rows = np.zeros((count, 4))
    rows[:, 2:] = 1
    dear = np.arange(count) % 32 > 1
    rows[dear, 2] = 5000
    columns = random_boxes(rng, 3000)
    columns[:, 1::2] = 0, 1
    sets = read_sets(BOX, ("a", "b"), rows, columns, "xyxy")
    codes = group_codes(None, (len(rows), len(columns)), itself=False)
    found = candidates.search(*sets, METRIC_ROWS["ios"], 0.1, codes)
    reckoned = pair_lists.work_before(found)[-1]
    tested = fastiou.pairs(rows, columns, 0.1, metric="ios").tested
    assert 0.7 < reckoned / (tested + candidates.SCORES_OF_A_QUERY * count) < 1.3


def test_groups_in_foreign_bytes() -> None:
    box = [[0, 0, 1, 1]]
    high = np.array([2**64 - 5], ">u8")
    assert len(fastiou.pairs(box, box, groups=([-5], high))) == 0
    assert len(fastiou.pairs(box, box, groups=(high.astype("u8"), high))) == 1


def test_a_threshold_beyond_floats() -> None:
    with pytest.raises(
        ValueError, match="threshold must be greater than 0 and at most 1, got 1000"
    ):
        fastiou.pairs([[0, 0, 1, 1]], threshold=10**400)
