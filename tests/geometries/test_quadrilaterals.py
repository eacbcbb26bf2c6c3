"""Quadrilaterals against exact clipping, the reference and themselves, in every relation.

The property tests take few examples. `pytest --hypothesis-profile thorough tests/geometries`
runs 10,000 of each; `pytest -m slow tests/geometries/test_quadrilaterals.py` compares 120,000 pairs
with exact rational numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, assert_bits, assert_close
from combinations_for_tests import quadrilaterals, rotated_boxes
from hypothesis import given
from hypothesis import strategies as st
from scenes_for_tests import EXAMPLES

import fastiou
from fastiou import reference

FLOATS = [np.float32, np.float64]

#: Of relations: the loops are the same for both types.
RELATION_FLOATS = [pytest.param(np.float32, marks=pytest.mark.thorough), np.float64]
RATIOS = ["iou", "iof", "ios", "dice"]
FMT = "xyxyxyxy"


def iou(a: Any, b: Any, **options: Any) -> Any:
    return fastiou.box_iou(a, b, FMT, **options)


def orders_of(members: Array) -> list[Array]:
    """The same quadrilaterals from each corner on, both ways round."""
    points = members.reshape(-1, 4, 2)
    ways = [np.roll(way, begin, axis=1) for way in (points, points[:, ::-1]) for begin in range(4)]
    return [way.reshape(-1, 8) for way in ways]


# ---- exact areas -------------------------------------------------------------------------------

#: A point of the plane, without rounding, times a power of two.
Point = tuple[int, int]


def side_of(point: Any, begin: Any, end: Any) -> Any:
    """Positive where a way from begin to end and on to the point turns from x towards y."""
    return (end[0] - begin[0]) * (point[1] - begin[1]) - (end[1] - begin[1]) * (point[0] - begin[0])


def polygon_area(points: Any) -> Any:
    pairs = zip(points, points[1:] + points[:1], strict=True)
    return sum((p[0] * q[1] - p[1] * q[0] for p, q in pairs), Fraction(0)) / 2


def clipped(points: list[Any], begin: Any, end: Any) -> list[Any]:
    """What of a convex polygon lies inside of an edge (Sutherland, Hodgman)."""
    kept = []
    for before, here in zip(points[-1:] + points[:-1], points, strict=True):
        side1, side2 = side_of(before, begin, end), side_of(here, begin, end)
        if (side1 < 0) != (side2 < 0):
            share = Fraction(side1) / (side1 - side2)
            kept.append(
                (
                    before[0] + share * (here[0] - before[0]),
                    before[1] + share * (here[1] - before[1]),
                )
            )
        if side2 >= 0:
            kept.append(here)
    return kept


def exact_score(one: Array, other: Array, metric: str = "iou") -> float:
    """A score without any rounding, by the triangles that each consists of."""
    numbers = [Fraction(float(number)) for number in (*one, *other)]
    scale = max(number.denominator for number in numbers)
    whole = [int(number * scale) for number in numbers]
    corners = [(whole[k], whole[k + 1]) for k in range(0, 16, 2)]
    areas, parts = [], []
    for quad in (corners[:4], corners[4:]):
        areas.append(polygon_area(quad))
        own = []
        for triangle in ([quad[0], quad[1], quad[2]], [quad[0], quad[2], quad[3]]):
            size = polygon_area(triangle)
            sign = (size > 0) - (size < 0)
            own.append((sign, triangle if sign > 0 else triangle[::-1]))
        parts.append(own)
    shared = Fraction(0)
    for sign1, triangle1 in parts[0]:
        for sign2, triangle2 in parts[1]:
            if sign1 and sign2:
                points: Any = triangle1
                for begin, end in zip(triangle2, triangle2[1:] + triangle2[:1], strict=True):
                    points = clipped(points, begin, end)
                shared += sign1 * sign2 * polygon_area(points)
    shared = shared * (1 if areas[0] * areas[1] > 0 else -1)
    area1, area2 = map(abs, areas)
    if not area1 or not area2:
        shared = Fraction(0)
    divisors = {
        "iou": area1 + area2 - shared,
        "iof": area1,
        "ios": min(area1, area2),
        "dice": (area1 + area2) / 2,
    }
    return float(shared / divisors[metric]) if divisors[metric] else 0.0


def exact_scores(a: Array, b: Array, metric: str = "iou") -> Array:
    """Those of aligned quadrilaterals."""
    return np.array([exact_score(one, other, metric) for one, other in zip(a, b, strict=True)])


def test_exact_scores_by_hand() -> None:
    square = np.array([0.0, 0, 2, 0, 2, 2, 0, 2])
    dart = np.array([0.0, 0, 4, 0, 1, 1, 0, 4])  # of area 4, with a notch
    assert exact_score(square, dart) == 1 / 2
    assert exact_score(square[::-1], dart, "ios") == 2 / 3
    in_notch = np.array([2.0, 2, 3, 2, 3, 3, 2, 3])
    assert exact_score(in_notch, dart) == 0
    assert exact_score(square, square[[2, 3, 4, 5, 6, 7, 0, 1]]) == 1


# ---- published cases and families --------------------------------------------------------------


@pytest.mark.slow(on_one_thread=True)
def test_published_cases(real_data: Path) -> None:
    """Inputs that some library was seen to be wrong on, and what is right."""
    count = 0
    for case in json.loads((real_data / "geometry" / "vectors.json").read_text())["cases"]:
        for dtype in case["dtypes"] if case["kind"].startswith("quad_") else []:
            count += 1
            a, b = (np.array(case[name], dtype) for name in "ab")
            if case["kind"] == "quad_nms":
                kept = fastiou.nms(a, b, case["threshold"], fmt=FMT)
                assert kept.tolist() == case["expected"], case["source"]
                continue
            tolerance = max(case["atol"], 1e-6 if dtype == "float32" else 0)
            np.testing.assert_allclose(
                iou(a, b), case["expected"], rtol=0, atol=tolerance, err_msg=case["source"]
            )
    assert count >= 11


def around(rng: np.random.Generator, centres: Array, size: Any) -> Array:
    """A corner in each quarter around centres (n, 2), at up to `size` from them."""
    angles = (np.arange(4) + 0.98 * rng.random((len(centres), 4))) * np.pi / 2
    reach = np.reshape(size, (-1, 1)) * (0.1 + 0.9 * rng.random((len(centres), 4)))
    corners = reach[..., None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    return (centres[:, None] + corners).reshape(-1, 8)


def anywhere(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    centres = rng.uniform(0, 1000, (count, 2))
    return (
        around(rng, centres, rng.uniform(5, 60, count)),
        around(rng, centres + rng.normal(0, 12, (count, 2)), rng.uniform(5, 60, count)),
    )


def in_another_order(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    a, _ = anywhere(rng, count)
    return a, np.stack(orders_of(a))[rng.integers(0, 8, count), np.arange(count)]


def nearly_the_same(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    a, _ = anywhere(rng, count)
    moved = 10 ** rng.uniform(-12, -3, (count, 1)) * rng.normal(0, 1, (count, 8))
    return a, a + moved * (rng.random((count, 8)) < 0.5)


def with_common_edges(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Two corners of one are corners of the other, or lie on its edges."""
    a, _ = anywhere(rng, count)
    b = a.copy().reshape(-1, 4, 2)
    points = a.reshape(-1, 4, 2)
    b[:, 2:] = points[:, 2:] + rng.normal(0, 0.5, (count, 2, 2)) * (points[:, 2:] - points[:, :2])
    halves = rng.random(count) < 0.5
    b[halves, 2] = (points[halves, 1] + points[halves, 2]) / 2
    b[halves, 3] = (points[halves, 0] + points[halves, 3]) / 2
    return a, b.reshape(-1, 8)


