"""What is tested on a GPU, or in Numba's simulator of one (NUMBA_ENABLE_CUDASIM=1)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastiou.runtime import gpu_arrays as interop

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


class Allocations(dict[Any, Any]):
    """Shared arrays of a block by the line that asks for them, each made by one thread alone.

    The simulator looks for an array, makes one if there is none, and then notes it down. Threads
    that take turns in between would have an array each, and share nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def get(self, line: Any, default: Any = None) -> Any:
        self._lock.acquire()  # kept until the array is noted down
        array = super().get(line, default)
        if array is not None:
            self._lock.release()
        return array

    def __setitem__(self, line: Any, array: Any) -> None:
        super().__setitem__(line, array)
        self._lock.release()


@pytest.fixture(autouse=True)
def shared_arrays_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mend the simulator (see `Allocations`)."""
    if not interop.is_simulated():
        return
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    make = FakeCUDAShared.__init__

    def make_with_lock(self: Any, *arguments: Any) -> None:
        make(self, *arguments)
        assert self._allocations == {}
        self._allocations = Allocations()

    monkeypatch.setattr(FakeCUDAShared, "__init__", make_with_lock)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The kernels that are launched, in their order."""
    from fastiou.runtime.gpu_kernel import CudaKernel

    kernels: list[CudaKernel] = []
    launch = CudaKernel.launch

    def note(kernel: CudaKernel, *arguments: Any) -> None:
        kernels.append(kernel)
        launch(kernel, *arguments)

    monkeypatch.setattr(CudaKernel, "launch", note)
    return kernels


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the simulator kernels are Python, in which NumPy warns of what a GPU does in silence."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"))
