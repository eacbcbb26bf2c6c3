"""Functions of `torchvision.ops` for boxes: ``from fastiou.compat import torchvision as ops``.

Tensors come back as tensors, and NumPy arrays as arrays. The losses are left out: they need
gradients. ``docs/compat.md`` has what else differs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fastiou
from fastiou.compat.libraries import (
    as_array,
    as_dtype,
    dtype_name,
    is_float,
    library_of,
    upcast,
)

__all__ = [
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
    "masks_to_boxes",
    "nms",
    "remove_small_boxes",
]

#: Formats whose sides lie along the axes.
UPRIGHT = ("xyxy", "xywh", "cxcywh")

FORMATS = (*UPRIGHT, "xywhr", "cxcywhr", "xyxyxyxy")

#: Scores whose smallest common box is measured at a time.
SCORES_AT_A_TIME = 1 << 20


# ---- scores ------------------------------------------------------------------------------------


def box_iou(boxes1: Any, boxes2: Any, fmt: str = "xyxy") -> Any:
    """IoU of all boxes with all, as `torchvision.ops.box_iou`; see `fastiou.box_iou`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import torchvision as ops
    >>> ops.box_iou(np.array([[0, 0, 2, 2], [4, 4, 4, 4]]), np.array([[1, 0, 3, 2], [5, 5, 5, 5]]))
    array([[0.33333334, 0.        ],
           [0.        ,        nan]], dtype=float32)
    """
    if fmt not in FORMATS:
        raise ValueError(f"fmt must be one of {', '.join(FORMATS)}, got {fmt!r}")
    return _scores(boxes1, boxes2, fmt, "iou")


def generalized_box_iou(boxes1: Any, boxes2: Any) -> Any:
    """GIoU of all boxes with all, as `torchvision.ops.generalized_box_iou`."""
    return _scores(boxes1, boxes2, "xyxy", "giou")


def distance_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Any:
    """DIoU of all boxes with all, as `torchvision.ops.distance_box_iou`.

    `eps` is added to the squared diagonal of the smallest common box.
    """
    return _distance_scores(boxes1, boxes2, "diou", eps)


def complete_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Any:
    """CIoU of all boxes with all, as `torchvision.ops.complete_box_iou`.

    `eps` is added to the squared diagonal of the smallest common box; the weight of the aspect
    ratio has none, which changes a score by less than `eps`.
    """
    boxes1, boxes2 = as_array(boxes1), as_array(boxes2)
    scores = _distance_scores(boxes1, boxes2, "ciou", eps)
    # The aspect ratio of a point is 0 / 0.
    points1, points2 = (
        (boxes[..., 2] == boxes[..., 0]) & (boxes[..., 3] == boxes[..., 1])
        for boxes in (boxes1, boxes2)
    )
    if points1.any() or points2.any():
        scores[points1[..., :, None] | points2[..., None, :]] = np.nan
    return scores


def _scores(boxes1: Any, boxes2: Any, fmt: str, metric: str) -> Any:
    """Dense scores in torchvision's dtype, NaN where both boxes are empty."""
    boxes1, boxes2 = as_array(boxes1), as_array(boxes2)
    scores = fastiou.box_iou(boxes1, boxes2, fmt, metric=metric)
    if "float64" not in (dtype_name(boxes1), dtype_name(boxes2)):
        scores = as_dtype(scores, "float32")
    if fmt in UPRIGHT:
        empty1, empty2 = (box_area(boxes, fmt) == 0 for boxes in (boxes1, boxes2))
        if empty1.any() and empty2.any():
            scores[empty1[..., :, None] & empty2[..., None, :]] = np.nan
    return scores


