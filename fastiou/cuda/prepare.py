"""Members on a GPU made ready for its kernels, without the host.

A thread prepares one member, by the very function that prepares a few on a CPU (`Geometry.small`).
What hangs on a set as a whole is found on the way, and stays on the GPU: whether all numbers are
fit for the arithmetic of the dtype. Whether they are decides on what comes next, and the host does
not know. So both ways are launched, and in one of them each thread ends at once.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from fastiou.geometry import EXACT, PADDING, Columns, Geometry, Small
from fastiou.metrics import Metric
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import magnified
from fastiou.typing import Array

__all__ = [
    "ANY_WAY",
    "EXPONENT",
    "MISSING",
    "WAY",
    "Layouts",
    "Ready",
    "copied",
    "empty_columns",
    "exponent_of",
    "first_refused",
    "layouts_of",
    "note",
    "prepared",
    "shape_of_columns",
]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)

#: Threads of a block.
THREADS = 128

#: What is known of two sets as a whole, int64: in which way they are prepared; by which power of
#: two what is shared is magnified; whether a member is missing; and the first that is to be
#: refused, counted over both sets, `NONE` if none is.
WAY, EXPONENT, MISSING, REFUSED, NOTES = range(5)
NONE = 2**63 - 1

#: The same in float64: the largest corner, the smallest area, and the largest of all lengths given.
LARGEST, SMALLEST, HIGHEST, FINDINGS = range(4)

#: Of a kernel that there is no choice of.
ANY_WAY = -1

#: Columns of a GPU are as long as some times so many: loads of 16 bytes begin anywhere in a row.
ALIGNED = 16


class Ready(NamedTuple):
    """Both sets of a call as the kernels of a GPU read them."""

    #: Bounds and data of the first set, and of the second; of each way in which they may be
    #: prepared, of which `notes` have the one that holds.
    ways: tuple[tuple[Any, Any, Any, Any], ...]
    #: Of each set (n,) bool, which members are missing; (0,) where none is.
    missing: tuple[Any, Any]
    #: (NOTES,) int64.
    notes: Any


class Layouts(NamedTuple):
    """The numbers of a format in the functions that fill columns, and their types."""

    #: Of both sets, as they are prepared at first.
    first: tuple[int, int]
    #: And once more, where numbers are too large or too small for the first way.
    second: tuple[int, int]
    dtype: np.dtype[Any]
    #: Whether both sets are integers and one is of 64 bits.
    is_long: bool

    def noted(self, small: Small, numbers: int) -> int:
        """Of how many of the numbers of a member the largest is told."""
        if self.is_long:
            return numbers
        return small.lengths if self.dtype == FLOAT64 else 0

    def leaves_to_host(self, findings: Array) -> bool:
        """Whether there are integers that are to be moved to an origin, which the host finds."""
        return self.is_long and findings[HIGHEST] > EXACT


def layouts_of(
    geometry: Geometry,
    fmt: str,
    metric: Metric,
    sources: tuple[np.dtype[Any], np.dtype[Any]],
    dtype: np.dtype[Any],
) -> Layouts | None:
    """How members of two dtypes are prepared for scores of `dtype`; None where a GPU cannot.

    These are angles of complete IoU, for which NumPy's arctangents are asked, and integers of 64
    bits in formats of which the origin decides how they are rounded.
    """
    small = geometry.small
    if small is None:
        return None
    is_long = all(some.kind in "biu" for some in sources) and max(s.itemsize for s in sources) == 8
    wide = small.layout(fmt, metric, FLOAT64)
    if wide is None or (is_long and fmt in small.moved):
        return None
    own = small.layout(fmt, metric, dtype)
    layout, dtype = (wide, FLOAT64) if own is None else (own, dtype)
    added = [small.source(source) for source in sources]
    first, second = (tuple(number + more for more in added) for number in (layout, wide))
    return Layouts((first[0], first[1]), (second[0], second[1]), dtype, is_long)


# ---- kernels -----------------------------------------------------------------------------------


def _start(findings: Any, notes: Any) -> None:
    """Begin with nothing found."""
    findings[LARGEST] = findings[HIGHEST] = 0.0
    findings[SMALLEST] = np.inf
    notes[WAY] = notes[EXPONENT] = notes[MISSING] = 0
    notes[REFUSED] = NONE


#: `(findings, notes)`, by one thread.
START = CudaKernel(_start, "start")


def note(
    members: Any,
    i: int,
    lengths: int,
    before: int,
    found: tuple[bool, float, float],
    findings: Any,
    notes: Any,
) -> None:
    """Note what was found when a member was prepared (see `Small.fill`).

    Of the first so many `lengths` of each the largest is found, too. `before` is how many members
    come before these among all that may be refused.
    """
    odd, largest, smallest = found
    if odd:
        notes[MISSING] = 1
        is_missing = False
        is_infinite = False
        for k in range(members.shape[1]):
            value = members[i, k]
            is_missing = is_missing or value != value
            is_infinite = is_infinite or (value == value and value - value != 0)
        if is_infinite or not is_missing:
            cuda.atomic.min(notes, REFUSED, before + i)
    # What others found may be old here: then one asks in vain.
    if largest > findings[LARGEST]:
        cuda.atomic.max(findings, LARGEST, np.float64(largest))
    if smallest < findings[SMALLEST]:
        cuda.atomic.min(findings, SMALLEST, np.float64(smallest))
    for k in range(lengths):
        size = abs(np.float64(members[i, k]))
        if size < np.inf and size > findings[HIGHEST]:
            cuda.atomic.max(findings, HIGHEST, size)


def exponent_of(most: float, highest: float) -> int:
    """The power of two that takes the largest of all lengths to the limit, and rounds nothing."""
    _, power = math.frexp(most)
    _, power_of_highest = math.frexp(highest)
    return power - power_of_highest - 2


class PrepareKernels(NamedTuple):
    """The kernels that prepare the members of a geometry, a thread each."""

    #: `(members, layout, lengths, before, columns, missing, findings, notes)`
    first: CudaKernel
    #: `(members, given, layout, lengths, dimensions, most, least, columns, findings, notes)`
    second: CudaKernel


@functools.cache
def prepare_kernels(geometry: Geometry, is_ratio: bool, fill: Any) -> PrepareKernels:
    """Make the kernels that prepare members for ratio metrics, or for all."""

    def first(
        members: Any,
        layout: int,
        lengths: int,
        before: int,
        columns: Any,
        missing: Any,
        findings: Any,
        notes: Any,
    ) -> None:
        """Fill columns (rows, n + padding) of members (n, numbers), and tell what is missing."""
        i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if i >= members.shape[0]:
            return
        found = fill(members, i, i + 1, layout, columns)
        missing[i] = found[0]
        note(members, i, lengths, before, found, findings, notes)

    def second(
        members: Any,
        given: Any,
        layout: int,
        lengths: int,
        dimensions: int,
        most: float,
        least: float,
        columns: Any,
        findings: Any,
        notes: Any,
    ) -> None:
        """Fill columns once more, of float64, where the first way does not do.

        Without any `lengths` numbers stay as they are, else they are magnified (see `exponent_of`).
        `given` (n, numbers) float64 is room for the members.
        """
        i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if i >= members.shape[0] or (findings[LARGEST] <= most and findings[SMALLEST] >= least):
            return
        exponent = 0
        if lengths > 0:
            exponent = exponent_of(most, findings[HIGHEST])
        if i == 0:
            notes[WAY] = 1
            notes[EXPONENT] = dimensions * exponent
        for k in range(members.shape[1]):
            value = np.float64(members[i, k])
            given[i, k] = magnified(value, exponent) if k < lengths else value
        fill(given, i, i + 1, layout, columns)

    label = f"{geometry.label}-{'ratio' if is_ratio else 'all'}"
    return PrepareKernels(
        CudaKernel(first, f"prepare-{label}", one_lane=True),
        CudaKernel(second, f"prepare-again-{label}", one_lane=True),
    )


# ---- what the host does ------------------------------------------------------------------------


def prepared(
    work: Work, geometry: Geometry, metric: Metric, layouts: Layouts, members: tuple[Any, Any]
) -> Ready | None:
    """Prepare two sets (n, numbers) on a GPU, or one that is given twice.

    It waits for integers of 64 bits alone, and gives None where these are left to the host.
    """
    small, dtype = geometry.small, layouts.dtype
    assert small is not None
    kernels = prepare_kernels(geometry, metric.is_ratio, small.fill(metric))
    most, least = small.limits(dtype)
    threads = threads_of_block(THREADS)
    sets = members if members[1] is not members[0] else members[:1]
    findings, notes = work.empty(FINDINGS, np.float64), work.empty(NOTES, np.int64)
    START.launch(1, 1, work.stream, findings, notes)
    lengths = layouts.noted(small, members[0].shape[1])
    columns, missing, before = [], [], 0
    for some, layout in zip(sets, layouts.first, strict=False):
        count = len(some)
        columns.append(empty_columns(work, small.data_rows, count, dtype))
        missing.append(work.empty(count, np.bool_))
        if count:
            kernels.first.launch(
                blocks_for(count, threads), threads, work.stream, some, layout, lengths, before,
                columns[-1], missing[-1], findings, notes,
            )  # fmt: skip
        before += count
    if layouts.is_long and layouts.leaves_to_host(work.to_host(findings)):
        return None
    ways = [_both(columns)]
    if dtype == FLOAT32:
        columns = [empty_columns(work, small.data_rows, len(some), FLOAT64) for some in sets]
        ways.append(_both(columns))
    for some, layout, again in zip(sets, layouts.second, columns, strict=False):
        if len(some):
            kernels.second.launch(
                blocks_for(len(some), threads), threads, work.stream, some,
                work.empty(some.shape, np.float64), layout, small.lengths * (dtype == FLOAT64),
                small.dimensions, most, least,
                again, findings, notes,
            )  # fmt: skip
    return Ready(tuple(ways), (missing[0], missing[-1]), notes)


def shape_of_columns(data_rows: int, count: int) -> tuple[int, int]:
    """The shape of the columns of a set."""
    return 4 + data_rows, -(-(count + PADDING) // ALIGNED) * ALIGNED


def empty_columns(work: Work, data_rows: int, count: int, dtype: np.dtype[Any]) -> Any:
    """Room for the columns of a set, bounds first."""
    return work.empty(shape_of_columns(data_rows, count), dtype)


def _both(columns: list[Any]) -> tuple[Any, Any, Any, Any]:
    """Bounds and data of both sets."""
    one, other = columns[0], columns[-1]
    return one[:4], one[4:], other[:4], other[4:]


def copied(work: Work, columns1: Columns, columns2: Columns, has_units: bool) -> Ready:
    """What the host prepared, on a GPU."""
    none = np.empty(0, np.bool_)
    missing = [none if some.missing is None else some.missing for some in (columns1, columns2)]
    notes = np.zeros(NOTES, np.int64)
    notes[EXPONENT] = columns1.exponent if has_units else 0
    notes[MISSING] = any(len(some) for some in missing)
    notes[REFUSED] = NONE
    sets = [work.copied(part) for some in (columns1, columns2) for part in (some.bounds, some.data)]
    return Ready(
        ((sets[0], sets[1], sets[2], sets[3]),),
        (work.copied(missing[0]), work.copied(missing[1])),
        work.copied(notes),
    )


def first_refused(work: Work, ready: Ready) -> int | None:
    """The first member that is to be refused, counted over both sets. It waits for the GPU."""
    notes: Array = work.to_host(ready.notes)
    return None if notes[REFUSED] == NONE else int(notes[REFUSED])
