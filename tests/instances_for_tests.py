"""Published procedures for objects of label images, in plain NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment


def scores_of(true: Any, pred: Any, criterion: str) -> Any:
    """Scores (objects, objects) float32, of objects by ascending label."""
    names = [np.unique(labels[labels != 0]) for labels in (true, pred)]
    shared = np.array(
        [[np.count_nonzero((true == a) & (pred == b)) for b in names[1]] for a in names[0]], float
    ).reshape(len(names[0]), len(names[1]))
    areas = [
        np.array([np.count_nonzero(labels == name) for name in of_one], float)
        for labels, of_one in zip((true, pred), names, strict=True)
    ]
    wholes = {
        "iou": areas[0][:, None] + areas[1] - shared,
        "iot": np.repeat(areas[0][:, None], len(names[1]), axis=1),
        "iop": np.repeat(areas[1][None], len(names[0]), axis=0),
    }[criterion]
    return (shared / wholes).astype(np.float32), shared, areas


def stardist_matching(true: Any, pred: Any, threshold: float, criterion: str = "iou") -> Any:
    """The numbers of stardist's `matching`."""
    scores = scores_of(true, pred, criterion)[0]
    n_true, n_pred = scores.shape
    enough = scores >= threshold  # as float32, since a number of Python has no type of its own
    matched = np.empty(0, np.float32)
    if min(scores.shape):
        costs = -enough.astype(float) - scores / (2 * min(scores.shape))
        rows, cols = linear_sum_assignment(costs)
        matched = scores[rows, cols][enough[rows, cols]]
    tp, total = len(matched), matched.sum()
    fp, fn = n_pred - tp, n_true - tp

    def over(part: Any, whole: Any) -> Any:
        return part / whole if whole else 0.0

    return {
        "thresh": threshold,
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "n_true": n_true,
        "n_pred": n_pred,
        "precision": over(tp, tp + fp),
        "recall": over(tp, tp + fn),
        "accuracy": over(tp, tp + fp + fn),
        "f1": over(2 * tp, 2 * tp + fp + fn),
        "mean_true_score": float(over(total, np.float32(n_true))),
        "mean_matched_score": float(over(float(total), tp)),
        "panoptic_quality": float(over(float(total), tp + fp / 2 + fn / 2)),
    }


def aggregated_jaccard(true: Any, pred: Any) -> tuple[int, int]:
    """Pixels of intersections and unions as Kumar et al. (2017) add them up."""
    _, shared, areas = scores_of(true, pred, "iou")
    intersection = union = 0.0
    used = set()
    for number, area in enumerate(areas[0]):
        unions = area + areas[1] - shared[number]
        if not shared[number].any():
            union += area
            continue
        best = int(np.argmax(shared[number] / unions))
        used.add(best)
        intersection += shared[number, best]
        union += unions[best]
    union += sum(area for number, area in enumerate(areas[1]) if number not in used)
    return int(intersection), int(union)
