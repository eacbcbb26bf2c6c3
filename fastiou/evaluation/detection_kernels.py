"""The loops of detection scores: who matches whom at every threshold.

What is matched is told in bits, of which a detection has one for each size range and threshold:
that of range a and threshold t is number `a * len(thresholds) + t`, 64 to a word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange

from fastiou import metrics
from fastiou.evaluation.order_kernels import (
    DIGIT,
    FEW,
    falling_key,
    sort_by_key,
    sort_by_score,
)
from fastiou.runtime.kernel import Kernel, inlined, named
from fastiou.runtime.vectors import address, byte_at, float64_at, heap_array, int64_at
from fastiou.typing import Array

__all__ = [
    "GROUPS",
    "MATCH_BOXES",
    "MATCH_PAIRS",
    "PATIENCE",
    "SORT",
    "TASKS",
    "WORD",
]

#: Seconds of large work on one thread before forms for several are compiled, which takes 8 of them.
#: What 500,000 detections take, 0.15, would not be worth it for a third evaluation in a process.
PATIENCE = 10

#: Parts of a step that may run at the same time.
TASKS = 16

#: Which truth a detection takes: the best that is left; the best, which may be taken; or the same,
#: and if it is, or there is none, a group of objects, which counts once.
COCO_RULE, VOC_RULE, OPEN_IMAGES_RULE = range(3)

#: Bits of a word.
WORD = 64

#: What is kept of a detection, in the order in which kernels take it.
KEPT = ("image", "label", "score", "rank", "matched", "ignored")


# ---- order -------------------------------------------------------------------------------------


def _groups(
    order1: Array,
    images1: Array,
    labels1: Array,
    order2: Array,
    images2: Array,
    labels2: Array,
    groups: Array,
) -> int:
    """Find the members of either set that have image and class in common, and count such groups.

    Parameters
    ----------
    order1, images1, labels1, order2, images2, labels2
        (n,) and (m,): both sets, and the order in which images, and in an image classes, ascend.
    groups
        (n + m, 6): gets first and last place in either order, image and class.
    """
    count = 0
    i = 0
    j = 0
    while i < len(order1) or j < len(order2):
        ahead = i < len(order1)
        if ahead and j < len(order2):
            image1, image2 = images1[order1[i]], images2[order2[j]]
            ahead = image1 < image2
            if image1 == image2:
                ahead = labels1[order1[i]] <= labels2[order2[j]]
        image = images1[order1[i]] if ahead else images2[order2[j]]
        label = labels1[order1[i]] if ahead else labels2[order2[j]]
        groups[count, 0] = i
        while i < len(order1) and images1[order1[i]] == image and labels1[order1[i]] == label:
            i += 1
        groups[count, 1] = i
        groups[count, 2] = j
        while j < len(order2) and images2[order2[j]] == image and labels2[order2[j]] == label:
            j += 1
        groups[count, 3] = j
        groups[count, 4] = image
        groups[count, 5] = label
        count += 1
    return count


GROUPS = Kernel(_groups, "groups of detections")


def _sort(
    starts: Array, order: Any, rows: Array, sorted_rows: Array, first: int, last: int
) -> None:
    """Put the members of some classes in the order of their scores, the highest first.

    Parameters
    ----------
    starts
        (class + 1,): where each class begins in the order.
    order
        members (n,), which are put in order, too; and scratch (n,): keys, places and numbers.
    rows, sorted_rows
        (n, k) uint64: what is kept of each, as it is, and as it is put. The first word is its
        score. Column by column, each with a stride of its own, 500,000 took 29 ms, and so 25.
    first, last
        The classes.
    """
    members, keys, own_places, spare = order
    scores, words = address(rows), rows.shape[1]
    for label in prange(first, last):
        counts = heap_array(starts, 1 << DIGIT)
        begin = starts[label]
        for i in range(begin, starts[label + 1]):
            keys[i] = falling_key(scores, words * members[i])
        sort_by_key(keys, own_places, spare, counts, begin, starts[label + 1])
        for i in range(begin, starts[label + 1]):
            member = members[begin + np.int64(own_places[i])]
            spare[i] = np.uint64(member)
            for word in range(words):
                sorted_rows[i, word] = rows[member, word]
        for i in range(begin, starts[label + 1]):
            members[i] = np.int64(spare[i])


SORT = Kernel(_sort, "scores", patience=PATIENCE)


# ---- matching ----------------------------------------------------------------------------------


@inlined
def _addresses_of_boxes(sets: Any) -> tuple[int, int, int, Any]:
    """What `_boxes` reads, of boxes of both, (n, 4) and (m, 4), crowd (m,) bool, and a margin."""
    boxes1, boxes2, crowd, margin = sets
    return address(boxes1), address(boxes2), address(crowd), margin


@inlined
def _boxes(sets: Any, detection: int, first: int, last: int, cols: Array, values: Array) -> int:
    """The truths first to last that overlap a detection, and the score of each.

    Parameters
    ----------
    sets
        Addresses of the boxes of both: left, top, width and height; and of crowd: which score the
        share of the detection that they cover; and what is added to widths and heights.
    detection
        The row of the detection.
    first, last
        Rows of the truth.
    cols, values
        (m,): get rows of the truth, from 0 for `first`, and scores, by COCO's arithmetic.
    """
    boxes1, boxes2, crowd, margin = sets
    left1, top1 = float64_at(boxes1, 4 * detection), float64_at(boxes1, 4 * detection + 1)
    width1, height1 = float64_at(boxes1, 4 * detection + 2), float64_at(boxes1, 4 * detection + 3)
    right1, bottom1 = left1 + width1, top1 + height1
    area1 = (width1 + margin) * (height1 + margin)
    count = 0
    for j in range(first, last):
        left2, top2 = float64_at(boxes2, 4 * j), float64_at(boxes2, 4 * j + 1)
        width2, height2 = float64_at(boxes2, 4 * j + 2), float64_at(boxes2, 4 * j + 3)
        right2, bottom2 = left2 + width2, top2 + height2
        width = metrics.smaller(right1, right2) - metrics.larger(left1, left2) + margin
        height = metrics.smaller(bottom1, bottom2) - metrics.larger(top1, top2) + margin
        if width > 0 and height > 0:
            area2 = (width2 + margin) * (height2 + margin)
            cols[count] = j - first
            if byte_at(crowd, j):
                values[count] = metrics.iof(width * height, area1, area2)
            else:
                values[count] = metrics.iou(width * height, area1, area2)
            count += 1
    return count


@inlined
def _addresses_of_pairs(sets: Any) -> tuple[int, int, int]:
    """What `_pairs` reads, of offsets (n + 1,), columns (pair,) and scores (pair,)."""
    offsets, columns, scores = sets
    return address(offsets), address(columns), address(scores)


@inlined
def _pairs(sets: Any, detection: int, first: int, last: int, cols: Array, values: Array) -> int:
    """The same of pairs that were found before.

    Parameters
    ----------
    sets
        Addresses of offsets, columns and scores: the pairs of each detection, ascending by column.
    detection, first, last, cols, values
        As in `_boxes`.
    """
    offsets, columns, scores = sets
    count = 0
    for k in range(int64_at(offsets, detection), int64_at(offsets, detection + 1)):
        cols[count] = int64_at(columns, k) - first
        values[count] = float64_at(scores, k)
        count += 1
    return count


@inlined
def _best_alone(
    cols: Array, values: Array, found: int, lowest: float, is_group: Array, first: int, rule: int
) -> int:
    """Keep the best of what scores `lowest` or more; by Open Images' rule, of groups another.

    Of equal ones, the first is the best.

    Parameters
    ----------
    cols, values
        (m,): truths and their scores, from 0 on, of which the first `found` are looked at.
    is_group
        bool: which truths are groups, beginning with number `first`.
    """
    count = 0
    for k in range(found):
        value = values[k]
        col = cols[k]
        if value < lowest:
            continue
        place = 0
        if count > 0 and rule == OPEN_IMAGES_RULE:
            place = 1 if is_group[first + cols[0]] != is_group[first + col] else 0
        if place < count and value <= values[place]:
            continue
        values[place] = value
        cols[place] = col
        count = max(count, place + 1)
    return count


@inlined
def _by_value(
    cols: Array,
    values: Array,
    found: int,
    lowest: float,
    keys: Array,
    own_places: Array,
    spare: Array,
    counts: Array,
) -> int:
    """Drop what scores less than `lowest`, and put the rest in order, the highest first.

    Of equal ones the last comes first. Many are sorted by digits, few by moving each to its place.

    Parameters
    ----------
    cols, values
        As `_best_alone` takes them.
    keys, own_places, spare, counts
        Scratch, as `sort_by_key` takes it, (m,) and (2**DIGIT,).
    """
    count = 0
    for k in range(found):
        if values[k] >= lowest:
            values[count] = values[k]
            cols[count] = cols[k]
            count += 1
    if count > FEW:
        for k in range(count // 2):
            other = count - 1 - k
            values[k], values[other] = values[other], values[k]
            cols[k], cols[other] = cols[other], cols[k]
        for k in range(count):
            keys[k] = falling_key(address(values), k)
        sort_by_key(keys, own_places, spare, counts, 0, count)
        for k in range(count):
            spare[k] = np.uint64(cols[np.int64(own_places[k])])
        for k in range(count):
            cols[k] = np.int64(spare[k])
            # The key is the score again.
            key = keys[np.int64(own_places[k])]
            spare[k] = ~key & ((np.uint64(1) << np.uint64(63)) - np.uint64(1))
            values[k] = float64_at(address(spare), k)
    else:
        for k in range(1, count):
            value = values[k]
            col = cols[k]
            place = k
            while place > 0 and values[place - 1] <= value:
                values[place] = values[place - 1]
                cols[place] = cols[place - 1]
                place -= 1
            values[place] = value
            cols[place] = col
    return count


def _matching(addresses: Callable[..., Any], overlapping: Callable[..., int], label: str) -> Kernel:
    @named(label)
    def match_groups(
        groups: Array,
        starts: Array,
        detections: Any,
        truth: Any,
        sets: Any,
        rules: Any,
        kept: Any,
        scratch: Any,
        step: Array,
    ) -> None:
        """Match the detections of each group with its truth.

        All thresholds and size ranges are matched at once, in bits. By COCO's rule, a detection
        takes, of the truth that it overlaps enough, the best that is not taken yet, and what is
        ignored only where nothing else is left.

        Parameters
        ----------
        groups
            (group, 6): as `_groups` finds them.
        starts
            (group + 1,): where each group begins in what is kept.
        detections
            order (n,), scores (n,), areas (n,) and pardoned (n,) bool: those that are never wrong,
            only right. The order tells what stands at the places of groups.
        truth
            areas (m,), ignored (m,) bool, and shared (m,) bool: what may be taken any number of
            times; in the order of the groups.
        sets
            What `addresses` makes of is what `overlapping` reads.
        rules
            thresholds (t,), ascending, none above what equal boxes score; size ranges (a, 2); the
            bits of each range, (a, word), and of the thresholds below each, (t + 1, word), in all
            ranges; at most how many detections of a group count; and one of the rules above.
        kept
            `KEPT`, each (k,) or (k, word): get what is kept of each detection that counts.
        scratch
            Rows of all tasks: members, keys, their places, and numbers, (task, room), with room for
            the detections of the largest group, and for its truths; counts (task, 2**DIGIT); truths
            and scores (task, truth); taken and hidden truths (task, truth, word).
        step
            (4,): first group and the one behind the last; and which detections of each, by score,
            the first and the one behind the last. What was matched before is in `scratch`.
        """
        order, scores, areas1, pardoned = detections
        areas2, always_ignored, shared = truth
        thresholds, ranges, range_bits, lower_bits, most, rule = rules
        images, labels, kept_scores, ranks, matched, ignored = kept
        words = matched.shape[1]
        is_coco = rule == COCO_RULE
        # Of arrays in a tuple Numba would count references for each detection.
        opened = addresses(sets)
        for task in prange(TASKS):
            members, keys = scratch[0][task], scratch[1][task]
            own_places, spare = scratch[2][task], scratch[3][task]
            counts, cols, values = scratch[4][task], scratch[5][task], scratch[6][task]
            taken, hidden = scratch[7][task], scratch[8][task]
            count = step[1] - step[0]
            for group in range(
                step[0] + count * task // TASKS, step[0] + count * (task + 1) // TASKS
            ):
                first, last = groups[group, 0], groups[group, 1]
                first2, last2 = groups[group, 2], groups[group, 3]
                size = last - first
                is_new = step[2] == 0
                if is_new:
                    sort_by_score(
                        order, scores, members, keys, own_places, spare, counts, first, size
                    )
                if is_new and size > 0:
                    for j in range(last2 - first2):
                        area = areas2[first2 + j]
                        for word in range(words):
                            taken[j, word] = 0
                            hidden[j, word] = 0
                        for a in range(len(ranges)):
                            outside = area < ranges[a, 0] or area > ranges[a, 1]
                            if outside or always_ignored[first2 + j]:
                                for word in range(words):
                                    hidden[j, word] |= range_bits[a, word]
                for rank in range(step[2], min(size, most, step[3])):
                    row = members[rank]
                    own = starts[group] + rank
                    images[own] = groups[group, 4]
                    labels[own] = groups[group, 5]
                    kept_scores[own] = scores[row]
                    ranks[own] = rank
                    near = 0
                    if last2 > first2:
                        found = overlapping(opened, row, first2, last2, cols, values)
                        if found <= 1:  # most have no other
                            near = 1 if found == 1 and values[0] >= thresholds[0] else 0
                        elif is_coco:
                            near = _by_value(
                                cols, values, found, thresholds[0], keys, own_places, spare, counts
                            )
                        else:
                            near = _best_alone(
                                cols, values, found, thresholds[0], always_ignored, first2, rule
                            )
                        for k in range(near):
                            below = 0
                            for t in range(len(thresholds)):
                                below += thresholds[t] <= values[k]
                            own_places[k] = np.uint64(below)
                    area = areas1[row]
                    for word in range(words):
                        got, missed = np.uint64(0), np.uint64(0)
                        for wanted in range(2):
                            for k in range(near):
                                j = cols[k]
                                if not is_coco and always_ignored[first2 + j] != (wanted == 1):
                                    continue
                                free = lower_bits[np.int64(own_places[k]), word] & ~got
                                if not shared[first2 + j]:
                                    free &= ~taken[j, word]
                                if is_coco and wanted == 0:
                                    free &= ~hidden[j, word]
                                elif is_coco:
                                    free &= hidden[j, word]
                                    missed |= free
                                elif rule == OPEN_IMAGES_RULE and wanted == 1:
                                    missed |= free & taken[j, word]
                                else:
                                    missed |= free & hidden[j, word]
                                got |= free
                                taken[j, word] |= free
                                if not is_coco:
                                    break
                        # Without a branch, which would be guessed wrongly as often as not.
                        outside = np.uint64(0)
                        for a in range(len(ranges)):
                            is_out = area < ranges[a, 0] or area > ranges[a, 1] or pardoned[row]
                            outside |= range_bits[a, word] if is_out else np.uint64(0)
                        matched[own, word] = got
                        ignored[own, word] = missed | (outside & ~got)

    return Kernel(match_groups, label, patience=PATIENCE)


#: Matching of boxes, and of what was paired before: masks, say.
MATCH_BOXES = _matching(_addresses_of_boxes, _boxes, "boxes")
MATCH_PAIRS = _matching(_addresses_of_pairs, _pairs, "pairs")
