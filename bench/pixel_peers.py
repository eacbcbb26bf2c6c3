"""Label images and arrays of values: what is timed, and how each library does it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.contenders import Array, Call, Contender, Workload, read_bound

__all__ = ["PIXEL_WORKLOADS", "Scene"]


# ---- scenes ------------------------------------------------------------------------------------


class Scene(NamedTuple):
    """Two arrays of one shape to compare."""

    array1: Array
    array2: Array


#: Pixels per side of an object in a label image.
CELL = 64


def labels(size: int) -> Scene:
    """Two images full of objects of 64 × 64 with frayed borders, the second's shifted by a few."""
    rng = np.random.default_rng(size)
    cells = -(-size // CELL)

    def image(down: int, right: int) -> Array:
        places = []
        for axis, shift in ((1, down), (0, right)):
            frayed = rng.integers(-2, 3, (size, size), np.int32)
            frayed += np.expand_dims(np.arange(shift, size + shift, dtype=np.int32), axis)
            places.append(frayed.clip(0, size - 1) // CELL)
        return 1 + places[0] * np.int32(cells) + places[1]

    return Scene(image(0, 0), image(7, 11))


def values(size: int) -> Scene:
    """Values from 0 to 1 as float32, such as probabilities."""
    rng = np.random.default_rng(size)
    return Scene(*(rng.random(size, np.float32) for _ in range(2)))


# ---- pairs of labels ---------------------------------------------------------------------------


def _label_overlap() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        return lambda: fastiou.label_overlap(*scene)

    return Contender(set_up, tuple)


def _joint_key(scene: Scene, dtype: Any) -> tuple[Callable[[], Array], int]:
    """What makes one number of two labels, and the number that takes it apart again."""
    span1, span2 = (int(array.max()) + 1 for array in scene)
    assert span1 * span2 <= np.iinfo(dtype).max
    return lambda: scene.array1.astype(dtype) * dtype(span2) + scene.array2, span2


def _unique(dtype: Any) -> Contender:
    def set_up(scene: Scene) -> Call:
        keys, span = _joint_key(scene, dtype)

        def call() -> tuple[Array, Array, Array]:
            found, counts = np.unique(keys(), return_counts=True)
            return found // span, found % span, counts

        return call

    return Contender(set_up)


def _bincount() -> Contender:
    """It takes a dense table of all labels by all labels."""

    def set_up(scene: Scene) -> Call:
        keys, span = _joint_key(scene, np.int64)

        def call() -> tuple[Array, Array, Array]:
            table = np.bincount(keys().reshape(-1))
            found = np.flatnonzero(table)
            return found // span, found % span, table[found]

        return call

    return Contender(set_up)


def _coo() -> Contender:
    """A sparse matrix that adds up what has the same place."""

    def set_up(scene: Scene) -> Call:
        from scipy.sparse import coo_array

        flat1, flat2 = (array.reshape(-1) for array in scene)
        ones = np.ones(flat1.size, np.int64)
        return lambda: coo_array((ones, (flat1, flat2))).tocsr()

    def read(matrix: Any) -> tuple[Array, Array, Array]:
        matrix.sort_indices()
        found = matrix.tocoo()
        return found.row, found.col, found.data

    return Contender(set_up, read)


# ---- objects of label images -------------------------------------------------------------------

#: What matches score at least: those of the Data Science Bowl 2018.
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def _instance_matching() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        return lambda: fastiou.instance_matching(*scene, THRESHOLDS)

    return Contender(set_up, lambda result: result.tp.astype(float))


def _assignment() -> Contender:
    """The procedure of stardist: dense scores of all objects, and an assignment by threshold."""

    def set_up(scene: Scene) -> Call:
        from scipy.optimize import linear_sum_assignment

        keys, span = _joint_key(scene, np.int64)
        height = int(scene.array1.max()) + 1

        def call() -> Array:
            shared = np.bincount(keys().reshape(-1), minlength=height * span).reshape(height, span)
            unions = shared.sum(0) + shared.sum(1)[:, np.newaxis] - shared
            scores = (shared / np.maximum(unions, 1)).astype(np.float32)[1:, 1:]
            found = []
            for threshold in THRESHOLDS.tolist():
                costs = -(scores >= threshold).astype(float) - scores / (2 * min(scores.shape))
                found.append(np.count_nonzero(scores[linear_sum_assignment(costs)] >= threshold))
            return np.array(found)

        return call

    return Contender(set_up, lambda result: result.astype(float))


# ---- soft IoU ----------------------------------------------------------------------------------

SMOOTH = 1e-6


def _soft_iou() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        return functools.partial(fastiou.soft_iou, *scene, smooth=SMOOTH)

    return Contender(set_up, np.atleast_1d)


def _formula(inputs: Any, targets: Any) -> Any:
    """The formula of those who have arrays of any library."""
    intersection = (inputs * targets).sum()
    union = (inputs + targets).sum() - intersection
    return (intersection + SMOOTH) / (union + SMOOTH)


def _numpy() -> Contender:
    return Contender(lambda scene: functools.partial(_formula, *scene), np.atleast_1d)


def _torch() -> Contender:
    def set_up(scene: Scene) -> Call:
        import torch

        return functools.partial(_formula, *map(torch.from_numpy, scene))

    return Contender(set_up, np.atleast_1d)


# ---- the table ---------------------------------------------------------------------------------

PIXEL_WORKLOADS: dict[str, Workload] = {
    "label-overlap": Workload(
        "Pixels that each two labels of two label images share",
        "pixels per side",
        labels,
        (256, 512, 1_024, 2_048, 4_096),
        {
            "read": read_bound(lambda scene: scene),
            "fastiou": _label_overlap(),
            "np.unique": _unique(np.int64),
            "np.unique int32": _unique(np.int32),
            "np.bincount": _bincount(),
            "scipy COO": _coo(),
        },
        0.0,
        (1_024,),
        ("pixels", lambda size: size**2),
        "int32 images full of objects of 64 × 64 with frayed borders: 4,096 of them at 4,096 "
        "pixels per side. np.unique and np.bincount count a joint key of both labels, which is "
        "made within the time: as int64, or as int32, which holds it up to some 46,000 labels. "
        "np.bincount makes a table of all labels by all labels. The bound is reading both images.",
    ),
    "instance-matching": Workload(
        "Objects of two label images matched at ten thresholds",
        "pixels per side",
        labels,
        (256, 512, 1_024, 2_048),
        {
            "read": read_bound(lambda scene: scene),
            "fastiou": _instance_matching(),
            "stardist's formula": _assignment(),
        },
        0.0,
        (1_024,),
        ("pixels", lambda size: size**2),
        "The images of label-overlap. The formula of stardist is that of its matching, in NumPy "
        "and SciPy: a dense table of all objects by all objects, and an assignment for each "
        "threshold. The bound is reading both images.",
        functions=("instance_matching",),
    ),
    "soft-iou": Workload(
        "Soft IoU of two float32 arrays",
        "elements",
        values,
        (10_000, 100_000, 1_000_000, 10_000_000, 67_108_864),
        {
            "read": read_bound(lambda scene: scene),
            "fastiou": _soft_iou(),
            "NumPy formula": _numpy(),
            "torch formula": _torch(),
        },
        1e-6,
        (1_000_000,),
        ("bytes read", lambda size: 8 * size),
        "The bound is reading both arrays. fastiou adds in float64, the formulas in float32.",
    ),
}
