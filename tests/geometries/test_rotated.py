"""Rotated boxes against exact clipping, the reference and themselves, in every relation.

The property tests take few examples. `pytest --hypothesis-profile thorough tests/geometries`
runs 10,000 of each.
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
from boxes_for_tests import Array
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scenes_for_tests import EXAMPLES

import fastiou
from fastiou import reference

FLOATS = [np.float32, np.float64]

#: Of relations: the loops are the same for both types.
RELATION_FLOATS = [pytest.param(np.float32, marks=pytest.mark.thorough), np.float64]
RATIOS = ["iou", "iof", "ios", "dice"]
FORMATS = ["cxcywhr", "cxcywhr-rad", "cxcywhr-cw", "cxcywhr-rad-cw", "xywhr"]

#: How far scores may be from the exact ones.
TOLERANCES = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-12}


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


def assert_close(actual: Array, expected: Any, tolerance: float | None = None) -> None:
    """Within the tolerance of the dtype; NaN in the same places."""
    tolerance = TOLERANCES[actual.dtype] if tolerance is None else tolerance
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def assert_bits(actual: Any, expected: Array) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


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


def test_exact_clipping_by_hand() -> None:
    square = np.array([0.0, 0, 2, 2, 0])
    diamond = np.array([0.0, 0, 2, 2, 45])
    octagon = 8 * (math.sqrt(2) - 1)
    assert exact_score(square, diamond, metric="intersection") == pytest.approx(octagon, rel=1e-15)
    assert exact_score(square, np.array([1.0, 0, 2, 2, 90])) == 1 / 3
    assert exact_score(square, np.array([2.0, 0, 2, 2, 180])) == 0
    assert exact_score(square, square + np.array([0, 0, 0, 0, 270])) == 1
    # Counter-clockwise as seen in the image, whose y points down: the right end goes up.
    long = np.array([0.0, 0, 8, 1, 30])
    end = np.array([3.5 * math.cos(math.pi / 6), -3.5 * math.sin(math.pi / 6), 0.1, 0.1, 0])
    assert exact_score(end, long, metric="iof") == 1
    assert exact_score(end, long, "cxcywhr-cw", "iof") == 0
    # The corner that is the top left one of the unrotated box, here the lower left one.
    assert exact_score(np.array([0.0, 2, 2, 4, 90]), np.array([2.0, 0, 4, 2, 0]), "xywhr") == 1 / 3


# ---- published cases and families that break others --------------------------------------------

ANGLES_OF_CASES = {
    "degrees_ccw_in_image (y down)": "cxcywhr",
    "degrees_cw_in_image (y down)": "cxcywhr-cw",
    "radians_ccw_in_image": "cxcywhr-rad",
    "radians_cw_in_image": "cxcywhr-rad-cw",
}


def test_published_cases(real_data: Path) -> None:
    """Inputs that some library was seen to be wrong on, and what is right."""
    count = 0
    for case in json.loads((real_data / "geometry" / "vectors.json").read_text())["cases"]:
        for dtype in case["dtypes"] if case["kind"].startswith("rotated_") else []:
            count += 1
            a, b = (np.array(case[name], dtype) for name in "ab")
            fmt, kind = ANGLES_OF_CASES[case["angle"]], case["kind"]
            if kind == "rotated_nms":
                kept = fastiou.nms(a, b, case["threshold"], fmt=fmt)
                assert kept.tolist() == case["expected"], case["source"]
                continue
            actual = fastiou.box_iou(a, b, fmt, metric=kind.removeprefix("rotated_"))
            tolerance = max(case["atol"], 1e-6 if dtype == "float32" else 0)
            np.testing.assert_allclose(
                actual, case["expected"], rtol=0, atol=tolerance, err_msg=case["source"]
            )
    assert count >= 40


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


def identical(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    return a, a.copy()


def turned_by_quarters(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    return a, swapped(a, 90 * rng.choice([-3, -1, 1, 3], len(a)))


def turned_by_halves(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    b = a.copy()
    b[:, 4] += 180 * rng.choice([-2, -1, 1, 2, 3], len(a))
    return a, b


def half_a_box(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    """It shares three edges with the whole one."""
    b = moved(a, 0.25, 0)
    b[:, 2] /= 2
    return a, b


def touching(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    return a, moved(a, 1.0, rng.choice([0, 0.25, 1], len(a)))


def nearly_parallel(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    b = a.copy()
    b[:, 4] += 10 ** rng.uniform(-14, -5, len(a)) * rng.choice([-1, 1], len(a))
    return a, b


def around_45_degrees(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    """Where sides are swapped and where not, as they are held."""
    count = len(a)
    a[:, 4] = 45 + rng.choice([-1, 0, 1], count) * 10 ** rng.uniform(-14, -3, count)
    b = swapped(a, 0)
    b[:, 4] = -45 + rng.choice([-1, 0, 1], count) * 10 ** rng.uniform(-14, -3, count)
    return a, b


def anywhere(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    b = a.copy()
    b[:, :2] += rng.normal(0, 12, (len(a), 2))
    b[:, 2:4] = rng.uniform(5, 60, (len(a), 2))
    b[:, 4] = rng.uniform(-180, 180, len(a))
    return a, b


def tiny(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    a[:, :2] /= 1e6
    a[:, 2:4] = rng.uniform(0.5e-5, 2e-5, (len(a), 2))
    b = moved(a, rng.normal(0, 0.3, len(a)), rng.normal(0, 0.3, len(a)))
    b[:, 4] += rng.normal(0, 20, len(a))
    return a, b


def sizes_of_any_order(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    a[:, 2:4] = 10 ** rng.uniform(-5, 5, (len(a), 2))
    b = moved(a, rng.uniform(-0.5, 0.5, len(a)), rng.uniform(-0.5, 0.5, len(a)))
    b[:, 2:4] = 10 ** rng.uniform(-5, 5, (len(a), 2))
    b[:, 4] = rng.uniform(-180, 180, len(a))
    return a, b


def long_and_parallel(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    """A thousand times as long as wide, and crossing at an angle where half of them is shared."""
    count = len(a)
    a[:, 2] = rng.uniform(50, 500, count)
    a[:, 3] = a[:, 2] / 1000
    b = moved(a, rng.normal(0, 0.25, count), rng.normal(0, 0.15, count))
    b[:, 4] += np.degrees(rng.normal(0, 1, count) / 1000)
    b[:, 2:4] *= rng.uniform(0.8, 1.25, (count, 2))
    return a, b


def far_away(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    """As far as float64 or float32 hold eighths."""
    far = 1e6 if a.dtype == np.float32 else 1e9
    a[:, :2] = np.round(a[:, :2] * 8) / 8 + far
    b = a.copy()
    b[:, :2] += np.round(rng.normal(0, 10, (len(a), 2)) * 8) / 8
    b[:, 2:4] *= rng.uniform(0.8, 1.25, (len(a), 2))
    b[:, 4] += rng.normal(0, 20, len(a))
    return a, b


def whole_numbers(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    """Corners on edges, and edges on edges."""
    angles = [0, 15, 30, 45, 60, 90, 135, 180, -45, -90, 270]
    for boxes in (a, b := a.copy()):
        boxes[:, :2] = rng.integers(0, 8, (len(a), 2))
        boxes[:, 2:4] = rng.integers(1, 9, (len(a), 2))
        boxes[:, 4] = rng.choice(angles, len(a))
    return a, b


def equal_sides(rng: np.random.Generator, a: Array) -> tuple[Array, Array]:
    """Whose order is told by nothing but their places and angles."""
    b = a.copy()
    b[: len(a) // 2, 0] += 5
    b[:, 1] += rng.choice([-5, 5], len(a))
    b[:, 4] = rng.uniform(-180, 180, len(a))
    return a, b


Family = Callable[[np.random.Generator, Array], tuple[Array, Array]]

FAMILIES: list[Family] = [
    identical,
    turned_by_quarters,
    turned_by_halves,
    half_a_box,
    touching,
    nearly_parallel,
    around_45_degrees,
    anywhere,
    tiny,
    sizes_of_any_order,
    long_and_parallel,
    far_away,
    whole_numbers,
    equal_sides,
]


def family_of(
    rng: np.random.Generator, family: Family, count: int, dtype: type
) -> tuple[Array, Array]:
    a = np.concatenate(
        [
            rng.uniform(0, 1000, (count, 2)),
            rng.uniform(5, 60, (count, 2)),
            # To 12 bits after the point, so that turns are exact.
            np.round(rng.uniform(-180, 180, (count, 1)) * 4096) / 4096,
        ],
        axis=1,
    ).astype(dtype)
    a, b = family(rng, a)
    assert a.dtype == b.dtype == dtype
    return a, b


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", [*RATIOS, "intersection"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_families(rng: np.random.Generator, family: Family, metric: str, dtype: type) -> None:
    a, b = family_of(rng, family, 24, dtype)
    actual = fastiou.box_iou(a, b, "cxcywhr", metric=metric, aligned=True)
    expected = exact_scores(a, b, metric=metric)
    if metric == "intersection":
        smaller_area = np.minimum(a[:, 2] * a[:, 3], b[:, 2] * b[:, 3])
        actual, expected = actual / smaller_area, expected / smaller_area
    assert_close(actual, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fmt", FORMATS[1:])
def test_families_in_other_formats(rng: np.random.Generator, fmt: str, dtype: type) -> None:
    # Far away, a centre made of a corner and sides would be rounded.
    others = [] if fmt == "xywhr" else [far_away]
    for family in (identical, half_a_box, anywhere, whole_numbers, *others):
        pair = [
            fastiou.box_convert(boxes.astype(np.float64), "cxcywhr", fmt)
            for boxes in family_of(rng, family, 8, dtype)
        ]
        a, b = (boxes.astype(dtype) for boxes in pair)
        assert_close(fastiou.box_iou(a, b, fmt, aligned=True), exact_scores(a, b, fmt))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_the_reference_in_families(rng: np.random.Generator, family: Family) -> None:
    a, b = family_of(rng, family, 12, np.float64)
    actual = np.diagonal(reference.rotated_iou(a, b))
    assert_close(actual, exact_scores(a, b), 1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fmt", FORMATS)
def test_a_proper_box_scores_exactly_1_with_itself(
    rng: np.random.Generator, fmt: str, dtype: type
) -> None:
    boxes = rotated(rng, 2000, dtype)
    boxes[::3, 2:4] *= 10 ** rng.uniform(-5, 5, (667, 2)).astype(dtype)
    boxes[1::3, :2] += dtype(1e6)
    scores = fastiou.box_iou(boxes, boxes, fmt, aligned=True)
    assert (scores == 1).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("family", [turned_by_quarters, turned_by_halves])
def test_a_box_scores_exactly_1_with_its_turned_forms(
    rng: np.random.Generator, family: Family, dtype: type
) -> None:
    a, b = family_of(rng, family, 2000, dtype)
    for fmt in ("cxcywhr", "cxcywhr-cw"):
        assert (fastiou.box_iou(a, b, fmt, aligned=True) == 1).all()
    if dtype == np.float64:
        b[:, 4] += 360 * rng.integers(-300_000, 300_000, len(b))
        assert (fastiou.box_iou(a, b, "cxcywhr", aligned=True) == 1).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_quarters_are_exact(dtype: type) -> None:
    angles = np.array([-720, -450, -180, -90, 0, 90, 180, 270, 360, 36000, 90 * 2**15])
    boxes = np.tile(np.array([3, 4, 8, 2, 0], dtype), (len(angles), 1))
    boxes[:, 4] = angles
    upright = angles % 180 != 0
    boxes[upright, 2:4] = [2, 8]
    scores = fastiou.box_iou(boxes, boxes, "cxcywhr")
    np.testing.assert_array_equal(scores, 1)
    crossed = boxes[:, [0, 1, 3, 2, 4]]
    np.testing.assert_array_equal(fastiou.box_iou(boxes, crossed, "cxcywhr"), dtype(4 / 28))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", ["iou", "ios", "dice", "intersection"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_both_orders_have_the_same_bits(
    rng: np.random.Generator, family: Family, metric: str, dtype: type
) -> None:
    a, b = family_of(rng, family, 300, dtype)
    forth = fastiou.box_iou(a, b, "cxcywhr", metric=metric, aligned=True)
    back = fastiou.box_iou(b, a, "cxcywhr", metric=metric, aligned=True)
    assert_bits(forth, back)
    if metric != "intersection":
        assert ((forth >= 0) & (forth <= 1)).all()


def test_both_orders_of_a_dense_result(rng: np.random.Generator) -> None:
    for boxes in (rotated(rng, 150), rotated(rng, 150, np.float32), awkward()):
        scores = fastiou.box_iou(boxes, boxes, "cxcywhr")
        assert_bits(scores, scores.T.copy())
        assert_bits(fastiou.box_iou(boxes[::-1], boxes, "cxcywhr"), scores[::-1].copy())


@pytest.mark.parametrize("metric", [*RATIOS, "intersection"])
def test_without_rotation_as_plain_boxes(rng: np.random.Generator, metric: str) -> None:
    a, b = rotated(rng, 60), rotated(rng, 80)
    a[:, 4] = b[:, 4] = 0
    b[:20] = a[:20]
    plain = fastiou.box_iou(a[:, :4], b[:, :4], "cxcywh", metric=metric)
    actual = fastiou.box_iou(a, b, "cxcywhr", metric=metric)
    # Corners of plain boxes are rounded, which these here have not.
    tolerance = 1e-12 if metric == "intersection" else 1e-14
    assert_close(actual, plain, tolerance)
    areas = a[:20, 2] * a[:20, 3]
    itself = areas if metric == "intersection" else np.ones(20)
    np.testing.assert_array_equal(np.diagonal(actual)[:20], itself)
    whole1, whole2 = (np.round(boxes) for boxes in (a, b))
    whole1[:, 2:4] += 1
    whole2[:, 2:4] += 1
    for turn in (0, 90, 180, -90):
        turned1 = swapped(whole1, turn) if turn % 180 else whole1 + np.array([0, 0, 0, 0, turn])
        actual = fastiou.box_iou(turned1, whole2, "cxcywhr", metric=metric)
        plain = fastiou.box_iou(whole1[:, :4], whole2[:, :4], "cxcywh", metric=metric)
        assert_close(actual, plain, 1e-15)


@pytest.mark.parametrize("dtype", FLOATS)
def test_touching_boxes_without_rotation_share_exactly_nothing(dtype: type) -> None:
    box = np.array([[0, 0, 2, 2, 0]], dtype)
    others = [[2, 0, 2, 2, 90], [0, 2, 2, 2, 0], [2, 2, 2, 2, 180], [-3, 0, 2, 4, 90]]
    assert not fastiou.box_iou(box, np.array(others, dtype), "cxcywhr").any()


@pytest.mark.parametrize("dtype", FLOATS)
def test_hulls_that_are_apart_share_exactly_nothing(rng: np.random.Generator, dtype: type) -> None:
    boxes = rotated(rng, 200, dtype)
    scores = fastiou.box_iou(boxes, boxes, "cxcywhr")
    angles = np.radians(boxes[:, 4].astype(np.float64))
    cosine, sine = np.abs(np.cos(angles)), np.abs(np.sin(angles))
    reach_x = (boxes[:, 2] * cosine + boxes[:, 3] * sine) / 2
    reach_y = (boxes[:, 2] * sine + boxes[:, 3] * cosine) / 2
    apart_x = np.abs(boxes[:, 0, None] - boxes[:, 0]) > (reach_x[:, None] + reach_x) * 1.000001
    apart_y = np.abs(boxes[:, 1, None] - boxes[:, 1]) > (reach_y[:, None] + reach_y) * 1.000001
    assert 0 < (apart_x | apart_y).sum() < scores.size
    assert not scores[apart_x | apart_y].any()


def drawn(dtype: Any) -> st.SearchStrategy[Array]:
    """Few distinct numbers make coincident edges and corners common."""
    width = 8 * np.dtype(dtype).itemsize
    place = st.integers(-4, 4).map(float) | st.floats(-50, 50, width=width)  # type: ignore[arg-type]
    side = st.integers(-1, 8).map(float) | st.floats(0.125, 64, width=width)  # type: ignore[arg-type]
    angle = (
        st.integers(-24, 24).map(lambda part: 15.0 * part)
        | st.floats(-1000, 1000, width=width)  # type: ignore[arg-type]
        | st.sampled_from([45.00001, 89.99999, 1e-6, 1e-20, math.nan])
    )
    box = st.tuples(place, place, side, side, angle)
    return st.lists(box, max_size=8).map(lambda boxes: np.array(boxes, dtype).reshape(-1, 5))


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data(), fmt=st.sampled_from(["cxcywhr", "cxcywhr-cw", "cxcywhr-rad"]))
@EXAMPLES
def test_any_boxes(data: st.DataObject, fmt: str, dtype: type) -> None:
    a, b = (data.draw(drawn(dtype)) for _ in "ab")
    actual = fastiou.box_iou(a, b, fmt)
    assert_close(actual, reference.rotated_iou(a, b, fmt))
    assert_bits(fastiou.box_iou(b, a, fmt), actual.T.copy())
    present = actual[~np.isnan(actual)]
    assert ((present >= 0) & (present <= 1)).all()
    missing1, missing2 = (np.isnan(boxes).any(axis=1) for boxes in (a, b))
    np.testing.assert_array_equal(np.isnan(actual), missing1[:, None] | missing2)
    itself = fastiou.box_iou(a, a, fmt, aligned=True)
    empty = (a[:, 2:4] <= 0).any(axis=1)
    np.testing.assert_array_equal(itself, np.where(missing1, np.nan, np.where(empty, 0, 1)))
    found = fastiou.pairs(a, b, 0.2, fmt=fmt)
    for part, expected in zip(found, reference.box_pairs(np.nan_to_num(actual), 0.2), strict=True):
        np.testing.assert_array_equal(part, expected)


@given(
    numbers=hnp.arrays(
        np.float64, (6, 5), elements=st.floats(allow_nan=False, allow_infinity=False)
    ),
    fmt=st.sampled_from(["cxcywhr", "cxcywhr-cw", "cxcywhr-rad"]),
)
@EXAMPLES
def test_any_finite_numbers_at_all(numbers: Array, fmt: str) -> None:
    scores = fastiou.box_iou(numbers, numbers, fmt)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert_bits(scores, scores.T.copy())


# ---- every relation ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", RELATION_FLOATS)
@pytest.mark.parametrize(
    "metric",
    ["iou", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("iof", "ios", "dice"))],
)
@pytest.mark.usefixtures("any_threads")
def test_relations_have_the_bits_of_the_dense_result(
    rng: np.random.Generator, metric: str, dtype: type
) -> None:
    a, b = rotated(rng, 170, dtype), rotated(rng, 90, dtype)
    b[:40] = moved(a[:40], 0.1, -0.1)
    b[40:50] = swapped(a[40:50], 90)
    options: dict[str, Any] = {"fmt": "cxcywhr", "metric": metric}
    dense = fastiou.box_iou(a, b, **options)
    assert dense.dtype == dtype
    assert_close(dense, reference.rotated_iou(a, b, metric=metric))
    aligned = fastiou.box_iou(a[:90], b, aligned=True, **options)
    assert_bits(aligned, np.diagonal(dense).copy())
    for threshold in (1e-6, 0.1, 0.5, 1.0):
        found = fastiou.pairs(a, b, threshold, **options)
        for part, expected in zip(found, reference.box_pairs(dense, threshold), strict=True):
            assert_bits(part, expected)
    assert len(fastiou.pairs(a, b, 1e-6, **options)) > 300
    for k, threshold in ((1, 0.0), (4, 0.2)):
        best = fastiou.topk(a, b, k, threshold=threshold, **options)
        values, columns = reference.topk(dense, k, threshold)
        assert_bits(best.values, values)
        np.testing.assert_array_equal(best.indices, columns)
    rows, cols = reference.greedy_match(dense, 0.1)
    match = fastiou.match(a, b, 0.1, **options)
    assert (match.rows.tolist(), match.cols.tolist()) == (rows.tolist(), cols.tolist())
    assert_bits(match.values, dense[rows, cols])
    best_sum = fastiou.match(a, b, 0.1, method="optimal", **options).values.sum()
    assert best_sum >= match.values.sum()


@pytest.mark.parametrize("dtype", RELATION_FLOATS)
@pytest.mark.parametrize("grouped", [False, True])
def test_a_set_with_itself_and_groups(
    rng: np.random.Generator, grouped: bool, dtype: type, any_threads: str
) -> None:
    a, b = rotated(rng, 150, dtype), rotated(rng, 120, dtype)
    groups = rng.integers(0, 3, 150), rng.integers(0, 3, 120)
    itself = np.triu(fastiou.box_iou(a, a, "cxcywhr"), 1)
    both = fastiou.box_iou(a, b, "cxcywhr")
    of_itself, of_both = None, None
    if grouped:
        of_itself, of_both = groups
        itself[groups[0][:, None] != groups[0]] = 0
        both[groups[0][:, None] != groups[1]] = 0
        of_both = groups
    for found, dense in (
        (fastiou.pairs(a, threshold=0.1, fmt="cxcywhr", groups=of_itself), itself),
        (fastiou.pairs(a, b, 0.1, fmt="cxcywhr", groups=of_both), both),
    ):
        assert len(found) > 20
        for part, expected in zip(found, reference.box_pairs(dense, 0.1), strict=True):
            assert_bits(part, expected)
    best = fastiou.topk(a, b, 3, fmt="cxcywhr", groups=of_both)
    values, columns = reference.topk(both, 3)
    assert_bits(best.values, values)
    np.testing.assert_array_equal(best.indices, columns)


@pytest.mark.parametrize("dtype", RELATION_FLOATS)
@pytest.mark.parametrize("span", [40.0, 400.0])
def test_hard_suppression(rng: np.random.Generator, span: float, dtype: type) -> None:
    boxes = rotated(rng, 300, dtype)
    boxes[:, :2] *= dtype(span / 100)
    scores = rng.integers(0, 40, 300) / np.float32(32)
    groups = rng.integers(0, 2, 300)
    dense = fastiou.box_iou(boxes, boxes, "cxcywhr")
    for threshold in (0.1, 0.5):
        kept = fastiou.nms(boxes, scores, threshold, fmt="cxcywhr")
        assert kept.tolist() == reference.nms(dense, scores, threshold).tolist()
        kept = fastiou.nms(boxes, scores, threshold, fmt="cxcywhr", groups=groups)
        assert kept.tolist() == reference.nms(dense, scores, threshold, groups=groups).tolist()


@pytest.mark.parametrize("method", ["linear", "gaussian"])
@pytest.mark.parametrize("dtype", RELATION_FLOATS)
def test_soft_suppression(rng: np.random.Generator, method: str, dtype: type) -> None:
    boxes, scores = rotated(rng, 120, dtype), rng.random(120)
    dense = fastiou.box_iou(boxes, boxes, "cxcywhr")
    for least in (0.0, 0.3):
        options: dict[str, Any] = {"method": method, "score_threshold": least}
        kept = fastiou.nms(boxes, scores, 0.2, fmt="cxcywhr", **options)
        assert kept.tolist() == reference.nms(dense, scores, 0.2, **options).tolist()


def test_suppression_of_the_same_box_in_other_forms() -> None:
    boxes = awkward()[:4]
    assert fastiou.nms(boxes, [0.1, 0.4, 0.3, 0.2], 0.999, fmt="cxcywhr").tolist() == [1]


@pytest.mark.slow(on_one_thread=True)
def test_optimal_and_coco_matches(rng: np.random.Generator) -> None:
    a, b = rotated(rng, 60, span=50), rotated(rng, 9, span=50)
    ranks, crowd = rng.integers(0, 6, 60) / 4, np.arange(9) % 3 == 0
    dense = fastiou.box_iou(a, b, "cxcywhr")
    rows, cols = reference.optimal_match(dense, 0.2)
    found = fastiou.match(a, b, 0.2, method="optimal", fmt="cxcywhr")
    assert found.values.sum() == pytest.approx(dense[rows, cols].sum(), rel=0, abs=1e-12)
    mixed = fastiou.box_iou(a, b, "cxcywhr", iscrowd=crowd)
    shares = fastiou.box_iou(a, b, "cxcywhr", metric="iof")
    assert_bits(mixed, np.where(crowd, shares, dense))
    options: dict[str, Any] = {"method": "coco", "scores": ranks, "fmt": "cxcywhr"}
    for scores, given_crowd in ((dense, None), (mixed, crowd)):
        rows, cols = reference.coco_match(scores, 0.2, ranks, given_crowd)
        found = fastiou.match(a, b, 0.2, iscrowd=given_crowd, **options)
        assert (found.rows.tolist(), found.cols.tolist()) == (rows.tolist(), cols.tolist())
        assert_bits(found.values, scores[rows, cols])
    batched = fastiou.box_iou(np.stack([a, a]), b, "cxcywhr", iscrowd=crowd)
    assert_bits(batched, np.stack([mixed, mixed]))
    aligned = fastiou.box_iou(a[:9], b, "cxcywhr", iscrowd=crowd, aligned=True)
    assert_bits(aligned, np.diagonal(mixed).copy())


@pytest.mark.parametrize("dtype", FLOATS)
def test_missing_empty_and_inverted_boxes(dtype: type) -> None:
    boxes = awkward(dtype)
    scores = fastiou.box_iou(boxes, boxes, "cxcywhr")
    assert_close(scores, reference.rotated_iou(boxes, boxes))
    missing = np.isin(np.arange(len(boxes)), MISSING)
    np.testing.assert_array_equal(np.isnan(scores), missing[:, None] | missing)
    present = np.nan_to_num(scores)
    assert not present[EMPTY].any()
    assert not present[:, EMPTY].any()
    assert (present[:4, :4] == 1).all()
    found = fastiou.pairs(boxes, boxes, 1e-9, fmt="cxcywhr")
    for part, expected in zip(found, reference.box_pairs(present, 1e-9), strict=True):
        assert_bits(part, expected)
    best = fastiou.topk(boxes, boxes, 2, fmt="cxcywhr")
    np.testing.assert_array_equal(best.indices, reference.topk(present, 2)[1])
    # What overlaps nothing is kept.
    kept = fastiou.nms(boxes, np.arange(len(boxes))[::-1].copy(), 0.01, fmt="cxcywhr")
    assert {*MISSING, *EMPTY} <= set(kept.tolist())
    np.testing.assert_array_equal(
        fastiou.box_iou(boxes, boxes, "cxcywhr", aligned=True), np.diagonal(scores)
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("column", range(5))
def test_infinite_numbers_are_refused_by_row(column: int, value: float) -> None:
    boxes = np.tile([1.0, 2, 3, 4, 5], (9, 1))
    bad = boxes.copy()
    bad[5, column] = value
    bad[6, 1] = np.nan
    bad[7, column] = value
    for fmt in FORMATS:
        with pytest.raises(ValueError, match=r"boxes2 has an infinite coordinate in row 5: \["):
            fastiou.box_iou(boxes, bad, fmt)
    with pytest.raises(ValueError, match="boxes1 has an infinite coordinate in row 5"):
        fastiou.box_iou(bad, boxes, "cxcywhr", aligned=True)
    with pytest.raises(ValueError, match=r"boxes1 has an infinite coordinate in row \(0, 5\)"):
        fastiou.box_iou(bad[None], boxes, "cxcywhr")
    with pytest.raises(ValueError, match=r"^b has an infinite coordinate in row 5"):
        fastiou.pairs(boxes, bad, fmt="cxcywhr", groups=(np.zeros(9, int), np.arange(9)[::-1]))
    with pytest.raises(ValueError, match=r"^a has an infinite coordinate in row 5"):
        fastiou.nms(bad, np.arange(9), fmt="cxcywhr")
    for single in (fastiou.box_area, lambda boxes, fmt: fastiou.box_convert(boxes, fmt, "xywhr")):
        with pytest.raises(ValueError, match="boxes has an infinite coordinate in row 5"):
            single(bad, "cxcywhr")


@pytest.mark.parametrize("dtype", [*FLOATS, np.int64, np.float16])
def test_no_boxes(dtype: type) -> None:
    for sizes in ((0, 0), (0, 3), (3, 0)):
        a, b = (np.ones((size, 5), dtype) for size in sizes)
        assert fastiou.box_iou(a, b, "cxcywhr").shape == sizes
        assert fastiou.box_iou(a[None], b, "cxcywhr").shape == (1, *sizes)
        assert fastiou.box_iou(a, a, "cxcywhr", aligned=True).shape == sizes[:1]
        assert fastiou.pairs(a, b, fmt="cxcywhr").to_scipy().shape == sizes
        assert (
            fastiou.topk(a, b, 2, fmt="cxcywhr").indices.tolist()
            == [[0 if sizes[1] else -1, 1 if sizes[1] else -1]] * sizes[0]
        )
        assert fastiou.nms(a[:0], [], fmt="cxcywhr").tolist() == []
        assert len(fastiou.match(a, b, fmt="cxcywhr")) == 0
        assert fastiou.box_area(a, "cxcywhr").shape == sizes[:1]
        assert fastiou.box_convert(a, "cxcywhr", "xywhr").shape == (sizes[0], 5)
    assert fastiou.box_iou([], [[0, 0, 1, 1, 0]], "cxcywhr").shape == (0, 1)


# ---- sizes and dtypes --------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-660, -400, -100, 100, 400, 500])
def test_scores_have_no_units(rng: np.random.Generator, exponent: int) -> None:
    """Boxes 2**500 (1e150) times as large, or as small, score the same."""
    boxes = rotated(rng, 40, span=8)
    large = boxes.copy()
    large[:, :4] = np.ldexp(boxes[:, :4], exponent)
    expected = fastiou.box_iou(boxes, boxes, "cxcywhr")
    assert_bits(fastiou.box_iou(large, large, "cxcywhr"), expected)
    found = fastiou.pairs(large, threshold=0.1, fmt="cxcywhr")
    for part, wanted in zip(found, reference.box_pairs(np.triu(expected, 1), 0.1), strict=True):
        assert_bits(part, wanted)


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1e160, 1e300])
def test_huge_and_tiny_boxes(size: float) -> None:
    ones = np.array([[0, 0, 2, 1, 0], [0, 0, 1, 2, 90], [0.5, 0, 1, 1, 0], [0, 0, 1, 1, 45]])
    boxes = ones * [size, size, size, size, 1]
    scores = fastiou.box_iou(boxes, boxes, "cxcywhr")
    assert_close(scores, reference.rotated_iou(ones, ones), 1e-14)
    assert_close(reference.rotated_iou(boxes, boxes), scores, 1e-14)
    np.testing.assert_array_equal(np.diagonal(scores), 1)
    assert scores[0, 1] == 1
    assert fastiou.pairs(boxes, threshold=0.99, fmt="cxcywhr").cols.tolist() == [1]
    assert fastiou.nms(boxes, [4, 3, 2, 1], 0.99, fmt="cxcywhr").tolist() == [0, 2, 3]


@pytest.mark.parametrize("exponent", [-140, -60, 60, 110])
@pytest.mark.slow
def test_sizes_whose_squares_leave_float32(rng: np.random.Generator, exponent: int) -> None:
    boxes = np.round(rotated(rng, 40, np.float32) * 8)
    large = boxes.copy()
    large[:, :4] = np.ldexp(boxes[:, :4], exponent)
    scores = fastiou.box_iou(large, large, "cxcywhr")
    assert scores.dtype == np.float32
    assert_close(scores, fastiou.box_iou(boxes, boxes, "cxcywhr"))
    np.testing.assert_array_equal(np.diagonal(scores), 1)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64])
def test_integers(rng: np.random.Generator, dtype: type) -> None:
    boxes = np.concatenate(
        [
            rng.integers(20, 90, (60, 2)),
            rng.integers(0, 60, (60, 2)),
            rng.integers(0, 120, (60, 1)),
        ],
        axis=1,
    )
    if np.iinfo(dtype).min < 0:
        boxes[:, 4] *= rng.choice([-1, 1], 60)
    a, b = boxes[:25].astype(dtype), boxes[25:].astype(dtype)
    expected = fastiou.box_iou(boxes[:25].astype(float), boxes[25:].astype(float), "cxcywhr")
    assert_bits(fastiou.box_iou(a, b, "cxcywhr"), expected)
    assert_close(expected, reference.rotated_iou(boxes[:25], boxes[25:]))
    if np.dtype(dtype).itemsize < 8:
        return
    for fmt in ("cxcywhr", "xywhr"):
        expected = fastiou.box_iou(boxes[:25], boxes[25:], fmt)
        far1, far2 = a.copy(), b.copy()
        far1[:, :2] += dtype(2**62 + 1)
        far2[:, :2] += dtype(2**62 + 1)
        assert_close(fastiou.box_iou(far1, far2, fmt), expected)
        found = fastiou.pairs(far1, far2, 0.1, fmt=fmt)
        wanted = fastiou.pairs(boxes[:25], boxes[25:], 0.1, fmt=fmt)
        assert found.cols.tolist() == wanted.cols.tolist()


def test_integers_far_from_each_other() -> None:
    """No common origin makes two clusters 2**62 apart exact in float64. Each by itself is."""
    near = np.array([[0, 0, 40, 20, 30], [5, 3, 40, 20, 75]])
    both = np.concatenate([near, near + np.array([2**62 + 1, 0, 0, 0, 0])])
    with pytest.raises(ValueError, match=r"integer coordinates of rotated boxes must lie within 4"):
        fastiou.box_iou(both, both, "cxcywhr")
    found = fastiou.box_iou(both[2:], both[2:], "cxcywhr")
    np.testing.assert_array_equal(found, fastiou.box_iou(near, near, "cxcywhr"))


def test_angles_beyond_the_integers_of_float64() -> None:
    boxes = np.array([[0, 0, 8, 2, 2**62 + 1]])
    others = np.array([[0, 0, 8, 2, (2**62 + 1) % 360]])
    np.testing.assert_array_equal(fastiou.box_iou(boxes, others, "cxcywhr"), 1)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ((np.float16, np.float16), np.float32),
        ((np.float16, np.float32), np.float32),
        ((np.float32, np.float64), np.float64),
        ((np.uint8, np.uint8), np.float64),
        ((np.int32, np.float32), np.float64),
    ],
)
def test_result_dtype(dtypes: tuple[type, type], expected: type) -> None:
    a, b = (np.array([[5, 5, 4, 2, 45], [5, 5, 4, 4, 0]], dtype) for dtype in dtypes)
    dense = fastiou.box_iou(a, b, "cxcywhr")
    assert dense.dtype == expected
    assert dense[0, 0] == dense[1, 1] == 1
    assert_close(dense, reference.rotated_iou(a.astype(float), b.astype(float)), 1e-6)
    aligned = fastiou.box_iou(a, b, "cxcywhr", aligned=True)
    assert_bits(aligned, np.diagonal(dense).copy())
    assert fastiou.pairs(a, b, fmt="cxcywhr").values.dtype == expected
    assert fastiou.box_area(a, "cxcywhr").dtype == (
        np.float32 if dtypes[0] in (np.float16, np.float32) else np.float64
    )


def test_float16_does_not_overflow() -> None:
    boxes = np.array([[0, 0, 1000, 1000, 30], [0, 0, 500, 1000, 30]], np.float16)
    np.testing.assert_array_equal(fastiou.box_iou(boxes, boxes, "cxcywhr"), [[1, 0.5], [0.5, 1]])


# ---- formats -----------------------------------------------------------------------------------


def test_formats_by_hand() -> None:
    degrees = [10, 20, 8, 4, 90]
    expected = {
        "cxcywhr": degrees,
        "cxcywhr-rad": [10, 20, 8, 4, math.pi / 2],
        "cxcywhr-cw": [10, 20, 8, 4, -90],
        "cxcywhr-rad-cw": [10, 20, 8, 4, -math.pi / 2],
        "xywhr": [8, 24, 8, 4, 90],
    }
    for fmt, box in expected.items():
        assert_close(fastiou.box_convert([degrees], "cxcywhr", fmt), [box], 1e-14)
        assert_close(fastiou.box_convert([box], fmt, "cxcywhr"), [degrees], 1e-14)


@pytest.mark.parametrize("out_fmt", FORMATS)
@pytest.mark.parametrize("in_fmt", FORMATS)
def test_formats_agree(rng: np.random.Generator, in_fmt: str, out_fmt: str) -> None:
    boxes, others = rotated(rng, 40), rotated(rng, 30)
    before = boxes.copy()
    converted, of_others = (fastiou.box_convert(some, in_fmt, out_fmt) for some in (boxes, others))
    np.testing.assert_array_equal(boxes, before)
    back = fastiou.box_convert(converted, out_fmt, in_fmt)
    assert_close(back, boxes, 1e-12)
    assert converted is not boxes
    if in_fmt == out_fmt:
        assert_bits(converted, boxes)
    assert_close(
        fastiou.box_iou(converted, of_others, out_fmt), fastiou.box_iou(boxes, others, in_fmt)
    )
    # By hand: the corners are the same.
    for one, other in zip(boxes[:8], converted[:8], strict=True):
        points1, points2 = (
            np.array(corners(*some), float) for some in ((one, in_fmt), (other, out_fmt))
        )
        assert_close(points1, points2, 1e-11)


def test_conversions_keep_dtypes_and_batches(rng: np.random.Generator) -> None:
    for dtype, expected in (
        (np.float16, np.float16),
        (np.float32, np.float32),
        (">f8", np.float64),
        (np.int16, np.float64),
        (np.uint8, np.float64),
    ):
        boxes = np.abs(np.round(rotated(rng, 12))).astype(dtype).reshape(3, 4, 5)
        converted = fastiou.box_convert(boxes, "xywhr", "cxcywhr-cw")
        assert (converted.shape, converted.dtype) == ((3, 4, 5), expected)
        np.testing.assert_array_equal(converted[..., 4], -boxes[..., 4].astype(float))
        np.testing.assert_array_equal(converted[..., 2:4], boxes[..., 2:4])
    strange = fastiou.box_convert(awkward(), "cxcywhr", "xywhr")
    np.testing.assert_array_equal(np.isnan(strange[MISSING]).any(axis=1), True)
    np.testing.assert_array_equal(strange[EMPTY, 2:4], awkward()[EMPTY, 2:4])


def test_formats_of_two_geometries_are_not_converted() -> None:
    with pytest.raises(ValueError, match="of one geometry, got 'cxcywhr' of rotated boxes and 'xy"):
        fastiou.box_convert([[0, 0, 1, 1, 0]], "cxcywhr", "xyxy")
    with pytest.raises(ValueError, match="out_fmt must be one of 'xyxy'"):
        fastiou.box_convert([[0, 0, 1, 1, 0]], "cxcywhr", "cxcywhr-ccw")


@pytest.mark.parametrize("dtype", FLOATS)
def test_areas(rng: np.random.Generator, dtype: type) -> None:
    boxes = rotated(rng, 60, dtype)
    for fmt in FORMATS:
        if fmt == "xywhr" and dtype == np.float32:
            continue  # see the next test
        areas = fastiou.box_area(boxes, fmt)
        assert_bits(areas, boxes[:, 2] * boxes[:, 3])
        assert_bits(fastiou.box_area(boxes.reshape(3, 20, 5), fmt), areas.reshape(3, 20))
    areas = fastiou.box_area(awkward(dtype), "cxcywhr")
    assert (areas[EMPTY] == 0).all()
    assert np.isnan(areas[MISSING]).all()
    assert areas[:4].tolist() == [60] * 4


@pytest.mark.slow
def test_corners_in_float32_are_computed_in_float64(rng: np.random.Generator) -> None:
    """Scores are float32, and as exact as with centres."""
    a, b = rotated(rng, 60, np.float32), rotated(rng, 50, np.float32)
    assert_bits(fastiou.box_area(a, "xywhr"), a[:, 2] * a[:, 3])
    dense = fastiou.box_iou(a, b, "xywhr")
    assert_bits(dense, fastiou.box_iou(a.astype(float), b, "xywhr").astype(np.float32))
    for part, expected in zip(
        fastiou.pairs(a, b, 0.2, fmt="xywhr"), reference.box_pairs(dense, 0.2), strict=True
    ):
        assert_bits(part, expected)


# ---- batches, layouts, out ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch1", "batch2"),
    [((3,), (3,)), ((3,), ()), ((), (3,)), ((2, 1), (3,)), ((2, 3), (2, 1)), ((0,), ())],
)
def test_batches_broadcast(
    rng: np.random.Generator, batch1: tuple[int, ...], batch2: tuple[int, ...]
) -> None:
    a = rotated(rng, int(np.prod(batch1)) * 5).reshape(*batch1, 5, 5)
    b = rotated(rng, int(np.prod(batch2)) * 7).reshape(*batch2, 7, 5)
    if a.size:
        a[..., 1, 4] = np.nan
    batch = np.broadcast_shapes(batch1, batch2)
    actual = fastiou.box_iou(a, b, "cxcywhr")
    assert actual.shape == (*batch, 5, 7)
    spread1, spread2 = np.broadcast_to(a, (*batch, 5, 5)), np.broadcast_to(b, (*batch, 7, 5))
    for index in np.ndindex(batch):
        expected = fastiou.box_iou(spread1[index], spread2[index], "cxcywhr")
        np.testing.assert_array_equal(actual[index], expected)
    aligned = fastiou.box_iou(a, b[..., :5, :], "cxcywhr", aligned=True)
    np.testing.assert_array_equal(aligned, np.diagonal(actual[..., :5], axis1=-2, axis2=-1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_any_memory_layout(rng: np.random.Generator, dtype: type) -> None:
    boxes = rotated(rng, 37).astype(dtype)
    expected = fastiou.box_iou(boxes, boxes, "cxcywhr")
    wide = np.zeros((2 * len(boxes), 8), boxes.dtype)
    wide[::2, 1:6] = boxes
    frozen = boxes.copy()
    frozen.flags.writeable = False
    packed = np.zeros(len(boxes), [("pad", "u1"), ("box", boxes.dtype, 5)])
    packed["box"] = boxes
    for variant in (
        np.asfortranarray(boxes),
        wide[::2, 1:6],
        boxes[::-1].copy()[::-1],
        boxes.astype(boxes.dtype.newbyteorder(">")),
        frozen,
        packed["box"],
        boxes.tolist() if dtype == np.float64 else boxes,
    ):
        before = np.array(variant)
        for pair in ((variant, boxes), (boxes, variant), (variant, variant)):
            np.testing.assert_array_equal(fastiou.box_iou(*pair, "cxcywhr"), expected)
        np.testing.assert_array_equal(variant, before)


@pytest.mark.parametrize("dtype", FLOATS)
def test_out_of_any_layout(rng: np.random.Generator, dtype: type) -> None:
    a, b = rotated(rng, 30, dtype), rotated(rng, 50, dtype)
    expected = fastiou.box_iou(a, b, "cxcywhr")
    for out in (
        np.full((30, 50), 7, dtype),
        np.full((50, 30), 7, dtype).T,
        np.full((60, 100), 7, dtype)[::2, ::-2],
        np.zeros(30 * 50 * np.dtype(dtype).itemsize + 1, "u1")[1:].view(dtype).reshape(30, 50),
    ):
        assert fastiou.box_iou(a, b, "cxcywhr", out=out) is out
        np.testing.assert_array_equal(out, expected)
    aligned = np.full((30, 2), 7, dtype)
    fastiou.box_iou(a, b[:30], "cxcywhr", aligned=True, out=aligned[:, 1])
    np.testing.assert_array_equal(aligned[:, 1], np.diag(expected[:, :30]))
    assert (aligned[:, 0] == 7).all()
    b[3, 2] = np.inf
    out = np.full((30, 50), 7, dtype)
    with pytest.raises(ValueError, match="infinite"):
        fastiou.box_iou(a, b, "cxcywhr", out=out)
    assert (out == 7).all()


@pytest.mark.thorough
def test_large_results_equal_small_ones(rng: np.random.Generator) -> None:
    for dtype in FLOATS:
        a, b = rotated(rng, 700, dtype), rotated(rng, 3_001, dtype)
        expected = np.concatenate(
            [fastiou.box_iou(a, part, "cxcywhr") for part in np.array_split(b, 40)], axis=1
        )
        assert_bits(fastiou.box_iou(a, b, "cxcywhr"), expected)
        rows, cols, _ = reference.box_pairs(expected, 0.3)
        found = fastiou.pairs(a, b, 0.3, fmt="cxcywhr")
        assert (found.rows.tolist(), found.cols.tolist()) == (rows.tolist(), cols.tolist())


# ---- angles of toolboxes -----------------------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("angles", ["le90", "le135", "oc"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_angles_in_a_range(rng: np.random.Generator, fmt: str, angles: str, dtype: type) -> None:
    boxes = rotated(rng, 300)
    boxes[:40, 4] = np.arange(-20, 20) * 45
    boxes[40:80, 4] = np.nextafter(boxes[:40, 4], np.inf)
    boxes[80:120, 4] = np.nextafter(boxes[:40, 4], -np.inf)
    boxes = fastiou.box_convert(boxes, "cxcywhr", fmt).astype(dtype)
    found = fastiou.box_convert(boxes, fmt, fmt, angles=angles)
    assert found.dtype == dtype
    # Of one dtype, and of numbers that were rounded once more.
    tolerance = 1e-9 if dtype == np.float64 else 1e-4
    scores = fastiou.box_iou(boxes.astype(float), found.astype(float), fmt, aligned=True)
    np.testing.assert_allclose(scores, 1, atol=tolerance)
    quarter = dtype(np.pi / 2 if "-rad" in fmt else 90)
    angle = found[:, 4]
    if angles == "oc":
        assert ((angle > 0) & (angle <= quarter)).all()
    else:
        low = -quarter if angles == "le90" else -quarter / 2
        assert ((angle >= low) & (angle <= low + 2 * quarter)).all()
        assert (found[:, 2] >= found[:, 3]).all()
    np.testing.assert_array_equal(fastiou.box_convert(found, fmt, fmt, angles=angles), found)


def test_angles_in_a_range_by_hand() -> None:
    boxes = [[5, 5, 4, 2, 0], [5, 5, 4, 2, 90], [5, 5, 2, 4, 30], [5, 5, 4, 2, 135]]
    for angles, expected in (
        ("le90", [[4, 2, 0], [4, 2, -90], [4, 2, -60], [4, 2, -45]]),
        ("le135", [[4, 2, 0], [4, 2, 90], [4, 2, 120], [4, 2, -45]]),
        ("oc", [[2, 4, 90], [4, 2, 90], [2, 4, 30], [2, 4, 45]]),
    ):
        found = fastiou.box_convert(boxes, "cxcywhr-cw", "cxcywhr-cw", angles=angles)
        np.testing.assert_array_equal(found[:, 2:], expected)
    table = fastiou.BoxTable(boxes, "cxcywhr-cw", scores=[1, 2, 3, 4])
    found = fastiou.box_convert(table, "cxcywhr-cw", "cxcywhr-cw", angles="oc")
    np.testing.assert_array_equal(found.boxes[:, 2:], expected)
    missing = fastiou.box_convert([[np.nan, 5, 2, 4, np.nan]], "cxcywhr", "xywhr", angles="le90")
    assert np.isnan(missing[0, [0, 4]]).all()
    with pytest.raises(ValueError, match="angles are for rotated boxes: out_fmt 'xyxyxyxy' has"):
        fastiou.box_convert(boxes, "cxcywhr", "xyxyxyxy", angles="le90")
    with pytest.raises(ValueError, match="angles must be one of 'le90', 'le135', 'oc', got 'le45'"):
        fastiou.box_convert(boxes, "cxcywhr", "cxcywhr", angles="le45")


# ---- bad input ---------------------------------------------------------------------------------

BOX = [[0, 0, 1, 1, 0]]


@pytest.mark.parametrize("unfit", ["giou", "diou", "ciou"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_metrics_that_need_more_are_refused(fmt: str, unfit: str) -> None:
    message = (
        "metric of rotated boxes must be one of 'iou', 'iof', 'ios', 'dice', 'intersection', "
        f"'probiou', got '{unfit}', which needs "
    )
    for call in (
        lambda: fastiou.box_iou(BOX, BOX, fmt, metric=unfit),
        lambda: fastiou.pairs(BOX, BOX, fmt=fmt, metric=unfit),
        lambda: fastiou.topk(BOX, BOX, fmt=fmt, metric=unfit),
        lambda: fastiou.match(BOX, BOX, fmt=fmt, metric=unfit),
        lambda: fastiou.nms(BOX, [1.0], fmt=fmt, metric=unfit),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            (BOX, [0, 0, 1, 1, 0]),
            {},
            ValueError,
            r"boxes2 must have the shape \(..., N, 5\), got \(5,\); one rotated box has shape \(1,",
        ),
        (
            ([[0, 0, 1, 1]], BOX),
            {},
            ValueError,
            r"boxes1 must have the shape \(..., N, 5\), got \(1, 4",
        ),
        ((BOX, [["a", 0, 1, 1, 0]]), {}, TypeError, "boxes2 must hold booleans"),
        ((BOX, np.ones((1, 5), complex)), {}, TypeError, "complex128"),
        ((BOX, BOX * 2), {"aligned": True}, ValueError, "aligned=True needs as many boxes1"),
        (([BOX] * 2, [BOX] * 3), {}, ValueError, r"must broadcast, got \(2,\) and \(3,\)"),
        ((BOX, BOX), {"iscrowd": [True, False]}, ValueError, "iscrowd must be 1 booleans"),
        ((BOX, BOX), {"out": np.empty((1, 1), np.float32)}, ValueError, "out must have"),
    ],
)
def test_bad_input_is_named(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fastiou.box_iou(*arguments, "cxcywhr", **options)


def test_bad_sets_of_relations_are_named() -> None:
    with pytest.raises(ValueError, match=r"a must have the shape \(N, 5\), got \(1, 1, 5\)"):
        fastiou.pairs([BOX], fmt="cxcywhr")
    with pytest.raises(ValueError, match=r"b must have the shape \(N, 5\), got \(1, 4\)"):
        fastiou.topk(BOX, [[0, 0, 1, 1]], fmt="xywhr")
    with pytest.raises(TypeError, match=r"b must be rotated boxes, got 0.5; if it is the thr"):
        fastiou.pairs(BOX, 0.5, fmt="cxcywhr")
    with pytest.raises(ValueError, match=r"boxes1 must have the shape \(..., N, 4\), got \(1, 5\)"):
        fastiou.box_iou(BOX, BOX)
