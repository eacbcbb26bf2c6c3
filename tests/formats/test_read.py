"""`fastiou.read`: files as tables."""

import csv
import gzip
import json
import pickle
import re

import numpy as np
import pytest
from command_for_tests import run

import fastiou

BOXES = [[0, 0, 4, 4], [0, 0, 4, 3], [5, 5, 4, 4]]


def coco(tmp_path, **more):
    entries = [
        {"id": 7 + i, "image_id": f"{i % 2}.jpg", "category_id": i // 2, "bbox": box, **more}
        for i, box in enumerate(BOXES)
    ]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"annotations": entries}))
    return path


def results(tmp_path, **more):
    entries = [
        {"image_id": 1, "category_id": 2, "bbox": box, "score": 0.5 + i / 8, **more}
        for i, box in enumerate(BOXES)
    ]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(entries))
    return path


def test_coco(tmp_path):
    table = fastiou.read(coco(tmp_path))
    assert repr(table) == "<BoxTable: 3 boxes as xywh; keys image, category; ids>"
    assert table.boxes.tolist() == BOXES
    assert table.keys["image"].tolist() == ["0.jpg", "1.jpg", "0.jpg"]
    assert table.labels.tolist() == [0, 0, 1]
    assert table.ids.tolist() == [7, 8, 9]
    assert table.iscrowd is None
    assert fastiou.read(coco(tmp_path, iscrowd=1)).iscrowd.all()
    found = fastiou.read(results(tmp_path))
    assert found.scores.tolist() == [0.5, 0.625, 0.75]
    assert found.ids is None
    kept = fastiou.nms(found, threshold=0.5)
    assert found[kept].scores.tolist() == [0.75, 0.625]


