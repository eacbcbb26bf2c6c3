"""Scores of label images: objects matched at thresholds, AP, and the aggregated Jaccard index."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.arrays.checks import check_choice, threshold_number, true_or_false
from fastiou.evaluation.evaluator import Evaluator
from fastiou.evaluation.label_files import fault_of_frames, label_files
from fastiou.evaluation.label_matching import CRITERIA, MatchedImage, match_labels
from fastiou.evaluation.paired_images import ImageNames, is_path, paired_images
from fastiou.formats.errors import FileError
from fastiou.formats.images import read_frames
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.runtime.renamed import renamed
from fastiou.segmentation.labels import label_images
from fastiou.tables.frames import Framed
from fastiou.typing import Array

__all__ = ["InstanceEvaluator", "InstanceMatching", "instance_matching"]


#: Numbers of a result that there are for each threshold.
BY_THRESHOLD = (
    "thresh", "fp", "tp", "fn", "precision", "recall", "accuracy", "f1", "mean_true_score",
    "mean_matched_score", "panoptic_quality",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class InstanceMatching(Framed):
    """How well the objects of label images were found.

    With one threshold, what is told for each threshold is a number. With several it is an array of
    the shape (T,); then `len` is T, and iterating or indexing gives results of one threshold.

    Attributes
    ----------
    criterion : str
        What pairs were judged by: "iou", "iot" or "iop".
    thresh : float or array
        The thresholds.
    fp, tp, fn : int or array
        Predicted objects without a match, matches, and true objects without one.
    precision, recall : float or array
        tp / (tp + fp) and tp / (tp + fn).
    accuracy : float or array
        tp / (tp + fp + fn): the average precision (AP) of the Data Science Bowl 2018, and of
        cellpose.
    f1 : float or array
        2 tp / (2 tp + fp + fn).
    n_true, n_pred : int
        How many true and predicted objects there are.
    mean_true_score : float or array
        The sum of the scores of matches over the number of true objects, rounded to float32.
    mean_matched_score : float or array
        The sum of the scores of matches over their number.
    panoptic_quality : float or array
        The sum of the scores of matches over tp + fp / 2 + fn / 2.
    by_image : bool
        Whether ratios and means are those of all images together, or means over images.
    aji : float
        The aggregated Jaccard index, which needs no threshold.
    n_images : int
        How many images there are.
    matched_pairs : tuple of (int, int), tuple of these, or None
        The true and the predicted label of each match, sorted, of one image; for several
        thresholds one such tuple each; None for a data set.
    matched_scores : tuple of float, tuple of these, or None
        The scores of these matches.
    """

    criterion: str
    thresh: Any
    fp: Any
    tp: Any
    fn: Any
    precision: Any
    recall: Any
    accuracy: Any
    f1: Any
    n_true: int
    n_pred: int
    mean_true_score: Any
    mean_matched_score: Any
    panoptic_quality: Any
    by_image: bool
    aji: float
    n_images: int
    matched_pairs: Any = None
    matched_scores: Any = None

    @property
    def average_precision(self) -> Any:
        """AP at each threshold: another name of `accuracy`."""
        return self.accuracy

    @property
    def mean_average_precision(self) -> float:
        """The mean of AP over all thresholds."""
        return float(np.mean(self.accuracy))

    def columns(self) -> dict[str, Array]:
        """What is told for each threshold, by name, as columns of a data frame."""
        return {name: np.atleast_1d(getattr(self, name)) for name in BY_THRESHOLD}

    def __len__(self) -> int:
        if np.ndim(self.thresh) == 0:
            raise TypeError("a result of one threshold has no length")
        return len(self.thresh)

    def __getitem__(self, number: int) -> InstanceMatching:
        if np.ndim(self.thresh) == 0:
            raise TypeError("a result of one threshold cannot be indexed")
        own = {name: getattr(self, name)[number].item() for name in BY_THRESHOLD}
        for name in ("matched_pairs", "matched_scores"):
            value = getattr(self, name)
            own[name] = None if value is None else value[number]
        return replace(self, **own)

    def __iter__(self) -> Iterator[InstanceMatching]:
        return (self[number] for number in range(len(self)))

    def as_dict(self, prefix: str = "") -> dict[str, float]:
        """The numbers by name, for a logger.

        Parameters
        ----------
        prefix
            What each name begins with.

        Returns
        -------
        dict
            "AP", the mean over thresholds, "AJI", "n_true" and "n_pred"; and for each threshold
            "AP@0.5" and all others by their name, as "f1@0.5".
        """
        found: dict[str, float] = {
            "AP": self.mean_average_precision,
            "AJI": self.aji,
            "n_true": self.n_true,
            "n_pred": self.n_pred,
        }
        results = [self] if np.ndim(self.thresh) == 0 else list(self)
        for one in results:
            short = f"{one.thresh:g}"
            if sum(f"{other.thresh:g}" == short for other in results) > 1:
                short = repr(one.thresh)
            found[f"AP@{short}"] = one.accuracy
            found |= {f"{name}@{short}": getattr(one, name) for name in BY_THRESHOLD[1:]}
        return {prefix + name: value for name, value in found.items()}

    def __repr__(self) -> str:
        where = np.array2string(
            np.atleast_1d(self.thresh), precision=4, separator=", ", threshold=9
        )
        return (
            f"<InstanceMatching: {self.n_true:,} true and {self.n_pred:,} predicted objects in "
            f"{self.n_images:,} images; AP {self.mean_average_precision:.4f} at {self.criterion} "
            f"{where[1:-1]}; AJI {self.aji:.4f}>"
        )


class InstanceEvaluator(Evaluator):
    """Scores of label images that come one by one.

    Parameters
    ----------
    thresholds : float or sequence of float
        What a match scores at least, above 0 and at most 1. As in stardist, thresholds and scores
        are compared as float32.
    criterion : {"iou", "iot", "iop"}
        The score of a pair: its intersection over its union, over the true, or over the predicted
        object.
    by_image : bool
        Whether ratios and means of the result are means over images, instead of those of all
        objects together. tp, fp, fn, n_true and n_pred are sums either way.

    Raises
    ------
    TypeError, ValueError
        A threshold that is none, no threshold, or another criterion.

    Notes
    -----
    Only a few numbers of each image are kept. `compute` has the same bits for any order of images,
    any split over evaluators that are merged, and any number of threads.

    Examples
    --------
    >>> import fastiou
    >>> evaluator = fastiou.InstanceEvaluator([0.5, 0.75])
    >>> evaluator.update([[1, 1, 0, 2]], [[7, 7, 7, 0]], image="first")
    >>> evaluator.update([[1, 1, 0, 2]], [[7, 7, 0, 8]], image="second")
    >>> result = evaluator.compute()
    >>> result.tp, result.accuracy
    (array([3, 2]), array([0.75, 0.4 ]))
    """

    _free_options = frozenset({"by_image"})

    def __init__(
        self, thresholds: Any = 0.5, *, criterion: str = "iou", by_image: bool = False
    ) -> None:
        check_choice("criterion", criterion, CRITERIA)
        self._is_one = np.ndim(thresholds) == 0
        given = [thresholds] if self._is_one else list(thresholds)
        if not given:
            raise ValueError("thresholds must be a number or several, got none")
        numbers = [threshold_number(value, 1, name="thresholds") for value in given]
        self._thresholds = np.array(numbers)
        self._criterion = criterion
        self._by_image = true_or_false("by_image", by_image)
        self.reset()

    def reset(self) -> None:
        """Forget all that was counted so far; the options stay."""
        self._images = ImageNames()
        self._rows: list[tuple[Array, Array]] = []

    @renamed(true="target")
    def update(self, target: Any, pred: Any, image: str | int | None = None) -> None:
        """Add an image.

        Parameters
        ----------
        target, pred : array_like of int or bool
            Label images of one shape, as in `label_overlap`: each object has a number of its own,
            and 0 is background.
        image : str or int, optional
            The name of the image, which may come once.

        Raises
        ------
        TypeError, ValueError
            As `label_overlap`; a negative label; an image that was there before.
        """
        self._add(target, pred, image)

    def _add(self, target: Any, pred: Any, image: str | int | None) -> MatchedImage:
        name = self._images.checked(image)
        given1, given2 = label_images("target", target, "pred", pred)
        limits = self._thresholds.astype(np.float32)
        found = match_labels(given1.array, given2.array, limits, self._criterion)
        counts = [found.n_true, found.n_pred, found.intersection, found.union]
        self._images.add([name])
        self._rows.append((np.array([*counts, *found.matched]), found.score_sums))
        return found

    def compute(self) -> InstanceMatching:
        """The scores of all images so far.

        Returns
        -------
        InstanceMatching
            All ratios are 0 where there is nothing to divide by, as in stardist: also of images
            without any object.
        """
        state = self._counted()
        counts, sums = state["counts"], state["score_sums"]
        totals = counts.sum(0)
        n_true, n_pred, tp = totals[0], totals[1], totals[4:]
        if self._by_image:
            images = [
                _ratios(row[:1], row[1:2], row[4:], own, row[2:3], row[3:4])
                for row, own in zip(counts, sums, strict=True)
            ]
            ratios = {
                name: _means([image[name] for image in images], len(values))
                for name, values in _ratios(
                    totals[:1], totals[1:2], tp, np.zeros(len(tp)), totals[2:3], totals[3:4]
                ).items()
            }
        else:
            total = np.array([math.fsum(column) for column in sums.T])
            ratios = _ratios(totals[:1], totals[1:2], tp, total, totals[2:3], totals[3:4])
        aji = ratios.pop("aji").item()
        of_each = {
            "thresh": self._thresholds.copy(), "tp": tp, "fp": n_pred - tp, "fn": n_true - tp,
            **ratios,
        }  # fmt: skip
        if self._is_one:
            of_each = {name: values.item() for name, values in of_each.items()}
        return InstanceMatching(
            criterion=self._criterion, n_true=int(n_true), n_pred=int(n_pred),
            by_image=self._by_image, aji=aji, n_images=len(counts), **of_each,
        )  # fmt: skip

    # ---- parts ---------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        given = self._thresholds.tolist()
        return {
            "thresholds": given[0] if self._is_one else given, "criterion": self._criterion,
            "by_image": self._by_image,
        }  # fmt: skip

    def _counted(self) -> dict[str, Array]:
        # Of each image: true and predicted objects, pixels of intersections and unions for the
        # aggregated Jaccard index, and matches at each threshold.
        count = len(self._thresholds)
        return {
            "images": np.array(self._images.all, np.str_),
            "counts": np.array([row for row, _ in self._rows], np.int64).reshape(-1, 4 + count),
            "score_sums": np.array([row for _, row in self._rows], np.float64).reshape(-1, count),
        }

    def _take_in(self, name: str, state: Mapping[str, Any]) -> None:
        counts = np.array(state["counts"])
        if counts.shape != (len(state["images"]), 4 + len(self._thresholds)) or (
            (counts < 0).any() or (counts[:, 4:] > counts[:, :2].min(axis=1)[:, None]).any()
        ):
            raise ValueError(f"{name} must be a state whose counts can be, got others")
        self._images.add(map(str, state["images"]))
        self._rows += zip(counts, np.array(state["score_sums"]), strict=True)


def _ratios(
    n_true: Array, n_pred: Array, tp: Array, sums: Array, intersection: Array, union: Array
) -> dict[str, Array]:
    """All that is divided: 0 where the divisor is. Matches and sums of scores are (T,)."""
    fp, fn = n_pred - tp, n_true - tp
    return {
        "precision": _divided(tp, tp + fp),
        "recall": _divided(tp, tp + fn),
        "accuracy": _divided(tp, tp + fp + fn),
        "f1": _divided(2 * tp, 2 * tp + fp + fn),
        # In float32, as stardist does.
        "mean_true_score": _divided(sums.astype(np.float32), n_true.astype(np.float32)).astype(
            np.float64
        ),
        "mean_matched_score": _divided(sums, tp),
        "panoptic_quality": _divided(sums, tp + fp / 2 + fn / 2),
        "aji": _divided(intersection, union),
    }


def _divided(part: Array, whole: Array) -> Array:
    quotients = np.zeros(part.shape, np.result_type(part, whole, np.float16))
    np.divide(part, whole, out=quotients, where=whole != 0)
    return quotients


def _means(rows: Sequence[Array], count: int) -> Array:
    """Means over images, of sums that are exact, whatever the order."""
    if not rows:
        return np.zeros(count)
    return np.array([math.fsum(column) for column in zip(*rows, strict=True)]) / len(rows)


@renamed(true="target")
def instance_matching(
    target: Any,
    pred: Any,
    thresholds: Any = 0.5,
    *,
    criterion: str = "iou",
    by_image: bool = False,
    progress: bool | Progress = False,
) -> InstanceMatching:
    """Match the objects of label images, and count hits and misses at one threshold or many.

    The result has the numbers of stardist's `matching` and `matching_dataset` under their names,
    AP of the Data Science Bowl 2018, and the aggregated Jaccard index. The pixels are read once,
    however many thresholds there are.

    Parameters
    ----------
    target, pred : array_like of int or bool, several of these, or paths
        Label images of one shape, as in `label_overlap`: each object has a number of its own, and 0
        is background. A list or tuple of arrays is a data set, as is an iterator, of which one
        image at a time is in memory. Every other array is one image: that of the shape (Z, H, W) is
        a volume, and ``list(array)`` its slices as images. Or two files (PNG, TIFF, .npy), of which
        frames are images, or two folders of such, whose images are paired by name.
    thresholds : float or sequence of float
        What a match scores at least, above 0 and at most 1. As in stardist, thresholds and scores
        are compared as float32.
    criterion : {"iou", "iot", "iop"}
        The score of a pair: its intersection over its union, over the true, or over the predicted
        object.
    by_image : bool
        For data sets, whether ratios and means are means over images, instead of those of all
        objects together.
    progress : bool or callable
        For data sets, whether to show how many images are done; or a function
        ``progress(done, total)``, in which total is 0 for an iterator.

    Returns
    -------
    InstanceMatching
        Numbers for one threshold, arrays (T,) for several.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    TypeError, ValueError
        As `label_overlap`; a negative label, different numbers of images, a threshold that is none,
        or another criterion; a file is broken, or there is none for an image of the truth.
    ImportError
        Reading PNG or TIFF needs the extra `images`.

    Notes
    -----
    Each object has at most one partner. As many pairs as possible are matched; where that leaves a
    choice, which needs a threshold of 0.5 or less, the sum of scores decides.

    Examples
    --------
    >>> import fastiou
    >>> target = [[1, 1, 0, 2], [1, 1, 0, 2]]
    >>> pred = [[7, 7, 0, 8], [7, 0, 8, 8]]
    >>> result = fastiou.instance_matching(target, pred, 0.7)
    >>> result.tp, result.fp, result.fn, result.f1
    (1, 1, 1, 0.5)
    >>> result.matched_pairs, result.matched_scores
    (((1, 7),), (0.75,))
    >>> fastiou.instance_matching(target, pred, [0.5, 0.7, 0.9]).accuracy
    array([1.        , 0.33333333, 0.        ])
    """
    evaluator = InstanceEvaluator(thresholds, criterion=criterion, by_image=by_image)
    if is_path(target) or is_path(pred):
        return _of_files(evaluator, target, pred, progress)
    pairs, total = paired_images(target, pred)
    if pairs is None:
        found = evaluator._add(target, pred, None)
        return _with_pairs(evaluator.compute(), found)
    show, finish = progress_callback(progress)
    try:
        for done, (one, other) in enumerate(pairs):
            try:
                evaluator._add(one, other, None)
            except (TypeError, ValueError) as error:
                raise type(error)(f"image {done}: {error}") from None
            if show is not None:
                show(done + 1, total)
    finally:
        finish()
    return evaluator.compute()


def _of_files(
    evaluator: InstanceEvaluator, target: Any, pred: Any, progress: bool | Progress
) -> InstanceMatching:
    """The same of two files or folders."""
    if not (is_path(target) and is_path(pred)):
        raise TypeError("target and pred must both be paths, or both be arrays")
    for path in (target, pred):
        if not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
    show, finish = progress_callback(progress)
    try:
        truth, found, shared = label_files(Path(target), Path(pred))
        for done, numbers in enumerate(shared.numbers):
            one, other = read_frames(truth, found, *numbers)
            try:
                evaluator._add(one, other, None)
            except (TypeError, ValueError) as error:
                raise fault_of_frames(truth, found, numbers, str(error)) from None
            if show is not None:
                show(done + 1, len(shared.numbers))
    except FileError as error:
        raise ValueError(str(error)) from None
    finally:
        finish()
    return evaluator.compute()


def _with_pairs(result: InstanceMatching, found: MatchedImage) -> InstanceMatching:
    """The result of one image, with the labels that are matched."""
    rows, cols, scores = found.pairs
    pairs: tuple[Any, ...] = tuple(
        tuple(zip(rows[own].tolist(), cols[own].tolist(), strict=True)) for own in found.chosen
    )
    values: tuple[Any, ...] = tuple(tuple(scores[own].tolist()) for own in found.chosen)
    if np.ndim(result.thresh) == 0:
        (pairs,), (values,) = pairs, values
    return replace(result, matched_pairs=pairs, matched_scores=values)
