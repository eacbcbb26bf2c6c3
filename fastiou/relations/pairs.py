"""Who overlaps whom, without the dense result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastiou.arrays import backends
from fastiou.arrays.checks import check_choice, crowd_array, threshold_number, whole_number
from fastiou.arrays.inputs import Input, hand_back, plain_array
from fastiou.cpu.pairs import best_kernel
from fastiou.geometries.box_columns import LAYOUTS
from fastiou.geometries.boxes import unmagnify
from fastiou.metrics import METRICS
from fastiou.runtime import memory, threads
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.search.pair_lists import (
    allocate_pairs,
    list_pairs,
    name_rows,
    search_steps,
    work_before,
)
from fastiou.search.search import Search, Sets, group_codes, read_sets, search

if TYPE_CHECKING:
    import scipy.sparse

__all__ = ["Pairs", "TopK", "find_pairs", "pairs", "topk"]

Array = npt.NDArray[Any]

#: Lines that a set of pairs shows of itself.
SHOWN = 10


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of boxes or masks that overlap enough, sorted by row and column.

    Iterating gives `rows`, `cols` and `values`, so that they can be unpacked; `len` is the number
    of pairs.

    Attributes
    ----------
    rows, cols : array of int64
        Positions in the first and in the second set.
    values : array
        Scores, as `box_iou` or `mask_iou` would give them, bit for bit.
    shape : tuple of int
        Sizes of the two sets.
    tested : int
        How many scores were computed to find these.
    """

    rows: Any
    cols: Any
    values: Any
    shape: tuple[int, int]
    tested: int

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.rows, self.cols, self.values))

    def __repr__(self) -> str:
        lines = [f"<Pairs: {len(self):,} of {self.shape[0]:,} × {self.shape[1]:,}>"]
        if len(self):
            lines.append(f"{'row':>10} {'col':>10} {'value':>10}")
        for i in range(len(self)):
            if len(self) > SHOWN and SHOWN // 2 <= i < len(self) - SHOWN // 2:
                continue
            if len(self) > SHOWN and i == len(self) - SHOWN // 2:
                lines.append("…".rjust(10))
            row, col, value = (column[i] for column in self)
            lines.append(f"{int(row):>10} {int(col):>10} {float(value):>10.6g}")
        return "\n".join(lines)

    def to_numpy(self) -> tuple[Array, Array, Array]:
        """The three columns as NumPy arrays, whatever library they are of.

        Returns
        -------
        tuple of three arrays
            `rows` and `cols`, int64, and `values`.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.pairs([[0, 0, 2, 2]], [[5, 5, 6, 6], [0, 0, 2, 2]]).to_numpy()
        (array([0]), array([1]), array([1.]))
        """
        rows, cols, values = (plain_array("pairs", column) for column in self)
        return rows, cols, values

    def to_scipy(self) -> scipy.sparse.csr_array:
        """The pairs as a sparse matrix of their values.

        Returns
        -------
        scipy.sparse.csr_array, shape (N, M)

        Examples
        --------
        >>> import fastiou
        >>> found = fastiou.pairs([[0, 0, 2, 2]], [[5, 5, 6, 6], [0, 0, 2, 2]])
        >>> found.to_scipy().toarray()
        array([[0., 1.]])
        """
        import scipy.sparse

        rows, cols, values = self.to_numpy()
        return scipy.sparse.csr_array((values, (rows, cols)), shape=self.shape)


