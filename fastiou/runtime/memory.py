"""Memory for results and for work: whether it is there, and blocks kept for the next call."""

from __future__ import annotations

import collections
import contextlib
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "KEPT_BYTES",
    "allocate",
    "check",
    "fits",
    "free",
    "has_room",
    "human_size",
    "in_words",
    "scratch",
    "too_large",
]


def _read_number(path: str) -> int | None:
    try:
        return int(Path(path).read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _available_memory() -> int | None:
    """Bytes that this process may still use, None where that cannot be told."""
    limits = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    for limit_file, usage_file in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        limit, usage = _read_number(limit_file), _read_number(usage_file)
        if limit is not None and usage is not None:
            limits.append(limit - usage)
    if sys.platform != "win32":
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = _read_number("/proc/self/statm")
        if soft != resource.RLIM_INFINITY and pages is not None:
            limits.append(soft - pages * resource.getpagesize())
    return min(limits) if limits else None


def human_size(size: float) -> str:
    """Bytes in the largest unit that leaves at least 1."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024 or unit == "PiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


# ---- a spare block -----------------------------------------------------------------------------

#: Results from this size on may come from the system page by page, though as much was freed before.
#: Clearing the pages of 4 MB took 0.25 ms, scoring 0.15 ms; of 36 MB 3 to 8 ms, scoring 0.6 ms.
_KEEP_FROM = 1 << 20

#: From this size on they always do, since glibc keeps no block above 32 MiB.
_LARGE = 1 << 24

#: The most memory that is kept for the next result once nobody uses the last one.
KEPT_BYTES = 1 << 27

#: The block of a large result that was let go last, and that of another. Deques, since their
#: operations are atomic: blocks are given back by whichever thread drops the last view of a result,
#: at any moment.
_spare: collections.deque[npt.NDArray[np.uint8]] = collections.deque(maxlen=1)
_spare_medium: collections.deque[npt.NDArray[np.uint8]] = collections.deque(maxlen=1)

#: Whether memory is kept at all: the environment variable FASTIOU_KEEP_MEMORY=0 says no.
_keeps = os.environ.get("FASTIOU_KEEP_MEMORY", "1") != "0"


class _Loan:
    """Owns the memory of one result while any array, tensor or buffer over it lives.

    Views of an array refer to what owns its memory. They would pass over an array in between, but
    not over an object like this.
    """

    __slots__ = ("__array_interface__", "_block", "_keep")

    def __init__(
        self,
        block: npt.NDArray[np.uint8],
        shape: tuple[int, ...],
        dtype: Any,
        spares: collections.deque[npt.NDArray[np.uint8]],
    ) -> None:
        self._block = block
        self._keep = spares.append
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (block.ctypes.data, False),
        }

    def __del__(self) -> None:
        self._keep(self._block)


def _recycled(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> Any:
    """Array over the spare block, or over a new one that will become the spare block."""
    spares = _spare if size >= _LARGE else _spare_medium
    try:
        block = spares.pop()
    except IndexError:
        block = None
    # Half of a block may lie idle, not more: otherwise a small result would hold a large one's.
    if block is None or not size <= block.nbytes <= 2 * size:
        block = None  # let go of before more is asked for
        block = np.empty(size, np.uint8)
    return np.asarray(_Loan(block, shape, dtype, spares))


#: Working memory of fewer bytes comes from the heap, which needs no new pages.
_SCRATCH_FROM = 1 << 17

#: Blocks of working memory that are not in use. glibc gives blocks of this size back to the system:
#: preparing 32,768 rotated boxes took 39 ns each in new pages, and 5.5 in old ones.
_scratch: collections.deque[npt.NDArray[np.uint8]] = collections.deque(maxlen=2)


def scratch(size: int) -> npt.NDArray[np.uint8]:
    """Working memory of so many bytes, not initialised, which is kept for the next call."""
    if not (_keeps and _SCRATCH_FROM <= size < _LARGE):
        return np.empty(size, np.uint8)
    try:
        block = _scratch.pop()
    except IndexError:
        block = None
    if block is None or not size <= block.nbytes <= 2 * size:
        block = np.empty(size, np.uint8)
    return np.asarray(_Loan(block, (size,), block.dtype, _scratch))


# ---- results -----------------------------------------------------------------------------------


def fits(size: int) -> bool:
    """Whether so many bytes are free; not asked of what is too small to matter."""
    available = _available_memory() if size >= KEPT_BYTES else None
    return available is None or size <= available


def free() -> int | None:
    """Bytes that this process may still use, None where that cannot be told; it takes 50 µs."""
    return _available_memory()


def has_room(size: int) -> bool:
    """Whether the address space has so many bytes left, as RLIMIT_AS bounds it; 10 µs.

    Asked for what cannot fail in itself: compilers and threading layers end the process instead.
    """
    if sys.platform == "win32":
        return True
    try:  # pages that can only be read count as address space, and as no memory
        mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ).close()
    except (OSError, MemoryError):
        return False
    return True


def check(size: int, what: str, instead: str) -> None:
    """Raise a MemoryError, of the words that `allocate` has, unless so many bytes are free."""
    available = _available_memory() if size >= KEPT_BYTES else None
    if available is not None and size > available:
        raise too_large(size, available, what, instead)


@contextlib.contextmanager
def in_words(what: str, instead: str) -> Iterator[None]:
    """Give words to a MemoryError that Python raises without any, as for a list or a string."""
    try:
        yield
    except MemoryError as error:
        if str(error):
            raise
        raise MemoryError(f"{what} needs more memory than is free; {instead}") from None


def too_large(size: int, available: int | None, what: str, instead: str) -> MemoryError:
    """The error of what does not fit, to be raised."""
    known = "" if available is None else f", and {human_size(max(available, 0))} are free"
    return MemoryError(f"{what} needs {human_size(size)}{known}; {instead}")


def allocate(
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    what: str,
    instead: str,
    *,
    zeros: bool = False,
    besides: int = 0,
) -> Any:
    """Array for a result, not initialised unless `zeros`; MemoryError at once if it cannot fit.

    Parameters
    ----------
    what, instead
        Words for the message: what the array is for, and what needs less.
    besides
        Bytes that will be wanted for the same, and must fit, too.
    """
    dtype = np.dtype(dtype)
    size = int(dtype.itemsize)
    for length in shape:
        size *= int(length)
    # Linux grants more than there is and ends the process when it is used, so look beforehand.
    # Reading what is free takes 50 µs: only results that could matter are worth it.
    wanted = size + besides
    if wanted >= KEPT_BYTES:
        for blocks in (_spare, _spare_medium, _scratch):
            blocks.clear()
    available = _available_memory() if wanted >= KEPT_BYTES else None
    if available is None or wanted <= available:
        try:
            if zeros:  # pages that come from the system are cleared already
                return np.zeros(shape, dtype)
            if _keeps and _KEEP_FROM <= size <= KEPT_BYTES:
                return _recycled(shape, dtype, size)
            return np.empty(shape, dtype)
        except (MemoryError, ValueError):  # ValueError: more elements than an index can count
            pass
    raise too_large(wanted, available, what, instead)
