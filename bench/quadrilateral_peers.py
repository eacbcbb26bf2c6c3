"""Quadrilaterals: what is timed, and how shapely does it.

shapely clips any polygons in one vectorised call. Polygons and trees are made within the time,
since fastiou prepares its quadrilaterals within the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.box_peers import Scene, by_row
from bench.contenders import Array, Call, Contender, Workload, read_and_fill_bound

__all__ = ["QUADRILATERAL_WORKLOADS"]

FORMAT = "xyxyxyxy"

PAIR_THRESHOLD = 0.1


# ---- scenes ------------------------------------------------------------------------------------


def _around(rng: np.random.Generator, centres: Array, least: float) -> Array:
    """A corner in each quarter around centres (n, 2), `least` to 1 times 30 units from them.

    So edges never cross. Where `least` is 0.8, all are convex.
    """
    angles = (np.arange(4) + rng.uniform(0.2, 0.8, (len(centres), 4))) * np.pi / 2
    reach = 30 * rng.uniform(least, 1, (len(centres), 4, 1))
    corners = centres[:, None] + reach * np.stack([np.cos(angles), np.sin(angles)], -1)
    return corners.astype(np.float32).astype(np.float64).reshape(-1, 8)


def heap(size: int) -> Scene:
    """Centres within 12 units: nearly every quadrilateral overlaps every other."""
    rng = np.random.default_rng(size)
    return Scene(*(_around(rng, rng.uniform(0, 12, (size, 2)), 0.2) for _ in range(2)))


def beside(size: int) -> Scene:
    """Convex ones, and one near each."""
    rng = np.random.default_rng(size)
    centres = rng.uniform(0, 1000, (size, 2))
    return Scene(
        _around(rng, centres, 0.8), _around(rng, centres + rng.normal(0, 10, (size, 2)), 0.8)
    )


def joined(size: int) -> Scene:
    """One per 1,600 square units: each meets the hulls of about one and a half others."""
    rng = np.random.default_rng(size)
    span = 40 * size**0.5
    return Scene(*(_around(rng, rng.uniform(0, span, (size, 2)), 0.2) for _ in range(2)))


# ---- fastiou and the bounds --------------------------------------------------------------------


def _fastiou(dtype: Any = np.float64, **options: Any) -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        first, second = scene.boxes1.astype(dtype), scene.boxes2.astype(dtype)
        return lambda: fastiou.box_iou(first, second, FORMAT, **options)

    return Contender(set_up)


def _fastiou_pairs() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        return lambda: fastiou.pairs(scene.boxes1, scene.boxes2, PAIR_THRESHOLD, fmt=FORMAT)

    return Contender(set_up, tuple)


def _two(scene: Scene) -> tuple[Array, Array]:
    return scene.boxes1, scene.boxes2


def _scores_bound(*, dense: bool) -> Contender:
    def outputs(scene: Scene) -> list[tuple[int, Any]]:
        count = len(scene.boxes1)
        return [(count * len(scene.boxes2) if dense else count, np.float64)]

    return read_and_fill_bound(_two, outputs)


def _pairs_bound() -> Contender:
    def outputs(scene: Scene) -> list[tuple[int, Any]]:
        found = len(_fastiou_pairs().set_up(scene)())
        return [(found, np.int64), (found, np.int64), (found, np.float64)]

    return read_and_fill_bound(_two, outputs)


# ---- shapely -----------------------------------------------------------------------------------


def _polygons(members: Array) -> Any:
    import shapely

    return shapely.polygons(members.reshape(-1, 4, 2))


def _clipped(shapes1: Any, shapes2: Any) -> Array:
    """IoU of polygon i with polygon i."""
    import shapely

    shared = shapely.area(shapely.intersection(shapes1, shapes2))
    scores: Array = shared / (shapely.area(shapes1) + shapely.area(shapes2) - shared)
    return scores


def _candidates(scene: Scene) -> tuple[Array, Array, Array]:
    """Rows, columns and IoU of all that meet."""
    import shapely

    shapes1, shapes2 = map(_polygons, _two(scene))
    rows, cols = shapely.STRtree(shapes2).query(shapes1, predicate="intersects")
    return rows, cols, _clipped(shapes1[rows], shapes2[cols])


def _shapely_dense() -> Contender:
    def set_up(scene: Scene) -> Call:
        def call() -> Array:
            scores = np.zeros((len(scene.boxes1), len(scene.boxes2)))
            rows, cols, values = _candidates(scene)
            scores[rows, cols] = values
            return scores

        return call

    return Contender(set_up, largest=300)


def _shapely_aligned() -> Contender:
    def set_up(scene: Scene) -> Call:
        return lambda: _clipped(*map(_polygons, _two(scene)))

    return Contender(set_up, largest=100_000)


def _shapely_pairs() -> Contender:
    def set_up(scene: Scene) -> Call:
        def call() -> Any:
            rows, cols, values = _candidates(scene)
            enough = values >= PAIR_THRESHOLD
            return rows[enough], cols[enough], values[enough]

        return call

    return Contender(set_up, lambda found: by_row(*found))


# ---- the table ---------------------------------------------------------------------------------

QUADRILATERAL_WORKLOADS: dict[str, Workload] = {
    "quad-dense": Workload(
        "Dense IoU of quadrilaterals of which nearly all overlap",
        "quadrilaterals per side",
        heap,
        (10, 100, 300, 1_000, 2_000),
        {
            "read and fill": _scores_bound(dense=True),
            "fastiou": _fastiou(),
            "fastiou, float32": _fastiou(np.float32),
            "shapely STRtree": _shapely_dense(),
        },
        1e-6,
        (300,),
        ("scores", lambda size: size**2),
        "Corners 6 to 30 units from centres that lie within 12 units, a third of them concave. "
        "shapely is left out from 1,000 on, where it takes over 20 s.",
    ),
    "quad-aligned": Workload(
        "Aligned IoU of quadrilaterals: i against i",
        "pairs of quadrilaterals",
        beside,
        (1_000, 10_000, 100_000, 1_000_000),
        {
            "read and fill": _scores_bound(dense=False),
            "fastiou": _fastiou(aligned=True),
            "fastiou, float32": _fastiou(np.float32, aligned=True),
            "shapely STRtree": _shapely_aligned(),
        },
        1e-6,
        (10_000,),
        ("scores", lambda size: size),
        "Convex ones, each against another about 10 units beside it. shapely needs no tree here.",
    ),
    "quad-pairs": Workload(
        "Pairs of quadrilaterals with IoU ≥ 0.1 of two sets of any size",
        "quadrilaterals per side",
        joined,
        (1_000, 10_000, 100_000),
        {
            "read and fill": _pairs_bound(),
            "fastiou": _fastiou_pairs(),
            "shapely STRtree": _shapely_pairs(),
        },
        1e-9,
        (10_000,),
        ("quadrilaterals of a side", lambda size: size),
        "One per 1,600 square units. shapely makes polygons and tree within the time, then clips "
        "all candidates in one vectorised call.",
    ),
}
