"""Boxes in space, axis-aligned and with yaw: against exact numbers, the reference and themselves.

`pytest -m thorough tests/geometries/test_boxes3d.py` compares 120,000 pairs of each with exact
rational numbers, of which sines and cosines alone are rounded, to 40 digits.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from decimal import Decimal, getcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, assert_bits, assert_close
from combinations_for_tests import boxes3d, yawed_boxes
from hypothesis import given
from hypothesis import strategies as st
from scenes_for_tests import EXAMPLES

import fastiou
from fastiou import reference, reference3d
from fastiou.metrics import METRICS

FLOATS = [np.float64, pytest.param(np.float32, marks=pytest.mark.slow)]
RATIOS = ["iou", "iof", "ios", "dice"]
CORNERS, CENTRE, YAW, BOTTOM = "xyzxyz", "cxcyczwhd", "xyzwhdr", "xyzwhdr-bottom"


# ---- exact scores ------------------------------------------------------------------------------


def exact_turn(angle: float) -> tuple[Fraction, Fraction]:
    """Cosine and sine of radians, to 40 digits."""
    getcontext().prec = 60
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
    rest = Decimal(angle) % (2 * pi)
    cosine = sine = Decimal(0)
    term, power = Decimal(1), 0
    while abs(term) > Decimal(10) ** -45:
        if power % 2:
            sine += term if power % 4 == 1 else -term
        else:
            cosine += term if power % 4 == 0 else -term
        power += 1
        term = term * rest / power
    return Fraction(cosine), Fraction(sine)


def clipped(points: list[Any], axis: int, limit: Fraction, sign: int) -> list[Any]:
    """What of a convex polygon lies on one side of a line along an axis (Sutherland, Hodgman)."""
    kept: list[Any] = []
    for before, here in zip(points[-1:] + points[:-1], points, strict=True):
        side1, side2 = sign * (limit - before[axis]), sign * (limit - here[axis])
        if (side1 < 0) != (side2 < 0):
            share = side1 / (side1 - side2)
            kept.append(tuple(p + share * (q - p) for p, q in zip(before, here, strict=True)))
        if side2 >= 0:
            kept.append(here)
    return kept


def exact_score(one: Array, other: Array, metric: str, fmt: str) -> float:
    """A score of two boxes with yaw, without rounding but of sines and cosines."""
    a, b = ([Fraction(float(number)) for number in box] for box in (one, other))
    if min(*a[3:6], *b[3:6]) <= 0:
        return 0.0
    volumes = [box[3] * box[4] * box[5] for box in (a, b)]
    lows = [box[2] - (0 if fmt == BOTTOM else box[5] / 2) for box in (a, b)]
    height = min(lows[0] + a[5], lows[1] + b[5]) - max(lows)
    shared = Fraction(0)
    if height > 0:
        cosine, sine = exact_turn(float(one[6]))
        if one[6] == other[6]:
            turn = Fraction(1), Fraction(0)
        else:
            cosine2, sine2 = exact_turn(float(other[6]))
            turn = cosine2 * cosine + sine2 * sine, sine2 * cosine - cosine2 * sine
        dx, dy = b[0] - a[0], b[1] - a[1]
        x, y = dx * cosine + dy * sine, dy * cosine - dx * sine
        points: Any = []
        for along, across in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            p, q = along * b[3] / 2, across * b[4] / 2
            points.append((x + p * turn[0] - q * turn[1], y + p * turn[1] + q * turn[0]))
        for axis, half in ((0, a[3] / 2), (1, a[4] / 2)):
            for sign in (1, -1):
                points = clipped(points, axis, sign * half, sign)
        pairs = zip(points, points[1:] + points[:1], strict=True)
        shared = height * sum((p[0] * q[1] - p[1] * q[0] for p, q in pairs), Fraction(0)) / 2
    divisors = {
        "iou": volumes[0] + volumes[1] - shared,
        "iof": volumes[0],
        "ios": min(volumes),
        "dice": sum(volumes) / 2,
    }
    return float(shared / divisors[metric])


def exact_scores(a: Array, b: Array, metric: str = "iou", fmt: str = YAW) -> Array:
    """Those of aligned boxes with yaw."""
    return np.array([exact_score(one, other, metric, fmt) for one, other in zip(a, b, strict=True)])


def exact_upright(one: Array, other: Array, metric: str) -> float:
    """A score of two boxes with corners, without rounding."""
    a, b = ([Fraction(float(number)) for number in box] for box in (one, other))
    sides = [[box[k + 3] - box[k] for k in range(3)] for box in (a, b)]
    if any(min(of_one) <= 0 for of_one in sides):
        return 0.0
    volumes = [math.prod(of_one) for of_one in sides]
    shared = math.prod(max(0, min(a[k + 3], b[k + 3]) - max(a[k], b[k])) for k in range(3))
    hull = [max(a[k + 3], b[k + 3]) - min(a[k], b[k]) for k in range(3)]
    way = [(a[k] + a[k + 3] - b[k] - b[k + 3]) / 2 for k in range(3)]
    union = sum(volumes) - shared
    return float(
        {
            "iou": shared / union,
            "iof": shared / volumes[0],
            "ios": shared / min(volumes),
            "dice": 2 * shared / sum(volumes),
            "giou": shared / union - (math.prod(hull) - union) / math.prod(hull),
            "diou": shared / union - sum(w * w for w in way) / sum(h * h for h in hull),
        }[metric]
    )


def test_exact_scores_by_hand() -> None:
    box = np.array([0, 0, 0, 2, 2, 2, 0.0])
    raised = np.array([1, 0, 1, 2, 2, 2, 0.0])
    assert exact_score(box, raised, "ios", YAW) == 1 / 4
    assert exact_score(box, raised, "ios", BOTTOM) == 1 / 4
    turned = np.array([0, 0, 0, 2, 2, 2, np.pi / 4])
    assert exact_score(box, turned, "ios", YAW) == pytest.approx(2 * 2**0.5 - 2, abs=1e-15)
    assert exact_upright(np.array([0, 0, 0, 2, 2, 2.0]), np.array([1, 0, 0, 3, 2, 2.0]), "iou") == (
        1 / 3
    )


# ---- published cases and families --------------------------------------------------------------


def with_yaw(corners: Array) -> Array:
    """Boxes with yaw of which corners (n, 8, 3) are given: four around the top, four below."""
    top = corners[:, :4, :2]
    along, across = top[:, 1] - top[:, 0], top[:, 2] - top[:, 1]
    heights = corners[:, :, 2]
    low, high = heights.min(axis=1), heights.max(axis=1)
    return np.column_stack(
        [
            top.mean(axis=1),
            (low + high) / 2,
            np.hypot(*along.T),
            np.hypot(*across.T),
            high - low,
            np.arctan2(along[:, 1], along[:, 0]),
        ]
    )


@pytest.mark.slow(on_one_thread=True)
def test_published_cases(real_data: Path) -> None:
    """Inputs that some library was seen to be wrong on, and what is right."""
    count = 0
    for case in json.loads((real_data / "geometry" / "vectors.json").read_text())["cases"]:
        kind = case["kind"]
        a, b = case.get("a"), case.get("b")
        options: dict[str, Any] = {"metric": "iof" if kind.endswith("iof") else "iou"}
        if kind in ("box3d_iou", "box3d_iof"):
            options["fmt"] = BOTTOM if "bottom" in case["boxes"] else YAW
        elif kind == "box3d_bev_iou":
            options["fmt"] = "cxcywhr-rad-cw"
            a, b = (np.array(boxes)[:, [0, 1, 3, 4, 6]] for boxes in (a, b))
        elif kind == "box3d_corners_iou" and "9-DoF" not in case.get("note", ""):
            options["fmt"] = YAW
            a, b = (with_yaw(np.array(corners)) for corners in (a, b))
        elif kind == "nd_iou" and np.shape(a)[-1] in (4, 6):
            options["fmt"] = case.get("fmt", CORNERS if np.shape(a)[-1] == 6 else "xyxy")
            options["metric"] = case.get("metric", "iou")
        else:
            continue
        for dtype in case["dtypes"]:
            count += 1
            scores = fastiou.box_iou(np.array(a, dtype), np.array(b, dtype), **options)
            # Corners of 4 decimals are those of a box but for so much.
            least = 1e-4 if kind == "box3d_corners_iou" else 1e-6 if dtype == "float32" else 0
            tolerance = max(case["atol"], least)
            np.testing.assert_allclose(
                scores, case["expected"], rtol=0, atol=tolerance, err_msg=case["source"]
            )
    assert count >= 18


def anywhere(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    a = np.column_stack(
        [
            rng.uniform(-70, 70, (count, 2)),
            rng.uniform(-3, 1, count),
            rng.uniform(0.5, 6, (count, 3)),
            rng.uniform(-10, 10, count),
        ]
    )
    b = a.copy()
    b[:, :3] += rng.normal(0, 1, (count, 3))
    b[:, 3:6] *= rng.uniform(0.5, 2, (count, 3))
    b[:, 6] += rng.normal(0, 1, count)
    return a, b


def the_same(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    a, _ = anywhere(rng, count)
    return a, a.copy()


def the_same_otherwise(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """By quarter turns, which swap the sides."""
    a, _ = anywhere(rng, count)
    b = a.copy()
    turns = rng.integers(1, 4, count)
    b[:, 6] += turns * np.pi / 2
    odd = turns % 2 == 1
    b[odd, 3:5] = a[odd][:, [4, 3]]
    return a, b


def nearly_the_same(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    a, _ = anywhere(rng, count)
    moved = 10 ** rng.uniform(-12, -3, (count, 1)) * rng.normal(0, 1, (count, 7))
    return a, a + moved * (rng.random((count, 7)) < 0.5)


def touching(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """On each other, or side by side."""
    a = np.round(anywhere(rng, count)[0] * 4) / 4
    a[:, 3:6] = np.maximum(a[:, 3:6], 0.25)
    a[:, 6] = 0
    b = a.copy()
    axis = rng.integers(0, 3, count)
    rows = np.arange(count)
    b[rows, axis] += a[rows, 3 + axis]
    return a, b


def whole_numbers(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    a, b = (rng.integers(0, 5, (count, 7)).astype(np.float64) for _ in "ab")
    for boxes in (a, b):
        boxes[:, 6] *= np.pi / 4
    return a, b


def tiny(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    a, b = anywhere(rng, count)
    a[:, :6] *= 1e-5
    b[:, :6] *= 1e-5
    return a, b


def far_away(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Where float32 holds sixteenths."""
    a, b = anywhere(rng, count)
    for boxes in (a, b):
        boxes[:, :6] = np.maximum(np.round(boxes[:, :6] * 16), 1) / 16
        boxes[:, :3] += 5e5
    return a, b


