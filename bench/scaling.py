"""How time and memory of the large relations grow, as JSON and plots.

    python -m bench.scaling [--quick] [--out bench/results/scaling-NAME.json]
    python -m bench.scaling --from bench/results/scaling-NAME.json    # draws again

Each case is a process of its own, which compiles and starts its threads on small sets first. Memory
is the most that is resident while one call runs, result included, beyond what was resident before
it, which is the inputs too.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.contenders import Array, Call

__all__ = ["RELATIONS", "SWEEPS", "Case", "Scene", "main", "measured", "scene"]

Record = dict[str, Any]

#: Longest and shortest side of a box.
SHORTEST, LONGEST = 1, 30

#: Sides of two boxes add up to this on average, so that in each direction they meet if their lower
#: corners are less than that apart: 31 · 31 · density is the mean number of overlaps.
MEAN_REACH = SHORTEST + LONGEST

#: What is not varied.
OVERLAPS, THRESHOLD, SIZE, QUICK_SIZE = 10.0, 0.3, 300_000, 10_000

#: Repeat a call up to so often while that takes no longer than this.
MOST_CALLS, REPEAT_SECONDS = 7, 2.0

#: Sets on which a process compiles and wakes its threads, those much larger than its own left out.
WARM_SIZES = (100, 2_000, 50_000)

#: Less memory than this is noise: pages of stacks and of what Python allocates.
LEAST_BYTES = 1 << 20


# ---- what is called ----------------------------------------------------------------------------


class Scene(NamedTuple):
    """Two sets of boxes, and scores for the first, all different."""

    boxes1: Array
    boxes2: Array
    scores: Array


def scene(size: int, overlaps: float) -> Scene:
    """Two sets of float32 boxes, of which each meets so many of the other on average."""
    rng = np.random.default_rng(size)
    span = max(1, round(MEAN_REACH * math.sqrt(size / overlaps)))

    def boxes() -> Array:
        corners = np.empty((size, 4), np.float32)
        corners[:, :2] = rng.integers(0, span, (size, 2), np.int32)
        corners[:, 2:] = rng.integers(SHORTEST, LONGEST + 1, (size, 2), np.int32)
        corners[:, 2:] += corners[:, :2]
        return corners

    return Scene(
        boxes(), boxes(), (rng.permutation(size) + 1).astype(np.float32) / np.float32(size)
    )


class Relation(NamedTuple):
    """A function of fastiou, and how it is called on a scene at a threshold."""

    function: str
    call: Callable[[Any, Scene, float], Any]
    colour: str


def _pairs(function: Any, given: Scene, threshold: float) -> Any:
    return function(given.boxes1, given.boxes2, threshold)


def _topk(function: Any, given: Scene, threshold: float) -> Any:
    return function(given.boxes1, given.boxes2, 5, threshold=threshold)


def _nms(function: Any, given: Scene, threshold: float) -> Any:
    return function(given.boxes1, given.scores, threshold)


def _match(method: str, function: Any, given: Scene, threshold: float) -> Any:
    return function(given.boxes1, given.boxes2, threshold, method=method)


RELATIONS = {
    "pairs": Relation("pairs", _pairs, "#d1351b"),
    "topk, k = 5": Relation("topk", _topk, "#1f77b4"),
    "nms": Relation("nms", _nms, "#2a9d5c"),
    "match, greedy": Relation("match", functools.partial(_match, "greedy"), "#8c6bb1"),
    "match, optimal": Relation("match", functools.partial(_match, "optimal"), "#b8860b"),
}


# ---- one case, in a process of its own ---------------------------------------------------------


class Case(NamedTuple):
    """What a process measures."""

    relation: str
    size: int
    overlaps: float = OVERLAPS
    threshold: float = THRESHOLD


def _status(field: str) -> int | None:
    """Bytes that Linux tells about this process."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return 1024 * int(line.split()[1])
    return None


