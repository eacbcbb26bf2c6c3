"""What a file is taken for: each format is told from all others, or refused; no key is dropped."""

from __future__ import annotations

import gzip
import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastiou.formats.content import Wanted
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.folders import holds_boxes
from fastiou.formats.groups import common_groups
from fastiou.formats.table import FORMATS, read_boxes, recognized
from fastiou.formats.tables import row_texts
from fastiou.tables.columns import HEADERS, SYNONYMS, ColumnsError, meaning_of
from fastiou.tables.layouts import header_of

#: A file of each format of text with the same two boxes, if it has room for them.
SAMPLES = {
    "csv, corners": ("csv", "10,20,110,220\n0,0,30,40\n"),
    "csv, scores": ("csv", "10,20,110,220,0.5\n0,0,30,40,0.25\n"),
    "csv, blanks": ("csv", "10 20 110 220\n0 0 30 40\n"),
    "csv, header": ("csv", "image,x1,y1,x2,y2\n1,10,20,110,220\n1,0,0,30,40\n"),
    "mot": ("mot", "1,-1,10,20,100,200,0.9,-1,-1,-1\n2,-1,0,0,30,40,0.5,-1,-1,-1\n"),
    "mot, truth": ("mot", "1,1,10,20,100,200,1,1,1.0\n2,1,0,0,30,40,1,1,0.5\n"),
    "mot, six": ("mot", "1,1,900,20,100,200\n2,1,0,0,30,40\n"),
    "mot, seven blanks": ("mot", "1 1 10 20 100 200 0.5\n2 1 0 0 30 40 0.5\n"),
    "visdrone": ("visdrone", "10,20,100,200,1,4,0,0\n0,0,30,40,0,0,0,2\n"),
    "visdrone, found": ("visdrone", "684,8,273,116,1,4,-1,-1\n0,0,30,40,0.25,1,-1,-1\n"),
    "visdrone-vid": ("visdrone-vid", "1,0,10,20,100,200,1,4,0,0\n2,0,0,0,30,40,1,1,0,1\n"),
    "visdrone-vid, found": (
        "visdrone-vid",
        "1,-1,10,20,100,200,0.9,4,-1,-1\n1,-1,0,0,30,40,0.5,5,-1,-1\n",
    ),
    "yolo": ("yolo", "1 0.25 0.5 0.125 0.25\n0 0.5 0.5 0.25 0.5\n"),
    "yolo, scores": ("yolo", "1 0.25 0.5 0.125 0.25 0.9\n0 0.5 0.5 0.25 0.5 0.75\n"),
    "kitti": (
        "kitti",
        "Car 0.00 0 -1.57 10 20 110 220 1.5 1.6 3.7 1 2 30 0.1\n"
        "DontCare -1 -1 -10 0 0 30 40 -1 -1 -1 -1000 -1000 -1000 -10\n",
    ),
    "kitti, found": ("kitti", "Car -1 -1 -10 10 20 110 220 1 1 3 1 2 30 0.1 0.9\n"),
    "kitti-tracking": (
        "kitti-tracking",
        "0 2 Car 0 0 -1.57 10 20 110 220 1.5 1.6 3.7 1 2 30 0.1\n",
    ),
    "retinanet": ("retinanet", "a.jpg,10,20,110,220,cat\nb.jpg,0,0,30,40,dog\n"),
    "retinanet, found": ("retinanet", "a.jpg,10,20,110,220,cat,0.5\nb.jpg,0,0,30,40,dog,1\n"),
    "dota": ("dota", "10 20 60 10 70 50 15 60 plane 0\n80.5 20 120 20 95 35 80 60 ship 1\n"),
    "dota, first version": ("dota", "10 20 60 10 70 50 15 60 plane\n"),
    "dota-results": ("dota-results", "P0001 0.9 10 20 60 10 70 50 15 60\n"),
    "csv, quadrilaterals": (
        "csv",
        "x1,y1,x2,y2,x3,y3,x4,y4,class\n10,20,60,10,70,50,15,60,plane\n",
    ),
    "coco": ("coco", '[{"image_id": 1, "category_id": 1, "bbox": [10, 20, 100, 200]}]'),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_each_is_told_from_every_other(tmp_path: Path, name: str) -> None:
    format_, content = SAMPLES[name]
    path = tmp_path / "file"
    path.write_text(content)
    fits = [row.name for row in FORMATS.values() if row.fits(content.encode(), Wanted())]
    assert fits == [format_]
    row = recognized(path, content.encode(), Wanted(), "box")
    assert row is not None
    assert row.name == format_
    file = read_boxes(path)
    assert file.format == format_
    assert len(file) == content.count("\n") - ("x1" in content) or format_ == "coco"


def read(folder: Path, content: str, **wanted: Any) -> Any:
    path = folder / "boxes"
    path.write_text(content)
    return read_boxes(path, **wanted)


def test_what_formats_of_rows_hold(tmp_path: Path) -> None:
    file = read(tmp_path, SAMPLES["visdrone, found"][1], scored=True)
    np.testing.assert_array_equal(file.boxes, [[684, 8, 273, 116], [0, 0, 30, 40]])
    np.testing.assert_array_equal(file.scores, [1, 0.25])
    np.testing.assert_array_equal(file.keys["category"], [4, 1])
    file = read(tmp_path, SAMPLES["yolo, scores"][1], scored=True)
    assert file.fmt == "cxcywh"
    np.testing.assert_array_equal(file.boxes[0], [0.25, 0.5, 0.125, 0.25])
    np.testing.assert_array_equal(file.scores, [0.9, 0.75])
    np.testing.assert_array_equal(file.keys["category"], [1, 0])
    file = read(tmp_path, SAMPLES["kitti"][1])
    np.testing.assert_array_equal(file.boxes, [[10, 20, 110, 220], [0, 0, 30, 40]])
    assert file.keys["category"].tolist() == ["Car", "DontCare"]
    file = read(tmp_path, SAMPLES["kitti-tracking"][1])
    assert file.keys["image"].tolist() == [0]
    file = read(tmp_path, SAMPLES["visdrone-vid"][1])
    assert file.keys["image"].tolist() == [1, 2]
    assert file.keys["category"].tolist() == [4, 1]


def test_what_could_be_several_formats_is_refused(tmp_path: Path) -> None:
    content = SAMPLES["yolo"][1]
    with pytest.raises(FileError, match=r"this could be csv or yolo, .*--format csv or yolo"):
        read(tmp_path, content, fmt="xywh", told=True)
    for name in ("yolo", "csv"):
        assert read(tmp_path, content, fmt="xywh", told=True, format=name).format == name


@pytest.mark.parametrize(
    "content",
    [
        "1,1,912,484,1009,593\n2,1,900,480,1000,590\n",  # frame, id and two corners
        "10,20,110,120,0.9,3\n30,40,60,70,0.5,1\n",  # two corners, score and class
        "684,8,273,116,95,4,-1,-1\n",  # scores in percent
        "0,0.5,0.5,0.9,0.9\n",  # labels of YOLO with commas
        "100,100,20,20,car\n",
        "1,10,20,110,120\n2,10,20,110,120\n",
        "0 .5 .5 .2 .2\n0 320 240 50 50\n",
        "3 .5 .5 .2 .2\n3 .5 .5 0 .1\n",
        "<images><image name='a'/></images>",
    ],
)
@pytest.mark.parametrize("scored", [False, True])
def test_what_is_no_format_is_not_taken_for_one(tmp_path: Path, content: str, scored: bool) -> None:
    with pytest.raises(FileError):
        read(tmp_path, content, scored=scored)
    np.save(tmp_path / "boxes.npy", [[0, 0.5, 0.5, 0.9, 0.9]])
    with pytest.raises(FileError, match="as YOLO has"):
        read_boxes(tmp_path / "boxes.npy", scored=scored)


def test_a_number_with_zeros_in_front_is_a_name(tmp_path: Path) -> None:
    content = "image,x,y,w,h\n000001,1,2,3,4\n000010,1,2,3,4\n"
    assert read(tmp_path, content).keys["image"].tolist() == ["000001", "000010"]
    content = content.replace("000010", "1")
    assert read(tmp_path, content).keys["image"].tolist() == ["000001", "1"]
    folder = folder_of(tmp_path / "f", **{"000001__txt": "1 0.5 0.5 0.5 0.5\n"})
    assert read_boxes(folder).keys["image"].tolist() == ["000001"]


def test_one_key_of_two_columns_tells_all_groups(tmp_path: Path) -> None:
    for header, cells in (("frame,filename", ("1,a", "1,b")), ("filename,frame", ("a,1", "b,1"))):
        rows = "".join(f"{cell},0,0,9,9\n" for cell in cells)
        with pytest.raises(FileError, match="tell different groups"):
            read(tmp_path, f"{header},x1,y1,x2,y2\n{rows}")


def test_names_in_folders(tmp_path: Path) -> None:
    row = "1 0.5 0.5 0.5 0.5\n"
    names = {"img.rf.abc1.txt": row, "img.rf.def2.TXT": row, "a.txt.bak": "?", "test.txt": row}
    folder = tmp_path / "labels"
    folder.mkdir()
    for name, content in names.items():
        (folder / name).write_text(content)
    found = read_boxes(folder).keys["image"].tolist()
    assert found == ["img.rf.abc1", "img.rf.def2", "test"]
    (folder / "test.csv").write_text(row)
    with pytest.raises(FileError, match=r"of the same name as test\.csv"):
        read_boxes(folder)


def test_arrays_that_are_not_used_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "boxes.npz", boxes=[[0, 0, 9, 9]], scores=[0.5], sizes=[1])
    assert read_boxes(tmp_path / "boxes.npz").unused == ("sizes",)


