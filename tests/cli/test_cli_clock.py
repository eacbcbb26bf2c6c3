"""What the command says of time: compiling is no part of the work."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_for_tests import run_well, words_of
from images_for_tests import npy_bytes

import fastiou
from fastiou.cli import display, summary
from fastiou.cli.display import LOADING, Clock
from fastiou.runtime import kernel


class Time:
    """A clock that goes on only when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(kernel, "compile_seconds", 7.0)
        clock = SimpleNamespace(perf_counter=lambda: self.now)
        monkeypatch.setattr(display, "time", clock)

    def work(self, seconds):
        self.now += seconds

    def compile(self, seconds):
        self.now += seconds
        kernel.compile_seconds += seconds


@pytest.fixture
def time(monkeypatch):
    return Time(monkeypatch)


@pytest.fixture
def boxes(tmp_path):
    path = tmp_path / "boxes.npz"
    left = np.arange(20.0)
    corners = np.stack([left, left, left + 2, left + 2], axis=1)
    np.savez(path, boxes=corners, scores=left)
    return path


def begin(_):
    return lambda *_: None


def test_the_clock_stands_still_while_kernels_are_compiled(time):
    clock = Clock(begin)
    with clock.stage("reading"):
        time.work(1)
    with clock.stage(LOADING):
        time.work(0.25)
    with clock.stage("matching"):
        time.work(2)
        time.compile(16)
        with clock.apart("reading", "matching"):
            time.work(4)
            time.compile(32)
    assert clock.seconds == {"reading": 5, LOADING: 48.25, "matching": 2}


def test_a_stage_may_come_twice(time):
    clock = Clock(begin)
    for _ in range(2):
        with clock.stage("packing"):
            time.work(1)
            time.compile(8)
    assert clock.seconds == {"packing": 2, LOADING: 16}


def test_a_stage_that_takes_no_time_has_a_rate():
    facts = summary.timing({"matching": 0.0, "reading": 0.25}, "matching", "boxes", 3)
    assert facts["seconds"] == "0.000 (and reading 0.250)"
    assert facts["boxes per second"] == "3,000,000,000"


def seconds_of(shown):
    """The time of the work proper, and those of the other stages."""
    proper, others = re.search(r" seconds ([0-9.]+) \(and (.*?)\)", words_of(shown)).groups()
    pairs = re.findall(r"([a-z ]+) ([0-9.]+)(?:, |$)", others)
    return float(proper), {name.strip(): float(value) for name, value in pairs}


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("pairs", ["match", "boxes", "boxes"]),
        ("topk", ["match", "boxes", "boxes", "--method", "topk"]),
        ("match", ["match", "boxes", "boxes", "--method", "greedy"]),
        ("nms", ["nms", "boxes"]),
    ],
)
def test_compiling_is_no_part_of_the_work(monkeypatch, time, boxes, name, command):
    original = getattr(fastiou, name)

    def slow(*arguments, **options):
        time.work(0.5)
        time.compile(90)
        return original(*arguments, **options)

    arguments = [boxes if word == "boxes" else word for word in command]
    run_well(*arguments)  # from here on, nothing else is compiled
    monkeypatch.setattr(fastiou, name, slow, raising=False)
    shown = run_well(*arguments)
    proper, others = seconds_of(shown)
    assert (proper, others["loading kernels"]) == (0.5, 90)
    if name in ("match", "nms"):
        count = 40 if name == "match" else 20
        assert f" boxes per second {count / 0.5:,.0f} " in words_of(shown)


def test_compiling_for_label_images_is_no_part_of_the_work(monkeypatch, time, tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(npy_bytes(np.ones((2, 4, 5), np.uint8)))
    run_well("match", path, path)  # from here on, nothing else is compiled
    compare, count = fastiou.label_iou, fastiou.label_overlap

    def slow(function, work, compiling):
        def called(*arguments):
            time.work(work)
            time.compile(compiling)
            return function(*arguments)

        return called

    monkeypatch.setattr(fastiou, "label_iou", slow(compare, 0.5, 30), raising=False)
    monkeypatch.setattr(fastiou, "label_overlap", slow(count, 0.25, 5), raising=False)
    proper, others = seconds_of(run_well("match", path, path))
    expected = {"reading": 0, "loading kernels": 70, "counting objects": 0.5}
    assert (proper, others) == (1, expected)


@pytest.mark.slow
def test_a_process_that_compiles_everything(tmp_path, boxes):
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(fastiou.__file__).parents[1]),
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "COLUMNS": "200",
    }
    for command in (["match", boxes, boxes], ["nms", boxes]):
        ended = subprocess.run(
            [sys.executable, "-m", "fastiou", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        proper, others = seconds_of(ended)
        # It takes more than a hundred times as long.
        assert proper < others["loading kernels"]
