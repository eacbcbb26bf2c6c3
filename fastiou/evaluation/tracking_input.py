"""The truth and the tracks of a sequence as columns: of files, arrays, tables and data frames."""

from __future__ import annotations

import contextlib
import re
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.arrays.frames import frame_columns, index_columns, is_frame
from fastiou.arrays.inputs import plain_array, real_input
from fastiou.evaluation import tracking_kernels as kernels
from fastiou.evaluation.paired_images import is_path
from fastiou.formats.content import check_text, kind_of, number_in
from fastiou.formats.errors import FileError
from fastiou.formats.pieces import read_pieces
from fastiou.formats.reading import read
from fastiou.parsing.number_rows import rows_of_numbers
from fastiou.runtime import steps
from fastiou.runtime.words import described, shortened
from fastiou.tables.box_table import BoxTable, has_names, table_of_frame
from fastiou.tables.column_names import key_named, plain_name
from fastiou.typing import Array

__all__ = [
    "DISTRACTORS",
    "PEDESTRIAN",
    "TrackColumns",
    "read_columns",
]

#: The class that is scored, and for each benchmark those whose tracks are left out: persons on
#: vehicles, static persons, distractors and reflections, and in MOT20 vehicles without motor, too.
PEDESTRIAN = 1
DISTRACTORS = {"mot17": (2, 7, 8, 12), "mot20": (2, 7, 8, 12, 6)}

#: The classes of MOTChallenge.
CLASSES = range(1, 14)

#: Columns of a row, as MOTChallenge has them.
NAMES = ("frame", "id", "x", "y", "w", "h", "conf", "class", "visibility")
EXPECTED = "rows of frame, id, x, y, width, height and, where they are known, conf and class"
FEWEST, USED = 6, 8

#: In so many rows no object is farther from the upper left than it is large.
FEW_IN_ORDER = 8

#: Marks and classes are kept in 8 bits.
SMALL = 1 << 7

#: Bytes below which a file is read at once, which takes a quarter of the time; and how such begin
#: that are compressed by gzip.
READ_AT_ONCE, GZIP = 1 << 26, b"\x1f\x8b"

#: The first line of a text that is not blank.
FIRST_LINE = re.compile(rb"\S[^\n]*")


@dataclass(frozen=True, eq=False)
class TrackColumns:
    """The boxes of one side of a sequence.

    Attributes
    ----------
    name : str
        The argument, for messages.
    path : Path or None
        The file that they come from.
    data : bytes
        Its content, where it is text without a header.
    rows : array of float64, shape (N, 6) or wider
        As they came: left, top, width and height from the third column on.
    frames, ids : array of int64, shape (N,)
    marks : array of int8, shape (N,)
        0 for boxes of the truth that do not count.
    classes : array of int8, shape (N,)
        1 where nothing else is known.
    """

    name: str
    path: Path | None
    data: bytes
    rows: Array
    frames: Array
    ids: Array
    marks: Array
    classes: Array

    def __len__(self) -> int:
        return len(self.frames)

    def error(self, row: int, found: str, expected: str) -> Exception:
        """What is raised where a row cannot be used."""
        return _error(self.name, self.path, self.data, row, found, expected)


def read_columns(name: str, value: Any, benchmark: str | None) -> TrackColumns:
    """Read one side of a sequence.

    Parameters
    ----------
    name
        "gt" or "tracks": which argument it is.
    value
        A file; an array, (N, 6) or wider; a data frame or a table.
    benchmark
        The benchmark that classes are for, or None.

    Raises
    ------
    FileError
        The file cannot be used.
    TypeError, ValueError
        Another argument cannot.
    """
    path: Path | None = None
    data = b""
    if is_path(value):
        path = Path(value)
        if path.is_dir():
            raise FileError(path, "this is a folder", "a file of one sequence")
        data = _content(path)
        rows = _rows_of_text(path, data)
        if rows is None:
            data = b""
            rows = _rows_of_table(name, _other_file(path))
    elif isinstance(value, BoxTable):
        rows = _rows_of_table(name, value)
    elif is_frame(type(value)) and has_names(value):
        rows = _rows_of_frame(name, value)
    else:
        rows = real_input(name, value).array
        if rows.size == 0:
            rows = np.empty((0, FEWEST))
        if rows.ndim != 2 or rows.shape[1] < FEWEST:
            raise ValueError(
                f"{name} must have the shape (N, 6) or more columns ({EXPECTED}), got {rows.shape}"
            )
    return _checked(name, path, data, rows, benchmark)


