"""Files as people have them: other delimiters, units in headers, rows that mean nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import run, run_well
from images_for_tests import image_bytes
from test_matrix import VOC

import fastiou
from fastiou.formats.errors import FileError
from fastiou.formats.table import read_boxes


def read(path: Path, content: str, **wanted: Any) -> Any:
    path.write_text(content)
    return read_boxes(path, **wanted)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("empty", ["c.jpg,,,,,", '"c, d.jpg",,,,,', "c.jpg,,,,,,"])
def test_retinanet_has_rows_for_images_without_objects(
    tmp_path: Path, place: int, empty: str
) -> None:
    rows = ["a.jpg,1,2,31,42,cat,0.5", "b.jpg,1,2,31,42,cat,0.25"]
    rows.insert(place, empty)
    path, out = tmp_path / "found.csv", tmp_path / "kept.txt"
    file = read(path, "\n".join(rows) + "\n", scored=True)
    assert file.format == "retinanet"
    assert file.keys["image"].tolist() == ["a.jpg", "b.jpg"]
    run_well("nms", path, "--out", out)
    assert out.read_text().splitlines() == [row for row in rows if row != empty]
    rows[-1] = "b.jpg,1,2,x,42,cat,0.25" if place < 2 else rows[-1]
    if place < 2:
        with pytest.raises(FileError, match=r"found.csv:3: column 4 \(x2\) holds 'x'"):
            read(path, "\n".join(rows) + "\n")


def written_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The same rows in a format by the ending of the name; None is an empty cell."""
    names = list(rows[0])
    if path.suffix == ".csv":
        cells = [["" if row[name] is None else str(row[name]) for name in names] for row in rows]
        path.write_text("".join(",".join(line) + "\n" for line in [names, *cells]))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        arrow = pytest.importorskip("pyarrow", exc_type=ImportError)
        table = arrow.table({name: [row[name] for row in rows] for name in names})
        if path.suffix == ".parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, path)
        else:
            pytest.importorskip("pyarrow.feather").write_feather(table, path)
    return path


BOX = ("x_min", "y_min", "x_max", "y_max")


def row_of(image: Any, box: Any, name: str | None, score: float | None) -> dict[str, Any]:
    numbers = dict(zip(BOX, [None] * 4 if box is None else box, strict=True))
    return {"image_id": image, **numbers, "class": name, "score": score}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet", "arrow"])
@pytest.mark.parametrize("names", [("a", "b", "c"), (1, 2, 3)])
def test_rows_of_images_without_a_box_are_told(
    tmp_path: Path, ending: str, names: tuple[Any, ...]
) -> None:
    a, b, c = names
    rows = [
        row_of(a, [1.5, 2, 10, 20], "cat", 0.5),
        row_of(b, None, None, None),
        row_of(c, [3, 4, 15, 26], "dog", 0.25),
    ]
    path = written_rows(tmp_path / f"found.{ending}", rows)
    where = {"csv": "line 3", "jsonl": "line 2"}.get(ending, r"\[1\]")
    with pytest.warns(UserWarning, match=f"1 of 3 rows are of images without a box: {where}$"):
        table = fastiou.read(path)
    assert table.boxes.tolist() == [[1.5, 2, 10, 20], [3, 4, 15, 26]]
    assert [table.keys[key].tolist() for key in ("image", "category")] == [[a, c], ["cat", "dog"]]
    assert table.scores is not None
    assert table.scores.tolist() == [0.5, 0.25]
    out = tmp_path / "out.json"
    assert "images without a box" in run_well("convert", path, out, "--drop", "score").stderr
    assert [image["id"] for image in json.loads(out.read_text())["images"]] == [a, c, b]
    if ending == "csv":
        kept = tmp_path / "kept.txt"
        run_well("nms", path, "--out", kept)
        lines = path.read_text().splitlines()
        assert kept.read_text().splitlines() == [lines[0], lines[1], lines[3]]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_other_empty_cells_are_refused(tmp_path: Path, ending: str) -> None:
    good, bare = row_of("a", [1.5, 2, 10, 20], "cat", 0.5), row_of("b", None, None, None)
    cases = [
        (row_of("c", [3, 4, None, 26], "dog", 0.25), "x_max"),  # part of a box
        (row_of(None, None, "dog", 0.25), "x_min|image_id"),  # of no image
        (row_of("c", [3, 4, 15, 26], "dog", None), "score"),
    ]
    where = {"csv": ":4: ", "jsonl": ":3: ", "json": r":\[2\]: "}.get(ending, r"\[2\]: ")
    for wrong, name in cases:
        path = written_rows(tmp_path / f"found.{ending}", [good, bare, wrong])
        with pytest.raises(FileError, match=f"{where}.*({name})|({name}){where}"):
            read_boxes(path, scored=True)


