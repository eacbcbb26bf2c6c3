"""IoU of arrays of values: probabilities, and batches of binary masks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastiou.arrays.checks import axis_numbers, check_one_shape, finite_number
from fastiou.arrays.inputs import (
    Input,
    check_one_library,
    flat_elements,
    hand_back,
    mask_batch,
    value_array,
)
from fastiou.runtime import chunks, steps, threads
from fastiou.segmentation.soft_kernels import BLOCK, STRIP, sums
from fastiou.typing import Array

__all__ = ["soft_iou", "thresholded_iou"]


#: Work of adding one element of either array, in scores of boxes (see `threads.run`).
VALUE_WORK = 2


# ---- soft IoU ----------------------------------------------------------------------------------


def soft_iou(inputs: Any, targets: Any, *, smooth: float = 1e-6, axis: Any = None) -> Any:
    """IoU of two arrays of values, such as probabilities and a mask.

    With Σ over the elements, the intersection is Σ x·y and the union Σ (x + y) - Σ x·y; the result
    is (intersection + smooth) / (union + smooth).

    Parameters
    ----------
    inputs, targets : array_like
        Arrays of one shape, of any real dtype and memory layout: NumPy arrays, PyTorch tensors,
        other arrays that speak DLPack, or lists. From 0 to 1 the result lies there, too.
    smooth : float
        Added to intersection and union, so that two empty masks score 1. With 0 they score 0.
    axis : int or tuple of int, optional
        Axes to sum over; all if None. The others remain.

    Returns
    -------
    float64, or array of float64 without the axes summed over
        An array of the library that the inputs came from. Sums are made in float64, whatever the
        dtype, and are exact for integers as long as they stay below 2⁵³. A NaN gives NaN.

    Raises
    ------
    TypeError
        Not real numbers; a tensor that requires grad; two array libraries.
    ValueError
        Two shapes, axes that are none, a negative `smooth`.

    Examples
    --------
    >>> import fastiou
    >>> print(round(fastiou.soft_iou([0.9, 0.6, 0.1], [1, 1, 0]), 4))
    0.7143
    >>> fastiou.soft_iou([[1, 0], [0, 0]], [[1, 1], [0, 0]], smooth=0, axis=1)
    array([0.5, 0. ])
    """
    given1, given2 = value_array("inputs", inputs), value_array("targets", targets)
    check_one_library(given1, given2)
    check_one_shape(given1, given2)
    smooth = finite_number("smooth", smooth, lowest=0)
    axes = axis_numbers("axis", axis, given1.array.ndim)
    intersection, total = _value_sums(given1.array, given2.array, axes)
    with np.errstate(all="ignore"):
        score = _quotient(intersection + smooth, total - intersection + smooth)
    if axis is None and given1.wrap is None and given2.wrap is None:
        return np.float64(score)
    return hand_back(np.asarray(score), given1, given2)


def _quotient(numerator: Array, denominator: Array) -> Array:
    """The quotient, 0 where the denominator is 0."""
    with np.errstate(all="ignore"):
        return np.where(denominator == 0, 0.0, numerator / denominator)


def _value_sums(x: Array, y: Array, axes: tuple[int, ...]) -> Array:
    """Sums over sorted axes: of x·y at 0 of the first axis of the result, of x + y at 1."""
    few_bits = all(array.dtype.kind in "biu" and array.itemsize <= 2 for array in (x, y))
    combination = "integers" if few_bits else "values"
    # The kernels sum over the last of these axes, and over those that lie directly before it. The
    # axes behind become `columns`. NumPy sums over the axes that are left.
    last = axes[-1] + 1 if axes else 0
    first = last
    while first - 1 in axes:
        first -= 1
    outer, behind = x.shape[:first], x.shape[last:]
    elements, columns = math.prod(x.shape[first:last]), math.prod(behind)
    shape = (math.prod(outer), elements, columns)
    partial = _partial_sums(x, y, shape, combination)
    found: Array = partial.sum(2, np.float64).reshape(2, *outer, *behind)
    rest = tuple(axis + 1 for axis in axes if axis < first)
    with np.errstate(all="ignore"):
        return found.sum(rest) if rest else found


def _partial_sums(x: Array, y: Array, shape: tuple[int, int, int], combination: str) -> Array:
    """Sums over the elements of (outer, element, column), in blocks: (2, outer, block, column)."""
    outer, elements, columns = shape
    kernels = sums(combination)
    flat1, flat2 = flat_elements(x), flat_elements(y)
    if columns == 1:
        blocks = -(-elements // BLOCK)
        partial = np.empty((2, outer, blocks, 1), kernels.dtype)
        rows1, rows2 = flat1.reshape(outer, elements), flat2.reshape(outer, elements)
        units = outer * blocks
        each = VALUE_WORK * max(1, min(elements, BLOCK))
        for first, last, work in steps.ranges(units, each):
            threads.run(kernels.rows, work, rows1, rows2, first, last, partial[..., 0])
        return partial
    # At least 64 elements to a sum, so that the sums are few beside the elements.
    height = max(64, BLOCK // max(columns, 1))
    blocks = -(-elements // height)
    partial = np.zeros((2, outer, blocks, columns), kernels.dtype)
    units = outer * blocks * -(-columns // STRIP)
    each = VALUE_WORK * max(1, min(elements, height) * min(columns, STRIP))
    for first, last, work in steps.ranges(units, each):
        threads.run(
            kernels.columns, work, flat1.reshape(shape), flat2.reshape(shape),
            height, first, last, partial,
        )  # fmt: skip
    return partial


# ---- thresholded IoU ---------------------------------------------------------------------------


def thresholded_iou(outputs: Any, labels: Any, *, smooth: float = 1e-6) -> Any:
    """IoU of each binary mask of a batch, in steps of 0.1 from 0.5 on.

    With x the outputs and y the labels, iou = (Σ x&y + smooth) / (Σ x|y + smooth) for each image,
    and the result is ceil(clip(20 · (iou - 0.5), 0, 10)) / 10: 0 up to an IoU of 0.5, and 1 from
    above 0.95.

    Parameters
    ----------
    outputs, labels : array_like of int or bool, shapes (N, H, W) or (N, 1, H, W)
        Masks, of any memory layout: NumPy arrays, PyTorch tensors, other arrays that speak DLPack,
        or lists. Integers other than 0 and 1 are combined bit by bit, and their values are summed
        as int64. They must lie from -2**b to 2**b - 1, where H · W · 2**b is at most 2⁶³: b is 44
        for images of 640 × 640. All integers of 32 bits do, up to 2³¹ pixels an image.
    smooth : float
        Added to intersection and union, so that two empty masks score 1. With 0 they score 0.

    Returns
    -------
    array of float64, shape (N,)
        An array of the library that the inputs came from.

    Raises
    ------
    TypeError
        Floats, which need a threshold first; a tensor that requires grad; two array libraries.
    ValueError
        Other shapes, a negative `smooth`, integers too large to be summed.

    Examples
    --------
    >>> import fastiou
    >>> outputs = [[[1, 1, 1], [1, 1, 0]], [[0, 0, 0], [0, 0, 0]], [[1, 1, 1], [1, 1, 1]]]
    >>> labels = [[[1, 1, 1], [1, 1, 1]], [[0, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]]]
    >>> fastiou.thresholded_iou(outputs, labels)
    array([0.7, 1. , 0. ])
    """
    smooth = finite_number("smooth", smooth, lowest=0)
    given1, given2 = mask_batch("outputs", outputs), mask_batch("labels", labels)
    check_one_library(given1, given2)
    check_one_shape(given1, given2)
    x, y = given1.array, given2.array
    if np.result_type(x, y).kind == "f":
        raise TypeError(
            f"outputs and labels must have an integer type in common, got {x.dtype} and {y.dtype}"
        )
    _check_sums(given1)
    _check_sums(given2)
    images, height, width = x.shape
    partial = _partial_sums(x, y, (images, height * width, 1), "bits")
    intersection, union = partial.sum((2, 3))
    iou = _quotient(intersection + smooth, union + smooth)
    return hand_back(np.ceil(np.clip(20 * (iou - 0.5), 0, 10)) / 10, given1, given2)


def _check_sums(given: Input) -> None:
    """Refuse values whose sums over an image could leave int64.

    Values from -2**bits to 2**bits - 1 stay there, whatever is combined bit by bit.
    """
    masks = given.array
    pixels = math.prod(masks.shape[1:])
    if masks.dtype.kind == "b" or not masks.size:
        return
    bits = 63 - (pixels - 1).bit_length()  # the most with pixels * 2**bits <= 2**63
    limits = np.iinfo(masks.dtype)
    if -(2**bits) <= limits.min and limits.max < 2**bits:
        return
    for value in map(int, chunks.extremes(masks)):
        if not -(2**bits) <= value < 2**bits:
            raise ValueError(
                f"{given.name} must hold integers from -2**{bits} to 2**{bits} - 1, so that sums "
                f"over the {pixels:,} pixels of an image fit int64, got {value}"
            )