def _content(path: Path) -> bytes:
    """The whole file, decompressed."""
    with contextlib.suppress(OSError):
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size < READ_AT_ONCE:
            data = path.read_bytes()
            if not data.startswith(GZIP):
                return data
    return read_pieces(path, kind_of)


# ---- where they come from ----------------------------------------------------------------------


def _error(
    name: str, path: Path | None, data: bytes, row: int, found: str, expected: str
) -> Exception:
    if path is None:
        return ValueError(f"{name}: row {row} has {found}, expected {expected}")
    if not data:
        return FileError(path, f"row {row + 1} has {found}", expected)
    lines = (n for n, line in enumerate(data.split(b"\n"), 1) if line.strip())
    line = next(n for count, n in enumerate(lines) if count == row)
    return FileError(path, found, expected, line)


def _rows_of_text(path: Path, data: bytes) -> Array | None:
    """Rows of numbers, (N, columns); None where the first row holds names, or it is no text."""
    if not data or data.isspace():
        return np.empty((0, FEWEST))
    if kind_of(data) != "text":
        return None
    check_text(path, data, EXPECTED)
    start = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    body = data[start:] if start else data
    first = FIRST_LINE.search(body)
    assert first is not None  # it is not blank
    text = first[0].decode()
    delimiter = next((mark for mark in ",;" if mark in text), None)
    cells = _cells(text, delimiter)
    if number_in(cells[0]) is None:
        return None
    if len(cells) < FEWEST:
        line = body.count(b"\n", 0, first.start()) + 1
        raise FileError(path, f"{len(cells)} numbers in a row", EXPECTED, line)

    def other(place: int, line: bytes) -> list[float]:
        cells = _cells(line.decode(), delimiter)
        numbers = [number_in(cell) for cell in cells]
        known = [number for number in numbers if number is not None]
        where = body.count(b"\n", 0, place) + 1
        if len(cells) != width:
            raise FileError(path, f"{len(cells)} cells", f"{width}, as in the first row", where)
        if len(known) < width:
            bad = cells[numbers.index(None)]
            raise FileError(path, f"{shortened(bad)!r}", "a number", where)
        return known

    width = len(cells)
    return rows_of_numbers(body, delimiter, width, other, kept=USED)


def _cells(line: str, delimiter: str | None) -> list[str]:
    # Python's white space has bytes that no other program takes for it.
    cells = [cell.strip() for cell in line.split(delimiter)] or [""]
    return cells[:-1] if len(cells) > 1 and not cells[-1] else cells


def _other_file(path: Path) -> BoxTable:
    try:
        return read(path)
    except ValueError as error:
        message = str(error).removeprefix(str(path)).lstrip(": ")
        raise FileError(path, message) from None


def _rows_of_frame(name: str, frame: Any) -> Array:
    """Rows of a data frame with names of columns: those of tracks come before other ids."""
    columns = frame_columns(frame) or []
    tracks = [plain_name(label) in ("trackid", "track") for label, _ in columns]
    ids = None
    if any(tracks):
        ids = plain_array(name, columns[tracks.index(True)][1])
    labels = [label for label, _ in (*columns, *index_columns(frame))]
    if not any(key_named(label) == "image" for label in labels):
        raise ValueError(f"{name} has no column frame: {EXPECTED}")
    return _rows_of_table(name, table_of_frame(name, frame, None, None), ids)


def _rows_of_table(name: str, table: BoxTable, ids: Array | None = None) -> Array:
    ids = table.ids if ids is None else ids
    frames, classes = table.keys.get("image"), table.keys.get("category")
    for what, column in (("frame", frames), ("id", ids)):
        if column is None:
            raise ValueError(f"{name} has no column {what}: {EXPECTED}")
        if np.asarray(column).dtype.kind not in "iuf":
            raise ValueError(f"{name} must have numbers in the column {what}, got names")
    if table.boxes is None:
        raise TypeError(f"{name} must have boxes, got masks")
    count = len(table)
    marks = np.ones(count) if table.scores is None else plain_array(name, table.scores)
    named = classes is None or np.asarray(classes).dtype.kind not in "iuf"
    rows = [np.asarray(frames), np.asarray(ids), *np.asarray(table.convert("xywh").boxes).T, marks]
    return np.stack([*rows, np.ones(count) if named else np.asarray(classes)], axis=1)


