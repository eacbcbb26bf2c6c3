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
from fastiou.formats.table import FORMATS, read_boxes, read_masks, recognized


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
        "10,20,110,120,0\n10,22,110,120,1\n",  # corners and a class of two
        "10,20,110,120,1\n",
        # a class between track and box; a camera in front of all; a class behind
        "1,1,0,100.5,200,30,80,0.9,-1,-1\n1,2,2,500,210,60.5,50,0.8,-1,-1\n",
        "1,1,0,100.5,200,30,80,-1,-1,-1\n1,2,2,500,210,60.5,50,-1,-1,-1\n",
        "3,1,7,100.5,200,30,80,-1,-1\n3,2,7,500,210,60.5,50,-1,-1\n",
        "1,1,100,200,30,40,2\n1,2,102,200,30,40,0\n",
        "x1,y1,x2,y2,x3,y3\n0,0,10,0,10,10\n",  # outlines of three points, and of five
        "x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n0,0,10,0,10,10,5,12,0,10\n",
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
    good = [f"{frame},1,90,20,30,40,1\n" for frame in range(302)]
    content = "".join(good[:300]) + "\n" + "400,1,10,20,-30,40,1\n" + good[300]
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
    with pytest.raises(FileError, match=r"0 and 1 alone, which could be classes or scores, .*xyxy"):
        read_boxes(path, format="npy")
    file = read_boxes(path, format="npy", told=True)
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


CIRCLE = [(np.cos(turn), np.sin(turn)) for turn in np.linspace(0, 6, 20)]

