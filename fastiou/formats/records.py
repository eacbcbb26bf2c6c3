"""Tables whose columns have names and values of their own: JSON lines, parquet and Arrow files."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.arrays.frames import some_values
from fastiou.formats.cells import BareRow, image_column, images_of, without_boxes
from fastiou.formats.content import EXACT, BoxFile, Floats, Wanted, are_exact_integers
from fastiou.formats.errors import FileError, described, import_extra
from fastiou.formats.json_objects import json_content, json_value
from fastiou.formats.keys import keys_of, meaning_wanted
from fastiou.formats.pieces import MOST_UNPACKED_ROWS, check_unpacked
from fastiou.formats.sizes import sizes_in_columns
from fastiou.formats.suspicions import check_angles
from fastiou.formats.text import text_lines
from fastiou.tables.column_names import INDEXES, LISTS, likely_images, plain_name
from fastiou.tables.columns import ColumnsError, Meaning, check_telling, meaning_of
from fastiou.tables.layouts import LAYOUTS
from fastiou.typing import Array

__all__ = [
    "is_json_lines",
    "is_json_list",
    "read_arrow",
    "read_json_lines",
    "read_json_list",
    "read_parquet",
]

#: So many lines are looked at to tell JSON lines, none of which is longer: a mask has its place.
LINES, LONGEST = 50, 1 << 22

#: The largest number: integers beyond all floats are refused, too.
LARGEST = sys.float_info.max


def is_json_lines(data: bytes) -> bool:
    """Whether each of the first two lines is a JSON object, or the only one is without lists."""
    lines: list[bytes] = []
    end = -1
    for _ in range(LINES):
        begin, end = end + 1, data.find(b"\n", end + 1)
        end = len(data) if end < 0 else end
        if end - begin > LONGEST:
            return False
        if not data[begin:end].isspace() and end > begin:
            lines.append(data[begin:end])
        if len(lines) == 2 or end == len(data):
            break
    try:
        entries = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return False
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        return False
    first = {name: value for name, value in entries[0].items() if plain_name(name) not in LISTS}
    lists = any(isinstance(value, list | dict) for value in first.values())
    return len(entries) > 1 or not (lists or {"annotations", "images"} & entries[0].keys())


def read_json_lines(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from lines of JSON objects, as `fastiou.formats.table.read_boxes`."""
    entries: list[dict[str, Any]] = []
    lines: list[int] = []
    for number, line in enumerate(text_lines(data), 1):
        if not line.strip():
            continue
        try:
            entry = json_value(line.encode())
        except (ValueError, RecursionError) as error:
            raise FileError(path, f"not JSON ({error})", "an object a line", number) from None
        if not isinstance(entry, dict):
            raise FileError(path, described(entry), "an object a line", number)
        entries.append(entry)
        lines.append(number)
    return _of_objects(path, "jsonl", entries, lines, wanted)


def _of_objects(
    path: Path,
    format_: str,
    entries: list[dict[str, Any]],
    places: Sequence[int | str],
    wanted: Wanted,
) -> BoxFile:
    """Boxes of objects, of which messages know the places in the file."""
    listed = list(dict.fromkeys(name for entry in entries for name in entry))
    meaning = _meaning(path, listed, wanted)
    image = image_column(listed, meaning.keys)
    names = [listed[place] for place in meaning.box]
    bare = [
        BareRow(
            number, f"line {place}" if format_ == "jsonl" else str(place), str(entry[name]),
            tuple(entry.items()),
        )
        for number, (entry, place) in enumerate(zip(entries, places, strict=True))
        if image is not None and entry.get(name := listed[image]) is not None
        and all(own in entry and entry[own] is None for own in names)
    ]  # fmt: skip
    if bare:
        without = {row.place for row in bare}
        kept = [number for number in range(len(entries)) if number not in without]
        entries, places = [entries[n] for n in kept], [places[n] for n in kept]

    def column(place: int) -> list[Any]:
        name = listed[place]
        for entry, where in zip(entries, places, strict=True):
            if entry.get(name) is None:
                unit = "line" if format_ == "jsonl" else "object"
                raise FileError(path, f'no "{name}"', f"one in every {unit}", where)
        return [entry[name] for entry in entries]

    def has_all(place: int) -> bool:
        return all(entry.get(listed[place]) is not None for entry in entries)

    file = _file(path, format_, listed, column, has_all, meaning, wanted, places)
    return _with_bare(file, bare, wanted)


def _with_bare(file: BoxFile, bare: Sequence[BareRow], wanted: Wanted) -> BoxFile:
    """A file beside whose boxes there are rows of images without objects."""
    sizes = images_of(bare, file.keys, file.size_columns) if wanted.sizes else {}
    return replace(file, skipped=without_boxes(bare, len(file)), sizes={**sizes, **file.sizes})