def test_rows_that_have_their_box_elsewhere_are_not_without_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = {"image": "a", "x1": 1, "y1": 2, "x2": 3, "y2": 4}
    rows = [good, {"image": "b", "bbox": [0, 0, 5, 5]}, good]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(FileError, match=r'a.jsonl:2: no "x1", expected one in every line'):
        read_boxes(path)


def test_bars_stand_between_cells(tmp_path: Path) -> None:
    assert read(tmp_path / "a", "1|2|31|42\n5|6|7|8.5\n").boxes.tolist()[1] == [5, 6, 7, 8.5]
    for content in ("image|x1|y1|x2|y2\na|5|6|7|8\n", "image | x1 | y1 | x2 | y2\na b | 5|6|7|8\n"):
        file = read(tmp_path / "a", content)
        assert file.boxes.tolist() == [[5, 6, 7, 8]]
        assert file.keys["image"].tolist()[0].startswith("a")
    assert read(tmp_path / "a", "0,5|1,5|2,5|3,5\n").boxes.tolist() == [[0.5, 1.5, 2.5, 3.5]]


@pytest.mark.parametrize(
    "header",
    [
        "x1 (px),y1 (px),x2 (px),y2 (px)",
        "x1[px],y1_px,X2 pixels,y2 (pixel)",
        "bbox_x1 [px],y1,x2,y2",
    ],
)
def test_names_of_columns_may_tell_pixels(tmp_path: Path, header: str) -> None:
    file = read(tmp_path / "a", f"{header},image\n1,2,3,4,a\n")
    assert (file.fmt, file.boxes.tolist(), file.unused) == ("xyxy", [[1, 2, 3, 4]], ())


def test_lists_of_records(tmp_path: Path) -> None:
    records = [
        {"image": "a.jpg", "label": "cat", "x": 1, "y": 2, "w": 3, "h": 4, "score": 0.5},
        {"image": "b.jpg", "label": "cat", "x": 1, "y": 2, "w": 3, "h": 4.5, "score": 1},
    ]
    for indent in (None, 2):
        file = read(tmp_path / "a", json.dumps(records, indent=indent), scored=True)
        assert (file.format, file.fmt) == ("json", "xywh")
        assert file.boxes.tolist() == [[1, 2, 3, 4], [1, 2, 3, 4.5]]
        assert file.scores.tolist() == [0.5, 1]
        assert list(file.keys) == ["image", "category"]
    for wrong, message in (
        ([*records, 5], r"a:\[2\]: 5, expected an object"),
        ([*records, {"x": 1}], r'a:\[2\]: no "y", expected one in every object'),
        ([{**records[0], "w": "3"}], r'a:\[0\]: w: "3", expected a number'),
        ([{**records[0], "x": None}], r'a:\[0\]: no "x", expected one in every object'),
    ):
        with pytest.raises(FileError, match=message):
            read(tmp_path / "a", json.dumps(wrong))
    with pytest.raises(FileError, match="not JSON"):
        read(tmp_path / "a", json.dumps(records)[:-1])
    # Entries of COCO are no records.
    entry = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "x": 1, "y": 2, "w": 3, "h": 4}
    assert read(tmp_path / "a", json.dumps([entry])).format == "coco"