def whole_numbers(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Corners on edges, edges on edges, upright and level edges, triangles and lines."""
    a, b = (rng.integers(0, 6, (count, 8)).astype(np.float64) for _ in "ab")
    return a, b


def parallelograms(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    sets = []
    for _ in "ab":
        boxes = rotated_boxes(rng, count)
        boxes[:, 4] = np.where(rng.random(count) < 0.3, 90.0, boxes[:, 4])
        sets.append(fastiou.box_convert(boxes, "cxcywhr", FMT))
    return sets[0], sets[1]


def tiny(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    a, b = anywhere(rng, count)
    return a * 1e-7, b * 1e-7


def far_away(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Where float32 holds eighths."""
    a, b = anywhere(rng, count)
    centres = a.reshape(-1, 4, 2).mean(axis=1)[:, None]
    return tuple(  # type: ignore[return-value]
        (np.round((some.reshape(-1, 4, 2) - centres) * 8) / 8 + 1e6).reshape(-1, 8)
        for some in (a, b)
    )


def long_ones(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """A hundred times as long as wide, and crossing at an angle where half of them is shared."""
    boxes = np.column_stack(
        [
            rng.uniform(0, 100, (count, 2)),
            rng.uniform(50, 500, count),
            np.ones(count),
            rng.uniform(-90, 90, count),
        ]
    )
    boxes[:, 3] = boxes[:, 2] / 100
    other = boxes.copy()
    other[:, :2] += rng.normal(0, 1, (count, 2))
    other[:, 4] += np.degrees(rng.normal(0, 0.01, count))
    a, b = (fastiou.box_convert(some, "cxcywhr", FMT) for some in (boxes, other))
    # No rectangles any more.
    return a * (1 + 1e-4 * rng.normal(0, 1, a.shape)), b * (1 + 1e-4 * rng.normal(0, 1, b.shape))


def sizes_of_any_order(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    centres = rng.uniform(-1, 1, (count, 2))
    sizes = 10 ** rng.uniform(-5, 5, (2, count))
    apart = rng.uniform(-0.5, 0.5, (count, 2)) * sizes.max(axis=0)[:, None]
    return around(rng, centres, sizes[0]), around(rng, centres + apart, sizes[1])


Family = Callable[[np.random.Generator, int], tuple[Array, Array]]

FAMILIES: list[Family] = [
    anywhere,
    in_another_order,
    nearly_the_same,
    with_common_edges,
    whole_numbers,
    parallelograms,
    tiny,
    far_away,
    long_ones,
    sizes_of_any_order,
]


def crosses(members: Array) -> Array:
    """Which quadrilaterals have edges that cross: those that are refused."""
    found = np.zeros(len(members), np.bool_)
    for k, member in enumerate(members):
        try:
            fastiou.box_area(member[None], FMT)
        except ValueError as error:
            found[k] = "edges cross" in str(error)
    return found


def family_of(
    rng: np.random.Generator, family: Family, count: int, dtype: type
) -> tuple[Array, Array]:
    a, b = (members.astype(dtype) for members in family(rng, count))
    simple = ~(crosses(a) | crosses(b))
    return a[simple], b[simple]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", RATIOS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_families(rng: np.random.Generator, family: Family, metric: str, dtype: type) -> None:
    a, b = family_of(rng, family, 24, dtype)
    actual = iou(a, b, metric=metric, aligned=True)
    # How small one may be beside the other: see docs/quadrilaterals.md.
    relative = family is sizes_of_any_order and metric in ("iof", "ios")
    assert_close(actual, exact_scores(a, b, metric), 1e-5 if relative else None)
    if metric != "iof":
        assert_bits(iou(b, a, metric=metric, aligned=True), actual)


@pytest.mark.parametrize(
    "part",
    [pytest.param(0.02, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.thorough)],
)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_many_pairs(rng: np.random.Generator, family: Family, dtype: type, part: float) -> None:
    """100,000 pairs anywhere and 20,000 of the families that are hard, or a tenth of them."""
    count = round(part * (100_000 if family is anywhere else 2_500))
    a, b = (members.astype(dtype) for members in family(rng, count))
    if family is whole_numbers or family is with_common_edges:
        simple = ~(crosses(a) | crosses(b))
        a, b = a[simple], b[simple]
    actual = iou(a, b, aligned=True)
    assert_close(actual, exact_scores(a, b))
    assert_bits(iou(b, a, aligned=True), actual)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_the_reference_in_families(rng: np.random.Generator, family: Family) -> None:
    a, b = family_of(rng, family, 12, np.float64)
    assert_close(np.diagonal(reference.quadrilateral_iou(a, b)), exact_scores(a, b), 1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_a_proper_one_scores_exactly_1_with_itself_in_any_order(
    rng: np.random.Generator, family: Family, dtype: type
) -> None:
    a, _ = family_of(rng, family, 200, dtype)
    proper = fastiou.box_area(a, FMT) > 0
    for other in orders_of(a):
        np.testing.assert_array_equal(iou(a, other, aligned=True), proper)
        np.testing.assert_array_equal(fastiou.box_area(other, FMT), fastiou.box_area(a, FMT))


def test_triangles_score_exactly_1_with_themselves_in_any_order(rng: np.random.Generator) -> None:
    a = quadrilaterals(rng, 100)
    a[:, 6:] = a[:, 4:6]
    for other in orders_of(a):
        assert (iou(a, other, aligned=True) == 1).all()


@pytest.mark.slow(on_one_thread=True)
@pytest.mark.parametrize("dtype", FLOATS)
def test_rectangles_score_as_rotated_and_plain_boxes(rng: np.random.Generator, dtype: type) -> None:
    a, b = rotated_boxes(rng, 150), rotated_boxes(rng, 100)
    b[:20] = a[:20]
    corners = [fastiou.box_convert(boxes, "cxcywhr", FMT).astype(dtype) for boxes in (a, b)]
    tolerance = 1e-14 if dtype == np.float64 else 1e-6
    for metric in RATIOS:
        expected = fastiou.box_iou(a, b, "cxcywhr", metric=metric)
        assert_close(iou(*corners, metric=metric), expected, tolerance)
    whole = np.round(a[:, :4]) + np.array([0, 0, 1, 1])
    plain = fastiou.box_iou(whole, whole, "cxcywh")
    upright = fastiou.box_convert(whole, "cxcywh", FMT)
    assert_close(iou(upright, upright), plain, 1e-15)
    assert (iou(upright, upright, aligned=True) == 1).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_hulls_that_are_apart_share_exactly_nothing(rng: np.random.Generator, dtype: type) -> None:
    members = quadrilaterals(rng, 200).astype(dtype).reshape(-1, 4, 2)
    members += rng.integers(0, 5, (200, 1, 2)).astype(dtype) * dtype(8)
    low, high = members.min(axis=1), members.max(axis=1)
    apart = ((low[:, None] >= high) | (low >= high[:, None])).any(axis=-1)
    scores = iou(members, members)
    assert 0 < apart.sum() < scores.size
    assert not scores[apart].any()


# ---- edges that cross, and other odd ones ------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("size", [1, 9])
def test_edges_that_cross_are_refused_by_row(dtype: type, size: int) -> None:
    square, bow = np.array([[0, 0, 4, 0, 4, 4, 0, 4], [0, 0, 4, 4, 4, 0, 0, 4]], dtype) * size
    both = np.array([square, square, bow])
    for bad in (both, np.roll(both, 1, axis=0)[[1, 2, 0]], both[:, [2, 3, 4, 5, 6, 7, 0, 1]]):
        message = r"has a quadrilateral whose edges cross in row 2: \[.*\]; corners must be in or"
        for call in (
            lambda bad=bad: iou(bad, both[:1]),
            lambda bad=bad: iou(both[:3], bad[None, :]),
            lambda bad=bad: fastiou.pairs(bad, fmt=FMT),
            lambda bad=bad: fastiou.pairs(both[:2], bad, fmt=FMT),
            lambda bad=bad: fastiou.nms(bad, [1, 2, 3], fmt=FMT),
            lambda bad=bad: fastiou.topk(bad, bad, 1, fmt=FMT),
            lambda bad=bad: fastiou.match(both[:1], bad, fmt=FMT),
            lambda bad=bad: fastiou.box_area(bad, FMT),
            lambda bad=bad: fastiou.Index(bad, FMT),
        ):
            with pytest.raises(ValueError, match=message.replace("row 2", "row (2|\\(0, 2\\))")):
                call()


@pytest.mark.slow(on_one_thread=True)
def test_edges_cross_in_a_set_of_many(rng: np.random.Generator) -> None:
    members = quadrilaterals(rng, 9000)
    members[8000] = members[8000, [0, 1, 4, 5, 2, 3, 6, 7]]
    with pytest.raises(ValueError, match=r"b has a quadrilateral whose edges cross in row 8000: "):
        fastiou.pairs(members[:5], members, fmt=FMT)


def test_edges_that_touch_or_cross_by_rounding_are_taken(rng: np.random.Generator) -> None:
    touching = np.array(
        [[0, 0, 4, 0, 2, 0, 2, 3], [0, 0, 4, 0, 0, 0, 4, 4], [1, 1, 1, 1, 5, 1, 5, 9]], float
    )
    assert_close(fastiou.box_area(touching, FMT), [3, 0, 16], 0)
    # A corner halfway on the edge across, and so beyond it or not, by rounding.
    members = quadrilaterals(rng, 3000).reshape(-1, 4, 2)
    members[:, 2] = members[:, 0] + rng.random((3000, 1)) * (members[:, 1] - members[:, 0])
    scores = iou(members, members, aligned=True)
    assert (scores == 1).all()
    turned = np.roll(members, 1, axis=1)
    assert_close(iou(members, turned, aligned=True), 1, 0)


def awkward(dtype: Any = np.float64) -> Array:
    """Proper, equal, touching, nested, empty and missing ones."""
    nan = math.nan
    return np.array(
        [
            [0, 0, 8, 1, 9, 7, 1, 6],
            [9, 7, 8, 1, 0, 0, 1, 6],
            [8, 1, 12, 1, 12, 7, 9, 7],
            [3, 3, 4, 3, 4, 4, 3, 4],
            [0, 0, 8, 0, 2, 2, 0, 8],
            [-50, -50, 60, -50, 60, 60, -50, 70],
            [0, 0, 4, 4, 8, 8, 2, 2],
            [5, 5, 5, 5, 5, 5, 5, 5],
            [1, 1, 7, 1, 7, 1, 1, 1],
            [nan, 0, 8, 1, 9, 7, 1, 6],
            [0, 0, 8, 1, 9, 7, 1, nan],
            [nan] * 8,
            [1e6, 1e6, 1e6 + 2, 1e6, 1e6 + 1, 1e6 + 1, 1e6, 1e6 + 4],
        ],
        dtype,
    )


MISSING, EMPTY = [9, 10, 11], [6, 7, 8]


@pytest.mark.parametrize("dtype", FLOATS)
def test_awkward_ones(dtype: type) -> None:
    members = awkward(dtype)
    scores = iou(members, members)
    assert_close(scores, reference.quadrilateral_iou(members, members))
    assert_bits(scores, scores.T.copy())
    np.testing.assert_array_equal(
        np.isnan(scores), np.isin(np.arange(13), MISSING) | np.isin(np.arange(13), MISSING)[:, None]
    )
    assert not np.nan_to_num(scores[EMPTY]).any()
    areas = fastiou.box_area(members, FMT)
    assert np.isnan(areas[MISSING]).all()
    assert not areas[EMPTY].any()
    found = fastiou.pairs(members, members, 1e-9, fmt=FMT)
    for part, expected in zip(found, reference.box_pairs(np.nan_to_num(scores), 1e-9), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert 9 not in fastiou.topk(members, members, 2, fmt=FMT).indices


def test_infinite_numbers_are_refused() -> None:
    bad = awkward()[:4]
    bad[2, 5] = math.inf
    for call in (
        lambda: iou(bad, bad[:2]),
        lambda: fastiou.pairs(bad[:2], bad, fmt=FMT),
        lambda: fastiou.box_area(bad, FMT),
        lambda: fastiou.box_convert(bad, FMT, "cxcywhr"),
    ):
        with pytest.raises(ValueError, match="has an infinite coordinate in row 2"):
            call()


@pytest.mark.parametrize("exponent", [-1060, -560, -200, 200, 560, 1015])
def test_huge_and_tiny_numbers(exponent: int) -> None:
    members = awkward()[:9]
    scaled = np.ldexp(members, exponent)
    if exponent > -1000:
        assert_bits(iou(scaled, scaled), iou(members, members))
        assert_bits(iou(scaled, scaled, aligned=True), iou(members, members, aligned=True))
    else:
        assert_close(iou(scaled, scaled), iou(members, members), 1e-2)
    bow = np.ldexp([[0.0, 0, 4, 4, 4, 0, 0, 4]], exponent)
    with pytest.raises(ValueError, match="edges cross in row 0"):
        iou(bow, scaled)


def test_integers(rng: np.random.Generator) -> None:
    corners = np.round(quadrilaterals(rng, 60) * 4)
    corners = corners[~crosses(corners)]
    expected = iou(corners, corners)
    for dtype in (np.int16, np.int32, np.int64):
        assert_bits(iou(corners.astype(dtype), corners.astype(dtype)), expected)
    far = corners.astype(np.int64) + 2**60
    assert_bits(iou(far, far), expected)
    unsigned = (corners - corners.min()).astype(np.uint64) + np.uint64(2**63)
    assert_bits(iou(unsigned, unsigned), expected)
    apart = np.concatenate([far, -far])
    with pytest.raises(
        ValueError, match=r"integer coordinates of quadrilaterals must lie within 4"
    ):
        iou(apart, apart)
    bow = np.array([[0, 0, 4, 4, 4, 0, 0, 4]]) + 2**60
    with pytest.raises(ValueError, match="edges cross"):
        iou(bow, far)


def drawn(dtype: Any) -> st.SearchStrategy[Array]:
    """Few distinct numbers make coincident edges and corners common."""
    width = 8 * np.dtype(dtype).itemsize
    number = st.integers(-3, 4).map(float) | st.floats(-50, 50, width=width)  # type: ignore[arg-type]
    number = number | st.sampled_from([math.nan, 1e-20, 0.1, 0.3])
    return st.lists(st.tuples(*[number] * 8), max_size=8).map(
        lambda members: np.array(members, dtype).reshape(-1, 8)
    )


def are_slivers(members: Array) -> Array:
    """Which are so thin that no score is promised: the error is ε times length over width.

    The reference is as wrong there: it says 0 of two equal ones, 1e-20 wide. That such score 1
    with themselves is tested below all the same.
    """
    corners = np.nan_to_num(members.astype(np.float64)).reshape(-1, 4, 2)
    reach = np.ptp(corners, axis=1).max(axis=1, initial=0)
    # Of both diagonals: about the origin, an area of 1e-20 beside 1 is rounded to 0.
    one, other = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    area = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]) / 2
    return (area > 0) & (area < 1e-12 * reach**2)


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
@EXAMPLES
def test_any_quadrilaterals(data: st.DataObject, dtype: type) -> None:
    a, b = (data.draw(drawn(dtype)) for _ in "ab")
    a, b = a[~crosses(a)], b[~crosses(b)]
    actual = iou(a, b)
    expected = reference.quadrilateral_iou(a, b)
    sure = ~(are_slivers(a)[:, None] | are_slivers(b))
    actual_sure, expected_sure = (np.where(sure, scores, 0) for scores in (actual, expected))
    assert_close(actual_sure, expected_sure, 1e-6 if dtype == np.float32 else 1e-11)
    assert_bits(iou(b, a), actual.T.copy())
    present = actual[~np.isnan(actual)]
    assert ((present >= 0) & (present <= 1)).all()
    missing1, missing2 = (np.isnan(members).any(axis=1) for members in (a, b))
    np.testing.assert_array_equal(np.isnan(actual), missing1[:, None] | missing2)
    proper = np.nan_to_num(fastiou.box_area(a, FMT)) > 0
    np.testing.assert_array_equal(
        iou(a, np.roll(a, 4, axis=1), aligned=True), np.where(missing1, np.nan, proper)
    )
    found = fastiou.pairs(a, b, 0.2, fmt=FMT)
    for part, expected in zip(found, reference.box_pairs(np.nan_to_num(actual), 0.2), strict=True):
        np.testing.assert_array_equal(part, expected)


@given(
    data=st.lists(
        st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 8), min_size=1, max_size=6
    )
)
@EXAMPLES
def test_any_finite_numbers_at_all(data: list[tuple[float, ...]]) -> None:
    numbers = np.array(data)
    numbers = numbers[~crosses(numbers)]
    scores = iou(numbers, numbers)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert_bits(scores, scores.T.copy())


# ---- every relation ----------------------------------------------------------------------------


@pytest.mark.slow(on_one_thread=True)
def test_matches_within_images_are_those_of_shapely(rng: np.random.Generator) -> None:
    """As of DOTA: images with objects of any shape in groups, truth and detections near them."""
    shapely = pytest.importorskip("shapely", exc_type=ImportError)
    images = np.sort(rng.integers(0, 25, 500))
    truth = around(rng, 200 * rng.random((500, 2)), 10 + 30 * rng.random(500))
    found = np.concatenate([truth + rng.normal(0, 3, truth.shape), truth[:60]])
    images_found = np.concatenate([images, images[:60]])
    simple = ~crosses(found)
    found, images_found = found[simple], images_found[simple]
    itself = np.concatenate(
        [np.diagonal(iou(truth[images == image], truth[images == image])) for image in range(25)]
    )
    assert (itself == 1).all()
    shapes = [[shapely.Polygon(m.reshape(4, 2)) for m in members] for members in (truth, found)]
    rows, cols, values = [], [], []
    for image in range(25):
        own, others = np.flatnonzero(images == image), np.flatnonzero(images_found == image)
        one, other = np.array(shapes[0])[own][:, None], np.array(shapes[1])[others]
        shared = shapely.area(shapely.intersection(one, other))
        scores = shared / (shapely.area(one) + shapely.area(other) - shared)
        some = reference.greedy_match(scores, 0.3)
        rows.extend(own[some[0]])
        cols.extend(others[some[1]])
        values.extend(scores[some])
    order = np.argsort(rows)
    matched = fastiou.match(truth, found, 0.3, fmt=FMT, groups=(images, images_found))
    np.testing.assert_array_equal(matched.rows, np.array(rows)[order])
    np.testing.assert_array_equal(matched.cols, np.array(cols)[order])
    assert_close(matched.values, np.array(values)[order], 1e-12)
    assert len(matched) > 400


@pytest.mark.slow(on_one_thread=True)
@pytest.mark.parametrize("dtype", RELATION_FLOATS)
@pytest.mark.usefixtures("any_threads")
def test_relations_have_the_bits_of_the_dense_result(rng: np.random.Generator, dtype: type) -> None:
    a, b = quadrilaterals(rng, 170).astype(dtype), quadrilaterals(rng, 90).astype(dtype)
    b[:40] = a[:40, [4, 5, 2, 3, 0, 1, 6, 7]]
    a[::2] += 15
    options: dict[str, Any] = {"fmt": FMT}
    dense = fastiou.box_iou(a, b, **options)
    assert_close(dense, reference.quadrilateral_iou(a, b))
    assert_bits(fastiou.box_iou(a[:90], b, aligned=True, **options), np.diagonal(dense).copy())
    for chosen in ((a, b), (a.reshape(-1, 4, 2), b.reshape(-1, 4, 2))):
        found = fastiou.pairs(*chosen, 0.1, **options)
        for part, expected in zip(found, reference.box_pairs(dense, 0.1), strict=True):
            np.testing.assert_array_equal(part, expected)
    itself = np.triu(fastiou.box_iou(a, a, **options), 1)
    found = fastiou.pairs(a, threshold=0.1, **options)
    for part, expected in zip(found, reference.box_pairs(itself, 0.1), strict=True):
        np.testing.assert_array_equal(part, expected)
    groups = rng.integers(0, 3, 170), rng.integers(0, 3, 90)
    same = groups[0][:, None] == groups[1]
    found = fastiou.pairs(a, b, 0.1, groups=groups, **options)
    wanted = reference.box_pairs(np.where(same, dense, 0), 0.1)
    for part, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(part, expected)
    best = fastiou.topk(a, b, 3, **options)
    values, indices = reference.topk(dense, 3)
    np.testing.assert_array_equal(best.values, values)
    np.testing.assert_array_equal(best.indices, indices)
    index = fastiou.Index(b, FMT)
    for part, expected in zip(index.pairs(a, 0.1), reference.box_pairs(dense, 0.1), strict=True):
        np.testing.assert_array_equal(part, expected)
    matched = fastiou.match(a, b, 0.2, **options)
    rows, cols = reference.greedy_match(dense, 0.2)
    np.testing.assert_array_equal(matched.rows, rows)
    np.testing.assert_array_equal(matched.cols, cols)
    crowd = rng.random(90) < 0.3
    shares = fastiou.box_iou(a, b, metric="iof", **options)
    mixed = fastiou.box_iou(a, b, iscrowd=crowd, **options)
    np.testing.assert_array_equal(mixed, np.where(crowd, shares, dense))


@pytest.mark.slow(on_one_thread=True)
@pytest.mark.parametrize("dtype", RELATION_FLOATS)
def test_suppression(rng: np.random.Generator, dtype: type) -> None:
    members, scores = quadrilaterals(rng, 300).astype(dtype), rng.integers(0, 60, 300) / 64
    members += rng.integers(0, 4, (300, 1)).astype(dtype) * 9
    dense = fastiou.box_iou(members, members, FMT)
    kept = fastiou.nms(members, scores, 0.3, fmt=FMT)
    assert kept.tolist() == reference.nms(dense, scores, 0.3).tolist()
    assert 20 < len(kept) < 250
    for method in ("linear", "gaussian"):
        soft = fastiou.soft_nms(members, scores, 0.3, fmt=FMT, method=method, score_threshold=0.1)
        assert 20 < len(soft.indices) <= 300


@pytest.mark.slow(on_one_thread=True)
def test_few_and_many_have_the_same_bits(rng: np.random.Generator) -> None:
    a, b = quadrilaterals(rng, 400), quadrilaterals(rng, 600)
    dense = iou(a, b)
    for rows, columns in ((1, 1), (3, 17), (16, 16), (20, 100)):
        assert_bits(iou(a[:rows], b[:columns]), dense[:rows, :columns].copy())
    aligned = iou(a, b[:400], aligned=True)
    assert_bits(aligned, np.diagonal(dense).copy())
    many = np.tile(a, (50, 1)), np.tile(b[:400], (50, 1))
    assert_bits(iou(*many, aligned=True), np.tile(aligned, 50))


# ---- arguments and formats ---------------------------------------------------------------------


def test_points_lists_tensors_and_batches(rng: np.random.Generator) -> None:
    a, b = quadrilaterals(rng, 6), quadrilaterals(rng, 7)
    expected = iou(a, b)
    assert_bits(iou(a.reshape(6, 4, 2), b), expected)
    assert_bits(iou(a.reshape(6, 4, 2).tolist(), b.tolist()), expected)
    assert_bits(iou(np.stack([a, a]).reshape(2, 6, 4, 2), b)[1], expected)
    assert_bits(iou(np.asfortranarray(a), b[::1]), expected)
    for empty in ([], np.empty((0, 8)), np.empty((0, 4, 2))):
        assert iou(empty, b).shape == (0, 7)
        assert len(fastiou.pairs(empty, b, fmt=FMT)) == 0
    # Four points of integers are no masks of 4 × 2 pixels.
    whole = np.array([[[0, 0], [4, 0], [4, 4], [0, 4]]])
    assert fastiou.pairs(whole, whole, fmt=FMT).values.tolist() == [1.0]
    assert fastiou.box_area(whole, FMT).tolist() == [16.0]


def test_tensors(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    a, b = quadrilaterals(rng, 6), quadrilaterals(rng, 7)
    found = iou(torch.from_numpy(a).reshape(6, 4, 2), torch.from_numpy(b))
    assert isinstance(found, torch.Tensor)
    assert_bits(found.numpy(), iou(a, b))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            [0, 0, 1, 0, 1, 1, 0, 1],
            r"\(\.\.\., N, 8\) or \(\.\.\., N, 4, 2\), got \(8,\); one quad",
        ),
        ([[0, 0], [1, 0], [1, 1], [0, 1]], r"got \(4, 2\); one quadrilateral has shape \(1, 8\)"),
        (np.zeros((3, 9)), r"got \(3, 9\); where scores or classes follow .* pass boxes1\[:, :8\]"),
        (np.zeros((3, 4)), r"got \(3, 4\)"),
    ],
)
def test_other_shapes_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        iou(value, np.zeros((1, 8)))


