"""Sets of polygons, prepared to be compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.arrays.checks import chosen_members
from fastiou.arrays.inputs import Input
from fastiou.geometries.polygons import sources
from fastiou.geometries.polygons.columns import (
    COLUMNS,
    EVEN_ODD,
    MISSING,
    PACK,
    SORT,
    TOUCHING,
    UNION,
)
from fastiou.geometries.polygons.crossings import outline
from fastiou.geometries.polygons.overlap import LINE, lines_of
from fastiou.geometries.polygons.sources import Rings
from fastiou.runtime import memory, threads
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = ["Polygons", "holds_polygons", "polygon_input"]

#: What a set is made of, in the order in which `Polygons._of_parts` takes it.
_PARTS = (
    "_points", "_rings", "_firsts", "_bounds", "_areas", "_counts", "_places", "_blocks",
    "_missing",
)  # fmt: skip

#: What preparing a corner takes, in scores of plain boxes.
SCORES_PER_CORNER = 150

#: Corners that are prepared at a time.
CORNERS_AT_A_TIME = 1 << 15

#: What packing an edge takes.
SCORES_PER_EDGE = 20


class Polygons:
    """An immutable set of polygons.

    Each has one ring of corners, or several: then what lies within an odd number of rings is
    inside, so that a ring within another one is a hole, and one beside it a part. Where edges cross
    or touch, the same rule holds. Rings may go either way round, and may repeat their first corner
    at the end. ``docs/polygons.md`` has the rules, and what is exact.

    A set has a length, and is indexed like an array by an integer (which gives a set of one
    polygon), a slice, integers or booleans; slices share memory. Sets can be compared, concatenated
    and pickled. All is computed in float64, on the CPU.

    Parameters
    ----------
    polygons : sequence
        For each polygon its corners in order, shape (k, 2): a list, array or tensor, or a contour
        (k, 1, 2) of OpenCV; or, if it has several rings or holes, a list of these, each of which
        may also be a flat list [x1, y1, x2, y2, ...].

    Raises
    ------
    TypeError, ValueError
        A ring is malformed, or has an infinite coordinate; the message names it and tells what is
        wrong.
    MemoryError
        They would not fit in memory.

    Examples
    --------
    >>> import fastiou
    >>> polygons = fastiou.Polygons([[[0, 0], [4, 0], [4, 3]], [[0, 0], [4, 0], [4, 3], [0, 3]]])
    >>> polygons
    <Polygons: 2 of 7 corners>
    >>> polygons.area
    array([ 6., 12.])
    >>> polygons.bounds
    array([[0., 0., 4., 3.],
           [0., 0., 4., 3.]])
    >>> fastiou.polygon_iou(polygons, polygons[:1])
    array([[1. ],
           [0.5]])

    A square with a hole:

    >>> square = [[0, 0], [6, 0], [6, 6], [0, 6]], [[1, 1], [5, 1], [5, 5], [1, 5]]
    >>> fastiou.Polygons([square]).area
    array([20.])
    """

    __slots__ = (
        "_areas",
        "_blocks",
        "_bounds",
        "_counts",
        "_firsts",
        "_missing",
        "_places",
        "_points",
        "_rings",
    )

    #: (P, 2) float64: corners of all rings in a row.
    _points: Array
    #: (R + 1,) int64: where those of each ring begin in `_points`.
    _rings: Array
    #: (n + 1,) int64: which ring is the first of each polygon.
    _firsts: Array
    #: (n, 4) float64: left, top, right, bottom; zeros where there is a NaN or no corner.
    _bounds: Array
    #: (n,) float64
    _areas: Array
    #: (n,) int64: edges of each.
    _counts: Array
    #: (n,) int64: the line of `_blocks` that those of each begin with.
    _places: Array
    #: What kernels read.
    _blocks: Array
    #: (n,) bool: with a NaN.
    _missing: Array

    def __init__(self, polygons: Any) -> None:
        _fill(self, sources.read_rings("polygons", polygons), EVEN_ODD)

    @classmethod
    def _of(cls, rings: Rings, rule: int = EVEN_ODD) -> Polygons:
        polygons = object.__new__(cls)
        _fill(polygons, rings, rule)
        return polygons

    @classmethod
    def _of_parts(cls, *values: Array) -> Polygons:
        polygons = object.__new__(cls)
        for name, value in zip(_PARTS, values, strict=True):
            object.__setattr__(polygons, name, value)
        return polygons

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Polygons are immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Polygons are immutable: {name} cannot be deleted")

    #: Has NumPy leave comparisons with arrays to `__eq__`.
    __array_ufunc__ = None

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        """Refuse to be taken for an array, which would otherwise fail late and without a reason."""
        raise TypeError(
            "Polygons are no array: score them by polygon_iou, get their corners by "
            "Polygons.to_rings(), and join sets by Polygons.concatenate([...])"
        )

    # ---- made from -----------------------------------------------------------------------------

    @classmethod
    def from_flat(cls, points: Any, offsets: Any) -> Polygons:
        """Make polygons of corners in a row, as shapely's `to_ragged_array` and GeoArrow have them.

        Parameters
        ----------
        points : array_like, shape (P, 2)
            Corners.
        offsets : array_like of int, shape (N + 1,), or a tuple of two or three
            Where the corners of each polygon begin; and P. Of a tuple the first tells where those
            of each ring begin, the second the rings of each polygon, and the third, if there is
            one, the polygons of each multipolygon.

        Returns
        -------
        Polygons

        Raises
        ------
        ValueError
            Another shape, offsets that do not grow from 0 to what they cut, or an infinite
            coordinate.

        Examples
        --------
        >>> import fastiou
        >>> points = [[0, 0], [4, 0], [4, 3], [0, 0], [2, 0], [2, 2], [0, 2]]
        >>> fastiou.Polygons.from_flat(points, [0, 3, 7]).area
        array([6., 4.])
        """
        return cls._of(sources.flat_rings(points, offsets))

    @classmethod
    def from_shapely(cls, geometries: Any) -> Polygons:
        """Make polygons of shapely's, holes and multipolygons included.

        Parameters
        ----------
        geometries : array_like of Polygon and MultiPolygon
            A list or array, or one alone; a column of a GeoDataFrame. A third coordinate is left
            out.

        Returns
        -------
        Polygons

        Raises
        ------
        TypeError
            Something else is among them, or None.
        ValueError
            An infinite coordinate.
        """
        return cls._of(sources.rings_of_shapely(geometries))

    @classmethod
    def from_geojson(cls, value: Any) -> Polygons:
        """Make polygons of GeoJSON that was read, holes and multipolygons included.

        Parameters
        ----------
        value : dict, or a list of these
            A FeatureCollection, Feature, Polygon or MultiPolygon, or an object with
            `__geo_interface__`. Coordinates are taken as they are, as numbers of a plane.

        Returns
        -------
        Polygons

        Raises
        ------
        TypeError, ValueError
            Another type, or a ring that is malformed; the message names it.

        Examples
        --------
        >>> import fastiou
        >>> square = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
        >>> hole = [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]
        >>> feature = {"type": "Polygon", "coordinates": [square, hole]}
        >>> fastiou.Polygons.from_geojson(feature).area
        array([15.])
        """
        return cls._of(sources.rings_of_geojson(value))

    @classmethod
    def from_coco(cls, annotations: Any) -> Polygons:
        """Make polygons of COCO's annotations, a polygon of each.

        COCO draws the union of the rings of an annotation. So does this: a ring within another one
        adds nothing, and is no hole.

        Parameters
        ----------
        annotations : list of dict
            The entries "annotations" of a file, or the file itself, or values of "segmentation"
            alone. Run lengths are refused.

        Returns
        -------
        Polygons

        Raises
        ------
        TypeError, ValueError
            Run lengths, or a ring that is malformed; the message names it.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.Polygons.from_coco([{"segmentation": [[0, 0, 4, 0, 4, 3]]}]).area
        array([6.])
        """
        return cls._of(sources.rings_of_coco(annotations), UNION)

    @classmethod
    def from_labelme(cls, file: Any) -> Polygons:
        """Make polygons of the shapes of a labelme file that was read, one of each.

        Parameters
        ----------
        file : dict, or a list of its shapes
            Shapes are polygons or rectangles; others are refused.

        Returns
        -------
        Polygons

        Raises
        ------
        TypeError, ValueError
            Another shape, or points that are malformed; the message names it.

        Examples
        --------
        >>> import fastiou
        >>> shape = {"label": "cell", "shape_type": "polygon", "points": [[0, 0], [4, 0], [4, 3]]}
        >>> fastiou.Polygons.from_labelme({"shapes": [shape]}).area
        array([6.])
        """
        return cls._of(sources.rings_of_labelme(file))

    @classmethod
    def concatenate(cls, sets: Iterable[Polygons]) -> Polygons:
        """Put sets of polygons in a row.

        Parameters
        ----------
        sets : iterable of Polygons
            At least one.

        Returns
        -------
        Polygons

        Raises
        ------
        TypeError, ValueError
            Something else than Polygons, or nothing at all.

        Examples
        --------
        >>> import fastiou
        >>> polygons = fastiou.Polygons([[[0, 0], [4, 0], [4, 3]]])
        >>> fastiou.Polygons.concatenate([polygons, polygons])
        <Polygons: 2 of 6 corners>
        """
        if not isinstance(sets, Iterable):
            raise TypeError(f"sets must be a list of Polygons, got {described(sets)}")
        given = list(sets)
        if not given:
            raise ValueError("sets must hold at least one set of polygons, got none")
        for number, polygons in enumerate(given):
            if not isinstance(polygons, Polygons):
                raise TypeError(f"sets[{number}] must be Polygons, got {type(polygons).__name__}")
        parts = [dict(zip(_PARTS, polygons._compact(), strict=True)) for polygons in given]
        sizes = {
            "_rings": [len(own["_points"]) for own in parts],
            "_firsts": [len(own["_rings"]) - 1 for own in parts],
            "_places": [len(own["_blocks"]) // LINE for own in parts],
        }
        joined = {name: [own[name] for own in parts] for name in _PARTS}
        for name, own in sizes.items():  # these count from the first of each set on
            befores = np.cumsum([0, *own])
            shifted = [part + before for part, before in zip(joined[name], befores, strict=False)]
            if name != "_places":  # and end with how many there are
                shifted = [part[:-1] for part in shifted] + [befores[-1:]]
            joined[name] = shifted
        return cls._of_parts(*(np.concatenate(joined[name]) for name in _PARTS))

    # ---- looked at -----------------------------------------------------------------------------

    @property
    def area(self) -> npt.NDArray[np.float64]:
        """Area of every polygon, shape (N,); NaN where it has a NaN."""
        areas = self._areas.copy()
        areas[self._missing] = np.nan
        areas.flags.writeable = False
        return areas

    @property
    def bounds(self) -> npt.NDArray[np.float64]:
        """Bounding boxes (left, top, right, bottom), shape (N, 4).

        NaN where a polygon has a NaN, or no corner.
        """
        bounds = self._bounds.copy()
        nowhere = self._missing | (self._corners() == 0)
        bounds[nowhere] = np.nan
        bounds.flags.writeable = False
        return bounds

    def to_rings(self) -> list[list[npt.NDArray[np.float64]]]:
        """The rings of every polygon, without corners that repeat the one before.

        Returns
        -------
        list of list of arrays, shape (k, 2)

        Examples
        --------
        >>> import fastiou
        >>> fastiou.Polygons([[[0, 0], [4, 0], [4, 3], [0, 0]]]).to_rings()
        [[array([[0., 0.],
               [4., 0.],
               [4., 3.]])]]
        """
        return [
            [ring.copy() for ring in _rings_of(self._points, self._rings, self._firsts, number)]
            for number in range(len(self))
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of the corners, and of the edges that are made of them."""
        lines = lines_of(self._counts)
        return int(self._corners().sum()) * 16 + int(lines.sum()) * LINE * 8

    def _corners(self) -> Array:
        """How many corners each has."""
        return np.diff(self._rings[self._firsts])

    def __len__(self) -> int:
        return len(self._areas)

    def __iter__(self) -> Iterator[Polygons]:
        for number in range(len(self)):
            yield self[number]

    def __getitem__(self, index: Any) -> Polygons:
        if isinstance(index, tuple):
            raise IndexError("polygons have one dimension to index; to_rings() gives corners")
        if isinstance(index, slice):
            first, last, step = index.indices(len(self))
            if step == 1:
                own = slice(first, max(first, last))
                return self._of_parts(
                    self._points, self._rings, self._firsts[first : own.stop + 1],
                    self._bounds[own], self._areas[own], self._counts[own], self._places[own],
                    self._blocks, self._missing[own],
                )  # fmt: skip
            return self._taken(np.arange(len(self))[index])
        chosen = chosen_members(index, len(self), "polygons")
        if chosen.ndim == 0:
            return self[int(chosen) : int(chosen) + 1]
        return self._taken(chosen)

    def _taken(self, chosen: Array) -> Polygons:
        rings, firsts = _ranges(self._firsts[:-1], np.diff(self._firsts), chosen)
        points, starts = _ranges(self._rings[:-1], np.diff(self._rings), rings)
        return self._of_parts(
            self._points[points], starts, firsts, self._bounds[chosen], self._areas[chosen],
            self._counts[chosen], self._places[chosen], self._blocks, self._missing[chosen],
        )  # fmt: skip

    def _compact(self) -> tuple[Array, ...]:
        """What `_of_parts` takes, without what belongs to none of these polygons."""
        first, last = self._firsts[0], self._firsts[-1]
        begin, end = self._rings[first], self._rings[last]
        numbers, places = _ranges(self._places, lines_of(self._counts), np.arange(len(self)))
        blocks = self._blocks.reshape(-1, LINE)[numbers].reshape(-1)
        return (
            self._points[begin:end], self._rings[first : last + 1] - begin, self._firsts - first,
            self._bounds, self._areas, self._counts, places[:-1], blocks, self._missing,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Polygons):
            return NotImplemented
        own, others = self._compact(), other._compact()
        return all(
            np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
            for one, two in zip(own, others, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Polygons: {len(self):,} of {int(self._corners().sum()):,} corners>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Polygons._of_parts, tuple(np.ascontiguousarray(part) for part in self._compact())


# ---- ragged arrays -----------------------------------------------------------------------------


def _ranges(starts: Array, lengths: Array, chosen: Array) -> tuple[Array, Array]:
    """The numbers of some ranges in a row, and where those of each begin."""
    sizes = lengths[chosen]
    cuts = np.zeros(len(chosen) + 1, np.int64)
    np.cumsum(sizes, out=cuts[1:])
    numbers = np.arange(cuts[-1]) + np.repeat(starts[chosen] - cuts[:-1], sizes)
    return numbers, cuts


# ---- preparation -------------------------------------------------------------------------------


def _fill(polygons: Polygons, given: Rings, rule: int) -> None:
    """Fill the attributes of a new set."""
    with memory.in_words("polygons", "pass fewer at a time"):
        values = _prepared(given, rule)
    for name, value in zip(_PARTS, values, strict=True):
        object.__setattr__(polygons, name, value)


def _prepared(given: Rings, rule: int) -> tuple[Array, ...]:
    """What `Polygons` are made of.

    Edges are sorted and packed some at a time, so that they stay in the caches: all at once took
    half as long again.
    """
    points, rings, firsts = given
    size = len(firsts) - 1
    before = rings[firsts]  # corners before each polygon
    bounds, areas = np.empty((size, 4)), np.empty(size)
    counts, places, found = (np.empty(size, np.int64) for _ in range(3))
    most = int(lines_of(np.diff(before)).sum()) * LINE  # unless edges touch
    packed = memory.allocate((most,), np.float64, "polygons", "pass fewer at a time")
    edges = np.empty((0, COLUMNS))
    used = 0
    for first, last in _parts(before):
        own = slice(first, last)
        begin, end, ring = before[first], before[last], firsts[first]
        if len(edges) < end - begin:
            edges = np.empty((end - begin, COLUMNS))
        own_points, own_firsts = points[begin:end], firsts[first : last + 1] - ring
        own_rings = rings[ring : firsts[last] + 1] - begin
        threads.run(
            SORT, SCORES_PER_CORNER * int(end - begin), own_points, own_rings, own_firsts, rule,
            bounds[own], edges, counts[own], found[own],
        )  # fmt: skip
        starts, sorted_edges = before[own] - begin, edges
        touching = np.flatnonzero(found[own] == TOUCHING)
        if len(touching):
            outlines = [
                outline(_rings_of(own_points, own_rings, own_firsts, number), rule)
                for number in touching.tolist()
            ]
            lengths = np.array([len(lines) for lines in outlines])
            counts[own][touching] = lengths
            starts[touching] = len(edges) + np.cumsum(lengths) - lengths
            sorted_edges = np.concatenate([edges, *outlines])
        lines = lines_of(counts[own])
        places[own] = used + np.cumsum(lines) - lines
        used += int(lines.sum())
        if used * LINE > len(packed):
            packed = np.concatenate([packed, np.empty(used * LINE - len(packed) // 2)])
        threads.run(
            PACK, SCORES_PER_EDGE * int(counts[own].sum()), sorted_edges, starts, counts[own],
            bounds[own], places[own], packed, areas[own],
        )  # fmt: skip
    packed = packed[: used * LINE]
    return points, rings, firsts, bounds, areas, counts, places, packed, found == MISSING


def _parts(before: Array) -> Iterator[tuple[int, int]]:
    """Cut polygons into parts of about as many corners, of which there are so many before each."""
    first = 0
    while first < len(before) - 1:
        last = int(np.searchsorted(before, before[first] + CORNERS_AT_A_TIME, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


def _rings_of(points: Array, rings: Array, firsts: Array, number: int) -> list[Array]:
    """The rings of a polygon."""
    cuts = rings[firsts[number] : firsts[number + 1] + 1].tolist()
    return [points[begin:end] for begin, end in itertools.pairwise(cuts)]


# ---- arguments ---------------------------------------------------------------------------------


def holds_polygons(value: Any, numbers: int) -> bool:
    """Whether an argument is a set of polygons."""
    return isinstance(value, Polygons)


def polygon_input(name: str, value: Any) -> Input:
    """An argument that must be a set of polygons."""
    if not isinstance(value, Polygons):
        raise TypeError(
            f"{name} must be Polygons, got {described(value)}; Polygons([...]) makes them of lists "
            "of corners, Polygons.from_shapely and others of files"
        )
    return Input(name, value, np.empty(0), None, "numpy")
