"""Fixtures and strategies that several test files share."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Several processes test at once: threads of one that wait actively would hold up those of another.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba
import numpy as np
import pytest
from boxes_for_tests import USUAL_METRICS
from compat_for_tests import MANY
from hypothesis import HealthCheck, settings

from fastiou.relations import small
from fastiou.runtime import gpu_arrays as interop
from fastiou.runtime import steps, threads

# A kernel may be compiled within an example; time says nothing about right or wrong.
settings.register_profile(
    "fastiou", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("thorough", settings.get_profile("fastiou"), max_examples=10_000)
settings.load_profile("fastiou")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture
def several_threads() -> None:
    """Have large work run on several threads; the test may set how many."""


@pytest.fixture(params=["one thread", pytest.param("threads", marks=pytest.mark.slow)])
def any_threads(request: pytest.FixtureRequest) -> str:
    """Run the test on one thread, and as a slow one on several."""
    return str(request.param)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real inputs; skips where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FASTIOU_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real inputs are not at {folder}; FASTIOU_DATA names another folder")
    return folder


@pytest.fixture(autouse=True)
def sizes_alone_choose_the_kernel(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Choose between one thread and several by nothing but the size of the work.

    Whether threads are awake is a matter of timing, on which no test should hang. Where a test
    neither asks for threads nor is slow, all runs on one: the other form of a kernel has the same
    loop, and takes twice as long to compile.
    """
    monkeypatch.setattr(threads, "FORCED", True)
    if request.node.get_closest_marker("general_way"):
        monkeypatch.setattr(small, "kind_of", lambda *_: None)
    marks = [mark for name in ("slow", "thorough") for mark in request.node.iter_markers(name)]
    is_slow = not all(mark.kwargs.get("on_one_thread") for mark in marks)
    several = "several_threads" in request.fixturenames or is_slow
    if "any_threads" in request.fixturenames:
        several = request.getfixturevalue("any_threads") == "threads"
    before = numba.get_num_threads()
    numba.set_num_threads(before if several else 1)
    yield
    numba.set_num_threads(before)


# ---- the names of other libraries ---------------------------------------------------------------
# Here, since a conftest.py of a folder that comes before this file is taken for this file.

#: How many random cases a quick test has.
FEW = 100


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.thorough)])
def cases(request: pytest.FixtureRequest) -> Iterator[np.random.Generator]:
    """A generator of random numbers for each case."""
    return (np.random.default_rng([20261129, case]) for case in range(request.param))


@pytest.fixture
def are_many(request: pytest.FixtureRequest) -> bool:
    """Whether the test is the thorough one, for which more kernels may be compiled."""
    return request.node.get_closest_marker("thorough") is not None


@pytest.fixture
def one_thread(several_threads: None) -> None:
    """No call goes to threads, so that no parallel kernel is compiled."""
    numba.set_num_threads(1)


@pytest.fixture(scope="session")
def coco_mask() -> Any:
    """pycocotools' functions of masks."""
    return pytest.importorskip("pycocotools.mask")


@pytest.fixture
def fixed_steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set how many scores each step of long work makes, whatever time it takes."""

    def fix(size: int) -> None:
        monkeypatch.setattr(steps, "STEP", size)
        monkeypatch.setattr(steps, "STEP_SECONDS", np.inf)
        monkeypatch.setattr(steps, "STEP_GROWTH", 1)

    return fix


#: How tests in float32 are marked that have most kernels compiled once more, and those of them that
#: are quick. The loops of relations are the same for both types, and formulas are tested densely.
SINGLE_IN = {"geometries": pytest.mark.slow, "relations": pytest.mark.thorough}
SINGLE_IS_QUICK = {"test_box_iou", "test_mask_iou", "test_mask_members", "test_masks", "test_rle"}

#: Folders in which a metric is a name that is handed on.
HAND_ON = {"cli", "compat"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests as slow that have kernels compiled for an unusual metric or method.

    On several threads or in float32 they are thorough, and so are others on several threads in
    float32: that is the same loop, compiled once more. Geometries in float32 are slow, relations
    thorough. What is slow for such a reason alone still runs on one thread. The command and other
    libraries' names hand the metric on, so that there they are thorough, as is all that is slow for
    two reasons.
    """
    for item in items:
        if not hasattr(item, "callspec"):
            continue
        folder, params = item.path.parent.name, item.callspec.params
        metric, method = params.get("metric"), params.get("method")
        is_unusual = (
            metric not in (None, *USUAL_METRICS)
            or method == "gaussian"
            or (method == "linear" and metric not in (None, "iou"))
        )
        is_single = str(params.get("dtype")) in ("float32", str(np.float32))
        again = is_single + (params.get("any_threads") == "threads")
        if folder in PROBLEMS:
            if is_unusual and is_single:
                item.add_marker(pytest.mark.thorough)
            continue
        if is_unusual or again == 2:
            is_more = is_unusual + again > 1 or folder in HAND_ON
            mark = pytest.mark.thorough if is_more else pytest.mark.slow
            item.add_marker(mark(on_one_thread=True))
        elif is_single and item.path.stem not in SINGLE_IS_QUICK:
            mark = SINGLE_IN.get(folder)
            if mark is not None:
                item.add_marker(mark(on_one_thread=True))
        if len(list(item.iter_markers("slow"))) > 1:
            item.add_marker(pytest.mark.thorough)


# ---- folders that need a GPU, its simulator, or its compiler ------------------------------------


def _problem_of_compiling() -> str | None:
    """Why kernels for GPUs cannot be compiled here, None if they can."""
    if interop.is_simulated():
        return "the simulator (NUMBA_ENABLE_CUDASIM) compiles nothing"
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed: pip install '.[cuda]' --group compile"
    from cuda.pathfinder import find_nvidia_binary_utility

    if find_nvidia_binary_utility("nvdisasm") is None:
        return "nvdisasm is not installed: pip install --group compile"
    return None


#: Folders, and what tells why their tests cannot run, None if they can.
PROBLEMS = {"cuda": interop.problem, "cuda_compilation": _problem_of_compiling}


class Skipped(pytest.Directory):
    """A folder from which nothing is imported."""

    reason = ""

    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip(self.reason, allow_module_level=True)


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Skip a folder whose tests cannot run here, which would fail when imported."""
    if path.parent != Path(__file__).parent or path.name not in PROBLEMS:
        return None
    reason = PROBLEMS[path.name]()
    if reason is None:
        return None
    skipped: Skipped = Skipped.from_parent(parent, path=path)
    skipped.reason = reason
    return skipped
