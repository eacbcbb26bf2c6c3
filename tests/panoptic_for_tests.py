"""The procedure of COCO's panoptic evaluation, image by image, in plain Python and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

VOID = 0
BASE = 1 << 24


def new_totals(categories: Any) -> dict[int, dict[str, float]]:
    """Nothing counted yet, for each category."""
    return {number: {"iou": 0.0, "tp": 0, "fp": 0, "fn": 0} for number in categories}


def add_image(totals: Any, true: Any, pred: Any, true_segments: Any, pred_segments: Any) -> None:
    """Count the segments of an image."""
    truth = {segment["id"]: segment for segment in true_segments}
    found = {segment["id"]: segment for segment in pred_segments}
    areas = dict(zip(*(part.tolist() for part in np.unique(pred, return_counts=True)), strict=True))
    keys, counts = np.unique(
        true.astype(np.uint64) * BASE + pred.astype(np.uint64), return_counts=True
    )
    shared = {
        (key // BASE, key % BASE): count
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True)
    }
    hit_truth, hit_found = set(), set()
    for (one, other), count in shared.items():
        if one not in truth or other not in found or truth[one]["iscrowd"]:
            continue
        category = truth[one]["category_id"]
        if category != found[other]["category_id"]:
            continue
        union = truth[one]["area"] + areas[other] - count - shared.get((VOID, other), 0)
        if count / union > 0.5:
            totals[category]["tp"] += 1
            totals[category]["iou"] += count / union
            hit_truth.add(one)
            hit_found.add(other)
    crowds = {}
    for one, segment in truth.items():
        if segment["iscrowd"]:
            crowds[segment["category_id"]] = one
        elif one not in hit_truth:
            totals[segment["category_id"]]["fn"] += 1
    for other, segment in found.items():
        if other in hit_found:
            continue
        category = segment["category_id"]
        forgiven = shared.get((VOID, other), 0)
        if category in crowds:
            forgiven += shared.get((crowds[category], other), 0)
        if forgiven / areas[other] <= 0.5:
            totals[category]["fp"] += 1


def averages(totals: Any, chosen: Any) -> dict[str, float]:
    """PQ, SQ and RQ over some categories, of which those that do not occur are left out."""
    rows = []
    for number in chosen:
        iou, tp, fp, fn = (totals[number][name] for name in ("iou", "tp", "fp", "fn"))
        if tp + fp + fn:
            whole = tp + 0.5 * fp + 0.5 * fn
            rows.append((iou / whole, iou / tp if tp else 0, tp / whole))
    n = len(rows)
    pq, sq, rq = (sum(column) / n for column in zip(*rows, strict=True)) if n else (0, 0, 0)
    return {"pq": pq, "sq": sq, "rq": rq, "n": n}
