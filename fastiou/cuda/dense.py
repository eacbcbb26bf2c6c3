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
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from fastiou.cuda.prepare import ANY_WAY, EXPONENT, MISSING, WAY, Ready, first_refused
from fastiou.cuda.scoring import pair_scorer
from fastiou.geometry import Geometry
from fastiou.metrics import IOF, Metric
from fastiou.runtime.gpu import Work, begins_at_multiple_of
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for, threads_of_block
from fastiou.runtime.gpu_primitives import magnified, store, store4
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


def is_way(notes: Any, way: int) -> bool:
    """Whether the sets were prepared in a way (see `prepare.Ready`), by which kernels know."""
    return way == ANY_WAY or notes[WAY] == way


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
        notes: Any,
        way: int,
        scores: Any,
    ) -> None:
        """Fill scores (batches * rows * columns,), each row of which begins a load of 16 bytes.

        It does so only if `notes` say that the sets were prepared in this way.
        """
        if not is_way(notes, way):
            return
        first = np.int64(cuda.blockIdx.x) * ROWS
        thread = 4 * (np.int64(cuda.blockIdx.y) * cuda.blockDim.x + cuda.threadIdx.x)
        for batch in range(cuda.blockIdx.z, len(starts1), cuda.gridDim.z):
            start1, start2 = starts1[batch], starts2[batch]
            for column in range(thread, columns, 4 * cuda.blockDim.x * cuda.gridDim.y):
                four = load_four(bounds2, data2, start2 + column)
                result = (batch * rows + first) * columns + column
                for row in range(first, min(first + ROWS, rows), 2):
                    place = start1 + row
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
        notes: Any,
        way: int,
        scores: Any,
    ) -> None:
        """Fill scores (batches * rows * columns,), or of them the `chosen` columns, if any are."""
        if not is_way(notes, way):
            return
        first = np.int64(cuda.blockIdx.x) * ROWS
        thread = 2 * np.int64(cuda.blockIdx.y) * cuda.blockDim.x + cuda.threadIdx.x
        some = chosen.shape[0] > 0
        for batch in range(cuda.blockIdx.z, len(starts1), cuda.gridDim.z):
            start1, start2 = starts1[batch], starts2[batch]
            for column in range(thread, columns, 2 * cuda.blockDim.x * cuda.gridDim.y):
                # As far apart as there are threads, so that neighbours store side by side.
                apart = cuda.blockDim.x if column + cuda.blockDim.x < columns else 0
                start = start2 + column
                member2 = load(bounds2, data2, np.uint64(start))
                other2 = load(bounds2, data2, np.uint64(start + apart))
                is_here = not some or chosen[column]
                is_apart = apart > 0 and (not some or chosen[column + apart])
                result = (batch * rows + first) * columns + column
                for row in range(first, min(first + ROWS, rows)):
                    member1 = load(bounds1, data1, np.uint64(start1 + row))
                    if is_here:
                        store(scores, result, score(member1, member2))
                    if is_apart:
                        store(scores, result + apart, score(member1, other2))
                    result += columns

    def aligned(
        bounds1: Any,
        data1: Any,
        bounds2: Any,
        data2: Any,
        chosen: Any,
        first: int,
        notes: Any,
        way: int,
        scores: Any,
    ) -> None:
        """Fill scores (n,) from the first member on, or those of `chosen` alone, if it has any."""
        place = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if place < scores.shape[0] and is_way(notes, way):
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
    notes: Any,
    has_units: bool,
    is_aligned: bool,
    starts1: Any,
    starts2: Any,
    missing1: Any,
    missing2: Any,
    rows: int,
    columns: int,
    scores: Any,
) -> None:
    """Take areas back to the units of the input, and score what is missing with NaN.

    Nearly always there is nothing to do: so few threads look into it.
    """
    exponent = notes[EXPONENT] if has_units else np.int64(0)
    if notes[MISSING] == 0 and exponent == 0:
        return
    first = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    for place in range(first, scores.shape[0], cuda.blockDim.x * cuda.gridDim.x):
        batch = place // columns // rows
        row = starts1[batch] + place // columns % rows
        column = row if is_aligned else starts2[batch] + place % columns
        missing = len(missing1) > 0 and missing1[row]
        if missing or (len(missing2) > 0 and missing2[column]):
            scores[place] = np.nan
        elif exponent != 0:
            scores[place] = magnified(scores[place], -exponent)


#: Runs after the scores, for magnified areas and missing members.
FINISH = CudaKernel(_finish, "finish")

#: Blocks of it at most: more than a GPU runs at a time.
FINISH_BLOCKS = 1024


