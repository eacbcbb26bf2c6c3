"""Relations of a few members: one compiled call prepares, scores and decides.

There is no grid and no plan: every member is scored against every other, with the very formula and
columns of all other ways. What is not finite, or too large or small for the type's arithmetic, is
left to these: then a kernel says that it could not.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu import match as assign
from fastiou.cpu.dense import aligned_filler
from fastiou.cpu.pairs import sort_row
from fastiou.cpu.scoring import chunk_scorer, search_scorer
from fastiou.cpu.topk import keep_best
from fastiou.cpu.walk import (
    addresses,
    bounds_of,
    group_of,
    is_over,
    next_slice,
    slice_of,
    walk_over,
)
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.bit_vectors import count_zeros_below
from fastiou.runtime.kernel import Kernel, inlined
from fastiou.runtime.vectors import (
    heap_array,
    heap_rows,
    prefer_widest_vectors,
    stack_array,
    store_first,
)
from fastiou.typing import Array

__all__ = ["MOST_PAIRS", "SmallKernels", "small_kernels"]


#: Columns are filled in steps of so many. They reach a chunk past the last member where chunks
#: begin anywhere.
LANES = 16

#: Members that are prepared and scored at a time where each is scored against its fellow, so that
#: what is prepared stays in a core's own cache: a million rotated boxes took 37 ns each where that
#: were 65,536 at a time, and 24 where it were 256 to 16,384. So few that glibc keeps their memory:
#: that of 4,096 it gave back each time, and 10,000 boxes took 100 to 220 ns each in new pages. No
#: power of two, by which columns would share a few lines of the nearest cache: boxes with yaw took
#: 30.5 ns, and take 28.5.
BLOCK = (1 << 8) + 48

#: Pairs for which there is room.
MOST_PAIRS = 1 << 14

#: More work than a few members make: kernels that pause go on to the end.
NO_PAUSE = 2**62


class SmallKernels(NamedTuple):
    """The kernels of one geometry and metric. Members are (n, numbers), all of one float type.

    `layout` is the number of their format. Groups are (n,) int64, or (0,) where all are of one.
    """

    #: `(members1, members2, layout, scores)` fills (n, m), and tells whether it could.
    dense: Kernel
    #: `(members1, members2, layout, scores)` fills (n,), any number, and tells whether it could.
    aligned: Kernel
    #: `(members1, members2, layout, groups1, groups2, itself, limit, rows, cols, values) -> int`
    #: lists the pairs that score `limit` or more, and returns how many; -1 where it could not.
    pairs: Kernel
    #: `(members1, members2, layout, groups1, groups2, limit, columns, values)` fills (n, k), and
    #: tells whether it could.
    topk: Kernel
    #: `(members, layout, scores, groups, limit, least, kept) -> int`: of members whose score is
    #: `least` or more, those that no better one that is kept scores `limit` or more with. Returns
    #: how many; -1 where it could not.
    nms: Kernel
    #: `(members1, members2, layout, groups1, groups2, limit, rows, cols, values, unmatched_rows,
    #: unmatched_cols) -> int`: the matches, and how many; -1 where it could not.
    greedy: Kernel
    optimal: Kernel
    most: Kernel
    #: `(members, layout, groups, set2, grid, limit, offsets, cols, values) -> int` fills the pairs
    #: of each row with a set that a grid was built over (see `cpu.walk`), sorted by column, and
    #: (n + 1,) where rows begin. Groups are (n,) int32 or (1,), as those of the set, and -1 for
    #: none of these. Returns how many scores were made; -1 where it could not.
    built_pairs: Kernel
    #: `(members, layout, columns) -> bool` fills columns, bounds first, and tells whether
    #: it could.
    columns: Kernel


# Not inlined: within one function, what these are long would make all else take longer to compile.
find_greedy = register_jitable(assign.find_greedy)
find_optimal = register_jitable(assign.find_optimal)
optimal_start = inlined(assign.optimal_start)
optimal_result = inlined(assign.optimal_result)


@inlined
def match_greedily(offsets: Array, cols: Array, values: Array, size2: int) -> Any:
    """The column of each row, the value of each match, and the row of each column; -1 for none."""
    size1 = len(offsets) - 1
    partners, holders = heap_array(cols, size1), heap_array(cols, size2)
    looks, state = heap_array(cols, size1), heap_array(cols, assign.STATE)
    bars, matched = heap_array(values, size2), heap_array(values, size1)
    for array, value in ((partners, -1), (holders, -1), (looks, 0), (state, 0)):
        assign.fill(array, value)
    assign.fill(bars, 0)
    find_greedy(offsets, cols, values, partners, holders, bars, looks, state, NO_PAUSE)
    for col in range(size2):
        if holders[col] >= 0:
            matched[holders[col]] = bars[col]
    return partners, matched, holders


@inlined
def match_optimally(offsets: Array, cols: Array, values: Array, size2: int) -> Any:
    """The same of a matching with the highest total."""
    is_turned, arrays = optimal_start(offsets, cols, values, size2)
    state = heap_array(cols, assign.STATE)
    for bids in (assign.BIDS, 0):
        assign.fill(state, 0)
        find_optimal(arrays, bids, state, NO_PAUSE)
    return optimal_result(is_turned, arrays)


@inlined
def match_most(offsets: Array, cols: Array, values: Array, size2: int) -> Any:
    """The same of a matching of as many as there can be; see `relations.match` for how."""
    size1, count = len(offsets) - 1, offsets[-1]
    matched, seen = heap_array(values, size1), heap_array(cols, size2)
    assign.fill(seen, 0)
    rows_met = cols_met = 0
    low, high = np.inf, 0.0
    for row in range(size1):
        rows_met += offsets[row + 1] > offsets[row]
        for k in range(offsets[row], offsets[row + 1]):
            cols_met += seen[cols[k]] == 0
            seen[cols[k]] = 1
            low, high = min(low, np.float64(values[k])), max(high, np.float64(values[k]))
    raised = np.empty(count, np.float64)
    if count > 0:
        scale = 2.0 ** -math.frexp(high)[1]
        raise_by = math.ceil(min(rows_met, cols_met) * (high - low) * scale + 1)
        for k in range(count):
            raised[k] = np.float64(values[k]) * scale + raise_by
    partners, _, holders = match_optimally(offsets, cols, raised, size2)
    for row in range(size1):
        for k in range(offsets[row], offsets[row + 1]):
            if cols[k] == partners[row]:
                matched[row] = values[k]
    return partners, matched, holders


@inlined
def of_one_group(bits: Any, groups1: Array, groups2: Array, row: int, column: int) -> Any:
    """Those of a word's bits, from `column` on, that a row may meet."""
    left = bits if len(groups1) > 0 else np.uint64(0)
    while left:
        lane = count_zeros_below(left)
        left &= left - np.uint64(1)
        if groups1[row] != groups2[column + lane]:
            bits &= ~(np.uint64(1) << np.uint64(lane))
    return bits


