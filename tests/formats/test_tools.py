"""Files of annotation tools: CVAT's XML and VIA's JSON are read, others told by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_for_tests import run, run_well

import fastiou
from fastiou.formats.errors import FileError
from fastiou.formats.table import READERS, read_boxes

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>t</name></task></meta>
  <image id="0" name="val/a.jpg" width="64" height="48">
    <box label="car" source="manual" occluded="0" xtl="1" ytl="2" xbr="31" ybr="22.5" z_order="0">
      <attribute name="colour">red</attribute>
    </box>
    <polygon label="bus" occluded="0" points="5,6;9.5,6;7,8" z_order="0"/>
    <tag label="night" source="manual"/>
  </image>
  <image id="1" name="b.jpg" width="32" height="16"/>
</annotations>
"""


def region(kind: str, label: Any, **numbers: Any) -> dict[str, Any]:
    told = {"class": label, "note": {"a": True}}
    return {"shape_attributes": {"name": kind, **numbers}, "region_attributes": told}


VIA: dict[str, Any] = {
    "a.jpg12": {
        "filename": "a.jpg",
        "regions": [
            region("rect", "car", x=1, y=2, width=3, height=4),
            region("circle", "wheel", cx=5, cy=6, r=2),
            region("polygon", "bus", all_points_x=[1, 5, 3], all_points_y=[2, 3, 9]),
        ],
        "file_attributes": {},
    },
    "b.jpg9": {"filename": "b.jpg", "regions": {}, "file_attributes": {}},
}


def read(path: Path, content: Any, **wanted: Any) -> Any:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_boxes(path, **wanted)


def test_cvat(tmp_path: Path) -> None:
    file = read(tmp_path / "a.xml", CVAT)
    assert (file.format, file.fmt) == ("cvat", "xyxy")
    assert file.boxes.tolist() == [[1, 2, 31, 22.5], [5, 6, 9.5, 8]]
    assert file.keys["image"].tolist() == ["val/a.jpg"] * 2
    assert file.keys["category"].tolist() == ["car", "bus"]
    assert file.unused == ("attribute colour", "tag")
    out = tmp_path / "out.json"
    run_well("convert", tmp_path / "a.xml", out)
    image, other = json.loads(out.read_text())["images"]
    assert other["file_name"] == "b.jpg"
    assert image == {"id": "val/a.jpg", "file_name": "val/a.jpg", "width": 64, "height": 48}


def test_boxes_of_cvat_may_be_turned(tmp_path: Path) -> None:
    content = CVAT.replace('ybr="22.5"', 'ybr="22" rotation="30.0"')
    file = read(tmp_path / "a.xml", content)
    assert file.fmt == "cxcywhr-cw"
    assert file.boxes.tolist() == [[16, 12, 30, 20, 30], [7.25, 7, 4.5, 2, 0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('label="car" ', "", "box 1 of image val/a.jpg: no label, expected one for every shape"),
        ('xtl="1"', 'xtl="nan"', "nan, 2, 31, 22.5, 0, expected numbers xtl, ytl, xbr, ybr"),
        ("5,6;9.5,6;7,8", "5,6;9.5,6", "5, 6, 9.5, 6, expected 3 points or more, each x,y"),
        ("polygon", "cuboid", "<cuboid>, expected box or polygon"),
        ('name="b.jpg"', "", "image 2: no name, expected one for every image"),
        ("</annotations>", "", "not XML"),
        ('"b.jpg"', '"val/a.jpg"', "image 2: the name 'val/a.jpg' again, expected one of its own"),
        (
            '<image id="1" name="b.jpg" width="32" height="16"/>',
            '<job><image name="b"/></job>',
            "an image within another element, expected images right in annotations",
        ),
        ("<version>", "<!DOCTYPE x [<!ENTITY a 'b'>]>", "the XML defines entities"),
    ],
)
def test_what_is_wrong_with_cvat(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read(tmp_path / "a.xml", CVAT.replace(old, new))
    with pytest.raises(FileError, match="CVAT's XML has no scores"):
        read(tmp_path / "a.xml", CVAT, scored=True)


def test_via(tmp_path: Path) -> None:
    boxes = [[1, 2, 4, 6], [3, 4, 7, 8], [1, 2, 5, 9]]
    for content in (VIA, {"_via_settings": {}, "_via_img_metadata": VIA}):
        file = read(tmp_path / "a.json", content)
        assert (file.format, file.boxes.tolist()) == ("via", boxes)
        assert file.keys["image"].tolist() == ["a.jpg"] * 3
        assert file.keys["category"].tolist() == ["car", "wheel", "bus"]
        assert file.unused == ("note",)
    regions = {"0": VIA["a.jpg12"]["regions"][0]}
    first_version = {"a": {**VIA["a.jpg12"], "regions": regions}}
    assert read(tmp_path / "a.json", first_version).boxes.tolist() == boxes[:1]


def test_any_attribute_of_via_may_be_the_key(tmp_path: Path) -> None:
    content = json.loads(json.dumps(VIA).replace('"class"', '"type"'))
    file = read(tmp_path / "a.json", content)
    assert list(file.keys) == ["image"]
    assert file.unused == ("type", "note")
    by = read(tmp_path / "a.json", content, by=("image", "type"))
    assert by.keys["type"].tolist() == ["car", "wheel", "bus"]
    with pytest.raises(FileError, match=r"there is no key 'colour', expected image or type"):
        read(tmp_path / "a.json", content, by=("colour",))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"name": "point", "cx": 1, "cy": 2}, '"name": "point", expected rect, polygon or circle'),
        ({"name": "rect", "x": "1", "y": 2, "width": 3, "height": 4}, "numbers x, y, width, heigh"),
        ({"name": "rect", "x": 1}, "expected numbers x, y, width, height"),
        ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "3 numbers or mo"),
        ({"name": "polygon"}, "3 numbers or more in all_points_x and all_points_y"),
        ({"name": "circle", "cx": 1, "cy": 2, "r": float("nan")}, "numbers cx, cy, r"),
    ],
)
def test_what_is_wrong_with_via(tmp_path: Path, shape: dict[str, Any], message: str) -> None:
    entry = {"filename": "a.jpg", "regions": [{"shape_attributes": shape}], "file_attributes": {}}
    with pytest.raises(FileError, match=message) as caught:
        read(tmp_path / "a.json", {"a": entry})
    assert "a.jpg, regions[0]" in str(caught.value)


