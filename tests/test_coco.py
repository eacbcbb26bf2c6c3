"""Boxes in COCO's format get COCO's scores, bit for bit."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from boxes_for_tests import Array

import fastiou

coco_mask = pytest.importorskip("pycocotools.mask")


def assert_same_bits(detections: Array, truth: Array, crowd: Array) -> None:
    expected = coco_mask.iou(detections, truth, crowd.astype(int).tolist())
    actual = fastiou.box_iou(detections, truth, "xywh", iscrowd=crowd)
    np.testing.assert_array_equal(actual, expected)
    if not crowd.any():
        np.testing.assert_array_equal(fastiou.box_iou(detections, truth, "xywh"), expected)


@pytest.mark.parametrize("sizes", [(5, 9), (700, 800)])
@pytest.mark.parametrize("crowds", [0.0, 0.3, 1.0])
def test_random_boxes(rng: np.random.Generator, sizes: tuple[int, int], crowds: float) -> None:
    # Drawn as they are: sides taken from corners would round alike either way.
    detections, truth = (
        np.concatenate([rng.random((size, 2)) * 100, rng.random((size, 2)) * 20 + 1], axis=1)
        for size in sizes
    )
    detections[: len(detections) // 3] = truth[: len(detections) // 3]  # equal boxes, too
    assert_same_bits(detections, truth, rng.random(len(truth)) < crowds)


def test_real_detections(real_data: Path) -> None:
    def load(name: str) -> Array:
        with gzip.open(real_data / "coco" / name) as file:
            content = json.load(file)
        entries = content["annotations"] if isinstance(content, dict) else content
        return np.array([entry["bbox"] for entry in entries], float)

    detections = load("instances_val2014_fakebbox100_results.json.gz")
    truth = load("instances_val2014_100.json.gz")
    for crowd in (np.zeros(len(truth), bool), np.arange(len(truth)) % 3 == 0):
        assert_same_bits(detections, truth, crowd)
        assert_same_bits(truth, truth, crowd)
