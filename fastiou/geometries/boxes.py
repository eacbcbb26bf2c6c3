"""Boxes of any kind made ready for the kernels.

Here a box is judged: infinite, missing (NaN), or too large or too small for
the arithmetic of its dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.arrays.inputs import Input, result_dtype
from fastiou.cpu.division import moderate
from fastiou.geometries.box_columns import (
    FILL,
    LANES,
    LAYOUTS,
    PADDING,
    BoxColumns,
    blocks_of,
    limits,
)
from fastiou.metrics import METRICS
from fastiou.runtime import threads
from fastiou.runtime.vectors import CACHE_LINE

__all__ = [
    "area_of_sides",
    "prepare",
    "refuse_infinite",
    "unmagnify",
]

Array = npt.NDArray[Any]

FLOAT64 = np.dtype(np.float64)

#: Largest span of integer coordinates whose sums and differences are all exact in float64.
EXACT_SPAN = 2**52

#: How many scores take as long as preparing one box.
SCORES_PER_BOX = 3

# Row numbers in `BoxColumns.measures`.
AREA, ASPECT, CENTRE_X = range(3)


def area_of_sides(fmt: str, metric: str, dtype: np.dtype[Any]) -> bool:
    """Whether areas are width × height, and not those of the corners: the two round differently.

    It is COCO's own arithmetic, bit for bit, where its users come with its format and precision.
    """
    return fmt == "xywh" and metric == "iou" and dtype == FLOAT64


def prepare(
    given1: Input, given2: Input, fmt: str, metric: str, *, phase: int = 0
) -> tuple[BoxColumns, BoxColumns, int]:
    """Columns of two sets of boxes that are to be compared.

    Parameters
    ----------
    given1, given2
        Validated arguments of shape (..., N, 4); leading dimensions are flattened. The same array
        twice is prepared once.
    fmt
        A key of `LAYOUTS`.
    metric
        For which metric.
    phase
        How many bytes past a multiple of the cache line each column should begin.

    Returns
    -------
    tuple
        Both columns, and the exponent e of the factor 2^e by which they were magnified.

    Raises
    ------
    ValueError
        A coordinate is infinite, or integers lie too far apart.
    """
    dtype = result_dtype(given1, given2)
    givens = [given1] if given2.array is given1.array else [given1, given2]
    sets = [given.array.reshape(-1, 4) for given in givens]
    if all(boxes.dtype.kind in "biu" for boxes in sets):
        floats = _exact_floats(sets, fmt)
        if floats is None:
            columns, exponent = _integer_columns(sets, fmt, phase)
            return columns[0], columns[-1], exponent
        sets = floats

    exponent = 0
    columns, largest, smallest = _fill(sets, fmt, metric, dtype, phase, givens)
    limit_largest, limit_smallest = limits(dtype)
    if largest > limit_largest or smallest < limit_smallest:
        if dtype == FLOAT64:
            # A power of two takes the largest coordinate to the limit, and rounds nothing.
            highest = max(float(np.nanmax(np.abs(boxes), initial=0.0)) for boxes in sets)
            exponent = math.frexp(limit_largest)[1] - math.frexp(highest)[1] - 2
            sets = [np.ldexp(boxes.astype(FLOAT64), exponent) for boxes in sets]
        columns, _, _ = _fill(sets, fmt, metric, FLOAT64, phase, givens)
    return columns[0], columns[-1], exponent


def unmagnify(areas: Array, exponent: int) -> Array:
    """Take areas of columns magnified by 2^exponent back to the units of the input, in place."""
    if exponent:
        with np.errstate(over="ignore", under="ignore"):
            np.ldexp(areas, -2 * exponent, out=areas)
    return areas


def _fill(
    sets: list[Array],
    fmt: str,
    metric: str,
    dtype: np.dtype[Any],
    phase: int,
    givens: Sequence[Input],
) -> tuple[list[BoxColumns], float, float]:
    """Columns of one or two sets of float boxes, their largest corner and their smallest area."""
    is_ratio = METRICS[metric].is_ratio
    # The one kind of array that kernels are compiled for.
    sets = [np.require(boxes, dtype, ["C", "A", "W"]) for boxes in sets]
    columns = [_empty_columns(len(boxes), dtype, phase) for boxes in sets]
    blocks = [blocks_of(len(boxes)) for boxes in sets]
    any_odd, largest, smallest, least = threads.run(
        FILL,
        SCORES_PER_BOX * sum(map(len, sets)),
        sets[0],
        sets[-1],
        LAYOUTS[fmt],
        area_of_sides(fmt, metric, dtype),
        not is_ratio,
        columns[0],
        columns[-1],
        blocks[0],
        np.empty((sum(blocks), 4)),
    )
    missing: list[Array | None] = [None] * len(sets)
    if any_odd:
        for number, (boxes, given) in enumerate(zip(sets, givens, strict=True)):
            refuse_infinite(given)
            # The four flags of a box are one number: to reduce rows of four takes 15 times as long.
            is_missing = np.isnan(boxes).view(np.uint32).reshape(-1) != 0
            missing[number] = is_missing if is_missing.any() else None
    if metric == "ciou":
        # NumPy's, since compiled arctangents differ from it in the last bit.
        for boxes, (left, top, right, bottom, _, aspect, _, _) in zip(sets, columns, strict=True):
            count = len(boxes)
            aspect[count:] = 0
            with np.errstate(over="ignore"):  # of what is prepared again in a wider type
                aspect[:count] = np.arctan2((right - left)[:count], (bottom - top)[:count])
    is_moderate = dtype != FLOAT64 and moderate(largest, least)
    filled = [
        BoxColumns(eight[:4], eight[4:], some_missing, is_moderate)
        for eight, some_missing in zip(columns, missing, strict=True)
    ]
    return filled, largest, smallest


def refuse_infinite(given: Input) -> None:
    """Raise a ValueError that names the first box of an argument with an infinite coordinate."""
    infinite = np.isinf(given.source)
    if not infinite.any():
        return
    of_boxes = infinite.any(axis=-1)
    where = tuple(map(int, np.unravel_index(int(of_boxes.argmax()), of_boxes.shape)))
    row = where[0] if len(where) == 1 else where
    raise ValueError(
        f"{given.name} has an infinite coordinate in row {row}: {given.source[where].tolist()}; "
        "coordinates must be finite, or NaN for a missing box"
    )


def _empty_columns(count: int, dtype: np.dtype[Any], phase: int) -> Array:
    """Eight rows, four for corners and four for measures, of `count` and a padding.

    Each row begins `phase` bytes past a cache line.
    """
    length = -(-(count + PADDING) // LANES) * LANES
    size = 8 * length * dtype.itemsize
    buffer = np.empty(size + CACHE_LINE, np.uint8)
    start = (phase - buffer.ctypes.data) % CACHE_LINE
    return buffer[start : start + size].view(dtype).reshape(8, length)


# ---- integers ----------------------------------------------------------------------------------


def _axes(layout: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For x and for y: the columns that are positions and move with the origin."""
    return ((0, 2), (1, 3)) if layout == "xyxy" else ((0,), (1,))


