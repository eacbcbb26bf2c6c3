"""The table of faults: what was called how often, and what went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from processes_for_tests import PACKAGE

#: What may go wrong. None of it may happen.
WRONGS = ("aborts", "hangs", "half-written files", "wrong answers")


@dataclass
class Row:
    """One line of the table."""

    fault: str
    calls: int = 0
    wrongs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WRONGS, 0))

    def check(self) -> None:
        """Fail if anything went wrong."""
        assert self.calls
        assert not any(self.wrongs.values()), self


class Faults:
    """Rows that tests fill, and processes that they run."""

    def __init__(self, folder: Path) -> None:
        self.rows: dict[str, Row] = {}
        self._folder = folder

    def row(self, fault: str) -> Row:
        """The row of a fault, which several tests may have."""
        return self.rows.setdefault(fault, Row(fault))

    def run(
        self, fault: str, code: str, *, timeout: float = 900, **environment: str
    ) -> subprocess.CompletedProcess[str] | None:
        """Run code in a process of its own, the last line of which is ``{"calls", "wrong"}``."""
        row = self.row(fault)
        try:
            ended = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment},
                cwd=self._folder,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            row.wrongs["hangs"] += 1
            return None
        if ended.returncode < 0:
            row.wrongs["aborts"] += 1
        assert ended.returncode <= 0, ended.stdout + ended.stderr
        if ended.returncode == 0:
            told = json.loads(ended.stdout.splitlines()[-1])
            row.calls += told["calls"]
            row.wrongs["wrong answers"] += told["wrong"]
        return ended

    def table(self) -> str:
        """All rows, as Markdown."""
        lines = [f"| fault | calls | {' | '.join(WRONGS)} |", "|---|---" + "|---" * 4 + "|"]
        for row in self.rows.values():
            numbers = " | ".join(f"{count:,}" for count in row.wrongs.values())
            lines.append(f"| {row.fault} | {row.calls:,} | {numbers} |")
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """The table, which is added to the file that FAULT_TABLE names."""
    found = Faults(tmp_path_factory.mktemp("faults"))
    yield found
    if os.environ.get("FAULT_TABLE"):
        with Path(os.environ["FAULT_TABLE"]).open("a") as file:
            file.write(found.table())
