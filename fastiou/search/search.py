"""Two sets made ready to be searched: prepared, grouped, and in the order of a grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays.inputs import Input, result_dtype
from fastiou.cpu.walk import Grid, widened
from fastiou.geometry import PADDING, Columns, Geometry
from fastiou.metrics import Metric
from fastiou.runtime.steps import spans
from fastiou.search.grid_plan import (
    CUTS,
    Plan,
    for_rows,
    levels_of,
    plan_grid,
    reorder,
    sort_members,
)
from fastiou.typing import Array

__all__ = [
    "SCORES_OF_A_QUERY",
    "THIRD",
    "BuiltSet",
    "Search",
    "are_exact",
    "build_set",
    "check_sizes",
    "even_cuts",
    "reach_out",
    "row_steps",
    "search",
    "search_built",
]


#: What asking the grid takes, in scores, beyond those of the candidates.
SCORES_OF_A_QUERY = 64

#: Coordinates up to which float64, which the grid is made of, holds every integer.
EXACT = 2**53

#: The axis that bounds leave out as they are prepared, and about how many members tell of another.
THIRD = 2
SAMPLED = 4096

#: A set in the order of the search, without what overlaps nothing, as kernels read it: its bounds
#: and data; (n + padding,) int32, the row of each in the caller's set; and (n,) int32, the group of
#: each, as `group_codes` numbers them, or (1,) if all are of one.
Ordered = tuple[Array, Array, Array, Array]


class Search(NamedTuple):
    """Two sets and the grid over the second."""

    geometry: Geometry
    metric: Metric
    dtype: np.dtype[Any]
    set1: Ordered
    set2: Ordered
    grid: Grid
    #: What two that score enough must share of the sides of the first, and of the second.
    share1: float
    share2: float
    itself: bool
    #: By which power of two what is shared is magnified.
    exponent: int
    #: What a candidate takes, in scores of boxes.
    cost: int

    @property
    def size(self) -> int:
        """Members of the first set that may overlap something."""
        return len(self.set1[2]) - PADDING

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The first arguments of every kernel that searches.

        They are plain tuples: of named ones Numba takes 20 µs to find out the type.
        """
        return self.set1, self.set2, tuple(self.grid), self.share1, self.share2


def search(
    set1: Input,
    set2: Input,
    metric: Metric,
    threshold: float,
    codes: tuple[Array, Array, int],
    *,
    order: Array | None = None,
    score_as: Metric | None = None,
) -> Search:
    """Build the grid, and put both sets in its order.

    Parameters
    ----------
    set1, set2
        The sets; the same twice for one that is compared with itself.
    metric, threshold
        What the search is for. Pairs that score less may be passed over.
    codes
        From `group_codes`; -1 leaves a member of the second set out.
    order
        Some members of a set that is compared with itself, in another order. Then `codes` are
        theirs.
    score_as
        Metric that areas are made for, if it is another.
    """
    assert set1.geometry is not None
    geometry, itself = set1.geometry, set2 is set1
    codes1, codes2, group_count = codes
    sizes = (set1.size, set2.size) if order is None else (len(order), len(order))
    check_sizes(sizes)
    columns1, columns2 = geometry.prepare(set1, set2, score_as or metric, order)
    one_of_each = (columns1,) if columns2.bounds is columns1.bounds else (columns1, columns2)
    left_out = axis_left_out(geometry, columns1, columns2)
    for columns in one_of_each:
        _leave_out(geometry, columns, left_out)
        reach_out(columns, metric, threshold)
    share1, share2 = metric.sides(threshold * (1 - 2**-10))  # a bit less for rounding
    if not (columns1.fills_bounds and columns2.fills_bounds):
        share1 = share2 = 0.0
    bounds1, bounds2 = columns1.bounds, columns2.bounds
    levels1 = levels_of(bounds1, sizes[0])
    levels2 = levels1 if bounds1 is bounds2 else levels_of(bounds2, sizes[1])
    cost = geometry.cost(columns2)
    has_grid = are_exact(bounds1) and are_exact(bounds2)
    plan = plan_grid(
        bounds2, levels1, levels2, codes1, codes2, group_count, cost if has_grid else 0
    )

    one = bounds1 is bounds2 and (codes1 is codes2 or np.array_equal(codes1, codes2))
    order2, starts = sort_members(plan, bounds2, levels2, codes2, main=False)
    if not one:
        order1, _ = sort_members(for_rows(plan), bounds1, levels1, codes1, main=True)
    ordered2 = _ordered(columns2, order2, codes2, again=bounds1 is bounds2 and not one)
    ordered1 = ordered2 if one else _ordered(columns1, order1, codes1)
    return Search(
        geometry, metric, result_dtype(set1, set2), ordered1, ordered2, _grid_of(plan, starts),
        share1, share2, itself, columns1.exponent, cost,
    )  # fmt: skip


