"""Check and time fastiou on an NVIDIA GPU, and write what was found as JSON.

    python -m bench.gpu [--quick] [--out bench/results/NAME.json] [PART ...]

In this order: versions and device; results whose memory was full of garbage; results against the
CPU's, bit by bit; the same under compute-sanitizer; times. The file is written after each, so that
an interrupted run keeps what it has. PARTs are functions, all if none is named.

Exit code 0: all is well. 1: something is wrong, and the last lines say what. 2: no GPU can be used.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import gpu_checks, gpu_timing
from bench.gpu_checks import PARTS

__all__ = ["TARGETS", "Target", "main", "targets"]

Record = dict[str, Any]

#: What versions are told of, by the names of their distributions.
DISTRIBUTIONS = (
    "numba", "numba-cuda", "llvmlite", "numpy", "cuda-bindings", "cuda-core", "nvidia-cuda-nvcc",
    "nvidia-nvjitlink", "torch", "torchvision", "cupy-cuda13x", "jax",
)  # fmt: skip

#: Clocks in MHz, power in W. They are only read.
CLOCKS = ("clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem", "power.limit")

#: Population counts per clock of one multiprocessor, and bits that each counts.
COUNTS_PER_CLOCK, COUNTED_BITS = 16, 32

#: compute-sanitizer's tools, and the exit code by which they tell of errors.
TOOLS, SANITIZER_FAILED = ("memcheck", "racecheck"), 99

#: Minutes that a run takes at most, about, and which part of it is over when a step ends. What a
#: step has no time for is left out, and told: cases by their seed, rounds by their number, the rest
#: by name. Kernels are compiled meanwhile, 1 to 4 s each, for which the checks have most.
MINUTES = 7.5
ENDS = {"poisoned": 0.15, "compared": 0.5, "sanitizer": 0.6, "timings": 0.93, "crossover": 0.97}

#: Sides of dense results in the comparison of host arrays through either device.
CROSSOVER_SIZES, QUICK_CROSSOVER_SIZES = (100, 300, 1_000, 3_000, 10_000), (100, 1_000)


class Extent(NamedTuple):
    """How much is checked."""

    seeds: int
    #: How large sets are, about.
    most: int
    #: Of so many cases in a row one is tried.
    every: int = 1


FULL, QUICK = Extent(8, 700), Extent(1, 130)

#: In the simulator, where a block takes milliseconds.
TINY, QUICK_TINY = Extent(1, 7), Extent(1, 7, 3)


def _extent(*, quick: bool, simulated: bool) -> Extent:
    if simulated:
        return QUICK_TINY if quick else TINY
    return QUICK if quick else FULL


class Clock:
    """How much time the steps of a run have left."""

    def __init__(self, minutes: float) -> None:
        self.start = time.perf_counter()
        self._seconds = 60 * minutes

    def left(self, step: str) -> float:
        """Seconds until a step should end."""
        return self.start + ENDS[step] * self._seconds - time.perf_counter()

    def share(self, step: str, parts: int) -> gpu_checks.IsOver:
        """Whether the time is up for the next of so many parts of a step that are left."""
        end = time.perf_counter() + self.left(step) / parts
        return lambda: time.perf_counter() >= end


# ---- what was found, on disk after each step ---------------------------------------------------


class Findings:
    """All that was found so far, also in a file if one is named."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.all: Record = {}

    def set(self, key: str, value: Any) -> None:
        """Note a result, and write the file."""
        self.all[key] = value
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, also if it is interrupted here.
        part = self._path.with_name(self._path.name + ".part")
        part.write_text(json.dumps(self.all, indent=1) + "\n")
        part.replace(self._path)

    def add(self, key: str, values: list[Any]) -> None:
        """Note more results of a kind."""
        self.set(key, [*self.all.get(key, []), *values])

    def fail(self, failures: list[str]) -> None:
        """Note what is wrong."""
        for failure in failures:
            print(f"  wrong: {failure}", flush=True)
        if failures:
            self.add("failures", failures)


@contextlib.contextmanager
def _recorded(findings: Findings, what: str) -> Iterator[None]:
    """Note an error as a failure, and go on."""
    try:
        yield
    except Exception as error:
        findings.fail([f"{what}: {gpu_checks.reason(error)}"])


# ---- versions and device -----------------------------------------------------------------------


