"""A few members of plain arrays, in one compiled call (see `cpu.small`).

Every function here returns None where it is not for it: other inputs, larger ones, and all that is
to be refused, which those do by whom all is checked.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastiou.arrays.inputs import Input, result_dtype
from fastiou.cpu.nms import suppress_kernel
from fastiou.cpu.pairs import pairs_kernel
from fastiou.cpu.small import MOST_PAIRS, SmallKernels, small_kernels
from fastiou.cpu.topk import best_kernel
from fastiou.geometries.table import FORMATS
from fastiou.geometry import EXACT
from fastiou.metrics import METRICS, Metric
from fastiou.relations.thresholds import least_above, least_from, rounded
from fastiou.runtime import kernel as compiling
from fastiou.runtime import steps, threads
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.threads import PARALLEL_FROM
from fastiou.search.groups import group_arrays
from fastiou.typing import Array

__all__ = [
    "aligned",
    "checked_groups",
    "dense",
    "fill_aligned",
    "kind_for",
    "kind_of",
    "matches",
    "nms",
    "pairs",
    "plain_array",
    "plain_arrays",
    "plain_call",
    "topk",
]


#: Scores up to which one call on one thread is faster than a grid, and than several threads.
MOST_SCORES = 1 << 18

#: Members of a set that is suppressed in such a call.
MOST_SUPPRESSED = 1 << 10

#: The same where the kernels of the general way would have to be compiled first, which takes 3 to 6
#: s: of members that are their bounds, and of others, 60 ns each. Either takes 0.1 s at most, since
#: no signal is handled meanwhile.
MOST_OF_BOUNDS_BEFORE, MOST_BEFORE = 1 << 25, 1 << 21

#: Members of a set then: what is prepared of them takes 8 MB at most.
MOST_MEMBERS_BEFORE = 1 << 16

#: Seconds that such calls may take together before those kernels are worth it.
PATIENCE = 1.0

#: Members of two sets that are compared one by one.
MOST_ALIGNED = 1 << 13

#: How many scores take as long as preparing two members and scoring them: 11 ns for plain boxes, 20
#: for rotated ones.
SCORES_OF_FELLOWS = 32

SCORE_TYPES = (np.dtype(np.float32), np.dtype(np.float64))

NO_GROUPS = np.empty(0, np.int64)


class _Compiled:
    """The compiled kernels of a geometry and metric, by relation."""

    def __init__(self, kernels: SmallKernels) -> None:
        self._kernels = kernels

    def __getattr__(self, relation: str) -> Any:
        compiled = getattr(self._kernels, relation).serial
        setattr(self, relation, compiled)  # found without this function from now on
        return compiled


@dataclass(frozen=True, slots=True)
class Kind:
    """Plain arrays of one format and dtype, and a metric: what a call for them needs to know."""

    #: Numbers of a member, and the number of its format.
    numbers: int
    layout: int
    #: Whether the metric has no units, so that 1 is its largest value.
    is_ratio: bool
    kernels: _Compiled
    #: The same, of which `threads.run` chooses the form.
    both_forms: SmallKernels
    #: The kernel of the general way that takes longest to compile, by relation.
    general: dict[str, Kernel]
    #: Scores up to which no such kernel is compiled.
    most_before: int


# None where a geometry has no such kernels. By format, metric and dtype.
_kinds: dict[tuple[str, str, np.dtype[Any]], Kind | None] = {}


def kind_for(fmt: Any, metric: str, dtype: np.dtype[Any]) -> Kind | None:
    """The kind of plain arrays of a dtype; None if there are no kernels for them."""
    key = fmt, metric, dtype
    return _kinds[key] if key in _kinds else _look_up(*key)


def _look_up(fmt: Any, metric: Any, dtype: np.dtype[Any]) -> Kind | None:
    """The same, for arguments that may be anything."""
    if not (
        isinstance(fmt, str) and isinstance(metric, str) and fmt in FORMATS and metric in METRICS
    ):
        return None
    geometry, chosen = FORMATS[fmt].load(), METRICS[metric]
    found = None
    is_float = dtype in (np.float32, np.float64)
    if is_float and geometry.small is not None and chosen.needs in geometry.measures:
        layout = geometry.small.layout(fmt, chosen, dtype)
        if layout is not None:
            numbers = FORMATS[fmt].formats[fmt]
            kernels = small_kernels(geometry, chosen)
            paired = pairs_kernel(geometry, chosen)
            general = {
                "nms": suppress_kernel(geometry, chosen),
                "topk": best_kernel(geometry, chosen),
                **dict.fromkeys(("pairs", "greedy", "optimal", "most"), paired),
            }
            found = Kind(
                numbers, layout, chosen.is_ratio, _Compiled(kernels), kernels, general,
                MOST_OF_BOUNDS_BEFORE if geometry.is_its_bounds else MOST_BEFORE,
            )  # fmt: skip
    _kinds[fmt, metric, dtype] = found
    return found


def kind_of(a: Array, b: Array, fmt: Any, metric: str) -> Kind | None:
    """The kind of two arrays, if these are plain ones of one."""
    dtype = a.dtype
    if (
        dtype is not b.dtype
        or a.ndim != 2
        or b.ndim != 2
        or not a.flags.carray
        or not b.flags.carray
    ):
        return None
    try:
        found = _kinds[fmt, metric, dtype]
    except (KeyError, TypeError):
        found = _look_up(fmt, metric, dtype)
    if found is None or a.shape[1] != found.numbers or b.shape[1] != found.numbers:
        return None
    return found


# Seconds that calls took because the kernels of the general way are not compiled.
_spent = 0.0


def _kernel_for(
    kind: Kind | None, relation: str, count1: int, count2: int, few: int = MOST_SCORES
) -> Callable[..., Any] | None:
    """The compiled kernel for a call with so many members; None if that is for others."""
    if kind is None or not kind.is_ratio:
        return None
    is_little = count1 * count2 <= few
    if not is_little and (
        count1 * count2 > kind.most_before
        or max(count1, count2) > MOST_MEMBERS_BEFORE
        or threads.FORCED is not None
        or _spent >= PATIENCE
        or kind.general[relation].is_at_hand
    ):
        return None
    compiled: Callable[..., Any] = getattr(kind.kernels, relation)
    return compiled if is_little else functools.partial(_timed, compiled)


def _timed(compiled: Callable[..., Any], *arguments: Any) -> Any:
    """Call a kernel, and add up what it took."""
    global _spent
    compilations, begin = compiling.compilations, time.perf_counter()
    result = compiled(*arguments)
    if compilations == compiling.compilations:
        _spent += time.perf_counter() - begin
    return result


def plain_call(relation: Callable[..., Any], set1: Input, set2: Input, *arguments: Any) -> Any:
    """Call a function of this module for what was read and checked, if it is little."""
    scores, most = set1.size * set2.size, max(set1.size, set2.size)
    if scores > MOST_SCORES and (scores > MOST_OF_BOUNDS_BEFORE or most > MOST_MEMBERS_BEFORE):
        return None
    plain = plain_arrays(set1, set2)
    return None if plain is None else relation(*plain, *arguments)


def plain_arrays(set1: Input, set2: Input) -> tuple[Array, Array] | None:
    """Sets as plain arrays of the dtype of their scores, None where that could round or is none."""
    dtype = result_dtype(set1, set2)
    first = plain_array(set1, dtype)
    if first is None:
        return None
    second = first if set2.held is set1.held else plain_array(set2, dtype)
    return None if second is None else (first, second)


def plain_array(given: Input, dtype: np.dtype[Any]) -> Array | None:
    """One set as such an array."""
    array = given.held
    if given.gpu is not None or not isinstance(array, np.ndarray) or array.ndim != 2:
        return None
    if array.dtype == dtype and array.flags.carray:
        return array
    plain = np.array(array, dtype, order="C")
    if array.dtype.kind in "iu" and array.itemsize == 8 and array.size:
        small = given.geometry.small if given.geometry is not None else None
        if small is None or given.fmt in small.moved:
            return None
        # The sum of squares takes 1 µs for 10 boxes, and is enough mostly; the largest takes 3.
        if np.vdot(plain, plain) > EXACT**2 and np.abs(plain).max() > EXACT:
            return None
    return plain


def _plain_groups(
    groups: Any, count1: int, count2: int, itself: bool
) -> tuple[Array, Array] | None:
    """Groups as int64 arrays, if they are that already."""
    if groups is None:
        return NO_GROUPS, NO_GROUPS
    both = (groups, groups) if itself else groups
    if type(both) is not tuple or len(both) != 2:
        return None
    for array, count in zip(both, (count1, count2), strict=True):
        if not (
            type(array) is np.ndarray
            and array.dtype == np.int64
            and array.shape == (count,)
            and array.flags.carray
        ):
            return None
    return both


def checked_groups(
    groups: Any, count1: int, count2: int, itself: bool, name: str = "groups"
) -> Any:
    """The argument `groups`, checked, as arrays of one integer type."""
    if groups is None:
        return None
    groups1, groups2 = group_arrays(groups, count1, count2, itself=itself, name=name)
    return groups1 if itself else (groups1, groups2)


# ---- the relations -----------------------------------------------------------------------------


def dense(
    a: Array, b: Array, fmt: Any, metric: str, out: Any, fill: Callable[..., Any]
) -> Array | None:
    """Dense scores. Many are left to `fill(a, b, fmt, metric, out)`.

    With what a call for lists, tensors and options passes through, 320 × 320 into `out` took 29 µs
    longer than 49.
    """
    kind = kind_of(a, b, fmt, metric)
    if kind is None:
        return None
    shape = len(a), len(b)
    if out is not None and not (
        type(out) is np.ndarray and out.dtype is a.dtype and out.shape == shape and out.flags.carray
    ):
        return None
    if shape[0] * shape[1] >= PARALLEL_FROM:
        filled: Array = fill(a, b, fmt, metric, out)
        return filled
    scores = np.empty(shape, a.dtype) if out is None else out
    return scores if kind.kernels.dense(a, b, kind.layout, scores) else None


def aligned(a: Array, b: Array, fmt: Any, metric: str) -> Array | None:
    """Scores of each against its fellow."""
    kind = kind_of(a, b, fmt, metric)
    if kind is None or len(a) != len(b) or len(a) >= MOST_ALIGNED:
        return None
    scores = np.empty(len(a), a.dtype)
    return scores if kind.kernels.aligned(a, b, kind.layout, scores) else None


def fill_aligned(set1: Input, set2: Input, metric: Metric, scores: Array) -> bool:
    """Fill (n,) with the scores of many, each against its fellow; return whether that was done.

    On as many threads as that deserves.
    """
    plain = plain_arrays(set1, set2)
    kind = None if plain is None else kind_of(*plain, set1.fmt, metric.name)
    if plain is None or kind is None or not scores.flags.c_contiguous:
        return False
    kernel, (a, b) = kind.both_forms.aligned, plain
    return all(
        threads.run(kernel, work, a[first:last], b[first:last], kind.layout, scores[first:last])
        for first, last, work in steps.ranges(len(scores), SCORES_OF_FELLOWS)
    )


def pairs(
    a: Array, other: Array, itself: bool, threshold: Any, metric: str, fmt: Any, groups: Any
) -> tuple[Array, Array, Array] | None:
    """Rows, columns and values of pairs; of each once in a set with itself."""
    kind = kind_of(a, other, fmt, metric)
    count1, count2 = len(a), len(other)
    list_pairs = _kernel_for(kind, "pairs", count1, count2)
    codes = _plain_groups(groups, count1, count2, itself)
    if (
        kind is None
        or list_pairs is None
        or codes is None
        or type(threshold) is not float
        or not 0.0 < threshold <= 1.0
    ):
        return None
    room = min(count1 * count2, MOST_PAIRS)
    rows, cols = np.empty(room, np.int64), np.empty(room, np.int64)
    values = np.empty(room, a.dtype)
    count = list_pairs(
        a, other, kind.layout, *codes, itself, least_from(a.dtype, threshold), rows, cols, values
    )
    if count < 0:
        return None
    return rows[:count].copy(), cols[:count].copy(), values[:count].copy()


def topk(
    a: Array, b: Array, k: Any, threshold: Any, metric: str, fmt: Any, groups: Any
) -> tuple[Array, Array] | None:
    """Values and indices of the best k of each row."""
    kind = kind_of(a, b, fmt, metric)
    if type(k) is not int or k < 1:
        return None
    count1, count2 = len(a), len(b)
    # Each score may be put in front of `k` others.
    find_best = _kernel_for(kind, "topk", count1, count2 * k, MOST_SCORES * k)
    codes = _plain_groups(groups, count1, count2, False)
    if (
        kind is None
        or find_best is None
        or codes is None
        or max(count1, 1) * k > MOST_SCORES
        or type(threshold) is not float
        or not 0.0 <= threshold <= 1.0
    ):
        return None
    values, indices = np.empty((count1, k), a.dtype), np.empty((count1, k), np.int64)
    is_done = find_best(a, b, kind.layout, *codes, least_from(a.dtype, threshold), indices, values)
    return (values, indices) if is_done else None


def nms(
    a: Array,
    other: Array,
    scores: Any,
    threshold: Any,
    groups: Any,
    metric: str,
    fmt: Any,
    score_threshold: Any,
) -> Array | None:
    """Indices of those that hard suppression keeps of a set, which is given twice."""
    kind = kind_of(a, other, fmt, metric)
    suppress = _kernel_for(kind, "nms", len(a), len(a), MOST_SUPPRESSED**2)
    if (
        kind is None
        or suppress is None
        or type(scores) is not np.ndarray
        or scores.dtype not in SCORE_TYPES
        or scores.shape != (len(a),)
        or not scores.flags.carray
        or type(threshold) is not float
        or not 0.0 <= threshold <= 1.0
        or not (score_threshold is None or type(score_threshold) is float)
        or score_threshold != score_threshold
    ):
        return None
    codes = _plain_groups(groups, len(a), len(a), True)
    if codes is None:
        return None
    kept = np.empty(len(a), np.int64)
    count = suppress(
        a, kind.layout, scores, codes[0], least_above(a.dtype, threshold),
        -np.inf if score_threshold is None else rounded(scores.dtype, score_threshold), kept,
    )  # fmt: skip
    return None if count < 0 else kept[:count].copy()


def matches(
    a: Array, b: Array, threshold: Any, method: str, metric: str, fmt: Any, groups: Any
) -> tuple[Array, ...] | None:
    """Rows, columns and values of a matching, and the unmatched rows and columns."""
    kind = kind_of(a, b, fmt, metric)
    count1, count2 = len(a), len(b)
    find_matches = _kernel_for(kind, method, count1, count2)
    codes = _plain_groups(groups, count1, count2, False)
    if (
        kind is None
        or find_matches is None
        or codes is None
        or type(threshold) is not float
        or not 0.0 < threshold <= 1.0
    ):
        return None
    # One piece of memory for all.
    numbers = np.empty(3 * count1 + count2, np.int64)
    rows, cols, left = numbers[:count1], numbers[count1 : 2 * count1], numbers[2 * count1 :]
    values = np.empty(count1, a.dtype)
    count = find_matches(
        a, b, kind.layout, *codes, least_from(a.dtype, threshold), rows, cols, values,
        left[:count1], left[count1:],
    )  # fmt: skip
    if count < 0:
        return None
    return (
        rows[:count],
        cols[:count],
        values[:count],
        left[: count1 - count],
        left[count1 : count1 + count2 - count],
    )
