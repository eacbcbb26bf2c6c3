"""Who overlaps whom, without the dense result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastiou import arrays, dispatch, memory
from fastiou.arrays import Input
from fastiou.cpu.columns import LAYOUTS
from fastiou.cpu.join import join
from fastiou.masks import (
    MASK_METRICS,
    WORDS_PER_SCORE,
    is_masks,
    mask_operand,
    two_sets,
)
from fastiou.metrics import METRICS
from fastiou.preparation import prepare, unmagnify

if TYPE_CHECKING:
    import scipy.sparse

__all__ = ["Pairs", "find_pairs", "pairs"]

Array = npt.NDArray[Any]

#: Parts into which a step is cut for the threads: enough that none waits long for the last.
CUTS = 64


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
        return f"<Pairs: {len(self):,} of {self.shape[0]:,} × {self.shape[1]:,}>"

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

        rows, cols, values = (np.asarray(column) for column in self)
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
    progress: bool | dispatch.Progress = False,
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
        Where to compute.
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
    """
    arrays.check_choice("fmt", fmt, LAYOUTS)
    arrays.check_choice("metric", metric, METRICS)
    dispatch.require_cpu(device)
    report, finish = dispatch.progress_callback(progress)
    sets = _masks(a, b, metric) if is_masks(a) or is_masks(b) else _boxes(a, b, metric, fmt)
    minimum = arrays.threshold_number(threshold, METRICS[metric].maximum)
    size1, size2 = sets.sizes
    groups1, groups2 = _group_arrays(groups, size1, size2, itself=b is None)
    slices = _slices(groups1, groups2, size1, size2, itself=b is None)
    try:
        found = _joined(sets, metric, minimum, slices, report)
    finally:
        finish()
    rows, cols, values = (arrays.hand_back(part, *sets.inputs) for part in found)
    return Pairs(rows, cols, values, found.shape, found.tested)


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
    progress: bool | dispatch.Progress = False,
) -> tuple[Pairs, list[Input]]:
    """Pairs of two sets as NumPy arrays, and the inputs by which results are handed back in kind.

    In the columns that `iscrowd` names, the score is the intersection over the area of the row.
    """
    arrays.check_choice("fmt", fmt, LAYOUTS)
    arrays.check_choice("metric", metric, METRICS)
    dispatch.require_cpu(device)
    sets = _masks(a, b, metric) if is_masks(a) or is_masks(b) else _boxes(a, b, metric, fmt)
    minimum = arrays.threshold_number(threshold, METRICS[metric].maximum)
    size1, size2 = sets.sizes
    groups1, groups2 = _group_arrays(groups, size1, size2, itself=False)
    crowd = np.zeros(size2, np.bool_)
    if iscrowd is not None:
        crowd = arrays.crowd_array(iscrowd, size2, "b")
    report, finish = dispatch.progress_callback(progress)
    parts = []
    try:
        for scored, chosen in ((metric, ~crowd), ("iof", crowd)):
            places = np.flatnonzero(chosen)
            if len(places) < size2:
                part2 = None if groups2 is None else groups2[places]
                order, firsts, lasts = _slices(groups1, part2, size1, len(places), itself=False)
                order = places if order is None else places[order]
                order = np.concatenate([order, np.flatnonzero(~chosen)])
            else:
                order, firsts, lasts = _slices(groups1, groups2, size1, size2, itself=False)
            if len(places) or scored == metric:
                slices = order, firsts, lasts
                parts.append(_joined(sets, scored, minimum, slices, report))
    finally:
        finish()
    if len(parts) == 1:
        return parts[0], sets.inputs
    rows, cols, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((cols, rows))
    tested = sum(part.tested for part in parts)
    return Pairs(rows[order], cols[order], values[order], sets.sizes, tested), sets.inputs


