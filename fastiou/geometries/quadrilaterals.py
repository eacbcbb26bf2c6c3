"""Quadrilaterals of any shape: how they are read and prepared, and the area that two of them share.

Under each edge lies an area down to one level, positive where x grows along the edge, and negative
where it falls. Of one quadrilateral the four sum up to its own area. So the area that two share is
the sum of what each edge of one and each edge of the other have below both, with the product of
both signs: sixteen integrals of the lower of two lines over the x that they have in common. No
corner is tested for lying inside, no crossing is sorted, and nothing asks whether a corner is
convex.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.arrays.checks import refuse_infinite
from fastiou.arrays.inputs import Input
from fastiou.geometries.box_columns import limits
from fastiou.geometries.boxes import (
    EXACT_SPAN,
    block_steps,
    empty_columns,
    exact_floats,
    fill_within_limits,
    read_boxes,
)
from fastiou.geometries.quadrilateral_columns import (
    BLOCK,
    FILL,
    LANES,
    ROUNDING,
    ROWS,
    Quadrilateral,
    fill_some,
    load_quadrilateral,
    turns_of,
)
from fastiou.geometries.table import FORMATS, Row
from fastiou.geometry import Columns, Geometry, InStep, Small
from fastiou.metrics import Metric, Need, larger, product, quotient, smaller
from fastiou.runtime import chunks, threads
from fastiou.runtime.kernel import named
from fastiou.runtime.vectors import always_inlined, prefer_widest_vectors, stack_array
from fastiou.typing import Array

__all__ = ["GEOMETRY", "shared_area"]

#: How long a candidate takes, in scores of plain boxes.
COST = 50

#: How many scores take as long as preparing one.
SCORES_PER_QUADRILATERAL = 16

FLOAT64 = np.dtype(np.float64)

#: What stands for a divisor of 0: the smallest normal number.
LEAST = 2.0**-1022

#: Rows of the geometries that quadrilaterals are converted from, and the second also to.
PLAIN, ROTATED = FORMATS["xyxy"], FORMATS["cxcywhr"]

# Numba needs the lengths of arrays on the stack as constants by themselves.
COORDINATES = 4 * LANES
MEASURES = 17 * LANES
TERMS = 4 * LANES


# ---- the area that two quadrilaterals share ----------------------------------------------------


@register_jitable
def below_both(
    ax: Any, ay: Any, bx: Any, by: Any, slope1: Any, cx: Any, cy: Any, dx: Any, dy: Any, slope2: Any
) -> Any:
    """Four times the area below two edges, from a to b and from c to d, with the sign of both.

    It has the same bits for (edge 1, edge 2) and (edge 2, edge 1).
    """
    begin = larger(smaller(ax, bx), smaller(cx, dx))
    end = smaller(larger(ax, bx), larger(cx, dx))
    # y of both edges where their common x begins and ends. Where they have one, no x is beyond the
    # end of an edge, so that a slope, however steep, rounds no more than the whole rise does.
    begin1, end1 = ay + (begin - ax) * slope1, ay + (end - ax) * slope1
    begin2, end2 = cy + (begin - cx) * slope2, cy + (end - cx) * slope2
    # Twice the lower of two numbers is their sum without how far they are apart, of which the mean
    # over x is this: of lines that cross, from two triangles.
    apart1, apart2 = begin1 - begin2, end1 - end2
    most = larger(abs(apart1) + abs(apart2), LEAST)
    crossed = quotient(product(apart1, apart1) + product(apart2, apart2), most)
    apart = most if apart1 * apart2 >= 0.0 else crossed
    area = product(((begin1 + end1) + (begin2 + end2)) - apart, end - begin)
    area = area if (ax < bx) == (cx < dx) else -area
    return area if begin < end else 0.0


@register_jitable
def shared_area(member1: Quadrilateral, member2: Quadrilateral) -> tuple[Any, Any, Any]:
    """What a ratio metric needs of two quadrilaterals: the area that both share, and both areas."""
    left1, top1, right1, bottom1, x1, x2, x3, x4, y1, y2, y3, y4, s1, s2, s3, s4, area1 = member1
    left2, top2, right2, bottom2, u1, u2, u3, u4, v1, v2, v3, v4, r1, r2, r3, r4, area2 = member2
    # Exactly 0 where the hulls are apart, which is all that a search looks at.
    if not ((left1 < right2) & (left2 < right1) & (top1 < bottom2) & (top2 < bottom1)):
        return 0.0, area1, area2
    same_x = (x1 == u1) & (x2 == u2) & (x3 == u3) & (x4 == u4)
    if same_x & (y1 == v1) & (y2 == v2) & (y3 == v3) & (y4 == v4):
        return area1, area1, area2
    # A level near what both may share, so that little is rounded.
    level = larger(top1, top2)
    y1, y2, y3, y4 = y1 - level, y2 - level, y3 - level, y4 - level
    v1, v2, v3, v4 = v1 - level, v2 - level, v3 - level, v4 - level
    # Each edge with the one of the same number, then with the next, and so on. With the sets
    # exchanged, the second round is the fourth: so a sum has the same bits, whichever comes first.
    last, total = 0.0, 0.0
    for _ in range(4):
        terms = (
            below_both(x1, y1, x2, y2, s1, u1, v1, u2, v2, r1)
            + below_both(x3, y3, x4, y4, s3, u3, v3, u4, v4, r3)
        ) + (
            below_both(x2, y2, x3, y3, s2, u2, v2, u3, v3, r2)
            + below_both(x4, y4, x1, y1, s4, u4, v4, u1, v1, r4)
        )
        last, total = total, last + terms
        u1, u2, u3, u4 = u2, u3, u4, u1
        v1, v2, v3, v4 = v2, v3, v4, v1
        r1, r2, r3, r4 = r2, r3, r4, r1
    return limited(last + total, area1, area2), area1, area2


@register_jitable
def limited(total: Any, area1: Any, area2: Any) -> Any:
    """The shared area of a sum of terms."""
    return smaller(larger(0.25 * total, 0.0), smaller(area1, area2))


# ---- sixteen pairs in step ---------------------------------------------------------------------


@register_jitable
def shared_in_step(first: Array, bounds: Array, data: Array, start: int, shared: Array) -> None:
    """Fill in the areas that `LANES` pairs share: the bits of `shared_area` in a third of the time.

    Parameters
    ----------
    first : array of float64, shape (17 * LANES,)
        The first of each pair: `LANES` of each number that `load_quadrilateral` loads.
    bounds, data, start
        The second ones are those from `start` on of these columns.
    shared : array of float64, shape (LANES,)
        The result.
    """
    prefer_widest_vectors()
    always_inlined()
    lanes = np.uint64(LANES)
    start = np.uint64(start)
    three = np.uint64(3)
    one = np.uint64(1)
    # Of the numbers of the first ones: x, y and slopes of four corners each.
    x = np.uint64(4) * lanes
    y = np.uint64(8) * lanes
    s = np.uint64(12) * lanes
    level = stack_array(shared, LANES)
    ys1 = stack_array(shared, COORDINATES)
    ys2 = stack_array(shared, COORDINATES)
    last = stack_array(shared, LANES)
    total = stack_array(shared, LANES)
    terms = stack_array(shared, TERMS)
    # What a loop writes is on the stack of this function, or the loop would become no vectors:
    # nothing would tell that it reads something else.
    result = stack_array(shared, LANES)
    for k in range(lanes):
        level[k] = larger(first[lanes + k], bounds[1, start + k])
        last[k] = total[k] = 0.0
    for e in range(np.uint64(4)):
        for k in range(lanes):
            ys1[e * lanes + k] = first[y + e * lanes + k] - level[k]
            ys2[e * lanes + k] = data[np.uint64(4) + e, start + k] - level[k]
    for step in range(np.uint64(4)):
        for e in range(np.uint64(4)):
            a, b = e * lanes, ((e + one) & three) * lanes
            f, g = (e + step) & three, (e + step + one) & three
            c, d = f * lanes, g * lanes
            for k in range(lanes):
                terms[a + k] = below_both(
                    first[x + a + k], ys1[a + k], first[x + b + k], ys1[b + k], first[s + a + k],
                    data[f, start + k], ys2[c + k], data[g, start + k], ys2[d + k],
                    data[np.uint64(8) + f, start + k],
                )  # fmt: skip
        for k in range(lanes):
            more = (terms[k] + terms[32 + k]) + (terms[16 + k] + terms[48 + k])
            last[k], total[k] = total[k], last[k] + more
    for k in range(lanes):
        i = start + k
        same_x = (first[64 + k] == data[0, i]) & (first[80 + k] == data[1, i])
        same_x = same_x & (first[96 + k] == data[2, i]) & (first[112 + k] == data[3, i])
        same_y = (first[128 + k] == data[4, i]) & (first[144 + k] == data[5, i])
        same_y = same_y & (first[160 + k] == data[6, i]) & (first[176 + k] == data[7, i])
        area = limited(last[k] + total[k], first[256 + k], data[12, i])
        area = first[256 + k] if same_x & same_y else area
        beside = (first[k] < bounds[2, i]) & (bounds[0, i] < first[32 + k])
        is_near = beside & (first[16 + k] < bounds[3, i]) & (bounds[1, i] < first[48 + k])
        result[k] = area if is_near else 0.0
    for k in range(lanes):
        shared[k] = result[k]


@functools.cache
def _in_step(metric: Metric) -> InStep:
    """Scores of `LANES` pairs at a time."""
    formula = metric.formula

    @register_jitable
    @named(metric.name)
    def score_one(
        member: Quadrilateral, bounds: Array, data: Array, start: int, scores: Array, place: int
    ) -> None:
        first = stack_array(data, MEASURES)
        shared = stack_array(data, LANES)
        numbers = np.uint64(LANES)
        (n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, n12, n13, n14, n15, area) = member
        for k in range(numbers):
            first[k], first[16 + k], first[32 + k], first[48 + k] = n0, n1, n2, n3
            first[64 + k], first[80 + k], first[96 + k], first[112 + k] = n4, n5, n6, n7
            first[128 + k], first[144 + k], first[160 + k], first[176 + k] = n8, n9, n10, n11
            first[192 + k], first[208 + k], first[224 + k], first[240 + k] = n12, n13, n14, n15
            first[256 + k] = area
        shared_in_step(first, bounds, data, start, shared)
        for k in range(numbers):
            scores[np.uint64(place) + k] = formula(shared[k], area, data[12, np.uint64(start) + k])

    @register_jitable
    @named(metric.name)
    def score_each(
        bounds1: Array, data1: Array, bounds2: Array, data2: Array, start: int, scores: Array
    ) -> None:
        first = stack_array(data1, MEASURES)
        shared = stack_array(data1, LANES)
        numbers = np.uint64(LANES)
        start = np.uint64(start)
        for row in range(np.uint64(4)):
            for k in range(numbers):
                first[row * numbers + k] = bounds1[row, start + k]
        for row in range(np.uint64(ROWS)):
            for k in range(numbers):
                first[(row + np.uint64(4)) * numbers + k] = data1[row, start + k]
        shared_in_step(first, bounds2, data2, start, shared)
        for k in range(numbers):
            scores[k] = formula(shared[k], first[256 + k], data2[12, start + k])

    return InStep(score_one, score_each)


# ---- arguments and preparation -----------------------------------------------------------------


def _rounding(given: Input) -> float:
    """What part of the coordinates of a member may be rounding."""
    dtype = given.array.dtype
    return max(float(np.finfo(dtype).eps), ROUNDING) if dtype.kind == "f" else ROUNDING


def _refuse_crossing(
    given: Input, members: Array, share: float, blocks: Array, order: Array | None
) -> None:
    """Raise a ValueError that names the first member, of some blocks, with edges that cross."""
    for k in (k for block in blocks.tolist() for k in range(block * BLOCK, (block + 1) * BLOCK)):
        if k < len(members) and min(turns_of(*members[k].tolist(), share)) < -1:
            row = k if order is None else int(order[k])
            place = tuple(map(int, np.unravel_index(row, given.array.shape[:-1])))
            raise ValueError(
                f"{given.name} has a quadrilateral whose edges cross in row "
                f"{place[0] if len(place) == 1 else place}: {given.array[place].tolist()}; corners "
                "must be in order around it"
            )


def _filled(
    sets: list[Array],
    dtype: np.dtype[Any],
    givens: list[Input],
    order: Array | None,
    phase: int,
) -> tuple[list[Columns], float, float]:
    """Columns of quadrilaterals, their largest coordinate and their smallest area."""
    columns, most, least = [], 0.0, math.inf
    for members, given in zip(sets, givens, strict=True):
        members = np.require(members, FLOAT64, ["C", "A", "W"])
        rows = empty_columns(len(members), FLOAT64, phase, 4 + ROWS)
        findings = np.empty((-(-rows.shape[1] // BLOCK), 4))
        bounds, data = rows[:4], rows[4:]
        any_odd = any_crossing = False
        share = _rounding(given)
        work = SCORES_PER_QUADRILATERAL * len(members)
        for first, last, some in block_steps(len(findings), work):
            odd, crossing, largest, smallest = threads.run(
                FILL, some, members, share, bounds, data, findings, first, last
            )
            any_odd, any_crossing = any_odd or odd, any_crossing or crossing
            most, least = max(most, largest), min(least, smallest)
        missing: Array | None = None
        if any_odd:
            refuse_infinite(given)
            missing = np.asarray(np.isnan(members).any(axis=1))
        if any_crossing:
            _refuse_crossing(given, members, share, np.flatnonzero(findings[:, 1]), order)
        columns.append(Columns(bounds, data, ROWS, missing))
    return columns, most, least


def _prepare(
    given1: Input, given2: Input, metric: Metric, order: Array | None = None, phase: int = 0
) -> tuple[Columns, Columns]:
    """Columns of two sets of quadrilaterals (see `Geometry.prepare`)."""
    givens = [given1] if given2.array is given1.array else [given1, given2]
    sets = [given.array.reshape(-1, 8) for given in givens]
    if order is not None:
        sets = [chunks.taken(members, order) for members in sets]
    if all(members.dtype.kind in "biu" for members in sets):
        # Of each the corners by twos, like corners of boxes.
        floats = exact_floats([members.reshape(-1, 4) for members in sets], "xyxy")
        if floats is None:
            raise ValueError(
                f"integer coordinates of quadrilaterals must lie within {EXACT_SPAN:,} of each "
                f"other, got more in {given1.name} and {given2.name}; compare sets that lie far "
                "apart by themselves"
            )
        sets = [corners.reshape(-1, 8) for corners in floats]
    fill = functools.partial(_filled, givens=givens, order=order, phase=phase)
    columns = fill_within_limits(sets, FLOAT64, fill)
    return columns[0], columns[-1]


def _small_layout(fmt: str, metric: Metric, dtype: np.dtype[Any]) -> int | None:
    # float32 is prepared as float64.
    return 0 if dtype == FLOAT64 else None


def _share_of(dtype: np.dtype[Any]) -> int:
    """What tells `fill_some` how coordinates are rounded."""
    return {4: 1, 2: 2}.get(dtype.itemsize, 0) if dtype.kind == "f" else 0


# ---- formats -----------------------------------------------------------------------------------


def _corners(array: Array, fmt: str) -> Array:
    """Corners (n, 4, 2) of plain or rotated boxes: the top left one of the unrotated box first.

    They go on clockwise as seen in an image. Sides below 0 become 0.
    """
    if fmt in PLAIN.formats:
        boxes = _in_format(PLAIN, array, fmt, "cxcywh")
        cosine, sine = np.ones(len(boxes)), np.zeros(len(boxes))
    else:
        # Radians stay radians, so that they are not rounded.
        is_radians = "-rad" in fmt
        boxes = _in_format(ROTATED, array, fmt, "cxcywhr-rad" if is_radians else "cxcywhr")
        quarters = np.zeros(len(boxes)) if is_radians else np.rint(boxes[:, 4] / 90)
        angle = boxes[:, 4] if is_radians else np.radians(boxes[:, 4] - 90 * quarters)
        cosine, sine = np.cos(angle), np.sin(angle)
        for quarter in (1, 2, 3):  # exact, unlike cosines of quarter turns
            own = quarters % 4 >= quarter
            cosine, sine = np.where(own, -sine, cosine), np.where(own, cosine, sine)
    width, height = np.maximum(boxes[:, 2:4].T, 0) / 2
    # The angle turns x away from y, which points down.
    across = np.stack([width * cosine, -width * sine], -1)
    down = np.stack([height * sine, height * cosine], -1)
    ways = [-across - down, across - down, across + down, down - across]
    corners: Array = boxes[:, None, :2] + np.stack(ways, 1)
    return corners


def _rectangles(corners: Array, eps: float, out_fmt: str) -> Array:
    """Rotated boxes of which corners (n, 4, 2) are all four, in order; others are refused."""
    first, second, third, last = np.moveaxis(corners, 1, 0)
    across, down = second - first, last - first
    lengths = np.hypot(*across.T), np.hypot(*down.T)
    # What rounding of the corners may have done, and no more.
    allowed = 8 * eps * (np.abs(corners).max(axis=(1, 2)) + lengths[0] + lengths[1])
    gap = np.abs(first + third - second - last).max(axis=1)
    slant = np.abs((across * down).sum(axis=1))
    is_other = (gap > allowed) | (slant > allowed * (lengths[0] + lengths[1]))
    if is_other.any():
        found = corners[int(is_other.argmax())].reshape(-1).tolist()
        raise ValueError(
            f"boxes has a quadrilateral that is no rectangle, which {out_fmt!r} cannot hold: "
            f"{found}; keep it as 'xyxyxyxy', or choose a rectangle around it yourself"
        )
    # Of a rectangle without width the other side tells the angle.
    along = np.where((lengths[0] > 0)[:, None], across, np.stack([down[:, 1], -down[:, 0]], -1))
    angle = np.degrees(np.arctan2(-along[:, 1], along[:, 0]))
    centre = (first + second + third + last) / 4
    return np.column_stack([centre, *lengths, angle])


def _in_format(row: Row, array: Array, in_fmt: str, out_fmt: str) -> Array:
    convert = row.load().convert
    assert convert is not None
    return convert(array, in_fmt, out_fmt)


def _convert(array: Array, in_fmt: str, out_fmt: str) -> Array:
    """Quadrilaterals (..., 8) and boxes as each other: a new array, of float64 for integers."""
    dtype = array.dtype.newbyteorder("=") if array.dtype.kind == "f" else FLOAT64
    if in_fmt == out_fmt:
        return np.array(array, dtype)
    batches = array.shape[:-1]
    members = np.array(array, FLOAT64).reshape(-1, array.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        if out_fmt == "xyxyxyxy":
            return _corners(members, in_fmt).astype(dtype).reshape(*batches, 8)
        if out_fmt in PLAIN.formats:
            raise ValueError(
                f"quadrilaterals cannot be converted to {out_fmt!r}, which holds no other than "
                f"upright rectangles; {next(iter(ROTATED.formats))!r} holds all rectangles"
            )
        eps = float(np.finfo(dtype).eps)
        boxes = _rectangles(members.reshape(-1, 4, 2), eps, out_fmt)
        boxes = _in_format(ROTATED, boxes, next(iter(ROTATED.formats)), out_fmt)
    return boxes.astype(dtype).reshape(*batches, 5)


GEOMETRY = Geometry(
    "quadrilateral",
    "quadrilaterals",
    read=functools.partial(read_boxes, points=4),
    prepare=_prepare,
    load=load_quadrilateral,
    measures={Need.OVERLAP: shared_area},
    convert=_convert,
    converts=(*PLAIN.formats, *ROTATED.formats),
    cost=lambda columns: COST,
    small=Small(ROWS, _small_layout, lambda metric: fill_some, limits, lengths=8, source=_share_of),
    in_step=_in_step,
)
