"""Which GPU can be used, told without one."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import pytest

import fastiou
from fastiou.runtime import gpu_arrays as interop


@pytest.fixture(autouse=True)
def _no_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)


def test_a_forked_child_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interop, "_process", os.getpid() + 1)
    with pytest.raises(RuntimeError, match="before this process was forked"):
        fastiou.box_iou([[0, 0, 1, 1]], [[0, 0, 1, 1]], device="cuda")
    assert fastiou.box_iou([[0, 0, 1, 1]], [[0, 0, 1, 1]], device="auto")[0, 0] == 1


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find(name: str, *arguments: Any) -> Any:
        return None if name == "numba_cuda" else found(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    interop._lasting_problem.cache_clear()
    problem = interop.problem()
    interop._lasting_problem.cache_clear()
    assert problem is not None
    assert "pip install 'fastiou[cuda]'" in problem


def test_show_config_names_the_gpu_or_why_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    fastiou.show_config()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("GPU")]
    assert line.removeprefix("GPU").strip() == interop.description()
