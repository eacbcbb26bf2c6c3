"""The public interface: what is there, and that arguments are wherever they make sense."""

from __future__ import annotations

import inspect
import warnings

import pytest
from public_api_for_tests import SNAPSHOT, lines

import fastiou
from fastiou.runtime.renamed import renamed

FUNCTIONS = {
    name: list(inspect.signature(getattr(fastiou, name)).parameters)
    for name in fastiou.__all__
    if inspect.isfunction(getattr(fastiou, name))
}


def test_the_public_interface_is_as_written() -> None:
    """`python tests/public_api_for_tests.py` writes it anew; a change goes into the changelog."""
    assert list(lines()) == SNAPSHOT.read_text().splitlines()


# ---- the same arguments everywhere ---------------------------------------------------------------

TORCHVISION = "torchvision's function of this name, with its arguments"
ONE_PASS = "one pass over its input, at the speed of memory"
EVALUATES = "scores on the CPU what is matched on the way, and takes arrays of a GPU as any other"
LABELS = "label images have no kernels for GPUs; arrays of a GPU are taken, and results go back"
NO_SETS = "compares no two sets of boxes or masks"
IN_TARGET = "crowds come with the target"
OBJECTS = "label images and probabilities have no crowds"

DENSE = dict.fromkeys(
    ["generalized_box_iou", "distance_box_iou", "complete_box_iou", "batched_nms"], TORCHVISION
)
CONVERSIONS = [
    "box_area", "box_convert", "boxes_to_masks", "clip_boxes", "iou_grade", "labels_from_colors",
    "masks_to_boxes", "merge_masks", "remove_small_boxes",
]  # fmt: skip
PIXELS = [
    "confusion_matrix",
    "label_iou",
    "label_overlap",
    "mean_iou",
    "soft_iou",
    "thresholded_iou",
]
EVALUATIONS = [
    "average_precision", "evaluate_coco", "instance_matching", "panoptic_quality",
    "tracking_metrics",
]  # fmt: skip

#: Each argument, and why a function does not have it. All others must.
WITHOUT: dict[str, dict[str, str]] = {
    "progress": {
        **DENSE,
        **dict.fromkeys([*CONVERSIONS, *PIXELS], ONE_PASS),
        **dict.fromkeys(
            ["box_iou", "mask_iou", "polygon_iou"], "the result must fit in memory: seconds at most"
        ),
        **dict.fromkeys(
            ["tracking_metrics"],
            "a second for half a million detections; an evaluator takes one sequence at a time",
        ),
        "non_max_merge": "it is what nms takes and a pass over the pairs",
        "weighted_boxes_fusion": "of the boxes of an image",
        "read": "at the speed of the disk",
        "plot": "draws no more than can be seen",
        "show_config": "asks for nothing large",
    },
    "device": {
        **DENSE,
        **dict.fromkeys(CONVERSIONS, ONE_PASS),
        **dict.fromkeys(PIXELS, LABELS),
        **dict.fromkeys(EVALUATIONS, EVALUATES),
        "soft_nms": "each step needs the one before; nms(method=...) refuses 'cuda' likewise",
        **dict.fromkeys(
            ["non_max_merge", "weighted_boxes_fusion"],
            "each step needs the one before, as in soft_nms",
        ),
        "read": "a table is on the host",
        "plot": "matplotlib draws on the host",
        "show_config": "computes nothing",
    },
    "iscrowd": {
        **DENSE,
        **dict.fromkeys([*CONVERSIONS, "plot", "read", "show_config"], NO_SETS),
        **dict.fromkeys(PIXELS, OBJECTS),
        **dict.fromkeys(EVALUATIONS, IN_TARGET),
        **dict.fromkeys(
            ["nms", "non_max_merge", "soft_nms", "weighted_boxes_fusion"],
            "within one set none is the truth",
        ),
    },
}


@pytest.mark.parametrize("argument", WITHOUT)
def test_an_argument_is_wherever_it_makes_sense(argument: str) -> None:
    missing = {name for name, parameters in FUNCTIONS.items() if argument not in parameters}
    assert missing == set(WITHOUT[argument])


#: What the sets of a function are called, where it is not `a, b`; `target, pred` stand for truth.
NAMES = {
    "boxes1 boxes2": {
        "box_iou", "complete_box_iou", "distance_box_iou", "generalized_box_iou",
    },
    "masks1 masks2": {"mask_iou"},
    "polygons1 polygons2": {"polygon_iou"},
    "labels1 labels2": {"label_iou", "label_overlap"},
    "boxes scores": {"batched_nms", "weighted_boxes_fusion"},
    "a scores": {"nms", "non_max_merge", "soft_nms"},
    "a b": {"match", "pairs", "plot", "topk"},
    "target pred": {"confusion_matrix", "mean_iou", "instance_matching", "panoptic_quality"},
    # Named by those whose functions they continue.
    "inputs targets": {"soft_iou"},
    "outputs labels": {"thresholded_iou"},
    "preds target": {"average_precision"},
    "gt dt": {"evaluate_coco"},
    "gt tracks": {"tracking_metrics"},
}  # fmt: skip


def test_two_sets_are_called_alike() -> None:
    for names, functions in NAMES.items():
        for name in functions:
            assert FUNCTIONS[name][:2] == names.split(), name
    others = set(FUNCTIONS) - set().union(*NAMES.values())
    assert others == {*CONVERSIONS, "read", "show_config"}


# ---- names of before -----------------------------------------------------------------------------


def test_names_of_0_1_are_taken() -> None:
    evaluator = fastiou.InstanceEvaluator()
    for call in (
        lambda: fastiou.instance_matching(true=[[1]], pred=[[1]]),
        lambda: evaluator.update(true=[[1]], pred=[[1]]),
        lambda: fastiou.panoptic_quality(
            true=[[0]], pred=[[0]], true_segments=[], pred_segments=[]
        ),
    ):
        with pytest.warns(DeprecationWarning, match="is now called target"):
            call()


def test_old_names_of_arguments_work_and_warn() -> None:
    @renamed(true="target", found="pred")
    def score(target: int, pred: int = 0, *, scale: int = 1) -> int:
        return scale * (10 * target + pred)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(1, 2) == score(target=1, pred=2) == 12
    with pytest.warns(DeprecationWarning, match="argument true of .*score.. is now called target"):
        assert score(true=1, scale=2) == 20
    with pytest.warns(DeprecationWarning, match="is now called") as caught:
        assert score(true=1, found=3) == 13
    assert {warning.filename for warning in caught} == {__file__}
    assert len(caught) == 2
    with pytest.raises(TypeError, match="got target and true, which is its old name"):
        score(target=1, true=2)
    with pytest.raises(TypeError, match="multiple values for argument 'target'"), pytest.warns():
        score(1, true=2)
    assert list(inspect.signature(score).parameters) == ["target", "pred", "scale"]
