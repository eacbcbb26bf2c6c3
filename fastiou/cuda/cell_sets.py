"""Sets on a GPU that are put into cells: what the host launches, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastiou.cuda.cells import (
    ENTER_READY,
    LEVELS,
    LOWEST,
    MAGNIFY,
    PLACE,
    PUT,
    START_CELLS,
    STRIP,
    TOLD,
    WIDEST_INTEGERS,
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
    shape_of_columns,
)
from fastiou.geometry import Columns, Geometry
from fastiou.metrics import Metric
from fastiou.runtime.gpu import Work
from fastiou.typing import Array

__all__ = ["Cells", "RefusedError", "Sides", "asked"]

#: Slots of the table for each member, about.
SLOTS_OF_A_MEMBER = 2

#: Cells of a class up to which a thread looks into them by itself. Otherwise all of a block do.
FEW_CELLS = 64

#: Limits of arithmetic that all numbers are fit for.
ANY_NUMBER = np.inf, 0.0


class RefusedError(Exception):
    """A member is to be refused, which the host does, by its own words."""


class Sides(NamedTuple):
    """What is compared."""

    geometry: Geometry
    metric: Metric
    #: The metric that members are prepared for: another where crowds are compared.
    prepared_for: Metric
    #: That of the scores.
    dtype: np.dtype[Any]
    #: How many members there are.
    sizes: tuple[int, int]
    #: (n, numbers) and (m, numbers) on the GPU, the same twice for one; or `Columns` of the host;
    #: or what `Geometry.columns_on_gpu` tells.
    members: tuple[Any, Any]
    #: How they are prepared; None for the others.
    layouts: Layouts | None
    #: (n,) and (m,) integers on the GPU; None without groups.
    groups: tuple[Any, Any]
    #: Whether a set is compared with itself.
    itself: bool
    threshold: float
    #: Whether float64 holds all bounds of `Columns`.
    is_exact: bool
    #: `() -> ` the same with `Columns` of the host.
    by_host: Callable[[], Sides]

    @property
    def nbytes(self) -> int:
        """Bytes that the columns and the table take."""
        if self.geometry.columns_on_gpu is not None:
            columns = int(self.members[0])
        elif self.layouts is None:
            parts = {id(part): part.nbytes for some in self.members for part in some[:2]}
            columns = sum(parts.values())
        else:
            small = self.geometry.small
            assert small is not None
            sizes = self.sizes[1:] if self.members[0] is self.members[1] else self.sizes
            shapes = [shape_of_columns(small.data_rows, size) for size in sizes]
            columns = self.layouts.dtype.itemsize * sum(map(math.prod, shapes))
        return columns + 12 * self.sizes[1] + 8 * _slots_for(self.sizes[1]) + 4 * LEVELS


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
    search told nothing. Then all is done once more as float64, or magnified, or by the host.

    Raises
    ------
    RefusedError
        A member is to be refused.
    """
    small, layouts = sides.geometry.small, sides.layouts
    if layouts is None:
        cells = entered(work, sides)
    else:
        assert small is not None
        cells = entered(work, sides, layouts.first, small.limits(layouts.dtype))
    ask(cells)
    told: Array = work.to_host(cells.told)
    findings = told[NOTES:LOWEST].view(np.float64)
    if told[REFUSED] != NONE:
        raise RefusedError
    if layouts is None:
        return cells, told
    is_left = layouts.leaves_to_host(findings)
    if not is_left and fits(told, findings, *cells.limits):
        return cells, told
    assert small is not None
    most = cells.limits[0]
    del cells
    if is_left:
        own = sides.by_host()
        work.reserve(own.nbytes, "members that the host prepared")
        cells = entered(work, own)
        ask(cells)
        return cells, work.to_host(cells.told)
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
    cells = entered(work, again, layouts.second, exponent=small.dimensions * exponent)
    ask(cells)
    return cells, work.to_host(cells.told)


def entered(
    work: Work,
    sides: Sides,
    numbers: tuple[int, int] = (0, 0),
    limits: tuple[float, float] = ANY_NUMBER,
    exponent: int = 0,
) -> Cells:
    """Put members into cells, by four launches. `numbers` are those of the formats in `fill`."""
    count = sides.sizes[1]
    slots = _slots_for(count)
    levels, ranks, order = (work.empty(count, np.int32) for _ in range(3))
    counts, starts = work.empty(slots, np.int32), work.empty(slots, np.int32)
    is_taken, told = work.empty(LEVELS, np.int32), work.empty(TOLD, np.int64)
    findings = told[NOTES:LOWEST].view(np.float64)
    work.launch(START_CELLS, slots // STRIP, counts, is_taken, told, findings)
    groups1, groups2 = sides.groups
    if groups1 is None:
        groups1 = groups2 = work.empty(0, np.int32)
    table_in_the_making = groups2, levels, ranks, counts, is_taken, told
    if sides.layouts is None:
        given: tuple[Columns, Columns] = sides.members
        if sides.geometry.columns_on_gpu is not None:
            given = sides.members[1](work)
        exponent = given[0].exponent
        fills_bounds = sides.is_exact and all(some.fills_bounds for some in given)
        one, other = ((_there(work, some.bounds), _there(work, some.data)) for some in given)
        least_level = 0 if sides.is_exact else WIDEST_INTEGERS
        work.launch(
            ENTER_READY, max(sides.sizes), one[0], other[0], least_level, *table_in_the_making
        )
    else:
        one, other = _prepared(work, sides, numbers, *table_in_the_making, findings)
        small = sides.geometry.small
        assert small is not None
        fills_bounds = all(map(small.fills_bounds, numbers))
    work.launch(PLACE, slots // STRIP, counts, starts, told)
    work.launch(PUT, count, other[0], groups2, levels, ranks, slots, starts, order)
    shares = sides.metric.sides(sides.threshold * (1 - 2**-10))  # a bit less for rounding
    if not fills_bounds:
        shares = 0.0, 0.0
    table = levels, is_taken, counts, starts, order, groups2, told, FEW_CELLS
    return Cells(
        sides, (*one, groups1), (*other, groups2), table, told, findings, limits, shares, exponent
    )


def _there(work: Work, part: Any) -> Any:
    """A part of columns on the GPU, where it may be already."""
    return work.copied(part) if isinstance(part, np.ndarray) else part


def _prepared(
    work: Work, sides: Sides, numbers: tuple[int, int], *more: Any
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Bounds and data of both sets, prepared on the GPU; the second one is counted in its cells."""
    small, layouts = sides.geometry.small, sides.layouts
    assert small is not None
    assert layouts is not None
    members, dtype, metric = sides.members, layouts.dtype, sides.prepared_for
    count = sides.sizes[1]
    own_rows = 0 if members[1] is members[0] else sides.sizes[0]
    columns2 = empty_columns(work, small.data_rows, count, dtype)
    columns1 = empty_columns(work, small.data_rows, own_rows, dtype) if own_rows else columns2
    enter = enter_kernel(sides.geometry, metric.is_ratio, small.fill(metric))
    if own_rows + count:
        work.launch(
            enter, own_rows + count, *members, own_rows, *numbers,
            layouts.noted(small, members[0].shape[1]), sides.metric.reach(sides.threshold),
            float(np.finfo(dtype).eps), columns1, columns2, *more,
        )  # fmt: skip
    return (columns1[:4], columns1[4:]), (columns2[:4], columns2[4:])
