"""The broad phase: an index over boxes, in which what may overlap a box is a few slices.

The boxes of a set are parted into blocks: one for each group, or, where a group is large, one for
each class of sizes in it. A large block is cut into bands by the tops of its boxes, as many boxes
in each, and the bands into cells by their left sides. Boxes are kept in the order of blocks, bands
and cells, so that the cells of a band from one to another are one contiguous slice.

Cuts follow the boxes and not the ground: a plain grid puts far apart clusters into one cell each.
`docs/design/006-search.md` has the measurements.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange
from numba.extending import register_jitable

from fastiou.metrics import product
from fastiou.runtime.kernel import Kernel, named
from fastiou.runtime.vectors import (
    address,
    always_inlined,
    float64_at,
    int32_at,
    int64_at,
)

__all__ = [
    "EMPTY",
    "FIND_BLOCKS",
    "MEASURE_LEVELS",
    "PLACE",
    "REORDER",
    "REORDER_ROWS",
    "SIZE_UP",
    "SORT_BANDS",
    "SPREAD",
    "Grid",
    "addresses",
    "bounds_of",
    "group_of",
    "reach",
]

Array = npt.NDArray[Any]

#: Level of a box that overlaps nothing, since it has no area.
EMPTY = -32768

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
def _sides(corners: Array, i: int) -> tuple[float, float]:
    return (
        np.float64(corners[2, i]) - np.float64(corners[0, i]),
        np.float64(corners[3, i]) - np.float64(corners[1, i]),
    )


@register_jitable
def group_of(groups: Array, i: int) -> int:
    """Group of a box. One for all saves the memory of an array of zeros."""
    always_inlined()
    return np.int64(groups[i] if len(groups) > 1 else groups[0])


# ---- classes of sizes --------------------------------------------------------------------------


def _measure_levels(corners: Array, block: int, levels: Array) -> None:
    """Half the exponent of the longer side of each box, so that a class spans a factor of 4."""
    for part in prange((len(levels) + block - 1) // block):
        for i in range(part * block, min((part + 1) * block, len(levels))):
            if corners[0, i] < corners[2, i] and corners[1, i] < corners[3, i]:
                width, height = _sides(corners, i)
                _, exponent = math.frexp(max(width, height))
                levels[i] = (exponent + 4096) >> 1
            else:
                levels[i] = EMPTY


#: `(corners, block, levels)`
MEASURE_LEVELS = Kernel(_measure_levels, "measure-levels")


def _size_up(
    corners: Array,
    levels: Array,
    groups: Array,
    class_of_group: Array,
    lowest: int,
    counts: Array,
    sizes: Array,
) -> None:
    """Count the boxes of each class of each large group, and find the extremes of their sides.

    `class_of_group` is the first class of a group, -1 for small ones. `counts` and `sizes` have a
    row for each thread's part.
    """
    parts = len(counts)
    block = (len(levels) + parts - 1) // parts
    for part in prange(parts):
        for i in range(part * block, min((part + 1) * block, len(levels))):
            group = group_of(groups, i)
            if levels[i] == EMPTY or group < 0 or class_of_group[group] < 0:
                continue
            number = class_of_group[group] + levels[i] - lowest
            width, height = _sides(corners, i)
            counts[part, number] += 1
            left, top = np.float64(corners[0, i]), np.float64(corners[1, i])
            own = sizes[part, number]
            own[LONG] = min(own[LONG], max(width, height))
            own[LEAST_LEFT] = min(own[LEAST_LEFT], left)
            own[LEAST_TOP] = min(own[LEAST_TOP], top)
            own[WIDTH] = max(own[WIDTH], width)
            own[HEIGHT] = max(own[HEIGHT], height)
            own[MOST_LEFT] = max(own[MOST_LEFT], left)
            own[MOST_TOP] = max(own[MOST_TOP], top)


#: `(corners, levels, groups, class_of_group, lowest, counts, sizes)`
SIZE_UP = Kernel(_size_up, "size-up")


# ---- putting boxes into bands and cells --------------------------------------------------------


@register_jitable
def _interval(
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
def _block(extents: Array, layout: Array, edges: Array, places: Array, b: int) -> Any:
    """Addresses of a block's rows, of the edges and of the places."""
    return (
        address(extents) + 8 * EXTENTS * b,
        address(layout) + 8 * LAYOUT * b,
        address(edges),
        address(places),
    )


