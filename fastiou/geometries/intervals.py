"""Intervals, of a start and an end: how they are prepared, and what is measured on two of them.

Their bounds are boxes of one column, in bands of which a search looks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.geometries.axis_columns import LANES, SMALLEST32, SMALLEST64, AxisColumns, findings_in
from fastiou.geometries.box_columns import extent
from fastiou.geometries.boxes import read_boxes
from fastiou.geometries.rotated_columns import narrowed
from fastiou.geometry import Geometry
from fastiou.metrics import Need, larger, product, smaller
from fastiou.runtime.vectors import deinterleave, prefer_widest_vectors, stack_array, store
from fastiou.typing import Array

__all__ = ["GEOMETRY", "Interval", "load_interval", "overlap", "overlap_and_hull"]

#: How wide the bounds are: little, so that the longer side is the interval itself.
WIDTH = 2.0**-100

#: The bounds, and the length.
Interval = tuple[Any, Any, Any, Any, Any]

FLOAT64 = np.dtype(np.float64)


@register_jitable
def load_interval(bounds: Array, data: Array, i: int) -> Interval:
    """Interval `i` of the columns."""
    start, end = bounds[1, i], bounds[3, i]
    length = end - start
    zero = length - length
    empty = narrowed(SMALLEST32 if isinstance(length, np.float32) else SMALLEST64, length)
    return bounds[0, i], start, bounds[2, i], end, length if length > zero else empty


@register_jitable
def overlap(interval1: Interval, interval2: Interval) -> Any:
    """What a ratio metric needs of two: the length that both share, and both lengths."""
    _, start1, _, end1, length1 = interval1
    _, start2, _, end2, length2 = interval2
    zero = length1 - length1
    return extent(larger(start1, start2), smaller(end1, end2), zero), length1, length2


@register_jitable
def overlap_and_hull(interval1: Interval, interval2: Interval) -> Any:
    """What a box metric needs of two: `overlap`, and what is measured on both together."""
    _, start1, _, end1, length1 = interval1
    _, start2, _, end2, _ = interval2
    zero = length1 - length1
    hull = extent(smaller(start1, start2), larger(end1, end2), zero)
    way = product(narrowed(0.5, length1), (start1 + end1) - (start2 + end2))
    return (*overlap(interval1, interval2), (hull, product(hull, hull), product(way, way)))


@register_jitable
def fill_intervals(
    intervals: Array, first: int, last: int, layout: int, bounds: Array, data: Array
) -> tuple[bool, float, float]:
    """Fill columns of intervals from `first` to `last` (see `AxisColumns`).

    Parameters
    ----------
    intervals : array of float32 or float64, shape (n, 2)
        Start and end.
    first, last, layout
        Which of them; there is one format.
    bounds : array of the same dtype, shape (4, >= last)
        0, start, `WIDTH`, end.
    data : array of the same dtype, shape (0, >= last)
        Nothing.
    """
    prefer_widest_vectors()
    number = data.dtype.type
    zero = number(0)
    infinity = number(np.inf)
    # A loop writes to other arrays than those it reads, and extremes as sums: see
    # `axis_columns.findings_in`.
    starts = stack_array(data, LANES)
    ends = stack_array(data, LANES)
    lows = stack_array(data, LANES)
    highs = stack_array(data, LANES)
    left = stack_array(data, LANES)
    right = stack_array(data, LANES)
    largest = stack_array(data, LANES)
    smallest = stack_array(data, LANES)
    odd = stack_array(data, LANES)
    for j in range(LANES):
        largest[j] = odd[j] = left[j] = zero
        right[j] = WIDTH
        smallest[j] = np.inf
    for start in range(first, last, LANES):
        deinterleave(intervals, start, LANES, len(intervals) - start, (starts, ends))
        for j in range(np.uint64(LANES)):
            # Only an infinity or NaN gives NaN here, and only NaN differs from itself.
            strange = product(zero, starts[j]) + product(zero, ends[j])
            usual = strange == strange
            odd[j] += strange
            low = starts[j] if usual else zero
            # One that ends before it starts has length 0 and lies at its start.
            high = larger(ends[j], low) if usual else zero
            length = high - low
            smallest[j] = smaller(smallest[j], length if length > zero else infinity) + zero
            largest[j] = larger(largest[j], larger(-low, high)) + zero
            lows[j], highs[j] = low, high
        store(bounds[0], start, left, LANES)
        store(bounds[1], start, lows, LANES)
        store(bounds[2], start, right, LANES)
        store(bounds[3], start, highs, LANES)
    return findings_in(odd, largest, smallest)


def _convert(array: Array, in_fmt: str, out_fmt: str) -> Array:
    """A new array, of float64 for integers: there is one format."""
    return np.array(array, array.dtype.newbyteorder("=") if array.dtype.kind == "f" else FLOAT64)


COLUMNS = AxisColumns(1, fill_intervals, "interval", 0, {"xx": 0}, scores_of_one=2)

GEOMETRY = Geometry(
    "interval",
    "intervals",
    read=read_boxes,
    prepare=COLUMNS.prepare,
    load=load_interval,
    measures={Need.OVERLAP: overlap, Need.HULL: overlap_and_hull},
    convert=_convert,
    is_its_bounds=True,
    small=COLUMNS.small(),
)
