"""What is tested on a GPU, or in Numba's simulator of one (NUMBA_ENABLE_CUDASIM=1)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastiou.cuda import interop

sys.path.insert(0, str(Path(__file__).parent.parent))

#: Why nothing here can run; None if it can.
PROBLEM = interop.problem()

if PROBLEM is not None:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the simulator kernels are Python, in which NumPy warns of what a GPU does in silence."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"))
