"""`fastiou match --method` of label images: cells that belong together, and how many are found."""

import itertools
import re

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of
from test_cli_labels import found_by_loop, objects, scenes

UNMATCHED = ["unmatched_rows", "unmatched_cols", "unmatched_row_frames", "unmatched_col_frames"]


def chosen_by_loop(pairs, method, top):
    """The pairs (row, col, value) of one image that a method keeps, one by one."""
    if method == "topk":
        kept = []
        for row in sorted({row for row, _, _ in pairs}):
            own = [pair for pair in pairs if pair[0] == row]
            kept += sorted(own, key=lambda pair: (-pair[2], pair[1]))[:top]
        return kept
    if method == "greedy":
        kept = []
        for pair in sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1])):
            if not any(pair[0] == other[0] or pair[1] == other[1] for other in kept):
                kept.append(pair)
        return sorted(kept)
    best = []  # of all subsets, each at most once: a handful of pairs an image
    for size in range(len(pairs) + 1):
        for some in itertools.combinations(pairs, size):
            alone = all(len({pair[side] for pair in some}) == size for side in (0, 1))
            if alone and sum(pair[2] for pair in some) > sum(pair[2] for pair in best) + 1e-12:
                best = some
    return sorted(best)


def crossing():
    """Two frames. In the first the best pair leaves two others out; 9 and 8 meet nobody."""
    a, b = np.zeros((2, 2, 4, 40), np.uint8)
    a[0, :, 0:10], a[0, :, 10:20], a[0, :, 30:35] = 1, 2, 9
    b[0, :, 1:9], b[0, :, 9:19] = 5, 6
    b[0, :, 0:1] = 6
    a[1, :, 0:10], b[1, :, 0:10], b[1, :, 20:30] = 9, 8, 7
    return a, b


def written(tmp_path, a, b, *arguments):
    for name, stack in (("a", a), ("b", b)):
        np.save(tmp_path / f"{name}.npy", stack)
    out = tmp_path / "matches.npz"
    shown = run_well("match", tmp_path / "a.npy", tmp_path / "b.npy", "--out", out, *arguments)
    with np.load(out) as found:
        return shown, dict(found)


@pytest.mark.parametrize("method", ["greedy", "optimal", "topk"])
@pytest.mark.parametrize(("metric", "threshold"), [("iou", 0.05), ("iou", 0.5), ("dice", 0.2)])
def test_labels_are_matched_within_each_image(tmp_path, rng, method, metric, threshold):
    a, b = (
        np.concatenate([np.pad(one, ((0, 0), (0, 0), (0, 10))), other])
        for one, other in zip(
            scenes(rng), (np.pad(x, ((0, 0), (0, 36), (0, 20))) for x in crossing()), strict=True
        )
    )
    arguments = ["--method", method, "--metric", metric, "--threshold", threshold]
    arguments += ["-k", 2] if method == "topk" else []
    shown, found = written(tmp_path, a, b, *arguments)
    rows, cols, values, frames = found_by_loop(a, b, threshold, metric=metric)
    expected, left = [], ([], [])
    for frame in range(len(a)):
        own = frames == frame
        pairs = list(zip(*(x[own].tolist() for x in (rows, cols, values)), strict=True))
        kept = chosen_by_loop(pairs, method, 2)
        expected += [(*pair, frame) for pair in kept]
        for side, stack in enumerate((a, b)):
            taken = {pair[side] for pair in kept}
            labels = np.unique(stack[frame][stack[frame] != 0]).tolist()
            left[side].extend((label, frame) for label in labels if label not in taken)
    columns = dict(
        zip(["rows", "cols", "values", "frames"], zip(*expected, strict=True), strict=True)
    )
    if method != "topk":
        for side, names in zip(left, (UNMATCHED[::2], UNMATCHED[1::2]), strict=True):
            columns |= dict(zip(names, zip(*side, strict=True), strict=True))
    assert found.keys() == columns.keys()
    for name, column in columns.items():
        np.testing.assert_array_equal(found[name], column, err_msg=name)
    words = words_of(shown)
    if method == "topk":
        assert "precision" not in words
        assert "topk, the best 2 in B of each in A" in words
        return
    matched = len(expected)
    spurious, missed = objects(b) - matched, objects(a) - matched
    assert f"matches {matched} with {metric} >= {threshold}" in words
    assert f"counts TP {matched}, FP {spurious}, FN {missed}; A is the truth, B the pred" in words
    assert f"precision {matched / (matched + spurious):.4f} = TP / (TP + FP)" in words
    assert f"recall {matched / (matched + missed):.4f} = TP / (TP + FN)" in words
    f1 = 2 * matched / (2 * matched + spurious + missed)
    assert f"F1 {f1:.4f} = 2 TP / (2 TP + FP + FN)" in words


def test_greedy_and_optimal_differ(tmp_path):
    a, b = crossing()
    _, greedy = written(tmp_path, a, b, "--method", "greedy", "--threshold", 0.01)
    _, optimal = written(tmp_path, a, b, "--method", "optimal", "--threshold", 0.01)
    assert greedy["values"].sum() <= optimal["values"].sum()
    # By hand: 1 and 5 share 32 of 40 pixels, 2 and 6 share 36 of 48, 9 and 8 all.
    np.testing.assert_array_equal(greedy["rows"], [1, 2, 9])
    np.testing.assert_array_equal(greedy["cols"], [5, 6, 8])
    np.testing.assert_allclose(greedy["values"], [0.8, 36 / 48, 1])
    np.testing.assert_array_equal(greedy["frames"], [0, 0, 1])
    assert greedy["unmatched_rows"].tolist() == [9]
    assert greedy["unmatched_row_frames"].tolist() == [0]
    assert greedy["unmatched_cols"].tolist() == [7]
    assert greedy["unmatched_col_frames"].tolist() == [1]


