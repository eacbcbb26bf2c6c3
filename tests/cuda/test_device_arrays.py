"""Arrays on a GPU are scored there: nothing is copied to the host, and nothing is waited for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, random_boxes
from counted_for_tests import counted
from numba import cuda

import fastiou
from fastiou.cuda.prepare import FINDINGS

INTERVALS = np.array([[0, 4], [1, 3], [5, 5], [3, 2], [2, 9]])

BOXES = np.array([[0, 0, 4, 3], [1, 1, 3, 5], [2, 2, 2, 4], [5, 4, 3, 6], [1, 2, 9, 4]])

ROTATED = np.array(
    [[2, 2, 4, 3, 30], [3, 3, 5, 2, -75], [4, 1, 0, 2, 10], [1, 2, 3, 4, 135], [2, 3, 2, 4, 90]]
)

CORNERS = np.array(
    [
        [0, 0, 4, 1, 5, 5, 1, 3],
        [1, 1, 4, 2, 2, 2, 1, 5],
        [1, 1, 1, 1, 2, 2, 2, 2],
        [0, 0, 0, 3, 3, 3, 3, 0],
    ]
)

SOLIDS = np.array([[0, 0, 0, 4, 3, 5], [1, 1, 1, 3, 5, 4], [2, 1, 2, 4, 0, 3], [2, 2, 1, 1, 3, 2]])

YAWED = np.column_stack([SOLIDS[:, :3], SOLIDS[:, 3:] + 1, [0.3, -1.2, 2.0, 3.1]])

#: Members of each format, with empty and inverted ones.
MEMBERS = {
    "xyxy": BOXES, "xywh": BOXES, "cxcywh": BOXES,
    "cxcywhr": ROTATED, "cxcywhr-rad": ROTATED, "cxcywhr-cw": ROTATED, "xywhr": ROTATED,
    "xyxyxyxy": CORNERS, "xyzxyz": SOLIDS, "cxcyczwhd": SOLIDS, "xyzwhdr": YAWED,
    "xyzwhdr-bottom": YAWED, "xx": INTERVALS,
}  # fmt: skip


def score(a: Any, b: Any, fmt: str, **options: Any) -> Any:
    return fastiou.box_iou(a, b, fmt, **options)


def same_on_the_gpu(a: Array, b: Array, fmt: str, **options: Any) -> None:
    """Score arrays on the GPU and on the host: the same bits, and no way through the host."""
    expected = score(a, b, fmt, **options)
    on_gpu1 = cuda.to_device(a)
    on_gpu2 = on_gpu1 if b is a else cuda.to_device(b)
    with counted() as counts:
        found = score(on_gpu1, on_gpu2, fmt, **options)
    assert (counts.to_host, counts.to_gpu, counts.waits) == ([], [], 0)
    host = found.copy_to_host()
    assert host.dtype == expected.dtype
    np.testing.assert_array_equal(host, expected)


@pytest.mark.parametrize("fmt", MEMBERS)
@pytest.mark.parametrize(
    "dtype", [pytest.param(np.float32, marks=pytest.mark.thorough), np.float64]
)
def test_formats(fmt: str, dtype: type) -> None:
    members = MEMBERS[fmt].astype(dtype)
    members[1:] += members.dtype.type(0.3)
    same_on_the_gpu(members, members[::-1].copy(), fmt)
    same_on_the_gpu(members, members, fmt, aligned=True)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "?"])
def test_dtypes(dtype: str) -> None:
    boxes = BOXES.astype(dtype)
    same_on_the_gpu(boxes, boxes.astype(np.float32), "cxcywh")
    same_on_the_gpu(boxes, boxes, "xywh", aligned=True)
    corners = CORNERS.astype(dtype)
    same_on_the_gpu(corners, corners, "xyxyxyxy")


@pytest.mark.parametrize("metric", ["giou", "diou", "intersection"])
def test_metrics(rng: np.random.Generator, metric: str) -> None:
    for dtype in (np.float32, np.float64):
        boxes = random_boxes(rng, 6, dtype)
        same_on_the_gpu(boxes, boxes[:5], "xyxy", metric=metric)
        same_on_the_gpu(boxes, boxes, "xyxy", metric=metric, aligned=True)


@pytest.mark.parametrize(
    "power",
    [-540, 70, *(pytest.param(n, marks=pytest.mark.thorough) for n in (-70, -1, 300, 1000))],
)
@pytest.mark.parametrize(
    "fmt",
    [
        *("xyxy", "cxcywhr", "xyxyxyxy"),
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("xyzxyz", "xx")),
    ],
)
def test_sizes_that_the_arithmetic_is_not_fit_for(fmt: str, power: int) -> None:
    members = MEMBERS[fmt].astype(np.float64)
    last = -1 if fmt == "cxcywhr" else None
    members[:, :last] = np.ldexp(members[:, :last], power)
    metric = "iou" if fmt == "cxcywhr" else "intersection"
    same_on_the_gpu(members, members, fmt, metric=metric)
    if abs(power) < 100:
        same_on_the_gpu(members.astype(np.float32), members.astype(np.float32), fmt, metric=metric)
        same_on_the_gpu(members, members.astype(np.float32), fmt, metric=metric, aligned=True)


@pytest.mark.parametrize("fmt", ["xyxy", "cxcywhr", "xyxyxyxy", "xyzwhdr", "xx"])
def test_missing_members(fmt: str) -> None:
    members = MEMBERS[fmt].astype(np.float32)
    members[1, 1] = members[3] = np.nan
    same_on_the_gpu(members, members, fmt)
    same_on_the_gpu(members, MEMBERS[fmt].astype(np.float32), fmt, aligned=True)


def test_batches_and_strides(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 12, np.float32)
    batches = boxes.reshape(3, 4, 4)
    same_on_the_gpu(batches[0], batches[1], "xyxy")
    same_on_the_gpu(batches, batches, "xyxy", aligned=True)
    found = score(cuda.to_device(batches), cuda.to_device(batches[0]), "xyxy")
    np.testing.assert_array_equal(found.copy_to_host(), score(batches, batches[0], "xyxy"))
    rows = cuda.to_device(np.column_stack([boxes, boxes]))[:, 2:6]  # no copy of the columns
    with counted() as counts:
        found = score(rows, rows, "xyxy")
    assert (counts.to_host, counts.to_gpu, counts.waits) == ([], [], 0)
    host = boxes[:, [2, 3, 0, 1]]
    np.testing.assert_array_equal(found.copy_to_host(), score(host, host, "xyxy"))


def test_what_is_refused_is_missing_unless_it_is_asked_for() -> None:
    boxes = BOXES.astype(np.float32)
    boxes[2, 1] = np.inf
    on_gpu = cuda.to_device(boxes)
    found = score(on_gpu, on_gpu, "xyxy").copy_to_host()
    boxes[2] = np.nan
    np.testing.assert_array_equal(found, score(boxes, boxes, "xyxy"))
    for options in ({"check": True}, {"out": np.full((5, 5), -7, np.float32)}):
        with pytest.raises(ValueError, match="boxes2 has an infinite coordinate in row 2"):
            score(cuda.to_device(boxes), on_gpu, "xyxy", **options)
        assert (options.get("out", -7) == np.float32(-7)).all()
    with pytest.raises(ValueError, match="boxes1 has an infinite coordinate in row 2"):
        score(on_gpu, boxes, "xyxy")
    crossing = cuda.to_device(np.array([[0, 0, 2, 2, 2, 0, 0, 2.0]]))
    assert np.isnan(score(crossing, crossing, "xyxyxyxy").copy_to_host()).all()
    with pytest.raises(ValueError, match="cross"):
        score(crossing, crossing, "xyxyxyxy", check=True)


def test_what_the_host_prepares() -> None:
    """Large integers share an origin, angles are NumPy's, kernels read no foreign bytes."""
    boxes = BOXES + np.iinfo(np.int64).max - 100
    on_gpu = cuda.to_device(boxes)
    found = score(on_gpu, on_gpu, "xyxy").copy_to_host()
    np.testing.assert_array_equal(found, score(boxes, boxes, "xyxy"))
    floats = BOXES.astype(np.float32)
    found = score(cuda.to_device(floats), cuda.to_device(floats), "xyxy", metric="ciou")
    np.testing.assert_array_equal(
        found.copy_to_host(), score(floats, floats, "xyxy", metric="ciou")
    )
    foreign = BOXES.astype(">f4")
    found = score(cuda.to_device(foreign), cuda.to_device(foreign), "xyxy")
    np.testing.assert_array_equal(found.copy_to_host(), score(foreign, foreign, "xyxy"))


@pytest.mark.parametrize("fmt", ["xywh", pytest.param("cxcywhr", marks=pytest.mark.thorough)])
def test_integers_of_64_bits(fmt: str) -> None:
    """Only what tells that they are not too large for this is copied, and waited for."""
    members = MEMBERS[fmt].astype(np.int64)
    members[:, :2] -= 2**49
    on_gpu = cuda.to_device(members), cuda.to_device(members[::-1].astype(np.int64))
    for aligned in (False, True):
        with counted() as counts:
            found = score(*on_gpu, fmt, aligned=aligned)
        assert (counts.to_host, counts.to_gpu, counts.waits) == ([FINDINGS], [], 1)
        expected = score(members, members[::-1].astype(np.int64), fmt, aligned=aligned)
        np.testing.assert_array_equal(found.copy_to_host(), expected)
