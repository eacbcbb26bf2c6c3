"""Rotated boxes as columns: how they are filled and loaded.

A rotated box is held by its centre, half its sides, and the cosine and sine of an angle between
-45 and 45 degrees: what is left of its own angle after quarter turns, which swap the sides. So the
same rectangle is held by the same numbers, however many quarter turns it was given with.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.metrics import larger, product, smaller
from fastiou.runtime.vectors import (
    always_inlined,
    deinterleave,
    prefer_widest_vectors,
    stack_array,
    store,
)
from fastiou.typing import Array

__all__ = [
    "LAYOUTS",
    "ROWS",
    "ROWS_OF_FLOAT64",
    "RotatedBox",
    "fill_columns",
    "fill_rotated",
    "load_rotated",
    "narrowed",
]

#: The formats and their numbers in the kernels. The first four have a centre. Odd ones are in
#: radians; 2 and 3 are clockwise as seen in the image; 4 has the corner that is the top left one of
#: the box before it is turned about its centre.
LAYOUTS = {
    "cxcywhr": 0,
    "cxcywhr-rad": 1,
    "cxcywhr-cw": 2,
    "cxcywhr-rad-cw": 3,
    "xywhr": 4,
}

# Rows of `data`. The last two are used with float32 alone: what rounding took from cosine and sine.
X, Y, HALF_WIDTH, HALF_HEIGHT, COSINE, SINE, AREA, COSINE_REST, SINE_REST = range(9)

#: How many rows `data` has, and how many of them float64 needs.
ROWS = 9
ROWS_OF_FLOAT64 = 7

#: Boxes prepared at a time.
LANES = 16

#: The sides of the hull; x, y, half width, half height, cosine, sine, area. Cosine and sine are
#: float64 always.
RotatedBox = tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any]


# ---- numbers of either type --------------------------------------------------------------------


@register_jitable
def narrowed(value: Any, like: Any) -> Any:
    """A float64 rounded to the type of another number."""
    if isinstance(like, np.float32):
        return np.float32(value)
    return np.float64(value)


@register_jitable
def load_rotated(bounds: Array, data: Array, i: int) -> RotatedBox:
    """Box `i` of the columns.

    Parameters
    ----------
    bounds : array, shape (4, > n)
        Left, top, right and bottom of the axis-aligned hull.
    data : array, shape (ROWS, > n)
        What `fill_columns` made.
    i
        Number of the box.
    """
    cosine = np.float64(data[4, i])
    sine = np.float64(data[5, i])
    if isinstance(data[6, i], np.float32):
        # To 48 bits. With 24, scores of nearly parallel boxes were off by 1.9e-6 where they are 100
        # times as long as wide, and by 1.5e-2 where they are a million times as long.
        cosine = cosine + np.float64(data[7, i])
        sine = sine + np.float64(data[8, i])
    return (
        bounds[0, i],
        bounds[1, i],
        bounds[2, i],
        bounds[3, i],
        data[0, i],
        data[1, i],
        data[2, i],
        data[3, i],
        cosine,
        sine,
        data[6, i],
    )


# ---- filling columns ---------------------------------------------------------------------------

#: Angles up to here are reduced by the steps below without rounding; larger ones go to the C
#: library first, which takes longer.
MOST_DEGREES = 2.0**50
MOST_RADIANS = 2.0**20

# π / 180 in two parts. The first has 27 bits, so that its product with 26 bits is exact.
DEGREE_1, DEGREE_2 = 0.01745329238474369, 1.3519960527851425e-10
# π / 2 in three parts. The first two have 33 bits.
QUARTER_1, QUARTER_2, QUARTER_3 = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21


@register_jitable
def whole(value: float) -> float:
    """The whole number nearest to a float64 below 2⁵¹; either of two as near."""
    return (value + 6755399441055744.0) - 6755399441055744.0


@register_jitable
def difference(a: float, b: float) -> tuple[float, float]:
    """`a - b`, and what rounding took from it (Knuth)."""
    rounded = a - b
    part = rounded - a
    return rounded, (a - (rounded - part)) - (b + part)


@register_jitable
def reduced_degrees(degrees: float) -> tuple[float, float, float]:
    """Radians above -π / 4 up to π / 4, what rounding took from them, and quarter turns."""
    turns = whole(product(degrees, 1.0 / 90.0))
    # Exact: the result is a multiple of the last place of the degrees, or of 1.
    rest = degrees - product(90.0, turns)
    # Once more, since 1 / 90 is rounded: -45 and 45 degrees differ by a quarter turn, and are one.
    more = -1.0 if rest <= -45.0 else 0.0
    more = 1.0 if rest > 45.0 else more
    turns = turns + more
    rest = rest - product(90.0, more)
    # The first 26 bits of it or less: a multiple of 2⁻²⁰.
    most = (rest + 6442450944.0) - 6442450944.0
    big = product(most, DEGREE_1)
    small = product(rest - most, DEGREE_1) + product(rest, DEGREE_2)
    radians = big + small
    return radians, (big - radians) + small, turns


@register_jitable
def reduced_radians(angle: float) -> tuple[float, float, float]:
    """Radians between -π / 4 and π / 4, what rounding took from them, and quarter turns."""
    turns = whole(product(angle, 2.0 / math.pi))
    # Exact, since no product has more than 53 bits, nor has the first difference.
    rest, lost = difference(angle - product(turns, QUARTER_1), product(turns, QUARTER_2))
    lost = lost - product(turns, QUARTER_3)
    radians = rest + lost
    return radians, (rest - radians) + lost, turns


@register_jitable
def cosine_and_sine(radians: float, lost: float) -> tuple[float, float]:
    """Both of an angle between -π / 4 and π / 4 that is the sum of two numbers, the second tiny.

    Both are off by less than 0.75 units in the last place.
    """
    z = product(radians, radians)
    z2 = product(z, z)
    # In pairs, since one power after the other would keep a CPU waiting.
    s1 = -0.16666666666666666 + product(0.008333333333330948, z)
    s2 = -0.00019841269836758574 + product(2.755731610255243e-06, z)
    s3 = -2.5051131845001675e-08 + product(1.5918129294726292e-10, z)
    c1 = 0.041666666666666664 - product(0.0013888888888887398, z)
    c2 = 2.480158729876569e-05 - product(2.755731727172979e-07, z)
    c3 = 2.087614626840198e-09 - product(1.1382632425433938e-11, z)
    s = s1 + product(z2, s2 + product(z2, s3))
    c = c1 + product(z2, c2 + product(z2, c3))
    halved = product(0.5, z)
    most = 1.0 - halved
    sine = radians + (product(product(radians, z), s) + product(lost, most))
    cosine = most + (((1.0 - most) - halved) + (product(z2, c) - product(radians, lost)))
    return cosine, sine


@register_jitable
def read_flat(boxes: Array, start: int, numbers: Any, third: None) -> None:
    """Deal out the numbers of `LANES` boxes (n, 5) to five arrays."""
    always_inlined()
    x, y, width, height, given = numbers
    # Not with a mask at the end: one over 80 numbers, which is no power of two, takes 4 ns a box to
    # make, and a CPU takes 1 µs to leave out what it may not read.
    if start + LANES <= len(boxes):
        deinterleave(boxes, start, LANES, LANES, numbers)
    else:
        for j in range(LANES):
            x[j] = y[j] = width[j] = height[j] = given[j] = 0
        for j in range(len(boxes) - start):
            x[j] = boxes[start + j, 0]
            y[j] = boxes[start + j, 1]
            width[j] = boxes[start + j, 2]
            height[j] = boxes[start + j, 3]
            given[j] = boxes[start + j, 4]


@register_jitable
def fill_columns(
    read: Any,
    boxes: Any,
    first: int,
    last: int,
    layout: int,
    bounds: Array,
    data: Array,
    third: Any,
) -> tuple[bool, float, float]:
    """Fill columns of rotated boxes from `first` to `last`, both multiples of `LANES`.

    Past the last box there are empty ones. A box with a NaN is an empty one at the origin. The hull
    of an empty box is a point.

    Parameters
    ----------
    read
        Compiled: `(boxes, start, (x, y, width, height, angle), third)` fills arrays of `LANES`
        numbers with those of the boxes from `start` on, and with zeros past the last one.
    boxes : array of float32 or float64, shape (n, 5) or what `read` reads
        Numbers as `LAYOUTS` says.
    first, last, layout
        Which boxes, and the number of their format.
    bounds : array of the same dtype, shape (4, >= last)
        Left, top, right and bottom of the axis-aligned hulls.
    data : array of the same dtype, shape (ROWS, >= last)
        What `load` reads.
    third
        None, or two arrays of `LANES` numbers of the same dtype, which `read` fills, too: where a
        box is along a third axis, and its length there, without which it is empty.

    Returns
    -------
    tuple
        Whether a box has a NaN or an infinity, the largest absolute coordinate of a hull, and the
        smallest area of a box with positive sides.
    """
    always_inlined()
    prefer_widest_vectors()
    none = data.dtype.type(0)
    x = stack_array(data, LANES)
    y = stack_array(data, LANES)
    width = stack_array(data, LANES)
    height = stack_array(data, LANES)
    given = stack_array(data, LANES)
    cosine = stack_array(data, LANES)
    sine = stack_array(data, LANES)
    cosine_rest = stack_array(data, LANES)
    sine_rest = stack_array(data, LANES)
    area = stack_array(data, LANES)
    hull_left = stack_array(data, LANES)
    hull_top = stack_array(data, LANES)
    hull_right = stack_array(data, LANES)
    hull_bottom = stack_array(data, LANES)
    angle = stack_array(np.float64, LANES)
    lost = stack_array(np.float64, LANES)
    quarters = stack_array(np.float64, LANES)
    largest = stack_array(np.float64, LANES)
    smallest = stack_array(np.float64, LANES)
    is_single = data.itemsize == 4
    empty_area = 1.1754943508222875e-38 if is_single else 2.2250738585072014e-308
    is_radians = layout == 1 or layout == 3
    # Clockwise as seen in an image, whose y points down, is from x towards y.
    sense = 1.0 if layout == 2 or layout == 3 else -1.0
    most = MOST_RADIANS if is_radians else MOST_DEGREES
    rounding = 2.0**-22 if is_single else 2.0**-51
    any_odd = False
    for j in range(LANES):
        largest[j] = 0.0
        smallest[j] = np.inf
    for start in range(first, last, LANES):
        read(boxes, start, (x, y, width, height, given), third)
        special = 0
        for j in range(np.uint64(LANES)):
            # Only an infinity or NaN gives NaN here, and only NaN differs from itself.
            strange = product(none, x[j]) + product(none, y[j])
            strange = strange + product(none, width[j]) + product(none, height[j])
            strange = strange + product(none, given[j])
            if third is not None:
                strange = strange + (product(none, third[0][j]) + product(none, third[1][j]))
            turn = product(sense, np.float64(given[j]))
            special += 0 if strange == strange and abs(turn) <= most else 1
            angle[j] = turn
        if special > 0:
            for j in range(LANES):
                strange = product(none, x[j]) + product(none, y[j])
                strange = strange + product(none, width[j]) + product(none, height[j])
                strange = strange + product(none, given[j])
                if third is not None:
                    strange = strange + (product(none, third[0][j]) + product(none, third[1][j]))
                if strange != strange:
                    any_odd = True
                    x[j] = y[j] = width[j] = height[j] = none
                    angle[j] = 0.0
                elif abs(angle[j]) > most:
                    turn = angle[j]
                    if is_radians:
                        angle[j] = math.atan2(math.sin(turn), math.cos(turn))
                    else:
                        angle[j] = turn % 360.0  # exact, as fmod is
        if is_radians:
            for j in range(np.uint64(LANES)):
                angle[j], lost[j], quarters[j] = reduced_radians(angle[j])
        else:
            for j in range(np.uint64(LANES)):
                angle[j], lost[j], quarters[j] = reduced_degrees(angle[j])
        for j in range(np.uint64(LANES)):
            c, s = cosine_and_sine(angle[j], lost[j])
            half_width = product(0.5, np.float64(width[j]))
            half_height = product(0.5, np.float64(height[j]))
            centre_x = np.float64(x[j])
            centre_y = np.float64(y[j])
            half_turns = product(0.5, quarters[j])
            swapped = half_turns != whole(half_turns)
            if layout == 4:
                # From the corner to the centre: half the sides, turned by quarters, then the rest.
                u = -half_height if swapped else half_width
                v = half_width if swapped else half_height
                # Quarters modulo 4 are 2 or 3.
                half_turns = half_turns - 0.5 if swapped else half_turns
                fourth = product(0.5, half_turns)
                back = fourth != whole(fourth)
                u = -u if back else u
                v = -v if back else v
                centre_x = centre_x + (product(u, c) - product(v, s))
                centre_y = centre_y + (product(u, s) + product(v, c))
            proper = half_width > 0.0 and half_height > 0.0
            if third is not None:
                proper = proper and third[1][j] > none
            across = half_height if swapped else half_width
            upright = half_width if swapped else half_height
            across = across if proper else 0.0
            upright = upright if proper else 0.0
            size = product(4.0, product(across, upright))
            # 0 is added for a reason: see `axis_columns.findings_in`.
            smallest[j] = smaller(smallest[j], size if proper else np.inf) + 0.0
            x[j] = narrowed(centre_x, none)
            y[j] = narrowed(centre_y, none)
            width[j] = narrowed(across, none)
            height[j] = narrowed(upright, none)
            area[j] = narrowed(size if size > 0.0 else empty_area, none)
            cosine[j] = narrowed(c, none)
            sine[j] = narrowed(s, none)
            if is_single:
                cosine_rest[j] = narrowed(c - np.float64(cosine[j]), none)
                sine_rest[j] = narrowed(s - np.float64(sine[j]), none)
            spread = abs(s)
            reach_x = product(across, c) + product(upright, spread)
            reach_y = product(across, spread) + product(upright, c)
            centre_x = np.float64(x[j])
            centre_y = np.float64(y[j])
            far = larger(abs(centre_x) + reach_x, abs(centre_y) + reach_y)
            largest[j] = larger(largest[j], far) + 0.0
            # A bit larger than it is, for all that was rounded; but for an empty box, which is to
            # overlap nothing.
            more = rounding if proper else 0.0
            reach_x = reach_x + product(more, abs(centre_x) + reach_x)
            reach_y = reach_y + product(more, abs(centre_y) + reach_y)
            hull_left[j] = narrowed(centre_x - reach_x, none)
            hull_top[j] = narrowed(centre_y - reach_y, none)
            hull_right[j] = narrowed(centre_x + reach_x, none)
            hull_bottom[j] = narrowed(centre_y + reach_y, none)
        store(bounds[0], start, hull_left, LANES)
        store(bounds[1], start, hull_top, LANES)
        store(bounds[2], start, hull_right, LANES)
        store(bounds[3], start, hull_bottom, LANES)
        store(data[0], start, x, LANES)
        store(data[1], start, y, LANES)
        store(data[2], start, width, LANES)
        store(data[3], start, height, LANES)
        store(data[4], start, cosine, LANES)
        store(data[5], start, sine, LANES)
        store(data[6], start, area, LANES)
        if is_single:
            store(data[7], start, cosine_rest, LANES)
            store(data[8], start, sine_rest, LANES)
    for j in range(LANES):
        largest[0] = larger(largest[0], largest[j])
        smallest[0] = smaller(smallest[0], smallest[j])
    return any_odd, largest[0], smallest[0]


@register_jitable
def fill_rotated(
    boxes: Array, first: int, last: int, layout: int, bounds: Array, data: Array
) -> tuple[bool, float, float]:
    """Fill columns of boxes (n, 5) from `first` to `last` (see `AxisColumns`)."""
    return fill_columns(read_flat, boxes, first, last, layout, bounds, data, None)
