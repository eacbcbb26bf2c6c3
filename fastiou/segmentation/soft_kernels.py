"""Sums of products and of bitwise combinations, of which soft and thresholded IoU are made.

Without `fastmath` a compiler keeps the order of float additions. A plain sum is then one long chain
of them, and takes 4 cycles an element. So a block is summed in lanes: element i is added to lane i
modulo their number, which the compiler turns into vectors. Blocks and lanes depend on shapes alone,
so the bits are the same for any number of threads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.metrics import product
from fastiou.runtime.kernel import Kernel, named
from fastiou.runtime.vectors import prefer_widest_vectors, stack_array
from fastiou.typing import Array

__all__ = [
    "BLOCK",
    "COMBINATIONS",
    "LANES",
    "STRIP",
    "Plan",
    "SumKernels",
    "plan_of",
    "sums",
]


#: Elements that one thread sums at a time.
BLOCK = 1 << 15

#: Lanes of either sum: four vectors of eight, since an addition to a vector takes 4 cycles.
LANES = 32

#: Columns of which one thread keeps the sums at a time.
STRIP = 256


@register_jitable
def _product_and_sum(x: Any, y: Any) -> Any:
    x, y = np.float64(x), np.float64(y)
    return product(x, y), x + y


@register_jitable
def _whole_product_and_sum(x: Any, y: Any) -> Any:
    x, y = np.int64(x), np.int64(y)
    return x * y, x + y


@register_jitable
def _and_and_or(x: Any, y: Any) -> Any:
    x, y = np.int64(x), np.int64(y)
    return x & y, x | y


class Combination(NamedTuple):
    """What is summed."""

    #: The two numbers that x and y make.
    combine: Callable[..., Any]
    #: float64 or int64. A compiler turns sums of int64 into vectors by itself.
    dtype: Any


COMBINATIONS = {
    "values": Combination(_product_and_sum, np.float64),
    # For integers of at most 16 bits. Their products fit int64, and took half the time of floats.
    "integers": Combination(_whole_product_and_sum, np.int64),
    "bits": Combination(_and_and_or, np.int64),
}


class Plan(NamedTuple):
    """In which order an array (outer, element, column) is summed over its elements."""

    outer: int
    elements: int
    columns: int
    #: Elements of a block, and blocks.
    height: int
    blocks: int
    #: What blocks sum to is added by halves over the middle of three axes: its length, and the
    #: length of the last. First over the blocks, then over more axes.
    folds: tuple[tuple[int, int], ...]
    #: How many sums there are in the end.
    sums: int


def plan_of(shape: tuple[int, ...], axes: tuple[int, ...]) -> Plan:
    """How to sum over sorted axes of an array.

    The kernels sum over the last of these axes, and over those that lie directly before it. The
    axes behind become columns, and the axes that are left are folded.
    """
    last = axes[-1] + 1 if axes else 0
    first = last
    while first - 1 in axes:
        first -= 1
    elements, columns = math.prod(shape[first:last]), math.prod(shape[last:])
    # At least 64 elements to a sum of a column, so that the sums are few beside the elements.
    height = BLOCK if columns == 1 else max(64, BLOCK // max(columns, 1))
    blocks = -(-elements // height)
    folds = [(blocks, columns)]
    after = columns
    for axis in reversed(range(first)):
        if axis in axes:
            folds.append((shape[axis], after))
        else:
            after *= shape[axis]
    left = math.prod(length for axis, length in enumerate(shape) if axis not in axes)
    return Plan(math.prod(shape[:first]), elements, columns, height, blocks, tuple(folds), left)


class SumKernels(NamedTuple):
    """The kernels of one combination."""

    #: Sums over the rows of a matrix.
    rows: Kernel
    #: Sums over the middle of three axes.
    columns: Kernel
    #: Dtype of `partial`.
    dtype: Any


@functools.cache
def sums(combination: str) -> SumKernels:
    """Make the kernels of a combination: a key of `COMBINATIONS`."""
    combine, dtype = COMBINATIONS[combination]

    @register_jitable
    @named(combination)
    def sum_floats(x: Array, y: Array, like: Array) -> Any:
        """Both sums over x and y (element,), in lanes; `like` has the dtype of the sums."""
        prefer_widest_vectors()
        first_lanes = stack_array(like, LANES)
        second_lanes = stack_array(like, LANES)
        for lane in range(LANES):
            first_lanes[lane] = 0
            second_lanes[lane] = 0
        whole = len(x) // LANES * LANES
        # Unsigned: of signed indices Numba tests whether they count from the end, and the loop is
        # then not vectorised.
        for start in range(np.uint64(0), np.uint64(whole), np.uint64(LANES)):
            for lane in range(np.uint64(LANES)):
                one, other = combine(x[start + lane], y[start + lane])
                first_lanes[lane] += one
                second_lanes[lane] += other
        for i in range(whole, len(x)):
            one, other = combine(x[i], y[i])
            first_lanes[i - whole] += one
            second_lanes[i - whole] += other
        width = LANES // 2
        while width:
            for lane in range(width):
                first_lanes[lane] += first_lanes[lane + width]
                second_lanes[lane] += second_lanes[lane + width]
            width //= 2
        return first_lanes[0], second_lanes[0]

    @register_jitable
    @named(combination)
    def sum_integers(x: Array, y: Array, like: Array) -> Any:
        """Both sums over x and y (element,)."""
        prefer_widest_vectors()
        first_sum = np.int64(0)
        second_sum = np.int64(0)
        for i in range(len(x)):
            one, other = combine(x[i], y[i])
            first_sum += one
            second_sum += other
        return first_sum, second_sum

    sum_block = sum_floats if dtype is np.float64 else sum_integers

    def rows(x: Array, y: Array, first: int, last: int, partial: Array) -> None:
        """Sum over rows, in blocks.

        Parameters
        ----------
        x, y
            (row, element).
        first, last
            Units of work: a block of a row each.
        partial
            (2, row, block): gets both sums.
        """
        blocks = partial.shape[2]
        for unit in prange(first, last):
            row = unit // blocks
            block = unit % blocks
            length = x.shape[1]
            start = block * BLOCK
            end = min(start + BLOCK, length)
            one, other = sum_block(x[row, start:end], y[row, start:end], partial)
            partial[0, row, block] = one
            partial[1, row, block] = other

    def columns(x: Array, y: Array, height: int, first: int, last: int, partial: Array) -> None:
        """Sum over the middle axis, in blocks.

        Parameters
        ----------
        x, y
            (outer, element, column).
        height
            Elements of a block.
        first, last
            Units of work: a block of `STRIP` columns each.
        partial
            (2, outer, block, column): zeros, to which both sums are added.
        """
        blocks = partial.shape[2]
        strips = (partial.shape[3] + STRIP - 1) // STRIP
        for unit in prange(first, last):
            prefer_widest_vectors()
            outer = unit // (blocks * strips)
            block = unit // strips % blocks
            start = unit % strips * STRIP
            end = min(start + STRIP, partial.shape[3])
            one_sums = partial[0, outer, block, start:end]
            other_sums = partial[1, outer, block, start:end]
            for row in range(block * height, min((block + 1) * height, x.shape[1])):
                part1 = x[outer, row, start:end]
                part2 = y[outer, row, start:end]
                for j in range(len(part1)):
                    one, other = combine(part1[j], part2[j])
                    one_sums[j] += one
                    other_sums[j] += other

    return SumKernels(
        Kernel(rows, f"rows-{combination}"), Kernel(columns, f"columns-{combination}"), dtype
    )
