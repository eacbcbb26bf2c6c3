"""What panoptic quality is made of: counts of categories, and averages of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastiou.tables.frames import Framed
from fastiou.typing import Array

__all__ = ["PanopticAverage", "PanopticClass", "PanopticQuality", "averaged", "class_of"]


class PanopticClass(NamedTuple):
    """The quality of a category, and what it follows from."""

    #: sq × rq; the sum of IoU over the matches / (tp + fp / 2 + fn / 2); 0 where nothing counts.
    pq: float
    #: Segmentation quality: the mean IoU of the matches.
    sq: float
    #: Recognition quality: tp / (tp + fp / 2 + fn / 2).
    rq: float
    tp: int
    fp: int
    fn: int
    #: The sum of IoU over the matches.
    iou: float
    #: The name of the category, "" where it is not told.
    name: str
    #: Whether it is a thing; None where it is not told.
    isthing: bool | None

    @property
    def counts(self) -> bool:
        """Whether the category takes part in averages: it occurs in the truth or is predicted."""
        return self.tp + self.fp + self.fn > 0


class PanopticAverage(NamedTuple):
    """Means over categories, and over how many."""

    pq: float
    sq: float
    rq: float
    #: Categories that occur.
    n: int


@dataclass(frozen=True, eq=False)
class PanopticQuality(Framed):
    """Panoptic quality of all categories, of things and of stuff.

    Attributes
    ----------
    pq, sq, rq : float
        Panoptic, segmentation and recognition quality: means over the categories that occur; 0
        where none does.
    n : int
        How many categories occur.
    things, stuff : PanopticAverage or None
        The same of things, and of stuff; None where no category tells which it is.
    per_class : dict
        A `PanopticClass` by the id of each category.
    n_images : int
        How many images there are.
    """

    pq: float
    sq: float
    rq: float
    n: int
    things: PanopticAverage | None
    stuff: PanopticAverage | None
    per_class: Mapping[int, PanopticClass]
    n_images: int

    def as_dict(self, prefix: str = "") -> dict[str, float]:
        """The numbers by name, for a logger.

        Parameters
        ----------
        prefix
            What each name begins with.

        Returns
        -------
        dict
            "PQ", "SQ" and "RQ", and where categories tell what they are, the same followed by "_th"
            of things, and by "_st" of stuff.
        """
        found = {"PQ": self.pq, "SQ": self.sq, "RQ": self.rq}
        for ending, average in (("_th", self.things), ("_st", self.stuff)):
            if average is not None:
                found |= {
                    f"PQ{ending}": average.pq, f"SQ{ending}": average.sq, f"RQ{ending}": average.rq,
                }  # fmt: skip
        return {prefix + name: value for name, value in found.items()}

    def columns(self) -> dict[str, Array]:
        """What is told of each category, by name, as columns of a data frame."""
        categories = {"category": np.array(list(self.per_class), np.int64)}
        rows = list(self.per_class.values())
        for name in PanopticClass._fields:
            values = [getattr(row, name) for row in rows]
            kind = object if None in values else None  # of things, where it is not told
            categories[name] = np.array(values, kind)
        return categories

    def __repr__(self) -> str:
        return (
            f"<PanopticQuality: PQ {self.pq:.4f}, SQ {self.sq:.4f}, RQ {self.rq:.4f} over "
            f"{self.n:,} of {len(self.per_class):,} categories in {self.n_images:,} images>"
        )


def averaged(classes: Iterable[PanopticClass]) -> PanopticAverage:
    """The means over those that count, added up in the order in which they come."""
    counting = [one for one in classes if one.counts]
    n = len(counting)
    pq, sq, rq = (
        sum(getattr(one, name) for one in counting) / n if n else 0.0 for name in ("pq", "sq", "rq")
    )
    return PanopticAverage(pq, sq, rq, n)


def class_of(iou: float, counts: tuple[int, int, int], name: str, thing: int) -> PanopticClass:
    """The quality of a category from the sum of IoU, and tp, fp and fn; -1 for no thing told."""
    tp, fp, fn = counts
    whole = tp + 0.5 * fp + 0.5 * fn
    pq, rq = (iou / whole, tp / whole) if whole else (0.0, 0.0)
    sq = iou / tp if tp else 0.0
    return PanopticClass(pq, sq, rq, tp, fp, fn, iou, name, None if thing < 0 else bool(thing))
