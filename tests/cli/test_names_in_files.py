"""Names of images and classes that stand beside the numbers of boxes: in lists, and other files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from command_for_tests import run, run_well, words_of

import fastiou

#: What a COCO file calls its images and categories, whose ids are neither in order nor from 0 on.
IMAGES = [{"id": 2, "file_name": "b.jpg", "width": 100, "height": 50},
          {"id": 1, "file_name": "a.png", "width": 10, "height": 20}]  # fmt: skip
CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 5, "name": "cow"}]
ENTRIES = [
    {"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 5, 5]},
    {"id": 2, "image_id": 2, "category_id": 3, "bbox": [50, 0, 50, 25]},
]

TO_YOLO = ("--to", "yolo", "--drop", "id")


def instances(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "inst.json"
    content = {"images": IMAGES, "categories": CATEGORIES, "annotations": ENTRIES, **changes}
    path.write_text(json.dumps(content))
    return path


def table(tmp_path: Path, column: str = "class") -> Path:
    path = tmp_path / "named.csv"
    path.write_text(
        f"filename,{column},x,y,w,h\na.png,dog,0,0,5,5\na.png,cat,0,0,5,5\nb.jpg,cat,50,0,50,25\n"
    )
    return path


def matched(*arguments: Any) -> list[tuple[str, str, str]]:
    out = Path(arguments[0]).parent / "out.csv"
    run_well("match", *arguments, "--out", out)
    with out.open(newline="") as file:
        return [(row["rows"], row["cols"], row["category"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("column", ["class", "category_name", "label"])
def test_categories_of_coco_by_name(tmp_path: Path, column: str) -> None:
    path = instances(tmp_path)
    expected = [("0", "0", "dog"), ("1", "2", "cat")]
    assert matched(path, table(tmp_path, column)) == expected
    assert matched(path, table(tmp_path, column), "--by", "image,category") == expected
    outlines = [
        {**entry, "segmentation": [[0, 0, 5, 0, 5, 5, 0, 5]], "category_id": number}
        for entry, number in zip(ENTRIES, (1, 2), strict=True)
    ]
    other = tmp_path / "other.json"
    renamed = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    content = {"images": IMAGES, "categories": renamed, "annotations": outlines}
    other.write_text(json.dumps(content))
    for geometry in ("box", "mask"):
        truth = instances(
            tmp_path, annotations=[{**entry, "category_id": old["category_id"]}
            for entry, old in zip(outlines, ENTRIES, strict=True)]
        )  # fmt: skip
        result = run("match", truth, other, "--geometry", geometry)
        assert result.exit_code == 2
        assert "category_id and category_name tell different groups" in result.stderr
        by = "image,category_name"
        found = matched(truth, other, "--geometry", geometry, "--by", by)
        assert [row[:2] for row in found] == [("0", "0"), ("1", "1")]


def test_coco_becomes_labels_of_yolo_by_name(tmp_path: Path) -> None:
    out = tmp_path / "yolo"
    words = words_of(run_well("convert", instances(tmp_path), out, *TO_YOLO))
    assert sorted(file.name for file in out.iterdir()) == ["a.txt", "b.txt", "classes.txt"]
    assert (out / "classes.txt").read_text() == "cat\ncow\ndog\n"
    assert (out / "a.txt").read_text() == "2 0.25 0.125 0.5 0.25\n"
    assert (out / "b.txt").read_text() == "0 0.75 0.25 0.5 0.5\n"
    order = "in the order of category_id, from 0 on: 0 is cat, 1 is cow, 2 is dog"
    assert f"3 in classes.txt {order}" in words
    for arguments in ((out, instances(tmp_path)), (instances(tmp_path), out)):
        refused = run("match", *arguments, "--image-size", "100,50")
        assert "100 × 50, and inst.json tells 10 × 20 of 1: fastiou convert" in refused.stderr
        words = words_of(run_well("match", *arguments, "--by", "image", "--threshold", "1e-9"))
        assert "names of images without their endings" in words
    # Names that not all images or categories have are not used.
    path = instances(tmp_path, categories=CATEGORIES[1:], images=[IMAGES[0], {**IMAGES[1],
                     "file_name": None}])  # fmt: skip
    words = words_of(run_well("convert", path, tmp_path / "numbers", *TO_YOLO))
    assert "classes.txt" not in words
    assert (tmp_path / "numbers" / "1.txt").read_text().startswith("7 0.25")


def test_names_of_coco_stay_in_coco(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run_well("convert", instances(tmp_path), out)
    content = json.loads(out.read_text())
    assert content["images"] == sorted(IMAGES, key=lambda image: image["id"])
    classes = [{"id": 3, "name": "cat"}, {"id": 5, "name": "cow"}, {"id": 7, "name": "dog"}]
    assert content["categories"] == classes, "those without boxes, too"


def test_files_in_folders_of_coco_are_named_without_them(tmp_path: Path) -> None:
    images = [{**image, "file_name": f"{n}/{image['file_name']}"} for n, image in enumerate(IMAGES)]
    out = tmp_path / "yolo"
    run_well("convert", instances(tmp_path, images=images), out, *TO_YOLO)
    assert (out / "a.txt").exists()
    images = [{**image, "file_name": f"{n}/a.jpg"} for n, image in enumerate(IMAGES)]
    path = instances(tmp_path, images=images)
    result = run("convert", path, tmp_path / "new", *TO_YOLO)
    assert result.exit_code == 2
    assert "images 1 and 2 would both be a.txt" in result.stderr


VOC = """<annotation><filename>a.jpg</filename><size><width>10</width><height>20</height></size>
<object><name>dog</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>
</object></annotation>"""
LABELME = json.dumps(
    {
        "imagePath": "..\\images/a.jpg", "imageHeight": 20, "imageWidth": 10,
        "shapes": [{"label": "dog", "shape_type": "rectangle", "points": [[0, 0], [5, 5]]}],
    }
)  # fmt: skip


@pytest.mark.parametrize(("name", "content"), [("a.xml", VOC), ("a.json", LABELME)])
def test_files_of_an_image_tell_its_size_and_name(tmp_path: Path, name: str, content: str) -> None:
    folder = tmp_path / "truth"
    folder.mkdir()
    (folder / name).write_text(content)
    run_well("convert", folder, tmp_path / "yolo", "--to", "yolo")
    assert (tmp_path / "yolo" / "a.txt").read_text() == "0 0.25 0.125 0.5 0.25\n"
    out = tmp_path / "out.json"
    run_well("convert", folder, out)
    images = json.loads(out.read_text())["images"]
    assert images == [{"id": "a", "file_name": "a.jpg", "width": 10, "height": 20}]
    assert fastiou.read(folder).keys["image"].tolist() == ["a"]
    # Where the file does not tell the size, an option does.
    without = content.replace("20<", "0<").replace('"imageHeight": 20', '"imageHeight": null')
    (folder / name).write_text(without)
    run_well("convert", folder, tmp_path / "new", "--to", "yolo", "--image-size", "10,20")
    assert (tmp_path / "new" / "a.txt").read_text() == "0 0.25 0.125 0.5 0.25\n"
    run_well("convert", folder / name, tmp_path / "one.csv")
    result = run("convert", folder / name, out)
    assert result.exit_code == 2
    assert "coco needs the key image, which is not in the file: a folder of files" in result.stderr


def test_classes_of_yolo_by_name(tmp_path: Path) -> None:
    truth, labels = table(tmp_path), tmp_path / "ty"
    size = ("--image-size", "100,50")
    run_well("convert", truth, labels, "--to", "yolo", *size)
    assert (labels / "classes.txt").read_text() == "cat\ndog\n"
    expected = [("0", "0", "dog"), ("1", "1", "cat"), ("2", "2", "cat")]
    for column in ("class", "label", "category_name"):
        other = table(tmp_path, column)
        assert matched(other, labels, *size) == expected
        assert matched(other, labels, *size, "--by", "image,category") == expected
    words = words_of(run_well("match", truth, labels, *size))
    assert "3 from ty (yolo, cxcywh), classes named by classes.txt" in words
    coco = instances(tmp_path, images=[{**image, "width": 100, "height": 50} for image in IMAGES])
    assert [row[2] for row in matched(coco, labels, "--by", "category", *size)] == ["dog", "cat"]
    file = fastiou.read(labels)
    assert file.labels is not None
    assert file.labels.tolist() == ["dog", "cat", "cat"]
    numbers = fastiou.read(labels, by=("image", "class_number"))
    assert numbers.labels is not None
    assert numbers.labels.tolist() == [1, 0, 0]
    # Without the names the same numbers meet, and beside other names nothing does unnoticed.
    plain = tmp_path / "plain"
    run_well("convert", labels, plain, "--to", "yolo")
    assert (plain / "classes.txt").read_text() == "cat\ndog\n"
    (plain / "classes.txt").unlink()
    assert len(matched(plain, labels)) == 3
    (plain / "obj.names").write_text("dog\ncat\n")
    result = run("match", plain, labels)
    assert result.exit_code == 2
    assert "category_name and class_number tell different groups" in result.stderr


def test_names_beside_numbers_in_columns_are_written(tmp_path: Path) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "a.json"
    rows = "1,a.jpg,3,cat,1,2,9,9\n2,b.jpg,14,dog,1,2,9,9\n"
    path.write_text(f"image_id,file_name,class_id,class_name,x1,y1,x2,y2\n{rows}")
    run_well("convert", path, out)
    content = json.loads(out.read_text())
    assert content["categories"] == [{"id": 3, "name": "cat"}, {"id": 14, "name": "dog"}]
    named = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    assert content["images"] == named
    run_well("convert", path, tmp_path / "voc", "--to", "voc")
    assert "<name>cat</name>" in (tmp_path / "voc" / "a.xml").read_text()
    run_well("convert", path, tmp_path / "yolo", "--to", "yolo", "--image-size", "20,20")
    assert (tmp_path / "yolo" / "classes.txt").read_text() == "cat\ndog\n"


def test_order_of_classes_stays(tmp_path: Path) -> None:
    labels, again = tmp_path / "labels", tmp_path / "again"
    labels.mkdir()
    (labels / "a.txt").write_text("2 0.5 0.5 0.25 0.25\n")
    (labels / "classes.txt").write_text("zebra\nape\ncow\n\n")
    words = words_of(run_well("convert", labels, again, "--to", "yolo"))
    assert "3 in classes.txt in the order of classes.txt, from 0 on: 0 is zebra" in words
    assert (again / "a.txt").read_text() == "2 0.5 0.5 0.25 0.25\n"
    assert (again / "classes.txt").read_text() == "zebra\nape\ncow\n"
    out = tmp_path / "out.json"
    run_well("convert", labels, out, "--image-size", "9,9")
    content = json.loads(out.read_text())
    assert [each["name"] for each in content["categories"]] == ["zebra", "ape", "cow"]
    assert content["annotations"][0]["category_id"] == 2
    (labels / "a.txt").write_text("2 0 0 1 0 1 1\n")
    run_well("match", labels, labels, "--geometry", "mask", "--image-size", "9,9")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ape\n", "it has 1 name, and the largest class is 1"),
        ("ape\n\ncow\n", "line 2 is blank"),
        ("ape\nape\n", "it has 'ape' twice"),
    ],
)
def test_files_that_do_not_name_classes(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.25 0.25 0.5\n")
    (tmp_path / "classes.txt").write_text(text)
    result = run_well("nms", tmp_path, "--quiet")
    assert f"classes.txt does not name the classes: {fault}" in result.stderr
    with pytest.warns(UserWarning, match=fault):
        assert fastiou.read(tmp_path).keys["category"].tolist() == [1]


def test_advice_for_several_keys_leads_to_what_fits(tmp_path: Path) -> None:
    """Ids of images and categories counted from 0 in one file and from 1 in the other."""
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for start, path in enumerate(paths):
        content = {
            "images": [{"id": start + k, "file_name": name} for k, name in enumerate(("a", "b"))],
            "categories": [{"id": start + k, "name": name} for k, name in enumerate(("c", "d"))],
            "annotations": [
                {"image_id": start + k, "category_id": start + k, "bbox": [k, 1, 9, 9]}
                for k in range(2)
            ],
        }
        path.write_text(json.dumps(content))
    by: tuple[str, ...] = ()
    for _ in range(2):
        refused = run("match", *paths, *by).stderr
        by = ("--by", refused.partition(" or --by ")[2].partition(" says")[0])
    assert by == ("--by", "category_name,file_name")
    out = tmp_path / "out.csv"
    run_well("match", *paths, *by, "--out", out)
    assert len(out.read_text().splitlines()) == 3
