"""`fastiou.blocks` by a plain loop: what any scheduler makes of it has the bits of one call."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array

import fastiou
from fastiou.blocks import joins, parts

#: That of the key "a", in every process, whatever its seed of hashes.
HASH_OF_A = 12957426464710134216


def scattered(rng: np.random.Generator, count: int) -> Array:
    """Boxes all over the place: one over all of it, some with a NaN, and some inverted."""
    corners = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corners, corners + rng.exponential(5, (count, 2))], axis=1)
    boxes[0] = -10, -10, 200, 200
    boxes[1::29, 2] = np.nan
    boxes[2::31, :2] = boxes[2::31, 2:] + 1
    return boxes.astype(np.float32)


def ragged(rng: np.random.Generator, *columns: Any) -> list[tuple[Any, ...]]:
    """Columns cut into five blocks, one of which is empty."""
    ends = np.sort(rng.integers(0, len(columns[0]), 3))
    ends = np.concatenate([[0], ends[:1], ends, [len(columns[0])]])
    return [tuple(column[i:j] for column in columns) for i, j in itertools.pairwise(ends)]


def cut(
    blocks1: Sequence[parts.Block], blocks2: Sequence[parts.Block], count: int
) -> tuple[parts.Plan, list[Any], list[Any]]:
    looked = [
        [parts.summary_of("block", block, "xyxy", "iou", "f4") for block in blocks]
        for blocks in (blocks1, blocks2)
    ]
    bands, columns = parts.layout_of(count)
    plan = parts.plan_of(*looked, count)
    sides = [
        list(
            zip(
                *(
                    parts.split(block, number, side, plan, "xyxy", bands * columns)
                    for number, block in enumerate(blocks)
                ),
                strict=True,
            )
        )
        for side, blocks in enumerate((blocks1, blocks2))
    ]
    return pickle.loads(pickle.dumps(plan)), sides[0], sides[1]


def assert_same(actual: Any, expected: Any) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("count", [1, 5, 12])
def test_pairs_of_parts_are_those_of_all(rng: np.random.Generator, count: int) -> None:
    a, b = scattered(rng, 400), scattered(rng, 300)
    blocks1 = [parts.block_of("a", *own) for own in ragged(rng, a)]
    blocks2 = [parts.block_of("b", *own) for own in ragged(rng, b)]
    plan, first, second = cut(blocks1, blocks2, count)
    options = {"threshold": 0.05, "metric": "iou", "fmt": "xyxy"}
    found = [
        joins.pairs_of(part, own, other, plan, options)
        for part, (own, other) in enumerate(zip(first, second, strict=True))
    ]
    offsets = plan.offsets[0]
    pieces = [joins.by_rows(part[:3], offsets) for part in found]
    gathered = [joins.gathered(list(own), 2) for own in zip(*pieces, strict=True)]
    expected = fastiou.pairs(a, b, 0.05)
    assert len(expected) > 100
    assert_same(joins.joined_pairs(gathered, (400, 300), 0), expected)
    if count > 1:  # what lies apart never met
        assert sum(part.tested for part in found) < 400 * 300
        assert max(len(part.rows) for part in found) < len(expected)


def test_the_best_of_parts_are_those_of_all(rng: np.random.Generator) -> None:
    a, b = scattered(rng, 400), scattered(rng, 300)
    b[100:200] = b[:100]  # equal scores
    blocks1 = [parts.block_of("a", *own) for own in ragged(rng, a)]
    blocks2 = [parts.block_of("b", *own) for own in ragged(rng, b)]
    plan, first, second = cut(blocks1, blocks2, 9)
    options = {"k": 3, "threshold": 0.0, "metric": "iou", "fmt": "xyxy"}
    found = [joins.best_of(own, other, options) for own, other in zip(first, second, strict=True)]
    ends = plan.offsets[0]
    pieces = [joins.by_rows(part, ends) for part in found]
    best = [
        joins.top_rows(list(own), int(ends[number]), int(ends[number + 1]), 3)
        for number, own in enumerate(zip(*pieces, strict=True))
    ]
    joined = map(np.concatenate, zip(*best, strict=True))
    assert_same(joined, fastiou.topk(a, b, 3))


def test_equal_keys_are_in_one_part() -> None:
    numbers = np.array([5, -3, 5, 2**40], np.int64)
    unsigned = np.array([5, 2**40, 2**63], np.uint64)
    names = np.array(["a", "ß", "a"], object)
    signed, other = parts.hashes_of([numbers]), parts.hashes_of([unsigned])
    assert signed[0] == signed[2] == other[0] != signed[1]
    assert signed[3] == other[1]
    own = parts.hashes_of([names]).tolist()
    assert own == [HASH_OF_A, parts.hashes_of([names[1:]])[0], HASH_OF_A]
    # One integer that needs uint64 makes no floats of the others.
    blocks = [parts.block_of("a", np.empty((1, 4)), [key]) for key in (numbers[3:], unsigned[2:])]
    assert [*parts.one_of(blocks).keys[0]] == [2**40, 2**63]


def test_a_box_goes_to_each_part_that_it_touches(rng: np.random.Generator) -> None:
    boxes = scattered(rng, 200)
    block = parts.block_of("a", boxes)
    look = parts.summary_of("a", block, "xyxy", "iou", "f4")
    plan = parts.plan_of([look], [look], 6)
    tiles = parts.split(block, 0, 0, plan, "xyxy", 6)
    assert all(0 in tile.rows for tile in tiles)
    assert not any(np.isnan(tile.members).any() for tile in tiles)
    # Quarters of boxes: touched by no fewer than the corners tell.
    corners = parts.tiles_at(plan, boxes[:, 0].astype(float), boxes[:, 1].astype(float))
    for row in np.flatnonzero(~np.isnan(boxes).any(axis=1)):
        assert row in tiles[corners[row]].rows


@pytest.mark.parametrize("fmt", ["xyxy", "xywh", "cxcywh", "cxcywhr", "xywhr", "xyxyxyxy"])
def test_bounds_hold_all_of_a_member(rng: np.random.Generator, fmt: str) -> None:
    sides = {"xyxyxyxy": 8, "cxcywhr": 5, "xywhr": 5}.get(fmt, 4)
    boxes = rng.uniform(1, 50, (50, sides)).astype(np.float32)
    if sides == 8:
        corners = fastiou.box_convert(
            np.sort(boxes.reshape(-1, 4, 2), axis=1)[:, [0, 3]].reshape(-1, 4), "xyxy", fmt
        )
        boxes = corners.reshape(-1, 8)
    elif sides == 4 and fmt == "xyxy":
        boxes[:, 2:] += boxes[:, :2]
    left, top, right, bottom = parts.bounds_of(boxes, fmt)
    own = boxes.astype(np.float64)
    if sides == 4:
        corners = fastiou.box_convert(own, fmt, "xyxy").reshape(-1, 2, 2)
    else:
        corners = (fastiou.box_convert(own, fmt, "xyxyxyxy") if sides == 5 else own).reshape(
            -1, 4, 2
        )
    assert (left[:, None] < corners[..., 0]).all()
    assert (right[:, None] > corners[..., 0]).all()
    assert (top[:, None] < corners[..., 1]).all()
    assert (bottom[:, None] > corners[..., 1]).all()


def test_numbers_out_of_range_are_refused_by_block() -> None:
    huge = parts.block_of("a, block 2", np.array([[0, 0, 1e30, 1e30]], np.float32))
    with pytest.raises(ValueError, match=r"^a, block 2 has coordinates too large, or areas too s"):
        parts.summary_of("a, block 2", huge, "xyxy", "iou", "f4")
    infinite = parts.block_of("a", np.array([[0, 0, 1, 1], [0, 0, 1, np.inf]], np.float32))
    with pytest.raises(ValueError, match=r"^block 2 of a: .*row 1"):
        parts.summary_of("block 2 of a", infinite, "xyxy", "iou", "f4")
    with pytest.raises(ValueError, match="a, block 2: scores must be 1, one for each, got 2"):
        parts.block_of("a, block 2", np.zeros((1, 4)), scores=[1, 2])
