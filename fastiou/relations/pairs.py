"""Who overlaps whom, without the dense result."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastiou.arrays import backends
from fastiou.arrays.checks import crowd_array, threshold_number
from fastiou.arrays.inputs import Input, hand_back
from fastiou.geometries.table import check_metric, geometry_of, read_sets
from fastiou.geometry import unmagnify
from fastiou.metrics import IOF, Metric
from fastiou.relations import on_gpu, small
from fastiou.relations.on_gpu import Codes
from fastiou.relations.thresholds import least_that_counts
from fastiou.runtime import chunks, memory
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.search.groups import group_codes
from fastiou.search.pair_lists import (
    WITHOUT_ALL,
    allocate_pairs,
    list_pairs,
)
from fastiou.search.search import Search, search
from fastiou.tables.listing import Positions
from fastiou.tables.opened import USUAL, opened, sourced
from fastiou.typing import Array

__all__ = ["Pairs", "find_pairs", "pairs"]


#: Lines that a set of pairs shows of itself.
SHOWN = 10


@dataclass(frozen=True, eq=False)
class Pairs(Positions):
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
    source : Source or None
        The tables that the sets were, if they were any. Data frames of the pairs have their keys
        and ids.
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


def pairs(
    a: Any,
    b: Any = None,
    threshold: float = 0.5,
    *,
    iscrowd: Any = None,
    metric: str = "iou",
    fmt: str | tuple[str, str] = USUAL,
    groups: Any = None,
    device: str = "auto",
    progress: bool | Progress = False,
) -> Pairs:
    """Find all pairs of boxes, or of masks, that score at least a threshold.

    The dense result is never built: memory is proportional to the inputs and the pairs found.

    Parameters
    ----------
    a : array_like, shape (N, 4) or (N, 5), or masks
        Boxes, as in `box_iou`; or masks, as in `mask_iou`. A `BoxTable`, or a data frame with named
        columns, brings its format and its keys.
    b : array_like, shape (M, 4) or (M, 5), or masks, optional
        What to compare with. Without it, `a` is compared with itself, each pair once, with
        row < column.
    threshold : float
        Smallest score of a pair; greater than 0, for giou, diou and ciou too, so that boxes that do
        not overlap are no pairs. It is rounded down to the dtype of the scores, so that a score of
        exactly k/n is at least the threshold k/n.
    iscrowd : array_like of bool, shape (M,), optional
        Which of `b` are crowds. They score the intersection over the area of the row, whatever the
        metric, as in `box_iou`.
    metric
        As in `box_iou`; for masks, as in `mask_iou`.
    fmt
        As in `box_iou`.
    groups : tuple of two, the groups of `a` and of `b`; or the groups of `a` if `b` is None
        The group that each member belongs to: an image, a frame, a class. Only members of equal
        groups are compared, so that many images cost the sum of the images. The groups of a set
        are integers or names, as an array or a list of one for each member. Where several keys
        make a group, such as image and class, they are a tuple of such arrays, or a data frame
        with a column for each. With `b`, a tuple of two is always that of both sets: two keys of
        both are ``((images_a, classes_a), (images_b, classes_b))``. A missing key (None, NaN) is
        refused. Without it, tables are grouped by all keys that both have. That only one of them
        has keys, or that they have no value of a key in common, is an error; ``table.by()`` is
        without groups.
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
    if (
        type(a) is np.ndarray
        and (b is None or type(b) is np.ndarray)
        and type(device) is str
        and device in ("auto", "cpu")
        and progress is False
        and iscrowd is None
    ):
        other = a if b is None else b
        few = small.pairs(a, other, b is None, threshold, metric, fmt, groups)
        if few is not None:
            sizes = len(a), len(other)
            return Pairs(*few, sizes, _all_tested(sizes, b is None))
    a, b, fmt, groups, source = opened(("a", "b"), a, b, fmt, groups)
    geometry = geometry_of(fmt, a, b)
    chosen = check_metric(metric, geometry)
    backends.check_device(device, geometry)
    report, finish = progress_callback(progress)
    set1, set2 = read_sets(geometry, ("a", "b"), a, b, fmt)
    minimum = threshold_number(threshold, chosen.maximum)
    crowd = crowd_of(iscrowd, set1, set2, chosen)
    is_here = set1.gpu is None and set2.gpu is None
    if device != "cuda" and progress is False and crowd is None and is_here:
        itself = set2 is set1
        known = small.checked_groups(groups, set1.size, set2.size, itself)
        few = small.plain_call(small.pairs, set1, set2, itself, minimum, metric, fmt, known)
        if few is not None:
            rows, cols, values = (hand_back(column, set1, set2) for column in few)
            sizes = set1.size, set2.size
            few_pairs = Pairs(rows, cols, values, sizes, _all_tested(sizes, itself))
            return sourced(few_pairs, source)
    try:
        found = find_pairs(
            set1, set2, chosen, minimum, groups, crowd=crowd, device=device, report=report,
            stay_on_gpu=True,
        )  # fmt: skip
    finally:
        finish()
    rows, cols, values = (in_kind(column, [set1, set2]) for column in found)
    return sourced(Pairs(rows, cols, values, found.shape, found.tested), source)


def crowd_of(iscrowd: Any, set1: Input, set2: Input, metric: Metric) -> Array | None:
    """The argument `iscrowd` of a relation that compares with a threshold."""
    if iscrowd is None:
        return None
    if set2 is set1:
        raise ValueError("iscrowd must be None without b: it tells which of b are crowds")
    if metric.has_units:
        raise ValueError(
            f"iscrowd must be None with metric={metric.name!r}: crowds score a share of the row's "
            "area, which one threshold cannot judge together with areas"
        )
    return crowd_array(iscrowd, set2.size, "b")


