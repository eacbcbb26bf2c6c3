"""Non-maximum suppression: members are kept or suppressed in turn, from the best score down.

Nothing is stored of who suppresses whom. A member asks the grid (see `walk`) for those before it,
and is suppressed by the first that is known to be kept. Threads take the next few members in turn,
so that nearly all before one are decided when it asks. Where one meets a member that another thread
has not decided yet, and none that is kept, it is left, to ask again when the others are decided.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import prange

from fastiou.cpu.decay import LEAST_SCORE, TAKEN, factor_of
from fastiou.cpu.scoring import scorers_in_turn
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
from fastiou.runtime.bit_vectors import at_least, below, count_zeros_below, low_bits
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import prefer_widest_vectors, stack_array, take_numbers
from fastiou.typing import Array

__all__ = ["SUPPRESSED", "decay_kernel", "suppress_kernel"]


#: Turn of a member that is suppressed: after all others.
SUPPRESSED = 2**31 - 1

#: What asking the grid takes, in scores of boxes, and what looking at a chunk takes that is not
#: scored.
QUERY_SCORES = 64
GLANCE_SCORES = 2

#: What lowering a score takes.
LOWERING_SCORES = {"linear": 2, "gaussian": 6}


def _seek_scores(geometry: Geometry) -> int:
    """What it takes to tell who of a chunk may score enough: scores, or tests of bounds."""
    return geometry.chunk if geometry.is_its_bounds else 2 * geometry.chunk


@functools.cache
def suppress_kernel(geometry: Geometry, metric: Metric) -> Kernel:
    """Make the kernel of hard suppression.

    `queue` has the position of each turn; `turns`, by position, its turn, or `SUPPRESSED`; and
    `kept`, by position, whether it is known to be kept. The turns that ask are in `asking`, in
    ascending order, and those from `cuts[task]` on are a task. `progress[0]` is the first that no
    thread has taken, and `progress[1]` how many scores were made. `is_left` tells, by turn, what
    could not be decided. Each of `workers` takes tasks until it has made about `share` scores, or
    found `enough` to be kept.
    """
    size, load = geometry.chunk, geometry.load
    seek, value_of = scorers_in_turn(geometry, metric, turned=True)
    seek_scores = _seek_scores(geometry)

    def suppress(
        members_in_order: Any,
        grid: Any,
        share1: float,
        share2: float,
        limits: Array,
        cost: int,
        queue: Array,
        turns: Array,
        kept: Array,
        is_left: Array,
        asking: Array,
        cuts: Array,
        progress: Array,
        workers: int,
        enough: int,
        share: int,
    ) -> None:
        bounds, data, _, groups = members_in_order
        blocks, extents, layout, edges, places, starts = grid
        index = addresses(extents, layout, edges, places)
        limit = limits[0]
        for _ in prange(workers):
            prefer_widest_vectors()
            chunk = stack_array(limits, size)
            own = 0
            found = 0
            while own <= share and found < enough:
                task = take_numbers(progress, 0, 1)
                if task >= len(cuts) - 1:
                    break
                for place in range(cuts[task], cuts[task + 1]):
                    turn = np.int64(asking[place])
                    position = np.int64(queue[turn])
                    own += QUERY_SCORES
                    is_suppressed = False
                    is_open = False
                    member = load(bounds, data, position)
                    walk = walk_over(blocks, group_of(groups, position))
                    while not is_suppressed:
                        walk = next_slice(index, walk, bounds_of(member), share1, share2)
                        if is_over(walk):
                            break
                        column, last = slice_of(starts, walk)
                        if is_one_cell(walk) and column <= position < last:
                            last = position  # a cell is in the order of turns
                        while column < last and not is_suppressed:
                            own += GLANCE_SCORES
                            wanted = below(turns, column, size, np.int32(turn))
                            wanted &= low_bits(last - column)
                            if wanted:
                                own += seek_scores
                                bits = seek(member, bounds, data, column, wanted, limit, chunk)
                                while bits:
                                    lane = count_zeros_below(bits)
                                    bits &= bits - np.uint64(1)
                                    own += cost
                                    value = value_of(member, bounds, data, column, lane, chunk)
                                    if value >= limit:
                                        if kept[column + lane]:
                                            is_suppressed = True
                                            break
                                        # Another thread may have suppressed it since.
                                        is_open |= turns[column + lane] != SUPPRESSED
                            column += size
                    if is_suppressed:
                        turns[position] = SUPPRESSED
                    elif not is_open:
                        kept[position] = 1
                        found += 1
                    is_left[turn] = is_open and not is_suppressed
            take_numbers(progress, 1, own)

    return Kernel(suppress, f"suppress-{geometry.label}-{metric.name}")


# ---- soft suppression --------------------------------------------------------------------------


@functools.cache
def decay_kernel(geometry: Geometry, metric: Metric, method: str) -> Kernel:
    """Make the kernel of soft suppression.

    `numbers` tells by position which of equal scores comes first. `current` has the score of each
    member, which the kernel lowers, and `taken` gets the score at which each was taken. From
    `firsts[g]` on, `keys` and `members` hold a heap of the `sizes[g]` members of group g that are
    left, by scores that may have been lowered since: what comes up is put back where its score is
    less now. The groups from `cuts[task]` on are a thread's task, of which `progress[task]` is the
    next. A task ends when about `share` scores are made, to be continued by the next call. To
    `made[0]` is added how many scores all tasks made.
    """
    size, load = geometry.chunk, geometry.load
    seek, value_of = scorers_in_turn(geometry, metric, turned=False)
    seek_scores = _seek_scores(geometry)
    is_linear = method == "linear"
    lowering_scores = LOWERING_SCORES[method]

    def decay(
        members_in_order: Any,
        grid: Any,
        numbers: Array,
        share1: float,
        share2: float,
        limits: Array,
        cost: int,
        sigma: float,
        least: float,
        most: int,
        firsts: Array,
        cuts: Array,
        progress: Array,
        keys: Array,
        members: Array,
        sizes: Array,
        counts: Array,
        current: Array,
        taken: Array,
        made: Array,
        share: int,
    ) -> None:
        bounds, data, _, groups = members_in_order
        blocks, extents, layout, edges, places, starts = grid
        index = addresses(extents, layout, edges, places)
        limit = limits[0]
        # What is taken, dropped or 0 is lowered no more.
        floor = max(least, LEAST_SCORE)
        for task in prange(len(cuts) - 1):
            prefer_widest_vectors()
            chunk = stack_array(limits, size)
            own = 0
            group = progress[task]
            while group < cuts[task + 1] and own <= share:
                begin = firsts[group]
                left = sizes[group]
                while left > 0 and own <= share:
                    own += QUERY_SCORES
                    position = np.int64(members[begin])
                    member = members[begin]
                    key = current[position]
                    is_taken = key == keys[begin]
                    if is_taken:
                        if key < least or counts[group] == most:
                            left = 0
                            break
                        taken[position] = key
                        current[position] = TAKEN
                        counts[group] += 1
                        left -= 1
                        member = members[begin + left]
                        key = keys[begin + left]
                    # Put that one into the heap at the top or below.
                    place = begin
                    while True:
                        child = 2 * place - begin + 1
                        if child >= begin + left:
                            break
                        other = keys[child]
                        if child + 1 < begin + left:
                            rival = keys[child + 1]
                            if rival > other or (
                                rival == other
                                and numbers[members[child + 1]] < numbers[members[child]]
                            ):
                                child += 1
                                other = rival
                        if other < key or (
                            other == key and numbers[members[child]] > numbers[member]
                        ):
                            break
                        keys[place] = other
                        members[place] = members[child]
                        place = child
                    keys[place] = key
                    members[place] = member
                    if not is_taken:
                        continue
                    taker = load(bounds, data, position)
                    walk = walk_over(blocks, group_of(groups, position))
                    while True:
                        walk = next_slice(index, walk, bounds_of(taker), share1, share2)
                        if is_over(walk):
                            break
                        first, last = slice_of(starts, walk)
                        for column in range(first, last, size):
                            own += GLANCE_SCORES
                            wanted = at_least(current, column, size, floor)
                            wanted &= low_bits(last - column)
                            if not wanted:
                                continue
                            own += seek_scores
                            bits = seek(taker, bounds, data, column, wanted, limit, chunk)
                            while bits:
                                lane = count_zeros_below(bits)
                                bits &= bits - np.uint64(1)
                                own += cost + lowering_scores
                                value = value_of(taker, bounds, data, column, lane, chunk)
                                if not value >= limit:
                                    continue
                                wide = np.float64(value)
                                current[column + lane] *= factor_of(wide, is_linear, sigma)
                sizes[group] = left
                if left == 0:
                    group += 1
            progress[task] = group
            take_numbers(made, 0, own)

    return Kernel(decay, f"decay-{geometry.label}-{metric.name}-{method}")