#: Rows that fit one format and could be another, and what is said of them.
DOUBTFUL = {
    "yolo, track": ("0 0.5 0.5 0.2 0.2 0.9 1\n", "class, cx, cy, w, h, score, id .*--format yolo,"),
    "yolo-seg, track": (
        "0 0.681 0.485 0.670 0.487 0.676 0.487 0.60 0.5 0.95 1\n",
        "outlines with a score and an id behind them, expected --format yolo-seg",
    ),
    "pose": ("0 .5 .5 .2 .2" + " .4 .4" * 17 + "\n", "yolo-pose"),
    "pose, landmarks": ("0 .5 .5 .2 .2 .45 .45 .55 .45 .5 .5 .46 .55 .54 .55\n", "yolo-pose"),
    "pose, visible": ("0 .5 .5 .2 .2" + " .45 .45 .9" * 4 + "\n", "yolo-pose"),
    "pose, score": (
        "0 .5 .5 .4 .8"
        + "".join(f" {0.4 + n % 5 / 25} {0.3 + n % 3 / 6} .9" for n in range(17))
        + " .8\n",
        "yolo-pose",
    ),
    "pose, two points": (
        "0 .5 .5 .2 .2 .45 .45 .55 .55\n",
        "oriented boxes, or class, cx, cy, w, h and keypoints .*yolo-obb, or rows of class, cx",
    ),
    "pose, one not seen": (
        "0 0.5 0.5 0.2 0.2 0.5 0.45 0 0 0.5 0.5\n0 0.3 0.5 0.2 0.2 0.3 0.45 0.31 0.52 0.25 0.5\n",
        "yolo-pose",
    ),
    "pose, seen by 0 and 1": (
        "0 0.5 0.5 0.2 0.2 0.5 0.5 1 0.5 0.5 1 0.5 0.5 1 0 0 0\n",
        "yolo-pose",
    ),
    "pose, corners": ("0 .5 .5 .2 .2 .4 .4 .6 .4 .6 .6 .4 .6\n", "yolo-pose"),
    "pose, corners seen": (
        "0 .5 .5 .2 .2 .4 .4 2 .6 .4 2 .6 .6 2 .4 .6 1\n",
        "17 numbers a row: .*keypoints .yolo-pose., expected rows of class, cx, cy, w, h for",
    ),
    "pose, all seen": ("0 .5 .5 .2 .2" + " .45 .45 2" * 17 + "\n", "56 numbers a row: .*yolo-pose"),
    "pose, one seen": ("0 .5 .5 .2 .2 .45 .45 2\n", "8 numbers a row: .*yolo-pose"),
    "yolo-obb, score": (
        "0 .1 .1 .2 .1 .2 .2 .1 .2 .75\n",
        "with scores behind them, expected --format yolo-obb",
    ),
    "yolo-obb, track": (
        "0 .1 .1 .2 .1 .2 .2 .1 .2 .75 12\n",
        "with scores and ids behind them, expected --format yolo-obb",
    ),
    "yolo-obb, track, or pose": (
        "9 .6 .5 .55 .7 .32 .63 .37 .44 .6 2\n",
        "scores and ids behind them, or class, cx, cy, w, h and keypoints .* --format yolo-obb,",
    ),
    "corners or visdrone-vid": (
        "1,0,118,239,208,180,1,7,0,1\n",
        "four corners and a class .*--format mot or visdrone-vid, --format dota",
    ),
    "yolo-seg, score": (
        "0 .1 .1 .2 .1 .2 .2 .75\n1 .1 .1 .2 .1 .2 .2 .1 .3 .1 .2 .5\n",
        "outlines with scores behind them, expected --format yolo-seg",
    ),
    "yolo-seg of a circle, score": (
        "0 " + " ".join(f"{0.5 + 0.1 * x:.3f} {0.5 + 0.1 * y:.3f}" for x, y in CIRCLE) + " .91\n",
        "outlines with scores behind them, or class, cx, .*, expected --format yolo-seg, or rows",
    ),
    "pose in the plane, score": (
        "0 .5 .5 .2 .4 .48 .35 .52 .35 .46 .5 .54 .5 .5 .69 .91\n",
        "outlines with scores behind them, or class, cx, cy, w, h and keypoints",
    ),
    "pose, one point outside": (
        "0 .5 .5 .2 .4 .48 .35 .52 .35 .46 .5 .54 .5 .35 .69\n",
        "yolo-pose",
    ),
    "frame, class and a box": ("12 0 .5 .5 .1 .1 .9\n", "three points, or frame, class or id"),
    "frame, id, x, y, w, h": ("1 1 .1 .1 .2 .2 .9\n", "three points, or frame, class or id"),
    "corners of tracks": (
        "1,1,100,50,160,120,.9\n1,2,110,60,175,130,.8\n2,1,300,80,360,150,.9\n2,2,500,90,560,170,1\n",
        "x1, y1, x2, y2 or x, y, w, h could stand behind frame and id, expected --format mot",
    ),
    "corners, class last": (
        "10 12 60 12 60 40 10 40 3 0\n20 30 80 30 80 70 20 70 1 0\n",
        "10 numbers a row: four corners and a class .*--format mot, --format dota .*yolo-obb",
    ),
    "corners, tilted": ("2753 2408 2861 2385 2888 2468 2805 2502 3 0\n", "four corners"),
    "corners, at the edge": ("10 12 60 12 60 40 0 40 3 0\n", "four corners"),
    "corners, no mark": ("10 12 60 12 60 40 10 40 3\n", "9 numbers a row: four corners"),
    "corners, class first": ("0 10 12 60 12 60 40 10 40\n", "9 numbers a row: four corners"),
    "corners, class and score": ("0 10 12 60 12 60 40 10 40 0.9\n", "four corners"),
    "frame, class": (
        "1,2,10,20,110,120,0.9\n1,2,12,20,110,120,0.8\n",
        ":2: id 2 again in frame 1, expected one box of each track in a frame, as mot has",
    ),
    "frame, class 0": (
        "1,0,10,20,110,120,0.9\n1,0,12,20,110,120,0.8\n",
        "frame, class, x1, y1, x2, y2, score",
    ),
    "batch, corners": (
        "0,258,41,606,285,1,0.93\n0,214,41,562,285,2,0.88\n",
        "image, x1, y1, x2, y2, class, score, or a track .*--format mot, or a header",
    ),
    "regions": ("1,0,593,43,174,190,0,0,0,0\n2,0,592,43,174,189,0,0,0,0\n", "visdrone-vid"),
    "occlusion": ("1,1,345,200,40,46,1,2,1\n2,1,346,200,40,46,1,1,1\n", "occlusion and class"),
    "occlusion of buses": ("1,1,345,200,40,46,1,1,3\n", "occlusion and class"),
    "anchors": ("10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198\n", "16 columns"),
    "corners of yolo": (
        "0 0.1 0.2 0.6 0.7\n1 0.3 0.4 0.9 0.8\n",
        "as class, x1, y1, x2, y2 none, expected a first line that names the columns .*yolo",
    ),
    "corners of yolo, score": ("0 0.1 0.2 0.6 0.7 0.9\n1 0.3 0.4 0.9 0.8 0.8\n", "x1, y1, x2"),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_could_be_another_format_is_not_guessed(tmp_path: Path, name: str) -> None:
    content, words = DOUBTFUL[name]
    for options in ({}, {"scores_if_there": True, "ids": True}):
        with pytest.raises(FileError, match=words):
            read(tmp_path, content, **options)


def test_the_format_decides_what_rows_are(tmp_path: Path) -> None:
    content = DOUBTFUL["yolo, track"][0]
    file = read(tmp_path, content, format="yolo", ids=True, scored=True)
    assert (file.boxes.tolist(), file.ids.tolist()) == ([[0.5, 0.5, 0.2, 0.2]], [1])
    assert file.scores.tolist() == [0.9]
    assert read(tmp_path, "0 0.5 0.5 0.2 0.2 0.9 12\n").format == "yolo"  # no coordinate
    assert read(tmp_path, content, format="yolo-seg").boxes.tolist() == [[0.2, 0.2, 0.9, 1]]
    content = DOUBTFUL["corners, class last"][0]
    assert read(tmp_path, content, format="dota").keys["category"].tolist() == ["3", "1"]
    content = DOUBTFUL["corners, class first"][0]
    assert read(tmp_path, content, format="yolo-obb").keys["category"].tolist() == [0]
    content = DOUBTFUL["frame, class"][0]
    assert len(read(tmp_path, content, format="mot")) == 2
    file = read(tmp_path, DOUBTFUL["yolo-obb, track"][0], format="yolo-obb", ids=True, scored=True)
    assert (file.ids.tolist(), file.scores.tolist()) == ([12], [0.75])


FOUR_POINTS = "0 .1 .1 .2 .1 .2 .2 .1 .2\n"


@pytest.mark.parametrize("first", ["a.txt", "z.txt"])
def test_four_points_are_outlines_where_other_files_tell(tmp_path: Path, first: str) -> None:
    (tmp_path / "m.txt").write_text("0 .1 .1 .2 .1 .2 .2\n")
    (tmp_path / first).write_text(FOUR_POINTS)
    assert read_boxes(tmp_path).format == "yolo-seg"
    (tmp_path / "m.txt").write_text(FOUR_POINTS)
    with pytest.raises(FileError, match="outlines of four points each, or oriented boxes"):
        read_boxes(tmp_path)


def test_four_points_are_one_region_as_masks(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(FOUR_POINTS)
    file = read_masks(path, image_size=(20, 10))
    assert [mask.tolist() for mask in file.masks[0]] == [[2, 1, 4, 1, 4, 2, 2, 2]]


SCORED_OUTLINES = "0 .1 .1 .2 .1 .2 .2 .75\n3 .4 .4 .7 .4 .7 .6 .3 .5 .2 .1 1\n"


def test_outlines_with_scores(tmp_path: Path) -> None:
    file = read(tmp_path, SCORED_OUTLINES, scored=True, format="yolo-seg")
    assert (file.scores.tolist(), file.keys["category"].tolist()) == ([0.75, 1], [0, 3])
    assert file.boxes.tolist() == [[0.1, 0.1, 0.2, 0.2], [0.2, 0.1, 0.7, 0.6]]
    assert read(tmp_path, SCORED_OUTLINES, format="yolo-seg").scores is None
    path = tmp_path / "a.txt"
    path.write_text("0 .1 .1 .2 .1 .2 .2 .1 .2 .5\n")
    masks = read_masks(path, image_size=(20, 10), scores_if_there=True, format="yolo-seg")
    assert [mask.tolist() for mask in masks.masks[0]] == [[2, 1, 4, 1, 4, 2, 2, 2]]
    assert masks.scores.tolist() == [0.5]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("0 .1 .1 .2 .1 .2 .2 .1 .3 .4 .5\n", ":3: .* and a score between 0 and 1, as in the"),
        ("0 .1 .1 .2 .1 .2 .2 1.5\n", ":3: .* and a score between 0 and 1, as in the first"),
    ],
)
def test_outlines_all_have_scores_or_none(tmp_path: Path, rows: str, words: str) -> None:
    with pytest.raises(FileError, match=words):
        read(tmp_path, SCORED_OUTLINES + rows, format="yolo-seg")
    with pytest.raises(FileError, match="has no scores, expected a format with scores"):
        read(tmp_path, "0 .1 .1 .2 .1 .2 .2\n", scored=True)


