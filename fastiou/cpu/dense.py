"""Dense and aligned scores: one factory, a kernel for each geometry and metric.

What bounds the dense float32 kernel is writing its result. Six things brought it there, measured
on 1e8 pairs beside a streaming fill of 4.3 ms, on 4 cores of a Sapphire Rapids server:

- A result larger than the caches leaves through streaming stores, from a chunk of 64 scores that is
  still in registers: with whole rows in a scratch buffer computing and writing alternate (8.6 ms).
- The columns of a tile stay in L1, and tiles begin where the row's cache lines do. Loads from L2
  wait for the same buffers that hold the streaming stores (9.1 ms).
- 512-bit vectors (6.3 ms without).
- Two rows share each load of a column (5.2 ms without, 4.7-5.2 ms with, mostly 5.0).
- A cache line in which one row ends and the next begins is streamed whole (4.9 ms without).
- No row counts references to arrays: see `vectors.unowned`.

`docs/design/002-dense-kernel.md` tells what else was tried.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.scoring import CHUNK, MOST_OF_ROW, ROOM_OF_ROW, row_scorer, two_scorer
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.kernel import Kernel, named
from fastiou.runtime.vectors import (
    CACHE_LINE,
    address,
    prefer_widest_vectors,
    stack_array,
    store,
    store_first,
    stream,
    unowned,
)
from fastiou.typing import Array

__all__ = [
    "BLOCK_ROWS",
    "LINE",
    "TILE_BYTES",
    "DenseKernels",
    "aligned_filler",
    "count_tiles",
    "dense_kernels",
    "tile_filler",
]


#: Rows of a tile: enough that reading its columns into L1 does not count.
BLOCK_ROWS = 64

#: Scores in one or two cache lines: what is left of a row after whole chunks goes out by these.
LINE = 16

#: Aligned scores made by one thread at a time.
BLOCK = 1 << 12

# Numba needs the lengths of arrays on the stack as constants by themselves.
HALF_LINE = LINE // 2
TWO_LINES = 2 * LINE

#: Bytes of one column in a tile: the eight columns of a box metric fit an L1 cache of 32 KiB.
TILE_BYTES = 4096


def count_tiles(count1: int, count2: int, item_bytes: int) -> int:
    """How many tiles the dense result of `count1` × `count2` has."""
    return -(-count1 // BLOCK_ROWS) * -(-count2 * item_bytes // TILE_BYTES)


class DenseKernels(NamedTuple):
    """The kernels of one geometry and metric."""

    #: A range of tiles of a dense result.
    dense: Kernel
    #: Member i of one set against member i of the other.
    aligned: Kernel


@register_jitable
def write_line(
    scores: Array, row: int, begin: int, size: int, line: Array, streaming: bool
) -> None:
    """Write a line of scores, of which the first `size` belong to a row, and the rest to the next.

    Where it streams, both go out at once: a part of a line would be read before it is written, and
    the stores that stream wait for it.
    """
    if not streaming or row == scores.shape[0] - 1:
        store_first(scores[row], begin, line, LINE, size)
    elif LINE * scores.itemsize > CACHE_LINE and size <= HALF_LINE:
        stream(scores[row], begin, line, HALF_LINE)
    else:
        stream(scores[row], begin, line, LINE)


@functools.cache
def tile_filler(geometry: Geometry, metric: Metric) -> Any:
    """Make the function that fills a tile of a dense result."""
    load = geometry.load
    score_chunk: Any = None
    score_row: Any = None
    # What need not meet is scored a row of the tile at a time, for few to be scored at once.
    has_own = geometry.is_its_bounds or geometry.in_step or geometry.chunk_scorer
    by_rows = not (has_own or metric.reaches_further)
    if by_rows:
        score_row, score_line = row_scorer(geometry, metric)
    else:
        score_line = two_scorer(geometry, metric, LINE)
        score_chunk = two_scorer(geometry, metric)
    label = f"{geometry.label}-{metric.name}"

    @register_jitable
    @named(label)
    def fill_tile(
        bounds1: Array,
        data1: Array,
        bounds2: Array,
        data2: Array,
        start1: int,
        start2: int,
        scores: Array,
        streaming: bool,
        down: int,
        across: int,
    ) -> None:
        prefer_widest_vectors()
        # Each row counted references to them, and waited for what it had streamed: 1e8 scores of
        # boxes took 32 ms on one thread, and take 21.
        bounds1, data1, scores = unowned(bounds1), unowned(data1), unowned(scores)
        bounds2, data2 = unowned(bounds2), unowned(data2)
        count1, count2 = scores.shape
        item = scores.itemsize
        width = TILE_BYTES // item
        lanes = CACHE_LINE // item
        # A line with parts of three rows could not be filled by one of them.
        streaming = streaming and count2 >= LINE
        # Rows this far apart begin at the same place in a cache line, and so can share loads.
        apart = lanes if streaming and count2 % lanes else 1
        first = down * BLOCK_ROWS
        last = min(first + BLOCK_ROWS, count1)
        chunk1 = stack_array(scores, CHUNK)
        chunk2 = stack_array(scores, CHUNK)
        line1 = stack_array(scores, LINE)
        line2 = stack_array(scores, LINE)
        # Twice as long, for what two rows have in one line.
        end1 = stack_array(scores, TWO_LINES)
        end2 = stack_array(scores, TWO_LINES)
        if by_rows:
            tile_row = stack_array(scores, MOST_OF_ROW)
            numbers = stack_array(np.int32, MOST_OF_ROW)
            places = stack_array(np.int32, ROOM_OF_ROW)
            scored = 0
            for j in range(MOST_OF_ROW):
                numbers[j] = j
                tile_row[j] = 0
        for pairs in range(first, last, 2 * apart):
            for row1 in range(pairs, min(pairs + apart, last)):
                row2 = row1 + apart if row1 + apart < last else row1
                member1 = load(bounds1, data1, start1 + row1)
                member2 = load(bounds1, data1, start1 + row2)
                scores1 = scores[row1]
                scores2 = scores[row2]
                # Tiles end where a cache line of the result does, save at the ends of the result.
                head = (-address(scores1) % CACHE_LINE) // item if streaming else 0
                begin = across * width + head
                end = begin + width
                if end >= count2:
                    end = count2
                    begin = begin if begin < count2 else count2
                whole = end - (end - begin) % CHUNK
                if by_rows:
                    for side in range(2):
                        own = scores2 if side else scores1
                        scored = score_row(
                            member2 if side else member1, bounds2, data2, start2 + begin,
                            whole - begin, numbers, tile_row, places, scored,
                        )  # fmt: skip
                        for column in range(begin, whole, CHUNK):
                            part = tile_row[column - begin : column - begin + CHUNK]
                            if streaming:
                                stream(own, column, part, CHUNK)
                            else:
                                store(own, column, part, CHUNK)
                else:
                    for column in range(begin, whole, CHUNK):
                        score_chunk(
                            member1, member2, bounds2, data2, start2 + column, chunk1, chunk2
                        )
                        if streaming:
                            stream(scores1, column, chunk1, CHUNK)
                            stream(scores2, column, chunk2, CHUNK)
                        else:
                            store(scores1, column, chunk1, CHUNK)
                            store(scores2, column, chunk2, CHUNK)
                # What is left of the rows, line by line; in the last tile, where it streams, how
                # the next rows begin, and how the first of all does.
                lines = (end - whole + LINE - 1) // LINE
                further = 0
                if streaming and end == count2 and head + (end - whole) % LINE:
                    further = 2 if row1 == 0 else 1
                size = 0
                for step in range(lines + further):
                    column = whole + step * LINE
                    if step >= lines:
                        column = 0
                        next1 = row1 + lines + 1 - step
                        next2 = row2 + lines + 1 - step
                        member1 = load(bounds1, data1, start1 + next1 if next1 < count1 else 0)
                        member2 = load(bounds1, data1, start1 + next2 if next2 < count1 else 0)
                    score_line(member1, member2, bounds2, data2, start2 + column, line1, line2)
                    if step > lines:
                        store_first(scores1, 0, line1, LINE, head)
                    elif step == lines:
                        store(end1, size, line1, LINE)
                        store(end2, size, line2, LINE)
                    elif end - column >= LINE:
                        write_line(scores, row1, column, LINE, line1, streaming)
                        write_line(scores, row2, column, LINE, line2, streaming)
                    else:
                        size = end - column
                        store(end1, 0, line1, LINE)
                        store(end2, 0, line2, LINE)
                if size:
                    write_line(scores, row1, end - size, size, end1, streaming)
                    write_line(scores, row2, end - size, size, end2, streaming)

    return fill_tile


@functools.cache
def aligned_filler(geometry: Geometry, metric: Metric) -> Any:
    """Make the function that fills a range of aligned scores."""
    formula, measure, load = metric.formula, geometry.measures[metric.needs], geometry.load
    has_steps = geometry.in_step is not None
    score_each: Any = geometry.in_step(metric).each if geometry.in_step is not None else None

    @register_jitable
    @named(f"{geometry.label}-{metric.name}")
    def fill_aligned(
        bounds1: Array,
        data1: Array,
        bounds2: Array,
        data2: Array,
        scores: Array,
        begin: int,
        end: int,
    ) -> None:
        prefer_widest_vectors()
        # Scores go by way of the stack, or no vectors would be made of them.
        line = stack_array(scores, LINE)
        for i in range(begin, end, LINE):
            place = np.uint64(i)
            if has_steps:
                score_each(bounds1, data1, bounds2, data2, place, line)
            else:
                for j in range(np.uint64(LINE)):
                    member1 = load(bounds1, data1, place + j)
                    line[j] = formula(*measure(member1, load(bounds2, data2, place + j)))
            store_first(scores, i, line, LINE, end - i)

    return fill_aligned


@functools.cache
def dense_kernels(geometry: Geometry, metric: Metric) -> DenseKernels:
    """Make the kernels of a geometry and a metric."""
    fill_tile = tile_filler(geometry, metric)
    fill_aligned = aligned_filler(geometry, metric)
    label = f"{geometry.label}-{metric.name}"

    def dense(
        bounds1: Array,
        data1: Array,
        bounds2: Array,
        data2: Array,
        starts1: Array,
        starts2: Array,
        scores: Array,
        streaming: bool,
        first_tile: int,
        last_tile: int,
    ) -> None:
        """Fill tiles of scores (batches, rows, columns).

        The members of batch b begin at `starts1[b]` and `starts2[b]` of the columns.
        """
        down = (scores.shape[1] + BLOCK_ROWS - 1) // BLOCK_ROWS
        across = (scores.shape[2] * scores.itemsize + TILE_BYTES - 1) // TILE_BYTES
        for tile in prange(first_tile, last_tile):
            batch = tile // (down * across)
            fill_tile(
                bounds1, data1, bounds2, data2, starts1[batch], starts2[batch], scores[batch],
                streaming, tile // across % down, tile % across,
            )  # fmt: skip

    def aligned(
        bounds1: Array,
        data1: Array,
        bounds2: Array,
        data2: Array,
        scores: Array,
        first: int,
        last: int,
    ) -> None:
        """Fill scores (n,) from `first` to `last`."""
        for block in prange((last - first + BLOCK - 1) // BLOCK):
            begin = first + block * BLOCK
            end = min(begin + BLOCK, last)
            fill_aligned(bounds1, data1, bounds2, data2, scores, begin, end)

    return DenseKernels(
        Kernel(dense, f"dense-{label}", at_once=True),
        Kernel(aligned, f"aligned-{label}", at_once=True),
    )
