"""Threads, forks, caches and interrupts: what breaks libraries that are right otherwise.

Each case runs in a process of its own. It takes compiled kernels from where the tests keep theirs,
unless it is the cache that it tests.
"""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest
from boxes_for_tests import random_boxes

import fastiou
from fastiou.runtime import memory, tbb, threads

PACKAGE = Path(fastiou.__file__).parent

PRELUDE = """
import warnings
warnings.simplefilter("error")
import numpy as np
import fastiou
from fastiou import reference

from fastiou.runtime import threads

threads.FORCED = True
rng = np.random.default_rng(0)
low = rng.random((500, 2)) * 100
boxes = np.concatenate([low, low + rng.random((500, 2)) * 20 + 1], axis=1)
expected = reference.box_iou(boxes, boxes)

def check():
    scores = fastiou.box_iou(boxes, boxes)  # more than a serial kernel takes
    assert np.array_equal(scores, expected)
    few = fastiou.box_iou(boxes[:9], boxes[:9])
    assert np.array_equal(few, expected[:9, :9])
"""

Python = Callable[..., str]

TBB = pytest.param("tbb", marks=pytest.mark.skipif(not tbb.is_loaded, reason=tbb.status))


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


LAYERS = pytest.mark.parametrize(
    "layer",
    [TBB, *(pytest.param(name, marks=pytest.mark.slow) for name in ("omp", "workqueue"))],
)


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


@pytest.mark.slow
def test_a_cpu_without_wide_vectors_gives_the_same_bits(python: Python) -> None:
    code = (
        "some = boxes.astype(np.float32)\n"
        "assert np.array_equal(fastiou.box_iou(some, some), reference.box_iou(some, some))\n"
        "turned = np.concatenate([some, some[:, :1]], axis=1)[:60]\n"
        "print(hash(fastiou.box_iou(turned, turned, 'cxcywhr').tobytes()))\n"
    )
    seed = {"PYTHONHASHSEED": "0"}
    haswell = python(code, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="+avx2,+fma", **seed)
    assert python(code, **seed) == haswell


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
        """
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
        """
import os, threading
check()
def fork():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        print(threads._forked, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
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


def test_without_a_compiler_there_is_one_clear_error(python: Python) -> None:
    python(
        """
for call in (lambda: fastiou.box_iou(boxes, boxes), lambda: fastiou.pairs(boxes)):
    try:
        call()
    except RuntimeError as error:
        assert "NUMBA_DISABLE_JIT" in str(error)
    else:
        raise AssertionError
""",
        NUMBA_DISABLE_JIT="1",
    )


def test_unwritable_cache_folder(python: Python, tmp_path: Path) -> None:
    """Not even the superuser can make a folder below a file."""
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "cache")
    python(
        """
from numba.core import caching
# It would go on to the folder of the sources and the user's own.
caching.CacheImpl._locator_classes = [
    locator for locator in caching.CacheImpl._locator_classes if "UserProvided" in locator.__name__
]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for some in (boxes[:9], boxes[:9].astype(np.float32)):
        assert np.array_equal(fastiou.box_iou(some, some), reference.box_iou(some, some))
messages = [str(warning.message) for warning in caught]
assert len(messages) == 1, messages
assert "cannot keep its compiled kernels on disk" in messages[0]
assert "NUMBA_CACHE_DIR" in messages[0]
""",
        NUMBA_CACHE_DIR=nowhere,
    )


@pytest.mark.slow
def test_full_disk(python: Python, tmp_path: Path) -> None:
    """An error while a kernel is saved leaves the call right, and is told once."""
    python(
        """
from numba.core import caching
def full(self, name, data):
    raise OSError(28, "No space left on device")
caching.IndexDataCacheFile._save_data = full
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for some in (boxes[:9], boxes[:9].astype(np.float32)):
        assert np.array_equal(fastiou.box_iou(some, some), reference.box_iou(some, some))
assert len(caught) == 1 and "No space left" in str(caught[0].message)
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )


def empty(file: Path) -> None:
    file.write_bytes(b"")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def scribble(file: Path) -> None:
    """Change bytes in the middle: of compiled code, where the file holds it."""
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0x55 for byte in content[middle : middle + 64])
    file.write_bytes(content)


def replace_by_garbage(file: Path) -> None:
    file.write_bytes(os.urandom(500))


def pickle_something_else(file: Path) -> None:
    file.write_bytes(pickle.dumps((numba.__version__, 1)) + pickle.dumps(["x"]))


FEW = "assert np.array_equal(fastiou.box_iou(boxes[:9], boxes[:9]), expected[:9, :9])\n"


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with one kernel, to be copied."""
    folder = tmp_path_factory.mktemp("small")
    subprocess.run(
        [sys.executable, "-c", PRELUDE + FEW],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "NUMBA_CACHE_DIR": str(folder)},
        cwd=folder,
        check=True,
    )
    return folder


