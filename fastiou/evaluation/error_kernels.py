"""The loops over pairs of an image: who takes which truth at one threshold."""

from __future__ import annotations

from typing import Any

from fastiou.evaluation.detection_kernels import COCO_RULE, VOC_RULE
from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["BEST_FIRST", "FREE", "IGNORED", "REMATCH", "RIGHT"]

#: What became of a detection: it took no truth, one that is to be found, or one that is ignored.
FREE, RIGHT, IGNORED = range(3)


def _rematch(
    offsets: Array,
    pairs: Any,
    truth: Any,
    rule: int,
    taken: Array,
    results: Any,
    first: int,
    last: int,
) -> None:
    """Match detections with the truth of their class by a benchmark's rule, at one threshold.

    Parameters
    ----------
    offsets
        (n + 1,): where the pairs of each detection begin. Those of an image and class are in the
        order of their scores.
    pairs
        truths (p,) and scores (p,): of the same class, that overlap enough, ascending by truth.
    truth
        hidden (m,) bool, what is ignored; and shared (m,) bool, what is taken any number of times.
    rule
        One of those in `detection_kernels`.
    taken
        (m,) bool: what is taken so far.
    results
        truths (n,), -1 for none, and what became of each detection (n,).
    first, last
        The detections of this step.
    """
    truths, scores = pairs
    hidden, shared = truth
    found, kinds = results
    for i in range(first, last):
        found[i] = -1
        kinds[i] = FREE
        for is_hidden in range(2):
            best = -1
            for k in range(offsets[i], offsets[i + 1]):
                j = truths[k]
                if rule != VOC_RULE and hidden[j] != (is_hidden == 1):
                    continue
                if rule == COCO_RULE:
                    # Of what is left; of equal ones the last.
                    if taken[j] and not shared[j]:
                        continue
                    if best < 0 or scores[k] >= scores[best]:
                        best = k
                elif best < 0 or scores[k] > scores[best]:
                    best = k
            if best < 0:
                continue
            j = truths[best]
            if hidden[j] and (rule in (COCO_RULE, VOC_RULE) or taken[j]):
                found[i] = j
                kinds[i] = IGNORED
            elif not taken[j]:
                found[i] = j
                kinds[i] = RIGHT
            if found[i] >= 0:
                taken[j] = True
                break
            if rule == VOC_RULE:
                break


#: Matches by the rule of a benchmark.
REMATCH = Kernel(_rematch, "matches again")


def _best_first(
    order: Array, detections: Array, truths: Array, results: Any, first: int, last: int
) -> None:
    """Match pairs in an order, each detection and each truth once.

    Parameters
    ----------
    order
        (p,): pairs, the best first.
    detections, truths
        (p,): the rows of both.
    results
        the truth of each detection (n,) and the detection of each truth (m,), -1 before.
    first, last
        The places in the order of this step.
    """
    truth_of, detection_of = results
    for place in range(first, last):
        k = order[place]
        if truth_of[detections[k]] < 0 and detection_of[truths[k]] < 0:
            truth_of[detections[k]] = truths[k]
            detection_of[truths[k]] = detections[k]


#: Matches whatever the class.
BEST_FIRST = Kernel(_best_first, "best pairs first")
