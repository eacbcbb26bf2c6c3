"""Sets of masks as sequences: indices, slices, concatenation, padding, pickling."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from masks_for_tests import (
    Array,
    assert_holds,
    assert_same,
    awkward_masks,
    noise,
    random_masks,
)

import fastiou
from fastiou import Masks, reference

pytestmark = [
    # Where COCO's decoder makes an array.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # Parallel kernels, of the same loops, take long to compile: see "threads" in test_masks.py.
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture
def dense(rng: np.random.Generator) -> Array:
    return np.concatenate([random_masks(rng, 9, (70, 90)), awkward_masks((70, 90))[:4]])


@pytest.mark.parametrize(
    "index",
    [
        *[0, 5, -1, -13, np.int8(3), np.uint64(12), np.int64(-2), np.array(4)],
        *[slice(None), slice(2, 7), slice(7, 2), slice(-4, None), slice(99), slice(-99, 3)],
        *[slice(99, 100), slice(None, None, 3), slice(None, None, -1), slice(9, 1, -2)],
        *[[], [0], [3, 3, -1], np.array([], np.int32), np.array([12, 0], np.uint8)],
        *[range(3, 6), np.arange(13)[::-2], [True, False] * 6 + [True], np.arange(13) < 0],
        np.arange(13) > 3,
    ],
    ids=repr,
)
def test_indices(dense: Array, index: Any) -> None:
    packed = Masks.from_dense(dense)
    chosen = np.asarray(index, int) if isinstance(index, tuple | range) else index
    expected = dense[np.array([], int)] if isinstance(index, list) and not index else dense[chosen]
    expected = expected.reshape(-1, *dense.shape[1:])
    assert_holds(packed[index], expected)
    assert_same(packed[index], Masks.from_dense(expected))
    # The same of a set that begins in the middle of another's memory.
    shifted = Masks.concatenate([packed[3:5], packed])[2:]
    assert_same(shifted[index], Masks.from_dense(expected))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (13, "index 13 is out of range for 13 masks"),
        (-14, "index -14 is out of range"),
        ([0, 13], "index 13 is out of range"),
        (np.array([1, 255], np.uint8), "index 255 is out of range"),
        (np.uint64(2**64 - 1), "index 18446744073709551615 is out of range"),
        (1.0, "masks are chosen by an integer, .* got 1.0"),
        ([0.0, 1.0], "masks are chosen by"),
        ("a", "masks are chosen by"),
        (None, "masks are chosen by"),
        ((slice(None), 1), "one dimension to index"),
        ((0, 1), "one dimension to index"),
        ([[0, 1], [1, 2]], "in one dimension"),
        (True, r"must have the shape \(13,\), got \(\)"),
        ([True] * 12, r"must have the shape \(13,\), got \(12,\)"),
        (np.ones((13, 1), bool), r"got \(13, 1\)"),
    ],
)
def test_wrong_indices(dense: Array, index: Any, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        Masks.from_dense(dense)[index]


def test_an_empty_set_has_no_first_mask() -> None:
    packed = Masks.from_dense(np.zeros((0, 4, 5)))
    assert len(packed[:]) == len(packed[[]]) == len(packed[np.zeros(0, bool)]) == 0
    assert list(packed) == []
    for index in (0, -1, [0]):
        with pytest.raises(IndexError, match="out of range for 0 masks"):
            packed[index]


def test_iteration(dense: Array) -> None:
    packed = Masks.from_dense(dense)
    assert len(list(packed)) == len(dense)
    for one, mask in zip(packed, dense, strict=True):
        assert_holds(one, mask[None])
    assert_same(Masks.concatenate(packed), packed)


@pytest.mark.parametrize("cut", [slice(4, 9), slice(0, 1), slice(12, 13), slice(5, 5)])
def test_slices_share_memory_and_else_are_sets(rng: np.random.Generator, cut: slice) -> None:
    dense = noise(rng, 13, (70, 90))
    packed = Masks.from_dense(dense)
    part, other = packed[cut], Masks.from_dense(dense[cut])
    assert np.shares_memory(part._words, packed._words)
    assert not np.shares_memory(packed[[5, 6]]._words, packed._words)
    assert_same(part, other)
    assert repr(part) == repr(other)
    for copied in (
        pickle.loads(pickle.dumps(part)),
        copy.deepcopy(part),
        Masks.concatenate([part]),
        part[:],
        part[np.arange(len(part))],
        part[::-1][::-1],
    ):
        assert_same(copied, other)
    # They take no more room in a pickle than they have words.
    assert len(pickle.dumps(part)) < part.nbytes + 40 * len(part) + 2000
    for options in ({}, {"metric": "dice"}):
        np.testing.assert_array_equal(
            fastiou.mask_iou(part, packed, **options),
            reference.mask_iou(dense[cut], dense, **options),
        )
        np.testing.assert_array_equal(
            fastiou.mask_iou(packed, part, **options),
            reference.mask_iou(dense, dense[cut], **options),
        )
    aligned = fastiou.mask_iou(part, packed[: len(part)], aligned=True)
    expected = np.diag(reference.mask_iou(dense[cut], dense[: len(part)]))
    np.testing.assert_array_equal(aligned, expected)
    np.testing.assert_array_equal(fastiou.masks_to_boxes(part), fastiou.masks_to_boxes(packed)[cut])


def test_slices_of_ragged_masks(dense: Array) -> None:
    packed = Masks.from_dense(dense)
    for first in range(len(dense)):
        part = packed[first : first + 5]
        assert_same(part, Masks.from_dense(dense[first : first + 5]))
        np.testing.assert_array_equal(
            fastiou.mask_iou(part, packed), reference.mask_iou(dense[first : first + 5], dense)
        )
        assert_same(pickle.loads(pickle.dumps(part)), part)
        assert_same(Masks.concatenate([part, part[1:], packed[:1]])[: len(part)], part)


def test_concatenation(dense: Array) -> None:
    packed = Masks.from_dense(dense)
    joined = Masks.concatenate([packed[5:], packed[:0], packed[:5], packed[::-2]])
    assert_holds(joined, np.concatenate([dense[5:], dense[:5], dense[::-2]]))
    assert_same(Masks.concatenate(iter([packed])), packed)
    nothing = Masks.from_dense(np.zeros((0, 70, 90)))
    assert_same(Masks.concatenate([nothing, nothing]), nothing)
    with pytest.raises(ValueError, match="sets must hold at least one set of masks, got none"):
        Masks.concatenate([])
    with pytest.raises(TypeError, match=r"sets\[1\] must be Masks, got ndarray"):
        Masks.concatenate([packed, dense])
    with pytest.raises(
        ValueError, match=r"sets\[1\] has masks of 90 × 70 pixels, sets\[0\] of 70 × 90; Masks"
    ):
        Masks.concatenate([packed, Masks.from_dense(dense.transpose(0, 2, 1))])


def test_padding(dense: Array) -> None:
    packed = Masks.from_dense(dense)
    height, width = dense.shape[1:]
    for size in ((height, width), (height + 70, width), (height, width + 1), (height + 1, 300)):
        padded = packed.padded(size)
        larger = np.zeros((len(dense), *size), np.bool_)
        larger[:, :height, :width] = dense
        assert_holds(padded, larger)
        assert_same(padded, Masks.from_dense(larger))
        assert np.shares_memory(padded._words, packed._words)
    for size in ((height - 1, width), (height, width - 1)):
        with pytest.raises(ValueError, match="size must be at least that of the masks, 70 × 90, g"):
            packed.padded(size)
    with pytest.raises(TypeError, match=r"size must be \(height, width\), two integers, got 90"):
        packed.padded(90)  # type: ignore[arg-type]


def test_equality(dense: Array) -> None:
    packed = Masks.from_dense(dense)
    assert packed == Masks.from_dense(dense.copy())
    assert packed != packed[:-1]
    assert packed != packed[::-1]
    changed = dense.copy()
    changed[0, 30, 30] ^= True
    assert packed != Masks.from_dense(changed)
    # Equal boxes and areas, other pixels; equal words, other boxes; equal pixels, other sizes.
    assert Masks.from_dense([[1, 1], [0, 1]]) != Masks.from_dense([[1, 0], [1, 1]])
    assert Masks.from_dense([[1, 0, 0]]) != Masks.from_dense([[0, 1, 0]])
    assert Masks.from_dense([[1, 0]]) != Masks.from_dense([[1, 0, 0]])
    assert Masks.from_dense(np.zeros((0, 2, 3))) != Masks.from_dense(np.zeros((0, 3, 2)))
    assert packed != "masks"
    assert packed != 1
    assert (packed == 1) is False
    with pytest.raises(TypeError, match="unhashable"):
        hash(packed)


def test_a_set_cannot_be_changed(dense: Array) -> None:
    packed = Masks.from_dense(dense)
    for name in ("area", "boxes", "_words", "other"):
        with pytest.raises(AttributeError, match=f"Masks are immutable: {name} cannot be set"):
            setattr(packed, name, 1)
    with pytest.raises(TypeError, match="item assignment"):
        packed[0] = packed[1]  # type: ignore[index]
    for array in (packed.area, packed.boxes, packed[2:4].area, packed[2:4].boxes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    # What is made of it is the caller's own.
    for unpacked in (packed.to_dense(), packed[1:2].to_dense()):
        unpacked[...] = True
    boxes = fastiou.masks_to_boxes(packed)
    boxes[...] = 7
    assert_holds(packed, dense)
    # Nor does it follow what it was made of.
    source = dense.copy()
    packed = Masks.from_dense(source)
    source[...] = ~source
    assert_holds(packed, dense)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(dense: Array, protocol: int) -> None:
    for packed in (Masks.from_dense(dense), Masks.from_dense(dense[:0])):
        again = pickle.loads(pickle.dumps(packed, protocol))
        assert_same(again, packed)
        np.testing.assert_array_equal(fastiou.mask_iou(again, packed), reference.mask_iou(*[
            packed.to_dense()] * 2))  # fmt: skip
        with pytest.raises(AttributeError, match="immutable"):
            again.area = 1
        assert_same(copy.deepcopy(packed), packed)
        assert_same(copy.copy(packed), packed)


def test_repr() -> None:
    assert repr(Masks.from_dense(np.ones((2, 64, 3)))) == "<Masks: 2 of 64 × 3, 48 bytes>"
    assert repr(Masks.from_dense(np.eye(1300))) == "<Masks: 1 of 1,300 × 1,300, 213.3 KiB>"
    assert repr(Masks.from_dense([])) == "<Masks: 0 of 0 × 0, 0 bytes>"
    assert "from_labels" in str(Masks.__doc__)
