"""Annotations of one image a file, and objects by their names: VOC, labelme, JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files_for_tests import (
    BOTH,
    LABELME,
    LINES,
    VOC,
    read,
)

from fastiou.formats.content import Wanted
from fastiou.formats.errors import FileError
from fastiou.formats.table import FORMATS


@pytest.mark.parametrize(
    ("content", "format_"), [(VOC, "voc"), (json.dumps(LABELME), "labelme"), (LINES, "jsonl")]
)
def test_objects_by_name(tmp_path: Path, content: str, format_: str) -> None:
    fits = [row.name for row in FORMATS.values() if row.fits(content.encode(), Wanted())]
    assert fits == [format_]
    file = read(tmp_path, content)
    assert (file.format, file.fmt) == (format_, "xyxy")
    np.testing.assert_array_equal(file.boxes, BOTH)
    assert file.keys["category"].tolist() == ["cat", "dog"]
    if format_ == "jsonl":
        assert file.keys["image"].tolist() == ["a.jpg", "b.jpg"]
        assert read(tmp_path, content, scored=True).scores.tolist() == [0.5, 1]
    else:
        with pytest.raises(FileError, match="has no scores"):
            read(tmp_path, content, scored=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (VOC.replace("</annotation>", ""), "not XML"),
        (VOC.replace("<name>cat</name>", ""), "object 1: no name"),
        (VOC.replace("30.5", "wide"), r"object 2: bndbox 0, 0, wide, 40, expected numbers xmin"),
        (VOC.replace("<xmax>110</xmax>", ""), "object 1: bndbox 10, 20, , 220"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>" + VOC, "entities"),
        ("<html><body></body></html>", "XML or HTML, expected an annotation"),
        (json.dumps(LABELME).replace("rectangle", "line"), r"shapes\[0\].*rectangle, polygon or"),
        (json.dumps(LABELME).replace("[30.5, 9], ", ""), r"shapes\[1\].*3 points or more"),
        (LINES.replace('"xmin": 10', '"xmin": "ten"'), ':1: xmin: "ten", expected a number'),
        (LINES.replace('"b.jpg"', "null"), ':2: no "file_name"'),
        (LINES + "[]\n", r":3: \[\], expected an object a line"),
        (LINES + "{\n", ":3: not JSON"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n", "outlines of four points each, or oriented"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_circles_have_bounds(tmp_path: Path) -> None:
    shape = {"label": "c", "points": [[10, 10], [13, 14]], "shape_type": "circle"}
    file = read(tmp_path, json.dumps({"shapes": [shape], "imagePath": "a"}))
    assert file.boxes.tolist() == [[5, 5, 15, 15]]


def test_what_else_annotations_hold_is_named(tmp_path: Path) -> None:
    more = VOC.replace("<name>cat</name>", "<name>cat</name><trackid>3</trackid><pose>left</pose>")
    file = read(tmp_path, more.replace("<difficult>0", "<difficult>1"))
    assert file.unused == ("trackid",)
    assert file.notes == ("1 object is difficult, to be ignored by the rule of voc: taken along",)
    assert read(tmp_path, VOC).notes == ()
    shapes: Any = [{**shape, "group_id": None, "flags": {}} for shape in LABELME["shapes"]]
    assert read(tmp_path, json.dumps({**LABELME, "shapes": shapes})).unused == ()
    shapes[1]["group_id"] = 3
    assert read(tmp_path, json.dumps({**LABELME, "shapes": shapes})).unused == ("group_id",)


@pytest.mark.parametrize("tag", ["objects", "outputs", "Object", "obj"])
def test_objects_of_voc_stand_in_the_annotation(tmp_path: Path, tag: str) -> None:
    first = VOC[VOC.index("<object>") : VOC.index("</object>") + len("</object>")]
    inner = first if tag.endswith("s") else first[len("<object>") : -len("</object>")]
    apart = f"<{tag}>{inner}</{tag}>"
    words = "is in no object of the annotation, as FAIR1M has it, expected object in the annotation"
    for content in (VOC.replace(first, apart), VOC.replace(first, first + apart)):
        with pytest.raises(FileError, match=words):
            read(tmp_path, content)


def test_an_object_of_voc_has_one_box(tmp_path: Path) -> None:
    box = VOC[VOC.index("<bndbox>") : VOC.index("</bndbox>") + len("</bndbox>")]
    for content, words in (
        (VOC.replace(box, box * 2), "object 1: 2 bndbox, expected one bndbox in every object"),
        (VOC.replace(box, ""), "object 1: no bndbox, expected one"),
        (
            VOC.replace(box, "<robndbox/>"),
            r"object 1: a robndbox \(roLabelImg\), which is not read",
        ),
    ):
        with pytest.raises(FileError, match=words):
            read(tmp_path, content)
