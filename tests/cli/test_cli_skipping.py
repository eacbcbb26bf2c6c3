"""`--skip-invalid`: annotations of COCO files that are left out, and what is said of them."""

import json
import re

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of

from fastiou.formats import mask_faults as faults_module
from fastiou.formats.table import read_masks

IMAGE = {"id": 1, "height": 20, "width": 30}
SQUARE = [[2, 2, 8, 2, 8, 8, 2, 8]]
RUNS = {"size": [20, 30], "counts": [40, 10, 550]}

#: Invalid masks, and what is said of each.
BAD_MASKS = {
    "null": (None, '"segmentation": null'),
    "no polygon": ([], '"segmentation" must have at least one ring, got none'),
    "an empty polygon": ([[]], '"segmentation"[0] must have at least 3 points'),
    "two points": ([[1, 2, 3, 4]], '"segmentation"[0] must have at least 3 points'),
    "two points in the second": ([SQUARE[0], [1, 2, 3, 4]], '"segmentation"[1] must have at least'),
    "half a point": ([[1, 2, 3, 4, 5, 6, 7]], '"segmentation"[0] must have a y for each x'),
    "text": ("13", '"segmentation": "13"'),
    "NaN": ([[1, 2, float("nan"), 4, 5, 6]], '"segmentation"[0]: coordinates must be finite'),
    "no counts": ({"size": [20, 30]}, '"segmentation" has no "counts"'),
    "counts too few": ({**RUNS, "counts": [3]}, '"segmentation": counts sum to 3, but size'),
    "broken counts": ({**RUNS, "counts": "o"}, '"segmentation": counts end within'),
    "a size that is none": ({**RUNS, "size": [-1, 3]}, '"segmentation": size must be (height, w'),
    "half a size": ({**RUNS, "size": [20]}, '"segmentation": size must be (height, w'),
    "none": (..., 'no "segmentation"'),
}

#: The same of boxes.
BAD_BOXES = {
    "none": (..., 'no "bbox"'),
    "null": (None, '"bbox": null'),
    "empty": ([], '"bbox": []'),
    "three numbers": ([1, 2, 3], '"bbox": [1, 2, 3]'),
    "text": ([1, 2, 3, "4"], '"bbox": [1, 2, 3, "4"]'),
    "infinite": ([1, 2, 3, float("inf")], '"bbox": [1, 2, 3, Infinity]'),
    "beyond floats": ([1, 2, 3, 10**400], '"bbox": [1, 2, 3, 1000'),
}


def entries_with(name, bad, good, places, count=12):
    """Annotations of one image, each shifted a little, with `bad` ones at some places."""
    entries = []
    for index in range(count):
        entry = {"image_id": 1, "category_id": 1, "score": 1 - index / 100}
        value = bad if index in places else good[index % len(good)]
        entries.append(entry if value is ... else {**entry, name: value})
    return entries


def written(path, entries, *, as_results):
    content = entries if as_results else {"images": [IMAGE], "annotations": entries}
    path.write_text(json.dumps(content))
    return path


def check_skipped(tmp_path, geometry, bad, said, name, good):
    """Both commands, with and without the option, on files with that at three or four places."""
    for as_results, places in ((False, [0, 5, 6, 11]), (True, [3])):
        label = "" if as_results else "annotations"
        entries = entries_with(name, bad, good, places)
        path = written(tmp_path / "a.json", entries, as_results=as_results)
        truth = entries_with(name, None, good, [])
        other = written(tmp_path / "truth.json", truth, as_results=False)
        kept = [index for index in range(len(entries)) if index not in places]
        out = tmp_path / "out.npz"
        arguments = ["--geometry", geometry, "--out", out]
        for command in (["match", path, other], ["match", other, path], ["nms", path]):
            result = run(*command, *arguments)
            assert result.exit_code == 2
            assert result.stderr.startswith(f"fastiou: {path}:{label}[{places[0]}]: {said}")
            assert result.stderr.endswith("; --skip-invalid leaves such annotations out\n")
            assert result.stderr.count("\n") == 1
            assert not out.exists()

            shown = run_well(*command, *arguments, "--skip-invalid", "--quiet")
            line = f"fastiou: {path}: {len(places)} of 12 annotations are invalid and left out: "
            assert shown.stderr.startswith(line + f"{label}[{places[0]}]: {said}")
            assert shown.stderr.count("\n") == 1
            named = re.findall(rf"[:;] {label}\[\d+\]: ", shown.stderr)
            assert len(named) == min(len(places), 3)
            assert shown.stderr.endswith("; …\n") == (len(places) > 3)
            assert shown.stdout == ""
            with np.load(out) as found:
                columns = dict(found)
            out.unlink()
            if command[0] == "nms":
                assert set(columns["kept"]) <= set(kept)
                np.testing.assert_allclose(columns["scores"], 1 - columns["kept"] / 100)
                assert columns["kept"].tolist()[0] == kept[0]
                continue
            rows, cols = columns["rows"], columns["cols"]
            own, others = (rows, cols) if command[1] == path else (cols, rows)
            expected = {(i, j) for i in kept for j in range(12) if i % len(good) == j % len(good)}
            assert set(zip(own.tolist(), others.tolist(), strict=True)) == expected
        words = words_of(run_well("match", path, other, *arguments, "--skip-invalid"))
        assert f"{len(kept)} from a.json (coco" in words
        assert f"matched in A {len(kept)} (100.0%)" in words
        assert "matched in B 12 (100.0%)" in words
        out.unlink()


