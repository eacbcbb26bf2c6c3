"""Boxes that are read rightly and look wrong: that is said, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import run

from fastiou.formats.suspicions import scales_apart
from fastiou.formats.table import read_boxes

NORMALIZED = "image,x1,y1,x2,y2\na,0.1,0.1,0.5,0.5\n"
PIXELS = "image,x1,y1,x2,y2\na,10,10,50,50\n"


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("content", "others", "place"),
    [
        ("10,10,50,50\n\n100,100,20,20\n", "20,20,60,60\n" * 2, "is number 2 in line 3"),
        ("image,x,y,w,h\n1,2,3,-4,5\n", "", "is number 1 in line 2"),
        ("image,x1,y1,x2,y2\n1,9,9,3,3\n", "", "is number 1 in line 2"),
        ('{"x": 1, "y": 2, "w": 3, "h": 4}\n{"x": 1, "y": 2, "w": 3, "h": -4}\n', "", "in line 2"),
        (json.dumps([{"image_id": 1, "bbox": [1, 2, -3, 4]}]), "", "is number 1: 1, 2, -3, 4"),
    ],
)
@pytest.mark.parametrize("quiet", [True, False])
def test_negative_sizes_are_told(
    tmp_path: Path, content: str, others: str, place: str, quiet: bool
) -> None:
    path = write(tmp_path, "boxes", content + others)
    (note,) = read_boxes(path).notes
    assert note.startswith("1 box has a negative width or height")
    assert place in note
    result = run("match", path, path, *(["--quiet"] if quiet else []))
    assert result.exit_code == 0
    assert f"fastiou: {path}: {note}\n" in result.stderr


def test_places_are_those_in_the_file(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"image_id": 1, "bbox": [1, 2, -3, 4]}
    path = write(tmp_path, "boxes", json.dumps([{**entry, "bbox": None}, entry]))
    (note,) = read_boxes(path, skip_invalid=True).notes
    assert "is number 2:" in note


def test_normalized_boxes_and_pixels_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path, "a", NORMALIZED), write(tmp_path, "b", PIXELS)]
    for a, b in (paths, paths[::-1]):
        result = run("match", a, b, "--quiet")
        assert result.exit_code == 2
        assert "a lie between 0 and 1, as normalized by the image size" in result.stderr
        # What another metric or threshold can find is compared, and the suspicion told.
        for more in (["--metric", "iof"], ["--threshold", "0.01"], ["--method", "topk"]):
            result = run(
                "match", a, b, "--quiet", *more, *(["--threshold", "0"] * ("topk" in more))
            )
            assert result.exit_code == 0
            assert "--image-size WIDTH,HEIGHT" in result.stderr


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (NORMALIZED, NORMALIZED),
        (PIXELS, PIXELS),
        (NORMALIZED, "image,x1,y1,x2,y2\na,0,0,2.5,2.5\n"),  # metres, say
        (PIXELS, "image,x1,y1,x2,y2\na,0,0,1,1\n"),
        (PIXELS, "image,x1,y1,x2,y2\na,nan,0.5,1,1\n"),
        (NORMALIZED, "image,x1,y1,x2,y2\n"),
    ],
)
def test_other_sizes_are_not_suspected(tmp_path: Path, a: str, b: str) -> None:
    files = read_boxes(write(tmp_path, "a", a)), read_boxes(write(tmp_path, "b", b))
    assert scales_apart(*files) is None


def test_rotated_boxes_have_scales_too(tmp_path: Path) -> None:
    for name, scale in (("a", 0.01), ("b", 1)):
        boxes = np.array([[50, 50, 20, 9, 30]]) * [scale, scale, scale, scale, 1]
        np.savez(tmp_path / f"{name}.npz", boxes=boxes, fmt="cxcywhr")
    files = read_boxes(tmp_path / "a.npz"), read_boxes(tmp_path / "b.npz")
    assert scales_apart(*files) is not None
