"""Boxes in space that are turned about the vertical axis: how they are prepared and measured.

Seen from above a box is a rotated one (`rotated`), and the volume that two share is the area that
these share, times the height that both have in common.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.geometries.axis_columns import LANES, SMALLEST32, SMALLEST64, AxisColumns
from fastiou.geometries.boxes import read_boxes
from fastiou.geometries.rotated import shared_area
from fastiou.geometries.rotated_columns import LAYOUTS, fill_columns, load_rotated, narrowed
from fastiou.geometries.table import FORMATS, Row
from fastiou.geometry import Geometry
from fastiou.metrics import Need, larger, product, smaller
from fastiou.runtime.vectors import (
    always_inlined,
    deinterleave,
    prefer_widest_vectors,
    stack_array,
    store,
    unowned,
)
from fastiou.typing import Array

__all__ = ["GEOMETRY", "shared_volume"]

#: How long a candidate takes, in scores of plain boxes.
COST = 9

#: How many scores take as long as preparing one box.
SCORES_PER_BOX = 16

FLOAT64 = np.dtype(np.float64)

#: Rows of `data`: those of rotated boxes; both ends of the hull along the third axis, where it is a
#: bit larger than the box; the centre and half the height; the volume.
LOW, HIGH, Z, HALF_HEIGHT, VOLUME = 9, 10, 11, 12, 13
ROWS = 14

#: Boxes of which what is seen from above is prepared first.
PART = 256

#: Yaw is an angle in radians, from x towards y.
YAW = LAYOUTS["cxcywhr-rad-cw"]

#: A rotated box, whose hull is along two axes, as bounds have them; z, half the height, the volume.
YawedBox = tuple[Any, ...]

#: The row of the geometry that boxes with yaw are converted from.
UPRIGHT = FORMATS["xyzxyz"]


# ---- the volume that two boxes share -----------------------------------------------------------


@register_jitable
def load_yawed(bounds: Array, data: Array, i: int) -> YawedBox:
    """Box `i` of the columns.

    Parameters
    ----------
    bounds : array, shape (4, > n)
        Both ends of the hull along two axes.
    data : array, shape (ROWS, > n)
        What `fill_yawed` made.
    i
        Number of the box.
    """
    return (
        *load_rotated(bounds, data, i),
        data[11, i],
        data[12, i],
        data[13, i],
    )


@register_jitable
def shared_volume(box1: YawedBox, box2: YawedBox) -> tuple[Any, Any, Any]:
    """What a ratio metric needs of two boxes: the volume that both share, and both volumes."""
    always_inlined()
    z1, reach1, volume1 = box1[11:]
    z2, reach2, volume2 = box2[11:]
    area, _, _ = shared_area(box1[:11], box2[:11])
    # In float64, as the difference of numbers that may be large.
    apart = abs(np.float64(z2) - np.float64(z1))
    reach1, reach2 = np.float64(reach1), np.float64(reach2)
    height = smaller((reach1 + reach2) - apart, smaller(reach1 + reach1, reach2 + reach2))
    # Exactly 0 where the hulls are apart, which is all that a search looks at: the third axis's are
    # larger than the boxes by more than is rounded here.
    volume = product(area, narrowed(larger(height, 0.0), volume1))
    return smaller(volume, smaller(volume1, volume2)), volume1, volume2


# ---- preparation -------------------------------------------------------------------------------


@register_jitable
def read_above(given: Any, start: int, numbers: Any, third: Any) -> None:
    """What of `LANES` boxes is seen from above, for `rotated_columns.fill_columns`.

    `given` are boxes (n, 7), a number, and arrays to write z and depth to, which begin with the box
    of that number.
    """
    always_inlined()
    boxes, begin, all_z, all_depths = given
    x, y, width, height, yaw = numbers
    z, depth = third
    if start + LANES <= len(boxes):
        deinterleave(boxes, start, LANES, LANES, (x, y, z, width, height, depth, yaw))
    else:
        for j in range(LANES):
            x[j] = y[j] = z[j] = width[j] = height[j] = depth[j] = yaw[j] = 0
        for j in range(len(boxes) - start):
            x[j], y[j], z[j] = boxes[start + j, 0], boxes[start + j, 1], boxes[start + j, 2]
            width[j], height[j] = boxes[start + j, 3], boxes[start + j, 4]
            depth[j], yaw[j] = boxes[start + j, 5], boxes[start + j, 6]
    store(all_z, start - begin, z, LANES)
    store(all_depths, start - begin, depth, LANES)


@register_jitable
def fill_yawed(
    boxes: Array, first: int, last: int, layout: int, bounds: Array, data: Array
) -> tuple[bool, float, float]:
    """Fill columns of boxes from `first` to `last` (see `AxisColumns`).

    Parameters
    ----------
    boxes : array of float32 or float64, shape (n, 7)
    first, last, layout
        Which boxes, and the number of their format: z is the centre (0) or the bottom (1).
    bounds : array of the same dtype, shape (4, >= last)
        Both ends of the hulls along x and y.
    data : array of the same dtype, shape (ROWS, >= last)
        What `load_yawed` reads.
    """
    prefer_widest_vectors()
    # References to them were counted for each `LANES` boxes: a box took 10.2 ns so, and takes 8.4.
    boxes, bounds, data = unowned(boxes), unowned(bounds), unowned(data)
    is_single = data.itemsize == 4
    none = data.dtype.type(0)
    empty = narrowed(SMALLEST32 if is_single else SMALLEST64, none)
    rounding = 2.0**-22 if is_single else 2.0**-51
    all_z = stack_array(data, PART)
    all_depths = stack_array(data, PART)
    z = stack_array(data, LANES)
    half = stack_array(data, LANES)
    volume = stack_array(data, LANES)
    low = stack_array(data, LANES)
    high = stack_array(data, LANES)
    largest = stack_array(np.float64, LANES)
    smallest = stack_array(np.float64, LANES)
    for j in range(LANES):
        largest[j] = 0.0
        smallest[j] = np.inf
    # What is seen from above first, of so few that their columns stay in the nearest cache.
    any_odd, most = False, 0.0
    for begin in range(first, last, PART):
        end = min(begin + PART, last)
        odd, reached, _ = fill_columns(
            read_above, (boxes, begin, all_z, all_depths), begin, end, YAW, bounds, data, (z, half)
        )
        any_odd, most = any_odd or odd, larger(most, reached)
        for start in range(begin, end, LANES):
            for j in range(np.uint64(LANES)):
                i = np.uint64(start) + j
                # A box is empty as a whole, or not at all.
                proper = data[2, i] > none
                place = i - np.uint64(begin)
                depth = all_depths[place]
                usual = product(none, all_z[place]) + product(none, depth) == none
                reach = product(0.5, np.float64(depth)) if usual else 0.0
                centre = np.float64(all_z[place]) if usual else 0.0
                centre = centre + reach if layout == 1 else centre
                reach = reach if proper else 0.0
                z[j] = narrowed(centre, none)
                half[j] = narrowed(reach, none)
                size = product(data[6, i], half[j] + half[j])
                volume[j] = size if proper and size > none else empty
                far = abs(centre) + reach
                # 0 is added for a reason: see `axis_columns.findings_in`.
                smallest[j] = smaller(smallest[j], np.float64(size) if proper else np.inf) + 0.0
                largest[j] = larger(largest[j], far) + 0.0
                # As with hulls of rotated boxes: a bit larger, for all that was rounded.
                more = reach + product(rounding, far) if proper else 0.0
                centre = np.float64(z[j])
                low[j] = narrowed(centre - more, none)
                high[j] = narrowed(centre + more, none)
            store(data[9], start, low, LANES)
            store(data[10], start, high, LANES)
            store(data[11], start, z, LANES)
            store(data[12], start, half, LANES)
            store(data[13], start, volume, LANES)
    for j in range(LANES):
        most = larger(most, largest[j])
        smallest[0] = smaller(smallest[0], smallest[j])
    return any_odd, most, smallest[0]


COLUMNS = AxisColumns(
    3, fill_yawed, "yawed", ROWS, {"xyzwhdr": 0, "xyzwhdr-bottom": 1},
    scores_of_one=SCORES_PER_BOX, fills_bounds=False, widened=("xyzwhdr-bottom",),
)  # fmt: skip


# ---- formats -----------------------------------------------------------------------------------


def _in_format(row: Row, array: Array, in_fmt: str, out_fmt: str) -> Array:
    convert = row.load().convert
    assert convert is not None
    return convert(array, in_fmt, out_fmt)


def _convert(array: Array, in_fmt: str, out_fmt: str) -> Array:
    """Boxes with yaw (..., 7) and axis-aligned ones: a new array, of float64 for integers."""
    dtype = array.dtype.newbyteorder("=") if array.dtype.kind == "f" else FLOAT64
    if out_fmt in UPRIGHT.formats:
        raise ValueError(
            f"3-D boxes with yaw cannot be converted to {out_fmt!r}, which holds no other than "
            "axis-aligned ones; 'xyzwhdr' holds both"
        )
    boxes = np.array(array, FLOAT64)
    if in_fmt in UPRIGHT.formats:
        exact = array if array.dtype.kind in "iu" else boxes
        boxes = _in_format(UPRIGHT, exact, in_fmt, "cxcyczwhd")
        boxes = np.concatenate([boxes, np.zeros((*boxes.shape[:-1], 1))], axis=-1)
        in_fmt = "xyzwhdr"
    with np.errstate(over="ignore", invalid="ignore"):
        up = (out_fmt == "xyzwhdr") - (in_fmt == "xyzwhdr")
        if up:
            boxes[..., 2] += up * (boxes[..., 5] / 2)
        return boxes.astype(dtype)


GEOMETRY = Geometry(
    "3-D box with yaw",
    "3-D boxes with yaw",
    read=read_boxes,
    prepare=COLUMNS.prepare,
    load=load_yawed,
    measures={Need.OVERLAP: shared_volume},
    convert=_convert,
    converts=tuple(UPRIGHT.formats),
    depth=(LOW, HIGH),
    cost=lambda columns: COST,
    small=COLUMNS.small(),
)
