"""Fixtures of tests that run code in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes_for_tests import PACKAGE, PRELUDE, Python


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Run code in a new process, which must end well, and return what it printed."""

    def run(code: str, *, prelude: str = PRELUDE, **environment: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-c", prelude + code],
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run
