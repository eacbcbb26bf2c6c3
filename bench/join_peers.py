"""Large sets: pairs, the best few, suppression of duplicates and matching, by each library.

The peers that join boxes start from raw arrays, as fastiou does: geometries and trees are made
within the time, unless the name of the row says that the tree is ready.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.box_peers import Scene, by_row, numpy_scores, random_boxes, sparse
from bench.contenders import Array, Call, Contender, Workload, read_and_fill_bound

__all__ = [
    "BEST",
    "BETWEEN",
    "JOIN_WORKLOADS",
    "MATCH_THRESHOLD",
    "PAIR_THRESHOLD",
    "Annotated",
    "Blobs",
    "Scored",
]

#: Each of the boxes of `sparse`, which overlaps ten others, has 3.6 of them at this threshold.
PAIR_THRESHOLD = 0.1

#: How many of the best to find for each box.
BEST = 5

#: What libraries suppress at ≥ or at > is the same at this threshold, rounded to float32 or not:
#: between two fractions near ½ whose denominators, unions of whole-numbered boxes, are below 80,000
#: lie more than 6e-6.
BETWEEN = 0.500003

#: Who may match whom. At 0.1 four of five boxes hang together in one component; here components
#: have 51 boxes at most, of 200,000, as those of a tracker or of merged annotations have.
MATCH_THRESHOLD = 0.3


# ---- scenes ------------------------------------------------------------------------------------


def skewed(size: int) -> Scene:
    """Like `sparse`, but one box of 10,000 covers almost all, and one of 100 is in one pile."""
    rng = np.random.default_rng(size)
    span = int(10 * size**0.5)
    boxes = random_boxes(rng, size, span, 1, 30)
    pages, piled = size // 10_000, size // 100
    if pages:
        boxes[:pages] = random_boxes(rng, pages, span // 20, span * 9 // 10, span * 19 // 20)
    boxes[pages : pages + piled] = random_boxes(rng, piled, 10, 20, 30) + span // 2
    return Scene(rng.permutation(boxes), np.empty((0, 4)))


class Scored(NamedTuple):
    """Boxes with scores, all different and exact in float32."""

    boxes: Array
    scores: Array


def _distinct_scores(rng: np.random.Generator, count: int) -> Array:
    return (rng.permutation(count) + 1) / 2.0 ** int(count).bit_length()


def detections(size: int) -> Scored:
    """Boxes of 10 to 30 units, four per 100 square units; 41 of 100 are suppressed."""
    rng = np.random.default_rng(size)
    boxes = random_boxes(rng, size, max(1, int(5 * size**0.5)), 10, 30)
    return Scored(boxes, _distinct_scores(rng, size))


def pile(size: int) -> Scored:
    """Boxes that reach 1 to 100 units from one point to each side: every box meets every other."""
    rng = np.random.default_rng(size)
    reach = np.exp(rng.uniform(0, np.log(101), (size, 4))).astype(int)
    boxes = np.hstack([100 - reach[:, :2], 100 + reach[:, 2:]]).astype(float)
    return Scored(boxes, _distinct_scores(rng, size))


class Blobs(NamedTuple):
    """Masks of 480 × 640 with scores."""

    dense: Array
    scores: Array


HEIGHT, WIDTH = 480, 640


def blobs(size: int) -> Blobs:
    """Lobed shapes of 16 to 240 pixels across, three predictions of each object."""
    rng = np.random.default_rng(size)
    objects = -(-size // 3)
    centres = rng.uniform(0, 1, (objects, 2)) * (HEIGHT, WIDTH)
    radii = np.exp(rng.uniform(np.log(8), np.log(120), objects))
    lobes = rng.uniform(0, 0.25, (objects, 2))
    phases = rng.uniform(0, 2 * np.pi, (objects, 2))
    dense = np.zeros((size, HEIGHT, WIDTH), np.bool_)
    for number, mask in enumerate(dense):
        which = number % objects
        radius = radii[which] * rng.uniform(0.9, 1.1)
        y, x = centres[which] + radii[which] * rng.uniform(-0.15, 0.15, 2)
        reach = 1.5 * radius
        top, left = max(0, int(y - reach)), max(0, int(x - reach))
        window = mask[top : int(y + reach) + 1, left : int(x + reach) + 1]
        rows, columns = np.ogrid[: window.shape[0], : window.shape[1]]
        up, right = rows + top - y, columns + left - x
        angle = np.arctan2(up, right)
        waves = (
            lobes[which, i] * np.cos((i + 2) * angle + phases[which, i]) for i in range(2)
        )  # fmt: skip
        np.less_equal(np.hypot(up, right), radius * (1 + sum(waves)), out=window)
    return Blobs(dense, _distinct_scores(rng, size))


class Annotated(NamedTuple):
    """A data set: detections and ground truths as lower corner and size, images and classes."""

    detections: Array
    truths: Array
    scores: Array
    images: tuple[Array, Array]
    classes: tuple[Array, Array]


CLASSES, DETECTIONS, TRUTHS = 80, 100, 7


def annotated(size: int) -> Annotated:
    """`size` images of 100 detections near 7 ground truths, half of them of the right class."""
    rng = np.random.default_rng(size)
    corners, sides = (
        rng.integers(0, 500, (size, TRUTHS, 2)),
        rng.integers(10, 140, (size, TRUTHS, 2)),
    )
    classes = rng.integers(0, CLASSES, (size, TRUTHS))
    image, which = np.arange(size)[:, None], rng.integers(0, TRUTHS, (size, DETECTIONS))
    shape = (size, DETECTIONS, 2)
    found = [
        np.maximum(0, corners[image, which] + rng.integers(-8, 9, shape)),
        np.maximum(4, sides[image, which] + rng.integers(-8, 9, shape)),
    ]
    anything = rng.integers(0, CLASSES, (size, DETECTIONS))
    right = rng.random((size, DETECTIONS)) < 0.5
    return Annotated(
        np.dstack(found).reshape(-1, 4).astype(float),
        np.dstack([corners, sides]).reshape(-1, 4).astype(float),
        _distinct_scores(rng, size * DETECTIONS),
        (np.repeat(np.arange(size), DETECTIONS), np.repeat(np.arange(size), TRUTHS)),
        (np.where(right, classes[image, which], anything).reshape(-1), classes.reshape(-1)),
    )


# ---- pairs and the best few --------------------------------------------------------------------


def _two(scene: Scene) -> tuple[Array, Array]:
    return scene.boxes1.astype(np.float32), scene.boxes2.astype(np.float32)


def _fastiou_pairs(*, self_join: bool = False) -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        boxes1, boxes2 = _two(scene)
        other = None if self_join else boxes2
        return lambda: fastiou.pairs(boxes1, other, PAIR_THRESHOLD)

    return Contender(set_up, tuple)


def _pairs_bound(*, self_join: bool = False) -> Contender:
    def outputs(scene: Scene) -> list[tuple[int, Any]]:
        found = len(_fastiou_pairs(self_join=self_join).set_up(scene)())
        return [(found, np.int64), (found, np.int64), (found, np.float32)]

    return read_and_fill_bound(_two, outputs)


def _above(rows: Array, cols: Array, boxes1: Array, boxes2: Array, threshold: float) -> Any:
    """Candidates that score enough: the formula over all of them at once."""
    values = numpy_scores(boxes1[rows], boxes2[cols])
    enough = values >= threshold
    return rows[enough], cols[enough], values[enough]


def _tree_pairs(boxes1: Array, boxes2: Array, threshold: float) -> Any:
    """Geometries, tree, query and scores."""
    import shapely

    rows, cols = shapely.STRtree(shapely.box(*boxes2.T)).query(shapely.box(*boxes1.T))
    return _above(rows, cols, boxes1, boxes2, threshold)


def _shapely_pairs(largest: int | None = None) -> Contender:
    def set_up(scene: Scene) -> Call:
        return functools.partial(_tree_pairs, *_two(scene), PAIR_THRESHOLD)

    return Contender(set_up, lambda found: by_row(*found), largest)


def _shapely_ready() -> Contender:
    """Geometries and tree are made before, and what is timed is the query and the scores."""

    def set_up(scene: Scene) -> Call:
        import shapely

        boxes1, boxes2 = _two(scene)
        shapes, tree = shapely.box(*boxes1.T), shapely.STRtree(shapely.box(*boxes2.T))

        def call() -> Any:
            rows, cols = tree.query(shapes)
            return _above(rows, cols, boxes1, boxes2, PAIR_THRESHOLD)

        return call

    return Contender(set_up, lambda found: by_row(*found))


def _geoindex() -> Contender:
    """Packed Hilbert R-trees of both sets, joined."""

    def set_up(scene: Scene) -> Call:
        from geoindex_rs import rtree

        boxes1, boxes2 = _two(scene)

        def tree(boxes: Array) -> Any:
            builder = rtree.RTreeBuilder(len(boxes), coord_type="float32")
            builder.add(*np.ascontiguousarray(boxes.T))
            return builder.finish()

        def call() -> Any:
            found = rtree.tree_join(tree(boxes1), tree(boxes2))
            rows, cols = (np.asarray(found.column(side)).astype(np.int64) for side in range(2))
            return _above(rows, cols, boxes1, boxes2, PAIR_THRESHOLD)

        return call

    return Contender(set_up, lambda found: by_row(*found))


def _shapely_self() -> Contender:
    """The tree gives every pair twice, and each box with itself; half of that is scored."""

    def set_up(scene: Scene) -> Call:
        import shapely

        boxes, _ = _two(scene)

        def call() -> Any:
            shapes = shapely.box(*boxes.T)
            rows, cols = shapely.STRtree(shapes).query(shapes)
            once = rows < cols
            return _above(rows[once], cols[once], boxes, boxes, PAIR_THRESHOLD)

        return call

    return Contender(set_up, lambda found: by_row(*found))


def _read_best(found: Any) -> tuple[Array, Array, Array]:
    """Indices, how many each box has, and values: what two libraries must agree in."""
    values, indices = (np.asarray(part) for part in found)
    return indices, np.count_nonzero(indices >= 0, axis=1), values


def _fastiou_best() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        boxes1, boxes2 = _two(scene)
        topk: Any = fastiou.topk
        return lambda: topk(boxes1, boxes2, BEST, threshold=PAIR_THRESHOLD)

    def read(found: Any) -> tuple[Array, Array, Array]:
        return _read_best((found.values, found.indices))

    return Contender(set_up, read)


def _shapely_best() -> Contender:
    """All pairs above the threshold, then the first few of each row by descending value."""

    def set_up(scene: Scene) -> Call:
        boxes1, boxes2 = _two(scene)

        def call() -> Any:
            rows, cols, values = _tree_pairs(boxes1, boxes2, PAIR_THRESHOLD)
            order = np.lexsort((cols, -values, rows))
            rows, cols, values = rows[order], cols[order], values[order]
            place = np.arange(len(rows)) - np.searchsorted(rows, rows)
            first = place < BEST
            best = np.zeros((len(boxes1), BEST), np.float32)
            indices = np.full((len(boxes1), BEST), -1)
            best[rows[first], place[first]] = values[first]
            indices[rows[first], place[first]] = cols[first]
            return best, indices

        return call

    return Contender(set_up, _read_best, 100_000)


def _best_bound() -> Contender:
    def outputs(scene: Scene) -> list[tuple[int, Any]]:
        size = len(scene.boxes1) * BEST
        return [(size, np.float32), (size, np.int64)]

    return read_and_fill_bound(_two, outputs)


# ---- suppression of boxes ----------------------------------------------------------------------


def _kept(found: Any) -> Array:
    """The set of boxes that are kept, whatever their order."""
    return np.sort(np.asarray(found).astype(np.int64))


def _fastiou_nms() -> Contender:
    def set_up(scene: Scored) -> Call:
        import fastiou

        boxes, scores = scene.boxes.astype(np.float32), scene.scores.astype(np.float32)
        nms: Any = fastiou.nms
        return lambda: nms(boxes, scores, BETWEEN)

    return Contender(set_up, _kept)


def _nms_bound() -> Contender:
    def outputs(scene: Scored) -> list[tuple[int, Any]]:
        return [(len(_fastiou_nms().set_up(scene)()), np.int64)]

    def inputs(scene: Scored) -> list[Array]:
        return [scene.boxes.astype(np.float32), scene.scores.astype(np.float32)]

    return read_and_fill_bound(inputs, outputs)


def _powerboxes_nms(function: str, largest: int | None) -> Contender:
    """The scores must be float64."""

    def set_up(scene: Scored) -> Call:
        import powerboxes

        nms = getattr(powerboxes, function)
        return lambda: nms(scene.boxes, scene.scores, BETWEEN, 0.0)

    return Contender(set_up, _kept, largest)


def _lsnms(largest: int | None) -> Contender:
    """Its default, an R-tree in Rust.."""

    def set_up(scene: Scored) -> Call:
        import lsnms

        return lambda: lsnms.nms(scene.boxes, scene.scores, BETWEEN, 0.0)

    return Contender(set_up, _kept, largest)


def _torch_kept(boxes: Any, scores: Any) -> Any:
    """torchvision's algorithm: the best box suppresses what is left, again and again."""
    import torch

    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = scores.argsort(descending=True)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[order, :2])
        high = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        intersection = (high - low).clamp(min=0).prod(1)
        union = areas[best] + areas[order] - intersection
        order = order[intersection / union <= BETWEEN]
    return torch.stack(kept)


