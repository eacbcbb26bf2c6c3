"""Scores of every polygon of one set against all of another, or of each against its fellow."""

from __future__ import annotations

from typing import Any

from fastiou.arrays.checks import check_choice
from fastiou.geometries.polygons.polygon_set import Polygons
from fastiou.geometries.polygons.polygons import POLYGON
from fastiou.relations.dense import score_sets

__all__ = ["polygon_iou"]


def polygon_iou(
    polygons1: Polygons,
    polygons2: Polygons,
    *,
    metric: str = "iou",
    aligned: bool = False,
    iscrowd: Any = None,
    out: Any = None,
    device: str = "auto",
) -> Any:
    """Score every polygon of one set against every polygon of another, without pixels.

    Parameters
    ----------
    polygons1, polygons2 : Polygons
        Sets of polygons (see `Polygons`).
    metric : {"iou", "iof", "ios", "dice", "intersection"}
        The score; ``docs/metrics.md`` has the formulas. "intersection" is an area in squared units
        of the input.
    aligned : bool
        Score polygon i against polygon i only.
    iscrowd : array_like of bool, shape (M,), optional
        Which of `polygons2` are crowds. Their columns hold the intersection over the area of the
        polygon in `polygons1`, whatever the metric, as COCO does.
    out : array, optional
        Where to write the result: float64, of its shape, and of any memory layout.
    device : {"auto", "cpu"}
        Polygons are scored on the CPU; there are no kernels of them for GPUs.

    Returns
    -------
    array of float64, shape (N, M), or (N,) if aligned
        A polygon with a NaN scores NaN, one without an area 0.

    Raises
    ------
    TypeError, ValueError
        Something else than Polygons, a wrong shape or option, "cuda" for the device.
    MemoryError
        The result would not fit in memory.

    Examples
    --------
    >>> import fastiou
    >>> triangle = fastiou.Polygons([[[0, 0], [4, 0], [4, 4]]])
    >>> squares = fastiou.Polygons([[[0, 0], [4, 0], [4, 4], [0, 4]], [[4, 0], [8, 0], [8, 4]]])
    >>> fastiou.polygon_iou(triangle, squares)
    array([[0.5, 0. ]])
    """
    check_choice("metric", metric, POLYGON.metrics())
    names = "polygons1", "polygons2"
    return score_sets(
        "polygon_iou", POLYGON, names, polygons1, polygons2, "", metric, aligned, iscrowd, out,
        device,
    )  # fmt: skip
