"""Memory and streams of a GPU during one call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba import cuda

from fastiou.runtime.gpu_arrays import GpuArray, started
from fastiou.runtime.gpu_primitives import SIMULATED
from fastiou.typing import Array

__all__ = [
    "Work",
    "as_device_array",
    "begins_at_multiple_of",
    "fill_device",
    "fill_host",
    "memory_errors",
    "working",
]


class Work:
    """One call's use of a GPU: its stream, and copies of host arrays, each made once.

    Parameters
    ----------
    stream
        The stream of Numba's that all is done on.
    empty
        `(shape, dtype) -> ` an array of the caller's library, which frees it only after what the
        stream has to do before. Without one, memory is Numba's, which waits when it frees some.
    """

    def __init__(
        self, stream: Any, empty: Callable[[tuple[int, ...], np.dtype[Any]], Any] | None = None
    ) -> None:
        self.stream = stream
        self._empty = empty
        self._copies: dict[int, tuple[Array, Any]] = {}

    def copied(self, array: Array) -> Any:
        """A copy of a host array in the GPU's memory; kernels must not write to it."""
        key = id(array)
        if key not in self._copies:
            # The host array is kept too, or another could come to have its id.
            copy = cuda.to_device(np.ascontiguousarray(array), self.stream)
            self._copies[key] = array, copy
        return self._copies[key][1]

    def to_device(self, array: Array) -> Any:
        """A copy of a host array that kernels may write to."""
        return cuda.to_device(np.ascontiguousarray(array), self.stream)

    def empty(self, shape: Any, dtype: Any) -> Any:
        """Memory of the GPU, not filled."""
        if self._empty is None or not np.prod(shape):
            return cuda.device_array(shape, dtype, stream=self.stream)
        shape = shape if isinstance(shape, tuple) else (shape,)
        return as_device_array(self._empty(shape, np.dtype(dtype)))

    def to_host(self, array: Any, out: Array | None = None) -> Array:
        """A device array as a NumPy array, after all that the stream had to do before."""
        if out is None:
            out = np.empty(array.shape, array.dtype)
        array.copy_to_host(out, stream=self.stream)
        self.wait()
        return out

    def free(self) -> int | None:
        """Bytes of the GPU that are free; None in the simulator, which has none of its own."""
        return None if SIMULATED else int(cuda.current_context().get_memory_info().free)

    def end(self) -> None:
        """Wait, where memory that kernels still read may be freed at once."""
        if self._copies or self._empty is None:
            self.wait()

    def wait(self) -> None:
        """Wait until the stream has done all it had to."""
        if not SIMULATED:
            (self.stream or cuda.default_stream()).synchronize()


@contextlib.contextmanager
def working(gpu: GpuArray | None = None) -> Iterator[Work]:
    """Use a GPU, that of an argument if it lies on one, on the stream of its library.

    It is waited for only where something was copied to it (see `Work.end`).

    Raises
    ------
    MemoryError
        The GPU's memory does not suffice.
    """
    started()
    with memory_errors(), contextlib.ExitStack() as stack:
        if SIMULATED or gpu is None:
            work = Work(0, None if gpu is None else gpu.empty)
        else:
            stack.enter_context(cuda.gpus[gpu.number])
            work = Work(cuda.external_stream(gpu.stream) if gpu.stream else 0, gpu.empty)
        yield work
        work.end()


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Raise a MemoryError for what any library raises where a GPU's memory does not suffice."""
    try:
        yield
    except Exception as error:
        if "out of memory" in str(error).lower().replace("_", " "):
            raise MemoryError(f"the GPU's memory does not suffice: {error}") from None
        raise


def begins_at_multiple_of(array: Any, size: int) -> bool:
    """Whether a device array begins in memory at a multiple of so many bytes."""
    start = array.ctypes.data if SIMULATED else array.device_ctypes_pointer.value
    return int(start or 0) % size == 0


def as_device_array(array: Any) -> Any:
    """A GPU array of any library as Numba takes it, without a copy."""
    return array if hasattr(array, "__cuda_ndarray__") else cuda.as_cuda_array(array, sync=False)


#: Bytes of a result that are computed on a GPU before they are copied to the host.
BLOCK_BYTES = 1 << 28


def blocks_of(batches: int, rows: int, row_bytes: int, limit: int) -> Iterator[tuple[slice, slice]]:
    """Cut a result into batches and rows of at most `limit` bytes, or single rows."""
    some_batches = max(1, limit // max(1, rows * row_bytes))
    some_rows = max(1, limit // max(1, row_bytes))
    for batch in range(0, batches, some_batches):
        for row in range(0, rows, some_rows):
            yield slice(batch, batch + some_batches), slice(row, row + some_rows)


def fill_host(
    target: Array,
    fill: Callable[[Work, Any, slice, int], None],
    place: GpuArray | None,
    check: Callable[[Work], None],
) -> None:
    """Fill a host array (batches, rows, columns) of any layout by blocks that a GPU computes.

    `fill(work, scores, batches, first_row)` fills a C-contiguous block on the device, and
    `check(work)` raises where there is no result.
    """
    batches, rows, columns = target.shape
    if not target.size:
        return
    with working(place) as work:
        check(work)
        for some_batches, some_rows in blocks_of(
            batches, rows, columns * target.itemsize, BLOCK_BYTES
        ):
            part = target[some_batches, some_rows]
            scores = work.empty(part.shape, target.dtype)
            fill(work, scores, some_batches, some_rows.start)
            if part.flags.carray:
                work.to_host(scores, part)
            else:
                part[...] = work.to_host(scores)


def fill_device(
    target: Any,
    shape: tuple[int, int, int],
    fill: Callable[[Work, Any, slice, int], None],
    place: GpuArray,
    check: Callable[[Work], None] | None,
) -> None:
    """Fill a C-contiguous GPU array of any library, in this shape, as `fill_host`.

    The work goes to the stream of that library.
    """
    if 0 in shape:
        return
    with working(place) as work:
        if check is not None:
            check(work)
        fill(work, as_device_array(target).reshape(shape), slice(0, shape[0]), 0)
