"""Boxes as columns: how they are filled, loaded, and measured.

Scores are computed from columns, one contiguous array per coordinate, so that a kernel loads a
vector of boxes at once. The bounds of a box are (left, top, right, bottom), int64 where float64
would not be exact. Its data are area, aspect angle (for ciou alone), centre x and centre y (for box
metrics alone).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.geometry import PADDING
from fastiou.metrics import larger, product, smaller
from fastiou.runtime.kernel import Kernel, inlined, named
from fastiou.runtime.vectors import deinterleave, prefer_widest_vectors, stack_array, store
from fastiou.typing import Array

__all__ = [
    "FILL",
    "LANES",
    "LAYOUTS",
    "blocks_of",
    "fill_columns",
    "limits",
    "load_box",
    "overlap",
    "overlap_and_hull",
    "overlap_hull_and_aspects",
    "small_filler",
]


#: The formats of a box and their numbers in the kernels.
LAYOUTS = {"xyxy": 0, "xywh": 1, "cxcywh": 2}

#: Boxes prepared at a time: as many float32 as fill the widest vector. Columns are as long as some
#: times as many.
LANES = 16

#: By what share of it an area of sides may differ from that of the corners, through rounding.
ALIKE = 2.0**-12

#: Boxes prepared by one thread at a time.
BLOCK = 1 << 12


@functools.cache
def limits(dtype: np.dtype[Any], dimensions: int = 2) -> tuple[float, float]:
    """Largest coordinate and smallest area for which no product of two sides goes wrong.

    The same of three sides in three dimensions, where two small ones are multiplied first; in one,
    the smallest length of which the square is precise, too.

    Between them the square of a hull's diagonal cannot overflow, and adding the smallest normal
    number, which stands in for an area of 0, to an area does not change it.
    """
    info = np.finfo(dtype)
    power = (int(info.maxexp) - 8) // max(dimensions, 2)
    lost = power + 1 if dimensions > 2 else 0
    largest = math.ldexp(1.0, power)
    least = int(info.minexp) + int(info.nmant) + 3 + lost
    return largest, math.ldexp(1.0, least // 2 if dimensions == 1 else least)


# ---- what is measured on two axis-aligned boxes ------------------------------------------------

#: left, top, right, bottom, area, aspect angle, centre x, centre y
Box = tuple[Any, Any, Any, Any, Any, Any, Any, Any]


@register_jitable
def extent(low: Any, high: Any, zero: Any) -> Any:
    """Length of the interval from `low` to `high`, 0 if it is empty.

    Corners are integers only where they spread too far to be exact in float64. Their difference may
    then need all 64 bits, so it is taken unsigned, where it cannot overflow, and becomes a float64
    only afterwards.
    """
    if isinstance(low, (int, np.int64)):
        return np.float64(np.uint64(high) - np.uint64(low)) if high > low else zero
    return larger(high - low, zero)


@register_jitable
def offset(low1: Any, high1: Any, centre1: Any, low2: Any, high2: Any, centre2: Any) -> Any:
    """Signed distance between the centres of two intervals (see `extent` for integers)."""
    if isinstance(low1, (int, np.int64)):
        zero = centre1 - centre1
        lows = extent(low2, low1, zero) - extent(low1, low2, zero)
        highs = extent(high2, high1, zero) - extent(high1, high2, zero)
        return (lows + highs) / 2
    return centre1 - centre2


@register_jitable
def overlap(box1: Box, box2: Box) -> Any:
    """What a ratio metric needs of two boxes: the area that both share, and both areas."""
    left1, top1, right1, bottom1, area1, _, _, _ = box1
    left2, top2, right2, bottom2, area2, _, _, _ = box2
    zero = area1 - area1
    width = extent(larger(left1, left2), smaller(right1, right2), zero)
    height = extent(larger(top1, top2), smaller(bottom1, bottom2), zero)
    return product(width, height), area1, area2


@register_jitable
def overlap_and_hull(box1: Box, box2: Box) -> Any:
    """What a box metric needs of two boxes: `overlap`, and what is measured on both together."""
    left1, top1, right1, bottom1, area1, _, x1, y1 = box1
    left2, top2, right2, bottom2, _, _, x2, y2 = box2
    zero = area1 - area1
    width = extent(smaller(left1, left2), larger(right1, right2), zero)
    height = extent(smaller(top1, top2), larger(bottom1, bottom2), zero)
    x = offset(left1, right1, x1, left2, right2, x2)
    y = offset(top1, bottom1, y1, top2, bottom2, y2)
    diagonal = product(width, width) + product(height, height)
    distance = product(x, x) + product(y, y)
    return (*overlap(box1, box2), (product(width, height), diagonal, distance))


@register_jitable
def overlap_hull_and_aspects(box1: Box, box2: Box) -> Any:
    """The same, and the aspect angles of both, as complete IoU needs them."""
    return (*overlap_and_hull(box1, box2), (box1[5], box2[5]))


@register_jitable
def load_box(bounds: Array, data: Array, i: int) -> Box:
    """Box `i` of the columns."""
    return (
        bounds[0, i],
        bounds[1, i],
        bounds[2, i],
        bounds[3, i],
        data[0, i],
        data[1, i],
        data[2, i],
        data[3, i],
    )


# ---- filling columns ---------------------------------------------------------------------------


@register_jitable
def fill_columns(
    boxes: Array,
    first: int,
    last: int,
    layout: int,
    area_of_sides: bool,
    centres: bool,
    columns: Array,
) -> tuple[bool, float, float, bool]:
    """Fill columns of float boxes (N, 4) from `first` to `last`; centres only if asked to.

    Both are multiples of `LANES`. Past the last box there are empty ones.

    Returns whether a box has a NaN or an infinity, the largest absolute corner, the smallest area
    of a box with positive sides, and whether an area of sides is not that of the corners, by more
    than rounding.
    """
    prefer_widest_vectors()
    number = columns.dtype.type
    zero = number(0)
    half = number(0.5)
    infinity = number(np.inf)
    alike = number(ALIKE)
    # The smallest normal number: 2⁻¹²⁶ or 2⁻¹⁰²².
    empty_area = number(
        1.1754943508222875e-38 if columns.itemsize == 4 else 2.2250738585072014e-308
    )
    # Step by step through arrays on the stack, and extremes lane by lane, so that LLVM makes
    # vectors of everything: a box takes 0.9 ns, and took 5. And to other arrays than are read, and
    # extremes as sums: see `axis_columns.findings_in`.
    a = stack_array(columns, LANES)
    b = stack_array(columns, LANES)
    c = stack_array(columns, LANES)
    d = stack_array(columns, LANES)
    lefts = stack_array(columns, LANES)
    tops = stack_array(columns, LANES)
    rights = stack_array(columns, LANES)
    bottoms = stack_array(columns, LANES)
    area = stack_array(columns, LANES)
    centre_x = stack_array(columns, LANES)
    centre_y = stack_array(columns, LANES)
    largest = stack_array(columns, LANES)
    smallest = stack_array(columns, LANES)
    uneven = stack_array(columns, LANES)
    odd = stack_array(columns, LANES)
    for j in range(LANES):
        largest[j] = odd[j] = uneven[j] = zero
        smallest[j] = np.inf
    for start in range(first, last, LANES):
        deinterleave(boxes, start, LANES, len(boxes) - start, (a, b, c, d))
        for j in range(np.uint64(LANES)):
            # Only an infinity or NaN gives NaN here, and only NaN differs from itself.
            strange = (a[j] - a[j]) + (b[j] - b[j]) + (c[j] - c[j]) + (d[j] - d[j])
            usual = strange == strange
            odd[j] += strange
            x1 = a[j] if usual else zero
            y1 = b[j] if usual else zero
            x2 = c[j] if usual else zero
            y2 = d[j] if usual else zero
            if layout == 0:
                left, top, right, bottom = x1, y1, x2, y2
            elif layout == 1:
                left, top, right, bottom = x1, y1, x1 + x2, y1 + y2
            else:
                half_width, half_height = product(half, x2), product(half, y2)
                left, top = x1 - half_width, y1 - half_height
                right, bottom = x1 + half_width, y1 + half_height
            # An inverted side has length 0 and lies at its first corner.
            right = larger(right, left)
            bottom = larger(bottom, top)
            width = right - left
            height = bottom - top
            sides = (larger(x2, zero), larger(y2, zero)) if area_of_sides else (width, height)
            size = product(sides[0], sides[1])
            proper = width > zero and height > zero
            smallest[j] = smaller(smallest[j], size if proper else infinity) + zero
            # Neither corner is farther from 0 than these, since left <= right and top <= bottom.
            reach = larger(larger(-left, right), larger(-top, bottom))
            largest[j] = larger(largest[j], reach) + zero
            if area_of_sides:
                error = abs(size - product(width, height))
                uneven[j] = larger(uneven[j], error - product(alike, size)) + zero
            lefts[j], tops[j], rights[j], bottoms[j] = left, top, right, bottom
            area[j] = size if size > zero else empty_area
            centre_x[j] = product(half, left + right)
            centre_y[j] = product(half, top + bottom)
        store(columns[0], start, lefts, LANES)
        store(columns[1], start, tops, LANES)
        store(columns[2], start, rights, LANES)
        store(columns[3], start, bottoms, LANES)
        store(columns[4], start, area, LANES)
        if centres:
            store(columns[6], start, centre_x, LANES)
            store(columns[7], start, centre_y, LANES)
    any_odd = False
    for j in range(LANES):
        any_odd = any_odd or odd[j] != odd[j]
        largest[0] = larger(largest[0], largest[j])
        smallest[0] = smaller(smallest[0], smallest[j])
        uneven[0] = larger(uneven[0], uneven[j])
    return any_odd, largest[0], smallest[0], uneven[0] > zero


@functools.cache
def small_filler(with_hulls: bool) -> Any:
    """Make the function that prepares boxes inside a compiled call (see `Small.fill`).

    To the number of a layout, 3 is added for areas of sides.
    """

    @inlined
    @named(f"hulls-{with_hulls}")
    def fill(
        boxes: Array, first: int, last: int, layout: int, columns: Array
    ) -> tuple[bool, float, float]:
        any_odd, largest, smallest, _ = fill_columns(
            boxes, first, last, layout % 3, layout >= 3, with_hulls, columns
        )
        return any_odd, largest, smallest

    return fill


def blocks_of(count: int) -> int:
    """Blocks in which the columns of so many boxes and their padding are filled."""
    return -(-(count + PADDING) // BLOCK)


def _fill(
    boxes1: Array,
    boxes2: Array,
    layout: int,
    area_of_sides: bool,
    centres: bool,
    columns1: Array,
    columns2: Array,
    blocks1: int,
    findings: Array,
    first: int,
    last: int,
) -> tuple[bool, float, float, bool]:
    """Fill columns of one or two sets, block by block, and return what `fill_columns` does.

    Parameters
    ----------
    boxes1, boxes2
        (n, 4) and (m, 4) floats. Of one set, it is the same twice.
    layout, area_of_sides, centres
        As in `fill_columns`.
    columns1, columns2
        (8, n + padding) and (8, m + padding).
    blocks1
        How many blocks are of the first set.
    findings
        (block, 4) float64: what was found in each.
    first, last
        Blocks to fill, of which what is returned tells.
    """
    for number in prange(first, last):
        is_first = number < blocks1
        boxes = boxes1 if is_first else boxes2
        columns = columns1 if is_first else columns2
        begin = np.int64(number if is_first else number - blocks1) * BLOCK
        end = min(begin + BLOCK, columns.shape[1])
        any_odd, largest, smallest, uneven = fill_columns(
            boxes, begin, end, layout, area_of_sides, centres, columns
        )
        findings[number, 0] = any_odd
        findings[number, 1] = largest
        findings[number, 2] = smallest
        findings[number, 3] = uneven
    for number in range(first + 1, last):
        findings[first, 0] = larger(findings[first, 0], findings[number, 0])
        findings[first, 1] = larger(findings[first, 1], findings[number, 1])
        findings[first, 2] = smaller(findings[first, 2], findings[number, 2])
        findings[first, 3] = larger(findings[first, 3], findings[number, 3])
    return findings[first, 0] > 0, findings[first, 1], findings[first, 2], findings[first, 3] > 0


#: Fills the columns of one or two sets.
FILL = Kernel(_fill, "fill")
