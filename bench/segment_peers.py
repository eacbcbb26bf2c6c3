"""Scores of segmenters: masks and their boundaries by COCO's rules, and panoptic quality."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
import weakref
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.contenders import Array, Call, Contender, Workload, read_bound
from bench.detection_peers import CLASSES, DETECTIONS, TRUTHS, hotcoco_stats, in_images, numbers

__all__ = ["SEGMENT_WORKLOADS"]

#: Height and width of all images.
SIZE = 480, 640

#: Corners of an outline.
CORNERS = 60

#: Segments and categories of a panoptic image, and cells of which a segment is made.
SEGMENTS, CATEGORIES, CELL = 20, 10, 4

#: Resamples that are drawn.
RESAMPLES = 20


def _folder(owner: object) -> Path:
    """A folder that is there as long as its owner."""
    folder = Path(tempfile.mkdtemp())
    weakref.finalize(owner, shutil.rmtree, folder)
    return folder


# ---- masks ---------------------------------------------------------------------------------------


class Masks:
    """Files of detections and truth of some images, with compressed run lengths."""

    def __init__(self, images: int) -> None:
        rng = np.random.default_rng(images)
        truth_images, truth, labels = in_images(rng, images, TRUTHS, self._ellipses)
        found_images, found, found_labels = in_images(rng, images, DETECTIONS, self._ellipses)
        # A third shares image and class with a truth.
        near = np.flatnonzero(rng.random(len(found)) < 0.34)
        source = (found_images[near] - 1) * TRUTHS + rng.integers(0, TRUTHS, len(near))
        found[near] = truth[source] * rng.uniform(0.9, 1.1, (len(near), 5))
        found_labels[near] = labels[source]
        self.folder = _folder(self)
        self.gt, self.dt = self.folder / "gt.json", self.folder / "dt.json"
        true_masks, areas = self._run_lengths(rng, truth)
        masks, _ = self._run_lengths(rng, found)
        keys = ("image_id", "category_id", "segmentation")
        rows = zip(truth_images.tolist(), labels.tolist(), true_masks, strict=True)
        annotations = [
            {"id": number, **dict(zip(keys, row, strict=True)), "area": area, "iscrowd": 0}
            for number, (row, area) in enumerate(zip(rows, areas, strict=True), 1)
        ]
        height, width = SIZE
        content = {
            "images": [
                {"id": image, "height": height, "width": width} for image in range(1, images + 1)
            ],
            "categories": [{"id": label, "name": str(label)} for label in range(1, CLASSES + 1)],
            "annotations": annotations,
        }
        self.gt.write_text(json.dumps(content))
        rows = zip(found_images.tolist(), found_labels.tolist(), masks, strict=True)
        scores = rng.random(len(found)).round(5).tolist()
        results = [
            {**dict(zip(keys, row, strict=True)), "score": score}
            for row, score in zip(rows, scores, strict=True)
        ]
        self.dt.write_text(json.dumps(results))

    @staticmethod
    def _ellipses(rng: np.random.Generator, count: int) -> Array:
        """Centre, half axes and turn of each."""
        centres = rng.uniform((0, 0), SIZE[::-1], (count, 2))
        axes = np.exp(rng.normal(3.6, 0.7, (count, 2))).clip(4, 150)
        return np.hstack([centres, axes, rng.uniform(0, 3, (count, 1))])

    @staticmethod
    def _run_lengths(rng: np.random.Generator, ellipses: Array) -> tuple[list[Any], list[float]]:
        """Ellipses with a rough edge, and their pixels."""
        import fastiou

        angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
        rough = 1 + 0.04 * rng.standard_normal((len(ellipses), CORNERS))
        x, y = (
            axes[:, None] * rough * turned(angles)
            for axes, turned in ((ellipses[:, 2], np.cos), (ellipses[:, 3], np.sin))
        )
        cos, sin = np.cos(ellipses[:, 4:]), np.sin(ellipses[:, 4:])
        corners = np.stack([x * cos - y * sin, x * sin + y * cos], -1) + ellipses[:, None, :2]
        corners = corners.clip(0, np.array(SIZE[::-1]) - 1)
        masks = fastiou.Masks.from_polygons([[ring.reshape(-1)] for ring in corners], SIZE)
        entries = [
            {"size": list(SIZE), "counts": entry["counts"].decode()} for entry in masks.to_rle()
        ]
        return entries, masks.area.astype(float).tolist()


def _fastiou(kind: str) -> Callable[[Masks], Call]:
    def prepare(scene: Masks) -> Call:
        import fastiou

        return lambda: fastiou.evaluate_coco(scene.gt, scene.dt, iou_type=kind).stats

    return prepare


def _hotcoco(scene: Masks) -> Call:
    return lambda: hotcoco_stats(scene.gt, scene.dt, "segm")


def _faster_coco_eval(kind: str) -> Callable[[Masks], Call]:
    def prepare(scene: Masks) -> Call:
        from faster_coco_eval import COCO, COCOeval_faster

        def call() -> Any:
            with contextlib.redirect_stdout(io.StringIO()):
                truth = COCO(str(scene.gt))
                found = truth.loadRes(str(scene.dt))
                evaluation = COCOeval_faster(truth, found, kind, print_function=print)
                evaluation.evaluate()
                evaluation.accumulate()
                evaluation.summarize()
            return evaluation.stats[:12]

        return call

    return prepare


def _resampled(scene: Masks) -> Call:
    import fastiou

    result = fastiou.evaluate_coco(scene.gt, scene.dt, iou_type="segm")

    def call() -> Any:
        result.compare(result, RESAMPLES)
        return result.stats[:1]

    return call


def _resampled_by_hotcoco(scene: Masks) -> Call:
    import hotcoco

    truth = hotcoco.COCO(str(scene.gt))
    found = truth.load_res(str(scene.dt))
    evaluations = [hotcoco.COCOeval(truth, found, "segm") for _ in range(2)]
    for evaluation in evaluations:
        evaluation.evaluate()

    def call() -> Any:
        found = hotcoco.compare(evaluations[0], evaluations[1], n_bootstrap=RESAMPLES)
        return [found["metrics_a"]["AP"]]

    return call


# ---- panoptic quality ----------------------------------------------------------------------------


class Segments:
    """Images of segments, and a prediction, moved and with some of other categories."""

    def __init__(self, images: int) -> None:
        rng = np.random.default_rng(images)
        self.target, self.pred = [], []
        self.target_segments, self.pred_segments = [], []
        for _ in range(images):
            true = self._image(rng)
            pred = np.roll(true, rng.integers(-6, 7, 2), (0, 1))
            ids, areas = np.unique(true, return_counts=True)
            categories = rng.integers(1, CATEGORIES + 1, len(ids))
            told = np.where(rng.random(len(ids)) < 0.8, categories, 1)
            self.target.append(true)
            self.pred.append(pred)
            rows = zip(ids.tolist(), categories.tolist(), areas.tolist(), strict=True)
            self.target_segments.append(
                [
                    {"id": number, "category_id": category, "iscrowd": 0, "area": area}
                    for number, category, area in rows
                    if number
                ]
            )
            found = set(np.unique(pred).tolist()) - {0}
            self.pred_segments.append(
                [
                    {"id": number, "category_id": category}
                    for number, category in zip(ids.tolist(), told.tolist(), strict=True)
                    if number in found
                ]
            )
        self.categories = [
            {"id": number, "name": str(number), "isthing": number % 2}
            for number in range(1, CATEGORIES + 1)
        ]

    @staticmethod
    def _image(rng: np.random.Generator) -> Array:
        """The pixels that are nearest to each of some points; the first belong to none."""
        height, width = (side // CELL for side in SIZE)
        y, x = np.mgrid[:height, :width]
        points = rng.uniform((0, 0), (height, width), (SEGMENTS + 1, 2))
        away = [(y - row) ** 2 + (x - column) ** 2 for row, column in points]
        ids = np.concatenate([[0], rng.choice(2**24 - 1, SEGMENTS, replace=False) + 1])
        cells = ids[np.argmin(away, axis=0)].astype(np.int32)
        pixels: Array = cells.repeat(CELL, 0).repeat(CELL, 1)
        return pixels


class SegmentFiles(Segments):
    """The same as files: JSON, and PNG whose colours are ids."""

    def __init__(self, images: int) -> None:
        super().__init__(images)
        folder = _folder(self)
        self.gt, self.dt = folder / "gt.json", folder / "dt.json"
        for path, pixels, segments in (
            (self.gt, self.target, self.target_segments), (self.dt, self.pred, self.pred_segments),
        ):  # fmt: skip
            images_of = path.with_suffix("")
            images_of.mkdir()
            for number, ids in enumerate(pixels):
                (images_of / f"{number}.png").write_bytes(_png(ids))
            annotations = [
                {"image_id": number, "file_name": f"{number}.png", "segments_info": told}
                for number, told in enumerate(segments)
            ]
            content = {
                "images": [{"id": number} for number in range(images)],
                "annotations": annotations,
                "categories": self.categories,
            }
            path.write_text(json.dumps(content))


def _png(ids: Array) -> bytes:
    """Ids as colours, each row as the difference to that above."""
    height, width = ids.shape
    colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)
    rows = np.full((height, 1 + 3 * width), 2, np.uint8)
    rows[:, 1:] = np.diff(colours.reshape(height, -1), axis=0, prepend=np.uint8(0))

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    packed = zlib.compress(rows.tobytes())
    parts = chunk(b"IHDR", head), chunk(b"IDAT", packed), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _panoptic_arrays(scene: Segments) -> Call:
    import fastiou

    return lambda: fastiou.panoptic_quality(
        scene.target, scene.pred, scene.target_segments, scene.pred_segments,
        categories=scene.categories,
    )  # fmt: skip


def _panoptic_files(scene: SegmentFiles) -> Call:
    import fastiou

    return lambda: fastiou.panoptic_quality(scene.gt, scene.dt)


def _panoptic_formula(scene: Segments) -> Call:
    """The procedure of panopticapi from ids on: two sorts of the pixels, and loops over pairs."""

    def call() -> Array:
        # By category: the sum of IoU, true positives, false positives and false negatives.
        counted: dict[int, Array] = defaultdict(lambda: np.zeros(4))
        for target, pred, of_target, of_pred in zip(
            scene.target, scene.pred, scene.target_segments, scene.pred_segments, strict=True
        ):
            true = {segment["id"]: segment for segment in of_target}
            found = {segment["id"]: segment["category_id"] for segment in of_pred}
            areas = dict(zip(*np.unique(pred, return_counts=True), strict=True))
            keys, pixels = np.unique(
                target.astype(np.uint64) << np.uint64(24) | pred.astype(np.uint64),
                return_counts=True,
            )
            pairs = dict(
                zip(
                    zip((keys >> np.uint64(24)).tolist(), (keys & np.uint64(2**24 - 1)).tolist(),
                        strict=True),
                    pixels.tolist(), strict=True,
                )
            )  # fmt: skip
            matched = set()
            for (one, other), shared in pairs.items():
                if one not in true or other not in found:
                    continue
                category = found[other]
                if true[one]["category_id"] != category:
                    continue
                union = areas[other] + true[one]["area"] - shared - pairs.get((0, other), 0)
                if shared / union > 0.5:
                    counted[category] += [shared / union, 1, 0, 0]
                    matched |= {(0, one), (1, other)}
            for one, segment in true.items():
                counted[segment["category_id"]][3] += (0, one) not in matched
            for other, category in found.items():
                is_forgiven = pairs.get((0, other), 0) / areas[other] > 0.5
                counted[category][2] += (1, other) not in matched and not is_forgiven
        rows = np.array([row for row in counted.values() if row[1:].any()])
        whole = rows[:, 1:] @ [1, 0.5, 0.5]
        with np.errstate(invalid="ignore"):
            segmented = np.where(rows[:, 1] > 0, rows[:, 0] / rows[:, 1], 0)
        return np.array([(rows[:, 0] / whole).mean(), segmented.mean(),
                         (rows[:, 1] / whole).mean()])  # fmt: skip

    return call


def _panoptic_by_hotcoco(scene: SegmentFiles) -> Call:
    from hotcoco.panoptic import pq_compute

    def call() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return pq_compute(str(scene.gt), str(scene.dt))["All"]

    return call


def _three(result: Any) -> Array:
    return np.array([result.pq, result.sq, result.rq])


def _three_of_hotcoco(result: Any) -> Array:
    return np.array([result[name] for name in ("pq", "sq", "rq")])


MASK_NOTE = "An image has 100 detections and 7 truths of 80 classes."
SEGMENT_NOTE = "An image has 640 × 480 pixels and 20 segments."

SEGMENT_WORKLOADS: dict[str, Workload] = {
    "coco-masks": Workload(
        "Scores of segmenters: COCO's twelve numbers, from files",
        "images",
        Masks,
        (50, 500),
        {
            "fastiou": Contender(_fastiou("segm"), numbers),
            "read": read_bound(lambda scene: [np.fromfile(scene.dt, np.uint8)]),
            "hotcoco": Contender(_hotcoco, numbers),
            "faster-coco-eval": Contender(_faster_coco_eval("segm"), numbers, 50),
        },
        1e-12,  # of faster-coco-eval the last bit differs
        (50,),
        ("detections", lambda size: DETECTIONS * size),
        MASK_NOTE,
        ("evaluate_coco",),
    ),
    "coco-boundaries": Workload(
        "Scores of segmenters by the boundaries of masks, from files",
        "images",
        Masks,
        (10, 50),
        {
            "fastiou": Contender(_fastiou("boundary"), numbers),
            "read": read_bound(lambda scene: [np.fromfile(scene.dt, np.uint8)]),
            "faster-coco-eval": Contender(_faster_coco_eval("boundary"), numbers, 50),
        },
        1e-12,
        (10,),
        ("detections", lambda size: DETECTIONS * size),
        MASK_NOTE,
        ("evaluate_coco",),
    ),
    "coco-resamples": Workload(
        f"Two results compared over {RESAMPLES} resamples of the images",
        "images",
        Masks,
        (50, 500),
        {
            "fastiou": Contender(_resampled, numbers),
            "read": read_bound(lambda scene: [np.fromfile(scene.dt, np.uint8)]),
            "hotcoco": Contender(_resampled_by_hotcoco, numbers),
        },
        0.0,
        (50,),
        ("resamples", lambda size: RESAMPLES),
        "Both are of the masks of coco-masks, matched before. AP must agree; libraries draw other "
        "images.",
        ("evaluate_coco",),
    ),
    "panoptic-arrays": Workload(
        "Panoptic quality, from arrays of ids",
        "images",
        Segments,
        (10, 100),
        {
            "fastiou": Contender(_panoptic_arrays, _three),
            "read": read_bound(lambda scene: [*scene.target, *scene.pred]),
            "panopticapi's formula": Contender(_panoptic_formula),
        },
        1e-12,
        (10,),
        ("pixels", lambda size: SIZE[0] * SIZE[1] * size),
        f"{SEGMENT_NOTE} The formula of panopticapi begins with ids, too, and not with colours.",
        ("panoptic_quality",),
    ),
    "panoptic-files": Workload(
        "Panoptic quality, from PNG and JSON",
        "images",
        SegmentFiles,
        (10, 100),
        {
            "fastiou": Contender(_panoptic_files, _three),
            "read": read_bound(
                lambda scene: [
                    np.fromfile(path, np.uint8) for path in scene.gt.parent.glob("*/*.png")
                ]
            ),
            "hotcoco": Contender(_panoptic_by_hotcoco, _three_of_hotcoco),
        },
        1e-12,
        (10,),
        ("pixels", lambda size: SIZE[0] * SIZE[1] * size),
        SEGMENT_NOTE,
        ("panoptic_quality",),
    ),
}