def _torch_nms(largest: int) -> Contender:
    def set_up(scene: Scored) -> Call:
        import torch

        boxes, scores = (torch.from_numpy(part.astype(np.float32)) for part in scene)
        return lambda: _torch_kept(boxes, scores)

    return Contender(set_up, _kept, largest)


def _supervision_nms(largest: int) -> Contender:
    """It makes the dense scores: at 10,000 boxes six arrays of 800 MB."""

    def set_up(scene: Scored) -> Call:
        import supervision

        predictions = np.hstack([scene.boxes, scene.scores[:, None]])
        return lambda: supervision.box_non_max_suppression(predictions, BETWEEN)

    return Contender(set_up, np.flatnonzero, largest)


# ---- suppression of masks ----------------------------------------------------------------------

MASK_THRESHOLD = 0.5


def _fastiou_mask_nms(*, packed: bool = False) -> Contender:
    """Of dense masks, as the peer has them; or of `Masks`, packed before."""

    def set_up(scene: Blobs) -> Call:
        import fastiou

        dense, scores = scene
        nms: Any = fastiou.nms
        if not packed:
            return lambda: nms(fastiou.Masks.from_dense(dense), scores, MASK_THRESHOLD)
        masks = fastiou.Masks.from_dense(dense)
        return lambda: nms(masks, scores, MASK_THRESHOLD)

    return Contender(set_up, _kept)


