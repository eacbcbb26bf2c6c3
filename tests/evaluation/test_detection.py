"""Average precision, against pycocotools and rule by rule."""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_sets_for_tests import random_sets

import fastiou as fi
from fastiou.runtime import steps, threads

ARRAYS = ("precision", "recall", "scores")

#: pycocotools' numbers of val2014_100 and its fake results.
TRUTHS = {
    "bbox": [
        0.5045806987249628, 0.6969727247299577, 0.5729816669904824, 0.5856257209410443,
        0.5193996948036719, 0.5013978986347466, 0.38681277964578054, 0.5936795762842003,
        0.595352982877607, 0.6398109626113442, 0.5664205978994309, 0.5642905982905982,
    ],
    "segm": [
        0.3195452758576433, 0.5622883972521636, 0.29892653412086784, 0.3873740315997838,
        0.31018272403369485, 0.3269339071005138, 0.2682297225711534, 0.41544868114906375,
        0.4168394992198818, 0.4694498622754236, 0.37675922666197265, 0.3814715099715099,
    ],
}  # fmt: skip


def truth(*boxes: list[float], **columns: Any) -> dict[str, Any]:
    """Boxes of one class in image 1, unless columns tell otherwise."""
    count = len(boxes)
    usual: dict[str, Any] = {"labels": [1] * count, "image_ids": [1] * count}
    members = np.array(boxes, np.float64).reshape(-1, 4)
    return {"boxes": members, "area": members[:, 2] * members[:, 3], **usual, **columns}


def found(*boxes: list[float], **columns: Any) -> dict[str, Any]:
    """The same with scores."""
    return truth(*boxes, **{"scores": [0.9] * len(boxes), "area": None, **columns})


def evaluated(preds: Any, target: Any, **options: Any) -> dict[str, float]:
    return fi.average_precision(preds, target, **{"fmt": "xywh", **options}).as_dict()


