"""Boxes in two units, normalized by the image size and pixels, which are compared all the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from fastiou.tables.layouts import LAYOUTS, extents
from fastiou.typing import Array

__all__ = ["Scale", "scales_apart"]

#: Normalized coordinates lie between 0 and 1, and those of objects cut off a little beyond.
SMALLEST_NORMALIZED, LARGEST_NORMALIZED = -0.5, 1.5

#: Boxes that are looked at first, since few of most sets suffice to show pixels.
FIRST = 256


class Scale:
    """In which unit boxes are. What is asked is computed once.

    Parameters
    ----------
    boxes
        Shape (N, numbers of the layout).
    fmt
        Their layout.
    """

    def __init__(self, boxes: Array, fmt: str) -> None:
        self._boxes, self._fmt = boxes, fmt

    @cached_property
    def is_normalized(self) -> bool:
        """Whether all lie between 0 and 1, and not all on whole numbers."""
        for part in (self._boxes[:FIRST], self._boxes):
            low, high, _ = _reach(part, self._fmt)
            if (low < SMALLEST_NORMALIZED).any() or (high > LARGEST_NORMALIZED).any():
                return False
        return bool((high != np.floor(high)).any())

    @cached_property
    def sides(self) -> tuple[float, float]:
        """The least of the longest sides of the boxes, and their median; 0 without boxes."""
        *_, sides = _reach(self._boxes, self._fmt)
        return (float(sides.min()), float(np.median(sides))) if len(sides) else (0.0, 0.0)


def scales_apart(
    a: Scale, b: Scale, called: Sequence[str], remedy: str
) -> tuple[str, float] | None:
    """Whether one set is normalized by the image size and the other is not.

    Parameters
    ----------
    a, b
        The sets.
    called
        What messages call each of them.
    remedy
        How to make pixels of what is normalized, for messages.

    Returns
    -------
    tuple or None
        What is said of it, and the largest IoU that any box of one can have with any of the other.
    """
    for (own, name), (other, other_name) in (
        ((a, called[0]), (b, called[1])),
        ((b, called[1]), (a, called[0])),
    ):
        if not own.is_normalized:
            continue
        width = LARGEST_NORMALIZED - SMALLEST_NORMALIZED
        least, usual = other.sides
        if usual > 2 * width:
            words = (
                f"the boxes of {name} lie between 0 and 1, as normalized by the image size, and "
                f"those of {other_name} do not: {remedy}, and others must be multiplied first"
            )
            # What they have in common is no wider than all that is normalized.
            return words, width / least if least > 0 else np.inf
    return None


def _reach(boxes: Array, fmt: str) -> tuple[Array, Array, Array]:
    """Of the boxes without NaN, where each begins at least and ends at most, and its longest side.

    Boxes that end before they begin are left out, too. All are float64, shape (n,).
    """
    members = np.asarray(boxes, np.float64).reshape(-1, LAYOUTS[fmt])
    sides = list(extents(members, fmt))
    lows, highs = (np.stack(part) for part in zip(*sides, strict=True))
    proper = (highs >= lows).all(axis=0)
    lows, highs = lows[:, proper], highs[:, proper]
    return lows.min(axis=0), highs.max(axis=0), (highs - lows).max(axis=0)
