"""Turn results into docs/benchmarks.md and its plots.

python -m bench.report bench/results/NAME.json [--docs docs]

The newest `gpu-*.json` beside it makes the section on GPUs.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.gpu_timing import WORKLOADS as GPU_WORKLOADS
from bench.peers import WORKLOADS
from bench.run import QUIET
from bench.startup import COLD, FIRST_CALLS, FROM_CACHE

__all__ = ["Axes", "Line", "amount", "draw", "duration", "main", "seconds_text"]

Record = dict[str, Any]
#: The records of one workload by size, and then by library.
Table = dict[int, dict[str, Record]]

TITLES = (
    {name: workload.title for name, workload in WORKLOADS.items()}
    | {
        "import": "Import",
        "commands": "First run of the command, all kernels compiled",
    }
    | {
        name: f"First result of a new process, import included: {WORKLOADS[workload].title}"
        for name, (workload, _) in FIRST_CALLS.items()
    }
)
SIZE_UNITS = (
    {name: workload.size_unit for name, workload in WORKLOADS.items()}
    | {
        "import": "",
        "commands": "",
    }
    | {name: WORKLOADS[workload].size_unit for name, (workload, _) in FIRST_CALLS.items()}
)

COLOURS = {
    "fastiou": "#d1351b",
    "powerboxes": "#1f77b4",
    "powerboxes serial": "#74add8",
    "fastbbox": "#2a9d5c",
    "cython_bbox": "#8c6bb1",
    "pycocotools": "#b8860b",
    "torch formula": "#e377c2",
    "NumPy formula": "#7f7f7f",
    "shapely STRtree": "#17a2a2",
    "ncls": "#8c6bb1",
    "hotcoco": "#1f77b4",
    "faster-coco-eval": "#2a9d5c",
    "simsimd": "#8c6bb1",
    "torch matmul": "#e377c2",
    "np.unique": "#7f7f7f",
    "np.unique int32": "#b0a8b9",
    "np.bincount": "#1f77b4",
    "scipy COO": "#2a9d5c",
    "fastiou, packed": "#e8795f",
    "fastiou, float32": "#e8795f",
    "fastiou, 1 thread": "#e8795f",
    "fastiou, 2 threads": "#e8795f",
    "shapely, tree ready": "#7cc7c7",
    "powerboxes R-tree": "#0b3c5d",
    "lsnms": "#2a9d5c",
    "geoindex-rs": "#2a9d5c",
    "supervision": "#8c6bb1",
    "supervision, dense": "#8c6bb1",
    "supervision, compact": "#c2a9dc",
    "scipy, dense": "#7f7f7f",
    "scipy, sparse": "#17a2a2",
    "lapx": "#b8860b",
    "trackers": "#5f9ea0",
    "stardist's formula": "#9a6324",
    "panopticapi's formula": "#9a6324",
}
BOUND_COLOUR = "#5b6470"


# ---- what the records say ----------------------------------------------------------------------


def tables(records: list[Record]) -> dict[str, Table]:
    """Records by workload, size and library."""
    found: dict[str, Table] = {}
    for record in records:
        sizes = found.setdefault(record["workload"], {})
        sizes.setdefault(record["size"], {})[record["library"]] = record
    return found


def _fastest(row: dict[str, Record], kind: str) -> Record | None:
    of_kind = [record for record in row.values() if record["kind"] == kind]
    return min(of_kind, key=lambda record: record["seconds"], default=None)


def _over_streaming_fill(row: dict[str, Record]) -> float:
    return 1 / float(row["streaming fill"]["over_fastiou"])


def _over_read(row: dict[str, Record]) -> float:
    return 1 / float(row["read"]["over_fastiou"])


def _of_read_rate(row: dict[str, Record]) -> float:
    return float(row["read"]["over_fastiou"])


def _seconds_of_fastiou(row: dict[str, Record]) -> float:
    return float(row["fastiou"]["seconds"])


def _fastest_peer_over_fastiou(row: dict[str, Record]) -> float:
    return _fastest_over_fastiou(row, [name for name in row if row[name]["kind"] == "peer"])


def _fastest_over_fastiou(row: dict[str, Record], names: Iterable[str]) -> float:
    """NaN where none of them took part."""
    ratios = [float(row[name]["over_fastiou"]) for name in names if name in row]
    return min(ratios, default=math.nan)


def _is_disturbed(row: dict[str, Record]) -> bool:
    return any(record["cores_used_by_others"] > QUIET for record in row.values())


class Promise(NamedTuple):
    """A row of the speed contract; `measure` gives NaN where a library is missing."""

    what: str
    workload: str
    size: int
    measure: Callable[[dict[str, Record]], float]
    limit: float
    at_most: bool
    unit: str
    #: With it, what is promised is the exponent by which `measure` grows from this size on.
    since: int | None = None

    def is_measured(self, table: Table) -> bool:
        """Whether a run has the sizes that it takes."""
        return {self.size, self.size if self.since is None else self.since} <= set(table)

    def of(self, table: Table) -> str:
        """The row with what was measured in one workload."""
        if self.since is None:
            return self.line(table[self.size])
        growth = math.log(self.measure(table[self.size]) / self.measure(table[self.since]))
        exponent = growth / math.log(self.size / self.since)
        both = {
            f"{name}, {size}": record
            for size in (self.since, self.size)
            for name, record in table[size].items()
        }
        return self._replace(measure=lambda _: exponent).line(both)

    def line(self, row: dict[str, Record]) -> str:
        """The row with what was measured at its size."""
        value = self.measure(row)
        if math.isnan(value):
            return f"| {self.what} | {self._sign} {self.limit:g} {self.unit} | | not measured |"
        kept = value <= self.limit if self.at_most else value >= self.limit
        what = f"{self.what} †" if _is_disturbed(row) else self.what
        return (
            f"| {what} | {self._sign} {self.limit:g} {self.unit} | {value:.3g} {self.unit} | "
            f"{'yes' if kept else '**no**'} |"
        )

    @property
    def _sign(self) -> str:
        return "≤" if self.at_most else "≥"


#: Those that score, read and write COCO's run lengths.
RUN_LENGTHS = ("pycocotools", "hotcoco", "faster-coco-eval")


def _faster_than(
    what: str, workload: str, size: int, limit: float, names: tuple[str, ...], who: str
) -> Promise:
    return Promise(
        what, workload, size, partial(_fastest_over_fastiou, names=names), limit, False,
        f"× faster than {who}",
    )  # fmt: skip


PROMISES = [
    Promise(
        "10,000 × 10,000 float32 into `out=`", "dense-out", 10_000, _over_streaming_fill, 1.1, True,
        "× streaming fill",
    ),
    *(
        Promise(
            f"{size:,} × {size:,} float32, fresh", "dense", size, _fastest_peer_over_fastiou, limit,
            False, "× faster than the fastest peer",
        )
        for size, limit in ((3_000, 5), (1_000, 5), (100, 1))
    ),
    Promise(
        "10 × 10 float32", "dense", 10, lambda row: 1e6 * row["fastiou"]["seconds"], 5, True,
        "µs a call",
    ),
    _faster_than(
        "pairs of 1,000,000 and 1,000,000 boxes", "pairs-large", 1_000_000, 40,
        ("shapely STRtree",), "STRtree and vectorised IoU",
    ),
    _faster_than(
        "the same", "pairs-large", 1_000_000, 10, ("geoindex-rs",),
        "packed R-trees in Rust and vectorised IoU",
    ),
    Promise(
        "the same, growth from 10,000 on", "pairs-large", 1_000_000, _seconds_of_fastiou, 1.1,
        True, "as the power of n", 10_000,
    ),
    Promise(
        "NMS of 100,000 boxes", "nms", 100_000, _fastest_peer_over_fastiou, 10, False,
        "× faster than the fastest peer",
    ),
    Promise(
        "NMS of a pile of 30,000 boxes", "nms-pile", 30_000, _seconds_of_fastiou, 2, True, "s",
    ),
    _faster_than(
        "NMS of 1,000 masks, packing included", "mask-nms", 1_000, 20, ("supervision, dense",),
        "supervision",
    ),
    Promise(
        "rotated boxes, 2,000 × 2,000 that all overlap", "rotated-dense", 2_000,
        _fastest_peer_over_fastiou, 20, False, "× faster than the fastest peer",
    ),
    _faster_than(
        "100,000 aligned quadrilaterals", "quad-aligned", 100_000, 200, ("shapely STRtree",),
        "shapely",
    ),
    _faster_than(
        "mask IoU of 400 × 400 discs, packed", "mask-blobs", 400, 40, RUN_LENGTHS,
        "the fastest RLE library",
    ),
    _faster_than(
        "mask IoU of 300 × 300 full frames of noise", "mask-noise", 300, 10, ("torch matmul",),
        "float32 matmul",
    ),
    _faster_than(
        "the same noise", "mask-noise", 300, 3, ("simsimd",), "simsimd on all threads"
    ),
    _faster_than(
        "packing 400 dense masks", "mask-pack", 400, 5, RUN_LENGTHS, "the fastest RLE encoder"
    ),
    Promise(
        "packing the same", "mask-pack", 400, _of_read_rate, 0.5, False,
        "× the rate of a parallel read",
    ),
    _faster_than(
        "run lengths of 400 discs to `Masks`", "rle-in", 400, 5, ("pycocotools",),
        "pycocotools' `decode`",
    ),
    _faster_than(
        "label overlap, 4,096 × 4,096 pixels, 4,096 labels", "label-overlap", 4_096, 20,
        ("np.unique",), "np.unique of an int64 key",
    ),
    Promise(
        "soft IoU of 2 × 256 MiB", "soft-iou", 67_108_864, _over_read, 1.3, True,
        "× a parallel read",
    ),
    Promise(
        "`import fastiou` after NumPy", "import", 1,
        lambda row: 1e3 * row["fastiou after numpy"]["seconds"], 30, True, "ms",
    ),
    Promise(
        "first 1,000 × 1,000, compiling", "first-call", 1_000, lambda row: row[COLD]["seconds"], 3,
        True, "s",
    ),
    Promise(
        "first 1,000 × 1,000, from the disk cache", "first-call", 1_000,
        lambda row: row[FROM_CACHE]["seconds"], 0.7, True, "s",
    ),
]  # fmt: skip


def _in_units(seconds: float) -> tuple[float, str]:
    units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
    fitting = ((seconds / unit, name) for unit, name in units if seconds >= 0.9995 * unit)
    return next(fitting, (seconds / 1e-9, "ns"))


def amount(value: float) -> str:
    """A number to three digits with a prefix: 12.3 G."""
    prefixes = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
    size, prefix = next((unit for unit in prefixes if value >= 0.9995 * unit[0]), (1.0, ""))
    return f"{value / size:.3g} {prefix}".rstrip()


def duration(seconds: float) -> str:
    """A time with a unit, to three digits."""
    value, unit = _in_units(seconds)
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{digits}f} {unit}"


# ---- the page ----------------------------------------------------------------------------------


def _libraries(table: Table) -> list[str]:
    """Bounds, then fastiou, then the others, fastest first where most is asked."""
    rank = {"bound": 0, "fastiou": 1}
    last = {name: record for row in table.values() for name, record in row.items()}
    return sorted(last, key=lambda name: (rank.get(last[name]["kind"], 2), last[name]["seconds"]))


def _cell(name: str, record: Record) -> str:
    """The median; of single calls the 90th percentile, too."""
    median = duration(record["seconds"])
    if _is_paced(name):
        return f"{median} ({duration(record['ninetieth'])})"
    return median


def _is_paced(name: str) -> bool:
    return name in WORKLOADS and WORKLOADS[name].pace.pause > 0


def _table_lines(name: str, table: Table, threads: int) -> Iterator[str]:
    sizes = sorted(table)
    unit = SIZE_UNITS[name]
    heads = [f"{size:,}" if unit else "time" for size in sizes]
    heads = [
        f"{head} †" if _is_disturbed(table[size]) else head
        for head, size in zip(heads, sizes, strict=True)
    ]
    yield f"| {unit} | threads | " + " | ".join(heads) + " |"
    yield "|---|--:|" + "--:|" * len(sizes)
    for library in _libraries(table):
        records = [table[size].get(library) for size in sizes]
        cells = [_cell(name, record) if record else "" for record in records]
        first = next(record for record in records if record)
        if first["kind"] == "fastiou":
            cells = [f"**{cell}**" for cell in cells]
        label = f"*{library}*" if first["kind"] == "bound" else library
        used = "" if first["kind"] == "process" else str(threads if first["threaded"] else 1)
        used = "2" if library == "fastiou, 2 threads" else used
        yield f"| {label} | {used} | " + " | ".join(cells) + " |"
    bounds = [_fastest(table[size], "bound") for size in sizes]
    if any(bounds):
        ratios = [f"{1 / bound['over_fastiou']:.3g}" if bound else "" for bound in bounds]
        yield "| fastiou / fastest bound | | " + " | ".join(ratios) + " |"
        peers = [_fastest(table[size], "peer") for size in sizes]
        ratios = [f"{peer['over_fastiou']:.3g}" if peer else "" for peer in peers]
        yield "| fastest peer / fastiou | | " + " | ".join(ratios) + " |"
    rate = WORKLOADS[name].rate if name in WORKLOADS else None
    if rate is not None:
        what, how_many = rate
        rates = [amount(how_many(size) / table[size]["fastiou"]["seconds"]) for size in sizes]
        yield f"| fastiou, {what} per second | | " + " | ".join(rates) + " |"


class Standing(NamedTuple):
    """How fastiou stands beside the fastest peer, at one size of a workload."""

    name: str
    size: int
    row: dict[str, Record]

    @property
    def peer(self) -> Record:
        """The fastest."""
        peer = _fastest(self.row, "peer")
        assert peer is not None
        return peer

    @property
    def ratio(self) -> float:
        """Time of the peer over that of fastiou."""
        return float(self.peer["over_fastiou"])

    def on_one_thread(self, threads: int) -> float:
        """The same with one thread each, or with all threads each if the peer has threads, too.

        Where one thread of fastiou was not timed, it is taken to need what all need together.
        """
        if self.peer["threaded"]:
            return self.ratio
        timed = self.row.get("fastiou, 1 thread")
        if timed:
            return self.ratio / float(timed["over_fastiou"])
        return self.ratio / threads

    def line(self, also: Iterable[int] = ()) -> str:
        """The row of a table; `also` are other sizes that it stands for."""
        others = "; ".join(f"{size:,}" for size in also)
        size = f"{self.size:,} (and {others})" if others else f"{self.size:,}"
        return (
            f"| {TITLES[self.name]} | {size} {SIZE_UNITS[self.name]} | "
            f"{duration(self.row['fastiou']['seconds'])} | "
            f"{self.peer['library']} | {duration(self.peer['seconds'])} | {self.ratio:.3g} × |"
        )


#: Rows of the table of what fastiou is ahead in. All that it is behind in is told.
MOST_AHEAD = 12


def opening_lines(found: dict[str, Table], threads: int) -> Iterator[str]:
    """Where fastiou is ahead of the fastest peer, and where it is behind."""
    standings = [
        [Standing(name, size, row) for size, row in sorted(table.items()) if _fastest(row, "peer")]
        for name, table in found.items()
        if name in WORKLOADS
    ]
    largest = [of_one[-1] for of_one in standings if of_one]
    ahead = sorted((one for one in largest if one.ratio >= 1), key=lambda one: -one.ratio)
    heads = (
        "| workload | size | fastiou | fastest other | its time | times as fast |",
        "|---|---|--:|---|--:|--:|",
    )
    if ahead:
        some = f": {MOST_AHEAD} of {len(ahead)}" if len(ahead) > MOST_AHEAD else ""
        yield from ("", "## Where it is ahead", "")
        yield (
            "Each workload at the largest size that another library was timed at, the largest "
            f"ratios first{some}. The last column has one thread on both sides, or all threads on "
            f"both where the other library has them, too. Where one thread of fastiou was not "
            f"timed, it is taken to need {threads} times as long as {threads}."
        )
        yield ""
        yield f"{heads[0]} thread against thread |"
        yield f"{heads[1]}--:|"
        yield from (
            f"{one.line()} {one.on_one_thread(threads):.3g} × |" for one in ahead[:MOST_AHEAD]
        )
    behind = [[one for one in of_one if one.ratio < 1] for of_one in standings]
    lines = []
    for of_one in filter(None, behind):
        worst = min(of_one, key=lambda one: one.ratio)
        lines.append(worst.line([one.size for one in of_one if one is not worst]))
    if lines:
        yield from ("", "## Where it is behind", "")
        yield (
            "All workloads in which another library was faster at some size, each at the size "
            "where it was so by most, with the other sizes in brackets."
        )
        yield from ("", *heads, *lines)
    yield from _first_call_lines(found)


def _first_call_lines(found: dict[str, Table]) -> Iterator[str]:
    """What the first call of a process takes, which is where compiling is paid."""
    for name in FIRST_CALLS:
        for size, row in sorted(found.get(name, {}).items()):
            if COLD not in row or FROM_CACHE not in row:
                continue
            kept, compiled = (duration(row[one]["seconds"]) for one in (FROM_CACHE, COLD))
            others = [record for library, record in row.items() if "fastiou" not in library]
            best = min(others, key=lambda record: record["seconds"], default=None)
            rest = f"; {duration(best['seconds'])} with {best['library']}" if best else ""
            yield ""
            yield (
                f"The first result of a new process, import included, of {size:,} "
                f"{SIZE_UNITS[name]}, takes {kept} with kernels from the disk, {compiled} where "
                f"they must be compiled{rest}."
            )


def page(run: Record, found: dict[str, Table], plots: list[str], gpu: Record | None = None) -> str:
    """The whole page; `gpu` is what `bench.gpu` found, if there is any."""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    lines = [
        "# Benchmarks",
        "",
        f"{run['date']}, {run['cpu']}, {run['cores']} cores, {run['system']}. "
        f"Numba on {run['threads']} threads (layer {run['threading_layer']}). "
        "[How it was measured](#how-it-was-measured) stands below.",
        *opening_lines(found, run["threads"]),
        "",
        "## How it was measured",
        "",
        "Made by `python -m bench.run` and `python -m bench.report`; "
        "[the README of the benchmarks](../bench/README.md) tells how.",
        "",
        f"{versions}.",
    ]
    if run["not_installed"]:
        lines += ["", f"Not installed and left out: {', '.join(run['not_installed'])}."]
    if run.get("not_in_fastiou"):
        lines += ["", f"Not in this fastiou and left out: {', '.join(run['not_in_fastiou'])}."]
    if any(_is_disturbed(row) for table in found.values() for row in table.values()):
        lines += [
            "",
            f"†: other processes used more than {QUIET:g} cores meanwhile. Threads then wait for "
            "each other, so that parallel calls can look far slower than they are.",
        ]
    if run.get("note"):
        lines += ["", f"{run['note']}."]
    if run["quick"]:
        lines += ["", "A quick run: few sizes, few rounds."]
    lines += [
        "",
        "Times are medians of calls that follow one another, so what fits the caches is there. "
        "Converting the input to what suits a library best is not counted. Libraries and bounds "
        "were timed in turn; ratios are medians of the ratios within a turn. In italics: what the "
        "machine needs to read the input, to write the result, or for both, whatever is computed. "
        "All libraries were checked to give the same result first. Of single calls, the 90th "
        "percentile stands in brackets.",
        "",
        "## Speed contract",
        "",
        "| workload | promised | measured | kept |",
        "|---|---|---|---|",
        *(
            promise.of(found[promise.workload])
            for promise in PROMISES
            if promise.is_measured(found.get(promise.workload, {}))
        ),
    ]
    for name, table in found.items():
        lines += ["", f"## {TITLES[name]}", ""]
        if name in plots:
            lines += [f"![{TITLES[name]}: time by size](benchmarks/{name}.png)", ""]
        lines += _table_lines(name, table, run["threads"])
        if name in WORKLOADS and WORKLOADS[name].note:
            lines += ["", WORKLOADS[name].note]
    return "\n".join([*lines, "", "## GPU", "", *gpu_lines(gpu)]) + "\n"


# ---- the section on GPUs -----------------------------------------------------------------------


def newest_gpu_results(folder: Path) -> Record | None:
    """What `bench.gpu` found on a GPU, the newest by date; None if there is none in the folder."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("gpu-*.json"))]
    real = [loaded for loaded in found if not loaded["run"]["simulated"]]
    return max(real, key=lambda loaded: str(loaded["run"]["date"]), default=None)


