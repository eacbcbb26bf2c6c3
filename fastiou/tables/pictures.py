"""Tables of boxes, and pairs of them, as small pictures for notebooks."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.svg import SHOWN, outlines_svg
from fastiou.geometries.table import FORMATS, convert_members
from fastiou.typing import Array

__all__ = ["corners", "pairs_picture", "table_picture"]

#: Members among which those of the first group are looked for.
LOOKED_AT = 10_000


def is_flat(fmt: str) -> bool:
    """Whether members of a format have four corners in the plane."""
    geometry, other = FORMATS[fmt].load(), FORMATS["xyxyxyxy"].load()
    return geometry is other or "xyxyxyxy" in geometry.converts or fmt in other.converts


def corners(name: str, value: Any, fmt: str) -> Array:
    """The corners of boxes, rotated boxes and quadrilaterals, float64 of the shape (N, 4, 2).

    Raises
    ------
    TypeError, ValueError
        Other members, or what no geometry reads.
    """
    geometry = FORMATS[fmt].load()
    given = geometry.read(name, value, fmt, batches=False)
    if not is_flat(fmt):
        raise ValueError(f"{name} must be boxes in the plane, got {geometry.plural} ({fmt})")
    return convert_members(given, "xyxyxyxy").astype(np.float64).reshape(-1, 4, 2)


def table_picture(table: Any) -> str:
    """SVG of the first members of a table that are in the group of its first one."""
    if not is_flat(table.fmt):
        return ""
    alike = np.ones(min(len(table), LOOKED_AT), np.bool_)
    for key in table.grouped or ():
        values = table.keys[key][:LOOKED_AT]
        alike &= values == values[0]
    chosen = np.flatnonzero(alike)[:SHOWN]
    return outlines_svg([corners("boxes", table.boxes[chosen], table.fmt)])


def pairs_picture(a: Any, b: Any, rows: Array, cols: Array, alike: Array) -> str:
    """SVG of pairs of members, of which those that are `alike` are in one group."""
    if not (is_flat(a.fmt) and is_flat(b.fmt)):
        return ""
    rows, cols = rows[alike][:SHOWN], cols[alike][:SHOWN]
    first = corners("boxes", a.boxes[rows], a.fmt)
    second = corners("boxes", b.boxes[cols], b.fmt)
    links = zip(first.mean(axis=1), second.mean(axis=1), strict=True)
    return outlines_svg([first, second], links)