def flat_ones(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    a, b = anywhere(rng, count)
    b[:, 2] = a[:, 2] + rng.normal(0, 1e-4, count)
    for boxes in (a, b):
        boxes[:, 5] = 10 ** rng.uniform(-5, -3, count)
    return a, b


Family = Callable[[np.random.Generator, int], tuple[Array, Array]]

FAMILIES: list[Family] = [
    anywhere,
    the_same,
    the_same_otherwise,
    nearly_the_same,
    touching,
    whole_numbers,
    tiny,
    far_away,
    flat_ones,
]


def upright(boxes: Array) -> Array:
    """Corners of the same boxes without yaw."""
    return fastiou.box_convert(boxes[:, :6], CENTRE, CORNERS)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("dtype", FLOATS)
def test_families(rng: np.random.Generator, family: Family, dtype: type) -> None:
    a, b = (boxes.astype(dtype) for boxes in family(rng, 20))
    actual = fastiou.box_iou(a, b, YAW, aligned=True)
    assert_close(actual, exact_scores(a, b))
    assert_bits(fastiou.box_iou(b, a, YAW, aligned=True), actual)
    assert_close(np.diagonal(reference3d.yawed_iou(a, b)), exact_scores(a, b))
    corners = upright(a.astype(np.float64)).astype(dtype), upright(b).astype(dtype)
    actual = fastiou.box_iou(*corners, CORNERS, aligned=True)
    expected = [exact_upright(*pair, "iou") for pair in zip(*corners, strict=True)]
    assert_close(actual, expected)
    assert_bits(fastiou.box_iou(*corners[::-1], CORNERS, aligned=True), actual)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [*RATIOS, "giou", "diou"])
