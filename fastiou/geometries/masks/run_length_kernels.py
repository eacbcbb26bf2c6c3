"""COCO's code for run lengths, read and written.

A number is a row of characters, five bits in each, the lowest first. The characters run from 48 to
111: 48 plus the five bits, plus 32 where the number goes on. Bit 16 of its last character is its
sign. From the fourth count on, the number is the difference to the count two before.
"""

from __future__ import annotations

from numba import prange
from numba.extending import register_jitable

from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = [
    "BAD_CHARACTER",
    "DECODE",
    "ENCODE",
    "LONGEST",
    "NEGATIVE",
    "TOO_LONG",
    "TOO_MANY",
    "TRUNCATED",
    "VALID",
    "WRONG_SUM",
]


# What was found in an entry, and what is reported with it, as two numbers.
VALID = 0
#: Position of the character, the character.
BAD_CHARACTER = 1
#: Position and length of a number that the end cuts off.
TRUNCATED = 2
#: Position of a number, and the length that is too long.
TOO_LONG = 3
#: Position among the counts, the count.
NEGATIVE = 4
#: How many counts, and their sum, which is already too large.
TOO_MANY = 5
#: How many counts, and their sum.
WRONG_SUM = 6

#: Characters of the longest number: 35 bits hold the difference between any two counts of a mask
#: of 2³³ pixels, and sums with one such number cannot overflow.
LONGEST = 7


@register_jitable
def _count_numbers(text: Array, first: int, last: int) -> int:
    """How many characters end a number."""
    found = 0
    for i in range(first, last):
        found += ((text[i] - 48) & 32) == 0
    return found


@register_jitable
def _decode_one(
    text: Array, first: int, last: int, pixels: int, counts: Array, start: int
) -> tuple[int, int, int]:
    """Write the counts of one entry from `start` on, as far as they are valid.

    It writes no more of them than `_count_numbers` finds, since each has a last character.
    """
    total = 0
    before = 0  # the last count, and the one before it
    before_that = 0
    written = 0
    i = first
    while i < last:
        begin = i
        number = 0
        shift = 0
        more = True
        while more:
            if i == last:
                return TRUNCATED, begin - first, last - begin
            if i - begin == LONGEST:
                return TOO_LONG, begin - first, LONGEST + 1
            character = text[i] - 48
            if character < 0 or character > 63:
                return BAD_CHARACTER, i - first, character + 48
            number |= (character & 31) << shift
            shift += 5
            more = character & 32 != 0
            if not more and character & 16 != 0:
                number -= 1 << shift
            i += 1
        count = number
        if written > 2:
            count += before_that
        if count < 0:
            return NEGATIVE, written, count
        counts[start + written] = count
        written += 1
        total += count
        if total > pixels:
            return TOO_MANY, written, total
        before_that = before
        before = count
    return VALID if total == pixels else WRONG_SUM, written, total


def _decode(
    text: Array,
    cuts: Array,
    pixels: Array,
    counting: bool,
    sizes: Array,
    counts: Array,
    starts: Array,
    findings: Array,
) -> None:
    for entry in prange(len(cuts) - 1):
        if counting:
            sizes[entry] = _count_numbers(text, cuts[entry], cuts[entry + 1])
        else:
            status, where, what = _decode_one(
                text, cuts[entry], cuts[entry + 1], pixels[entry], counts, starts[entry]
            )
            findings[entry, 0] = status
            findings[entry, 1] = where
            findings[entry, 2] = what


#: Reads entries of images of so many pixels, whose characters lie between `cuts`. When
#: `counting`, it fills `sizes` with how many counts each has, in one fast pass; when not, it fills
#: `counts` from `starts` on, and `findings` with what is wrong. One kernel does both, since each
#: costs a second to compile.
DECODE = Kernel(_decode, "decode")


def _encode(counts: Array, offsets: Array, text: Array, sizes: Array) -> None:
    for mask in prange(len(offsets) - 1):
        first = offsets[mask]
        begin = LONGEST * first
        position = begin
        for i in range(first, offsets[mask + 1]):
            number = counts[i]
            if i - first > 2:
                number -= counts[i - 2]
            more = True
            while more:
                character = number & 31
                number >>= 5
                more = number != (-1 if character & 16 != 0 else 0)
                text[position] = 48 + character + (32 if more else 0)
                position += 1
        sizes[mask] = position - begin


#: Writes masks into `text`, each from `LONGEST` times its offset on, and how many characters each
#: takes into `sizes`.
ENCODE = Kernel(_encode, "encode")
