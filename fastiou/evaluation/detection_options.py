"""The options of evaluators of detectors, checked, and what departs from a protocol by them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastiou.arrays.checks import threshold_number, whole_number
from fastiou.arrays.inputs import plain_array
from fastiou.evaluation.protocols import FREQUENCIES, Protocol
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = [
    "area_ranges_of",
    "class_frequencies_of",
    "class_names_of",
    "deviations_of",
    "max_dets_of",
    "sigmas_of",
    "thresholds_of",
]


def thresholds_of(given: Any, usual: Array) -> Array:
    """The argument `iou_thresholds`, or those of the protocol."""
    if given is None:
        return usual
    values = np.atleast_1d(plain_array("iou_thresholds", given)).astype(np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"iou_thresholds must be some numbers, got {described(given)}")
    for value in values.tolist():
        threshold_number(value, 1.0, name="iou_thresholds")
    if (np.diff(values) <= 0).any():
        raise ValueError(f"iou_thresholds must ascend, got {described(given)}")
    return values


def max_dets_of(given: Any, usual: tuple[int, ...]) -> tuple[int, ...]:
    """The argument `max_dets`, or that of the protocol."""
    if given is None:
        return usual
    values = given if isinstance(given, Sequence) else np.atleast_1d(given).tolist()
    numbers = tuple(
        whole_number("max_dets", value, lowest=1, highest=2**31 - 1) for value in values
    )
    if not numbers or any(one >= two for one, two in itertools.pairwise(numbers)):
        raise ValueError(f"max_dets must be some integers that ascend, got {described(given)}")
    return numbers


def sigmas_of(given: Any, usual: tuple[float, ...]) -> tuple[float, ...]:
    """The argument `sigmas`, or those of the protocol, which has none if it is not of keypoints."""
    if given is None:
        return usual
    if not usual:
        raise ValueError("sigmas are of keypoints: they need iou_type='keypoints'")
    values = np.asarray(plain_array("sigmas", given))
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "iuf":
        raise ValueError(f"sigmas must be a number for each keypoint, got {described(given)}")
    wide = values.astype(np.float64)
    if not (np.isfinite(wide) & (wide > 0)).all():
        raise ValueError(f"sigmas must be finite and greater than 0, got {described(given)}")
    return tuple(wide.tolist())


def area_ranges_of(
    given: Mapping[str, Sequence[float]] | None, usual: Mapping[str, tuple[float, float]]
) -> Mapping[str, tuple[float, float]]:
    """The argument `area_ranges`, or those of the protocol."""
    if given is None:
        return usual
    if not isinstance(given, Mapping):
        raise TypeError(
            f"area_ranges must be a dict of (least, greatest) by name, got {described(given)}"
        )
    ranges = {"all": usual["all"]}
    for name, ends in given.items():
        try:
            low, high = map(float, ends)
        except (TypeError, ValueError):
            low, high = np.nan, np.nan
        if not low <= high:
            raise ValueError(
                f"area_ranges[{name!r}] must be two numbers, least and greatest, got "
                f"{described(ends)}"
            )
        ranges[str(name)] = low, high
    return ranges


def class_names_of(given: Any) -> dict[int | str, str] | None:
    """The argument `class_names` by labels."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        kinds = {type(label) for label in given}
        if len(kinds) > 1 or not kinds <= {int, str}:
            raise TypeError(
                f"class_names must be by labels, all numbers or all names, got {described(given)}"
            )
        return {label: str(name) for label, name in given.items()}
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"class_names must be a list or a dict of names, got {described(given)}")
    return {number: str(name) for number, name in enumerate(given)}


def class_frequencies_of(given: Any) -> dict[int | str, str]:
    """The argument `class_frequencies`."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not set(given.values()) <= set(FREQUENCIES):
        accepted = ", ".join(map(repr, FREQUENCIES))
        raise ValueError(
            f"class_frequencies must be a dict of {accepted} by label, got {described(given)}"
        )
    return dict(given)


def deviations_of(usual: Protocol, own: Protocol) -> dict[str, str]:
    """What departs from a protocol, by what it is about."""
    found = {}
    if not np.array_equal(usual.thresholds, own.thresholds):
        found["iou_thresholds"] = f"IoU thresholds are {own.thresholds.tolist()}"
    if usual.max_dets != own.max_dets:
        found["max_dets"] = f"detections of an image and class that count: {own.max_dets}"
    if dict(usual.areas) != dict(own.areas):
        found["area_ranges"] = f"size ranges are {dict(own.areas)}"
    if usual.sigmas != own.sigmas:
        found["sigmas"] = f"sigmas of keypoints are {list(own.sigmas)}"
    return found
