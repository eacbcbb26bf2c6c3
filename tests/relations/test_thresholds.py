"""Thresholds that are a score, and the dtype of the scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from boxes_for_tests import Array

import fastiou
from fastiou import reference
from fastiou.relations.thresholds import least_above, least_from, rounded

#: All fractions k/n with n < 40: in float32, half of these are above the float64 number, and half
#: below.
FRACTIONS = [(part, whole) for whole in range(2, 40) for part in range(1, whole)]

WAYS = [
    pytest.param("few", id="few members"),
    pytest.param("general", id="the general way", marks=pytest.mark.general_way),
]


def two_boxes(part: int, whole: int, dtype: type) -> Array:
    """Boxes whose IoU is part/whole."""
    return np.array([[0, 0, whole, 1], [whole - part, 0, whole, 1]], dtype)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("method", ["hard", "linear"])
def test_fractions_are_judged_as_torchvision_does(way: str, dtype: type, method: str) -> None:
    """It compares a float32 IoU with a float64 threshold."""
    assert len(FRACTIONS) == 741
    above = 0
    for part, whole in FRACTIONS:
        score = np.float32(part) / np.float32(whole) if dtype is np.float32 else part / whole
        boxes, is_above = two_boxes(part, whole, dtype), float(score) > part / whole
        options = {} if method == "hard" else {"method": method, "score_threshold": 0.999}
        kept = fastiou.nms(boxes, [1.0, 1.0], part / whole, **options)
        assert kept.tolist() == ([0] if is_above else [0, 1]), (part, whole)
        above += is_above
    assert above == (455 if dtype is np.float32 else 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_a_score_at_a_threshold_is_a_pair(way: str, dtype: type) -> None:
    for part, whole in FRACTIONS:
        a, b = two_boxes(part, whole, dtype)[:, None]
        threshold, index = part / whole, fastiou.Index(b)
        for found in (
            fastiou.pairs(a, b, threshold),
            index.pairs(a, threshold),
            fastiou.match(a, b, threshold),
            fastiou.match(a, b, threshold, method="optimal"),
            fastiou.match(a, b, threshold, method="coco", scores=[1]),
        ):
            assert len(found) == 1, (part, whole)
        for best in (
            fastiou.topk(a, b, threshold=threshold),
            index.topk(a, threshold=threshold),
        ):
            assert best.indices.tolist() == [[0]], (part, whole)


@pytest.mark.parametrize("way", WAYS)
def test_the_score_below_a_threshold_is_no_pair(way: str) -> None:
    """The next float32 below a threshold that float32 has."""
    boxes = np.array([[0, 0, 2**24, 1], [0, 0, 2**23, 1], [0, 0, 2**23 - 1, 1]], np.float32)
    assert fastiou.pairs(boxes[:1], boxes[1:], 0.5).cols.tolist() == [0]
    assert fastiou.pairs(boxes[:1], boxes[1:], 0.5 - 2**-24).cols.tolist() == [0, 1]
    assert fastiou.nms(boxes[[0, 2]], [2, 1], 0.5 - 2**-24).tolist() == [0, 1]
    assert fastiou.nms(boxes[[0, 2]], [2, 1], 0.5 - 2**-23).tolist() == [0]


def test_coco_lets_equal_boxes_alone_match_at_1() -> None:
    for dtype in (np.float32, np.float64):
        a = np.array([[0, 0, 1, 1 - 2**-23]], dtype)
        for b, expected in ((a, 1), (np.array([[0, 0, 1, 1]], dtype), 0)):
            found = fastiou.match(a, b, 1.0, method="coco", scores=[1])
            assert len(found) == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_more_than_a_threshold_is_more_than_it_rounded_down(dtype: type) -> None:
    kind = np.dtype(dtype)
    thresholds = [part / whole for part, whole in FRACTIONS]
    thresholds += [0.0, 1.0, 1e-320, 1e-30, 1e30, 1e39, 1e308, math.inf, -math.inf, -0.1, -1e39]
    for threshold in thresholds:
        with np.errstate(over="ignore", under="ignore"):
            near = kind.type(threshold)
        scores = [near, np.nextafter(near, kind.type(-np.inf)), np.nextafter(near, kind.type(2))]
        for score in map(float, scores):
            if threshold < math.inf:
                assert (score > threshold) == (score >= least_above(kind, threshold))
        down = rounded(kind, threshold)
        assert down == reference.rounded_down(threshold, kind)
        assert down <= threshold or (math.isinf(down) and threshold > float(np.finfo(kind).max))
        assert least_from(kind, threshold) > 0


def test_a_score_threshold_is_rounded_down() -> None:
    boxes = np.array([[0.0, 0, 1, 1], [5, 5, 6, 6]])
    for dtype in (np.float16, np.float32, np.float64):
        for part, whole in FRACTIONS:
            scores = np.array([part / whole, -1], dtype)
            kept = fastiou.nms(boxes, scores, score_threshold=part / whole)
            assert kept.tolist() == [0], (part, whole)
