"""Pairs above a threshold, and the best of each row, on a GPU.

The search is built on the host, as for the CPU, and its arrays are copied. Kernels then walk the
same blocks and bands, and score the same candidates with the same formulas.

Rows differ in work by orders of magnitude: a box as large as the page meets everything. So a first
kernel tells how many candidates each row has, and a row is served by one thread, where it has few,
or by a team of threads that take every so many candidates. Threads of a warp that serve a row each
read almost the same candidates, since rows come in the order of the grid; those of a team read
neighbours.

What a team finds comes in any order, as do the pairs of a row from several bands, so each row is
sorted at the end.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import cuda

from fastiou.cpu.grid import addresses, bounds_of, group_of, reach
from fastiou.geometries.box_columns import box
from fastiou.geometries.masks.kernels import mask_pair_scorer
from fastiou.metrics import METRICS
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block

__all__ = ["GpuSearch", "best_kernels", "pairs_kernel", "reach_kernel"]

Array = npt.NDArray[Any]

#: Called with the work done so far.
Report = Callable[[int], None]

#: Threads of a block.
THREADS = 128

#: Candidates that wait to be put in order among the best of a row.
WAITING = 2 * THREADS

#: Threads of a team, and the work of a row, in scores of boxes, up to which they serve it. No row
#: should hold up the rest: with some 50 cycles for a score one thread would take 3 ms for 100,000.
#: Reckoned and not measured, as the next two are.
TEAMS = ((1, 1 << 8), (32, 1 << 15), (256, sys.maxsize))

#: Fewer rows than this, each served by one thread, would leave most of a GPU idle.
MANY_ROWS = 1 << 15

#: Scores between two chances for Ctrl-C: sixteen times those of the CPU.
STEP = 1 << 30

#: What asking the grid takes, in scores of boxes, beyond those of the candidates.
SCORES_OF_A_QUERY = 64

#: Pairs of a row up to which one thread sorts them.
FEW = 32


# ---- what the kernels share --------------------------------------------------------------------


@functools.cache
def _pair_score(geometry: str, metric: str) -> tuple[Any, Any]:
    """Make the functions that read a row's member once, and that score a candidate with it."""
    if geometry == "mask":

        def number(first: Any, second: Any, i: int) -> int:
            return i

        return number, mask_pair_scorer(metric)

    formula = METRICS[metric].formula
    measure = METRICS[metric].measure

    def score(
        first1: Any, second1: Any, member: Any, first2: Any, second2: Any, column: int
    ) -> Any:
        return formula(*measure(member, box(first2, second2, column)))

    return box, score


# ---- how many candidates each row has ----------------------------------------------------------


@functools.cache
def reach_kernel(geometry: str) -> CudaKernel:
    """Make the kernel that counts the candidates of each member of the first set."""
    bounds = bounds_of(geometry)

    def count_candidates(
        side1: Any,
        side2: Any,
        grid: Any,
        share1: float,
        share2: float,
        itself: bool,
        reached: Any,
    ) -> None:
        first1, second1, _, groups1 = side1
        blocks, extents, layout, edges, places, starts = grid
        position = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if position >= reached.shape[0]:
            return
        index = addresses(extents, layout, edges, places)
        compared = np.int64(0)
        group = group_of(groups1, position)
        for b in range(blocks[group], blocks[group + 1]):
            first_cell, end_cell, step, width = reach(
                index, b, bounds(first1, second1, position), share1, share2
            )
            for cell in range(first_cell, end_cell, step):
                first = np.int64(starts[cell])
                last = np.int64(starts[cell + width])
                if itself and width == 1 and first <= position < last:
                    first = np.int64(position + 1)  # a cell keeps the order of the caller's rows
                compared += last - first
        reached[position] = compared

    return CudaKernel(count_candidates, f"reach-{geometry}")


# ---- pairs -------------------------------------------------------------------------------------


