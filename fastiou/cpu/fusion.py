"""Weighted boxes fusion: clusters of boxes that overlap, each of which has a box of its own."""

from __future__ import annotations

import functools

import numpy as np
from numba.extending import register_jitable

from fastiou.cpu.scoring import chunk_scorer
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.kernel import Kernel, named
from fastiou.runtime.vectors import prefer_widest_vectors, stack_array
from fastiou.typing import Array

__all__ = ["LANES", "fusion_kernel"]

#: Boxes are prepared, and scored, so many at a time. The clusters of a group begin at multiples.
LANES = 16


@functools.cache
def fusion_kernel(geometry: Geometry, metric: Metric) -> Kernel:
    """Make the kernel that has some boxes, `first` to `last`, join clusters or begin them.

    It is `(boxes, scores, numbers, places, threshold, used, fused, sums, totals, prepared, columns,
    owners, first, last)`.
    """
    assert geometry.small is not None
    fill, load = geometry.small.fill(metric), geometry.load
    score = chunk_scorer(geometry, metric, LANES)

    # Compiled by itself, since it is long and called at two places.
    @register_jitable
    @named(f"{geometry.label}-{metric.name}")
    def prepare(boxes: Array, some: int, columns: Array) -> None:
        start = some - some % LANES
        fill(boxes, start, start + LANES, 0, columns)

    def fuse(
        boxes: Array,
        scores: Array,
        numbers: Array,
        places: Array,
        threshold: float,
        used: Array,
        fused: Array,
        sums: Array,
        totals: Array,
        prepared: Array,
        columns: Array,
        owners: Array,
        first: int,
        last: int,
    ) -> None:
        """Go on with clusters.

        Parameters
        ----------
        boxes : array of float64, shape (n, 4)
            By group, and in it by descending score.
        scores : array of float64, shape (n,)
        numbers : array of int64, shape (n,)
            The group of each.
        places : array of int64, shape (groups,)
            Where the clusters of each group begin in the arrays of clusters.
        threshold
            What a score is more than where a box joins a cluster.
        used : array of int64, shape (groups,)
            Clusters of each group: 0 at first.
        fused, sums, totals : arrays of float64, shapes (m, 4), (m, 4), (m,)
            The box of each cluster, and of what it is the mean: 0 at first.
        prepared : array of float64, shape (rows, >= n)
            Room for the columns of boxes.
        columns : array of float64, shape (rows, m)
            Those of clusters: 0 at first.
        owners : array of int64, shape (n,)
            The place of the cluster that each box belongs to.
        """
        prefer_widest_vectors()
        chunk = stack_array(columns, LANES)
        bounds, data = columns[:4], columns[4:]
        for row in range(first, last):
            if row == first or row % LANES == 0:
                prepare(boxes, row, prepared)
            member = load(prepared[:4], prepared[4:], np.uint64(row))
            place, count = places[numbers[row]], used[numbers[row]]
            owner, most = place + count, threshold
            for begin in range(0, count, LANES):
                score(member, bounds, data, place + begin, LANES, chunk)
                for j in range(min(LANES, count - begin)):
                    if chunk[j] > most:
                        owner, most = place + begin + j, chunk[j]
            if owner == place + count:
                used[numbers[row]] += 1
                for k in range(4):
                    fused[owner, k] = boxes[row, k]
            totals[owner] += scores[row]
            for k in range(4):
                sums[owner, k] += scores[row] * boxes[row, k]
                if totals[owner] > 0:
                    fused[owner, k] = sums[owner, k] / totals[owner]
            prepare(fused, owner, columns)
            owners[row] = owner

    return Kernel(fuse, f"fuse-{geometry.label}-{metric.name}")
