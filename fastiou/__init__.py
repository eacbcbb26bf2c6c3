"""How much boxes overlap, and who matches whom, at the speed of the hardware.

Every public name is loaded when first used: `import fastiou` imports neither Numba nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastiou.assignment import Match, match
    from fastiou.boxes import (
        box_area,
        box_convert,
        box_iou,
        complete_box_iou,
        distance_box_iou,
        generalized_box_iou,
    )
    from fastiou.config import show_config
    from fastiou.masks import Masks, mask_iou, masks_to_boxes
    from fastiou.matching import Pairs, TopK, pairs, topk
    from fastiou.segmentation import (
        LabelOverlap,
        MeanIoU,
        confusion_matrix,
        iou_grade,
        label_iou,
        label_overlap,
        mean_iou,
        soft_iou,
        thresholded_iou,
    )
    from fastiou.suppression import batched_nms, nms

__version__ = "0.1.0"

__all__ = [
    "LabelOverlap",
    "Masks",
    "Match",
    "MeanIoU",
    "Pairs",
    "TopK",
    "__version__",
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "complete_box_iou",
    "confusion_matrix",
    "distance_box_iou",
    "generalized_box_iou",
    "iou_grade",
    "label_iou",
    "label_overlap",
    "mask_iou",
    "masks_to_boxes",
    "match",
    "mean_iou",
    "nms",
    "pairs",
    "show_config",
    "soft_iou",
    "thresholded_iou",
    "topk",
]

_HOMES = {
    "LabelOverlap": "segmentation",
    "Masks": "masks",
    "Match": "assignment",
    "MeanIoU": "segmentation",
    "Pairs": "matching",
    "TopK": "matching",
    "batched_nms": "suppression",
    "box_area": "boxes",
    "box_convert": "boxes",
    "box_iou": "boxes",
    "complete_box_iou": "boxes",
    "confusion_matrix": "segmentation",
    "distance_box_iou": "boxes",
    "generalized_box_iou": "boxes",
    "iou_grade": "segmentation",
    "label_iou": "segmentation",
    "label_overlap": "segmentation",
    "mask_iou": "masks",
    "masks_to_boxes": "masks",
    "match": "assignment",
    "mean_iou": "segmentation",
    "nms": "suppression",
    "pairs": "matching",
    "show_config": "config",
    "soft_iou": "segmentation",
    "thresholded_iou": "segmentation",
    "topk": "matching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fastiou' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"fastiou.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    special = [name for name in globals() if name.startswith("__")]
    return sorted({*special, *__all__})
