"""Compressed run lengths measured and packed letter by letter, without their counts in between.

`run_length_kernels` describes the code. Letters are read from a text of any kind. In JSON a
backslash is written twice: `doubled` is 1 there, else 0.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.geometries.masks.run_length_kernels import LONGEST
from fastiou.runtime.bit_vectors import bytes_from, count_zeros_below, low_bits
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address, always_inlined, byte_at, stack_array
from fastiou.typing import Array

__all__ = ["FILL_LETTERS", "MEASURE_LETTERS"]

#: Letters that are looked at together.
BLOCK = 64

#: The first of the letters of the code, how many there are, and how many of these end a number.
FIRST, ALL, LAST = 48, 64, 32

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
def _next_numbers(
    text: int, size: int, at: int, end: int, doubled: int, numbers: Array
) -> tuple[int, int]:
    """Read numbers from a place on, and return how many, and where they end; -1 if malformed.

    They are an even number, but at the end of a mask. Where numbers end is told for 64 letters at
    once, and those of one or two letters are read without a branch, which would be guessed wrongly:
    of rough masks a fifth of letters go on. Of those with an escape there are three letters.

    Parameters
    ----------
    text, size
        The address of a text, and its bytes.
    at, end
        Where the numbers of a mask go on, and end.
    numbers
        (`BLOCK`,) int64: gets them.
    """
    always_inlined()
    if at + BLOCK > size:
        numbers[0], at = _number(text, at, end, doubled)
        if at < 0 or at >= end:
            return 1, at
        numbers[1], at = _number(text, at, end, doubled)
        return 2, at
    inside = low_bits(end - at)
    last_letters = bytes_from(text + at, FIRST, LAST) & inside
    if bytes_from(text + at, FIRST, ALL) & inside != inside:
        return 0, -1
    count, begin, before = 0, at, at
    while last_letters != np.uint64(0):
        place = at + count_zeros_below(last_letters)
        last_letters &= last_letters - np.uint64(1)
        if place > begin + 1:
            number, behind = _long_number(text, begin, place + 1, doubled)
            if behind < 0:
                return 0, -1
        else:
            letters = np.int64(byte_at(text, begin) ^ 16) & 31
            letters |= (np.int64(byte_at(text, place) ^ 16) & 31) << 5
            number = (letters << 54) >> (59 - 5 * (place - begin))
        numbers[count] = number
        count += 1
        before, begin = begin, place + 1
    if count & 1 and begin < end:
        count -= 1
        begin = before
    return count, begin if count > 0 else -1


@register_jitable
def _measure_one(
    text: int,
    size: int,
    at: int,
    end: int,
    doubled: int,
    height: int,
    width: int,
    box: Array,
    numbers: Array,
) -> int:
    """Fill the bounding box of one mask, and return its pixels; -1 if it is malformed."""
    pixels = height * width
    left, top, right, bottom = width, height, 0, 0
    area, total, signs = 0, 0, 0
    x, y = 0, 0
    zeros, ones = 0, 0
    is_first = True
    while at < end:
        read, at = _next_numbers(text, size, at, end, doubled, numbers)
        if at < 0:
            return -1
        for i in range(0, read, 2):
            count = numbers[i] + zeros
            zeros = 0 if is_first else count  # the third count is no difference yet
            is_first = False
            signs |= count
            total += count
            y += count
            if y >= 2 * height:
                x, y = _wrapped(x, y, height)
                if total > pixels:  # before a sum can overflow
                    return -1
            # Whether a column ends here is guessed wrongly where edges are rough.
            is_next = y >= height
            x += 1 if is_next else 0
            y -= height if is_next else 0
            if i + 1 == read:
                break
            ones += numbers[i + 1]
            signs |= ones
            total += ones
            if ones > 0:
                area += ones
                left = min(left, x)
                top = min(top, y)
                y += ones
                right = x + 1
                bottom = max(bottom, y)
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
    start, size = address(text), len(text)
    for k in prange(len(begins)):
        numbers = stack_array(begins, BLOCK)
        areas[k] = _measure_one(
            start, size, begins[k], ends[k], doubled, sizes[k, 0], sizes[k, 1], boxes[k], numbers
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
    start, size = address(text), len(text)
    every = ~np.uint64(0)
    for k in prange(len(begins)):
        numbers = stack_array(begins, BLOCK)
        left, top, width = boxes[k, 0], boxes[k, 1] >> 6, boxes[k, 2] - boxes[k, 0]
        bottom = (boxes[k, 3] + 63) >> 6
        height = sizes[k, 0]
        at, end = begins[k], ends[k]
        first = starts[k] - left - top * width
        x, y = np.int64(0), np.int64(0)
        zeros, ones = np.int64(0), np.int64(0)
        is_first = True
        while at < end:
            read, at = _next_numbers(start, size, at, end, doubled, numbers)
            for i in range(0, read, 2):
                y += numbers[i] + zeros
                zeros = 0 if is_first else numbers[i] + zeros
                is_first = False
                if y >= 2 * height:
                    x, y = _wrapped(x, y, height)
                is_next = y >= height
                x += 1 if is_next else 0
                y -= height if is_next else 0
                if i + 1 == read:
                    break
                ones += numbers[i + 1]
                if ones <= 0:
                    continue
                # A run turns all pixels of a word from its first on, and from that behind it on.
                words[first + (y >> 6) * width + x] ^= every << np.uint64(y & 63)
                y += ones
                while y > height:
                    if height >> 6 < bottom:
                        words[first + (height >> 6) * width + x] ^= every << np.uint64(height & 63)
                    y -= height
                    x += 1
                    words[first + x] ^= every
                if y >> 6 < bottom:
                    words[first + (y >> 6) * width + x] ^= every << np.uint64(y & 63)
        for i in range(starts[k] + width, starts[k] + (bottom - top) * width):
            words[i] ^= np.uint64(np.int64(words[i - width]) >> 63)


#: `(text, begins, ends, doubled, sizes, boxes, starts, words)`
FILL_LETTERS = Kernel(_fill_letters, "fill-letters")
