"""Files far larger than they look, or than memory: refused early, and with little memory."""

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_io import npy_bytes, npz_bytes

import fastiou
from fastiou.formats import pieces, segmentations
from fastiou.formats.content import read_content
from fastiou.formats.errors import FileError
from fastiou.formats.masks import pack_masks
from fastiou.formats.numpy_files import read_npy, read_npy_boxes
from fastiou.formats.table import read_boxes, read_masks
from fastiou.runtime import memory

GIB = 1 << 30

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this system tells no peak")


def packed(head, filling, size):
    """A gzip file of `head` and then `filling` again and again, of about `size` bytes in all."""
    block = filling * ((1 << 24) // len(filling))
    return gzip.compress(head, mtime=0) + gzip.compress(block, mtime=0) * (size // len(block))


def header_of(shape, dtype="<f8", columns_first=False):
    """The header of a .npy file alone."""
    buffer = io.BytesIO()
    header = {"descr": dtype, "fortran_order": columns_first, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def zipped(shape, size):
    """A .npz file whose boxes are zeros, `size` bytes of them, that a few bytes stand for."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("boxes.npy", "w", force_zip64=True) as member,
    ):
        member.write(header_of(shape))
        for _ in range(size >> 24):
            member.write(bytes(1 << 24))
    return buffer.getvalue()


#: What a file holds, what is said of it, and how much memory that may take in MB.
BOMBS = {
    "zeros": (lambda: packed(b"", b"\0", 3 * GIB), "byte 0x00 among 5.0 MiB or more", 60),
    "noise": (
        lambda: packed(b"", bytes(range(256)) * 9, 2 * GIB),
        "byte 0x00 among 65.0 MiB",
        200,
    ),
    "not UTF-8": (lambda: packed(b"", b"1,2,3,\xff\n", 2 * GIB), "byte 0xff among 65.0 MiB", 200),
    "blanks": (lambda: packed(b"", b" \n", 3 * GIB), "begins with nothing but blanks", 200),
    "a line": (lambda: packed(b"", b"1,", 3 * GIB), ":1: a line of more than 4.0 MiB", 60),
    "a late line": (
        lambda: packed(b"x1,y1,x2,y2\n" + b"1,2,3,4\n" * 7, b"1,", 3 * GIB),
        ":9: a line of more than 4.0 MiB",
        60,
    ),
    "a line, not compressed": (
        lambda: b"x1,y1,x2,y2\r" * 3 + b"1," * (1 << 26),
        ":4: a line of more than 4.0 MiB",
        60,
    ),
    "an array": (
        lambda: packed(header_of((1 << 25, 12)), b"\0", 3 * GIB),
        ":array: shape (33554432, 12), dtype float64, expected boxes or labels",
        60,
    ),
    "an array of no boxes": (
        lambda: packed(header_of((1 << 20, 4096), "<f4"), b"\0", GIB),
        ":array: shape (1048576, 4096), dtype float32, expected boxes or labels",
        60,
    ),
    "behind an array": (
        lambda: packed(header_of((2, 4)) + bytes(64), b"\0", 3 * GIB),
        "behind the array, expected no more than its header tells",
        200,
    ),
    "in an archive": (
        lambda: zipped((1 << 25, 3, 1), GIB),
        ":boxes: shape (33554432, 3, 1), dtype float64, expected boxes or labels",
        60,
    ),
    "boxes": (
        lambda: packed(header_of((1 << 27, 4)), b"\0", 4 * GIB),
        "decompresses to more than 100 times its size",
        60,
    ),
    "whole boxes": (
        lambda: packed(header_of((1 << 28, 4), "<i4"), b"\1\0\0\0\2\0\0\0", 4 * GIB),
        "decompresses to more than 100 times its size",
        60,
    ),
    "labels": (
        lambda: packed(header_of((1 << 12, 1 << 10, 1 << 10), "|u1"), b"\0", 4 * GIB),
        "decompresses to more than 500 times its size",
        60,
    ),
    "boxes in an archive": (
        lambda: zipped((1 << 25, 4), GIB),
        "decompresses to more than 100 times its size",
        60,
    ),
    "zeros in JSON": (lambda: packed(b"[", b"\0", 3 * GIB), "byte 0x00 among 4.0 MiB", 200),
}

#: The same where some hundred MB are read before it shows.
LATE = {
    "rows": (
        lambda: packed(b"x1,y1,x2,y2\n", b"1,2,3,4\n", 3 * GIB),
        "decompresses to more than 100 times its size",
        700,
    ),
    "JSON": (
        lambda: packed(b"[", b'{"bbox": [1, 2, 3, 4]},\n', 3 * GIB),
        "decompresses to more than 100 times its size",
        700,
    ),
    "an image": (
        lambda: packed(b"II*\0", b"\0", 3 * GIB),
        "decompresses to more than 500 times its size",
        700,
    ),
}

CODE = """
import resource, sys
from pathlib import Path
from fastiou.formats.errors import FileError
from fastiou.formats.table import READERS

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    READERS[sys.argv[2]](Path(sys.argv[1]), None)
except FileError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def read_apart(path, kind="box", code=CODE):
    """What a process of its own says of a file, and by how many MB its peak grew meanwhile."""
    root = str(Path(fastiou.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path), kind],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    said, grown = ended.stdout.splitlines()
    return said, int(grown)


@pytest.mark.parametrize(
    "name", [*BOMBS, *(pytest.param(name, marks=pytest.mark.slow) for name in LATE)]
)
def test_a_bomb_is_refused_with_little_memory(tmp_path, name):
    make, words, megabytes = {**BOMBS, **LATE}[name]
    path = tmp_path / "bomb"
    path.write_bytes(make())
    assert path.stat().st_size < 200_000_000
    said, grown = read_apart(path)
    assert words in said
    assert grown < megabytes


@pytest.mark.parametrize("kind", ["mask", "labels"])
def test_every_reader_refuses_a_bomb(tmp_path, kind):
    path = tmp_path / "bomb"
    path.write_bytes(packed(b"", b"\0", 3 * GIB))
    said, grown = read_apart(path, kind)
    assert "byte 0x00 among 5.0 MiB" in said
    assert grown < 60


def rows_of_zeros(path, kind):
    """A table of 16 million rows that are all zeros, in a file of some kB."""
    arrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)
    ipc = pytest.importorskip("pyarrow.ipc", exc_type=ImportError)
    table = arrow.table({name: np.zeros(1 << 22) for name in ("x1", "y1", "x2", "y2")})
    options = ipc.IpcWriteOptions(compression="zstd")
    opened = {
        "parquet": lambda: parquet.ParquetWriter(path, table.schema),
        "arrow": lambda: ipc.new_file(str(path), table.schema, options=options),
    }
    with opened[kind]() as file:
        for _ in range(5):
            file.write_table(table)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_tables_of_arrow_are_no_bombs(tmp_path, kind):
    path = tmp_path / "bomb"
    rows_of_zeros(path, kind)
    assert path.stat().st_size < 2_000_000
    said, grown = read_apart(path)
    assert "decompresses to more than 100 times its size" in said
    assert grown < 1000


def test_numbers_of_arrow_are_those_of_lists(tmp_path):
    arrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)
    path = tmp_path / "boxes.parquet"
    for dtype in (np.int16, np.uint8, np.int64, np.uint64, np.float32, np.float64):
        columns = {name: np.array([1, 7, 9], dtype) for name in ("x1", "y1", "x2", "y2", "frame")}
        parquet.write_table(arrow.table(columns), path, row_group_size=2)
        file = read_boxes(path)
        assert file.boxes.tolist() == [[1] * 4, [7] * 4, [9] * 4]
        assert (file.keys["image"].tolist(), file.keys["image"].dtype) == ([1, 7, 9], np.int64)
    for column, value, words in (
        ("x1", np.uint64(2**60), "x1: 1152921504606846976, expected a number"),
        ("frame", np.uint64(2**63), "frame: 9223372036854775808, expected a whole number of 64"),
        ("frame", np.float64(0.5), "frame: 0.5, expected a whole number of 64 bits, or a name"),
        ("y2", np.float64(np.inf), "y2: inf, expected a finite number or NaN"),
    ):
        changed = {**columns, column: np.array([1, 2, value], value.dtype)}
        parquet.write_table(arrow.table(changed), path)
        with pytest.raises(FileError, match=rf"{column}\[2\]: {words}"):
            read_boxes(path)


def test_an_archive_that_is_none_is_not_read_through(tmp_path):
    path = tmp_path / "boxes.npz"
    with path.open("wb") as file:  # of which the disk holds next to nothing
        file.write(b"PK\3\4")
        file.truncate(3 * GIB)
    said, grown = read_apart(path)
    assert "broken .npz file" in said
    assert grown < 60


@pytest.mark.slow
def test_arrays_are_held_once(tmp_path):
    """Compressed or not: the array is the content itself."""
    path = tmp_path / "boxes.npy"
    content = npy_bytes(np.zeros((6_000_000, 4)))
    code = CODE.replace("    READERS", "    print(len(READERS").replace("None)\n", "None)))\n", 1)
    for compress in (bytes, lambda data: gzip.compress(data, 1, mtime=0)):
        path.write_bytes(compress(content))
        said, grown = read_apart(path, code=code)
        assert said == "6000000"
        assert grown < 1.4 * len(content) / 2**20


# ---- memory that is not there ------------------------------------------------------------------


@pytest.fixture
def little_memory(monkeypatch):
    """Have 300 MB of memory free, and nothing too small to be asked about."""
    monkeypatch.setattr(memory, "_available_memory", lambda: 300 << 20)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header_of((1 << 24, 4)), "an array of 512.0 MiB, shape (16777216, 4), expected one that"),
        (
            gzip.compress(header_of((1 << 24, 4)), mtime=0),
            "an array of 512.0 MiB, shape (16777216, 4)",
        ),
        (header_of((10**23, 4)), "shape (100000000000000000000000, 4), expected one that fits"),
        (header_of((0, 4, 10**23), "|u1"), "cannot be read as .npy ("),
        (header_of((-1, 4)), "cannot be read as .npy (shape (-1, 4))"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, little_memory, content, words):
    path = tmp_path / "boxes.npy"
    path.write_bytes(content)
    with pytest.raises(FileError) as refused:
        read_boxes(path)
    assert words in str(refused.value)


