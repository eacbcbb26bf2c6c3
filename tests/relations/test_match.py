"""Matches equal those of the oracle, of the dense solver, and of COCO's own code."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import METRICS, Array, awkward_boxes, drawn_boxes, random_boxes
from hypothesis import given, settings
from hypothesis import strategies as st
from masks_for_tests import drawn_masks, drawn_sizes, forms_of, random_masks
from scipy.optimize import linear_sum_assignment

import fastiou
from fastiou import reference
from fastiou.relations import match as assignment
from fastiou.relations.pairs import Pairs

#: Few are many here: other tests compare what one call does for a few.
pytestmark = pytest.mark.general_way

METHODS = ["greedy", "optimal", "most", "coco"]


def assert_match(found: fastiou.Match, rows: Any, cols: Any, scores: Array) -> None:
    """All five arrays follow from which rows and columns are matched."""
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.cols, cols)
    np.testing.assert_array_equal(found.values, scores[rows, cols])
    assert found.values.dtype == scores.dtype
    assert_complete(found, scores.shape)


def assert_complete(found: fastiou.Match, shape: tuple[int, int]) -> None:
    assert (np.diff(found.rows) > 0).all()
    for count, matched, others in (
        (shape[0], found.rows, found.unmatched_rows),
        (shape[1], found.cols, found.unmatched_cols),
    ):
        np.testing.assert_array_equal(np.setdiff1d(np.arange(count), matched), others)
        assert matched.dtype == others.dtype == np.int64
    assert len(found) == len(found.rows) == len(found.cols) == len(found.values)


def best_total(scores: Array, threshold: float) -> float:
    gated = np.where(scores >= reference.rounded_down(threshold, scores.dtype), scores, 0).astype(
        np.float64
    )
    return float(gated[linear_sum_assignment(gated, maximize=True)].sum())


def assert_most(found: fastiou.Match, scores: Array, threshold: float) -> None:
    """As many as there can be, and of these matchings the highest total."""
    gated = np.where(scores >= threshold, scores.astype(np.float64) + len(scores), 0)
    best = linear_sum_assignment(gated, maximize=True)
    kept = gated[best] > 0
    assert len(found) == np.count_nonzero(kept)
    assert found.values.sum() == pytest.approx(scores[best][kept].sum(), rel=1e-6)
    assert_match(found, found.rows, found.cols, scores)


def assert_optimal(found: fastiou.Match, scores: Array, threshold: float) -> None:
    assert_match(found, found.rows, found.cols, scores)
    assert len(np.unique(found.cols)) == len(found)
    assert (found.values >= reference.rounded_down(threshold, scores.dtype)).all()
    total = found.values.astype(np.float64).sum()
    assert total == pytest.approx(best_total(scores, threshold), rel=0, abs=1e-9)


def matched_as_coco(
    a: Any, b: Any, scores: Array, threshold: float, ranks: Array, crowd: Any, **options: Any
) -> None:
    found = fastiou.match(a, b, threshold, method="coco", scores=ranks, iscrowd=crowd, **options)
    assert_match(found, *reference.coco_match(scores, threshold, ranks, crowd), scores)


def sparse_pairs(scores: Array) -> Pairs:
    rows, cols = np.nonzero(scores)
    return Pairs(rows, cols, scores[rows, cols], scores.shape, 0)


def partners_of(found: Any) -> Array:
    assert (np.isin(np.arange(len(found.taken)), found.partners) == found.taken).all()
    partners: Array = found.partners
    return partners


# ---- boxes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("metric", METRICS)
def test_equals_the_oracle(rng: np.random.Generator, metric: str, dtype: type) -> None:
    a, b = (random_boxes(rng, size, span=30).astype(dtype) for size in (60, 50))
    scores = fastiou.box_iou(a, b, metric=metric)
    ranks = rng.random(60).round(1)
    for threshold in (1e-6, 0.3, 1.0):
        found = fastiou.match(a, b, threshold, metric=metric)
        assert_match(found, *reference.greedy_match(scores, threshold), scores)
        assert_optimal(
            fastiou.match(a, b, threshold, method="optimal", metric=metric), scores, threshold
        )
        if metric != "intersection":
            matched_as_coco(a, b, scores, threshold, ranks, None, metric=metric)


def test_areas_are_matched_by_thresholds_above_1(rng: np.random.Generator) -> None:
    a, b = random_boxes(rng, 40), random_boxes(rng, 40)
    scores = fastiou.box_iou(a, b, metric="intersection")
    found = fastiou.match(a, b, 7, metric="intersection")
    assert_match(found, *reference.greedy_match(scores, 7), scores)
    found = fastiou.match(a, b, 7, metric="intersection", method="coco", scores=np.arange(40))
    assert (found.values >= 7).all()
    rows = np.argsort(-np.arange(40), kind="stable")
    assert found.rows[-1] == rows[(scores[rows] >= 7).any(1)][0]


@given(a=drawn_boxes(), b=drawn_boxes(), data=st.data())
def test_any_boxes_and_groups(a: Array, b: Array, data: st.DataObject) -> None:
    a, b = a[:7], b[:7]
    group = st.integers(-1, 1)
    groups = [
        np.array(data.draw(st.lists(group, min_size=len(boxes), max_size=len(boxes))), np.int64)
        for boxes in (a, b)
    ]
    grouped = (groups[0], groups[1])
    same = groups[0][:, None] == groups[1][None]
    crowd = np.array(data.draw(st.lists(st.booleans(), min_size=len(b), max_size=len(b))), np.bool_)
    ranks = np.array(
        data.draw(st.lists(st.sampled_from([-1.0, 0.0, -0.0, 0.5]), min_size=7, max_size=7))
    )[: len(a)]
    threshold = data.draw(st.sampled_from([1e-9, 0.2, 0.5, 1.0]))
    scores = np.where(same, np.nan_to_num(fastiou.box_iou(a, b)), 0)
    found = fastiou.match(a, b, threshold, groups=grouped)
    assert_match(found, *reference.greedy_match(scores, threshold), scores)
    found = fastiou.match(a, b, threshold, groups=grouped, method="optimal")
    assert_optimal(found, scores, threshold)
    rows, cols = reference.optimal_match(scores, threshold)
    assert found.values.sum() == pytest.approx(scores[rows, cols].sum(), rel=0, abs=1e-9)
    scores = np.where(same, np.nan_to_num(fastiou.box_iou(a, b, iscrowd=crowd)), 0)
    matched_as_coco(a, b, scores, threshold, ranks, crowd, groups=grouped)


@pytest.mark.parametrize("method", METHODS)
def test_clusters_of_tied_boxes(rng: np.random.Generator, method: str) -> None:
    """Few distinct boxes, so that most scores are equal to others."""
    for _ in range(20):
        low = rng.integers(0, 3, (90, 2))
        boxes = np.concatenate([low, low + rng.integers(2, 5, (90, 2))], axis=1)
        a, b = boxes[:40], boxes[40:]
        scores = fastiou.box_iou(a, b)
        ranks = rng.integers(0, 4, 40)
        options = {"scores": ranks} if method == "coco" else {}
        found = fastiou.match(a, b, 0.4, method=method, **options)
        if method == "optimal":
            assert_optimal(found, scores, 0.4)
        elif method == "most":
            assert_most(found, scores, 0.4)
        elif method == "greedy":
            assert_match(found, *reference.greedy_match(scores, 0.4), scores)
        else:
            assert_match(found, *reference.coco_match(scores, 0.4, ranks), scores)


@pytest.mark.parametrize("method", METHODS)
def test_awkward_boxes(method: str) -> None:
    """What is empty, inverted or missing has no match; the values are those of the dense result."""
    boxes = awkward_boxes()
    options = {"scores": np.zeros(len(boxes))} if method == "coco" else {}
    found = fastiou.match(boxes, boxes, 1e-9, method=method, **options)
    assert not {6, 7, 8, 9, 10, 11, 12} & {*found.rows.tolist(), *found.cols.tolist()}
    scores = np.nan_to_num(fastiou.box_iou(boxes, boxes))
    assert_match(found, found.rows, found.cols, scores)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0)])
def test_empty(method: str, sizes: tuple[int, int]) -> None:
    a, b = np.ones((sizes[0], 4)), np.ones((sizes[1], 4))
    whole = fastiou.Masks.from_dense(np.ones((3, 5, 6)))
    options = {"scores": [0.5] * sizes[0], "iscrowd": [True] * sizes[1]}
    for first, second in (
        (a, b),
        (a.astype(np.float32), b.astype(np.float32)),
        (a.tolist(), b.tolist()),
        (whole[: sizes[0]], whole[: sizes[1]]),
    ):
        for groups in (None, ([0] * sizes[0], [0] * sizes[1])):
            found = fastiou.match(
                first, second, method=method, groups=groups,
                **(options if method == "coco" else {}),
            )  # fmt: skip
            assert len(found) == 0
            assert_complete(found, sizes)


def test_the_lowest_of_equal_partners() -> None:
    one = [[0, 0, 4, 4]]
    three = [[9, 9, 10, 10], *one * 2]
    for method in ("greedy", "optimal"):
        assert fastiou.match(one, three, method=method).cols.tolist() == [1]
        assert fastiou.match(three, one, method=method).rows.tolist() == [1]
    # But COCO's is the last.
    assert fastiou.match(one, three, method="coco", scores=[1]).cols.tolist() == [2]
    assert fastiou.match(three, one, method="coco", scores=[1, 1, 1]).rows.tolist() == [1]
    assert fastiou.match(three, one, method="coco", scores=[1, 1, 2]).rows.tolist() == [2]


def test_match_object() -> None:
    found = fastiou.match([[0, 0, 4, 4], [7, 7, 8, 8]], [[0, 0, 4, 4]])
    rows, cols, values, unmatched_rows, unmatched_cols = found
    assert rows is found.rows
    assert cols is found.cols
    assert values is found.values
    assert unmatched_rows is found.unmatched_rows
    assert unmatched_cols is found.unmatched_cols
    assert repr(found) == "<Match: 1 matched; unmatched: 1 rows, 0 cols>"
    with pytest.raises(AttributeError):
        found.rows = cols  # type: ignore[misc]


def test_inputs_are_left_alone(rng: np.random.Generator) -> None:
    a, b = random_boxes(rng, 50), random_boxes(rng, 50)
    ranks, crowd = rng.random(50), rng.random(50) < 0.5
    before = [array.copy() for array in (a, b, ranks, crowd)]
    fastiou.match(a, b, 0.1)
    fastiou.match(a, b, 0.1, method="optimal")
    fastiou.match(a, b, 0.1, method="coco", scores=ranks, iscrowd=crowd)
    for array, copy in zip((a, b, ranks, crowd), before, strict=True):
        np.testing.assert_array_equal(array, copy)


# ---- the kernels over any pairs ----------------------------------------------------------------


def test_greedy_where_every_row_outbids_the_one_before() -> None:
    """All prefer one column after the other, so that rows are turned away again and again."""
    for rows, cols in ((40, 40), (60, 25), (25, 60)):
        scores = 1.0 + np.arange(rows)[:, None] + np.arange(cols)[::-1] / (2 * cols)
        expected = reference.greedy_match(scores, 1e-9)
        for case in (scores, scores[::-1].copy(), np.floor(scores), np.ones_like(scores)):
            expected = reference.greedy_match(case, 1e-9)
            partners = partners_of(assignment._greedy(sparse_pairs(case)))
            np.testing.assert_array_equal(np.flatnonzero(partners >= 0), expected[0])
            np.testing.assert_array_equal(partners[expected[0]], expected[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [0, 2, 5])
def test_optimal_equals_the_dense_solver(
    rng: np.random.Generator, levels: int, dtype: type
) -> None:
    """1,000 cases over all runs: sparse and dense, wide and narrow, few distinct values or many."""
    for _ in range(170):
        shape = tuple(rng.integers(1, 41, 2))
        scores = rng.random(shape) * 0.9 + 0.1
        if levels:
            scores = (scores * levels).round() / levels
        scores = np.where(rng.random(shape) < rng.choice([0.03, 0.1, 0.4, 1]), scores, 0)
        scores = scores.astype(dtype)
        partners = partners_of(assignment._optimal(sparse_pairs(scores)))
        rows = np.flatnonzero(partners >= 0)
        assert len(np.unique(partners[rows])) == len(rows)
        total = scores[rows, partners[rows]].astype(np.float64).sum()
        assert total == pytest.approx(best_total(scores, 1e-300), rel=0, abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [0, 2, 5])
@pytest.mark.parametrize("unit", [1, 12345.0])
def test_most_equals_the_dense_solver(
    rng: np.random.Generator, levels: int, dtype: type, unit: float
) -> None:
    """The number first, then the total: 600 cases, also of scores that have units."""
    for _ in range(50):
        shape = tuple(rng.integers(1, 41, 2))
        scores = rng.random(shape) * 0.9 + 0.1
        if levels:
            scores = (scores * levels).round() / levels
        scores = np.where(rng.random(shape) < rng.choice([0.03, 0.1, 0.4, 1]), scores, 0)
        scores = (scores * unit).astype(dtype)
        given = scores[scores > 0].min(initial=1.0)
        rows, cols, values, *_ = assignment.match_pairs(sparse_pairs(scores), "most")
        assert len(np.unique(cols)) == len(rows)
        np.testing.assert_array_equal(values, scores[rows, cols])
        assert values.dtype == dtype
        assert (values >= given).all()
        weights = np.where(scores > 0, scores.astype(np.float64) / unit + 100, 0)
        best = linear_sum_assignment(weights, maximize=True)
        kept = scores[best] > 0
        assert len(rows) == np.count_nonzero(kept)
        total = scores[best][kept].astype(np.float64).sum()
        assert values.astype(np.float64).sum() == pytest.approx(total, rel=1e-9)


def test_most_takes_two_lower_scores_for_one() -> None:
    a, b = [[0, 0, 10, 1], [6, 0, 16, 1]], [[5, 0, 15, 1], [14, 0, 24, 1]]
    assert [len(fastiou.match(a, b, 0.1, method=m)) for m in ("greedy", "optimal", "most")] == [
        1,
        1,
        2,
    ]
    found = fastiou.match(np.array(a, np.float32), np.array(b, np.float32), 0.1, method="most")
    assert_match(found, [0, 1], [0, 1], fastiou.box_iou(np.float32(a), np.float32(b)))
    empty = fastiou.match(np.empty((0, 4)), b, method="most")
    assert (len(empty), empty.unmatched_cols.tolist()) == (0, [0, 1])


@pytest.mark.parametrize("flip", [False, True])
def test_optimal_along_chains(rng: np.random.Generator, flip: bool) -> None:
    """Every box meets two, and one more makes all the others change their partner."""
    for noise in (0.0, 0.01):
        left = np.arange(400)[:, None] * 10.0 + rng.random((400, 1)) * noise
        a = np.concatenate([left, left * 0, left + 15, left * 0 + 10], axis=1)
        b = a[:-1] + np.array([5, 0, 5, 0])
        sets = (b, a) if flip else (a, b)
        found = fastiou.match(*sets, 0.1, method="optimal")
        assert_optimal(found, fastiou.box_iou(*sets), 0.1)
        assert len(found) == 399


@pytest.mark.parametrize("tied", [True, False])
def test_optimal_on_a_grid(rng: np.random.Generator, tied: bool) -> None:
    low = np.stack(np.meshgrid(np.arange(20) * 10.0, np.arange(20) * 10.0), -1).reshape(-1, 2)
    a = np.concatenate([low, low + 15], axis=1)
    b = a + (5 if tied else rng.choice([2.0, 3, 5, 7], (400, 1)))
    assert_optimal(fastiou.match(a, b, 0.02, method="optimal"), fastiou.box_iou(a, b), 0.02)


@pytest.mark.parametrize("sizes", [(300, 300), (400, 150), (150, 400)])
def test_optimal_where_all_are_connected(rng: np.random.Generator, sizes: tuple[int, int]) -> None:
    a, b = (
        np.concatenate([low, low + 40 + rng.random((size, 2)) * 40], axis=1)
        for size in sizes
        for low in [rng.random((size, 2)) * 20]
    )
    assert_optimal(fastiou.match(a, b, 0.01, method="optimal"), fastiou.box_iou(a, b), 0.01)
    identical = np.tile(a[:1], (sizes[0], 1)), np.tile(a[:1], (sizes[1], 1))
    found = fastiou.match(*identical, method="optimal")
    assert len(found) == min(sizes)
    assert_complete(found, sizes)


def test_pauses_change_nothing(
    rng: np.random.Generator, fixed_steps: Callable[[int], None]
) -> None:
    """Kernels stop now and then for Ctrl-C, and go on where they were."""
    a, b = random_boxes(rng, 300, span=40), random_boxes(rng, 280, span=40)
    ranks = rng.random(300)

    def matches() -> list[Any]:
        several = [
            fastiou.match(a, b, 0.05),
            fastiou.match(a, b, 0.05, method="optimal"),
            fastiou.match(a, b, 0.05, method="coco", scores=ranks),
        ]
        return [part.tolist() for one in several for part in one]

    wanted = matches()
    for budget in (1, 1000):
        fixed_steps(budget * assignment.PAIR_WORK)
        assert matches() == wanted


def test_memory_does_not_grow_with_the_product(rng: np.random.Generator) -> None:
    """The dense result of these would be 8 GB."""
    tracemalloc = pytest.importorskip("tracemalloc")
    boxes = random_boxes(rng, 30_000)
    groups = np.arange(30_000) // 10
    ranks = rng.random(30_000)
    for method in METHODS:
        tracemalloc.start()
        options = {"scores": ranks} if method == "coco" else {}
        found = fastiou.match(boxes, boxes, method=method, groups=(groups, groups), **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found.rows.tolist() == found.cols.tolist() == list(range(30_000))
        assert peak < 30_000_000


# ---- COCO's rule -------------------------------------------------------------------------------


@pytest.mark.parametrize("crowds", [0.0, 0.3, 1.0])
def test_crowds(rng: np.random.Generator, crowds: float) -> None:
    for fmt, dtype in itertools.product(("xyxy", "xywh"), (np.float32, np.float64)):
        a, b = (
            np.concatenate([low, low + rng.integers(1, 6, low.shape)], axis=1).astype(dtype)
            for low in (rng.integers(0, 5, (size, 2)) for size in (50, 30))
        )
        crowd = rng.random(30) < crowds
        scores = fastiou.box_iou(a, b, fmt, iscrowd=crowd)
        ranks = rng.integers(0, 9, 50) / 8
        for threshold in (0.1, 0.5, 1):
            matched_as_coco(a, b, scores, threshold, ranks, crowd, fmt=fmt)


def test_a_crowd_takes_whoever_is_left() -> None:
    truth = [[0, 0, 8, 8], [0, 0, 4, 4]]
    found = fastiou.match(
        [[0, 0, 4, 4]] * 3, truth, method="coco", scores=[0.1, 0.3, 0.2], iscrowd=[True, False]
    )
    assert found.cols.tolist() == [0, 1, 0]
    assert found.values.tolist() == [1, 1, 1]
    assert found.unmatched_cols.tolist() == []
    # A lower score outside a crowd comes before a higher one inside.
    found = fastiou.match([[0, 0, 4, 8]], truth, method="coco", scores=[1], iscrowd=[True, False])
    assert (found.cols.tolist(), found.values.tolist()) == ([1], [0.5])


def test_equal_boxes_match_at_a_threshold_of_1() -> None:
    # Their IoU is 1 - 2**-53 in COCO's arithmetic.
    box = [[0.1, 0.2, 0.7, 0.3]]
    found = fastiou.match(box, box, 1.0, method="coco", scores=[1], fmt="xywh")
    assert len(found) == 1


def test_scores_of_any_dtype(rng: np.random.Generator) -> None:
    a, b = random_boxes(rng, 60, span=20), random_boxes(rng, 30, span=20)
    ranks = rng.integers(0, 5, 60)
    expected = fastiou.match(a, b, 0.1, method="coco", scores=ranks)
    for dtype in (np.int8, np.uint8, np.float16, np.float32, ">f8"):
        found = fastiou.match(a, b, 0.1, method="coco", scores=ranks.astype(dtype))
        assert found.cols.tolist() == expected.cols.tolist()
    found = fastiou.match(a, b, 0.1, method="coco", scores=ranks.tolist())
    assert found.cols.tolist() == expected.cols.tolist()


def by_coco(truth: Any, detections: Any, kind: str) -> tuple[Any, Any, list[dict[str, Any]]]:
    """COCO's own annotations of both sides, ground truth first, and its matches."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    whole = coco.COCO()
    whole.dataset = truth
    whole.createIndex()
    results = whole.loadRes(detections)
    evaluation = cocoeval.COCOeval(whole, results, kind)
    evaluation.params.maxDets = [1000]
    evaluation.params.areaRng = [[0, 1e10]]
    evaluation.evaluate()
    images = [image for image in evaluation.evalImgs if image is not None]
    # As COCOeval has prepared them: polygons are run lengths by now.
    return whole.dataset["annotations"], results.dataset["annotations"], images


