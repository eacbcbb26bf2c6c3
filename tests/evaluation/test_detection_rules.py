"""Average precision, rule by rule: those of COCO, VOC, Open Images and LVIS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from detections_for_tests import BOX, NEARLY_ONE, evaluated, found, of_pycocotools, truth

import fastiou as fi


def test_one_perfect_detection_is_nearly_1() -> None:
    assert evaluated(found(BOX), truth(BOX))["AP"] == NEARLY_ONE


@pytest.mark.parametrize("overlap", range(10, 20))
def test_thresholds_are_those_of_linspace(overlap: int) -> None:
    """An IoU of 18/20 is enough for the threshold 0.8999999999999999."""
    scores = evaluated(found([0, 0, overlap, 1]), truth([0, 0, 20, 1]))
    assert scores["AP"] == pytest.approx((overlap - 9) / 10, abs=1e-12)


def test_areas_belong_to_the_ranges_on_both_sides_of_their_border() -> None:
    scores = evaluated(found([0, 0, 32, 32]), truth([0, 0, 32, 32], area=[1024]))
    assert [scores[name] for name in ("APs", "APm", "APl")] == [NEARLY_ONE, NEARLY_ONE, -1]
    scores = evaluated(found([0, 0, 33, 31]), truth([0, 0, 33, 31], area=[1024.5]))
    assert [scores[name] for name in ("APs", "APm", "APl")] == [-1, NEARLY_ONE, -1]


def test_the_area_of_the_truth_is_that_of_its_mask() -> None:
    scores = evaluated(found([0, 0, 40, 40]), truth([0, 0, 40, 40], area=[900]))
    assert (scores["APs"], scores["APm"]) == (NEARLY_ONE, -1)


def test_missing_areas_are_those_of_boxes_which_is_told() -> None:
    result = fi.average_precision(found(BOX), truth(BOX, area=[np.nan]), fmt="xywh")
    assert result.as_dict()["APm"] == NEARLY_ONE
    assert result.deviations == ["areas that the truth lacks are those of its boxes"]


def test_a_crowd_takes_any_number_and_is_ignored() -> None:
    crowd = truth(BOX, [0, 0, 8, 100], iscrowd=[0, 1])
    preds = found(BOX, [0, 0, 8, 50], [0, 50, 8, 50], scores=[0.5, 0.9, 0.8])
    assert evaluated(preds, crowd)["AP"] == NEARLY_ONE
    only = truth([0, 0, 8, 100], iscrowd=[1])
    assert evaluated(preds, only)["AP"] == -1


def test_a_detection_prefers_what_is_not_ignored() -> None:
    both = truth([0, 0, 10, 10], [0, 0, 10, 20], iscrowd=[1, 0])
    assert evaluated(found([0, 0, 10, 11]), both)["AP50"] == pytest.approx(1)


def test_of_equal_scores_the_order_of_images_counts() -> None:
    """Whatever order they come in."""
    wrong, right = [50, 50, 9, 9], BOX
    for images, expected in (((1, 2), 0.2524752475247525), ((3, 2), 0.5049504950495048)):
        preds = found(wrong, right, image_ids=images, scores=[0.5, 0.5])
        target = truth(right, right, image_ids=[2, 7])
        assert evaluated(preds, target)["AP50"] == expected


def test_classes_without_truth_are_left_out_and_those_without_detections_count() -> None:
    target = truth(BOX, BOX, labels=[1, 2])
    assert evaluated(found(BOX), target)["AP"] == pytest.approx(0.5)
    assert evaluated(found(BOX, BOX, labels=[1, 3]), truth(BOX))["AP"] == NEARLY_ONE


def test_no_results_are_0_and_no_truth_is_unknown() -> None:
    assert evaluated(found(), truth(BOX))["AP"] == 0
    assert evaluated(found(BOX), truth())["AP"] == -1
    assert evaluated(found(), truth())["AP"] == -1


def test_other_limits_of_detections_are_used() -> None:
    """pycocotools tells -1 for them."""
    target = truth(*[[20 * i, 0, 10, 10] for i in range(4)])
    preds = found(*target["boxes"].tolist(), scores=[0.9, 0.8, 0.7, 0.6])
    result = fi.average_precision(preds, target, fmt="xywh", max_dets=[2, 3])
    scores = result.as_dict()
    assert (scores["AR2"], scores["AR3"]) == (0.5, 0.75)
    assert scores["AP"] == pytest.approx(76 / 101)
    assert result.deviations == ["detections of an image and class that count: (2, 3)"]


def test_other_thresholds_and_ranges_are_told() -> None:
    options = {"iou_thresholds": [0.3, 0.5], "area_ranges": {"tiny": (0, 100)}}
    result = fi.average_precision(found(BOX), truth(BOX), fmt="xywh", **options)
    assert result.precision.shape == (2, 101, 1, 2, 3)
    assert list(result.as_dict()) == [
        *("AP", "AP50", "AP75", "AP_tiny", "AR1", "AR10", "AR100", "AR_tiny"),
    ]
    assert result.as_dict()["AP75"] == -1
    assert len(result.deviations) == 2


def test_many_thresholds_need_several_words() -> None:
    thresholds = np.linspace(0.05, 0.95, 91)
    target, preds = truth([0, 0, 20, 1]), found([0, 0, 11, 1])
    result = fi.average_precision(preds, target, fmt="xywh", iou_thresholds=thresholds)
    np.testing.assert_array_equal(result.recall[:, 0, 0, -1], thresholds <= 11 / 20)
    np.testing.assert_array_equal(result.recall[:, 0, 1, -1], thresholds <= 11 / 20)
    assert (result.recall[:, 0, 3, -1] == -1).all()


def test_classes_can_be_one() -> None:
    preds = found(BOX, labels=[5])
    assert evaluated(preds, truth(BOX))["AP"] == 0
    assert evaluated(preds, truth(BOX), class_agnostic=True)["AP"] == NEARLY_ONE


def voc_ap(preds: dict[str, Any], target: dict[str, Any], *, at_points: bool) -> float:
    """Average precision of one class by the rules of VOC's development kit."""
    used: dict[int, set[int]] = {}
    difficult = np.array(target.get("ignore", np.zeros(len(target["boxes"]))), bool)
    hits, misses = [], []
    for i in np.argsort(-np.array(preds["scores"]), kind="stable"):
        image = preds["image_ids"][i]
        left, top, right, bottom = preds["boxes"][i]
        best, chosen = -np.inf, -1
        for j in range(len(target["boxes"])):
            if target["image_ids"][j] != image:
                continue
            left2, top2, right2, bottom2 = target["boxes"][j]
            width = min(right, right2) - max(left, left2) + 1
            height = min(bottom, bottom2) - max(top, top2) + 1
            if width <= 0 or height <= 0:
                continue
            shared = width * height
            areas = (right - left + 1) * (bottom - top + 1)
            areas += (right2 - left2 + 1) * (bottom2 - top2 + 1)
            if shared / (areas - shared) > best:
                best, chosen = shared / (areas - shared), j
        if best >= 0.5 and difficult[chosen]:
            continue
        is_hit = best >= 0.5 and chosen not in used.setdefault(image, set())
        if is_hit:
            used[image].add(chosen)
        hits.append(is_hit)
        misses.append(not is_hit)
    wanted = int((~difficult).sum())
    recall = np.cumsum(hits) / wanted
    precision = np.cumsum(hits) / np.maximum(np.cumsum(hits) + np.cumsum(misses), 1)
    if at_points:
        points = [precision[recall >= point].max(initial=0) for point in np.arange(0.0, 1.1, 0.1)]
        return float(np.mean(points))
    recall = np.concatenate([[0], recall, [1]])
    precision = np.maximum.accumulate(np.concatenate([[0], precision, [0]])[::-1])[::-1]
    return float((np.diff(recall) * precision[1:]).sum())


