"""Masks as COCO has them in JSON, byte by byte: polygons, and run lengths with a size.

The text is known to be JSON there (see `json_kernels`), which ends with a 0. What is another mask,
or one that is rare, is told apart and left to Python's parser.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.parsing.json_kernels import (
    BACKSLASH,
    CLOSED,
    COLON,
    COMMA,
    LIST_CLOSED,
    LIST_OPENED,
    OPENED,
    QUOTE,
    QUOTES,
    after_blanks,
    plain_letters,
)
from fastiou.parsing.json_numbers import FAULT, ONES, PAGE, UPPER_BITS, integer, number
from fastiou.parsing.mask_kinds import LETTERS, NUMBERS, OTHER, RINGS
from fastiou.runtime.bit_vectors import count_ones, count_zeros_below, low_bits
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address, any_word_at, byte_at
from fastiou.typing import Array

__all__ = ["DESCRIBE", "READ_COUNTS", "READ_RINGS"]

#: The two names of run lengths, quotes included.
SIZE, COUNTS = tuple(b'"size"'), tuple(b'"counts"')

#: The last byte that numbers have besides blanks, and commas.
SMALL_E = ord("e")

# eight bytes of one kind, and what lifts a bracket to 128
COMMAS = ONES * np.uint64(COMMA)
BELOW_BRACKETS = ONES * np.uint64(128 - LIST_OPENED)

#: Bytes of a number and the blanks around it. Of some thousands of digits Python makes no number.
LONGEST = 1000

#: Numbers of the shortest ring, of three points.
FEWEST = 6


@register_jitable
def _after_name(text: int, at: int, name: tuple[int, ...]) -> int:
    """Step over a name, and the colon and blanks behind it; `FAULT` if it is another."""
    for letter in name:
        if byte_at(text, at) != letter:
            return FAULT
        at += 1
    at = after_blanks(text, at)
    return after_blanks(text, at + 1) if byte_at(text, at) == COLON else FAULT


@register_jitable
def _after_letters(text: int, at: int) -> int:
    """Step over a string that has no escapes but that of a backslash, from its quote on."""
    at += 1
    while True:
        at += plain_letters(text + at)
        byte = byte_at(text, at)
        at += 1
        if byte == QUOTE:
            return at
        if byte == BACKSLASH:
            if byte_at(text, at) != BACKSLASH:
                return FAULT
            at += 1


@register_jitable
def _measure_counts(text: int, at: int) -> tuple[int, int]:
    """How many whole numbers from 0 on a list has, from its bracket on, and where it ends."""
    count = 0
    while True:
        value, at = integer(text, after_blanks(text, at + 1))
        if at < 0 or value < 0:
            return 0, FAULT
        count += 1
        at = after_blanks(text, at)
        byte = byte_at(text, at)
        if byte == LIST_CLOSED:
            return count, at + 1
        if byte != COMMA:
            return 0, FAULT


@register_jitable
def _describe_runs(text: int, at: int) -> tuple[int, int, int, int, int]:
    """Kind, height, width, where the counts are, and how many; from the opening brace on."""
    kind, height, width, start, amount = OTHER, 0, 0, 0, 0
    has_size = False
    for end in (COMMA, CLOSED):
        at = after_blanks(text, at + 1)
        if not has_size and byte_at(text, at + 1) == SIZE[1]:
            at = _after_name(text, at, SIZE)
            if at < 0 or byte_at(text, at) != LIST_OPENED:
                return OTHER, 0, 0, 0, 0
            height, at = integer(text, after_blanks(text, at + 1))
            if at >= 0:
                at = after_blanks(text, at)
            if at < 0 or byte_at(text, at) != COMMA:
                return OTHER, 0, 0, 0, 0
            width, at = integer(text, after_blanks(text, at + 1))
            if at >= 0:
                at = after_blanks(text, at)
            if at < 0 or byte_at(text, at) != LIST_CLOSED:
                return OTHER, 0, 0, 0, 0
            at += 1
            has_size = True
        elif kind == OTHER:
            at = _after_name(text, at, COUNTS)
            if at < 0:
                return OTHER, 0, 0, 0, 0
            start = at
            if byte_at(text, at) == QUOTE:
                kind = LETTERS
                at = _after_letters(text, at)
                start, amount = start + 1, at - start - 2
            elif byte_at(text, at) == LIST_OPENED:
                kind = NUMBERS
                amount, at = _measure_counts(text, at)
            else:
                at = FAULT
        else:
            at = FAULT
        if at < 0:
            return OTHER, 0, 0, 0, 0
        at = after_blanks(text, at)
        if byte_at(text, at) != end:
            return OTHER, 0, 0, 0, 0
    return kind, height, width, start, amount


@register_jitable
def _describe_ring(text: int, at: int) -> tuple[int, int]:
    """How many numbers a ring has, from behind its bracket on, and where it ends."""
    numbers, passed = 1, 0
    while True:
        while (text + at) & (PAGE - 1) <= PAGE - 8:  # see `plain_letters`
            word = any_word_at(text + at, 0)
            quotes, commas = word ^ QUOTES, word ^ COMMAS
            # Brackets, braces and letters but E, and quotes. The first of these is told right.
            special = (word + BELOW_BRACKETS) | word | (quotes - ONES) & ~quotes
            special &= UPPER_BITS
            # The upper bits of the bytes that are commas, all told right.
            commas = ~((commas | UPPER_BITS) - ONES | commas) & UPPER_BITS
            if special != np.uint64(0):
                plain = count_zeros_below(special) >> 3
                numbers += count_ones(commas & low_bits(8 * plain))
                at += plain
                break
            found = count_ones(commas)
            numbers += found
            passed = passed + 8 if found == 0 else 0
            if passed > LONGEST:
                return 0, FAULT
            at += 8
        byte = byte_at(text, at)
        at += 1
        if byte == COMMA:
            numbers += 1
        elif byte == LIST_CLOSED:
            return numbers, at
        elif byte > SMALL_E or byte in (LIST_OPENED, QUOTE):
            return 0, FAULT


@register_jitable
def _describe_rings(text: int, at: int) -> tuple[int, int]:
    """How many numbers and rings a list of rings has, from its bracket on; 0 if it is another."""
    numbers, rings = 0, 0
    while True:
        at = after_blanks(text, at + 1)
        if byte_at(text, at) != LIST_OPENED:
            return 0, 0
        own, at = _describe_ring(text, at + 1)
        if own < FEWEST or own & 1:
            return 0, 0
        numbers += own
        rings += 1
        at = after_blanks(text, at)
        if byte_at(text, at) == LIST_CLOSED:
            return numbers, rings


def _describe(
    text: Array, places: Array, kinds: Array, sizes: Array, starts: Array, amounts: Array
) -> None:
    """Tell what masks are.

    Shapes and dtypes: `text` uint8; `places` int64, (n, 2): where the value of each begins, -1
    where there is none. All others are filled: `kinds` int8, (n,); `sizes` int64, (n, 2): height
    and width of run lengths, else -1; `starts` int64, (n,): where the counts or the rings are;
    `amounts` int64, (n, 2): how many letters (a backslash is two) or numbers these have, and how
    many rings.
    """
    start = address(text)
    for row in prange(len(places)):
        kind, height, width, place, amount, rings = OTHER, -1, -1, places[row, 0], 0, 0
        if place >= 0:
            byte = byte_at(start, place)
            if byte == OPENED:
                kind, height, width, place, amount = _describe_runs(start, place)
            elif byte == LIST_OPENED:
                amount, rings = _describe_rings(start, place)
                kind = RINGS if rings > 0 else OTHER
        if kind in (RINGS, OTHER):
            height, width = -1, -1
        kinds[row] = kind
        sizes[row, 0], sizes[row, 1] = height, width
        starts[row] = place
        amounts[row, 0], amounts[row, 1] = amount, rings


#: `(text, places, kinds, sizes, starts, amounts)`
DESCRIBE = Kernel(_describe, "describe-masks")


def _read_counts(text: Array, starts: Array, counts: Array, cuts: Array) -> None:
    """Write the whole numbers of lists, which begin at `starts`, between `cuts` (n + 1,)."""
    start = address(text)
    for row in prange(len(starts)):
        at = starts[row]
        for i in range(cuts[row], cuts[row + 1]):
            counts[i], at = integer(start, after_blanks(start, at + 1))
            at = after_blanks(start, at)


#: `(text, starts, counts, cuts)`
READ_COUNTS = Kernel(_read_counts, "read-counts")


def _read_rings(
    text: Array,
    starts: Array,
    powers: Array,
    numbers: Array,
    number_cuts: Array,
    ends: Array,
    ring_cuts: Array,
    faults: Array,
) -> None:
    """Write the numbers of rings, and where those of each ring end.

    Shapes and dtypes: `text` uint8; `starts` int64, (n,); `powers` as `powers_of_ten`; `numbers`
    float64, those of a mask between `number_cuts` (n + 1,); `ends` int64, those of a mask's rings
    between `ring_cuts` (n + 1,); `faults` bool, (n,): which have a number that was not read.
    """
    start, table = address(text), address(powers)
    for row in prange(len(starts)):
        at = starts[row]
        position, last = number_cuts[row], number_cuts[row + 1]
        ring = ring_cuts[row]
        while position < last:
            at = after_blanks(start, at + 1)
            byte = byte_at(start, at)
            if byte == LIST_OPENED:
                at = after_blanks(start, at + 1)
            value, at = number(start, at, table)
            if at < 0:
                break
            numbers[position] = value
            position += 1
            at = after_blanks(start, at)
            if byte_at(start, at) == LIST_CLOSED:
                ends[ring] = position
                ring += 1
                at = after_blanks(start, at + 1)
        faults[row] = at < 0


#: `(text, starts, powers, numbers, number_cuts, ends, ring_cuts, faults)`
READ_RINGS = Kernel(_read_rings, "read-rings")
