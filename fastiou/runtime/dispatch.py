"""Where and how a kernel runs: backend, serial or parallel, in steps."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from fastiou.arrays.inputs import Input, check_choice
from fastiou.runtime import gpu_arrays as interop
from fastiou.runtime import kernel as compilation
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.kernel import Kernel

__all__ = [
    "PARALLEL_FROM",
    "PARALLEL_FROM_ASLEEP",
    "STEP",
    "Progress",
    "check_device",
    "compute",
    "gpu_of",
    "progress_callback",
    "run",
    "shares",
    "spans",
    "steps",
    "thread_count",
    "threading_layer",
    "threads_asleep",
    "threads_awake",
]

Result = TypeVar("Result")

#: Called now and then with the work done so far and the work in all.
Progress = Callable[[int, int], None]

#: Scores from which on threads pay: starting them takes 3-8 µs while they wait actively, and one
#: thread makes this many scores in 35 µs.
PARALLEL_FROM = 100_000

#: The same where the threads have to be woken. That takes 0.15 ms where the calling thread was at
#: work and 6 ms where it slept: the system then puts all of them on its core, where it waits for
#: them. One thread makes this many scores in 1.5 ms.
PARALLEL_FROM_ASLEEP = 6_000_000

#: Seconds for which threads wait actively: those of GNU OpenMP do for 3 to 6 ms.
AWAKE_SECONDS = 0.002

#: Seconds that a step aims to take. Ctrl-C waits until the step is over.
STEP_SECONDS = 0.1

#: Scores of the first step, before it is known how fast they are made. One slow thread takes 0.04 s
#: for them, and 0.1 s where the result lies in new pages.
STEP = 1 << 24

#: How many times as large as the step before a step is at most, since a short one may tell too high
#: a rate: with 8, writing run lengths into new pages had steps of 0.004, 0.03 and 0.9 s.
STEP_GROWTH = 3


# ---- threads -----------------------------------------------------------------------------------

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


# ---- steps -------------------------------------------------------------------------------------


def shares() -> Generator[int, float, None]:
    """How many scores to make in each step of long work, for steps of about `STEP_SECONDS`.

    Whoever asks for the next sends how many were made; from the time that has passed follows how
    many there will be. What is done in a step must all be done by then. Python's signal handlers
    run in between.
    """
    share = STEP
    while True:
        compilations, begin = compilation.compilations, time.perf_counter()
        made = yield share
        seconds = max(time.perf_counter() - begin, 1e-9)
        if compilations != compilation.compilations:
            continue
        # Little work tells nothing, unless it took long.
        if 2 * made >= share or seconds > STEP_SECONDS:
            share = max(1, int(min(made * STEP_SECONDS / seconds, STEP_GROWTH * share)))


def steps(total: int, each: float = 1) -> Iterator[tuple[int, int, int]]:
    """Cut `total` things into ranges for one step each: first, last, and their work.

    Parameters
    ----------
    each
        Work of one of them, in scores.
    """
    pace = shares()
    share = next(pace)
    last = 0
    while last < total:
        first, last = last, min(last + max(1, int(share / each)), total)
        work = (last - first) * each
        yield first, last, int(work)
        if last < total:
            share = pace.send(work)


def spans(
    before: npt.NDArray[Any], each: float = 1, *, equal: bool = False
) -> Iterator[tuple[int, int, int]]:
    """Cut unequal things into ranges of one or more for one step each: first, last, their work.

    Parameters
    ----------
    before
        (n + 1,): what comes before each thing, and in all.
    each
        Work of one of these, in scores.
    equal
        Have all ranges as large as the first, whatever time they take: for steps within steps.
    """
    count = len(before) - 1
    pace = shares()
    share = next(pace)
    last = 0
    while last < count:
        first = last
        limit = before[first] + int(share / each)
        last = count
        if before[count] > limit:
            last = max(first + 1, int(np.searchsorted(before, limit, side="right")) - 1)
        work = float(before[last] - before[first]) * each
        yield first, last, int(work)
        if last < count and not equal:
            share = pace.send(work)


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


# ---- backends ----------------------------------------------------------------------------------


def compute(
    device: str,
    inputs: Sequence[Input],
    on_gpu: Callable[[GpuArray | None], Result],
    on_cpu: Callable[[], Result],
) -> Result:
    """Compute where the argument `device` says.

    "auto" stays where the inputs lie: on the GPU if one of them does and it can be used, else on
    the CPU, also where the GPU's memory does not suffice.

    Parameters
    ----------
    device
        As `check_device` passed it.
    inputs
        The arguments, of which those on a GPU must be on one and the same.
    on_gpu
        Called with where the inputs lie, None if they are the host's.
    on_cpu
        The same result from the CPU.

    Raises
    ------
    MemoryError
        `device` is "cuda", and the GPU's memory does not suffice.
    """
    place = gpu_of(inputs)
    if device == "cpu" or (device == "auto" and place is None):
        return on_cpu()
    if interop.problem() is None:
        try:
            return on_gpu(place)
        except MemoryError:
            if device == "cuda":
                raise
    return on_cpu()


def gpu_of(inputs: Sequence[Input]) -> GpuArray | None:
    """Where those of the inputs lie that are on a GPU; None if all are the host's."""
    first: Input | None = None
    for given in inputs:
        if given.gpu is None:
            continue
        if first is None:
            first = given
        elif first.gpu is not None and given.gpu.number != first.gpu.number:
            raise ValueError(
                f"{first.name} is on GPU {first.gpu.number} and {given.name} on GPU "
                f"{given.gpu.number}; move one to the other"
            )
    return None if first is None else first.gpu


def check_device(device: str) -> None:
    """Raise a ValueError unless the argument `device` is known, and a RuntimeError without a GPU.

    It comes before any other work, so that a forced GPU is not missed late.
    """
    check_choice("device", device, ("auto", "cpu", "cuda"))
    if device == "cuda" and (problem := interop.problem()) is not None:
        raise RuntimeError(f"device='cuda' cannot be used: {problem}")