def test_members_of_archives_that_do_not_fit(tmp_path, little_memory):
    path = tmp_path / "boxes.npz"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("boxes.npy", header_of((1 << 24, 4)))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(FileError, match=r"boxes: an array of 512\.0 MiB, .*expected one that fits"):
        read_boxes(path)


def test_text_that_does_not_fit(tmp_path, little_memory):
    path = tmp_path / "boxes.csv"
    with path.open("wb") as file:
        file.write(b"1,2,3,4\n")
        file.truncate(200 << 20)  # it becomes a string besides
    with pytest.raises(FileError, match=r"200\.0 MiB or more of content, expected what fits"):
        read_boxes(path)
    path.write_bytes(packed(b"", b"1,2,3,4\n", 400 << 20))
    with pytest.raises(FileError, match=r"\d+\.\d MiB or more of content, expected what fits"):
        read_content(path)


# ---- what is read all the same -----------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"1,2,3,4\n" * (1 << 20),
        b"\n" * 60_000 + b"1,2,3,4\r" * 400_000,
        json.dumps([{"image_id": 1, "bbox": [1, 2, 3, 4]}] * 200_000).encode(),
        "é,x1,y1,x2,y2\n".encode() + "é,0,0,1,1\n".encode() * 500_000,
    ],
    ids=["rows", "blank lines", "one line of JSON", "letters"],
)
def test_large_content_is_read_whole(tmp_path, monkeypatch, content):
    monkeypatch.setattr(pieces, "JUDGED_FROM", 1 << 20)
    path = tmp_path / "content"
    parts = [content[:5], content[5:1_000_000], content[1_000_000:], b""]
    for data in (content, gzip.compress(content, 1, mtime=0), b"".join(map(gzip.compress, parts))):
        path.write_bytes(data)
        assert read_content(path) == content
    path.write_bytes(gzip.compress(content, 1, mtime=0) + bytes(1000))  # filled up, as tapes are
    assert read_content(path) == content
    path.write_bytes(gzip.compress(content, 1, mtime=0)[:-1])
    with pytest.raises(FileError, match="broken gzip file"):
        read_content(path)
    path.write_bytes(gzip.compress(content, 1, mtime=0) + b"more")
    with pytest.raises(FileError, match="broken gzip file"):
        read_content(path)


