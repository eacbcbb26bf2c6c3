"""What goes with boxes and masks: areas, formats, and bounding boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastiou.arrays.checks import check_choice
from fastiou.arrays.inputs import hand_back, result_dtype
from fastiou.cpu.dense import dense_kernels
from fastiou.geometries.masks.mask_set import read_masks
from fastiou.geometries.rotated import ANGLES, with_angles_in
from fastiou.geometries.table import FORMATS, convert_members, geometry_of
from fastiou.geometry import unmagnify
from fastiou.metrics import METRICS
from fastiou.runtime import steps, threads
from fastiou.tables.box_table import BoxTable
from fastiou.tables.opened import USUAL, opened, opened_masks

__all__ = ["box_area", "box_convert", "masks_to_boxes"]

#: The row of rotated boxes.
ROTATED = FORMATS["cxcywhr"]


def box_area(boxes: Any, fmt: str = USUAL) -> Any:
    """Area of every box; of 3-D boxes, the volume.

    Parameters
    ----------
    boxes : array_like, shape (..., N, numbers of the format)
        Boxes of any kind, as in `box_iou`.
    fmt
        What the numbers are, as in `box_iou`.

    Returns
    -------
    array, shape (..., N)
        float32 for float16 and float32, else float64, in squared units of the input, or cubed ones.
        An inverted box has area 0, a box with a NaN has area NaN.

    Raises
    ------
    TypeError, ValueError
        As `box_iou`.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.box_area([[0, 0, 2, 3], [5, 5, 4, 9]])
    array([6., 0.])
    """
    boxes, _, fmt, *_ = opened(("boxes", ""), boxes, None, fmt, by_keys=False, boxes_only=True)
    geometry = geometry_of(fmt)
    given = geometry.read("boxes", boxes, fmt, batches=True)
    metric = METRICS["intersection"]
    columns, _ = geometry.prepare(given, given, metric)
    # The columns hold a stand-in for the area 0; the area that a box shares with itself is exact.
    count = math.prod(given.array.shape[:-1])
    areas = np.empty(count, result_dtype(given))
    kernel = dense_kernels(geometry, metric).aligned
    for first, last, work in steps.ranges(count, geometry.cost(columns)):
        threads.run(kernel, work, *columns[:2], *columns[:2], areas, first, last)
    unmagnify(areas, columns.exponent)
    if columns.missing is not None:
        areas[columns.missing] = np.nan
    return hand_back(areas.reshape(given.array.shape[:-1]), given)


def box_convert(boxes: Any, in_fmt: str, out_fmt: str, *, angles: str | None = None) -> Any:
    """Convert boxes from one format to another.

    Parameters
    ----------
    boxes : array_like, shape (..., N, numbers of in_fmt)
        Boxes of any kind, as in `box_iou`. Of a `BoxTable` the result is one,
        too.
    in_fmt, out_fmt
        The formats: two of "xyxy", "xywh" and "cxcywh"; or, for rotated boxes, two of "cxcywhr",
        "cxcywhr-rad", "cxcywhr-cw", "cxcywhr-rad-cw" and "xywhr" (``docs/rotated-boxes.md``). All
        of these become corners, "xyxyxyxy". Corners of rectangles become rotated boxes. 3-D boxes
        are "xyzxyz" and "cxcyczwhd", which become those with yaw, "xyzwhdr" and "xyzwhdr-bottom".
    angles : {"le90", "le135", "oc"}, optional
        Write rotated boxes by the angles of a toolbox, as `out_fmt` has angles: the width is the
        longer side and the angle from -90 to less than 90 degrees ("le90"), or from -45 to less
        than 135 ("le135"); or it is above 0 up to 90 degrees, whichever side is longer ("oc", as
        OpenCV since 4.5.1). MMRotate has these names, and its angles in "cxcywhr-rad-cw".

    Returns
    -------
    array, shape (..., N, numbers of out_fmt)
        A new array of the dtype of the input; float64 for integers, since centres can be halves,
        and float32 for bfloat16. NaN stays NaN. Inverted boxes stay inverted; their corners are
        those of a box whose negative sides are 0.

    Raises
    ------
    TypeError, ValueError
        As `box_iou`; a quadrilateral that is no rectangle, by more than rounding, is to become a
        rotated box.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.box_convert([[10, 20, 30, 60]], "xyxy", "cxcywh")
    array([[20., 40., 20., 40.]])
    >>> fastiou.box_convert([[20, 40, 20, 40, 30]], "cxcywhr", "cxcywhr-cw")
    array([[ 20.,  40.,  20.,  40., -30.]])
    >>> fastiou.box_convert([[20, 40, 20, 40, 30]], "cxcywhr", "cxcywhr-cw", angles="le90")
    array([[20., 40., 40., 20., 60.]])
    >>> fastiou.box_convert([[20, 40, 20, 40, 90]], "cxcywhr", "xyxyxyxy")
    array([[ 0., 50.,  0., 30., 40., 30., 40., 50.]])
    """
    check_choice("in_fmt", in_fmt, FORMATS)
    check_choice("out_fmt", out_fmt, FORMATS)
    if angles is not None:
        check_choice("angles", angles, ANGLES)
        if out_fmt not in ROTATED.formats:
            raise ValueError(f"angles are for rotated boxes: out_fmt {out_fmt!r} has none of them")
    if isinstance(boxes, BoxTable):
        if boxes.fmt != in_fmt:
            raise ValueError(f"in_fmt must be {boxes.fmt!r}, as of the table, got {in_fmt!r}")
        table = boxes.convert(out_fmt)
        if angles is None:
            return table
        return table.changed(boxes=with_angles_in(table.boxes, out_fmt, angles))
    boxes, *_ = opened(("boxes", ""), boxes, None, in_fmt, by_keys=False, boxes_only=True)
    given = FORMATS[in_fmt].load().read("boxes", boxes, in_fmt, batches=True)
    converted = convert_members(given, out_fmt)
    if angles is not None:
        converted = with_angles_in(converted, out_fmt, angles)
    return hand_back(converted, given)


def masks_to_boxes(masks: Any) -> Any:
    """Bounding boxes as torchvision has them.

    Parameters
    ----------
    masks : Masks, array_like or list of dict
        Masks, as in `mask_iou`, or a table of masks.

    Returns
    -------
    array of float32, shape (N, 4)
        (left, top, right, bottom), the last two of the last pixel itself, so that a single pixel
        has right = left; zeros for an empty mask. `Masks.boxes` has them half-open.

    Raises
    ------
    TypeError, ValueError
        As `mask_iou`.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.masks_to_boxes([[[0, 1, 1], [0, 1, 0]]])
    array([[1., 0., 2., 1.]], dtype=float32)
    """
    masks, _ = opened_masks(("masks", ""), masks, None)
    given = read_masks("masks", masks)
    boxes = given.array.boxes.astype(np.float32)
    boxes[given.array.area > 0, 2:] -= 1
    return hand_back(boxes, given)