def of_pycocotools(gt: Any, dt: Any, iou_type: str, *, use_cats: bool = True) -> Any:
    """pycocotools' evaluation of the same."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        own = COCO()
        own.dataset = copy.deepcopy(gt)
        own.createIndex()
        evaluation = COCOeval(own, own.loadRes(copy.deepcopy(dt)), iou_type)
        evaluation.params.useCats = use_cats
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def assert_equals_pycocotools(seed: int, *, masks: bool) -> None:
    rng = np.random.default_rng(seed)
    gt, dt = random_sets(rng, masks=masks)
    if masks:
        from pycocotools import mask

        for entry in dt:
            runs = entry["segmentation"]
            packed = mask.frPyObjects(runs, *runs["size"])
            entry["segmentation"] = {**packed, "counts": packed["counts"].decode()}
    iou_type, agnostic = "segm" if masks else "bbox", seed % 5 == 0
    expected = of_pycocotools(gt, dt, iou_type, use_cats=not agnostic)
    result = fi.evaluate_coco(gt, dt, iou_type=iou_type, class_agnostic=agnostic)
    for name in ARRAYS:
        np.testing.assert_array_equal(
            getattr(result, name), expected.eval[name], err_msg=f"seed {seed}: {name}"
        )
    np.testing.assert_array_equal(result.stats, expected.stats)


# ---- published numbers -------------------------------------------------------------------------


@pytest.fixture
def coco_files(real_data: Path) -> Any:
    def files(iou_type: str) -> tuple[Path, Path]:
        kind = "bbox" if iou_type == "bbox" else "segm"
        gt = real_data / "coco" / "instances_val2014_100.json.gz"
        return gt, real_data / "coco" / f"instances_val2014_fake{kind}100_results.json.gz"

    return files


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_coco_has_the_published_numbers_and_all_arrays(coco_files: Any, iou_type: str) -> None:
    gt, dt = coco_files(iou_type)
    result = fi.evaluate_coco(gt, dt, iou_type=iou_type)
    # Sums of NumPy differ in their last bit from one machine to another.
    np.testing.assert_allclose(result.stats, TRUTHS[iou_type], rtol=0, atol=1e-15)
    contents = [json.loads(gzip.decompress(path.read_bytes())) for path in (gt, dt)]
    expected = of_pycocotools(*contents, iou_type)
    np.testing.assert_array_equal(result.stats, expected.stats)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(result, name), expected.eval[name])
    again = fi.evaluate_coco(*contents, iou_type=iou_type)
    np.testing.assert_array_equal(again.precision, result.precision)
    assert result.deviations == []


def test_boundary_ap_has_the_published_numbers(real_data: Path, coco_files: Any) -> None:
    expected = json.loads((real_data / "eval" / "boundary_expected.json").read_text())
    result = fi.evaluate_coco(*coco_files("boundary"), iou_type="boundary")
    np.testing.assert_allclose(result.stats, *expected.values(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_lvis_has_the_published_numbers(real_data: Path, iou_type: str) -> None:
    folder = real_data / "eval" / "lvis"
    made = "lvis_val_100_made_results"
    expected = json.loads(gzip.decompress((folder / f"{made}.expected.json.gz").read_bytes()))
    results = json.loads(gzip.decompress((folder / f"{made}.json.gz").read_bytes()))
    if iou_type == "segm":  # the numbers are of masks alone: with boxes, these tell the areas
        for entry in results:
            del entry["bbox"]
    gt = folder / "lvis_val_100.json.gz"
    result = fi.evaluate_coco(gt, results, iou_type=iou_type, protocol="lvis")
    assert result.as_dict() == pytest.approx(expected[iou_type], rel=0, abs=1e-15)


# ---- against pycocotools -----------------------------------------------------------------------


@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
def test_random_sets_have_pycocotools_bits(*, masks: bool) -> None:
    for seed in range(60 if masks else 150):
        assert_equals_pycocotools(seed, masks=masks)


@pytest.mark.thorough
@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
def test_many_random_sets_have_pycocotools_bits(*, masks: bool) -> None:
    for seed in range(1000, 11_000):
        assert_equals_pycocotools(seed, masks=masks)


@pytest.mark.parametrize("protocol", ["coco", "voc", "openimages"])
def test_steps_within_a_group_and_a_class_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """A pile of more truths than are put in order one by one, with ties, and some detections."""
    rng = np.random.default_rng(0)
    boxes = np.hstack([rng.integers(0, 4, (180, 2)), rng.integers(20, 30, (180, 2))]).tolist()
    gt = {
        "images": [{"id": 1}, {"id": 2}], "categories": [{"id": 1}],
        "annotations": [
            {"id": 1 + i, "image_id": 1 + i // 80, "category_id": 1, "bbox": boxes[i],
             "area": 9e2 + 3 * i, "iscrowd": int(i % 17 == 0)}
            for i in range(90)
        ],
    }  # fmt: skip
    dt = [
        {"image_id": 1 + i % 20 // 19, "category_id": 1, "bbox": boxes[90 + i],
         "score": [0.2, 0.5][i % 2]}
        for i in range(90)
    ]  # fmt: skip
    whole = fi.evaluate_coco(gt, dt, protocol=protocol)
    monkeypatch.setattr(steps, "STEP", 100)
    parts = fi.evaluate_coco(gt, dt, protocol=protocol)
    for name in (*ARRAYS, "areas"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert whole.stats[0] > 0
    if protocol == "coco":
        np.testing.assert_array_equal(whole.stats, of_pycocotools(gt, dt, "bbox").stats)


def test_large_sets_have_pycocotools_bits_on_one_thread_and_on_several() -> None:
    """More than 100 detections of an image and class, sorted by digits, of equal scores."""
    rng = np.random.default_rng(0)
    boxes = np.hstack([rng.integers(0, 60, (3000, 2)), rng.integers(5, 60, (3000, 2))]).tolist()
    gt = {
        "images": [{"id": image} for image in (3, 1, 2)],
        "categories": [{"id": label} for label in (2, 1)],
        "annotations": [
            {"id": 1 + i, "image_id": 1 + i % 3, "category_id": 1 + i % 2, "bbox": boxes[i],
             "area": boxes[i][2] * boxes[i][3], "iscrowd": int(i % 17 == 0)}
            for i in range(200)
        ],
    }  # fmt: skip
    scores = np.round(rng.random(2500), 2)
    dt = [
        {"image_id": 1 + i % 3, "category_id": 1 + i // 3 % 2, "bbox": boxes[i], "score": scores[i]}
        for i in range(2500)
    ]
    expected = of_pycocotools(gt, dt, "bbox")
    for parallel in (False, True):
        with threads.forced(parallel):
            result = fi.evaluate_coco(gt, dt)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(result, name), expected.eval[name])


# ---- rules of COCO -----------------------------------------------------------------------------

BOX = [10.0, 20.0, 30.0, 40.0]
NEARLY_ONE = 0.9999999999999998


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


# ---- other protocols ---------------------------------------------------------------------------


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


# ---- input -------------------------------------------------------------------------------------


def test_all_forms_of_input_have_one_result() -> None:
    pd = pytest.importorskip("pandas", exc_type=ImportError)
    rng = np.random.default_rng(0)
    boxes = rng.integers(0, 50, (40, 4)).astype(np.float64)
    boxes[:, 2:] += boxes[:, :2] + 1
    images, labels = np.sort(rng.integers(0, 5, 40)), rng.integers(0, 3, 40)
    scores = rng.random(40)
    target = {"boxes": boxes, "labels": labels, "image_ids": images}
    preds = {"boxes": boxes + 1.0, "labels": labels, "image_ids": images, "scores": scores}
    expected = fi.average_precision(preds, target)
    assert 0 < expected.as_dict()["AP"] < 1

    def by_image(columns: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                name: column[images == image]
                for name, column in columns.items()
                if name != "image_ids"
            }
            for image in range(5)
        ]

    def table(columns: dict[str, Any]) -> fi.BoxTable:
        keys = {"image": columns["image_ids"], "category": columns["labels"]}
        return fi.BoxTable(columns["boxes"], scores=columns.get("scores"), keys=keys)

    def frame(columns: dict[str, Any]) -> Any:
        corners = dict(zip(["x1", "y1", "x2", "y2"], columns["boxes"].T, strict=True))
        named = {"image": columns["image_ids"], "label": columns["labels"], **corners}
        return pd.DataFrame(named | ({"score": scores} if "scores" in columns else {}))

    named = [
        [{**image, "image_id": f"image {number}"} for number, image in enumerate(by_image(both))]
        for both in (preds, target)
    ]
    forms = [
        (by_image(preds), by_image(target)), (table(preds), table(target)),
        (frame(preds), frame(target)), named,
        ({**preds, "boxes": fi.box_convert(boxes + 1.0, "xyxy", "xywh")},
         {**target, "boxes": fi.box_convert(boxes, "xyxy", "xywh")}),
    ]  # fmt: skip
    for place, form in enumerate(forms):
        fmt = "xywh" if place == len(forms) - 1 else "xyxy"
        result = fi.average_precision(*form, fmt=fmt)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))


def test_masks_of_several_sizes_are_compared() -> None:
    small, large = np.zeros((1, 10, 10), bool), np.zeros((2, 30, 20), bool)
    small[0, 2:8, 2:8] = True
    large[0, 5:25, 5:15] = large[1, :3, :3] = True
    for iou_type in ("segm", "boundary"):
        result = fi.average_precision(
            [{"masks": each, "labels": [1] * len(each), "scores": [0.9] * len(each)}
             for each in (small, large)],
            [{"masks": each, "labels": [1] * len(each)} for each in (small, large)],
            iou_type=iou_type,
        )  # fmt: skip
        assert result.as_dict()["AP"] == pytest.approx(1)


def test_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    preds = [
        {"boxes": torch.tensor([BOX]), "scores": torch.tensor([0.5]), "labels": torch.tensor([3])}
    ]
    target = [{"boxes": torch.tensor([BOX]), "labels": torch.tensor([3])}]
    assert fi.average_precision(preds, target, fmt="xywh").as_dict()["AP"] == NEARLY_ONE


@pytest.mark.parametrize(
    ("preds", "target", "message"),
    [
        (found(BOX, scores=[np.nan]), truth(BOX), "scores must be numbers, got NaN in row 0"),
        (found(BOX, scores=[np.inf]), truth(BOX), r"preds\['scores'\] must be finite, got inf"),
        (truth(BOX), truth(BOX), "preds has no scores, but boxes, area, labels, image_ids"),
        (
            found([0, 0, np.nan, 1]),
            truth(BOX),
            r"preds\['boxes'\] must be numbers, got NaN in row 0",
        ),
        (
            found(BOX, labels=["a"]),
            truth(BOX),
            "labels must all be numbers, or all names, got both",
        ),
        ({"boxes": [BOX], "labels": [1], "scores": [1]}, truth(BOX), "preds must have image_ids"),
        (found(BOX, colour=[1]), truth(BOX), "preds has a column 'colour', which means nothing"),
        (
            found(BOX),
            truth(BOX, iscrowd=[2]),
            r"target\['iscrowd'\] must hold booleans, or 0 and 1",
        ),
        (found(BOX), truth(BOX, area=[1, 2]), r"target\['area'\] must have the shape \(1,\)"),
        ([], [{"boxes": [BOX], "labels": [1]}], "preds and target must have a dict for each image"),
        (7, truth(BOX), "preds must be a dict of columns"),
        ([7], truth(BOX), r"preds\[0\] must be a dict of one image, got 7"),
        ([], truth(BOX), "preds must have an image_id in each dict, as target has"),
    ],
)
def test_bad_input_is_named(preds: Any, target: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fi.average_precision(preds, target, fmt="xywh")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "pascal"}, "protocol must be one of 'coco', 'lvis'"),
        ({"iou_type": "mask"}, "iou_type must be one of 'bbox', 'segm', 'boundary'"),
        ({"fmt": "cxcywhr"}, "fmt must be one of"),
        ({"iou_thresholds": [0.7, 0.5]}, "iou_thresholds must ascend"),
        ({"iou_thresholds": []}, "iou_thresholds must be some numbers"),
        ({"iou_thresholds": [0.0]}, "iou_thresholds must be greater than 0"),
        ({"max_dets": [100, 10]}, "max_dets must be some integers that ascend"),
        ({"max_dets": [0]}, "max_dets must be an integer of at least 1"),
        ({"area_ranges": {"odd": (5, 1)}}, r"area_ranges\['odd'\] must be two numbers"),
        ({"class_agnostic": 1}, "class_agnostic must be True or False"),
        ({"class_names": "cat"}, "class_names must be a list or a dict"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fi.DetectionEvaluator(**options)


# ---- updates, merges, results ------------------------------------------------------------------


def images_of(count: int, seed: int = 0) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Detections and truth of some images, with ties."""
    rng = np.random.default_rng(seed)
    pairs = []
    for image in rng.permutation(count).tolist():
        boxes = rng.integers(0, 40, (8, 4)) + np.array([0.0, 0, 8, 8])
        labels = rng.integers(0, 3, 8)
        own = {"labels": labels, "image_id": image}
        near = boxes + rng.integers(0, 3, (8, 4))
        pairs.append(
            (
                {**own, "boxes": near, "scores": rng.choice([0.3, 0.5, 0.9], 8)},
                {**own, "boxes": boxes},
            )
        )
    return pairs


