"""Time every workload of the table, and write the medians as JSON.

    python -m bench.run [--quick] [--out bench/results/NAME.json] [WORKLOAD ...]

What is compared is timed in turn, in random order, round after round, so that a slower spell of the
machine falls on all alike; ratios are medians of the ratios within rounds. Each sample follows an
untimed one of the same kind: a streaming fill took 25 % longer right after a kernel with ordinary
stores, whose lines then still had to leave the caches, and threads that sleep have to wake up.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gc
import importlib.metadata
import itertools
import json
import os
import platform
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.peers import (
    LIBRARIES,
    WORKLOADS,
    Call,
    available,
    check_agreement,
    lacking,
    set_up,
)
from bench.startup import FIRST_CALLS, commands, first_calls, imports

__all__ = ["compare", "main", "measure", "records"]

Record = dict[str, Any]
#: Seconds by library and round.
Samples = dict[str, dict[int, float]]

#: A sample is as many calls as take this long, next to which reading the clock is nothing.
SAMPLE_SECONDS = 1e-3

#: Calls slower than this are not warmed up before each sample, to save time.
WARM_SECONDS = 0.1

#: Calls that take longer than this are estimated by the first, and sampled this often: who builds a
#: tree of a million boxes takes 8 s a call.
LONG_SECONDS, FEW_ROUNDS = 1.0, 3

#: A comparison that takes this many times as long as its first calls promised ends early. Where
#: another process holds a core, calls of 30 µs took 8 ms, and 10,000 of them over two minutes.
PATIENCE = 3

#: More samples than this hardly move a median.
MOST_ROUNDS = 301

#: Cores that other processes may keep busy. One that holds a core delays the threads of a parallel
#: loop by up to 8 ms, whatever the loop does.
QUIET = 0.1

#: What was disturbed is measured again as often as this, within as many minutes.
REPEATS = 3
MINUTES, QUICK_MINUTES = 15.0, 2.5


# ---- timing ------------------------------------------------------------------------------------


def _seconds(call: Call, number: int = 1) -> float:
    """Seconds of one of `number` calls."""
    repeats = itertools.repeat(None, number)
    start = time.perf_counter()
    for _ in repeats:
        call()
    return (time.perf_counter() - start) / number


def _first_seconds(call: Call) -> float:
    """Seconds of a call: the least of three, or the first if that takes long."""
    first = _seconds(call)
    return first if first > LONG_SECONDS else min(first, _seconds(call), _seconds(call))


def compare(
    calls: dict[str, Call], reference: str, seconds: float, least: int, pause: float = 0.0
) -> Samples:
    """Samples of each call, spending about `seconds` on each, but at least `least` samples.

    With `pause`, a sample is one call after so many seconds of sleep.

    Of calls that take longer than LONG_SECONDS, FEW_ROUNDS are enough.

    On a machine that turned slow it ends after `least` rounds, which then may leave those who do
    not take part in every round with one sample.

    `reference` takes part in every round; who is slower does so in fewer, at equal distances.
    """
    once = {name: _first_seconds(call) for name, call in calls.items()}
    number = {name: 1 if pause else max(1, round(SAMPLE_SECONDS / once[name])) for name in calls}
    wanted = {
        name: min(
            max(
                least if once[name] <= LONG_SECONDS else min(least, FEW_ROUNDS),
                int(seconds / ((pause or once[name] * number[name]) + once[name] * number[name])),
            ),
            MOST_ROUNDS,
        )
        for name in calls
    }
    rounds = wanted[reference]
    order = list(calls)
    shuffle = random.Random(0).shuffle
    samples: Samples = defaultdict(dict)
    promised = sum(wanted[name] * (pause + 2 * number[name] * once[name]) for name in calls)
    end = time.perf_counter() + PATIENCE * promised
    gc.disable()
    try:
        for this in range(rounds):
            if this >= least and time.perf_counter() > end:
                break
            shuffle(order)
            for name in order:
                if wanted[name] < rounds and this * wanted[name] % rounds >= wanted[name]:
                    continue
                if pause:
                    time.sleep(pause)
                elif once[name] < WARM_SECONDS:
                    _seconds(calls[name], number[name])
                samples[name][this] = _seconds(calls[name], number[name])
    finally:
        gc.enable()
    return samples


def records(workload: str, size: int, samples: Samples, reference: str) -> Iterator[Record]:
    """Medians of the samples, and of their ratios to those of `reference` in the same round."""
    for name, by_round in samples.items():
        seconds = list(by_round.values())
        quartiles = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
        library = LIBRARIES.get(name)
        yield {
            "workload": workload,
            "size": size,
            "library": name,
            "kind": library.kind if library else "process",
            "threaded": library.threaded if library else False,
            "seconds": statistics.median(seconds),
            "quartiles": [quartiles[0], quartiles[2]],
            "ninetieth": sorted(seconds)[int(0.9 * (len(seconds) - 1) + 0.5)],
            "rounds": len(seconds),
            "over_fastiou": statistics.median(
                taken / samples[reference][this] for this, taken in by_round.items()
            ),
        }


def measure(workload: str, size: int, *, seconds: float, least: int) -> list[Record]:
    """Time one workload at one size, after every library has given the answer of fastiou."""
    calls: dict[str, Call] = {}
    expected: Any = None
    for name, contender, call in set_up(workload, size):
        calls[name] = call
        if LIBRARIES[name].kind == "bound":
            continue
        result = contender.read(call())
        if name == "fastiou":
            expected = result
        check_agreement(workload, name, expected, result)
    expected = result = None  # before more memory is needed
    pace = WORKLOADS[workload].pace
    with pace.meanwhile():
        samples = compare(calls, "fastiou", seconds, least, pace.pause)
    return list(records(workload, size, samples, "fastiou"))


def measure_processes(
    workload: str, size: int, rounds: int, run: Callable[[], Iterable[tuple[str, float]]]
) -> list[Record]:
    """Time what needs a new process each time."""
    samples: Samples = defaultdict(dict)
    for this in range(rounds):
        for name, seconds in run():
            samples[name][this] = seconds
    reference = next(name for name in samples if name.startswith("fastiou"))
    return list(records(workload, size, samples, reference))


# ---- the machine -------------------------------------------------------------------------------


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    import fastiou

    versions = {"Python": platform.python_version(), "fastiou": fastiou.__version__}
    names = (library.distribution or library.module for library in LIBRARIES.values())
    modules = {"numba", "llvmlite", *names}
    for module in sorted(modules - {"fastiou"}):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[module] = importlib.metadata.version(module)
    return versions


def machine() -> dict[str, Any]:
    """What the numbers depend on. No name of the machine, no paths."""
    import numba

    from fastiou.runtime.threads import threading_layer

    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "threading_layer": threading_layer(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": _versions(),
        "not_installed": [name for name, installed in available().items() if not installed],
    }


def _busy_seconds() -> tuple[float, float] | None:
    """Processor seconds that all processes and that this one and its children used so far."""
    try:
        fields = Path("/proc/stat").read_text().split(maxsplit=9)
        user, nice, kernel, _, _, interrupts, soft, stolen = map(int, fields[1:9])
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    everything = (user + nice + kernel + interrupts + soft + stolen) / ticks
    return everything, sum(os.times()[:4])


def watched(job: Callable[[], list[Record]]) -> tuple[float, list[Record]]:
    """Do a job; how many cores other processes used meanwhile, and its records, which say so."""
    start, before = time.perf_counter(), _busy_seconds()
    done = job()
    after, elapsed = _busy_seconds(), time.perf_counter() - start
    others = 0.0
    if before and after:
        others = max(0.0, (after[0] - before[0]) - (after[1] - before[1])) / elapsed
    return others, [{**record, "cores_used_by_others": round(others, 2)} for record in done]


# ---- the command -------------------------------------------------------------------------------


def jobs(chosen: list[str], *, quick: bool) -> Iterator[tuple[str, Callable[[], list[Record]]]]:
    """What there is to measure, by name."""
    seconds, least, processes = (0.1, 3, 1) if quick else (0.5, 5, 3)
    for name in chosen:
        if name == "import":
            yield name, partial(measure_processes, name, 1, 3 * processes, imports)
        elif name == "commands":
            yield name, partial(measure_processes, name, 1, 1, commands)
        elif name in FIRST_CALLS:
            workload, sizes = FIRST_CALLS[name]
            for size in sizes[-1:] if quick else sizes:
                start = partial(first_calls, workload, size)
                yield f"{name} {size:,}", partial(measure_processes, name, size, processes, start)
        else:
            row = WORKLOADS[name]
            for size in row.quick_sizes if quick else row.sizes:
                job = partial(measure, name, size, seconds=seconds, least=least)
                yield f"{name} {size:,}", job


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """Tell what comes next: a bar if rich is installed, else lines."""
    try:
        from rich.progress import Progress
    except ImportError:
        yield lambda name: print(name, flush=True)
        return
    with Progress() as bar:
        task = bar.add_task("", total=total)
        started = False

        def announce(name: str) -> None:
            nonlocal started
            bar.update(task, advance=int(started), description=f"{name:<24}")
            started = True

        yield announce
        bar.update(task, advance=1, description=f"{'done':<24}")


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    everything = [*WORKLOADS, "import", *FIRST_CALLS, "commands"]
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__.split("\n")[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(everything))
    parser.add_argument("--quick", action="store_true", help="few sizes and rounds: three minutes")
    parser.add_argument("--out", type=Path, help="default: bench/results/DATE.json")
    options = parser.parse_args(arguments)
    chosen = options.workloads or everything
    if unknown := set(chosen) - set(everything):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")

    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    out = options.out or Path(__file__).parent / "results" / f"{date}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    left_out = {name: what for name in chosen if name in WORKLOADS and (what := lacking(name))}
    for name, what in left_out.items():
        print(f"{name} is left out: this fastiou has no {', '.join(what)}")
    chosen = [name for name in chosen if name not in left_out]
    todo = dict(jobs(chosen, quick=options.quick))
    done: dict[str, tuple[float, list[Record]]] = {}
    taken: dict[str, float] = {}
    start = time.perf_counter()
    with _progress(len(todo)) as announce:
        for name, job in todo.items():
            announce(name)
            begun = time.perf_counter()
            done[name] = watched(job)
            taken[name] = time.perf_counter() - begun
    end = start + 60 * (QUICK_MINUTES if options.quick else MINUTES)
    for _ in range(REPEATS):
        again = [name for name in todo if done[name][0] > QUIET]
        if not again or time.perf_counter() + taken[again[0]] > end:
            break
        with _progress(len(again)) as announce:
            for name in again:
                announce(f"again: {name}")
                if time.perf_counter() + taken[name] < end:
                    done[name] = min(done[name], watched(todo[name]), key=lambda pair: pair[0])
    minutes = (time.perf_counter() - start) / 60
    facts = {"date": date, "quick": options.quick, "minutes": round(minutes, 1), **machine()}
    facts["not_in_fastiou"] = sorted({name for what in left_out.values() for name in what})
    results = [record for _, records in done.values() for record in records]
    out.write_text(json.dumps({"run": facts, "results": results}, indent=1) + "\n")
    disturbed = sum(others > QUIET for others, _ in done.values())
    print(
        f"{len(results)} results in {minutes:.1f} minutes: {out}; other processes disturbed "
        f"{disturbed} of {len(done)} comparisons"
    )


if __name__ == "__main__":
    main()
