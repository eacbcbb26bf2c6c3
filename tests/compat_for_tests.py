"""Random boxes for the tests of shims."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

#: How many random cases a thorough test has.
MANY = 100_000

Array = np.ndarray[Any, np.dtype[Any]]


def boxes_of(rng: np.random.Generator, dtype: str = "float32", most: int = 7) -> Array:
    """Up to so many boxes, of whole numbers or not, some of which touch, repeat or are empty."""
    count = int(rng.integers(0, most + 1))
    side = float(rng.choice([8, 60, 500]))
    corners, sizes = rng.uniform(0, side, (2, count, 2))
    boxes = np.hstack([corners, corners + sizes / 2 + 0.5])
    if rng.random() < 0.5 or not dtype.startswith("float"):
        boxes = np.round(boxes)
    if count > 1 and rng.random() < 0.3:
        boxes[1] = boxes[0]
    if count and rng.random() < 0.15:
        boxes[0, 2 + rng.integers(0, 2)] = boxes[0, rng.integers(0, 2)]
        boxes[0, 2:] = np.maximum(boxes[0, :2], boxes[0, 2:])
    return boxes.astype(dtype)


def scores_of(rng: np.random.Generator, count: int, dtype: str = "float32") -> Array:
    """Scores of which some are equal."""
    return (rng.integers(0, 12, count) / 12 if rng.random() < 0.5 else rng.random(count)).astype(
        dtype
    )


def signature_of(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    """Names of arguments in their order, and the defaults of those that have one."""
    return [
        (parameter.name, parameter.default)
        for parameter in inspect.signature(function).parameters.values()
    ]