@pytest.mark.parametrize(
    ("content", "format_"),
    [
        ("0 0.1 0.1 0.5 0.1 0.3 0.5\n", "yolo-seg"),  # a triangle; as a box it leaves the image
        ("0 .2 .2 .3 .2 .31 .25 .3 .3 .2 .31 .19 .25\n", "yolo-seg"),
        ("0 .2 1 .3 1 .31 .8 .3 .7 .2 .8 .19 1\n", "yolo-seg"),  # at the edge of the image
        ("1,1,912,484,97,109,0,7,1\n", "mot"),
        ("1,1,199,813,140,268,1,1,0.83908\n", "mot"),
        ("1,2,900,20,100,200,1,1,1\n", "mot"),
        ("1,-1,794.2,47.5,71.2,174.8,67.5,-1,-1,-1\n", "mot"),
        ("1,1,10,20,30,40,1\n", "mot"),
        ("1,-1,10,20,30,40,1\n1,-1,11,20,30,40,1\n", "mot"),
        ("1,0,60,50,30,40,1\n1,0,61,20,30,40,1\n", "mot"),
        ("1,1,10,20,30,40,1,1,0\n2,1,12,20,30,40,1,1,0\n", "mot"),  # visibility 0
        ("1,1,10,20,30,40,1,1,1\n2,1,12,20,30,40,1,1,1\n1,2,9,9,9,9,1,2,1\n", "mot"),
        ("1,1,900,480,97,109,1,0,0,0\n2,1,901,480,97,109,1,0,0,0\n", "mot"),
        ("1,1,900,480,97,109,1,-1,-1,0\n", "mot"),
        ("".join(f"{n},1,{900 + n},480,97,109,1,30,30,0\n" for n in range(1, 9)), "mot"),
        ("1,1,900,480,97,109,1,23,1,0\n2,1,901,480,97,109,1,22,1,0\n", "mot"),
        ("0 .5 .5 .2 .2 .4 .4 .6 .6\n0 .1 .1 .2 .1 .2 .2\n", "yolo-seg"),  # no keypoints
        ("0 0.5 0.5 0.6 0.6\n", "yolo"),
        ("0 0.9 0.5 0.3 0.2\n", "yolo"),  # cut off at the edge
    ],
)
def test_what_is_plainly_one_format_is_read(tmp_path: Path, content: str, format_: str) -> None:
    assert read(tmp_path, content).format == format_


