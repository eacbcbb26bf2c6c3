"""Boxes as columns: what every kernel over boxes reads.

Scores are computed from columns, one contiguous array per coordinate, so that a kernel loads a
vector of boxes at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange
from numba.extending import register_jitable

from fastiou.cpu.compilation import Kernel
from fastiou.metrics import product

__all__ = ["FILL", "LAYOUTS", "PADDING", "BoxColumns", "box", "fill_columns"]

Array = npt.NDArray[Any]

#: The formats of a box and their numbers in the kernels.
LAYOUTS = {"xyxy": 0, "xywh": 1, "cxcywh": 2}

#: Columns go on this far past the last box, so that kernels may always compute whole chunks.
PADDING = 64


class BoxColumns(NamedTuple):
    """Boxes, ready for the kernels. Both arrays go on at least `PADDING` past the last box."""

    #: (4, > n): left, top, right, bottom; int64 where float64 would not be exact.
    corners: Array
    #: (4, > n): area, aspect angle (for ciou alone), centre x, centre y (for box metrics alone).
    measures: Array
    #: (n,) bool: boxes with a NaN, held as empty boxes at the origin. None if there are none.
    missing: Array | None


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
def fill_columns(
    boxes: Array,
    first: int,
    last: int,
    layout: int,
    area_of_sides: bool,
    centres: bool,
    corners: Array,
    measures: Array,
    missing: Array,
) -> tuple[int, bool, float, float]:
    """Fill the columns of float boxes (N, 4) from `first` to `last`; centres only if asked to.

    Returns the first of them with an infinite coordinate (N if none), whether any is missing, the
    largest absolute corner and the smallest area of a box with positive sides.
    """
    count = boxes.shape[0]
    number = measures.dtype.type
    zero = number(0)
    half = number(0.5)
    # The smallest normal number: 2⁻¹²⁶ or 2⁻¹⁰²².
    empty_area = number(
        1.1754943508222875e-38 if measures.itemsize == 4 else 2.2250738585072014e-308
    )
    unbounded = number(np.inf)
    first_infinite = count
    any_missing = False
    largest = zero
    smallest = unbounded
    for i in range(first, last):
        a = boxes[i, 0]
        b = boxes[i, 1]
        c = boxes[i, 2]
        d = boxes[i, 3]
        # Only an infinity or NaN gives NaN here, and only NaN differs from itself.
        odd = (a - a) + (b - b) + (c - c) + (d - d)
        is_missing = odd != odd
        if is_missing:
            infinite = (
                abs(a) == unbounded
                or abs(b) == unbounded
                or abs(c) == unbounded
                or abs(d) == unbounded
            )
            if infinite and first_infinite == count:
                first_infinite = i
            a = b = c = d = zero
            any_missing = True
        missing[i] = is_missing
        if layout == 0:
            left, top, right, bottom = a, b, c, d
        elif layout == 1:
            left, top, right, bottom = a, b, a + c, b + d
        else:
            x, y = product(half, c), product(half, d)
            left, top, right, bottom = a - x, b - y, a + x, b + y
        # An inverted side has length 0 and lies at its first corner.
        right = right if right > left else left
        bottom = bottom if bottom > top else top
        width = right - left
        height = bottom - top
        if area_of_sides:
            area = (c if c > zero else zero) * (d if d > zero else zero)
        else:
            area = width * height
        if width > zero and height > zero and area < smallest:
            smallest = area
        largest = max(largest, abs(left), abs(top), abs(right), abs(bottom))
        corners[0, i] = left
        corners[1, i] = top
        corners[2, i] = right
        corners[3, i] = bottom
        measures[0, i] = area if area > zero else empty_area
        if centres:
            measures[2, i] = half * (left + right)
            measures[3, i] = half * (top + bottom)
    return first_infinite, any_missing, largest, smallest


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
        infinite, any_missing, largest, smallest = fill_columns(
            boxes,
            first,
            min(first + block, len(boxes)),
            layout,
            area_of_sides,
            centres,
            corners,
            measures,
            missing,
        )
        findings[number, 0] = infinite
        findings[number, 1] = any_missing
        findings[number, 2] = largest
        findings[number, 3] = smallest


#: Fills columns in blocks of boxes, each with a row of what `fill_columns` returns.
FILL = Kernel(_fill, "fill")
