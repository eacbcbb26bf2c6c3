"""Where and how a kernel runs: backend, serial or parallel, in steps, and whether it fits."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np

from fastiou.cpu.compilation import Kernel

__all__ = [
    "PARALLEL_FROM",
    "STEP",
    "Progress",
    "allocate",
    "progress_callback",
    "require_cpu",
    "run",
    "steps",
    "threading_layer",
]

#: Called now and then with the work done so far and the work in all.
Progress = Callable[[int, int], None]

#: Scores from which on threads pay: starting them takes 5-8 µs when the machine is idle, but up to
#: 8 ms when another process holds a core, while one thread makes this many scores in 35 µs.
PARALLEL_FROM = 100_000

#: Scores between two chances for Ctrl-C. One slow thread makes this many in about 0.15 s.
STEP = 1 << 26


# ---- threads -----------------------------------------------------------------------------------

_forked = False
#: Reentrant, since a signal handler may score boxes while its own thread is about to let go.
_launch_lock = threading.RLock()
_layer: str | None = None


def _after_fork() -> None:
    # GNU OpenMP, Numba's usual threading layer, ends a forked child at its first parallel loop.
    global _forked, _launch_lock
    _forked = True
    _launch_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threading_layer() -> str | None:
    """Name of Numba's threading layer, None before the first parallel loop."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return None


@contextlib.contextmanager
def _launching() -> Iterator[None]:
    """Keep parallel loops apart where the threading layer needs it.

    The layer "workqueue" aborts the process when two threads start loops at once. Which layer it is
    shows only after the first loop, so until then, too, one loop runs at a time.
    """
    global _layer
    if _layer not in (None, "workqueue"):
        yield
        return
    with _launch_lock:
        yield
        _layer = threading_layer()


def run(kernel: Kernel, scores: int, *arguments: Any) -> Any:
    """Call a kernel that makes `scores` scores, on as many threads as that deserves."""
    if scores < PARALLEL_FROM or _forked or numba.get_num_threads() == 1:
        return kernel.serial(*arguments)
    with _launching():
        return kernel.parallel(*arguments)


def steps(total: int, size: int, progress: Progress | None = None) -> Iterator[tuple[int, int]]:
    """Ranges of at most `size` that cover `total`; Python's signal handlers run in between."""
    for first in range(0, total, size):
        last = min(first + size, total)
        yield first, last
        if progress is not None:
            progress(last, total)


def progress_callback(progress: bool | Progress) -> tuple[Progress | None, Callable[[], None]]:
    """The callback that the argument `progress` asks for, and what to call at the end."""
    if progress is False:
        return None, lambda: None
    if progress is not True:
        if not callable(progress):
            raise TypeError(
                f"progress must be a bool or a function progress(done, total), got {progress!r}"
            )
        return progress, lambda: None
    try:
        from rich.progress import Progress as Bars
    except ImportError:
        raise ImportError(
            "progress=True draws with rich: pip install 'fastiou[cli]', or pass a function "
            "progress(done, total)"
        ) from None
    bars = Bars(transient=True)
    task = bars.add_task("fastiou", total=None)

    def update(done: int, total: int) -> None:
        bars.start()  # does nothing from the second time on
        bars.update(task, completed=done, total=total)

    return update, bars.stop


# ---- memory ------------------------------------------------------------------------------------


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


def _human(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024 or unit == "PiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def allocate(shape: tuple[int, ...], dtype: np.dtype[Any], what: str, instead: str) -> Any:
    """Uninitialised array for a result; MemoryError at once where it cannot fit.

    Parameters
    ----------
    what, instead
        Words for the message: what the array is for, and what needs less.
    """
    size = int(dtype.itemsize)
    for length in shape:
        size *= int(length)
    # Linux grants more than there is and ends the process when it is used, so look beforehand.
    # Reading what is free takes 50 µs: only results that could matter are worth it.
    available = _available_memory() if size >= 1 << 27 else None
    if available is None or size <= available:
        try:
            return np.empty(shape, dtype)
        except (MemoryError, ValueError):  # ValueError: more elements than an index can count
            pass
    known = "" if available is None else f", and {_human(max(available, 0))} are free"
    raise MemoryError(f"{what} needs {_human(size)}{known}; {instead}")


# ---- backends ----------------------------------------------------------------------------------


def require_cpu(device: str) -> None:
    """Check the argument `device`; this version computes on the CPU."""
    if device in ("auto", "cpu"):
        return
    if device == "cuda":
        raise RuntimeError(
            "device='cuda' is not available: this version of fastiou computes on the CPU; "
            "pass device='auto' or 'cpu'"
        )
    raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}")
