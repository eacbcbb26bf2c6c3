"""`fastiou eval panoptic` scores COCO's panoptic files, and says what it cannot use."""

import json

from command_for_tests import real, run, run_well, words_of
from panoptic_for_tests import drawn_image, written

import fastiou


def test_the_numbers_of_panopticapi(tmp_path):
    truth, pred = (real(f"eval/panoptic/{name}.json") for name in ("panoptic_examples", "pred"))
    scores = tmp_path / "pq.json"
    shown = run_well("eval", "panoptic", truth, pred, "--per-class", "--json", scores)
    words = words_of(shown)
    assert "all 0.5774 0.6420 0.7767 8" in words
    assert "things 0.3713" in words
    assert "categories 8 of 133 occur" in words
    assert "1 person 0.3662 0.6348 0.5769 15 11 11" in words
    found = json.loads(scores.read_text())
    assert found["PQ"] == fastiou.panoptic_quality(truth, pred).pq
    assert found["per_class"]["1"]["tp"] == 15


def test_folders_that_are_named(rng, tmp_path):
    truth, pred = written(tmp_path, [drawn_image(rng) for _ in range(3)])
    expected = fastiou.panoptic_quality(truth, pred)
    folder = tmp_path / "elsewhere"
    truth.with_suffix("").rename(folder)
    scores = tmp_path / "pq.json"
    run_well(
        "eval", "panoptic", truth, pred, "--gt-folder", folder, "--pred-folder", tmp_path / "pred",
        "--quiet", "--json", scores, "--require", f"PQ={expected.pq}",
    )  # fmt: skip
    assert json.loads(scores.read_text()) == expected.as_dict()
    result = run("eval", "panoptic", truth, pred)
    assert (result.exit_code, result.stderr) == (
        2,
        f"fastiou: {tmp_path / 'gt'}: no such folder, expected the PNG of gt.json, or name the "
        "folder of the PNG\n",
    )


def test_what_is_required(rng, tmp_path):
    files = written(tmp_path, [drawn_image(rng)])
    result = run("eval", "panoptic", *files, "--require", "PQ=1.5", "--require", "SQ_st=0")
    assert result.exit_code == 1
    assert result.stderr.startswith("fastiou: PQ is ")
    assert "1.5 is required; shares are from 0 to 1, and no percentages" in result.stderr
    assert "panoptic quality" in result.stdout


def test_more_predictions_are_left_out(rng, tmp_path):
    truth, pred = written(tmp_path, [drawn_image(rng) for _ in range(3)])
    content = json.loads(truth.read_text())
    content["annotations"].pop()
    truth.write_text(json.dumps(content))
    assert "images 2; 1 more in pred.json left out" in words_of(run_well(
        "eval", "panoptic", truth, pred,
    ))  # fmt: skip
    result = run("eval", "panoptic", pred, truth)
    assert (
        result.stderr
        == f"fastiou: {truth}: no annotation of the image 2, expected one of each image\n"
    )