def test_content_comes_from_pipes(tmp_path):
    """Byte by byte, and but once."""
    content = b"1,2,3,4\n" * 1000
    for data in (content, gzip.compress(content, mtime=0)):
        reading, writing = os.pipe()
        if os.fork() == 0:
            for byte in data:
                os.write(writing, bytes([byte]))
            os._exit(0)
        os.close(writing)
        assert read_content(Path(f"/dev/fd/{reading}")) == content
        os.close(reading)
        os.wait()


@pytest.mark.parametrize("damage", [0, 1, 40])
def test_a_compressed_array_is_checked_to_its_end(tmp_path, damage):
    """What the header tells is there, but a sum behind it says that it is damaged."""
    path = tmp_path / "boxes.npy.gz"
    data = bytearray(gzip.compress(npy_bytes(np.arange(4000.0).reshape(-1, 4)), 0))
    if damage:
        data[-8 - damage] ^= 255
    path.write_bytes(data)
    if damage:
        with pytest.raises(FileError, match="broken gzip file"):
            read_boxes(path)
    else:
        assert read_boxes(path).boxes[-1].tolist() == [3996, 3997, 3998, 3999]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "|b1"])
@pytest.mark.parametrize("shape", [(5, 4), (0, 4), (3, 0), (2, 3, 4), (), (1,)])
def test_arrays_are_those_that_numpy_reads(tmp_path, shape, dtype, order):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype, order=order)
    data = npy_bytes(array) + b"more"
    parts = [gzip.compress(data[first : first + 9], mtime=0) for first in range(0, len(data), 9)]
    (tmp_path / "parts").write_bytes(b"".join(parts))
    assert read_content(tmp_path / "parts") == data
    read = read_npy(tmp_path, data)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert np.array_equal(read, array)
    assert read.flags.aligned
    # Behind a header whose length is odd, nothing is aligned.
    head = data[: len(npy_bytes(array)) - array.nbytes]
    cut = head[: head.rindex(b"}") + 1] + b"  \n"
    cut = cut[:8] + (len(cut) - 10).to_bytes(2, "little") + cut[10:]
    again = read_npy(tmp_path, cut + array.tobytes(order))
    assert np.array_equal(again, array)
    assert again.flags.aligned