def _peak_above(call: Call) -> tuple[float, int, Any]:
    """Seconds of a call, the bytes that it needed at once, and its result.

    Linux can forget an earlier peak, which making the scene or compiling may have left; elsewhere a
    call that needs less than they did seems to need nothing.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    if before is None:
        before = _most_resident()
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    peak = _status("VmHWM")
    return seconds, (_most_resident() if peak is None else peak) - before, result


def _most_resident() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(case: Case) -> Record:
    """Time and memory of a case, in this process."""
    import fastiou

    relation = RELATIONS[case.relation]
    function = getattr(fastiou, relation.function)
    for size in WARM_SIZES:
        if size <= 10 * case.size:
            relation.call(function, scene(size, case.overlaps), case.threshold)
    given = scene(case.size, case.overlaps)
    call = functools.partial(relation.call, function, given, case.threshold)
    first, peak, result = _peak_above(call)
    found = result.values if hasattr(result, "values") else result
    count = (
        int(np.count_nonzero(np.asarray(found) > 0)) if relation.function == "topk" else len(found)
    )
    del result, found
    samples: list[float] = []
    while len(samples) < MOST_CALLS and first + sum(samples) < REPEAT_SECONDS:
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return {
        **case._asdict(),
        "seconds": statistics.median(samples or [first]),
        "calls": len(samples) or 1,
        "found": count,
        "peak_bytes": peak,
        "input_bytes": sum(part.nbytes for part in given),
    }


def _in_a_process(case: Case, limit: float) -> Record | None:
    """None if it takes longer than the limit."""
    command = [sys.executable, "-m", "bench.scaling", "--child", json.dumps(case)]
    try:
        finished = subprocess.run(
            command,
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return None
    if finished.returncode:
        raise RuntimeError(f"{case} failed: {finished.stderr}")
    record: Record = json.loads(finished.stdout)
    return record


# ---- sweeps ------------------------------------------------------------------------------------


class Sweep(NamedTuple):
    """One of size, overlaps and threshold, which is varied."""

    #: The field of `Case`.
    field: str
    #: What the horizontal axis says.
    across: str
    title: str
    values: tuple[float, ...]
    quick_values: tuple[float, ...]


SWEEPS = (
    Sweep(
        "size",
        "boxes per side",
        "number of boxes",
        (10_000, 100_000, 1_000_000, 10_000_000),
        (1_000, 10_000, 100_000),
    ),
    Sweep(
        "overlaps",
        "boxes that each box overlaps, on average",
        "how crowded it is",
        (1.0, 3.0, 10.0, 30.0, 100.0),
        (1.0, 10.0, 100.0),
    ),
    Sweep(
        "threshold",
        "threshold",
        "threshold",
        (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9),
        (0.1, 0.3, 0.9),
    ),
)


def cases(relations: Iterable[str], *, quick: bool) -> Iterator[tuple[Sweep, Case]]:
    """Those of each sweep, smaller ones first, so that what takes too long ends a sweep."""
    size = QUICK_SIZE if quick else SIZE
    for sweep in SWEEPS:
        for relation in relations:
            for value in sweep.quick_values if quick else sweep.values:
                varied: dict[str, Any] = {sweep.field: value}
                yield sweep, Case(relation, size)._replace(**varied)


def _measure_all(wanted: Iterable[tuple[Sweep, Case]], limit: float) -> Iterator[Record]:
    too_slow: set[tuple[str, str]] = set()
    for sweep, case in wanted:
        told = f"{case.relation}, {sweep.field} {getattr(case, sweep.field):,g}"
        if (sweep.field, case.relation) in too_slow:
            continue
        record = _in_a_process(case, limit)
        if record is None:
            # A lower threshold and less crowding say nothing about what follows in their sweeps.
            if sweep.field == "size":
                too_slow.add((sweep.field, case.relation))
            print(f"{told}: more than {limit:g} s", flush=True)
            continue
        print(
            f"{told}: {record['seconds']:.3g} s, {record['peak_bytes'] / 2**20:.0f} MiB, "
            f"{record['found']:,} found",
            flush=True,
        )
        yield {"sweep": sweep.field, **record}


def growth(results: list[Record], relation: str) -> float:
    """The exponent of time between the smallest and the largest size; NaN of one size."""
    points = sorted(
        (record["size"], record["seconds"])
        for record in results
        if record["sweep"] == "size" and record["relation"] == relation
    )
    if len(points) < 2:
        return math.nan
    (small, fast), (large, slow) = points[0], points[-1]
    return math.log(slow / fast) / math.log(large / small)


# ---- plots -------------------------------------------------------------------------------------


def _draw(run: Record, results: list[Record], sweep: Sweep, what: str, path: Path) -> bool:
    """Time or memory over what is varied; False if there is nothing to draw."""
    from bench import report

    lines = []
    ticks: set[float] = set()
    for relation, row in RELATIONS.items():
        points = sorted(
            (record[sweep.field], record[what])
            for record in results
            if record["sweep"] == sweep.field and record["relation"] == relation
        )
        if what == "peak_bytes":
            points = [point for point in points if point[1] >= LEAST_BYTES]
        if points:
            lines.append(report.Line(relation, row.colour, points, relation == "pairs"))
            ticks.update(place for place, _ in points)
    if len(ticks) < 2:
        return False
    fixed = {
        "size": f"{run['size']:,} boxes per side",
        "overlaps": f"{OVERLAPS:g} overlaps a box",
        "threshold": f"threshold {THRESHOLD:g}",
    }
    others = ", ".join(text for field, text in fixed.items() if field != sweep.field)
    subject, up = ("Time", "time per call"), ("Memory", "peak above the inputs, result included")
    title, axis = subject if what == "seconds" else up
    words = report.Axes(
        f"{title} by {sweep.title}",
        f"{run['cpu']}, {run['threads']} threads; lower is better; {others}",
        sweep.across,
        axis,
        report.seconds_text if what == "seconds" else lambda height: f"{report.amount(height)}B",
        {place: f"{place:,g}" if place < 1e6 else f"{place:,.0f}" for place in sorted(ticks)},
    )
    report.draw(lines, words, path)
    return True


def _draw_all(loaded: Record, folder: Path) -> list[Path]:
    """Time of each sweep, and memory of each."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for sweep in SWEEPS:
        for what, name in (("seconds", "time"), ("peak_bytes", "memory")):
            path = folder / f"{name}-by-{sweep.field}.png"
            if _draw(loaded["run"], loaded["results"], sweep, what, path):
                drawn.append(path)
    return drawn


