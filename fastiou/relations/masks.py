"""Scores of masks."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.arrays import backends
from fastiou.arrays.checks import check_choice, crowd_array
from fastiou.arrays.dense_result import DenseResult
from fastiou.arrays.inputs import hand_back
from fastiou.geometries.box_columns import PADDING
from fastiou.geometries.masks.kernels import TILE_COLUMNS, TILE_ROWS, MaskOperand, mask_scores
from fastiou.geometries.masks.mask_set import Masks, as_masks, two_sets
from fastiou.geometries.masks.packing import SCORES_PER_WORD, running_sum
from fastiou.metrics import METRICS
from fastiou.runtime import steps, threads

__all__ = ["MASK_METRICS", "Masks", "mask_iou", "mask_operand", "masks_to_boxes"]

Array = npt.NDArray[Any]

#: The metrics of masks: those that need an intersection and two areas.
MASK_METRICS = [name for name, metric in METRICS.items() if metric.is_ratio]


def mask_operand(masks: Masks, order: Array | None = None) -> MaskOperand:
    """Masks as the kernels read them, those of `order` in its order where one is given."""
    chosen: Any = slice(None) if order is None else order
    count = len(masks) if order is None else len(order)
    table = np.zeros((6, count + PADDING), np.int64)
    table[:4, :count] = masks._boxes[chosen].T
    table[4, :count] = masks._offsets[:-1][chosen]
    table[5, :count] = masks._areas[chosen]
    return MaskOperand(masks._words, table)


def mask_iou(
    masks1: Any,
    masks2: Any,
    *,
    metric: str = "iou",
    aligned: bool = False,
    iscrowd: Any = None,
    out: Any = None,
    device: str = "auto",
) -> Any:
    """Score every mask of one set against every mask of another.

    Parameters
    ----------
    masks1, masks2 : Masks, array_like or list of dict
        Packed masks; dense masks, shape (N, H, W) or (H, W), of any real dtype, where what is not 0
        is foreground; or COCO's run lengths. All of one size. Packing takes longer than scoring:
        masks that are used again are better packed once, by `Masks`.
    metric : {"iou", "iof", "ios", "dice", "intersection"}
        The score; ``docs/metrics.md`` has the formulas. "intersection" is a number of pixels.
    aligned : bool
        Score mask i against mask i only.
    iscrowd : array_like of bool, shape (M,), optional
        Which of `masks2` are crowds. Their columns hold the intersection over the area of the mask
        in `masks1`, whatever the metric, as COCO does.
    out : array, optional
        Where to write the result: float64, of its shape, and of any memory layout.
    device : {"auto", "cpu", "cuda"}
        Where to compute: "auto" stays on the GPU that an input is on, and else on the CPU; "cuda"
        needs the extra `cuda` and an NVIDIA GPU.

    Returns
    -------
    array of float64, shape (N, M), or (N,) if aligned
        Of the library that dense masks came from, else of NumPy. An empty mask scores 0.

    Raises
    ------
    TypeError, ValueError
        Masks of two sizes, malformed run lengths, a wrong shape or option.
    MemoryError
        The result would not fit in memory.
    RuntimeError
        `device` is "cuda", and no GPU can be used.

    Examples
    --------
    >>> import fastiou
    >>> fastiou.mask_iou([[[1, 1], [0, 0]]], [[[1, 0], [1, 0]], [[0, 0], [0, 0]]])
    array([[0.33333333, 0.        ]])
    """
    check_choice("metric", metric, MASK_METRICS)
    backends.check_device(device)
    set1, set2, inputs = two_sets("masks1", masks1, "masks2", masks2)
    if aligned and len(set1) != len(set2):
        raise ValueError(
            f"aligned=True needs as many masks1 as masks2, got {len(set1)} and {len(set2)}"
        )
    crowd = np.zeros(len(set2), np.bool_)
    if iscrowd is not None:
        crowd = crowd_array(iscrowd, len(set2), "masks2")
    parts = (1, len(set1), 1 if aligned else len(set2))

    def fill(target: Array) -> None:
        scores = target if target.flags.carray else np.empty(target.shape)
        if scores.size:
            fill_contiguous = _fill_aligned if aligned else _fill_dense
            fill_contiguous(metric, set1, set2, crowd, scores)
        if scores is not target:
            target[...] = scores

    result = DenseResult(
        inputs,
        parts[1:2] if aligned else parts[1:],
        np.dtype(np.float64),
        parts,
        f"mask_iou of {len(set1):,} × {len(set2):,} masks",
        "score fewer at a time",
        fill,
        _OnGpu(metric, set1, set2, crowd, aligned).fill,
    )
    return result.compute(out, device)


class _OnGpu:
    """Fills blocks of one result on a GPU; masks are copied there when the first is asked for."""

    def __init__(self, metric: str, set1: Masks, set2: Masks, crowd: Array, aligned: bool) -> None:
        self._arguments = metric, set1, set2, crowd
        self._aligned = aligned

    @functools.cached_property
    def _scores(self) -> Any:
        from fastiou.geometries.masks.gpu_kernels import MaskScores

        metric, set1, set2, crowd = self._arguments
        operand1 = _own_operand(set1)
        operand2 = operand1 if set2 is set1 else _own_operand(set2)
        size = 0 if self._aligned else _size_of_all(set1, set2)
        return MaskScores(metric, operand1, operand2, size, crowd)

    def fill(self, work: Any, scores: Any, batches: slice, first_row: int) -> None:
        """Fill scores (1, rows, columns), beginning with this row."""
        if self._aligned:
            self._scores.fill_aligned(work, scores.reshape(scores.size), first_row)
        else:
            self._scores.fill_dense(work, scores.reshape(scores.shape[1:]), first_row)


def _own_operand(masks: Masks) -> MaskOperand:
    """Masks as the kernels read them, without the words of others that they are a slice of."""
    table = mask_operand(masks).table
    table[4, : len(masks)] -= masks._offsets[0]
    return MaskOperand(masks._own_words(), table)


def _size_of_all(set1: Masks, set2: Masks) -> int:
    """Words of every mask of two sets if all have one box, 0 if there is nothing of the kind."""
    box = set1._boxes[0]
    if (set1._boxes == box).all() and (set2._boxes == box).all():
        return int(set1.words_of_each[0])
    return 0


def _fill_aligned(metric: str, set1: Masks, set2: Masks, crowd: Array, scores: Array) -> None:
    operands = *mask_operand(set1), *mask_operand(set2)
    for first, last, work in steps.spans(set1._offsets, SCORES_PER_WORD):
        threads.run(mask_scores(metric).aligned, work, *operands, crowd, scores, first, last)


def _fill_dense(metric: str, set1: Masks, set2: Masks, crowd: Array, scores: Array) -> None:
    operand1 = mask_operand(set1)
    operand2 = operand1 if set2 is set1 else mask_operand(set2)
    kernels = mask_scores(metric)
    count1, count2 = scores.shape
    sizes = set1.words_of_each
    size = _size_of_all(set1, set2)
    if size:  # nothing to crop, as with masks that fill the image
        tiles = -(-count1 // TILE_ROWS) * -(-count2 // TILE_COLUMNS)
        per_tile = TILE_ROWS * TILE_COLUMNS * size * SCORES_PER_WORD
        for first, last, work in steps.ranges(tiles, per_tile):
            threads.run(
                kernels.uniform, work, *operand1, *operand2, crowd, scores, size, first, last
            )
        return
    any_crowd = bool(crowd.any())
    # So many columns that one row may take longer than a step are parted, too.
    for first_column, last_column, _ in steps.spans(set2._offsets, SCORES_PER_WORD, equal=True):
        columns = last_column - first_column
        words = int(set2._offsets[last_column] - set2._offsets[first_column])
        # A row reads no more words than it has itself for each column, nor than the columns have.
        cost = running_sum(np.minimum(sizes * columns, words) + int(columns / SCORES_PER_WORD))
        for first_row, last_row, work in steps.spans(cost, SCORES_PER_WORD):
            threads.run(
                kernels.dense,
                work,
                *operand1,
                *operand2,
                crowd,
                any_crowd,
                threads.thread_count(),
                scores,
                first_row,
                last_row,
                first_column,
                last_column,
            )


# ---- boxes of masks ----------------------------------------------------------------------------


def masks_to_boxes(masks: Any) -> Any:
    """Bounding boxes as torchvision has them.

    Parameters
    ----------
    masks : Masks, array_like or list of dict
        Masks, as in `mask_iou`.

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
    packed, given = as_masks("masks", masks)
    boxes = packed._boxes.astype(np.float32)
    boxes[packed._areas > 0, 2:] -= 1
    return boxes if given is None else hand_back(boxes, given)
