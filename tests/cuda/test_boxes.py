"""Boxes on a GPU score what they score on the CPU, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes_for_tests import METRICS, Array, random_boxes
from numba import cuda

import fastiou
from fastiou.cuda.dense import dense_kernels
from fastiou.geometries.boxes import BOX
from fastiou.metrics import METRICS as METRIC_ROWS
from fastiou.runtime import gpu
from fastiou.runtime.gpu_kernel import CudaKernel


def same(found: Any, expected: Array) -> None:
    assert isinstance(found, np.ndarray)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert np.array_equal(found, expected, equal_nan=True)


def both(*arguments: Any, **options: Any) -> None:
    """Score on the GPU and on the CPU."""
    found = fastiou.box_iou(*arguments, **options, device="cuda")
    same(found, fastiou.box_iou(*arguments, **options, device="cpu"))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense(rng: np.random.Generator, metric: str, dtype: type) -> None:
    a, b = random_boxes(rng, 19, dtype), random_boxes(rng, 12, dtype)
    both(a, b, metric=metric)  # rows of whole accesses
    both(a[:3], b[:11], metric=metric)  # and others
    both(b, b, metric=metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_aligned(rng: np.random.Generator, metric: str, dtype: type) -> None:
    a, b = random_boxes(rng, 35, dtype), random_boxes(rng, 35, dtype)
    both(a, b, metric=metric, aligned=True)


def test_rows_and_columns_past_one_block(rng: np.random.Generator) -> None:
    a, b = random_boxes(rng, 37, np.float32), random_boxes(rng, 133, np.float32)
    both(a, b)
    both(a[:5], b[:132])


@pytest.mark.parametrize("metric", ["iou", "giou", "intersection"])
@pytest.mark.parametrize("columns", [8, 9])
def test_crowds(rng: np.random.Generator, metric: str, columns: int) -> None:
    a, b = random_boxes(rng, 5, np.float32), random_boxes(rng, columns, np.float32)
    crowd = np.arange(columns) % 3 == 0
    both(a, b, metric=metric, iscrowd=crowd)
    both(a, b, metric=metric, iscrowd=np.zeros(columns, np.bool_))
    both(b, b[::-1], metric=metric, iscrowd=crowd, aligned=True)


@pytest.mark.parametrize("metric", METRICS)
def test_missing_and_degenerate_boxes(metric: str) -> None:
    boxes = np.array(
        [
            [0, 0, 2, 2],
            [1, np.nan, 3, 3],
            [1, 1, 1, 1],
            [3, 3, 1, 1],
            [2, 0, 4, 2],
            [np.nan] * 4,
            [0, 0, 2, 0],
            [1, 0, 3, 2],
        ]
    )
    for dtype in (np.float32, np.float64):
        both(boxes.astype(dtype), boxes.astype(dtype), metric=metric)
        both(boxes.astype(dtype), boxes[:7].astype(dtype), metric=metric)
        both(boxes.astype(dtype), boxes[::-1].astype(dtype), metric=metric, aligned=True)


@pytest.mark.parametrize(
    "shapes", [((2, 3, 4), (2, 4, 4)), ((3, 1, 2, 4), (5, 4)), ((2, 3, 4),) * 2]
)
def test_batches(rng: np.random.Generator, shapes: tuple[tuple[int, ...], ...]) -> None:
    a, b = (
        random_boxes(rng, int(np.prod(shape[:-1])), np.float32).reshape(shape) for shape in shapes
    )
    both(a, b)
    both(a, b, metric="giou")


@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0)])
def test_empty_sets(sizes: tuple[int, int]) -> None:
    both(np.zeros((sizes[0], 4)), np.zeros((sizes[1], 4)))
    both(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32), aligned=True)


@pytest.mark.parametrize("fmt", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64, np.float16])
def test_formats_and_dtypes(rng: np.random.Generator, fmt: str, dtype: type) -> None:
    boxes = rng.integers(0, 100, (12, 4)).astype(dtype)
    both(boxes[:5], boxes[5:], fmt)


def test_integers_too_far_apart_for_float64() -> None:
    far = 2**62
    boxes = np.array([[-far, -far, far, far], [0, 0, 3, 3], [-far, 0, 1 - far, 9], [1, 1, 2, far]])
    for metric in ("iou", "giou"):
        both(boxes, boxes, metric=metric)


def test_huge_and_tiny_boxes() -> None:
    boxes = np.array([[0, 0, 1, 1], [0.5, 0, 1.5, 1], [0, 0, 0.5, 2], [0, 0, 1e-9, 1e-9]])
    for scale in (1e150, 1e-150, 1e18, 1e-18):
        for dtype in (np.float64, np.float32):
            with np.errstate(over="ignore"):
                scaled = (boxes * scale).astype(dtype)
            if np.isfinite(scaled).all():
                both(scaled, scaled)
                both(scaled, scaled, metric="intersection")


def test_results_into_out(rng: np.random.Generator) -> None:
    a, b = random_boxes(rng, 7, np.float32), random_boxes(rng, 8, np.float32)
    expected = fastiou.box_iou(a, b)
    for order in "CF":
        out = np.full((7, 8), np.nan, np.float32, order=order)  # type: ignore[call-overload]
        assert fastiou.box_iou(a, b, out=out, device="cuda") is out
        same(np.ascontiguousarray(out), expected)
    on_gpu = cuda.to_device(np.full((7, 8), np.nan, np.float32))
    assert fastiou.box_iou(a, b, out=on_gpu, device="cuda") is on_gpu
    same(on_gpu.copy_to_host(), expected)
    with pytest.raises(ValueError, match="out must have the shape"):
        fastiou.box_iou(a, a, out=on_gpu, device="cuda")
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        fastiou.box_iou(b, a, out=on_gpu.T, device="cuda")


def test_out_that_begins_anywhere(rng: np.random.Generator, launched: list[CudaKernel]) -> None:
    """Accesses of 16 bytes must begin at a multiple of 16."""
    a, b = random_boxes(rng, 5, np.float32), random_boxes(rng, 8, np.float32)
    room = cuda.to_device(np.zeros(60, np.float32))
    for first in range(8):
        out = room[first : first + 40].reshape(5, 8)
        wide = gpu.begins_at_multiple_of(out, 16)
        assert wide == (first % 4 == 0)
        fastiou.box_iou(a, b, out=out, device="cuda")
        assert (dense_kernels(BOX, METRIC_ROWS["iou"]).vector in launched) == wide
        launched.clear()
        same(room.copy_to_host()[first : first + 40].reshape(5, 8), fastiou.box_iou(a, b))


def test_missing_boxes_in_batches(rng: np.random.Generator) -> None:
    a, b = random_boxes(rng, 12, np.float32), random_boxes(rng, 15, np.float32)
    a[4, 2] = b[1, 0] = b[7, 3] = np.nan
    both(a.reshape(3, 4, 4), b.reshape(3, 5, 4))
    both(a.reshape(3, 1, 4, 4), b.reshape(3, 5, 4), metric="giou")


@pytest.mark.parametrize("exponent", [2, 3, 5, 6, 12, 400, 511, 1200])
def test_areas_below_all_normal_numbers(rng: np.random.Generator, exponent: int) -> None:
    """Whatever the boxes were magnified by, areas are rounded but once."""
    boxes = random_boxes(rng, 12) * 2.0**-524
    largest = 2.0 ** (506 - exponent) if exponent < 512 else 2.0**-518
    boxes = np.concatenate([boxes, [[0, 0, largest, largest]]])
    both(boxes, boxes, metric="intersection")
    both(boxes, boxes[::-1], metric="intersection", aligned=True)


def test_blocks_of_a_large_result(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = random_boxes(rng, 14, np.float32), random_boxes(rng, 8, np.float32)
    a[3, 1] = np.nan
    for limit in (32, 100, 400):
        monkeypatch.setattr(gpu, "BLOCK_BYTES", limit)
        both(a, b, metric="giou")
        both(a.reshape(2, 7, 4), b)
        both(a, a + np.float32(0.5), aligned=True)
        out = np.empty((14, 8), np.float32, order="F")
        same(fastiou.box_iou(a, b, out=out, device="cuda"), fastiou.box_iou(a, b))


def test_arrays_on_the_gpu_stay_there(rng: np.random.Generator) -> None:
    a, b = random_boxes(rng, 6, np.float32), random_boxes(rng, 9, np.float32)
    on_gpu = cuda.to_device(a)
    for device in ("auto", "cuda", "cpu"):
        for other in (b, cuda.to_device(b)):
            scores = fastiou.box_iou(on_gpu, other, device=device)
            assert hasattr(scores, "__cuda_ndarray__")
            same(scores.copy_to_host(), fastiou.box_iou(a, b))
    out = np.empty((6, 9), np.float32)
    assert fastiou.box_iou(on_gpu, b, out=out) is out
    same(out, fastiou.box_iou(a, b))
    areas = fastiou.box_area(on_gpu)
    assert hasattr(areas, "__cuda_ndarray__")
    same(areas.copy_to_host(), fastiou.box_area(a))


def test_infinite_coordinates_are_refused() -> None:
    with pytest.raises(ValueError, match="boxes2 has an infinite coordinate in row 1"):
        fastiou.box_iou([[0, 0, 1, 1]], [[0, 0, 1, 1], [0, 0, np.inf, 1]], device="cuda")
