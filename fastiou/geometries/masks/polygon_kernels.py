"""Polygons as run lengths, pixel for pixel those of COCO.

COCO magnifies a polygon by five, rounds its corners, and draws its edges as lines of pixels. Where
such a line passes from the third to the fourth of the five columns that make one column of the
image, it is taken to cross that column: the pixels of the mask change there from outside to inside,
or back. COCO visits every pixel of every edge. Here the crossings alone are computed, from the same
floats and hence with the same rounding, which costs one step for each column that an edge crosses,
however far outside the image it goes on.

A boundary is closed, so it crosses each column an even number of times, and the columns that it
crosses are neighbours: sorting the crossings by column takes less room than they do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["FILL", "MEASURE"]


#: Crossings of one column up to which they are sorted by insertion, else as a heap: 15 against
#: 26 ns an element where there are 32, 38 against 37 where there are 128.
MANY = 128


@register_jitable
def _fine(coordinate: float) -> int:
    """Magnified and rounded: halves away from zero above it, and, as in C, all towards it below."""
    return np.int64(5.0 * coordinate + 0.5)


@register_jitable
def _edge(corners: Array, first: int, last: int, width: int) -> Any:
    """The edge between two corners, and which columns of the image it crosses.

    Returns whether y grows faster than x, the end from which COCO draws the edge, its length along
    the axis on which it is longer, its slope, and the first and last column.
    """
    x = _fine(corners[first, 0])
    y = _fine(corners[first, 1])
    other_x = _fine(corners[last, 0])
    other_y = _fine(corners[last, 1])
    steep = abs(other_y - y) > abs(other_x - x)
    if (y > other_y) if steep else (x > other_x):
        x, other_x = other_x, x
        y, other_y = other_y, y
    length = (other_y - y) if steep else (other_x - x)
    rise = np.float64((other_x - x) if steep else (other_y - y))
    slope = rise / length if length > 0 else 0.0
    low = min(x, other_x)
    high = max(x, other_x)
    # From five times a column plus 2 to that plus 3.
    return steep, x, y, length, slope, max((low + 2) // 5, 0), min((high - 3) // 5, width - 1)


@register_jitable
def _crossing(column: int, height: int, edge: Any) -> int:
    """Row, from 0 to the height, in which an edge crosses a column."""
    steep, x, y, length, slope, _, _ = edge
    left = 5 * column + 2
    if steep:
        # The first step at which x is beyond the crossing. The estimate is off by one at most, as
        # x is rounded; the loops make it exact.
        rising = slope > 0.0
        step = min(max(np.int64((left + 0.5 - x) / slope), 1), length)
        while step > 1 and (np.int64(x + slope * (step - 1) + 0.5) > left) == rising:
            step -= 1
        while step < length and (np.int64(x + slope * step + 0.5) > left) != rising:
            step += 1
        row = y + step - 1
    else:
        step = left - x
        row = min(np.int64(y + slope * step + 0.5), np.int64(y + slope * (step + 1) + 0.5))
    return min((max(row, 0) + 2) // 5, height)


@register_jitable
def _sift(rows: Array, first: int, root: int, size: int) -> None:
    """Let an element of a heap that begins at `first` sink to its place."""
    value = rows[first + root]
    child = 2 * root + 1
    while child < size:
        if child + 1 < size and rows[first + child + 1] > rows[first + child]:
            child += 1
        if rows[first + child] <= value:
            break
        rows[first + root] = rows[first + child]
        root = child
        child = 2 * root + 1
    rows[first + root] = value


@register_jitable
def _sort(rows: Array, first: int, last: int) -> None:
    """Sort a range. Numba's own sort compiles for 0.7 s and takes 4 times as long on short ones."""
    size = last - first
    if size > MANY:
        for root in range(size // 2 - 1, -1, -1):
            _sift(rows, first, root, size)
        for end in range(size - 1, 0, -1):
            rows[first], rows[first + end] = rows[first + end], rows[first]
            _sift(rows, first, 0, end)
        return
    for i in range(first + 1, last):
        value = rows[i]
        j = i - 1
        while j >= first and rows[j] > value:
            rows[j + 1] = rows[j]
            j -= 1
        rows[j + 1] = value


@register_jitable
def _runs(rows: Array, begin: int, ends: Array, first_column: int, height: int, width: int) -> int:
    """Turn sorted rows of each column into run lengths, in place; returns where they end.

    Two crossings of one place change nothing.
    """
    kept = begin
    position = begin
    for i in range(len(ends)):
        while position < ends[i]:
            place = (first_column + i) * height + rows[position]
            position += 1
            if kept > begin and rows[kept - 1] == place:
                kept -= 1
            else:
                rows[kept] = place
                kept += 1
    if kept == begin or rows[kept - 1] != height * width:
        rows[kept] = height * width
        kept += 1
    before = 0
    for i in range(begin, kept):
        place = rows[i]
        rows[i] = place - before
        before = place
    return kept


def _measure(corners: Array, cuts: Array, widths: Array, extents: Array) -> None:
    for ring in prange(len(cuts) - 1):
        width = widths[ring]
        crossings = 0
        first_column = width
        last_column = -1
        previous = cuts[ring + 1] - 1
        for corner in range(cuts[ring], cuts[ring + 1]):
            _, _, _, _, _, first, last = _edge(corners, previous, corner, width)
            previous = corner
            if first <= last:
                crossings += last - first + 1
                first_column = min(first_column, first)
                last_column = max(last_column, last)
        extents[ring, 0] = crossings
        extents[ring, 1] = first_column
        extents[ring, 2] = last_column - first_column + 1 if crossings > 0 else 0


#: Fills `extents` with the crossings of each ring, the first column it crosses, and how many.
#: The corners of a ring lie between `cuts`, in an image of such a width.
MEASURE = Kernel(_measure, "measure")


def _fill(
    corners: Array,
    cuts: Array,
    heights: Array,
    widths: Array,
    extents: Array,
    starts: Array,
    column_starts: Array,
    columns: Array,
    runs: Array,
) -> None:
    for ring in prange(len(cuts) - 1):
        start = starts[ring]
        first_column = extents[ring, 1]
        height, width = heights[ring], widths[ring]
        # How many crossings begin and end with each column, then where the next one is put.
        ends = columns[column_starts[ring] : column_starts[ring + 1]]
        ends[:] = 0
        previous = cuts[ring + 1] - 1
        for corner in range(cuts[ring], cuts[ring + 1]):
            _, _, _, _, _, first, last = _edge(corners, previous, corner, width)
            previous = corner
            if first <= last:
                ends[first - first_column] += 1
                if last - first_column + 1 < len(ends):
                    ends[last - first_column + 1] -= 1
        crossings = 0
        position = start
        for i in range(len(ends)):
            crossings += ends[i]
            ends[i] = position
            position += crossings
        for corner in range(cuts[ring], cuts[ring + 1]):
            edge = _edge(corners, previous, corner, width)
            previous = corner
            for column in range(edge[5], edge[6] + 1):
                runs[ends[column - first_column]] = _crossing(column, height, edge)
                ends[column - first_column] += 1
        begin = start
        for i in range(len(ends)):
            _sort(runs, begin, ends[i])
            begin = ends[i]
        kept = _runs(runs, start, ends, first_column, height, width)
        runs[kept : starts[ring + 1]] = -1


#: Fills `runs` from `starts` on with the run lengths of each ring, and what is left with -1. There
#: is room for one more than the ring has crossings; `columns` is scratch, from `column_starts` on
#: as many as the ring crosses.
FILL = Kernel(_fill, "fill")
