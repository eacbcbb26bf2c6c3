"""Scores of segmentations: label images, class maps, and masks as arrays of values."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastiou.arrays.checks import (
    axis_numbers,
    check_choice,
    check_one_shape,
    finite_number,
    whole_number,
)
from fastiou.arrays.inputs import (
    Input,
    check_one_library,
    flat_elements,
    hand_back,
    label_array,
    mask_batch,
    value_array,
)
from fastiou.metrics import METRICS
from fastiou.runtime import memory, steps, threads
from fastiou.segmentation.label_kernels import (
    CHUNK,
    COLLECT,
    CONFUSE,
    DENSE,
    FEWEST_SLOTS,
    MOST_SLOTS,
    PACK,
    SCATTER,
    SORT,
    UNPACK,
    scorer,
)
from fastiou.segmentation.sum_kernels import BLOCK, STRIP, sums

__all__ = [
    "LabelOverlap",
    "MeanIoU",
    "confusion_matrix",
    "iou_grade",
    "label_iou",
    "label_overlap",
    "mean_iou",
    "soft_iou",
    "thresholded_iou",
]

Array = npt.NDArray[Any]

INT64 = np.dtype(np.int64)
UINT64 = np.dtype(np.uint64)

#: Parts into which the pixels of a step are cut for the threads: enough that none waits long for
#: the last. Each has its own table and list.
TASKS = 32

#: Work of counting a pixel, in scores of boxes (see `threads.run`).
LABEL_WORK = 4

#: Work of a pair of labels in each step of merging lists, likewise.
PAIR_WORK = 32

#: Work of adding one element of either array, likewise.
VALUE_WORK = 2

#: Fewer pixels are one part.
PIXELS_PER_TASK = 1 << 14

#: Lists up to this length are sorted by NumPy, which takes at most 20 ms and compiles nothing.
SORTED_BY_NUMPY = 1 << 18

#: Classes from which on a confusion matrix is made from a list of pairs: four tables of 128² counts
#: are 0.5 MB, and fit an L2 cache.
MANY_CLASSES = 128

#: Parts for confusion matrices: each has four matrices of its own.
CONFUSE_TASKS = 16


# ---- pairs of labels ---------------------------------------------------------------------------


class LabelOverlap(NamedTuple):
    """Pairs of labels that share pixels, sorted by row and column."""

    #: Label in the first image: int64, or uint64 if one is 2⁶³ or more.
    rows: Any
    #: Label in the second image, likewise.
    cols: Any
    #: Pixels that carry both labels, int64; or a metric, float64.
    values: Any


def label_overlap(labels1: Any, labels2: Any) -> LabelOverlap:
    """Count the pixels of every pair of labels that two label images have in one place.

    Memory is proportional to the pairs that occur, whatever the labels: there is no table of all
    labels by all labels.

    Parameters
    ----------
    labels1, labels2 : array_like of int or bool
        Label images of one shape, with any number of dimensions, any integer dtype and any memory
        layout: NumPy arrays, PyTorch tensors, other arrays that speak DLPack, or lists.

    Returns
    -------
    LabelOverlap
        `rows`, the labels in the first image, `cols`, those in the second, and `values`, the number
        of pixels that carry both; sorted by row and then column, the background 0 included, as
        arrays of the library that the inputs came from.

    Raises
    ------
    TypeError
        Not integers; a tensor that requires grad; two array libraries.
    ValueError
        Two shapes.
    MemoryError
        The pairs would not fit in memory.

    Examples
    --------
    >>> import fastiou
    >>> rows, cols, values = fastiou.label_overlap([[0, 0, 7], [0, 7, 7]], [[0, 3, 3], [0, 0, 3]])
    >>> for row, col, value in zip(rows, cols, values):
    ...     print(row, col, value)
    0 0 2
    0 3 1
    7 0 1
    7 3 2
    """
    given1, given2 = _label_images("labels1", labels1, "labels2", labels2)
    rows, cols, counts = _overlap(given1.array, given2.array)
    return LabelOverlap(*(hand_back(part, given1, given2) for part in (rows, cols, counts)))


def label_iou(labels1: Any, labels2: Any, metric: str = "iou") -> LabelOverlap:
    """Score every pair of labels that share pixels in two label images.

    Parameters
    ----------
    labels1, labels2 : array_like of int or bool
        As in `label_overlap`.
    metric : {"iou", "iof", "ios", "dice", "intersection"}
        The score, from the pixels that both labels share and the pixels of each in its own image.

    Returns
    -------
    LabelOverlap
        As `label_overlap` returns it, without the background, label 0 of either image; `values`
        are float64.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `label_overlap`, or another metric.

    Examples
    --------
    >>> import fastiou
    >>> found = fastiou.label_iou([[0, 0, 7], [0, 7, 7]], [[0, 3, 3], [0, 0, 3]])
    >>> found.rows.item(), found.cols.item(), found.values.item()
    (7, 3, 0.5)
    """
    check_choice("metric", metric, [name for name, row in METRICS.items() if row.is_ratio])
    given1, given2 = _label_images("labels1", labels1, "labels2", labels2)
    rows, cols, counts = _overlap(given1.array, given2.array)
    kept = np.flatnonzero((rows != 0) & (cols != 0))
    areas1, areas2 = (_areas(labels, counts)[kept] for labels in (rows, cols))
    scores = np.empty(len(kept))
    threads.run(scorer(metric), len(kept), counts[kept].astype(np.float64), areas1, areas2, scores)
    parts = rows[kept], cols[kept], scores
    return LabelOverlap(*(hand_back(part, given1, given2) for part in parts))


def _areas(labels: Array, counts: Array) -> Array:
    """For each entry, the pixels of all entries with its label."""
    _, place = np.unique(labels, return_inverse=True)
    areas: Array = np.bincount(place, weights=counts)[place]
    return areas


def _label_images(name1: str, value1: Any, name2: str, value2: Any) -> tuple[Input, Input]:
    given1, given2 = label_array(name1, value1), label_array(name2, value2)
    check_one_library(given1, given2)
    check_one_shape(given1, given2)
    return given1, given2


def _flat_bits(array1: Array, array2: Array) -> tuple[Array, Array]:
    """The pixels of both images in one order, as signed integers of the same bits."""
    if array1.flags.f_contiguous and array2.flags.f_contiguous:  # then no copy is needed
        array1, array2 = array1.T, array2.T
    return (
        flat_elements(array1, as_bits=True),
        flat_elements(array2, as_bits=True),
    )


def _form(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Which bits make a label of its own order from one read as signed, and which to turn."""
    if dtype.kind == "i":
        return -1, 0
    return (-1, -(2**63)) if dtype.itemsize == 8 else (2 ** (8 * dtype.itemsize) - 1, 0)


