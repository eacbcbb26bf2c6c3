"""Boxes as columns: what every kernel over boxes reads.

Scores are computed from columns, one contiguous array per coordinate, so that a kernel loads a
vector of boxes at once.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.compilation import Kernel
from fastiou.cpu.intrinsics import deinterleave, prefer_widest_vectors, stack_array
from fastiou.metrics import larger, product, smaller

__all__ = ["FILL", "LAYOUTS", "PADDING", "BoxColumns", "box", "fill_columns", "limits"]

Array = npt.NDArray[Any]

#: The formats of a box and their numbers in the kernels.
LAYOUTS = {"xyxy": 0, "xywh": 1, "cxcywh": 2}

#: Columns go on this far past the last box, so that kernels may always compute whole chunks.
PADDING = 64


#: Boxes prepared at a time: as many float32 as fill the widest vector.
LANES = 16
FOUR_LANES = 4 * LANES


class BoxColumns(NamedTuple):
    """Boxes, ready for the kernels. Both arrays go on at least `PADDING` past the last box."""

    #: (4, > n): left, top, right, bottom; int64 where float64 would not be exact.
    corners: Array
    #: (4, > n): area, aspect angle (for ciou alone), centre x, centre y (for box metrics alone).
    measures: Array
    #: (n,) bool: boxes with a NaN, held as empty boxes at the origin. None if there are none.
    missing: Array | None


@functools.cache
def limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Largest coordinate and smallest area for which no product of two sides goes wrong.

    Between them the square of a hull's diagonal cannot overflow, and adding the smallest normal
    number, which stands in for an area of 0, to an area does not change it.
    """
    info = np.finfo(dtype)
    largest = math.ldexp(1.0, (int(info.maxexp) - 8) // 2)
    smallest = math.ldexp(1.0, int(info.minexp) + int(info.nmant) + 3)
    return largest, smallest


@register_jitable
def box(corners: Array, measures: Array, i: int) -> Any:
    """Box `i` of the columns, as `metrics` takes it."""
    return (
        corners[0, i],
        corners[1, i],
        corners[2, i],
        corners[3, i],
        measures[0, i],
        measures[1, i],
        measures[2, i],
        measures[3, i],
    )


@register_jitable
def _judge(boxes: Array, first: int, last: int, missing: Array) -> int:
    """Mark the boxes with a NaN, and return the first with an infinity; `len(boxes)` if none."""
    unbounded = np.inf
    first_infinite = len(boxes)
    for i in range(last - 1, first - 1, -1):
        a, b, c, d = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        odd = (a - a) + (b - b) + (c - c) + (d - d)
        missing[i] = odd != odd
        if max(abs(a), abs(b)) == unbounded or max(abs(c), abs(d)) == unbounded:
            first_infinite = i
    return first_infinite


@register_jitable
def fill_columns(
    boxes: Array,
    first: int,
    last: int,
    layout: int,
    area_of_sides: bool,
    centres: bool,
    corners: Array,
    measures: Array,
) -> tuple[bool, float, float]:
    """Fill the columns of float boxes (N, 4) from `first` to `last`; centres only if asked to.

    `first` is a multiple of `LANES`, `last` too or N. Up to `LANES` - 1 empty boxes follow the last
    in the columns.

    Returns whether any box has a NaN or an infinity (see `_judge`), the largest absolute corner and
    the smallest area of a box with positive sides.
    """
    prefer_widest_vectors()
    number = measures.dtype.type
    zero = number(0)
    half = number(0.5)
    # The smallest normal number: 2⁻¹²⁶ or 2⁻¹⁰²².
    empty_area = number(
        1.1754943508222875e-38 if measures.itemsize == 4 else 2.2250738585072014e-308
    )
    # Step by step through arrays on the stack, and extremes lane by lane, so that LLVM makes
    # vectors of everything: 5 ns a box became XXX.
    a = stack_array(measures, LANES)
    b = stack_array(measures, LANES)
    c = stack_array(measures, LANES)
    d = stack_array(measures, LANES)
    area = stack_array(measures, LANES)
    centre_x = stack_array(measures, LANES)
    centre_y = stack_array(measures, LANES)
    largest = stack_array(measures, LANES)
    smallest = stack_array(measures, LANES)
    odd = stack_array(measures, LANES)
    for j in range(LANES):
        largest[j] = odd[j] = zero
        smallest[j] = np.inf
    rest = stack_array(measures, FOUR_LANES)
    numbers = boxes.reshape(boxes.size)
    for start in range(np.uint64(first), np.uint64(last), np.uint64(LANES)):
        count = min(np.uint64(LANES), np.uint64(last) - start)
        if count == LANES:
            deinterleave(numbers, np.uint64(4) * start, LANES, (a, b, c, d))
        else:
            for j in range(FOUR_LANES):
                rest[j] = zero
            for j in range(np.uint64(4) * count):
                rest[j] = numbers[np.uint64(4) * start + j]
            deinterleave(rest, np.uint64(0), LANES, (a, b, c, d))
        for j in range(np.uint64(LANES)):
            # Only an infinity or NaN gives NaN here, and only NaN differs from itself.
            strange = (a[j] - a[j]) + (b[j] - b[j]) + (c[j] - c[j]) + (d[j] - d[j])
            usual = strange == strange
            odd[j] = odd[j] if usual else strange
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
            size = larger(x2, zero) * larger(y2, zero) if area_of_sides else width * height
            proper = width > zero and height > zero
            smallest[j] = size if proper and size < smallest[j] else smallest[j]
            # Neither corner is farther from 0 than these, since left <= right and top <= bottom.
            largest[j] = larger(largest[j], larger(larger(-left, right), larger(-top, bottom)))
            a[j], b[j], c[j], d[j] = left, top, right, bottom
            area[j] = size if size > zero else empty_area
            centre_x[j] = half * (left + right)
            centre_y[j] = half * (top + bottom)
        for j in range(np.uint64(LANES)):
            corners[0, start + j] = a[j]
        for j in range(np.uint64(LANES)):
            corners[1, start + j] = b[j]
        for j in range(np.uint64(LANES)):
            corners[2, start + j] = c[j]
        for j in range(np.uint64(LANES)):
            corners[3, start + j] = d[j]
        for j in range(np.uint64(LANES)):
            measures[0, start + j] = area[j]
        if centres:
            for j in range(np.uint64(LANES)):
                measures[2, start + j] = centre_x[j]
            for j in range(np.uint64(LANES)):
                measures[3, start + j] = centre_y[j]
    any_odd = False
    high, low = largest[0], smallest[0]
    for j in range(LANES):
        any_odd = any_odd or odd[j] != odd[j]
        high = larger(high, largest[j])
        low = smaller(low, smallest[j])
    return any_odd, high, low


def _fill(
    boxes: Array,
    layout: int,
    area_of_sides: bool,
    centres: bool,
    corners: Array,
    measures: Array,
    missing: Array,
    block: int,
    findings: Array,
) -> None:
    for number in prange(len(findings)):
        first = number * block
        last = min(first + block, len(boxes))
        any_odd, largest, smallest = fill_columns(
            boxes, first, last, layout, area_of_sides, centres, corners, measures
        )
        findings[number, 0] = _judge(boxes, first, last, missing) if any_odd else len(boxes)
        findings[number, 1] = any_odd
        findings[number, 2] = largest
        findings[number, 3] = smallest


#: Fills columns in blocks of boxes, each with a row of findings: its first box with an infinity (N
#: if none), whether any is missing, and the extremes that `fill_columns` returns.
FILL = Kernel(_fill, "fill")
