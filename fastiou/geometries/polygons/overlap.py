"""The area that two polygons share: how edges lie in memory, and the sum over pairs of them.

Under each edge lies an area down to one level, which counts as positive or negative, so that those
of all edges of a polygon sum up to its own area. So the area that two share is the sum, over each
edge of one and each of the other, of what lies below both, with the product of both signs. Only
edges with a common x have any. Edges come in the order of their left ends, so that most of the
others are passed over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from fastiou.metrics import larger, smaller
from fastiou.runtime.vectors import (
    address,
    float64_at,
    never_inlined,
    prefer_widest_vectors,
    spread,
    stack_array,
)
from fastiou.typing import Array

__all__ = [
    "BLOCK",
    "EDGES",
    "FIRST",
    "FLOATS",
    "LEAST_AREA",
    "LEFT_Y",
    "LINE",
    "MOST",
    "SECOND",
    "SLOPE",
    "Polygon",
    "lines_of",
    "load_polygon",
    "shared_area",
]

#: Edges of a block, which are computed at once.
EDGES = 8

#: Numbers of a block, `EDGES` each: x of one end, x of the other end, y of the left end, slopes.
#: The first end is the left one where the sign of an edge is positive. New pages cost more than
#: what is computed, so a block holds no more: with the signs, y of the right ends and what bounds
#: it, it took 448 bytes, and takes 256.
BLOCK = 4 * EDGES

# Where these begin in a block.
FIRST, SECOND, LEFT_Y, SLOPE = (row * EDGES for row in range(4))

#: Bytes of a block.
BLOCK_BYTES = 8 * BLOCK

#: Numbers that bound a block: its largest x and its largest y. A polygon has them after its blocks.
MOST = 2

#: Numbers of a cache line. Each polygon begins with one.
LINE = 8

#: Of an area of 0, what stands for it in a divisor: 2⁻¹⁰²².
LEAST_AREA = 2.2250738585072014e-308

#: Tells `stack_array` the type.
FLOATS = np.zeros(1)

#: left, top, right, bottom, address of the first block, number of edges, area
Polygon = tuple[Any, Any, Any, Any, Any, Any, Any]


@register_jitable
def load_polygon(bounds: Array, data: Array, i: int) -> Polygon:
    """Polygon `i` of a set.

    Parameters
    ----------
    bounds : array of float64, shape (7, > n)
        Left, top, right and bottom, number of the first line, number of edges, area.
    data : array of float64, shape (lines * LINE,)
        The blocks of all, and what bounds them.
    i
        Its number.
    """
    return (
        bounds[0, i],
        bounds[1, i],
        bounds[2, i],
        bounds[3, i],
        address(data) + np.int64(bounds[4, i]) * (8 * LINE),
        np.int64(bounds[5, i]),
        bounds[6, i],
    )


def lines_of(edges: Any) -> Any:
    """How many lines of numbers polygons of so many edges take."""
    blocks = -(-edges // EDGES)
    return blocks * (BLOCK // LINE) - (-blocks * MOST // LINE)


@intrinsic
def add_terms(typingctx: Any, edge: Any, sign: Any, level: Any, block: Any, totals: Any) -> Any:
    """Add to each of `EDGES` totals what an edge and one of a block have below both, times four.

    `edge` is left, y, right and slope, its y above the level; `block` is an address. In Python, for
    the second edge of a lane, whose y is taken from the level, too:

        left2, right2 = min(first2, second2), max(first2, second2)
        sign2 = 1 if first2 < second2 else -1
        begin, end = max(left1, left2), min(right1, right2)
        begin1, end1 = y1 + (begin - left1) * slope1, y1 + (end - left1) * slope1
        begin2, end2 = y2 + (begin - left2) * slope2, y2 + (end - left2) * slope2
        apart1, apart2 = begin1 - begin2, end1 - end2
        most = max(abs(apart1) + abs(apart2), LEAST_AREA)
        crossed = (apart1 * apart1 + apart2 * apart2) / most
        apart = most if apart1 * apart2 >= 0 else crossed
        area = (((begin1 + end1) + (begin2 + end2)) - apart) * (end - begin)
        total += (area if begin < end else 0) * (sign1 * sign2)

    No x is beyond the end of an edge where both have one in common. So a slope, however steep,
    rounds no more than the rise of the whole edge does. Twice the lower of two numbers is their sum
    without how far they are apart, of which the mean over x is `apart` / 2: of lines that cross,
    from two triangles. LLVM makes no vectors of a loop over so much.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = ir.VectorType(ir.DoubleType(), EDGES)
        four = cgutils.unpack_tuple(builder, arguments[0], 4)
        left1, y1, right1, slope1 = (spread(builder, value, EDGES) for value in four)
        sign1, level = (spread(builder, value, EDGES) for value in arguments[1:3])
        start = builder.inttoptr(arguments[3], lanes.as_pointer())
        data = context.make_array(signature.args[4])(context, builder, arguments[4]).data
        target = builder.bitcast(data, lanes.as_pointer())
        zero, least = (ir.Constant(lanes, [value] * EDGES) for value in (0.0, LEAST_AREA))
        absolute = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(lanes, [lanes]), f"llvm.fabs.v{EDGES}f64"
        )

        def row(number: int) -> Any:
            place = builder.gep(start, [ir.Constant(ir.IntType(64), number // EDGES)])
            return builder.load(place, align=8)

        def choose(relation: str, a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(relation, a, b), a, b)

        def along(x: Any, left: Any, y: Any, slope: Any) -> Any:
            return builder.fadd(y, builder.fmul(builder.fsub(x, left), slope))

        first2, second2, slope2 = row(FIRST), row(SECOND), row(SLOPE)
        forward = builder.fcmp_ordered("<", first2, second2)
        left2 = builder.select(forward, first2, second2)
        right2 = builder.select(forward, second2, first2)
        sign2 = builder.select(forward, sign1, builder.fneg(sign1))
        y2 = builder.fsub(row(LEFT_Y), level)
        begin, end = choose(">", left1, left2), choose("<", right1, right2)
        begin1, end1 = (along(x, left1, y1, slope1) for x in (begin, end))
        begin2, end2 = (along(x, left2, y2, slope2) for x in (begin, end))
        apart1, apart2 = builder.fsub(begin1, begin2), builder.fsub(end1, end2)
        both = builder.fadd(*(builder.call(absolute, [value]) for value in (apart1, apart2)))
        most = choose(">", both, least)
        squares = builder.fadd(*(builder.fmul(value, value) for value in (apart1, apart2)))
        crossed = builder.fdiv(squares, most)
        same_side = builder.fcmp_ordered(">=", builder.fmul(apart1, apart2), zero)
        apart = builder.select(same_side, most, crossed)
        sums = builder.fadd(builder.fadd(begin1, end1), builder.fadd(begin2, end2))
        area = builder.fmul(builder.fsub(sums, apart), builder.fsub(end, begin))
        area = builder.select(builder.fcmp_ordered("<", begin, end), area, zero)
        term = builder.fmul(area, sign2)
        # The array is on the stack, and stays in a register.
        total = builder.load(target, align=8)
        builder.store(builder.fadd(total, term), target, align=8)
        return context.get_dummy_value()

    return types.void(edge, sign, level, block, totals), codegen


@register_jitable
def order_of(member1: Polygon, member2: Polygon) -> int:
    """-1 or 1 for which of two polygons comes first; 0 if both have the same edges."""
    _, _, _, _, edges1, count1, area1 = member1
    _, _, _, _, edges2, count2, area2 = member2
    if count1 != count2:
        return -1 if count1 < count2 else 1
    if area1 != area2:
        return -1 if area1 < area2 else 1
    for k in range((count1 + EDGES - 1) // EDGES * BLOCK):
        number1, number2 = float64_at(edges1, k), float64_at(edges2, k)
        if number1 != number2:
            return -1 if number1 < number2 else 1
    return 0


@register_jitable
def sum_of_terms(member1: Polygon, member2: Polygon) -> float:
    """The sum over edges of two polygons whose hulls overlap; the first has no more of them."""
    prefer_widest_vectors()
    left1, top1, right1, _, edges1, count1, _ = member1
    left2, top2, right2, _, edges2, count2, _ = member2
    left, right = larger(left1, left2), smaller(right1, right2)
    # A level near what both may share, so that little is rounded. The terms of an edge that lies
    # wholly above the other polygon sum up to 0.
    level = larger(top1, top2)
    blocks2 = (count2 + EDGES - 1) // EDGES
    totals = stack_array(FLOATS, EDGES)
    for k in range(np.uint64(EDGES)):
        totals[k] = 0.0
    most2 = edges2 + blocks2 * BLOCK_BYTES
    first = np.int64(0)
    for edge in range(count1):
        place = (edge >> 3) * BLOCK + (edge & 7)
        one, other = float64_at(edges1, place + FIRST), float64_at(edges1, place + SECOND)
        begin, end = smaller(one, other), larger(one, other)
        if begin >= right:
            break
        y = float64_at(edges1, place + LEFT_Y)
        slope = float64_at(edges1, place + SLOPE)
        if end <= left or larger(y, y + (end - begin) * slope) <= top2:
            continue
        y = y - level
        sign = 1.0 if one < other else -1.0
        while first < blocks2 and float64_at(most2, first * MOST) <= begin:
            first += 1
        for number in range(first, blocks2):
            block = edges2 + number * BLOCK_BYTES
            # The first edge of a block begins furthest left.
            if smaller(float64_at(block, FIRST), float64_at(block, SECOND)) >= end:
                break
            most_x = float64_at(most2, number * MOST)
            if most_x <= begin or float64_at(most2, number * MOST + 1) <= top1:
                continue
            add_terms((begin, y, end, slope), sign, level, block, totals)
    return ((totals[0] + totals[1]) + (totals[2] + totals[3])) + (
        (totals[4] + totals[5]) + (totals[6] + totals[7])
    )


@register_jitable
def area_of_both(member1: Polygon, member2: Polygon) -> float:
    """The area that two polygons share whose hulls overlap."""
    never_inlined()
    area1, area2 = member1[6], member2[6]
    # In one order, whichever is given first: so a sum has the same bits.
    order = order_of(member1, member2)
    if order == 0:
        return area1
    total = sum_of_terms(member1 if order < 0 else member2, member2 if order < 0 else member1)
    return smaller(larger(0.25 * total, 0.0), smaller(area1, area2))


@register_jitable
def shared_area(member1: Polygon, member2: Polygon) -> tuple[Any, Any, Any]:
    """What a ratio metric needs of two polygons: the area that both share, and both areas."""
    left1, top1, right1, bottom1, _, _, area1 = member1
    left2, top2, right2, bottom2, _, _, area2 = member2
    # Exactly 0 where the hulls are apart, which is all that a search looks at.
    shared = 0.0
    if (left1 < right2) & (left2 < right1) & (top1 < bottom2) & (top2 < bottom1):
        shared = area_of_both(member1, member2)
    return shared, area1, area2
