"""Boxes in text: CSV files and those of MOT challenges."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fastiou.formats.content import (
    BoxFile,
    Floats,
    Integers,
    Wanted,
    are_exact_integers,
    number_in,
    whole_number_in,
)
from fastiou.formats.errors import FileError, shortened
from fastiou.formats.layouts import LAYOUTS, header_of

__all__ = ["BOX_COLUMNS", "looks_like_mot", "read_csv", "read_mot"]

#: Column names of a CSV file, and the layout that they mean: of several, the first.
BOX_COLUMNS: dict[tuple[str, ...], str] = {}
for _fmt in LAYOUTS:
    BOX_COLUMNS.setdefault(header_of(_fmt), _fmt)

#: Column names of a CSV file, and the grouping key that they mean. A frame of a sequence is an
#: image: so a CSV file with image_id groups with a MOT file.
KEY_COLUMNS = {
    "frame": "image",
    "image_id": "image",
    "image": "image",
    "group": "image",
    "category_id": "category",
    "category": "category",
    "class": "category",
}

#: Column names of a CSV file that mean how sure a box is; the first that is there counts.
SCORE_COLUMNS = ("score", "confidence", "conf")

#: Columns of a row of MOT text: frame, id, x, y, w, h, conf, and more that do not matter here.
MOT_KEY = {"image": 0}
MOT_BOX = (2, 3, 4, 5)
MOT_SCORE = 6
MOT_NAMES = ("frame", "id", "x", "y", "w", "h", "conf")


def looks_like_mot(data: bytes, wanted: Wanted) -> bool:
    """Whether text is that of MOT challenges rather than CSV, by its first line.

    Parameters
    ----------
    data
        The content of a file.
    wanted
        Rows of as many numbers as its layout has, with a score if scores are wanted, are CSV.
    """
    try:
        _, cells, _ = _first_row(data)
    except (csv.Error, UnicodeDecodeError):
        return False
    width = len(cells)
    if not _is_numeric(cells) or width == LAYOUTS[wanted.fmt] + wanted.scored:
        return False
    # Not x1,y1,x2,y2,score,class: frame and track are whole, width and height above 1.
    return all(whole_number_in(cell) is not None for cell in cells[:2]) and (
        width >= 7 or (width == 6 and all((number_in(cell) or 0) > 1 for cell in cells[4:]))
    )


def read_csv(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from CSV, as `fastiou.formats.table.read_boxes`."""
    return _read(path, data, wanted, _csv_layout)