def test_families_by_other_metrics(rng: np.random.Generator, metric: str) -> None:
    for family in FAMILIES:
        a, b = family(rng, 20)
        if metric in RATIOS:
            actual = fastiou.box_iou(a, b, YAW, metric=metric, aligned=True)
            # How small one is beside the other: what is shared is exact to so much of the smaller.
            assert_close(
                actual, exact_scores(a, b, metric), 1e-9 if metric in ("iof", "ios") else None
            )
        a, b = (boxes[(boxes[:, 3:6] > 0).all(axis=1)] for boxes in (a, b))
        count = min(len(a), len(b))
        corners = upright(a[:count]), upright(b[:count])
        actual = fastiou.box_iou(*corners, CORNERS, metric=metric, aligned=True)
        expected = [exact_upright(*pair, metric) for pair in zip(*corners, strict=True)]
        assert_close(actual, expected)
        dense = fastiou.box_iou(*corners, CORNERS, metric=metric)
        assert_close(dense, reference3d.axis_aligned_iou(*corners, CORNERS, metric=metric))


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_many_pairs(rng: np.random.Generator, family: Family, dtype: type) -> None:
    """100,000 pairs anywhere and 20,000 of the families that are hard."""
    a, b = (boxes.astype(dtype) for boxes in family(rng, 100_000 if family is anywhere else 2_500))
    actual = fastiou.box_iou(a, b, YAW, aligned=True)
    assert_close(actual, exact_scores(a, b))
    assert_bits(fastiou.box_iou(b, a, YAW, aligned=True), actual)
    c, d = (boxes.copy() for boxes in (a, b))
    bottoms = fastiou.box_iou(c, d, BOTTOM, aligned=True)
    # The centre is rounded, which is much beside a height of 1e-5.
    allowed = 1e-10 if family is flat_ones and dtype == np.float64 else None
    assert_close(bottoms, exact_scores(c, d, fmt=BOTTOM), allowed)
    corners = upright(a.astype(np.float64)).astype(dtype), upright(b).astype(dtype)
    actual = fastiou.box_iou(*corners, CORNERS, aligned=True)
    assert_close(actual, [exact_upright(*pair, "iou") for pair in zip(*corners, strict=True)])


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_proper_box_scores_exactly_1_with_itself(rng: np.random.Generator, dtype: type) -> None:
    for family in FAMILIES:
        a = family(rng, 200)[0].astype(dtype)
        proper = (a[:, 3:6] > 0).all(axis=1)
        for fmt in (YAW, BOTTOM):
            np.testing.assert_array_equal(fastiou.box_iou(a, a.copy(), fmt, aligned=True), proper)
        for fmt, boxes in ((CENTRE, a[:, :6].copy()), (CORNERS, upright(a).astype(dtype))):
            proper = fastiou.box_area(boxes, fmt) > 0
            found = fastiou.box_iou(boxes, boxes.copy(), fmt, aligned=True)
            np.testing.assert_array_equal(found, proper)


