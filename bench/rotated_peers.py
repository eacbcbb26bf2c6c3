"""Rotated boxes: what is timed, and how each library does it.

The peers are powerboxes, which has rotated boxes of its own and computes in float64, and shapely,
which has polygons, a tree and exact clipping. Geometries and trees are made within the time, since
fastiou prepares its boxes within the time.

Boxes have random angles. powerboxes is wrong where edges coincide: of boxes that are compared with
themselves 15 % come back as something else than 1.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from bench.box_peers import Scene, by_row
from bench.contenders import (
    Array,
    Call,
    Contender,
    Workload,
    fill_bound,
    read_and_fill_bound,
)
from bench.join_peers import Scored

__all__ = ["FORMAT", "NMS_THRESHOLD", "PAIR_THRESHOLD", "ROTATED_WORKLOADS", "corners"]

#: Centre, sides, degrees from x towards y: as powerboxes has it.
FORMAT = "cxcywhr-cw"

#: Of the hulls of `joined` that meet, a third have this IoU.
PAIR_THRESHOLD = 0.1

NMS_THRESHOLD = 0.5


# ---- scenes ------------------------------------------------------------------------------------


def _exact_in_float32(*numbers: Array) -> Array:
    return np.hstack(numbers).astype(np.float32).astype(np.float64)


def _random_boxes(
    rng: np.random.Generator, count: int, span: float, least: float, most: float
) -> Array:
    return _exact_in_float32(
        rng.uniform(0, span, (count, 2)),
        rng.uniform(least, most, (count, 2)),
        rng.uniform(-180, 180, (count, 1)),
    )


def _two_sets(size: int, span: float, least: float, most: float) -> Scene:
    rng = np.random.default_rng(size)
    return Scene(*(_random_boxes(rng, size, span, least, most) for _ in range(2)))


def heap(size: int) -> Scene:
    """Sides of 20 to 60 units, centres within 12 units: every box overlaps every other."""
    return _two_sets(size, 12, 20, 60)


def scattered(size: int) -> Scene:
    """The same boxes on 1,000 × 1,000 units: the hulls of one pair in a hundred meet."""
    return _two_sets(size, 1000, 20, 60)


def moved(size: int) -> Scene:
    """Boxes, and each of them once more, a little moved, larger or smaller, and turned."""
    rng = np.random.default_rng(size)
    first = _random_boxes(rng, size, 1000, 5, 60)
    second = first.copy()
    second[:, :2] += rng.normal(0, 3, (size, 2))
    second[:, 2:4] *= rng.uniform(0.7, 1.4, (size, 2))
    second[:, 4] += rng.normal(0, 20, size)
    return Scene(first, _exact_in_float32(second))


def joined(size: int) -> Scene:
    """Sides of 5 to 30 units, one box per 400 square units: each meets five hulls of the others."""
    return _two_sets(size, 20 * size**0.5, 5, 30)


def detections(size: int) -> Scored:
    """Three detections of each object, with scores that are all different."""
    rng = np.random.default_rng(size)
    objects = _random_boxes(rng, -(-size // 3), 20 * size**0.5, 10, 60)
    boxes = objects[np.arange(size) % len(objects)]
    boxes[:, :2] += rng.normal(0, 2, (size, 2))
    boxes[:, 2:4] *= rng.uniform(0.9, 1.1, (size, 2))
    boxes[:, 4] += rng.normal(0, 5, size)
    scores = (rng.permutation(size) + 1) / 2.0 ** size.bit_length()
    return Scored(_exact_in_float32(boxes), scores)


# ---- fastiou and the bounds --------------------------------------------------------------------


def _fastiou(dtype: Any = np.float64, **options: Any) -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        boxes1, boxes2 = scene.boxes1.astype(dtype), scene.boxes2.astype(dtype)
        return lambda: fastiou.box_iou(boxes1, boxes2, FORMAT, **options)

    return Contender(set_up)


def _fastiou_pairs() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        return lambda: fastiou.pairs(scene.boxes1, scene.boxes2, PAIR_THRESHOLD, fmt=FORMAT)

    return Contender(set_up, tuple)


def _kept(found: Any) -> Array:
    """The set of boxes that are kept, whatever their order."""
    return np.sort(np.asarray(found).astype(np.int64))


def _fastiou_nms() -> Contender:
    def set_up(scene: Scored) -> Call:
        import fastiou

        return lambda: fastiou.nms(scene.boxes, scene.scores, NMS_THRESHOLD, fmt=FORMAT)

    return Contender(set_up, _kept)


def _fill(name: str) -> Contender:
    def shape(scene: Scene) -> tuple[int, ...]:
        return len(scene.boxes1), len(scene.boxes2)

    return fill_bound(name, shape, np.float64, fresh=True)


def _two(scene: Scene) -> tuple[Array, Array]:
    return scene.boxes1, scene.boxes2


def _aligned_bound() -> Contender:
    return read_and_fill_bound(_two, lambda scene: [(len(scene.boxes1), np.float64)])


def _pairs_bound() -> Contender:
    def outputs(scene: Scene) -> list[tuple[int, Any]]:
        found = len(_fastiou_pairs().set_up(scene)())
        return [(found, np.int64), (found, np.int64), (found, np.float64)]

    return read_and_fill_bound(_two, outputs)


def _nms_bound() -> Contender:
    def outputs(scene: Scored) -> list[tuple[int, Any]]:
        return [(len(_fastiou_nms().set_up(scene)()), np.int64)]

    return read_and_fill_bound(tuple, outputs)


# ---- powerboxes --------------------------------------------------------------------------------


def _powerboxes(function: str, largest: int | None = None) -> Contender:
    """It gives distances, 1 − IoU."""

    def set_up(scene: Scene) -> Call:
        import powerboxes

        return functools.partial(getattr(powerboxes, function), scene.boxes1, scene.boxes2)

    return Contender(set_up, lambda distances: 1 - distances, largest)


def _powerboxes_pairs(function: str, largest: int) -> Contender:
    """It has no pairs of rotated boxes: they are taken from the dense result."""

    def set_up(scene: Scene) -> Call:
        import powerboxes

        distance = getattr(powerboxes, function)

        def call() -> Any:
            scores = 1 - distance(scene.boxes1, scene.boxes2)
            rows, cols = np.nonzero(scores >= PAIR_THRESHOLD)
            return rows, cols, scores[rows, cols]

        return call

    return Contender(set_up, tuple, largest)


def _powerboxes_nms() -> Contender:
    """Its second form, `rtree_rotated_nms`, panics."""

    def set_up(scene: Scored) -> Call:
        import powerboxes

        return lambda: powerboxes.rotated_nms(scene.boxes, scene.scores, NMS_THRESHOLD, 0.0)

    return Contender(set_up, _kept)


# ---- shapely -----------------------------------------------------------------------------------


def corners(boxes: Array) -> Array:
    """The corners of boxes in `FORMAT`, shape (n, 4, 2)."""
    turns = np.radians(boxes[:, 4])
    along = np.stack([np.cos(turns), np.sin(turns)], 1) * boxes[:, 2:3] / 2
    across = np.stack([-np.sin(turns), np.cos(turns)], 1) * boxes[:, 3:4] / 2
    ways = [-along - across, along - across, along + across, across - along]
    return boxes[:, None, :2] + np.stack(ways, 1)


def _polygons(boxes: Array) -> Any:
    import shapely

    return shapely.polygons(corners(boxes))


def _clipped(shapes1: Any, shapes2: Any, boxes1: Array, boxes2: Array) -> Array:
    """IoU of polygon i with polygon i."""
    import shapely

    shared = shapely.area(shapely.intersection(shapes1, shapes2))
    areas = boxes1[:, 2] * boxes1[:, 3] + boxes2[:, 2] * boxes2[:, 3]
    scores: Array = shared / (areas - shared)
    return scores


def _candidates(boxes1: Array, boxes2: Array | None = None) -> tuple[Array, Array, Array]:
    """Rows, columns and IoU of all that meet; within one set each pair once.

    The predicate leaves out a third of the pairs whose hulls meet, and makes pairs 15 % faster.
    Threads do not help: clipping on two of them took as long as on one.
    """
    import shapely

    shapes1 = _polygons(boxes1)
    shapes2 = shapes1 if boxes2 is None else _polygons(boxes2)
    rows, cols = shapely.STRtree(shapes2).query(shapes1, predicate="intersects")
    if boxes2 is None:
        once = rows < cols
        rows, cols, boxes2 = rows[once], cols[once], boxes1
    return rows, cols, _clipped(shapes1[rows], shapes2[cols], boxes1[rows], boxes2[cols])


def _shapely_dense(largest: int) -> Contender:
    def set_up(scene: Scene) -> Call:
        def call() -> Array:
            scores = np.zeros((len(scene.boxes1), len(scene.boxes2)))
            rows, cols, values = _candidates(*_two(scene))
            scores[rows, cols] = values
            return scores

        return call

    return Contender(set_up, largest=largest)


def _shapely_aligned(largest: int) -> Contender:
    def set_up(scene: Scene) -> Call:
        boxes = _two(scene)
        return lambda: _clipped(*map(_polygons, boxes), *boxes)

    return Contender(set_up, largest=largest)


def _shapely_pairs() -> Contender:
    def set_up(scene: Scene) -> Call:
        def call() -> Any:
            rows, cols, values = _candidates(*_two(scene))
            enough = values >= PAIR_THRESHOLD
            return rows[enough], cols[enough], values[enough]

        return call

    return Contender(set_up, lambda found: by_row(*found))


def _shapely_nms() -> Contender:
    """All pairs above the threshold; then, by descending score, each suppresses its partners."""

    def set_up(scene: Scored) -> Call:
        def call() -> Array:
            order = np.argsort(-scene.scores)
            rows, cols, values = _candidates(scene.boxes[order])
            enough = values > NMS_THRESHOLD
            rows, cols = rows[enough], cols[enough]
            by_better = np.argsort(rows, kind="stable")
            alive = [True] * len(order)
            for better, worse in zip(
                rows[by_better].tolist(), cols[by_better].tolist(), strict=True
            ):
                if alive[better]:
                    alive[worse] = False
            return order[alive]

        return call

    return Contender(set_up, _kept)


# ---- the table ---------------------------------------------------------------------------------

ROTATED_WORKLOADS: dict[str, Workload] = {
    "rotated-dense": Workload(
        "Dense IoU of rotated boxes that all overlap, fresh result",
        "boxes per side",
        heap,
        (10, 100, 300, 1_000, 2_000),
        {
            "streaming fill": _fill("stream_fill"),
            "plain fill": _fill("plain_fill"),
            "fastiou": _fastiou(),
            "fastiou, float32": _fastiou(np.float32),
            "powerboxes": _powerboxes("parallel_rotated_iou_distance"),
            "powerboxes serial": _powerboxes("rotated_iou_distance"),
            "shapely STRtree": _shapely_dense(300),
        },
        1e-6,
        (300, 2_000),
        ("scores", lambda size: size**2),
        "Sides of 20 to 60 units, centres within 12 units, any angle. All have float64 boxes, but "
        "for fastiou's second row. shapely makes polygons and tree within the time, clips the "
        "candidates in one vectorised call, and is left out from 1,000 boxes on, where it takes "
        "over 10 s.",
    ),
    "rotated-scattered": Workload(
        "Dense IoU of rotated boxes of which one pair in a hundred has hulls that meet",
        "boxes per side",
        scattered,
        (300, 1_000, 2_000),
        {
            "streaming fill": _fill("stream_fill"),
            "plain fill": _fill("plain_fill"),
            "fastiou": _fastiou(),
            "fastiou, float32": _fastiou(np.float32),
            "powerboxes": _powerboxes("parallel_rotated_iou_distance"),
            "powerboxes serial": _powerboxes("rotated_iou_distance"),
            "shapely STRtree": _shapely_dense(2_000),
        },
        1e-6,
        (2_000,),
        ("scores", lambda size: size**2),
        "The boxes of the table above, with centres on 1,000 × 1,000 units.",
    ),
    "rotated-aligned": Workload(
        "Aligned IoU of rotated boxes: box i against box i",
        "pairs of boxes",
        moved,
        (1_000, 10_000, 100_000, 1_000_000),
        {
            "read and fill": _aligned_bound(),
            "fastiou": _fastiou(aligned=True),
            "fastiou, float32": _fastiou(np.float32, aligned=True),
            "shapely STRtree": _shapely_aligned(100_000),
        },
        1e-6,
        (10_000,),
        ("scores", lambda size: size),
        "Each box against itself moved, scaled and turned. powerboxes has no aligned scores. "
        "shapely needs no tree here.",
    ),
    "rotated-pairs": Workload(
        "Pairs of rotated boxes with IoU ≥ 0.1 of two sets of any size",
        "boxes per side",
        joined,
        (1_000, 10_000, 100_000),
        {
            "read and fill": _pairs_bound(),
            "fastiou": _fastiou_pairs(),
            "powerboxes": _powerboxes_pairs("parallel_rotated_iou_distance", 10_000),
            "shapely STRtree": _shapely_pairs(),
        },
        1e-9,
        (10_000,),
        ("boxes of a side", lambda size: size),
        "float64 boxes with sides of 5 to 30 units, one per 400 square units, of which each meets "
        "the hulls of five others. shapely makes polygons and tree within the time, then clips all "
        "candidates in one vectorised call. powerboxes makes the dense result, and is left out "
        "where that needs 80 GB.",
    ),
    "rotated-nms": Workload(
        "NMS of rotated boxes, three detections of each object",
        "boxes",
        detections,
        (1_000, 5_000, 20_000),
        {
            "read and fill": _nms_bound(),
            "fastiou": _fastiou_nms(),
            "powerboxes serial": _powerboxes_nms(),
            "shapely STRtree": _shapely_nms(),
        },
        0.0,
        (5_000,),
        ("boxes", lambda size: size),
        "float64 boxes with sides of 10 to 60 units, threshold 0.5. All keep the same boxes. "
        "shapely clips the pairs that meet, and a loop in Python suppresses.",
    ),
}
