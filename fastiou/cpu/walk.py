"""The broad phase: an index over bounds, in which what may overlap a member is a few slices.

The members of a set are parted into blocks: one for each group, or, where a group is large, one for
each class of sizes in it. A large block is cut into bands by the tops of its members, as many in
each, and the bands into cells by their left sides. Members are kept in the order of blocks, bands
and cells, so that the cells of a band from one to another are one contiguous slice.

Cuts follow the members and not the ground: a plain grid puts far apart clusters into one cell each.
`docs/design/006-search.md` has the measurements; `grid` builds the index.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from fastiou.metrics import product
from fastiou.runtime.vectors import address, always_inlined, float64_at, int32_at, int64_at
from fastiou.typing import Array

__all__ = [
    "Grid",
    "addresses",
    "begins_between",
    "bounds_of",
    "group_of",
    "interval",
    "is_one_cell",
    "is_over",
    "longest",
    "may_share",
    "next_slice",
    "slice_of",
    "walk_over",
    "widened",
]


# Columns of `Grid.extents`, and how many: first what is measured as a minimum, then as a maximum.
LONG, LEAST_LEFT, LEAST_TOP, WIDTH, HEIGHT, MOST_LEFT, MOST_TOP = range(7)
MINIMA, MEASURED = 3, 7
TOP, PER_TOP, LEFT, PER_LEFT, EXTENTS = range(7, 12)

# Columns of `Grid.layout`, and how many.
BAND, CELL, BANDS, CELLS, EDGES_Y, PLACES_Y, STEPS_Y, EDGES_X, PLACES_X, STEPS_X, LAYOUT = range(11)


class Grid(NamedTuple):
    """An index over a set of boxes, as the kernels read it."""

    #: (groups + 1,) int32: the first block of each group.
    blocks: Array
    #: (blocks, 11) float64: of its boxes the shortest of the longer sides, the least left and top,
    #: the largest width and height, the largest left and top; and, for y and for x, the first edge
    #: and how many steps make a unit.
    extents: Array
    #: (blocks, 10) int64: first band and cell, how many bands, and cells in each; for y and for x,
    #: where its edges and its places begin, and how many steps they have.
    layout: Array
    #: float64: from which value on a band, or a cell, begins. The first of a block counts as -∞.
    edges: Array
    #: int32: for each step between the first edge and the last, where to look among the edges.
    places: Array
    #: (cells + 1,) int32: where each cell begins.
    starts: Array


@register_jitable
def group_of(groups: Array, i: int) -> int:
    """Group of a box. One for all saves the memory of an array of zeros."""
    always_inlined()
    return np.int64(groups[i] if len(groups) > 1 else groups[0])


@register_jitable
def interval(
    value: float,
    extents: int,
    layout: int,
    edges: int,
    places: int,
    extent: int,
    column: int,
) -> int:
    """Largest interval of an axis that begins at or below a value.

    The first four are addresses, `extents` and `layout` those of a block's rows; `extent` and
    `column` tell where in them the axis begins.
    """
    always_inlined()
    step = (value - float64_at(extents, extent)) * float64_at(extents, extent + 1)
    place = int64_at(layout, column + 1)
    if step > 0.0:
        steps = int64_at(layout, column + 2)
        place += int(min(step, np.float64(steps - 1)))
    low = int32_at(places, place)
    high = int32_at(places, place + 1)
    first_edge = int64_at(layout, column)
    while low < high:
        middle = (low + high + 1) >> 1
        if float64_at(edges, first_edge + middle) <= value:
            low = middle
        else:
            high = middle - 1
    return low


@register_jitable
def addresses(extents: Array, layout: Array, edges: Array, places: Array) -> Any:
    """What `next_slice` takes for a grid."""
    return address(extents), address(layout), address(edges), address(places)


@register_jitable
def bounds_of(member: Any) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a member, as the grid takes them."""
    always_inlined()
    return (
        np.float64(member[0]),
        np.float64(member[1]),
        np.float64(member[2]),
        np.float64(member[3]),
    )


@register_jitable
def begins_between(
    low: float, high: float, largest: float, share1: float, share2: float
) -> tuple[float, float]:
    """Between which values those begin, at most `largest` long, that reach far enough in.

    So far in that they share `share1` of the length from `low` to `high`, and `share2` of their
    own.
    """
    always_inlined()
    size = high - low
    # What lies further left and is no wider does not reach far enough in. A bit more for rounding,
    # by which giou can rise above 0 for boxes that only touch.
    spare = product(1e-5, size + largest)
    first = low - (largest - max(share1 * size, share2 * largest)) - spare
    first -= product(5e-16, abs(low))
    last = high - product(share1, size) + spare + product(5e-16, abs(high))
    return first, last


