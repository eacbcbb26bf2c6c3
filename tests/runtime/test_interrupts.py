"""Long work gives Python chances to handle signals: Ctrl-C is heard within half a second."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from boxes_for_tests import random_boxes
from masks_for_tests import noise
from scenes_for_tests import scattered

import fastiou
from fastiou import Masks
from fastiou.runtime import kernel as compilation
from fastiou.runtime import steps, threads
from fastiou.segmentation import labels as label_images

Rng = np.random.Generator
Work = Callable[[], Any]

# ---- by a clock that runs on what is computed --------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, for `steps`; it stands still but for what a test adds."""
    now = [0.0]
    monkeypatch.setattr(steps.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize("rate", [1e7, 1e8, 3e8, 1e10])
def test_steps_follow_the_rate(clock: list[float], rate: float) -> None:
    durations = []
    for first, last, work in steps.ranges(int(5 * rate), 3):
        assert work == 3 * (last - first)
        durations.append(work / rate)
        clock[0] += durations[-1]
    assert sum(durations) == pytest.approx(15)
    grown = steps.STEP / rate
    for duration in durations[:-1]:
        assert duration == pytest.approx(grown, rel=1e-5)
        grown = min(grown * steps.STEP_GROWTH, steps.STEP_SECONDS)


def test_steps_follow_a_rate_that_changes(clock: list[float]) -> None:
    pace = steps.shares()
    share = next(pace)
    for rate in (1e9, 1e9, 1e6, 1e6, 1e9):
        clock[0] += share / rate
        share = pace.send(share)
    assert share == pytest.approx(steps.STEP_GROWTH * 1e5, rel=1e-3)
    clock[0] += 0.001
    assert pace.send(5) == share  # that there was little to do tells nothing
    clock[0] += 10
    compilation.compilations += 1
    assert pace.send(share) == share  # nor does a step in which a kernel was compiled
    clock[0] += 0.2
    assert pace.send(1000) == pytest.approx(500, abs=1)


def test_spans_follow_what_was_in_them(clock: list[float]) -> None:
    """What is cut short, since the next thing does not fit, was no full step."""
    before = np.concatenate([[0, 1], 1 + steps.STEP * np.arange(1, 30)])
    for first, last, work in steps.spans(before):
        assert work == before[last] - before[first]
        clock[0] += 0.1 * work / steps.STEP
        assert last - first == 1


def test_spans_hold_one_thing_at_least(fixed_steps: Callable[[int], None]) -> None:
    fixed_steps(10)
    before = np.array([0, 3, 6, 9, 40, 40, 41, 60])
    assert list(steps.spans(before)) == [(0, 3, 9), (3, 4, 31), (4, 6, 1), (6, 7, 19)]
    assert list(steps.spans(before, 0.5)) == [(0, 3, 4), (3, 4, 15), (4, 7, 10)]
    assert list(steps.spans(before, equal=True)) == list(steps.spans(before))
    assert list(steps.spans(before[:1])) == []
    assert list(steps.ranges(25)) == [(0, 10, 10), (10, 20, 10), (20, 25, 5)]
    assert list(steps.ranges(3, 11)) == [(0, 1, 11), (1, 2, 11), (2, 3, 11)]
    assert list(steps.ranges(0)) == []


def _masks(rng: Rng) -> Masks:
    return Masks.from_dense(noise(rng, 60, (200, 150)))


def _boxes(rng: Rng, count: int) -> tuple[Any, Any]:
    return random_boxes(rng, count), random_boxes(rng, count)


#: Work, and how to prepare what it is given.
CUT: dict[str, tuple[Callable[[Any], Any], Callable[[Rng], Any]]] = {
    "box_iou": (lambda boxes: fastiou.box_iou(*boxes), lambda rng: _boxes(rng, 1500)),
    "aligned": (
        lambda boxes: fastiou.box_iou(*boxes, aligned=True),
        lambda rng: _boxes(rng, 900_000),
    ),
    "pairs": (lambda boxes: fastiou.pairs(*boxes, 1e-9), lambda rng: _boxes(rng, 2000)),
    "topk": (lambda boxes: fastiou.topk(*boxes, 2), lambda rng: _boxes(rng, 2000)),
    "mask_iou": (lambda masks: fastiou.mask_iou(masks, masks), _masks),
    "aligned masks": (
        lambda masks: fastiou.mask_iou(masks, masks, aligned=True),
        lambda rng: _masks(rng)[np.arange(20_000) % 60],
    ),
    "pairs of masks": (
        lambda masks: fastiou.pairs(masks, masks, 1e-9),
        lambda rng: _masks(rng)[np.arange(120) % 60],
    ),
    "from_dense": (Masks.from_dense, lambda rng: noise(rng, 60, (500, 400))),
    "to_dense": (Masks.to_dense, lambda rng: _masks(rng)[np.arange(300) % 60]),
    "to_rle": (Masks.to_rle, _masks),
    "from_rle": (Masks.from_rle, lambda rng: _masks(rng).to_rle()),
    "from_polygons": (
        lambda rings: Masks.from_polygons(rings, (200, 200)),
        lambda rng: [[(200 * rng.random(60)).tolist()] for _ in range(900)],
    ),
    "from_labels": (
        Masks.from_labels,
        lambda rng: np.kron(rng.permutation(200).reshape(40, 5), np.ones((70, 70), int)),
    ),
    "label_overlap": (
        lambda labels: fastiou.label_overlap(*labels),
        lambda rng: np.repeat(rng.integers(0, 9, (2, 700, 60)), 10, axis=2),
    ),
    "instance_matching": (
        lambda labels: fastiou.instance_matching(*labels, [0.1, 0.5]),
        lambda rng: np.repeat(rng.integers(0, 9, (2, 700, 60)), 10, axis=2),
    ),
    "confusion_matrix": (
        lambda labels: fastiou.confusion_matrix(*labels, 30),
        lambda rng: rng.integers(0, 30, (2, 700, 600)),
    ),
    "soft_iou": (
        lambda values: fastiou.soft_iou(*values),
        lambda rng: rng.random((2, 90, 9000)),
    ),
    "soft_iou by column": (
        lambda values: fastiou.soft_iou(*values, axis=0),
        lambda rng: rng.random((2, 90, 9000)),
    ),
}


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("name", CUT)
def test_every_long_call_is_cut_by_time(
    rng: Rng, monkeypatch: pytest.MonkeyPatch, clock: list[float], name: str
) -> None:
    """On a machine so slow that even this takes seconds, if work takes as long as is reckoned."""
    numba.set_num_threads(1)
    work, prepare = CUT[name]
    given = prepare(rng)
    monkeypatch.setattr(steps, "STEP", 30_000)
    monkeypatch.setattr(label_images, "FEW_PIXELS", 0)  # so small an image is counted in one go
    run = threads.run
    taken: list[tuple[float, str]] = []

    def slow_run(kernel: Any, scores: int, *arguments: Any) -> Any:
        taken.append((scores / 600_000, kernel._label))
        clock[0] += scores / 600_000
        return run(kernel, scores, *arguments)

    monkeypatch.setattr(threads, "run", slow_run)
    work(given)
    assert sum(seconds for seconds, _ in taken) > 0.5
    assert max(taken)[0] < 0.3, max(taken)


# ---- by what it takes --------------------------------------------------------------------------


def longest_stretch(work: Callable[[], Any]) -> float:
    """CPU seconds of the process, all threads, without a chance for a signal handler, at most."""
    times: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: times.append(time.process_time()))
    times.append(time.process_time())
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        times.append(time.process_time())
        signal.signal(signal.SIGALRM, before)
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def _scored(rng: Rng, count: int) -> tuple[Any, Any]:
    return scattered(rng, count, 10 * count**0.5).astype(np.float32), rng.random(count)


