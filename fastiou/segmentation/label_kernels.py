"""Counting pairs of labels: how many pixels carry label i in one image and label j in another.

Neighbouring pixels mostly carry the same pair. So a kernel counts whole runs of equal pairs, in a
small hash table. A table that is half full is emptied into a list. Then it is made larger, up to a
limit that keeps it in the caches. A list that is full ends the kernel. Whoever called it merges the
lists and calls again.

Large lists are merged by a sort. A key holds both labels. Keys are first put into buckets, and then
each bucket is sorted in cache. On 2 cores two images of 4096² pixels took 7 ms with 4,096 objects,
and 0.62 s with 4,096 labels at random; np.unique of a joint key took 0.94 and 1.3 s.

Counts are integers, so the result is the same for any number of threads.

A list of pairs is an array of columns, (3, entry) int64: label of the first image, label of the
second, pixels. `forms` (4,) int64 holds two numbers for each image: the bits of a pixel to keep,
and then those to turn. They put the order of the image's own dtype into int64.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.metrics import METRICS
from fastiou.runtime.bit_vectors import count_zeros_below, mixed, nonzero_bits
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import (
    CACHE_LINE,
    always_inlined,
    prefer_widest_vectors,
    prefetch,
    stack_array,
)
from fastiou.typing import Array

__all__ = [
    "CHUNK",
    "COLLECT",
    "COLLECT_FEW",
    "CONFUSE",
    "DENSE",
    "FEWEST_SLOTS",
    "MOST_SLOTS",
    "PACK",
    "SCATTER",
    "SORT",
    "UNPACK",
    "scorer",
]


#: Slots of a new table: enough for the strip of one task where objects are 64 pixels apart.
FEWEST_SLOTS = 1 << 10

#: Slots of the largest table: 3 MB. With half of it, 40,000 pairs at random took twice as long.
MOST_SLOTS = 1 << 17

#: Pixels that are compared with their neighbours at a time.
CHUNK = 1 << 12

#: As words of bits.
NO_BITS, ONE_BIT = np.uint64(0), np.uint64(1)

#: Digits of the radix sort have at most this many bits: their histogram fits half of an L1 cache.
DIGIT = 11

#: Buckets of at most so many possible keys are not sorted but counted, where a quarter of the keys
#: may occur. That is twice as fast on labels at random.
DENSE = 1 << 14


# ---- counting ----------------------------------------------------------------------------------


@register_jitable
def _empty(table: Array, size: int, forms: Array, columns: Array, found: int, ranges: Array) -> int:
    """Move the entries of a table to the end of a list, and say how long it is then.

    Parameters
    ----------
    table
        (slot, 3) int64: the bits of both pixels, and how many there were. 0 marks a free slot.
    size
        Slots in use, a power of two.
    forms, columns
        As the module says.
    found
        Length of the list.
    ranges
        (4,) int64: lowest and highest label of the first image, and of the second, in the list.
    """
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
    """Count pixels of a pair, and return how many slots this took: 0 or 1.

    `table` (slot, 3) int64 has `size` slots in use, as in `_empty`.
    """
    always_inlined()
    slot = np.int64(mixed(label1, label2) >> np.uint64(40)) & (size - 1)
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
    """Count pixels until the list is full; return how far it came, table size and list length.

    Parameters
    ----------
    labels1, labels2
        (pixel,) signed integers: both images.
    first, last
        Pixels to count.
    size, table, forms, columns, found, ranges
        As in `_empty`. The table is empty, before and after.
    """
    prefer_widest_vectors()
    room = columns.shape[1]
    used = 0
    changes = stack_array(np.uint8, CHUNK)
    line = CACHE_LINE // max(labels1.itemsize, labels2.itemsize)
    # A chunk adds to the list at most what the table holds and its own pixels.
    while first < last and room - found >= used + CHUNK:
        length = min(CHUNK, last - first)
        part1 = labels1[first : first + length]
        part2 = labels2[first : first + length]
        # Marks where a run begins. This loop is vectorised, and those that follow see 64 pixels at
        # a time. Comparing pixels one by one took twice as long.
        next1, next2, begins = part1[1:], part2[1:], changes[1:length]
        for i in range(length - 1):
            begins[i] = (part1[i] != next1[i]) | (part2[i] != next2[i])
        changes[0] = 0
        for i in range(length, -(-length // 64) * 64):
            changes[i] = 0
        start = 0
        for place in range(0, length, 64):
            # The next chunk is fetched meanwhile: a third of the time was waiting for it.
            for pixel in range(CHUNK + place, CHUNK + place + 64, line):
                prefetch(part1, pixel)
                prefetch(part2, pixel)
            bits = nonzero_bits(changes, place, 64)
            while bits != NO_BITS:
                end = place + count_zeros_below(bits)
                bits &= bits - ONE_BIT
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
    """Count the pixels of each task until they end, or its list is full.

    Parameters
    ----------
    labels1, labels2
        (pixel,) signed integers: both images.
    positions, ends
        (task,) int64: where each task begins, and ends. `positions` gets how far it came.
    sizes, tables
        (task,) int64 and (task, slot, 3) int64: as in `_empty`.
    forms
        (4,) int64.
    lists, lengths
        (task, 3, entry) int64 and (task,) int64: lists in no order, with repetitions.
    ranges
        (task, 4) int64: as in `_empty`.
    """
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


COLLECT = Kernel(_collect, "collect")


def _collect_few(
    labels1: Array, labels2: Array, forms: Array, size: int, table: Array, columns: Array
) -> int:
    """Count all pixels in one list; return how long it is, -1 where it has no place.

    Parameters
    ----------
    labels1, labels2
        (pixel,) signed integers: both images.
    forms, size, table
        As in `_empty`; the table is (slot, 3) int64.
    columns
        (3, entry) int64: gets the list, in no order, with repetitions.
    """
    ranges = stack_array(columns, 4)
    for place in range(4):
        ranges[place] = 0
    end, _, found = _collect_range(
        labels1, labels2, 0, len(labels1), size, table, forms, columns, 0, ranges
    )
    return found if end == len(labels1) else -1


COLLECT_FEW = Kernel(_collect_few, "collect-few")


def _confuse(
    target: Array, pred: Array, cuts: Array, kept: Array, ignored: int, tables: Array
) -> None:
    """Count pixels by true and predicted class.

    Parameters
    ----------
    target, pred
        (pixel,) signed integers.
    cuts
        (task + 1,) int64: the first pixel of each task, and the end of the last.
    kept
        (2,) int64: the bits of each image's pixels that make a class.
    ignored
        The number in `target` that is left out; 0 where there is none.
    tables
        (task, 4, classes + 2, classes + 2) int64: gets the counts. Row and column `classes` are for
        what is no class, and row `classes + 1` for what is ignored and no class.
    """
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
            # Four tables take turns. The next pixel mostly adds to the same count, and would wait.
            table[i & 3, row, column] += 1


CONFUSE = Kernel(_confuse, "confuse")


# ---- merging large lists -----------------------------------------------------------------------


def _pack(lists: Array, lengths: Array, lows: Array, bits2: int, shift: int, sizes: Array) -> None:
    """Make one key of both labels, in place of the first, and count the keys of each bucket.

    Parameters
    ----------
    lists, lengths
        (list, 3, entry) int64 and (list,) int64.
    lows
        (2,) int64: the lowest label of each image.
    bits2
        Bits of the second label in a key.
    shift
        Bits of a key below its bucket.
    sizes
        (list, bucket) int64: gets the number of keys.
    """
    for task in prange(len(lengths)):
        columns = lists[task]
        for i in range(lengths[task]):
            key = ((columns[0, i] - lows[0]) << bits2) | (columns[1, i] - lows[1])
            columns[0, i] = key
            sizes[task, key >> shift] += 1


PACK = Kernel(_pack, "pack")


def _scatter(
    lists: Array, lengths: Array, shift: int, offsets: Array, keys: Array, counts: Array
) -> None:
    """Put keys and counts into the order of their buckets.

    Parameters
    ----------
    lists, lengths, shift
        As `_pack` leaves and takes them.
    offsets
        (list, bucket) int64: where the keys of each list begin in each bucket. Gets their ends.
    keys, counts
        (entry,) int64: get those of all lists.
    """
    for task in prange(len(lengths)):
        columns = lists[task]
        for i in range(lengths[task]):
            key = columns[0, i]
            place = offsets[task, key >> shift]
            offsets[task, key >> shift] = place + 1
            keys[place] = key
            counts[place] = columns[2, i]


SCATTER = Kernel(_scatter, "scatter")


@register_jitable
def _count_bucket(keys: Array, counts: Array, bits: int, table: Array) -> int:
    """Add up the counts of equal keys in a table, and return how many keys differ.

    Parameters
    ----------
    keys, counts
        (entry,): equal but for the lowest `bits`. The distinct keys, sorted, and their counts come
        to the beginning.
    table
        (DENSE,): scratch.
    """
    size = np.int64(1) << bits
    rest = keys[0] & ~(size - 1)
    for value in range(size):
        table[value] = 0
    for i in range(len(keys)):
        table[keys[i] & (size - 1)] += counts[i]
    found = 0
    for value in range(size):
        if table[value] != 0:
            keys[found] = rest | value
            counts[found] = table[value]
            found += 1
    return found


@register_jitable
def _sort_bucket(
    keys: Array, counts: Array, spare_keys: Array, spare_counts: Array, bits: int, places: Array
) -> int:
    """Sort by the lowest `bits`, add up the counts of equal keys, and return how many keys differ.

    Parameters
    ----------
    keys, counts
        (entry,): as in `_count_bucket`.
    spare_keys, spare_counts
        (entry,): scratch.
    places
        (at least 2**DIGIT,): scratch.
    """
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
            spare_counts[place] = counts[i]
        for i in range(len(keys)):
            keys[i] = spare_keys[i]
            counts[i] = spare_counts[i]
    last = 0
    for i in range(1, len(keys)):
        if keys[i] == keys[last]:
            counts[last] += counts[i]
        else:
            last += 1
            keys[last] = keys[i]
            counts[last] = counts[i]
    return last + 1


def _sort(
    keys: Array,
    counts: Array,
    spare_keys: Array,
    spare_counts: Array,
    starts: Array,
    bits: int,
    distinct: Array,
    tables: Array,
) -> None:
    """Sort each bucket and add up the counts of equal keys, at its beginning.

    Parameters
    ----------
    keys, counts, spare_keys, spare_counts
        (entry,): as in `_sort_bucket`, for all buckets.
    starts
        (bucket + 1,): the first entry of each bucket, and the end of the last.
    distinct
        (bucket,): gets the number of distinct keys of each.
    tables
        (task, DENSE): scratch.
    """
    for task in prange(len(tables)):
        table = tables[task]
        buckets = len(distinct)
        for bucket in range(task * buckets // len(tables), (task + 1) * buckets // len(tables)):
            first = starts[bucket]
            last = starts[bucket + 1]
            own_keys = keys[first:last]
            own_counts = counts[first:last]
            if first == last:
                distinct[bucket] = 0
            elif bits < 62 and (1 << bits) <= min(DENSE, 4 * (last - first)):
                distinct[bucket] = _count_bucket(own_keys, own_counts, bits, table)
            else:
                distinct[bucket] = _sort_bucket(
                    own_keys, own_counts, spare_keys[first:last], spare_counts[first:last],
                    bits, table,
                )  # fmt: skip


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
    """Take keys apart into labels again.

    Parameters
    ----------
    keys, counts
        (entry,) int64: as `_sort` leaves them.
    starts
        (bucket + 1,) int64: the first entry of each bucket.
    offsets
        (bucket + 1,) int64: distinct keys before each bucket.
    lows, bits2
        As in `_pack`.
    capacity
        Entries for each list. The first list gets the first of them.
    lists
        (list, 3, entry) int64.
    """
    for bucket in prange(len(offsets) - 1):
        start = starts[bucket]
        number = offsets[bucket] // capacity
        place = offsets[bucket] % capacity
        for entry in range(start, start + offsets[bucket + 1] - offsets[bucket]):
            key = keys[entry]
            lists[number, 0, place] = (key >> bits2) + lows[0]
            lists[number, 1, place] = (key & ((np.int64(1) << bits2) - 1)) + lows[1]
            lists[number, 2, place] = counts[entry]
            place += 1
            if place == capacity:
                place = 0
                number += 1


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