@register_jitable
def widened(low: Any, high: Any, reach: float, rounding: float) -> tuple[Any, Any]:
    """Both ends of intervals that reach so many half lengths from their middles; empty ones stay.

    `rounding` is the machine epsilon. It serves arrays and, compiled, numbers.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    half = (half > 0) * (reach * half + 4 * rounding * (abs(middle) + reach * half))
    return middle - half, middle + half


@register_jitable
def may_share(
    width: float,
    height: float,
    widest: float,
    highest: float,
    long: float,
    share1: float,
    share2: float,
) -> bool:
    """Whether sizes alone let a box share enough with one of those no wider and no higher.

    The longer side of each of these is at least `long`.
    """
    always_inlined()
    small = share1 * width > widest or share1 * height > highest
    large = share2 * long > max(width, height)
    covered = min(width, widest) * min(height, highest)
    return not (small or large or covered < share1 * (width * height))


@register_jitable
def longest(size: float, largest: float, share2: float) -> float:
    """The longest, up to `largest`, of which one of a size can be `share2`."""
    always_inlined()
    return min(largest, size / share2) if share2 > 0.0 else largest


@register_jitable
def _reached(
    grid: tuple[int, int, int, int],
    low: float,
    high: float,
    largest: float,
    shares: tuple[float, float],
    least: int,
    most: int,
    count: int,
    axis: int,
    edges_of_axis: int,
) -> tuple[int, int]:
    """First and last interval of an axis where those that reach far enough begin; 0, -1 if none.

    `grid` has the addresses of a block's rows; `least`, `most` and `axis` tell where in its extents
    the axis is, `count` and `edges_of_axis` where in its layout. The others are at most `largest`
    long.
    """
    always_inlined()
    extents, layout, edges, places = grid
    first, last = begins_between(low, high, largest, shares[0], shares[1])
    if last < float64_at(extents, least) or first > float64_at(extents, most):
        return 0, -1
    if int64_at(layout, count) == 1:
        return 0, 0
    return (
        interval(first, extents, layout, edges, places, axis, edges_of_axis),
        interval(last, extents, layout, edges, places, axis, edges_of_axis),
    )


@register_jitable
def _reach(
    grid: tuple[int, int, int, int],
    b: int,
    bounds: tuple[float, float, float, float],
    share1: float,
    share2: float,
) -> tuple[int, int, int, int]:
    """Slices of a block whose boxes may score enough with a box of such bounds.

    To score enough, both sides of what two boxes share must be `share1` of the sides of the first
    and `share2` of those of the second. Returns `first, end, step, width`: for each `cell` of
    `range(first, end, step)` the slice of one band goes from `starts[cell]` to
    `starts[cell + width]`. There is none where the sizes alone rule it out.
    """
    always_inlined()
    left, top, right, bottom = bounds
    extents, layout, edges, places = grid
    extents += 8 * EXTENTS * b
    layout += 8 * LAYOUT * b
    grid_of_block = extents, layout, edges, places
    width = right - left
    height = bottom - top
    widest = float64_at(extents, WIDTH)
    highest = float64_at(extents, HEIGHT)
    long = float64_at(extents, LONG)
    if not may_share(width, height, widest, highest, long, share1, share2):
        return 0, 0, 1, 1
    widest = longest(width, widest, share2)
    highest = longest(height, highest, share2)
    shares = share1, share2
    first_cell, last_cell = _reached(
        grid_of_block, left, right, widest, shares, LEAST_LEFT, MOST_LEFT, CELLS, LEFT, EDGES_X
    )
    first_band, last_band = _reached(
        grid_of_block, top, bottom, highest, shares, LEAST_TOP, MOST_TOP, BANDS, TOP, EDGES_Y
    )
    if last_cell < 0 or last_band < 0:
        return 0, 0, 1, 1
    cells = int64_at(layout, CELLS)
    begin = int64_at(layout, CELL)
    if cells == 1:  # bands of one column lie side by side
        first_cell, last_cell = first_band, last_band
        first_band, last_band, cells = 0, 0, last_cell + 1
    return (
        begin + first_band * cells + first_cell,
        begin + (last_band + 1) * cells,
        cells,
        last_cell - first_cell + 1,
    )


# ---- the walk over slices ----------------------------------------------------------------------

# A walk is a tuple: the block it is in, where the blocks of its group end, the first cell of the
# slice, where the cells of the block end, from one band to the next, and the cells of a slice.
Walk = tuple[int, int, int, int, int, int]


@register_jitable
def walk_over(blocks: Array, group: int) -> Walk:
    """Begin a walk over the slices of a group. `next_slice` finds the first."""
    always_inlined()
    return np.int64(blocks[group]) - 1, np.int64(blocks[group + 1]), 0, 0, 1, 1


@register_jitable
def next_slice(
    grid: tuple[int, int, int, int],
    walk: Walk,
    bounds: tuple[float, float, float, float],
    share1: float,
    share2: float,
) -> Walk:
    """Go on to the next slice whose members may score enough with a member of such bounds.

    To score enough, both sides of what two share must be `share1` of the sides of the member and
    `share2` of those of the other.
    """
    always_inlined()
    block, end_block, cell, end_cell, step, width = walk
    cell += step
    while cell >= end_cell:
        block += 1
        if block >= end_block:
            return end_block, end_block, 0, 0, 1, 1
        cell, end_cell, step, width = _reach(grid, block, bounds, share1, share2)
    return block, end_block, cell, end_cell, step, width


@register_jitable
def is_over(walk: Walk) -> bool:
    """Whether there was no next slice."""
    always_inlined()
    return walk[0] == walk[1]


@register_jitable
def slice_of(starts: Array, walk: Walk) -> tuple[int, int]:
    """First and last of the slice that a walk is at."""
    always_inlined()
    return np.int64(starts[walk[2]]), np.int64(starts[walk[2] + walk[5]])


@register_jitable
def is_one_cell(walk: Walk) -> bool:
    """Whether the slice is one cell, which keeps the order that the caller gave its members."""
    always_inlined()
    return walk[5] == 1
