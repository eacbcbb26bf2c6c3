"""The geometries, a row each, and which of them an argument is of.

Rows tell where a geometry is, and it is loaded when an argument is of it. So whoever asks for names
and formats alone, as `fastiou --help` does, does not wait for Numba.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastiou.arrays.checks import check_choice, refuse_infinite
from fastiou.arrays.inputs import Input, check_one_library
from fastiou.runtime import chunks
from fastiou.typing import Array

if TYPE_CHECKING:
    from fastiou.geometry import Geometry
    from fastiou.metrics import Metric

__all__ = [
    "FORMATS",
    "ROWS",
    "Row",
    "add_row",
    "check_metric",
    "convert_members",
    "convert_widely",
    "geometry_of",
    "read_sets",
]


class Row(NamedTuple):
    """One geometry of the table."""

    name: str
    #: The module that has it as `GEOMETRY`.
    module: str
    #: How many numbers a member has in each format. None where the type of an argument tells the
    #: geometry, which then `recognises` it.
    formats: Mapping[str, int]

    def load(self) -> Geometry:
        """The geometry itself."""
        return _loaded(self.module)


@functools.cache
def _loaded(module: str) -> Geometry:
    geometry: Geometry = importlib.import_module(module).GEOMETRY
    return geometry


@functools.cache
def _metrics() -> Mapping[str, Metric]:
    from fastiou.metrics import METRICS

    return METRICS


ROWS: list[Row] = []

#: The row of each format.
FORMATS: dict[str, Row] = {}


def add_row(row: Row) -> None:
    """Add a geometry to the table."""
    ROWS.append(row)
    FORMATS.update(dict.fromkeys(row.formats, row))


add_row(Row("box", "fastiou.geometries.boxes", {"xyxy": 4, "xywh": 4, "cxcywh": 4}))
add_row(
    Row(
        "rotated box",
        "fastiou.geometries.rotated",
        dict.fromkeys(("cxcywhr", "cxcywhr-rad", "cxcywhr-cw", "cxcywhr-rad-cw", "xywhr"), 5),
    )
)
add_row(Row("quadrilateral", "fastiou.geometries.quadrilaterals", {"xyxyxyxy": 8}))
add_row(Row("3-D box", "fastiou.geometries.boxes3d", {"xyzxyz": 6, "cxcyczwhd": 6}))
add_row(
    Row("3-D box with yaw", "fastiou.geometries.yawed_boxes", {"xyzwhdr": 7, "xyzwhdr-bottom": 7})
)
add_row(Row("interval", "fastiou.geometries.intervals", {"xx": 2}))
add_row(Row("mask", "fastiou.geometries.masks.masks", {}))
add_row(Row("polygon", "fastiou.geometries.polygons.polygons", {}))


def geometry_of(fmt: str, *values: Any) -> Geometry:
    """The geometry that one of the arguments is of, whatever its format, or else that of `fmt`.

    Raises
    ------
    ValueError
        There is no such format.
    """
    check_choice("fmt", fmt, FORMATS)
    asked = FORMATS[fmt]
    for row in ROWS if values else ():
        if not row.formats and any(
            row.load().recognises(value, asked.formats[fmt]) for value in values
        ):
            return row.load()
    return asked.load()


def check_metric(name: str, geometry: Geometry) -> Metric:
    """The metric of this name, which the geometry must measure enough for."""
    metrics = _metrics()
    check_choice("metric", name, metrics)
    metric = metrics[name]
    if metric.needs not in geometry.measures:
        accepted = ", ".join(map(repr, geometry.metrics()))
        raise ValueError(
            f"metric of {geometry.plural} must be one of {accepted}, got {name!r}, which needs "
            f"{metric.needs.value}"
        )
    return metric


def read_sets(
    geometry: Geometry, names: tuple[str, str], a: Any, b: Any, fmt: str, *, batches: bool = False
) -> tuple[Input, Input]:
    """Check two arguments that are to be compared.

    Without `b` the first is compared with itself. Then the second set is the first, and in no other
    case.
    """
    set1: Input = geometry.read(names[0], a, fmt, batches=batches)
    if b is None:
        return set1, set1
    if b is a:
        return set1, set1._replace(name=names[1])
    set2: Input = geometry.read(names[1], b, fmt, batches=batches)
    check_one_library(set1, set2)
    return set1, set2


def convert_widely(given: Input, fmt: str) -> Array:
    """The same in float64, to which floats are brought before they are converted."""
    if given.array.dtype.kind == "f":
        given = given._replace(held=given.array.astype(np.float64))
    return convert_members(given, fmt).astype(np.float64, copy=False)


def convert_members(given: Input, fmt: str) -> Array:
    """The members of a checked argument in another format, in a new array.

    Raises
    ------
    ValueError
        No geometry knows both formats.
    """
    geometry, other = FORMATS[given.fmt].load(), FORMATS[fmt].load()
    convert = geometry.convert
    if other is not geometry and fmt not in geometry.converts:
        convert = other.convert
        if given.fmt not in other.converts:
            raise ValueError(
                f"in_fmt and out_fmt must be formats of one geometry, got {given.fmt!r} of "
                f"{geometry.plural} and {fmt!r} of {other.plural}"
            )
    assert convert is not None
    refuse_infinite(given)
    array = given.array
    if array.size <= chunks.PIECE:
        return convert(array, given.fmt, fmt)
    rows = array.reshape(-1, array.shape[-1])
    converted: Array | None = None
    for own in chunks.slices(len(rows), chunks.PIECE // rows.shape[1]):
        some = convert(rows[own], given.fmt, fmt)
        if converted is None:
            converted = np.empty((len(rows), some.shape[1]), some.dtype)
        converted[own] = some
    assert converted is not None
    return converted.reshape(*array.shape[:-1], converted.shape[1])
