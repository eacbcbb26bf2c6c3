"""Boxes in rows of text: CSV files with or without a header, and the formats of `text`."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fastiou.formats.content import (
    CLASS_FIRST,
    SIZES_FOR_CORNERS,
    Booleans,
    BoxFile,
    Floats,
    Wanted,
    are_exact_integers,
    can_be_scores,
    chosen_keys,
    looks_like_sizes,
    looks_normalized,
    number_in,
    whole_number_in,
)
from fastiou.formats.errors import FileError, shortened
from fastiou.formats.keys import is_written_as_name, key_array, one_key
from fastiou.formats.text import (
    LAYOUTS_OF_ROWS,
    RowLayout,
    Sample,
    cells_of,
    sample_of,
    score_comes_second,
    text_lines,
)
from fastiou.tables.columns import ColumnsError, meaning_of
from fastiou.tables.layouts import LAYOUTS
from fastiou.typing import Array

__all__ = ["ROWS_OF_TEXT", "is_csv", "read_csv", "row_reader", "row_texts"]


#: What the column of ids is called among the keys; no key is called so.
ID = "\0id"


#: Formats that have a row of text for each box.
ROWS_OF_TEXT = ("csv", "jsonl", *(layout.format for layout in LAYOUTS_OF_ROWS))


#: Formats whose scores lie between 0 and 1.
SCORED_TO_ONE = ("yolo", "visdrone", "visdrone-vid")

#: What is said of YOLO's rows in which the score seems to come second, and what is expected.
SCORE_SECOND = (
    "as class, cx, cy, w, h, score boxes reach out of the image, with the score second none does",
    "a first line that names the columns (class score cx cy w h), or --format yolo",
)


@dataclass(frozen=True)
class _Table:
    """How a text file is laid out."""

    format: str
    fmt: str
    #: Between the cells; None for any white space.
    delimiter: str | None
    #: How many cells a row may have.
    widths: tuple[int, ...]
    #: Lines before the first row of data.
    skipped: int
    #: Columns of each grouping key.
    keys: dict[str, tuple[int, ...]]
    #: Columns of the numbers of a box.
    box: tuple[int, ...]
    #: Column of the score; none if nobody asks for it.
    score: tuple[int, ...] = ()
    #: Names of columns, for messages.
    names: Sequence[str] = ()
    #: Keys that may be names.
    named: frozenset[str] = frozenset()
    #: Names of columns that are not used.
    unused: tuple[str, ...] = ()

    @property
    def key_columns(self) -> list[tuple[str, int]]:
        """Each key with each of its columns."""
        return [(key, column) for key, columns in self.keys.items() for column in columns]


# ---- CSV ---------------------------------------------------------------------------------------


def is_csv(sample: Sample, wanted: Wanted) -> bool:
    """Whether the first rows are a header with the columns of boxes, or rows of as many numbers."""
    if sample.is_headed:
        try:
            meaning_of(sample.first, wanted.fmt)
        except ColumnsError:
            return False
        return True
    numbers, count = sample.numbers, LAYOUTS[wanted.fmt]
    if numbers is None or numbers.shape[1] not in (count, count + 1):
        return False
    return not (looks_like_sizes(numbers, wanted) or looks_normalized(numbers, wanted))


def read_csv(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from CSV, as `fastiou.formats.table.read_boxes`."""
    return _read(path, data, wanted, _csv_table)


