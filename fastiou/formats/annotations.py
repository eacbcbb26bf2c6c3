"""Annotations of one image a file: Pascal VOC's XML, labelme's JSON, and outlines of YOLO."""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from xml.etree import ElementTree

import numpy as np

from fastiou.formats.coco import SKIPPING, MaskFile
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
from fastiou.formats.sizes import mask_size
from fastiou.formats.skipped import Skipped
from fastiou.formats.text import Sample, cells_of, sample_of, text_lines
from fastiou.typing import Array

__all__ = [
    "LARGEST",
    "LARGEST_SIDE",
    "declared_encoding",
    "is_dota",
    "is_labelme",
    "is_voc",
    "is_yolo_outlines",
    "read_dota",
    "read_labelme",
    "read_labelme_masks",
    "read_voc",
    "read_yolo_masks",
    "read_yolo_outlines",
    "valid_entries",
    "without_scores",
    "xml_root",
]

Entry = TypeVar("Entry")
Annotation = TypeVar("Annotation")

#: The largest number: integers beyond all floats are refused, too.
LARGEST = sys.float_info.max

#: The longest side that an image may have.
LARGEST_SIDE = 10**9

#: What objects of Pascal VOC have besides what other programs add.
VOC_NAMES = {
    "name", "bndbox", "pose", "truncated", "occluded", "difficult", "part", "point", "actions",
}  # fmt: skip

#: What shapes of labelme have besides what other programs add, or users.
SHAPE_NAMES = {
    "label", "points", "shape_type", "flags", "mask", "line_color", "fill_color", "description",
}  # fmt: skip

#: The shapes of labelme that have bounds, and the points that each has at least.
LEAST_POINTS = {"rectangle": 2, "polygon": 3, "circle": 2}

CORNERS = ("xmin", "ymin", "xmax", "ymax")

#: The declaration of XML, and the encoding in it.
DECLARED = re.compile(rb"""<\?xml[^>]{1,200}?encoding\s*=\s*["']([\w.-]{1,40})["']""", re.ASCII)


def without_scores(path: Path, wanted: Wanted, what: str) -> None:
    """Raise a FileError if scores are wanted of a format that has none."""
    if wanted.scored:
        raise FileError(path, f"{what} has no scores", "a format with scores")


def valid_entries(
    entries: Sequence[Entry], read: Callable[[int, Entry], Annotation], wanted: Wanted
) -> tuple[list[Entry], list[Annotation], Skipped | None]:
    """The entries of a file that can be used, what was read of them, and what was left out.

    Parameters
    ----------
    entries
        All.
    read
        Reads one, also by its position. It raises a FileError if it cannot be used.
    wanted
        Whether to leave out such entries.
    """
    kept, found, faults = [], [], {}
    for place, entry in enumerate(entries):
        try:
            found.append(read(place, entry))
            kept.append(entry)
        except FileError as error:
            if not wanted.skip_invalid:
                expected = f"{error.expected}; {SKIPPING}"
                raise FileError(error.path, error.found, expected, error.where) from None
            faults[place] = error.fault
    return kept, found, Skipped.of(len(entries), faults)


def xml_root(path: Path, data: bytes, tag: str, expected: str) -> ElementTree.Element:
    """The root of an XML file.

    Raises
    ------
    FileError
        It is no XML, is not called so, or defines entities.
    """
    encoding = declared_encoding(data)
    if encoding is not None and not _has_ascii(encoding):
        raise FileError(path, f"the XML declares the encoding {shortened(encoding)}", "UTF-8")
    if b"<!ENTITY" in data:
        raise FileError(path, "the XML defines entities", f"{expected}, without")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 (no entities)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        line = getattr(error, "position", (None,))[0]
        raise FileError(path, f"not XML ({error})", expected, line) from None
    if root.tag != tag:
        raise FileError(path, f"XML of <{shortened(root.tag)}>", expected)
    return root


def declared_encoding(data: bytes) -> str | None:
    """The encoding that XML declares in its first line, if it is not UTF-8."""
    found = DECLARED.match(data.removeprefix(b"\xef\xbb\xbf"))
    if found is None or found[1].lower() in (b"utf-8", b"utf8"):
        return None
    return found[1].decode()


def _has_ascii(encoding: str) -> bool:
    """Whether letters of ASCII have their usual bytes, so that what is searched for is found."""
    letters = bytes(range(128))
    try:
        return letters.decode(encoding) == letters.decode("ascii")
    except (LookupError, ValueError):
        return False


def _keys(path: Path, names: list[Any], wanted: Wanted) -> dict[str, Array]:
    chosen = chosen_keys(path, ["category"], wanted.by)
    return {key: np.array(names, np.str_) for key in chosen}


