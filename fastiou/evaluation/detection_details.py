"""Pairs of detections and truth of an image, whatever their classes: what is kept if asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastiou.typing import Array

__all__ = ["LOWEST", "Details", "places_in_images"]

#: The lowest IoU of a pair that is kept.
LOWEST = 0.1

#: What is kept of a pair.
PAIR = np.dtype([("detection", np.int64), ("truth", np.int64), ("iou", np.float64)])


@dataclass(frozen=True, eq=False)
class Details:
    """Pairs with an IoU of at least `LOWEST`, and where their members came from.

    Attributes
    ----------
    found, true : array of int64, shape (N,) and (M,)
        The place of each detection, and of each truth, among those of its image, as they came.
    crowd : array of bool, shape (M,)
        Truth that is matched any number of times.
    pairs : structured array, shape (P,)
        The rows of a detection and a truth, and the IoU.
    """

    found: Array
    true: Array
    crowd: Array
    pairs: Array

    @classmethod
    def empty(cls) -> Details:
        """Of nothing."""
        none = np.empty(0, np.int64)
        return cls(none, none, np.empty(0, np.bool_), np.empty(0, PAIR))

    @classmethod
    def joined(cls, parts: Sequence[Details]) -> Details:
        """All of several, one behind the other."""
        pairs = [part.pairs.copy() for part in parts]
        before = np.zeros(2, np.int64)
        for own, part in zip(pairs, parts, strict=True):
            own["detection"] += before[0]
            own["truth"] += before[1]
            before += len(part.found), len(part.true)
        return cls(
            np.concatenate([part.found for part in parts]),
            np.concatenate([part.true for part in parts]),
            np.concatenate([part.crowd for part in parts]),
            np.concatenate(pairs),
        )

    def chosen(self, found: Array, true: Array) -> Details:
        """Some members, by their rows in the order wanted; pairs in the order of both."""
        places = []
        for rows, own in ((found, self.found), (true, self.true)):
            new = np.full(len(own), -1, np.int64)
            new[rows] = np.arange(len(rows))
            places.append(new)
        pairs = self.pairs.copy()
        pairs["detection"] = places[0][pairs["detection"]]
        pairs["truth"] = places[1][pairs["truth"]]
        pairs = pairs[(pairs["detection"] >= 0) & (pairs["truth"] >= 0)]
        pairs = pairs[np.lexsort((pairs["truth"], pairs["detection"]))]
        return Details(self.found[found], self.true[true], self.crowd[true], pairs)

    def state(self) -> dict[str, Array]:
        """Copies of all arrays, by name."""
        return {
            "found_places": self.found.copy(), "true_places": self.true.copy(),
            "crowd": self.crowd.copy(), "pairs": self.pairs.copy(),
        }  # fmt: skip

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Details:
        """What `state` gave."""
        return cls(state["found_places"], state["true_places"], state["crowd"], state["pairs"])


def places_in_images(images: Array) -> Array:
    """The place of each member among those of its image, by the numbers of images, (n,)."""
    order = np.argsort(images, kind="stable")
    ordered = images[order]
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return places
