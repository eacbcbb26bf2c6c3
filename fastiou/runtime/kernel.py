"""Compiling kernels on first use, and keeping what was compiled on disk.

Numba's disk cache, as it comes, raises on a damaged cache file in every process anew, raises when
the disk is full, refuses to decorate where no folder is writable, does not notice an edit in any
file but the kernel's own, and takes the serial and the parallel form of a function for the same.
`KernelCache` mends these five and leaves the rest to Numba.

A sixth is mended by `interruptible`: a Ctrl-C that comes while the compiler calls back is lost, and
one that comes while Numba loads what it knows of types leaves it without some of that for good.

A seventh is mended by `_Files`: processes that compile at the same time mix up each other's files.

An eighth is mended by `named`. Functions made by one factory differ, for the linker, only by a
number that Numba counts up in each process. What two processes compiled can bear the same number; a
third that loads both from disk would run one of them for both.
"""

from __future__ import annotations

import _thread
import functools
import hashlib
import os
import pickle
import signal
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.compiler_lock import global_compiler_lock

from fastiou import metrics

__all__ = ["Kernel", "cache_folder", "named", "source_stamp"]

_lock = threading.RLock()
_warned = False

if hasattr(os, "register_at_fork"):
    # A fork waits for whatever is being compiled. The child would find the locks held for ever.
    def _acquire() -> None:
        _lock.acquire()
        global_compiler_lock.acquire()

    def _release() -> None:
        global_compiler_lock.release()
        _lock.release()

    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release)


def source_stamp() -> int:
    """Checksum of every file that a kernel's code comes from."""
    package = Path(metrics.__file__).parent
    files = [package / "metrics.py"]
    for folder in ("runtime", "cpu", "geometries", "segmentation"):
        files += sorted((package / folder).rglob("*.py"))
    return functools.reduce(lambda stamp, file: zlib.crc32(file.read_bytes(), stamp), files, 0)


