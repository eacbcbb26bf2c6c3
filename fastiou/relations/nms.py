"""Non-maximum suppression: of members that overlap too much, the best alone is kept."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays import backends
from fastiou.arrays.checks import (
    check_choice,
    finite_number,
    least_number,
    refuse_infinite,
    score_of_each,
    threshold_number,
    whole_number,
)
from fastiou.arrays.inputs import Input, floats_on_gpu, integers_on_gpu
from fastiou.cpu import walk
from fastiou.cpu.nms import SUPPRESSED, decay_kernel, suppress_kernel
from fastiou.geometries.table import check_metric, geometry_of
from fastiou.geometry import PADDING
from fastiou.metrics import Metric
from fastiou.relations import small
from fastiou.relations.on_gpu import Keeping, keep_there
from fastiou.relations.pairs import in_kind
from fastiou.relations.thresholds import least_that_suppresses, rounded
from fastiou.runtime import chunks, steps, threads
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.runtime.words import described
from fastiou.search.groups import group_codes
from fastiou.search.search import SCORES_OF_A_QUERY, Search, search
from fastiou.tables.box_table import BoxTable
from fastiou.tables.opened import USUAL, opened
from fastiou.typing import Array

__all__ = ["SIGMA", "Names", "Suppressed", "nms", "suppress"]


METHODS = ("hard", "linear", "gaussian")

SIGMA = 0.5

#: Scores that NumPy sorts in one call, which Ctrl-C cannot interrupt: 0.1 s.
SORTED_AT_A_TIME = 1 << 20

#: Scores that all of a group may make with all others, up to which it is left to one thread.
GROUP_SCORES = 1 << 21

#: Members of small groups that a thread takes at a time, and of large ones, in scores of boxes of a
#: candidate. There another thread may have to leave what overlaps these, so they are few.
SMALL_TASK = 256
LARGE_TASK = 64

#: Members of a group up to which soft suppression is left to one block of a GPU, where nobody asks
#: for the GPU by name: it takes the square of them, at 256 scores or looks at a time.
MOST_OF_A_BLOCK = 1 << 16

#: Parts into which groups are cut for the threads, in soft suppression.
TASKS = 64


class Task(NamedTuple):
    """Members to be suppressed."""

    set1: Input
    metric: Metric
    threshold: float
    #: Those whose scores suffice, in the order of these.
    chosen: Array
    #: Group of each of them, as `group_codes` numbers them, and how many groups there are.
    codes: Array
    group_count: int
    #: How many to keep at most, of each group and in all.
    most: int | None
    most_in_all: int | None
    report: Progress | None = None

    @property
    def enough(self) -> int | None:
        """How many suffice of each group; None if all are needed."""
        limits = [most for most in (self.most, self.most_in_all) if most is not None]
        return min(limits, default=None)

    def search(self, threshold: float) -> Search:
        """A grid over the chosen members."""
        codes = self.codes, self.codes, self.group_count
        return search(self.set1, self.set1, self.metric, threshold, codes, order=self.chosen)


def nms(
    a: Any,
    scores: Any = None,
    threshold: float = 0.5,
    *,
    groups: Any = None,
    metric: str = "iou",
    fmt: str = USUAL,
    method: str = "hard",
    sigma: float = SIGMA,
    score_threshold: float | None = None,
    max_output: int | None = None,
    max_total: int | None = None,
    device: str = "auto",
    progress: bool | Progress = False,
) -> Any:
    """Keep the best of members that overlap too much: non-maximum suppression.

    Members are taken by descending score. Each one that is kept suppresses all after it whose score
    with it is more than the threshold. Who overlaps whom is never stored: memory is proportional to
    the inputs.

    Parameters
    ----------
    a : array_like, shape (N, 4) or (N, 5), or masks
        Boxes, as in `box_iou`; or masks, as in `mask_iou`. A `BoxTable`, or a data frame with named
        columns, brings its format, and its scores and keys unless `scores` and `groups` are given.
    scores : array_like, shape (N,)
        How sure each is; not NaN. The soft methods need scores from 0 on. A table brings its own.
    threshold : float
        Those that score more with one that is kept are suppressed; from 0, where all are that
        score anything. It is rounded down to the dtype of the scores of `box_iou`, so that a score
        is above it just where it is above the float64 number, as in torchvision.
    groups : array_like, shape (N,), or several, optional
        The group that each belongs to: an image, a class. Only members of equal groups suppress
        each other, so that many images cost the sum of the images. They are integers or names, as
        an array or a list; several keys are a tuple of such arrays, or a data frame with a column
        for each, as in `pairs`.
    metric
        As in `box_iou`, or, for masks, in `mask_iou`, where the rows are those that are kept.
    fmt
        As in `box_iou`.
    method : {"hard", "linear", "gaussian"}
        Soft suppression (Bodla et al. 2017) lowers scores instead. Of each group the member with
        the highest score is taken, and then the scores of the others are lowered: "linear"
        multiplies those that score ``v``, more than the threshold, with it by ``1 - v``, "gaussian"
        those that score ``v`` above 0 by ``exp(-v² / sigma)``. Then the next one is taken.
    sigma : float
        For "gaussian", greater than 0: the larger, the less scores are lowered.
    score_threshold : float, optional
        Members whose own score is less are left out from the start, and dropped once their lowered
        score is less. Without it, all scores count, also those below 0, such as logits. It is
        rounded down to the dtype of `scores`, integers as float64.
    max_output : int, optional
        Keep at most so many of each group: the best. Without groups, all are one.
    max_total : int, optional
        Keep at most so many of all groups together: the best.
    device : {"auto", "cpu", "cuda"}
        Where to compute: "auto" stays on the GPU that `a` is on, and else on the CPU; "cuda" needs
        the extra `cuda` and an NVIDIA GPU. The soft methods leave a group to one block of a GPU's
        threads, and with "auto" more than 65,536 members without groups to the CPU.
    progress
        As in `pairs`.

    Returns
    -------
    array of int64
        Indices of those that are kept, by descending score, and equal scores by index, as an array
        of the library that `a` came from. For the soft methods it is the score at which each was
        taken, which `soft_nms` returns, too. Boxes with a NaN, and boxes and masks without area,
        suppress nothing and are kept.

    Raises
    ------
    TypeError, ValueError
        As `box_iou`; a threshold out of range, or unfit scores, groups or other options.
    MemoryError
        `device` is "cuda", and the GPU's memory does not suffice.
    RuntimeError
        `device` is "cuda", and no GPU can be used.

    Examples
    --------
    >>> import fastiou
    >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]]
    >>> fastiou.nms(boxes, [0.8, 0.9, 0.1])
    array([1, 2])

    Boxes of different classes do not suppress each other:

    >>> fastiou.nms(boxes, [0.8, 0.9, 0.1], groups=[7, 5, 5])
    array([1, 0, 2])

    Soft suppression lowers the 0.8 of the first box, which scores 0.75 with the second, to 0.2:

    >>> fastiou.nms(boxes, [0.8, 0.9, 0.1], method="linear")
    array([1, 0, 2])
    >>> fastiou.nms(boxes, [0.8, 0.9, 0.1], method="linear", score_threshold=0.3)
    array([1])
    """
    if (
        type(a) is np.ndarray
        and type(method) is str
        and type(device) is str
        and method == "hard"
        and max_output is None
        and max_total is None
        and sigma is SIGMA
        and device in ("auto", "cpu")
        and progress is False
    ):
        kept = small.nms(a, a, scores, threshold, groups, metric, fmt, score_threshold)
        if kept is not None:
            return kept
    check_choice("method", method, METHODS)
    found = suppress(
        Names(), a, scores, threshold, groups, metric, fmt, method, sigma, score_threshold,
        max_output, max_total, device, progress, stay_on_gpu=True,
    )  # fmt: skip
    return in_kind(found.indices, [found.set1])


class Names(NamedTuple):
    """What a public function calls its arguments."""

    a: str = "a"
    threshold: str = "threshold"
    groups: str = "groups"
    needs_groups: bool = False


class Suppressed(NamedTuple):
    """What is kept of a set."""

    #: By descending score.
    indices: Array
    #: The score at which each was taken, in a float dtype; None for "hard".
    scores: Any
    #: The set, and the argument `scores`, checked.
    set1: Input
    given_scores: Array
    #: The table that it was, if it was one.
    table: BoxTable | None = None


def suppress(
    names: Names,
    a: Any,
    scores: Any,
    threshold: Any,
    groups: Any,
    metric: Any,
    fmt: Any,
    method: str,
    sigma: Any,
    score_threshold: Any,
    max_output: Any,
    max_total: Any,
    device: Any,
    progress: bool | Progress = False,
    *,
    stay_on_gpu: bool = False,
) -> Suppressed:
    """What every function of suppression does, of a known method, for arguments of any kind.

    With `stay_on_gpu` the indices may be an array of the inputs' library, where these are on a GPU.
    """
    arguments = opened((names.a, ""), a, None, fmt, groups)
    a, _, fmt, groups, source = arguments
    table = None if source is None else source.a
    scores = arguments.scores(scores, names.a)
    geometry = geometry_of(fmt, a)
    score = check_metric(metric, geometry)
    backends.check_device(device, geometry)
    set1 = geometry.read(names.a, a, fmt, batches=False)
    count = set1.size

    @functools.cache
    def known() -> Array | None:
        checked: Array | None = small.checked_groups(groups, count, count, True, names.groups)
        return checked

    if method != "hard" and groups is None and count > MOST_OF_A_BLOCK and device == "auto":
        device = "cpu"
    # Those on a GPU are read there, by the search there.
    is_there = stay_on_gpu and device != "cpu" and set1.gpu is not None
    there = floats_on_gpu(scores, count) if is_there else None
    values = score_of_each(scores, count, names.a) if there is None else np.empty(0, there.dtype)
    minimum = threshold_number(threshold, score.maximum, zero=True, name=names.threshold)
    width = finite_number("sigma", sigma)
    if width <= 0:
        raise ValueError(f"sigma must be greater than 0, got {described(sigma)}")
    least = -np.inf
    if score_threshold is not None:
        least = rounded(values.dtype, least_number("score_threshold", score_threshold))
    most, most_in_all = (
        None if value is None else whole_number(name, value, lowest=0)
        for name, value in (("max_output", max_output), ("max_total", max_total))
    )
    if method != "hard":
        _check_soft(score, values, method)
    if groups is None and names.needs_groups and count:
        raise TypeError(f"{names.groups} must hold integers or names, got None")

    def on_gpu(place: GpuArray | None) -> tuple[Any, Any] | None:
        is_cut = most is not None and groups is not None  # which the host does
        fewest = min((limit for limit in (most, most_in_all) if limit is not None), default=None)
        keeping = Keeping(
            least, None if is_cut and method == "hard" else most, None if is_cut else fewest,
            method, width,
        )  # fmt: skip
        own = groups if integers_on_gpu(groups, count) is not None else known()
        kept = keep_there(
            place, set1, score, minimum if method != "gaussian" else 0.0, own,
            values if there is None else there, keeping, progress,
            stays=stay_on_gpu and not is_cut,
        )  # fmt: skip
        if kept is None or not is_cut:
            return kept
        indices, lowered = kept
        best = best_of_each(indices, known(), most)[:most_in_all]
        return best, None if lowered is None else lowered[np.isin(indices, best)]

    found = backends.compute(device, [set1], on_gpu, lambda: None)
    if found is not None:
        return Suppressed(*found, set1, values, table)
    if there is not None:
        values = score_of_each(scores, count, names.a)
        if method != "hard":
            _check_soft(score, values, method)
    if method == "hard" and device != "cuda" and progress is False:
        few = values.astype(np.float32) if values.dtype == np.float16 else values
        kept = small.plain_call(small.nms, set1, set1, few, minimum, known(), metric, fmt, least)
        if kept is not None:
            best = best_of_each(kept, known(), most)[:most_in_all]
            return Suppressed(best, None, set1, values, table)
    codes, _, group_count = group_codes(known(), (count, count), itself=True)
    chosen = by_score(values)
    if least != -np.inf:
        chosen = chosen[: np.count_nonzero(values >= least)]
    if len(chosen) < count:
        refuse_infinite(set1)  # in those that are left out, too
    codes = codes[chosen] if len(codes) > 1 else codes
    report, finish = progress_callback(progress)
    task = Task(set1, score, minimum, chosen, codes, group_count, most, most_in_all, report)
    taken_at = None
    try:
        if method == "hard":
            kept = _hard(task)
        else:
            lowered = _soft(task, method, width, values[chosen].astype(np.float64), least)
    finally:
        finish()
    if method == "hard":
        result = best_of_each(chosen[kept], known(), most)[:most_in_all]
    else:
        taken = np.sort(chosen[lowered >= 0])
        current = np.full(count, -1.0)
        current[chosen] = lowered
        result = taken[by_score(current[taken])]
        # Of each group no more than `most` were taken, and of these the best.
        result = best_of_each(result, known(), most)[:most_in_all]
        taken_at = current[result]
    return Suppressed(result, taken_at, set1, values, table)


def _check_soft(score: Metric, values: Array, method: str) -> None:
    """Raise a ValueError unless scores can be lowered."""
    if score.has_units:
        raise ValueError(f"method must be 'hard' for the metric {score.name!r}, got {method!r}")
    for wrong, accepted, reason in (
        (values < 0, "at least 0", "would raise lower ones"),
        (np.isinf(values), "finite", "could not lower others"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"scores must be {accepted} for method={method!r}, which {reason}, "
                f"got {values[row]} in row {row}"
            )


def best_of_each(kept: Array, groups: Array | None, most: int | None) -> Array:
    """The first `most` of each group among those that are kept, in their order."""
    if most is None or len(kept) <= most:
        return kept
    if groups is None:
        return kept[:most]
    own = groups[kept]
    order = np.argsort(own, kind="stable")
    ordered = own[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sizes = np.diff(np.append(begins, len(kept)))
    ranks = np.arange(len(kept)) - np.repeat(begins, sizes)
    return kept[np.sort(order[ranks < most])]


def by_score(scores: Array) -> Array:
    """Indices by descending score, equal scores by index."""
    count = len(scores)
    if count <= SORTED_AT_A_TIME:
        return _by_score(scores)
    # Part by part, each of the scores between two of a sample, so that signal handlers run.
    number = count // SORTED_AT_A_TIME + 1
    sample = np.sort(scores[:: max(1, count // (64 * number))])
    cuts = np.unique(sample[np.arange(1, number) * len(sample) // number])
    parts = np.empty(count, np.int16)
    for first in range(0, count, SORTED_AT_A_TIME):
        some = scores[first : first + SORTED_AT_A_TIME]
        below, up_to = (np.searchsorted(cuts, some, side) for side in ("left", "right"))
        parts[first : first + SORTED_AT_A_TIME] = below + up_to
    order = np.empty(count, np.int64)
    end = 0
    for part in reversed(range(2 * len(cuts) + 1)):
        own = np.flatnonzero(parts == part)
        begin, end = end, end + len(own)
        # Every other part has the scores that equal a cut, of which there may be any number.
        order[begin:end] = own if part % 2 else own[_by_score(scores[own])]
    return order


def _by_score(scores: Array) -> Array:
    """The same in one call of NumPy's."""
    count = len(scores)
    if scores.dtype.itemsize <= 4 and count < 2**31:
        # Score and index in one number: NumPy sorts numbers faster than it finds their order.
        bits = (scores.astype(np.float32) + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
        bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)  # in the order of the scores
        keys: Array = (~bits).astype(np.int64) << 32
        keys |= np.arange(count)
        keys.sort()
        keys &= 0xFFFFFFFF
        return keys
    if count >= 2**31:
        return np.argsort(-scores, kind="stable")
    order: Array = np.argsort(-scores)  # in 1/5 of the time that a stable sort takes
    ordered = scores[order]
    changes = ordered[1:] != ordered[:-1]
    if not changes.all():  # equal ones come in any order
        order[1:] |= np.cumsum(changes) << 32
        order.sort()
        order &= 0xFFFFFFFF
    return order


