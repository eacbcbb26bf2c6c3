"""Dense and aligned scores of boxes: one factory, a kernel for each metric.

What bounds the dense float32 kernel is writing its result, and next to it the divider of the CPU.
Five things brought it there, measured on 1e8 pairs beside a streaming fill of 4.3 ms, on 4 cores of
a Sapphire Rapids server:

- A result larger than the caches leaves through streaming stores, from a chunk of 64 scores that is
  still in registers: with whole rows in a scratch buffer computing and writing alternate (8.6 ms).
- The columns of a tile stay in L1, and tiles begin where the row's cache lines do. Loads from L2
  wait for the same buffers that hold the streaming stores (9.1 ms).
- 512-bit vectors (6.3 ms without).
- Two rows share each load of a column (5.2 ms without, 4.7-5.2 ms with, mostly 5.0).
- A cache line in which one row ends and the next begins goes out whole (XXX ms).

`docs/design/002-dense-kernel.md` tells what else was tried.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.chunks import CHUNK, chunk_scorers
from fastiou.cpu.columns import box, fill_columns, limits
from fastiou.cpu.compilation import Kernel, named
from fastiou.cpu.intrinsics import (
    CACHE_LINE,
    address,
    prefer_widest_vectors,
    stack_array,
    store,
    store_first,
    stream,
)
from fastiou.metrics import METRICS

__all__ = ["PairwiseKernels", "count_tiles", "pairwise"]

Array = npt.NDArray[Any]

#: Rows of a tile: enough that reading its columns into L1 does not count.
BLOCK_ROWS = 64

LIMITS32, LIMITS64 = limits(np.dtype(np.float32)), limits(np.dtype(np.float64))

#: Boxes prepared by one thread at a time.
BLOCK_BOXES = 1 << 11

#: Scores in one or two cache lines: what is left of a row after whole chunks goes out by these.
LINE = 16

# Numba needs the lengths of arrays on the stack as constants by themselves.
HALF_LINE = LINE // 2
TWO_LINES = 2 * LINE

#: Bytes of one column in a tile: the eight columns of a box metric fit an L1 cache of 32 KiB.
TILE_BYTES = 4096


def count_tiles(count1: int, count2: int, item_bytes: int) -> int:
    """How many tiles the dense result of `count1` × `count2` has."""
    return -(-count1 // BLOCK_ROWS) * -(-count2 * item_bytes // TILE_BYTES)


class PairwiseKernels(NamedTuple):
    """The kernels of one metric."""

    #: A range of tiles of a dense result.
    dense: Kernel
    #: Box i of one set against box i of the other.
    aligned: Kernel
    #: A dense result from float boxes (N, 4) in one call, which tells whether it could: False where
    #: a coordinate is missing or infinite, or one is out of the limits, with no score written. Not
    #: for ciou, whose angles are not prepared in kernels.
    plain: Kernel


@functools.cache
def _filler(metric: str, size: int) -> Any:
    """Make the function that fills two rows from `begin` to `end`, by `size` scores at a time."""
    score = chunk_scorers(metric, size).two

    @register_jitable(inline="always")
    @named(f"{metric}-{size}")
    def fill(
        box1: Any,
        box2: Any,
        corners2: Array,
        measures2: Array,
        start2: int,
        begin: int,
        end: int,
        chunk1: Array,
        chunk2: Array,
        scores1: Array,
        scores2: Array,
        streaming: bool,
    ) -> None:
        for column in range(begin, end, size):
            score(box1, box2, corners2, measures2, start2 + column, chunk1, chunk2)
            if streaming:
                stream(scores1, column, chunk1, size)
                stream(scores2, column, chunk2, size)
            else:
                store(scores1, column, chunk1, size)
                store(scores2, column, chunk2, size)

    return fill


@register_jitable
def finish_row(
    scores: Array, row: int, begin: int, size: int, ends: Array, following: Array
) -> None:
    """Stream the last `size` scores of a row, and with them the first of the `following` row.

    A part of a line would be read before it is written, and the stores that stream wait for it.
    """
    if row == scores.shape[0] - 1:
        store_first(scores[row], begin, ends, LINE, size)
        return
    store(ends, size, following, LINE)
    if LINE * scores.itemsize > CACHE_LINE and size <= HALF_LINE:
        stream(scores[row], begin, ends, HALF_LINE)
    else:
        stream(scores[row], begin, ends, LINE)


@register_jitable
def columns_for(scores: Array, used: int) -> tuple[Array, Array]:
    """Eight columns for the boxes of the rows, and as many for the others, aligned like the scores.

    As many zeros as a line has scores follow the boxes in the `used` columns.
    """
    count1, count2 = scores.shape
    length1 = (count1 + TWO_LINES - 1) // LINE * LINE
    length2 = (count2 + TWO_LINES - 1) // LINE * LINE
    buffer = np.empty(8 * (length1 + length2) + LINE, scores.dtype)
    start = (address(scores) - address(buffer)) % CACHE_LINE // scores.itemsize
    columns1 = buffer[start : start + 8 * length1].reshape(8, length1)
    start += 8 * length1
    columns2 = buffer[start : start + 8 * length2].reshape(8, length2)
    for column in range(used):
        for i in range(np.uint64(LINE)):
            columns1[column, np.uint64(count1) + i] = 0
        for i in range(np.uint64(LINE)):
            columns2[column, np.uint64(count2) + i] = 0
    return columns1, columns2


@functools.cache
def pairwise(metric: str) -> PairwiseKernels:
    """Make the kernels of a metric."""
    formula = METRICS[metric].formula
    measure = METRICS[metric].measure
    centres = not METRICS[metric].is_ratio
    used = 8 if centres else 5
    score_line = chunk_scorers(metric, LINE).two
    fill_chunks = _filler(metric, CHUNK)
    fill_lines = _filler(metric, LINE)

    @register_jitable
    @named(metric)
    def fill_tile(
        corners1: Array,
        measures1: Array,
        corners2: Array,
        measures2: Array,
        start1: int,
        start2: int,
        scores: Array,
        streaming: bool,
        down: int,
        across: int,
    ) -> None:
        prefer_widest_vectors()
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
        for pairs in range(first, last, 2 * apart):
            for row1 in range(pairs, min(pairs + apart, last)):
                row2 = row1 + apart if row1 + apart < last else row1
                box1 = box(corners1, measures1, start1 + row1)
                box2 = box(corners1, measures1, start1 + row2)
                scores1 = scores[row1]
                scores2 = scores[row2]
                # Tiles end where a cache line of the result does, save at the ends of the result.
                head = (-address(scores1) % CACHE_LINE) // item if streaming else 0
                if row1 == 0 and across == 0 and head:
                    score_line(box1, box2, corners2, measures2, start2, line1, line2)
                    store_first(scores1, 0, line1, LINE, head)
                begin = min(across * width + head, count2)
                end = count2
                if (across + 1) * width < count2:
                    end = min((across + 1) * width + head, count2)
                whole = end - (end - begin) % CHUNK
                fill_chunks(
                    box1, box2, corners2, measures2, start2, begin, whole, chunk1, chunk2,
                    scores1, scores2, streaming,
                )  # fmt: skip
                begin = end - (end - whole) % LINE
                fill_lines(
                    box1, box2, corners2, measures2, start2, whole, begin, line1, line2,
                    scores1, scores2, streaming,
                )  # fmt: skip
                size = end - begin
                if size:
                    score_line(box1, box2, corners2, measures2, start2 + begin, end1, end2)
                    if streaming:
                        next1 = box(corners1, measures1, start1 + min(row1 + 1, count1 - 1))
                        next2 = box(corners1, measures1, start1 + min(row2 + 1, count1 - 1))
                        score_line(next1, next2, corners2, measures2, start2, line1, line2)
                        finish_row(scores, row1, begin, size, end1, line1)
                        finish_row(scores, row2, begin, size, end2, line2)
                    else:
                        store_first(scores1, begin, end1, LINE, size)
                        store_first(scores2, begin, end2, LINE, size)

    def dense(
        corners1: Array,
        measures1: Array,
        corners2: Array,
        measures2: Array,
        starts1: Array,
        starts2: Array,
        scores: Array,
        streaming: bool,
        first_tile: int,
        last_tile: int,
    ) -> None:
        down = (scores.shape[1] + BLOCK_ROWS - 1) // BLOCK_ROWS
        across = (scores.shape[2] * scores.itemsize + TILE_BYTES - 1) // TILE_BYTES
        for tile in prange(first_tile, last_tile):
            batch = tile // (down * across)
            fill_tile(
                corners1,
                measures1,
                corners2,
                measures2,
                starts1[batch],
                starts2[batch],
                scores[batch],
                streaming,
                tile // across % down,
                tile % across,
            )

    def aligned(
        corners1: Array,
        measures1: Array,
        corners2: Array,
        measures2: Array,
        scores: Array,
        first: int,
        last: int,
    ) -> None:
        for i in prange(first, last):
            scores[i] = formula(*measure(box(corners1, measures1, i), box(corners2, measures2, i)))

    def plain(
        boxes1: Array,
        boxes2: Array,
        layout: int,
        area_of_sides: bool,
        scores: Array,
        streaming: bool,
    ) -> bool:
        count1, count2 = scores.shape
        limit_largest, limit_smallest = LIMITS32 if scores.itemsize == 4 else LIMITS64
        columns1, columns2 = columns_for(scores, used)
        blocks1 = (count1 + BLOCK_BOXES - 1) // BLOCK_BOXES
        blocks2 = (count2 + BLOCK_BOXES - 1) // BLOCK_BOXES
        unusual = 0
        for number in prange(blocks1 + blocks2):
            if number < blocks1:
                boxes, columns, block = boxes1, columns1, number
            else:
                boxes, columns, block = boxes2, columns2, number - blocks1
            first = block * BLOCK_BOXES
            last = min(first + BLOCK_BOXES, len(boxes))
            any_odd, largest, smallest = fill_columns(
                boxes, first, last, layout, area_of_sides, centres, columns[:4], columns[4:]
            )
            if any_odd or largest > limit_largest or smallest < limit_smallest:
                unusual += 1
        if unusual:
            return False
        down = (count1 + BLOCK_ROWS - 1) // BLOCK_ROWS
        across = (count2 * scores.itemsize + TILE_BYTES - 1) // TILE_BYTES
        for tile in prange(down * across):
            fill_tile(
                columns1[:4], columns1[4:], columns2[:4], columns2[4:], 0, 0, scores, streaming,
                tile // across, tile % across,
            )  # fmt: skip
        return True

    return PairwiseKernels(
        Kernel(dense, f"dense-{metric}"),
        Kernel(aligned, f"aligned-{metric}"),
        Kernel(plain, f"plain-{metric}"),
    )