def is_json_list(data: bytes) -> bool:
    """Whether it is a list whose first entry names the columns of a box, and is none of COCO's."""
    beginning = data[: 1 << 16].decode("utf-8-sig", "replace").lstrip()
    if not beginning.startswith("["):
        return False
    try:
        entry, _ = json.JSONDecoder().raw_decode(beginning[1:].lstrip())
    except (ValueError, RecursionError):
        return False
    if not isinstance(entry, dict) or "segmentation" in entry:
        return False
    # What has no number of an image is none of COCO's, and its list of any layout.
    is_open = "bbox" in entry and "image_id" not in entry
    if "bbox" in entry and not is_open:
        return False
    # What is said of columns that are in doubt is said by the reader.
    told = is_open or not any(plain_name(name) in LISTS for name in entry)
    try:
        meaning_of(list(entry), "xyxy", (), told=told)
    except ColumnsError:
        return False
    return True


def read_json_list(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from a list of JSON objects, as `fastiou.formats.table.read_boxes`."""
    entries = json_content(path, data, "a list of objects", {})
    if not isinstance(entries, list):
        raise FileError(path, described(entries), "a list of objects")
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise FileError(path, described(entry), "an object", f"[{place}]")
    return _of_objects(path, "json", entries, [f"[{n}]" for n in range(len(entries))], wanted)


def read_parquet(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from a parquet file, as `fastiou.formats.table.read_boxes`."""
    parquet = import_extra("pyarrow.parquet", "parquet", "reading parquet")

    def opened(file: io.BytesIO) -> tuple[Any, Iterator[Any]]:
        rows = parquet.ParquetFile(file)
        return rows.schema_arrow, rows.iter_batches()

    return _arrow_file(path, "parquet", data, wanted, opened)


def read_arrow(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from an Arrow (Feather) file, as `fastiou.formats.table.read_boxes`."""
    ipc = import_extra("pyarrow.ipc", "parquet", "reading Arrow files")

    def opened(file: io.BytesIO) -> tuple[Any, Iterator[Any]]:
        rows = ipc.open_file(file)
        return rows.schema, map(rows.get_batch, range(rows.num_record_batches))

    return _arrow_file(path, "arrow", data, wanted, opened)


def _arrow_file(
    path: Path,
    format_: str,
    data: bytes,
    wanted: Wanted,
    opened: Callable[[io.BytesIO], tuple[Any, Iterator[Any]]],
) -> BoxFile:
    """Boxes of a file that `opened` makes a schema and batches of rows of."""
    arrow = import_extra("pyarrow", "parquet", f"reading {format_}")
    try:
        schema, batches = opened(io.BytesIO(data))
        kept, size = [], 0
        for batch in batches:
            size += batch.nbytes
            check_unpacked(path, size, len(data), MOST_UNPACKED_ROWS)
            kept.append(batch)
        table = arrow.Table.from_batches(kept, schema)
        table.validate(full=True)  # damaged offsets would be followed out of memory
    except (arrow.ArrowException, OSError, ValueError) as error:
        words = str(error).splitlines()[0]
        raise FileError(path, f"cannot be read as {format_} ({words})", "a complete one") from None
    names = [str(name) for name in table.column_names]
    meaning = _meaning(path, names, wanted)
    image = image_column(names, meaning.keys)
    empty = np.all([table.column(place).is_null().to_numpy() for place in meaning.box], axis=0)
    bare = [
        BareRow(row, f"[{row}]", str(name))
        for row in (np.flatnonzero(empty).tolist() if image is not None else ())
        if (name := table.column(image)[row].as_py()) is not None
    ]
    places: list[str] | None = None
    if bare:
        others = np.delete(np.arange(len(table)), [row.place for row in bare])
        table, places = table.take(others), [f"[{row}]" for row in others.tolist()]

    def column(place: int) -> list[Any] | Array:
        values = table.column(place)
        if values.null_count:
            row = values.is_null().to_pylist().index(True)
            where = f"{names[place]}{f'[{row}]' if places is None else places[row]}"
            raise FileError(path, "null", "a value in every row", where)
        # Objects of Python take ten times the memory.
        is_plain = arrow.types.is_integer(values.type) or arrow.types.is_floating(values.type)
        cells: list[Any] | Array = values.to_numpy() if is_plain else values.to_pylist()
        return cells

    def has_all(place: int) -> bool:
        return not table.column(place).null_count

    file = _file(path, format_, names, column, has_all, meaning, wanted, places)
    return _with_bare(file, bare, wanted)


def _meaning(path: Path, names: list[str], wanted: Wanted) -> Meaning:
    try:
        return meaning_wanted(names, wanted)
    except ColumnsError as error:
        found = error.found.replace("the first line", "the columns")
        raise FileError(path, found, error.expected) from None


def _file(
    path: Path,
    format_: str,
    names: Sequence[str],
    column: Callable[[int], list[Any] | Array],
    has_all: Callable[[int], bool],
    meaning: Meaning,
    wanted: Wanted,
    places: Sequence[int | str] | None,
) -> BoxFile:
    def where(name: str, row: int) -> int | str:
        return places[row] if places is not None else f"{name}[{row}]"

    def numbers(place: int, *, nan: bool) -> Floats:
        name, values = names[place], column(place)
        if isinstance(values, np.ndarray):
            odd = []
            if values.dtype.kind in "iu":  # a float is what it is
                odd = np.flatnonzero((values > EXACT) | (values < -EXACT))[:1].tolist()
        else:
            odd = [row for row, value in enumerate(values) if type(value) not in (int, float)
                   or (type(value) is int and abs(value) > EXACT)]  # fmt: skip
        if odd:
            found = f"{name}: {described(values[odd[0]])}"
            raise FileError(path, found, "a number", where(name, odd[0]))
        array = np.asarray(values, np.float64)
        unfit = np.isinf(array) if nan else ~np.isfinite(array)
        if unfit.any():
            row = int(unfit.argmax())
            expected = "a finite number" + (" or NaN" if nan else "")
            raise FileError(path, f"{name}: {array[row]}", expected, where(name, row))
        return array

    def key(place: int) -> Array:
        name, values = names[place], column(place)
        if isinstance(values, np.ndarray):
            if np.can_cast(values.dtype, np.int64):
                return values.astype(np.int64)
            values = values.tolist()
        for row, value in enumerate(values):
            whole = type(value) is float and are_exact_integers(np.array([value])).all()
            if not (whole or (type(value) is int and -(2**63) <= value < 2**63)
                    or (type(value) is str and value.strip())):  # fmt: skip
                expected = "a whole number of 64 bits, or a name"
                raise FileError(path, f"{name}: {described(value)}", expected, where(name, row))
        if all(type(value) is not str for value in values):
            return np.array([int(value) for value in values], np.int64)
        cells = [v.strip() if type(v) is str else str(int(v)) for v in values]
        written = {cell for cell, v in zip(cells, values, strict=True) if type(v) is str}
        for row, (cell, value) in enumerate(zip(cells, values, strict=True)):
            if type(value) is not str and cell in written:
                found = f'{name}: {cell}, and "{cell}" elsewhere'
                raise FileError(path, found, "a number or a name, not both", where(name, row))
        return np.array(cells, np.str_)

    def lists(place: int) -> Floats:
        name, values, count = names[place], column(place), LAYOUTS[meaning.fmt]
        for row, value in enumerate(values):
            parts = value if isinstance(value, list | tuple) else ()
            fit = len(parts) == count and all(
                (type(part) in (int, float) and abs(part) <= LARGEST) or part != part
                for part in parts
            )
            if not fit:
                expected = f"{count} finite numbers or NaN"
                raise FileError(path, f"{name}: {described(value)}", expected, where(name, row))
        return np.array(values, np.float64).reshape(-1, count)

    if meaning.is_list:
        boxes = lists(*meaning.box)
    else:
        boxes = np.stack([numbers(place, nan=True) for place in meaning.box], axis=1)
    scores = None
    if wanted.takes_scores and meaning.score is not None:
        scores = numbers(meaning.score, nan=False)
    told = {
        name: {names[place].strip(): key(place) for place in places}
        for name, places in meaning.keys.items()
    }
    keys, columns_of = keys_of(path, told)
    is_open = wanted.is_open and not {"image", "video"} & {*told}
    reads_ids = meaning.id is not None and (wanted.ids or is_open) and has_all(meaning.id)
    ids = None
    if meaning.id is not None and reads_ids:
        try:
            ids = key(meaning.id)
        except FileError:
            if wanted.ids:
                raise
    if is_open:
        try:
            for place, name in enumerate(names):
                if plain_name(name) in INDEXES and has_all(place):
                    with suppress(FileError):  # such as numbers that are not whole
                        check_telling(name, key(place), told)
            if ids is not None and meaning.id is not None:
                check_telling(names[meaning.id], ids, told, are_ids=True)
        except ColumnsError as error:
            raise FileError(path, error.found, error.expected) from None
    ids = ids if wanted.ids else None
    pairs: list[dict[str, Array]] = []
    for pair in meaning.sizes if wanted.sizes else ():
        with suppress(FileError):  # such as a size that is missing
            pairs.append({names[place].strip(): key(place) for place in pair})

    def some(name: str) -> list[Any]:
        place = [own.strip() for own in names].index(name)
        return some_values(column(place)) if has_all(place) else []

    found = sizes_in_columns(keys.get("image"), pairs, boxes, meaning.fmt)
    file = BoxFile(
        path=path, format=format_, fmt=meaning.fmt, keys=keys, scores=scores, ids=ids,
        columns=columns_of,
        boxes=np.ascontiguousarray(boxes), sizes=found.sizes, notes=found.words,
        size_columns=found.names, unused=meaning.unused,
        likely_images=likely_images(meaning.unused, keys, some),
    )  # fmt: skip
    if meaning.angle is not None:
        check_angles(path, names[meaning.angle].strip(), file, wanted)
    return file
