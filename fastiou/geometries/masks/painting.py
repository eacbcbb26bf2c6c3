"""Masks as a small picture: what a notebook and `plot` show of a set."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.svg import HEIGHT, SHOWN, WIDTH, captioned, masks_image
from fastiou.runtime import memory
from fastiou.runtime.words import sides
from fastiou.typing import Array

__all__ = ["Painted", "painted"]

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
        first_word, last_word = top // BITS, -(-bottom // BITS)
        left_over -= (right - left) * (last_word - first_word) * BITS
        if left_over < 0:
            break
        if right <= left:
            continue
        start = int(masks._offsets[place])
        words = masks._words[start : start + (right - left) * (last_word - first_word)]
        octets = words.astype("<u8").reshape(last_word - first_word, right - left, 1).view(np.uint8)
        bits = np.unpackbits(octets, axis=2, bitorder="little")  # (word rows, columns, 64)
        pixels = bits.transpose(0, 2, 1).reshape(-1, right - left)
        first_row, first_column = -(-top // shrink) * shrink, -(-left // shrink) * shrink
        own = pixels[first_row - first_word * BITS : bottom - first_word * BITS : shrink]
        own = own[:, first_column - left :: shrink]
        rows, columns = first_row // shrink, first_column // shrink
        part = numbers[rows : rows + own.shape[0], columns : columns + own.shape[1]]
        part[own != 0] = place + 1
    return numbers


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
