"""The loops of detection scores: what matches add up to, as curves of precision and recall.

Bits tell what is matched and what is ignored, as `detection_kernels` has them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from fastiou.evaluation.detection_kernels import PATIENCE, WORD
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import heap_array, heap_rows
from fastiou.typing import Array

__all__ = ["ACCUMULATE"]


@register_jitable
def _bits_at(words: Array, row: int, first: int, count: int) -> Any:
    """Some bits of a row, at most 64, as a number."""
    word, low = first // WORD, first % WORD
    bits = words[row, word] >> np.uint64(low)
    if low + count > WORD:
        bits |= words[row, word + 1] << np.uint64(WORD - low)
    if count < WORD:
        bits &= (np.uint64(1) << np.uint64(count)) - np.uint64(1)
    return bits


def _accumulate(
    starts: Array,
    detections: Any,
    weights: Array,
    truths: Array,
    rules: Any,
    results: Any,
    part: Array,
) -> None:
    """Precision and recall of classes, as COCO adds them up.

    Parameters
    ----------
    starts
        (class + 1,): where the detections of each class begin.
    detections
        `KEPT`, each (n,) or (n, word), by class and falling score.
    weights
        (n,) int64: how often each detection counts; or (1,), for all.
    truths
        (class, range): how many there are to be found.
    rules
        recalls (r,), ascending; numbers of detections of an image and class that count, (limit,),
        ascending; how many thresholds there are; and what is added to what is divided by.
    results
        precision and scores (class, threshold, recall, range, limit), recall and areas under the
        curve (class, threshold, range, limit): what a class writes lies together.
    part
        (6,): first class and the one behind the last, and so size ranges and thresholds. The others
        are left as they are.
    """
    _, _, scores, ranks, matched, ignored = detections
    recalls, limits, all_thresholds, spacing = rules
    precision, best_scores, recall, areas = results
    one = np.uint64(1)
    first_range, first_threshold = part[2], part[4]
    ranges, thresholds = part[3] - first_range, part[5] - first_threshold
    kinds = len(limits) * thresholds
    each = 1 if len(weights) > 1 else 0
    for label in prange(part[0], part[1]):
        begin, end = starts[label], starts[label + 1]
        # Where the lists of each range begin, one for each limit and threshold.
        rooms, lists = heap_array(starts, ranges), heap_array(starts, ranges + 1)
        lists[0] = 0
        for a in range(ranges):
            rooms[a] = min(truths[label, first_range + a], end - begin)
            lists[a + 1] = lists[a] + kinds * rooms[a]
        # What is right, and has been wrong, whenever there is one more right, and its row.
        rights, wrongs, rows = (
            heap_array(ranks, lists[ranges]), heap_array(ranks, lists[ranges]),
            heap_array(ranks, lists[ranges]),
        )  # fmt: skip
        right, steps = heap_rows(starts, ranges, kinds), heap_rows(starts, ranges, kinds)
        # Wrong so far, where another threshold has a match and where none has. What the limit
        # before counts, too, is counted there.
        wrong, wrong_always = (
            heap_rows(starts, ranges, kinds), heap_rows(starts, ranges, len(limits) + 1),
        )  # fmt: skip
        best = heap_array(recalls, len(limits) + 1)  # the first score, -inf before
        for limit in range(len(limits) + 1):
            best[limit] = -np.inf
        for a in range(ranges):
            for kind in range(kinds):
                right[a, kind] = 0
                wrong[a, kind] = 0
                steps[a, kind] = 0
            for limit in range(len(limits) + 1):
                wrong_always[a, limit] = 0
        for row in range(begin, end):
            weight = weights[row * each]
            # Without branches, which would be guessed wrongly as often as not. What no limit counts
            # goes behind the last.
            lowest = 0
            for limit in range(len(limits)):
                lowest += ranks[row] >= limits[limit]
            if weight == 0:
                continue
            best[lowest] = max(best[lowest], scores[row])
            is_matched = False
            for word in range(matched.shape[1]):
                is_matched |= matched[row, word] != 0
            if not is_matched:
                for a in range(ranges):
                    bit = (first_range + a) * all_thresholds
                    is_ignored = np.int64(_bits_at(ignored, row, bit, 1))
                    wrong_always[a, lowest] += weight * (1 - is_ignored)
                continue
            if lowest == len(limits):
                continue
            for a in range(ranges):
                for low in range(0, thresholds, WORD):
                    count = min(thresholds - low, WORD)
                    bit = (first_range + a) * all_thresholds + first_threshold + low
                    matches = _bits_at(matched, row, bit, count)
                    ignores = _bits_at(ignored, row, bit, count)
                    hits = matches & ~ignores
                    # Of a detection, most size ranges tell nothing.
                    errors = ~(matches | ignores) & (~np.uint64(0) >> np.uint64(WORD - count))
                    if errors != 0:
                        for t in range(count):
                            kind = lowest * thresholds + low + t
                            wrong[a, kind] += weight * np.int64((errors >> np.uint64(t)) & one)
                    t = low
                    while hits != 0:
                        if hits & one:
                            all_wrong = 0
                            for limit in range(len(limits)):
                                kind = limit * thresholds + t
                                all_wrong += wrong[a, kind] + wrong_always[a, limit]
                                # More than there are to be found would be a damaged state.
                                if limit >= lowest and steps[a, kind] < rooms[a]:
                                    place = lists[a] + kind * rooms[a] + steps[a, kind]
                                    right[a, kind] += weight
                                    rights[place] = right[a, kind]
                                    wrongs[place] = all_wrong
                                    rows[place] = row
                                    steps[a, kind] += 1
                        hits >>= one
                        t += 1
        for limit in range(1, len(limits)):
            best[limit] = max(best[limit], best[limit - 1])
        heights = heap_array(recalls, min(end - begin, lists[ranges]) + 1)
        # How many must be right to reach each recall: a division for each and not for each curve.
        needed = heap_rows(starts, ranges, len(recalls))
        for a in range(ranges):
            wanted = max(truths[label, first_range + a], 1)
            for r in range(len(recalls)):
                least = np.int64(math.ceil(recalls[r] * wanted))
                while least > 0 and (least - 1) / wanted >= recalls[r]:
                    least -= 1
                while least / wanted < recalls[r]:
                    least += 1
                needed[a, r] = least
        for t in range(thresholds):
            at = first_threshold + t
            for a in range(ranges):
                of_range = first_range + a
                wanted = truths[label, of_range]
                for limit in range(len(limits)):
                    kind = limit * thresholds + t
                    own = lists[a] + kind * rooms[a]
                    found = steps[a, kind]
                    highest = 0.0
                    area = 0.0
                    reached = 0.0 if found == 0 else rights[own + found - 1] / wanted
                    for step in range(found - 1, -1, -1):
                        of_all = float(wrongs[own + step] + rights[own + step]) + spacing
                        highest = max(highest, rights[own + step] / of_all)
                        heights[step] = highest
                        before = 0.0 if step == 0 else rights[own + step - 1] / wanted
                        area += (reached - before) * highest
                        reached = before
                    areas[label, at, of_range, limit] = -1 if wanted == 0 else area
                    recall[label, at, of_range, limit] = (
                        -1 if wanted == 0 else right[a, kind] / wanted
                    )
                    step = 0
                    for r in range(len(recalls)):
                        while step < found and rights[own + step] < needed[a, r]:
                            step += 1
                        height = 0.0 if wanted > 0 else -1.0
                        score = height
                        if step < found:
                            height = heights[step]
                            score = scores[rows[own + step]]
                        # A recall of 0 is reached by whatever comes first.
                        if recalls[r] <= 0 and wanted > 0 and best[limit] > -np.inf:
                            score = best[limit]
                        precision[label, at, r, of_range, limit] = height
                        best_scores[label, at, r, of_range, limit] = score


#: Precision and recall of classes.
ACCUMULATE = Kernel(_accumulate, "precision and recall", patience=PATIENCE)
