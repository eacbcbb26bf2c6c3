"""Every format that `fastiou convert` writes: what was read is read again, or refused in a line."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import run, run_well

import fastiou
from fastiou.formats.table import FORMATS
from fastiou.formats.written.targets import TARGETS
from fastiou.tables.layouts import LAYOUTS, header_of

SIZE = (1000, 800)

#: Names as people have them, and such as could be taken for something else.
PLAIN = ["a.jpg", "b.png", "P0001", "img 7.jpg", "frame.12.jpg", "ä.tif", "007"]
HOSTILE = [
    "1.5", "nan", "1e3", "12", "#a", "<b>", "{c", "[d", 'e"f', "g,h", "i;j", "k\tl", " m", "n\n",
    "o\u2028p", "\ufeffq", "classes", "readme", ".r", "s/t", "-", "%PDF-1", "inf", "1_0", "u\\v",
    "w' x", "&amp;", "]]>", "\ud800", "\ufffe", "imagesource:GoogleEarth", "sep=;", "x" * 300,
]  # fmt: skip
CLASSES = ["car", "Van", "small-vehicle", "traffic light", "été"]
#: Those without blanks that are no numbers.
WORDS = ["car", "Van", "small-vehicle", "DontCare", "C&A"]


def made(dice: random.Random, target: str, *, hostile: bool) -> list[dict[str, Any]]:
    """Rows of a table with what a format has a place for, and sometimes what it has not."""
    row = TARGETS[target]
    words = row.names.fits("a") and not row.names.fits("a b")
    images: list[Any] = PLAIN if "image" not in row.whole else [3, 4, 70000]
    if words and "image" in row.named:
        images = ["P1", "P2.png"]
    if target == "retinanet":
        images = ["a.jpg", "folder/b 1.jpg", "c,d.jpg"]
    classes: list[Any] = WORDS if words else CLASSES
    if "category" in row.whole:
        classes = [1, 4, 11, 0]
    if hostile:
        images = [*images, *dice.sample(HOSTILE, 2), -1]
        classes = [*classes, *dice.sample(HOSTILE, 2), 3, -2]
    scored, tracked = dice.random() < 0.5 or target == "dota-results", dice.random() < 0.5
    quads = row.fmt == "xyxyxyxy"
    rows = []
    for number in range(dice.randint(1, 12)):
        x, y = dice.uniform(0, 500), dice.uniform(0, 400)
        w, h = dice.choice([(3, 4), (1.125, 200 / 3), (499, 399)])
        if hostile and dice.random() < 0.1:
            w, x = dice.choice([(0, x), (-2, x), (float("nan"), x), (2000, x), (1, float("nan"))])
        entry: dict[str, Any] = {}
        if row.keys is None or "image" in row.keys:
            entry["image"] = dice.choice(images)
        if row.keys is None or "category" in row.keys:
            entry["category"] = dice.choice(classes)
        corners = {"x1": x, "y1": y, "x2": x + w, "y2": y + h}
        if quads:
            corners = dict(zip(("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"),
                               (x, y, x + w, y, x + w, y + h, x, y + h), strict=True))  # fmt: skip
        entry |= corners
        if scored and "score" in row.others:
            entry["score"] = dice.random()
            if hostile and dice.random() < 0.1:
                entry["score"] = dice.choice([-1.5, 20, 0, 1])
        if tracked and "id" in row.others:
            entry["id"] = number + 7
        rows.append(entry)
    return rows


def rows_in(table: Any, *, is_folder: bool, has_ids: bool = True) -> list[tuple[Any, ...]]:
    """What a table holds, in an order of its own: keys as text, and images as files name them."""
    boxes = table.boxes if table.fmt == "xyxyxyxy" else table.convert("xyxy").boxes
    images = np.zeros(len(table)) if "image" not in table.keys else table.keys["image"]
    names = [str(name) for name in images.tolist()]
    if is_folder:
        ends = (".jpg", ".png", ".tif")
        names = [name[:-4] if name.endswith(ends) else name for name in names]
    labels = np.zeros(len(table)) if table.labels is None else table.labels
    scores = np.ones(len(table)) if table.scores is None else table.scores
    ids = np.full(len(table), -1) if table.ids is None or not has_ids else table.ids
    columns = (names, map(str, labels.tolist()), scores.tolist(), map(str, ids.tolist()))
    near = np.nan_to_num(boxes.round(6) + 0.0, nan=-1e9).tolist()
    return sorted(
        (*row, *box) for *row, box in zip(*columns, near, strict=True)
    )  # fmt: skip


@pytest.mark.parametrize("hostile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("target", [name for name, row in TARGETS.items() if row.masks != "alone"])
def test_what_is_written_is_read_again(tmp_path: Path, target: str, hostile: bool) -> None:
    if target in ("parquet", "arrow"):
        pytest.importorskip("pyarrow", exc_type=ImportError)
    row, dice = TARGETS[target], random.Random(target)
    written, said = 0, set()
    for turn in range(40 if hostile else 12):
        source = tmp_path / f"{turn}.jsonl"
        lines = [json.dumps(entry) + "\n" for entry in made(dice, target, hostile=hostile)]
        source.write_text("".join(lines))
        out = tmp_path / f"{turn}{row.endings[0] if row.endings else ''}.out"
        out = out.with_suffix("") if row.endings else out
        if row.endings:
            out = tmp_path / f"out{turn}{dice.choice(row.endings)}"
        sized = ("--image-size", f"{SIZE[0]},{SIZE[1]}") if row.units else ()
        result = run("convert", source, out, "--to", target, "--quiet", *sized)
        if result.exit_code:
            assert result.exit_code == 2, (lines, result.output, result.exception)
            (line,) = result.stderr.splitlines()
            said.add(line)
            assert not out.exists()
            continue
        asked = {"format": "yolo-obb"} if target == "yolo-obb" else {}
        if row.units == "parts":
            asked["image_size"] = SIZE
        with warnings.catch_warnings():  # of boxes of negative size, and scores of 0
            warnings.simplefilter("ignore")
            try:
                again, before = fastiou.read(out, **asked), fastiou.read(source)
            except ValueError as error:
                raise AssertionError(lines) from error
        # COCO's annotations have ids, which are counted where there are none.
        how = {"is_folder": row.is_folder, "has_ids": target != "coco" or before.ids is not None}
        assert rows_in(again, **how) == rows_in(before, **how), lines
        written += 1
    assert written == 12 or hostile, said
    assert not said or hostile


def test_every_format_of_boxes_is_written_or_the_page_says_why() -> None:
    left = {name for name, row in FORMATS.items() if "box" in row.readers} - TARGETS.keys()
    # The tools of others read COCO, .json is COCO's, and KITTI's rows tell more than such boxes.
    in_space = {"kitti-3d", "kitti-tracking-3d", "activitynet"}
    assert left == {"cvat", "via", "json", *in_space}
    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
    for name in TARGETS:
        assert f"`{name}`" in page


COCO = {
    "images": [{"id": 7, "file_name": "val/a.jpg", "width": 100, "height": 50}],
    "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "bus"}],
    "annotations": [
        {"image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 40.5]},
        {"image_id": 7, "category_id": 1, "bbox": [5, 6, 7, 8]},
    ],
}

#: What is written of the same two boxes.
WRITTEN = {
    "kitti": (
        "a.txt",
        "car -1 -1 -10 1 2 31 42.5 -1 -1 -1 -1000 -1000 -1000 -10\n"
        "bus -1 -1 -10 5 6 12 14 -1 -1 -1 -1000 -1000 -1000 -10\n",
    ),
    "dota": ("a.txt", "1 2 31 2 31 42.5 1 42.5 car 0\n5 6 12 6 12 14 5 14 bus 0\n"),
    "visdrone": ("a.txt", "1,2,30,40.5,1,3,-1,-1\n5,6,7,8,1,1,-1,-1\n"),
    "yolo-obb": (
        "a.txt",
        "1 0.01 0.04 0.31 0.04 0.31 0.85 0.01 0.85\n0 0.05 0.12 0.12 0.12 0.12 0.28 0.05 0.28\n",
    ),
    "retinanet": ("", "val/a.jpg,1,2,31,42.5,car\nval/a.jpg,5,6,12,14,bus\n"),
    "visdrone-vid": ("", "7,-1,1,2,30,40.5,1,3,-1,-1\n7,-1,5,6,7,8,1,1,-1,-1\n"),
    "kitti-tracking": (
        "",
        "7 -1 car -1 -1 -10 1 2 31 42.5 -1 -1 -1 -1000 -1000 -1000 -10\n"
        "7 -1 bus -1 -1 -10 5 6 12 14 -1 -1 -1 -1000 -1000 -1000 -10\n",
    ),
}


@pytest.mark.parametrize("target", WRITTEN)
def test_rows_have_the_names_of_classes_and_images(tmp_path: Path, target: str) -> None:
    name, content = WRITTEN[target]
    path, out = tmp_path / "truth.json", tmp_path / "out.txt"
    path.write_text(json.dumps(COCO))
    run_well("convert", path, out, "--to", target)
    assert (out / name if name else out).read_text() == content


@pytest.mark.parametrize(("target", "ending"), [("voc", "xml"), ("labelme", "json")])
def test_annotations_tell_images_and_sizes(tmp_path: Path, target: str, ending: str) -> None:
    path, out, back = tmp_path / "truth.json", tmp_path / "out", tmp_path / "back.json"
    path.write_text(json.dumps(COCO))
    run_well("convert", path, out, "--to", target)
    assert [file.name for file in out.iterdir()] == [f"a.{ending}"]
    table = fastiou.read(out)
    assert table.labels.tolist() == ["car", "bus"]
    assert table.boxes.tolist() == [[1, 2, 31, 42.5], [5, 6, 12, 14]]
    run_well("convert", out, back)
    (image,) = json.loads(back.read_text())["images"]
    assert image == {"id": "a", "file_name": "a.jpg", "width": 100, "height": 50}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "frame"])
@pytest.mark.parametrize("fmt", list(LAYOUTS))
def test_tables_tell_what_their_numbers_are(tmp_path: Path, fmt: str, ending: str) -> None:
    """Boxes of every layout lie, read again without a word of it, where they lay."""
    members = np.array([[1.0, 2, 3, 4, 5, 6, 2, 5][: LAYOUTS[fmt]]])
    if header_of(fmt)[-1] == "angle":
        members[0, -1] = 0.5
    table = fastiou.BoxTable(members, fmt, keys={"image": np.array([7])})
    given, out = tmp_path / "given.npz", tmp_path / f"out.{ending}"
    if ending == "frame":
        again = fastiou.BoxTable.from_frame(table.to_pandas())
        turned = fmt.removesuffix("-cw")  # which way they turn, names do not tell
    else:
        np.savez(given, boxes=members, fmt=np.array(fmt), groups=np.array([7]))
        run_well("convert", given, out)
        again = fastiou.read(out)
        turned = fmt
    expected = fastiou.box_convert(members, turned, again.fmt)
    np.testing.assert_allclose(again.boxes, expected, rtol=1e-14)
    assert again.keys["image"].tolist() == [7]


def test_results_of_dota_have_no_key_more_than_others(tmp_path: Path) -> None:
    path, out = tmp_path / "found.csv", tmp_path / "out"
    header = "image,class,score,cx,cy,w,h,angle_deg\n"
    path.write_text(header + "P1,plane,.5,9,9,4,2,90\nP1,ship,.25,9,9,4,2,0\n")
    run_well("convert", path, out, "--to", "dota-results")
    assert (out / "Task1_plane.txt").read_text() == "P1 0.5 8 11 8 7 10 7 10 11\n"
    assert list(fastiou.read(out).keys) == ["image", "category"]


def test_nan_has_no_place_in_json(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("image,x1,y1,x2,y2\n3,1,2,nan,4\n")
    for out in ("out.jsonl", "out.json"):
        result = run("convert", path, tmp_path / out)
        assert result.exit_code == 2
        assert "numbers that are not NaN, which .csv can have: box 1 is 1, 2, nan" in result.stderr


@pytest.mark.parametrize(
    ("target", "image", "category", "message"),
    [
        ("kitti", "a", "traffic light", "kitti needs names for category without blanks, commas, "),
        ("kitti", "a", "3", "semicolons and bars, and no numbers, got '3'"),
        ("dota-results", "a b", "car", "dota-results needs names for image without blanks, commas"),
        ("dota-results", "a", "a.b", "classes whose names can be those of files, got 'a.b'"),
        ("retinanet", "a;b", "car", "retinanet needs names for image without semicolons and bars"),
        ("visdrone", "a", "12", "visdrone needs classes from 0 to 11, got 12"),
        ("visdrone", "a", "car", "visdrone needs whole numbers for category, got 'car'"),
        ("voc", "a/b", "car", "voc needs images whose names can be those of files, got 'a/b'"),
        ("kitti-tracking", "a", "car", "kitti-tracking needs whole numbers for image, got 'a'"),
        ("visdrone-vid", "1", "0", "visdrone-vid needs a class above 0: without one it could be"),
        ("mot", "1", "", "mot has no place for category: --drop category leaves it out"),
    ],
)
def test_what_has_no_place_is_told(
    tmp_path: Path, target: str, image: str, category: str, message: str
) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.txt"
    category = category or "1"
    path.write_text(f"image,category,score,x1,y1,x2,y2\n{image},{category},0.5,1,2,30,40\n")
    drop = ["--drop", "score"] if target == "voc" else []
    result = run("convert", path, out, "--to", target, *drop)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("target", "box", "message"),
    [
        ("kitti", "30,2,1,40", "kitti needs corners in order: box 1 is 30, 2, 1, 40"),
        ("labelme", "nan,2,1,40", "labelme needs corners in order: box 1 is nan, 2, 1, 40"),
        ("retinanet", "1,2,1,40", "retinanet needs corners in order, and a width and height: box"),
        ("voc", "1,2,nan,40", "voc needs numbers that are not NaN: box 1 is 1, 2, nan, 40"),
        (
            "visdrone",
            "1,2,1,40",
            "visdrone needs a positive width and height: box 1 is 1, 2, 0, 38",
        ),
        ("mot", "0,0,1,40", "mot needs boxes in pixels, of which some are wider and higher than 1"),
        ("yolo-obb", "1,2,90,40", "yolo-obb needs numbers between 0 and 1, or not far from these"),
    ],
)
def test_what_boxes_must_be_is_told(tmp_path: Path, target: str, box: str, message: str) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.txt"
    keys = {"mot": "1,1", "visdrone": "p,1"}.get(target, "p,car")
    path.write_text(f"image,category,x1,y1,x2,y2\n{keys},{box}\n")
    drop = ["--drop", "category"] if target == "mot" else []
    result = run("convert", path, out, "--to", target, "--image-size", "20,20", *drop)
    assert result.exit_code == 2
    assert message in result.stderr


#: Folders of files that can be without scores, and of which COCO has a place for the boxes.
FOLDERS = [n for n, row in TARGETS.items() if row.is_folder and row.fmt != "xyxyxyxy"]


@pytest.mark.parametrize("target", [name for name in FOLDERS if not TARGETS[name].of_pixels])
def test_images_without_boxes_stay(tmp_path: Path, target: str) -> None:
    """A detection in an image without truth is wrong; without the image nothing would say so."""
    sizes = {"width": 64, "height": 48}
    images = [{"id": k, "file_name": f"{name}.jpg", **sizes} for k, name in enumerate("abc")]
    ring = [8, 8, 40, 8, 40, 32, 8, 32]
    entry = {"image_id": 1, "category_id": 0, "bbox": [8, 8, 32, 24], "segmentation": [ring]}
    known = {"images": images, "categories": [{"id": 0, "name": "cat"}]}
    path, out, back = tmp_path / "in.json", tmp_path / "out", tmp_path / "back.json"
    path.write_text(json.dumps({**known, "annotations": [entry]}))
    run_well("convert", path, out, "--to", target)
    options = ["--image-size", "64,48"] if target.startswith("yolo") else []
    options += ["--geometry", "mask"] if TARGETS[target].masks == "alone" else []
    options += ["--drop", "score"] if target == "visdrone" else []
    run_well("convert", out, back, *options)
    again = json.loads(back.read_text())
    names = [image["file_name"].removesuffix(".jpg") for image in again["images"]]
    assert sorted(names) == ["a", "b", "c"]
    assert len(again["annotations"]) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "a.jpg,1,2,30,40,cat\nb.jpg,,,,,\n"),
        (
            "a.json",
            '{"a.jpg1": {"filename": "a.jpg", "regions": [{"shape_attributes": {"name": "rect", '
            '"x": 1, "y": 2, "width": 3, "height": 4}, "region_attributes": {}}]}, '
            '"b.jpg1": {"filename": "b.jpg", "regions": [], "file_attributes": {}}}',
        ),
    ],
)
def test_images_without_boxes_in_one_file_stay(tmp_path: Path, name: str, content: str) -> None:
    path, out = tmp_path / name, tmp_path / "out.json"
    path.write_text(content)
    run_well("convert", path, out)
    names = [image["file_name"] for image in json.loads(out.read_text())["images"]]
    assert names == ["a.jpg", "b.jpg"]


def test_classes_without_boxes_keep_the_numbers_of_others(tmp_path: Path) -> None:
    labels, out, back = tmp_path / "labels", tmp_path / "out.json", tmp_path / "back"
    labels.mkdir()
    (labels / "a.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    (labels / "classes.txt").write_text("bg\ncat\ndog\n")
    run_well("convert", labels, out, "--image-size", "100,100")
    run_well("convert", out, back, "--to", "yolo", "--drop", "id")
    for name in ("a.txt", "classes.txt"):
        assert (back / name).read_text() == (labels / name).read_text()


@pytest.mark.parametrize("target", ["voc", "labelme"])
def test_files_keep_their_names_whatever_they_say(tmp_path: Path, target: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.xml").write_text(
        "<annotation><filename>b.jpg</filename><object><name>cat</name><bndbox><xmin>1</xmin>"
        "<ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"
    )
    run_well("convert", tmp_path / "x", tmp_path / "y", "--to", target)
    run_well("convert", tmp_path / "y", tmp_path / "z", "--to", "voc")
    assert [file.name for file in (tmp_path / "z").iterdir()] == ["a.xml"]
    assert "<filename>b.jpg</filename>" in (tmp_path / "z" / "a.xml").read_text()
