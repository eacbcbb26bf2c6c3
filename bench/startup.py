"""How long a new process waits: for the import, for its first result, and for the command.

Every measurement is a process of its own, where NumPy is imported before the clock starts. Run as
``python -m bench.startup WORKLOAD LIBRARY SIZE``, this is that process.
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

__all__ = ["COLD", "FIRST_CALLS", "FROM_CACHE", "PLAIN", "commands", "first_calls", "imports"]

#: What the rows of fastiou are called.
COLD, FROM_CACHE = "fastiou, compiling", "fastiou, from its disk cache"
#: What a process waits for that compiles a plain kernel of its own: the measure of compile times.
PLAIN = "a plain parallel kernel"

#: What is timed under a name: a row of the table of workloads, at these sizes.
FIRST_CALLS = {
    "first-call": ("dense", (10, 1_000)),
    "first-nms": ("nms", (50, 5_000)),
    "first-pairs": ("pairs", (10, 5_000)),
    "first-match": ("match-optimal", (10, 5_000)),
    "first-masks": ("mask-blobs", (3, 400)),
}


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


def first_calls(workload: str, size: int) -> Iterator[tuple[str, float]]:
    """Seconds to import each library and have it do a workload, and to compile a plain kernel."""
    this = ("-m", "bench.startup", workload)
    with tempfile.TemporaryDirectory() as cache:
        for name in (COLD, FROM_CACHE):
            yield name, _seconds(*this, "fastiou", str(size), NUMBA_CACHE_DIR=cache)
    yield PLAIN, _seconds(*this, PLAIN, "100")
    installed = available()
    for name, contender in WORKLOADS[workload].contenders.items():
        fits = contender.largest is None or size <= contender.largest
        if LIBRARIES[name].kind == "peer" and installed[name] and fits:
            yield name, _seconds(*this, name, str(size))


def commands() -> Iterator[tuple[str, float]]:
    """Seconds of the commands that compile most, none of whose kernels are on disk."""
    for command in (("demo", "--frames", "200"), ("warmup",)):
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "fastiou", *command, "--quiet"],
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            yield f"fastiou {command[0]}", time.perf_counter() - start
    yield PLAIN, _seconds("-m", "bench.startup", "dense", PLAIN, "100")


def _compile_plain() -> None:
    """Compile what anyone would write first: IoU of each with each, on all threads."""
    import numba
    import numpy as np

    @numba.njit(parallel=True)  # type: ignore[untyped-decorator]
    def plain(a, b, out):  # type: ignore[no-untyped-def]
        for i in numba.prange(len(a)):
            for j in range(len(b)):
                width = min(a[i, 2], b[j, 2]) - max(a[i, 0], b[j, 0])
                height = min(a[i, 3], b[j, 3]) - max(a[i, 1], b[j, 1])
                both = max(width, 0) * max(height, 0)
                first = (a[i, 2] - a[i, 0]) * (a[i, 3] - a[i, 1])
                union = first + (b[j, 2] - b[j, 0]) * (b[j, 3] - b[j, 1]) - both
                out[i, j] = both / union if union > 0 else 0

    boxes = np.random.default_rng(0).random((100, 4)).astype(np.float32)
    numba.get_num_threads()
    start = time.perf_counter()
    plain(boxes, boxes, np.empty((100, 100), np.float32))
    print(time.perf_counter() - start)


def _main(workload: str, library: str, size: str) -> None:
    if library == PLAIN:
        _compile_plain()
        return
    row = WORKLOADS[workload]
    scene = row.make(int(size))
    start = time.perf_counter()
    row.contenders[library].set_up(scene)()
    print(time.perf_counter() - start)


if __name__ == "__main__":
    _main(*sys.argv[1:])