def test_corners_that_are_no_corners_are_not_guessed(tmp_path: Path) -> None:
    content = "50,60,20,10\n100,80,30,20\n"
    with pytest.raises(FileError, match="--boxes"):
        read(tmp_path, content)
    assert read(tmp_path, content, fmt="xywh", told=True).fmt == "xywh"
    assert read(tmp_path, content, fmt="xyxy", told=True).fmt == "xyxy"
    np.save(tmp_path / "boxes.npy", [[50, 60, 20, 10], [100, 80, 30, 20]])
    with pytest.raises(FileError, match="--boxes"):
        read_boxes(tmp_path / "boxes.npy")
    assert read_boxes(tmp_path / "boxes.npy", fmt="xywh", told=True).fmt == "xywh"


def test_a_fifth_number_is_a_score_only_if_it_can_be(tmp_path: Path) -> None:
    boxes = np.array([[0, 0, 4, 4, 0.5], [1, 1, 5, 5, 0.25]])
    np.save(tmp_path / "boxes.npy", boxes)
    file = read_boxes(tmp_path / "boxes.npy")
    np.testing.assert_array_equal(file.boxes, boxes[:, :4])
    assert file.unused == ("the last column (scores)",)
    assert read(tmp_path, "0,0,4,4,0.5\n").unused == file.unused
    boxes[0, 4] = 30  # degrees
    np.save(tmp_path / "boxes.npy", boxes)
    with pytest.raises(FileError, match="shape"):
        read_boxes(tmp_path / "boxes.npy")
    with pytest.raises(FileError, match="5 columns of numbers"):
        read(tmp_path, "0,0,4,4,30\n")


def test_sizes_of_later_rows_are_checked_and_the_line_is_told(tmp_path: Path) -> None:
    good = "1,1,10,20,30,40,1\n"
    content = good * 300 + "\n" + "2,1,10,20,-30,40,1\n" + good
    with pytest.raises(FileError, match=r":302: box 301 is 10, 20, -30, 40, .*--format"):
        read(tmp_path, content)
    assert len(read(tmp_path, content, format="mot")) == 302


# ---- columns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "fmt", "keys"),
    [
        ("filename,x1,y1,x2,y2", "xyxy", {"image": (0,)}),
        ("image_name,xmin,ymin,xmax,ymax,label", "xyxy", {"image": (0,), "category": (5,)}),
        ("img,left,top,right,bottom", "xyxy", {"image": (0,)}),
        ("frame_id,video,x,y,width,height", "xywh", {"image": (0,), "video": (1,)}),
        ("# frame,id,x,y,w,h,conf", "xywh", {"image": (0,)}),
        (",bb_left,bb_top,bb_width,bb_height", "xywh", {}),
        ("class_id,x_center,y_center,width,height", "cxcywh", {"category": (0,)}),
        ("Image ID,BBox X1,BBox Y1,BBox X2,BBox Y2", "xyxy", {"image": (0,)}),
        (
            "filename,width,height,class,xmin,ymin,xmax,ymax",
            "xyxy",
            {"image": (0,), "category": (3,)},
        ),
        (
            "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax",
            "xyxy",
            {"image": (0,), "category": (2,)},
        ),
    ],
)
def test_columns_by_many_names(header: str, fmt: str, keys: dict[str, Any]) -> None:
    meaning = meaning_of(header.split(","), "xyxy")
    assert (meaning.fmt, meaning.keys) == (fmt, keys)


def test_every_name_of_a_layout_is_told_from_the_others() -> None:
    for names in HEADERS:
        for row in [names, *SYNONYMS.get(names, [])]:
            assert header_of(meaning_of(row, "xyxy").fmt) == names
            upper = [f"Box_{name}".upper() for name in row]
            assert header_of(meaning_of(upper, "xyxy").fmt) == names


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
def test_names_of_images_are_keys(tmp_path: Path, separator: str) -> None:
    """The case of two images, a box each, at the same place."""
    truth = "filename,x1,y1,x2,y2\na.jpg,10,20,110,120\nb.jpg,10,20,110,120\n"
    found = "filename,x1,y1,x2,y2,score\na.jpg,10,20,110,120,0.9\nb.jpg,10,22,110,120,0.8\n"
    files = []
    for name, content in (("a", truth), ("b", found)):
        (tmp_path / name).write_text(content.replace(",", separator))
        files.append(read_boxes(tmp_path / name))
    grouping = common_groups(*files)
    assert grouping is not None
    assert grouping.keys == ("image",)
    np.testing.assert_array_equal(grouping.codes_a[:, None] == grouping.codes_b, np.eye(2))