def _nvidia_smi(fields: tuple[str, ...], uuid: str) -> dict[str, str]:
    """What nvidia-smi says of the GPU; empty without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    command = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    finished = subprocess.run([*command, "-i", uuid], capture_output=True, text=True, check=False)
    values = finished.stdout.strip().splitlines()[:1]
    if finished.returncode or not values:
        return {}
    return dict(zip(fields, (value.strip() for value in values[0].split(",")), strict=False))


def _versions() -> dict[str, str]:
    import fastiou

    found = {"Python": platform.python_version(), "fastiou": fastiou.__version__}
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _device() -> Record:
    """The GPU and its driver. No name of the machine, no identity of the card."""
    from numba import cuda
    from numba.cuda.cudadrv import driver

    device = cuda.get_current_device()
    found = {
        "name": device.name.decode() if isinstance(device.name, bytes) else str(device.name),
        "compute_capability": list(device.compute_capability),
        "multiprocessors": int(device.MULTIPROCESSOR_COUNT),
        "memory_bytes": int(cuda.current_context().get_memory_info().total),
        "cuda_driver": ".".join(map(str, driver.driver.get_version())),
        "cuda_runtime": ".".join(map(str, cuda.runtime.get_version())),
        # kHz, of which the driver keeps the highest.
        "highest_clock_mhz": int(device.CLOCK_RATE) / 1e3,
    }
    smi = _nvidia_smi(("driver_version", *CLOCKS), str(device.uuid))
    found["driver"] = smi.pop("driver_version", "")
    found["nvidia_smi"] = smi
    return found


def _facts(*, quick: bool, simulated: bool) -> Record:
    from bench.run import _cpu_model

    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "quick": quick,
        "simulated": simulated,
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": _versions(),
        "device": {} if simulated else _device(),
    }


# ---- checks ------------------------------------------------------------------------------------


def _check(
    findings: Findings, parts: list[str], extent: Extent, kinds: list[Any], clock: Clock
) -> None:
    """Results over garbage, and results against the CPU's."""
    seeds = range(extent.seeds)
    with_out = [part for part in parts if part in ("box_iou", "mask_iou")]
    jobs: list[tuple[str, Callable[..., Record], list[str]]] = [
        ("poisoned", gpu_checks.poisoned, with_out),
        ("compared", gpu_checks.checked, parts),
    ]
    for key, check, chosen in jobs:
        findings.set(key, [])
        for number, part in enumerate(chosen):
            print(f"{key}: {part}, seeds 0 to {extent.seeds - 1}", flush=True)
            is_over = clock.share(key, len(chosen) - number)
            record = check(part, seeds, extent.most, kinds, extent.every, is_over)
            if record["stopped_at"] is not None:
                print(f"  the time was up at seed {record['stopped_at']}", flush=True)
            findings.add(key, [record])
            findings.fail(record["failures"])
            if (more := record["failed"] - len(record["failures"])) > 0:
                findings.fail([f"{key}: {part}, and {more} more calls"])
            if not record["launches"]:
                findings.fail([f"{key}: {part} launched no kernel"])


# ---- compute-sanitizer -------------------------------------------------------------------------


def _sanitizer() -> str | None:
    """Where the program is."""
    folders = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    folders = [str(Path(folder) / "bin") for folder in folders if folder] + ["/usr/local/cuda/bin"]
    name = "compute-sanitizer"
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


def _sanitize(parts: list[str], clock: Clock) -> Iterator[tuple[str, Record]]:
    """Small checks in a process of their own, under each tool."""
    program = _sanitizer()
    for number, tool in enumerate(TOOLS):
        if program is None:
            yield tool, {"state": "not found"}
            continue
        command = [
            program, "--tool", tool, "--error-exitcode", str(SANITIZER_FAILED), sys.executable,
            "-m", "bench.gpu", "--sanitize-target", *parts,
        ]  # fmt: skip
        seconds = max(0.0, clock.left("sanitizer") / (len(TOOLS) - number))
        try:
            finished = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=seconds,
                cwd=Path(__file__).parents[1],
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            yield tool, {"state": f"not done after {seconds:.0f} s"}
            continue
        output = finished.stdout + finished.stderr
        summaries = re.findall(r"=+ ((?:ERROR|RACECHECK) SUMMARY: .*)", output)
        yield (
            tool,
            {
                "state": "clean" if finished.returncode == 0 else "failed",
                "code": finished.returncode,
                "summary": summaries[-1] if summaries else "",
            },
        )


# ---- times -------------------------------------------------------------------------------------


def _clock_at_work() -> float | None:
    """MHz of the multiprocessors while they are at work, as nvidia-smi reads it."""
    from numba import cuda

    from bench.gpu_kernels import fill
    from fastiou.runtime.gpu import Work

    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    uuid = str(cuda.get_current_device().uuid)
    buffer, work = cuda.device_array(1 << 26, "float32"), Work(0)
    command = [program, "--query-gpu=clocks.sm", "--format=csv,noheader,nounits", "-i", uuid]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        while reader.poll() is None:
            for _ in range(20):
                fill(buffer, 0.5, 1)
            work.wait()
        text = reader.stdout.read().strip() if reader.stdout else ""
    return float(text) if text.isdigit() else None


