"""Fields of the objects of a JSON list as columns of numbers, read in compiled code."""

from __future__ import annotations

import codecs
import itertools
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fastiou.parsing.decimals import powers_of_ten
from fastiou.parsing.json_kernels import (
    FOUR_NUMBERS,
    GAP,
    INTEGER,
    NUMBER,
    PLACE,
    READ_OBJECTS,
    SKIP_VALUE,
)
from fastiou.parsing.json_numbers import FAULT
from fastiou.runtime import chunks, threads
from fastiou.typing import Array

__all__ = [
    "FAULT",
    "FOUR_NUMBERS",
    "INTEGER",
    "NUMBER",
    "PLACE",
    "Objects",
    "after_blanks",
    "fields_of",
    "is_compiled",
    "is_utf8",
    "read_objects",
]

#: The most objects that are read by one call of the kernel, and about how many bytes: it takes some
#: hundredths of a second.
PORTION, PORTION_BYTES = 1 << 16, 1 << 25

#: Bytes that stay in a cache while they are counted, and what is counted.
BLOCK, BRACE = 1 << 17, ord("{")

#: Bytes from which on half of a text is read by another thread, which takes 0.1 ms to start.
PART = 1 << 22

#: What seems to stand between two objects of a list.
BETWEEN = re.compile(rb"\}[ \t\n\r]*(,)[ \t\n\r]*\{")

#: Names of other fields that are kept. A bit for each tells whether an object has it already, in
#: the word in which those that are read have theirs.
OTHERS = 48

#: How to tell which fields any object has, and which all have.
WAYS = (np.bitwise_or, np.bitwise_and)

BLANKS = re.compile(rb"[ \t\n\r]*")
NAME = re.compile(rb'"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')


@dataclass(frozen=True, eq=False)
class Objects:
    """Columns of some fields of objects.

    Attributes
    ----------
    count : int
        How many objects there are.
    columns : dict
        For each field that an object has, its values: int64 or float64, (N,); float64, (N, 4); or,
        for a `PLACE`, where the value stands in the text, int64, (N, 2). Where an object lacks the
        field, anything stands.
    present : dict
        Which objects have a field; None for all of them.
    others : frozenset of str
        Names of the fields that were not asked for.
    end : int
        The place behind the list.
    """

    count: int
    columns: dict[str, Array]
    present: dict[str, Array | None]
    others: frozenset[str]
    end: int


def is_compiled() -> bool:
    """Whether the kernel that reads objects is compiled or loaded already."""
    return bool(READ_OBJECTS.serial.signatures)


def is_utf8(data: bytes) -> bool:
    """Whether all of a text can be decoded, which the loops over its bytes do not ask."""
    if chunks.is_plain(data):
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), PORTION):
            decoder.decode(data[at : at + PORTION])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def fields_of(
    data: bytes, read: Mapping[str, Callable[[int], int]] | None = None
) -> dict[str, tuple[int, int]] | None:
    """Where the values of the fields of a JSON object stand, as first and last place, by name.

    None if it cannot be read here: it is no JSON object, names a field twice, or is of a rare kind.

    Parameters
    ----------
    data
        JSON, for which `is_utf8` holds.
    read
        What reads the values of some fields. It is given where a value begins, and returns where
        that ends, or `FAULT`.
    """
    text = np.frombuffer(data, np.uint8)
    at = after_blanks(data, 0)
    if data[at : at + 1] != b"{":
        return None
    found: dict[str, tuple[int, int]] = {}
    at = after_blanks(data, at + 1)
    while data[at : at + 1] != b"}" or found:
        name = NAME.match(data, at)
        if name is None:
            return None
        word = name[1].decode()
        if word in found:
            return None
        step = read.get(word) if read else None
        end = step(name.end()) if step else int(SKIP_VALUE.serial(text, name.end()))
        if end == FAULT:
            return None
        found[word] = name.end(), end
        at = after_blanks(data, end)
        if data[at : at + 1] == b"}":
            break
        if data[at : at + 1] != b",":
            return None
        at = after_blanks(data, at + 1)
    return found if after_blanks(data, at + 1) == len(data) else None


def after_blanks(data: bytes, at: int) -> int:
    """Where the next token begins."""
    blanks = BLANKS.match(data, at)
    return blanks.end() if blanks else at


def _count_braces(text: Array) -> int:
    """How many braces open in a text: three times as fast as `bytes.count`."""
    parts = range(0, len(text), BLOCK)
    return sum(int(np.count_nonzero(text[first : first + BLOCK] == BRACE)) for first in parts)


