"""How the published benchmarks of detectors count: thresholds, sizes, and how many detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fastiou.typing import Array

__all__ = ["PROTOCOLS", "Protocol", "Stat"]

#: COCO's areas are inclusive at both ends.
COCO_AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


@dataclass(frozen=True)
class Stat:
    """One number of the summary.

    Attributes
    ----------
    name : str
    of : {"precision", "recall"}
        What is averaged over classes, thresholds and, of precision, recalls.
    threshold : float or None
        The only threshold that counts; None for all.
    area : str
        The size range.
    place : int
        Which of `max_dets`.
    """

    name: str
    of: str
    threshold: float | None = None
    area: str = "all"
    place: int = -1


@dataclass(frozen=True)
class Protocol:
    """The rules of a benchmark, as its defaults.

    Attributes
    ----------
    name : str
    thresholds : array of float64, shape (T,)
    recalls : array of float64, shape (R,)
        Where precision is read.
    max_dets : tuple of int
        How many detections of an image and class count.
    areas : dict
        Least and greatest area of each size range.
    """

    name: str
    thresholds: Array
    recalls: Array
    max_dets: tuple[int, ...]
    areas: Mapping[str, tuple[float, float]]


#: The protocols by their names.
PROTOCOLS = {
    # As COCOeval makes them: 0.9 is 0.8999999999999999 there.
    "coco": Protocol(
        "coco", np.linspace(0.5, 0.95, 10), np.linspace(0, 1, 101), (1, 10, 100), COCO_AREAS
    ),
}
