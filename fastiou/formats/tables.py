"""Boxes in rows of text: CSV files with or without a header, and the formats of `text`."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fastiou.formats.cells import (
    BareRow,
    Table,
    box_cell,
    cell_described,
    check_key,
    columns_counted,
    image_column,
    images_of,
    is_key,
    listed_cells,
    score_cell,
    without_boxes,
)
from fastiou.formats.content import (
    CLASS_LAST,
    LARGEST_NORMALIZED,
    Booleans,
    BoxFile,
    Floats,
    Wanted,
    are_exact_integers,
    are_scores,
    can_be_scores,
    chosen_keys,
    looks_like_sizes,
    looks_normalized,
    misread,
    number_in,
)
from fastiou.formats.doubts import header_for, named_header, track_again
from fastiou.formats.errors import FileError, shortened
from fastiou.formats.keys import is_written_as_name, key_array, keys_of, meaning_wanted
from fastiou.formats.sizes import sizes_in_columns
from fastiou.formats.suspicions import check_angles, check_rest, marked_rows, unused_columns
from fastiou.formats.text import (
    LAYOUTS_OF_ROWS,
    RowLayout,
    Sample,
    Tail,
    cells_of,
    is_mot_or_corners,
    is_yolo,
    sample_of,
    score_comes_second,
    text_lines,
)
from fastiou.tables.column_names import INDEXES, plain_name
from fastiou.tables.columns import ColumnsError, check_telling, meaning_of
from fastiou.tables.layouts import LAYOUTS
from fastiou.typing import Array

__all__ = ["ROWS_OF_TEXT", "is_csv", "line_of", "read_csv", "row_reader"]


#: What columns of ids and of frames, and without a name, are called among the keys; no key is.
ID, FRAME, NAMELESS, SIDE = "\0id", "\0frame", "\0nameless", "\0side"


#: Formats that have a row of text for each box.
ROWS_OF_TEXT = ("csv", "jsonl", *(layout.format for layout in LAYOUTS_OF_ROWS))


#: A row of KITTI that marks a region in which objects do not count.
DONT_CARE = re.compile(rb"^[ \t]*(?:\d+[ \t]+-?\d+[ \t]+)?DontCare[ \t]", re.MULTILINE)

#: So many bytes are looked at between two chances for signals: 0.1 s.
STEP = 1 << 23

#: Formats whose scores lie between 0 and 1.
SCORED_TO_ONE = ("yolo", "visdrone", "visdrone-vid")

#: What is said of YOLO's rows in which the score seems to come second, and what is expected.
SCORE_SECOND = (
    "as class, cx, cy, w, h, score boxes reach out of the image, with the score second none does",
    "a first line that names the columns (class score cx cy w h), or --format yolo",
)


# ---- CSV ---------------------------------------------------------------------------------------


def is_csv(sample: Sample, wanted: Wanted) -> bool:
    """Whether the first rows are a header with the columns of boxes, or rows of as many numbers."""
    if sample.is_headed:
        try:
            meaning_of(sample.first, wanted.fmt, told=wanted.told)
        except ColumnsError:
            return False
        return True
    numbers, count = sample.numbers, LAYOUTS[wanted.fmt]
    if numbers is None or numbers.shape[1] not in (count, count + 1):
        return False
    if is_yolo(sample) and not wanted.told:
        return False
    return not (looks_like_sizes(numbers, wanted) or looks_normalized(numbers, wanted))


def read_csv(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from CSV, as `fastiou.formats.table.read_boxes`."""
    return _read(path, data, wanted, _csv_table)


