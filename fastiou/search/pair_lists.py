"""Lists of pairs, as the CPU finds them: counted and collected, then put in order.

How many pairs there are is known only when all are counted, and each has its place only then. To
find them again takes as long as to count them, and longer, since rows come in the order of the
grid, which for memory is any. So they are collected in a pool while they are counted, as they come,
and brought home from there. Where there are more than were expected, or too many, those of the
other rows are found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastiou.cpu.pairs import COLLECT, FILL, NAME_ROWS, REACH, SORT_OUT, pairs_kernel
from fastiou.runtime import memory, steps, threads
from fastiou.runtime.progress import Progress
from fastiou.search.grid_plan import CUTS
from fastiou.search.search import SCORES_OF_A_QUERY, Search, even_cuts, row_steps
from fastiou.typing import Array

__all__ = [
    "WITHOUT_ALL",
    "allocate_pairs",
    "list_pairs",
    "name_rows",
    "search_steps",
    "work_before",
]


#: Rows whose work is reckoned together, and of how many, since neighbours are much alike: to look
#: at all of them would be a tenth of the whole search.
UNIT = 32
SAMPLE = 2

#: One of so many rows is searched to tell how many pairs there will be.
POOL_UNIT = 64

#: Places of a pool, at least and at most, and those that a thread takes at a time, at most.
LEAST_POOL = 1 << 14
MOST_POOL = 1 << 25
PORTION = 1 << 12

#: How many rows a portion has room for, since the last one mostly has to move to the next: with
#: rows nearly as long as portions a third of the pairs found no room.
ROWS_OF_PORTION = 8

#: Share of the work that is done when pairs are collected, and when they are only counted.
COLLECTED = 0.8
COUNTED = 0.5

#: Work of bringing a pair home, and of naming its row, in scores of boxes (see `threads.run`).
#: Most of it is to clear new pages.
HOME_WORK = 16

#: What it takes to find a pair again, write it into new pages and sort it, in scores: in a pile of
#: boxes, where every score is a pair, 16 million took 0.6 s instead of 0.04.
FILL_WORK = 10
NAME_WORK = 8

#: Some of the rows are searched for what to expect only where that takes so many scores at most:
#: 0.15 s on one slow thread.
MOST_SAMPLED = 1 << 26

#: What to do where a list of pairs does not fit.
WITHOUT_ALL = "raise the threshold, or keep the best of each row by topk"


# ---- steps -------------------------------------------------------------------------------------


def _unit(found: Search) -> int:
    """How many rows are reckoned together. One row of large masks can be a step by itself."""
    return max(1, UNIT // found.cost)


def _sampled(count: int, unit: int, sample: int) -> Array:
    """First and last of some rows of each unit, one after the other."""
    begins = np.arange(0, count, unit)
    # Anywhere in each unit, by steps of the golden ratio, so that no order of rows misleads.
    places = (np.arange(len(begins)) * 0x9E3779B1 & 0xFFFFFFFF) * max(unit - sample, 1) >> 32
    firsts = np.minimum(begins + places, count - 1)
    lasts = np.minimum(firsts + min(sample, unit), count)
    return np.stack([firsts, lasts], axis=1).ravel()


def work_before(found: Search, kept: int = 0) -> Array:
    """Work before each unit of rows, in scores of boxes, reckoned from some of them.

    `kept` is how many of each row are kept in order, which moves half of these for each new one.
    """
    count = found.size
    unit = _unit(found)
    cuts = _sampled(count, unit, SAMPLE)
    reached = np.zeros(len(cuts), np.int64)
    threads.run(
        pairs_kernel(found.geometry, found.metric), SCORES_OF_A_QUERY * len(cuts) * SAMPLE // 2,
        *found.arguments, found.itself, REACH, 2, cuts, found.dtype.type(0), reached,
        np.empty(0, np.int64), *_no_columns(found), *_Pool(0, found.dtype).arguments,
    )  # fmt: skip
    rows = np.diff(np.append(np.arange(0, count, unit), count))
    met = reached[::2] // np.maximum(cuts[1::2] - cuts[::2], 1) + 1
    moved = np.minimum(met, kept) // 8
    work = (met * (found.cost + moved) + SCORES_OF_A_QUERY) * rows
    return np.concatenate([[0], np.cumsum(work)])


def search_steps(found: Search, work: Array) -> Iterator[tuple[Array, int, int]]:
    """Cut the rows of a search into steps by what `work_before` gives; see `search.row_steps`."""
    return row_steps(work, _unit(found), found.size)


# ---- lists -------------------------------------------------------------------------------------


class _Pool:
    """Where pairs are collected, in any order, while they are counted.

    Parameters
    ----------
    rows
        How many rows the caller's first set has.
    dtype
        That of the scores.
    size
        How many pairs there is room for.
    portion
        How many places a thread takes at a time.
    """

    def __init__(self, rows: int, dtype: np.dtype[Any], size: int = 0, portion: int = 1) -> None:
        #: Where the pairs of each row begin; -1 if there was no room.
        self.homes = np.empty(rows, np.int32)
        self._dtype = dtype
        self._portion = portion
        self._taken = np.zeros(1, np.int64)
        size += size % 2  # so that values begin at a multiple of 8 bytes
        self._size = size
        self._buffer = np.empty(size * (4 + dtype.itemsize), np.uint8)

    def __len__(self) -> int:
        return self._size

    @property
    def is_full(self) -> bool:
        """Whether there was no room for some of the pairs."""
        return bool(self._taken[0] > self._size)

    @property
    def columns_and_values(self) -> tuple[Array, Array]:
        """The pairs, int32 and in the dtype of the scores."""
        end = 4 * self._size
        return self._buffer[:end].view(np.int32), self._buffer[end:].view(self._dtype)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The last arguments of the pairs' kernel."""
        return self.homes, self._portion, self._taken, *self.columns_and_values

    @property
    def nbytes(self) -> int:
        """Bytes that the places take."""
        return int(self._buffer.nbytes)

    def rows(self, count: int) -> Array:
        """Memory for the rows of the pairs, which from now on takes the place of the pool."""
        buffer = self._buffer
        self._size, self._buffer = 0, np.empty(0, np.uint8)
        if 8 * count > len(buffer):
            del buffer
            return np.empty(count, np.int64)
        buffer.resize(8 * count, refcheck=False)
        return buffer.view(np.int64)