def expected_of(images: list[dict[str, Any]], level: int) -> tuple[dict[int, int], dict[int, int]]:
    """Ground truth by detection and, the last of a crowd's, detection by ground truth."""
    by_detection, by_truth = {}, {}
    for image in images:
        by_detection.update(zip(image["dtIds"], image["dtMatches"][level].astype(int), strict=True))
        by_truth.update(zip(image["gtIds"], image["gtMatches"][level].astype(int), strict=True))
    return by_detection, by_truth


def matched_ids(
    found: fastiou.Match, detections: list[Any], truth: list[Any]
) -> tuple[dict[int, int], dict[int, int]]:
    by_detection = {entry["id"]: 0 for entry in detections}
    by_truth = {entry["id"]: 0 for entry in truth}
    pairs = [(detections[row], truth[col]) for row, col in zip(found.rows, found.cols, strict=True)]
    for detection, true in sorted(pairs, key=lambda pair: -pair[0]["score"]):
        by_detection[detection["id"]] = true["id"]
        by_truth[true["id"]] = detection["id"]
    return by_detection, by_truth


def assert_boxes_match_as_coco(truth: Any, detections: Any) -> None:
    true, found, images = by_coco(truth, detections, "bbox")
    groups = [
        [entry["image_id"] * 100 + entry["category_id"] for entry in s] for s in (found, true)
    ]
    for level, threshold in enumerate(np.linspace(0.5, 0.95, 10)):
        matched = fastiou.match(
            np.array([entry["bbox"] for entry in found], float),
            np.array([entry["bbox"] for entry in true], float),
            threshold,
            method="coco",
            scores=[entry["score"] for entry in found],
            iscrowd=[entry["iscrowd"] for entry in true],
            fmt="xywh",
            groups=tuple(groups),
        )
        assert matched_ids(matched, found, true) == expected_of(images, level)


