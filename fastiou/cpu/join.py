"""The relations that never make a dense result: pairs above a threshold, and the best of each row.

A set is two arrays, whatever its geometry: those of `BoxColumns` or of `MaskOperand`, in the order
of the grid (see `grid`). Each member of the first set, a row, asks the grid for slices of the
second, and scores them in chunks with the very formula of the dense result.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.chunks import CHUNK, chunk_scorers
from fastiou.cpu.compilation import Kernel, named
from fastiou.cpu.grid import CELL, CELLS, addresses, group_of, reach
from fastiou.cpu.intrinsics import (
    above,
    at_least,
    count_ones,
    count_zeros_below,
    low_bits,
    prefer_widest_vectors,
    prefetch,
    stack_array,
)
from fastiou.cpu.mask_scores import mask_scorer

__all__ = [
    "COUNT",
    "FILL",
    "NAME_ROWS",
    "REACH",
    "best_kernel",
    "chunk_scorer",
    "corners_of",
    "pairs_kernel",
]

Array = npt.NDArray[Any]

# What a run of the pairs' kernel is for: how many each row is compared with, how many of these
# score enough, and which.
REACH, COUNT, FILL = range(3)

#: Boxes scored at a time. Slices are short: 64, as in a dense result, are mostly past the end.
BOX_CHUNK = 16

#: How many rows before it is needed memory is asked for; twice as many are less than the padding.
AHEAD = 12

#: Pairs of a row that are sorted by insertion, as they come.
FEW = 24


@functools.cache
def corners_of(geometry: str) -> Any:
    """Make the function that tells the array of corners from the two arrays of a set."""
    # The first or the second of the two. Numba leaves out the branch that is not taken.
    is_box = geometry == "box"

    @register_jitable(inline="always")
    @named(geometry)
    def corners(first: Array, second: Array) -> Array:
        return first if is_box else second

    return corners


def chunk_size(geometry: str) -> int:
    """How many members are scored at a time."""
    return BOX_CHUNK if geometry == "box" else CHUNK


@functools.cache
def chunk_scorer(geometry: str, metric: str) -> Any:
    """Make the inner loop of every search: score a chunk of a slice that ends at `last`.

    It returns a word with a bit for each that scores `limit` or more.
    """
    size = chunk_size(geometry)

    if geometry == "box":
        score_boxes = chunk_scorers(metric, size).one

        @register_jitable(inline="always")
        @named(f"{geometry}-{metric}")
        def score(
            first1: Array,
            second1: Array,
            i: int,
            first2: Array,
            second2: Array,
            column: int,
            last: int,
            limit: float,
            chunk: Array,
        ) -> Any:
            score_boxes(first1, second1, i, first2, second2, column, chunk)
            return at_least(chunk, 0, size, limit) & low_bits(last - column)
    else:
        score_masks = mask_scorer(metric)

        @register_jitable(inline="always")
        @named(f"{geometry}-{metric}")
        def score(
            first1: Array,
            second1: Array,
            i: int,
            first2: Array,
            second2: Array,
            column: int,
            last: int,
            limit: float,
            chunk: Array,
        ) -> Any:
            score_masks(first1, second1, i, first2, second2, column, last - column, chunk)
            return at_least(chunk, 0, size, limit) & low_bits(last - column)

    return score


@register_jitable
def sort_row(columns: Array, values: Array, first: int, last: int) -> None:
    """Sort a row's pairs by column."""
    stack = stack_array(columns, 128)
    depth = 0
    while True:
        while last - first > FEW:
            # The middle one of three is the pivot, so that sorted runs are no worst case.
            middle = (first + last) >> 1
            low, high = columns[first], columns[last - 1]
            pivot = columns[middle]
            pivot = max(min(low, high), min(max(low, high), pivot))
            i, j = first, last - 1
            while i <= j:
                while columns[i] < pivot:
                    i += 1
                while columns[j] > pivot:
                    j -= 1
                if i <= j:
                    columns[i], columns[j] = columns[j], columns[i]
                    values[i], values[j] = values[j], values[i]
                    i += 1
                    j -= 1
            # The longer part waits, so that never more than 64 do.
            if j + 1 - first > last - i:
                stack[depth] = first
                stack[depth + 1] = j + 1
                first = i
            else:
                stack[depth] = i
                stack[depth + 1] = last
                last = j + 1
            depth += 2
        for i in range(first + 1, last):
            column, value = columns[i], values[i]
            j = i
            while j > first and columns[j - 1] > column:
                columns[j] = columns[j - 1]
                values[j] = values[j - 1]
                j -= 1
            columns[j] = column
            values[j] = value
        if depth == 0:
            return
        depth -= 2
        first = stack[depth]
        last = stack[depth + 1]