def _pile(rng: Rng, count: int) -> Any:
    return scattered(rng, count, 10, (100, 130)).astype(np.float32)


def _detections(rng: Rng, count: int, images: Any) -> dict[str, Any]:
    """Boxes of one class that overlap."""
    boxes = scattered(rng, count, 3, (20, 30))
    labels = np.zeros(count, int)
    return {"boxes": boxes, "labels": labels, "image_ids": images, "scores": rng.random(count)}


def _ids(rng: Rng, side: int, count: int) -> Any:
    """Two images of so many labels, which need all their bits, one pixel beside another."""
    return rng.integers(-(2**62), 2**62, count)[rng.integers(0, count, (2, side, side))]


def _full(count: int) -> Masks:
    """Masks that fill their images: 2 MB each."""
    return Masks.from_rle([{"size": [4000, 4000], "counts": [0, 16_000_000]}] * count)


#: The same, of some CPU seconds.
LONG: dict[str, tuple[Callable[[Any], Any], Callable[[Rng], Any]]] = {
    "pairs": (lambda boxes: fastiou.pairs(boxes, threshold=0.99), lambda rng: _pile(rng, 60_000)),
    "topk": (lambda boxes: fastiou.topk(boxes, boxes, 3), lambda rng: _pile(rng, 40_000)),
    "nms": (lambda scored: fastiou.nms(*scored), lambda rng: _scored(rng, 5_000_000)),
    "soft nms": (
        lambda scored: fastiou.nms(*scored, method="linear", score_threshold=0.01),
        lambda rng: _scored(rng, 1_500_000),
    ),
    "match": (
        lambda boxes: fastiou.match(boxes, boxes[::-1], 0.5, method="optimal"),
        lambda rng: _pile(rng, 3000),
    ),
    "mask_iou": (
        lambda masks: fastiou.mask_iou(masks, masks[:1000]),
        lambda rng: Masks.from_dense(noise(rng, 100, (500, 500)))[np.arange(6000) % 100],
    ),
    "from_rle": (
        Masks.from_rle,
        lambda rng: Masks.from_dense(noise(rng, 100, (1000, 1000))).to_rle() * 4,
    ),
    "to_rle": (
        Masks.to_rle,
        lambda rng: Masks.from_dense(noise(rng, 100, (1000, 1000)))[np.arange(600) % 100],
    ),
    "from_polygons": (
        lambda rings: Masks.from_polygons(rings, (600, 600)),
        lambda rng: [[(600 * rng.random(600)).tolist()] for _ in range(400)],
    ),
    "from_labels": (
        Masks.from_labels,
        lambda rng: np.kron(rng.permutation(30_000).reshape(150, 200), np.ones((32, 32), int)),
    ),
    "from_labels of few": (
        Masks.from_labels,
        lambda rng: rng.integers(0, 60, (6000, 6000), dtype=np.int32),
    ),
    "from_labels of sparse": (Masks.from_labels, lambda rng: _ids(rng, 5000, 60)[0]),
    "from_labels of single pixels": (
        Masks.from_labels,
        lambda rng: rng.permutation(9_000_000).reshape(3000, 3000),
    ),
    "label_overlap": (
        lambda labels: fastiou.label_overlap(*labels),
        lambda rng: rng.integers(0, 3000, (2, 6000, 8000), dtype=np.int32),
    ),
    "label_overlap of sparse": (
        lambda labels: fastiou.label_overlap(*labels),
        lambda rng: _ids(rng, 2500, 10**7),
    ),
    "label_overlap of all but one": (
        lambda labels: fastiou.label_overlap(*labels),
        lambda rng: (
            np.where(np.arange(3000 * 3000).reshape(3000, 3000), 1, 2**30)
            * rng.integers(0, 3000, (2, 3000, 3000))
        ),
    ),
    "label_iou": (
        lambda labels: fastiou.label_iou(*labels),
        lambda rng: rng.integers(0, 3000, (2, 4000, 4000)),
    ),
    "from_rle of many": (
        Masks.from_rle,
        lambda rng: [{"size": [2000, 2000], "counts": [0, 4_000_000]}] * 4000,
    ),
    "from_polygons of many": (
        lambda rings: Masks.from_polygons(rings, (600, 600)),
        lambda rng: [[(600 * rng.random(600)).tolist()] for _ in range(1500)],
    ),
    "box_convert": (
        lambda boxes: fastiou.box_convert(boxes, "xyxy", "cxcywh"),
        lambda rng: rng.random((20_000_000, 4), dtype=np.float32),
    ),
    "box_convert of integers": (
        lambda boxes: fastiou.box_convert(boxes, "xyxy", "cxcywh"),
        lambda rng: rng.integers(0, 1000, (3_000_000, 4)),
    ),
    "box_area": (fastiou.box_area, lambda rng: rng.random((20_000_000, 4), dtype=np.float32)),
    "aligned": (
        lambda boxes: fastiou.box_iou(boxes, boxes, aligned=True),
        lambda rng: rng.random((20_000_000, 4), dtype=np.float32),
    ),
    "confusion_matrix": (
        lambda labels: fastiou.confusion_matrix(labels[0].T, labels[1], 20),
        lambda rng: rng.integers(0, 20, (2, 12_000, 12_000), dtype=np.uint8),
    ),
    "confusion_matrix of many": (
        lambda labels: fastiou.confusion_matrix(*labels, 10_000),
        lambda rng: rng.integers(0, 3000, (2, 4000, 4000), dtype=np.int32),
    ),
    "soft_iou": (
        lambda values: fastiou.soft_iou(values[0, :, ::2].T, values[1, :, ::2]),
        lambda rng: rng.random((2, 10_000, 20_000), dtype=np.float32),
    ),
    "soft_iou of halves": (
        lambda values: fastiou.soft_iou(*values),
        lambda rng: np.ones((2, 12_000, 12_000), np.float16),
    ),
    "thresholded_iou": (
        lambda images: fastiou.thresholded_iou(images[0].T, images[1].T),
        lambda rng: rng.integers(0, 2, (2, 500, 500, 800), dtype=np.uint8),
    ),
    "to_dense": (Masks.to_dense, lambda rng: _full(150)),
    "masks_to_boxes": (
        fastiou.masks_to_boxes,
        lambda rng: np.broadcast_to(noise(rng, 1, (1000, 1000)), (1500, 1000, 1000)),
    ),
    "from_dense": (
        lambda masks: Masks.from_dense(masks.transpose(2, 0, 1)),
        lambda rng: noise(rng, 400, (900, 900)).transpose(1, 2, 0).astype(np.float32, order="C"),
    ),
    "concatenate": (lambda masks: Masks.concatenate([masks, masks]), lambda rng: _full(700)),
    "some masks": (lambda masks: masks[np.arange(1400) % 700], lambda rng: _full(700)),
    "match of a pile": (
        lambda boxes: fastiou.match(boxes, boxes[:3000], 0.5, method="optimal"),
        lambda rng: _pile(rng, 10_000),
    ),
    "coco": (
        lambda scored: fastiou.match(
            scored[0], scored[0], 0.5, method="coco", scores=scored[1], iscrowd=scored[1] < 0.5
        ),
        lambda rng: _scored(rng, 3_000_000),
    ),
    "coco of a pile": (
        lambda boxes: fastiou.match(
            boxes, boxes, 0.5, method="coco", scores=np.ones(6000), iscrowd=np.arange(6000) % 2
        ),
        lambda rng: _pile(rng, 6000),
    ),
    "pairs of many groups": (
        lambda boxes: fastiou.pairs(boxes, groups=np.arange(len(boxes))[::-1] * 2**30),
        lambda rng: _scored(rng, 5_000_000)[0],
    ),
    "nms by groups": (
        lambda scored: fastiou.nms(*scored, groups=scored[1] < 0.01),
        lambda rng: _scored(rng, 5_000_000),
    ),
    "detections of a group": (
        lambda sets: fastiou.average_precision(*sets, protocol="voc"),
        lambda rng: [_detections(rng, count, np.zeros(count, int)) for count in (60_000, 8000)],
    ),
    "detections of a group, all in order": (
        lambda sets: fastiou.average_precision(*sets, max_dets=[2000]),
        lambda rng: [_detections(rng, count, np.zeros(count, int)) for count in (60_000, 8000)],
    ),
    "detections of a class": (
        lambda detections: fastiou.average_precision(detections, detections),
        lambda rng: _detections(rng, 1_000_000, np.arange(1_000_000)),
    ),
    "many detections of a class": (
        lambda sets: fastiou.average_precision(*sets),
        lambda rng: [_detections(rng, n, np.arange(n) // 100) for n in (3_000_000, 200_000)],
    ),
    "detections of many classes": (
        lambda sets: fastiou.average_precision(*sets),
        lambda rng: [
            {**_detections(rng, n, np.arange(n) // 100), "labels": rng.integers(0, 80, n)}
            for n in (3_000_000, 200_000)
        ],
    ),
    "fusion of a pile": (
        lambda scored: fastiou.weighted_boxes_fusion(*scored, 0.99),
        lambda rng: (_pile(rng, 60_000), rng.random(60_000)),
    ),
    "a sparse matrix": (
        lambda pairs: pairs.to_scipy(),
        lambda rng: fastiou.pairs(_pile(rng, 8000)),
    ),
}

#: One of each way to cut work, quick to prepare. Others are tested on demand.
CHOSEN = (
    "pairs",
    "nms",
    "match",
    "coco",
)

#: CPU seconds of two threads. Steps aim at 0.2.
LONGEST = 0.5


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such signals")
@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in CHOSEN else pytest.mark.thorough)
        for name in LONG
    ],
)
def test_signals_are_handled_during_long_work(
    rng: Rng, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In CPU time, which other processes can lengthen, too, but hardly three times in a row."""
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    # One form of each kernel alone, so that all are compiled before the clock runs.
    monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
    work, prepare = LONG[name]
    given = prepare(rng)
    work(given)  # compiles
    stretches: list[float] = []
    while len(stretches) < 3 and not (stretches and min(stretches) < LONGEST):
        stretches.append(longest_stretch(lambda: work(given)))
    assert min(stretches) < LONGEST
