"""Random sets of COCO's truth and results, small, and full of what is rare."""

from __future__ import annotations

from typing import Any

import numpy as np


def random_sets(
    rng: np.random.Generator, *, masks: bool = False
) -> tuple[dict[str, Any], list[Any]]:
    """Truth and results with ties, crowds, areas on borders, empty images and missing classes."""
    size = 24
    images = rng.choice(40, rng.integers(1, 7), replace=False) + int(rng.integers(0, 2))
    labels = rng.choice(9, rng.integers(1, 5), replace=False) + int(rng.integers(0, 2))
    truth: list[dict[str, Any]] = []
    for number in range(int(rng.integers(0, 16))):
        left, top = rng.integers(0, size - 8, 2).tolist()
        width, height = rng.integers(1, 9, 2).tolist()
        entry = {
            "id": number + 1,
            "image_id": int(rng.choice(images)),
            "category_id": int(rng.choice(labels)),
            "bbox": [left, top, width, height],
            "area": float(rng.choice([width * height, 1024, 1023.5, 9216, 9217, 100])),
            "iscrowd": int(rng.random() < 0.15),
        }
        if rng.random() < 0.2:
            entry["ignore"] = int(rng.integers(0, 2))
        if masks:
            entry["segmentation"] = run_lengths(random_mask(rng, size, entry["bbox"]))
        truth.append(entry)
    results = []
    scores = rng.choice([0.1, 0.25, 0.5, 0.5, 0.9], 40)
    for number in range(int(rng.integers(1, 30))):
        box = rng.integers(0, 9, 4) + np.array([0, 0, 1, 1])
        own = {"image_id": int(rng.choice(images)), "category_id": int(rng.choice(labels))}
        if truth and rng.random() < 0.7:
            near = truth[int(rng.integers(len(truth)))]
            box = np.array(near["bbox"]) + rng.integers(-1, 2, 4) * rng.integers(0, 2)
            own = {"image_id": near["image_id"], "category_id": near["category_id"]}
        box = np.maximum(box, [0, 0, 1, 1])
        own |= {"bbox": (box * rng.choice([1, 1, 1.5])).tolist(), "score": float(scores[number])}
        if masks:
            own["segmentation"] = run_lengths(random_mask(rng, size, box.tolist()))
            del own["bbox"]
        results.append(own)
    listed = [{"id": int(image), "width": size, "height": size} for image in images]
    categories = [{"id": int(label), "name": f"class {label}"} for label in labels]
    rng.shuffle(listed)
    rng.shuffle(categories)
    return {"images": listed, "categories": categories, "annotations": truth}, results


def random_mask(rng: np.random.Generator, size: int, box: list[int]) -> np.ndarray[Any, Any]:
    """A mask that fills most of a box."""
    mask = np.zeros((size, size), np.uint8)
    left, top, width, height = box
    mask[top : top + height, left : left + width] = (
        rng.random((size, size))[top : top + height, left : left + width] < 0.9
    )
    return mask


def run_lengths(mask: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A mask as uncompressed run lengths, down the columns."""
    flat = np.concatenate([[0], mask.T.reshape(-1), [0]])
    changes = np.flatnonzero(np.diff(flat[:-1])).tolist()
    counts = np.diff([0, *changes, mask.size]).tolist()
    return {"size": list(mask.shape), "counts": counts}
