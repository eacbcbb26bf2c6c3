"""Tables as labels of YOLO: a text file for each image, and the names of classes."""

from __future__ import annotations

import numpy as np

from fastiou.formats.content import LARGEST_NORMALIZED, SMALLEST_NORMALIZED
from fastiou.formats.errors import RefusedError
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

__all__ = ["numbered_classes", "yolo_texts"]


def yolo_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """A text file for each image; where classes are names, what their numbers are, too."""
    if about.sizes is not None and not about.sizes.all():
        image = table.keys["image"][np.argmin(about.sizes.all(axis=1))].item()
        raise RefusedError(
            f"{target.name} needs the size of image {image!r}, which the file does not tell: "
            "--image-size W,H does"
        )
    rows_of_numbers = _outlines(target, about) if about.masks else _boxes(target, table, about)
    classes, names = numbered_classes(table.keys["category"], about)
    if len(classes) and classes.min() < 0:
        raise RefusedError(f"{target.name} needs classes from 0 on, got {classes.min()}")
    for name in names:
        if name != name.strip() or len(name.splitlines()) != 1:
            raise RefusedError(f"{target.name} needs names of classes of a line each, got {name!r}")
    for file in files_of_images(target, table, about, ".txt"):
        own = [rows_of_numbers[place].tolist() for place in file.places.tolist()]
        rows = zip(classes[file.places].tolist(), own, strict=True)
        yield file.name, (f"{name} {' '.join(map(number, row))}\n" for name, row in rows)
    if names:
        yield "classes.txt", (f"{name}\n" for name in names)


def _boxes(target: Target, table: BoxTable, about: About) -> Array:
    """Boxes as parts of the image, and perhaps their scores: (n, 4), (n, 5), (n, 8) or (n, 9)."""
    boxes: Array = table.boxes
    if about.sizes is not None:
        boxes = boxes / np.tile(about.sizes, boxes.shape[1] // 2)
        table = table.changed(boxes=boxes)
    if target.fmt == "cxcywh":
        wrong = ~((boxes >= 0) & (boxes <= 1)).all(axis=1) | ~(boxes[:, 2:] > 0).all(axis=1)
        needed, named = "numbers between 0 and 1, and a size", "cx, cy, w and h"
    else:  # corners of a turned box may lie out of the image
        inside = (boxes >= SMALLEST_NORMALIZED) & (boxes <= LARGEST_NORMALIZED)
        wrong = ~inside.all(axis=1)
        needed, named = "numbers between 0 and 1, or not far from these", "four corners"
    check_boxes(target, table, np.asarray(wrong), needed, f"{named} over the size of the image")
    if table.scores is None:
        return boxes
    if target.fmt == "cxcywh":
        wrong = (table.scores < 0) | (table.scores > 1)
        check_boxes(target, table, wrong, "scores between 0 and 1")
    return np.concatenate([boxes, table.scores[:, None]], axis=1)


def _outlines(target: Target, about: About) -> list[Array]:
    """The outline of each mask as parts of the image, x y x y ..."""
    masks, sizes = about.masks, about.sizes
    assert masks is not None
    assert sizes is not None
    outlines = []
    for row, points in enumerate(outlines_of(target, about)):
        parts = (points / sizes[row]).reshape(-1)
        if not ((parts >= 0) & (parts <= 1)).all():
            raise RefusedError(
                f"{target.name} needs outlines within the image: {masks.where(row)} has "
                f"a point outside of {sizes[row][0]} × {sizes[row][1]}"
            )
        outlines.append(parts)
    return outlines


def numbered_classes(classes: Array, about: About) -> tuple[Array, list[str]]:
    """Classes as YOLO has them: places in a list of names, and this list; empty if none has one.

    Where the file tells names of numbers, they are in the order of these, else in the alphabet's.
    """
    known = dict(sorted(about.classes.items(), key=lambda item: (isinstance(item[0], str), item)))
    names = list(known.values())
    used, each = np.unique(classes, return_inverse=True)
    listed = names if classes.dtype.kind == "U" and set(used.tolist()) <= {*names} else [*known]
    if known and set(used.tolist()) <= {*listed}:
        places = np.array([listed.index(value) for value in used.tolist()], np.int64)
        return places[each], names
    return (each, used.tolist()) if classes.dtype.kind == "U" else (classes, [])
