"""Packing dense masks on a GPU: to frames of words, and of these what lies in each mask's box.

How many words a set takes is told by its shape alone, so that nothing waits for what is in it. Of a
frame kernels read no more than what lies in the mask's box.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from fastiou.geometries.masks.bits import BITS, word_rows, words_of_frames
from fastiou.geometry import Columns
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import count_ones
from fastiou.runtime.kernel import named
from fastiou.typing import Array

__all__ = ["CROP", "START", "Frames", "crop", "cropped_columns", "frames", "pack_kernel"]


#: Threads of a block, each of which makes words of one column.
THREADS = 128

#: Blocks that a grid may have in its second and third dimension.
LARGEST_GRID = 65535

#: Words of a column that a thread makes, so that it has one box for all of them to compare with the
#: mask's.
WORDS_EACH = 4

#: Where nothing begins.
FAR = 2**63 - 1

#: From here on all floats are whole, and up to here integers of as many bits hold them.
WHOLE_FROM = {
    "float32": (np.float32, np.int32, 2.0**24),
    "float64": (np.float64, np.int64, 2.0**53),
}


class Frames(NamedTuple):
    """Masks as the kernels of a GPU read them (see `gpu_kernels._load`)."""

    #: (6, >= n) int64: left, top, right, bottom, where column 0 of word row 0 is in `words`, and
    #: the area, below 0 for a mask that is to be refused. An empty mask ends before it begins.
    bounds: Any
    #: (words,) uint64.
    words: Any
    #: Words from one word row to the next; 0 if each mask has as many as its box is wide.
    width: int


def _start(bounds: Any, words_of_each: int) -> None:
    """Begin with frames of so many words, without a pixel."""
    k = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if k < bounds.shape[1]:
        bounds[0, k] = bounds[1, k] = FAR
        bounds[2, k] = bounds[3, k] = bounds[5, k] = 0
        bounds[4, k] = k * words_of_each


#: `(bounds, words_of_each)`
START = CudaKernel(_start, "start-masks")


@functools.cache
def _wholeness(kind: str) -> Callable[[Any], bool]:
    """Make the function that tells whether a pixel is a whole number, not infinite and no NaN."""
    if kind not in WHOLE_FROM:

        def is_integer(value: Any) -> bool:
            return True

        return is_integer
    number, integer, limit = WHOLE_FROM[kind]
    most, zero = number(limit), number(0)

    @named(kind)
    def is_whole(value: Any) -> bool:
        if -most < value < most:
            return bool(number(integer(value)) == value)
        return bool(value - value == zero)

    return is_whole


@functools.cache
def pack_kernel(kind: str) -> CudaKernel:
    """Make the kernel that packs masks of "integers", "float32" or "float64"."""
    is_whole = _wholeness(kind)

    def pack(masks: Any, words: Any, bounds: Any) -> None:
        """Pack masks (n, h, w), not 0 where there is something, and measure them.

        `words` are those of whole frames, and `bounds` (6, n) as `_start` left them. Neighbouring
        threads read neighbouring pixels.
        """
        count, height, width = masks.shape
        column = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if column >= width:
            return
        rows = (height + BITS - 1) // BITS
        for k in range(cuda.blockIdx.z, count, cuda.gridDim.z):
            for first in range(
                WORDS_EACH * np.int64(cuda.blockIdx.y), rows, WORDS_EACH * cuda.gridDim.y
            ):
                top = np.int64(-1)
                bottom = np.int64(0)
                area = np.int64(0)
                is_odd = False
                for band in range(first, min(first + WORDS_EACH, rows)):
                    word = np.uint64(0)
                    begin = band * BITS
                    for row in range(begin, min(begin + BITS, height)):
                        value = masks[k, row, column]
                        if value != 0:
                            word |= np.uint64(1) << np.uint64(row - begin)
                            top = row if top < 0 else top
                            bottom = row + 1
                            is_odd = is_odd or not is_whole(value)
                    words[(np.int64(k) * rows + band) * width + column] = word
                    area += count_ones(word)
                if area > 0:
                    # More than there are pixels, so that the sum stays below 0, whoever adds more.
                    refused = height * width + 1 if is_odd else 0
                    cuda.atomic.add(bounds, (5, k), area - refused)
                    # What others found may be old here: then one asks in vain.
                    if column < bounds[0, k]:
                        cuda.atomic.min(bounds, (0, k), column)
                    if top < bounds[1, k]:
                        cuda.atomic.min(bounds, (1, k), top)
                    if column >= bounds[2, k]:
                        cuda.atomic.max(bounds, (2, k), column + 1)
                    if bottom > bounds[3, k]:
                        cuda.atomic.max(bounds, (3, k), bottom)

    return CudaKernel(pack, f"pack-{kind}")


def _crop(words: Any, bounds: Any, width: int, offsets: Any, cropped: Any) -> None:
    """Copy what lies in each mask's box of frames `width` wide; mask k to `offsets[k]` and on."""
    first = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    for k in range(cuda.blockIdx.y, bounds.shape[1], cuda.gridDim.y):
        left = bounds[0, k]
        across = bounds[2, k] - left
        start = bounds[4, k] + (bounds[1, k] >> 6) * width + left
        size = word_rows(bounds[1, k], bounds[3, k]) * across
        for i in range(first, size, cuda.blockDim.x * cuda.gridDim.x):
            cropped[offsets[k] + i] = words[start + i // across * width + i % across]


#: `(words, bounds, width, offsets, cropped)`
CROP = CudaKernel(_crop, "crop-masks")

#: Blocks that crop one mask.
CROP_BLOCKS = 8


# ---- what the host does ------------------------------------------------------------------------


def frames(work: Work, masks: Any) -> Frames:
    """Pack masks (n, h, w) on a GPU, of any type that kernels read."""
    count, height, width = map(int, masks.shape)
    size = words_of_frames((count, height, width))
    bounds, words = work.empty((6, count), np.int64), work.empty(size, np.uint64)
    if count:
        work.launch(START, count, bounds, size // count)
    if size:
        threads = threads_of_block(THREADS)
        down = blocks_for(height, BITS * WORDS_EACH)
        grid = blocks_for(width, threads), min(down, LARGEST_GRID), min(count, LARGEST_GRID)
        dtype = np.dtype(masks.dtype)
        kernel = pack_kernel(dtype.name if dtype.kind == "f" else "integers")
        kernel.launch(grid, threads, work.stream, masks, words, bounds)
    return Frames(bounds, words, width)


def crop(work: Work, whole: Frames, offsets: Array, words: Array) -> None:
    """Copy what lies in the boxes of frames to words of the host, mask k from `offsets[k]` on."""
    if not len(words):
        return
    cropped = work.empty(len(words), np.uint64)
    _launch_crop(work, whole, work.copied(offsets), cropped)
    work.to_host(cropped, words)


def cropped_columns(work: Work, masks: Any) -> Columns:
    """Masks (n, h, w) on a GPU as the kernels of a search read them, as on a CPU.

    Cropped ones begin where their frames do: the host need not know how many words each has.
    """
    whole = frames(work, masks)
    cropped = work.empty(whole.words.shape, np.uint64)
    if cropped.size:
        _launch_crop(work, whole, whole.bounds[4], cropped)
    return Columns(whole.bounds, cropped, 0)


def _launch_crop(work: Work, whole: Frames, offsets: Any, cropped: Any) -> None:
    count = whole.bounds.shape[1]
    threads = threads_of_block(THREADS)
    each = blocks_for(math.ceil(cropped.size / count), threads)
    CROP.launch(
        (min(each, CROP_BLOCKS), min(count, LARGEST_GRID)), threads, work.stream, whole.words,
        whole.bounds, whole.width, offsets, cropped,
    )  # fmt: skip
