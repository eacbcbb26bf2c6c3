"""Boxes that tests share: plain, clustered, degenerate, and drawn by hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Array = npt.NDArray[Any]

METRICS = ["iou", "giou", "diou", "ciou", "iof", "ios", "dice", "intersection"]
RATIO_METRICS = ["iou", "iof", "ios", "dice"]

#: Tests of other metrics are marked slow, and relations are tested in float32 for these alone: each
#: kernel takes 1 to 5 s to compile for another metric or dtype.
USUAL_METRICS = ["iou", "giou"]
FORMATS = ["xyxy", "xywh", "cxcywh"]


def random_boxes(
    rng: np.random.Generator, count: int, dtype: Any = np.float64, span: float = 100.0
) -> Array:
    """Corners of proper boxes, about a tenth as large as their surroundings."""
    low = rng.random((count, 2)) * span
    sides = rng.random((count, 2)) * span / 5 + span / 100
    return np.concatenate([low, low + sides], axis=1).astype(dtype)


def awkward_boxes(dtype: Any = np.float64) -> Array:
    """Proper, equal, touching, nested, empty, inverted and missing boxes."""
    nan = np.nan
    return np.array(
        [
            [0, 0, 10, 10],
            [0, 0, 10, 10],
            [10, 0, 20, 10],  # touches the first
            [10, 10, 20, 20],  # touches it in a point
            [2, 3, 4, 7],  # inside
            [-5, -5, 30, 30],  # around
            [5, 5, 5, 5],  # a point
            [1, 5, 9, 5],  # a line
            [8, 2, 3, 6],  # inverted in x
            [8, 6, 3, 2],  # inverted in both
            [nan, 0, 10, 10],
            [0, 0, 10, nan],
            [nan, nan, nan, nan],
            [0.25, 0.5, 0.75, 1.5],
            [1e6, 1e6, 1e6 + 1, 1e6 + 1],
        ],
        dtype,
    )


def as_format(corners: Array, fmt: str) -> Array:
    """Corners in another format, by plain arithmetic."""
    low, high = corners[..., :2], corners[..., 2:]
    if fmt == "xywh":
        return np.concatenate([low, high - low], axis=-1)
    if fmt == "cxcywh":
        return np.concatenate([(low + high) / 2, high - low], axis=-1)
    return corners.copy()


def drawn_boxes(dtype: Any = np.float64, largest: float = 1e4) -> st.SearchStrategy[Array]:
    """Any boxes at all: few distinct coordinates make touching, empty and inverted ones common."""
    width = 8 * np.dtype(dtype).itemsize
    coordinate = st.one_of(
        st.integers(-3, 3).map(float),
        st.floats(-largest, largest, width=width),  # type: ignore[arg-type]
        st.just(float("nan")),
    )
    shape = st.integers(0, 12).map(lambda count: (count, 4))
    return hnp.arrays(dtype, shape, elements=coordinate)


#: How far scores may be from the exact ones.
TOLERANCES = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-12}


def assert_close(actual: Array, expected: Any, tolerance: float | None = None) -> None:
    """Within the tolerance of the dtype; NaN in the same places."""
    tolerance = TOLERANCES[actual.dtype] if tolerance is None else tolerance
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def assert_bits(actual: Any, expected: Array) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()