def pairs(
    a: Any,
    b: Any = None,
    threshold: float = 0.5,
    *,
    metric: str = "iou",
    fmt: str = "xyxy",
    groups: Any = None,
    device: str = "auto",
    progress: bool | Progress = False,
) -> Pairs:
    """Find all pairs of boxes, or of masks, that score at least a threshold.

    The dense result is never built: memory is proportional to the inputs and the pairs found.

    Parameters
    ----------
    a : array_like, shape (N, 4), or masks
        Boxes, as in `box_iou`; or masks, as in `mask_iou`.
    b : array_like, shape (M, 4), or masks, optional
        What to compare with. Without it, `a` is compared with itself, each pair once, with
        row < column.
    threshold : float
        Smallest score of a pair; greater than 0, for giou, diou and ciou too, so that boxes that do
        not overlap are no pairs. It is compared in the dtype of the scores.
    metric
        As in `box_iou`; for masks, as in `mask_iou`.
    fmt
        As in `box_iou`.
    groups : tuple of two arrays of int, or one array of int if `b` is None, optional
        For each box of `a`, shape (N,), and of `b`, shape (M,), the group that it belongs to: an
        image, a frame, a class. Only members of equal groups are compared, so that many images cost
        the sum of the images.
    device : {"auto", "cpu", "cuda"}
        As in `box_iou`.
    progress : bool or function
        True draws a progress bar (needs the extra `cli`); a function is called with the work done
        and the work in all.

    Returns
    -------
    Pairs
        Rows, columns and values, sorted by row and then column, as arrays of the library that the
        inputs came from. A box with a NaN is in no pair.

    Raises
    ------
    TypeError, ValueError
        As `box_iou`; a threshold that is not greater than 0, or unfit groups.
    MemoryError
        The pairs found would not fit in memory.
    RuntimeError
        `device` is "cuda", and no GPU can be used.

    Examples
    --------
    >>> import fastiou
    >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10], [0, 0, 4, 4]]
    >>> rows, cols, values = fastiou.pairs(boxes, threshold=0.5)
    >>> rows, cols, values
    (array([0, 0, 1]), array([1, 3, 3]), array([0.75, 1.  , 0.75]))

    Boxes of different images do not meet:

    >>> fastiou.pairs(boxes, groups=[1, 1, 1, 2])
    <Pairs: 1 of 4 × 4>
           row        col      value
             0          1       0.75
    """
    found, inputs = find_pairs(
        a, b, threshold, metric=metric, fmt=fmt, groups=groups, device=device, progress=progress,
        stay_on_gpu=True,
    )  # fmt: skip
    rows, cols, values = (_in_kind(column, inputs) for column in found)
    return Pairs(rows, cols, values, found.shape, found.tested)


def _in_kind(result: Any, inputs: list[Input]) -> Any:
    """A result as an array of the library of the inputs, if it is not one already."""
    return hand_back(result, *inputs) if isinstance(result, np.ndarray) else result


def find_pairs(
    a: Any,
    b: Any,
    threshold: float,
    *,
    metric: str,
    fmt: str,
    groups: Any,
    iscrowd: Any = None,
    device: str = "auto",
    progress: bool | Progress = False,
    check_sizes: Callable[[int, int], None] | None = None,
    stay_on_gpu: bool = False,
) -> tuple[Pairs, list[Input]]:
    """What `pairs` does, with NumPy arrays for a result, and the inputs, to hand results back.

    With `stay_on_gpu` the result may be arrays of the inputs' library, where these are on a GPU.
    `check_sizes` is called with the sizes of both sets before anything is searched. Columns that
    `iscrowd` tells to be crowds score the intersection over the area of the row.
    """
    check_choice("fmt", fmt, LAYOUTS)
    check_choice("metric", metric, METRICS)
    backends.check_device(device)
    report, finish = progress_callback(progress)
    sets = read_sets(a, b, metric, fmt)
    minimum = threshold_number(threshold, METRICS[metric].maximum)
    if check_sizes is not None:
        check_sizes(*sets.sizes)
    codes1, codes2, count = group_codes(groups, sets.sizes, itself=sets.itself)
    crowd = None if iscrowd is None else crowd_array(iscrowd, sets.sizes[1], "b")
    try:
        if crowd is None or not crowd.any():
            found = search(sets, metric, minimum, codes1, codes2, count)
            return _pairs_of(
                sets, found, metric, minimum, device, report, stay_on_gpu=stay_on_gpu
            ), sets.inputs
        parts = []
        for scored, left_out in ((metric, crowd), ("iof", ~crowd)):
            codes = np.where(left_out, np.int32(-1), codes2)
            found = search(sets, scored, minimum, codes1, codes, count, score_as=metric)
            parts.append(_pairs_of(sets, found, scored, minimum, device, None))
    finally:
        finish()
    rows, cols, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((cols, rows))
    tested = sum(part.tested for part in parts)
    return Pairs(rows[order], cols[order], values[order], sets.sizes, tested), sets.inputs


