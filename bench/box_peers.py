"""Boxes: what is timed, and how each library does it.

A set-up converts the boxes to the dtype and layout that suit the library best and allocates what
the call writes to; only the callable is timed. Libraries are imported by the set-ups, so that what
is not installed can be skipped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bench.contenders import (
    Array,
    Call,
    Contender,
    Workload,
    fill_bound,
    read_and_fill_bound,
)

__all__ = [
    "BOX_WORKLOADS",
    "Scene",
    "by_row",
    "last_pixels",
    "numpy_scores",
    "random_boxes",
    "sparse",
    "torch_scores",
]


# ---- scenes ------------------------------------------------------------------------------------


class Scene(NamedTuple):
    """Boxes to compare, as corners with whole-numbered coordinates.

    Whole numbers below 2^24 are exact in every dtype, and a library that counts pixels inclusively
    (a box from 1 to 3 is 3 wide) is given boxes whose last pixel is one less.
    """

    boxes1: Array
    boxes2: Array
    groups1: Array | None = None
    groups2: Array | None = None


def random_boxes(rng: np.random.Generator, count: int, span: int, least: int, most: int) -> Array:
    corners = rng.integers(0, span, (count, 2))
    return np.hstack([corners, corners + rng.integers(least, most + 1, (count, 2))]).astype(float)


def crowded(size: int) -> Scene:
    """Boxes of 10 to 100 pixels in an image of 1,000 × 1,000."""
    rng = np.random.default_rng(size)
    return Scene(random_boxes(rng, size, 1000, 10, 100), random_boxes(rng, size, 1000, 10, 100))


def sparse(size: int) -> Scene:
    """Boxes of 1 to 30 units, one per 100 square units: each overlaps about ten of the others."""
    rng = np.random.default_rng(size)
    span = int(10 * size**0.5)
    return Scene(random_boxes(rng, size, span, 1, 30), random_boxes(rng, size, span, 1, 30))


def images(size: int) -> Scene:
    """A data set of `size` images, each with 100 detections and 7 ground truths."""
    rng = np.random.default_rng(size)
    detections, truths = (
        random_boxes(rng, 100 * size, 640, 10, 200),
        random_boxes(rng, 7 * size, 640, 10, 200),
    )
    return Scene(detections, truths, np.repeat(np.arange(size), 100), np.repeat(np.arange(size), 7))


# ---- fastiou and the bounds --------------------------------------------------------------------


def _fastiou(dtype: Any, *, into: bool = False, **options: Any) -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        boxes1, boxes2 = scene.boxes1.astype(dtype), scene.boxes2.astype(dtype)
        if not into:
            return lambda: fastiou.box_iou(boxes1, boxes2, **options)
        out = np.empty((len(boxes1), len(boxes2)), dtype)
        return lambda: fastiou.box_iou(boxes1, boxes2, out=out, **options)

    return Contender(set_up)


def _fastiou_pairs() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        boxes1, boxes2 = scene.boxes1.astype(np.float32), scene.boxes2.astype(np.float32)
        groups = None if scene.groups1 is None else (scene.groups1, scene.groups2)
        return lambda: fastiou.pairs(boxes1, boxes2, groups=groups)

    return Contender(set_up, tuple)


def _fill(name: str, dtype: Any, *, fresh: bool = False) -> Contender:
    def shape(scene: Scene) -> tuple[int, ...]:
        return len(scene.boxes1), len(scene.boxes2)

    return fill_bound(name, shape, dtype, fresh=fresh)


def _inputs(scene: Scene) -> list[Array]:
    inputs = [part.copy() for part in (scene.groups1, scene.groups2) if part is not None]
    return inputs + [boxes.astype(np.float32) for boxes in (scene.boxes1, scene.boxes2)]


def _aligned_bound() -> Contender:
    return read_and_fill_bound(_inputs, lambda scene: [(len(scene.boxes1), np.float32)])


def _pairs_bound() -> Contender:
    def outputs(scene: Scene) -> list[tuple[int, Any]]:
        found = len(_fastiou_pairs().set_up(scene)())
        return [(found, np.int64), (found, np.int64), (found, np.float32)]

    return read_and_fill_bound(_inputs, outputs)


# ---- peers: dense ------------------------------------------------------------------------------


def _powerboxes(function: str, dtype: Any) -> Contender:
    """It gives distances, 1 − score, always in float64."""

    def set_up(scene: Scene) -> Call:
        import powerboxes

        distance = getattr(powerboxes, function)
        boxes1, boxes2 = scene.boxes1.astype(dtype), scene.boxes2.astype(dtype)
        return lambda: distance(boxes1, boxes2)

    return Contender(set_up, lambda distances: 1 - distances)


def last_pixels(boxes: Array) -> Array:
    """For libraries that count pixels inclusively: the same boxes by first and last pixel."""
    return boxes - [0, 0, 1, 1]


def _fastbbox(function: str) -> Contender:
    """It takes float32 alone."""

    def set_up(scene: Scene) -> Call:
        import fastbbox

        score = getattr(fastbbox, function)
        boxes1, boxes2 = scene.boxes1.astype(np.float32), scene.boxes2.astype(np.float32)
        return lambda: score(boxes1, boxes2)

    return Contender(set_up)


def _cython_bbox() -> Contender:
    """It takes float64 alone and counts pixels inclusively."""

    def set_up(scene: Scene) -> Call:
        import cython_bbox

        boxes1, boxes2 = last_pixels(scene.boxes1), last_pixels(scene.boxes2)
        return lambda: cython_bbox.bbox_overlaps(boxes1, boxes2)

    return Contender(set_up)


def _sizes(boxes: Array) -> Array:
    """Corners as lower corner and size."""
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def _pycocotools() -> Contender:
    """It takes float64 alone, as lower corner and size."""

    def set_up(scene: Scene) -> Call:
        from pycocotools import mask

        boxes1, boxes2 = _sizes(scene.boxes1), _sizes(scene.boxes2)
        iscrowd = np.zeros(len(boxes2), np.uint8)
        return lambda: mask.iou(boxes1, boxes2, iscrowd)

    return Contender(set_up)


def torch_scores(boxes1: Any, boxes2: Any, *, giou: bool = False, out: Any = None) -> Any:
    """torchvision's `box_iou` and `generalized_box_iou`; aligned where shapes broadcast so."""
    import torch

    def area(boxes: Any) -> Any:
        return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])

    low = torch.max(boxes1[..., :2], boxes2[..., :2])
    high = torch.min(boxes1[..., 2:], boxes2[..., 2:])
    sides = (high - low).clamp(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    union = area(boxes1) + area(boxes2) - intersection
    iou = torch.div(intersection, union, out=out)
    if not giou:
        return iou
    low = torch.min(boxes1[..., :2], boxes2[..., :2])
    high = torch.max(boxes1[..., 2:], boxes2[..., 2:])
    sides = (high - low).clamp(min=0)
    hull = sides[..., 0] * sides[..., 1]
    return torch.sub(iou, (hull - union) / hull, out=out)


def _torch(
    dtype: Any, *, aligned: bool = False, giou: bool = False, into: bool = False
) -> Contender:
    def set_up(scene: Scene) -> Call:
        import torch

        boxes1, boxes2 = (
            torch.from_numpy(boxes.astype(dtype)) for boxes in (scene.boxes1, scene.boxes2)
        )
        if not aligned:
            boxes1 = boxes1[:, None]
        out = None
        if into:
            out = torch.empty((len(boxes1), len(boxes2)), dtype=boxes1.dtype)
        return lambda: torch_scores(boxes1, boxes2, giou=giou, out=out)

    return Contender(set_up)


def numpy_scores(boxes1: Array, boxes2: Array, out: Array | None = None) -> Array:
    """The broadcasting formula; aligned where shapes broadcast so."""

    def area(boxes: Array) -> Any:
        return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])

    low = np.maximum(boxes1[..., :2], boxes2[..., :2])
    high = np.minimum(boxes1[..., 2:], boxes2[..., 2:])
    sides = np.maximum(high - low, 0)
    intersection = sides[..., 0] * sides[..., 1]
    result: Array = np.divide(intersection, area(boxes1) + area(boxes2) - intersection, out=out)
    return result


