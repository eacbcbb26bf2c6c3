"""`fastiou match` and `fastiou nms` of rotated boxes find what the functions find in the arrays."""

import json

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of

import fastiou
from fastiou.tables.column_names import BOX_COLUMNS

FORMATS = ["cxcywhr", "cxcywhr-rad", "cxcywhr-cw", "cxcywhr-rad-cw", "xywhr"]


def header(fmt):
    return "x,y,w,h,angle" if fmt == "xywhr" else "cx,cy,w,h,angle"


def rotated(rng, count, fmt="cxcywhr"):
    """Boxes of which each meets a few others; one is missing, one is empty."""
    boxes = np.concatenate(
        [
            rng.uniform(0, 60, (count, 2)),
            rng.uniform(5, 25, (count, 2)),
            rng.uniform(-180, 180, (count, 1)),
        ],
        axis=1,
    ).round(3)
    boxes[3] = np.nan
    boxes[4, 2] = 0
    return fastiou.box_convert(boxes, "cxcywhr", fmt)


def written(path, boxes, fmt, scores=None, groups=None):
    """Write a file of the kind that its name tells."""
    kind = path.suffix
    columns = boxes if scores is None else np.column_stack([boxes, scores])
    if kind == ".npy":
        np.save(path, columns)
    elif kind == ".npz":
        arrays = {"scores": scores, "groups": groups}
        given = {name: array for name, array in arrays.items() if array is not None}
        np.savez(path, boxes=boxes, fmt=fmt, **given)
    else:
        names = header(fmt) + ("" if scores is None else ",score")
        lines = [",".join(map(repr, row)) for row in columns.tolist()]
        if groups is not None:
            names += ",frame"
            lines = [f"{line},{group}" for line, group in zip(lines, groups, strict=True)]
        first = [names] if path.stem.endswith("headed") or groups is not None else []
        path.write_text("\n".join([*first, *lines]) + "\n")
    return path


def columns_of(path):
    with np.load(path) as archive:
        return dict(archive)


FILES = ["boxes.npy", "boxes.npz", "boxes.csv", "headed.csv"]


@pytest.fixture(params=FILES)
def name(request):
    return request.param


@pytest.mark.parametrize("fmt", FORMATS)
def test_pairs(rng, tmp_path, fmt, name):
    a, b = rotated(rng, 40, fmt), rotated(rng, 50, fmt)
    paths = [
        written(tmp_path / f"{side}-{name}", boxes, fmt) for side, boxes in (("a", a), ("b", b))
    ]
    out = tmp_path / "pairs.npz"
    result = run_well("match", *paths, "--boxes", fmt, "--threshold", 0.2, "--out", out)
    found, expected = columns_of(out), fastiou.pairs(a, b, 0.2, fmt=fmt)
    assert len(expected) > 20
    for column, wanted in zip(("rows", "cols", "values"), expected, strict=True):
        np.testing.assert_array_equal(found[column], wanted)
    words = words_of(result)
    assert f"{len(expected)} with iou >= 0.2" in words
    assert f", {fmt}), 1 with NaN, 1 empty or inverted" in words


@pytest.mark.parametrize("fmt", FORMATS)
def test_suppression(rng, tmp_path, fmt, name):
    boxes, scores = rotated(rng, 60, fmt), rng.integers(0, 30, 60) / 32
    path = written(tmp_path / name, boxes, fmt, scores)
    out = tmp_path / "kept.npz"
    run_well("nms", path, "--boxes", fmt, "--threshold", 0.3, "--out", out)
    found, expected = columns_of(out), fastiou.nms(boxes, scores, 0.3, fmt=fmt)
    assert 10 < len(expected) < 55
    np.testing.assert_array_equal(found["kept"], expected)
    np.testing.assert_array_equal(found["scores"], scores[expected])


