"""What matches add up to: precision and recall of each class, and their means."""

from __future__ import annotations

import math

import numpy as np

from fastiou.evaluation.curve_kernels import ACCUMULATE
from fastiou.evaluation.detection_matching import Matched, views
from fastiou.evaluation.protocols import Protocol, Stat
from fastiou.runtime import chunks, memory, steps, threads
from fastiou.runtime.progress import Progress
from fastiou.typing import Array

__all__ = ["accumulate", "mean_of", "truth_counts"]

#: Work of a detection at one limit and size range, in scores of boxes (see `threads.run`).
COUNT_WORK = 4

#: Bytes of a right detection in a curve that is added up: three numbers.
CURVE_BYTES = 24


def truth_counts(kept: Matched, classes: int, weights: Array) -> Array:
    """How many truths are to be found, (class, range), each image counting by its weight."""
    own, is_wanted = weights[kept.truth["image"]], kept.truth["wanted"]
    ranges = is_wanted.shape[1]
    counts = np.empty((classes, ranges), np.int64)
    for a in range(ranges):
        counts[:, a] = np.bincount(kept.truth["label"], own * is_wanted[:, a], minlength=classes)
    return counts


def accumulate(
    kept: Matched,
    starts: Array,
    protocol: Protocol,
    weights: Array,
    report: Progress | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Precision, scores, recall and areas, each image counting by its weight.

    `report` is called with how many detections are added up.
    """
    classes, ranges = len(starts) - 1, len(protocol.areas)
    limits, thresholds = np.array(protocol.limits), len(protocol.thresholds)
    shape = classes, thresholds, len(protocol.recalls), ranges, len(limits)
    memory.check(
        2 * 8 * math.prod(shape), f"the curves of {classes:,} classes",
        "pass labels that are fewer, or class_agnostic=True",
    )  # fmt: skip
    results = tuple(np.empty(own) for own in (shape, shape, *2 * [(*shape[:2], *shape[3:])]))
    wanted = truth_counts(kept, classes, weights)
    detections = views(kept.detections)
    # One for all, or one for each detection: those of images are far apart for a class of many.
    is_one = bool((weights == 1).all())
    weights = np.ones(1, np.int64) if is_one else chunks.taken(weights, kept.detections["image"])
    # A class has the work of its detections, and of its numbers in the result.
    each = COUNT_WORK * ranges * len(limits)
    numbers = thresholds * len(protocol.recalls) // COUNT_WORK
    work = starts + numbers * np.arange(classes + 1)
    rules = protocol.recalls, limits, thresholds, protocol.spacing

    def run(share: int, *step: int) -> None:
        threads.run(
            ACCUMULATE, share, starts, detections, weights, wanted, rules, results, np.array(step)
        )

    for first, last, share in steps.spans(work, each):
        if last > first + 1 or share <= steps.STEP:
            run(share, first, last, 0, ranges, 0, thresholds)
            if report is not None:
                report(int(starts[last]), len(kept))
            continue
        # One class is the work of one thread, and a step is one of its curves at each limit.
        count = int(starts[last] - starts[first])
        memory.check(
            len(limits) * (CURVE_BYTES * min(count, int(wanted[first].max())) + 8 * count),
            f"adding up {count:,} detections of a class", "evaluate fewer images at a time",
        )  # fmt: skip
        for a, t in np.ndindex(ranges, thresholds):
            run(0, first, last, a, a + 1, t, t + 1)
            if report is not None:
                done = (a * thresholds + t + 1) / (ranges * thresholds)
                report(int(starts[first] + done * count), len(kept))
    precision, scores = (np.moveaxis(own, 0, 2) for own in results[:2])
    recall, areas = (np.moveaxis(own, 0, 1) for own in results[2:])
    return precision, scores, recall, areas


def mean_of(stat: Stat, protocol: Protocol, values: Array) -> float:
    """One number of the summary, averaged as COCOeval does; -1 where nothing is known.

    Parameters
    ----------
    stat, protocol
        Which number.
    values
        (T, R, K, A, M) or (T, K, A, M): what is averaged.
    """
    if stat.threshold is not None:
        values = values[protocol.thresholds == stat.threshold]
    values = values[..., list(protocol.areas).index(stat.area), stat.place]
    known = values[values > -1]
    return float(np.mean(known)) if known.size else -1.0