def test_order_split_and_threads_change_no_bit() -> None:
    pairs = images_of(24)
    whole = fi.DetectionEvaluator(fmt="xywh")
    whole.update([preds for preds, _ in pairs], [target for _, target in pairs])
    expected = whole.compute()
    assert 0 < expected.as_dict()["AP"] < 1
    ranks = [fi.DetectionEvaluator(fmt="xywh") for _ in range(3)]
    for number, (preds, target) in enumerate(reversed(pairs)):
        ranks[number % 3].update([preds], [target])
    states = [ranks[2].state(), ranks[0]]
    ranks[1].merge(*states)
    results = [ranks[1].compute()]
    with threads.forced(True):
        results.append(whole.compute())
    for result in results:
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
        assert result.image_ids.tolist() == list(range(24))


def test_labels_that_come_later_are_sorted() -> None:
    evaluator = fi.DetectionEvaluator(fmt="xywh", class_names={9: "nine", 2: "two", 4: "four"})
    for image, label in ((1, 9), (2, 2)):
        evaluator.update(
            found(BOX, labels=[label], image_ids=[image]),
            truth(BOX, labels=[label], image_ids=[image]),
        )
    result = evaluator.compute()
    assert result.labels.tolist() == [2, 4, 9]
    assert result.per_class["name"].tolist() == ["two", "four", "nine"]
    assert result.per_class["AP"].tolist() == [NEARLY_ONE, -1, NEARLY_ONE]
    recall, precision, scores = result.pr_curve("nine")
    assert (len(recall), precision[0], scores[0]) == (101, NEARLY_ONE, 0.9)
    with pytest.raises(ValueError, match="label must be one of"):
        result.pr_curve(7)
    with pytest.raises(ValueError, match="iou must be one of"):
        result.pr_curve(9, 0.52)


