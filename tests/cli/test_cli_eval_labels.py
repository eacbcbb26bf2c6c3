"""`fastiou eval labels` scores label images, and says what it cannot use."""

import json

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of

import fastiou


def cells(rng, count=3, size=64):
    y, x = np.mgrid[:16, :16] - 7.5
    images = np.zeros((2, count, size, size), np.uint16)
    for image in images.reshape(-1, size, size):
        for number in range(9):
            row, col = divmod(number, 3)
            off, radius = rng.normal(0, 1, 2), rng.uniform(4, 7)
            place = np.s_[row * 20 : row * 20 + 16, col * 20 : col * 20 + 16]
            image[place][(y - off[0]) ** 2 + (x - off[1]) ** 2 < radius**2] = number + 1
    return images


def folders(tmp_path, true, pred, names=("a", "b", "c", "d")):
    paths = tmp_path / "true", tmp_path / "pred"
    for path, images in zip(paths, (true, pred), strict=True):
        path.mkdir()
        for name, image in zip(names, images, strict=False):
            np.save(path / f"{name}.npy", image)
    return paths


def test_folders_are_paired_by_name(rng, tmp_path):
    true, pred = cells(rng)
    paths = folders(tmp_path, true, [*pred, pred[0]])
    scores = tmp_path / "scores.json"
    shown = run_well("eval", "labels", *paths, "--json", scores, "--require", "AP@0.5=0.1")
    expected = fastiou.instance_matching(list(true), list(pred), np.arange(50, 100, 5) / 100)
    assert json.loads(scores.read_text()) == expected.as_dict()
    words = words_of(shown)
    assert f"AP {expected.mean_average_precision:.4f}, the mean over thresholds" in words
    assert f"AJI {expected.aji:.4f}" in words
    assert "only in PRED 1, not scored" in words
    assert "true objects 27 from" in words
    row = expected[0]
    assert f"0.5 {row.accuracy:.4f} {row.precision:.4f}" in words


def test_files_of_several_frames(rng, tmp_path):
    true, pred = cells(rng)
    for name, images in (("true", true), ("pred", pred)):
        np.save(tmp_path / f"{name}.npy", images)
    scores = tmp_path / "scores.json"
    run_well(
        "eval", "labels", tmp_path / "true.npy", tmp_path / "pred.npy", "--threshold", 0.3,
        "--threshold", 0.6, "--criterion", "iot", "--by-image", "--quiet", "--json", scores,
    )  # fmt: skip
    expected = fastiou.instance_matching(
        list(true), list(pred), [0.3, 0.6], criterion="iot", by_image=True
    )
    assert json.loads(scores.read_text()) == expected.as_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--require", "no=1"], "--require no: the scores are AP, AJI, n_true, n_pred, AP@0.5"),
        (["--require", "AP"], "--require must be NAME=VALUE, got 'AP'"),
        (["--threshold", "0"], "thresholds must be greater than 0 and at most 1, got 0.0"),
    ],
)
def test_options_that_are_refused(rng, tmp_path, options, message):
    result = run("eval", "labels", *folders(tmp_path, *cells(rng)), *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_what_is_required(rng, tmp_path):
    result = run("eval", "labels", *folders(tmp_path, *cells(rng)), "--require", "AP=0.99")
    assert result.exit_code == 1
    assert result.stderr.startswith("fastiou: AP is 0.")
    assert result.stderr.endswith(", and 0.99 is required\n")


def test_images_that_are_refused(rng, tmp_path):
    true, pred = cells(rng)
    paths = folders(tmp_path, true, pred[:2])
    result = run("eval", "labels", *paths)
    assert (result.exit_code, result.stderr) == (
        2,
        f"fastiou: {paths[1]}: no image of the name 'c', expected one for each image\n",
    )
    np.save(paths[1] / "c.npy", pred[0, :9])
    assert "9 × 64 pixels, expected 64 × 64 pixels" in run("eval", "labels", *paths).stderr
    np.save(paths[1] / "c.npy", -pred[0].astype(int))
    assert run("eval", "labels", *paths).stderr == (
        f"fastiou: {paths[1]}:c: must hold labels of at least 0, got -9\n"
    )
    assert "no such file" in run("eval", "labels", paths[0], tmp_path / "none.npy").stderr