def load(real_data: Path, name: str) -> Any:
    with gzip.open(real_data / "coco" / f"{name}.json.gz") as file:
        return json.load(file)


def test_real_boxes_match_as_coco_matches_them(real_data: Path) -> None:
    truth = load(real_data, "instances_val2014_100")
    detections = load(real_data, "instances_val2014_fakebbox100_results")
    assert_boxes_match_as_coco(truth, detections)


def test_drawn_boxes_match_as_coco_matches_them(rng: np.random.Generator) -> None:
    """More crowds, ties and contested boxes than real images have."""

    def boxes(count: int) -> list[dict[str, Any]]:
        return [
            {
                "id": number + 1,
                "image_id": int(rng.integers(1, 9)),
                "category_id": int(rng.integers(1, 3)),
                "bbox": [*rng.integers(0, 4, 2).tolist(), *rng.integers(3, 9, 2).tolist()],
                "score": float(rng.integers(0, 9) / 8),
                "iscrowd": int(rng.random() < 0.25),
                "area": 10.0,
            }
            for number in range(count)
        ]

    truth = {
        "images": [{"id": image} for image in range(1, 9)],
        "categories": [{"id": 1}, {"id": 2}],
        "annotations": boxes(200),
        "info": {},
    }
    assert_boxes_match_as_coco(truth, boxes(500))