def gpu_lines(gpu: Record | None) -> Iterator[str]:
    """The section without its heading."""
    if gpu is None:
        yield (
            "No results of a GPU are committed yet: `python -m bench.gpu` makes them on a machine "
            "with an NVIDIA GPU, and `python -m bench.report` takes them in here."
        )
        return
    yield from _gpu_machine_lines(gpu["run"])
    yield from _gpu_check_lines(gpu)
    if gpu.get("targets"):
        yield from _gpu_target_lines(gpu["targets"])
    rows: dict[tuple[str, int], list[Record]] = {}
    for record in gpu.get("timings", []):
        rows.setdefault((record["workload"], record["size"]), []).append(record)
    for (name, size), records in rows.items():
        left_out = gpu.get("left_out", {}).get(f"{name}, {size}", {})
        yield from _gpu_table_lines(name, size, records, left_out)
    if gpu.get("crossover"):
        yield from _crossover_lines(gpu["crossover"])


def _gpu_machine_lines(run: Record) -> Iterator[str]:
    device = run["device"]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    capability = ".".join(map(str, device["compute_capability"]))
    yield (
        f"{run['date']}, {device['name']}, compute capability {capability}, driver "
        f"{device['driver'] or 'unknown'} (CUDA {device['cuda_driver']}), CUDA runtime "
        f"{device['cuda_runtime']}; {run['cpu']}, {run['cores']} cores. {versions}."
    )
    clocks = ", ".join(f"{name} {value}" for name, value in device["nvidia_smi"].items())
    if clocks:
        yield from ("", f"Clocks in MHz and power in W, as found: {clocks}.")
    if run["quick"]:
        yield from ("", "A quick run: few sizes, few rounds.")
    if "minutes" not in run:
        yield from ("", "The run was interrupted, so some of it is missing.")


