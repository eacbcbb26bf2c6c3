"""Packing dense masks on a GPU, so that an eighth of their bytes is copied to the host, or less."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.typing import Array

__all__ = ["FIND_FRACTION", "PACK", "first_fraction", "pack"]


#: Threads of a block, each of which makes words of one column.
THREADS = 128

#: Blocks that a grid may have in its second and third dimension.
LARGEST_GRID = 65535

#: Rows of a word.
BITS = 64

#: Floats from here on are whole, up to the largest one.
WHOLE_FROM, LARGEST = 2.0**53, 1.7976931348623157e308


def _pack(masks: Any, words: Any, findings: Any) -> None:
    """Pack masks (n, h, w), not 0 where there is something, into word rows (n, word rows, ≥ w).

    Neighbouring threads read neighbouring pixels. `findings` (n, word rows, 4) must hold the
    largest number twice and 0 twice, and receives the first and last column and row that are not
    empty, the latter two past the end; an empty word row keeps what it had.
    """
    count, height, width = masks.shape
    column = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if column >= width:
        return
    for k in range(cuda.blockIdx.z, count, cuda.gridDim.z):
        for band in range(cuda.blockIdx.y, words.shape[1], cuda.gridDim.y):
            word = np.uint64(0)
            top = np.int64(-1)
            bottom = np.int64(0)
            first = np.int64(band) * BITS
            for row in range(first, min(first + BITS, height)):
                if masks[k, row, column] != 0:
                    word |= np.uint64(1) << np.uint64(row - first)
                    top = row if top < 0 else top
                    bottom = row + 1
            words[k, band, column] = word
            if bottom > 0:
                cuda.atomic.min(findings, (k, band, 0), column)
                cuda.atomic.min(findings, (k, band, 1), top)
                cuda.atomic.max(findings, (k, band, 2), column + 1)
                cuda.atomic.max(findings, (k, band, 3), bottom)


#: `(masks, words, findings)`
PACK = CudaKernel(_pack, "pack")


def _find_fraction(masks: Any, first: Any) -> None:
    """Bring `first` (1,), the number of a pixel of masks (n, h, w), to the first that is not whole.

    Neighbouring threads read neighbouring pixels. Infinite pixels and NaN are not whole.
    """
    count, height, width = masks.shape
    column = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if column >= width:
        return
    for k in range(cuda.blockIdx.z, count, cuda.gridDim.z):
        for row in range(cuda.blockIdx.y, height, cuda.gridDim.y):
            value = np.float64(masks[k, row, column])
            # Beyond 2^53 all are whole but the infinite ones; a NaN is in neither range.
            is_whole = -LARGEST <= value <= LARGEST
            if -WHOLE_FROM <= value <= WHOLE_FROM:
                is_whole = value == np.int64(value)
            if not is_whole:
                cuda.atomic.min(first, 0, (np.int64(k) * height + row) * width + column)


#: `(masks, first)`, for masks of floats.
FIND_FRACTION = CudaKernel(_find_fraction, "find-fraction")


def first_fraction(work: Work, masks: Any) -> tuple[int, float] | None:
    """The number and value of the first pixel of masks on a GPU that is not whole, if any is."""
    count, height, width = masks.shape
    if np.dtype(masks.dtype).kind != "f" or not count * height * width:
        return None
    first = work.to_device(np.full(1, np.iinfo(np.int64).max))
    threads = threads_of_block(THREADS)
    grid = blocks_for(width, threads), min(height, LARGEST_GRID), min(count, LARGEST_GRID)
    FIND_FRACTION.launch(grid, threads, work.stream, masks, first)
    number = int(work.to_host(first)[0])
    if number == np.iinfo(np.int64).max:
        return None
    place, column = divmod(number, width)
    k, row = divmod(place, height)
    return number, float(
        work.to_host(masks[k : k + 1, row : row + 1, column : column + 1])[0, 0, 0]
    )


def pack(work: Work, masks: Any, words: Array, findings: Array) -> None:
    """Pack masks on a GPU into host arrays of words and findings, as the CPU's `PACK` does."""
    count, _, width = masks.shape
    findings[..., :2] = np.iinfo(np.int64).max
    findings[..., 2:] = 0
    device_words = work.empty(words.shape, words.dtype)
    device_findings = work.to_device(findings)
    threads = threads_of_block(THREADS)
    grid = blocks_for(width, threads), min(words.shape[1], LARGEST_GRID), min(count, LARGEST_GRID)
    PACK.launch(grid, threads, work.stream, masks, device_words, device_findings)
    work.to_host(device_words, words)
    work.to_host(device_findings, findings)