def test_real_masks_match_as_coco_matches_them(real_data: Path) -> None:
    truth = load(real_data, "instances_val2014_100")
    detections = load(real_data, "instances_val2014_fakesegm100_results")
    true, found, images = by_coco(truth, detections, "segm")
    for image in sorted({entry["image_id"] for entry in true}):
        some = [[e for e in entries if e["image_id"] == image] for entries in (found, true)]
        here = [one for one in images if one["image_id"] == image]
        sets = [fastiou.Masks.from_rle([e["segmentation"] for e in s]) for s in some]
        groups = [[entry["category_id"] for entry in s] for s in some]
        for level, threshold in enumerate(np.linspace(0.5, 0.95, 10)):
            matched = fastiou.match(
                *sets,
                threshold,
                method="coco",
                scores=[entry["score"] for entry in some[0]],
                iscrowd=[entry["iscrowd"] for entry in some[1]],
                groups=tuple(groups),
            )
            assert matched_ids(matched, *some) == expected_of(here, level)


# ---- masks and tensors -------------------------------------------------------------------------


@given(size=drawn_sizes(), data=st.data())
@settings(max_examples=30)
def test_any_masks(size: tuple[int, int], data: st.DataObject) -> None:
    dense = [data.draw(drawn_masks(size)) for _ in range(2)]
    crowd = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(dense[1]), max_size=len(dense[1]))), bool
    )
    ranks = np.arange(len(dense[0])) % 2
    a, b = map(fastiou.Masks.from_dense, dense)
    scores = reference.mask_iou(*dense)
    assert_match(fastiou.match(a, b, 0.1), *reference.greedy_match(scores, 0.1), scores)
    assert_optimal(fastiou.match(a, b, 0.1, method="optimal"), scores, 0.1)
    scores = reference.mask_iou(*dense, iscrowd=crowd)
    matched_as_coco(a, b, scores, 0.1, ranks, crowd)


