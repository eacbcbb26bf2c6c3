"""Files of boxes and of pairs: what is read and written, and what is said of broken ones."""

import dataclasses
import gzip
import importlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastiou.cli.outputs import OUTPUTS, check_output, write_mot, write_pairs
from fastiou.formats import tables
from fastiou.formats.content import BoxFile
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.groups import common_groups
from fastiou.formats.table import read_boxes

FRAMES = np.array([3, 1, 3])
CATEGORIES = np.array([7, 7, -2])
BOXES = np.array([[0.1, 2, 3, 4.5], [-1e-300, 1 / 3, np.nan, 7], [1e15, 0, 5, 6]])


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz_bytes(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def rows_of_text(*columns, separator=","):
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return "".join(separator.join(map(repr, row)) + "\n" for row in rows).encode()


def mot_bytes(separator=","):
    ids = np.arange(len(FRAMES))
    return rows_of_text(FRAMES, ids, *BOXES.T, np.ones(len(FRAMES)), separator=separator)


def csv_bytes(header):
    return header.encode() + b"\n" + rows_of_text(FRAMES, CATEGORIES, *BOXES.T)


def coco_entries():
    return [
        {"image_id": frame, "category_id": category, "bbox": box, "segmentation": [[1, 2, 3]]}
        for frame, category, box in zip(
            FRAMES.tolist(), CATEGORIES.tolist(), BOXES.tolist(), strict=True
        )
    ]


def as_json(content):
    return json.dumps(content).encode()


CONTENTS = {
    "npy": (npy_bytes(BOXES), "npy", "xyxy", ""),
    "npy, Fortran order": (npy_bytes(np.asfortranarray(BOXES)), "npy", "xyxy", ""),
    "npy, big-endian": (npy_bytes(BOXES.astype(">f8")), "npy", "xyxy", ""),
    "npz": (npz_bytes(boxes=BOXES), "npz", "xyxy", ""),
    "npz, all": (npz_bytes(boxes=BOXES, groups=FRAMES, fmt="cxcywh"), "npz", "cxcywh", "i"),
    "npz, float groups": (npz_bytes(boxes=BOXES, groups=FRAMES * 1.0), "npz", "xyxy", "i"),
    "csv, no header": (rows_of_text(*BOXES.T), "csv", "xyxy", ""),
    "csv, blanks": (rows_of_text(*BOXES.T, separator="  "), "csv", "xyxy", ""),
    "csv, xyxy": (csv_bytes("frame,category,x1,y1,x2,y2"), "csv", "xyxy", "ic"),
    "csv, xywh": (csv_bytes("image,class,x,y,w,h"), "csv", "xywh", "ic"),
    "csv, cxcywh": (csv_bytes(" Image_ID,category_id,CX,cy,w,h"), "csv", "cxcywh", "ic"),
    "csv, one key": (csv_bytes("group,score,x,y,w,h"), "csv", "xywh", "i"),
    "csv, byte order mark": (b"\xef\xbb\xbf" + csv_bytes("frame,s,x,y,w,h"), "csv", "xywh", "i"),
    "csv, CRLF": (csv_bytes("frame,s,x,y,w,h").replace(b"\n", b"\r\n"), "csv", "xywh", "i"),
    "csv, blank lines": (
        b"\n" + csv_bytes("frame,s,x,y,w,h").replace(b"\n", b"\n\n  \n"),
        "csv",
        "xywh",
        "i",
    ),
    "mot": (mot_bytes(), "mot", "xywh", "i"),
    "mot, comma and blank": (mot_bytes(", "), "mot", "xywh", "i"),
    "mot, blanks": (mot_bytes(" "), "mot", "xywh", "i"),
    "mot, comma at the end": (mot_bytes().replace(b"\n", b",\n"), "mot", "xywh", "i"),
    "mot, no newline at the end": (mot_bytes().rstrip(), "mot", "xywh", "i"),
    "coco, results": (as_json(coco_entries()), "coco", "xywh", "ic"),
    "coco, instances": (
        as_json({"images": [], "annotations": coco_entries()}),
        "coco",
        "xywh",
        "ic",
    ),
}


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", CONTENTS)
def test_each_format_is_told_by_content_and_read_exactly(tmp_path, name, compress):
    content, format_, fmt, keys = CONTENTS[name]
    path = tmp_path / "boxes.dat"
    path.write_bytes(compress(content))
    expected_keys = {"image": FRAMES, "category": CATEGORIES}
    for given_format in (None, format_):
        read = read_boxes(path, format=given_format)
        assert (read.path, read.format, read.fmt, len(read)) == (path, format_, fmt, len(BOXES))
        assert read.boxes.dtype == np.float64
        assert read.boxes.flags.c_contiguous
        np.testing.assert_array_equal(read.boxes, BOXES)
        assert "".join(key[0] for key in read.keys) == keys
        for key, values in read.keys.items():
            assert values.dtype == np.int64
            np.testing.assert_array_equal(values, expected_keys[key])
    assert read_boxes(path, by=()).keys == {}


def test_the_layout_may_be_told_only_where_the_file_does_not(tmp_path):
    path = tmp_path / "boxes"
    for name, (content, _, fmt, _) in CONTENTS.items():
        path.write_bytes(content)
        silent = name in ("npz", "npz, float groups") or name.startswith(
            ("npy", "csv, no", "csv, blanks")
        )
        assert read_boxes(path, fmt="cxcywh").fmt == ("cxcywh" if silent else fmt)


@pytest.mark.parametrize(
    "content",
    [
        npy_bytes(np.zeros((0, 4), np.float32)),
        npz_bytes(boxes=np.zeros((0, 4)), groups=np.zeros(0, int)),
        b"frame,x1,y1,x2,y2\n",
        b"frame,x1,y1,x2,y2",
        b"[]",
        b'{"annotations": []}',
    ],
)
def test_zero_boxes(tmp_path, content):
    path = tmp_path / "none"
    path.write_bytes(content)
    read = read_boxes(path)
    assert read.boxes.shape == (0, 4)
    assert all(values.shape == (0,) for values in read.keys.values())


def test_large_group_numbers_are_exact(tmp_path):
    stamps = np.array([2**62 + 1, 2**62, -(2**63)])
    contents = (
        b"frame,x,y,w,h\n" + rows_of_text(stamps, *BOXES.T),
        npz_bytes(boxes=BOXES, groups=stamps),
        as_json([{"image_id": i, "bbox": [1, 2, 3, 4]} for i in stamps.tolist()]),
    )
    for content in contents:
        path = tmp_path / "stamps"
        path.write_bytes(content)
        np.testing.assert_array_equal(read_boxes(path).keys["image"], stamps)


def test_text_besides_the_numbers_does_not_matter(tmp_path):
    path = tmp_path / "named.csv"
    path.write_text('file,x1,y1,x2,y2,note\n"a,b.png",1,2,3,4,"two\nlines"\nc.png,5,6,7,8,\n')
    np.testing.assert_array_equal(read_boxes(path).boxes, [[1, 2, 3, 4], [5, 6, 7, 8]])


finite_or_nan = st.floats(allow_infinity=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    boxes=hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.just(4)), elements=finite_or_nan),
    groups=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=6, max_size=6),
)
def test_every_float_and_group_survives_the_round_trip(tmp_path, boxes, groups):
    codes = np.array(groups[: len(boxes)])
    entries = [
        {"bbox": box, "image_id": code}
        for box, code in zip(boxes.tolist(), codes.tolist(), strict=True)
    ]
    contents = (
        npz_bytes(boxes=boxes, groups=codes, fmt="xywh"),
        b"group,x,y,w,h\n" + rows_of_text(codes, *boxes.T),
        rows_of_text(codes, codes, *boxes.T, codes),
        as_json(entries),
    )
    for content, format_ in zip(contents, (None, None, "mot", None), strict=True):
        path = tmp_path / "any"
        path.write_bytes(content)
        read = read_boxes(path, format=format_)
        np.testing.assert_array_equal(read.boxes, boxes)
        np.testing.assert_array_equal(read.keys["image"], codes)


