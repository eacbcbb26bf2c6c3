"""Masks as bits: packing, unpacking, run lengths and label images.

A mask is stored as 64-bit words that run down the image: bit b of word (r, x) is the pixel at row
64 r + b, column x. Word rows lie on one grid for all masks, so that words of two masks meet without
shifting. Of each mask only the words of its own bounding box are kept, word row by word row, so
that what two masks share in one word row is one contiguous slice of either.

`docs/design/005-masks.md` has the measurements that decided this.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.runtime.bit_vectors import WORDS_READ, count_ones, count_zeros_below, nonzero_bits
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import always_inlined, prefer_widest_vectors, prefetch
from fastiou.typing import Array

__all__ = [
    "BITS",
    "COUNT_PIXELS",
    "COUNT_RUNS",
    "CROP",
    "FILL_LABELS",
    "FILL_RUNS",
    "GATHER",
    "MEASURE_LABELS",
    "MEASURE_RUNS",
    "PACK",
    "PADDING",
    "UNPACK",
    "WRITE_RUNS",
    "set_pixels",
    "word_rows",
    "words_of_frames",
]


#: Pixels in a word.
BITS = 64

#: Bytes ahead of those being packed that are fetched: without, the CPU waited half of the time.
AHEAD = 2048

#: Words go on this far past the last mask, since kernels read whole vectors.
PADDING = WORDS_READ


@register_jitable
def word_rows(top: int, bottom: int) -> int:
    """Number of word rows that pixel rows `top` to `bottom` touch, 0 if there are none."""
    return ((bottom + 63) >> 6) - (top >> 6) if bottom > top else 0


def words_of_frames(shape: tuple[int, ...]) -> int:
    """Words of masks of a shape (n, h, w) that are not cropped."""
    count, height, width = shape
    return count * -(-height // BITS) * width


# ---- dense masks -------------------------------------------------------------------------------


@register_jitable(inline="always")
def _swap(words: Array, start: int, step: int, keep: int) -> None:
    """Swap the upper bits that `keep` leaves of each word with the lower bits of one further on."""
    shift = np.uint64(step)
    mask = np.uint64(keep)
    for first in range(np.uint64(0), np.uint64(BITS), np.uint64(2 * step)):
        for k in range(np.uint64(step)):
            i = start + first + k
            low = words[i]
            high = words[i + shift]
            swapped = ((low >> shift) ^ high) & mask
            words[i + shift] = high ^ swapped
            words[i] = low ^ (swapped << shift)


@register_jitable
def _transpose(words: Array, start: int) -> None:
    """Swap rows and bits of the 64 words from `start`: halves of words first, single bits last.

    With the steps written out the compiler unrolls them; as a loop they took five times as long.
    """
    _swap(words, start, 32, 0x00000000FFFFFFFF)
    _swap(words, start, 16, 0x0000FFFF0000FFFF)
    _swap(words, start, 8, 0x00FF00FF00FF00FF)
    _swap(words, start, 4, 0x0F0F0F0F0F0F0F0F)
    _swap(words, start, 2, 0x3333333333333333)
    _swap(words, start, 1, 0x5555555555555555)


def _pack(masks: Array, words: Array, findings: Array, first_task: int, last_task: int) -> None:
    """Pack uint8 masks (n, h, w) into whole word rows (n, word rows, w rounded up to 64).

    `findings` (n, word rows, 4) receives the first and last column and row that are not empty, the
    latter two past the end; all 0 for an empty word row. A task is one word row of one mask.
    """
    _, height, width = masks.shape
    bands = words.shape[1]
    blocks = words.shape[2] // BITS
    size = masks.size
    flat = masks.reshape(-1)
    whole = width // BITS
    rest = width % BITS
    for task in prange(first_task, last_task):
        prefer_widest_vectors()
        k = task // bands
        band = task % bands
        # In memory of its own, which stays in L1: of the result only what is not empty is written.
        turned = np.empty(words.shape[2], np.uint64)
        first_row = band * BITS
        last_row = min(first_row + BITS, height)
        top = last_row
        bottom = first_row
        # First 64 columns of one row to a word, 64 such words to a block; then turn the blocks.
        for row in range(first_row, last_row):
            start = (k * height + row) * width
            line = turned[row - first_row :]
            seen = np.uint64(0)
            for block in range(whole):
                bits = nonzero_bits(flat, start + block * BITS, BITS)
                prefetch(flat, start + block * BITS + AHEAD)
                line[block * BITS] = bits
                seen |= bits
            if rest:
                if width >= BITS:  # what ends with the row, less what was read already
                    bits = nonzero_bits(flat, start + width - BITS, BITS) >> np.uint64(BITS - rest)
                elif start + BITS <= size:  # what begins with the row, less what comes after
                    bits = nonzero_bits(flat, start, BITS) & (
                        (np.uint64(1) << np.uint64(rest)) - np.uint64(1)
                    )
                else:
                    bits = np.uint64(0)
                    for x in range(rest):
                        if flat[start + x]:
                            bits |= np.uint64(1) << np.uint64(x)
                line[whole * BITS] = bits
                seen |= bits
            if seen:
                top = min(top, row)
                bottom = row + 1
        left = width
        right = 0
        if bottom > top:
            rows = np.uint64(last_row - first_row)
            for block in range(blocks):
                # Unsigned, since Numba's test for counting from the end keeps loops scalar.
                start = np.uint64(block * BITS)
                seen = np.uint64(0)
                for row in range(rows, np.uint64(BITS)):
                    turned[start + row] = np.uint64(0)
                for row in range(np.uint64(BITS)):
                    seen |= turned[start + row]
                if seen:
                    left = min(left, block * BITS + count_zeros_below(seen))
                    right = (block + 1) * BITS
                    while not seen >> np.uint64(right - 1 - block * BITS):
                        right -= 1
                    _transpose(turned, start)
            target = words[k, band]
            for x in range(left, right):
                target[x] = turned[x]
        else:
            left = top = bottom = 0
        findings[k, band, 0] = left
        findings[k, band, 1] = top
        findings[k, band, 2] = right
        findings[k, band, 3] = bottom


#: Packs dense masks, a word row at a time.
PACK = Kernel(_pack, "pack")


def _crop(
    whole: Array,
    findings: Array,
    boxes: Array,
    offsets: Array,
    words: Array,
    first_task: int,
    last_task: int,
) -> None:
    """Copy of whole word rows what lies in each mask's box.

    Parameters
    ----------
    whole
        (n, word rows, >= w) uint64: packed masks. Of a word row only the columns that `findings`
        names are filled; the others are empty.
    findings
        (n, word rows, 4) int64: as `_pack` leaves them.
    boxes, offsets
        (n, 4) and (n + 1,) int64: the box of each mask, and where its words begin.
    words
        (word,) uint64: gets the words.
    first_task, last_task
        A task is one word row of one mask.
    """
    bands = whole.shape[1]
    for task in prange(first_task, last_task):
        k = task // bands
        band = task % bands
        left, top, right, bottom = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        width = right - left
        row = band - (top >> 6)
        if 0 <= row < word_rows(top, bottom):
            target = words[offsets[k] + row * width : offsets[k] + (row + 1) * width]
            source = whole[k, band, left:right]
            begin = findings[k, band, 0] - left
            end = findings[k, band, 2] - left
            for x in range(width):
                target[x] = source[x] if begin <= x < end else np.uint64(0)


#: Crops packed masks to their boxes.
CROP = Kernel(_crop, "crop")


def _unpack(
    words: Array, starts: Array, boxes: Array, masks: Array, first_task: int, last_task: int
) -> None:
    """Write the pixels inside each mask's box to zeroed uint8 masks (n, h, w).

    A task is one row of one mask.
    """
    height = masks.shape[1]
    one = np.uint64(1)
    for task in prange(first_task, last_task):
        k = task // height
        row = task % height
        left, top, right, bottom = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        if row < top or row >= bottom:
            continue
        width = right - left
        start = starts[k] + ((row >> 6) - (top >> 6)) * width
        source = words[start : start + width]
        target = masks[k, row, left:right]
        shift = np.uint64(row & 63)
        for x in range(width):
            target[x] = (source[x] >> shift) & one


#: Unpacks masks.
UNPACK = Kernel(_unpack, "unpack")


def _count_pixels(words: Array, offsets: Array, areas: Array) -> None:
    for k in prange(len(areas)):
        prefer_widest_vectors()
        part = words[offsets[k] : offsets[k + 1]]
        area = np.int64(0)
        for i in range(len(part)):
            area += count_ones(part[i])
        areas[k] = area


#: Counts the pixels of each mask.
COUNT_PIXELS = Kernel(_count_pixels, "count-pixels")


def _gather(words: Array, starts: Array, sizes: Array, places: Array, gathered: Array) -> None:
    """Copy the words of some masks from `starts` in `words` to `places` in `gathered`: all (n,)."""
    for k in prange(len(starts)):
        size = sizes[k]
        source = words[starts[k] : starts[k] + size]
        target = gathered[places[k] : places[k] + size]
        for i in range(size):
            target[i] = source[i]


#: Copies the words of chosen masks.
GATHER = Kernel(_gather, "gather")


# ---- run lengths -------------------------------------------------------------------------------


def _measure_runs(
    counts: Array, offsets: Array, heights: Array, boxes: Array, areas: Array
) -> None:
    """Fill the bounding box of each mask (n, 4), all 0 for an empty one, and its pixels (n,).

    `heights` int64, (n,), are those of the images.
    """
    for k in prange(len(offsets) - 1):
        height = heights[k]
        area = np.int64(0)
        left = np.int64(0)
        right = np.int64(0)
        top = height
        bottom = np.int64(0)
        position = np.int64(0)
        found = False
        for i in range(offsets[k], offsets[k + 1]):
            first = position
            position += counts[i]
            if (i - offsets[k]) & 1 and position > first:
                area += position - first
                x = first // height
                last_x = (position - 1) // height
                if not found:
                    left = x
                    found = True
                right = last_x + 1
                if last_x > x:  # from the bottom of one column to the top of the next
                    top = np.int64(0)
                    bottom = height
                else:
                    top = min(top, first - x * height)
                    bottom = max(bottom, position - x * height)
        boxes[k, 0] = left
        boxes[k, 1] = top if found else 0
        boxes[k, 2] = right
        boxes[k, 3] = bottom
        areas[k] = area


#: Finds the boxes and areas of masks given as run lengths.
MEASURE_RUNS = Kernel(_measure_runs, "measure-runs")


@register_jitable
def set_pixels(
    words: Array,
    start: int,
    width: int,
    first_word_row: int,
    columns: int,
    low: int,
    high: int,
) -> None:
    """Set the pixels from row `low` to row `high` in some columns; `start` is of the first."""
    always_inlined()
    ones = ~np.uint64(0)
    first = low >> 6
    last = (high - 1) >> 6
    top = ones << np.uint64(low & 63)
    bottom = ones >> np.uint64(63 - ((high - 1) & 63))
    begin = start + (first - first_word_row) * width
    for row in range(first, last + 1):
        bits = top & bottom if row == last else top
        words[begin] |= bits  # most have one column, for which a loop takes half as long again
        for i in range(begin + 1, begin + columns):
            words[i] |= bits
        top = ones
        begin += width


def _fill_runs(
    counts: Array,
    offsets: Array,
    firsts: Array,
    heights: Array,
    boxes: Array,
    starts: Array,
    words: Array,
) -> None:
    """Set the pixels of masks, each the union of the runs `firsts[k]` to `firsts[k + 1]`.

    `heights` int64, (n,), are those of the images of masks.
    """
    for k in prange(len(firsts) - 1):
        height = heights[k]
        left, top, right = boxes[k, 0], boxes[k, 1], boxes[k, 2]
        width = right - left
        for part in range(firsts[k], firsts[k + 1]):
            position = np.int64(0)
            for i in range(offsets[part], offsets[part + 1]):
                first = position
                position += counts[i]
                if not (i - offsets[part]) & 1 or position == first:
                    continue
                x = first // height
                low = first - x * height
                remaining = position - first
                while remaining > 0:
                    # Whole columns together, word row by word row: one by one, each word of a tall
                    # column is in another page.
                    columns = max(1, remaining // height) if low == 0 else 1
                    high = min(height, low + remaining)
                    set_pixels(words, starts[k] + x - left, width, top >> 6, columns, low, high)
                    remaining -= (high - low) * columns
                    low = np.int64(0)
                    x += columns


#: Packs masks given as run lengths.
FILL_RUNS = Kernel(_fill_runs, "fill-runs")


@register_jitable
def _runs(
    words: Array,
    start: int,
    left: int,
    top: int,
    right: int,
    bottom: int,
    height: int,
    total: int,
    counts: Array,
    begin: int,
    writing: bool,
) -> int:
    """Run lengths of one mask, column by column; returns how many there are."""
    one = np.uint64(1)
    width = right - left
    first_row = top >> 6
    rows = word_rows(top, bottom)
    below = min((first_row + rows) * BITS, height)
    number = np.int64(0)
    since = np.int64(0)
    inside = np.uint64(0)
    for x in range(width):
        column = (left + x) * height
        for row in range(rows):
            word = words[start + row * width + x]
            changes = word ^ ((word << one) | inside)
            base = column + (first_row + row) * BITS
            while changes:
                position = base + count_zeros_below(changes)
                # Bits below the image are 0: a run may seem to end there, and the next column to
                # begin one. It does only if the next column does not go on.
                if position >= column + height:
                    break
                if writing:
                    counts[begin + number] = position - since
                since = position
                number += 1
                changes &= changes - one
            last_bit = min(np.int64(63), height - 1 - (first_row + row) * BITS)
            inside = (word >> np.uint64(last_bit)) & one
        # What follows in this column and precedes in the next is empty where it was cropped.
        if inside and (below < height or first_row > 0 or x == width - 1):
            position = column + below
            if position < total:
                if writing:
                    counts[begin + number] = position - since
                since = position
                number += 1
            inside = np.uint64(0)
    if writing:
        counts[begin + number] = total - since
    return number + 1


def _count_runs(
    words: Array, starts: Array, boxes: Array, height: int, total: int, numbers: Array
) -> None:
    for k in prange(len(numbers)):
        numbers[k] = _runs(
            words, starts[k], boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3],
            height, total, numbers, 0, False,
        )  # fmt: skip


def _write_runs(
    words: Array,
    starts: Array,
    boxes: Array,
    height: int,
    total: int,
    offsets: Array,
    counts: Array,
) -> None:
    for k in prange(len(offsets) - 1):
        _runs(
            words, starts[k], boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3],
            height, total, counts, offsets[k], True,
        )  # fmt: skip


#: Counts the runs of each mask.
COUNT_RUNS = Kernel(_count_runs, "count-runs")

#: Writes the run lengths of each mask from `offsets[k]` on.
WRITE_RUNS = Kernel(_write_runs, "write-runs")


# ---- label images ------------------------------------------------------------------------------


def _measure_labels(indices: Array, bounds: Array, first_row: int, last_row: int) -> None:
    """Widen the box of each object to what lies in some rows of a label image.

    Parameters
    ----------
    indices
        (h, w) int32: the number of the object at each pixel, negative where there is none.
    bounds
        (blocks, objects, 4) int64: left, top, right, bottom. To begin with, a box is w, h, 0, 0.
    first_row, last_row
        The rows, of which each block has a part.
    """
    blocks = len(bounds)
    rows = last_row - first_row
    width = indices.shape[1]
    for block in prange(blocks):
        box = bounds[block]
        begin = first_row + rows * block // blocks
        for row in range(begin, first_row + rows * (block + 1) // blocks):
            line = indices[row]
            x = 0
            while x < width:
                k = line[x]
                first = x
                while x < width and line[x] == k:
                    x += 1
                if k >= 0:
                    box[k, 0] = min(box[k, 0], first)
                    box[k, 1] = min(box[k, 1], row)
                    box[k, 2] = max(box[k, 2], x)
                    box[k, 3] = max(box[k, 3], row + 1)


#: Finds the boxes of objects in some rows of a label image.
MEASURE_LABELS = Kernel(_measure_labels, "measure-labels")


def _fill_labels(
    indices: Array, boxes: Array, starts: Array, words: Array, first_band: int, last_band: int
) -> None:
    """Set the pixels of all objects. Threads share no word: each works on one word row."""
    height, width = indices.shape
    for band in prange(first_band, last_band):
        for row in range(band * BITS, min((band + 1) * BITS, height)):
            bit = np.uint64(1) << np.uint64(row & 63)
            for x in range(width):
                k = indices[row, x]
                if k >= 0:
                    left, top, right = boxes[k, 0], boxes[k, 1], boxes[k, 2]
                    words[starts[k] + (band - (top >> 6)) * (right - left) + x - left] |= bit


#: Packs the objects in some word rows of a label image.
FILL_LABELS = Kernel(_fill_labels, "fill-labels")
