"""The commands that score detectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_for_tests import run, run_well, words_of

import fastiou
from fastiou.cli.evaluate import coco
from fastiou.evaluation.detection import KINDS

BOX = {"image_id": 1, "category_id": 3, "bbox": [10, 20, 30, 40]}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    gt, dt = tmp_path / "gt.json", tmp_path / "dt.json"
    content: dict[str, Any] = {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 3, "name": "boat"}, {"id": 5, "name": "[red] car"}],
        "annotations": [{**BOX, "id": 1, "area": 1200, "iscrowd": 0}],
    }
    gt.write_text(json.dumps(content))
    dt.write_text(json.dumps([{**BOX, "score": 0.8}, {**BOX, "image_id": 2, "score": 0.9}]))
    return gt, dt


def test_names_are_those_of_the_evaluator() -> None:
    assert tuple(KINDS) == coco.IOU_TYPES


def test_scores_are_shown_and_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    result = run_well("eval", "coco", *files, "--json", out, "--per-class")
    words = words_of(result)
    assert "images 2" in words
    assert "AP 0.5000" in words
    assert "APs -1 (there is no truth)" in words
    written = json.loads(out.read_text())
    assert written["AP"] == pytest.approx(0.5)
    assert written["deviations"] == []
    assert written["per_class"][0]["name"] == "boat"
    assert (written["per_class"][0]["truths"], written["per_class"][0]["detections"]) == (1, 2)


def test_options_are_passed_on(files: tuple[Path, Path]) -> None:
    words = words_of(run_well("eval", "coco", *files, "--max-dets", "5,50", "--class-agnostic"))
    assert "AR50 1.0000" in words
    assert "note 1 detections of an image and class that count: (5, 50)" in words


def test_keypoints_are_scored(tmp_path: Path) -> None:
    gt, dt = tmp_path / "gt.json", tmp_path / "dt.json"
    entry = {**BOX, "keypoints": [1, 2, 2, 5, 9, 1]}
    content = {
        "images": [{"id": 1}], "categories": [{"id": 3, "name": "boat"}],
        "annotations": [{**entry, "id": 1, "area": 1200, "iscrowd": 0, "num_keypoints": 2}],
    }  # fmt: skip
    gt.write_text(json.dumps(content))
    dt.write_text(json.dumps([{**entry, "score": 0.8}]))
    options = (gt, dt, "--iou-type", "keypoints")
    words = words_of(run_well("eval", "coco", *options, "--sigmas", "0.1,0.2", "--per-class"))
    assert "AP 1.0000" in words
    assert "ARl -1 (there is no truth)" in words
    assert "note 1 sigmas of keypoints are [0.1, 0.2]" in words
    for others, message in (
        ((), "gt.json: 2 keypoints of each, expected 17, one for each of sigmas"),
        (("--sigmas", "0.1,x"), "--sigmas must be numbers above 0, such as"),
        (("--errors",), "--errors is of boxes and masks, and not of keypoints"),
    ):
        result = run("eval", "coco", *options, *others)
        assert result.exit_code != 0
        assert message in " ".join(result.stderr.split())
    result = run("eval", "coco", gt, dt, "--sigmas", "0.1,0.2")
    assert "--sigmas is of keypoints" in result.stderr


def test_what_is_required_is_checked(files: tuple[Path, Path]) -> None:
    assert run("eval", "coco", *files, "--require", "AP=0.4", "--quiet").exit_code == 0
    result = run("eval", "coco", *files, "--require", "AP50=0.6", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "AP50 is 0.5, and 0.6 is required" in result.stderr
    result = run("eval", "coco", *files, "--require", "mAP=0.6", "--quiet")
    assert result.exit_code == 2
    assert "--require mAP: the scores are AP, AP50" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--max-dets", "10,1"],
            "--max-dets must be numbers that ascend, such as 1,10,100; got 10,1",
        ),
        (["--json", "scores.txt"], ".json"),
        (["--plot", "curves.gif"], ".png"),
        (["--confusion", "classes.txt"], ".csv"),
        (["--bootstrap", "0"], "--bootstrap"),
        (["--iou-type", "segm"], 'no "segmentation"'),
    ],
)
def test_what_cannot_be_is_refused(
    files: tuple[Path, Path], options: list[str], message: str
) -> None:
    result = run("eval", "coco", *files, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_files_that_do_not_fit_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    gt, dt = files
    for first, second, message in (
        (gt, tmp_path / "none.json", "no such file"),
        (dt, gt, "score"),
        (gt, tmp_path, "a folder"),
    ):
        result = run("eval", "coco", first, second)
        assert result.exit_code == 2, result.output
        assert message in result.stderr
    dt.write_text(json.dumps([{**BOX, "image_id": 7, "score": 0.8}]))
    result = run("eval", "coco", gt, dt)
    assert "image_id 7 of 1 of 1 results is not in" in result.stderr


def test_lvis_needs_its_lists(files: tuple[Path, Path]) -> None:
    result = run("eval", "lvis", *files)
    assert result.exit_code == 2
    assert 'images[0]: no "neg_category_ids", expected a list in every image' in result.stderr


def test_curves_are_drawn(files: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", exc_type=ImportError)
    plot = tmp_path / "curves.png"
    run_well("eval", "coco", *files, "--plot", plot, "--quiet")
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_errors_intervals_and_the_confusion_matrix_are_told(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    out, matrix = tmp_path / "scores.json", tmp_path / "classes.csv"
    result = run_well(
        "eval",
        "coco",
        *files,
        "--errors",
        "--bootstrap",
        "20",
        "--json",
        out,
        "--confusion",
        matrix,
    )
    words = words_of(result)
    assert "AP 0.5000 (" in words
    assert "APs -1 (there is no truth)" in words
    assert "Bkg" in words
    assert matrix.read_text().splitlines() == [
        "truth,boat,[red] car,background", "boat,1,0,0", "[red] car,0,0,0", "background,1,0,0",
    ]  # fmt: skip
    written = json.loads(out.read_text())
    assert written["errors"]["counts"]["Bkg"] == 1
    assert written["errors"]["costs"]["Bkg"] == pytest.approx(0.5)
    assert written["intervals"]["resamples"] == 20
    assert len(written["intervals"]["AP"]) == 2
    assert "APs" not in written["intervals"]


RUNS = {"size": [90, 80], "counts": [0, 9, 7191]}
OUTLINE = [[10, 20, 40, 20, 40, 60, 10, 60]]

#: Entries that are invalid, and what is said of each, by what is scored.
INVALID = {
    "bbox": [
        ({"bbox": [1, 2, 3]}, '"bbox": [1, 2, 3]'),
        ({"image_id": None}, '"image_id": null'),
        ({"bbox": [1, 2, 3, float("inf")]}, '"bbox": [1, 2, 3, Infinity]'),
    ],
    "segm": [
        ({"segmentation": [[1, 2, 3, 4]]}, '"segmentation"[0] must have at least 3 points'),
        ({"segmentation": {**RUNS, "counts": [3]}}, '"segmentation": counts sum to 3'),
        (
            {"segmentation": {**RUNS, "size": [80, 90]}},
            '"segmentation" of 80 × 90 pixels, in an image of',
        ),
        ({"segmentation": {"size": [90, 80]}}, '"segmentation" has no "counts"'),
    ],
}


@pytest.mark.parametrize("iou_type", list(INVALID))
def test_what_is_invalid_can_be_left_out(tmp_path: Path, iou_type: str) -> None:
    """The scores are those of the files without it, and what was left out is told."""
    gt, dt = tmp_path / "gt.json", tmp_path / "dt.json"
    good = {**BOX, "segmentation": OUTLINE}
    lists = {
        "images": [{"id": 1, "height": 90, "width": 80}],
        "categories": [{"id": 3, "name": "boat"}],
    }
    truths = [{**good, "id": n, "area": 1200, "iscrowd": 0} for n in range(3)]
    found = [{**good, "score": 0.9}, {**good, "score": 0.8, "segmentation": RUNS}]

    def write(annotations: list[Any], results: list[Any]) -> None:
        gt.write_text(json.dumps({**lists, "annotations": annotations}))
        dt.write_text(json.dumps(results))

    def score(*options: str) -> Any:
        out = tmp_path / "scores.json"
        shown = run_well("eval", "coco", gt, dt, "--iou-type", iou_type, "--quiet",
                         "--json", out, *options)  # fmt: skip
        return json.loads(out.read_text()), " ".join(shown.stderr.split())

    write(truths[1:], found)
    expected, _ = score()
    for fields, words in INVALID[iou_type]:
        write([{**truths[0], **fields}, *truths[1:]], [*found, {**found[0], **fields}])
        refused = run("eval", "coco", gt, dt, "--iou-type", iou_type)
        assert refused.exit_code == 2
        told = " ".join(refused.stderr.split())
        assert "--skip-invalid leaves such annotations out" in told
        assert "--geometry" not in told
        scores, told = score("--skip-invalid")
        assert scores["per_class"] == expected["per_class"]
        for place in ("annotations[0]", "[2]"):
            assert f"{place}: {words}" in told
        content = json.loads(gt.read_text()), json.loads(dt.read_text())
        result = fastiou.evaluate_coco(*content, iou_type=iou_type, skip_invalid=True)
        assert result["AP"] == expected["AP"]
        with pytest.raises(ValueError, match="skip_invalid=True leaves such annotations out"):
            fastiou.evaluate_coco(*content, iou_type=iou_type)


#: Entries that lack what is compared, and whether they may be of the truth, by what is scored.
LACKING = {
    "bbox": [({"bbox": [float("nan")] * 4}, True), ({"bbox": None}, False)],
    "segm": [({"segmentation": []}, True), ({"segmentation": None}, False), ({"bbox": []}, False)],
}


@pytest.mark.parametrize("iou_type", list(LACKING))
def test_what_lacks_a_box_or_a_mask_is_left_out(iou_type: str) -> None:
    good = {**BOX, "segmentation": OUTLINE}
    lists = {
        "images": [{"id": 1, "height": 90, "width": 80}],
        "categories": [{"id": 3, "name": "boat"}],
    }
    annotations: list[Any] = [{**good, "id": 1, "area": 1200, "iscrowd": 0}]
    truth = {**lists, "annotations": annotations}
    found = [{**good, "score": 0.9}]
    expected = fastiou.evaluate_coco(truth, found, iou_type=iou_type)
    assert expected["AP"] > 0.99
    for fields, of_truth in LACKING[iou_type]:
        both = [*found, {**found[0], **fields}]
        more = {**lists, "annotations": [{**annotations[0], **fields}, *annotations]}
        for gt in (truth, more) if of_truth else (truth,):
            result = fastiou.evaluate_coco(gt, both, iou_type=iou_type, skip_invalid=True)
            assert result["AP"] == expected["AP"]
            assert any("dt: 1 of 2 annotations" in words for words in result.deviations)


def test_masks_without_boxes_are_scored_by_another_option(files: tuple[Path, Path]) -> None:
    content = json.loads(files[0].read_text())
    del content["annotations"][0]["bbox"]
    content["annotations"][0]["segmentation"] = OUTLINE
    files[0].write_text(json.dumps(content))
    refused = run("eval", "coco", *files)
    assert "(--iou-type segm compares masks)" in " ".join(refused.stderr.split())