def test_masks(tmp_path):
    sides = {"segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
    entries = [{"image_id": i, "score": 0.5, **sides} for i in (1, 2)]
    images = [{"id": i, "height": 4 + i, "width": 6} for i in (1, 2)]
    path = tmp_path / "masks.json"
    path.write_text(json.dumps({"images": images, "annotations": entries}))
    table = fastiou.read(path, geometry="mask")
    assert repr(table) == "<BoxTable: 2 masks; scores; keys image>"
    assert table.masks.area.tolist() == [16, 16]
    assert len(fastiou.pairs(table)) == 0
    assert len(fastiou.pairs(table.by())) == 1
    with pytest.raises(
        ValueError, match=r"format must be one of 'yolo-seg', 'labelme', 'coco', got 'mot'"
    ):
        fastiou.read(path, geometry="mask", format="mot")


@pytest.mark.parametrize("pack", [False, True])
def test_tables_of_text(tmp_path, pack):
    path = tmp_path / "found"
    text = "file,left,top,width,height,conf,track,class,note\nb.png,1,2,3,4,0.5,t1,car,x\n"
    path.write_bytes(gzip.compress(text.encode()) if pack else text.encode())
    table = fastiou.read(str(path))
    assert table.fmt == "xywh"
    assert {key: values.tolist() for key, values in table.keys.items()} == {
        "image": ["b.png"],
        "category": ["car"],
    }
    assert (table.ids.tolist(), table.scores.tolist()) == (["t1"], [0.5])
    assert table.unused == ("note",)
    assert repr(table).endswith("; not used: note>")
    assert list(fastiou.read(path, by="note").keys) == ["note"]
    assert list(fastiou.read(path, by=["class", "file"]).keys) == ["category", "image"]
    assert fastiou.read(path, by=()).keys == fastiou.read(path, by="none").keys == {}
    assert table.by("none").grouped == ()


def test_other_formats(tmp_path):
    boxes, scores = np.array(BOXES, float), [0.5, 0.25, 1]
    corners = np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    path = tmp_path / "file"

    def made(write):
        with path.open("wb") as file:
            write(file)
        return path

    plain = fastiou.read(made(lambda file: np.save(file, corners)))
    assert (plain.scores, plain.keys) == (None, {})
    with_scores = np.column_stack([corners, scores])
    table = fastiou.read(made(lambda file: np.save(file, with_scores)))
    assert (table.scores.tolist(), table.unused) == (scores, ())
    columns = {"boxes": boxes, "fmt": "xywh", "groups": [1, 1, 2], "scores": scores}
    table = fastiou.read(made(lambda file: np.savez(file, **columns)))
    assert (table.fmt, table.scores.tolist()) == ("xywh", scores)
    assert table.keys["image"].tolist() == [1, 1, 2]
    del columns["scores"]
    assert fastiou.read(made(lambda file: np.savez(file, **columns))).scores is None
    path.write_text("".join(f"{i},{i + 5},1,2,3,4,0.5,-1,-1,-1\n" for i in (1, 2)))
    table = fastiou.read(path)
    assert (table.keys["image"].tolist(), table.ids.tolist()) == ([1, 2], [6, 7])
    assert table.scores.tolist() == [0.5, 0.5]
    path.write_text("0,0,4,4,0.5\n0,0,4,3,0.25\n")
    assert fastiou.read(path).scores.tolist() == [0.5, 0.25]
    path.write_text('{"x": 1, "y": 2, "w": 3, "h": 4, "score": 0.5}\n' * 2)
    assert fastiou.read(path).scores.tolist() == [0.5, 0.5]
    path.write_text("1 2 3 4 5\n" * 2)
    assert fastiou.read(path, format="csv", fmt="cxcywhr").fmt == "cxcywhr"


def test_folders(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "a.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    (folder / "b.txt").write_text("1 0.5 0.5 0.25 0.25\n" * 2)
    (folder / "c.txt").write_text("")
    table = fastiou.read(folder)
    assert (table.fmt, table.keys["image"].tolist()) == ("cxcywh", ["a", "b", "b"])
    (folder / "b.txt").write_text("1 0.5 0.5 0.25 0.25 0.75\n")
    with pytest.raises(ValueError, match=r"b\.txt: scores, expected no scores, as a\.txt"):
        fastiou.read(folder)


def named_images(tmp_path):
    """Truth with the numbers and names of images, and detections that have names alone."""
    truth = tmp_path / "inst.json"
    images = [{"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "a.jpg"}]
    entries = [{"image_id": i, "category_id": 5, "bbox": [0, 0, 4, i]} for i in (1, 2)]
    truth.write_text(json.dumps({"images": images, "annotations": entries}))
    found = tmp_path / "named.csv"
    found.write_text("file_name,x1,y1,x2,y2\na.jpg,0,0,4,2\nb.jpg,0,0,4,1\n")
    return truth, found


def test_any_column_may_tell_a_key(tmp_path):
    paths = named_images(tmp_path)
    a, b = map(fastiou.read, paths)
    with pytest.warns(UserWarning, match="^only a has category: all are compared without regard"):
        fastiou.pairs(a, b)
    a = a.by("image")  # which is not told
    out = tmp_path / "pairs.csv"
    assert run("match", *paths, "--out", out).exit_code == 0
    for one in (a, a[:], a[[0, 1]], pickle.loads(pickle.dumps(a))):
        found = fastiou.pairs(one, b)
        assert (found.rows.tolist(), found.cols.tolist()) == ([0, 1], [1, 0])
        assert found.columns()["image"].tolist() == ["b.jpg", "a.jpg"]
    with out.open() as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["b.jpg", "a.jpg"]
    assert a[[1]].key_columns["image"]["file_name"].tolist() == ["a.jpg"]
    matched = fastiou.match(b, a.convert("xyxy"))
    assert (matched.rows.tolist(), matched.cols.tolist()) == ([0, 1], [1, 0])
    frame = {"file_name": ["a.jpg"], "image_id": [9], "x1": [0], "y1": [0], "x2": [4], "y2": [2]}
    assert fastiou.pairs(fastiou.BoxTable.from_frame(frame), b).cols.tolist() == [0]


def test_columns_that_disagree_are_refused_with_a_remedy(tmp_path):
    truth, found = named_images(tmp_path)
    found.write_text("file_name,image_id,x1,y1,x2,y2\na.jpg,1,0,0,4,2\nb.jpg,2,0,0,4,1\n")
    assert run("match", truth, found).exit_code == 2
    a, b = fastiou.read(truth), fastiou.read(found)
    message = (
        "image_id and file_name tell different groups across a and b: a.by('image_id') and "
        "b.by('image_id') or a.by('file_name') and b.by('file_name') says what tells the image"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fastiou.pairs(a, b)
    for name, cols in (("file_name", [1, 0]), ("fileName", [1, 0]), ("image_id", [])):
        result = fastiou.pairs(a.by(name), b.by(name), 0.9)
        assert result.cols.tolist() == cols
        assert list(result.columns())[3:] == ["image"]
    assert a.by("file_name", "category").keys["image"].tolist() == ["b.jpg", "a.jpg"]
    assert a.keys["image"].tolist() == [1, 2]
    assert a.by("class").grouped == a.by("label").grouped == ("category",)
    assert b.by("frame").grouped == ("image",)
    known = "but 'image', 'category', 'image_id', 'file_name', 'category_id'"
    with pytest.raises(ValueError, match=f"^there is no key 'video' in the table, {known}$"):
        a.by("video")


def test_other_files_are_told_in_words_of_python(tmp_path):
    image = tmp_path / "labels.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with pytest.raises(ValueError, match=r"expected boxes \(fastiou\.label_iou compares label"):
        fastiou.read(image)
    path = tmp_path / "names.csv"
    path.write_text("image,a,b\n1,2,3\n")
    with pytest.raises(ValueError, match=r"others that docs/files\.md lists, or"):
        fastiou.read(path)


def test_what_is_left_out_is_told(tmp_path):
    path = coco(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][1]["bbox"] = [1]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"annotations\[1\].*; skip_invalid=True leaves such"):
        fastiou.read(path)
    with pytest.warns(UserWarning, match=r"truth\.json: 1 of 3 annotations are invalid and left"):
        table = fastiou.read(path, skip_invalid=True)
    assert table.ids.tolist() == [7, 9]


def test_bad_arguments_are_told(tmp_path):
    path = results(tmp_path)
    csv = tmp_path / "a.csv"
    csv.write_text("10,20,5,5\n20,30,6,6\n")
    for options, message in (
        ({"fmt": "xyxy"}, r"fmt='xyxy' is for files that do not tell .*found\.json tells xywh$"),
        ({"fmt": "xy"}, r"fmt must be one of 'xyxy', "),
        ({"format": "mott"}, r"format must be one of 'npy', "),
        ({"format": "mot"}, r"found\.json"),
        ({"geometry": "labels"}, r"geometry must be one of 'box', 'mask', got 'labels'"),
        ({"by": "video"}, r"there is no key 'video', expected image or category"),
    ):
        with pytest.raises(ValueError, match=message):
            fastiou.read(path, **options)
    with pytest.raises(TypeError, match=r"^by must be names of keys, got \[1\]"):
        fastiou.read(path, by=[1])
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv: no such file"):
        fastiou.read(tmp_path / "nothing.csv")
    with pytest.raises(ValueError, match=r"skip_invalid=True leaves out annotations of coco, "):
        fastiou.read(csv, fmt="xywh", skip_invalid=True)
    with pytest.raises(ValueError, match=r"most boxes are inverted, .*fmt='xywh', fmt='cxcywh'"):
        fastiou.read(csv)
    assert fastiou.read(csv, fmt="xywh").fmt == "xywh"