def _rates(findings: Findings) -> None:
    """What the units allow: population counts, by their number and clock."""
    from numba import cuda

    print("rates: clock", flush=True)
    device = cuda.get_current_device()
    at_work = _clock_at_work()
    clock = 1e6 * at_work if at_work else 1e3 * int(device.CLOCK_RATE)
    per_clock = COUNTS_PER_CLOCK * COUNTED_BITS * int(device.MULTIPROCESSOR_COUNT)
    rates: Record = {
        "clock_hz": clock,
        "clock": "while at work" if at_work else "the highest",
        "popcount_bit_ands": per_clock * clock,
    }
    findings.set("rates", rates)


def _time(findings: Findings, parts: list[str], clock: Clock, *, quick: bool) -> None:
    rounds = gpu_timing.QUICK_ROUNDS if quick else gpu_timing.ROUNDS
    findings.set("timings", [])
    findings.set("left_out", {})
    asked = [
        (name, size)
        for name, workload in gpu_timing.WORKLOADS.items()
        if workload.part in parts
        for size in (workload.quick_sizes if quick else workload.sizes)
    ]
    for number, (name, size) in enumerate(asked):
        print(f"timing: {name} {size:,}", flush=True)
        label = f"{name}, {size}"
        left_out: dict[str, str] = {}
        is_over = clock.share("timings", len(asked) - number)
        if is_over():
            left_out = {"all": "no time was left"}
        else:
            gpu_timing.free_memory()
            with _recorded(findings, f"{name}, size {size:,}"):
                records, left_out, failures = gpu_timing.measured(name, size, rounds, is_over)
                findings.add("timings", records)
                findings.fail(failures)
        for contender, reason in left_out.items():
            print(f"  left out: {contender}: {reason}", flush=True)
        findings.set("left_out", {**findings.all["left_out"], label: left_out})
        findings.set("targets", targets(findings.all))


def _cross(findings: Findings, clock: Clock, *, quick: bool) -> None:
    print("crossover: host arrays through either device", flush=True)
    rounds = gpu_timing.QUICK_ROUNDS if quick else gpu_timing.ROUNDS
    rows: list[Record] = []
    for row in gpu_timing.crossover(QUICK_CROSSOVER_SIZES if quick else CROSSOVER_SIZES, rounds):
        rows.append(row)
        findings.set("crossover", {"rows": rows, "gain_from": gpu_timing.first_gain(rows)})
        if clock.left("crossover") < 0:  # the largest sizes, which come last, are the slowest
            break


# ---- targets -----------------------------------------------------------------------------------


class Target(NamedTuple):
    """What a kernel should reach, as a ratio of what was timed in the same rounds."""

    what: str
    workload: str
    size: int
    #: NaN where something is missing.
    measure: Callable[[dict[str, Record], Record], float]
    unit: str
    #: At least this; None where no number was set.
    limit: float | None = None


def _times(slower: str, faster: str) -> Callable[[dict[str, Record], Record], float]:
    """How many times as fast one contender is as another."""

    def measure(row: dict[str, Record], rates: Record) -> float:
        if slower not in row or faster not in row:
            return math.nan
        return gpu_timing.ratio(row[slower]["samples"], row[faster]["samples"])

    return measure


def _of_fill(row: dict[str, Record], rates: Record) -> float:
    """The rate of the kernel over that of the fastest fill."""
    fills = [name for name in row if name.startswith("fill, ")]
    ratios = [_times(name, "fastiou, kernel")(row, rates) for name in fills]
    return min(ratios, default=math.nan)


def _over_torchvision(ours: str) -> Callable[[dict[str, Record], Record], float]:
    """How many times as fast as torchvision, or as its formula where it is not there."""

    def measure(row: dict[str, Record], rates: Record) -> float:
        name = "torchvision" if "torchvision" in row else "torchvision's formula"
        return _times(name, ours)(row, rates)

    return measure


def _share(rate: str, contender: str) -> Callable[[dict[str, Record], Record], float]:
    """The rate of bit-ANDs over what the units allow."""

    def measure(row: dict[str, Record], rates: Record) -> float:
        record = row.get(contender)
        if record is None or rate not in rates:
            return math.nan
        workload = gpu_timing.WORKLOADS[record["workload"]]
        assert workload.rate is not None
        done: float = workload.rate[1](record["size"]) / record["seconds"]
        return done / float(rates[rate])

    return measure


_LARGE, _NOISE, _MANY = 10_000, 2_000, 1_000_000

