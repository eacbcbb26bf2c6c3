"""Similarities of boxes and masks of `trackeval`, which has them as methods of its data sets.

``_BaseDataset._calculate_box_ious = staticmethod(calculate_box_ious)`` has trackeval use them.
``docs/compat.md`` has what differs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fastiou
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = ["calculate_box_ious", "calculate_mask_ious"]

#: The formats by their names there.
FORMATS = {"xywh": "xywh", "x0y0x1y1": "xyxy"}


def calculate_box_ious(
    bboxes1: Any, bboxes2: Any, box_format: str = "xywh", do_ioa: bool = False
) -> Array:
    """IoU (N, M) of all boxes with all, or the intersection over the area of the first.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import trackeval
    >>> boxes = np.array([[0.0, 0, 4, 4], [2, 0, 4, 4]])
    >>> trackeval.calculate_box_ious(boxes[:1], boxes, do_ioa=True)
    array([[1. , 0.5]])
    """
    if box_format not in FORMATS:
        raise ValueError(
            f"box_format must be one of {', '.join(FORMATS)}, got {described(box_format)}"
        )
    one, other = (
        np.asarray(boxes).reshape(-1, 4) if np.size(boxes) == 0 else boxes
        for boxes in (bboxes1, bboxes2)
    )
    metric = "iof" if do_ioa else "iou"
    scores: Array = fastiou.box_iou(one, other, FORMATS[box_format], metric=metric)
    return scores


def calculate_mask_ious(
    masks1: Any, masks2: Any, is_encoded: bool = False, do_ioa: bool = False
) -> Array:
    """IoU (N, M) of all masks with all, dense or as run lengths, likewise.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import trackeval
    >>> masks = np.array([[[1, 1, 1, 1]], [[1, 1, 0, 0]]])
    >>> trackeval.calculate_mask_ious(masks[:1], masks)
    array([[1. , 0.5]])
    """
    if not len(masks1) or not len(masks2):
        return np.zeros((len(masks1), len(masks2)))
    one, other = (list(masks) if is_encoded else np.asarray(masks) for masks in (masks1, masks2))
    scores: Array = fastiou.mask_iou(one, other, metric="iof" if do_ioa else "iou")
    return scores