def test_the_best_total_may_need_other_partners(tmp_path):
    a = np.repeat([1, 1, 1, 1, 2, 2, 2, 0], 3)[None]
    b = np.repeat([6, 5, 5, 5, 5, 5, 0, 0], 3)[None]
    greedy, optimal = (
        written(tmp_path, a, b, "--method", method, "--threshold", 0.01)[1]
        for method in ("greedy", "optimal")
    )
    assert list(zip(greedy["rows"], greedy["cols"], strict=True)) == [(1, 5)]
    assert greedy["values"].tolist() == [0.5]
    assert list(zip(optimal["rows"], optimal["cols"], strict=True)) == [(1, 6), (2, 5)]
    np.testing.assert_allclose(optimal["values"], [1 / 4, 2 / 6])


def test_of_equal_partners_the_lowest_labels_are_taken(tmp_path):
    a = np.array([[1, 1, 2, 2, 0]])
    b = np.array([[8, 7, 7, 8, 0]])
    few = ("--geometry", "labels")  # of five columns, as boxes and scores have
    for method in ("greedy", "topk"):
        _, found = written(tmp_path, a, b, *few, "--method", method, "--threshold", 0.1)
        assert found["cols"].tolist() == ([7, 8] if method == "greedy" else [7, 7])


def test_the_best_few_of_all_that_share_pixels(tmp_path):
    a, b = crossing()
    _, found = written(tmp_path, a, b, "--method", "topk", "-k", 9, "--threshold", 0)
    _, pairs = written(tmp_path, a, b, "--threshold", 1e-9)
    assert len(found["rows"]) == len(pairs["rows"]) > 3


def test_quiet_matches_have_what_is_unmatched_too(tmp_path):
    a, b = crossing()
    shown, found = written(tmp_path, a, b, "--method", "greedy", "--quiet")
    assert shown.output == ""
    assert found["unmatched_rows"].tolist() == [9]
    assert found["unmatched_cols"].tolist() == [7]


@pytest.mark.parametrize("sides", [(0, 0), (0, 3), (3, 0)])
def test_scores_that_are_not_defined(tmp_path, sides):
    a, b = (np.full((2, 4, 5), side) for side in sides)
    shown, found = written(tmp_path, a, b, "--method", "optimal")
    words = words_of(shown)
    assert ("precision not defined: no objects in B" in words) == (sides[1] == 0)
    assert ("recall not defined: no objects in A" in words) == (sides[0] == 0)
    assert ("F1 not defined: no objects" in words) == (sides == (0, 0))
    if sides != (0, 0):
        assert re.search(r"F1 0\.0000 = 2 TP", words)
    assert [len(found[name]) for name in UNMATCHED] == [2 * bool(side) for side in sides] * 2


def test_labels_of_64_bits_are_matched(tmp_path):
    large = 2**63 + 1
    a = np.array([[[1, 1, 0]], [[large, large, 7]]], np.uint64)
    _, found = written(tmp_path, a, a[::-1].copy(), "--method", "greedy", "--threshold", 0.9)
    np.testing.assert_array_equal(found["rows"], np.array([1, large], np.uint64))
    np.testing.assert_array_equal(found["cols"], np.array([large, 1], np.uint64))
    np.testing.assert_array_equal(found["unmatched_rows"], np.array([7], np.uint64))
    assert found["unmatched_cols"].tolist() == [7]


def test_the_rule_of_coco_is_not_for_labels(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 5), int))
    for geometry in ("auto", "labels"):
        result = run("match", path, path, "--method", "coco", "--geometry", geometry)
        assert (result.exit_code, result.stderr) == (
            2,
            "fastiou: --method coco is for boxes and masks, which have scores and crowds; label "
            "images have pairs, greedy, optimal, most, topk\n",
        )


@pytest.mark.parametrize("method", ["greedy", "optimal", "pairs", "topk"])
def test_binary_masks_are_no_label_images(tmp_path, method):
    paths = tmp_path / "truth.npy", tmp_path / "found.npy"
    cells = np.zeros((2, 8, 8), np.uint8)
    cells[0, :2, :2], cells[0, 4:, 4:] = 1, 2

    def notes(a, b):
        for path, array in zip(paths, (a, b), strict=True):
            np.save(path, array)
        return run_well("match", *paths, "--method", method, "--quiet").stderr.splitlines()

    for label in (1, 255):
        mask = (cells > 0).astype(np.uint8) * np.uint8(label)
        lines = notes(mask, mask)
        assert len(lines) == 2
        for path, line in zip(paths, lines, strict=True):
            words = f"{path}: each image has one object, of the label {label}: a binary mask is no"
            assert line.startswith(f"fastiou: {words} label image")
    assert len(notes(cells, mask)) == 1
    assert not notes(cells, cells)
    assert not notes(cells * 7, cells * 3)
    assert not notes(np.zeros_like(cells), cells)
