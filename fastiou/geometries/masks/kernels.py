"""Scores of masks: what two masks share, and the dense and aligned kernels over it.

A pair costs next to nothing where the boxes of two masks are apart. Where they are not, it reads
the words that both boxes share, two loads for each vector of counts.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange
from numba.extending import register_jitable

from fastiou.geometries.box_columns import PADDING
from fastiou.geometries.masks.bits import word_rows
from fastiou.metrics import METRICS
from fastiou.runtime.bit_vectors import (
    count_zeros_below,
    low_bits,
    nonzero_bits,
    shared_ones,
    shared_ones_of_all,
)
from fastiou.runtime.kernel import Kernel, named
from fastiou.runtime.vectors import address, always_inlined, prefer_widest_vectors, stack_array

__all__ = [
    "TILE_COLUMNS",
    "TILE_ROWS",
    "MaskKernels",
    "MaskOperand",
    "mask_area",
    "mask_pair_scorer",
    "mask_scorer",
    "mask_scores",
    "meeting_masks",
    "shared_box",
    "window_of",
    "word_at",
]

Array = npt.NDArray[Any]

#: Masks that are looked at together, one bit each in a word of those whose boxes meet.
CHUNK = PADDING

#: Rows and columns of a tile where all masks have one box, and words at a time: 64 columns of 512
#: words stay in L2 with 16 rows of as many, and the four of each that are at work in L1.
TILE_ROWS = 16
TILE_COLUMNS = 64
TILE_WORDS = 512


class MaskOperand(NamedTuple):
    """A set of masks as the kernels read it: as many arrays as a set of boxes has.

    One tuple for a set would make shorter signatures, but then Numba counted references for every
    chunk, which took 60 % of the time.
    """

    #: Words of all masks.
    words: Array
    #: (6, n + padding) int64: left, top, right, bottom, where the words begin, area. What follows
    #: the last mask is empty.
    table: Array


@register_jitable
def mask_area(table: Array, i: int) -> float:
    """Area for the formulas: the smallest normal number for an empty mask (see `metrics`)."""
    area = np.float64(table[5, i])
    return area if area > 0.0 else 2.2250738585072014e-308


@register_jitable
def window_of(words: int, table: Array, i: int) -> tuple[int, int, int, int, int]:
    """Box of mask i, and the address of its first word."""
    return (
        table[0, i],
        table[1, i],
        table[2, i],
        table[3, i],
        words + table[4, i] * 8,
    )


@register_jitable
def shared_box(
    window1: tuple[int, int, int, int, int], window2: tuple[int, int, int, int, int]
) -> tuple[int, int, int, int]:
    """Box that two boxes share: left, top, right, bottom; right ≤ left or bottom ≤ top if none."""
    always_inlined()
    left1, top1, right1, bottom1, _ = window1
    left2, top2, right2, bottom2, _ = window2
    return max(left1, left2), max(top1, top2), min(right1, right2), min(bottom1, bottom2)


@register_jitable
def word_at(window: tuple[int, int, int, int, int], left: int, top: int) -> int:
    """Address of a mask's word in column `left`, of the word row that pixel row `top` is in."""
    always_inlined()
    own_left, own_top, own_right, _, words = window
    return words + 8 * (((top >> 6) - (own_top >> 6)) * (own_right - own_left) + left - own_left)


@register_jitable
def shared_pixels(
    window1: tuple[int, int, int, int, int], window2: tuple[int, int, int, int, int]
) -> int:
    """How many pixels two masks share."""
    always_inlined()
    left, top, right, bottom = shared_box(window1, window2)
    shared = np.int64(0)
    if left < right and top < bottom:
        shared = shared_ones(
            word_at(window1, left, top),
            window1[2] - window1[0],
            word_at(window2, left, top),
            window2[2] - window2[0],
            word_rows(top, bottom),
            right - left,
        )
    return shared