def _predictions(scene: Blobs) -> Array:
    """The boxes in it serve to tell boxes from masks; only scores and classes are used."""
    return np.hstack([np.zeros((len(scene.scores), 4)), scene.scores[:, None]])


def _supervision_mask_nms() -> Contender:
    def set_up(scene: Blobs) -> Call:
        import supervision

        predictions = _predictions(scene)
        return lambda: supervision.mask_non_max_suppression(
            predictions, scene.dense, MASK_THRESHOLD
        )

    return Contender(set_up, np.flatnonzero)


def _supervision_compact() -> Contender:
    """Its masks as run lengths within their boxes, which are made before."""

    def set_up(scene: Blobs) -> Call:
        import supervision
        from supervision.detection.compact_mask import CompactMask

        from fastiou import masks_to_boxes

        boxes = np.asarray(masks_to_boxes(scene.dense))
        masks = CompactMask.from_dense(scene.dense, boxes, (HEIGHT, WIDTH))
        predictions = _predictions(scene)
        return lambda: supervision.mask_non_max_suppression(predictions, masks, MASK_THRESHOLD)

    return Contender(set_up, np.flatnonzero)


def _mask_nms_bound() -> Contender:
    def outputs(scene: Blobs) -> list[tuple[int, Any]]:
        return [(len(_fastiou_mask_nms().set_up(scene)()), np.int64)]

    return read_and_fill_bound(lambda scene: [scene.dense, scene.scores], outputs)


