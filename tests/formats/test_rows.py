"""Rows without a header: MOT, VisDrone, YOLO, KITTI and what they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from files_for_tests import (
    SAMPLES,
    read,
)

from fastiou.formats.errors import FileError
from fastiou.formats.table import read_boxes


def test_what_formats_of_rows_hold(tmp_path: Path) -> None:
    file = read(tmp_path, SAMPLES["visdrone, found"][1], scored=True)
    np.testing.assert_array_equal(file.boxes, [[684, 8, 273, 116], [0, 0, 30, 40]])
    np.testing.assert_array_equal(file.scores, [1, 0.25])
    np.testing.assert_array_equal(file.keys["category"], [4, 1])
    file = read(tmp_path, SAMPLES["yolo, scores"][1], scored=True)
    assert file.fmt == "cxcywh"
    np.testing.assert_array_equal(file.boxes[0], [0.25, 0.5, 0.125, 0.25])
    np.testing.assert_array_equal(file.scores, [0.9, 0.75])
    np.testing.assert_array_equal(file.keys["category"], [1, 0])
    file = read(tmp_path, SAMPLES["kitti"][1])
    np.testing.assert_array_equal(file.boxes, [[10, 20, 110, 220], [0, 0, 30, 40]])
    assert file.keys["category"].tolist() == ["Car", "DontCare"]
    file = read(tmp_path, SAMPLES["kitti-tracking"][1])
    assert file.keys["image"].tolist() == [0]
    file = read(tmp_path, SAMPLES["visdrone-vid"][1])
    assert file.keys["image"].tolist() == [1, 2]
    assert file.keys["category"].tolist() == [4, 1]


def test_outlines_of_yolo_are_read_as_their_bounds(tmp_path: Path) -> None:
    content = "2 0.1 0.5 0.3 0.1 0.2 0.9\n0 0 0 1 0 1 1 0 1\n"
    file = read(tmp_path, content)
    assert (file.format, file.unused) == ("yolo-seg", ("outlines",))
    np.testing.assert_array_equal(file.boxes, [[0.1, 0.1, 0.3, 0.9], [0, 0, 1, 1]])
    four = "0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n"
    np.testing.assert_array_equal(
        read(tmp_path, four, format="yolo-seg").boxes, [[0.1, 0.1, 0.2, 0.2]]
    )


@pytest.mark.parametrize("rows", [1, 250])
@pytest.mark.parametrize("between", [",", " "])
def test_videos_of_visdrone_may_begin_with_regions_to_be_ignored(
    tmp_path: Path, rows: int, between: str
) -> None:
    """Files are sorted by track: there may be more of these than are looked at."""
    ignored = [f"{frame},0,593,43,174,190,0,0,0,0" for frame in range(1, rows + 1)]
    objects = ["1,1,10,20,100,200,1,4,0,0", "1,2,10,20,100,200,1,5,0,1"]
    text = "\n".join([*ignored, *objects]).replace(",", between)
    file = read(tmp_path, text)
    assert file.format == "visdrone-vid"
    assert file.keys["category"].tolist() == [0] * rows + [4, 5]
    with pytest.raises(FileError, match="this could be mot or visdrone-vid, expected --format mot"):
        read(tmp_path, "\n".join(ignored))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0 1.02 0.4 0.2 0.2\n", 1),
        ("0 0.5 0.4 1.02 0.9\n", 1),
        ("0 0.5 0.4 0 0.2\n", 1),
        ("3 -0.01 0.4 0.2 0.2 0.9\n", 1),
        ("1 0.5 0.4 0.2 0.2\n0 0.5 1.02 0.2 0.2\n", 2),
        ("1 1.5 0.4 0.2 0.2\n" * 2 + "0 0.5 7 0.2 0.2\n", 1),
    ],
)
def test_numbers_of_yolo_out_of_the_image_are_refused_as_such(
    tmp_path: Path, text: str, line: int
) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(FileError) as raised:
        read_boxes(path)
    message = str(raised.value)
    assert f"{path}:{line}: box {line} is " in message
    assert message.endswith(
        "expected numbers between 0 and 1, and a size, as yolo has (--format yolo takes it)"
    )
    assert "--boxes" not in message
    for fmt in ("xywh", "cxcywh"):
        with pytest.raises(FileError, match=r"this could be .*yolo|as yolo has"):
            read_boxes(path, fmt=fmt, told=True)
    file = read_boxes(path, format="yolo")
    beyond = "1 box has" if " 7 " in text else "3 boxes have"
    words = f"{beyond} numbers that are no parts of the image, between 0 and 1: taken along"
    assert [note for note in file.notes if "parts of the image" in note] == [words] * (
        " 7 " in text
    )


@pytest.mark.parametrize("row", [["0.96 0.79 0.37 0.07 0.20", "0.2 0.79 0.37 0.07 0.20"]])
def test_yolo_with_the_score_second_is_refused(tmp_path: Path, row: list[str]) -> None:
    """Where it can be told: as if the score stood last, a box would reach out of the image."""
    text = "".join(f"{place} {numbers}\n" for place, numbers in enumerate(row))
    with pytest.raises(FileError, match=r"(?s)score second none does.*class score cx cy w h"):
        read(tmp_path, text, scored=True)
    named = read(tmp_path, "class score cx cy w h\n" + text, scored=True)
    assert named.fmt == "cxcywh"
    np.testing.assert_allclose(named.boxes[0], [0.79, 0.37, 0.07, 0.20])
    assert named.scores is not None
    assert named.scores.tolist() == [0.96, 0.2]
    assert read(tmp_path, text, format="yolo", scored=True).scores.tolist() == [0.2, 0.2]


@pytest.mark.parametrize(
    "numbers",
    [
        "0.5 0.5 1 1 0.9",  # the whole image
        "0.9 0.5 0.2 0.2 0.9",  # at its edge
        "0.905 0.5 0.2 0.2 0.9",  # rounded
        "0.95 0.5 0.2 0.9 0.8",  # out of it, as it would be in the other order
    ],
)
def test_yolo_with_the_score_last_is_read(tmp_path: Path, numbers: str) -> None:
    file = read(tmp_path, f"1 {numbers}\n", scored=True)
    assert file.format == "yolo"
    assert file.boxes[0].tolist() == [float(number) for number in numbers.split()[:4]]


@pytest.mark.parametrize(
    ("format_", "rows"),
    [
        ("yolo", ["0 0.5 0.5 0.1 0.1 1", "0 0.5 0.5 0.1 0.1 2"]),  # the track
        ("yolo", ["0 0.5 0.5 0.1 0.1 0.5", "0 0.5 0.5 0.1 0.1 -2"]),
        ("visdrone", ["10,20,100,200,1,4,0,0", "10,20,100,200,90,4,0,0"]),
    ],
)
def test_later_scores_are_between_0_and_1(tmp_path: Path, format_: str, rows: list[str]) -> None:
    text = "\n".join(rows) + "\n"
    with pytest.raises(FileError, match=r":2: the score of box 2 is .*between 0 and 1"):
        read(tmp_path, text, scored=True)
    assert len(read(tmp_path, text, scored=True, format=format_)) == 2
    assert read(tmp_path, text).format == format_


TRUTH_OF_MOT = "1,1,10,20,30,40,1,1,0.5\n1,2,10,20,30,40,0,7,1\n"


def test_what_mot_has_behind_its_columns(tmp_path: Path) -> None:
    file = read(tmp_path, TRUTH_OF_MOT)
    assert {key: values.tolist() for key, values in file.keys.items()} == {
        "image": [1, 1],
        "category": [1, 7],
    }
    assert file.unused == ("visibility",)
    assert file.notes == ("1 row has conf 0, to be ignored by the rule of mot: taken along",)
    assert file.scores is None
    assert read(tmp_path, TRUTH_OF_MOT, by=("frame",)).keys.keys() == {"image"}
    file = read(tmp_path, "1,1,10,20,30,40,0.5,-1,-1,-1\n")
    assert (file.unused, file.notes, list(file.keys)) == ((), (), ["image"])
    file = read(tmp_path, "1,1,10,20,30,40,0.5,2.5,3,0\n")
    assert file.unused == ("x in the world", "y in the world", "z in the world")
    file = read(tmp_path, "1,1,10,20,30,40,0.5,-1,-1,-1,5\n")
    assert file.unused == ("column 11",)
    ignored = read(tmp_path, "10,20,100,200,0,0,0,0\n0,0,30,40,1,4,0,2\n").notes
    assert ignored == ("1 row has score 0, to be ignored by the rule of visdrone: taken along",)


def test_places_in_the_world_are_not_taken_for_marks(tmp_path: Path) -> None:
    content = "1,1,10,20,30,40,1,2,0,0\n1,2,100,20,30,40,1,3,1,0\n"
    with pytest.raises(FileError, match=r"could be mot or visdrone-vid, .*--format mot or visd"):
        read(tmp_path, content)
    assert read(tmp_path, content, format="mot").keys.keys() == {"image"}
    assert read(tmp_path, content, format="visdrone-vid").keys["category"].tolist() == [2, 3]
    for others in ("1,3,10,20,30,40,1,4,0,1\n", content * 10):  # occlusion; all are whole
        assert read(tmp_path, content + others).format == "visdrone-vid"
    for others in ("1,3,10,20,30,40,1,2.5,0,0\n", "1,3,10,20,30,40,1,-1,-1,-1\n"):
        assert read(tmp_path, content + others).format == "mot"


def test_rows_that_end_with_a_name_are_not_taken_for_numbers(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="column 9 holds 'Car', expected a number, as mot has"):
        read(tmp_path, "20 10 70 10 70 50 20 50 Car 0\n", format="mot")
    row = "1,{},100,200,30,40,0.9,{},-1,-1\n"
    for line in (1, 2, 900):  # beyond the rows that tell the format, too
        rows = [row.format(n, "person" if n == line else -1) for n in range(1, 1001)]
        with pytest.raises(FileError, match=rf":{line}: column 8 holds 'person', expected a num"):
            read(tmp_path, "".join(rows), format="mot")
    for number in ("1e3", "nan", ""):
        content = row.format(1, -1) + row.format(2, number)
        assert len(read(tmp_path, content, format="mot")) == 2


def test_a_column_more_is_not_taken_for_mot(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="7 columns of numbers"):
        read(tmp_path, "0,1,2,100,200,30,40\n")  # frame, id, class and box
    assert read(tmp_path, "0,1,2,100,200,30,40\n", format="mot").format == "mot"


def test_a_row_of_kitti_that_is_cut_off(tmp_path: Path) -> None:
    row = "0 2 Car 0 0 -1.57 10 20 110 220 1.5 1.6 3.7 1 2 30 0.1\n"
    for cut in ("0\n", "0 2\n", "0 2 Car\n", "0 2 Car 0\n"):
        with pytest.raises(FileError, match="boxes:2: "):
            read(tmp_path, row + cut)


@pytest.mark.parametrize("text", [b"\x1f", b"\n\x1f\n", b"\x1c\n1 2 3 4"])
def test_rows_of_blanks_that_are_none_of_a_table(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text)
    with pytest.raises(FileError, match=r"expected rows of numbers, or a header$"):
        read_boxes(path)