# ---- broken archives ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ZIP_STORED", "ZIP_DEFLATED", "ZIP_BZIP2", "ZIP_LZMA"])
def test_every_damage_of_an_archive_is_told_in_one_line(tmp_path, rng, method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", getattr(zipfile, method)) as archive:
        archive.writestr("boxes.npy", npy_bytes(rng.random((40, 4))))
    content = buffer.getvalue()
    path = tmp_path / "boxes.npz"
    refused = 0
    for place in rng.permutation(len(content))[:400].tolist():
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        said = ""
        try:
            boxes = read_boxes(path).boxes
        except FileError as error:
            said = str(error)
            refused += 1
        else:  # what names a date, for example
            assert boxes.shape == (40, 4)
        assert "\n" not in said
        assert len(said) - len(str(path)) < 300
    assert refused > 200


def test_headers_without_end_are_told_shortly(tmp_path):
    path = tmp_path / "boxes.npy"
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 4" + b"0" * 9000 + b"), }"
    data = b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head
    with pytest.raises(FileError) as refused:
        read_npy(path, data)
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)
    with pytest.raises(FileError):
        read_npy_boxes(path, npz_bytes(boxes=np.zeros((1, 4)))[:50], None)


# ---- masks -------------------------------------------------------------------------------------


def _entry(image, size, counts):
    return {"image_id": image, "segmentation": {"size": size, "counts": counts}}


