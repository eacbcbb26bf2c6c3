"""One sequence: what its truth and its tracks have in common, counted as TrackEval counts it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastiou.evaluation import tracking_kernels as kernels
from fastiou.evaluation.assignment import ASSIGN, work_arrays
from fastiou.evaluation.tracking_input import DISTRACTORS, PEDESTRIAN, TrackColumns
from fastiou.relations.match import match_pairs
from fastiou.relations.pairs import Pairs
from fastiou.runtime import chunks, memory, steps
from fastiou.runtime.distinct import counted
from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["ALPHAS", "SequenceCounts", "count_sequence"]

#: The thresholds of HOTA, and as they are compared with. Some are not the nearest floats to what
#: they look like.
ALPHAS = np.arange(0.05, 0.99, 0.05)
CUTS = ALPHAS - kernels.EPS

#: How much more a pair has to score to be taken at once, where scores are at most 1: far above what
#: rounding adds up to in an assignment.
MARGIN = 1e-12

#: Work in scores of boxes: of a pair in the loops over pairs, of a pair that is assigned, and of a
#: box that is looked up where it lies.
PAIR_WORK, ASSIGNED_WORK, BOX_WORK = 4, 16, 64

#: Floats of a matrix of costs that is kept ready.
COSTS = 1 << 14


class SequenceCounts(NamedTuple):
    """What is kept of a sequence: all scores follow from it, of one sequence and of several."""

    #: (7, 19): HOTA_TP, HOTA_FN, HOTA_FP, AssA, AssRe, AssPr, LocA at each alpha.
    hota: Array
    #: (9,) int64: CLR_TP, CLR_FN, CLR_FP, IDSW, MT, PT, ML, Frag, CLR_Frames.
    clear: Array
    #: The similarity of all matches of CLEAR.
    motp_sum: float
    #: (3,) int64: IDTP, IDFN, IDFP.
    identity: Array
    #: (5,) int64: Dets, GT_Dets, IDs, GT_IDs, Frames.
    counts: Array


@dataclass(frozen=True, eq=False)
class _Side:
    """The truth or the tracks, sorted by frame."""

    #: (frames + 1,): where the boxes of each frame begin.
    starts: Array
    #: (n,): ids from 0 on.
    ids: Array
    #: (ids,): how many boxes have each.
    sizes: Array

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """Pairs of boxes of one frame that overlap, sorted by row."""

    truth: _Side
    tracks: _Side
    #: (rows + 1,): where the pairs of each row begin.
    starts: Array
    cols: Array
    values: Array

    def frame_pairs(self) -> Array:
        """Pairs and boxes before each frame, and in all: the work of loops over pairs."""
        return self.starts[self.truth.starts] + self.truth.starts + self.tracks.starts


def count_sequence(
    truth: TrackColumns,
    tracks: TrackColumns,
    metrics: Collection[str],
    benchmark: str | None,
    frames: int,
) -> SequenceCounts:
    """Compare the tracks of a sequence with the truth.

    Parameters
    ----------
    truth, tracks
        The boxes of both, in which no id is twice in a frame.
    metrics
        Those of "HOTA", "CLEAR" and "Identity" that are wanted; the counts of others are 0.
    benchmark
        Whose boxes are left out first: "mot17", "mot20" or None.
    frames
        How many frames the sequence has.
    """
    found = _prepared(truth, tracks, benchmark)
    sides = (found.tracks, found.truth)
    sizes = [len(side) for side in sides] + [np.count_nonzero(side.sizes) for side in sides]
    hota, clear, identity = np.zeros((7, len(ALPHAS))), np.zeros(9, np.int64), np.zeros(3, np.int64)
    motp_sum = 0.0
    if not len(found.truth) or not len(found.tracks):
        # As TrackEval: nothing but what is missed, and what is found in vain.
        missed, spurious = len(found.truth), len(found.tracks)
        hota[1], hota[2], hota[6] = missed, spurious, 1
        clear[1], clear[2], clear[6] = missed, spurious, sizes[3]
        identity[1], identity[2] = missed, spurious
    else:
        if "HOTA" in metrics or "Identity" in metrics:
            together = _numbered(found)
            if "HOTA" in metrics:
                hota = _hota(found, together)
            if "Identity" in metrics:
                identity = _identity(found, together)
        if "CLEAR" in metrics:
            clear, motp_sum = _clear(found, frames)
    for name, part in (("HOTA", hota), ("CLEAR", clear), ("Identity", identity)):
        if name not in metrics:
            part[...] = 0
    return SequenceCounts(hota, clear, motp_sum, identity, np.array([*sizes, frames], np.int64))


# ---- what is compared --------------------------------------------------------------------------


def _from_zero(values: Array) -> tuple[Array, int]:
    """Whole numbers as numbers from 0 on, in the same order, and how many there are."""
    if not len(values):
        return values.astype(np.int64), 0
    low, high = int(values.min()), int(values.max())
    if high - low <= 4 * len(values) + 1024:
        present = np.zeros(high - low + 1, np.int64)
        present[values - low] = 1
        numbers = np.cumsum(present) - 1
        return numbers[values - low], int(numbers[-1]) + 1
    distinct, places = np.unique(values, return_inverse=True)
    return places.astype(np.int64), len(distinct)


def _sorted_by(numbers: Array, count: int) -> tuple[Array, Array]:
    """Where the boxes of each number begin, (count + 1,), and the boxes in that order, (n,)."""
    starts = np.concatenate([[0], np.cumsum(counted(numbers, count))])
    ends, order = starts[:-1].copy(), np.empty(len(numbers), np.int64)
    for first, last, _ in steps.ranges(len(numbers), BOX_WORK):
        kernels.ORDER.serial(numbers, ends, order, first, last)
    return starts, order


def _side(starts: Array, ids: Array) -> _Side:
    ids, count = _from_zero(ids)
    return _Side(starts, ids, np.bincount(ids, minlength=count))


def _arranged(own: TrackColumns, frames: Array, count: int) -> tuple[_Side, Array, Array]:
    """One side sorted by frame; its boxes, (5, n), as kernels have them; and the order."""
    starts, order = _sorted_by(frames, count)
    side = _side(starts, chunks.taken(own.ids, order))
    seen = np.full(len(side.sizes), -1)
    for first, last, _ in steps.spans(starts, BOX_WORK):
        place = kernels.FIRST_TWICE.serial(starts, side.ids, seen, first, last)
        if place >= 0:
            row = int(order[place])
            found = f"id {own.ids[row]} for the second time in frame {own.frames[row]}"
            raise own.error(row, found, "each id at most once in a frame")
    boxes = np.empty((5, len(order)))
    for first, last, _ in steps.ranges(len(order), BOX_WORK):
        kernels.ARRANGE.serial(own.rows, order, boxes, first, last)
    return side, boxes, order


def _prepared(truth: TrackColumns, tracks: TrackColumns, benchmark: str | None) -> _Overlaps:
    """The boxes that count, and which of them overlap."""
    both, count = _from_zero(np.concatenate([truth.frames, tracks.frames]))
    rows, boxes1, order = _arranged(truth, both[: len(truth)], count)
    cols, boxes2, _ = _arranged(tracks, both[len(truth) :], count)
    found = _overlaps(rows, cols, boxes1, boxes2)
    kept = chunks.taken(truth.marks, order) != 0
    dropped = np.zeros(len(cols), np.bool_)
    if benchmark is not None:
        classes = chunks.taken(truth.classes, order)
        kept &= classes == PEDESTRIAN
        scores = np.where(found.values < 0.5 - kernels.EPS, 0, found.values)
        partners = _assigned(found, scores)
        on_distractor = (partners >= 0) & np.isin(classes, DISTRACTORS[benchmark])
        dropped[found.cols[partners[on_distractor]]] = True
    if kept.all() and not dropped.any():
        return found
    return _kept(found, kept, ~dropped)


def _overlaps(truth: _Side, tracks: _Side, boxes1: Array, boxes2: Array) -> _Overlaps:
    sizes = np.diff(truth.starts) * np.diff(tracks.starts)
    before = np.concatenate([[0], np.cumsum(sizes)])
    starts = np.zeros(len(truth) + 1, np.int64)
    arguments = (boxes1, boxes2, truth.starts, tracks.starts)
    # On one thread: it takes less time than to read the numbers from a file.
    for first, last, _ in steps.spans(before):
        kernels.COUNT_PAIRS.serial(*arguments, starts[1:], first, last)
    np.cumsum(starts, out=starts)
    count = int(starts[-1])
    memory.check(16 * count, "the pairs of boxes that overlap", "score fewer frames at once")
    cols, values = np.empty(count, np.int64), np.empty(count)
    flags = np.empty(int(np.diff(tracks.starts).max(initial=0)) + 8, np.uint8)
    for first, last, _ in steps.spans(before):
        kernels.FILL_PAIRS.serial(*arguments, starts, cols, values, flags, first, last)
    return _Overlaps(truth, tracks, starts, cols, values)


def _kept(found: _Overlaps, rows: Array, cols: Array) -> _Overlaps:
    """The pairs of those rows and columns that are kept."""
    before = [np.concatenate([[0], np.cumsum(kept)]) for kept in (rows, cols)]
    truth, tracks = (
        _side(places[side.starts], side.ids[kept])
        for side, kept, places in zip(
            (found.truth, found.tracks), (rows, cols), before, strict=True
        )
    )
    starts = np.empty(len(truth) + 1, np.int64)
    new_cols, values = np.empty_like(found.cols), np.empty_like(found.values)
    row_places, col_places = (
        np.where(kept, places[:-1], -1) for kept, places in zip((rows, cols), before, strict=True)
    )
    count = 0
    for first, last, _ in steps.spans(found.starts, BOX_WORK):
        count = kernels.KEEP_PAIRS.serial(
            found.starts, found.cols, found.values, row_places, col_places, starts, new_cols,
            values, count, first, last,
        )  # fmt: skip
    return _Overlaps(truth, tracks, starts, new_cols[:count], values[:count])


# ---- assignments -------------------------------------------------------------------------------


def _run_frames(kernel: Kernel, found: _Overlaps, *arguments: Any) -> None:
    """Run a kernel that assigns frames, with more room for costs where a frame needs it."""
    row_starts, col_starts = found.truth.starts, found.tracks.starts
    rows, cols = np.diff(row_starts), np.diff(col_starts)
    work = work_arrays(int(max(rows.max(initial=0), cols.max(initial=0))))
    costs = np.empty(COSTS)
    for first, last, _ in steps.spans(found.frame_pairs(), ASSIGNED_WORK):
        frame = first
        while True:
            frame = kernel.serial(row_starts, col_starts, *arguments, *work, costs, frame, last)
            if frame == last:
                break
            room = int(rows[frame] * cols[frame])
            memory.check(8 * room, "the assignment of one frame", "leave out boxes")
            costs = np.empty(room)


def _assigned(found: _Overlaps, scores: Array) -> Array:
    """The pair of each row in the assignment of the highest score, -1 for none."""
    partners = np.empty(len(found.truth), np.int64)
    _run_frames(ASSIGN, found, found.starts, found.cols, scores, MARGIN, partners)
    return partners


class _Together(NamedTuple):
    """Pairs of ids that overlap in some frame."""

    #: (pairs of boxes,): the number of each pair's ids.
    numbers: Array
    #: (pairs of ids,): the id in the truth, and that of the track.
    rows: Array
    cols: Array


def _numbered(found: _Overlaps) -> _Together:
    truth, tracks = found.truth, found.tracks
    id_starts, order = _sorted_by(truth.ids, len(truth.sizes))
    pairs, ids = len(found.cols), len(tracks.sizes)
    numbers = np.empty(pairs, np.int64)
    # No more pairs of ids than pairs of boxes.
    row_id_of, col_id_of = np.empty(pairs, np.int64), np.empty(pairs, np.int64)
    seen, seen_as = np.full(ids, -1), np.empty(ids, np.int64)
    count = 0
    for first, last, _ in steps.spans(id_starts, BOX_WORK):
        count = kernels.NUMBER_PAIRS.serial(
            found.starts, found.cols, id_starts, order, tracks.ids, numbers, seen, seen_as,
            row_id_of, col_id_of, count, first, last,
        )  # fmt: skip
    return _Together(numbers, row_id_of[:count].copy(), col_id_of[:count].copy())


# ---- the metrics -------------------------------------------------------------------------------


def _hota(found: _Overlaps, together: _Together) -> Array:
    """The rows of `SequenceCounts.hota`."""
    truth, tracks = found.truth, found.tracks
    potential, col_sums = np.zeros(len(together.rows)), np.zeros(len(tracks))
    for first, last, _ in steps.spans(found.frame_pairs(), PAIR_WORK):
        kernels.POTENTIAL.serial(
            found.starts, found.cols, found.values, together.numbers, truth.starts, tracks.starts,
            col_sums, potential, first, last,
        )  # fmt: skip
    row_sizes, col_sizes = truth.sizes[together.rows], tracks.sizes[together.cols]
    alignment = potential / (row_sizes + col_sizes - potential)
    partners = _assigned(found, alignment[together.numbers] * found.values)
    pairs = partners[partners >= 0]
    values, numbers = found.values[pairs], together.numbers[pairs]

    # A pair counts at all alphas up to some: which is how many cuts its similarity reaches.
    reached = np.searchsorted(CUTS, values, side="right")
    levels = len(ALPHAS) + 1
    met = np.bincount(numbers * levels + reached, minlength=len(potential) * levels)
    similar = np.bincount(reached, values, minlength=levels)

    def from_alpha(counts: Array) -> Array:
        """What is counted where each alpha is reached, of what is counted by level."""
        return np.cumsum(counts[..., :0:-1], axis=-1)[..., ::-1]

    matched = from_alpha(met.reshape(-1, levels))
    hits = matched.sum(axis=0)
    hota = np.empty((7, len(ALPHAS)))
    hota[0], hota[1], hota[2] = hits, len(truth) - hits, len(tracks) - hits
    sizes = np.stack([row_sizes, col_sizes])[:, :, None]
    parts = (sizes[0] + sizes[1] - matched, sizes[0], sizes[1])
    for row, part in zip(hota[3:6], parts, strict=True):
        row[:] = (matched * (matched / np.maximum(1, part))).sum(axis=0) / np.maximum(1, hits)
    hota[6] = np.maximum(1e-10, from_alpha(similar)) / np.maximum(1e-10, hits)
    return hota


def _clear(found: _Overlaps, frames: int) -> tuple[Array, float]:
    """`SequenceCounts.clear` and `motp_sum`."""
    truth, tracks = found.truth, found.tracks
    last_match, tracked_in = np.full((2, len(truth.sizes)), -1)
    present, matched, fragments = np.zeros((3, len(truth.sizes)), np.int64)
    counts, sums = np.zeros(5, np.int64), np.zeros(1)
    _run_frames(
        kernels.CLEAR, found, found.starts, found.cols, found.values, truth.ids, tracks.ids,
        np.empty_like(found.values), np.empty(len(truth), np.int64), last_match, tracked_in,
        present, matched, fragments, counts, sums,
    )  # fmt: skip
    tracked = matched / present
    mostly = int(np.count_nonzero(tracked > 0.8))
    partly = int(np.count_nonzero(tracked >= 0.2)) - mostly
    lost = len(tracked) - mostly - partly
    broken = int((fragments[fragments > 0] - 1).sum())
    return np.array([*counts[:4], mostly, partly, lost, broken, frames], np.int64), float(sums[0])


def _identity(found: _Overlaps, together: _Together) -> Array:
    """`SequenceCounts.identity`."""
    similar = found.values >= 0.5
    shared = np.bincount(together.numbers[similar], minlength=len(together.rows))
    kept = np.flatnonzero(shared)
    order = kept[np.lexsort((together.cols[kept], together.rows[kept]))]
    shape = len(found.truth.sizes), len(found.tracks.sizes)
    pairs = Pairs(
        together.rows[order],
        together.cols[order],
        shared[order].astype(np.float64),
        shape,
        len(order),
    )
    # Each pair of ids saves as many misses and as many false positives as it shares boxes. These
    # are whole numbers: the most that can be saved is exact, whichever assignment it comes from.
    hits = int(match_pairs(pairs, "optimal")[2].sum())
    return np.array([hits, len(found.truth) - hits, len(found.tracks) - hits], np.int64)
