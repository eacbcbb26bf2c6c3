"""Names of images and classes that stand beside the numbers of boxes: in lists, and other files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from command_for_tests import run, run_well

#: What a COCO file calls its images and categories, whose ids are neither in order nor from 0 on.
IMAGES = [{"id": 2, "file_name": "b.jpg", "width": 100, "height": 50},
          {"id": 1, "file_name": "a.png", "width": 10, "height": 20}]  # fmt: skip
CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 5, "name": "cow"}]
ENTRIES = [
    {"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 5, 5]},
    {"id": 2, "image_id": 2, "category_id": 3, "bbox": [50, 0, 50, 25]},
]


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