@pytest.mark.parametrize("protocol", ["voc", "voc07"])
def test_voc_has_the_numbers_of_its_kit(protocol: str) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        boxes = rng.integers(0, 20, (30, 4))
        boxes[:, 2:] += boxes[:, :2]
        images = rng.integers(0, 3, 30)
        target = truth(*boxes[:10].tolist(), image_ids=images[:10], ignore=rng.random(10) < 0.2)
        target["ignore"][0] = False
        near = boxes[rng.integers(0, 10, 25)] + rng.integers(-2, 3, (25, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
        preds = found(
            *near.tolist(), image_ids=images[rng.integers(0, 10, 25)], labels=[1] * 25,
            scores=rng.choice([0.2, 0.5, 0.7, 0.9], 25),
        )  # fmt: skip
        # Equal scores are told apart by the order of images, and then of detections.
        order = np.argsort(preds["image_ids"], kind="stable")
        for column in ("boxes", "image_ids", "scores"):
            preds[column] = np.array(preds[column])[order]
        scores = evaluated(preds, target, protocol=protocol, fmt="xyxy")
        expected = voc_ap(preds, target, at_points=protocol == "voc07")
        assert scores["AP50"] == pytest.approx(expected, abs=1e-12), seed


def test_voc_takes_the_best_truth_even_if_it_is_taken() -> None:
    """COCO takes the next."""
    target = truth([0, 0, 99, 99], [0, 20, 99, 119])
    preds = found([0, 0, 99, 99], [0, 8, 99, 107], scores=[0.9, 0.8])
    assert evaluated(preds, target, protocol="voc", fmt="xyxy")["AR50"] == 0.5
    assert evaluated(preds, target, fmt="xyxy")["AR100"] > 0.5


def test_groups_of_open_images_count_once() -> None:
    group = truth([0, 0, 100, 100], [200, 0, 50, 50], iscrowd=[1, 0])
    inside = [[10, 10, 20, 20], [50, 50, 30, 30], [5, 60, 20, 30]]
    options = {"protocol": "openimages"}
    preds = found(*inside, [200, 0, 50, 50], scores=[0.9, 0.8, 0.7, 0.6])
    assert evaluated(preds, group, **options) == {"AP50": 1.0, "AR50": 1.0}
    assert evaluated(found(*inside), group, **options)["AR50"] == 0.5
    # Half outside of the group, and so wrong.
    preds = found([90, 0, 30, 10], [200, 0, 50, 50], scores=[0.9, 0.5])
    assert evaluated(preds, group, **options)["AP50"] == pytest.approx(0.25)


def test_lvis_counts_what_was_looked_for() -> None:
    """Classes that were neither found nor known to be absent count for nothing."""
    target = [
        {"boxes": [BOX], "labels": [1], "image_id": 1, "neg_category_ids": [2],
         "not_exhaustive_category_ids": [1]},
    ]  # fmt: skip
    others = [[200, 200, 30, 30]] * 3
    preds = [{"boxes": [*others, BOX], "labels": [1, 2, 3, 1], "scores": [0.9, 0.9, 0.9, 0.5]}]
    preds[0]["image_id"] = 1
    result = fi.average_precision(preds, target, protocol="lvis", fmt="xywh")
    assert result.as_dict()["AP"] == NEARLY_ONE  # the wrong one of class 1 is pardoned
    assert result.per_class["detections"].tolist() == [2, 1, 0]
    del target[0]["not_exhaustive_category_ids"]
    result = fi.average_precision(preds, target, protocol="lvis", fmt="xywh")
    assert result.as_dict()["AP"] == pytest.approx(0.5)


def test_classes_that_are_one_keep_their_order() -> None:
    """Whichever came first."""
    gt = {
        "images": [{"id": 1}],
        "categories": [{"id": 2}, {"id": 1}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "bbox": [4, 0, 10, 10], "area": 100},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10], "area": 100},
        ],
    }
    for entry in gt["annotations"]:
        entry["iscrowd"] = 0
    dt = [
        {"image_id": 1, "category_id": 2, "bbox": [2, 0, 10, 10], "score": 0.5},
        {"image_id": 1, "category_id": 2, "bbox": [-1, 0, 10, 10], "score": 0.4},
    ]
    expected = of_pycocotools(gt, dt, "bbox", use_cats=False)
    result = fi.evaluate_coco(gt, dt, class_agnostic=True)
    np.testing.assert_array_equal(result.stats, expected.stats)
    assert result["AP50"] == pytest.approx(1)


