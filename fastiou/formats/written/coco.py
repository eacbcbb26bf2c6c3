"""Tables as COCO's JSON, and as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np

from fastiou.formats.errors import RefusedError
from fastiou.formats.written.outlines import as_json
from fastiou.formats.written.target import About, Target, Texts, check_boxes, images_of, rows_of
from fastiou.tables.box_table import BoxTable
from fastiou.typing import Array

__all__ = ["ONLY_CLASS", "coco_texts", "json_lines"]

#: The class of all that comes without one.
ONLY_CLASS: dict[int | str, str] = {1: "object"}


def json_lines(target: Target, table: BoxTable, about: About) -> Texts:
    """An object for each box, with the columns of CSV."""
    _check_no_nan(target, table)
    yield "", (json.dumps(row, ensure_ascii=False) + "\n" for row in rows_of(table.columns()))


def _check_no_nan(target: Target, table: BoxTable) -> None:
    """Raise a RefusedError if there is NaN, which JSON does not have."""
    wrong = np.isnan(table.boxes).any(axis=1)
    check_boxes(target, table, wrong, "numbers that are not NaN, which .csv can have")


def coco_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """A list of results where there are scores, else annotations with their images."""
    _check_no_nan(target, table)
    names = {"image": "image_id", "category": "category_id"}
    keys = dict(table.keys)
    classes: Mapping[int | str, str] = about.classes
    if "category" not in keys:  # which other readers of COCO insist on
        keys["category"], classes = np.ones(len(table), np.int64), ONLY_CLASS
    elif classes:  # names of numbers that the file tells become these
        keys["category"] = _numbers_of(keys["category"], classes)
    columns = {names[key]: values for key, values in keys.items()}
    extras = {"id": table.ids, "iscrowd": table.iscrowd, "score": table.scores}
    columns |= {name: column for name, column in extras.items() if column is not None}
    if table.scores is not None:
        yield "", _listed("[", _entries(columns, table.boxes, about), "]\n")
        return
    if table.ids is not None:
        kinds, counts = np.unique(table.ids, return_counts=True)
        if len(kinds) < len(table):
            raise RefusedError(
                f"{target.name} needs another id for each box, and {kinds[counts.argmax()]} comes "
                "again, as of a track: --drop id counts them from 1"
            )
    count = len(table)
    zeros = np.zeros(count, np.int64)
    columns = {"id": np.arange(1, count + 1), "iscrowd": zeros, **columns}
    columns["iscrowd"] = columns["iscrowd"].astype(np.int64)
    columns["area"] = (
        np.prod(table.boxes[:, 2:], axis=1) if about.masks is None else about.masks.areas
    )
    images = []
    for value, _, (width, height) in images_of(table, about):
        file = about.files.get(value, value)
        name = {"file_name": file} if isinstance(file, str) else {}
        sides = {"width": width, "height": height} if width else {}
        images.append({"id": value, **name, **sides})
    used = np.unique(keys["category"]).tolist()
    used = sorted(classes) if {*used} <= classes.keys() else used  # those without boxes, too
    categories = [{"id": value, "name": classes.get(value, str(value))} for value in used]
    head = {"images": images, "categories": categories}
    start = json.dumps(head, ensure_ascii=False).removesuffix("}") + ', "annotations": ['
    yield "", _listed(start, _entries(columns, table.boxes, about), "]}\n")


def _numbers_of(classes: Array, known: Mapping[int | str, str]) -> Array:
    """Classes by their numbers, where all are names of which these are known."""
    numbers = {name: number for number, name in known.items()}
    used, each = np.unique(classes, return_inverse=True)
    if not set(used.tolist()) <= numbers.keys():
        return classes
    return np.array([numbers[name] for name in used.tolist()])[each]


def _entries(columns: dict[str, Array], boxes: Array, about: About) -> Iterator[str]:
    masks = [None] * len(boxes) if about.masks is None else about.masks.segmentations
    for row, box, mask in zip(rows_of(columns), boxes.tolist(), masks, strict=True):
        outline = {} if mask is None else {"segmentation": as_json(mask)}
        yield json.dumps({**row, "bbox": box, **outline}, ensure_ascii=False)


def _listed(start: str, entries: Iterator[str], end: str) -> Iterator[str]:
    yield start
    for place, entry in enumerate(entries):
        yield (",\n" if place else "\n") + entry
    yield "\n" + end