def _place(
    corners: Array,
    levels: Array,
    groups: Array,
    class_of_group: Array,
    block_of_class: Array,
    main_block: Array,
    lowest: int,
    extents: Array,
    layout: Array,
    edges: Array,
    places: Array,
    bands: Array,
    cells: Array,
    counts: Array,
) -> None:
    """Find the band of each box, numbered over all blocks, and its cell in the band.

    A box of which `main_block` knows the group goes into that block, whatever its size; others
    into that of their class. Boxes that overlap nothing, or whose group has no block, get band -1.
    Cells are found only if there is room for them. `counts` has a row for each part of the boxes.
    """
    parts = len(counts)
    block = (len(levels) + parts - 1) // parts
    for part in prange(parts):
        for i in range(part * block, min((part + 1) * block, len(levels))):
            bands[i] = -1
            group = group_of(groups, i)
            if levels[i] == EMPTY or group < 0:
                continue
            b = main_block[group]
            if b < 0:
                if class_of_group[group] < 0:
                    continue
                b = block_of_class[class_of_group[group] + levels[i] - lowest]
            bands[i] = layout[b, BAND]
            if layout[b, BANDS] > 1:
                y = np.float64(corners[1, i])
                bands[i] += _interval(y, *_block(extents, layout, edges, places, b), TOP, EDGES_Y)
            counts[part, bands[i]] += 1
            if len(cells) == 0:
                continue
            cells[i] = 0
            if layout[b, CELLS] > 1:
                x = np.float64(corners[0, i])
                cells[i] = _interval(x, *_block(extents, layout, edges, places, b), LEFT, EDGES_X)


#: See `_place`.
PLACE = Kernel(_place, "place")


def _find_blocks(
    levels: Array,
    groups: Array,
    class_of_group: Array,
    block_of_class: Array,
    lowest: int,
    blocks: Array,
    counts: Array,
) -> None:
    """Find the block of each box of a group with classes, -1 for others, and count them by part."""
    parts = len(counts)
    size = (len(levels) + parts - 1) // parts
    for part in prange(parts):
        for i in range(part * size, min((part + 1) * size, len(levels))):
            blocks[i] = -1
            group = group_of(groups, i)
            if levels[i] != EMPTY and group >= 0 and class_of_group[group] >= 0:
                blocks[i] = block_of_class[class_of_group[group] + levels[i] - lowest]
                counts[part, blocks[i]] += 1


#: `(levels, groups, class_of_group, block_of_class, lowest, blocks, counts)`
FIND_BLOCKS = Kernel(_find_blocks, "find-blocks")


def _spread(
    bands: Array, cells: Array, positions: Array, order: Array, ordered_cells: Array
) -> None:
    """Order boxes by band. `positions` has, for each part, where its boxes of each band go."""
    parts = len(positions)
    block = (len(bands) + parts - 1) // parts
    for part in prange(parts):
        for i in range(part * block, min((part + 1) * block, len(bands))):
            band = bands[i]
            if band >= 0:
                order[positions[part, band]] = i
                if len(cells):
                    ordered_cells[positions[part, band]] = cells[i]
                positions[part, band] += 1


#: `(bands, cells, positions, order, ordered_cells)`
SPREAD = Kernel(_spread, "spread")


def _sort_bands(
    firsts: Array, first_cells: Array, order: Array, cells: Array, result: Array, starts: Array
) -> None:
    """Order the boxes of each band by cell, and find where the cells begin.

    `firsts` and `first_cells` say where each band, and its cells, begin.
    """
    for band in prange(len(firsts) - 1):
        first = firsts[band]
        last = firsts[band + 1]
        first_cell = first_cells[band]
        count = first_cells[band + 1] - first_cell
        if count == 1:
            starts[first_cell] = first
            for position in range(first, last):
                result[position] = order[position]
            continue
        own = starts[first_cell : first_cell + count]
        own[:] = 0
        for position in range(first, last):
            own[cells[position]] += 1
        before = first
        for cell in range(count):
            number = own[cell]
            own[cell] = before
            before += number
        for position in range(first, last):
            result[own[cells[position]]] = order[position]
            own[cells[position]] += 1
        # Each cell now tells where the next begins.
        for cell in range(count - 1, 0, -1):
            own[cell] = own[cell - 1]
        own[0] = first


