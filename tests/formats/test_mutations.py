"""Damaged files of every format: the content they have, or one line that says what is wrong."""

from __future__ import annotations

import importlib.util
import io
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from files_for_tests import LABELME, LINES, SAMPLES, VOC
from test_matrix import CVAT, VIA
from test_matrix import SAMPLES as OTHERS

from fastiou.formats.content import BoxFile
from fastiou.formats.errors import FileError
from fastiou.formats.table import FORMATS, read_boxes

BOXES = np.array([[10.0, 20, 110, 220], [0, 0, 30, 40]])


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, BOXES)
    return file.getvalue()


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, boxes=BOXES, groups=[1, 2], scores=[0.5, 0.25])
    return file.getvalue()


def _table() -> object:
    arrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    names = ("x1", "y1", "x2", "y2")
    return arrow.table({"image": ["a", "b"], **dict(zip(names, BOXES.T, strict=True))})


def _parquet() -> bytes:
    table, file = _table(), io.BytesIO()
    importlib.import_module("pyarrow.parquet").write_table(table, file)
    return file.getvalue()


def _arrow() -> bytes:
    table, file = _table(), io.BytesIO()
    ipc = importlib.import_module("pyarrow.ipc")
    with ipc.new_file(file, table.schema) as writer:  # type: ignore[attr-defined]
        writer.write_table(table)
    return file.getvalue()


CONTENTS: dict[str, Callable[[], bytes]] = {
    **{name: content.encode for name, (_, content) in SAMPLES.items()},
    "voc": VOC.encode,
    "labelme": json.dumps(LABELME).encode,
    "cvat": CVAT.encode,
    "via": json.dumps(VIA).encode,
    "activitynet": OTHERS["activitynet, truth"][2],
    "jsonl": LINES.encode,
    "json": json.dumps([json.loads(line) for line in LINES.splitlines()]).encode,
    "yolo-seg": "2 0.1 0.5 0.3 0.1 0.2 0.9\n0 0 0 1 0 1 1 0 1\n".encode,
    "npy": _npy,
    "npz": _npz,
    "parquet": _parquet,
    "arrow": _arrow,
}

#: What text is broken with: marks of formats, numbers that are none, and letters.
PIECES = [
    b",", b" ", b"\n", b"\t", b";", b'"', b"-", b".", b"e", b"0", b"9" * 30, b"nan", b"inf", b"\0",
    b"\xff", b"{", b"}", b"[", b"]", b"<", b">", b"&", b"null", b"a", "é".encode(), b"1e400", b"",
]  # fmt: skip


def mutated(content: bytes, dice: random.Random) -> bytes:
    """Content with one to three places replaced, cut out, doubled or swapped."""
    for _ in range(dice.randint(1, 3)):
        first, last = sorted(dice.randint(0, len(content)) for _ in range(2))
        if dice.random() < 0.7:
            last = min(last, first + dice.randint(0, 3))
        kind = dice.randrange(4)
        middle = content[first:last]
        if kind == 0:
            middle = dice.choice(PIECES)
        elif kind == 1:
            middle = b""
        elif kind == 2:
            middle *= 2
        else:
            middle = bytes(byte ^ 1 << dice.randrange(8) for byte in middle)
        content = content[:first] + middle + content[last:]
    return content


@pytest.mark.parametrize(
    "count",
    [pytest.param(100, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.thorough)],
)
@pytest.mark.parametrize("name", CONTENTS)
def test_damaged_files(tmp_path: Path, name: str, count: int) -> None:
    content, dice = CONTENTS[name](), random.Random(name)
    path = tmp_path / "file"
    read, said = 0, set[str]()
    for _ in range(count):
        path.write_bytes(mutated(content, dice))
        for options in ({}, {"scored": True, "ids": True}, {"by": ("image",)}):
            try:
                file = read_boxes(path, **options)
            except FileError as error:
                said.add(str(error))
                continue
            read += 1
            assert isinstance(file, BoxFile)
            assert file.boxes.dtype in (np.float64, np.float32)
            assert not np.isinf(file.boxes).any()
            columns = [*file.keys.values(), file.scores, file.ids]
            assert {len(column) for column in columns if column is not None} <= {len(file)}
    assert read > 0
    assert not [words for words in said if "\n" in words or len(words) > 700 + len(str(path))]


#: Reads files in a process that may take 2 GiB more than what reading at all takes, and says by how
#: many MB its peak grew, and how long the slowest file took.
LIMITED = """
import resource, sys, time
from pathlib import Path

from fastiou.formats.errors import FileError
from fastiou.formats.table import read_boxes, read_masks

def read(path):
    asked = {}, {"scored": True, "ids": True}, {"by": ("image",)}
    for function, options in [*((read_boxes, each) for each in asked), (read_masks, {})]:
        try:
            function(path, **options)
        except FileError:
            pass

folder = Path(sys.argv[1])
for path in sorted(folder.glob("whole*")):  # which imports what the formats need
    read(path)
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + (2 << 30)
resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
for path in sorted(folder.glob("damaged*")):
    began = time.perf_counter()
    try:
        read(path)
    except BaseException:
        print(path, path.read_bytes(), file=sys.stderr)
        raise
    slowest = max(slowest, time.perf_counter() - began)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, slowest)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory and tells its use")
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(tuple(CONTENTS), id="all"),
        *(pytest.param((name,), id=name, marks=pytest.mark.thorough) for name in CONTENTS),
    ],
)
def test_damaged_files_take_little_memory_and_time(tmp_path: Path, names: tuple[str, ...]) -> None:
    count = 4 if len(names) > 1 else 1000
    for place, name in enumerate(names):
        if name in ("parquet", "arrow") and importlib.util.find_spec("pyarrow") is None:
            continue
        content, dice = CONTENTS[name](), random.Random(name)
        (tmp_path / f"whole{place}").write_bytes(content)
        for number in range(count):
            (tmp_path / f"damaged{place}-{number}").write_bytes(mutated(content, dice))
    found = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path], check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr[-2000:]
    growth, slowest = map(float, found.stdout.split())
    assert growth < 200
    assert slowest < 10


def test_every_format_of_boxes_is_damaged() -> None:
    damaged = {format_ for format_, _ in SAMPLES.values()} | CONTENTS.keys()
    known = {name for name, row in FORMATS.items() if "box" in row.readers}
    by_name = {"kitti-3d", "kitti-tracking-3d", "yolo-obb"}  # no content tells these
    assert known - damaged == by_name
