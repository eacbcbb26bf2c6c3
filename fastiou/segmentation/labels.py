"""Pairs of labels that share pixels in two label images: how many, and how they score."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays import backends
from fastiou.arrays.checks import check_choice, check_one_shape
from fastiou.arrays.inputs import (
    Input,
    check_one_library,
    flat_elements,
    hand_back,
    label_image,
)
from fastiou.metrics import METRICS
from fastiou.runtime import chunks, distinct, memory, steps, threads
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.segmentation.label_kernels import (
    CHUNK,
    COLLECT,
    COLLECT_FEW,
    DENSE,
    FEWEST_SLOTS,
    MOST_SLOTS,
    PACK,
    SCATTER,
    SORT,
    UNPACK,
    scorer,
)
from fastiou.tables.listing import Listing
from fastiou.typing import Array

__all__ = [
    "LABEL_WORK",
    "PIXELS_PER_TASK",
    "LabelOverlap",
    "count_pairs",
    "flat_bits",
    "label_areas",
    "label_form",
    "label_images",
    "label_iou",
    "label_overlap",
]


INT64 = np.dtype(np.int64)

#: Parts into which the pixels of a step are cut for the threads. They are so many that no thread
#: waits long for the last. Each has its own table and list.
TASKS = 32

#: Work of counting a pixel, in scores of boxes (see `threads.run`).
LABEL_WORK = 4

#: Work of a pair of labels in each step of merging lists, likewise.
PAIR_WORK = 32

#: Fewer pixels are one part.
PIXELS_PER_TASK = 1 << 14

#: Up to so many pixels, one task counts all of them in one list if their pairs are few. Tasks,
#: lists and merges take 0.2 ms more, twice as long as counting 640 × 480 pixels, and two threads
#: gained nothing on 1,024 × 1,024.
FEW_PIXELS = 1 << 20

#: Slots of its table, and entries of its list.
FEW_SLOTS, FEW_ENTRIES = 1 << 12, 3 * CHUNK

#: Labels up to so many times their entries are looked up in a table.
SPARSE = 8

#: Entries of a bucket from which on it is sorted in pieces: one kernel would take too long.
LARGE_BUCKET = 1 << 22

#: Lists up to this length are sorted by NumPy, which takes at most 20 ms and compiles nothing.
SORTED_BY_NUMPY = 1 << 18


# ---- public ------------------------------------------------------------------------------------


class _LabelOverlap(NamedTuple):
    #: Label in the first image: int64, or uint64 if one is 2⁶³ or more.
    rows: Any
    #: Label in the second image, likewise.
    cols: Any
    #: Pixels that carry both labels, int64; or a metric, float64.
    values: Any


class LabelOverlap(Listing, _LabelOverlap):
    """Pairs of labels that share pixels, sorted by row and column.

    A named tuple of the three arrays.

    Attributes
    ----------
    rows, cols : array
        Label in the first and in the second image: int64, or uint64 if one is 2⁶³ or more.
    values : array
        Pixels that carry both labels, int64; or a metric, float64.
    """


def label_overlap(labels1: Any, labels2: Any) -> LabelOverlap:
    """Count the pixels of every pair of labels that two label images have in one place.

    Memory is proportional to the pairs that occur, whatever the labels: there is no table of all
    labels by all labels.

    Parameters
    ----------
    labels1, labels2 : array_like of int or bool
        Label images of one shape, with any number of dimensions, any integer dtype and any memory
        layout: NumPy arrays, PyTorch tensors, other arrays that speak DLPack, or lists. Arrays of
        uint8 of shape (..., H, W, 3) or (..., H, W, 4) are colour images and refused, and so are
        wider unsigned integers up to 255 in images of 8 pixels a side and more:
        `labels_from_colors` makes labels of them, and a volume of such a side is passed as signed
        integers. Of uint8 of shape (3, H, W), which may be the channels of one image, a warning is
        given.

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
        Two shapes, or colour images.
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
    given1, given2 = label_images("labels1", labels1, "labels2", labels2)

    def on_cpu() -> LabelOverlap:
        parts = count_pairs(given1.array, given2.array)
        return LabelOverlap(*(hand_back(part, given1, given2) for part in parts))

    return backends.compute_in_place(
        (given1, given2), lambda gpu: _on_gpu(given1, given2, None, gpu), on_cpu
    )


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
    given1, given2 = label_images("labels1", labels1, "labels2", labels2)

    def on_cpu() -> LabelOverlap:
        parts = _scored(metric, *count_pairs(given1.array, given2.array))
        return LabelOverlap(*(hand_back(part, given1, given2) for part in parts))

    return backends.compute_in_place(
        (given1, given2), lambda gpu: _on_gpu(given1, given2, metric, gpu), on_cpu
    )


