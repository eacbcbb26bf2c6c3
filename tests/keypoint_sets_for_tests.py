"""Random sets of COCO's truth and results of keypoints, small, and full of what is rare."""

from __future__ import annotations

from typing import Any

import numpy as np


def random_keypoints(rng: np.random.Generator, count: int, size: int) -> list[float]:
    """x, y and 0, 1 or 2 of some keypoints; where it is 0, x and y mostly are, too."""
    numbers = rng.integers(0, size, (count, 3))
    numbers[:, 2] = rng.choice([0, 1, 2], count, p=[0.3, 0.2, 0.5]) * (rng.random() < 0.85)
    if rng.random() < 0.8:
        numbers[numbers[:, 2] == 0, :2] = 0
    values: list[float] = numbers.reshape(-1).tolist()
    return values


def random_sets(
    rng: np.random.Generator, count: int, *, classes: int = 3
) -> tuple[dict[str, Any], list[Any]]:
    """Truth and results of `count` keypoints each.

    They have ties, crowds, truth without labelled keypoints, areas on borders, more than 20
    results of an image, and images and classes without anything.
    """
    size = 120
    images = rng.choice(40, rng.integers(1, 6), replace=False) + int(rng.integers(0, 2))
    labels = rng.choice(9, rng.integers(1, classes + 1), replace=False) + int(rng.integers(0, 2))
    truth: list[dict[str, Any]] = []
    for number in range(int(rng.integers(0, 14))):
        keypoints = random_keypoints(rng, count, size)
        told = sum(value > 0 for value in keypoints[2::3])
        box = [*rng.integers(0, size // 2, 2).tolist(), *rng.integers(1, size // 2, 2).tolist()]
        if rng.random() < 0.3:
            box = [side + 0.25 for side in box]
        truth.append({
            "id": number + 1,
            "image_id": int(rng.choice(images)),
            "category_id": int(rng.choice(labels)),
            "keypoints": keypoints,
            "num_keypoints": told if rng.random() < 0.95 else int(rng.integers(0, 2)),
            "bbox": box,
            "area": float(rng.choice([box[2] * box[3], 1024, 1023.5, 9216, 9217, 1e5, 0])),
            "iscrowd": int(rng.random() < 0.15),
        })  # fmt: skip
    results = []
    has_boxes = rng.random() < 0.2
    many = rng.random() < 0.2
    for _ in range(int(rng.integers(1, 70 if many else 30))):
        own = {"image_id": int(rng.choice(images)), "category_id": int(rng.choice(labels))}
        places = np.array(random_keypoints(rng, count, size), np.float64).reshape(count, 3)
        if truth and rng.random() < 0.8:
            near = truth[0 if many else int(rng.integers(len(truth)))]
            own = {"image_id": near["image_id"], "category_id": near["category_id"]}
            places = np.array(near["keypoints"], np.float64).reshape(count, 3)
            places[:, :2] += rng.integers(-4, 5, (count, 2)) * rng.integers(0, 3)
            if rng.random() < 0.3:
                places[:, :2] += np.round(rng.normal(size=(count, 2)), 2)
        own |= {"keypoints": places.reshape(-1).tolist()}
        own |= {"score": float(rng.choice([0.1, 0.25, 0.5, 0.5, 0.9]))}
        if has_boxes:
            own["bbox"] = rng.integers(1, size, 4).tolist()
        results.append(own)
    listed = [{"id": int(image)} for image in images]
    categories = [{"id": int(label), "name": f"class {label}"} for label in labels]
    rng.shuffle(listed)
    rng.shuffle(categories)
    return {"images": listed, "categories": categories, "annotations": truth}, results


def similarity(found: Any, truth: Any, boxes: Any, areas: Any, sigmas: Any) -> Any:
    """COCO's object keypoint similarity of each detection with each truth, (N, M).

    Parameters
    ----------
    found, truth
        (N, K, 3) and (M, K, 3): x, y, and a number above 0 where the truth is labelled.
    boxes, areas
        Of the truth, (M, 4) as left, top, width and height, and (M,).
    sigmas
        (K,): of the keypoints.
    """
    variances = (2 * np.array(sigmas)) ** 2
    scores = np.zeros((len(found), len(truth)))
    for i, j in np.ndindex(scores.shape):
        is_labelled = truth[j, :, 2] > 0
        places = found[i, :, :2]
        offsets = places - truth[j, :, :2]
        if not is_labelled.any():  # how far outside of the box with its sides tripled
            low, high = boxes[j, :2] - boxes[j, 2:], boxes[j, :2] + 2 * boxes[j, 2:]
            offsets = np.maximum(low - places, 0) + np.maximum(places - high, 0)
            is_labelled = np.ones(len(variances), bool)
        squares = offsets[:, 0] ** 2 + offsets[:, 1] ** 2
        exponents = squares / variances / (areas[j] + np.spacing(1)) / 2
        scores[i, j] = np.mean(np.exp(-exponents[is_labelled]))
    return scores