def _exact_floats(sets: list[Array], layout: str) -> list[Array] | None:
    """Integer boxes as float64 about a common origin, None where that would round."""
    if all(boxes.dtype.itemsize < 8 or not len(boxes) for boxes in sets):
        return [boxes.astype(np.float64) for boxes in sets]
    filled = [boxes for boxes in sets if len(boxes)]
    results = [np.empty(boxes.shape) for boxes in sets]
    for positions in _axes(layout):
        low = min(int(boxes[:, column].min()) for boxes in filled for column in positions)
        span = max(int(boxes[:, column].max()) for boxes in filled for column in positions) - low
        if layout != "xyxy":
            sizes = [boxes[:, positions[0] + 2] for boxes in filled]
            span += 2 * max(max(abs(int(size.min())), abs(int(size.max()))) for size in sizes)
        if span >= EXACT_SPAN:
            return None
        for boxes, result in zip(sets, results, strict=True):
            for column in positions:
                # Modulo 2^64, so that the difference is right whatever the integer type.
                moved = boxes[:, column].astype(np.uint64) - np.uint64(low % 2**64)
                result[:, column] = moved
            if layout != "xyxy":
                result[:, positions[0] + 2] = boxes[:, positions[0] + 2]
    return results


def _integer_columns(sets: list[Array], fmt: str, phase: int) -> tuple[list[BoxColumns], int]:
    """Columns of integers too far apart for float64, by way of Python's integers: rare and slow."""
    exponent = 1 if fmt == "cxcywh" else 0  # doubled, so that half a width is a whole number
    edges = []
    for boxes in sets:
        a, b, c, d = boxes.astype(object).T.reshape(4, -1)
        if fmt == "xyxy":
            left, top, right, bottom = a, b, c, d
        elif fmt == "xywh":
            left, top, right, bottom = a, b, a + c, b + d
        else:
            left, top, right, bottom = 2 * a - c, 2 * b - d, 2 * a + c, 2 * b + d
        edges.append([left, top, np.maximum(left, right), np.maximum(top, bottom)])
    empty = [_empty_columns(len(boxes), FLOAT64, phase) for boxes in sets]
    for eight in empty:
        eight[:] = 0
    corner_sets = [eight[:4].view(np.int64) for eight in empty]
    for axis in (0, 1):
        ends = [edge[side] for edge in edges for side in (axis, axis + 2) if len(edge[side])]
        low, high = min(map(min, ends)), max(map(max, ends))
        if high - low >= 2**64:
            raise ValueError(
                f"integer coordinates must lie within 2**{64 - exponent} of each other "
                f"as {fmt}, got boxes from {low >> exponent} to {high >> exponent}"
            )
        for edge, corners in zip(edges, corner_sets, strict=True):
            for side in (axis, axis + 2):
                corners[side, : len(edge[side])] = edge[side] - low - 2**63
    columns = []
    for (left, top, right, bottom), corners, eight in zip(edges, corner_sets, empty, strict=True):
        width, height = (right - left).astype(np.float64), (bottom - top).astype(np.float64)
        measures = eight[4:]
        filled = measures[:, : len(left)]
        filled[AREA] = np.maximum(width * height, np.finfo(np.float64).tiny)
        filled[ASPECT] = np.arctan2(width, height)
        # Centres of integers are taken from their corners; see `metrics.offset`.
        filled[CENTRE_X:] = 0
        columns.append(BoxColumns(corners, measures, None))
    return columns, exponent