def _limits(found: Search, threshold: float) -> Array:
    """The least score that is more than a threshold, in the units of the walk."""
    return np.array([least_that_suppresses(found.metric, found.dtype, threshold, found.exponent)])


def _work(found: Search) -> int:
    """About how many scores it takes that each member asks for others."""
    grid = found.grid
    cells = grid.layout[:, walk.BANDS] * grid.layout[:, walk.CELLS]
    first_cells = grid.layout[:, walk.CELL]
    sizes = (grid.starts[first_cells + cells] - grid.starts[first_cells]).astype(np.float64)
    met = np.minimum(sizes / 2, 8 * sizes / cells + 8)
    return SCORES_OF_A_QUERY * found.size + int(found.cost * (sizes * met).sum())


def _in_turn(found: Search) -> tuple[Array, Array]:
    """Positions, group by group and in the order of scores, and where each group begins."""
    _, _, order, codes = found.set1
    grid, count = found.grid, found.size
    queue = np.arange(count, dtype=np.int32)
    if not count:
        return np.zeros(1, np.int64), queue
    edges = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    firsts = np.concatenate([[0], edges, [count]])
    groups = codes[firsts[:-1]]
    blocks = grid.blocks[groups]
    cells = grid.layout[:, walk.BANDS] * grid.layout[:, walk.CELLS]
    # A cell keeps the order of scores; where there are several, it must be found again.
    for place in np.flatnonzero((grid.blocks[groups + 1] - blocks > 1) | (cells[blocks] > 1)):
        first, last = firsts[place], firsts[place + 1]
        own = order[first:last]
        if len(groups) > 1 and len(own) <= chunks.PIECE:
            queue[first:last] = first + np.argsort(own)
        else:  # a quarter of the time of sorting
            positions = np.full(int(own.max()) + 1, -1, np.int32)
            for some in chunks.slices(len(own)):
                positions[own[some]] = queue[first:last][some]
            queue[first:last] = positions[positions >= 0]
    return firsts, queue


