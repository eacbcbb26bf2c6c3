"""Detections and truth, scored here and by pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
from coco_sets_for_tests import random_sets

import fastiou as fi

ARRAYS = ("precision", "recall", "scores")


BOX = [10.0, 20.0, 30.0, 40.0]


NEARLY_ONE = 0.9999999999999998


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


GT: dict[str, Any] = {
    "images": [{"id": 1}, {"id": 2}],
    "categories": [{"id": 3, "name": "boat"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": BOX, "area": 1200, "iscrowd": 0}
    ],
}


DT: list[dict[str, Any]] = [{"image_id": 1, "category_id": 3, "bbox": BOX, "score": 0.8}]


def evaluator_of_one() -> fi.DetectionEvaluator:
    evaluator = fi.DetectionEvaluator(fmt="xywh")
    evaluator.update(found(BOX), truth(BOX))
    return evaluator