def test_columns_that_tell_the_same_are_one_key(tmp_path: Path) -> None:
    content = "image_id,filename,x,y,w,h\n7,a.jpg,1,2,3,4\n9,b.jpg,1,2,3,4\n7,a.jpg,5,6,7,8\n"
    assert read(tmp_path, content).keys["image"].tolist() == [7, 9, 7]
    torn = content + "7,b.jpg,1,2,3,4\n"
    with pytest.raises(FileError, match=r"image_id and filename tell different groups.*--by"):
        read(tmp_path, torn)
    names = read(tmp_path, torn, by=("filename",)).keys["image"].tolist()
    assert names == ["a.jpg", "b.jpg", "a.jpg", "b.jpg"]


def test_any_column_can_be_a_key(tmp_path: Path) -> None:
    content = "scanner,frame,x,y,w,h\nleft,1,1,2,3,4\nright,1,1,2,3,4\n"
    assert read(tmp_path, content).keys.keys() == {"image"}
    assert read(tmp_path, content).unused == ("scanner",)
    file = read(tmp_path, content, by=("frame", "scanner"))
    assert {key: values.tolist() for key, values in file.keys.items()} == {
        "image": [1, 1],
        "scanner": ["left", "right"],
    }
    with pytest.raises(FileError, match="no column or key 'tile', expected one of"):
        read(tmp_path, content, by=("tile",))


@pytest.mark.parametrize("cell", ["", "nan", "2.5", "inf"])
def test_a_key_that_is_missing_is_refused_with_its_line(tmp_path: Path, cell: str) -> None:
    content = f"image,x,y,w,h\na,1,2,3,4\n{cell},1,2,3,4\n"
    with pytest.raises(FileError, match=r":3: column 1 \(image\) holds .* expected a whole number"):
        read(tmp_path, content)


def test_numbers_and_names_in_one_column_are_names(tmp_path: Path) -> None:
    content = "image,x,y,w,h\n" + "1,1,2,3,4\n" * 300 + "1b,1,2,3,4\n"
    names = read(tmp_path, content).keys["image"]
    assert set(names.tolist()) == {"1", "1b"}


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ColumnsError, match="image come twice"):
        meaning_of(["image", "Image", "x", "y", "w", "h"], "xyxy")


# ---- one image a file --------------------------------------------------------------------------

VOC = """<annotation><filename>a.jpg</filename><size><width>500</width><height>300</height></size>
<object><name>cat</name><difficult>0</difficult>
<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>110</xmax><ymax>220</ymax></bndbox></object>
<object><name>dog</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>30.5</xmax><ymax>40</ymax>
</bndbox></object></annotation>
"""

LABELME = {
    "version": "5.0",
    "shapes": [
        {"label": "cat", "points": [[110, 20], [10, 220]], "shape_type": "rectangle"},
        {"label": "dog", "points": [[0, 0], [30.5, 9], [4, 40]], "shape_type": "polygon"},
    ],
    "imagePath": "a.jpg",
}

BOTH = [[10, 20, 110, 220], [0, 0, 30.5, 40]]

LINES = (
    '{"file_name": "a.jpg", "xmin": 10, "ymin": 20, "xmax": 110, "ymax": 220, "label": "cat", '
    '"score": 0.5}\n{"file_name": "b.jpg", "xmin": 0, "ymin": 0, "xmax": 30.5, "ymax": 40, '
    '"label": "dog", "score": 1}\n'
)


@pytest.mark.parametrize(
    ("content", "format_"), [(VOC, "voc"), (json.dumps(LABELME), "labelme"), (LINES, "jsonl")]
)
def test_objects_by_name(tmp_path: Path, content: str, format_: str) -> None:
    fits = [row.name for row in FORMATS.values() if row.fits(content.encode(), Wanted())]
    assert fits == [format_]
    file = read(tmp_path, content)
    assert (file.format, file.fmt) == (format_, "xyxy")
    np.testing.assert_array_equal(file.boxes, BOTH)
    assert file.keys["category"].tolist() == ["cat", "dog"]
    if format_ == "jsonl":
        assert file.keys["image"].tolist() == ["a.jpg", "b.jpg"]
        assert read(tmp_path, content, scored=True).scores.tolist() == [0.5, 1]
    else:
        with pytest.raises(FileError, match="has no scores"):
            read(tmp_path, content, scored=True)


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_columns_of_arrow(tmp_path: Path, format_: str) -> None:
    arrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    table = arrow.table(
        {
            "ImageID": ["a", "b"],
            "LabelName": ["cat", "dog"],
            "XMin": np.array([10, 0], np.float32),
            "XMax": [110, 30.5],
            "YMin": [20, 0],
            "YMax": [220, 40],
            "IsOccluded": [0, 1],
        }
    )

    def write(table: Any) -> Path:
        path = tmp_path / "boxes"
        if format_ == "parquet":
            importlib.import_module("pyarrow.parquet").write_table(table, path)
        else:
            with arrow.ipc.new_file(path, table.schema) as file:
                file.write_table(table)
        return path

    path = write(table)
    file = read_boxes(path)
    assert file.format == format_
    np.testing.assert_array_equal(file.boxes, BOTH)
    assert file.keys["image"].tolist() == ["a", "b"]
    assert file.unused == ("IsOccluded",)
    table = table.set_column(0, "ImageID", arrow.array(["a", None]))
    with pytest.raises(FileError, match=r"ImageID\[1\]: null"):
        read_boxes(write(table))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileError, match=f"cannot be read as {format_}"):
        read_boxes(path)


def folder_of(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name.replace("__", ".")).write_text(content)
    return path


def test_folders_have_the_names_of_files_as_key(tmp_path: Path) -> None:
    truth = folder_of(
        tmp_path / "truth",
        b__txt="1 0.5 0.5 0.5 0.5\n",
        a__txt="0 0.25 0.5 0.125 0.25\n1 0.5 0.5 0.5 0.5\n",
        none__txt="",
        classes__txt="cat\ndog\n",
    )
    file = read_boxes(truth)
    assert file.format == "yolo"
    assert file.keys["image"].tolist() == ["a", "a", "b"]
    assert file.keys["category"].tolist() == ["cat", "dog", "dog"]
    np.testing.assert_array_equal(file.boxes[2], [0.5, 0.5, 0.5, 0.5])
    assert read_boxes(truth, by=("image",)).keys.keys() == {"image"}
    with pytest.raises(FileError, match="there is no key 'video'"):
        read_boxes(truth, by=("video",))
    found = folder_of(tmp_path / "found", a__txt="0 0.25 0.5 0.125 0.25 0.5\n")
    assert read_boxes(found, scored=True).scores.tolist() == [0.5]
    grouping = common_groups(file, read_boxes(found))
    assert grouping is not None
    np.testing.assert_array_equal(grouping.codes_a[:, None] == grouping.codes_b, [[1], [0], [0]])


