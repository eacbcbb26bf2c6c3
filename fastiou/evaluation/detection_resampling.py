"""Scores of a detector where each image counts by a weight, and intervals out of many such."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastiou.arrays.checks import finite_number, whole_number
from fastiou.evaluation import resampling_kernels as kernels
from fastiou.evaluation.detection_kernels import WORD
from fastiou.evaluation.detection_matching import Matched
from fastiou.evaluation.protocols import Protocol, Stat
from fastiou.runtime import steps, threads
from fastiou.runtime.distinct import counted
from fastiou.runtime.progress import Progress, progress_callback
from fastiou.runtime.words import described
from fastiou.tables.frames import Framed
from fastiou.typing import Array

__all__ = ["Bootstrap", "Weighted", "bootstrap_of", "check_confidence", "draws", "interval"]

#: Work of a member, of an event, and of a recall point, in scores of boxes (see `threads.run`).
MEMBER_WORK, EVENT_WORK, POINT_WORK = 4, 8, 3

#: Work of drawing an image.
DRAW_WORK = 30


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Framed):
    """What the numbers of the summary might have been with other images of the same kind.

    Attributes
    ----------
    values : dict of float
        The numbers of all images, each once.
    samples : dict of arrays of float64, shape (n,)
        The numbers of each resample; NaN where no image that was drawn has such truth.
    intervals : dict of tuple of two floats
        Between which numbers lies the middle share of the samples.
    std : dict of float
        The standard deviation of the samples.
    confidence : float
        The share of the samples in an interval.
    """

    values: Mapping[str, float]
    samples: Mapping[str, Array]
    confidence: float

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Between which numbers lies the middle share of the samples."""
        return {name: interval(values, self.confidence) for name, values in self.samples.items()}

    @property
    def std(self) -> dict[str, float]:
        """The standard deviation of the samples; NaN of fewer than two."""
        return {name: _deviation(values) for name, values in self.samples.items()}

    def __len__(self) -> int:
        return len(next(iter(self.samples.values())))

    def columns(self) -> dict[str, Array]:
        """A row for each number: its name, value, standard deviation and interval."""
        return columns_of(self.values, self.samples, self.confidence)

    def __repr__(self) -> str:
        name = next(iter(self.values))
        low, high = self.intervals[name]
        return (
            f"<Bootstrap: {len(self):,} resamples; {name} {self.values[name]:.3f}, "
            f"{100 * self.confidence:g} % between {low:.3f} and {high:.3f}>"
        )


def columns_of(
    values: Mapping[str, float], samples: Mapping[str, Array], confidence: float
) -> dict[str, Array]:
    """Numbers, what they vary by, and their intervals, as columns."""
    ends = np.array([interval(own, confidence) for own in samples.values()]).reshape(-1, 2)
    return {
        "number": np.array(list(samples), np.str_),
        "value": np.array([values[name] for name in samples]),
        "std": np.array([_deviation(own) for own in samples.values()]),
        "low": ends[:, 0],
        "high": ends[:, 1],
    }


