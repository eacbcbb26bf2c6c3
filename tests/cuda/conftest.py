"""What is tested on a GPU, or in Numba's simulator of one (NUMBA_ENABLE_CUDASIM=1)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))


@pytest.fixture(autouse=True)
def threads_take_turns() -> Iterator[None]:
    """Let the simulator's threads, which wait for each other all the time, do so for 0.1 ms.

    Otherwise each waits 5 ms for one that does nothing but look whether others wait.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the simulator kernels are Python, in which NumPy warns of what a GPU does in silence."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"))