def test_masks_that_do_not_fit_are_refused(tmp_path, little_memory):
    path = tmp_path / "masks.json"
    path.write_text(json.dumps([_entry(1, [60_000, 60_000], [0, 3_600_000_000])] * 40))
    with pytest.raises(FileError, match=r"\[0\]: the bits of masks needs 16\.8 GiB, and 300\.0"):
        pack_masks([read_masks(path)], lambda *_: None)


PACK = """
import resource, sys
from pathlib import Path
import fastiou
from fastiou.formats import segmentations
from fastiou.formats.masks import pack_masks
from fastiou.formats.table import read_masks

segmentations.MASKS_AT_A_TIME = 2
file = read_masks(Path(sys.argv[1]))
warm = fastiou.Masks.from_rle([{"size": [9, 9], "counts": [0, 81]}] * 3)[[2, 0]]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(packed,) = pack_masks([file], lambda *_: None)
print(packed.area.tolist())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[20_000] * 8, [20_000, 19_000] * 4])
def test_masks_are_held_once(tmp_path, sizes):
    """However many are packed at a time, and whatever the order of their sizes."""
    path = tmp_path / "masks.json"
    entries = [
        _entry(number, [size, size], [number, size * size - number])
        for number, size in enumerate(sizes)
    ]
    path.write_text(json.dumps(entries))
    said, grown = read_apart(path, code=PACK)
    areas = [size * size - number for number, size in enumerate(sizes)]
    assert said == str(areas)
    of_two = 2 * max(areas) / 8 / 2**20
    assert grown < sum(areas) / 8 / 2**20 + 1.5 * of_two


def test_masks_of_mixed_sizes_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(segmentations, "MASKS_AT_A_TIME", 2)
    rng = np.random.default_rng(0)
    entries = []
    for number in range(15):
        height, width = rng.integers(3, 90, 2).tolist() if number % 3 else (70, 40)
        dense = rng.random((1, height, width)) < 0.5
        (run,) = fastiou.Masks.from_dense(dense).to_rle()
        entries.append((_entry(number, [height, width], run["counts"].decode()), dense[0]))
    path = tmp_path / "masks.json"
    path.write_text(json.dumps([entry for entry, _ in entries]))
    (packed,) = pack_masks([read_masks(path)], lambda *_: None)
    assert packed.area.tolist() == [int(dense.sum()) for _, dense in entries]
    for image, (_, dense) in zip(packed.to_dense(), entries, strict=True):
        height, width = dense.shape
        assert np.array_equal(image[:height, :width], dense)
        assert image.sum() == dense.sum()


SIDE = 60_000
FULL = [0, 0, SIDE, 0, SIDE, SIDE, 0, SIDE]


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [SIDE, SIDE], "counts": [0, SIDE**2]},
        {"size": [SIDE, SIDE], "counts": "0PPYWY[3"},
        [FULL],
        [[*FULL[:4], 9, 9], [SIDE, SIDE, SIDE - 9, SIDE, SIDE, SIDE - 9]],
    ],
    ids=["numbers", "letters", "a polygon", "polygons"],
)
def test_few_letters_of_many_pixels_are_refused(tmp_path, monkeypatch, mask):
    """Of 40 masks of 450 MB each none is packed."""
    monkeypatch.setattr(fastiou.Masks, "_of", None)
    path = tmp_path / "a.json"
    images = [{"id": n, "height": SIDE, "width": SIDE} for n in range(40)]
    annotations = [{"image_id": n, "category_id": 1, "segmentation": mask} for n in range(40)]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    with pytest.raises(
        FileError, match=r"masks that take more than 512\.0 MiB, expected less in a"
    ):
        pack_masks([read_masks(path)], lambda done, total: None)
    with pytest.raises(ValueError, match=r"masks that take more than 512\.0 MiB"):
        fastiou.read(path, geometry="mask")
    # Boxes around masks need no bits.
    found = [{**entry, "score": 0.5} for entry in annotations]
    truth = {"images": images, "categories": [{"id": 1}], "annotations": []}
    assert fastiou.evaluate_coco(truth, found)["AP"] == -1
