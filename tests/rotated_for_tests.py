"""Rotated boxes for tests, and their exact scores by clipping fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array

FLOATS = [np.float32, np.float64]

#: Of relations: the loops are the same for both types.
RELATION_FLOATS = [pytest.param(np.float32, marks=pytest.mark.thorough), np.float64]
RATIOS = ["iou", "iof", "ios", "dice"]
FORMATS = ["cxcywhr", "cxcywhr-rad", "cxcywhr-cw", "cxcywhr-rad-cw", "xywhr"]


def rotated(
    rng: np.random.Generator, count: int, dtype: Any = np.float64, span: float = 100.0
) -> Array:
    """Boxes at any angle, about a seventh as large as their surroundings."""
    centres = rng.random((count, 2)) * span
    sides = span / 20 + rng.random((count, 2)) * span / 5
    return np.concatenate([centres, sides, rng.uniform(-400, 400, (count, 1))], axis=1).astype(
        dtype
    )


def awkward(dtype: Any = np.float64) -> Array:
    """Proper, equal, touching, nested, empty, inverted and missing boxes."""
    nan = math.nan
    return np.array(
        [
            [5, 5, 10, 6, 30],
            [5, 5, 10, 6, 30],
            [5, 5, 6, 10, 120],  # the same, turned by a quarter
            [5, 5, 10, 6, -150],
            [5, 5, 2, 1, -70],  # inside
            [5, 5, 60, 50, 45],  # around
            [5, 5, 10, 6, 0],
            [15, 5, 10, 6, 0],  # touches the last
            [5, 5, 0, 6, 30],
            [5, 5, 0, 0, 0],
            [5, 5, -10, 6, 30],
            [5, 5, -10, -6, 30],
            [nan, 5, 10, 6, 30],
            [5, 5, 10, nan, 30],
            [5, 5, 10, 6, nan],
            [nan] * 5,
            [1e6, 1e6, 2, 1, 10],
        ],
        dtype,
    )


MISSING = [12, 13, 14, 15]
EMPTY = [8, 9, 10, 11]


# ---- exact clipping ----------------------------------------------------------------------------

#: A point of the plane, without rounding.
Point = tuple[Fraction, Fraction]


def turned(angle: float, fmt: str) -> Point:
    """Cosine and sine of an angle from x towards y (down): those of float64, but for quarters."""
    if "-rad" in fmt:
        cosine, sine = Fraction(math.cos(angle)), Fraction(math.sin(angle))
    else:
        degrees = Fraction(angle)
        quarters = round(degrees / 90)
        rest = math.radians(float(degrees - 90 * quarters))
        cosine, sine = Fraction(math.cos(rest)), Fraction(math.sin(rest))
        for _ in range(quarters % 4):
            cosine, sine = -sine, cosine
    return (cosine, sine) if fmt.endswith("-cw") else (cosine, -sine)


def corners(box: Array, fmt: str) -> list[Point]:
    """The corners of a box in the order of its unrotated ones: from the top left one clockwise."""
    x, y, width, height = (Fraction(float(number)) for number in box[:4])
    cosine, sine = turned(float(box[4]), fmt)
    if width <= 0 or height <= 0:
        width = height = Fraction(0)
    across, down = (width * cosine, width * sine), (-height * sine, height * cosine)
    if fmt != "xywhr":
        x, y = x - (across[0] + down[0]) / 2, y - (across[1] + down[1]) / 2
    return [
        (x, y),
        (x + across[0], y + across[1]),
        (x + across[0] + down[0], y + across[1] + down[1]),
        (x + down[0], y + down[1]),
    ]


def side_of(point: Point, begin: Point, end: Point) -> Fraction:
    """Positive inside, where the edge from begin to end is one of a box."""
    return (end[0] - begin[0]) * (point[1] - begin[1]) - (end[1] - begin[1]) * (point[0] - begin[0])


def polygon_area(points: list[Point]) -> Fraction:
    pairs = zip(points, points[1:] + points[:1], strict=True)
    return sum((p[0] * q[1] - p[1] * q[0] for p, q in pairs), Fraction(0)) / 2


def clipped(points: list[Point], begin: Point, end: Point) -> list[Point]:
    """What of a convex polygon lies inside of an edge (Sutherland, Hodgman)."""
    kept = []
    for before, here in zip(points[-1:] + points[:-1], points, strict=True):
        side1, side2 = side_of(before, begin, end), side_of(here, begin, end)
        if (side1 < 0) != (side2 < 0):
            share = side1 / (side1 - side2)
            kept.append(
                (
                    before[0] + share * (here[0] - before[0]),
                    before[1] + share * (here[1] - before[1]),
                )
            )
        if side2 >= 0:
            kept.append(here)
    return kept


def exact_score(box1: Array, box2: Array, fmt: str = "cxcywhr", metric: str = "iou") -> float:
    """A score without rounding but that of cosines and sines."""
    points1, points2 = corners(box1, fmt), corners(box2, fmt)
    area1, area2 = polygon_area(points1), polygon_area(points2)
    points = points1 if area1 and area2 else []
    for begin, end in zip(points2, points2[1:] + points2[:1], strict=True):
        points = clipped(points, begin, end)
    shared = polygon_area(points)
    divisors = {
        "iou": area1 + area2 - shared,
        "iof": area1,
        "ios": min(area1, area2),
        "dice": (area1 + area2) / 2,
        "intersection": Fraction(1),
    }
    return float(shared / divisors[metric]) if divisors[metric] else 0.0


def exact_scores(a: Array, b: Array, fmt: str = "cxcywhr", metric: str = "iou") -> Array:
    """Those of aligned boxes."""
    pairs = zip(a, b, strict=True)
    return np.array([exact_score(one, other, fmt, metric) for one, other in pairs])


def moved(a: Array, across: Any, down: Any) -> Array:
    """Boxes moved along their own sides, by so many of them."""
    b = a.copy()
    angles = np.radians(-a[:, 4].astype(np.float64))
    u, v = across * a[:, 2], down * a[:, 3]
    b[:, 0] = a[:, 0] + u * np.cos(angles) - v * np.sin(angles)
    b[:, 1] = a[:, 1] + u * np.sin(angles) + v * np.cos(angles)
    return b


def swapped(a: Array, turn: Any) -> Array:
    b = a[:, [0, 1, 3, 2, 4]]
    b[:, 4] += turn
    return b
