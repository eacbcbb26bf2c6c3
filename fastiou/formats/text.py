"""Text as rows of cells: what stands between them, the first rows, and what formats these fit.

A format without a header is told by its own rules: frames are whole, sizes are positive, scores and
normalized coordinates lie between 0 and 1. Where two fit, none is taken.
"""

from __future__ import annotations

import csv
import functools
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastiou.formats.content import Floats, number_in, whole_number_in

__all__ = [
    "LAYOUTS_OF_ROWS",
    "RowLayout",
    "Sample",
    "cells_of",
    "has_classes_later",
    "sample_of",
    "score_comes_second",
    "text_lines",
]

#: What is looked at to tell a format: so many bytes and rows.
SAMPLE_BYTES, SAMPLE_ROWS = 1 << 16, 200

#: What may stand between cells, besides white space.
DELIMITERS = ",;\t"


def text_lines(data: bytes, newline: str | None = None) -> io.TextIOWrapper:
    """The lines of a file, without a byte order mark; with newline="" they end as in the file."""
    return io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=newline)


def cells_of(lines: Iterator[str], delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank; any white space is None."""
    if delimiter is None:
        for number, line in enumerate(lines, 1):
            if cells := line.split():
                yield number, cells
        return
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    number = 1
    for cells in reader:
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield number, cells
        # Within quotes a row may span lines; it is known by its first.
        number = reader.line_num + 1


@dataclass(frozen=True, eq=False)
class Sample:
    """The first rows of a text.

    Attributes
    ----------
    delimiter : str or None
        Between the cells; None for any white space.
    line : int
        Of the first row.
    first : list of str
        Its cells.
    numbers : array of float64, shape (rows, cells), or None
        The rows up to the first that has other cells than numbers, or another number of them; None
        if the first has.
    cells : list of list of str
        All rows.
    """

    delimiter: str | None
    line: int
    first: list[str]
    numbers: Floats | None
    cells: list[list[str]]

    @property
    def head(self) -> Sample:
        """The first row alone."""
        numbers = None if self.numbers is None else self.numbers[:1]
        return replace(self, numbers=numbers, cells=self.cells[:1])

    @property
    def is_headed(self) -> bool:
        """Whether the first row holds names of columns, not numbers."""
        return not all(number_in(cell) is not None for cell in self.first[:4])


def sample_of(data: bytes) -> Sample:
    """The first rows of a text.

    Raises
    ------
    csv.Error, UnicodeDecodeError
        It cannot be read.
    """
    beginning = data[:SAMPLE_BYTES]
    if len(beginning) < len(data):
        beginning = beginning[: beginning.rfind(b"\n") + 1] or beginning
    return _sample(beginning)


@functools.lru_cache(maxsize=2)
def _sample(data: bytes) -> Sample:
    lines = data.decode("utf-8-sig").splitlines()
    first_line = next((line for line in lines if line.strip()), "")
    count, delimiter = max((first_line.count(mark), mark) for mark in reversed(DELIMITERS))
    between = delimiter if count else None
    rows: list[list[str]] = []
    line = 1
    for number, cells in cells_of(text_lines(data), between):
        line = line if rows else number
        rows.append(cells)
        if len(rows) == SAMPLE_ROWS:
            break
    first = rows[0] if rows else []
    if between is not None and first and all(row[-1:] == [""] for row in rows):
        rows = [row[:-1] for row in rows]  # behind the last comma of each line is nothing
    values = [[number_in(cell) for cell in row] for row in rows]
    good = itertools.takewhile(lambda row: len(row) == len(values[0]) and None not in row, values)
    numbers = np.array(list(good), np.float64)
    return Sample(between, line, first, numbers if len(numbers) else None, rows)


# ---- rules -------------------------------------------------------------------------------------


def _are_whole(column: Floats, low: float, high: float = np.inf) -> bool:
    return bool(((column >= low) & (column <= high) & (column == np.floor(column))).all())


def _are_within(columns: Any, low: float, high: float) -> bool:
    return bool(((columns >= low) & (columns <= high)).all())


def _are_positive(columns: Any) -> bool:
    return not bool((columns <= 0).any())  # NaN may stand for what is not there


@dataclass(frozen=True)
class RowLayout:
    """A format of rows without a header.

    Attributes
    ----------
    format : str
        Its name.
    fmt : str
        Layout of its boxes.
    names : tuple of str
        What its columns are, for messages.
    keys : dict
        The column of each key.
    box : tuple of int
        The columns of the numbers of a box.
    score : int
        The column of the scores.
    widths : tuple of int
        How many cells a row may have; more are allowed where the last is -1.
    fits : function
        Tells whether rows of such a width follow its rules, by a `Sample`.
    named : tuple of str
        Keys that are names, not numbers.
    id : int or None
        The column of the track.
    """

    format: str
    fmt: str
    names: tuple[str, ...]
    keys: dict[str, int]
    box: tuple[int, ...]
    score: int
    widths: tuple[int, ...]
    fits: Callable[[Sample], bool]
    named: tuple[str, ...] = ()
    id: int | None = None

    def takes(self, width: int) -> bool:
        """Whether a row may have so many cells."""
        return width in self.widths or (self.widths[-1] == -1 and width > self.widths[-2])

    def is_in(self, sample: Sample) -> bool:
        """Whether the first rows follow the rules."""
        return self.takes(len(sample.cells[0])) and self.fits(sample)


def _is_mot(sample: Sample) -> bool:
    rows = sample.numbers
    if rows is None:
        return False
    sides = rows[:, 4:6]
    # Neither the score and class of other formats nor anything normalized is a size.
    return (
        all(
            whole_number_in(cell) is not None
            for row in sample.cells[: len(rows)]
            for cell in row[:2]
        )
        and _are_positive(sides)
        and bool((np.nanmax(sides, axis=0, initial=0) > 1).all())
        and not (rows.shape[1] == 10 and _is_visdrone(sample, 2))
        and rows.shape[1] != 8  # which no tracker writes: rather scores of VisDrone in percent
        and not (rows.shape[1] == 6 and _could_be_corners(rows))
    )


def _could_be_corners(rows: Floats) -> bool:
    """Whether six numbers could be frame, id and two corners, or two corners, score and class."""
    if (rows[:, 1] == -1).all():  # no track
        return False
    last = (rows[:, 4:] > rows[:, 2:4]).all()
    first = (rows[:, 2:4] > rows[:, :2]).all() and (rows[:, 4:] <= 100).all()
    return bool(last or first)


def _is_visdrone(sample: Sample, first: int, *, classed: bool = False) -> bool:
    """Whether rows are VisDrone's, behind so many numbers.

    MOT may have places of 0 where VisDrone has classes behind frame and track. Such rows are
    VisDrone's only if that is known.
    """
    rows = sample.numbers
    return (
        rows is not None
        and (first == 0 or _are_whole(rows[:, 0], 0))
        and (first == 0 or _are_whole(rows[:, 1], -1))  # no track where objects are only detected
        and _are_positive(rows[:, first + 2 : first + 4])
        and _are_within(rows[:, first + 4], 0, 1)
        and _are_whole(rows[:, first + 5], 0, 11)
        and bool(first == 0 or classed or rows[:, first + 5].any())
        and _are_whole(rows[:, first + 6], -1, 1)
        and _are_whole(rows[:, first + 7], -1, 2)
    )


def has_classes_later(data: bytes, sample: Sample) -> bool:
    """Whether rows that look like MOT are those of VisDrone's videos, and begin without a class.

    Its files are sorted by track, and regions to be ignored, which have class 0, come first.
    """
    if sample.numbers is None or sample.numbers.shape[1] != 10:
        return False
    if not _is_visdrone(sample, 2, classed=True):
        return False
    rows = cells_of(text_lines(data), sample.delimiter)
    classes = [number_in(cells[7]) for _, cells in rows if len(cells) == 10]
    return any(classes) and all(number in range(12) for number in classes)


def _is_yolo(sample: Sample) -> bool:
    rows = sample.numbers
    return (
        rows is not None
        and sample.delimiter is None
        and _are_whole(rows[:, 0], 0)
        and _are_within(rows[:, 1:], 0, 1)
        and _are_positive(rows[:, 3:5])
    )


def score_comes_second(sample: Sample) -> bool:
    """Whether rows of YOLO with scores are rather class, score, cx, cy, w, h.

    As class, cx, cy, w, h, score a box reaches out of the image, and in the other order none does.
    """
    rows = sample.numbers
    if rows is None or rows.shape[1] != 6:
        return False

    def inside(boxes: Floats) -> bool:
        centres, sides = boxes[:, :2], boxes[:, 2:]
        return _are_within(centres - sides / 2, -0.01, 1.01) and _are_within(
            centres + sides / 2, -0.01, 1.01
        )

    return not inside(rows[:, 1:5]) and inside(rows[:, 2:6])


def _is_kitti(sample: Sample, name: int) -> bool:
    """Whether names stand where KITTI has the type, and numbers elsewhere, the box in order."""
    if sample.delimiter is not None:
        return False
    try:
        boxes = [[float(cell) for cell in row[name + 1 :]] for row in sample.cells]
        frames = [[int(cell) for cell in row[:name]] for row in sample.cells]
    except ValueError:
        return False
    named = all(number_in(row[name]) is None for row in sample.cells)
    corners = all(row[5] >= row[3] and row[6] >= row[4] for row in boxes if len(row) >= 14)
    return named and corners and all(len(row) >= 14 for row in boxes) and len(frames) > 0


VISDRONE = ("x", "y", "w", "h", "score", "class", "truncation", "occlusion")
KITTI = ("type", "truncated", "occluded", "alpha", "x1", "y1", "x2", "y2", "height", "width",
         "length", "x", "y", "z", "rotation", "score")  # fmt: skip

#: The formats of rows without a header, but for CSV.
LAYOUTS_OF_ROWS = (
    RowLayout(
        "mot", "xywh", ("frame", "id", "x", "y", "w", "h", "conf"),
        {"image": 0}, (2, 3, 4, 5), 6, (6, 7, -1), _is_mot, id=1,
    ),
    RowLayout(
        "visdrone", "xywh", VISDRONE, {"category": 5}, (0, 1, 2, 3), 4, (8,),
        lambda sample: _is_visdrone(sample, 0),
    ),
    RowLayout(
        "visdrone-vid", "xywh", ("frame", "id", *VISDRONE), {"image": 0, "category": 7},
        (2, 3, 4, 5), 6, (10,), lambda sample: _is_visdrone(sample, 2), id=1,
    ),
    RowLayout(
        "yolo", "cxcywh", ("class", "cx", "cy", "w", "h", "score"), {"category": 0},
        (1, 2, 3, 4), 5, (5, 6), _is_yolo,
    ),
    RowLayout(
        "kitti", "xyxy", KITTI, {"category": 0}, (4, 5, 6, 7), 15, (15, 16),
        lambda sample: _is_kitti(sample, 0), ("category",),
    ),
    RowLayout(
        "kitti-tracking", "xyxy", ("frame", "id", *KITTI), {"image": 0, "category": 2},
        (6, 7, 8, 9), 17, (17, 18), lambda sample: _is_kitti(sample, 2), ("category",), id=1,
    ),
)  # fmt: skip
