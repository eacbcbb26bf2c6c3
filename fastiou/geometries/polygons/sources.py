"""What polygons are made from: rings in lists, flat arrays, shapely, GeoJSON, COCO and labelme."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays.inputs import plain_array
from fastiou.geometries.masks.polygons import rings_of_each
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = [
    "Rings",
    "flat_rings",
    "read_rings",
    "rings_of_coco",
    "rings_of_geojson",
    "rings_of_labelme",
    "rings_of_shapely",
]

#: Largest absolute coordinate. The square of an area of this side is finite.
LARGEST = 1e100

#: Below it float64 holds all integers exactly.
EXACT = 2**53

#: Corners of a labelme rectangle, of which the file has two.
SHAPE_TYPES = "polygon", "rectangle"


class Rings(NamedTuple):
    """Rings of polygons, checked."""

    #: (P, 2) float64: corners of all in a row, of which none is equal to the one before it in its
    #: ring, nor the last to the first.
    points: Array
    #: (R + 1,) int64: where those of each ring begin.
    rings: Array
    #: (n + 1,) int64: the first ring of each polygon.
    firsts: Array


# ---- lists and arrays --------------------------------------------------------------------------


def read_rings(name: str, value: Any) -> Rings:
    """Rings of a sequence of polygons (see `Polygons`)."""
    if isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be a list of polygons, got a dict; Polygons.from_geojson, from_coco and "
            "from_labelme take what is in their files"
        )
    arrays = _plain_arrays(value)
    if arrays is None:
        rings, firsts = rings_of_each(name, value)
        arrays = rings
    else:
        firsts = np.arange(len(arrays) + 1)
    lengths = np.fromiter(map(len, arrays), np.int64, len(arrays))
    points = np.concatenate([np.empty((0, 2)), *arrays])
    if np.fmax.reduce(np.abs(points), axis=None, initial=0) >= EXACT:
        _refuse_rounded(name, value)
    return _checked(name, points, _running(lengths), firsts)


def _plain_arrays(value: Any) -> list[Array] | None:
    """Polygons of one ring each, where all are such NumPy arrays of floats; else None."""
    if not isinstance(value, list | tuple | np.ndarray):
        return None
    if isinstance(value, np.ndarray) and (value.ndim != 3 or value.dtype.kind != "f"):
        return None
    arrays = list(value)
    if not arrays or set(map(type, arrays)) != {np.ndarray}:
        return None
    kinds = {(array.dtype, array.ndim, array.shape[-1]) for array in arrays if array.ndim}
    usual = all(
        dtype.kind == "f" and dtype.itemsize <= 8 and ndim == width == 2
        for dtype, ndim, width in kinds
    )
    return arrays if usual and min(map(len, arrays)) >= 3 else None


def _refuse_rounded(where: str, value: Any) -> None:
    """Raise a ValueError for an integer that float64 may not hold."""
    if isinstance(value, list | tuple):
        for number, part in enumerate(value):
            if not isinstance(part, float):
                _refuse_rounded(f"{where}[{number}]", part)
        return
    _check_exact(where, plain_array(where, value))


def _check_exact(where: str, array: Array) -> None:
    """Raise a ValueError for integers that float64 may not hold."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or not array.size:
        return
    rounded = array.astype(np.float64)
    largest = np.abs(rounded).argmax()
    if abs(rounded.flat[largest]) >= EXACT:
        raise ValueError(
            f"{where} must hold integers below 2**53 in absolute value, which float64 holds "
            f"exactly, got {array.flat[largest]}"
        )


def flat_rings(points: Any, offsets: Any) -> Rings:
    """Rings of corners in a row (see `Polygons.from_flat`)."""
    given = plain_array("points", points)
    if given.ndim != 2 or given.shape[1] != 2 or given.dtype.kind not in "biuf":
        raise ValueError(
            f"points must have the shape (P, 2) and hold real numbers, got {given.dtype} of shape "
            f"{given.shape}"
        )
    _check_exact("points", given)
    levels = list(offsets) if isinstance(offsets, tuple) else [offsets]
    if not 1 <= len(levels) <= 3:
        raise ValueError(
            "offsets must be one array, or a tuple of two or three: where rings begin, polygons "
            f"and multipolygons; got {len(levels)}"
        )
    inner = len(given)
    checked = []
    for number, level in enumerate(levels):
        where = "offsets" if len(levels) == 1 else f"offsets[{number}]"
        cuts = plain_array(where, level)
        is_whole = cuts.ndim == 1 and cuts.dtype.kind in "iu" and len(cuts) >= 1
        cuts = cuts.astype(np.int64) if is_whole else cuts
        if not is_whole or cuts[0] != 0 or cuts[-1] != inner or (np.diff(cuts) < 0).any():
            raise ValueError(
                f"{where} must be integers that grow from 0 to {inner:,}, how many there are of "
                f"what it cuts, got {described(level)}"
            )
        checked.append(cuts)
        inner = len(cuts) - 1
    rings = checked[0]
    firsts = np.arange(len(rings))
    for cuts in checked[1:]:
        firsts = firsts[cuts]
    return _checked("points", np.array(given, np.float64), rings, firsts)