# ---- matching ----------------------------------------------------------------------------------


def _total(found: tuple[Any, int]) -> Array:
    """The sum of the values of a matching, for each box."""
    values, count = found
    return np.atleast_1d(np.sum(np.asarray(values), dtype=np.float64) / count)


def _fastiou_optimal() -> Contender:
    def set_up(scene: Scene) -> Call:
        import fastiou

        boxes1, boxes2 = _two(scene)
        match: Any = fastiou.match
        return lambda: (
            match(boxes1, boxes2, MATCH_THRESHOLD, method="optimal").values,
            len(boxes1),
        )

    return Contender(set_up, _total)


def _optimal_bound() -> Contender:
    def outputs(scene: Scene) -> list[tuple[int, Any]]:
        found = len(_fastiou_optimal().set_up(scene)()[0])
        alone = len(scene.boxes1) + len(scene.boxes2) - 2 * found
        return [(found, np.int64), (found, np.int64), (found, np.float32), (alone, np.int64)]

    return read_and_fill_bound(_two, outputs)


def _gated(scene: Scene) -> Array:
    """All scores, and 0, which is what nobody gains, below the threshold."""
    boxes1, boxes2 = _two(scene)
    scores = np.empty((len(boxes1), len(boxes2)))
    for own, box in zip(scores, boxes1, strict=True):
        own[:] = numpy_scores(np.broadcast_to(box, boxes2.shape), boxes2)
    scores[scores < MATCH_THRESHOLD] = 0
    return scores


