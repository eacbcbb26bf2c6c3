"""Hard non-maximum suppression on a GPU.

Nothing is stored of who suppresses whom. A block of threads decides one member: it asks the grid of
the CPU's search (see `grid`) for those before it, a candidate each thread, and stops at the first
that is kept and scores enough. Blocks begin in turn, so that nearly all before one are decided when
it asks. Where one meets candidates that are not, and none that is kept, it waits for them, but not
for ever: CUDA promises no order of blocks. A member that has waited long enough is left, and asks
the next launch from there on. The first that is left waits for nobody, so that each launch decides
some, and the result does not depend on who came first.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import cuda

from fastiou.cpu.grid import Grid, addresses, bounds_of, group_of, reach
from fastiou.cpu.nms import SUPPRESSED
from fastiou.geometries.box_columns import box
from fastiou.geometries.masks.kernels import mask_pair_scorer
from fastiou.metrics import METRICS
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel
from fastiou.runtime.gpu_primitives import SIMULATED, latest
from fastiou.runtime.kernel import named

__all__ = ["Members", "suppress", "suppress_kernel"]

Array = npt.NDArray[Any]

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


class Members(NamedTuple):
    """What is to be suppressed, in the order of a grid over it."""

    geometry: str
    #: The set as the kernels read it.
    first: Array
    second: Array
    #: Group of each, (1,) if all are of one.
    groups: Array
    grid: Grid
    #: What two that score enough must share of the sides of the later one, and of the earlier one.
    share1: float
    share2: float
    #: Position of each turn: group by group, and in a group by descending score.
    queue: Array
    #: The least score that suppresses.
    limits: Array


@functools.cache
def suppress_kernel(geometry: str, metric: str) -> CudaKernel:
    """Make the kernel of hard suppression.

    `states` tells, by position, the turn of a member that is not decided yet, `SUPPRESSED`, which
    is after all turns, or, below 0, the complement of the turn of one that is kept. The turns that
    ask are `asking`, a block each. `resumed` tells by turn from which position on to ask, and
    `tally` counts who was kept and who was left.
    """
    formula, measure = METRICS[metric].formula, METRICS[metric].measure
    bounds = bounds_of(geometry)

    if geometry == "box":

        def read(first: Any, second: Any, i: int) -> Any:
            return box(first, second, i)

        @named(metric)
        def score_of(first: Any, second: Any, earlier: int, later: Any) -> float:
            return formula(*measure(box(first, second, earlier), later))
    else:
        score_masks = mask_pair_scorer(metric)

        def read(first: Any, second: Any, i: int) -> Any:
            return i

        @named(metric)
        def score_of(first: Any, second: Any, earlier: int, later: int) -> float:
            return score_masks(first, second, earlier, first, second, later)

    def suppress(
        side: Any,
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
        first, second, groups = side
        blocks, extents, layout, edges, places, starts = grid
        index = addresses(extents, layout, edges, places)
        limit = limits[0]
        thread = np.int64(cuda.threadIdx.x)
        turn = np.int64(asking[cuda.blockIdx.x])
        position = np.int64(queue[turn])
        begin = np.int64(resumed[turn])
        own = read(first, second, position)
        waited = 0
        group_code = group_of(groups, position)
        for b in range(blocks[group_code], blocks[group_code + 1]):
            first_cell, end_cell, step, width = reach(
                index, b, bounds(first, second, position), share1, share2
            )
            for cell in range(first_cell, end_cell, step):
                # Slices come by ascending position, so that one number tells how far it came.
                column = max(np.int64(starts[cell]), begin)
                last = np.int64(starts[cell + width])
                if width == 1 and column <= position < last:
                    last = position  # a cell is in the order of turns
                while column < last:
                    other = column + thread
                    state = np.int32(SUPPRESSED)
                    if other < last:
                        # It may be old, but no decision changes, and the turn never does.
                        known = states[other]
                        is_earlier = (known ^ (known >> 31)) < turn
                        if is_earlier and score_of(first, second, other, own) >= limit:
                            state = latest(states, other)
                    # Who waits here are all threads of the block, and each comes to know the same.
                    while cuda.syncthreads_or(np.int32(state != SUPPRESSED)):
                        if cuda.syncthreads_or(np.int32(state < 0)):
                            if thread == 0:
                                cuda.atomic.exch(states, position, np.int32(SUPPRESSED))
                            return
                        if waited == waits:
                            if thread == 0:
                                resumed[turn] = column
                                cuda.atomic.add(tally, LEFT, 1)
                            return
                        waited += 1
                        if state != SUPPRESSED:
                            state = latest(states, other)
                    column += cuda.blockDim.x
        if thread == 0:
            cuda.atomic.exch(states, position, np.int32(~turn))
            cuda.atomic.add(tally, KEPT, 1)

    return CudaKernel(suppress, f"suppress-{geometry}-{metric}")


def suppress(work: Work, metric: str, members: Members, scores: int, enough: int) -> Array:
    """Tell by position which members are kept: all, or at least the first `enough`.

    `scores` is about how many scores of boxes all members ask for.
    """
    count = len(members.queue)
    turns = np.arange(count, dtype=np.int32)
    initial = np.empty(count, np.int32)
    initial[members.queue] = turns
    states = cuda.to_device(initial, work.stream)
    resumed = cuda.to_device(np.zeros(count, np.int32), work.stream)
    most = max(1, min(TURNS, count * SCORES // max(scores, 1)))
    size = min(most, max(LEAST_TURNS, 2 * enough)) if enough < count else most
    start = kept = 0
    while start < count and kept < enough:
        last = min(start + size, count)
        asking = turns[start:last]
        while len(asking):
            tally = _ask(work, metric, members, asking, states, resumed)
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
    work: Work, metric: str, members: Members, asking: Array, states: Any, resumed: Any
) -> Array:
    """Let the turns `asking` ask; how many members were kept, and how many were left."""
    tally = cuda.to_device(np.zeros(2, np.int32), work.stream)
    side = members.first, members.second, members.groups
    suppress_kernel(members.geometry, metric).launch(
        len(asking), THREADS, work.stream, tuple(map(work.copied, side)),
        tuple(map(work.copied, members.grid)), members.share1, members.share2,
        work.copied(members.queue), work.copied(members.limits),
        cuda.to_device(asking, work.stream), states, resumed, tally, WAITS,
    )  # fmt: skip
    return work.to_host(tally)
