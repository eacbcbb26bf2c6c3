"""What a threshold is in the dtype of the scores that it is compared with.

Kept for the next call, of which most have the same: it takes 2 µs, half of a call of ten boxes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

__all__ = ["least_above", "least_from", "rounded"]


@functools.lru_cache(256)
def rounded(dtype: np.dtype[Any], threshold: float) -> float:
    """The threshold itself, infinite where it is too large."""
    with np.errstate(over="ignore", under="ignore"):
        return float(dtype.type(threshold))


@functools.lru_cache(256)
def least_above(dtype: np.dtype[Any], threshold: float) -> float:
    """The least score that is more than a threshold."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.nextafter(dtype.type(threshold), dtype.type(np.inf)))


@functools.lru_cache(256)
def least_from(dtype: np.dtype[Any], threshold: float) -> float:
    """The least score that is a threshold or more, and above 0.

    A threshold above 0 stays so, or what does not overlap would be pairs.
    """
    return max(rounded(dtype, threshold), least_above(dtype, 0.0))
