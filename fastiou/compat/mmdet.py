"""Overlaps of `mmdet`: of `mmdet.structures.bbox` and `mmdet.evaluation`.

Tensors come back as tensors, and NumPy arrays as arrays. ``docs/compat.md`` has what differs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fastiou
from fastiou.compat.libraries import as_array, as_dtype, dtype_name, is_float, is_tensor, library_of
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = ["BboxOverlaps2D", "bbox_overlaps", "evaluation_bbox_overlaps"]

MODES = ("iou", "iof", "giou")


def bbox_overlaps(
    bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False, eps: float = 1e-6
) -> Any:
    """Overlaps (..., M, N) of all boxes with all, or (..., M) of each with its fellow.

    Unions, and the areas of boxes around both, are at least `eps`. Float16 stays float16.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import mmdet
    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 0.0001, 0.0001]], np.float32)
    >>> mmdet.bbox_overlaps(boxes, boxes, is_aligned=True).round(3)
    array([1.  , 0.01], dtype=float32)
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {described(mode)}")
    bboxes1, bboxes2 = as_array(bboxes1), as_array(bboxes2)
    for name, boxes in (("bboxes1", bboxes1), ("bboxes2", bboxes2)):
        if len(boxes.shape) < 2 or (boxes.shape[-1] != 4 and 0 not in boxes.shape[:-1]):
            raise ValueError(f"{name} must have the shape (..., N, 4), got {tuple(boxes.shape)}")
    if bboxes1.shape[:-2] != bboxes2.shape[:-2]:
        raise ValueError(
            "bboxes1 and bboxes2 must have the same batches, got "
            f"{tuple(bboxes1.shape[:-2])} and {tuple(bboxes2.shape[:-2])}"
        )
    if is_aligned and bboxes1.shape[-2] != bboxes2.shape[-2]:
        raise ValueError(
            "is_aligned=True needs as many bboxes1 as bboxes2, got "
            f"{bboxes1.shape[-2]} and {bboxes2.shape[-2]}"
        )
    name = dtype_name(bboxes1) if is_float(bboxes1) else "float32"
    wide1, wide2 = (
        as_dtype(boxes, "float64" if dtype_name(boxes) == "float64" else "float32")
        for boxes in (bboxes1, bboxes2)
    )
    shape = (*bboxes1.shape[:-1], *([] if is_aligned else [bboxes2.shape[-2]]))
    if 0 in shape:
        nothing = wide1.new_zeros(shape) if is_tensor(wide1) else np.zeros(shape)
        return as_dtype(nothing, name)
    scores = fastiou.box_iou(wide1, wide2, metric=mode, aligned=is_aligned)
    areas1, areas2 = fastiou.box_area(wide1), fastiou.box_area(wide2)
    small1, small2 = areas1 < eps, areas2 < eps
    if mode == "iof":
        small2 = areas2 == areas2
    if small1.any() and small2.any():
        # No other pair has a union of less than `eps`.
        if is_aligned:
            one, other, chosen = wide1, wide2, small1 & small2
            areas = areas1 if mode == "iof" else areas1 + areas2
        else:
            one, other = wide1[..., :, None, :], wide2[..., None, :, :]
            chosen = small1[..., :, None] & small2[..., None, :]
            areas = areas1[..., :, None] + (0 if mode == "iof" else areas2[..., None, :])
        shared = fastiou.box_iou(wide1, wide2, metric="intersection", aligned=is_aligned)
        library = library_of(wide1)
        least = library.asarray(eps, dtype=scores.dtype)
        unions = library.maximum(areas + 0 * shared - (0 if mode == "iof" else shared), least)
        raised = shared / unions
        if mode == "giou":
            sides = library.maximum(one[..., 2:], other[..., 2:]) - library.minimum(
                one[..., :2], other[..., :2]
            )
            hulls = library.maximum((sides[..., 0] * sides[..., 1]).clip(0), least)
            raised = raised - (hulls - unions) / hulls
        scores = library.where(chosen, raised, scores)
    return as_dtype(scores, name)


class BboxOverlaps2D:
    """`bbox_overlaps` as an object, of boxes (N, 4), or (N, 5) with scores that do not count.

    With ``dtype="fp16"`` boxes are divided by `scale`, and rounded to float16.
    """

    def __init__(self, scale: float = 1.0, dtype: str | None = None) -> None:
        self.scale = scale
        self.dtype = dtype

    def __call__(
        self, bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False
    ) -> Any:
        """The overlaps of boxes; on the CPU float32 for float16."""
        both = []
        for name, boxes in (("bboxes1", bboxes1), ("bboxes2", bboxes2)):
            array = as_array(getattr(boxes, "tensor", boxes))
            if array.shape[-1] not in (0, 4, 5):
                raise ValueError(
                    f"{name} must have 4 or 5 numbers in a row, got {tuple(array.shape)}"
                )
            own = array[..., :4]
            both.append(as_dtype(own / self.scale, "float16") if self.dtype == "fp16" else own)
        overlaps = bbox_overlaps(both[0], both[1], mode, is_aligned)
        if self.dtype == "fp16" and not getattr(overlaps, "is_cuda", False):
            return as_dtype(overlaps, "float32")
        return overlaps

    def __repr__(self) -> str:
        return f"{type(self).__name__}(scale={self.scale}, dtype={self.dtype})"


def evaluation_bbox_overlaps(
    bboxes1: Any,
    bboxes2: Any,
    mode: str = "iou",
    eps: float = 1e-6,
    use_legacy_coordinate: bool = False,
) -> Array:
    """Overlaps (N, M) of arrays, float32: `bbox_overlaps` of `mmdet.evaluation`.

    With `use_legacy_coordinate` the last pixels belong to boxes. Scores in a fifth column do not
    count.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat import mmdet
    >>> boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 4]])
    >>> mmdet.evaluation_bbox_overlaps(boxes[:1], boxes, use_legacy_coordinate=True)
    array([[1. , 0.5]], dtype=float32)
    """
    if mode not in ("iou", "iof"):
        raise ValueError(f"mode must be iou or iof, got {described(mode)}")
    last = np.array([0, 0, 1, 1], np.float32) * bool(use_legacy_coordinate)
    both = []
    for name, boxes in (("bboxes1", bboxes1), ("bboxes2", bboxes2)):
        array = np.asarray(boxes, np.float32)
        if array.size and (array.ndim != 2 or array.shape[1] not in (4, 5)):
            raise ValueError(f"{name} must have the shape (N, 4) or (N, 5), got {array.shape}")
        both.append((array[:, :4] if array.size else array.reshape(0, 4)) + last)
    overlaps: Array = bbox_overlaps(both[0], both[1], mode, eps=eps)
    return overlaps