# ---- the command -------------------------------------------------------------------------------


def _measure(options: argparse.Namespace) -> Record:
    import fastiou
    from bench.run import machine

    present = [name for name, row in RELATIONS.items() if hasattr(fastiou, row.function)]
    for name in RELATIONS.keys() - present:
        print(f"{name} is left out: this fastiou has no {RELATIONS[name].function}")
    start = time.perf_counter()
    results = list(_measure_all(cases(present, quick=options.quick), options.limit))
    facts = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "quick": options.quick,
        "size": QUICK_SIZE if options.quick else SIZE,
        "minutes": round((time.perf_counter() - start) / 60, 1),
        **machine(),
    }
    for name in present:
        if not math.isnan(growth(results, name)):
            print(f"{name}: time grows with the number of boxes to the {growth(results, name):.2f}")
    return {"run": facts, "results": results}


def main(arguments: list[str] | None = None) -> None:
    """Measure, write and draw."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="few and small sets: two minutes")
    parser.add_argument("--out", type=Path, help="default: bench/results/scaling-DATE.json")
    parser.add_argument("--from", type=Path, dest="source", help="draw these, measure nothing")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs")
    parser.add_argument(
        "--limit", type=float, default=120.0, help="seconds of a case, which is then left out"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(measured(Case(*json.loads(options.child)))))
        return
    if options.source:
        loaded = json.loads(options.source.read_text())
    else:
        loaded = _measure(options)
        name = f"scaling-{loaded['run']['date']}.json"
        out = options.out or Path(__file__).parent / "results" / name
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(loaded, indent=1) + "\n")
        print(f"{len(loaded['results'])} results in {loaded['run']['minutes']} minutes: {out}")
    drawn = _draw_all(loaded, options.docs / "cost")
    print(f"{options.docs / 'cost'}, {len(drawn)} plots")


if __name__ == "__main__":
    main()