def _gpu_check_lines(gpu: Record) -> Iterator[str]:
    yield from ("", "| check | calls | numbers | wrong numbers | failed calls |")
    yield "|---|--:|--:|--:|--:|"
    for key, words in (("poisoned", "into garbage"), ("compared", "against the CPU, by bits")):
        for row in gpu.get(key, []):
            counts = (f"{row[name]:,}" for name in ("calls", "numbers", "wrong", "failed"))
            seed = row.get("stopped_at")
            until = "" if seed is None else f", until the time was up at seed {seed}"
            yield f"| `{row['part']}`, {words}{until} | " + " | ".join(counts) + " |"
    for tool, state in gpu.get("sanitizer", {}).items():
        yield f"| compute-sanitizer, {tool}: {state['state']} | | | | |"
    if gpu.get("failures"):
        yield from ("", f"**{len(gpu['failures'])} failures**, of which the first:", "")
        yield from (f"- {failure}" for failure in gpu["failures"][:10])


def _gpu_target_lines(targets: list[Record]) -> Iterator[str]:
    yield from ("", "| workload | aim | measured | reached |", "|---|---|---|---|")
    for target in targets:
        aim = f"≥ {target['limit']:g} {target['unit']}" if target["limit"] else ""
        value = target["measured"]
        if value is None:
            yield f"| {target['what']} | {aim or target['unit']} | not measured | |"
            continue
        reached = "" if not aim else "yes" if value >= target["limit"] else "**no**"
        yield f"| {target['what']} | {aim} | {value:.3g} {target['unit']} | {reached} |"