@pytest.mark.parametrize("dtype", FLOATS)
def test_without_yaw_scores_are_those_of_axis_aligned_boxes(
    rng: np.random.Generator, dtype: type
) -> None:
    a, b = (boxes.astype(dtype) for boxes in anywhere(rng, 300))
    a[:, 6] = b[:, 6] = 0
    a[50:100] = b[50:100]
    found = fastiou.box_iou(a, b, YAW)
    expected = fastiou.box_iou(a[:, :6], b[:, :6], CENTRE)
    assert_close(found, expected, 1e-14 if dtype == np.float64 else 1e-5)
    # Where nothing is rounded, they are the same.
    a[:, :6], b[:, :6] = np.round(a[:, :6]), np.round(b[:, :6])
    found = fastiou.box_iou(a, b, YAW)
    np.testing.assert_array_equal(found, fastiou.box_iou(a[:, :6], b[:, :6], CENTRE))


def test_above_each_other_share_nothing(rng: np.random.Generator) -> None:
    a, _ = anywhere(rng, 100)
    b = a.copy()
    b[:, 2] += a[:, 5] + 1e-9
    assert not fastiou.box_iou(a, b, YAW, aligned=True).any()
    assert not fastiou.box_iou(a, b, BOTTOM, aligned=True).any()


