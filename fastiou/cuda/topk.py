"""The kernels of the best of each row on a GPU; `search` launches them."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from fastiou.cpu.walk import (
    addresses,
    bounds_of,
    group_of,
    is_over,
    next_slice,
    slice_of,
    walk_over,
)
from fastiou.cuda.scoring import pair_scorer
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.gpu_kernel import CudaKernel

__all__ = ["CLEAR", "THREADS", "BestKernels", "best_kernels", "insert"]

#: Threads of a block.
THREADS = 128

#: Candidates that wait to be put in order among the best of a row.
WAITING = 2 * THREADS


class BestKernels(NamedTuple):
    """The kernels of one metric that keep the best of each row."""

    #: A thread serves a row.
    alone: CudaKernel
    #: A block does.
    block: CudaKernel


def insert(columns: Any, values: Any, row: int, kept: int, column: int, value: Any) -> int:
    """Keep a candidate among the best of a row, if it is; return how many are kept."""
    k = values.shape[1]
    place = kept
    while place > 0 and (
        value > values[row, place - 1]
        or (value == values[row, place - 1] and column < columns[row, place - 1])
    ):
        place -= 1
    if place == k:
        return kept
    kept = min(kept + 1, k)
    for i in range(kept - 1, place, -1):
        values[row, i] = values[row, i - 1]
        columns[row, i] = columns[row, i - 1]
    values[row, place] = value
    columns[row, place] = column
    return kept


@functools.cache
def best_kernels(geometry: Geometry, metric: Metric) -> BestKernels:
    """Make the kernels that keep the best of each row, by value and then by lowest column.

    `values` and `columns` are of shape (rows, k), filled with 0 and -1.
    """
    load, score = geometry.load, pair_scorer(geometry, metric)

    def alone(
        set1: Any,
        set2: Any,
        grid: Any,
        share1: float,
        share2: float,
        positions: Any,
        first_number: int,
        count: int,
        limit: float,
        columns: Any,
        values: Any,
    ) -> None:
        bounds1, data1, order1, groups1 = set1
        bounds2, data2, order2, _ = set2
        blocks, extents, layout, edges, places, starts = grid
        number = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if number >= count:
            return
        position = np.int64(first_number + number)
        if len(positions) > 0:
            position = np.int64(positions[position])
        row = np.int64(order1[position])
        k = values.shape[1]
        kept = np.int64(0)
        least = limit
        member = load(bounds1, data1, np.uint64(position))
        index = addresses(extents, layout, edges, places)
        walk = walk_over(blocks, group_of(groups1, position))
        while True:
            walk = next_slice(index, walk, bounds_of(member), share1, share2)
            if is_over(walk):
                break
            first, last = slice_of(starts, walk)
            for column in range(first, last):
                place = np.uint64(column)
                value = values.dtype.type(score(member, load(bounds2, data2, place)))
                if value >= least:
                    kept = insert(columns, values, row, kept, np.int64(order2[place]), value)
                    if kept == k:
                        least = values[row, k - 1]

    def block(
        set1: Any,
        set2: Any,
        grid: Any,
        share1: float,
        share2: float,
        positions: Any,
        first_number: int,
        count: int,
        limit: float,
        columns: Any,
        values: Any,
    ) -> None:
        bounds1, data1, order1, groups1 = set1
        bounds2, data2, order2, _ = set2
        blocks, extents, layout, edges, places, starts = grid
        # Those that may be among the best wait here for the first thread to put them in order.
        waiting_values = cuda.shared.array(WAITING, values.dtype)
        waiting_columns = cuda.shared.array(WAITING, np.int64)
        numbers = cuda.shared.array(2, np.int32)  # how many wait, and how many are kept
        position = np.int64(first_number) + cuda.blockIdx.x
        if len(positions) > 0:
            position = np.int64(positions[position])
        row = np.int64(order1[position])
        k = values.shape[1]
        thread = np.int64(cuda.threadIdx.x)
        least = limit
        if thread == 0:
            numbers[0] = 0
            numbers[1] = 0
        cuda.syncthreads()
        member = load(bounds1, data1, np.uint64(position))
        index = addresses(extents, layout, edges, places)
        walk = walk_over(blocks, group_of(groups1, position))
        while True:
            walk = next_slice(index, walk, bounds_of(member), share1, share2)
            if is_over(walk):
                break
            first, last = slice_of(starts, walk)
            while first < last:
                if first + thread < last:
                    place = np.uint64(first + thread)
                    value = values.dtype.type(score(member, load(bounds2, data2, place)))
                    if value >= least:
                        end = cuda.atomic.add(numbers, 0, 1)
                        waiting_values[end] = value
                        waiting_columns[end] = order2[place]
                cuda.syncthreads()
                is_full = numbers[0] > WAITING - THREADS
                cuda.syncthreads()  # all have read before any adds
                if is_full:
                    if thread == 0:
                        kept = np.int64(numbers[1])
                        for i in range(numbers[0]):
                            kept = insert(
                                columns, values, row, kept, waiting_columns[i],
                                waiting_values[i],
                            )  # fmt: skip
                        numbers[0] = 0
                        numbers[1] = kept
                    cuda.syncthreads()
                    if numbers[1] == k:
                        least = values[row, k - 1]
                first += cuda.blockDim.x
        if thread == 0:
            kept = np.int64(numbers[1])
            for i in range(numbers[0]):
                kept = insert(columns, values, row, kept, waiting_columns[i], waiting_values[i])

    return BestKernels(
        CudaKernel(alone, f"best-{geometry.label}-{metric.name}"),
        CudaKernel(block, f"best-block-{geometry.label}-{metric.name}"),
    )


def _clear(columns: Any, values: Any) -> None:
    """Fill what nothing is kept in with 0 and -1."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < columns.shape[0]:
        columns[i] = -1
        values[i] = 0


#: `(columns, values)`
CLEAR = CudaKernel(_clear, "clear")
