"""Arrays that lie on a GPU are taken as they come, and results go where they lie.

The libraries stand in for themselves: their arrays hold Numba's, and know where they came from.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, random_boxes
from masks_for_tests import random_masks
from numba import cuda

import fastiou
from fastiou.runtime.gpu_arrays import OnGpu


class Device:
    """A GPU as CuPy and JAX have it."""

    id = 0
    platform = "gpu"

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Kept:
    """An array of a library that keeps it on a GPU."""

    def __init__(self, array: Any) -> None:
        self.numba_array = array

    def __getattr__(self, name: str) -> Any:
        if name == "__cuda_ndarray__":  # that alone is Numba's
            raise AttributeError(name)
        return {} if name == "__cuda_array_interface__" else getattr(self.numba_array, name)


@pytest.fixture(params=["cupy", "jax", "numba"])
def put(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that puts a NumPy array on the GPU."""
    if request.param == "numba":
        return cuda.to_device
    view = lambda array, sync: array.numba_array  # noqa: E731
    monkeypatch.setattr(cuda, "as_cuda_array", view, raising=False)
    library = ModuleType(request.param)
    monkeypatch.setitem(sys.modules, request.param, library)

    class CupyArray(Kept):
        device = Device()

        @property
        def flags(self) -> Any:
            return SimpleNamespace(c_contiguous=self.numba_array.is_c_contiguous())

        def get(self) -> Array:
            host: Array = self.numba_array.copy_to_host()
            return host

        def set(self, array: Array) -> None:
            self.numba_array.copy_to_device(array)

    class JaxArray(Kept):
        def devices(self) -> set[Any]:
            return {Device()}

        def __array__(self, *_: Any, **__: Any) -> Array:
            host: Array = self.numba_array.copy_to_host()
            return host

    CupyArray.__module__ = "cupy"
    JaxArray.__module__ = "jaxlib.xla_extension"
    if request.param == "cupy":
        library.empty = lambda shape, dtype: CupyArray(cuda.device_array(shape, dtype))  # type: ignore[attr-defined]
        library.asarray = lambda array: CupyArray(cuda.to_device(array))  # type: ignore[attr-defined]
        library.ascontiguousarray = lambda array: array  # type: ignore[attr-defined]
        library.cuda = SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=0))  # type: ignore[attr-defined]
        return library.asarray
    library.device_put = lambda array, device: JaxArray(cuda.to_device(array))  # type: ignore[attr-defined]
    return lambda array: library.device_put(array, Device())


def same(found: Any, expected: Array, kind: type) -> None:
    assert type(found) is kind
    host = found.copy_to_host()
    assert host.dtype == expected.dtype
    assert np.array_equal(host, expected, equal_nan=True)


@pytest.mark.parametrize("device", ["auto", "cuda", "cpu"])
def test_boxes(put: Any, rng: np.random.Generator, device: str) -> None:
    boxes = random_boxes(rng, 8, np.float32)
    scores = np.linspace(0, 1, 8)
    on_gpu = put(boxes)
    kind = type(on_gpu)
    same(fastiou.box_iou(on_gpu, boxes, device=device), fastiou.box_iou(boxes, boxes), kind)
    same(fastiou.box_iou(boxes, on_gpu, aligned=True, device=device), np.ones(8, np.float32), kind)
    for found, expected in zip(
        fastiou.pairs(on_gpu, threshold=0.01, device=device),
        fastiou.pairs(boxes, threshold=0.01),
        strict=True,
    ):
        same(found, expected, kind)
    for found, expected in zip(
        fastiou.topk(on_gpu, boxes, 2, device=device), fastiou.topk(boxes, boxes, 2), strict=True
    ):
        same(found, expected, kind)
    kept = fastiou.nms(on_gpu, put(scores), 0.1, device=device)
    same(kept, fastiou.nms(boxes, scores, 0.1), kind)
    rows, cols, values = fastiou.pairs(on_gpu, threshold=0.01).to_numpy()
    assert type(rows) is type(cols) is type(values) is np.ndarray


def test_masks(put: Any, rng: np.random.Generator) -> None:
    masks = random_masks(rng, 5, (9, 70))
    expected = fastiou.mask_iou(masks, masks)
    on_gpu = put(masks)
    same(fastiou.mask_iou(on_gpu, on_gpu), expected, type(on_gpu))
    same(fastiou.mask_iou(on_gpu, fastiou.Masks.from_dense(masks)), expected, type(on_gpu))
    same(fastiou.masks_to_boxes(on_gpu), fastiou.masks_to_boxes(masks), type(on_gpu))


def test_functions_without_kernels_for_a_gpu(put: Any, rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 8)
    on_gpu = put(boxes)
    kind = type(on_gpu)
    same(
        fastiou.box_convert(on_gpu, "xyxy", "xywh"),
        fastiou.box_convert(boxes, "xyxy", "xywh"),
        kind,
    )
    same(fastiou.match(on_gpu, on_gpu).rows, fastiou.match(boxes, boxes).rows, kind)