def read_mot(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from MOT text, as `fastiou.formats.table.read_boxes`."""
    return _read(path, data, wanted, _mot_layout)


def _read(
    path: Path, data: bytes, wanted: Wanted, lay_out: Callable[[Path, bytes, Wanted], _Table]
) -> BoxFile:
    try:
        table = lay_out(path, data, wanted)
        if not wanted.grouped:
            table = replace(table, keys={})
        if not wanted.scored:
            table = replace(table, score=())
        # The careful way is 20 times slower. It says what is wrong and where, or finds that all is
        # well with what the fast way does not know: quoted delimiters, group numbers beyond
        # float64.
        keys, boxes, scores = _load_table(data, table) or _scan_table(path, data, table)
    except csv.Error as error:
        raise FileError(path, f"not CSV ({error})") from None
    return BoxFile(
        path=path,
        format=table.format,
        fmt=table.fmt,
        boxes=boxes,
        keys=keys,
        scores=scores[:, 0] if table.score else None,
    )


@dataclass(frozen=True)
class _Table:
    """How a text file is laid out."""

    format: str
    fmt: str
    #: Between the cells; None for any white space.
    delimiter: str | None
    #: Cells in every row.
    width: int
    #: Lines before the first row of data.
    skipped: int
    #: Column of each grouping key.
    keys: dict[str, int]
    #: Columns of the numbers of a box.
    box: tuple[int, ...]
    #: Column of the score; none if nobody asks for it.
    score: tuple[int, ...] = ()
    #: Names of columns, for messages.
    names: Sequence[str] = ()


def _text_lines(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), "utf-8-sig")


def _cells(lines: Iterator[str], delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank."""
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


def _first_row(data: bytes) -> tuple[int, list[str], str | None]:
    """Line number and cells of the first row, and what stands between cells."""
    first_line = next((line for line in _text_lines(data) if line.strip()), "")
    delimiter = "," if "," in first_line else None
    number, cells = next(_cells(_text_lines(data), delimiter), (1, []))
    return number, cells, delimiter


def _is_numeric(cells: list[str]) -> bool:
    """Whether the first row holds numbers; else it names the columns."""
    return all(number_in(cell) is not None for cell in cells[:4])


def _mot_layout(path: Path, data: bytes, wanted: Wanted) -> _Table:
    number, cells, delimiter = _first_row(data)
    width = len(cells)
    if width < 6 + wanted.scored:
        expected = "7 or more: frame, id, x, y, w, h, conf, …"
        if not wanted.scored:
            expected = "6 or more: frame, id, x, y, w, h, …"
        raise FileError(path, _columns(width), expected, number)
    score = (MOT_SCORE,) if wanted.scored else ()
    return _Table("mot", "xywh", delimiter, width, number - 1, MOT_KEY, MOT_BOX, score, MOT_NAMES)


def _csv_layout(path: Path, data: bytes, wanted: Wanted) -> _Table:
    number, cells, delimiter = _first_row(data)
    if not _is_numeric(cells):
        return _headed_layout(path, cells, delimiter, number, wanted)
    width, numbers = len(cells), LAYOUTS[wanted.fmt]
    if width != numbers + wanted.scored:
        what = "boxes and scores" if wanted.scored else "boxes"
        expected = (
            f"{numbers + wanted.scored} ({what}), {6 + wanted.scored} or more that begin "
            "with whole numbers of frame and track (MOT), a header that names the columns, or "
            "--format mot"
        )
        raise FileError(path, f"{_columns(width)} of numbers", expected, number)
    box, score = tuple(range(numbers)), (numbers,) if wanted.scored else ()
    return _Table("csv", wanted.fmt, delimiter, width, number - 1, {}, box, score)


def _headed_layout(
    path: Path, header: list[str], delimiter: str | None, line: int, wanted: Wanted
) -> _Table:
    names, scored = [name.strip().lower() for name in header], wanted.scored
    named = [known for known in BOX_COLUMNS if set(known) <= set(names)]
    # Of cx,cy,w,h and the same with more numbers, those with more.
    layouts = [known for known in named if not any(set(known) < set(other) for other in named)]
    score_name = next((name for name in SCORE_COLUMNS if name in names), None)
    known_names = {*KEY_COLUMNS, *itertools.chain(*BOX_COLUMNS), score_name if scored else None}
    used = [name for name in names if name in known_names]
    twice = sorted({name for name in used if used.count(name) > 1})
    if len(layouts) > 1 or twice:
        found = f"columns {', '.join(twice)} come twice" if twice else "columns of several layouts"
        raise FileError(path, found, "one set of boxes", line)
    box_names = layouts[0] if layouts else None
    if box_names is None:
        known = " or ".join(map(",".join, BOX_COLUMNS))
        found = f"the first line {shortened(','.join(header))!r} names no boxes"
        raise FileError(path, found, f"columns {known}, or rows of numbers", line)
    if scored and score_name is None:
        found = f"the first line {shortened(','.join(header))!r} names no scores"
        raise FileError(path, found, f"a column {' or '.join(SCORE_COLUMNS)}", line)
    score = () if score_name is None else (names.index(score_name),)
    keys: dict[str, int] = {}
    for name, key in KEY_COLUMNS.items():
        if name in names:
            keys.setdefault(key, names.index(name))
    box = tuple(names.index(name) for name in box_names)
    # Layouts that differ by the angle alone have the same names: then it is the one asked for.
    fmt = wanted.fmt if header_of(wanted.fmt) == box_names else BOX_COLUMNS[box_names]
    return _Table("csv", fmt, delimiter, len(names), line, keys, box, score, names)


def _load_table(data: bytes, table: _Table) -> tuple[dict[str, Integers], Floats, Floats] | None:
    """The fast way: None for whatever is the least unusual."""
    if not _is_rectangular(data, table):
        return None
    try:
        numbers = np.loadtxt(
            _text_lines(data),
            delimiter=table.delimiter,
            comments=None,
            quotechar='"',
            skiprows=table.skipped,
            usecols=[*table.keys.values(), *table.box, *table.score],
            ndmin=2,
        )
    except ValueError:
        return None
    keys, boxes, scores = np.hsplit(numbers, np.cumsum([len(table.keys), len(table.box)]))
    if np.isinf(boxes).any() or not (are_exact_integers(keys).all() and np.isfinite(scores).all()):
        return None
    return (
        dict(zip(table.keys, keys.T.astype(np.int64), strict=True)),
        np.ascontiguousarray(boxes),
        np.ascontiguousarray(scores),
    )


def _is_rectangular(data: bytes, table: _Table) -> bool:
    """Whether all lines have the right number of cells, and at least one holds data."""
    codes = np.frombuffer(data.rstrip(), np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    if len(ends) < table.skipped:  # nothing below the header
        return False
    starts = np.concatenate([[0], ends + 1])
    if table.delimiter is not None:
        marks = codes == ord(table.delimiter)
        expected = table.width - 1
    else:
        blank = codes <= ord(" ")
        marks = ~blank
        marks[1:] &= blank[:-1]
        expected = table.width
    counts = np.add.reduceat(marks, starts, dtype=np.int64)
    return bool((counts == expected).all())


def _scan_table(
    path: Path, data: bytes, table: _Table
) -> tuple[dict[str, Integers], Floats, Floats]:
    keys: dict[str, list[int]] = {key: [] for key in table.keys}
    numbers: list[float] = []
    scores: list[float] = []
    for line, cells in _cells(_text_lines(data), table.delimiter):
        if line <= table.skipped:
            continue
        if len(cells) != table.width:
            raise FileError(path, _columns(len(cells)), str(table.width), line)
        for key, column in table.keys.items():
            keys[key].append(_key_cell(path, table, line, column, cells[column]))
        numbers.extend(_box_cell(path, table, line, column, cells[column]) for column in table.box)
        scores.extend(
            _score_cell(path, table, line, column, cells[column]) for column in table.score
        )
    return (
        {key: np.array(values, np.int64) for key, values in keys.items()},
        np.array(numbers, np.float64).reshape(-1, len(table.box)),
        np.array(scores, np.float64).reshape(-1, 1),
    )


def _box_cell(path: Path, table: _Table, line: int, column: int, cell: str) -> float:
    number = number_in(cell)
    if number is None or math.isinf(number):
        expected = "a number" if number is None else "a finite number or NaN"
        raise FileError(path, _cell_described(table, column, cell), expected, line)
    return number


def _score_cell(path: Path, table: _Table, line: int, column: int, cell: str) -> float:
    number = number_in(cell)
    if number is None or not math.isfinite(number):
        raise FileError(path, _cell_described(table, column, cell), "a finite number", line)
    return number


def _key_cell(path: Path, table: _Table, line: int, column: int, cell: str) -> int:
    number = whole_number_in(cell)
    if number is None:
        found = _cell_described(table, column, cell)
        raise FileError(path, found, "a whole number of 64 bits", line)
    return number


def _columns(count: int) -> str:
    return f"{count} column" if count == 1 else f"{count} columns"


def _cell_described(table: _Table, column: int, cell: str) -> str:
    name = f" ({table.names[column]})" if column < len(table.names) else ""
    return f"column {column + 1}{name} holds {shortened(cell)!r}"