@functools.cache
def pairs_kernel(geometry: str, metric: str) -> CudaKernel:
    """Make the kernel that counts the pairs of each row, or fills them in, unsorted.

    `positions` are those of the members to be served, from `first_number` on; none stands for all.
    Threads that serve one row together get places for its pairs from `cursors`.
    """
    member_of, score = _pair_score(geometry, metric)
    bounds = bounds_of(geometry)

    def search(
        side1: Any,
        side2: Any,
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
        first1, second1, order1, groups1 = side1
        first2, second2, order2, _ = side2
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
        member = member_of(first1, second1, position)
        index = addresses(extents, layout, edges, places)
        group = group_of(groups1, position)
        for b in range(blocks[group], blocks[group + 1]):
            first_cell, end_cell, step, width = reach(
                index, b, bounds(first1, second1, position), share1, share2
            )
            for cell in range(first_cell, end_cell, step):
                first = np.int64(starts[cell])
                last = np.int64(starts[cell + width])
                if itself and width == 1 and first <= position < last:
                    first = np.int64(position + 1)  # a cell keeps the order of the caller's rows
                # Not a range: it would tell its length beforehand, by a division.
                column = first + lane
                while column < last:
                    place = np.uint64(column)  # unsigned: no test for counting from the end
                    value = values.dtype.type(
                        score(first1, second1, member, first2, second2, place)
                    )
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

    return CudaKernel(search, f"pairs-{geometry}-{metric}")


def _sort_few(offsets: Any, columns: Any, values: Any) -> None:
    """Sort the pairs of each row by column, if it has no more than `FEW`: a row by each thread."""
    row = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if row >= offsets.shape[0] - 1:
        return
    first = offsets[row]
    last = offsets[row + 1]
    if last - first > FEW:
        return
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


#: `(offsets, columns, values)`
SORT_FEW = CudaKernel(_sort_few, "sort-few")


def _sort_many(rows: Any, offsets: Any, columns: Any, values: Any) -> None:
    """Sort the pairs of some rows by column: a row by each block.

    A bitonic network of which every comparison puts the smaller first. Those past the end then
    count as infinite, and are left out.
    """
    row = rows[cuda.blockIdx.x]
    start = offsets[row]
    count = offsets[row + 1] - start
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


# ---- the best of each row ----------------------------------------------------------------------


class BestKernels(NamedTuple):
    """The kernels of one metric that keep the best of each row."""

    #: A thread serves a row.
    alone: CudaKernel
    #: A block does.
    block: CudaKernel


def _insert(columns: Any, values: Any, row: int, kept: int, column: int, value: Any) -> int:
    """Keep a candidate among the best of a row, if it is; return how many are kept."""
    k = values.shape[1]
    place = kept
    while place > 0 and (
        value > values[row, place - 1]
        or (value == values[row, place - 1] and column < columns[row, place - 1])
    ):
        place -= 1
    if place == k:
        return kept
    kept = min(kept + 1, k)
    for i in range(kept - 1, place, -1):
        values[row, i] = values[row, i - 1]
        columns[row, i] = columns[row, i - 1]
    values[row, place] = value
    columns[row, place] = column
    return kept


@functools.cache
def best_kernels(geometry: str, metric: str) -> BestKernels:
    """Make the kernels that keep the best of each row, by value and then by lowest column.

    `values` and `columns` are of shape (rows, k), filled with 0 and -1.
    """
    member_of, score = _pair_score(geometry, metric)
    bounds = bounds_of(geometry)

    def alone(
        side1: Any,
        side2: Any,
        grid: Any,
        share1: float,
        share2: float,
        positions: Any,
        first_number: int,
        count: int,
        limit: float,
        columns: Any,
        values: Any,
    ) -> None:
        first1, second1, order1, groups1 = side1
        first2, second2, order2, _ = side2
        blocks, extents, layout, edges, places, starts = grid
        number = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if number >= count:
            return
        position = np.int64(first_number + number)
        if len(positions) > 0:
            position = np.int64(positions[position])
        row = np.int64(order1[position])
        k = values.shape[1]
        kept = np.int64(0)
        least = limit
        member = member_of(first1, second1, position)
        index = addresses(extents, layout, edges, places)
        group = group_of(groups1, position)
        for b in range(blocks[group], blocks[group + 1]):
            first_cell, end_cell, step, width = reach(
                index, b, bounds(first1, second1, position), share1, share2
            )
            for cell in range(first_cell, end_cell, step):
                first = np.int64(starts[cell])
                last = np.int64(starts[cell + width])
                for column in range(first, last):
                    place = np.uint64(column)
                    value = values.dtype.type(
                        score(first1, second1, member, first2, second2, place)
                    )
                    if value >= least:
                        kept = _insert(columns, values, row, kept, np.int64(order2[place]), value)
                        if kept == k:
                            least = values[row, k - 1]

    def block(
        side1: Any,
        side2: Any,
        grid: Any,
        share1: float,
        share2: float,
        positions: Any,
        first_number: int,
        count: int,
        limit: float,
        columns: Any,
        values: Any,
    ) -> None:
        first1, second1, order1, groups1 = side1
        first2, second2, order2, _ = side2
        blocks, extents, layout, edges, places, starts = grid
        # Those that may be among the best wait here for the first thread to put them in order.
        waiting_values = cuda.shared.array(WAITING, values.dtype)
        waiting_columns = cuda.shared.array(WAITING, np.int64)
        numbers = cuda.shared.array(2, np.int32)  # how many wait, and how many are kept
        position = np.int64(first_number) + cuda.blockIdx.x
        if len(positions) > 0:
            position = np.int64(positions[position])
        row = np.int64(order1[position])
        k = values.shape[1]
        thread = np.int64(cuda.threadIdx.x)
        least = limit
        if thread == 0:
            numbers[0] = 0
            numbers[1] = 0
        cuda.syncthreads()
        member = member_of(first1, second1, position)
        index = addresses(extents, layout, edges, places)
        group = group_of(groups1, position)
        for b in range(blocks[group], blocks[group + 1]):
            first_cell, end_cell, step, width = reach(
                index, b, bounds(first1, second1, position), share1, share2
            )
            for cell in range(first_cell, end_cell, step):
                first = np.int64(starts[cell])
                last = np.int64(starts[cell + width])
                while first < last:
                    if first + thread < last:
                        place = np.uint64(first + thread)
                        value = values.dtype.type(
                            score(first1, second1, member, first2, second2, place)
                        )
                        if value >= least:
                            end = cuda.atomic.add(numbers, 0, 1)
                            waiting_values[end] = value
                            waiting_columns[end] = order2[place]
                    cuda.syncthreads()
                    is_full = numbers[0] > WAITING - THREADS
                    cuda.syncthreads()  # all have read before any adds
                    if is_full:
                        if thread == 0:
                            kept = np.int64(numbers[1])
                            for i in range(numbers[0]):
                                kept = _insert(
                                    columns, values, row, kept, waiting_columns[i],
                                    waiting_values[i],
                                )  # fmt: skip
                            numbers[0] = 0
                            numbers[1] = kept
                        cuda.syncthreads()
                        if numbers[1] == k:
                            least = values[row, k - 1]
                    first += cuda.blockDim.x
        if thread == 0:
            kept = np.int64(numbers[1])
            for i in range(numbers[0]):
                kept = _insert(columns, values, row, kept, waiting_columns[i], waiting_values[i])

    return BestKernels(
        CudaKernel(alone, f"best-{geometry}-{metric}"),
        CudaKernel(block, f"best-block-{geometry}-{metric}"),
    )


def _clear(columns: Any, values: Any) -> None:
    """Fill what nothing is kept in with 0 and -1."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < columns.shape[0]:
        columns[i] = -1
        values[i] = 0


#: `(columns, values)`
CLEAR = CudaKernel(_clear, "clear")


# ---- a search ----------------------------------------------------------------------------------


class _Team(NamedTuple):
    """Members of the first set that are served by as many threads each."""

    threads: int
    #: Their positions, on the GPU; none stands for all.
    positions: Any
    #: Candidates of each.
    reached: Array
    #: Their work, in scores of boxes.
    work: int


class _Task(NamedTuple):
    """Some members that are served alike, in one launch."""

    threads: int
    positions: Any
    #: The first of them, and how many.
    first: int
    members: int
    #: The work done when this is.
    done: int


class GpuSearch:
    """Two sets and the grid over the second, on a GPU.

    Parameters
    ----------
    work
        The use of the GPU.
    found
        The same on the host: a `candidates.Search`.
    metric
        What to score.
    """

    def __init__(self, work: Work, found: Any, metric: str) -> None:
        self._use = work
        self._found = found
        self._metric = metric
        self._arguments = tuple(
            tuple(map(work.copied, argument)) if isinstance(argument, tuple) else argument
            for argument in found.arguments
        )
        self._none = work.copied(np.empty(0, np.int32))
        reached = self._count_candidates()
        #: How many scores the search makes.
        self.tested = int(reached.sum(dtype=np.int64))
        self._teams = self._parted(reached)
        #: The work of the search, in scores of boxes.
        self.total = sum(team.work for team in self._teams)

    def _count_candidates(self) -> Array:
        """How many candidates each member of the first set has, int32."""
        count = len(self._found.side1)
        if not count:
            return np.empty(0, np.int32)
        reached = self._use.empty(count, np.int32)
        self._launch_items(
            reach_kernel(self._found.geometry), count, *self._arguments, self._found.itself, reached
        )
        return self._use.to_host(reached)

    def _launch_items(self, kernel: CudaKernel, items: int, *arguments: Any) -> None:
        """Run a kernel with a thread for each of some items."""
        if items:
            threads = threads_of_block(THREADS)
            kernel.launch(blocks_for(items, threads), threads, self._use.stream, *arguments)

    def _parted(self, reached: Array) -> list[_Team]:
        """Part members by how many threads serve each. Those that reach nothing may be left out."""
        scores = self._found.scores
        teams = []
        least = -1
        highest = int(reached.max(initial=-1))
        for threads, most_work in TEAMS:
            most = min(most_work // scores, highest)
            if threads == 1 and np.count_nonzero(reached <= most) < MANY_ROWS:
                least = 0
                continue
            positions, chosen = self._none, reached
            if least >= 0 or most < highest:
                places = np.flatnonzero((reached > least) & (reached <= most)).astype(np.int32)
                positions, chosen = self._use.copied(places), reached[places]
            if len(chosen):
                work = int(chosen.sum(dtype=np.int64)) * scores + SCORES_OF_A_QUERY * len(chosen)
                teams.append(_Team(threads, positions, chosen, work))
            if most == highest:
                break
            least = most
        return teams

    def _tasks(self) -> Iterator[_Task]:
        """What to launch, one after the other; each is waited for before the next."""
        done = 0
        for team in self._teams:
            first = 0
            for members, work in self._cut(team):
                done += work
                yield _Task(team.threads, team.positions, first, members, done)
                first += members
                self._use.wait()

    def _cut(self, team: _Team) -> Iterator[tuple[int, int]]:
        """How many members of a team's are served at a time, and their work."""
        if team.work <= STEP:
            yield len(team.reached), team.work
            return
        each = team.reached.astype(np.int64) * self._found.scores + SCORES_OF_A_QUERY
        cumulative = np.concatenate([[0], np.cumsum(each)])
        first = 0
        while first < len(each):
            until = int(np.searchsorted(cumulative, cumulative[first] + STEP, side="right")) - 1
            last = max(until, first + 1)
            yield last - first, int(cumulative[last] - cumulative[first])
            first = last

    def count_pairs(self, limit: Any, rows: int, report: Report | None) -> Array:
        """How many pairs each row of the caller has, int32."""
        counts = self._use.empty(rows, np.int32)
        counts.copy_to_device(np.zeros(rows, np.int32), stream=self._use.stream)
        self._search_pairs(limit, report, counts, None, None, None)
        return self._use.to_host(counts)

    def fill_pairs(
        self, limit: Any, offsets: Array, columns: Any, values: Any, report: Report | None
    ) -> None:
        """Fill in the pairs of each row, sorted by column, in memory of the GPU."""
        own_offsets = self._use.copied(offsets)
        self._search_pairs(limit, report, None, own_offsets, columns, values)
        self._launch_items(SORT_FEW, len(offsets) - 1, own_offsets, columns, values)
        long_rows = np.flatnonzero(np.diff(offsets) > FEW)
        if len(long_rows):
            SORT_MANY.launch(
                len(long_rows), threads_of_block(THREADS), self._use.stream,
                self._use.copied(long_rows), own_offsets, columns, values,
            )  # fmt: skip
        self._use.wait()

    def _search_pairs(
        self,
        limit: Any,
        report: Report | None,
        counts: Any,
        offsets: Any,
        columns: Any,
        values: Any,
    ) -> None:
        use, found = self._use, self._found
        filling = offsets is not None
        none = use.copied(np.empty(0, np.int64))
        cursors = none
        if not filling:
            offsets = columns = none
            values = use.copied(np.empty(0, found.dtype))
        else:
            counts = self._none
            if any(team.threads > 1 for team in self._teams):
                cursors = use.empty(offsets.shape, np.int64)
                cursors.copy_to_device(offsets, stream=use.stream)
        for task in self._tasks():
            self._launch_items(
                pairs_kernel(found.geometry, self._metric), task.members * task.threads,
                *self._arguments, found.itself, task.positions, task.first, task.members,
                task.threads, limit, filling, counts, offsets, cursors, columns, values,
            )  # fmt: skip
            if report is not None:
                use.wait()
                report(task.done)

    def name_rows(self, offsets: Array, rows: Any) -> None:
        """Fill in the row of each pair, in memory of the GPU."""
        self._launch_items(NAME_ROWS, len(offsets) - 1, self._use.copied(offsets), rows)

    def keep_best(self, limit: Any, columns: Any, values: Any) -> None:
        """Fill (rows, k) in memory of the GPU with the best of each row, the rest with 0 and -1."""
        size = columns.size
        self._launch_items(CLEAR, size, columns.reshape(size), values.reshape(size))
        kernels = best_kernels(self._found.geometry, self._metric)
        for threads, positions, first, count, _ in self._tasks():
            arguments = (*self._arguments, positions, first, count, limit, columns, values)
            if threads == 1:
                self._launch_items(kernels.alone, count, *arguments)
            else:
                kernels.block.launch(count, threads_of_block(THREADS), self._use.stream, *arguments)
        self._use.wait()
