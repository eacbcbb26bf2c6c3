"""Label images on a GPU: pairs of labels, their scores, and confusion of classes.

A table with open addresses holds the pairs that occur. A slot holds the number of a pixel that
carries its pair, and whoever looks compares the labels of that pixel: so labels need no common key,
and one atomic exchange claims a slot. The first table is small. One that is too full is told of,
and all is counted again with sixteen times as many slots, up to twice the pixels.

Counts are integers, so the result is that of the CPU, bit for bit.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from fastiou.arrays.inputs import Input, elements_on_gpu
from fastiou.metrics import METRICS
from fastiou.runtime.bit_vectors import mixed
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.gpu_kernel import CudaKernel

__all__ = [
    "APPEND",
    "CONFUSE",
    "COUNT",
    "GpuPairs",
    "confusion",
    "count_on_gpu",
    "score_kernel",
    "scores_on_gpu",
]


#: Pixels that a thread takes, one after the other: a run of equal pairs is added once.
STRIP = 32

#: Slots of the first table, and how many times as many the next one has.
FEWEST_SLOTS, GROWTH = 1 << 14, 16

#: Slots that are looked at for a pair, but in the largest table. The longest run of taken slots in
#: one that is half full is about ln(slots) / (ln 2 - 1/2): 65 of 2^18.
MOST_PROBES = 128

#: What is told of a table: pairs, those without the background, whether it is too full, and whether
#: a label of either image has its highest bit set.
PAIRS, KEPT, IS_FULL, HIGH1, HIGH2 = range(5)


# ---- kernels -----------------------------------------------------------------------------------


def _slot_of(
    labels1: Any, labels2: Any, label1: int, label2: int, owners: Any, pixel: int, most: int
) -> int:
    """The slot of a pair, which is claimed by `pixel` if none has it yet; -1 if none is found.

    A claim is told by 2^62 more. With `pixel` -1 nothing is claimed.
    """
    last = np.int64(owners.shape[0] - 1)
    slot = np.int64(mixed(label1, label2) >> np.uint64(20)) & last
    for _ in range(most):
        owner = owners[slot]
        if owner < 0:
            if pixel < 0:
                return np.int64(-1)
            owner = cuda.atomic.cas(owners, slot, np.int64(-1), np.int64(pixel))
            if owner < 0:
                return slot + (np.int64(1) << 62)
        if labels1[owner] == label1 and labels2[owner] == label2:
            return slot
        slot = (slot + 1) & last
    return np.int64(-1)


def _count(
    labels1: Any,
    labels2: Any,
    weights: Any,
    keep1: int,
    keep2: int,
    owners: Any,
    counts: Any,
    most: int,
    told: Any,
) -> None:
    """Count pixels by pair of labels.

    Parameters
    ----------
    labels1, labels2
        (pixel,) signed integers: both images.
    weights
        (pixel,) int64: what a pixel counts; none for 1.
    keep1, keep2
        The bits of a pixel that are its label.
    owners, counts
        (slot,) int64, as many as a power of two: -1 and 0, and get a pixel of a pair, and pixels.
    most
        Slots to look at for a pair.
    told
        (5,) int64: zeros, gets what the top of this file says.
    """
    thread = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    start = thread * STRIP
    last = min(start + STRIP, np.int64(labels1.shape[0]))
    while start < last:
        label1 = labels1[start]
        label2 = labels2[start]
        end = start
        number = np.int64(0)
        while end < last and labels1[end] == label1 and labels2[end] == label2:
            number += weights[end] if weights.shape[0] > 0 else 1
            end += 1
        if told[IS_FULL] != 0:
            return
        slot = _slot_of(labels1, labels2, label1, label2, owners, start, most)
        if slot < 0:
            told[IS_FULL] = 1
            return
        if slot >= np.int64(1) << 62:
            slot -= np.int64(1) << 62
            own1 = np.int64(label1) & keep1
            own2 = np.int64(label2) & keep2
            cuda.atomic.add(told, PAIRS, 1)
            if own1 != 0 and own2 != 0:
                cuda.atomic.add(told, KEPT, 1)
            if own1 < 0:
                told[HIGH1] = 1
            if own2 < 0:
                told[HIGH2] = 1
        cuda.atomic.add(counts, slot, number)
        start = end


COUNT = CudaKernel(_count, "count-labels")


def _append(
    labels1: Any,
    labels2: Any,
    keep1: int,
    keep2: int,
    owners: Any,
    counts: Any,
    cursor: Any,
    rows: Any,
    cols: Any,
    values: Any,
) -> None:
    """List the pairs of a table, in no order.

    Parameters
    ----------
    labels1, labels2, keep1, keep2, owners, counts
        As `_count` takes and leaves them.
    cursor
        (1,) int64: 0, gets the number of pairs.
    rows, cols, values
        (pair,) int64: get both labels and the pixels.
    """
    slot = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if slot < owners.shape[0] and owners[slot] >= 0:
        pixel = owners[slot]
        place = cuda.atomic.add(cursor, 0, 1)
        rows[place] = np.int64(labels1[pixel]) & keep1
        cols[place] = np.int64(labels2[pixel]) & keep2
        values[place] = counts[slot]


APPEND = CudaKernel(_append, "append-labels")


@functools.cache
def score_kernel(metric: str) -> CudaKernel:
    """Make the kernel that lists the scores of pairs without the background, in no order."""
    formula = METRICS[metric].formula

    def score(
        rows: Any,
        cols: Any,
        counts: Any,
        owners1: Any,
        areas1: Any,
        owners2: Any,
        areas2: Any,
        cursor: Any,
        kept_rows: Any,
        kept_cols: Any,
        values: Any,
    ) -> None:
        """Score pairs.

        Parameters
        ----------
        rows, cols, counts
            (pair,) int64: as `_append` leaves them.
        owners1, areas1, owners2, areas2
            (slot,) int64: as `_count` leaves them, of rows with themselves and of columns.
        cursor
            (1,) int64: 0, gets the number of pairs that are kept.
        kept_rows, kept_cols, values
            (kept,) int64, int64 and float64: get both labels and the score.
        """
        pair = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if pair < rows.shape[0] and rows[pair] != 0 and cols[pair] != 0:
            row = rows[pair]
            col = cols[pair]
            slot1 = _slot_of(rows, rows, row, row, owners1, -1, owners1.shape[0])
            slot2 = _slot_of(cols, cols, col, col, owners2, -1, owners2.shape[0])
            place = cuda.atomic.add(cursor, 0, 1)
            kept_rows[place] = row
            kept_cols[place] = col
            values[place] = formula(
                np.float64(counts[pair]), np.float64(areas1[slot1]), np.float64(areas2[slot2])
            )

    return CudaKernel(score, f"score-labels-{metric}")


def _confuse(
    target: Any,
    pred: Any,
    keep1: int,
    keep2: int,
    ignored: int,
    ignores: bool,
    classes: int,
    matrix: Any,
    outside: Any,
) -> None:
    """Count pixels by true and predicted class.

    Parameters
    ----------
    target, pred
        (pixel,) signed integers.
    keep1, keep2
        The bits of a pixel that are its class.
    ignored, ignores
        The number in `target` that is left out, and whether one is.
    classes
        Their number.
    matrix
        (classes²,) int64: zeros, gets the counts, by rows of true classes.
    outside
        (1,) int64: gets 1 if there is a class that is none.
    """
    thread = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    start = thread * STRIP
    last = min(start + STRIP, np.int64(target.shape[0]))
    while start < last:
        row = np.int64(target[start]) & keep1
        col = np.int64(pred[start]) & keep2
        end = start + 1
        while end < last and target[end] == target[start] and pred[end] == pred[start]:
            end += 1
        if not (ignores and row == ignored):
            if 0 <= row < classes and 0 <= col < classes:
                cuda.atomic.add(matrix, row * classes + col, end - start)
            else:
                outside[0] = 1
        start = end


CONFUSE = CudaKernel(_confuse, "confuse-labels")


# ---- calls -------------------------------------------------------------------------------------


class GpuPairs(NamedTuple):
    """A table of the pairs of labels that occur, on a GPU."""

    #: Both images (pixel,) as signed integers, and the bits of a pixel that are its label.
    labels: tuple[Any, Any]
    keeps: tuple[int, int]
    owners: Any
    counts: Any
    #: What is told of it, by the numbers at the top of this file.
    told: tuple[int, ...]

    def append(self, work: Work, rows: Any, cols: Any, values: Any) -> None:
        """List the pairs in arrays (pair,) of 64 bits on the GPU, in no order."""
        cursor = work.to_device(np.zeros(1, np.int64))
        parts = (part.view(np.int64) for part in (rows, cols, values))
        work.launch(
            APPEND, self.owners.size, *self.labels, *self.keeps, self.owners, self.counts,
            cursor, *parts,
        )  # fmt: skip


def count_on_gpu(work: Work, given1: Input, given2: Input, keeps: tuple[int, int]) -> GpuPairs:
    """Count the pairs of labels of two images, of which at least one lies on the GPU."""
    one, other = (elements_on_gpu(work, given, as_bits=True) for given in (given1, given2))
    labels = one, other
    none = work.copied(np.empty(0, np.int64))
    enough = _enough_slots(labels[0].size)
    slots = min(FEWEST_SLOTS, enough)
    while True:
        most = slots if slots == enough else MOST_PROBES
        owners, counts, told = _counted(work, labels, keeps, none, slots, most)
        found = tuple(map(int, work.to_host(told)))
        if not found[IS_FULL]:
            return GpuPairs(labels, keeps, owners, counts, found)
        del owners, counts  # before more is asked for
        slots = min(GROWTH * slots, enough)


def _enough_slots(pixels: int) -> int:
    """Slots that no table of so many pixels fills by more than half: a power of two."""
    return 1 << (2 * pixels - 1).bit_length()


def _counted(
    work: Work,
    labels: tuple[Any, Any],
    keeps: tuple[int, int],
    weights: Any,
    slots: int,
    most: int,
) -> tuple[Any, Any, Any]:
    """Count pairs in a table: its owners and counts, and what is told of it (see `_count`)."""
    work.reserve(16 * slots, "the table of the pairs of labels")
    owners, counts = work.full(slots, np.int64, -1), work.full(slots, np.int64, 0)
    told = work.to_device(np.zeros(5, np.int64))
    work.launch(
        COUNT, -(-labels[0].size // STRIP), *labels, weights, *keeps, owners, counts, most,
        told,
    )  # fmt: skip
    return owners, counts, told


def scores_on_gpu(
    work: Work, pairs: GpuPairs, metric: str, rows: Any, cols: Any, values: Any
) -> None:
    """Score the pairs without the background, in arrays (kept,) on the GPU, in no order."""
    found = pairs.told[PAIRS]
    work.reserve(24 * found, "the list of the pairs of labels")
    listed = [work.empty(found, np.int64) for _ in range(3)]
    pairs.append(work, *listed)
    slots = _enough_slots(found)
    parts = [
        part
        for column in listed[:2]
        for part in _counted(work, (column, column), (-1, -1), listed[2], slots, slots)[:2]
    ]
    cursor = work.to_device(np.zeros(1, np.int64))
    work.launch(
        score_kernel(metric), found, *listed, *parts, cursor, rows.view(np.int64),
        cols.view(np.int64), values,
    )  # fmt: skip


def confusion(
    work: Work,
    place: GpuArray,
    given: tuple[Input, Input],
    keeps: tuple[int, int],
    ignored: int | None,
    classes: int,
) -> Any:
    """The confusion matrix (classes, classes) on the GPU; None if there is a class that is none."""
    labels = [elements_on_gpu(work, one, as_bits=True) for one in given]
    matrix = work.result(place, (classes, classes), np.dtype(np.int64))
    flat = matrix.device.reshape(classes**2)
    work.fill(flat, 0)
    outside = work.to_device(np.zeros(1, np.int64))
    work.launch(
        CONFUSE, -(-labels[0].size // STRIP), *labels, *keeps, ignored or 0,
        ignored is not None, classes, flat, outside,
    )  # fmt: skip
    return None if work.to_host(outside)[0] else matrix.handed()
