"""Files of annotation tools with many images each: CVAT's XML and VIA's JSON; others by name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from fastiou.formats.annotations import (
    LARGEST,
    LARGEST_SIDE,
    valid_entries,
    without_scores,
    xml_root,
)
from fastiou.formats.content import (
    BoxFile,
    Wanted,
    chosen_keys,
    is_json_object,
    number_in,
    whole_number_in,
)
from fastiou.formats.errors import FileError, described, shortened
from fastiou.formats.json_objects import json_content
from fastiou.tables.column_names import key_named

__all__ = ["is_cvat", "is_via", "read_cvat", "read_via", "stranger"]

#: What is looked at to know a file of a tool.
BEGINNING = 1 << 16

#: Formats that are not read: words that all are in the beginning of such a file, what it is, and
#: what to do.
STRANGERS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    ((b"<annotations", b"<track"), "CVAT for video", "an export as CVAT for images, or MOT"),
    ((b"<dataset", b"<images", b"<image"), "XML of dlib", "Pascal VOC, or CSV"),
    ((b"boost_serialization", b"tracklets"), "KITTI's XML of tracklets",
     "its labels as text (kitti-tracking)"),
    ((b'"original_width"', b'"rectanglelabels"'), "JSON of Label Studio",
     "an export from there as COCO, Pascal VOC or YOLO"),
    ((b'"original_width"', b'"result"'), "JSON of Label Studio",
     "an export from there as COCO, Pascal VOC or YOLO"),
    ((b'"geometryType"', b'"classTitle"'), "JSON of Supervisely",
     "an export from there as COCO, Pascal VOC or YOLO"),
    ((b'"coordinates"', b'"annotations"', b'"image"'), "JSON of CreateML",
     "COCO, Pascal VOC, YOLO, or CSV"),
    ((b'"box2d"', b'"labels"'), "JSON of BDD100K", "its conversion to COCO"),
    ((b'"box"', b'"x1"', b'"confidence"', b'"name"'), "JSON of Ultralytics",
     "its labels as text (save_txt, save_conf)"),
    ((b'"sample_token"', b'"translation"'), "JSON of nuScenes",
     "a table with columns frame, x, y, z, w, h, d and yaw"),
    ((b'"bounding_box"', b'"annotations"', b'"item"'), "JSON of Darwin",
     "an export from there as COCO, Pascal VOC or YOLO"),
    ((b'"bounding_box"', b'"annotations"', b'"workview_url"'), "JSON of Darwin",
     "an export from there as COCO, Pascal VOC or YOLO"),
    ((b'"row_data"', b'"projects"'), "JSON of Labelbox", "its conversion to COCO"),
    ((b'"Labeled Data"', b'"Label"'), "JSON of Labelbox", "its conversion to COCO"),
    ((b'"predictions"', b'"confidence"', b'"class_id"'), "JSON of Roboflow",
     "its list of predictions alone, with --boxes cxcywh"),
    ((b"version https://git-lfs", b"oid sha256:"), "a pointer of Git LFS",
     "the file itself, which git lfs pull fetches"),
    ((b'"imgHeight"', b'"polygon"'), "JSON of Cityscapes",
     "its images of labels (gtFine_labelIds.png), or its conversion to COCO"),
    ((b'"segments_info"',), "JSON of COCO's panoptic segmentation",
     "its images, with --format panoptic"),
    ((b"region_shape_attributes",), "CSV of VIA", "an export from there as JSON, or COCO"),
)  # fmt: skip


def stranger(data: bytes) -> tuple[str, str] | None:
    """What a file is that has boxes and is not read, and what to do; None if it is not known."""
    beginning = data[:BEGINNING]
    for words, name, expected in STRANGERS:
        if all(word in beginning for word in words):
            return name, expected
    return None


# ---- CVAT --------------------------------------------------------------------------------------


def is_cvat(data: bytes) -> bool:
    """Whether it is XML whose root is annotations, and these are of images, not of a video."""
    return re.search(rb"<annotations[\s>]", data[:4096]) is not None and stranger(data) is None


def read_cvat(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read the boxes in CVAT's XML for images, and bounds of polygons."""
    without_scores(path, wanted, "CVAT's XML")
    root = xml_root(path, data, "annotations", "annotations of CVAT")
    shapes: list[tuple[str, int, ElementTree.Element]] = []
    sizes: dict[int | str, tuple[int, int] | None] = {}
    others: dict[str, None] = {}
    listed = root.findall("image")
    if len(listed) < sum(1 for _ in root.iter("image")):
        raise FileError(path, "an image within another element", "images right in annotations")
    for number, image in enumerate(listed, 1):
        name = (image.get("name") or "").strip()
        if not name:
            raise FileError(path, "no name", "one for every image", f"image {number}")
        if name in sizes:
            found = f"the name {shortened(name)!r} again"
            raise FileError(
                path,
                found,
                "one of its own for every image, as the export of one task has",
                f"image {number}",
            )
        sides = [whole_number_in(image.get(side) or "") for side in ("height", "width")]
        known = [side for side in sides if side is not None and 0 < side <= LARGEST_SIDE]
        sizes[name] = (known[0], known[1]) if len(known) == 2 else None
        for place, shape in enumerate(image, 1):
            if shape.tag == "tag":
                others["tag"] = None
            else:
                shapes.append((name, place, shape))

    def read(number: int, entry: tuple[str, int, ElementTree.Element]) -> tuple[str, list[float]]:
        name, place, shape = entry
        where = f"{shape.tag} {place} of image {shortened(name)}"
        label = (shape.get("label") or "").strip()
        if not label:
            raise FileError(path, "no label", "one for every shape", where)
        return label, _cvat_bounds(path, shape, where)

    kept, annotations, skipped = valid_entries(shapes, read, wanted)
    attributes = (f"attribute {each.get('name')}" for *_, shape in kept for each in shape)
    others = dict.fromkeys(attributes) | others
    images, labels = [name for name, *_ in kept], [label for label, _ in annotations]
    numbers = np.array([bounds for _, bounds in annotations], np.float64).reshape(-1, 5)
    is_turned = bool(numbers[:, 4].any())
    if is_turned:
        sides_of, middles = numbers[:, 2:4] - numbers[:, :2], (numbers[:, :2] + numbers[:, 2:4]) / 2
        numbers = np.concatenate([middles, sides_of, numbers[:, 4:]], axis=1)
    keys = {"image": np.array(images, np.str_), "category": np.array(labels, np.str_)}
    return BoxFile(
        path=path, format="cvat", fmt="cxcywhr-cw" if is_turned else "xyxy",
        keys={key: keys[key] for key in chosen_keys(path, keys, wanted.by)},
        boxes=np.ascontiguousarray(numbers if is_turned else numbers[:, :4]),
        unused=tuple(others), skipped=skipped, sizes=sizes,
        files={name: str(name) for name in sizes},
    )  # fmt: skip


