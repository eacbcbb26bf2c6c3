"""The best of each row on a GPU, without the host: by cells, in five launches.

As in `pairs` a thread serves a row, and all threads of a block those that look into many
cells.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda

from fastiou.cuda.cell_sets import Cells, Sides, asked
from fastiou.cuda.cells import (
    TOO_MANY,
    fits,
    group_of,
    is_proper,
    start_of,
)
from fastiou.cuda.pairs import is_paired
from fastiou.cuda.scoring import candidate_finder
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel
from fastiou.runtime.gpu_primitives import magnified

__all__ = ["best_kernel", "best_on_gpu"]

#: Threads of a block, each of which serves a row.
THREADS = 128

#: Candidates that wait to be put in order among the best of a row.
WAITING = 2 * THREADS

# What threads of a block share, int32: how many rows wait for all of them, how many candidates of
# one wait to be put in order, and how many of these are kept.
ROWS, HELD, KEPT, SHARED = range(4)


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
def best_kernel(geometry: Geometry, metric: Metric) -> CudaKernel:
    """Make the kernel that keeps the best of each row, by value and then by lowest column."""
    load, next_candidate = geometry.load, candidate_finder(geometry, metric, is_paired)

    def keep_best(
        set1: Any,
        set2: Any,
        table: Any,
        share1: float,
        share2: float,
        limit: float,
        exponent: int,
        most: float,
        lowest: float,
        told: Any,
        findings: Any,
        columns: Any,
        values: Any,
    ) -> None:
        """Fill (rows, k) with the best of each row, the rest with 0 and -1."""
        if not fits(told, findings, most, lowest):
            return
        waiting = cuda.shared.array(THREADS, np.int32)
        waiting_values = cuda.shared.array(WAITING, values.dtype)
        waiting_columns = cuda.shared.array(WAITING, np.int64)
        shared = cuda.shared.array(SHARED, np.int32)
        shares = share1, share2
        thread = np.int64(cuda.threadIdx.x)
        team = np.int64(cuda.blockDim.x)
        none = np.int64(0)
        k = values.shape[1]
        first = np.int64(cuda.blockIdx.x) * team
        row = first + thread
        if thread == 0:
            for i in range(SHARED):
                shared[i] = 0
        cuda.syncthreads()
        if row < values.shape[0]:
            kept = np.int64(0)
            if is_proper(set1[0], row):
                least = limit
                member = load(set1[0], set1[1], np.uint64(row))
                group = group_of(set1[2], row)
                at = start_of(table, none)
                while True:
                    at, other, value, _ = next_candidate(
                        set2, table, shares, member, group, least, values, none, np.int64(1), at,
                        (False, none), none,
                    )  # fmt: skip
                    if other < 0:
                        break
                    kept = insert(columns, values, row, kept, other, value)
                    if kept == k:
                        least = values[row, k - 1]
                if other == TOO_MANY:
                    kept = np.int64(0)
                    waiting[cuda.atomic.add(shared, ROWS, 1)] = thread
            for i in range(kept, k):
                columns[row, i] = -1
                values[row, i] = 0
        cuda.syncthreads()
        for i in range(shared[ROWS]):
            own = first + waiting[i]
            if thread == 0:
                shared[HELD] = 0
                shared[KEPT] = 0
            least = limit
            member = load(set1[0], set1[1], np.uint64(own))
            group = group_of(set1[2], own)
            at = start_of(table, thread)
            other = none
            cuda.syncthreads()
            while cuda.syncthreads_or(np.int32(other >= 0)):
                if other >= 0:
                    at, other, value, _ = next_candidate(
                        set2, table, shares, member, group, least, values, thread, team, at,
                        (False, none), none,
                    )  # fmt: skip
                    if other >= 0:
                        end = cuda.atomic.add(shared, HELD, 1)
                        waiting_values[end] = value
                        waiting_columns[end] = other
                cuda.syncthreads()
                is_full = shared[HELD] > WAITING - THREADS
                cuda.syncthreads()  # all have read before any adds
                if is_full:
                    if thread == 0:
                        kept = np.int64(shared[KEPT])
                        for j in range(shared[HELD]):
                            kept = insert(
                                columns, values, own, kept, waiting_columns[j], waiting_values[j]
                            )
                        shared[HELD] = 0
                        shared[KEPT] = kept
                    cuda.syncthreads()
                    if shared[KEPT] == k:
                        least = values[own, k - 1]
            if thread == 0:
                kept = np.int64(shared[KEPT])
                for j in range(shared[HELD]):
                    kept = insert(columns, values, own, kept, waiting_columns[j], waiting_values[j])
            cuda.syncthreads()
        if exponent != 0 and row < values.shape[0]:
            for i in range(k):
                values[row, i] = magnified(values[row, i], -exponent)

    return CudaKernel(keep_best, f"best-{geometry.label}-{metric.name}")


def best_on_gpu(work: Work, sides: Sides, limit_of: Any, columns: Any, values: Any) -> None:
    """Fill (rows, k) in memory of the GPU with the best of each row, the rest with 0 and -1.

    Parameters
    ----------
    limit_of
        `(exponent) -> ` the least score that counts, magnified by that power of two.

    Raises
    ------
    cell_sets.RefusedError
        A member is to be refused.
    """
    metric = sides.metric

    def ask(cells: Cells) -> None:
        exponent = cells.exponent if metric.has_units else 0
        work.launch(
            best_kernel(sides.geometry, metric), len(values), cells.set1, cells.set2,
            cells.table, *cells.shares, limit_of(exponent), exponent, *cells.limits, cells.told,
            cells.findings, columns, values,
        )  # fmt: skip

    asked(work, sides, ask)
