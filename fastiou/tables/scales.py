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

#: The largest side that is normalized, and no number of a normalized box is larger.
WIDTH = LARGEST_NORMALIZED - SMALLEST_NORMALIZED

#: About as many boxes, evenly spread, tell what many are like: to measure all of a million takes
#: 0.3 s.
MOST_MEASURED = 10_000


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

    @property
    def _some(self) -> Array:
        step = len(self._boxes) // MOST_MEASURED
        return self._boxes[::step] if step > 1 else self._boxes

    @cached_property
    def is_large(self) -> bool:
        """Whether some box has a number that no normalized one has, as pixels do."""
        has_angle = self._fmt.partition("-")[0].endswith("r")
        numbers = self._some[:, :-1] if has_angle else self._some
        return bool((numbers > WIDTH).any())

    @cached_property
    def is_normalized(self) -> bool:
        """Whether all boxes lie between 0 and 1, and not all on whole numbers."""
        low, high, _ = _reach(self._boxes, self._fmt)
        inside = (low >= SMALLEST_NORMALIZED).all() and (high <= LARGEST_NORMALIZED).all()
        return bool(inside and (high != np.floor(high)).any())

    @cached_property
    def usual_side(self) -> float:
        """The median of the longest sides; 0 without boxes."""
        *_, sides = _reach(self._some, self._fmt)
        return float(np.median(sides)) if len(sides) else 0.0

    @cached_property
    def sides(self) -> tuple[float, float]:
        """The least and the largest of the longest sides of all boxes, of which there are some."""
        *_, sides = _reach(self._boxes, self._fmt)
        return float(sides.min()), float(sides.max())


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
        What is said of it, and what no IoU of a box of one with one of the other is above.
    """
    if a.is_large == b.is_large:
        return None
    sets = [(a, called[0]), (b, called[1])]
    (own, name), (other, other_name) = sets[::-1] if a.is_large else sets
    if other.usual_side <= 2 * WIDTH or not own.is_normalized:
        return None
    words = (
        f"the boxes of {name} lie between 0 and 1, as normalized by the image size, and "
        f"those of {other_name} do not: {remedy}, and others must be multiplied first"
    )
    # Of the other box no more is in common than a slice that is as wide as this one: a share of the
    # area which is at most twice that of the length, as at the wide end of a triangle.
    (_, widest), (least, _) = own.sides, other.sides
    return words, 2 * widest / least if least > 0 else np.inf


def _reach(boxes: Array, fmt: str) -> tuple[Array, Array, Array]:
    """Of the boxes without NaN, where each begins at least and ends at most, and its longest side.

    Boxes that end before they begin are left out, too. All are float64, shape (n,).
    """
    members = np.asarray(boxes, np.float64).reshape(-1, LAYOUTS[fmt])
    with np.errstate(over="ignore", invalid="ignore"):  # infinite ones are refused elsewhere
        lows, highs = (np.stack(part) for part in zip(*extents(members, fmt), strict=True))
        proper = (highs >= lows).all(axis=0)
        lows, highs = lows[:, proper], highs[:, proper]
        return lows.min(axis=0), highs.max(axis=0), (highs - lows).max(axis=0)
