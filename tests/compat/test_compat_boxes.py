"""cython_bbox, powerboxes and lsnms, against the libraries."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from compat_for_tests import MANY, boxes_of, scores_of, signature_of

import fastiou
from fastiou.compat import cython_bbox, lsnms, powerboxes


def peer_of(name: str) -> Any:
    return pytest.importorskip(name, exc_type=ImportError)


# ---- cython_bbox -------------------------------------------------------------------------------


def test_cython_bbox(cases: Iterator[np.random.Generator]) -> None:
    peer = peer_of("cython_bbox")
    assert signature_of(cython_bbox.bbox_overlaps) == signature_of(peer.bbox_overlaps)
    for rng in cases:
        boxes, others = boxes_of(rng, "float64"), boxes_of(rng, "float64")
        actual, expected = (
            cython_bbox.bbox_overlaps(boxes, others),
            peer.bbox_overlaps(boxes, others),
        )
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


def test_cython_bbox_takes_more_columns_and_other_types() -> None:
    boxes = np.array([[0, 0, 9, 9, 7, 7]], np.float32)
    assert cython_bbox.bbox_overlaps(boxes, boxes.tolist()).tolist() == [[1]]
    assert cython_bbox.bbox_overlaps(boxes[:0], boxes).shape == (0, 1)
    with pytest.raises(ValueError, match=r"query_boxes must have the shape \(N, 4\)"):
        cython_bbox.bbox_overlaps(boxes, boxes[:, :3])


# ---- powerboxes --------------------------------------------------------------------------------


def test_powerboxes_has_the_same_names() -> None:
    peer = peer_of("powerboxes")
    left_out = {name for name in peer.__all__ if name.startswith("draw")}
    assert set(powerboxes.__all__) == set(peer.__all__) - left_out - {"__version__"}
    assert powerboxes.supported_dtypes == peer.supported_dtypes
    for name in set(powerboxes.__all__) - {"supported_dtypes"}:
        assert signature_of(getattr(powerboxes, name)) == signature_of(getattr(peer, name)), name


DISTANCES = ("iou", "giou", "tiou", "parallel_iou", "parallel_giou")


def test_powerboxes_distances(cases: Iterator[np.random.Generator]) -> None:
    peer = peer_of("powerboxes")
    for rng in cases:
        dtype = str(rng.choice(["float64", "float32", "int32"], p=[0.8, 0.1, 0.1]))
        boxes, others = boxes_of(rng, dtype), boxes_of(rng, dtype)
        if not len(boxes) or not len(others):  # powerboxes panics
            continue
        for name in DISTANCES:
            actual, expected = (
                getattr(module, f"{name}_distance")(boxes, others) for module in (powerboxes, peer)
            )
            assert actual.dtype == expected.dtype == np.float64
            # powerboxes computes areas of float32 in it.
            tolerance = 1e-5 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance, err_msg=name)
        areas = powerboxes.boxes_areas(boxes)
        np.testing.assert_allclose(areas, peer.boxes_areas(boxes), rtol=1e-6)
        if dtype != "float32":
            least = float(rng.choice(areas))
            np.testing.assert_array_equal(
                powerboxes.remove_small_boxes(boxes, least), peer.remove_small_boxes(boxes, least)
            )
        for in_fmt in ("xyxy", "xywh", "cxcywh"):
            for out_fmt in ("xyxy", "xywh", "cxcywh"):
                actual, expected = (
                    module.box_convert(boxes, in_fmt, out_fmt) for module in (powerboxes, peer)
                )
                assert actual.dtype == expected.dtype
                np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)


def test_powerboxes_distances_of_centres_are_the_published_ones() -> None:
    """powerboxes has 1 for all that do not overlap, and up to 100 and more for others."""
    boxes = np.array([[0.0, 0, 2, 2], [4, 0, 6, 2], [1, 0, 3, 4]])
    for metric in ("diou", "ciou"):
        expected = 1 - fastiou.box_iou(boxes, boxes, metric=metric)
        actual = getattr(powerboxes, f"{metric}_distance")(boxes, boxes)
        np.testing.assert_array_equal(actual, expected)
        single = getattr(powerboxes, f"{metric}_distance")(*2 * [boxes.astype(np.float32)])
        np.testing.assert_array_equal(single, expected)


def test_powerboxes_suppression(cases: Iterator[np.random.Generator]) -> None:
    peer = peer_of("powerboxes")
    for rng in cases:
        dtype = str(rng.choice(["float64", "int32"]))
        boxes = boxes_of(rng, dtype, 12)
        if not len(boxes):
            continue
        scores = scores_of(rng, len(boxes), "float64") - 0.2
        threshold, least = (float(rng.choice([0.1, 0.3, 0.5, 0.7, 1])) for _ in range(2))
        least = float(rng.choice([least, 0, -1, rng.choice(scores)]))
        for name in ("nms", "rtree_nms"):
            actual, expected = (
                getattr(module, name)(boxes, scores, threshold, least)
                for module in (powerboxes, peer)
            )
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected)


def test_powerboxes_rotated(cases: Iterator[np.random.Generator]) -> None:
    peer = peer_of("powerboxes")
    for place, rng in enumerate(cases):
        if place >= 20_000:
            break
        sets = [
            np.column_stack([
                rng.uniform(0, 30, (count, 2)), rng.uniform(1, 20, (count, 2)),
                rng.uniform(-180, 180, count),
            ])
            for count in rng.integers(1, 4, 2)
        ]  # fmt: skip
        for name in ("iou", "giou", "tiou"):
            actual, expected = (
                getattr(module, f"rotated_{name}_distance")(*sets) for module in (powerboxes, peer)
            )
            # powerboxes rounds corners, and takes boxes with themselves for a little less than 1.
            np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-4, err_msg=name)
        scores = rng.random(len(sets[0]))
        iou = 1 - powerboxes.rotated_iou_distance(sets[0], sets[0])
        if (np.abs(iou - 0.3) > 1e-3).all():
            for name in ("rotated_nms", "rtree_rotated_nms"):
                actual, expected = (
                    getattr(module, name)(sets[0], scores, 0.3, 0.1)
                    for module in (powerboxes, peer)
                )
                np.testing.assert_array_equal(actual, expected)


def test_powerboxes_masks_and_errors() -> None:
    masks = np.zeros((2, 3, 4), bool)
    masks[0, 1:, 2:] = True
    boxes = powerboxes.masks_to_boxes(masks)
    assert boxes.dtype == np.uint64
    assert boxes[0].tolist() == [2, 1, 3, 2]
    one = np.array([[0.0, 0, 1, 1]])
    assert powerboxes.iou_distance(one[:0], one).shape == (0, 1)
    assert powerboxes.nms(one[:0], np.zeros(0), 0.5, 0).tolist() == []
    for call, error, message in (
        (lambda: powerboxes.iou_distance(one.tolist(), one), TypeError, "boxes1 must be a NumPy"),
        (lambda: powerboxes.iou_distance(one, one.astype(int)), ValueError, "the same dtype"),
        (lambda: powerboxes.iou_distance(*2 * [one.astype("f2")]), TypeError, "got float16"),
        (lambda: powerboxes.diou_distance(*2 * [one.astype(int)]), TypeError, "got int64"),
        (
            lambda: powerboxes.rtree_nms(one.astype("u1"), one[0, :1], 0.5, 0),
            TypeError,
            "got uint8",
        ),
        (lambda: powerboxes.masks_to_boxes(masks * 1), TypeError, "masks must have one of the"),
        (lambda: powerboxes.box_convert(one, "xyxy", "xx"), ValueError, "out_fmt must be|formats"),
    ):
        with pytest.raises(error, match=message):
            call()


# ---- lsnms -------------------------------------------------------------------------------------


def test_lsnms(cases: Iterator[np.random.Generator]) -> None:
    peer = peer_of("lsnms")
    for name in ("nms", "wbc"):
        own = signature_of(getattr(lsnms, name))
        of_peer = signature_of(getattr(peer, name))
        assert [argument[0] for argument in own] == [argument[0] for argument in of_peer]
        assert own[:6] == of_peer[:6]
    for rng in cases:
        dtype = str(rng.choice(["float64", "float32", "int32"]))
        boxes = boxes_of(rng, dtype, 12)
        if not len(boxes):
            continue
        scores = scores_of(rng, len(boxes), "float64")
        threshold, least = (float(rng.choice([0.1, 0.3, 0.5, 0.7, 1])) for _ in range(2))
        least = float(rng.choice([least, 0, rng.choice(scores)]))
        classes = rng.integers(0, 3, len(boxes)) if rng.random() < 0.5 else None
        actual, expected = (
            module.nms(boxes, scores, threshold, least, classes) for module in (lsnms, peer)
        )
        np.testing.assert_array_equal(actual, expected)
        assert actual.dtype == (expected.dtype if len(expected) else np.uint64)


@pytest.mark.thorough
def test_lsnms_clusters() -> None:
    """lsnms takes a minute to compile what it clusters by."""
    peer = peer_of("lsnms")
    for case in range(MANY):
        rng = np.random.default_rng([7, case])
        boxes = boxes_of(rng, str(rng.choice(["float64", "float32", "int32"])), 12)
        scores = rng.random(len(boxes))
        threshold = float(rng.choice([0.1, 0.3, 0.5, 0.7, 1]))
        if not len(boxes) or not np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).all():
            continue
        reweighted = bool(rng.integers(0, 2))
        actual, expected = (
            module.wbc(boxes, scores, threshold, iou_reweight=reweighted)
            for module in (lsnms, peer)
        )
        np.testing.assert_allclose(actual[0], expected[0], rtol=1e-12)
        np.testing.assert_allclose(actual[1], expected[1], rtol=1e-12)
        assert [(one, sorted(all_of)) for one, all_of in actual[2]] == [
            (one, sorted(all_of)) for one, all_of in expected[2]
        ]


def test_lsnms_leaves_out_what_is_missing_and_tells_what_is_wrong() -> None:
    boxes = np.array([[0, 0, 2, 2], [np.nan, 0, 2, 2], [5, 5, 6, 6]])
    assert lsnms.nms(boxes, np.array([0.5, 0.9, np.nan])).tolist() == [0]
    assert lsnms.nms([], []).tolist() == []
    assert [len(part) for part in lsnms.wbc([], [])] == [0, 0, 0]
    # lsnms suppresses what does not overlap, too.
    assert lsnms.nms(boxes, np.array([0.5, 0.9, 0.4]), 0).tolist() == [0, 2]
    # Low scores are left out of boxes and of scores.
    pooled, scores, clusters = lsnms.wbc(boxes, np.array([0.1, 0.9, 0.8]), score_threshold=0.3)
    assert pooled.tolist() == [[5, 5, 6, 6]]
    assert scores.tolist() == [0.8]
    assert [(one, all_of.tolist()) for one, all_of in clusters] == [(2, [2])]
    for arguments, message in (
        ((boxes[:, :3], np.ones(3)), "boxes must have the shape"),
        ((boxes, np.ones(2)), "scores must have the shape"),
        ((boxes, np.ones(3), 1.5), "iou_threshold must be between 0 and 1, got 1.5"),
        ((boxes, np.ones(3), 0.5, -1), "score_threshold must be between 0 and 1, got -1"),
        ((boxes[:, [2, 1, 0, 3]], np.ones(3)), r"left <= right and top <= bottom, got \[2.0"),
        ((boxes, np.ones(3), 0.5, 0, [-1, 0, 0]), "class_ids must be 3 integers from 0 on"),
    ):
        with pytest.raises(ValueError, match=message), warnings.catch_warnings():
            lsnms.nms(*arguments)
