"""The kernels of pairs above a threshold: counted and collected, then put in order.

Each member of the first set, a row, asks the grid for slices of the second (see `walk`), and scores
them in chunks with the very formula of the dense result.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.scoring import search_scorer
from fastiou.cpu.walk import (
    addresses,
    bounds_of,
    group_of,
    is_one_cell,
    is_over,
    next_slice,
    slice_of,
    walk_over,
)
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.bit_vectors import above, compress, count_ones, count_zeros_below, low_bits
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import (
    prefer_widest_vectors,
    prefetch,
    stack_array,
    take_numbers,
)
from fastiou.typing import Array

__all__ = ["COLLECT", "FILL", "NAME_ROWS", "REACH", "SORT_OUT", "pairs_kernel", "sort_row"]


# What a run of the pairs' kernel is for: how many each row is compared with; how many of these
# score enough, and which, as long as there is room for them; and which of the others.
REACH, COLLECT, FILL = range(3)

#: How many rows before it is needed memory is asked for; twice as many are less than the padding.
AHEAD = 12

#: Pairs of a row that are sorted by insertion.
FEW = 24

#: Pairs of a row that are put in order by how many come later, and fill a vector of `int32`.
ROOM = 16


@register_jitable
def sort_row(columns: Array, values: Array, first: int, last: int) -> None:
    """Sort a row's pairs by column."""
    ordered = first + 1
    while ordered < last and columns[ordered - 1] < columns[ordered]:
        ordered += 1
    if ordered >= last:
        return
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
def pairs_kernel(geometry: Geometry, metric: Metric) -> Kernel:
    """Make the kernel that compares, collects or finds the pairs of each row.

    `cuts` are positions between which a thread works at a time: between the first and the second,
    the second and the third, and so on, or, if `stride` is 2, the third and the fourth. `reached`
    gets how many scores each of these parts takes, which is all that `REACH` does.

    `COLLECT` puts the number of pairs of each row of the caller into `numbers`, and the pairs, in
    any order, into a pool, of which threads take `portion` places at a time, counted in `taken`.
    `homes` tells where those of a row begin there, or -1 if there was no room. `FILL` finds the
    pairs of these rows again, and reads from `numbers` where they go.
    """
    size, load = geometry.chunk, geometry.load
    score = search_scorer(geometry, metric)

    def search(
        set1: Any,
        set2: Any,
        grid: Any,
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
        homes: Array,
        portion: int,
        taken: Array,
        pool_columns: Array,
        pool_values: Array,
    ) -> None:
        bounds1, data1, order1, groups1 = set1
        bounds2, data2, order2, _ = set2
        blocks, extents, layout, edges, places, starts = grid
        index = addresses(extents, layout, edges, places)
        parts = len(cuts) // 2 if stride == 2 else len(cuts) - 1
        for part in prange(parts):
            task = part * stride
            prefer_widest_vectors()
            chunk = stack_array(values, size)
            compared = 0
            place = 0
            end_of_portion = 0
            collects = mode == COLLECT
            for position in range(cuts[task], cuts[task + 1]):
                row = order1[position]
                if mode != REACH:  # rows come in the order of the grid, which is any for memory
                    prefetch(numbers, order1[position + 2 * AHEAD])
                if mode == COLLECT:
                    prefetch(homes, order1[position + 2 * AHEAD])
                if mode == FILL:
                    if homes[row] >= 0:
                        continue
                    place = numbers[row]
                    ahead = numbers[order1[position + AHEAD]]
                    prefetch(columns, ahead)
                    prefetch(values, ahead)
                home = place
                found = 0
                member = load(bounds1, data1, position)
                walk = walk_over(blocks, group_of(groups1, position))
                while True:
                    walk = next_slice(index, walk, bounds_of(member), share1, share2)
                    if is_over(walk):
                        break
                    first, last = slice_of(starts, walk)
                    if itself and is_one_cell(walk) and first <= position < last:
                        first = position + 1  # a cell keeps the order of the caller's rows
                    compared += last - first
                    if mode == REACH:
                        continue
                    for column in range(first, last, size):
                        bits = score(member, bounds2, data2, column, last, limit, chunk)
                        if itself:
                            bits &= above(order2, column, size, row)
                        count = count_ones(bits)
                        found += count
                        if mode == FILL:
                            while bits:
                                k = count_zeros_below(bits)
                                bits &= bits - np.uint64(1)
                                columns[place] = order2[column + k]
                                values[place] = chunk[k]
                                place += 1
                        elif collects and count > 0:
                            if place + size > end_of_portion:
                                # The pairs of a row stay together, where there is room for all.
                                own = place - home
                                wanted = max(portion, 2 * (own + size))
                                place = take_numbers(taken, 0, wanted)
                                end_of_portion = place + wanted
                                collects = end_of_portion <= len(pool_columns)
                                if not collects:
                                    continue
                                for i in range(own):
                                    pool_columns[place + i] = pool_columns[home + i]
                                    pool_values[place + i] = pool_values[home + i]
                                home = place
                                place += own
                            compress(order2, column, size, bits, pool_columns, place)
                            compress(chunk, 0, size, bits, pool_values, place)
                            place += count
                if mode == COLLECT:
                    numbers[row] = found
                    homes[row] = home if collects or found == 0 else -1
                elif mode == FILL:
                    sort_row(columns, values, home, place)
            reached[task] = compared

    return Kernel(search, f"pairs-{geometry.label}-{metric.name}")


def _sort_out(
    offsets: Array,
    cuts: Array,
    homes: Array,
    pool_columns: Array,
    pool_values: Array,
    columns: Array,
    values: Array,
) -> None:
    """Bring the pairs that were collected to where those of their rows begin, sorted by column."""
    count = len(offsets) - 1
    for part in prange(len(cuts) - 1):
        for row in range(cuts[part], cuts[part + 1]):
            ahead = np.int64(homes[min(row + 2 * AHEAD, count - 1)])
            prefetch(pool_columns, ahead)
            prefetch(pool_values, ahead)
            begin = offsets[row]
            number = offsets[row + 1] - begin
            home = np.int64(homes[row])
            if home < 0 or number == 0:
                continue
            if number <= ROOM:
                # Each goes where it belongs at once, without a branch on what it is.
                own = low_bits(number)
                for i in range(number):
                    column = pool_columns[home + i]
                    later = count_ones(above(pool_columns, home, ROOM, column) & own)
                    place = begin + number - 1 - later
                    columns[place] = column
                    values[place] = pool_values[home + i]
                continue
            for i in range(number):
                columns[begin + i] = pool_columns[home + i]
                values[begin + i] = pool_values[home + i]
            sort_row(columns, values, begin, begin + number)


#: `(offsets, cuts, homes, pool_columns, pool_values, columns, values)`: the rows between cuts are a
#: thread's. Rows that pairs are found in come in any order, which for memory is slow; here only
#: what is read does.
SORT_OUT = Kernel(_sort_out, "sort-out")


def _name_rows(offsets: Array, cuts: Array, rows: Array) -> None:
    """Fill in the row of each pair, from where the pairs of each row begin."""
    for part in prange(len(cuts) - 1):
        for row in range(cuts[part], cuts[part + 1]):
            for place in range(offsets[row], offsets[row + 1]):
                rows[place] = row


#: `(offsets, cuts, rows)`. The search itself comes to rows in any order.
NAME_ROWS = Kernel(_name_rows, "name-rows")
