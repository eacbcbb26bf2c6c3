"""Kernels kept on disk once they are compiled.

Numba's disk cache, as it comes, raises on a damaged cache file in every process anew, raises when
the disk is full, refuses to decorate where no folder is writable, does not notice an edit in any
file but the kernel's own, and takes the serial and the parallel form of a function for the same.
`KernelCache` mends these five and leaves the rest to Numba.

A sixth is mended by `_Files`: processes that compile at the same time mix up each other's files.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import pickle
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

from fastiou.runtime import memory

__all__ = ["KernelCache", "cache_folder", "source_stamp", "warn_once"]

_warned = False

#: Address space without which LLVM may end the process while it loads a kernel, and while it
#: compiles one. `pairs` was loaded in 16 MB, and compiled in 64.
LOADING, COMPILING = 1 << 25, 1 << 27

#: Folders, and files beside them, that kernels are made of.
SOURCES = (
    "metrics.py",
    "geometry.py",
    "runtime",
    "cpu",
    "geometries",
    "segmentation",
    "parsing",
    "evaluation",
)


@functools.cache
def source_stamp() -> int:
    """Checksum of every file that a kernel's code comes from."""
    package = Path(__file__).parents[1]
    files = [file for name in SOURCES for file in [package / name, *(package / name).rglob("*.py")]]
    stamp = 0
    for file in sorted(file for file in files if file.is_file()):
        stamp = zlib.crc32(file.read_bytes(), stamp)
    return stamp


def warn_once(problem: str) -> None:
    """Warn, once in a process, that kernels cannot be kept."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"fastiou cannot keep its compiled kernels on disk, so each process compiles them "
            f"anew: {problem}. Set NUMBA_CACHE_DIR to a folder that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )


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

    def exist(self) -> bool:
        """Whether there is a file for any kind of arguments."""
        beginning = self._index_name.removesuffix("nbi")
        with contextlib.suppress(OSError):
            return any(file.name.startswith(beginning) for file in Path(self._cache_path).iterdir())
        return False

    def flush(self) -> None:
        """Do nothing: what cannot be read is compiled again and overwritten."""

    def save(self, key: Any, data: Any) -> None:
        body = pickle.dumps((self._stamp(key), self._dump(data)))
        self._save_data(self._name(key), (zlib.crc32(body), body))

    def load(self, key: Any) -> Any:
        # Whoever opens a pipe may wait for ever, and a device may never end.
        if not Path(self._data_path(self._name(key))).is_file():
            return None
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
        # All in the folder of this file, whatever file a kernel is in.
        self._impl._locator = FunctionCache(warn_once)._impl._locator
        self._cache_path = self._impl.locator.get_cache_path()
        self._cache_file = _Files(
            cache_path=self._cache_path,
            filename_base=f"{self._impl.filename_base}.{label}",
            source_stamp=source_stamp(),
        )

    def has_files(self) -> bool:
        """Whether the kernel is on disk for any kind of arguments."""
        return self._cache_file.exist()

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        # Numba adds a hash over what the function closes over, which differs from one process to
        # the next where that is a function made by a factory. Label and stamp tell all of it. It
        # leaves out whether indices are checked, which is other code.
        return signature, codegen.magic_tuple(), bool(numba.config.BOUNDSCHECK)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """What was compiled for a signature, None if it cannot be had.

        Raises
        ------
        MemoryError
            There is no room to load it, or to compile it, which is what comes next.
        """
        _need(LOADING)
        loaded = None
        # Unpickling what was truncated or overwritten can raise anything.
        with contextlib.suppress(Exception):
            loaded = super().load_overload(signature, target_context)
        if loaded is None:
            _need(COMPILING)
        return loaded

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep what was compiled, or warn that it cannot be."""
        try:
            super().save_overload(signature, data)
        except Exception as error:
            warn_once(str(error))


def _need(room: int) -> None:
    """Raise a MemoryError unless the address space has so many bytes left."""
    if not memory.has_room(room):
        raise MemoryError(
            f"a kernel needs up to {memory.human_size(room)} of address space to be loaded or "
            "compiled; raise the limit (ulimit -v)"
        )


def cache_folder() -> str | None:
    """Folder in which compiled kernels are kept, None if there is none that can be written."""
    try:
        return str(FunctionCache(warn_once).cache_path)
    except (RuntimeError, OSError):
        return None
