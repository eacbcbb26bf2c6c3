"""LVIS's rules: not every class was looked for in every image, and few detections count."""

from __future__ import annotations

import numpy as np

from fastiou.typing import Array

__all__ = ["are_pardoned", "best_of_images", "were_looked_for"]


def best_of_images(images: Array, scores: Array, most: int) -> Array:
    """Which detections are among the best of their image, (N,) bool; of equal ones, the first."""
    order = np.lexsort((-scores, images))
    ordered = images[order]
    ranks = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    best = np.empty(len(order), np.bool_)
    best[order] = ranks < most
    return best


def were_looked_for(
    preds: tuple[Array, Array], target: tuple[Array, Array], absent: tuple[Array, Array]
) -> Array:
    """Which detections are of a class that was looked for in their image, (N,) bool.

    Parameters
    ----------
    preds, target
        Numbers of image and class of both sets.
    absent
        Those of the classes that are known not to be in an image.
    """
    own, there, not_there = (_joined(pairs, preds[1], target[1], absent[1]) for pairs in (
        preds, target, absent
    ))  # fmt: skip
    return np.isin(own, there) | np.isin(own, not_there)


def are_pardoned(preds: tuple[Array, Array], unfinished: tuple[Array, Array]) -> Array:
    """Which detections are of a class of which not all objects in their image were marked."""
    own, pardoned = (_joined(pairs, preds[1], unfinished[1]) for pairs in (preds, unfinished))
    return np.isin(own, pardoned)


def _joined(pairs: tuple[Array, Array], *labels: Array) -> Array:
    """Image and class as one number."""
    count = 1 + max((int(column.max()) for column in labels if len(column)), default=0)
    return pairs[0].astype(np.int64) * count + pairs[1]
