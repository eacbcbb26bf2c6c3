"""What a file is taken for: each format is told from all others, or refused; no key is dropped."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastiou.formats.content import Wanted
from fastiou.formats.errors import FileError
from fastiou.formats.groups import common_groups
from fastiou.formats.table import FORMATS, read_boxes, recognized
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
    assert len(file) == content.count("\n") - ("header" in name) or format_ == "coco"


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
        "<annotations><image name='a'/></annotations>",
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
    np.savez(tmp_path / "boxes.npz", boxes=[[0, 0, 9, 9]], scores=[0.5], labels=[1])
    assert read_boxes(tmp_path / "boxes.npz").unused == ("labels",)


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
    assert file.keys["category"].tolist() == [0, 1, 1]
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
        (json.dumps(LABELME).replace("rectangle", "circle"), r"shapes\[0\].*rectangle or polygon"),
        (json.dumps(LABELME).replace("[30.5, 9], ", ""), r"shapes\[1\].*3 points or more"),
        (LINES.replace('"xmin": 10', '"xmin": "ten"'), ':1: xmin: "ten", expected a number'),
        (LINES.replace('"b.jpg"', "null"), ':2: no "file_name"'),
        (LINES + "[]\n", r":3: \[\], expected an object a line"),
        (LINES + "{\n", ":3: not JSON"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n", "outlines of four points each, or oriented"),
        ("imagesource:x\ngsd:1\n1 2 3 4 5 6 7 8 plane 0\n", "quadrilaterals of DOTA"),
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
    objects = ["1,1,10,20,100,200,1,4,0,0", "1,2,10,20,100,200,1,5,0,0"]
    text = "\n".join([*ignored, *objects]).replace(",", between)
    file = read(tmp_path, text)
    assert file.format == "visdrone-vid"
    assert file.keys["category"].tolist() == [0] * rows + [4, 5]
    assert read(tmp_path, "\n".join(ignored)).format == "mot"


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