@pytest.mark.parametrize(
    "content",
    [
        '[{"filename": "a", "label": "cat", "bbox": [10, 20, 110, 120]}]',
        '[{"image": "a", "bbox": [10, 20, 110, 120]}]',
        '{"annotations": [{"image": "a", "label": "x", "bbox": [10, 20, 110, 120]}]}',
        '{"annotations": [{"file_name": "a.jpg", "bbox": [10, 20, 110, 120]}]}',
        '[{"image_id": 1, "category_id": 1, "bbox": [10, 20, 110, 120], "bbox_mode": 0}]',
    ],
)
def test_lists_outside_of_coco_have_any_layout(tmp_path: Path, content: str) -> None:
    with pytest.raises(FileError, match="--boxes xyxy, --boxes xywh or --boxes cxcywh"):
        read(tmp_path, content)
    for fmt in ("xyxy", "xywh"):
        file = read(tmp_path, content, fmt=fmt, told=True)
        assert (file.fmt, file.boxes.tolist()) == (fmt, [[10, 20, 110, 120]])
        assert "image" in file.keys
    content = content.replace('"bbox_mode": 0', '"bbox_mode": 1').replace('"image":', '"image_id":')
    if '"image_id": "a", "b' in content or "bbox_mode" in content:
        assert read(tmp_path, content).fmt == "xywh"