class GpuScores:
    """Scores of one call, which a GPU computes in blocks.

    Parameters
    ----------
    geometry, metric
        What to score.
    prepare
        `(work) -> ` both sets, prepared on the GPU. It is asked once for each use of a GPU.
    crowd
        Which members of a batch of the second set are crowds, which are then scored once more, by
        `IOF`; None if none are.
    """

    def __init__(
        self,
        geometry: Geometry,
        metric: Metric,
        prepare: Callable[[Work], Ready],
        crowd: Array | None,
    ) -> None:
        self._geometry, self._metric = geometry, metric
        self._prepare, self._crowd = prepare, crowd
        self._known: tuple[Work, Ready] | None = None

    def _ready(self, work: Work) -> Ready:
        """Both sets on the GPU, prepared once for each use of it."""
        if self._known is None or self._known[0] is not work:
            self._known = work, self._prepare(work)
        return self._known[1]

    def is_refused(self, work: Work) -> bool:
        """Whether a member is to be refused. It waits for the GPU."""
        return first_refused(work, self._ready(work)) is not None

    def fill_dense(self, work: Work, scores: Any, starts1: Array, starts2: Array) -> None:
        """Fill C-contiguous scores (batches, rows, columns) on the device.

        The members of each batch begin at these columns.
        """
        _, rows, columns = scores.shape
        if not scores.size:
            return
        flat = scores.reshape(scores.size)
        starts = starts1, starts2
        self._launch(work, flat, starts, rows, columns)
        if self._crowd is not None:
            self._launch(work, flat, starts, rows, columns, chosen=self._crowd)
        self._finish(work, _places(work, starts), rows, columns, flat)

    def fill_aligned(self, work: Work, scores: Any, first: int) -> None:
        """Fill scores (n,) on the device: member i against member i, from the first on."""
        count = len(scores)
        if not count:
            return
        self._launch_aligned(work, self._metric, None, first, scores)
        if self._crowd is not None:
            self._launch_aligned(work, IOF, self._crowd, first, scores)
        self._finish(work, ((first,), (first,)), count, 1, scores, is_aligned=True)

    def _launch(
        self,
        work: Work,
        flat: Any,
        starts: tuple[Array, Array],
        rows: int,
        columns: int,
        *,
        chosen: Array | None = None,
    ) -> None:
        """Score all columns by the metric, or chosen ones as crowds."""
        ready = self._ready(work)
        kernels = dense_kernels(self._geometry, self._metric if chosen is None else IOF)
        threads = threads_of_block(THREADS)
        by_four = (
            chosen is None
            and kernels.vector is not None
            and not (columns % 4 or ready.ways[0][2].shape[1] % 4 or (starts[1] % 4).any())
            and begins_at_multiple_of(flat, 4 * flat.dtype.itemsize)
        )
        across = blocks_for(columns, (4 if by_four else 2) * threads)
        grid = -(-rows // ROWS), min(across, LARGEST_GRID), min(len(starts[0]), LARGEST_GRID)
        kernel = kernels.vector if by_four else kernels.scalar
        which = [] if by_four else [_chosen(work, chosen)]
        assert kernel is not None
        for way, sets in _ways(ready):
            kernel.launch(
                grid, threads, work.stream, *sets, *_places(work, starts), *which, rows, columns,
                ready.notes, way, flat,
            )  # fmt: skip

    def _launch_aligned(
        self, work: Work, metric: Metric, chosen: Array | None, first: int, scores: Any
    ) -> None:
        ready, threads = self._ready(work), threads_of_block(THREADS)
        for way, sets in _ways(ready):
            dense_kernels(self._geometry, metric).aligned.launch(
                blocks_for(len(scores), threads), threads, work.stream, *sets,
                _chosen(work, chosen), first, ready.notes, way, scores,
            )  # fmt: skip

    def _finish(
        self,
        work: Work,
        places: tuple[Any, Any],
        rows: int,
        columns: int,
        flat: Any,
        *,
        is_aligned: bool = False,
    ) -> None:
        """Finish scores of magnified or missing members."""
        ready, threads = self._ready(work), threads_of_block(THREADS)
        FINISH.launch(
            min(blocks_for(flat.size, threads), FINISH_BLOCKS), threads, work.stream, ready.notes,
            self._metric.has_units, is_aligned, *places, *ready.missing, rows, columns, flat,
        )  # fmt: skip


def _ways(ready: Ready) -> list[tuple[int, tuple[Any, ...]]]:
    """The sets by each way in which they may be prepared, with its number."""
    if len(ready.ways) == 1:
        return [(ANY_WAY, ready.ways[0])]
    return list(enumerate(ready.ways))


def _places(work: Work, starts: tuple[Array, Array]) -> tuple[Any, Any]:
    """Where batches begin: of a single one a number, which need not be copied to the GPU."""
    first, second = starts
    if len(first) == 1:
        return (int(first[0]),), (int(second[0]),)
    return work.copied(first), work.copied(second)


def _chosen(work: Work, chosen: Array | None) -> Any:
    """Which of the second set are chosen, on the GPU; none stands for all."""
    return work.empty(0, np.bool_) if chosen is None else work.copied(chosen)
