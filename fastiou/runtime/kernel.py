"""Functions compiled when first called, in a serial and in a parallel form.

Functions made by one factory differ, for the linker, only by a number that Numba counts up in each
process. What two processes compiled can bear the same number; a third that loads both from disk
would run one of them for both. So each has a name of its own, by `named`.
"""

from __future__ import annotations

import functools
import gc
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock

from fastiou.runtime.cache import KernelCache, warn_once
from fastiou.runtime.interrupts import interruptible

__all__ = ["PATIENCE", "Kernel", "inlined", "named"]

#: Seconds of large work on one thread before parallel forms are compiled for it, which takes 0.5 to
#: 4 seconds each. A program that makes one call does not wait for them.
PATIENCE = 0.1

_lock = threading.RLock()

if hasattr(os, "register_at_fork"):
    # A fork waits for whatever is being compiled. The child would find the locks held for ever.
    def _acquire() -> None:
        _lock.acquire()
        global_compiler_lock.acquire()

    def _release() -> None:
        global_compiler_lock.release()
        _lock.release()

    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release)


#: How many kernels this process has compiled or loaded from disk so far, and the seconds that took:
#: a time in which that happened tells nothing about how fast they are.
compilations = 0
compile_seconds = 0.0


def _counted(compile_kernel: Callable[..., Any]) -> Callable[..., Any]:
    """See to it that a compilation is counted, and its time."""

    def compile_and_count(*arguments: Any, **options: Any) -> Any:
        global compilations, compile_seconds
        compilations += 1
        begin = time.perf_counter()
        # Numba makes millions of objects, in which a collector of garbage looks for what is not
        # there: without it, the kernels of `pairs` take 5.9 s to compile instead of 6.6.
        collects = gc.isenabled()
        gc.disable()
        try:
            return compile_kernel(*arguments, **options)
        finally:
            if collects:
                gc.enable()
            compile_seconds += time.perf_counter() - begin

    return compile_and_count


def named(label: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Tell a function from others made by the same factory, by what the linker calls it.

    Every function that a factory makes needs it, kernels (which `Kernel` names) and helpers alike.
    """

    def name(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__qualname__ = f"{function.__qualname__}[{label}]"
        return function

    return name


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have Numba put a function into each kernel that calls it, before types are known.

    It is never compiled by itself. `register_jitable(inline="always")` inlines, too, but beforehand
    it compiles the function and all that this calls, for nothing: a third of some first calls. For
    kernels of CPUs alone.
    """
    compiled: Callable[..., Any] = numba.njit(inline="always", error_model="numpy")(function)
    return compiled


def _has_files(compiled: Any) -> bool:
    cache = getattr(compiled, "_cache", None)
    return isinstance(cache, KernelCache) and cache.has_files()


class Kernel:
    """A function compiled when first called, in a serial and in a parallel form.

    Parameters
    ----------
    function
        Python function in Numba's subset. `numba.prange` loops run in parallel in `parallel`.
    label
        Tells it from other functions made by the same factory, in the names of cache files and
        for the linker.
    at_once
        Whether the first large call is worth compiling the parallel form for: where that is done
        quickly, and calls in a loop are short.
    patience
        Seconds of large work of this process on one thread before the parallel form is compiled.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        label: str,
        *,
        at_once: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        self._function = named(label)(function)
        self._label = label
        self._at_once = at_once
        self.patience = patience
        self._compiled: dict[bool, Any] = {}
        #: What one thread took for the last large call; for `threads.run`.
        self.seconds_per_score = math.inf

    @property
    def serial(self) -> Any:
        """The form that runs in the calling thread."""
        return self._form(parallel=False)

    @property
    def parallel(self) -> Any:
        """The form that uses Numba's threads. Call it through `threads.run` alone."""
        return self._form(parallel=True)

    @functools.cached_property
    def _is_kept(self) -> bool:
        """Whether the parallel form is on disk, for some kind of arguments."""
        return _has_files(self.parallel)

    @functools.cached_property
    def _is_kept_for_one(self) -> bool:
        """The same of the serial form."""
        return _has_files(self.serial)

    @property
    def is_quickly_parallel(self) -> bool:
        """Whether the parallel form does not have to be compiled first, or quickly is."""
        return self._at_once or bool(self.parallel.signatures) or self._is_kept

    @property
    def is_at_hand(self) -> bool:
        """Whether the serial form is compiled, or on disk, for some kind of arguments."""
        return bool(self.serial.signatures) or self._is_kept_for_one

    def _form(self, *, parallel: bool) -> Any:
        compiled = self._compiled.get(parallel)
        if compiled is None:
            with _lock:
                compiled = self._compiled.setdefault(parallel, self._decorate(parallel))
        return compiled

    def _decorate(self, parallel: bool) -> Any:
        if numba.config.DISABLE_JIT:
            raise RuntimeError(
                "fastiou cannot run with NUMBA_DISABLE_JIT=1: its kernels use machine instructions"
            )
        # error_model: Python's check for division by zero keeps a loop from being vectorised.
        # nogil: other Python threads go on meanwhile.
        dispatcher = numba.njit(
            parallel=parallel, error_model="numpy", nogil=True, no_cfunc_wrapper=True
        )(self._function)
        dispatcher.compile = _counted(interruptible(dispatcher.compile))
        label = f"{self._label}-{'parallel' if parallel else 'serial'}"
        try:
            dispatcher._cache = KernelCache(self._function, label)
        except (RuntimeError, OSError) as error:
            warn_once(str(error))
        return dispatcher
