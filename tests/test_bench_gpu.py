"""The GPU's benchmark, as far as it goes without one: its table, its file, its page, its checks."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# The suite is not part of the package; behind everything else, so that an installed fastiou wins.
sys.path.append(str(Path(__file__).parents[1]))

import fastiou
from bench import gpu, gpu_checks, gpu_timing, report
from fastiou.geometries.masks.masks import MASK
from fastiou.geometries.table import FORMATS, ROWS
from fastiou.runtime import gpu_arrays as interop

ROOT = Path(__file__).parents[1]


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(interop, "problem", lambda: "no NVIDIA GPU was found")


# ---- the command -------------------------------------------------------------------------------


def test_without_a_gpu_the_command_says_so(no_gpu, capsys):
    assert gpu.main([]) == 2
    said = capsys.readouterr()
    assert said.err == "no GPU can be used: no NVIDIA GPU was found\n"
    assert said.out == ""


def test_the_command_knows_its_functions(no_gpu, capsys):
    with pytest.raises(SystemExit):
        gpu.main(["box_iou", "match"])
    assert "no such function: match" in capsys.readouterr().err
    assert gpu._arguments(["nms", "box_iou"]).parts == ["box_iou", "nms"]
    assert gpu._arguments([]).parts == list(gpu_checks.PARTS)


def test_what_was_found_is_written_after_each_step(tmp_path, capsys):
    path = tmp_path / "new" / "gpu.json"
    findings = gpu.Findings(path)
    findings.set("run", {"date": "2000-01-01"})
    assert json.loads(path.read_text()) == {"run": {"date": "2000-01-01"}}
    findings.add("timings", [1])
    findings.add("timings", [2, 3])
    findings.fail([])
    assert json.loads(path.read_text()) == {"run": {"date": "2000-01-01"}, "timings": [1, 2, 3]}
    findings.fail(["something"])
    assert json.loads(path.read_text())["failures"] == ["something"]
    assert "wrong: something" in capsys.readouterr().out
    assert list(path.parent.iterdir()) == [path]


def test_without_a_file_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    findings = gpu.Findings(None)
    findings.set("run", {})
    assert findings.all == {"run": {}}
    assert not list(tmp_path.iterdir())


def test_a_sanitizer_that_is_not_there_is_recorded(monkeypatch):
    monkeypatch.setattr(gpu, "_sanitizer", lambda: None)
    assert dict(gpu._sanitize(["box_iou"], gpu.Clock(60))) == {
        "memcheck": {"state": "not found"},
        "racecheck": {"state": "not found"},
    }


@pytest.mark.parametrize(
    ("code", "state"), [(0, "clean"), (gpu.SANITIZER_FAILED, "failed"), (1, "failed")]
)
def test_a_sanitizer_is_given_the_command_and_read(tmp_path, monkeypatch, code, state):
    program = tmp_path / "compute-sanitizer"
    program.write_text(
        f"#!/bin/sh\necho \"$@\"\necho '========= ERROR SUMMARY: some errors'\nexit {code}\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(gpu, "_sanitizer", lambda: str(program))
    called = []
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda command, **rest: called.append(command) or run(command, **rest)
    )
    for _, found in gpu._sanitize(["box_iou"], gpu.Clock(60)):
        expected = {"state": state, "code": code, "summary": "ERROR SUMMARY: some errors"}
        assert found == expected
    assert [command[2] for command in called] == list(gpu.TOOLS)
    assert called[0][-4:] == ["-m", "bench.gpu", "--sanitize-target", "box_iou"]


# ---- time ----------------------------------------------------------------------------------------


class Hands:
    """A clock that is set by hand."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(gpu.time, "perf_counter", lambda: self.now)


def test_steps_share_the_time(monkeypatch):
    hands = Hands(monkeypatch)
    clock = gpu.Clock(10)
    assert clock.left("compared") == 300
    first = clock.share("compared", 3)
    hands.now += 99
    assert not first()
    hands.now += 1
    assert first()
    second = clock.share("compared", 2)  # what the first left over, and its own
    hands.now += 99
    assert not second()
    hands.now += 200
    assert second()
    assert clock.share("compared", 1)()
    assert max(gpu.ENDS.values()) * gpu.MINUTES < 8


def test_checks_stop_when_the_time_is_up(monkeypatch):
    pytest.importorskip("numba_cuda")
    Stub(monkeypatch, lambda result: None)
    calls = []

    def is_over():
        calls.append(0)
        return len(calls) > 7

    record = gpu_checks.checked("box_iou", range(4), 5, HOST, 1, is_over)
    assert record["calls"] == 7
    assert record["stopped_at"] == 0


