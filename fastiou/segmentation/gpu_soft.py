"""Soft and thresholded IoU on a GPU: sums in the order that the CPU adds in.

`soft_kernels` tells the order: a block of elements has `LANES` sums, which here are a warp's. What
blocks sum to is then added by halves. So the bits are those of the CPU.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from fastiou.arrays.inputs import Input, elements_on_gpu
from fastiou.metrics import product
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.gpu_kernel import CudaKernel, threads_of_block
from fastiou.segmentation.soft_kernels import BLOCK, COMBINATIONS, LANES, Plan

__all__ = [
    "EXTREMES",
    "FOLD",
    "GRADE",
    "SCORE",
    "GpuSums",
    "extremes_on_gpu",
    "gpu_sums",
    "grades_on_gpu",
    "scores_on_gpu",
    "sums_on_gpu",
]


#: Threads of a block that adds what blocks sum to.
FOLDING = 128

#: Elements of which a thread finds the extremes, as far apart as there are threads.
STRIP = 64


class GpuSums(NamedTuple):
    """The kernels of one combination."""

    #: Sums over rows.
    rows: CudaKernel
    #: Sums over the middle of three axes.
    columns: CudaKernel


@functools.cache
def gpu_sums(combination: str) -> GpuSums:
    """Make the kernels of a combination: a key of `soft_kernels.COMBINATIONS`."""
    combine, dtype = COMBINATIONS[combination]

    def rows(x: Any, y: Any, elements: int, blocks: int, partial: Any) -> None:
        """Sum over rows, in blocks, each by a block of `LANES` threads.

        Parameters
        ----------
        x, y
            (row * element,).
        elements, blocks
            Of a row.
        partial
            (2 * row * block,): gets the sums of one number of the combination, and of the other.
        """
        one_lanes = cuda.shared.array(LANES, dtype)
        other_lanes = cuda.shared.array(LANES, dtype)
        unit = np.int64(cuda.blockIdx.x)
        lane = np.int64(cuda.threadIdx.x)
        start = unit % blocks * BLOCK
        end = min(start + BLOCK, np.int64(elements))
        before = unit // blocks * elements
        one_sum = dtype(0)
        other_sum = dtype(0)
        for i in range(before + start + lane, before + end, LANES):
            one, other = combine(x[i], y[i])
            one_sum += one
            other_sum += other
        one_lanes[lane] = one_sum
        other_lanes[lane] = other_sum
        cuda.syncthreads()
        width = LANES // 2
        while width > 0:
            if lane < width:
                one_lanes[lane] += one_lanes[lane + width]
                other_lanes[lane] += other_lanes[lane + width]
            cuda.syncthreads()
            width //= 2
        if lane == 0:
            partial[unit] = one_lanes[0]
            partial[partial.shape[0] // 2 + unit] = other_lanes[0]

    def columns(
        x: Any, y: Any, elements: int, count: int, height: int, blocks: int, partial: Any
    ) -> None:
        """Sum over the middle axis, in blocks, a column of a block by each thread.

        Parameters
        ----------
        x, y
            (outer * element * column,).
        elements, count
            Elements and columns.
        height, blocks
            Elements of a block, and blocks.
        partial
            (2 * outer * block * column,): gets both sums.
        """
        place = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        half = partial.shape[0] // 2
        if place >= half:
            return
        column = place % count
        block = place // count % blocks
        outer = place // count // blocks
        first = block * height
        last = min(first + height, np.int64(elements))
        one_sum = dtype(0)
        other_sum = dtype(0)
        for row in range(first, last):
            i = (outer * elements + row) * count + column
            one, other = combine(x[i], y[i])
            one_sum += one
            other_sum += other
        partial[place] = one_sum
        partial[half + place] = other_sum

    return GpuSums(
        CudaKernel(rows, f"sum-rows-{combination}"),
        CudaKernel(columns, f"sum-columns-{combination}"),
    )


def _fold(sums: Any, length: int, after: int, folded: Any) -> None:
    """Add over the middle of three axes by halves, a sum by each block.

    `sums` is (before * length * after,), and is overwritten. `folded` (before * after,) gets the
    sums.
    """
    unit = np.int64(cuda.blockIdx.x)
    start = unit // after * length * after + unit % after
    while length > 1:
        half = (length + 1) // 2
        for i in range(cuda.threadIdx.x, length - half, cuda.blockDim.x):
            sums[start + i * after] += sums[start + (i + half) * after]
        cuda.syncthreads()
        length = half
    if cuda.threadIdx.x == 0:
        folded[unit] = sums[start]


#: `(sums, length, after, folded)`
FOLD = CudaKernel(_fold, "fold-sums")


def _quotient(numerator: float, denominator: float) -> float:
    """The quotient, 0 where the denominator is 0."""
    return 0.0 if denominator == 0 else numerator / denominator


def _score(sums: Any, smooth: float, scores: Any) -> None:
    """Score sums (2 * n,) of x·y, and of x + y."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < scores.shape[0]:
        shared = sums[i]
        union = sums[scores.shape[0] + i] - shared
        scores[i] = _quotient(shared + smooth, union + smooth)


