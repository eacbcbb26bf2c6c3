"""How sets of intervals, rotated boxes and boxes in space become columns: all but the numbers.

Plain boxes have their own way (`box_columns`), which serves nothing else and so takes less.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.arrays.checks import refuse_infinite
from fastiou.arrays.inputs import Input, result_dtype
from fastiou.geometries.box_columns import limits
from fastiou.geometries.boxes import (
    EXACT_SPAN,
    block_steps,
    empty_columns,
    exact_floats,
    fill_within_limits,
)
from fastiou.geometry import Columns, Geometry, Small
from fastiou.metrics import larger, smaller
from fastiou.runtime import chunks, threads
from fastiou.runtime.kernel import Kernel, inlined, named
from fastiou.typing import Array

__all__ = ["LANES", "SMALLEST32", "SMALLEST64", "AxisColumns", "findings_in"]


FLOAT64 = np.dtype(np.float64)

#: Members prepared by one thread at a time.
BLOCK = 1 << 12

#: Members prepared in one step, and a divisor of how long columns are.
LANES = 16

#: What stands for a volume of 0: the smallest normal number of each type.
SMALLEST32, SMALLEST64 = (float(np.finfo(dtype).tiny) for dtype in (np.float32, np.float64))


@register_jitable
def findings_in(odd: Array, largest: Array, smallest: Array) -> tuple[bool, float, float]:
    """What is returned by a `fill` that found a NaN, a coordinate and a volume in each lane.

    What is chosen between a new number and the one that is there LLVM stores by a mask, and for
    that AMD takes 12 cycles and more. So a `fill` writes its choice to another array, or adds 0.
    """
    any_odd = False
    for j in range(LANES):
        any_odd = any_odd or odd[j] != odd[j]
        largest[0] = larger(largest[0], largest[j])
        smallest[0] = smaller(smallest[0], smallest[j])
    return any_odd, np.float64(largest[0]), np.float64(smallest[0])


@functools.cache
def block_kernel(fill: Any, label: str) -> Kernel:
    """Make the kernel that fills some blocks of the columns of a set, and returns what `fill` does.

    It is `(members, layout, bounds, data, findings, first, last)`. `findings`, (blocks, 3) float64,
    has a row for each block.
    """

    def fill_blocks(
        members: Array,
        layout: int,
        bounds: Array,
        data: Array,
        findings: Array,
        first: int,
        last: int,
    ) -> tuple[bool, float, float]:
        for block in prange(first, last):
            begin = np.int64(block) * BLOCK
            end = min(begin + BLOCK, bounds.shape[1])
            any_odd, largest, smallest = fill(members, begin, end, layout, bounds, data)
            findings[block, 0] = any_odd
            findings[block, 1] = largest
            findings[block, 2] = smallest
        for block in range(first + 1, last):
            findings[first, 0] = larger(findings[first, 0], findings[block, 0])
            findings[first, 1] = larger(findings[first, 1], findings[block, 1])
            findings[first, 2] = smaller(findings[first, 2], findings[block, 2])
        return findings[first, 0] > 0, findings[first, 1], findings[first, 2]

    return Kernel(fill_blocks, f"fill-{label}")


class AxisColumns:
    """How members along some axes are prepared, all formats alike but for how numbers are read.

    Parameters
    ----------
    dimensions
        How many axes.
    fill
        Compiled: `(members, first, last, layout, bounds, data)` fills the columns of members from
        `first` to `last`, of which the second is a multiple of 16, and empty ones past the last
        member. It returns whether one has a NaN or an infinity, the largest absolute coordinate,
        and the smallest volume of a proper member.
    label
        For the names of compiled kernels.
    rows
        How many rows `data` has.
    layouts
        The numbers of the formats in `fill`.
    scores_of_one
        How many scores take as long as preparing a member.
    fills_bounds
        Whether members fill their bounds: see `Columns`.
    widened
        Formats that are prepared as float64, since the centre is made of several numbers.
    rows_of_float64
        How many rows of `data` a search takes along in float64, if that needs fewer.
    """

    def __init__(
        self,
        dimensions: int,
        fill: Any,
        label: str,
        rows: int,
        layouts: dict[str, int],
        *,
        scores_of_one: int = 3,
        fills_bounds: bool = True,
        widened: tuple[str, ...] = (),
        rows_of_float64: int | None = None,
    ) -> None:
        self.dimensions, self.fill, self.label = dimensions, fill, label
        self.rows, self.layouts = rows, layouts
        self.rows_of_float64 = rows if rows_of_float64 is None else rows_of_float64
        self.scores_of_one, self.fills_bounds, self.widened = scores_of_one, fills_bounds, widened

    def _filled(
        self, sets: list[Array], dtype: np.dtype[Any], fmt: str, givens: list[Input], phase: int
    ) -> tuple[list[Columns], float, float]:
        """Columns of float members, their largest coordinate and their smallest volume."""
        columns, most, least = [], 0.0, math.inf
        kernel = block_kernel(self.fill, self.label)
        for members, given in zip(sets, givens, strict=True):
            members = np.require(members, dtype, ["C", "A", "W"])
            rows = empty_columns(len(members), dtype, phase, 4 + self.rows)
            findings = np.empty((-(-rows.shape[1] // BLOCK), 3))
            bounds, data = rows[:4], rows[4:]
            any_odd = False
            scores = self.scores_of_one * len(members)
            for first, last, work in block_steps(len(findings), scores):
                odd, largest, smallest = threads.run(
                    kernel, work, members, self.layouts[fmt], bounds, data, findings, first, last
                )
                any_odd = any_odd or odd
                most, least = max(most, largest), min(least, smallest)
            missing: Array | None = None
            if any_odd:
                refuse_infinite(given)
                missing = np.asarray(np.isnan(members).any(axis=1))
            data_rows = self.rows_of_float64 if dtype == FLOAT64 else self.rows
            columns.append(
                Columns(bounds, data, data_rows, missing, fills_bounds=self.fills_bounds)
            )
        return columns, most, least

    def prepare(
        self, given1: Input, given2: Input, metric: Any, order: Array | None = None, phase: int = 0
    ) -> tuple[Columns, Columns]:
        """Columns of two sets (see `Geometry.prepare`)."""
        dtype, fmt = result_dtype(given1, given2), given1.fmt
        givens = [given1] if given2.array is given1.array else [given1, given2]
        sets = [given.array.reshape(-1, given.array.shape[-1]) for given in givens]
        if order is not None:
            sets = [chunks.taken(members, order) for members in sets]
        if all(members.dtype.kind in "biu" for members in sets):
            floats = exact_floats(sets, fmt, self.dimensions)
            if floats is None:
                assert isinstance(given1.geometry, Geometry)
                raise ValueError(
                    f"integer coordinates of {given1.geometry.plural} must lie within "
                    f"{EXACT_SPAN:,} of each other, got more in {given1.name} and {given2.name}; "
                    "compare sets that lie far apart by themselves"
                )
            sets = floats
        if fmt in self.widened:
            dtype = FLOAT64
        fill = functools.partial(self._filled, fmt=fmt, givens=givens, phase=phase)
        lengths = slice(2 * self.dimensions)
        columns = fill_within_limits(sets, dtype, fill, lengths, self.dimensions)
        return columns[0], columns[-1]

    def small(self) -> Small:
        """How members are prepared inside a compiled call."""
        fill = self.fill

        @inlined
        @named(self.label)
        def fill_some(
            members: Array, first: int, last: int, layout: int, columns: Array
        ) -> tuple[bool, float, float]:
            return fill(members, first, last, layout, columns[:4], columns[4:])

        def layout_of(fmt: str, metric: Any, dtype: np.dtype[Any]) -> int | None:
            return None if fmt in self.widened and dtype != FLOAT64 else self.layouts[fmt]

        return Small(
            self.rows, layout_of, lambda metric: fill_some,
            functools.partial(limits, dimensions=self.dimensions), self.widened,
            2 * self.dimensions, self.dimensions, fills_bounds=lambda layout: self.fills_bounds,
        )  # fmt: skip
