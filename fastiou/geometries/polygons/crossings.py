"""Polygons whose edges cross or touch: the outline of what lies inside, by exact arithmetic.

Few polygons are such, and all else of polygons hangs on no decision that rounding could turn round.
So this is plain Python over rational numbers. Every corner is a number that a float is exactly.

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


class _Edge(NamedTuple):
    """An edge that is not vertical, from its left end to its right end."""

    x1: Fraction
    y1: Fraction
    x2: Fraction
    y2: Fraction
    ring: int

    def at(self, x: Fraction) -> Fraction:
        """What its y is at an x."""
        return self.y1 + (x - self.x1) * (self.y2 - self.y1) / (self.x2 - self.x1)


def outline(rings: Sequence[Array], rule: int) -> Array:
    """The edges around what a polygon covers, sorted, (E, COLUMNS) float64 as `SORT` makes them.

    Parameters
    ----------
    rings : sequence of arrays of float64, shape (k, 2)
        The rings, closed by themselves.
    rule
        What several rings are. Of each ring by itself the even-odd rule tells the inside.
    """
    edges, cuts = [], set()
    for number, ring in enumerate(rings):
        points = [(Fraction(x), Fraction(y)) for x, y in ring.tolist()]
        for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
            cuts.add(x1)
            if x1 != x2:
                ends = (x1, y1, x2, y2) if x1 < x2 else (x2, y2, x1, y1)
                edges.append(_Edge(*ends, number))
    edges.sort()
    cuts.update(_crossings(edges))
    pieces = _pieces(edges, sorted(cuts), len(rings), rule)
    result = np.zeros((len(pieces), COLUMNS))
    for row, (edge, begin, end, sign) in zip(result, pieces, strict=True):
        row[:5] = float(begin), float(edge.at(begin)), float(end), float(edge.at(end)), sign
    result = result[result[:, 0] < result[:, 2]]  # a short one may be rounded to nothing
    order = np.lexsort(result[:, 3::-1].T)
    return result[order]


def _crossings(edges: list[_Edge]) -> set[Fraction]:
    """Each x where two of some edges, in order, cross."""
    found = set()
    active: list[_Edge] = []
    for edge in edges:
        active = [other for other in active if other.x2 > edge.x1]
        low, high = sorted((edge.y1, edge.y2))
        for other in active:
            if max(other.y1, other.y2) < low or min(other.y1, other.y2) > high:
                continue
            begin, end = edge.x1, min(edge.x2, other.x2)
            apart1 = edge.at(begin) - other.at(begin)
            apart2 = edge.at(end) - other.at(end)
            if apart1 * apart2 < 0:
                found.add(begin + (end - begin) * apart1 / (apart1 - apart2))
        active.append(edge)
    return found


def _pieces(
    edges: list[_Edge], cuts: list[Fraction], rings: int, rule: int
) -> list[tuple[_Edge, Fraction, Fraction, float]]:
    """Parts of edges where the inside begins or ends, each with its x, and its sign."""
    done = []
    open_pieces: dict[int, tuple[Fraction, float]] = {}
    active: list[int] = []
    coming = 0
    for begin, end in itertools.pairwise(cuts):
        while coming < len(edges) and edges[coming].x1 <= begin:
            active.append(coming)
            coming += 1
        active = [number for number in active if edges[number].x2 > begin]
        middle = (begin + end) / 2
        places = sorted((edges[number].at(middle), number) for number in active)
        odd = [False] * rings
        signs: dict[int, float] = {}
        k = 0
        while k < len(places):
            y, number = places[k]
            inside = _is_inside(odd, rule)
            while k < len(places) and places[k][0] == y:  # those that coincide, at once
                odd[edges[places[k][1]].ring] ^= True
                k += 1
            if _is_inside(odd, rule) != inside:
                signs[number] = 1.0 if inside else -1.0
        # A piece goes on as long as its sign does.
        for number, (since, sign) in list(open_pieces.items()):
            if signs.get(number) != sign:
                done.append((edges[number], since, begin, sign))
                del open_pieces[number]
        for number, sign in signs.items():
            open_pieces.setdefault(number, (begin, sign))
    done += [
        (edges[number], since, cuts[-1], sign) for number, (since, sign) in open_pieces.items()
    ]
    return done


def _is_inside(odd: list[bool], rule: int) -> bool:
    return any(odd) if rule == UNION else sum(odd) % 2 == 1
