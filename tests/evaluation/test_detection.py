"""Average precision against published numbers and pycocotools, bit for bit."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detections_for_tests import ARRAYS, assert_equals_pycocotools, of_pycocotools

import fastiou as fi
from fastiou.evaluation import detection_result
from fastiou.runtime import steps, threads

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


def test_large_sets_have_pycocotools_bits_on_one_thread_and_on_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
    for parallel, most in ((False, 1 << 19), (True, 1 << 19), (False, 1000)):
        monkeypatch.setattr(detection_result, "MOST_SORTED", most)
        with threads.forced(parallel):
            result = fi.evaluate_coco(gt, dt)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(result, name), expected.eval[name])
