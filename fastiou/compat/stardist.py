"""`stardist.matching`: objects of label images. ``docs/compat.md`` has what differs."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

import fastiou
from fastiou.runtime.extras import import_extra
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = ["label_overlap", "matching", "matching_dataset", "matching_dataset_lazy"]

FIELDS = (
    "criterion", "thresh", "fp", "tp", "fn", "precision", "recall", "accuracy", "f1", "n_true",
    "n_pred", "mean_true_score", "mean_matched_score", "panoptic_quality",
)  # fmt: skip

#: What is 0 where nothing matches.
RATES = (*FIELDS[5:9], *FIELDS[11:])

#: What is told of single matches.
MATCHED = ("matched_pairs", "matched_scores", "matched_tps")

# Type checkers want the fields as literals.
_with_fields: Any = namedtuple
Matching = _with_fields("Matching", FIELDS)
MatchingWithPairs = _with_fields("Matching", (*FIELDS, *MATCHED))
DatasetMatching = _with_fields("DatasetMatching", (*FIELDS, "by_image"))


def matching(
    y_true: Any,
    y_pred: Any,
    thresh: Any = 0.5,
    criterion: str = "iou",
    report_matches: bool = False,
) -> Any:
    """Match the objects of two label images; see `fastiou.instance_matching`.

    Returns
    -------
    Matching, or a tuple of them
        One for each threshold, where `thresh` is a sequence. With `report_matches` they have the
        partner of each object, whatever the score, and which of these are matches.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import stardist
    >>> image = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    >>> stats = stardist.matching(image, np.array([[7, 7, 0, 8], [7, 0, 8, 8]]), thresh=0.7)
    >>> stats.tp, stats.fp, stats.fn, stats.f1
    (1, 1, 1, 0.5)
    """
    is_one = np.ndim(thresh) == 0
    thresholds = [float(value) for value in np.atleast_1d(thresh)]
    images = _label_image("y_true", y_true), _label_image("y_pred", y_pred)
    result = fastiou.instance_matching(*images, np.minimum(thresholds, 1), criterion=criterion)
    found: list[Any] = [Matching(**told) for told in _told(result, thresholds)]
    if report_matches:
        labels, scores = _scores(*images, criterion)
        found = [MatchingWithPairs(*one, *_partners(labels, scores, one.thresh)) for one in found]
    return found[0] if is_one else tuple(found)


def matching_dataset(
    y_true: Sequence[Any],
    y_pred: Sequence[Any],
    thresh: Any = 0.5,
    criterion: str = "iou",
    by_image: bool = False,
    show_progress: Any = True,
    parallel: bool = False,
) -> Any:
    """Match the objects of many label images; `parallel` changes nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import stardist
    >>> images = [np.array([[1, 1, 0, 2]]), np.array([[0, 1, 1, 1]])]
    >>> stats = stardist.matching_dataset(images, images[::-1], show_progress=False)
    >>> stats.tp, stats.fp, stats.fn, stats.n_true
    (0, 3, 3, 3)
    """
    if len(y_true) != len(y_pred):
        raise ValueError(
            f"y_true and y_pred must have the same length, got {len(y_true)} and {len(y_pred)}"
        )
    pairs = zip(y_true, y_pred, strict=True)
    return matching_dataset_lazy(pairs, thresh, criterion, by_image, show_progress, parallel)


def matching_dataset_lazy(
    y_gen: Iterable[tuple[Any, Any]],
    thresh: Any = 0.5,
    criterion: str = "iou",
    by_image: bool = False,
    show_progress: Any = True,
    parallel: bool = False,
) -> Any:
    """The same of pairs of label images, of which one at a time is in memory."""
    is_one = np.ndim(thresh) == 0
    thresholds = [float(value) for value in np.atleast_1d(thresh)]
    evaluator = fastiou.InstanceEvaluator(
        np.minimum(thresholds, 1), criterion=criterion, by_image=bool(by_image)
    )
    for y_true, y_pred in y_gen:
        evaluator.update(_label_image("y_true", y_true), _label_image("y_pred", y_pred))
    found = [
        DatasetMatching(**told, by_image=bool(by_image))
        for told in _told(evaluator.compute(), thresholds)
    ]
    return found[0] if is_one else tuple(found)


def label_overlap(x: Any, y: Any, check: bool = True) -> Array:
    """Pixels (1 + largest label of x, 1 + that of y) of each pair of labels, uint64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import stardist
    >>> stardist.label_overlap(np.array([[0, 1, 1]]), np.array([[0, 0, 1]]))
    array([[1, 0],
           [1, 1]], dtype=uint64)
    """
    one, other = _label_image("x", x), _label_image("y", y)
    if check:
        for name, image in (("x", one), ("y", other)):
            labels = np.unique(image)
            if (labels != np.arange(len(labels)) + (labels.min(initial=0) > 0)).any():
                raise ValueError(f"{name} must have labels from 1 on without a gap")
    found = fastiou.label_overlap(one, other)
    overlap = np.zeros((int(one.max()) + 1, int(other.max()) + 1), np.uint64)
    overlap[found.rows, found.cols] = found.values
    return overlap


def _label_image(name: str, value: Any) -> Array:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
        raise ValueError(f"{name} must be an array of integers from 0 on, got {described(value)}")
    if value.size and value.min() < 0:
        raise ValueError(f"{name} must be an array of integers from 0 on, got {value.min()}")
    return value


def _told(results: Iterable[Any], thresholds: Sequence[float]) -> Iterator[dict[str, Any]]:
    """What is told for each threshold, in numbers of Python."""
    for result, threshold in zip(results, thresholds, strict=True):
        told = {name: getattr(result, name) for name in FIELDS}
        told = {k: v.item() if isinstance(v, np.generic) else v for k, v in told.items()}
        if threshold > 1:  # which no score reaches, and so nothing matches
            told.update(dict.fromkeys(RATES, 0.0), tp=0, fp=told["n_pred"], fn=told["n_true"])
            told["thresh"] = threshold
        yield told


def _scores(y_true: Array, y_pred: Array, criterion: str) -> tuple[tuple[Array, Array], Array]:
    """The labels of both images but 0, and the dense scores of their objects, float32."""
    metrics = {"iou": "iou", "iot": "iof", "iop": "iof"}
    images = (y_pred, y_true) if criterion == "iop" else (y_true, y_pred)
    found = fastiou.label_iou(*images, metric=metrics[criterion])
    labels = tuple(np.setdiff1d(image, [0]) for image in images)
    scores = np.zeros((len(labels[0]), len(labels[1])), np.float32)
    rows, cols = (
        np.searchsorted(own, values)
        for own, values in zip(labels, (found.rows, found.cols), strict=True)
    )
    scores[rows, cols] = found.values
    if criterion == "iop":
        return (labels[1], labels[0]), scores.T
    return (labels[0], labels[1]), scores


def _partners(
    labels: tuple[Array, Array], scores: Array, thresh: float
) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[int, ...]]:
    """Pairs of labels as stardist assigns them, their scores, and which are matches."""
    count = min(scores.shape)
    if not count:
        return (), (), ()
    assign = import_extra("scipy.optimize", "scipy", "report_matches").linear_sum_assignment
    costs = -(scores >= thresh).astype(float) - scores / (2 * count)
    rows, cols = assign(costs)
    values = scores[rows, cols]
    pairs = zip(labels[0][rows].tolist(), labels[1][cols].tolist(), strict=True)
    return tuple(pairs), tuple(values), tuple(np.flatnonzero(values >= thresh).tolist())
