"""Scoring a member against a chunk of consecutive columns: the inner loop of every relation."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.geometry import PADDING, Geometry
from fastiou.metrics import Metric
from fastiou.runtime.bit_vectors import (
    at_least,
    compress,
    count_ones,
    count_zeros_below,
    low_bits,
    meeting_bits,
)
from fastiou.runtime.kernel import inlined, named
from fastiou.runtime.vectors import (
    always_inlined,
    never_inlined,
    prefer_widest_vectors,
    stack_array,
    store,
)
from fastiou.typing import Array

__all__ = [
    "CHUNK",
    "chunk_scorer",
    "meeting",
    "pair_scorer",
    "row_scorer",
    "scorers_in_turn",
    "search_scorer",
    "two_scorer",
]


#: Scores of a dense result computed at a time, on the stack: 16 took 4 % longer, 128 and more up to
#: 30 %. Columns are padded by as many, so that a chunk is always computed whole and its loops have
#: a fixed length. A search scores 16 boxes at a time: its slices are short, and 64 are mostly past
#: their end.
CHUNK = PADDING

#: Members that are scored at once, if bounds tell that some need not be: as many float32 as fill
#: the widest vector.
LANES = 16
TWO_LANES = 2 * LANES

#: Of so many members, up to how many are scored one by one rather than all at once.
FEW = 3

#: Columns that `row_scorer` takes at most, and as many numbers and a chunk.
MOST_OF_ROW = 1024
ROOM_OF_ROW = MOST_OF_ROW + CHUNK


@functools.cache
def pair_scorer(geometry: Geometry, metric: Metric) -> Any:
    """Make the function that scores one member against another."""
    formula, measure = metric.formula, geometry.measures[metric.needs]

    @register_jitable
    @named(f"{geometry.label}-{metric.name}")
    def score(member1: Any, member2: Any) -> Any:
        always_inlined()
        return formula(*measure(member1, member2))

    return score


@inlined
def meeting(member: Any, bounds: Array, column: int, size: int) -> Any:
    """A word with a bit for each of the `size` columns from `column` on that meets a member."""
    return meeting_bits(bounds, column, size, member[0], member[1], member[2], member[3])


@functools.cache
def chunk_scorer(
    geometry: Geometry, metric: Metric, size: int = CHUNK, *, turned: bool = False
) -> Any:
    """Make the function that fills a chunk with the scores of one member.

    It is `score(member, bounds, data, column, count, chunk)`: of the `size` columns from `column`
    on, `count` are wanted. With `turned`, for boxes alone, the member is the second of each two.
    """
    formula, measure, load = metric.formula, geometry.measures[metric.needs], geometry.load
    assert geometry.is_its_bounds or not turned
    if geometry.chunk_scorer is not None:
        return geometry.chunk_scorer(metric)

    # Inlined before LLVM sees them: compiled by themselves they would have to test in every chunk
    # whether their arrays overlap, which took longer than the scores. The indices are unsigned,
    # since Numba's test for counting from the end kept loops from being vectorised.
    @inlined
    @named(f"{geometry.label}-{metric.name}-{size}-{turned}")
    def score_all(
        member: Any, bounds: Array, data: Array, column: int, count: int, chunk: Array
    ) -> None:
        start = np.uint64(column)
        for j in range(np.uint64(size)):
            other = load(bounds, data, start + j)
            if turned:
                chunk[j] = formula(*measure(other, member))
            else:
                chunk[j] = formula(*measure(member, other))

    if geometry.is_its_bounds or metric.reaches_further:
        return score_all
    score = pair_scorer(geometry, metric)
    has_steps = geometry.in_step is not None
    score_lanes: Any = geometry.in_step(metric).one if geometry.in_step is not None else None

    # What shares nothing scores 0, by any other metric: most need not be scored. LLVM inlines this,
    # so that it is compiled once for all places of a kernel.
    @register_jitable
    @named(f"{geometry.label}-{metric.name}-{size}-{turned}")
    def score_meeting(
        member: Any, bounds: Array, data: Array, column: int, count: int, chunk: Array
    ) -> None:
        always_inlined()
        bits = meeting(member, bounds, column, size) & low_bits(count)
        start = np.uint64(column)
        for j in range(np.uint64(size)):
            chunk[j] = 0
        for part in range(np.uint64(size // LANES)):
            first = part * np.uint64(LANES)
            own = bits >> first & low_bits(LANES)
            if count_ones(own) > FEW:
                if has_steps:
                    score_lanes(member, bounds, data, start + first, chunk, first)
                else:
                    for j in range(np.uint64(LANES)):
                        place = first + j
                        chunk[place] = score(member, load(bounds, data, start + place))
                own = np.uint64(0)
            while own:
                place = first + np.uint64(count_zeros_below(own))
                own &= own - np.uint64(1)
                chunk[place] = score(member, load(bounds, data, start + place))

    return score_meeting


@functools.cache
def row_scorer(geometry: Geometry, metric: Metric) -> tuple[Any, Any]:
    """Make two functions that score members against columns of which they may meet few.

    The first is `score(member, bounds, data, column, size, numbers, scores, places, scored)`.
    `size` is a multiple of `CHUNK`, and `numbers` are 0, 1, 2 and so on, int32. `scores` are all 0
    at first. It returns how many were scored, and takes how many were the last time, whose places
    are the first of `places`: these become 0 again. The second is as that of `two_scorer`, of
    `LANES` columns.

    Those that meet are scored by sixteens, wherever they are. One by one, as `chunk_scorer` has
    them where 16 meet few, they took 100 ns each, which was more than all else in a result of which
    1 % meets.
    """
    score, load = pair_scorer(geometry, metric), geometry.load
    label = f"{geometry.label}-{metric.name}"

    # By itself LLVM made better vectors of it.
    @register_jitable
    @named(label)
    def score_some(
        member: Any,
        bounds: Array,
        data: Array,
        column: int,
        places: Array,
        count: int,
        scores: Array,
    ) -> None:
        never_inlined()
        prefer_widest_vectors()
        few = stack_array(scores, LANES)
        start = np.uint64(column)
        for k in range(count, count + LANES):
            places[k] = places[count - 1]
        for begin in range(0, count, LANES):
            first = np.uint64(begin)
            for j in range(np.uint64(LANES)):
                few[j] = score(member, load(bounds, data, start + np.uint64(places[first + j])))
            for j in range(np.uint64(LANES)):
                scores[np.uint64(places[first + j])] = few[j]

    @inlined
    @named(label)
    def score_row(
        member: Any,
        bounds: Array,
        data: Array,
        column: int,
        size: int,
        numbers: Array,
        scores: Array,
        places: Array,
        scored: int,
    ) -> int:
        for k in range(scored):
            scores[np.uint64(places[k])] = 0
        count = 0
        for begin in range(0, size, CHUNK):
            bits = meeting(member, bounds, column + begin, CHUNK)
            number = count_ones(bits)
            # Mostly two or less, which takes no branch; the others in one go.
            places[count] = begin + count_zeros_below(bits)
            bits &= bits - np.uint64(1)
            places[count + 1] = begin + count_zeros_below(bits)
            bits &= bits - np.uint64(1)
            if number > 2:
                compress(numbers, begin, CHUNK, bits, places, count + 2)
            count += number
        if count > 0:
            score_some(member, bounds, data, column, places, count, scores)
        return count

    @inlined
    @named(label)
    def score_line(
        member1: Any,
        member2: Any,
        bounds: Array,
        data: Array,
        column: int,
        line1: Array,
        line2: Array,
    ) -> None:
        own = stack_array(line1, LANES)
        places = stack_array(np.int32, TWO_LANES)
        for side in range(2):
            member = member2 if side else member1
            for j in range(np.uint64(LANES)):
                own[j] = 0
            bits = meeting(member, bounds, column, LANES)
            count = 0
            while bits:
                places[count] = count_zeros_below(bits)
                bits &= bits - np.uint64(1)
                count += 1
            if count > 0:
                score_some(member, bounds, data, column, places, count, own)
            store(line2 if side else line1, 0, own, LANES)

    return score_row, score_line


@functools.cache
def two_scorer(geometry: Geometry, metric: Metric, size: int = CHUNK) -> Any:
    """Make the function that fills two chunks with the scores of two members, which share loads.

    It is `score(member1, member2, bounds, data, column, chunk1, chunk2)`.
    """
    formula, measure, load = metric.formula, geometry.measures[metric.needs], geometry.load
    score_one: Any = None if geometry.is_its_bounds else chunk_scorer(geometry, metric, size)

    @inlined
    @named(f"{geometry.label}-{metric.name}-{size}")
    def score(
        member1: Any,
        member2: Any,
        bounds: Array,
        data: Array,
        column: int,
        chunk1: Array,
        chunk2: Array,
    ) -> None:
        start = np.uint64(column)
        for j in range(np.uint64(size)):
            other = load(bounds, data, start + j)
            chunk1[j] = formula(*measure(member1, other))
            chunk2[j] = formula(*measure(member2, other))

    @inlined
    @named(f"{geometry.label}-{metric.name}-{size}")
    def score_in_turn(
        member1: Any,
        member2: Any,
        bounds: Array,
        data: Array,
        column: int,
        chunk1: Array,
        chunk2: Array,
    ) -> None:
        score_one(member1, bounds, data, column, size, chunk1)
        score_one(member2, bounds, data, column, size, chunk2)

    return score if geometry.is_its_bounds else score_in_turn


@functools.cache
def search_scorer(geometry: Geometry, metric: Metric) -> Any:
    """Make the inner loop of every search: score a chunk of a slice that ends at `last`.

    It returns a word with a bit for each that scores `limit` or more.
    """
    size = geometry.chunk
    fill = chunk_scorer(geometry, metric, size)

    @inlined
    @named(f"{geometry.label}-{metric.name}")
    def score(
        member: Any,
        bounds: Array,
        data: Array,
        column: int,
        last: int,
        limit: float,
        chunk: Array,
    ) -> Any:
        fill(member, bounds, data, column, last - column, chunk)
        return at_least(chunk, 0, size, limit) & low_bits(last - column)

    return score


@functools.cache
def scorers_in_turn(geometry: Geometry, metric: Metric, *, turned: bool) -> tuple[Any, Any]:
    """Make two functions: which of a chunk may score enough with a member, and what one scores.

    With `turned`, the member is the second of each two. The scores of boxes are made a chunk at a
    time, whether they are wanted or not. Others take longer, and are made one by one when asked
    for.
    """
    size = geometry.chunk
    label = f"{geometry.label}-{metric.name}-{turned}"
    load = geometry.load

    if geometry.is_its_bounds:
        score_chunk = chunk_scorer(geometry, metric, size, turned=turned)

        @inlined
        @named(label)
        def seek(
            member: Any,
            bounds: Array,
            data: Array,
            column: int,
            wanted: Any,
            limit: Any,
            chunk: Array,
        ) -> Any:
            score_chunk(member, bounds, data, column, size, chunk)
            return at_least(chunk, 0, size, limit) & wanted

        @inlined
        @named(label)
        def value_of(
            member: Any, bounds: Array, data: Array, column: int, lane: int, chunk: Array
        ) -> Any:
            return chunk[lane]
    else:
        score = pair_scorer(geometry, metric)

        @inlined
        @named(label)
        def seek(
            member: Any,
            bounds: Array,
            data: Array,
            column: int,
            wanted: Any,
            limit: Any,
            chunk: Array,
        ) -> Any:
            return meeting(member, bounds, column, size) & wanted

        @inlined
        @named(label)
        def value_of(
            member: Any, bounds: Array, data: Array, column: int, lane: int, chunk: Array
        ) -> Any:
            other = load(bounds, data, column + lane)
            return score(other, member) if turned else score(member, other)

    return seek, value_of