def _csv_table(path: Path, data: bytes, wanted: Wanted) -> _Table:
    sample = sample_of(data)
    if sample.is_headed:
        return _headed_table(path, sample, wanted)
    width, count = len(sample.first), LAYOUTS[wanted.fmt]
    if sample.numbers is None:
        expected = "rows of numbers, or a header that names the columns"
        raise FileError(path, "the first row holds more than numbers", expected, sample.line)
    plausible = can_be_scores(sample.numbers[:, count:], wanted)
    if width not in (count + wanted.scored, count + 1) or not plausible:
        what = "boxes and scores" if wanted.scored else "boxes"
        known = " or ".join(row.format for row in LAYOUTS_OF_ROWS)
        expected = (
            f"{count + wanted.scored} ({what}), {6 + wanted.scored} or more that begin "
            "with whole numbers of frame and track (MOT), a header that names the columns, or "
            f"--format {known}"
        )
        raise FileError(path, f"{_columns(width)} of numbers", expected, sample.line)
    if wanted.by:
        found = f"there is no key {wanted.by[0]!r}"
        raise FileError(path, found, "a header that names the columns", sample.line)
    if looks_normalized(sample.numbers, wanted):
        raise FileError(path, *CLASS_FIRST, sample.line)
    if looks_like_sizes(sample.numbers, wanted):
        raise FileError(path, *SIZES_FOR_CORNERS, sample.line)
    box = tuple(range(count))
    score = (count,) if width > count else ()
    unused = ("the last column (scores)",) if score and not wanted.takes_scores else ()
    return _Table(
        "csv", wanted.fmt, sample.delimiter, (width,), sample.line - 1, {}, box, score,
        unused=unused,
    )  # fmt: skip


def _headed_table(path: Path, sample: Sample, wanted: Wanted) -> _Table:
    try:
        meaning = meaning_of(sample.first, wanted.fmt, wanted.by, scored=wanted.scored)
    except ColumnsError as error:
        raise FileError(path, error.found, error.expected, sample.line) from None
    score = () if meaning.score is None else (meaning.score,)
    keys, id_ = dict(meaning.keys), meaning.id
    if wanted.ids and id_ is not None and all(
        len(row) > id_ and _is_key(row[id_].strip(), named=True) for row in sample.cells[1:]
    ):  # fmt: skip
        keys[ID] = (id_,)
    return _Table(
        "csv", meaning.fmt, sample.delimiter, (len(sample.first),), sample.line, keys,
        meaning.box, score, sample.first, frozenset(keys), meaning.unused,
    )  # fmt: skip


# ---- rows of other formats ---------------------------------------------------------------------


