"""What boxes look like that are read rightly and may be wrong all the same."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fastiou.formats.content import (
    Booleans,
    BoxFile,
    Wanted,
    number_in,
    whole_number_in,
)
from fastiou.formats.errors import FileError
from fastiou.formats.text import RowLayout, Sample
from fastiou.tables import scales
from fastiou.tables.columns import open_angles
from fastiou.tables.layouts import extents
from fastiou.typing import Array

__all__ = [
    "are_rather_corners",
    "check_angles",
    "check_edges",
    "check_rest",
    "inverted_note",
    "marked_rows",
    "nan_note",
    "scales_apart",
    "unused_columns",
]

#: What KITTI and VisDrone have where a number is not known.
UNKNOWN = (-1, -10, -1000)

#: What rows of numbers alone are written with.
OF_NUMBERS = b"0123456789+-.eE,;|\t \r\n"


def inverted_note(file: BoxFile, where: Callable[[int], str]) -> str | None:
    """What is said of boxes that end before they begin; None if there are none.

    Parameters
    ----------
    file
        The boxes.
    where
        The place in the file of a box by its position, in words.
    """
    wrong: Booleans = np.zeros(len(file), np.bool_)
    for low, high in extents(file.boxes, file.fmt):
        wrong |= high < low
    count = int(np.count_nonzero(wrong))
    if not count:
        return None
    row = int(wrong.argmax())
    numbers = ", ".join(f"{number:g}" for number in file.boxes[row])
    some = "1 box has" if count == 1 else f"{count:,} boxes have"
    return (
        f"{some} a negative width or height, and no overlap with any other: the first "
        f"{where(row)}: {numbers} as {file.fmt}"
    )


def nan_note(file: BoxFile, where: Callable[[int], str]) -> str | None:
    """What is said of boxes of which a number is missing; None if there are none.

    The arguments are those of `inverted_note`.
    """
    missing = np.isnan(file.boxes).any(axis=1)
    count = int(np.count_nonzero(missing))
    if not count:
        return None
    some = "1 box has" if count == 1 else f"{count:,} boxes have"
    return f"{some} NaN, and no overlap with any other: the first {where(int(missing.argmax()))}"


def marked_rows(names: Array) -> tuple[int, int, bool]:
    """How many names begin with #, the first of them, and whether all others are whole numbers."""
    if names.dtype.kind != "U":
        return 0, 0, False
    marked = np.char.startswith(names, "#")
    others = names[~marked].tolist()
    are_comments = all(whole_number_in(name) is not None for name in others)
    return int(np.count_nonzero(marked)), int(marked.argmax()) if len(marked) else 0, are_comments


def check_angles(path: Path, name: str, file: BoxFile, wanted: Wanted) -> None:
    """Refuse angles that could be degrees or radians, since nobody said which.

    Parameters
    ----------
    path
        The file.
    name
        Of the column of angles, which tells no unit.
    file
        What was read.
    wanted
        Tells whether the layout was asked for.

    Raises
    ------
    FileError
        All angles are small.
    """
    words = None if wanted.told else open_angles(name, file.boxes[:, -1], file.fmt)
    if words is not None:
        raise FileError(path, *words)


def check_edges(file: BoxFile, where: Callable[[int], int | None]) -> None:
    """Refuse a file with a quadrilateral whose edges cross, as all that compares them does.

    Parameters
    ----------
    file
        The boxes.
    where
        The line of a box by its position; None where the file has no lines.

    Raises
    ------
    FileError
        It has one, and where.
    """
    if file.fmt != "xyxyxyxy":
        return
    # Which take 0.1 s to import with Numba.
    from fastiou.geometries.table import geometry_of
    from fastiou.metrics import METRICS

    geometry = geometry_of(file.fmt)

    def refuses(boxes: Array) -> bool:
        given = geometry.read("boxes", boxes, file.fmt, batches=False)
        try:
            geometry.prepare(given, given, METRICS["intersection"])
        except ValueError:
            return True
        return False

    if not refuses(file.boxes):
        return
    row, after = 0, len(file)
    while after - row > 1:  # the first that is refused is in front of `after`
        middle = (row + after) // 2
        row, after = (row, middle) if refuses(file.boxes[row:middle]) else (middle, after)
    numbers = ", ".join(f"{number:g}" for number in file.boxes[row])
    found = f"box {row + 1} has edges that cross: {numbers}"
    raise FileError(file.path, found, "corners in order around it", where(row))


def are_rather_corners(boxes: Array, sizes: Array) -> bool:
    """Whether boxes reach out of their images as x, y, width, height, and as corners none does.

    Parameters
    ----------
    boxes
        Shape (N, 4).
    sizes
        Width and height of the image of each, shape (N, 2); NaN where nobody knows.
    """
    as_corners = (boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= sizes + 1)
    beyond = boxes[:, :2] + boxes[:, 2:] > sizes + 1
    return bool(as_corners.all() and beyond.any())


def check_rest(path: Path, data: bytes, layout: RowLayout, sample: Sample) -> None:
    """Refuse rows of a format of numbers alone that end with something else.

    Raises
    ------
    FileError
        A row does, and which.
    """
    head = sum(map(len, itertools.islice(io.BytesIO(data), sample.skipped)))
    # A million rows take 0.03 s here, and 1 s row by row.
    if layout.named or not data[head:].translate(None, OF_NUMBERS):
        return
    first = max(*layout.box, layout.score) + 1
    for line, cells in sample.rows(data):
        for place, cell in enumerate(cells[first:], first):
            if cell.strip() and number_in(cell) is None:
                found = f"column {place + 1} holds {cell!r}"
                raise FileError(path, found, f"a number, as {layout.format} has", line)


def unused_columns(layout: RowLayout, sample: Sample) -> tuple[str, ...]:
    """Names of columns of rows that tell neither a key nor a box nor a score, but something.

    Parameters
    ----------
    layout, sample
        The format, and the first rows.
    """
    used = {*layout.keys.values(), *layout.box, layout.score, layout.id}
    return tuple(
        name for place, name in enumerate(layout.names)
        if place not in used
        and any(number_in(row[place]) not in UNKNOWN for row in sample.cells if place < len(row))
    )  # fmt: skip


def scales_apart(a: BoxFile, b: BoxFile) -> tuple[str, float] | None:
    """Whether one file is normalized by the image size and the other is not.

    Returns
    -------
    tuple or None
        What is said of it, and what no IoU of a box of one with one of the other is above.
    """
    remedy = "--image-size WIDTH,HEIGHT makes pixels of YOLO's numbers"
    if not a.format.startswith("yolo") and not b.format.startswith("yolo"):
        remedy = "fastiou convert with --image-size WIDTH,HEIGHT makes pixels of parts"
    return scales.scales_apart(
        scales.Scale(a.boxes, a.fmt),
        scales.Scale(b.boxes, b.fmt),
        (a.path.name, b.path.name),
        remedy,
    )