def _numpy(dtype: Any, *, aligned: bool = False, into: bool = False) -> Contender:
    def set_up(scene: Scene) -> Call:
        boxes1, boxes2 = scene.boxes1.astype(dtype), scene.boxes2.astype(dtype)
        if not aligned:
            boxes1 = boxes1[:, None]
        out = np.empty((len(boxes1), len(boxes2)), dtype) if into else None
        return lambda: numpy_scores(boxes1, boxes2, out)

    return Contender(set_up, largest=None if aligned else 3_000)


# ---- peers: pairs ------------------------------------------------------------------------------

THRESHOLD = 0.5


def by_row(rows: Array, cols: Array, values: Array) -> tuple[Array, Array, Array]:
    order = np.lexsort((cols, rows))
    return rows[order], cols[order], values[order]


def _shapely() -> Contender:
    """Candidates from an R-tree, scores by the aligned formula over them.

    Making the geometries is set-up. Images are set apart by moving each to a place of its own, so
    that one tree serves them all.
    """

    def set_up(scene: Scene) -> Call:
        import shapely

        boxes1, boxes2 = scene.boxes1, scene.boxes2
        if scene.groups1 is not None and scene.groups2 is not None:
            apart = np.array([2.0 * boxes1.max(), 0.0] * 2)
            moved1 = boxes1 + scene.groups1[:, None] * apart
            moved2 = boxes2 + scene.groups2[:, None] * apart
        else:
            moved1, moved2 = boxes1, boxes2
        shapes1, shapes2 = shapely.box(*moved1.T), shapely.box(*moved2.T)

        def call() -> tuple[Array, Array, Array]:
            rows, cols = shapely.STRtree(shapes2).query(shapes1)
            values = numpy_scores(boxes1[rows], boxes2[cols])
            enough = values >= THRESHOLD
            return rows[enough], cols[enough], values[enough]

        return call

    return Contender(set_up, lambda found: by_row(*found))


