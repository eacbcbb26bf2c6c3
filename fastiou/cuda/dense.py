"""Dense and aligned scores of boxes on a GPU: one factory, kernels for each metric.

What should bound the dense float32 kernel is writing its result, 4 bytes in the time in which an
H100 issues 39 instructions. A score takes 20, so little else may happen for each: a thread keeps
four columns in registers, areas among them, loaded by accesses of 16 bytes, and takes two rows at a
time; what it stores for a row is one access of 16 bytes, too. That makes 26 instructions a score,
and 72 registers on an H100. Four rows at a time make 24, but float64 then takes 164 registers.

Rows that do not begin at a multiple of 16 bytes are stored by single numbers, neighbours by
neighbouring threads, which makes 36.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import cuda

from fastiou.geometries.box_columns import BoxColumns, box
from fastiou.metrics import METRICS
from fastiou.runtime.gpu import Work, begins_at_multiple_of
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import item, load4, store, store4
from fastiou.runtime.kernel import named

__all__ = ["PairwiseKernels", "aligned_scores", "dense_scores", "pairwise"]

Array = npt.NDArray[Any]

#: Threads of a block, and rows that each scores with its columns: enough that loading these does
#: not count.
THREADS = 256
ROWS = 16

#: Blocks that a grid may have in its second and third dimension.
LARGEST_GRID = 65535


class PairwiseKernels(NamedTuple):
    """The kernels of one metric, each for results with crowds among the columns or without."""

    #: A dense result whose rows all begin at a multiple of 16 bytes, and any other.
    vector: CudaKernel
    scalar: CudaKernel
    #: Box i of one set against box i of the other.
    aligned: CudaKernel


def four_boxes(corners: Any, measures: Any, length: int, place: int) -> Any:
    """Four boxes of flattened columns, from a place that is a multiple of four."""
    left = load4(corners, place)
    top = load4(corners, place + length)
    right = load4(corners, place + 2 * length)
    bottom = load4(corners, place + 3 * length)
    area = load4(measures, place)
    aspect = load4(measures, place + length)
    x = load4(measures, place + 2 * length)
    y = load4(measures, place + 3 * length)
    return (
        (left[0], top[0], right[0], bottom[0], area[0], aspect[0], x[0], y[0]),
        (left[1], top[1], right[1], bottom[1], area[1], aspect[1], x[1], y[1]),
        (left[2], top[2], right[2], bottom[2], area[2], aspect[2], x[2], y[2]),
        (left[3], top[3], right[3], bottom[3], area[3], aspect[3], x[3], y[3]),
    )


def one_box(corners: Any, measures: Any, length: int, place: int) -> Any:
    """A box of flattened columns."""
    return (
        item(corners, place),
        item(corners, place + length),
        item(corners, place + 2 * length),
        item(corners, place + 3 * length),
        item(measures, place),
        item(measures, place + length),
        item(measures, place + 2 * length),
        item(measures, place + 3 * length),
    )


@functools.cache
def pairwise(metric: str, with_crowds: bool = False) -> PairwiseKernels:
    """Make the kernels of a metric."""
    formula = METRICS[metric].formula
    measure = METRICS[metric].measure
    crowd_formula = METRICS["iof"].formula
    crowd_measure = METRICS["iof"].measure
    suffix = "-crowds" if with_crowds else ""

    @named(metric + suffix)
    def score(box1: Any, box2: Any, crowd: Any, column: int) -> Any:
        if with_crowds and crowd[column]:
            return crowd_formula(*crowd_measure(box1, box2))
        return formula(*measure(box1, box2))

    @named(metric + suffix)
    def store_row(scores: Any, place: int, box1: Any, boxes2: Any, crowd: Any, column: int) -> None:
        store4(
            scores,
            place,
            score(box1, boxes2[0], crowd, column),
            score(box1, boxes2[1], crowd, column + 1),
            score(box1, boxes2[2], crowd, column + 2),
            score(box1, boxes2[3], crowd, column + 3),
        )

    def vector(
        corners1: Any,
        measures1: Any,
        length1: int,
        corners2: Any,
        measures2: Any,
        length2: int,
        starts1: Any,
        starts2: Any,
        crowd: Any,
        rows: int,
        columns: int,
        scores: Any,
    ) -> None:
        first = np.int64(cuda.blockIdx.x) * ROWS
        thread = 4 * (np.int64(cuda.blockIdx.y) * cuda.blockDim.x + cuda.threadIdx.x)
        for batch in range(cuda.blockIdx.z, starts1.shape[0], cuda.gridDim.z):
            for column in range(thread, columns, 4 * cuda.blockDim.x * cuda.gridDim.y):
                boxes2 = four_boxes(corners2, measures2, length2, starts2[batch] + column)
                result = (batch * rows + first) * columns + column
                for row in range(first, min(first + ROWS, rows), 2):
                    place = starts1[batch] + row
                    box1 = one_box(corners1, measures1, length1, place)
                    other1 = one_box(corners1, measures1, length1, place + 1)
                    store_row(scores, result, box1, boxes2, crowd, column)
                    result += columns
                    if row + 1 < rows:
                        store_row(scores, result, other1, boxes2, crowd, column)
                    result += columns

    def scalar(
        corners1: Any,
        measures1: Any,
        length1: int,
        corners2: Any,
        measures2: Any,
        length2: int,
        starts1: Any,
        starts2: Any,
        crowd: Any,
        rows: int,
        columns: int,
        scores: Any,
    ) -> None:
        first = np.int64(cuda.blockIdx.x) * ROWS
        thread = 2 * np.int64(cuda.blockIdx.y) * cuda.blockDim.x + cuda.threadIdx.x
        for batch in range(cuda.blockIdx.z, starts1.shape[0], cuda.gridDim.z):
            for column in range(thread, columns, 2 * cuda.blockDim.x * cuda.gridDim.y):
                # As far apart as there are threads, so that neighbours store side by side.
                apart = cuda.blockDim.x if column + cuda.blockDim.x < columns else 0
                start = starts2[batch] + column
                box2 = one_box(corners2, measures2, length2, start)
                other2 = one_box(corners2, measures2, length2, start + apart)
                result = (batch * rows + first) * columns + column
                for row in range(first, min(first + ROWS, rows), 2):
                    place = starts1[batch] + row
                    box1 = one_box(corners1, measures1, length1, place)
                    other1 = one_box(corners1, measures1, length1, place + 1)
                    store(scores, result, score(box1, box2, crowd, column))
                    if apart:
                        store(scores, result + apart, score(box1, other2, crowd, column + apart))
                    result += columns
                    if row + 1 < rows:
                        store(scores, result, score(other1, box2, crowd, column))
                        if apart:
                            value = score(other1, other2, crowd, column + apart)
                            store(scores, result + apart, value)
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

    return PairwiseKernels(
        CudaKernel(vector, f"dense-{metric}{suffix}"),
        CudaKernel(scalar, f"dense-scalar-{metric}{suffix}"),
        CudaKernel(aligned, f"aligned-{metric}{suffix}"),
    )


def _finish(
    factors: Any,
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
            for factor in factors:
                scores[place] *= factor


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
    sets = [
        (work.copied(boxes.corners), work.copied(boxes.measures)) for boxes in (columns1, columns2)
    ]
    rest = (
        work.copied(starts1),
        work.copied(starts2),
        work.copied(np.zeros(1, np.bool_) if crowd is None else crowd),
        rows,
        columns,
        flat,
    )
    lengths = [corners.shape[1] for corners, _ in sets]
    operands = [
        operand
        for (corners, measures), length in zip(sets, lengths, strict=True)
        for operand in (corners.reshape(corners.size), measures.reshape(measures.size), length)
    ]
    by_four = not (columns % 4 or lengths[1] % 4 or (starts2 % 4).any())
    by_four = by_four and begins_at_multiple_of(flat, 4 * flat.dtype.itemsize)
    across = blocks_for(columns, (4 if by_four else 2) * threads)
    grid = -(-rows // ROWS), min(across, LARGEST_GRID), min(batches, LARGEST_GRID)
    kernel = kernels.vector if by_four else kernels.scalar
    kernel.launch(grid, threads, work.stream, *operands, *rest)
    missing = columns1.missing, columns2.missing
    _complete(work, metric, missing, (starts1, starts2), exponent, rows, columns, flat)


def _complete(
    work: Work,
    metric: str,
    missing: tuple[Array | None, Array | None],
    starts: tuple[Array, Array],
    exponent: int,
    rows: int,
    columns: int,
    flat: Any,
) -> None:
    magnified = exponent != 0 and METRICS[metric].maximum is None
    if not magnified and missing[0] is None and missing[1] is None:
        return
    none = np.empty(0, np.bool_)
    marks = [work.copied(none if some is None else some) for some in missing]
    threads = threads_of_block(THREADS)
    FINISH.launch(
        blocks_for(flat.size, threads), threads, work.stream,
        tuple(map(flat.dtype.type, _factors(-2 * exponent if magnified else 0))),
        *map(work.copied, starts), *marks, rows, columns, flat,
    )  # fmt: skip


def _factors(exponent: int) -> tuple[float, ...]:
    """Four factors that are 2^exponent together, which by itself may be no float64.

    If more than one is not 1, each is so large that no multiplication but the last can round.
    """
    parts = -(-abs(exponent) // 1000)
    cuts = [exponent * part // max(parts, 1) for part in range(parts + 1)]
    factors = [math.ldexp(1.0, after - before) for before, after in itertools.pairwise(cuts)]
    return (*[1.0] * (4 - parts), *factors)


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
    missing = [columns.missing for columns in (columns1, columns2) if columns.missing is not None]
    either = np.logical_or.reduce(missing) if missing else None
    starts = np.full(1, first, np.int64), np.zeros(1, np.int64)  # a row each, and one column
    _complete(work, metric, (either, None), starts, exponent, count, 1, scores)