@pytest.mark.parametrize("method", ["greedy", "optimal", "topk"])
@pytest.mark.parametrize("metric", ["iou", "iof"])
def test_methods_and_metrics(rng, tmp_path, method, metric):
    a, b = rotated(rng, 40), rotated(rng, 50)
    paths = [
        written(tmp_path / f"{side}.npz", boxes, "cxcywhr") for side, boxes in (("a", a), ("b", b))
    ]
    out = tmp_path / "found.npz"
    run_well("match", *paths, "--method", method, "--metric", metric, "--out", out)
    found = columns_of(out)
    options = {"threshold": 0.5, "fmt": "cxcywhr", "metric": metric}
    if method == "topk":
        best = fastiou.topk(a, b, 1, **options)
        rows = np.flatnonzero(best.indices[:, 0] >= 0)
        expected = rows, best.indices[rows, 0], best.values[rows, 0]
    else:
        matched = fastiou.match(a, b, method=method, **options)
        expected = matched.rows, matched.cols, matched.values
    for column, wanted in zip(("rows", "cols", "values"), expected, strict=True):
        np.testing.assert_array_equal(found[column], wanted)


@pytest.mark.parametrize("kind", [".npz", ".csv"])
def test_groups(rng, tmp_path, kind):
    a, b, groups = rotated(rng, 40), rotated(rng, 40), rng.integers(1, 4, 40)
    paths = [
        written(tmp_path / f"{side}{kind}", boxes, "cxcywhr", groups=groups)
        for side, boxes in (("a", a), ("b", b))
    ]
    out = tmp_path / "pairs.npz"
    run_well("match", *paths, "--threshold", 0.1, "--out", out)
    found = columns_of(out)
    expected = fastiou.pairs(a, b, 0.1, fmt="cxcywhr", groups=(groups, groups))
    assert len(expected) > 10
    np.testing.assert_array_equal(found["rows"], expected.rows)
    np.testing.assert_array_equal(found["cols"], expected.cols)


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_suppression(rng, tmp_path, method):
    boxes, scores = rotated(rng, 60), rng.random(60)
    path = written(tmp_path / "headed.csv", boxes, "cxcywhr", scores)
    out = tmp_path / "kept.npz"
    options = ["--method", method, "--score-threshold", 0.2]
    run_well("nms", path, *options, "--threshold", 0.3, "--out", out)
    expected = fastiou.nms(boxes, scores, 0.3, fmt="cxcywhr", method=method, score_threshold=0.2)
    np.testing.assert_array_equal(columns_of(out)["kept"], expected)


def test_a_header_tells_the_format(rng, tmp_path):
    """That of degrees, counter-clockwise, and those of other angles where --boxes names them."""
    boxes = rotated(rng, 40)
    degrees = written(tmp_path / "headed.csv", boxes, "cxcywhr")
    corners = written(
        tmp_path / "corners-headed.csv", fastiou.box_convert(boxes, "cxcywhr", "xywhr"), "xywhr"
    )
    assert ", cxcywhr), 1 with NaN" in words_of(run_well("match", degrees, degrees))
    assert ", xywhr), 1 with NaN" in words_of(run_well("match", corners, corners))
    radians = ("--boxes", "cxcywhr-rad")
    assert ", cxcywhr-rad), 1 with NaN" in words_of(run_well("match", degrees, degrees, *radians))
    out = tmp_path / "pairs.npz"
    run_well("match", degrees, degrees, *radians, "--out", out)
    expected = fastiou.pairs(boxes, boxes, 0.5, fmt="cxcywhr-rad")
    np.testing.assert_array_equal(columns_of(out)["values"], expected.values)
    assert BOX_COLUMNS[("cx", "cy", "w", "h", "angle")] == "cxcywhr"


@pytest.mark.parametrize("fmt", FORMATS[1:])
def test_two_formats_meet_in_degrees(rng, tmp_path, fmt):
    a, b = rotated(rng, 40), rotated(rng, 50)
    paths = [
        written(tmp_path / "a.npz", a, "cxcywhr"),
        written(tmp_path / "b.npz", fastiou.box_convert(b, "cxcywhr", fmt), fmt),
    ]
    out = tmp_path / "pairs.npz"
    run_well("match", *paths, "--threshold", 0.2, "--out", out)
    found, expected = columns_of(out), fastiou.pairs(a, b, 0.2, fmt="cxcywhr")
    np.testing.assert_array_equal(found["rows"], expected.rows)
    np.testing.assert_array_equal(found["cols"], expected.cols)
    np.testing.assert_allclose(found["values"], expected.values, rtol=0, atol=1e-12)


def test_integers_are_boxes_where_boxes_says_so(tmp_path):
    path = tmp_path / "boxes.npy"
    np.save(path, np.array([[5, 5, 4, 2, 0], [5, 5, 2, 4, 90], [5, 5, 4, 2, 90]]))
    out = tmp_path / "pairs.npz"
    run_well("match", path, path, "--boxes", "cxcywhr", "--threshold", 0.9, "--out", out)
    np.testing.assert_array_equal(columns_of(out)["rows"], [0, 0, 1, 1, 2])


