"""Dense and aligned results of masks on a GPU: which kernel, and what it reads."""

from __future__ import annotations

from typing import Any, NamedTuple

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
from fastiou.geometries.masks.gpu_packing import Frames, frames
from fastiou.geometry import PADDING, Columns
from fastiou.metrics import IOF, Metric
from fastiou.runtime.gpu import Work
from fastiou.runtime.gpu_kernel import CudaKernel, blocks_for
from fastiou.typing import Array

__all__ = ["MaskScores"]


class _Ready(NamedTuple):
    """Both sets on a GPU."""

    sets: tuple[Frames, Frames]
    #: The same as masks of whole slices, where all have one box.
    slices: tuple[Any, Any] | None


class MaskScores:
    """Scores of one call, which a GPU computes in blocks of rows.

    Parameters
    ----------
    metric
        What to score.
    set1, set2
        The sets: pixels (n, h, w) on the GPU, or `Columns` of the host's, with no more words than
        their own, and where column 0 of word row 0 would be.
    crowd
        Which members of the second set are crowds, which are scored by `IOF`; None if none are.
    size
        Words of each mask if all have one box, else 0.
    """

    def __init__(
        self, metric: Metric, set1: Any, set2: Any, crowd: Array | None, size: int
    ) -> None:
        self._metric, self._given = metric, (set1, set2)
        self._crowd, self._size = crowd, size
        self._known: tuple[Work, _Ready] | None = None

    def _ready(self, work: Work) -> _Ready:
        """Both sets, brought to the GPU once for each use of it."""
        if self._known is None or self._known[0] is not work:
            set1, set2 = self._given
            some = self._frames(work, set1)
            both = some, some if set2 is set1 else self._frames(work, set2)
            slices = None
            if self._size:
                masks1 = self._in_slices(work, set1, both[0])
                slices = masks1, masks1 if set2 is set1 else self._in_slices(work, set2, both[1])
            self._known = work, _Ready(both, slices)
        return self._known[1]

    def _frames(self, work: Work, given: Any) -> Frames:
        if isinstance(given, Columns):
            return Frames(work.copied(given.bounds), work.copied(given.data), 0)
        return frames(work, given)

    def is_refused(self, work: Work) -> bool:
        """Whether a mask is to be refused; pixels that are no floats need not be waited for."""
        return any(
            not isinstance(given, Columns)
            and np.dtype(given.dtype).kind == "f"
            and bool((work.to_host(some.bounds)[5] < 0).any())
            for given, some in zip(self._given, self._ready(work).sets, strict=True)
        )

    def fill_dense(self, work: Work, scores: Any, starts1: Array, starts2: Array) -> None:
        """Fill C-contiguous scores (1, rows, columns) on the device, beginning with this row."""
        if not scores.size:
            return
        _, rows, columns = scores.shape
        flat, first = scores.reshape(scores.size), int(starts1[0])
        ready, kernels = self._ready(work), mask_scores(self._metric)
        pairs = -(-rows // PAIR_ROWS) * -(-columns // PAIR_COLUMNS)
        if ready.slices is None:
            self._launch(kernels.dense, work, pairs, None, first, rows, columns, flat)
        else:
            (masks1, masks2), (set1, set2) = ready.slices, ready.sets
            tiles = -(-rows // (EACH * THREADS_DOWN)) * -(-columns // (EACH * THREADS_ACROSS))
            kernels.uniform.launch(
                tiles, THREADS, work.stream, set1.bounds, masks1, set2.bounds, masks2,
                self._stride, first, rows, columns, flat,
            )  # fmt: skip
        if self._crowd is not None:
            kernel = mask_scores(IOF).dense
            self._launch(kernel, work, pairs, self._crowd, first, rows, columns, flat)

    def fill_aligned(self, work: Work, scores: Any, first: int) -> None:
        """Fill scores (n,) on the device: mask i against mask i, beginning with this one."""
        count = len(scores)
        if not count:
            return
        blocks, numbers = blocks_for(count, THREADS), (first, count, count)
        self._launch(mask_scores(self._metric).aligned, work, blocks, None, *numbers, scores)
        if self._crowd is not None:
            self._launch(mask_scores(IOF).aligned, work, blocks, self._crowd, *numbers, scores)

    def _launch(
        self, kernel: CudaKernel, work: Work, blocks: int, chosen: Array | None, *arguments: Any
    ) -> None:
        """Launch a kernel over what boxes share, for all columns or the chosen ones."""
        set1, set2 = self._ready(work).sets
        some = work.empty(0, np.bool_) if chosen is None else work.copied(chosen)
        kernel.launch(blocks, THREADS, work.stream, *set1, *set2, some, *arguments)

    @property
    def _stride(self) -> int:
        """Words of 32 bits from one mask to the next where all are filled up to whole slices."""
        return -(-2 * self._size // SLICE_WORDS) * SLICE_WORDS

    def _in_slices(self, work: Work, given: Columns, whole: Frames) -> Any:
        count = given.bounds.shape[1] - PADDING
        masks = work.empty(count * self._stride, np.uint32)
        SPREAD.launch(
            blocks_for(masks.size // 4, THREADS), THREADS, work.stream,
            whole.words.view(np.uint32), whole.bounds, count, 2 * self._size, self._stride, masks,
        )  # fmt: skip
        return masks
