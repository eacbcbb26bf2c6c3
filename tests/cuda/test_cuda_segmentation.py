"""Label images and values on a GPU give the CPU's results, bit for bit, and stay there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import cuda

import fastiou
from fastiou.runtime import gpu, gpu_arrays, gpu_sort
from fastiou.segmentation import gpu_labels
from fastiou.typing import Array

#: The last three of which on demand.
INTEGERS = [
    *(np.bool_, np.int8, np.uint16, np.uint32, np.int64),
    *(pytest.param(dtype, marks=pytest.mark.thorough) for dtype in (np.uint8, np.int16, np.int32)),
]


def same(found: Any, expected: Any) -> None:
    """A result on the GPU against the CPU's."""
    assert hasattr(found, "__cuda_ndarray__")
    host, expected = found.copy_to_host(), np.asarray(expected)
    assert host.dtype == expected.dtype
    assert host.shape == expected.shape
    np.testing.assert_array_equal(host, expected)


def both(function: Any, *arrays: Array, as_dtype: Any = None, **options: Any) -> None:
    """A function of arrays on a GPU against the same of the host's.

    With `as_dtype` the CPU gets them as another type, for which it has one kernel.
    """
    found = function(*map(cuda.to_device, arrays), **options)
    hosts = arrays if as_dtype is None else [array.astype(as_dtype) for array in arrays]
    expected = function(*hosts, **options)
    if isinstance(expected, tuple):
        for part, other in zip(found, expected, strict=True):
            same(part, other)
    else:
        same(found, expected)


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each copy to the host; none is made of an argument."""
    sizes: list[int] = []
    to_host = gpu.Work.to_host

    def counted(work: gpu.Work, array: Any, out: Array | None = None) -> Array:
        host = to_host(work, array, out)
        sizes.append(host.nbytes)
        return host

    def refuse(held: gpu_arrays.OnGpu) -> None:
        raise AssertionError("an argument is copied to the host")

    monkeypatch.setattr(gpu.Work, "to_host", counted)
    monkeypatch.setattr(gpu_arrays.OnGpu, "on_host", property(refuse))
    return sizes


# ---- labels ------------------------------------------------------------------------------------


def labels(rng: np.random.Generator, shape: Any = (9, 11), dtype: Any = np.int64) -> Array:
    """A few labels, the lowest and the highest of the type among them."""
    limits = [0, 1] if dtype == np.bool_ else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    known = np.array([0, 1, *limits]).astype(dtype)
    image: Array = known[rng.integers(0, len(known), shape)]
    return image


@pytest.mark.parametrize("dtype", INTEGERS)
def test_overlap(rng: np.random.Generator, dtype: Any) -> None:
    image, other = labels(rng, dtype=dtype), labels(rng, dtype=np.int8)
    both(fastiou.label_overlap, image, other, as_dtype=np.int64)
    both(fastiou.label_overlap, other, image, as_dtype=np.int64)


@pytest.mark.parametrize("highest", [5, 2**63, 2**64 - 1])
def test_overlap_of_labels_of_64_bits(rng: np.random.Generator, highest: int) -> None:
    image = rng.choice(np.array([0, 1, 5, highest], np.uint64), (7, 9))
    both(fastiou.label_overlap, image, labels(rng, (7, 9)))
    both(fastiou.label_overlap, image, image)
    both(fastiou.label_iou, image, image)


def test_overlap_of_volumes_and_runs(rng: np.random.Generator) -> None:
    """More pixels than a block of threads takes, and runs that reach over several threads."""
    image = np.repeat(rng.integers(0, 3, 40), rng.integers(1, 90, 40))
    other = np.roll(image, 7)
    both(fastiou.label_overlap, image, other)
    both(fastiou.label_iou, image[:60].reshape(3, 4, 5), other[:60].reshape(3, 4, 5))


def test_overlap_of_one_array_on_the_gpu(rng: np.random.Generator) -> None:
    image, other = labels(rng), labels(rng, dtype=np.uint8)
    expected = fastiou.label_overlap(image, other)
    for given in ((cuda.to_device(image), other), (image, cuda.to_device(other))):
        for part, number in zip(fastiou.label_overlap(*given), expected, strict=True):
            same(part, number)


def test_overlap_where_tables_are_too_small(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = []
    full = gpu.Work.full

    def noted(work: gpu.Work, count: int, dtype: Any, value: Any) -> Any:
        slots.append(count)
        return full(work, count, dtype, value)

    monkeypatch.setattr(gpu.Work, "full", noted)
    monkeypatch.setattr(gpu_labels, "FEWEST_SLOTS", 2)
    monkeypatch.setattr(gpu_labels, "MOST_PROBES", 2)
    image, other = rng.integers(0, 9, 120), rng.integers(0, 9, 120)
    both(fastiou.label_overlap, image, other)
    assert slots == [2, 2, 32, 32, 256, 256]  # as many as there may be pairs, and twice that


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 40])
def test_sorting(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    columns = rng.integers(-3, 3, count), np.arange(count), rng.random(count)
    order = np.lexsort(columns[1::-1])
    for most in (0, 1000):  # by a launch for each comparison, and by one block
        monkeypatch.setattr(gpu_sort, "SORTED_BY_A_BLOCK", most)
        shuffled = rng.permutation(count)
        on_gpu = [cuda.to_device(column[shuffled]) for column in columns]
        gpu_sort.sort_on_gpu(gpu.Work(0), *on_gpu)
        for found, column in zip(on_gpu, columns, strict=True):
            np.testing.assert_array_equal(found.copy_to_host(), column[order])


@pytest.mark.parametrize("metric", ["iou", "iof", "ios", "dice", "intersection"])
def test_scores_of_labels(rng: np.random.Generator, metric: str) -> None:
    image, other = rng.integers(0, 4, (9, 11)), rng.integers(0, 5, (9, 11)).astype(np.uint8)
    both(fastiou.label_iou, image, other, metric=metric)


def test_scores_of_background_alone() -> None:
    image = np.zeros((3, 4), np.int32)
    both(fastiou.label_iou, image, image)
    both(fastiou.label_overlap, image, image)


@pytest.mark.parametrize(
    ("dtype", "ignore"),
    [(np.bool_, 1), (np.bool_, 255), (np.int8, -1), (np.int8, 255), (np.uint16, 0),
     (np.int64, None), (np.int64, -(2**63)), (np.uint64, 2**64 - 1)],
)  # fmt: skip
def test_confusion(rng: np.random.Generator, dtype: Any, ignore: int | None) -> None:
    target = rng.integers(0, 2, (7, 9)).astype(dtype)
    pred = rng.integers(0, 3, (7, 9)).astype(np.uint8)
    if ignore is not None and np.can_cast(np.min_scalar_type(ignore), dtype):
        target[2:4] = ignore
    both(fastiou.confusion_matrix, target, pred, num_classes=3, ignore_index=ignore)


def test_classes_that_are_none_are_told_as_on_the_cpu(rng: np.random.Generator) -> None:
    target, pred = rng.integers(0, 3, (2, 5, 6))
    for wrong in (3, -1):
        for given in (target, pred):
            kept = given[3, 4]
            given[3, 4] = wrong
            with pytest.raises(ValueError, match="must hold classes from 0 to 2") as expected:
                fastiou.confusion_matrix(target, pred, 3)
            with pytest.raises(ValueError) as found:  # noqa: PT011 (the same words)
                fastiou.confusion_matrix(cuda.to_device(target), cuda.to_device(pred), 3)
            assert str(found.value) == str(expected.value)
            given[3, 4] = kept


def test_mean_iou(rng: np.random.Generator) -> None:
    target, pred = rng.integers(0, 3, (2, 5, 6))
    found = fastiou.mean_iou(cuda.to_device(target), cuda.to_device(pred), 4)
    expected = fastiou.mean_iou(target, pred, 4)
    same(found.per_class, expected.per_class)
    assert found.mean == expected.mean


# ---- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*INTEGERS, np.uint64, np.float32, np.float64])
def test_soft(rng: np.random.Generator, dtype: Any) -> None:
    x = (100 * rng.random((5, 4, 6))).astype(dtype)
    y = rng.random((5, 4, 6)).astype(np.float32)
    both(fastiou.soft_iou, x, y, axis=(1, 2), as_dtype=np.float64)
    both(fastiou.soft_iou, x, x.astype(np.uint8), smooth=0, axis=0, as_dtype=np.float64)


@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3, (0, 1), (0, 2), (1, 3), (0, 1, 3), (1, 2), ()])
def test_soft_over_axes(rng: np.random.Generator, axis: Any) -> None:
    x, y = rng.random((2, 3, 4, 5, 3))
    both(fastiou.soft_iou, x, y, axis=axis)


def test_soft_over_many_blocks(rng: np.random.Generator) -> None:
    x, y = rng.random((2, 32_768 + 1_001)).astype(np.float32)
    both(fastiou.soft_iou, x[None], y[None], axis=1, as_dtype=np.float64)
    few = slice(130 * 259)
    both(
        fastiou.soft_iou,
        x[few].reshape(130, 259),
        y[few].reshape(130, 259),
        axis=0,
        as_dtype=np.float64,
    )


def test_soft_of_what_is_missing_or_empty() -> None:
    x = np.array([[np.nan, 1], [0, 0], [np.inf, 1]])
    y = np.array([[1.0, 1], [0, 0], [1, 1]])
    both(fastiou.soft_iou, x, y, axis=1)
    both(fastiou.soft_iou, x, y, axis=1, smooth=0)
    both(fastiou.soft_iou, np.zeros((0, 3)), np.zeros((0, 3)), axis=0)


@pytest.mark.parametrize("dtype", [*INTEGERS, np.uint64])
def test_thresholded(rng: np.random.Generator, dtype: Any) -> None:
    masks = rng.integers(0, 2, (6, 1, 5, 7)).astype(dtype)
    others = masks.copy()
    for number in range(6):
        others[number, 0, : number // 2, :number] = 0
    both(fastiou.thresholded_iou, masks, others, as_dtype=np.int64)
    both(fastiou.thresholded_iou, masks[:, 0], others[:, 0], smooth=0, as_dtype=np.int64)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_masks_too_large_to_be_summed_are_refused(dtype: Any) -> None:
    masks = np.ones((2, 3, 4), dtype)
    masks[1, 2, 3] = 2**62
    with pytest.raises(ValueError, match="so that sums over the 12 pixels") as expected:
        fastiou.thresholded_iou(np.ones_like(masks), masks)
    with pytest.raises(ValueError) as found:  # noqa: PT011 (the same words)
        fastiou.thresholded_iou(cuda.to_device(np.ones_like(masks)), cuda.to_device(masks))
    assert str(found.value) == str(expected.value)


# ---- where it is computed ----------------------------------------------------------------------


def test_arguments_are_not_copied_to_the_host(rng: np.random.Generator, copied: list[int]) -> None:
    """The host learns five numbers of a table of pairs, and one of classes."""
    image, other = (cuda.to_device(labels(rng)) for _ in range(2))
    fastiou.label_overlap(image, other)
    assert copied == [40]
    copied.clear()
    fastiou.label_iou(image, other)
    assert copied == [40]
    copied.clear()
    classes = cuda.to_device(rng.integers(0, 4, (9, 11)))
    fastiou.confusion_matrix(classes, classes, 4)
    assert copied == [8]
    copied.clear()
    values = cuda.to_device(rng.random((3, 5, 6)))
    fastiou.soft_iou(values, values, axis=(1, 2))
    small = cuda.to_device(rng.integers(0, 2, (3, 5, 6)).astype(np.uint8))
    fastiou.thresholded_iou(small, small)
    assert copied == []
    wide = cuda.to_device(rng.integers(0, 2, (3, 5, 6)))
    fastiou.thresholded_iou(wide, wide)
    assert copied == [16] * 2  # the extremes of integers of 64 bits, whose sums might not fit


def test_what_is_refused_is_refused_alike(rng: np.random.Generator) -> None:
    image = cuda.to_device(rng.integers(0, 4, (5, 6, 3)).astype(np.uint8))
    with pytest.raises(ValueError, match="labels1 must be a label image, got a colour image"):
        fastiou.label_overlap(image, image)
    with pytest.raises(TypeError, match="labels2 must hold integers or booleans, got dtype float"):
        fastiou.label_iou(np.zeros((2, 3), int), cuda.to_device(np.zeros((2, 3))))
    with pytest.raises(ValueError, match="must have the same shape"):
        fastiou.soft_iou(cuda.to_device(np.zeros((2, 3))), cuda.to_device(np.zeros((3, 2))))
    with pytest.raises(TypeError, match="outputs must hold booleans or integers"):
        fastiou.thresholded_iou(cuda.to_device(np.zeros((1, 2, 3))), np.zeros((1, 2, 3), int))


def test_other_layouts_and_types_come_by_way_of_the_host(rng: np.random.Generator) -> None:
    values = rng.random((6, 8))
    expected = fastiou.soft_iou(values[:, ::2], values[:, ::2], axis=0)
    on_gpu = cuda.to_device(values)[:, ::2]
    same(fastiou.soft_iou(on_gpu, on_gpu, axis=0), expected)
    half = values.astype(np.float16)
    expected = fastiou.soft_iou(half, half, axis=1)
    same(fastiou.soft_iou(cuda.to_device(half), cuda.to_device(half), axis=1), expected)


@pytest.mark.parametrize("enough", [False, True])
def test_where_the_memory_of_the_gpu_does_not_suffice(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, enough: bool
) -> None:
    """The CPU computes, before anything was launched."""
    launches = []
    launch = gpu.CudaKernel.launch

    def noted(kernel: Any, *arguments: Any) -> None:
        launches.append(kernel)
        launch(kernel, *arguments)

    monkeypatch.setattr(gpu.CudaKernel, "launch", noted)
    image, classes = labels(rng), rng.integers(0, 4, (9, 11))
    values = rng.random((2, 40, 30))
    slots = 256  # twice the 99 pixels, and no fewer
    for function, array, need, options in (
        (fastiou.label_overlap, image, 16 * slots, {}),
        (fastiou.label_iou, image, 16 * slots, {}),
        (fastiou.confusion_matrix, classes, 8 * 4 * 4, {"num_classes": 4}),
        (fastiou.soft_iou, values, 16 * 2, {"axis": (1, 2)}),
        (fastiou.thresholded_iou, values.round().astype(np.int32), 16 * 2, {}),
    ):
        launches.clear()
        monkeypatch.setattr(gpu.Work, "free", lambda self, need=need: need - (not enough))
        both(function, array, array, **options)
        assert bool(launches) is enough
