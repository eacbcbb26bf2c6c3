"""mmdet, stardist and trackeval, against their formulas or the libraries."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from compat_for_tests import boxes_of, signature_of

from fastiou.compat import mmdet, stardist, trackeval

# ---- mmdet: its package needs others to be imported, so its formula stands here ----------------


def overlaps_of_mmdet(
    boxes1: Any, boxes2: Any, mode: str = "iou", is_aligned: bool = False, eps: float = 1e-6
) -> Any:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    area1, area2 = (
        (some[..., 2] - some[..., 0]) * (some[..., 3] - some[..., 1]) for some in (boxes1, boxes2)
    )
    if not is_aligned:
        boxes1, boxes2 = boxes1[..., :, None, :], boxes2[..., None, :, :]
        area1, area2 = area1[..., None], area2[..., None, :]
    low, high = (
        torch.max(boxes1[..., :2], boxes2[..., :2]),
        torch.min(boxes1[..., 2:], boxes2[..., 2:]),
    )
    overlap = (high - low).clamp(0).prod(-1)
    union = area1 + area2 - overlap if mode != "iof" else area1
    least = area1.new_tensor([eps])
    union = torch.max(union, least)
    if mode != "giou":
        return overlap / union
    low, high = (
        torch.min(boxes1[..., :2], boxes2[..., :2]),
        torch.max(boxes1[..., 2:], boxes2[..., 2:]),
    )
    hull = torch.max((high - low).clamp(0).prod(-1), least)
    return overlap / union - (hull - union) / hull


def test_mmdet(cases: Iterator[np.random.Generator], are_many: bool) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    for rng in cases:
        dtype = str(rng.choice(["float32", "float64"])) if are_many else "float32"
        scale = float(rng.choice([1, 1e-4, 1e-5]))
        boxes, others = (
            torch.from_numpy(boxes_of(rng, dtype) * np.array(scale, dtype)) for _ in range(2)
        )
        mode = str(rng.choice(["iou", "iof", "giou"])) if are_many else "iou"
        tolerance = 3e-6 if dtype == "float32" else 1e-9
        actual = mmdet.bbox_overlaps(boxes, others, mode)
        expected = overlaps_of_mmdet(boxes, others, mode)
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=0, atol=tolerance)
        count = min(len(boxes), len(others))
        actual = mmdet.bbox_overlaps(boxes[:count], others[:count], mode, is_aligned=True)
        expected = overlaps_of_mmdet(boxes[:count], others[:count], mode, is_aligned=True)
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=0, atol=tolerance)
        if mode != "giou":
            legacy = bool(rng.integers(0, 2))
            actual = mmdet.evaluation_bbox_overlaps(
                boxes.numpy(), others.numpy(), mode, use_legacy_coordinate=legacy
            )
            last = torch.tensor([0.0, 0, legacy, legacy])
            expected = overlaps_of_mmdet(boxes.float() + last, others.float() + last, mode)
            assert actual.dtype == np.float32
            np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=3e-6)


def test_mmdet_shapes_types_and_the_calculator() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    boxes = torch.tensor([[0.0, 0, 10, 10, 0.9], [5, 5, 15, 15, 0.8]])
    calculator = mmdet.BboxOverlaps2D()
    assert torch.equal(calculator(boxes, boxes), mmdet.bbox_overlaps(boxes[:, :4], boxes[:, :4]))
    half = mmdet.BboxOverlaps2D(scale=2.0, dtype="fp16")
    assert half(boxes, boxes).dtype == torch.float32
    assert repr(half) == "BboxOverlaps2D(scale=2.0, dtype=fp16)"
    assert mmdet.bbox_overlaps(boxes[:, :4].half(), boxes[:, :4].half()).dtype == torch.float16
    assert mmdet.bbox_overlaps(boxes[:0, :0], boxes[:, :4]).shape == (0, 2)
    assert mmdet.bbox_overlaps(boxes[None, :, :4], boxes[None, :1, :4]).shape == (1, 2, 1)
    assert mmdet.bbox_overlaps(boxes[:0, :4], boxes[:0, :4], is_aligned=True).shape == (0,)
    # Where the boxes are, as on a GPU.
    assert mmdet.bbox_overlaps(boxes[:0, :4].to("meta"), boxes[:, :4].to("meta")).is_meta
    for call, message in (
        (lambda: mmdet.bbox_overlaps(boxes, boxes), r"bboxes1 must have the shape \(..., N, 4\)"),
        (lambda: mmdet.bbox_overlaps(boxes[:, :4], boxes[:, :4], "dice"), "mode must be one of"),
        (lambda: mmdet.bbox_overlaps(boxes[:1, :4], boxes[:, :4], "iou", True), "got 1 and 2"),
        (lambda: mmdet.bbox_overlaps(boxes[None, :, :4], boxes[:, :4]), "must have the same batch"),
        (lambda: mmdet.evaluation_bbox_overlaps(boxes, boxes, "giou"), "mode must be iou or iof"),
        (lambda: mmdet.evaluation_bbox_overlaps(boxes, boxes[0]), r"bboxes2 .* \(N, 5\), got \(5,"),
        (lambda: calculator(boxes[:, :3], boxes), "bboxes1 must have 4 or 5 numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_mmdet_evaluates_detections_with_scores() -> None:
    """As its `tpfp_default` calls it: scores stand behind the boxes found."""
    found = np.array([[0, 0, 10, 10, 0.9], [5, 5, 15, 15, 0.8], [0, 0, 10, 5, 0.7]])
    expected = mmdet.evaluation_bbox_overlaps(found[:, :4], found[:2, :4])
    actual = mmdet.evaluation_bbox_overlaps(found, found[:2, :4])
    np.testing.assert_array_equal(actual, expected, strict=True)
    assert actual[2, 0] == 0.5
    for nothing in (np.zeros((0, 5)), np.zeros((0, 4)), []):
        assert mmdet.evaluation_bbox_overlaps(found, nothing).shape == (3, 0)


# ---- stardist ----------------------------------------------------------------------------------


@pytest.fixture
def peer() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("stardist.matching", exc_type=ImportError)


def labels_of(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    image = np.zeros(shape, np.int32)
    for label in rng.choice(40, int(rng.integers(0, 7)), replace=False) + 1:
        top, left = (int(rng.integers(0, side)) for side in shape)
        height, width = rng.integers(1, 7, 2)
        image[top : top + height, left : left + width] = label
    return image


def assert_same(actual: Any, expected: Any) -> None:
    assert type(actual).__name__ == type(expected).__name__
    assert actual._fields == expected._fields
    for name, value in expected._asdict().items():
        mine = getattr(actual, name)
        if isinstance(value, str | tuple | bool):
            assert mine == value, name
        else:
            assert mine == pytest.approx(float(value), rel=1e-5), name


def sums_of_best(true: np.ndarray, pred: np.ndarray, thresh: float, criterion: str) -> np.ndarray:
    """The least and the largest sum of scores of true positives, of matchings equally good.

    Such have as many true positives, and the same sum of the scores of all partners.
    """
    optimize = pytest.importorskip("scipy.optimize")
    ones, others = (np.unique(image[image > 0]) for image in (true, pred))
    shared = np.array([[np.sum((true == i) & (pred == j)) for j in others] for i in ones], float)
    areas = (
        np.array([[np.sum(true == i)] for i in ones]),
        np.array([[np.sum(pred == j) for j in others]]),
    )
    whole = {"iou": areas[0] + areas[1] - shared, "iot": areas[0], "iop": areas[1]}[criterion]
    scores = shared / whole
    enough = scores.astype(np.float32) >= np.float32(thresh)
    good = enough + scores / (2 * min(scores.shape))
    chosen = (
        optimize.linear_sum_assignment(-good + turn * 1e-7 * scores * enough) for turn in (1, -1)
    )
    return np.array([(scores * enough)[rows, cols].sum() for rows, cols in chosen])


def test_stardist_arguments(peer: Any) -> None:
    for name in stardist.__all__:
        assert signature_of(getattr(stardist, name)) == signature_of(getattr(peer, name)), name


def test_stardist(peer: Any, cases: Iterator[np.random.Generator]) -> None:
    for place, rng in enumerate(cases):
        true = labels_of(rng, (14, 16))
        pred = np.roll(true, rng.integers(-2, 3, 2), (0, 1)) if rng.random() < 0.7 else true
        pred = np.where(rng.random(true.shape) < 0.1, labels_of(rng, true.shape), pred)
        criterion = str(rng.choice(["iou", "iot", "iop"]))
        thresholds = tuple(rng.choice([0.1, 0.3, 0.5, 0.7, 0.9, 1, 1.5], 2, replace=False).tolist())
        for report in (False, True):
            actual, expected = (
                module.matching(true, pred, thresholds, criterion, report)
                for module in (stardist, peer)
            )
            for one, other in zip(actual, expected, strict=True):
                sums = [each.mean_true_score * each.n_true for each in (one, other)]
                if abs(sums[0] - sums[1]) > 1e-5:  # one in 200,000: float32 decides in stardist
                    best = sums_of_best(true, pred, one.thresh, criterion)
                    np.testing.assert_allclose(sorted(sums), best, rtol=1e-5)
                    assert (one.tp, one.fp, one.fn) == (other.tp, other.fp, other.fn)
                    continue
                assert_same(one, other)
        one = stardist.matching(true, pred, thresholds[0], criterion)
        assert one == stardist.matching(true, pred, thresholds, criterion)[0]
        if (true > 0).any():
            assert_same(
                stardist.matching(true, true, thresholds[0], criterion),
                peer.matching(true, true, thresholds[0], criterion),
            )
        if place % 10:
            continue
        pairs = [(true, pred), (pred, labels_of(rng, true.shape)), (true, true)]
        for by_image in (False, True):
            actual, expected = (
                module.matching_dataset(
                    *zip(*pairs, strict=True), thresholds[0], criterion, by_image, False
                )
                for module in (stardist, peer)
            )
            assert_same(actual, expected)


def test_nothing_matches_above_a_threshold_of_1() -> None:
    true, pred = np.array([[1, 1, 0, 2, 0]]), np.array([[3, 3, 0, 5, 9]])
    exact, above = stardist.matching(true, pred, (1, 1.2), report_matches=True)
    assert (exact.tp, exact.fp, exact.fn) == (2, 1, 0)
    assert (above.thresh, above.tp, above.fp, above.fn) == (1.2, 0, 3, 2)
    assert (above.n_true, above.n_pred, above.criterion) == (2, 3, "iou")
    assert (above.f1, above.accuracy, above.mean_true_score, above.panoptic_quality) == (0, 0, 0, 0)
    assert above.matched_pairs == ((1, 3), (2, 5))
    assert above.matched_tps == ()
    of_all = stardist.matching_dataset([true, true], [pred, true], 1.2, show_progress=False)
    assert (of_all.tp, of_all.fp, of_all.fn, of_all.recall) == (0, 5, 4, 0)


def test_stardist_overlaps_and_errors(peer: Any) -> None:
    rng = np.random.default_rng(0)
    one, other = (peer.relabel_sequential(labels_of(rng, (9, 9)))[0] for _ in range(2))
    actual, expected = (module.label_overlap(one, other) for module in (stardist, peer))
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)
    for call, message in (
        (lambda: stardist.label_overlap(one * 2, other), "x must have labels from 1 on"),
        (lambda: stardist.matching(one.astype(float), other), "y_true must be an array of integ"),
        (lambda: stardist.matching(one, -other), "y_pred must be an array of integers from 0"),
        (lambda: stardist.matching_dataset([one], []), "same length, got 1 and 0"),
        (lambda: stardist.matching(one, other, 0), "threshold"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# ---- trackeval ---------------------------------------------------------------------------------


def test_trackeval(cases: Iterator[np.random.Generator]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = pytest.importorskip("trackeval.datasets._base_dataset", exc_type=ImportError)
    peer = base._BaseDataset
    for own, method in (
        (trackeval.calculate_box_ious, peer._calculate_box_ious),
        (trackeval.calculate_mask_ious, peer._calculate_mask_ious),
    ):
        assert signature_of(own) == signature_of(method)
    for place, rng in enumerate(cases):
        boxes, others = boxes_of(rng, "float64"), boxes_of(rng, "float64")
        fmt, share = str(rng.choice(["xywh", "x0y0x1y1"])), bool(rng.integers(0, 2))
        actual = trackeval.calculate_box_ious(boxes, others, fmt, share)
        expected = peer._calculate_box_ious(boxes, others, fmt, share)
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
        if place % 20 == 0:
            masks, more = (rng.random((int(rng.integers(0, 4)), 6, 7)) < 0.5 for _ in range(2))
            actual = trackeval.calculate_mask_ious(masks, more, do_ioa=share)
            expected = peer._calculate_mask_ious(
                masks.astype("u1"), more.astype("u1"), do_ioa=share
            )
            np.testing.assert_array_equal(actual, expected)


def test_trackeval_takes_run_lengths_and_tells_formats() -> None:
    runs = [{"size": [1, 4], "counts": [0, 4]}, {"size": [1, 4], "counts": [0, 2, 2]}]
    assert trackeval.calculate_mask_ious(runs[:1], runs, is_encoded=True).tolist() == [[1, 0.5]]
    assert trackeval.calculate_box_ious([], np.ones((2, 4))).shape == (0, 2)
    with pytest.raises(ValueError, match="box_format must be one of xywh, x0y0x1y1, got 'xyxy'"):
        trackeval.calculate_box_ious(np.ones((1, 4)), np.ones((1, 4)), "xyxy")
