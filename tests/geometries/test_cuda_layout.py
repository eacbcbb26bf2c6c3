"""Which words each thread gives to tensor cores, and which counts are its own, played on the CPU.

Tensor cores cannot be simulated. What is played here one thread after the other is what the
programming manual tells of the instructions, with the places that the kernel computes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastiou.geometries.masks import gpu_layout as layout
from fastiou.geometries.masks.gpu_layout import (
    MASKS_AT_A_TIME,
    PART_COLUMNS,
    PART_ROWS,
    SLICE_WORDS,
    TILE_MASKS,
    WARPS,
)

Array = npt.NDArray[Any]

LANES = np.arange(32)
THREADS = 32 * WARPS


def staged(masks: Array, first: int, step: int) -> Array:
    """One slice of a tile's masks in shared memory, as all threads of a block copy it."""
    stage = np.zeros(TILE_MASKS * SLICE_WORDS, np.uint32)
    written = np.zeros(len(stage), np.int64)
    for thread in range(THREADS):
        mask, part = layout.staged_part(thread)
        begin = step * SLICE_WORDS + 4 * part
        for further in range(0, TILE_MASKS, MASKS_AT_A_TIME):
            place = layout.staged_word(mask, part) + further * SLICE_WORDS
            row = min(first + mask + further, len(masks) - 1)
            stage[place : place + 4] = masks[row, begin : begin + 4]
            written[place : place + 4] += 1
    assert (written == 1).all()
    return stage


def loaded(stage: Array, places: list[int]) -> Array:
    """Four words for each thread (32, 4), where thread number i names line i % 8 of square i // 8.

    Of a square, which has eight lines of 16 bytes, thread number i receives word i % 4 of line
    i // 4.
    """
    squares = np.array([stage[place : place + 4] for place in places]).reshape(4, 8, 4)
    words: Array = squares[:, LANES // 4, LANES % 4].T
    for eight in np.array(places).reshape(4, 8):  # that come at once, each from banks of its own
        assert len(set(eight // 4 % 8)) == 8
    return words


def multiplied(rows: Array, columns: Array) -> Array:
    """What threads have (32, 4) of the common bits of 16 rows and 8 columns.

    A thread gives four words of rows and two of columns: with g = lane // 4 and t = lane % 4, these
    are bits 32 t on of row g, the same of row g + 8, bits 128 + 32 t on of row g, and of row g + 8;
    bits 32 t on of column g, and bits 128 + 32 t on. It has the results of row g in columns 2 t and
    2 t + 1, and those of row g + 8.
    """
    group, member = LANES // 4, LANES % 4
    words1 = np.zeros((16, 8), np.uint32)
    words2 = np.zeros((8, 8), np.uint32)
    words1[group, member] = rows[:, 0]
    words1[group + 8, member] = rows[:, 1]
    words1[group, member + 4] = rows[:, 2]
    words1[group + 8, member + 4] = rows[:, 3]
    words2[group, member] = columns[:, 0]
    words2[group, member + 4] = columns[:, 1]
    results = common_bits(words1, words2)
    return np.stack(
        [
            results[group, 2 * member],
            results[group, 2 * member + 1],
            results[group + 8, 2 * member],
            results[group + 8, 2 * member + 1],
        ],
        axis=1,
    )


def common_bits(words1: Array, words2: Array) -> Array:
    """Number of bits that each row of one array has in common with each row of another."""
    both = words1[:, np.newaxis] & words2
    return np.unpackbits(both.view(np.uint8), axis=-1).sum(axis=-1, dtype=np.int64)


def block(masks1: Array, masks2: Array, first_row: int, first_column: int) -> Array:
    """Counts of one tile, those past the last mask included."""
    counts = np.zeros((TILE_MASKS, TILE_MASKS), np.int64)
    times = np.zeros_like(counts)
    for step in range(masks1.shape[1] // SLICE_WORDS):
        stage1 = staged(masks1, first_row, step)
        stage2 = staged(masks2, first_column, step)
        for warp in range(WARPS):
            row, column = layout.part_origin(warp)
            lines = [layout.column_line(lane) for lane in range(32)]
            columns = [
                loaded(
                    stage2,
                    [
                        layout.staged_word(column + mask, part) + k * PART_COLUMNS * SLICE_WORDS
                        for mask, part in lines
                    ],
                )
                for k in range(layout.COLUMN_PARTS)
            ]
            for i in range(layout.ROW_PARTS):
                for half in range(2):
                    lines = [layout.row_line(lane, half) for lane in range(32)]
                    rows = loaded(
                        stage1,
                        [
                            layout.staged_word(row + mask, part) + i * PART_ROWS * SLICE_WORDS
                            for mask, part in lines
                        ],
                    )
                    for k in range(layout.COLUMN_PARTS):
                        results = multiplied(rows, columns[k][:, 2 * half : 2 * half + 2])
                        for lane in range(32):
                            for item in range(4):
                                down, over = layout.result_place(lane, item)
                                place = row + i * PART_ROWS + down, column + k * PART_COLUMNS + over
                                counts[place] += results[lane, item]
                                times[place] += 1
    assert (times == 2 * (masks1.shape[1] // SLICE_WORDS)).all()
    return counts


@pytest.mark.parametrize(
    ("count1", "count2", "words"),
    [(1, 1, 1), (5, 3, 16), (17, 9, 18), (128, 128, 33), (131, 130, 7)],
)
def test_counts_of_tensor_cores(
    rng: np.random.Generator, count1: int, count2: int, words: int
) -> None:
    width = -(-words // SLICE_WORDS) * SLICE_WORDS
    masks = rng.integers(0, 2**32, (count1 + count2, width), np.uint32)
    masks[:, words:] = 0
    masks1, masks2 = masks[:count1], masks[count1:]
    found = np.full((count1, count2), -1)
    for row in range(0, count1, TILE_MASKS):
        for column in range(0, count2, TILE_MASKS):
            part = found[row : row + TILE_MASKS, column : column + TILE_MASKS]
            part[...] = block(masks1, masks2, row, column)[: part.shape[0], : part.shape[1]]
    assert np.array_equal(found, common_bits(masks1, masks2))


def test_warps_share_the_tile() -> None:
    times = np.zeros((TILE_MASKS, TILE_MASKS), np.int64)
    height, width = layout.ROW_PARTS * PART_ROWS, layout.COLUMN_PARTS * PART_COLUMNS
    for warp in range(WARPS):
        row, column = layout.part_origin(warp)
        times[row : row + height, column : column + width] += 1
    assert (times == 1).all()


@pytest.mark.parametrize(
    ("capability", "suits"),
    [
        ((7, 5), False),
        ((8, 0), True),
        ((8, 9), True),
        ((9, 0), True),
        ((10, 0), False),
        ((12, 0), False),
    ],
)
def test_tensor_cores_that_count_bits(capability: tuple[int, int], suits: bool) -> None:
    assert layout.suits_tensor_cores(capability, 6400) is suits


def test_counts_of_32_bits_do_not_overflow() -> None:
    assert layout.suits_tensor_cores((9, 0), (1 << 25) - 1)
    assert not layout.suits_tensor_cores((9, 0), 1 << 25)
