"""Counting pairs of labels: how many pixels carry label i in one image and label j in another.

Neighbouring pixels mostly carry the same pair, so a kernel counts whole runs of equal pairs, in a
small hash table. A table that is half full is emptied into a list and made larger, up to a limit,
so that no number of pairs makes it leave the caches; a list that is full ends the kernel, and
whoever called it merges the lists and calls again.

Large lists, and noise, where nearly every pixel has another pair, are sorted by one key for both
labels: first into buckets, then each bucket in cache. Two images of 4096² pixels took, beside
np.unique on a joint key, 7 and 207 ms with 4,096 objects, 126 and 388 ms with 4,096 labels at
random. Counts are integers, so the result is the same for any number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import prange
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import register_jitable

from fastiou.metrics import METRICS
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import prefer_widest_vectors, stack_array

__all__ = [
    "CHUNK",
    "COLLECT",
    "CONFUSE",
    "DENSE",
    "FEWEST_SLOTS",
    "MEASURE",
    "MOST_SLOTS",
    "PACK",
    "SCATTER",
    "SORT",
    "SPREAD",
    "UNPACK",
    "scorer",
]

Array = npt.NDArray[Any]

#: Slots of a new table: enough for the strip of one task where objects are 64 pixels apart.
FEWEST_SLOTS = 1 << 10

#: Slots of the largest table: 3 MB. With half of it, 40,000 pairs in noise took twice as long.
MOST_SLOTS = 1 << 17

#: Pixels that are compared with their neighbours at a time.
CHUNK = 1 << 12
WORDS = CHUNK // 8

#: Digits of the radix sort have at most this many bits: their histogram fits half of an L1 cache.
DIGIT = 11

#: Buckets of at most so many possible keys are not sorted but counted, where a quarter of the keys
#: may occur: twice as fast on noise.
DENSE = 1 << 14


# ---- counting ----------------------------------------------------------------------------------


@register_jitable
def _empty(table: Array, size: int, forms: Array, columns: Array, found: int, ranges: Array) -> int:
    """Move the entries of a table to the end of a list, and say how long it is then."""
    low1, high1, low2, high2 = ranges[0], ranges[1], ranges[2], ranges[3]
    for slot in range(size):
        count = table[slot, 2]
        if count == 0:
            continue
        table[slot, 2] = 0
        label1 = (table[slot, 0] & forms[0]) ^ forms[1]
        label2 = (table[slot, 1] & forms[2]) ^ forms[3]
        low1, high1 = min(low1, label1), max(high1, label1)
        low2, high2 = min(low2, label2), max(high2, label2)
        columns[0, found] = label1
        columns[1, found] = label2
        columns[2, found] = count
        found += 1
    ranges[0], ranges[1], ranges[2], ranges[3] = low1, high1, low2, high2
    return found


@register_jitable
def _add(table: Array, size: int, label1: int, label2: int, count: int) -> int:
    """Count pixels of a pair; returns the number of slots that this took, 0 or 1."""
    # Odd multipliers and shifts: consecutive labels spread over the whole table.
    mixed = np.uint64(label1) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= np.uint64(label2) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    slot = np.int64(mixed >> np.uint64(40)) & (size - 1)
    while table[slot, 2] != 0:
        if table[slot, 0] == label1 and table[slot, 1] == label2:
            table[slot, 2] += count
            return 0
        slot = (slot + 1) & (size - 1)
    table[slot, 0] = label1
    table[slot, 1] = label2
    table[slot, 2] = count
    return 1


@register_jitable
def _collect_range(
    labels1: Array,
    labels2: Array,
    first: int,
    last: int,
    size: int,
    table: Array,
    forms: Array,
    columns: Array,
    found: int,
    ranges: Array,
) -> tuple[int, int, int]:
    """Count the pixels from `first` on; returns how far it came, table size and list length."""
    prefer_widest_vectors()
    room = columns.shape[1]
    used = 0
    words = stack_array(columns, WORDS)
    changes = words.view(np.uint8)
    # A chunk adds to the list at most what the table holds and its own pixels.
    while first < last and room - found >= used + CHUNK:
        length = min(CHUNK, last - first)
        part1 = labels1[first : first + length]
        part2 = labels2[first : first + length]
        # Where a run begins. Comparing pixels one by one took twice as long: this loop is
        # vectorised, and the next one mostly skips eight pixels at a time.
        words[(length - 1) // 8] = 0
        next1, next2, begins = part1[1:], part2[1:], changes[1:length]
        for i in range(length - 1):
            begins[i] = (part1[i] != next1[i]) | (part2[i] != next2[i])
        changes[0] = 0
        start = 0
        for number in range((length + 7) // 8):
            word = words[number]
            while word != 0:
                end = 8 * number + trailing_zeros(word) // 8
                word &= word - 1
                used += _add(table, size, part1[start], part2[start], end - start)
                start = end
                if 2 * used >= size:
                    found = _empty(table, size, forms, columns, found, ranges)
                    used = 0
                    size = min(4 * size, len(table))
        used += _add(table, size, part1[start], part2[start], length - start)
        first += length
    found = _empty(table, size, forms, columns, found, ranges)
    return first, size, found


def _collect(
    labels1: Array,
    labels2: Array,
    positions: Array,
    ends: Array,
    sizes: Array,
    tables: Array,
    forms: Array,
    lists: Array,
    lengths: Array,
    ranges: Array,
) -> None:
    for task in prange(len(positions)):
        positions[task], sizes[task], lengths[task] = _collect_range(
            labels1,
            labels2,
            positions[task],
            ends[task],
            sizes[task],
            tables[task],
            forms,
            lists[task],
            lengths[task],
            ranges[task],
        )


#: Counts pixels from `positions` to `ends`, one part for each task, and lists what was found as
#: columns (label, label, count), in no order and with repetitions. `forms` holds for either image
#: the bits that a label keeps, and those that are turned, to put its own order into int64.
COLLECT = Kernel(_collect, "collect")


def _confuse(
    target: Array, pred: Array, cuts: Array, kept: Array, ignored: int, tables: Array
) -> None:
    for task in prange(len(cuts) - 1):
        table = tables[task]
        classes = table.shape[1] - 2
        part1 = target[cuts[task] : cuts[task + 1]]
        part2 = pred[cuts[task] : cuts[task + 1]]
        for i in range(len(part1)):
            row = np.int64(part1[i]) & kept[0]
            column = np.int64(part2[i]) & kept[1]
            column = column if 0 <= column < classes else classes
            outside = classes + 1 if row == ignored else classes
            row = row if 0 <= row < classes else outside
            # Four tables in turn: the next pixel mostly adds to the same count, and would wait.
            table[i & 3, row, column] += 1


#: Confusion of classes: `tables` (task, 4, classes + 2, classes + 2) gets the pixels between
#: `cuts`. Past the classes there is a row and column for what is none of them, and a row for what
#: is ignored and none of them.
CONFUSE = Kernel(_confuse, "confuse")


# ---- merging large lists -----------------------------------------------------------------------


def _pack(lists: Array, lengths: Array, lows: Array, bits2: int, shift: int, sizes: Array) -> None:
    for task in prange(len(lengths)):
        columns = lists[task]
        for i in range(lengths[task]):
            key = ((columns[0, i] - lows[0]) << bits2) | (columns[1, i] - lows[1])
            columns[0, i] = key
            sizes[task, key >> shift] += 1


#: Makes one key of both labels, in place of the first, and counts the keys of each bucket.
PACK = Kernel(_pack, "pack")


def _scatter(
    lists: Array, lengths: Array, shift: int, offsets: Array, keys: Array, counts: Array
) -> None:
    for task in prange(len(lengths)):
        columns = lists[task]
        for i in range(lengths[task]):
            key = columns[0, i]
            place = offsets[task, key >> shift]
            offsets[task, key >> shift] = place + 1
            keys[place] = key
            counts[place] = columns[2, i]


#: Brings keys and counts into the order of their buckets.
SCATTER = Kernel(_scatter, "scatter")


def _measure(labels1: Array, labels2: Array, cuts: Array, forms: Array, ranges: Array) -> None:
    for task in prange(len(cuts) - 1):
        prefer_widest_vectors()
        part1 = labels1[cuts[task] : cuts[task + 1]]
        part2 = labels2[cuts[task] : cuts[task + 1]]
        low1 = low2 = np.iinfo(np.int64).max
        high1 = high2 = np.iinfo(np.int64).min
        for i in range(len(part1)):
            label1 = (np.int64(part1[i]) & forms[0]) ^ forms[1]
            label2 = (np.int64(part2[i]) & forms[2]) ^ forms[3]
            low1, high1 = min(low1, label1), max(high1, label1)
            low2, high2 = min(low2, label2), max(high2, label2)
        ranges[task, 0] = low1
        ranges[task, 1] = high1
        ranges[task, 2] = low2
        ranges[task, 3] = high2


#: Finds the lowest and highest labels of the pixels between `cuts`.
MEASURE = Kernel(_measure, "measure")


def _spread(
    labels1: Array,
    labels2: Array,
    cuts: Array,
    forms: Array,
    lows: Array,
    bits2: int,
    shift: int,
    places: Array,
    keys: Array,
) -> None:
    for task in prange(len(cuts) - 1):
        part1 = labels1[cuts[task] : cuts[task + 1]]
        part2 = labels2[cuts[task] : cuts[task + 1]]
        for i in range(len(part1)):
            label1 = (np.int64(part1[i]) & forms[0]) ^ forms[1]
            label2 = (np.int64(part2[i]) & forms[2]) ^ forms[3]
            key = ((label1 - lows[0]) << bits2) | (label2 - lows[1])
            place = places[task, key >> shift]
            places[task, key >> shift] = place + 1
            if len(keys):
                keys[place] = key


#: Makes one key of both labels of every pixel and brings the keys into the order of their buckets,
#: from `places` (task, bucket) on; without keys, of length 0, only counts those of each bucket.
SPREAD = Kernel(_spread, "spread")


@register_jitable
def _count_bucket(keys: Array, weights: Array, counts: Array, bits: int, table: Array) -> int:
    """Count each value of the lowest `bits` in a table, and return how many occur."""
    size = np.int64(1) << bits
    rest = keys[0] & ~(size - 1)
    for value in range(size):
        table[value] = 0
    for i in range(len(keys)):
        table[keys[i] & (size - 1)] += weights[i] if len(weights) else 1
    found = 0
    for value in range(size):
        if table[value] != 0:
            keys[found] = rest | value
            counts[found] = table[value]
            found += 1
    return found


@register_jitable
def _sort_bucket(
    keys: Array,
    weights: Array,
    spare_keys: Array,
    spare_weights: Array,
    counts: Array,
    bits: int,
    places: Array,
) -> int:
    """Sort by the lowest `bits`, add up equal keys, and return how many there are."""
    passes = (bits + DIGIT - 1) // DIGIT
    for number in range(passes):
        low = bits * number // passes
        mask = (np.int64(1) << (bits * (number + 1) // passes - low)) - 1
        for digit in range(mask + 1):
            places[digit] = 0
        for i in range(len(keys)):
            places[(keys[i] >> low) & mask] += 1
        place = np.int64(0)
        for digit in range(mask + 1):
            size = places[digit]
            places[digit] = place
            place += size
        for i in range(len(keys)):
            digit = (keys[i] >> low) & mask
            place = places[digit]
            places[digit] = place + 1
            spare_keys[place] = keys[i]
            if len(weights):
                spare_weights[place] = weights[i]
        for i in range(len(keys)):
            keys[i] = spare_keys[i]
            if len(weights):
                weights[i] = spare_weights[i]
    last = -1
    for i in range(len(keys)):
        weight = weights[i] if len(weights) else 1
        if last >= 0 and keys[i] == keys[last]:
            counts[last] += weight
        else:
            last += 1
            keys[last] = keys[i]
            counts[last] = weight
    return last + 1


def _sort(
    keys: Array,
    weights: Array,
    spare_keys: Array,
    spare_weights: Array,
    counts: Array,
    starts: Array,
    bits: int,
    distinct: Array,
    tables: Array,
) -> None:
    for task in prange(len(tables)):
        table = tables[task]
        buckets = len(distinct)
        for bucket in range(task * buckets // len(tables), (task + 1) * buckets // len(tables)):
            first = starts[bucket]
            last = starts[bucket + 1]
            bucket_keys = keys[first:last]
            bucket_weights = weights[first:last]
            bucket_counts = counts[first:last]
            if first == last:
                distinct[bucket] = 0
            elif bits < 62 and (1 << bits) <= min(DENSE, 4 * (last - first)):
                distinct[bucket] = _count_bucket(
                    bucket_keys, bucket_weights, bucket_counts, bits, table
                )
            else:
                distinct[bucket] = _sort_bucket(
                    bucket_keys,
                    bucket_weights,
                    spare_keys[first:last],
                    spare_weights[first:last],
                    bucket_counts,
                    bits,
                    table,
                )


#: Sorts each bucket and adds up the weights of equal keys, in `counts`, at its beginning. Without
#: weights, of length 0, each key weighs 1. `counts` may be the weights. `tables` has `DENSE`
#: numbers for each task.
SORT = Kernel(_sort, "sort")


def _unpack(
    keys: Array,
    counts: Array,
    starts: Array,
    offsets: Array,
    lows: Array,
    bits2: int,
    capacity: int,
    lists: Array,
) -> None:
    for bucket in prange(len(offsets) - 1):
        start = starts[bucket]
        for number in range(offsets[bucket], offsets[bucket + 1]):
            key = keys[start + number - offsets[bucket]]
            columns = lists[number // capacity]
            place = number % capacity
            columns[0, place] = (key >> bits2) + lows[0]
            columns[1, place] = (key & ((np.int64(1) << bits2) - 1)) + lows[1]
            columns[2, place] = counts[start + number - offsets[bucket]]


#: Takes keys apart again, into lists of which each gets the next `capacity` entries.
UNPACK = Kernel(_unpack, "unpack")


# ---- scores ------------------------------------------------------------------------------------


@functools.cache
def scorer(metric: str) -> Kernel:
    """The kernel that fills `values` with a ratio metric of shared areas and both areas."""
    formula = METRICS[metric].formula

    def score(shared: Array, areas1: Array, areas2: Array, values: Array) -> None:
        for i in prange(len(values)):
            values[i] = formula(shared[i], areas1[i], areas2[i])

    return Kernel(score, f"score-{metric}")