def _gpu_table_lines(
    name: str, size: int, records: list[Record], left_out: dict[str, str]
) -> Iterator[str]:
    workload = GPU_WORKLOADS[name]
    yield from ("", f"### {workload.title}: {size:,} {workload.size_unit}", "")
    what, how_many = workload.rate or ("", None)
    yield f"| | median | quartiles | {f'{what} per second' if what else ''} |"
    yield "|---|--:|--:|--:|"
    for record in sorted(records, key=lambda record: float(record["seconds"])):
        label = record["contender"]
        label = f"*{label}*" if record["kind"] == "bound" else label
        median = duration(record["seconds"])
        if record["kind"] in ("kernel", "call"):
            median = f"**{median}**"
        low, high = map(duration, record["quartiles"])
        rate = f"{amount(how_many(size) / record['seconds'])}" if how_many else ""
        yield f"| {label} | {median} | {low} to {high} | {rate} |"
    if left_out:
        reasons = "; ".join(f"{contender} ({why})" for contender, why in left_out.items())
        yield from ("", f"Left out: {reasons}.")


def _crossover_lines(crossover: Record) -> Iterator[str]:
    yield from ("", "### Arrays of the host on the CPU and through the GPU", "")
    yield "| boxes per side | CPU | GPU, transfers counted | CPU / GPU |"
    yield "|--:|--:|--:|--:|"
    for row in crossover["rows"]:
        times = f"{duration(row['cpu'])} | {duration(row['cuda'])}"
        yield f"| {row['size']:,} | {times} | {row['cpu_over_cuda']:.3g} |"
    start = crossover["gain_from"]
    yield ""
    if start is None:
        yield "At the largest size the CPU was no slower."
    else:
        yield f"Among these sizes, the GPU was faster from {start:,} boxes per side on."


