"""Words for scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.checks import finite_number
from fastiou.arrays.inputs import value_array

__all__ = ["iou_grade"]


def iou_grade(iou: Any, *, excellent: float = 0.95, good: float = 0.7) -> Any:
    """Say in a word how good an IoU is.

    Parameters
    ----------
    iou : float or array_like
        Scores.
    excellent, good : float
        Scores above these get these words; `good` must not be above `excellent`.

    Returns
    -------
    str, or array of str of the shape of `iou`
        "excellent", "good" or "poor". There are no tensors of words: arrays of any library give one
        of NumPy.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        A NaN, which is no score, or cuts in the wrong order.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.iou_grade(0.96)
    'excellent'
    >>> fastiou.iou_grade([0.95, 0.7])
    array(['good', 'poor'], dtype='<U9')
    """
    excellent = finite_number("excellent", excellent)
    good = finite_number("good", good)
    if good > excellent:
        raise ValueError(f"good must not be above excellent, got {good!r} and {excellent!r}")
    scores = value_array("iou", iou).array
    missing = np.isnan(scores)
    if missing.any():
        where = tuple(map(int, np.unravel_index(int(missing.argmax()), missing.shape)))
        place = f" at {where[0] if len(where) == 1 else where}" if where else ""
        raise ValueError(f"iou must hold numbers, got NaN{place}; a NaN is no score")
    # Scores become float64 whatever came, so that the cuts are not rounded to their dtype.
    scores = scores.astype(np.float64)
    words = np.where(scores > excellent, "excellent", np.where(scores > good, "good", "poor"))
    words = words.astype("<U9")
    return words if words.ndim else str(words)
