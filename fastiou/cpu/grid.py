"""Building the index that `walk` reads: which block, band and cell each member belongs to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.walk import (
    BAND,
    BANDS,
    CELLS,
    EDGES_X,
    EDGES_Y,
    EXTENTS,
    HEIGHT,
    LAYOUT,
    LEAST_LEFT,
    LEAST_TOP,
    LEFT,
    LONG,
    MOST_LEFT,
    MOST_TOP,
    TOP,
    WIDTH,
    group_of,
    interval,
)
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address
from fastiou.typing import Array

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
    "level_of",
]


#: Level of a box that overlaps nothing, since it has no area.
EMPTY = -32768


@register_jitable
def _sides(bounds: Array, i: int) -> tuple[float, float]:
    return (
        np.float64(bounds[2, i]) - np.float64(bounds[0, i]),
        np.float64(bounds[3, i]) - np.float64(bounds[1, i]),
    )


# ---- classes of sizes --------------------------------------------------------------------------


@register_jitable
def level_of(width: float, height: float) -> int:
    """The class of sizes of a box: half the exponent of the longer side.

    So a class spans a factor of 4, up to 2 ** (2 * level - 4095).
    """
    _, exponent = math.frexp(max(width, height))
    return (exponent + 4096) >> 1


def _measure_levels(bounds: Array, block: int, levels: Array) -> None:
    """Find the class of sizes of each box."""
    for part in prange((len(levels) + block - 1) // block):
        for i in range(part * block, min((part + 1) * block, len(levels))):
            if bounds[0, i] < bounds[2, i] and bounds[1, i] < bounds[3, i]:
                width, height = _sides(bounds, i)
                levels[i] = level_of(width, height)
            else:
                levels[i] = EMPTY


#: `(bounds, block, levels)`
MEASURE_LEVELS = Kernel(_measure_levels, "measure-levels")


@register_jitable
def _piece(size: int, parts: int, part: int, number: int, pieces: int) -> tuple[int, int]:
    """First and last member of one of the pieces of one of the parts of a set."""
    block = (size + parts - 1) // parts
    first = min(part * block, size)
    length = min(first + block, size) - first
    return first + length * number // pieces, first + length * (number + 1) // pieces


def _size_up(
    bounds: Array,
    levels: Array,
    groups: Array,
    class_of_group: Array,
    lowest: int,
    counts: Array,
    sizes: Array,
    number: int,
    pieces: int,
) -> None:
    """Count the boxes of each class of each large group, and find the extremes of their sides.

    `class_of_group` is the first class of a group, -1 for small ones. `counts` and `sizes` have a
    row for each thread's part.
    """
    parts = len(counts)
    for part in prange(parts):
        begin, end = _piece(len(levels), parts, part, number, pieces)
        for i in range(begin, end):
            group = group_of(groups, i)
            if levels[i] == EMPTY or group < 0 or class_of_group[group] < 0:
                continue
            own_class = class_of_group[group] + levels[i] - lowest
            width, height = _sides(bounds, i)
            counts[part, own_class] += 1
            left, top = np.float64(bounds[0, i]), np.float64(bounds[1, i])
            own = sizes[part, own_class]
            own[LONG] = min(own[LONG], max(width, height))
            own[LEAST_LEFT] = min(own[LEAST_LEFT], left)
            own[LEAST_TOP] = min(own[LEAST_TOP], top)
            own[WIDTH] = max(own[WIDTH], width)
            own[HEIGHT] = max(own[HEIGHT], height)
            own[MOST_LEFT] = max(own[MOST_LEFT], left)
            own[MOST_TOP] = max(own[MOST_TOP], top)


#: `(bounds, levels, groups, class_of_group, lowest, counts, sizes, number, pieces)`
SIZE_UP = Kernel(_size_up, "size-up")


# ---- putting boxes into bands and cells --------------------------------------------------------


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
    bounds: Array,
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
    number: int,
    pieces: int,
) -> None:
    """Find the band of each box, numbered over all blocks, and its cell in the band.

    A box of which `main_block` knows the group goes into that block, whatever its size; others
    into that of their class. Boxes that overlap nothing, or whose group has no block, get band -1.
    Cells are found only if there is room for them. `counts` has a row for each part of the boxes.
    """
    parts = len(counts)
    for part in prange(parts):
        begin, end = _piece(len(levels), parts, part, number, pieces)
        for i in range(begin, end):
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
                y = np.float64(bounds[1, i])
                bands[i] += interval(y, *_block(extents, layout, edges, places, b), TOP, EDGES_Y)
            counts[part, bands[i]] += 1
            if len(cells) == 0:
                continue
            cells[i] = 0
            if layout[b, CELLS] > 1:
                x = np.float64(bounds[0, i])
                cells[i] = interval(x, *_block(extents, layout, edges, places, b), LEFT, EDGES_X)


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
    number: int,
    pieces: int,
) -> None:
    """Find the block of each box of a group with classes, -1 for others, and count them by part."""
    parts = len(counts)
    for part in prange(parts):
        begin, end = _piece(len(levels), parts, part, number, pieces)
        for i in range(begin, end):
            blocks[i] = -1
            group = group_of(groups, i)
            if levels[i] != EMPTY and group >= 0 and class_of_group[group] >= 0:
                blocks[i] = block_of_class[class_of_group[group] + levels[i] - lowest]
                counts[part, blocks[i]] += 1


#: `(levels, groups, class_of_group, block_of_class, lowest, blocks, counts, number, pieces)`
FIND_BLOCKS = Kernel(_find_blocks, "find-blocks")


def _spread(
    bands: Array,
    cells: Array,
    positions: Array,
    order: Array,
    ordered_cells: Array,
    number: int,
    pieces: int,
) -> None:
    """Order boxes by band. `positions` has, for each part, where its boxes of each band go."""
    parts = len(positions)
    for part in prange(parts):
        begin, end = _piece(len(bands), parts, part, number, pieces)
        for i in range(begin, end):
            band = bands[i]
            if band >= 0:
                order[positions[part, band]] = i
                if len(cells):
                    ordered_cells[positions[part, band]] = cells[i]
                positions[part, band] += 1


#: `(bands, cells, positions, order, ordered_cells, number, pieces)`
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
    same = 0
    while same < len(row) and row[same] == row[0]:
        same += 1
    if same == len(row):  # as where intervals lie across
        return
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
