"""`fastiou convert`: a file of boxes in another format, nothing lost without a word."""

import json
import os
import re

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of
from files_for_tests import VOC

import fastiou
from fastiou.formats.written.targets import TARGETS

#: A number that has no short decimal form, and a name that CSV must quote.
BOXES = np.array([[0, 0, 4, 4], [0.1, 1 / 3, 4, 3], [5, 5, 1e-3, 4e5]])
NAMES = ["a, b.jpg", 'ä"1".png', "a, b.jpg"]


def entries(**columns):
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [{**row, "bbox": box} for row, box in zip(rows, BOXES.tolist(), strict=True)]


def source(tmp_path, **columns):
    """COCO's results, or annotations, with these columns."""
    path = tmp_path / "source.json"
    path.write_text(json.dumps(entries(**columns)))
    return path


def assert_same(actual, expected, *, but=()):
    assert actual.fmt == expected.fmt
    own, other = actual.columns(), expected.columns()
    assert own.keys() - set(but) == other.keys() - set(but)
    for name in own.keys() - set(but):
        np.testing.assert_array_equal(own[name], other[name], strict=True)


NUMBERS = {"image_id": [3, 4, 3], "category_id": [1, 1, 2]}
NAMED = {"image_id": NAMES, "category_id": ["car", "car", "bus"]}
SCORES = {"score": [0.5, 0.1, 1 / 3]}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "json"])
@pytest.mark.parametrize("keys", [NUMBERS, NAMED])
@pytest.mark.parametrize("scores", [{}, SCORES])
@pytest.mark.parametrize("ids", [{}, {"id": [12, 13, 7]}, {"id": ["x", "y", "z"]}])
def test_all_columns_come_back(tmp_path, ending, keys, scores, ids):
    if ending == "parquet":
        pytest.importorskip("pyarrow", exc_type=ImportError, reason="pyarrow is not installed")
    path = source(tmp_path, **keys, **scores, **ids)
    out = tmp_path / f"out.{ending}"
    words = words_of(run_well("convert", path, out))
    assert "3 from source.json (coco, xywh)" in words
    # COCO's annotations have ids, and so get some.
    but = ("id",) if ending == "json" and not scores and not ids else ()
    assert_same(fastiou.read(out), fastiou.read(path), but=but)
    again = tmp_path / "again.json"
    run_well("convert", out, again, "--quiet")
    assert_same(fastiou.read(again), fastiou.read(path), but=[] if ids else ["id"])


def test_annotations_are_whole(tmp_path):
    path = source(tmp_path, **NUMBERS, iscrowd=[0, 1, 0])
    out = tmp_path / "out.json"
    run_well("convert", path, out, "--image-size", "1920x1080")
    content = json.loads(out.read_text())
    assert content["images"] == [{"id": i, "width": 1920, "height": 1080} for i in (3, 4)]
    assert content["categories"] == [{"id": i, "name": str(i)} for i in (1, 2)]
    assert [entry["id"] for entry in content["annotations"]] == [1, 2, 3]
    assert [entry["iscrowd"] for entry in content["annotations"]] == [0, 1, 0]
    assert content["annotations"][0]["area"] == 16
    assert fastiou.read(out).iscrowd.tolist() == [False, True, False]


def test_arrays(tmp_path):
    path = source(tmp_path, **NUMBERS, **SCORES)
    expected = fastiou.read(path)
    out = tmp_path / "out.npz"
    run_well("convert", path, out, "--drop", "category")
    assert_same(fastiou.read(out), expected, but=["category"])
    out = tmp_path / "out.npy"
    run_well("convert", path, out, "--drop", "category,image")
    assert_same(fastiou.read(out), expected.convert("xyxy"), but=["category", "image"])
    run_well("convert", path, out, "--drop", "category, image, score")
    assert fastiou.read(out).scores is None


def test_mot(tmp_path):
    path = source(tmp_path, image_id=[3, 4, 3], **SCORES, id=[7, 8, 9])
    out = tmp_path / "out.txt"
    run_well("convert", path, out, "--to", "mot")
    assert_same(fastiou.read(out), fastiou.read(path))
    assert out.read_text().splitlines()[0] == "3,7,0,0,4,4,0.5,-1,-1,-1"
    path = source(tmp_path, image_id=[3, 4, 3])
    run_well("convert", path, out, "--to", "mot")
    assert out.read_text().splitlines()[0] == "3,-1,0,0,4,4,1,-1,-1,-1"


