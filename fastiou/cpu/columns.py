"""Boxes as columns: what every kernel over boxes reads.

Box metrics are computed from columns, one contiguous array per coordinate, so that a kernel loads
a vector of boxes at once. Preparing them is also where a box is judged: what is infinite, what is
missing (NaN), what is empty, and what is too large or too small for the arithmetic of its dtype.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.extending import register_jitable

from fastiou.cpu.compilation import Kernel
from fastiou.cpu.intrinsics import CACHE_LINE

__all__ = [
    "LAYOUTS",
    "PADDING",
    "BoxColumns",
    "InfiniteBoxError",
    "box",
    "box_columns",
    "fill_columns",
    "usable",
    "within_limits",
]

Array = npt.NDArray[Any]

#: The formats of a box and their numbers in the kernels.
LAYOUTS = {"xyxy": 0, "xywh": 1, "cxcywh": 2}

#: Columns go on this far past the last box, so that kernels may always compute whole chunks.
PADDING = 64

#: Largest span of integer coordinates whose sums and differences are all exact in float64.
EXACT_SPAN = 2**52

# Row numbers in `BoxColumns.measures`.
AREA, ASPECT, CENTRE_X = range(3)


class BoxColumns(NamedTuple):
    """Boxes, ready for the kernels. Both arrays may be longer than the boxes are many."""

    #: (4, ≥ n): left, top, right, bottom; int64 where float64 would not be exact.
    corners: Array
    #: (4, ≥ n): area, aspect angle in units of a right angle, centre x, centre y.
    measures: Array
    #: (n,) bool: boxes with a NaN, held as empty boxes at the origin. None if there are none.
    missing: Array | None


class InfiniteBoxError(ValueError):
    """A box has an infinite coordinate."""

    def __init__(self, which: int, row: int) -> None:
        super().__init__(f"infinite coordinate in box {row}")
        self.which = which
        self.row = row


@functools.cache
def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Largest coordinate and smallest area for which no product of two sides goes wrong.

    Between them the square of a hull's diagonal cannot overflow, and adding the smallest normal
    number, which stands in for an area of 0, to an area does not change it.
    """
    info = np.finfo(dtype)
    largest = math.ldexp(1.0, (int(info.maxexp) - 8) // 2)
    smallest = math.ldexp(1.0, int(info.minexp) + int(info.nmant) + 3)
    return largest, smallest


@register_jitable
def box(corners: Array, measures: Array, i: int) -> Any:
    """Box `i` of the columns, as `metrics` takes it."""
    return (
        corners[0, i],
        corners[1, i],
        corners[2, i],
        corners[3, i],
        measures[0, i],
        measures[1, i],
        measures[2, i],
        measures[3, i],
    )


@register_jitable
def fill_columns(
    boxes: Array,
    layout: int,
    area_of_sides: bool,
    with_aspect: bool,
    corners: Array,
    measures: Array,
    missing: Array,
) -> tuple[int, bool, float, float]:
    """Fill the columns of float boxes (N, 4).

    Returns the first row with an infinite coordinate (N if none), whether any box is missing, the
    largest absolute corner and the smallest area of a box with positive sides.
    """
    count = boxes.shape[0]
    number = measures.dtype.type
    zero = number(0)
    half = number(0.5)
    quarter_turn = number(2 / math.pi)
    # The smallest normal number: 2⁻¹²⁶ or 2⁻¹⁰²².
    empty_area = number(
        1.1754943508222875e-38 if measures.itemsize == 4 else 2.2250738585072014e-308
    )
    unbounded = number(np.inf)
    first_infinite = count
    any_missing = False
    largest = zero
    smallest = unbounded
    for i in range(count):
        a = boxes[i, 0]
        b = boxes[i, 1]
        c = boxes[i, 2]
        d = boxes[i, 3]
        # Only an infinity or NaN gives NaN here, and only NaN differs from itself.
        odd = (a - a) + (b - b) + (c - c) + (d - d)
        is_missing = odd != odd
        if is_missing:
            infinite = (
                abs(a) == unbounded
                or abs(b) == unbounded
                or abs(c) == unbounded
                or abs(d) == unbounded
            )
            if infinite and first_infinite == count:
                first_infinite = i
            a = b = c = d = zero
            any_missing = True
        missing[i] = is_missing
        if layout == 0:
            left, top, right, bottom = a, b, c, d
        elif layout == 1:
            left, top, right, bottom = a, b, a + c, b + d
        else:
            left, top, right, bottom = a - half * c, b - half * d, a + half * c, b + half * d
        # An inverted side has length 0 and lies at its first corner.
        right = right if right > left else left
        bottom = bottom if bottom > top else top
        width = right - left
        height = bottom - top
        if area_of_sides:
            area = (c if c > zero else zero) * (d if d > zero else zero)
        else:
            area = width * height
        if width > zero and height > zero and area < smallest:
            smallest = area
        largest = max(largest, abs(left), abs(top), abs(right), abs(bottom))
        corners[0, i] = left
        corners[1, i] = top
        corners[2, i] = right
        corners[3, i] = bottom
        measures[0, i] = area if area > zero else empty_area
        if with_aspect:
            measures[1, i] = number(math.atan2(width, height)) * quarter_turn
        measures[2, i] = half * (left + right)
        measures[3, i] = half * (top + bottom)
    return first_infinite, any_missing, largest, smallest


def _fill(
    boxes: Array,
    layout: int,
    area_of_sides: bool,
    with_aspect: bool,
    corners: Array,
    measures: Array,
    missing: Array,
) -> Any:
    return fill_columns(boxes, layout, area_of_sides, with_aspect, corners, measures, missing)


_FILL = Kernel(_fill, "fill")


def usable(boxes: Array, dtype: np.dtype[Any]) -> Array:
    """`boxes` as the one kind of array that kernels are compiled for."""
    return np.require(boxes, dtype, ["C", "A", "W"])


def _aligned(count: int, dtype: npt.DTypeLike, phase: int) -> Array:
    """Four rows of `count` and `PADDING` zeros, each beginning `phase` bytes past a cache line."""
    item = np.dtype(dtype).itemsize
    length = -(-(count + PADDING) * item // CACHE_LINE) * CACHE_LINE
    buffer = np.empty(4 * length + CACHE_LINE, np.uint8)
    start = (phase - buffer.ctypes.data) % CACHE_LINE
    columns = buffer[start : start + 4 * length].view(dtype).reshape(4, length // item)
    columns[:, count:] = 0
    return columns


def box_columns(
    boxes1: Array,
    boxes2: Array,
    layout: str,
    dtype: np.dtype[Any],
    *,
    area_of_sides: bool = False,
    with_aspect: bool = False,
    phase: int = 0,
) -> tuple[BoxColumns, BoxColumns, int]:
    """Columns of two sets of boxes (N, 4) and (M, 4) that are to be compared.

    Parameters
    ----------
    boxes1, boxes2
        Any real dtype and memory layout. The same object twice is prepared once.
    layout
        A key of `LAYOUTS`.
    dtype
        float32 or float64, of the result.
    area_of_sides
        Take the area of "xywh" boxes from their width and height, not from their corners: the two
        differ in rounding, and COCO takes the former.
    with_aspect
        Whether the aspect angle is wanted.
    phase
        How many bytes past a multiple of the cache line each column should begin.

    Returns
    -------
    tuple
        Both columns, and the exponent e of the factor 2^e by which they were magnified.

    Raises
    ------
    InfiniteBoxError
        A coordinate is infinite.
    """
    sets = [boxes1] if boxes2 is boxes1 else [boxes1, boxes2]
    if all(boxes.dtype.kind in "biu" for boxes in sets):
        floats = _exact_floats(sets, layout)
        if floats is None:
            columns, exponent = _integer_columns(sets, layout, phase)
            return columns[0], columns[-1], exponent
        sets = floats
    sets = [usable(boxes, dtype) for boxes in sets]

    def fill(dtype: np.dtype[Any]) -> tuple[list[BoxColumns], float, float]:
        columns = []
        largest, smallest = 0.0, math.inf
        for which, boxes in enumerate(sets):
            count = len(boxes)
            corners = _aligned(count, dtype, phase)
            measures = _aligned(count, dtype, phase)
            missing = np.empty(count, np.bool_)
            infinite, any_missing, high, low = _FILL.serial(
                boxes, LAYOUTS[layout], area_of_sides, with_aspect, corners, measures, missing
            )
            if infinite < count:
                raise InfiniteBoxError(which, infinite)
            largest, smallest = max(largest, high), min(smallest, low)
            columns.append(BoxColumns(corners, measures, missing if any_missing else None))
        return columns, largest, smallest

    exponent = 0
    columns, largest, smallest = fill(dtype)
    if not within_limits(dtype, largest, smallest):
        wide = np.dtype(np.float64)
        sets = [usable(boxes, wide) for boxes in sets]
        if dtype == wide:
            # A power of two takes the largest coordinate to the limit, and rounds nothing.
            highest = max(float(np.nanmax(np.abs(boxes), initial=0.0)) for boxes in sets)
            exponent = math.frexp(_limits(wide)[0])[1] - math.frexp(highest)[1] - 2
            sets = [np.ldexp(boxes, exponent) for boxes in sets]
        columns, _, _ = fill(wide)
    return columns[0], columns[-1], exponent


def within_limits(dtype: np.dtype[Any], largest: float, smallest: float) -> bool:
    """Whether these extremes, as `fill_columns` returns them, suit the arithmetic of `dtype`."""
    limit_largest, limit_smallest = _limits(dtype)
    return largest <= limit_largest and smallest >= limit_smallest


def _axes(layout: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For x and for y: the columns that are positions and move with the origin."""
    return ((0, 2), (1, 3)) if layout == "xyxy" else ((0,), (1,))


def _exact_floats(sets: list[Array], layout: str) -> list[Array] | None:
    """Integer boxes as float64 about a common origin, None where that would round."""
    if all(boxes.dtype.itemsize < 8 or not len(boxes) for boxes in sets):
        return [boxes.astype(np.float64) for boxes in sets]
    filled = [boxes for boxes in sets if len(boxes)]
    results = [np.empty(boxes.shape) for boxes in sets]
    for positions in _axes(layout):
        low = min(int(boxes[:, column].min()) for boxes in filled for column in positions)
        span = max(int(boxes[:, column].max()) for boxes in filled for column in positions) - low
        if layout != "xyxy":
            sizes = [boxes[:, positions[0] + 2] for boxes in filled]
            span += 2 * max(max(abs(int(size.min())), abs(int(size.max()))) for size in sizes)
        if span >= EXACT_SPAN:
            return None
        for boxes, result in zip(sets, results, strict=True):
            for column in positions:
                # Modulo 2^64, so that the difference is right whatever the integer type.
                moved = boxes[:, column].astype(np.uint64) - np.uint64(low % 2**64)
                result[:, column] = moved
            if layout != "xyxy":
                result[:, positions[0] + 2] = boxes[:, positions[0] + 2]
    return results


def _integer_columns(sets: list[Array], layout: str, phase: int) -> tuple[list[BoxColumns], int]:
    """Columns of integers too far apart for float64, by way of Python's integers: rare and slow."""
    exponent = 1 if layout == "cxcywh" else 0  # doubled, so that half a width is a whole number
    edges = []
    for boxes in sets:
        a, b, c, d = boxes.astype(object).T.reshape(4, -1)
        if layout == "xyxy":
            left, top, right, bottom = a, b, c, d
        elif layout == "xywh":
            left, top, right, bottom = a, b, a + c, b + d
        else:
            left, top, right, bottom = 2 * a - c, 2 * b - d, 2 * a + c, 2 * b + d
        edges.append([left, top, np.maximum(left, right), np.maximum(top, bottom)])
    corner_sets = [_aligned(len(boxes), np.int64, phase) for boxes in sets]
    for axis in (0, 1):
        ends = [edge[side] for edge in edges for side in (axis, axis + 2) if len(edge[side])]
        low, high = min(map(min, ends)), max(map(max, ends))
        if high - low >= 2**64:
            raise ValueError(
                f"integer coordinates must lie within 2**64 of each other, got {low} and {high}"
            )
        for edge, corners in zip(edges, corner_sets, strict=True):
            for side in (axis, axis + 2):
                corners[side, : len(edge[side])] = edge[side] - low - 2**63
    columns = []
    for (left, top, right, bottom), corners in zip(edges, corner_sets, strict=True):
        width, height = (right - left).astype(np.float64), (bottom - top).astype(np.float64)
        measures = _aligned(len(left), np.float64, phase)
        filled = measures[:, : len(left)]
        filled[AREA] = np.maximum(width * height, np.finfo(np.float64).tiny)
        filled[ASPECT] = np.arctan2(width, height) * (2 / math.pi)
        # Centres of integers are taken from their corners; see `metrics.offset`.
        filled[CENTRE_X:] = 0
        columns.append(BoxColumns(corners, measures, None))
    return columns, exponent
