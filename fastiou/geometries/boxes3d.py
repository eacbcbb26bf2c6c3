"""Axis-aligned boxes in space: how they are read, and what is measured on two of them.

Three axes tell whether two boxes are apart. A search looks at two of them, those along which the
fewest boxes overlap by chance.
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

__all__ = ["GEOMETRY", "Box3D", "load_box3d", "overlap", "overlap_and_hull"]

#: How long a candidate takes, in scores of plain boxes.
COST = 2

#: Rows of `data`: both ends along the third axis, and the volume.
LOW, HIGH, VOLUME = range(3)
ROWS = 3

#: Both ends along two axes, as bounds have them, and along the third; the volume.
Box3D = tuple[Any, Any, Any, Any, Any, Any, Any]

FLOAT64 = np.dtype(np.float64)


# ---- what is measured on two boxes -------------------------------------------------------------


@register_jitable
def load_box3d(bounds: Array, data: Array, i: int) -> Box3D:
    """Box `i` of the columns."""
    return (
        bounds[0, i],
        bounds[1, i],
        bounds[2, i],
        bounds[3, i],
        data[0, i],
        data[1, i],
        data[2, i],
    )


@register_jitable
def in_order(a: Any, b: Any, c: Any) -> tuple[Any, Any, Any]:
    """Three numbers by size, so that what is made of them has the same bits in any order."""
    low, high = smaller(a, b), larger(a, b)
    return smaller(low, c), larger(low, smaller(high, c)), larger(high, c)


@register_jitable
def product_of_three(a: Any, b: Any, c: Any) -> Any:
    """Three sides multiplied, the largest and the smallest first: neither is much out of range."""
    least, middle, most = in_order(a, b, c)
    return product(product(least, most), middle)


@register_jitable
def sum_of_squares(a: Any, b: Any, c: Any) -> Any:
    """The squares of three numbers, which are added in the order of their size."""
    least, middle, most = in_order(product(a, a), product(b, b), product(c, c))
    return (least + middle) + most


@register_jitable
def overlap(box1: Box3D, box2: Box3D) -> Any:
    """What a ratio metric needs of two boxes: the volume that both share, and both volumes."""
    left1, front1, right1, back1, low1, high1, volume1 = box1
    left2, front2, right2, back2, low2, high2, volume2 = box2
    zero = volume1 - volume1
    x = extent(larger(left1, left2), smaller(right1, right2), zero)
    y = extent(larger(front1, front2), smaller(back1, back2), zero)
    z = extent(larger(low1, low2), smaller(high1, high2), zero)
    return product_of_three(x, y, z), volume1, volume2


@register_jitable
def overlap_and_hull(box1: Box3D, box2: Box3D) -> Any:
    """What a box metric needs of two boxes: `overlap`, and what is measured on both together."""
    left1, front1, right1, back1, low1, high1, volume1 = box1
    left2, front2, right2, back2, low2, high2, _ = box2
    zero = volume1 - volume1
    x = extent(smaller(left1, left2), larger(right1, right2), zero)
    y = extent(smaller(front1, front2), larger(back1, back2), zero)
    z = extent(smaller(low1, low2), larger(high1, high2), zero)
    half = narrowed(0.5, volume1)
    distance = sum_of_squares(
        product(half, (left1 + right1) - (left2 + right2)),
        product(half, (front1 + back1) - (front2 + back2)),
        product(half, (low1 + high1) - (low2 + high2)),
    )
    return (*overlap(box1, box2), (product_of_three(x, y, z), sum_of_squares(x, y, z), distance))


# ---- preparation -------------------------------------------------------------------------------


@register_jitable
def fill_boxes3d(
    boxes: Array, first: int, last: int, layout: int, bounds: Array, data: Array
) -> tuple[bool, float, float]:
    """Fill columns of boxes from `first` to `last` (see `AxisColumns`).

    Parameters
    ----------
    boxes : array of float32 or float64, shape (n, 6)
    first, last, layout
        Which boxes, and the number of their format: two corners (0), or centre and sizes (1).
    bounds : array of the same dtype, shape (4, >= last)
        Both ends along x and y.
    data : array of the same dtype, shape (ROWS, >= last)
        What `load_box3d` reads besides.
    """
    prefer_widest_vectors()
    number = data.dtype.type
    zero = number(0)
    half = number(0.5)
    infinity = number(np.inf)
    empty = number(SMALLEST32 if data.itemsize == 4 else SMALLEST64)
    # A loop writes to other arrays than those it reads, and extremes as sums: see
    # `axis_columns.findings_in`.
    left = stack_array(data, LANES)
    top = stack_array(data, LANES)
    low = stack_array(data, LANES)
    right = stack_array(data, LANES)
    bottom = stack_array(data, LANES)
    high = stack_array(data, LANES)
    a = stack_array(data, LANES)
    b = stack_array(data, LANES)
    c = stack_array(data, LANES)
    d = stack_array(data, LANES)
    e = stack_array(data, LANES)
    f = stack_array(data, LANES)
    volume = stack_array(data, LANES)
    largest = stack_array(data, LANES)
    smallest = stack_array(data, LANES)
    odd = stack_array(data, LANES)
    for j in range(LANES):
        largest[j] = odd[j] = zero
        smallest[j] = np.inf
    for start in range(first, last, LANES):
        if start + LANES <= len(boxes):
            deinterleave(boxes, start, LANES, LANES, (a, b, c, d, e, f))
        else:
            for j in range(LANES):
                a[j] = b[j] = c[j] = d[j] = e[j] = f[j] = zero
            for j in range(len(boxes) - start):
                a[j], b[j], c[j] = boxes[start + j, 0], boxes[start + j, 1], boxes[start + j, 2]
                d[j], e[j], f[j] = boxes[start + j, 3], boxes[start + j, 4], boxes[start + j, 5]
        for j in range(np.uint64(LANES)):
            # Only an infinity or NaN gives NaN here, and only NaN differs from itself.
            strange = product(zero, a[j]) + product(zero, b[j]) + product(zero, c[j])
            strange = strange + product(zero, d[j]) + product(zero, e[j]) + product(zero, f[j])
            usual = strange == strange
            odd[j] += strange
            x1, y1, z1 = a[j], b[j], c[j]
            x2, y2, z2 = d[j], e[j], f[j]
            if layout == 1:
                width, height, depth = product(half, x2), product(half, y2), product(half, z2)
                x1, y1, z1, x2, y2, z2 = (
                    x1 - width, y1 - height, z1 - depth, x1 + width, y1 + height, z1 + depth,
                )  # fmt: skip
            x1 = x1 if usual else zero
            y1 = y1 if usual else zero
            z1 = z1 if usual else zero
            # An inverted side has length 0 and lies at its first end.
            x2 = larger(x2, x1) if usual else zero
            y2 = larger(y2, y1) if usual else zero
            z2 = larger(z2, z1) if usual else zero
            size = product_of_three(x2 - x1, y2 - y1, z2 - z1)
            proper = x2 > x1 and y2 > y1 and z2 > z1
            smallest[j] = smaller(smallest[j], size if proper else infinity) + zero
            reach = larger(larger(-x1, x2), larger(larger(-y1, y2), larger(-z1, z2)))
            largest[j] = larger(largest[j], reach) + zero
            left[j], top[j], low[j] = x1, y1, z1
            right[j], bottom[j], high[j] = x2, y2, z2
            volume[j] = size if size > zero else empty
        store(bounds[0], start, left, LANES)
        store(bounds[1], start, top, LANES)
        store(bounds[2], start, right, LANES)
        store(bounds[3], start, bottom, LANES)
        store(data[0], start, low, LANES)
        store(data[1], start, high, LANES)
        store(data[2], start, volume, LANES)
    return findings_in(odd, largest, smallest)


def _convert(array: Array, in_fmt: str, out_fmt: str) -> Array:
    """Boxes (..., 6) in another format: a new array, of float64 for integers."""
    dtype = array.dtype.newbyteorder("=") if array.dtype.kind == "f" else FLOAT64
    # 64-bit integers as Python's, whose differences are exact.
    is_long = array.dtype.kind in "iu" and array.dtype.itemsize == 8
    boxes = np.array(array, object if is_long else FLOAT64)
    first, second = boxes[..., :3], boxes[..., 3:]
    with np.errstate(over="ignore", invalid="ignore"):
        if in_fmt == "cxcyczwhd" and out_fmt == "xyzxyz":
            boxes = np.concatenate([first - second / 2, first + second / 2], axis=-1)
        elif in_fmt != out_fmt:
            boxes = np.concatenate([first / 2 + second / 2, second - first], axis=-1)
        return boxes.astype(dtype)


COLUMNS = AxisColumns(3, fill_boxes3d, "3-D-box", ROWS, {"xyzxyz": 0, "cxcyczwhd": 1})

GEOMETRY = Geometry(
    "3-D box",
    "3-D boxes",
    read=read_boxes,
    prepare=COLUMNS.prepare,
    load=load_box3d,
    measures={Need.OVERLAP: overlap, Need.HULL: overlap_and_hull},
    convert=_convert,
    is_its_bounds=True,
    depth=(LOW, HIGH),
    cost=lambda columns: COST,
    small=COLUMNS.small(),
)
