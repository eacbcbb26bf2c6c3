"""IoU of arrays of values: probabilities, and batches of binary masks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastiou.arrays import backends
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
from fastiou.runtime.gpu_arrays import GpuArray, OnGpu
from fastiou.segmentation.soft_kernels import BLOCK, STRIP, Plan, plan_of, sums
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
    shape = given1.held.shape
    axes = axis_numbers("axis", axis, len(shape))
    plan = plan_of(shape, axes)
    combination = _combination(given1.held.dtype, given2.held.dtype)
    kept = tuple(length for number, length in enumerate(shape) if number not in axes)

    def on_gpu(place: GpuArray) -> Any:
        from fastiou.runtime.gpu import working
        from fastiou.segmentation import gpu_soft

        with working(place) as work:
            found = gpu_soft.sums_on_gpu(work, given1, given2, plan, combination)
            return gpu_soft.scores_on_gpu(work, place, found, smooth, kept)

    def on_cpu() -> Any:
        intersection, total = _sums(given1.array, given2.array, plan, combination)
        with np.errstate(all="ignore"):
            score = _quotient(intersection + smooth, total - intersection + smooth).reshape(kept)
        if axis is None and given1.wrap is None and given2.wrap is None:
            return np.float64(score)
        return hand_back(np.asarray(score), given1, given2)

    return backends.compute_in_place((given1, given2), on_gpu, on_cpu)


def _quotient(numerator: Array, denominator: Array) -> Array:
    """The quotient, 0 where the denominator is 0."""
    with np.errstate(all="ignore"):
        return np.where(denominator == 0, 0.0, numerator / denominator)


def _combination(*dtypes: np.dtype[Any]) -> str:
    """How elements are combined: as integers where their products fit int64."""
    few_bits = all(dtype.kind in "biu" and dtype.itemsize <= 2 for dtype in dtypes)
    return "integers" if few_bits else "values"


def _sums(x: Array, y: Array, plan: Plan, combination: str) -> Array:
    """Sums of one number of a combination, and of the other: (2, sum)."""
    dtype = np.int64 if combination == "bits" else np.float64
    if not x.size:
        return np.zeros((2, plan.sums), dtype)
    found: Any = _partial_sums(x, y, plan, combination).astype(dtype, copy=False)
    with np.errstate(all="ignore"):
        for length, after in plan.folds:  # in an order in which a GPU can add, too
            found = found.reshape(-1, length, after)
            while length > 1:
                half = (length + 1) // 2
                found[:, : length - half] += found[:, half:length]
                length = half
            found = found[:, 0]
    sums_of_both: Array = found.reshape(2, plan.sums)
    return sums_of_both


def _partial_sums(x: Array, y: Array, plan: Plan, combination: str) -> Array:
    """What blocks of elements sum to: (2, outer, block, column)."""
    outer, elements, columns, height, blocks, *_ = plan
    kernels = sums(combination)
    flat1, flat2 = flat_elements(x), flat_elements(y)
    if columns == 1:
        partial = np.empty((2, outer, blocks, 1), kernels.dtype)
        rows1, rows2 = flat1.reshape(outer, elements), flat2.reshape(outer, elements)
        units = outer * blocks
        each = VALUE_WORK * max(1, min(elements, BLOCK))
        for first, last, work in steps.ranges(units, each):
            threads.run(kernels.rows, work, rows1, rows2, first, last, partial[..., 0])
        return partial
    partial = np.zeros((2, outer, blocks, columns), kernels.dtype)
    shape = outer, elements, columns
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
        as int64. They must lie from -2ᵇ to 2ᵇ - 1, where H · W · 2ᵇ is at most 2⁶³: b is 44
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
    x, y = given1.held, given2.held
    if np.result_type(x.dtype, y.dtype).kind == "f":
        raise TypeError(
            f"outputs and labels must have an integer type in common, got {x.dtype} and {y.dtype}"
        )
    _check_sums(given1)
    _check_sums(given2)
    plan = plan_of(x.shape, (1, 2))

    def on_gpu(place: GpuArray) -> Any:
        from fastiou.runtime.gpu import working
        from fastiou.segmentation import gpu_soft

        with working(place) as work:
            found = gpu_soft.sums_on_gpu(work, given1, given2, plan, "bits")
            return gpu_soft.grades_on_gpu(work, place, found, smooth)

    def on_cpu() -> Any:
        intersection, union = _sums(given1.array, given2.array, plan, "bits")
        iou = _quotient(intersection + smooth, union + smooth)
        return hand_back(np.ceil(np.clip(20 * (iou - 0.5), 0, 10)) / 10, given1, given2)

    return backends.compute_in_place((given1, given2), on_gpu, on_cpu)


def _check_sums(given: Input) -> None:
    """Refuse values whose sums over an image could leave int64.

    Values from -2**bits to 2**bits - 1 stay there, whatever is combined bit by bit.
    """
    masks = given.held
    pixels = math.prod(masks.shape[1:])
    if masks.dtype.kind == "b" or not masks.size:
        return
    bits = 63 - (pixels - 1).bit_length()  # the most with pixels * 2**bits <= 2**63
    limits = np.iinfo(masks.dtype)
    if -(2**bits) <= limits.min and limits.max < 2**bits:
        return
    for value in map(int, _extremes(given)):
        if not -(2**bits) <= value < 2**bits:
            raise ValueError(
                f"{given.name} must hold integers from -2**{bits} to 2**{bits} - 1, so that sums "
                f"over the {pixels:,} pixels of an image fit int64, got {value}"
            )


def _extremes(given: Input) -> tuple[Any, Any]:
    """The lowest and the highest number of an argument that is not empty."""
    flat = given.held.flat if isinstance(given.held, OnGpu) else None
    if flat is None:
        return chunks.extremes(given.array)
    from fastiou.runtime.gpu import working
    from fastiou.segmentation.gpu_soft import extremes_on_gpu

    with working(given.gpu) as work:
        return extremes_on_gpu(work, flat)
