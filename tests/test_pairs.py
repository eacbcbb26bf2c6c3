"""Pairs above a threshold equal the dense result, bit for bit."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from boxes_for_tests import (
    FORMATS,
    METRICS,
    Array,
    as_format,
    awkward_boxes,
    drawn_boxes,
    random_boxes,
)
from hypothesis import given
from hypothesis import strategies as st

import fastiou
from fastiou import dispatch, matching, memory, reference


def assert_pairs(found: fastiou.Pairs, scores: Array, threshold: float) -> None:
    rows, cols, values = reference.box_pairs(scores, threshold)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.cols, cols)
    np.testing.assert_array_equal(found.values, values)
    assert found.rows.dtype == found.cols.dtype == np.int64
    assert found.values.dtype == scores.dtype
    assert found.shape == scores.shape
    assert len(found) == len(values)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("metric", METRICS)
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
    assert found.tested == same.sum()
    itself = np.nan_to_num(np.triu(fastiou.box_iou(a, a), 1))
    within = groups[0][:, None] == groups[0][None]
    assert_pairs(
        fastiou.pairs(a, threshold=0.2, groups=groups[0]), np.where(within, itself, 0), 0.2
    )


def test_awkward_boxes_never_pair() -> None:
    boxes = awkward_boxes()
    for metric in METRICS:
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
    with pytest.raises(ValueError, match=r"groups\[1\] has -1, .* no integer type in common"):
        fastiou.pairs(box, box, groups=(groups, [0, -1]))
    with pytest.raises(ValueError, match="groups must be one array"):
        fastiou.pairs(np.ones((3, 4)), groups=([1, 1, 1], [1, 1, 1]))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threshold": 0}, ValueError, "threshold must be greater than 0 and at most 1, got 0"),
        ({"threshold": float("nan")}, ValueError, "greater than 0"),
        ({"threshold": 1.5}, ValueError, "at most 1"),
        ({"threshold": "high"}, TypeError, "threshold must be a number, got 'high'"),
        ({"threshold": "0.5"}, TypeError, "threshold must be a number, got '0.5'"),
        ({"progress": 0}, TypeError, "progress must be a bool or a function"),
        ({"metric": "no"}, ValueError, "metric must be one of"),
        ({"fmt": "no"}, ValueError, "fmt must be one of"),
        ({"device": "cuda"}, RuntimeError, "computes on the CPU"),
        ({"groups": [1, 1]}, ValueError, "groups must be a tuple of two arrays|groups.0. must"),
        (
            {"groups": ([1], [1, 2])},
            ValueError,
            r"groups\[1\] must have the shape \(1,\), got \(2,\)",
        ),
        ({"groups": ([1.5], [1])}, TypeError, r"groups\[0\] must hold integers, got dtype float64"),
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


@pytest.mark.usefixtures("threads")
def test_the_same_bits_for_any_threads_and_steps(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = random_boxes(rng, 700, np.float32), random_boxes(rng, 900, np.float32)
    groups = rng.integers(0, 5, 700), rng.integers(0, 5, 900)
    wanted = [fastiou.pairs(a, b, 0.1), fastiou.pairs(a, b, 0.1, groups=groups)]
    for threads in (1, 2, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        for step in (1, 777, 200_000, 1 << 26):
            if step == 1 and threads > 1:
                continue
            monkeypatch.setattr(dispatch, "STEP", max(step, 500) if step == 1 else step)
            for cuts in (1, 7, 64):
                monkeypatch.setattr(matching, "CUTS", cuts)
                found = [fastiou.pairs(a, b, 0.1), fastiou.pairs(a, b, 0.1, groups=groups)]
                for one, other in zip(found, wanted, strict=True):
                    for part, expected in zip(one, other, strict=True):
                        np.testing.assert_array_equal(part, expected)


def test_progress_is_told_and_ends_at_the_total(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "STEP", 10_000)
    told: list[tuple[int, int]] = []
    boxes = random_boxes(rng, 400)
    fastiou.pairs(boxes, boxes, progress=lambda done, total: told.append((done, total)))
    done = [step[0] for step in told]
    assert done == sorted(done)
    assert len(done) > 10
    assert told[-1] == (320_000, 320_000)


def test_pairs_object(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 50)
    found = fastiou.pairs(boxes, threshold=0.1)
    rows, cols, values = found
    assert rows is found.rows
    assert cols is found.cols
    matrix = found.to_scipy()
    expected = np.triu(fastiou.box_iou(boxes, boxes), 1)
    np.testing.assert_array_equal(matrix.toarray(), np.where(expected >= 0.1, expected, 0))
    assert repr(found) == f"<Pairs: {len(values):,} of 50 × 50>"


def test_memory_does_not_grow_with_the_product(rng: np.random.Generator) -> None:
    """The dense result of these would be 8 GB; the boxes of different groups never meet."""
    tracemalloc = pytest.importorskip("tracemalloc")
    boxes = random_boxes(rng, 30_000)
    groups = np.arange(30_000) // 10
    tracemalloc.start()
    found = fastiou.pairs(boxes, boxes, 0.5, groups=(groups, groups))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tested == 300_000
    assert peak < 30_000_000


def test_pairs_beyond_2_to_the_31(rng: np.random.Generator) -> None:
    """More than 2**31 pairs are counted and numbered rightly; few are found."""
    a = np.zeros((1_000_000, 4), np.float32)  # empty boxes, which overlap nothing
    b = random_boxes(rng, 2200, np.float32)
    a[[0, 499_999, 999_999]] = b[[0, 1100, 2199]]
    found = fastiou.pairs(a, b, 0.999)
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
