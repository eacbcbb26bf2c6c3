"""Panoptic quality of images of segment ids, or of COCO's files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays.checks import whole_number
from fastiou.evaluation.evaluator import Evaluator
from fastiou.evaluation.paired_images import ImageNames, is_path, paired_images
from fastiou.evaluation.panoptic_result import (
    PanopticAverage,
    PanopticClass,
    PanopticQuality,
    averaged,
    class_of,
)
from fastiou.evaluation.segment_matching import MatchedSegments, match_segments, segments_of
from fastiou.formats.errors import FileError
from fastiou.formats.panoptic import PanopticFile, id_images, read_panoptic
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.runtime.renamed import renamed
from fastiou.runtime.words import described
from fastiou.segmentation.labels import label_images
from fastiou.typing import Array

__all__ = [
    "PanopticAverage",
    "PanopticClass",
    "PanopticEvaluator",
    "PanopticQuality",
    "evaluate_files",
    "panoptic_quality",
]


#: No image, as `MatchedSegments`.
NOTHING = (np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))


class _Categories(NamedTuple):
    """The categories that are counted, in the order in which they are told."""

    #: (K,) int64.
    ids: Array
    #: (K,) int8: whether each is a thing, -1 where it is not told.
    things: Array
    #: (K,) str.
    names: Array


def _categories_of(value: Any) -> _Categories:
    """The argument `categories`: dicts with id, isthing and name, or isthing by id."""
    if isinstance(value, Mapping):
        value = [{"id": number, "isthing": thing} for number, thing in value.items()]
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(
            "categories must be a list of dicts with id, isthing and name, or isthing by id, got "
            f"{described(value)}"
        )
    ids, things, names = [], [], []
    for position, category in enumerate(value):
        if not isinstance(category, Mapping) or "id" not in category:
            raise TypeError(f"categories must hold dicts with id, got {described(category)}")
        number, thing = category["id"], category.get("isthing", -1)
        number = whole_number(f"id of category {position}", number)
        if thing not in (-1, 0, 1):
            raise ValueError(
                f"categories must have 0 or 1 as isthing, got {described(thing)} in category "
                f"{position}"
            )
        if number in ids:
            raise ValueError(f"categories has the id {number} twice")
        ids.append(number)
        things.append(int(thing))
        names.append(str(category.get("name", "")))
    return _Categories(np.array(ids, np.int64), np.array(things, np.int8), np.array(names, np.str_))


class PanopticEvaluator(Evaluator):
    """Panoptic quality of images that come one by one.

    Parameters
    ----------
    categories : list of dict, or dict
        The categories as COCO has them, with id, isthing (0 or 1) and name, of which only id is
        needed; or a dict of isthing by id. Others are refused in segments. If not given, those that
        occur are counted, and no things and stuff are told apart.

    Raises
    ------
    TypeError, ValueError
        Something else, or an id that comes twice.

    Notes
    -----
    Images are not kept, but about 8 bytes for each segment and the IoU of each match. `compute` has
    the same bits for any order of images and any split over evaluators that are merged.

    Examples
    --------
    >>> import fastiou
    >>> evaluator = fastiou.PanopticEvaluator({1: True, 2: False})
    >>> evaluator.update(
    ...     [[7, 7, 7, 9]],
    ...     [[5, 5, 6, 6]],
    ...     [{"id": 7, "category_id": 1}, {"id": 9, "category_id": 2}],
    ...     [{"id": 5, "category_id": 1}, {"id": 6, "category_id": 2}],
    ...     image="first",
    ... )
    >>> result = evaluator.compute()
    >>> result.things.pq, result.stuff.pq
    (0.6666666666666666, 0.0)
    """

    def __init__(self, categories: Any = None) -> None:
        self._categories = None if categories is None else _categories_of(categories)
        self._known = None if self._categories is None else set(self._categories.ids.tolist())
        self.reset()

    def reset(self) -> None:
        """Forget all that was counted so far; the options stay."""
        self._images = ImageNames()
        self._found: list[MatchedSegments] = []

    @renamed(true="target", true_segments="target_segments")
    def update(
        self,
        target: Any,
        pred: Any,
        target_segments: Any,
        pred_segments: Any,
        *,
        image: str | int | None = None,
    ) -> None:
        """Add an image.

        Parameters
        ----------
        target, pred : array_like of int, shape (H, W)
            The id of the segment that each pixel belongs to, 0 for none (void). Colours of PNG
            become ids by `labels_from_colors`.
        target_segments, pred_segments : list of dict
            The segments, as segments_info of COCO: id, category_id, and of the truth also iscrowd,
            0 if missing, and area, which is counted from the pixels if missing.
        image : str or int, optional
            The name of the image, which may come once.

        Raises
        ------
        TypeError
            Not integers, or no lists of dicts.
        ValueError
            Two shapes; a category that is none; an image that was there before; pixels of the
            prediction of a segment that is not told, or the other way round; an id that comes
            twice.
        """
        name = self._images.checked(image)
        truth = segments_of("target_segments", target_segments)
        found = segments_of("pred_segments", pred_segments)
        if self._known is not None:
            for of_one, segments in (("target_segments", truth), ("pred_segments", found)):
                unknown = set(segments.categories.tolist()) - self._known
                if unknown:
                    raise ValueError(
                        f"{of_one} has the category {min(unknown)}, which categories does not have"
                    )
        given1, given2 = label_images("target", target, "pred", pred)
        matched = match_segments(given1.array, given2.array, truth, found)
        self._images.add([name])
        self._found.append(matched)

    def compute(self) -> PanopticQuality:
        """The quality of all images so far.

        Returns
        -------
        PanopticQuality
            All numbers are 0 where nothing was to be found and nothing was.
        """
        state = self._counted()
        known = self._categories
        counted = [state[name] for name in ("matched", "spurious", "missed")]
        if known is None:
            ids = np.unique(np.concatenate(counted))
            known = _Categories(ids, np.full(len(ids), -1, np.int8), np.full(len(ids), "", np.str_))
        order = np.argsort(known.ids)
        places = [order[np.searchsorted(known.ids, part, sorter=order)] for part in counted]
        counts = [np.bincount(part, minlength=len(known.ids)).tolist() for part in places]
        # Sums that are exact do not depend on the order of images.
        by_class: list[list[float]] = [[] for _ in known.ids]
        for place, iou in zip(places[0].tolist(), state["ious"].tolist(), strict=True):
            by_class[place].append(iou)
        of_things = known.things.tolist()
        classes = {
            number: class_of(math.fsum(ious), (tp, fp, fn), name, thing)
            for number, ious, tp, fp, fn, name, thing in zip(
                known.ids.tolist(), by_class, *counts, known.names.tolist(), of_things, strict=True
            )
        }
        whole = averaged(classes.values())
        told = any(thing >= 0 for thing in of_things)
        things, stuff = (
            averaged(one for one in classes.values() if one.isthing is is_thing) if told else None
            for is_thing in (True, False)
        )
        return PanopticQuality(*whole, things, stuff, classes, len(state["images"]))

    # ---- parts ---------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        known = self._categories
        if known is None:
            return {"categories": None}
        columns = (column.tolist() for column in known)
        keys = ("id", "isthing", "name")
        return {
            "categories": [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
        }

    def _counted(self) -> dict[str, Array]:
        # Joined once: the next call joins what has come since.
        self._found = [
            MatchedSegments(
                *(np.concatenate(parts) for parts in zip(NOTHING, *self._found, strict=True))
            )
        ]
        return {
            "images": np.array(self._images.all, np.str_),
            **{name: part.copy() for name, part in self._found[0]._asdict().items()},
        }

    def _take_in(self, name: str, state: Mapping[str, Any]) -> None:
        found = MatchedSegments(*(np.array(state[part]) for part in MatchedSegments._fields))
        ious = found.ious
        if ious.shape != found.matched.shape or not ((ious > 0.5) & (ious <= 1)).all():
            raise ValueError(
                f"{name} must be a state with an IoU above 0.5 for each match, got "
                f"{described(ious.tolist())}"
            )
        self._images.add(map(str, state["images"]))
        self._found.append(found)


@renamed(true="target", true_segments="target_segments", true_folder="target_folder")
def panoptic_quality(
    target: Any,
    pred: Any,
    target_segments: Any = None,
    pred_segments: Any = None,
    *,
    categories: Any = None,
    target_folder: str | os.PathLike[str] | None = None,
    pred_folder: str | os.PathLike[str] | None = None,
    progress: bool | Progress = False,
) -> PanopticQuality:
    """Panoptic quality of a prediction, by the rules of COCO: from arrays, or from files.

    Parameters
    ----------
    target, pred : array_like of int, shape (H, W), or several of these, or paths
        The id of the segment that each pixel belongs to, 0 for none (void). A list or tuple of
        arrays is a data set, as is an iterator. Or paths of COCO's panoptic JSON, with PNG whose
        colours are ids, or of the folders of these PNG, beside which the JSON lies.
    target_segments, pred_segments : list of dict, or one such list for each image
        The segments, as segments_info of COCO: id, category_id, and of the truth also iscrowd, 0 if
        missing, and area, which is counted from the pixels if missing. Only for arrays.
    categories : list of dict, or dict, optional
        As in `PanopticEvaluator`; only for arrays: the JSON of the truth has them.
    target_folder, pred_folder : path, optional
        Where the PNG lie; by default in a folder beside the JSON and of its name, without the
        ending. Only for files.
    progress : bool or callable
        Whether to show how many images are done; or a function ``progress(done, total)``, in which
        total is 0 for an iterator.

    Returns
    -------
    PanopticQuality

    Raises
    ------
    FileNotFoundError
        There is no such file.
    TypeError, ValueError
        As `PanopticEvaluator.update`; arguments of arrays with files, or the other way round; a
        file is broken, or has no prediction of an image. The message names the file.
    ImportError
        A PNG of an unusual kind needs the extra `images`.

    Examples
    --------
    >>> import fastiou
    >>> result = fastiou.panoptic_quality(
    ...     [[7, 7, 7, 9]],
    ...     [[5, 5, 6, 6]],
    ...     [{"id": 7, "category_id": 1}, {"id": 9, "category_id": 2}],
    ...     [{"id": 5, "category_id": 1}, {"id": 6, "category_id": 2}],
    ... )
    >>> result
    <PanopticQuality: PQ 0.3333, SQ 0.3333, RQ 0.5000 over 2 of 2 categories in 1 images>
    >>> result.per_class[2].fp, result.per_class[2].fn
    (1, 1)
    """
    of_files = [is_path(value) for value in (target, pred)]
    if any(of_files):
        if not all(of_files):
            raise TypeError("target and pred must both be paths, or both be arrays")
        for name, value in (
            ("target_segments", target_segments), ("pred_segments", pred_segments),
            ("categories", categories),
        ):  # fmt: skip
            if value is not None:
                raise ValueError(f"{name} must be None with files, which tell it")
        for path in (target, pred):
            if not Path(path).exists():
                raise FileNotFoundError(f"{path}: no such file")
        show, finish = progress_callback(progress)
        try:
            truth = read_panoptic(Path(target), target_folder)
            return evaluate_files(truth, read_panoptic(Path(pred), pred_folder), show)
        except FileError as error:
            raise ValueError(str(error)) from None
        finally:
            finish()
    for name, value in (("target_folder", target_folder), ("pred_folder", pred_folder)):
        if value is not None:
            raise ValueError(f"{name} must be None with arrays: it is for files")
    for name, value in (("target_segments", target_segments), ("pred_segments", pred_segments)):
        if value is None:
            raise ValueError(f"{name} must be given with arrays: the segments of each image")
    evaluator = PanopticEvaluator(categories)
    pairs, total = paired_images(target, pred)
    if pairs is None:
        evaluator.update(target, pred, target_segments, pred_segments)
        return evaluator.compute()
    show, finish = progress_callback(progress)
    segments, _ = paired_images(iter(target_segments), iter(pred_segments))
    assert segments is not None
    try:
        for done, (one, other) in enumerate(pairs):
            told = next(segments, None)
            if told is None:
                raise ValueError(
                    "target_segments and pred_segments must have a list for each image, got "
                    f"{done:,}"
                )
            try:
                evaluator.update(one, other, *told)
            except (TypeError, ValueError) as error:
                raise type(error)(f"image {done}: {error}") from None
            if show is not None:
                show(done + 1, total)
        if next(segments, None) is not None:
            raise ValueError(
                "target_segments and pred_segments must have a list for each image, got more"
            )
    finally:
        finish()
    return evaluator.compute()


def evaluate_files(
    truth: PanopticFile, found: PanopticFile, show: Progress | None = None
) -> PanopticQuality:
    """The quality of the images of one file, all of which another must have.

    Raises
    ------
    FileError
        A file cannot be used, or the prediction has no segments of an image.
    """
    try:
        evaluator = PanopticEvaluator(truth.categories)
    except (TypeError, ValueError) as error:
        raise FileError(truth.path, str(error)) from None
    for number, (image, target, pred) in enumerate(id_images(truth, found)):
        try:
            evaluator.update(
                target,
                pred,
                truth.images[image].segments,
                found.images[image].segments,
                image=image,
            )
        except (TypeError, ValueError) as error:
            raise FileError(found.path, f"image {image}: {error}") from None
        if show is not None:
            show(number + 1, len(truth.images))
    return evaluator.compute()
