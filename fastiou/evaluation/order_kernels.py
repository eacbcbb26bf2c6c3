"""Putting detections in order: by numbers of images and classes, and by scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address, uint64_at
from fastiou.typing import Array

__all__ = ["BY_NUMBER", "DIGIT", "FEW", "falling_key", "sort_by_key", "sort_by_score"]

#: Members up to which each is moved to its place; more are sorted digit by digit.
FEW = 32

#: Bits of a digit.
DIGIT = 11

#: Bits of half of a word.
HALF = 32


def _by_number(numbers: Array, given: Array, order: Array, places: Array) -> None:
    """Put members in the order of their numbers; equal ones stay in the order given.

    Parameters
    ----------
    numbers
        (n,): from 0 to below `len(places)`.
    given, order
        (n,): members as they come, and as they are put.
    places
        (k,): the first place of each number, which becomes the last and one.
    """
    for i in range(len(given)):
        member = given[i]
        place = places[numbers[member]]
        places[numbers[member]] = place + 1
        order[place] = member


BY_NUMBER = Kernel(_by_number, "by number")


@register_jitable
def falling_key(scores: int, i: int) -> Any:
    """An integer that falls with a score, of which the address is given."""
    sign = np.uint64(1) << np.uint64(63)
    bits = uint64_at(scores, i)
    if bits >= sign and bits != sign:  # negative, and not -0, which is 0
        return bits
    return ~(bits | sign)


@register_jitable
def _sort_numbers(
    numbers: Array, spare: Array, counts: Array, first: int, last: int, differ: Any
) -> None:
    """Put some numbers, of which the upper half and the lower ascend one by one, in order.

    Parameters
    ----------
    numbers, spare
        (n,) uint64: what is sorted by its upper half, where lower halves ascend; and scratch.
    counts
        (2**DIGIT,) int64: scratch.
    first, last
        Which of them.
    differ
        The bits in which upper halves differ.
    """
    if last - first <= FEW:
        for i in range(first + 1, last):
            number = numbers[i]
            place = i
            while place > first and numbers[place - 1] > number:
                numbers[place] = numbers[place - 1]
                place -= 1
            numbers[place] = number
        return
    mask = np.uint64((1 << DIGIT) - 1)
    here, there = numbers, spare
    is_there = False
    for digit in range(-(-HALF // DIGIT)):
        if (differ >> np.uint64(digit * DIGIT)) & mask == 0:
            continue
        low = np.uint64(HALF + digit * DIGIT)
        for value in range(len(counts)):
            counts[value] = 0
        for i in range(first, last):
            counts[(here[i] >> low) & mask] += 1
        place = first
        for value in range(len(counts)):
            size = counts[value]
            counts[value] = place
            place += size
        for i in range(first, last):
            value = (here[i] >> low) & mask
            place = counts[value]
            counts[value] = place + 1
            there[place] = here[i]
        here, there = there, here
        is_there = not is_there
    if is_there:
        for i in range(first, last):
            numbers[i] = spare[i]


@register_jitable
def sort_by_key(
    keys: Array, places: Array, spare: Array, counts: Array, first: int, last: int
) -> None:
    """Tell in which order some keys ascend; equal ones stay as they are.

    What is moved is one number of 64 bits for each: half of the key, and the place. The other half
    of the key is looked at where this half is equal.

    Parameters
    ----------
    keys
        (n,) uint64.
    places, spare
        (n,) uint64: gets the places of the keys in their order, counted from `first`; and scratch.
    counts
        (2**DIGIT,) int64: scratch.
    first, last
        Which of them.
    """
    half = (np.uint64(1) << np.uint64(HALF)) - np.uint64(1)
    differ = np.uint64(0)
    for i in range(first + 1, last):
        differ |= keys[i] ^ keys[first]
    low = np.uint64(0)
    while (differ >> low) > half:
        low += np.uint64(1)
    for i in range(first, last):
        places[i] = (((keys[i] >> low) & half) << np.uint64(HALF)) | np.uint64(i - first)
    _sort_numbers(places, spare, counts, first, last, differ >> low)
    if low > 0:
        begin = first
        for i in range(first + 1, last + 1):
            if i < last and (places[i] ^ places[begin]) <= half:
                continue
            if i > begin + 1:
                for k in range(begin, i):
                    place = places[k] & half
                    key = keys[first + np.int64(place)]
                    places[k] = ((key & half) << np.uint64(HALF)) | place
                _sort_numbers(places, spare, counts, begin, i, half)
            begin = i
    for i in range(first, last):
        places[i] &= half


@register_jitable
def sort_by_score(
    order: Array,
    scores: Array,
    members: Array,
    keys: Array,
    own_places: Array,
    spare: Array,
    counts: Array,
    first: int,
    size: int,
) -> None:
    """Put some members in the order of their scores, the highest first; equal ones stay.

    Parameters
    ----------
    order, scores
        Members as they come, and the scores of all.
    members
        (n,): gets the members of the order from place `first` on, as many as `size`.
    keys, own_places, spare, counts
        Scratch, as `sort_by_key` takes it.
    """
    if size <= FEW:
        for i in range(size):
            member = order[first + i]
            place = i
            while place > 0 and scores[members[place - 1]] < scores[member]:
                members[place] = members[place - 1]
                place -= 1
            members[place] = member
        return
    for i in range(size):
        keys[i] = falling_key(address(scores), order[first + i])
    sort_by_key(keys, own_places, spare, counts, 0, size)
    for i in range(size):
        members[i] = order[first + np.int64(own_places[i])]