def _dense_optimal(solve: Callable[[Array], tuple[Any, Any]], negated: bool) -> Contender:
    """The gated scores, or their costs, are made before: they would take longer than some solvers.

    A solver of dense matrices needs 200 MB of them at 5,000 a side.
    """

    def set_up(scene: Scene) -> Call:
        scores = _gated(scene)
        matrix = 1 - scores if negated else scores

        def call() -> tuple[Array, int]:
            rows, cols = solve(matrix)
            return scores[rows, cols], len(scores)

        return call

    return Contender(set_up, _total, 5_000)


def _scipy_dense() -> Contender:
    def solve(scores: Array) -> tuple[Any, Any]:
        from scipy.optimize import linear_sum_assignment

        rows, cols = linear_sum_assignment(scores, maximize=True)
        return rows, cols

    return _dense_optimal(solve, negated=False)


def _lapx() -> Contender:
    """Its fastest here: at 3,000 a side 35 ms, against 2.2 s of its `lapjv`."""

    def solve(costs: Array) -> tuple[Any, Any]:
        import lap

        rows, cols = lap.lapjvh(costs, return_cost=False)
        return rows, cols

    return _dense_optimal(solve, negated=True)


def _scipy_sparse(largest: int) -> Contender:
    """Pairs from a tree, and a matching that is full since every row may take a column of its own.

    Explicit zeros would be dropped, so that a pair costs 2 − its value, and staying alone 2. It
    took 50 ms at 5,000 a side and 14 s at 100,000.
    """

    def set_up(scene: Scene) -> Call:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import min_weight_full_bipartite_matching

        boxes1, boxes2 = _two(scene)

        def call() -> tuple[Array, int]:
            rows, cols, values = _tree_pairs(boxes1, boxes2, MATCH_THRESHOLD)
            count, other = len(boxes1), len(boxes2)
            alone = np.arange(count)
            costs = np.concatenate([2 - values.astype(np.float64), np.full(count, 2.0)])
            where = np.concatenate([rows, alone]), np.concatenate([cols, other + alone])
            graph = csr_array((costs, where), shape=(count, other + count))
            matched = min_weight_full_bipartite_matching(graph)
            return 2 - np.asarray(graph[matched]).reshape(-1), count

        return call

    return Contender(set_up, _total, largest)


