"""Compressed run lengths measured and packed letter by letter, without their counts in between.

`run_length_kernels` describes the code. Letters are read from a text of any kind. In JSON a
backslash is written twice: `doubled` is 1 there, else 0.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.geometries.masks.bits import set_pixels
from fastiou.geometries.masks.run_length_kernels import LONGEST
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address, byte_at
from fastiou.typing import Array

__all__ = ["FILL_LETTERS", "MEASURE_LETTERS"]

#: The backslash less 48, as which the code counts.
BACKSLASH = 92 - 48


@register_jitable
def _number(text: int, at: int, end: int, doubled: int) -> tuple[int, int]:
    """The number that begins at a place, and where it ends; -1 if it is malformed."""
    letter = np.int64(byte_at(text, at)) - 48
    if 0 <= letter < 32:  # most are of one letter
        return letter - ((letter & 16) << 1), at + 1
    return _long_number(text, at, end, doubled)


@register_jitable
def _long_number(text: int, at: int, end: int, doubled: int) -> tuple[int, int]:
    """The same of a number of any length."""
    number = 0
    shift = 0
    while shift < 5 * LONGEST and at < end:
        letter = np.int64(byte_at(text, at)) - 48
        at += 1
        if letter == BACKSLASH:
            at += doubled
        if letter < 0 or letter > 63:
            return 0, -1
        number |= (letter & 31) << shift
        shift += 5
        if letter & 32 == 0:
            return number - ((letter & 16) << (shift - 4)), at
    return 0, -1


@register_jitable
def _measure_one(
    text: int, at: int, end: int, doubled: int, height: int, width: int, box: Array
) -> int:
    """Fill the bounding box of one mask, and return its pixels; -1 if it is malformed."""
    pixels = height * width
    left, top, right, bottom = width, height, 0, 0
    area, total, signs = 0, 0, 0
    x, y = 0, 0
    zeros, ones = 0, 0
    is_first = True
    while at < end:
        number, at = _number(text, at, end, doubled)
        if at < 0:
            return -1
        count = number + zeros
        zeros = 0 if is_first else count  # the third count is no difference yet
        is_first = False
        signs |= count
        total += count
        y += count
        if y >= height:
            x, y = _wrapped(x, y, height)
            if total > pixels:  # before a sum can overflow
                return -1
        if at >= end:
            break
        number, at = _number(text, at, end, doubled)
        if at < 0:
            return -1
        ones += number
        signs |= ones
        total += ones
        if ones > 0:
            area += ones
            left = min(left, x)
            top = min(top, y)
            y += ones
            right = x + 1
            bottom = max(bottom, y)
            if y >= height:
                if y > height:  # from the bottom of one column to the top of the next
                    top, bottom = 0, height
                    right += (y - 1) // max(height, 1)
                x, y = _wrapped(x, y, height)
                if total > pixels:
                    return -1
    # Whatever lies outside makes the sum wrong, or another count negative.
    if signs < 0 or total != pixels:
        return -1
    if area == 0:
        left, top = 0, 0
    box[0], box[1], box[2], box[3] = left, top, right, bottom
    return area


@register_jitable
def _wrapped(x: int, y: int, height: int) -> tuple[int, int]:
    """Column and row of a pixel that is below the end of a column."""
    y -= height
    if y < height:
        return x + 1, y
    return x + 1 + y // max(height, 1), y % max(height, 1)


def _measure_letters(
    text: Array, begins: Array, ends: Array, doubled: int, sizes: Array, boxes: Array, areas: Array
) -> None:
    """Fill the bounding box of each mask, all 0 for an empty one, and its pixels.

    Shapes and dtypes: `text` uint8; `begins` and `ends` int64, (n,); `sizes` int64, (n, 2): height
    and width of images; `boxes` int64, (n, 4); `areas` int64, (n,): -1 for what is malformed.
    """
    start = address(text)
    for k in prange(len(begins)):
        areas[k] = _measure_one(
            start, begins[k], ends[k], doubled, sizes[k, 0], sizes[k, 1], boxes[k]
        )


#: `(text, begins, ends, doubled, sizes, boxes, areas)`
MEASURE_LETTERS = Kernel(_measure_letters, "measure-letters")


def _fill_letters(
    text: Array,
    begins: Array,
    ends: Array,
    doubled: int,
    sizes: Array,
    boxes: Array,
    starts: Array,
    words: Array,
) -> None:
    """Set the pixels of masks that were measured.

    Shapes and dtypes: as above; `starts` int64, (n,): where the words of each begin in `words`
    uint64, which are 0.
    """
    start = address(text)
    for k in prange(len(begins)):
        left, top, width = boxes[k, 0], boxes[k, 1] >> 6, boxes[k, 2] - boxes[k, 0]
        height = sizes[k, 0]
        at, end = begins[k], ends[k]
        x, y = np.int64(0), np.int64(0)
        zeros, ones = np.int64(0), np.int64(0)
        is_first = True
        while at < end:
            number, at = _number(start, at, end, doubled)
            y += number + zeros
            zeros = 0 if is_first else number + zeros
            is_first = False
            if y >= height:
                x, y = _wrapped(x, y, height)
            if at >= end:
                break
            number, at = _number(start, at, end, doubled)
            ones += number
            count = ones
            while count > 0:
                # Whole columns together: see `bits.FILL_RUNS`.
                columns = max(1, count // height) if y == 0 and count > height else 1
                high = min(height, y + count)
                set_pixels(words, starts[k] + x - left, width, top, columns, y, high)
                count -= (high - y) * columns
                y = high
                if y == height:
                    y = np.int64(0)
                    x += columns


#: `(text, begins, ends, doubled, sizes, boxes, starts, words)`
FILL_LETTERS = Kernel(_fill_letters, "fill-letters")
