"""What a detector gets wrong: which class it takes for which, and what each kind of error costs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastiou.arrays.checks import least_number, threshold_number
from fastiou.evaluation import error_kernels as kernels
from fastiou.evaluation.detection_details import LOWEST, Details
from fastiou.evaluation.detection_kernels import OPEN_IMAGES_RULE
from fastiou.evaluation.detection_matching import Matched
from fastiou.evaluation.protocols import Protocol
from fastiou.runtime import steps
from fastiou.runtime.distinct import counted
from fastiou.runtime.extras import import_extra
from fastiou.runtime.words import described
from fastiou.tables.frames import Framed
from fastiou.typing import Array

__all__ = [
    "ConfusionMatrix", "Errors", "Scored", "Table", "confusion_of", "errors_of", "matches_of",
]  # fmt: skip

#: Kinds of errors, as TIDE (Bolya et al. 2020) calls them, in the order in which they are asked.
KINDS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")

#: Recall points of the average precision of errors: COCO's.
RECALLS = np.linspace(0, 1, 101)

#: Work of a pair, in scores of boxes.
PAIR_WORK = 16

BACKGROUND = "background"


@dataclass(frozen=True, eq=False)
class Scored:
    """What is asked: what was matched, and what images and classes are called.

    Attributes
    ----------
    kept : Matched
        By class and falling score.
    protocol : Protocol
    image_ids, labels : arrays
        By the numbers of images and classes.
    names : array of str
        What classes are called.
    """

    kept: Matched
    protocol: Protocol
    image_ids: Array
    labels: Array
    names: Array

    @property
    def details(self) -> Details:
        """The pairs."""
        if self.kept.details is None:
            raise ValueError(
                "pairs across classes were not kept: evaluate with details=True for matches, "
                "confusion_matrix() and errors()"
            )
        return self.kept.details

    @property
    def hidden(self) -> Array:
        """Which truth is not to be found, (M,) bool."""
        if self.protocol.rule == OPEN_IMAGES_RULE:  # where groups are found at most once
            return self.details.crowd
        hidden: Array = ~self.kept.truth["wanted"][:, 0]
        return hidden


@dataclass(frozen=True, eq=False)
class Table(Framed):
    """Columns of one length, by name."""

    of: Mapping[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.of.values())))

    def __getitem__(self, name: str) -> Array:
        return self.of[name]

    def columns(self) -> dict[str, Array]:
        """The columns by name."""
        return dict(self.of)

    def __repr__(self) -> str:
        return f"<Table: {len(self):,} rows; {', '.join(self.of)}>"


@dataclass(frozen=True, eq=False, repr=False)
class ConfusionMatrix:
    """Which class was taken for which.

    Attributes
    ----------
    matrix : array of int64, shape (K + 1, K + 1)
        Rows are the truth, columns what was predicted. The last column is truth that was not
        found; the last row is detections where nothing is.
    labels : array, shape (K,)
    names : list of str
        What rows and columns are called; the last is "background".
    """

    matrix: Array
    labels: Array
    names: list[str]

    def normalized(self) -> Array:
        """The share of each row, float64; 0 in rows without anything."""
        sums = self.matrix.sum(axis=1, keepdims=True)
        shares: Array = self.matrix / np.maximum(sums, 1)
        return shares

    def to_pandas(self) -> Any:
        """A data frame of pandas with the names of classes.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        frames = import_extra("pandas", "pandas", "to_pandas()")
        return frames.DataFrame(self.matrix, index=self.names, columns=self.names)

    def __repr__(self) -> str:
        right = int(np.trace(self.matrix[:-1, :-1]))
        mistaken = int(self.matrix[:-1, :-1].sum()) - right
        missed, extra = int(self.matrix[:-1, -1].sum()), int(self.matrix[-1, :-1].sum())
        return (
            f"<ConfusionMatrix: {len(self.labels):,} classes; {right:,} right, {mistaken:,} taken "
            f"for another class, {missed:,} missed, {extra:,} where nothing is>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Errors(Framed):
    """How many errors of each kind there are, and what they cost.

    Attributes
    ----------
    ap : float
        Average precision at the threshold; -1 where there is no truth.
    counts : dict of int
        How many errors there are of each kind: Cls, Loc, Both, Dupe, Bkg and Miss.
    costs : dict of float
        By how much average precision rises where all errors of a kind are mended, and nothing else;
        besides, FalsePos, where no detection is wrong, and FalseNeg, where no truth is missed.
    each : Table
        A row for each error: its kind; the image; the detection and the truth by their places in
        it, -1 for none; what both classes are called, nothing for none; score and IoU, NaN for
        none.
    """

    ap: float
    counts: Mapping[str, int]
    costs: Mapping[str, float]
    make_each: Callable[[], Table]

    @functools.cached_property
    def each(self) -> Table:
        """A row for each error, made when first asked for."""
        return self.make_each()

    def columns(self) -> dict[str, Array]:
        """A row for each kind, with how many there are, -1 where none is counted, and the cost."""
        return {
            "kind": np.array(list(self.costs), np.str_),
            "count": np.array([self.counts.get(kind, -1) for kind in self.costs]),
            "cost": np.array(list(self.costs.values())),
        }

    def __repr__(self) -> str:
        costs = ", ".join(f"{kind} {cost:.3f}" for kind, cost in self.costs.items())
        return f"<Errors: AP {self.ap:.3f}; {costs}>"


def check_iou(value: Any) -> float:
    """The argument `iou`: a threshold for which all pairs were kept."""
    number = threshold_number(value, 1.0, name="iou")
    if number < LOWEST:
        raise ValueError(
            f"iou must be at least {LOWEST}, from which on pairs are kept, got {described(value)}"
        )
    return number


# ---- matches -----------------------------------------------------------------------------------


def matches_of(scored: Scored) -> Table:
    """What `DetectionResult.matches` tells."""
    details, kept = scored.details, scored.kept
    truths, kinds = rematched(scored, float(scored.protocol.thresholds[0]))
    rows, cols = details.pairs["detection"], details.pairs["truth"]
    own = kept.detections[rows]
    order = np.lexsort((details.true[cols], details.found[rows], own["image"]))
    rows, cols, own = rows[order], cols[order], own[order]
    return Table(
        {
            "image_id": scored.image_ids[own["image"]],
            "detection": details.found[rows],
            "truth": details.true[cols],
            "label": scored.labels[own["label"]],
            "true_label": scored.labels[kept.truth["label"][cols]],
            "score": own["score"],
            "iou": details.pairs["iou"][order],
            "matched": (truths[rows] == cols) & (kinds[rows] == kernels.RIGHT),
            "ignored": scored.hidden[cols],
        }
    )


def rematched(scored: Scored, iou: float) -> tuple[Array, Array]:
    """The truth of its class that each detection takes at a threshold, -1 for none, and which kind.

    Returns
    -------
    tuple of two arrays of int64, shape (N,)
    """
    details, kept = scored.details, scored.kept
    labels = kept.detections["label"], kept.truth["label"]
    pairs = details.pairs
    enough = pairs["iou"] >= min(iou, 1 - 1e-10)
    pairs = pairs[enough & (labels[0][pairs["detection"]] == labels[1][pairs["truth"]])]
    count = len(kept)
    offsets = np.concatenate([[0], np.cumsum(counted(pairs["detection"], count))])
    results = np.empty(count, np.int64), np.empty(count, np.int64)
    taken = np.zeros(len(kept.truth), np.bool_)
    shared = details.crowd
    columns = np.ascontiguousarray(pairs["truth"]), np.ascontiguousarray(pairs["iou"])
    for first, last, _ in steps.spans(offsets + np.arange(count + 1), PAIR_WORK):
        kernels.REMATCH.serial(
            offsets, columns, (scored.hidden, shared), scored.protocol.rule, taken, results, first,
            last,
        )  # fmt: skip
    return results


# ---- confusion matrix --------------------------------------------------------------------------


def confusion_of(scored: Scored, iou: Any, score: Any) -> ConfusionMatrix:
    """What `DetectionResult.confusion_matrix` does."""
    least, lowest = check_iou(iou), least_number("score", score)
    details, kept = scored.details, scored.kept
    found, truth, pairs = kept.detections, kept.truth, details.pairs
    counts = found["score"] >= lowest
    pairs = pairs[counts[pairs["detection"]] & (pairs["iou"] >= min(least, 1 - 1e-10))]
    is_hidden = scored.hidden[pairs["truth"]]
    near = pairs[~is_hidden]
    order = np.lexsort(
        (
            details.true[near["truth"]], details.found[near["detection"]],
            -found["score"][near["detection"]], -near["iou"],
        )
    )  # fmt: skip
    truth_of = np.full(len(found), -1)
    detection_of = np.full(len(truth), -1)
    columns = [np.ascontiguousarray(near[name]) for name in ("detection", "truth")]
    for first, last, _ in steps.ranges(len(order), PAIR_WORK):
        kernels.BEST_FIRST.serial(order, *columns, (truth_of, detection_of), first, last)
    # What overlaps only truth that is ignored enough is left out.
    is_left_out = np.zeros(len(found), np.bool_)
    is_left_out[pairs["detection"][is_hidden]] = True
    matched, extra = truth_of >= 0, counts & (truth_of < 0) & ~is_left_out
    missed = ~scored.hidden & (detection_of < 0)
    classes = len(scored.labels)
    cells = np.concatenate(
        [
            truth["label"][truth_of[matched]].astype(np.int64) * (classes + 1)
            + found["label"][matched],
            classes * (classes + 1) + found["label"][extra].astype(np.int64),
            truth["label"][missed].astype(np.int64) * (classes + 1) + classes,
        ]
    )
    matrix = counted(cells, (classes + 1) ** 2).reshape(classes + 1, classes + 1)
    return ConfusionMatrix(matrix, scored.labels, [*scored.names.tolist(), BACKGROUND])


# ---- errors ------------------------------------------------------------------------------------


def errors_of(scored: Scored, iou: Any, background: Any) -> Errors:
    """What `DetectionResult.errors` does."""
    least = check_iou(iou)
    lowest = least_number("background", background)
    if not LOWEST <= lowest <= least:
        raise ValueError(
            f"background must be at least {LOWEST}, from which on pairs are kept, and at most iou, "
            f"got {described(background)}"
        )
    found, truth = scored.kept.detections, scored.kept.truth
    truths, kinds = rematched(scored, least)
    wanted = ~scored.hidden
    is_right = kinds == kernels.RIGHT
    is_wrong = (kinds == kernels.FREE) & ~_is_ignored(scored)
    is_used = np.zeros(len(truth), np.bool_)
    is_used[truths[is_right]] = True

    kind_of = np.full(len(found), KINDS.index("Both"))
    truth_of = np.full(len(found), -1)
    iou_of = np.full(len(found), np.nan)
    is_open = is_wrong.copy()
    for kind, rows, cols, values in _kinds_of_wrong(scored, wanted, is_used, least, lowest):
        own = is_open[rows]
        rows, cols, values = rows[own], cols[own], values[own]
        kind_of[rows], truth_of[rows], iou_of[rows] = KINDS.index(kind), cols, values
        is_open[rows] = False
    near = scored.details.pairs[wanted[scored.details.pairs["truth"]]]
    overlapping = np.zeros(len(found), np.bool_)
    overlapping[near["detection"][near["iou"] > lowest]] = True
    kind_of[is_open & ~overlapping] = KINDS.index("Bkg")

    # Of all detections that would be right if mended, the one with the highest score.
    curable = np.isin(kind_of, [KINDS.index(kind) for kind in ("Cls", "Loc")])
    rows = np.flatnonzero(is_wrong & curable & (truth_of >= 0))
    rows = rows[~is_used[truth_of[rows]]]
    details = scored.details
    order = np.lexsort((details.found[rows], -found["score"][rows], truth_of[rows]))
    rows = rows[order]
    is_first = np.concatenate([[True], np.diff(truth_of[rows]) != 0])[: len(rows)]
    mended = np.zeros(len(found), np.bool_)
    mended[rows[is_first]] = True
    is_missed = wanted & ~is_used
    is_missed[truth_of[rows]] = False

    classes = len(scored.labels)
    labels, scores = found["label"], found["score"]
    own_counts = counted(truth["label"][wanted], classes)
    base = _mean_precision(labels, scores, is_right, is_right | is_wrong, own_counts, own_counts)
    costs = {}
    for number, kind in enumerate(KINDS):
        is_kind = is_wrong & (kind_of == number)
        is_mended = is_kind & mended
        new_labels = labels
        if kind == "Cls":
            new_labels = labels.copy()
            new_labels[is_mended] = truth["label"][truth_of[is_mended]]
        counts = own_counts
        if kind == "Miss":
            counts = own_counts - counted(truth["label"][is_missed], classes)
        costs[kind] = _mean_precision(
            new_labels, scores, is_right | is_mended,
            is_right | (is_wrong & ~is_kind) | is_mended, counts, own_counts,
        )  # fmt: skip
    ranks = is_right.astype(np.float64)
    both = is_right | is_wrong
    costs["FalsePos"] = _mean_precision(labels, ranks, is_right, both, own_counts, own_counts)
    left = own_counts - counted(truth["label"][wanted & ~is_used], classes)
    costs["FalseNeg"] = _mean_precision(labels, scores, is_right, both, left, own_counts)
    numbers = {kind: int((kind_of[is_wrong] == n).sum()) for n, kind in enumerate(KINDS)}
    numbers["Miss"] = int(is_missed.sum())
    costs = {kind: value - base if base != -1 else -1.0 for kind, value in costs.items()}
    arguments = scored, np.flatnonzero(is_wrong), kind_of, truth_of, iou_of, is_missed
    return Errors(base, numbers, costs, functools.partial(_each, *arguments))


def _is_ignored(scored: Scored) -> Array:
    """Which detections are never wrong: those that the size range or LVIS's rules leave out."""
    found = scored.kept.detections
    bits = np.zeros(found["matched"].shape[1], np.uint64)
    for number in range(len(scored.protocol.thresholds)):
        bits[number // 64] |= np.uint64(1) << np.uint64(number % 64)
    ignored: Array = (found["ignored"] & ~found["matched"] & bits).any(axis=1)
    return ignored


def _kinds_of_wrong(
    scored: Scored, wanted: Array, is_used: Array, least: float, lowest: float
) -> Iterator[tuple[str, Array, Array, Array]]:
    """Kinds of errors in the order in which they are asked: detections, truths and IoU of each."""
    found, truth = scored.kept.detections, scored.kept.truth
    pairs = scored.details.pairs
    pairs = pairs[wanted[pairs["truth"]]]
    is_same = found["label"][pairs["detection"]] == truth["label"][pairs["truth"]]
    used = is_used[pairs["truth"]]
    enough = min(least, 1 - 1e-10)
    tests: list[tuple[str, Array, Callable[[Array], Array]]] = [
        ("Loc", is_same, lambda values: (values >= lowest) & (values <= least)),
        ("Cls", ~is_same, lambda values: values >= enough),
        ("Dupe", is_same & used, lambda values: values >= enough),
    ]
    for kind, which, test in tests:
        best = _best_of_each(pairs[which])
        best = best[test(best["iou"])]
        yield kind, best["detection"], best["truth"], best["iou"]


def _best_of_each(pairs: Array) -> Array:
    """The pair of each detection with the highest IoU, and the first of equal ones.

    Parameters
    ----------
    pairs
        (p,): by detection and truth.
    """
    if not len(pairs):
        return pairs
    starts = _starts(pairs["detection"])
    highest = np.maximum.reduceat(pairs["iou"], starts)
    best = pairs[pairs["iou"] == np.repeat(highest, np.diff(starts, append=len(pairs)))]
    return best[_starts(best["detection"])]


def _starts(rows: Array) -> Array:
    """Where equal ones begin, in an array in order."""
    return np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]])[: len(rows)])


