"""Masks as a geometry: how sets of them are read, prepared, and scored against each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.inputs import Input
from fastiou.geometries.masks.bits import words_of_frames
from fastiou.geometries.masks.kernels import (
    TILE_COLUMNS,
    TILE_ROWS,
    load_mask,
    mask_chunk_scorer,
    mask_kernels,
    shared_and_areas,
)
from fastiou.geometries.masks.mask_set import Masks, MasksOnGpu, holds_masks, read_masks
from fastiou.geometries.masks.packing import SCORES_PER_WORD, running_sum, words_of_each
from fastiou.geometry import PADDING, Columns, Geometry
from fastiou.metrics import Metric, Need
from fastiou.runtime import steps, threads
from fastiou.runtime.words import sides
from fastiou.typing import Array

__all__ = ["MASK"]


#: What a candidate takes whose box does not meet, in scores of boxes: they are tested one by one.
SCORES_OF_A_TEST = 8


def _read(name: str, value: Any, fmt: str, *, batches: bool) -> Input:
    return read_masks(name, value)._replace(geometry=MASK)


def _prepare(
    given1: Input, given2: Input, metric: Metric, order: Array | None = None, phase: int = 0
) -> tuple[Columns, Columns]:
    """Columns of two sets of masks of one size (see `Geometry.prepare`)."""
    _check_sizes(given1, given2)
    set1, set2 = given1.array, given2.array
    columns1 = _columns(set1, order)
    return columns1, columns1 if set2 is set1 else _columns(set2, None)


def _check_sizes(given1: Input, given2: Input) -> None:
    """Raise a ValueError unless the masks of two sets have one size."""
    shape1, shape2 = given1.held.shape, given2.held.shape
    if shape1[0] and shape2[0] and shape1[1:] != shape2[1:]:
        raise ValueError(
            f"{given1.name} and {given2.name} must have one size, got {sides(shape1[1:])} and "
            f"{sides(shape2[1:])}; Masks.padded brings masks to a larger size"
        )


def _columns(masks: Masks, order: Array | None) -> Columns:
    chosen: Any = slice(None) if order is None else order
    count = len(masks) if order is None else len(order)
    bounds = np.zeros((6, count + PADDING), np.int64)
    bounds[:4, :count] = masks._boxes[chosen].T
    bounds[4, :count] = masks._offsets[:-1][chosen]
    bounds[5, :count] = masks._areas[chosen]
    return Columns(bounds, masks._words, 0)


def _cost(columns: Columns) -> int:
    """How long a candidate takes: at most all words of the larger; half is common."""
    words = float(words_of_each(columns.bounds).mean())
    return SCORES_OF_A_TEST + int(SCORES_PER_WORD * words / 2)


# ---- dense results -----------------------------------------------------------------------------


def _words_of_all(bounds1: Array, bounds2: Array) -> int:
    """Words of every mask of two sets, if all have one box; else 0."""
    box = bounds1[:4, :1]
    if (bounds1[:4] == box).all() and (bounds2[:4] == box).all():
        return int(words_of_each(bounds1[:, :1])[0])
    return 0


def _fill_dense(
    metric: Metric, columns1: Columns, columns2: Columns, first_row: int, scores: Array
) -> None:
    """Fill scores (rows, columns), beginning with this row."""
    count1, count2 = scores.shape
    bounds1, bounds2 = columns1.bounds[:, first_row:], columns2.bounds
    if first_row:
        bounds1 = np.ascontiguousarray(bounds1)
    sets = bounds1, columns1.data, bounds2, columns2.data
    kernels = mask_kernels(metric)
    size = _words_of_all(bounds1[:, :count1], bounds2[:, :count2])
    if size:  # nothing to crop, as with masks that fill the image
        tiles = -(-count1 // TILE_ROWS) * -(-count2 // TILE_COLUMNS)
        per_tile = TILE_ROWS * TILE_COLUMNS * size * SCORES_PER_WORD
        for first, last, work in steps.ranges(tiles, per_tile):
            threads.run(kernels.uniform, work, *sets, scores, size, first, last)
        return
    sizes = words_of_each(bounds1[:, :count1])
    before2 = running_sum(words_of_each(bounds2[:, :count2]))
    # So many columns that one row may take longer than a step are parted, too.
    for first_column, last_column, _ in steps.spans(before2, SCORES_PER_WORD, equal=True):
        columns = last_column - first_column
        words = int(before2[last_column] - before2[first_column])
        # A row reads no more words than it has itself for each column, nor than the columns have.
        cost = running_sum(np.minimum(sizes * columns, words) + int(columns / SCORES_PER_WORD))
        for first, last, work in steps.spans(cost, SCORES_PER_WORD):
            threads.run(
                kernels.dense, work, *sets, threads.thread_count(), scores, first, last,
                first_column, last_column,
            )  # fmt: skip


def _on_gpu(metric: Metric, given1: Input, given2: Input, crowd: Array | None) -> Any:
    """Scores on a GPU of masks that lie there, or on the host (see `Geometry.on_gpu`)."""
    from fastiou.geometries.masks.gpu_scores import MaskScores

    _check_sizes(given1, given2)
    set1 = _for_gpu(given1.held)
    set2 = set1 if given2.held is given1.held else _for_gpu(given2.held)
    size = 0
    if isinstance(set1, Columns) and isinstance(set2, Columns):
        size = _words_of_all(set1.bounds[:, :-PADDING], set2.bounds[:, :-PADDING])
    return MaskScores(metric, set1, set2, crowd, size)


def _for_gpu(held: Any) -> Any:
    """Pixels that lie there, or columns without the words of other masks.

    These tell where column 0 of word row 0 would be, as a frame of all words has it.
    """
    if isinstance(held, MasksOnGpu):
        return held.pixels
    columns = _columns(held, None)
    bounds = columns.bounds[:, :-PADDING]
    left, top, right = bounds[:3]
    first = int(bounds[4].min())
    last = int((bounds[4] + words_of_each(bounds)).max())
    bounds[4] -= first + (top >> 6) * (right - left) + left
    return columns._replace(data=columns.data[first:last])


def _columns_on_gpu(given1: Input, given2: Input) -> tuple[int, Any]:
    """Columns for a search on a GPU, made there of what lies there (see `Geometry`)."""
    _check_sizes(given1, given2)
    sets = [given.held for given in ((given1,) if given2 is given1 else (given1, given2))]

    def size_of(held: Any) -> int:
        if not isinstance(held, MasksOnGpu):
            return int(held._words.nbytes) + 48 * (len(held) + PADDING)
        # Frames, and as many words for what their boxes hold.
        return 16 * words_of_frames(held.shape) + 48 * len(held)

    def make(work: Any) -> tuple[Columns, Columns]:
        from fastiou.geometries.masks.gpu_packing import cropped_columns

        columns = [
            cropped_columns(work, held.pixels)
            if isinstance(held, MasksOnGpu)
            else _columns(held, None)
            for held in sets
        ]
        return columns[0], columns[-1]

    return sum(map(size_of, sets)), make


def _words_on_gpu(held: Any) -> int:
    """Words that masks take on a GPU: of whole frames, or cropped and, it may be, in slices."""
    is_there = isinstance(held, MasksOnGpu)
    return words_of_frames(held.shape) if is_there else held.nbytes // 4


GEOMETRY = MASK = Geometry(
    "mask",
    "masks",
    read=_read,
    prepare=_prepare,
    load=load_mask,
    measures={Need.OVERLAP: shared_and_areas},
    recognises=holds_masks,
    cost=_cost,
    chunk=64,
    chunk_scorer=mask_chunk_scorer,
    dense=_fill_dense,
    on_gpu=_on_gpu,
    columns_on_gpu=_columns_on_gpu,
    words_on_gpu=_words_on_gpu,
)
