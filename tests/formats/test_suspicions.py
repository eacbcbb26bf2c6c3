"""Boxes that are read rightly and look wrong: that is said, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import run

import fastiou
from fastiou.formats.errors import FileError
from fastiou.formats.suspicions import scales_apart
from fastiou.formats.table import read_boxes

NORMALIZED = "image,x1,y1,x2,y2\na,0.1,0.1,0.5,0.5\n"
PIXELS = "image,x1,y1,x2,y2\na,10,10,50,50\n"


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("content", "others", "place"),
    [
        ("10,10,50,50\n\n100,100,20,20\n", "20,20,60,60\n" * 2, "is number 2 in line 3"),
        ("image,x,y,w,h\n1,2,3,-4,5\n", "", "is number 1 in line 2"),
        ("image,x1,y1,x2,y2\n1,9,9,3,3\n", "", "is number 1 in line 2"),
        ('{"x": 1, "y": 2, "w": 3, "h": 4}\n{"x": 1, "y": 2, "w": 3, "h": -4}\n', "", "in line 2"),
        (json.dumps([{"image_id": 1, "bbox": [1, 2, -3, 4]}]), "", "is number 1: 1, 2, -3, 4"),
    ],
)
@pytest.mark.parametrize("quiet", [True, False])
def test_negative_sizes_are_told(
    tmp_path: Path, content: str, others: str, place: str, quiet: bool
) -> None:
    path = write(tmp_path, "boxes", content + others)
    (note,) = read_boxes(path).notes
    assert note.startswith("1 box has a negative width or height")
    assert place in note
    result = run("match", path, path, *(["--quiet"] if quiet else []))
    assert result.exit_code == 0
    assert f"fastiou: {path}: {note}\n" in result.stderr


def test_places_are_those_in_the_file(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"image_id": 1, "bbox": [1, 2, -3, 4]}
    path = write(tmp_path, "boxes", json.dumps([{**entry, "bbox": None}, entry]))
    (note,) = read_boxes(path, skip_invalid=True).notes
    assert "is number 2:" in note


def test_normalized_boxes_and_pixels_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path, "a", NORMALIZED), write(tmp_path, "b", PIXELS)]
    for a, b in (paths, paths[::-1]):
        result = run("match", a, b, "--quiet")
        assert result.exit_code == 2
        assert "a lie between 0 and 1, as normalized by the image size" in result.stderr
        # What another metric or threshold can find is compared, and the suspicion told.
        for more in (["--metric", "iof"], ["--threshold", "0.01"], ["--method", "topk"]):
            result = run(
                "match", a, b, "--quiet", *more, *(["--threshold", "0"] * ("topk" in more))
            )
            assert result.exit_code == 0
            assert "--image-size WIDTH,HEIGHT" in result.stderr


def test_one_small_box_of_pixels_hides_nothing(tmp_path: Path) -> None:
    pixels = write(tmp_path, "b", PIXELS + "a,10,10,50,50\nc,1,1,5,5\n")
    result = run("match", write(tmp_path, "a", NORMALIZED), pixels, "--quiet")
    assert result.exit_code == 2
    # This one can be met by 0.5, and is compared.
    pixels = write(tmp_path, "b", PIXELS + "a,10,10,50,50\na,0.1,0.1,0.5,0.9\n")
    result = run("match", tmp_path / "a", pixels, "--quiet")
    assert result.exit_code == 0
    assert "lie between 0 and 1" in result.stderr


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (NORMALIZED, NORMALIZED),
        (PIXELS, PIXELS),
        (NORMALIZED, "image,x1,y1,x2,y2\na,0,0,2.5,2.5\n"),  # metres, say
        (PIXELS, "image,x1,y1,x2,y2\na,0,0,1,1\n"),
        (PIXELS, "image,x1,y1,x2,y2\na,nan,0.5,1,1\n"),
        (NORMALIZED, "image,x1,y1,x2,y2\n"),
    ],
)
def test_other_sizes_are_not_suspected(tmp_path: Path, a: str, b: str) -> None:
    files = read_boxes(write(tmp_path, "a", a)), read_boxes(write(tmp_path, "b", b))
    assert scales_apart(*files) is None


def test_rotated_boxes_have_scales_too(tmp_path: Path) -> None:
    for name, scale in (("a", 0.01), ("b", 1)):
        boxes = np.array([[50, 50, 20, 9, 30]]) * [scale, scale, scale, scale, 1]
        np.savez(tmp_path / f"{name}.npz", boxes=boxes, fmt="cxcywhr")
    files = read_boxes(tmp_path / "a.npz"), read_boxes(tmp_path / "b.npz")
    assert scales_apart(*files) is not None


def test_scales_of_tables_are_told_once(tmp_path: Path) -> None:
    a, b = (
        fastiou.read(write(tmp_path, name, text))
        for name, text in (("a", NORMALIZED), ("b", PIXELS))
    )
    integers = fastiou.BoxTable(b.boxes.astype(np.uint8), keys=b.keys)
    corners = fastiou.BoxTable(np.array([[10, 10, 50, 10, 50, 50, 10, 50]]), "xyxyxyxy")
    small = fastiou.BoxTable(corners.boxes / 100, "xyxyxyxy")
    words = "^the boxes of {} lie between 0 and 1, as .* those of {} do not: read.path, image_size="
    for call, names in (
        (lambda: fastiou.pairs(a, b), ("a", "b")),
        (lambda: fastiou.match(b, a), ("b", "a")),
        (lambda: fastiou.topk(a, integers), ("a", "b")),
        (lambda: fastiou.pairs(corners, small), ("b", "a")),
        (lambda: fastiou.Index(b).pairs(a), ("a", "the index")),
        (lambda: fastiou.Index(a).topk(b), ("the index", "a")),
        (lambda: fastiou.box_iou(a, b), ("boxes1", "boxes2")),
    ):
        with pytest.warns(UserWarning, match=words.format(*names)) as told:
            call()
        assert len(told) == 1
        assert told[0].filename == __file__
    huge = fastiou.BoxTable.from_frame({"x": [-1e308], "y": [0], "w": [1.5e308], "h": [np.inf]})
    with pytest.raises(ValueError, match="infinite coordinate in row 0"):
        fastiou.pairs(a.by(), huge)
    # What is compared with itself has one unit, whatever it is, and so have others here.
    many = fastiou.BoxTable(np.vstack([np.full((300, 4), 0.5), [[10, 10, 50, 50]]]))
    for sets in ((a, a), (a,), (b, b), (a, b.boxes), (many, b.by()), (a[:0], b), (a, b[:0])):
        keyed = [one.by() if isinstance(one, fastiou.BoxTable) else one for one in sets]
        fastiou.pairs(*keyed)


def test_what_is_told_of_files_is_a_warning_in_python(tmp_path: Path) -> None:
    path = write(tmp_path, "boxes", "image,x,y,w,h\n1,2,3,-4,5\n")
    with pytest.warns(UserWarning, match="boxes: 1 box has a negative width or height"):
        fastiou.read(path)
    labels = write(tmp_path, "labels", "1 0.25 0.5 0.125 0.25\n")
    assert fastiou.read(labels, image_size=(400, 200)).boxes.tolist() == [[100, 100, 50, 50]]
    outlines = write(tmp_path, "outlines", "1 0.25 0.5 0.125 0.25 0.5 0.75\n")
    with pytest.raises(ValueError, match=r"expected image_size=\(width, height\)"):
        fastiou.read(outlines, geometry="mask")
    assert fastiou.read(outlines, geometry="mask", image_size=(40, 20)).masks.shape == (1, 20, 40)
    with pytest.raises(ValueError, match="yolo or yolo-seg or yolo-obb or labelme"):
        fastiou.read(write(tmp_path, "pixels", PIXELS), image_size=(400, 200))
    for wrong in (5, (1, 2, 3), (0, 4), (1.5, 2)):
        with pytest.raises((ValueError, TypeError), match="image_size"):
            fastiou.read(labels, image_size=wrong)


def test_frames_are_held_to_the_same(tmp_path: Path) -> None:
    angles: dict[str, Any] = {"cx": [1, 1], "cy": [1, 1], "w": [2, 2], "h": [2, 2]}
    frame = {**angles, "theta": [1.5, 0.25]}
    with pytest.raises(ValueError, match="fmt='cxcywhr' or fmt='cxcywhr-rad'"):
        fastiou.BoxTable.from_frame(frame)
    assert fastiou.BoxTable.from_frame(frame, fmt="cxcywhr-rad").fmt == "cxcywhr-rad"
    assert fastiou.BoxTable.from_frame({**angles, "theta_rad": [1.5, 0]}).fmt == "cxcywhr-rad"
    boxes = [[1, 2, 3, 4], [5, 6, 7, 8]]
    listed = {"image": [1, 2], "bbox": boxes}
    with pytest.raises(ValueError, match="bbox does not tell its layout, expected fmt='xyxy', fmt"):
        fastiou.BoxTable.from_frame(listed)
    table = fastiou.BoxTable.from_frame(listed, fmt="xyxy")
    assert (table.fmt, table.boxes.tolist()) == ("xyxy", boxes)
    table = fastiou.BoxTable.from_frame({"image_id": [1, 2], "category_id": [1, 1], "bbox": boxes})
    assert (table.fmt, table.boxes.tolist()) == ("xywh", boxes)
    with pytest.raises(ValueError, match="bbox"):
        fastiou.BoxTable.from_frame({"bbox": [[1, 2, 3], [4, 5, 6]]}, fmt="xyxy")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("image,x1,y1,x2,y2\na,1,2,3,4\na,1,2,nan,4\n", "is number 2 in line 3"),
        ("1,2,3,4\n1,nan,3,4\nnan,2,3,4\n", "is number 2 in line 2"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [10, 10, NaN, 20]}]', "is number 1"),
    ],
)
def test_boxes_without_a_number_are_counted(tmp_path: Path, content: str, place: str) -> None:
    path = write(tmp_path, "a", content)
    some = "2 boxes have" if content.count("nan") > 1 else "1 box has"
    told = f"{some} NaN, and no overlap with any other: the first {place}"
    assert read_boxes(path).notes == (told,)
    assert told in run("match", path, path, "--quiet").stderr
    with pytest.warns(UserWarning, match="NaN, and no overlap"):
        fastiou.read(path)


def test_comments_among_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "a", "frame,x1,y1,x2,y2\n1,0,0,9,9\n#1,0,0,9,8\n2,0,0,9,9\n")
    with pytest.raises(FileError, match=r"a:3: column 1 \(frame\) holds '#1', a comment"):
        read_boxes(path)
    path = write(tmp_path, "a", "image,x1,y1,x2,y2\na,0,0,9,9\n#b,0,0,9,8\n")
    told = "1 row that begins with # taken along: column 1 (image) holds '#b'"
    assert read_boxes(path).notes == (told,)
    assert told in run("match", path, "--quiet").stderr
