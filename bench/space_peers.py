"""Intervals and boxes in space: what is timed, and how ncls and shapely do it.

ncls finds which intervals overlap, by nested containment lists. It takes whole numbers, and is
built within the time. shapely clips what of boxes is seen from above.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.box_peers import Scene, by_row
from bench.contenders import Array, Call, Contender, Workload, read_and_fill_bound

__all__ = ["SPACE_WORKLOADS"]

PAIR_THRESHOLD = 0.1

#: Seen from above, boxes with yaw are rotated ones of this format.
ABOVE = [0, 1, 3, 4, 6]


# ---- scenes ------------------------------------------------------------------------------------


def _intervals(rng: np.random.Generator, size: int) -> Array:
    starts = rng.integers(0, 10 * size, size)
    return np.column_stack([starts, starts + rng.integers(5, 40, size)])


def events(size: int) -> Scene:
    """Whole numbers of 5 to 39 long, one in ten units: each overlaps about four others."""
    rng = np.random.default_rng(size)
    return Scene(*(_intervals(rng, size) for _ in range(2)))


def beside(size: int) -> Scene:
    """Boxes as large as cars, and one near each, at any yaw."""
    rng = np.random.default_rng(size)
    places = np.column_stack([rng.uniform(0, 80, (size, 2)), rng.uniform(-1, 1, size)])
    sizes = rng.uniform([3, 1.5, 1.4], [5, 2.2, 2], (size, 3))
    first = np.column_stack([places, sizes, rng.uniform(-3.1, 3.1, size)])
    return Scene(first, first + rng.normal(0, [0.5, 0.5, 0.2, 0.1, 0.1, 0.1, 0.3], (size, 7)))


# ---- intervals ---------------------------------------------------------------------------------


def _fastiou_pairs() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        return lambda: fastiou.pairs(scene.boxes1, scene.boxes2, PAIR_THRESHOLD, fmt="xx")

    return Contender(set_up, tuple)


def _pairs_bound() -> Contender:
    def outputs(scene: Scene) -> list[tuple[int, Any]]:
        found = len(_fastiou_pairs().set_up(scene)())
        return [(found, np.int64), (found, np.int64), (found, np.float64)]

    return read_and_fill_bound(lambda scene: (scene.boxes1, scene.boxes2), outputs)


def _ncls_pairs() -> Contender:
    def set_up(scene: Scene) -> Call:
        from ncls import NCLS

        (starts1, ends1), (starts2, ends2) = (
            (np.ascontiguousarray(column) for column in some.T)
            for some in (scene.boxes1, scene.boxes2)
        )
        numbers = np.arange(len(starts1))

        def call() -> Any:
            lists = NCLS(starts2, ends2, np.arange(len(starts2)))
            rows, cols = lists.all_overlaps_both(starts1, ends1, numbers)
            shared = np.minimum(ends1[rows], ends2[cols]) - np.maximum(starts1[rows], starts2[cols])
            lengths = (ends1 - starts1)[rows] + (ends2 - starts2)[cols]
            values = shared / (lengths - shared)
            enough = values >= PAIR_THRESHOLD
            return rows[enough], cols[enough], values[enough]

        return call

    return Contender(set_up, lambda found: by_row(*found))


# ---- boxes with yaw ----------------------------------------------------------------------------


def _fastiou_aligned(dtype: Any = np.float64) -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        first, second = scene.boxes1.astype(dtype), scene.boxes2.astype(dtype)
        return lambda: fastiou.box_iou(first, second, "xyzwhdr", aligned=True)

    return Contender(set_up)


def _shapely_aligned() -> Contender:
    def set_up(scene: Scene) -> Call:
        import shapely

        import fastiou

        def outlines(boxes: Array) -> Any:
            above = np.ascontiguousarray(boxes[:, ABOVE])
            corners = fastiou.box_convert(above, "cxcywhr-rad-cw", "xyxyxyxy")
            return shapely.polygons(corners.reshape(-1, 4, 2))

        def call() -> Array:
            a, b = scene.boxes1, scene.boxes2
            areas = shapely.area(shapely.intersection(outlines(a), outlines(b)))
            low = np.maximum(a[:, 2] - a[:, 5] / 2, b[:, 2] - b[:, 5] / 2)
            high = np.minimum(a[:, 2] + a[:, 5] / 2, b[:, 2] + b[:, 5] / 2)
            shared = areas * np.maximum(high - low, 0)
            volumes = a[:, 3:6].prod(axis=1) + b[:, 3:6].prod(axis=1)
            scores: Array = shared / (volumes - shared)
            return scores

        return call

    return Contender(set_up, largest=100_000)


def _scores_bound() -> Contender:
    return read_and_fill_bound(
        lambda scene: (scene.boxes1, scene.boxes2), lambda scene: [(len(scene.boxes1), np.float64)]
    )


# ---- the table ---------------------------------------------------------------------------------

SPACE_WORKLOADS: dict[str, Workload] = {
    "interval-pairs": Workload(
        "Pairs of intervals with IoU ≥ 0.1 of two sets of any size",
        "intervals per side",
        events,
        (1_000, 10_000, 100_000, 1_000_000),
        {
            "read and fill": _pairs_bound(),
            "fastiou": _fastiou_pairs(),
            "ncls": _ncls_pairs(),
        },
        1e-12,
        (10_000,),
        ("intervals of a side", lambda size: size),
        "Whole numbers, each overlaps about four others. ncls is built and asked for all overlaps, "
        "and IoU is computed in NumPy.",
    ),
    "yawed-aligned": Workload(
        "Aligned IoU of 3-D boxes with yaw: i against i",
        "pairs of boxes",
        beside,
        (1_000, 10_000, 100_000, 1_000_000),
        {
            "read and fill": _scores_bound(),
            "fastiou": _fastiou_aligned(),
            "fastiou, float32": _fastiou_aligned(np.float32),
            "shapely STRtree": _shapely_aligned(),
        },
        1e-5,
        (10_000,),
        ("scores", lambda size: size),
        "Boxes as large as cars, each against one near it. shapely clips what is seen from above, "
        "and needs no tree here.",
    ),
}
