"""Non-maximum suppression: members are kept or suppressed in turn, from the best score down.

Nothing is stored of who suppresses whom. A member asks the grid (see `grid`) for those before it,
and is suppressed by the first that is known to be kept. Threads take the next few members in turn,
so that nearly all before one are decided when it asks. Where one meets a member that another thread
has not decided yet, and none that is kept, it is left, to ask again when the others are decided.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.grid import addresses, bounds_of, group_of, reach
from fastiou.cpu.pairs import chunk_size
from fastiou.cpu.scoring import chunk_scorers
from fastiou.geometries.masks.kernels import mask_pair_scorer, meeting_masks
from fastiou.runtime.kernel import Kernel, named
from fastiou.runtime.vectors import (
    at_least,
    below,
    count_zeros_below,
    low_bits,
    prefer_widest_vectors,
    stack_array,
    take_numbers,
)

__all__ = ["SUPPRESSED", "decay_kernel", "suppress_kernel"]

Array = npt.NDArray[Any]

#: Turn of a member that is suppressed: after all others.
SUPPRESSED = 2**31 - 1

#: What asking the grid takes, in scores of boxes, and what looking at a chunk takes that is not
#: scored.
QUERY_SCORES = 64
GLANCE_SCORES = 2

#: What a member of a chunk takes, besides what masks share.
SEEK_SCORES = {"box": 1, "mask": 2}

#: What lowering a score takes.
LOWERING_SCORES = {"linear": 2, "gaussian": 6}

#: Current score of a member that was taken, and the least one that can be lowered.
TAKEN = -1.0
LEAST_SCORE = 5e-324


@functools.cache
def _seekers(geometry: str, metric: str, *, turned: bool) -> tuple[Any, Any]:
    """Make two functions: which of a chunk may score enough with member i, and what one scores.

    With `turned`, member i is the second of each two. The scores of boxes are made a chunk at a
    time, whether they are wanted or not. Those of masks are made one by one when asked for.
    """
    size = chunk_size(geometry)

    if geometry == "box":
        scorers = chunk_scorers(metric, size)
        score_boxes = scorers.turned if turned else scorers.one

        @register_jitable(inline="always")
        @named(f"{metric}-{turned}")
        def seek(
            first: Array, second: Array, i: int, column: int, wanted: Any, limit: Any, chunk: Array
        ) -> Any:
            score_boxes(first, second, i, first, second, column, chunk)
            return at_least(chunk, 0, size, limit) & wanted

        @register_jitable(inline="always")
        @named(f"{metric}-{turned}")
        def value_of(
            first: Array, second: Array, i: int, column: int, lane: int, chunk: Array
        ) -> Any:
            return chunk[lane]
    else:
        score_masks = mask_pair_scorer(metric)

        @register_jitable(inline="always")
        @named(f"{metric}-{turned}")
        def seek(
            first: Array, second: Array, i: int, column: int, wanted: Any, limit: Any, chunk: Array
        ) -> Any:
            return meeting_masks(second, i, second, column) & wanted

        @register_jitable(inline="always")
        @named(f"{metric}-{turned}")
        def value_of(
            first: Array, second: Array, i: int, column: int, lane: int, chunk: Array
        ) -> Any:
            if turned:
                return score_masks(first, second, column + lane, first, second, i)
            return score_masks(first, second, i, first, second, column + lane)

    return seek, value_of


@functools.cache
def suppress_kernel(geometry: str, metric: str) -> Kernel:
    """Make the kernel of hard suppression.

    `queue` has the position of each turn; `turns`, by position, its turn, or `SUPPRESSED`; and
    `kept`, by position, whether it is known to be kept. The turns that ask are in `asking`, in
    ascending order, and those from `cuts[task]` on are a task. `progress[0]` is the first that no
    thread has taken, and `progress[1]` how many scores were made. `is_left` tells, by turn, what
    could not be decided. Each of `workers` takes tasks until it has made about `share` scores, or
    found `enough` to be kept.
    """
    size = chunk_size(geometry)
    seek, value_of = _seekers(geometry, metric, turned=True)
    seek_scores = SEEK_SCORES[geometry] * size
    bounds = bounds_of(geometry)

    def suppress(
        side: Any,
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
        first, second, _, groups = side
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
                    group_code = group_of(groups, position)
                    for b in range(blocks[group_code], blocks[group_code + 1]):
                        first_cell, end_cell, step, width = reach(
                            index, b, bounds(first, second, position), share1, share2
                        )
                        for cell in range(first_cell, end_cell, step):
                            column = np.int64(starts[cell])
                            last = np.int64(starts[cell + width])
                            if width == 1 and column <= position < last:
                                last = position  # a cell is in the order of turns
                            while column < last and not is_suppressed:
                                own += GLANCE_SCORES
                                wanted = below(turns, column, size, np.int32(turn))
                                wanted &= low_bits(last - column)
                                if wanted:
                                    own += seek_scores
                                    bits = seek(
                                        first, second, position, column, wanted, limit, chunk
                                    )
                                    while bits:
                                        lane = count_zeros_below(bits)
                                        bits &= bits - np.uint64(1)
                                        own += cost
                                        value = value_of(
                                            first, second, position, column, lane, chunk
                                        )
                                        if value >= limit:
                                            if kept[column + lane]:
                                                is_suppressed = True
                                                break
                                            # Another thread may have suppressed it since.
                                            is_open |= turns[column + lane] != SUPPRESSED
                                column += size
                            if is_suppressed:
                                break
                        if is_suppressed:
                            break
                    if is_suppressed:
                        turns[position] = SUPPRESSED
                    elif not is_open:
                        kept[position] = 1
                        found += 1
                    is_left[turn] = is_open and not is_suppressed
            take_numbers(progress, 1, own)

    return Kernel(suppress, f"suppress-{geometry}-{metric}")


# ---- soft suppression --------------------------------------------------------------------------


@functools.cache
def decay_kernel(geometry: str, metric: str, method: str) -> Kernel:
    """Make the kernel of soft suppression.

    `numbers` tells by position which of equal scores comes first. `current` has the score of each
    member, which the kernel lowers, and `taken` gets the score at which each was taken. From
    `firsts[g]` on, `keys` and `members` hold a heap of the `sizes[g]` members of group g that are
    left, by scores that may have been lowered since: what comes up is put back where its score is
    less now. The groups from `cuts[task]` on are a thread's task, of which `progress[task]` is the
    next. A task ends when about `share` scores are made, to be continued by the next call. To
    `made[0]` is added how many scores all tasks made.
    """
    size = chunk_size(geometry)
    seek, value_of = _seekers(geometry, metric, turned=False)
    seek_scores = SEEK_SCORES[geometry] * size
    bounds = bounds_of(geometry)
    is_linear = method == "linear"
    lowering_scores = LOWERING_SCORES[method]

    def decay(
        side: Any,
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
        first, second, _, groups = side
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
                    group_code = group_of(groups, position)
                    for b in range(blocks[group_code], blocks[group_code + 1]):
                        first_cell, end_cell, step, width = reach(
                            index, b, bounds(first, second, position), share1, share2
                        )
                        for cell in range(first_cell, end_cell, step):
                            last = np.int64(starts[cell + width])
                            for column in range(np.int64(starts[cell]), last, size):
                                own += GLANCE_SCORES
                                wanted = at_least(current, column, size, floor)
                                wanted &= low_bits(last - column)
                                if not wanted:
                                    continue
                                own += seek_scores
                                bits = seek(first, second, position, column, wanted, limit, chunk)
                                while bits:
                                    lane = count_zeros_below(bits)
                                    bits &= bits - np.uint64(1)
                                    own += cost + lowering_scores
                                    value = value_of(first, second, position, column, lane, chunk)
                                    if not value >= limit:
                                        continue
                                    wide = np.float64(value)
                                    if is_linear:
                                        # COCO's own arithmetic can score just above 1.
                                        current[column + lane] *= max(0.0, 1.0 - wide)
                                    else:
                                        current[column + lane] *= math.exp(-(wide * wide) / sigma)
                sizes[group] = left
                if left == 0:
                    group += 1
            progress[task] = group
            take_numbers(made, 0, own)

    return Kernel(decay, f"decay-{geometry}-{metric}-{method}")