def test_label_images_and_values(
    put: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay where they are: nothing reads an argument into the host's memory."""
    image, other = rng.integers(0, 4, (2, 5, 6))
    values = rng.random((2, 5, 6))
    pairs, scored = fastiou.label_overlap(image, other), fastiou.label_iou(image, other)
    matrix, mean = (
        function(image, other, 4) for function in (fastiou.confusion_matrix, fastiou.mean_iou)
    )
    soft = fastiou.soft_iou(values, values)
    graded = fastiou.thresholded_iou(image[None], other[None])
    on_gpu, also = put(image), put(other)
    kind = type(on_gpu)
    wide, more = put(values), (put(image[None]), put(other[None]))
    with monkeypatch.context() as patch:
        patch.setattr(OnGpu, "on_host", property(lambda held: pytest.fail("copied to the host")))
        results = [
            *zip(fastiou.label_overlap(on_gpu, also), pairs, strict=True),
            *zip(fastiou.label_iou(on_gpu, also), scored, strict=True),
            (fastiou.confusion_matrix(on_gpu, also, 4), matrix),
            (fastiou.soft_iou(wide, wide), np.asarray(soft)),
            (fastiou.thresholded_iou(*more), graded),
        ]
    for found, expected in results:
        same(found, expected, kind)
    found_mean = fastiou.mean_iou(on_gpu, also, 4)
    same(found_mean.per_class, mean.per_class, kind)
    assert found_mean.mean == mean.mean


@pytest.mark.parametrize("put", ["cupy"], indirect=True)
def test_two_gpus_are_refused(put: Any, rng: np.random.Generator) -> None:
    other = put(random_boxes(rng, 3))
    elsewhere = type("CupyArray", (type(other),), {"device": type("D", (Device,), {"id": 1})()})
    elsewhere.__module__ = "cupy"
    with pytest.raises(ValueError, match="boxes1 is on GPU 0 and boxes2 on GPU 1"):
        fastiou.box_iou(other, elsewhere(other.numba_array))


def test_memory_of_the_gpu_does_not_suffice(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = random_boxes(rng, 8)
    on_gpu = cuda.to_device(boxes)
    expected = fastiou.box_iou(boxes, boxes)

    def no_memory(*_: Any) -> None:
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr("fastiou.runtime.gpu.Work.empty", no_memory)
    with pytest.raises(MemoryError, match="the GPU's memory does not suffice"):
        fastiou.box_iou(boxes, boxes, device="cuda")
    scores = fastiou.box_iou(on_gpu, on_gpu)  # by the CPU, in silence
    same(scores, expected, type(on_gpu))


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_out_on_the_gpu(put: Any, rng: np.random.Generator, device: str) -> None:
    """Whoever computes, and wherever the inputs lie, `out` is filled or refused."""
    boxes = random_boxes(rng, 8, np.float32)
    masks = random_masks(rng, 5, (9, 70))
    for inputs in (boxes, put(boxes)):
        out = put(np.full((8, 8), -7, np.float32))
        if hasattr(out, "devices"):
            with pytest.raises(TypeError, match="out must be an array that can be written to"):
                fastiou.box_iou(inputs, inputs, out=out, device=device)
            continue
        assert fastiou.box_iou(inputs, inputs, out=out, device=device) is out
        same(out, fastiou.box_iou(boxes, boxes), type(out))
        aligned = put(np.full(8, -7, np.float32))
        assert fastiou.box_iou(inputs, inputs, aligned=True, out=aligned, device=device) is aligned
        same(aligned, np.ones(8, np.float32), type(aligned))
        with pytest.raises(ValueError, match="out must have the shape"):
            fastiou.box_iou(inputs, inputs, out=aligned, device=device)
        counted = put(np.full((5, 5), -7.0))
        assert fastiou.mask_iou(masks, masks, out=counted, device=device) is counted
        same(counted, fastiou.mask_iou(masks, masks), type(counted))


@pytest.mark.parametrize("put", ["cupy"], indirect=True)
def test_out_on_another_gpu_is_refused(put: Any, rng: np.random.Generator) -> None:
    boxes = put(random_boxes(rng, 3))
    elsewhere = type("CupyArray", (type(boxes),), {"device": type("D", (Device,), {"id": 1})()})
    elsewhere.__module__ = "cupy"
    out = elsewhere(cuda.device_array((3, 3), np.float64))
    for device in ("auto", "cuda", "cpu"):
        with pytest.raises(ValueError, match="out is on GPU 1 and the inputs on GPU 0"):
            fastiou.box_iou(boxes, boxes, out=out, device=device)


def test_out_on_the_gpu_is_filled_where_its_memory_does_not_suffice(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = cuda.to_device(random_boxes(rng, 8))
    out = cuda.to_device(np.full((8, 8), -7.0))

    def no_memory(*_: Any) -> None:
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr("fastiou.runtime.gpu.Work.empty", no_memory)
    assert fastiou.box_iou(boxes, boxes, out=out) is out
    same(out, fastiou.box_iou(boxes.copy_to_host(), boxes.copy_to_host()), type(out))
