"""Non-maximum merging."""

from __future__ import annotations

import numpy as np
import pytest
from boxes_for_tests import random_boxes

import fastiou
from fastiou import reference


def merged_one_by_one(boxes, scores, groups, threshold, dtype):  # type: ignore[no-untyped-def]
    """Who is absorbed by whom, as it is told."""
    iou = reference.box_iou(boxes, boxes).astype(dtype)
    owners = np.full(len(boxes), -1)
    for i in np.argsort(-scores, kind="stable"):
        if owners[i] < 0:
            owners[i] = i
            free = (owners < 0) & (groups == groups[i]) & (iou[i] >= threshold)
            owners[free] = i
    return owners


def test_members_belong_to_the_best_that_they_overlap(rng: np.random.Generator) -> None:
    dtype = "float64"
    for size in (0, 1, 30, 300):
        boxes = random_boxes(rng, size).astype(dtype)
        scores = rng.integers(0, 20, size) / 20
        groups = rng.integers(0, 2, size)
        for threshold in (0.1, 0.5, 1.0):
            merged = fastiou.non_max_merge(boxes, scores, threshold, groups=groups)
            owners = merged_one_by_one(boxes, scores, groups, threshold, dtype)
            assert merged.owners.tolist() == owners.tolist()
            kept = np.flatnonzero(owners == np.arange(size))
            assert (
                merged.indices.tolist() == kept[np.argsort(-scores[kept], kind="stable")].tolist()
            )
            assert [cluster[0] for cluster in merged.clusters] == merged.indices.tolist()
            for cluster in merged.clusters:
                assert (owners[cluster] == cluster[0]).all()
                assert (np.diff(scores[cluster]) <= 0).all()
            assert sum(map(len, merged.clusters)) == size


def test_the_threshold_absorbs() -> None:
    boxes = [[0, 0, 10, 1], [9, 0, 10, 1]]
    assert fastiou.non_max_merge(boxes, [0.9, 0.8], 0.1).owners.tolist() == [0, 0]
    assert fastiou.nms(boxes, [0.9, 0.8], 0.1).tolist() == [0, 1]


def test_low_scores_masks_and_missing_boxes() -> None:
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 4, 4], [np.nan] * 4, [9, 9, 9, 9]])
    merged = fastiou.non_max_merge(boxes, [0.3, 0.9, 0.1, 0.8, 0.7], score_threshold=0.2)
    indices, owners = merged
    assert indices.tolist() == [1, 3, 4]
    assert owners.tolist() == [1, 1, -1, 3, 4]
    assert merged.offsets.tolist() == [0, 2, 3, 4]
    assert len(merged) == 3
    assert repr(merged) == "<Merged: 4 in 3 clusters>"
    masks = np.array([[[1, 1]], [[1, 0]]])
    assert fastiou.non_max_merge(masks, [0.5, 0.6]).owners.tolist() == [1, 1]
    with pytest.raises(ValueError, match="threshold must be greater than 0"):
        fastiou.non_max_merge(boxes, np.ones(5), 0)


def test_tables_and_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    merged = fastiou.non_max_merge(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([0.5]))
    assert isinstance(merged.owners, torch.Tensor)
    assert [cluster.tolist() for cluster in merged.clusters] == [[0]]
