"""JSON, byte by byte: values are stepped over, and fields of objects become columns.

Each function takes the address of a text and where to begin. A 0 stands behind the end of the text,
as behind Python's `bytes`: no loop goes past it, since no value has one. It returns where the value
ends, or `FAULT`: the text is no JSON there, or it is JSON of a kind that is rare (numbers of
20 digits, escaped names, values nested deeper than `DEEPEST`). Then the caller has Python's parser
read the text, which tells what is wrong. What `json.loads` refuses is never taken for a value.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastiou.parsing.decimals import nearest_float
from fastiou.runtime.bit_vectors import count_zeros_below
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address, any_word_at, byte_at, int64_at
from fastiou.typing import Array

__all__ = [
    "FAULT",
    "FOUR_NUMBERS",
    "INTEGER",
    "NUMBER",
    "PLACE",
    "READ_OBJECTS",
    "SKIP_VALUE",
    "after_blanks",
    "integer",
    "is_digit",
    "number",
    "plain_letters",
]

#: What is returned where a text cannot be read.
FAULT = -1

#: Kinds of fields.
INTEGER, NUMBER, FOUR_NUMBERS, PLACE = range(4)

#: Arrays and objects in each other. What they are is kept in the bits of a word.
DEEPEST = 62

#: The most digits of a number that fit in 64 bits, and a whole number that is safe in them.
MOST_DIGITS, WHOLE_DIGITS = 19, 18

#: Where reading an exponent ends. What is beyond it is 0 or infinite, whatever stands in front: no
#: file has so many digits.
LARGEST_EXPONENT = 1 << 40

TEN = np.uint64(10)

#: The least size of a page of memory, from whose start to end all can be read where a byte can.
PAGE = 4096

# of the bytes that follow
QUOTE, COMMA, COLON, BACKSLASH, MINUS, PLUS, POINT = (ord(letter) for letter in '",:\\-+.')
OPENED, CLOSED, LIST_OPENED, LIST_CLOSED = (ord(letter) for letter in "{}[]")
ZERO, SMALL_E, LARGE_E, SMALL_U = (ord(letter) for letter in "0eEu")
SMALL_T, SMALL_F, SMALL_N = (ord(letter) for letter in "tfn")
SPACE, TAB, LINE_FEED, RETURN = (ord(letter) for letter in " \t\n\r")

# eight bytes of one kind
ONES, UPPER_BITS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
QUOTES, BACKSLASHES = ONES * np.uint64(QUOTE), ONES * np.uint64(BACKSLASH)


@register_jitable
def after_blanks(text: int, at: int) -> int:
    """Where the next token begins."""
    while True:
        byte = byte_at(text, at)
        if byte > SPACE or (byte != SPACE and byte != LINE_FEED and byte != RETURN and byte != TAB):
            break
        at += 1
    return at


@register_jitable
def is_digit(byte: int) -> bool:
    """Whether a byte is a digit of ASCII."""
    return 0 <= byte - ZERO <= 9


@register_jitable
def plain_letters(start: int) -> int:
    """How many letters of a string follow at an address before one that is special.

    Eight are read at once, where they lie in one page of memory: those behind the end of a text may
    not be there. Where a page ends, fewer may be told.
    """
    first = start
    while start & (PAGE - 1) <= PAGE - 8:
        word = any_word_at(start, 0)
        # Of the bytes with their upper bit set by these, the first is 0.
        quotes, escapes = word ^ QUOTES, word ^ BACKSLASHES
        special = (quotes - ONES) & ~quotes | (escapes - ONES) & ~escapes
        special |= (word - ONES * np.uint64(SPACE)) & ~word
        special &= UPPER_BITS
        if special != np.uint64(0):
            start += count_zeros_below(special) >> 3
            break
        start += 8
    return start - first


@register_jitable
def _after_string(text: int, at: int) -> int:
    """Step over a string, from its quote on."""
    at += 1
    while True:
        at += plain_letters(text + at)
        byte = byte_at(text, at)
        at += 1
        if byte == QUOTE:
            return at
        if byte < SPACE:
            return FAULT
        if byte == BACKSLASH:
            escaped = byte_at(text, at)
            at += 1
            if escaped == SMALL_U:
                for _ in range(4):
                    digit = byte_at(text, at)
                    at += 1
                    if not (is_digit(digit) or 0 <= (digit | 32) - 97 <= 5):
                        return FAULT
            elif escaped not in (34, 92, 47, 98, 102, 110, 114, 116):  # " \\ / b f n r t
                return FAULT


@register_jitable
def after_digits(text: int, at: int) -> int:
    """Step over one digit or more."""
    first = at
    while is_digit(byte_at(text, at)):
        at += 1
    return at if at > first else FAULT


@register_jitable
def after_number(text: int, at: int) -> int:
    """Step over a number."""
    if byte_at(text, at) == MINUS:
        at += 1
    if byte_at(text, at) == ZERO:
        at += 1
    else:
        at = after_digits(text, at)
    if at >= 0 and byte_at(text, at) == POINT:
        at = after_digits(text, at + 1)
    if at >= 0 and byte_at(text, at) | 32 == SMALL_E:
        at += 1
        sign = byte_at(text, at)
        if sign in (MINUS, PLUS):
            at += 1
        at = after_digits(text, at)
    return at


@register_jitable
def _after_word(text: int, at: int) -> int:
    """Step over true, false or null."""
    first = byte_at(text, at)
    word = (116, 114, 117, 101, 0) if first == SMALL_T else (110, 117, 108, 108, 0)
    length = 4
    if first == SMALL_F:
        word = (102, 97, 108, 115, 101)
        length = 5
    for i in range(length):
        if byte_at(text, at + i) != word[i]:
            return FAULT
    return at + length


@register_jitable
def _after_value(text: int, at: int) -> int:
    """Step over a value of any kind, from its first byte on."""
    depth, kinds = 0, 0  # a bit for each that is open, 1 for objects
    while True:
        byte = byte_at(text, at)
        is_opened = False
        if byte == QUOTE:
            at = _after_string(text, at)
        elif byte == MINUS or is_digit(byte):
            at = after_number(text, at)
            if depth > 0 and kinds & 1 == 0:  # the numbers that follow in the list
                while at >= 0 and byte_at(text, at) == COMMA:
                    follows = at + 2 if byte_at(text, at + 1) == SPACE else at + 1
                    byte = byte_at(text, follows)
                    if not (byte == MINUS or is_digit(byte)):
                        break
                    at = after_number(text, follows)
        elif byte in (OPENED, LIST_OPENED):
            if depth == DEEPEST:
                return FAULT
            is_opened = True
            at += 1
            depth += 1
            kinds = 2 * kinds + (1 if byte == OPENED else 0)
        elif byte in (SMALL_T, SMALL_F, SMALL_N):
            at = _after_word(text, at)
        else:
            return FAULT
        if at < 0:
            return FAULT
        while depth > 0:
            at = after_blanks(text, at)
            byte = byte_at(text, at)
            closing = CLOSED if kinds & 1 else LIST_CLOSED
            if byte == closing:
                at += 1
                depth -= 1
                kinds >>= 1
                is_opened = False
                continue
            if not is_opened:
                if byte != COMMA:
                    return FAULT
                at = after_blanks(text, at + 1)
            if kinds & 1:
                at = _after_name(text, at)
                if at < 0:
                    return FAULT
            break
        if depth == 0:
            return at


@register_jitable
def _after_name(text: int, at: int) -> int:
    """Step over the name of a field, and the colon and blanks behind it."""
    if byte_at(text, at) != QUOTE:
        return FAULT
    at = _after_string(text, at)
    if at < 0:
        return FAULT
    at = after_blanks(text, at)
    if byte_at(text, at) != COLON:
        return FAULT
    return after_blanks(text, at + 1)


@register_jitable
def integer(text: int, at: int) -> tuple[int, int]:
    """A whole number without point and exponent, and where it ends."""
    is_negative = byte_at(text, at) == MINUS
    if is_negative:
        at += 1
    end = after_digits(text, at)
    if end < 0 or end - at > WHOLE_DIGITS or (end - at > 1 and byte_at(text, at) == ZERO):
        return 0, FAULT
    follows = byte_at(text, end)
    if follows == POINT or follows | 32 == SMALL_E:
        return 0, FAULT
    value = 0
    for i in range(at, end):
        value = 10 * value + byte_at(text, i) - ZERO
    return (-value if is_negative else value), end


@register_jitable
def number(text: int, at: int, powers: int) -> tuple[float, int]:
    """A number, as the nearest float, and where it ends."""
    is_negative = byte_at(text, at) == MINUS
    if is_negative:
        at += 1
    first = at
    digits = np.uint64(0)
    while is_digit(byte_at(text, at)):
        digits = digits * TEN + np.uint64(byte_at(text, at) - ZERO)
        at += 1
    if at == first or (at - first > 1 and byte_at(text, first) == ZERO):
        return 0.0, FAULT
    power = 0
    is_whole = True
    if byte_at(text, at) == POINT:
        is_whole = False
        at += 1
        point = at
        while is_digit(byte_at(text, at)):
            digits = digits * TEN + np.uint64(byte_at(text, at) - ZERO)
            at += 1
        if at == point:
            return 0.0, FAULT
        power = point - at
    if at - first > MOST_DIGITS:
        # Zeros in front are no digits that count, nor is the point.
        while first < at and byte_at(text, first) in (ZERO, POINT):
            first += 1
        is_pointed = first < at + power and power < 0
        if at - first - (1 if is_pointed else 0) > MOST_DIGITS:
            return 0.0, FAULT
    if byte_at(text, at) | 32 == SMALL_E:
        is_whole = False
        at += 1
        sign = byte_at(text, at)
        if sign in (MINUS, PLUS):
            at += 1
        end = after_digits(text, at)
        if end < 0:
            return 0.0, FAULT
        exponent = 0
        for i in range(at, end):
            if exponent < LARGEST_EXPONENT:
                exponent = 10 * exponent + byte_at(text, i) - ZERO
        power += -exponent if sign == MINUS else exponent
        at = end
    value = nearest_float(digits, power, powers)
    if np.isnan(value):
        return 0.0, FAULT
    # -0 is an integer of Python, which has no negative zero; -0.0 is a float.
    return (-value if is_negative and not (is_whole and digits == 0) else value), at


def _skip_value(text: Array, at: int) -> int:
    """Where the value ends that begins at a place; `FAULT` where it cannot be read.

    `text` is uint8, (N,).
    """
    return _after_value(address(text), at)


#: `(text, at) -> end`
SKIP_VALUE = Kernel(_skip_value, "skip-value")


@register_jitable
def _field_of(text: int, first: int, end: int, names: int, ends: int, count: int) -> int:
    """Which of the names stands between two places of a text; -1 if none does."""
    begin = 0
    for field in range(count):
        next_ = int64_at(ends, field)
        if next_ - begin == end - first and _is_same(text + first, names + begin, end - first):
            return field
        begin = next_
    return -1


@register_jitable
def _has_escapes(text: int, size: int) -> bool:
    for i in range(size):  # noqa: SIM110
        if byte_at(text, i) == BACKSLASH:
            return True
    return False


@register_jitable
def _is_same(one: int, other: int, size: int) -> bool:
    """Whether two texts of one size are the same."""
    for i in range(size):  # noqa: SIM110
        if byte_at(one, i) != byte_at(other, i):
            return False
    return True


@register_jitable
def _is_name(text: int, others: Array, other: int, first: int, last: int) -> bool:
    """Whether one of other names is the same as what stands between two places."""
    begin = others[other, 0]
    return others[other, 1] - begin == last - first and _is_same(
        text + first, text + begin, last - first
    )


def _read_objects(
    text: Array,
    at: int,
    names: Array,
    ends: Array,
    kinds: Array,
    columns: Array,
    powers: Array,
    integers: Array,
    numbers: Array,
    fours: Array,
    places: Array,
    fields: Array,
    others: Array,
    nexts: Array,
    count: int,
    limit: int,
    stop: int,
) -> tuple[int, int, int]:
    """Read objects of a list into columns, from number `count` on, to its end or to a limit.

    Shapes and dtypes: `text` and `names` (the names in a row) uint8; `ends` (where each ends in
    `names`), `kinds` and `columns` (a field's kind, and its first column) int64, (fields,);
    `powers` as `powers_of_ten`; `integers` int64, (I, N); `numbers` float64, (F, N); `fours`
    float64, (B, N, 4); `places` int64, (P, N, 2); `fields` int64, (N,): a bit for each field that
    an object has, and behind them one for each other; `others` int64, (M, 2): where the names of
    other fields stand, each once; `nexts` int64, (fields + 1,): which field last stood behind each,
    behind none for the last.

    `at` is the place of the opening bracket of the list, or of a comma in it. Returns where it
    ended, how many objects there are now, and how many other fields. It ended at the closing
    bracket, at the comma before an object beyond the limit, at the first comma from the place
    `stop` on, or with `FAULT`.
    """
    start, table = address(text), address(powers)
    unknown, other = 0, 0
    opening = byte_at(start, at)
    at = after_blanks(start, at + 1)
    if opening == LIST_OPENED and byte_at(start, at) == LIST_CLOSED:
        return at, count, unknown
    while True:
        if byte_at(start, at) != OPENED:
            return FAULT, count, unknown
        at = after_blanks(start, at + 1)
        found = 0
        is_first = True
        previous = len(ends)
        while True:
            byte = byte_at(start, at)
            if byte == CLOSED and is_first:
                break
            if byte != QUOTE:
                return FAULT, count, unknown
            first = at + 1
            field = nexts[previous]
            begin = ends[field - 1] if field > 0 else 0
            last = first + ends[field] - begin
            is_next = _is_same(start + first, address(names) + begin, last - first)
            if is_next and byte_at(start, last) == QUOTE:
                at = last + 1
            else:
                at = _after_string(start, at)
                if at < 0:
                    return FAULT, count, unknown
                last = at - 1
                field = _field_of(start, first, last, address(names), address(ends), len(ends))
                if field >= 0:
                    nexts[previous] = field
            previous = field if field >= 0 else previous
            at = after_blanks(start, at)
            if byte_at(start, at) != COLON:
                return FAULT, count, unknown
            at = after_blanks(start, at + 1)
            if field < 0:
                # Mostly the one behind the last.
                other = other + 1 if other + 1 < unknown else 0
                if unknown == 0 or not _is_name(start, others, other, first, last):
                    other = 0
                    while other < unknown and not _is_name(start, others, other, first, last):
                        other += 1
                if other == unknown:
                    if unknown == len(others) or _has_escapes(start + first, last - first):
                        return FAULT, count, unknown
                    others[unknown, 0], others[unknown, 1] = first, last
                    unknown += 1
                if found >> (len(ends) + other) & 1:
                    return FAULT, count, unknown
                found |= 1 << (len(ends) + other)
                at = _after_value(start, at)
            elif found >> field & 1:
                return FAULT, count, unknown
            else:
                found |= 1 << field
                kind, column = kinds[field], columns[field]
                if kind == INTEGER:
                    integers[column, count], at = integer(start, at)
                elif kind == PLACE:
                    places[column, count, 0] = at
                    at = _after_value(start, at)
                    places[column, count, 1] = at
                elif kind == NUMBER:
                    numbers[column, count], at = number(start, at, table)
                else:
                    if byte_at(start, at) != LIST_OPENED:
                        return FAULT, count, unknown
                    for i in range(4):
                        at = after_blanks(start, at + 1)
                        value, at = number(start, at, table)
                        if at < 0:
                            return FAULT, count, unknown
                        fours[column, count, i] = value
                        at = after_blanks(start, at)
                        if byte_at(start, at) != (COMMA if i < 3 else LIST_CLOSED):
                            return FAULT, count, unknown
                    at += 1
            if at < 0:
                return FAULT, count, unknown
            at = after_blanks(start, at)
            byte = byte_at(start, at)
            if byte == CLOSED:
                break
            if byte != COMMA:
                return FAULT, count, unknown
            at = after_blanks(start, at + 1)
            is_first = False
        fields[count] = found
        count += 1
        at = after_blanks(start, at + 1)
        byte = byte_at(start, at)
        if byte == LIST_CLOSED:
            return at, count, unknown
        if byte != COMMA:
            return FAULT, count, unknown
        if count == limit or at >= stop:
            return at, count, unknown
        at = after_blanks(start, at + 1)


#: `(text, at, names, ends, kinds, columns, powers, integers, numbers, fours, places, fields,
#: others, nexts, count, limit, stop) -> end, count, unknown`
READ_OBJECTS = Kernel(_read_objects, "read-objects")
