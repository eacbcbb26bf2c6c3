"""How long a new process waits: for the import, and for its first result.

Every measurement is a process of its own, where NumPy is imported before the clock starts. Run as
``python -m bench.startup LIBRARY SIZE``, this is that process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.peers import LIBRARIES, WORKLOADS, available

__all__ = ["COLD", "FROM_CACHE", "first_calls", "imports"]

#: What the rows of fastiou are called.
COLD, FROM_CACHE = "fastiou, compiling", "fastiou, from its disk cache"


def _seconds(*arguments: str, **environment: str) -> float:
    """What a new process prints."""
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(finished.stdout)


def imports() -> Iterator[tuple[str, float]]:
    """Seconds to import NumPy, and fastiou when NumPy is there."""
    code = "import time{}; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    yield "numpy", _seconds("-c", code.format("", "numpy"))
    yield "fastiou after numpy", _seconds("-c", code.format(", numpy", "fastiou"))


def first_calls(size: int) -> Iterator[tuple[str, float]]:
    """Seconds to import each library and have it score `size` × `size` boxes."""
    with tempfile.TemporaryDirectory() as cache:
        for name in (COLD, FROM_CACHE):
            yield (
                name,
                _seconds("-m", "bench.startup", "fastiou", str(size), NUMBA_CACHE_DIR=cache),
            )
    installed = available()
    for name in WORKLOADS["dense"].contenders:
        if LIBRARIES[name].kind == "peer" and installed[name]:
            yield name, _seconds("-m", "bench.startup", name, str(size))


def _main(library: str, size: str) -> None:
    workload = WORKLOADS["dense"]
    scene = workload.make(int(size))
    start = time.perf_counter()
    workload.contenders[library].set_up(scene)()
    print(time.perf_counter() - start)


if __name__ == "__main__":
    _main(*sys.argv[1:])
