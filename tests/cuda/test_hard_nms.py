"""Hard suppression of arrays of the host keeps on a GPU what it keeps on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes_for_tests import METRICS, Array, awkward_boxes, random_boxes
from masks_for_tests import METRICS as MASK_METRICS
from masks_for_tests import awkward_masks, random_masks
from numba import cuda

import fastiou
from fastiou.runtime.gpu import Work


def both(a: Any, scores: Any, threshold: float = 0.5, **options: Any) -> Array:
    """Keep on the GPU and on the CPU."""
    found = fastiou.nms(a, scores, threshold, **options, device="cuda")
    expected: Array = fastiou.nms(a, scores, threshold, **options, device="cpu")
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.int64
    assert found.tolist() == expected.tolist()
    return expected


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.thorough)]
)
def test_metrics(rng: np.random.Generator, metric: str, dtype: type) -> None:
    boxes = random_boxes(rng, 24, dtype, span=20)
    threshold = 2.0 if metric == "intersection" else 0.2
    kept = both(boxes, rng.random(24), threshold, metric=metric)
    assert 1 < len(kept) < 24


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8, 9, 17])
def test_counts_about_multiples_of_threads(rng: np.random.Generator, count: int) -> None:
    both(random_boxes(rng, count, np.float32, span=20), rng.random(count), 0.1)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9, 1.0])
def test_piles(rng: np.random.Generator, threshold: float) -> None:
    boxes = np.array([0, 0, 100, 100]) + rng.integers(0, 20, (28, 4))
    boxes[20:] = boxes[:8]  # what scores 1 is not more than 1
    both(boxes, rng.random(28), threshold)


@pytest.mark.parametrize("spread", [1, 3, 1000])
def test_groups(rng: np.random.Generator, spread: int) -> None:
    boxes = random_boxes(rng, 28, np.float32, span=20)
    both(boxes, rng.random(28), 0.2, groups=rng.integers(0, spread, 28) * 7 - 5)
    both(boxes, rng.random(28), 0.2, groups=np.full(28, -3))


def test_awkward_boxes() -> None:
    for dtype in (np.float32, np.float64):
        boxes = awkward_boxes(dtype)
        for scores in (np.arange(len(boxes)), -np.arange(len(boxes)), np.zeros(len(boxes))):
            for threshold in (0.0, 0.5):
                both(boxes, scores, threshold, score_threshold=-np.inf)
    both(np.full((3, 4), np.nan), [1, 2, 3])
    both(np.zeros((3, 4)), [1, 2, 3], groups=[1, 1, 2])


def test_ties_and_thresholds_at_a_score() -> None:
    boxes = [[0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 2], [0, 0, 4, 1]]
    for dtype in (np.float32, np.float64):
        some = np.array(boxes, dtype)
        for threshold in (0.25, 0.5, 0.75, np.nextafter(0.75, 0), 2 / 3):
            both(some, np.ones(4), threshold)
            both(some[::-1], [1, 2, 2, 1], threshold)


def test_thresholds_are_rounded_down() -> None:
    """A float32 score of 1/10 is more than 0.1, and one of 7/10 is less than 0.7."""
    for part, whole in ((1, 10), (7, 10), (1, 3), (2, 3), (5, 6), (3, 7)):
        boxes = np.array([[0, 0, whole, 1], [whole - part, 0, whole, 1]], np.float32)
        is_above = float(np.float32(part) / np.float32(whole)) > part / whole
        kept = both(boxes, [2, 1], part / whole)
        assert kept.tolist() == ([0] if is_above else [0, 1])


def test_kept_ones_come_first_of_the_two() -> None:
    boxes = [[0, 0, 2, 2], [0, 0, 10, 10]]
    assert both(boxes, [2, 1], 0.5, metric="iof").tolist() == [0]
    assert both(boxes, [1, 2], 0.5, metric="iof").tolist() == [1, 0]


def test_integers_too_far_apart_for_float64() -> None:
    far = 2**62
    boxes = np.array([[-far, -far, far, far], [-far, -far, far, far - 1], [1, 1, 3, 3]])
    both(np.concatenate([boxes, boxes + np.array([0, 0, 1, 1])]), [3, 4, 5, 2, 1, 6], 0.9)


def test_huge_and_tiny_boxes(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 12, span=20)
    for scale in (1e150, 1e-150):
        both(boxes * scale, rng.random(12), 0.2)
    both(boxes * 1e150, rng.random(12), 1e300, metric="intersection")
    both((boxes * 1e17).astype(np.float32), rng.random(12), 0.2)


@pytest.mark.parametrize(
    "metric",
    [
        pytest.param(metric, marks=pytest.mark.thorough if metric in ("dice", "ios") else ())
        for metric in MASK_METRICS
    ],
)
def test_masks(rng: np.random.Generator, metric: str) -> None:
    masks = random_masks(rng, 16, (70, 9))
    threshold = 20 if metric == "intersection" else 0.1
    both(masks, rng.random(16), threshold, metric=metric)
    both(masks, rng.random(16), threshold, metric=metric, groups=rng.integers(0, 2, 16))


def test_awkward_masks() -> None:
    masks = awkward_masks((65, 3))
    both(masks, np.arange(len(masks)), 0.1)
    both(fastiou.Masks.from_dense(masks), -np.arange(len(masks)), score_threshold=-np.inf)


@pytest.mark.parametrize("most", [0, 3, 100])
def test_max_output(rng: np.random.Generator, most: int) -> None:
    boxes = random_boxes(rng, 30, span=40)
    boxes[::5, 2] = np.nan
    both(boxes, rng.random(30), 0.1, max_output=most, groups=rng.integers(0, 2, 30), max_total=50)
    assert len(both(boxes, rng.random(30), 0.1, max_output=most)) <= most


@pytest.mark.parametrize("dtype", [np.float16, np.int64, ">f8"])
def test_scores_of_other_dtypes(rng: np.random.Generator, dtype: Any) -> None:
    scores = (rng.random(20) * 40 - 20).astype(dtype)
    both(random_boxes(rng, 20, span=20), scores, 0.1, score_threshold=-3)


def test_members_that_are_left_out(rng: np.random.Generator) -> None:
    both(random_boxes(rng, 20, span=20), rng.random(20), 0.1, score_threshold=0.5)


def test_arrays_on_the_gpu_stay_there(rng: np.random.Generator) -> None:
    boxes, scores = random_boxes(rng, 10, np.float32, span=20), rng.random(10)
    groups = rng.integers(0, 2, 10)
    expected = fastiou.nms(boxes, scores, 0.2, groups=groups)
    for device in ("auto", "cuda", "cpu"):
        kept = fastiou.nms(
            cuda.to_device(boxes), cuda.to_device(scores), 0.2, groups=cuda.to_device(groups),
            device=device,
        )  # fmt: skip
        assert hasattr(kept, "__cuda_ndarray__")
        assert kept.copy_to_host().tolist() == expected.tolist()
    kept = fastiou.batched_nms(cuda.to_device(boxes), scores, groups, 0.2)
    assert kept.copy_to_host().tolist() == expected.tolist()


def test_auto_uses_the_gpu_of_the_input(rng: np.random.Generator, launched: list[Any]) -> None:
    boxes, scores = random_boxes(rng, 6, np.float32), rng.random(6)
    fastiou.nms(boxes, scores)
    fastiou.nms(cuda.to_device(boxes), scores, device="cpu")
    assert not launched
    fastiou.nms(cuda.to_device(boxes), scores)
    assert launched


def test_too_little_memory(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Work, "free", lambda work: 100)
    boxes, scores = random_boxes(rng, 6, np.float32), rng.random(6)
    with pytest.raises(MemoryError, match="GPU"):
        fastiou.nms(boxes, scores, device="cuda")
    kept = fastiou.nms(cuda.to_device(boxes), scores)
    assert kept.copy_to_host().tolist() == fastiou.nms(boxes, scores).tolist()