# ---- Pascal VOC --------------------------------------------------------------------------------


#: Elements that hold a region, and stand in objects.
REGIONS = frozenset({"object", "item", "bndbox", "robndbox", "box", "points", "polygon", "pt"})


def is_voc(data: bytes) -> bool:
    """Whether it is XML whose root is an annotation."""
    return re.search(rb"<annotation[\s>]", data[:4096]) is not None


def read_voc(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read the boxes of an image in Pascal VOC's XML, as `fastiou.formats.table.read_boxes`."""
    without_scores(path, wanted, "Pascal VOC XML")
    root = xml_root(path, data, "annotation", "an annotation of Pascal VOC")
    within = {id(each) for entry in root.iterfind("object") for each in entry.iter()}
    apart = next((e for e in root.iter() if id(e) not in within and e.tag.lower() in REGIONS), None)
    if apart is not None:
        found = f"{shortened(apart.tag)} that is in no object of the annotation, as FAIR1M has it"
        raise FileError(path, found, "object in the annotation, with a name and a bndbox")
    entries, objects, skipped = valid_entries(
        root.findall("object"),
        lambda number, entry: _voc_object(path, f"object {number + 1}", entry),
        wanted,
    )
    names, boxes = [name for name, _ in objects], [box for _, box in objects]
    others = {
        str(child.tag): None for entry in entries for child in entry if child.tag not in VOC_NAMES
    }
    difficult = [(entry.findtext("difficult") or "").strip() == "1" for entry in entries]
    sides = [whole_number_in((root.findtext(f"size/{side}") or "").strip())
             for side in ("height", "width")]  # fmt: skip
    return BoxFile(
        path=path, format="voc", fmt="xyxy", keys=_keys(path, names, wanted),
        unused=tuple(others), notes=_difficult_told(sum(difficult)),
        ignored=np.array(difficult, np.bool_), boxes=np.array(boxes, np.float64).reshape(-1, 4),
        skipped=skipped,
        **_of_one_image(root.findtext("filename"), sides),
    )  # fmt: skip


def _voc_object(path: Path, where: str, entry: ElementTree.Element) -> tuple[str, list[float]]:
    """The name of an object, and the corners of its box."""
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise FileError(path, "no name", "one in every object", where)
    found_boxes = entry.findall("bndbox")
    if len(found_boxes) != 1:
        is_turned = entry.find("robndbox") is not None
        found = f"{len(found_boxes)} bndbox" if found_boxes else "no bndbox"
        found = "a robndbox (roLabelImg), which is not read" if is_turned else found
        raise FileError(path, found, "one bndbox in every object", where)
    box = found_boxes[0]
    texts = [(box.findtext(corner) or "").strip() for corner in CORNERS]
    values = [number_in(text) for text in texts]
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < len(CORNERS):
        found = f"bndbox {shortened(', '.join(texts))}"
        raise FileError(path, found, f"numbers {', '.join(CORNERS)}", where)
    return name, known


def _of_one_image(file: Any, sides: list[Any]) -> dict[str, Any]:
    """The size of the image of a file, height first, and the name of its own, as far as told."""
    known = all(type(side) is int and 0 < side <= LARGEST_SIDE for side in sides)
    name = re.split(r"[/\\]", file.strip())[-1] if isinstance(file, str) else ""
    return {
        "sizes": {"": (sides[0], sides[1])} if known else {},
        "files": {"": name} if name else {},
    }


def _difficult_told(count: int) -> tuple[str, ...]:
    objects = "object is" if count == 1 else "objects are"
    rule = "to be ignored by the rule of voc: taken along"
    return (f"{count:,} {objects} difficult, {rule}",) if count else ()


# ---- labelme -----------------------------------------------------------------------------------


def is_labelme(data: bytes) -> bool:
    """Whether it is a JSON object with shapes."""
    known = (b'"shape_type"', b'"imagePath"')
    return is_json_object(data) and b'"shapes"' in data and any(word in data for word in known)


@dataclass(frozen=True)
class Shape:
    """A shape of labelme: its label, its kind, its points [x, y] and other names."""

    label: str
    kind: str
    points: list[list[float]]
    others: tuple[str, ...]


def labelme_shapes(
    path: Path, data: bytes, wanted: Wanted, kinds: Sequence[str]
) -> tuple[dict[str, Any], list[Shape], Skipped | None]:
    """What a file of labelme holds, its shapes of some kinds, checked, and what was left out.

    Raises
    ------
    FileError
        It is broken, or a shape is of another kind or has no label.
    """
    content = json_content(path, data, "labelme's JSON", {"shapes": {}})
    entries = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise FileError(path, described(entries), "a list", "shapes")

    def shape(number: int, entry: Any) -> Shape:
        where = f"shapes[{number}]"
        if not isinstance(entry, dict) or type(entry.get("label")) is not str or not entry["label"]:
            raise FileError(path, described(entry), 'an object with a "label"', where)
        kind = entry.get("shape_type", "polygon")
        points: Any = entry.get("points")
        if kind not in kinds:
            *most, last = kinds
            expected = f"{', '.join(most)} or {last}"
            raise FileError(path, f'"shape_type": {described(kind)}', expected, where)
        if not _are_points(points, LEAST_POINTS[kind]):
            expected = f"{LEAST_POINTS[kind]} points or more [x, y]"
            raise FileError(path, f'"points": {described(points)}', expected, where)
        others = {name for name, value in entry.items() if value is not None} - SHAPE_NAMES
        return Shape(entry["label"], kind, points, tuple(sorted(others)))

    _, shapes, skipped = valid_entries(entries, shape, wanted)
    return content, shapes, skipped


def _others(shapes: list[Shape]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for shape in shapes for name in shape.others))


