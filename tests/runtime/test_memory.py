"""Memory of results is used again, and is nobody else's."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from boxes_for_tests import random_boxes

import fastiou
from fastiou.runtime import memory, threads
from fastiou.runtime.kernel import Kernel


def test_memory_of_large_results_is_used_again(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 2100, dtype=np.float32)
    memory._spare.clear()
    first = fastiou.box_iou(boxes, boxes)
    address, copy = first.ctypes.data, first.copy()
    second = fastiou.box_iou(boxes, boxes)
    assert second.ctypes.data != address
    view = memoryview(first[5:, ::2])  # keeps the memory, though the array goes
    del first
    assert not memory._spare
    third = fastiou.box_iou(boxes, boxes, metric="iof")
    assert third.ctypes.data != address
    assert np.array_equal(np.asarray(view), copy[5:, ::2])
    view.release()
    fourth = fastiou.box_iou(boxes, boxes)
    assert fourth.ctypes.data == address
    assert np.array_equal(fourth, copy)
    assert fourth.flags.carray
    assert fourth.flags.writeable
    del fourth  # whose memory is too little for a larger result
    larger = random_boxes(rng, 2500, dtype=np.float32)
    assert np.array_equal(
        fastiou.box_iou(larger, larger[:9]), fastiou.box_iou(larger, larger)[:, :9]
    )


def test_little_memory_is_kept(rng: np.random.Generator) -> None:
    sizes = []
    memory._spare.clear()
    for count in (1000, 2100, 5700, 2100, 6000):
        boxes = random_boxes(rng, count, dtype=np.float32)
        fastiou.box_iou(boxes, boxes)
        sizes.append(sum(block.nbytes for block in memory._spare))
    # A much smaller result does not hold a large block.
    assert sizes == [0, 4 * 2100**2, 4 * 5700**2, 4 * 2100**2, 0]


def test_threads_share_no_memory(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 2100, dtype=np.float32)
    expected = fastiou.box_iou(boxes, boxes)
    wrong = []

    def work() -> None:
        for _ in range(10):
            scores = fastiou.box_iou(boxes, boxes)
            if not np.array_equal(scores, expected):
                wrong.append(scores)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- address space -----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="this system bounds no address space")
def test_room_in_the_address_space() -> None:
    assert memory.has_room(1 << 20)
    assert not memory.has_room(1 << 62)


def test_one_thread_where_there_is_no_room_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_room", threads._Room())
    monkeypatch.setattr(memory, "has_room", lambda _: False)
    assert threads.thread_count() == 1
    with threads.limited(1):
        assert threads.thread_count() == 1


def test_a_kernel_is_not_compiled_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(x: float) -> float:
        return x + 1

    kernel = Kernel(work, "no room")
    monkeypatch.setattr(memory, "has_room", lambda _: False)
    with pytest.raises(MemoryError, match="address space"):
        kernel.serial(1)
    monkeypatch.undo()
    assert kernel.serial(1) == 2
