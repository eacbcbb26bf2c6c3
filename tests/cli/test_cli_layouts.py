"""A geometry whose arrays have another layout needs nothing of the command."""

from types import SimpleNamespace

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of

import fastiou
from fastiou.formats.table import read_boxes
from fastiou.tables.layouts import GEOMETRIES, LAYOUTS, common_layout, extents

BOXES = np.array([[3, 4, 2, 1, 30], [5, 5, 0, 2, 45], [np.nan, 5, 1, 2, 60], [7, 8, 3, 3, 0.5]])
SCORES = np.array([0.5, 0.75, 0.25, 1])


def text(boxes, header=""):
    return header + "".join(",".join(map(repr, row)) + "\n" for row in boxes.tolist())


@pytest.fixture(params=["npy", "npz", "csv", "csv with a header"])
def file(request, tmp_path):
    """A file with scores, and the options that it needs."""
    path = tmp_path / "boxes"
    needed = ["--boxes", "cxcywhr"]
    both = np.column_stack([BOXES, SCORES])
    with path.open("wb") as stream:
        if request.param == "npy":
            np.save(stream, both)
        elif request.param == "npz":
            np.savez(stream, boxes=BOXES, scores=SCORES, fmt="cxcywhr")
            needed = []
        elif request.param == "csv":
            stream.write(text(both).encode())
        else:
            stream.write(text(both, "cx,cy,w,h,angle,score\n").encode())
            needed = []
    return path, needed


def test_nms_takes_it(monkeypatch, file):
    calls = []

    def nms(boxes, scores, threshold, **options):
        calls.append((boxes, scores, options["fmt"]))
        return np.array([3, 1])

    monkeypatch.setattr(fastiou, "nms", nms, raising=False)
    path, needed = file
    words = words_of(run_well("nms", path, *needed))
    ((boxes, scores, fmt),) = calls
    np.testing.assert_array_equal(boxes, BOXES)
    np.testing.assert_array_equal(scores, SCORES)
    assert fmt == "cxcywhr"
    assert ", cxcywhr), 1 with NaN, 1 empty or inverted" in words


def test_match_takes_it(monkeypatch, tmp_path):
    calls = []

    def pairs(a, b, threshold, **options):
        calls.append((a, b, options["fmt"]))
        one = np.array([0])
        return SimpleNamespace(rows=one, cols=one, values=np.array([1.0]), tested=16)

    monkeypatch.setattr(fastiou, "pairs", pairs, raising=False)
    (tmp_path / "a.csv").write_text(text(BOXES))
    np.save(tmp_path / "b.npy", BOXES)
    shown = run_well("match", tmp_path / "a.csv", tmp_path / "b.npy", "--boxes", "cxcywhr")
    ((a, b, fmt),) = calls
    for boxes in (a, b):
        np.testing.assert_array_equal(boxes, BOXES)
    assert fmt == "cxcywhr"
    assert "1 with iou >= 0.5" in words_of(shown)


def test_two_geometries_are_not_compared(tmp_path):
    np.savez(tmp_path / "a.npz", boxes=BOXES, fmt="cxcywhr")
    np.savez(tmp_path / "b.npz", boxes=BOXES[:, :4], fmt="xywh")
    result = run("match", tmp_path / "a.npz", tmp_path / "b.npz")
    message = "fastiou: cxcywhr in A and xywh in B are of two geometries\n"
    assert (result.exit_code, result.stderr.endswith(message)) == (2, True)


def test_integers_of_as_many_numbers_are_boxes(tmp_path):
    path = tmp_path / "boxes.npy"
    np.save(path, np.ones((3, 5), int))
    result = run("match", path, path)
    assert "could be npy or labels, expected the one meant: --format npy or" in result.stderr
    labels = run_well("match", path, path, "--geometry", "labels")
    assert "objects in A" in labels.stdout
    result = run("match", path, path, "--boxes", "cxcywhr")
    assert "objects in A" not in result.stdout


def test_what_is_expected_names_the_numbers(tmp_path):
    path = tmp_path / "boxes"
    np.savez(path.with_suffix(".npz"), boxes=BOXES[:, :4], fmt="cxcywhr")
    (tmp_path / "boxes.csv").write_text(text(BOXES[:, :4]))
    for name, message in (
        ("boxes.npz", ":boxes: shape (4, 4), dtype float64, expected numbers of shape (N, 5)"),
        ("boxes.csv", ":1: 4 columns of numbers, expected 5 (boxes), 6 to 10"),
    ):
        result = run("match", tmp_path / name, tmp_path / name, "--boxes", "cxcywhr")
        assert result.stderr.startswith(f"fastiou: {tmp_path / name}{message}")


def test_layouts_of_one_geometry_meet_in_its_first():
    assert list(LAYOUTS) == [fmt for formats in GEOMETRIES.values() for fmt in formats]
    assert common_layout("cxcywhr", "cxcywhr") == "cxcywhr"
    assert common_layout("xywh", "xywh") == "xywh"
    assert common_layout("xywh", "cxcywh") == "xyxy"


@pytest.mark.parametrize("fmt", ["xyxy", "xywh", "cxcywh"])
def test_extents_are_the_corners(rng, fmt):
    boxes = rng.normal(size=(20, 4))
    corners = fastiou.box_convert(boxes, fmt, "xyxy")
    low, high = (np.stack(sides, axis=1) for sides in zip(*extents(boxes, fmt), strict=True))
    np.testing.assert_array_equal(np.concatenate([low, high], axis=1), corners)


def test_a_name_of_few_columns_is_not_that_of_more(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(text(BOXES, "cx,cy,w,h,other\n"))
    assert read_boxes(path).fmt == "cxcywh"


def test_each_file_may_have_a_layout_of_its_own(tmp_path):
    sizes, corners = tmp_path / "sizes.csv", tmp_path / "corners.csv"
    sizes.write_text("100,20,30,40\n90,90,5,5\n")
    corners.write_text("100,20,130,60\n90,90,95,95\n")
    out = tmp_path / "out.csv"
    for files, options in (
        ((sizes, corners), ("--boxes-a", "xywh")),
        ((corners, sizes), ("--boxes-b", "xywh")),
        ((sizes, corners), ("--boxes", "xywh", "--boxes-b", "xyxy")),
    ):
        run_well("match", *files, *options, "--out", out)
        assert out.read_text() == "rows,cols,values\n0,0,1.0\n1,1,1.0\n"
    centres = tmp_path / "named.csv"
    centres.write_text("cx,cy,w,h\n1,2,3,4\n")
    for arguments, message in (
        ((corners, centres, "--boxes-b", "xywh"), "its layout: named.csv tells cxcywh"),
        ((centres, corners, "--boxes-a", "xyxy"), "--boxes-a xyxy is for a file that does not"),
        ((corners, "--boxes-b", "xywh"), "--boxes-b is for a second file, and there is none"),
        ((corners, "--format-b", "csv"), "--format-b is for a second file, and there is none"),
        ((sizes, corners, "--boxes-b", "xywh"), "sizes.csv:1: as xyxy, most boxes are inverted"),
    ):
        result = run("match", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
