"""Detections and truth as keypoints, and how alike they are: object keypoint similarity (OKS).

The formula is that of COCO (Lin et al. 2014, and pycocotools' `computeOks`). For keypoints i that
are labelled in the truth, with the distance d of each, its sigma s, and the area A of the truth::

    e_i = d_i**2 / (2 * s_i)**2 / (A + 2**-52) / 2        OKS = mean of exp(-e_i)

A truth of which no keypoint is labelled scores by how far keypoints lie outside of its box, made
three times as wide and high around its centre; then all keypoints count.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastiou.evaluation.detection_sets import DetectionSet
from fastiou.evaluation.federated import best_of_images
from fastiou.metrics import larger
from fastiou.runtime import steps, threads
from fastiou.runtime.distinct import counted, distinct
from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["keypoint_pairs", "similarities"]

#: What is added to areas: none is 0 then.
SPACING = float(np.spacing(1))

#: Work of one keypoint of a pair, in scores of boxes (see `threads.run`).
POINT_WORK = 16


def _exponents(
    pairs: tuple[Array, Array, Array],
    found: Array,
    truth: tuple[Array, Array, Array],
    variances: Array,
    exponents: Array,
    used: Array,
) -> None:
    """The exponents of the similarities of detections with some of the truth each.

    Parameters
    ----------
    pairs
        rows of detections (n,); the first truth of each (n,); and where the pairs of each begin
        (n + 1,): its truths follow each other.
    found
        (N, K, 3): x, y and anything, of all detections.
    truth
        keypoints (M, K, 3): x, y, and a number above 0 where it is labelled; boxes (M, 4): left,
        top, width and height; and areas (M,).
    variances
        (K,): of each keypoint.
    exponents
        (pair, K): gets those of keypoints that count, one behind the other.
    used
        (pair,) int64: gets how many these are.
    """
    rows, firsts, starts = pairs
    true, boxes, areas = truth
    for i in prange(len(rows)):
        row = rows[i]
        for pair in range(starts[i], starts[i + 1]):
            j = firsts[i] + pair - starts[i]
            labelled = False
            for k in range(len(variances)):
                labelled |= true[j, k, 2] > 0
            left, right = boxes[j, 0] - boxes[j, 2], boxes[j, 0] + boxes[j, 2] * 2
            top, bottom = boxes[j, 1] - boxes[j, 3], boxes[j, 1] + boxes[j, 3] * 2
            size = areas[j] + SPACING
            count = 0
            for k in range(len(variances)):
                x, y = found[row, k, 0], found[row, k, 1]
                if labelled:
                    if not true[j, k, 2] > 0:
                        continue
                    across, down = x - true[j, k, 0], y - true[j, k, 1]
                else:
                    across = larger(0.0, left - x) + larger(0.0, x - right)
                    down = larger(0.0, top - y) + larger(0.0, y - bottom)
                apart = across * across + down * down
                exponents[pair, count] = apart / variances[k] / size / 2
                count += 1
            used[pair] = count


EXPONENTS = Kernel(_exponents, "keypoints")


def similarities(exponents: Array, used: Array) -> Array:
    """The means of exp(-e) of the first numbers of each row, of which `used` (n,) tells how many.

    NumPy makes them, since the last bit of pycocotools' numbers is that of its `exp` and its sums.
    """
    values = np.empty(len(used))
    for count in distinct(used).tolist():
        rows = np.flatnonzero(used == count)
        own = np.ascontiguousarray(exponents[rows, :count])
        values[rows] = np.exp(-own).sum(axis=1) / count
    return values


def keypoint_pairs(
    preds: DetectionSet,
    truth: DetectionSet,
    order: Array,
    groups: Array,
    lowest: float,
    *,
    areas: Array,
    sigmas: tuple[float, ...],
    most: int,
) -> tuple[Array, Array, Array]:
    """The truths that are like each detection, as `detection_kernels.MATCH_PAIRS` reads them.

    Parameters
    ----------
    preds, truth, order, groups, lowest
        As `detection_matching.mask_pairs` takes them.
    areas
        Of the truth, (m,).
    sigmas
        Of the keypoints.
    most
        How many detections of a group count.
    """
    assert preds.scores is not None
    assert preds.keypoints is not None
    assert truth.keypoints is not None
    sizes, true_sizes = groups[:, 1] - groups[:, 0], groups[:, 3] - groups[:, 2]
    own = np.empty(len(preds), np.int64)
    own[order] = np.repeat(np.arange(len(groups)), sizes)
    counts = true_sizes[own]
    # Of equal scores, the first in the order of the group.
    best = np.empty(len(preds), np.bool_)
    best[order] = best_of_images(own[order], preds.scores[order], most)
    rows = np.flatnonzero(best & (counts > 0))
    firsts, counts = groups[own[rows], 2], counts[rows]
    starts = np.concatenate([[0], np.cumsum(counts)])
    boxes = np.zeros((len(truth), 4)) if truth.boxes is None else truth.boxes
    variances = (np.array(sigmas) * 2) ** 2
    found: list[tuple[Array, Array, Array]] = []
    for first, last, work in steps.spans(starts, POINT_WORK * len(sigmas), equal=True):
        some, before = counts[first:last], starts[first : last + 1] - starts[first]
        exponents = np.empty((before[-1], len(sigmas)))
        used = np.empty(before[-1], np.int64)
        threads.run(
            EXPONENTS, work, (rows[first:last], firsts[first:last], before), preds.keypoints,
            (truth.keypoints, boxes, areas), variances, exponents, used,
        )  # fmt: skip
        values = similarities(exponents, used)
        cols = np.arange(before[-1]) + np.repeat(firsts[first:last] - before[:-1], some)
        kept = values >= lowest
        found.append((np.repeat(rows[first:last], some)[kept], cols[kept], values[kept]))
    none = np.empty(0, np.int64)
    detections, cols, values = (
        np.concatenate([column, *parts])
        for column, parts in zip(
            (none, none, np.empty(0)), zip(*found, strict=True) if found else 3 * [()], strict=True
        )
    )
    offsets = np.concatenate([[0], np.cumsum(counted(detections, len(preds)))])
    return offsets, cols, values