@pytest.mark.parametrize("scores", [{}, SCORES])
def test_yolo(tmp_path, scores):
    rows = [{"image_id": image, "category_id": name, "bbox": box}
            for image, name, box in zip(["b.jpg", "a.png", "b.jpg"], ["car", "bus", "car"],
            [[0, 0, 64, 48], [1, 2, 3, 4], [10, 10, 20, 30]], strict=True)]  # fmt: skip
    for row, score in zip(rows, scores.get("score", ()), strict=False):
        row["score"] = score
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(rows))
    out = tmp_path / "labels"
    run_well("convert", path, out, "--to", "yolo", "--image-size", "64,48")
    assert sorted(file.name for file in out.iterdir()) == ["a.txt", "b.txt", "classes.txt"]
    assert (out / "classes.txt").read_text() == "bus\ncar\n"
    assert (out / "b.txt").read_text().splitlines()[0].startswith("1 0.5 0.5 1 1")
    table, expected = fastiou.read(out), fastiou.read(path)[[1, 0, 2]]
    assert table.keys["image"].tolist() == ["a", "b", "b"]
    assert table.labels.tolist() == ["bus", "car", "car"]
    if scores:
        np.testing.assert_array_equal(table.scores, expected.scores)
    size = [64, 48, 64, 48]
    np.testing.assert_allclose(table.boxes * size, expected.convert("cxcywh").boxes)
    back = tmp_path / "back.json"
    run_well("convert", out, back, "--image-size", "64,48", "--quiet")
    np.testing.assert_allclose(fastiou.read(back).boxes, expected.boxes, atol=1e-12)
    parts = tmp_path / "parts.csv"
    run_well("convert", out, parts)
    assert_same(fastiou.read(parts), table)
    run_well("convert", out, tmp_path / "again", "--to", "yolo")
    assert_same(fastiou.read(tmp_path / "again"), table)


def test_sizes_of_images_are_those_of_the_file(tmp_path):
    rows = [{"image_id": i, "category_id": 0, "bbox": [0, 0, 5, 5]} for i in (1, 2)]
    images = [{"id": 1, "width": 10, "height": 20}, {"id": 2, "width": 40, "height": 50}]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": rows}))
    run_well("convert", path, tmp_path / "labels", "--to", "yolo")
    boxes = fastiou.read(tmp_path / "labels").boxes.tolist()
    assert boxes == [[0.25, 0.125, 0.5, 0.25], [0.0625, 0.05, 0.125, 0.1]]
    out = tmp_path / "out.json"
    run_well("convert", path, out)
    assert json.loads(out.read_text())["images"] == images
    refused(
        ("convert", path, tmp_path / "out.csv", "--image-size", "9,9"),
        "--image-size is for files that do not tell the sizes of images: truth.json does",
    )
    path.write_text(json.dumps({"images": images[:1], "annotations": rows}))
    refused(
        ("convert", path, tmp_path / "new", "--to", "yolo"),
        "yolo needs the size of image 2, which the file does not tell",
    )


def test_rotated_boxes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("cx,cy,w,h,angle\n1,2,3,4,30\n")
    for ending in ("csv", "npz", "jsonl"):
        out = tmp_path / f"out.{ending}"
        run_well("convert", path, out, "--boxes", "cxcywhr-cw")
        table = fastiou.read(out)
        np.testing.assert_array_equal(table.convert("cxcywhr").boxes, [[1, 2, 3, 4, -30]])
    refused(("convert", path, tmp_path / "out.npy"), "npy has no place for boxes as cxcywhr")


@pytest.mark.parametrize("unit", ["deg", "rad"])
def test_small_angles_are_read_back(tmp_path, unit):
    path = tmp_path / "a.csv"
    path.write_text(f"cx,cy,w,h,angle_{unit}\n1,2,3,4,0.5\n")
    expected = fastiou.read(path).convert("cxcywhr")
    for ending in ("csv", "npz", "jsonl"):
        out = tmp_path / f"out.{ending}"
        run_well("convert", path, out)
        assert_same(fastiou.read(out), expected)


