"""Scores of masks: what two masks share, and the kernels of a dense result over it.

A pair costs next to nothing where the boxes of two masks are apart. Where they are not, it reads
the words that both boxes share, two loads for each vector of counts.

The bounds of masks have six rows, (6, n + padding) int64: left, top, right, bottom, where the words
of the mask begin, and its area. Their data are the words of all masks.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.scoring import CHUNK, meeting
from fastiou.geometries.masks.bits import word_rows
from fastiou.metrics import Metric
from fastiou.runtime.bit_vectors import (
    count_zeros_below,
    low_bits,
    shared_ones,
    shared_ones_of_all,
)
from fastiou.runtime.kernel import Kernel, named
from fastiou.runtime.vectors import address, always_inlined, prefer_widest_vectors, stack_array
from fastiou.typing import Array

__all__ = [
    "TILE_COLUMNS",
    "TILE_ROWS",
    "MaskKernels",
    "load_mask",
    "mask_area",
    "mask_chunk_scorer",
    "mask_kernels",
    "shared_and_areas",
    "shared_box",
    "word_at",
]


#: Rows and columns of a tile where all masks have one box, and words at a time: 64 columns of 512
#: words stay in L2 with 16 rows of as many, and the four of each that are at work in L1.
TILE_ROWS = 16
TILE_COLUMNS = 64
TILE_WORDS = 512


#: left, top, right, bottom, address of the first word, area
Mask = tuple[int, int, int, int, int, float]


@register_jitable
def mask_area(bounds: Array, i: int) -> float:
    """Area for the formulas: the smallest normal number for an empty mask (see `metrics`)."""
    area = np.float64(bounds[5, i])
    return area if area > 0.0 else 2.2250738585072014e-308


@register_jitable
def load_mask(bounds: Array, words: Array, i: int) -> Mask:
    """Mask `i` of a set.

    It has an address, since for arrays Numba counted references in every chunk, which took 60 % of
    the time.
    """
    return (
        bounds[0, i],
        bounds[1, i],
        bounds[2, i],
        bounds[3, i],
        address(words) + bounds[4, i] * 8,
        mask_area(bounds, i),
    )


@register_jitable
def shared_box(mask1: Mask, mask2: Mask) -> tuple[int, int, int, int]:
    """Box that two masks share: left, top, right, bottom; right ≤ left or bottom ≤ top if none."""
    always_inlined()
    return (
        max(mask1[0], mask2[0]),
        max(mask1[1], mask2[1]),
        min(mask1[2], mask2[2]),
        min(mask1[3], mask2[3]),
    )


@register_jitable
def word_at(mask: Mask, left: int, top: int) -> int:
    """Address of a mask's word in column `left`, of the word row that pixel row `top` is in."""
    always_inlined()
    own_left, own_top, own_right, _, words, _ = mask
    return words + 8 * (((top >> 6) - (own_top >> 6)) * (own_right - own_left) + left - own_left)


@register_jitable
def shared_pixels(mask1: Mask, mask2: Mask) -> int:
    """How many pixels two masks share."""
    always_inlined()
    left, top, right, bottom = shared_box(mask1, mask2)
    shared = np.int64(0)
    if left < right and top < bottom:
        shared = shared_ones(
            word_at(mask1, left, top),
            mask1[2] - mask1[0],
            word_at(mask2, left, top),
            mask2[2] - mask2[0],
            word_rows(top, bottom),
            right - left,
        )
    return shared


@register_jitable
def shared_and_areas(mask1: Mask, mask2: Mask) -> tuple[float, float, float]:
    """What a ratio metric needs of two masks: the pixels that both share, and both areas."""
    always_inlined()
    return np.float64(shared_pixels(mask1, mask2)), mask1[5], mask2[5]


@functools.cache
def mask_chunk_scorer(metric: Metric) -> Any:
    """Make the function that fills a chunk with the scores of one mask (see `cpu.scoring`)."""
    formula = metric.formula

    @register_jitable(inline="always")
    @named(metric.name)
    def score(
        member: Any, bounds: Array, words: Array, column: int, count: int, chunk: Array
    ) -> None:
        start = np.uint64(column)
        for j in range(np.uint64(CHUNK)):
            chunk[j] = 0
        candidates = meeting(member, bounds, column, CHUNK) & low_bits(count)
        if candidates:  # what shares nothing scores 0, whatever the metric: 64 divisions are saved
            while candidates:
                k = count_zeros_below(candidates)
                candidates &= candidates - np.uint64(1)
                other = load_mask(bounds, words, start + np.uint64(k))
                chunk[k] = shared_pixels(member, other)
            for j in range(np.uint64(CHUNK)):
                chunk[j] = formula(chunk[j], member[5], mask_area(bounds, start + j))

    return score


class MaskKernels(NamedTuple):
    """The kernels of a dense result of masks, of one metric."""

    #: A block of rows and columns.
    dense: Kernel
    #: Tiles of a result over masks that all have one box.
    uniform: Kernel


@functools.cache
def mask_kernels(metric: Metric) -> MaskKernels:
    """Make the kernels of a metric."""
    formula = metric.formula
    score = mask_chunk_scorer(metric)

    def dense(
        bounds1: Array,
        words1: Array,
        bounds2: Array,
        words2: Array,
        stripes: int,
        scores: Array,
        first_row: int,
        last_row: int,
        first_column: int,
        last_column: int,
    ) -> None:
        """Fill a block of scores (rows, columns)."""
        # A stripe is every so many rows: masks often come sorted by size, and then consecutive rows
        # differ in work. With as many stripes as threads no thread gets two rows more than another.
        for stripe in prange(stripes):
            prefer_widest_vectors()
            chunk = stack_array(scores, CHUNK)
            for i in range(first_row + stripe, last_row, stripes):
                mask = load_mask(bounds1, words1, i)
                for column in range(first_column, last_column, CHUNK):
                    size = min(CHUNK, last_column - column)
                    row = scores[i, column : column + size]
                    score(mask, bounds2, words2, column, size, chunk)
                    for j in range(size):
                        row[j] = chunk[j]

    def uniform(
        bounds1: Array,
        words1: Array,
        bounds2: Array,
        words2: Array,
        scores: Array,
        size: int,
        first_tile: int,
        last_tile: int,
    ) -> None:
        """Fill tiles of scores (rows, columns), where every mask has `size` words."""
        count1, count2 = scores.shape
        across = (count2 + TILE_COLUMNS - 1) // TILE_COLUMNS
        for tile in prange(first_tile, last_tile):
            prefer_widest_vectors()
            first_row = tile // across * TILE_ROWS
            end_row = min(first_row + TILE_ROWS, count1) - 1
            first_column = tile % across * TILE_COLUMNS
            end_column = min(first_column + TILE_COLUMNS, count2) - 1
            shared = np.zeros((TILE_ROWS, TILE_COLUMNS), np.int64)
            starts1 = bounds1[4]
            starts2 = bounds2[4]
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
                    scores[i, j] = formula(count, mask_area(bounds1, i), mask_area(bounds2, j))

    return MaskKernels(
        Kernel(dense, f"masks-{metric.name}", at_once=True),
        Kernel(uniform, f"uniform-masks-{metric.name}", at_once=True),
    )