def check_sizes(sizes: tuple[int, int]) -> None:
    """Raise a ValueError for more members than int32 numbers."""
    for given, size in zip("ab", sizes, strict=True):
        if size >= 2**31 - PADDING:
            raise ValueError(f"{given} must have fewer than 2**31 members, got {size:,}")


def axis_left_out(geometry: Geometry, columns1: Columns, columns2: Columns) -> int:
    """The axis along which the most of both sets overlap by chance: the third where there are two.

    That is by how long members are, beside how far they lie apart.
    """
    if geometry.depth is None:
        return THIRD
    shares = []
    for axis in range(3):
        lows, lengths = [], 0.0
        for columns in (columns1, columns2):
            low, high = _ends_along(geometry, columns, axis)
            low, high = (ends[: -PADDING : 1 + len(ends) // SAMPLED] for ends in (low, high))
            there = low < high  # neither empty nor missing
            lows.append(low[there].astype(np.float64))
            lengths += float(np.mean(high[there] - lows[-1])) if there.any() else 0.0
        both = np.concatenate(lows)
        apart = float(np.subtract(*np.percentile(both, (95, 5)))) if len(both) else 0.0
        shares.append(lengths / (apart + lengths) if lengths > 0 else 0.0)
    worst = max(shares)
    return THIRD if shares[THIRD] == worst else shares.index(worst)


def _ends_along(geometry: Geometry, columns: Columns, axis: int) -> tuple[Array, Array]:
    """Low and high ends of members along one of three axes."""
    assert geometry.depth is not None
    if axis == THIRD:
        low, high = geometry.depth
        return columns.data[low], columns.data[high]
    return columns.bounds[axis], columns.bounds[axis + 2]


def _leave_out(geometry: Geometry, columns: Columns, axis: int) -> None:
    """Exchange the ends along an axis, of those in the bounds, with the ends along the third."""
    if axis != THIRD:
        own, others = (_ends_along(geometry, columns, number) for number in (axis, THIRD))
        for ends, other in zip(own, others, strict=True):
            ends[:], other[:] = other.copy(), ends.copy()


def reach_out(columns: Columns, metric: Metric, threshold: float) -> None:
    """Make bounds overlap for all that score `threshold` with one another, by the metric."""
    reach = metric.reach(threshold)
    if reach != 1:
        low, high = columns.bounds[:2], columns.bounds[2:4]
        low[:], high[:] = widened(low, high, reach, float(np.finfo(low.dtype).eps))


def _ordered(columns: Columns, order: Array, codes: Array, *, again: bool = False) -> Ordered:
    # In place, unless the other set is made of the same: three sets of columns less at once.
    bounds, data = columns.bounds, columns.data
    if again:
        bounds, data = bounds.copy(), data.copy() if columns.data_rows else data
    reorder(bounds, order[:-PADDING])
    if columns.data_rows:
        reorder(data[: columns.data_rows], order[:-PADDING])
    return bounds, data, order, codes[order[:-PADDING]] if len(codes) > 1 else codes


def _grid_of(plan: Plan, starts: Array) -> Grid:
    return Grid(plan.blocks, plan.extents, plan.layout, plan.edges, plan.places, starts)


# ---- a set that is searched again --------------------------------------------------------------


class BuiltSet(NamedTuple):
    """The second set of searches, with its grid. It can be pickled."""

    ordered: Ordered
    grid: Grid
    #: By what sets that ask are ordered.
    plan: Plan
    dtype: np.dtype[Any]
    fills_bounds: bool
    exponent: int
    cost: int
    #: The axis that its bounds leave out.
    left_out: int


def build_set(given: Input, metric: Metric, codes: Array, group_count: int) -> BuiltSet:
    """Prepare a set as the second one of searches for a metric, in the dtype of its scores."""
    assert given.geometry is not None
    columns, _ = given.geometry.prepare(given, given, metric)
    left_out = axis_left_out(given.geometry, columns, columns)
    _leave_out(given.geometry, columns, left_out)
    reach_out(columns, metric, 0.0)
    levels = levels_of(columns.bounds, given.size)
    cost = given.geometry.cost(columns)
    plan = plan_grid(
        columns.bounds, levels, levels, codes, codes, group_count,
        cost if are_exact(columns.bounds) else 0,
    )  # fmt: skip
    order, starts = sort_members(plan, columns.bounds, levels, codes, main=False)
    return BuiltSet(
        _ordered(columns, order, codes), _grid_of(plan, starts), for_rows(plan),
        result_dtype(given),
        columns.fills_bounds, columns.exponent, cost, left_out,
    )  # fmt: skip


def search_built(
    built: BuiltSet, given: Input, metric: Metric, threshold: float, codes: Array
) -> Search | None:
    """Search a set that was built; None where both must be prepared together.

    Coordinates that are too large or too small for the dtype are magnified by as much in both. A
    set that was built has none of these.
    """
    assert given.geometry is not None
    columns, _ = given.geometry.prepare(given, given, metric)
    if columns.exponent != 0 or columns.bounds.dtype != built.ordered[0].dtype:
        return None
    _leave_out(given.geometry, columns, built.left_out)
    reach_out(columns, metric, threshold)
    share1, share2 = metric.sides(threshold * (1 - 2**-10))
    if not (columns.fills_bounds and built.fills_bounds):
        share1 = share2 = 0.0
    levels = levels_of(columns.bounds, given.size)
    order, _ = sort_members(built.plan, columns.bounds, levels, codes, main=True)
    return Search(
        given.geometry, metric, built.dtype, _ordered(columns, order, codes), built.ordered,
        built.grid, share1, share2, False, 0, built.cost,
    )  # fmt: skip


def are_exact(bounds: Array) -> bool:
    """Whether float64 holds all bounds exactly. Others get no grid."""
    sides = bounds[:4]
    return sides.dtype != np.int64 or (int(sides.min()) >= -EXACT and int(sides.max()) <= EXACT)


# ---- steps -------------------------------------------------------------------------------------


def row_steps(cumulative: Array, unit: int, count: int) -> Iterator[tuple[Array, int, int]]:
    """Cut `count` rows into steps: row numbers to cut at, work in the step, and work so far.

    `cumulative` is the work before each `unit` of rows, in scores of boxes.
    """
    for first, last, work in spans(cumulative):
        cuts = even_cuts(cumulative, first, last)
        yield np.minimum(cuts * unit, count), work, int(cumulative[last])


def even_cuts(cumulative: Array, first: int, last: int) -> Array:
    """Cut a range of rows into parts of about as much work, at most `CUTS`."""
    if last - first <= CUTS:
        return np.arange(first, last + 1)
    done, before = int(cumulative[last]), int(cumulative[first])
    targets = before + (done - before) * np.arange(CUTS + 1) // CUTS
    cuts = np.unique(np.searchsorted(cumulative[first : last + 1], targets) + first)
    cuts[0], cuts[-1] = first, last
    return cuts
