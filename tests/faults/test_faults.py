"""Faults by the thousand: threads, forks, little memory, full disks, damaged caches and signals.

Each test fills a row of the table in `docs/faults.md`, whose page says how it is made and which
other tests have one case each of the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import random_boxes
from processes_for_tests import PACKAGE

import fastiou
from fastiou.runtime import tbb

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(os.name != "posix", reason="this system has no such faults"),
]

LAYERS = pytest.mark.parametrize(
    "layer",
    [
        pytest.param("tbb", marks=pytest.mark.skipif(not tbb.is_loaded, reason=tbb.status)),
        "omp",
        "workqueue",
    ],
)

#: Calls of each relation with answers that are known, of sizes that take several threads.
CALLS = """
import json, os, sys, warnings
warnings.simplefilter("error")
import numpy as np
import fastiou
from fastiou import reference
from fastiou.runtime import threads

threads.FORCED = True
rng = np.random.default_rng(0)
low = rng.random((500, 2)) * 100
boxes = np.concatenate([low, low + rng.random((500, 2)) * 20 + 1], axis=1)
scores = rng.random(500)
expected = reference.box_iou(boxes, boxes)
above = np.nonzero(expected >= 0.5)

def dense():
    return np.array_equal(fastiou.box_iou(boxes, boxes), expected)

def pairs():
    found = fastiou.pairs(boxes, boxes, 0.5)
    return np.array_equal(found.rows, above[0]) and np.array_equal(found.values, expected[above])

def few():
    return np.array_equal(fastiou.box_iou(boxes[:9], boxes[:9]), expected[:9, :9])

kept = None
def nms():
    global kept
    found = fastiou.nms(boxes, scores)
    kept = found if kept is None else kept
    return np.array_equal(found, kept)

matched = None
def match():
    global matched
    found = fastiou.match(boxes, boxes + 1, 0.2, method="optimal").cols
    matched = found if matched is None else matched
    return np.array_equal(found, matched)

masks = fastiou.Masks.from_dense(rng.random((20, 90, 70)) < 0.5)
grid = masks.to_dense().reshape(20, -1).astype(int)
shared = grid @ grid.T
areas = grid.sum(axis=1)
of_masks = shared / (areas[:, None] + areas - shared)

def mask_iou():
    return np.array_equal(fastiou.mask_iou(masks, masks), of_masks)

WORK = [dense, pairs, few, nms, match, mask_iou]

def wrong_of(count):
    return sum(not WORK[i % len(WORK)]() for i in range(count))

def tell(calls, wrong):
    print(json.dumps({"calls": calls, "wrong": wrong}), flush=True)
"""

SETTLE = "assert wrong_of(2 * len(WORK)) == 0\n"


@LAYERS
def test_threads_call_at_once(faults: Any, layer: str) -> None:
    row = faults.row(f"8 threads at once, layer {layer}")
    faults.run(
        row.fault,
        CALLS
        + """
import threading
wrongs, barrier = [], threading.Barrier(8)
nms(); match()
def work():
    barrier.wait()
    try:
        wrongs.append(wrong_of(125))
    except BaseException as error:
        wrongs.append(125)
        print(repr(error), file=sys.stderr)
all_threads = [threading.Thread(target=work) for _ in range(8)]
for thread in all_threads: thread.start()
for thread in all_threads: thread.join()
import numba
assert numba.threading_layer() == os.environ["NUMBA_THREADING_LAYER"]
tell(1000, sum(wrongs))
""",
        NUMBA_THREADING_LAYER=layer,
    )
    row.check()


@LAYERS
def test_forked_children_call(faults: Any, layer: str) -> None:
    row = faults.row(f"20 forked children, layer {layer}")
    faults.run(
        row.fault,
        CALLS
        + SETTLE
        + """
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: forks beside threads
wrong = 0
for _ in range(20):
    child = os.fork()
    if child == 0:
        os._exit(min(wrong_of(50), 100))
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    wrong += os.waitstatus_to_exitcode(status)
tell(1000, wrong + wrong_of(len(WORK)))
""",
        NUMBA_THREADING_LAYER=layer,
    )
    row.check()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_started_otherwise_call(faults: Any, tmp_path: Path, method: str) -> None:
    row = faults.row(f"2 workers by {method}")
    caller = tmp_path / "caller.py"
    caller.write_text(
        CALLS
        + f"""
if __name__ == "__main__":
    import multiprocessing
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        tell(1000, sum(pool.map(wrong_of, [50] * 20, chunksize=5)))
"""
    )
    faults.run(row.fault, f"import runpy; runpy.run_path({str(caller)!r}, run_name='__main__')")
    row.check()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_data_loader_call(faults: Any, tmp_path: Path, method: str) -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    row = faults.row(f"2 workers of a DataLoader, by {method}")
    caller = tmp_path / "caller.py"
    caller.write_text(
        CALLS
        + f"""
