"""The procedure of COCO's panoptic evaluation, image by image, in plain Python and NumPy."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
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


# ---- made inputs -------------------------------------------------------------------------------


def drawn_image(rng: np.random.Generator, categories: int = 4) -> tuple[Any, Any, Any, Any]:
    """Two images of a few blocks, moved, with void and crowds, and their segments."""
    height, width = rng.integers(6, 30, 2)
    blocks = rng.integers(0, 6, (height // 3 + 1, width // 3 + 1))
    true = np.kron(blocks, np.ones((3, 3), int))[:height, :width] * 1001
    pred = np.roll(true, tuple(rng.integers(-1, 2, 2)), (0, 1)) * 17
    noise = rng.random(pred.shape) < 0.1
    pred[noise] = rng.choice([0, 5, 17017, 34034], noise.sum())
    of_id = rng.integers(1, categories + 1, 7)

    def told(image: Any, *, truth: bool) -> list[dict[str, Any]]:
        ids, areas = np.unique(image[image != 0], return_counts=True)
        segments = []
        for number, area in zip(ids.tolist(), areas.tolist(), strict=True):
            kind = number // 1001 if truth else number // 17017
            segment = {"id": number, "category_id": int(of_id[kind % 7])}
            if truth:
                segment |= {
                    "iscrowd": int(rng.random() < 0.3),
                    "area": area + int(rng.integers(0, 3)),
                }
            elif rng.random() < 0.2:
                segment["category_id"] = int(rng.integers(1, categories + 1))
            segments.append(segment)
        order = rng.permutation(len(segments))
        kept = len(segments) - int(truth and rng.random() < 0.2 and len(segments) > 0)
        return [segments[place] for place in order[:kept]]

    return true, pred, told(true, truth=True), told(pred, truth=False)


def png_of(ids: Any, filters: Any, *, bits: int = 8) -> bytes:
    """A PNG of colours that are ids, with a filter for each row."""
    height, width = ids.shape
    rows = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=2).astype(int)
    rows = rows.reshape(height, 3 * width)
    left = np.pad(rows, ((0, 0), (3, 0)))[:, :-3]
    up = np.pad(rows, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(rows, ((1, 0), (3, 0)))[:-1, :-3]
    guess = left + up - corner
    gaps = np.stack([np.abs(guess - left), np.abs(guess - up), np.abs(guess - corner)])
    nearest = np.choose(gaps.argmin(0), [left, up, corner])
    predicted = [np.zeros_like(rows), left, up, (left + up) // 2, nearest, rows * 0]
    data = b"".join(
        bytes([kind]) + ((rows[y] - predicted[kind][y]) % 256).astype(np.uint8).tobytes()
        for y, kind in enumerate(filters)
    )
    packed = zlib.compress(data)
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, 2, 0, 0, 0])
    half = len(packed) // 2
    chunks = ((b"IHDR", head), (b"IDAT", packed[:half]), (b"IDAT", packed[half:]), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4, "big")
        + kind
        + content
        + zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big")
        for kind, content in chunks
    )


def written(folder: Path, images: Any, categories: Any = None) -> tuple[Path, Path]:
    """Files of the truth and of the prediction, of images as `drawn_image` makes them."""
    paths = folder / "gt.json", folder / "pred.json"
    for column, path in enumerate(paths):
        path.with_suffix("").mkdir()
        annotations = []
        for number, image in enumerate(images):
            name = f"{number:04}.png"
            filters = np.arange(len(image[column])) % 5
            (path.with_suffix("") / name).write_bytes(png_of(image[column], filters))
            annotations.append(
                {"image_id": number, "file_name": name, "segments_info": image[2 + column]}
            )
        content: dict[str, Any] = {"annotations": annotations}
        if column == 0:
            content["categories"] = categories or [
                {"id": number, "isthing": number % 2, "name": f"class {number}"}
                for number in range(1, 5)
            ]
        path.write_text(json.dumps(content))
    return paths
