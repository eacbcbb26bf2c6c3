"""PNG of colours to numbers, in one compiled call: unpacked, and the filters of rows undone."""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastiou.parsing.inflate import inflate
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import three_bytes
from fastiou.typing import Array

__all__ = ["COLOUR_NUMBERS"]


#: The lower bits and the highest of three bytes, which are added without carrying into the next.
LOW, HIGH = 0x7F7F7F, 0x808080

#: Pixels that are made of bytes at a time.
PIXELS = 32

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


@register_jitable
def _undo(kind: int, row: Array, above: Array, numbers: Array) -> None:
    """Undo the filter of a row.

    Parameters
    ----------
    kind
        The filter.
    row
        (3 × width,) uint8.
    above, numbers
        (width,) int32: the row above, and this one, whose differences become numbers.
    """
    width = len(numbers)
    whole = width - width % PIXELS
    for x in range(0, whole, PIXELS):
        three_bytes(row, 3 * x, PIXELS, numbers, x)
    for x in range(whole, width):
        numbers[x] = (
            np.int32(row[3 * x])
            | np.int32(row[3 * x + 1]) << np.int32(8)
            | np.int32(row[3 * x + 2]) << np.int32(16)
        )
    if kind == UP:
        for x in range(width):
            numbers[x] = _added(numbers[x], above[x])
    elif kind == SUB:
        left = np.int32(0)
        for x in range(width):
            left = np.int32(_added(numbers[x], left))
            numbers[x] = left
    elif kind == AVERAGE:
        left = np.int32(0)
        for x in range(width):
            left = np.int32(_added(numbers[x], _half(left, above[x])))
            numbers[x] = left
    elif kind == PAETH:
        left, corner = np.int32(0), np.int32(0)
        for x in range(width):
            up = above[x]
            # In a segment and at most of its edge two of the neighbours are equal.
            guess = left
            if up != corner:
                guess = up if left == corner else np.int32(_nearest(left, up, corner))
            left = np.int32(_added(numbers[x], guess))
            numbers[x] = left
            corner = up


def _colour_numbers(data: Array, rows: Array, numbers: Array) -> bool:
    """Read the pixels of an image of three bytes each; tell whether they could be read.

    Parameters
    ----------
    data
        (n,) uint8: the packed rows.
    rows
        (height, 1 + 3 × width) uint8: scratch; gets the rows, each behind a byte that tells its
        filter.
    numbers
        (height, width) int32: gets the first byte of each pixel + 256 × the second + 65536 × the
        third.
    """
    height, width = numbers.shape
    if inflate(data, rows.reshape(-1)) != rows.size:
        return False
    above = np.zeros(width, np.int32)
    for y in range(height):
        kind = rows[y, 0]
        if kind > PAETH:
            return False
        _undo(kind, rows[y, 1:], above, numbers[y])
        above = numbers[y]
    return True


COLOUR_NUMBERS = Kernel(_colour_numbers, "colour-numbers")