def _running(lengths: Array) -> Array:
    cuts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=cuts[1:])
    return cuts


def _checked(name: str, points: Array, rings: Array, firsts: Array) -> Rings:
    """Rings without corners that follow an equal one; what is infinite or too large is refused."""
    points = np.ascontiguousarray(points, np.float64)
    if not np.abs(points).max(initial=0) <= LARGEST:  # a NaN is not, either
        _refuse_large(name, points, rings, firsts)
    # As one number, so that corners are compared at once.
    corners = points.view(np.complex128)[:, 0]
    kept = np.ones(len(points), np.bool_)
    np.not_equal(corners[:-1], corners[1:], out=kept[:-1])
    own = rings[1:] > rings[:-1]
    lasts, begins = rings[1:][own] - 1, rings[:-1][own]
    kept[lasts] = corners[lasts] != corners[begins]
    if not kept.all():
        before = _running(kept.astype(np.int64))
        points, rings = points[kept], before[rings]
    return Rings(points, rings, np.asarray(firsts, np.int64))


def _refuse_large(name: str, points: Array, rings: Array, firsts: Array) -> None:
    """Raise a ValueError that names the first corner that is infinite or too large, if any is."""
    wrong = (np.abs(points) > LARGEST).any(axis=1)
    if wrong.any():
        corner = int(wrong.argmax())
        ring = int(np.searchsorted(rings, corner, side="right")) - 1
        polygon = int(np.searchsorted(firsts, ring, side="right")) - 1
        raise ValueError(
            f"{name}[{polygon}] has the corner {tuple(points[corner].tolist())}; coordinates must "
            f"be finite and at most {LARGEST:g} in absolute value"
        )


# ---- shapely -----------------------------------------------------------------------------------


def rings_of_shapely(value: Any) -> Rings:
    """Rings of shapely's polygons and multipolygons (see `Polygons.from_shapely`)."""
    import shapely

    geometries = np.atleast_1d(np.asarray(value, object))
    if geometries.ndim != 1:
        raise ValueError(f"geometries must have one dimension, got {geometries.ndim}")
    kinds = shapely.get_type_id(geometries)
    polygon, multipolygon = shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON
    wrong = (kinds != polygon) & (kinds != multipolygon)
    if wrong.any():
        row = int(wrong.argmax())
        raise TypeError(
            f"geometries[{row}] must be a Polygon or MultiPolygon, got {described(geometries[row])}"
        )
    parts, owners = shapely.get_parts(geometries, return_index=True)
    rings, parts_of_rings = shapely.get_rings(parts, return_index=True)
    points, rings_of_points = shapely.get_coordinates(rings, return_index=True)
    cuts = _running(np.bincount(rings_of_points, minlength=len(rings)))
    owners = owners[parts_of_rings]
    firsts = _running(np.bincount(owners, minlength=len(geometries)))
    return _checked("geometries", points, cuts, firsts)


# ---- files -------------------------------------------------------------------------------------


def rings_of_geojson(value: Any) -> Rings:
    """Rings of GeoJSON objects (see `Polygons.from_geojson`)."""
    found: list[list[Any]] = []
    _read_geojson("value", value, found)
    return _of_lists("value", found)


