"""Who matches whom: each at most one of the other set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays import backends
from fastiou.arrays.checks import check_choice, score_array, threshold_number
from fastiou.arrays.inputs import hand_back, result_dtype
from fastiou.cpu import match as assign
from fastiou.geometries.table import check_metric, geometry_of, read_sets
from fastiou.relations import small
from fastiou.relations.nms import by_score
from fastiou.relations.pairs import Pairs, crowd_of, find_pairs
from fastiou.runtime import chunks, steps
from fastiou.runtime.distinct import counted
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.tables.listing import Positions
from fastiou.tables.opened import USUAL, opened, sourced
from fastiou.typing import Array

__all__ = ["Match", "match", "match_pairs"]


METHODS = ["greedy", "optimal", "most", "coco"]

#: The highest threshold of COCO's matching, which lets equal boxes match at 1.
COCO_HIGHEST = 1 - 1e-10

#: Work of reading a pair where each is a cache miss, in scores of boxes (see `threads.run`).
PAIR_WORK = 16


@dataclass(frozen=True, eq=False)
class Match(Positions):
    """Which boxes or masks of two sets belong together, sorted by row.

    Iterating gives the five arrays in this order, so that they can be unpacked; `len` is the number
    of matches.

    Attributes
    ----------
    rows, cols : array of int64
        Positions in the first and in the second set. No row occurs twice, nor does a column, unless
        it is a crowd.
    values : array
        Scores of the matches, as `pairs` gives them.
    unmatched_rows, unmatched_cols : array of int64
        Positions of all others, ascending.
    source : Source or None
        The tables that the sets were, if they were any.
    """

    rows: Any
    cols: Any
    values: Any
    unmatched_rows: Any
    unmatched_cols: Any

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.rows, self.cols, self.values, self.unmatched_rows, self.unmatched_cols))

    def __repr__(self) -> str:
        return (
            f"<Match: {len(self):,} matched; unmatched: {len(self.unmatched_rows):,} rows, "
            f"{len(self.unmatched_cols):,} cols>"
        )

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """Sizes of the two sets: every member is matched or unmatched."""
        rows, cols, _, other_rows, other_cols = self.to_numpy()
        return _past_all(rows, other_rows), _past_all(cols, other_cols)


def _past_all(*positions: Array) -> int:
    """One more than the largest position."""
    return max(int(some.max()) + 1 if len(some) else 0 for some in positions)


def match(
    a: Any,
    b: Any,
    threshold: float = 0.5,
    *,
    method: str = "greedy",
    scores: Any = None,
    iscrowd: Any = None,
    metric: str = "iou",
    fmt: str | tuple[str, str] = USUAL,
    groups: Any = None,
    device: str = "auto",
    progress: bool | Progress = False,
) -> Match:
    """Match boxes, or masks, of one set with those of another, each with at most one.

    The dense result is never built: memory is proportional to the inputs and to the pairs that
    score at least the threshold.

    Parameters
    ----------
    a : array_like, shape (N, 4) or (N, 5), or masks
        Boxes, as in `box_iou`; or masks, as in `mask_iou`; or tables, as in `pairs`, which bring
        scores and crowds, too.
    b : array_like, shape (M, 4) or (M, 5), or masks
        What to match them with.
    threshold : float
        Smallest score of a match, as in `pairs`.
    method : {"greedy", "optimal", "most", "coco"}
        "greedy" takes the pair with the highest score, then the highest among those left, and so
        on; of equal scores the lowest row, then the lowest column. "optimal" has the highest total
        score that any matching has. "most" has as many matches as any matching has, and of these
        matchings the highest total score. "coco" is the rule of COCO's evaluation: detections `a`,
        by descending `scores`, each take the box of the ground truth `b` that scores highest with
        them among those left, the last of equal ones, and a crowd only if nothing else is left.
        Crowds may be taken any number of times.
    scores : array_like of float, shape (N,), optional
        How sure each of `a` is; for "coco" alone, which needs them. Of equal ones, the lowest row
        comes first.
    iscrowd : array_like of bool, shape (M,), optional
        Which of `b` are crowds; for "coco" alone. They score the intersection over the area of the
        row, whatever the metric.
    metric
        As in `box_iou`; for masks, as in `mask_iou`.
    fmt
        As in `box_iou`. Float64 boxes as "xywh" get COCO's own scores, bit for bit.
    groups : tuple of two, the groups of `a` and of `b`, optional
        The group that each member belongs to, one key or several, as in `pairs`. Only members of
        equal groups match.
    device : {"auto", "cpu", "cuda"}
        Where the pairs are found that score at least the threshold, as in `pairs`. The CPU chooses
        among them.
    progress
        As in `pairs`; of the search for these pairs.

    Returns
    -------
    Match
        Rows, columns and values, sorted by row, and the unmatched rows and columns, as arrays of
        the library that `a` and `b` came from. A box with a NaN is never matched.

    Raises
    ------
    TypeError, ValueError
        As `pairs`; an unknown method, `scores` that are missing, not finite or not as many as `a`,
        and `scores` or `iscrowd` for a method that does not use them.
    MemoryError
        The pairs that score at least the threshold would not fit in memory.
    RuntimeError
        `device` is "cuda", and no GPU can be used.

    Examples
    --------
    >>> import fastiou
    >>> a = [[0, 0, 4, 4], [0, 0, 4, 3]]
    >>> b = [[0, 0, 4, 4], [0, 1, 4, 5], [9, 9, 10, 10]]
    >>> rows, cols, values, unmatched_rows, unmatched_cols = fastiou.match(a, b)
    >>> rows, cols, values
    (array([0]), array([0]), array([1.]))
    >>> unmatched_rows, unmatched_cols
    (array([1]), array([1, 2]))

    The highest total needs another partner for the first:

    >>> rows, cols, values, *_ = fastiou.match(a, b, method="optimal")
    >>> rows, cols, values
    (array([0, 1]), array([1, 0]), array([0.6 , 0.75]))

    >>> fastiou.match(a, b, method="coco", scores=[0.3, 0.8])
    <Match: 2 matched; unmatched: 0 rows, 1 cols>

    The highest total can have fewer matches than there could be:

    >>> a, b = [[0, 0, 10, 1], [6, 0, 16, 1]], [[5, 0, 15, 1], [14, 0, 24, 1]]
    >>> fastiou.match(a, b, 0.1, method="optimal")
    <Match: 1 matched; unmatched: 1 rows, 1 cols>
    >>> fastiou.match(a, b, 0.1, method="most")
    <Match: 2 matched; unmatched: 0 rows, 0 cols>
    """
    if (
        type(a) is np.ndarray
        and type(b) is np.ndarray
        and type(method) is str
        and method in ("greedy", "optimal", "most")
        and scores is None
        and iscrowd is None
        and type(device) is str
        and device in ("auto", "cpu")
        and progress is False
    ):
        few = small.matches(a, b, threshold, method, metric, fmt, groups)
        if few is not None:
            return Match(*few)
    check_choice("method", method, METHODS)
    arguments = opened(("a", "b"), a, b, fmt, groups)
    a, b, fmt, groups, source = arguments
    geometry = geometry_of(fmt, a, b)
    chosen = check_metric(metric, geometry)
    backends.check_device(device, geometry)
    report, finish = progress_callback(progress)
    if b is None:
        raise TypeError("b must be boxes or masks, got None; pairs compares a set with itself")
    minimum = threshold_number(threshold, chosen.maximum)
    ranks = None
    if method == "coco":
        if scores is None and source is None:
            raise ValueError("scores must be given with method='coco': one number for each of a")
        scores, iscrowd = arguments.scores(scores, "a"), arguments.crowds(iscrowd)
        ranks = score_array("scores", scores)
    else:
        for name, value in (("scores", scores), ("iscrowd", iscrowd)):
            if value is not None:
                raise ValueError(f"{name} must be None with method={method!r}: only 'coco' uses it")

    set1, set2 = read_sets(geometry, ("a", "b"), a, b, fmt)
    if ranks is not None and len(ranks) != set1.size:
        raise ValueError(f"scores must have the shape ({set1.size},), got {ranks.shape}")
    if ranks is not None and not chosen.has_units:
        # In the dtype of the scores, where float32 has no number that near to 1.
        minimum = min(minimum, float(result_dtype(set1, set2).type(COCO_HIGHEST)))
    crowd = crowd_of(iscrowd, set1, set2, chosen)
    if ranks is None and device != "cuda" and progress is False:
        known = small.checked_groups(groups, set1.size, set2.size, False)
        few = small.plain_call(small.matches, set1, set2, minimum, method, metric, fmt, known)
        if few is not None:
            return sourced(Match(*(hand_back(part, set1, set2) for part in few)), source)
    try:
        pairs = find_pairs(
            set1, set2, chosen, minimum, groups, crowd=crowd, device=device, report=report
        )
    finally:
        finish()
    if ranks is None:
        parts = match_pairs(pairs, method)
    else:
        crowds = np.zeros(set2.size, np.bool_) if crowd is None else crowd
        parts = _parts(_coco(pairs, ranks, crowds))
    return sourced(Match(*(hand_back(part, set1, set2) for part in parts)), source)


def match_pairs(pairs: Pairs, method: str) -> tuple[Array, Array, Array, Array, Array]:
    """Match by pairs that were found before, each row and each column at most once.

    Parameters
    ----------
    pairs : Pairs
        NumPy arrays, sorted by row and column, with values above 0. The order within rows may
        change.
    method : {"greedy", "optimal", "most"}
        As in `match`.

    Returns
    -------
    tuple of five arrays
        As the attributes of `Match`.
    """
    return _parts({"greedy": _greedy, "optimal": _optimal, "most": _most}[method](pairs))


class _Found(NamedTuple):
    """A matching by rows and columns."""

    #: (N,): the column of each row, -1 for none.
    partners: Array
    #: (N,): the score of each match; undefined without one.
    values: Array
    #: (M,) bool: columns that are matched.
    taken: Array


def _parts(found: _Found) -> tuple[Array, Array, Array, Array, Array]:
    """The attributes of `Match`."""
    rows = np.flatnonzero(found.partners >= 0)
    return (
        rows,
        found.partners[rows],
        found.values[rows],
        np.flatnonzero(found.partners < 0),
        np.flatnonzero(~found.taken),
    )


def _run(kernel: Kernel, *arguments: Any) -> None:
    """Run a kernel in steps, between which Python's signal handlers run."""
    state = np.zeros(assign.STATE, np.int64)
    pace = steps.shares()
    share = next(pace)
    while not kernel.serial(*arguments, state, max(1, share // PAIR_WORK)):
        share = pace.send(share)


def _offsets(pairs: Pairs) -> Array:
    """Where the pairs of each row begin."""
    return np.concatenate([[0], np.cumsum(counted(pairs.rows, pairs.shape[0]))])


def _greedy(pairs: Pairs) -> _Found:
    size1, size2 = pairs.shape
    partners, holders = np.full(size1, -1), np.full(size2, -1)
    bars = np.zeros(size2, pairs.values.dtype)
    looks = np.zeros(size1, np.int64)
    _run(assign.GREEDY, _offsets(pairs), pairs.cols, pairs.values, partners, holders, bars, looks)
    taken = holders >= 0
    values = np.empty(size1, bars.dtype)
    values[holders[taken]] = bars[taken]
    return _Found(partners, values, taken)


def _coco(pairs: Pairs, scores: Array, crowd: Array) -> _Found:
    size1, size2 = pairs.shape
    offsets = _offsets(pairs)
    # Rows without a pair, often most of them, need no place in the order.
    rows = np.flatnonzero(np.diff(offsets))
    order = rows[by_score(scores[rows])]
    partners, taken = np.full(size1, -1), np.zeros(size2, np.bool_)
    values = np.empty(size1, pairs.values.dtype)
    _run(assign.COCO, offsets, pairs.cols, pairs.values, order, crowd, partners, values, taken)
    return _Found(partners, values, taken)


def _optimal(pairs: Pairs) -> _Found:
    start = assign.OPTIMAL_START.serial if len(pairs) <= chunks.PIECE else _start_in_steps
    is_turned, arrays = start(_offsets(pairs), pairs.cols, pairs.values, pairs.shape[1])
    for bids in (assign.BIDS, 0):
        _run(assign.OPTIMAL, arrays, bids)
    partners, matched, holders = assign.OPTIMAL_RESULT.serial(is_turned, arrays)
    return _Found(partners, matched, holders >= 0)


def _most(pairs: Pairs) -> _Found:
    """The largest number of matches, and of these matchings the highest total.

    Every score is raised by so much that no total makes up for a match less.
    """
    if not len(pairs):
        return _optimal(pairs)
    rows, cols, values, shape, tested = (
        pairs.rows, pairs.cols, pairs.values, pairs.shape, pairs.tested,
    )  # fmt: skip
    low, high = map(float, chunks.extremes(values))
    # A power of two: scores of metrics with units come to 1 at most, and no bit of them is lost.
    scale = 2.0 ** -math.frexp(high)[1]
    most = min(
        np.count_nonzero(counted(numbers, size))
        for numbers, size in ((rows, shape[0]), (cols, shape[1]))
    )
    # Of k matches the total is at most k × high, and of k + 1 at least (k + 1) × low. A whole
    # number, so that a score of float32 keeps all its bits.
    raise_by = math.ceil(most * (high - low) * scale + 1)
    raised = np.empty(len(values))
    for own in chunks.slices(len(values)):
        raised[own] = values[own].astype(np.float64) * scale + raise_by
    found = _optimal(Pairs(rows, cols, raised, shape, tested))
    matched = np.empty(shape[0], values.dtype)
    for own in chunks.slices(len(values)):
        kept = own.start + np.flatnonzero(found.partners[rows[own]] == cols[own])
        matched[rows[kept]] = values[kept]
    return _Found(found.partners, matched, found.taken)


def _start_in_steps(offsets: Array, cols: Array, values: Array, size2: int) -> tuple[bool, Any]:
    """What `OPTIMAL_START` does, with chances for signals in between."""
    size1 = len(offsets) - 1
    met = np.zeros(size2, np.bool_)
    for own in chunks.slices(len(cols)):
        met[cols[own]] = True
    is_turned = bool(np.count_nonzero(np.diff(offsets)) > np.count_nonzero(met))
    if is_turned:
        starts = np.concatenate([[0], np.cumsum(counted(cols, size2))])
        rows, turned_values, ends = np.empty_like(cols), np.empty_like(values), starts[:-1].copy()
        for first, last, _ in steps.spans(offsets, PAIR_WORK):
            assign.OPTIMAL_TURN.serial(
                offsets, cols, values, ends, rows, turned_values, first, last
            )  # fmt: skip
        offsets, cols, values = starts, rows, turned_values
        size1, size2 = size2, size1
    prices = np.zeros((3, size1 + size2))
    return is_turned, (
        (offsets, cols, values), np.full(size1, -1, np.int64), np.empty(size1, np.int64),
        np.full(size2, -1, np.int64), prices[0, :size1], prices[1, :size2], prices[2, :size2],
        np.zeros(size2, np.int64), np.empty((5, size2), np.int64),
    )  # fmt: skip
