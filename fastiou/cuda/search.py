"""Pairs above a threshold, and the best of each row, on a GPU.

The search is built on the host, as for the CPU, and its arrays are copied. Kernels then walk the
same blocks and bands, and score the same candidates with the same formulas. Arrays that lie on a
GPU already are searched without the host, where that can be (see `cells`).

Rows differ in work by orders of magnitude: a box as large as the page meets everything. So a first
kernel tells how many candidates each row has, and a row is served by one thread, where it has few,
or by a team of threads that take every so many candidates. Threads of a warp that serve a row each
read almost the same candidates, since rows come in the order of the grid; those of a team read
neighbours.

What a team finds comes in any order, as do the pairs of a row from several bands, so each row is
sorted at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastiou.cuda.pairs import (
    FEW,
    NAME_ROWS,
    SORT_FEW,
    SORT_MANY,
    pairs_kernel,
    reach_kernel,
)
from fastiou.cuda.topk import CLEAR, THREADS, best_kernels
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.typing import Array

__all__ = ["GpuSearch"]


#: Called with the work done so far.
Report = Callable[[int], None]

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
        The same on the host: a `search.Search`.
    """

    def __init__(self, work: Work, found: Any) -> None:
        self._use = work
        self._found = found
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
        count = self._found.size
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
        scores = self._found.cost
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
        each = team.reached.astype(np.int64) * self._found.cost + SCORES_OF_A_QUERY
        cumulative = np.concatenate([[0], np.cumsum(each)])
        first = 0
        while first < len(each):
            until = int(np.searchsorted(cumulative, cumulative[first] + STEP, side="right")) - 1
            last = max(until, first + 1)
            yield last - first, int(cumulative[last] - cumulative[first])
            first = last

    def count_pairs(
        self, limit: Any, rows: int, report: Report | None, counter: Any = None
    ) -> Array:
        """How many pairs each row of the caller has, int32.

        A `pair_lists.PairCounter` refuses more than memory holds as soon as they are counted.
        """
        counts = self._use.empty(rows, np.int32)
        counts.copy_to_device(np.zeros(rows, np.int32), stream=self._use.stream)

        def counted(done: int) -> None:
            if report is not None:
                report(done)
            # There are no more scores than work, nor more pairs than scores.
            if counter is not None and done < self.total and counter.may_be_too_many(done):
                counter.refuse(int(self._use.to_host(counts).sum(dtype=np.int64)))

        self._search_pairs(limit, counted, counts, None, None, None)
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
                pairs_kernel(found.geometry, found.metric), task.members * task.threads,
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
        kernels = best_kernels(self._found.geometry, self._found.metric)
        for threads, positions, first, count, _ in self._tasks():
            arguments = (*self._arguments, positions, first, count, limit, columns, values)
            if threads == 1:
                self._launch_items(kernels.alone, count, *arguments)
            else:
                kernels.block.launch(count, threads_of_block(THREADS), self._use.stream, *arguments)
        self._use.wait()