LABEL_STUDIO = [{
    "id": 1, "data": {"image": "/data/a.jpg"}, "annotations": [{"result": [{
        "type": "rectanglelabels", "original_width": 64, "original_height": 48,
        "value": {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["car"]},
    }]}],
}]  # fmt: skip

#: Files of other tools, and what messages call them.
STRANGERS: dict[str, Any] = {
    "CVAT for video": "<annotations><track id='0' label='car'/></annotations>",
    "XML of dlib": "<dataset><images><image file='a.jpg'/></images></dataset>",
    "KITTI's XML of tracklets": "<!DOCTYPE boost_serialization>\n<x><tracklets/></x>",
    "JSON of Label Studio": LABEL_STUDIO,
    "JSON of Supervisely": {"objects": [{
        "classTitle": "car", "geometryType": "rectangle", "points": {"exterior": [[1, 2], [3, 4]]},
    }]},
    "JSON of CreateML": [{"image": "a.jpg", "annotations": [{
        "label": "car", "coordinates": {"x": 1, "y": 2, "width": 3, "height": 4},
    }]}],
    "JSON of BDD100K": [{"name": "a", "labels": [{"category": "car", "box2d": {"x1": 1}}]}],
    "JSON of Ultralytics": [{"name": "car", "class": 2, "confidence": 0.9, "box": {
        "x1": 1.5, "y1": 2, "x2": 3, "y2": 4,
    }}],
    "JSON of nuScenes": {"results": {"a": [{"sample_token": "a", "translation": [1, 2, 3]}]}},
    "JSON of Darwin": {"item": {}, "annotations": [{"bounding_box": {"x": 1, "y": 2}}]},
    "JSON of Labelbox": {"data_row": {"row_data": "a"}, "projects": {}},
    "JSON of Cityscapes": {"imgHeight": 4, "imgWidth": 4, "objects": [{"polygon": [[1, 2]]}]},
    "JSON of COCO's panoptic segmentation": {"annotations": [{"segments_info": [{"id": 1}]}]},
    "CSV of VIA": "filename,region_shape_attributes\na.jpg,\"{\"\"name\"\":\"\"rect\"\"}\"\n",
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_files_of_other_tools_are_named(tmp_path: Path, name: str) -> None:
    path, content = tmp_path / "file", STRANGERS[name]
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    for kind in ("box", "mask"):
        with pytest.raises(FileError, match=f"{name}, expected"):
            READERS[kind](path, None)
    with pytest.raises(ValueError, match=name):
        fastiou.read(path)
    result = run("match", path, path)
    assert result.exit_code == 2
    assert f"{name}, expected " in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, 'no "class"'),
        ({"class": ""}, '"class": ""'),
        ({"class": {"car": True, "bus": True}}, '"class": {"car": true, "bus": true}'),
    ],
)
def test_a_region_without_a_class_is_refused(
    tmp_path: Path, attributes: dict[str, Any], words: str
) -> None:
    """Else the class of all others was left out, too."""
    shape = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}
    regions = [
        {"shape_attributes": shape, "region_attributes": each}
        for each in ({"class": "car"}, attributes)
    ]
    image = {"filename": "a.jpg", "size": 1, "regions": regions, "file_attributes": {}}
    path = tmp_path / "via.json"
    path.write_text(json.dumps({"a.jpg1": image}))
    with pytest.raises(FileError) as caught:
        read_boxes(path)
    told = f"via.json:a.jpg, regions[1]: {words}, expected a text in every region, or --by image"
    assert str(caught.value).endswith(told)
    assert list(read_boxes(path, by=("image",)).keys) == ["image"]