@pytest.mark.parametrize("before", ["", "0 -1 "])
def test_what_kitti_does_not_care_for_is_told(tmp_path: Path, before: str) -> None:
    rest = "-1 -1 -10 0 0 30 40 -1 -1 -1 -1000 -1000 -1000 -10\n"
    rows = [f"{before}{name} {rest}" for name in ("Car", "DontCare", "DontCare")]
    file = read(tmp_path / "a", "".join(rows), by=())
    told = ("2 rows are DontCare, to be ignored by the rule of kitti: taken along",)
    assert (len(file), file.notes) == (3, told)
    assert read(tmp_path / "a", rows[0]).notes == ()


def test_lists_of_images_lie_beside_labels(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "a.txt").write_text("0 .5 .5 .1 .1\n")
    (folder / "train.txt").write_text("data/images/a.jpg\ndata/images/b.PNG\n")
    table = fastiou.read(folder)
    assert table.keys["image"].tolist() == ["a"]
    assert table.unused == ("train.txt (a list of images)",)
    (folder / "train.txt").write_text("0 .5 .5 .1 .1\n")  # labels of train.jpg
    assert fastiou.read(folder).keys["image"].tolist() == ["labels/a", "train"]


def test_only_who_reads_label_images_is_told_of_them(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="images need the extra images")
    path = tmp_path / "a.jpg"
    path.write_bytes(image_bytes(np.zeros((9, 8, 3), np.uint8), "JPEG"))
    with pytest.raises(ValueError, match="a JPEG image, expected boxes as") as caught:
        fastiou.read(path)
    assert "label image" not in str(caught.value)
    for arguments in (("nms", path), ("convert", path, tmp_path / "out.csv")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "a JPEG image, expected boxes as" in result.stderr
        assert "label image" not in result.stderr
    assert "or a label image" in run("match", path, path).stderr


def test_suppression_makes_pixels_of_parts(tmp_path: Path) -> None:
    path, out = tmp_path / "a.txt", tmp_path / "kept.csv"
    path.write_text("0 0.5 0.5 0.5 0.5 0.9\n0 0.5 0.5 0.5 0.45 0.8\n0 0.1 0.1 0.1 0.1 0.7\n")
    run_well("nms", path, "--image-size", "640,480", "--out", out)
    assert [row.split(",")[0] for row in out.read_text().splitlines()] == ["kept", "0", "2"]
    path.write_text("1,2,3,4,0.5\n")
    result = run("nms", path, "--image-size", "640,480")
    assert "--image-size is for files of yolo or yolo-seg or yolo-obb or labelme," in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("image;x1;y1;x2;y2\na;1.024;2,5;2.048;4,5\n", r"a:2: column 2 \(x1\) holds '1.024', and"),
        ("image;x1;y1;x2;y2;score\na;1.024;2;2.048;4;0,5\n", r"a:2: column 2 \(x1\) holds"),
        ("image\tx1\ty1\tx2\ty2\tscore\na\t1,024\t2\t2,048\t4\t0.5\n", r"a:2: column 6 \(score"),
        ("1,5;2;3;4\n1.5;2;3;4\n", "a:2: column 1 holds '1.5', and others have a decimal"),
    ],
)
def test_two_decimal_signs_are_refused(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(FileError, match=words):
        read(tmp_path / "a", content)
    one = content.replace(".", ",")
    assert len(read(tmp_path / "a", one)) == one.count("\n") - ("x1" in one)


def test_the_type_of_arrays_stays(tmp_path: Path) -> None:
    """Thresholds are rounded to it."""
    boxes = np.array([[0, 0, 10, 1], [9, 0, 10, 1]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    path, out = tmp_path / "a.npz", tmp_path / "kept.csv"
    np.savez(path, boxes=boxes, scores=scores)
    table = fastiou.read(path)
    assert (table.boxes.dtype, table.scores.dtype) == (np.float32, np.float32)
    assert fastiou.nms(boxes, scores, 0.1).tolist() == [0]
    run_well("nms", path, "--threshold", "0.1", "--out", out)
    assert [row.split(",")[0] for row in out.read_text().splitlines()] == ["kept", "0"]
    np.savez(path, boxes=boxes / np.float32(3), scores=scores)
    run_well("convert", path, tmp_path / "a.csv")
    back = read_boxes(tmp_path / "a.csv")
    np.testing.assert_array_equal(back.boxes, (boxes / np.float32(3)).astype(np.float64))
    run_well("match", path, tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "windows-1252", "us-ascii", "UTF-8"])
def test_xml_declares_its_encoding(tmp_path: Path, encoding: str) -> None:
    name = "chez" if encoding == "us-ascii" else "chéz"
    content = f"<?xml version='1.0' encoding='{encoding}'?>\n" + VOC.replace("cat", name)
    path = tmp_path / "a.xml"
    path.write_bytes(content.encode(encoding))
    assert read_boxes(path).keys["category"].tolist() == [name]
    path.write_bytes(content.replace(name, "chéz").encode("latin-1"))
    if encoding in ("us-ascii", "UTF-8"):
        with pytest.raises(FileError, match=r"a\.xml:2: "):
            read_boxes(path)
    for wrong in ("cp037", "UTF-16", "utf-7", "nothing", "rot13"):
        path.write_text(content.replace(encoding, wrong))
        with pytest.raises(FileError, match=r"a\.xml.*: .*encoding"):
            read_boxes(path)


def test_an_image_of_dota_without_objects(tmp_path: Path) -> None:
    header = "imagesource:GoogleEarth\ngsd:0.115726939386\n"
    row = "2753.0 2408.0 2861.0 2385.0 2888.0 2468.0 2805.0 2502.0 plane 0\n"
    file = read(tmp_path / "a", header)
    assert (file.format, len(file)) == ("dota", 0)
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "a.txt").write_text(header)
    (folder / "b.txt").write_text(header + row)
    assert fastiou.read(folder).keys["image"].tolist() == ["b"]
    with pytest.raises(FileError, match=r"a:3: .*a class without blanks"):
        read(tmp_path / "a", header + row.replace("plane", "ground track field"))


def test_frames_as_numpy_writes_them(tmp_path: Path) -> None:
    rows = np.array([[1, -1, 10, 20, 30, 40, 0.5], [12, -1, 10, 20, 30, 40, 0.5]])
    np.savetxt(tmp_path / "a", rows, delimiter=",")
    assert read_boxes(tmp_path / "a").keys["image"].tolist() == [1, 12]
    np.savetxt(tmp_path / "a", rows, delimiter=",", header="frame,id,x,y,w,h,conf", comments="")
    assert read_boxes(tmp_path / "a").keys["image"].tolist() == [1, 12]


def test_messages_tell_what_is_wrong(tmp_path: Path) -> None:
    for content, words in (
        ("0.9,10,20,110,120\n", "a:1: 5 columns of numbers, the last above 1 .--boxes takes"),
        ("image,x1,y1,x2,y2,score\n,1,2,3,4,0.5\n", "or a name; --by none leaves keys aside"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n", "of Git LFS, exp"),
        ('[{"ID": 1, "Labeled Data": "a", "Label": {}}]', "JSON of Labelbox"),
    ):
        with pytest.raises(FileError, match=words):
            read(tmp_path / "a", content, scored=True)
    frames = pytest.importorskip("polars", exc_type=ImportError)
    lazy = frames.LazyFrame({"x1": [1.0], "y1": [1.0], "x2": [2.0], "y2": [2.0], "score": [0.5]})
    with pytest.raises(TypeError, match=r"LazyFrame; pass .collect\(\) of it"):
        fastiou.nms(lazy)
