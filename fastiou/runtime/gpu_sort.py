"""Sorting on a GPU: rows of two numbers, and what goes with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from fastiou.runtime.gpu import THREADS, Work
from fastiou.runtime.gpu_kernel import CudaKernel, threads_of_block

__all__ = ["sort_on_gpu"]


#: Pairs that one block sorts in one launch. More are sorted by a launch for each comparison.
SORTED_BY_A_BLOCK = 1 << 12


def _put_in_order(rows: Any, cols: Any, values: Any, k: int, distance: int, mirror: int) -> None:
    """Make the k-th comparison of a step of a bitonic network, and swap what is not in order.

    Every comparison puts the smaller pair first. Pairs past the end then count as infinite.
    """
    # The k-th number that lacks the bit of the distance.
    low = 2 * k - (k & (distance - 1))
    high = low ^ mirror
    if high < rows.shape[0]:
        row1, row2, col1, col2 = rows[low], rows[high], cols[low], cols[high]
        if row1 > row2 or (row1 == row2 and col1 > col2):
            value1, value2 = values[low], values[high]
            rows[low], cols[low], values[low] = row2, col2, value2
            rows[high], cols[high], values[high] = row1, col1, value1


def _sort(rows: Any, cols: Any, values: Any) -> None:
    """Sort pairs by row and column: all of them by one block."""
    count = np.int64(rows.shape[0])
    size = np.int64(2)
    while size < 2 * count:
        # The first comparison of a stage mirrors each part, the others are a distance apart.
        distance = size >> 1
        mirror = size - 1
        while distance > 0:
            for k in range(cuda.threadIdx.x, (count + distance) >> 1, cuda.blockDim.x):
                _put_in_order(rows, cols, values, np.int64(k), distance, mirror)
            cuda.syncthreads()
            distance >>= 1
            mirror = distance
        size <<= 1


#: `(rows, cols, values)`
SORT = CudaKernel(_sort, "sort-rows")


def _compare(rows: Any, cols: Any, values: Any, distance: int, mirror: int) -> None:
    """Make one step of the network, a comparison a thread."""
    k = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if k < (np.int64(rows.shape[0]) + distance) >> 1:
        _put_in_order(rows, cols, values, k, distance, mirror)


COMPARE = CudaKernel(_compare, "compare-rows")


def sort_on_gpu(work: Work, rows: Any, cols: Any, values: Any) -> None:
    """Sort pairs (pair,) on the GPU by row and column."""
    count = rows.size
    if count <= SORTED_BY_A_BLOCK:
        SORT.launch(1, threads_of_block(THREADS), work.stream, rows, cols, values)
        return
    size = 2
    while size < 2 * count:
        distance, mirror = size >> 1, size - 1
        while distance:
            work.launch(COMPARE, (count + distance) >> 1, rows, cols, values, distance, mirror)
            distance >>= 1
            mirror = distance
        size <<= 1
