"""The files that the command `fastiou` reads boxes from.

What a file is shows in its content, never in its name: gzip by its first bytes, then .npy, .npz,
JSON or text, and text by its first line. Every complaint about a file is a `FileError` that says
where in the file, what was found and what was expected.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import itertools
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "FORMATS",
    "LAYOUTS",
    "BoxFile",
    "FileError",
    "Grouping",
    "common_groups",
    "import_extra",
    "read_boxes",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Formats of files with boxes.
FORMATS = ("npy", "npz", "csv", "mot", "coco")

#: Orders of the four numbers of a box.
LAYOUTS = ("xyxy", "xywh", "cxcywh")

#: Column names of a CSV file, and the layout that they mean.
BOX_COLUMNS = {
    ("x1", "y1", "x2", "y2"): "xyxy",
    ("cx", "cy", "w", "h"): "cxcywh",
    ("x", "y", "w", "h"): "xywh",
}

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

#: Columns of a row of MOT text: frame, id, x, y, w, h, and more that do not matter here.
MOT_KEY = {"image": 0}
MOT_BOX = (2, 3, 4, 5)
MOT_NAMES = ("frame", "id", "x", "y", "w", "h")

#: Integers up to here are exact in float64.
EXACT = 2**53


class FileError(Exception):
    """A file cannot be used; the message says where in it and why.

    Parameters
    ----------
    path
        The file.
    found, expected
        What is there, and what should be.
    where
        Line number, entry or array name; None for the whole file.
    """

    def __init__(
        self, path: Path, found: str, expected: str | None = None, where: int | str | None = None
    ) -> None:
        place = str(path) if where is None else f"{path}:{where}"
        super().__init__(f"{place}: {found}" + (f", expected {expected}" if expected else ""))


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module that only an extra installs.

    Parameters
    ----------
    module
        Its name.
    extra
        The extra of fastiou that installs it.
    purpose
        What needs it, for the message.

    Raises
    ------
    ImportError
        Naming the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ImportError(f"{purpose} needs: pip install 'fastiou[{extra}]'") from None
    except ImportError as error:  # installed, but not fit for what else is
        raise ImportError(f"{purpose} needs {module}, which fails: {error}") from error


# ---- files with boxes --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BoxFile:
    """Boxes read from a file, in the order of the file.

    Attributes
    ----------
    path : Path
        Where they come from.
    format : str
        One of `FORMATS`.
    fmt : str
        One of `LAYOUTS`.
    boxes : array of float64, shape (N, 4)
    keys : dict
        Grouping keys that the file has, "image" and "category", each as int64 of shape (N,).
    """

    path: Path
    format: str
    fmt: str
    boxes: Floats
    keys: dict[str, Integers] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.boxes)


def read_boxes(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    fmt: str = "xyxy",
    grouped: bool = True,
) -> BoxFile:
    """Read a file with boxes.

    Parameters
    ----------
    path
        The file, compressed by gzip or not.
    format
        One of `FORMATS`; told by content if not given.
    fmt
        Layout of the boxes where the file does not tell: in .npy, in .npz without `fmt`, and in
        text without a header.
    grouped
        Whether to read the grouping keys, too.

    Returns
    -------
    BoxFile

    Raises
    ------
    FileError
        The file is missing, broken or of another format.
    """
    path = Path(path)
    data = _content(path)
    format = format or _guess_format(data)  # noqa: A001
    if format == "npy":
        return _read_npy(path, data, fmt)
    if format == "npz":
        return _read_npz(path, data, fmt, grouped)
    _check_encoding(path, data)
    if format == "coco":
        return _read_coco(path, data, grouped)
    try:
        table = _lay_out(path, data, format, fmt)
        if not grouped:
            table = replace(table, keys={})
        return _read_table(path, data, table)
    except csv.Error as error:
        raise FileError(path, f"not CSV ({error})") from None


def _content(path: Path) -> bytes:
    """The whole file, decompressed."""
    if path.is_dir():
        raise FileError(path, "this is a folder", "a file with boxes")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from None
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileError(path, f"broken gzip file ({error})", "a complete one") from None
    if not data or data.isspace():
        raise FileError(
            path, "the file is empty", "boxes (a CSV header or a JSON list may have none)"
        )
    return data


def _guess_format(data: bytes) -> str | None:
    """Format of a file, None for text that only its first line tells apart."""
    if data.startswith(b"\x93NUMPY"):
        return "npy"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "npz"
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    return "coco" if start.startswith((b"{", b"[")) else None


def _check_encoding(path: Path, data: bytes) -> None:
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError(
            path, f"byte 0x{data[error.start]:02x} is not UTF-8", "text, .npy or .npz", line
        ) from None


# ---- NumPy files -------------------------------------------------------------------------------


@contextmanager
def _numpy_errors(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, OSError, EOFError, KeyError, SyntaxError, RuntimeError) as error:
        if "allow_pickle" in str(error):
            raise FileError(
                path, "it holds Python objects, which are not read for safety", "numbers"
            ) from None
        raise FileError(path, f"cannot be read as {kind} ({error})") from None
    except (zipfile.BadZipFile, zlib.error) as error:
        raise FileError(path, f"broken {kind} file ({error})", "a complete one") from None


def _read_npy(path: Path, data: bytes, fmt: str) -> BoxFile:
    with _numpy_errors(path, ".npy"):
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return BoxFile(path, "npy", fmt, _box_array(path, "array", array))


def _read_npz(path: Path, data: bytes, fmt: str, grouped: bool) -> BoxFile:
    wanted = ("boxes", "fmt", *(["groups"] if grouped else []))
    with _numpy_errors(path, ".npz"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        found = {}
        for name in wanted:
            if name in names:
                with archive.open(f"{name}.npy") as member:
                    found[name] = np.lib.format.read_array(member, allow_pickle=False)
    if "boxes" not in found:
        listed = _shortened(", ".join(names)) or "no arrays"
        raise FileError(path, f"holds {listed}", 'an array "boxes" of shape (N, 4)')
    boxes = _box_array(path, "boxes", found["boxes"])
    if "fmt" in found:
        fmt = str(found["fmt"])
        if fmt not in LAYOUTS:
            raise FileError(path, f"holds {fmt!r}", f"one of {', '.join(LAYOUTS)}", "fmt")
    keys = {}
    if "groups" in found:
        keys["image"] = _group_array(path, found["groups"], len(boxes))
    return BoxFile(path, "npz", fmt, boxes, keys)


def _box_array(path: Path, name: str, array: npt.NDArray[Any]) -> Floats:
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "iuf":
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise FileError(path, found, "numbers of shape (N, 4)", name)
    boxes = np.ascontiguousarray(array, np.float64)
    unfit = np.isinf(boxes)
    expected = "finite numbers or NaN"
    if array.dtype.kind in "iu":
        unfit = (array > EXACT) | (array < -EXACT) if array.dtype.itemsize == 8 else unfit
        expected = "integers up to 2**53, which float64 holds exactly"
    if unfit.any():
        row, column = np.argwhere(unfit)[0]
        raise FileError(path, f"{array[row, column]}", expected, f"{name}[{row}]")
    return boxes


def _group_array(path: Path, array: npt.NDArray[Any], count: int) -> Integers:
    if array.shape != (count,) or array.dtype.kind not in "biuf":
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise FileError(path, found, f"integers of shape ({count},)", "groups")
    unfit = np.zeros(count, bool)
    if array.dtype.kind == "f":
        unfit = ~_are_exact_integers(array)
    elif array.dtype == np.uint64:
        unfit = array >= 2**63
    if unfit.any():
        row = int(unfit.argmax())
        raise FileError(path, f"{array[row]}", "a whole number of 64 bits", f"groups[{row}]")
    return array.astype(np.int64)


def _are_exact_integers(numbers: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    # A NaN fails both comparisons.
    exact: npt.NDArray[np.bool_] = (np.abs(numbers) < EXACT) & (np.trunc(numbers) == numbers)
    return exact


# ---- COCO JSON ---------------------------------------------------------------------------------


def _without_outlines(entry: dict[str, Any]) -> dict[str, Any]:
    # They are most of a file, and as Python lists would take a hundred times the memory of boxes.
    entry.pop("segmentation", None)
    return entry


def _read_coco(path: Path, data: bytes, grouped: bool) -> BoxFile:
    try:
        content = json.loads(data.decode("utf-8-sig"), object_hook=_without_outlines)
    except json.JSONDecodeError as error:
        raise FileError(
            path, f"not JSON: {error.msg} (column {error.colno})", "COCO JSON", error.lineno
        ) from None
    except (RecursionError, ValueError) as error:
        raise FileError(path, f"cannot be read as JSON ({error})", "COCO JSON") from None
    entries, label = content, ""
    if isinstance(content, dict):
        label = "annotations"
        if label not in content:
            names = _shortened(", ".join(content)) or "nothing"
            raise FileError(path, f"an object with {names}", '"annotations", or a list of results')
        entries = content[label]
    if not isinstance(entries, list):
        raise FileError(path, _described(entries), "a list of annotations or results", label)
    boxes = _coco_boxes(path, label, entries)
    if not grouped:
        return BoxFile(path, "coco", "xywh", boxes)
    keys = {"image": _coco_key(path, label, entries, "image_id")}
    if any("category_id" in entry for entry in entries):
        keys["category"] = _coco_key(path, label, entries, "category_id")
    return BoxFile(path, "coco", "xywh", boxes, keys)


def _coco_boxes(path: Path, label: str, entries: list[Any]) -> Floats:
    expected = '"bbox": [x, y, width, height]'
    for index, entry in enumerate(entries):
        where = f"{label}[{index}]"
        if not isinstance(entry, dict):
            raise FileError(path, _described(entry), "an object", where)
        if "bbox" not in entry:
            raise FileError(path, 'no "bbox"', expected, where)
        bbox = entry["bbox"]
        # `type`, since a bool is an int but no number here.
        if type(bbox) is not list or len(bbox) != 4 or not {type(x) for x in bbox} <= {int, float}:
            raise FileError(path, f'"bbox": {_described(bbox)}', expected, where)
        try:
            infinite = any(map(math.isinf, bbox))
        except OverflowError:
            infinite = True
        if infinite:
            raise FileError(path, f'"bbox": {_described(bbox)}', "finite numbers or NaN", where)
    numbers = itertools.chain.from_iterable(entry["bbox"] for entry in entries)
    return np.fromiter(numbers, np.float64, 4 * len(entries)).reshape(-1, 4)


def _coco_key(path: Path, label: str, entries: list[dict[str, Any]], name: str) -> Integers:
    values = []
    for index, entry in enumerate(entries):
        where = f"{label}[{index}]"
        if name not in entry:
            raise FileError(path, f'no "{name}"', "one in every entry", where)
        value = entry[name]
        number = None if type(value) not in (int, float) else _whole_number(repr(value))
        if number is None:
            found = f'"{name}": {_described(value)}'
            raise FileError(path, found, "a whole number of 64 bits", where)
        values.append(number)
    return np.array(values, np.int64)


# ---- text --------------------------------------------------------------------------------------


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
    #: Columns of the four numbers of a box.
    box: tuple[int, ...]
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


def _lay_out(path: Path, data: bytes, format: str | None, fmt: str) -> _Table:  # noqa: A002
    first_line = next((line for line in _text_lines(data) if line.strip()), "")
    delimiter = "," if "," in first_line else None
    number, cells = next(_cells(_text_lines(data), delimiter), (1, []))
    width = len(cells)
    numeric = all(_number(cell) is not None for cell in cells[:4])
    if format is None:
        # Not x1,y1,x2,y2,score,class: frame and track are whole, width and height above 1.
        likely = all(_whole_number(cell) is not None for cell in cells[:2]) and (
            width >= 7 or (width == 6 and all((_number(cell) or 0) > 1 for cell in cells[4:]))
        )
        format = "mot" if numeric and likely else "csv"  # noqa: A001
    if format == "mot":
        if width < 6:
            expected = "6 or more: frame, id, x, y, w, h, …"
            raise FileError(path, _columns(width), expected, number)
        return _Table("mot", "xywh", delimiter, width, number - 1, MOT_KEY, MOT_BOX, MOT_NAMES)
    if not numeric:
        return _headed_table(path, cells, delimiter, number)
    if width != 4:
        expected = (
            "4 (boxes), 6 or more that begin with whole numbers of frame and track (MOT), "
            "a header that names the columns, or --format mot"
        )
        raise FileError(path, f"{_columns(width)} of numbers", expected, number)
    return _Table("csv", fmt, delimiter, 4, number - 1, {}, (0, 1, 2, 3))


def _headed_table(path: Path, header: list[str], delimiter: str | None, line: int) -> _Table:
    names = [name.strip().lower() for name in header]
    layouts = [known for known in BOX_COLUMNS if set(known) <= set(names)]
    used = [name for name in names if name in KEY_COLUMNS or any(name in x for x in BOX_COLUMNS)]
    twice = sorted({name for name in used if used.count(name) > 1})
    if len(layouts) > 1 or twice:
        found = f"columns {', '.join(twice)} come twice" if twice else "columns of several layouts"
        raise FileError(path, found, "one set of boxes", line)
    box_names = layouts[0] if layouts else None
    if box_names is None:
        known = " or ".join(map(",".join, BOX_COLUMNS))
        found = f"the first line {_shortened(','.join(header))!r} names no boxes"
        raise FileError(path, found, f"columns {known}, or rows of numbers", line)
    keys: dict[str, int] = {}
    for name, key in KEY_COLUMNS.items():
        if name in names:
            keys.setdefault(key, names.index(name))
    box = tuple(names.index(name) for name in box_names)
    return _Table("csv", BOX_COLUMNS[box_names], delimiter, len(names), line, keys, box, names)


def _read_table(path: Path, data: bytes, table: _Table) -> BoxFile:
    # The careful way is 20 times slower. It says what is wrong and where, or finds that all is well
    # with what the fast way does not know: quoted delimiters, group numbers beyond float64.
    keys, boxes = _load_table(data, table) or _scan_table(path, data, table)
    return BoxFile(path, table.format, table.fmt, boxes, keys)


def _load_table(data: bytes, table: _Table) -> tuple[dict[str, Integers], Floats] | None:
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
            usecols=[*table.keys.values(), *table.box],
            ndmin=2,
        )
    except ValueError:
        return None
    keys, boxes = np.hsplit(numbers, [len(table.keys)])
    if np.isinf(boxes).any() or not _are_exact_integers(keys).all():
        return None
    return (
        dict(zip(table.keys, keys.T.astype(np.int64), strict=True)),
        np.ascontiguousarray(boxes),
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


def _scan_table(path: Path, data: bytes, table: _Table) -> tuple[dict[str, Integers], Floats]:
    keys: dict[str, list[int]] = {key: [] for key in table.keys}
    numbers: list[float] = []
    for line, cells in _cells(_text_lines(data), table.delimiter):
        if line <= table.skipped:
            continue
        if len(cells) != table.width:
            raise FileError(path, _columns(len(cells)), str(table.width), line)
        for key, column in table.keys.items():
            keys[key].append(_key_cell(path, table, line, column, cells[column]))
        numbers.extend(_box_cell(path, table, line, column, cells[column]) for column in table.box)
    return (
        {key: np.array(values, np.int64) for key, values in keys.items()},
        np.array(numbers, np.float64).reshape(-1, 4),
    )


def _box_cell(path: Path, table: _Table, line: int, column: int, cell: str) -> float:
    number = _number(cell)
    if number is None or math.isinf(number):
        expected = "a number" if number is None else "a finite number or NaN"
        raise FileError(path, _cell_described(table, column, cell), expected, line)
    return number


def _key_cell(path: Path, table: _Table, line: int, column: int, cell: str) -> int:
    number = _whole_number(cell)
    if number is None:
        found = _cell_described(table, column, cell)
        raise FileError(path, found, "a whole number of 64 bits", line)
    return number


def _number(cell: str) -> float | None:
    # Python reads 1_000 as a thousand; no other program that writes tables does.
    if "_" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _whole_number(cell: str) -> int | None:
    """The integer of 64 bits that a cell says, None if it says something else."""
    number = _number(cell)
    if number is None or not number.is_integer():
        return None
    try:
        whole = int(cell)
    except ValueError:
        whole = int(number)
    return whole if -(2**63) <= whole < 2**63 else None


def _columns(count: int) -> str:
    return f"{count} column" if count == 1 else f"{count} columns"


def _cell_described(table: _Table, column: int, cell: str) -> str:
    name = f" ({table.names[column]})" if column < len(table.names) else ""
    return f"column {column + 1}{name} holds {_shortened(cell)!r}"


def _described(value: Any) -> str:
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


# ---- groups ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which boxes of two files may meet: those with equal codes.

    Attributes
    ----------
    keys : tuple of str
        The grouping keys that both files have.
    codes_a, codes_b : array of int64
        For each box of either file, the number of its group.
    count : int
        Number of groups in both files together.
    """

    keys: tuple[str, ...]
    codes_a: Integers
    codes_b: Integers
    count: int


def common_groups(a: BoxFile, b: BoxFile) -> Grouping | None:
    """Group the boxes of two files by all keys that both have.

    Parameters
    ----------
    a, b
        The files.

    Returns
    -------
    Grouping or None
        None if they have no key in common.
    """
    common = tuple(key for key in a.keys if key in b.keys)
    if not common:
        return None
    codes = np.zeros(len(a) + len(b), np.int64)
    count = 1
    for key in common:
        distinct, inverse = np.unique(
            np.concatenate([a.keys[key], b.keys[key]]), return_inverse=True
        )
        # Numbered afresh after each key, so that the product never overflows.
        combined, codes = np.unique(codes * len(distinct) + inverse, return_inverse=True)
        count = len(combined)
    return Grouping(common, codes[: len(a)], codes[len(a) :], count)