# ---- checks ------------------------------------------------------------------------------------


def _checked(
    name: str, path: Path | None, data: bytes, rows: Array, benchmark: str | None
) -> TrackColumns:
    rows = np.ascontiguousarray(rows, np.float64)
    count, width = rows.shape
    is_truth = name == "gt"
    used = min(width, 6 + is_truth + (is_truth and benchmark is not None))
    whole, flags = np.empty((2, count), np.int64), np.empty((2, count), np.int8)
    for first, last, _ in steps.ranges(count, width):
        if not kernels.SPLIT.serial(rows, used, whole, flags, first, last):
            raise _first_error(name, path, data, rows[:, :used])
    (frames, ids), (marks, classes) = whole, flags
    if benchmark is not None and count:
        found, expected = "", ""
        row = 0
        if is_truth and width < 8:
            found, expected = f"{width} numbers", f"a class as the 8th, for {benchmark}"
        elif is_truth and not {int(classes.min()), int(classes.max())} <= {*CLASSES}:
            row = int(np.argmax((classes < CLASSES[0]) | (classes > CLASSES[-1])))
            found = f"class {classes[row]}"
            expected = f"one of the classes 1 to 13 of {benchmark}"
        elif not is_truth and width > 7 and not (rows[:, 7] < PEDESTRIAN + 1).all():
            row = int(np.argmin(rows[:, 7] < PEDESTRIAN + 1))
            found = f"class {_number(rows[row, 7])}"
            expected = f"1, since {benchmark} scores pedestrians alone, or -1"
        if found:
            raise _error(name, path, data, row, found, expected)
    if count > 1 and (ids == -1).all():
        expected = "the numbers of tracks; -1 is what is detected and not followed"
        raise _error(name, path, data, 0, "id -1, as in all rows", expected)
    if is_truth and count and not marks.any():
        warnings.warn(f"{path or name}: all boxes are marked by 0: none counts", stacklevel=2)
    in_order = ((rows[:, high] > rows[:, high - 2]).all() for high in (4, 5))
    if path is not None and count >= FEW_IN_ORDER and all(in_order):
        words = "x, y, width and height are in order as two corners are, in all rows"
        warnings.warn(f"{path}: {words}", stacklevel=2)
    inverted = (rows[:, 4] < 0) | (rows[:, 5] < 0)
    if inverted.any():
        row = int(np.argmax(inverted))
        told = _error(name, path, data, row, f"width {_number(rows[row, 4])} and height "
                      f"{_number(rows[row, 5])}", "sizes of 0 or more")  # fmt: skip
        more = f" (and {inverted.sum() - 1:,} more)" if inverted.sum() > 1 else ""
        warnings.warn(f"{told}{more}; such boxes match nothing", stacklevel=2)
    return TrackColumns(name, path, data, rows, frames, ids, marks, classes)


def _first_error(name: str, path: Path | None, data: bytes, rows: Array) -> Exception:
    """What is wrong in the first row that cannot be used."""
    finite = np.isfinite(rows)
    whole = finite & (rows == np.trunc(rows)) & (np.abs(rows) < kernels.EXACT)
    good = finite.copy()
    places = [column for column in (0, 1, 6, 7) if column < rows.shape[1]]
    good[:, places] &= whole[:, places]
    good[:, 6:] &= np.abs(rows[:, 6:]) < SMALL
    good[:, 0] &= rows[:, 0] >= 0
    row = int(np.argmin(good.all(axis=1)))
    column = int(np.argmin(good[row]))
    expected = "a whole number below 2**53"
    if not finite[row, column]:
        expected = "a finite number"
    elif column == 0 and whole[row, 0]:
        expected = "a frame of 0 or more"
    elif column == 6:
        # TrackEval rounds down, and so leaves out truth of confidence 0.9 without a word.
        expected = "0 for a box that does not count, or 1"
    elif column == 7:
        expected = "one of the classes 1 to 13"
    found = f"{NAMES[column]} {_number(rows[row, column])}"
    return _error(name, path, data, row, found, expected)


def _number(value: float) -> str:
    return described(int(value)) if value.is_integer() else described(float(value))
