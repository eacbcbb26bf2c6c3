"""Soft non-maximum suppression on a GPU: all of a group by one block, with one wait.

Members are sorted by their groups. The block of a group takes the best of those that are left, and
then each of its threads lowers the scores of its own members, and finds the best among them: so
scores are multiplied in the order in which the CPU does. Time grows with the square of the largest
group, of which a block goes through all members for each that is taken.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda

from fastiou.cpu.decay import LEAST_SCORE, TAKEN, factor_of
from fastiou.cpu.walk import bounds_of
from fastiou.cuda.cell_sets import Cells, Sides, asked
from fastiou.cuda.cells import PAIRS, fits, group_of, is_proper, may_meet
from fastiou.cuda.nms import KEY, order_of
from fastiou.cuda.prepare import REFUSED
from fastiou.cuda.scoring import pair_scorer
from fastiou.geometry import Geometry
from fastiou.metrics import Metric, product
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.gpu_kernel import CudaKernel
from fastiou.runtime.gpu_primitives import SIMULATED
from fastiou.runtime.gpu_sort import sort_on_gpu

__all__ = ["decay_kernel", "lower_on_gpu"]

#: Threads that decide a group, a power of two. In the simulator, where each is a thread of the
#: system, a few.
THREADS = 4 if SIMULATED else 256


def _begin(
    bounds: Any,
    groups: Any,
    scores: Any,
    least: float,
    keys: Any,
    members: Any,
    current: Any,
    taken: Any,
    told: Any,
) -> None:
    """Begin with no member taken, but for those that overlap nothing.

    Parameters
    ----------
    scores
        (n,) floats. A NaN, an infinite one and one below 0 are refused.
    keys, members
        (n,) int64: get the group of each, and its number.
    current, taken
        (n,) float64: get the score of each that can be lowered, else `TAKEN`; and that at which it
        was taken, `TAKEN` before.
    """
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i >= keys.shape[0]:
        return
    keys[i] = group_of(groups, i)
    members[i] = i
    current[i] = TAKEN
    taken[i] = TAKEN
    score = np.float64(scores[i])
    if not 0 <= score < np.inf:
        cuda.atomic.min(told, REFUSED, np.int64(0))
    elif score >= least:
        if is_proper(bounds, i):
            current[i] = score
        else:
            taken[i] = score
            cuda.atomic.add(told, PAIRS, 1)


#: `(bounds, groups, scores, least, keys, members, current, taken, told)`
BEGIN = CudaKernel(_begin, "begin-soft")


@functools.cache
def decay_kernel(geometry: Geometry, metric: Metric, is_linear: bool) -> CudaKernel:
    """Make the kernel of soft suppression."""
    load, score = geometry.load, pair_scorer(geometry, metric)
    looks = not geometry.is_its_bounds

    def decay(
        set1: Any,
        share1: float,
        share2: float,
        limit: float,
        sigma: float,
        least: float,
        most: int,
        largest: float,
        smallest: float,
        told: Any,
        findings: Any,
        keys: Any,
        members: Any,
        current: Any,
        taken: Any,
        like: Any,
    ) -> None:
        """Take members of the group whose first member has the number of the block.

        Parameters
        ----------
        least, most
            The least score at which one is taken, and how many are at most.
        keys, members
            (n,) int64: groups, sorted, and members of these, in their order.
        current, taken
            As of `BEGIN`.
        """
        begin = np.int64(cuda.blockIdx.x)
        if not fits(told, findings, largest, smallest):
            return
        if begin > 0 and keys[begin - 1] == keys[begin]:
            return
        end = np.int64(keys.shape[0])
        first = begin
        while first + 1 < end:  # the group ends where the first of another is
            middle = (first + end) >> 1
            if keys[middle] == keys[begin]:
                first = middle
            else:
                end = middle
        values = cuda.shared.array(THREADS, np.float64)
        places = cuda.shared.array(THREADS, np.int64)
        thread = np.int64(cuda.threadIdx.x)
        team = np.int64(cuda.blockDim.x)
        floor = max(least, LEAST_SCORE)
        shares = share1, share2
        count = np.int64(0)
        taker = members[begin]
        while True:
            own = load(set1[0], set1[1], np.uint64(taker))
            bounds = bounds_of(own)
            best = TAKEN
            where = np.int64(0)
            for place in range(begin + thread, end, team):
                other = members[place]
                score_now = current[other]
                if count > 0 and score_now >= floor and (
                    not looks or may_meet(bounds, set1[0], other, shares)
                ):  # fmt: skip
                    value = like.dtype.type(score(own, load(set1[0], set1[1], np.uint64(other))))
                    if value >= limit:
                        factor = factor_of(np.float64(value), is_linear, sigma)
                        score_now = product(score_now, factor)
                        current[other] = score_now
                if score_now > best:  # of equal ones the first, which is before the others
                    best = score_now
                    where = other
            values[thread] = best
            places[thread] = where
            cuda.syncthreads()
            half = team >> 1
            while half > 0:
                if thread < half:
                    rival = values[thread + half]
                    is_before = places[thread + half] < places[thread]
                    if rival > values[thread] or (rival == values[thread] and is_before):
                        values[thread] = rival
                        places[thread] = places[thread + half]
                cuda.syncthreads()
                half >>= 1
            best = values[0]
            taker = places[0]
            cuda.syncthreads()
            if best < 0 or best < least or count == most:
                break
            count += 1
            if thread == 0:
                taken[taker] = best
                current[taker] = TAKEN
            cuda.syncthreads()
        if thread == 0:
            cuda.atomic.add(told, PAIRS, count)

    label = f"{geometry.label}-{metric.name}-{'linear' if is_linear else 'gaussian'}"
    return CudaKernel(decay, f"decay-{label}")


def _list_taken(members: Any, taken: Any, kept: Any, scores: Any) -> None:
    """List the first of those that are sorted, and the scores at which they were taken."""
    place = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if place < kept.shape[0]:
        kept[place] = members[place]
        scores[place] = taken[members[place]]


#: `(members, taken, kept, scores)`
LIST_TAKEN = CudaKernel(_list_taken, "list-taken")


def lower_on_gpu(
    work: Work,
    place: GpuArray | None,
    sides: Sides,
    scores: Any,
    least: float,
    most: tuple[int | None, int | None],
    limit: Any,
    sigma: float | None,
) -> tuple[Any, Any]:
    """Those that are taken and their scores, descending, at a place on the GPU, or on the host.

    Parameters
    ----------
    scores
        (n,) float32 or float64 on the GPU; those that are returned are of the same dtype.
    least
        The least score that counts, also after it was lowered.
    most
        How many to take at most of each group, and how many to return.
    limit
        The least score of two that lowers.
    sigma
        See `nms`; None for linear.

    Raises
    ------
    cell_sets.RefusedError
        A member is to be refused, or a score.
    """
    count, metric = sides.sizes[0], sides.metric
    # Of a member: what it is sorted by, its number, its scores, and as much for the result.
    work.reserve(sides.nbytes + 48 * count, f"soft suppression among {count:,} members")
    keys, members = work.empty(count, np.int64), work.empty(count, np.int64)
    current, taken = work.empty(count, np.float64), work.empty(count, np.float64)
    like = work.empty(0, sides.dtype)
    kernel = decay_kernel(sides.geometry, metric, sigma is None)
    in_groups = sides.groups[0] is not None
    enough = count if most[0] is None else most[0]
    infinite = order_of(int(np.float64(np.inf).view(np.int64)), 64)

    def ask(cells: Cells) -> None:
        if not count:
            return
        set1, told = cells.set2, cells.told
        work.launch(BEGIN, count, set1[0], set1[2], scores, least, keys, members, current, taken,
                    told)  # fmt: skip
        if in_groups:
            sort_on_gpu(work, keys, members, members)
        kernel.launch(
            count if in_groups else 1, THREADS, work.stream, set1, *cells.shares, limit,
            0.0 if sigma is None else sigma, least, enough, *cells.limits, told, cells.findings,
            keys, members, current, taken, like,
        )  # fmt: skip
        work.launch(KEY, count, taken.view(np.int64), 64, infinite, 0, keys, members, told)
        sort_on_gpu(work, keys, members, members)

    _, told = asked(work, sides, ask)
    number = int(told[PAIRS])
    number = number if most[1] is None else min(number, most[1])
    kept = work.result(place, (number,), np.dtype(np.int64))
    lowered = work.result(place, (number,), scores.dtype)
    if number:
        work.launch(LIST_TAKEN, number, members, taken, kept.device, lowered.device)
    return kept.handed(), lowered.handed()