def _cuts(data: bytes, at: int) -> list[int]:
    """Where a list may be cut for several threads: commas that seem to stand between objects."""
    size = len(data) - at
    parts = min(threads.thread_count(), size // PART) if size >= 2 * PART else 1
    found = (BETWEEN.search(data, at + size * part // parts) for part in range(1, parts))
    cuts = [match.start(1) for match in found if match is not None]
    return [cut for cut, before in zip(cuts, [at, *cuts], strict=False) if cut > before]


Read = TypeVar("Read")


def _on_threads(
    read: Callable[[int], Read], parts: int, is_given_up: threading.Event
) -> list[Read]:
    """What is read of all parts, each on a thread of its own."""
    if parts == 1:
        return [read(0)]
    with ThreadPoolExecutor(parts - 1) as pool:
        try:
            others = [pool.submit(read, part) for part in range(1, parts)]
            return [read(0), *(other.result() for other in others)]
        finally:
            is_given_up.set()  # where Ctrl-C has ended the first


def read_objects(
    data: bytes, at: int, kinds: Mapping[str, int], *, cut: bool = True
) -> Objects | None:
    """Read fields of the objects of a list.

    Parameters
    ----------
    data
        JSON, for which `is_utf8` holds.
    at
        The place of the list's opening bracket.
    kinds
        The fields that are read, and what each is: `INTEGER`, `NUMBER`, `FOUR_NUMBERS` (a list), or
        `PLACE` (anything).
    cut
        Whether a large list may be read on several threads.

    Returns
    -------
    Objects or None
        None if it cannot be read here. Python's parser tells why, or can.
    """
    if data[at : at + 1] != b"[":
        return None
    text = np.frombuffer(data, np.uint8)
    names = [name.encode() for name in kinds]
    counts = dict.fromkeys((INTEGER, NUMBER, FOUR_NUMBERS, PLACE), 0)
    columns = []
    for kind in kinds.values():
        columns.append(counts[kind])
        counts[kind] += 1
    fixed = (
        np.frombuffer(b"".join(names), np.uint8),
        np.cumsum([len(name) for name in names]),
        np.array(list(kinds.values()), np.int64),
        np.array(columns, np.int64),
        powers_of_ten(),
    )
    # No more objects than braces. What is not written to takes no memory.
    cuts = [at, *(_cuts(data, at) if cut else ()), len(data)]
    braces = [_count_braces(text[first:last]) for first, last in itertools.pairwise(cuts)]
    most = sum(braces)
    arrays = {
        INTEGER: np.empty((counts[INTEGER], most), np.int64),
        NUMBER: np.empty((counts[NUMBER], most)),
        FOUR_NUMBERS: np.empty((counts[FOUR_NUMBERS], most, 4)),
        PLACE: np.empty((counts[PLACE], most, 2), np.int64),
    }
    fields = np.empty(most, np.int64)
    portion = max(1, min(PORTION, PORTION_BYTES * most // len(text)))
    is_given_up = threading.Event()

    def read(part: int) -> tuple[int, int, set[str]]:
        """Read a part, and tell where it ended, how many objects it has, and what names."""
        place, stop = cuts[part], cuts[part + 1]
        before = sum(braces[:part])
        count, end = before, before + braces[part]
        others, unknown = np.empty((OTHERS, 2), np.int64), 0
        gaps = np.zeros((len(names) + OTHERS + 1, GAP), np.int64)
        while not is_given_up.is_set():
            place, count, unknown = READ_OBJECTS.serial(
                text, place, *fixed, *arrays.values(), fields, others, gaps, count, unknown,
                min(count + portion, end), stop,
            )  # fmt: skip
            if place == FAULT:
                break
            if data[place] == ord("]") or place >= stop or count == end:
                told = {data[first:last].decode() for first, last in others[:unknown].tolist()}
                return int(place), int(count) - before, told
        return FAULT, 0, set()

    found = _on_threads(read, len(braces), is_given_up)
    ends = [end for end, _, _ in found]
    if ends[:-1] != cuts[1:-1] or data[ends[-1] : ends[-1] + 1] != b"]":
        # Something is wrong or rare, or what looked like the end of an object was none.
        return None if len(cuts) == 2 else read_objects(data, at, kinds, cut=False)
    count = found[0][1]
    for part, (_, own, _) in enumerate(found[1:], 1):
        first = sum(braces[:part])
        if first > count:
            for array in (*arrays.values(), fields[None]):
                array[:, count : count + own] = array[:, first : first + own].copy()
        count += own
    others = {name for _, _, names_found in found for name in names_found}
    at = ends[-1]
    fields = fields[:count]
    in_any, in_all = (int(way.reduce(fields)) if count else 0 for way in WAYS)
    values: dict[str, Array] = {}
    present: dict[str, Array | None] = {}
    for bit, (name, kind) in enumerate(kinds.items()):
        if in_any >> bit & 1:
            values[name] = arrays[kind][columns[bit], :count]
            is_everywhere = in_all >> bit & 1
            present[name] = None if is_everywhere else (fields >> bit & 1).astype(np.bool_)
    return Objects(count, values, present, frozenset(others), int(at) + 1)