import torch
from torch.utils.data import DataLoader, Dataset

class Items(Dataset):
    def __len__(self):
        return 1000
    def __getitem__(self, i):
        return int(not WORK[i % len(WORK)]())

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    dense()
    torch.rand(2000, 2000) @ torch.rand(2000, 2000)
    loader = DataLoader(
        Items(), batch_size=50, num_workers=2, multiprocessing_context={method!r}, timeout=400
    )
    tell(1000, sum(int(batch.sum()) for batch in loader))
"""
    )
    faults.run(row.fault, f"import runpy; runpy.run_path({str(caller)!r}, run_name='__main__')")
    row.check()


def test_little_address_space(faults: Any) -> None:
    """Each call is right, or a MemoryError; afterwards all are right."""
    row = faults.row("RLIMIT_AS from nothing to 300 MB more than is used")
    faults.run(
        row.fault,
        CALLS
        + SETTLE
        + """
import resource
many = np.tile(boxes, (8, 1)).astype(np.float32)
dense_boxes = many[:2000]
wanted = fastiou.box_iou(dense_boxes, dense_boxes)
work = {
    "box_iou": lambda: np.array_equal(fastiou.box_iou(dense_boxes, dense_boxes), wanted),
    "pairs": lambda: len(fastiou.pairs(many, threshold=0.9)) == pair_count,
    "topk": lambda: np.array_equal(fastiou.topk(many, many, 30).indices, best),
    "nms": lambda: np.array_equal(fastiou.nms(many, scores_of_many), kept_of_many),
    "match": lambda: np.array_equal(fastiou.match(many, many).cols, partners),
}
pair_count = len(fastiou.pairs(many, threshold=0.9))
best = fastiou.topk(many, many, 30).indices.copy()
scores_of_many = np.arange(len(many))
kept_of_many = fastiou.nms(many, scores_of_many)
partners = fastiou.match(many, many).cols
from fastiou.runtime import memory
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
calls = wrong = refused = 0
def used():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for i in range(200):
    memory._spare.clear()
    room = int((i / 200) ** 3 * 300e6)
    for name, call in work.items():
        resource.setrlimit(resource.RLIMIT_AS, (used() + room, hard))
        try:
            wrong += not call()
        except MemoryError:
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        calls += 1
assert refused > 20, refused
wrong += sum(not call() for call in work.values())
tell(calls, wrong)
""",
        NUMBA_NUM_THREADS="1",
    )
    row.check()


@pytest.mark.parametrize(
    ("kernels", "rooms"),
    [("loaded", (1000, 2, 4, 8, 12, 16, 24, 32, 48, 64, 100)), ("compiled", (2, 16, 48, 128, 200))],
)
def test_little_address_space_at_first(
    faults: Any, tmp_path: Path, kernels: str, rooms: tuple[int, ...]
) -> None:
    """Threads are started and kernels loaded or compiled in it, which ends a process that fails.

    What is to be loaded was compiled where there was room.
    """
    row = faults.row(f"RLIMIT_AS before threads have started, kernels to be {kernels}")
    code = (
        CALLS
        + """
