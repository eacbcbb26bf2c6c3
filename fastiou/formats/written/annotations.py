"""Tables as annotations of one image a file: Pascal VOC's XML and labelme's JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

from fastiou.formats.written.outlines import outlines_of
from fastiou.formats.written.target import (
    About,
    Target,
    Texts,
    check_boxes,
    files_of_images,
    number,
)
from fastiou.tables.box_table import BoxTable
from fastiou.typing import Array

__all__ = ["labelme_texts", "voc_texts"]


CORNERS = ("xmin", "ymin", "xmax", "ymax")


def voc_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """An XML file for each image."""
    check_boxes(target, table, np.isnan(table.boxes).any(axis=1), "numbers that are not NaN")
    classes = table.keys["category"]
    flags = np.zeros(len(table), np.bool_) if table.ignore is None else np.asarray(table.ignore)
    for file in files_of_images(target, table, about, ".xml"):
        root = ElementTree.Element("annotation")
        _add(root, "filename", str(file.image))
        if file.size[0]:
            size = _add(root, "size")
            for name, side in zip(("width", "height"), file.size, strict=True):
                _add(size, name, str(side))
        columns = (classes, flags, table.boxes)
        rows = zip(*(column[file.places].tolist() for column in columns), strict=True)
        for name, is_difficult, box in rows:
            entry = _add(root, "object")
            _add(entry, "name", name)
            _add(entry, "difficult", str(int(is_difficult)))
            corners = _add(entry, "bndbox")
            for corner, value in zip(CORNERS, box, strict=True):
                _add(corners, corner, number(value))
        ElementTree.indent(root)
        yield file.name, iter((ElementTree.tostring(root, "unicode"), "\n"))


def _add(parent: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    child.text = text
    return child


def labelme_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """A JSON file for each image, with rectangles, or polygons of masks."""
    wrong = ~(table.boxes[:, 2:] >= table.boxes[:, :2]).all(axis=1)
    check_boxes(target, table, wrong, "corners in order")
    classes = table.keys["category"]
    points_of: Sequence[Array] = table.boxes.reshape(-1, 2, 2)
    shape = "rectangle"
    if about.masks is not None:
        points_of, shape = outlines_of(target, about), "polygon"
    for file in files_of_images(target, table, about, ".json"):
        own = [points_of[place].tolist() for place in file.places.tolist()]
        width, height = file.size
        content: dict[str, Any] = {
            "version": "5.0.0",
            "flags": {},
            "shapes": [
                {"label": name, "points": points, "group_id": None, "shape_type": shape,
                 "flags": {}}
                for name, points in zip(classes[file.places].tolist(), own, strict=True)
            ],
            "imagePath": str(file.image),
            "imageData": None,
            "imageHeight": height or None,
            "imageWidth": width or None,
        }  # fmt: skip
        yield file.name, iter((json.dumps(content, ensure_ascii=False, indent=2), "\n"))
