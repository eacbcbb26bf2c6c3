"""Detections matched with the truth, and what is kept of that: about 40 bytes a detection."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastiou.evaluation import detection_kernels as kernels
from fastiou.evaluation.detection_details import Details
from fastiou.evaluation.detection_sets import DetectionSet, box_areas
from fastiou.evaluation.keypoint_pairs import keypoint_pairs
from fastiou.evaluation.order_kernels import BY_NUMBER, DIGIT
from fastiou.evaluation.protocols import Protocol
from fastiou.geometries.boxes import BOX
from fastiou.geometries.masks.boundaries import boundaries
from fastiou.geometries.masks.masks import MASK
from fastiou.metrics import METRICS
from fastiou.relations.pairs import find_pairs
from fastiou.runtime import chunks, memory, steps, threads
from fastiou.runtime.distinct import counted, distinct
from fastiou.runtime.progress import Progress
from fastiou.typing import Array

__all__ = [
    "Matched",
    "in_order",
    "kinds_of_truth",
    "mask_pairs",
    "match_detections",
    "score_ranges",
    "views",
]

#: The highest threshold, which lets equal boxes match at 1: COCO's.
HIGHEST = 1 - 1e-10

#: Width of the boundary of masks, in diagonals of the image (Cheng et al. 2021).
BOUNDARY = 0.02

#: Work of a detection, in scores of boxes (see `threads.run`), and of each truth of its image and
#: class: many overlap in piles, and are put in order.
DETECTION_WORK, OVERLAP_WORK = 32, 4

#: From how many scores ranges of scores are made, and how many.
SAMPLED, RANGES = 1 << 12, 1 << 6


@dataclass(frozen=True, eq=False)
class Matched:
    """What is kept of detections and truth.

    What belongs to a detection lies side by side, since it is read in another order than it was
    written: as columns of their own, 500,000 took 27 ms to sort, and so 14.

    Attributes
    ----------
    detections : structured array, shape (N,)
        score; numbers of the image and the label; rank, the place among those of this image and
        label; matched and ignored, bits as `detection_kernels` has them.
    truth : structured array, shape (M,)
        Numbers of the image and the label; wanted, whether it is to be found in each size range.
    details : Details or None
        Pairs whatever their classes, where they were asked for.
    """

    detections: Array
    truth: Array
    details: Details | None = None

    def __len__(self) -> int:
        return len(self.detections)

    @classmethod
    def empty(cls, detections: int, truths: int, protocol: Protocol) -> Matched:
        """Room for so many."""
        ranges = len(protocol.areas)
        words = -(-ranges * len(protocol.thresholds) // kernels.WORD)
        numbers = [("image", np.int32), ("label", np.int32)]
        bits = [(name, np.uint64, (words,)) for name in ("matched", "ignored")]
        own = [("score", np.float64), *numbers, ("rank", np.int64), *bits]
        return cls(
            np.empty(detections, own), np.empty(truths, [*numbers, ("wanted", np.bool_, (ranges,))])
        )

    def renumbered(self, images: Array, labels: Array) -> Matched:
        """The same with other numbers of images and labels, by those that they have now."""
        if all((numbers == np.arange(len(numbers))).all() for numbers in (images, labels)):
            return self
        both = self.detections.copy(), self.truth.copy()
        for rows in both:
            rows["image"] = images[rows["image"]]
            rows["label"] = labels[rows["label"]]
        return Matched(*both, self.details)

    @classmethod
    def joined(cls, parts: Sequence[Matched]) -> Matched:
        """All of several, one behind the other."""
        if len(parts) == 1:
            return parts[0]
        details = [part.details for part in parts if part.details is not None]
        return cls(
            np.concatenate([part.detections for part in parts]),
            np.concatenate([part.truth for part in parts]),
            Details.joined(details) if details else None,
        )


def views(rows: Array) -> tuple[Array, ...]:
    """What is kept of detections, as kernels take it: a view of each field.

    They are of two rows at least. NumPy takes a view of fewer for contiguous, for which kernels
    would be compiled once more.
    """
    if len(rows) < 2:
        rows = np.concatenate([rows, np.zeros(2, rows.dtype)])
    return tuple(rows[name] for name in kernels.KEPT)


def in_order(count: int, *keys: tuple[Array, int]) -> Array:
    """Members in the order of keys, the first above all; equal ones stay as they are.

    Parameters
    ----------
    count
        How many members there are.
    *keys
        Numbers of the members, and how many numbers there may be.
    """
    order = np.arange(count)
    is_given = True
    for numbers, size in reversed(keys):
        if count == 0 or (is_given and is_ascending(numbers)):
            continue
        sizes = counted(numbers, size)
        places = np.cumsum(sizes) - sizes
        ordered = np.empty_like(order)
        for own in chunks.slices(count, 16 * chunks.PIECE):
            BY_NUMBER.serial(numbers, order[own], ordered, places)
        order, is_given = ordered, False
    return order


def score_ranges(scores: Array) -> tuple[Array, int]:
    """A number for the range that each score is in, 0 for the highest; and how many there may be.

    Ranges have about as many scores each, save for equal ones, which are all in one.
    """
    some = np.random.default_rng(0).integers(0, len(scores), SAMPLED)
    ends = np.unique(np.sort(scores[some])[:: SAMPLED // RANGES])
    ranges = np.empty(len(scores), np.int32)
    for own in chunks.slices(len(scores)):
        ranges[own] = len(ends) - np.searchsorted(ends, scores[own], side="right")
    return ranges, len(ends) + 1


def is_ascending(numbers: Array) -> bool:
    """Whether numbers do not fall."""
    last = None
    for own in chunks.slices(len(numbers)):
        some = numbers[own]
        if (some[1:] < some[:-1]).any() or (last is not None and some[0] < last):
            return False
        last = some[-1]
    return True


def match_detections(
    preds: DetectionSet,
    target: DetectionSet,
    images: tuple[Array, Array, int],
    labels: tuple[Array, Array, int],
    protocol: Protocol,
    pardoned: Array,
    *,
    class_agnostic: bool,
    by_boundary: bool,
    report: Progress | None = None,
) -> Matched:
    """Match the detections of each image and class with its truth, at all thresholds.

    Parameters
    ----------
    preds, target
        Both sets.
    images, labels
        Numbers of the image, and of the class, of each of both, and how many there are.
    protocol
        The rules.
    pardoned
        Which detections are never wrong, (N,) bool.
    class_agnostic
        Whether all classes are one.
    by_boundary
        Whether masks are compared by their boundaries, too.
    report
        Called with how many detections are matched.
    """
    order = in_order(len(preds), (images[0], images[2]), (labels[0], labels[2]))
    true_order = in_order(len(target), (images[1], images[2]), (labels[1], labels[2]))
    if class_agnostic:
        labels = np.zeros_like(labels[0]), np.zeros_like(labels[1]), 1
    truth = target.chosen(true_order)
    groups = np.empty((len(preds) + len(target), 6), np.int64)
    count = kernels.GROUPS.serial(
        order, images[0], labels[0], true_order, images[1], labels[1], groups
    )
    groups = groups[:count]

    ranges = np.array(list(protocol.areas.values()))
    thresholds = np.minimum(protocol.thresholds, HIGHEST)
    range_bits, lower_bits = bits_of(len(ranges), len(thresholds))
    crowd, always_ignored, shared = kinds_of_truth(truth, protocol)
    areas = np.where(np.isnan(truth.areas), own_areas(truth), truth.areas)

    most = protocol.limits[-1]
    sizes = groups[:, 1] - groups[:, 0]
    true_sizes = groups[:, 3] - groups[:, 2]
    starts = np.concatenate([[0], np.cumsum(np.minimum(sizes, most))])
    total = int(starts[-1])
    matched = Matched.empty(max(total, 2), len(target), protocol)
    kept = views(matched.detections)
    kernel = kernels.MATCH_BOXES
    sets: Any = (preds.boxes, truth.boxes, crowd, protocol.margin)
    lowest = float(thresholds.min())
    if preds.keypoints is not None:
        kernel = kernels.MATCH_PAIRS
        sets = keypoint_pairs(
            preds, truth, order, groups, lowest, areas=areas, sigmas=protocol.sigmas, most=most
        )
    elif preds.masks is not None:
        kernel = kernels.MATCH_PAIRS
        sets = mask_pairs(
            preds, truth, order, groups, lowest, crowd=crowd, by_boundary=by_boundary
        )  # fmt: skip
    assert preds.scores is not None
    room = int(sizes.max(initial=0)), int(true_sizes.max(initial=0))
    scratch = scratch_of_tasks(*room, words=range_bits.shape[1])
    each = DETECTION_WORK + OVERLAP_WORK * true_sizes
    work = np.concatenate([[0], np.cumsum(sizes * each)])

    def run(share: int, *step: int) -> None:
        threads.run(
            kernel, share, groups, starts,
            (order, preds.scores, preds.areas, pardoned),
            (areas, always_ignored, shared),
            sets, (thresholds, ranges, range_bits, lower_bits, most, protocol.rule), kept, scratch,
            np.array(step),
        )  # fmt: skip

    for first, last, share in steps.spans(work):
        if last > first + 1 or share <= steps.STEP:
            run(share, first, last, 0, most)
            if report is not None:
                report(int(starts[last]), total)
            continue
        # One group is the work of one thread.
        count = min(int(sizes[first]), most)
        for best, behind, _ in steps.ranges(count, int(each[first])):
            run(0, first, last, best, behind)
            if report is not None:
                report(int(starts[first]) + behind, total)
    outside = (areas[:, None] < ranges[:, 0]) | (areas[:, None] > ranges[:, 1])
    matched.truth["image"] = images[1][true_order]
    matched.truth["label"] = labels[1][true_order]
    if protocol.rule != kernels.OPEN_IMAGES_RULE:  # which wants groups to be found, too
        outside |= always_ignored[:, None]
    matched.truth["wanted"] = ~outside
    return Matched(matched.detections[:total], matched.truth)


def scratch_of_tasks(detections: int, truths: int, *, words: int) -> tuple[Array, ...]:
    """Room in which kernels match groups of at most so many; what is not used takes no memory."""
    tasks, both = kernels.TASKS, max(detections, truths)
    per_task = 8 * (4 * both + truths * (2 + 2 * words))
    memory.check(
        per_task, f"matching {detections:,} detections of an image and class",
        "evaluate fewer at a time, or pass max_dets",
    )  # fmt: skip
    members, cols = (np.empty((tasks, size), np.int64) for size in (both, truths))
    keys, places, spare = (np.empty((tasks, both), np.uint64) for _ in range(3))
    counts = np.empty((tasks, 1 << DIGIT), np.int64)
    taken, hidden = (np.empty((tasks, truths, words), np.uint64) for _ in range(2))
    values = np.empty((tasks, truths))
    return members, keys, places, spare, counts, cols, values, taken, hidden


@functools.cache
def bits_of(ranges: int, thresholds: int) -> tuple[Array, Array]:
    """The bits of each size range, (a, word), and of the lowest 0, 1, ... thresholds in all."""
    numbers = np.arange(ranges * thresholds)
    words = -(-len(numbers) // kernels.WORD)
    parts = [numbers // thresholds == a for a in range(ranges)]
    parts += [numbers % thresholds < below for below in range(thresholds + 1)]
    bits = np.zeros((len(parts), words), np.uint64)
    for number in range(len(numbers)):
        bit = np.uint64(1) << np.uint64(number % kernels.WORD)
        bits[[part[number] for part in parts], number // kernels.WORD] |= bit
    return bits[:ranges], bits[ranges:]


def kinds_of_truth(truth: DetectionSet, protocol: Protocol) -> tuple[Array, Array, Array]:
    """Which truth scores as a crowd, which is ignored or a group, and which may be taken again."""
    crowd = truth.iscrowd
    if protocol.federated:  # LVIS has no crowds
        crowd = np.zeros_like(crowd)
    ignored = crowd | truth.ignore if protocol.heeds_ignore else crowd
    if protocol.rule == kernels.VOC_RULE:
        return np.zeros_like(crowd), ignored, ignored
    return crowd, ignored, crowd


def own_areas(truth: DetectionSet) -> Array:
    """The areas of boxes or masks."""
    if truth.masks is not None:
        return truth.masks.area.astype(np.float64)
    if truth.boxes is None:  # keypoints, which all have areas then
        return truth.areas
    return box_areas(np.maximum(truth.boxes, 0))


def boundary_widths(sizes: Array) -> Array:
    """How many pixels wide the boundary of a mask is: 2 % of the diagonal of its image."""
    diagonals = np.sqrt((sizes.astype(np.float64) ** 2).sum(axis=1))
    return np.maximum(np.rint(BOUNDARY * diagonals), 1).astype(np.int64)


def mask_pairs(
    preds: DetectionSet,
    truth: DetectionSet,
    order: Array,
    groups: Array,
    lowest: float,
    *,
    crowd: Array,
    by_boundary: bool,
) -> tuple[Array, Array, Array]:
    """The truths that overlap each detection, as `detection_kernels.MATCH_PAIRS` reads them.

    Parameters
    ----------
    preds, truth
        Both sets, the truth in the order of its groups.
    order
        Detections in the order of their groups.
    groups
        (group, 6): the groups.
    lowest
        The lowest threshold.
    crowd
        Which of the truth score the share of the detection that they cover.
    by_boundary
        Whether a pair scores the least of what masks and their boundaries score.
    """
    numbers = np.arange(len(groups))
    own = np.empty(len(preds), np.int64)
    own[order] = np.repeat(numbers, groups[:, 1] - groups[:, 0])
    true = np.repeat(numbers, groups[:, 3] - groups[:, 2])
    # Only those are packed whose bounding boxes meet one of their group.
    corners = [
        BOX.read(each.name, each.masks.boxes.astype(np.float64), "xyxy", batches=False)
        for each in (preds, truth)
        if each.masks is not None
    ]
    near = find_pairs(corners[0], corners[1], METRICS["intersection"], 0.5, (own, true))
    rows, cols = distinct(near.rows), distinct(near.cols)
    sets = preds.packed(rows), truth.packed(cols)
    size = max(masks.shape[1] for masks in sets), max(masks.shape[2] for masks in sets)
    kinds = [[masks.padded(size) for masks in sets]]
    if by_boundary:
        own_sizes = preds.sizes(rows), truth.sizes(cols)
        kinds.append(
            [
                boundaries(*each)
                for each in zip(kinds[0], map(boundary_widths, own_sizes), strict=True)
            ]
        )
    found = []
    for pair_of_sets in kinds:
        given = [MASK.read(preds.name, masks, "", batches=False) for masks in pair_of_sets]
        found.append(
            find_pairs(
                given[0], given[1], METRICS["iou"], lowest, (own[rows], true[cols]),
                crowd=crowd[cols],
            )
        )  # fmt: skip
    pairs, values = found[0], found[0].values
    if by_boundary:
        one, two = (each.rows * len(cols) + each.cols for each in found)
        _, kept, other = np.intersect1d(one, two, assume_unique=True, return_indices=True)
        values = np.minimum(values[kept], found[1].values[other])
        pairs = replace(pairs, rows=pairs.rows[kept], cols=pairs.cols[kept], values=values)
    counts = np.zeros(len(preds), np.int64)
    counts[rows] = counted(pairs.rows, len(rows))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return offsets, cols[pairs.cols], values.astype(np.float64, copy=False)
