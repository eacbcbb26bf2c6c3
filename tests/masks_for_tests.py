"""Masks that tests share: awkward ones, noise in boxes, layouts, and drawn by hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

import fastiou
from fastiou import Masks

Array = npt.NDArray[Any]

METRICS = ["iou", "iof", "ios", "dice", "intersection"]

#: None, one, and those around the 64 rows of a word, the 64 pixels that packing reads at a time,
#: and twice as many.
SIDES = [0, 1, 63, 64, 65, 127, 128, 129]


def random_masks(rng: np.random.Generator, count: int, size: tuple[int, int]) -> Array:
    """Sparse, dense and solid boxes anywhere, some of them empty; the last equals the first."""
    masks = np.zeros((count, *size), np.bool_)
    for mask in masks:
        (top, left), (bottom, right) = np.sort(rng.integers(0, np.array(size) + 1, (2, 2)), axis=0)
        part = mask[top:bottom, left:right]
        part[...] = rng.random(part.shape) < rng.choice([0.02, 0.5, 1.0])
    if count:
        masks[-1] = masks[0]
    return masks


def noise(rng: np.random.Generator, count: int, size: tuple[int, int]) -> Array:
    """Masks that all fill the image."""
    masks = rng.random((count, *size)) < 0.5
    masks[:, 0, 0] = masks[:, -1, -1] = True
    return masks


def awkward_masks(size: tuple[int, int]) -> Array:
    """Empty, full, single pixels, rows and columns at the edges, stripes, and what is left out."""
    height, width = size
    row, column = np.indices(size)
    last_row, last_column = row == height - 1, column == width - 1
    some = [
        row < 0,
        row >= 0,
        (row == 0) & (column == 0),
        (row == 0) & last_column,
        last_row & (column == 0),
        last_row & last_column,
        row == 0,
        last_row,
        column == 0,
        last_column,
        row == height // 2,
        column == width // 2,
        last_row | (row == 0),  # runs go on from one column to the next
        last_row | ((row == 0) & (column % 2 == 1)),
        (row + column) % 2 == 0,
        row % 2 == 0,
        column % 2 == 1,
        row // 64 % 2 == 0,
        row // 64 % 2 == 1,
        row >= height - 3,
        row == column,
    ]
    return np.concatenate([some, ~np.array(some)])


def layouts(array: Array) -> dict[str, Array]:
    """The same masks in different memory layouts."""
    count, height, width = array.shape
    spread = np.zeros((count, 2 * height + 1, 3 * width + 1), array.dtype)
    spread[:, 1::2, 1::3] = array
    wide = np.zeros((count, height, width + 7), array.dtype)
    wide[..., 3:-4] = array
    frozen = array.copy()
    frozen.flags.writeable = False
    packed = np.zeros(array.size, [("pad", "u1"), ("pixel", array.dtype)])
    packed["pixel"] = array.reshape(-1)
    return {
        "plain": array.copy(),
        "Fortran": np.asfortranarray(array),
        "as encoders have it": np.asfortranarray(array.transpose(1, 2, 0)).transpose(2, 0, 1),
        "strided": spread[:, 1::2, 1::3],
        "part of a wider one": wide[..., 3:-4],
        "reversed": array[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
        "big-endian": array.astype(array.dtype.newbyteorder(">")),
        "little-endian": array.astype(array.dtype.newbyteorder("<")),
        "read-only": frozen,
        "unaligned": packed["pixel"].reshape(array.shape),
        "subclass": array.view(type("Sub", (np.ndarray,), {})),
    }


def forms_of(dense: Array) -> dict[str, Any]:
    """One set in all forms in which it may come."""
    packed = fastiou.Masks.from_dense(dense)
    return {
        "Masks": packed,
        "slice": fastiou.Masks.concatenate([packed[:1], packed])[1:],
        "bool": dense,
        "float": dense.astype(np.float32),
        "list": dense.astype(int).tolist(),
        "run lengths": packed.to_rle(),
        "tuple": tuple(packed.to_rle()),
    }


def drawn_sizes() -> st.SearchStrategy[tuple[int, int]]:
    side = st.sampled_from(SIDES) | st.integers(0, 200)
    return st.tuples(side, side)


@st.composite
def drawn_masks(draw: st.DrawFn, size: tuple[int, int], largest: int = 5) -> Array:
    """A few masks, each of some rectangles that are set, reset, or sown with noise."""
    height, width = size
    masks = np.zeros((draw(st.integers(0, largest)), height, width), np.bool_)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    for mask in masks:
        for _ in range(draw(st.integers(0, 3))):
            top, bottom = sorted(draw(st.tuples(*[st.integers(0, height)] * 2)))
            left, right = sorted(draw(st.tuples(*[st.integers(0, width)] * 2)))
            part = mask[top:bottom, left:right]
            share = draw(st.sampled_from([1.0, 0.0, 0.5, 0.02]))
            part[...] = rng.random(part.shape) < share
    return masks


def tight_boxes(masks: Array) -> Array:
    """Half-open bounding boxes, zeros for an empty mask."""
    boxes = np.zeros((len(masks), 4), np.int64)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.nonzero(mask)
        if len(rows):
            box[:] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return boxes


def encoded(coco_mask: Any, masks: Array) -> list[dict[str, Any]]:
    """COCO's run lengths of masks."""
    pixels = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
    entries: list[dict[str, Any]] = coco_mask.encode(pixels)
    return entries


def assert_holds(packed: Masks, dense: Array) -> None:
    """The set has these pixels, and all else that follows from them."""
    assert packed.shape == dense.shape
    assert len(packed) == len(dense)
    unpacked = packed.to_dense()
    np.testing.assert_array_equal(unpacked, dense != 0)
    assert unpacked.dtype == np.bool_
    assert unpacked.flags.carray
    np.testing.assert_array_equal(packed.area, np.count_nonzero(dense, axis=(1, 2)))
    boxes = tight_boxes(dense)
    np.testing.assert_array_equal(packed.boxes, boxes)
    assert packed.area.dtype == packed.boxes.dtype == np.int64
    left, top, right, bottom = boxes.T
    words = (right - left) * (-(-bottom // 64) - top // 64)
    np.testing.assert_array_equal(packed.words_of_each, words)
    assert packed.nbytes == 8 * words.sum()


def assert_same(packed: Masks, other: Masks) -> None:
    """Equal in every way, whatever each shares its memory with."""
    assert packed == other
    assert (packed != other) is False
    assert packed.shape == other.shape
    assert packed.nbytes == other.nbytes
    np.testing.assert_array_equal(packed.to_dense(), other.to_dense())
    np.testing.assert_array_equal(packed.area, other.area)
    assert packed.to_rle() == other.to_rle()
