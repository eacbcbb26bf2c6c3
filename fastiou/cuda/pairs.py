"""The kernels of pairs above a threshold on a GPU; `search` launches them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda

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
from fastiou.cuda.scoring import pair_scorer
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.gpu_kernel import CudaKernel

__all__ = [
    "FEW",
    "NAME_ROWS",
    "SORT_FEW",
    "SORT_MANY",
    "pairs_kernel",
    "reach_kernel",
    "sort_alone",
    "sort_together",
]

#: Pairs of a row up to which one thread sorts them.
FEW = 32


# ---- how many candidates each row has ----------------------------------------------------------


@functools.cache
def reach_kernel(geometry: Geometry) -> CudaKernel:
    """Make the kernel that counts the candidates of each member of the first set."""
    load = geometry.load

    def count_candidates(
        set1: Any,
        set2: Any,
        grid: Any,
        share1: float,
        share2: float,
        itself: bool,
        reached: Any,
    ) -> None:
        bounds1, data1, _, groups1 = set1
        blocks, extents, layout, edges, places, starts = grid
        position = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if position >= reached.shape[0]:
            return
        index = addresses(extents, layout, edges, places)
        member = load(bounds1, data1, np.uint64(position))
        compared = np.int64(0)
        walk = walk_over(blocks, group_of(groups1, position))
        while True:
            walk = next_slice(index, walk, bounds_of(member), share1, share2)
            if is_over(walk):
                break
            first, last = slice_of(starts, walk)
            if itself and is_one_cell(walk) and first <= position < last:
                first = np.int64(position + 1)  # a cell keeps the order of the caller's rows
            compared += last - first
        reached[position] = compared

    return CudaKernel(count_candidates, f"reach-{geometry.label}")


# ---- pairs -------------------------------------------------------------------------------------


@functools.cache
def pairs_kernel(geometry: Geometry, metric: Metric) -> CudaKernel:
    """Make the kernel that counts the pairs of each row, or fills them in, unsorted.

    `positions` are those of the members to be served, from `first_number` on; none stands for all.
    Threads that serve one row together get places for its pairs from `cursors`.
    """
    load, score = geometry.load, pair_scorer(geometry, metric)

    def search(
        set1: Any,
        set2: Any,
        grid: Any,
        share1: float,
        share2: float,
        itself: bool,
        positions: Any,
        first_number: int,
        count: int,
        team: int,
        limit: float,
        filling: bool,
        counts: Any,
        offsets: Any,
        cursors: Any,
        columns: Any,
        values: Any,
    ) -> None:
        bounds1, data1, order1, groups1 = set1
        bounds2, data2, order2, _ = set2
        blocks, extents, layout, edges, places, starts = grid
        thread = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        number = thread // team
        lane = thread - number * team
        if number >= count:
            return
        position = np.int64(first_number + number)
        if len(positions) > 0:
            position = np.int64(positions[position])
        row = order1[position]
        found = np.int64(0)
        if filling:
            found = offsets[row]
            if found == offsets[row + 1]:
                return
        member = load(bounds1, data1, np.uint64(position))
        index = addresses(extents, layout, edges, places)
        walk = walk_over(blocks, group_of(groups1, position))
        while True:
            walk = next_slice(index, walk, bounds_of(member), share1, share2)
            if is_over(walk):
                break
            first, last = slice_of(starts, walk)
            if itself and is_one_cell(walk) and first <= position < last:
                first = np.int64(position + 1)  # a cell keeps the order of the caller's rows
            # Not a range: it would tell its length beforehand, by a division.
            column = first + lane
            while column < last:
                place = np.uint64(column)  # unsigned: no test for counting from the end
                value = values.dtype.type(score(member, load(bounds2, data2, place)))
                if value >= limit and not (itself and order2[place] <= row):
                    if filling:
                        end = found if team == 1 else cuda.atomic.add(cursors, row, 1)
                        columns[end] = order2[place]
                        values[end] = value
                    found += 1
                column += team
        if filling:
            return
        if team == 1:
            counts[row] = found
        elif found > 0:
            cuda.atomic.add(counts, row, np.int32(found))

    return CudaKernel(search, f"pairs-{geometry.label}-{metric.name}")


def sort_alone(columns: Any, values: Any, first: int, last: int) -> None:
    """Sort some pairs by column, by insertion: one thread does."""
    for i in range(first + 1, last):
        column = columns[i]
        value = values[i]
        j = i
        while j > first and columns[j - 1] > column:
            columns[j] = columns[j - 1]
            values[j] = values[j - 1]
            j -= 1
        columns[j] = column
        values[j] = value


def sort_together(columns: Any, values: Any, start: int, count: int) -> None:
    """Sort some pairs by column: all threads of a block do.

    A bitonic network of which every comparison puts the smaller first. Those past the end then
    count as infinite, and are left out.
    """
    size = np.int64(2)
    while size < 2 * count:
        # The first comparison of a stage mirrors each part, the others are a distance apart.
        distance = size >> 1
        mirror = size - 1
        while distance > 0:
            # The k-th comparison is of the k-th number that lacks the bit of the distance.
            end = (count + distance) >> 1
            k = np.int64(cuda.threadIdx.x)
            while k < end:
                low = 2 * k - (k & (distance - 1))
                high = low ^ mirror
                if high < count and columns[start + low] > columns[start + high]:
                    column = columns[start + low]
                    columns[start + low] = columns[start + high]
                    columns[start + high] = column
                    value = values[start + low]
                    values[start + low] = values[start + high]
                    values[start + high] = value
                k += cuda.blockDim.x
            cuda.syncthreads()
            distance >>= 1
            mirror = distance
        size <<= 1


def _sort_few(offsets: Any, columns: Any, values: Any) -> None:
    """Sort the pairs of each row by column, if it has no more than `FEW`: a row by each thread."""
    row = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if row < offsets.shape[0] - 1 and offsets[row + 1] - offsets[row] <= FEW:
        sort_alone(columns, values, offsets[row], offsets[row + 1])


#: `(offsets, columns, values)`
SORT_FEW = CudaKernel(_sort_few, "sort-few")


def _sort_many(rows: Any, offsets: Any, columns: Any, values: Any) -> None:
    """Sort the pairs of some rows by column: a row by each block."""
    row = rows[cuda.blockIdx.x]
    start = offsets[row]
    sort_together(columns, values, start, offsets[row + 1] - start)


#: `(rows, offsets, columns, values)`
SORT_MANY = CudaKernel(_sort_many, "sort-many")


def _name_rows(offsets: Any, rows: Any) -> None:
    """Fill in the row of each pair, from where the pairs of each row begin."""
    row = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if row < offsets.shape[0] - 1:
        for place in range(offsets[row], offsets[row + 1]):
            rows[place] = row


#: `(offsets, rows)`
NAME_ROWS = CudaKernel(_name_rows, "name-rows")
