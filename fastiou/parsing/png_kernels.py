"""PNG of colours to numbers: the filters of rows, undone in a compiled loop."""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["UNFILTER"]


#: The lower bits and the highest of three bytes, which are added without carrying into the next.
LOW, HIGH = 0x7F7F7F, 0x808080

#: How a row is filtered, as its first byte tells.
NONE, SUB, UP, AVERAGE, PAETH = range(5)


@register_jitable
def _added(number: int, other: int) -> int:
    """The sums of three bytes, each by itself, modulo 256."""
    return ((number & LOW) + (other & LOW)) ^ ((number ^ other) & HIGH)


@register_jitable
def _nearest(left: int, up: int, corner: int) -> int:
    """Of each of three bytes, that which is nearest to left + up - corner."""
    found = 0
    for shift in (0, 8, 16):
        a, b, c = (left >> shift) & 255, (up >> shift) & 255, (corner >> shift) & 255
        to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
        nearest = a
        if to_a > to_b or to_a > to_c:
            nearest = b if to_b <= to_c else c
        found |= nearest << shift
    return found


@register_jitable
def _half(left: int, up: int) -> int:
    """The means of three bytes, rounded down."""
    found = 0
    for shift in (0, 8, 16):
        found |= ((((left >> shift) & 255) + ((up >> shift) & 255)) >> 1) << shift
    return found


def _unfilter(data: Array, numbers: Array) -> int:
    """Undo the filters of an image of three bytes a pixel; return -1, or the row of an unknown one.

    Parameters
    ----------
    data
        (height × (3 width + 1),) uint8: the rows, each behind a byte that tells its filter.
    numbers
        (height, width) int32: gets the first byte of each pixel + 256 × the second + 65536 × the
        third.
    """
    height, width = numbers.shape
    at = 0
    for y in range(height):
        kind = data[at]
        at += 1
        if kind > PAETH:
            return y
        left, corner = 0, 0
        for x in range(width):
            number = np.int64(data[at] | data[at + 1] << 8 | data[at + 2] << 16)
            at += 3
            up = np.int64(numbers[y - 1, x]) if y > 0 else 0
            if kind == UP:
                number = _added(number, up)
            elif kind == SUB:
                number = _added(number, left)
            elif kind == PAETH:
                # In the middle of a segment all neighbours are equal.
                is_flat = left == up and up == corner
                number = _added(number, left if is_flat else _nearest(left, up, corner))
            elif kind == AVERAGE:
                number = _added(number, _half(left, up))
            numbers[y, x] = number
            left, corner = number, up
    return -1


UNFILTER = Kernel(_unfilter, "unfilter")
