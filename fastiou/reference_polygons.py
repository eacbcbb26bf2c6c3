"""The oracle of polygons: scores by vertical strips, in plain NumPy (see `reference`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["polygon_iou"]

Array = npt.NDArray[Any]


def polygon_iou(
    polygons1: Sequence[Sequence[npt.ArrayLike]],
    polygons2: Sequence[Sequence[npt.ArrayLike]],
    *,
    metric: str = "iou",
    dtype: Any = np.float64,
) -> Array:
    """Dense scores of polygons as `fastiou.polygon_iou` must give them, within rounding.

    Each polygon is a list of rings (k, 2), as `Polygons.to_rings` has them. Inside is what lies
    within an odd number of rings. The plane is cut wherever a corner is or two edges cross. Within
    a strip no edges cross, so that its areas are those of its middle line times its width.

    Parameters
    ----------
    dtype
        What is computed in; the result is float64.

    Examples
    --------
    >>> from fastiou import reference_polygons
    >>> square = [[[0, 0], [2, 0], [2, 2], [0, 2]]]
    >>> reference_polygons.polygon_iou([square], [square, [[[1, 0], [3, 0], [3, 2], [1, 2]]]])
    array([[1.        , 0.33333333]])
    """
    sets = [[_edges(rings, dtype) for rings in polygons] for polygons in (polygons1, polygons2)]
    result = np.zeros((len(polygons1), len(polygons2)))
    for i, one in enumerate(sets[0]):
        for j, other in enumerate(sets[1]):
            result[i, j] = _score(metric, *_areas(one, other))
    return result


def _score(metric: str, shared: Any, area1: Any, area2: Any) -> Any:
    if np.isnan(area1) or np.isnan(area2):
        return np.nan
    divisor = {
        "iou": area1 + area2 - shared,
        "iof": area1,
        "ios": min(area1, area2),
        "dice": (area1 + area2) / 2,
        "intersection": 1,
    }[metric]
    return shared / divisor if divisor else 0


def _edges(rings: Sequence[npt.ArrayLike], dtype: Any) -> Array:
    """Edges (E, 4) of a polygon that are not vertical: x and y of the left end and the right."""
    found = [np.empty((0, 4), dtype)]
    for ring in rings:
        points = np.asarray(ring, dtype)
        edges = np.concatenate([points, np.roll(points, -1, axis=0)], axis=1)
        back = edges[:, 0] > edges[:, 2]
        edges[back] = edges[back][:, [2, 3, 0, 1]]
        found.append(edges[edges[:, 0] != edges[:, 2]])  # with a NaN, too
    return np.concatenate(found)


def _at(edges: Array, x: Array) -> Array:
    """What y (E, K) edges (E, 4) have at some x (K,)."""
    x1, y1, x2, y2 = edges.T[:, :, None]
    result: Array = y1 + (x - x1) * (y2 - y1) / (x2 - x1)
    return result


def _areas(one: Array, other: Array) -> tuple[Any, Any, Any]:
    """The area that two polygons share, and their own."""
    edges = np.concatenate([one, other])
    if not len(edges) or np.isnan(edges).any():
        areas = [np.nan if np.isnan(own).any() else edges.dtype.type(0) for own in (one, other)]
        return edges.dtype.type(0), *areas
    origin = edges[0, :2].copy()
    edges = edges - np.tile(origin, 2)
    begin = np.maximum(edges[:, None, 0], edges[:, 0])
    end = np.minimum(edges[:, None, 2], edges[:, 2])
    x1, y1, x2, y2 = edges.T
    slope = (y2 - y1) / (x2 - x1)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (y1 - slope * x1)[:, None] - (y1 - slope * x1)
        crossing = -apart / (slope[:, None] - slope)
    crossing = crossing[(crossing > begin) & (crossing < end)]
    cuts = np.unique(np.concatenate([x1, x2, crossing]))
    widths, middles = np.diff(cuts), (cuts[:-1] + cuts[1:]) / 2
    active = (x1[:, None] < middles) & (x2[:, None] > middles)
    heights = np.where(active, _at(edges, middles), np.inf)
    order = np.argsort(heights, axis=0, kind="stable")
    heights = np.take_along_axis(heights, order, axis=0)
    inside = [
        np.cumsum(np.take_along_axis(active & own[:, None], order, axis=0), axis=0)[:-1] % 2 == 1
        for own in (np.arange(len(edges)) < len(one), np.arange(len(edges)) >= len(one))
    ]
    gaps = np.where(np.isfinite(heights[1:]), heights[1:], 0) - np.where(
        np.isfinite(heights[:-1]), heights[:-1], 0
    )
    parts = [inside[0] & inside[1], *inside]
    shared, area1, area2 = (((gaps * part).sum(axis=0) * widths).sum() for part in parts)
    return shared, area1, area2