TARGETS = [
    Target("10,000 × 10,000 float32 boxes, kernel", "dense", _LARGE, _of_fill,
           "of the fastest fill's rate", 0.85),
    Target("30,000 × 30,000 float32 boxes, kernel", "dense", 30_000, _of_fill,
           "of the fastest fill's rate", 0.9),
    Target("10,000 × 10,000 float64 boxes, kernel", "dense-float64", _LARGE, _of_fill,
           "of the fastest fill's rate"),
    Target("10,000 × 10,000 giou, kernel", "giou", _LARGE, _of_fill, "of the fastest fill's rate"),
    Target("10,000 × 10,000 float32 boxes, kernel", "dense", _LARGE,
           _over_torchvision("fastiou, kernel"), "× as fast as torchvision", 15),
    Target("10,000 × 10,000 float32 boxes, whole call", "dense", _LARGE,
           _over_torchvision("fastiou"), "× as fast as torchvision"),
    Target("full-frame masks by population counts, kernel", "mask-noise", _NOISE,
           _share("popcount_bit_ands", "fastiou, kernels"), "of the bound", 0.8),
    Target("pairs of 1,000,000 and 1,000,000 boxes, whole call", "pairs", _MANY,
           _times("fastiou, CPU", "fastiou"), "× as fast as the CPU", 20),
    Target("NMS of 100,000 boxes, whole call", "nms", 100_000, _times("torchvision", "fastiou"),
           "× as fast as torchvision", 5),
    Target("400 × 400 cropped masks, whole call", "mask-blobs", 400,
           _times("torch float32 matmul", "fastiou"), "× as fast as float32 matmul"),
]  # fmt: skip


def targets(found: Record) -> list[Record]:
    """Each target, and what was measured; null where it was not."""
    rows: dict[tuple[str, int], dict[str, Record]] = {}
    for record in found.get("timings", []):
        row = rows.setdefault((record["workload"], record["size"]), {})
        row[record["contender"]] = record
    measured = []
    for target in TARGETS:
        row = rows.get((target.workload, target.size), {})
        value = target.measure(row, found.get("rates", {}))
        measured.append(
            {
                "what": target.what,
                "unit": target.unit,
                "limit": target.limit,
                "measured": None if math.isnan(value) else value,
            }
        )
    return measured


# ---- the command -------------------------------------------------------------------------------


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="few and small sets, few rounds")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="what it takes at most, about (%(default)s)"
    )
    parser.add_argument("--out", type=Path, help="default: bench/results/gpu-DATE.json")
    parser.add_argument("--sanitize-target", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such function: {', '.join(sorted(unknown))}")
    options.parts = [part for part in PARTS if part in (options.parts or PARTS)]
    return options


def main(arguments: list[str] | None = None) -> int:
    """Check, measure and write; gives the exit code."""
    from fastiou.runtime import gpu_arrays as interop

    options = _arguments(arguments)
    if (problem := interop.problem()) is not None:
        print(f"no GPU can be used: {problem}", file=sys.stderr)
        return 2
    simulated = interop.is_simulated()
    if options.sanitize_target:
        findings = Findings(None)
        host = [place for place in gpu_checks.places() if place.name in ("host", "numba")]
        hours = Clock(60 * 24)  # whoever called waits for as long as it may take
        _check(findings, options.parts, _extent(quick=True, simulated=simulated), host, hours)
        return int("failures" in findings.all)
    clock = Clock(60 * 24 if simulated else options.minutes)
    facts = _facts(quick=options.quick, simulated=simulated)
    out = options.out
    if out is None and not simulated:  # whose results are nobody's
        out = Path(__file__).parent / "results" / f"gpu-{facts['date']}.json"
    findings = Findings(out)
    findings.set("run", facts)
    extent = _extent(quick=options.quick, simulated=simulated)
    _check(findings, options.parts, extent, gpu_checks.places(), clock)
    if simulated:
        print("in Numba's simulator: nothing is timed")
    else:
        for tool, state in _sanitize(options.parts, clock):
            print(f"compute-sanitizer, {tool}: {state['state']}", flush=True)
            findings.set("sanitizer", {**findings.all.get("sanitizer", {}), tool: state})
            if state["state"] == "failed":
                findings.fail([f"compute-sanitizer, {tool}: {state['summary']}"])
        with _recorded(findings, "rates"):
            _rates(findings)
        _time(findings, options.parts, clock, quick=options.quick)
        if "box_iou" in options.parts:
            with _recorded(findings, "crossover"):
                _cross(findings, clock, quick=options.quick)
    minutes = round((time.perf_counter() - clock.start) / 60, 1)
    findings.set("run", {**facts, "minutes": minutes})
    failures = findings.all.get("failures", [])
    print(f"{len(failures)} failures in {minutes} minutes" + (f": {out}" if out else ""))
    return int(bool(failures))


if __name__ == "__main__":
    raise SystemExit(main())
