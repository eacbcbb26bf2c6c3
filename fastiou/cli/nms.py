"""What non-maximum suppression keeps of a file of boxes or of masks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import fastiou
from fastiou.cli.match import (
    Clock,
    RefusedError,
    boxes_described,
    masks_described,
    pack_masks,
)
from fastiou.formats import table as io
from fastiou.formats.coco import MaskFile
from fastiou.formats.content import BoxFile, Floats, Integers

__all__ = ["METHODS", "Kept", "NmsOptions", "thin_boxes", "thin_masks"]

#: Ways to suppress, and what a summary says of them.
METHODS = {
    "hard": "hard: {metric} > {threshold:g} suppresses",
    "linear": "linear: {metric} > {threshold:g} lowers scores",
    "gaussian": "gaussian: any {metric} lowers scores, sigma {sigma:g}",
}


@dataclass(frozen=True)
class NmsOptions:
    """What `fastiou nms` was asked for; each attribute is the option of that name."""

    threshold: float = 0.5
    metric: str = "iou"
    method: str = "hard"
    sigma: float = 0.5
    score_threshold: float = 0.0
    max_output: int | None = None
    geometry: str = "box"
    format: str | None = None
    boxes: str = "xyxy"
    groups: bool = True
    out: Path | None = None
    quiet: bool = False
    progress: bool | None = None


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of a file.

    Attributes
    ----------
    positions : array of int64
        Positions in the file, best first.
    scores : array of float64
        Their scores, as the file has them.
    size : int
        How many boxes or masks the file has.
    below : int
        How many of them have scores below the score threshold.
    describe : function
        What the summary says of the file, by name.
    """

    positions: Integers
    scores: Floats
    size: int
    below: int
    describe: Callable[[], dict[str, str]]

    def __len__(self) -> int:
        return len(self.positions)


def thin_boxes(file: BoxFile, options: NmsOptions, clock: Clock) -> Kept:
    """Suppress boxes that overlap better ones.

    Parameters
    ----------
    file
        Boxes with scores.
    options
        What to suppress.
    clock
        Shows and measures the stages.

    Raises
    ------
    RefusedError
        `fastiou.nms` refuses the boxes, or an option.
    """

    def load() -> None:
        from fastiou.runtime import threads

        # As many groups as boxes, so that this is done as soon as everything is compiled.
        boxes = np.tile([0.0, 0.0, 1.0, 1.0], (threads.PARALLEL_FROM, 1))
        few = boxes[: math.isqrt(threads.PARALLEL_FROM) + 1]
        _load(few[:1], options, file.fmt)
        with threads.threads_awake():
            _load(few, options, file.fmt)
            _load(boxes, options, file.fmt, np.arange(len(boxes)))

    return _thin(
        file, file.boxes, file.fmt, options, clock, load, lambda: {"boxes": boxes_described(file)}
    )


def thin_masks(file: MaskFile, options: NmsOptions, clock: Clock) -> Kept:
    """Suppress masks that overlap better ones.

    Parameters
    ----------
    file
        Masks with scores.
    options
        What to suppress.
    clock
        Shows and measures the stages.

    Raises
    ------
    FileError
        A mask is malformed, or the size of its image is not known.
    RefusedError
        `fastiou.nms` refuses an option.
    """
    with clock.stage("packing masks") as update:
        (masks,) = pack_masks((file,), update)

    def load() -> None:
        from fastiou.runtime import threads

        few = math.isqrt(threads.PARALLEL_FROM) + 1
        some = fastiou.Masks.from_rle([{"size": [1, 1], "counts": [0, 1]}] * few)
        _load(some[:1], options, "xyxy")
        if len(masks) >= few:  # little work does without the kernels for many threads
            with threads.threads_awake():
                _load(some, options, "xyxy")

    return _thin(
        file, masks, "xyxy", options, clock, load, lambda: {"masks": masks_described(file, masks)}
    )


def _thin(
    file: BoxFile | MaskFile,
    geometry: Any,
    fmt: str,
    options: NmsOptions,
    clock: Clock,
    load: Callable[[], None],
    describe: Callable[[], dict[str, str]],
) -> Kept:
    assert file.scores is not None
    grouping = io.common_groups(file)
    groups = None if grouping is None else grouping.codes_a
    try:
        with clock.stage("loading kernels"):
            load()
        with clock.stage("suppressing"):
            kept = _suppress(geometry, file.scores, options, fmt, groups)
    except ValueError as error:
        raise RefusedError(str(error)) from error

    def described() -> dict[str, str]:
        alone = "" if options.groups or options.geometry == "box" else " alone"
        nothing = "not in the file" if options.groups else "not used"
        words = f"{nothing}: all with all" if grouping is None else grouping.described() + alone
        return {**describe(), "groups": words}

    below = int(np.count_nonzero(file.scores < options.score_threshold))
    return Kept(kept, file.scores[kept], len(file), below, described)


def _suppress(
    geometry: Any, scores: Floats, options: NmsOptions, fmt: str, groups: Integers | None
) -> Integers:
    kept: Integers = fastiou.nms(
        geometry,
        scores,
        options.threshold,
        groups=groups,
        metric=options.metric,
        fmt=fmt,
        method=options.method,
        sigma=options.sigma,
        score_threshold=options.score_threshold,
        max_output=options.max_output,
    )
    return kept


def _load(some: Any, options: NmsOptions, fmt: str, groups: Integers | None = None) -> None:
    """Compile or load what `fastiou.nms` needs, so that the clock tells the speed of the work."""
    options = replace(options, threshold=0.5, score_threshold=0.0, max_output=None)
    _suppress(some, np.ones(len(some)), options, fmt, groups)