def _csv_table(path: Path, data: bytes, wanted: Wanted) -> Table:
    sample = sample_of(data)
    if sample.is_headed:
        return _headed_table(path, sample, wanted)
    width, count = len(sample.first), LAYOUTS[wanted.fmt]
    if sample.numbers is None:
        expected = f"rows of numbers, or a header{named_header(sample)}"
        raise FileError(path, "the first row holds more than numbers", expected, sample.line)
    plausible = can_be_scores(sample.numbers[:, count:], wanted)
    if is_mot_or_corners(sample) and not wanted.format_told:
        found = "six numbers a row: frame, id, x, y, w, h (MOT), or two corners and two more"
        raise FileError(path, found, "--format mot, or a header that names them", sample.line)
    if width not in (count + wanted.scored, count + 1) or not plausible:
        what = "boxes and scores" if wanted.scored else "boxes"
        header = header_for(sample.numbers, sample.delimiter)
        fit = [
            row.format for row in LAYOUTS_OF_ROWS
            if row.takes(width) and not row.named and (row.score < width or not wanted.scored)
            and ((not header and row.format != "yolo") or _could_be(row, sample.numbers))
        ]  # fmt: skip
        expected = (
            f"{count + wanted.scored} ({what}), {6 + wanted.scored} to 10 that begin with frame "
            f"and track, a header that names the columns{f', such as {header}' if header else ''}"
        )
        if fit:
            expected += f", or --format {' or '.join(fit)}"
        found = f"{columns_counted(width)} of numbers"
        first = next((row for row in LAYOUTS_OF_ROWS if row.format in fit[:1]), None)
        if first is not None and not _could_be(first, sample.numbers):
            wrong, rule = _rule(first, sample.numbers[:, first.box])
            line = line_of(data, "csv", int(wrong.argmax()))
            fault = f"{rule}: not line {line}" if wrong.any() else "whole numbers for keys and ids"
            found += f" ({first.format} has {fault})"
        if width == count + 1 and wanted.scored:
            found += ", the last above 1 (--boxes takes them as scores)"
        elif width == count + 1 and are_scores(sample.numbers[:, count]):
            expected += f", or --boxes {wanted.fmt}, which takes the last as scores"
        raise FileError(path, found, expected, sample.line)
    if wanted.by:
        found = f"there is no key {wanted.by[0]!r}"
        raise FileError(path, found, "a header that names the columns", sample.line)
    others = misread(sample.numbers, wanted)
    if others is CLASS_LAST and any(
        (number_in(cells[-1]) or 0.0) % 1 for _, cells in sample.rows(data)
    ):
        others = None  # the first rows alone score 1 or 0
    if others is not None:
        raise FileError(path, *others, sample.line)
    box = tuple(range(count))
    score = (count,) if width > count else ()
    unused = ("the last column (scores)",) if score and not wanted.takes_scores else ()
    return Table(
        "csv", wanted.fmt, sample, (width,), {}, box, score, unused=unused
    )  # fmt: skip


def _headed_table(path: Path, sample: Sample, wanted: Wanted) -> Table:
    try:
        meaning = meaning_wanted(sample.first, wanted)
    except ColumnsError as error:
        found, expected = error.found, error.expected
        if sum(number_in(cell) is not None for cell in sample.first) >= LAYOUTS["xyxy"]:
            found = f"{shortened(' '.join(sample.first))!r}, which no format has that is told so"
            expected = f"a first line that names the columns{named_header(sample)}"
        raise FileError(path, found, expected, sample.line) from None
    score = () if meaning.score is None else (meaning.score,)
    keys, id_ = dict(meaning.keys), meaning.id
    is_open = wanted.is_open and not {"image", "video"} & {*keys}
    if (wanted.ids or is_open) and id_ is not None and all(
        len(row) > id_ and is_key(row[id_].strip(), named=True) for row in sample.cells[1:]
    ):  # fmt: skip
        keys[ID] = (id_,)
    unchecked = [] if wanted.ids else [ID]
    for column, name in enumerate(sample.first if is_open else ()):
        has_some = any(row[column : column + 1] > [""] for row in sample.cells[1:])
        if plain_name(name) in INDEXES and has_some:
            keys[f"{NAMELESS}{column}"] = (column,)
            unchecked.append(f"{NAMELESS}{column}")
    if wanted.sizes:
        keys |= {f"{SIDE}{column}": (column,) for pair in meaning.sizes for column in pair}
        unchecked += [key for key in keys if key.startswith(SIDE)]
    return Table(
        "csv", meaning.fmt, sample, (len(sample.first),), keys,
        meaning.box, score, sample.first, frozenset(keys), meaning.unused,
        listed=meaning.is_list, open_angle=meaning.angle is not None,
        image=image_column(sample.first, meaning.keys), sizes=meaning.sizes,
        unchecked=frozenset(unchecked),
    )  # fmt: skip


# ---- rows of other formats ---------------------------------------------------------------------