def _scored(metric: str, rows: Array, cols: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Pairs of labels without the background, and their scores."""
    kernel, (_, areas1, places1), (_, areas2, places2) = (
        scorer(metric), label_areas(rows, counts), label_areas(cols, counts),
    )  # fmt: skip
    parts = np.empty(len(rows), rows.dtype), np.empty(len(cols), cols.dtype), np.empty(len(counts))
    end = 0
    for own in chunks.slices(len(counts)):
        kept = own.start + np.flatnonzero((rows[own] != 0) & (cols[own] != 0))
        begin, end = end, end + len(kept)
        parts[0][begin:end], parts[1][begin:end] = rows[kept], cols[kept]
        threads.run(
            kernel, len(kept), counts[kept].astype(np.float64), areas1[places1[kept]],
            areas2[places2[kept]], parts[2][begin:end],
        )  # fmt: skip
    for part in parts:
        part.resize(end, refcheck=False)
    return parts


def _on_gpu(given1: Input, given2: Input, metric: str | None, place: GpuArray) -> LabelOverlap:
    """Pairs of labels where the images lie, with their pixels, or their scores by a metric.

    The host learns how many there are, and no more.
    """
    from fastiou.runtime.gpu import working
    from fastiou.runtime.gpu_sort import sort_on_gpu
    from fastiou.segmentation import gpu_labels

    dtypes = given1.held.dtype, given2.held.dtype
    with working(place) as work:
        keeps = label_form(dtypes[0])[0], label_form(dtypes[1])[0]
        pairs = gpu_labels.count_on_gpu(work, given1, given2, keeps)
        count = pairs.told[gpu_labels.PAIRS if metric is None else gpu_labels.KEPT]
        work.reserve(24 * count, f"label_overlap with {count:,} pairs of labels")
        columns = [
            np.dtype(np.uint64) if dtype == np.uint64 and is_high else INT64
            for dtype, is_high in zip(dtypes, pairs.told[gpu_labels.HIGH1 :], strict=True)
        ]
        kinds = *columns, INT64 if metric is None else np.dtype(np.float64)
        results = [work.result(place, (count,), kind) for kind in kinds]
        if count:
            parts = [result.device for result in results]
            if metric is None:
                pairs.append(work, *parts)
            else:
                gpu_labels.scores_on_gpu(work, pairs, metric, *parts)
            sort_on_gpu(work, *parts)
        return LabelOverlap(*(result.handed() for result in results))


def label_areas(labels: Array, counts: Array) -> tuple[Array, Array, Array]:
    """What one image has: its labels, ascending, their pixels as float64, and places of entries.

    `labels` and `counts` are a column and the counts of `count_pairs`. A place tells which of the
    labels an entry has.
    """
    if 0 < len(labels) <= chunks.PIECE and labels.min() >= 0:
        highest = int(labels.max())
        if highest < SPARSE * len(labels):  # a table takes a third of the time of sorting
            table = np.bincount(labels.view(np.int64), weights=counts)
            known = np.flatnonzero(table)
            numbers = np.empty(highest + 1, np.int64)
            numbers[known] = np.arange(len(known))
            return known.astype(labels.dtype, copy=False), table[known], numbers[labels]
    known, places = distinct.numbered(labels)
    if len(labels) <= chunks.PIECE:
        return known, np.bincount(places, weights=counts), places
    return known, distinct.sums_of(places, counts, len(known)).astype(np.float64), places


# ---- images ------------------------------------------------------------------------------------


def label_images(name1: str, value1: Any, name2: str, value2: Any) -> tuple[Input, Input]:
    """Two arguments that must be label images of one shape, checked."""
    given1, given2 = label_image(name1, value1), label_image(name2, value2)
    check_one_library(given1, given2)
    check_one_shape(given1, given2)
    return given1, given2


def flat_bits(array1: Array, array2: Array) -> tuple[Array, Array]:
    """The pixels of both images in one order, as signed integers of the same bits."""
    if array1.flags.f_contiguous and array2.flags.f_contiguous:  # then no copy is needed
        array1, array2 = array1.T, array2.T
    return (
        flat_elements(array1, as_bits=True),
        flat_elements(array2, as_bits=True),
    )


def label_form(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Which bits of a pixel read as signed to keep, and which to turn.

    The labels are then in the order of the image's own dtype.
    """
    if dtype.kind == "i":
        return -1, 0
    return (-1, -(2**63)) if dtype.itemsize == 8 else (2 ** (8 * dtype.itemsize) - 1, 0)


def _labels(column: Array, dtype: np.dtype[Any]) -> Array:
    """The labels of an image of this dtype from a column of a list."""
    if label_form(dtype)[1] == 0:
        return column
    labels: Array = column.view(np.uint64) ^ np.uint64(2**63)
    return labels if len(labels) and int(labels.max()) >= 2**63 else labels.view(np.int64)


# ---- pairs -------------------------------------------------------------------------------------


def count_pairs(array1: Array, array2: Array) -> tuple[Array, Array, Array]:
    """Both labels and the pixels of every pair that occurs, sorted by label."""
    forms = np.array([*label_form(array1.dtype), *label_form(array2.dtype)], np.int64)
    flat1, flat2 = flat_bits(array1, array2)
    few = _few_pairs(flat1, flat2, forms) if len(flat1) <= FEW_PIXELS else None
    if few is None:
        lists = _listed_pairs(flat1, flat2, forms)
        few = lists.columns[0, :, : lists.lengths[0]]
    rows, cols, counts = map(np.ascontiguousarray, few)  # which JAX asks for
    return _labels(rows, array1.dtype), _labels(cols, array2.dtype), counts


def _few_pairs(labels1: Array, labels2: Array, forms: Array) -> Array | None:
    """Columns of all pairs of a small image, sorted; None where they are too many."""
    table = np.zeros((FEW_SLOTS, 3), np.int64)
    columns = np.empty((3, FEW_ENTRIES), np.int64)
    found = COLLECT_FEW.serial(labels1, labels2, forms, FEWEST_SLOTS, table, columns)
    return None if found < 0 else _sorted(columns[:, :found])


def _sorted(columns: Array) -> Array:
    """Labels and counts (3, entry) sorted, and the counts of equal labels added up."""
    rows, cols, _ = columns = columns[:, _order_of(columns[0], columns[1])]
    is_new = (rows[1:] != rows[:-1]) | (cols[1:] != cols[:-1])
    if is_new.all():
        return columns
    starts = np.concatenate([[0], 1 + np.flatnonzero(is_new)])
    columns[2, : len(starts)] = np.add.reduceat(columns[2], starts)
    columns[:2, : len(starts)] = columns[:2, starts]
    return columns[:, : len(starts)]


def _order_of(rows: Array, cols: Array) -> Array:
    """The order by row and then column; that of equal pairs does not matter."""
    if not len(rows):
        return np.empty(0, np.int64)
    low, width = int(cols.min()), int(cols.max()) - int(cols.min()) + 1
    if (int(rows.max()) - int(rows.min()) + 1) * width >= 2**63:
        return np.lexsort((cols, rows))
    # One number of both: 1,075 pairs take 0.03 ms, and 0.26 by two keys.
    return np.argsort((rows - rows.min()) * width + (cols - low))


def _listed_pairs(labels1: Array, labels2: Array, forms: Array) -> _Lists:
    """One list of all pairs, sorted."""
    pixels = len(labels1)
    tasks = min(TASKS, -(-pixels // PIXELS_PER_TASK)) or 1
    # No more than twice as many slots as a task has pixels: 19 tables of `MOST_SLOTS` for 480 × 640
    # pixels of noise took 28 ms, most of it to clear them.
    most = min(MOST_SLOTS, max(FEWEST_SLOTS, 1 << (2 * pixels // tasks).bit_length()))
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
            lists = lists.merged(tasks, most // 2 + CHUNK, -(-left // tasks) + 2 * CHUNK)
            if tables.shape[1] < most:
                # Made only now: to clear large tables takes four times as long as to count objects.
                tables = np.zeros((tasks, most, 3), np.int64)
    return lists.merged(1, 0, 0)


def _columns(count: int, *shape: int) -> Any:
    """Columns of numbers, one for each of many pairs of labels."""
    return memory.allocate(
        (count, *shape),
        INT64,
        f"label_overlap with {math.prod(shape):,} pairs of labels",
        "overlap parts of the images",
    )


def _sort_in_pieces(keys: Array, counts: Array) -> int:
    """Sort keys and add up the counts of equal ones, at the beginning; returns how many differ."""
    known, places = distinct.numbered(keys)
    sums = distinct.sums_of(places, counts, len(known))
    for own in chunks.slices(len(known)):
        keys[own], counts[own] = known[own], sums[own]
    return len(known)


class _Keys:
    """How a pair of labels becomes a key of at most 63 bits, and into which bucket a key goes."""

    def __init__(self, ranges: Array, total: int) -> None:
        self.ranges = ranges
        extremes = zip((np.min, np.max, np.min, np.max), ranges.T, strict=True)
        low1, high1, low2, high2 = (int(extreme(column)) for extreme, column in extremes)
        self.lows = np.array([low1, low2])
        self.bits2 = max(0, high2 - low2).bit_length()
        bits = max(0, high1 - low1).bit_length() + self.bits2
        self.fit = bits <= 63
        # Up to 8,192 keys to a bucket, if they spread evenly. With their counts and a copy of both
        # they are 256 KB, and fit an L2 cache.
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
        found = np.zeros(self.buckets, np.int64)
        tables = np.empty((TASKS, DENSE), np.int64)
        begin = 0
        for large in (*np.flatnonzero(np.diff(starts) > LARGE_BUCKET).tolist(), self.buckets):
            own = starts[begin : large + 1]
            for first, last, work in steps.spans(own, PAIR_WORK):
                threads.run(
                    SORT, work, *entries, *spare, own[first : last + 1], self.shift,
                    found[begin + first : begin + last], tables,
                )  # fmt: skip
            if large < self.buckets:
                found[large] = _sort_in_pieces(*entries[:, starts[large] : starts[large + 1]])
            begin = large + 1
        ends = np.concatenate([[0], np.cumsum(found)])
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
        pixels may need so many. Lists thus grow fourfold, and all merges together sort at most 2.4
        times as many entries as the last.
        """
        total = int(self.lengths.sum())
        keys = _Keys(self.ranges, total)
        if total > SORTED_BY_NUMPY and not keys.fit:
            known = self._rank()
            result = self.merged(tasks, room, left)
            result._name(known)
            return result
        if total <= SORTED_BY_NUMPY:
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
        # The first list is scattered over all of it, and would have all pages cleared in one step:
        # 0.5 s for images of 6,000 × 8,000.
        for first, last, _ in steps.ranges(total, PAIR_WORK):
            entries[:, first:last] = 0
        places = keys.places(sizes)
        for first, last, work in steps.spans(before, PAIR_WORK):
            threads.run(
                SCATTER, work, self.columns[first:last], self.lengths[first:last], keys.shift,
                places[first:last], *entries,
            )  # fmt: skip
        # What was scattered is not needed any more.
        spare = self.columns.reshape(-1)[: 2 * total].reshape(2, total)
        return keys.sorted_lists(sizes, entries, spare, tasks, room, left)

    def _rank(self) -> list[Array]:
        """Put in place of each label its rank among all of its image, and return the labels."""
        known = []
        for column in (0, 1):
            parts = [
                part[column, :length]
                for part, length in zip(self.columns, self.lengths, strict=True)
            ]
            labels = np.empty(int(self.lengths.sum()), np.int64)
            end = 0
            for part in parts:
                begin, end = end, end + len(part)
                labels[begin:end] = part
            labels = distinct.distinct(labels)
            for part in parts:
                part[:] = distinct.places_in(labels, part)
            self.ranges[:, 2 * column : 2 * column + 2] = 0, len(labels) - 1
            known.append(labels)
        return known

    def _name(self, known: list[Array]) -> None:
        """Put labels back in place of their ranks."""
        for column, labels in enumerate(known):
            for part, length in zip(self.columns, self.lengths, strict=True):
                for own in chunks.slices(int(length)):
                    part[column, own] = labels[part[column, own]]
            self.ranges[0, 2 * column : 2 * column + 2] = labels[0], labels[-1]

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
