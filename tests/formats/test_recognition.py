"""What a file is taken for: each format is told from all others, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from files_for_tests import (
    SAMPLES,
    read,
)

from fastiou.formats.content import Wanted
from fastiou.formats.errors import FileError
from fastiou.formats.table import FORMATS, read_boxes, recognized


@pytest.mark.parametrize("name", SAMPLES)
def test_each_is_told_from_every_other(tmp_path: Path, name: str) -> None:
    format_, content = SAMPLES[name]
    path = tmp_path / "file"
    path.write_text(content)
    fits = [row.name for row in FORMATS.values() if row.fits(content.encode(), Wanted())]
    assert fits == [format_]
    row = recognized(path, content.encode(), Wanted(), "box")
    assert row is not None
    assert row.name == format_
    file = read_boxes(path)
    assert file.format == format_
    assert len(file) == content.count("\n") - ("x1" in content) or format_ == "coco"


def test_what_could_be_several_formats_is_refused(tmp_path: Path) -> None:
    content = SAMPLES["yolo"][1]
    with pytest.raises(FileError, match=r"this could be csv or yolo, .*--format csv or yolo"):
        read(tmp_path, content, fmt="xywh", told=True)
    for name in ("yolo", "csv"):
        assert read(tmp_path, content, fmt="xywh", told=True, format=name).format == name


@pytest.mark.parametrize(
    "content",
    [
        "1,1,912,484,1009,593\n2,1,900,480,1000,590\n",  # frame, id and two corners
        "10,20,110,120,0.9,3\n30,40,60,70,0.5,1\n",  # two corners, score and class
        "684,8,273,116,95,4,-1,-1\n",  # scores in percent
        "0,0.5,0.5,0.9,0.9\n",  # labels of YOLO with commas
        "100,100,20,20,car\n",
        "1,10,20,110,120\n2,10,20,110,120\n",
        "0 .5 .5 .2 .2\n0 320 240 50 50\n",
        "3 .5 .5 .2 .2\n3 .5 .5 0 .1\n",
        "<images><image name='a'/></images>",
    ],
)
@pytest.mark.parametrize("scored", [False, True])
def test_what_is_no_format_is_not_taken_for_one(tmp_path: Path, content: str, scored: bool) -> None:
    with pytest.raises(FileError):
        read(tmp_path, content, scored=scored)
    np.save(tmp_path / "boxes.npy", [[0, 0.5, 0.5, 0.9, 0.9]])
    with pytest.raises(FileError, match="as YOLO has"):
        read_boxes(tmp_path / "boxes.npy", scored=scored)


def test_corners_that_are_no_corners_are_not_guessed(tmp_path: Path) -> None:
    content = "50,60,20,10\n100,80,30,20\n"
    with pytest.raises(FileError, match="--boxes"):
        read(tmp_path, content)
    assert read(tmp_path, content, fmt="xywh", told=True).fmt == "xywh"
    assert read(tmp_path, content, fmt="xyxy", told=True).fmt == "xyxy"
    np.save(tmp_path / "boxes.npy", [[50, 60, 20, 10], [100, 80, 30, 20]])
    with pytest.raises(FileError, match="--boxes"):
        read_boxes(tmp_path / "boxes.npy")
    assert read_boxes(tmp_path / "boxes.npy", fmt="xywh", told=True).fmt == "xywh"


def test_a_fifth_number_is_a_score_only_if_it_can_be(tmp_path: Path) -> None:
    boxes = np.array([[0, 0, 4, 4, 0.5], [1, 1, 5, 5, 0.25]])
    np.save(tmp_path / "boxes.npy", boxes)
    file = read_boxes(tmp_path / "boxes.npy")
    np.testing.assert_array_equal(file.boxes, boxes[:, :4])
    assert file.unused == ("the last column (scores)",)
    assert read(tmp_path, "0,0,4,4,0.5\n").unused == file.unused
    boxes[0, 4] = 30  # degrees
    np.save(tmp_path / "boxes.npy", boxes)
    with pytest.raises(FileError, match="shape"):
        read_boxes(tmp_path / "boxes.npy")
    with pytest.raises(FileError, match="5 columns of numbers"):
        read(tmp_path, "0,0,4,4,30\n")


def test_sizes_of_later_rows_are_checked_and_the_line_is_told(tmp_path: Path) -> None:
    good = "1,1,10,20,30,40,1\n"
    content = good * 300 + "\n" + "2,1,10,20,-30,40,1\n" + good
    with pytest.raises(FileError, match=r":302: box 301 is 10, 20, -30, 40, .*--format"):
        read(tmp_path, content)
    assert len(read(tmp_path, content, format="mot")) == 302


def test_integers_that_could_be_boxes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "boxes.npy"
    for rows in (
        [[0, 0, 10, 10, 1], [5, 5, 20, 30, 0]],
        [[50, 60, 10, 20, 3]],
        [[0, 0, 9, 9, 1, 2]],
    ):
        for kind in (np.int64, np.uint8, np.int32):
            np.save(path, np.array(rows, kind))
            data = path.read_bytes()
            with pytest.raises(FileError, match=r"could be npy or labels, .*--format npy or"):
                recognized(path, data, Wanted(), "box", "labels")
    np.save(path, np.array([[0, 0, 10, 10, 1]]))
    file = read_boxes(path, format="npy")
    assert (file.boxes.tolist(), file.unused) == ([[0, 0, 10, 10]], ("the last column (scores)",))
    for labels in ([[0, 1, 1, 0, 2]] * 3, [[7, 7, 0, 0, 0]], np.ones((9, 30), int)):
        np.save(path, labels)
        row = recognized(path, path.read_bytes(), Wanted(), "box", "labels")
        assert row is not None
        assert row.name == "labels"


def test_what_is_not_of_coco_cannot_be_left_out(tmp_path: Path) -> None:
    for content in ("[[0, 0, 9, 9]]", '[{"image": "a", "x1": 1}]'):
        with pytest.raises(FileError) as caught:
            read(tmp_path, content)
        assert "--skip-invalid" not in str(caught.value)


@pytest.mark.parametrize("between", [",", ";", " "])
@pytest.mark.parametrize("row", ["1,1,912,484,1009,593", "1,1,10,10,5,5", "10,20,110,120,2,3"])
def test_six_numbers_of_two_meanings_are_told_so(tmp_path: Path, between: str, row: str) -> None:
    text = row.replace(",", between) + "\n"
    words = r"six numbers a row: frame, id, x, y, w, h \(MOT\), or two corners .*--format mot"
    with pytest.raises(FileError, match=words):
        read(tmp_path, text)
    assert read(tmp_path, text, format="mot").format == "mot"
