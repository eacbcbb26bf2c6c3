"""Soft suppression keeps what the oracle keeps, in its order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes_for_tests import (
    FORMATS,
    as_format,
)
from hypothesis import given
from hypothesis import strategies as st
from scenes_for_tests import (
    EXAMPLES,
    Scene,
    dense,
    drawn_scenes,
    scattered,
    uneven_groups,
)
from suppression_for_tests import (
    SOFT_METRICS,
    assert_order,
    assert_soft,
    first_of_each,
)

import fastiou
from fastiou import reference

#: Few are many here: other tests compare what one call does for a few.
pytestmark = pytest.mark.general_way


def test_soft_by_hand() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 6], [0, 3, 10, 6], [50, 50, 60, 60]])
    # Of 0: 0.6 with 1 and 0.3 with 2; of 1: 0.5 with 2.
    scores = np.array([0.9, 0.8, 0.7, 0.3])
    # 1 falls to 0.8 × 0.4 = 0.32; 2 stays, since 0.3 is not above the threshold.
    kept = fastiou.nms(boxes, scores, 0.5, method="linear")
    assert kept.tolist() == [0, 2, 1, 3]
    # With a lower threshold 2 falls to 0.49 and takes 1 down to 0.16.
    assert fastiou.nms(boxes, scores, 0.2, method="linear").tolist() == [0, 2, 3, 1]
    options: dict[str, Any] = {"method": "linear", "score_threshold": 0.25}
    assert fastiou.nms(boxes, scores, 0.2, **options).tolist() == [0, 2, 3]
    assert fastiou.nms(boxes, scores, 0.2, max_output=2, **options).tolist() == [0, 2]
    # 0.8 exp(-0.72) = 0.389 and 0.7 exp(-0.18) = 0.585, which takes 1 down to 0.236.
    assert fastiou.nms(boxes, scores, method="gaussian").tolist() == [0, 2, 3, 1]
    assert fastiou.nms(boxes, scores, 1.0, method="gaussian").tolist() == [0, 2, 3, 1]
    scores[3] = 0.23
    assert fastiou.nms(boxes, scores, method="gaussian").tolist() == [0, 2, 1, 3]
    options = {"method": "gaussian", "score_threshold": 0.237}
    assert fastiou.nms(boxes, scores, **options).tolist() == [0, 2]
    # A wide sigma changes nothing much.
    assert fastiou.nms(boxes, scores, method="gaussian", sigma=1e6).tolist() == [0, 1, 2, 3]


def test_a_score_that_falls_to_0_stays_unless_a_threshold_drops_it() -> None:
    boxes = np.array([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [5, 5, 6, 6]])
    scores = [0.5, 0.9, 0.9, 0.0]
    assert fastiou.nms(boxes, scores, method="linear").tolist() == [1, 0, 2, 3]
    assert fastiou.nms(boxes, scores, method="linear", score_threshold=1e-9).tolist() == [1]


def test_soft_in_float64() -> None:
    """Scores that float32 cannot tell apart are told apart once they have fallen."""
    boxes = np.array([[0.0, 0, 1, 1], [0, 0, 1, 0.75], [7, 7, 8, 8]], np.float32)
    scores = np.array([1, 1, 0.25], np.float32)
    # 1 falls to 0.25 exactly, and comes before 2 by its index.
    assert fastiou.nms(boxes, scores, method="linear").tolist() == [0, 1, 2]
    scores[2] = np.nextafter(np.float32(0.25), np.float32(1))
    assert fastiou.nms(boxes, scores, method="linear").tolist() == [0, 2, 1]
    wide = np.array([1, 1, 0.25 * (1 + 1e-15)])
    assert fastiou.nms(boxes, wide, method="linear").tolist() == [0, 2, 1]


@pytest.mark.parametrize("method", ["linear", "gaussian"])
@pytest.mark.parametrize("grouped", [False, True], ids=["all", "grouped"])
@pytest.mark.usefixtures("any_threads")
def test_soft_of_crowds(rng: np.random.Generator, method: str, grouped: bool) -> None:
    boxes = scattered(rng, 1500, 100, (3, 25)).astype(np.float32)
    scene = Scene(boxes, boxes, (boxes, boxes))
    scores = rng.random(1500)
    groups = uneven_groups(rng, 1500)[0] if grouped else None
    for options in (
        {},
        {"score_threshold": 1e-3},
        {"score_threshold": 0.3},
        {"max_total": 200, "score_threshold": 1e-3},
        {"max_output": 20, "score_threshold": 1e-3},
        {"sigma": 0.05, "score_threshold": 1e-3},
    ):
        for threshold in (0.0, 0.3):
            assert_soft(scene, scores, threshold, method=method, groups=groups, **options)


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_of_a_pile(rng: np.random.Generator, method: str) -> None:
    """3,000 boxes in one place: each that is taken changes all others."""
    half = rng.uniform(10, 30, (3000, 2))
    boxes = np.concatenate([-half, half], axis=1)
    scene = Scene(boxes, boxes, (boxes, boxes))
    kept = assert_soft(scene, rng.random(3000), 0.6, method=method, score_threshold=1e-3)
    assert len(kept) > 5


@pytest.mark.parametrize("method", ["linear", "gaussian"])
@pytest.mark.parametrize("metric", SOFT_METRICS)
def test_soft_of_every_metric_and_format(
    rng: np.random.Generator, metric: str, method: str
) -> None:
    for fmt in FORMATS:
        for dtype in (np.float32, np.float64) if metric == "iou" else (np.float64,):
            boxes = as_format(scattered(rng, 400, 60, (3, 25)), fmt).astype(dtype)
            scene = Scene(boxes, boxes, (boxes, boxes), options={"metric": metric, "fmt": fmt})
            assert_soft(scene, rng.random(400), 0.2, method=method, score_threshold=1e-6)


@pytest.mark.parametrize("method", ["linear", "gaussian"])
@pytest.mark.parametrize("metric", SOFT_METRICS)
@EXAMPLES
@given(data=st.data())
def test_soft_of_any_scene(metric: str, method: str, data: st.DataObject) -> None:
    """Ties and copies, whose order may depend on rounding, are replayed rather than compared."""
    scene = data.draw(drawn_scenes(metric, most=60))
    count = len(scene.a)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    scores = rng.integers(0, data.draw(st.sampled_from([2, 4, 10**6])), count) / 4
    threshold = data.draw(st.sampled_from([0.0, 1.0, scene.thresholds[0]]))
    options = {
        "method": method,
        "groups": scene.groups[0] if data.draw(st.booleans()) else None,
        "sigma": data.draw(st.sampled_from([0.5, 0.1, 3.0])),
        "score_threshold": data.draw(st.sampled_from([0.0, 1e-3, 0.25])),
    }
    overlaps = dense(scene.a, scene.a, **scene.options)
    kept = fastiou.nms(scene.a, scores, threshold, **scene.options, **options)
    wanted = reference.nms(overlaps, scores, threshold, **options)
    if method == "linear":  # of which every operation is rounded alike everywhere
        np.testing.assert_array_equal(kept, wanted, strict=True)
    assert_order(kept, overlaps, scores, threshold, **options)
    assert_order(wanted, overlaps, scores, threshold, **options)
    most = data.draw(st.integers(0, count + 1))
    some = fastiou.nms(scene.a, scores, threshold, max_total=most, **scene.options, **options)
    np.testing.assert_array_equal(some, kept[:most], strict=True)
    some = fastiou.nms(scene.a, scores, threshold, max_output=most, **scene.options, **options)
    np.testing.assert_array_equal(some, first_of_each(kept, options["groups"], most), strict=True)