@pytest.mark.parametrize("metric", ["giou", "diou", "ciou"])
def test_metrics_that_need_more_are_refused(rng, tmp_path, metric):
    path = written(tmp_path / "boxes.npz", rotated(rng, 9), "cxcywhr", rng.random(9))
    for arguments in (("match", path, path), ("nms", path)):
        result = run(*arguments, "--metric", metric)
        assert result.exit_code == 2
        assert result.stderr.startswith("fastiou: ")
        assert "metric of rotated boxes must be one of 'iou', 'iof'" in result.stderr
        assert result.stdout == ""


def test_plain_and_rotated_boxes_are_not_compared(rng, tmp_path):
    boxes = rotated(rng, 9)
    paths = [
        written(tmp_path / "a.npz", boxes, "cxcywhr"),
        written(tmp_path / "b.npz", boxes[:, :4], "cxcywh"),
    ]
    result = run("match", *paths)
    message = "fastiou: cxcywhr in A and cxcywh in B are of two geometries\n"
    assert (result.exit_code, result.stderr.endswith(message)) == (2, True)


def test_what_is_expected_names_the_numbers(rng, tmp_path):
    boxes = rotated(rng, 9)
    np.save(tmp_path / "boxes.npy", boxes)
    (tmp_path / "infinite.csv").write_text("cx,cy,w,h,angle\n1,2,3,4,5\n1,2,3,4,inf\n")
    (tmp_path / "text.csv").write_text("cx,cy,w,h,angle\n1,2,3,4,steep\n")
    for name, arguments, message in (
        (
            "boxes.npy",
            ("--boxes", "xyxy"),
            "shape (9, 5), dtype float64, expected numbers of shape (N, 4)",
        ),
        ("infinite.csv", (), ":3: column 5 (angle) holds 'inf', expected a finite number or NaN"),
        ("text.csv", (), ":2: column 5 (angle) holds 'steep', expected a number"),
    ):
        result = run("match", tmp_path / name, tmp_path / name, *arguments)
        assert result.exit_code != 0
        assert message in result.stderr


@pytest.mark.parametrize("command", ["match", "nms"])
def test_help_lists_the_formats(command):
    words = "".join(run_well(command, "--help").stdout.split())
    assert "|".join(FORMATS) in words


def test_help_lists_the_columns():
    words = "".join(run_well("match", "--help").stdout.split())
    assert header("cxcywhr") in words
    assert header("xywhr") in words


@pytest.mark.parametrize("fmt", FORMATS)
def test_coco_with_boxes_of_five_numbers(rng, tmp_path, fmt):
    """As detectron2 and data sets of fish-eye cameras have them."""
    boxes, scores = rotated(rng, 40, fmt), rng.random(40)
    images = [f"cam_{image}" for image in rng.integers(0, 3, 40)]
    path = tmp_path / "results.json"
    entries = [
        {"image_id": image, "category_id": 1, "bbox": box, "score": score}
        for image, box, score in zip(images, boxes.tolist(), scores.tolist(), strict=True)
    ]
    path.write_text(json.dumps(entries))
    out = tmp_path / "kept.npz"
    run_well("nms", path, "--boxes", fmt, "--threshold", 0.2, "--out", out)
    expected = fastiou.nms(boxes, scores, 0.2, groups=images, fmt=fmt)
    np.testing.assert_array_equal(columns_of(out)["kept"], expected)
    for options in ([], ["--boxes", "xyxy"]):
        result = run("nms", path, *options)
        assert result.exit_code == 2
        assert "[x, y, width, height]; rotated boxes need --boxes, such as cxcywhr" in result.stderr
    entries[3]["bbox"] = entries[3]["bbox"][:4]
    path.write_text(json.dumps(entries))
    result = run("nms", path, "--boxes", fmt)
    assert result.exit_code == 2
    assert '[3]: "bbox": [' in result.stderr
    path.write_text(json.dumps([entry | {"bbox": entry["bbox"][:4]} for entry in entries]))
    result = run("nms", path, "--boxes", fmt)
    assert result.exit_code == 2
    assert f"--boxes {fmt} is for files that do not tell their layout" in result.stderr