@pytest.mark.parametrize(
    "damage",
    [
        scribble,
        *[
            pytest.param(damage, marks=pytest.mark.slow)
            for damage in (empty, truncate, replace_by_garbage, pickle_something_else)
        ],
    ],
)
def test_damaged_cache(
    python: Python,
    small_cache: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    """What cannot be read is compiled again without a word, and mended on disk."""
    shutil.copytree(small_cache, tmp_path, dirs_exist_ok=True)
    files = list(tmp_path.rglob("*small-dense-box-iou*"))
    assert files
    for file in files:
        damage(file)
    python(FEW, NUMBA_CACHE_DIR=str(tmp_path))
    python(
        FEW
        + "from fastiou.cpu.small import small_kernels\nfrom fastiou.geometries.boxes import BOX\n"
        "from fastiou.metrics import METRICS\n"
        "assert small_kernels(BOX, METRICS['iou']).dense.serial.stats.cache_hits\n",
        NUMBA_CACHE_DIR=str(tmp_path),
    )


@pytest.mark.slow
def test_what_several_processes_compiled_is_told_apart(python: Python, tmp_path: Path) -> None:
    """Numba numbers functions in each process anew; the linker must not go by that number."""
    code = """
import sys
few = boxes[:200]  # of which some overlap
for metric in {metrics}:
    scores = fastiou.box_iou(few, few, metric=metric)
    assert np.array_equal(scores, reference.box_iou(few, few, metric=metric)), metric
"""
    metrics = ["iou", "iof"]
    for metric in metrics:
        python(code.format(metrics=[metric]), NUMBA_CACHE_DIR=str(tmp_path))
    python(code.format(metrics=metrics), NUMBA_CACHE_DIR=str(tmp_path))


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_mix_up_their_files(
    python: Python, tmp_path: Path
) -> None:
    """A file says what it was compiled for, and nothing else is run in its place."""
    code = "".join(
        f"some = boxes[:9].astype(np.float{bits})\n"
        "assert np.array_equal(fastiou.box_iou(some, some), reference.box_iou(some, some))\n"
        for bits in (32, 64)
    )
    python(code, NUMBA_CACHE_DIR=str(tmp_path))
    single, double = tmp_path.rglob("*small-dense-box-iou*.nbc")
    kept = single.read_bytes()
    shutil.copy(double, single)
    double.write_bytes(kept)
    python(code, NUMBA_CACHE_DIR=str(tmp_path))


@pytest.mark.parametrize(
    ("count", "dtype"),
    [
        (1, "float64"),
        pytest.param(400, "float64", marks=pytest.mark.slow),
        pytest.param(400, "float32", marks=pytest.mark.slow),
    ],
)
def test_an_edited_formula_is_noticed_by_the_cache(
    python: Python, tmp_path: Path, count: int, dtype: str
) -> None:
    copy = tmp_path / "copy" / "fastiou"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def score() -> float:
        printed = python(
            f"""
import fastiou, numpy as np
boxes = np.tile(np.array([0, 0, 1, 1], np.{dtype}), ({count}, 1))
print(fastiou.box_iou(boxes, boxes)[0, 0])
""",
            prelude="",
            PYTHONPATH=str(copy.parent),
            NUMBA_CACHE_DIR=str(tmp_path / "cache"),
        )
        return float(printed)

    assert score() == 1
    formulas = copy / "metrics.py"
    source = formulas.read_text()
    formula = "return quotient(intersection, area1 + area2 - intersection)"
    assert source.count(formula) == 1
    formulas.write_text(source.replace(formula, "return quotient(intersection, 3 * area2)"))
    assert score() == pytest.approx(1 / 3)
    if count > 1:  # no longer a single quotient, which is divided in another way
        formulas.write_text(source.replace(formula, f"{formula} / 2"))
        assert score() == 0.5


@pytest.mark.slow
def test_serial_kernels_with_bounds_checks(python: Python) -> None:
    """Indices stay inside their arrays; the loops of parallel kernels are the same."""
    python(
        """
import numba
numba.set_num_threads(1)
for count in (0, 1, 7, 63, 64, 65, 130):
    some = boxes[:count]
    for metric in ("iou", "ciou"):
        scores = fastiou.box_iou(some, boxes, metric=metric)
        fastiou.box_iou(some, some, metric=metric, aligned=True)
        fastiou.box_iou(some, boxes, metric=metric, iscrowd=np.arange(500) % 3 == 0)
        groups = np.arange(count) % 3, np.arange(500) % 3
        fastiou.pairs(some, boxes, 0.1, metric=metric, groups=groups)
        fastiou.pairs(some, threshold=0.1, metric=metric)
check()
""",
        NUMBA_BOUNDSCHECK="1",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no signals")
@pytest.mark.parametrize(
    "call",
    [
        "fastiou.box_iou(some, many, out=out)",
        pytest.param("fastiou.pairs(some, many)", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_ends_long_work(python: Python, call: str) -> None:
    """Amid long work comes a Ctrl-C; soon afterwards it must be over.

    Soon is half a second of two threads in CPU time, which does not hang on what else runs. See
    also `test_interrupts`.
    """
    python(
        f"""
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start without it
many = np.tile(boxes, (200, 1)).astype(np.float32)
some = many[:5_000]
out = np.empty((len(some), len(many)), np.float32)
work = lambda: {call}
work()  # compiles
def interrupt():
    time.sleep(0.3)
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)
waits = []
for _ in range(3):  # other processes can lengthen CPU time, but hardly three times in a row
    sent = []
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        while not sent or time.process_time() < sent[0] + 10:
            work()
        raise AssertionError("Ctrl-C was lost")
    except KeyboardInterrupt:
        waits.append(time.process_time() - sent[0])
    thread.join()
assert min(waits) < 0.5, waits
check()
""",
        NUMBA_NUM_THREADS=str(min(2, numba.config.NUMBA_NUM_THREADS)),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no signals")
@pytest.mark.parametrize(
    ("owner", "hook", "call", "cached"),
    [
        # What these raise is printed and forgotten, since ctypes calls them.
        pytest.param(
            "numba.core.codegen.CPUCodeLibrary",
            "_object_compiled_hook",
            1,
            False,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "numba.core.codegen.CPUCodeLibrary",
            "_object_getbuffer_hook",
            1,
            True,
            marks=pytest.mark.slow,
        ),
        # Called by modules that do not bear to be imported again.
        ("numba.core.pythonapi", "unbox", 1, False),
        # Called for each entry of a registry that is read once.
        pytest.param(
            "numba.core.typing.context.BaseContext",
            "insert_attributes",
            20,
            False,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_ctrl_c_at_a_bad_moment_is_heard_and_breaks_nothing(
    python: Python, tmp_path: Path, owner: str, hook: str, call: int, cached: bool
) -> None:
    score = "scores = fastiou.box_iou(boxes[:9], boxes[:9])\n"
    if cached:
        python(score, NUMBA_CACHE_DIR=str(tmp_path))
    python(
        f"""
import os, pkgutil, signal, time
import numba
signal.signal(signal.SIGINT, signal.default_int_handler)
owner = pkgutil.resolve_name("{owner}")
hook = owner.{hook}
def interrupted(*arguments):
    result = hook(*arguments)
    calls.append(hook)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGINT)
    return result
owner.{hook} = interrupted
calls = []
try:
    {score}
    assert len(calls) >= {call}, "the hook was not called"
    time.sleep(10)
    raise AssertionError("Ctrl-C was lost")
except KeyboardInterrupt:
    pass
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
{score}
assert np.array_equal(scores, expected[:9, :9])
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no signals")
def test_ctrl_c_is_heard_at_once_while_a_module_is_imported(python: Python, tmp_path: Path) -> None:
    """That the caller's own module is being imported makes no moment a bad one."""
    (tmp_path / "caller.py").write_text(
        """
import os, signal
import numpy as np, fastiou
from numba.core.compiler import CompilerBase
signal.signal(signal.SIGINT, signal.default_int_handler)
start = CompilerBase.compile_extra
def interrupted(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
    return start(*arguments)
CompilerBase.compile_extra = interrupted
heard = False
boxes = np.array([[0.0, 0, 1, 1]])
try:
    fastiou.box_iou(boxes, boxes)
except KeyboardInterrupt:
    heard = True
"""
    )
    cache = tmp_path / "cache"
    python("import caller\nassert caller.heard", prelude="", NUMBA_CACHE_DIR=str(cache))
    assert not list(cache.rglob("*small-dense-box-iou*.nbc"))  # which is compiled no more


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


def test_importing_is_light(python: Python) -> None:
    python(
        """
import sys
import fastiou
heavy = {"numba", "llvmlite", "scipy", "torch", "rich", "click", "matplotlib", "numpy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
fastiou.box_iou
extras = heavy - {"numba", "llvmlite", "numpy", "scipy"}
assert not extras & set(sys.modules), extras & set(sys.modules)
""",
        prelude="",
    )


# ---- waking threads ----------------------------------------------------------------------------


class TimedKernel:
    """Takes as long as it is told to, on one thread and on several."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, layer: str) -> None:
        self.clock = 1000.0
        self.seconds_per_score = np.inf
        self.seconds = {"one thread": 0.0, "threads": 0.0}
        monkeypatch.setattr(threads.time, "monotonic", lambda: self.clock)
        monkeypatch.setattr(threads.numba, "threading_layer", lambda: layer)
        monkeypatch.setattr(threads, "FORCED", None)
        monkeypatch.setattr(threads, "_last_end", -np.inf)
        monkeypatch.setattr(threads, "_earned", 0.0)

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


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("layer", ["tbb", "omp"])
def test_threads_are_woken_by_as_much_work_as_that_may_cost(
    monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    kernel = TimedKernel(monkeypatch, layer)
    stall = threads.LAYERS[layer].stall
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


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("layer", ["tbb", "omp"])
def test_threads_that_were_slower_are_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    kernel = TimedKernel(monkeypatch, layer)
    stall = threads.LAYERS[layer].stall
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


@pytest.mark.usefixtures("several_threads")
def test_small_work_of_workqueue_stays_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = TimedKernel(monkeypatch, "workqueue")
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


# ---- memory ------------------------------------------------------------------------------------


def test_memory_of_large_results_is_used_again(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 2100, dtype=np.float32)
    memory._spare.clear()
    first = fastiou.box_iou(boxes, boxes)
    address, copy = first.ctypes.data, first.copy()
    second = fastiou.box_iou(boxes, boxes)
    assert second.ctypes.data != address
    view = memoryview(first[5:, ::2])  # keeps the memory, though the array goes
    del first
    assert not memory._spare
    third = fastiou.box_iou(boxes, boxes, metric="iof")
    assert third.ctypes.data != address
    assert np.array_equal(np.asarray(view), copy[5:, ::2])
    view.release()
    fourth = fastiou.box_iou(boxes, boxes)
    assert fourth.ctypes.data == address
    assert np.array_equal(fourth, copy)
    assert fourth.flags.carray
    assert fourth.flags.writeable
    del fourth  # whose memory is too little for a larger result
    larger = random_boxes(rng, 2500, dtype=np.float32)
    assert np.array_equal(
        fastiou.box_iou(larger, larger[:9]), fastiou.box_iou(larger, larger)[:, :9]
    )


def test_little_memory_is_kept(rng: np.random.Generator) -> None:
    sizes = []
    memory._spare.clear()
    for count in (1000, 2100, 5700, 2100, 6000):
        boxes = random_boxes(rng, count, dtype=np.float32)
        fastiou.box_iou(boxes, boxes)
        sizes.append(sum(block.nbytes for block in memory._spare))
    # A much smaller result does not hold a large block.
    assert sizes == [0, 4 * 2100**2, 4 * 5700**2, 4 * 2100**2, 0]


def test_threads_share_no_memory(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 2100, dtype=np.float32)
    expected = fastiou.box_iou(boxes, boxes)
    wrong = []

    def work() -> None:
        for _ in range(10):
            scores = fastiou.box_iou(boxes, boxes)
            if not np.array_equal(scores, expected):
                wrong.append(scores)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