def _each(
    scored: Scored, rows: Array, kind_of: Array, truth_of: Array, iou_of: Array, is_missed: Array
) -> Table:
    """A row for each error, by image."""
    kept, details = scored.kept, scored.details
    missed = np.flatnonzero(is_missed)
    own, true = kept.detections[rows], kept.truth[missed]
    cols = truth_of[rows]
    none, unknown = np.full(len(missed), -1), np.full(len(missed), np.nan)
    # The last row stands for no truth.
    places = np.concatenate([details.true, [-1]])
    names = np.concatenate([scored.names, np.array([""])])
    classes = np.concatenate([kept.truth["label"], [-1]]).astype(np.int64)
    images = np.concatenate([own["image"], true["image"]])
    found = np.concatenate([details.found[rows], none])
    truths = np.concatenate([places[cols], details.true[missed]])
    order = np.lexsort((truths, found, images))
    kinds = np.concatenate([kind_of[rows], np.full(len(missed), KINDS.index("Miss"))])
    columns = {
        "kind": np.array(KINDS)[kinds],
        "image_id": scored.image_ids[images],
        "detection": found,
        "truth": truths,
        "name": names[np.concatenate([own["label"].astype(np.int64), none])],
        "true_name": names[np.concatenate([classes[cols], classes[missed]])],
        "score": np.concatenate([own["score"], unknown]),
        "iou": np.concatenate([iou_of[rows], unknown]),
    }
    return Table({name: column[order] for name, column in columns.items()})


