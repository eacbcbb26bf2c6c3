"""Caches and interrupts: what breaks libraries that are right otherwise.

Each case runs in a process of its own. It takes compiled kernels from where the tests keep theirs,
unless it is the cache that it tests.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import pytest
from processes_for_tests import PACKAGE, PRELUDE, Python


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


@pytest.mark.slow
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


@pytest.mark.slow
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
        pytest.param(400, "float32", marks=pytest.mark.thorough),
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
