"""Hard non-maximum suppression on a GPU: by cells, with one wait, for the number of the kept.

Members are put in the order of their scores by a sort. Nothing is stored of who suppresses whom. A
block of threads decides one member: it asks its cells for those before it, a candidate each thread,
and stops at the first that is kept and scores enough. Blocks begin in turn, so that nearly all
before one are decided when it asks. Where one meets candidates that are not, and none that is kept,
it waits for them, but not for ever: CUDA promises no order of blocks. A member that has waited long
enough is left, and asks once more in the next launch. The first that is left waits for nobody, so
that each launch decides some, and the result does not depend on who came first.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda

from fastiou.cpu.nms import SUPPRESSED
from fastiou.cuda.cell_sets import Cells, Sides, asked
from fastiou.cuda.cells import (
    PAIRS,
    TESTED,
    fits,
    group_of,
    is_proper,
    start_of,
)
from fastiou.cuda.pairs import SUM_BLOCKS, SUMMING
from fastiou.cuda.prepare import REFUSED
from fastiou.cuda.scoring import candidate_finder
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime import gpu
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import SIMULATED, latest
from fastiou.runtime.gpu_sort import sort_on_gpu

__all__ = ["COUNT_KEPT", "LIST_KEPT", "TURN", "keep_on_gpu", "order_of", "suppress_kernel"]

#: Threads that decide a member: one warp, for which waiting for each other costs next to nothing.
#: In the simulator, where each is a thread of the system, a few.
THREADS = 4 if SIMULATED else 32

#: How often a member looks again at those it waits for. Looking takes about 0.5 µs, and in a chain
#: of the 4,224 members that the largest GPUs decide at a time the last waits for all. The simulator
#: runs one block after the other, so that looking again shows nothing new.
WAITS = 1 if SIMULATED else 1 << 14

#: Members of one launch: in one chain, each waiting for the one before for about 1.5 µs, these take
#: 0.2 s. A GPU that drives a display ends launches of seconds.
TURNS = 1 << 17

# What comes of waiting for rivals: none is kept, one is, or they are not decided yet.
GOES_ON, IS_SUPPRESSED, IS_LEFT = range(3)

#: What is told here of members that were left, in place of scores.
LEFT = TESTED

#: In place of the order of a score that is too low, which comes last.
LEFT_OUT = 2**63 - 1


# ---- the order of scores -----------------------------------------------------------------------


def order_of(bits: int, width: int) -> int:
    """What orders floats as their bits of so many are, as an integer: -0.0 is 0.0."""
    magnitude = bits & (np.int64(2**63 - 1) >> np.int64(64 - width))
    return magnitude if bits >= 0 else -magnitude


def _key(
    bits: Any, width: int, infinite: int, least: int, keys: Any, order: Any, told: Any
) -> None:
    """Make the keys of a sort by descending score.

    Parameters
    ----------
    bits
        (n,) integers: the scores.
    infinite
        What orders the largest score. A NaN is above, and is refused.
    least
        What orders the least score that counts.
    keys, order
        (n,) int64: get what to sort by, and the number of each.
    """
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < keys.shape[0]:
        own = np.int64(bits[i])
        rank = order_of(own, np.int64(width))
        if abs(rank) > infinite:
            cuda.atomic.min(told, REFUSED, np.int64(0))
        keys[i] = -rank if rank >= least else np.int64(LEFT_OUT)
        order[i] = i


#: `(bits, width, infinite, least, keys, order, told)`
KEY = CudaKernel(_key, "key-scores")


def _turn(keys: Any, order: Any, states: Any) -> None:
    """Tell each member when its turn is; those that are left out are as if suppressed."""
    turn = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if turn < keys.shape[0]:
        states[order[turn]] = turn if keys[turn] != LEFT_OUT else SUPPRESSED


#: `(keys, order, states)`
TURN = CudaKernel(_turn, "turn")


# ---- suppression -------------------------------------------------------------------------------


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


def may_suppress(other: int, more: tuple[Any, int]) -> bool:
    """Whether a member comes before the one whose turn it is, and may be kept."""
    states, turn = more
    # It may be old, but no decision changes, and the turn never does.
    known = states[other]
    return bool((known ^ (known >> 31)) < turn)


@functools.cache
def suppress_kernel(geometry: Geometry, metric: Metric) -> CudaKernel:
    """Make the kernel of hard suppression.

    `states` tells, by number, the turn of a member that is not decided yet, `SUPPRESSED`, which is
    after all turns, or, below 0, the complement of the turn of one that is kept.
    """
    load = geometry.load
    next_rival = candidate_finder(geometry, metric, may_suppress, own_first=False)

    def suppress(
        members: Any,
        table: Any,
        share1: float,
        share2: float,
        limit: float,
        like: Any,
        most: float,
        least: float,
        told: Any,
        findings: Any,
        order: Any,
        states: Any,
        first: int,
        waits: int,
    ) -> None:
        turn = np.int64(first) + cuda.blockIdx.x
        if not fits(told, findings, most, least):
            return
        position = np.int64(order[turn])
        if states[position] != turn:
            return
        thread = np.int64(cuda.threadIdx.x)
        team = np.int64(cuda.blockDim.x)
        if is_proper(members[0], position):
            shares = share1, share2
            own = load(members[0], members[1], np.uint64(position))
            group = group_of(members[2], position)
            at = start_of(table, thread)
            other = np.int64(0)
            waited = 0
            while cuda.syncthreads_or(np.int32(other >= 0)):
                state = np.int32(SUPPRESSED)
                if other >= 0:
                    at, other, _, _ = next_rival(
                        members, table, shares, own, group, limit, like, thread, team, at,
                        (states, turn), np.int64(0),
                    )  # fmt: skip
                    if other >= 0:
                        state = latest(states, other)
                outcome, waited = wait_for(states, other, state, waited, waits)
                if outcome != GOES_ON:
                    if thread == 0 and outcome == IS_LEFT:
                        cuda.atomic.add(told, LEFT, 1)
                    elif thread == 0:
                        cuda.atomic.exch(states, position, np.int32(SUPPRESSED))
                    return
        if thread == 0:
            cuda.atomic.exch(states, position, np.int32(~turn))

    return CudaKernel(suppress, f"suppress-{geometry.label}-{metric.name}")


def _count_kept(order: Any, states: Any, sums: Any) -> None:
    """Count those of each block that are kept."""
    kept = cuda.shared.array(1, np.int64)
    if cuda.threadIdx.x == 0:
        kept[0] = 0
    cuda.syncthreads()
    turn = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if turn < order.shape[0] and states[order[turn]] < 0:
        cuda.atomic.add(kept, 0, np.int64(1))
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = kept[0]


#: `(order, states, sums)`
COUNT_KEPT = CudaKernel(_count_kept, "count-kept")


def _list_kept(order: Any, states: Any, sums: Any, kept: Any) -> None:
    """List those that are kept, in turn, as many as there is room for."""
    first = np.int64(cuda.blockIdx.x) * cuda.blockDim.x
    turn = first + cuda.threadIdx.x
    if turn < order.shape[0] and states[order[turn]] < 0:
        place = np.int64(sums[cuda.blockIdx.x])
        for before in range(first, turn):
            if states[order[before]] < 0:
                place += 1
        if place < kept.shape[0]:
            kept[place] = order[turn]


#: `(order, states, sums, kept)`
LIST_KEPT = CudaKernel(_list_kept, "list-kept")


# ---- what the host does ------------------------------------------------------------------------


def keep_on_gpu(
    work: Work,
    place: GpuArray | None,
    sides: Sides,
    scores: Any,
    least: float,
    most: int | None,
    limit_of: Any,
) -> Any:
    """Those that are kept, by descending score, where the arguments lie, or on the host.

    Parameters
    ----------
    scores
        (n,) float32 or float64 on the GPU.
    least
        The least score that counts, in their dtype.
    most
        How many to keep at most.
    limit_of
        `(exponent) -> ` the least score that suppresses, magnified by that power of two.

    Raises
    ------
    cell_sets.RefusedError
        A member is to be refused, or a score.
    """
    count, metric = sides.sizes[0], sides.metric
    threads = threads_of_block(gpu.THREADS)
    blocks = blocks_for(count, threads)
    # Of a member: what it is sorted by, its number, and its state.
    work.reserve(sides.nbytes + 20 * count + 8 * blocks, f"suppression among {count:,} members")
    keys, order = work.empty(count, np.int64), work.empty(count, np.int64)
    states, sums = work.empty(count, np.int32), work.empty(blocks, np.int64)
    like = work.empty(0, sides.dtype)
    width = 8 * scores.dtype.itemsize
    signed = np.dtype(f"i{width // 8}")
    infinite, lowest = (
        order_of(int(scores.dtype.type(score).view(signed)), width) for score in (np.inf, least)
    )
    kernel = suppress_kernel(sides.geometry, metric)

    def decide(cells: Cells) -> None:
        exponent = cells.exponent if metric.has_units else 0
        # Members ask for those that may suppress them, which come first of the two.
        share2, share1 = cells.shares
        for first in range(0, count, TURNS):
            kernel.launch(
                min(TURNS, count - first), THREADS, work.stream, cells.set2, cells.table, share1,
                share2, limit_of(exponent), like, *cells.limits, cells.told, cells.findings, order,
                states, first, WAITS,
            )  # fmt: skip
        COUNT_KEPT.launch(blocks, threads, work.stream, order, states, sums)
        SUM_BLOCKS.launch(1, threads_of_block(SUMMING), work.stream, sums, cells.told)

    def ask(cells: Cells) -> None:
        if count:
            bits = scores.view(signed)
            work.launch(KEY, count, bits, width, infinite, lowest, keys, order, cells.told)
            sort_on_gpu(work, keys, order, order)
            work.launch(TURN, count, keys, order, states)
        decide(cells)

    cells, told = asked(work, sides, ask)
    left = int(told[LEFT])
    while left:
        decide(cells)
        before, told = int(told[LEFT]), work.to_host(cells.told)
        left = int(told[LEFT]) - before
    number = int(told[PAIRS])
    number = number if most is None else min(number, most)
    kept = work.result(place, (number,), np.dtype(np.int64))
    if number:
        LIST_KEPT.launch(blocks, threads, work.stream, order, states, sums, kept.device)
    return kept.handed()