@pytest.mark.slow(on_one_thread=True)
def test_an_index_of_single_bottom_boxes_is_kept(rng: np.random.Generator) -> None:
    """They are prepared as float64, and so are those that it is asked for."""
    a, b = (boxes.astype(np.float32) for boxes in anywhere(rng, 200))
    index = fastiou.Index(b, BOTTOM)
    assert index._prepared(METRICS["iou"], np.dtype(np.float32)) is not None
    huge = a.copy()
    huge[0, :3] = 1e37  # all are prepared once more, in float64
    for own in (a, a[:3], huge):
        found, expected = index.pairs(own, 0.1), fastiou.pairs(own, b, 0.1, fmt=BOTTOM)
        assert len(found) > 2 or own is huge or len(own) == 3
        for part, other in zip(found, expected, strict=True):
            assert_bits(part, other)
    far = fastiou.Index(np.float32([[0, 0, 1e30, 1e30], [3, 3, 4, 4]]))
    small = np.float32([[3, 3, 4, 5]])
    assert_bits(far.pairs(small, 0.1).values, np.float32([0.5]))


# ---- a search by two of three axes -------------------------------------------------------------


@pytest.mark.slow(on_one_thread=True)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("fmt", [CENTRE, YAW])
def test_axes_that_part_members_best(rng: np.random.Generator, fmt: str, axis: int) -> None:
    """Whichever axis tells none apart, pairs have the bits of the dense result."""
    a = yawed_boxes(rng, 900)
    a[:, :3] *= 4
    a[:, axis] /= 100
    a = a if fmt == YAW else a[:, :6]
    b = np.concatenate([a[:300] + 0.1, a[:10]])
    dense = fastiou.box_iou(a, b, fmt)
    found = fastiou.pairs(a, b, 0.2, fmt=fmt)
    for part, expected in zip(found, reference.box_pairs(dense, 0.2), strict=True):
        np.testing.assert_array_equal(part, expected)
    index = fastiou.Index(b, fmt)
    for asked in (a, a[:3], a[:200]):
        expected_pairs = reference.box_pairs(dense[: len(asked)], 0.2)
        for part, expected in zip(index.pairs(asked, 0.2), expected_pairs, strict=True):
            np.testing.assert_array_equal(part, expected)
        best = index.topk(asked, 2)
        values, indices = reference.topk(dense[: len(asked)], 2)
        np.testing.assert_array_equal(best.values, values)
        np.testing.assert_array_equal(best.indices, indices)


