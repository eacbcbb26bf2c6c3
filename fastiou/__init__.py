"""How much boxes and masks overlap, and who matches whom, at the speed of the hardware.

Every public name is loaded when first used: `import fastiou` imports neither Numba nor SciPy.

The package is built in floors. Imports only go down::

    compat      the names of other libraries over these functions; nothing here imports it
    cli         the command
    dask        relations and evaluation on a cluster; not loaded by `import fastiou`
    blocks      what one task of a cluster does
    evaluation  scores of detectors, segmenters and trackers
    formats     files of boxes, masks and labels
    drawing     pictures, with matplotlib
    relations   the public functions: dense, pairs, topk, match, nms, soft_nms
    segmentation  label images, class maps, soft scores
    tables      boxes with scores, keys and ids: names of columns, which keys are groups
    search      which members may meet: groups and a grid
    geometries  boxes, masks: how members are read, prepared and measured
    arrays      any library's arrays in, and results back in kind
    cpu, cuda   relations as loops; they know no geometry, which comes as an argument
    geometry    what a geometry is
    parsing     text to columns, and packed PNG to numbers, in compiled loops
    runtime     compiling, threads, steps, memory
    metrics     the formulas

One call, ``pairs(a, b, metric="iou", fmt="xywh")``, goes through them like this:

1. `relations.pairs` asks `geometries.table` for the geometry of the format, and the metric's row.
2. `geometries.boxes` checks both arguments: each becomes an `arrays.inputs.Input`.
3. `search.search` has the geometry prepare `geometry.Columns` of both, plans a grid over the bounds
   of the second (`search.grid_plan`, `cpu.grid`), and puts both in its order: a `search.Search`.
4. `search.pair_lists` runs the kernel that `cpu.pairs` makes of geometry and metric. Each row walks
   over the slices of the grid that may reach it (`cpu.walk`), and scores them in chunks
   (`cpu.scoring`): ``metric.formula(*geometry.measures[metric.needs](member1, member2))``.
5. Pairs are first appended to a pool and copied to their rows afterwards. `arrays` hands the three
   columns back as arrays of the library that the arguments came from.

`docs/design/001-folders.md` tells what can be added, and where.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastiou.runtime.tbb import load_tbb
from fastiou.version import __version__

load_tbb()

if TYPE_CHECKING:
    from fastiou.config import show_config
    from fastiou.drawing import plot
    from fastiou.evaluation.coco_files import evaluate_coco
    from fastiou.evaluation.detection import DetectionEvaluator, average_precision
    from fastiou.evaluation.instances import (
        InstanceEvaluator,
        InstanceMatching,
        instance_matching,
    )
    from fastiou.evaluation.panoptic import PanopticEvaluator, PanopticQuality, panoptic_quality
    from fastiou.evaluation.tracking import TrackingEvaluator, tracking_metrics
    from fastiou.evaluation.tracking_result import TrackingMetrics
    from fastiou.formats.reading import read
    from fastiou.geometries.masks.mask_set import Masks
    from fastiou.geometries.polygons.polygon_set import Polygons
    from fastiou.relations.cleaning import clip_boxes, remove_small_boxes
    from fastiou.relations.conversions import box_area, box_convert, masks_to_boxes
    from fastiou.relations.dense import (
        box_iou,
        complete_box_iou,
        distance_box_iou,
        generalized_box_iou,
        mask_iou,
    )
    from fastiou.relations.fusion import Fused, weighted_boxes_fusion
    from fastiou.relations.index import Index
    from fastiou.relations.mask_sets import boxes_to_masks, merge_masks
    from fastiou.relations.match import Match, match
    from fastiou.relations.merging import Merged, non_max_merge
    from fastiou.relations.nms import nms
    from fastiou.relations.pairs import Pairs, pairs
    from fastiou.relations.polygon_scores import polygon_iou
    from fastiou.relations.soft_nms import SoftNMS, batched_nms, soft_nms
    from fastiou.relations.topk import TopK, topk
    from fastiou.segmentation.colors import labels_from_colors
    from fastiou.segmentation.confusion import MeanIoU, confusion_matrix, mean_iou
    from fastiou.segmentation.grades import iou_grade
    from fastiou.segmentation.labels import LabelOverlap, label_iou, label_overlap
    from fastiou.segmentation.soft import soft_iou, thresholded_iou
    from fastiou.tables.box_table import BoxTable

__all__ = [
    "BoxTable",
    "DetectionEvaluator",
    "Fused",
    "Index",
    "InstanceEvaluator",
    "InstanceMatching",
    "LabelOverlap",
    "Masks",
    "Match",
    "MeanIoU",
    "Merged",
    "Pairs",
    "PanopticEvaluator",
    "PanopticQuality",
    "Polygons",
    "SoftNMS",
    "TopK",
    "TrackingEvaluator",
    "TrackingMetrics",
    "__version__",
    "average_precision",
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "boxes_to_masks",
    "clip_boxes",
    "complete_box_iou",
    "confusion_matrix",
    "distance_box_iou",
    "evaluate_coco",
    "generalized_box_iou",
    "instance_matching",
    "iou_grade",
    "label_iou",
    "label_overlap",
    "labels_from_colors",
    "mask_iou",
    "masks_to_boxes",
    "match",
    "mean_iou",
    "merge_masks",
    "nms",
    "non_max_merge",
    "pairs",
    "panoptic_quality",
    "plot",
    "polygon_iou",
    "read",
    "remove_small_boxes",
    "show_config",
    "soft_iou",
    "soft_nms",
    "thresholded_iou",
    "topk",
    "tracking_metrics",
    "weighted_boxes_fusion",
]

_HOMES = {
    "BoxTable": "tables.box_table",
    "DetectionEvaluator": "evaluation.detection",
    "Fused": "relations.fusion",
    "Index": "relations.index",
    "InstanceEvaluator": "evaluation.instances",
    "InstanceMatching": "evaluation.instances",
    "LabelOverlap": "segmentation.labels",
    "Masks": "geometries.masks.mask_set",
    "Match": "relations.match",
    "MeanIoU": "segmentation.confusion",
    "Merged": "relations.merging",
    "Pairs": "relations.pairs",
    "PanopticEvaluator": "evaluation.panoptic",
    "PanopticQuality": "evaluation.panoptic",
    "Polygons": "geometries.polygons.polygon_set",
    "SoftNMS": "relations.soft_nms",
    "TopK": "relations.topk",
    "average_precision": "evaluation.detection",
    "TrackingEvaluator": "evaluation.tracking",
    "TrackingMetrics": "evaluation.tracking_result",
    "batched_nms": "relations.soft_nms",
    "box_area": "relations.conversions",
    "box_convert": "relations.conversions",
    "box_iou": "relations.dense",
    "boxes_to_masks": "relations.mask_sets",
    "clip_boxes": "relations.cleaning",
    "complete_box_iou": "relations.dense",
    "confusion_matrix": "segmentation.confusion",
    "distance_box_iou": "relations.dense",
    "evaluate_coco": "evaluation.coco_files",
    "generalized_box_iou": "relations.dense",
    "instance_matching": "evaluation.instances",
    "iou_grade": "segmentation.grades",
    "label_iou": "segmentation.labels",
    "label_overlap": "segmentation.labels",
    "labels_from_colors": "segmentation.colors",
    "mask_iou": "relations.dense",
    "masks_to_boxes": "relations.conversions",
    "match": "relations.match",
    "mean_iou": "segmentation.confusion",
    "merge_masks": "relations.mask_sets",
    "nms": "relations.nms",
    "non_max_merge": "relations.merging",
    "pairs": "relations.pairs",
    "panoptic_quality": "evaluation.panoptic",
    "plot": "drawing",
    "polygon_iou": "relations.polygon_scores",
    "read": "formats.reading",
    "remove_small_boxes": "relations.cleaning",
    "show_config": "config",
    "soft_iou": "segmentation.soft",
    "soft_nms": "relations.soft_nms",
    "thresholded_iou": "segmentation.soft",
    "topk": "relations.topk",
    "tracking_metrics": "evaluation.tracking",
    "weighted_boxes_fusion": "relations.fusion",
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
