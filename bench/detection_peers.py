"""Scores of detectors by COCO's rules: from arrays, and from files of boxes and of masks."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.contenders import Array, Call, Contender, Workload, read_bound

__all__ = [
    "CLASSES",
    "DETECTIONS",
    "DETECTION_WORKLOADS",
    "TRUTHS",
    "hotcoco_stats",
    "in_images",
    "numbers",
]

#: Detections, truths and classes of an image, as COCO's own evaluation has them.
DETECTIONS, TRUTHS, CLASSES = 100, 7, 80


def in_images(
    rng: np.random.Generator,
    images: int,
    count: int,
    make: Callable[[np.random.Generator, int], Array],
) -> tuple[Array, Array, Array]:
    """So many members of each image, their images from 1 on, the members and their classes."""
    of_each = np.repeat(np.arange(1, images + 1), count)
    members = make(rng, len(of_each))
    return of_each, members, rng.integers(1, CLASSES + 1, len(members))


class Scene:
    """Detections and truth of some images as arrays and as files, which are there with this."""

    def __init__(self, images: int) -> None:
        rng = np.random.default_rng(images)
        truth_images, truth, labels = in_images(rng, images, TRUTHS, self._boxes)
        found_images, found, found_labels = in_images(rng, images, DETECTIONS, self._boxes)
        # Three of ten are near a truth, most of them of its class.
        near = np.flatnonzero(rng.random(len(found)) < 0.3)
        source = (found_images[near] - 1) * TRUTHS + rng.integers(0, TRUTHS, len(near))
        found[near] = (truth[source] + rng.normal(0, 5, (len(near), 4))).round(2)
        found[:, 2:] = found[:, 2:].clip(1)
        same = rng.random(len(near)) < 0.8
        found_labels[near[same]] = labels[source[same]]
        scores = rng.random(len(found)).round(5)
        self.target = {
            "boxes": truth, "labels": labels, "image_ids": truth_images,
            "iscrowd": rng.random(len(truth)) < 0.01,
            "area": (truth[:, 2] * truth[:, 3]).round(2),
        }  # fmt: skip
        self.preds = {
            "boxes": found, "labels": found_labels, "image_ids": found_images, "scores": scores,
        }  # fmt: skip
        folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, folder)
        self.gt, self.dt = folder / "gt.json", folder / "dt.json"
        keys = ("image_id", "category_id", "bbox")
        rows = zip(truth_images.tolist(), labels.tolist(), truth.tolist(), strict=True)
        annotations = [
            {"id": number, **dict(zip(keys, row, strict=True)), "area": area, "iscrowd": int(crowd)}
            for number, (row, area, crowd) in enumerate(
                zip(rows, self.target["area"].tolist(), self.target["iscrowd"], strict=True), 1
            )
        ]
        content = {
            "images": [{"id": image} for image in range(1, images + 1)],
            "categories": [{"id": label, "name": str(label)} for label in range(1, CLASSES + 1)],
            "annotations": annotations,
        }
        self.gt.write_text(json.dumps(content))
        rows = zip(found_images.tolist(), found_labels.tolist(), found.tolist(), strict=True)
        results = [
            {**dict(zip(keys, row, strict=True)), "score": score}
            for row, score in zip(rows, scores.tolist(), strict=True)
        ]
        self.dt.write_text(json.dumps(results))

    @staticmethod
    def _boxes(rng: np.random.Generator, count: int) -> Array:
        sides = np.exp(rng.normal(4, 0.8, (count, 2))).clip(4, 300)
        return np.hstack([rng.uniform(0, 500, (count, 2)), sides]).round(2)


def _fastiou_arrays(scene: Scene) -> Call:
    import fastiou

    return lambda: fastiou.average_precision(scene.preds, scene.target, fmt="xywh").stats


def _fastiou_files(scene: Scene) -> Call:
    import fastiou

    return lambda: fastiou.evaluate_coco(scene.gt, scene.dt).stats


def _loaded(gt: Path, dt: Path) -> tuple[Any, Any]:
    """Truth and detections of files, as hotcoco has them."""
    import hotcoco

    truth = hotcoco.COCO(str(gt))
    return truth, truth.load_res(str(dt))


def _hotcoco_of(sets: tuple[Any, Any], kind: str) -> Any:
    import hotcoco

    evaluation = hotcoco.COCOeval(*sets, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def hotcoco_stats(gt: Path, dt: Path, kind: str) -> Any:
    """The numbers of files by hotcoco; `kind` is "bbox" or "segm"."""
    return _hotcoco_of(_loaded(gt, dt), kind)


def _hotcoco_arrays(scene: Scene) -> Call:
    sets = _loaded(scene.gt, scene.dt)
    return lambda: _hotcoco_of(sets, "bbox")


def _hotcoco_files(scene: Scene) -> Call:
    return lambda: hotcoco_stats(scene.gt, scene.dt, "bbox")


def _pycocotools(scene: Scene) -> Call:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def call() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(scene.gt))
            evaluation = COCOeval(truth, truth.loadRes(str(scene.dt)), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation.stats

    return call


def numbers(result: Any) -> Array:
    """What a library tells, as an array."""
    return np.array(result, np.float64)


NOTE = "An image has 100 detections and 7 truths of 80 classes."

DETECTION_WORKLOADS: dict[str, Workload] = {
    "coco-arrays": Workload(
        "Scores of detectors: COCO's twelve numbers, from arrays",
        "images",
        Scene,
        (50, 5_000),
        {
            "fastiou": Contender(_fastiou_arrays, numbers),
            "read": read_bound(lambda scene: [*scene.preds.values(), *scene.target.values()]),
            "hotcoco": Contender(_hotcoco_arrays, numbers),
        },
        0.0,
        (50,),
        ("detections", lambda size: DETECTIONS * size),
        f"{NOTE} hotcoco takes no arrays: it begins with sets that it has loaded.",
        ("average_precision",),
    ),
    "coco-files": Workload(
        "Scores of detectors: COCO's twelve numbers, from files",
        "images",
        Scene,
        (50, 5_000),
        {
            "fastiou": Contender(_fastiou_files, numbers),
            "read": read_bound(lambda scene: [np.fromfile(scene.dt, np.uint8)]),
            "hotcoco": Contender(_hotcoco_files, numbers),
            "pycocotools": Contender(_pycocotools, numbers, 50),
        },
        0.0,
        (50,),
        ("detections", lambda size: DETECTIONS * size),
        NOTE,
        ("evaluate_coco",),
    ),
}