@register_jitable
def meeting_masks(table1: Array, i: int, table2: Array, column: int) -> Any:
    """A word with a bit for each of the `CHUNK` masks from `column` on whose box meets mask i's."""
    always_inlined()
    left = table1[0, i]
    top = table1[1, i]
    right = table1[2, i]
    bottom = table1[3, i]
    start = np.uint64(column)
    meets = stack_array(table2.view(np.uint8), CHUNK)
    for j in range(np.uint64(CHUNK)):
        # All four are computed: a branch would keep the loop from being vectorised.
        meets[j] = (
            (table2[0, start + j] < right)
            & (left < table2[2, start + j])
            & (table2[1, start + j] < bottom)
            & (top < table2[3, start + j])
        )
    return nonzero_bits(meets, 0, CHUNK)


@register_jitable
def share_chunk(
    words1: Array,
    table1: Array,
    i: int,
    words2: Array,
    table2: Array,
    column: int,
    size: int,
    chunk: Array,
) -> bool:
    """Fill a chunk with the pixels that mask i shares with `size` masks from `column` on.

    Returns whether the box of any of them meets its own.
    """
    always_inlined()
    window = window_of(address(words1), table1, i)
    begin2 = address(words2)
    start = np.uint64(column)
    for j in range(np.uint64(CHUNK)):
        chunk[j] = 0
    candidates = meeting_masks(table1, i, table2, column) & low_bits(size)
    any_meets = candidates != np.uint64(0)
    while candidates:
        k = count_zeros_below(candidates)
        candidates &= candidates - np.uint64(1)
        chunk[k] = shared_pixels(window, window_of(begin2, table2, start + np.uint64(k)))
    return any_meets


@functools.cache
def mask_scorer(metric: str) -> Any:
    """Make the inner loop of a metric: it scores mask i against `size` masks."""
    formula = METRICS[metric].formula

    @register_jitable(inline="always")
    @named(metric)
    def score(
        words1: Array,
        table1: Array,
        i: int,
        words2: Array,
        table2: Array,
        column: int,
        size: int,
        chunk: Array,
    ) -> None:
        # What shares nothing scores 0, whatever the metric: 64 divisions are saved.
        if share_chunk(words1, table1, i, words2, table2, column, size, chunk):
            area = mask_area(table1, i)
            start = np.uint64(column)
            for j in range(np.uint64(CHUNK)):
                chunk[j] = formula(chunk[j], area, mask_area(table2, start + j))

    return score


@functools.cache
def mask_pair_scorer(metric: str) -> Any:
    """Make the function that scores mask i of one set against mask j of another."""
    formula = METRICS[metric].formula

    @register_jitable
    @named(metric)
    def score(words1: Array, table1: Array, i: int, words2: Array, table2: Array, j: int) -> float:
        always_inlined()
        window1 = window_of(address(words1), table1, i)
        window2 = window_of(address(words2), table2, j)
        shared = np.float64(shared_pixels(window1, window2))
        return formula(shared, mask_area(table1, i), mask_area(table2, j))

    return score


class MaskKernels(NamedTuple):
    """The kernels of one metric over masks."""

    #: A block of rows and columns of a dense result.
    dense: Kernel
    #: Tiles of a dense result over masks that all have one box.
    uniform: Kernel
    #: Mask i of one set against mask i of the other.
    aligned: Kernel