#: Boxes that do not overlap each other.
GOOD_BOXES = [[0, 0, 4, 4], [10, 10, 4, 4]]


@pytest.mark.parametrize("name", BAD_MASKS)
def test_invalid_masks_are_left_out(tmp_path, name):
    bad, said = BAD_MASKS[name]
    # Polygons of results have no size of their own.
    good = [RUNS, {**RUNS, "counts": [300, 20, 280]}]
    check_skipped(tmp_path, "mask", bad, said, "segmentation", good)


@pytest.mark.parametrize("name", BAD_BOXES)
def test_invalid_boxes_are_left_out(tmp_path, name):
    bad, said = BAD_BOXES[name]
    check_skipped(tmp_path, "box", bad, said, "bbox", GOOD_BOXES)


@pytest.mark.parametrize("geometry", ["box", "mask"])
@pytest.mark.parametrize("bad", [None, 1.5, "", [1], True, ...], ids=str)
def test_annotations_without_an_image_are_left_out(tmp_path, geometry, bad):
    good = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "segmentation": SQUARE}
    entries = [good, {**good, "image_id": bad}, good, {**good, "category_id": bad}]
    if bad is ...:
        del entries[1]["image_id"], entries[3]["category_id"]
    path = written(tmp_path / "a.json", entries, as_results=False)
    result = run("match", path, "--geometry", geometry)
    assert result.exit_code == 2
    what = 'no "image_id"' if bad is ... else f'"image_id": {json.dumps(bad)}'
    assert result.stderr.startswith(f"fastiou: {path}:annotations[1]: {what}")
    assert result.stderr.endswith("; --skip-invalid leaves such annotations out\n")
    shown = run_well("match", path, "--geometry", geometry, "--skip-invalid")
    assert "2 of 4 annotations are invalid and left out: annotations[1]: " in shown.stderr
    assert "pairs found 1 with" in words_of(shown)
    # By images alone nobody asks for the category.
    shown = run_well("match", path, "--geometry", geometry, "--skip-invalid", "--by", "image")
    assert "1 of 4 annotations are invalid" in shown.stderr
    assert "pairs found 3 with" in words_of(shown)


def test_masks_of_another_size_than_their_image_are_left_out(tmp_path):
    def entry(image, mask):
        return {"image_id": image, "category_id": 1, "segmentation": mask}

    other = {"size": [10, 20], "counts": [40, 10, 150]}
    entries = [entry(1, SQUARE), entry(1, other), entry(2, SQUARE), entry(2, other), entry(3, RUNS)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [IMAGE, {"id": 2}], "annotations": entries}))
    shown = run_well("match", path, "--geometry", "mask", "--skip-invalid")
    assert shown.stderr == (
        f"fastiou: {path}: 3 of 5 annotations are invalid and left out: annotations[1]: "
        '"segmentation" of 10 × 20 pixels, in an image of 20 × 30 pixels; annotations[2]: polygons '
        'of an image, the size of which is not told; annotations[4]: "image_id": 3, which is not '
        'in "images"\n'
    )
    assert "2 from a.json" in words_of(shown)


