"""Dense and aligned scores of boxes on a GPU: one factory, kernels for each metric.

What should bound the dense float32 kernel is writing its result. Each thread therefore keeps four
columns in registers, areas among them, and scores them with one row after the other; what it stores
for a row is one access of 16 bytes. A row that does not begin at a multiple of 16 bytes is stored
by single numbers, neighbours by neighbouring threads.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import cuda

from fastiou.cpu.columns import BoxColumns, box
from fastiou.cuda.compilation import CudaKernel, blocks_for, threads_of_block
from fastiou.cuda.device import Work
from fastiou.cuda.primitives import load4, store4
from fastiou.metrics import METRICS

__all__ = ["PairwiseKernels", "aligned_scores", "dense_scores", "pairwise"]

Array = npt.NDArray[Any]

#: Threads of a block, and rows that each scores with its four columns: enough that loading these
#: does not count.
THREADS = 256
ROWS = 16


class PairwiseKernels(NamedTuple):
    """The kernels of one metric, each for results with crowds among the columns or without."""

    #: A dense result whose rows all begin at a multiple of 16 bytes, and any other.
    vector: CudaKernel
    scalar: CudaKernel
    #: Box i of one set against box i of the other.
    aligned: CudaKernel


@functools.cache
def pairwise(metric: str, with_crowds: bool = False) -> PairwiseKernels:
    """Make the kernels of a metric."""
    formula = METRICS[metric].formula
    measure = METRICS[metric].measure
    crowd_formula = METRICS["iof"].formula
    crowd_measure = METRICS["iof"].measure

    def score(box1: Any, box2: Any, crowd: Any, column: int) -> Any:
        if with_crowds and crowd[column]:
            return crowd_formula(*crowd_measure(box1, box2))
        return formula(*measure(box1, box2))

    def vector(
        corners1: Any,
        measures1: Any,
        corners2: Any,
        measures2: Any,
        length: int,
        starts1: Any,
        starts2: Any,
        crowd: Any,
        rows: int,
        columns: int,
        scores: Any,
    ) -> None:
        wide = 4 * cuda.blockDim.x
        across = (columns + wide - 1) // wide
        down = (rows + ROWS - 1) // ROWS
        tile = np.int64(cuda.blockIdx.x)
        column = tile % across * wide + 4 * cuda.threadIdx.x
        if column >= columns:
            return
        batch = tile // across // down
        first = tile // across % down * ROWS
        place = starts2[batch] + column
        left = load4(corners2, place)
        top = load4(corners2, place + length)
        right = load4(corners2, place + 2 * length)
        bottom = load4(corners2, place + 3 * length)
        area = load4(measures2, place)
        aspect = load4(measures2, place + length)
        x = load4(measures2, place + 2 * length)
        y = load4(measures2, place + 3 * length)
        box_a = left[0], top[0], right[0], bottom[0], area[0], aspect[0], x[0], y[0]
        box_b = left[1], top[1], right[1], bottom[1], area[1], aspect[1], x[1], y[1]
        box_c = left[2], top[2], right[2], bottom[2], area[2], aspect[2], x[2], y[2]
        box_d = left[3], top[3], right[3], bottom[3], area[3], aspect[3], x[3], y[3]
        start = starts1[batch] + first
        result = (batch * rows + first) * columns + column
        for row in range(min(ROWS, rows - first)):
            box1 = box(corners1, measures1, start + row)
            store4(
                scores,
                result,
                score(box1, box_a, crowd, column),
                score(box1, box_b, crowd, column + 1),
                score(box1, box_c, crowd, column + 2),
                score(box1, box_d, crowd, column + 3),
            )
            result += columns

    def scalar(
        corners1: Any,
        measures1: Any,
        corners2: Any,
        measures2: Any,
        starts1: Any,
        starts2: Any,
        crowd: Any,
        rows: int,
        columns: int,
        scores: Any,
    ) -> None:
        wide = cuda.blockDim.x
        across = (columns + wide - 1) // wide
        down = (rows + ROWS - 1) // ROWS
        tile = np.int64(cuda.blockIdx.x)
        column = tile % across * wide + cuda.threadIdx.x
        if column >= columns:
            return
        batch = tile // across // down
        first = tile // across % down * ROWS
        box2 = box(corners2, measures2, starts2[batch] + column)
        start = starts1[batch] + first
        result = (batch * rows + first) * columns + column
        for row in range(min(ROWS, rows - first)):
            scores[result] = score(box(corners1, measures1, start + row), box2, crowd, column)
            result += columns

    def aligned(
        corners1: Any,
        measures1: Any,
        corners2: Any,
        measures2: Any,
        crowd: Any,
        first: int,
        scores: Any,
    ) -> None:
        place = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if place < scores.shape[0]:
            i = first + place
            box1 = box(corners1, measures1, i)
            scores[place] = score(box1, box(corners2, measures2, i), crowd, i)

    suffix = "-crowds" if with_crowds else ""
    return PairwiseKernels(
        CudaKernel(vector, f"dense-{metric}{suffix}"),
        CudaKernel(scalar, f"dense-scalar-{metric}{suffix}"),
        CudaKernel(aligned, f"aligned-{metric}{suffix}"),
    )


def _finish(
    factor: Any,
    other_factor: Any,
    starts1: Any,
    starts2: Any,
    missing1: Any,
    missing2: Any,
    rows: int,
    columns: int,
    scores: Any,
) -> None:
    """Take areas back to the units of the input, and score what is missing with NaN."""
    place = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if place < scores.shape[0]:
        batch = place // columns // rows
        row = starts1[batch] + place // columns % rows
        column = starts2[batch] + place % columns
        missing = missing1.shape[0] > 0 and missing1[row]
        if missing or (missing2.shape[0] > 0 and missing2[column]):
            scores[place] = np.nan
        else:
            # Twice each, one after the other: no step but the last can round.
            scores[place] = scores[place] * factor * factor * other_factor * other_factor


#: Runs after the scores where magnified areas or missing boxes ask for it.
FINISH = CudaKernel(_finish, "finish")


def dense_scores(
    work: Work,
    metric: str,
    columns1: BoxColumns,
    columns2: BoxColumns,
    starts1: Array,
    starts2: Array,
    exponent: int,
    crowd: Array | None,
    scores: Any,
) -> None:
    """Fill C-contiguous scores (batches, rows, columns) on the device."""
    batches, rows, columns = scores.shape
    if not scores.size:
        return
    flat = scores.reshape(scores.size)
    threads = threads_of_block(THREADS)
    with_crowds = crowd is not None and bool(crowd.any())
    kernels = pairwise(metric, with_crowds)
    corners2, measures2 = work.copied(columns2.corners), work.copied(columns2.measures)
    length = corners2.shape[1]
    set1 = work.copied(columns1.corners), work.copied(columns1.measures)
    places = work.copied(starts1), work.copied(starts2)
    crowds = work.copied(np.zeros(1, np.bool_) if crowd is None else crowd)
    down = batches * -(-rows // ROWS)
    if columns % 4 == 0 and not (starts2 % 4).any() and length % 4 == 0:
        kernels.vector.launch(
            down * blocks_for(columns, 4 * threads), threads, work.stream, *set1,
            corners2.reshape(corners2.size), measures2.reshape(measures2.size), length, *places,
            crowds, rows, columns, flat,
        )  # fmt: skip
    else:
        kernels.scalar.launch(
            down * blocks_for(columns, threads), threads, work.stream, *set1, corners2, measures2,
            *places, crowds, rows, columns, flat,
        )  # fmt: skip
    _complete(work, metric, columns1, columns2, places, exponent, rows, columns, flat)


def _complete(
    work: Work,
    metric: str,
    columns1: BoxColumns,
    columns2: BoxColumns,
    starts: tuple[Any, Any],
    exponent: int,
    rows: int,
    columns: int,
    flat: Any,
) -> None:
    magnified = exponent != 0 and METRICS[metric].maximum is None
    if not magnified and columns1.missing is None and columns2.missing is None:
        return
    none = np.empty(0, np.bool_)
    threads = threads_of_block(THREADS)
    FINISH.launch(
        blocks_for(flat.size, threads), threads, work.stream,
        *map(flat.dtype.type, _factors(-exponent if magnified else 0)), *starts,
        work.copied(none if columns1.missing is None else columns1.missing),
        work.copied(none if columns2.missing is None else columns2.missing), rows, columns, flat,
    )  # fmt: skip


def _factors(exponent: int) -> tuple[float, float]:
    """Two factors that are 2^exponent together, which by itself may be no float64."""
    return math.ldexp(1.0, exponent // 2), math.ldexp(1.0, exponent - exponent // 2)


def aligned_scores(
    work: Work,
    metric: str,
    columns1: BoxColumns,
    columns2: BoxColumns,
    first: int,
    exponent: int,
    crowd: Array | None,
    scores: Any,
) -> None:
    """Fill scores (n,) on the device: box i against box i, from the first on."""
    count = len(scores)
    if not count:
        return
    threads = threads_of_block(THREADS)
    with_crowds = crowd is not None and bool(crowd.any())
    pairwise(metric, with_crowds).aligned.launch(
        blocks_for(count, threads), threads, work.stream, work.copied(columns1.corners),
        work.copied(columns1.measures), work.copied(columns2.corners),
        work.copied(columns2.measures),
        work.copied(np.zeros(1, np.bool_) if crowd is None else crowd), first, scores,
    )  # fmt: skip
    # As batches of one row and one column.
    places = work.copied(np.arange(first, first + count, dtype=np.int64))
    _complete(work, metric, columns1, columns2, (places, places), exponent, 1, 1, scores)
