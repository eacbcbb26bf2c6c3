"""`nms` and `batched_nms` keep what the oracle keeps, in its order.

The property tests take few examples. `pytest --hypothesis-profile thorough tests/relations`
runs 10,000 of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest
from boxes_for_tests import (
    FORMATS,
    METRICS,
    USUAL_METRICS,
    Array,
    as_format,
    awkward_boxes,
    random_boxes,
)
from hypothesis import given
from hypothesis import strategies as st
from masks_for_tests import METRICS as MASK_METRICS
from masks_for_tests import awkward_masks, forms_of, random_masks
from scenes_for_tests import (
    EXAMPLES,
    SCENE_NAMES,
    Scene,
    dense,
    drawn_scenes,
    scattered,
    scene_named,
    small_objects,
    uneven_groups,
)
from suppression_for_tests import (
    METHODS,
    SOFT_METRICS,
    Rows,
    assert_order,
    assert_soft,
    first_of_each,
    tied_scores,
)

import fastiou
from fastiou import reference
from fastiou.runtime import threads

#: Few are many here: other tests compare what one call does for a few.
pytestmark = pytest.mark.general_way

# ---- the oracle, by hand -----------------------------------------------------------------------

#: Three in a chain: 0 and 1 share 0.6, 1 and 2 share 0.5; and one apart.
CHAIN = np.array(
    [[1.0, 0.6, 0.2, 0.0], [0.6, 1.0, 0.5, 0.0], [0.2, 0.5, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def kept_of_chain(scores: list[float], threshold: float = 0.5, **options: Any) -> list[int]:
    kept: list[int] = reference.nms(CHAIN, scores, threshold, **options).tolist()
    return kept


def test_the_oracle_by_hand() -> None:
    scores = [0.9, 0.8, 0.7, 0.1]
    # 1 is suppressed by 0, so that it does not suppress 2.
    assert kept_of_chain(scores, 0.4) == [0, 2, 3]
    # Its score with 2 is not above 0.5.
    assert kept_of_chain([0.7, 0.8, 0.9, 1.0], 0.5) == [3, 2, 1]
    assert kept_of_chain(scores, 0.6) == [0, 1, 2, 3]
    assert kept_of_chain(scores, 0.0) == [0, 3]
    assert kept_of_chain(scores, 0.4, max_output=2) == [0, 2]
    assert kept_of_chain(scores, 0.4, max_output=0) == []
    assert kept_of_chain(scores, 0.4, score_threshold=0.7) == [0, 2]
    assert kept_of_chain(scores, 0.4, score_threshold=2) == []
    assert kept_of_chain(scores, 0.4, groups=[0, 1, 1, 0]) == [0, 1, 3]
    assert kept_of_chain([0.5] * 4, 0.4) == [0, 2, 3]
    assert kept_of_chain([-1, 0, -3, -2], 0.4, score_threshold=0) == [1]
    for least in (None, -math.inf):
        assert kept_of_chain([-1, 0, -3, -2], 0.4, score_threshold=least) == [1, 3]
    assert kept_of_chain(scores, 0.4, max_output=1, groups=[0, 1, 1, 0]) == [0, 1]
    assert kept_of_chain(scores, 0.4, max_total=1, groups=[0, 1, 1, 0]) == [0]


def test_the_soft_oracle_by_hand() -> None:
    scores = [0.9, 0.8, 0.7, 0.1]
    # 1 falls to 0.8 × 0.4 = 0.32, and then, since 2 is taken with 0.7, to 0.32 × 0.5 = 0.16.
    assert kept_of_chain(scores, 0.4, method="linear") == [0, 2, 1, 3]
    assert kept_of_chain([0.9, 0.8, 0.7, 0.17], 0.4, method="linear") == [0, 2, 3, 1]
    # 0.5 is not above the threshold: 1 stays at 0.32.
    assert kept_of_chain([0.9, 0.8, 0.7, 0.17], 0.5, method="linear") == [0, 2, 1, 3]
    assert kept_of_chain(scores, 0.4, method="linear", score_threshold=0.17) == [0, 2]
    assert kept_of_chain(scores, 0.4, method="linear", score_threshold=0.15) == [0, 2, 1]
    assert kept_of_chain(scores, 0.4, method="linear", max_output=3) == [0, 2, 1]
    # 0.8 exp(-0.72) = 0.389; 0.7 exp(-0.08) = 0.646; then 0.389 exp(-0.5) = 0.236.
    assert kept_of_chain([0.9, 0.8, 0.7, 0.235], method="gaussian") == [0, 2, 1, 3]
    assert kept_of_chain([0.9, 0.8, 0.7, 0.237], method="gaussian") == [0, 2, 3, 1]
    assert kept_of_chain([0.9, 0.8, 0.7, 0.647], method="gaussian") == [0, 3, 2, 1]
    # 0.8 exp(-0.36 / 0.1) = 0.0219; 0.7 exp(-0.4) = 0.469; then 0.0219 exp(-2.5) = 0.0018.
    options: dict[str, Any] = {"method": "gaussian", "sigma": 0.1}
    assert kept_of_chain(scores, score_threshold=0.0017, **options) == [0, 2, 3, 1]
    assert kept_of_chain(scores, score_threshold=0.0019, **options) == [0, 2, 3]


# ---- by hand -----------------------------------------------------------------------------------


def test_by_hand() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 6], [0, 3, 10, 6], [50, 50, 60, 60]]
    scores = [0.9, 0.8, 0.7, 0.95]
    kept = fastiou.nms(boxes, scores)
    assert type(kept) is np.ndarray
    assert kept.dtype == np.int64
    assert kept.tolist() == [3, 0, 2]
    assert fastiou.nms(boxes, scores, 0.6).tolist() == [3, 0, 1, 2]
    assert fastiou.nms(boxes, scores, 0).tolist() == [3, 0]
    assert fastiou.nms(boxes, scores, 1).tolist() == [3, 0, 1, 2]
    assert fastiou.nms(boxes, scores, groups=[1, 2, 2, 1]).tolist() == [3, 0, 1, 2]
    assert fastiou.nms(boxes, scores, 0.4, groups=[1, 2, 2, 1]).tolist() == [3, 0, 1]
    assert fastiou.nms(boxes, scores, max_output=2).tolist() == [3, 0]
    assert fastiou.nms(boxes, scores, max_output=0).tolist() == []
    assert fastiou.nms(boxes, scores, max_output=99).tolist() == [3, 0, 2]
    assert fastiou.nms(boxes, scores, score_threshold=0.9).tolist() == [3, 0]
    assert fastiou.nms(boxes, [-1, -2, -3, -4], score_threshold=0).tolist() == []
    # Left out from the start, it suppresses nothing.
    assert fastiou.nms(boxes, [-1, 1, 2, 3], score_threshold=0).tolist() == [3, 2, 1]
    assert fastiou.nms(boxes, scores, method="linear").tolist() == [3, 0, 2, 1]
    assert fastiou.nms(boxes, scores, method="linear", score_threshold=0.4).tolist() == [3, 0, 2]


def test_a_score_at_the_threshold_suppresses_nothing() -> None:
    """Rounded down to the dtype of the scores: 1/10 in float32 is more than 0.1."""
    for part in (1, 3, 5, 7, 9):
        for dtype in (np.float16, np.float32, np.float64, np.int16):
            boxes = np.array([[0, 0, 10, 10], [0, 0, 10, part]], dtype)
            single = np.dtype(dtype).kind == "f" and np.dtype(dtype).itemsize <= 4
            is_above = single and float(np.float32(part) / np.float32(10)) > part / 10
            assert fastiou.nms(boxes, [1, 0], part / 10).tolist() == ([0] if is_above else [0, 1])
            assert fastiou.nms(boxes, [1, 0], part / 10 - 1e-3).tolist() == [0]


def test_a_score_at_the_score_threshold_stays() -> None:
    boxes = np.array([[0.0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10]])
    for dtype in (np.float16, np.float32, np.float64):
        scores = np.array([0.7, 0.7, 0.6], dtype)
        assert fastiou.nms(boxes, scores, score_threshold=0.7).tolist() == [0, 1]
    assert fastiou.nms(boxes, [2, 3, 1], score_threshold=2).tolist() == [1, 0]
    assert fastiou.nms(boxes, [2, 3, 1], score_threshold=1.5).tolist() == [1, 0]
    assert fastiou.nms(boxes, [0.0, -0.0, -1e-300], score_threshold=0).tolist() == [0, 1]


@pytest.mark.parametrize("way", [None, pytest.param(1, marks=pytest.mark.general_way)])
def test_all_scores_count_unless_a_threshold_is_given(way: Any) -> None:
    """Logits, and infinite ones, too."""
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60], [70, 70, 71, 71]]
    for dtype in (np.float16, np.float32, np.float64):
        scores = np.array([-3, -2, -math.inf, 0], dtype)
        assert fastiou.nms(boxes, scores).tolist() == [3, 1, 2]
        assert fastiou.nms(np.array(boxes, dtype), scores).tolist() == [3, 1, 2]
        assert fastiou.nms(np.array(boxes, dtype), scores, groups=[1, 2, 1, 1]).tolist() == [
            3,
            1,
            0,
            2,
        ]
        assert fastiou.nms(np.array(boxes, dtype), scores, score_threshold=-2.0).tolist() == [3, 1]
        assert fastiou.nms(boxes, scores, score_threshold=-2.5).tolist() == [3, 1]
    assert fastiou.nms(boxes, [-3, -2, -9, 0], score_threshold=None).tolist() == [3, 1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_missing_boxes_are_kept_and_suppress_nothing(method: str) -> None:
    nan = np.nan
    boxes = np.array(
        [[0, 0, 10, 10], [0, nan, 10, 10], [0, 0, 10, 10], [nan] * 4, [0, nan, 10, 10]]
    )
    kept = fastiou.nms(boxes, [3, 5, 4, 1, 2], method=method, score_threshold=1)
    assert kept.tolist() == [1, 2, 4, 3]


def test_degenerate_boxes_are_kept() -> None:
    boxes = np.array([[5.0, 5, 5, 5], [5, 5, 5, 5], [8, 2, 3, 6], [8, 2, 3, 6], [0, 0, 10, 10]])
    for threshold in (0.0, 0.5):
        assert fastiou.nms(boxes, np.ones(5), threshold).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_the_kept_box_is_the_row() -> None:
    """The share of the smaller box in the larger depends on which of them asks."""
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 2]])
    assert fastiou.nms(boxes, [2, 1], 0.5, metric="iof").tolist() == [0, 1]
    assert fastiou.nms(boxes, [1, 2], 0.5, metric="iof").tolist() == [1]
    assert fastiou.nms(boxes, [2, 1], 0.5, metric="ios").tolist() == [0]
    assert fastiou.nms(boxes, [2, 1], 0.1, metric="iof").tolist() == [0]
    # Linear decay: 1 falls by a fifth, so that it stays above 1.5; 0 falls to nothing.
    options: dict[str, Any] = {"metric": "iof", "method": "linear", "score_threshold": 1.5}
    assert fastiou.nms(boxes, [3, 2], 0.1, **options).tolist() == [0, 1]
    assert fastiou.nms(boxes, [2, 3], 0.1, **options).tolist() == [1]


@pytest.mark.parametrize(
    ("metric", "method"),
    [
        *[(metric, "hard") for metric in METRICS],
        *[(metric, method) for metric in SOFT_METRICS for method in ("linear", "gaussian")],
    ],
)
def test_boxes_at_a_distance_are_not_suppressed_by_any_metric(metric: str, method: str) -> None:
    boxes = np.array([[0.0, 0, 1, 1], [1, 0, 2, 1], [5, 5, 6, 6], [1.5, 0, 2.5, 1]])
    kept = fastiou.nms(boxes[:3], [3, 2, 1], 0, metric=metric, method=method)
    assert kept.tolist() == [0, 1, 2]
    # 1 and 3 have an iou of 1/3; their diou is below it.
    if metric in ("iou", "diou"):
        kept = fastiou.nms(boxes, [3, 2, 1, 0], 0.3, metric=metric)
        assert kept.tolist() == list(range(3 if metric == "iou" else 4))


# ---- scenes ------------------------------------------------------------------------------------


def assert_hard(scene: Scene, scores: Array, threshold: float, **options: Any) -> Array:
    """Compare with the oracle; return what is kept."""
    a = scene.a
    overlaps = dense(a, a, **scene.options) if len(a) < 5000 else Rows(scene)
    wanted = reference.nms(overlaps, scores, threshold, **options)
    kept = fastiou.nms(a, scores, threshold, **scene.options, **options)
    np.testing.assert_array_equal(kept, wanted, strict=True)
    return wanted


@pytest.mark.parametrize("grouped", [False, True], ids=["all", "grouped"])
@pytest.mark.parametrize("name", SCENE_NAMES)
@pytest.mark.usefixtures("any_threads")
def test_scenes(name: str, grouped: bool) -> None:
    scene = scene_named(name)
    scene = replace(scene, a=scene.a[:4000])
    scores = tied_scores(np.random.default_rng(1), len(scene.a))
    groups = scene.groups[0][:4000] if grouped else None
    kept = assert_hard(scene, scores, scene.thresholds[1], groups=groups)
    assert len(kept) > 0


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.usefixtures("any_threads")
def test_every_metric_and_format(rng: np.random.Generator, metric: str, fmt: str) -> None:
    for dtype in (np.float32, np.float64) if metric in USUAL_METRICS else (np.float64,):
        corners = scattered(rng, 2500, 300, (1, 20))
        corners[:200] = corners[200:400] + rng.normal(0, 0.2, (200, 4))
        boxes = as_format(corners, fmt).astype(dtype)
        scene = Scene(boxes, boxes, (boxes, boxes), options={"metric": metric, "fmt": fmt})
        scores = tied_scores(rng, 2500)
        (groups,) = uneven_groups(rng, 2500)
        threshold = 20.0 if metric == "intersection" else 0.3
        assert len(assert_hard(scene, scores, threshold)) < 2500
        assert len(assert_hard(scene, scores, threshold, groups=groups)) < 2500


@pytest.mark.usefixtures("any_threads")
def test_twenty_thousand(rng: np.random.Generator) -> None:
    """A chain of suppressions across the whole scene, and thousands of tiny groups."""
    boxes = scattered(rng, 20_000, 1000, (5, 30)).astype(np.float32)
    scene = Scene(boxes, boxes, (boxes, boxes))
    scores = rng.random(20_000)
    kept = assert_hard(scene, scores, 0.3)
    assert 1000 < len(kept) < 15_000
    groups = rng.integers(-(2**62), -(2**62) + 9000, 20_000)
    assert len(assert_hard(scene, scores, 0.1, groups=groups)) < 20_000


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 0.99])
def test_a_pile(rng: np.random.Generator, threshold: float) -> None:
    """3,000 boxes that all overlap, so that every one has all others as neighbours."""
    half = rng.uniform(10, 30, (3000, 2))
    jitter = rng.normal(0, 0.5, (3000, 2))
    boxes = np.concatenate([jitter - half, jitter + half], axis=1).astype(np.float32)
    scene = Scene(boxes, boxes, (boxes, boxes), whole=True)
    kept = assert_hard(scene, tied_scores(rng, 3000), threshold)
    assert len(kept) == 1 if threshold == 0 else len(kept) > 1


@pytest.mark.parametrize("ascending", [False, True])
def test_a_long_chain(ascending: bool) -> None:
    """Each box suppresses the next alone: every second survives, decided one after the other."""
    left = np.arange(5001) * 4.0
    boxes = np.stack([left, left * 0, left + 10, left * 0 + 10], axis=1)  # neighbours: 6 / 14
    scores = np.linspace(1, 0, 5001)
    if ascending:
        scores = scores[::-1].copy()
    kept = fastiou.nms(boxes, scores, 0.4)
    order = np.argsort(-scores, kind="stable")
    np.testing.assert_array_equal(kept, order[::2])


def test_equal_boxes_and_scores() -> None:
    boxes = np.tile([[3.0, 3, 9, 8]], (3000, 1))
    assert fastiou.nms(boxes, np.full(3000, 0.5)).tolist() == [0]
    groups = np.arange(3000) // 3 * -7
    kept = fastiou.nms(boxes, np.full(3000, 0.5), groups=groups)
    np.testing.assert_array_equal(kept, np.arange(0, 3000, 3))
    kept = fastiou.nms(boxes, np.full(3000, 0.5), 1.0)
    np.testing.assert_array_equal(kept, np.arange(3000))
    assert fastiou.nms(boxes, np.ones(3000), 1.0, max_output=7).tolist() == list(range(7))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [40, 3000])
def test_max_output_takes_the_best_of_each_group(
    rng: np.random.Generator, method: str, size: int
) -> None:
    boxes, scores = scattered(rng, size, size // 15), tied_scores(rng, size)
    (groups,) = uneven_groups(rng, size)
    options: dict[str, Any] = {"method": method}
    for own in (None, groups, np.full(size, 7)):
        kept = fastiou.nms(boxes, scores, 0.2, groups=own, **options)
        for most in (0, 1, 2, 63, 64, 65, len(kept) - 1, len(kept), len(kept) + 1, 10**12):
            some = fastiou.nms(boxes, scores, 0.2, groups=own, max_output=most, **options)
            wanted = first_of_each(kept, own, most)
            np.testing.assert_array_equal(some, wanted, strict=True)
            for in_all in (0, 1, 5, most, 10**12):
                some = fastiou.nms(
                    boxes, scores, 0.2, groups=own, max_output=most, max_total=in_all, **options
                )
                np.testing.assert_array_equal(some, wanted[:in_all], strict=True)
            some = fastiou.nms(boxes, scores, 0.2, groups=own, max_total=most, **options)
            np.testing.assert_array_equal(some, kept[:most], strict=True)


def test_max_output_is_that_of_an_image() -> None:
    """Two boxes in each of two images: the best of each, and the best of all."""
    boxes = [[0, 0, 1, 1], [5, 5, 6, 6]] * 2
    scores, images = [0.9, 0.8, 0.2, 0.1], ["b.jpg", "b.jpg", "a.jpg", "a.jpg"]
    assert fastiou.nms(boxes, scores, groups=images, max_output=1).tolist() == [0, 2]
    assert fastiou.nms(boxes, scores, groups=images, max_total=1).tolist() == [0]
    assert fastiou.nms(boxes, scores, groups=images, max_output=1, max_total=1).tolist() == [0]
    assert fastiou.nms(boxes, scores, max_output=1).tolist() == [0]


@pytest.mark.parametrize("size", [0, 1, 2, 63, 64, 65, 257])
@pytest.mark.parametrize("method", METHODS)
def test_odd_sizes(rng: np.random.Generator, size: int, method: str) -> None:
    boxes = random_boxes(rng, size, span=30)
    scores = rng.random(size)
    for groups in (None, rng.integers(-1, 2, size)):
        options: dict[str, Any] = {"method": method, "groups": groups, "score_threshold": 0.05}
        kept = fastiou.nms(boxes, scores, 0.3, **options)
        wanted = reference.nms(dense(boxes, boxes), scores, 0.3, **options)
        np.testing.assert_array_equal(kept, wanted, strict=True)


def test_nothing() -> None:
    for boxes, scores in (([], []), (np.ones((0, 4)), np.ones(0)), ([], np.ones(0, np.float32))):
        for groups in (None, [], np.ones(0, int)):
            for method in METHODS:
                kept = fastiou.nms(boxes, scores, groups=groups, method=method)
                assert (kept.shape, kept.dtype) == ((0,), np.int64)
        for idxs in ([], None, np.ones(0)):
            assert fastiou.batched_nms(boxes, scores, idxs, 0.5).shape == (0,)


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.int8, np.uint8, np.int64, np.uint64, np.float16, np.float32, ">f8"]
)
def test_scores_of_any_type(rng: np.random.Generator, dtype: Any) -> None:
    """Sorted as numbers: neither unsigned ones nor the smallest integer can be negated."""
    boxes = random_boxes(rng, 300)
    scores = rng.integers(0, 2 if dtype is np.bool_ else 90, 300).astype(dtype)
    wanted = reference.nms(dense(boxes, boxes), scores.astype(np.float64), 0.2)
    assert 1 < len(wanted) < 300
    np.testing.assert_array_equal(fastiou.nms(boxes, scores, 0.2), wanted)
    np.testing.assert_array_equal(fastiou.nms(boxes, scores.tolist(), 0.2), wanted)


def test_extreme_scores() -> None:
    boxes = np.array([[0.0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10], [0, 0, 1, 1]])
    lowest = np.array([-(2**63), 5, -(2**63), 2**62], np.int64)
    kept = fastiou.nms(boxes, lowest, score_threshold=-np.inf)
    assert kept.tolist() == [3, 1, 2]
    tiny = np.array([5e-324, 1e308, -1e308, 0.0])
    assert fastiou.nms(boxes, tiny, score_threshold=0).tolist() == [1, 0]
    assert fastiou.nms(boxes, tiny).tolist() == [1, 0, 2]
    assert fastiou.nms(boxes, tiny, score_threshold=-np.inf).tolist() == [1, 0, 2]
    single = np.array([1, 1 + 2**-23, 1, 1], np.float32)
    assert fastiou.nms(boxes, single).tolist() == [1, 0, 2]
    # The two zeros are equal, so the lower index comes first.
    assert fastiou.nms(boxes, [-0.0, 0.0, -0.0, 0.0]).tolist() == [0, 1, 2]


def test_groups_of_any_number(rng: np.random.Generator) -> None:
    boxes, scores = scattered(rng, 2000, 100), rng.random(2000)
    plain = rng.integers(0, 4, 2000)
    wanted = fastiou.nms(boxes, scores, 0.1, groups=plain)
    for numbers in (
        np.array([-(2**63), -1, 0, 2**63 - 1]),
        np.array([2**64 - 1, 2**64 - 2, 2**64 - 3, 0], np.uint64),
        np.array([-128, 127, 0, 3], np.int8),
        np.array([2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3]),
    ):
        kept = fastiou.nms(boxes, scores, 0.1, groups=numbers[plain])
        np.testing.assert_array_equal(kept, wanted)
    kept = fastiou.nms(boxes, scores, 0.1, groups=plain.tolist())
    np.testing.assert_array_equal(kept, wanted)


@pytest.mark.parametrize("origin", [0.0, 1e6, -1e9, 1e13])
def test_groups_at_any_origin(rng: np.random.Generator, origin: float) -> None:
    """Groups are no offsets of coordinates, which would round away what tells boxes apart."""
    boxes = np.round(scattered(rng, 1500, 200) * 8) / 8 + origin
    scores = rng.random(1500)
    groups = rng.integers(-(10**15), 10**15, 30)[rng.integers(0, 30, 1500)]
    wanted = [
        np.flatnonzero(groups == group)[
            fastiou.nms(boxes[groups == group], scores[groups == group], 0.1)
        ]
        for group in np.unique(groups)
    ]
    found = fastiou.nms(boxes, scores, 0.1, groups=groups)
    assert len(found) < 1500
    np.testing.assert_array_equal(np.sort(found), np.sort(np.concatenate(wanted)))
    np.testing.assert_array_equal(found, found[np.argsort(-scores[found], kind="stable")])


def test_scores_of_the_highest_precision_that_float16_boxes_have(rng: np.random.Generator) -> None:
    boxes = scattered(rng, 2000, 6e4, (300, 3000)).astype(np.float16)
    scene = Scene(boxes, boxes, (boxes, boxes), whole=True)
    assert len(assert_hard(scene, tied_scores(rng, 2000), 0.3)) < 2000
    assert len(assert_hard(scene, rng.random(2000).astype(np.float16), 0.3)) < 2000


@pytest.mark.parametrize("metric", METRICS)
@EXAMPLES
@given(data=st.data())
def test_any_scene(metric: str, data: st.DataObject) -> None:
    scene = data.draw(drawn_scenes(metric))
    count = len(scene.a)
    levels = data.draw(st.sampled_from([1, 3, 1000]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    scores = (rng.integers(-1, levels, count) / 4).astype(data.draw(st.sampled_from(["f4", "f8"])))
    assert_hard(
        scene,
        scores,
        data.draw(st.sampled_from([0.0, 1.0, scene.thresholds[0]])),
        groups=scene.groups[0] if data.draw(st.booleans()) else None,
        score_threshold=data.draw(st.sampled_from([0.0, 0.25, -math.inf, 100.0])),
        max_output=data.draw(st.none() | st.integers(0, 2 * count)),
        max_total=data.draw(st.none() | st.integers(0, 2 * count)),
    )


# ---- masks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", MASK_METRICS)
@pytest.mark.usefixtures("any_threads")
def test_masks(rng: np.random.Generator, metric: str) -> None:
    small = small_objects(rng, 2000, (120, 90))
    extra = np.concatenate([awkward_masks((120, 90)), random_masks(rng, 40, (120, 90))])
    masks = fastiou.Masks.concatenate([small, fastiou.Masks.from_dense(extra), small[:90]])
    count = len(masks)
    scene = Scene(masks, masks, (small, small), options={"metric": metric}, whole=True)
    threshold = 20 if metric == "intersection" else 0.4
    (groups,) = uneven_groups(rng, count)
    for of_groups in (None, groups):
        kept = assert_hard(scene, tied_scores(rng, count), threshold, groups=of_groups)
        assert 1 < len(kept) < count


@pytest.mark.slow
@pytest.mark.parametrize("method", ["linear", "gaussian"])
@pytest.mark.parametrize("metric", [name for name in MASK_METRICS if name != "intersection"])
def test_soft_of_masks(rng: np.random.Generator, metric: str, method: str) -> None:
    small = small_objects(rng, 500, (120, 90))
    extra = np.concatenate([awkward_masks((120, 90)), random_masks(rng, 40, (120, 90))])
    masks = fastiou.Masks.concatenate([small, fastiou.Masks.from_dense(extra), small[:90]])
    scene = Scene(masks, masks, (masks, masks), options={"metric": metric})
    (groups,) = uneven_groups(rng, len(masks))
    scores = rng.random(len(masks))
    assert_soft(scene, scores, 0.4, method=method, groups=groups, score_threshold=1e-3)


def test_forms_of_masks(rng: np.random.Generator) -> None:
    some = random_masks(rng, 60, (20, 30))
    scores = tied_scores(rng, 60)
    wanted = reference.nms(reference.mask_iou(some, some), scores, 0.2)
    assert 1 < len(wanted) < 60
    for form in forms_of(some).values():
        np.testing.assert_array_equal(fastiou.nms(form, scores, 0.2), wanted, strict=True)


# ---- torchvision's name ------------------------------------------------------------------------


def batched_by_class(boxes: Array, scores: Array, classes: Array, threshold: float) -> Array:
    """What torchvision documents: NMS within each class, and then all by descending score."""
    overlaps = reference.box_iou(boxes, boxes)
    kept: list[int] = []
    for number in np.unique(classes):
        left = np.flatnonzero(classes == number)
        left = left[np.argsort(-scores[left], kind="stable")]
        while len(left):
            kept.append(int(left[0]))
            values = overlaps[left[0], left[1:]].astype(np.float64)
            left = left[1:][values <= threshold]
    return np.array(sorted(kept, key=lambda index: (-scores[index], index)), np.int64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batched_nms(rng: np.random.Generator, dtype: type) -> None:
    boxes = scattered(rng, 1500, 150).astype(dtype)
    classes = rng.integers(0, 9, 1500)
    for scores in (rng.random(1500), tied_scores(rng, 1500), rng.normal(0, 1, 1500)):
        wanted = batched_by_class(boxes, scores, classes, 0.3)
        assert 100 < len(wanted) < 1450
        kept = fastiou.batched_nms(boxes, scores, classes, 0.3)
        np.testing.assert_array_equal(kept, wanted, strict=True)
        kept = fastiou.batched_nms(boxes=boxes, scores=scores, idxs=classes, iou_threshold=0.3)
        np.testing.assert_array_equal(kept, wanted, strict=True)


def test_batched_nms_keeps_negative_scores() -> None:
    """Logits are scores too; a score threshold of 0 would drop half of them."""
    boxes = np.array([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [7, 7, 8, 8]])
    kept = fastiou.batched_nms(boxes, [-3, -2, -1, -math.inf], [0, 0, 1, 1], 0.5)
    assert kept.tolist() == [2, 1, 3]


# ---- other libraries ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_tensors(rng: np.random.Generator, method: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    boxes = random_boxes(rng, 200, np.float32)
    scores, groups = rng.random(200).astype(np.float32), rng.integers(0, 3, 200)
    wanted = fastiou.nms(boxes, scores, 0.2, groups=groups, method=method)
    tensors = [torch.from_numpy(part) for part in (boxes, scores, groups)]
    kept = fastiou.nms(tensors[0], tensors[1], 0.2, groups=tensors[2], method=method)
    assert isinstance(kept, torch.Tensor)
    assert kept.dtype == torch.int64
    np.testing.assert_array_equal(kept.numpy(), wanted)
    assert tensors[0][kept].shape == (len(wanted), 4)  # as an index
    kept = fastiou.batched_nms(*tensors, 0.2)
    assert isinstance(kept, torch.Tensor)
    np.testing.assert_array_equal(kept.numpy(), batched_by_class(boxes, scores, groups, 0.2))
    assert isinstance(fastiou.nms(tensors[0], scores), torch.Tensor)
    empty = fastiou.nms(torch.zeros(0, 4), torch.zeros(0), method=method)
    assert (empty.shape, empty.dtype) == ((0,), torch.int64)


def test_tensors_of_half_precision(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for dtype in (torch.float16, torch.bfloat16):
        boxes = torch.tensor(random_boxes(rng, 200, np.float32)).to(dtype)
        scores = torch.tensor(rng.random(200)).to(dtype)
        wide = boxes.float().numpy(), scores.float().numpy()
        wanted = reference.nms(dense(wide[0], wide[0]), wide[1], 0.2)
        assert 1 < len(wanted) < 200
        np.testing.assert_array_equal(fastiou.nms(boxes, scores, 0.2).numpy(), wanted)
    with pytest.raises(TypeError, match=r"scores requires grad.*scores.detach\(\)"):
        fastiou.nms(torch.zeros(2, 4), torch.zeros(2, requires_grad=True))


def test_other_layouts(rng: np.random.Generator) -> None:
    boxes, scores = scattered(rng, 2000, 200), tied_scores(rng, 2000)
    wanted = fastiou.nms(boxes.copy(), scores.copy(), 0.2)
    wide = np.zeros((4000, 9))
    wide[::2, 2:6] = boxes
    frozen = boxes.copy()
    frozen.flags.writeable = False
    several = np.stack([scores, scores], axis=1)
    for some in (np.asfortranarray(boxes), wide[::2, 2:6], boxes.astype(">f8"), frozen):
        kept = fastiou.nms(some, several[:, 0], 0.2)
        np.testing.assert_array_equal(kept, wanted, strict=True)


def test_inputs_are_left_alone(rng: np.random.Generator) -> None:
    boxes, scores = scattered(rng, 2000, 200), rng.random(2000)
    (groups,) = uneven_groups(rng, 2000)
    given_arrays = (boxes, scores, groups)
    before = [part.copy() for part in given_arrays]
    for part in given_arrays:
        part.flags.writeable = False
    for method in METHODS:
        fastiou.nms(boxes, scores, 0.2, groups=groups, method=method)
    for part, other in zip(before, given_arrays, strict=True):
        np.testing.assert_array_equal(part, other)


# ---- threads and steps -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("what", ["hard", "linear", "gaussian", "masks"])
def test_the_same_for_any_threads_and_steps(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    fixed_steps: Callable[[int], None],
    what: str,
) -> None:
    """On a scene of unequal work: a pile, giants, and a wide space."""
    boxes = scattered(rng, 6000, 3000).astype(np.float32)
    boxes[::9] = scattered(rng, len(boxes[::9]), 10, (100, 130))
    boxes[5::1000, 2:] += 2000
    scores = tied_scores(rng, 6000)
    (groups,) = uneven_groups(rng, 6000)
    objects = small_objects(rng, 600, (120, 90))

    def found() -> list[list[int]]:
        if what == "masks":
            return [fastiou.nms(objects, scores[:600], 0.1).tolist()]
        if what == "gaussian":
            kept = fastiou.nms(boxes, scores, method=what, score_threshold=0.01)
            return [kept.tolist()]
        return [
            fastiou.nms(boxes, scores, 0.3, groups=each, method=what).tolist()
            for each in ((None, groups) if what == "hard" else (groups,))
        ]

    numba.set_num_threads(1)
    wanted = found()
    assert all(len(kept) > 100 for kept in wanted)
    monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
    for count in (1, 2, 4):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        for step in (50_000, 2_000_000, 1 << 26):
            fixed_steps(step)
            assert found() == wanted, (threads, step)


# ---- what is refused ---------------------------------------------------------------------------

BOXES = [[0, 0, 1, 1], [0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threshold": -0.1}, ValueError, "threshold must be .*got -0.1"),
        ({"threshold": 1.1}, ValueError, "threshold must be .*1.*got 1.1"),
        ({"threshold": math.nan}, ValueError, "threshold must be .*got nan"),
        ({"threshold": math.inf}, ValueError, "threshold must be .*got inf"),
        ({"threshold": "0.5"}, TypeError, "threshold must be .*got '0.5'"),
        ({"threshold": None}, TypeError, "threshold must be .*got None"),
        ({"threshold": True}, TypeError, "threshold must be .*got True"),
        ({"metric": "no"}, ValueError, "metric must be one of"),
        ({"fmt": "no"}, ValueError, "fmt must be one of"),
        ({"method": "no"}, ValueError, "method must be one of 'hard', 'linear', 'gaussian'"),
        ({"method": None}, ValueError, "method must be one of"),
        ({"method": "gaussian", "sigma": -0.5}, ValueError, "sigma must be .*got -0.5"),
        ({"method": "gaussian", "sigma": 0}, ValueError, "sigma must be .*got 0"),
        ({"method": "gaussian", "sigma": math.nan}, ValueError, "sigma must be .*got nan"),
        ({"method": "gaussian", "sigma": "1"}, TypeError, "sigma must be .*got '1'"),
        ({"score_threshold": math.nan}, ValueError, "score_threshold must be .*got nan"),
        ({"score_threshold": "0"}, TypeError, "score_threshold must be .*got '0'"),
        ({"max_output": -1}, ValueError, "max_output must be .*got -1"),
        ({"max_output": 1.5}, TypeError, "max_output must be .*got 1.5"),
        ({"max_output": "1"}, TypeError, "max_output must be .*got '1'"),
        ({"max_total": -1}, ValueError, "max_total must be .*got -1"),
        ({"max_total": 1.5}, TypeError, "max_total must be .*got 1.5"),
        ({"groups": [1]}, ValueError, r"groups must have the shape \(2,\), got \(1,\)"),
        (
            {"groups": [1.5, 1]},
            TypeError,
            "groups must hold integers or names, .*got 1.5 at position 0",
        ),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastiou.nms([[0, 0, 1, 1], [0, 0, 1, 1]], [1, 2], **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((BOXES, [1, 2], [0, 0], 1.5), ValueError, "iou_threshold must be .*got 1.5"),
        ((BOXES, [1, 2], [0], 0.5), ValueError, r"idxs must have the shape \(2,\), got \(1,\)"),
        ((BOXES, [1, 2], None, 0.5), TypeError, "idxs must hold integers or names, got None"),
        ((BOXES, [1, 2], [0, 0.5], 0.5), TypeError, "idxs must hold .*got 0.5 at position 1"),
        ((BOXES, [1, 2], [0, math.nan], 0.5), ValueError, "idxs has no value at position 1"),
        ((BOXES, [1], [0, 0], 0.5), ValueError, r"scores must have .*: one for each of boxes"),
        ((BOXES, [1, math.nan], [0, 0], 0.5), ValueError, "scores must be numbers, got NaN"),
        ((BOXES, [1, 2], [0, 0], None), TypeError, "iou_threshold must be a number, got None"),
        ((5, [1, 2], [0, 0], 0.5), ValueError, r"boxes must have the shape \(N, 4\), got \(\)"),
        (([[0, 0, math.inf, 1]], [1], [0], 0.5), ValueError, "boxes has an infinite coordinate"),
        ((np.ones((2, 6)), [1, 2], [0, 0], 0.5), ValueError, r"pass boxes\[:, :4\]"),
    ],
)
def test_batched_nms_names_its_own_arguments(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}" if message.startswith(NAMES) else message):
        fastiou.batched_nms(*arguments)


#: What `batched_nms` calls its arguments.
NAMES = ("boxes", "scores", "idxs", "iou_threshold")


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        ([1], ValueError, r"scores must have the shape \(2,\), got \(1,\)"),
        ([[1, 2]], ValueError, r"scores must have the shape \(2,\), got \(1, 2\)"),
        (1.0, ValueError, r"scores must have the shape \(2,\), got \(\)"),
        ([], ValueError, r"scores must have the shape \(2,\), got \(0,\)"),
        ([1, math.nan], ValueError, "scores .*(nan|NaN)"),
        (np.array([math.nan, 1], np.float16), ValueError, "scores .*(nan|NaN)"),
        (["high", "low"], TypeError, "scores must hold"),
        ([1j, 2], TypeError, "scores must hold"),
        (None, TypeError, "scores must"),
    ],
)
def test_bad_scores(scores: Any, error: type[Exception], message: str) -> None:
    boxes = [[0, 0, 1, 1], [0, 0, 1, 1]]
    for method in METHODS:
        with pytest.raises(error, match=message):
            fastiou.nms(boxes, scores, method=method)
    with pytest.raises(error, match=message):
        fastiou.batched_nms(boxes, scores, [0, 0], 0.5)


def test_a_missing_score_is_refused_even_of_a_missing_box() -> None:
    boxes = np.array([[0, 0, 1, 1], [np.nan] * 4])
    with pytest.raises(ValueError, match=r"scores .*(nan|NaN)"):
        fastiou.nms(boxes, [1, math.nan])


def test_bad_boxes() -> None:
    with pytest.raises(ValueError, match=r"a must have the shape .*got \(4,\)"):
        fastiou.nms([0, 0, 1, 1], [1])
    with pytest.raises(ValueError, match=r"a must have the shape"):
        fastiou.nms(np.zeros((1, 2, 4)), [[1, 2]])
    with pytest.raises(ValueError, match="has an infinite coordinate in row 1"):
        fastiou.nms([[0, 0, 1, 1], [0, 0, math.inf, 1]], [1, 2])
    with pytest.raises(ValueError, match="metric of masks must be one of"):
        fastiou.nms(np.ones((1, 2, 3)), [1], metric="giou")
    with pytest.raises(ValueError, match=r"(groups|idxs) must have the shape \(1,\)"):
        fastiou.batched_nms([[0, 0, 1, 1]], [1], [1, 2], 0.5)
    with pytest.raises(ValueError, match="threshold must be"):
        fastiou.batched_nms([[0, 0, 1, 1]], [1], [1], 1.5)


@pytest.mark.parametrize("metric", METRICS)
def test_awkward_boxes_of_every_metric(metric: str) -> None:
    boxes = awkward_boxes()
    scores = np.arange(len(boxes))[::-1] % 4
    scene = Scene(boxes, boxes, (boxes, boxes), options={"metric": metric}, whole=True)
    for threshold in (0.0, 0.3, 1.0):
        assert_hard(scene, scores, threshold)


@pytest.mark.parametrize("method", ["linear", "gaussian"])
@pytest.mark.parametrize("metric", SOFT_METRICS)
def test_soft_of_awkward_boxes(metric: str, method: str) -> None:
    boxes = awkward_boxes()
    scores = np.arange(len(boxes))[::-1] % 4
    overlaps = dense(boxes, boxes, metric=metric)
    for threshold in (0.0, 0.3, 1.0):
        options: dict[str, Any] = {"method": method, "score_threshold": 1e-6}
        kept = fastiou.nms(boxes, scores, threshold, metric=metric, **options)
        wanted = reference.nms(overlaps, scores, threshold, **options)
        if method == "linear":
            np.testing.assert_array_equal(kept, wanted, strict=True)
        assert_order(kept, overlaps, scores, threshold, **options)
