"""The kernel of the best of each row."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import prange

from fastiou.cpu.scoring import search_scorer
from fastiou.cpu.walk import (
    addresses,
    bounds_of,
    group_of,
    is_over,
    next_slice,
    slice_of,
    walk_over,
)
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.bit_vectors import count_zeros_below
from fastiou.runtime.kernel import Kernel, inlined
from fastiou.runtime.vectors import prefer_widest_vectors, stack_array
from fastiou.typing import Array

__all__ = ["best_kernel", "keep_best"]


@inlined
def keep_best(
    bits: Any, chunk: Array, column: int, order: Array, columns: Array, values: Array, kept: int
) -> Any:
    """Keep those of a chunk among the best (k,) of a row that are; return how many are kept.

    `bits` tells which to look at, and `order` what `column` and the next ones are called.
    """
    k = len(values)
    while bits:
        lane = count_zeros_below(bits)
        bits &= bits - np.uint64(1)
        value = chunk[lane]
        other = np.int64(order[column + lane])
        place = kept
        while place > 0 and (
            value > values[place - 1] or (value == values[place - 1] and other < columns[place - 1])
        ):
            place -= 1
        if place == k:
            continue
        kept = min(kept + 1, k)
        for i in range(kept - 1, place, -1):
            values[i] = values[i - 1]
            columns[i] = columns[i - 1]
        values[place] = value
        columns[place] = other
    return kept


@functools.cache
def best_kernel(geometry: Geometry, metric: Metric) -> Kernel:
    """Make the kernel that keeps the best of each row, by value and then by lowest column.

    `values` and `columns` are of shape (rows, k), filled with 0 and -1.
    """
    size, load = geometry.chunk, geometry.load
    score = search_scorer(geometry, metric)

    def search(
        set1: Any,
        set2: Any,
        grid: Any,
        share1: float,
        share2: float,
        cuts: Array,
        limit: float,
        columns: Array,
        values: Array,
    ) -> None:
        bounds1, data1, order1, groups1 = set1
        bounds2, data2, order2, _ = set2
        blocks, extents, layout, edges, places, starts = grid
        index = addresses(extents, layout, edges, places)
        k = values.shape[1]
        for task in prange(len(cuts) - 1):
            prefer_widest_vectors()
            chunk = stack_array(values, size)
            for position in range(cuts[task], cuts[task + 1]):
                own_columns = columns[order1[position]]
                own_values = values[order1[position]]
                kept = 0
                least = limit
                member = load(bounds1, data1, position)
                walk = walk_over(blocks, group_of(groups1, position))
                while True:
                    walk = next_slice(index, walk, bounds_of(member), share1, share2)
                    if is_over(walk):
                        break
                    first, last = slice_of(starts, walk)
                    for column in range(first, last, size):
                        bits = score(member, bounds2, data2, column, last, least, chunk)
                        if bits:
                            kept = keep_best(
                                bits, chunk, column, order2, own_columns, own_values, kept
                            )
                            if kept == k:
                                least = own_values[k - 1]

    return Kernel(search, f"best-{geometry.label}-{metric.name}")
