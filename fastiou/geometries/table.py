"""The geometries, a row each, and which of them an argument is of."""

from __future__ import annotations

from typing import Any

from fastiou.arrays.checks import check_choice
from fastiou.arrays.inputs import Input, check_one_library
from fastiou.geometries.boxes import BOX
from fastiou.geometries.masks.masks import MASK
from fastiou.geometry import Geometry
from fastiou.metrics import METRICS, Metric

__all__ = ["FORMATS", "GEOMETRIES", "check_metric", "geometry_of", "read_sets"]

GEOMETRIES: list[Geometry] = [BOX, MASK]

#: Which geometry each format is of.
FORMATS: dict[str, Geometry] = {
    fmt: geometry for geometry in GEOMETRIES for fmt in geometry.formats
}


def geometry_of(fmt: str, *values: Any) -> Geometry:
    """The geometry that one of the arguments is of, whatever its format, or else that of `fmt`.

    Raises
    ------
    ValueError
        There is no such format.
    """
    check_choice("fmt", fmt, FORMATS)
    for geometry in GEOMETRIES:
        if geometry.recognises is not None and any(map(geometry.recognises, values)):
            return geometry
    return FORMATS[fmt]


def check_metric(name: str, geometry: Geometry) -> Metric:
    """The metric of this name, which the geometry must measure enough for."""
    check_choice("metric", name, METRICS)
    metric = METRICS[name]
    if metric.needs not in geometry.measures:
        check_choice(f"metric of {geometry.plural}", name, geometry.metrics())
    return metric


def read_sets(
    geometry: Geometry, names: tuple[str, str], a: Any, b: Any, fmt: str, *, batches: bool = False
) -> tuple[Input, Input]:
    """Check two arguments that are to be compared.

    Without `b` the first is compared with itself. Then the second set is the first, and in no other
    case.
    """
    if not batches and isinstance(b, int | float):
        raise TypeError(
            f"{names[1]} must be {geometry.plural}, got {b!r}; if it is the threshold, pass "
            f"threshold={b!r}"
        )
    set1: Input = geometry.read(names[0], a, fmt, batches=batches)
    if b is None:
        return set1, set1
    if b is a:
        return set1, set1._replace(name=names[1])
    set2: Input = geometry.read(names[1], b, fmt, batches=batches)
    check_one_library(set1, set2)
    return set1, set2