def test_a_folder_of_sequences(tmp_path: Path) -> None:
    rows = "1,1,10,20,100,200,1\n2,1,0,0,30,40,1\n"
    file = read_boxes(folder_of(tmp_path / "s", one__txt=rows, two__txt=rows))
    assert file.keys["video"].tolist() == ["one", "one", "two", "two"]
    assert file.keys["image"].tolist() == [1, 2, 1, 2]


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no file with boxes in this folder"):
        read_boxes(folder_of(tmp_path / "none", notes__md="x"))
    mixed = folder_of(tmp_path / "mixed", a__txt="1 0.5 0.5 0.5 0.5\n", b__xml=VOC)
    with pytest.raises(FileError, match=r"b\.xml: voc \(xyxy\), expected yolo"):
        read_boxes(mixed)
    broken = folder_of(tmp_path / "broken", a__txt="1 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5\n")
    with pytest.raises(FileError, match=r"a\.txt:2: 4 columns"):
        read_boxes(broken)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (VOC.replace("</annotation>", ""), "not XML"),
        (VOC.replace("<name>cat</name>", ""), "object 1: no name"),
        (VOC.replace("30.5", "wide"), r"object 2: bndbox 0, 0, wide, 40, expected numbers xmin"),
        (VOC.replace("<xmax>110</xmax>", ""), "object 1: bndbox 10, 20, , 220"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>" + VOC, "entities"),
        ("<html><body></body></html>", "XML or HTML, expected an annotation"),
        (json.dumps(LABELME).replace("rectangle", "line"), r"shapes\[0\].*rectangle, polygon or"),
        (json.dumps(LABELME).replace("[30.5, 9], ", ""), r"shapes\[1\].*3 points or more"),
        (LINES.replace('"xmin": 10', '"xmin": "ten"'), ':1: xmin: "ten", expected a number'),
        (LINES.replace('"b.jpg"', "null"), ':2: no "file_name"'),
        (LINES + "[]\n", r":3: \[\], expected an object a line"),
        (LINES + "{\n", ":3: not JSON"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n", "outlines of four points each, or oriented"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_outlines_of_yolo_are_read_as_their_bounds(tmp_path: Path) -> None:
    content = "2 0.1 0.5 0.3 0.1 0.2 0.9\n0 0 0 1 0 1 1 0 1\n"
    file = read(tmp_path, content)
    assert (file.format, file.unused) == ("yolo-seg", ("outlines",))
    np.testing.assert_array_equal(file.boxes, [[0.1, 0.1, 0.3, 0.9], [0, 0, 1, 1]])
    four = "0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n"
    np.testing.assert_array_equal(
        read(tmp_path, four, format="yolo-seg").boxes, [[0.1, 0.1, 0.2, 0.2]]
    )


# ---- files whose first rows mislead --------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 250])
@pytest.mark.parametrize("between", [",", " "])
def test_videos_of_visdrone_may_begin_with_regions_to_be_ignored(
    tmp_path: Path, rows: int, between: str
) -> None:
    """Files are sorted by track: there may be more of these than are looked at."""
    ignored = [f"{frame},0,593,43,174,190,0,0,0,0" for frame in range(1, rows + 1)]
    objects = ["1,1,10,20,100,200,1,4,0,0", "1,2,10,20,100,200,1,5,0,1"]
    text = "\n".join([*ignored, *objects]).replace(",", between)
    file = read(tmp_path, text)
    assert file.format == "visdrone-vid"
    assert file.keys["category"].tolist() == [0] * rows + [4, 5]
    assert read(tmp_path, "\n".join(ignored)).format == "mot"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0 1.02 0.4 0.2 0.2\n", 1),
        ("0 0.5 0.4 1.02 0.9\n", 1),
        ("0 0.5 0.4 0 0.2\n", 1),
        ("3 -0.01 0.4 0.2 0.2 0.9\n", 1),
        ("1 0.5 0.4 0.2 0.2\n0 0.5 1.02 0.2 0.2\n", 2),
        ("1 1.5 0.4 0.2 0.2\n" * 2 + "0 0.5 7 0.2 0.2\n", 1),
    ],
)
def test_numbers_of_yolo_out_of_the_image_are_refused_as_such(
    tmp_path: Path, text: str, line: int
) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(FileError) as raised:
        read_boxes(path)
    message = str(raised.value)
    assert f"{path}:{line}: box {line} is " in message
    assert message.endswith(
        "expected numbers between 0 and 1, and a size, as yolo has (--format yolo takes it)"
    )
    assert "--boxes" not in message
    for fmt in ("xywh", "cxcywh"):
        with pytest.raises(FileError, match=r"this could be .*yolo|as yolo has"):
            read_boxes(path, fmt=fmt, told=True)
    assert read_boxes(path, format="yolo").format == "yolo"


@pytest.mark.parametrize("row", [["0.96 0.79 0.37 0.07 0.20", "0.2 0.79 0.37 0.07 0.20"]])
def test_yolo_with_the_score_second_is_refused(tmp_path: Path, row: list[str]) -> None:
    """Where it can be told: as if the score stood last, a box would reach out of the image."""
    text = "".join(f"{place} {numbers}\n" for place, numbers in enumerate(row))
    with pytest.raises(FileError, match=r"(?s)score second none does.*class score cx cy w h"):
        read(tmp_path, text, scored=True)
    named = read(tmp_path, "class score cx cy w h\n" + text, scored=True)
    assert named.fmt == "cxcywh"
    np.testing.assert_allclose(named.boxes[0], [0.79, 0.37, 0.07, 0.20])
    assert named.scores is not None
    assert named.scores.tolist() == [0.96, 0.2]
    assert read(tmp_path, text, format="yolo", scored=True).scores.tolist() == [0.2, 0.2]


@pytest.mark.parametrize(
    "numbers",
    [
        "0.5 0.5 1 1 0.9",  # the whole image
        "0.9 0.5 0.2 0.2 0.9",  # at its edge
        "0.905 0.5 0.2 0.2 0.9",  # rounded
        "0.95 0.5 0.2 0.9 0.8",  # out of it, as it would be in the other order
    ],
)
def test_yolo_with_the_score_last_is_read(tmp_path: Path, numbers: str) -> None:
    file = read(tmp_path, f"1 {numbers}\n", scored=True)
    assert file.format == "yolo"
    assert file.boxes[0].tolist() == [float(number) for number in numbers.split()[:4]]


@pytest.mark.parametrize("between", [",", ", ", " "])
@pytest.mark.parametrize("prefix", ["bb_", "bbox_", ""])
def test_places_in_the_world_are_no_box(tmp_path: Path, between: str, prefix: str) -> None:
    """The header of MOT: x, y, z stand behind left, top, width, height."""
    names = [f"{prefix}{name}" for name in ("left", "top", "width", "height")]
    header = between.join(["frame", "id", *names, "conf", "x", "y", "z"])
    row = between.join(["1", "7", "10", "20", "30", "40", "0.9", "-1", "-1", "-1"])
    file = read(tmp_path, f"{header}\n{row}\n", scored=True)
    assert (file.fmt, file.boxes.tolist()) == ("xywh", [[10, 20, 30, 40]])
    assert file.keys["image"].tolist() == [1]
    for header in ("x,y,w,h,left,top,right,bottom", "x,left,y,top,width,height,a,b"):
        with pytest.raises(FileError, match="columns of several layouts"):
            read(tmp_path, f"{header}\n1,2,3,4,5,6,7,8\n")


@pytest.mark.parametrize(
    ("format_", "rows"),
    [
        ("yolo", ["0 0.5 0.5 0.1 0.1 1", "0 0.5 0.5 0.1 0.1 2"]),  # the track
        ("yolo", ["0 0.5 0.5 0.1 0.1 0.5", "0 0.5 0.5 0.1 0.1 -2"]),
        ("visdrone", ["10,20,100,200,1,4,0,0", "10,20,100,200,90,4,0,0"]),
    ],
)
def test_later_scores_are_between_0_and_1(tmp_path: Path, format_: str, rows: list[str]) -> None:
    text = "\n".join(rows) + "\n"
    with pytest.raises(FileError, match=r":2: the score of box 2 is .*between 0 and 1"):
        read(tmp_path, text, scored=True)
    assert len(read(tmp_path, text, scored=True, format=format_)) == 2
    assert read(tmp_path, text).format == format_


