"""What does not fit in a GPU's memory is done in parts, or refused before anything is launched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import random_boxes
from masks_for_tests import random_masks
from numba import cuda

import fastiou
from fastiou.arrays.dense_result import MEMBER_BYTES
from fastiou.runtime import gpu
from fastiou.runtime.gpu_arrays import GpuArray


class Memory:
    """A GPU with so many bytes, of which none are taken; and what is launched, and allocated."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.size = 0
        self.launches = 0
        self.made: list[int] = []
        #: Of these, parts of dense results.
        self.parts: list[int] = []
        launch, empty = gpu.CudaKernel.launch, gpu.Work.empty

        def noted(kernel: Any, *arguments: Any) -> None:
            self.launches += 1
            launch(kernel, *arguments)

        def noted_empty(work: gpu.Work, shape: Any, dtype: Any) -> Any:
            self.made.append(int(np.prod(shape)) * np.dtype(dtype).itemsize)
            if np.size(shape) == 3:
                self.parts.append(self.made[-1])
            return empty(work, shape, dtype)

        patch.setattr(gpu.Work, "free", lambda work: self.size)
        patch.setattr(gpu.CudaKernel, "launch", noted)
        patch.setattr(gpu.Work, "empty", noted_empty)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    return Memory(monkeypatch)


def arrays_of(result: Any) -> list[Any]:
    is_one = isinstance(result, np.ndarray) or hasattr(result, "copy_to_host")
    parts = [result] if is_one else list(result)
    return [part.copy_to_host() if hasattr(part, "copy_to_host") else part for part in parts]


CALLS: dict[str, Callable[..., Any]] = {
    "dense": lambda boxes, scores, device: fastiou.box_iou(boxes, boxes, device=device),
    "aligned": lambda boxes, scores, device: fastiou.box_iou(
        boxes, boxes, aligned=True, device=device
    ),
    "pairs": lambda boxes, scores, device: fastiou.pairs(boxes, threshold=0.1, device=device),
    "topk": lambda boxes, scores, device: fastiou.topk(boxes, boxes, 2, device=device),
    "nms": lambda boxes, scores, device: fastiou.nms(boxes, scores, device=device),
    "nms, scores there": lambda boxes, scores, device: fastiou.nms(
        boxes, scores if isinstance(boxes, np.ndarray) else cuda.to_device(scores), device=device
    ),
    "soft nms": lambda boxes, scores, device: fastiou.nms(
        boxes, scores, method="linear", device=device
    ),
}

MASK_CALLS: dict[str, Callable[..., Any]] = {
    "dense masks": lambda masks, scores, device: fastiou.mask_iou(masks, masks, device=device),
    "aligned masks": lambda masks, scores, device: fastiou.mask_iou(
        masks, masks, aligned=True, device=device
    ),
    **{f"{name} of masks": CALLS[name] for name in ("pairs", "topk", "nms", "soft nms")},
}


@pytest.mark.parametrize("name", [*CALLS, *MASK_CALLS])
def test_what_does_not_fit_is_refused_before_anything_is_launched(
    rng: np.random.Generator, memory: Memory, name: str
) -> None:
    members, scores = random_boxes(rng, 6), rng.random(6)
    call = CALLS.get(name) or MASK_CALLS[name]
    if name in MASK_CALLS:
        members = random_masks(rng, 6, (40, 40))
    on_gpu = cuda.to_device(members)
    memory.size = 100
    with pytest.raises(MemoryError, match=r"needs .* (bytes|KiB), and 100 bytes are free"):
        call(on_gpu, scores, "cuda")
    assert memory.launches == 0
    assert memory.made == []
    expected = arrays_of(call(members, scores, "cpu"))
    for found, other in zip(arrays_of(call(on_gpu, scores, "auto")), expected, strict=True):
        np.testing.assert_array_equal(found, other)  # by the CPU
    assert memory.launches == 0
    memory.size = 1 << 30
    for found, other in zip(arrays_of(call(on_gpu, scores, "cuda")), expected, strict=True):
        np.testing.assert_array_equal(found, other)
    assert memory.launches > 0


@pytest.mark.parametrize("name", ["pairs", "topk", "nms", "soft nms"])
def test_what_is_reckoned_is_what_a_search_takes(
    rng: np.random.Generator, memory: Memory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """All but the list of pairs, which comes later, and a few numbers; masks with their words."""
    asked: list[int] = []
    reserve = gpu.Work.reserve

    def noted(work: gpu.Work, size: int, what: str) -> None:
        asked.append(size)
        reserve(work, size, what)

    monkeypatch.setattr(gpu.Work, "reserve", noted)
    memory.size = 1 << 30
    scores = rng.random(6)
    for members in (random_boxes(rng, 6), random_masks(rng, 6, (40, 40))):
        asked.clear()
        memory.made.clear()
        CALLS[name](cuda.to_device(members), scores, "cuda")
        assert sum(memory.made) <= sum(asked) + 8 * 64


def test_results_of_the_host_are_computed_in_as_many_parts_as_it_takes(
    rng: np.random.Generator, memory: Memory
) -> None:
    boxes = random_boxes(rng, 9), random_boxes(rng, 7)
    expected = fastiou.box_iou(*boxes)
    memory.size = 1 << 13  # of which a part may have half
    np.testing.assert_array_equal(fastiou.box_iou(*boxes, device="cuda"), expected)
    assert memory.parts == [9 * 7 * 8]
    memory.parts.clear()
    many = tuple(np.repeat(some, 12, axis=0) for some in boxes)
    memory.size = MEMBER_BYTES * 12 * 16 + 100  # what the sets take, and a bit
    found = fastiou.box_iou(*many, device="cuda")
    np.testing.assert_array_equal(found, np.repeat(np.repeat(expected, 12, 0), 12, 1))
    assert len(memory.parts) == 3
    assert max(memory.parts) <= memory.size // 2


def test_what_the_library_keeps_counts_for_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.Work, "free", lambda work: 100)
    place = GpuArray(0, 0, cuda.device_array, cuda.to_device, lambda: 50)
    gpu.Work(0, place).reserve(150, "something")
    with pytest.raises(MemoryError, match="something needs 151 bytes, and 150 bytes are free"):
        gpu.Work(0, place).reserve(151, "something")
    with pytest.raises(MemoryError, match="something needs 150 bytes, and 100 bytes are free"):
        gpu.Work(0).reserve(150, "something")
