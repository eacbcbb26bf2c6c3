"""Rotated boxes in every relation: the bits of the dense result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes_for_tests import assert_bits, assert_close
from rotated_for_tests import (
    EMPTY,
    FLOATS,
    FORMATS,
    MISSING,
    RELATION_FLOATS,
    awkward,
    moved,
    rotated,
    swapped,
)

import fastiou
from fastiou import reference


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