def test_forms_of_masks_mix_freely(rng: np.random.Generator) -> None:
    a, b = random_masks(rng, 6, (20, 30)), random_masks(rng, 8, (20, 30))
    crowd, ranks = np.arange(8) % 3 == 0, rng.random(6)
    scores = reference.mask_iou(a, b)
    mixed = reference.mask_iou(a, b, iscrowd=crowd)
    for form, other in itertools.product(forms_of(a).values(), forms_of(b).values()):
        assert_match(fastiou.match(form, other, 0.1), *reference.greedy_match(scores, 0.1), scores)
        matched_as_coco(form, other, mixed, 0.1, ranks, crowd)


def test_matches_of_tensors_are_tensors(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    boxes, masks = random_boxes(rng, 30, span=20), random_masks(rng, 9, (20, 30))
    ranks, crowd = torch.from_numpy(rng.random(30)), torch.arange(30) % 4 == 0
    for array in (boxes, boxes.astype(np.float32), masks):
        tensor = torch.from_numpy(array)
        for method in METHODS:
            options = (
                {"scores": ranks[: len(array)], "iscrowd": crowd[: len(array)]}
                if method == "coco"
                else {}
            )
            sets = [(tensor, tensor), (tensor, array), (array, tensor)]
            if array is not masks:
                plain = fastiou.match(array, array, 0.1, method=method, **options)
            else:
                packed = fastiou.Masks.from_dense(masks)
                plain = fastiou.match(packed, packed, 0.1, method=method, **options)
                sets = [(tensor, packed), (packed, tensor)]
            assert isinstance(plain.rows, np.ndarray)
            for pair in sets:
                found = fastiou.match(*pair, 0.1, method=method, **options)
                for part, expected in zip(found, plain, strict=True):
                    assert isinstance(part, torch.Tensor)
                    np.testing.assert_array_equal(part.numpy(), expected)


# ---- errors ------------------------------------------------------------------------------------


BOX = [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"method": "best"},
            ValueError,
            "method must be one of 'greedy', 'optimal', 'most', 'coco'",
        ),
        ({"method": None}, ValueError, "method must be one of"),
        ({"metric": "no"}, ValueError, "metric must be one of"),
        ({"fmt": "no"}, ValueError, "fmt must be one of"),
        ({"threshold": 0}, ValueError, "threshold must be greater than 0 and at most 1, got 0"),
        ({"threshold": 2, "method": "coco", "scores": [1]}, ValueError, "at most 1, got 2"),
        ({"threshold": "0.5"}, TypeError, "threshold must be a number, got '0.5'"),
        ({"scores": [1]}, ValueError, "scores must be None with method='greedy': only 'coco'"),
        ({"iscrowd": [0]}, ValueError, "iscrowd must be None with method='greedy': only 'coco'"),
        ({"scores": [1], "method": "optimal"}, ValueError, "None with method='optimal'"),
        ({"iscrowd": [1], "method": "most"}, ValueError, "None with method='most'"),
        ({"method": "coco"}, ValueError, "scores must be given with method='coco'"),
        (
            {"method": "coco", "scores": [1, 2]},
            ValueError,
            r"scores must have the shape \(1,\), got \(2,\)",
        ),
        ({"method": "coco", "scores": [[1]]}, ValueError, r"scores must have one dimension, got"),
        ({"method": "coco", "scores": 1}, ValueError, r"one dimension, got shape \(\)"),
        (
            {"method": "coco", "scores": [float("nan")]},
            ValueError,
            "scores must be finite numbers, got nan at position 0",
        ),
        ({"method": "coco", "scores": [float("-inf")]}, ValueError, "got -inf at position 0"),
        ({"method": "coco", "scores": ["high"]}, TypeError, "scores must hold booleans, integers"),
        ({"method": "coco", "scores": [1j]}, TypeError, "scores must hold booleans, integers"),
        (
            {"method": "coco", "scores": [1], "iscrowd": [0, 1]},
            ValueError,
            "iscrowd must be 1 booleans, one for each of b, got shape",
        ),
        (
            {"method": "coco", "scores": [1], "iscrowd": [0.5]},
            ValueError,
            "iscrowd must be 1 booleans, one for each of b, got shape .* dtype float64",
        ),
        (
            {"method": "coco", "scores": [1], "iscrowd": [2]},
            ValueError,
            "iscrowd must hold booleans, or 0 and 1, got 2 at position 0",
        ),
        (
            {"method": "coco", "scores": [1], "iscrowd": [0], "metric": "intersection"},
            ValueError,
            "iscrowd must be None with metric='intersection'",
        ),
        (
            {"groups": [1, 1]},
            ValueError,
            "groups must be a tuple of two, the groups of a and those of b",
        ),
        ({"groups": ([1.5], [1])}, TypeError, r"groups\[0\] must hold integers"),
        ({"groups": ([1], [1, 2])}, ValueError, r"groups\[1\] must have the shape"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastiou.match(BOX, BOX, **options)


@pytest.mark.parametrize(
    ("sets", "error", "message"),
    [
        ((BOX, None), TypeError, "b must be boxes or masks, got None"),
        ((BOX, 0.5), TypeError, "b must be boxes, got 0.5; if it is the threshold"),
        ((BOX, [0, 0, 1, 1]), ValueError, "b must have the shape"),
        (([[1, 2, 3]], BOX), ValueError, "a must have the shape"),
        (([[0, 0, float("inf"), 1]], BOX), ValueError, "a has an infinite coordinate in row 0"),
        ((np.ones((1, 2, 3)), np.ones((1, 3, 2))), ValueError, "a and b must have one size"),
    ],
)
def test_bad_sets(sets: tuple[Any, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastiou.match(*sets)


def test_masks_have_fewer_metrics() -> None:
    masks = np.ones((1, 2, 3))
    with pytest.raises(ValueError, match="metric of masks must be one of"):
        fastiou.match(masks, masks, metric="giou")