#: `(sums, smooth, scores)`
SCORE = CudaKernel(_score, "score-sums")


def _grade(sums: Any, smooth: float, grades: Any) -> None:
    """Grade sums (2 * n,) of x&y, and of x|y, in steps of 0.1 (see `thresholded_iou`)."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < grades.shape[0]:
        iou = _quotient(sums[i] + smooth, sums[grades.shape[0] + i] + smooth)
        grades[i] = math.ceil(min(max(product(20.0, iou - 0.5), 0.0), 10.0)) / 10.0


#: `(sums, smooth, grades)`
GRADE = CudaKernel(_grade, "grade-sums")


def _extremes(numbers: Any, turn: int, extremes: Any) -> None:
    """Find the lowest and the highest of numbers (n,), signed integers, in the order of their type.

    `turn` are bits that are turned for that, and `extremes` (2,) int64 must hold the largest number
    and the least, and gets those found, turned.
    """
    low = extremes[0]
    high = extremes[1]
    start = np.int64(cuda.blockIdx.x) * cuda.blockDim.x * STRIP + cuda.threadIdx.x
    last = min(start + cuda.blockDim.x * STRIP, np.int64(numbers.shape[0]))
    for i in range(start, last, cuda.blockDim.x):
        number = np.int64(numbers[i]) ^ turn
        low = min(low, number)
        high = max(high, number)
    if low <= high:
        cuda.atomic.min(extremes, 0, low)
        cuda.atomic.max(extremes, 1, high)


#: `(numbers, turn, extremes)`, for integers of 64 bits.
EXTREMES = CudaKernel(_extremes, "extremes")


# ---- calls -------------------------------------------------------------------------------------


def sums_on_gpu(work: Work, given1: Input, given2: Input, plan: Plan, combination: str) -> Any:
    """Sums as a plan tells, (2 * sum,) of float64 on the GPU, or of int64 where bits are summed."""
    kernels = gpu_sums(combination)
    x, y = elements_on_gpu(work, given1), elements_on_gpu(work, given2)
    dtype = np.int64 if combination == "bits" else np.float64
    units = plan.outer * plan.blocks
    work.reserve(16 * units * plan.columns, "what blocks of elements sum to")
    sums = work.empty(2 * units * plan.columns, dtype)
    if plan.columns == 1:
        kernels.rows.launch(units, LANES, work.stream, x, y, plan.elements, plan.blocks, sums)
    else:
        work.launch(
            kernels.columns, units * plan.columns, x, y, plan.elements, plan.columns,
            plan.height, plan.blocks, sums,
        )  # fmt: skip
    for length, after in plan.folds:
        if length > 1:
            folded = work.empty(sums.size // length, dtype)
            FOLD.launch(
                folded.size, threads_of_block(FOLDING), work.stream, sums, length, after, folded
            )
            sums = folded
    return sums


def scores_on_gpu(
    work: Work, place: GpuArray, sums: Any, smooth: float, shape: tuple[int, ...]
) -> Any:
    """Scores of a shape, from sums of x·y and of x + y."""
    return _made(SCORE, work, place, sums, smooth, shape)


def grades_on_gpu(work: Work, place: GpuArray, sums: Any, smooth: float) -> Any:
    """Grades of as many images as there are sums of x&y, and of x|y."""
    return _made(GRADE, work, place, sums, smooth, (sums.size // 2,))


def _made(
    kernel: CudaKernel, work: Work, place: GpuArray, sums: Any, smooth: float, shape: Any
) -> Any:
    result = work.result(place, shape, np.dtype(np.float64))
    count = sums.size // 2
    work.launch(kernel, count, sums, smooth, result.device.reshape(count))
    return result.handed()


def extremes_on_gpu(work: Work, array: Any) -> tuple[int, int]:
    """The lowest and the highest of integers (n,) of 64 bits on the GPU, which the host learns."""
    turn = -(2**63) if array.dtype.kind == "u" else 0
    numbers = array.view(np.int64)
    limits = np.iinfo(np.int64)
    found = work.to_device(np.array([limits.max, limits.min]))
    work.launch(EXTREMES, -(-array.size // STRIP), numbers, turn, found)
    low, high = (int(number) - turn if turn else int(number) for number in work.to_host(found))
    return low, high
