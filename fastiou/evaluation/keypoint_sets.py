"""Keypoints as columns: what is read of arguments, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastiou.arrays.inputs import real_input
from fastiou.typing import Array

__all__ = [
    "extents",
    "joined_keypoints",
    "keypoints_fault",
    "labelled_counts",
    "lacking_box",
    "read_keypoints",
]


def read_keypoints(name: str, value: Any, *, scored: bool) -> Array:
    """Keypoints as (N, K, 3); whether those of detections are labelled does not matter."""
    keypoints = real_input(name, value).array.astype(np.float64)
    if keypoints.size == 0:
        width = keypoints.shape[1] if keypoints.ndim == 3 else 0
        return np.empty((0 if keypoints.ndim < 2 else len(keypoints), width, 3))
    if keypoints.ndim == 2 and keypoints.shape[1] % 3 == 0:
        keypoints = keypoints.reshape(len(keypoints), -1, 3)
    if keypoints.ndim == 3 and keypoints.shape[2] == 2 and scored:
        keypoints = np.concatenate([keypoints, np.zeros((*keypoints.shape[:2], 1))], axis=2)
    if keypoints.ndim != 3 or keypoints.shape[2] != 3:
        also = ", (N, K, 2)" if scored else ""
        raise ValueError(
            f"{name} must have the shape (N, K, 3){also} or (N, 3 * K), got {keypoints.shape}"
        )
    finite = np.isfinite(keypoints).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(f"{name} must be finite, got another number in row {int(finite.argmin())}")
    return np.ascontiguousarray(keypoints)


def extents(keypoints: Array) -> Array:
    """The areas of boxes around all keypoints of each, (N,), as pycocotools has them of results."""
    if keypoints.size == 0:
        return np.zeros(len(keypoints))
    x, y = keypoints[..., 0], keypoints[..., 1]
    areas: Array = (x.max(axis=1) - x.min(axis=1)) * (y.max(axis=1) - y.min(axis=1))
    return areas


def lacking_box(keypoints: Array, boxes: Array | None, areas: Array) -> int | None:
    """The first row of keypoints that cannot do without a box, and has none; else None."""
    needs = ~(keypoints[..., 2] > 0).any(axis=1) | np.isnan(areas)
    lacks = needs if boxes is None else needs & np.isnan(boxes).any(axis=1)
    return int(lacks.argmax()) if lacks.any() else None


def keypoints_fault(keypoints: Array | None, sigmas: Sequence[float]) -> tuple[str, str] | None:
    """What is found and what is expected, where there are not as many keypoints as sigmas."""
    if keypoints is None or not len(keypoints) or keypoints.shape[1] == len(sigmas):
        return None
    expected = f"{len(sigmas)}, one for each of sigmas; pass sigmas for others"
    return f"{keypoints.shape[1]} keypoints of each", expected


def labelled_counts(name: str, value: Any, keypoints: Array) -> Array:
    """How many keypoints are labelled, (N,), as the argument tells, or they themselves."""
    if value is None:
        return (keypoints[..., 2] > 0).sum(axis=1)
    counts: Array = real_input(f"{name}['num_keypoints']", value).array
    if counts.shape != (len(keypoints),):
        raise ValueError(
            f"{name}['num_keypoints'] must have the shape ({len(keypoints)},), got {counts.shape}"
        )
    return counts


def joined_keypoints(name: str, parts: Sequence[Array]) -> Array:
    """Keypoints of several images as one array."""
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise ValueError(f"{name} must have as many keypoints everywhere, got {widths}")
    return np.concatenate(parts) if parts else np.empty((0, 0, 3))
