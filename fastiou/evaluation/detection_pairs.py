"""The pairs of an image, whatever their classes: what tells who was mistaken for what."""

from __future__ import annotations

import numpy as np

from fastiou.evaluation import detection_kernels as kernels
from fastiou.evaluation.detection_details import LOWEST, PAIR, Details
from fastiou.evaluation.detection_matching import in_order, kinds_of_truth, mask_pairs
from fastiou.evaluation.detection_sets import DetectionSet
from fastiou.evaluation.protocols import Protocol
from fastiou.geometries.boxes import BOX
from fastiou.metrics import METRICS
from fastiou.relations.pairs import find_pairs
from fastiou.typing import Array

__all__ = ["details_of"]


def details_of(
    preds: DetectionSet,
    target: DetectionSet,
    images: tuple[Array, Array, int],
    labels: tuple[Array, Array, int],
    places: tuple[Array, Array],
    protocol: Protocol,
    *,
    class_agnostic: bool,
    by_boundary: bool,
) -> Details:
    """The pairs of what `match_detections` keeps of the same arguments, in its order.

    Parameters
    ----------
    preds, target, images, labels, protocol, class_agnostic, by_boundary
        As `match_detections` takes them.
    places
        The place of each of both in its image, as they came.
    """
    found = _kept_rows(preds, images, labels, protocol, class_agnostic=class_agnostic)
    true = in_order(len(target), (images[1], images[2]), (labels[1], labels[2]))
    preds, truth = preds.chosen(found), target.chosen(true)
    own, other = images[0][found], images[1][true]
    crowd, _, shared = kinds_of_truth(truth, protocol)
    if preds.masks is None:
        sides = []
        for each in (preds, truth):
            assert each.boxes is not None
            grown = each.boxes + np.array([0, 0, protocol.margin, protocol.margin])
            sides.append(BOX.read(each.name, grown, "xywh", batches=False))
        near = find_pairs(sides[0], sides[1], METRICS["iou"], LOWEST, (own, other), crowd=crowd)
        rows, cols, values = near.rows, near.cols, near.values
    else:
        order = in_order(len(preds), (own, images[2]))
        groups = np.empty((len(preds) + len(truth), 6), np.int64)
        one, two = np.zeros_like(own), np.zeros_like(other)
        count = kernels.GROUPS.serial(
            order, own, one, np.arange(len(truth)), other, two, groups
        )  # fmt: skip
        offsets, cols, values = mask_pairs(
            preds, truth, order, groups[:count], LOWEST, crowd=crowd, by_boundary=by_boundary
        )
        rows = np.repeat(np.arange(len(preds)), np.diff(offsets))
    pairs = np.empty(len(rows), PAIR)
    pairs["detection"], pairs["truth"], pairs["iou"] = rows, cols, values
    return Details(places[0][found], places[1][true], shared, pairs)


def _kept_rows(
    preds: DetectionSet,
    images: tuple[Array, Array, int],
    labels: tuple[Array, Array, int],
    protocol: Protocol,
    *,
    class_agnostic: bool,
) -> Array:
    """The detections that count, by image, class and falling score."""
    assert preds.scores is not None
    order = in_order(len(preds), (images[0], images[2]), (labels[0], labels[2]))
    classes = np.zeros_like(labels[0]) if class_agnostic else labels[0]
    order = order[np.lexsort((-preds.scores[order], classes[order], images[0][order]))]
    keys = np.stack([images[0][order], classes[order]])
    is_first = np.concatenate([[True], (keys[:, 1:] != keys[:, :-1]).any(axis=0)])[: len(order)]
    firsts = np.flatnonzero(is_first)
    ranks = np.arange(len(order)) - firsts[np.cumsum(is_first) - 1]
    kept: Array = order[ranks < protocol.limits[-1]]
    return kept
