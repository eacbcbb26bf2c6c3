"""Polygons as a geometry: how sets of them are read, prepared, and scored against each other."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import prange

from fastiou.arrays.inputs import Input
from fastiou.cpu.scoring import CHUNK, meeting
from fastiou.geometries.polygons.overlap import (
    EDGES,
    LEAST_AREA,
    load_polygon,
    shared_area,
)
from fastiou.geometries.polygons.polygon_set import Polygons, holds_polygons, polygon_input
from fastiou.geometry import PADDING, Columns, Geometry
from fastiou.metrics import Metric, Need
from fastiou.runtime import steps, threads
from fastiou.runtime.bit_vectors import count_zeros_below, low_bits
from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["POLYGON"]

#: What a candidate takes, in scores of boxes, whose hull does not meet.
SCORES_OF_A_TEST = 2

#: What a block of edges takes against an edge.
SCORES_OF_A_BLOCK = 30


def _read(name: str, value: Any, fmt: str, *, batches: bool) -> Input:
    return polygon_input(name, value)._replace(geometry=POLYGON)


def _prepare(
    given1: Input, given2: Input, metric: Metric, order: Array | None = None, phase: int = 0
) -> tuple[Columns, Columns]:
    """Columns of two sets of polygons (see `Geometry.prepare`)."""
    set1, set2 = given1.array, given2.array
    columns1 = _columns(set1, order)
    return columns1, columns1 if set2 is set1 else _columns(set2, None)


def _columns(polygons: Polygons, order: Array | None) -> Columns:
    chosen: Any = slice(None) if order is None else order
    count = len(polygons) if order is None else len(order)
    bounds = np.zeros((7, count + PADDING))
    bounds[:4, :count] = polygons._bounds[chosen].T
    bounds[4, :count] = polygons._places[chosen]
    bounds[5, :count] = polygons._counts[chosen]
    bounds[6, :count] = polygons._areas[chosen]
    bounds[6] = np.maximum(bounds[6], LEAST_AREA)
    is_empty = bounds[5] == 0
    bounds[2:4, is_empty] = bounds[:2, is_empty]
    missing = polygons._missing[chosen]
    return Columns(bounds, polygons._blocks, 0, missing if missing.any() else None)


def _cost(columns: Columns) -> int:
    """How long a candidate takes: a quarter of the edges have a quarter of the others in common."""
    counts = columns.bounds[5, :-PADDING]
    edges = float(counts.mean()) if len(counts) else 0.0
    return SCORES_OF_A_TEST + int(SCORES_OF_A_BLOCK * edges * (1 + edges / EDGES) / 16)


# ---- dense results -----------------------------------------------------------------------------


@functools.cache
def dense_kernel(metric: Metric) -> Kernel:
    """Make the kernel of a dense result."""
    formula = metric.formula

    def dense(
        bounds1: Array,
        data1: Array,
        bounds2: Array,
        data2: Array,
        scores: Array,
        stripes: int,
        first_row: int,
        last_row: int,
        first_column: int,
        last_column: int,
    ) -> None:
        """Fill a block of scores (rows, columns)."""
        # A stripe is every so many rows, since polygons often come sorted by size.
        for stripe in prange(stripes):
            for i in range(first_row + stripe, last_row, stripes):
                member = load_polygon(bounds1, data1, i)
                row = scores[i]
                for column in range(first_column, last_column, CHUNK):
                    size = min(CHUNK, last_column - column)
                    for j in range(size):
                        row[column + j] = 0.0
                    candidates = meeting(member, bounds2, column, CHUNK) & low_bits(size)
                    while candidates:
                        j = column + np.int64(count_zeros_below(candidates))
                        candidates &= candidates - np.uint64(1)
                        row[j] = formula(*shared_area(member, load_polygon(bounds2, data2, j)))

    return Kernel(dense, f"polygons-{metric.name}", at_once=True)


def _fill_dense(
    metric: Metric, columns1: Columns, columns2: Columns, first_row: int, scores: Array
) -> None:
    """Fill scores (rows, columns), beginning with this row.

    Tiles of the general kernel have thousands of pairs, during which Ctrl-C would not be heard
    where polygons have thousands of corners.
    """
    rows, columns = scores.shape
    bounds1 = np.ascontiguousarray(columns1.bounds[:, first_row:])
    sets = bounds1, columns1.data, columns2.bounds, columns2.data
    edges1, edges2 = bounds1[5, :rows], columns2.bounds[5, :columns]
    kernel = dense_kernel(metric)
    most = _work_before(np.full(columns, edges1.max(initial=0.0)), edges2)
    for first_column, last_column, _ in steps.spans(most, equal=True):
        own = np.full(rows, edges2[first_column:last_column].sum())
        for first, last, work in steps.spans(_work_before(edges1, own, last_column - first_column)):
            threads.run(
                kernel, work, *sets, scores, threads.thread_count(), first, last, first_column,
                last_column,
            )  # fmt: skip


def _work_before(edges1: Array, edges2: Array, tests: int = 1) -> Array:
    """Scores of boxes before each of some pairs: half of all edges against a block in eight."""
    each = SCORES_OF_A_TEST * tests + SCORES_OF_A_BLOCK * edges1 * edges2 / (4 * EDGES)
    return np.concatenate([[0.0], np.cumsum(each)])


GEOMETRY = POLYGON = Geometry(
    "polygon",
    "polygons",
    read=_read,
    prepare=_prepare,
    load=load_polygon,
    measures={Need.OVERLAP: shared_area},
    recognises=holds_polygons,
    cost=_cost,
    dense=_fill_dense,
    has_lasting_sets=True,
    on_cpu_alone=True,
)