def _cvat_bounds(path: Path, shape: ElementTree.Element, where: str) -> list[float]:
    """The corners of a box, or those around a polygon, and how far it is turned."""
    if shape.tag == "box":
        texts = [shape.get(corner) or "" for corner in ("xtl", "ytl", "xbr", "ybr")]
        texts.append(shape.get("rotation") or "0")
        expected = "numbers xtl, ytl, xbr, ybr, and perhaps rotation"
    elif shape.tag == "polygon":
        texts = re.split("[,;]", shape.get("points") or "")
        expected = "3 points or more, each x,y"
    else:
        raise FileError(path, f"<{shortened(str(shape.tag))}>", "box or polygon", where)
    found = [number_in(text) for text in texts]
    values = [value for value in found if value is not None and math.isfinite(value)]
    least = 5 if shape.tag == "box" else 6
    if len(values) < max(least, len(texts)) or (shape.tag == "polygon" and len(values) % 2):
        raise FileError(path, shortened(", ".join(texts)) or "nothing", expected, where)
    if shape.tag == "box":
        return values
    xs, ys = values[::2], values[1::2]
    return [min(xs), min(ys), max(xs), max(ys), 0.0]


# ---- VIA ---------------------------------------------------------------------------------------


def is_via(data: bytes) -> bool:
    """Whether it is a JSON object with regions, as VIA writes it."""
    words = (b'"regions"', b'"filename"', b'"file_attributes"')
    beginning = data[: 16 * BEGINNING]  # outlines may stand in front of the last of the words
    return is_json_object(data) and (
        b'"_via_img_metadata"' in beginning or all(word in beginning for word in words)
    )