# ---- COCO's matching ---------------------------------------------------------------------------

COCO_THRESHOLD = 0.5


def _group(scene: Annotated, which: int) -> Array:
    group: Array = scene.images[which] * CLASSES + scene.classes[which]
    return group


def _fastiou_coco() -> Contender:
    def set_up(scene: Annotated) -> Call:
        import fastiou

        groups = _group(scene, 0), _group(scene, 1)
        match: Any = fastiou.match
        call = functools.partial(
            match,
            scene.detections,
            scene.truths,
            COCO_THRESHOLD,
            method="coco",
            scores=scene.scores,
            fmt="xywh",
            groups=groups,
        )
        return lambda: (call(), len(scene.detections))

    def read(found: Any) -> Array:
        result, count = found
        truth = np.zeros(count, np.int64)
        truth[result.rows] = np.asarray(result.cols) + 1
        return truth

    return Contender(set_up, read)


def _coco_bound() -> Contender:
    def inputs(scene: Annotated) -> list[Array]:
        groups = [_group(scene, 0), _group(scene, 1)]
        return [scene.detections, scene.truths, scene.scores, *groups]

    def outputs(scene: Annotated) -> list[tuple[int, Any]]:
        found = len(_fastiou_coco().set_up(scene)()[0].rows)
        alone = len(scene.detections) + len(scene.truths) - 2 * found
        return [(found, np.int64), (found, np.int64), (found, np.float64), (alone, np.int64)]

    return read_and_fill_bound(inputs, outputs)


def _data_set(scene: Annotated) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same in the words of COCO, which count from 1."""
    truths = [
        {
            "id": number + 1,
            "image_id": int(scene.images[1][number]) + 1,
            "category_id": int(scene.classes[1][number]) + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for number, box in enumerate(scene.truths.tolist())
    ]
    found = [
        {
            "image_id": int(scene.images[0][number]) + 1,
            "category_id": int(scene.classes[0][number]) + 1,
            "bbox": box,
            "score": float(scene.scores[number]),
        }
        for number, box in enumerate(scene.detections.tolist())
    ]
    data = {
        "info": {},
        "images": [
            {"id": int(image) + 1, "width": 640, "height": 640}
            for image in np.unique(scene.images[0])
        ],
        "categories": [{"id": number + 1, "name": str(number)} for number in range(CLASSES)],
        "annotations": truths,
    }
    return data, found


#: All areas.
ANY_AREA = [0.0, 1e10]


def _loaded(module: Any, evaluation: Any, scene: Annotated, **options: Any) -> Any:
    """An evaluation of one threshold and all areas; with pycocotools' names."""
    data, found = _data_set(scene)
    truths = module.COCO()
    truths.dataset = data
    truths.createIndex()
    ready = evaluation(truths, truths.loadRes(found), "bbox", **options)
    ready.params.iouThrs = np.array([COCO_THRESHOLD])
    ready.params.areaRng, ready.params.areaRngLbl = [ANY_AREA], ["all"]
    ready.params.maxDets = [DETECTIONS]
    return ready


def _matched_truths(images: Any) -> Array:
    """For each detection the number of its ground truth, or 0, of `evalImgs`."""
    matched = {
        number: int(truth)
        for image in images
        if image
        for number, truth in zip(image["dtIds"], image["dtMatches"][0], strict=True)
    }
    return np.array([matched[number] for number in sorted(matched)], np.int64)


def _silently(evaluate: Call) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluate()


def _pycocotools_coco() -> Contender:
    """It loops over images and classes in Python: 12 s at 5,000 images."""

    def set_up(scene: Annotated) -> Call:
        from pycocotools import coco, cocoeval

        with contextlib.redirect_stdout(io.StringIO()):
            ready = _loaded(coco, cocoeval.COCOeval, scene)

        def call() -> Any:
            _silently(ready.evaluate)
            return ready.evalImgs

        return call

    return Contender(set_up, _matched_truths, 500)


