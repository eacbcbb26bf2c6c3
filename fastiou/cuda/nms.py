"""Hard non-maximum suppression on a GPU.

Nothing is stored of who suppresses whom. A block of threads decides one member: it asks the grid of
the CPU's search (see `walk`) for those before it, a candidate each thread, and stops at the first
that is kept and scores enough. Blocks begin in turn, so that nearly all before one are decided when
it asks. Where one meets candidates that are not, and none that is kept, it waits for them, but not
for ever: CUDA promises no order of blocks. A member that has waited long enough is left, and asks
the next launch from there on. The first that is left waits for nobody, so that each launch decides
some, and the result does not depend on who came first.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda

from fastiou.cpu.nms import SUPPRESSED
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
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel
from fastiou.runtime.gpu_primitives import SIMULATED, latest
from fastiou.typing import Array

__all__ = ["suppress", "suppress_kernel", "wait_for"]


#: Threads that decide a member: one warp, for which waiting for each other costs next to nothing.
#: In the simulator, where each is a thread of the system, a few.
THREADS = 4 if SIMULATED else 32

#: How often a member looks again at those it waits for. Looking takes about 0.5 µs, and in a chain
#: of the 4,224 members that the largest GPUs decide at a time the last waits for all. The simulator
#: runs one block after the other, so that looking again shows nothing new.
WAITS = 1 if SIMULATED else 1 << 14

#: Members of one launch, after which Ctrl-C has a chance: in one chain, each waiting for the one
#: before for about 1.5 µs, these take 0.2 s.
TURNS = 1 << 17

#: Scores of one launch: a slow GPU makes this many in about 0.1 s.
SCORES = 1 << 31

#: Members of the first launch where only some are to be kept, if that many suffice.
LEAST_TURNS = 1 << 12

# What is counted in a launch: members that were kept, and that were left.
KEPT, LEFT = range(2)

# What comes of waiting for rivals: none is kept, one is, or they are not decided yet.
GOES_ON, IS_SUPPRESSED, IS_LEFT = range(3)


def wait_for(states: Any, other: int, state: int, waited: int, waits: int) -> tuple[int, int]:
    """Wait until each thread of a block knows of its rival: what comes of it, and how long it took.

    `state` is that of the rival, `SUPPRESSED` without one. Who waits here are all threads of the
    block, and each comes to know the same.
    """
    while cuda.syncthreads_or(np.int32(state != SUPPRESSED)):
        if cuda.syncthreads_or(np.int32(state < 0)):
            return IS_SUPPRESSED, waited
        if waited == waits:
            return IS_LEFT, waited
        waited += 1
        if state != SUPPRESSED:
            state = latest(states, other)
    return GOES_ON, waited


@functools.cache
def suppress_kernel(geometry: Geometry, metric: Metric) -> CudaKernel:
    """Make the kernel of hard suppression.

    `states` tells, by position, the turn of a member that is not decided yet, `SUPPRESSED`, which
    is after all turns, or, below 0, the complement of the turn of one that is kept. The turns that
    ask are `asking`, a block each. `resumed` tells by turn from which position on to ask, and
    `tally` counts who was kept and who was left.
    """
    load, score = geometry.load, pair_scorer(geometry, metric)

    def suppress(
        members: Any,
        grid: Any,
        share1: float,
        share2: float,
        queue: Any,
        limits: Any,
        asking: Any,
        states: Any,
        resumed: Any,
        tally: Any,
        waits: int,
    ) -> None:
        bounds, data, _, groups = members
        blocks, extents, layout, edges, places, starts = grid
        index = addresses(extents, layout, edges, places)
        limit = limits[0]
        thread = np.int64(cuda.threadIdx.x)
        turn = np.int64(asking[cuda.blockIdx.x])
        position = np.int64(queue[turn])
        begin = np.int64(resumed[turn])
        own = load(bounds, data, np.uint64(position))
        waited = 0
        walk = walk_over(blocks, group_of(groups, position))
        while True:
            walk = next_slice(index, walk, bounds_of(own), share1, share2)
            if is_over(walk):
                break
            # Slices come by ascending position, so that one number tells how far it came.
            column, last = slice_of(starts, walk)
            column = max(column, begin)
            if is_one_cell(walk) and column <= position < last:
                last = position  # a cell is in the order of turns
            while column < last:
                other = column + thread
                state = np.int32(SUPPRESSED)
                if other < last:
                    # It may be old, but no decision changes, and the turn never does.
                    known = states[other]
                    is_earlier = (known ^ (known >> 31)) < turn
                    if is_earlier and (score(load(bounds, data, np.uint64(other)), own) >= limit):
                        state = latest(states, other)
                outcome, waited = wait_for(states, other, state, waited, waits)
                if outcome != GOES_ON:
                    if thread == 0 and outcome == IS_LEFT:
                        resumed[turn] = column
                        cuda.atomic.add(tally, LEFT, 1)
                    elif thread == 0:
                        cuda.atomic.exch(states, position, np.int32(SUPPRESSED))
                    return
                column += cuda.blockDim.x
        if thread == 0:
            cuda.atomic.exch(states, position, np.int32(~turn))
            cuda.atomic.add(tally, KEPT, 1)

    return CudaKernel(suppress, f"suppress-{geometry.label}-{metric.name}")


def suppress(
    work: Work, found: Any, queue: Array, limits: Array, scores: int, enough: int
) -> Array:
    """Tell by position which members are kept: all, or at least the first `enough`.

    Parameters
    ----------
    found
        A `search.Search` of a set in itself.
    queue
        Position of each turn: group by group, and in a group by descending score.
    limits
        (1,): the least score that suppresses.
    scores
        About how many scores of boxes all members ask for.
    """
    count = len(queue)
    turns = np.arange(count, dtype=np.int32)
    initial = np.empty(count, np.int32)
    initial[queue] = turns
    states = cuda.to_device(initial, work.stream)
    resumed = cuda.to_device(np.zeros(count, np.int32), work.stream)
    most = max(1, min(TURNS, count * SCORES // max(scores, 1)))
    size = min(most, max(LEAST_TURNS, 2 * enough)) if enough < count else most
    start = kept = 0
    while start < count and kept < enough:
        last = min(start + size, count)
        asking = turns[start:last]
        while len(asking):
            tally = _ask(work, found, queue, limits, asking, states, resumed)
            kept += int(tally[KEPT])
            asking = asking[:0]
            if tally[LEFT]:
                # Of these the state is the turn; those of later launches have later turns.
                known = work.to_host(states)
                asking = np.sort(known[(known >= start) & (known < last)])
        start, size = last, min(2 * size, most)
    is_kept: Array = work.to_host(states) < 0
    return is_kept


def _ask(
    work: Work,
    found: Any,
    queue: Array,
    limits: Array,
    asking: Array,
    states: Any,
    resumed: Any,
) -> Array:
    """Let the turns `asking` ask; how many members were kept, and how many were left."""
    tally = cuda.to_device(np.zeros(2, np.int32), work.stream)
    # Members ask for those that may suppress them, which come first of the two.
    suppress_kernel(found.geometry, found.metric).launch(
        len(asking), THREADS, work.stream, tuple(map(work.copied, found.set1)),
        tuple(map(work.copied, found.grid)), found.share2, found.share1, work.copied(queue),
        work.copied(limits), cuda.to_device(asking, work.stream), states, resumed, tally, WAITS,
    )  # fmt: skip
    return work.to_host(tally)
