"""Files of kinds that hold no boxes, masks or labels: each is named for what it is."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest
from command_for_tests import run
from images_for_tests import image_bytes, npy_bytes

from fastiou.formats import content
from fastiou.formats.content import BEGINNINGS, INSIDE, kind_described, kind_of

TABLE = "frame,x1,y1,x2,y2\n1,0,0,1,1\n"


def zip_bytes(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", "."), data)
    return buffer.getvalue()


def tar_bytes():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("boxes.csv"))
    return buffer.getvalue()


def sqlite_bytes():
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table boxes (x)")
        return connection.serialize() if hasattr(connection, "serialize") else SQLITE


def pictures():
    pytest.importorskip("PIL", reason="images need the extra images")
    colours = np.zeros((9, 8, 3), np.uint8)
    for kind in ("JPEG", "BMP", "GIF", "WebP", "JPEG2000", "ICO", "PPM"):
        yield kind, image_bytes(colours, kind)


SQLITE = b"SQLite format 3\0" + bytes(84)

#: What messages call a file, and its content as the programs of its kind write it.
FOREIGN = {
    "a ZIP file without arrays of NumPy": zip_bytes(a_txt=b"1,2,3,4"),
    "a PDF file": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
    "a SQLite file": sqlite_bytes(),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(88),
    "a pickle of Python objects, which are not read for safety": pickle.dumps([[1, 2, 3, 4]]),
    "a tar file": tar_bytes(),
    "a bzip2 file": bz2.compress(TABLE.encode()),
    "an xz file": lzma.compress(TABLE.encode()),
    "a gzip file inside another": gzip.compress(gzip.compress(TABLE.encode())),
    "a DICOM image": bytes(128) + b"DICM" + bytes(40),
    "an AVIF image": b"\0\0\0\x1cftypavif" + bytes(40),
    "a HEIF image": b"\0\0\0\x18ftypheic" + bytes(40),
    "a MP4 file": b"\0\0\0\x18ftypmp42" + bytes(40),
    "binary data of no known kind": bytes(range(40)),
    "UTF-16 text": TABLE.encode("utf-16"),
    "UTF-32 text": TABLE.encode("utf-32"),
}

#: Each command, and a phrase of what it says that it accepts.
COMMANDS = {
    ("match",): "npy, npz, csv",
    ("match", "--geometry", "box"): "npy, npz, csv",
    ("match", "--format", "csv"): "npy, npz, csv",
    ("match", "--format", "npy"): "a .npy file",
    ("match", "--geometry", "mask"): "COCO JSON with masks",
    ("match", "--geometry", "labels"): "a label image: PNG, TIFF or .npy",
    ("nms",): "npy, npz, csv",
    ("nms", "--geometry", "mask"): "COCO JSON with masks",
}


def check_refused(tmp_path, data, named):
    path = tmp_path / "unknown.dat"
    path.write_bytes(data)
    for command, accepted in COMMANDS.items():
        files = [path, path] if command[0] == "match" else [path]
        result = run(*command, *files)
        assert result.exit_code == 2, command
        assert result.stderr.startswith(f"fastiou: {path}: {named}, expected "), result.stderr
        assert result.stderr.count("\n") == 1
        assert " at 0x" not in result.stderr
        if not named.endswith("text"):
            assert accepted in result.stderr, command
        elif "--format" not in command:
            assert f"expected UTF-8 (iconv -f {named[:6]} -t UTF-8 converts it)" in result.stderr


@pytest.mark.parametrize("named", FOREIGN)
def test_foreign_files_are_named(tmp_path, named):
    check_refused(tmp_path, FOREIGN[named], named)


def test_other_images_are_named(tmp_path):
    for kind, data in pictures():
        words = kind.replace("JPEG2000", "JPEG 2000")
        article = "an" if kind == "ICO" else "a"
        check_refused(tmp_path, data, f"{article} {words} image")
        assert kind_of(data) in content.IMAGES


def test_tables_of_arrow_are_named():
    pyarrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)
    feather = pytest.importorskip("pyarrow.feather", exc_type=ImportError)
    for rows in ([], [1.0, 2.0]):
        table = pyarrow.table({"x1": pyarrow.array(rows, pyarrow.float64())})
        buffers = io.BytesIO(), io.BytesIO()
        parquet.write_table(table, buffers[0])
        feather.write_feather(table, buffers[1])
        assert [kind_of(buffer.getvalue()) for buffer in buffers] == ["parquet", "Arrow"]
    assert kind_described("parquet") == "a parquet file"


def test_every_kind_has_words():
    kinds = {*BEGINNINGS.values(), *(kind for _, _, kind in INSIDE)}
    for kind in kinds:
        words = kind_described(kind)
        assert words.endswith(" text") or words.startswith(("a ", "an ")), words


def test_what_labels_do_not_survive_is_told(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="images need the extra images")
    path = tmp_path / "labels.png"
    image.fromarray(np.zeros((9, 8), np.uint8)).save(path, "JPEG")
    message = f"{path}: a JPEG image, expected a label image: PNG, TIFF or .npy, which keep every"
    assert message in run("match", path, path, "--geometry", "labels").stderr
    folder = tmp_path / "folder"
    folder.mkdir()
    path.rename(folder / "0.png")
    assert "0.png: a JPEG image, expected a label" in run("match", folder, folder).stderr


def test_text_that_begins_like_something_else_is_text():
    for start in (
        "BMW,x1,y1",
        "PAR1,x",
        "BZhere,x",
        "img,ftyp,x",
        "8BPS,x",
        "GIF,x",
        "PK,x",
        "II*,",
    ):
        assert kind_of(f"{start}\n1,2\n".encode()) == "text"
    assert kind_of(json.dumps([1]).encode()) == "JSON"
    assert kind_of(b"\xef\xbb\xbf {}") == "JSON"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [TABLE, '[{"image_id": 1, "bbox": [1, 2, 3, 4]}]'])
def test_text_of_two_bytes_a_character(encoding, text):
    assert kind_of(text.encode(encoding)) == "UTF-16 text"


def test_archives_are_arrays_where_the_first_member_is_one():
    assert kind_of(zip_bytes(boxes_npy=npy_bytes(np.zeros((1, 4))))) == "NPZ"
    assert kind_of(zip_bytes()) == "NPZ"
    assert kind_of(zip_bytes(data_pkl=b"")) == "ZIP"


def test_labels_of_floats_are_told_to_be_integers(tmp_path):
    path = tmp_path / "labels.npy"
    for shape in ((30, 40), (2, 30, 40)):
        np.save(path, np.zeros(shape))
        for command in (["match"], ["match", "--geometry", "labels"]):
            result = run(*command, path, path)
            assert result.exit_code == 2
            assert f"{path}:array: shape {shape}, dtype float64, expected" in result.stderr
            assert result.stderr.endswith("integers: .astype(int) makes them\n") or (
                result.stderr.endswith("; .astype(int) makes them\n")
            )