# ---- keys of entries, and keys that two files tell by several columns ---------------------------


def test_all_keys_of_entries_count(tmp_path: Path) -> None:
    """Two videos with an image of the same number each, and objects of two named classes."""
    entry = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    for name, key in (
        ("video_id", "video"), ("video", "video"), ("file_name", "image"), ("class", "category"),
    ):  # fmt: skip
        entries = [{**entry, name: value} for value in ("a", "b")]
        if key == "video":
            assert read(tmp_path, json.dumps(entries)).keys[key].tolist() == ["a", "b"]
        else:  # beside image_id and category_id, which tell other groups
            with pytest.raises(FileError, match=f"_id and {name} tell different groups.*--by"):
                read(tmp_path, json.dumps(entries))
        file = read(tmp_path, json.dumps(entries), by=(name,))
        assert file.keys[key].tolist() == ["a", "b"]
        entries[1].pop(name)
        with pytest.raises(FileError, match=rf'\[1\]: no "{name}"'):
            read(tmp_path, json.dumps(entries))
    file = read(tmp_path, json.dumps([{**entry, "id": 7, "track_id": 3, "tag": "x", "area": 12}]))
    assert file.unused == ("track_id", "tag")
    file = read(tmp_path, json.dumps([{**entry, "track_id": 3}]), ids=True)
    assert (file.ids.tolist(), file.unused) == ([3], ())


def test_ids_that_are_missing_are_no_fault(tmp_path: Path) -> None:
    entry = {"image_id": 1, "bbox": [1, 2, 3, 4]}
    assert read(tmp_path, json.dumps([{**entry, "id": None}]), ids=True).ids is None


def test_names_of_files_in_the_list_of_images_are_a_key(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 1, "image_id": image, "category_id": 1, "bbox": [1, 2, 3, 4]} for image in (9, 7)
        ],
    }
    file = read(tmp_path, json.dumps(content))
    assert file.keys["image"].tolist() == [9, 7]
    other = read(tmp_path, "file_name,x,y,w,h\na.jpg,1,2,3,4\nb.jpg,1,2,3,4\n")
    grouping = common_groups(file, other)
    assert grouping is not None
    np.testing.assert_array_equal(grouping.codes_a[:, None] == grouping.codes_b, [[0, 1], [1, 0]])
    assert grouping.values["image"].tolist() == ["b.jpg", "a.jpg"]
    assert read(tmp_path, json.dumps(content), by=("file_name",)).keys["image"][0] == "b.jpg"
    content["images"][1]["file_name"] = "a.jpg"  # of two images
    assert len(read(tmp_path, json.dumps(content)).columns["image"]) == 1
    by_name = read(tmp_path, json.dumps(content), by=("file_name",))
    assert by_name.keys["image"].tolist() == ["a.jpg", "a.jpg"]


BY_NUMBER_AND_NAME = "image_id,file_name,x1,y1,x2,y2\n1,a.jpg,0,0,10,10\n2,b.jpg,50,50,60,60\n"


@pytest.mark.parametrize("kind", ["csv", "coco", "jsonl"])
def test_columns_that_differ_across_files_are_refused(tmp_path: Path, kind: str) -> None:
    first = read(tmp_path, BY_NUMBER_AND_NAME)
    images = {1: "b.jpg", 2: "a.jpg"}
    contents = {
        "coco": json.dumps(
            [{"image_id": n, "file_name": f, "bbox": [0, 0, 9, 9]} for n, f in images.items()]
        ),
        "jsonl": "".join(
            json.dumps({"imageId": n, "FileName": f, "x": 0, "y": 0, "w": 9, "h": 9}) + "\n"
            for n, f in images.items()
        ),
    }
    contents["csv"] = BY_NUMBER_AND_NAME.replace("1,a", "2,a").replace("2,b", "1,b")
    second = read(tmp_path, contents[kind])
    with pytest.raises(RefusedError, match="--by image_id or --by file_name says") as caught:
        common_groups(first, second)
    assert "image_id and file_name tell different groups across boxes" in str(caught.value)
    by = ("file_name",)
    first, second = (read(tmp_path, each, by=by) for each in (BY_NUMBER_AND_NAME, contents[kind]))
    grouping = common_groups(first, second)
    assert grouping is not None
    assert (grouping.codes_a[:, None] == grouping.codes_b).sum() == 2


def test_the_column_that_both_files_have_tells_the_key(tmp_path: Path) -> None:
    both = read(tmp_path, BY_NUMBER_AND_NAME)
    rows = "b.jpg,50,50,60,60\na.jpg,0,0,10,10\n"
    for header in ("file_name", "FileName", "img"):  # the last by its values
        for pair in ((both, read(tmp_path, f"{header},x1,y1,x2,y2\n{rows}")),):
            for a, b in (pair, pair[::-1]):
                grouping = common_groups(a, b)
                assert grouping is not None
                assert (grouping.codes_a[:, None] == grouping.codes_b)[0].tolist() == [False, True]
    twofold = read(tmp_path, "img,photo,x1,y1,x2,y2\na.jpg,1,0,0,9,9\nb.jpg,2,0,0,9,9\n")
    with pytest.raises(RefusedError, match="--by image_id or --by file_name"):
        common_groups(both, twofold)
    neither = read(tmp_path, "img,x1,y1,x2,y2\nz,0,0,9,9\n")
    with pytest.raises(RefusedError, match="no image in common"):
        common_groups(both, neither)


def test_usual_names_stand_for_keys(tmp_path: Path) -> None:
    content = "Image_ID,class,x,y,w,h\n1,cat,1,2,3,4\n"
    for name in ("image", "frame", "image_id", "Image ID", "img"):
        assert read(tmp_path, content, by=(name,)).keys.keys() == {"image"}
        coco = json.dumps([{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}])
        assert read(tmp_path, coco, by=(name,)).keys.keys() == {"image"}
    for name in ("category", "category_id", "class", "label"):
        assert read(tmp_path, content, by=(name,)).keys.keys() == {"category"}
        assert read(tmp_path, SAMPLES["visdrone"][1], by=(name,)).keys.keys() == {"category"}
    keys = read(tmp_path, "seq,camera,x,y,w,h\n1,2,1,2,3,4\n", by=("seq", "camera")).keys
    assert {name: column.tolist() for name, column in keys.items()} == {"video": [1], "camera": [2]}


def test_a_file_without_members_has_all_keys(tmp_path: Path) -> None:
    full = read(tmp_path, SAMPLES["coco"][1])
    for a, b in ((full, read(tmp_path, "[]")), (read(tmp_path, "[]"), full)):
        grouping = common_groups(a, b)
        assert grouping is not None
        assert (grouping.keys, grouping.aside, grouping.pairs) == (("image", "category"), "", 0)


# ---- folders -----------------------------------------------------------------------------------


def tree_of(path: Path, *files: str, content: str = "1 0.5 0.5 0.5 0.5\n") -> Path:
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    return path


MOT = "1,1,900,20,100,200,1\n"


