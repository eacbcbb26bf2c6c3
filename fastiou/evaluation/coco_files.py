"""COCO's files, or what `json.loads` makes of them, as sets of detections and truth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.arrays.inputs import real_input
from fastiou.evaluation.coco_names import by_truth, check_names
from fastiou.evaluation.detection import KINDS, DetectionEvaluator
from fastiou.evaluation.detection_result import DetectionResult
from fastiou.evaluation.detection_sets import FEDERATED, DetectionSet, FileMasks, box_areas
from fastiou.evaluation.keypoint_sets import (
    extents,
    keypoints_fault,
    labelled_counts,
    lacking_box,
)
from fastiou.evaluation.protocols import FREQUENCIES
from fastiou.formats.coco import REMEDY
from fastiou.formats.coco_columns import CocoColumns, Skipping, coco_columns, columns_of_content
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.suspicions import are_rather_corners
from fastiou.relations.pairs import pairs
from fastiou.runtime import chunks
from fastiou.runtime.distinct import distinct
from fastiou.runtime.progress import Progress, in_parts, progress_callback
from fastiou.runtime.words import described
from fastiou.tables.grouping import FROM_ZERO
from fastiou.tables.scales import Scale, scales_apart
from fastiou.tables.words import in_python
from fastiou.typing import Array

__all__ = ["coco_columns_of", "coco_sets", "evaluate_coco", "evaluate_coco_files", "rather_corners"]

#: Boxes that are looked at together.
FEW = 1 << 12

#: Columns of an array of results: image, left, top, width, height, score, class.
RESULT_COLUMNS = 7


def evaluate_coco(
    gt: Any,
    dt: Any,
    *,
    progress: bool | Progress = False,
    skip_invalid: bool = False,
    **options: Any,
) -> DetectionResult:
    """Evaluate results of a detector against COCO's truth, from files.

    Parameters
    ----------
    gt : path or dict
        The truth: a file of COCO's JSON, compressed by gzip or not, or what `json.load` makes of
        it.
    dt : path, list of dict, or array of shape (N, 7)
        The results: a file, or what `json.load` makes of it, or rows of image, left, top, width,
        height, score and class.
    progress : bool or callable
        Whether to show how far it has come once the files are read, or what to call with work done
        and in all.
    skip_invalid : bool
        Whether to leave out annotations and results that are invalid: with a box or a mask that is
        none, say. The `deviations` of the result tell how many, and its `matches` have places among
        those that are left.
    **options
        As `DetectionEvaluator` takes them, but `fmt` and `class_names`, which files tell.

    Returns
    -------
    DetectionResult
        The numbers of pycocotools, to the last bit.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    TypeError, ValueError
        A file is broken, or lacks what is needed; results are of images that the truth does not
        list, or of none of its categories.

    Examples
    --------
    >>> import fastiou
    >>> box = {"image_id": 1, "category_id": 3, "bbox": [10, 20, 30, 40]}
    >>> gt = {
    ...     "images": [{"id": 1}],
    ...     "categories": [{"id": 3, "name": "boat"}],
    ...     "annotations": [{**box, "id": 1, "area": 1200, "iscrowd": 0}],
    ... }
    >>> result = fastiou.evaluate_coco(gt, [{**box, "score": 0.8}])
    >>> print(result.summary().splitlines()[0])
    AP     IoU 0.50:0.95  area all     max 100  1.000
    """
    for path in (gt, dt):
        if isinstance(path, str | os.PathLike) and not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such file")
    try:
        return evaluate_coco_files(gt, dt, progress=progress, skip_invalid=skip_invalid, **options)
    except (FileError, RefusedError) as error:
        raise ValueError(in_python(str(error))) from None


def evaluate_coco_files(
    gt: Any,
    dt: Any,
    *,
    progress: bool | Progress = False,
    skip_invalid: bool = False,
    **options: Any,
) -> DetectionResult:
    """What `evaluate_coco` does, with the errors of files."""
    report, finish = progress_callback(progress)
    for name in ("fmt", "class_names"):
        if name in options:
            raise TypeError(f"{name} is told by the files, and cannot be given")
    asked = DetectionEvaluator(**options)
    kind = KINDS[asked.iou_type]
    truth, found = coco_columns_of(gt, dt, kind, skip_invalid, REMEDY)
    found, told = by_truth(truth, found, dt)
    preds, target, names, notes = coco_sets(truth, found, kind)
    notes |= told
    # Not in `coco_sets`: COCOeval of `fastiou.compat` takes it, and scores such results.
    check_names(truth, found)
    if len(preds.labels) and len(target.labels) and not _meet(preds, target):
        notes["images and categories"] = (
            "no result has the image and the category of a truth, taken together: are the "
            "categories counted from another number?"
        )
    if preds.boxes is not None and target.boxes is not None:
        _check_boxes(truth, found, preds, target, notes)
    for columns in (truth, found):
        if columns.skipped is not None:
            notes[f"invalid in {columns.path}"] = f"{columns.path}: {columns.skipped.described()}"
        fault = keypoints_fault(columns.keypoints, asked.sigmas)
        if fault is not None:
            raise FileError(columns.path, *fault)
    if options.get("protocol") == "lvis":
        target, options["class_frequencies"] = _federated(target, truth)
    evaluator = DetectionEvaluator(**options, class_names=names)
    matching, adding = in_parts(report, 2)
    try:
        evaluator.add(preds, target, notes, matching)
        return evaluator.compute(adding or False)
    finally:
        finish()


def coco_columns_of(
    gt: Any, dt: Any, kind: str, skip_invalid: bool = False, remedy: str = ""
) -> tuple[CocoColumns, CocoColumns]:
    """The truth and the results, as `evaluate_coco` takes them, for one of `KINDS`.

    `remedy` ends what is said of an entry that is invalid.
    """
    are_masks = kind == "masks"
    needed = ["image_id", "category_id"]
    own = [{"boxes": "bbox", "masks": "segmentation"}.get(kind, kind)]
    told, asked = ["area", "iscrowd", "ignore", "id"], ["bbox", "segmentation"]
    of_found = [*needed, "score"]
    if kind == "keypoints":
        told, of_found = ["area", "iscrowd", "id", "bbox", "num_keypoints"], [*of_found, *own]
    if skip_invalid:
        boxes = ("bbox",)
        are_boxes = kind == "boxes"
        truth = _columns(
            "gt", gt, [*needed, *own], told,
            Skipping(are_masks, None, boxes if are_boxes else (), are_boxes),
        )  # fmt: skip
        sizes = truth.image_sizes.tolist()
        images = [] if truth.image_ids is None else truth.image_ids.tolist()
        known = {
            image: (height, width) if height >= 0 else None
            for image, (height, width) in zip(images, sizes, strict=True)
        }
        measures = boxes if are_masks else (*boxes, "segmentation")
        skipping = Skipping(are_masks, known, measures, are_boxes)
        of_found += own if are_masks else []
        return truth, _columns("dt", dt, of_found, asked, skipping)
    # Results of masks may be scored as boxes, and those of masks have the areas of their boxes.
    # They are read first, since the compiled parser then serves a small file of truth, too.
    found = _columns("dt", dt, of_found, asked, None, remedy)
    return _columns("gt", gt, [*needed, *own], told, None, remedy), found


def coco_sets(
    truth: CocoColumns, found: CocoColumns, kind: str
) -> tuple[DetectionSet, DetectionSet, dict[Any, str], dict[str, str]]:
    """Both sets, the names of the classes, and what departs from the protocol.

    Parameters
    ----------
    truth, found
        The columns of both.
    kind
        "boxes", "masks" or "keypoints".
    """
    notes: dict[str, str] = {}
    images = truth.image_ids if truth.image_ids is not None else distinct(truth.image_id)
    labels = truth.category_ids if truth.category_ids is not None else distinct(truth.category_id)
    _check_images(truth, found, images)
    kept = _of_listed(truth, "truth", images, labels, notes)
    found_kept = _of_listed(found, "results", images, labels, notes)
    if len(found) and not len(found_kept) and len(labels):
        raise FileError(
            found.path,
            f"no result has a category that {truth.path} lists: "
            f"{described(found.category_id[0].item())} against {described(labels[0].item())}",
        )
    _note_ids(truth, notes)
    target = _set("target", truth, kept, images, kind, truth)
    preds = _set("preds", found, found_kept, images, kind, truth)
    names = dict(zip(labels.tolist(), truth.category_names or map(str, labels), strict=True))
    return preds, target, names, notes


def _federated(target: DetectionSet, truth: CocoColumns) -> tuple[DetectionSet, dict[Any, str]]:
    """The truth with what LVIS tells of images, and how frequent each class is."""
    lists: dict[str, tuple[list[Any], list[Any]]] = {name: ([], []) for name in FEDERATED}
    kind = str if target.labels.dtype.kind == "U" else int
    for index, image in enumerate(truth.listed("images") or ()):
        for name, (images, labels) in lists.items():
            if not isinstance(image.get(name), list):
                raise FileError(
                    truth.path, f'no "{name}"', "a list in every image, as LVIS has",
                    f"images[{index}]",
                )  # fmt: skip
            wrong = next((label for label in image[name] if type(label) is not kind), None)
            if wrong is not None or (image[name] and _largest(image[name]) >= 2**63):
                raise FileError(
                    truth.path, f'"{name}": {described(image[name])}', "ids of categories",
                    f"images[{index}]",
                )  # fmt: skip
            images += len(image[name]) * [image["id"]]
            labels += image[name]
    absent, unfinished = (
        (np.array(images, target.images.dtype), np.array(labels, target.labels.dtype))
        for images, labels in lists.values()
    )
    frequencies: dict[Any, str] = {}
    for index, entry in enumerate(truth.listed("categories") or ()):
        if "frequency" in entry:
            frequencies[entry["id"]] = entry["frequency"]
            if entry["frequency"] not in FREQUENCIES:
                raise FileError(
                    truth.path, f'"frequency": {described(entry["frequency"])}',
                    f"one of {', '.join(FREQUENCIES)}", f"categories[{index}]",
                )  # fmt: skip
    return replace(target, absent=absent, unfinished=unfinished), frequencies


def _largest(labels: Sequence[Any]) -> int:
    """The largest of numbers, without their signs; 0 of names."""
    return max((abs(label) for label in labels if type(label) is int), default=0)


def _columns(
    name: str,
    value: Any,
    needed: Sequence[str],
    optional: Sequence[str],
    skipping: Skipping | None,
    remedy: str = "",
) -> CocoColumns:
    """A file, or its content, as columns."""
    how = needed, optional, skipping, remedy
    if isinstance(value, str | os.PathLike):
        return coco_columns(Path(value), *how)
    if isinstance(value, Mapping | list) and (not isinstance(value, list) or _are_dicts(value)):
        if skipping is None:
            with suppress(FileError, TypeError, ValueError):
                return columns_of_content(Path(name), value, *how)
        # Programs put NumPy's numbers and arrays where JSON has its own.
        return columns_of_content(Path(name), _plain_value(value), *how)
    array = real_input(name, value).array
    are_boxes = "score" in needed and "keypoints" not in needed
    if array.ndim != 2 or array.shape[1] != RESULT_COLUMNS or not are_boxes:
        expected = "a path or a dict, as json.load makes it"
        if "score" in needed:
            expected = "a path or a list of dicts"
        if are_boxes:
            expected = "a path, a list of dicts, or an array (N, 7) of results"
        raise TypeError(f"{name} must be {expected}, got {described(value)}")
    wide = array.astype(np.float64)
    finite = np.isfinite(wide).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise ValueError(f"{name} must be finite, got {wide[row].tolist()} in row {row}")
    keys = wide[:, [0, 6]]
    if (np.trunc(keys) != keys).any():
        raise ValueError(f"{name} must hold whole numbers in its first and last column")
    count = len(wide)
    images, labels = (np.ascontiguousarray(keys[:, i]).astype(np.int64) for i in range(2))
    nothing, none = np.full(count, np.nan), np.zeros(count, np.bool_)
    return CocoColumns(
        path=Path(name), label="", count=count, image_id=images, category_id=labels,
        id=np.zeros(count, np.int64), bbox=np.ascontiguousarray(wide[:, 1:5]),
        score=np.ascontiguousarray(wide[:, 5]), area=nothing, iscrowd=none, ignore=none,
        segmentation=None, present={"segmentation": none},
    )  # fmt: skip


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain_value(part) for key, part in value.items()}
    return [_plain_value(part) for part in value] if isinstance(value, list | tuple) else value


def _are_dicts(value: list[Any]) -> bool:
    return not value or isinstance(value[0], Mapping)


def _check_images(truth: CocoColumns, found: CocoColumns, images: Array) -> None:
    """Refuse results of images that the truth does not have."""
    if not len(found):
        return
    if len(images) and found.image_id.dtype.kind != images.dtype.kind:
        raise FileError(
            found.path,
            f"images are {_kind(found.image_id)}, and {_kind(images)} in {truth.path}: "
            f"{described(found.image_id[0].item())} against {described(images[0].item())}",
            "ids of its images, or their file_name",
        )
    unknown = ~np.isin(found.image_id, images)
    if unknown.any():
        index = int(unknown.argmax())
        raise FileError(
            found.path,
            f"image_id {described(found.image_id[index].item())} of {int(unknown.sum()):,} of "
            f"{len(found):,} results is not in {truth.path}",
            f"one of its {len(images):,} images"
            + (f", such as {described(images[0].item())}" if len(images) else "")
            + (f"; {FROM_ZERO}" if 0 in found.image_id[unknown] else ""),
            found.where(index),
        )


def _meet(preds: DetectionSet, target: DetectionSet) -> bool:
    """Whether a detection has the image and the class of a truth: one of the first does, mostly."""
    wanted = {*zip(target.images.tolist(), target.labels.tolist(), strict=True)}
    return any(
        pair in wanted
        for start in range(0, len(preds.labels), FEW)
        for pair in zip(*(own[start : start + FEW].tolist()
                          for own in (preds.images, preds.labels)), strict=True)
    )  # fmt: skip


def _check_boxes(
    truth: CocoColumns,
    found: CocoColumns,
    preds: DetectionSet,
    target: DetectionSet,
    notes: dict[str, str],
) -> None:
    """Refuse parts of the image against pixels, and tell of boxes that can match nothing."""
    boxes, others = np.asarray(preds.boxes), np.asarray(target.boxes)
    scales = Scale(boxes, "xywh"), Scale(others, "xywh")
    names = found.path.name, truth.path.name
    apart = scales_apart(
        *scales, names, "fastiou convert with --image-size makes pixels of those of YOLO"
    )
    if apart is not None and apart[1] < 0.5:
        raise FileError(found.path, apart[0])
    inverted = (boxes[:, 2] < 0) | (boxes[:, 3] < 0)
    if inverted.any():
        notes["sizes of results"] = (
            f"a negative width or height, which matches nothing: {int(inverted.sum()):,} of "
            f"{len(boxes):,} results"
        )
    if _in_order(others) and are_rather_corners(others, _sizes_of_images(truth, target.images)):
        notes["boxes of truth"] = (
            "those of the truth reach out of their images as x, y, width, height, as COCO has "
            "them, and as corners none does"
        )
    told = rather_corners(boxes, others, (preds.images, target.images))
    if told:
        notes["boxes of results"] = told


def rather_corners(boxes: Array, others: Array, groups: Any) -> str:
    """What is said of COCO's boxes that meet others as corners alone; "" if that is not so.

    Parameters
    ----------
    boxes, others
        Left, top, width and height as they were read, (N, 4) and (M, 4).
    groups
        Of both, as `pairs` takes them.
    """
    if not _in_order(boxes):  # few files of COCO are, so boxes are rarely looked at twice
        return ""
    ends, truths = (np.hstack([own[:, :2], own[:, :2] + own[:, 2:]]) for own in (boxes, others))
    as_read, as_corners = (len(pairs(own, truths, 0.5, groups=groups)) for own in (ends, boxes))
    if as_read or not as_corners:
        return ""
    return (
        "none overlaps a truth by half; as corners x1, y1, x2, y2, which COCO does not have, "
        f"{as_corners:,} do"
    )


def _in_order(boxes: Array) -> bool:
    """Whether boxes end behind their beginning as corners: mostly the first few are not."""
    parts = (boxes[own] for own in chunks.slices(len(boxes), FEW))
    return len(boxes) > 0 and all((part[:, 2:] > part[:, :2]).all() for part in parts)


def _sizes_of_images(truth: CocoColumns, images: Array) -> Array:
    """Width and height of images, all of which the truth has, as far as its list tells them."""
    if truth.image_ids is None:
        return np.full((len(images), 2), np.nan)
    order = np.argsort(truth.image_ids)
    places = order[np.searchsorted(truth.image_ids, images, sorter=order)]
    return np.where(truth.image_sizes[places] > 0, truth.image_sizes[places], np.nan)[:, ::-1]


def _kind(column: Array) -> str:
    return "names" if column.dtype.kind == "U" else "numbers"


def _of_listed(
    columns: CocoColumns, what: str, images: Array, labels: Array, notes: dict[str, str]
) -> Array:
    """The entries whose image and category are listed; COCO leaves out all others."""
    kept = np.ones(len(columns), np.bool_)
    if what == "truth":  # results in other images were refused
        kept = np.isin(columns.image_id, images)
    if not kept.all():
        notes[f"images of {what}"] = (
            f"{int((~kept).sum()):,} entries of the {what} are in images that are not listed, and "
            "left out, as in pycocotools"
        )
    if columns.category_id.dtype.kind != labels.dtype.kind:
        return np.empty(0, np.int64)
    known = np.isin(columns.category_id, labels)
    if not known.all():
        first = columns.category_id[int((~known).argmax())].item()
        notes[f"categories of {what}"] = (
            f"{int((~known).sum()):,} entries of the {what} are of categories that are not listed, "
            f"such as {described(first)}, and left out, as in pycocotools"
            + (f": {FROM_ZERO}" if 0 in columns.category_id[~known] else "")
        )
    return np.flatnonzero(kept & known)


def _note_ids(truth: CocoColumns, notes: dict[str, str]) -> None:
    """Tell where ids make pycocotools lose or change annotations."""
    ids = truth.id[truth.has("id")]
    if ids.dtype.kind in "iu" and (ids == 0).any():
        notes["id 0"] = "an annotation has the id 0: pycocotools loses its match, which counts here"
    if len(ids) > len(distinct(ids)):
        notes["ids"] = (
            "annotations have the same id: pycocotools takes the last for all of them, and here "
            "each counts"
        )


def _set(
    name: str, columns: CocoColumns, kept: Array, images: Array, kind: str, truth: CocoColumns
) -> DetectionSet:
    """The entries that are scored."""
    is_found = name == "preds"
    boxes, masks = columns.bbox, None
    areas = box_areas(boxes) if is_found else columns.area
    # As pycocotools: what the first result has, all have.
    has_boxes = not is_found or bool(columns.has("bbox")[:1].all())
    has_masks = columns.segmentation is not None and bool(columns.has("segmentation")[:1].all())
    is_told = has_boxes or has_masks or kind == "keypoints"
    if is_found and len(columns):
        if kind == "masks" and not has_masks:
            raise FileError(columns.path, 'no "segmentation"', "masks in results", columns.where(0))
        if not is_told:
            raise FileError(
                columns.path, 'no "bbox"', "boxes or masks in results", columns.where(0)
            )
    if (kind == "masks" or not has_boxes) and has_masks:
        masks = _masks(columns, kept, truth)
        if is_found and not has_boxes:
            areas = np.full(len(columns), np.nan)
            areas[kept] = masks.area
        if kind == "boxes":
            boxes = np.full((len(columns), 4), np.nan)
            corners = masks.boxes.astype(np.float64)
            boxes[kept] = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
            masks = None
    whole = DetectionSet(
        name, boxes if kind == "boxes" else None, None, columns.image_id, columns.category_id,
        columns.score if is_found else None, areas, columns.iscrowd, columns.ignore, images,
    )  # fmt: skip
    if kind == "keypoints":
        whole = _with_keypoints(whole, columns, are_measured=has_boxes or has_masks)
    chosen = whole if len(kept) == len(columns) else whole.chosen(kept)
    needed = chosen.boxes if kind == "boxes" else chosen.areas[:, None] if is_found else None
    lacking = np.isnan(np.zeros(0) if needed is None else needed)
    if lacking.any():
        raise columns.lacks(int(kept[int(lacking.any(axis=1).argmax())]), "bbox")
    return chosen if kind == "keypoints" else replace(chosen, masks=masks)


def _with_keypoints(
    whole: DetectionSet, columns: CocoColumns, *, are_measured: bool
) -> DetectionSet:
    """A set with its keypoints, those of results with areas if nothing has measured these."""
    keypoints = columns.keypoints
    assert keypoints is not None
    if whole.scores is not None:
        areas = whole.areas if are_measured else extents(keypoints)
        return replace(whole, keypoints=keypoints, areas=areas)
    row = lacking_box(keypoints, columns.bbox, columns.area)
    if row is not None:
        raise FileError(
            columns.path, 'no "bbox"', "one where no keypoint is labelled, or there is no area",
            columns.where(row),
        )  # fmt: skip
    counts = np.where(
        columns.has("num_keypoints"), columns.num_keypoints, labelled_counts("", None, keypoints)
    )
    return replace(whole, keypoints=keypoints, boxes=columns.bbox, ignore=counts == 0)


def _masks(columns: CocoColumns, kept: Array, truth: CocoColumns) -> FileMasks:
    """The masks of some entries."""
    assert columns.segmentation is not None
    sizes = np.full((len(kept), 2), -1, np.int64)
    if truth.image_ids is not None and len(truth.image_ids):
        order = np.argsort(truth.image_ids, kind="stable")
        places = np.searchsorted(truth.image_ids[order], columns.image_id[kept])
        sizes = truth.image_sizes[order[places]]
    area, boxes = columns.segmentation.measured(kept, sizes)
    return FileMasks(columns.segmentation, kept, sizes, area, boxes)