@pytest.mark.parametrize(
    "content", [b"10,20,50,60,0.9,3\n", b"10.5,20,50,60,90,30,1\n", b"0 0.5 0.5 0.1 -7 0.9\n"]
)
def test_other_detections_are_not_taken_for_mot(tmp_path, content):
    path = tmp_path / "detections.txt"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"expected 4 \(boxes\), 6 to 10 .* --format mot"):
        read_boxes(path)
    assert read_boxes(path, format="mot", by=()).format == "mot"


@pytest.mark.parametrize("header", ["x1,y1,x2,y2,x1", "x,y,w,h,cx,cy", "x1,y1,x2,y2,x,y,w,h"])
def test_ambiguous_headers_are_refused(tmp_path, header):
    path = tmp_path / "boxes.csv"
    path.write_text(header + "\n")
    with pytest.raises(FileError, match=r"twice|several layouts"):
        read_boxes(path)


def test_the_fast_and_the_careful_way_agree(tmp_path, monkeypatch):
    for name, (content, _, _, _) in CONTENTS.items():
        if name.startswith(("csv", "mot")):
            path = tmp_path / "text"
            path.write_bytes(content)
            either = read_boxes(path)
            with monkeypatch.context() as patch:
                patch.setattr(tables, "_load_table", lambda *_: None)
                careful = read_boxes(path)
            np.testing.assert_array_equal(either.boxes, careful.boxes)
            assert either.keys.keys() == careful.keys.keys()


