"""What fastiou runs on, and compiling ahead."""

from __future__ import annotations

from concurrent import futures
from typing import Any

import pytest

from fastiou import config


class Pool(futures.ThreadPoolExecutor):
    """Threads in place of processes, which would not see what a test has replaced."""

    def __init__(self, processes: int, context: Any) -> None:
        assert context.get_start_method() == "spawn"
        super().__init__(processes)


@pytest.mark.parametrize("processes", [1, 3])
def test_every_job_of_warming_up_is_done_and_told(
    monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    done: list[str] = []
    names = [f"job {number}" for number in range(5)]
    jobs = [(name, lambda name=name: done.append(name)) for name in names]
    monkeypatch.setattr(config, "_jobs", lambda: jobs)
    monkeypatch.setattr(config.futures, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(config.threads, "has_both_forms", lambda: False)
    told: list[tuple[int, int, str]] = []
    config.warm_up(lambda *what: told.append(what), processes)
    assert sorted(done) == names
    assert [number for number, _, _ in told] == list(range(6))
    assert {total for _, total, _ in told} == {5}
    assert sorted(name for _, _, name in told[1:]) == names


def test_a_job_that_fails_ends_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(config, "_jobs", lambda: [("fails", fail)] * 3)
    monkeypatch.setattr(config.futures, "ProcessPoolExecutor", Pool)
    with pytest.raises(ZeroDivisionError):
        config.warm_up(processes=2)


def test_jobs_can_be_called_and_have_different_names() -> None:
    names = [name for name, _ in config._jobs()]
    assert len(names) == len(set(names)) > 8
    config._run_job(names.index("iou in float32"))
