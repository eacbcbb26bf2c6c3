"""Rotated boxes against exact clipping, the reference and themselves.

The property tests take few examples. `pytest --hypothesis-profile thorough tests/geometries`
runs 10,000 of each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, assert_bits, assert_close
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rotated_for_tests import (
    FLOATS,
    FORMATS,
    RATIOS,
    awkward,
    exact_score,
    exact_scores,
    moved,
    rotated,
    swapped,
)
from scenes_for_tests import EXAMPLES

import fastiou
from fastiou import reference


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


@pytest.mark.slow(on_one_thread=True)
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


@pytest.mark.slow(on_one_thread=True)
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
