"""Text as rows of cells: what stands between them, the first rows, and what formats these fit.

A format without a header is told by its own rules: frames are whole, sizes are positive, scores and
normalized coordinates lie between 0 and 1. Where two fit, none is taken.
"""

from __future__ import annotations

import csv
import functools
import io
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastiou.formats.content import Floats, classes_come_first, number_in, whole_number_in

__all__ = [
    "LAYOUTS_OF_ROWS",
    "RowLayout",
    "Sample",
    "Tail",
    "cells_of",
    "fits_in_image",
    "has_classes_later",
    "is_mot_or_corners",
    "is_yolo",
    "sample_of",
    "score_comes_second",
    "text_lines",
]

#: What is looked at to tell a format: so many bytes and rows.
SAMPLE_BYTES, SAMPLE_ROWS = 1 << 16, 200

#: So many lines of a file are looked at whole, however long.
WHOLE_LINES = 3

#: So many rows that are all whole are no measurements.
MANY_ROWS = 20

#: The most numbers that MOT has in a row; others may follow where the last three are -1.
MOST_MOT = 10

#: A number with a comma in place of a point, and the first line by which Excel tells delimiters.
COMMA = re.compile(r"[-+]?\d*,\d+")
EXCEL = re.compile(r"sep=(.)", re.IGNORECASE)

#: What may stand between cells, besides white space.
DELIMITERS = ",;\t|"


def text_lines(data: bytes, newline: str | None = None) -> io.TextIOWrapper:
    """The lines of a file, without a byte order mark; with newline="" they end as in the file."""
    return io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=newline)