def _hotcoco_coco() -> Contender:
    def set_up(scene: Annotated) -> Call:
        import hotcoco

        data, found = _data_set(scene)
        with contextlib.redirect_stdout(io.StringIO()):
            truths = hotcoco.COCO(data)
            ready: Any = hotcoco.COCOeval(truths, truths.loadRes(found), "bbox")
        ready.params.iou_thrs = [COCO_THRESHOLD]
        ready.params.area_rng, ready.params.area_rng_lbl = [ANY_AREA], ["all"]
        ready.params.max_dets = [DETECTIONS]

        def call() -> Any:
            ready.evaluate()
            return ready

        return call

    return Contender(set_up, lambda ready: _matched_truths(ready.evalImgs))


def _faster_coco() -> Contender:
    """What its C++ matches can be read only where it accumulates as well, which is not timed."""

    def set_up(scene: Annotated) -> Call:
        import faster_coco_eval

        ready = _loaded(
            faster_coco_eval,
            faster_coco_eval.COCOeval_faster,
            scene,
            separate_eval=True,
            print_function=lambda *_: None,
        )

        def call() -> Any:
            ready.evaluate()
            return ready, len(scene.detections)

        return call

    def read(found: Any) -> Array:
        ready, count = found
        ready.separate_eval = False
        ready.evaluate()
        ready.separate_eval = True
        truth = np.zeros(count, np.int64)
        for pair in ready.eval["matched"]:
            detection, number = map(int, pair.split("_"))
            truth[detection - 1] = number
        return truth

    return Contender(set_up, read)


# ---- the table ---------------------------------------------------------------------------------

MILLION = (1_000, 10_000, 100_000, 1_000_000)