def test_images_that_were_there_before_are_named() -> None:
    evaluator = fi.DetectionEvaluator(fmt="xywh")
    evaluator.update(found(BOX, image_ids=[5]), truth(BOX, image_ids=[5]))
    with pytest.raises(ValueError, match="image 5 was in an update before"):
        evaluator.update(found(BOX, image_ids=[5]), truth(BOX, image_ids=[6]))
    other = fi.DetectionEvaluator(fmt="xywh")
    other.update(found(BOX, image_ids=[5]), truth(BOX, image_ids=[5]))
    with pytest.raises(ValueError, match=r"others\[0\] has image 5, which is here, too"):
        evaluator.merge(other)
    assert evaluator.compute().image_ids.tolist() == [5]


def test_images_without_names_are_counted_also_when_merged() -> None:
    one, two = fi.DetectionEvaluator(fmt="xywh"), fi.DetectionEvaluator(fmt="xywh")
    for evaluator in (one, two, two):
        evaluator.update(
            [{"boxes": [BOX], "scores": [0.5], "labels": [1]}], [{"boxes": [BOX], "labels": [1]}]
        )
    one.merge(two)
    assert one.compute().image_ids.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="images must be named by image_ids in all updates, or in"):
        one.update(found(BOX), truth(BOX))


def test_only_like_evaluators_are_merged() -> None:
    with pytest.raises(ValueError, match=r"others\[0\] has other options"):
        fi.DetectionEvaluator().merge(fi.DetectionEvaluator(max_dets=[10]))
    with pytest.raises(TypeError, match=r"others\[0\] must be a DetectionEvaluator"):
        fi.DetectionEvaluator().merge([])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"others\[0\] must be what state\(\) gives, with options"):
        fi.DetectionEvaluator().merge({})


