"""Files of quadrilaterals: DOTA's labels and results, YOLO's oriented boxes, tables and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of

import fastiou
from fastiou.formats.errors import FileError
from fastiou.formats.table import read_boxes

ONE, OTHER = [10, 20, 60, 10, 70, 50, 15, 60], [80, 20, 120, 20, 95, 35, 80, 60]
LABELS = "imagesource:GoogleEarth\ngsd:0.146\n10 20 60 10 70 50 15 60 plane 0\n" + (
    "80.0 20.0 120.0 20.0 95.0 35.0 80.0 60.0 small-vehicle 1\n"
)
RESULTS = "P0001 0.9 12 22 64 12 70 54 15 60\nP0002 0.25 10 20 60 10 70 50 15 60\n"
ORIENTED = "3 0.1 0.2 0.6 0.1 0.7 0.5 0.15 0.6\n0 0 0 1 0 1 1 0 1\n"


def read(folder: Path, content: str, name: str = "file.txt", **wanted: Any) -> Any:
    (folder / name).write_text(content)
    return read_boxes(folder / name, **wanted)


def test_labels_of_dota(tmp_path: Path) -> None:
    file = read(tmp_path, LABELS)
    assert (file.format, file.fmt, file.unused) == ("dota", "xyxyxyxy", ("difficult",))
    assert file.boxes.tolist() == [ONE, OTHER]
    assert file.keys["category"].tolist() == ["plane", "small-vehicle"]
    first = read(tmp_path, LABELS.replace(" 0\n", "\n").replace(" 1\n", "\n"))
    assert first.boxes.tolist() == [ONE, OTHER]
    assert first.unused == ()
    with pytest.raises(FileError, match="a label file of DOTA has no scores"):
        read(tmp_path, LABELS, scored=True)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1 2 3 4 5 6 7 8 plane 7", r":5: column 10 \(difficult\) holds '7', expected 0, 1 or 2"),
        (
            "1 2 3 4 5 6 7 plane 0",
            r":5: 1 2 3 4 5 6 7 plane 0, expected x and y of 4 corners, a cl",
        ),
        ("1 2 3 4 5 6 7 inf plane", r":5: 1 2 3 4 5 6 7 inf plane, expected x and y of 4"),
        ("1 2 3 4 5 6 7 8 plane 0 1", r":5: .* expected x and y of 4 corners"),
    ],
)
def test_rows_that_are_not_dotas(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read(tmp_path, f"{LABELS}{row}\n", format="dota")


def test_results_of_dota(tmp_path: Path) -> None:
    file = read(tmp_path, RESULTS, "Task1_small-vehicle.txt", scored=True)
    assert (file.format, file.fmt) == ("dota-results", "xyxyxyxy")
    assert file.boxes[1].tolist() == ONE
    assert file.scores.tolist() == [0.9, 0.25]
    assert file.keys["image"].tolist() == ["P0001", "P0002"]
    assert file.keys["category"].tolist() == ["small-vehicle"] * 2
    assert "category" not in read(tmp_path, RESULTS).keys
    by_image = read(tmp_path, RESULTS, "Task1_plane.txt", by=("image",))
    assert list(by_image.keys) == ["image"]
    with pytest.raises(FileError, match="no class in the name of the file"):
        read(tmp_path, RESULTS, by=("category",))


def folders(path: Path) -> tuple[Path, Path]:
    labels, results = path / "labelTxt", path / "results"
    labels.mkdir()
    results.mkdir()
    (labels / "P0001.txt").write_text(LABELS)
    (labels / "P0002.txt").write_text(LABELS.splitlines()[2] + "\n")
    (results / "Task1_plane.txt").write_text(RESULTS)
    (results / "Task1_small-vehicle.txt").write_text("P0001 0.5 80 20 120 20 95 35 80 60\n")
    return labels, results


def test_results_meet_labels_of_their_image_and_class(tmp_path: Path) -> None:
    labels, results = folders(tmp_path)
    out = tmp_path / "found.npz"
    words = words_of(run_well("match", results, labels, "--method", "greedy", "--out", out))
    assert "by image and category" in words
    with np.load(out) as found:
        assert found["rows"].tolist() == [0, 1, 2]
        assert found["cols"].tolist() == [0, 2, 1]
        expected = fastiou.box_iou([RESULTS_ONE], [ONE], "xyxyxyxy")[0, 0]
        assert found["values"].tolist() == [expected, 1, 1]


RESULTS_ONE = [12, 22, 64, 12, 70, 54, 15, 60]


def test_suppression_writes_rows_as_they_are(tmp_path: Path) -> None:
    path, out = tmp_path / "Task1_plane.txt", tmp_path / "kept.txt"
    path.write_text(RESULTS + "P0001 0.8 12 22 64 12 70 54 15 60\n")
    run_well("nms", path, "--out", out)
    assert out.read_text() == RESULTS


def test_oriented_boxes_of_yolo_only_where_the_format_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"--format yolo-seg, .* or --format yolo-obb"):
        read(tmp_path, ORIENTED)
    file = read(tmp_path, ORIENTED, format="yolo-obb")
    assert file.fmt == "xyxyxyxy"
    assert file.boxes[0].tolist() == [0.1, 0.2, 0.6, 0.1, 0.7, 0.5, 0.15, 0.6]
    assert file.keys["category"].tolist() == [3, 0]
    assert read(tmp_path, ORIENTED, format="yolo-seg").fmt == "xyxy"
    scored = read(tmp_path, ORIENTED.replace("\n", " 0.5\n"), format="yolo-obb", scored=True)
    assert scored.scores.tolist() == [0.5, 0.5]


def test_tables_and_arrays(tmp_path: Path) -> None:
    header = "image,class,x1,y1,x2,y2,x3,y3,x4,y4,score"
    row = ",".join(map(str, ["a.png", "plane", *ONE, 0.5]))
    file = read(tmp_path, f"{header}\n{row}\n", scored=True)
    assert (file.fmt, file.boxes.tolist(), file.scores.tolist()) == ("xyxyxyxy", [ONE], [0.5])
    assert set(file.keys) == {"image", "category"}
    bare = read(tmp_path, "10,20,60,10,70,50,15,60\n", fmt="xyxyxyxy", told=True)
    assert bare.boxes.tolist() == [ONE]
    for dtype in (np.float64, np.int32):
        points = np.array([ONE, OTHER], dtype).reshape(2, 4, 2)
        np.save(tmp_path / "points.npy", points)
        np.savez(tmp_path / "points.npz", boxes=points, fmt="xyxyxyxy")
        for name in ("points.npy", "points.npz"):
            found = read_boxes(tmp_path / name, fmt="xyxyxyxy", told=True)
            assert found.boxes.tolist() == [ONE, OTHER]
    path = tmp_path / "points.npy"
    words = words_of(run_well("match", path, path, "--boxes", "xyxyxyxy"))
    assert "2 from points.npy (npy, xyxyxyxy)" in words
    assert "pairs found 2 with iou >= 0.5" in words


def test_crossing_edges_of_a_file_are_refused(tmp_path: Path) -> None:
    crossed = "0 0 4 4 4 0 0 4"
    rows = ["#", "x1,y1,x2,y2,x3,y3,x4,y4", "0,1,0,1,1,1,0,1", crossed.replace(" ", ",")]
    for content, place in (
        (f"imagesource:x\n\n{crossed} plane 0\n", ":3: box 1"),
        ("\n".join(rows), ":4: box 2"),
        (f"a 0.5 {crossed}\n", ":1: box 1"),
    ):
        with pytest.raises(FileError) as error:
            read(tmp_path, content)
        found = f"{tmp_path / 'file.txt'}{place} has edges that cross: 0, 0, 4, 4, 4, 0, 0, 4"
        assert str(error.value) == f"{found}, expected corners in order around it"
    result = run("match", tmp_path / "file.txt")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