def test_metrics_of_hulls_are_refused() -> None:
    for metric in ("giou", "diou", "ciou"):
        with pytest.raises(
            ValueError, match="metric of quadrilaterals must be one of 'iou', 'iof'"
        ):
            iou(np.zeros((1, 8)), np.zeros((1, 8)), metric=metric)


FORMATS = ["cxcywhr", "cxcywhr-rad", "cxcywhr-cw", "cxcywhr-rad-cw", "xywhr"]


@pytest.mark.parametrize("fmt", FORMATS)
def test_rotated_boxes_become_corners_and_come_back(rng: np.random.Generator, fmt: str) -> None:
    boxes = rotated_boxes(rng, 50)
    boxes[:5, 4] = [0, 90, 180, -90, 270]
    given = fastiou.box_convert(boxes, "cxcywhr", fmt)
    corners = fastiou.box_convert(given, fmt, FMT)
    assert_close(iou(corners, corners), fastiou.box_iou(given, given, fmt), 1e-13)
    back = fastiou.box_convert(corners, FMT, "cxcywhr")
    assert_close(back[:, :4], boxes[:, :4], 1e-12)
    turn = (back[:, 4] - boxes[:, 4] + 180) % 360 - 180
    assert_close(turn, np.zeros(50), 1e-10)
    again = fastiou.box_convert(corners, FMT, fmt)
    assert_close(fastiou.box_convert(again, fmt, FMT), corners, 1e-12)


