"""The best few of each row, without the dense result."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays import backends
from fastiou.arrays.checks import threshold_number, whole_number
from fastiou.arrays.inputs import Input, hand_back, plain_array, result_dtype
from fastiou.cpu.topk import best_kernel
from fastiou.geometries.table import check_metric, geometry_of, read_sets
from fastiou.geometry import unmagnify
from fastiou.metrics import IOF, Metric
from fastiou.relations import on_gpu, small
from fastiou.relations.on_gpu import Codes
from fastiou.relations.pairs import (
    crowd_of,
    half_of,
    in_kind,
    lowest_score,
)
from fastiou.relations.thresholds import least_that_counts
from fastiou.runtime import chunks, memory, threads
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.search.groups import group_codes
from fastiou.search.pair_lists import search_steps, work_before
from fastiou.search.search import Search, search
from fastiou.tables.listing import Positions
from fastiou.tables.opened import USUAL, opened, sourced
from fastiou.typing import Array

__all__ = ["TopK", "allocate_best", "keep_best", "topk"]


@dataclass(frozen=True, eq=False)
class TopK(Positions):
    """The best few of each row, by descending value.

    Iterating gives `values` and `indices`, so that they can be unpacked, as of `torch.topk`;
    `len` is the number of rows.

    Attributes
    ----------
    values : array, shape (N, k)
        Scores; 0 where there are fewer than k.
    indices : array of int64, shape (N, k)
        Positions in the second set; -1 where there are fewer than k.
    shape : tuple of int
        Sizes of the two sets.
    source : Source or None
        The tables that the sets were, if they were any.
    """

    values: Any
    indices: Any
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.values, self.indices))

    def to_numpy(self) -> tuple[Array, Array, Array]:
        """What was found, row by row and from the best on, as `Pairs` has it.

        Returns
        -------
        tuple of three arrays
            Rows and columns, int64, and values, without what fills up.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.topk([[0, 0, 2, 2]], [[5, 5, 6, 6], [0, 0, 2, 2]], k=2).to_numpy()
        (array([0]), array([1]), array([1.]))
        """
        values, indices = (plain_array("best", part) for part in self)
        return _found(values, indices)

    def _first(self, count: int) -> tuple[Array, ...]:
        parts = (plain_array("best", part[:count]) for part in self)
        return tuple(part[:count] for part in _found(*parts))


def _found(values: Array, indices: Array) -> tuple[Array, Array, Array]:
    """Rows, columns and values without what fills up."""
    rows, ranks = np.nonzero(indices >= 0)
    return rows, indices[rows, ranks], values[rows, ranks]


def topk(
    a: Any,
    b: Any,
    k: int = 1,
    *,
    threshold: float = 0.0,
    iscrowd: Any = None,
    metric: str = "iou",
    fmt: str | tuple[str, str] = USUAL,
    groups: Any = None,
    device: str = "auto",
    progress: bool | Progress = False,
) -> TopK:
    """Find the best k of `b` for each of `a`, by boxes or masks that overlap.

    Neither the dense result nor a list of pairs is built: memory is proportional to the inputs and
    the result.

    Parameters
    ----------
    a : array_like, shape (N, 4) or (N, 5), or masks
        Boxes, as in `box_iou`; or masks, as in `mask_iou`; or tables, as in `pairs`.
    b : array_like, shape (M, 4) or (M, 5), or masks
        What to compare with.
    k : int
        How many to keep; it may be more than M. Each row is kept in order as it fills, which suits
        tens or hundreds: where rows meet thousands and keep thousands, sorting a dense result is
        faster.
    threshold : float
        Smallest score to keep, from 0. What does not overlap, or scores 0, is never kept.
    iscrowd : array_like of bool, shape (M,), optional
        Which of `b` are crowds, as in `pairs`.
    metric
        As in `box_iou`; for masks, as in `mask_iou`.
    fmt
        As in `box_iou`.
    groups : tuple of two, the groups of `a` and of `b`, optional
        The group that each member belongs to, one key or several, as in `pairs`. Only members of
        equal groups are compared.
    device : {"auto", "cpu", "cuda"}
        As in `box_iou`.
    progress
        As in `pairs`.

    Returns
    -------
    TopK
        `values`, shape (N, k), in descending order, as `box_iou` or `mask_iou` would give them, bit
        for bit, and their `indices` in `b`, int64; among equal values the lowest index comes first.
        Where a row has fewer, the rest is 0 and -1.

    Raises
    ------
    TypeError, ValueError
        As `pairs`; k below 1; a threshold below 0.
    MemoryError
        The result would not fit in memory.
    RuntimeError
        `device` is "cuda", and no GPU can be used.

    Examples
    --------
    >>> import fastiou
    >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]]
    >>> values, indices = fastiou.topk([[0, 0, 4, 4], [5, 5, 6, 6]], boxes, k=3)
    >>> values
    array([[1.  , 0.75, 0.  ],
           [0.  , 0.  , 0.  ]])
    >>> indices
    array([[ 0,  1, -1],
           [-1, -1, -1]])
    """
    if (
        type(a) is np.ndarray
        and type(b) is np.ndarray
        and type(device) is str
        and device in ("auto", "cpu")
        and iscrowd is None
        and progress is False
    ):
        few = small.topk(a, b, k, threshold, metric, fmt, groups)
        if few is not None:
            return TopK(*few, (len(a), len(b)))
    a, b, fmt, groups, source = opened(("a", "b"), a, b, fmt, groups)
    geometry = geometry_of(fmt, a, b)
    chosen = check_metric(metric, geometry)
    backends.check_device(device, geometry)
    if b is None:
        raise TypeError("b must be boxes or masks, got None; topk(a, a, k + 1) finds each itself")
    set1, set2 = read_sets(geometry, ("a", "b"), a, b, fmt)
    number = whole_number("k", k, lowest=1)
    minimum = threshold_number(threshold, chosen.maximum, zero=True)
    crowd = crowd_of(iscrowd, set1, set2, chosen)
    report, finish = progress_callback(progress)
    is_here = set1.gpu is None and set2.gpu is None
    if device != "cuda" and crowd is None and progress is False and is_here:
        known = small.checked_groups(groups, set1.size, set2.size, False)
        few = small.plain_call(small.topk, set1, set2, number, minimum, metric, fmt, known)
        if few is not None:
            values, indices = (hand_back(part, set1, set2) for part in few)
            return sourced(TopK(values, indices, (set1.size, set2.size)), source)
    sets, best = (set1, set2), _Best(number, minimum, groups, device, report)
    try:
        if crowd is not None and crowd.any():
            values, indices = best.with_crowds(sets, chosen, crowd)
        else:
            values, indices = best.of(sets, chosen)
    finally:
        finish()
    values, indices = in_kind(values, list(sets)), in_kind(indices, list(sets))
    return sourced(TopK(values, indices, (set1.size, set2.size)), source)


class _Best(NamedTuple):
    """What is asked for."""

    number: int
    minimum: float
    groups: Any
    device: str
    report: Progress | None

    def of(
        self,
        sets: tuple[Input, Input],
        metric: Metric,
        *,
        codes: Codes | None = None,
        score_as: Metric | None = None,
    ) -> tuple[Any, Any]:
        """The best by a metric. With `codes` they are NumPy arrays, wherever the sets lie."""
        shape, dtype = (sets[0].size, self.number), result_dtype(*sets)

        def there(place: GpuArray | None) -> tuple[Any, Any]:
            with on_gpu.searching(
                place, *sets, metric, self.minimum, self.groups, codes=codes, prepared_for=score_as
            ) as (work, sides):
                own = place if codes is None else None
                return self._there(work, sides, own, shape)

        def here() -> tuple[Any, Any]:
            # Before anything that takes time, so that what cannot fit is refused at once.
            values, indices = allocate_best(shape, dtype)
            sizes = sets[0].size, sets[1].size
            own = codes or group_codes(self.groups, sizes, itself=False)
            found = search(*sets, metric, self.minimum, own, score_as=score_as)
            keep_best(found, lowest_score(found, self.minimum), values, indices, report=self.report)
            if metric.has_units:
                unmagnify(values, found.exponent)
            return values, indices

        return backends.compute(self.device, sets, there, here)

    def _there(
        self, work: Any, sides: Any, place: GpuArray | None, shape: tuple[int, int]
    ) -> tuple[Any, Any]:
        """The best of sets on a GPU, at a place there; NumPy arrays without one."""
        from fastiou.cuda.topk import best_on_gpu

        dtype = sides.dtype
        hosts = (None, None) if place is not None else allocate_best(shape, dtype)
        size = sides.nbytes + math.prod(shape) * (8 + dtype.itemsize)
        work.reserve(size, f"the best {shape[1]:,} of {shape[0]:,} rows")
        values = work.result(place, shape, dtype, hosts[0])
        indices = work.result(place, shape, np.dtype(np.int64), hosts[1])
        limit_of = functools.partial(least_that_counts, sides.metric, dtype, self.minimum)
        best_on_gpu(work, sides, limit_of, indices.device, values.device)
        if self.report is not None:
            self.report(1, 1)
        return values.handed(), indices.handed()

    def with_crowds(
        self,
        sets: tuple[Input, Input],
        metric: Metric,
        crowd: Array,
    ) -> tuple[Array, Array]:
        """The best of two searches, since crowds are scored by `IOF`."""
        sizes = sets[0].size, sets[1].size
        codes1, codes2, count = group_codes(self.groups, sizes, itself=False)
        parts = []
        for part, (scored, left_out) in enumerate(((metric, crowd), (IOF, ~crowd))):
            own = codes1, np.where(left_out, np.int32(-1), codes2), count
            asked = self._replace(report=half_of(self.report, part))
            parts.append(asked.of(sets, scored, codes=own, score_as=metric))
        (values, indices), (crowd_values, crowd_indices) = parts
        for some in chunks.slices(len(values), max(1, chunks.PIECE // (2 * self.number))):
            both = np.concatenate([values[some], crowd_values[some]], axis=1)
            which = np.concatenate([indices[some], crowd_indices[some]], axis=1)
            order = np.lexsort((which, -both))[:, : self.number]
            values[some] = np.take_along_axis(both, order, axis=1)
            indices[some] = np.take_along_axis(which, order, axis=1)
        return values, indices


def allocate_best(shape: tuple[int, int], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Room for values, which are 0, and indices."""
    what, instead = f"the best {shape[1]:,} of {shape[0]:,} rows", "ask for fewer"
    # Both are reckoned before either is made.
    besides = math.prod(shape) * np.dtype(np.int64).itemsize
    values = memory.allocate(shape, dtype, what, instead, zeros=True, besides=besides)
    return values, memory.allocate(shape, np.int64, what, instead)


def keep_best(
    found: Search,
    limit: Any,
    values: Array,
    indices: Array,
    *,
    at_once: bool = False,
    report: Progress | None = None,
) -> None:
    """Fill the best of each row, on the CPU; `at_once` on one thread and in one step."""
    indices.fill(-1)
    kernel = best_kernel(found.geometry, found.metric)
    if at_once:
        whole = np.array([0, found.size])
        kernel.serial(*found.arguments, whole, limit, indices, values)
        return
    cumulative = work_before(found, values.shape[1])
    for cuts, work, done in search_steps(found, cumulative):
        threads.run(kernel, work, *found.arguments, cuts, limit, indices, values)
        if report is not None:
            report(done, int(cumulative[-1]))