JOIN_WORKLOADS: dict[str, Workload] = {
    "pairs-large": Workload(
        "Pairs with IoU ≥ 0.1 of two sets of any size, about ten overlaps a box",
        "boxes per side",
        sparse,
        MILLION,
        {
            "read and fill": _pairs_bound(),
            "fastiou": _fastiou_pairs(),
            "shapely STRtree": _shapely_pairs(),
            "shapely, tree ready": _shapely_ready(),
            "geoindex-rs": _geoindex(),
        },
        1e-6,
        (10_000,),
        ("boxes of a side", lambda size: size),
        "float32 boxes of 1 to 30 units at 0.01 per square unit: a million on 10,000 × 10,000. "
        "shapely makes geometries and tree within the time, then the IoU of all candidates with "
        "NumPy; where the tree is ready, only query and IoU are timed. geoindex-rs builds and "
        "joins two trees, then the same. The bound is reading the boxes and writing the pairs.",
        ("pairs",),
    ),
    "pairs-skewed": Workload(
        "Pairs with IoU ≥ 0.1 within a set with page-sized boxes and a pile",
        "boxes",
        skewed,
        (20_000, 200_000),
        {
            "read and fill": _pairs_bound(self_join=True),
            "fastiou": _fastiou_pairs(self_join=True),
            "shapely STRtree": _shapely_self(),
        },
        1e-6,
        (20_000,),
        None,
        "As above, but of 200,000 boxes 20 are as large as the page and 2,000 lie in one pile, "
        "whose two million pairs are all found.",
        ("pairs",),
    ),
    "topk-large": Workload(
        "The five best with IoU ≥ 0.1 for each box of two sets of any size",
        "boxes per side",
        sparse,
        MILLION,
        {
            "read and fill": _best_bound(),
            "fastiou": _fastiou_best(),
            "shapely STRtree": _shapely_best(),
        },
        1e-6,
        (10_000,),
        ("boxes of a side", lambda size: size),
        "The sets of the pairs above. No library has this: the peer sorts the pairs that it finds "
        "with shapely.",
        ("topk",),
    ),
    "nms": Workload(
        "NMS of boxes at constant density: of a hundred boxes 41 are suppressed",
        "boxes",
        detections,
        (1_000, 10_000, 100_000),
        {
            "read and fill": _nms_bound(),
            "fastiou": _fastiou_nms(),
            "powerboxes serial": _powerboxes_nms("nms", 10_000),
            "powerboxes R-tree": _powerboxes_nms("rtree_nms", None),
            "lsnms": _lsnms(None),
            "torch formula": _torch_nms(1_000),
            "supervision": _supervision_nms(3_000),
        },
        0.0,
        (10_000,),
        ("boxes", lambda size: size),
        "Boxes of 10 to 30 units, four per 100 square units, threshold 0.5. fastiou and torch have "
        "float32, powerboxes, lsnms and supervision float64. All keep the same boxes. The bound is "
        "reading boxes and scores and writing what is kept.",
        ("nms",),
    ),
    "nms-pile": Workload(
        "NMS of one pile, in which each box meets each",
        "boxes",
        pile,
        (1_000, 3_000, 10_000, 30_000),
        {
            "read and fill": _nms_bound(),
            "fastiou": _fastiou_nms(),
            "powerboxes serial": _powerboxes_nms("nms", None),
            "powerboxes R-tree": _powerboxes_nms("rtree_nms", None),
            "lsnms": _lsnms(None),
            "torch formula": _torch_nms(3_000),
            "supervision": _supervision_nms(3_000),
        },
        0.0,
        (3_000,),
        ("boxes", lambda size: size),
        "Boxes that reach 1 to 100 units from one point; threshold 0.5. No index leaves any out.",
        ("nms",),
    ),
    "mask-nms": Workload(
        "NMS of masks: lobed shapes in 480 × 640",
        "masks",
        blobs,
        (100, 300, 1_000),
        {
            "read and fill": _mask_nms_bound(),
            "fastiou": _fastiou_mask_nms(),
            "fastiou, packed": _fastiou_mask_nms(packed=True),
            "supervision, dense": _supervision_mask_nms(),
            "supervision, compact": _supervision_compact(),
        },
        0.0,
        (100,),
        ("masks", lambda size: size),
        "Three predictions of each object, threshold 0.5. fastiou packs the dense masks within the "
        "time, or has `Masks`; supervision has dense masks, whose IoU it makes at full size (its "
        "`mask_dimension` no longer does anything), or its run lengths within boxes. The bound is "
        "reading the dense masks.",
        ("nms",),
    ),
    "match-optimal": Workload(
        "Matching with the largest sum of IoU ≥ 0.3 of two sets",
        "boxes per side",
        sparse,
        (1_000, 3_000, 10_000, 100_000),
        {
            "read and fill": _optimal_bound(),
            "fastiou": _fastiou_optimal(),
            "scipy, dense": _scipy_dense(),
            "lapx": _lapx(),
            "scipy, sparse": _scipy_sparse(10_000),
        },
        1e-6,
        (1_000,),
        ("boxes of a side", lambda size: size),
        "The sets of the pairs above. The dense solvers (scipy's `linear_sum_assignment`, lapx' "
        "`lapjvh`) have the dense matrix ready, in which pairs below the threshold count nothing; "
        "the sparse one (scipy's `min_weight_full_bipartite_matching`) finds its pairs with "
        "shapely within the time, and is left out where it takes 14 s. All reach the same sum.",
        ("match",),
    ),
    "match-coco": Workload(
        "COCO's matching: images of 100 detections and 7 ground truths, 80 classes",
        "images",
        annotated,
        (500, 5_000),
        {
            "read and fill": _coco_bound(),
            "fastiou": _fastiou_coco(),
            "pycocotools": _pycocotools_coco(),
            "hotcoco": _hotcoco_coco(),
            "faster-coco-eval": _faster_coco(),
        },
        0.0,
        (500,),
        ("images", lambda size: size),
        "The peers run `COCOeval.evaluate` alone, on loaded data, at the threshold 0.5 and for all "
        "areas. All match the same detections to the same ground truths.",
        ("match",),
    ),
}
