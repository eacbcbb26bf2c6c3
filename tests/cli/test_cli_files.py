"""What people have on disk, and what they want of it, each in one command."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import run, run_well

import fastiou

TRUTH = "filename,x1,y1,x2,y2\na.jpg,10,20,110,120\nb.jpg,10,20,110,120\n"
FOUND = "filename,x1,y1,x2,y2,score\na.jpg,10,20,110,120,0.9\nb.jpg,10,22,110,120,0.8\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "gt.csv", tmp_path / "det.csv"
    for path, content in zip(paths, (TRUTH, FOUND), strict=True):
        path.write_text(content)
    return paths


def columns_of(path: Path) -> dict[str, Any]:
    with np.load(path) as archive:
        return dict(archive)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_images_by_name(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "pairs.npz"
    run_well("match", *files, "--out", out)
    found = columns_of(out)
    assert list(zip(found["rows"], found["cols"], strict=True)) == [(0, 0), (1, 1)]
    assert found["image"].tolist() == ["a.jpg", "b.jpg"]
    run_well("nms", files[1], "--out", out)
    assert columns_of(out)["kept"].tolist() == [0, 1]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_names_in_tables(files: tuple[Path, Path], tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)
    for path in files:
        path.write_text(path.read_text().replace("a.jpg", '"a ""x"", 1.jpg"'))
    out = tmp_path / f"pairs{ending}"
    run_well("match", *files, "--out", out)
    if ending == ".csv":
        names = [row["image"] for row in rows_of(out)]
    else:
        names = parquet.read_table(out)["image"].to_pylist()
    assert names == ['a "x", 1.jpg', "b.jpg"]


def test_keys_that_never_meet_are_an_error(tmp_path: Path) -> None:
    paths = tmp_path / "truth.json", tmp_path / "found.json"
    box = {"category_id": 1, "bbox": [1, 2, 30, 40]}
    truth = {"images": [], "annotations": [{"image_id": 1, "id": 7, **box}]}
    paths[0].write_text(json.dumps(truth))
    paths[1].write_text(json.dumps([{"image_id": 11, "score": 0.5, **box}]))
    refused = run("match", *paths, "--quiet")
    assert refused.exit_code == 2
    expected = "no image in common: truth.json has 1 and found.json has 11 (--by category"
    assert expected in refused.stderr
    out = tmp_path / "pairs.csv"
    run_well("match", *paths, "--by", "category", "--out", out)
    assert [row["category"] for row in rows_of(out)] == ["1"]
    paths[1].write_text(json.dumps([{"image_id": 1, "score": 0.5, **box, "category_id": 0}]))
    assert "no category in common" in run("match", *paths).stderr
    run_well("match", *paths, "--by", "image", "--out", out)
    assert len(rows_of(out)) == 1


def test_images_of_any_category(tmp_path: Path) -> None:
    """Two classes on one box, in two images."""
    path = tmp_path / "found.json"
    entries = [
        {"image_id": image, "category_id": category, "bbox": [1, 2, 30, 40], "score": score}
        for image, category, score in ((1, 1, 0.9), (1, 2, 0.8), (2, 1, 0.7), (2, 2, 0.6))
    ]
    path.write_text(json.dumps(entries))
    out = tmp_path / "kept.csv"
    kept = {}
    for by in ("image", "image,category", "category", "none"):
        run_well("nms", path, "--by", by, "--out", out)
        kept[by] = [int(row["kept"]) for row in rows_of(out)]
    assert kept == {
        "image": [0, 2],
        "image,category": [0, 1, 2, 3],
        "category": [0, 1],
        "none": [0],
    }
    assert (
        "there is no key 'video', expected image or category"
        in run("nms", path, "--by", "video").stderr
    )


def test_what_is_left_unused_is_said_also_if_quiet(tmp_path: Path) -> None:
    paths = tmp_path / "a.csv", tmp_path / "b.csv"
    paths[0].write_text("image,label,scanner,x,y,w,h\n1,cat,left,1,2,3,4\n")
    paths[1].write_text("image,x,y,w,h\n1,1,2,3,4\n")
    shown = run_well("match", *paths)
    assert "not used: scanner" in shown.stdout
    assert "1 by image (only A has category)" in shown.stdout
    quiet = run("match", *paths, "--quiet")
    assert (quiet.exit_code, quiet.stdout) == (0, "")
    assert quiet.stderr.splitlines() == [
        "fastiou: groups are 1 by image (only A has category)",
        "fastiou: a.csv: not used: scanner",
    ]


def test_near_duplicates_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(
        "id,image,x,y,w,h\n7,a,1,2,30,40\n8,a,1,2,30,41\n9,b,1,2,30,40\n7,a,90,2,30,40\n"
    )
    out = tmp_path / "pairs.csv"
    shown = run_well("match", path, "--threshold", 0.9, "--out", out)
    (row,) = rows_of(out)
    assert float(row.pop("values")) == pytest.approx(40 / 41)
    assert row == {"rows": "0", "cols": "1", "image": "a", "id_a": "7", "id_b": "8"}
    words = " ".join(shown.stdout.replace("│", " ").split())
    assert "pairs in all 3 " in words
    assert "in a pair 2 (50.0%)" in words
    refused = run("match", path, "--method", "topk")
    assert "--method topk takes two files" in refused.stderr


def test_near_duplicates_of_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    boxes = rng.random((200, 4)) * 50
    boxes[:, 2:] += boxes[:, :2] + 5
    path, out = tmp_path / "boxes.npy", tmp_path / "pairs.npz"
    np.save(path, boxes)
    shown = run_well("match", path, "--out", out)
    expected = fastiou.pairs(boxes)
    for name, column in zip(("rows", "cols", "values"), expected, strict=True):
        np.testing.assert_array_equal(columns_of(out)[name], column)
    assert f"{200 * 199 // 2:,}" in shown.stdout


def test_folders_of_yolo(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth", tmp_path / "found"
    truth.mkdir()
    found.mkdir()
    (truth / "a.txt").write_text("0 0.25 0.5 0.125 0.25\n1 0.5 0.5 0.5 0.5\n")
    (truth / "b.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (found / "a.txt").write_text("0 0.25 0.5 0.125 0.25 0.5\n0 0.25 0.5 0.125 0.26 0.25\n")
    (found / "b.txt").write_text("")
    out = tmp_path / "pairs.csv"
    shown = run_well("match", found, truth, "--method", "coco", "--out", out)
    (row,) = rows_of(out)
    assert (row["rows"], row["cols"], row["image"], row["category"]) == ("0", "0", "a", "0")
    assert "2 from found (yolo, cxcywh)" in shown.stdout
    run_well("nms", found, "--out", out)
    assert [row["kept"] for row in rows_of(out)] == ["0"]
    one = run_well("nms", found / "a.txt", "--out", out)
    assert "(yolo, cxcywh)" in one.stdout


def test_visdrone_keeps_its_boxes(tmp_path: Path) -> None:
    path = tmp_path / "found.txt"
    path.write_text(
        "684,8,273,116,1,4,-1,-1\n0,8,273,116,0.5,4,-1,-1\n684,9,273,116,0.25,4,-1,-1\n"
    )
    out = tmp_path / "kept.csv"
    shown = run_well("nms", path, "--out", out)
    assert "(visdrone, xywh)" in shown.stdout
    assert [(row["kept"], row["category"]) for row in rows_of(out)] == [("0", "4"), ("1", "4")]


@pytest.mark.parametrize(
    "content",
    [
        'image,note,x,y,w,h,score\n1,"two\nlines",1,2,30,40,0.5\n1,"a, b",1,2,30,41,0.9\n'
        "2,,1,2,3,4,1\n",
        "1,-1,1,2,30,40,0.5\r\n1,-1,1,2,30,41,0.9\r\n2,-1,1,2,30,40,1\r\n",
        '{"image": 1, "x": 1, "y": 2, "w": 30, "h": 40, "score": 0.5}\n'
        '{"image": 1, "x": 1, "y": 2, "w": 30, "h": 41, "score": 0.9, "note": "a, b"}\n'
        '{"image": 2, "x": 1, "y": 2, "w": 30, "h": 41, "score": 0.9}\n',
    ],
    ids=["csv", "mot", "jsonl"],
)
def test_rows_that_are_kept_as_they_are(tmp_path: Path, content: str) -> None:
    path, out = tmp_path / "found", tmp_path / "kept.txt"
    path.write_text(content, newline="")
    run_well("nms", path, "--out", out)
    rows = content.replace("\r\n", "\n")
    dropped = next(line for line in rows.split("\n") if "0.5" in line)
    if "two" in rows:
        dropped = '1,"two\nlines",1,2,30,40,0.5'
    assert out.read_text() == rows.replace(dropped + "\n", "")
    run_well("nms", out, "--out", tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_text() == out.read_text()
    refused = run("nms", path, "--out", tmp_path / "kept.json")
    assert "expected coco, for an output in .json" in refused.stderr


def test_a_layout_that_no_file_takes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tracks.txt"
    path.write_text("1,-1,10,20,110,120,1\n")
    for command in (("match", path, path), ("nms", path)):
        refused = run(*command, "--boxes", "xyxy")
        assert refused.exit_code == 2
        assert (
            "--boxes xyxy is for files that do not tell their layout: tracks.txt" in refused.stderr
        )
    np.save(tmp_path / "boxes.npy", [[10, 20, 120, 140]])
    run_well("match", tmp_path / "boxes.npy", path, "--boxes", "xyxy", "--by", "none")


def test_a_folder_and_names_with_endings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels by image, and a table with the names of image files."""
    monkeypatch.setenv("COLUMNS", "160")
    labels, table, out = tmp_path / "labels", tmp_path / "found.csv", tmp_path / "out.csv"
    labels.mkdir()
    for name in ("a", "b"):
        (labels / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    table.write_text("filename,class,cx,cy,w,h\nb.jpg,0,0.5,0.5,0.2,0.2\nc.JPEG,0,.5,.5,.2,.2\n")
    result = run_well("match", labels, table, "--out", out, "--quiet")
    assert out.read_text().splitlines() == ["rows,cols,values,image,category", "1,0,1.0,b,0"]
    assert "(names of images without their endings)" in result.stderr
    result = run_well("match", table, labels, "--out", out)
    assert out.read_text().splitlines()[1] == "0,1,1.0,b.jpg,0"
    assert "(names of images without their endings)" in result.stdout


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (["x/a.jpg"], ["y/a.jpg"]),  # cameras, say
        (["a.jpg", "a.png"], ["a"]),  # two images of one name
        (["a.v1"], ["a"]),
    ],
)
def test_what_else_names_of_images_differ_by_counts(
    tmp_path: Path, a: list[str], b: list[str]
) -> None:
    for name, images in (("a.csv", a), ("b.csv", b)):
        rows = "".join(f"{image},0,0,5,5\n" for image in images)
        (tmp_path / name).write_text(f"image,x1,y1,x2,y2\n{rows}")
    result = run("match", tmp_path / "a.csv", tmp_path / "b.csv")
    assert result.exit_code == 2
    assert "no image in common" in result.stderr
    one = (tmp_path / "a.csv").read_text() + f"{b[0]},0,0,5,5\n"
    (tmp_path / "a.csv").write_text(one)
    result = run_well("match", tmp_path / "a.csv", tmp_path / "b.csv")
    assert "endings" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("nms", "a.csv", "--by", "image", "--no-groups"),
            "--no-groups is --by none, and --by ima",
        ),
        (("match", "a.csv", "--by", "image", "--no-groups"), "--no-groups is --by none, and --by"),
        (("nms", "a.csv", "--sigma", "0.3"), "--sigma is for --method gaussian, not for hard"),
        (
            ("convert", "a.csv", "b.csv", "--image-size", "9,9"),
            "parts of the image: a.csv has pixels",
        ),
        (("match", "l.npy", "l.npy", "--boxes", "xywh"), "--boxes is for boxes, not for label"),
        (("match", "l.npy", "l.npy", "--image-size", "3,3"), "--image-size is for boxes, not for"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("image,x1,y1,x2,y2,score\n1,10,20,30,40,0.5\n")
    np.save("l.npy", np.eye(9, dtype=np.uint8))
    result = run(*arguments)
    assert (result.exit_code, words in result.stderr) == (2, True)
