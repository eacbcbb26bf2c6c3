"""Where a kernel runs: in the calling thread, or on several."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import numba

from fastiou.runtime.kernel import Kernel

__all__ = [
    "PARALLEL_FROM",
    "PARALLEL_FROM_ASLEEP",
    "run",
    "thread_count",
    "threading_layer",
    "threads_asleep",
    "threads_awake",
]

#: Scores from which on threads pay: starting them takes 3-8 µs while they wait actively, and one
#: thread makes this many scores in 35 µs.
PARALLEL_FROM = 100_000


#: The same where the threads have to be woken. That takes 0.15 ms where the calling thread was at
#: work and 6 ms where it slept: the system then puts all of them on its core, where it waits for
#: them. One thread makes this many scores in 1.5 ms.
PARALLEL_FROM_ASLEEP = 6_000_000


#: Seconds for which threads wait actively: those of GNU OpenMP do for 3 to 6 ms.
AWAKE_SECONDS = 0.002


_forked = False

#: Reentrant, since a signal handler may score boxes while its own thread is about to let go.
_launch_lock = threading.RLock()

_layer: str | None = None

#: When the last large call ended, on one thread or on several. After one on a single thread the
#: next call does wake the others: it may be the second of many.
_last_end = -math.inf

#: Whether threads are treated as asleep whatever ended when.
_pretend_asleep = False


def _after_fork() -> None:
    # GNU OpenMP, Numba's usual threading layer, ends a forked child at its first parallel loop.
    # What it runs is serial from then on, so it never waits for a lock that another thread held.
    global _forked
    _forked = True


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


def thread_count() -> int:
    """Threads that a parallel loop of the calling thread uses."""
    return int(numba.get_num_threads())


def run(kernel: Kernel, scores: int, *arguments: Any) -> Any:
    """Call a kernel that makes `scores` scores, on as many threads as that deserves."""
    global _last_end
    if scores < PARALLEL_FROM or _forked or thread_count() == 1:
        return kernel.serial(*arguments)
    asleep = _pretend_asleep or time.monotonic() - _last_end > AWAKE_SECONDS
    try:
        if asleep and scores < PARALLEL_FROM_ASLEEP:
            return kernel.serial(*arguments)
        with _launching():
            return kernel.parallel(*arguments)
    finally:
        _last_end = max(_last_end, time.monotonic())


@contextlib.contextmanager
def threads_awake() -> Iterator[None]:
    """Treat threads as awake, so that which kernels are compiled depends on sizes alone."""
    global _last_end
    _last_end = math.inf
    try:
        yield
    finally:
        _last_end = time.monotonic()


@contextlib.contextmanager
def threads_asleep() -> Iterator[None]:
    """Treat threads as asleep, so that only what is large enough to wake them runs on several."""
    global _pretend_asleep
    _pretend_asleep = True
    try:
        yield
    finally:
        _pretend_asleep = False