# ---- hard suppression --------------------------------------------------------------------------


def _hard(task: Task) -> Array:
    """Which are kept of members in the order of their scores."""
    found = task.search(task.threshold)
    firsts, queue = _in_turn(found)
    count = len(queue)
    every = np.arange(count, dtype=np.int32)
    turns = np.full(count + PADDING, SUPPRESSED, np.int32)
    turns[queue] = every
    kept = np.zeros(count + PADDING, np.uint8)
    is_left = np.empty(count, np.bool_)
    limits = _limits(found, task.threshold)
    enough = count + 1 if task.enough is None or task.group_count > 1 else task.enough
    work = _work(found)
    shares = steps.shares()
    share = next(shares)

    def ask(asking: Array, cuts: Array, progress: Array, *, alone: bool = False) -> None:
        nonlocal share
        workers = 1 if alone else threads.thread_count()
        scores = 0 if alone else work * len(asking) // max(count, 1)
        progress[1] = 0
        threads.run(
            suppress_kernel(found.geometry, found.metric), scores,
            found.set1, tuple(found.grid),
            # Members ask for those that may suppress them, which come first of the two.
            found.share2, found.share1, limits, found.cost, queue, turns, kept, is_left, asking,
            cuts, progress, workers, enough, share // workers,
        )  # fmt: skip
        share = shares.send(int(progress[1]))

    cuts = _tasks(found, firsts)
    progress = np.zeros(2, np.int64)
    while (before := int(progress[0])) < len(cuts) - 1:
        ask(every, cuts, progress)
        progress[0] = min(progress[0], len(cuts) - 1)  # each thread asked for one too many
        first, last = cuts[before], cuts[progress[0]]
        asked = last - first
        while len(left := first + np.flatnonzero(is_left[first:last])):
            # In a long chain each waits for the one before. Several threads would decide one task
            # a round; one thread, which goes in turn, decides all.
            alone = len(left) > asked // 8
            parts = _even(len(left), _task_length(found))
            ask(left.astype(np.int32), parts, np.zeros(2, np.int64), alone=alone)
            asked = len(left)
        if task.report is not None:
            task.report(int(last), count)
        if enough <= count and np.count_nonzero(kept) >= enough:
            break
    result = np.ones(len(task.chosen), np.bool_)
    result[found.set1[2][:count]] = kept[:count]
    return result


