"""NumPy's functions, called for a block of an array at a time, give what they give at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import random_boxes
from hypothesis import given
from hypothesis import strategies as st
from masks_for_tests import noise

import fastiou
from fastiou import Masks
from fastiou.geometries.masks import run_lengths
from fastiou.runtime import chunks, distinct
from fastiou.segmentation import labels

Rng = np.random.Generator

#: Elements of a block in these tests.
FEW = 50


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called on, blocks are small."""

    def begin() -> None:
        monkeypatch.setattr(chunks, "PIECE", FEW)
        monkeypatch.setattr(distinct, "FEW", 10)
        monkeypatch.setattr(labels, "FEW_PIXELS", 0)
        monkeypatch.setattr(labels, "SORTED_BY_NUMPY", 20)
        monkeypatch.setattr(labels, "LARGE_BUCKET", 30)
        monkeypatch.setattr(run_lengths, "JOINED_AT_A_TIME", 100)

    return begin


# ---- blocks ------------------------------------------------------------------------------------


@given(shape=st.lists(st.integers(0, 9), max_size=4), size=st.integers(1, 60))
def test_blocks_hold_each_element_once(shape: list[int], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "PIECE", size)
        seen = np.zeros(shape, int)
        for block in chunks.blocks(tuple(shape)):
            assert seen[block].size <= size
            seen[block] += 1
        assert (seen == 1).all()
        assert list(range(17)) == [i for own in chunks.slices(17, 5) for i in range(17)[own]]


@pytest.mark.parametrize("dtype", ["<i2", ">i4", "f4", "f8", "?"])
def test_copies_are_those_of_numpy(rng: Rng, few_at_a_time: Callable[[], None], dtype: str) -> None:
    few_at_a_time()
    whole = rng.integers(0, 2, (12, 30, 8)).astype(dtype)
    for array in (whole, whole.T, whole[::2, ::-1], whole.transpose(1, 0, 2)[:, 3]):
        for target in (array.dtype, array.dtype.newbyteorder("="), np.dtype(np.float32)):
            copy = chunks.copied(array, target)
            expected = np.require(array, target, ["C", "A"])
            assert copy.dtype == expected.dtype
            assert copy.flags.c_contiguous
            assert copy.flags.aligned
            assert np.array_equal(copy, expected)
            assert (copy is array) == (expected is array)
        assert chunks.extremes(array) == (array.min(), array.max())
    chosen = rng.integers(0, 12, 200)
    assert np.array_equal(chunks.taken(whole, chosen), whole[chosen])


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int8])
@pytest.mark.parametrize("values", [1, 7, 300, 10**6])
@pytest.mark.parametrize("count", [0, 1, FEW, 2000])
def test_distinct_values_are_those_of_numpy(
    rng: Rng, few_at_a_time: Callable[[], None], count: int, values: int, dtype: Any
) -> None:
    few_at_a_time()
    column = rng.integers(0, values, count).astype(dtype)
    for given_values in (column, np.sort(column), column[::-1]):
        known, places = distinct.numbered(given_values)
        expected = np.unique(given_values, return_inverse=True)
        assert known.dtype == dtype
        assert np.array_equal(known, expected[0])
        assert np.array_equal(places, expected[1])
        assert np.array_equal(distinct.distinct(given_values), known)
        counts = distinct.counted(places, len(known) + 2)
        assert np.array_equal(counts, np.bincount(places, minlength=len(known) + 2))
        others = rng.integers(0, 300, 130).astype(dtype)
        assert np.array_equal(distinct.places_in(known, others), np.searchsorted(known, others))


# ---- public functions --------------------------------------------------------------------------


def _columns(found: Any) -> tuple[Any, ...]:
    return tuple(found)


