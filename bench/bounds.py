"""Physical bounds: how fast this machine writes and reads a buffer, whatever is computed.

Each function takes a C-contiguous array of numbers. Like fastiou, they run on one thread where
starting others would not pay, so that a bound is one for small results too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import prange

from fastiou.runtime.threads import PARALLEL_FROM
from fastiou.runtime.vectors import (
    CACHE_LINE,
    address,
    prefer_widest_vectors,
    stack_array,
    stream,
)

__all__ = ["plain_fill", "read", "stream_fill"]

Array = npt.NDArray[Any]

#: Bytes that a thread handles at a time. Pieces of 16 KiB to 4 MiB, and one piece for each thread,
#: filled 400 MB within 2 % of each other.
PIECE = 1 << 18

#: Elements stored at a time: at least a cache line of any type.
BLOCK = 64

#: Elements that NumPy has filled before Numba has looked at its arguments.
FEW = 4096


def _stream(buffer: Array, value: Any) -> None:
    prefer_widest_vectors()
    item = buffer.itemsize
    head = min((-address(buffer) % CACHE_LINE) // item, buffer.size)
    tail = head + (buffer.size - head) // BLOCK * BLOCK
    for i in range(head):
        buffer[i] = value
    width = PIECE // item
    for piece in prange((tail - head + width - 1) // width):
        first = head + piece * width
        block = stack_array(buffer, BLOCK)
        for j in range(BLOCK):
            block[j] = value
        for i in range(first, min(first + width, tail), BLOCK):
            stream(buffer, i, block, BLOCK)
    for i in range(tail, buffer.size):
        buffer[i] = value


def _fill(buffer: Array, value: Any) -> None:
    prefer_widest_vectors()
    width = PIECE // buffer.itemsize
    for piece in prange((buffer.size + width - 1) // width):
        part = buffer[piece * width : min((piece + 1) * width, buffer.size)]
        for i in range(part.size):
            part[i] = value


def _sum(words: Array) -> Any:
    prefer_widest_vectors()
    width = PIECE // words.itemsize
    total = np.uint64(0)
    for piece in prange((words.size + width - 1) // width):
        part = words[piece * width : min((piece + 1) * width, words.size)]
        subtotal = np.uint64(0)
        for i in range(part.size):
            subtotal += part[i]
        total += subtotal
    return total


@functools.cache
def _compiled(function: Callable[..., Any], parallel: bool) -> Callable[..., Any]:
    return numba.njit(parallel=parallel, error_model="numpy")(function)  # type: ignore[no-any-return]


def _run(function: Callable[..., Any], buffer: Array, *arguments: Any) -> Any:
    return _compiled(function, buffer.size >= PARALLEL_FROM)(buffer, *arguments)


def stream_fill(buffer: Array, value: float = 0.5) -> None:
    """Fill through non-temporal stores of whole cache lines, which bypass the caches."""
    _run(_stream, buffer.reshape(-1), buffer.dtype.type(value))


def plain_fill(buffer: Array, value: float = 0.5) -> None:
    """Fill through ordinary vector stores, which leave the result in the caches if it fits."""
    if buffer.size < FEW:
        buffer.fill(value)
        return
    _run(_fill, buffer.reshape(-1), buffer.dtype.type(value))


def read(buffer: Array) -> int:
    """Read every byte once: the sum of the buffer as 64-bit words, and of the bytes left over."""
    data = buffer.reshape(-1).view(np.uint8)
    whole = data.size // 8 * 8
    # Words need no alignment here: NumPy tells Numba, which then reads them as they lie.
    words = int(_run(_sum, data[:whole].view(np.uint64)))
    return words + int(data[whole:].sum())