def _tasks(found: Search, firsts: Array) -> Array:
    """At which turns to cut groups that begin at `firsts` into tasks; small ones stay whole."""
    count = int(firsts[-1])
    sizes = np.diff(firsts)
    large = np.flatnonzero(found.cost * sizes.astype(np.float64) ** 2 > GROUP_SCORES)
    length = _task_length(found)
    cuts = [firsts[np.searchsorted(firsts, _even(count, SMALL_TASK))]]
    cuts += [firsts[place] + _even(int(sizes[place]), length) for place in large]
    return np.unique(np.concatenate(cuts))


def _task_length(found: Search) -> int:
    """How many members of a large group a thread takes at a time."""
    return max(2, LARGE_TASK // found.cost)


def _even(count: int, length: int) -> Array:
    """From 0 to `count` in steps of `length`."""
    return np.append(np.arange(0, count, length), count)


# ---- soft suppression --------------------------------------------------------------------------


def _soft(task: Task, method: str, sigma: float, scores: Array, least: float) -> Array:
    """The score at which each was taken, -1 for those that were dropped."""
    threshold = task.threshold if method == "linear" else 0.0
    found = task.search(threshold)
    firsts, members = _in_turn(found)
    count = len(members)
    order = found.set1[2][:count]
    current, taken = np.zeros(count + PADDING), np.full(count, -1.0)
    current[:count] = scores[order]
    keys = current[members]
    sizes = np.diff(firsts)
    counts = np.zeros_like(sizes)
    cuts = np.unique(np.searchsorted(firsts, np.linspace(0, count, TASKS, endpoint=False)))
    cuts = np.append(cuts[cuts < len(sizes)], len(sizes)).astype(np.int64)
    progress = cuts[:-1].copy()
    limits = _limits(found, threshold)
    most = count + 1 if task.enough is None else min(task.enough, count + 1)
    work = _work(found)
    shares = steps.shares()
    share = next(shares)
    while working := int(np.count_nonzero(progress < cuts[1:])):
        made = np.zeros(1, np.int64)
        threads.run(
            decay_kernel(found.geometry, found.metric, method), work if working > 1 else 0,
            found.set1, tuple(found.grid), task.chosen[order], found.share1,
            found.share2, limits, found.cost, sigma, least, most, firsts, cuts, progress, keys,
            members, sizes, counts, current, taken, made, share // working,
        )  # fmt: skip
        share = shares.send(int(made[0]))
        if task.report is not None:
            task.report(count - int(sizes.sum()), count)
    result: Array = scores.copy()
    result[order] = taken
    return result