def row_reader(layout: RowLayout) -> Callable[[Path, bytes, Wanted], BoxFile]:
    """Make the reader of a format of rows without a header."""

    def lay_out(path: Path, data: bytes, wanted: Wanted) -> Table:
        sample = sample_of(data, headed=False)
        # Rows of images without a box may have fewer cells.
        width = len(next(filter(lambda row: any(row[1:]), sample.cells), sample.first))
        names, least = layout.names, layout.widths[0]
        if not layout.takes(width) or (wanted.scored and layout.score >= width):
            least = max(least, layout.score + 1) if wanted.scored else least
            expected = f"{least} or more: {', '.join(names[:least])}, …"
            raise FileError(path, columns_counted(width), expected, sample.line)
        widths = tuple(w for w in layout.widths if w > 0)
        check_rest(path, data, layout, sample)
        tail = Tail() if layout.tail is None else layout.tail(sample)
        told = {**layout.keys, **tail.keys}
        known = [*told, *(["category"] if layout.format == "dota-results" else [])]
        keys: dict[str, tuple[int, ...]] = {
            key: (told[key],) for key in chosen_keys(path, known, wanted.by) if key in told
        }
        has_rule = layout.format == "mot" and not wanted.format_told
        if (wanted.ids or has_rule) and layout.id is not None and layout.id < width:
            keys[ID] = (layout.id,)
        if has_rule:
            keys[FRAME] = (layout.keys["image"],)
        score = (layout.score,) if layout.score < width else ()
        unused = (*tail.unused, *(unused_columns(layout, sample) if wanted.sizes else ()))
        marks = () if sample.numbers is None or not score else sample.numbers[:, layout.score]
        return Table(
            layout.format, layout.fmt, sample, widths if layout.named else (width,), keys,
            layout.box, score, (*names, *tail.names), frozenset(layout.named), unused,
            flagged=layout.flags and set(marks) <= {0, 1},
            image=layout.keys["image"] if "image" in layout.named else None,
        )  # fmt: skip

    def read(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
        file = _read(path, data, wanted, lay_out)
        file = replace(file, boxes=file.boxes * (layout.signs or 1))
        if "kitti" in layout.format and (count := len(DONT_CARE.findall(data))):
            rows = "row is" if count == 1 else "rows are"
            note = f"{count:,} {rows} DontCare, to be ignored by the rule of kitti: taken along"
            file = replace(file, notes=(*file.notes, note))
        if FRAME in file.keys:
            file = _with_tracks_checked(file, data, wanted)
        if layout.format == "dota-results" and (wanted.by is None or "category" in wanted.by):
            file = _with_class_of_name(file, wanted)
        beyond = np.count_nonzero((file.boxes > LARGEST_NORMALIZED).any(axis=1))
        if layout.format == "yolo" and wanted.format_told and beyond:
            boxes = "1 box has" if beyond == 1 else f"{beyond:,} boxes have"
            note = f"{boxes} numbers that are no parts of the image, between 0 and 1: taken along"
            file = replace(file, notes=(*file.notes, note))
        if not wanted.format_told:
            if layout.format == "yolo" and score_comes_second(sample_of(data)):
                raise FileError(path, *SCORE_SECOND, sample_of(data).line)
            wrong, rule = _rule(layout, file.boxes)
            if wrong.any():
                row = int(wrong.argmax())
                numbers = ", ".join(f"{number:.9g}" for number in file.boxes[row])
                expected = f"{rule}, as {layout.format} has (--format {layout.format} takes it)"
                line = line_of(data, layout.format, file.place(row))
                raise FileError(path, f"box {row + 1} is {numbers}", expected, line)
            if file.scores is not None and layout.format in SCORED_TO_ONE:
                wrong = (file.scores < 0) | (file.scores > 1)
                if wrong.any():
                    row = int(wrong.argmax())
                    found = f"the score of box {row + 1} is {file.scores[row]:g}"
                    expected = f"a number between 0 and 1, as {layout.format} has (a first line "
                    expected += f"may name the columns; --format {layout.format} takes it)"
                    raise FileError(path, found, expected, line_of(data, layout.format, row))
        return file

    return read


def _with_class_of_name(file: BoxFile, wanted: Wanted) -> BoxFile:
    """DOTA's results with the class as a key, which the name of the file tells: Task1_plane.txt."""
    found = re.match(r"Task\d+_(.+?)\.", file.path.name, re.IGNORECASE)
    if found is None:
        if wanted.by is not None:
            raise FileError(file.path, "no class in the name of the file", "Task1_CLASS.txt")
        return file
    return replace(file, keys=file.keys | {"category": np.full(len(file), found[1])})


def _with_tracks_checked(file: BoxFile, data: bytes, wanted: Wanted) -> BoxFile:
    """The file with the ids that were asked for; a track is at one place in a frame.

    Raises
    ------
    FileError
        One is at two: rather a class stands there.
    """
    frames, ids = file.keys[FRAME], file.ids
    assert ids is not None
    row = track_again(frames, ids)
    if row is not None:
        found = f"id {ids[row]} again in frame {frames[row]}"
        expected = "one box of each track in a frame, as mot has (--format mot takes it, a header "
        expected += "may name the columns)"
        raise FileError(file.path, found, expected, line_of(data, "mot", row))
    return replace(
        file,
        ids=ids if wanted.ids else None,
        keys={key: values for key, values in file.keys.items() if key != FRAME},
        columns={key: told for key, told in file.columns.items() if key != FRAME},
    )


def _could_be(layout: RowLayout, rows: Floats) -> bool:
    """Whether rows follow the rule of a format, and have whole numbers for its keys and ids."""
    places = (*layout.keys.values(), -1 if layout.id is None else layout.id)
    keys = rows[:, [place for place in places if 0 <= place < rows.shape[1]]]
    are_whole = np.isfinite(keys).all() and not (keys % 1).any()
    return bool(are_whole) and not _rule(layout, rows[:, layout.box])[0].any()


def _rule(layout: RowLayout, boxes: Floats) -> tuple[Booleans, str]:
    """Which boxes break the rule of a format, and what the rule is."""
    if layout.fmt == "xyxyxyxy":  # any corners, in order around: fastiou refuses others
        return np.zeros(len(boxes), np.bool_), ""
    sides = boxes[:, 2:4] - (boxes[:, :2] if layout.fmt == "xyxy" else 0)
    wrong: Booleans = np.any(sides < 0, axis=1)
    if layout.fmt == "xyxy":
        return wrong, "corners in order"
    wrong |= np.any(sides <= 0, axis=1)
    if layout.format == "yolo":
        wrong |= np.any((boxes < 0) | (boxes > 1), axis=1)
        return wrong, "numbers between 0 and 1, and a size"
    return wrong, "a positive width and height"


def line_of(data: bytes, format_: str, row: int) -> int | None:
    """The line of a row by its position below the header, if there is one.

    Parameters
    ----------
    data
        The content.
    format_
        One of `ROWS_OF_TEXT`.
    row
        The position, from 0 on.
    """
    lines = cells_of(text_lines(data), None)
    if format_ != "jsonl":
        lines = sample_of(data, headed=format_ == "csv").rows(data)
    return next((line for place, (line, _) in enumerate(lines) if place == row), None)


# ---- reading -----------------------------------------------------------------------------------


def _read(
    path: Path, data: bytes, wanted: Wanted, lay_out: Callable[[Path, bytes, Wanted], Table]
) -> BoxFile:
    try:
        table = lay_out(path, data, wanted)
        if table.sample.has_commas:
            _check_decimals(path, data, table)
        table = table if wanted.takes_scores or table.flagged else replace(table, score=())
        # The careful way is 20 times slower. It says what is wrong and where, or finds that all is
        # well with what the fast way does not know: quoted delimiters, group numbers beyond
        # float64.
        bare: list[BareRow] = []
        loaded = _load_table(path, data, table) or _scan_table(path, data, table, bare)
        keys, boxes, scores = loaded
    except csv.Error as error:
        raise FileError(path, f"not CSV ({error})") from None
    told = {
        key: dict(zip([table.names[column].strip() for column in columns], keys[key], strict=True))
        for key, columns in table.keys.items()
    }
    ids = next(iter(told.pop(ID, {}).values()), None)
    sides = {key: told.pop(key) for key in [*told] if key.startswith(SIDE)}
    pairs = [{**sides[f"{SIDE}{w}"], **sides[f"{SIDE}{h}"]} for w, h in table.sizes if sides]
    if table.format == "csv" and wanted.is_open:
        _check_telling(path, table, told, ids)
    named, columns_of = keys_of(path, told)
    found = sizes_in_columns(named.get("image"), pairs, boxes, table.fmt)
    file = BoxFile(
        path=path,
        format=table.format,
        fmt=table.fmt,
        boxes=boxes,
        keys=named,
        columns=columns_of,
        ids=ids if wanted.ids or FRAME in told else None,
        scores=scores[:, 0] if table.score and wanted.takes_scores else None,
        unused=table.unused,
        likely_images=table.likely_images(data, named),
        notes=(*_notes(table, scores), *found.words),
        skipped=without_boxes(bare, len(boxes)),
        sizes={**(images_of(bare, named, found.names) if wanted.sizes else {}), **found.sizes},
        size_columns=found.names,
    )
    notes = (*file.notes, *_marked_notes(file, data, table, keys))
    file = replace(file, notes=notes)
    if table.open_angle:
        check_angles(path, table.names[table.box[-1]].strip(), file, wanted)
    return file


def _check_telling(
    path: Path, table: Table, told: dict[str, dict[str, Array]], ids: Array | None
) -> None:
    """Refuse ids, and columns without a name, which leave `told`, as keys in doubt."""
    columns = {key: told.pop(key) for key in [*told] if key.startswith(NAMELESS)}
    try:
        for key, by_name in columns.items():
            (values,) = by_name.values()
            check_telling(table.names[table.keys[key][0]].strip(), values, told)
        if ids is not None:
            check_telling(table.names[table.keys[ID][0]].strip(), ids, told, are_ids=True)
    except ColumnsError as error:
        raise FileError(path, error.found, error.expected, table.sample.line) from None


def _marked_notes(
    file: BoxFile, data: bytes, table: Table, keys: dict[str, list[Array]]
) -> Iterator[str]:
    """What is said of rows that begin with # in a column of names; among numbers it is refused."""
    name = next((key for key, columns in table.keys.items() if columns[0] == 0), None)
    count, row, are_comments = (0, 0, False) if name is None else marked_rows(keys[name][0])
    if name is None or not count:
        return
    found = cell_described(table, 0, str(keys[name][0][row]))
    if are_comments:
        line = line_of(data, table.format, file.place(row))
        raise FileError(
            file.path, f"{found}, a comment?", "comments in front of all rows alone", line
        )
    rows = "row that begins" if count == 1 else "rows that begin"
    yield f"{count:,} {rows} with # taken along: {found}"


def _check_decimals(path: Path, data: bytes, table: Table) -> None:
    """Refuse points among numbers with decimal commas: one of both is no decimal sign."""
    columns = [*table.box, *table.score]
    for line, cells in cells_of(text_lines(data), table.sample.delimiter, table.sample.skipped):
        for column in columns:
            cell = cells[column].strip() if column < len(cells) else ""
            if "." in cell and number_in(cell) is not None:
                found = f"{cell_described(table, column, cell)}, and others have a decimal comma"
                raise FileError(path, found, "one decimal sign in a file", line)


def _notes(table: Table, scores: Floats) -> tuple[str, ...]:
    """What is said of rows that are marked to be ignored, and of those behind a #."""
    notes = []
    count = int(np.count_nonzero(scores == 0)) if table.flagged else 0
    if count:
        name = table.names[table.score[0]]
        rows = "row has" if count == 1 else "rows have"
        rule = f"to be ignored by the rule of {table.format}"
        notes.append(f"{count:,} {rows} {name} 0, {rule}: taken along")
    left_out = table.sample.left_out
    if left_out:
        rows = "row that begins" if left_out == 1 else "rows that begin"
        notes.append(f"{left_out:,} {rows} with # left out as comment")
    return tuple(notes)


_Loaded = tuple[dict[str, list[Array]], Floats, Floats]


def _load_table(path: Path, data: bytes, table: Table) -> _Loaded | None:
    """The fast way: None for whatever is the least unusual."""
    if len(table.widths) != 1 or table.listed or not _is_rectangular(data, table):
        return None
    sample = table.sample
    numeric = data.replace(b",", b".") if sample.has_commas else data
    texts = _text_columns(data, table)
    whole = [(key, column) for key, column in table.key_columns if column not in texts]
    try:
        numbers = np.loadtxt(
            text_lines(numeric),
            delimiter=sample.delimiter,
            comments=None,
            quotechar='"',
            skiprows=sample.skipped,
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
        rows = list(sample.rows(data))
        for key, column in table.key_columns:
            if column in texts:
                by_column[column] = _key_column(path, table, key, column, rows)
    keys = {key: [by_column[column] for column in columns] for key, columns in table.keys.items()}
    return keys, np.ascontiguousarray(boxes), np.ascontiguousarray(scores)


def _text_columns(data: bytes, table: Table) -> set[int]:
    """Columns of keys that hold names."""
    rows = table.sample.cells[table.sample.has_header :]
    columns = [column for key, column in table.key_columns if key in table.named]
    return {
        column for column in columns
        if any(
            len(row) > column
            and (number_in(row[column]) is None or is_written_as_name(row[column]))
            for row in rows
        )
    }  # fmt: skip


def _is_rectangular(data: bytes, table: Table) -> bool:
    """Whether all lines have the right number of cells, and at least one holds data."""
    sample, data = table.sample, data.rstrip()
    first = 0
    for _ in range(sample.skipped):
        first = data.find(b"\n", first) + 1
        if not first:  # nothing below the header
            return False
    while first < len(data):  # in steps, between which Ctrl-C is heard
        last = data.rfind(b"\n", first, first + STEP) + 1 or data.find(b"\n", first) + 1
        last = last if last > first and first + STEP < len(data) else len(data)
        if not _has_cells(np.frombuffer(data, np.uint8, last - first, first), table):
            return False
        first = last
    return True


def _has_cells(codes: Array, table: Table) -> bool:
    """Whether each of some whole lines, as bytes, has the right number of cells."""
    starts = np.concatenate([[0], np.flatnonzero(codes == ord("\n")) + 1])
    (width,) = table.widths
    if table.sample.delimiter is not None:
        marks = codes == ord(table.sample.delimiter)
        expected = width - 1 + table.sample.has_end
    else:
        blank = codes <= ord(" ")
        marks = ~blank
        marks[1:] &= blank[:-1]
        expected = width
    counts = np.add.reduceat(marks, starts[starts < len(codes)], dtype=np.int64)
    return bool((counts == expected).all())


def _scan_table(path: Path, data: bytes, table: Table, bare: list[BareRow]) -> _Loaded:
    """The careful way, which adds the rows of images without a box to `bare`."""
    key_of = {column: key for key, column in table.key_columns}  # each column but once
    texts: dict[int, list[str]] = {column: [] for column in key_of}
    numbers: list[float] = []
    scores: list[float] = []
    for place, (line, cells) in enumerate(table.sample.rows(data)):
        if len(cells) not in table.widths:
            expected = " or ".join(map(str, table.widths))
            raise FileError(path, columns_counted(len(cells)), expected, line)
        image = table.image_without_box(cells)
        if image is not None:
            bare.append(BareRow(place, f"line {line}", image, table.sides(cells)))
            continue
        for column, key in key_of.items():
            cell = cells[column].strip()
            if key not in table.unchecked:
                check_key(path, table, key, line, column, cell)
            texts[column].append(cell)
        for column in table.box:
            parts = (
                listed_cells(path, table, line, cells[column]) if table.listed else [cells[column]]
            )
            numbers.extend(box_cell(path, table, line, column, part) for part in parts)
        for column in table.score:
            if column >= len(cells):
                raise FileError(path, columns_counted(len(cells)), "one more, the score", line)
            scores.append(score_cell(path, table, line, column, cells[column]))
    return (
        {key: [key_array(texts[c]) for c in columns] for key, columns in table.keys.items()},
        np.array(numbers, np.float64).reshape(-1, LAYOUTS[table.fmt]),
        np.array(scores, np.float64).reshape(-1, 1),
    )


def _key_column(
    path: Path, table: Table, key: str, column: int, rows: Sequence[tuple[int, list[str]]]
) -> Array:
    """A key of names, each of which is checked."""
    stripped = [cells[column].strip() for _, cells in rows]
    for cell in set(stripped) if key not in table.unchecked else ():
        if not is_key(cell, named=True):
            line, _ = rows[stripped.index(cell)]
            check_key(path, table, key, line, column, cell)
    return key_array(stripped)
