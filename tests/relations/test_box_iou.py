"""Dense and aligned scores against the reference, over dtypes, layouts, formats and batches."""

from __future__ import annotations

import numpy as np
import pytest
from boxes_for_tests import (
    FORMATS,
    METRICS,
    RATIO_METRICS,
    Array,
    as_format,
    awkward_boxes,
    drawn_boxes,
    random_boxes,
)
from hypothesis import given
from hypothesis import strategies as st

import fastiou
from fastiou import reference
from fastiou.geometries import boxes as box_geometry
from fastiou.geometry import PADDING
from fastiou.metrics import METRICS as METRIC_ROWS

FLOATS = [np.float32, np.float64]
INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


def assert_scores(actual: Array, expected: Array) -> None:
    """float64 within 4 ulp of the score or of 1, float32 within 1e-6; NaN in the same places."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if actual.dtype == np.float64:
        tolerance = 4 * np.spacing(np.maximum(np.abs(expected), 1.0))
    else:
        tolerance = 1e-6 * np.maximum(np.abs(expected), 1.0)
    wrong = ~((np.abs(actual - expected) <= tolerance) | (np.isnan(actual) & np.isnan(expected)))
    assert not wrong.any(), (np.argwhere(wrong)[0], actual[wrong][0], expected[wrong][0])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("sizes", [(1, 1), (7, 31), (33, 97), (64, 64), (65, 129), (400, 333)])
@pytest.mark.usefixtures("any_threads")
def test_equals_the_reference(
    rng: np.random.Generator, sizes: tuple[int, int], metric: str, fmt: str, dtype: type
) -> None:
    a, b = (as_format(random_boxes(rng, size, dtype), fmt) for size in sizes)
    assert_scores(
        fastiou.box_iou(a, b, fmt, metric=metric), reference.box_iou(a, b, fmt, metric=metric)
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.usefixtures("any_threads")
def test_scores_have_the_bits_of_numpy(
    rng: np.random.Generator, metric: str, fmt: str, dtype: type
) -> None:
    a, b = (as_format(random_boxes(rng, size, dtype), fmt) for size in (300, 500))
    if fmt != "xyxy":  # sides that are not differences of corners, so that areas tell the two apart
        for boxes in (a, b):
            boxes[:, 2:] *= dtype(1.1)
    actual = fastiou.box_iou(a, b, fmt, metric=metric)
    expected = reference.box_iou(a, b, fmt, metric=metric)
    if metric == "ciou" and dtype == np.float32:  # whose last steps are taken in float64
        np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-7)
    else:
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("metric", METRICS)
def test_awkward_boxes(metric: str, fmt: str, dtype: type) -> None:
    boxes = as_format(awkward_boxes(dtype), fmt)
    actual = fastiou.box_iou(boxes, boxes, fmt, metric=metric)
    assert_scores(actual, reference.box_iou(boxes, boxes, fmt, metric=metric))
    missing = np.isnan(boxes).any(axis=1)
    np.testing.assert_array_equal(np.isnan(actual), missing[:, None] | missing[None])


@pytest.mark.parametrize("metric", METRICS)
@given(a=drawn_boxes(), b=drawn_boxes(), fmt=st.sampled_from(FORMATS))
def test_any_float64_boxes(a: Array, b: Array, metric: str, fmt: str) -> None:
    actual = fastiou.box_iou(a, b, fmt, metric=metric)
    expected = reference.box_iou(a, b, fmt, metric=metric)
    if metric == "intersection":
        np.testing.assert_allclose(actual, expected, rtol=1e-14, atol=1e-300)
    else:
        # Tiny sides make the reference underflow where fastiou does not.
        sane = _well_scaled(a, fmt)[:, None] & _well_scaled(b, fmt)[None]
        assert_scores(np.where(sane, actual, 0), np.where(sane, expected, 0))
    # COCO's arithmetic on "xywh" boxes may pass 1 by rounding.
    as_coco = fmt == "xywh" and metric == "iou"
    assert_in_range(actual, metric, 1 + 1e-9 if as_coco else 1)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", METRICS)
def test_sides_of_negative_zero(metric: str, dtype: type) -> None:
    """The arctangent of 0 by -0.0 is π."""
    boxes = np.array([[0, 0, 0, 0], [0, 0, 0, -0.0], [0, 0, -0.0, 0], [-0.0, 0, 5, -0.0]], dtype)
    expected = reference.box_iou(np.abs(boxes), np.abs(boxes), metric=metric)
    assert_scores(reference.box_iou(boxes, boxes, metric=metric), expected)
    assert_scores(fastiou.box_iou(boxes, boxes, metric=metric), expected)


@pytest.mark.parametrize("metric", METRICS)
@given(a=drawn_boxes(np.float32), b=drawn_boxes(np.float32))
def test_any_float32_boxes(a: Array, b: Array, metric: str) -> None:
    actual = fastiou.box_iou(a, b, metric=metric)
    expected = reference.box_iou(a, b, metric=metric)
    if metric == "intersection":
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-37)
    else:
        sane = _well_scaled(a, "xyxy")[:, None] & _well_scaled(b, "xyxy")[None]
        assert_scores(np.where(sane, actual, 0), np.where(sane, expected, 0))
    assert_in_range(actual, metric)


def _well_scaled(boxes: Array, fmt: str) -> Array:
    """Boxes whose sides, as corners, are 0 or of a size whose square does not underflow."""
    corners = np.asarray(fastiou.box_convert(boxes, fmt, "xyxy"))
    sides = np.abs(corners[:, 2:] - corners[:, :2])
    floor = 1e-15 if boxes.dtype == np.float32 else 1e-120
    well: Array = ((sides == 0) | (sides > floor) | np.isnan(sides)).all(axis=1)
    small = np.abs(np.where(np.isnan(corners), 0, corners))
    return well & ((small == 0) | (small > floor)).all(axis=1)


def assert_in_range(scores: Array, metric: str, largest: float = 1.0) -> None:
    present = scores[~np.isnan(scores)]
    if metric == "intersection":
        assert (present >= 0).all()
        return
    assert (present <= largest).all()
    least = {"giou": -1, "diou": -1, "ciou": -2}.get(metric, 0)
    assert (present >= least).all()


# ---- the contract, row by row ------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_empty_input_keeps_its_shape(sizes: tuple[int, int], metric: str, dtype: type) -> None:
    a, b = (np.ones((size, 4), dtype) for size in sizes)
    assert fastiou.box_iou(a, b, metric=metric).shape == sizes
    assert fastiou.box_iou(a[None], b, metric=metric).shape == (1, *sizes)
    assert fastiou.box_iou(a, a, metric=metric, aligned=True).shape == sizes[:1]


def test_empty_lists() -> None:
    assert fastiou.box_iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert fastiou.box_iou([[0, 0, 1, 1]], []).shape == (1, 0)
    assert fastiou.box_iou([], [], iscrowd=[]).shape == (0, 0)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ((np.float16, np.float16), np.float32),
        ((np.float16, np.float32), np.float32),
        ((np.float32, np.float32), np.float32),
        ((np.float32, np.float64), np.float64),
        ((np.float64, np.float64), np.float64),
        ((np.int8, np.int8), np.float64),
        ((np.uint64, np.int64), np.float64),
        ((np.bool_, np.bool_), np.float64),
        ((np.int32, np.float32), np.float64),
    ],
)
def test_result_dtype(dtypes: tuple[type, type], expected: type) -> None:
    a, b = (np.array([[0, 0, 1, 1]], dtype) for dtype in dtypes)
    assert fastiou.box_iou(a, b).dtype == expected
    assert fastiou.box_iou(a, b, aligned=True).dtype == expected
    np.testing.assert_array_equal(fastiou.box_iou(a, b), [[1.0]])


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("metric", METRICS)
def test_integers_do_not_overflow(dtype: type, metric: str) -> None:
    # Half of this box lies in the other, and the area of either overflows the type.
    top = int(np.iinfo(dtype).max)
    low = int(np.iinfo(dtype).min)
    a = np.array([[0, 0, top - 1, top - 1], [low, low, top, top]], dtype)
    b = np.array([[0, 0, (top - 1) // 2, top - 1], [top, top, low, low]], dtype)
    actual = fastiou.box_iou(a, b, metric=metric)
    assert_scores(actual, _exact(a, b, metric))
    if metric in ("iou", "iof"):
        assert actual[0, 0] == 0.5 or abs(actual[0, 0] - 0.5) < 1 / top


def _exact(a: Array, b: Array, metric: str) -> Array:
    """The reference on Python integers moved to the origin, whose sizes are exact or nearly so."""
    origin = min(int(a.min()), int(b.min()))
    a, b = ((boxes.astype(object) - origin).astype(np.float64) for boxes in (a, b))
    return reference.box_iou(a, b, metric=metric)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("metric", METRICS)
def test_integers_far_from_zero_are_exact(
    rng: np.random.Generator, dtype: type, metric: str
) -> None:
    near = rng.integers(0, 50, (40, 2))
    near = np.concatenate([near, near + rng.integers(1, 20, (40, 2))], axis=1)
    far = (near + 2**62 + 1).astype(dtype)
    np.testing.assert_array_equal(
        fastiou.box_iou(far, far, metric=metric), fastiou.box_iou(near, near, metric=metric)
    )


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("metric", METRICS)
def test_integers_far_from_each_other_are_exact(
    rng: np.random.Generator, metric: str, fmt: str
) -> None:
    """No common origin makes two clusters 2**62 apart exact in float64."""
    low = rng.integers(0, 50, (40, 2))
    sides = 2 * rng.integers(1, 20, (40, 2))
    near = np.concatenate([low, low + sides if fmt == "xyxy" else sides], axis=1)
    far = near.copy()
    far[:, :2] += 2**62 + 1
    if fmt == "xyxy":
        far[:, 2:] += 2**62 + 1
    both = np.concatenate([near, far])
    actual = fastiou.box_iou(both, both, fmt, metric=metric)
    alone = fastiou.box_iou(near, near, fmt, metric=metric)
    np.testing.assert_allclose(actual[:40, :40], alone, rtol=1e-15, atol=4e-16)
    np.testing.assert_allclose(actual[40:, 40:], alone, rtol=1e-15, atol=4e-16)
    if metric not in ("giou", "diou", "ciou"):
        assert not actual[:40, 40:].any()
    found = fastiou.pairs(both, threshold=0.3, fmt=fmt)
    expected = reference.box_pairs(np.triu(fastiou.box_iou(both, both, fmt), 1), 0.3)
    for part, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, wanted)


def test_signed_and_unsigned_integers_meet() -> None:
    signed = np.array([[-10, -10, 10, 10]], np.int64)
    unsigned = np.array([[0, 0, 10, 10]], np.uint64)
    np.testing.assert_array_equal(fastiou.box_iou(signed, unsigned), [[0.25]])
    highest = np.array([[2**64 - 3, 0, 2**64 - 1, 2]], np.uint64)
    np.testing.assert_array_equal(fastiou.box_iou(highest, highest), [[1.0]])
    with pytest.raises(ValueError, match=r"within 2\*\*64 of each other as xyxy"):
        fastiou.box_iou(np.array([[-(2**63), 0, 0, 1]]), highest)
    far = np.array([[-(2**62) - 5, 0, 4, 4]]), np.array([[2**62 + 5, 0, 4, 4]])
    with pytest.raises(ValueError, match=r"within 2\*\*63 of each other as cxcywh.* 46116860184"):
        fastiou.box_iou(*far, "cxcywh")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", ["iou", "giou", "diou", "ciou", "iof", "ios", "dice"])
def test_a_proper_box_scores_exactly_1_with_itself(
    rng: np.random.Generator, metric: str, dtype: type
) -> None:
    boxes = random_boxes(rng, 2000, dtype)
    assert (fastiou.box_iou(boxes, boxes, metric=metric, aligned=True) == 1).all()
    for fmt in ("xywh", "cxcywh"):
        if fmt == "xywh" and dtype == np.float64 and metric == "iou":
            continue  # COCO's arithmetic, see test_coco.py
        converted = as_format(boxes, fmt)
        diagonal = fastiou.box_iou(converted, converted, fmt, metric=metric, aligned=True)
        assert (diagonal == 1).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", ["iou", "giou", "diou", "ciou", "iof", "ios", "dice"])
def test_rounding_does_not_leave_the_range(
    rng: np.random.Generator, metric: str, dtype: type
) -> None:
    """Boxes an ulp apart, and points in opposite corners of their hull."""
    boxes = random_boxes(rng, 20_000, dtype)
    nudged = np.nextafter(boxes, boxes + rng.integers(-1, 2, boxes.shape).astype(dtype))
    assert_in_range(fastiou.box_iou(boxes, nudged, metric=metric, aligned=True), metric)
    points = boxes.copy()
    points[:, 2:] = points[:, :2]
    others = np.roll(points, 1, axis=0)
    assert_in_range(fastiou.box_iou(points, others, metric=metric, aligned=True), metric)


@pytest.mark.parametrize("metric", RATIO_METRICS)
def test_no_union_no_epsilon(metric: str) -> None:
    points = np.zeros((2, 4))
    assert not fastiou.box_iou(points, points, metric=metric).any()
    # An epsilon in the denominator would make these less than 1.
    tiny = np.array([[0, 0, 1e-9, 1e-9]])
    assert fastiou.box_iou(tiny, tiny, metric=metric)[0, 0] == 1


@pytest.mark.parametrize("metric", RATIO_METRICS)
def test_touching_boxes_do_not_overlap(metric: str) -> None:
    a = [[0, 0, 1, 1]]
    touching = [[1, 0, 2, 1], [0, 1, 1, 2], [1, 1, 2, 2], [-1, -1, 0, 0]]
    assert not fastiou.box_iou(a, touching, metric=metric).any()


@pytest.mark.parametrize("metric", METRICS)
def test_inverted_and_degenerate_boxes_are_finite(metric: str) -> None:
    boxes = awkward_boxes()[[0, 6, 7, 8, 9]]
    scores = fastiou.box_iou(boxes, boxes, metric=metric)
    assert np.isfinite(scores).all()
    if metric in (*RATIO_METRICS, "intersection"):
        assert not scores[1:].any()
        assert not scores[:, 1:].any()
    assert_in_range(scores, metric)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_giou_of_empty_boxes_next_to_each_other(dtype: type) -> None:
    """Their hull may be smaller than what stands in for areas of 0."""
    first = -70 if dtype == np.float32 else -530
    for exponent in range(first, 0, 3):
        apart = 2.0**exponent
        points = np.array([[0, 0, 0, 0], [apart, apart, apart, apart]], dtype)
        scores = fastiou.box_iou(points, points, metric="giou")
        assert np.array_equal(scores, reference.box_iou(points, points, metric="giou"))
        assert scores[0, 1] == -1


def test_giou_falls_back_to_iou_where_the_hull_is_empty() -> None:
    point = np.zeros((1, 4))
    assert fastiou.box_iou(point, point, metric="giou")[0, 0] == 0
    line = np.array([[0.0, 0, 5, 0]])
    assert fastiou.box_iou(line, line, metric="giou")[0, 0] == 0


@pytest.mark.parametrize("where", [0, 3])
@pytest.mark.parametrize("metric", METRICS)
def test_nan_is_symmetric_and_stays_in_its_row(metric: str, where: int) -> None:
    boxes = np.tile([0.0, 0, 2, 2], (5, 1))
    boxes[2, where] = np.nan
    clean = np.tile([0.0, 0, 2, 2], (3, 1))
    for few in (True, False):
        repeat = 1 if few else 200  # the way of small calls, and the general one
        rows = fastiou.box_iou(
            np.tile(boxes, (repeat, 1)), np.tile(clean, (repeat, 1)), metric=metric
        )
        cols = fastiou.box_iou(
            np.tile(clean, (repeat, 1)), np.tile(boxes, (repeat, 1)), metric=metric
        )
        expected = np.zeros(rows.shape, bool)
        expected[2::5] = True
        np.testing.assert_array_equal(np.isnan(rows), expected)
        np.testing.assert_array_equal(np.isnan(cols), expected.T)
    aligned = fastiou.box_iou(boxes, boxes, metric=metric, aligned=True)
    np.testing.assert_array_equal(np.isnan(aligned), [False, False, True, False, False])


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_infinite_coordinates_are_refused_by_row(value: float, dtype: type) -> None:
    boxes = np.tile(np.array([0, 0, 2, 2], dtype), (9, 1))
    bad = boxes.copy()
    bad[5, 2] = value
    bad[6, 1] = np.nan
    bad[7, 1] = value
    with pytest.raises(ValueError, match=r"boxes2 has an infinite coordinate in row 5: \[0.0, 0.0"):
        fastiou.box_iou(boxes, bad)
    with pytest.raises(ValueError, match="boxes1 has an infinite coordinate in row 5"):
        fastiou.box_iou(bad, boxes, aligned=True)
    with pytest.raises(ValueError, match=r"boxes1 has an infinite coordinate in row \(0, 5\)"):
        fastiou.box_iou(bad[None], boxes)
    with pytest.raises(ValueError, match=r"^b has an infinite coordinate in row 5"):
        fastiou.pairs(boxes, bad)
    with pytest.raises(ValueError, match=r"^b has an infinite coordinate in row 5"):
        fastiou.pairs(boxes, bad, groups=(np.zeros(9, int), np.arange(9)[::-1]))
    with pytest.raises(ValueError, match=r"boxes2 has an infinite coordinate in row 5"):
        fastiou.box_iou(np.stack([boxes, boxes]), bad, aligned=True)
    for single in (fastiou.box_area, lambda boxes: fastiou.box_convert(boxes, "xyxy", "xywh")):
        with pytest.raises(ValueError, match="boxes has an infinite coordinate in row 5"):
            single(bad)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("exponent", [-140, -100, -60, 60, 100, 115])
@pytest.mark.parametrize("metric", ["iou", "giou", "diou", "ciou", "iof", "ios", "dice"])
def test_sizes_whose_squares_leave_the_dtype(
    rng: np.random.Generator, metric: str, exponent: int, dtype: type
) -> None:
    """Scores have no units: boxes 2**100 times as large score the same."""
    power = exponent if dtype == np.float32 else 7 * exponent
    boxes = np.round(random_boxes(rng, 50, dtype) * 8)  # whole, so that no subnormal rounds
    moved = np.ldexp(boxes, power).astype(dtype)
    expected = fastiou.box_iou(boxes, boxes, metric=metric)
    tolerance = 0 if dtype == np.float64 else 1e-6
    np.testing.assert_allclose(
        fastiou.box_iou(moved, moved, metric=metric), expected, rtol=tolerance, atol=tolerance
    )
    if metric == "iou":
        found, wanted = fastiou.pairs(moved, threshold=0.1), fastiou.pairs(boxes, threshold=0.1)
        np.testing.assert_array_equal(found.rows, wanted.rows)
        np.testing.assert_array_equal(found.cols, wanted.cols)


@pytest.mark.parametrize("size", [1e-150, 1e-140, 1.0, 1e140, 1e153])
@pytest.mark.slow
def test_intersection_keeps_its_units_at_any_size(size: float) -> None:
    boxes = np.array([[0, 0, 2 * size, size], [size, 0, 3 * size, size]])
    area = size * size
    actual = fastiou.box_iou(boxes, boxes, metric="intersection")
    np.testing.assert_allclose(actual, np.array([[2, 1], [1, 2]]) * area, rtol=1e-15)
    np.testing.assert_allclose(fastiou.box_area(boxes), 2 * area, rtol=1e-15)
    assert len(fastiou.pairs(boxes, threshold=area / 2, metric="intersection")) == 1
    assert len(fastiou.pairs(boxes, threshold=area * 2, metric="intersection")) == 0


@pytest.mark.parametrize("count", [1, 400])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("metric", ["giou", "ios"])
def test_extremes_of_either_set_are_seen(metric: str, count: int, swapped: bool) -> None:
    """Either set, any of its blocks and each of its sides may hold what float32 cannot compute."""
    unit = [0.0, 0.0, 1.0, 1.0]
    far = [-2e30, -2e30, -1.0, -1.0]
    far32 = np.tile(np.float32([far]), (count, 1))
    np.testing.assert_array_equal(fastiou.box_iou(far32, far32), 1)
    large, tiny = np.float32(1e30), np.float32(1e-30)
    units = np.tile(np.float32([unit]), (count, 1))
    others = np.tile(np.float32([unit]), (5000, 1))
    for last, expected in ((large, 1), (tiny, 1)) if metric == "ios" else ((large, 0),):
        others[-1] = np.float32(unit) * last
        scores = (
            fastiou.box_iou(others, units, metric=metric)
            if swapped
            else fastiou.box_iou(units, others, metric=metric).T
        )
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(scores[-1], expected, atol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", ["iou", "ciou"])
def test_columns_go_on_with_empty_boxes(rng: np.random.Generator, dtype: type, metric: str) -> None:
    """Kernels read whole chunks, from any box on."""
    for count in (0, 1, 15, 16, 17, 64, 4031, 4032, 4033, 4096):
        members = random_boxes(rng, count, dtype)
        given = box_geometry.BOX.read("boxes", members, "xyxy", batches=True)
        columns, _ = box_geometry.BOX.prepare(given, given, METRIC_ROWS[metric])
        for part in (columns.bounds, columns.data):
            assert part.shape[1] >= count + PADDING
        assert not columns.bounds[:, count:].any()
        assert (columns.data[0, count:] == np.finfo(dtype).tiny).all()
        if metric == "ciou":
            assert not columns.data[1:, count:].any()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", METRICS)
def test_the_largest_boxes_there_are_give_no_warning(metric: str, dtype: type) -> None:
    largest = np.finfo(dtype).max
    boxes = np.array([[-largest, -largest, largest, largest], [0, 0, largest, 1]], dtype)
    scores = fastiou.box_iou(boxes, boxes, metric=metric)
    if metric != "intersection":
        np.testing.assert_array_equal(np.diag(scores), 1)


def test_large_results_keep_units_and_names_of_arguments() -> None:
    boxes = np.tile(np.array([0, 0, 1e155, 1e150]), (400, 1))
    out = np.empty((400, 400))
    np.testing.assert_allclose(fastiou.box_iou(boxes, boxes, metric="intersection", out=out), 1e305)
    infinite = boxes.copy()
    infinite[7, 2] = np.inf
    for pair, name in (((boxes, infinite), "boxes2"), ((infinite, boxes), "boxes1")):
        with pytest.raises(ValueError, match=f"{name} has an infinite coordinate in row 7"):
            fastiou.box_iou(*pair, out=out)


def test_intersection_beyond_the_dtype_is_quietly_infinite() -> None:
    huge = np.array([[0, 0, 1e200, 1e200]])
    assert fastiou.box_iou(huge, huge, metric="intersection")[0, 0] == np.inf
    assert fastiou.box_area(huge)[0] == np.inf


def test_float16_does_not_overflow() -> None:
    boxes = np.array([[0, 0, 1000, 1000], [0, 0, 500, 1000]], np.float16)
    np.testing.assert_array_equal(fastiou.box_iou(boxes, boxes), [[1, 0.5], [0.5, 1]])


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("metric", METRICS)
def test_crowds(rng: np.random.Generator, metric: str, fmt: str) -> None:
    a, b = (as_format(random_boxes(rng, size), fmt) for size in (50, 70))
    crowd = rng.random(70) < 0.3
    actual = fastiou.box_iou(a, b, fmt, metric=metric, iscrowd=crowd)
    assert_scores(actual, reference.box_iou(a, b, fmt, metric=metric, iscrowd=crowd))
    everything = fastiou.box_iou(a, b, fmt, metric=metric, iscrowd=np.ones(70, int))
    assert_scores(everything, reference.box_iou(a, b, fmt, metric=metric, iscrowd=np.ones(70)))
    none = fastiou.box_iou(a, b, fmt, metric=metric, iscrowd=[False] * 70)
    np.testing.assert_array_equal(none, fastiou.box_iou(a, b, fmt, metric=metric))
    aligned = fastiou.box_iou(a, b[:50], fmt, metric=metric, iscrowd=crowd[:50], aligned=True)
    np.testing.assert_array_equal(aligned, np.diag(actual[:, :50]))
    batched = fastiou.box_iou(np.stack([a, a]), b, fmt, metric=metric, iscrowd=crowd)
    np.testing.assert_array_equal(batched, np.stack([actual, actual]))


# ---- layouts, batches, out ---------------------------------------------------------------------


def layouts(boxes: Array) -> dict[str, Array]:
    wide = np.zeros((2 * len(boxes), 6), boxes.dtype)
    wide[::2, 1:5] = boxes
    frozen = boxes.copy()
    frozen.flags.writeable = False
    packed = np.zeros(len(boxes), [("pad", "u1"), ("box", boxes.dtype, 4)])
    packed["box"] = boxes
    return {
        "Fortran": np.asfortranarray(boxes),
        "strided": wide[::2, 1:5],
        "reversed": boxes[::-1].copy()[::-1],
        "big-endian": boxes.astype(boxes.dtype.newbyteorder(">")),
        "little-endian": boxes.astype(boxes.dtype.newbyteorder("<")),
        "read-only": frozen,
        "unaligned": packed["box"],
        "broadcast": np.broadcast_to(boxes, (1, *boxes.shape))[0],
        "subclass": boxes.view(type("Sub", (np.ndarray,), {})),
    }


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, np.uint64])
def test_any_memory_layout(rng: np.random.Generator, dtype: type) -> None:
    boxes = random_boxes(rng, 37, dtype)
    expected = fastiou.box_iou(boxes, boxes)
    for name, variant in layouts(boxes).items():
        before = variant.copy()
        for actual in (
            fastiou.box_iou(variant, boxes),
            fastiou.box_iou(boxes, variant),
            fastiou.box_iou(variant, variant),
        ):
            np.testing.assert_array_equal(actual, expected, err_msg=name)
        np.testing.assert_array_equal(variant, before, err_msg=f"{name} was changed")


@pytest.mark.parametrize(
    ("batch1", "batch2"),
    [
        ((3,), (3,)),
        ((3,), ()),
        ((), (3,)),
        ((2, 1), (3,)),
        ((2, 3), (2, 1)),
        ((0,), ()),
        ((1,), (0,)),
    ],
)
@pytest.mark.parametrize("metric", ["iou", "ciou"])
def test_batches_broadcast(
    rng: np.random.Generator, batch1: tuple[int, ...], batch2: tuple[int, ...], metric: str
) -> None:
    a = random_boxes(rng, int(np.prod(batch1)) * 5).reshape(*batch1, 5, 4)
    b = random_boxes(rng, int(np.prod(batch2)) * 7).reshape(*batch2, 7, 4)
    batch = np.broadcast_shapes(batch1, batch2)
    actual = fastiou.box_iou(a, b, metric=metric)
    assert actual.shape == (*batch, 5, 7)
    spread1, spread2 = np.broadcast_to(a, (*batch, 5, 4)), np.broadcast_to(b, (*batch, 7, 4))
    for index in np.ndindex(batch):
        expected = fastiou.box_iou(spread1[index], spread2[index], metric=metric)
        np.testing.assert_array_equal(actual[index], expected)
    aligned = fastiou.box_iou(a, b[..., :5, :], metric=metric, aligned=True)
    np.testing.assert_array_equal(aligned, np.diagonal(actual[..., :5], axis1=-2, axis2=-1))


def test_many_small_batches(rng: np.random.Generator) -> None:
    a = random_boxes(rng, 3000 * 9).reshape(3000, 9, 4)
    b = random_boxes(rng, 3000 * 11).reshape(3000, 11, 4)
    a[7, 3, 1] = b[9, 2, 0] = np.nan
    actual = fastiou.box_iou(a, b)
    for index in (0, 7, 9, 1500, 2999):
        np.testing.assert_array_equal(actual[index], fastiou.box_iou(a[index], b[index]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_out_of_any_layout(rng: np.random.Generator, dtype: type) -> None:
    a, b = random_boxes(rng, 30, dtype), random_boxes(rng, 50, dtype)
    expected = fastiou.box_iou(a, b)
    plain = np.full((30, 50), 7, dtype)
    assert fastiou.box_iou(a, b, out=plain) is plain
    np.testing.assert_array_equal(plain, expected)
    for out in (
        np.full((50, 30), 7, dtype).T,
        np.full((60, 100), 7, dtype)[::2, ::-2],
        np.zeros(30 * 50 * np.dtype(dtype).itemsize + 1, "u1")[1:].view(dtype).reshape(30, 50),
    ):
        assert fastiou.box_iou(a, b, out=out) is out
        np.testing.assert_array_equal(out, expected)
    aligned = np.full((30, 2), 7, dtype)
    fastiou.box_iou(a, b[:30], aligned=True, out=aligned[:, 1])
    np.testing.assert_array_equal(aligned[:, 1], np.diag(expected[:, :30]))
    assert (aligned[:, 0] == 7).all()


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        (np.empty((3, 4)), "float64, got"),
        (np.empty((4, 5), np.float32), "got .4, 5. and float32"),
        (np.empty((4, 5), ">f8"), "out must have"),
        ([[0.0]], "out must be a NumPy array or a tensor, got list"),
    ],
)
def test_unfit_out_is_refused_untouched(out: object, problem: str) -> None:
    boxes = np.ones((4, 4))
    with pytest.raises((ValueError, TypeError), match=problem):
        fastiou.box_iou(boxes, np.ones((5, 4)), out=out)


def test_out_is_untouched_by_bad_input() -> None:
    out = np.full((2, 2), 7.0)
    boxes = np.array([[0, 0, 1, 1], [0, 0, np.inf, 1]])
    with pytest.raises(ValueError, match="infinite"):
        fastiou.box_iou(boxes, boxes, out=out)
    frozen = out.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        fastiou.box_iou(boxes[:1].repeat(2, 0), boxes[:1].repeat(2, 0), out=frozen)
    assert (out == 7).all()


def test_streamed_rows_at_every_alignment(rng: np.random.Generator) -> None:
    """Large results leave through streaming stores, whose cache lines no row need begin on."""
    a, b = random_boxes(rng, 70, np.float32), random_boxes(rng, 70_003, np.float32)
    for columns in (70_003, 70_000, 69_993):
        expected = np.concatenate(
            [fastiou.box_iou(a, part) for part in np.split(b[:columns], [20_000, 50_000])], axis=1
        )
        buffer = np.full(70 * columns + 16, 7, np.float32)
        for shift in (0, 1, 5, 15):
            out = buffer[shift : shift + 70 * columns].reshape(70, columns)
            fastiou.box_iou(a, b[:columns], out=out)
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("rows", "columns"),
    [(25_001, 4), (7_001, 15), (6_500, 16), (6_001, 17), (4_001, 31), (331, 313), (71, 2_051)],
)
@pytest.mark.parametrize("batches", [1, 3])
def test_rows_that_share_cache_lines_are_streamed_once_and_whole(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    columns: int,
    batches: int,
    dtype: type,
) -> None:
    a = random_boxes(rng, batches * rows, dtype).reshape(batches, rows, 4)
    b = random_boxes(rng, columns, dtype)
    if batches == 1:  # the kernel that prepares boxes itself
        a = a[0]
    expected = fastiou.box_iou(a, b)
    monkeypatch.setattr("fastiou.relations.dense.STREAM_BYTES", 0)
    lanes = 64 // dtype(0).itemsize
    buffer = np.empty(expected.size + 2 * lanes, dtype)
    for shift in (0, 1, lanes // 2, lanes - 1):
        buffer[:] = -7
        out = buffer[shift : shift + expected.size].reshape(expected.shape)
        fastiou.box_iou(a, b, out=out)
        np.testing.assert_array_equal(out, expected)
        assert (buffer[:shift] == -7).all()
        assert (buffer[shift + expected.size :] == -7).all()


# ---- bad input ---------------------------------------------------------------------------------

BOX = [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((BOX, [0, 0, 1, 1]), {}, ValueError, r"boxes2 must have the shape .* got \(4,\); one box"),
        (
            ([[0, 0, 1]], BOX),
            {},
            ValueError,
            r"boxes1 must have the shape \(..., N, 4\), got \(1, 3",
        ),
        (([[0, 0, 1, 1], [0]], BOX), {}, ValueError, "boxes1 cannot be read as an array"),
        ((BOX, [["a", 0, 1, 1]]), {}, TypeError, "boxes2 must hold booleans"),
        ((BOX, np.ones((1, 4), complex)), {}, TypeError, "complex128"),
        (
            (BOX, np.ones((1, 4), object)),
            {},
            TypeError,
            r"got dtype object; .astype\(float\)",
        ),
        ((BOX, np.ones((1, 4), np.longdouble)), {}, TypeError, "at most 64 bits"),
        ((None, BOX), {}, TypeError, "boxes1 must hold"),
        ((np.ma.ones((1, 4)), BOX), {}, TypeError, "boxes1 is a masked array"),
        (
            (BOX, BOX, "xxyy"),
            {},
            ValueError,
            "fmt must be one of 'xyxy', 'xywh', 'cxcywh', .*, got 'xx",
        ),
        ((BOX, BOX, None), {}, ValueError, "fmt must be one of"),
        ((BOX, BOX), {"metric": "IoU"}, ValueError, "metric must be one of 'iou', 'giou'"),
        ((BOX, BOX), {"metric": ["iou"]}, ValueError, "metric must be one of"),
        ((BOX, BOX * 2), {"aligned": True}, ValueError, "aligned=True needs as many boxes1"),
        (([BOX] * 2, [BOX] * 3), {}, ValueError, r"must broadcast, got \(2,\) and \(3,\)"),
        ((BOX, BOX), {"iscrowd": [True, False]}, ValueError, "iscrowd must be 1 booleans"),
        ((BOX, BOX), {"iscrowd": [0.5]}, ValueError, "dtype float64"),
        ((BOX, BOX), {"iscrowd": [[1], [1, 2]]}, ValueError, "iscrowd cannot be read"),
        ((BOX, BOX), {"device": "gpu"}, ValueError, "device must be one of 'auto', 'cpu', 'cuda'"),
    ],
)
def test_bad_input_is_named(
    arguments: tuple[object, ...],
    options: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        fastiou.box_iou(*arguments, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", FLOATS)
def test_bad_options_are_refused_on_the_way_of_small_calls(dtype: type) -> None:
    boxes = np.ones((2, 4), dtype)
    for options in ({"fmt": "xxyy"}, {"metric": "x"}, {"fmt": ["xyxy"]}, {"device": "tpu"}):
        with pytest.raises(ValueError, match="must be"):
            fastiou.box_iou(boxes, boxes, **options)


def test_too_large_a_result_is_refused_at_once() -> None:
    boxes = np.zeros((3_000_000, 4), np.float32)
    with pytest.raises(MemoryError, match=r"32\.7 TiB.* pairs .* topk"):
        fastiou.box_iou(boxes, boxes)
