"""Outlines of labelme and YOLO as masks, and normalized boxes as pixels."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from command_for_tests import run, run_well

import fastiou
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.masks import pack_masks
from fastiou.formats.table import read_boxes, read_masks

#: Width and height of the image, and a triangle and a rectangle in it.
SIZE = (40, 20)
TRIANGLE = [[4, 2], [30, 4], [10, 18]]
CORNERS = [[20, 5], [36, 15]]
RECTANGLE = [[20, 5], [36, 5], [36, 15], [20, 15]]

LABELME = {
    "shapes": [
        {"label": "cat", "points": TRIANGLE, "shape_type": "polygon"},
        {"label": "dog", "points": CORNERS[::-1], "shape_type": "rectangle"},
    ],
    "imagePath": "a.jpg",
    "imageWidth": SIZE[0],
    "imageHeight": SIZE[1],
}


def row_of(name: int, points: list[list[int]]) -> str:
    numbers = [repr(x / side) for point in points for x, side in zip(point, SIZE, strict=True)]
    return f"{name} {' '.join(numbers)}\n"


YOLO = row_of(0, TRIANGLE) + row_of(1, RECTANGLE)


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def expected() -> fastiou.Masks:
    return fastiou.Masks.from_polygons([[TRIANGLE], [RECTANGLE]], SIZE[::-1])


def test_outlines_are_masks(tmp_path: Path) -> None:
    for content, told, names in (
        (LABELME, {}, ["cat", "dog"]),
        (YOLO, {"image_size": SIZE}, [0, 1]),
    ):
        file = read_masks(write(tmp_path, "a", content), **told)
        (masks,) = pack_masks([file], lambda *_: None)
        assert masks == expected()
        assert file.keys["category"].tolist() == names
        assert file.keys.keys() == {"category"}


def test_folders_of_outlines(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for folder, content in (("labelme", LABELME), ("yolo", YOLO)):
            write(tmp_path / folder, f"{name}.{'txt' if folder == 'yolo' else 'json'}", content)
    write(tmp_path / "yolo", "none.txt", "")
    small = {**LABELME, "imageWidth": 38}
    write(tmp_path / "labelme", "c.json", small)
    out = tmp_path / "out.csv"
    options = ["--geometry", "mask", "--by", "image", "--image-size", "40,20", "--out", out]
    run_well("match", tmp_path / "labelme", tmp_path / "yolo", *options, "--threshold", "0.99")
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["rows"], row["cols"], row["image"]) for row in rows] == [
        ("0", "0", "a"), ("1", "1", "a"), ("2", "2", "b"), ("3", "3", "b"),
    ]  # fmt: skip
    files = [read_masks(tmp_path / "labelme"), read_masks(tmp_path / "yolo", image_size=SIZE)]
    masks, others = pack_masks(files, lambda *_: None)
    assert (masks.shape, others.shape) == ((6, *SIZE[::-1]), (4, *SIZE[::-1]))
    assert read_masks(tmp_path / "yolo", image_size=SIZE, by=()).keys.keys() == {"image"}


@pytest.mark.parametrize(
    ("content", "told", "message"),
    [
        (YOLO, {}, "normalized by the image size, expected --image-size WIDTH,HEIGHT"),
        (
            {**LABELME, "imageWidth": None},
            {},
            'no "imageHeight" and "imageWidth", expected both',
        ),
        ({**LABELME, "imageWidth": "4"}, {}, "imageHeight and imageWidth"),
        (
            {**LABELME, "shapes": [{"label": "c", "points": CORNERS, "shape_type": "circle"}]},
            {},
            r'shapes\[0\]: "shape_type": "circle", expected polygon or rectangle; --skip',
        ),
        (YOLO, {"scored": True, "image_size": SIZE}, "has no scores"),
        ("0 0.1 0.2 0.3\n", {}, "csv, which has boxes alone, expected masks as yolo-seg"),
    ],
)
def test_what_is_no_mask_is_told(tmp_path: Path, content: Any, told: Any, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read_masks(write(tmp_path, "a", content), **told)


def test_one_image_and_several_are_not_compared(tmp_path: Path) -> None:
    write(tmp_path / "several", "a.json", LABELME)
    files = [read_masks(write(tmp_path, "a", LABELME)), read_masks(tmp_path / "several")]
    with pytest.raises(RefusedError, match="a has the masks of one image and several those of sev"):
        pack_masks(files, lambda *_: None)
    other = read_masks(write(tmp_path, "b", {**LABELME, "imageWidth": 44}))
    with pytest.raises(FileError, match="b:images: the image is 20 × 44 pixels, expected 20 × 40"):
        pack_masks([files[0], other], lambda *_: None)


def test_numbers_of_yolo_become_pixels(tmp_path: Path) -> None:
    labels = write(tmp_path, "a", "1 0.25 0.5 0.125 0.25\n")
    assert read_boxes(labels, image_size=(400, 200)).boxes.tolist() == [[100, 100, 50, 50]]
    pixels = write(tmp_path, "b.csv", "class,x1,y1,x2,y2\n1,75,75,125,125\n")
    assert "--image-size" in run("match", labels, pixels).stderr
    out = tmp_path / "out.csv"
    run_well("match", labels, pixels, "--image-size", "400x200", "--out", out)
    assert out.read_text().splitlines()[1:] == ["0,0,1.0,1"]
    result = run("match", pixels, pixels, "--image-size", "400,200")
    assert "--image-size is for files of yolo or yolo-seg or yolo-obb or labelme," in result.stderr
    for wrong in ("400", "0,1", "a,b", "400,200,3", "-1,4"):
        result = run("match", labels, pixels, "--image-size", wrong)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "--image-size must be WIDTH,HEIGHT in pixels" in result.stderr
