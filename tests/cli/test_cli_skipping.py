"""`--skip-invalid`: annotations of COCO files that are left out, and what is said of them."""

import json
import re

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of

import fastiou
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
    entries[3]["image_id"] = "1"
    path = written(tmp_path / "a.json", entries, as_results=True)
    result = run("nms", path, "--skip-invalid")
    assert result.exit_code == 2
    assert f'{path}:[2]: "image_id": 1, and "1" elsewhere' in result.stderr


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("score", ..., 'no "score"'),
        ("score", None, '"score": null'),
        ("score", "high", '"score": "high"'),
        ("iscrowd", 2, '"iscrowd": 2'),
    ],
)
def test_scores_and_crowds_that_are_none_are_left_out(tmp_path, field, value, said):
    entries = [
        {**entry, "iscrowd": 0} for entry in entries_with("bbox", None, GOOD_BOXES, [], count=3)
    ]
    entries[1][field] = value
    if value is ...:
        del entries[1][field]
    path = written(tmp_path / "a.json", entries, as_results=field == "score")
    others = entries_with("bbox", None, GOOD_BOXES, [], count=3)
    other = written(tmp_path / "b.json", others, as_results=field != "score")
    both = [path, other] if field == "score" else [other, path]
    commands = [["match", *both, "--method", "coco"], ["nms", path]]
    for command in commands if field == "score" else commands[:1]:
        result = run(*command)
        assert result.exit_code == 2
        assert "; --skip-invalid leaves such annotations out" in result.stderr
        shown = run_well(*command, "--skip-invalid")
        assert "1 of 3 annotations are invalid and left out: " in shown.stderr
        assert f"[1]: {said}" in shown.stderr


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
    message = "--skip-invalid leaves out annotations of coco, voc, labelme, cvat, via, not what is "
    message += "in files of the "
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


#: Of each format a file of three annotations, of which the second is no box, and what is said.
WITH_POINTS = {
    "voc": (
        "xml",
        "<annotation>"
        + "".join(
            f"<object><name>c</name>{box}</object>"
            for box in (
                "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>",
                "<robndbox><cx>2</cx></robndbox>",
                "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>4</xmax><ymax>5</ymax></bndbox>",
            )
        )
        + "</annotation>",
        "object 2: a robndbox",
    ),
    "labelme": (
        "json",
        json.dumps(
            {
                "version": "5", "imagePath": "a.jpg", "imageHeight": 9, "imageWidth": 9,
                "shapes": [
                    {"label": "c", "shape_type": "rectangle", "points": [[0, 0], [4, 4]]},
                    {"label": "c", "shape_type": "point", "points": [[1, 1]]},
                    {"label": "c", "shape_type": "rectangle", "points": [[0, 0], [4, 5]]},
                ],
            }
        ),
        'shapes[1]: "shape_type": "point"',
    ),
    "cvat": (
        "xml",
        '<annotations><image name="a.jpg"><box label="c" xtl="0" ytl="0" xbr="4" ybr="4"/>'
        '<points label="c" points="1,1"/>'
        '<box label="c" xtl="0" ytl="0" xbr="4" ybr="5"/></image></annotations>',
        "points 2 of image a.jpg: <points>",
    ),
    "via": (
        "json",
        json.dumps(
            {
                "a.jpg1": {
                    "filename": "a.jpg", "file_attributes": {},
                    "regions": [
                        {
                            "shape_attributes": {"name": "rect", "x": 0, "y": 0, "width": 4, **end},
                            "region_attributes": {"class": "c"},
                        }
                        for end in ({"height": 4}, {"name": "polyline"}, {"height": 5})
                    ],
                }
            }
        ),
        'a.jpg, regions[1]: "name": "polyline"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("format_", WITH_POINTS)
def test_what_is_no_box_is_left_out_of_files_of_tools(tmp_path, format_):
    ending, content, fault = WITH_POINTS[format_]
    path, out = tmp_path / f"a.{ending}", tmp_path / "out.npz"
    path.write_text(content)
    result = run("match", path)
    assert result.exit_code == 2
    assert fault in result.stderr
    assert result.stderr.endswith("; --skip-invalid leaves such annotations out\n")
    shown = run_well("match", path, "--skip-invalid", "--out", out)
    assert f"1 of 3 annotations are invalid and left out: {fault}" in shown.stderr
    with np.load(out) as found:
        assert (found["rows"].tolist(), found["cols"].tolist()) == ([0], [2])
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.{ending}").write_text(content.replace("a.jpg", f"{name}.jpg"))
    shown = run_well("match", folder, "--skip-invalid", "--out", out)
    assert f"2 of 6 annotations are invalid and left out: a.{ending}, {fault}" in shown.stderr
    with np.load(out) as found:
        assert (found["rows"].tolist(), found["cols"].tolist()) == ([0, 3], [2, 5])
    with pytest.warns(UserWarning, match="2 of 6 annotations are invalid and left out"):
        assert len(fastiou.read(folder, skip_invalid=True)) == 4


def test_circles_are_left_out_where_masks_are_read(tmp_path):
    path = tmp_path / "a.json"
    content = json.loads(WITH_POINTS["labelme"][1])
    content["shapes"][0] |= {"shape_type": "circle", "points": [[2, 2], [2, 3]]}
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r'2 of 3 .*shapes\[0\]: "shape_type": "circle"; shapes'):
        table = fastiou.read(path, geometry="mask", skip_invalid=True)
    assert np.count_nonzero(table.masks.to_dense()) == 20
    with pytest.warns(UserWarning, match="1 of 3"):
        assert fastiou.read(path, skip_invalid=True).boxes[0].tolist() == [1, 1, 3, 3]


def test_annotations_of_coco_are_left_out_of_folders(tmp_path):
    folder, out = tmp_path / "folder", tmp_path / "out.npz"
    folder.mkdir()
    for name in "ab":
        entries = entries_with("bbox", None, GOOD_BOXES, [0, 2], count=6)
        written(folder / f"{name}.json", entries, as_results=False)
    shown = run_well("match", folder, "--skip-invalid", "--out", out)
    assert "4 of 12 annotations are invalid and left out: a.json, annotations[0]" in shown.stderr
    with np.load(out) as found:
        pairs = list(zip(found["rows"].tolist(), found["cols"].tolist(), strict=True))
    positions = [1, 3, 4, 5]
    within = [(a, b) for a in positions for b in positions if a < b]
    assert set(pairs) <= {*within, *((a + 6, b + 6) for a, b in within)}
    assert {(1, 3), (7, 9)} <= set(pairs)


def test_positions_in_a_folder_count_rows_without_a_box(tmp_path):
    folder, out = tmp_path / "folder", tmp_path / "kept.csv"
    folder.mkdir()
    head = "image,x1,y1,x2,y2,score\n"
    (folder / "s.csv").write_text(f"{head}a,0,0,4,4,0.9\nb,,,,,\nc,0,0,4,4,0.8\n")
    (folder / "t.csv").write_text(f"{head}d,0,0,4,4,0.7\ne,0,0,4,4,0.6\ne,0,0,4,4,0.5\n")
    shown = run_well("nms", folder, "--out", out)
    assert "1 of 6 rows are of images without a box: s.csv, line 3" in shown.stderr
    rows = out.read_text().splitlines()[1:]
    assert rows == ["0,0.9,s,a", "2,0.8,s,c", "3,0.7,t,d", "4,0.6,t,e"]
