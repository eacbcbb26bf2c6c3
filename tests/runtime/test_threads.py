"""Threads and forks: no abort, no hang, and no call that waits for threads to wake.

Cases that may break a process run in one of their own.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest
from boxes_for_tests import random_boxes
from processes_for_tests import PRELUDE, Python

import fastiou
from fastiou.runtime import tbb, threads
from fastiou.runtime.kernel import PATIENCE

TBB = pytest.param("tbb", marks=pytest.mark.skipif(not tbb.is_loaded, reason=tbb.status))


LAYERS = pytest.mark.parametrize(
    "layer",
    [TBB, *(pytest.param(name, marks=pytest.mark.slow) for name in ("omp", "workqueue"))],
)


#: A function that forks. The child computes, and tells whether it has given up threads.
FORK = """
import os, threading
def fork():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            check()
            print(threads._forked, flush=True)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.slow
@LAYERS
def test_threads_race_for_the_first_call(python: Python, tmp_path: Path, layer: str) -> None:
    """With an empty cache, so that all want the same kernels compiled."""
    printed = python(
        """
import threading
barrier = threading.Barrier(8)
failures = []
def work():
    barrier.wait()
    try:
        for _ in range(20):
            scores = fastiou.box_iou(boxes, boxes)
            assert np.array_equal(scores, expected)
    except BaseException as error:
        failures.append(repr(error))
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, failures
import numba
print(numba.threading_layer())
""",
        NUMBA_THREADING_LAYER=layer,
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert printed.split() == [layer]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@LAYERS
def test_forked_workers_after_a_parallel_call(python: Python, layer: str) -> None:
    python(
        """
import multiprocessing, os
check()
def work(number):
    check()
    return number
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: forks beside threads
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(work, range(8)) == list(range(8))
check()
""",
        NUMBA_THREADING_LAYER=layer,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@LAYERS
def test_a_forked_child_has_threads_where_they_survive(python: Python, layer: str) -> None:
    printed = python(
        FORK
        + """
check()
fork()
check()
other = threading.Thread(target=check)
other.start()
other.join()
fork()
other = threading.Thread(target=fork)
other.start()
other.join()
check()
""",
        NUMBA_THREADING_LAYER=layer,
    )
    answers = [line for line in printed.splitlines() if line in ("True", "False")]
    assert answers == ["False" if layer == "tbb" else "True", "True", "True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("layer", [TBB])
def test_a_thread_that_forks_leaves_a_child_without_threads(python: Python, layer: str) -> None:
    """Also where no other thread has computed anything."""
    printed = python(
        FORK
        + """
check()
thread = threading.Thread(target=fork)
thread.start()
thread.join()
""",
        NUMBA_THREADING_LAYER=layer,
    )
    assert "True" in printed.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@LAYERS
def test_workers_started_in_other_ways(
    python: Python, tmp_path: Path, layer: str, method: str
) -> None:
    (tmp_path / "caller.py").write_text(
        PRELUDE
        + """
def work(number):
    check()
    return number

if __name__ == "__main__":
    import multiprocessing
    check()
    with multiprocessing.get_context(METHOD).Pool(2) as pool:
        assert pool.map(work, range(4)) == list(range(4))
""".replace("METHOD", repr(method))
    )
    python(
        "import runpy\nrunpy.run_path('caller.py', run_name='__main__')\n",
        prelude="",
        NUMBA_THREADING_LAYER=layer,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@LAYERS
def test_fork_while_another_thread_computes(python: Python, layer: str) -> None:
    """A lock that another thread held at the time of the fork is free in the child."""
    python(
        """
import os, threading
check()
stop = False
def work():
    while not stop:
        fastiou.box_iou(boxes, boxes)
thread = threading.Thread(target=work)
thread.start()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    for _ in range(10):
        child = os.fork()
        if child == 0:
            try:
                check()
            except BaseException:
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
stop = True
thread.join()
""",
        NUMBA_THREADING_LAYER=layer,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.slow
def test_fork_while_another_thread_compiles(python: Python, tmp_path: Path) -> None:
    """The fork waits for the compiler; the child would wait for its lock for ever."""
    python(
        """
import os, threading, time
few = boxes[:3]
thread = threading.Thread(target=lambda: fastiou.box_iou(few, few, metric="giou"))
thread.start()
time.sleep(0.6)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
if child == 0:
    fastiou.box_iou(few, few)
    os._exit(0)
deadline = time.monotonic() + 60
while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
    if time.monotonic() > deadline:
        os.kill(child, 9)
        raise AssertionError("the child hangs")
    time.sleep(0.05)
assert ended[1] == 0
thread.join()
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no such signals")
@LAYERS
def test_signal_handlers_may_score_boxes(python: Python, layer: str) -> None:
    python(
        """
import signal, time
check()
handled = []
def handler(number, frame):
    fastiou.box_iou(boxes, boxes)
    handled.append(number)
    # Not an interval: on a busy machine the next signal would come within the handler.
    signal.setitimer(signal.ITIMER_REAL, 0.002)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.002)
end = time.monotonic() + 1.5
while time.monotonic() < end:
    fastiou.box_iou(boxes, boxes)
# Whoever handles a last signal sets the timer again, which must not end the process.
signal.signal(signal.SIGALRM, signal.SIG_IGN)
assert len(handled) > 20
""",
        NUMBA_THREADING_LAYER=layer,
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_pairs_in_threads_and_forked_workers(python: Python, tmp_path: Path) -> None:
    """Searches start many loops, of which the first ones are compiled here."""
    python(
        """
import multiprocessing, threading
def work(number=0):
    found = fastiou.pairs(boxes, boxes, 0.1)
    assert np.array_equal(found.values, expected[expected >= 0.1])
    done.append(number)
    return number
done = []
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(done) == 4
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(work, range(8)) == list(range(8))
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("metric", ["iou", "giou", "ciou"])
def test_dense_bits_do_not_depend_on_threads_or_steps(
    rng: np.random.Generator,
    metric: str,
    fixed_steps: Callable[[int], None],
) -> None:
    a, b = random_boxes(rng, 1001, np.float32), random_boxes(rng, 4999, np.float32)
    expected = np.concatenate(
        [fastiou.box_iou(a[first : first + 10], b, metric=metric) for first in range(0, 1001, 10)]
    )
    for count in (1, 2, 4):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        for step in (1, 100_000, 1 << 26):
            fixed_steps(step)
            np.testing.assert_array_equal(fastiou.box_iou(a, b, metric=metric), expected)


@pytest.mark.usefixtures("several_threads")
def test_the_number_of_threads_is_left_alone(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 600, np.float32)
    for count in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(count)
        fastiou.box_iou(boxes, boxes)
        fastiou.pairs(boxes)
        assert numba.get_num_threads() == count


# ---- waking threads ----------------------------------------------------------------------------


TIMED_LAYERS = pytest.mark.parametrize("layer", ["tbb", "omp"])


class TimedKernel:
    """Takes as long as it is told to, on one thread and on several."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, layer: str) -> None:
        self.clock = 1000.0
        self.seconds_per_score = np.inf
        self.seconds = {"one thread": 0.0, "threads": 0.0}
        self.is_quickly_parallel = True
        self.patience = PATIENCE
        monkeypatch.setattr(threads.time, "monotonic", lambda: self.clock)
        monkeypatch.setattr(threads.numba, "threading_layer", lambda: layer)
        monkeypatch.setattr(threads, "FORCED", None)
        monkeypatch.setattr(threads, "_last_end", -np.inf)
        monkeypatch.setattr(threads, "_earned", 0.0)
        monkeypatch.setattr(threads, "_worked", 0.0)

    def serial(self) -> str:
        self.clock += self.seconds["one thread"]
        return "one thread"

    def parallel(self) -> str:
        self.clock += self.seconds["threads"]
        return "threads"

    def run(self, scores: int, one: float, several: float, after: float = 0.0) -> str:
        self.clock += after
        self.seconds = {"one thread": one, "threads": several}
        return str(threads.run(self, scores))  # type: ignore[arg-type]


@pytest.fixture
def timed_kernel(
    monkeypatch: pytest.MonkeyPatch, several_threads: None
) -> Callable[[str], TimedKernel]:
    return functools.partial(TimedKernel, monkeypatch)


@TIMED_LAYERS
def test_threads_are_woken_by_as_much_work_as_that_may_cost(
    timed_kernel: Callable[[str], TimedKernel], layer: str
) -> None:
    kernel, stall = timed_kernel(layer), threads.LAYERS[layer].stall
    for _ in range(3):  # far apart
        assert kernel.run(500_000, stall * 0.9, stall * 0.5, after=0.02) == "one thread"
    assert kernel.run(500_000, stall * 0.9, stall * 0.5) == "one thread"
    for _ in range(3):  # one after the other
        assert kernel.run(500_000, stall * 0.9, stall * 0.5) == "threads"
    assert kernel.run(99_999, 0.0001, 0.0001) == "one thread"
    assert kernel.run(500_000, stall * 0.9, stall * 0.5) == "threads"
    assert kernel.run(500_000, stall * 0.9, stall * 0.5, after=0.003) == "one thread"
    large = threads.LAYERS[layer].wakes_from
    assert kernel.run(large, stall * 3, stall * 2, after=0.02) == "threads"


@TIMED_LAYERS
def test_a_form_for_threads_is_compiled_for_as_much_work_as_deserves_it(
    timed_kernel: Callable[[str], TimedKernel], layer: str
) -> None:
    kernel = timed_kernel(layer)
    kernel.is_quickly_parallel = False
    seconds = kernel.patience / 8
    for _ in range(8):
        assert kernel.run(500_000, seconds, seconds / 2) == "one thread"
    assert kernel.run(500_000, seconds, seconds / 2) == "threads"


@pytest.mark.slow
def test_a_form_for_threads_that_is_on_disk_is_not_waited_for(
    python: Python, tmp_path: Path
) -> None:
    """It is told from other forms and other kernels."""
    code = """
from fastiou.cpu.pairs import NAME_ROWS, SORT_OUT
arguments = np.array([0, 1]), np.array([0, 1]), np.zeros(1, np.int64)
print(NAME_ROWS.is_quickly_parallel, NAME_ROWS.is_at_hand, SORT_OUT.is_quickly_parallel)
NAME_ROWS.{form}(*arguments)
print(NAME_ROWS.is_quickly_parallel, NAME_ROWS.is_at_hand, SORT_OUT.is_at_hand)
"""
    for form, told in (
        ("parallel", "False False False\nTrue False False\n"),
        ("serial", "True False False\nTrue True False\n"),
        ("serial", "True True False\nTrue True False\n"),
    ):
        assert python(code.format(form=form), NUMBA_CACHE_DIR=str(tmp_path)) == told


@TIMED_LAYERS
def test_threads_that_were_slower_are_left_alone_for_a_while(
    timed_kernel: Callable[[str], TimedKernel], layer: str
) -> None:
    kernel, stall = timed_kernel(layer), threads.LAYERS[layer].stall
    assert kernel.run(500_000, stall * 1.1, stall) == "one thread"
    assert kernel.run(500_000, stall * 1.1, stall * 1.5) == "threads"
    assert kernel.run(500_000, stall * 1.1, stall * 2) == "threads"
    answers = [kernel.run(500_000, stall * 1.1, stall) for _ in range(120)]
    alone = answers.index("threads")
    assert threads.PENALTY / 1.2 < alone < threads.PENALTY
    assert set(answers[alone:]) == {"threads"}
    # Pauses shorten it by nothing, nor does work that would be large enough at other times.
    assert kernel.run(500_000, stall * 1.1, stall * 2) == "threads"
    large = threads.LAYERS[layer].wakes_from
    assert kernel.run(large, stall * 3, stall * 2, after=0.02) == "one thread"


@TIMED_LAYERS
@pytest.mark.parametrize(
    ("one", "several", "answer"),
    [(1.9, 2.3, "threads"), (1.9, 2.5, "one thread"), (2.1, 8.8, "threads"),
     (2.1, 9, "one thread")],
)  # fmt: skip
def test_work_of_many_stalls_may_take_a_few_times_as_long(
    timed_kernel: Callable[[str], TimedKernel], layer: str, one: float, several: float, answer: str
) -> None:
    """The same kernel may take longer for a score: what it reads lies in no cache."""
    kernel, stall = timed_kernel(layer), threads.LAYERS[layer].stall
    assert kernel.run(500_000, one * stall, stall) == "one thread"
    assert kernel.run(500_000, one * stall, several * stall) == "threads"
    assert kernel.run(500_000, one * stall, stall) == answer


def test_small_work_of_workqueue_stays_on_one_thread(
    timed_kernel: Callable[[str], TimedKernel],
) -> None:
    kernel = timed_kernel("workqueue")
    answers = [kernel.run(1_000_000, 0.001, 0.001) for _ in range(5)]
    assert answers == ["one thread"] * 5
    assert [kernel.run(2_000_000, 0.001, 0.001) for _ in range(5)] == ["threads"] * 5


def test_the_threading_layer_is_tbb_where_it_is_installed(python: Python) -> None:
    """Whoever starts Numba's threads, and unless the user says otherwise."""
    code = (
        "import numba\nimport fastiou\nnumba.set_num_threads(1)\nprint(numba.threading_layer())\n"
    )
    code += "print(fastiou.config.configuration()['threading layer'])\n"
    code = "import fastiou.config\n" + code
    name, told = python(code, prelude="").splitlines()
    names = {package.metadata["Name"] for package in importlib.metadata.distributions()}
    installed = "tbb" in names
    assert (name == "tbb") == installed
    assert told.startswith(f"{name} (tbb 20" if installed else f"{name} (the package tbb is not")
    assert python(code, prelude="", NUMBA_THREADING_LAYER="workqueue").splitlines() == [
        "workqueue",
        "workqueue (NUMBA_THREADING_LAYER=workqueue)",
    ]


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            "tbb",
            "the package tbb is not installed: pip install tbb, or unset NUMBA_THREADING_LAYER",
        ),
        ("pthreads", "'pthreads' is unknown to Numba: unset NUMBA_THREADING_LAYER"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="where TBB has a package")
def test_threads_that_cannot_be_had_are_told(python: Python, layer: str, words: str) -> None:
    """By what needs them; a few boxes do not."""
    hidden = """
import pathlib
glob = pathlib.Path.glob
pathlib.Path.glob = lambda path, pattern: () if "tbb-" in pattern else glob(path, pattern)
"""
    printed = python(
        hidden
        + PRELUDE
        + """
fastiou.box_iou(boxes[:9], boxes[:9])
try:
    check()
except RuntimeError as error:
    print(error)
fastiou.show_config()
""",
        prelude="",
        NUMBA_THREADING_LAYER=layer,
    ).splitlines()
    assert printed[0].endswith(words)
    assert sum(line.endswith(words) for line in printed[1:]) == 1


def test_a_broken_package_of_tbb_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Python itself tolerates what is no text.
    monkeypatch.setattr(sys, "path", [b"/tmp", str(tmp_path), str(tmp_path / "absent"), "", None])
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("NUMBA_THREADING_LAYER", raising=False)
    assert tbb._loaded() == "the package tbb is not installed"
    folder = tmp_path / "tbb-2022.1.dist-info"
    folder.mkdir()
    (folder / "RECORD").write_text("../lib/libtbb.so.12,sha256=x,5\n")
    before = tbb.status, tbb.is_loaded
    try:
        tbb.load_tbb()
        assert tbb.status.startswith("TBB cannot be loaded")
        assert not tbb.is_loaded
    finally:
        tbb.status, tbb.is_loaded = before
    monkeypatch.setattr(sys, "platform", "darwin")
    assert tbb._loaded() == "there is no package tbb for this system"