#: `(firsts, first_cells, order, cells, result, starts)`
SORT_BANDS = Kernel(_sort_bands, "sort-bands")


def _reorder(row: Array, order: Array, before: Array, block: int) -> None:
    """Put a row of a table into another order, in place. `before` has room for a row.

    The order may leave some out, so that there are fewer after than before.
    """
    for part in prange((len(row) + block - 1) // block):
        for position in range(part * block, min((part + 1) * block, len(row))):
            before[position] = row[position]
    for part in prange((len(order) + block - 1) // block):
        for position in range(part * block, min((part + 1) * block, len(order))):
            row[position] = before[order[position]]


#: `(row, order, before, block)`
REORDER = Kernel(_reorder, "reorder")


def _reorder_rows(rows: Array, order: Array) -> None:
    """Put the columns of a table into another order, in place, a row by each thread."""
    for row in prange(len(rows)):
        own = rows[row]
        before = own.copy()
        for position in range(len(order)):
            own[position] = before[order[position]]


#: `(rows, order)`
REORDER_ROWS = Kernel(_reorder_rows, "reorder-rows")


# ---- what may overlap a box --------------------------------------------------------------------


@functools.cache
def bounds_of(geometry: str) -> Any:
    """Make the function that reads left, top, right and bottom of a member of a set."""
    # The first or the second of the two arrays of a set holds them.
    is_box = geometry == "box"

    @register_jitable(inline="always")
    @named(geometry)
    def bounds(first: Array, second: Array, i: int) -> tuple[float, float, float, float]:
        if is_box:
            return (
                np.float64(first[0, i]),
                np.float64(first[1, i]),
                np.float64(first[2, i]),
                np.float64(first[3, i]),
            )
        return (
            np.float64(second[0, i]),
            np.float64(second[1, i]),
            np.float64(second[2, i]),
            np.float64(second[3, i]),
        )

    return bounds


@register_jitable
def addresses(extents: Array, layout: Array, edges: Array, places: Array) -> Any:
    """What `reach` takes for a grid."""
    return address(extents), address(layout), address(edges), address(places)


@register_jitable
def reach(
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
    width = right - left
    height = bottom - top
    widest = float64_at(extents, WIDTH)
    highest = float64_at(extents, HEIGHT)
    small = share1 * width > widest or share1 * height > highest
    large = share2 * float64_at(extents, LONG) > max(width, height)
    covered = min(width, widest) * min(height, highest)
    if small or large or covered < share1 * (width * height):
        return 0, 0, 1, 1
    if share2 > 0.0:
        widest = min(widest, width / share2)
        highest = min(highest, height / share2)
    # What lies further left and is no wider does not reach far enough in. A bit more for rounding,
    # by which giou can rise above 0 for boxes that only touch.
    spare = product(1e-5, width + widest)
    first = left - (widest - max(share1 * width, share2 * widest)) - spare
    first -= product(5e-16, abs(left))
    last = right - product(share1, width) + spare + product(5e-16, abs(right))
    if last < float64_at(extents, LEAST_LEFT) or first > float64_at(extents, MOST_LEFT):
        return 0, 0, 1, 1
    first_cell = last_cell = 0
    if int64_at(layout, CELLS) > 1:
        first_cell = _interval(first, extents, layout, edges, places, LEFT, EDGES_X)
        last_cell = _interval(last, extents, layout, edges, places, LEFT, EDGES_X)
    spare = product(1e-5, height + highest)
    first = top - (highest - max(share1 * height, share2 * highest)) - spare
    first -= product(5e-16, abs(top))
    last = bottom - product(share1, height) + spare + product(5e-16, abs(bottom))
    if last < float64_at(extents, LEAST_TOP) or first > float64_at(extents, MOST_TOP):
        return 0, 0, 1, 1
    first_band = last_band = 0
    if int64_at(layout, BANDS) > 1:
        first_band = _interval(first, extents, layout, edges, places, TOP, EDGES_Y)
        last_band = _interval(last, extents, layout, edges, places, TOP, EDGES_Y)
    cells = int64_at(layout, CELLS)
    begin = int64_at(layout, CELL)
    return (
        begin + first_band * cells + first_cell,
        begin + (last_band + 1) * cells,
        cells,
        last_cell - first_cell + 1,
    )