def _limit(found: Search, metric: str, minimum: float) -> Any:
    """The least score that counts, in the units of the kernels."""
    with np.errstate(over="ignore", under="ignore"):
        number = found.dtype.type
        # A threshold above 0 stays so, or what does not overlap would be pairs.
        least = np.nextafter(number(0), number(1))
        limit = max(number(minimum), least)
        if METRICS[metric].maximum is None:
            limit = max(number(unmagnify(np.array([float(limit)]), -found.exponent)[0]), least)
        return limit


def _pairs_of(
    sets: Sets,
    found: Search,
    metric: str,
    minimum: float,
    device: str,
    report: Progress | None,
    *,
    stay_on_gpu: bool = False,
) -> Pairs:
    """Count the pairs of each row, and then fill arrays of exactly the right size."""

    def on_gpu(place: GpuArray | None) -> Pairs:
        empty = _empty_on_gpu(place, found, metric) if stay_on_gpu else None
        return _pairs_on_gpu(place, empty, sets, found, metric, minimum, report)

    def on_cpu() -> Pairs:
        limit = _limit(found, metric, minimum)
        rows, cols, values, tested = list_pairs(found, metric, limit, sets.sizes[0], report)
        return Pairs(rows, cols, values, sets.sizes, tested)

    result = backends.compute(device, sets.inputs, on_gpu, on_cpu)
    if METRICS[metric].maximum is None:
        unmagnify(result.values, found.exponent)
    return result


def _empty_on_gpu(
    place: GpuArray | None, found: Search, metric: str
) -> Callable[[tuple[int, ...], np.dtype[Any]], Any] | None:
    """What makes results where the inputs are, on a GPU; None if they are made on the host."""
    magnified = found.exponent != 0 and METRICS[metric].maximum is None
    return None if place is None or magnified else place.empty


def _pairs_on_gpu(
    place: GpuArray | None,
    empty: Callable[[tuple[int, ...], np.dtype[Any]], Any] | None,
    sets: Sets,
    found: Search,
    metric: str,
    minimum: float,
    report: Progress | None,
) -> Pairs:
    from fastiou.cuda.search import GpuSearch
    from fastiou.runtime.gpu import as_device_array, working

    limit = _limit(found, metric, minimum)
    offsets = np.zeros(sets.sizes[0] + 1, np.int64)
    with working(place) as work:
        on_gpu = GpuSearch(work, found, metric)

        def told(before: int) -> Callable[[int], None] | None:
            if report is None:
                return None
            return lambda done: report(before + done, 2 * on_gpu.total)

        # Summed here: what is copied for that is little beside the sets and the pairs.
        np.cumsum(on_gpu.count_pairs(limit, sets.sizes[0], told(0)), out=offsets[1:])
        count = int(offsets[-1])
        if empty is not None:
            integer = np.dtype(np.int64)
            rows, cols, values = (empty((count,), kind) for kind in (integer, integer, found.dtype))
            if count:
                gpu_cols, gpu_values = as_device_array(cols), as_device_array(values)
                on_gpu.fill_pairs(limit, offsets, gpu_cols, gpu_values, told(on_gpu.total))
                on_gpu.name_rows(offsets, as_device_array(rows))
                work.wait()
            return Pairs(rows, cols, values, sets.sizes, on_gpu.tested)
        rows, cols, values = allocate_pairs(count, found.dtype)
        if count:
            gpu_cols, gpu_values = work.empty(count, np.int64), work.empty(count, found.dtype)
            on_gpu.fill_pairs(limit, offsets, gpu_cols, gpu_values, told(on_gpu.total))
            work.to_host(gpu_cols, cols)
            work.to_host(gpu_values, values)
    name_rows(offsets, rows)
    return Pairs(rows, cols, values, sets.sizes, on_gpu.tested)


# ---- the best of each row ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TopK:
    """The best few of each row, by descending value.

    Iterating gives `values` and `indices`, so that they can be unpacked, as of `torch.topk`;
    `len` is the number of rows.

    Attributes
    ----------
    values : array, shape (N, k)
        Scores; 0 where there are fewer than k.
    indices : array of int64, shape (N, k)
        Positions in the second set; -1 where there are fewer than k.
    """

    values: Any
    indices: Any

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.values, self.indices))