def _per_image(dense: Contender) -> Contender:
    """A Python loop over the images: the dense scores of each, then those above the threshold."""

    def set_up(scene: Scene) -> Call:
        assert scene.groups1 is not None
        assert scene.groups2 is not None
        numbers = np.arange(scene.groups1[-1] + 2)
        cuts1 = np.searchsorted(scene.groups1, numbers)
        cuts2 = np.searchsorted(scene.groups2, numbers)
        calls = [
            dense.set_up(
                Scene(
                    scene.boxes1[cuts1[i] : cuts1[i + 1]],
                    scene.boxes2[cuts2[i] : cuts2[i + 1]],
                )
            )
            for i in numbers[:-1]
        ]

        def call() -> list[Array]:
            found: list[list[Array]] = [[], [], []]
            for image, score in enumerate(calls):
                scores = np.asarray(dense.read(score()))
                rows, cols = np.nonzero(scores >= THRESHOLD)
                found[0].append(rows + cuts1[image])
                found[1].append(cols + cuts2[image])
                found[2].append(scores[rows, cols])
            return [np.concatenate(part) for part in found]

        return call

    return Contender(set_up, lambda found: by_row(*found))


# ---- the table ---------------------------------------------------------------------------------

SIDES = (1, 10, 100, 300, 1_000, 3_000, 10_000)