def read_via(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read rectangles in VIA's JSON, a project or an export, and bounds of polygons and circles.

    The attribute of a region that is called class, category or label is its category; `--by` names
    another.
    """
    without_scores(path, wanted, "VIA's JSON")
    content = json_content(path, data, "VIA's JSON", {"_via_img_metadata": {}})
    files = content.get("_via_img_metadata", content) if isinstance(content, dict) else content
    if not isinstance(files, dict):
        raise FileError(path, described(files), "an object with images")
    every: list[tuple[str, str, Any]] = []
    for name, image in files.items():
        file = image.get("filename") if isinstance(image, dict) else None
        regions = image.get("regions") if isinstance(image, dict) else None
        if isinstance(regions, dict):  # of the first version, by number
            regions = list(regions.values())
        if type(file) is not str or not file.strip() or not isinstance(regions, list):
            expected = 'an object with "filename" and "regions"'
            raise FileError(path, described(image), expected, shortened(name))
        every += [
            (file.strip(), f"{shortened(file)}, regions[{number}]", region)
            for number, region in enumerate(regions)
        ]

    def read(number: int, entry: tuple[str, str, Any]) -> list[float]:
        _, where, region = entry
        shape = region.get("shape_attributes") if isinstance(region, dict) else None
        if not isinstance(shape, dict):
            expected = 'an object with "shape_attributes"'
            raise FileError(path, described(region), expected, where)
        return _via_bounds(path, shape, where)

    kept, boxes, skipped = valid_entries(every, read, wanted)
    images, places = [image for image, *_ in kept], [place for _, place, _ in kept]
    told = [region.get("region_attributes") for *_, region in kept]
    attributes = [each if isinstance(each, dict) else {} for each in told]
    told_by = _attributes_of_all(attributes)
    listed = dict.fromkeys(name for each in attributes for name in each)
    of_classes = [name for name in listed if key_named(name) == "category"]
    category = next((name for name in of_classes if name in told_by), None)
    if of_classes and category is None and (wanted.by is None or "category" in wanted.by):
        name = of_classes[0]
        row = next(row for row, each in enumerate(attributes) if not _is_label(each.get(name)))
        value = attributes[row].get(name)
        found = f'no "{name}"' if value is None else f'"{name}": {described(value)}'
        expected = "a text in every region, or --by image"
        raise FileError(path, found, expected, places[row])
    keys = {"image": images}
    keys |= {} if category is None else {"category": told_by[category]}
    if wanted.by is not None:
        keys |= {name: values for name, values in told_by.items() if name not in keys}
    chosen = {key: np.array(keys[key], np.str_) for key in chosen_keys(path, keys, wanted.by)}
    used = {category, *chosen}
    return BoxFile(
        path=path, format="via", fmt="xyxy", keys=chosen,
        boxes=np.array(boxes, np.float64).reshape(-1, 4), files={name: name for name in images},
        unused=tuple(name for name in listed if name not in used), skipped=skipped,
        sizes=dict.fromkeys(image["filename"].strip() for image in files.values()),
    )  # fmt: skip


def _attributes_of_all(attributes: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The values of those attributes that are a text in all regions."""
    first = attributes[0] if attributes else {}
    columns = {name: [each.get(name) for each in attributes] for name in first}
    return {
        name: [str(value).strip() for value in values]
        for name, values in columns.items()
        if all(map(_is_label, values))
    }


def _is_label(value: Any) -> bool:
    return type(value) is str and bool(value.strip())


def _via_bounds(path: Path, shape: Mapping[str, Any], where: str) -> list[float]:
    """The corners of a rectangle, or those around a polygon or a circle."""

    def numbers(*names: str) -> list[float]:
        values = [shape.get(name) for name in names]
        if not all(_is_number(value) for value in values):
            raise FileError(path, described(shape), f"numbers {', '.join(names)}", where)
        return [float(value) for value in values if value is not None]

    kind = shape.get("name")
    if kind == "rect":
        x, y, width, height = numbers("x", "y", "width", "height")
        return [x, y, x + width, y + height]
    if kind == "circle":
        x, y, radius = numbers("cx", "cy", "r")
        return [x - radius, y - radius, x + radius, y + radius]
    if kind == "polygon":
        axes = [shape.get(name) for name in ("all_points_x", "all_points_y")]
        lists = [axis for axis in axes if isinstance(axis, list) and all(map(_is_number, axis))]
        if [len(axis) for axis in lists] != [len(axes[0] or ())] * 2 or len(lists[0]) < 3:
            expected = "3 numbers or more in all_points_x and all_points_y"
            raise FileError(path, described(shape), expected, where)
        xs, ys = lists
        return [min(xs), min(ys), max(xs), max(ys)]
    raise FileError(path, f'"name": {described(kind)}', "rect, polygon or circle", where)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= LARGEST
