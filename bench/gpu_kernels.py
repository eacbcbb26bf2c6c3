"""Kernels that show what a GPU allows, whatever is computed, and one that makes it wait.

Imported only where a GPU can be used, or its simulator.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np
from numba import cuda

from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import SIMULATED, load4, store4

__all__ = [
    "BIT_ANDS_OF_MMA",
    "STORES",
    "copy_half",
    "fill",
    "hold",
    "mma_chains",
    "mma_primitive",
]

THREADS = 256

#: Stores of 16 bytes by each thread of a fill. Which is fastest is for the GPU to say, so all are
#: timed, and the fastest is the bound.
STORES = (1, 4, 16)

#: The instruction that counts the bits that rows and columns share, on tensor cores:
#: `(4 counts, 4 words of rows, 2 words of columns)` gives 4 counts.
MMA_MODULE, MMA_NAME = "fastiou.geometries.masks.gpu_tensor_cores", "add_shared_bits"

#: Bits that one warp ANDs by it at once: m16n8k256.
BIT_ANDS_OF_MMA = 16 * 8 * 256

#: Independent sums in each warp, so that none waits for its own last step.
CHAINS = 8


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


# ---- tensor cores ------------------------------------------------------------------------------


def mma_primitive() -> Any:
    """The instruction; None if this fastiou does not have it."""
    try:
        return getattr(importlib.import_module(MMA_MODULE), MMA_NAME, None)
    except ImportError:
        return None


@functools.cache
def _mma_kernel(mma: Any) -> CudaKernel:
    def chains(steps: int, sums: Any) -> None:
        thread = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        # What is counted depends on the thread, or the compiler might know the result.
        word = np.uint32(thread)
        rows = (word, word, word, word)
        zero = np.int32(0)
        c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = (zero, zero, zero, zero)
        for _ in range(steps):
            c0 = mma(c0, rows, word, word)
            c1 = mma(c1, rows, word, word)
            c2 = mma(c2, rows, word, word)
            c3 = mma(c3, rows, word, word)
            c4 = mma(c4, rows, word, word)
            c5 = mma(c5, rows, word, word)
            c6 = mma(c6, rows, word, word)
            c7 = mma(c7, rows, word, word)
        total = c0[0] + c1[0] + c2[0] + c3[0] + c4[0] + c5[0] + c6[0] + c7[0]
        sums[thread] = total

    return CudaKernel(chains, "bench-mma")


def mma_chains(blocks: int, steps: int, sums: Any) -> float:
    """Multiply bits and do nothing else; gives the number of bit-ANDs. `sums` is on the device."""
    assert not SIMULATED
    _mma_kernel(mma_primitive()).launch(blocks, THREADS, 0, steps, sums)
    return float(blocks * THREADS // 32 * steps * CHAINS * BIT_ANDS_OF_MMA)