@pytest.mark.parametrize("at_a_time", [1, 7, 1024])
def test_all_invalid_masks_of_a_file_are_found(tmp_path, monkeypatch, at_a_time):
    monkeypatch.setattr(faults_module, "MASKS_AT_A_TIME", at_a_time)
    entries = []
    for bad, _ in BAD_MASKS.values():
        for mask in (SQUARE, bad, RUNS):
            entry = {"image_id": 1, "category_id": 1}
            entries.append(entry if mask is ... else {**entry, "segmentation": mask})
    entries.insert(7, 3)  # no object at all
    path = written(tmp_path / "a.json", entries, as_results=False)
    file = read_masks(path, skip_invalid=True)
    bad = {7} | {index + (index >= 7) for index in range(1, 3 * len(BAD_MASKS), 3)}
    kept = [index for index in range(len(entries)) if index not in bad]
    assert file.skipped.positions.tolist() == kept
    assert (file.skipped.total, len(file.skipped.first)) == (len(entries), 3)
    assert [file.where(index) for index in range(len(file))] == [
        f"annotations[{position}]" for position in kept
    ]
    assert len(file.keys["image"]) == len(file) == len(kept)


def test_unmatched_positions_are_those_of_the_file(tmp_path):
    entries = entries_with("bbox", None, GOOD_BOXES, [0, 4], count=8)
    a = written(tmp_path / "a.json", entries, as_results=True)
    truth = entries_with("bbox", [], GOOD_BOXES, [0], count=2)
    b = written(tmp_path / "b.json", truth, as_results=False)
    out = tmp_path / "out.npz"
    shown = run_well("match", a, b, "--method", "greedy", "--skip-invalid", "--out", out)
    assert shown.stderr.count("\n") == 2
    with np.load(out) as found:
        assert (found["rows"].tolist(), found["cols"].tolist()) == ([1], [1])
        assert found["unmatched_rows"].tolist() == [2, 3, 5, 6, 7]
        assert found["unmatched_cols"].tolist() == []


def test_kept_results_are_written_as_they_are(tmp_path):
    entries = entries_with("bbox", [1], GOOD_BOXES, [0, 2], count=5)
    path = written(tmp_path / "a.json", entries, as_results=True)
    out = tmp_path / "kept.json"
    run_well("nms", path, "--skip-invalid", "--out", out)
    assert json.loads(out.read_text()) == [entries[1], entries[4]]


def test_messages_of_what_is_left_name_places_of_the_file(tmp_path):
    entries = entries_with("bbox", None, GOOD_BOXES, [0, 1], count=5)
    del entries[3]["score"]
    path = written(tmp_path / "a.json", entries, as_results=True)
    result = run("nms", path, "--skip-invalid")
    assert result.exit_code == 2
    assert f'{path}:[3]: no "score", expected one' in result.stderr


def test_nothing_is_said_where_nothing_is_invalid(tmp_path):
    entries = entries_with("bbox", None, GOOD_BOXES, [])
    path = written(tmp_path / "a.json", entries, as_results=True)
    assert run_well("nms", path, "--skip-invalid").stderr == ""


def test_all_may_be_invalid(tmp_path):
    entries = entries_with("segmentation", [], [[]], [])
    path = written(tmp_path / "a.json", entries, as_results=False)
    shown = run_well("match", path, path, "--geometry", "mask", "--skip-invalid")
    assert "12 of 12 annotations are invalid" in shown.stderr
    assert "0 with iou >= 0.5" in words_of(shown)


def test_the_option_is_for_annotations(tmp_path):
    boxes, labels = tmp_path / "boxes.csv", tmp_path / "labels.npy"
    boxes.write_text("x1,y1,x2,y2,score\n0,0,1,1,1\n")
    np.save(labels, np.zeros((4, 9), int))
    message = "--skip-invalid leaves out annotations of COCO files, not what is in files of the "
    for command in (["match", boxes, boxes], ["nms", boxes], ["match", labels, labels]):
        result = run(*command, "--skip-invalid")
        assert result.exit_code == 2
        assert result.stderr.startswith(f"fastiou: {message}format ")


def test_pairs_within_a_file_have_positions_of_the_file(tmp_path):
    entries = entries_with("bbox", None, GOOD_BOXES, [0, 2], count=6)
    entries = [{**entry, "id": 100 + index} for index, entry in enumerate(entries)]
    path = written(tmp_path / "a.json", entries, as_results=False)
    out = tmp_path / "out.npz"
    run_well("match", path, "--skip-invalid", "--out", out)
    with np.load(out) as found:
        assert (found["rows"].tolist(), found["cols"].tolist()) == ([1, 1, 3], [3, 5, 5])
        assert found["id_a"].tolist() == [101, 101, 103]
        assert found["id_b"].tolist() == [103, 105, 105]