def _joined(
    sets: _Sets,
    metric: str,
    minimum: float,
    slices: tuple[Array | None, Array, Array],
    report: dispatch.Progress | None,
) -> Pairs:
    size1, size2 = sets.sizes
    order, firsts, lasts = slices
    first, second, exponent = sets.prepare(order)
    if METRICS[metric].maximum is None:
        minimum = float(unmagnify(np.array([minimum]), -exponent)[0])
    # A threshold above 0 stays so, or what does not overlap would be pairs.
    with np.errstate(over="ignore", under="ignore"):
        limit = max(sets.dtype.type(minimum), np.nextafter(sets.dtype.type(0), sets.dtype.type(1)))

    kernels = join(sets.geometry, metric)
    tested = lasts - firsts
    cumulative = np.concatenate([[0], np.cumsum(tested + sets.extra_cost(order, firsts, lasts))])
    total = int(cumulative[-1])
    if order is None:
        order = np.arange(size2)
    counts = np.zeros(size1, np.int64)
    none = np.empty(0, sets.dtype)
    for rows_of_step, work, done in _steps(cumulative):
        dispatch.run(
            kernels.count, work, *first, *second, firsts, lasts, rows_of_step, limit, none,
            counts,
        )  # fmt: skip
        if report is not None:
            report(done, 2 * total)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    found = int(offsets[-1])
    rows, cols, values = _allocate(found, sets.dtype)
    for rows_of_step, work, done in _steps(cumulative):
        dispatch.run(
            kernels.fill, work, *first, *second, firsts, lasts, rows_of_step, limit, offsets,
            order, rows, cols, values,
        )  # fmt: skip
        if report is not None:
            report(total + done, 2 * total)
    if METRICS[metric].maximum is None:
        unmagnify(values, exponent)
    return Pairs(rows, cols, values, sets.sizes, int(tested.sum()))


class _Sets(NamedTuple):
    """Two sets of one geometry, checked and ready to be joined."""

    geometry: str
    #: The arguments as they came, for handing results back in kind.
    inputs: list[Input]
    sizes: tuple[int, int]
    dtype: np.dtype[Any]
    #: Given the order of the second set, both sets as the kernels read them, and by which power of
    #: two they are magnified.
    prepare: Callable[[Array | None], tuple[tuple[Array, Array], tuple[Array, Array], int]]
    #: Given the order of the second set, and each row's slice of it, what its scores may cost
    #: beyond those of boxes.
    extra_cost: Callable[[Array | None, Array, Array], Array]


def _boxes(a: Any, b: Any, metric: str, fmt: str) -> _Sets:
    given1 = arrays.box_array("a", a)
    if isinstance(b, int | float):
        raise TypeError(f"b must be boxes, got {b!r}; if it is the threshold, pass threshold={b!r}")
    given2 = given1 if b is None else arrays.box_array("b", b)
    for given in (given1, given2):
        if given.array.ndim != 2:
            raise ValueError(
                f"{given.name} must have the shape (N, 4), got {given.array.shape}; tell batches "
                "apart by groups, and pass masks that are 4 wide as Masks"
            )
    arrays.check_one_library(given1, given2)

    def prepared(order: Array | None) -> tuple[tuple[Array, Array], tuple[Array, Array], int]:
        ordered = given2
        if order is not None:
            ordered = given2._replace(array=np.take(given2.array, order, axis=0))
        columns1, columns2, exponent = prepare(given1, ordered, fmt, metric)
        return (
            (columns1.corners, columns1.measures),
            (columns2.corners, columns2.measures),
            exponent,
        )

    return _Sets(
        "box",
        [given1, given2],
        (len(given1.array), len(given2.array)),
        arrays.result_dtype(given1, given2),
        prepared,
        lambda order, firsts, lasts: np.zeros(len(firsts), np.int64),
    )


