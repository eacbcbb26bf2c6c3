"""Segments of one image, matched in one loop over their overlaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["ABSENT", "LAST_CROWD", "MATCH_SEGMENTS", "NO_CROWD", "TOO_SMALL", "UNKNOWN", "VOID"]


#: The id of pixels that belong to no segment.
VOID = 0

#: What a true segment is. Of the crowds of a category only the last forgives.
NO_CROWD, CROWD, LAST_CROWD = range(3)

#: What is wrong: an id of pixels that is no predicted segment, a predicted segment without pixels,
#: and a true one that has more pixels than is told.
NOTHING, UNKNOWN, ABSENT, TOO_SMALL = range(4)


@register_jitable
def _place_of(ids: Array, number: int) -> int:
    """Where a number is among ids (n,), ascending; -1 if it is not."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if ids[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low if low < len(ids) and ids[low] == number else -1


def _match_segments(pairs: Any, truth: Any, found: Any, results: Any) -> tuple[int, int, int]:
    """Match segments; return how many matches there are, what is wrong, and the id or place of it.

    Parameters
    ----------
    pairs
        (n,) int64 each, sorted: true id, predicted id, and pixels that have both.
    truth
        (t,) each, by ascending id: ids, categories and kinds int64, and areas float64, NaN for
        those to be counted.
    found
        (p,) int64 each, by ascending id: ids and categories.
    results
        (n,) int64 and float64: get category and IoU of the matches. (t,) and (p,) bool: get which
        true segments are missed, and which predicted ones are false positives.
    """
    rows, cols, counts = pairs
    true_ids, true_categories, kinds, told = truth
    ids, categories = found
    matched, ious, is_missed, is_spurious = results
    # (n,): the segments of each pair.
    ones, others = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    areas, true_areas, forgiven = np.zeros(len(ids)), np.zeros(len(told)), np.zeros(len(ids))
    for i in range(len(rows)):
        one = ones[i] = _place_of(true_ids, rows[i])
        other = others[i] = _place_of(ids, cols[i])
        if other < 0 and cols[i] != VOID:
            return 0, UNKNOWN, cols[i]
        if one >= 0:
            true_areas[one] += counts[i]
        if other >= 0:
            areas[other] += counts[i]
            if rows[i] == VOID:
                forgiven[other] += counts[i]
    for other in range(len(ids)):
        if areas[other] == 0:
            return 0, ABSENT, other
        is_spurious[other] = True
    for one in range(len(told)):
        is_missed[one] = kinds[one] == NO_CROWD
        if told[one] >= 0:
            true_areas[one] = told[one]
    count = 0
    for i in range(len(rows)):
        one, other = ones[i], others[i]
        if one < 0 or other < 0 or true_categories[one] != categories[other]:
            continue
        if kinds[one] == NO_CROWD:
            # What lies on void is not added by crowds yet.
            union = areas[other] + true_areas[one] - counts[i] - forgiven[other]
            if union <= 0:
                return 0, TOO_SMALL, one
            if counts[i] / union > 0.5:
                matched[count] = categories[other]
                ious[count] = counts[i] / union
                is_missed[one] = False
                is_spurious[other] = False
                count += 1
    for i in range(len(rows)):
        one, other = ones[i], others[i]
        if one < 0 or other < 0 or true_categories[one] != categories[other]:
            continue
        if kinds[one] == LAST_CROWD:
            forgiven[other] += counts[i]
    for other in range(len(ids)):
        if forgiven[other] / areas[other] > 0.5:
            is_spurious[other] = False
    return count, NOTHING, 0


MATCH_SEGMENTS = Kernel(_match_segments, "match-segments")