BOX_WORKLOADS: dict[str, Workload] = {
    "dense-out": Workload(
        "Dense IoU, float32, into an array that is there (`out=`)",
        "boxes per side",
        crowded,
        SIDES,
        {
            "streaming fill": _fill("stream_fill", np.float32),
            "plain fill": _fill("plain_fill", np.float32),
            "fastiou": _fastiou(np.float32, into=True),
            "torch formula": _torch(np.float32, into=True),
            "NumPy formula": _numpy(np.float32, into=True),
        },
        1e-6,
        (10, 1_000, 10_000),
        ("scores", lambda size: size**2),
    ),
    "dense": Workload(
        "Dense IoU, float32, fresh result",
        "boxes per side",
        crowded,
        SIDES,
        {
            "streaming fill": _fill("stream_fill", np.float32, fresh=True),
            "plain fill": _fill("plain_fill", np.float32, fresh=True),
            "fastiou": _fastiou(np.float32),
            "powerboxes": _powerboxes("parallel_iou_distance", np.float32),
            "powerboxes serial": _powerboxes("iou_distance", np.float32),
            "fastbbox": _fastbbox("bbox_overlaps"),
            "cython_bbox": _cython_bbox(),
            "pycocotools": _pycocotools(),
            "torch formula": _torch(np.float32),
            "NumPy formula": _numpy(np.float32),
        },
        1e-6,
        (10, 100, 1_000, 3_000),
        ("scores", lambda size: size**2),
    ),
    "dense-float64": Workload(
        "Dense IoU, float64, fresh result",
        "boxes per side",
        crowded,
        (10, 100, 1_000, 3_000),
        {
            "streaming fill": _fill("stream_fill", np.float64, fresh=True),
            "plain fill": _fill("plain_fill", np.float64, fresh=True),
            "fastiou": _fastiou(np.float64),
            "powerboxes": _powerboxes("parallel_iou_distance", np.float64),
            "powerboxes serial": _powerboxes("iou_distance", np.float64),
            "cython_bbox": _cython_bbox(),
            "pycocotools": _pycocotools(),
            "torch formula": _torch(np.float64),
            "NumPy formula": _numpy(np.float64),
        },
        1e-14,
        (1_000,),
        ("scores", lambda size: size**2),
    ),
    "giou": Workload(
        "Dense generalized IoU, float32, fresh result",
        "boxes per side",
        crowded,
        (10, 100, 1_000, 3_000),
        {
            "streaming fill": _fill("stream_fill", np.float32, fresh=True),
            "plain fill": _fill("plain_fill", np.float32, fresh=True),
            "fastiou": _fastiou(np.float32, metric="giou"),
            "powerboxes": _powerboxes("parallel_giou_distance", np.float32),
            "powerboxes serial": _powerboxes("giou_distance", np.float32),
            "fastbbox": _fastbbox("generalized_iou"),
            "torch formula": _torch(np.float32, giou=True),
        },
        2e-6,
        (1_000,),
        ("scores", lambda size: size**2),
    ),
    "aligned": Workload(
        "Aligned IoU, float32: box i against box i",
        "pairs of boxes",
        crowded,
        (100, 10_000, 1_000_000),
        {
            "read and fill": _aligned_bound(),
            "fastiou": _fastiou(np.float32, aligned=True),
            "torch formula": _torch(np.float32, aligned=True),
            "NumPy formula": _numpy(np.float32, aligned=True),
        },
        1e-6,
        (10_000,),
        ("scores", lambda size: size),
    ),
    "pairs": Workload(
        "Pairs with IoU ≥ 0.5 of two sets, about ten overlaps a box",
        "boxes per side",
        sparse,
        (10_000, 30_000, 100_000),
        {
            "read and fill": _pairs_bound(),
            "fastiou": _fastiou_pairs(),
            "shapely STRtree": _shapely(),
        },
        1e-6,
        (10_000,),
    ),
    "grouped": Workload(
        "Pairs with IoU ≥ 0.5 within images of 100 detections and 7 ground truths",
        "images",
        images,
        (5_000,),
        {
            "read and fill": _pairs_bound(),
            "fastiou": _fastiou_pairs(),
            "powerboxes serial": _per_image(_powerboxes("iou_distance", np.float32)),
            "fastbbox": _per_image(_fastbbox("bbox_overlaps")),
            "cython_bbox": _per_image(_cython_bbox()),
            "pycocotools": _per_image(_pycocotools()),
            "torch formula": _per_image(_torch(np.float32)),
            "shapely STRtree": _shapely(),
        },
        1e-6,
        (5_000,),
    ),
}