def _all_tested(sizes: tuple[int, int], itself: bool) -> int:
    """How many scores it takes to compare all with all, each once within a set."""
    return sizes[0] * (sizes[0] - 1) // 2 if itself else sizes[0] * sizes[1]


def in_kind(result: Any, inputs: list[Input]) -> Any:
    """A result as an array of the library of the inputs, if it is not one already."""
    return hand_back(result, *inputs) if isinstance(result, np.ndarray) else result


def find_pairs(
    set1: Input,
    set2: Input,
    metric: Metric,
    minimum: float,
    groups: Any,
    *,
    crowd: Array | None = None,
    device: str = "auto",
    report: Progress | None = None,
    stay_on_gpu: bool = False,
) -> Pairs:
    """What `pairs` does, with NumPy arrays for a result.

    With `stay_on_gpu` they may be arrays of the inputs' library, where these are on a GPU. Columns
    that `crowd` tells to be crowds score the intersection over the area of the row.
    """
    sizes = set1.size, set2.size

    def found(
        scored: Metric, codes: Codes | None, report: Progress | None, stays: bool = False
    ) -> Pairs:
        def here() -> Pairs:
            own = group_codes(groups, sizes, itself=set2 is set1) if codes is None else codes
            searched = search(set1, set2, scored, minimum, own, score_as=metric)
            return _pairs_of(searched, minimum, sizes, report)

        def there(place: GpuArray | None) -> Pairs:
            with on_gpu.searching(
                place, set1, set2, scored, minimum, groups, codes=codes, prepared_for=metric
            ) as (work, sides):
                return _pairs_there(work, sides, place if stays else None, minimum, report)

        return backends.compute(device, [set1, set2], there, here)

    if crowd is None or not crowd.any():
        return found(metric, None, report, stay_on_gpu)
    codes1, codes2, count = group_codes(groups, sizes, itself=set2 is set1)
    # Crowds are searched by themselves, and scored by `IOF` from what is prepared for the metric.
    parts = []
    for part, (scored, left_out) in enumerate(((metric, crowd), (IOF, ~crowd))):
        codes = codes1, np.where(left_out, np.int32(-1), codes2), count
        parts.append(found(scored, codes, half_of(report, part)))
    pair_bytes = 16 + parts[0].values.itemsize
    memory.check(  # put together, and then in order
        2 * pair_bytes * sum(map(len, parts)), "the list of pairs with crowds", WITHOUT_ALL
    )
    tested = sum(part.tested for part in parts)
    rows, cols, values = _merged(parts[0], parts[1], sizes[1])
    return Pairs(rows, cols, values, sizes, tested)


def half_of(report: Progress | None, part: int) -> Progress | None:
    """What tells of the first or the second half of the work."""
    if report is None:
        return None
    return lambda done, total: report(done + part * total, 2 * total)


def _merged(one: Pairs, other: Pairs, size2: int) -> list[Array]:
    """The columns of two lists of pairs in one, sorted. No pair is in both."""
    keys = np.empty(len(other), np.int64)  # at most 2⁶², since sizes are below 2³¹
    for own in chunks.slices(len(keys)):
        keys[own] = other.rows[own] * size2 + other.cols[own]
    columns = [np.empty(len(one) + len(other), column.dtype) for column in one]
    is_others = np.ones(len(one) + len(other), np.bool_)
    for own in chunks.slices(len(one)):
        before = np.searchsorted(keys, one.rows[own] * size2 + one.cols[own])
        places = before + np.arange(own.start, own.stop)
        is_others[places] = False
        for column, part in zip(columns, one, strict=True):
            column[places] = part[own]
    end = 0
    for own in chunks.slices(len(is_others)):
        places = own.start + np.flatnonzero(is_others[own])
        begin, end = end, end + len(places)
        for column, part in zip(columns, other, strict=True):
            column[places] = part[begin:end]
    return columns


def lowest_score(found: Search, minimum: float) -> Any:
    """The least score that counts, in the units of the kernels."""
    return least_that_counts(found.metric, found.dtype, minimum, found.exponent)


def _pairs_of(
    found: Search, minimum: float, sizes: tuple[int, int], report: Progress | None
) -> Pairs:
    """The pairs of a search, by the CPU."""
    rows, cols, values, tested = list_pairs(found, lowest_score(found, minimum), sizes[0], report)
    if found.metric.has_units:
        unmagnify(values, found.exponent)
    return Pairs(rows, cols, values, sizes, tested)


def _pairs_there(
    work: Any, sides: Any, place: GpuArray | None, minimum: float, report: Progress | None
) -> Pairs:
    """The pairs of sets on a GPU, at a place there; NumPy arrays without one."""
    from fastiou.cuda.pairs import GpuPairs

    dtype, integer = sides.dtype, np.dtype(np.int64)
    found = GpuPairs(
        work, sides, functools.partial(least_that_counts, sides.metric, dtype, minimum)
    )
    if report is not None:
        report(1, 2)
    count = found.count
    work.reserve(count * (16 + dtype.itemsize), f"the list of {count:,} pairs")
    hosts = (None,) * 3 if place is not None else allocate_pairs(count, dtype)
    columns = [
        work.result(place, (count,), kind, host)
        for kind, host in zip((integer, integer, dtype), hosts, strict=True)
    ]
    found.fill(*(column.device for column in columns))
    rows, cols, values = (column.handed() for column in columns)
    if report is not None:
        report(2, 2)
    return Pairs(rows, cols, values, sides.sizes, found.tested)
