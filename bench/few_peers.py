"""A few boxes a call, as trackers and evaluators of single images ask: what a call costs beside
the scores. Peers take plain NumPy arrays, as fastiou does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.box_peers import by_row, last_pixels, random_boxes
from bench.contenders import Array, Call, Contender, Workload, read_bound

__all__ = ["FEW_WORKLOADS"]


SIZES = (10, 30, 100, 300, 1_000)

#: Between two fractions, which no score of whole-numbered boxes is.
THRESHOLD = 0.500003


class Frame(NamedTuple):
    """Boxes of a frame, the same in the next one, and how sure each is."""

    boxes: Array
    moved: Array
    scores: Array


def frame(size: int) -> Frame:
    """Whole-numbered boxes of 20 to 120 units on 1,000 × 1,000, moved by about 5, in float64."""
    rng = np.random.default_rng(size)
    boxes = random_boxes(rng, size, 1000, 20, 120)
    moved = boxes + np.tile(rng.normal(0, 5, (size, 2)).round(), 2)
    return Frame(boxes, moved, (rng.permutation(size) + 1) / 1024)


def _overlaps(scene: Frame) -> Callable[[], Array]:
    """cython_bbox takes corners for pixels that belong to the box."""
    import cython_bbox

    boxes, moved = last_pixels(scene.boxes), last_pixels(scene.moved)
    return lambda: cython_bbox.bbox_overlaps(boxes, moved)


def _fastiou(function: str, **options: Any) -> Callable[[Frame], Call]:
    def set_up(scene: Frame) -> Call:
        import fastiou

        call = getattr(fastiou, function)
        if function == "nms":
            return lambda: call(scene.boxes, scene.scores, THRESHOLD)
        if function == "topk":
            return lambda: call(scene.boxes, scene.moved)
        return lambda: call(scene.boxes, scene.moved, THRESHOLD, **options)

    return set_up


def _powerboxes(scene: Frame) -> Call:
    import powerboxes

    return lambda: powerboxes.nms(scene.boxes, scene.scores, THRESHOLD, 0.0)


def _assigned(scene: Frame) -> Call:
    """The highest sum of all, of which those below the threshold are dropped."""
    from scipy.optimize import linear_sum_assignment

    overlaps = _overlaps(scene)

    def call() -> Any:
        values = overlaps()
        rows, cols = linear_sum_assignment(values, maximize=True)
        enough = values[rows, cols] >= THRESHOLD
        return rows[enough], cols[enough], values[rows[enough], cols[enough]]

    return call


def _listed(scene: Frame) -> Call:
    overlaps = _overlaps(scene)

    def call() -> Any:
        values = overlaps()
        rows, cols = np.nonzero(values >= THRESHOLD)
        return rows, cols, values[rows, cols]

    return call


def _best(scene: Frame) -> Call:
    overlaps = _overlaps(scene)

    def call() -> Any:
        values = overlaps()
        cols = values.argmax(axis=1)
        return values[np.arange(len(cols)), cols], cols

    return call


def _kept(found: Any) -> Array:
    return np.sort(np.asarray(found).astype(np.int64))


def _three(found: Any) -> tuple[Array, Array, Array]:
    rows, cols, values = list(found)[:3]
    return by_row(rows, cols, values)


def _highest(found: Any) -> Array:
    """Values of the best, of which several may be equal."""
    return np.asarray(next(iter(found))).reshape(-1)


def _total(found: Any) -> Array:
    """How many match, since several matchings may be as good."""
    return np.array([len(next(iter(found)))])


READ = read_bound(lambda scene: [scene.boxes, scene.moved])


def _workload(title: str, function: str, contenders: dict[str, Contender], note: str) -> Workload:
    return Workload(
        title, "boxes per side", frame, SIZES, {"read": READ, **contenders}, 1e-9, (10, 100), None,
        f"Whole-numbered float64 boxes of 20 to 120 units on 1,000 × 1,000, and the same moved by "
        f"about 5. One call each. {note}",
        (function,),
    )  # fmt: skip


FEW_WORKLOADS: dict[str, Workload] = {
    "few-nms": _workload(
        "Suppression among a few boxes",
        "nms",
        {
            "fastiou": Contender(_fastiou("nms"), _kept),
            "powerboxes serial": Contender(_powerboxes, _kept),
        },
        "",
    ),
    "few-match": _workload(
        "A matching of a few boxes with the highest sum",
        "match",
        {
            "fastiou": Contender(_fastiou("match", method="optimal"), _total),
            "cython_bbox": Contender(_assigned, _total),
        },
        "By the scores of cython_bbox SciPy assigns, and pairs below the threshold are dropped.",
    ),
    "few-pairs": _workload(
        "Pairs of a few boxes",
        "pairs",
        {
            "fastiou": Contender(_fastiou("pairs"), _three),
            "cython_bbox": Contender(_listed, _three),
        },
        "cython_bbox scores all with all, and NumPy lists what is enough.",
    ),
    "few-topk": _workload(
        "The best for each of a few boxes",
        "topk",
        {
            "fastiou": Contender(_fastiou("topk"), _highest),
            "cython_bbox": Contender(_best, _highest),
        },
        "cython_bbox scores all with all, and NumPy takes the largest of each row.",
    ),
}
