"""Kernels that show what a GPU allows, whatever is computed, and one that makes it wait.

Imported only where a GPU can be used, or its simulator.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda

from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import load4, store4

__all__ = ["STORES", "copy_half", "fill", "hold"]

THREADS = 256

#: Stores of 16 bytes by each thread of a fill. Which is fastest is for the GPU to say, so all are
#: timed, and the fastest is the bound.
STORES = (1, 4, 16)


# ---- memory ------------------------------------------------------------------------------------


@functools.cache
def _fill_kernel(stores: int) -> CudaKernel:
    def fill(buffer: Any, value: Any) -> None:
        wide = 4 * cuda.blockDim.x
        place = np.int64(cuda.blockIdx.x) * wide * stores + 4 * cuda.threadIdx.x
        for _ in range(stores):
            if place < buffer.shape[0]:
                store4(buffer, place, value, value, value, value)
            place += wide

    return CudaKernel(fill, f"bench-fill-{stores}")


def _copy_half(buffer: Any) -> None:
    half = buffer.shape[0] // 2
    place = 4 * (np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x)
    if place < half:
        first, second, third, fourth = load4(buffer, place)
        store4(buffer, half + place, first, second, third, fourth)


_COPY = CudaKernel(_copy_half, "bench-copy")


def fill(buffer: Any, value: float, stores: int) -> None:
    """Fill float32 numbers on the device, a multiple of 4, by stores of 16 bytes."""
    assert buffer.size % 4 == 0
    threads = threads_of_block(THREADS)
    blocks = blocks_for(buffer.size, 4 * stores * threads)
    _fill_kernel(stores).launch(blocks, threads, 0, buffer, np.float32(value))


def copy_half(buffer: Any) -> None:
    """Copy one half of float32 numbers to the other: as many bytes move as a fill writes."""
    assert buffer.size % 8 == 0
    threads = threads_of_block(THREADS)
    _COPY.launch(blocks_for(buffer.size // 2, 4 * threads), threads, 0, buffer)


# ---- waiting -----------------------------------------------------------------------------------


def _hold(microseconds: int) -> None:
    for _ in range(microseconds):
        cuda.nanosleep(np.uint32(1000))


_HOLD = CudaKernel(_hold, "bench-hold")


def hold(microseconds: int, stream: Any = 0) -> None:
    """Keep a stream busy for about as long, so that what is launched next queues up behind it."""
    _HOLD.launch(1, 1, stream, microseconds)