@functools.cache
def mask_scores(metric: str) -> MaskKernels:
    """Make the kernels of a metric."""
    formula = METRICS[metric].formula
    crowd_formula = METRICS["iof"].formula

    score = mask_scorer(metric)
    score_crowds = mask_scorer("iof")

    def dense(
        words1: Array,
        table1: Array,
        words2: Array,
        table2: Array,
        crowd: Array,
        any_crowd: bool,
        stripes: int,
        scores: Array,
        first_row: int,
        last_row: int,
        first_column: int,
        last_column: int,
    ) -> None:
        # A stripe is every so many rows: masks often come sorted by size, and then consecutive rows
        # differ in work. With as many stripes as threads no thread gets two rows more than another.
        for stripe in prange(stripes):
            prefer_widest_vectors()
            chunk = stack_array(scores, CHUNK)
            for i in range(first_row + stripe, last_row, stripes):
                for column in range(first_column, last_column, CHUNK):
                    size = min(CHUNK, last_column - column)
                    row = scores[i, column : column + size]
                    score(words1, table1, i, words2, table2, column, size, chunk)
                    for j in range(size):
                        row[j] = chunk[j]
                    if any_crowd:
                        score_crowds(words1, table1, i, words2, table2, column, size, chunk)
                        crowds = crowd[column : column + size]
                        for j in range(size):
                            row[j] = chunk[j] if crowds[j] else row[j]

    def uniform(
        words1: Array,
        table1: Array,
        words2: Array,
        table2: Array,
        crowd: Array,
        scores: Array,
        size: int,
        first_tile: int,
        last_tile: int,
    ) -> None:
        count1, count2 = scores.shape
        across = (count2 + TILE_COLUMNS - 1) // TILE_COLUMNS
        for tile in prange(first_tile, last_tile):
            prefer_widest_vectors()
            first_row = tile // across * TILE_ROWS
            end_row = min(first_row + TILE_ROWS, count1) - 1
            first_column = tile % across * TILE_COLUMNS
            end_column = min(first_column + TILE_COLUMNS, count2) - 1
            shared = np.zeros((TILE_ROWS, TILE_COLUMNS), np.int64)
            starts1 = table1[4]
            starts2 = table2[4]
            for begin in range(0, size, TILE_WORDS):
                length = min(TILE_WORDS, size - begin)
                for i in range(first_row, end_row + 1, 4):
                    for j in range(first_column, end_column + 1, 4):
                        # Past the end the last mask counts again, to be dropped.
                        counts = shared_ones_of_all(
                            words1,
                            (
                                starts1[i] + begin,
                                starts1[min(i + 1, end_row)] + begin,
                                starts1[min(i + 2, end_row)] + begin,
                                starts1[min(i + 3, end_row)] + begin,
                            ),
                            words2,
                            (
                                starts2[j] + begin,
                                starts2[min(j + 1, end_column)] + begin,
                                starts2[min(j + 2, end_column)] + begin,
                                starts2[min(j + 3, end_column)] + begin,
                            ),
                            length,
                        )
                        for cell in range(16):
                            row = i - first_row + cell // 4
                            column = j - first_column + cell % 4
                            shared[row, column] += counts[cell]
            for i in range(first_row, end_row + 1):
                for j in range(first_column, end_column + 1):
                    count = np.float64(shared[i - first_row, j - first_column])
                    if crowd[j]:
                        scores[i, j] = crowd_formula(
                            count, mask_area(table1, i), mask_area(table2, j)
                        )
                    else:
                        scores[i, j] = formula(count, mask_area(table1, i), mask_area(table2, j))

    def aligned(
        words1: Array,
        table1: Array,
        words2: Array,
        table2: Array,
        crowd: Array,
        scores: Array,
        first: int,
        last: int,
    ) -> None:
        for i in prange(first, last):
            prefer_widest_vectors()
            window1 = window_of(address(words1), table1, i)
            window2 = window_of(address(words2), table2, i)
            shared = np.float64(shared_pixels(window1, window2))
            if crowd[i]:
                scores[i] = crowd_formula(shared, mask_area(table1, i), mask_area(table2, i))
            else:
                scores[i] = formula(shared, mask_area(table1, i), mask_area(table2, i))

    return MaskKernels(
        Kernel(dense, f"masks-{metric}"),
        Kernel(uniform, f"uniform-masks-{metric}"),
        Kernel(aligned, f"aligned-masks-{metric}"),
    )