@functools.cache
def pairs_kernel(geometry: str, metric: str) -> Kernel:
    """Make the kernel that compares, counts or finds the pairs of each row.

    `cuts` are positions between which a thread works at a time: between the first and the second,
    the second and the third, and so on, or, if `stride` is 2, the third and the fourth. `reached`
    gets how many scores each of these parts takes, which is all that `REACH` does. `COUNT` puts the
    number of pairs of each row of the caller into `numbers`; `FILL` reads from there where the
    pairs of a row go.
    """
    size = chunk_size(geometry)
    score = chunk_scorer(geometry, metric)
    corners_of_set = corners_of(geometry)

    def search(
        first1: Array,
        second1: Array,
        order1: Array,
        groups1: Array,
        first2: Array,
        second2: Array,
        order2: Array,
        blocks: Array,
        extents: Array,
        layout: Array,
        edges: Array,
        places: Array,
        starts: Array,
        share1: float,
        share2: float,
        itself: bool,
        mode: int,
        stride: int,
        cuts: Array,
        limit: float,
        reached: Array,
        numbers: Array,
        columns: Array,
        values: Array,
    ) -> None:
        corners = corners_of_set(first1, second1)
        grid = addresses(extents, layout, edges, places)
        parts = len(cuts) // 2 if stride == 2 else len(cuts) - 1
        for part in prange(parts):
            task = part * stride
            prefer_widest_vectors()
            chunk = stack_array(values, size)
            compared = 0
            for position in range(cuts[task], cuts[task + 1]):
                row = order1[position]
                if mode != REACH:  # rows come in the order of the grid, which is any for memory
                    prefetch(numbers, order1[position + 2 * AHEAD])
                if mode == FILL:
                    ahead = numbers[order1[position + AHEAD]]
                    prefetch(columns, ahead)
                    prefetch(values, ahead)
                begin = numbers[row] if mode == FILL else 0
                if mode == FILL and begin == numbers[row + 1]:
                    continue
                found = begin
                is_sorted = True
                group = group_of(groups1, position)
                for b in range(blocks[group], blocks[group + 1]):
                    first_band, end_band, first_cell, last_cell = reach(
                        grid,
                        b,
                        np.float64(corners[0, position]),
                        np.float64(corners[1, position]),
                        np.float64(corners[2, position]),
                        np.float64(corners[3, position]),
                        share1,
                        share2,
                    )
                    for band in range(first_band, end_band):
                        cell = layout[b, CELL] + band * layout[b, CELLS]
                        first = np.int64(starts[cell + first_cell])
                        last = np.int64(starts[cell + last_cell + 1])
                        if itself and first_cell == last_cell and first <= position < last:
                            first = position + 1  # a cell keeps the order of the caller's rows
                        compared += last - first
                        if mode == REACH:
                            continue
                        for column in range(first, last, size):
                            bits = score(
                                first1,
                                second1,
                                position,
                                first2,
                                second2,
                                column,
                                last,
                                limit,
                                chunk,
                            )
                            if itself:
                                bits &= above(order2, column, size, row)
                            if mode == COUNT:
                                found += count_ones(bits)
                                continue
                            while bits:
                                k = count_zeros_below(bits)
                                bits &= bits - np.uint64(1)
                                other = np.int64(order2[column + k])
                                place = found
                                if found < begin + FEW:
                                    while place > begin and columns[place - 1] > other:
                                        columns[place] = columns[place - 1]
                                        values[place] = values[place - 1]
                                        place -= 1
                                else:
                                    is_sorted &= columns[place - 1] < other
                                columns[place] = other
                                values[place] = chunk[k]
                                found += 1
                if mode == COUNT:
                    numbers[row] = found
                elif not is_sorted:
                    sort_row(columns, values, begin, found)
            reached[task] = compared

    return Kernel(search, f"pairs-{geometry}-{metric}")


