"""Masks in JSON as the arrays that they are packed from, without an object of Python for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastiou.parsing.decimals import powers_of_ten
from fastiou.parsing.mask_kernels import DESCRIBE, READ_COUNTS, READ_RINGS
from fastiou.runtime import steps, threads
from fastiou.typing import Array

__all__ = ["MaskTexts", "Rings", "describe_masks"]

# Time in scores of boxes, in which `threads.run` reckons: 0.35 ns each. For a byte of a mask that
# is described, a count that is read, and a number of a polygon.
SCORES_PER_BYTE = 3
SCORES_PER_COUNT = 15
SCORES_PER_NUMBER = 40


@dataclass(frozen=True, eq=False)
class Rings:
    """Polygons of some masks.

    Attributes
    ----------
    corners : array of float64, shape (K, 2)
        The points of all rings in a row.
    cuts : array of int64, shape (R + 1,)
        Where those of each ring lie.
    first : array of int64, shape (n + 1,)
        Which rings are of each mask.
    """

    corners: Array
    cuts: Array
    first: Array


@dataclass(frozen=True, eq=False)
class MaskTexts:
    """Where masks stand in a text, and what they are.

    Attributes
    ----------
    data : bytes
        The text.
    places : array of int64, shape (n, 2)
        Where each begins and ends; -1 where there is none.
    kinds : array of int8, shape (n,)
        As `fastiou.parsing.mask_kinds` has them; `OTHER` also where there is none.
    sizes : array of int64, shape (n, 2)
        Height and width that run lengths tell; else -1.
    starts : array of int64, shape (n,)
        Where the counts of run lengths are (behind the quote of a string), or the polygons.
    amounts : array of int64, shape (n, 2)
        How many letters (a backslash is two) or numbers these have, and how many rings.
    """

    data: bytes
    places: Array
    kinds: Array
    sizes: Array
    starts: Array
    amounts: Array

    @property
    def text(self) -> Array:
        """The text as an array."""
        return np.frombuffer(self.data, np.uint8)

    def counts(self, rows: Array) -> tuple[Array, Array]:
        """The numbers of some masks of the kind `NUMBERS`, and where those of each lie."""
        cuts = _sums(self.amounts[rows, 0])
        counts = np.empty(int(cuts[-1]), np.int64)
        text, starts = self.text, self.starts[rows]
        for first, last, work in steps.spans(cuts, SCORES_PER_COUNT):
            threads.run(READ_COUNTS, work, text, starts[first:last], counts, cuts[first : last + 1])
        return counts, cuts

    def rings(self, rows: Array) -> Rings | None:
        """The polygons of some masks of the kind `RINGS`.

        None if a number is left to Python's parser.
        """
        text, starts = self.text, self.starts[rows]
        cuts, first_rings = (_sums(amounts) for amounts in self.amounts[rows].T)
        numbers = np.empty(int(cuts[-1]))
        ends = np.zeros(int(first_rings[-1]) + 1, np.int64)
        faults = np.empty(len(rows), np.bool_)
        for first, last, work in steps.spans(cuts, SCORES_PER_NUMBER):
            threads.run(
                READ_RINGS, work, text, starts[first:last], powers_of_ten(), numbers,
                cuts[first : last + 1], ends[1:], first_rings[first : last + 1],
                faults[first:last],
            )  # fmt: skip
        if faults.any():
            return None
        return Rings(numbers.reshape(-1, 2), ends // 2, first_rings)


def _sums(sizes: Array) -> Array:
    """Where each of some things begins that lie in a row, and where the last ends."""
    sums = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=sums[1:])
    return sums


def describe_masks(data: bytes, places: Array) -> MaskTexts:
    """Tell what masks in a text are.

    Parameters
    ----------
    data
        The text.
    places : array of int64, shape (n, 2)
        Where each begins and ends, which is JSON; -1 where there is none.
    """
    count = len(places)
    texts = MaskTexts(
        data, places, np.empty(count, np.int8), np.empty((count, 2), np.int64),
        np.empty(count, np.int64), np.empty((count, 2), np.int64),
    )  # fmt: skip
    before = _sums(places[:, 1] - places[:, 0])
    for first, last, work in steps.spans(before, SCORES_PER_BYTE):
        own = slice(first, last)
        threads.run(
            DESCRIBE, work, texts.text, places[own], texts.kinds[own], texts.sizes[own],
            texts.starts[own], texts.amounts[own],
        )  # fmt: skip
    return texts
