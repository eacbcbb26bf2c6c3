"""Dense masks on a GPU are packed and scored there, without a copy and without waiting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from counted_for_tests import counted
from masks_for_tests import Array, awkward_masks, noise, random_masks
from numba import cuda
from test_cell_nms import both as kept_of_both
from test_cells import same_best, same_pairs
from test_cuda_soft_nms import both as lowered_of_both

import fastiou
from fastiou.geometries.masks.gpu_packing import START
from fastiou.runtime import gpu
from fastiou.runtime.gpu_arrays import GpuArray
from fastiou.runtime.gpu_kernel import CudaKernel


def same_on_the_gpu(a: Array, b: Array, **options: Any) -> None:
    """Score arrays on the GPU and on the host: the same bits, and no way through the host."""
    expected = fastiou.mask_iou(a, b, **options)
    on_gpu1 = cuda.to_device(a)
    on_gpu2 = on_gpu1 if b is a else cuda.to_device(b)
    with counted() as counts:
        found = fastiou.mask_iou(on_gpu1, on_gpu2, **options)
    assert (counts.to_host, counts.to_gpu, counts.waits) == ([], [], 0)
    same(found, expected)


def same(found: Any, expected: Array) -> None:
    host = found.copy_to_host()
    assert host.dtype == expected.dtype
    np.testing.assert_array_equal(host, expected)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "i8", "f4", "f8"])
def test_dtypes(rng: np.random.Generator, dtype: str) -> None:
    masks = random_masks(rng, 4, (70, 5)).astype(dtype)
    masks[1] = 0
    masks[2, -1, -1] = 1
    masks[masks != 0] = rng.integers(1, 100, np.count_nonzero(masks))
    same_on_the_gpu(masks, masks[:3])
    same_on_the_gpu(masks, np.roll(masks, 1, 1), aligned=True)


@pytest.mark.parametrize("metric", ["iof", "ios", "dice", "intersection"])
def test_metrics(rng: np.random.Generator, metric: str) -> None:
    masks = random_masks(rng, 5, (20, 9))
    same_on_the_gpu(masks, masks[1:], metric=metric)
    same_on_the_gpu(masks, masks[::-1].copy(), metric=metric, aligned=True)


@pytest.mark.parametrize(
    "size",
    [(1, 1), (63, 3), (64, 2), (300, 2), pytest.param((130, 40), marks=pytest.mark.thorough)],
)
def test_sizes(rng: np.random.Generator, size: tuple[int, int]) -> None:
    masks = noise(rng, 5, size)
    masks[1, size[0] // 2 :] = False
    same_on_the_gpu(masks[:2], masks[2:])
    same_on_the_gpu(masks[:2], masks[3:], aligned=True)


def test_more_than_a_block(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 40, (3, 35))
    same_on_the_gpu(masks[:9], masks[20:30])
    same_on_the_gpu(masks, masks[::-1].copy(), aligned=True)


def test_awkward() -> None:
    masks = awkward_masks((66, 5))
    same_on_the_gpu(masks[::3].copy(), masks[1::3].copy())
    same_on_the_gpu(masks, masks[::-1].copy(), aligned=True)


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5), (3, 4, 0), (3, 4, 5)])
def test_nothing(shape: tuple[int, int, int]) -> None:
    nothing = np.zeros(shape, np.bool_)
    same_on_the_gpu(nothing, nothing, aligned=True)
    same_on_the_gpu(nothing, nothing)
    if all(shape):
        same_on_the_gpu(nothing, np.ones((2, 4, 5), np.bool_))
        same_on_the_gpu(np.ones((2, 4, 5), np.bool_), nothing[:0])
    else:
        same_on_the_gpu(nothing[:0], np.ones((2, *shape[1:]), np.bool_))


def test_one_mask(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 3, (9, 5))
    same_on_the_gpu(masks[0], masks)
    same_on_the_gpu(masks[0], masks[1], aligned=True)


def test_strides(rng: np.random.Generator) -> None:
    masks = noise(rng, 6, (12, 15)).astype(np.float32)
    on_gpu = cuda.to_device(masks)
    with counted() as counts:
        found = fastiou.mask_iou(on_gpu[::2, 1:, 2:11], on_gpu[1::2, :-1, 3:12])
    assert (counts.to_host, counts.to_gpu, counts.waits) == ([], [], 0)
    same(found, fastiou.mask_iou(masks[::2, 1:, 2:11], masks[1::2, :-1, 3:12]))
    turned = cuda.to_device(np.asfortranarray(masks))
    same(fastiou.mask_iou(turned, turned, aligned=True), np.ones(6))


@pytest.mark.parametrize("aligned", [False, True])
def test_crowds(rng: np.random.Generator, aligned: bool) -> None:
    """Which of them are is told by the host: that goes to the GPU, and nothing else."""
    masks = random_masks(rng, 5, (20, 9))
    crowd, on_gpu = np.arange(5) % 2 == 0, cuda.to_device(masks)
    with counted() as counts:
        found = fastiou.mask_iou(on_gpu, on_gpu, iscrowd=crowd, aligned=aligned)
    assert (counts.to_host, counts.to_gpu) == ([], [5])
    same(found, fastiou.mask_iou(masks, masks, iscrowd=crowd, aligned=aligned))


def test_masks_on_the_host_come_along(rng: np.random.Generator) -> None:
    """Packed or dense, cropped or all of one box."""
    for masks in (random_masks(rng, 5, (70, 9)), noise(rng, 5, (5, 3))):
        expected = fastiou.mask_iou(masks, masks[1:])
        packed, on_gpu = fastiou.Masks.from_dense(masks), cuda.to_device(masks)
        same(fastiou.mask_iou(packed, on_gpu[1:]), expected)
        same(fastiou.mask_iou(on_gpu, packed[1:]), expected)
        same(fastiou.mask_iou(on_gpu, masks[1:]), expected)
        found = fastiou.mask_iou(masks[2:], on_gpu[2:], aligned=True)
        same(found, masks[2:].any((1, 2)).astype(np.float64))


def test_results_into_out(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 4, (20, 9))
    expected, on_gpu = fastiou.mask_iou(masks, masks[1:]), cuda.to_device(masks)
    there = cuda.to_device(np.full((4, 3), -7.0))
    with counted() as counts:
        assert fastiou.mask_iou(on_gpu, on_gpu[1:], out=there) is there
    assert (counts.to_host, counts.to_gpu, counts.waits) == ([], [], 0)
    same(there, expected)
    here = np.full((4, 3), -7.0, order="F")
    assert fastiou.mask_iou(on_gpu, on_gpu[1:], out=here) is here
    np.testing.assert_array_equal(here, expected)


@pytest.mark.parametrize("value", [0.25, -0.5, np.nan, np.inf, -np.inf, 2.0**23 + 0.5])
def test_what_is_refused_scores_nan_unless_it_is_asked_for(value: float) -> None:
    masks = np.ones((3, 5, 7), np.float32 if value == 0.25 else np.float64)
    masks[1, 4, 2] = value
    on_gpu, other = cuda.to_device(masks), cuda.to_device(masks[:2] != 0)
    missing = np.array([[1, 1], [np.nan, np.nan], [1, 1]])
    same(fastiou.mask_iou(on_gpu, other), missing)
    same(fastiou.mask_iou(other, on_gpu), missing.T)
    same(fastiou.mask_iou(on_gpu, on_gpu, aligned=True), missing[:, 0])
    crowd = np.ones(2, np.bool_)
    same(fastiou.mask_iou(on_gpu, other, iscrowd=crowd), missing)
    out = np.full((2, 3), -7.0)
    for given, options in ((other, {"check": True}), (other, {"out": out}), (masks[:2] != 0, {})):
        with pytest.raises(ValueError, match=r"^masks2 .*got \S+ in mask 1 at row 4, column 2; "):
            fastiou.mask_iou(given, on_gpu, **options)
    assert (out == -7).all()
    with pytest.raises(ValueError, match=r"^masks1 .*got \S+ in mask 1 at row 4, column 2; "):
        fastiou.mask_iou(on_gpu, on_gpu, aligned=True, check=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_numbers_are_whole(dtype: type) -> None:
    values = [-1, 2.0**23, 2.0**24, 2.0**31, -(2.0**40), 2.0**53, 2.0**63, -(2.0**100)]
    masks = np.zeros((len(values), 2, 2), dtype)
    masks[:, 0, 1] = values
    masks[:, 1, 1] = np.finfo(dtype).max
    same_on_the_gpu(masks, masks)
    on_gpu = cuda.to_device(masks)
    same(fastiou.mask_iou(on_gpu, on_gpu, check=True), np.ones((8, 8)))


def test_integers_are_not_waited_for() -> None:
    on_gpu = cuda.to_device(np.ones((2, 3, 3), np.uint8))
    with counted() as counts:
        fastiou.mask_iou(on_gpu, on_gpu, check=True)
    assert (counts.to_host, counts.waits) == ([], 0)


def test_what_is_told_by_the_shape_is_refused() -> None:
    masks = cuda.to_device(np.ones((2, 4, 5), np.bool_))
    with pytest.raises(ValueError, match="must have one size, got 4 × 5 and 5 × 4"):
        fastiou.mask_iou(masks, cuda.to_device(np.ones((2, 5, 4), np.bool_)))
    with pytest.raises(ValueError, match=r"^masks2 must have the shape .*, got \(7, 4\), which wo"):
        fastiou.mask_iou(masks, cuda.to_device(np.ones((7, 4))))
    with pytest.raises(ValueError, match=r"^masks1 must be masks .* as an image of colours has"):
        fastiou.mask_iou(cuda.to_device(np.ones((8, 8, 3), np.uint8)), masks)
    with pytest.raises(ValueError, match="needs as many masks1 as masks2, got 2 and 1"):
        fastiou.mask_iou(masks, masks[:1], aligned=True)


def test_a_set_is_packed_once(launched: list[CudaKernel]) -> None:
    on_gpu = cuda.to_device(np.ones((2, 3, 3), np.bool_))
    fastiou.mask_iou(on_gpu, on_gpu)
    assert launched.count(START) == 1
    assert len(launched) == 3


def test_words_are_memory_that_any_library_gives() -> None:
    asked = []

    def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        asked.append(dtype)
        return cuda.device_array(shape, dtype)

    work = gpu.Work(0, GpuArray(0, 0, empty, cuda.to_device))
    assert work.empty((2, 3), np.uint64).dtype == np.uint64
    assert work.empty(2, np.float32).dtype == np.float32
    assert asked == [np.int64, np.float32]


def test_memory_is_reckoned_before(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, launched: list[CudaKernel]
) -> None:
    masks = random_masks(rng, 2, (65, 300))
    on_gpu, expected = cuda.to_device(masks), fastiou.mask_iou(masks, masks)
    words = 2 * 2 * 300 * 8
    free = [words]
    monkeypatch.setattr(gpu.Work, "free", lambda work: free[0])
    with pytest.raises(MemoryError, match=r"mask_iou of 2 × 2 masks needs .*, and 9\.4 KiB are f"):
        fastiou.mask_iou(on_gpu, on_gpu, device="cuda")
    assert not launched
    same(fastiou.mask_iou(on_gpu, on_gpu), expected)  # by the CPU
    assert not launched
    free[0] += 4 * 8 + 4 * 288
    same(fastiou.mask_iou(on_gpu, on_gpu, device="cuda"), expected)
    assert launched


# ---- searches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "f4"])
def test_searches(rng: np.random.Generator, dtype: str) -> None:
    """The boxes that kernels found go into cells, and one record is copied to the host."""
    masks = random_masks(rng, 12, (70, 7)).astype(dtype)
    same_pairs(masks, masks[::-1].copy(), 0.1, least=10)
    same_pairs(masks, None, 0.05, groups=np.arange(12) // 8)
    same_best(masks, masks[:7].copy(), 2, least=8)
    scores = rng.random(12)
    assert len(kept_of_both(masks, scores, 0.1, groups=np.arange(12) // 8)) < 12
    for method in ("linear", "gaussian"):
        lowered_of_both(masks, scores, 0.1, method=method)


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5), (3, 4, 0), (3, 4, 5)])
def test_searches_of_nothing(shape: tuple[int, int, int]) -> None:
    nothing = np.zeros(shape, np.bool_)
    same_pairs(nothing, None, 0.1, least=0)
    same_best(nothing, nothing, 2, least=0)
    if len(nothing):
        assert len(kept_of_both(nothing, np.arange(float(len(nothing))), 0.1)) == len(nothing)


def test_searches_with_masks_of_the_host(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 8, (70, 9))
    expected = fastiou.pairs(masks, masks[1:], 0.01)
    packed, on_gpu = fastiou.Masks.from_dense(masks), cuda.to_device(masks)
    for a, b in ((packed, on_gpu[1:]), (on_gpu, packed[1:]), (masks, on_gpu[1:])):
        for column, other in zip(fastiou.pairs(a, b, 0.01), expected, strict=True):
            np.testing.assert_array_equal(column.copy_to_host(), other)


def test_searches_for_crowds_and_matches(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 8, (70, 9))
    crowd, on_gpu = np.arange(8) % 2 == 0, cuda.to_device(masks)
    scored: dict[str, Any] = {"iscrowd": crowd, "method": "coco", "scores": np.arange(8.0)}
    for options in ({}, {"metric": "iof"}, scored):
        expected = fastiou.match(masks, masks[::-1], 0.1, **options)
        found = fastiou.match(on_gpu, cuda.to_device(masks[::-1].copy()), 0.1, **options)
        assert len(expected) > 2
        np.testing.assert_array_equal(found.cols.copy_to_host(), expected.cols)


def test_what_searches_refuse(rng: np.random.Generator) -> None:
    """The first set is asked, too, where it is the larger one."""
    masks = np.ones((3, 5, 7), np.float32)
    bad = masks.copy()
    bad[2, 4, 2] = 0.25
    there, good = cuda.to_device(bad), cuda.to_device(masks[:1])
    for call, name in (
        (lambda: fastiou.pairs(there, good), "a"),
        (lambda: fastiou.pairs(good, there), "b"),
        (lambda: fastiou.topk(there, good), "a"),
        (lambda: fastiou.nms(there, np.arange(3.0)), "a"),
        (lambda: fastiou.soft_nms(there, np.arange(3.0)), "a"),
    ):
        with pytest.raises(ValueError, match=rf"^{name} .*got 0.25 in mask 2 at row 4, column 2; "):
            call()
    with pytest.raises(ValueError, match="must have one size, got 5 × 7 and 7 × 5"):
        fastiou.pairs(good, cuda.to_device(np.ones((2, 7, 5), np.bool_)))
