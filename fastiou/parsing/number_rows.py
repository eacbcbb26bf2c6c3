"""Rows of numbers in a text, read in compiled code: what trackers and annotators write."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.extending import register_jitable

from fastiou.parsing.decimals import nearest_float, powers_of_ten
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address, byte_at
from fastiou.typing import Array

__all__ = ["rows_of_numbers"]

#: Rows read by one call of the kernel, which takes 10 ms.
PORTION = 1 << 16

#: Bytes of a text by which it is judged how many rows there are, and by how much more room is made.
SAMPLE, MARGIN = 1 << 16, 1.1

#: The most digits of a number that fit in 64 bits, and of one that is a float.
MOST_DIGITS, SAFE_DIGITS = 19, 15

#: What is returned for a place where there is no plain number.
FAULT = -1

#: An exponent beyond it makes 0 or infinity of any number; Python's `float` reads those.
LARGEST_EXPONENT = 10_000

TEN = np.uint64(10)

# of the bytes that follow
MINUS, PLUS, POINT, ZERO, SMALL_E = (ord(letter) for letter in "-+.0e")
SPACE, TAB, LINE_FEED, RETURN = (ord(letter) for letter in " \t\n\r")


@register_jitable
def _after_blanks(text: int, at: int) -> int:
    """Where the next byte is that is neither a blank nor a tab nor a carriage return."""
    while True:
        byte = byte_at(text, at)
        if byte > SPACE or (byte != SPACE and byte != TAB and byte != RETURN):
            return at
        at += 1


@register_jitable
def _number(text: int, at: int, powers: int) -> tuple[float, int]:
    """The number at a place, and where it ends; `FAULT` where Python has to read it."""
    sign = byte_at(text, at)
    if sign in (MINUS, PLUS):
        at += 1
    first = at
    digits = np.uint64(0)
    digit = np.int64(byte_at(text, at)) - ZERO
    while 0 <= digit <= 9:
        digits = digits * TEN + np.uint64(digit)
        at += 1
        digit = np.int64(byte_at(text, at)) - ZERO
    count = at - first
    power = 0
    byte = byte_at(text, at)
    if byte != POINT and byte | 32 != SMALL_E and 0 < count <= SAFE_DIGITS:
        whole = np.float64(np.int64(digits))
        return (-whole if sign == MINUS else whole), at
    if byte == POINT:
        at += 1
        point = at
        digit = np.int64(byte_at(text, at)) - ZERO
        while 0 <= digit <= 9:
            digits = digits * TEN + np.uint64(digit)
            at += 1
            digit = np.int64(byte_at(text, at)) - ZERO
        power = point - at
        count += at - point
    if count == 0 or count > MOST_DIGITS:
        return 0.0, FAULT
    if byte_at(text, at) | 32 == SMALL_E:
        at += 1
        minus = byte_at(text, at)
        if minus in (MINUS, PLUS):
            at += 1
        first = at
        exponent = 0
        digit = np.int64(byte_at(text, at)) - ZERO
        while 0 <= digit <= 9:
            if exponent < LARGEST_EXPONENT:
                exponent = 10 * exponent + digit
            at += 1
            digit = np.int64(byte_at(text, at)) - ZERO
        if at == first:
            return 0.0, FAULT
        power += -exponent if minus == MINUS else exponent
    value = nearest_float(digits, power, powers)
    if np.isnan(value):
        return 0.0, FAULT
    return (-value if sign == MINUS else value), at


def _read_rows(
    text: Array, at: int, delimiter: int, width: int, powers: Array, values: Array, row: int,
    limit: int,
) -> tuple[int, int, bool]:  # fmt: skip
    """Read rows from a place on, into `values` from number `row` on, up to `limit`.

    `text` is uint8, (N,), with a 0 behind it; `powers` as `powers_of_ten`; `values` float64,
    (rows, kept), for the first of the `width` numbers of a row. A `delimiter` of 0 is any white
    space. Returns where it ended, which row comes next, and whether the line there is none that can
    be read here.
    """
    start, table, size = address(text), address(powers), len(text)
    kept = values.shape[1]
    while row < limit:
        at = _after_blanks(start, at)
        while byte_at(start, at) == LINE_FEED:
            at = _after_blanks(start, at + 1)
        if at >= size:
            return at, row, False
        line = at
        for column in range(width):
            value, at = _number(start, at, table)
            if at < 0:
                return line, row, True
            if column < kept:
                values[row, column] = value
            behind = at
            at = _after_blanks(start, at)
            byte = byte_at(start, at)
            if column == width - 1:
                if byte != LINE_FEED and at < size:
                    return line, row, True
            elif delimiter == 0:
                if at == behind:
                    return line, row, True
            elif byte != delimiter:
                return line, row, True
            else:
                at = _after_blanks(start, at + 1)
        row += 1
    return at, row, False


#: `(text, at, delimiter, width, powers, values, row, limit) -> at, row, is_fault`
READ_ROWS = Kernel(_read_rows, "read-rows")


def rows_of_numbers(
    data: bytes,
    delimiter: str | None,
    width: int,
    other: Callable[[int, bytes], list[float]],
    *,
    kept: int | None = None,
) -> Array:
    """Read a text of rows of numbers.

    Parameters
    ----------
    data
        The text. Blank lines are left out.
    delimiter
        Between the numbers; None for any white space.
    width
        Numbers in a row.
    other
        What reads a line that is written in an unusual way, or raises: it gets the line, and the
        place where it begins.
    kept
        How many numbers of a row are kept, by default all. The others are read, too.

    Returns
    -------
    ndarray of float64, shape (rows, kept)
        Each number is the nearest float, as Python's `float` has it.
    """
    kept = width if kept is None else min(kept, width)
    text = np.frombuffer(data, np.uint8)
    # By the lines of the beginning: to count all takes half as long as to read them.
    beginning = data[:SAMPLE]
    rate = (beginning.count(b"\n") + 1) / max(len(beginning), 1)
    values = np.empty((int(MARGIN * rate * len(data)) + 1, kept))
    mark = 0 if delimiter is None else ord(delimiter)
    at = row = 0
    powers = powers_of_ten()
    while True:
        limit = min(row + PORTION, len(values))
        at, row, is_fault = READ_ROWS.serial(text, at, mark, width, powers, values, row, limit)
        if is_fault:
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            values[row] = other(at, data[at:end])[:kept]
            at, row = end, row + 1
        elif at >= len(data):
            return values[:row]
        if row == len(values):
            rest = int(MARGIN * row / max(at, 1) * (len(data) - at)) + 1
            values = np.concatenate([values, np.empty((rest, kept))])