def test_zeros_and_ones_are_scores_where_the_layout_is_told(tmp_path: Path) -> None:
    rows = [[10, 20, 110, 120, 0], [10, 22, 110, 120, 1]]
    np.save(tmp_path / "boxes.npy", np.array(rows, np.float64))
    (tmp_path / "boxes.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    for name in ("boxes.npy", "boxes.csv"):
        for scored in (False, True):
            with pytest.raises(FileError, match="0 and 1 alone, which could be classes or scores"):
                read_boxes(tmp_path / name, scored=scored)
        file = read_boxes(tmp_path / name, scored=True, told=True)
        assert file.scores is not None
        assert file.scores.tolist() == [0, 1]


def test_points_beside_a_box_may_be_left_out_where_that_is_told(tmp_path: Path) -> None:
    content = "x1,y1,x2,y2,x3,y3,score\n0,0,10,8,10,10,0.5\n"
    with pytest.raises(FileError, match=r":1: columns of points as far as x3, y3 .*--boxes xyxy"):
        read(tmp_path, content)
    file = read(tmp_path, content, told=True)
    assert (file.boxes.tolist(), file.unused) == ([[0, 0, 10, 8]], ("x3", "y3"))


@pytest.mark.parametrize(
    "content",
    [
        *(content for _, content in SAMPLES.values() if " " in content and "," not in content),
        "0 .1 .1 .4 .1 .4 .5 .1 .5 .1 .3\n1 .5 .5 .9 .5 .7 .9\n",
    ],
)
def test_tabs_are_blanks(tmp_path: Path, content: str) -> None:
    plain, file = read(tmp_path, content), read(tmp_path, content.replace(" ", "\t"))
    assert (file.format, file.fmt) == (plain.format, plain.fmt)
    assert file.boxes.tolist() == plain.boxes.tolist()


def test_many_whole_scores_come_first(tmp_path: Path) -> None:
    rows = ["10,20,110,120,1.00\n"] * 300
    for last in ("0.98", "0.5"):
        assert len(read(tmp_path, "".join([*rows, f"10,20,110,120,{last}\n"]), scored=True)) == 301
    for last in ("1", "0", "2"):
        with pytest.raises(FileError, match="classes or scores"):
            read(tmp_path, "".join([*rows, f"10,20,110,120,{last}\n"]), scored=True)


def test_lines_of_any_length(tmp_path: Path) -> None:
    names = [f"feature_{n:05}" for n in range(9_000)]
    header, row = ",".join(["x1", "y1", "x2", "y2", *names]), ",".join(["1,2,3,4", *["0"] * 9_000])
    file = read(tmp_path, f"{header}\n{row}\n{row}\n")
    assert file.boxes.tolist() == [[1, 2, 3, 4]] * 2
    with pytest.raises(FileError, match="names no boxes"):
        read(tmp_path, header.replace("x1", "u"))


def test_tabs_and_blanks_part_the_same_numbers(tmp_path: Path) -> None:
    file = read(tmp_path, "0\t0.5 0.5 0.2 0.2\n1\t0.5 0.5\t0.2 0.2\n")
    assert (file.format, file.boxes.tolist()) == ("yolo", [[0.5, 0.5, 0.2, 0.2]] * 2)
