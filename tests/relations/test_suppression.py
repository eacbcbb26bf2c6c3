"""How members are suppressed: tasks, steps and threads do not show, and memory stays small.

What is kept is tested in `test_nms.py`.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from boxes_for_tests import Array, random_boxes
from masks_for_tests import random_masks

import fastiou
from fastiou.cpu.nms import suppress_kernel
from fastiou.geometries.boxes import BOX
from fastiou.metrics import METRICS
from fastiou.relations import nms as suppression
from fastiou.runtime import threads

#: Few are many here: other tests compare what one call does for a few.
pytestmark = pytest.mark.general_way


def kept_one_by_one(
    dense: Array, scores: Array, threshold: float, groups: Array | None = None
) -> list[int]:
    """What hard suppression keeps, from the dense result."""
    kept = []
    alive = np.ones(len(scores), np.bool_)
    for i in np.lexsort((np.arange(len(scores)), -scores)):
        if alive[i]:
            kept.append(int(i))
            alive &= ~((dense[i] > threshold) & (True if groups is None else groups == groups[i]))
    return kept


@pytest.mark.slow
@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("method", ["hard", "linear", "gaussian"])
def test_tasks_steps_and_threads_do_not_show(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    fixed_steps: Callable[[int], None],
) -> None:
    boxes = random_boxes(rng, 3000, np.float32)
    scores = np.round(rng.random(3000), 2)
    groups = np.minimum(rng.integers(0, 40, 3000), 5)
    options: dict[str, Any] = {"method": method, "score_threshold": 0.01}
    wanted = [
        fastiou.nms(boxes, scores, 0.3, groups=each, **options).tolist() for each in (None, groups)
    ]
    monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
    for count in (1, 2, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        for step in (20_000, 1 << 26):
            fixed_steps(step)
            for task in (1, 7, 64, 3000):
                monkeypatch.setattr(suppression, "GROUP_SCORES", task * 1000)
                monkeypatch.setattr(suppression, "LARGE_TASK", task)
                monkeypatch.setattr(suppression, "SMALL_TASK", task)
                monkeypatch.setattr(suppression, "TASKS", task)
                for each, expected in zip((None, groups), wanted, strict=True):
                    found = fastiou.nms(boxes, scores, 0.3, groups=each, **options)
                    assert found.tolist() == expected


@pytest.mark.slow
@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.99])
def test_a_pile_among_threads(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, threshold: float
) -> None:
    """All overlap all, so that threads leave much to each other."""
    monkeypatch.setattr(suppression, "LARGE_TASK", 1)
    monkeypatch.setattr(suppression, "GROUP_SCORES", 0)
    monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
    low = rng.random((2500, 2))
    boxes = np.concatenate([low, low + 50 + rng.random((2500, 2))], axis=1, dtype=np.float32)
    scores = rng.random(2500)
    expected = kept_one_by_one(fastiou.box_iou(boxes, boxes), scores, threshold)
    for _ in range(5):
        assert fastiou.nms(boxes, scores, threshold).tolist() == expected


@pytest.mark.usefixtures("several_threads")
@pytest.mark.slow
def test_masks_among_threads(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, fixed_steps: Callable[[int], None]
) -> None:
    masks = fastiou.Masks.from_dense(random_masks(rng, 700, (90, 70)))
    scores = rng.random(700)
    groups = rng.integers(0, 2, 700)
    dense = fastiou.mask_iou(masks, masks, metric="iof")
    expected = kept_one_by_one(dense, scores, 0.4, groups)
    monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
    for step in (5000, 1 << 26):
        fixed_steps(step)
        found = fastiou.nms(masks, scores, 0.4, metric="iof", groups=groups)
        assert found.tolist() == expected


@pytest.mark.parametrize("at_a_time", [1, 7, 300, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_order_of_scores(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, dtype: type, at_a_time: int
) -> None:
    """In parts of any number, of which some hold many that are equal."""
    monkeypatch.setattr(suppression, "SORTED_AT_A_TIME", at_a_time)
    scores = np.concatenate([rng.normal(size=500), rng.integers(-3, 3, 500)]).astype(dtype)
    scores[:6] = [0.0, -0.0, np.inf, -np.inf, np.inf, np.finfo(dtype).smallest_subnormal]
    rng.shuffle(scores)
    expected = np.lexsort((np.arange(1000), -scores.astype(np.float64)))
    np.testing.assert_array_equal(suppression.by_score(scores), expected)
    assert suppression.by_score(scores[:0]).tolist() == []


def test_no_more_is_decided_than_is_asked_for(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes, scores = random_boxes(rng, 20_000, span=2000), rng.random(20_000)
    expected = fastiou.nms(boxes, scores)[:100]
    taken = []
    ask = threads.run

    def watched(kernel: Any, work: int, *arguments: Any) -> Any:
        result = ask(kernel, work, *arguments)
        if "suppress" in kernel._label:
            taken.append(int(arguments[-4][0]))
        return result

    monkeypatch.setattr(threads, "run", watched)
    found = fastiou.nms(boxes, scores, max_output=100)
    np.testing.assert_array_equal(found, expected)
    assert taken[0] * suppression.LARGE_TASK < 3000
    assert fastiou.nms(boxes, scores, max_output=0).tolist() == []


@pytest.mark.parametrize("threshold", [0.5, 0.99])
def test_memory_of_a_pile(rng: np.random.Generator, threshold: float) -> None:
    """Who overlaps whom, in bits, would be 50 MB."""
    low = rng.random((20_000, 2))
    boxes = np.concatenate([low, low + 100 + 100 * rng.random((20_000, 2))], axis=1)
    scores = rng.random(20_000)
    tracemalloc.start()
    fastiou.nms(boxes, scores, threshold)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.slow
@pytest.mark.usefixtures("several_threads")
def test_a_chain_takes_few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each box waits for the one before: threads in step would decide one task a round."""
    rounds = []
    run = threads.run

    def counted(kernel: Any, *arguments: Any) -> Any:
        rounds.append(kernel)
        return run(kernel, *arguments)

    left = np.arange(100_000) * 4.0
    boxes = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1, dtype=np.float32)
    scores = np.linspace(1, 0, len(boxes))
    monkeypatch.setattr(threads, "run", counted)
    kept = fastiou.nms(boxes, scores, 0.4)
    np.testing.assert_array_equal(kept, np.arange(0, len(boxes), 2))
    assert sum(kernel is suppress_kernel(BOX, METRICS["iou"]) for kernel in rounds) <= 10


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_suppression_needs_finite_scores(method: str) -> None:
    with pytest.raises(ValueError, match=r"scores must be finite .* got inf in row 1"):
        fastiou.nms([[0, 0, 1, 1], [0, 0, 1, 1]], [1, np.inf], method=method)


@pytest.mark.parametrize("place", [0.1, 123456.7])
def test_copies_in_the_format_of_coco_are_not_lost(place: float) -> None:
    """Which can score just above 1 with themselves, so that their scores would fall below 0."""
    boxes = [[place, place, 33.3, 33.3]] * 2
    assert fastiou.nms(boxes, [1, 1], fmt="xywh", method="linear").tolist() == [0, 1]


def test_any_number_may_be_kept() -> None:
    for method in ("hard", "linear"):
        kept = fastiou.nms([[0, 0, 1, 1], [2, 2, 3, 3]], [1, 2], max_output=2**62, method=method)
        assert kept.tolist() == [1, 0]


@pytest.mark.slow
def test_areas_too_small_for_floats_suppress_nothing() -> None:
    tiny = [[0, 0, 1e-200, 1e-200]] * 2
    assert fastiou.nms(tiny, [1, 1], 0, metric="intersection").tolist() == [0, 1]
    assert fastiou.topk(tiny, tiny, metric="intersection").indices.tolist() == [[-1], [-1]]
