"""The scalar formulas, each written once.

A formula serves the compiled kernels of every backend and, called as plain Python, the tests.
It takes floats of one type and uses no literal: in compiled code `float32 + 1` would widen to
float64 and halve the vector width. Hence `zero = x - x` for finite `x`.

Ratio metrics take `(intersection, area1, area2)` and serve every geometry. They divide without a
guard, because whoever measures a geometry gives an empty one the smallest positive normal number
as its area: the union is then never 0, the overlap of an empty geometry is
still exactly 0, and next to any proper area the addition rounds away. A guard in the inner loop
cost 5 % of a dense call.

Box metrics take, besides, the size of the hull, the offset of the centres and the aspect angles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

__all__ = ["METRICS", "Metric"]


# Of float64 with or without a compiler: a plain 1.0 is not where NumPy meets it with a float32.
FOUR_OVER_PI_SQUARED = np.float64(4 / math.pi**2)
ONE = np.float64(1)


# ---- what a GPU does otherwise -----------------------------------------------------------------


@register_jitable
def product(a: float, b: float) -> float:
    """Two numbers multiplied, and rounded before anything else is done with them.

    Written out, a GPU's compiler would fuse it with an addition that follows, and round but once.
    """
    return a * b


@register_jitable
def quotient(a: float, b: float) -> float:
    """Two numbers divided: `b` is at least the smallest normal number and not infinite.

    Knowing that, a GPU needs no exceptions, which take longer than the rest of a score.
    """
    return a / b


@register_jitable
def quotient_of_any(a: float, b: float) -> float:
    """Two numbers divided: `b` is any number above 0, however small, and `a` not much larger.

    What is measured on a hull is not kept away from the numbers too small to be normal, which a
    GPU's reciprocal takes for 0.
    """
    return a / b


# As conditional expressions each becomes one vector instruction on a CPU, which min and max do not.


@register_jitable
def larger(a: Any, b: Any) -> Any:
    """The larger of two numbers, neither of which is NaN."""
    return a if a > b else b


@register_jitable
def smaller(a: Any, b: Any) -> Any:
    """The smaller of two numbers, neither of which is NaN."""
    return a if a < b else b


# ---- ratio metrics: any geometry ---------------------------------------------------------------


@register_jitable
def iou(intersection: float, area1: float, area2: float) -> float:
    """Intersection over union (Jaccard index)."""
    return quotient(intersection, area1 + area2 - intersection)


@register_jitable
def iof(intersection: float, area1: float, area2: float) -> float:
    """Intersection over the first area ("foreground"), as COCO scores crowds."""
    return quotient(intersection, area1)


@register_jitable
def ios(intersection: float, area1: float, area2: float) -> float:
    """Intersection over the smaller area (overlap coefficient)."""
    return quotient(intersection, smaller(area1, area2))


@register_jitable
def dice(intersection: float, area1: float, area2: float) -> float:
    """Twice the intersection over the sum of the areas (Sørensen-Dice)."""
    return quotient(intersection + intersection, area1 + area2)


@register_jitable
def intersection(intersection: float, area1: float, area2: float) -> float:
    """The area that both share, in squared units of the input."""
    return intersection


# ---- box metrics -------------------------------------------------------------------------------


@register_jitable
def filled(union: Any) -> Any:
    """A union of boxes, 0 if both are empty: an empty box has the smallest normal number for area.

    Hulls of empty boxes may be smaller than that. No box has an area between the two bounds.
    """
    zero = union - union
    if isinstance(union, np.float32):
        return union if union > np.float32(2.0**-110) else zero
    return union if union > 2.0**-1000 else zero


@register_jitable
def giou(
    intersection: float,
    area1: float,
    area2: float,
    hull_width: float,
    hull_height: float,
    offset_x: float,
    offset_y: float,
    aspect1: float,
    aspect2: float,
) -> float:
    """Generalized IoU (Rezatofighi et al. 2019): IoU less the share of the hull left empty."""
    zero = intersection - intersection
    union = filled(area1 + area2 - intersection)
    hull = product(hull_width, hull_height)
    score = iou(intersection, area1, area2)
    return score - quotient_of_any(hull - union, hull) if hull > zero else score


@register_jitable
def diou(
    intersection: float,
    area1: float,
    area2: float,
    hull_width: float,
    hull_height: float,
    offset_x: float,
    offset_y: float,
    aspect1: float,
    aspect2: float,
) -> float:
    """Distance IoU (Zheng et al. 2020): IoU less centre distance² over hull diagonal²."""
    zero = intersection - intersection
    distance = product(offset_x, offset_x) + product(offset_y, offset_y)
    diagonal = product(hull_width, hull_width) + product(hull_height, hull_height)
    score = iou(intersection, area1, area2)
    return score - quotient_of_any(distance, diagonal) if diagonal > zero else score


@register_jitable
def ciou(
    intersection: float,
    area1: float,
    area2: float,
    hull_width: float,
    hull_height: float,
    offset_x: float,
    offset_y: float,
    aspect1: float,
    aspect2: float,
) -> float:
    """Complete IoU (Zheng et al. 2020): distance IoU less a penalty on unequal aspect.

    Its last steps are float64, where float32 would round.
    """
    overlap = iou(intersection, area1, area2)
    score = diou(
        intersection,
        area1,
        area2,
        hull_width,
        hull_height,
        offset_x,
        offset_y,
        aspect1,
        aspect2,
    )
    turn = aspect1 - aspect2
    unequal = product(FOUR_OVER_PI_SQUARED, product(turn, turn))
    share = quotient(unequal, ONE - overlap + unequal) if unequal > 0.0 else unequal
    return score - product(share, unequal)


# ---- what is measured on two axis-aligned boxes ------------------------------------------------

#: left, top, right, bottom, area, aspect angle, centre x, centre y
Box = tuple[Any, Any, Any, Any, Any, Any, Any, Any]


@register_jitable
def extent(low: Any, high: Any, zero: Any) -> Any:
    """Length of the interval from `low` to `high`, 0 if it is empty.

    Corners are integers only where they spread too far to be exact in float64. Their difference may
    then need all 64 bits, so it is taken unsigned, where it cannot overflow, and becomes a float64
    only afterwards.
    """
    if isinstance(low, (int, np.int64)):
        return np.float64(np.uint64(high) - np.uint64(low)) if high > low else zero
    return larger(high - low, zero)


@register_jitable
def offset(low1: Any, high1: Any, centre1: Any, low2: Any, high2: Any, centre2: Any) -> Any:
    """Signed distance between the centres of two intervals (see `extent` for integers)."""
    if isinstance(low1, (int, np.int64)):
        zero = centre1 - centre1
        lows = extent(low2, low1, zero) - extent(low1, low2, zero)
        highs = extent(high2, high1, zero) - extent(high1, high2, zero)
        return (lows + highs) / 2
    return centre1 - centre2


@register_jitable
def overlap(box1: Box, box2: Box) -> Any:
    """What a ratio metric needs of two boxes: the area that both share, and both areas."""
    left1, top1, right1, bottom1, area1, _, _, _ = box1
    left2, top2, right2, bottom2, area2, _, _, _ = box2
    zero = area1 - area1
    width = extent(larger(left1, left2), smaller(right1, right2), zero)
    height = extent(larger(top1, top2), smaller(bottom1, bottom2), zero)
    return product(width, height), area1, area2


@register_jitable
def overlap_and_hull(box1: Box, box2: Box) -> Any:
    """What a box metric needs of two boxes: `overlap`, hull size, offset of centres, aspects."""
    left1, top1, right1, bottom1, area1, aspect1, x1, y1 = box1
    left2, top2, right2, bottom2, _, aspect2, x2, y2 = box2
    zero = area1 - area1
    return (
        *overlap(box1, box2),
        extent(smaller(left1, left2), larger(right1, right2), zero),
        extent(smaller(top1, top2), larger(bottom1, bottom2), zero),
        offset(left1, right1, x1, left2, right2, x2),
        offset(top1, bottom1, y1, top2, bottom2, y2),
        aspect1,
        aspect2,
    )


# ---- the table ---------------------------------------------------------------------------------


class Metric(NamedTuple):
    """A row of the table of metrics."""

    name: str
    #: The scalar formula.
    formula: Callable[..., Any]
    #: What it is computed from, measured on two boxes: `formula(*measure(box1, box2))`.
    measure: Callable[..., Any]
    #: The largest value it takes, or None where it grows with the units of the input.
    maximum: float | None = 1.0

    @property
    def is_ratio(self) -> bool:
        """Whether an intersection and two areas are all it needs."""
        return self.measure is overlap


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("iou", iou, overlap),
        Metric("giou", giou, overlap_and_hull),
        Metric("diou", diou, overlap_and_hull),
        Metric("ciou", ciou, overlap_and_hull),
        Metric("iof", iof, overlap),
        Metric("ios", ios, overlap),
        Metric("dice", dice, overlap),
        Metric("intersection", intersection, overlap, maximum=None),
    )
}
