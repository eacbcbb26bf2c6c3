"""A geometry outside the package, one file and one row, has every relation."""

from __future__ import annotations

import dataclasses
import math
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array
from masks_for_tests import METRICS as RATIOS

import fastiou
from fastiou import reference
from fastiou.geometries import table
from fastiou.geometry import Small
from fastiou.metrics import Need


@pytest.fixture(autouse=True)
def circles() -> Iterator[None]:
    row = table.Row("circle", "circles_for_tests", {"xyr": 3})
    table.add_row(row)
    yield
    table.ROWS.remove(row)
    del table.FORMATS["xyr"]


def random_circles(rng: np.random.Generator, count: int) -> Array:
    return np.concatenate([rng.random((count, 2)) * 60, 1 + 9 * rng.random((count, 1))], axis=1)


def shared(circle1: Array, circle2: Array) -> float:
    """The area of a lens, by strips."""
    (x1, y1, r1), (x2, y2, r2) = circle1, circle2
    x = np.linspace(max(x1 - r1, x2 - r2), min(x1 + r1, x2 + r2), 4001)
    if x[0] >= x[-1]:
        return 0.0
    half1, half2 = (np.sqrt(np.maximum(r * r - (x - c) ** 2, 0)) for c, r in ((x1, r1), (x2, r2)))
    high = np.minimum(y1 + half1, y2 + half2) - np.maximum(y1 - half1, y2 - half2)
    return float(np.maximum(high, 0).mean() * (x[-1] - x[0]))


@pytest.mark.slow(on_one_thread=True)
@pytest.mark.parametrize("metric", ["iou", "iof"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_relation_has_circles(
    rng: np.random.Generator, metric: str, dtype: type, any_threads: str
) -> None:
    a, b = (random_circles(rng, count).astype(dtype) for count in (130, 90))
    options: dict[str, Any] = {"fmt": "xyr", "metric": metric}
    dense = fastiou.box_iou(a, b, **options)
    assert dense.dtype == dtype
    overlaps = np.array([[shared(one, other) for other in b] for one in a])
    areas1, areas2 = (np.pi * circles[:, 2] ** 2 for circles in (a, b))
    union = areas1[:, None] + areas2 - overlaps if metric == "iou" else areas1[:, None]
    np.testing.assert_allclose(dense, overlaps / union, atol=2e-3)
    np.testing.assert_array_equal(
        fastiou.box_iou(a[:90], b, aligned=True, **options), np.diagonal(dense)
    )
    batches = fastiou.box_iou(a.reshape(2, 65, 3), b, **options)
    np.testing.assert_array_equal(batches.reshape(130, 90), dense)
    crowd = rng.random(90) < 0.3
    shares = fastiou.box_iou(a, b, fmt="xyr", metric="iof")
    np.testing.assert_array_equal(
        fastiou.box_iou(a, b, iscrowd=crowd, **options), np.where(crowd, shares, dense)
    )
    rows, cols, values = reference.box_pairs(dense, 0.2)
    found = fastiou.pairs(a, b, 0.2, **options)
    assert len(found) > 20
    for part, expected in zip(found, (rows, cols, values), strict=True):
        np.testing.assert_array_equal(part, expected)
    groups = rng.integers(0, 3, 130), rng.integers(0, 3, 90)
    kept = groups[0][rows] == groups[1][cols]
    assert fastiou.pairs(a, b, 0.2, groups=groups, **options).rows.tolist() == rows[kept].tolist()
    best = fastiou.topk(a, b, 3, **options)
    np.testing.assert_array_equal(best.values, -np.sort(-dense, axis=1)[:, :3])
    for method in ("greedy", "optimal"):
        assert len(fastiou.match(a, b, 0.2, method=method, **options)) > 10
    scores = rng.random(130)
    dense = fastiou.box_iou(a, a, **options)
    alive, expected = np.ones(130, np.bool_), []
    for i in np.argsort(-scores):
        if alive[i]:
            expected.append(int(i))
            alive &= dense[i] <= dtype(0.3)
    assert fastiou.nms(a, scores, 0.3, **options).tolist() == expected
    assert len(fastiou.nms(a, scores, 0.3, method="linear", **options)) == 130


def test_circles_are_refused_what_they_do_not_measure(rng: np.random.Generator) -> None:
    a = random_circles(rng, 3)
    with pytest.raises(ValueError, match="metric of circles must be one of 'iou', 'iof'"):
        fastiou.box_iou(a, a, fmt="xyr", metric="giou")
    with pytest.raises(ValueError, match=r"boxes1 must have the shape \(..., N, 3\), got \(3, 4\)"):
        fastiou.box_iou(np.ones((3, 4)), a, fmt="xyr")
    assert RATIOS == ["iou", "iof", "ios", "dice", "intersection"]


def test_areas_and_missing_circles() -> None:
    circles = [[0, 0, 2.0], [0, 0, -1], [math.nan, 0, 1]]
    areas = fastiou.box_area(circles, "xyr")
    np.testing.assert_allclose(areas, [4 * math.pi, 0, math.nan])
    scores = fastiou.box_iou(circles, circles, "xyr")
    np.testing.assert_array_equal(scores[:2, :2], [[1, 0], [0, 0]])
    assert np.isnan(scores[2]).all()
    assert np.isnan(scores[:, 2]).all()


def test_kernels_are_compiled_anew_where_any_file_of_a_geometry_changes(tmp_path: Path) -> None:
    """They are found on disk by its label."""
    row = table.FORMATS["xyr"].load()
    assert re.fullmatch("circle-[0-9a-f]{8}", row.label)
    measured, prepared = [], []
    for factor in (1, 2):
        file = tmp_path / f"elsewhere{factor}.py"
        file.write_text(f"def function(circle1, circle2):\n    return {factor}, 1, 1\n")
        function = runpy.run_path(str(file), run_name=f"elsewhere{factor}")["function"]
        measured.append(dataclasses.replace(row, measures={Need.OVERLAP: function}).label)
        small = Small(1, lambda *_: 0, function, lambda _: (1.0, 0.0))
        prepared.append(dataclasses.replace(row, small=small).label)
    assert len({row.label, *measured}) == 3
    assert len({row.label, *prepared}) == 3
    assert table.FORMATS["xyxy"].load().label == "box"