def awkward(dtype: Any = np.float64) -> Array:
    """Proper, equal, touching, nested, empty and missing ones, without yaw."""
    nan = math.nan
    return np.array(
        [
            [0, 0, 0, 2, 2, 2, 0],
            [0, 0, 0, 2, 2, 2, 0],
            [2, 0, 0, 2, 2, 2, 0],
            [0, 0, 2, 2, 2, 2, 0],
            [0, 0, 0, 1, 1, 1, 0],
            [1e6, 0, 0, 2, 2, 2, 0],
            [0, 0, 0, 0, 2, 2, 0],
            [0, 0, 0, 2, 2, -1, 0],
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, nan, 2, 2, 2, 0],
            [0, 0, 0, 2, 2, nan, 0],
            [nan] * 7,
        ],
        dtype,
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fmt", [CENTRE, YAW, BOTTOM])
def test_awkward_ones(fmt: str, dtype: type) -> None:
    boxes = awkward(dtype)
    boxes = boxes[:, :6].copy() if fmt == CENTRE else boxes
    scores = fastiou.box_iou(boxes, boxes, fmt)
    assert_bits(scores, scores.T.copy())
    missing = np.arange(12) >= 9
    np.testing.assert_array_equal(np.isnan(scores), missing | missing[:, None])
    assert (scores[:2, :2] == 1).all()
    assert scores[0, 4] == 1 / 8 or fmt == BOTTOM
    assert not scores[6:9, :9].any()
    assert not scores[0, 2:4].any()
    volumes = fastiou.box_area(boxes, fmt)
    np.testing.assert_array_equal(volumes, [8, 8, 8, 8, 1, 8, 0, 0, 0, *[math.nan] * 3])
    found = fastiou.pairs(boxes, boxes, 1e-9, fmt=fmt)
    for part, expected in zip(found, reference.box_pairs(np.nan_to_num(scores), 1e-9), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_boxes_of_degenerate_hulls_have_finite_scores() -> None:
    boxes = awkward()[:9, :6]
    for metric in ("giou", "diou"):
        scores = fastiou.box_iou(boxes, boxes, CENTRE, metric=metric)
        assert np.isfinite(scores).all()
        assert ((scores >= -1) & (scores <= 1)).all()
        expected = reference3d.axis_aligned_iou(boxes, boxes, CENTRE, metric=metric)
        assert_close(scores, expected)


def test_infinite_numbers_are_refused() -> None:
    for column in range(7):
        bad = awkward()[:4]
        bad[2, column] = -math.inf
        with pytest.raises(ValueError, match="boxes1 has an infinite coordinate in row 2"):
            fastiou.box_iou(bad, bad[:2], YAW)
    with pytest.raises(ValueError, match="b has an infinite coordinate in row 0"):
        fastiou.pairs(awkward()[:2, :6], [[0, 0, math.inf, 1, 1, 1]], fmt=CENTRE)


@pytest.mark.slow(on_one_thread=True)
@pytest.mark.parametrize("exponent", [-300, -150, 150, 300, 500])
@pytest.mark.parametrize("fmt", [CENTRE, YAW])
def test_huge_and_tiny_numbers(rng: np.random.Generator, fmt: str, exponent: int) -> None:
    boxes = np.concatenate([awkward()[:9], yawed_boxes(rng, 20)])
    scaled = boxes.copy()
    scaled[:, :6] = np.ldexp(boxes[:, :6], exponent)
    if fmt == CENTRE:
        boxes, scaled = boxes[:, :6].copy(), scaled[:, :6].copy()
    assert_bits(fastiou.box_iou(scaled, scaled, fmt), fastiou.box_iou(boxes, boxes, fmt))
    volumes = fastiou.box_area(scaled, fmt)
    with np.errstate(over="ignore", under="ignore"):
        expected = np.ldexp(fastiou.box_area(boxes, fmt), 3 * exponent)
    np.testing.assert_allclose(volumes, expected, rtol=1e-14)
    shared = fastiou.pairs(
        scaled[9:], scaled[9:], 0.5 if exponent < 0 else 1.0, metric="intersection", fmt=fmt
    )
    limit = 0.5 if exponent < 0 else 1.0
    with np.errstate(over="ignore", under="ignore"):
        dense = fastiou.box_iou(scaled[9:], scaled[9:], fmt, metric="intersection")
    assert len(shared) == (dense >= limit).sum()


def test_integers(rng: np.random.Generator) -> None:
    boxes = np.round(boxes3d(rng, 60) * 4)
    expected = fastiou.box_iou(boxes, boxes, CORNERS)
    for dtype in (np.int16, np.int32, np.int64):
        assert_bits(fastiou.box_iou(boxes.astype(dtype), boxes.astype(dtype), CORNERS), expected)
    far = boxes.astype(np.int64) + 2**60
    assert_bits(fastiou.box_iou(far, far, CORNERS), expected)
    apart = np.concatenate([far, -far])
    with pytest.raises(ValueError, match=r"integer coordinates of 3-D boxes must lie within 4"):
        fastiou.box_iou(apart, apart, CORNERS)
    turned = np.round(yawed_boxes(rng, 60))
    expected = fastiou.box_iou(turned, turned, YAW)
    moved = turned.astype(np.int64)
    moved[:, :3] += 2**60
    assert_bits(fastiou.box_iou(moved, moved, YAW), expected)


@given(
    data=st.lists(
        st.tuples(*[st.integers(-2, 3).map(float) | st.sampled_from([0.1, 0.3, -7.7])] * 7),
        max_size=6,
    ),
    fmt=st.sampled_from([CORNERS, CENTRE, YAW, BOTTOM]),
)
@EXAMPLES
def test_any_boxes(data: list[tuple[float, ...]], fmt: str) -> None:
    boxes = np.array(data).reshape(-1, 7)
    turned = fmt in (YAW, BOTTOM)
    boxes = boxes if turned else boxes[:, :6].copy()
    scores = fastiou.box_iou(boxes, boxes, fmt)
    assert_bits(scores, scores.T.copy())
    assert ((scores >= 0) & (scores <= 1)).all()
    if turned:
        assert_close(scores, reference3d.yawed_iou(boxes, boxes, fmt), 1e-6)
    else:
        assert_close(scores, reference3d.axis_aligned_iou(boxes, boxes, fmt), 1e-9)
    proper = fastiou.box_area(boxes, fmt) > 0
    np.testing.assert_array_equal(np.diagonal(scores), proper)


# ---- every relation ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("fmt", [CORNERS, YAW])
@pytest.mark.usefixtures("any_threads")
def test_relations_have_the_bits_of_the_dense_result(rng: np.random.Generator, fmt: str) -> None:
    make = boxes3d if fmt == CORNERS else yawed_boxes
    a, b = make(rng, 170), make(rng, 90)
    b[:40] = a[:40]
    dense = fastiou.box_iou(a, b, fmt)
    crowd = rng.random(90) < 0.3
    mixed = fastiou.box_iou(a, b, fmt, iscrowd=crowd)
    np.testing.assert_array_equal(
        mixed, np.where(crowd, fastiou.box_iou(a, b, fmt, metric="iof"), dense)
    )
    itself = np.triu(fastiou.box_iou(a, a, fmt), 1)
    found = fastiou.pairs(a, threshold=0.1, fmt=fmt)
    for part, expected in zip(found, reference.box_pairs(itself, 0.1), strict=True):
        np.testing.assert_array_equal(part, expected)
    scores = rng.integers(0, 60, 170) / 64
    kept = fastiou.nms(a, scores, 0.1, fmt=fmt)
    assert kept.tolist() == reference.nms(fastiou.box_iou(a, a, fmt), scores, 0.1).tolist()
    assert 5 < len(kept) < 170
    many = np.tile(a, (60, 1)), np.tile(a[::-1], (60, 1))
    aligned = fastiou.box_iou(a, a[::-1], fmt, aligned=True)
    assert_bits(fastiou.box_iou(*many, fmt, aligned=True), np.tile(aligned, 60))


# ---- arguments and formats ---------------------------------------------------------------------


def test_other_metrics_and_shapes_are_refused() -> None:
    box = np.zeros((1, 7))
    for metric in ("giou", "diou", "ciou"):
        with pytest.raises(
            ValueError, match=r"metric of 3-D boxes with yaw must be one of 'iou', 'iof'"
        ):
            fastiou.box_iou(box, box, YAW, metric=metric)
    with pytest.raises(ValueError, match=r"metric of 3-D boxes must be one of 'iou', 'giou'"):
        fastiou.box_iou(box[:, :6], box[:, :6], CORNERS, metric="ciou")
    with pytest.raises(ValueError, match=r"\(\.\.\., N, 6\), got \(1, 7\); where scores"):
        fastiou.box_iou(box, box, CORNERS)
    with pytest.raises(ValueError, match=r"got \(7,\); one 3-D box with yaw has shape \(1, 7\)"):
        fastiou.box_iou(box[0], box, YAW)


def test_conversions_by_hand() -> None:
    corners = [[1, 2, 3, 5, 4, 9]]
    assert fastiou.box_convert(corners, CORNERS, CENTRE).tolist() == [[3, 3, 6, 4, 2, 6]]
    assert fastiou.box_convert([[3, 3, 6, 4, 2, 6]], CENTRE, CORNERS).tolist() == corners
    assert fastiou.box_convert(corners, CORNERS, YAW).tolist() == [[3, 3, 6, 4, 2, 6, 0]]
    assert fastiou.box_convert(corners, CORNERS, BOTTOM).tolist() == [[3, 3, 3, 4, 2, 6, 0]]
    turned = [[3, 3, 6, 4, 2, 6, 0.5]]
    assert fastiou.box_convert(turned, YAW, BOTTOM).tolist() == [[3, 3, 3, 4, 2, 6, 0.5]]
    assert fastiou.box_convert([[3, 3, 3, 4, 2, 6, 0.5]], BOTTOM, YAW).tolist() == turned
    assert fastiou.box_convert(np.float32(turned), YAW, BOTTOM).dtype == np.float32
    with pytest.raises(
        ValueError, match=r"cannot be converted to 'xyzxyz', .* 'xyzwhdr' holds both"
    ):
        fastiou.box_convert(turned, YAW, CORNERS)
    with pytest.raises(ValueError, match=r"must be formats of one geometry, got 'xyzxyz' of 3-D"):
        fastiou.box_convert(corners, CORNERS, "xyxy")


def test_both_conventions_of_z_score_the_same(rng: np.random.Generator) -> None:
    a, b = anywhere(rng, 100)
    bottoms = [fastiou.box_convert(boxes, YAW, BOTTOM) for boxes in (a, b)]
    assert_close(fastiou.box_iou(*bottoms, BOTTOM), fastiou.box_iou(a, b, YAW), 1e-13)


# ---- KITTI -------------------------------------------------------------------------------------


def of_kitti(path: Path, frame: int, numbers: slice, kind: int, kinds: set[str]) -> Any:
    """Frames and boxes of a text file: x to the right, y ahead, z up; z is the bottom."""
    frames, boxes = [], []
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        fields = line.replace(",", " ").split()
        if fields[kind] in kinds:
            height, width, length, x, y, z, turn = map(float, fields[numbers])
            frames.append(int(fields[frame]))
            # Camera: x right, y down, z ahead; the yaw is from x towards -z.
            boxes.append([x, z, -y, length, width, height, -turn])
    return np.array(frames), np.array(boxes)


@pytest.mark.filterwarnings("ignore:.*DontCare", "ignore:.*negative width")
@pytest.mark.parametrize("sequence", range(5))
def test_kitti(real_data: Path, sequence: int) -> None:
    shapely = pytest.importorskip("shapely", exc_type=ImportError)
    folder = real_data / "kitti"
    frames1, truth = of_kitti(
        folder / f"label_{sequence:04}.txt.gz",
        0,
        slice(10, 17),
        2,
        {"Car", "Van", "Cyclist", "Pedestrian"},
    )
    table = fastiou.read(folder / f"label_{sequence:04}.txt.gz", format="kitti-tracking-3d")
    proper, frames = (table.boxes[:, 3:6] > 0).all(axis=1), table.keys["image"]
    for frame in np.unique(frames):
        boxes = table.boxes[frames == frame]
        diagonal = np.diagonal(fastiou.box_iou(boxes, boxes, BOTTOM))
        np.testing.assert_array_equal(diagonal, proper[frames == frame])
    own = np.isin(table.keys["category"], ["Car", "Van", "Cyclist", "Pedestrian"])
    np.testing.assert_array_equal(table.boxes[own], truth)
    frames2, found = of_kitti(
        folder / f"pointrcnn_Car_val_{sequence:04}.txt.gz", 0, slice(7, 14), 1, {"2"}
    )
    for dtype in (np.float32, np.float64):
        boxes = truth.astype(dtype)
        assert (fastiou.box_iou(boxes, boxes, BOTTOM, aligned=True) == 1).all()
        assert (fastiou.box_iou(boxes, boxes, BOTTOM) <= 1).all()
    matched = fastiou.match(found, truth, 0.3, fmt=BOTTOM, groups=(frames2, frames1))
    outlines = []
    for boxes in (found, truth):
        above = fastiou.box_convert(boxes[:, [0, 1, 3, 4, 6]], "cxcywhr-rad-cw", "xyxyxyxy")
        outlines.append([shapely.Polygon(corners.reshape(4, 2)) for corners in above])
    rows, cols, values = [], [], []
    for frame in np.unique(frames2):
        own, others = np.flatnonzero(frames2 == frame), np.flatnonzero(frames1 == frame)
        scores = np.zeros((len(own), len(others)))
        for i, row in enumerate(own):
            for j, col in enumerate(others):
                a, b = found[row], truth[col]
                height = min(a[2] + a[5], b[2] + b[5]) - max(a[2], b[2])
                area = outlines[0][row].intersection(outlines[1][col]).area
                shared = area * max(height, 0)
                volumes = np.prod(a[3:6]) + np.prod(b[3:6])
                scores[i, j] = shared / (volumes - shared)
        some_rows, some_cols = reference.greedy_match(scores, 0.3)
        rows.extend(own[some_rows])
        cols.extend(others[some_cols])
        values.extend(scores[some_rows, some_cols])
    order = np.argsort(rows)
    np.testing.assert_array_equal(matched.rows, np.array(rows)[order])
    np.testing.assert_array_equal(matched.cols, np.array(cols)[order])
    assert_close(matched.values, np.array(values)[order], 1e-12)
    assert len(matched) > 50


def test_differences_of_long_integers_are_exact() -> None:
    boxes = np.array([[2**53 + 1, 0, 0, 2**53 + 3, 1, 1]])
    assert fastiou.box_convert(boxes, "xyzxyz", "cxcyczwhd")[0, 3] == 2
    assert fastiou.box_convert(boxes, "xyzxyz", "xyzwhdr")[0, 3] == 2