def test_rounds_stop_when_the_time_is_up():
    samples = gpu_timing.interleaved({"one": lambda: 0.5}, 7, lambda: True)
    assert samples == {"one": [0.5] * gpu_timing.FEW_ROUNDS}


def test_what_there_was_no_time_for_is_named(monkeypatch, capsys):
    hands = Hands(monkeypatch)
    monkeypatch.setattr(gpu_timing, "free_memory", lambda: None)

    def measured(name, size, rounds, is_over):
        hands.now += 250
        return [], {"torchvision": "it is not installed"}, []

    monkeypatch.setattr(gpu_timing, "measured", measured)
    findings = gpu.Findings(None)
    gpu._time(findings, ["box_iou"], gpu.Clock(10), quick=False)
    reasons = [list(row.values()) for row in findings.all["left_out"].values()]
    assert reasons[:3] == [["it is not installed"]] * 3
    assert reasons[3:] == [["no time was left"]] * (len(reasons) - 3)
    assert len(reasons) > 4
    assert "left out: all: no time was left" in capsys.readouterr().out


# ---- the table ---------------------------------------------------------------------------------


def test_workloads_are_consistent():
    for workload in gpu_timing.WORKLOADS.values():
        assert workload.part in gpu_checks.PARTS
        assert workload.sizes
        assert workload.quick_sizes
        assert max(workload.quick_sizes) <= max(workload.sizes)
        kinds = {contender.kind for contender in workload.contenders.values()}
        assert kinds <= {"kernel", "call", "bound", "peer", "cpu"}
        assert {"kernel", "call"} <= kinds


def test_buffers_suit_stores_of_16_bytes():
    for workload in gpu_timing.WORKLOADS.values():
        if any(contender.kind == "bound" for contender in workload.contenders.values()):
            # The scene of the largest takes memory, and its buffer's length is of one rule.
            scene = workload.make(1_000)
            assert scene.numbers * scene.dtype.itemsize // 4 % 8 == 0


def test_targets_are_of_what_is_timed():
    for target in gpu.TARGETS:
        assert target.size in gpu_timing.WORKLOADS[target.workload].sizes


def test_nothing_that_needs_a_gpu_is_imported():
    code = "import bench.gpu, bench.report, sys; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = finished.stdout.split()
    assert "bench.gpu_timing" in loaded
    assert not {"torch", "numba.cuda", "bench.gpu_kernels", "fastiou.runtime.gpu"} & set(loaded)


# ---- timing ------------------------------------------------------------------------------------


class FakeGpu:
    """Events of a GPU that needs a second for each launch, and to be held for 3 ms at least."""

    def __init__(self, monkeypatch):
        self.launches = 0
        self.holds = []
        monkeypatch.setattr(gpu_timing, "_behind_hold", self.behind_hold)
        monkeypatch.setattr(gpu_timing, "_seconds", lambda start, end: float(end - start))
        monkeypatch.setattr(gpu_timing._Hold, "microseconds", 1_000)

    def launch(self):
        self.launches += 1

    def behind_hold(self, launch, stream=0):
        self.holds.append(gpu_timing._Hold.microseconds)
        start = self.launches
        launch()
        return start, self.launches, self.holds[-1] < 3_000


def test_a_late_launch_is_timed_again_behind_a_longer_wait(monkeypatch):
    fake = FakeGpu(monkeypatch)
    sample = gpu_timing.queued(fake.launch)
    assert fake.launches == 1  # compiles
    assert sample() == 1
    assert fake.holds == [1_000, 2_000, 4_000]
    assert sample() == 1
    assert fake.holds[3:] == [4_000]


def test_short_launches_are_queued_together(monkeypatch):
    fake = FakeGpu(monkeypatch)
    monkeypatch.setattr(gpu_timing, "_seconds", lambda start, end: 1e-4 * (end - start))
    sample = gpu_timing.queued(fake.launch)
    sample()
    before = fake.launches
    assert sample() == pytest.approx(1e-4)
    assert fake.launches - before == 10


def test_kernels_of_a_call_are_timed_by_label(monkeypatch):
    pytest.importorskip("numba_cuda")
    from fastiou.runtime.gpu_kernel import CudaKernel

    fake = FakeGpu(monkeypatch)
    original = lambda *_: fake.launch()  # noqa: E731
    monkeypatch.setattr(CudaKernel, "launch", original)
    one, other = CudaKernel(lambda: None, "one"), CudaKernel(lambda: None, "bench-other")

    def call():
        for kernel in (one, other, one):
            kernel.launch(1, 1, 0)

    sample = gpu_timing.of_kernels(call)
    assert sample() == 2
    assert sample.kernels == {"one": 2}
    assert CudaKernel.launch is original
    with pytest.raises(AssertionError, match="launched no kernel"):
        gpu_timing.of_kernels(lambda: None)


