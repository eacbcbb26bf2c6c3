"""Memory and streams of a GPU during one call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from fastiou.runtime.gpu_arrays import GpuArray, as_device_array, started
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import SIMULATED
from fastiou.runtime.memory import too_large
from fastiou.typing import Array

__all__ = [
    "FILL",
    "Result",
    "Work",
    "as_device_array",
    "begins_at_multiple_of",
    "fill_device",
    "fill_host",
    "memory_errors",
    "working",
]


#: Threads of a block of which each does one thing.
THREADS = 256


def _fill(numbers: Any, value: Any) -> None:
    """Fill numbers (n,) with one value."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < numbers.shape[0]:
        numbers[i] = value


#: `(numbers, value)`
FILL = CudaKernel(_fill, "fill")


class Result(NamedTuple):
    """A result in the GPU's memory, not filled when it is made."""

    #: As kernels take it.
    device: Any
    #: What the caller's library makes of it once it is filled.
    handed: Callable[[], Any]


class Work:
    """One call's use of a GPU: its stream, and copies of host arrays, each made once.

    Parameters
    ----------
    stream
        The stream of Numba's that all is done on.
    place
        Where arguments lie. Memory is then of the caller's library, if its arrays can be written
        to: it frees some only after what the stream has to do before. Other memory is Numba's,
        which waits when it frees some.
    """

    def __init__(self, stream: Any, place: GpuArray | None = None) -> None:
        self.stream = stream
        self._place = place
        self._empty = None if place is None else place.empty
        self._copies: dict[int, tuple[Array, Any]] = {}
        self._has_copied = False

    def copied(self, array: Array) -> Any:
        """A copy of a host array in the GPU's memory; kernels must not write to it."""
        key = id(array)
        if key not in self._copies:
            # The host array is kept too, or another could come to have its id.
            self._copies[key] = array, self.to_device(array)
        return self._copies[key][1]

    def to_device(self, array: Array) -> Any:
        """A copy of a host array that kernels may write to."""
        self._has_copied = True
        return cuda.to_device(np.ascontiguousarray(array), self.stream)

    def empty(self, shape: Any, dtype: Any) -> Any:
        """Memory of the GPU, not filled."""
        if self._empty is None or not np.prod(shape):
            return cuda.device_array(shape, dtype, stream=self.stream)
        shape, dtype = shape if isinstance(shape, tuple) else (shape,), np.dtype(dtype)
        # Some versions of PyTorch have no unsigned integers, or do not tell where they lie.
        own = np.dtype(f"i{dtype.itemsize}") if dtype.kind == "u" else dtype
        return as_device_array(self._empty(shape, own)).view(dtype)

    def launch(self, kernel: CudaKernel, items: int, *arguments: Any) -> None:
        """Run a kernel with a thread for each of some items."""
        threads = threads_of_block(THREADS)
        kernel.launch(blocks_for(items, threads), threads, self.stream, *arguments)

    def fill(self, array: Any, value: Any) -> None:
        """Fill an array (n,) of the GPU."""
        self.launch(FILL, array.size, array, array.dtype.type(value))

    def full(self, count: int, dtype: Any, value: Any) -> Any:
        """Memory of the GPU (count,), filled with one value."""
        array = self.empty(count, dtype)
        self.fill(array, value)
        return array

    def result(
        self,
        place: GpuArray | None,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        host: Array | None = None,
    ) -> Result:
        """A result where the arguments lie: of their library, or made by it of a copy.

        It is the host's where they are the host's, and in `host`, if that is given.
        """
        if host is None and place is not None and place.empty is not None:
            array = place.empty(shape, dtype)
            return Result(as_device_array(array), lambda: array)
        device = self.empty(shape, dtype)
        if host is None and place is not None:
            return Result(device, lambda: place.wrap(self.to_host(device)))
        return Result(device, lambda: self.to_host(device, host))

    def reserve(self, size: int, what: str) -> None:
        """Raise a MemoryError unless so many bytes of the GPU are free.

        It comes before a call allocates, with all that it needs at a time, so that nothing is
        half-done where the memory does not suffice.

        Parameters
        ----------
        size
            Bytes that the call will ask for.
        what
            What they are for, in the message.
        """
        free = self.free()
        if free is None or size <= free:
            return
        if not SIMULATED:
            cuda.current_context().deallocations.clear()  # what is let go of, but not freed yet
            free = self.free() or 0
        free += 0 if self._empty is None or self._place is None else self._place.kept()
        if size > free:
            words = f"the GPU's memory does not suffice: {what}"
            raise too_large(size, free, words, "pass parts of it, or arrays of the host")

    def to_host(self, array: Any, out: Array | None = None) -> Array:
        """A device array as a NumPy array, after all that the stream had to do before."""
        if out is None:
            out = np.empty(array.shape, array.dtype)
        if out.size:
            array.copy_to_host(out, stream=self.stream)
        self.wait()
        return out

    def free(self) -> int | None:
        """Bytes of the GPU that are free; None in the simulator, which has none of its own."""
        return None if SIMULATED else int(cuda.current_context().get_memory_info().free)

    def end(self) -> None:
        """Wait, where memory that kernels still read may be freed at once."""
        if self._has_copied or self._empty is None:
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
            work = Work(0, gpu)
        else:
            stack.enter_context(cuda.gpus[gpu.number])
            work = Work(cuda.external_stream(gpu.stream) if gpu.stream else 0, gpu)
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
        row_bytes = columns * target.itemsize
        work.reserve(row_bytes, f"a row of {columns:,} scores")
        check(work)
        free = work.free()
        # Half of what is free: the other is for the block before, if it is kept.
        most = BLOCK_BYTES if free is None else min(BLOCK_BYTES, free // 2)
        for some_batches, some_rows in blocks_of(batches, rows, row_bytes, most):
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
