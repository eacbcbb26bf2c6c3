"""Masks made of boxes, and of other masks."""

from __future__ import annotations

import numpy as np
import pytest

import fastiou


def test_boxes_become_the_masks_of_their_corners() -> None:
    boxes = np.array(
        [[1, 2, 4, 5], [0.4, 0.6, 2.5, 9.5], [3, 3, 3, 3], [-4, -4, 2, 2], [5, 5, 1, 1]]
    )
    masks = fastiou.boxes_to_masks(boxes, (7, 9))
    assert masks.shape == (5, 7, 9)
    assert masks.area.tolist()[2:] == [0, 4, 0]
    assert masks.boxes[0].tolist() == [1, 2, 4, 5]
    expected = fastiou.Masks.from_polygons(
        [[[a, b, a, d, c, d, c, b]] for a, b, c, d in boxes[:2].tolist()], (7, 9)
    )
    assert masks[:2] == expected
    for fmt in ("xywh", "cxcywh"):
        assert fastiou.boxes_to_masks(fastiou.box_convert(boxes, "xyxy", fmt), (7, 9), fmt) == masks
    corners = fastiou.box_convert(boxes[:1], "xyxy", "xyxyxyxy")
    assert fastiou.boxes_to_masks(corners, (7, 9), "xyxyxyxy") == masks[0]
    assert fastiou.boxes_to_masks([[2.5, 3.5, 3, 3, 90]], (7, 9), "cxcywhr").area.tolist() == [9]
    assert fastiou.boxes_to_masks([], (7, 9)).shape == (0, 7, 9)
    for bad, message in (([[0, 0, np.nan, 1]], r"boxes\[0\]: coordinates must be finite"),):
        with pytest.raises(ValueError, match=message):
            fastiou.boxes_to_masks(bad, (7, 9))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_masks_are_merged(rng: np.random.Generator, count: int) -> None:
    dense = rng.random((count, 70, 9)) < 0.6
    for masks in (dense, fastiou.Masks.from_dense(dense), fastiou.Masks.from_dense(dense).to_rle()):
        assert (fastiou.merge_masks(masks).to_dense()[0] == dense.any(0)).all()
        assert (fastiou.merge_masks(masks, intersect=True).to_dense()[0] == dense.all(0)).all()


def test_masks_without_common_pixels_or_without_pixels() -> None:
    masks = fastiou.Masks.from_dense([[[1, 0]], [[0, 1]]])
    assert fastiou.merge_masks(masks, intersect=True).area.tolist() == [0]
    assert fastiou.merge_masks(masks[:0]).shape == (1, 1, 2)
    assert fastiou.merge_masks(masks[:0], intersect=True).area.tolist() == [0]
    nothing = fastiou.Masks.from_dense(np.zeros((3, 0, 4), bool))
    assert fastiou.merge_masks(nothing, intersect=True).shape == (1, 0, 4)
    with pytest.raises(TypeError, match="intersect must be True or False"):
        fastiou.merge_masks(masks, intersect=1)


def test_formats_without_corners_in_the_plane_are_named() -> None:
    with pytest.raises(ValueError, match=r"fmt must be one of 'xyxy', .*got 'xx'"):
        fastiou.boxes_to_masks([[1, 2]], (3, 4), "xx")
