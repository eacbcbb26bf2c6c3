"""The command as tests run it, and what they hide from it."""

import builtins
import importlib
import os
import sys
from inspect import signature
from pathlib import Path

import pytest

from fastiou.cli.main import commands as all_commands

pytest.importorskip("click", reason="the command needs the extra cli")
pytest.importorskip("rich", reason="the command needs the extra cli")

from click.testing import CliRunner

DATA = Path(os.environ.get("FASTIOU_DATA", Path(__file__).parents[2] / "shared" / "data"))

# Before 8.2, click's runner mixes both streams unless told otherwise.
APART = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}


def run(*arguments, commands=None):
    arguments = [str(argument) for argument in arguments]
    return CliRunner(**APART).invoke(commands or all_commands(), arguments)


def run_well(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def words_of(result):
    """What a table says, without its lines."""
    return " ".join(result.stdout.replace("│", " ").split())


def real(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there; FASTIOU_DATA names the folder of real inputs")
    return path


def without(monkeypatch, *modules):
    """Make an import of these modules fail, as if they were not installed."""
    original = builtins.__import__

    def refuse(name, *arguments, **others):
        if name.split(".")[0] in modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return original(name, *arguments, **others)

    def refuse_by_name(name):
        return refuse(name) and sys.modules[name]

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(importlib, "import_module", refuse_by_name)
