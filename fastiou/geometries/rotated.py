"""Rotated boxes: how they are read and prepared, and the area that two of them share.

The shared area is found in the frame of one of the boxes. Each point of the plane is moved to the
nearest point of that box, by coordinates: `(x, y)` becomes `(clamp(x, ±a), clamp(y, ±b))`.
Points inside stay where they are, and all others come to lie on the edge, where they enclose
nothing. So the shared area is the area enclosed by what becomes of the other box's edges. An edge
becomes at most three straight pieces, and its part of the area is the integral of the clamped x
over the clamped y. No corner is tested for lying inside, no crossing is sorted, and the area
changes steadily with every number, so that edges which coincide are no special case.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.arrays.inputs import Input
from fastiou.geometries.axis_columns import AxisColumns
from fastiou.geometries.boxes import read_boxes
from fastiou.geometries.rotated_columns import (
    LAYOUTS,
    ROWS,
    ROWS_OF_FLOAT64,
    RotatedBox,
    fill_rotated,
    load_rotated,
    narrowed,
)
from fastiou.geometry import Columns, Geometry
from fastiou.metrics import Metric, Need, larger, product, smaller
from fastiou.runtime.vectors import always_inlined
from fastiou.typing import Array

__all__ = ["ANGLES", "GEOMETRY", "shared_area", "with_angles_in"]

#: How long a candidate takes, in scores of plain boxes.
COST = 8

#: How many scores take as long as preparing one box.
SCORES_PER_BOX = 12


# ---- the area that two boxes share -------------------------------------------------------------


@register_jitable
def clamped(value: Any, low: Any, high: Any) -> Any:
    """A number brought into an interval."""
    return smaller(larger(value, low), high)


@register_jitable
def least_cosine(like: Any) -> Any:
    """What stands for a cosine of 0: its inverse times the largest coordinate is finite."""
    return narrowed(2.0**-60 if isinstance(like, np.float32) else 2.0**-498, like)


@register_jitable
def least_sine(like: Any) -> Any:
    """What stands for a sine of 0 in a divisor: the smallest normal number."""
    return narrowed(2.0**-126 if isinstance(like, np.float32) else 2.0**-1022, like)


@register_jitable
def shared_area(box1: RotatedBox, box2: RotatedBox) -> tuple[Any, Any, Any]:
    """What a ratio metric needs of two rotated boxes: the area that both share, and both areas.

    Where the other box lies in the frame of one is computed in float64: it is the difference of
    numbers that may be large. The rest is computed in the type of the boxes.
    """
    always_inlined()
    left1, top1, right1, bottom1, x1, y1, width1, height1, cosine1, sine1, area1 = box1
    left2, top2, right2, bottom2, x2, y2, width2, height2, cosine2, sine2, area2 = box2
    zero = area1 - area1

    # The frame is that of the smaller box, which makes the result exact to so many digits of the
    # smaller area. The rest is for (a, b) and (b, a) to have the same bits: whichever differs first
    # decides. Boxes that differ by their angle alone need no order, since they are mirror images.
    dx = np.float64(x2) - np.float64(x1)
    dy = np.float64(y2) - np.float64(y1)
    # Taken beforehand, since a loop with a subtraction that is made only at need is no vector code.
    wider = width2 - width1
    taller = height2 - height1
    righter = x2 - x1
    lower = y2 - y1
    order = area2 - area1
    order = order if order != zero else wider
    order = order if order != zero else taller
    order = order if order != zero else righter
    order = order if order != zero else lower
    first = order > zero

    # From here on a and b are half the sides of the frame's box, p and q those of the other.
    a = width1 if first else width2
    b = height1 if first else height2
    p = width2 if first else width1
    q = height2 if first else height1
    cosine = cosine2 if first else cosine1
    sine = sine2 if first else sine1
    dx = dx if first else -dx
    dy = dy if first else -dy
    # The way between the centres, along the sides of the other box. Only what is taken along them
    # tells how far its edges are from the frame's centre, however long they are.
    u = product(dx, cosine) + product(dy, sine)
    v = product(dy, cosine) - product(dx, sine)

    # Both angles lie between -45 and 45 degrees, so that the angle between the two boxes lies
    # between -90 and 90. Where one of its sine and cosine is 0, the other is 1 without rounding.
    c = product(cosine1, cosine2) + product(sine1, sine2)
    s = product(sine2, cosine1) - product(cosine2, sine1)
    s = s if first else -s
    # Seen in a mirror, a box turned one way is turned the other way.
    v = -v if s < 0.0 else v
    s = abs(s)
    c, s = (1.0 if s == 0.0 else c), (1.0 if c <= 0.0 else s)
    shared = folded_area(
        a,
        b,
        p,
        q,
        narrowed(u, area1),
        narrowed(v, area1),
        narrowed(c, area1),
        narrowed(s, area1),
        smaller(area1, area2),
    )
    # Exactly 0 where the hulls are apart, which is all that a search looks at.
    is_near = (left1 < right2) & (left2 < right1) & (top1 < bottom2) & (top2 < bottom1)
    return shared if is_near else zero, area1, area2


@register_jitable
def folded_area(
    a: Any, b: Any, p: Any, q: Any, u: Any, v: Any, c: Any, s: Any, largest: Any
) -> Any:
    """Area that two boxes share, as the first of them sees it.

    Parameters
    ----------
    a, b
        Half the sides of the first box, whose centre is (0, 0) and whose sides are the axes.
    p, q
        Half the sides of the second box.
    u, v
        Its centre, along its own sides.
    c, s
        Cosine and sine of its angle, from 0 to 90 degrees.
    largest
        The smaller of both areas.
    """
    always_inlined()
    zero = largest - largest
    half = narrowed(0.5, largest)
    # Powers of two instead of 0, and instead of a case for edges that are parallel to an axis.
    # Their inverses are exact. What else gets infinite by them is clamped.
    c = larger(c, least_cosine(largest))
    divisor = larger(s, least_sine(largest))
    inverse = (half + half) / (c * divisor)  # one division for all of the following
    stretch = divisor * inverse  # 1 / c
    flat = s * stretch  # how far x moves with y on two of the edges
    steep = c * c * inverse  # and on the other two

    # The y of the corners: the bottom one has the least, the top one the largest. The shorter way
    # is added last, so that corners which are close together keep their distance.
    centre = u * s + v * c
    ps = p * s
    qc = q * c
    longer = larger(ps, qc)
    shorter = smaller(ps, qc)
    low = centre - longer
    high = centre + longer
    bottom = clamped(low - shorter, -b, b)
    top = clamped(high + shorter, -b, b)
    second = clamped(low + shorter, -b, b)
    third = clamped(high - shorter, -b, b)
    right = second if ps < qc else third
    left = third if ps < qc else second

    # For each edge: the part of it, from y = begin to y = end, on which x is not clamped.
    # From bottom to right, x = (y - y1) * steep. From left to top, x = (y - y4) * steep.
    y1 = (v - q) * stretch
    y4 = (v + q) * stretch
    reach = a * flat
    begin1 = clamped(y1 - reach, bottom, right)
    end1 = clamped(y1 + reach, bottom, right)
    begin4 = clamped(y4 - reach, left, top)
    end4 = clamped(y4 + reach, left, top)
    # From right to top, x = x2 - y * flat. From bottom to left, x = x3 - y * flat.
    x2 = (u + p) * stretch
    x3 = (u - p) * stretch
    begin2 = clamped((x2 - a) * steep, right, top)
    end2 = clamped((x2 + a) * steep, right, top)
    begin3 = clamped((x3 - a) * steep, bottom, left)
    end3 = clamped((x3 + a) * steep, bottom, left)
    sum1 = begin1 + end1
    sum2 = begin2 + end2
    sum3 = begin3 + end3
    sum4 = begin4 + end4
    # x halfway. Clamped again, since it may be a unit of rounding of y, times a huge slope.
    half_flat = half * flat
    middle1 = clamped((half * sum1 - y1) * steep, -a, a)
    middle2 = clamped(x2 - sum2 * half_flat, -a, a)
    middle3 = clamped(x3 - sum3 * half_flat, -a, a)
    middle4 = clamped((half * sum4 - y4) * steep, -a, a)

    # Where x is clamped, it is a or -a; right's and left's own y cancel.
    outside = ((sum4 - top) - (sum3 - bottom)) + ((sum2 - top) - (sum1 - bottom))
    inside = ((end1 - begin1) * middle1 + (end2 - begin2) * middle2) - (
        (end3 - begin3) * middle3 + (end4 - begin4) * middle4
    )
    return clamped(a * outside + inside, zero, largest)


# ---- two boxes as Gaussians --------------------------------------------------------------------


@register_jitable
def gaussians(box1: RotatedBox, box2: RotatedBox) -> tuple[Any, Any]:
    """What a metric of Gaussians needs of two rotated boxes: see `metrics.probiou`.

    The variances along the sides of a box are the squares of its half sides, over 3. All is sums of
    squares, so that nothing is lost by a difference, and in float64, since the score is as the root
    of how little two boxes differ.
    """
    x1, y1, width1, height1, cosine1, sine1 = box1[4:10]
    x2, y2, width2, height2, cosine2, sine2 = box2[4:10]
    width1, height1 = np.float64(width1), np.float64(height1)
    width2, height2 = np.float64(width2), np.float64(height2)
    area1, area2 = product(width1, height1), product(width2, height2)
    proper = (area1 > 0.0) & (area2 > 0.0)
    unit = 0.5 / product(math.sqrt(area1), math.sqrt(area2)) if proper else 0.0
    dx = np.float64(x2) - np.float64(x1)
    dy = np.float64(y2) - np.float64(y1)
    c = product(cosine1, cosine2) + product(sine1, sine2)
    s = product(sine2, cosine1) - product(cosine2, sine1)

    larger_one = product(area1 - area2, unit)
    along = product(product(c, product(width1, height2) - product(height1, width2)), unit)
    across = product(product(s, product(width1, width2) - product(height1, height2)), unit)
    unlike = product(larger_one, larger_one) + (product(along, along) + product(across, across))
    # An empty box is unlike any. What is above this scores 0 anyway, and is not to get infinite.
    unlike = smaller(unlike, 2.0**900) if proper else 2.0**900

    way1 = way_squared(dx, dy, width1, height1, cosine1, sine1, unit)
    way2 = way_squared(dx, dy, width2, height2, cosine2, sine2, unit)
    return (way1 + way2) / (1.0 + unlike), unlike


@register_jitable
def way_squared(
    dx: float, dy: float, width: float, height: float, cosine: float, sine: float, unit: float
) -> float:
    """A way squared, taken along each side of a box times its other side."""
    u = product(product(dx, cosine) + product(dy, sine), product(height, unit))
    v = product(product(dy, cosine) - product(dx, sine), product(width, unit))
    return product(u, u) + product(v, v)


# ---- preparation -------------------------------------------------------------------------------


COLUMNS = AxisColumns(
    2, fill_rotated, "rotated", ROWS, LAYOUTS,
    scores_of_one=SCORES_PER_BOX, fills_bounds=False, widened=("xywhr",),
    rows_of_float64=ROWS_OF_FLOAT64,
)  # fmt: skip


def _prepare(
    given1: Input, given2: Input, metric: Metric, order: Array | None = None, phase: int = 0
) -> tuple[Columns, Columns]:
    """Columns of two sets of rotated boxes (see `Geometry.prepare`)."""
    if "-rad" not in given1.fmt:
        again = given2.array is given1.array
        given1 = _with_small_angles(given1)
        given2 = given1 if again else _with_small_angles(given2)
    return COLUMNS.prepare(given1, given2, metric, order, phase)


def _with_small_angles(given: Input) -> Input:
    """Integers with degrees that float64 holds exactly."""
    boxes = given.array
    if boxes.dtype.kind not in "iu" or boxes.dtype.itemsize < 8:
        return given
    boxes = boxes.copy()
    boxes[..., 4] %= 360
    return given._replace(held=boxes)


# ---- formats -----------------------------------------------------------------------------------


def _convert(array: Array, in_fmt: str, out_fmt: str) -> Array:
    """Rotated boxes (..., 5) in another format: a new array, of float64 for integers."""
    dtype = array.dtype.newbyteorder("=") if array.dtype.kind == "f" else np.dtype(np.float64)
    boxes = np.array(array, np.float64)
    if in_fmt == out_fmt:
        return boxes.astype(dtype)
    in_radians, out_radians = ("-rad" in fmt for fmt in (in_fmt, out_fmt))
    # Degrees, or radians where both are, so that an angle that stays is not rounded.
    angle = np.degrees(boxes[..., 4]) if in_radians and not out_radians else boxes[..., 4]
    if in_fmt.endswith("-cw") != out_fmt.endswith("-cw"):
        angle = -angle
    turn = angle if in_radians and out_radians else np.radians(angle)
    turn = -turn if out_fmt.endswith("-cw") else turn  # counter-clockwise
    width, height = boxes[..., 2] / 2, boxes[..., 3] / 2
    across = width * np.cos(turn) + height * np.sin(turn)
    down = height * np.cos(turn) - width * np.sin(turn)
    side = (in_fmt == "xywhr") - (out_fmt == "xywhr")
    if side:  # between the corner and the centre
        boxes[..., 0] += side * across
        boxes[..., 1] += side * down
    boxes[..., 4] = np.radians(angle) if out_radians and not in_radians else angle
    return boxes.astype(dtype)


#: The ranges of an angle that toolboxes write: its sign there, where it begins and how far it goes,
#: in quarter turns. In one of two quarters the width is the longer side.
ANGLES = {"le90": (1, -1.0, 2), "le135": (1, -0.5, 2), "oc": (-1, -1.0, 1)}


def with_angles_in(array: Array, fmt: str, angles: str) -> Array:
    """The same rotated boxes (..., 5) by angles in a range, of the unit and sense of the format."""
    sign, low, quarters = ANGLES[angles]
    centred = "cxcywhr" if fmt == "xywhr" else fmt
    result = _convert(array, fmt, centred)
    quarter = np.pi / 2 if "-rad" in fmt else 90.0
    low, high = (float(result.dtype.type(end * quarter)) for end in (low, low + quarters))
    turn = sign * result[..., 4].astype(np.float64)
    is_low = result[..., 2] < result[..., 3]
    # A quarter turn swaps the sides. Whole ranges are taken off the angle.
    swapped = is_low if quarters == 2 else np.zeros_like(is_low)
    turn += np.where(swapped, quarter, 0)
    ranges = np.where((turn >= low) & (turn < high), 0, np.floor((turn - low) / (high - low)))
    turn = (sign * (turn - ranges * (high - low))).astype(result.dtype).astype(np.float64) * sign
    # Rounded, it may lie below the range, or at the end that does not belong to it.
    ranges += turn >= high
    turn = np.where(turn >= high, low, np.where(turn < low, low, turn))
    if quarters == 1:
        swapped = ranges % 2 == 1
    result[..., 4] = sign * turn
    result[..., 2:4] = np.where(swapped[..., None], result[..., [3, 2]], result[..., 2:4])
    return _convert(result, centred, fmt)


GEOMETRY = Geometry(
    "rotated box",
    "rotated boxes",
    read=read_boxes,
    prepare=_prepare,
    load=load_rotated,
    measures={Need.OVERLAP: shared_area, Need.GAUSSIANS: gaussians},
    convert=_convert,
    cost=lambda columns: COST,
    small=COLUMNS.small(),
)