@inlined
def falling_order(values: Array, order: Array) -> None:
    """Fill (n,) int64 with the indices by falling value, equal ones by index.

    Each counts those that come before it, in vectors: 1.6 µs for 100, where a heap took 6.5.
    """
    for i in range(len(order)):
        own = values[i]
        place = 0
        for j in range(np.uint64(i)):
            place += values[j] >= own
        for j in range(np.uint64(i + 1), np.uint64(len(order))):
            place += values[j] > own
        order[place] = i


@functools.cache
def small_kernels(geometry: Geometry, metric: Metric) -> SmallKernels:
    """Make the kernels of a geometry that has `Geometry.small`, and of a metric."""
    assert geometry.small is not None
    size, load = geometry.chunk, geometry.load
    fill, column_rows = geometry.small.fill(metric), 4 + geometry.small.data_rows
    limits32, limits64 = (geometry.small.limits(np.dtype(kind)) for kind in ("f4", "f8"))
    fill_chunk = chunk_scorer(geometry, metric, size)
    score = search_scorer(geometry, metric)
    fill_aligned = aligned_filler(geometry, metric)
    label = f"{geometry.label}-{metric.name}"

    @inlined
    def filled(members: Array, layout: int, columns: Array) -> bool:
        """Whether all is finite, and fit for the arithmetic of the dtype."""
        odd, largest, smallest = fill(members, 0, columns.shape[1], layout, columns)
        most, least = limits32 if columns.itemsize == 4 else limits64
        return not odd and largest <= most and smallest >= least

    @inlined
    def prepared(members: Array, layout: int, beyond: int) -> Any:
        length = (len(members) + beyond + LANES - 1) // LANES * LANES
        columns = heap_rows(members, column_rows, length)
        return filled(members, layout, columns), columns[:4], columns[4:]

    @inlined
    def both_prepared(members1: Array, members2: Array, layout: int) -> Any:
        is_ready1, bounds1, data1 = prepared(members1, layout, 0)
        is_ready2, bounds2, data2 = prepared(members2, layout, 0)
        return is_ready1 and is_ready2, bounds1, data1, bounds2, data2

    @inlined
    def find_pairs(
        members1: Array,
        members2: Array,
        layout: int,
        groups1: Array,
        groups2: Array,
        itself: bool,
        limit: Any,
        offsets: Array,
        cols: Array,
        values: Array,
    ) -> bool:
        """Fill pairs by row, and (n + 1,) where rows begin; return whether that could be done."""
        prefer_widest_vectors()
        is_ready, bounds1, data1 = prepared(members1, layout, size if itself else 0)
        bounds2, data2 = bounds1, data1
        if is_ready and not itself:
            is_ready, bounds2, data2 = prepared(members2, layout, 0)
        chunk = stack_array(values, size)
        least = values.dtype.type(limit)
        count, last = 0, len(members2)
        offsets[0] = 0
        for row in range(len(members1) if is_ready else 0):
            if count > len(cols):
                break
            member = load(bounds1, data1, np.uint64(row))
            for column in range(row + 1 if itself else 0, last, size):
                bits = score(member, bounds2, data2, column, last, least, chunk)
                bits = of_one_group(bits, groups1, groups2, row, column)
                while bits:
                    lane = count_zeros_below(bits)
                    bits &= bits - np.uint64(1)
                    if count < len(cols):
                        cols[count] = column + lane
                        values[count] = chunk[lane]
                    count += 1
            offsets[row + 1] = count
        return is_ready and count <= len(cols)

    def dense(members1: Array, members2: Array, layout: int, scores: Array) -> bool:
        prefer_widest_vectors()
        is_ready, bounds1, data1, bounds2, data2 = both_prepared(members1, members2, layout)
        if not is_ready:
            return False
        chunk = stack_array(scores, size)
        last = len(members2)
        for row in range(len(members1)):
            member = load(bounds1, data1, np.uint64(row))
            own = scores[row]
            for column in range(0, last, size):
                fill_chunk(member, bounds2, data2, column, last - column, chunk)
                store_first(own, column, chunk, size, last - column)
        return True

    def aligned(members1: Array, members2: Array, layout: int, scores: Array) -> bool:
        failed = 0
        for block in prange((len(scores) + BLOCK - 1) // BLOCK):
            begin = np.int64(block) * BLOCK
            own = scores[begin : begin + BLOCK]
            is_ready, bounds1, data1, bounds2, data2 = both_prepared(
                members1[begin : begin + BLOCK], members2[begin : begin + BLOCK], layout
            )
            if is_ready:
                fill_aligned(bounds1, data1, bounds2, data2, own, 0, len(own))
            else:
                failed += 1
        return failed == 0

    def pairs(
        members1: Array,
        members2: Array,
        layout: int,
        groups1: Array,
        groups2: Array,
        itself: bool,
        limit: float,
        rows: Array,
        cols: Array,
        values: Array,
    ) -> int:
        offsets = heap_array(rows, len(members1) + 1)
        is_done = find_pairs(
            members1, members2, layout, groups1, groups2, itself, limit, offsets, cols, values
        )
        if not is_done:
            return -1
        for row in range(len(members1)):
            for place in range(offsets[row], offsets[row + 1]):
                rows[place] = row
        return offsets[len(members1)]

    def topk(
        members1: Array,
        members2: Array,
        layout: int,
        groups1: Array,
        groups2: Array,
        limit: float,
        columns: Array,
        values: Array,
    ) -> bool:
        prefer_widest_vectors()
        is_ready, bounds1, data1, bounds2, data2 = both_prepared(members1, members2, layout)
        if not is_ready:
            return False
        chunk = stack_array(values, size)
        last, k = len(members2), values.shape[1]
        positions = heap_array(columns, last)
        for i in range(last):
            positions[i] = i
        for row in range(len(members1)):
            own_columns, own_values = columns[row], values[row]
            member = load(bounds1, data1, np.uint64(row))
            least = values.dtype.type(limit)
            kept = 0
            for column in range(0, last, size):
                bits = score(member, bounds2, data2, column, last, least, chunk)
                bits = of_one_group(bits, groups1, groups2, row, column)
                if bits:
                    kept = keep_best(bits, chunk, column, positions, own_columns, own_values, kept)
                    if kept == k:
                        least = own_values[k - 1]
            for place in range(kept, k):
                own_columns[place] = -1
                own_values[place] = 0
        return True

    def nms(
        members: Array,
        layout: int,
        scores: Array,
        groups: Array,
        limit: float,
        least: float,
        kept: Array,
    ) -> int:
        prefer_widest_vectors()
        count = 0
        keys, chosen = heap_array(scores, len(members)), heap_array(kept, len(members))
        for i in range(len(members)):
            if scores[i] >= least:
                keys[count] = scores[i]
                chosen[count] = i
                count += 1
                continue
            if scores[i] != scores[i]:
                return -1
            for k in range(members.shape[1]):
                if members[i, k] - members[i, k] != 0:  # an infinity, or NaN
                    return -1
        order = heap_array(kept, count)
        falling_order(keys, order)
        ordered = heap_rows(members, count, members.shape[1])
        for i in range(count):
            order[i] = chosen[order[i]]
            for k in range(members.shape[1]):
                ordered[i, k] = members[order[i], k]
        is_ready, bounds, data = prepared(ordered, layout, size)
        if not is_ready:
            return -1
        chunk = stack_array(bounds, size)
        enough = bounds.dtype.type(limit)
        found = 0
        for i in range(count):
            if order[i] < 0:
                continue
            kept[found] = order[i]
            found += 1
            member = load(bounds, data, np.uint64(i))
            for column in range(i + 1, count, size):
                bits = score(member, bounds, data, column, count, enough, chunk)
                while bits:
                    other = column + count_zeros_below(bits)
                    bits &= bits - np.uint64(1)
                    if order[other] >= 0 and (
                        len(groups) == 0 or groups[order[i]] == groups[order[other]]
                    ):
                        order[other] = -1  # suppressed
        return found

    def fill_columns(members: Array, layout: int, columns: Array) -> bool:
        return filled(members, layout, columns)

    def built_pairs(
        members: Array,
        layout: int,
        groups: Array,
        set2: Any,
        grid: Any,
        limit: float,
        offsets: Array,
        cols: Array,
        values: Array,
    ) -> int:
        prefer_widest_vectors()
        is_ready, bounds1, data1 = prepared(members, layout, 0)
        if not is_ready:
            return -1
        chunk = stack_array(values, size)
        bounds2, data2, order2, _ = set2
        blocks, extents, table, edges, places, starts = grid
        index = addresses(extents, table, edges, places)
        least = values.dtype.type(limit)
        offsets[0] = count = tested = 0
        for row in range(len(members)):
            member = load(bounds1, data1, np.uint64(row))
            group = group_of(groups, row)
            walk = walk_over(blocks, max(group, 0))
            while group >= 0:
                walk = next_slice(index, walk, bounds_of(member), 0.0, 0.0)
                if is_over(walk):
                    break
                first, last = slice_of(starts, walk)
                tested += last - first
                for column in range(first, last, size):
                    bits = score(member, bounds2, data2, column, last, least, chunk)
                    while bits:
                        lane = count_zeros_below(bits)
                        bits &= bits - np.uint64(1)
                        if count == len(cols):
                            return -1
                        cols[count] = order2[column + lane]
                        values[count] = chunk[lane]
                        count += 1
            sort_row(cols, values, offsets[row], count)
            offsets[row + 1] = count
        return tested

    def matching(match_pairs: Any) -> Callable[..., int]:
        def match(
            members1: Array,
            members2: Array,
            layout: int,
            groups1: Array,
            groups2: Array,
            limit: float,
            rows: Array,
            cols: Array,
            values: Array,
            unmatched_rows: Array,
            unmatched_cols: Array,
        ) -> int:
            size1, size2 = len(members1), len(members2)
            room = min(size1 * size2, MOST_PAIRS)
            pair_cols, pair_values = heap_array(rows, room), heap_array(values, room)
            offsets = heap_array(rows, size1 + 1)
            is_done = find_pairs(
                members1, members2, layout, groups1, groups2, False, limit, offsets, pair_cols,
                pair_values,
            )  # fmt: skip
            if not is_done:
                return -1
            partners, matched, holders = match_pairs(offsets, pair_cols, pair_values, size2)
            count = left = 0
            for row in range(size1):
                if partners[row] < 0:
                    unmatched_rows[left] = row
                    left += 1
                else:
                    rows[count] = row
                    cols[count] = partners[row]
                    values[count] = matched[row]
                    count += 1
            left = 0
            for col in range(size2):
                if holders[col] < 0:
                    unmatched_cols[left] = col
                    left += 1
            return count

        return match

    def kernel(function: Any, name: str) -> Kernel:
        return Kernel(function, f"small-{name}-{label}")

    return SmallKernels(
        kernel(dense, "dense"),
        kernel(aligned, "aligned"),
        kernel(pairs, "pairs"),
        kernel(topk, "topk"),
        kernel(nms, "nms"),
        kernel(matching(match_greedily), "greedy"),
        kernel(matching(match_optimally), "optimal"),
        kernel(matching(match_most), "most"),
        kernel(built_pairs, "built-pairs"),
        kernel(fill_columns, "columns"),
    )
