"""Packing masks to bits: from pixels, run lengths and labels.

Of every mask only the words of its bounding box are kept, 64 pixels to a word; see `bits`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastiou.geometries.masks import bits
from fastiou.geometries.masks.run_lengths import RunLengths
from fastiou.runtime import chunks, distinct, memory, steps, threads
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.typing import Array

__all__ = [
    "PIXELS_AT_A_TIME",
    "SCORES_PER_NEW_WORD",
    "SCORES_PER_RUN",
    "SCORES_PER_WORD",
    "Packed",
    "allocate_words",
    "join",
    "measure_runs",
    "measure_unions",
    "pack_dense",
    "pack_labels",
    "pack_on_gpu",
    "pack_runs",
    "padded_words",
    "running_sum",
    "take",
    "word_offsets",
    "words_of_each",
]


#: Pixels that are packed at a time, whose bits take 16 MiB until they are cropped.
PIXELS_AT_A_TIME = 1 << 27

#: Work of reading a word or eight pixels, and of reading or writing a run, in scores of boxes (see
#: `threads.run`).
SCORES_PER_WORD = 1 / 8
SCORES_PER_RUN = 8

#: The same of a word that is written to memory new from the system, which clears it first. Steps
#: are cut by it; how many threads the work deserves is told by the words alone.
SCORES_PER_NEW_WORD = 2

#: Work of a pixel of a label image, likewise: less where neighbours have the same label, up to 90
#: where each has another.
SCORES_PER_LABEL = 4

#: How much more work is taken for a pixel that is filled in, until its time is known: of 25 million
#: pixels of scattered labels a first step of 4 million took 0.38 s.
SCATTERED = 4


class Packed(NamedTuple):
    """Masks of one size, as bits."""

    #: (height, width)
    size: tuple[int, int]
    #: (n, 4) int64: left, top, right, bottom, half-open; all 0 for an empty mask.
    boxes: Array
    #: (n + 1,) int64: where the words of each mask begin in `words`.
    offsets: Array
    #: Words as `bits` has them, and padding.
    words: Array
    #: (n,) int64: pixels.
    areas: Array


# ---- pixels ------------------------------------------------------------------------------------


def pack_dense(array: Array, foreground_of: Callable[[Array, int], Array] | None = None) -> Packed:
    """Masks of a shape (N, H, W), of any dtype and layout.

    `foreground_of(some, first)` makes booleans of some of them, from that number on; without it,
    what is not 0 is foreground.
    """
    count, height, width = array.shape
    bands, columns = -(-height // bits.BITS), -(-width // bits.BITS) * bits.BITS
    if not array.size:
        return _empty((height, width), count)
    # Small masks take whole words all the same.
    at_a_time = min(count, max(1, PIXELS_AT_A_TIME // (bits.BITS * bands * columns)))
    room = memory.allocate(
        (at_a_time, bands, columns), np.uint64, "packing dense masks", "pack fewer at a time"
    )
    found = np.empty((at_a_time, bands, 4), np.int64)
    parts = []
    for first in range(0, count, at_a_time):
        number = min(at_a_time, count - first)
        whole, findings = room[:number], found[:number]
        some = array[first : first + number]
        pixels = _as_bytes(some if foreground_of is None else foreground_of(some, first))
        tasks = number * bands
        # A step reads the pixels of some word rows.
        for begin, end, work in steps.ranges(tasks, bits.BITS * width * SCORES_PER_WORD):
            threads.run(bits.PACK, work, pixels, whole, findings, begin, end)
        boxes = _join_boxes(findings)
        offsets = word_offsets(boxes)
        words = allocate_words(int(offsets[-1]))
        each = words.size / tasks
        for begin, end, work in steps.ranges(tasks, SCORES_PER_NEW_WORD * each):
            own = work // SCORES_PER_NEW_WORD
            threads.run(bits.CROP, own, whole, findings, boxes, offsets, words, begin, end)
        parts.append((boxes, offsets, words))
    return join((height, width), parts)


def pack_on_gpu(pixels: Any, place: GpuArray) -> Packed | None:
    """Masks of a shape (n, h, w) on a GPU, of which what their boxes hold is copied to the host.

    None where a pixel is not a whole number.
    """
    from fastiou.geometries.masks import gpu_packing
    from fastiou.runtime.gpu import working

    count, height, width = map(int, pixels.shape)
    words_of_each = bits.words_of_frames((1, height, width))
    if not count * words_of_each:
        return _empty((height, width), count)
    at_a_time = min(count, max(1, PIXELS_AT_A_TIME // (bits.BITS * words_of_each)))
    parts = []
    with working(place) as work:
        # Frames, and as many words if all masks fill them.
        work.reserve(16 * at_a_time * words_of_each, f"packing {count:,} masks")
        for first in range(0, count, at_a_time):
            frames = gpu_packing.frames(work, pixels[first : first + at_a_time])
            bounds: Array = work.to_host(frames.bounds)
            if (bounds[5] < 0).any():
                return None
            boxes = np.ascontiguousarray(np.where(bounds[5] > 0, bounds[:4], 0).T)
            offsets = word_offsets(boxes)
            words = allocate_words(int(offsets[-1]))
            gpu_packing.crop(work, frames, offsets, words[: offsets[-1]])
            parts.append((boxes, offsets, words))
    return join((height, width), parts)


def _as_bytes(array: Array) -> Array:
    """Masks of any dtype and layout as contiguous bytes, 0 for background."""
    if array.dtype.kind in "biu" and array.dtype.itemsize == 1 and array.flags.carray:
        return array.view(np.uint8)
    foreground = np.empty(array.shape, np.bool_)
    for block in chunks.blocks(array.shape):
        np.not_equal(array[block], 0, out=foreground[block])
    return foreground.view(np.uint8)


def _join_boxes(findings: Array) -> Array:
    """Box of each mask from those of its word rows (n, word rows, 4)."""
    filled = findings[..., 3:] > findings[..., 1:2]
    far = np.iinfo(np.int64).max
    low = np.where(filled, findings[..., :2], far).min(axis=1)
    high = np.where(filled, findings[..., 2:], 0).max(axis=1)
    return np.concatenate([np.where(high > 0, low, 0), high], axis=1)


# ---- run lengths and labels --------------------------------------------------------------------


def pack_runs(runs: RunLengths, firsts: Array | None = None) -> Packed:
    """Masks that are each the union of the runs `firsts[k]` to `firsts[k + 1]`."""
    boxes, areas = measure_runs(runs)
    heights = runs.heights_of_each
    is_union = firsts is not None
    if firsts is None:
        firsts = np.arange(len(runs.offsets))
    else:
        boxes = _union_boxes(boxes, firsts, runs.size)
        heights = heights[firsts[:-1]]
    offsets = word_offsets(boxes)
    words = allocate_words(int(offsets[-1]), zeros=True)
    before = SCORES_PER_RUN * runs.offsets[firsts]
    deserved = before + SCORES_PER_WORD * offsets
    for first, last, _ in steps.spans(before + SCORES_PER_NEW_WORD * offsets):
        threads.run(
            bits.FILL_RUNS,
            int(deserved[last] - deserved[first]),
            runs.counts,
            runs.offsets,
            firsts[first : last + 1],
            heights[first:last],
            boxes[first:last],
            offsets[first:last],
            words,
        )
    areas = areas_of(words, offsets) if is_union else areas
    return Packed(runs.size, boxes, offsets, words, areas)


def measure_runs(runs: RunLengths) -> tuple[Array, Array]:
    """The bounding boxes (n, 4) and the pixels (n,) of masks, as `Packed` has them."""
    number = len(runs.offsets) - 1
    boxes, areas = np.empty((number, 4), np.int64), np.empty(number, np.int64)
    heights = runs.heights_of_each
    for first, last, work in steps.spans(runs.offsets, SCORES_PER_RUN):
        threads.run(
            bits.MEASURE_RUNS, work, runs.counts, runs.offsets[first : last + 1],
            heights[first:last], boxes[first:last], areas[first:last],
        )  # fmt: skip
    return boxes, areas


def measure_unions(runs: RunLengths, firsts: Array) -> tuple[Array, Array]:
    """The same of masks that are each the union of the runs `firsts[k]` to `firsts[k + 1]`.

    Only those of several are packed for it.
    """
    boxes, areas = measure_runs(runs)
    parts = np.diff(firsts)
    several = np.flatnonzero(parts > 1)
    boxes = _union_boxes(boxes, firsts, runs.size)
    areas = areas[firsts[:-1]]
    if len(several):
        chosen = np.flatnonzero(np.repeat(parts > 1, parts))
        lengths = np.diff(runs.offsets)[chosen]
        offsets = running_sum(lengths)
        places = np.repeat(runs.offsets[chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        some = RunLengths(runs.size, runs.counts[places], offsets, runs.heights_of_each[chosen])
        areas[several] = pack_runs(some, running_sum(parts[several])).areas
    return boxes, areas


def _union_boxes(boxes: Array, firsts: Array, size: tuple[int, int]) -> Array:
    """Box around each group of boxes."""
    count = len(firsts) - 1
    owner = np.repeat(np.arange(count), np.diff(firsts))
    filled = boxes[:, 2] > boxes[:, 0]
    low = np.full((count, 2), max(size), np.int64)
    high = np.zeros((count, 2), np.int64)
    np.minimum.at(low, owner[filled], boxes[filled, :2])
    np.maximum.at(high, owner[filled], boxes[filled, 2:])
    return np.concatenate([np.where(high > 0, low, 0), high], axis=1)


def pack_labels(image: Array) -> tuple[Packed, Array]:
    """A mask of every label of an image (H, W) but 0, and the labels, ascending."""
    labels, indices = _object_numbers(image)
    height, width = image.shape
    count = len(labels)
    boxes = np.empty((0, 4), np.int64)
    if count:
        blocks = max(1, min(64, height // 16, (1 << 22) // count))
        bounds = np.empty((blocks, count, 4), np.int64)
        flat = bounds.reshape(blocks, -1)  # whole rows of which are filled faster than boxes
        for own in chunks.slices(count, max(1, chunks.PIECE // blocks)):
            nothing = np.tile([width, height, 0, 0], own.stop - own.start)
            flat[:, 4 * own.start : 4 * own.stop] = nothing
        for first, last, work in steps.ranges(height, SCORES_PER_LABEL * width):
            threads.run(bits.MEASURE_LABELS, work, indices, bounds, first, last)
        boxes = np.empty((count, 4), np.int64)
        for own in chunks.slices(count, max(1, chunks.PIECE // blocks)):
            boxes[own, :2] = bounds[:, own].min(0)[:, :2]
            boxes[own, 2:] = bounds[:, own].max(0)[:, 2:]
        del bounds, flat
    offsets = word_offsets(boxes)
    words = allocate_words(int(offsets[-1]), zeros=True)
    if count:
        each = SCATTERED * SCORES_PER_LABEL * bits.BITS * width
        for first, last, work in steps.ranges(-(-height // bits.BITS), each):
            alone = work // SCATTERED
            threads.run(bits.FILL_LABELS, alone, indices, boxes, offsets, words, first, last)
    masks = Packed((height, width), boxes, offsets, words, areas_of(words, offsets))
    return masks, labels


def _object_numbers(image: Array) -> tuple[Array, Array]:
    """Labels that occur, without 0, and for each pixel the number of its label, or -1."""
    if not image.size:
        return np.empty(0, image.dtype), np.full(image.shape, -1, np.int32)
    low, high = map(int, chunks.extremes(image))
    if high - low > max(1 << 20, 2 * image.size):
        return _numbers_of_sparse(image)
    # A table of all labels that could occur is faster than sorting: 30 ms for 16 M pixels.
    number = image.dtype.type(low)
    seen = np.zeros(high - low + 1, np.bool_)
    # As many pixels at a time as take 0.1 s.
    blocks = list(chunks.blocks(image.shape, 8 * chunks.PIECE))
    for block in blocks:
        shifted = np.subtract(image[block], number, dtype=np.int64, casting="unsafe")
        seen[shifted.reshape(-1)] = True
    if low <= 0 <= high:
        seen[-low] = False
    present = np.flatnonzero(seen)
    table = np.empty(high - low + 1, np.int32)  # of which only what occurs is read
    if low <= 0 <= high:
        table[-low] = -1
    labels = np.empty(len(present), image.dtype)
    for own in chunks.slices(len(present)):
        some = present[own]
        table[some] = np.arange(own.start, own.stop, dtype=np.int32)
        # In uint64 the sum is right, modulo 2⁶⁴, for labels of any integer type.
        labels[own] = (some.astype(np.uint64) + np.uint64(low % 2**64)).astype(image.dtype)
    if len(blocks) == 1:
        return labels, np.ascontiguousarray(table[shifted])
    indices = np.empty(image.shape, np.int32)
    for block in blocks:
        shifted = np.subtract(image[block], number, dtype=np.int64, casting="unsafe")
        indices[block] = table[shifted]
    return labels, indices


def _numbers_of_sparse(image: Array) -> tuple[Array, Array]:
    """The same where there may be far fewer labels than numbers from the lowest to the highest."""
    flat = chunks.copied(image, image.dtype.newbyteorder("=")).reshape(-1)
    values = distinct.distinct(flat)
    indices = distinct.places_in(values, flat, np.int32)
    zero = int(np.searchsorted(values, values.dtype.type(0)))
    if zero < len(values) and values[zero] == 0:
        values = np.delete(values, zero)
        for own in chunks.slices(len(indices)):
            some = indices[own]
            is_zero = some == zero
            some -= some > zero
            some[is_zero] = -1
    return values.astype(image.dtype, copy=False), indices.reshape(image.shape)


# ---- words -------------------------------------------------------------------------------------


def _empty(size: tuple[int, int], count: int) -> Packed:
    """Masks without a pixel."""
    return Packed(
        size,
        np.zeros((count, 4), np.int64),
        np.zeros(count + 1, np.int64),
        allocate_words(0, zeros=True),
        np.zeros(count, np.int64),
    )


def join(
    size: tuple[int, int],
    parts: list[tuple[Array, Array, Array]],
    order: Array | None = None,
    *,
    held: int = 0,
) -> Packed:
    """One set of (boxes, offsets, words) in a row.

    Parameters
    ----------
    size
        (height, width) of all masks.
    parts
        At least one. The list is emptied, so that words which nobody else holds are let go of as
        soon as they are copied.
    order
        Where each mask comes to lie; in a row, one after the other, if that is not given.
    held
        Bytes of words that nobody else holds.
    """
    if order is not None and (np.diff(order) > 0).all():
        order = None
    if len(parts) == 1 and order is None:
        boxes, offsets, words = parts.pop()
        return Packed(size, boxes, offsets, words, areas_of(words, offsets))
    boxes = np.concatenate([boxes for boxes, _, _ in parts])
    sizes = np.concatenate([np.diff(offsets) for _, offsets, _ in parts])
    if order is not None:
        ordered_boxes, ordered_sizes = np.empty_like(boxes), np.empty_like(sizes)
        ordered_boxes[order], ordered_sizes[order] = boxes, sizes
        boxes, sizes = ordered_boxes, ordered_sizes
    offsets = running_sum(sizes)
    words = allocate_words(int(offsets[-1]), besides=-held)
    done = 0
    parts.reverse()
    while parts:
        _, own_offsets, own_words = parts.pop()
        count = len(own_offsets) - 1
        if order is None:
            some = own_words[own_offsets[0] : own_offsets[-1]]
            target = words[offsets[done] : offsets[done + count]]
            for own in chunks.slices(len(some)):
                target[own] = some[own]
        else:
            places = offsets[order[done : done + count]]
            _copy_words(own_words, own_offsets[:-1], places, own_offsets, words)
        done += count
    return Packed(size, boxes, offsets, words, areas_of(words, offsets))


def _copy_words(words: Array, starts: Array, places: Array, before: Array, to: Array) -> None:
    """Copy words of masks from `starts` to `places`, each (n,), with `before` (n + 1,) in a row."""
    sizes = np.diff(before)
    for first, last, work in steps.spans(before, SCORES_PER_NEW_WORD):
        own = slice(first, last)
        threads.run(
            bits.GATHER, int(work * SCORES_PER_WORD / SCORES_PER_NEW_WORD), words, starts[own],
            sizes[own], places[own], to,
        )  # fmt: skip


def take(masks: Packed, chosen: Array) -> Packed:
    """Some of the masks, by their numbers."""
    offsets = running_sum(np.diff(masks.offsets)[chosen])
    words = allocate_words(int(offsets[-1]))
    _copy_words(masks.words, masks.offsets[chosen], offsets[:-1], offsets, words)
    return Packed(masks.size, masks.boxes[chosen], offsets, words, masks.areas[chosen])


def padded_words(words: Array) -> Array:
    """A copy of words with the padding that kernels need."""
    padded = allocate_words(len(words))
    for own in chunks.slices(len(words)):
        padded[own] = words[own]
    return padded


def running_sum(sizes: Array) -> Array:
    """Where each of some things begins that lie in a row, and where the last ends."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def words_of_each(bounds: Array) -> Array:
    """Words of masks with these bounds, (>= 4, n): those of the word rows that a box touches."""
    left, top, right, bottom = bounds[:4]
    words: Array = (-(-bottom // bits.BITS) - top // bits.BITS) * (right - left)
    return words


def word_offsets(boxes: Array) -> Array:
    """Where the words of masks with these boxes, (n, 4), begin."""
    return running_sum(words_of_each(boxes.T))


def allocate_words(count: int, *, zeros: bool = False, besides: int = 0) -> Array:
    """Words, and the padding behind them, which is 0 in any case."""
    needed = count + bits.PADDING
    room = memory.allocate(
        (needed + 8,), np.uint64, "the bits of masks", "take fewer at a time", zeros=zeros,
        besides=besides,
    )  # fmt: skip
    # From a cache line on: masks of whole lines, as those that fill the image, then load faster.
    first = -room.ctypes.data % 64 // 8
    words: Array = room[first : first + needed]
    words[count:] = 0
    return words


def areas_of(words: Array, offsets: Array) -> Array:
    areas = np.empty(len(offsets) - 1, np.int64)
    for first, last, work in steps.spans(offsets, SCORES_PER_WORD):
        threads.run(bits.COUNT_PIXELS, work, words, offsets[first : last + 1], areas[first:last])
    return areas