def _name_rows(offsets: Array, block: int, rows: Array) -> None:
    """Fill in the row of each pair, from where the pairs of each row begin."""
    count = len(offsets) - 1
    for part in prange((count + block - 1) // block):
        for row in range(part * block, min((part + 1) * block, count)):
            for place in range(offsets[row], offsets[row + 1]):
                rows[place] = row


#: `(offsets, block, rows)`. The search itself comes to rows in any order, which for memory is slow.
NAME_ROWS = Kernel(_name_rows, "name-rows")


@functools.cache
def best_kernel(geometry: str, metric: str) -> Kernel:
    """Make the kernel that keeps the best of each row, by value and then by lowest column.

    `values` and `columns` are of shape (rows, k), filled with 0 and -1.
    """
    size = chunk_size(geometry)
    score = chunk_scorer(geometry, metric)
    corners_of_set = corners_of(geometry)

    def search(
        first1: Array,
        second1: Array,
        order1: Array,
        groups1: Array,
        first2: Array,
        second2: Array,
        order2: Array,
        blocks: Array,
        extents: Array,
        layout: Array,
        edges: Array,
        places: Array,
        starts: Array,
        share1: float,
        share2: float,
        cuts: Array,
        limit: float,
        columns: Array,
        values: Array,
    ) -> None:
        corners = corners_of_set(first1, second1)
        grid = addresses(extents, layout, edges, places)
        k = values.shape[1]
        for task in prange(len(cuts) - 1):
            prefer_widest_vectors()
            chunk = stack_array(values, size)
            for position in range(cuts[task], cuts[task + 1]):
                own_columns = columns[order1[position]]
                own_values = values[order1[position]]
                kept = 0
                least = limit
                group = group_of(groups1, position)
                for b in range(blocks[group], blocks[group + 1]):
                    first_band, end_band, first_cell, last_cell = reach(
                        grid,
                        b,
                        np.float64(corners[0, position]),
                        np.float64(corners[1, position]),
                        np.float64(corners[2, position]),
                        np.float64(corners[3, position]),
                        share1,
                        share2,
                    )
                    for band in range(first_band, end_band):
                        cell = layout[b, CELL] + band * layout[b, CELLS]
                        last = np.int64(starts[cell + last_cell + 1])
                        for column in range(np.int64(starts[cell + first_cell]), last, size):
                            bits = score(
                                first1,
                                second1,
                                position,
                                first2,
                                second2,
                                column,
                                last,
                                least,
                                chunk,
                            )
                            while bits:
                                lane = count_zeros_below(bits)
                                bits &= bits - np.uint64(1)
                                value = chunk[lane]
                                other = np.int64(order2[column + lane])
                                place = kept
                                while place > 0 and (
                                    value > own_values[place - 1]
                                    or (
                                        value == own_values[place - 1]
                                        and other < own_columns[place - 1]
                                    )
                                ):
                                    place -= 1
                                if place == k:
                                    continue
                                kept = min(kept + 1, k)
                                for i in range(kept - 1, place, -1):
                                    own_values[i] = own_values[i - 1]
                                    own_columns[i] = own_columns[i - 1]
                                own_values[place] = value
                                own_columns[place] = other
                                if kept == k:
                                    least = own_values[k - 1]

    return Kernel(search, f"best-{geometry}-{metric}")