def refused(arguments, *messages):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    for message in messages:
        assert message in result.stderr
    out = arguments[2]
    assert not os.path.lexists(out)
    assert not [file for file in out.parent.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize(
    ("columns", "out", "options", "message"),
    [
        (NAMED, "out.npz", (), "npz has no place for category: --drop category leaves it out"),
        (NAMED, "out.npz", ("--drop", "category"), "npz needs whole numbers for image, got 'a, b"),
        (NUMBERS, "out.npy", (), "npy has no place for image and category: --drop image,category"),
        (NUMBERS, "out.csv", ("--drop", "id"), "--drop id: the columns are image, category"),
        ({**NUMBERS, "iscrowd": [0, 0, 1]}, "out.csv", (), "csv has no place for iscrowd: --drop"),
        (NUMBERS, "out.json", ("--drop", "image"), "coco needs the key image, which is not in"),
        (NAMED, "o.txt", ("--to", "mot", "--drop", "category"), "mot needs whole numbers for"),
        ({"image_id": [1, 2, 1], "id": [5, 5, 5]}, "o.txt", ("--to", "mot"),
         "mot needs one box of each track in a frame: box 3 is"),
        ({"image_id": [1, 2, 3], "id": ["x", "y", "z"]}, "o.txt", ("--to", "mot"),
         "mot needs whole numbers for id, got 'x'"),
        (NUMBERS, "out", (), "the name has no ending, expected .csv, .jsonl, .parquet, .arrow, "),
        (NUMBERS, "out.txt", (), ".txt does not tell the format, expected .csv"),
        (NUMBERS, "out.xml", (), ".xml does not tell the format, expected .csv"),
        (NUMBERS, "out", ("--to", "csv"), "the name has no ending, expected .csv"),
        (NUMBERS, "out", ("--to", "yolo"), "yolo has parts of the image: --image-size W,H tells"),
        (NUMBERS, "out", ("--to", "yolo", "--image-size", "10,10"),
         "yolo needs numbers between 0 and 1, and a size: box 3 is"),
        (NUMBERS, "out", ("--to", "yolo", "--image-size", "0,10"), "--image-size must be WIDTH"),
        ({**NUMBERS, "score": [-1, 0, 2]}, "out.npy", ("--drop", "image,category"),
         "npy needs scores between 0 and 1; npz takes any"),
        (NUMBERS, "out.csv", ("--boxes", "xyxy"), "--boxes xyxy is for files that do not tell"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_refused(tmp_path, columns, out, options, message):
    refused(("convert", source(tmp_path, **columns), tmp_path / out, *options), message)


def test_arrays_that_would_be_read_as_others_are_refused(tmp_path):
    path, out = tmp_path / "in.csv", tmp_path / "out.npy"
    path.write_text("x1,y1,x2,y2\n50,60,20,10\n100,80,30,20\n")
    refused(("convert", path, out), "npy needs corners in order, of most boxes: others are taken")
    path.write_text("x1,y1,x2,y2,score\n0,0.1,0.5,0.6,0.5\n")
    refused(("convert", path, out), "npy needs boxes that are no class, cx, cy, w and h, which")
    run_well("convert", path, tmp_path / "out.npz")
    assert fastiou.read(tmp_path / "out.npz").boxes.tolist() == [[0, 0.1, 0.5, 0.6]]


@pytest.mark.parametrize("target", ["voc", "coco", "kitti", "yolo", "csv"])
def test_tables_of_parts_of_the_image_are_told_by_their_numbers(tmp_path, target):
    path = tmp_path / "in.csv"  # as of Open Images
    path.write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\na,car,0.25,0.5,0.5,0.75\n")
    ending = {"coco": ".json", "csv": ".csv"}.get(target, "")
    if target not in ("csv", "yolo"):
        refused(
            ("convert", path, tmp_path / f"a{ending}", "--to", target),
            f"{target} has pixels, and in.csv parts of the image: --image-size W,H tells its size",
        )
    out = tmp_path / f"out{ending}"
    size = "--image-size", "640,480"
    result = run_well("convert", path, out, "--to", target, "--quiet", *size)
    assert "the boxes lie between 0 and 1, and are taken for parts of the image" in result.stderr
    asked = {"image_size": (640, 480)} if target == "yolo" else {}
    boxes = fastiou.read(out, **asked).convert("xyxy").boxes
    assert boxes.tolist() == [[160, 240, 320, 360]]
    assert "0 and 1" not in run_well("convert", path, tmp_path / "b.csv").stderr


def test_names_that_are_no_files_are_refused(tmp_path):
    for names, message in (
        (["a/b", "c", "d"], "yolo needs images whose names can be those of files, got 'a/b'"),
        (["a.jpg", "a.png", "c"], "images 'a.jpg' and 'a.png' would both be a.txt"),
        (["classes", "a", "b"], "got 'classes'"),
    ):
        path = source(tmp_path, image_id=names, category_id=[1, 2, 3])
        options = ("--to", "yolo", "--image-size", "1000000,1000000")
        refused(("convert", path, tmp_path / "out", *options), message)


@pytest.mark.parametrize("name", ["classes.jpg", "Readme.png", ".a.jpg", "predefined_classes"])
def test_labels_that_would_not_be_read_back_are_refused(tmp_path, name):
    path = tmp_path / "in.csv"
    path.write_text(f"image,category,cx,cy,w,h\n{name},car,.5,.5,.1,.1\nb.jpg,bus,.5,.5,.1,.1\n")
    out = tmp_path / "labels"
    arguments = "convert", path, out, "--to", "yolo", "--image-size", "1,1"
    refused(arguments, "names can be those of files", repr(name))
    assert not out.exists()


@pytest.mark.parametrize(
    "target", [n for n, row in TARGETS.items() if row.can_be_empty and row.masks != "alone"]
)
def test_no_boxes_are_written_as_none(tmp_path, target):
    if target in ("parquet", "arrow"):
        pytest.importorskip("pyarrow", exc_type=ImportError)
    path, out = tmp_path / "in.csv", tmp_path / f"out{TARGETS[target].endings[0]}"
    path.write_text("image,x1,y1,x2,y2\n")
    run_well("convert", path, out, *(["--drop", "image"] if target == "npy" else []))
    assert len(fastiou.read(out)) == 0
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "a.txt").touch()
    run_well("convert", folder, out, *(["--drop", "image"] if target == "npy" else []))
    assert len(fastiou.read(out)) == 0


@pytest.mark.parametrize(
    "target", [n for n, row in TARGETS.items() if not row.can_be_empty and row.masks != "alone"]
)
def test_no_boxes_are_refused_where_nothing_would_tell_them(tmp_path, target):
    path = tmp_path / "in.csv"
    path.write_text("image,category,x1,y1,x2,y2\n")
    options = ["--drop", "category"] if target == "mot" else []
    refused(
        ("convert", path, tmp_path / "out.txt", "--to", target, "--image-size", "5,5", *options),
        f"{target} cannot tell that there are no boxes: --to csv or parquet or arrow or npz or",
    )


def test_sizes_of_images_are_those_of_all_files_of_a_folder(tmp_path):
    folder = tmp_path / "truth"
    folder.mkdir()
    for number, side in (1, 100), (2, 10):
        image = {"id": number, "width": side, "height": side}
        entry = {"image_id": number, "category_id": 1, "bbox": [1, 2, 4, 4]}
        content = {"images": [image], "annotations": [entry]}
        (folder / f"{number}.json").write_text(json.dumps(content))
    out = tmp_path / "out.json"
    run_well("convert", folder, out, "--drop", "video")
    images = json.loads(out.read_text())["images"]
    assert images == [{"id": i, "width": w, "height": w} for i, w in ((1, 100), (2, 10))]
    labels = tmp_path / "labels"
    run_well("convert", folder, labels, "--drop", "video", "--to", "yolo")
    assert (labels / "2.txt").read_text() == "1 0.3 0.4 0.4 0.4\n"


def test_parts_of_images_need_a_size(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "a.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    refused(
        ("convert", folder, tmp_path / "out.json"),
        "coco has pixels, and labels parts of the image: --image-size W,H tells its size",
    )
    (folder / "b.txt").write_text("0 0.5 0.5 0.25\n")
    refused(("convert", folder, tmp_path / "out.csv"), "b.txt")


def test_nothing_is_overwritten_unasked(tmp_path):
    path = source(tmp_path, **NUMBERS)
    result = run("convert", path, path)
    assert result.exit_code == 2
    assert "this is an input" in result.stderr
    folder = tmp_path / "out"
    folder.mkdir()
    result = run("convert", path, folder, "--to", "yolo", "--image-size", "1000000,1000000")
    assert result.exit_code == 2
    assert "this is there already, expected a new folder" in result.stderr
    assert not list(folder.iterdir())


def test_columns_that_are_not_used_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x1,y1,x2,y2,note\n1,2,3,4,n\n")
    result = run_well("convert", path, tmp_path / "out.npy", "--quiet")
    assert result.stderr == f"fastiou: {path}: not used: note\n"
    assert result.stdout == ""


def test_what_is_marked_to_be_ignored_is_told(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1,1,10,20,30,40,0,7,1\n1,2,10,20,30,40,1,7,1\n")
    result = run_well("convert", path, tmp_path / "out.csv", "--quiet")
    assert "1 row has conf 0, to be ignored by the rule of mot: taken along" in result.stderr


@pytest.mark.parametrize("method", ["pairs", "greedy", "topk", "coco"])
def test_tables_give_what_the_command_gives(tmp_path, method):
    rng = np.random.default_rng(3)

    def made(name, size, **more):
        rows = [
            {"image_id": f"{rng.integers(3)}.jpg", "category_id": int(rng.integers(2)),
             "bbox": [*rng.integers(0, 20, 2).tolist(), *rng.integers(4, 12, 2).tolist()], "id": i}
            for i in range(100, 100 + size)
        ]  # fmt: skip
        path = tmp_path / name
        path.write_text(json.dumps([{**row, **more} for row in rows]))
        return path

    a, b = made("a.json", 80, score=0.5), made("b.json", 60)
    out = tmp_path / "out.npz"
    run_well("match", a, b, "--threshold", "0.2", "--method", method, "--out", out)
    one, two = fastiou.read(a), fastiou.read(b)
    if method == "pairs":
        found = fastiou.pairs(one, two, 0.2)
    elif method == "topk":
        found = fastiou.topk(one, two, threshold=0.2)
    else:
        found = fastiou.match(one, two, 0.2, method=method)
    with np.load(out) as written:
        columns = found.columns()
        assert [name for name in written if not name.startswith("unmatched")] == list(columns)
        for name, column in columns.items():
            np.testing.assert_array_equal(written[name], column, strict=True)


def test_difficult_objects_stay_or_are_refused(tmp_path):
    objects = [VOC.split("<object>")[1].replace("</annotation>", "")] * 2
    text = "<annotation><filename>a.jpg</filename><object>" + "<object>".join(objects)
    folder, out = tmp_path / "truth", tmp_path / "out"
    folder.mkdir()
    text = text.replace("<difficult>0", "<difficult>1", 1) + "</annotation>"
    (folder / "a.xml").write_text(text)
    run_well("convert", folder, out, "--to", "voc")
    written = (out / "a.xml").read_text()
    assert re.findall("<difficult>(.)", written) == ["1", "0"]
    csv = tmp_path / "a.csv"
    result = run("convert", folder, csv)
    assert result.exit_code == 2
    assert "csv has no place for difficult: --drop difficult leaves it out" in result.stderr
    run_well("convert", folder, csv, "--drop", "difficult")


def test_marks_that_no_box_has_may_be_dropped(tmp_path):
    path = source(tmp_path, **NUMBERS, id=[1, 2, 3], iscrowd=[0, 0, 0])
    run_well("convert", path, tmp_path / "a.csv", "--drop", "id,iscrowd,difficult")
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4


def test_what_a_format_has_besides_boxes_is_named(tmp_path):
    path = tmp_path / "in.json"
    entry = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 5}
    path.write_text(json.dumps({"annotations": [{**entry, "segmentation": [[0, 0, 9, 0, 9, 9]]}]}))
    told = run_well("convert", path, tmp_path / "out.json").stderr
    assert f"fastiou: {path}: not used: area, segmentation\n" in told
    labels = tmp_path / "000.txt"
    labels.write_text("Car 0.5 0 -1.57 10 20 110 220 1.5 1.6 3.7 1 2 30 0.1\n")
    told = run_well("convert", labels, tmp_path / "out.csv").stderr
    assert "not used: truncated, occluded, alpha, height, width, length" in told
    labels.write_text("Car -1 -1 -10 10 20 110 220 -1 -1 -1 -1000 -1000 -1000 -10 0.5\n")
    assert not run_well("convert", labels, tmp_path / "out.csv").stderr
    assert "not used" not in run_well("match", labels).output


def test_no_annotations_of_listed_images(tmp_path):
    images = [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}]
    path = tmp_path / "in.json"
    content = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": []}
    path.write_text(json.dumps(content))
    for target in ("voc", "yolo", "kitti", "labelme", "dota"):
        run_well("convert", path, tmp_path / target, "--to", target)
        assert "a" in [file.stem for file in (tmp_path / target).iterdir()]
        assert len(fastiou.read(tmp_path / target)) == 0


def test_names_that_two_classes_have_are_refused(tmp_path):
    entries = [{"image_id": 1, "category_id": k, "bbox": [0, 0, 9, 9]} for k in (1, 2)]
    path = tmp_path / "in.json"
    classes = [{"id": k, "name": "cat"} for k in (1, 2)]
    path.write_text(json.dumps({"categories": classes, "annotations": entries}))
    refused(
        ("convert", path, tmp_path / "out", "--to", "voc"),
        "more than one category has the name 'cat'",
    )
