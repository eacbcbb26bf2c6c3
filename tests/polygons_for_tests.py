"""Polygons for tests: random ones, odd ones, and what two share without any rounding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Rings (k, 2) of one polygon.
Rings = Sequence[Array]


# ---- exact areas -------------------------------------------------------------------------------


def exact_areas(one: Rings, other: Rings) -> tuple[Fraction, Fraction, Fraction]:
    """The area that two polygons share and their own, by the even-odd rule, in rational numbers.

    By strips between corners and crossings, in each of which no edges cross.
    """
    edges, cuts = [], set()
    for owner, rings in enumerate((one, other)):
        for ring in rings:
            points = [tuple(map(Fraction, point)) for point in np.asarray(ring, float).tolist()]
            for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
                cuts.add(x1)
                if x1 != x2:
                    ends = (x1, y1, x2, y2) if x1 < x2 else (x2, y2, x1, y1)
                    edges.append((*ends, (ends[3] - ends[1]) / (ends[2] - ends[0]), owner))
    edges.sort()
    for i, (x1, y1, x2, y2, slope1, _) in enumerate(edges):
        low, high = min(y1, y2), max(y1, y2)
        for x3, y3, x4, y4, slope2, _ in edges[i + 1 :]:
            if x3 >= x2:
                break
            if slope1 != slope2 and max(y3, y4) >= low and min(y3, y4) <= high:
                x = (y3 - y1 + slope1 * x1 - slope2 * x3) / (slope1 - slope2)
                if x3 < x < min(x2, x4):
                    cuts.add(x)
    areas = [Fraction(0)] * 3
    order = sorted(cuts)
    for begin, end in itertools.pairwise(order):
        x = (begin + end) / 2
        places = sorted(
            (y1 + (x - x1) * slope, owner) for x1, y1, x2, _, slope, owner in edges if x1 < x < x2
        )
        inside, before = [False, False], Fraction(0)
        for y, owner in places:
            gap = (y - before) * (end - begin)
            for part, counts in enumerate((inside[0] and inside[1], *inside)):
                areas[part] += gap if counts else 0
            inside[owner] ^= True
            before = y
    return areas[0], areas[1], areas[2]


def exact_iou(one: Rings, other: Rings) -> float:
    shared, area1, area2 = exact_areas(one, other)
    union = area1 + area2 - shared
    return float(shared / union) if area1 and area2 else 0.0


# ---- polygons of many kinds --------------------------------------------------------------------


def star(rng: np.random.Generator, corners: int, centre: Any = (0, 0), radius: float = 1) -> Array:
    """A polygon around a point, mostly concave, whose edges never cross; (corners, 2)."""
    angles = (np.arange(corners) + 0.95 * rng.random(corners)) * 2 * np.pi / max(corners, 3)
    reach = radius * rng.uniform(0.3, 1, (corners, 1))
    ways = np.stack([np.cos(angles), np.sin(angles)], -1)
    points = np.asarray(centre) + reach * ways
    return points[::-1] if rng.random() < 0.5 else points


def usual(rng: np.random.Generator) -> tuple[Rings, Rings]:
    """Two of 3 to 40 corners that overlap in most cases."""
    shift = rng.normal(0, 0.5, 2)
    corners = rng.integers(3, 41, 2)
    return [star(rng, int(corners[0]))], [star(rng, int(corners[1]), shift)]


def many_corners(rng: np.random.Generator) -> tuple[Rings, Rings]:
    return [star(rng, 100)], [star(rng, 100, rng.normal(0, 0.3, 2))]


def crossing(rng: np.random.Generator) -> tuple[Rings, Rings]:
    """Corners anywhere: most edges cross."""
    one, other = ([rng.random((int(rng.integers(3, 9)), 2))] for _ in range(2))
    return one, other


def on_a_grid(rng: np.random.Generator) -> tuple[Rings, Rings]:
    """Whole numbers: shared edges, corners that coincide, or lie on edges; rings that overlap."""
    one, other = (
        [
            rng.integers(0, 6, (int(rng.integers(3, 8)), 2)).astype(float)
            for _ in range(rng.integers(1, 3))
        ]
        for _ in range(2)
    )
    return one, other


def with_holes(rng: np.random.Generator) -> tuple[Rings, Rings]:
    """A ring with a hole, and an island in it, against another with a part beside it."""
    one = [star(rng, 20, radius=r) for r in (3, 0.8, 0.2)]
    other = [star(rng, 12, rng.normal(0, 0.6, 2)), star(rng, 6, (5, 5))]
    return one, other


def same_edges(rng: np.random.Generator) -> tuple[Rings, Rings]:
    """One, and the same with a corner moved, left out, or doubled."""
    one = star(rng, int(rng.integers(4, 30)))
    place = int(rng.integers(len(one)))
    moved = one.copy()
    moved[place] *= rng.uniform(0.2, 1)
    others = [moved, np.delete(one, place, axis=0), np.insert(one, place, one[place], axis=0)]
    return [one], [np.roll(others[int(rng.integers(3))], int(rng.integers(9)), axis=0)]


def within(rng: np.random.Generator) -> tuple[Rings, Rings]:
    one = star(rng, int(rng.integers(3, 30)))
    return [one], [one * rng.uniform(0.01, 0.99)]


def touching(rng: np.random.Generator) -> tuple[Rings, Rings]:
    """A polygon and its image beyond one of its edges, or one that meets it in a corner."""
    one = star(rng, int(rng.integers(3, 20)))
    if rng.random() < 0.5:
        return [one], [one[0] + one[0] - one]
    return [one], [one[0] + one[1] - one]


def slivers(rng: np.random.Generator) -> tuple[Rings, Rings]:
    """A thousand times as long as wide, at about one angle."""
    angle = rng.uniform(0, np.pi)
    found = []
    for turn in (0, rng.normal(0, 1e-3)):
        cosine, sine = np.cos(angle + turn), np.sin(angle + turn)
        flat = star(rng, int(rng.integers(3, 12))) * (1, 1e-3)
        found.append([flat @ np.array([[cosine, sine], [-sine, cosine]])])
    return found[0], found[1]


def tiny(rng: np.random.Generator) -> tuple[Rings, Rings]:
    one, other = usual(rng)
    return [ring * 1e-7 for ring in one], [ring * 1e-7 for ring in other]


def far_away(rng: np.random.Generator) -> tuple[Rings, Rings]:
    one, other = usual(rng)
    return [ring + 1e6 for ring in one], [ring + 1e6 for ring in other]


def buildings(rng: np.random.Generator) -> tuple[Rings, Rings]:
    """Upright outlines of whole numbers, as footprints are: half of all edges are vertical."""
    found = []
    for _ in range(2):
        heights = rng.integers(1, 9, int(rng.integers(1, 6)))
        x = np.arange(len(heights) + 1)
        top = np.column_stack([np.repeat(x, 2)[1:-1], np.repeat(heights, 2)])
        points = np.concatenate([[[0, 0]], top, [[x[-1], 0]]]).astype(float)
        found.append([points + rng.integers(0, 4, 2)])
    return found[0], found[1]


#: How pairs are made that a method may get wrong.
ADVERSARIAL: dict[str, Callable[[np.random.Generator], tuple[Rings, Rings]]] = {
    made.__name__: made
    for made in (
        crossing, on_a_grid, with_holes, same_edges, within, touching, slivers, tiny, far_away,
        buildings,
    )
}  # fmt: skip
