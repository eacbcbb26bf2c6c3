"""Pairs above a threshold on a GPU, without the host: by cells, with one wait, for their number.

A thread serves a row of the first set, and all threads of a block those of its rows that look into
many cells. The pairs of each row are counted; what each block has found is summed, which tells
where its pairs begin; and all are found once more, written there, and sorted by their block. These
are seven launches: four fill the cells.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda

from fastiou.cuda.cell_sets import Cells, Sides, asked
from fastiou.cuda.cells import (
    PAIRS,
    TESTED,
    TOO_MANY,
    fits,
    group_of,
    is_proper,
    start_of,
)
from fastiou.cuda.scoring import candidate_finder
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import magnified
from fastiou.runtime.kernel import named

__all__ = ["SUMMING", "SUM_BLOCKS", "GpuPairs", "is_paired", "pairs_kernel"]

#: Threads of a block, each of which serves a row.
THREADS = 128

#: Pairs of a row up to which one thread sorts them.
FEW = 32

#: Threads of the block that sums what blocks have found.
SUMMING = 256

# What threads of a block share, int64: how many rows wait for all of them, how many pairs were
# found of one, and of all, and by how many scores.
WAITING, CURSOR, FOUND, TRIED, SHARED = range(5)


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


def is_paired(other: int, more: tuple[bool, int]) -> bool:
    """Whether a member is to be scored with a row: within a set each pair is, but once."""
    itself, row = more
    return not itself or other > row


@functools.cache
def pairs_kernel(geometry: Geometry, metric: Metric) -> CudaKernel:
    """Make the kernel that counts the pairs of each row, or fills them in and sorts them."""
    load, next_candidate = geometry.load, candidate_finder(geometry, metric, is_paired)
    label = f"{geometry.label}-{metric.name}"

    @named(label)
    def serve(
        set1: Any,
        set2: Any,
        table: Any,
        shares: tuple[float, float],
        itself: bool,
        limit: float,
        exponent: int,
        row: int,
        lane: int,
        team: int,
        offset: int,
        shared: Any,
        pairs: Any,
    ) -> tuple[int, int]:
        """Find the pairs of a row: how many, and by how many scores.

        Without a team it is given up, and -1, where the row is long. Pairs are written from
        `offset` on, if that is not below 0.
        """
        rows, columns, values = pairs
        member = load(set1[0], set1[1], np.uint64(row))
        group = group_of(set1[2], row)
        found = np.int64(0)
        tested = np.int64(0)
        at = start_of(table, lane)
        while True:
            at, other, value, tested = next_candidate(
                set2, table, shares, member, group, limit, values, lane, team, at, (itself, row),
                tested,
            )  # fmt: skip
            if other < 0:
                break
            if offset >= 0:
                end = offset + found
                if team > 1:
                    end = offset + cuda.atomic.add(shared, CURSOR, 1)
                rows[end] = row
                columns[end] = other
                values[end] = magnified(value, -exponent) if exponent != 0 else value
            found += 1
        if other == TOO_MANY:
            return np.int64(-1), np.int64(0)
        return found, tested

    def search(
        set1: Any,
        set2: Any,
        table: Any,
        share1: float,
        share2: float,
        itself: bool,
        limit: float,
        exponent: int,
        most: float,
        least: float,
        told: Any,
        findings: Any,
        filling: bool,
        counts: Any,
        sums: Any,
        rows: Any,
        columns: Any,
        values: Any,
    ) -> None:
        """Count the pairs of each row, or fill them in.

        Parameters
        ----------
        counts
            (n,) int32: gets how many pairs each row has.
        sums
            (block,) int64: gets how many those of a block have, or has where these begin.
        rows, columns, values
            (pair,): get the pairs, sorted by row and column.
        """
        if not fits(told, findings, most, least):
            return
        # Rows of this block that wait for all of its threads.
        waiting = cuda.shared.array(THREADS, np.int32)
        shared = cuda.shared.array(SHARED, np.int64)
        pairs = rows, columns, values
        shares = share1, share2
        thread = np.int64(cuda.threadIdx.x)
        team = np.int64(cuda.blockDim.x)
        first = np.int64(cuda.blockIdx.x) * team
        end = min(first + team, np.int64(counts.shape[0]))
        row = first + thread
        if thread == 0:
            for i in range(SHARED):
                shared[i] = 0
        cuda.syncthreads()
        offset = np.int64(-1)
        if filling:
            offset = np.int64(sums[cuda.blockIdx.x])
            for before in range(first, min(row, end)):
                offset += counts[before]
        found = np.int64(0)
        tested = np.int64(0)
        if row < end and is_proper(set1[0], row):
            found, tested = serve(
                set1, set2, table, shares, itself, limit, exponent, row, np.int64(0), np.int64(1),
                offset, shared, pairs,
            )  # fmt: skip
            if found < 0:
                found = np.int64(0)
                waiting[cuda.atomic.add(shared, WAITING, 1)] = thread
        if not filling and row < end:
            counts[row] = found
        cuda.syncthreads()
        for i in range(shared[WAITING]):
            own = first + waiting[i]
            start = np.int64(-1)
            if filling:
                start = np.int64(sums[cuda.blockIdx.x])
                for before in range(first, own):
                    start += counts[before]
            some, tried = serve(
                set1, set2, table, shares, itself, limit, exponent, own, thread, team, start,
                shared, pairs,
            )  # fmt: skip
            found += some
            tested += tried
            if not filling and some > 0:
                cuda.atomic.add(counts, own, np.int32(some))
            cuda.syncthreads()
            if thread == 0:
                shared[CURSOR] = 0
            cuda.syncthreads()
        if not filling:
            cuda.atomic.add(shared, FOUND, found)
            cuda.atomic.add(shared, TRIED, tested)
            cuda.syncthreads()
            if thread == 0:
                sums[cuda.blockIdx.x] = shared[FOUND]
                cuda.atomic.add(told, TESTED, shared[TRIED])
            return
        if row < end and counts[row] <= FEW:
            sort_alone(columns, values, offset, offset + counts[row])
        start = np.int64(sums[cuda.blockIdx.x])
        for own in range(first, end):
            count = np.int64(counts[own])
            if count > FEW:
                sort_together(columns, values, start, count)
            start += count

    return CudaKernel(search, f"pairs-{label}")


def _sum_blocks(sums: Any, told: Any) -> None:
    """Turn the numbers of pairs of blocks (block,) into where those begin: one block does."""
    parts = cuda.shared.array(SUMMING, np.int64)
    thread = np.int64(cuda.threadIdx.x)
    count = np.int64(sums.shape[0])
    each = (count + cuda.blockDim.x - 1) // cuda.blockDim.x
    first = min(thread * each, count)
    last = min(first + each, count)
    number = np.int64(0)
    for i in range(first, last):
        number += sums[i]
    parts[thread] = number
    cuda.syncthreads()
    if thread == 0:
        total = np.int64(0)
        for i in range(cuda.blockDim.x):
            number = parts[i]
            parts[i] = total
            total += number
        told[PAIRS] = total
    cuda.syncthreads()
    start = parts[thread]
    for i in range(first, last):
        number = sums[i]
        sums[i] = start
        start += number


#: `(sums, told)`
SUM_BLOCKS = CudaKernel(_sum_blocks, "sum-blocks")


class GpuPairs:
    """The pairs of two sets on a GPU, counted, to be filled in.

    Parameters
    ----------
    work
        The use of the GPU.
    sides
        What is compared.
    limit_of
        `(exponent) -> ` the least score that counts, magnified by that power of two.

    Raises
    ------
    cell_sets.RefusedError
        A member is to be refused.
    """

    def __init__(self, work: Work, sides: Sides, limit_of: Any) -> None:
        self._work, self._limit_of = work, limit_of
        count = sides.sizes[0]
        self._threads = threads_of_block(THREADS)
        self._blocks = blocks_for(count, self._threads)
        # Of a row: how many pairs, and a share of what its block has.
        work.reserve(
            sides.nbytes + 4 * count + 8 * self._blocks,
            f"the search of {count:,} and {sides.sizes[1]:,} members",
        )
        self._counts = work.empty(count, np.int32)
        self._sums = work.empty(self._blocks, np.int64)
        none = work.empty(0, np.int64), work.empty(0, np.int64), work.empty(0, sides.dtype)

        def count_pairs(cells: Cells) -> None:
            self._launch(cells, False, *none)
            SUM_BLOCKS.launch(1, threads_of_block(SUMMING), work.stream, self._sums, cells.told)

        self._cells, told = asked(work, sides, count_pairs)
        #: How many pairs there are, and how many scores this took.
        self.count, self.tested = int(told[PAIRS]), int(told[TESTED])

    def fill(self, rows: Any, columns: Any, values: Any) -> None:
        """Fill in the pairs (count,), sorted by row and column."""
        if self.count:
            self._launch(self._cells, True, rows, columns, values)

    def _launch(self, cells: Cells, filling: bool, rows: Any, columns: Any, values: Any) -> None:
        sides = cells.sides
        exponent = cells.exponent if sides.metric.has_units else 0
        kernel = pairs_kernel(sides.geometry, sides.metric)
        kernel.launch(
            self._blocks, self._threads, self._work.stream, cells.set1, cells.set2, cells.table,
            *cells.shares, sides.itself, self._limit_of(exponent), exponent,
            *cells.limits, cells.told, cells.findings, filling, self._counts, self._sums, rows,
            columns, values,
        )  # fmt: skip
