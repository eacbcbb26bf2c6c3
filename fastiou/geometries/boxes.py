"""Axis-aligned boxes: how they are read and prepared.

Here a box is judged: infinite, missing (NaN), or too large or too small for the arithmetic of its
dtype.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastiou.arrays.checks import refuse_infinite
from fastiou.arrays.inputs import Input, real_input, result_dtype
from fastiou.geometries.box_columns import (
    FILL,
    LANES,
    LAYOUTS,
    blocks_of,
    limits,
    load_box,
    overlap,
    overlap_and_hull,
    overlap_hull_and_aspects,
    small_filler,
)
from fastiou.geometries.table import FORMATS
from fastiou.geometry import PADDING, Columns, Geometry, Small
from fastiou.metrics import Metric, Need
from fastiou.runtime import chunks, memory, steps, threads
from fastiou.runtime.vectors import CACHE_LINE
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = [
    "BOX",
    "EXACT_SPAN",
    "area_of_sides",
    "block_steps",
    "empty_columns",
    "exact_floats",
    "fill_within_limits",
    "read_boxes",
]


FLOAT64 = np.dtype(np.float64)

#: Largest span of integer coordinates whose sums and differences are all exact in float64.
EXACT_SPAN = 2**52

#: How many scores take as long as preparing one box.
SCORES_PER_BOX = 3

#: What `fill_within_limits` takes.
Fill = Callable[[list[Array], np.dtype[Any]], tuple[list[Columns], float, float]]

# Rows of a box's data.
AREA, ASPECT, CENTRE_X = range(3)


# ---- arguments ---------------------------------------------------------------------------------


def read_boxes(name: str, value: Any, fmt: str, *, batches: bool, points: int = 0) -> Input:
    """An argument of boxes of any kind: an array (..., N, numbers), or (N, numbers) alone.

    Where a member is made of `points`, also an array (..., N, points, 2).

    Raises
    ------
    TypeError
        Not real numbers, or a tensor that requires grad.
    ValueError
        Another shape.
    """
    row = FORMATS[fmt]
    numbers, geometry = row.formats[fmt], row.load()
    if name == "b" and isinstance(value, int | float):
        raise TypeError(
            f"b must be {geometry.plural}, got {described(value)}; if it is the threshold, pass "
            f"threshold={described(value)}"
        )
    given = real_input(name, value)
    array = given.held
    if array.shape == (0,):  # an empty list is an empty set of boxes
        array = array.reshape(0, numbers)
    if points and array.ndim > 2 and array.shape[-2:] == (points, 2):
        array = array.reshape(*array.shape[:-2], numbers)
    if array.ndim < 2 or array.shape[-1] != numbers:
        hint = ""
        if array.shape in ((numbers,), (points, 2)):
            hint = f"; one {geometry.name} has shape (1, {numbers})"
        elif array.ndim >= 2 and numbers < array.shape[-1] <= numbers + 3:
            columns = "..., " if array.ndim > 2 else ":, "
            some = f"{name}.iloc" if hasattr(value, "iloc") else name
            hint = (
                f"; where scores or classes follow the numbers of a {geometry.name}, pass "
                f"{some}[{columns}:{numbers}]"
            )
        accepted = f"(..., N, {numbers})" if batches else f"(N, {numbers})"
        if points:
            accepted += f" or {accepted[:-2]}{points}, 2)"
        raise ValueError(f"{name} must have the shape {accepted}, got {array.shape}{hint}")
    if array.ndim > 2 and not batches:
        raise ValueError(
            f"{name} must have the shape (N, {numbers}), got {array.shape}; tell batches apart by "
            "groups, and pass masks that are 4 wide as Masks"
        )
    # Not by `_replace`, which takes 1.3 µs.
    return Input(name, array, array, given.wrap, given.library, given.gpu, geometry, fmt)


# ---- columns -----------------------------------------------------------------------------------


def area_of_sides(fmt: str, metric: Metric, dtype: np.dtype[Any]) -> bool:
    """Whether areas are width × height, and not those of the corners: the two round differently.

    It is COCO's own arithmetic, bit for bit, where its users come with its format and precision.
    """
    return fmt == "xywh" and metric.name == "iou" and dtype == FLOAT64


def _small_layout(fmt: str, metric: Metric, dtype: np.dtype[Any]) -> int | None:
    if metric.name == "ciou":  # whose angles are not prepared in kernels
        return None
    return LAYOUTS[fmt] + (3 if area_of_sides(fmt, metric, dtype) else 0)


def _prepare(
    given1: Input, given2: Input, metric: Metric, order: Array | None = None, phase: int = 0
) -> tuple[Columns, Columns]:
    """Columns of two sets of boxes that are to be compared (see `Geometry.prepare`).

    Raises
    ------
    ValueError
        A coordinate is infinite, or integers lie too far apart.
    """
    dtype, fmt = result_dtype(given1, given2), given1.fmt
    givens = [given1] if given2.array is given1.array else [given1, given2]
    sets = [given.array.reshape(-1, 4) for given in givens]
    if order is not None:
        sets = [chunks.taken(boxes, order) for boxes in sets]
    if all(boxes.dtype.kind in "biu" for boxes in sets):
        floats = exact_floats(sets, fmt)
        if floats is None:
            columns = _integer_columns(sets, fmt, phase)
            return columns[0], columns[-1]
        sets = floats

    fill = functools.partial(_fill, fmt=fmt, metric=metric, phase=phase, givens=givens)
    columns = fill_within_limits(sets, dtype, fill)
    return columns[0], columns[-1]


def fill_within_limits(
    sets: list[Array],
    dtype: np.dtype[Any],
    fill: Fill,
    coordinates: slice = slice(None),
    dimensions: int = 2,
) -> list[Columns]:
    """Columns of one or two sets of float boxes, computed so that no product of sides goes wrong.

    Parameters
    ----------
    sets
        Arrays (n, numbers).
    dtype
        That of the columns, unless they do not fit in float32.
    fill
        `(sets, dtype) -> columns, largest coordinate, smallest area`.
    coordinates
        Which of the numbers are lengths, and are magnified where float64 needs that.
    dimensions
        How many lengths are multiplied to what members share.
    """
    columns, largest, smallest = fill(sets, dtype)
    limit_largest, limit_smallest = limits(dtype, dimensions)
    if largest <= limit_largest and smallest >= limit_smallest:
        return columns
    exponent = 0
    if dtype == FLOAT64:
        # A power of two takes the largest coordinate to the limit, and rounds nothing.
        lengths = [boxes[:, coordinates] for boxes in sets]
        highest = max(float(np.nanmax(np.abs(some), initial=0.0)) for some in lengths)
        exponent = math.frexp(limit_largest)[1] - math.frexp(highest)[1] - 2
        sets = [boxes.astype(FLOAT64) for boxes in sets]
        for boxes in sets:
            np.ldexp(boxes[:, coordinates], exponent, out=boxes[:, coordinates])
    columns, _, _ = fill(sets, FLOAT64)
    return [some._replace(exponent=dimensions * exponent) for some in columns]


def block_steps(blocks: int, scores: int) -> Iterable[tuple[int, int, int]]:
    """Cut blocks into steps, as `steps.ranges`, where `scores`, the work of all, takes long."""
    if scores < steps.STEP:
        return ((0, blocks, scores),)
    return steps.ranges(blocks, scores / blocks)


def _fill(
    sets: list[Array],
    dtype: np.dtype[Any],
    *,
    fmt: str,
    metric: Metric,
    phase: int,
    givens: Sequence[Input],
) -> tuple[list[Columns], float, float]:
    """Columns of one or two sets of float boxes, their largest corner and their smallest area."""
    with_hulls = not metric.is_ratio
    # The one kind of array that kernels are compiled for.
    sets = [np.require(boxes, dtype, ["C", "A", "W"]) for boxes in sets]
    columns = [empty_columns(len(boxes), dtype, phase) for boxes in sets]
    blocks = [blocks_of(len(boxes)) for boxes in sets]
    findings = np.empty((sum(blocks), 4))
    scores = SCORES_PER_BOX * sum(map(len, sets))
    any_odd, largest, smallest, uneven = False, 0.0, math.inf, False
    for first, last, work in block_steps(len(findings), scores):
        odd, most, least, differ = threads.run(
            FILL, work, sets[0], sets[-1], LAYOUTS[fmt], area_of_sides(fmt, metric, dtype),
            with_hulls, columns[0], columns[-1], blocks[0], findings, first, last,
        )  # fmt: skip
        any_odd, uneven = any_odd or odd, uneven or differ
        largest, smallest = max(largest, most), min(smallest, least)
    missing: list[Array | None] = [None] * len(sets)
    if any_odd:
        for number, (boxes, given) in enumerate(zip(sets, givens, strict=True)):
            refuse_infinite(given)
            # The four flags of a box are one number: to reduce rows of four takes 15 times as long.
            is_missing = np.isnan(boxes).view(np.uint32).reshape(-1) != 0
            missing[number] = is_missing if is_missing.any() else None
    if metric.name == "ciou":
        # NumPy's, since compiled arctangents differ from it in the last bit.
        for boxes, (left, top, right, bottom, _, aspect, _, _) in zip(sets, columns, strict=True):
            count = len(boxes)
            aspect[count:] = 0
            with np.errstate(over="ignore"):  # of what is prepared again in a wider type
                aspect[:count] = np.arctan2((right - left)[:count], (bottom - top)[:count])
    # Of the data, a ratio metric reads areas alone.
    data_rows = 4 if with_hulls else 1
    filled = [
        Columns(eight[:4], eight[4:], data_rows, some_missing, fills_bounds=not uneven)
        for eight, some_missing in zip(columns, missing, strict=True)
    ]
    return filled, largest, smallest


def empty_columns(count: int, dtype: np.dtype[Any], phase: int, rows: int = 8) -> Array:
    """Rows for bounds and data, of `count` and a padding.

    Each row begins `phase` bytes past a cache line.
    """
    length = -(-(count + PADDING) // LANES) * LANES
    size = rows * length * dtype.itemsize
    buffer = memory.scratch(size + CACHE_LINE)
    start = (phase - buffer.ctypes.data) % CACHE_LINE
    return buffer[start : start + size].view(dtype).reshape(rows, length)


# ---- integers ----------------------------------------------------------------------------------


#: Formats that have both ends of a member along each axis, and neither a centre nor sizes.
WITH_CORNERS = ("xyxy", "xyzxyz", "xx")


def exact_floats(sets: list[Array], layout: str, dimensions: int = 2) -> list[Array] | None:
    """Integer boxes as float64 about a common origin, None where that would round."""
    if all(map(_fit_32_bits, sets)):
        return [chunks.copied(boxes, FLOAT64) for boxes in sets]
    filled = [boxes for boxes in sets if len(boxes)]
    has_corners = layout in WITH_CORNERS
    results = [np.empty(boxes.shape) if has_corners else boxes.astype(np.float64) for boxes in sets]
    for axis in range(dimensions):
        # The columns that are positions and move with the origin.
        positions = (axis, axis + dimensions) if has_corners else (axis,)
        low = min(int(boxes[:, column].min()) for boxes in filled for column in positions)
        span = max(int(boxes[:, column].max()) for boxes in filled for column in positions) - low
        if not has_corners:
            sizes = [boxes[:, axis + dimensions] for boxes in filled]
            span += 2 * max(max(abs(int(size.min())), abs(int(size.max()))) for size in sizes)
        if span >= EXACT_SPAN:
            return None
        for boxes, result in zip(sets, results, strict=True):
            for column in positions:
                # Modulo 2^64, so that the difference is right whatever the integer type.
                moved = boxes[:, column].astype(np.uint64) - np.uint64(low % 2**64)
                result[:, column] = moved
    return results


def _fit_32_bits(integers: Array) -> bool:
    """Whether all integers of an array are such as a type of 32 bits holds."""
    if integers.dtype.itemsize < 8 or not len(integers):
        return True
    low, high = chunks.extremes(integers)
    return low >= -(2**31) and high < 2**32


def _integer_columns(sets: list[Array], fmt: str, phase: int) -> list[Columns]:
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
    empty = [empty_columns(len(boxes), FLOAT64, phase) for boxes in sets]
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
        # Centres of integers are taken from their corners; see `box_columns.offset`.
        filled[CENTRE_X:] = 0
        columns.append(Columns(corners, measures, 4, exponent=2 * exponent, fills_bounds=True))
    return columns


# ---- formats -----------------------------------------------------------------------------------


def _convert(array: Array, in_fmt: str, out_fmt: str) -> Array:
    """Boxes (..., 4) in another format: a new array, of float64 for integers."""
    kind, width = array.dtype.kind, array.dtype.itemsize
    dtype = array.dtype.newbyteorder("=") if kind == "f" else FLOAT64
    # A copy in any case: 64-bit integers as Python's, whose differences are exact, and float16 in
    # float32, since the sum of two corners can overflow it.
    exact = np.dtype(object) if kind in "iu" and width == 8 else dtype
    boxes: Array = np.array(array, np.float32 if width == 2 and kind == "f" else exact)
    a, b, c, d = np.moveaxis(boxes, -1, 0)
    with np.errstate(over="ignore"):
        if in_fmt != out_fmt:
            if in_fmt == "xywh":
                c, d = a + c, b + d
            elif in_fmt == "cxcywh":
                a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
            if out_fmt == "xywh":
                c, d = c - a, d - b
            elif out_fmt == "cxcywh":
                a, b, c, d = _middle(a, c), _middle(b, d), c - a, d - b
        converted: Array = np.stack([a, b, c, d], axis=-1).astype(dtype)
    return converted


def _middle(low: Array, high: Array) -> Array:
    # Halves do not overflow where a sum would; integers have no such limit.
    middle: Array = (low + high) / 2 if low.dtype == object else low / 2 + high / 2
    return middle


GEOMETRY = BOX = Geometry(
    "box",
    "boxes",
    read=read_boxes,
    prepare=_prepare,
    load=load_box,
    measures={
        Need.OVERLAP: overlap,
        Need.HULL: overlap_and_hull,
        Need.ASPECTS: overlap_hull_and_aspects,
    },
    convert=_convert,
    load_four="fastiou.geometries.gpu_boxes:load_four_boxes",
    is_its_bounds=True,
    small=Small(
        4,
        _small_layout,
        lambda metric: small_filler(not metric.is_ratio),
        limits,
        fills_bounds=lambda layout: layout < len(LAYOUTS),
    ),
)