def cells_of(
    lines: Iterator[str], delimiter: str | None, skipped: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank; any white space is None."""
    rest = itertools.islice(lines, skipped, None)
    if delimiter is None:
        for number, line in enumerate(rest, skipped + 1):
            if cells := line.split():
                yield number, cells
        return
    reader = csv.reader(rest, delimiter=delimiter, skipinitialspace=True)
    number = skipped + 1
    for cells in reader:
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield number, cells
        # Within quotes a row may span lines; it is known by its first.
        number = skipped + reader.line_num + 1


@dataclass(frozen=True, eq=False)
class Sample:
    """The first rows of a text, and how it is written.

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
    skipped : int
        Lines before the first row of data: comments, a header, and what Excel says of delimiters.
    has_end : bool
        Whether there is a delimiter behind the last cell of each row.
    has_commas : bool
        Whether numbers have commas in place of points.
    left_out : int
        How many lines in front begin with # and look like rows.
    """

    delimiter: str | None
    line: int
    first: list[str]
    numbers: Floats | None
    cells: list[list[str]]
    skipped: int = 0
    has_end: bool = False
    has_commas: bool = False
    left_out: int = 0

    @property
    def head(self) -> Sample:
        """The first row alone."""
        numbers = None if self.numbers is None else self.numbers[:1]
        return replace(self, numbers=numbers, cells=self.cells[:1])

    @property
    def is_headed(self) -> bool:
        """Whether the first row holds names of columns, not numbers."""
        return not all(number_in(cell) is not None for cell in self.first[:4])

    @property
    def has_blanks(self) -> bool:
        """Whether blanks or tabs stand between cells, not commas and the like."""
        return self.delimiter in (None, "\t")

    @property
    def has_header(self) -> bool:
        """Whether the first row was taken for a header."""
        return self.skipped >= self.line

    def tidy(self, cells: list[str]) -> list[str]:
        """The cells of a row, without an end that is no cell, and with points in numbers."""
        if self.has_end and cells[-1:] == [""]:
            cells = cells[:-1]
        if self.has_commas:
            cells = [
                cell.replace(",", ".") if COMMA.fullmatch(cell.strip()) else cell for cell in cells
            ]
        return cells

    def rows(self, data: bytes) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of every row of data, below what is before."""
        for line, cells in cells_of(text_lines(data), self.delimiter, self.skipped):
            yield line, self.tidy(cells)


def sample_of(data: bytes, *, headed: bool = True) -> Sample:
    """The first rows of a text.

    Parameters
    ----------
    data
        The text.
    headed
        Whether the first row may be a header.

    Raises
    ------
    csv.Error, UnicodeDecodeError
        It cannot be read.
    """
    beginning = data[:SAMPLE_BYTES]
    if len(beginning) < len(data):
        end = beginning.rfind(b"\n") + 1
        if beginning.count(b"\n") < WHOLE_LINES:  # of thousands of columns
            end = sum(map(len, itertools.islice(io.BytesIO(data), WHOLE_LINES)))
        beginning = data[:end]
    return _sample(beginning, headed)


def _delimiter_in(line: str) -> str | None:
    """What stands between the cells of a row, None for white space."""
    parts = line.split()
    if len(parts) > line.count("\t") + 1 and all(number_in(part) is not None for part in parts):
        return None  # numbers between blanks, and perhaps tabs
    for mark in ";\t|":
        cells = line.split(mark)
        if len(cells) > 1 and all("," not in c or COMMA.fullmatch(c.strip()) for c in cells):
            return mark
    count, delimiter = max((line.count(mark), mark) for mark in reversed(DELIMITERS))
    return delimiter if count else None


@functools.lru_cache(maxsize=4)
def _sample(data: bytes, headed: bool) -> Sample:
    lines = data.decode("utf-8-sig").splitlines()
    places = [place for place, line in enumerate(lines) if line.strip()]
    told = EXCEL.fullmatch(lines[places[0]].strip()) if places else None
    places = places[1:] if told else places
    first = next((n for n, place in enumerate(places) if lines[place].lstrip()[0] != "#"), None)
    comments, start = places[:first], len(lines) if first is None else places[first or 0]
    # Of lines that begin with # one may be the header, as NumPy writes it.
    header = None
    for place in reversed(comments if headed else []):
        text = lines[place].lstrip().lstrip("#")
        between = told[1] if told else _delimiter_in(text)
        cells, below = (
            next((row for _, row in cells_of(iter([each]), between)), [])
            for each in (text, lines[start] if start < len(lines) else "")
        )
        numbered = any(number_in(cell) is not None for cell in below) or not below
        numbered &= not all(number_in(cell) is not None for cell in cells[:4])
        if cells and (len(cells) == len(below) or not below) and numbered:
            header = place
            break
    if header is not None:
        row, line = cells, header + 1
    else:
        line = start + 1
        text = lines[start] if start < len(lines) else ""
        between, row = told[1] if told else _delimiter_in(text), None
    rows = [] if row is None else [row]
    for _, cells in cells_of(text_lines(data), between, start):
        rows.append(cells)
        if len(rows) == SAMPLE_ROWS:
            break
    # A header may lack what stands behind the last cell of rows.
    with_end = rows[1:] if rows[1:] and len(rows[0]) + 1 == len(rows[1]) else rows
    ends = between is not None and bool(rows) and all(each[-1:] == [""] for each in with_end)
    sample = Sample(
        between, line, [], None, [], start, ends,
        between not in (",", None)
        and any(COMMA.fullmatch(cell.strip()) for each in rows for cell in each),
    )  # fmt: skip
    rows = [sample.tidy(each) for each in rows]
    values = [[number_in(cell) for cell in each] for each in rows]
    good = itertools.takewhile(
        lambda each: len(each) == len(values[0]) and None not in each, values
    )
    numbers = np.array(list(good), np.float64)
    sample = replace(
        sample, cells=rows, first=rows[0] if rows else [], numbers=numbers if len(numbers) else None
    )
    width = len(rows[-1]) if rows else 0
    like_rows = sum(
        any(number_in(cell) is not None for cell in each) and len(sample.tidy(each)) == width
        for place in comments if place != header
        for _, each in cells_of(iter([lines[place].lstrip().lstrip("#")]), between)
    )  # fmt: skip
    sample = replace(sample, left_out=like_rows)
    in_place = headed and header is None and sample.is_headed
    return replace(sample, skipped=line) if in_place else sample


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
    tail : function or None
        Tells what further columns are, by a `Sample`.
    flags : bool
        Whether scores of 0 among those of 0 and 1 mark what is to be ignored.
    signs : tuple of int
        What the numbers of a box are multiplied by, where axes point the other way.
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
    tail: Callable[[Sample], Tail] | None = None
    flags: bool = False
    signs: tuple[int, ...] = ()

    def takes(self, width: int) -> bool:
        """Whether a row may have so many cells."""
        return width in self.widths or (self.widths[-1] == -1 and width > self.widths[-2])

    def is_in(self, sample: Sample) -> bool:
        """Whether the first rows follow the rules."""
        return self.takes(len(sample.cells[0])) and self.fits(sample)


def _is_mot(sample: Sample) -> bool:
    return _looks_like_mot(sample) and not is_mot_or_corners(sample)


def is_mot_or_corners(sample: Sample) -> bool:
    """Whether rows of six numbers could be frame, track and box, or two corners and two more."""
    rows = sample.numbers
    return (
        rows is not None
        and rows.shape[1] == 6
        and _looks_like_mot(sample)
        and _could_be_corners(rows)
    )


def _looks_like_mot(sample: Sample) -> bool:
    rows = sample.numbers
    if rows is None:
        return False
    sides = rows[:, 4:6]
    # Neither the score and class of other formats nor anything normalized is a size.
    return (
        (rows.shape[1] <= MOST_MOT or (rows[:, 7:MOST_MOT] == -1).all())
        and all(
            whole_number_in(cell) is not None
            for row in sample.cells[: len(rows)]
            for cell in row[:2]
        )
        and _are_positive(sides)
        and bool((np.nanmax(sides, axis=0, initial=0) > 1).all())
        and not (rows.shape[1] == 10 and _is_visdrone(sample, 2) and _has_varied_marks(rows))
        and rows.shape[1] != 8  # which no tracker writes: rather scores of VisDrone in percent
        # Confidences that are whole and above 1 are rather sides, behind a column more.
        and not (rows.shape[1] == 7 and _are_whole(rows[:, 6], 2, 1e9))
    )


@dataclass(frozen=True)
class Tail:
    """What the columns of a format are that not all of its files have.

    Attributes
    ----------
    names : tuple of str
        Of the columns.
    keys : dict
        The column of each key among them.
    unused : tuple of str
        Those that are not used, but for such as hold -1 in place of a number.
    """

    names: tuple[str, ...] = ()
    keys: dict[str, int] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


def _mot_tail(sample: Sample) -> Tail:
    rows = sample.numbers
    if rows is None or rows.shape[1] < 8:
        return Tail()
    names: tuple[str, ...] = tuple(f"column {n}" for n in range(8, rows.shape[1] + 1))
    keys: dict[str, int] = {}
    if rows.shape[1] == 9 and _are_whole(rows[:, 7], 0) and _are_within(rows[:, 8], 0, 1):
        names, keys = ("class", "visibility"), {"category": 7}
    elif rows.shape[1] == 10:
        names = ("x in the world", "y in the world", "z in the world")
    used = {column - 7 for column in keys.values()}
    holds = (rows[:, 7:] != -1).any(axis=0)
    unused = [name for n, name in enumerate(names) if holds[n] and n not in used]
    return Tail(names, keys, tuple(unused))


def _has_varied_marks(rows: Floats) -> bool:
    """Whether ten columns end with what VisDrone marks, and not with places in the world.

    Places are hardly ever whole, and the last of them, the height above ground, is the same.
    Detections have no marks: -1 twice behind a class, where MOT without places has it three times.
    """
    found = bool((rows[:, 8:10] == -1).all())
    regions, scores = rows[:, 7] == 0, rows[:, 6]  # to be ignored: of class 0, and score 0 alone
    ignored = bool(regions.any() and ((scores == 0) == regions).all())
    return found or ignored or len(rows) >= MANY_ROWS or len(set(rows[:, 9].tolist())) > 1


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


def is_yolo(sample: Sample) -> bool:
    """Whether rows are a class and numbers of which most could be normalized.

    Some may be wrong: the reader, which knows the lines, says which.
    """
    rows = sample.numbers
    if rows is None or not sample.has_blanks or rows.shape[1] not in (5, 6, 7):
        return False
    if rows.shape[1] == 7 and not (_are_whole(rows[:, 6], 0) and fits_in_image(rows[:, 1:5])):
        return False  # a triangle
    return bool(np.count_nonzero(classes_come_first(rows[:, :6])) > len(rows) / 2)


def fits_in_image(boxes: Floats) -> bool:
    """Whether normalized boxes, (n, 4) as cxcywh, lie within the image, but for a hundredth."""
    centres, sides = boxes[:, :2], boxes[:, 2:]
    return _are_within(centres - sides / 2, -0.01, 1.01) and _are_within(
        centres + sides / 2, -0.01, 1.01
    )


def score_comes_second(sample: Sample) -> bool:
    """Whether rows of YOLO with scores are rather class, score, cx, cy, w, h.

    As class, cx, cy, w, h, score a box reaches out of the image, and in the other order none does.
    """
    rows = sample.numbers
    if rows is None or rows.shape[1] != 6:
        return False
    return not fits_in_image(rows[:, 1:5]) and fits_in_image(rows[:, 2:6])


def _is_kitti(sample: Sample, name: int) -> bool:
    """Whether names stand where KITTI has the type, and numbers elsewhere, the box in order."""
    if not sample.has_blanks:
        return False
    try:
        boxes = [[float(cell) for cell in row[name + 1 :]] for row in sample.cells]
        frames = [[int(cell) for cell in row[:name]] for row in sample.cells]
    except ValueError:
        return False
    if not frames or any(len(row) < 14 for row in boxes):
        return False
    named = all(number_in(row[name]) is None for row in sample.cells)
    return named and all(row[5] >= row[3] and row[6] >= row[4] for row in boxes)


def _is_retinanet(sample: Sample) -> bool:
    """Whether rows are the name of an image, two corners, the name of a class, perhaps a score.

    Images without objects have a row without the others.
    """
    rows = [row for row in sample.cells if any(row[1:]) or not row[0]]
    if sample.delimiter is None or not sample.cells:
        return False
    for row in rows:
        corners = [number_in(cell) for cell in row[1:5]]
        if len(row) not in (6, 7) or None in corners:
            return False
        x1, y1, x2, y2 = corners
        in_order = x1 < x2 and y1 < y2  # type: ignore[operator]
        names = (number_in(row[0]), number_in(row[5])) == (None, None) and row[0] and row[5]
        score = number_in(row[6]) if len(row) == 7 else 0
        if not (in_order and names and score is not None and 0 <= score <= 1):
            return False
    return True


def _is_dota_results(sample: Sample) -> bool:
    """Whether rows are the name of an image, a score and eight numbers."""
    return sample.has_blanks and all(
        len(row) == 10
        and number_in(row[0]) is None
        and 0 <= (number_in(row[1]) or 0.0) <= 1
        and all(number_in(cell) is not None for cell in row[1:])
        for row in sample.cells
    )


CORNERS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")
VISDRONE = ("x", "y", "w", "h", "score", "class", "truncation", "occlusion")
KITTI = ("type", "truncated", "occluded", "alpha", "x1", "y1", "x2", "y2", "height", "width",
         "length", "x", "y", "z", "rotation", "score")  # fmt: skip

#: KITTI's camera has y down, and its rotation from z towards x.
UPWARDS = (1, 1, -1, 1, 1, 1, -1)

#: The formats of rows without a header, but for CSV.
LAYOUTS_OF_ROWS = (
    RowLayout(
        "mot", "xywh", ("frame", "id", "x", "y", "w", "h", "conf"),
        {"image": 0}, (2, 3, 4, 5), 6, (6, 7, -1), _is_mot, id=1, tail=_mot_tail,
        flags=True,
    ),
    RowLayout(
        "visdrone", "xywh", VISDRONE, {"category": 5}, (0, 1, 2, 3), 4, (8,),
        lambda sample: _is_visdrone(sample, 0), flags=True,
    ),
    RowLayout(
        "visdrone-vid", "xywh", ("frame", "id", *VISDRONE), {"image": 0, "category": 7},
        (2, 3, 4, 5), 6, (10,), lambda sample: _is_visdrone(sample, 2), id=1, flags=True,
    ),
    RowLayout(
        "yolo", "cxcywh", ("class", "cx", "cy", "w", "h", "score", "id"), {"category": 0},
        (1, 2, 3, 4), 5, (5, 6, 7), is_yolo, id=6,
    ),
    RowLayout(
        "kitti", "xyxy", KITTI, {"category": 0}, (4, 5, 6, 7), 15, (15, 16),
        lambda sample: _is_kitti(sample, 0), ("category",),
    ),
    RowLayout(
        "kitti-tracking", "xyxy", ("frame", "id", *KITTI), {"image": 0, "category": 2},
        (6, 7, 8, 9), 17, (17, 18), lambda sample: _is_kitti(sample, 2), ("category",), id=1,
    ),
    # The same rows, as boxes in space: x, z and up are the axes. It is asked for by name alone.
    RowLayout(
        "kitti-3d", "xyzwhdr-bottom", KITTI, {"category": 0}, (11, 13, 12, 10, 9, 8, 14), 15,
        (15, 16), lambda sample: False, ("category",), signs=UPWARDS,
    ),
    RowLayout(
        "kitti-tracking-3d", "xyzwhdr-bottom", ("frame", "id", *KITTI),
        {"image": 0, "category": 2}, (13, 15, 14, 12, 11, 10, 16), 17, (17, 18),
        lambda sample: False, ("category",), id=1, signs=UPWARDS,
    ),
    RowLayout(
        "retinanet", "xyxy", ("path", "x1", "y1", "x2", "y2", "class", "score"),
        {"image": 0, "category": 5}, (1, 2, 3, 4), 6, (6, 7), _is_retinanet,
        ("image", "category"),
    ),
    RowLayout(
        "dota-results", "xyxyxyxy", ("image", "score", *CORNERS), {"image": 0},
        (2, 3, 4, 5, 6, 7, 8, 9), 1, (10,), _is_dota_results, ("image",),
    ),
    # Outlines of four points have the same numbers: no content tells them apart.
    RowLayout(
        "yolo-obb", "xyxyxyxy", ("class", *CORNERS, "score", "id"), {"category": 0},
        (1, 2, 3, 4, 5, 6, 7, 8), 9, (9, 10, 11), lambda sample: False, id=10,
    ),
)  # fmt: skip