def _distance_scores(boxes1: Any, boxes2: Any, metric: str, eps: float) -> Any:
    """Scores whose distance of centres is over a squared diagonal with `eps` added."""
    boxes1, boxes2 = upcast(as_array(boxes1)), upcast(as_array(boxes2))
    scores = _scores(boxes1, boxes2, "xyxy", metric)
    library, name = library_of(scores), dtype_name(scores)
    own2 = as_dtype(boxes2, name)[..., None, :, :]
    share = max(1, SCORES_AT_A_TIME // max(1, boxes2.shape[-2]))
    for first in range(0, boxes1.shape[-2], share):
        rows = slice(first, first + share)
        own1 = as_dtype(boxes1, name)[..., rows, None, :]
        offset = (own1[..., :2] + own1[..., 2:] - own2[..., :2] - own2[..., 2:]) / 2
        sides = library.maximum(own1[..., 2:], own2[..., 2:]) - library.minimum(
            own1[..., :2], own2[..., :2]
        )
        distance, diagonal = (offset**2).sum(-1), (sides**2).sum(-1)
        # Where the diagonal is 0, both boxes are one point, which scored NaN before.
        share_of_it = distance / (diagonal + (diagonal == 0))
        scores[..., rows, :] += share_of_it * (eps / (diagonal + eps))
    return scores


# ---- areas and formats -------------------------------------------------------------------------


def box_area(boxes: Any, fmt: str = "xyxy") -> Any:
    """Areas as `torchvision.ops.box_area`: integers stay so, and an inverted box has a sign.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import torchvision as ops
    >>> ops.box_area(np.array([0, 0, 20, 30], np.uint8))
    np.int32(600)
    """
    if fmt not in UPRIGHT:
        raise ValueError(f"fmt must be one of {', '.join(UPRIGHT)}, got {fmt!r}")
    boxes = upcast(as_array(boxes))
    if fmt == "xyxy":
        return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return boxes[..., 2] * boxes[..., 3]


def box_convert(boxes: Any, in_fmt: str, out_fmt: str) -> Any:
    """Boxes in another format, as `torchvision.ops.box_convert`; see `fastiou.box_convert`.

    Floats keep their dtype. So do integers, but centres, which are float32.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import torchvision as ops
    >>> ops.box_convert(np.array([[10, 20, 30, 60]]), "xyxy", "cxcywh")
    array([[20., 40., 20., 40.]], dtype=float32)
    """
    for name, fmt in (("in_fmt", in_fmt), ("out_fmt", out_fmt)):
        if fmt not in FORMATS:
            raise ValueError(f"{name} must be one of {', '.join(FORMATS)}, got {fmt!r}")
    boxes = as_array(boxes)
    name = dtype_name(boxes)
    one_box = len(boxes.shape) == 1
    converted = fastiou.box_convert(boxes[None] if one_box else boxes, in_fmt, out_fmt)
    converted = converted[0] if one_box else converted
    if not is_float(boxes):
        if in_fmt != out_fmt and "cxcywh" in (in_fmt, out_fmt):
            name = "float32"
        else:
            converted = as_dtype(library_of(converted).round(converted), "int64")
    return as_dtype(converted, name)


def masks_to_boxes(masks: Any) -> Any:
    """Boxes of dense masks, as `torchvision.ops.masks_to_boxes`; see `fastiou.masks_to_boxes`."""
    masks = as_array(masks)
    if 0 in masks.shape:
        masks = masks.reshape(0, 1, 1)
    return fastiou.masks_to_boxes(masks != 0 if is_float(masks) else masks)


def clip_boxes_to_image(boxes: Any, size: tuple[int, int]) -> Any:
    """Boxes cut off at the edges of an image, as `torchvision.ops.clip_boxes_to_image`.

    See `fastiou.clip_boxes`.
    """
    boxes = as_array(boxes)
    height, width = map(int, size)
    one_box = len(boxes.shape) == 1
    clipped = fastiou.clip_boxes(boxes[None] if one_box else boxes, (height, width))
    return as_dtype(clipped[0] if one_box else clipped, dtype_name(boxes))


# ---- suppression -------------------------------------------------------------------------------


def remove_small_boxes(boxes: Any, min_size: float) -> Any:
    """Positions of boxes with two long sides, as `torchvision.ops.remove_small_boxes`.

    See `fastiou.remove_small_boxes`.
    """
    return fastiou.remove_small_boxes(as_array(boxes), min_size)


def nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Positions of boxes that are kept, as `torchvision.ops.nms`; see `fastiou.nms`.

    Examples
    --------
    >>> from fastiou.compat import torchvision as ops
    >>> ops.nms([[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]], [0.8, 0.9, -0.1], 0.5)
    array([1, 2])
    """
    boxes, scores = as_array(boxes), as_array(scores)
    _check(boxes, scores)
    return fastiou.nms(boxes, scores, min(float(iou_threshold), 1.0))


def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """Suppression within each class, as `torchvision.ops.batched_nms`; see `fastiou.batched_nms`.

    Examples
    --------
    >>> from fastiou.compat import torchvision as ops
    >>> ops.batched_nms([[0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 4]], [0.8, 0.9, 0.7], [0, 1, 0], 0.5)
    array([1, 0])
    """
    boxes = as_array(boxes)
    if 0 in boxes.shape:  # of any shape, and then the rest may be None
        return as_dtype(boxes.reshape(-1), "int64")
    scores = as_array(scores)
    _check(boxes, scores)
    return fastiou.batched_nms(boxes, scores, idxs, min(float(iou_threshold), 1.0))


def _check(boxes: Any, scores: Any) -> None:
    """Raise the errors that torchvision raises for shapes."""
    if len(boxes.shape) != 2:
        raise RuntimeError(f"boxes should be a 2d tensor, got {len(boxes.shape)}D")
    if boxes.shape[1] != 4:
        raise RuntimeError(f"boxes should have 4 elements in dimension 1, got {boxes.shape[1]}")
    if len(scores.shape) != 1:
        raise RuntimeError(f"scores should be a 1d tensor, got {len(scores.shape)}D")
    if len(boxes) != len(scores):
        raise RuntimeError(
            "boxes and scores should have same number of elements in dimension 0, got "
            f"{len(boxes)} and {len(scores)}"
        )
