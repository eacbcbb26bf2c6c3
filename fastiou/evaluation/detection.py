"""Average precision and recall of detectors, by the protocols of published benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastiou.arrays.checks import check_choice, true_or_false
from fastiou.arrays.inputs import plain_array
from fastiou.evaluation.detection_details import Details, places_in_images
from fastiou.evaluation.detection_matching import Matched, match_detections
from fastiou.evaluation.detection_options import (
    area_ranges_of,
    class_frequencies_of,
    class_names_of,
    deviations_of,
    max_dets_of,
    sigmas_of,
    thresholds_of,
)
from fastiou.evaluation.detection_pairs import details_of
from fastiou.evaluation.detection_result import DetectionResult, Rules
from fastiou.evaluation.detection_sets import DetectionSet, check_videos, read_detections
from fastiou.evaluation.evaluator import Evaluator
from fastiou.evaluation.federated import are_pardoned, best_of_images, were_looked_for
from fastiou.evaluation.keypoint_sets import keypoints_fault
from fastiou.evaluation.protocols import KEYPOINTS, PROTOCOLS
from fastiou.geometries.masks.mask_set import Masks
from fastiou.geometries.table import FORMATS
from fastiou.runtime import chunks
from fastiou.runtime.distinct import distinct, numbered
from fastiou.runtime.progress import Progress, in_parts, progress_callback
from fastiou.runtime.words import described, sides
from fastiou.typing import Array

__all__ = ["DetectionEvaluator", "average_precision"]

#: What `iou_type` may be, and what is read for it.
KINDS = {"bbox": "boxes", "segm": "masks", "boundary": "masks", "keypoints": "keypoints"}


class DetectionEvaluator(Evaluator):
    """Average precision and recall of a detector, counted up image by image.

    Each `update` matches the detections of some images with their truth, and keeps about 40 bytes a
    detection; boxes and masks are not kept. `compute` adds them up, as often as asked. The result
    is the same, bit for bit, in whatever order images come, and however they are split among
    evaluators that are merged, provided that images have ids.

    Parameters
    ----------
    protocol : {"coco", "lvis", "voc", "voc07", "openimages"}
        The rules: those of COCO's evaluation, as pycocotools has them; of LVIS; of PASCAL VOC from
        2010 on, or at 11 points, as in 2007; or of the challenge of Open Images.
    iou_type : {"bbox", "segm", "boundary", "keypoints"}
        What is compared: boxes; masks; masks and their boundaries, of which a pair scores the
        lesser IoU; or keypoints, by COCO's rules for them, of which a pair scores its similarity
        (OKS).
    fmt
        What the numbers of boxes are, as in `box_iou`, where a table does not tell.
    iou_thresholds : sequence of float, optional
        Least IoU of a match; those of the protocol if not given.
    max_dets : sequence of int, optional
        How many detections of an image and class count, ascending. Precision is told for the last.
    area_ranges : dict, optional
        Least and greatest area of each size range by its name. "all" is added if it is missing.
    class_agnostic : bool
        Whether all classes are one.
    class_names : sequence or dict, optional
        Names of the classes 0, 1, ..., or by their labels. Those that never occur are told, too.
    class_frequencies : dict, optional
        For "lvis": whether each class is rare, common or frequent, "r", "c" or "f", by its label.
    details : bool
        Whether to keep the pairs of each image, whatever their classes, for `matches`,
        `confusion_matrix` and `errors` of the result: 24 bytes for each with an IoU of at least
        0.1, 8 for each detection and 9 for each truth. Not of keypoints.
    sigmas : sequence of float, optional
        How far apart two people mark each keypoint, as a part of the square root of the area;
        those of COCO's 17 keypoints if not given.

    Raises
    ------
    TypeError, ValueError
        An option is not one of those accepted.

    Examples
    --------
    >>> import fastiou
    >>> evaluator = fastiou.DetectionEvaluator()
    >>> preds = [{"boxes": [[0, 0, 4, 4]], "scores": [0.9], "labels": [7]}]
    >>> target = [{"boxes": [[0, 0, 4, 3]], "labels": [7]}]
    >>> evaluator.update(preds, target)
    >>> result = evaluator.compute()
    >>> round(result.as_dict()["AP50"], 6), round(result.as_dict()["AP"], 6)
    (1.0, 0.6)
    """

    _free_options = frozenset({"fmt", "class_names"})

    def __init__(
        self,
        protocol: str = "coco",
        *,
        iou_type: str = "bbox",
        fmt: str = "xyxy",
        iou_thresholds: Any = None,
        max_dets: Any = None,
        area_ranges: Mapping[str, Sequence[float]] | None = None,
        class_agnostic: bool = False,
        class_names: Any = None,
        class_frequencies: Mapping[int | str, str] | None = None,
        details: bool = False,
        sigmas: Any = None,
    ) -> None:
        check_choice("protocol", protocol, PROTOCOLS)
        check_choice("iou_type", iou_type, KINDS)
        if iou_type == "keypoints":
            if protocol != "coco":
                raise ValueError(f"keypoints need protocol='coco', got {described(protocol)}")
            if details:
                raise ValueError(
                    "details are of boxes and masks: mistakes of keypoints are not told"
                )
        check_choice("fmt", fmt, FORMATS["xyxy"].formats)
        usual = KEYPOINTS if iou_type == "keypoints" else PROTOCOLS[protocol]
        #: What is compared.
        self.iou_type = iou_type
        self._kind = KINDS[iou_type]
        self._fmt = fmt
        self._class_agnostic = true_or_false("class_agnostic", class_agnostic)
        self._names = class_names_of(class_names)
        self._are_listed = not isinstance(class_names, Mapping)
        self._details = true_or_false("details", details)
        self._frequencies = class_frequencies_of(class_frequencies)
        self._protocol = replace(
            usual,
            thresholds=thresholds_of(iou_thresholds, usual.thresholds),
            max_dets=max_dets_of(max_dets, usual.max_dets),
            areas=area_ranges_of(area_ranges, usual.areas),
            sigmas=sigmas_of(sigmas, usual.sigmas),
        )
        #: How far apart two people mark each keypoint; empty where no keypoints are compared.
        self.sigmas = self._protocol.sigmas
        self._of_options = deviations_of(usual, self._protocol)
        self.reset()

    def reset(self) -> None:
        """Forget all that was counted so far; the options stay."""
        self._deviations = dict(self._of_options)
        self._images: dict[int | str, int] = {}
        self._labels: dict[int | str, int] = {}
        self._parts: list[Matched] = []
        self._are_numbered = False

    def __repr__(self) -> str:
        count = sum(map(len, self._parts))
        return (
            f"<DetectionEvaluator: {self._protocol.name}, {len(self._images):,} images, "
            f"{count:,} detections>"
        )

    def update(self, preds: Any, target: Any, *, progress: bool | Progress = False) -> None:
        """Match the detections of some images with their truth.

        Parameters
        ----------
        preds : dict, BoxTable, data frame, or list of dict
            Columns "boxes" (N, 4), "masks", or "keypoints" (N, K, 3); "scores", "labels" and
            "image_ids"; or a dict of the first three for each image, with "image_id" or, in all,
            without: such images are counted. Arrays of any library. Keypoints have the areas of
            "boxes", if there are any, and else those of the boxes around them.
        target : the same
            The truth, without scores. It may have "iscrowd", "ignore" and "area". Areas that are
            missing are those of the boxes or masks. Keypoints, whose third number is above 0 where
            they are labelled, need "area" or "boxes", and boxes where none is labelled; they may
            have "num_keypoints", and are ignored where it is 0.
        progress : bool or callable
            Whether to show how far it has come, or what to call with work done and in all.

        Raises
        ------
        TypeError, ValueError
            A column is missing, or has another type or shape; an image was there before.
        """
        seen = len(self._images)
        check_videos(preds, target)
        both = (
            read_detections("preds", preds, self._kind, self._fmt, scored=True, next_image=seen),
            read_detections("target", target, self._kind, self._fmt, scored=False, next_image=seen),
        )
        if not any(len(each.listed) for each in both):
            return
        both = _paired(*both)
        self._check_images(*both)
        report, finish = progress_callback(progress)
        try:
            with self._unchanged_on_errors():
                self.add(*both, report=report)
        finally:
            finish()

    def add(
        self,
        preds: DetectionSet,
        target: DetectionSet,
        notes: Mapping[str, str] | None = None,
        report: Progress | None = None,
    ) -> None:
        """Match sets that were read and checked, with notes on what departs from the protocol."""
        listed = [each.listed for each in (preds, target) if each.listed is not each.images]
        more = [target.absent, target.unfinished]
        image_columns = [preds.images, target.images, *listed, *(pair[0] for pair in more)]
        label_columns = [preds.labels, target.labels, *(pair[1] for pair in more)]
        _check_kinds("image", self._images, image_columns)
        _check_kinds("label", self._labels, label_columns)
        images = _numbers(self._images, image_columns)
        labels = _numbers(self._labels, label_columns)
        self._are_numbered = preds.numbered
        self._deviations = self._deviations | dict(notes or {})
        if self._class_agnostic:  # of equal scores, those of the lower class come first
            places = _ranked(self._labels)[1]
            labels = [places[own] for own in labels]
        pardoned = np.zeros(len(preds), np.bool_)
        in_images = [places_in_images(own) for own in images[:2]] if self._details else []
        if self._protocol.federated:
            absent, unfinished = zip(images[-2:], labels[-2:], strict=True)
            assert preds.scores is not None
            kept = were_looked_for((images[0], labels[0]), (images[1], labels[1]), absent)
            if self._protocol.per_image is not None:
                kept &= best_of_images(images[0], preds.scores, self._protocol.per_image)
            kept = np.flatnonzero(kept)
            preds, images[0], labels[0] = preds.chosen(kept), images[0][kept], labels[0][kept]
            in_images[:1] = [own[kept] for own in in_images[:1]]
            pardoned = are_pardoned((images[0], labels[0]), unfinished)
        _check_sizes(preds, target, images)
        for each in (preds, target):
            fault = keypoints_fault(each.keypoints, self.sigmas)
            if fault is not None:
                raise ValueError(f"{each.name} must have {fault[1]}, got {fault[0]}")
        if self.iou_type == "boundary" and (preds.padded or target.padded):
            raise ValueError(
                "iou_type='boundary' needs the size of each image, which a table of masks does not "
                "tell: pass files to evaluate_coco, or a list of a dict for each image"
            )
        if np.isnan(target.areas).any() and len(self._protocol.areas) > 1:
            members = "masks" if self._kind == "masks" else "boxes"
            self._deviations["areas"] = "areas that the truth lacks are those of its " + members
        numbers = (images[0], images[1], len(self._images))
        classes = (labels[0], labels[1], len(self._labels))
        rules: Any = {
            "class_agnostic": self._class_agnostic, "by_boundary": self.iou_type == "boundary",
        }  # fmt: skip
        part = match_detections(
            preds, target, numbers, classes, self._protocol, pardoned, report=report, **rules
        )
        if self._details:
            details = details_of(
                preds,
                target,
                numbers,
                classes,
                (in_images[0], in_images[1]),
                self._protocol,
                **rules,
            )
            part = replace(part, details=details)
        self._parts.append(part)

    def compute(self, progress: bool | Progress = False) -> DetectionResult:
        """Add up what was counted so far.

        Parameters
        ----------
        progress : bool or callable
            Whether to show how far it has come, or what to call with work done and in all.

        Returns
        -------
        DetectionResult
        """
        report, finish = progress_callback(progress)
        joined = self._joined()
        images = _ranked(self._images)
        labels: dict[int | str, int] = dict(self._labels)
        names = self._names
        are_names = isinstance(next(iter(labels), 0), str)
        if names is not None and self._are_listed and are_names:
            names = {name: name for name in names.values()}
        if names and labels and isinstance(next(iter(names)), str) != are_names:
            raise ValueError(
                "class_names must be by label, as labels are: numbers, or names; got "
                f"{described(next(iter(names)))} for {described(next(iter(labels)))}"
            )
        for label in names or ():
            labels.setdefault(label, len(labels))
        if self._class_agnostic:
            labels = {0: 0}
        order = _ranked(labels)
        renumbered = joined.renumbered(images[1], order[1])
        rules = Rules(self._protocol, self.iou_type, dict(self._deviations), self._frequencies)
        shown = {} if self._class_agnostic else names or {}
        try:
            return DetectionResult.of(renumbered, rules, images[0], order[0], shown, report)
        finally:
            finish()

    # ---- parts ---------------------------------------------------------------------------------

    def _joined(self) -> Matched:
        """All that was matched so far."""
        empty = Matched.empty(0, 0, self._protocol)
        if self._details:
            empty = replace(empty, details=Details.empty())
        return Matched.joined(self._parts or [empty])

    def _options(self) -> dict[str, Any]:
        protocol, names = self._protocol, self._names
        told: Any = names
        if names is not None:
            told = list(names.values()) if self._are_listed else list(names.items())
        return {
            "protocol": protocol.name, "iou_type": self.iou_type, "fmt": self._fmt,
            "iou_thresholds": protocol.thresholds.tolist(),
            "max_dets": protocol.max_dets or None,
            "area_ranges": {name: list(map(float, ends)) for name, ends in protocol.areas.items()},
            "class_agnostic": self._class_agnostic, "class_names": told,
            "class_frequencies": sorted(self._frequencies.items(), key=str),
            "details": self._details, "sigmas": protocol.sigmas or None,
        }  # fmt: skip

    @classmethod
    def _made_of(cls, options: dict[str, Any]) -> DetectionEvaluator:
        pairs = options["class_names"]
        if pairs and isinstance(pairs[0], list):
            options = {**options, "class_names": dict(pairs)}
        return cls(**{**options, "class_frequencies": dict(options["class_frequencies"])})

    def _counted(self) -> dict[str, Array]:
        joined = self._joined()
        lines = [f"{key}: {text}" for key, text in self._deviations.items()]
        return {
            "detections": joined.detections.copy(),
            "truth": joined.truth.copy(),
            "image_ids": _listed(self._images),
            "label_values": _listed(self._labels),
            "are_numbered": np.array(self._are_numbered),
            "deviations": np.array(lines, str),
            **(joined.details.state() if joined.details is not None else {}),
        }

    def _check_images(self, preds: DetectionSet, target: DetectionSet) -> None:
        """Refuse images that were there before, and those of a list that do not fit together."""
        both = preds, target
        if preds.numbered and len(preds.listed) != len(target.listed):
            raise ValueError(
                f"preds and target must have a dict for each image, got {len(preds.listed)} and "
                f"{len(target.listed)}"
            )
        if self._images and preds.numbered != self._are_numbered:
            raise ValueError(
                "images must be named by image_ids in all updates, or in none: "
                + ("they were not before" if self._are_numbered else "they were before")
            )
        for each in both if self._images or preds.numbered else ():
            known, _ = numbered(each.listed)
            twice = [image for image in known.tolist() if image in self._images]
            if twice:
                raise ValueError(f"image {described(twice[0])} was in an update before")
            if len(known) < len(each.listed) and each.listed is not each.images:
                values, counts = np.unique(each.listed, return_counts=True)
                image = values[counts > 1][0]
                raise ValueError(f"{each.name} has image {described(image.item())} twice")

    def _check_state(self, name: str, state: Mapping[str, Any]) -> None:
        """Refuse a state that was damaged."""
        usual = Matched.empty(0, 0, self._protocol)
        sizes = {"image": "image_ids", "label": "label_values"}
        for part in ("detections", "truth"):
            rows = state[part]
            if not isinstance(rows, np.ndarray) or rows.dtype != getattr(usual, part).dtype:
                raise ValueError(f"{name}[{part!r}] is not what state() gives: {described(rows)}")
            for column, values in sizes.items():
                known = 1 if column == "label" and self._class_agnostic else len(state[values])
                numbers = rows[column]
                if len(numbers) and not 0 <= numbers.min() <= numbers.max() < known:
                    raise ValueError(f"{name}[{part!r}] has a wrong number of {column}")
        detections = state["detections"]
        if not np.isfinite(detections["score"]).all() or (detections["rank"] < 0).any():
            raise ValueError(f"{name}['detections'] has a score or a rank that cannot be")
        for values in sizes.values():
            if len(distinct(np.asarray(state[values]))) < len(state[values]):
                raise ValueError(f"{name}[{values!r}] has a value twice")

    def _take_in(self, name: str, state: Mapping[str, Any]) -> None:
        self._check_state(name, state)
        images = plain_array(name, state["image_ids"]).tolist()
        are_numbered = bool(state["are_numbered"])
        if self._images and images and are_numbered != self._are_numbered:
            raise ValueError(f"{name} must name its images, as the others do, or not, as they")
        if are_numbered:
            images = [image + len(self._images) for image in images]
        twice = next((image for image in images if image in self._images), None)
        if twice is not None:
            raise ValueError(f"{name} has image {described(twice)}, which is here, too")
        if images:
            self._are_numbered = are_numbered
        parts = [
            ("image", self._images, _array_of(images)),
            ("label", self._labels, plain_array(name, state["label_values"])),
        ]
        for what, known, values in parts:
            _check_kinds(what, known, [values])
        image_codes, label_codes = (_numbers(known, [values])[0] for _, known, values in parts)
        if self._class_agnostic:
            label_codes = np.zeros(max(len(label_codes), 1), np.int32)
        details = Details.of_state(state) if self._details else None
        theirs = Matched(state["detections"].copy(), state["truth"].copy(), details)
        self._parts.append(theirs.renumbered(image_codes, label_codes))
        lines = (line.partition(": ") for line in np.asarray(state["deviations"]).tolist())
        self._deviations = {key: text for key, _, text in lines} | self._deviations


def average_precision(
    preds: Any, target: Any, *, progress: bool | Progress = False, **options: Any
) -> DetectionResult:
    """Average precision and recall of detections.

    Parameters
    ----------
    preds, target
        As `DetectionEvaluator.update` takes them.
    progress : bool or callable
        Whether to show how far it has come, or what to call with work done and in all.
    **options
        As `DetectionEvaluator` takes them.

    Returns
    -------
    DetectionResult

    Raises
    ------
    TypeError, ValueError
        As these two.

    Examples
    --------
    >>> import fastiou
    >>> preds = {"boxes": [[0, 0, 4, 4]], "scores": [0.9], "labels": [1], "image_ids": [5]}
    >>> target = {"boxes": [[0, 0, 4, 4], [5, 5, 9, 9]], "labels": [1, 1], "image_ids": [5, 5]}
    >>> fastiou.average_precision(preds, target)
    <DetectionResult: AP 0.505, AP50 0.505, AP75 0.505; 1 image, 1 class>
    """
    evaluator = DetectionEvaluator(**options)
    report, finish = progress_callback(progress)
    matching, adding = in_parts(report, 2)
    try:
        evaluator.update(preds, target, progress=matching or False)
        return evaluator.compute(adding or False)
    finally:
        finish()


def _paired(preds: DetectionSet, target: DetectionSet) -> tuple[DetectionSet, DetectionSet]:
    """Both sets, with the names of images in both where one of two lists has them."""
    if preds.numbered == target.numbered:
        return preds, target
    lists = [each for each in (preds, target) if each.numbered]
    other = target if lists[0] is preds else preds
    if other.listed is other.images or len(other.listed) != len(lists[0].listed):
        raise ValueError(f"{lists[0].name} must have an image_id in each dict, as {other.name} has")
    places = np.searchsorted(lists[0].listed, lists[0].images)
    named = replace(
        lists[0], images=other.listed[places], listed=other.listed, numbered=False
    )  # fmt: skip
    return (named, target) if lists[0] is preds else (preds, named)


def _check_kinds(what: str, known: Mapping[int | str, int], columns: Sequence[Array]) -> None:
    """Refuse numbers beside names."""
    kinds = {column.dtype.kind == "U" for column in columns if len(column)}
    kinds |= {isinstance(value, str) for value in list(known)[:1]}
    if len(kinds) > 1:
        raise TypeError(f"{what}s must all be numbers, or all names, got both")


def _check_sizes(preds: DetectionSet, target: DetectionSet, images: Sequence[Array]) -> None:
    """Refuse masks of one image that have two sizes."""
    if preds.image_sizes is None or target.image_sizes is None:
        both = (preds, target)
        given = [each.masks for each in both if isinstance(each.masks, Masks) and not each.padded]
        if len(given) == 2 and given[0].shape[1:] != given[1].shape[1:] and len(target):
            raise ValueError(
                f"masks must have one size, got {sides(given[0].shape[1:])} in preds and "
                f"{sides(given[1].shape[1:])} in target; masks of images of several sizes are a "
                "list of a dict for each image"
            )
        return
    known = np.zeros((1 + max(int(own.max(initial=0)) for own in images[:2]), 2), np.int64)
    known[images[1]] = target.image_sizes
    theirs = known[images[0]]
    wrong = (theirs[:, 0] > 0) & (theirs != preds.image_sizes).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"masks of image {described(preds.images[row].item())} must have one size, got "
            f"{sides(tuple(preds.image_sizes[row].tolist()))} in preds and "
            f"{sides(tuple(theirs[row].tolist()))} in target"
        )


def _numbers(known: dict[int | str, int], columns: Sequence[Array]) -> list[Array]:
    """Values of columns as numbers, the same for equal ones in all updates."""
    numbers = []
    for column in columns:
        values, places = numbered(column)
        codes = [known.setdefault(value, len(known)) for value in values.tolist()]
        numbers.append(chunks.taken(np.array(codes, np.int32), places))
    return numbers


def _array_of(values: Sequence[int | str]) -> Array:
    return np.array(values) if values else np.empty(0, np.int64)


def _listed(known: Mapping[int | str, int]) -> Array:
    """Values in the order of their numbers."""
    return _array_of(list(known))


def _ranked(known: Mapping[int | str, int]) -> tuple[Array, Array]:
    """Values in ascending order, and the place there of each number."""
    values = _listed(known)
    order = np.argsort(values, kind="stable")
    places = np.empty(len(values), np.int32)
    places[order] = np.arange(len(values))
    return values[order], places
