"""Where a kernel runs: in the calling thread, or on several."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numba

from fastiou.runtime import kernel as compiling
from fastiou.runtime import memory, tbb
from fastiou.runtime.kernel import Kernel

__all__ = [
    "PARALLEL_FROM",
    "forced",
    "has_both_forms",
    "run",
    "thread_count",
    "threading_layer",
]

#: Scores from which on threads may pay: starting them takes 3-8 µs where they are quick, and one
#: thread makes this many scores in 35 µs.
PARALLEL_FROM = 100_000

#: Seconds for which threads wait actively for more work: those of GNU OpenMP do for 3 to 6 ms.
AWAKE_SECONDS = 0.002

#: After threads were slower than one would have been, so much work stays on one thread, in times of
#: what waking them may take.
PENALTY = 100

#: Threads were slower than one if they took half a stall longer than that. Of work that takes one
#: thread so many stalls or more, a stall is a small part, and threads were slower if they took so
#: many times as long: a kernel takes up to 4 times as long for a score where what it reads lies in
#: no cache, which is no stall.
LONG_STALLS = 2
LONG_TIMES = 4

#: Whether work of `PARALLEL_FROM` or more runs on several threads, whatever that costs; None weighs
#: the cost. For tests, which are not to hang on timing, and for compiling ahead.
FORCED: bool | None = None


class Layer(NamedTuple):
    """What it costs to start threads on one of Numba's threading layers."""

    #: Scores from which on threads pay.
    pays_from: int
    #: The same where they sleep.
    wakes_from: int
    #: Seconds that waking them may take. Those of GNU OpenMP the system puts all on the caller's
    #: core, where it waits for them actively until its time slice ends.
    stall: float


#: Measured on 2 cores, idle and with another process on one of them. One thread makes 3 scores a
#: nanosecond. `docs/design/012-threads.md` has the figures.
LAYERS = {
    "tbb": Layer(PARALLEL_FROM, 3_000_000, 0.0005),
    "omp": Layer(PARALLEL_FROM, 100_000_000, 0.008),
    "workqueue": Layer(2_000_000, 4_000_000, 0.0005),
}

#: Address space of a thread: 8 MiB are its stack's, and as much what the layer keeps for it.
THREAD_ROOM = 1 << 24

#: Reentrant, since a signal handler may score boxes while its own thread is about to let go.
_launch_lock = threading.RLock()

#: When the last large call ended, on one thread or on several.
_last_end = -math.inf

#: Seconds of large work on one thread since threads went to sleep: they are woken when it is as
#: much as that may take. Negative after they were slower than one thread.
_earned = 0.0

#: Seconds of large work on one thread so far.
_worked = 0.0

#: Whether a thread other than the main one has started threads.
_others_started = False


class _Room(threading.local):
    """Whether there was room for threads when the calling thread first asked."""

    was_there = False


_room = _Room()

# ---- forks -------------------------------------------------------------------------------------

#: Whether this process was forked from one whose threads it cannot have.
_forked = False

#: Whether it is the main thread that forks.
_main_forks = True


def _after_fork() -> None:
    # GNU OpenMP ends a forked child at its first parallel loop. TBB survives a fork from the main
    # thread, unless another thread has used it. What else runs is serial from then on, so it never
    # waits for a lock that another thread held.
    global _forked
    layer = _started_layer() or ("tbb" if tbb.is_loaded else None)
    _forked = _forked or not (_main_forks and not _others_started and layer == "tbb")
    _room.was_there = False


def _before_fork() -> None:
    # In the child, whichever thread has forked is the main one.
    global _main_forks
    _main_forks = threading.current_thread() is threading.main_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


# ---- the threading layer -----------------------------------------------------------------------


def _started_layer() -> str | None:
    try:
        return str(numba.threading_layer())
    except ValueError:
        return None


def threading_layer() -> str:
    """Name of Numba's threading layer, which is started by this; "none" if there is no room."""
    thread_count()
    return _started_layer() or "none"