def _masks(a: Any, b: Any, metric: str) -> _Sets:
    arrays.check_choice("metric of masks", metric, MASK_METRICS)
    set1, set2, inputs = two_sets("a", a, "b", a if b is None else b)

    def prepared(order: Array | None) -> tuple[tuple[Array, Array], tuple[Array, Array], int]:
        return mask_operand(set1), mask_operand(set2, order), 0

    def extra_cost(order: Array | None, firsts: Array, lasts: Array) -> Array:
        # A row reads no more words than it has itself for each column, nor than the columns have.
        sizes = set2.words_of_each
        before = np.concatenate([[0], np.cumsum(sizes if order is None else sizes[order])])
        own = set1.words_of_each * (lasts - firsts)
        return np.minimum(own, before[lasts] - before[firsts]) // WORDS_PER_SCORE  # type: ignore[no-any-return]

    return _Sets("mask", inputs, (len(set1), len(set2)), np.dtype(np.float64), prepared, extra_cost)


def _group_arrays(
    groups: Any, size1: int, size2: int, *, itself: bool
) -> tuple[Array | None, Array | None]:
    """The argument `groups` as an array for either set."""
    if groups is None:
        return None, None
    if itself:
        if isinstance(groups, tuple) and len(groups) == 2 and size1 != 2:
            raise ValueError("groups must be one array, the groups of a, when b is not given")
        both = arrays.group_array("groups", groups, size1)
        return both, both
    if (
        not isinstance(groups, tuple | list)
        or len(groups) != 2
        or any(isinstance(part, int | np.integer) for part in groups)
    ):
        raise ValueError(
            "groups must be a tuple of two arrays, the groups of a and of b, when both are given"
        )
    groups1 = arrays.group_array("groups[0]", groups[0], size1)
    groups2 = arrays.group_array("groups[1]", groups[1], size2)
    if groups1.dtype != groups2.dtype:  # one has numbers from 2**63 on, so the other none below 0
        for name, array in (("groups[0]", groups1), ("groups[1]", groups2)):
            if array.dtype == np.int64 and array.size and array.min() < 0:
                raise ValueError(
                    f"{name} has {array.min()}, and the other groups have numbers from 2**63 on: "
                    "they have no integer type in common"
                )
        return groups1.astype(np.uint64), groups2.astype(np.uint64)
    return groups1, groups2


def _slices(
    groups1: Array | None, groups2: Array | None, size1: int, size2: int, *, itself: bool
) -> tuple[Array | None, Array, Array]:
    """Order the second set by group, and find the slice of it that each row is compared with."""
    if groups1 is None or groups2 is None:
        firsts = np.arange(1, size1 + 1) if itself else np.zeros(size1, np.int64)
        return None, firsts, np.full(size1, size2)
    # Stable, so that within its group every box keeps its place and columns come out sorted.
    order = np.argsort(groups2, kind="stable")
    ordered = groups2[order]
    lasts = np.searchsorted(ordered, groups1, side="right")
    if itself:
        firsts = np.empty(size1, np.int64)
        firsts[order] = np.arange(1, size1 + 1)
    else:
        firsts = np.searchsorted(ordered, groups1, side="left")
    return order, firsts, lasts


def _steps(cumulative: Array) -> Iterator[tuple[Array, int, int]]:
    """Cut rows into steps: row numbers to cut at, work in the step, and work so far.

    `cumulative` is the work before each row, in scores of boxes.
    """
    total = int(cumulative[-1])
    last = 0
    for _, until in dispatch.steps(total, dispatch.STEP):
        first = last
        last = int(np.searchsorted(cumulative, until, side="left"))
        if last == first:
            continue
        done, before = int(cumulative[last]), int(cumulative[first])
        targets = before + (done - before) * np.arange(CUTS + 1) // CUTS
        cuts = np.unique(np.searchsorted(cumulative[first : last + 1], targets) + first)
        cuts[-1] = last
        yield cuts, done - before, done


def _allocate(found: int, dtype: np.dtype[Any]) -> tuple[Array, Array, Array]:
    size = found * (2 * 8 + dtype.itemsize)
    # Of one piece, since whether all fits can only be told before any is used.
    buffer = memory.allocate(
        (size,), np.dtype(np.uint8), f"the list of {found:,} pairs", "raise the threshold"
    )
    rows, cols = buffer[: found * 16].view(np.int64).reshape(2, found)
    return rows, cols, buffer[found * 16 :].view(dtype)
