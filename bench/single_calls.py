"""Single calls, as programs make them: after a pause, on an idle machine or beside a process that
holds a core. The rows of the other tables with their peers, on all threads, on one and on two."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from bench.contenders import Call, Contender, Pace, Workload

__all__ = ["single_calls"]

#: What is called, at which sizes.
CHOSEN = {
    "dense-out": (300, 1_000, 3_000),
    "few-nms": (30,),
    "few-match": (30,),
    "pairs": (10_000,),
    "nms": (10_000,),
    "topk-large": (10_000,),
    "mask-blobs": (400,),
    "label-overlap": (512,),
}

#: Threads that wait actively go to sleep after 3 to 6 ms.
PAUSE = 0.02


def _hold() -> None:
    while True:
        pass


@contextlib.contextmanager
def _busy_core() -> Iterator[None]:
    """Have another process hold a core."""
    other = multiprocessing.get_context("spawn").Process(target=_hold, daemon=True)
    other.start()
    try:
        yield
    finally:
        other.kill()
        other.join()


PACES = {
    "once": Pace("single calls after 20 ms of sleep", PAUSE),
    "busy": Pace(
        "single calls after 20 ms of sleep, beside a process that holds a core", PAUSE, _busy_core
    ),
}


def _on_threads(set_up: Callable[[Any], Call], threads: int, scene: Any) -> Call:
    import numba

    call = set_up(scene)

    def limited() -> Any:
        before = numba.get_num_threads()
        numba.set_num_threads(min(threads, before))
        try:
            return call()
        finally:
            numba.set_num_threads(before)

    return limited


def single_calls(workloads: dict[str, Workload]) -> dict[str, Workload]:
    """The chosen rows of a table, at each pace."""
    found = {}
    for name, sizes in CHOSEN.items():
        row = workloads[name]
        ours = row.contenders["fastiou"]
        threads = {
            f"fastiou, {count} thread{'s' * (count > 1)}": Contender(
                partial(_on_threads, ours.set_up, count), ours.read
            )
            for count in (1, 2)
        }
        for key, pace in PACES.items():
            found[f"{name}-{key}"] = row._replace(
                title=f"{row.title}: {pace.title}",
                sizes=sizes,
                quick_sizes=sizes[:1],
                contenders=row.contenders | threads,
                pace=pace,
            )
    return found