# ---- plots -------------------------------------------------------------------------------------


def _spread(heights: list[float], apart: float) -> list[float]:
    """Move labels up or down as little as it takes to keep them apart; ascending heights."""
    groups: list[list[float]] = []  # wanted heights of labels that touch
    for height in heights:
        groups.append([height])
        while len(groups) > 1:
            (low, high) = groups[-2:]
            gap = (len(low) + len(high)) / 2 * apart
            if sum(high) / len(high) - sum(low) / len(low) >= gap:
                break
            groups[-2:] = [low + high]
    return [
        sum(group) / len(group) + (place - (len(group) - 1) / 2) * apart
        for group in groups
        for place in range(len(group))
    ]


class Line(NamedTuple):
    """A line of a plot, and how it is drawn."""

    label: str
    colour: str
    points: list[tuple[float, float]]
    bold: bool = False


class Axes(NamedTuple):
    """What is written around a plot, both of whose axes are logarithmic."""

    title: str
    note: str
    across: str
    up: str
    #: What is written at a height.
    height: Callable[[float], str]
    #: Where the horizontal axis has ticks, and what is written there.
    ticks: dict[float, str]


def seconds_text(seconds: float) -> str:
    return "{:g} {}".format(*_in_units(seconds))


def draw(lines: list[Line], words: Axes, path: Path, bound: list[float] | None = None) -> None:
    """Lines with their names at their ends; `bound` has a height for each tick."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    sizes = sorted(words.ticks)
    heights = [height for line in lines for _, height in line.points]
    figure, axes = pyplot.subplots(figsize=(8.4, 5.0), dpi=160)
    top = max(heights) * 2
    bottom = min(bound or heights) / 2.5
    axes.set(xscale="log", yscale="log", ylim=(bottom, top))
    ends = []
    if bound:
        axes.fill_between(sizes, bound, bottom, color=BOUND_COLOUR, alpha=0.13, linewidth=0)
        axes.plot(sizes, bound, color=BOUND_COLOUR, linewidth=1.4, linestyle=(0, (4, 2)))
        ends.append((bound[-1], "the machine's bound", BOUND_COLOUR, False))
    for line in lines:
        axes.plot(
            *zip(*line.points, strict=True),
            color=line.colour,
            linewidth=2.8 if line.bold else 1.5,
            marker="o",
            markersize=5.5 if line.bold else 3.5,
            zorder=5 if line.bold else 3,
            clip_on=False,
        )
        size, height = line.points[-1]
        if size == sizes[-1]:
            ends.append((height, line.label, line.colour, line.bold))
        else:
            axes.annotate(
                line.label, (size, height), (-7, 4), textcoords="offset points",
                color=line.colour, fontsize=10, ha="right",
            )  # fmt: skip
    ends.sort()
    wanted = [math.log10(end) for end, *_ in ends]
    apart = (math.log10(top) - math.log10(bottom)) / 19
    for height, (_, label, colour, bold) in zip(_spread(wanted, apart), ends, strict=True):
        axes.annotate(
            label,
            (sizes[-1], 10**height),
            (11, 0),
            textcoords="offset points",
            color=colour,
            fontsize=10,
            fontweight="bold" if bold else "normal",
            va="center",
            annotation_clip=False,
        )
    axes.set_xlim(sizes[0], sizes[-1] * 1.02)
    axes.set_xticks(sizes, [words.ticks[size] for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(LogLocator(subs=()))
    axes.yaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda height, _: words.height(height)))
    axes.grid(which="major", color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, pad=7, labelcolor="#333")
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel(words.across, color="#333")
    axes.set_ylabel(words.up, color="#333")
    axes.set_title(words.title, loc="left", fontsize=12, pad=22)
    axes.text(0, 1.025, words.note, transform=axes.transAxes, fontsize=8.5, color="#667")
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)


def plot(name: str, table: Table, run: Record, path: Path) -> None:
    """Time by size, both logarithmic: fastiou, its peers, and the bound."""
    sizes = sorted(table)
    points: dict[str, list[tuple[float, float]]] = {}
    for size in sizes:
        for library, record in table[size].items():
            if record["kind"] != "bound":
                points.setdefault(library, []).append((size, record["seconds"]))
    lines = [
        Line(library, COLOURS[library], line, library == "fastiou")
        for library, line in points.items()
    ]
    words = Axes(
        TITLES[name].replace("`", ""),
        f"{run['cpu']}, {run['threads']} threads; lower is better; shaded: what reading and "
        "writing alone take",
        SIZE_UNITS[name],
        "time per call",
        seconds_text,
        {size: f"{size:,}" for size in sizes},
    )
    bounds = [bound["seconds"] for size in sizes if (bound := _fastest(table[size], "bound"))]
    draw(lines, words, path, bounds)


def drawn(found: dict[str, Table]) -> list[str]:
    """Workloads that have a plot: one size is no line."""
    return [
        name
        for name, table in found.items()
        if name in WORKLOADS and len(table) > 1 and not _is_paced(name)
    ]


# ---- the command -------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Write the page and the plots."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.report", description=__doc__.split("\n")[0]
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs")
    options = parser.parse_args(arguments)
    loaded = json.loads(options.results.read_text())
    run, found = loaded["run"], tables(loaded["results"])
    folder = options.docs / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    plots = drawn(found)
    for name in plots:
        plot(name, found[name], run, folder / f"{name}.png")
    gpu = newest_gpu_results(options.results.parent)
    (options.docs / "benchmarks.md").write_text(page(run, found, plots, gpu))
    print(f"{options.docs / 'benchmarks.md'}, {len(plots)} plots")


if __name__ == "__main__":
    main()
