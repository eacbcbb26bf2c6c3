"""Precision, recall and F1 in the summary of matches of boxes and masks, and what coco needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_for_tests import run, run_well, words_of

TRUTH = [[0, 0, 10, 10], [20, 0, 10, 10], [40, 0, 10, 10]]
FOUND = [[0, 0, 10, 10], [21, 0, 10, 10], [70, 0, 10, 10], [90, 0, 10, 10], [40, 0, 10, 10]]


def entries(boxes: list[list[int]], **columns: list[Any]) -> list[dict[str, Any]]:
    rows = []
    for index, (x, y, w, h) in enumerate(boxes):
        outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        more = {name: values[index] for name, values in columns.items()}
        rows.append({"image_id": 1, "bbox": [x, y, w, h], "segmentation": outline, **more})
    return rows


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    truth, found = tmp_path / "truth.json", tmp_path / "found.json"
    images = [{"id": 1, "width": 100, "height": 10}]
    rows = entries(TRUTH, iscrowd=[0, 0, 1], id=[1, 2, 3])
    truth.write_text(json.dumps({"images": images, "annotations": rows}))
    found.write_text(json.dumps(entries(FOUND, score=[0.9, 0.8, 0.7, 0.6, 0.5])))
    return truth, found


@pytest.mark.parametrize("geometry", ["box", "mask"])
@pytest.mark.parametrize("method", ["greedy", "optimal"])
def test_matches_are_graded(files: tuple[Path, Path], geometry: str, method: str) -> None:
    words = words_of(run_well("match", *files, "--method", method, "--geometry", geometry))
    assert "counts TP 3, FP 2, FN 0; A is the truth, B the prediction" in words
    assert "precision 0.6000 = TP / (TP + FP)" in words
    assert "recall 1.0000 = TP / (TP + FN)" in words
    assert "F1 0.7500 = 2 TP / (2 TP + FP + FN)" in words
    for other in ("pairs", "topk"):
        assert "precision" not in words_of(run_well("match", *files, "--method", other))


@pytest.mark.parametrize("geometry", ["box", "mask"])
def test_matches_by_coco_are_graded_without_crowds(files: tuple[Path, Path], geometry: str) -> None:
    words = words_of(
        run_well("match", *reversed(files), "--method", "coco", "--geometry", geometry)
    )
    assert "counts TP 2, FP 2, FN 0; B is the truth, A the prediction; without crowds" in words
    assert "and 1 matched with them" in words
    assert "precision 0.5000 = TP / (TP + FP)" in words
    assert "recall 1.0000" in words


def test_grades_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("x1,y1,x2,y2\n")
    words = words_of(run_well("match", path, path, "--method", "greedy"))
    for share in ("precision not defined: no boxes in B", "recall not defined: no boxes in A"):
        assert share in words
    assert "F1 not defined: no boxes" in words


@pytest.mark.parametrize("geometry", ["box", "mask"])
def test_truth_named_first_with_coco(files: tuple[Path, Path], geometry: str) -> None:
    truth, found = files
    result = run("match", *files, "--method", "coco", "--geometry", geometry)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert 'no "score"' in line
    order = "--method coco takes the detections first, and the truth behind them"
    assert line.endswith(f"{order}: found.json has scores, name it first")
    result = run("match", truth, truth, "--method", "coco", "--geometry", geometry)
    assert result.stderr.endswith(f"{order}\n")
    # What is broken besides is told as it is.
    truth.write_text("{}")
    result = run("match", truth, found, "--method", "coco")
    assert "detections" not in result.stderr


def test_truth_of_other_formats_named_first_with_coco(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth", tmp_path / "found.csv"
    truth.mkdir()
    (truth / "a.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    found.write_text("image,class,x1,y1,x2,y2,score\na,0,0,0,1,1,0.5\n")
    result = run("match", truth, found, "--method", "coco")
    assert result.exit_code == 2
    assert result.stderr.endswith(": found.csv has scores, name it first\n")