def test_slow_contenders_take_part_in_few_rounds():
    samples = gpu_timing.interleaved({"fast": lambda: 0.5, "slow": lambda: 2.0}, 7)
    assert samples == {"fast": [0.5] * 7, "slow": [2.0] * gpu_timing.FEW_ROUNDS}


def test_ratios_are_paired():
    assert gpu_timing.ratio([1.0, 20.0, 3.0, 100.0], [1.0, 2.0, 1.0]) == 3


def test_records_have_spread():
    record = gpu_timing.record_of("dense", 10, "fastiou", "call", [3.0, 1.0, 2.0])
    assert record["seconds"] == 2
    assert record["quartiles"] == [1, 3]
    assert gpu_timing.record_of("dense", 10, "fastiou", "call", [3.0])["quartiles"] == [3, 3]


def test_what_cannot_be_timed_is_named(monkeypatch):
    def absent(scene):
        raise gpu_timing.LeftOut("it is not installed")

    def too_large(scene):
        raise MemoryError("some words")

    def broken(scene):
        raise ValueError("first line\nsecond line")

    contenders = {
        "good": gpu_timing.Contender("call", lambda scene: lambda: 0.25),
        "absent": gpu_timing.Contender("peer", absent),
        "too large": gpu_timing.Contender("peer", too_large),
        "broken": gpu_timing.Contender("kernel", broken),
    }
    workload = gpu_timing.WORKLOADS["dense"]._replace(make=int, contenders=contenders)
    monkeypatch.setitem(gpu_timing.WORKLOADS, "dense", workload)
    records, left_out, failures = gpu_timing.measured("dense", 1_000, 2)
    assert [(record["contender"], record["samples"]) for record in records] == [
        ("good", [0.25, 0.25])
    ]
    assert left_out == {
        "absent": "it is not installed",
        "too large": "the memory does not suffice",
        "broken": "ValueError: first line",
    }
    assert failures == ["dense, size 1,000, broken: ValueError: first line"]


@pytest.mark.parametrize(
    ("ratios", "start"),
    [({10: 0.5, 100: 2.0, 1000: 3.0}, 100), ({10: 2.0, 100: 0.5}, None), ({}, None),
     ({10: 2.0, 100: 0.9, 1000: 1.1}, 1000)],
)  # fmt: skip
def test_a_crossover_is_where_the_gpu_stays_faster(ratios, start):
    rows = [{"size": size, "cpu_over_cuda": ratio} for size, ratio in ratios.items()]
    assert gpu_timing.first_gain(rows) == start


# ---- checks ------------------------------------------------------------------------------------


def test_bits_are_compared():
    numbers = np.array([0.0, np.nan, 1.0, 2.0])
    other = np.array([-0.0, -np.nan, 1.0, np.nextafter(2, 3)])
    assert gpu_checks.differing(numbers, numbers.copy()) == 0
    assert gpu_checks.differing(numbers, other) == 2
    assert gpu_checks.differing(numbers, numbers.astype(np.float32)) == 4
    assert gpu_checks.differing(numbers, numbers[:3]) == 4
    assert gpu_checks.differing(np.zeros((0, 3)), np.zeros((0, 2))) == 1


@pytest.mark.parametrize("part", gpu_checks.PARTS)
@pytest.mark.slow
def test_cases_can_be_made_again_and_run(part):
    first, second = (list(gpu_checks.cases(part, 3, 9)) for _ in range(2))
    assert [case.what for case in first] == [case.what for case in second]
    for case, again in zip(first[::7], second[::7], strict=True):
        found = gpu_checks.as_arrays(case.run("cpu", np.asarray))
        expected = gpu_checks.as_arrays(again.run("cpu", np.asarray))
        for one, other in zip(found, expected, strict=True):
            assert gpu_checks.differing(one, other) == 0


def test_cases_cover_what_has_kernels():
    """Every geometry in every relation, each by one of the first seeds; and sets of all kinds."""
    own = {FORMATS[fmt].load() for fmt in (*gpu_checks.OTHERS, "xyxy")}
    assert own == {row.load() for row in ROWS if not row.load().on_cpu_alone} - {MASK}
    for part in ("box_iou", "pairs", "topk", "nms"):
        seeds = range(len(gpu_checks.OTHERS))
        cases = [case for seed in seeds for case in gpu_checks.cases(part, seed, 5)]
        found = {case.options.get("fmt", "xyxy") for case in cases}
        assert found >= {*gpu_checks.OTHERS, "xyxy"}
        assert any(case.arrays[0].dtype == np.int64 for case in cases if "int64" in case.what)
        if part != "box_iou":
            kinds = {type(case.arrays[0]) for case in cases if "masks" in case.what}
            assert kinds == {fastiou.Masks, np.ndarray}


