"""Polygons whose edges cross or touch: the outline of what lies inside, decided without rounding.

Few polygons are such, and all else of polygons hangs on no decision that rounding could turn round.
So this is plain Python. What floats cannot tell for sure is told by rational numbers.

The plane is cut where a corner or a crossing is. Between two cuts no edges cross, and each has a
place from top to bottom. There the rule tells whether one goes inside or outside by passing it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from fastiou.geometries.polygons.columns import COLUMNS, UNION
from fastiou.typing import Array

__all__ = ["outline"]

#: What part of the numbers that it is made of a height may be wrong by: 2⁻⁴⁵, some 100 roundings.
UNSURE = 2.0**-45

#: A number of a polygon, or where edges cross.
Number = float | Fraction


class _Edge(NamedTuple):
    """An edge that is not vertical, from its left end to its right end."""

    x1: float
    y1: float
    x2: float
    y2: float
    ring: int
    slope: float
    #: By how much `near` may be wrong.
    unsure: float

    def near(self, x: float) -> float:
        """What its y is at an x, but for rounding."""
        return self.y1 + (x - self.x1) * self.slope

    def at(self, x: Number) -> Fraction:
        """What its y is at an x."""
        x1, y1 = Fraction(self.x1), Fraction(self.y1)
        return y1 + (Fraction(x) - x1) * (Fraction(self.y2) - y1) / (Fraction(self.x2) - x1)


def _edge(x1: float, y1: float, x2: float, y2: float, ring: int) -> _Edge:
    if x1 > x2:
        x1, y1, x2, y2 = x2, y2, x1, y1
    slope = (y2 - y1) / (x2 - x1)
    unsure = UNSURE * (abs(y1) + abs(y2) + abs(slope) * (abs(x1) + abs(x2)))
    return _Edge(x1, y1, x2, y2, ring, slope, unsure)


def outline(rings: Sequence[Array], rule: int) -> Array:
    """The edges around what a polygon covers, sorted, (E, COLUMNS) float64 as `SORT` makes them.

    Parameters
    ----------
    rings : sequence of arrays of float64, shape (k, 2)
        The rings, closed by themselves.
    rule
        What several rings are. Of each ring by itself the even-odd rule tells the inside.
    """
    edges: list[_Edge] = []
    cuts: set[Number] = set()
    for number, ring in enumerate(rings):
        points = ring.tolist()
        cuts.update(x for x, _ in points)
        for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
            if x1 != x2:
                edges.append(_edge(x1, y1, x2, y2, number))
    edges.sort()
    cuts.update(_crossings(edges))
    pieces = _pieces(edges, sorted(cuts), len(rings), rule)
    result = np.zeros((len(pieces), COLUMNS))
    for row, (edge, begin, end, sign) in zip(result, pieces, strict=True):
        row[:5] = float(begin), float(edge.at(begin)), float(end), float(edge.at(end)), sign
    result = result[result[:, 0] < result[:, 2]]  # a short one may be rounded to nothing
    order = np.lexsort(result[:, 3::-1].T)
    return result[order]


def _crossings(edges: list[_Edge]) -> set[Number]:
    """Each x where two of some edges, in order, cross."""
    found: set[Number] = set()
    active: list[_Edge] = []
    for edge in edges:
        active = [other for other in active if other.x2 > edge.x1]
        low, high = min(edge.y1, edge.y2), max(edge.y1, edge.y2)
        for other in active:
            if max(other.y1, other.y2) < low or min(other.y1, other.y2) > high:
                continue
            begin, end = edge.x1, min(edge.x2, other.x2)
            unsure = edge.unsure + other.unsure
            near1, near2 = (edge.near(x) - other.near(x) for x in (begin, end))
            if min(near1, near2) > unsure or max(near1, near2) < -unsure:
                continue
            apart1, apart2 = (edge.at(x) - other.at(x) for x in (begin, end))
            if apart1 * apart2 < 0:
                found.add(begin + (Fraction(end) - Fraction(begin)) * apart1 / (apart1 - apart2))
        active.append(edge)
    return found


def _in_order(edges: list[_Edge], begin: Number, end: Number) -> list[list[_Edge]]:
    """Edges that pass a strip, from top to bottom; those that coincide in one list."""
    x = float(begin) / 2 + float(end) / 2
    near = sorted((edge.near(x), edge.unsure, edge) for edge in edges)
    if all(two[0] - one[0] > one[1] + two[1] for one, two in itertools.pairwise(near)):
        return [[edge] for _, _, edge in near]
    middle = (Fraction(begin) + Fraction(end)) / 2
    places = sorted((edge.at(middle), edge) for edge in edges)
    return [
        [edge for _, edge in group]
        for _, group in itertools.groupby(places, key=lambda place: place[0])
    ]


def _pieces(
    edges: list[_Edge], cuts: list[Number], rings: int, rule: int
) -> list[tuple[_Edge, Number, Number, float]]:
    """Parts of edges where the inside begins or ends, each with its x, and its sign."""
    done: list[tuple[_Edge, Number, Number, float]] = []
    going: dict[_Edge, tuple[Number, float]] = {}
    active: list[_Edge] = []
    coming = 0
    for begin, end in itertools.pairwise(cuts):
        while coming < len(edges) and edges[coming].x1 <= begin:
            active.append(edges[coming])
            coming += 1
        active = [edge for edge in active if edge.x2 > begin]
        odd = [False] * rings
        signs: dict[_Edge, float] = {}
        for together in _in_order(active, begin, end):
            inside = _is_inside(odd, rule)
            for edge in together:
                odd[edge.ring] ^= True
            if _is_inside(odd, rule) != inside:
                signs[together[0]] = 1.0 if inside else -1.0
        # A piece goes on as long as its sign does.
        for edge, (since, sign) in list(going.items()):
            if signs.get(edge) != sign:
                done.append((edge, since, begin, sign))
                del going[edge]
        for edge, sign in signs.items():
            going.setdefault(edge, (begin, sign))
    return done + [(edge, since, cuts[-1], sign) for edge, (since, sign) in going.items()]


def _is_inside(odd: list[bool], rule: int) -> bool:
    return any(odd) if rule == UNION else sum(odd) % 2 == 1