def thread_count() -> int:
    """Threads that a parallel loop of the calling thread uses; 1 where there is no room for more.

    Raises
    ------
    LayerError
        Numba cannot start its threads.
    """
    # Layers end the process where a thread cannot be started, or wait for it for ever.
    if not _room.was_there:
        _room.was_there = memory.has_room(numba.config.NUMBA_NUM_THREADS * THREAD_ROOM)
        if not _room.was_there:
            return 1
    try:
        return int(numba.get_num_threads())
    except ValueError as error:
        raise tbb.LayerError(_reason(str(error).partition("\n")[0])) from None


def _reason(told: str) -> str:
    """Why Numba cannot start its threads, which told so much, and what to do."""
    chosen = str(numba.config.THREADING_LAYER).lower()
    why, remedy = told.rstrip("."), "unset NUMBA_THREADING_LAYER"
    if chosen in LAYERS:
        why = f"Numba cannot load {chosen}"
    if chosen == "tbb" and not tbb.is_loaded:
        why = tbb.status
        remedy = f"pip install tbb, or {remedy}" if sys.platform in tbb.NAMES else remedy
    return f"{why}: {remedy}"


def _note_thread() -> None:
    """Remember that a thread other than the main one starts threads."""
    global _others_started
    _others_started = _others_started or threading.get_ident() != threading.main_thread().ident


# ---- one thread or several ---------------------------------------------------------------------


def run(kernel: Kernel, scores: int, *arguments: Any) -> Any:
    """Call a kernel that makes `scores` scores, on as many threads as that deserves."""
    global _last_end
    if scores < PARALLEL_FROM or _forked or thread_count() == 1:
        return kernel.serial(*arguments)
    name = str(numba.threading_layer())
    layer = LAYERS[name]
    compilations, begin = compiling.compilations, time.monotonic()
    parallel = FORCED
    if parallel is None:
        parallel = _deserves_threads(layer, scores, begin) and (
            _worked >= kernel.patience or kernel.is_quickly_parallel
        )
    try:
        if not parallel:
            return kernel.serial(*arguments)
        if name != "workqueue":
            _note_thread()
            return kernel.parallel(*arguments)
        # It aborts the process when two threads start loops at once.
        with _launch_lock:
            return kernel.parallel(*arguments)
    finally:
        end = time.monotonic()
        _last_end = max(_last_end, end)
        if compilations == compiling.compilations:
            _settle(kernel, layer, scores, end - begin, parallel=parallel)


@contextlib.contextmanager
def forced(parallel: bool) -> Iterator[None]:
    """Have all large work run on several threads, or on one."""
    global FORCED
    before, FORCED = FORCED, parallel
    try:
        yield
    finally:
        FORCED = before


@contextlib.contextmanager
def limited(count: int) -> Iterator[None]:
    """Have the calling thread use so many threads at most, as `numba.set_num_threads` does."""
    before = thread_count()
    if count >= before:
        yield
        return
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def has_both_forms() -> bool:
    """Whether large work runs on one thread at times, and on several at others."""
    layer = LAYERS.get(threading_layer())
    return layer is not None and layer.pays_from < layer.wakes_from


def _deserves_threads(layer: Layer, scores: int, now: float) -> bool:
    global _earned
    if scores < layer.pays_from:
        return False
    if now - _last_end > AWAKE_SECONDS:
        _earned = min(_earned, 0.0)
    return _earned >= (0 if scores >= layer.wakes_from else layer.stall)


def _settle(kernel: Kernel, layer: Layer, scores: int, seconds: float, *, parallel: bool) -> None:
    """Learn from a call whether the next one deserves threads."""
    global _earned, _worked
    expected = scores * kernel.seconds_per_score
    times = 1 if expected < LONG_STALLS * layer.stall else LONG_TIMES
    if not parallel:
        _earned += seconds
        _worked += seconds
        kernel.seconds_per_score = seconds / scores
    elif seconds > times * expected + layer.stall / 2:
        _earned = -PENALTY * layer.stall
    else:
        _earned = layer.stall
