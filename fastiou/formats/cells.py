"""How a text file of rows is laid out, and its cells: numbers, keys, and what is said of others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fastiou.arrays.frames import FEW
from fastiou.formats.content import number_in, whole_number_in
from fastiou.formats.errors import FileError, shortened
from fastiou.formats.keys import MISSING
from fastiou.formats.skipped import Skipped
from fastiou.formats.text import Sample
from fastiou.tables.column_names import likely_images
from fastiou.tables.columns import key_columns
from fastiou.tables.layouts import LAYOUTS
from fastiou.typing import Array

__all__ = [
    "BareRow",
    "Table",
    "box_cell",
    "cell_described",
    "check_key",
    "columns_counted",
    "image_column",
    "images_of",
    "is_key",
    "listed_cells",
    "score_cell",
    "without_boxes",
]


@dataclass(frozen=True)
class Table:
    """How a text file is laid out."""

    format: str
    fmt: str
    #: How it is written, and its first rows.
    sample: Sample
    #: How many cells a row may have.
    widths: tuple[int, ...]
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
    #: Whether scores of 0 mark what is to be ignored.
    flagged: bool = False
    #: Whether one column holds all numbers of a box, as a list.
    listed: bool = False
    #: Whether nobody says if angles are degrees.
    open_angle: bool = False
    #: Keys that are read to see whether they may be some, so that any cells will do.
    unchecked: frozenset[str] = frozenset()
    #: Pairs of columns that may tell width and height of the image.
    sizes: tuple[tuple[int, int], ...] = ()
    #: Column that names the image, or else the video; None if none does.
    image: int | None = None

    @property
    def key_columns(self) -> list[tuple[str, int]]:
        """Each key with each of its columns."""
        return [(key, column) for key, columns in self.keys.items() for column in columns]

    def image_without_box(self, cells: Sequence[str]) -> str | None:
        """The image of a row whose cells of the box are empty; None of another row."""
        if self.image is None or any(
            len(cells) <= column or cells[column].strip() not in MISSING for column in self.box
        ):
            return None
        name = cells[self.image].strip()
        return None if name in MISSING else name

    def sides(self, cells: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """The cells of a row that may tell the size of its image, by the names of columns."""
        places = [place for pair in self.sizes for place in pair if place < len(cells)]
        return tuple((self.names[place].strip(), cells[place]) for place in places)

    def likely_images(self, data: bytes, keys: Container[str]) -> tuple[str, ...]:
        """The columns not used that are likely to tell the image, by the first rows of data."""
        names = [name.strip() for name in self.names]

        def some(name: str) -> list[str]:
            place = names.index(name)
            rows = itertools.islice(self.sample.rows(data), FEW)
            return [cells[place].strip() for _, cells in rows if place < len(cells)]

        return likely_images(self.unused, keys, some)


class BareRow(NamedTuple):
    """A row of an image without objects."""

    #: Its position among all rows, and where that is in words.
    place: int
    where: str
    #: The image.
    image: str
    #: Columns by their names, and their cells, some of which may tell the size of the image.
    sides: tuple[tuple[str, Any], ...] = ()


def without_boxes(rows: Sequence[BareRow], boxes: int) -> Skipped | None:
    """What is said of rows of images without objects beside so many boxes; None without rows."""
    words = "rows are of images without a box"
    return Skipped.of(boxes + len(rows), {row.place: row.where for row in rows}, words)


def image_column(names: Sequence[str], keys: Mapping[str, Sequence[int]]) -> int | None:
    """The column of the image, or else of the video, whatever boxes are grouped by.

    `keys` has the columns of those keys that are asked for.
    """
    told = {**key_columns(names, None), **keys}
    return next((told[key][0] for key in ("image", "video") if key in told), None)


def images_of(
    rows: Sequence[BareRow], keys: Mapping[str, Array], names: Sequence[str]
) -> dict[int | str, tuple[int, int] | None]:
    """The images of such rows, as numbers where those of boxes are, and their sizes.

    `names` are those of the columns that tell width and height, if any do.
    """
    if "image" not in keys:
        return {}
    numbers = [
        whole_number_in(row.image) if keys["image"].dtype.kind == "i" else None for row in rows
    ]
    return {
        row.image if number is None else number: _size_in(dict(row.sides), names)
        for row, number in zip(rows, numbers, strict=True)
    }


def _size_in(told: Mapping[str, Any], names: Sequence[str]) -> tuple[int, int] | None:
    sides = [whole_number_in(str(told.get(name, ""))) or 0 for name in names]
    return (sides[1], sides[0]) if len(sides) == 2 and min(sides) > 0 else None


def is_key(cell: str, *, named: bool) -> bool:
    """Whether a cell tells a key: a whole number of 64 bits, or a name where it may be one."""
    if whole_number_in(cell) is not None:
        return True
    # A number that is not whole is no name: frames and images are counted.
    return named and cell not in MISSING and number_in(cell) is None


def check_key(path: Path, table: Table, key: str, line: int, column: int, cell: str) -> None:
    """Raise a FileError unless a cell tells a key."""
    named = key in table.named
    if not is_key(cell, named=named):
        expected = f"a whole number of 64 bits{', or a name' if named else ''}"
        if cell in MISSING or named:
            expected += "; --by none leaves keys aside"
        raise FileError(path, cell_described(table, column, cell), expected, line)


def box_cell(path: Path, table: Table, line: int, column: int, cell: str) -> float:
    """The number of a box in a cell."""
    number = number_in(cell)
    if number is None or math.isinf(number):
        expected = "a number" if number is None else "a finite number or NaN"
        raise FileError(path, cell_described(table, column, cell), expected, line)
    return number


def listed_cells(path: Path, table: Table, line: int, cell: str) -> list[str]:
    """The numbers of a box in one cell."""
    if "{" in cell:
        found = f"{cell_described(table, table.box[0], cell)}, an object"
        raise FileError(path, found, f"{LAYOUTS[table.fmt]} numbers in brackets", line)
    parts = cell.strip().strip("[]()").replace(",", " ").split()
    if len(parts) != LAYOUTS[table.fmt]:
        found = cell_described(table, table.box[0], cell)
        raise FileError(path, found, f"{LAYOUTS[table.fmt]} numbers in brackets", line)
    return parts


def score_cell(path: Path, table: Table, line: int, column: int, cell: str) -> float:
    """The score in a cell."""
    number = number_in(cell)
    if number is None or not math.isfinite(number):
        raise FileError(path, cell_described(table, column, cell), "a finite number", line)
    return number


def columns_counted(count: int) -> str:
    """How many columns there are, in words."""
    return f"{count} column" if count == 1 else f"{count} columns"


def cell_described(table: Table, column: int, cell: str) -> str:
    """What a cell holds, and which it is, for messages."""
    name = f" ({table.names[column].strip()})" if column < len(table.names) else ""
    return f"column {column + 1}{name} holds {shortened(cell)!r}"