def test_size_ranges_of_voc_are_ranges() -> None:
    result = fi.average_precision(
        found([0, 0, 100, 100]), truth([0, 0, 100, 100]), fmt="xywh", protocol="voc",
        area_ranges={"small": (0, 1024)},
    )  # fmt: skip
    assert (result["AP"], result["APs"]) == (1, -1)


def test_lists_of_lvis_may_be_arrays_and_it_has_no_crowds() -> None:
    preds = [{"boxes": [BOX] * 2, "labels": [1, 2], "scores": [0.9, 0.8], "image_id": 1}]
    target = [
        {"boxes": [BOX], "labels": [1], "image_id": 1, "neg_category_ids": np.array([2]),
         "iscrowd": [1]},
    ]  # fmt: skip
    result = fi.average_precision(preds, target, protocol="lvis", fmt="xywh")
    assert result["AP"] == NEARLY_ONE
    assert result.per_class["detections"].tolist() == [1, 1]


def test_difficult_objects_of_tables_are_ignored() -> None:
    keys = {"image": [1, 1], "category": ["cat", "cat"]}
    boxes = [[0, 0, 9, 9], [50, 50, 60, 60]]
    truth_table = fi.BoxTable(boxes, keys=keys, ignore=[False, True])
    found_table = fi.BoxTable(boxes, keys=keys, scores=[0.5, 0.9])
    assert fi.average_precision(found_table, truth_table, protocol="voc")["AP50"] == 1
    assert fi.average_precision(found_table[:1], truth_table, protocol="voc")["AR50"] == 1
