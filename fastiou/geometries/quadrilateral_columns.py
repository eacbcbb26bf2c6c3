"""Quadrilaterals as columns: how they are filled and loaded.

All numbers are float64, whatever the type of the input. Corners are held in one order, however they
were given: so that the area is positive, and from the corner with the least x on, or with the least
y of two. So the same quadrilateral is held by the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.metrics import larger, product, smaller
from fastiou.runtime.kernel import Kernel, inlined
from fastiou.runtime.vectors import deinterleave, prefer_widest_vectors, stack_array, store
from fastiou.typing import Array

__all__ = [
    "BLOCK",
    "FILL",
    "LANES",
    "ROUNDING",
    "ROWS",
    "Quadrilateral",
    "fill_some",
    "load_quadrilateral",
    "turns_of",
]

#: Rows of `data`: x of the four corners, y of the four corners, slopes of the edges that begin at
#: each, area.
ROWS = 13

#: Quadrilaterals prepared by one thread at a time.
BLOCK = 1 << 12

#: Quadrilaterals prepared at a time.
LANES = 16

#: Of an area of 0, what stands for it in a divisor: 2⁻¹⁰²².
EMPTY_AREA = 2.2250738585072014e-308

#: Slopes are held to so much. It times the largest coordinate is finite, or is clamped.
STEEPEST = 2.0**1000

#: By how much of its two products the sign of a turn may be wrong (Shewchuk, 1997).
UNSURE = 3.3306690738754716e-16

#: By how much of all its coordinates together one of float64 may be moved by rounding.
ROUNDING = 2.0**-52
ROUNDING32, ROUNDING16 = 2.0**-23, 2.0**-10

#: The sides of the hull, then the rows of `data`.
Quadrilateral = tuple[
    Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any
]


@register_jitable
def load_quadrilateral(bounds: Array, data: Array, i: int) -> Quadrilateral:
    """Quadrilateral `i` of the columns.

    Parameters
    ----------
    bounds : array of float64, shape (4, > n)
        Left, top, right and bottom of the axis-aligned hull.
    data : array of float64, shape (ROWS, > n)
        What `fill_columns` made.
    i
        Its number.
    """
    return (
        bounds[0, i],
        bounds[1, i],
        bounds[2, i],
        bounds[3, i],
        data[0, i],
        data[1, i],
        data[2, i],
        data[3, i],
        data[4, i],
        data[5, i],
        data[6, i],
        data[7, i],
        data[8, i],
        data[9, i],
        data[10, i],
        data[11, i],
        data[12, i],
    )


# ---- edges that cross --------------------------------------------------------------------------


@register_jitable
def turn(x1: Any, y1: Any, x2: Any, y2: Any, x3: Any, y3: Any, rounding: Any) -> Any:
    """1 where a way along three points turns from x towards y, -1 the other way.

    0 where it goes straight on, or where it would hang on `rounding` of a coordinate.
    """
    across2, down2 = x2 - x1, y2 - y1
    across3, down3 = x3 - x1, y3 - y1
    a = product(across2, down3)
    b = product(down2, across3)
    moved = product(rounding, (abs(across2) + abs(down2)) + (abs(across3) + abs(down3)))
    sure = moved + product(UNSURE, abs(a) + abs(b))
    turned = 1.0 if a - b > sure else 0.0
    return -1.0 if b - a > sure else turned


# LLVM would not inline so much, and without that makes no vectors.
@register_jitable(inline="always")
def turns_of(
    x1: Any, y1: Any, x2: Any, y2: Any, x3: Any, y3: Any, x4: Any, y4: Any, share: Any
) -> tuple[Any, Any]:
    """Two numbers of which one is -2 where two edges of a quadrilateral surely cross.

    Each coordinate may be moved by such a share of all together. Edge 12 crosses edge 34 where 3
    and 4 lie on two sides of it, and 1 and 2 on two sides of that.
    """
    sizes = ((abs(x1) + abs(x2)) + (abs(x3) + abs(x4))) + (
        (abs(y1) + abs(y2)) + (abs(y3) + abs(y4))
    )
    rounding = product(share, sizes)
    at1 = turn(x4, y4, x1, y1, x2, y2, rounding)
    at2 = turn(x1, y1, x2, y2, x3, y3, rounding)
    at3 = turn(x2, y2, x3, y3, x4, y4, rounding)
    at4 = turn(x3, y3, x4, y4, x1, y1, rounding)
    return product(at2, at1) + product(at4, at3), product(at2, at3) + product(at4, at1)


# ---- filling columns ---------------------------------------------------------------------------


@register_jitable
def slope(x1: Any, y1: Any, x2: Any, y2: Any) -> Any:
    """How far y moves with x along an edge; 0 where x does not move."""
    across = x2 - x1
    rise = (y2 - y1) / (across if across != 0.0 else 1.0)
    return smaller(larger(rise if across != 0.0 else 0.0, -STEEPEST), STEEPEST)


@register_jitable
def is_before(
    x1: Any, y1: Any, next_x1: Any, next_y1: Any, x2: Any, y2: Any, next_x2: Any, next_y2: Any
) -> Any:
    """Whether the corners begin with the first corner rather than the second; then come others."""
    by_next = (next_x1 < next_x2) | ((next_x1 == next_x2) & (next_y1 < next_y2))
    by_y = (y1 < y2) | ((y1 == y2) & by_next)
    return (x1 < x2) | ((x1 == x2) & by_y)


@register_jitable
def fill_columns(
    members: Array, first: int, last: int, share: float, bounds: Array, data: Array
) -> tuple[bool, bool, float, float]:
    """Fill columns of quadrilaterals from `first` to `last`, both multiples of `LANES`.

    Past the last one there are empty ones. One with a NaN is an empty one at the origin. The hull
    of an empty one is a point.

    Parameters
    ----------
    members : array of float64, shape (n, 8)
        x and y of four corners.
    first, last
        Which of them.
    share
        What part of the coordinates of each may be rounding.
    bounds : array of float64, shape (4, >= last)
        Left, top, right and bottom of the axis-aligned hulls.
    data : array of float64, shape (ROWS, >= last)
        What `load_quadrilateral` reads.

    Returns
    -------
    tuple
        Whether one has a NaN or an infinity, whether one has edges that surely cross, the largest
        absolute coordinate, and the smallest area that is not 0.
    """
    prefer_widest_vectors()
    # A loop reads a corner from one array and writes it to another. What is chosen between a new
    # number and the one that is there LLVM stores by a mask, and for that AMD takes 12 cycles and
    # more: half of all.
    u1 = stack_array(data, LANES)
    v1 = stack_array(data, LANES)
    u2 = stack_array(data, LANES)
    v2 = stack_array(data, LANES)
    u3 = stack_array(data, LANES)
    v3 = stack_array(data, LANES)
    u4 = stack_array(data, LANES)
    v4 = stack_array(data, LANES)
    x1 = stack_array(data, LANES)
    y1 = stack_array(data, LANES)
    x2 = stack_array(data, LANES)
    y2 = stack_array(data, LANES)
    x3 = stack_array(data, LANES)
    y3 = stack_array(data, LANES)
    x4 = stack_array(data, LANES)
    y4 = stack_array(data, LANES)
    slope1 = stack_array(data, LANES)
    slope2 = stack_array(data, LANES)
    slope3 = stack_array(data, LANES)
    slope4 = stack_array(data, LANES)
    area = stack_array(data, LANES)
    areas = stack_array(data, LANES)
    left = stack_array(data, LANES)
    top = stack_array(data, LANES)
    right = stack_array(data, LANES)
    bottom = stack_array(data, LANES)
    odd = stack_array(data, LANES)
    crossing = stack_array(data, LANES)
    largest = stack_array(data, LANES)
    smallest = stack_array(data, LANES)
    for j in range(LANES):
        odd[j] = crossing[j] = largest[j] = 0.0
        smallest[j] = np.inf
    for start in range(first, last, LANES):
        if start + LANES <= len(members):
            deinterleave(members, start, LANES, LANES, (u1, v1, u2, v2, u3, v3, u4, v4))
        else:
            for j in range(LANES):
                u1[j] = v1[j] = u2[j] = v2[j] = u3[j] = v3[j] = u4[j] = v4[j] = 0.0
            for j in range(len(members) - start):
                u1[j], v1[j] = members[start + j, 0], members[start + j, 1]
                u2[j], v2[j] = members[start + j, 2], members[start + j, 3]
                u3[j], v3[j] = members[start + j, 4], members[start + j, 5]
                u4[j], v4[j] = members[start + j, 6], members[start + j, 7]
        # In loops that are short enough to become vectors.
        for j in range(np.uint64(LANES)):
            # Only an infinity or NaN gives NaN here, and only NaN differs from itself.
            strange = product(0.0, u1[j]) + product(0.0, v1[j])
            strange = strange + (product(0.0, u2[j]) + product(0.0, v2[j]))
            strange = strange + (product(0.0, u3[j]) + product(0.0, v3[j]))
            strange = strange + (product(0.0, u4[j]) + product(0.0, v4[j]))
            usual = strange == strange
            odd[j] += strange
            x1[j] = u1[j] if usual else 0.0
            y1[j] = v1[j] if usual else 0.0
            x2[j] = u2[j] if usual else 0.0
            y2[j] = v2[j] if usual else 0.0
            x3[j] = u3[j] if usual else 0.0
            y3[j] = v3[j] if usual else 0.0
            x4[j] = u4[j] if usual else 0.0
            y4[j] = v4[j] if usual else 0.0
        for j in range(np.uint64(LANES)):
            turns1, turns2 = turns_of(x1[j], y1[j], x2[j], y2[j], x3[j], y3[j], x4[j], y4[j], share)
            crossing[j] = smaller(crossing[j], smaller(turns1, turns2)) + 0.0  # not by a mask
            # From one diagonal and the other.
            twice = product(x3[j] - x1[j], y4[j] - y2[j]) - product(x4[j] - x2[j], y3[j] - y1[j])
            area[j] = product(0.5, twice)
        for j in range(np.uint64(LANES)):
            # The other way round.
            is_back = area[j] < 0.0
            a, c, e, g = x1[j], x3[j], y1[j], y3[j]
            b, d = (x4[j] if is_back else x2[j]), (x2[j] if is_back else x4[j])
            f, h = (y4[j] if is_back else y2[j]), (y2[j] if is_back else y4[j])
            size = abs(area[j])
            low_x = smaller(smaller(a, b), smaller(c, d))
            low_y = smaller(smaller(e, f), smaller(g, h))
            high_x = larger(larger(a, b), larger(c, d))
            high_y = larger(larger(e, f), larger(g, h))
            most = larger(larger(-low_x, high_x), larger(-low_y, high_y))
            largest[j] = larger(largest[j], most) + 0.0
            # An area that is too small for the type is told by that of the hull.
            told = size if size > 0.0 else product(high_x - low_x, high_y - low_y)
            told = told if smaller(high_x - low_x, high_y - low_y) > 0.0 else np.inf
            smallest[j] = smaller(smallest[j], told) + 0.0
            proper = size > 0.0
            left[j] = low_x if proper else a
            top[j] = low_y if proper else e
            right[j] = high_x if proper else a
            bottom[j] = high_y if proper else e
            u1[j], v1[j] = a, e
            u2[j] = b if proper else a
            v2[j] = f if proper else e
            u3[j] = c if proper else a
            v3[j] = g if proper else e
            u4[j] = d if proper else a
            v4[j] = h if proper else e
            areas[j] = size if proper else EMPTY_AREA
        for j in range(np.uint64(LANES)):
            # The better of corners 1 and 2, of 3 and 4, and of these two.
            a, b, c, d = u1[j], u2[j], u3[j], u4[j]
            e, f, g, h = v1[j], v2[j], v3[j], v4[j]
            from2 = is_before(b, f, c, g, a, e, b, f)
            from4 = is_before(d, h, a, e, c, g, d, h)
            x, next_x = (b if from2 else a), (c if from2 else b)
            y, next_y = (f if from2 else e), (g if from2 else f)
            back_x, back_next_x = (d if from4 else c), (a if from4 else d)
            back_y, back_next_y = (h if from4 else g), (e if from4 else h)
            behind = is_before(back_x, back_y, back_next_x, back_next_y, x, y, next_x, next_y)
            # By half a turn, and then by a quarter.
            a, c = (c if behind else a), (a if behind else c)
            b, d = (d if behind else b), (b if behind else d)
            e, g = (g if behind else e), (e if behind else g)
            f, h = (h if behind else f), (f if behind else h)
            second = from4 if behind else from2
            x1[j], x2[j] = (b if second else a), (c if second else b)
            x3[j], x4[j] = (d if second else c), (a if second else d)
            y1[j], y2[j] = (f if second else e), (g if second else f)
            y3[j], y4[j] = (h if second else g), (e if second else h)
            slope1[j] = slope(x1[j], y1[j], x2[j], y2[j])
            slope2[j] = slope(x2[j], y2[j], x3[j], y3[j])
            slope3[j] = slope(x3[j], y3[j], x4[j], y4[j])
            slope4[j] = slope(x4[j], y4[j], x1[j], y1[j])
        store(bounds[0], start, left, LANES)
        store(bounds[1], start, top, LANES)
        store(bounds[2], start, right, LANES)
        store(bounds[3], start, bottom, LANES)
        store(data[0], start, x1, LANES)
        store(data[1], start, x2, LANES)
        store(data[2], start, x3, LANES)
        store(data[3], start, x4, LANES)
        store(data[4], start, y1, LANES)
        store(data[5], start, y2, LANES)
        store(data[6], start, y3, LANES)
        store(data[7], start, y4, LANES)
        store(data[8], start, slope1, LANES)
        store(data[9], start, slope2, LANES)
        store(data[10], start, slope3, LANES)
        store(data[11], start, slope4, LANES)
        store(data[12], start, areas, LANES)
    for j in range(LANES):
        odd[0] += odd[j]
        crossing[0] = smaller(crossing[0], crossing[j])
        largest[0] = larger(largest[0], largest[j])
        smallest[0] = smaller(smallest[0], smallest[j])
    return odd[0] != odd[0], crossing[0] < -1.0, largest[0], smallest[0]


@inlined
def fill_some(
    members: Array, first: int, last: int, layout: int, columns: Array
) -> tuple[bool, float, float]:
    """Prepare quadrilaterals inside a compiled call (see `Small.fill`).

    The layout is 0 for members of float64 or integers, 1 for float32, 2 for float16.
    """
    share = ROUNDING if layout == 0 else ROUNDING32
    share = ROUNDING16 if layout == 2 else share
    any_odd, any_crossing, largest, smallest = fill_columns(
        members, first, last, share, columns[:4], columns[4:]
    )
    return any_odd or any_crossing, largest, smallest


def _fill(
    members: Array,
    share: float,
    bounds: Array,
    data: Array,
    findings: Array,
    first: int,
    last: int,
) -> tuple[bool, bool, float, float]:
    """Fill some blocks of the columns of a set, and return what `fill_columns` does.

    `findings`, (blocks, 4) float64, has a row for each block.
    """
    for block in prange(first, last):
        begin = np.int64(block) * BLOCK
        end = min(begin + BLOCK, bounds.shape[1])
        any_odd, any_crossing, largest, smallest = fill_columns(
            members, begin, end, share, bounds, data
        )
        findings[block, 0] = any_odd
        findings[block, 1] = any_crossing
        findings[block, 2] = largest
        findings[block, 3] = smallest
    for block in range(first + 1, last):
        findings[first, 0] = larger(findings[first, 0], findings[block, 0])
        findings[first, 1] = larger(findings[first, 1], findings[block, 1])
        findings[first, 2] = larger(findings[first, 2], findings[block, 2])
        findings[first, 3] = smaller(findings[first, 3], findings[block, 3])
    return findings[first, 0] > 0, findings[first, 1] > 0, findings[first, 2], findings[first, 3]


FILL = Kernel(_fill, "fill-quadrilaterals")
