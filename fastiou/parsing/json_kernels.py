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

from fastiou.parsing.json_numbers import (
    FAULT,
    MINUS,
    ONES,
    PAGE,
    UPPER_BITS,
    after_number,
    integer,
    is_digit,
    number,
)
from fastiou.runtime.bit_vectors import count_zeros_below
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address, any_word_at, byte_at, int64_at, uint64_at
from fastiou.typing import Array

__all__ = [
    "FOUR_NUMBERS",
    "GAP",
    "INTEGER",
    "NUMBER",
    "PLACE",
    "READ_OBJECTS",
    "SKIP_VALUE",
    "after_blanks",
    "plain_letters",
]

#: Kinds of fields.
INTEGER, NUMBER, FOUR_NUMBERS, PLACE = range(4)

#: Arrays and objects in each other. What they are is kept in the bits of a word.
DEEPEST = 62

# of the bytes that follow
QUOTE, COMMA, COLON, BACKSLASH = (ord(letter) for letter in '",:\\')
OPENED, CLOSED, LIST_OPENED, LIST_CLOSED = (ord(letter) for letter in "{}[]")
SMALL_T, SMALL_F, SMALL_N, SMALL_U = (ord(letter) for letter in "tfnu")
SPACE, TAB, LINE_FEED, RETURN = (ord(letter) for letter in " \t\n\r")

#: Words that are kept of what stood between two values: the field behind it, whether an object
#: ended there, how many bytes it had, 0 for none, and these.
GAP = 10
NEXT, ENDS_OBJECT, LENGTH, LETTERS = range(4)

#: The most bytes of it.
LONGEST_GAP = 8 * (GAP - LETTERS)

# eight bytes of one kind
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
def _number_of(
    text: int, first: int, last: int, names: Array, ends: Array, others: Array, unknown: int
) -> int:
    """The number of the name that stands between two places: of a field, or behind them of others.

    It is that behind all others for a new one.
    """
    field = _field_of(text, first, last, address(names), address(ends), len(ends))
    if field >= 0:
        return field
    for other in range(unknown):
        begin = others[other, 0]
        size = others[other, 1] - begin
        if size == last - first and _is_same(text + first, text + begin, size):
            return len(ends) + other
    return len(ends) + unknown


@register_jitable
def _keep_gap(gaps: Array, state: int, start: int, size: int, field: int, ended: int) -> None:
    """Keep what stood between two values at an address, if it is short."""
    gaps[state, LENGTH] = 0
    if size > LONGEST_GAP or ended > 1:
        return
    gaps[state, NEXT], gaps[state, ENDS_OBJECT], gaps[state, LENGTH] = field, ended, size
    for word in range(LETTERS, GAP):
        gaps[state, word] = 0
    for i in range(size):
        gaps[state, LETTERS + (i >> 3)] |= np.int64(byte_at(start, i)) << (8 * (i & 7))


@register_jitable
def _is_gap(start: int, gap: int, size: int) -> bool:
    """Whether what was kept of a gap stands at an address, too."""
    if size == 0 or start & (PAGE - 1) > PAGE - LONGEST_GAP:
        return False
    differ = np.uint64(0)
    for word in range((size - 1) >> 3):
        differ |= any_word_at(start, word) ^ uint64_at(gap, LETTERS + word)
    last = (size - 1) >> 3
    rest = any_word_at(start, last) ^ uint64_at(gap, LETTERS + last)
    differ |= rest << np.uint64(8 * (8 * (last + 1) - size))
    return differ == np.uint64(0)


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
    gaps: Array,
    count: int,
    unknown: int,
    limit: int,
    stop: int,
) -> tuple[int, int, int]:
    """Read objects of a list into columns, from number `count` on, to its end or to a limit.

    What stands between two values, names included, is mostly what stood there in the object before.
    It is compared as a whole then, and not looked at letter by letter.

    Shapes and dtypes: `text` and `names` (the names in a row) uint8; `ends` (where each ends in
    `names`), `kinds` and `columns` (a field's kind, and its first column) int64, (fields,);
    `powers` as `powers_of_ten`; `integers` int64, (I, N); `numbers` float64, (F, N); `fours`
    float64, (B, N, 4); `places` int64, (P, N, 2); `fields` int64, (N,): a bit for each field that
    an object has, and behind them one for each other; `others` int64, (M, 2): where the names of
    other fields stand, each once, of which `unknown` are known; `gaps` int64, (fields + M + 1,
    `GAP`): what last stood behind each, and behind none for the last.

    `at` is the place of the opening bracket of the list, or of a comma in it. Returns where it
    ended, how many objects there are now, and how many other fields. It ended at the closing
    bracket, at the comma before an object beyond the limit, at the first comma from the place
    `stop` on, or with `FAULT`.
    """
    start, table = address(text), address(powers)
    opening = byte_at(start, at)
    at = after_blanks(start, at + 1)
    if opening == LIST_OPENED and byte_at(start, at) == LIST_CLOSED:
        return at, count, unknown
    if byte_at(start, at) != OPENED:
        return FAULT, count, unknown
    at += 1
    found = 0
    is_opened = True
    state = len(gaps) - 1
    while True:
        # `at` is behind a value, or behind the brace of an object.
        size, ended = gaps[state, LENGTH], gaps[state, ENDS_OBJECT]
        is_inside = ended == 0 or (count + 1 < limit and at + size <= stop)
        if is_inside and _is_gap(start + at, address(gaps) + 8 * GAP * state, size):
            at += size
            field = gaps[state, NEXT]
            if ended > 0:
                fields[count] = found
                found = 0
                count += 1
        else:
            begin, before = at, count
            at = after_blanks(start, at)
            while byte_at(start, at) == CLOSED:
                fields[count] = found
                found = 0
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
                if byte_at(start, at) != OPENED:
                    return FAULT, count, unknown
                at = after_blanks(start, at + 1)
                is_opened = True
            if not is_opened:
                if byte_at(start, at) != COMMA:
                    return FAULT, count, unknown
                at = after_blanks(start, at + 1)
            if byte_at(start, at) != QUOTE:
                return FAULT, count, unknown
            first = at + 1
            at = _after_string(start, at)
            if at < 0:
                return FAULT, count, unknown
            last = at - 1
            field = _number_of(start, first, last, names, ends, others, unknown)
            if field == len(ends) + unknown:
                if unknown == len(others) or _has_escapes(start + first, last - first):
                    return FAULT, count, unknown
                others[unknown, 0], others[unknown, 1] = first, last
                unknown += 1
            at = after_blanks(start, at)
            if byte_at(start, at) != COLON:
                return FAULT, count, unknown
            at = after_blanks(start, at + 1)
            _keep_gap(gaps, state, start + begin, at - begin, field, count - before)
        if found >> field & 1:
            return FAULT, count, unknown
        found |= 1 << field
        is_opened = False
        state = field
        if field >= len(ends):
            at = _after_value(start, at)
        else:
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


#: `(text, at, names, ends, kinds, columns, powers, integers, numbers, fours, places, fields,
#: others, gaps, count, unknown, limit, stop) -> end, count, unknown`
READ_OBJECTS = Kernel(_read_objects, "read-objects")
