"""Masks as images: a small picture for a notebook and `plot`, and label images."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.svg import HEIGHT, SHOWN, WIDTH, captioned, masks_image
from fastiou.runtime import memory
from fastiou.runtime.words import sides
from fastiou.typing import Array

__all__ = ["Painted", "labelled", "painted"]

#: Pixels of a word, which runs down the image.
BITS = 64

#: Pixels of boxes of masks that are painted, all together: 0.1 s.
MOST_PIXELS = 1 << 24


def painted(masks: Any, most: int, shrink: int = 1) -> Array:
    """An image of the numbers of masks from 1 on, of later ones where several lie; 0 for none.

    Parameters
    ----------
    masks : Masks
        Of which the first `most`, at most 255, are painted while they have few pixels.
    most
        How many.
    shrink
        Every so many rows and columns are taken.

    Returns
    -------
    array of uint8, shape (ceil(H / shrink), ceil(W / shrink))
    """
    height, width = masks._size
    numbers = np.zeros((-(-height // shrink), -(-width // shrink)), np.uint8)
    left_over = MOST_PIXELS
    for place, (left, top, right, bottom) in enumerate(masks._boxes[: min(most, 255)].tolist()):
        left_over -= (right - left) * (-(-bottom // BITS) - top // BITS) * BITS
        if left_over < 0:
            break
        if right <= left:
            continue
        first_row, first_column = -(-top // shrink) * shrink, -(-left // shrink) * shrink
        own = _pixels(masks, place)[first_row - top :: shrink, first_column - left :: shrink]
        rows, columns = first_row // shrink, first_column // shrink
        part = numbers[rows : rows + own.shape[0], columns : columns + own.shape[1]]
        part[own != 0] = place + 1
    return numbers


def _pixels(masks: Any, place: int) -> Array:
    """What a mask has within its bounds, uint8 (height, width) of these."""
    left, top, right, bottom = masks._boxes[place].tolist()
    first_word, last_word = top // BITS, -(-bottom // BITS)
    start = int(masks._offsets[place])
    words = masks._words[start : start + (right - left) * (last_word - first_word)]
    octets = words.astype("<u8").reshape(last_word - first_word, right - left, 1).view(np.uint8)
    bits = np.unpackbits(octets, axis=2, bitorder="little")  # (word rows, columns, 64)
    pixels = bits.transpose(0, 2, 1).reshape(-1, right - left)
    own: Array = pixels[top - first_word * BITS : bottom - first_word * BITS]
    return own


def labelled(masks: Any, labels: Array) -> tuple[Array, tuple[int, int] | None]:
    """A label image of masks that do not overlap, and the first two that do, if any.

    Parameters
    ----------
    masks : Masks
        Of one image.
    labels : array of int, shape (N,)
        The label of each, none of them 0.

    Returns
    -------
    image : array of the dtype of `labels`, shape (H, W)
        0 where no mask lies.
    overlapping : tuple of int, or None
        Two masks that share a pixel, by their positions.
    """
    image = memory.allocate(
        masks._size, labels.dtype, "a label image", "write smaller ones", zeros=True
    )
    for place, (left, top, right, bottom) in enumerate(masks._boxes.tolist()):
        if right <= left:
            continue
        own, part = _pixels(masks, place) != 0, image[top:bottom, left:right]
        taken = part[own]
        if taken.any():
            before = np.flatnonzero(labels[:place] == taken[taken != 0][0])
            return image, (int(before[0]), place)
        part[own] = labels[place]
    return image, None


class Painted:
    """What has masks, and shows the first of them in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        masks: Any = self
        size = memory.human_size(masks.nbytes)
        return f"<Masks: {len(masks):,} of {sides(masks._size)}, {size}>"

    def _repr_html_(self) -> str:
        masks: Any = self
        height, width = masks._size
        shrink = max(1, -(-width // WIDTH), -(-height // HEIGHT))
        if not len(masks) or not height or not width:
            return captioned(repr(self))
        return captioned(repr(self), masks_image(painted(masks, SHOWN, shrink)))