def _read_geojson(where: str, value: Any, found: list[list[Any]]) -> None:
    if not isinstance(value, Mapping) and hasattr(value, "__geo_interface__"):
        value = value.__geo_interface__
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for number, entry in enumerate(value):
            _read_geojson(f"{where}[{number}]", entry, found)
        return
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind == "FeatureCollection":
        _read_geojson(f"{where}['features']", _entry(where, value, "features"), found)
    elif kind == "Feature":
        _read_geojson(f"{where}['geometry']", _entry(where, value, "geometry"), found)
    elif kind == "Polygon":
        found.append(_listed(f"{where}['coordinates']", _entry(where, value, "coordinates")))
    elif kind == "MultiPolygon":
        own = f"{where}['coordinates']"
        parts = _listed(own, _entry(where, value, "coordinates"))
        rings = [_listed(f"{own}[{place}]", part) for place, part in enumerate(parts)]
        found.append([ring for part in rings for ring in part])
    else:
        got = described(value) if kind is None else f"the type {kind!r}"
        raise TypeError(
            f"{where} must be a GeoJSON Polygon, MultiPolygon, Feature, FeatureCollection, or a "
            f"list of them, got {got}"
        )


def _listed(where: str, value: Any) -> list[Any]:
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        raise TypeError(f"{where} must be a list, got {described(value)}")
    return list(value)


def _entry(where: str, value: Mapping[str, Any], key: str) -> Any:
    if value.get(key) is None:
        raise ValueError(f"{where} must have {key!r}, got {described(dict(value))}")
    return value[key]


def rings_of_coco(value: Any) -> Rings:
    """Rings of COCO's annotations (see `Polygons.from_coco`)."""
    name = "annotations"
    if isinstance(value, Mapping):
        value = value.get(name, [value])
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        raise TypeError(f"{name} must be a list of annotations, got {described(value)}")
    found = []
    for number, entry in enumerate(value):
        segmentation = entry
        if isinstance(entry, Mapping):
            segmentation = entry.get("segmentation")
        if isinstance(segmentation, Mapping):
            raise TypeError(
                f"{name}[{number}] has run lengths, which are no polygon: Masks.from_rle takes them"
            )
        if not isinstance(segmentation, Sequence) or isinstance(segmentation, str):
            raise TypeError(
                f"{name}[{number}] must have a segmentation of rings, got {described(segmentation)}"
            )
        found.append(list(segmentation))
    return _of_lists(name, found)


def rings_of_labelme(value: Any) -> Rings:
    """Rings of the shapes of a labelme file (see `Polygons.from_labelme`)."""
    shapes = value.get("shapes") if isinstance(value, Mapping) else value
    if not isinstance(shapes, Sequence) or isinstance(shapes, str):
        raise TypeError(f"file must have a list of shapes, got {described(value)}")
    found = []
    for number, shape in enumerate(shapes):
        where = f"shapes[{number}]"
        if not isinstance(shape, Mapping) or "points" not in shape:
            raise TypeError(f"{where} must have points, got {described(shape)}")
        kind = shape.get("shape_type", "polygon")
        points: Any = _listed(f"{where}['points']", shape["points"])
        if kind == "rectangle" and len(points) == 2:
            corners = plain_array(f"{where}['points']", points)
            if corners.shape != (2, 2):
                raise ValueError(
                    f"{where}['points'] must be two corners x, y, got {described(points)}"
                )
            (left, top), (right, bottom) = points
            points = [[left, top], [right, top], [right, bottom], [left, bottom]]
        elif kind not in SHAPE_TYPES:
            raise ValueError(
                f"{where} must be one of {', '.join(SHAPE_TYPES)}, got the shape_type {kind!r}"
            )
        found.append([points])
    return _of_lists("shapes", found)


def _of_lists(name: str, polygons: list[list[Any]]) -> Rings:
    """Rings of lists of rings, which may have a third number for each corner, as GeoJSON has."""
    arrays, numbers = [], []
    for number, rings in enumerate(polygons):
        numbers.append(len(rings))
        for place, ring in enumerate(rings):
            where = f"{name}[{number}][{place}]"
            array = plain_array(where, ring)
            if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
                raise TypeError(f"{where} must be a ring of real numbers, got {described(ring)}")
            _check_exact(where, array)
            if array.ndim == 1 and array.size % 2 == 0:
                array = array.reshape(-1, 2)
            if array.ndim != 2 or array.shape[1] not in (2, 3) or len(array) < 3:
                raise ValueError(
                    f"{where} must be a ring of at least 3 corners, got the shape {array.shape}"
                )
            arrays.append(array[:, :2].astype(np.float64))
    lengths = np.fromiter(map(len, arrays), np.int64, len(arrays))
    points = np.concatenate([np.empty((0, 2)), *arrays])
    return _checked(name, points, _running(lengths), _running(np.array(numbers, np.int64)))
