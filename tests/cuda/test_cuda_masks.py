"""Masks on a GPU score what they score on the CPU, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from counted_for_tests import counted
from masks_for_tests import METRICS, Array, awkward_masks, forms_of, noise, random_masks
from numba import cuda

import fastiou
from fastiou.geometries.masks import gpu_packing, packing
from fastiou.runtime import gpu
from fastiou.runtime.gpu_kernel import CudaKernel
from fastiou.runtime.gpu_primitives import SIMULATED


def same(found: Any, expected: Array) -> None:
    assert isinstance(found, np.ndarray)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


def both(*arguments: Any, **options: Any) -> None:
    """Score on the GPU and on the CPU."""
    found = fastiou.mask_iou(*arguments, **options, device="cuda")
    same(found, fastiou.mask_iou(*arguments, **options, device="cpu"))


@pytest.mark.parametrize("metric", METRICS)
def test_cropped(rng: np.random.Generator, metric: str) -> None:
    masks = random_masks(rng, 14, (70, 41))
    both(masks[:6], masks[6:], metric=metric)
    both(masks, masks, metric=metric, aligned=True)
    both(masks, masks[::-1], metric=metric, aligned=True)


@pytest.mark.parametrize("metric", METRICS)
def test_of_one_box(rng: np.random.Generator, metric: str) -> None:
    masks = noise(rng, 8, (65, 9))  # 18 words: two slices and a bit
    both(masks[:5], masks[5:], metric=metric)


def test_past_one_block(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 50, (20, 9))
    both(masks[:9], masks[9:19])
    both(masks[:40], masks[10:], aligned=True)
    full = noise(rng, 54, (5, 3))
    both(full[:17], full[17:])


@pytest.mark.skipif(SIMULATED, reason="takes too long in the simulator")
def test_many(rng: np.random.Generator) -> None:
    full = noise(rng, 700, (130, 67))
    crowd = np.arange(301) % 3 == 0
    both(full[:399], full[399:], iscrowd=crowd)
    both(full[:129], full[:129], metric="intersection")
    masks = random_masks(rng, 700, (130, 167))
    both(masks[:399], masks[399:], iscrowd=crowd)
    both(masks, masks[::-1], aligned=True)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 9, 13, 28])
def test_windows_of_any_width(rng: np.random.Generator, width: int) -> None:
    masks = noise(rng, 3, (300, width))
    other = np.zeros((2, 300, width), np.bool_)
    other[0, 60:200] = rng.random((140, width)) < 0.5
    other[1, 290:] = True
    both(masks, other)


def test_awkward() -> None:
    masks = awkward_masks((66, 5))
    both(masks[::3], masks[1::3])
    both(masks, masks[::-1], aligned=True)


@pytest.mark.parametrize("metric", ["iou", "intersection"])
def test_crowds(rng: np.random.Generator, metric: str) -> None:
    masks = random_masks(rng, 9, (30, 12))
    crowd = np.arange(9) % 3 == 0
    both(masks[:4], masks, metric=metric, iscrowd=crowd)
    both(masks, masks[::-1], metric=metric, iscrowd=crowd, aligned=True)
    full = noise(rng, 9, (5, 3))
    both(full[:2], full, metric=metric, iscrowd=crowd)
    both(full[:2], full, metric=metric, iscrowd=np.zeros(9, np.bool_))


@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0)])
def test_empty_sets(sizes: tuple[int, int]) -> None:
    both(np.zeros((sizes[0], 4, 5)), np.ones((sizes[1], 4, 5)))
    both(np.zeros((0, 4, 5)), np.zeros((0, 4, 5)), aligned=True)


def test_masks_without_a_pixel() -> None:
    both(np.zeros((3, 4, 5)), np.zeros((2, 4, 5)))
    both(np.zeros((3, 0, 5)), np.zeros((2, 0, 5)))
    both(np.zeros((3, 4, 5)), np.ones((3, 4, 5)), aligned=True)


def test_forms(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 4, (9, 11))
    expected = fastiou.mask_iou(masks, masks)
    for form in forms_of(masks).values():
        same(fastiou.mask_iou(form, masks, device="cuda"), expected)
        same(fastiou.mask_iou(masks, form, device="cuda"), expected)


def test_slices_of_sets(rng: np.random.Generator) -> None:
    packed = fastiou.Masks.from_dense(random_masks(rng, 12, (30, 12)))
    both(packed[3:5], packed[7:])
    both(packed[3:6], packed[7:10], aligned=True)
    packed = fastiou.Masks.from_dense(noise(rng, 12, (5, 3)))
    both(packed[3:5], packed[7:])
    both(packed[5:7], packed)
    both(packed[[3, 1, 5]], packed)


def test_results_into_out(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 7, (20, 9))
    expected = fastiou.mask_iou(masks[:3], masks)
    for order in "CF":
        out = np.full((3, 7), np.nan, order=order)  # type: ignore[call-overload]
        assert fastiou.mask_iou(masks[:3], masks, out=out, device="cuda") is out
        same(np.ascontiguousarray(out), expected)
    on_gpu = cuda.to_device(np.full((3, 7), np.nan))
    assert fastiou.mask_iou(masks[:3], masks, out=on_gpu, device="cuda") is on_gpu
    same(on_gpu.copy_to_host(), expected)


def test_results_by_blocks_of_rows(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "BLOCK_BYTES", 3 * 8 * 5)
    masks = random_masks(rng, 12, (20, 9))
    both(masks[:7], masks[7:])
    both(masks[:5], masks[7:], aligned=True)
    crowd = np.arange(5) % 2 == 0
    full = noise(rng, 12, (5, 3))
    both(full[:7], full[7:], iscrowd=crowd)
    monkeypatch.setattr(gpu, "BLOCK_BYTES", 16)
    both(masks[:5], masks[7:], aligned=True, iscrowd=crowd)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_arrays_on_the_gpu(rng: np.random.Generator, device: str) -> None:
    masks = random_masks(rng, 5, (20, 9))
    expected = fastiou.mask_iou(masks[:2], masks)
    on_gpu = cuda.to_device(masks.astype(np.uint8))
    for arguments in ((masks[:2], on_gpu), (cuda.to_device(masks[:2].astype(np.float32)), on_gpu)):
        found = fastiou.mask_iou(*arguments, device=device)
        assert hasattr(found, "__cuda_ndarray__")
        same(found.copy_to_host(), expected)


PACKED = [np.bool_, np.int8, np.uint16, np.int64, np.float32, np.float64]


@pytest.mark.parametrize("dtype", PACKED)
@pytest.mark.parametrize("size", [(1, 1), (63, 5), (64, 33), (65, 64), (130, 7)])
def test_packing(
    rng: np.random.Generator,
    launched: list[CudaKernel],
    dtype: type,
    size: tuple[int, int],
) -> None:
    masks = random_masks(rng, 4, size).astype(dtype)
    masks[1] = 0
    masks[2, -1, -1] = 1
    packed = fastiou.Masks.from_dense(cuda.to_device(masks))
    one = fastiou.Masks.from_dense(cuda.to_device(masks[2]))
    kind = np.dtype(dtype).name if np.dtype(dtype).kind == "f" else "integers"
    expected = [gpu_packing.START, gpu_packing.pack_kernel(kind), gpu_packing.CROP]
    assert launched == expected * 2
    assert packed == fastiou.Masks.from_dense(masks)
    assert one == fastiou.Masks.from_dense(masks[2])


def test_packing_of_awkward_masks(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = awkward_masks((66, 5))
    expected = fastiou.Masks.from_dense(masks)
    assert fastiou.Masks.from_dense(cuda.to_device(masks)) == expected
    monkeypatch.setattr(packing, "PIXELS_AT_A_TIME", 64 * 2 * 5 * 3)  # three at a time
    assert fastiou.Masks.from_dense(cuda.to_device(masks)) == expected
    image = rng.random((70, 9))
    expected = fastiou.Masks.from_dense(image > 0.75)
    assert fastiou.Masks.from_dense(cuda.to_device(image), threshold=0.75) == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [0.25, -0.5, np.nan, np.inf])
def test_floats_that_are_not_whole_are_refused(dtype: type, value: float) -> None:
    masks = np.ones((3, 5, 7), dtype)
    masks[1, 4, 2] = value
    masks[2, 0, 0] = 0.5
    with pytest.raises(
        ValueError, match=r"^array .*got \S+ in mask 1 at row 4, column 2; "
    ) as told:
        fastiou.Masks.from_dense(cuda.to_device(masks))
    assert f"got {value} in" in str(told.value)
    with pytest.raises(ValueError, match=r"^masks2 .*in mask 0 at row 4, column 2; .*\(masks2, "):
        fastiou.mask_iou(cuda.to_device(np.ones((1, 5, 7))), cuda.to_device(masks[1]), check=True)


def test_packing_of_nothing_and_of_other_types() -> None:
    for shape in ((0, 4, 5), (3, 0, 5), (3, 4, 0)):
        packed = fastiou.Masks.from_dense(cuda.to_device(np.zeros(shape)))
        assert packed == fastiou.Masks.from_dense(np.zeros(shape))
    half = np.eye(9, dtype=np.float16)  # by way of the host
    with counted() as counts:
        found = fastiou.mask_iou(cuda.to_device(half), fastiou.Masks.from_dense(half))
    assert counts.to_host == [half.size]
    same(found.copy_to_host(), np.ones((1, 1)))
    with pytest.raises(ValueError, match=r"array must have the shape .*, got \(4,\)"):
        fastiou.Masks.from_dense(cuda.to_device(np.zeros(4)))


def test_packing_where_the_memory_of_the_gpu_does_not_suffice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_room(*_: Any) -> None:
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr("fastiou.runtime.gpu.Work.empty", no_room)
    masks = np.eye(9) > 0
    assert fastiou.Masks.from_dense(cuda.to_device(masks)) == fastiou.Masks.from_dense(masks)