def interval(values: Array, confidence: float) -> tuple[float, float]:
    """Between which numbers the middle share of values lies; NaN where none is known."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _deviation(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else np.nan


def check_confidence(value: Any) -> float:
    """The argument `confidence`: a share of the samples."""
    number = finite_number("confidence", value)
    if not 0 < number < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {described(value)}")
    return number


class Weighted:
    """The numbers of the summary where each image counts by a weight.

    What was matched is made ready once, for any number of weights.

    Parameters
    ----------
    kept, starts
        What was matched, by class and falling score, and where each class begins.
    protocol
        The rules.
    frequencies
        How frequent each class is, as LVIS tells, or None.
    """

    def __init__(
        self,
        kept: Matched,
        starts: Array,
        protocol: Protocol,
        frequencies: Sequence[str | None] = (),
    ) -> None:
        self._protocol = protocol
        self._classes = len(starts) - 1
        self._frequencies = np.array(list(frequencies), object)
        self._recalls = list(
            dict.fromkeys(
                (self._range(stat), stat.place) for stat in protocol.stats if stat.of == "recall"
            )
        )
        self._streams = _streams(kept, self._classes, protocol)
        self._sums = _sums(kept, self._classes, protocol, self._recalls)
        points = len(protocol.recalls) * len(protocol.thresholds) * len(protocol.areas)
        #: Work of one set of weights.
        self.work = (
            MEMBER_WORK * (len(self._streams[0]) + len(self._sums[0]))
            + EVENT_WORK * len(self._streams[3])
            + POINT_WORK * points * self._classes
        )

    def _range(self, stat: Stat) -> int:
        return list(self._protocol.areas).index(stat.area)

    def average_precision(self, weights: Array) -> tuple[Array, Array]:
        """Average precision and weighted counts of each class.

        Parameters
        ----------
        weights
            (resample, image) int32.

        Returns
        -------
        tuple of two arrays
            (resample, range, threshold, class), -1 without truth; and (resample, quantity, class):
            the numbers of truths of each size range, and those of right detections.
        """
        protocol = self._protocol
        ranges, thresholds = len(protocol.areas), len(protocol.thresholds)
        precision = np.empty((len(weights), ranges, thresholds, self._classes))
        totals = np.empty((len(weights), ranges + len(self._recalls), self._classes), np.int64)
        rules = (
            protocol.recalls, ranges, thresholds, protocol.spacing, protocol.of == "areas",
        )  # fmt: skip
        threads.run(
            kernels.RESAMPLE, len(weights) * self.work, weights, self._streams, self._sums, rules,
            (precision, totals), self._classes,
        )  # fmt: skip
        return precision, totals

    def numbers(self, weights: Array) -> dict[str, Array]:
        """The numbers of the summary, each (resample,); NaN where there is no truth.

        Parameters
        ----------
        weights
            (resample, image) int32.
        """
        protocol = self._protocol
        precision, totals = self.average_precision(weights)
        result = {}
        for stat in protocol.stats:
            own = self._range(stat)
            wanted = totals[:, own]
            known = wanted > 0
            if stat.frequency is not None:
                known = known & (self._frequencies == stat.frequency)
            if stat.of == "recall":
                place = self._recalls.index((own, stat.place))
                right = totals[:, len(protocol.areas) + place]
                values = right / np.maximum(wanted, 1) / len(protocol.thresholds)
            else:
                chosen = slice(None)
                if stat.threshold is not None:
                    chosen = protocol.thresholds == stat.threshold
                at = precision[:, own, chosen]
                known = known & bool(at.shape[1])
                values = at.sum(axis=1) / max(at.shape[1], 1)
            sizes = known.sum(axis=1)
            means = np.where(known, values, 0).sum(axis=1) / np.maximum(sizes, 1)
            result[stat.name] = np.where(sizes > 0, means, np.nan)
        return result


def draws(images: int, n: int, seed: int, work: int) -> Iterator[Array]:
    """How often each image is drawn in each of n resamples, in parts (some, image) int32.

    Each part is one step, with so much work for each resample.
    """
    rng = np.random.default_rng(seed)
    for first, last, _ in steps.ranges(n, DRAW_WORK * images + work):
        drawn = [
            np.bincount(rng.integers(0, images, images), minlength=images)
            for _ in range(first, last)
        ]
        yield np.array(drawn, np.int32)


def resampled(
    weighted: Sequence[Weighted], images: int, n: int, seed: int, progress: bool | Progress
) -> list[dict[str, Array]]:
    """The numbers of n resamples of the same images, of one or more detectors."""
    report, finish = progress_callback(progress)
    parts: list[list[dict[str, Array]]] = [[] for _ in weighted]
    done = 0
    try:
        for weights in draws(images, n, seed, sum(each.work for each in weighted)):
            for own, each in zip(parts, weighted, strict=True):
                own.append(each.numbers(weights))
            done += len(weights)
            if report is not None:
                report(done, n)
    finally:
        finish()
    return [
        {name: np.concatenate([part[name] for part in own]) for name in own[0]} for own in parts
    ]


def bootstrap_of(
    make: Callable[[], Weighted],
    values: Mapping[str, float],
    images: int,
    n: Any,
    seed: Any,
    confidence: Any,
    progress: bool | Progress,
) -> Bootstrap:
    """What `DetectionResult.bootstrap` does, with what makes its matches ready."""
    count, start = check_draws(images, n, seed, lowest=1)
    share = check_confidence(confidence)
    (samples,) = resampled([make()], images, count, start, progress)
    return Bootstrap(values, samples, share)


def check_draws(images: int, n: Any, seed: Any, *, lowest: int) -> tuple[int, int]:
    """The arguments `n` and `seed`, for some images."""
    count = whole_number("n", n, lowest=lowest)
    start = whole_number("seed", seed, lowest=0)
    if count and not images:
        raise ValueError("there are no images that could be drawn")
    return count, start


# ---- what was matched, made ready --------------------------------------------------------------


def _streams(
    kept: Matched, classes: int, protocol: Protocol
) -> tuple[Array, Array, Array, Array, Array]:
    """The members and events of each size range and class, as `kernels.RESAMPLE` reads them.

    Detections behind the last right one of a class do not matter, nor do those that count at no
    threshold.
    """
    own = kept.detections
    labels, images = own["label"], own["image"].astype(np.uint32)
    thresholds = len(protocol.thresholds)
    some = np.flatnonzero(own["matched"].any(axis=1))
    some_labels = labels[some]
    members, sizes, rooms, events, event_sizes = [], [], [], [], []
    for a in range(len(protocol.areas)):
        bits = range(a * thresholds, (a + 1) * thresholds)
        counts = ~_bit(own["ignored"], bits[-1])
        hits, changes = [], []
        for bit in bits:
            counts_here = ~_bit(own["ignored"][some], bit)
            hits.append(_bit(own["matched"][some], bit) & counts_here)
            changes.append(counts_here.astype(np.int8) - counts[some].astype(np.int8))
        is_right = np.logical_or.reduce(hits)
        last = np.full(classes, -1)
        last[some_labels[is_right]] = some[is_right]
        is_event = is_right | (np.array(changes) != 0).any(axis=0)
        is_event &= some <= last[some_labels]
        rows = some[is_event]
        flags = kernels.COUNTS * counts.astype(np.uint32)
        flags[rows] |= kernels.EVENT
        inside = np.flatnonzero((flags > 0) & (np.arange(len(own)) <= last[labels]))
        members.append((images[inside] << 2) | flags[inside])
        sizes.append(counted(labels[inside], classes))
        number = counted(some_labels[is_event], classes)
        rooms.append(number)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(number) - number, number)
        for hit, change in zip(hits, changes, strict=True):
            right, moved = hit[is_event], change[is_event].astype(np.int64)
            here = np.flatnonzero(right | (moved != 0))
            code = (places[here] << 3) | ((moved[here] + 1) << 1) | right[here]
            events.append(code.astype(np.uint32))
            event_sizes.append(counted(labels[rows[here]], classes))
    return (
        _joined(members, np.uint32), _bounds(sizes), np.concatenate(rooms),
        _joined(events, np.uint32), _bounds(event_sizes),
    )  # fmt: skip


def _sums(
    kept: Matched, classes: int, protocol: Protocol, recalls: Sequence[tuple[int, int]]
) -> tuple[Array, Array, Array]:
    """What is added up by weight: truths of each size range, and right detections.

    Returns
    -------
    tuple of three arrays
        As `kernels.RESAMPLE` reads them.
    """
    truth, own = kept.truth, kept.detections
    thresholds = len(protocol.thresholds)
    parts = []
    for a in range(len(protocol.areas)):
        rows = np.flatnonzero(truth["wanted"][:, a])
        parts.append((truth["label"][rows], truth["image"][rows], np.ones(len(rows), np.int64)))
    some = own[own["matched"].any(axis=1)]
    found: dict[int, Array] = {}
    for a, place in recalls:
        if a not in found:
            found[a] = np.zeros(len(some), np.int64)
            for bit in range(a * thresholds, (a + 1) * thresholds):
                found[a] += _bit(some["matched"], bit) & ~_bit(some["ignored"], bit)
        counts = found[a]
        rows = np.flatnonzero((counts > 0) & (some["rank"] < protocol.limits[place]))
        parts.append((some["label"][rows], some["image"][rows], counts[rows]))
    images, sums, sizes = [], [], []
    for labels, own_images, counts in parts:
        span = int(own_images.max(initial=0)) + 1
        keys, inverse = np.unique(labels.astype(np.int64) * span + own_images, return_inverse=True)
        images.append((keys % span).astype(np.uint32))
        sums.append(np.bincount(inverse, counts, minlength=len(keys)).astype(np.uint32))
        sizes.append(counted(keys // span, classes))
    return _joined(images, np.uint32), _joined(sums, np.uint32), _bounds(sizes)


def _bit(words: Array, number: int) -> Array:
    """One bit of each row, (n,) bool."""
    bits: Array = (words[:, number // WORD] >> np.uint64(number % WORD)) & np.uint64(1)
    return bits.astype(np.bool_)


def _joined(parts: Sequence[Array], dtype: Any) -> Array:
    return np.concatenate([np.empty(0, dtype), *parts])


def _bounds(sizes: Sequence[Array]) -> Array:
    """Where each part begins, and the last ends."""
    return np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