def _pile(rng: Rng, count: int) -> Any:
    boxes = random_boxes(rng, count, dtype=np.float32)
    boxes[: count // 2] = boxes[count // 2 : 2 * (count // 2)]  # so that some agree
    return boxes


def _wide(rng: Rng) -> Any:
    """Labels that need all their bits, in two images."""
    ids = rng.integers(-(2**63), 2**63 - 1, 60)
    return ids[rng.integers(0, 60, (2, 40, 50))]


def _skewed(rng: Rng) -> Any:
    """Labels that lie close together, but for one."""
    images = rng.integers(0, 12, (2, 60, 50))
    images[:, 0, 0] = 2**30
    return images


def _wide_and_large(rng: Rng) -> Any:
    return _wide(rng).astype(np.uint64)


def _runs(rng: Rng) -> Any:
    return Masks.from_dense(noise(rng, 20, (30, 20))).to_rle()


def _match(method: str, **others: Any) -> Callable[[Any], Any]:
    return lambda sets: _columns(fastiou.match(*sets, 0.1, method=method, **others))


#: Calls, and what makes their argument.
CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[Rng], Any]]] = {
    "from_labels": (
        lambda image: Masks.from_labels(image),
        lambda rng: rng.integers(0, 30, (40, 50)),
    ),
    "from_labels, negative": (
        lambda image: Masks.from_labels(image.T),
        lambda rng: rng.integers(-9, 9, (40, 50), dtype=np.int8),
    ),
    "from_labels, of 64 bits": (lambda images: Masks.from_labels(images[0]), _wide),
    "from_labels, unsigned": (lambda images: Masks.from_labels(images[0]), _wide_and_large),
    "from_labels, some background": (
        lambda image: Masks.from_labels(image),
        lambda rng: np.where(rng.random((40, 50)) < 0.3, 0, _wide(rng)[0]),
    ),
    "from_labels, other bytes": (
        lambda image: Masks.from_labels(image.astype(">i8")),
        lambda rng: rng.integers(0, 2, (40, 50)) << 40,
    ),
    "from_dense, floats": (
        Masks.from_dense,
        lambda rng: noise(rng, 5, (30, 20)).astype(np.float32),
    ),
    "from_dense, last axis": (
        lambda masks: Masks.from_dense(masks.transpose(2, 0, 1)),
        lambda rng: noise(rng, 30, (20, 9)),
    ),
    "from_rle": (Masks.from_rle, _runs),
    "from_rle of text": (
        lambda runs: Masks.from_rle([{**run, "counts": run["counts"].decode()} for run in runs]),
        _runs,
    ),
    "concatenate": (
        lambda runs: Masks.concatenate([Masks.from_rle(runs), Masks.from_rle(runs[::3])]),
        _runs,
    ),
    "some masks": (lambda runs: Masks.from_rle(runs)[[5, 0, 0, 19, 3]], _runs),
    "label_overlap": (
        lambda images: _columns(fastiou.label_overlap(*images)),
        lambda rng: rng.integers(0, 9, (2, 40, 50)),
    ),
    "label_overlap, of 64 bits": (lambda images: _columns(fastiou.label_overlap(*images)), _wide),
    "label_overlap, unsigned": (
        lambda images: _columns(fastiou.label_overlap(*images)),
        _wide_and_large,
    ),
    "label_overlap, skewed": (lambda images: _columns(fastiou.label_overlap(*images)), _skewed),
    "label_iou": (lambda images: _columns(fastiou.label_iou(*images)), _skewed),
    "label_iou, of 64 bits": (lambda images: _columns(fastiou.label_iou(*images)), _wide),
    "confusion_matrix": (
        lambda images: fastiou.confusion_matrix(images[0].T, images[1].T[::1], 9),
        lambda rng: rng.integers(0, 9, (2, 40, 50)),
    ),
    "confusion_matrix, strided": (
        lambda images: fastiou.confusion_matrix(images[0, :, ::2], images[1, :, 1::2], 9),
        lambda rng: rng.integers(0, 9, (2, 40, 50)),
    ),
    "confusion_matrix, many": (
        lambda images: fastiou.confusion_matrix(*images, 200, ignore_index=3),
        lambda rng: rng.integers(0, 200, (2, 40, 50)),
    ),
    "soft_iou": (
        lambda values: fastiou.soft_iou(values[0].T, values[1].T, axis=0),
        lambda rng: rng.random((2, 40, 50)),
    ),
    "soft_iou, halves": (
        lambda values: fastiou.soft_iou(values[0, ::2], values[1, 1::2]),
        lambda rng: rng.random((2, 40, 50)).astype(np.float16),
    ),
    "thresholded_iou": (
        lambda values: fastiou.thresholded_iou(values[0].T, values[1].T),
        lambda rng: rng.integers(0, 2, (2, 40, 50, 3)),
    ),
    "box_area": (lambda boxes: fastiou.box_area(boxes), lambda rng: random_boxes(rng, 90)),
    "optimal": (_match("optimal"), lambda rng: (_pile(rng, 90), _pile(rng, 90)[:70])),
    "optimal, turned": (_match("optimal"), lambda rng: (_pile(rng, 90), _pile(rng, 90)[:20])),
    "optimal, double": (
        _match("optimal"),
        lambda rng: tuple(_pile(rng, 90)[:n].astype(float) for n in (90, 20)),
    ),
    "most": (_match("most"), lambda rng: (_pile(rng, 90), _pile(rng, 90)[:70])),
    "greedy": (_match("greedy"), lambda rng: (_pile(rng, 90), _pile(rng, 90))),
    "coco": (
        _match("coco", scores=np.arange(90) % 7 / 7),
        lambda rng: (_pile(rng, 90), _pile(rng, 90)),
    ),
    "coco, crowds": (
        _match("coco", scores=np.arange(90) % 7 / 7, iscrowd=np.arange(90) % 3 == 0),
        lambda rng: (_pile(rng, 90), _pile(rng, 90)),
    ),
    "pairs by groups": (
        lambda sets: _columns(
            fastiou.pairs(*sets, 0.1, groups=tuple(np.arange(90) % n * 2**50 for n in (4, 5)))
        ),
        lambda rng: (_pile(rng, 90), _pile(rng, 90)),
    ),
    "a sparse matrix": (
        lambda sets: fastiou.pairs(*sets, 0.1).to_scipy().toarray(),
        lambda rng: (_pile(rng, 90), _pile(rng, 90)),
    ),
    "nms by groups": (
        lambda boxes: fastiou.nms(boxes, np.arange(400) % 7 / 7, 0.1, groups=np.arange(400) % 2),
        lambda rng: _pile(rng, 400),
    ),
}
for _in, _out in (("xyxy", "cxcywh"), ("xywh", "xyxy"), ("cxcywh", "xywh"), ("xyxy", "xyxy")):
    for _dtype in (np.float16, np.float32, np.float64, np.int64, np.uint8):
        CALLS[f"box_convert {_in} {_out} {_dtype.__name__}"] = (
            lambda boxes, _in=_in, _out=_out: fastiou.box_convert(boxes, _in, _out),
            lambda rng, _dtype=_dtype: (100 * rng.random((3, 40, 4))).astype(_dtype),
        )
for _out in ("cxcywhr-rad-cw", "xywhr"):
    CALLS[f"box_convert {_out}"] = (
        lambda boxes, _out=_out: fastiou.box_convert(boxes.transpose(1, 0, 2), "cxcywhr", _out),
        lambda rng: 100 * rng.random((3, 40, 5)),
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return all(_same(*parts) for parts in zip(one, other, strict=True))
    if isinstance(one, Masks):
        return one == other
    one, other = np.asarray(one), np.asarray(other)
    return (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


@pytest.mark.general_way
@pytest.mark.parametrize("name", CALLS)
def test_results_have_the_same_bits(rng: Rng, few_at_a_time: Callable[[], None], name: str) -> None:
    call, make = CALLS[name]
    value = make(rng)
    expected = call(value)
    few_at_a_time()
    assert _same(call(value), expected)
