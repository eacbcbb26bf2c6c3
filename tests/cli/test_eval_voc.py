"""The commands that score detectors by the rules of PASCAL VOC and Open Images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_for_tests import run, run_well, words_of

import fastiou

OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"""

CSV = "image,class,score,x1,y1,x2,y2\n"


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    folder = tmp_path / "Annotations"
    folder.mkdir()
    for image, objects in {
        "000001": [("cat", 0, (10, 10, 50, 50)), ("dog", 0, (60, 60, 90, 90))],
        "000002": [("cat", 1, (10, 10, 50, 50))],
    }.items():
        texts = [OBJECT.format(name=name, difficult=hard, box=box) for name, hard, box in objects]
        xml = f"<annotation><filename>{image}.jpg</filename>{''.join(texts)}</annotation>"
        (folder / f"{image}.xml").write_text(xml)
    return folder


def test_difficult_objects_are_ignored_and_names_of_images_compared(
    truth: Path, tmp_path: Path
) -> None:
    found = tmp_path / "found.csv"
    found.write_text(
        CSV + "000001.jpg,cat,0.9,10,10,50,50\n000002.jpg,cat,0.95,10,10,50,50\n"
        "000001.jpg,dog,0.4,60,60,90,92\n000003.jpg,dog,0.8,1,1,9,9\n"
    )
    words = words_of(run_well("eval", "voc", truth, found, "--per-class"))
    assert "AP50 0.7500" in words  # of the cat 1, and of the dog 0.5
    assert "images 3" in words
    assert "cat 1.0000 1 2" in " ".join(words.replace("┃", " ").split())
    words = words_of(run_well("eval", "voc", truth, found, "--iou", "0.99", "--year", "2007"))
    assert "AP99 0.5000" in words


@pytest.mark.parametrize("command", ["voc", "openimages"])
def test_detections_of_other_images_are_told(truth: Path, tmp_path: Path, command: str) -> None:
    found = tmp_path / "found.csv"
    (truth / "000003.xml").write_text("<annotation><filename>000003.jpg</filename></annotation>")
    rows = "".join(f"00000{number}.jpg,cat,0.9,10,10,50,50\n" for number in range(1, 6))
    found.write_text(CSV + rows)
    shown = run_well("eval", command, truth, found, "--quiet")
    words = f"{found}: detections in 2 images that Annotations does not list, as in 000004.jpg"
    assert f"fastiou: {words}\n" in shown.stderr


@pytest.mark.parametrize("nothing", ["", "[]"])
def test_a_detector_may_find_nothing(truth: Path, tmp_path: Path, nothing: str) -> None:
    found = tmp_path / "found.csv"
    found.write_text(nothing or CSV)
    assert "AP50 0.0000" in words_of(run_well("eval", "voc", truth, found))
    scored = run_well("eval", "voc", truth, found, "--by", "image", "--quiet")
    assert "category" not in scored.stderr  # which a file without boxes would have alone