HOST = [gpu_checks.Place("host", lambda array: array)]


class Stub:
    """Stands for the GPU: computes on the CPU, and then does something to the result."""

    def __init__(self, monkeypatch, spoil):
        original = fastiou.box_iou

        def box_iou(*arguments, device, **options):
            result = original(*arguments, **options)
            if device == "cuda":
                spoil(result)
            return result

        monkeypatch.setattr(fastiou, "box_iou", box_iou, raising=False)


@pytest.mark.parametrize("check", [gpu_checks.checked, gpu_checks.poisoned])
def test_checks_find_what_is_wrong(monkeypatch, check):
    pytest.importorskip("numba_cuda")

    def spoil(result):
        result.flat[:1] = 0.3125

    Stub(monkeypatch, spoil)
    record = check("box_iou", range(1), 5, HOST)
    assert record["wrong"] == record["failed"] > gpu_checks.MOST_FAILURES
    assert len(record["failures"]) == gpu_checks.MOST_FAILURES
    assert record["failures"][0].startswith("seed 0, box_iou, iou of float32, dense")


def test_checks_see_that_no_kernel_ran_and_what_raises(monkeypatch):
    pytest.importorskip("numba_cuda")

    def refuse(result):
        if result.dtype == np.float64:
            raise NotImplementedError("not yet")

    Stub(monkeypatch, refuse)
    record = gpu_checks.checked("box_iou", range(1), 5, HOST)
    assert record["wrong"] == record["launches"] == 0
    assert record["failed"] > 0
    assert record["failures"][0].endswith("host: NotImplementedError: not yet")


def test_garbage_is_told_from_results():
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        for poison, left in gpu_checks._poisons(dtype):
            whole = np.full(3, poison, dtype)
            assert left(whole).all()
            whole[:] = np.nan, 0, 1
            assert not left(whole).any()


@pytest.mark.skipif(interop.is_simulated(), reason="runs the simulator itself")
def test_the_checks_run_in_the_simulator(tmp_path):
    pytest.importorskip("numba_cuda")
    out = tmp_path / "gpu.json"
    finished = subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--quick", "--out", str(out), "box_iou"],
        cwd=ROOT,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = json.loads(out.read_text())
    assert found["run"]["simulated"]
    assert "minutes" in found["run"]
    for key in ("poisoned", "compared"):
        (row,) = found[key]
        assert row["wrong"] == row["failed"] == 0
        assert row["launches"] >= row["calls"] > 50
    assert "timings" not in found
    assert str(ROOT) not in out.read_text()


# ---- the page ----------------------------------------------------------------------------------


def made_up(**more):
    """Results of a GPU that does not exist."""

    def record(workload, size, name, kind, samples, **rest):
        return {**gpu_timing.record_of(workload, size, name, kind, samples), **rest}

    timings = [
        record("dense", 10_000, "fill, 1 stores a thread", "bound", [0.9, 1.8, 0.9]),
        record("dense", 10_000, "fill, 4 stores a thread", "bound", [0.8, 1.6, 0.8]),
        record("dense", 10_000, "fastiou, kernel", "kernel", [1.0, 2.0, 1.0]),
        record("dense", 10_000, "fastiou", "call", [2.0, 2.0, 2.0]),
        record("dense", 10_000, "torchvision's formula", "peer", [16.0, 16.0, 16.0]),
        record(
            "mask-noise", 2_000, "fastiou, kernels", "kernel", [2.0],
            kernels={"uniform-masks-iou": 2.0},
        ),
    ]  # fmt: skip
    work = 2_000**2 * 512**2
    found = {
        "run": {
            "date": "2000-01-01", "quick": False, "simulated": False, "cpu": "a processor",
            "cores": 4, "system": "none", "versions": {"fastiou": "0"}, "minutes": 1.0,
            "device": {
                "name": "a made-up GPU", "compute_capability": [9, 0], "driver": "0",
                "cuda_driver": "13.0", "cuda_runtime": "13.0", "nvidia_smi": {"clocks.sm": "1"},
            },
        },
        "poisoned": [],
        "compared": [
            {"part": "box_iou", "calls": 1234, "numbers": 5, "wrong": 0, "launches": 9,
             "failed": 0, "stopped_at": 3, "failures": []}
        ],
        "sanitizer": {"memcheck": {"state": "not found"}},
        "rates": {"popcount_bit_ands": work * 0.625},
        "timings": timings,
        "left_out": {"dense, 10000": {"torchvision": "it cannot be imported"}},
        "crossover": {
            "rows": [{"size": 100, "cpu": 1.0, "cuda": 4.0, "cpu_over_cuda": 0.25}],
            "gain_from": None,
        },
    }  # fmt: skip
    return {**found, "targets": gpu.targets(found), **more}


