"""Dense and aligned results of masks on a GPU: which kernel, and what it reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.geometries.masks.gpu_kernels import (
    EACH,
    PAIR_COLUMNS,
    PAIR_ROWS,
    SLICE_WORDS,
    SPREAD,
    THREADS,
    THREADS_ACROSS,
    THREADS_DOWN,
    mask_scores,
)
from fastiou.geometry import PADDING, Columns
from fastiou.metrics import Metric
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for

__all__ = ["MaskScores"]


class MaskScores:
    """Scores of one call, which a GPU computes in blocks of rows.

    Parameters
    ----------
    work
        The use of the GPU.
    metric
        What to score.
    columns1, columns2
        The sets, with no more words than their own.
    size
        Words of each mask if all have one box, else 0.
    """

    def __init__(
        self, work: Work, metric: Metric, columns1: Columns, columns2: Columns, size: int
    ) -> None:
        self._metric = metric
        self._columns = columns1, columns2
        self._size = size
        #: The sets as masks of whole slices, where all have one box.
        self._slices: tuple[Any, Any] | None = None
        if size:
            masks1 = self._in_slices(work, columns1)
            masks2 = masks1 if columns2 is columns1 else self._in_slices(work, columns2)
            self._slices = masks1, masks2

    def fill_dense(self, work: Work, scores: Any, first: int) -> None:
        """Fill C-contiguous scores (rows, columns) on the device, beginning with this row."""
        rows, columns = scores.shape
        flat = scores.reshape(scores.size)
        kernels = mask_scores(self._metric)
        if self._slices is None:
            tiles = -(-rows // PAIR_ROWS) * -(-columns // PAIR_COLUMNS)
            self._launch(kernels.dense, work, tiles, self._words(work), first, rows, columns, flat)
            return
        tiles = -(-rows // (EACH * THREADS_DOWN)) * -(-columns // (EACH * THREADS_ACROSS))
        self._launch(
            kernels.uniform, work, tiles, self._slices, self._stride, first, rows, columns, flat
        )

    def fill_aligned(self, work: Work, scores: Any, first: int) -> None:
        """Fill scores (n,) on the device: mask i against mask i, beginning with this one."""
        count = len(scores)
        self._launch(
            mask_scores(self._metric).aligned, work, blocks_for(count, THREADS),
            self._words(work), first, count, count, scores,
        )  # fmt: skip

    def _launch(
        self,
        kernel: CudaKernel,
        work: Work,
        blocks: int,
        words: tuple[Any, Any],
        *arguments: Any,
    ) -> None:
        bounds1, bounds2 = (work.copied(columns.bounds) for columns in self._columns)
        kernel.launch(
            blocks, THREADS, work.stream, bounds1, words[0], bounds2, words[1], *arguments
        )

    def _words(self, work: Work) -> tuple[Any, Any]:
        columns1, columns2 = self._columns
        return work.copied(columns1.data), work.copied(columns2.data)

    @property
    def _stride(self) -> int:
        """Words of 32 bits from one mask to the next where all are filled up to whole slices."""
        return -(-2 * self._size // SLICE_WORDS) * SLICE_WORDS

    def _in_slices(self, work: Work, columns: Columns) -> Any:
        count = columns.bounds.shape[1] - PADDING
        masks = work.empty(count * self._stride, np.uint32)
        SPREAD.launch(
            blocks_for(masks.size // 4, THREADS), THREADS, work.stream,
            work.copied(columns.data.view(np.uint32)), work.copied(columns.bounds), count,
            2 * self._size, self._stride, masks,
        )  # fmt: skip
        return masks
