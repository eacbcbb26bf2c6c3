"""Masks packed from compressed run lengths that stand in a text, such as JSON, or are joined."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastiou.geometries.masks.letter_kernels import FILL_LETTERS, MEASURE_LETTERS
from fastiou.geometries.masks.packing import (
    SCORES_PER_NEW_WORD,
    SCORES_PER_WORD,
    Packed,
    allocate_words,
    pack_runs,
    running_sum,
    word_offsets,
)
from fastiou.geometries.masks.run_lengths import Entries, decoded, read_entries
from fastiou.runtime import steps, threads
from fastiou.typing import Array

__all__ = ["Letters", "letters_of", "measure_letters", "pack_entries", "pack_letters"]

# Time in scores of boxes, in which `threads.run` reckons: 0.35 ns each.
SCORES_PER_LETTER = 6


class Letters(NamedTuple):
    """Strings of run lengths in a text."""

    #: uint8: the text.
    text: Array
    #: (n,) int64: where each begins and ends.
    begins: Array
    ends: Array
    #: (n, 2) int64: height and width of the image of each.
    sizes: Array
    #: Whether a backslash is written twice, as in JSON.
    doubled: bool


def pack_entries(name: str, entries: Any, size: tuple[int, int] | None = None) -> Packed:
    """Masks in COCO's format as bits; arguments and errors are those of `read_entries`."""
    given = read_entries(name, entries, size)
    letters = letters_of(given)
    if letters is not None:
        boxes, areas = measure_letters(letters)
        if (areas >= 0).all():
            return pack_letters(letters, boxes, areas, given.size)
    return pack_runs(decoded(name, given))  # which tells what is malformed


def letters_of(given: Entries) -> Letters | None:
    """Masks that are all strings; None for others."""
    if given.lists:
        return None
    begins, ends = given.cuts[:-1], given.cuts[1:]
    sizes = np.broadcast_to(np.array(given.size, np.int64), (len(begins), 2))
    return Letters(given.characters, begins, ends, np.ascontiguousarray(sizes), doubled=False)


def measure_letters(letters: Letters) -> tuple[Array, Array]:
    """The bounding boxes (n, 4) and the pixels (n,) of masks, as `Packed` has them.

    What is malformed has -1 pixels.
    """
    text, begins, ends, sizes, doubled = letters
    boxes, areas = np.zeros((len(begins), 4), np.int64), np.empty(len(begins), np.int64)
    for first, last, work in steps.spans(running_sum(ends - begins), SCORES_PER_LETTER):
        own = slice(first, last)
        threads.run(
            MEASURE_LETTERS, work, text, begins[own], ends[own], int(doubled), sizes[own],
            boxes[own], areas[own],
        )  # fmt: skip
    return boxes, areas


def pack_letters(letters: Letters, boxes: Array, areas: Array, size: tuple[int, int]) -> Packed:
    """Masks as bits, of which `measure_letters` has told boxes and areas.

    `size` is the height and width of all masks, to which they are padded.
    """
    text, begins, ends, sizes, doubled = letters
    offsets = word_offsets(boxes)
    words = allocate_words(int(offsets[-1]), zeros=True)
    before = SCORES_PER_LETTER * running_sum(ends - begins)
    deserved = before + SCORES_PER_WORD * offsets
    for first, last, _ in steps.spans(before + SCORES_PER_NEW_WORD * offsets):
        own = slice(first, last)
        threads.run(
            FILL_LETTERS, int(deserved[last] - deserved[first]), text, begins[own], ends[own],
            int(doubled), sizes[own], boxes[own], offsets[own], words,
        )  # fmt: skip
    return Packed(size, boxes, offsets, words, areas)