def measured_targets(found):
    return {
        (row["what"], row["unit"]): row["measured"]
        for row in gpu.targets(found)
        if row["measured"] is not None
    }


def test_targets_are_measured_in_the_same_rounds():
    boxes = "10,000 × 10,000 float32 boxes"
    assert measured_targets(made_up()) == {
        (f"{boxes}, kernel", "of the fastest fill's rate"): 0.8,
        (f"{boxes}, kernel", "× as fast as torchvision"): 16,
        (f"{boxes}, whole call", "× as fast as torchvision"): 8,
        ("full-frame masks by population counts, kernel", "of the bound"): pytest.approx(0.8),
    }
    assert measured_targets({}) == {}


def test_the_page_shows_what_was_found():
    text = "\n".join(report.gpu_lines(made_up()))
    assert "2000-01-01, a made-up GPU, compute capability 9.0, driver 0 (CUDA 13.0)" in text
    compared = "| `box_iou`, against the CPU, by bits, until the time was up at seed 3 |"
    assert f"{compared} 1,234 | 5 | 0 | 0 |" in text
    assert "compute-sanitizer, memcheck: not found" in text
    assert "| ≥ 0.85 of the fastest fill's rate | 0.8 of the fastest fill's rate | **no** |" in text
    assert "| ≥ 15 × as fast as torchvision | 16 × as fast as torchvision | yes |" in text
    assert "| not measured | |" in text
    assert "### Dense IoU, float32: 10,000 boxes per side" in text
    assert "| *fill, 4 stores a thread* | 800 ms |" in text
    assert "| fastiou, kernel | **1.00 s** |" in text
    assert "Left out: torchvision (it cannot be imported)." in text
    assert "| 100 | 1.00 s | 4.00 s | 0.25 |" in text
    assert "At the largest size the CPU was no slower." in text
    assert "interrupted" not in text
    assert "failures" not in text


def test_the_page_shows_what_is_missing_or_wrong():
    found = made_up(failures=[f"failure {i}" for i in range(12)])
    del found["run"]["minutes"], found["targets"], found["timings"], found["crossover"]
    text = "\n".join(report.gpu_lines(found))
    assert "The run was interrupted" in text
    assert "**12 failures**, of which the first:" in text
    assert "- failure 9" in text
    assert "failure 10" not in text
    assert "###" not in text


def test_without_results_the_page_says_how_to_make_them(tmp_path):
    (line,) = report.gpu_lines(report.newest_gpu_results(tmp_path))
    assert line.startswith("No results of a GPU are committed yet: `python -m bench.gpu`")


def test_the_newest_results_of_a_real_gpu_are_taken(tmp_path):
    for name, date, simulated in (
        ("gpu-a", "2000-01-02", False), ("gpu-b", "2000-01-01", False),
        ("gpu-c", "2000-01-03", True), ("other", "2000-01-04", False),
    ):  # fmt: skip
        run = {"date": date, "simulated": simulated}
        (tmp_path / f"{name}.json").write_text(json.dumps({"run": run}))
    newest = report.newest_gpu_results(tmp_path)
    assert newest is not None
    assert newest["run"]["date"] == "2000-01-02"


def test_no_results_of_the_simulator_are_committed():
    for path in (ROOT / "bench" / "results").glob("gpu-*.json"):
        assert not json.loads(path.read_text())["run"]["simulated"]


def test_pages_claim_nothing_until_a_gpu_has_run():
    """Whoever commits results of one changes the pages, and this test, with them."""
    assert report.newest_gpu_results(ROOT / "bench" / "results") is None
    assert "**but not yet run on one by us**" in (ROOT / "docs" / "gpu.md").read_text()
    assert "on a GPU they have not run yet" in (ROOT / "README.md").read_text()
    assert "No GPU has been at hand" in (ROOT / "docs" / "design" / "009-gpu.md").read_text()


def test_a_share_of_nothing_is_not_measured():
    assert math.isnan(gpu._of_fill({}, {}))
