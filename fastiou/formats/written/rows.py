"""Tables as rows of text without a header: MOT, VisDrone, KITTI, RetinaNet and DOTA."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastiou.formats.content import kind_of, number_in
from fastiou.formats.doubts import track_again
from fastiou.formats.errors import RefusedError, shortened
from fastiou.formats.text import SAMPLE_ROWS
from fastiou.formats.written.target import (
    About,
    Target,
    Texts,
    check_boxes,
    files_of_images,
    is_text,
    number,
)
from fastiou.tables.box_table import BoxTable
from fastiou.typing import Array

__all__ = [
    "dota_result_texts",
    "dota_texts",
    "is_cell",
    "is_word",
    "kitti_texts",
    "kitti_tracking_texts",
    "mot_texts",
    "retinanet_texts",
    "visdrone_texts",
    "visdrone_video_texts",
]


#: What KITTI has before a box and behind it for what is not known.
BEFORE, BEHIND = ("-1", "-1", "-10"), ("-1", "-1", "-1", "-1000", "-1000", "-1000", "-10")


def is_word(name: str) -> bool:
    """Whether a name between blanks is read back, wherever in a row it stands."""
    return is_cell(name) and not re.search(r"[\s,]", name)


def is_cell(name: str) -> bool:
    """Whether a name between commas is read back, wherever in a row it stands."""
    begins = name[:1] not in "#<" and kind_of(name.encode("utf-8", "replace")) == "text"
    return is_text(name) and begins and number_in(name) is None and not re.search(r"[;|\t]", name)


def _column(table: BoxTable, name: str, usual: float) -> Array:
    """The scores or the ids; without them the same for all."""
    column: Array | None = table.scores if name == "score" else table.ids
    return np.full(len(table), usual) if column is None else column


def _lines(columns: Iterable[Any], between: str) -> Iterator[str]:
    """Rows of cells, each a text or a number."""
    lists = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
    for row in zip(*lists, strict=True):
        cells = (cell if isinstance(cell, str) else number(cell) for cell in row)
        yield between.join(cells) + "\n"


def _check_positive(target: Target, table: BoxTable) -> None:
    wrong = ~(table.boxes[:, 2:] > 0).all(axis=1)
    check_boxes(target, table, wrong, "a positive width and height")


def _check_ordered(target: Target, table: BoxTable) -> None:
    wrong = ~(table.boxes[:, 2:] >= table.boxes[:, :2]).all(axis=1)
    check_boxes(target, table, wrong, "corners in order")


def _check_known(target: Target, table: BoxTable) -> None:
    check_boxes(target, table, np.isnan(table.boxes).any(axis=1), "numbers that are not NaN")


def _check_scores(target: Target, table: BoxTable) -> None:
    scores = table.scores
    if scores is not None and ((scores < 0) | (scores > 1)).any():
        worst = scores[int(((scores < 0) | (scores > 1)).argmax())]
        raise RefusedError(f"{target.name} needs scores between 0 and 1, got {number(worst)}")


# ---- MOT ---------------------------------------------------------------------------------------


def mot_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """A row for each box: frame, track, box, confidence and no place in the world."""
    _check_positive(target, table)
    most = table.boxes[:SAMPLE_ROWS, 2:].max(axis=0)
    small = np.broadcast_to((most <= 1).any(), len(table))
    check_boxes(target, table, small, "boxes in pixels, of which some are wider and higher than 1")
    ids, scores = _column(table, "id", -1), _column(table, "score", 1)
    again = track_again(table.keys["image"], ids)
    twice = np.arange(len(table)) == (-1 if again is None else again)
    check_boxes(target, table, twice, "one box of each track in a frame")
    nothing = np.full(len(table), -1)
    columns = [table.keys["image"], ids, *table.boxes.T, scores, *[nothing] * 3]
    yield "", _lines(columns, ",")


# ---- VisDrone ----------------------------------------------------------------------------------


def _visdrone_columns(target: Target, table: BoxTable) -> list[Any]:
    """The columns of both of its formats, checked; what is marked behind them is not known."""
    _check_positive(target, table)
    _check_scores(target, table)
    classes = table.keys["category"]
    wrong = (classes < 0) | (classes > 11)
    if wrong.any():
        found = classes[int(wrong.argmax())]
        raise RefusedError(f"{target.name} needs classes from 0 to 11, got {found}")
    marks = np.full(len(table), -1)
    return [*table.boxes.T, _column(table, "score", 1), classes, marks, marks]


def visdrone_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """A file for each image of VisDrone-DET."""
    columns = _visdrone_columns(target, table)
    for file in files_of_images(target, table, about, ".txt"):
        yield file.name, _lines([column[file.places] for column in columns], ",")


def visdrone_video_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """The boxes of a video of VisDrone, with frame and track in front."""
    columns = _visdrone_columns(target, table)
    if not table.keys["category"].any():
        raise RefusedError(f"{target.name} needs a class above 0: without one it could be mot")
    ids, frames = _column(table, "id", -1), table.keys["image"]
    for name, column, least in (("image", frames, 0), ("id", ids, -1)):
        if column.min() < least:
            found = column.min()
            raise RefusedError(f"{target.name} needs whole numbers from {least} on for {name}, "
                               f"got {found}")  # fmt: skip
    yield "", _lines([frames, ids, *columns], ",")


# ---- KITTI -------------------------------------------------------------------------------------


def _kitti_columns(target: Target, table: BoxTable) -> list[Any]:
    """The columns of both of its formats; what is not known of objects is as KITTI has it."""
    _check_ordered(target, table)
    count = len(table)
    columns = [
        table.keys["category"], *(np.full(count, text) for text in BEFORE), *table.boxes.T,
        *(np.full(count, text) for text in BEHIND),
    ]  # fmt: skip
    return columns if table.scores is None else [*columns, table.scores]


def kitti_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """A file for each image of KITTI."""
    columns = _kitti_columns(target, table)
    for file in files_of_images(target, table, about, ".txt"):
        yield file.name, _lines([column[file.places] for column in columns], " ")


def kitti_tracking_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """The boxes of a sequence of KITTI, with frame and track in front."""
    columns = [table.keys["image"], _column(table, "id", -1), *_kitti_columns(target, table)]
    yield "", _lines(columns, " ")


# ---- RetinaNet ---------------------------------------------------------------------------------


def retinanet_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """A row for each box: the name of the image, corners, the name of the class, a score."""
    wrong = ~(table.boxes[:, 2:] > table.boxes[:, :2]).all(axis=1)
    check_boxes(target, table, wrong, "corners in order, and a width and height")
    _check_scores(target, table)
    images, classes = (
        [f'"{name.replace(chr(34), chr(34) * 2)}"' if re.search('[,"]', name) else name
         for name in table.keys[key].tolist()]
        for key in ("image", "category")
    )  # fmt: skip
    columns = [images, *table.boxes.T, classes]
    yield "", _lines(columns if table.scores is None else [*columns, table.scores], ",")


# ---- DOTA --------------------------------------------------------------------------------------


def dota_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """A file for each image of DOTA: four corners, the class, and that none is difficult."""
    _check_known(target, table)
    columns = [*table.boxes.T, table.keys["category"], np.zeros(len(table))]
    for file in files_of_images(target, table, about, ".txt"):
        yield file.name, _lines([column[file.places] for column in columns], " ")


def dota_result_texts(target: Target, table: BoxTable, about: About) -> Texts:
    """A file for each class: image, score and four corners."""
    _check_known(target, table)
    _check_scores(target, table)
    if table.scores is None:
        raise RefusedError(f"{target.name} needs scores: --to dota writes labels")
    classes = table.keys["category"]
    columns = [table.keys["image"], table.scores, *table.boxes.T]
    for name in np.unique(classes).tolist():
        if re.search(r"[/\\.]", name):
            found = shortened(repr(name))
            raise RefusedError(
                f"{target.name} needs classes whose names can be those of files, got {found}"
            )
        chosen = classes == name
        yield f"Task1_{name}.txt", _lines([column[chosen] for column in columns], " ")
