"""What boxes look like that are read rightly and may be wrong all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fastiou.formats.content import (
    LARGEST_NORMALIZED,
    SMALLEST_NORMALIZED,
    Booleans,
    BoxFile,
    Floats,
    Wanted,
)
from fastiou.formats.errors import FileError
from fastiou.tables.columns import open_angles
from fastiou.tables.layouts import extents

__all__ = ["check_angles", "inverted_note", "scales_apart"]


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


def _reach(file: BoxFile) -> tuple[Floats, Floats, Floats]:
    """Of the boxes without NaN, where each begins at least and ends at most, and its longest side.

    Boxes that end before they begin are left out, too.
    """
    sides = list(extents(file.boxes, file.fmt))
    lows, highs = (np.stack(part) for part in zip(*sides, strict=True))
    proper = (highs >= lows).all(axis=0)
    lows, highs = lows[:, proper], highs[:, proper]
    return lows.min(axis=0), highs.max(axis=0), (highs - lows).max(axis=0)


def _is_normalized(file: BoxFile, low: Floats, high: Floats) -> bool:
    inside = (low >= SMALLEST_NORMALIZED).all() and (high <= LARGEST_NORMALIZED).all()
    return bool(len(low) and inside and (high != np.floor(high)).any())


def scales_apart(a: BoxFile, b: BoxFile) -> tuple[str, float] | None:
    """Whether one file is normalized by the image size and the other is not.

    Returns
    -------
    tuple or None
        What is said of it, and the largest IoU that any box of one can have with any of the other.
    """
    reaches = [_reach(file) for file in (a, b)]
    for (file, (low, high, _)), (other, (_, _, sides)) in (
        ((a, reaches[0]), (b, reaches[1])),
        ((b, reaches[1]), (a, reaches[0])),
    ):
        if not len(sides) or not _is_normalized(file, low, high):
            continue
        width = LARGEST_NORMALIZED - SMALLEST_NORMALIZED
        if np.median(sides) > 2 * width:
            words = (
                f"the boxes of {file.path.name} lie between 0 and 1, as normalized by the image "
                f"size, and those of {other.path.name} do not: --image-size WIDTH,HEIGHT makes "
                "pixels of YOLO's numbers, and others must be multiplied first"
            )
            # What they have in common is no wider than all that is normalized.
            return words, float(width / sides.min()) if sides.min() > 0 else np.inf
    return None
