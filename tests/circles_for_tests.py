"""Circles as a geometry outside the package, in one file: x, y and radius of each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.arrays.inputs import Input, result_dtype
from fastiou.geometries.boxes import read_boxes
from fastiou.geometry import PADDING, Columns, Geometry
from fastiou.metrics import Metric, Need


def prepare(set1: Input, set2: Input, metric: Metric, order: Any = None, phase: int = 0) -> Any:
    dtype = result_dtype(set1, set2)
    columns = []
    for given in {id(given.array): given for given in (set1, set2)}.values():
        x, y, radius = given.array.reshape(-1, 3)[slice(None) if order is None else order].T
        missing = np.isnan(x + y + radius)
        x, y, radius = (np.where(missing, 0, part) for part in (x, y, np.maximum(radius, 0)))
        bounds = np.zeros((4, len(x) + PADDING), dtype)
        bounds[:, : len(x)] = x - radius, y - radius, x + radius, y + radius
        data = np.full((4, len(x) + PADDING), np.finfo(dtype).tiny, dtype)
        data[:3, : len(x)] = x, y, radius
        data[3, : len(x)] = np.maximum(np.pi * radius**2, np.finfo(dtype).tiny)
        columns.append(Columns(bounds, data, 4, missing if missing.any() else None))
    return columns[0], columns[-1]


@register_jitable
def load(bounds: Any, data: Any, i: int) -> Any:
    box = bounds[0, i], bounds[1, i], bounds[2, i], bounds[3, i]
    return (*box, data[0, i], data[1, i], data[2, i], data[3, i])


@register_jitable
def lens(circle1: Any, circle2: Any) -> Any:
    _, _, _, _, x1, y1, r1, area1 = circle1
    _, _, _, _, x2, y2, r2, area2 = circle2
    d = math.hypot(x2 - x1, y2 - y1)
    shared = 0.0
    if d <= abs(r1 - r2):
        shared = min(area1, area2) if min(r1, r2) > 0 else 0.0
    elif d < r1 + r2:
        angle1 = 2 * math.acos((d * d + r1 * r1 - r2 * r2) / (2 * d * r1))
        angle2 = 2 * math.acos((d * d + r2 * r2 - r1 * r1) / (2 * d * r2))
        shared = (r1 * r1 * (angle1 - math.sin(angle1)) + r2 * r2 * (angle2 - math.sin(angle2))) / 2
    return shared, area1, area2


GEOMETRY = Geometry("circle", "circles", read_boxes, prepare, load, {Need.OVERLAP: lens})