def test_corners_by_hand() -> None:
    upright = [[1, 2, 5, 2, 5, 4, 1, 4]]
    for fmt, box in (
        ("xyxy", [1, 2, 5, 4]),
        ("xywh", [1, 2, 4, 2]),
        ("cxcywh", [3, 3, 4, 2]),
        ("cxcywhr", [3, 3, 4, 2, 0]),
        ("xywhr", [1, 2, 4, 2, 0]),
    ):
        assert fastiou.box_convert([box], fmt, FMT).tolist() == upright
    # Counter-clockwise as seen in the image: the top left corner comes to lie at the bottom left.
    quarter = fastiou.box_convert([[3, 3, 4, 2, 90]], "cxcywhr", FMT)
    assert quarter.tolist() == [[2, 5, 2, 1, 4, 1, 4, 5]]
    assert fastiou.box_convert(quarter, FMT, "cxcywhr").tolist() == [[3, 3, 4, 2, 90]]
    empty = fastiou.box_convert([[3, 3, 0, 2, 0], [3, 3, -1, -1, 5]], "cxcywhr", FMT)
    assert fastiou.box_area(empty, FMT).tolist() == [0, 0]
    missing = fastiou.box_convert([[3, np.nan, 4, 2, 90.0]], "cxcywhr", FMT)
    assert np.isnan(fastiou.box_area(missing, FMT)).all()
    single = fastiou.box_convert(np.array([[3, 3, 4, 2, 30]], np.float32), "cxcywhr", FMT)
    assert single.dtype == np.float32
    assert_close(fastiou.box_convert(single, FMT, "cxcywhr"), [[3, 3, 4, 2, 30]], 1e-5)
    batches = fastiou.box_convert(np.zeros((2, 3, 5)), "cxcywhr", FMT)
    assert batches.shape == (2, 3, 8)
    assert fastiou.box_convert(batches.reshape(2, 3, 4, 2), FMT, FMT).shape == (2, 3, 8)


def test_many_corners_are_converted_in_pieces(rng: np.random.Generator) -> None:
    boxes = np.tile(rotated_boxes(rng, 100), (3000, 1))
    corners = fastiou.box_convert(boxes, "cxcywhr", FMT)
    assert_bits(corners[-100:], fastiou.box_convert(boxes[:100], "cxcywhr", FMT))
    assert fastiou.box_convert(corners, FMT, "cxcywhr").shape == boxes.shape


def test_what_is_no_rectangle_stays() -> None:
    square = [0, 0, 10, 0, 10, 10, 0, 10]
    for other in ([0, 0, 10, 0, 11, 10, 0, 10], [0, 0, 10, 0, 12, 10, 2, 10], [0] * 7 + [1]):
        with pytest.raises(
            ValueError, match=r"quadrilateral that is no rectangle, which 'cxcywhr' cannot hold: \["
        ):
            fastiou.box_convert([square, other], FMT, "cxcywhr")
    with pytest.raises(ValueError, match=r"cannot be converted to 'xyxy', .* 'cxcywhr' holds all"):
        fastiou.box_convert([square], FMT, "xyxy")