def test_ordinary_text_takes_the_fast_way(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the careful way was taken")

    monkeypatch.setattr(tables, "_scan_table", refuse)
    for name in ("mot", "mot, blanks", "csv, xyxy", "csv, no header", "csv, CRLF"):
        path = tmp_path / "text"
        path.write_bytes(CONTENTS[name][0])
        read_boxes(path)


HEADER = b"frame,x1,y1,x2,y2\n"
GOOD = b"1,0,0,1,1\n"
MOT = b"1,-1,0,0,5,5,1\n"
ENTRY = {"image_id": 1, "bbox": [1, 2, 3, 4]}

BAD = {
    "no bytes": (b"", ": the file is empty, expected boxes"),
    "only blanks": (b" \n\n", ": the file is empty"),
    "empty inside gzip": (gzip.compress(b""), ": the file is empty"),
    "truncated gzip": (gzip.compress(MOT * 100)[:-10], ": broken gzip file"),
    "damaged gzip": (gzip.compress(MOT)[:-8] + bytes(8), ": broken gzip file"),
    "an image": (
        b"\x89PNG\r\n\x1a\n" + bytes(9),
        ": a PNG image, expected boxes (fastiou match --geometry labels",
    ),
    "not UTF-8": (
        HEADER + GOOD + b"1,0,0,1,\xff\n",
        ":3: byte 0xff is not UTF-8 but Latin-1 or another encoding, expected UTF-8",
    ),
    "UTF-8 with a fault": (
        "frame,x1,y1,x2,y2,n\u00e9\n1,0,0,1,1,".encode() + b"\xff\n",
        ":2: byte 0xff is not UTF-8, expected UTF-8",
    ),
    "not UTF-8 nor text": (HEADER + b"\x01\xff\n", ":2: binary data (byte 0xff is not UTF-8)"),
    "a byte of 0": (HEADER + GOOD * 2000 + b"\0,1\n", ":2002: a byte of 0, which no text has"),
    # npy and npz
    "npy of objects": (
        npy_bytes(np.array([[None] * 4])),
        ": it holds Python objects, which are not read",
    ),
    "npy truncated": (npy_bytes(BOXES)[:-9], ": cannot be read as .npy"),
    "npy header damaged": (
        npy_bytes(BOXES).replace(b"{'descr'", b"{'xxxxx'"),
        ": cannot be read as",
    ),
    "npy of 3 columns": (
        npy_bytes(BOXES[:, :3]),
        ":array: shape (3, 3), dtype float64, expected numbers of shape (N, 4)",
    ),
    "npy of boxes, scores and classes": (
        npy_bytes(np.c_[BOXES, BOXES[:, :2]]),
        f":array: shape ({len(BOXES)}, 6), dtype float64, expected numbers of shape (N, 4), or "
        "(N, 5) with scores last: array[:, :5]",
    ),
    "npy of text": (npy_bytes(np.full((2, 4), "a")), ":array: shape (2, 4), dtype <U1, expected"),
    "npy with infinity": (
        npy_bytes(np.where(BOXES == 5, -np.inf, BOXES)),
        ":array[2]: -inf, expected finite",
    ),
    "npy of huge integers": (
        npy_bytes(np.full((1, 4), 2**53 + 1)),
        ":array[0]: 9007199254740993, expected integers up to",
    ),
    "npz without boxes": (npz_bytes(a=BOXES, b=BOXES), ': holds a, b, expected an array "boxes"'),
    "npz without anything": (npz_bytes(), ': holds no arrays, expected an array "boxes"'),
    "npz of objects": (npz_bytes(boxes=np.array([None])), ": it holds Python objects"),
    "npz of one row": (npz_bytes(boxes=np.zeros(4)), ":boxes: shape (4,), dtype float64, expected"),
    "npz truncated": (npz_bytes(boxes=BOXES)[:-30], ": broken .npz file"),
    "npz, groups short": (
        npz_bytes(boxes=BOXES, groups=[1]),
        ":groups: shape (1,), dtype int64, expected integers of shape (3,)",
    ),
    "npz, groups not whole": (
        npz_bytes(boxes=BOXES, groups=[1, 2.5, 3]),
        ":groups[1]: 2.5, expected a whole number",
    ),
    "npz, groups NaN": (npz_bytes(boxes=BOXES, groups=[1, np.nan, 3]), ":groups[1]: nan, expected"),
    "npz, groups unsigned": (
        npz_bytes(boxes=BOXES, groups=np.array([0, 0, 2**63], np.uint64)),
        ":groups[2]: 9223372036854775808, expected",
    ),
    "npz, layout": (npz_bytes(boxes=BOXES, fmt="yxyx"), ":fmt: holds 'yxyx', expected one of xyxy"),
    # text
    "too few columns": (HEADER + GOOD + b"1,0,0,1\n", ":3: 4 columns, expected 5"),
    "too many columns": (MOT + b"\n" + b"1,-1,0,0,5,5,1,9\n", ":3: 8 columns, expected 7"),
    "a row in blanks too short": (b"1 2 3 4\n5 6 7\n", ":2: 3 columns, expected 4"),
    "a row with another separator": (MOT + b"1 -1 0 0 5 5 1\n", ":2: 1 column, expected 7"),
    "text in a number": (
        HEADER + GOOD + b"1,0,O,1,1\n",
        ":3: column 3 (y1) holds 'O', expected a number",
    ),
    "no number": (MOT + b"2,-1,,0,5,5,1\n", ":2: column 3 (x) holds '', expected a number"),
    "underscore": (b"1,2,3,4\n1,2,3,1_000\n", ":2: column 4 holds '1_000', expected a number"),
    "infinity": (MOT + b"2,-1,0,0,5,inf,1\n", ":2: column 6 (h) holds 'inf', expected a finite"),
    "too large": (
        b"1,2,3,4\n1,2,3,1e400\n",
        ":2: column 4 holds '1e400', expected a finite number",
    ),
    "frame not whole": (
        MOT + b"2.5,-1,0,0,5,5,1\n",
        ":2: column 1 (frame) holds '2.5', expected a whole number",
    ),
    "frame is NaN": (HEADER + b"nan,0,0,1,1\n", ":2: column 1 (frame) holds 'nan', expected"),
    "frame too large": (HEADER + b"9223372036854775808,0,0,1,1\n", ":2: column 1 (frame) holds"),
    "five columns": (b"1,2,3,4,5\n", ":1: 5 columns of numbers, expected 4 (boxes), 6 to 10"),
    "three columns": (b"\n1 2 3\n", ":2: 3 columns of numbers, expected 4"),
    "words": (
        b"hello world\n",
        ":1: the first line 'hello,world' names no boxes, expected columns x1",
    ),
    "header of something else": (
        b"a,b,c,d\n1,2,3,4\n",
        ":1: the first line 'a,b,c,d' names no boxes",
    ),
    "after a quoted line break": (
        b'note,x,y,w,h\n"1\n2",1,2,3,4\n"",1,2,3,z\n',
        ":4: column 5 (h) holds 'z', expected",
    ),
    "a field beyond all measure": (b'note,x,y,w,h\n"' + b"z" * 200_000, ": not CSV (field larger"),
    # JSON
    "JSON broken": (
        b'[{"image_id": 1,\n"bbox": [1, 2,,]}]',
        ":2: not JSON: Expecting value (column 15)",
    ),
    "JSON truncated": (b'{"annotations": [', ":1: not JSON"),
    "JSON too deep": (b"[" * 100_000, ": cannot be read as JSON"),
    "JSON without annotations": (
        b'{"images": []}',
        ': an object with images, expected "annotations"',
    ),
    "JSON annotations": (b'{"annotations": 3}', ":annotations: 3, expected a list"),
    "JSON entry": (as_json({"annotations": [ENTRY, 5]}), ":annotations[1]: 5, expected an object"),
    "JSON no bbox": (
        as_json({"annotations": [ENTRY, {"image_id": 1}]}),
        ':annotations[1]: no "bbox", expected "bbox": [x',
    ),
    "JSON no image_id": (
        as_json([ENTRY, {"bbox": [1, 2, 3, 4]}]),
        ':[1]: no "image_id", expected one',
    ),
    "JSON bbox of 3": (
        as_json([ENTRY, {**ENTRY, "bbox": [1, 2, 3]}]),
        ':[1]: "bbox": [1, 2, 3], expected "bbox": [x',
    ),
    "JSON bbox of text": (
        as_json([{**ENTRY, "bbox": ["1", 2, 3, 4]}]),
        ':[0]: "bbox": ["1", 2, 3, 4]',
    ),
    "JSON bbox of null": (
        as_json([{**ENTRY, "bbox": [None, 2, 3, 4]}]),
        ':[0]: "bbox": [null, 2, 3, 4]',
    ),
    "JSON bbox of bool": (
        as_json([{**ENTRY, "bbox": [True, 2, 3, 4]}]),
        ':[0]: "bbox": [true, 2, 3, 4]',
    ),
    "JSON bbox infinite": (
        as_json([{**ENTRY, "bbox": [np.inf, 2, 3, 4]}]),
        ':[0]: "bbox": [Infinity, 2, 3, 4], expected finite',
    ),
    "JSON bbox huge": (as_json([{**ENTRY, "bbox": [10**400, 2, 3, 4]}]), ':[0]: "bbox": [1000'),
    "JSON image_id not whole": (
        as_json([{**ENTRY, "image_id": 1.5}]),
        ':[0]: "image_id": 1.5, expected a whole number',
    ),
    "JSON image_id without letters": (
        as_json([{**ENTRY, "image_id": ""}]),
        ':[0]: "image_id": "", expected',
    ),
    "JSON some categories": (
        as_json([{**ENTRY, "category_id": 1}, ENTRY]),
        ':[1]: no "category_id", expected one in every',
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_where_what_and_what_was_expected(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_boxes(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("format_", "content", "message"),
    [
        ("mot", b"1,2,3,4\n", ":1: 4 columns, expected 6 or more: frame, id, x, y, w, h"),
        ("csv", MOT, ":1: 7 columns of numbers, expected 4"),
        ("npy", MOT, ": text, expected a .npy file"),
        ("npz", MOT, ": text, expected a .npz file"),
        ("npz", b"[]", ": JSON, expected a .npz file"),
        ("npy", npz_bytes(boxes=BOXES), ": a .npz file, expected a .npy file"),
        ("coco", MOT, ":1: not JSON: Extra data"),
        ("mot", npy_bytes(BOXES), ": a .npy file, expected boxes as npy, npz, csv, "),
    ],
)
def test_a_format_that_is_not_so(tmp_path, format_, content, message):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_boxes(path, format=format_)
    assert str(caught.value).startswith(f"{path}{message}")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileError, match="nothing: no such file"):
        read_boxes(tmp_path / "nothing")
    with pytest.raises(FileError, match="no file with boxes in this folder"):
        read_boxes(tmp_path)


def test_damaged_zip_members(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("boxes.npy", npy_bytes(np.zeros((1000, 4))))
    content = bytearray(buffer.getvalue())
    content[60:80] = bytes(20)
    path = tmp_path / "damaged.npz"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"broken \.npz file"):
        read_boxes(path)


# ---- groups ------------------------------------------------------------------------------------


def box_file(**keys):
    count = len(next(iter(keys.values()), ()))
    arrays = {name: np.array(values, np.int64) for name, values in keys.items()}
    boxes = np.zeros((count, 4))
    return BoxFile(path=Path("f"), format="npy", fmt="xyxy", boxes=boxes, keys=arrays)


def test_groups_are_those_that_both_files_know():
    a = box_file(image=[5, -(2**62), 5], category=[1, 1, 2])
    b = box_file(image=[-(2**62), 5, 5, 9], category=[1, 2, 3, 1])
    both = common_groups(a, b)
    assert both.keys == ("image", "category")
    assert both.count == 5
    met = both.codes_a[:, None] == both.codes_b
    np.testing.assert_array_equal(np.argwhere(met), [[1, 0], [2, 1]])
    one = common_groups(a, box_file(image=[5, 9]))
    assert one.keys == ("image",)
    assert one.count == 3
    np.testing.assert_array_equal(one.codes_a[:, None] == one.codes_b, [[1, 0], [0, 0], [1, 0]])
    with pytest.raises(RefusedError, match=r"only A has image and category.*--by none"):
        common_groups(a, dataclasses.replace(box_file(), boxes=np.zeros((1, 4))))
    assert common_groups(box_file(), box_file()) is None
    assert common_groups(box_file(image=[]), box_file(image=[])).count == 0


# ---- pairs -------------------------------------------------------------------------------------


def parquet_module():
    return pytest.importorskip("pyarrow.parquet", exc_type=ImportError)


def read_pairs(path):
    if path.suffix == ".npz":
        with np.load(path) as archive:
            assert archive.files == ["rows", "cols", "values"]
            return [archive[name] for name in archive.files]
    if path.suffix == ".csv":
        text = path.read_text()
        assert text.startswith("rows,cols,values\n")
        lines = [line.split(",") for line in text.splitlines()[1:]]
        return [
            np.array([kind(line[i]) for line in lines]) for i, kind in enumerate((int, int, float))
        ]
    table = parquet_module().read_table(path)
    assert table.column_names == ["rows", "cols", "values"]
    return [column.to_numpy() for column in table.columns]


@pytest.mark.parametrize("count", [0, 1, 10, 23])
@pytest.mark.parametrize("ending", OUTPUTS)
def test_pairs_survive_the_round_trip(tmp_path, monkeypatch, ending, count):
    if ending == ".parquet":
        parquet_module()
    monkeypatch.setattr("fastiou.cli.outputs.BLOCK", 10)
    rng = np.random.default_rng(count)
    rows, cols = rng.integers(0, 2**40, (2, count))
    values = rng.random(count)
    path = tmp_path / f"pairs{ending}"
    path.write_text("what was there before")
    steps = []
    write_pairs(path, rows, cols, values, progress=lambda done, total: steps.append((done, total)))
    for read, written in zip(read_pairs(path), (rows, cols, values), strict=True):
        np.testing.assert_array_equal(read, written)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    if count:
        assert steps[-1][0] == steps[-1][1]
    if ending == ".parquet":
        assert parquet_module().read_metadata(path).num_row_groups == -(-count // 10)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_is_half_written(tmp_path, monkeypatch, error):
    monkeypatch.setattr("fastiou.cli.outputs.BLOCK", 2)
    path = tmp_path / "pairs.csv"
    path.write_text("before")

    def fail(done, total):
        raise error

    column = np.arange(5)
    with pytest.raises((KeyboardInterrupt, FileError)) as caught:
        write_pairs(path, column, column, column / 5, progress=fail)
    if isinstance(error, OSError):
        assert str(caught.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "pairs.csv"
    try:
        link.symlink_to(tmp_path / "far" / "target.csv")
    except OSError:
        pytest.skip("this system lets nobody make links")
    column = np.arange(2)
    write_pairs(link, column, column, column / 2)
    assert link.is_symlink()
    assert link.read_text() == "rows,cols,values\n0,0,0.0\n1,1,0.5\n"


def test_outputs_are_checked_beforehand(tmp_path):
    for name, message in {
        "pairs.txt": "cannot write '.txt', expected .npz or .csv or .parquet",
        "pairs": "the name has no ending, expected .npz or",
        "missing/pairs.npz": "there is no folder",
    }.items():
        with pytest.raises(FileError, match=message):
            check_output(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileError, match="this is a folder"):
        check_output(tmp_path / "folder.csv")
    check_output(tmp_path / "PAIRS.NPZ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.csv"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere"
)
def test_folders_that_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(FileError, match="the folder cannot be written to: Permission denied"):
            check_output(tmp_path / "pairs.npz")
    finally:
        tmp_path.chmod(0o700)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"\.parquet needs: pip install 'fastiou\[parquet\]'"):
        check_output(tmp_path / "pairs.parquet")


def test_an_extra_that_is_not_fit_says_why(tmp_path, monkeypatch):
    def unfit(name):
        raise ImportError("it requires another NumPy")

    monkeypatch.setattr(importlib, "import_module", unfit)
    with pytest.raises(ImportError, match="needs pyarrow, which fails: it requires another NumPy"):
        check_output(tmp_path / "pairs.parquet")


def test_mot_text_round_trip(tmp_path):
    boxes = np.array([[1.25, 2, 3, 4], [5, 6, 7.5, 8]])
    paths = [tmp_path / "one.gz", tmp_path / "two.gz"]
    for path in paths:
        write_mot(path, np.array([1, 2]), np.array([-1, 4]), boxes, np.array([0.5, 1]))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    read = read_boxes(paths[0])
    assert (read.format, read.keys["image"].tolist()) == ("mot", [1, 2])
    np.testing.assert_array_equal(read.boxes, boxes)
