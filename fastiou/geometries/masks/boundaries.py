"""The pixels of masks that lie near their outline, as Boundary IoU compares them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from fastiou.geometries.masks import bits
from fastiou.geometries.masks.mask_set import Masks
from fastiou.runtime import steps, threads
from fastiou.runtime.bit_vectors import count_ones
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import heap_array
from fastiou.typing import Array

__all__ = ["boundaries"]

#: Parts of a step that may run at the same time.
TASKS = 16

#: Work of a word, in scores of boxes (see `threads.run`).
WORD_WORK = 8


def _outline(
    words: Array,
    offsets: Array,
    boxes: Array,
    distances: Array,
    outlines: Array,
    areas: Array,
    step: Array,
) -> None:
    """Take from masks what lies further than a distance from all that is outside.

    A pixel stays inside if the whole square around it is in the mask: of its column and of its row,
    as many pixels before and behind it.

    Parameters
    ----------
    words, offsets, boxes
        Words (word,), (n + 1,) and (n, 4): masks, as `Packed` has them.
    distances
        (n,): at least 1.
    outlines, areas
        (word,) and (n,): get what is left, and its pixels.
    step
        (3,): first mask, the one behind the last, and the words of the largest.
    """
    for task in prange(TASKS):
        inner = heap_array(words, step[2])
        count = step[1] - step[0]
        for i in range(step[0] + count * task // TASKS, step[0] + count * (task + 1) // TASKS):
            first = offsets[i]
            size = offsets[i + 1] - first
            width = boxes[i, 2] - boxes[i, 0]
            for k in range(size):
                inner[k] = words[first + k]
            # Each pass lets a pixel know of twice as many behind it, and then before it.
            known = 1
            while known <= distances[i]:
                shift = min(known, distances[i] + 1 - known)
                for k in range(size):
                    inside = k % width + shift < width
                    inner[k] &= inner[k + shift] if inside else np.uint64(0)
                known += shift
            known = 1
            while known <= distances[i]:
                shift = min(known, distances[i] + 1 - known)
                for k in range(size - 1, -1, -1):
                    inner[k] &= inner[k - shift] if k % width >= shift else np.uint64(0)
                known += shift
            known = 1
            while known <= distances[i]:
                shift = min(known, distances[i] + 1 - known)
                low = np.uint64(shift % bits.BITS)
                for k in range(size):
                    near = k + shift // bits.BITS * width
                    moved = np.uint64(0)
                    if near < size:
                        moved = inner[near] >> low
                    if low != 0 and near + width < size:
                        moved |= inner[near + width] << (np.uint64(bits.BITS) - low)
                    inner[k] &= moved
                known += shift
            known = 1
            while known <= distances[i]:
                shift = min(known, distances[i] + 1 - known)
                low = np.uint64(shift % bits.BITS)
                for k in range(size - 1, -1, -1):
                    near = k - shift // bits.BITS * width
                    moved = np.uint64(0)
                    if near >= 0:
                        moved = inner[near] << low
                    if low != 0 and near - width >= 0:
                        moved |= inner[near - width] >> (np.uint64(bits.BITS) - low)
                    inner[k] &= moved
                known += shift
            area = 0
            for k in range(size):
                outline = words[first + k] & ~inner[k]
                outlines[first + k] = outline
                area += count_ones(outline)
            areas[i] = area


OUTLINE = Kernel(_outline, "outline")


def boundaries(masks: Masks, distances: Any) -> Masks:
    """The pixels of masks that are no further than a distance from what is outside of them.

    Outside is, too, all that lies beyond the image. Distances are those of a square.

    Parameters
    ----------
    masks
        The masks.
    distances : array of int, shape (N,)
        Of each mask; at least 1.

    Examples
    --------
    >>> import numpy as np, fastiou
    >>> masks = fastiou.Masks.from_dense(np.ones((1, 4, 5)))
    >>> boundaries(masks, [1]).to_dense().astype(int)
    array([[[1, 1, 1, 1, 1],
            [1, 0, 0, 0, 1],
            [1, 0, 0, 0, 1],
            [1, 1, 1, 1, 1]]])
    """
    words, offsets = masks._words, masks._offsets
    outlines, areas = words.copy(), np.empty(len(masks), np.int64)
    largest = int(masks.words_of_each.max(initial=0))
    own = np.asarray(distances, np.int64)
    for first, last, work in steps.spans(offsets - offsets[0], WORD_WORK):
        threads.run(
            OUTLINE, work, words, offsets, masks._boxes, own, outlines, areas,
            np.array([first, last, largest]),
        )  # fmt: skip
    # A pixel at an end of its mask is never inside, so boxes stay.
    return Masks._make(masks._size, masks._boxes, offsets, outlines, areas)
