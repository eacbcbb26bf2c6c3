"""What messages advise can be done where they stand."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of
from files_for_tests import VOC
from images_for_tests import image_bytes

import fastiou


def folder(path: Path, **texts: str) -> Path:
    path.mkdir()
    for name, text in texts.items():
        (path / f"{name}.txt").write_text(text)
    return path


def zip_bytes(member: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, "x")
    return buffer.getvalue()


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    return line


def test_masks_are_converted_where_that_is_asked_for(tmp_path: Path) -> None:
    path, out = tmp_path / "masks.json", tmp_path / "out.csv"
    mask = {"size": [4, 4], "counts": [0, 4, 12]}
    path.write_text(json.dumps([{"image_id": 1, "category_id": 1, "segmentation": mask}]))
    assert "(--geometry mask converts masks)" in refused("convert", path, out)
    assert "(--geometry mask compares masks)" in refused("match", path, path)


def test_a_folder_without_any_files(tmp_path: Path) -> None:
    labels = folder(tmp_path / "labels", a="0 0.5 0.5 0.2 0.2\n")
    empty = folder(tmp_path / "empty")
    words = "empty: neither files with boxes nor label images in this folder, expected files .txt"
    for arguments in ((empty, labels), (empty,)):
        line = refused("match", *arguments)
        assert words in line
        assert line.endswith(", or .png, .tif, .tiff, .npy")
    assert "no file with boxes in this folder" in refused("match", labels, empty)


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_what_is_kept_of_a_folder(tmp_path: Path, ending: str) -> None:
    labels = folder(tmp_path / "labels", a="0 0.5 0.5 0.2 0.2 0.9\n0 0.5 0.5 0.2 0.21 0.8\n")
    line = refused("nms", labels, "--out", tmp_path / f"kept.{ending}")
    words = "this is a folder, expected a file, whose entries or rows are kept as they are in"
    assert f"{words} .{ending}; of a folder .npz, .csv, .parquet have the positions" in line
    out = tmp_path / "kept.csv"
    run_well("nms", labels, "--out", out, "--quiet")
    assert out.read_text().splitlines() == ["kept,scores,image,category", "0,0.9,a,0"]


def test_annotations_beside_their_pictures(tmp_path: Path) -> None:
    labels = folder(tmp_path / "labels", a="0 0.5 0.5 0.2 0.2\n")
    (labels / "a.png").write_bytes(image_bytes(np.eye(9, dtype=np.uint8), "PNG"))
    line = refused("match", labels, labels)
    words = "a.txt lies beside an image of its name: annotations, or label images, expected "
    assert line.endswith(f"{words}--geometry box for annotations, or --format labels")
    shown = run_well("match", labels, labels, "--geometry", "box")
    assert "1 from labels (yolo, cxcywh)" in words_of(shown)
    shown = run_well("match", labels, labels, "--format", "labels", "--quiet")
    assert shown.stderr.count(f"fastiou: {labels}: 1 other files left out\n") == 2


def test_a_table_as_pandas_writes_it(tmp_path: Path) -> None:
    rows = [{"image": "a", "x1": 1, "y1": 2, "x2": 3, "y2": 4}]
    way = 'expected a list of objects, as to_json(orient="records") of pandas writes it'
    for number, content in enumerate(
        (
            {name: {"0": value} for name, value in rows[0].items()},
            {"0": rows[0]},
            {"columns": [*rows[0]], "index": [0], "data": [[*rows[0].values()]]},
            {"schema": {"fields": []}, "data": rows},
        )
    ):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(content))
        assert refused("match", path).endswith(way)


def test_rows_that_begin_with_a_class(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("cat 0.9 10 20 30 40\n")
    way = "expected a first line that names the columns, such as class score x1 y1 x2 y2"
    assert refused("nms", path).endswith(way)
    path.write_text("class score x1 y1 x2 y2\ncat 0.9 10 20 30 40\n")
    run_well("nms", path)
    for row, header in (
        ("cat 0.5 0.5 0.2 0.2", "class cx cy w h"),
        ("cat 0.5 0.5 0.2 0.2 0.9", "class cx cy w h score"),
        ("10 20 30 40 cat", "x1 y1 x2 y2 class"),
        ("1,1,9,1,9,9,1,9,text", "x1,y1,x2,y2,x3,y3,x4,y4,class"),
        ("a.jpg 10 20 30 40 0.9 cat", "image x1 y1 x2 y2 score class"),
        ("a.jpg,cat,0.9,10,20,30,40", "image,class,score,x1,y1,x2,y2"),
        ("car a.jpg 10 20 30 40", "class image x1 y1 x2 y2"),
        ("a.jpg 100 200 30 40", "image x y w h"),
        ("cat 0.9 0.5 0.5 0.2 0.2", "class score cx cy w h"),
    ):
        path.write_text(f"{row}\n{row}\n")
        assert refused("match", path).endswith(f", such as {header}")
        path.write_text(f"{header}\n{row}\n")
        assert len(fastiou.read(path)) == 1


@pytest.mark.parametrize(
    "row",
    [
        "0 0.5 0.5 0.2 0.2 cat",
        "5 a.jpg 10 20 30 40",
        "1 a.jpg 10 20 30 40",
        "cat 7 10 20 30 40",
        "cat dog 10 20 30 40",
        "cat 10 20 x 30 40",
    ],
)
def test_headers_that_may_not_fit_are_not_advised(tmp_path: Path, row: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{row}\n{row}\n")
    said = refused("match", path)
    assert "header" in said or "names the columns" in said
    assert "such as" not in said


@pytest.mark.parametrize("first", ["0", "1", "12"])
def test_a_side_is_no_score(tmp_path: Path, first: str) -> None:
    path, array = tmp_path / "a.txt", tmp_path / "a.npy"
    path.write_text(f"{first} 10.5 20.5 110.5 120.5\n0 12.5 22.5 112.5 121.25\n")
    np.save(array, np.loadtxt(path))
    assert "the last above 1 (--boxes takes them as scores)" in refused("nms", path)
    assert "the last column holds numbers above 1" in refused("nms", array)
    for file in (path, array):
        run_well("nms", file, "--boxes", "xyxy")


def test_numbers_of_images_against_their_names(tmp_path: Path) -> None:
    box = {"category_id": 1, "bbox": [10, 10, 30, 30]}
    truth = {
        "images": [{"id": 1, "file_name": "val/a.jpg"}],
        "categories": [{"id": 1}],
        "annotations": [{**box, "id": 1, "image_id": 1}],
    }
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text(json.dumps(truth))
    b.write_text(json.dumps([{**box, "image_id": "a", "score": 0.5}]))
    way = "(--by file_name,category compares by names that COCO lists; --by category compares"
    assert way in refused("match", a, b)
    shown = run_well("match", a, b, "--by", "file_name,category")
    assert "pairs found 1 " in words_of(shown)
    truth["images"][0].pop("file_name")
    a.write_text(json.dumps(truth))
    assert refused("match", a, b).endswith("(--by category compares without regard to it)")


def test_names_that_are_written_with_accents_in_two_ways(tmp_path: Path) -> None:
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    for path, name in ((a, "caf\u00e9"), (b, "cafe\u0301")):
        path.write_text(f"image,x1,y1,x2,y2\n{name}.jpg,1,2,3,4\nb,1,2,3,4\n")
    assert "taken for different images" in words_of(run_well("match", a, b))
    for path in (a, b):
        path.write_text("\n".join(path.read_text().splitlines()[:2]))
    assert "pairs found 1 " in words_of(run_well("match", a, b))


def test_names_with_zeros_in_front_of_numbers(tmp_path: Path) -> None:
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    for ending, form in (("", "{}"), (".jpg", "img{}")):
        for path, width in ((a, 1), (b, 3)):
            rows = "".join(
                f"{form.format(f'{n:0{width}d}')}{ending},1,2,3,4\n" for n in (9, 10, 100)
            )
            path.write_text(f"frame,x1,y1,x2,y2\n{rows}")
        words = words_of(run_well("match", a, b))
        assert f"taken for different images: {form.format('10')}{ending} and " in words


def test_one_size_beside_files_that_tell_others(tmp_path: Path) -> None:
    labels = folder(tmp_path / "labels", a="3 0.2 0.2 0.2 0.2 0.9\n", b="7 0.2 0.2 0.2 0.2 0.8\n")
    sizes = [(640, 480), (320, 240)]
    truth = {
        "images": [
            {"id": number, "file_name": f"{name}.jpg", "width": width, "height": height}
            for number, (name, (width, height)) in enumerate(zip("ab", sizes, strict=True))
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": c, "bbox": [w / 10, h / 10, w / 5, h / 5]}
            for n, (c, (w, h)) in enumerate(zip((3, 7), sizes, strict=True))
        ],
    }
    path, out = tmp_path / "truth.json", tmp_path / "yolo"
    path.write_text(json.dumps(truth))
    words = "640 × 480, and truth.json tells 320 × 240 of 1: fastiou convert --to yolo makes it"
    by = ("--by", "file_name", "--by", "category")
    assert words in refused("match", path, labels, *by, "--image-size", "640,480")
    run_well("convert", path, out, "--to", "yolo", "--drop", "id")
    (labels / "a.txt").write_text("0 0.2 0.2 0.2 0.2 0.9\n")
    (labels / "b.txt").write_text("1 0.2 0.2 0.2 0.2 0.8\n")
    assert "pairs found 2 " in words_of(run_well("match", out, labels))
    truth["images"][1] |= {"width": 640, "height": 480}
    path.write_text(json.dumps(truth))
    shown = run_well("match", path, labels, *by[:2], "--image-size", "640,480")
    assert "pairs found 1 " in words_of(shown)


@pytest.mark.parametrize("side", [None, 0, "100", 10.5])
def test_sizes_that_are_not_known_contradict_none(tmp_path: Path, side: object) -> None:
    labels = folder(tmp_path / "labels", a="0 0.2 0.2 0.2 0.2 0.9\n")
    truth = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": side, "height": side}],
        "categories": [{"id": 0, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 0, "bbox": [64, 48, 128, 96]}],
    }
    path, found = tmp_path / "truth.json", tmp_path / "found.csv"
    path.write_text(json.dumps(truth))
    by = ("--by", "file_name", "--image-size", "640,480")
    assert "pairs found 1 " in words_of(run_well("match", path, labels, *by))
    found.write_text("image_id,category_id,x,y,w,h,score\n1,0,64,48,128,96,0.5\n")
    assert "AP50 1.0000" in words_of(run_well("eval", "voc", path, found))
    found.write_text("")
    assert "AP50 0.0000" in words_of(run_well("eval", "voc", path, found))


def test_keys_of_several_options(tmp_path: Path) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "a.json"
    path.write_text("image,category,x1,y1,x2,y2,score\na,c,1,2,3,4,.9\nb,c,1,2,3,4,.8\n")
    assert "2 by image and category" in words_of(
        run_well("nms", path, "--by", "image", "--by", "category")
    )
    run_well("convert", path, out, "--drop", "score", "--drop", "category")
    assert [entry["category_id"] for entry in json.loads(out.read_text())["annotations"]] == [1, 1]


def test_classes_of_two_lists_are_compared_by_name(tmp_path: Path) -> None:
    texts = {"a": "0 .5 .5 .2 .2\n", "b": "1 .5 .5 .2 .2\n", "c": "2 .5 .5 .3 .2\n"}
    gt = folder(tmp_path / "gt", **texts, classes="ape\nbee\ncow\n")
    found = {"b": "0 .5 .5 .2 .2 .9\n", "c": "1 .5 .5 .3 .2 .8\n"}
    dt = folder(tmp_path / "dt", **found, classes="bee\ncow\n")
    words = "category_name and class_number tell different groups across gt and dt"
    ways = "--by category_name,image or --by class_number,image says what tells the category"
    assert refused("match", gt, dt).endswith(f"{words}: {ways}")
    words = words_of(run_well("eval", "voc", gt, dt, "--image-size", "100,100", "--per-class"))
    assert "AP50 0.6667" in words
    for column, count in (("category_name", 2), ("class_number", 0)):
        by = ("--by", f"{column},image")
        shown = run_well("match", gt, dt, "--method", "greedy", *by)
        assert f"counts TP {count}, " in words_of(shown)


@pytest.mark.parametrize("format_", ["mot", "yolo", "dota", "kitti"])
def test_a_file_without_a_byte_has_no_boxes(tmp_path: Path, format_: str) -> None:
    path, other, out = tmp_path / "a.txt", tmp_path / "b.csv", tmp_path / "c.csv"
    path.write_text("")
    other.write_text("image,x1,y1,x2,y2\na,1,2,3,4\n")
    for arguments in ((path, other), (other, path)):
        side = "--format-a" if arguments[0] == path else "--format-b"
        words = words_of(run_well("match", *arguments, side, format_))
        assert "0 from a.txt (empty" in words
    run_well("nms", path, "--format", format_)
    run_well("convert", path, out, "--format", format_)
    assert len(out.read_text().splitlines()) == 1
    for command in ("match", "nms"):
        words = "may have none, or --format mot, yolo, …)"
        assert refused(command, path).endswith(words)
        assert refused(command, path, "--format", "coco").endswith(words)


def test_results_that_are_corners_are_told(tmp_path: Path) -> None:
    entry = {"image_id": 1, "category_id": 1}
    truth = {
        "images": [{"id": 1, "width": 900, "height": 900}],
        "categories": [{"id": 1, "name": "c"}],
        "annotations": [{**entry, "id": 1, "bbox": [64, 48, 128, 96]}],
    }
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text(json.dumps(truth))
    b.write_text(json.dumps([{**entry, "bbox": [64, 48, 192, 144], "score": 0.9}]))
    words = f"fastiou: {b}: none overlaps a truth by half; as corners x1, y1, x2, y2, which COCO "
    for command in (("match", a, b), ("match", b, a), ("eval", "voc", a, b)):
        assert run_well(*command, "--quiet").stderr.startswith(words)
    b.write_text(json.dumps([{**entry, "bbox": [64, 48, 128, 96], "score": 0.9}]))
    for command in (("match", a, b), ("eval", "voc", a, b)):
        assert run_well(*command, "--quiet").stderr == ""


@pytest.mark.parametrize("head", ["# names", "names:"])
def test_heads_that_are_taken_for_classes_are_told(tmp_path: Path, head: str) -> None:
    labels = folder(tmp_path / "labels", a="0 .5 .5 .1 .1\n", classes=f"{head}\ncat\n")
    words = f"classes.txt begins with '{head}', taken for the name of class 0\n"
    assert run_well("match", labels, "--quiet").stderr.endswith(words)


def test_results_of_coco_have_numbers_of_classes(tmp_path: Path) -> None:
    labels = folder(tmp_path / "found", a="0 0.5 0.5 0.2 0.2 0.9\n", classes="bee\ncow\n")
    out = tmp_path / "found.json"
    shown = run_well("convert", labels, out, "--image-size", "100,100", "--quiet")
    words = "COCO's results have numbers of classes alone, those of the truth: 0 is bee, 1 is cow"
    assert f"fastiou: {labels}: {words}\n" in shown.stderr


def test_outlines_that_are_parts_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    entry = {"id": 1, "image_id": 1, "category_id": 1}
    outline = [0.1, 0.1, 0.5, 0.1, 0.5, 0.5, 0.1, 0.5]
    truth = {
        "images": [{"id": 1, "width": 60, "height": 40}],
        "categories": [{"id": 1}],
        "annotations": [{**entry, "segmentation": [outline]}],
    }
    path.write_text(json.dumps(truth))
    shown = run_well("match", path, "--geometry", "mask", "--quiet")
    words = "no mask has more than a pixel, as outlines from 0 to 1, parts of the image"
    assert f"fastiou: {path}: {words}\n" in shown.stderr
    truth["annotations"] = [{**entry, "segmentation": [[40 * number for number in outline]]}]
    path.write_text(json.dumps(truth))
    assert run_well("match", path, "--geometry", "mask", "--quiet").stderr == ""


def test_standard_input_is_a_file(tmp_path: Path) -> None:
    assert refused("match", "-").endswith("-: no such file (standard input is /dev/stdin)")


def test_a_byte_order_mark_in_front_of_json(tmp_path: Path) -> None:
    shape = {"label": "c", "points": [[1, 1], [5, 5]], "shape_type": "rectangle"}
    told = {"imagePath": "a.jpg", "imageHeight": 9, "imageWidth": 9, "imageData": None}
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"version": "5", "flags": {}, "shapes": [shape], **told}), "utf-8-sig"
    )
    assert "1 from a.json (labelme, xyxy)" in words_of(run_well("match", path))


def test_numbers_that_floats_cannot_tell_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("image,x1,y1,x2,y2\n9007199254740993.0,1,2,3,4\n9007199254740992.0,1,2,3,4\n")
    assert "holds '9007199254740993.0', expected a whole number of 64 bits" in refused(
        "match", path
    )
    path.write_text(path.read_text().replace(".0,", ","))
    assert "2 by image" in words_of(run_well("match", path))


@pytest.mark.parametrize(
    "setting", ["NUMBA_NUM_THREADS=0", "NUMBA_NUM_THREADS=-1", "NUMBA_DISABLE_JIT=1"]
)
def test_what_numba_is_told_and_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv(*setting.split("="))
    for arguments in (("info",), ("demo", "--keep", tmp_path / "scene")):
        assert refused(*arguments).startswith(f"fastiou: {setting.partition('=')[0]} must ")


def test_keys_are_used_or_refused_by_words_for_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for name in ("page_num", "slice_num", "video_num", "class_num", "patient_no", "doc_name",
                 "scan_number", "scene_token", "im_number", "labels", "frames"):  # fmt: skip
        path.write_text(f"{name},x1,y1,x2,y2,score\n5,10,20,110,120,0.9\n6,10,22,110,120,0.8\n")
        assert "kept 2 (100.0%)" in words_of(run_well("nms", path)), name


def test_a_long_first_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    row = {"x1": 0, "y1": 0, "x2": 1, "y2": 1, "image": "a", "outline": [1.5] * 20_000}
    path.write_text(f"{json.dumps(row)}\n" * 3)
    assert "3 from a.jsonl (jsonl, xyxy), not used: outline" in words_of(run_well("match", path))


def test_ids_of_tracks_are_no_ids_of_annotations(tmp_path: Path) -> None:
    path, out = tmp_path / "a.txt", tmp_path / "out.json"
    path.write_text("1,7,912,484,97,109,1,-1,-1,-1\n2,7,912,484,97,109,1,-1,-1,-1\n")
    line = refused("convert", path, out, "--drop", "score")
    assert line.endswith("7 comes again, as of a track: --drop id counts them from 1")
    run_well("convert", path, out, "--drop", "score,id")
    assert [entry["id"] for entry in json.loads(out.read_text())["annotations"]] == [1, 2]


def test_labels_that_change_from_pixel_to_pixel(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    grey = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    path.write_bytes(image_bytes(grey, "PNG"))
    words = f"fastiou: {path}: labels change from pixel to pixel, as grey does in a photograph\n"
    assert run_well("match", path, path, "--quiet").stderr == words * 2
    path.write_bytes(image_bytes(np.repeat(np.repeat(grey, 4, 0), 4, 1), "PNG"))
    assert run_well("match", path, path, "--quiet").stderr == ""


def test_keys_that_an_option_leaves_aside_are_not_told(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("image,class,note,x1,y1,x2,y2,score\na,cat,x,0,0,1,1,0.5\n")
    note = f"fastiou: {path.name}: not used: note\n"
    for arguments in (("nms", path), ("match", path, path)):
        assert run_well(*arguments, "--by", "image", "--quiet").stderr.endswith(note)
        assert run_well(*arguments, "--no-groups", "--quiet").stderr.endswith(note)
    path.write_text(path.read_text().replace("note,", "").replace("x,", ""))
    assert not run_well("nms", path, "--by", "image", "--quiet").stderr


@pytest.mark.parametrize("column", ["source_image", "name", "gt_label"])
def test_columns_that_may_tell_a_key_are_told(tmp_path: Path, column: str) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    path.write_text(f"{column},x1,y1,x2,y2\na,1,2,3,4\n")
    for command in (("match", path, path), ("convert", path, out)):
        line = refused(*command)
        assert line.startswith(f"fastiou: {path}:1: column {column} may tell the ")
        ways = re.findall("--by ([^ ]+)", line)
        assert ways[-1] == "none"
        assert set(ways[:-1]) <= {f"image={column}", f"category={column}"}
        for way in ways:
            out.unlink(missing_ok=True)
            run_well(*command, "--by", way)
            if command[0] == "convert":
                key = way.partition("=")[0]
                told = {} if way == "none" else {key: "a"}
                assert json.loads(out.read_text()) == {"x1": 1, "y1": 2, "x2": 3, "y2": 4, **told}


def test_a_key_is_told_by_any_column(tmp_path: Path) -> None:
    truth, table, out = tmp_path / "truth.json", tmp_path / "found.csv", tmp_path / "out.json"
    table.write_text("patientId,x,y,width,height\nb,1,2,3,4\n,5,6,7,8\n".replace("\n,", "\na,"))
    assert "needs the key image, which is not in" in refused("convert", table, truth)
    run_well("convert", table, truth, "--by", "image=patientId")
    assert [image["id"] for image in json.loads(truth.read_text())["images"]] == ["a", "b"]
    found = run_well("match", truth, table, "--by", "image=patientId", "--method", "greedy").stdout
    assert re.search("recall .*1.0000", found)
    for by, files in (("image=patient", (truth, truth)), ("image=file", (truth,))):
        named = " and ".join(path.name for path in files)
        line = refused("match", *files, "--by", by)
        column = by.partition("=")[2]
        assert line == f"fastiou: --by {by}: there is no column {column} in {named}"
    assert "no column or key 'frame=patientId'" in refused(
        "convert", table, out, "--by", "frame=patientId"
    )
    tables = tmp_path / "tables"
    tables.mkdir()
    for name in "pq":
        (tables / f"{name}.csv").write_text("source,x1,y1,x2,y2\na,1,2,3,4\n")
    assert "--by image=source or --by none" in refused("match", tables)
    for way, keys in (
        ("image=source", {"image": "a"}),
        ("video,image=source", {"video": "p", "image": "a"}),
        ("none", {}),
    ):
        lines = tmp_path / f"{way}.jsonl"
        run_well("convert", tables, lines, "--by", way)
        first = json.loads(lines.read_text().splitlines()[0])
        assert first == {"x1": 1, "y1": 2, "x2": 3, "y2": 4, **keys}
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a.png").write_bytes(image_bytes(np.eye(4, dtype=np.uint8), "png"))
    line = refused("convert", labels, out, "--by", "image")
    assert line == "fastiou: --by is for boxes and masks, whose files tell keys"


def test_a_key_in_folders_of_tables_with_images(tmp_path: Path) -> None:
    head = "image,class,kind,x1,y1,x2,y2,score\n"
    rows = "a,c,k,0,0,9,9,0.9\nb,c,l,0,0,9,9,0.8\n"
    tables, out = tmp_path / "in", tmp_path / "out.jsonl"
    tables.mkdir()
    for name in "st":
        (tables / f"{name}.csv").write_text(head + rows)
    run_well("convert", tables, out, "--by", "image,category=kind")
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["image"], row["category"]) for row in written] == [("a", "k"), ("b", "l")] * 2
    for by, keys in (("image", {"image"}), ("video,category=kind", {"video", "category"})):
        run_well("convert", tables, out, "--by", by)
        row = json.loads(out.read_text().splitlines()[0])
        assert row.keys() & {"image", "video", "category"} == keys


def test_patients_are_images_if_that_is_said(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text("patientId,x,y,width,height\np,0,0,9,9\nq,0,0,9,9\n")
    found.write_text("image,x1,y1,x2,y2\np,0,0,9,9\nq,0,0,9,9\n")
    line = refused("match", truth, found)
    assert "(--by image=patientId, if it tells the image; --by none: all with all)" in line
    shown = run_well("match", truth, found, "--by", "image=patientId", "--method", "greedy")
    assert "counts TP 2, " in words_of(shown)


def test_six_numbers_that_no_format_has(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("0 10 20 60 60 0.9\n0 70 20 120 60 0.8\n")
    line = refused("nms", path)
    assert "a header that names the columns" in line
    assert "yolo" not in line
    assert "mot" not in line.partition("or --format")[2]


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ("10 20 60 60 0.9 0\n70 20 120 60 0.8 1\n", "x1 y1 x2 y2 score class"),
        ("10,20,60,60,2,0.9\n70,20,120,60,1,0.8\n", "x1,y1,x2,y2,class,score"),
        ("30;10.5;20;60;60;0.9\n", "class;x1;y1;x2;y2;score"),
        ("0.1 0.2 0.3 0.4 0.9 3\n", "x1 y1 x2 y2 score class"),
        ("10,20,30,40,50,0.9\n", "x1,y1,x2,y2,class,score or class,x1,y1,x2,y2,score"),
    ],
)
def test_the_header_that_six_numbers_lack(tmp_path: Path, rows: str, header: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(rows)
    for arguments in (("nms", path), ("match", path, path)):
        line = refused(*arguments)
        assert f"a header that names the columns, such as {header}" in line
        assert "yolo" not in line
        # As boxes of MOT those of the first are 0.9 wide and 0 high.
        assert ("--format mot" in line) == (rows[:4] == "10,2" and "match" in arguments)
    path.write_text(f"{header.partition(' or ')[0]}\n{rows}")
    run_well("nms", path)


@pytest.mark.parametrize("name", ["a.csv", "a.npy"])
def test_scores_that_are_percents_are_read_where_the_layout_is_told(
    tmp_path: Path, name: str
) -> None:
    path, rows = tmp_path / name, np.array([[0, 0, 9, 9, 95], [0, 0, 9, 9, 80.5]])
    if path.suffix == ".npy":
        np.save(path, rows)
    else:
        np.savetxt(path, rows, delimiter=",")
    assert "--boxes xyxy, which takes the last" in refused("match", path, path)
    with pytest.raises(ValueError, match="or fmt='xyxy', which takes the last"):
        fastiou.read(path)
    assert fastiou.read(path, fmt="xyxy").scores.tolist() == [95, 80.5]
    shown = run_well("match", path, path, "--boxes", "xyxy", "--quiet")
    assert "not used: the last column (scores)" in shown.stderr
    assert "1 (50.0%)" in words_of(run_well("nms", path, "--boxes", "xyxy"))


def test_voc_of_one_name(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out.json"
    folder.mkdir()
    for name in ("1a", "2a"):
        (folder / f"{name}.xml").write_text(VOC)
    words = "1a and 2a tell the same name of an image, a.jpg: it is left aside"
    assert words in run_well("convert", folder, out).stderr
    images = json.loads(out.read_text())["images"]
    assert [image["file_name"] for image in images] == ["1a", "2a"]


def test_voc_of_another_name_than_its_own(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out.json"
    folder.mkdir()
    (folder / "a.xml").write_text(VOC)
    (folder / "b.xml").write_text(VOC.replace("a.jpg", "b.JPG"))
    assert "name of the image" not in run_well("convert", folder, out).stderr
    (folder / "c.d.xml").write_text(VOC.replace("a.jpg", "d.jpg"))
    told = "the name of the image in 1 file is not that of the file, as in c.d.xml: d.jpg"
    for arguments in (("convert", folder, out), ("match", folder, folder, "--quiet")):
        assert told in " ".join(run_well(*arguments).stderr.split())
    (folder / "c.d.xml").write_text(VOC.replace("a.jpg", "c.d.jpg"))
    assert "name of the image" not in run_well("convert", folder, out).stderr


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"0 0.5 0.5 1.0000001 1\n", "box 1 is 0.5, 0.5, 1.0000001, 1, expected numbers"),
        (
            "a.txt",
            b"1,1,10,10,0,5,1,-1,-1,-1\n2,1,10,10,5,5,1,-1,-1,-1\n",
            "(mot has a positive width and height: not line 1)",
        ),
        ("a.txt", b"1.5,1,10,10,5,5,1,-1,-1,-1\n", "(mot has whole numbers for keys and ids)"),
        ("a.csv", b"image,x1,y1,x2,y2\nNone,0,0,9,9\n", "--by none leaves keys aside"),
        ("a.csv", b"camera,timestamp,x1,y1,x2,y2\na,1.5,0,0,9,9\n", "--by none leaves keys"),
        (
            "a.csv",
            b'bbox\n"{""x1"":0,""y1"":0,""x2"":9,""y2"":9}"\n',
            "an object, expected 4 numbers",
        ),
        ("a.xlsx", zip_bytes("[Content_Types].xml"), "a file of Excel or another Office program"),
        ("a.pt", zip_bytes("a/data.pkl"), "a file of torch.save"),
    ],
)
def test_what_is_wrong_is_shown(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert words in refused("match", path, *(["--boxes", "xyxy"] if b"bbox" in content else []))


def test_rows_may_end_with_a_comma_and_their_header_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("image,x1,y1,x2,y2,score\na,0,0,9,9,0.5,\nb,0,0,9,9,0.25,\n")
    read = fastiou.read(path)
    assert (read.boxes.tolist(), read.scores.tolist()) == ([[0, 0, 9, 9]] * 2, [0.5, 0.25])
    path.write_text("image,x1,y1,x2,y2,score\na,0,0,9,9,0.5,\nb,0,0,9,9,0.25,7\n")
    assert ":2: 7 columns, expected 6" in refused("match", path)


def test_pixels_of_floating_point_are_no_frames_as_colours(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.float32))
    assert refused("match", path, path).endswith("pixels of floating point, expected integers")