def test_a_failed_update_changes_nothing() -> None:
    evaluator = fi.DetectionEvaluator(fmt="xywh")
    with pytest.raises(TypeError, match="labels must all be numbers"):
        evaluator.update(found(BOX, labels=["a"]), truth(BOX))
    evaluator.update(found(BOX), truth(BOX))
    assert evaluator.compute().as_dict()["AP"] == NEARLY_ONE


# ---- files -------------------------------------------------------------------------------------

GT: dict[str, Any] = {
    "images": [{"id": 1}, {"id": 2}],
    "categories": [{"id": 3, "name": "boat"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": BOX, "area": 1200, "iscrowd": 0}
    ],
}
DT: list[dict[str, Any]] = [{"image_id": 1, "category_id": 3, "bbox": BOX, "score": 0.8}]


def test_results_as_an_array_are_read() -> None:
    result = fi.evaluate_coco(GT, np.array([[1, *BOX, 0.8, 3]]))
    assert result.as_dict()["AP"] == NEARLY_ONE
    with pytest.raises(
        TypeError, match=r"dt must be a path, a list of dicts, or an array \(N, 7\)"
    ):
        fi.evaluate_coco(GT, np.zeros((1, 6)))


def test_ids_of_0_count_which_is_told() -> None:
    gt = {**GT, "annotations": [{**GT["annotations"][0], "id": 0}]}
    result = fi.evaluate_coco(gt, DT)
    assert result.as_dict()["AP"] == NEARLY_ONE
    assert "an annotation has the id 0" in result.deviations[0]


def test_iscrowd_and_area_may_be_missing() -> None:
    bare = {name: GT["annotations"][0][name] for name in ("image_id", "category_id", "bbox")}
    result = fi.evaluate_coco({**GT, "annotations": [bare]}, DT)
    assert result.as_dict()["AP"] == NEARLY_ONE
    assert result.deviations == ["areas that the truth lacks are those of its boxes"]


def test_empty_results_are_0() -> None:
    assert fi.evaluate_coco(GT, []).as_dict()["AP"] == 0


def test_results_of_masks_may_be_scored_as_boxes() -> None:
    segmentation = {"size": [4, 4], "counts": [5, 2, 2, 2, 5]}
    gt = {**GT, "annotations": [{**GT["annotations"][0], "bbox": [1, 1, 2, 2]}]}
    dt = [{"image_id": 1, "category_id": 3, "segmentation": segmentation, "score": 0.8}]
    assert fi.evaluate_coco(gt, dt).as_dict()["AP"] == NEARLY_ONE


@pytest.mark.parametrize(
    ("gt", "dt", "message"),
    [
        (GT, [{**DT[0], "image_id": 9}], "image_id 9 of 1 of 1 results is not in gt"),
        (GT, [{**DT[0], "image_id": "1"}], "images are names, and numbers in gt"),
        (GT, [{**DT[0], "category_id": 1}], "no result has a category that gt lists: 1 against 3"),
        (GT, [{"image_id": 1, "category_id": 3, "score": 1}], 'no "bbox", expected boxes or masks'),
        (GT, [{**DT[0], "score": float("nan")}], '"score": NaN, expected a finite number'),
        (GT, [{"bbox": BOX}], 'no "image_id"'),
        ({"images": []}, DT, "annotations"),
    ],
)
def test_files_that_do_not_fit_are_told(gt: Any, dt: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fi.evaluate_coco(gt, dt)


def test_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        fi.evaluate_coco(tmp_path / "gt.json", DT)
    with pytest.raises(TypeError, match="fmt is told by the files"):
        fi.evaluate_coco(GT, DT, fmt="xyxy")


def test_entries_that_are_not_listed_are_left_out_and_told() -> None:
    gt = {
        **GT,
        "annotations": [*GT["annotations"], {**GT["annotations"][0], "id": 2, "category_id": 9}],
    }
    result = fi.evaluate_coco(gt, [*DT, {**DT[0], "category_id": 9}])
    assert result.as_dict()["AP"] == NEARLY_ONE
    assert [text.partition(" are of")[0] for text in result.deviations] == [
        "1 entries of the truth", "1 entries of the results",
    ]  # fmt: skip


# ---- what is shown -----------------------------------------------------------------------------


def test_summary_and_repr() -> None:
    result = fi.average_precision(found(BOX), truth(BOX), fmt="xywh")
    lines = result.summary().splitlines()
    assert len(lines) == 12
    assert lines[0] == "AP     IoU 0.50:0.95  area all     max 100  1.000"
    assert repr(result) == "<DetectionResult: AP 1.000, AP50 1.000, AP75 1.000; 1 image, 1 class>"
    assert list(result.as_dict("val/"))[:2] == ["val/AP", "val/AP50"]
    assert "1 images, 1 detections" in repr(_evaluator_of_one())


def _evaluator_of_one() -> fi.DetectionEvaluator:
    evaluator = fi.DetectionEvaluator(fmt="xywh")
    evaluator.update(found(BOX), truth(BOX))
    return evaluator


def test_classes_are_a_frame() -> None:
    pytest.importorskip("pandas", exc_type=ImportError)
    result = fi.average_precision(found(BOX), truth(BOX), fmt="xywh")
    frame = result.per_class.to_pandas()
    assert frame["truths"].tolist() == [1]
    assert "<ClassScores: 1 classes; label, name, AP" in repr(result.per_class)


def test_curves_are_drawn() -> None:
    pytest.importorskip("matplotlib", exc_type=ImportError)
    figure = fi.average_precision(found(BOX), truth(BOX), fmt="xywh").plot()
    assert len(figure.axes[0].lines) == 3


# ---- what was asked for first ------------------------------------------------------------------


def test_detections_without_ids_are_those_of_the_truth_in_order() -> None:
    preds = [{"boxes": [BOX], "scores": [0.5], "labels": [1]}] * 2
    target = [{"boxes": [BOX], "labels": [1], "image_id": image} for image in ("b", "a")]
    evaluator = fi.DetectionEvaluator(fmt="xywh")
    evaluator.update(preds, target)
    result = evaluator.compute()
    assert result.image_ids.tolist() == ["a", "b"]
    assert result["AP"] == pytest.approx(1)
    with pytest.raises(KeyError, match="there is no 'mAP', but AP, AP50"):
        result["mAP"]


def test_masks_of_an_image_have_one_size() -> None:
    preds = [{"masks": np.ones((1, 20, 20)), "scores": [0.5], "labels": [1]}]
    target = [{"masks": np.ones((1, 30, 20)), "labels": [1]}]
    message = r"masks of image 0 must have one size, got 20 × 20 in preds and 30 × 20 in target"
    with pytest.raises(ValueError, match=message):
        fi.average_precision(preds, target, iou_type="segm")


def test_difficult_objects_of_tables_are_ignored() -> None:
    keys = {"image": [1, 1], "category": ["cat", "cat"]}
    boxes = [[0, 0, 9, 9], [50, 50, 60, 60]]
    truth_table = fi.BoxTable(boxes, keys=keys, ignore=[False, True])
    found_table = fi.BoxTable(boxes, keys=keys, scores=[0.5, 0.9])
    assert fi.average_precision(found_table, truth_table, protocol="voc")["AP50"] == 1
    assert fi.average_precision(found_table[:1], truth_table, protocol="voc")["AR50"] == 1


# ---- what a reviewer broke ---------------------------------------------------------------------


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


@pytest.mark.parametrize("options", [{"class_agnostic": True}, {"protocol": "voc"}], ids=str)
def test_order_and_split_change_no_bit_by_other_rules(options: dict[str, Any]) -> None:
    for seed in range(4):
        pairs = images_of(6, seed)
        whole = fi.DetectionEvaluator(fmt="xywh", **options)
        whole.update([preds for preds, _ in pairs], [target for _, target in pairs])
        ranks = [fi.DetectionEvaluator(fmt="xywh", **options) for _ in range(2)]
        for number, (preds, target) in enumerate(reversed(pairs)):
            ranks[number % 2].update([preds], [target])
        ranks[1].merge(ranks[0].state())
        np.testing.assert_array_equal(ranks[1].compute().precision, whole.compute().precision)


def test_size_ranges_of_voc_are_ranges() -> None:
    result = fi.average_precision(
        found([0, 0, 100, 100]), truth([0, 0, 100, 100]), fmt="xywh", protocol="voc",
        area_ranges={"small": (0, 1024)},
    )  # fmt: skip
    assert (result["AP"], result["APs"]) == (1, -1)


def test_columns_of_frames_are_heeded() -> None:
    pd = pytest.importorskip("pandas", exc_type=ImportError)
    boxes = {"x1": [0, 50], "y1": [0, 50], "x2": [9, 60], "y2": [9, 60]}
    both = {"image": [1, 1], "label": ["cat", "cat"], **boxes}
    preds = pd.DataFrame({**both, "score": [0.5, 0.9]})
    target = pd.DataFrame({**both, "difficult": [1, 0], "area": [5000, 5000]})
    result = fi.average_precision(preds, target, protocol="voc")
    assert result.per_class["truths"].tolist() == [1]
    assert fi.average_precision(preds, target)["APs"] == -1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", [0, 2, 5, 6])
def test_results_as_an_array_are_finite(value: float, column: int) -> None:
    rows = np.array([[1, *BOX, 0.8, 3]] * 2)
    rows[1, column] = value
    with pytest.raises(ValueError, match=r"dt must be finite, got .* in row 1"):
        fi.evaluate_coco(GT, rows)


def test_numbers_of_numpy_may_be_anywhere() -> None:
    entry = {"image_id": np.int64(1), "category_id": 3, "bbox": np.array(BOX), "score": 0.8}
    result = fi.evaluate_coco(GT, [{**DT[0], "image_id": 2}, entry])
    assert result["AR100"] == 1


@pytest.mark.parametrize(
    ("preds", "target", "options", "message"),
    [
        ([{"masks": [[[0, 0, 4, 0, 4, 4]]], "labels": [1], "scores": [1]}],
         [{"masks": np.ones((1, 5, 5)), "labels": [1]}], {"iou_type": "segm"},
         "polygons become masks by Masks.from_polygons"),
        ({"masks": np.ones((1, 4, 4)), "labels": [1], "scores": [1], "image_ids": [1]},
         {"masks": np.ones((1, 8, 8)), "labels": [1], "image_ids": [1]}, {"iou_type": "segm"},
         "masks must have one size, got 4 × 4 in preds and 8 × 8 in target"),
        (found(BOX), truth(BOX, neg_category_ids=[]), {"protocol": "lvis"},
         "which belong to images"),
        (found(BOX, labels=np.array([2**63], np.uint64)), truth(BOX), {},
         r"must be less than 2\*\*63"),
        (found(BOX), truth(BOX, area=[-1]), {}, "must be finite and at least 0, got -1"),
        (found(BOX), truth(BOX), {"class_names": {"a": "A"}}, "class_names must be by label"),
        (found(BOX), truth(BOX), {"class_names": {1.5: "A"}}, "class_names must be by labels"),
        (found(BOX), truth(BOX), {"class_frequencies": {1: "often"}}, "class_frequencies must be"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    preds: Any, target: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fi.average_precision(preds, target, **{"fmt": "xywh", **options})


def test_lists_of_lvis_may_be_arrays_and_it_has_no_crowds() -> None:
    preds = [{"boxes": [BOX] * 2, "labels": [1, 2], "scores": [0.9, 0.8], "image_id": 1}]
    target = [
        {"boxes": [BOX], "labels": [1], "image_id": 1, "neg_category_ids": np.array([2]),
         "iscrowd": [1]},
    ]  # fmt: skip
    result = fi.average_precision(preds, target, protocol="lvis", fmt="xywh")
    assert result["AP"] == NEARLY_ONE
    assert result.per_class["detections"].tolist() == [1, 1]


def test_classes_that_are_names_have_names() -> None:
    labels = {"labels": ["cat"]}
    result = fi.average_precision(
        found(BOX, **labels), truth(BOX, **labels), fmt="xywh",
        class_names={"cat": "Cat (felis)", "dog": "Dog"},
    )  # fmt: skip
    assert result.labels.tolist() == ["cat", "dog"]
    assert result.per_class["name"].tolist() == ["Cat (felis)", "Dog"]


def test_an_evaluator_forgets_when_it_is_reset() -> None:
    evaluator = fi.DetectionEvaluator(fmt="xywh", max_dets=[10])
    evaluator.update(found(BOX), truth(BOX, area=None))
    assert len(evaluator.compute().deviations) == 2
    evaluator.reset()
    assert len(evaluator.compute().deviations) == 1
    assert evaluator.compute()["AP"] == -1
    evaluator.update(found(BOX), truth(BOX))
    assert evaluator.compute()["AP"] == NEARLY_ONE


def test_an_update_that_is_interrupted_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastiou.evaluation import detection

    evaluator = _evaluator_of_one()
    more = found(BOX, image_ids=[2], labels=[7]), truth(BOX, image_ids=[2], labels=[7])
    with monkeypatch.context() as patch:
        patch.setattr(detection, "match_detections", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluator.update(*more)
    assert evaluator.compute().labels.tolist() == [1]
    evaluator.update(*more)
    evaluator.update([], [])
    assert evaluator.compute().labels.tolist() == [1, 7]


def test_damaged_states_are_refused_and_change_nothing() -> None:
    good = fi.DetectionEvaluator(fmt="xywh")
    good.update(found(BOX, BOX, image_ids=[2, 3]), truth(BOX, BOX, image_ids=[2, 3]))
    for part, change in (
        ("detections", lambda rows: rows["score"].__setitem__(0, np.nan)),
        ("detections", lambda rows: rows["image"].__setitem__(0, 9)),
        ("detections", lambda rows: rows["rank"].__setitem__(0, -1)),
        ("truth", lambda rows: rows["label"].__setitem__(0, -1)),
        ("image_ids", lambda values: values.__setitem__(0, 3)),
    ):
        state = good.state()
        change(state[part])
        evaluator = _evaluator_of_one()
        with pytest.raises(ValueError, match=r"others\[1\]"):
            evaluator.merge(fi.DetectionEvaluator(fmt="xywh"), state)
        evaluator.merge(good)
        assert evaluator.compute().image_ids.tolist() == [1, 2, 3]
    state = good.state()
    state["truth"] = state["truth"][:1]  # which nothing shows
    evaluator.merge(fi.DetectionEvaluator(fmt="xywh"))
    other = _evaluator_of_one()
    other.merge(state)
    state["detections"]["matched"] = 0  # no longer theirs
    assert other.compute()["AR100"] == 1
    with pytest.raises(ValueError, match="must be what state"):
        other.merge({"options": 1})
    with pytest.raises(ValueError, match="it lacks detections, truth, image_ids"):
        other.merge({"options": state["options"]})


def test_boundaries_of_tables_are_refused() -> None:
    masks = fi.Masks.from_dense(np.ones((1, 20, 20)))
    keys = {"image": [1], "category": [1]}
    preds = fi.BoxTable(masks=masks, keys=keys, scores=[0.5])
    target = fi.BoxTable(masks=masks.padded((50, 50)), keys=keys)
    assert fi.average_precision(preds, target, iou_type="segm")["AP"] == NEARLY_ONE
    with pytest.raises(ValueError, match="needs the size of each image"):
        fi.average_precision(preds, target, iou_type="boundary")