def _labels(column: Array, dtype: np.dtype[Any]) -> Array:
    """The labels of an image of this dtype from a column of a list."""
    if _form(dtype)[1] == 0:
        return column
    labels: Array = column.view(np.uint64) ^ np.uint64(2**63)
    return labels if len(labels) and int(labels.max()) >= 2**63 else labels.view(np.int64)


def _overlap(array1: Array, array2: Array) -> tuple[Array, Array, Array]:
    """Labels and counts of every pair that occurs, sorted."""
    forms = np.array([*_form(array1.dtype), *_form(array2.dtype)], np.int64)
    lists = _overlap_by_runs(*_flat_bits(array1, array2), forms)
    rows, cols, counts = lists.columns[0, :, : lists.lengths[0]]
    return _labels(rows, array1.dtype), _labels(cols, array2.dtype), counts


def _overlap_by_runs(labels1: Array, labels2: Array, forms: Array) -> _Lists:
    """One list of all pairs."""
    pixels = len(labels1)
    tasks = min(TASKS, -(-pixels // PIXELS_PER_TASK)) or 1
    sizes = np.full(tasks, FEWEST_SLOTS)
    tables = np.zeros((tasks, FEWEST_SLOTS, 3), np.int64)
    lists = _Lists(tasks, FEWEST_SLOTS + CHUNK)
    for first, last, _ in steps.ranges(pixels, LABEL_WORK):
        cuts = first + (last - first) * np.arange(tasks + 1) // tasks
        positions, ends = cuts[:-1].copy(), cuts[1:]
        while True:
            threads.run(
                COLLECT, int((ends - positions).sum()) * LABEL_WORK, labels1, labels2, positions,
                ends, sizes, tables, forms, lists.columns, lists.lengths, lists.ranges,
            )  # fmt: skip
            if (positions == ends).all():
                break
            left = pixels - last + int((ends - positions).sum())
            # A kernel stops where its list has no place for another chunk. Two more are for that,
            # and for tasks with a few pixels more than others.
            lists = lists.merged(tasks, MOST_SLOTS // 2 + CHUNK, -(-left // tasks) + 2 * CHUNK)
            if tables.shape[1] < MOST_SLOTS:
                # Made only now: to clear large tables takes four times as long as to count objects.
                tables = np.zeros((tasks, MOST_SLOTS, 3), np.int64)
    return lists.merged(1, 0, 0)


def _columns(count: int, *shape: int) -> Any:
    """Columns of numbers, one for each of many pairs of labels."""
    return memory.allocate(
        (count, *shape),
        INT64,
        f"label_overlap with {math.prod(shape):,} pairs of labels",
        "overlap parts of the images",
    )


class _Keys:
    """How a pair of labels becomes one number of at most 63 bits, and goes into a bucket by it."""

    def __init__(self, ranges: Array, total: int) -> None:
        self.ranges = ranges
        extremes = zip((np.min, np.max, np.min, np.max), ranges.T, strict=True)
        low1, high1, low2, high2 = (int(extreme(column)) for extreme, column in extremes)
        self.lows = np.array([low1, low2])
        self.bits2 = max(0, high2 - low2).bit_length()
        bits = max(0, high1 - low1).bit_length() + self.bits2
        self.fit = bits <= 63
        # Buckets of some 8,192 keys: what is sorted, its spare copy and counts fit an L2 cache.
        bucket_bits = min(bits, max(0, total.bit_length() - 13), 12)
        self.buckets = 1 << bucket_bits
        self.shift = bits - bucket_bits

    def places(self, sizes: Array) -> Array:
        """Where the keys of each task and bucket begin, from how many there are."""
        before: Array = np.cumsum(sizes, axis=0) - sizes
        return before + self._starts(sizes)[:-1]

    def _starts(self, sizes: Array) -> Array:
        return np.concatenate([[0], np.cumsum(sizes.sum(0))])

    def sorted_lists(
        self, sizes: Array, entries: Array, spare: Array, tasks: int, room: int, left: int
    ) -> _Lists:
        """Sorted lists without repetitions, as `_Lists.merged` returns them.

        Parameters
        ----------
        sizes
            (list, bucket): keys that each list brought into each bucket.
        entries
            (2, entry): keys, which lie in their buckets, and counts. Both are overwritten.
        spare
            Memory of the same shape.
        """
        starts = self._starts(sizes)
        distinct = np.zeros(self.buckets, np.int64)
        tables = np.empty((TASKS, DENSE), np.int64)
        for first, last, work in steps.spans(starts, PAIR_WORK):
            threads.run(
                SORT, work, *entries, *spare, starts[first : last + 1], self.shift,
                distinct[first:last], tables,
            )  # fmt: skip
        ends = np.concatenate([[0], np.cumsum(distinct)])
        result, share = self.empty_lists(int(ends[-1]), tasks, room, left)
        for first, last, work in steps.spans(ends, PAIR_WORK):
            threads.run(
                UNPACK, work, *entries, starts[first : last + 1], ends[first : last + 1],
                self.lows, self.bits2, share, result.columns,
            )  # fmt: skip
        return result

    def empty_lists(self, found: int, tasks: int, room: int, left: int) -> tuple[_Lists, int]:
        """Lists for so many entries, and how many come into each."""
        share = -(-found // tasks) or 1
        result = _Lists(tasks, share + max(room, min(3 * share, left)))
        result.lengths[:] = np.clip(found - share * np.arange(tasks), 0, share)
        result.ranges[0, ::2] = self.ranges[:, ::2].min(0)
        result.ranges[0, 1::2] = self.ranges[:, 1::2].max(0)
        return result, share


class _Lists:
    """Pairs of labels and their counts, one list for each task."""

    def __init__(self, tasks: int, capacity: int) -> None:
        #: (task, 3, entry): first label, second label, count.
        self.columns = _columns(tasks, 3, capacity)
        self.lengths = np.zeros(tasks, np.int64)
        #: Lowest and highest first label, and second label, of each list.
        self.ranges = np.tile(np.iinfo(np.int64).max, (tasks, 4))
        self.ranges[:, 1::2] = np.iinfo(np.int64).min

    def merged(self, tasks: int, room: int, left: int) -> _Lists:
        """The same as `tasks` lists without repetitions, sorted from one list to the next.

        Each has place for `room` more entries, and for three times as many as it has where `left`
        pixels may need so many: the work of all merges is then a part of that of the last.
        """
        total = int(self.lengths.sum())
        keys = _Keys(self.ranges, total)
        if total <= SORTED_BY_NUMPY or not keys.fit:
            found = self._sorted_by_numpy(keys)
            result, share = keys.empty_lists(found.shape[1], tasks, room, left)
            for task, length in enumerate(result.lengths):
                result.columns[task, :, :length] = found[:, task * share : task * share + length]
            return result
        sizes = np.zeros((len(self.lengths), keys.buckets), np.int64)
        before = np.concatenate([[0], np.cumsum(self.lengths)])
        for first, last, work in steps.spans(before, PAIR_WORK):
            threads.run(
                PACK, work, self.columns[first:last], self.lengths[first:last], keys.lows,
                keys.bits2, keys.shift, sizes[first:last],
            )  # fmt: skip
        entries = _columns(2, total)
        places = keys.places(sizes)
        for first, last, work in steps.spans(before, PAIR_WORK):
            threads.run(
                SCATTER, work, self.columns[first:last], self.lengths[first:last], keys.shift,
                places[first:last], *entries,
            )  # fmt: skip
        # What was scattered is not needed any more.
        spare = self.columns.reshape(-1)[: 2 * total].reshape(2, total)
        return keys.sorted_lists(sizes, entries, spare, tasks, room, left)

    def _sorted_by_numpy(self, keys: _Keys) -> Array:
        """All entries as columns, sorted and added up."""
        columns = np.concatenate(
            [part[:, :length] for part, length in zip(self.columns, self.lengths, strict=True)],
            axis=1,
        )
        label1, label2, counts = columns
        if keys.fit:
            low1, low2 = keys.lows
            numbers = ((label1 - low1) << keys.bits2) | (label2 - low2)
            order = np.argsort(numbers)
            numbers = numbers[order]
            differs = numbers[1:] != numbers[:-1]
        else:
            order = np.lexsort((label2, label1))
            differs = (np.diff(columns[:2, order]) != 0).any(0)
        starts = np.flatnonzero(np.concatenate([np.full(min(1, len(order)), True), differs]))
        if not len(starts):
            return columns
        first = order[starts]
        return np.stack([label1[first], label2[first], np.add.reduceat(counts[order], starts)])


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
    given1, given2, matrix = _confusion(target, pred, num_classes, ignore_index)
    return hand_back(matrix, given1, given2)


def _confusion(
    target: Any, pred: Any, num_classes: Any, ignore_index: Any
) -> tuple[Input, Input, Array]:
    classes = whole_number("num_classes", num_classes, lowest=1)
    ignored = None if ignore_index is None else whole_number("ignore_index", ignore_index)
    given1, given2 = _label_images("target", target, "pred", pred)
    count = _confusion_of_few if classes < MANY_CLASSES else _confusion_of_many
    matrix = count(given1.array, given2.array, classes, ignored)
    if matrix is None:
        _refuse_classes(given1, given2, classes, ignored)
    assert matrix is not None
    return given1, given2, matrix


def _confusion_of_few(
    target: Array, pred: Array, classes: int, ignored: int | None
) -> Array | None:
    """Confusion matrix by a table, None if there is a class that is none."""
    flat1, flat2 = _flat_bits(target, pred)
    pixels = len(flat1)
    kept = np.array(
        [-1 if array.itemsize == 8 else _form(array.dtype)[0] for array in (target, pred)]
    )
    tasks = min(CONFUSE_TASKS, -(-pixels // PIXELS_PER_TASK)) or 1
    tables = np.zeros((tasks, 4, classes + 2, classes + 2), np.int64)
    # A number that the dtype does not have is in no pixel. 0 is a class, and not looked for.
    limits = np.iinfo(np.uint8 if target.dtype.kind == "b" else target.dtype)
    outside = ignored is not None and limits.min <= ignored <= limits.max
    number = ignored if outside and ignored is not None else 0
    number -= 2**64 if number >= 2**63 else 0
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
        (classes, classes), INT64, f"confusion_matrix of {classes:,} classes", "see label_overlap"
    )
    rows, cols, counts = _overlap(target, pred)
    if ignored is not None:
        kept = rows != ignored
        rows, cols, counts = rows[kept], cols[kept], counts[kept]
    if any(
        len(labels) and (labels.min() < 0 or labels.max() >= classes) for labels in (rows, cols)
    ):
        return None
    matrix[...] = 0
    matrix[rows, cols] = counts
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


class MeanIoU(NamedTuple):
    """IoU of every class, and their mean."""

    #: IoU of each class, float64; NaN for a class that is neither in the target nor predicted.
    per_class: Any
    #: Mean of those that are not NaN; NaN if all are.
    mean: float


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
                "num_classes and ignore_index go with target and pred, got them with a matrix"
            )
        given = value_array("matrix", target)
        inputs: tuple[Input, ...] = (given,)
        matrix = given.array
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(
                f"matrix must have the shape (C, C), got {matrix.shape}; for class maps pass "
                "target, pred and num_classes"
            )
        wrong = ~((matrix >= 0) & np.isfinite(matrix))
        if wrong.any():
            raise ValueError(
                f"matrix must hold finite counts of at least 0, got {matrix[wrong][0]}"
            )
    else:
        if num_classes is None:
            raise ValueError("num_classes must be an integer with target and pred, got None")
        given1, given2, matrix = _confusion(target, pred, num_classes, ignore_index)
        inputs = given1, given2
    hits = np.diagonal(matrix).astype(np.float64)
    union = matrix.sum(0, np.float64) + matrix.sum(1, np.float64) - hits
    per_class = np.full(len(hits), np.nan)
    np.divide(hits, union, out=per_class, where=union > 0)
    present = per_class[union > 0]
    mean = float(present.mean()) if len(present) else math.nan
    return MeanIoU(hand_back(per_class, *inputs), mean)


# ---- masks as arrays of values -----------------------------------------------------------------


def soft_iou(inputs: Any, targets: Any, *, smooth: float = 1e-6, axis: Any = None) -> Any:
    """IoU of two arrays of values, such as probabilities and a mask.

    With Σ over the elements, the intersection is Σ x·y and the union Σ (x + y) - Σ x·y; the result
    is (intersection + smooth) / (union + smooth).

    Parameters
    ----------
    inputs, targets : array_like
        Arrays of one shape, of any real dtype and memory layout: NumPy arrays, PyTorch tensors,
        other arrays that speak DLPack, or lists. From 0 to 1 the result lies there, too.
    smooth : float
        Added to intersection and union, so that two empty masks score 1. With 0 they score 0.
    axis : int or tuple of int, optional
        Axes to sum over; all if None. The others remain.

    Returns
    -------
    float64, or array of float64 without the axes summed over
        An array of the library that the inputs came from. Sums are made in float64, whatever the
        dtype, and are exact for integers as long as they stay below 2⁵³. A NaN gives NaN.

    Raises
    ------
    TypeError
        Not real numbers; a tensor that requires grad; two array libraries.
    ValueError
        Two shapes, axes that are none, a negative `smooth`.

    Examples
    --------
    >>> import fastiou
    >>> print(round(fastiou.soft_iou([0.9, 0.6, 0.1], [1, 1, 0]), 4))
    0.7143
    >>> fastiou.soft_iou([[1, 0], [0, 0]], [[1, 1], [0, 0]], smooth=0, axis=1)
    array([0.5, 0. ])
    """
    given1, given2 = value_array("inputs", inputs), value_array("targets", targets)
    check_one_library(given1, given2)
    check_one_shape(given1, given2)
    smooth = finite_number("smooth", smooth, lowest=0)
    axes = axis_numbers("axis", axis, given1.array.ndim)
    intersection, total = _value_sums(given1.array, given2.array, axes)
    with np.errstate(all="ignore"):
        score = _quotient(intersection + smooth, total - intersection + smooth)
    if axis is None and given1.wrap is None and given2.wrap is None:
        return np.float64(score)
    return hand_back(np.asarray(score), given1, given2)


def _quotient(numerator: Array, denominator: Array) -> Array:
    """The quotient, 0 where the denominator is 0."""
    with np.errstate(all="ignore"):
        return np.where(denominator == 0, 0.0, numerator / denominator)


def _value_sums(x: Array, y: Array, axes: tuple[int, ...]) -> Array:
    """Sums of x·y and of x + y over sorted axes; the first axis tells which."""
    few_bits = all(array.dtype.kind in "biu" and array.itemsize <= 2 for array in (x, y))
    combination = "integers" if few_bits else "values"
    # The last axes summed over, one beside the other, are summed first: for `columns` of them, or
    # for single elements, as the axes behind ask for. What is left is summed by NumPy.
    last = axes[-1] + 1 if axes else 0
    first = last
    while first - 1 in axes:
        first -= 1
    outer, behind = x.shape[:first], x.shape[last:]
    elements, columns = math.prod(x.shape[first:last]), math.prod(behind)
    shape = (math.prod(outer), elements, columns)
    partial = _partial_sums(x, y, shape, combination)
    found: Array = partial.sum(2, np.float64).reshape(2, *outer, *behind)
    rest = tuple(axis + 1 for axis in axes if axis < first)
    with np.errstate(all="ignore"):
        return found.sum(rest) if rest else found


def _partial_sums(x: Array, y: Array, shape: tuple[int, int, int], combination: str) -> Array:
    """Sums over the middle of `shape`, in blocks: (2, outer, block, column)."""
    outer, elements, columns = shape
    kernels = sums(combination)
    flat1, flat2 = flat_elements(x), flat_elements(y)
    if columns == 1:
        blocks = -(-elements // BLOCK)
        partial = np.empty((2, outer, blocks, 1), kernels.dtype)
        rows1, rows2 = flat1.reshape(outer, elements), flat2.reshape(outer, elements)
        units = outer * blocks
        each = VALUE_WORK * max(1, min(elements, BLOCK))
        for first, last, work in steps.ranges(units, each):
            threads.run(kernels.rows, work, rows1, rows2, first, last, partial[..., 0])
        return partial
    # At least 64 elements to a sum, so that the sums are few beside the elements.
    height = max(64, BLOCK // max(columns, 1))
    blocks = -(-elements // height)
    partial = np.zeros((2, outer, blocks, columns), kernels.dtype)
    units = outer * blocks * -(-columns // STRIP)
    each = VALUE_WORK * max(1, min(elements, height) * min(columns, STRIP))
    for first, last, work in steps.ranges(units, each):
        threads.run(
            kernels.columns, work, flat1.reshape(shape), flat2.reshape(shape),
            height, first, last, partial,
        )  # fmt: skip
    return partial


def thresholded_iou(outputs: Any, labels: Any, *, smooth: float = 1e-6) -> Any:
    """IoU of each binary mask of a batch, in steps of 0.1 from 0.5 on.

    With x the outputs and y the labels, iou = (Σ x&y + smooth) / (Σ x|y + smooth) for each image,
    and the result is ceil(clip(20 · (iou - 0.5), 0, 10)) / 10: 0 up to an IoU of 0.5, and 1 from
    above 0.95.

    Parameters
    ----------
    outputs, labels : array_like of int or bool, shapes (N, H, W) or (N, 1, H, W)
        Masks, of any memory layout: NumPy arrays, PyTorch tensors, other arrays that speak DLPack,
        or lists. Integers other than 0 and 1 are combined bit by bit, and their values are summed
        as int64. They must lie from -2**b to 2**b - 1, where H · W · 2**b is at most 2⁶³: b is 44
        for images of 640 × 640. All integers of 32 bits do, up to 2³¹ pixels an image.
    smooth : float
        Added to intersection and union, so that two empty masks score 1. With 0 they score 0.

    Returns
    -------
    array of float64, shape (N,)
        An array of the library that the inputs came from.

    Raises
    ------
    TypeError
        Floats, which need a threshold first; a tensor that requires grad; two array libraries.
    ValueError
        Other shapes, a negative `smooth`, integers too large to be summed.

    Examples
    --------
    >>> import fastiou
    >>> outputs = [[[1, 1, 1], [1, 1, 0]], [[0, 0, 0], [0, 0, 0]], [[1, 1, 1], [1, 1, 1]]]
    >>> labels = [[[1, 1, 1], [1, 1, 1]], [[0, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]]]
    >>> fastiou.thresholded_iou(outputs, labels)
    array([0.7, 1. , 0. ])
    """
    smooth = finite_number("smooth", smooth, lowest=0)
    given1, given2 = mask_batch("outputs", outputs), mask_batch("labels", labels)
    check_one_library(given1, given2)
    check_one_shape(given1, given2)
    x, y = given1.array, given2.array
    if np.result_type(x, y).kind == "f":
        raise TypeError(
            f"outputs and labels must have an integer type in common, got {x.dtype} and {y.dtype}"
        )
    _check_sums(given1)
    _check_sums(given2)
    images, height, width = x.shape
    partial = _partial_sums(x, y, (images, height * width, 1), "bits")
    intersection, union = partial.sum((2, 3))
    iou = _quotient(intersection + smooth, union + smooth)
    return hand_back(np.ceil(np.clip(20 * (iou - 0.5), 0, 10)) / 10, given1, given2)


def _check_sums(given: Input) -> None:
    """Refuse values whose sums over an image could leave int64.

    Values from -2**bits to 2**bits - 1 stay there, whatever is combined bit by bit.
    """
    masks = given.array
    pixels = math.prod(masks.shape[1:])
    if masks.dtype.kind == "b" or not masks.size:
        return
    bits = 63 - (pixels - 1).bit_length()  # the most with pixels * 2**bits <= 2**63
    limits = np.iinfo(masks.dtype)
    if -(2**bits) <= limits.min and limits.max < 2**bits:
        return
    for value in (int(masks.min()), int(masks.max())):
        if not -(2**bits) <= value < 2**bits:
            raise ValueError(
                f"{given.name} must hold integers from -2**{bits} to 2**{bits} - 1, so that sums "
                f"over the {pixels:,} pixels of an image fit int64, got {value}"
            )


# ---- words for scores --------------------------------------------------------------------------


def iou_grade(iou: Any, *, excellent: float = 0.95, good: float = 0.7) -> Any:
    """Say in a word how good an IoU is.

    Parameters
    ----------
    iou : float or array_like
        Scores.
    excellent, good : float
        Scores above these get these words; `good` must not be above `excellent`.

    Returns
    -------
    str, or array of str of the shape of `iou`
        "excellent", "good" or "poor". There are no tensors of words: arrays of any library give one
        of NumPy.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        A NaN, which is no score, or cuts in the wrong order.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.iou_grade(0.96)
    'excellent'
    >>> fastiou.iou_grade([0.95, 0.7])
    array(['good', 'poor'], dtype='<U9')
    """
    excellent = finite_number("excellent", excellent)
    good = finite_number("good", good)
    if good > excellent:
        raise ValueError(f"good must not be above excellent, got {good!r} and {excellent!r}")
    scores = value_array("iou", iou).array
    missing = np.isnan(scores)
    if missing.any():
        where = tuple(map(int, np.unravel_index(int(missing.argmax()), missing.shape)))
        place = f" at {where[0] if len(where) == 1 else where}" if where else ""
        raise ValueError(f"iou must hold numbers, got NaN{place}; a NaN is no score")
    # Compared as float64 whatever came, so that the cuts are not rounded to its dtype.
    scores = scores.astype(np.float64)
    words = np.where(scores > excellent, "excellent", np.where(scores > good, "good", "poor"))
    words = words.astype("<U9")
    return words if words.ndim else str(words)
