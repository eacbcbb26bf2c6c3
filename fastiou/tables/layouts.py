"""The layouts of boxes in arrays and tables: how many numbers a box has, and what they are.

A layout is named after its numbers: "cx" is a middle, "x" a beginning or, where it comes twice, a
beginning and an end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from fastiou.geometries.table import ROWS
from fastiou.typing import Array

__all__ = ["GEOMETRIES", "LAYOUTS", "common_layout", "extents", "header_of"]


#: Each geometry of arrays with its layouts, and the numbers that a member has in each. Members of
#: two layouts are compared in the first.
GEOMETRIES = {row.name: row.formats for row in ROWS if row.formats}

#: The numbers of a member in each layout of all geometries.
LAYOUTS = {fmt: count for formats in GEOMETRIES.values() for fmt, count in formats.items()}

#: Each axis, and the name of the side along it.
AXES = {"x": "w", "y": "h", "z": "d"}


def common_layout(fmt_a: str, fmt_b: str, sides: Sequence[str] = ("A", "B")) -> str:
    """The layout in which members of two layouts are compared.

    Parameters
    ----------
    fmt_a, fmt_b
        Two of `LAYOUTS`.
    sides
        What the message calls the two sets.

    Raises
    ------
    ValueError
        They belong to two geometries.
    """
    if fmt_a == fmt_b:
        return fmt_a
    for formats in GEOMETRIES.values():
        if fmt_a in formats and fmt_b in formats:
            return next(iter(formats))
    raise ValueError(f"{fmt_a} in {sides[0]} and {fmt_b} in {sides[1]} are of two geometries")


def _numbers_of(fmt: str) -> list[str]:
    """What each number of a layout is, by its name. What follows a dash tells of angles."""
    return re.findall("c[xyz]|.", fmt.partition("-")[0])


def header_of(fmt: str) -> tuple[str, ...]:
    """The names of the columns of a layout in a table.

    Parameters
    ----------
    fmt
        One of `LAYOUTS`.
    """
    numbers = _numbers_of(fmt)
    names = []
    for place, name in enumerate(numbers):
        turn = numbers[: place + 1].count(name)
        names.append(
            "angle" if name == "r" else f"{name}{turn}" if numbers.count(name) > 1 else name
        )
    return tuple(names)


def extents(members: Array, fmt: str) -> Iterator[tuple[Array, Array]]:
    """Where members begin and end along each of their axes.

    Parameters
    ----------
    members
        Shape (N, numbers of the layout).
    fmt
        One of `LAYOUTS`.

    Yields
    ------
    tuple of two arrays, shape (N,)
    """
    columns: dict[str, list[Array]] = {}
    for name, column in zip(_numbers_of(fmt), members.T, strict=True):
        columns.setdefault(name, []).append(column)
    for axis, side in AXES.items():
        with np.errstate(over="ignore"):
            ends = columns.get(axis, ())
            if len(ends) > 2:  # corners in any order
                yield np.min(ends, axis=0), np.max(ends, axis=0)
            elif len(ends) > 1:
                low, high = ends
                yield low, high
            elif axis in columns:
                yield columns[axis][0], columns[axis][0] + columns[side][0]
            elif f"c{axis}" in columns:
                middle, half = columns[f"c{axis}"][0], columns[side][0] / 2
                yield middle - half, middle + half
