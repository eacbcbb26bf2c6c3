"""What COCOeval tells of single images: slow, and done where it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastiou.typing import Array

__all__ = ["add_up", "image_scores"]

#: The highest threshold, which lets equal boxes match at 1.
HIGHEST = 1 - 1e-10


def image_scores(
    true: Sequence[Any],
    found: Sequence[Any],
    ious: Any,
    thresholds: Array,
    area: Sequence[float],
    most: int,
) -> dict[str, Any] | None:
    """Match the detections of an image and class in a size range, as `COCOeval.evaluateImg`.

    Parameters
    ----------
    true, found
        Annotations, as dicts.
    ious
        (D, G): of detections by falling score, and the truth as it comes.
    thresholds, area, most
        IoU thresholds; least and greatest area; how many detections count.

    Returns
    -------
    dict or None
        None where there is neither truth nor a detection.
    """
    if not len(true) and not len(found):
        return None
    low, high = area
    crowd = np.array([bool(entry.get("iscrowd", 0)) for entry in true], np.bool_)
    out_of_range = np.array([not low <= entry["area"] <= high for entry in true], np.bool_)
    order = np.argsort(crowd | out_of_range, kind="stable")
    true, crowd = [true[place] for place in order], crowd[order]
    ignored = (crowd | out_of_range[order]).astype(np.int64)
    ranks = np.argsort([-entry["score"] for entry in found], kind="stable")[:most]
    found = [found[place] for place in ranks]
    scores = np.zeros((len(found), len(true)))
    if len(found) and len(true):
        scores = np.asarray(ious)[: len(found), order]
    numbers = np.array([entry["id"] for entry in true])
    matched_found = np.zeros((len(thresholds), len(found)))
    matched_true = np.zeros((len(thresholds), len(true)))
    ignored_found = np.zeros((len(thresholds), len(found)), np.bool_)
    for t, threshold in enumerate(np.minimum(thresholds, HIGHEST)):
        for d, row in enumerate(scores):
            free = (row >= threshold) & ((matched_true[t] == 0) | crowd)
            for of_these in (free & (ignored == 0), free & (ignored == 1)):
                among = np.flatnonzero(of_these)
                if len(among):
                    best = among[row[among] == row[among].max()][-1]
                    ignored_found[t, d] = ignored[best]
                    matched_found[t, d] = numbers[best]
                    matched_true[t, best] = found[d]["id"]
                    break
    beyond = np.array([not low <= entry["area"] <= high for entry in found], np.bool_)
    return {
        "dtIds": [entry["id"] for entry in found],
        "gtIds": [entry["id"] for entry in true],
        "dtMatches": matched_found,
        "gtMatches": matched_true,
        "dtScores": [entry["score"] for entry in found],
        "gtIgnore": ignored,
        "dtIgnore": ignored_found | ((matched_found == 0) & beyond),
    }


def add_up(images: Sequence[Any], p: Any, of: Any) -> dict[str, Array]:
    """Precision, recall and scores of images that were matched one by one.

    Parameters
    ----------
    images
        As `COCOeval.evalImgs`: for each class, size range and image.
    p
        The parameters of what is wanted.
    of
        Those that the images were matched by.
    """
    classes = p.catIds if p.useCats else [-1]
    known: list[list[Any]] = [
        list(of.catIds) if of.useCats else [-1],
        list(map(tuple, of.areaRng)),
        list(of.imgIds),
    ]
    limits = p.maxDets
    shape = len(p.iouThrs), len(classes), len(p.areaRng), len(limits)
    recall = np.full(shape, -1.0)
    precision = np.full((shape[0], len(p.recThrs), *shape[1:]), -1.0)
    scores = precision.copy()
    own_images = [known[2].index(image) for image in p.imgIds if image in known[2]]
    for k, label in enumerate(classes):
        for a, area in enumerate(map(tuple, p.areaRng)):
            if label not in known[0] or area not in known[1]:
                continue
            first = (known[0].index(label) * len(known[1]) + known[1].index(area)) * len(known[2])
            some = [images[first + place] for place in own_images]
            some = [each for each in some if each is not None]
            wanted = sum(int((np.asarray(each["gtIgnore"]) == 0).sum()) for each in some)
            for m, limit in enumerate(limits):
                if not wanted or limit not in of.maxDets:
                    continue
                own = np.concatenate([np.asarray(each["dtScores"])[:limit] for each in some])
                order = np.argsort(-own, kind="stable")
                matched, ignored = (
                    np.concatenate([each[name][:, :limit] for each in some], axis=1)[:, order] != 0
                    for name in ("dtMatches", "dtIgnore")
                )
                right = np.cumsum(matched & ~ignored, axis=1, dtype=np.float64)
                wrong = np.cumsum(~matched & ~ignored, axis=1, dtype=np.float64)
                for t in range(shape[0]):
                    place = (t, slice(None), k, a, m)
                    reached = right[t] / wanted
                    exact = right[t] / (wrong[t] + right[t] + np.spacing(1))
                    best = np.maximum.accumulate(exact[::-1])[::-1]
                    at = np.searchsorted(reached, p.recThrs, side="left")
                    there = at < len(own)
                    recall[t, k, a, m] = reached[-1] if len(own) else 0
                    precision[place], scores[place] = 0, 0
                    precision[t, there, k, a, m] = best[at[there]]
                    scores[t, there, k, a, m] = own[order][at[there]]
    return {"precision": precision, "recall": recall, "scores": scores}