import resource
few()
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + ROOM * 1_000_000, hard))
wrong = 0
for call in WORK:
    try:
        wrong += not call()
    except MemoryError:
        pass
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
tell(2 * len(WORK), wrong + wrong_of(len(WORK)))
"""
    )
    for layer in ("omp", "tbb") if tbb.is_loaded else ("omp",):
        for room in rooms:
            folder = "kept" if kernels == "loaded" else str(room)
            faults.run(
                row.fault,
                code.replace("ROOM", str(room)),
                NUMBA_CACHE_DIR=str(tmp_path / layer / folder),
                NUMBA_NUM_THREADS="2",
                NUMBA_THREADING_LAYER=layer,
            )
    row.check()


# ---- caches --------------------------------------------------------------------------------------

FEW = """
import json, warnings
warnings.simplefilter("ignore", RuntimeWarning)  # that nothing can be kept
import numpy as np
import fastiou
from fastiou import reference
rng = np.random.default_rng(0)
low = rng.random((9, 2))
boxes = np.concatenate([low, low + rng.random((9, 2))], axis=1)
right = np.array_equal(fastiou.box_iou(boxes, boxes), reference.box_iou(boxes, boxes))
print(json.dumps({"calls": 1, "wrong": int(not right)}))
"""


def cache_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*small-dense-box-iou*.nbc"))


def test_damaged_cache_files_are_no_kernels(faults: Any, tmp_path: Path) -> None:
    """A thousand damages of a kernel's file: it is taken as absent each time."""
    row = faults.row("cache files cut off, scribbled over, or filled with noise")
    faults.run(
        row.fault,
        FEW.replace("print", "print_later = ")
        + """
import pickle
from fastiou.cpu.small import small_kernels
from fastiou.geometries.boxes import BOX
from fastiou.metrics import METRICS
from fastiou.runtime.cache import KernelCache
from pathlib import Path

dispatcher = small_kernels(BOX, METRICS["iou"]).dense.serial
cache = dispatcher._cache
signature = dispatcher.signatures[0]
context = dispatcher.targetctx
key = cache._index_key(signature, context.codegen())
file = Path(cache._cache_path) / cache._cache_file._name(key)
whole = file.read_bytes()
assert cache.load_overload(signature, context) is not None
wrong = 0
for i in range(1000):
    content = bytearray(whole)
    if i % 4 == 0:
        content = content[: int(rng.integers(len(whole)))]
    elif i % 4 == 1:
        place = int(rng.integers(len(whole)))
        content[place] ^= 1 << int(rng.integers(8))
    elif i % 4 == 2:
        content = bytearray(rng.bytes(int(rng.integers(1, 5000))))
    else:
        content = bytearray(pickle.dumps((int(rng.integers(2**32)), bytes(content[:1000]))))
    file.write_bytes(content)
    wrong += cache.load_overload(signature, context) is not None
file.write_bytes(whole)
assert cache.load_overload(signature, context) is not None
print(json.dumps({"calls": 1000, "wrong": wrong}))
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    row.check()


def make_pipe(file: Path) -> None:
    os.mkfifo(file)


def make_folder(file: Path) -> None:
    file.mkdir()


def make_loop(file: Path) -> None:
    file.symlink_to(file)


def make_endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


def make_unreadable(file: Path) -> None:
    file.write_bytes(b"x")
    file.chmod(0)


@pytest.mark.parametrize(
    "replace", [make_pipe, make_folder, make_loop, make_endless, make_unreadable]
)
def test_cache_files_that_are_none(
    faults: Any, tmp_path: Path, replace: Callable[[Path], None]
) -> None:
    """Such as hang whoever opens them, or never end."""
    row = faults.row("pipes, folders, loops of links and devices as cache files")
    faults.run(row.fault, FEW, NUMBA_CACHE_DIR=str(tmp_path))
    files = cache_files(tmp_path)
    assert files
    for file in files:
        file.unlink()
        replace(file)
    faults.run(row.fault, FEW, timeout=60, NUMBA_CACHE_DIR=str(tmp_path))
    row.check()


def test_full_disk_under_the_cache(faults: Any, tmp_path: Path) -> None:
    """No file can grow past some size: kernels cannot be kept, and a part of one is none."""
    row = faults.row("full disk under the cache")
    for room in (0, 100, 10_000, 100_000):
        full = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({room}, -1))\n"
        faults.run(row.fault, full + FEW, NUMBA_CACHE_DIR=str(tmp_path))
        faults.run(row.fault, full + FEW, NUMBA_CACHE_DIR=str(tmp_path))
    faults.run(row.fault, FEW, NUMBA_CACHE_DIR=str(tmp_path))
    row.check()


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A file of boxes, the pairs of which take a while to write."""
    path = tmp_path / "boxes.npy"
    np.save(path, random_boxes(rng, 3000, dtype=np.float32))
    return path


OUTPUTS = ["csv", "npz", "parquet"]


def command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "fastiou", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "NUMBA_NUM_THREADS": "1"}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_full_disk_under_out(faults: Any, files: Path, kind: str) -> None:
    """Each time the old file stays, in one line it is said why, and nothing else is left."""
    row = faults.row("full disk under --out")
    out = files.parent / f"pairs.{kind}"
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1)); "
        "from fastiou.cli.main import main; main(sys.argv[2:])"
    )
    words = ["match", files, files, "--threshold", 0.1, "--out", out, "--quiet"]
    # Kernels are on disk from then on, where there would be no room for them either.
    subprocess.run(command(*words), env=ENVIRONMENT, check=True, timeout=600)
    for room in (100, 500, 4096):  # less is none for the semaphores of Numba
        out.write_text("of before")
        ended = subprocess.run(
            [sys.executable, "-c", code, str(room), *map(str, words)],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        row.calls += 1
        row.wrongs["aborts"] += ended.returncode < 0
        row.wrongs["wrong answers"] += ended.returncode != 2 or ended.stderr.count("\n") != 1
        left = {path.name for path in files.parent.iterdir()} - {files.name, out.name}
        row.wrongs["half-written files"] += len(left) + (out.read_text() != "of before")
        assert ended.returncode == 2, ended.stderr
    row.check()


@pytest.mark.parametrize("kind", OUTPUTS)
def test_sigterm_at_any_time(faults: Any, files: Path, rng: np.random.Generator, kind: str) -> None:
    """Whenever it comes, the old file or the whole new one is there, and nothing else."""
    row = faults.row("SIGTERM while the command works and writes")
    out = files.parent / f"pairs.{kind}"
    words = command("match", files, files, "--threshold", 0.1, "--out", out, "--quiet")
    start = time.monotonic()
    subprocess.run(words, env=ENVIRONMENT, check=True, timeout=600)
    lasts = time.monotonic() - start
    whole = out.stat().st_size
    for share in np.linspace(0.4, 1.0, 6):
        out.write_text("of before")
        with subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
            time.sleep(lasts * share)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                row.wrongs["hangs"] += 1
                process.kill()
        row.calls += 1
        # Before the command has begun, and where it has ended, signals are as everywhere.
        expected = (0, 143, -signal.SIGTERM)
        row.wrongs["aborts"] += process.returncode not in expected
        left = {path.name for path in files.parent.iterdir()} - {files.name, out.name}
        is_old = out.stat().st_size == len("of before") and out.read_text() == "of before"
        is_new = abs(out.stat().st_size - whole) <= 100 and not is_old
        row.wrongs["half-written files"] += len(left) + (not is_old and not is_new)
    row.check()


# ---- Ctrl-C --------------------------------------------------------------------------------------


def pile(rng: np.random.Generator, count: int) -> Any:
    """Boxes all of which overlap, so that all are compared."""
    return random_boxes(rng, count, dtype=np.float32) / 50 + np.float32([0, 0, 50, 50])


#: Calls of a second and more, and what they take.
LONG: dict[str, Callable[[np.random.Generator], Callable[[], Any]]] = {
    "box_iou": lambda rng: (
        lambda a: lambda: fastiou.box_iou(a, a, metric="iou")[::997, ::991].copy()
    )(random_boxes(rng, 16_000, dtype=np.float32)),
    "pairs": lambda rng: (lambda a: lambda: fastiou.pairs(a, threshold=0.999).values)(
        pile(rng, 40_000)
    ),
    "topk": lambda rng: (lambda a: lambda: fastiou.topk(a, a, 3).indices)(pile(rng, 25_000)),
    "nms": lambda rng: (lambda a, s: lambda: fastiou.nms(a, s, 0.9999))(
        pile(rng, 20_000), rng.random(20_000)
    ),
    "match": lambda rng: (lambda a: lambda: fastiou.match(a, a[::-1], 0.9, method="optimal").cols)(
        pile(rng, 2500)
    ),
    "mask_iou": lambda rng: (lambda a: lambda: fastiou.mask_iou(a, a)[::97, ::91].copy())(
        fastiou.Masks.from_dense(rng.random((60, 500, 500)) < 0.5)[np.arange(2500) % 60]
    ),
    "from_rle": lambda rng: (lambda a: lambda: fastiou.Masks.from_rle(a).area)(
        fastiou.Masks.from_dense(rng.random((40, 800, 800)) < 0.5).to_rle() * 6
    ),
    "label_overlap": lambda rng: (lambda a: lambda: fastiou.label_overlap(*a).values)(
        rng.integers(0, 3000, (2, 4000, 4000), dtype=np.int32)
    ),
    "soft_iou": lambda rng: (lambda a: lambda: fastiou.soft_iou(a[0].T, a[1]))(
        rng.random((2, 9000, 9000), dtype=np.float32)
    ),
    "confusion_matrix": lambda rng: (lambda a: lambda: fastiou.confusion_matrix(a[0].T, a[1], 20))(
        rng.integers(0, 20, (2, 9000, 9000), dtype=np.uint8)
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_in_a_long_call(faults: Any, rng: np.random.Generator, name: str) -> None:
    """It is heard within half a second of CPU time, and the next call is right."""
    row = faults.row("SIGINT amid long calls")
    work = LONG[name](rng)
    expected = work()  # compiles
    begun = time.process_time()
    np.testing.assert_array_equal(work(), expected)
    lasts = time.process_time() - begun
    waits = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for share in (0.2, 0.5, 0.8):
            sent: list[float] = []

            def interrupt(sent: list[float] = sent, after: float = share * lasts) -> None:
                until = time.process_time() + after
                while time.process_time() < until:
                    time.sleep(0.002)
                sent.append(time.process_time())
                os.kill(os.getpid(), signal.SIGINT)

            thread = threading.Thread(target=interrupt)
            thread.start()
            row.calls += 1
            try:
                while not sent or time.process_time() < sent[0] + 10:
                    work()
                row.wrongs["hangs"] += 1
            except KeyboardInterrupt:
                waits.append(time.process_time() - sent[0])
            thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    # Other processes can lengthen CPU time, too, but hardly each time.
    row.wrongs["hangs"] += min(waits, default=9.0) > 0.5
    row.wrongs["wrong answers"] += not np.array_equal(work(), expected)
    row.check()
