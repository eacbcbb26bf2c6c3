"""Every geometry with every metric that it has, in every relation: one table for both backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from boxes_for_tests import Array, random_boxes
from masks_for_tests import random_masks
from polygons_for_tests import star

import fastiou
from fastiou import reference, reference3d, reference_gaussians, reference_polygons
from fastiou.geometries.table import ROWS


class Sample(NamedTuple):
    """How members of a geometry are made for tests, and what scores them independently."""

    fmt: str
    #: `(rng, count) -> ` members, of which many overlap.
    make: Callable[[np.random.Generator, int], Any]
    #: `(a, b, metric) -> ` dense scores.
    oracle: Callable[[Any, Any, str], Array]
    #: By how much scores may differ from the oracle's.
    tolerance: float = 0.0


def rotated_boxes(rng: np.random.Generator, count: int) -> Array:
    numbers = [rng.random((count, 2)) * 20, 3 + 15 * rng.random((count, 2))]
    return np.concatenate([*numbers, 360 * rng.random((count, 1)) - 180], axis=1)


def rotated_oracle(a: Array, b: Array, metric: str) -> Array:
    if metric == "probiou":
        return reference_gaussians.probiou(a, b)
    return reference.rotated_iou(a, b, metric=metric)


def quadrilaterals(rng: np.random.Generator, count: int) -> Array:
    """A corner in each quarter around a point, so that edges never cross; many are concave."""
    angles = (np.arange(4) + 0.95 * rng.random((count, 4))) * np.pi / 2
    reach = 2 + 8 * rng.random((count, 4, 1))
    corners = 20 * rng.random((count, 1, 2)) + reach * np.stack(
        [np.cos(angles), np.sin(angles)], -1
    )
    return corners.reshape(count, 8)


def polygons(rng: np.random.Generator, count: int) -> list[list[Array]]:
    """Rings around points, some with a hole, and some with a part beside them."""
    found = []
    for centre in 20 * rng.random((count, 2)):
        rings = [star(rng, int(rng.integers(3, 20)), centre, 8)]
        if rng.random() < 0.3:
            rings.append(star(rng, 5, centre + 10 * (rng.random() < 0.5), 1))
        found.append(rings)
    return found


#: What makes a set of what `Sample.make` makes.
SETS: dict[str, Callable[[Any], Any]] = {
    "mask": fastiou.Masks.from_dense,
    "polygon": fastiou.Polygons,
}


def boxes3d(rng: np.random.Generator, count: int) -> Array:
    low = rng.random((count, 3)) * 20
    return np.concatenate([low, low + 3 + 12 * rng.random((count, 3))], axis=1)


def yawed_boxes(rng: np.random.Generator, count: int) -> Array:
    numbers = [rng.random((count, 3)) * 20, 3 + 12 * rng.random((count, 3))]
    return np.concatenate([*numbers, 8 * rng.random((count, 1)) - 4], axis=1)


def intervals(rng: np.random.Generator, count: int) -> Array:
    start = rng.random(count) * 100
    return np.column_stack([start, start + 3 + 12 * rng.random(count)])


SAMPLES = {
    "box": Sample(
        "xyxy",
        lambda rng, count: random_boxes(rng, count, span=20),
        lambda a, b, metric: reference.box_iou(a, b, metric=metric),
        1e-14,
    ),
    "rotated box": Sample(
        "cxcywhr",
        rotated_boxes,
        rotated_oracle,
        1e-11,
    ),
    "quadrilateral": Sample(
        "xyxyxyxy",
        quadrilaterals,
        lambda a, b, metric: reference.quadrilateral_iou(a, b, metric=metric),
        1e-12,
    ),
    "3-D box": Sample(
        "xyzxyz",
        boxes3d,
        lambda a, b, metric: reference3d.axis_aligned_iou(a, b, "xyzxyz", metric=metric),
        1e-14,
    ),
    "3-D box with yaw": Sample(
        "xyzwhdr",
        yawed_boxes,
        lambda a, b, metric: reference3d.yawed_iou(a, b, metric=metric),
        1e-11,
    ),
    "interval": Sample(
        "xx",
        intervals,
        lambda a, b, metric: reference3d.axis_aligned_iou(a, b, "xx", metric=metric),
        1e-14,
    ),
    "mask": Sample(
        "xyxy",
        lambda rng, count: random_masks(rng, count, (30, 40)),
        lambda a, b, metric: reference.mask_iou(a, b, metric=metric),
    ),
    "polygon": Sample(
        "xyxy",
        polygons,
        lambda a, b, metric: reference_polygons.polygon_iou(a, b, metric=metric),
        1e-12,
    ),
}

GEOMETRIES_AND_METRICS = [(row.name, metric) for row in ROWS for metric in row.load().metrics()]


def dense(sample: Sample, a: Any, b: Any, **options: Any) -> Array:
    if isinstance(a, fastiou.Masks):
        return fastiou.mask_iou(a, b, **options)
    if isinstance(a, fastiou.Polygons):
        return fastiou.polygon_iou(a, b, **options)
    return fastiou.box_iou(a, b, fmt=sample.fmt, **options)


class Case(NamedTuple):
    """Two sets of a geometry, a metric, and the scores that all relations must agree with."""

    sample: Sample
    a: Any
    b: Any
    options: dict[str, Any]
    scores: Array
    threshold: float


def case_of(rng: np.random.Generator, geometry: str, metric: str, sizes: tuple[int, int]) -> Case:
    """Scores are those of the dense result on the CPU, which is compared with the oracle here."""
    sample = SAMPLES[geometry]
    given = [sample.make(rng, size) for size in sizes]
    a, b = map(SETS[geometry], given) if geometry in SETS else given
    scores = dense(sample, a, b, metric=metric, device="cpu")
    expected = sample.oracle(*given, metric)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=sample.tolerance * expected.max())
    threshold = float(np.quantile(scores[scores > 0], 0.4))
    return Case(sample, a, b, {"metric": metric}, scores, threshold)


def check_dense(case: Case, rng: np.random.Generator, **device: Any) -> None:
    options = case.options | device
    found = dense(case.sample, case.a, case.b, **options)
    np.testing.assert_array_equal(found, case.scores)
    few = min(case.scores.shape)
    aligned = dense(case.sample, case.a[:few], case.b[:few], aligned=True, **options)
    np.testing.assert_array_equal(aligned, np.diagonal(case.scores))
    crowd = rng.random(case.scores.shape[1]) < 0.5
    shares = dense(case.sample, case.a, case.b, metric="iof", device="cpu")
    found = dense(case.sample, case.a, case.b, iscrowd=crowd, **options)
    np.testing.assert_array_equal(found, np.where(crowd, shares, case.scores))


def check_pairs(case: Case, rng: np.random.Generator, **device: Any) -> None:
    options = case.options | device | {"fmt": case.sample.fmt}
    rows, cols, values = reference.box_pairs(case.scores, case.threshold)
    assert len(rows) > 2
    found = fastiou.pairs(case.a, case.b, case.threshold, **options)
    for part, expected in zip(found, (rows, cols, values), strict=True):
        np.testing.assert_array_equal(part, expected)
    groups = [rng.integers(0, 3, size) for size in case.scores.shape]
    kept = groups[0][rows] == groups[1][cols]
    found = fastiou.pairs(case.a, case.b, case.threshold, groups=tuple(groups), **options)
    np.testing.assert_array_equal(found.cols, cols[kept])


def check_topk(case: Case, rng: np.random.Generator, **device: Any) -> None:
    options = case.options | device | {"fmt": case.sample.fmt}
    values, indices = fastiou.topk(case.a, case.b, 3, **options)
    expected = reference.topk(case.scores, 3)
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(indices, expected[1])


def check_match(case: Case, rng: np.random.Generator, **device: Any) -> None:
    options = case.options | {"fmt": case.sample.fmt}
    rows, cols = reference.greedy_match(case.scores, case.threshold)
    found = fastiou.match(case.a, case.b, case.threshold, **options)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.cols, cols)


def check_nms(case: Case, rng: np.random.Generator, **device: Any) -> None:
    options = case.options | device | {"fmt": case.sample.fmt}
    scores = rng.random(len(case.a))
    among = dense(case.sample, case.a, case.a, **case.options)
    alive, expected = np.ones(len(scores), np.bool_), []
    for i in np.argsort(-scores):
        if alive[i]:
            expected.append(int(i))
            alive &= ~(among[i] > case.threshold)
    assert 1 < len(expected) < len(scores)
    assert fastiou.nms(case.a, scores, case.threshold, **options).tolist() == expected


RELATIONS = {
    "dense": check_dense,
    "pairs": check_pairs,
    "topk": check_topk,
    "match": check_match,
    "nms": check_nms,
}