def read_labelme(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read rectangles of an image, and bounds of polygons and circles, in labelme's JSON."""
    without_scores(path, wanted, "labelme's JSON")
    content, shapes, skipped = labelme_shapes(path, data, wanted, [*LEAST_POINTS])
    boxes = []
    for shape in shapes:
        points = _around(*shape.points[:2]) if shape.kind == "circle" else shape.points
        xs, ys = ([point[axis] for point in points] for axis in (0, 1))
        boxes.append((min(xs), min(ys), max(xs), max(ys)))
    names = [shape.label for shape in shapes]
    return BoxFile(
        path=path, format="labelme", fmt="xyxy", keys=_keys(path, names, wanted),
        unused=_others(shapes), skipped=skipped,
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        **_of_one_image(
            content.get("imagePath"), [content.get("imageHeight"), content.get("imageWidth")]
        ),
    )  # fmt: skip


def read_labelme_masks(path: Path, data: bytes, wanted: Wanted) -> MaskFile:
    """Read the polygons and rectangles of an image in labelme's JSON as masks."""
    without_scores(path, wanted, "labelme's JSON")
    content, shapes, skipped = labelme_shapes(path, data, wanted, ["polygon", "rectangle"])
    sides = [content.get("imageHeight"), content.get("imageWidth")]
    if None in sides:
        if wanted.image_size is None:
            expected = "both, or --image-size WIDTH,HEIGHT"
            raise FileError(path, 'no "imageHeight" and "imageWidth"', expected)
        sides = list(wanted.image_size[::-1])
    size = mask_size(path, "imageHeight and imageWidth", sides, "imageHeight")
    masks = []
    for shape in shapes:
        points = np.array(shape.points, np.float64)
        if shape.kind == "rectangle":
            (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
            points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        masks.append([points.reshape(-1)])
    names = [shape.label for shape in shapes]
    return MaskFile(
        path=path, format="labelme", keys=_keys(path, names, wanted), label="shapes",
        unused=_others(shapes), skipped=skipped,
        masks=masks, images={"": size},
    )  # fmt: skip


def _around(middle: list[float], edge: list[float]) -> list[list[float]]:
    """Two corners of the square around a circle."""
    radius = math.dist(middle, edge)
    return [[x + side * radius for x in middle] for side in (-1, 1)]


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
    """Whether rows are a class and normalized points, in number from three on.

    With a score behind, they could be much else: `doubts` says so.
    """
    return sample.has_blanks and bool(sample.cells) and all(
        len(row) >= 7 and len(row) % 2 == 1 and whole_number_in(row[0]) is not None
        and (whole_number_in(row[0]) or 0) >= 0
        and all((number := number_in(cell)) is not None and 0 <= number <= 1 for cell in row[1:])
        for row in sample.cells
    )  # fmt: skip


class _Outlines(NamedTuple):
    """Of each outline its coordinates x y x y ..., its line, its class, and its score if asked."""

    points: list[list[float]]
    lines: list[str]
    keys: dict[str, Array]
    scores: Array | None


def _outlines(path: Path, data: bytes, wanted: Wanted) -> _Outlines:
    """The outlines of a YOLO label file. Scores are behind all points, in all rows or in none."""
    sample = sample_of(data, headed=False)
    with_scores = bool(sample.cells) and len(sample.cells[0]) % 2 == 0
    if not with_scores and sample.cells:
        without_scores(path, wanted, "a row of a class and points x y")
    classes, outlines, scores, lines = [], [], [], []
    for line, cells in sample.rows(data):
        name = whole_number_in(cells[0])
        numbers = [number_in(cell) for cell in cells[1:]]
        if name is None or name < 0:
            found = f"column 1 (class) holds {shortened(cells[0])!r}"
            raise FileError(path, found, "a class", line)
        points = [number for number in numbers if number is not None and 0 <= number <= 1]
        if len(points) < 6 or len(points) % 2 != with_scores or len(points) < len(numbers):
            expected = "a class and 3 points or more, each x y between 0 and 1"
            expected += ", and a score between 0 and 1, as in the first row" * with_scores
            raise FileError(path, shortened(" ".join(cells)), expected, line)
        if with_scores:
            scores.append(points.pop())
        classes.append(name)
        outlines.append(points)
        lines.append(str(line))
    chosen = chosen_keys(path, ["category"], wanted.by)
    return _Outlines(
        outlines, lines, {key: np.array(classes, np.int64) for key in chosen},
        np.array(scores, np.float64) if wanted.takes_scores and with_scores else None,
    )  # fmt: skip


def read_yolo_outlines(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read the bounds of the outlines in a YOLO label file."""
    outlines = _outlines(path, data, wanted)
    boxes = [
        [min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])]
        for points in outlines.points
    ]
    return BoxFile(
        path=path, format="yolo-seg", fmt="xyxy", keys=outlines.keys, scores=outlines.scores,
        boxes=np.array(boxes, np.float64).reshape(-1, 4), unused=("outlines",),
    )  # fmt: skip


def read_yolo_masks(path: Path, data: bytes, wanted: Wanted) -> MaskFile:
    """Read the outlines in a YOLO label file as masks of images of a size that is told."""
    if wanted.image_size is None:
        found = "outlines that are normalized by the image size"
        raise FileError(path, found, "--image-size WIDTH,HEIGHT")
    size = mask_size(path, "--image-size", list(wanted.image_size[::-1]), "1")
    outlines = _outlines(path, data, wanted)
    scale = np.array(wanted.image_size, np.float64)
    masks = [[(np.reshape(points, (-1, 2)) * scale).reshape(-1)] for points in outlines.points]
    return MaskFile(
        path=path, format="yolo-seg", keys=outlines.keys, scores=outlines.scores, label="line",
        masks=masks, images={"": size}, places_told=outlines.lines,
    )  # fmt: skip


# ---- DOTA --------------------------------------------------------------------------------------


#: How the lines above DOTA's rows begin.
DOTA_HEADER = ("imagesource:", "gsd:")


def is_dota(sample: Sample) -> bool:
    """Whether rows are eight numbers, a name and perhaps how difficult, below what may be known."""
    rows = [row for row in sample.cells if not row[0].lower().startswith(DOTA_HEADER)]
    if len(rows) < len(sample.cells) and sample.cells[0] not in rows:
        return sample.has_blanks  # perhaps of an image without objects
    return sample.has_blanks and bool(rows) and all(
        len(row) in (9, 10) and all(number_in(cell) is not None for cell in row[:8])
        and number_in(row[8]) is None
        for row in rows
    )  # fmt: skip


def dota_rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of the rows of DOTA, below its header."""
    rows = cells_of(text_lines(data), None)
    return itertools.dropwhile(lambda row: row[1][0].lower().startswith(DOTA_HEADER), rows)


def read_dota(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read the quadrilaterals of a label file of DOTA: corners, class, and how difficult."""
    without_scores(path, wanted, "a label file of DOTA")
    members: list[list[float]] = []
    names, are_graded = [], False
    for line, cells in dota_rows(data):
        numbers = [number_in(cell) for cell in cells[:8]]
        known = [number for number in numbers if number is not None and abs(number) <= LARGEST]
        if len(cells) not in (9, 10) or len(known) != 8:
            expected = "x and y of 4 corners, a class without blanks, and perhaps how difficult"
            raise FileError(path, shortened(" ".join(cells)), expected, line)
        if len(cells) == 10 and cells[9] not in ("0", "1", "2"):
            found = f"column 10 (difficult) holds {shortened(cells[9])!r}"
            raise FileError(path, found, "0, 1 or 2", line)
        are_graded = are_graded or len(cells) == 10
        members.append(known)
        names.append(cells[8])
    return BoxFile(
        path=path, format="dota", fmt="xyxyxyxy", keys=_keys(path, names, wanted),
        boxes=np.array(members, np.float64).reshape(-1, 8),
        unused=("difficult",) if are_graded else (),
    )  # fmt: skip
