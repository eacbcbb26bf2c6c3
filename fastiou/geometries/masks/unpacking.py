"""Bits of masks as run lengths."""

from __future__ import annotations

import numpy as np

from fastiou.geometries.masks import bits
from fastiou.geometries.masks.packing import SCORES_PER_RUN, SCORES_PER_WORD, Packed, running_sum
from fastiou.geometries.masks.run_lengths import RunLengths
from fastiou.runtime import memory, steps, threads

__all__ = ["complements", "runs_of"]


def runs_of(packed: Packed) -> RunLengths:
    """Run lengths of masks, of which none but the first of each may be 0."""
    height, width = packed.size
    total = height * width
    numbers = np.empty(len(packed.boxes), np.int64)
    # A word of noise has as many runs as take 75 scores to count.
    for first, last, work in steps.spans(packed.offsets, SCORES_PER_RUN):
        threads.run(
            bits.COUNT_RUNS,
            work,
            packed.words,
            packed.offsets[first:last],
            packed.boxes[first:last],
            height,
            total,
            numbers[first:last],
        )
    offsets = running_sum(numbers)
    counts = memory.allocate(
        (int(offsets[-1]),), np.int64, "run lengths of masks", "write fewer at a time"
    )
    before = SCORES_PER_RUN * offsets + SCORES_PER_WORD * packed.offsets
    for first, last, work in steps.spans(before):
        threads.run(
            bits.WRITE_RUNS,
            work,
            packed.words,
            packed.offsets[first:last],
            packed.boxes[first:last],
            height,
            total,
            offsets[first : last + 1],
            counts,
        )
    return RunLengths(packed.size, counts, offsets)


def complements(runs: RunLengths) -> RunLengths:
    """What masks of one size leave out: runs of zeros become runs of ones by a 0 before them."""
    counts = np.insert(runs.counts, runs.offsets[:-1], 0)
    return RunLengths(runs.size, counts, runs.offsets + np.arange(len(runs.offsets)))