def row_reader(layout: RowLayout) -> Callable[[Path, bytes, Wanted], BoxFile]:
    """Make the reader of a format of rows without a header."""

    def lay_out(path: Path, data: bytes, wanted: Wanted) -> _Table:
        sample = sample_of(data)
        width, names = len(sample.first), layout.names
        least = layout.widths[0]
        if not layout.takes(width) or (wanted.scored and layout.score >= width):
            least = max(least, layout.score + 1) if wanted.scored else least
            expected = f"{least} or more: {', '.join(names[:least])}, …"
            raise FileError(path, _columns(width), expected, sample.line)
        widths = tuple(w for w in layout.widths if w > 0)
        keys: dict[str, tuple[int, ...]] = {
            key: (layout.keys[key],) for key in chosen_keys(path, layout.keys, wanted.by)
        }
        if wanted.ids and layout.id is not None:
            keys[ID] = (layout.id,)
        score = (layout.score,) if layout.score < width else ()
        return _Table(
            layout.format, layout.fmt, sample.delimiter,
            widths if layout.named else (width,), sample.line - 1, keys, layout.box, score, names,
            frozenset(layout.named),
        )  # fmt: skip

    def read(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
        file = _read(path, data, wanted, lay_out)
        if not wanted.format_told:
            if layout.format == "yolo" and score_comes_second(sample_of(data)):
                raise FileError(path, *SCORE_SECOND, sample_of(data).line)
            wrong, rule = _rule(layout, file.boxes)
            if wrong.any():
                row = int(wrong.argmax())
                numbers = ", ".join(f"{number:g}" for number in file.boxes[row])
                expected = f"{rule}, as {layout.format} has (--format {layout.format} takes it)"
                raise FileError(path, f"box {row + 1} is {numbers}", expected, _line_of(data, row))
            if file.scores is not None and layout.format in SCORED_TO_ONE:
                wrong = (file.scores < 0) | (file.scores > 1)
                if wrong.any():
                    row = int(wrong.argmax())
                    found = f"the score of box {row + 1} is {file.scores[row]:g}"
                    expected = f"a number between 0 and 1, as {layout.format} has (a first line "
                    expected += f"may name the columns; --format {layout.format} takes it)"
                    raise FileError(path, found, expected, _line_of(data, row))
        return file

    return read


def _rule(layout: RowLayout, boxes: Floats) -> tuple[Booleans, str]:
    """Which boxes break the rule of a format, and what the rule is."""
    sides = boxes[:, 2:4] - (boxes[:, :2] if layout.fmt == "xyxy" else 0)
    wrong: Booleans = np.any(sides < 0, axis=1)
    if layout.fmt == "xyxy":
        return wrong, "corners in order"
    wrong |= np.any(sides <= 0, axis=1)
    if layout.format == "yolo":
        wrong |= np.any((boxes < 0) | (boxes > 1), axis=1)
        return wrong, "numbers between 0 and 1, and a size"
    return wrong, "a positive width and height"


def _line_of(data: bytes, row: int) -> int | None:
    """The line of a row without a header."""
    lines = cells_of(text_lines(data), sample_of(data).delimiter)
    return next((line for place, (line, _) in enumerate(lines) if place == row), None)


# ---- reading -----------------------------------------------------------------------------------


def _read(
    path: Path, data: bytes, wanted: Wanted, lay_out: Callable[[Path, bytes, Wanted], _Table]
) -> BoxFile:
    try:
        table = lay_out(path, data, wanted)
        if not wanted.takes_scores:
            table = replace(table, score=())
        # The careful way is 20 times slower. It says what is wrong and where, or finds that all is
        # well with what the fast way does not know: quoted delimiters, group numbers beyond
        # float64.
        keys, boxes, scores = _load_table(path, data, table) or _scan_table(path, data, table)
    except csv.Error as error:
        raise FileError(path, f"not CSV ({error})") from None
    named = {
        key: one_key(path, [table.names[column] for column in columns], keys[key])
        for key, columns in table.keys.items()
    }
    ids = named.pop(ID, None)
    return BoxFile(
        path=path,
        format=table.format,
        fmt=table.fmt,
        boxes=boxes,
        keys=named,
        ids=ids,
        scores=scores[:, 0] if table.score else None,
        unused=table.unused,
    )


_Loaded = tuple[dict[str, list[Array]], Floats, Floats]


def _load_table(path: Path, data: bytes, table: _Table) -> _Loaded | None:
    """The fast way: None for whatever is the least unusual."""
    if len(table.widths) != 1 or not _is_rectangular(data, table):
        return None
    texts = _text_columns(data, table)
    whole = [(key, column) for key, column in table.key_columns if column not in texts]
    try:
        numbers = np.loadtxt(
            text_lines(data),
            delimiter=table.delimiter,
            comments=None,
            quotechar='"',
            skiprows=table.skipped,
            usecols=[*(column for _, column in whole), *table.box, *table.score],
            ndmin=2,
        )
    except ValueError:
        return None
    codes, boxes, scores = np.hsplit(numbers, np.cumsum([len(whole), len(table.box)]))
    if np.isinf(boxes).any() or not (are_exact_integers(codes).all() and np.isfinite(scores).all()):
        return None
    by_column = {
        column: codes[:, place].astype(np.int64) for place, (_, column) in enumerate(whole)
    }
    if texts:
        rows = [
            cells for line, cells in cells_of(text_lines(data), table.delimiter)
            if line > table.skipped
        ]  # fmt: skip
        for key, column in table.key_columns:
            if column in texts:
                cells = [row[column] for row in rows]
                by_column[column] = _key_column(path, data, table, key, column, cells)
    keys = {key: [by_column[column] for column in columns] for key, columns in table.keys.items()}
    return keys, np.ascontiguousarray(boxes), np.ascontiguousarray(scores)


def _text_columns(data: bytes, table: _Table) -> set[int]:
    """Columns of keys that hold names."""
    rows = sample_of(data).cells[table.skipped > 0 :]
    columns = [column for key, column in table.key_columns if key in table.named]
    return {
        column for column in columns
        if any(
            len(row) > column
            and (number_in(row[column]) is None or is_written_as_name(row[column]))
            for row in rows
        )
    }  # fmt: skip


def _is_rectangular(data: bytes, table: _Table) -> bool:
    """Whether all lines have the right number of cells, and at least one holds data."""
    codes = np.frombuffer(data.rstrip(), np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    if len(ends) < table.skipped:  # nothing below the header
        return False
    starts = np.concatenate([[0], ends + 1])
    (width,) = table.widths
    if table.delimiter is not None:
        marks = codes == ord(table.delimiter)
        expected = width - 1
    else:
        blank = codes <= ord(" ")
        marks = ~blank
        marks[1:] &= blank[:-1]
        expected = width
    counts = np.add.reduceat(marks, starts, dtype=np.int64)
    return bool((counts == expected).all())


def _scan_table(path: Path, data: bytes, table: _Table) -> _Loaded:
    texts: dict[int, list[str]] = {column: [] for _, column in table.key_columns}
    numbers: list[float] = []
    scores: list[float] = []
    for line, cells in cells_of(text_lines(data), table.delimiter):
        if line <= table.skipped:
            continue
        if len(cells) not in table.widths:
            expected = " or ".join(map(str, table.widths))
            raise FileError(path, _columns(len(cells)), expected, line)
        for key, column in table.key_columns:
            cell = cells[column].strip()
            _check_key(path, table, key, line, column, cell)
            texts[column].append(cell)
        numbers.extend(_box_cell(path, table, line, column, cells[column]) for column in table.box)
        for column in table.score:
            if column >= len(cells):
                raise FileError(path, _columns(len(cells)), "one more, the score", line)
            scores.append(_score_cell(path, table, line, column, cells[column]))
    return (
        {key: [key_array(texts[c]) for c in columns] for key, columns in table.keys.items()},
        np.array(numbers, np.float64).reshape(-1, len(table.box)),
        np.array(scores, np.float64).reshape(-1, 1),
    )


def _key_column(
    path: Path, data: bytes, table: _Table, key: str, column: int, cells: Iterable[str]
) -> Array:
    """A key of names, each of which was checked."""
    stripped = [cell.strip() for cell in cells]
    for cell in set(stripped):
        if not _is_key(cell, named=True):
            row = stripped.index(cell)
            _check_key(path, table, key, table.skipped + 1 + row, column, cell)
    return key_array(stripped)


def _is_key(cell: str, *, named: bool) -> bool:
    if whole_number_in(cell) is not None:
        return True
    # A number that is not whole is no name: frames and images are counted.
    return named and bool(cell) and number_in(cell) is None


def _check_key(path: Path, table: _Table, key: str, line: int, column: int, cell: str) -> None:
    named = key in table.named
    if not _is_key(cell, named=named):
        expected = "a whole number of 64 bits" + (", or a name" if named else "")
        raise FileError(path, _cell_described(table, column, cell), expected, line)


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


def row_texts(data: bytes, format_: str, chosen: Array) -> Iterator[str]:
    """Some rows of a text file, letter by letter, below its header.

    Parameters
    ----------
    data
        Its content, which a reader has accepted.
    format_
        One of `ROWS_OF_TEXT`.
    chosen
        Positions of rows, in any order; they come in the order of the file.
    """
    sample = sample_of(data)
    lines = list(text_lines(data, newline=""))
    between = None if format_ == "jsonl" else sample.delimiter
    begins = [number - 1 for number, _ in cells_of(iter(lines), between)]
    wanted = sorted(set(chosen.tolist()))
    if format_ == "csv" and sample.is_headed:
        wanted = [0, *(position + 1 for position in wanted)]
    ends = [*begins[1:], len(lines)]
    for place in wanted:
        # Lines between two rows are blank, unless the row spans them.
        yield "".join(lines[begins[place] : ends[place]]).rstrip() + "\n"


def _columns(count: int) -> str:
    return f"{count} column" if count == 1 else f"{count} columns"


def _cell_described(table: _Table, column: int, cell: str) -> str:
    name = f" ({table.names[column].strip()})" if column < len(table.names) else ""
    return f"column {column + 1}{name} holds {shortened(cell)!r}"
