"""Plain NumPy arrays of boxes without a detour, a few of them in one call of a kernel.

It prepares and scores them: all else about a call of 10 × 10 boxes would take longer than their
scores.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastiou.cpu.dense import BLOCK_ROWS, TILE_BYTES, tile_filler
from fastiou.geometries.box_columns import LANES, LAYOUTS, fill_columns, limits
from fastiou.geometries.boxes import BOX, area_of_sides
from fastiou.metrics import METRICS, Metric, Need, larger, smaller
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.threads import PARALLEL_FROM
from fastiou.typing import Array

__all__ = ["plain_scores", "small_kernel"]


LIMITS32, LIMITS64 = limits(np.dtype(np.float32)), limits(np.dtype(np.float64))


@functools.cache
def small_kernel(metric: Metric) -> Kernel:
    """Make the kernel of a metric. Not for ciou, whose angles are not prepared in kernels."""
    fill_tile = tile_filler(BOX, metric)
    with_hulls = metric.needs is Need.HULL

    def small(
        boxes1: Array, boxes2: Array, layout: int, area_of_sides: bool, scores: Array
    ) -> bool:
        """Score boxes (n, 4) and (m, 4) into (n, m), all of one type, and tell whether it could.

        False where a coordinate is NaN or infinite, or out of the limits. Then no score is written.
        """
        count1, count2 = scores.shape
        limit_largest, limit_smallest = LIMITS32 if scores.itemsize == 4 else LIMITS64
        length1 = (count1 + LANES - 1) // LANES * LANES
        length2 = (count2 + LANES - 1) // LANES * LANES
        columns1 = np.empty((8, length1), scores.dtype)
        columns2 = np.empty((8, length2), scores.dtype)
        odd1, largest1, smallest1, _ = fill_columns(
            boxes1, 0, length1, layout, area_of_sides, with_hulls, columns1
        )
        odd2, largest2, smallest2, _ = fill_columns(
            boxes2, 0, length2, layout, area_of_sides, with_hulls, columns2
        )
        if (
            odd1
            or odd2
            or larger(largest1, largest2) > limit_largest
            or smaller(smallest1, smallest2) < limit_smallest
        ):
            return False
        for down in range((count1 + BLOCK_ROWS - 1) // BLOCK_ROWS):
            for across in range((count2 * scores.itemsize + TILE_BYTES - 1) // TILE_BYTES):
                fill_tile(
                    columns1[:4], columns1[4:], columns2[:4], columns2[4:], 0, 0, scores, False,
                    down, across,
                )  # fmt: skip
        return True

    return Kernel(small, f"small-{metric.name}")


# Kernel, layout number and `area_of_sides`, by what a call says of them.
_known: dict[tuple[str, str, np.dtype[Any]], tuple[Callable[..., Any], int, bool]] = {}


def plain_scores(
    boxes1: Array, boxes2: Array, fmt: str, metric: str, out: Any, fill: Callable[..., Any]
) -> Any:
    """Dense scores of plain NumPy arrays without a detour; None where one has to be made.

    Many are left to `fill(boxes1, boxes2, fmt, metric, out)`. With what a call for lists, tensors
    and options passes through, 320 × 320 into `out` took 29 µs longer than 49.
    """
    dtype = boxes1.dtype
    if (
        dtype is not boxes2.dtype
        or boxes1.ndim != 2
        or boxes2.ndim != 2
        or boxes1.shape[1] != 4
        or boxes2.shape[1] != 4
        or not boxes1.flags.carray
        or not boxes2.flags.carray
    ):
        return None
    try:
        kernel, layout, by_sides = _known[metric, fmt, dtype]
    except (KeyError, TypeError):
        if not (
            isinstance(metric, str)
            and isinstance(fmt, str)
            and metric in METRICS
            and metric != "ciou"
            and fmt in LAYOUTS
            and dtype in (np.float32, np.float64)
        ):
            return None
        kernel = small_kernel(METRICS[metric]).serial
        layout, by_sides = LAYOUTS[fmt], area_of_sides(fmt, METRICS[metric], dtype)
        _known[metric, fmt, dtype] = kernel, layout, by_sides
    shape = len(boxes1), len(boxes2)
    if out is not None and not (
        type(out) is np.ndarray and out.dtype is dtype and out.shape == shape and out.flags.carray
    ):
        return None
    if shape[0] * shape[1] >= PARALLEL_FROM:
        return fill(boxes1, boxes2, fmt, metric, out)
    scores = np.empty(shape, dtype) if out is None else out
    return scores if kernel(boxes1, boxes2, layout, by_sides, scores) else None
