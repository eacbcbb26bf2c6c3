"""The same table under pytest-benchmark: `pytest bench`, `pytest bench -k "dense-out and 3000"`.

For numbers to compare, use `python -m bench.run`, which times libraries in turn. This is for work
on one workload: its options save runs, compare them and fail on a regression.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numba
import pytest

from bench.peers import LIBRARIES, WORKLOADS, available, check_agreement, lacking

pytest.importorskip("pytest_benchmark")


def _cases() -> Iterator[Any]:
    installed = available()
    for name, workload in WORKLOADS.items():
        lacks = lacking(name)
        for size in workload.sizes:
            for library, contender in workload.contenders.items():
                if contender.largest is not None and size > contender.largest:
                    continue
                missing = pytest.mark.skipif(
                    not installed[library], reason=f"{library} is not installed"
                )
                absent = pytest.mark.skipif(
                    bool(lacks), reason=f"this fastiou has no {', '.join(lacks)}"
                )
                yield pytest.param(
                    name, size, library, marks=[missing, absent], id=f"{name}-{size}-{library}"
                )


@functools.lru_cache(maxsize=1)
def _reference(name: str, size: int) -> tuple[Any, Any, dict[str, float]]:
    """The scene, the answer of fastiou, and the median seconds of the bounds."""
    workload = WORKLOADS[name]
    scene = workload.make(size)
    bounds = {}
    for library, contender in workload.contenders.items():
        if LIBRARIES[library].kind == "bound":
            call = contender.set_up(scene)
            call()
            seconds = []
            for _ in range(11):
                start = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - start)
            bounds[library] = statistics.median(seconds)
    ours = workload.contenders["fastiou"]
    return scene, ours.read(ours.set_up(scene)()), bounds


@pytest.mark.parametrize(("name", "size", "library"), list(_cases()))
def test_workload(benchmark: Any, name: str, size: int, library: str) -> None:
    workload = WORKLOADS[name]
    contender = workload.contenders[library]
    scene, expected, bounds = _reference(name, size)
    call = contender.set_up(scene)
    if LIBRARIES[library].kind != "bound":
        check_agreement(name, library, expected, contender.read(call()))
    benchmark.group = f"{name}, {size:,}"
    benchmark.extra_info.update(
        threads=numba.get_num_threads() if LIBRARIES[library].threaded else 1,
        **{f"{bound}, seconds": seconds for bound, seconds in bounds.items()},
    )
    if workload.pace.pause:
        with workload.pace.meanwhile():
            pause = functools.partial(time.sleep, workload.pace.pause)
            benchmark.pedantic(call, setup=pause, rounds=30)
    else:
        benchmark(call)
