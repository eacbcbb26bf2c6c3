"""Dense and aligned scores of masks on a GPU: one factory, kernels for each metric.

What should bound all of them is counting bits, of which a multiprocessor does 16 words of 32 bits a
clock: one count of a warp keeps its quarter of the unit busy for 8 clocks, in which 8 instructions
can be issued. Instructions are told as compiled for compute capability 9.0.

- Masks cropped to their boxes. A block first tests 256 pairs of boxes, one a thread, and lists
  those that meet; then its warps take pairs of the list in turn. The threads of a warp read
  consecutive words. Neighbours in the list differ in size by orders, so that a thread for each pair
  would wait for the largest of 32, and read from 64 places at once. A pair of words takes two loads
  of 8 bytes for two counts, which is what the L1 cache gives in the time that the counts take: the
  two bounds are about equal, and sets that all have one box deserve better. Where boxes are wide
  8 counts take 44 instructions.
- Masks that all have one box, as those that fill the image. A tile of 64 × 64 pairs is computed
  from shared memory, 16 bytes a load and 4 × 4 pairs a thread: eight loads feed 64 counts, with
  208 instructions in all.

Results are those of the CPU, bit for bit: counts are exact, and the formulas the same.

Masks come with their bounds, words and width (see `gpu_packing.Frames`): cropped, as the host has
them, or as whole frames, as they are packed on a GPU.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from fastiou.geometries.masks.bits import word_rows
from fastiou.geometries.masks.kernels import mask_area, shared_box
from fastiou.metrics import Metric
from fastiou.runtime.gpu_kernel import CudaKernel, threads_of_block
from fastiou.runtime.gpu_primitives import (
    SIMULATED,
    add_of_lanes,
    address,
    count_ones,
    load4,
    store4,
    uint64_at,
)

__all__ = ["MaskKernels", "mask_scores"]


#: Threads of a block, and those of them that count one pair together: a warp, for which the
#: simulator has a few threads stand in.
THREADS = threads_of_block(256)
LANES_POWER = 2 if SIMULATED else 5
LANES = 1 << LANES_POWER

#: Registers of a thread, with which a multiprocessor has room for four blocks: for an A100 the
#: compiler takes 71 if it may. The simulator does not know the option.
REGISTERS: dict[str, Any] = {} if SIMULATED else {"max_registers": 64}

#: Columns of the pairs that a block tests, one a thread.
PAIR_COLUMNS = 8 if SIMULATED else 32
PAIR_ROWS = THREADS // PAIR_COLUMNS

#: Threads of a block in either direction where all masks have one box, and rows and columns that
#: each has.
THREADS_DOWN = 4 if SIMULATED else 16
THREADS_ACROSS = THREADS // THREADS_DOWN
EACH = 4

#: Words of 32 bits that a step reads of each mask: 64 bytes, a slice. Masks are filled up with
#: zeros to whole slices.
SLICE_WORDS = 16

#: Words from one mask to the next in shared memory: an odd number of 16 bytes, so that eight
#: threads with neighbouring masks meet all 32 banks once.
PITCH = SLICE_WORDS + 4

ROWS_WORDS = EACH * THREADS_DOWN * PITCH
COLUMNS_WORDS = EACH * THREADS_ACROSS * PITCH

#: What shared memory is aligned to, for loads of 16 bytes. The simulator knows no alignment.
ALIGNMENT = None if SIMULATED else 16


class MaskKernels(NamedTuple):
    """The kernels of one metric over masks."""

    #: A block of rows of a dense result, or of these the chosen columns.
    dense: CudaKernel
    #: The same over masks that all have one box.
    uniform: CudaKernel
    #: Mask i of one set against mask i of the other.
    aligned: CudaKernel


@functools.cache
def pair_scorer(metric: Metric) -> Callable[..., Any]:
    """Make the function that scores a pair by the pixels that it shares."""
    formula = metric.formula

    def score(shared: int, bounds1: Any, i: int, bounds2: Any, j: int) -> Any:
        result = 0.0
        if bounds1[5, i] < 0 or bounds2[5, j] < 0:  # that is to be refused
            result = np.nan
        elif shared:  # what shares nothing scores 0, whatever the metric: a division is saved
            result = formula(np.float64(shared), mask_area(bounds1, i), mask_area(bounds2, j))
        return result

    return score


def _load(bounds: Any, words: Any, width: int, i: int) -> Any:
    """Box of a mask, address of its word of column 0 and word row 0, bytes from row to row.

    Of masks cropped to their boxes that word may be another mask's, and is not read.
    """
    left, right = bounds[0, i], bounds[2, i]
    step = 8 * (width if width > 0 else right - left)
    return left, bounds[1, i], right, bounds[3, i], address(words) + 8 * bounds[4, i], step


def _ones_at(words1: int, words2: int, index: int) -> int:
    """How many bits are set in both of two words."""
    return count_ones(uint64_at(words1, index) & uint64_at(words2, index))


def _shared_by_lane(mask1: Any, mask2: Any, lane: int) -> int:
    """Pixels that two masks share in those words that are one thread's of a group."""
    left, top, right, bottom = shared_box(mask1, mask2)
    rows = word_rows(top, bottom)
    width = right - left
    # Threads for one word row: the power of 2 that covers it, at most the whole group. The rest of
    # the group takes the next rows.
    power = LANES_POWER
    while power > 0 and 1 << (power - 1) >= width:
        power -= 1
    row = np.int64(lane >> power)
    first = lane & ((1 << power) - 1)
    step1, step2 = mask1[5], mask2[5]
    line1 = mask1[4] + ((top >> 6) + row) * step1 + 8 * left
    line2 = mask2[4] + ((top >> 6) + row) * step2 + 8 * left
    shared = np.int64(0)
    # With loops over ranges, and none that takes four words at a time, a word took 25 instructions.
    while row < rows:
        x = first
        while x + 3 * LANES < width:
            shared += np.int32(
                _ones_at(line1, line2, x)
                + _ones_at(line1, line2, x + LANES)
                + _ones_at(line1, line2, x + 2 * LANES)
                + _ones_at(line1, line2, x + 3 * LANES)
            )
            x += 4 * LANES
        while x < width:
            shared += _ones_at(line1, line2, x)
            x += LANES
        row += LANES >> power
        line1 += step1 << (LANES_POWER - power)
        line2 += step2 << (LANES_POWER - power)
    return shared


