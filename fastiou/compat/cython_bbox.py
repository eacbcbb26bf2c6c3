"""`cython_bbox`: boxes whose last pixel belongs to them. ``docs/compat.md`` has what differs."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastiou
from fastiou.arrays.inputs import plain_array
from fastiou.typing import Array

__all__ = ["bbox_overlaps"]

#: What makes half-open corners of boxes whose last pixel belongs to them.
LAST_PIXEL = np.array([0.0, 0, 1, 1])


def bbox_overlaps(boxes: Any, query_boxes: Any) -> Array:
    """IoU (N, M), float64, of boxes with their last pixels; columns after the fourth do not count.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import cython_bbox
    >>> cython_bbox.bbox_overlaps(np.array([[0.0, 0, 9, 9]]), np.array([[0.0, 0, 9, 4]]))
    array([[0.5]])
    """
    both = []
    for name, value in (("boxes", boxes), ("query_boxes", query_boxes)):
        array = plain_array(name, value)
        if array.ndim != 2 or array.shape[1] < 4:
            raise ValueError(
                f"{name} must have the shape (N, 4) or more columns, got {array.shape}"
            )
        both.append(array[:, :4] + LAST_PIXEL)
    scores: Array = fastiou.box_iou(both[0], both[1])
    return scores