@pytest.mark.parametrize(
    ("files", "content", "names"),
    [
        (("train/a.txt", "train/b.txt"), None, ["a", "b"]),  # what all have in common tells nothing
        (("train/a.txt", "val/a.txt"), None, ["train/a", "val/a"]),
        (("a.txt", "train/b.txt"), None, ["a", "train/b"]),
        (("x/S1/gt/gt.txt", "x/S2/gt/gt.txt"), MOT, ["S1", "S2"]),
        (("S1/det/det.txt",), MOT, ["S1"]),
        (("S1.txt", "S2.txt"), MOT, ["S1", "S2"]),
        ((".git/a.txt", "a.txt", ".b.txt"), None, ["a"]),
    ],
)
def test_trees_of_files(tmp_path: Path, files: Any, content: str | None, names: list[str]) -> None:
    folder = tree_of(tmp_path / "t", *files, content=content or "1 0.5 0.5 0.5 0.5\n")
    file = read_boxes(folder)
    assert file.keys["image" if content is None else "video"].tolist() == names


def test_detections_beside_the_truth_are_named(tmp_path: Path) -> None:
    file = read_boxes(tree_of(tmp_path / "t", "S/gt/gt.txt", "S/det/det.txt", content=MOT))
    assert (len(file), file.unused) == (1, ("det/det.txt beside gt/gt.txt",))


def test_folders_without_objects(tmp_path: Path) -> None:
    empty = tree_of(tmp_path / "e", "a.txt", "b/c.txt", content="")
    (empty / "d.txt").write_text("\n")
    (empty / "e.txt.gz").write_bytes(gzip.compress(b""))
    file = read_boxes(empty)
    assert (len(file), file.boxes.shape) == (0, (0, 4))
    assert len(read_boxes(empty, scored=True).scores) == 0
    full = read_boxes(tree_of(tmp_path / "f", "a.txt"))
    grouping = common_groups(full, file)
    assert grouping is not None
    assert (grouping.keys, grouping.pairs) == (("image", "category"), 0)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    folder = tree_of(tmp_path / "t", "a.txt")
    (folder / "b.txt").symlink_to("nothing")
    with pytest.raises(FileError, match=r"b\.txt: a link to nothing, expected a regular file"):
        read_boxes(folder)
    if hasattr(os, "mkfifo"):
        (folder / "b.txt").unlink()
        os.mkfifo(folder / "b.txt")
        with pytest.raises(FileError, match=r"b\.txt: a pipe, expected a regular file"):
            read_boxes(folder)


def test_folders_of_arrays(tmp_path: Path) -> None:
    for name, array in (("b", [[0, 0, 9, 9.5]]), ("c", [[0, 0, 9, 9.5]] * 2)):
        np.save(tmp_path / f"{name}.npy", array)
    assert holds_boxes(tmp_path)
    assert read_boxes(tmp_path).keys["image"].tolist() == ["b", "c", "c"]
    np.save(tmp_path / "d.npy", np.zeros((9, 9), int))
    assert not holds_boxes(tmp_path)


def test_a_column_is_a_key_in_folders_too(tmp_path: Path) -> None:
    folder = tree_of(tmp_path / "t", "one.csv", content=BY_NUMBER_AND_NAME)
    assert read_boxes(folder).keys.keys() == {"image", "video"}
    for name in ("file_name", "FileName"):
        assert read_boxes(folder, by=(name,)).keys["image"].tolist() == ["a.jpg", "b.jpg"]
    assert read_boxes(folder, by=("frame",)).keys["image"].tolist() == [1, 2]
    other = read(tmp_path, BY_NUMBER_AND_NAME.replace("image_id", "photo"))
    grouping = common_groups(read_boxes(folder), other)
    assert grouping is not None
    assert (grouping.codes_a[:, None] == grouping.codes_b).sum() == 2


# ---- what could be another format --------------------------------------------------------------


def test_integers_that_could_be_boxes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "boxes.npy"
    for rows in (
        [[0, 0, 10, 10, 1], [5, 5, 20, 30, 0]],
        [[50, 60, 10, 20, 3]],
        [[0, 0, 9, 9, 1, 2]],
    ):
        for kind in (np.int64, np.uint8, np.int32):
            np.save(path, np.array(rows, kind))
            data = path.read_bytes()
            with pytest.raises(FileError, match=r"could be npy or labels, .*--format npy or"):
                recognized(path, data, Wanted(), "box", "labels")
    np.save(path, np.array([[0, 0, 10, 10, 1]]))
    file = read_boxes(path, format="npy")
    assert (file.boxes.tolist(), file.unused) == ([[0, 0, 10, 10]], ("the last column (scores)",))
    for labels in ([[0, 1, 1, 0, 2]] * 3, [[7, 7, 0, 0, 0]], np.ones((9, 30), int)):
        np.save(path, labels)
        row = recognized(path, path.read_bytes(), Wanted(), "box", "labels")
        assert row is not None
        assert row.name == "labels"


TRUTH_OF_MOT = "1,1,10,20,30,40,1,1,0.5\n1,2,10,20,30,40,0,7,1\n"


def test_what_mot_has_behind_its_columns(tmp_path: Path) -> None:
    file = read(tmp_path, TRUTH_OF_MOT)
    assert {key: values.tolist() for key, values in file.keys.items()} == {
        "image": [1, 1],
        "category": [1, 7],
    }
    assert file.unused == ("visibility",)
    assert file.notes == ("1 row has conf 0, to be ignored by the rule of mot: taken along",)
    assert file.scores is None
    assert read(tmp_path, TRUTH_OF_MOT, by=("frame",)).keys.keys() == {"image"}
    file = read(tmp_path, "1,1,10,20,30,40,0.5,-1,-1,-1\n")
    assert (file.unused, file.notes, list(file.keys)) == ((), (), ["image"])
    file = read(tmp_path, "1,1,10,20,30,40,0.5,2.5,3,0\n")
    assert file.unused == ("x in the world", "y in the world", "z in the world")
    file = read(tmp_path, "1,1,10,20,30,40,0.5,-1,-1,-1,5\n")
    assert file.unused == ("column 11",)
    ignored = read(tmp_path, "10,20,100,200,0,0,0,0\n0,0,30,40,1,4,0,2\n").notes
    assert ignored == ("1 row has score 0, to be ignored by the rule of visdrone: taken along",)


def test_places_in_the_world_are_not_taken_for_marks(tmp_path: Path) -> None:
    content = "1,1,10,20,30,40,1,2,0,0\n1,2,100,20,30,40,1,3,1,0\n"
    with pytest.raises(FileError, match=r"could be mot or visdrone-vid, .*--format mot or visd"):
        read(tmp_path, content)
    assert read(tmp_path, content, format="mot").keys.keys() == {"image"}
    assert read(tmp_path, content, format="visdrone-vid").keys["category"].tolist() == [2, 3]
    for others in ("1,2,10,20,30,40,1,4,0,1\n", content * 10):  # occlusion; all are whole
        assert read(tmp_path, content + others).format == "visdrone-vid"
    for others in ("1,2,10,20,30,40,1,2.5,0,0\n", "1,2,10,20,30,40,1,-1,-1,-1\n"):
        assert read(tmp_path, content + others).format == "mot"


