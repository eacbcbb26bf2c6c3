"""Formats of rotated boxes, their areas, and conversions between angles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from boxes_for_tests import assert_bits, assert_close
from rotated_for_tests import (
    EMPTY,
    FLOATS,
    FORMATS,
    MISSING,
    awkward,
    corners,
    rotated,
)

import fastiou
from fastiou import reference


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
