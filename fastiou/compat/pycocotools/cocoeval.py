"""`pycocotools.cocoeval`: `COCOeval`, over fastiou's evaluation.

``docs/compat.md`` has what differs.
"""
# ruff: noqa: N802, N803

from __future__ import annotations

import contextlib
import copy
import datetime
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fastiou.compat.pycocotools import mask as masks
from fastiou.compat.pycocotools.per_image import add_up, image_scores
from fastiou.evaluation.coco_files import coco_columns_of, coco_sets
from fastiou.evaluation.detection import KINDS, DetectionEvaluator
from fastiou.evaluation.detection_curves import accumulate
from fastiou.evaluation.detection_result import DetectionResult
from fastiou.formats.errors import FileError
from fastiou.typing import Array

__all__ = ["COCOeval", "Params"]


class Params:
    """What is evaluated, and how: lists that may be set before `COCOeval.evaluate`.

    Attributes
    ----------
    iouType : {"bbox", "segm"}
    imgIds, catIds : list
    iouThrs, recThrs : array of float64
        IoU thresholds, and recalls where precision is read.
    areaRng, areaRngLbl : list
        Size ranges (least, greatest), and their names.
    maxDets : list of int
        How many detections of an image and class count.
    useCats : int
        Whether classes are told apart.
    """

    def __init__(self, iouType: str = "segm") -> None:
        self.iouType = iouType
        self.setDetParams()
        #: Long out of use, but set by old programs: 1 for "segm", 0 for "bbox".
        self.useSegm: int | None = None

    def setDetParams(self) -> None:
        """The usual values."""
        if self.iouType not in ("bbox", "segm"):
            raise ValueError(
                f"iouType must be 'bbox' or 'segm', got {self.iouType!r}: keypoints are not "
                "evaluated here"
            )
        self.imgIds: list[Any] = []
        self.catIds: list[Any] = []
        self.iouThrs = np.linspace(0.5, 0.95, 10)
        self.recThrs = np.linspace(0, 1, 101)
        self.maxDets = [1, 10, 100]
        self.areaRng = [[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]]
        self.areaRngLbl = ["all", "small", "medium", "large"]
        self.useCats = 1