def _warn_once(problem: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"fastiou cannot keep its compiled kernels on disk, so each process compiles them "
            f"anew: {problem}. Set NUMBA_CACHE_DIR to a folder that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )


#: Seconds until an interrupt that came at a bad moment is sent again.
RESEND_SECONDS = 0.005


#: How many kernels this process has compiled or loaded from disk so far: a time in which that
#: happened tells nothing about how fast they are.
compilations = 0


def _is_bad_moment(frame: FrameType | None, outermost: CodeType) -> bool:
    """Tell whether an exception raised in this code would be lost, or leave Numba broken.

    It is lost where LLVM's compiler has called the code, or is called by it. Numba is left broken
    where it imports modules or refreshes its registries, which it does once and bit by bit.
    """
    while frame is not None and frame.f_code is not outermost:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(("llvmlite.binding", "importlib._bootstrap")):
            return True
        if module.startswith("numba.core") and frame.f_code.co_name == "refresh":
            return True
        frame = frame.f_back
    return False


def interruptible(compile_kernel: Callable[..., Any]) -> Callable[..., Any]:
    """See to it that a Ctrl-C while compiling is not lost, and breaks nothing.

    LLVM hands what it compiled to Python functions through ctypes, which prints an exception raised
    there, KeyboardInterrupt too, and goes on. An interrupt that comes at such a moment is sent
    again later.
    """

    def compile_and_listen(*arguments: Any, **options: Any) -> Any:
        global compilations
        compilations += 1
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(handler):
            return compile_kernel(*arguments, **options)

        def wait_or_handle(number: int, frame: FrameType | None) -> None:
            if _is_bad_moment(frame, compile_and_listen.__code__):
                again = threading.Timer(RESEND_SECONDS, _thread.interrupt_main)
                again.daemon = True
                again.start()
            else:
                handler(number, frame)

        signal.signal(signal.SIGINT, wait_or_handle)
        try:
            return compile_kernel(*arguments, **options)
        finally:
            if signal.getsignal(signal.SIGINT) is wait_or_handle:
                signal.signal(signal.SIGINT, handler)

    return compile_and_listen


class _Files(IndexDataCacheFile):
    """A cache file for each kind of arguments, named after it and checked when read.

    Numba numbers these files, and keeps an index of the numbers. Two processes that compile at the
    same time take the same number: one then ran what the other had compiled for other arguments.
    """

    def _name(self, key: Any) -> str:
        kind = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return self._index_name.replace(".nbi", f".{kind}.nbc")

    def _stamp(self, key: Any) -> Any:
        return self._source_stamp, self._version, repr(key)

    def flush(self) -> None:
        """Do nothing: what cannot be read is compiled again and overwritten."""

    def save(self, key: Any, data: Any) -> None:
        body = pickle.dumps((self._stamp(key), self._dump(data)))
        self._save_data(self._name(key), (zlib.crc32(body), body))

    def load(self, key: Any) -> Any:
        try:
            checksum, body = self._load_data(self._name(key))
        except FileNotFoundError:
            return None
        if zlib.crc32(body) != checksum:
            raise ValueError(f"checksum of {self._name(key)} does not match")
        # Numba keeps its cache as pickles, in a folder that only the user can write.
        stamp, dumped = pickle.loads(body)  # noqa: S301
        return pickle.loads(dumped) if stamp == self._stamp(key) else None  # noqa: S301


class KernelCache(FunctionCache):
    """Disk cache of one kernel, which never raises: what it cannot read it takes as absent."""

    def __init__(self, function: Callable[..., Any], label: str) -> None:
        super().__init__(function)
        self._cache_file = _Files(
            cache_path=self._cache_path,
            filename_base=f"{self._impl.filename_base}.{label}",
            source_stamp=source_stamp(),
        )

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        # Numba adds a hash over what the function closes over, which differs from one process to
        # the next where that is a function made by a factory. Label and stamp tell all of it. It
        # leaves out whether indices are checked, which is other code.
        return signature, codegen.magic_tuple(), bool(numba.config.BOUNDSCHECK)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(signature, target_context)
        except Exception:  # unpickling what was truncated or overwritten can raise anything
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            super().save_overload(signature, data)
        except Exception as error:
            _warn_once(str(error))


def named(label: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Tell a function from others made by the same factory, by what the linker calls it.

    Every function that a factory makes needs it, kernels (which `Kernel` names) and helpers alike.
    """

    def name(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__qualname__ = f"{function.__qualname__}[{label}]"
        return function

    return name


class Kernel:
    """A function compiled when first called, in a serial and in a parallel form.

    Parameters
    ----------
    function
        Python function in Numba's subset. `numba.prange` loops run in parallel in `parallel`.
    label
        Tells it from other functions made by the same factory, in the names of cache files and
        for the linker.
    """

    def __init__(self, function: Callable[..., Any], label: str) -> None:
        self._function = named(label)(function)
        self._label = label
        self._compiled: dict[bool, Callable[..., Any]] = {}

    @property
    def serial(self) -> Callable[..., Any]:
        """The form that runs in the calling thread."""
        return self._form(parallel=False)

    @property
    def parallel(self) -> Callable[..., Any]:
        """The form that uses Numba's threads. Call it through `dispatch.run` alone."""
        return self._form(parallel=True)

    def _form(self, *, parallel: bool) -> Callable[..., Any]:
        compiled = self._compiled.get(parallel)
        if compiled is None:
            with _lock:
                compiled = self._compiled.setdefault(parallel, self._decorate(parallel))
        return compiled

    def _decorate(self, parallel: bool) -> Callable[..., Any]:
        if numba.config.DISABLE_JIT:
            raise RuntimeError(
                "fastiou cannot run with NUMBA_DISABLE_JIT=1: its kernels use machine instructions"
            )
        # error_model: Python's check for division by zero keeps a loop from being vectorised.
        # nogil: other Python threads go on meanwhile.
        dispatcher = numba.njit(parallel=parallel, error_model="numpy", nogil=True)(self._function)
        dispatcher.compile = interruptible(dispatcher.compile)
        label = f"{self._label}-{'parallel' if parallel else 'serial'}"
        try:
            dispatcher._cache = KernelCache(self._function, label)
        except (RuntimeError, OSError) as error:
            _warn_once(str(error))
        return dispatcher


def cache_folder() -> str | None:
    """Folder in which compiled kernels are kept, None if there is none that can be written."""
    try:
        return str(FunctionCache(source_stamp).cache_path)
    except (RuntimeError, OSError):
        return None
