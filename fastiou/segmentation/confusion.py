"""How often each true class was given each class, and the IoU of classes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays import backends
from fastiou.arrays.checks import whole_number
from fastiou.arrays.inputs import Input, hand_back, plain_array, value_array
from fastiou.runtime import chunks, memory, steps, threads
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.segmentation.label_kernels import CONFUSE
from fastiou.segmentation.labels import (
    LABEL_WORK,
    PIXELS_PER_TASK,
    count_pairs,
    flat_bits,
    label_form,
    label_images,
)
from fastiou.tables.frames import Framed
from fastiou.typing import Array

__all__ = ["MeanIoU", "confusion_matrix", "mean_iou"]


#: Classes from which on a confusion matrix is made from a list of pairs. Below, a task has four
#: tables of at most 128² counts. They are 0.5 MB, and fit an L2 cache.
MANY_CLASSES = 128

#: Parts into which the pixels of a step are cut. Each has four tables of its own.
TASKS = 16


# ---- confusion of classes ----------------------------------------------------------------------


def confusion_matrix(
    target: Any, pred: Any, num_classes: int, *, ignore_index: int | None = None
) -> Any:
    """Count the pixels of every true class that were given every class.

    Parameters
    ----------
    target, pred : array_like of int or bool
        True and predicted classes, from 0 to `num_classes` - 1, of one shape; otherwise as in
        `label_overlap`.
    num_classes : int
        Number of classes, C.
    ignore_index : int, optional
        Pixels with this class in `target` are left out, whatever `pred` has there. It may lie
        outside the classes: 255 and -1 are common.

    Returns
    -------
    array of int64, shape (C, C)
        Rows are true classes, columns predicted ones.

    Raises
    ------
    TypeError
        As `label_overlap`; a number that is no integer.
    ValueError
        Two shapes, or a class that is none.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.confusion_matrix([0, 0, 1, 255], [0, 1, 1, 1], 2, ignore_index=255)
    array([[1, 1],
           [0, 1]])
    """
    return _confusion(target, pred, num_classes, ignore_index)[2]


def _confusion(
    target: Any, pred: Any, num_classes: Any, ignore_index: Any
) -> tuple[Input, Input, Any]:
    """Both arguments, checked, and their confusion matrix, where they lie."""
    classes = whole_number("num_classes", num_classes, lowest=1)
    ignored = (
        None
        if ignore_index is None
        else whole_number("ignore_index", ignore_index, highest=2**64 - 1)
    )
    given1, given2 = label_images("target", target, "pred", pred)

    def on_gpu(place: GpuArray) -> Any:
        return _confusion_on_gpu(given1, given2, classes, ignored, place)

    def on_cpu() -> Any:
        count = _confusion_of_few if classes < MANY_CLASSES else _confusion_of_many
        matrix = count(given1.array, given2.array, classes, ignored)
        return None if matrix is None else hand_back(matrix, given1, given2)

    matrix = backends.compute_in_place((given1, given2), on_gpu, on_cpu)
    if matrix is None:
        _refuse_classes(given1, given2, classes, ignored)
    return given1, given2, matrix


def _confusion_on_gpu(
    given1: Input, given2: Input, classes: int, ignored: int | None, place: GpuArray
) -> Any:
    """Confusion matrix where the arguments lie, None if there is a class that is none.

    The host learns whether there is.
    """
    from fastiou.runtime.gpu import working
    from fastiou.segmentation import gpu_labels

    keeps = _class_bits(given1.held.dtype), _class_bits(given2.held.dtype)
    with working(place) as work:
        work.reserve(8 * classes**2, f"confusion_matrix of {classes:,} classes")
        number = _ignored_number(given1.held.dtype, ignored)
        return gpu_labels.confusion(work, place, (given1, given2), keeps, number, classes)


def _class_bits(dtype: np.dtype[Any]) -> int:
    """Which bits of a pixel read as signed make a class; one of 2⁶³ or more is then none."""
    return -1 if dtype.itemsize == 8 else label_form(dtype)[0]


def _ignored_number(dtype: np.dtype[Any], ignored: int | None) -> int | None:
    """What a pixel that is left out is, read as signed; None where there is no such pixel."""
    limits = np.iinfo(np.uint8 if dtype.kind == "b" else dtype)
    if ignored is None or not limits.min <= ignored <= limits.max:
        return None
    return ignored - (2**64 if ignored >= 2**63 else 0)


def _confusion_of_few(
    target: Array, pred: Array, classes: int, ignored: int | None
) -> Array | None:
    """Confusion matrix by a table, None if there is a class that is none."""
    flat1, flat2 = flat_bits(target, pred)
    pixels = len(flat1)
    kept = np.array([_class_bits(target.dtype), _class_bits(pred.dtype)])
    tasks = min(TASKS, -(-pixels // PIXELS_PER_TASK)) or 1
    tables = np.zeros((tasks, 4, classes + 2, classes + 2), np.int64)
    # Where no pixel is left out, the kernel gets 0, which is a class, and so never one that is.
    number = _ignored_number(target.dtype, ignored) or 0
    for first, last, work in steps.ranges(pixels, LABEL_WORK):
        cuts = first + (last - first) * np.arange(tasks + 1) // tasks
        threads.run(CONFUSE, work, flat1, flat2, cuts, kept, number, tables)
    matrix: Array = tables.sum((0, 1))
    if ignored is not None and 0 <= ignored < classes:
        matrix[ignored] = 0
    matrix[classes + 1] = 0
    if matrix[classes].any() or matrix[:, classes].any():
        return None
    return np.ascontiguousarray(matrix[:classes, :classes])


def _confusion_of_many(
    target: Array, pred: Array, classes: int, ignored: int | None
) -> Array | None:
    """Confusion matrix by a list of pairs, None if there is a class that is none."""
    matrix = memory.allocate(
        (classes, classes),
        np.int64,
        f"confusion_matrix of {classes:,} classes",
        "see label_overlap",
        zeros=True,
    )
    rows, cols, counts = count_pairs(target, pred)
    if ignored is not None:
        kept = rows != ignored
        rows, cols, counts = rows[kept], cols[kept], counts[kept]
    if any(
        len(labels) and (labels.min() < 0 or labels.max() >= classes) for labels in (rows, cols)
    ):
        return None
    for own in chunks.slices(len(counts)):
        matrix[rows[own], cols[own]] = counts[own]
    return matrix


def _refuse_classes(given1: Input, given2: Input, classes: int, ignored: int | None) -> None:
    """Raise a ValueError that names the first class that is none."""
    target = given1.array
    if target.dtype.kind == "b":  # which NumPy does not compare with what has no place in int64
        target = target.view(np.uint8)
    limits = np.iinfo(target.dtype)
    counted = np.full(target.shape, True)
    if ignored is not None and limits.min <= ignored <= limits.max:
        counted = target != ignored
    for given in (given1, given2):
        outside = counted & ((given.array < 0) | (given.array >= classes))
        if outside.any():
            where = tuple(map(int, np.unravel_index(int(outside.argmax()), outside.shape)))
            hint = "; pass ignore_index to leave out" if given is given1 else ""
            raise ValueError(
                f"{given.name} must hold classes from 0 to {classes - 1}, got {given.array[where]} "
                f"at {where[0] if len(where) == 1 else where}{hint}"
            )


# ---- mean IoU ----------------------------------------------------------------------------------


class _MeanIoU(NamedTuple):
    #: IoU of each class, float64; NaN for a class that is neither in the target nor predicted.
    per_class: Any
    #: Mean of those that are not NaN; NaN if all are.
    mean: float


class MeanIoU(Framed, _MeanIoU):
    """IoU of every class, and their mean: a named tuple.

    Attributes
    ----------
    per_class : array of float64
        IoU of each class; NaN for a class that is neither in the target nor predicted.
    mean : float
        Mean of those that are not NaN; NaN if all are.
    """

    def columns(self) -> dict[str, Array]:
        """The columns of a data frame by name: class and iou."""
        per_class = plain_array("per_class", self.per_class)
        return {"class": np.arange(len(per_class)), "iou": per_class}


def mean_iou(
    target: Any,
    pred: Any = None,
    num_classes: int | None = None,
    *,
    ignore_index: int | None = None,
) -> MeanIoU:
    """IoU of every class, from a confusion matrix or from two class maps.

    Parameters
    ----------
    target : array_like
        A confusion matrix, shape (C, C), as `confusion_matrix` makes it or the sum of many; or true
        classes.
    pred : array_like of int or bool, optional
        Predicted classes, if `target` is no matrix.
    num_classes, ignore_index
        As in `confusion_matrix`, if `target` is no matrix.

    Returns
    -------
    MeanIoU
        `per_class`, float64, of shape (C,), NaN for classes that are neither in the target nor
        predicted; and `mean`, a float, over the others.

    Raises
    ------
    TypeError, ValueError
        As `confusion_matrix`; a matrix of another shape, or with negative counts.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.mean_iou([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    MeanIoU(per_class=array([0.75, 0.8 ,  nan]), mean=0.775)
    >>> fastiou.mean_iou([0, 0, 1, 1], [0, 1, 1, 1], 2).mean
    0.5833333333333333
    """
    if pred is None:
        if num_classes is not None or ignore_index is not None:
            raise ValueError(
                "num_classes and ignore_index go with target and pred, got them without pred"
            )
        given = value_array("target", target)
        inputs: tuple[Input, ...] = (given,)
        matrix = given.array
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(
                "target must be a confusion matrix of the shape (C, C) where no pred is given, got "
                f"{matrix.shape}; for class maps pass target, pred and num_classes"
            )
        wrong = ~((matrix >= 0) & np.isfinite(matrix))
        if wrong.any():
            raise ValueError(
                "target must hold finite counts of at least 0 where no pred is given, got "
                f"{matrix[wrong][0]}"
            )
    else:
        if num_classes is None:
            raise ValueError("num_classes must be an integer with target and pred, got None")
        given1, given2, matrix = _confusion(target, pred, num_classes, ignore_index)
        inputs = given1, given2
        matrix = plain_array("target", matrix)  # of C × C numbers, since a mean is the host's
    hits = np.diagonal(matrix).astype(np.float64)
    union = matrix.sum(0, np.float64) + matrix.sum(1, np.float64) - hits
    per_class = np.full(len(hits), np.nan)
    np.divide(hits, union, out=per_class, where=union > 0)
    present = per_class[union > 0]
    mean = float(present.mean()) if len(present) else math.nan
    return MeanIoU(hand_back(per_class, *inputs), mean)
