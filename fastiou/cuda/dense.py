"""Dense and aligned scores on a GPU: one factory, kernels for each geometry and metric.

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
import importlib
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from fastiou.cuda.scoring import pair_scorer
from fastiou.geometry import Columns, Geometry
from fastiou.metrics import IOF, Metric
from fastiou.runtime.gpu import Work, begins_at_multiple_of
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import store, store4
from fastiou.runtime.kernel import named
from fastiou.typing import Array

__all__ = ["DenseKernels", "GpuScores", "dense_kernels"]


#: Threads of a block, and rows that each scores with its columns: enough that loading these does
#: not count.
THREADS = 256
ROWS = 16

#: Blocks that a grid may have in its second and third dimension.
LARGEST_GRID = 65535


class DenseKernels(NamedTuple):
    """The kernels of one geometry and metric."""

    #: A dense result whose rows all begin at a multiple of 16 bytes, of a geometry that loads four
    #: members at once; None of others.
    vector: CudaKernel | None
    #: Any dense result.
    scalar: CudaKernel
    #: Member i of one set against member i of the other.
    aligned: CudaKernel


def _loaded(place: str | None) -> Any:
    """What "module:function" names."""
    if place is None:
        return None
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


@functools.cache
def dense_kernels(geometry: Geometry, metric: Metric) -> DenseKernels:
    """Make the kernels of a geometry and a metric."""
    load, load_four = geometry.load, _loaded(geometry.load_four)
    score = pair_scorer(geometry, metric)
    label = f"{geometry.label}-{metric.name}"

    @named(label)
    def store_row(scores: Any, place: int, member: Any, four: Any) -> None:
        store4(
            scores,
            place,
            score(member, four[0]),
            score(member, four[1]),
            score(member, four[2]),
            score(member, four[3]),
        )

    def vector(
        bounds1: Any,
        data1: Any,
        bounds2: Any,
        data2: Any,
        starts1: Any,
        starts2: Any,
        rows: int,
        columns: int,
        scores: Any,
    ) -> None:
        """Fill scores (batches * rows * columns,), each row of which begins a load of 16 bytes."""
        first = np.int64(cuda.blockIdx.x) * ROWS
        thread = 4 * (np.int64(cuda.blockIdx.y) * cuda.blockDim.x + cuda.threadIdx.x)
        for batch in range(cuda.blockIdx.z, starts1.shape[0], cuda.gridDim.z):
            for column in range(thread, columns, 4 * cuda.blockDim.x * cuda.gridDim.y):
                four = load_four(bounds2, data2, starts2[batch] + column)
                result = (batch * rows + first) * columns + column
                for row in range(first, min(first + ROWS, rows), 2):
                    place = starts1[batch] + row
                    member = load(bounds1, data1, np.uint64(place))
                    other = load(bounds1, data1, np.uint64(place + 1))
                    store_row(scores, result, member, four)
                    result += columns
                    if row + 1 < rows:
                        store_row(scores, result, other, four)
                    result += columns

    def scalar(
        bounds1: Any,
        data1: Any,
        bounds2: Any,
        data2: Any,
        starts1: Any,
        starts2: Any,
        chosen: Any,
        rows: int,
        columns: int,
        scores: Any,
    ) -> None:
        """Fill scores (batches * rows * columns,), or of them the `chosen` columns, if any are."""
        first = np.int64(cuda.blockIdx.x) * ROWS
        thread = 2 * np.int64(cuda.blockIdx.y) * cuda.blockDim.x + cuda.threadIdx.x
        some = chosen.shape[0] > 0
        for batch in range(cuda.blockIdx.z, starts1.shape[0], cuda.gridDim.z):
            for column in range(thread, columns, 2 * cuda.blockDim.x * cuda.gridDim.y):
                # As far apart as there are threads, so that neighbours store side by side.
                apart = cuda.blockDim.x if column + cuda.blockDim.x < columns else 0
                start = starts2[batch] + column
                member2 = load(bounds2, data2, np.uint64(start))
                other2 = load(bounds2, data2, np.uint64(start + apart))
                is_here = not some or chosen[column]
                is_apart = apart > 0 and (not some or chosen[column + apart])
                result = (batch * rows + first) * columns + column
                for row in range(first, min(first + ROWS, rows)):
                    member1 = load(bounds1, data1, np.uint64(starts1[batch] + row))
                    if is_here:
                        store(scores, result, score(member1, member2))
                    if is_apart:
                        store(scores, result + apart, score(member1, other2))
                    result += columns

    def aligned(
        bounds1: Any, data1: Any, bounds2: Any, data2: Any, chosen: Any, first: int, scores: Any
    ) -> None:
        """Fill scores (n,) from the first member on, or those of `chosen` alone, if it has any."""
        place = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if place < scores.shape[0]:
            # Unsigned: no test for counting from the end.
            i = np.uint64(first + place)
            if chosen.shape[0] == 0 or chosen[i]:
                scores[place] = score(load(bounds1, data1, i), load(bounds2, data2, i))

    return DenseKernels(
        CudaKernel(vector, f"dense-{label}") if load_four is not None else None,
        CudaKernel(scalar, f"dense-scalar-{label}"),
        CudaKernel(aligned, f"aligned-{label}"),
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


def _factors(exponent: int) -> tuple[float, ...]:
    """Four factors that are 2^exponent together, which by itself may be no float64.

    If more than one is not 1, each is so large that no multiplication but the last can round.
    """
    exponent = max(-4000, min(exponent, 4000))  # what goes beyond is 0 or infinite all the same
    parts = -(-abs(exponent) // 1000)
    cuts = [exponent * part // max(parts, 1) for part in range(parts + 1)]
    factors = [math.ldexp(1.0, after - before) for before, after in itertools.pairwise(cuts)]
    return (*[1.0] * (4 - parts), *factors)


class GpuScores:
    """Scores of one call, which a GPU computes in blocks.

    Parameters
    ----------
    geometry, metric
        What to score.
    columns1, columns2
        Both sets.
    crowd
        Which members of a batch of the second set are crowds, which are then scored once more, by
        `IOF`; None if none are.
    """

    def __init__(
        self,
        geometry: Geometry,
        metric: Metric,
        columns1: Columns,
        columns2: Columns,
        crowd: Array | None,
    ) -> None:
        self._geometry, self._metric = geometry, metric
        self._columns = columns1, columns2
        self._crowd = crowd
        self._none = np.empty(0, np.bool_)
        self._own: tuple[Work, Any] | None = None

    def fill_dense(self, work: Work, scores: Any, starts1: Array, starts2: Array) -> None:
        """Fill C-contiguous scores (batches, rows, columns) on the device.

        The members of each batch begin at these columns.
        """
        _, rows, columns = scores.shape
        if not scores.size:
            return
        flat = scores.reshape(scores.size)
        own = self._own_scores(work)
        if own is not None:
            own.fill_dense(work, scores.reshape(rows, columns), int(starts1[0]))
        else:
            self._launch(work, flat, starts1, starts2, rows, columns)
        if self._crowd is not None:
            self._launch(work, flat, starts1, starts2, rows, columns, chosen=self._crowd)
        missing = tuple(some.missing for some in self._columns)
        self._complete(work, missing, (starts1, starts2), rows, columns, flat)

    def fill_aligned(self, work: Work, scores: Any, first: int) -> None:
        """Fill scores (n,) on the device: member i against member i, from the first on."""
        count = len(scores)
        if not count:
            return
        own = self._own_scores(work)
        if own is not None:
            own.fill_aligned(work, scores, first)
        else:
            self._launch_aligned(work, self._metric, self._none, first, scores)
        if self._crowd is not None:
            self._launch_aligned(work, IOF, self._crowd, first, scores)
        missing = [some.missing for some in self._columns if some.missing is not None]
        either = np.logical_or.reduce(missing) if missing else None
        starts = np.full(1, first, np.int64), np.zeros(1, np.int64)  # a row each, and one column
        self._complete(work, (either, None), starts, count, 1, scores)

    def _own_scores(self, work: Work) -> Any:
        """What fills results by kernels of the geometry's own, None if it has none."""
        if self._geometry.on_gpu is None:
            return None
        if self._own is None or self._own[0] is not work:
            self._own = work, self._geometry.on_gpu(work, self._metric, *self._columns)
        return self._own[1]

    def _sets(self, work: Work) -> list[Any]:
        return [work.copied(part) for some in self._columns for part in (some.bounds, some.data)]

    def _launch(
        self,
        work: Work,
        flat: Any,
        starts1: Array,
        starts2: Array,
        rows: int,
        columns: int,
        *,
        chosen: Array | None = None,
    ) -> None:
        """Score all columns by the metric, or chosen ones as crowds."""
        kernels = dense_kernels(self._geometry, self._metric if chosen is None else IOF)
        threads = threads_of_block(THREADS)
        by_four = (
            chosen is None
            and kernels.vector is not None
            and not (columns % 4 or self._columns[1].bounds.shape[1] % 4 or (starts2 % 4).any())
            and begins_at_multiple_of(flat, 4 * flat.dtype.itemsize)
        )
        across = blocks_for(columns, (4 if by_four else 2) * threads)
        grid = -(-rows // ROWS), min(across, LARGEST_GRID), min(len(starts1), LARGEST_GRID)
        kernel = kernels.vector if by_four else kernels.scalar
        which = [] if by_four else [work.copied(self._none if chosen is None else chosen)]
        assert kernel is not None
        kernel.launch(
            grid, threads, work.stream, *self._sets(work), work.copied(starts1),
            work.copied(starts2), *which, rows, columns, flat,
        )  # fmt: skip

    def _launch_aligned(
        self, work: Work, metric: Metric, chosen: Array, first: int, scores: Any
    ) -> None:
        threads = threads_of_block(THREADS)
        dense_kernels(self._geometry, metric).aligned.launch(
            blocks_for(len(scores), threads), threads, work.stream, *self._sets(work),
            work.copied(chosen), first, scores,
        )  # fmt: skip

    def _complete(
        self,
        work: Work,
        missing: tuple[Array | None, ...],
        starts: tuple[Array, Array],
        rows: int,
        columns: int,
        flat: Any,
    ) -> None:
        """Finish scores of magnified or missing members."""
        exponent = self._columns[0].exponent if self._metric.has_units else 0
        if not exponent and missing[0] is None and missing[1] is None:
            return
        marks = [work.copied(self._none if some is None else some) for some in missing]
        threads = threads_of_block(THREADS)
        FINISH.launch(
            blocks_for(flat.size, threads), threads, work.stream,
            tuple(map(flat.dtype.type, _factors(-exponent))), *map(work.copied, starts),
            *marks, rows, columns, flat,
        )  # fmt: skip