def topk(
    a: Any,
    b: Any,
    k: int = 1,
    *,
    threshold: float = 0.0,
    metric: str = "iou",
    fmt: str = "xyxy",
    groups: Any = None,
    device: str = "auto",
) -> TopK:
    """Find the best k of `b` for each of `a`, by boxes or masks that overlap.

    Neither the dense result nor a list of pairs is built: memory is proportional to the inputs and
    the result.

    Parameters
    ----------
    a : array_like, shape (N, 4), or masks
        Boxes, as in `box_iou`; or masks, as in `mask_iou`.
    b : array_like, shape (M, 4), or masks
        What to compare with.
    k : int
        How many to keep; it may be more than M. Each row is kept in order as it fills, which suits
        tens or hundreds: where rows meet thousands and keep thousands, sorting a dense result is
        faster.
    threshold : float
        Smallest score to keep, from 0. What does not overlap, or scores 0, is never kept.
    metric
        As in `box_iou`; for masks, as in `mask_iou`.
    fmt
        As in `box_iou`.
    groups : tuple of two arrays of int, optional
        As in `pairs`.
    device : {"auto", "cpu", "cuda"}
        As in `box_iou`.

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
    check_choice("fmt", fmt, LAYOUTS)
    check_choice("metric", metric, METRICS)
    backends.check_device(device)
    if b is None:
        raise TypeError("b must be boxes or masks, got None; topk(a, a, k + 1) finds each itself")
    sets = read_sets(a, b, metric, fmt)
    number = whole_number("k", k, lowest=1)
    minimum = threshold_number(threshold, METRICS[metric].maximum, zero=True)
    codes1, codes2, count = group_codes(groups, sets.sizes, itself=False)
    shape = (sets.sizes[0], number)

    def allocate() -> tuple[Array, Array]:
        what, instead = f"the best {number:,} of {shape[0]:,} rows", "ask for fewer"
        values = memory.allocate(shape, sets.dtype, what, instead, zeros=True)
        return values, memory.allocate(shape, np.int64, what, instead)

    # Before anything that takes time, so that what cannot fit is refused at once.
    allocated = allocate() if backends.gpu_of(sets.inputs) is None else None
    found = search(sets, metric, minimum, codes1, codes2, count)
    limit = _limit(found, metric, minimum)

    def on_host() -> tuple[Array, Array]:
        return allocate() if allocated is None else allocated

    def on_gpu(place: GpuArray | None) -> tuple[Any, Any]:
        empty = _empty_on_gpu(place, found, metric)
        return _best_on_gpu(place, empty, on_host, found, metric, limit, shape)

    def on_cpu() -> tuple[Any, Any]:
        values, indices = on_host()
        indices.fill(-1)
        for cuts, work, _ in search_steps(found, work_before(found, metric, number)):
            threads.run(
                best_kernel(found.geometry, metric), work, *found.arguments, cuts, limit, indices,
                values,
            )  # fmt: skip
        return values, indices

    values, indices = backends.compute(device, sets.inputs, on_gpu, on_cpu)
    if METRICS[metric].maximum is None:
        unmagnify(values, found.exponent)
    return TopK(_in_kind(values, sets.inputs), _in_kind(indices, sets.inputs))


def _best_on_gpu(
    place: GpuArray | None,
    empty: Callable[[tuple[int, ...], np.dtype[Any]], Any] | None,
    on_host: Callable[[], tuple[Array, Array]],
    found: Search,
    metric: str,
    limit: Any,
    shape: tuple[int, int],
) -> tuple[Any, Any]:
    """Values and columns of the best of each row."""
    from fastiou.cuda.search import GpuSearch
    from fastiou.runtime.gpu import as_device_array, working

    with working(place) as work:
        if empty is not None:
            values, indices = empty(shape, found.dtype), empty(shape, np.dtype(np.int64))
            if shape[0]:
                gpu_indices, gpu_values = as_device_array(indices), as_device_array(values)
                GpuSearch(work, found, metric).keep_best(limit, gpu_indices, gpu_values)
            return values, indices
        values, indices = on_host()
        if shape[0]:
            gpu_indices, gpu_values = work.empty(shape, np.int64), work.empty(shape, found.dtype)
            GpuSearch(work, found, metric).keep_best(limit, gpu_indices, gpu_values)
            work.to_host(gpu_indices, indices)
            work.to_host(gpu_values, values)
    return values, indices
