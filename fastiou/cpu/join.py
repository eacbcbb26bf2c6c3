"""Pairs of boxes or of masks above a threshold, without a dense result.

A set is two arrays, whatever its geometry: those of `BoxColumns` or of `MaskOperand`.

Every row of one set is scored against one contiguous slice of the other: the whole of it, or the
members of the row's group. A first pass counts, so that the second can fill arrays of exactly the
right size, each row at its own place: the result is sorted and the same for any number of threads.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.chunks import CHUNK, chunk_scorers
from fastiou.cpu.compilation import Kernel, named
from fastiou.cpu.intrinsics import prefer_widest_vectors, stack_array
from fastiou.cpu.mask_scores import mask_scorer

__all__ = ["JoinKernels", "join"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class JoinKernels:
    """The kernels of one metric. `cuts` are row numbers between which a thread works at a time."""

    #: Fills `counts` with the number of pairs in each row.
    count: Kernel
    #: Fills rows, columns and values from `offsets` on.
    fill: Kernel


@functools.cache
def join(geometry: str, metric: str) -> JoinKernels:
    """Make the kernels of a metric over the geometry "box" or "mask"."""
    score = chunk_scorers(metric).one if geometry == "box" else mask_scorer(metric)

    @register_jitable(inline="always")
    @named(f"{geometry}-{metric}")
    def score_and_count(
        first1: Array,
        first2: Array,
        row: int,
        second1: Array,
        second2: Array,
        column: int,
        last: int,
        threshold: float,
        chunk: Array,
    ) -> int:
        """Score a chunk of a slice that ends at `last`; what lies beyond is no pair."""
        score(first1, first2, row, second1, second2, column, chunk)
        for j in range(last - column, CHUNK):
            chunk[j] = -np.inf
        hits = 0
        for j in range(CHUNK):
            hits += chunk[j] >= threshold
        return hits

    def count(
        first1: Array,
        first2: Array,
        second1: Array,
        second2: Array,
        firsts: Array,
        lasts: Array,
        cuts: Array,
        threshold: float,
        values: Array,
        counts: Array,
    ) -> None:
        for task in prange(len(cuts) - 1):
            prefer_widest_vectors()
            chunk = stack_array(values, CHUNK)
            for row in range(cuts[task], cuts[task + 1]):
                found = 0
                for column in range(firsts[row], lasts[row], CHUNK):
                    found += score_and_count(
                        first1, first2, row, second1, second2, column, lasts[row], threshold, chunk
                    )
                counts[row] = found

    def fill(
        first1: Array,
        first2: Array,
        second1: Array,
        second2: Array,
        firsts: Array,
        lasts: Array,
        cuts: Array,
        threshold: float,
        offsets: Array,
        order: Array,
        rows: Array,
        columns: Array,
        values: Array,
    ) -> None:
        for task in prange(len(cuts) - 1):
            prefer_widest_vectors()
            chunk = stack_array(values, CHUNK)
            for row in range(cuts[task], cuts[task + 1]):
                position = offsets[row]
                if position == offsets[row + 1]:
                    continue
                for column in range(firsts[row], lasts[row], CHUNK):
                    hits = score_and_count(
                        first1, first2, row, second1, second2, column, lasts[row], threshold, chunk
                    )
                    if hits == 0:
                        continue
                    for j in range(CHUNK):
                        if chunk[j] >= threshold:
                            rows[position] = row
                            columns[position] = order[column + j]
                            values[position] = chunk[j]
                            position += 1

    return JoinKernels(
        Kernel(count, f"count-{geometry}-{metric}"), Kernel(fill, f"fill-{geometry}-{metric}")
    )