def _meet(bounds1: Any, i: int, bounds2: Any, j: int) -> bool:
    """Whether the boxes of two masks share a pixel."""
    left = max(bounds1[0, i], bounds2[0, j])
    top = max(bounds1[1, i], bounds2[1, j])
    right = min(bounds1[2, i], bounds2[2, j])
    bottom = min(bounds1[3, i], bounds2[3, j])
    return left < right and top < bottom


def _pair_kernel(metric: Metric, aligned: bool) -> Callable[..., Any]:
    """Make the kernel over what boxes of masks share, for a dense result or an aligned one."""
    score = pair_scorer(metric)

    def origin_of(tile: int, columns: int) -> Any:
        """First row and first column of a tile."""
        if aligned:
            return tile * THREADS, tile * THREADS
        across = (columns + PAIR_COLUMNS - 1) // PAIR_COLUMNS
        return tile // across * PAIR_ROWS, tile % across * PAIR_COLUMNS

    def pair_at(origin: Any, number: int) -> Any:
        """Row and column of a pair of a tile."""
        if aligned:
            return origin[0] + number, origin[1] + number
        return origin[0] + number // PAIR_COLUMNS, origin[1] + number % PAIR_COLUMNS

    def kernel(
        bounds1: Any,
        words1: Any,
        width1: int,
        bounds2: Any,
        words2: Any,
        width2: int,
        chosen: Any,
        first: int,
        rows: int,
        columns: int,
        scores: Any,
    ) -> None:
        """Fill scores from row `first` on, or of them the `chosen` columns, if any are."""
        shared = cuda.shared.array(THREADS, np.int64)
        listed = cuda.shared.array(THREADS, np.int32)
        number = cuda.shared.array(1, np.int32)
        thread = np.int64(cuda.threadIdx.x)
        origin = origin_of(np.int64(cuda.blockIdx.x), columns)
        row, column = pair_at(origin, thread)
        begin2 = first if aligned else np.int64(0)
        inside = row < rows and column < columns
        if inside and chosen.shape[0] > 0:
            inside = chosen[begin2 + column]
        shared[thread] = 0
        if thread == 0:
            number[0] = 0
        cuda.syncthreads()
        if inside and _meet(bounds1, first + row, bounds2, begin2 + column):
            listed[cuda.atomic.add(number, 0, 1)] = thread
        cuda.syncthreads()
        for k in range(thread // LANES, number[0], THREADS // LANES):
            other = np.int64(listed[k])
            other_row, other_column = pair_at(origin, other)
            mask1 = _load(bounds1, words1, width1, first + other_row)
            mask2 = _load(bounds2, words2, width2, begin2 + other_column)
            add_of_lanes(shared, other, _shared_by_lane(mask1, mask2, thread % LANES))
        cuda.syncthreads()
        if inside:
            place = row if aligned else row * columns + column
            scores[place] = score(shared[thread], bounds1, first + row, bounds2, begin2 + column)

    return kernel


def _ones_of_both(words1: Any, words2: Any) -> int:
    """How many bits are set in both of two times four words."""
    return (
        np.int64(cuda.popc(np.uint32(words1[0] & words2[0])))
        + cuda.popc(np.uint32(words1[1] & words2[1]))
        + cuda.popc(np.uint32(words1[2] & words2[2]))
        + cuda.popc(np.uint32(words1[3] & words2[3]))
    )


def _counted(counts: Any, row: Any, columns: Any) -> Any:
    """Counts of a row against four columns, and four more words of each."""
    return (
        counts[0] + _ones_of_both(row, columns[0]),
        counts[1] + _ones_of_both(row, columns[1]),
        counts[2] + _ones_of_both(row, columns[2]),
        counts[3] + _ones_of_both(row, columns[3]),
    )


def _uniform_kernel(metric: Metric) -> Callable[..., Any]:
    """Make the kernel over masks that all have one box."""
    score = pair_scorer(metric)

    def load_slice(
        target: Any, masks: int, source: Any, first: int, last: int, stride: int, begin: int
    ) -> None:
        """Bring one slice of so many masks to shared memory, the last again for those past it."""
        for turn in range(masks * (SLICE_WORDS // 4) // THREADS):
            part = turn * THREADS + cuda.threadIdx.x
            mask = part // (SLICE_WORDS // 4)
            word = part % (SLICE_WORDS // 4) * 4
            start = np.int64(min(first + mask, last)) * stride + begin + word
            four = load4(source, start)
            store4(target, mask * PITCH + word, four[0], four[1], four[2], four[3])

    def keep(
        counts: Any,
        bounds1: Any,
        first: int,
        row: int,
        rows: int,
        bounds2: Any,
        column: int,
        columns: int,
        scores: Any,
    ) -> None:
        """Score a row against four columns, and store what is inside of the result."""
        if row < rows:
            for k in range(EACH):
                j = column + k * THREADS_ACROSS
                if j < columns:
                    scores[row * columns + j] = score(counts[k], bounds1, first + row, bounds2, j)

    def kernel(
        bounds1: Any,
        masks1: Any,
        bounds2: Any,
        masks2: Any,
        stride: int,
        first: int,
        rows: int,
        columns: int,
        scores: Any,
    ) -> None:
        block1 = cuda.shared.array(ROWS_WORDS, np.uint32, ALIGNMENT)
        block2 = cuda.shared.array(COLUMNS_WORDS, np.uint32, ALIGNMENT)
        thread = np.int64(cuda.threadIdx.x)
        tile = np.int64(cuda.blockIdx.x)
        across = (columns + EACH * THREADS_ACROSS - 1) // (EACH * THREADS_ACROSS)
        first_row = tile // across * (EACH * THREADS_DOWN)
        first_column = tile % across * (EACH * THREADS_ACROSS)
        own_row = thread // THREADS_ACROSS
        own_column = thread % THREADS_ACROSS
        zero = np.int64(0)
        counts_a = zero, zero, zero, zero
        counts_b = zero, zero, zero, zero
        counts_c = zero, zero, zero, zero
        counts_d = zero, zero, zero, zero
        for begin in range(0, stride, SLICE_WORDS):
            cuda.syncthreads()
            load_slice(
                block1,
                EACH * THREADS_DOWN,
                masks1,
                first + first_row,
                first + rows - 1,
                stride,
                begin,
            )
            load_slice(
                block2, EACH * THREADS_ACROSS, masks2, first_column, columns - 1, stride, begin
            )
            cuda.syncthreads()
            for word in range(0, SLICE_WORDS, 4):
                start = own_column * PITCH + word
                words2 = (
                    load4(block2, start),
                    load4(block2, start + THREADS_ACROSS * PITCH),
                    load4(block2, start + 2 * THREADS_ACROSS * PITCH),
                    load4(block2, start + 3 * THREADS_ACROSS * PITCH),
                )
                start = own_row * PITCH + word
                counts_a = _counted(counts_a, load4(block1, start), words2)
                start += THREADS_DOWN * PITCH
                counts_b = _counted(counts_b, load4(block1, start), words2)
                start += THREADS_DOWN * PITCH
                counts_c = _counted(counts_c, load4(block1, start), words2)
                start += THREADS_DOWN * PITCH
                counts_d = _counted(counts_d, load4(block1, start), words2)
        row = first_row + own_row
        column = first_column + own_column
        keep(counts_a, bounds1, first, row, rows, bounds2, column, columns, scores)
        row += THREADS_DOWN
        keep(counts_b, bounds1, first, row, rows, bounds2, column, columns, scores)
        row += THREADS_DOWN
        keep(counts_c, bounds1, first, row, rows, bounds2, column, columns, scores)
        row += THREADS_DOWN
        keep(counts_d, bounds1, first, row, rows, bounds2, column, columns, scores)

    return kernel


@functools.cache
def mask_scores(metric: Metric) -> MaskKernels:
    """Make the kernels of a metric."""
    return MaskKernels(
        CudaKernel(_pair_kernel(metric, False), f"masks-{metric.name}", **REGISTERS),
        CudaKernel(_uniform_kernel(metric), f"uniform-masks-{metric.name}"),
        CudaKernel(_pair_kernel(metric, True), f"aligned-masks-{metric.name}"),
    )


def _spread(words: Any, bounds: Any, count: int, size: int, stride: int, masks: Any) -> None:
    """Copy masks of `size` words of 32 bits to every `stride` words, and zeros after each."""
    place = 4 * (np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x)
    mask = place // stride
    if mask < count:
        first = place % stride
        across = bounds[2, mask] - bounds[0, mask]
        start = 2 * (bounds[4, mask] + (bounds[1, mask] >> 6) * across + bounds[0, mask])
        zero = np.uint32(0)
        store4(
            masks,
            place,
            words[start + first] if first < size else zero,
            words[start + first + 1] if first + 1 < size else zero,
            words[start + first + 2] if first + 2 < size else zero,
            words[start + first + 3] if first + 3 < size else zero,
        )


#: Brings masks that all have one box to where they can be loaded by 16 bytes, in whole slices.
SPREAD = CudaKernel(_spread, "spread-masks")