def _mean_precision(
    labels: Array, scores: Array, is_right: Array, counts: Array, wanted: Array, had: Array
) -> float:
    """Average precision, the mean of all classes that had truth; -1 without.

    Parameters
    ----------
    labels, scores, is_right, counts
        (N,): of detections in the order of equal scores; whether each is right, and counts at all.
    wanted, had
        (K,): how many truths are to be found, and how many were before errors were mended. A class
        of which nothing is left to be found has 0, so that the mean is of the same classes.
    """
    rows = np.flatnonzero(counts)
    classes, falling = labels[rows], -scores[rows]
    rises = np.diff(falling) >= 0
    if not ((np.diff(classes) > 0) | ((np.diff(classes) == 0) & rises)).all():
        rows = rows[np.lexsort((falling, classes))]
    all_hits = is_right[rows]
    sizes = counted(labels[rows], len(wanted))
    ends = np.cumsum(sizes)
    values = []
    for k in np.flatnonzero(had > 0).tolist():
        if wanted[k] == 0:
            values.append(0.0)
            continue
        hits = all_hits[ends[k] - sizes[k] : ends[k]]
        right = np.cumsum(hits)
        precision = right / (np.arange(1, len(hits) + 1) + np.spacing(1))
        highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        places = np.searchsorted(right / wanted[k], RECALLS, side="left")
        values.append(float(highest[places].mean()))
    return float(np.mean(values)) if values else -1.0
