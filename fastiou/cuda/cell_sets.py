"""Sets on a GPU that are put into cells: what the host launches, and what it is told."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastiou.cuda.cells import (
    LEVELS,
    LOWEST,
    MAGNIFY,
    PLACE,
    PUT,
    START_CELLS,
    STRIP,
    TOLD,
    Table,
    enter_kernel,
    fits,
)
from fastiou.cuda.prepare import (
    FLOAT32,
    FLOAT64,
    HIGHEST,
    NONE,
    NOTES,
    REFUSED,
    Layouts,
    empty_columns,
    exponent_of,
)
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.gpu import Work
from fastiou.typing import Array

__all__ = ["Cells", "RefusedError", "Sides", "asked"]

#: Slots of the table for each member, about.
SLOTS_OF_A_MEMBER = 2

#: Cells of a class up to which a thread looks into them by itself. Otherwise all of a block do.
FEW_CELLS = 64


class RefusedError(Exception):
    """A member is to be refused, which the host does, by its own words."""


class Sides(NamedTuple):
    """What is compared, as it lies on the GPU."""

    geometry: Geometry
    metric: Metric
    #: That of the scores.
    dtype: np.dtype[Any]
    layouts: Layouts
    #: (n, numbers) and (m, numbers); the same twice for one.
    members: tuple[Any, Any]
    #: (n,) and (m,) integers; None without groups.
    groups: tuple[Any, Any]
    #: Whether a set is compared with itself.
    itself: bool
    threshold: float

    @property
    def sizes(self) -> tuple[int, int]:
        """How many members there are."""
        return len(self.members[0]), len(self.members[1])

    @property
    def nbytes(self) -> int:
        """Bytes that the columns and the table take."""
        small = self.geometry.small
        assert small is not None
        is_one = self.members[0] is self.members[1]
        rows = self.sizes[1] + (0 if is_one else self.sizes[0])
        columns = (4 + small.data_rows) * self.layouts.dtype.itemsize
        return columns * rows + 12 * self.sizes[1] + 8 * _slots_for(self.sizes[1]) + 4 * LEVELS


class Cells(NamedTuple):
    """Two sets on a GPU, prepared, the second one in cells."""

    sides: Sides
    #: Bounds, data and groups of either set.
    set1: tuple[Any, Any, Any]
    set2: tuple[Any, Any, Any]
    table: Table
    told: Any
    findings: Any
    #: The largest coordinate and the smallest area that the arithmetic is fit for; any, where both
    #: sets were prepared for their numbers.
    limits: tuple[float, float]
    shares: tuple[float, float]
    #: By which power of two what is shared is magnified.
    exponent: int


def _slots_for(count: int) -> int:
    """Slots for so many members: a power of two."""
    return max(STRIP, 1 << (SLOTS_OF_A_MEMBER * count - 1).bit_length())


def asked(work: Work, sides: Sides, ask: Any) -> tuple[Cells, Array]:
    """Put members into cells, let `ask(cells)` launch a search, and wait for what it tells.

    Where numbers turn out not to be fit for the arithmetic of their dtype, which is rare, the
    search told nothing. Then all is done once more as float64, or magnified.

    Raises
    ------
    RefusedError
        A member is to be refused.
    """
    small = sides.geometry.small
    assert small is not None
    layouts = sides.layouts
    cells = entered(work, sides, layouts.first, small.limits(layouts.dtype), 0)
    ask(cells)
    told: Array = work.to_host(cells.told)
    findings = told[NOTES:LOWEST].view(np.float64)
    if told[REFUSED] != NONE:
        raise RefusedError
    if fits(told, findings, *cells.limits):
        return cells, told
    most = cells.limits[0]
    del cells
    exponent = 0
    members = sides.members
    size = sum(8 * some.size for some in members)
    again = sides._replace(layouts=layouts._replace(dtype=FLOAT64))
    if layouts.dtype == FLOAT32:
        size = 0
    work.reserve(again.nbytes + size, "members that are magnified")
    if layouts.dtype == FLOAT64:
        exponent = exponent_of(most, float(findings[HIGHEST]))
        given = []
        for some in members[: 1 if members[1] is members[0] else 2]:
            given.append(work.empty(some.shape, FLOAT64))
            if len(some):
                work.launch(MAGNIFY, len(some), some, small.lengths, exponent, given[-1])
        again = again._replace(members=(given[0], given[-1]))
    any_number = np.inf, 0.0
    cells = entered(work, again, layouts.second, any_number, small.dimensions * exponent)
    ask(cells)
    return cells, work.to_host(cells.told)


def entered(
    work: Work,
    sides: Sides,
    numbers: tuple[int, int],
    limits: tuple[float, float],
    exponent: int,
) -> Cells:
    """Put members into cells, by four launches. `numbers` are those of the formats in `fill`."""
    small, dtype, metric = sides.geometry.small, sides.layouts.dtype, sides.metric
    assert small is not None
    members, count = sides.members, sides.sizes[1]
    own_rows = 0 if members[1] is members[0] else len(members[0])
    slots = _slots_for(count)
    columns2 = empty_columns(work, small.data_rows, count, dtype)
    columns1 = empty_columns(work, small.data_rows, own_rows, dtype) if own_rows else columns2
    levels, ranks, order = (work.empty(count, np.int32) for _ in range(3))
    counts, starts = work.empty(slots, np.int32), work.empty(slots, np.int32)
    is_taken, told = work.empty(LEVELS, np.int32), work.empty(TOLD, np.int64)
    findings = told[NOTES:LOWEST].view(np.float64)
    work.launch(START_CELLS, slots // STRIP, counts, is_taken, told, findings)
    groups1, groups2 = sides.groups
    if groups1 is None:
        groups1 = groups2 = work.empty(0, np.int32)
    enter = enter_kernel(sides.geometry, metric.is_ratio, small.fill(metric))
    if own_rows + count:
        work.launch(
            enter, own_rows + count, *members, own_rows, *numbers,
            small.lengths if dtype == FLOAT64 else 0, metric.reach(sides.threshold),
            float(np.finfo(dtype).eps), columns1, columns2, groups2, levels, ranks, counts,
            is_taken, told, findings,
        )  # fmt: skip
    work.launch(PLACE, slots // STRIP, counts, starts, told)
    work.launch(PUT, count, columns2, groups2, levels, ranks, slots, starts, order)
    shares = metric.sides(sides.threshold * (1 - 2**-10))  # a bit less for rounding
    if not all(map(small.fills_bounds, numbers)):
        shares = 0.0, 0.0
    table = levels, is_taken, counts, starts, order, groups2, told, FEW_CELLS
    return Cells(
        sides, (columns1[:4], columns1[4:], groups1), (columns2[:4], columns2[4:], groups2), table,
        told, findings, limits, shares, exponent,
    )  # fmt: skip
