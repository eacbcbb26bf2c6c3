"""The work of `fastiou warmup`: the common kernels are compiled."""

from __future__ import annotations

import os
import time

from fastiou.cli.display import stages
from fastiou.cli.ending import printed

__all__ = ["compile_kernels"]

#: Each process takes 0.3 GB, and a second to import Numba.
MOST_PROCESSES = 8


def compile_kernels(quiet: bool, progress: bool | None) -> None:
    """Compile the common kernels, and print how long it took and where they are kept.

    Parameters
    ----------
    quiet
        Whether to print nothing.
    progress
        Whether to show progress; None shows it on a terminal.
    """
    from fastiou.config import configuration, warm_up

    before = time.perf_counter()
    with stages(False if quiet else progress) as begin:
        warm_up(begin("compiling"), min(os.cpu_count() or 1, MOST_PROCESSES))
    if not quiet:
        with printed():
            print(f"The kernels are ready after {time.perf_counter() - before:.1f} seconds.")
            print(f"They are kept in: {configuration()['cache folder']}")
