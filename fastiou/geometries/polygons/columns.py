"""Polygons made ready for kernels: edges in order, how they turn, and whether any touch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.geometries.polygons.overlap import (
    BLOCK,
    EDGES,
    FIRST,
    FLOATS,
    LEAST_AREA,
    LEFT_Y,
    LINE,
    MOST,
    SECOND,
    SLOPE,
)
from fastiou.metrics import larger, product, smaller
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import stack_array
from fastiou.typing import Array

__all__ = ["COLUMNS", "EVEN_ODD", "PACK", "SORT", "TOUCHING", "UNION"]

#: What the rings of a polygon are: parts by the even-odd rule, or parts of a union.
EVEN_ODD, UNION = range(2)

#: What is found of a polygon: it has a NaN, or edges that may touch others than their neighbours.
MISSING, TOUCHING = 1, 2

#: Numbers of a sorted edge: x and y of the left end and of the right one, sign, number of the point
#: that it goes out from, and of the point that it goes to.
COLUMNS = 7

#: By how much of its two products the sign of a turn may be wrong (Shewchuk, 1997).
UNSURE = 3.3306690738754716e-16

#: Edges up to which all are looked at by x for whether they touch, and edges of a run else.
FEW = 100
RUN = 16

#: Slopes are held to so much. It times the largest coordinate is finite.
STEEPEST = 2.0**500

#: An edge that is beside every other one.
NOWHERE = 1e200


# ---- edges in order ----------------------------------------------------------------------------


@register_jitable
def turn(x1: Any, y1: Any, x2: Any, y2: Any, x3: Any, y3: Any) -> int:
    """1 where a way along three points surely turns from x towards y, -1 the other way, else 0."""
    a = product(x2 - x1, y3 - y1)
    b = product(y2 - y1, x3 - x1)
    unsure = product(UNSURE, abs(a) + abs(b))
    if a - b > unsure:
        return 1
    return -1 if b - a > unsure else 0


@register_jitable
def are_beside(x1: Any, y1: Any, x2: Any, y2: Any, x3: Any, y3: Any, x4: Any, y4: Any) -> bool:
    """Whether two points, 3 and 4, surely lie on one side of the line through 1 and 2."""
    a3, b3 = product(x2 - x1, y3 - y1), product(y2 - y1, x3 - x1)
    a4, b4 = product(x2 - x1, y4 - y1), product(y2 - y1, x4 - x1)
    unsure3, unsure4 = product(UNSURE, abs(a3) + abs(b3)), product(UNSURE, abs(a4) + abs(b4))
    side3, side4 = a3 - b3, a4 - b4
    above = (side3 > unsure3) & (side4 > unsure4)
    return above | ((side3 < -unsure3) & (side4 < -unsure4))


@register_jitable
def comes_before(edge: Array, x: float, y: float, right: float, right_y: float) -> bool:
    """Whether a sorted edge comes before one with these ends."""
    if edge[0] != x:
        return edge[0] < x
    if edge[1] != y:
        return edge[1] < y
    if edge[2] != right:
        return edge[2] < right
    return edge[3] < right_y


@register_jitable
def sort_edges(edges: Array, first: int, last: int, gap: int) -> None:
    """Sort some edges, (n, COLUMNS) float64, by their left ends and then by their right ends.

    Those that are so far apart are sorted first, then those a third as far, and so on.
    """
    while gap:
        for i in range(first + gap, last):
            x, y, right, right_y = edges[i, 0], edges[i, 1], edges[i, 2], edges[i, 3]
            if not comes_before(edges[i - gap], x, y, right, right_y):
                sign, begin, end = edges[i, 4], edges[i, 5], edges[i, 6]
                j = i
                while j >= first + gap and not comes_before(edges[j - gap], x, y, right, right_y):
                    for k in range(COLUMNS):
                        edges[j, k] = edges[j - gap, k]
                    j -= gap
                edges[j, 0], edges[j, 1], edges[j, 2], edges[j, 3] = x, y, right, right_y
                edges[j, 4], edges[j, 5], edges[j, 6] = sign, begin, end
        gap //= 3


@register_jitable
def place_among(numbers: Array, count: int, i: int) -> int:
    """Which place number `i` of some has in their order; of equal ones the first comes first.

    To compare it with all takes vectors, and no guess of a branch: half the time of sorting 24.
    """
    number = numbers[i]
    place = np.int64(0)
    for j in range(np.uint64(i)):
        place += np.int64(numbers[j] <= number)
    for j in range(np.uint64(i + 1), np.uint64(count)):
        place += np.int64(numbers[j] < number)
    return place


@register_jitable
def two_may_touch(edges: Array, i: int, j: int) -> bool:
    """Whether two edges may touch that are no neighbours of one ring."""
    x1, y1, x2, y2 = edges[i, 0], edges[i, 1], edges[i, 2], edges[i, 3]
    x3, y3, x4, y4 = edges[j, 0], edges[j, 1], edges[j, 2], edges[j, 3]
    # Without branches, which could not be guessed.
    beside = (x3 > x2) | (x1 > x4)
    beside |= (smaller(y3, y4) > larger(y1, y2)) | (larger(y3, y4) < smaller(y1, y2))
    if beside | (edges[i, 6] == edges[j, 5]) | (edges[j, 6] == edges[i, 5]):
        return False
    apart = are_beside(x1, y1, x2, y2, x3, y3, x4, y4) | are_beside(x3, y3, x4, y4, x1, y1, x2, y2)
    return not apart


@register_jitable
def few_may_touch(edges: Array, first: int, last: int) -> bool:
    """Whether any two of some sorted edges may touch (see `two_may_touch`)."""
    for i in range(first, last):
        for j in range(i + 1, last):
            if edges[j, 0] > edges[i, 2]:
                break
            if two_may_touch(edges, i, j):
                return True
    return False


@register_jitable
def many_may_touch(edges: Array, first: int, last: int) -> bool:
    """The same of edges in the order of their rings.

    By the bounds of runs of them: along a ring they lie close together. Sorted by x, 50,000 edges
    of a star took 6 s, since a quarter of all edges lay beside each.
    """
    runs = (last - first + RUN - 1) // RUN
    bounds = np.empty((runs, 4))
    for run in range(runs):
        begin = first + run * RUN
        left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
        for i in range(begin, min(begin + RUN, last)):
            left, right = smaller(left, edges[i, 0]), larger(right, edges[i, 2])
            top = smaller(top, smaller(edges[i, 1], edges[i, 3]))
            bottom = larger(bottom, larger(edges[i, 1], edges[i, 3]))
        bounds[run, 0], bounds[run, 1], bounds[run, 2], bounds[run, 3] = left, top, right, bottom
    for run in range(runs):
        left, top, right, bottom = bounds[run, 0], bounds[run, 1], bounds[run, 2], bounds[run, 3]
        begin = first + run * RUN
        end = min(begin + RUN, last)
        for other in range(run, runs):
            beside = bounds[other, 0] > right or bounds[other, 2] < left
            if beside or bounds[other, 1] > bottom or bounds[other, 3] < top:
                continue
            start = first + other * RUN
            for i in range(begin, end):
                for j in range(max(start, i + 1), min(start + RUN, last)):
                    if two_may_touch(edges, i, j):
                        return True
    return False


# ---- rings -------------------------------------------------------------------------------------


@register_jitable
def turns_back(points: Array, first: int, last: int) -> bool:
    """Whether the area of a ring is negative: from x towards y is positive."""
    twice = 0.0
    x0, y0 = points[first, 0], points[first, 1]
    for k in range(first + 1, last - 1):
        x1, y1 = points[k, 0] - x0, points[k, 1] - y0
        x2, y2 = points[k + 1, 0] - x0, points[k + 1, 1] - y0
        twice += product(x1, y2) - product(x2, y1)
    return twice < 0.0


@register_jitable
def is_within(points: Array, first: int, last: int, x: float, y: float) -> int:
    """1 if a point surely lies within a ring by the even-odd rule, 0 if not, -1 if none is sure."""
    odd = np.int64(0)
    for k in range(first, last):
        x1, y1 = points[k, 0], points[k, 1]
        following = k + 1 if k + 1 < last else first
        x2, y2 = points[following, 0], points[following, 1]
        if (x1 <= x) != (x2 <= x):
            side = turn(x1, y1, x2, y2, x, y)
            if side == 0:
                return -1
            odd ^= np.int64((side > 0) == (x1 < x2))
    return odd


@register_jitable
def bounds_of_rings(points: Array, rings: Array, begin: int, end: int) -> Array:
    """Left, top, right and bottom of each ring of a polygon, (4, n)."""
    bounds = np.empty((4, end - begin))
    for ring in range(begin, end):
        left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
        for k in range(rings[ring], rings[ring + 1]):
            left, right = smaller(left, points[k, 0]), larger(right, points[k, 0])
            top, bottom = smaller(top, points[k, 1]), larger(bottom, points[k, 1])
        own = ring - begin
        bounds[0, own], bounds[1, own], bounds[2, own], bounds[3, own] = left, top, right, bottom
    return bounds


@register_jitable
def sign_of_ring(
    points: Array, rings: Array, begin: int, end: int, ring: int, rule: int, bounds: Array
) -> float:
    """What the edges of a ring that go right count, 0 for nothing; it touches no other one.

    NaN where that is not sure. `begin` and `end` are the rings of its polygon, and `bounds` those
    of these. A point outside of them is not within a ring: of 10,000 rings beside each other all
    took 5 s, with every edge looked at.
    """
    sign = 1.0 if turns_back(points, rings[ring], rings[ring + 1]) else -1.0
    x, y = points[rings[ring], 0], points[rings[ring], 1]
    for other in range(begin, end):
        own = np.uint64(other - begin)
        outside = (x < bounds[0, own]) | (x > bounds[2, own])
        if outside | (y < bounds[1, own]) | (y > bounds[3, own]) | (other == ring):
            continue
        within = is_within(points, rings[other], rings[other + 1], x, y)
        if within < 0:
            return np.nan
        if within == 1:
            if rule == UNION:
                return 0.0
            sign = -sign
    return sign


@register_jitable
def sort_polygon(
    points: Array, rings: Array, begin: int, end: int, rule: int, bounds: Array, edges: Array
) -> tuple[int, int]:
    """Sort the edges of a polygon with the rings from `begin` to `end`.

    Parameters
    ----------
    points : array of float64, shape (P, 2)
        The corners of all rings in a row, of which none is equal to the one before.
    rings : array of int64, shape (R + 1,)
        Where those of each ring begin.
    begin, end
        The rings of the polygon.
    rule
        What several rings are.
    bounds : array of float64, shape (4,)
        Gets left, top, right and bottom.
    edges : array of float64, shape (P, COLUMNS)
        Gets the edges, from where the points of the polygon begin on.

    Returns
    -------
    tuple
        How many edges there are, without vertical ones, and what was found, 0 for nothing.
    """
    first, last = rings[begin], rings[end]
    bounds[:] = 0.0
    if first == last:
        return 0, 0
    left = right = points[first, 0]
    top = bottom = points[first, 1]
    strange = 0.0
    for k in range(first, last):
        x, y = points[k, 0], points[k, 1]
        strange += 0.0 * x + 0.0 * y
        left, right = smaller(left, x), larger(right, x)
        top, bottom = smaller(top, y), larger(bottom, y)
    if strange != strange:
        return 0, MISSING
    bounds[0], bounds[1], bounds[2], bounds[3] = left, top, right, bottom
    few = last - first <= FEW
    lefts = stack_array(FLOATS, FEW)
    if few:
        for ring in range(begin, end):
            before = rings[ring + 1] - 1
            for k in range(rings[ring], rings[ring + 1]):
                lefts[before - first] = smaller(points[before, 0], points[k, 0])
                before = k
    for ring in range(begin, end):
        for k in range(rings[ring], rings[ring + 1]):
            following = k + 1 if k + 1 < rings[ring + 1] else rings[ring]
            x1, y1 = points[k, 0], points[k, 1]
            x2, y2 = points[following, 0], points[following, 1]
            goes_right = x1 < x2 or (x1 == x2 and y1 < y2)
            row = first + place_among(lefts, last - first, k - first) if few else k
            edges[row, 0], edges[row, 1] = (x1 if goes_right else x2), (y1 if goes_right else y2)
            edges[row, 2], edges[row, 3] = (x2 if goes_right else x1), (y2 if goes_right else y1)
            edges[row, 4] = 1.0 if goes_right else -1.0
            edges[row, 5], edges[row, 6] = np.float64(k), np.float64(following)
    if few:
        sort_edges(edges, first, last, 1)  # of edges with one left end
        if few_may_touch(edges, first, last):
            return 0, TOUCHING
    else:
        if many_may_touch(edges, first, last):
            return 0, TOUCHING
        gap = np.int64(1)
        while gap < (last - first) // 3:
            gap = 3 * gap + 1
        sort_edges(edges, first, last, gap)
    of_rings = bounds_of_rings(points, rings, begin, end)
    signs = np.empty(last - first)
    for ring in range(begin, end):
        sign = sign_of_ring(points, rings, begin, end, ring, rule, of_rings)
        if sign != sign:
            return 0, TOUCHING
        signs[rings[ring] - first : rings[ring + 1] - first] = sign
    kept = first
    for k in range(first, last):
        edges[k, 4] *= signs[np.int64(edges[k, 5]) - first]
        if edges[k, 0] < edges[k, 2] and edges[k, 4] != 0.0:
            for column in range(COLUMNS):
                edges[kept, column] = edges[k, column]
            kept += 1
    return kept - first, 0


def _sort(
    points: Array,
    rings: Array,
    firsts: Array,
    rule: int,
    bounds: Array,
    edges: Array,
    counts: Array,
    found: Array,
) -> None:
    """Sort the edges of polygons (see `sort_polygon`).

    Polygon p has the rings from `firsts[p]` to `firsts[p + 1]`, and gets `bounds[p]`, (n, 4)
    float64, and how many edges there are and what was found, both (n,) int64.
    """
    for p in prange(len(counts)):
        count, what = sort_polygon(points, rings, firsts[p], firsts[p + 1], rule, bounds[p], edges)
        counts[p] = count
        found[p] = what


SORT = Kernel(_sort, "sort-polygons")


# ---- blocks of edges ---------------------------------------------------------------------------


@register_jitable
def pack_polygon(edges: Array, first: int, count: int, top: float, blocks: Array, at: int) -> float:
    """Pack sorted edges into blocks, from number `at` on, and return the area.

    Parameters
    ----------
    edges : array of float64, shape (E, COLUMNS)
        Sorted edges of many polygons.
    first, count
        Which are those of this one.
    top
        Its least y.
    blocks : array of float64, shape (lines * LINE,)
        Gets what `overlap.load_polygon` reads.
    at
        Where, in numbers.
    """
    area = 0.0
    number = (count + EDGES - 1) // EDGES
    most = at + number * BLOCK
    for block in range(number):
        most_x, most_y = -np.inf, -np.inf
        for lane in range(EDGES):
            one, other, y, slope = NOWHERE, NOWHERE, 0.0, 0.0
            if block * EDGES + lane < count:
                i = first + block * EDGES + lane
                x, y, right, right_y = edges[i, 0], edges[i, 1], edges[i, 2], edges[i, 3]
                sign = edges[i, 4]
                slope = smaller(larger((right_y - y) / (right - x), -STEEPEST), STEEPEST)
                area += product(sign, product((y - top) + (right_y - top), right - x))
                most_x, most_y = larger(most_x, right), larger(most_y, larger(y, right_y))
                one, other = (x if sign > 0.0 else right), (right if sign > 0.0 else x)
            place = at + block * BLOCK + lane
            blocks[place + FIRST], blocks[place + SECOND] = one, other
            blocks[place + LEFT_Y], blocks[place + SLOPE] = y, slope
        blocks[most + block * MOST], blocks[most + block * MOST + 1] = most_x, most_y
    # To the end of the line, since sets are compared and pickled by all their numbers.
    end = most + (number * MOST + LINE - 1) // LINE * LINE
    for place in range(most + number * MOST, end):
        blocks[place] = 0.0
    return 0.5 * area


def _pack(
    edges: Array,
    starts: Array,
    counts: Array,
    bounds: Array,
    places: Array,
    blocks: Array,
    areas: Array,
) -> None:
    """Pack the edges of polygons (see `pack_polygon`).

    Those of polygon p are `counts[p]` from `starts[p]` on, and go to the lines from `places[p]`
    on. One without an area is left with no edges, and an area of 0.
    """
    for p in prange(len(counts)):
        area = pack_polygon(edges, starts[p], counts[p], bounds[p, 1], blocks, places[p] * LINE)
        has_area = area > LEAST_AREA
        areas[p] = area if has_area else 0.0
        counts[p] = counts[p] if has_area else 0


PACK = Kernel(_pack, "pack-polygons")