def test_a_column_more_is_not_taken_for_mot(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="7 columns of numbers"):
        read(tmp_path, "0,1,2,100,200,30,40\n")  # frame, id, class and box
    assert read(tmp_path, "0,1,2,100,200,30,40\n", format="mot").format == "mot"


# ---- how tables are written --------------------------------------------------------------------

#: The same two rows, written as programs and people do.
WRITTEN = {
    "usual": "image,x1,y1,x2,y2\na,10,20,110,220\nb,0,0.5,30,40\n",
    "comments in front": "# made by us\n#\n\nimage,x1,y1,x2,y2\na,10,20,110,220\nb,0,.5,30,40",
    "a header in a comment": "# 2 boxes\n# image,x1,y1,x2,y2\na,10,20,110,220\nb,0,.5,30,40\n",
    "a header in the first comment": "#image,x1,y1,x2,y2\n# px\na,10,20,110,220\nb,0,.5,30,40\n",
    "as NumPy writes blanks": "# image x1 y1 x2 y2\na 10 20 110 220\nb 0 .5 30 40\n",
    "ends": "image,x1,y1,x2,y2,\na,10,20,110,220,\nb,0,.5,30,40,\n",
    "Excel": "sep=;\nimage;x1;y1;x2;y2\na;10;20;110;220\nb;0;0,5;30;40\n",
    "Excel, commas": "sep=,\nimage,x1,y1,x2,y2\na,10,20,110,220\nb,0,.5,30,40\n",
    "decimal commas": "image;x1;y1;x2;y2\na;10,0;20;1,1e2;220\nb;0;0,5;30;40\n".replace(
        "1,1e2", "110"
    ),
    "decimal commas, tabs": "image\tx1\ty1\tx2\ty2\na\t10\t20\t110\t220\nb\t0\t0,5\t30,0\t40\n",
    "quotes": '# "a"\n"image";"x1";"y1";"x2";"y2"\n"a";"10";"20";"110";"220"\n"b";0;"0,5";30;40\n',
    "lists": 'image,bbox\na,"[10, 20, 110, 220]"\nb,"[0 0.5 30 40]"\n',
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("times", [1, 400])
def test_tables_as_they_are_written(tmp_path: Path, name: str, times: int) -> None:
    content = WRITTEN[name]
    rows = content.splitlines(keepends=True)[-2:]
    content += "" if content.endswith("\n") else "\n"
    content += "".join(row if row.endswith("\n") else row + "\n" for row in rows) * (times - 1)
    told = {"fmt": "xyxy", "told": True} if name == "lists" else {}
    file = read(tmp_path, content, **told)
    assert (file.format, file.fmt) == ("csv", "xyxy")
    np.testing.assert_array_equal(file.boxes, [[10, 20, 110, 220], [0, 0.5, 30, 40]] * times)
    assert file.keys["image"].tolist() == ["a", "b"] * times
    kept = list(row_texts(content.encode(), "csv", np.array([1])))
    assert kept[-1].startswith(('"b"', "b"))
    again = read(tmp_path, "".join(kept), **told)
    np.testing.assert_array_equal(again.boxes, [[0, 0.5, 30, 40]])
    with pytest.raises(FileError, match=f":{content.count(chr(10)) + 1}: "):
        read(tmp_path, content + "c,1\n", **told)


@pytest.mark.parametrize(
    ("content", "boxes"),
    [
        ("# x y w h\n1 2 3 4\n", [[1, 2, 3, 4]]),
        ("# two boxes\n1,2,3,4\n5,6,7,8\n", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("1,2,3,4,\n5,6,7,8,\n", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("0,5;0,5;9,5;9,5\n", [[0.5, 0.5, 9.5, 9.5]]),
        ("684,8,273,116,1,4,0,0,\n", [[684, 8, 273, 116]]),
        ("# frame id x y w h conf\n1 1 10 20 30 40 1\n", [[10, 20, 30, 40]]),
        ("# labels\n1 0.25 0.5 0.125 0.25\n", [[0.25, 0.5, 0.125, 0.25]]),
    ],
)
def test_rows_as_they_are_written(tmp_path: Path, content: str, boxes: Any) -> None:
    np.testing.assert_array_equal(read(tmp_path, content).boxes, boxes)


def test_a_size_of_the_image_beside_that_of_the_box(tmp_path: Path) -> None:
    for names in ("width,height", "image_width,image_height", "img_w,img_h"):
        file = read(tmp_path, f"filename,{names},x,y,w,h\na.jpg,640,480,1,2,30,40\n")
        assert (file.fmt, file.boxes.tolist()) == ("xywh", [[1, 2, 30, 40]])
        assert file.unused == tuple(names.split(","))
    file = read(tmp_path, "file,image_width,image_height,x,y,width,height\na,64,48,1,2,30,40\n")
    assert file.boxes.tolist() == [[1, 2, 30, 40]]


def test_lists_of_numbers(tmp_path: Path) -> None:
    coco = '{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}\n'
    for times in (1, 2):
        file = read(tmp_path, coco * times, scored=True)
        assert (file.format, file.fmt) == ("jsonl", "xywh")
        assert file.boxes.tolist() == [[1, 2, 3, 4]] * times
        assert (file.keys["category"].tolist(), file.scores[0]) == ([2] * times, 0.5)
    other = '{"image": 1, "bbox": [1, 2, 3, 4]}\n'
    with pytest.raises(FileError, match=r"column bbox does not tell its layout.*--boxes xyxy, --b"):
        read(tmp_path, other)
    assert read(tmp_path, other, fmt="cxcywh", told=True).fmt == "cxcywh"
    for wrong in ("[1, 2, 3]", '[1, 2, 3, "4"]', "5", "[1, 2, 3, 1e999]", "[1, 2, 3, true]"):
        with pytest.raises(FileError, match=r":2: bbox: .*expected 4 finite numbers"):
            read(tmp_path, coco + coco.replace("[1, 2, 3, 4]", wrong))
    with pytest.raises(FileError, match=r":3: column 2 \(bbox\) holds '.1, 2.', expected 4 num"):
        read(tmp_path, 'image,bbox\n1,"[1,2,3,4]"\n2,"[1, 2]"\n', fmt="xyxy", told=True)


def test_lists_of_numbers_in_arrow(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)
    columns = {"image_id": [1], "category_id": [1], "bbox": [[1, 2, 3, 4.5]], "id": [None]}
    table = arrow.table({**columns, "id": arrow.array([None], arrow.int64())})
    parquet.write_table(table, tmp_path / "boxes")
    file = read_boxes(tmp_path / "boxes", ids=True)
    assert (file.fmt, file.boxes.tolist(), file.ids) == ("xywh", [[1, 2, 3, 4.5]], None)


def test_circles_have_bounds(tmp_path: Path) -> None:
    shape = {"label": "c", "points": [[10, 10], [13, 14]], "shape_type": "circle"}
    file = read(tmp_path, json.dumps({"shapes": [shape], "imagePath": "a"}))
    assert file.boxes.tolist() == [[5, 5, 15, 15]]


@pytest.mark.parametrize(
    ("names", "fmt", "fit"),
    [
        ("cx,cy,w,h,theta", None, ["cxcywhr", "cxcywhr-rad"]),
        ("cx,cy,w,h,rotation", None, ["cxcywhr", "cxcywhr-rad"]),
        ("x_center,y_center,width,height,yaw", None, ["cxcywhr", "cxcywhr-rad"]),
        ("x,y,w,h,theta", None, ["xywhr"]),
        ("cx,cy,w,h,angle_deg", "cxcywhr", []),
        ("cx,cy,w,h,degrees", "cxcywhr", []),
        ("cx,cy,w,h,theta (rad)", "cxcywhr-rad", []),
        ("cx,cy,w,h,radians", "cxcywhr-rad", []),
        ("x,y,w,h,rotation_deg", "xywhr", []),
    ],
)
def test_angles_of_no_unit_are_refused(
    tmp_path: Path, names: str, fmt: str | None, fit: list[str]
) -> None:
    rows = f"{names}\n5,5,20,2,1.5\n5,5,20,2,-0.25\n5,5,20,2,nan\n"
    lines = "".join(
        json.dumps(dict(zip(names.split(","), (5, 5, 20, 2, angle), strict=True))) + "\n"
        for angle in (1.5, -0.25)
    )
    for content in (rows, lines):
        if fmt is not None:
            assert read(tmp_path, content).fmt == fmt
            continue
        with pytest.raises(FileError, match="could hold degrees or radians") as caught:
            read(tmp_path, content)
        for name in fit:
            assert f"--boxes {name}" in str(caught.value)
            assert read(tmp_path, content, fmt=name, told=True).fmt == name
    for angle in ("0", "30"):  # the same in both units, and beyond a turn
        content = f"{names}\n5,5,20,2,{angle}\n"
        assert read(tmp_path, content).fmt == (fmt or fit[0])


def test_what_is_not_of_coco_cannot_be_left_out(tmp_path: Path) -> None:
    for content in ("[[0, 0, 9, 9]]", '[{"image": "a", "x1": 1}]'):
        with pytest.raises(FileError) as caught:
            read(tmp_path, content)
        assert "--skip-invalid" not in str(caught.value)


def test_files_of_other_folders_are_the_same(tmp_path: Path) -> None:
    content = "path,image_id,x,y,w,h\nold/1.jpg,1,1,2,3,4\nold/2.jpg,2,1,2,3,4\n"
    a, b = (read(tmp_path, content.replace("old", name)) for name in ("/x", "C:\\y"))
    with pytest.raises(RefusedError, match="--by image_id or --by path"):  # of others it is not
        common_groups(a, read(tmp_path, content.replace("/1", "/3")))
    grouping = common_groups(a, b)
    assert grouping is not None
    assert grouping.pairs == 2


def test_rows_behind_a_mark_of_comments_are_told(tmp_path: Path) -> None:
    for content, count in (
        ("#a.jpg,1,2,3,4,cat\nb.jpg,1,2,3,4,cat\n", 1),
        ("# 1,2,3,4\n# 1,2,3,4\n5,6,7,8\n", 2),
        ("# two, boxes\n5,6,7,8\n", 0),
        ("# x1,y1,x2,y2\n5,6,7,8\n", 0),
    ):
        file = read(tmp_path, content)
        assert len(file) == 1
        assert [note.split(" ", 1)[0] for note in file.notes] == [str(count)] * bool(count)


def test_arrays_that_tell_keys_are_used(tmp_path: Path) -> None:
    path = tmp_path / "boxes.npz"
    boxes = [[0, 0, 9, 9]] * 2
    np.savez(path, boxes=boxes, labels=[1, 2], image_ids=["a", "b"], track_ids=[3, 4])
    file = read_boxes(path)
    keys = {key: values.tolist() for key, values in file.keys.items()}
    assert keys == {"image": ["a", "b"], "category": [1, 2]}
    assert file.unused == ("track_ids",)
    assert read_boxes(path, by=("category",)).keys.keys() == {"category"}
    for names in ("classes", "categories", "class_ids", "groups", "frames", "img_ids"):
        np.savez(path, boxes=boxes, **{names: [1, 2]})
        assert len(read_boxes(path).keys) == 1, names
    np.savez(path, boxes=boxes, groups=[1, 1], image_ids=[1, 2])
    with pytest.raises(FileError, match=r"image_ids and groups tell different"):
        read_boxes(path)
    for name, values in (("image_ids", [1, 2]), ("groups", [1, 1])):
        assert read_boxes(path, by=(name,)).keys["image"].tolist() == values
    for wrong in ([1], ["a", " "], [[1], [2]], [0.5, 1]):
        np.savez(path, boxes=boxes, labels=wrong)
        with pytest.raises(FileError, match="labels"):
            read_boxes(path)


def test_what_else_annotations_hold_is_named(tmp_path: Path) -> None:
    more = VOC.replace("<name>cat</name>", "<name>cat</name><trackid>3</trackid><pose>left</pose>")
    file = read(tmp_path, more.replace("<difficult>0", "<difficult>1"))
    assert file.unused == ("trackid",)
    assert file.notes == ("1 object is difficult, to be ignored by the rule of voc: taken along",)
    assert read(tmp_path, VOC).notes == ()
    shapes: Any = [{**shape, "group_id": None, "flags": {}} for shape in LABELME["shapes"]]
    assert read(tmp_path, json.dumps({**LABELME, "shapes": shapes})).unused == ()
    shapes[1]["group_id"] = 3
    assert read(tmp_path, json.dumps({**LABELME, "shapes": shapes})).unused == ("group_id",)


def test_folders_of_integers_that_could_be_boxes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", [[0, 0, 9, 9, 1]])
    with pytest.raises(FileError, match="could be npy or labels, expected --format npy or labels"):
        holds_boxes(tmp_path)
    np.save(tmp_path / "b.npy", np.zeros((9, 9), int))
    assert not holds_boxes(tmp_path)


@pytest.mark.parametrize("between", [",", ";", " "])
@pytest.mark.parametrize("row", ["1,1,912,484,1009,593", "1,1,10,10,5,5", "10,20,110,120,2,3"])
def test_six_numbers_of_two_meanings_are_told_so(tmp_path: Path, between: str, row: str) -> None:
    text = row.replace(",", between) + "\n"
    words = r"six numbers a row: frame, id, x, y, w, h \(MOT\), or two corners .*--format mot"
    with pytest.raises(FileError, match=words):
        read(tmp_path, text)
    assert read(tmp_path, text, format="mot").format == "mot"


def test_what_is_advised_keeps_the_other_keys(tmp_path: Path) -> None:
    entries = [
        {"image_id": 10 * video + frame, "frame_id": frame, "video_id": video, "category_id": 1,
         "bbox": [1, 2, 3, 4]}
        for video in (1, 2) for frame in (1, 2)
    ]  # fmt: skip
    advised = "--by image_id,video,category or --by frame_id,video,category"
    with pytest.raises(FileError, match=advised):
        read(tmp_path, json.dumps(entries))
    by = ("frame_id", "video", "category")
    assert list(read(tmp_path, json.dumps(entries), by=by).keys) == ["image", "video", "category"]
    header, *rows = BY_NUMBER_AND_NAME.splitlines()
    tables = [f"{header},class", *(f"{row},cat" for row in rows)]
    torn = [tables[0], tables[1].replace("a.jpg", "b.jpg"), tables[2].replace("b.jpg", "a.jpg")]
    files = [read(tmp_path, "\n".join(lines) + "\n") for lines in (tables, torn)]
    with pytest.raises(RefusedError, match="--by image_id,category or --by file_name,category"):
        common_groups(*files)