def _no_columns(found: Search) -> tuple[Array, Array]:
    """Columns and values for runs of the pairs' kernel that fill in none."""
    return np.empty(0, np.int64), np.empty(0, found.dtype)


def _pool(found: Search, limit: Any, work: int, counts: Array) -> _Pool:
    """Room for as many pairs as some of the rows lead to expect; `counts` is written to.

    There is none where pairs are too many, or rows so long that much room would be left over.
    """
    none = _Pool(len(counts), found.dtype)
    count = found.size
    cuts = _sampled(count, POOL_UNIT, 1)
    rows = len(cuts) // 2
    if count < POOL_UNIT or work * rows > MOST_SAMPLED * count:
        return none
    reached = np.zeros(len(cuts), np.int64)
    for first, last, own_work in steps.ranges(rows, work / count):
        some = slice(2 * first, 2 * last)
        threads.run(
            pairs_kernel(found.geometry, found.metric), own_work, *found.arguments, found.itself,
            COLLECT, 2, cuts[some], limit, reached[some], counts, *_no_columns(found),
            *none.arguments,
        )  # fmt: skip
    expected = max(int(counts.sum()) * count // rows, min(work, LEAST_POOL))
    # A guess at how many steps there will be. With too few of them, some rows find no room.
    parts = CUTS * (2 + work // (4 * steps.STEP))
    least = ROWS_OF_PORTION * int(counts.max())
    portion = max(least, min(expected // (8 * parts) + 1, PORTION))
    # An eighth more for rows that differ, another for rows that move, and the ends of the parts.
    size = expected + expected // 4 + parts * portion
    if least > PORTION or size > MOST_POOL or not memory.fits(size * (4 + found.dtype.itemsize)):
        return none
    try:
        return _Pool(len(counts), found.dtype, size, portion)
    except MemoryError:
        return none


class PairCounter:
    """Counts the pairs of a search while it runs, and refuses more than memory holds.

    There are no more of them than scores were made, and these are known. Only where so many would
    not fit, pairs are counted.

    Parameters
    ----------
    held
        Bytes that are not free, and will be those of the rows.
    """

    def __init__(self, found: Search, held: int) -> None:
        self._order, self._last = found.set1[2], found.size
        #: A row, a column and a value.
        self._pair_bytes = 16 + found.dtype.itemsize
        self._known, self._held = -1, held
        self._first = self._count = 0

    def may_be_too_many(self, tested: int) -> bool:
        """Whether the pairs among so many scores may not fit."""
        size = tested * self._pair_bytes
        if size < memory.KEPT_BYTES:
            return False
        if self._known < 0:  # it takes 50 µs
            available = memory.free()
            self._known = 2**63 if available is None else available
        return size > self._known

    def refuse(self, count: int) -> None:
        """Raise a MemoryError if so many pairs, of some of the rows, do not fit."""
        size, available = count * self._pair_bytes - min(8 * count, self._held), memory.free()
        if available is not None and size > max(available, memory.KEPT_BYTES):
            raise memory.too_large(
                size, available, f"the list of more than {count:,} pairs", WITHOUT_ALL
            )

    def count_up_to(self, last: int, tested: int, numbers: Array) -> None:
        """Note that rows up to a position of the search were searched, by so many scores.

        `numbers` (rows,) tells how many pairs each row of the caller has.
        """
        if last < self._last and self.may_be_too_many(tested):
            self._count += int(numbers[self._order[self._first : last]].sum())
            self._first = last
            self.refuse(self._count)


def list_pairs(
    found: Search, limit: Any, row_count: int, report: Progress | None
) -> tuple[Array, Array, Array, int]:
    """Find all pairs of a search that score `limit` or more.

    Parameters
    ----------
    row_count
        How many members the caller's first set has.
    report
        Called with the work done so far and the work in all.

    Returns
    -------
    tuple
        Rows, columns and values, sorted by row and column, and how many scores were computed.

    Raises
    ------
    MemoryError
        The pairs would not fit.
    """
    cumulative = work_before(found)
    total = int(cumulative[-1])
    offsets = np.zeros(row_count + 1, np.int64)
    pool = _pool(found, limit, total, offsets[1:])
    counter = PairCounter(found, pool.nbytes)
    collected = COLLECTED if len(pool) else COUNTED

    def search(mode: int, numbers: Array, columns: Array, values: Array) -> int:
        tested = 0
        before, share = (0.0, collected) if mode == COLLECT else (collected, 1 - collected)
        # Rows whose pairs were collected are passed over at once: as work they would tell a rate
        # that no other row has.
        ahead = (
            cumulative if mode == COLLECT else _work_left(found, cumulative, pool.homes, offsets)
        )
        for cuts, work, done in search_steps(found, ahead):
            reached = np.empty(len(cuts) - 1, np.int64)
            threads.run(
                pairs_kernel(found.geometry, found.metric), work, *found.arguments, found.itself,
                mode, 1, cuts, limit, reached, numbers, columns, values, *pool.arguments,
            )  # fmt: skip
            tested += int(reached.sum())
            if mode == COLLECT:
                counter.count_up_to(int(cuts[-1]), tested, numbers)
            if report is not None:
                part = done / max(int(ahead[-1]), 1)
                report(round(2 * total * (before + share * part)), 2 * total)
        return tested

    tested = search(COLLECT, offsets[1:], *_no_columns(found))
    np.cumsum(offsets, out=offsets)
    count = int(offsets[-1])
    is_full = pool.is_full
    columns, values = _allocate(count, found.dtype, 8, besides=max(0, 8 * count - pool.nbytes))
    if len(pool):
        for cuts, work in _row_cuts(offsets, HOME_WORK):
            threads.run(
                SORT_OUT, work, offsets, cuts, pool.homes, *pool.columns_and_values, columns, values
            )
    rows = pool.rows(count)
    name_rows(offsets, rows)
    if is_full:
        search(FILL, offsets, columns, values)
    elif report is not None and total:
        report(2 * total, 2 * total)
    return rows, columns, values, tested


def _work_left(found: Search, cumulative: Array, homes: Array, offsets: Array) -> Array:
    """What `work_before` gives, for the rows whose pairs have no homes, which are written."""
    order = found.set1[2][: found.size]
    pairs = np.where(homes[order] < 0, offsets[1:][order] - offsets[:-1][order], 0)
    units = np.add.reduceat(pairs, np.arange(0, found.size, _unit(found)), dtype=np.int64)
    work = np.where(units > 0, np.diff(cumulative), 0) + FILL_WORK * units
    return np.concatenate([cumulative[:1], np.cumsum(work)])


def allocate_pairs(count: int, dtype: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """Rows, columns and values of so many pairs; MemoryError if they cannot fit."""
    # Of one piece, since whether all fits can only be told before any is used.
    numbers, values = _allocate(count, dtype, 16)
    rows, columns = numbers.reshape(2, count)
    return rows, columns, values


def _allocate(
    count: int, dtype: np.dtype[Any], number_bytes: int, *, besides: int = 0
) -> tuple[Array, Array]:
    """Arrays for one or two numbers and a value of each pair; MemoryError if they cannot fit."""
    buffer = memory.allocate(
        (count * (number_bytes + dtype.itemsize),),
        np.dtype(np.uint8),
        f"the list of {count:,} pairs",
        WITHOUT_ALL,
        besides=besides,
    )
    end = count * number_bytes
    return buffer[:end].view(np.int64), buffer[end:].view(dtype)


def _row_cuts(offsets: Array, each: int) -> Iterator[tuple[Array, int]]:
    """Cut the rows into steps, and these into parts of as many pairs for the threads.

    `each` is the work of a pair; with the cuts comes that of the step.
    """
    for first, last, work in steps.spans(offsets, each):
        yield even_cuts(offsets, first, last), work


def name_rows(offsets: Array, rows: Array) -> None:
    """Fill in the row of each pair, from where the pairs of each row begin."""
    for cuts, work in _row_cuts(offsets, NAME_WORK):
        threads.run(NAME_ROWS, work, offsets, cuts, rows)
