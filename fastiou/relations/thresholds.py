"""What a threshold is in the dtype of the scores that it is compared with.

A threshold is rounded down. Then a float32 score is more than it just where it is more than the
float64 threshold that came, as torchvision compares them. Rounded to the nearest number, a
threshold of 0.1 was above its float32 score of 1/10, and 455 of the 741 fractions k/n with n < 40
were judged otherwise. A score of exactly k/n is still at least a threshold of k/n: it is the
nearest number to it, and the threshold that number or the one below.

Kept for the next call, of which most have the same: it takes 2 µs, half of a call of ten boxes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from fastiou.geometry import unmagnify
from fastiou.metrics import Metric

__all__ = ["least_above", "least_from", "least_that_counts", "least_that_suppresses", "rounded"]


@functools.lru_cache(256)
def rounded(dtype: np.dtype[Any], threshold: float) -> float:
    """The largest number of the dtype that is no more than a threshold; infinite beyond all."""
    with np.errstate(over="ignore", under="ignore"):
        number = dtype.type(threshold)
        if np.isfinite(number) and float(number) > threshold:
            number = np.nextafter(number, dtype.type(-np.inf))
        return float(number)


@functools.lru_cache(256)
def least_above(dtype: np.dtype[Any], threshold: float) -> float:
    """The least score that is more than a threshold."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.nextafter(dtype.type(rounded(dtype, threshold)), dtype.type(np.inf)))


@functools.lru_cache(256)
def least_from(dtype: np.dtype[Any], threshold: float) -> float:
    """The least score that is a threshold or more, and above 0.

    A threshold above 0 stays so, or what does not overlap would be pairs.
    """
    return max(rounded(dtype, threshold), least_above(dtype, 0.0))


def least_that_counts(metric: Metric, dtype: np.dtype[Any], threshold: float, exponent: int) -> Any:
    """The least score that counts, where what is shared is magnified by 2^exponent."""
    limit = least_from(dtype, threshold)
    if metric.has_units:
        limit = least_from(dtype, float(unmagnify(np.array([limit]), -exponent)[0]))
    return dtype.type(limit)


def least_that_suppresses(
    metric: Metric, dtype: np.dtype[Any], threshold: float, exponent: int
) -> Any:
    """The same of scores that are more than a threshold."""
    least = least_above(dtype, threshold)
    if metric.has_units:
        least = rounded(dtype, float(unmagnify(np.array([least]), -exponent)[0]))
    return dtype.type(least)
