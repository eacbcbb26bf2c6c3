"""The loop of resampled scores: the numbers of a class where each image counts by its weight."""

from __future__ import annotations

from typing import Any

from numba import prange

from fastiou import metrics
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import heap_array, heap_rows
from fastiou.typing import Array

__all__ = ["COUNTS", "EVENT", "HIT", "RESAMPLE"]

#: Bits of a member: whether it counts at the highest threshold, and whether it is an event.
COUNTS, EVENT = 1, 2

#: The bit of an event: whether it is right.
HIT = 1


def _resample(
    weights: Array, streams: Any, sums: Any, rules: Any, results: Any, classes: int
) -> None:
    """Precision, summed over recalls, and weighted counts of all classes, for several resamples.

    Recall points that a number of right detections reaches are looked up in a table. Of all
    detections that reach the same points, the highest precision is kept; at a recall point stands
    the highest of those that reach it or more. So no list of precisions is written.

    Parameters
    ----------
    weights
        (resample, image) int32: how often each image counts.
    streams
        members (m,) uint32: image << 2 and the bits above; bounds (range * class + 1,) of the
        members of each size range and class; rooms (range * class,), how many of them are events;
        events (e,) uint32, which member, among those that are events, << 3, the change of what
        counts at this threshold plus 1, << 1, and whether it is right; bounds
        (range * threshold * class + 1,) of the events.
    sums
        images (s,) uint32, counts (s,) uint32, and bounds (quantity * class + 1,): what is added up
        by weight. The first quantities are the numbers of truths of each size range.
    rules
        recalls (r,), ascending; how many size ranges and thresholds there are; what is added to
        what is divided by; and whether precision is read at each truth instead, which makes the
        area under the curve.
    results
        average precision (resample, range, threshold, class), -1 without truth, and sums
        (resample, quantity, class) int64.
    classes
        How many classes there are.
    """
    members, bounds, rooms, events, event_bounds = streams
    images, counts, sum_bounds = sums
    recalls, ranges, thresholds, spacing, at_truths = rules
    precision, totals = results
    for task in prange(len(weights) * classes):
        label = task // len(weights)
        sample = task - label * len(weights)
        own = weights[sample]
        for quantity in range(totals.shape[1]):
            place = quantity * classes + label
            total = 0
            for i in range(sum_bounds[place], sum_bounds[place + 1]):
                total += own[images[i]] * counts[i]
            totals[sample, quantity, label] = total
        for a in range(ranges):
            wanted = totals[sample, a, label]
            if wanted == 0:
                for t in range(thresholds):
                    precision[sample, a, t, label] = -1
                continue
            place = a * classes + label
            # What counts up to each event, and its weight. The element behind is written, too.
            so_far = heap_array(totals, rooms[place] + 1)
            weight_of = heap_array(totals, rooms[place] + 1)
            counting = 0
            event = 0
            for i in range(bounds[place], bounds[place + 1]):
                code = members[i]
                weight = own[code >> 2]
                counting += weight * (code & COUNTS)
                so_far[event] = counting
                weight_of[event] = weight
                event += (code & EVENT) >> 1
            points = wanted if at_truths else len(recalls)
            reached = heap_array(members, wanted + 1)
            point = 0
            for right in range(wanted + 1):
                if at_truths:
                    point = right
                else:
                    while point < points and recalls[point] <= right / wanted:
                        point += 1
                reached[right] = point
            highest = heap_rows(precision, points + 1, thresholds)
            for point in range(points + 1):
                for t in range(thresholds):
                    highest[point, t] = 0.0
            for t in range(thresholds):
                stream = (a * thresholds + t) * classes + label
                right = 0
                change = 0
                for i in range(event_bounds[stream], event_bounds[stream + 1]):
                    code = events[i]
                    event = code >> 3
                    weight = weight_of[event]
                    change += weight * (((code >> 1) & 3) - 1)
                    right += weight * (code & HIT)
                    value = right / (float(max(so_far[event] + change, 1)) + spacing)
                    point = reached[min(right, wanted)]
                    # Without a branch, which would be guessed wrongly as often as not.
                    highest[point, t] = metrics.larger(highest[point, t], value)
            mean = heap_array(precision, thresholds)
            for t in range(thresholds):
                mean[t] = highest[points, t]
            for point in range(points - 1, 0, -1):
                for t in range(thresholds):
                    highest[point, t] = metrics.larger(highest[point, t], highest[point + 1, t])
                    mean[t] += highest[point, t]
            for t in range(thresholds):
                precision[sample, a, t, label] = mean[t] / points


#: Average precision and weighted counts of classes.
RESAMPLE = Kernel(_resample, "resampled scores")
