"""Polygons: what is timed, and how shapely does it.

Corners are arrays at first. Sets, polygons and trees are made of them within the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bench.box_peers import by_row
from bench.contenders import Array, Call, Contender, Workload, read_and_fill_bound

__all__ = ["POLYGON_WORKLOADS"]

PAIR_THRESHOLD = 0.1


class Outlines(NamedTuple):
    """Corners of all polygons in a row, (P, 2), and where those of each begin, of two sets."""

    points1: Array
    offsets1: Array
    points2: Array
    offsets2: Array


def _outlines(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Polygons of 8 to 40 corners 10 to 30 units from their middles, one per 1,600 square units.

    A corner lies in each of as many equal sectors, so that edges never cross.
    """
    numbers = rng.integers(8, 41, size)
    offsets = np.concatenate([[0], np.cumsum(numbers)])
    sectors = np.arange(offsets[-1]) - np.repeat(offsets[:-1], numbers)
    angles = (sectors + 0.9 * rng.random(offsets[-1])) * 2 * np.pi / np.repeat(numbers, numbers)
    reach = rng.uniform(10, 30, (offsets[-1], 1))
    middles = np.repeat(rng.uniform(0, 40 * size**0.5, (size, 2)), numbers, axis=0)
    return middles + reach * np.stack([np.cos(angles), np.sin(angles)], -1), offsets


def joined(size: int) -> Outlines:
    """Each meets about two others."""
    rng = np.random.default_rng(size)
    return Outlines(*_outlines(rng, size), *_outlines(rng, size))


def _fastiou_pairs() -> Contender:
    def set_up(scene: Outlines) -> Call:
        import fastiou

        def call() -> Any:
            first = fastiou.Polygons.from_flat(scene.points1, scene.offsets1)
            second = fastiou.Polygons.from_flat(scene.points2, scene.offsets2)
            return fastiou.pairs(first, second, PAIR_THRESHOLD)

        return call

    return Contender(set_up, tuple)


def _pairs_bound() -> Contender:
    def outputs(scene: Outlines) -> list[tuple[int, Any]]:
        found = len(_fastiou_pairs().set_up(scene)())
        return [(found, np.int64), (found, np.int64), (found, np.float64)]

    return read_and_fill_bound(lambda scene: (scene.points1, scene.points2), outputs)


def _shapely_pairs() -> Contender:
    def set_up(scene: Outlines) -> Call:
        import shapely

        kind = shapely.GeometryType.POLYGON
        rings1, rings2 = (np.arange(len(scene[k])) for k in (1, 3))

        def call() -> Any:
            shapes1 = shapely.from_ragged_array(kind, scene.points1, (scene.offsets1, rings1))
            shapes2 = shapely.from_ragged_array(kind, scene.points2, (scene.offsets2, rings2))
            rows, cols = shapely.STRtree(shapes2).query(shapes1, predicate="intersects")
            shared = shapely.area(shapely.intersection(shapes1[rows], shapes2[cols]))
            areas = shapely.area(shapes1)[rows] + shapely.area(shapes2)[cols]
            values = shared / (areas - shared)
            enough = values >= PAIR_THRESHOLD
            return rows[enough], cols[enough], values[enough]

        return call

    return Contender(set_up, lambda found: by_row(*found))


POLYGON_WORKLOADS: dict[str, Workload] = {
    "polygon-pairs": Workload(
        "Pairs of polygons of 8 to 40 corners with IoU ≥ 0.1 of two sets of any size",
        "polygons per side",
        joined,
        (1_000, 10_000, 100_000),
        {
            "read and fill": _pairs_bound(),
            "fastiou": _fastiou_pairs(),
            "shapely STRtree": _shapely_pairs(),
        },
        1e-9,
        (10_000,),
        ("polygons of a side", lambda size: size),
        "One per 1,600 square units. Both make their polygons of corners in a row within the time; "
        "shapely makes a tree, too, then clips all candidates in one vectorised call.",
        ("Polygons",),
    ),
}
