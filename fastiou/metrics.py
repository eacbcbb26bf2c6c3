"""The scalar formulas, each written once.

A formula serves the compiled kernels of every backend and, called as plain Python, the tests.
It takes floats of one type and uses no literal: in compiled code `float32 + 1` would widen to
float64 and halve the vector width. Hence `zero = x - x` for finite `x`.

Ratio metrics take `(intersection, area1, area2)` and serve every geometry. They divide without a
guard, because whoever measures a geometry gives an empty one the smallest positive normal number
as its area: the union is then never 0, the overlap of an empty geometry is
still exactly 0, and next to any proper area the addition rounds away. A guard in the inner loop
cost 5 % of a dense call.

Box metrics take, besides, a tuple of what they need of the box around both: its size, the square of
its diagonal, and the square of the distance of the centres. `ciou` takes the aspect angles, too.
`probiou` is no ratio of areas: it takes how far apart and how unlike two Gaussians are.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.extending import register_jitable

__all__ = ["IOF", "METRICS", "Metric", "Need"]


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

#: The area (or volume, or length) of the hull, its diagonal², and the distance² of the centres.
Hull = tuple[Any, Any, Any]

#: The aspect angles of both.
Aspects = tuple[Any, Any]


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
def giou(intersection: float, area1: float, area2: float, hull: Hull) -> float:
    """Generalized IoU (Rezatofighi et al. 2019): IoU less the share of the hull left empty."""
    area, _, _ = hull
    zero = intersection - intersection
    union = filled(area1 + area2 - intersection)
    score = iou(intersection, area1, area2)
    return score - quotient_of_any(area - union, area) if area > zero else score


@register_jitable
def diou(intersection: float, area1: float, area2: float, hull: Hull) -> float:
    """Distance IoU (Zheng et al. 2020): IoU less centre distance² over hull diagonal²."""
    _, diagonal, distance = hull
    zero = intersection - intersection
    score = iou(intersection, area1, area2)
    return score - quotient_of_any(distance, diagonal) if diagonal > zero else score


@register_jitable
def ciou(intersection: float, area1: float, area2: float, hull: Hull, aspects: Aspects) -> float:
    """Complete IoU (Zheng et al. 2020): distance IoU less a penalty on unequal aspect.

    Its last steps are float64, where float32 would round.
    """
    aspect1, aspect2 = aspects
    overlap = iou(intersection, area1, area2)
    score = diou(intersection, area1, area2, hull)
    turn = aspect1 - aspect2
    unequal = product(FOUR_OVER_PI_SQUARED, product(turn, turn))
    share = quotient(unequal, ONE - overlap + unequal) if unequal > 0.0 else unequal
    return score - product(share, unequal)


# ---- metrics of Gaussians ----------------------------------------------------------------------

#: What Ultralytics adds below the root, and its least Bhattacharyya distance.
LEAST = np.float64(1e-7)
MOST = np.float64(100)


@register_jitable
def probiou(distance: float, unlike: float) -> float:
    """One less the Hellinger distance of two boxes as Gaussians (Murrugarra-Llerena et al. 2021).

    As Ultralytics computes it, whose `LEAST` makes it 0.99955 for equal boxes, and 0 for those that
    are further apart than about four of their standard deviations. It is float64 throughout.

    Parameters
    ----------
    distance
        The way between the centres, squared, in units of the sum of both covariances, over three.
    unlike
        The determinant of that sum over its least for the areas of both, less 1.
    """
    apart = product(np.float64(0.75), distance) + product(np.float64(0.5), math.log1p(unlike))
    apart = smaller(larger(apart, LEAST), MOST)
    return larger(ONE - math.sqrt(LEAST - math.expm1(-apart)), ONE - ONE)


# ---- what a threshold demands ------------------------------------------------------------------

# Each tells, for a threshold, what both sides of an overlap must be of those of the first of two,
# and of the second, if both fill their bounds and score so much.


def _of_both(threshold: float) -> tuple[float, float]:
    """An overlap is no wider than either, so iou ≤ width / width1, and so on."""
    return threshold, threshold


def _of_both_nearly(threshold: float) -> tuple[float, float]:
    """These are never above iou, but for rounding, which lifts giou at most."""
    return _of_both(max(0.0, threshold - 1e-5))


def _of_first(threshold: float) -> tuple[float, float]:
    return threshold, 0.0


def _of_dice(threshold: float) -> tuple[float, float]:
    return _of_both(threshold / (2 - threshold))


def _of_neither(threshold: float) -> tuple[float, float]:
    return 0.0, 0.0


# Each tells, for a threshold, how far from the middle of its bounds a member reaches that is to
# score so much: in half sides of these.


def _its_bounds(threshold: float) -> float:
    return 1.0


def _of_gaussians(threshold: float) -> float:
    """Scores of so much need a Bhattacharyya distance of at most B.

    That is at least d² / 4v, d the way between the centres along an axis, v the sum of both
    variances. So d is at most √(4B) times the sum of both deviations. A deviation is at most half
    the side of the bounds, over √3.
    """
    least = float(LEAST)
    bhattacharyya = -math.log(min(1.0, 1 + least - (1 - max(0.0, threshold)) ** 2))
    return math.sqrt(4 / 3 * max(bhattacharyya, 2 * least))


# ---- the table ---------------------------------------------------------------------------------


class Need(enum.Enum):
    """What a formula is computed from, and so what a geometry must measure on two members."""

    #: The area that both share, and both areas.
    OVERLAP = "the area that both share"
    #: The same and, as the fourth, a `Hull`.
    HULL = "the box around two axis-aligned boxes"
    #: The same and, as the fifth, `Aspects`.
    ASPECTS = "the aspect ratio of axis-aligned boxes of a plane"
    #: How far apart and how unlike both are, as `probiou` takes it.
    GAUSSIANS = "rotated boxes, which it takes for Gaussians"


@dataclass(frozen=True, eq=False)
class Metric:
    """A row of the table of metrics. Rows are compared by identity: factories cache by them."""

    name: str
    #: The scalar formula: `formula(*measure(member1, member2))`, with what a geometry measures.
    formula: Callable[..., Any]
    needs: Need
    #: What a threshold demands of the sides of both members, if these fill their bounds.
    sides: Callable[[float], tuple[float, float]]
    #: The largest value it takes, or None where it has the units of the input, squared.
    maximum: float | None = 1.0
    #: How far members reach that score a threshold, in half sides of their bounds. Where they reach
    #: past their bounds, a dense result does not look at these.
    reach: Callable[[float], float] = _its_bounds

    @property
    def is_ratio(self) -> bool:
        """Whether an intersection and two areas are all it needs."""
        return self.needs is Need.OVERLAP

    @property
    def reaches_further(self) -> bool:
        """Whether it scores members whose bounds are apart."""
        return self.reach(0.0) > 1

    @property
    def has_units(self) -> bool:
        """Whether it grows with the units of the input."""
        return self.maximum is None


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("iou", iou, Need.OVERLAP, _of_both),
        Metric("giou", giou, Need.HULL, _of_both_nearly),
        Metric("diou", diou, Need.HULL, _of_both_nearly),
        Metric("ciou", ciou, Need.ASPECTS, _of_both_nearly),
        Metric("iof", iof, Need.OVERLAP, _of_first),
        Metric("ios", ios, Need.OVERLAP, _of_neither),
        Metric("dice", dice, Need.OVERLAP, _of_dice),
        Metric("intersection", intersection, Need.OVERLAP, _of_neither, maximum=None),
        Metric("probiou", probiou, Need.GAUSSIANS, _of_neither, reach=_of_gaussians),
    )
}

#: What crowds are scored by, whatever the metric.
IOF = METRICS["iof"]