class COCOeval:
    """Average precision and recall by COCO's rules.

    Attributes
    ----------
    params : Params
    eval : dict
        After `accumulate`: precision and scores (T, R, K, A, M), recall (T, K, A, M), -1 where
        there is no truth; and params, counts and date.
    stats : array of float64
        After `summarize`: twelve numbers.
    evalImgs : list of dict
        What was matched in each class, size range and image. It is computed when it is asked for,
        one image after another, which is slow. `accumulate` heeds a list that is set.
    ious : dict of array
        IoU of each image and class, likewise.

    Examples
    --------
    >>> from fastiou.compat.pycocotools.coco import COCO
    >>> from fastiou.compat.pycocotools.cocoeval import COCOeval
    >>> truth, box = COCO(), {"image_id": 1, "category_id": 3, "bbox": [10, 20, 30, 40]}
    >>> truth.dataset = {
    ...     "images": [{"id": 1}],
    ...     "categories": [{"id": 3, "name": "boat"}],
    ...     "annotations": [{**box, "id": 8, "area": 1200, "iscrowd": 0}],
    ... }
    >>> truth.createIndex()
    >>> found = truth.loadRes([{**box, "score": 0.8}])
    >>> evaluation = COCOeval(truth, found, "bbox")
    >>> evaluation.evaluate()
    >>> evaluation.accumulate()
    >>> evaluation.summarize()  # doctest: +ELLIPSIS
     Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000
     ...
    """

    def __init__(self, cocoGt: Any = None, cocoDt: Any = None, iouType: str = "segm") -> None:
        self.cocoGt = cocoGt
        self.cocoDt = cocoDt
        self.params = Params(iouType=iouType or "segm")
        self.eval: dict[str, Any] = {}
        self.stats: Any = []
        self._paramsEval: Any = None
        self._result: DetectionResult | None = None
        self._eval_images: list[Any] | None = []
        self._are_given = False
        self._ious: dict[Any, Any] | None = {}
        self._gts: dict[Any, list[Any]] = defaultdict(list)
        self._dts: dict[Any, list[Any]] = defaultdict(list)
        self._is_prepared = False
        if cocoGt is not None:
            self.params.imgIds = sorted(cocoGt.getImgIds())
            self.params.catIds = sorted(cocoGt.getCatIds())

    # ---- matching ------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Match the detections of all images with their truth."""
        p = self.params
        if p.useSegm is not None:
            p.iouType = "segm" if p.useSegm == 1 else "bbox"
        p.imgIds = np.unique(p.imgIds).tolist()
        if p.useCats:
            p.catIds = np.unique(p.catIds).tolist()
        p.maxDets = sorted(p.maxDets)
        self._result = self._matched(p)
        self._paramsEval = copy.deepcopy(p)
        self._eval_images, self._ious, self._are_given = None, None, False
        self._is_prepared = False
        self.eval = {}

    def _matched(self, p: Params) -> DetectionResult:
        """The result of fastiou's evaluation."""
        ranges: dict[str, Any] = {"all": p.areaRng[0]}  # by the name that comes first in any case
        ranges |= {f"range {place}": ends for place, ends in enumerate(p.areaRng) if place}
        evaluator = DetectionEvaluator(
            iou_type=p.iouType,
            iou_thresholds=np.unique(p.iouThrs),
            max_dets=p.maxDets,
            area_ranges=ranges,
            class_agnostic=not p.useCats,
            class_names={category: str(category) for category in p.catIds},
        )
        content = {
            "images": [{"id": image, **self._size(image)} for image in p.imgIds],
            "categories": [{"id": category, "name": str(category)} for category in p.catIds],
            "annotations": self._entries(self.cocoGt, ("area", "iscrowd", "id")),
        }
        found = self._entries(self.cocoDt, ("score", "area"))
        try:
            both = coco_columns_of(content, found, KINDS[p.iouType])
            preds, target, *_ = coco_sets(*both, KINDS[p.iouType])
        except FileError as error:
            raise ValueError(str(error)) from None
        # The areas that loadRes gave, which need not be those of what is compared.
        areas = np.array([entry["area"] for entry in found], np.float64)
        evaluator.add(replace(preds, areas=areas), target)
        return evaluator.compute()

    def _size(self, image: Any) -> dict[str, Any]:
        """The size of an image, where it is known."""
        entry = self.cocoGt.imgs.get(image, {})
        return {key: entry[key] for key in ("height", "width") if key in entry}

    def _entries(self, coco: Any, others: tuple[str, ...]) -> list[dict[str, Any]]:
        """The annotations of a set that are evaluated, with the fields that count."""
        p = self.params
        shape = "segmentation" if p.iouType == "segm" else "bbox"
        names = ("image_id", "category_id", shape, *others)
        return [
            {name: entry[name] for name in names if name in entry} for entry in self._chosen(coco)
        ]

    def _chosen(self, coco: Any) -> list[Any]:
        p = self.params
        if not len(p.imgIds) or not len(p.catIds):
            return []
        chosen: list[Any] = coco.loadAnns(coco.getAnnIds(imgIds=p.imgIds, catIds=p.catIds))
        return chosen

    # ---- single images -------------------------------------------------------------------------

    @contextlib.contextmanager
    def _as_evaluated(self) -> Iterator[Params]:
        """The parameters of the last evaluation as `params`, which may have changed since."""
        now = self.params
        self.params = self._paramsEval or now
        try:
            yield self.params
        finally:
            self.params = now

    def _prepare(self) -> None:
        """Sort annotations by image and class.

        Programs with an evaluation of their own call it for each batch, after they set `params`.
        """
        self._is_prepared = True
        self._gts, self._dts = defaultdict(list), defaultdict(list)
        for coco, lists in ((self.cocoGt, self._gts), (self.cocoDt, self._dts)):
            for entry in self._chosen(coco):
                entry.setdefault("iscrowd", 0)
                if self.params.iouType == "segm":
                    entry["segmentation"] = coco.annToRLE(entry)
                if coco is self.cocoGt:
                    entry["ignore"] = entry["iscrowd"]
                lists[entry["image_id"], entry["category_id"]].append(entry)

    def _of_image(self, image: Any, label: Any) -> tuple[list[Any], list[Any]]:
        labels = [label] if self.params.useCats else self.params.catIds
        true, found = (
            [entry for one in labels for entry in lists.get((image, one), ())]
            for lists in (self._gts, self._dts)
        )
        return true, found

    def computeIoU(self, imgId: Any, catId: Any) -> Any:
        """IoU (D, G) of an image and class, of detections by falling score."""
        if not self._is_prepared:
            with self._as_evaluated():
                self._prepare()
        p = self.params
        true, found = self._of_image(imgId, catId)
        order = np.argsort([-entry["score"] for entry in found], kind="stable")[: p.maxDets[-1]]
        name = "segmentation" if p.iouType == "segm" else "bbox"
        return masks.iou(
            [found[place][name] for place in order],
            [entry[name] for entry in true],
            [entry["iscrowd"] for entry in true],
        )

    def evaluateImg(self, imgId: Any, catId: Any, aRng: Any, maxDet: int) -> dict[str, Any] | None:
        """What was matched in one image, class and size range."""
        ious = self.ious[imgId, catId]
        true, found = self._of_image(imgId, catId)
        own = image_scores(true, found, ious, self.params.iouThrs, aRng, maxDet)
        if own is None:
            return None
        whose = {"image_id": imgId, "category_id": catId, "aRng": aRng, "maxDet": maxDet}
        return {**whose, **own}

    def _classes(self) -> list[Any]:
        return list(self.params.catIds) if self.params.useCats else [-1]

    @property
    def ious(self) -> dict[Any, Any]:
        """IoU of each image and class."""
        if self._ious is None:
            with self._as_evaluated() as p:
                self._prepare()
                self._ious = {
                    (image, label): self.computeIoU(image, label)
                    for image in p.imgIds
                    for label in self._classes()
                }
        return self._ious

    @ious.setter
    def ious(self, value: dict[Any, Any]) -> None:
        self._ious = value

    @property
    def evalImgs(self) -> list[Any]:
        """What was matched in each class, size range and image."""
        if self._eval_images is None:
            with self._as_evaluated() as p:
                self._eval_images = [
                    self.evaluateImg(image, label, area, p.maxDets[-1])
                    for label in self._classes()
                    for area in p.areaRng
                    for image in p.imgIds
                ]
        return self._eval_images

    @evalImgs.setter
    def evalImgs(self, value: Any) -> None:
        self._eval_images, self._are_given = value, True

    # ---- numbers -------------------------------------------------------------------------------

    def accumulate(self, p: Params | None = None) -> None:
        """Add up what was matched, into `eval`."""
        if not self._are_given and self._result is None:
            raise RuntimeError("evaluate() must be called before accumulate()")
        p = self.params if p is None else p
        p.catIds = p.catIds if p.useCats else [-1]
        if self._are_given or not self._is_as_matched(p):
            curves = add_up(self.evalImgs, p, self._paramsEval)
        else:
            curves = self._curves(p)
        counts = [*curves["precision"].shape]
        now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        self.eval = {"params": p, "counts": counts, "date": now, **curves}

    def _is_as_matched(self, p: Params) -> bool:
        """Whether parameters are those of `evaluate`, but for the recalls."""
        of = self._paramsEval
        names = ["imgIds", "iouThrs", "areaRng", "maxDets", *(["catIds"] if p.useCats else [])]
        return bool(p.useCats) == bool(of.useCats) and all(
            np.array_equal(getattr(p, name), getattr(of, name)) for name in names
        )

    def _curves(self, p: Params) -> dict[str, Array]:
        """Precision, recall and scores of the result of fastiou's evaluation."""
        result = self._result
        assert result is not None
        thresholds, recalls = (
            np.unique(values, return_inverse=True) for values in (p.iouThrs, p.recThrs)
        )
        precision, scores, recall = result.precision, result.scores, result.recall
        if not np.array_equal(recalls[0], result.rules.protocol.recalls):
            protocol = replace(result.rules.protocol, recalls=recalls[0])
            weights = np.ones(len(result.image_ids), np.int64)
            precision, scores, recall, _ = accumulate(result.kept, result.starts, protocol, weights)
        # In the order in which they came.
        of_all = np.ix_(thresholds[1].reshape(-1), recalls[1].reshape(-1))
        return {
            "precision": precision[of_all],
            "recall": recall[thresholds[1].reshape(-1)],
            "scores": scores[of_all],
        }

    def summarize(self) -> None:
        """Print the twelve numbers, and put them into `stats`."""
        if not self.eval:
            raise RuntimeError("accumulate() must be called before summarize()")
        most = self.params.maxDets
        if len(most) < 3:
            raise ValueError(f"params.maxDets must be three numbers to be summarized, got {most}")
        wanted = [
            # precision or not, threshold, size range, detections that count
            (True, None, "all", 100), (True, 0.5, "all", most[2]), (True, 0.75, "all", most[2]),
            *((True, None, name, most[2]) for name in ("small", "medium", "large")),
            *((False, None, "all", number) for number in most[:3]),
            *((False, None, name, most[2]) for name in ("small", "medium", "large")),
        ]  # fmt: skip
        self.stats = np.array([self._summarized(*each) for each in wanted])

    def _summarized(
        self, is_precision: bool, threshold: float | None, area: str, most: int
    ) -> float:
        """One of the numbers, which it prints."""
        p = self.params
        values = self.eval["precision" if is_precision else "recall"]
        if threshold is not None:
            values = values[np.asarray(p.iouThrs) == threshold]
        areas = [place for place, name in enumerate(p.areaRngLbl) if name == area]
        limits = [place for place, number in enumerate(p.maxDets) if number == most]
        values = values[..., areas, :][..., limits]
        known = values[values > -1]
        mean = float(np.mean(known)) if known.size else -1.0
        name, short = ("Precision", "(AP)") if is_precision else ("Recall", "(AR)")
        ends = f"{p.iouThrs[0]:0.2f}:{p.iouThrs[-1]:0.2f}"
        at = ends if threshold is None else f"{threshold:0.2f}"
        title = f"Average {name}"
        print(
            f" {title:<18} {short} @[ IoU={at:<9} | area={area:>6s} | maxDets={most:>3d} ] = "
            f"{mean:0.3f}"
        )
        return mean

    def __str__(self) -> str:
        return f"<COCOeval: {self.params.iouType}, {len(self.params.imgIds):,} images>"
