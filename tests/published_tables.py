"""Numeric test tables that other detection libraries publish for box overlap metrics.

Each :class:`PublishedCase` states as plain data what one library's own test (or, where
``source`` says so, its documented example) feeds in, what it expects and how closely.
Only numbers are recorded here; ``source`` names the project and the file they come from.

Conventions of the sources, and how they map onto ``(x1, y1, x2, y2)`` boxes:

* torchvision, detectron2, mmdetection and mmpose use ``(x1, y1, x2, y2)`` as it is.
* chainercv, keras-cv and keras use ``(y1, x1, y2, x2)``. Swapping the names of the two axes
  changes none of these metrics, so their coordinates are kept in the published order.
* mmdetection's ``iof`` divides the intersection by the area of the first argument's box.
* detectron2's ``ioa`` divides it by the area of the second argument's box. It is recorded as
  ``iof`` with the arguments swapped and the expected matrix transposed.
* A loss is recorded as the metric behind it: an expectation ``L`` of ``1 - metric`` is
  written ``1.0 - L`` so that the published number stays visible.

Left out, because no plain box metric of two ``(N, 4)`` arrays expresses them: inputs drawn at
random (only shapes and ranges are expected of those), batched inputs that repeat a table given
here, malformed shapes that must raise, rotated boxes and masked entries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PublishedCase:
    """One published expectation for an overlap metric.

    Attributes:
        source: Project and file that publish the numbers.
        name: Short name of the case, the same for every dtype it runs over.
        metric: ``"iou"``, ``"iof"``, ``"giou"``, ``"diou"`` or ``"ciou"``.
        fmt: Box format, ``"xyxy"``, ``"xywh"`` or ``"cxcywh"``.
        boxes1: First boxes, a tuple of 4-tuples, empty for no boxes.
        boxes2: Second boxes, likewise.
        expected: Nested tuples of shape ``(N, M)``, or ``(N,)`` if ``aligned``; a single
            number if ``reduction`` is not ``"none"``.
        aligned: Whether box ``i`` is compared with box ``i`` only.
        dtype: Name of the NumPy dtype of the boxes.
        rtol: Relative tolerance of the publishing test.
        atol: Absolute tolerance of the publishing test.
        reduction: ``"none"``, or ``"sum"`` or ``"mean"`` where only that number is published.
    """

    source: str
    name: str
    metric: str
    fmt: str
    boxes1: tuple[tuple[float, ...], ...]
    boxes2: tuple[tuple[float, ...], ...]
    expected: Any
    aligned: bool
    dtype: str
    rtol: float
    atol: float
    reduction: str = "none"


# --- torchvision, test_ops.py ---------------------------------------------------------------

_TORCHVISION = "torchvision test_ops.py"

_TV_INT_BOXES1 = ((0, 0, 100, 100), (0, 0, 50, 50), (200, 200, 300, 300), (0, 0, 25, 25))
_TV_INT_BOXES2 = ((0, 0, 100, 100), (0, 0, 50, 50), (200, 200, 300, 300))
_TV_FLOAT_BOXES = (
    (285.3538, 185.5758, 1193.5110, 851.4551),
    (285.1472, 188.7374, 1192.4984, 851.0669),
    (279.2440, 197.9812, 1189.4746, 849.2019),
)

# The distance and the complete IoU share one integer table: every integer box is a square, so
# the aspect ratio term is zero.
_TV_INT_DISTANCE = (
    (1.0000, 0.1875, -0.4444),
    (0.1875, 1.0000, -0.5625),
    (-0.4444, -0.5625, 1.0000),
    (-0.0781, 0.1875, -0.6267),
)
_TV_INT_EXPECTED = {
    "iou": ((1.0, 0.25, 0.0), (0.25, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0625, 0.25, 0.0)),
    "giou": (
        (1.0, 0.25, -0.7778),
        (0.25, 1.0, -0.8611),
        (-0.7778, -0.8611, 1.0),
        (0.0625, 0.25, -0.8819),
    ),
    "diou": _TV_INT_DISTANCE,
    "ciou": _TV_INT_DISTANCE,
}

# The four metrics share one float table, which is rounded more coarsely than they differ.
_TV_FLOAT_EXPECTED = ((1.0, 0.9933, 0.9673), (0.9933, 1.0, 0.9737), (0.9673, 0.9737, 1.0))

# Tolerances are theirs, per dtype group, with rtol=0 given explicitly.
_TV_INT_CASES = tuple(
    PublishedCase(
        source=_TORCHVISION,
        name=f"{metric}-int-boxes",
        metric=metric,
        fmt="xyxy",
        boxes1=_TV_INT_BOXES1,
        boxes2=_TV_INT_BOXES2,
        expected=expected,
        aligned=False,
        dtype=dtype,
        rtol=0.0,
        atol=1e-4,
    )
    for metric, expected in _TV_INT_EXPECTED.items()
    for dtype in ("int16", "int32", "int64")
)
_TV_FLOAT_CASES = tuple(
    PublishedCase(
        source=_TORCHVISION,
        name=f"{metric}-float-boxes",
        metric=metric,
        fmt="xyxy",
        boxes1=_TV_FLOAT_BOXES,
        boxes2=_TV_FLOAT_BOXES,
        expected=_TV_FLOAT_EXPECTED,
        aligned=False,
        dtype=dtype,
        rtol=0.0,
        atol=atol,
    )
    for metric in ("iou", "giou", "diou", "ciou")
    for dtype, atol in (("float16", 0.002), ("float32", 1e-3), ("float64", 1e-3))
)

# The loss tests compare single pairs; their pairs are collected into one aligned table.
_TV_LARGE = (-1, -1, 1, 1)
_TV_QUARTER = (0, 0, 1, 1)
_TV_ABOVE = (0, 1, 1, 2)
_TV_DIAGONAL = (1, 1, 2, 2)

_TV_GIOU_PAIRS = (
    (_TV_LARGE, _TV_LARGE, _TV_QUARTER, _TV_QUARTER),
    (_TV_LARGE, _TV_QUARTER, _TV_ABOVE, _TV_DIAGONAL),
    (1.0 - 0.0, 1.0 - 0.75, 1.0 - 1.0, 1.0 - 1.5),
)
_TV_DISTANCE_PAIRS = (
    (_TV_LARGE, _TV_LARGE, _TV_LARGE, _TV_LARGE),
    (_TV_LARGE, _TV_QUARTER, _TV_ABOVE, _TV_DIAGONAL),
    (1.0 - 0.0, 1.0 - 0.8125, 1.0 - 1.1923, 1.0 - 1.2500),
)
_TV_LOSS_PAIRS = {
    "giou": _TV_GIOU_PAIRS,
    "diou": _TV_DISTANCE_PAIRS,
    "ciou": _TV_DISTANCE_PAIRS,
}

# Sum and mean of the loss over the two pairs (quarter, above) and (quarter, diagonal); a loss
# sum of L over two pairs is a metric sum of 2 - L.
_TV_LOSS_REDUCTIONS = {
    "giou": (("sum", 2.0 - 2.5), ("mean", 1.0 - 1.25)),
    "diou": (("sum", 2.0 - 2.4500), ("mean", 1.0 - 1.2250)),
    "ciou": (("sum", 2.0 - 2.4500), ("mean", 1.0 - 1.2250)),
}

# The loss tests pass no tolerance. The losses come out as float32, half precision included, and
# torch.testing.assert_close then uses its float32 defaults.
_TORCH_FLOAT32_RTOL = 1.3e-6
_TORCH_FLOAT32_ATOL = 1e-5
_TV_LOSS_DTYPES = ("float32", "float16")

_TV_LOSS_CASES = (
    *(
        PublishedCase(
            source=_TORCHVISION,
            name=f"{metric}-loss-pairs",
            metric=metric,
            fmt="xyxy",
            boxes1=boxes1,
            boxes2=boxes2,
            expected=expected,
            aligned=True,
            dtype=dtype,
            rtol=_TORCH_FLOAT32_RTOL,
            atol=_TORCH_FLOAT32_ATOL,
        )
        for metric, (boxes1, boxes2, expected) in _TV_LOSS_PAIRS.items()
        for dtype in _TV_LOSS_DTYPES
    ),
    *(
        PublishedCase(
            source=_TORCHVISION,
            name=f"{metric}-loss-{reduction}",
            metric=metric,
            fmt="xyxy",
            boxes1=(_TV_QUARTER, _TV_QUARTER),
            boxes2=(_TV_ABOVE, _TV_DIAGONAL),
            expected=expected,
            aligned=True,
            dtype=dtype,
            rtol=_TORCH_FLOAT32_RTOL,
            atol=_TORCH_FLOAT32_ATOL,
            reduction=reduction,
        )
        for metric, reductions in _TV_LOSS_REDUCTIONS.items()
        for reduction, expected in reductions
        for dtype in _TV_LOSS_DTYPES
    ),
    # Two empty inputs: an unreduced loss without elements. The mean loss of 0.0 that is also
    # expected is a rule of the loss reduction, not of the metric.
    *(
        PublishedCase(
            source=_TORCHVISION,
            name=f"{metric}-loss-empty",
            metric=metric,
            fmt="xyxy",
            boxes1=(),
            boxes2=(),
            expected=(),
            aligned=True,
            dtype=dtype,
            rtol=_TORCH_FLOAT32_RTOL,
            atol=_TORCH_FLOAT32_ATOL,
        )
        for metric in ("giou", "diou", "ciou")
        for dtype in _TV_LOSS_DTYPES
    ),
)


# --- detectron2, test_boxes.py --------------------------------------------------------------

_DETECTRON2 = "detectron2 test_boxes.py"

_D2_BOXES1 = ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0))
_D2_BOXES2 = (
    (0.0, 0.0, 1.0, 1.0),
    (0.0, 0.0, 0.5, 1.0),
    (0.0, 0.0, 1.0, 0.5),
    (0.0, 0.0, 0.5, 0.5),
    (0.5, 0.5, 1.0, 1.0),
    (0.5, 0.5, 1.5, 1.5),
)
_D2_IOU_ROW = (1.0, 0.5, 0.5, 0.25, 0.25, 0.25 / (2 - 0.25))
_D2_IOA_ROW = (1.0, 1.0, 1.0, 1.0, 1.0, 0.25)

# Compared with torch.allclose, whose defaults are rtol=1e-5 and atol=1e-8.
_DETECTRON2_CASES = (
    PublishedCase(
        source=_DETECTRON2,
        name="pairwise-iou",
        metric="iou",
        fmt="xyxy",
        boxes1=_D2_BOXES1,
        boxes2=_D2_BOXES2,
        expected=(_D2_IOU_ROW, _D2_IOU_ROW),
        aligned=False,
        dtype="float32",
        rtol=1e-5,
        atol=1e-8,
    ),
    PublishedCase(
        source=_DETECTRON2,
        name="pairwise-ioa-swapped",
        metric="iof",
        fmt="xyxy",
        boxes1=_D2_BOXES2,
        boxes2=_D2_BOXES1,
        expected=tuple((value, value) for value in _D2_IOA_ROW),
        aligned=False,
        dtype="float32",
        rtol=1e-5,
        atol=1e-8,
    ),
)


# --- mmdetection, test_iou2d_calculator.py and the docstring of bbox_overlaps ---------------

_MMDET_TEST = "mmdetection test_iou2d_calculator.py"
_MMDET_DOC = "mmdetection bbox_overlaps docstring"
_MMPOSE_TEST = "mmpose test_bbox_overlaps.py"

_MM_BOXES1 = ((0, 0, 10, 10), (10, 10, 20, 20), (32, 32, 38, 42))
_MM_BOXES2 = ((0, 0, 10, 20), (0, 10, 10, 19), (10, 10, 20, 20))
_MM_IOU = ((0.5, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0))
_MM_IOF = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0))
_MM_GIOU = (
    (0.5000, 0.0000, -0.5000),
    (-0.2500, -0.0500, 1.0000),
    (-0.8371, -0.8766, -0.8214),
)

# mmdetection's own test publishes one table and one empty input. Of its "iof" mode it expects
# shapes and a range only, and it has no table for half precision.
_MMDET_CASES = (
    # The test rounds the result to four decimals and then allows rtol=0, atol=1e-7. On the
    # unrounded result that is half a unit of the fourth decimal.
    PublishedCase(
        source=_MMDET_TEST,
        name="giou-aligned",
        metric="giou",
        fmt="xyxy",
        boxes1=_MM_BOXES1,
        boxes2=_MM_BOXES2,
        expected=(0.5000, -0.0500, -0.8214),
        aligned=True,
        dtype="float32",
        rtol=0.0,
        atol=5e-5,
    ),
    PublishedCase(
        source=_MMDET_TEST,
        name="giou-aligned-empty",
        metric="giou",
        fmt="xyxy",
        boxes1=(),
        boxes2=(),
        expected=(),
        aligned=True,
        dtype="float32",
        rtol=0.0,
        atol=0.0,
    ),
    # The 2.x examples print the matrices to four decimals, which leaves half a unit of the fourth.
    *(
        PublishedCase(
            source=_MMDET_DOC,
            name=f"{metric}-pairwise",
            metric=metric,
            fmt="xyxy",
            boxes1=_MM_BOXES1,
            boxes2=_MM_BOXES2,
            expected=expected,
            aligned=False,
            dtype="float32",
            rtol=0.0,
            atol=5e-5,
        )
        for metric, expected in (("iou", _MM_IOU), ("giou", _MM_GIOU))
    ),
    # Shapes (0, 1), (1, 0) and (0, 0).
    *(
        PublishedCase(
            source=_MMDET_DOC,
            name=f"iou-{len(boxes1)}-by-{len(boxes2)}",
            metric="iou",
            fmt="xyxy",
            boxes1=boxes1,
            boxes2=boxes2,
            expected=expected,
            aligned=False,
            dtype="float32",
            rtol=0.0,
            atol=0.0,
        )
        for boxes1, boxes2, expected in (
            ((), ((0, 0, 10, 9),), ()),
            (((0, 0, 10, 9),), (), ((),)),
            ((), (), ()),
        )
    ),
)

# mmpose carries the same function and tests the whole matrices, "iof" included.
_MMPOSE_CASES = tuple(
    PublishedCase(
        source=_MMPOSE_TEST,
        name=f"{metric}-pairwise",
        metric=metric,
        fmt="xyxy",
        boxes1=_MM_BOXES1,
        boxes2=_MM_BOXES2,
        expected=expected,
        aligned=False,
        dtype="float32",
        rtol=1e-4,
        atol=1e-4,
    )
    for metric, expected in (("iou", _MM_IOU), ("iof", _MM_IOF), ("giou", _MM_GIOU))
)


# --- chainercv, test_bbox_iou.py ------------------------------------------------------------

_CHAINERCV = "chainercv test_bbox_iou.py"

_CCV_ONE = ((0, 0, 8, 8),)
_CCV_THREE = ((3, 5, 10, 12), (9, 10, 11, 12), (0, 0, 8, 8))
_CCV_VALUES = ((5 * 3) / (8 * 8 + 7 * 7 - 5 * 3), 0.0, 1.0)

# Compared with numpy.testing.assert_equal in float32, that is, without any tolerance.
_CHAINERCV_CASES = tuple(
    PublishedCase(
        source=_CHAINERCV,
        name=name,
        metric="iou",
        fmt="xyxy",
        boxes1=boxes1,
        boxes2=boxes2,
        expected=expected,
        aligned=False,
        dtype="float32",
        rtol=0.0,
        atol=0.0,
    )
    for name, boxes1, boxes2, expected in (
        ("iou-1-by-3", _CCV_ONE, _CCV_THREE, (_CCV_VALUES,)),
        ("iou-3-by-1", _CCV_THREE, _CCV_ONE, tuple((value,) for value in _CCV_VALUES)),
        ("iou-0-by-1", (), ((0, 0, 1, 1),), ()),
    )
)


# --- keras-cv, iou_test.py, giou_loss_test.py and iou_loss_test.py --------------------------

_KERAS_CV_IOU = "keras-cv iou_test.py"
_KERAS_CV_GIOU_LOSS = "keras-cv giou_loss_test.py"
_KERAS_CV_IOU_LOSS = "keras-cv iou_loss_test.py"

_KCV_IOU = 0.96097656633
_KCV_BOX = (100, 101, 200, 201)
_KCV_BOX_OFF_BY_ONE = (101, 102, 201, 202)
_KCV_TRUE = (_KCV_BOX, (0, 2, 1, 3), (1300, 1400, 1500, 1401))
_KCV_PRED = (_KCV_BOX_OFF_BY_ONE, (0, 2, 1, 3), (1000, 1400, 1200, 1401))
_KCV_TABLE = ((_KCV_IOU, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0))

# The losses take (x, y, width, height), so the third box pair is well formed there.
_KCV_LOSS_TRUE = ((0, 0, 1, 1), (0, 0, 2, 3), (4, 5, 3, 6), (2, 2, 3, 3))
_KCV_LOSS_PRED = ((0, 0, 5, 6), (0, 0, 7, 3), (4, 5, 5, 6), (2, 1, 3, 3))

# assertAllClose defaults to rtol=1e-6 and atol=1e-6, both in keras-cv and in TensorFlow. The
# iou test now builds its boxes as integers; earlier revisions built them as float32 and held
# the single pair to seven decimals (assertAlmostEqual), which is half a unit of the seventh.
_KERAS_CV_CASES = (
    *(
        PublishedCase(
            source=_KERAS_CV_IOU,
            name="iou-single",
            metric="iou",
            fmt="xyxy",
            boxes1=(_KCV_BOX,),
            boxes2=(_KCV_BOX_OFF_BY_ONE,),
            expected=((_KCV_IOU,),),
            aligned=False,
            dtype=dtype,
            rtol=rtol,
            atol=atol,
        )
        for dtype, rtol, atol in (("int64", 1e-6, 1e-6), ("float32", 0.0, 5e-8))
    ),
    *(
        PublishedCase(
            source=_KERAS_CV_IOU,
            name="iou-table",
            metric="iou",
            fmt="xyxy",
            boxes1=_KCV_TRUE,
            boxes2=_KCV_PRED,
            expected=_KCV_TABLE,
            aligned=False,
            dtype=dtype,
            rtol=1e-6,
            atol=1e-6,
        )
        for dtype in ("int64", "float32")
    ),
    PublishedCase(
        source=_KERAS_CV_GIOU_LOSS,
        name="giou-loss-mean",
        metric="giou",
        fmt="xywh",
        boxes1=_KCV_LOSS_TRUE,
        boxes2=_KCV_LOSS_PRED,
        expected=1.0 - 0.6452381,
        aligned=True,
        dtype="float32",
        rtol=1e-6,
        atol=1e-6,
        reduction="mean",
    ),
    # The loss is minus the logarithm of the mean IoU. The 1e-6 absolute and relative that are
    # allowed on a loss near one come to 2e-6 relative on the mean IoU.
    PublishedCase(
        source=_KERAS_CV_IOU_LOSS,
        name="iou-loss-mean",
        metric="iou",
        fmt="xywh",
        boxes1=_KCV_LOSS_TRUE,
        boxes2=_KCV_LOSS_PRED,
        expected=math.exp(-1.0363084),
        aligned=True,
        dtype="float32",
        rtol=2e-6,
        atol=0.0,
        reduction="mean",
    ),
    # Left out: ciou_loss_test.py (mean loss 1.03202), as it reads the box (4, 5, 3, 6) as xyxy,
    # which is inverted, and weighs the aspect ratio by (4 / pi^2)^2 instead of 4 / pi^2.
)


# --- keras, bounding_boxes/iou_test.py, where keras-cv's box functions moved to -------------

_KERAS = "keras iou_test.py"

# keras-cv itself publishes no table for compute_ciou. The boxes compared here share their
# aspect ratio (all are squares). assertAllClose again defaults to rtol=1e-6 and atol=1e-6.
_KERAS_CASES = (
    PublishedCase(
        source=_KERAS,
        name="ciou-single",
        metric="ciou",
        fmt="xyxy",
        boxes1=(_KCV_BOX,),
        boxes2=(_KCV_BOX_OFF_BY_ONE,),
        expected=(0.96087853672,),
        aligned=True,
        dtype="int64",
        rtol=1e-6,
        atol=1e-6,
    ),
    PublishedCase(
        source=_KERAS,
        name="ciou-pairs",
        metric="ciou",
        fmt="xyxy",
        boxes1=(_KCV_BOX, (1000, 1000, 1500, 1500)),
        boxes2=((150, 150, 250, 250), (2000, 2000, 2500, 2500)),
        expected=(0.036492417, -0.44444444435),
        aligned=True,
        dtype="int64",
        rtol=1e-6,
        atol=1e-6,
    ),
)


CASES: tuple[PublishedCase, ...] = (
    *_TV_INT_CASES,
    *_TV_FLOAT_CASES,
    *_TV_LOSS_CASES,
    *_DETECTRON2_CASES,
    *_MMDET_CASES,
    *_MMPOSE_CASES,
    *_CHAINERCV_CASES,
    *_KERAS_CV_CASES,
    *_KERAS_CASES,
)
