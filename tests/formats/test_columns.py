"""Tables: what columns mean by their names, and how programs and people write them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import run
from files_for_tests import (
    BOTH,
    read,
)

import fastiou
from fastiou.formats.errors import FileError
from fastiou.formats.kept_rows import row_texts
from fastiou.formats.table import read_boxes
from fastiou.tables.box_table import BoxTable
from fastiou.tables.column_names import HEADERS, SYNONYMS
from fastiou.tables.columns import ColumnsError, meaning_of
from fastiou.tables.layouts import header_of


@pytest.mark.parametrize(
    ("header", "fmt", "keys"),
    [
        ("filename,x1,y1,x2,y2", "xyxy", {"image": (0,)}),
        ("image_name,xmin,ymin,xmax,ymax,label", "xyxy", {"image": (0,), "category": (5,)}),
        ("img,left,top,right,bottom", "xyxy", {"image": (0,)}),
        ("img,left,upper,right,lower", "xyxy", {"image": (0,)}),
        ("img,xtl,ytl,xbr,ybr", "xyxy", {"image": (0,)}),
        ("img,top_left_x,top_left_y,bottom_right_x,bottom_right_y", "xyxy", {"image": (0,)}),
        ("img,x_left,y_top,x_right,y_bottom", "xyxy", {"image": (0,)}),
        ("img,startX,startY,endX,endY", "xyxy", {"image": (0,)}),
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
    with pytest.raises(ColumnsError, match="score come twice"):
        meaning_of(["x", "y", "w", "h", "score", "Score"], "xyxy", takes_scores=True)


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


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *((name, "image") for name in ("frame_idx", "frame_num", "image_idx", "im_id", "fname")),
        *((name, "video") for name in ("seq_name", "video_path", "movie", "patientId", "scan")),
        ("object_class", "category"),
    ],
)
def test_names_of_keys_as_people_write_them(tmp_path: Path, name: str, key: str) -> None:
    file = read(tmp_path, f"{name},x1,y1,x2,y2\n1,1,2,3,4\n2,1,2,3,4\n")
    assert {key: values.tolist() for key, values in file.keys.items()} == {key: [1, 2]}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            "name",
            "column name may tell the image or the category, expected --by image=name or "
            "--by category=name or --by none",
        ),
        (
            "class,batch_id",
            "may tell the image, expected --by category,image=batch_id or --by category",
        ),
        ("source", "column source may tell the image"),
        ("source_image", "column source_image may tell the image, expected --by image=source_im"),
        ("relativePath", "column relativePath may tell the image"),
        (
            "class,Image URL",
            "column Image URL may tell the image, expected --by category,image=Image URL",
        ),
        ("source_sample", "column source_sample may tell the image"),
        ("case_id", "column case_id may tell the image"),
        ("image,kind", "column kind may tell the category"),
        ("image,video_url", "may tell the video, expected --by image,video=video_url or"),
        ("image,gt_label", "column gt_label may tell the category"),
    ],
)
def test_columns_that_may_be_keys_are_refused(tmp_path: Path, names: str, words: str) -> None:
    row = ",".join("a" for _ in names.split(","))
    content = f"{names},x1,y1,x2,y2\n{row},1,2,3,4\n"
    with pytest.raises(FileError, match=words):
        read(tmp_path, content)
    last = names.split(",")[-1]
    assert list(read(tmp_path, content, by=(last,)).keys) == [last]
    assert read(tmp_path, content, by=()).unused != ()
    told = read(tmp_path, f"video,image,class,{last},x1,y1,x2,y2\n0,1,2,3,1,2,3,4\n")
    assert (list(told.keys), told.unused) == (["video", "image", "category"], (last,))


@pytest.mark.parametrize(
    "name",
    ["image_width", "imgHeight", "frame_rate", "class_score", "label_confidence", "difficult",
     "is_occluded", "area", "weights", "sequence_length", "iscrowd", "pose", "uuid", "color"],
)  # fmt: skip
def test_other_columns_are_named_and_no_more(tmp_path: Path, name: str) -> None:
    file = read(tmp_path, f"{name},x1,y1,x2,y2\n1,1,2,3,4\n")
    assert (file.keys, file.unused) == ({}, (name,))


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        ("xmin,ymin,xmax,ymax,confidence,class,name", ["category"]),
        (",xmin,ymin,xmax,ymax,confidence,class,name", ["category"]),  # as pandas writes YOLOv5's
        ("frame,id,name,xmin,ymin,xmax,ymax", ["image"]),
    ],
)
def test_a_name_beside_a_key_is_not_used(names: str, keys: list[str]) -> None:
    meaning = meaning_of(names.split(","), "xyxy")
    assert (list(meaning.keys), meaning.unused) == (keys, ("name",))


def test_other_names_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    boxes = np.array([[10.0, 10, 4, 4], [5, 6, 20, 30]])
    for name in ("fmt", "format", "box_format"):
        np.savez(path, boxes=boxes, conf=[0.5, 0.25], **{name: np.array("cxcywh")})
        file = read_boxes(path, scores_if_there=True)
        assert (file.fmt, file.scores.tolist()) == ("cxcywh", [0.5, 0.25])
        np.testing.assert_array_equal(file.boxes, boxes)
    np.savez(path, boxes=boxes, fmt="xywh", batch_idx=[0, 1])
    with pytest.raises(
        FileError, match=r"column batch_idx may tell the image, expected --by image=b"
    ):
        read_boxes(path)
    assert list(read_boxes(path, by=("batch_idx",)).keys) == ["batch_idx"]
    assert read_boxes(path, by=()).unused == ("batch_idx",)


@pytest.mark.parametrize("name", ["box_mode", "bbox_mode", "box_type", "bboxType"])
def test_an_array_that_tells_a_layout_is_not_ignored(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, boxes=[[1.0, 2, 3, 4]], **{name: np.array("xywh")})
    with pytest.raises(FileError, match=f":{name}: it may tell another layout.*--boxes xyxy"):
        read_boxes(path)
    file = read_boxes(path, fmt="xywh", told=True)
    assert (file.fmt, file.unused) == ("xywh", (name,))
    np.savez(path, boxes=[[1.0, 2, 3, 4]], fmt="xywh", **{name: np.array(1)})
    assert read_boxes(path).fmt == "xywh"


def test_a_column_that_tells_a_layout_is_not_ignored(tmp_path: Path) -> None:
    content = "image,x1,y1,x2,y2,box_format\na,1,2,3,4,cxcywh\n"
    with pytest.raises(FileError, match=r"column box_format, which may tell .*--boxes xyxy"):
        read(tmp_path, content)
    assert read(tmp_path, content, fmt="xyxy", told=True).unused == ("box_format",)


@pytest.mark.parametrize(
    ("content", "fmt", "words"),
    [
        ("xmin,ymin,xmax,ymax,angle\n10,10,50,40,30\n", "xyxy", "column angle beside corners, exp"),
        (
            "x,y,z,w,h,d,yaw_deg\n1,2,3,4,5,6,30\n",
            "xywhr",
            "column z beside x,y,w,h,yawdeg, expected x,y,z,w,h,d of 3-D boxes",
        ),
        (
            "filename,width,height,x,y\na,640,480,1,2\n",
            "xywh",
            "width and height in front of x and",
        ),
    ],
)
def test_what_stands_beside_a_box_may_make_another_of_it(
    tmp_path: Path, content: str, fmt: str, words: str
) -> None:
    with pytest.raises(FileError, match=f"{words}.*--boxes {fmt}"):
        read(tmp_path, content)
    assert read(tmp_path, content, fmt=fmt, told=True).fmt == fmt


def test_names_in_alphabetical_order_tell_no_size_of_an_image(tmp_path: Path) -> None:
    entry = {"x": 1, "y": 2, "width": 3, "height": 4, "class": "car"}
    file = read(tmp_path, json.dumps([entry, entry], sort_keys=True))
    assert (file.fmt, file.boxes.tolist()[0]) == ("xywh", [1, 2, 3, 4])


def test_predictions_whose_corner_may_be_the_centre(tmp_path: Path) -> None:
    entry = {"x": 5, "y": 5, "width": 3, "height": 4, "confidence": 0.9, "class": "car"}
    rows = "image,x,y,width,height,confidence,class,class_id\na,5,5,3,4,0.9,car,1\n"
    for content in (json.dumps([entry]), f"{json.dumps(entry)}\n" * 2, rows):
        with pytest.raises(FileError, match="Roboflow's x, y are centres, expected --boxes cxcywh"):
            read(tmp_path, content)
        for fmt in ("cxcywh", "xywh"):
            file = read(tmp_path, content, fmt=fmt, told=True, scored=True)
            assert (file.fmt, file.boxes.tolist()[0], file.scores[0]) == (fmt, [5, 5, 3, 4], 0.9)
    assert read(tmp_path, rows.replace("class_id", "track")).fmt == "xywh"
    columns = {"x": [5], "y": [5], "width": [3], "height": [4], "confidence": [1.0], "class": [1]}
    with pytest.raises(ValueError, match=r"centres, expected .*fmt='cxcywh'.* or .*fmt='xywh'"):
        BoxTable.from_frame(columns)
    assert BoxTable.from_frame(columns, fmt="cxcywh").fmt == "cxcywh"


def test_a_number_is_not_a_name_too(tmp_path: Path) -> None:
    entries = [{"image_id": image, "category_id": 1, "bbox": [1, 2, 3, 4]} for image in ("1", 1)]
    with pytest.raises(FileError, match=r'\[1\]: "image_id": 1, and "1" elsewhere, expected a num'):
        read(tmp_path, json.dumps(entries))
    lines = "".join(f"{json.dumps(entry)}\n" for entry in entries)
    with pytest.raises(
        FileError, match=r':2: image_id: 1, and "1" elsewhere, expected a number or'
    ):
        read(tmp_path, lines)
    entries[0]["image_id"] = "01"
    assert read(tmp_path, json.dumps(entries)).keys["image"].tolist() == ["01", "1"]


def test_no_name_of_a_file_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^path must name a file or a folder, got ''"):
        fastiou.read("")
    with pytest.raises(TypeError, match=r"^path must name a file or a folder, got 5"):
        fastiou.read(5)  # type: ignore[arg-type]
    for arguments in (("match", ""), ("nms", ""), ("eval", "mot", "", "a"), ("convert", "a", "")):
        result = run(*arguments)
        assert (result.exit_code, "must name a file or a folder" in str(result.stderr)) == (2, True)


def test_imagej_has_the_centre_of_mass_beside_the_box(tmp_path: Path) -> None:
    content = " \tArea\tX\tY\tBX\tBY\tWidth\tHeight\n1\t900\t25\t40\t10\t20\t30\t40\n"
    file = read(tmp_path, content)
    assert (file.fmt, file.boxes.tolist()) == ("xywh", [[10, 20, 30, 40]])
    assert file.unused == ("Area", "X", "Y")


@pytest.mark.parametrize("name", ["z_index", "t", "time_point", "well", "basename", "cat", "type"])
def test_columns_that_may_be_keys_are_not_dropped(tmp_path: Path, name: str) -> None:
    content = f"{name},x1,y1,x2,y2\n1,1,2,3,4\n2,1,2,3,4\n"
    with pytest.raises(
        FileError,
        match=f"column {name} may tell the (image|category), .*--by (image|category)={name}",
    ):
        read(tmp_path, content)
    assert read(tmp_path, content, by=(name,)).keys[name].tolist() == [1, 2]


@pytest.mark.parametrize("cell", ["", "NA", "N/A", "<NA>", "NULL", "null", "None"])
def test_a_missing_key_is_no_name(tmp_path: Path, cell: str) -> None:
    with pytest.raises(
        FileError, match=rf":3: column 1 \(image\) holds '{cell}', .*--by none|a name"
    ):
        read(tmp_path, f"image,x1,y1,x2,y2\na,1,2,3,4\n{cell},1,2,3,4\n")


@pytest.mark.parametrize(
    "content",
    [
        '{"image": "a", "x1": 1, "y1": 2, "x2": 3, "y2": 4, "x1": 2}\n',
        '[{"image": "a", "x1": 1, "y1": 2, "x2": 3, "y2": 4, "x1": 2}]',
        '{"version": "5", "shapes": [], "shapes": [], "imagePath": "a.jpg"}',
        '{"version": "5", "shapes": [{"label": "a", "label": "b", "points": [[0, 0], [1, 1]], '
        '"shape_type": "rectangle"}], "imagePath": "a.jpg"}',
    ],
)
def test_a_name_stands_once_in_an_object(tmp_path: Path, content: str) -> None:
    with pytest.raises(FileError, match=r"twice|two fields of one name"):
        read(tmp_path, content)


def test_one_of_two_layouts_is_asked_for(tmp_path: Path) -> None:
    content = "image,x1,y1,x2,y2,cx,cy,w,h\na,1,1,9,9,5,5,8,8\n"
    words = "columns of several layouts .*, expected --boxes xyxy or --boxes cxcywh"
    with pytest.raises(FileError, match=words):
        read(tmp_path, content)
    for fmt, box in (("xyxy", [1, 1, 9, 9]), ("cxcywh", [5, 5, 8, 8])):
        file = read(tmp_path, content, fmt=fmt, told=True)
        assert (file.fmt, file.boxes.tolist()) == (fmt, [box])


@pytest.mark.parametrize(
    "name",
    ["pred_score", "det_conf", "detection score", "confidence_score", "obj_conf", "objectness"],
)
def test_scores_as_detectors_call_them(tmp_path: Path, name: str) -> None:
    file = read(tmp_path, f"image,x1,y1,w,h,{name}\na,1,2,3,4,0.5\n", scored=True)
    assert file.scores is not None
    assert (file.fmt, file.boxes.tolist(), file.scores.tolist()) == ("xywh", [[1, 2, 3, 4]], [0.5])


def test_two_columns_may_tell_the_image_together(tmp_path: Path) -> None:
    content = "filename,frame,x1,y1,x2,y2\nv,1,0,0,9,9\nv,2,0,0,9,9\nw,1,0,0,9,9\n"
    words = "tell different groups, expected --by frame,filename, which tell it together, or --by f"
    with pytest.raises(FileError, match=words):
        read(tmp_path, content)
    assert [*read(tmp_path, content, by=("frame", "filename")).keys] == ["image", "filename"]


def test_a_key_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="image told by 'image=b' and before, expected one column"):
        read(tmp_path, "a,b,x1,y1,x2,y2\n1,2,0,0,9,9\n", by=("image=a", "image=b"))


def test_rows_without_a_box_have_the_image_that_is_asked_for(tmp_path: Path) -> None:
    content = "image,source,x,y,w,h\ni1,p,1,2,3,4\ni2,q,,,,\n"
    assert read(tmp_path, content, by=("image=source",), sizes=True).sizes == {"q": None}
    assert read(tmp_path, content, sizes=True, by=("image",)).sizes == {"i2": None}