def test_corners_include_the_last_pixel(truth: Path, tmp_path: Path) -> None:
    """Of 41 × 41 pixels 41 × 21 are 0.512; without the last pixel they would be half."""
    found = tmp_path / "found.csv"
    found.write_text(CSV + "000001,cat,0.9,10,10,50,30\n000001,dog,0.9,60,60,90,90\n")
    assert "AP51 1.0000" in words_of(run_well("eval", "voc", truth, found, "--iou", "0.51"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,class,x1,y1,x2,y2\n000001,cat,1,1,2,2\n", "no scores"),
        (
            "score,x1,y1,x2,y2\n0.5,1,1,2,2\n",
            "nothing tells the image and the category of boxes; keys: none",
        ),
        (CSV + "a,cat,0.5,1,1,2,2\n", "no image in common"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    truth: Path, tmp_path: Path, text: str, message: str
) -> None:
    found = tmp_path / "found.csv"
    found.write_text(text)
    result = run("eval", "voc", truth, found)
    assert result.exit_code == 2
    assert message in result.stderr
    assert run("eval", "voc", truth, tmp_path / "none").exit_code == 2
    assert "--iou must be" in run("eval", "voc", truth, found, "--iou", "0").stderr


def test_boxes_that_are_parts_of_images_need_their_size(truth: Path, tmp_path: Path) -> None:
    """The last pixel of a part of an image would be a whole image."""
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "000001.txt").write_text("0 0.3 0.3 0.4 0.4 0.9\n")
    (labels / "classes.txt").write_text("cat\n")
    result = run("eval", "voc", truth, labels)
    assert result.exit_code == 2
    assert "pass --image-size WIDTH,HEIGHT" in result.stderr
    words = words_of(run_well("eval", "voc", truth, labels, "--image-size", "100,100"))
    assert "AP50 0.5000" in words
    found = tmp_path / "found.csv"
    found.write_text(CSV + "".join(f"000001,cat,0.9,0.1,0.1,0.{i},0.5\n" for i in range(2, 9)))
    result = run("eval", "voc", truth, found)
    assert result.exit_code == 2
    assert "--image-size" in result.stderr


# ---- Open Images -------------------------------------------------------------------------------

GROUPED = """ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf
a,/m/1,0.1,0.3,0.1,0.3,0
a,/m/1,0.5,0.9,0.5,0.9,{group}
b,/m/2,0.2,0.4,0.2,0.4,0
"""
IN_GROUP = """ImageID,LabelName,Score,XMin,XMax,YMin,YMax
a,/m/1,0.9,0.6,0.7,0.6,0.7
a,/m/1,0.8,0.7,0.8,0.7,0.8
a,/m/1,0.7,0.1,0.3,0.1,0.3
b,/m/2,0.5,0.2,0.4,0.2,0.4
"""


def test_boxes_in_a_group_of_objects_count_once(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text(GROUPED.format(group=1))
    found.write_text(IN_GROUP)
    assert "AP50 1.0000" in words_of(run_well("eval", "openimages", truth, found))
    truth.write_text(GROUPED.format(group=0))
    # Of the first class one of two is found, as the third of three: 1/2 · 1/3.
    words = words_of(run_well("eval", "openimages", truth, found, "--per-class"))
    assert "AP50 0.5833" in words
    truth.write_text(GROUPED.format(group=2))
    result = run("eval", "openimages", truth, found)
    assert result.exit_code == 2
    assert "IsGroupOf: 2, expected 0 or 1" in " ".join(result.stderr.split())


def test_images_of_two_videos_are_two(tmp_path: Path) -> None:
    head = "video,frame,class,x1,y1,x2,y2"
    boxes = ("0,0,9,9", "50,50,90,90")
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text(f"{head}\nv1,1,car,{boxes[0]}\nv2,1,car,{boxes[1]}\n")
    for order, score in ((boxes, 1), (boxes[::-1], 0)):
        rows = "".join(f"v{n},1,car,{box},0.9\n" for n, box in enumerate(order, 1))
        found.write_text(f"{head},score\n{rows}")
        for protocol in ("voc", "openimages"):
            words = words_of(run_well("eval", protocol, truth, found))
            assert f"AP50 {score:.4f}" in words
            assert "images 2 " in words
        evaluator = fastiou.DetectionEvaluator("voc")
        evaluator.update(fastiou.read(found), fastiou.read(truth))
        assert evaluator.compute()["AP50"] == score
    found.write_text(found.read_text().replace("video,", "").replace("v1,", "").replace("v2,", ""))
    result = run("eval", "voc", truth, found)
    assert (result.exit_code, "only truth.csv tells videos" in result.stderr) == (2, True)
    with pytest.raises(ValueError, match="only target has the key video, so nothing tells which"):
        evaluator.update(fastiou.read(found), fastiou.read(truth))


def test_numbers_of_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    boxes = np.array([[0, 0, 9, 9]] * 2, np.float16)
    np.savez(path, boxes=boxes, scores=np.array([0.9, 0.8], np.float16), labels=np.array([0, 1]))
    assert len(fastiou.read(path)) == 2


def test_what_match_tells_of_files_is_told_of_scored_ones(tmp_path: Path) -> None:
    """Names that are nearly alike, classes of one file alone, columns that are not used."""
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text("image,class,x1,y1,x2,y2\na.jpg,Bus,0,0,9,9\nb,car,0,0,9,9\n")
    found.write_text(CSV + "a,bus,0.9,0,0,9,9\nb,car,0.8,0,0,9,9\n")
    found.write_text(found.read_text().replace("\n", ",7\n").replace("y2,7", "y2,asset"))
    notes = run_well("match", truth, found, "--quiet").stderr
    scored = run_well("eval", "voc", truth, found, "--quiet").stderr
    assert scored == notes.replace("only in A", "only in GT").replace("only in B", "only in DT")
    for words in ("a.jpg and a", "Bus only in GT and bus only in DT", "not used: asset"):
        assert words in scored
    found.write_text(CSV + "a.jpg,car,0.9,0,0,9,9\nb,Bus,0.8,0,0,9,9\n")
    notes = run_well("eval", "openimages", truth, found, "--quiet").stderr
    assert "no image and category in common, taken together" in notes


def test_options_that_another_command_has_are_told_with_it(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text("image,class,x1,y1,x2,y2\na,car,0,0,9,9\n")
    for rows, option in (
        ("1,2,30,40,7\n3,4,50,60,8\n", "--boxes"),
        ("1,2,30,40,1,7\n3,4,50,60,1,8\n", "--format"),
        ("image,class,score,cx,cy,w,h,angle\na,car,0.5,1,2,3,4,0.5\n", "--boxes"),
    ):
        found.write_text(rows)
        refused = " ".join(run("eval", "voc", truth, found).stderr.split())
        assert refused.endswith(f"; fastiou convert has {option}")
    content = {"annotations": [{"image_id": 1, "category_id": 1, "id": 1, "bbox": [1, 2, 3, 4, 5]}]}
    truth.write_text(json.dumps(content))
    found.write_text("[]")
    refused = " ".join(run("eval", "coco", truth, found).stderr.split())
    assert "[x, y, width, height]" in refused
    assert "--boxes" not in refused


def test_what_tells_images_and_classes_can_be_asked_for(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text("asset,finding,x1,y1,x2,y2\np,car,0,0,9,9\nq,bus,50,50,90,90\n")
    found.write_text(CSV + "q,bus,0.9,50,50,90,90\np,bus,0.8,0,0,9,9\n")
    refused = run("eval", "voc", truth, found)
    assert refused.exit_code == 2
    assert "--by image=COLUMN or category=COLUMN" in " ".join(refused.stderr.split())
    by = "image=asset,category=finding"
    assert "AP50 0.5000" in words_of(run_well("eval", "voc", truth, found, "--by", by))
    for by in ("image=asset", "none"):  # without classes, and without images, too
        assert "AP50 1.0000" in words_of(run_well("eval", "voc", truth, found, "--by", by))
    by = "image=asset,category=findings"
    refused = run("eval", "voc", truth, found, "--by", by)
    assert "truth.csv:1: no column or key 'category=findings'" in " ".join(refused.stderr.split())
    truth.write_text("image,class,x1,y1,x2,y2\np,car,0,0,9,9\n")
    found.write_text(CSV + "p,van,0.9,0,0,9,9\n")
    message = run("eval", "voc", truth, found).stderr
    assert message == run("match", truth, found).stderr
    assert "(--by image compares without regard to it)" in message
    for option in (("--by", "image"), ("--class-agnostic",)):
        assert "AP50 1.0000" in words_of(run_well("eval", "voc", truth, found, *option))


def test_equal_scores_of_any_class_are_put_in_order_as_in_python(tmp_path: Path) -> None:
    """Of equal scores, those of the lower class come first."""
    truth, found = tmp_path / "t.csv", tmp_path / "f.csv"
    truth.write_text("image,class,x1,y1,x2,y2\na,1,0,0,9,9\nb,2,0,0,9,9\n")
    rows = ["a,5,0.5,50,50,60,60", "a,4,0.5,0,0,9,9", "b,3,0.5,50,50,60,60", "b,1,0.5,0,0,9,9"]
    found.write_text("image,class,score,x1,y1,x2,y2\n" + "\n".join(rows) + "\n")
    words = words_of(run_well("eval", "voc", truth, found, "--class-agnostic"))
    numbers = [[*map(float, row.split(",")[1:])] for row in rows]
    preds = {
        "boxes": np.array(numbers)[:, 2:], "scores": np.array(numbers)[:, 1],
        "labels": np.array(numbers)[:, 0].astype(int), "image_ids": [0, 0, 1, 1],
    }  # fmt: skip
    target = {"boxes": [[0, 0, 9, 9]] * 2, "labels": [1, 2], "image_ids": [0, 1]}
    for each in (preds, target):
        each["boxes"] = np.array(each["boxes"], np.float64)
    expected = fastiou.average_precision(
        preds, target, protocol="voc", class_agnostic=True, iou_thresholds=[0.5]
    )
    assert expected["AP50"] == pytest.approx(5 / 6)
    assert "AP50 0.8333" in words
