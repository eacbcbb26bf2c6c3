"""Annotations of one image a file: Pascal VOC's XML, labelme's JSON, and outlines of YOLO."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from fastiou.formats.content import BoxFile, Wanted, chosen_keys, number_in, whole_number_in
from fastiou.formats.errors import FileError, described, shortened
from fastiou.formats.text import Sample, cells_of, sample_of, text_lines
from fastiou.typing import Array

__all__ = [
    "is_dota",
    "is_labelme",
    "is_voc",
    "is_yolo_outlines",
    "read_labelme",
    "read_voc",
    "read_yolo_outlines",
    "refuse_dota",
]

#: The largest number: integers beyond all floats are refused, too.
LARGEST = sys.float_info.max

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _without_scores(path: Path, wanted: Wanted, what: str) -> None:
    if wanted.scored:
        raise FileError(path, f"{what} has no scores", "a format with scores")


def _keys(path: Path, names: list[Any], wanted: Wanted) -> dict[str, Array]:
    chosen = chosen_keys(path, ["category"], wanted.by)
    return {key: np.array(names, np.str_) for key in chosen}


# ---- Pascal VOC --------------------------------------------------------------------------------


def is_voc(data: bytes) -> bool:
    """Whether it is XML whose root is an annotation."""
    return re.search(rb"<annotation[\s>]", data[:4096]) is not None


def read_voc(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read the boxes of an image in Pascal VOC's XML, as `fastiou.formats.table.read_boxes`."""
    _without_scores(path, wanted, "Pascal VOC XML")
    if b"<!ENTITY" in data:
        raise FileError(path, "the XML defines entities", "an annotation without")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 (no entities)
    except (ElementTree.ParseError, ValueError) as error:
        line = getattr(error, "position", (None,))[0]
        raise FileError(path, f"not XML ({error})", "an annotation of Pascal VOC", line) from None
    if root.tag != "annotation":
        raise FileError(path, f"XML of <{shortened(root.tag)}>", "an annotation of Pascal VOC")
    boxes, names = [], []
    for number, entry in enumerate(root.iterfind("object"), 1):
        where = f"object {number}"
        name = (entry.findtext("name") or "").strip()
        if not name:
            raise FileError(path, "no name", "one in every object", where)
        box = entry.find("bndbox")
        texts = ["" if box is None else (box.findtext(corner) or "").strip() for corner in CORNERS]
        values = [number_in(text) for text in texts]
        if any(value is None or not math.isfinite(value) for value in values):
            found = f"bndbox {shortened(', '.join(texts))}"
            raise FileError(path, found, f"numbers {', '.join(CORNERS)}", where)
        names.append(name)
        boxes.append(values)
    return BoxFile(
        path=path, format="voc", fmt="xyxy", keys=_keys(path, names, wanted),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
    )  # fmt: skip


# ---- labelme -----------------------------------------------------------------------------------


def is_labelme(data: bytes) -> bool:
    """Whether it is a JSON object with shapes."""
    known = (b'"shape_type"', b'"imagePath"')
    begins = data[:4096].lstrip().startswith(b"{")
    return begins and b'"shapes"' in data and any(word in data for word in known)


def read_labelme(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read the rectangles of an image, and the bounds of its polygons, in labelme's JSON."""
    _without_scores(path, wanted, "labelme's JSON")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"not JSON ({error})", "labelme's JSON") from None
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise FileError(path, described(shapes), "a list", "shapes")
    boxes, names = [], []
    for number, shape in enumerate(shapes):
        where = f"shapes[{number}]"
        if not isinstance(shape, dict) or type(shape.get("label")) is not str or not shape["label"]:
            raise FileError(path, described(shape), 'an object with a "label"', where)
        kind = shape.get("shape_type", "polygon")
        points: Any = shape.get("points")
        if kind not in ("rectangle", "polygon"):
            raise FileError(path, f'"shape_type": {described(kind)}', "rectangle or polygon", where)
        if not _are_points(points, 2 if kind == "rectangle" else 3):
            expected = "2 points or more" if kind == "rectangle" else "3 points or more"
            raise FileError(path, f'"points": {described(points)}', f"{expected} [x, y]", where)
        xs, ys = ([point[axis] for point in points] for axis in (0, 1))
        boxes.append((min(xs), min(ys), max(xs), max(ys)))
        names.append(shape["label"])
    return BoxFile(
        path=path, format="labelme", fmt="xyxy", keys=_keys(path, names, wanted),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
    )  # fmt: skip


def _are_points(points: Any, least: int) -> bool:
    return (
        isinstance(points, list)
        and len(points) >= least
        and all(
            isinstance(point, list)
            and len(point) == 2
            and all(type(x) in (int, float) and abs(x) <= LARGEST for x in point)
            for point in points
        )
    )


# ---- YOLO --------------------------------------------------------------------------------------


def is_yolo_outlines(sample: Sample) -> bool:
    """Whether rows are a class and normalized points, in number from three on."""
    return sample.delimiter is None and bool(sample.cells) and all(
        len(row) >= 7 and len(row) % 2 == 1 and whole_number_in(row[0]) is not None
        and (whole_number_in(row[0]) or 0) >= 0
        and all((number := number_in(cell)) is not None and 0 <= number <= 1 for cell in row[1:])
        for row in sample.cells
    )  # fmt: skip


def read_yolo_outlines(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read the bounds of the outlines in a YOLO label file."""
    _without_scores(path, wanted, "YOLO's outlines")
    rows = [len(cells) for cells in sample_of(data).cells]
    if set(rows) == {9} and not wanted.format_told:
        found = "outlines of four points each, or oriented boxes"
        raise FileError(path, found, "--format yolo-seg, which takes their bounds")
    boxes, classes = [], []
    for line, cells in cells_of(text_lines(data), None):
        name = whole_number_in(cells[0])
        points = [number_in(cell) for cell in cells[1:]]
        if name is None or name < 0:
            raise FileError(
                path, f"column 1 (class) holds {shortened(cells[0])!r}", "a class", line
            )
        if len(points) < 6 or len(points) % 2 or not all(
            point is not None and 0 <= point <= 1 for point in points
        ):  # fmt: skip
            expected = "a class and 3 points or more, each x y between 0 and 1"
            raise FileError(path, shortened(" ".join(cells)), expected, line)
        xs, ys = points[::2], points[1::2]
        boxes.append([min(xs), min(ys), max(xs), max(ys)])  # type: ignore[type-var]
        classes.append(name)
    keys = {key: np.array(classes, np.int64) for key in chosen_keys(path, ["category"], wanted.by)}
    return BoxFile(
        path=path, format="yolo-seg", fmt="xyxy", keys=keys,
        boxes=np.array(boxes, np.float64).reshape(-1, 4), unused=("outlines",),
    )  # fmt: skip


# ---- DOTA --------------------------------------------------------------------------------------


def is_dota(sample: Sample) -> bool:
    """Whether rows are eight numbers, a name and perhaps how difficult, below what may be known."""
    rows = [row for row in sample.cells if not row[0].lower().startswith(("imagesource", "gsd"))]
    return sample.delimiter is None and bool(rows) and all(
        len(row) in (9, 10) and all(number_in(cell) is not None for cell in row[:8])
        and number_in(row[8]) is None
        for row in rows
    )  # fmt: skip


def refuse_dota(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Refuse DOTA's quadrilaterals, which are no boxes."""
    raise FileError(path, "quadrilaterals of DOTA", "boxes: quadrilaterals cannot be compared yet")
