"""Two detectors on the same images: by how much each number differs, and how surely."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastiou.evaluation.detection_resampling import (
    Weighted,
    check_confidence,
    check_draws,
    columns_of,
    interval,
    resampled,
)
from fastiou.runtime.progress import Progress
from fastiou.runtime.words import described
from fastiou.tables.frames import Framed
from fastiou.typing import Array

__all__ = ["ClassDifferences", "Comparison", "Side", "compared"]


@dataclass(frozen=True, eq=False)
class Side:
    """What a comparison reads of a result.

    Attributes
    ----------
    options : tuple
        What must be the same on both sides.
    image_ids : array
    values : dict of float
        The numbers of the summary.
    classes : dict of arrays
        The columns of its classes.
    make : callable
        Makes its matches ready for resamples.
    """

    options: tuple[Any, ...]
    image_ids: Array
    values: Mapping[str, float]
    classes: Mapping[str, Array]
    make: Callable[[], Weighted]


@dataclass(frozen=True, eq=False)
class ClassDifferences(Framed):
    """By how much the scores of each class differ.

    Attributes
    ----------
    label : array of int64 or str
    name : array of str
    differences : dict of arrays of float64
        Those of the other less one's own, of each number that is told of a class; NaN where there
        is no truth.
    """

    label: Array
    name: Array
    differences: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, name: str) -> Array:
        return self.columns()[name]

    def columns(self) -> dict[str, Array]:
        """The columns by name."""
        return {"label": self.label, "name": self.name, **self.differences}

    def __repr__(self) -> str:
        return f"<ClassDifferences: {len(self):,} classes; {', '.join(self.columns())}>"


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Framed):
    """By how much the numbers of two detectors differ.

    Attributes
    ----------
    values, other_values : dict of float
        The numbers of the summary of both.
    differences : dict of float
        Those of the other less one's own; NaN where there is no truth.
    per_class : ClassDifferences
        The same of each class.
    samples : dict of arrays of float64, shape (n,)
        The differences of each resample, for which both have the same images; empty without.
    confidence : float
        The share of the samples in an interval.
    """

    values: Mapping[str, float]
    other_values: Mapping[str, float]
    differences: Mapping[str, float]
    per_class: ClassDifferences
    samples: Mapping[str, Array]
    confidence: float

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Between which differences lies the middle share of the samples."""
        return {name: interval(own, self.confidence) for name, own in self.samples.items()}

    @property
    def other_is_better(self) -> dict[str, float]:
        """The share of the resamples in which the other is higher; NaN where none is known."""
        known = {name: own[~np.isnan(own)] for name, own in self.samples.items()}
        return {
            name: float((own > 0).mean()) if len(own) else np.nan for name, own in known.items()
        }

    def columns(self) -> dict[str, Array]:
        """A row for each number: both values, their difference, and what resamples tell."""
        names = list(self.differences)
        columns = {
            "number": np.array(names, np.str_),
            "value": np.array([self.values[name] for name in names]),
            "other": np.array([self.other_values[name] for name in names]),
            "difference": np.array([self.differences[name] for name in names]),
        }
        if self.samples:
            of_samples = columns_of(self.differences, self.samples, self.confidence)
            columns |= {name: of_samples[name] for name in ("std", "low", "high")}
            columns["other_is_better"] = np.array(list(self.other_is_better.values()))
        return columns

    def __repr__(self) -> str:
        name = next(iter(self.differences))
        text = f"<Comparison: {name} {self.differences[name]:+.3f}"
        if self.samples:
            low, high = self.intervals[name]
            text += (
                f", {100 * self.confidence:g} % between {low:+.3f} and {high:+.3f}, higher in "
                f"{100 * self.other_is_better[name]:.3g} % of {len(self.samples[name]):,} resamples"
            )
        return text + ">"


def compared(
    own: Side, other: Side, n: Any, seed: Any, confidence: Any, progress: bool | Progress
) -> Comparison:
    """What `DetectionResult.compare` does."""
    count, start = check_draws(len(own.image_ids), n, seed, lowest=0)
    share = check_confidence(confidence)
    if own.options != other.options:
        raise ValueError(
            f"other must have the same protocol and options, got {other.options} beside "
            f"{own.options}"
        )
    if not np.array_equal(own.image_ids, other.image_ids):
        lone = set(own.image_ids.tolist()) ^ set(other.image_ids.tolist())
        raise ValueError(
            f"other must be of the same images, got {len(other.image_ids):,} beside "
            f"{len(own.image_ids):,}; only one side has {described(next(iter(lone)))}"
        )
    per_class = _of_classes(own.classes, other.classes)
    samples: dict[str, Array] = {}
    if count:
        makes = [own.make(), other.make()]
        one, two = resampled(makes, len(own.image_ids), count, start, progress)
        samples = {name: two[name] - one[name] for name in one}
    differences = {
        name: other.values[name] - value if -1 not in (value, other.values[name]) else np.nan
        for name, value in own.values.items()
    }
    return Comparison(own.values, other.values, differences, per_class, samples, share)


def _of_classes(own: Mapping[str, Array], other: Mapping[str, Array]) -> ClassDifferences:
    """The differences of the classes that either has."""
    sides = [dict(zip(each["label"].tolist(), range(len(each["label"])), strict=True))
             for each in (own, other)]  # fmt: skip
    labels = sorted({*sides[0], *sides[1]})

    def column(name: str, side: int, missing: float) -> Array:
        values, places = (own, other)[side][name], sides[side]
        return np.array(
            [values[places[label]] if label in places else missing for label in labels], float
        )

    for label, one, two in zip(labels, column("truths", 0, 0), column("truths", 1, 0), strict=True):
        if one != two:
            raise ValueError(
                f"other must be of the same truth, got {int(two):,} of class {described(label)} "
                f"beside {int(one):,}"
            )
    scores = [name for name in own if name not in ("label", "name", "truths", "detections")]
    differences = {}
    for name in scores:
        one, two = column(name, 0, -1), column(name, 1, -1)
        differences[name] = np.where((one == -1) | (two == -1), np.nan, two - one)
    texts = {**_names(other), **_names(own)}
    return ClassDifferences(
        np.array(labels), np.array([texts[label] for label in labels], np.str_), differences
    )


def _names(classes: Mapping[str, Array]) -> dict[Any, str]:
    return dict(zip(classes["label"].tolist(), classes["name"].tolist(), strict=True))
