"""The pairs and matches between two files of boxes, of masks, or of label images."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import fastiou
from fastiou.cli.summary import Stage
from fastiou.formats import table as io
from fastiou.formats.coco import MaskFile, mask_sizes
from fastiou.formats.content import Booleans, BoxFile, FileError, Floats, Integers
from fastiou.formats.images import LabelFile, shared_frames

__all__ = [
    "METHODS",
    "Clock",
    "Found",
    "MatchOptions",
    "RefusedError",
    "boxes_described",
    "check_metric",
    "compare_boxes",
    "compare_labels",
    "compare_masks",
    "masks_described",
    "pack_masks",
]

Array = npt.NDArray[Any]

#: Masks that are packed at a time: few enough that Ctrl-C and progress do not wait.
MASKS_AT_A_TIME = 1024

#: What `fastiou match` can look for, and what a summary calls what it found.
METHODS = {
    "pairs": "pairs found",
    "greedy": "matches",
    "optimal": "matches",
    "coco": "matches",
    "topk": "kept",
}

#: Names of images that a summary lists.
NAMES_SHOWN = 3


class RefusedError(Exception):
    """What is in the files, or an option, is not what fastiou accepts; the message says why."""


@dataclass(frozen=True)
class MatchOptions:
    """What `fastiou match` was asked for; each attribute is the option of that name."""

    threshold: float = 0.5
    metric: str = "iou"
    method: str = "pairs"
    top: int = 1
    geometry: str = "auto"
    format_a: str | None = None
    format_b: str | None = None
    boxes: str = "xyxy"
    groups: bool = True
    out: Path | None = None
    plot: Path | None = None
    quiet: bool = False
    progress: bool | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """The pairs or matches between two files.

    Attributes
    ----------
    rows, cols : array of int64
        Positions in the two files; of label images, the labels, as uint64 where one is 2⁶³ or more.
    values : array of float64
        The scores.
    frames : array of int64 or None
        Frames of the pairs of label images.
    sizes : tuple of int
        How many boxes, masks or objects the two files have.
    in_all : int
        How many pairs the groups hold.
    tested : int or None
        How many of them were compared; None where the method does not tell.
    work : tuple
        What the work is counted in, and how much it was.
    describe : function
        What the summary says of the files, by name.
    unmatched : tuple of two arrays of int64, or None
        Positions in the two files of what found no partner, if each may have but one.
    """

    rows: Array
    cols: Array
    values: Array
    frames: Integers | None
    sizes: tuple[int, int]
    in_all: int
    tested: int | None
    work: tuple[str, int]
    describe: Callable[[], dict[str, str]]
    unmatched: tuple[Array, Array] | None = None

    def __len__(self) -> int:
        return len(self.values)


class Clock:
    """Shows the stages of the work, and measures their time.

    Parameters
    ----------
    begin
        Begins to show a stage, as `fastiou.report.stages` yields it.
    """

    def __init__(self, begin: Callable[[str], Stage]) -> None:
        self._begin = begin
        #: The time of each stage so far.
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Measure a stage, and yield what shows its progress."""
        before = time.perf_counter()
        update = self._begin(name)
        yield update
        update(1, 1)
        self._add(name, time.perf_counter() - before)

    @contextmanager
    def apart(self, name: str, stage: str) -> Iterator[None]:
        """Measure a part of a stage as one of its own."""
        before = time.perf_counter()
        yield
        spent = time.perf_counter() - before
        self._add(name, spent)
        self._add(stage, -spent)

    def _add(self, name: str, spent: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + spent


def check_metric(geometry: str, metric: str) -> None:
    """Raise a RefusedError if masks or labels have no such metric."""
    from fastiou.relations.masks import MASK_METRICS

    if geometry != "box" and metric not in MASK_METRICS:
        names = ", ".join(MASK_METRICS)
        what = "masks" if geometry == "mask" else "label images"
        raise RefusedError(f"--metric {metric} is for boxes; {what} have {names}")


class _Related(NamedTuple):
    """What one of the methods found."""

    rows: Array
    cols: Array
    values: Array
    tested: int | None = None
    unmatched: tuple[Array, Array] | None = None

    def work(self, unit: str, sizes: tuple[int, int]) -> tuple[str, int]:
        """What the work is counted in: what was compared, if that is known."""
        return (unit, sum(sizes)) if self.tested is None else ("pairs", self.tested)


def _relate(
    a: Any,
    b: Any,
    options: MatchOptions,
    groups: tuple[Integers, Integers] | None,
    fmt: str = "xyxy",
    scores: Floats | None = None,
    crowds: Booleans | None = None,
    progress: Stage | bool = False,
) -> _Related:
    """Call the function that does what the options ask for."""
    shared: dict[str, Any] = {"metric": options.metric, "fmt": fmt, "groups": groups}
    if options.method == "pairs":
        found = fastiou.pairs(a, b, options.threshold, progress=progress, **shared)
        return _Related(found.rows, found.cols, found.values, found.tested)
    if options.method == "topk":
        best = fastiou.topk(a, b, options.top, threshold=options.threshold, **shared)
        rows, ranks = np.nonzero(best.indices >= 0)
        return _Related(rows, best.indices[rows, ranks], best.values[rows, ranks])
    if options.method == "coco":
        # Without a crowd any metric will do.
        shared |= {"scores": scores, "iscrowd": crowds if _any(crowds) else None}
    match = fastiou.match(a, b, options.threshold, method=options.method, **shared)
    unmatched = match.unmatched_rows, match.unmatched_cols
    return _Related(match.rows, match.cols, match.values, unmatched=unmatched)


def _any(crowds: Booleans | None) -> bool:
    return crowds is not None and bool(crowds.any())


def _load_kernels(few: Any, options: MatchOptions, crowds: Booleans | None, **others: Any) -> None:
    """Compile or load what `_relate` needs for these masks or boxes, compared with themselves."""
    _relate(
        few,
        few,
        replace(options, threshold=0.5, top=1),
        scores=np.zeros(len(few)),
        crowds=np.arange(len(few)) % 2 == 0 if _any(crowds) else None,
        **{"groups": None, **others},
    )


def _groups_described(grouping: io.Grouping | None, a: Any, b: Any, options: MatchOptions) -> str:
    if grouping is not None:
        return grouping.described()
    if options.groups and (a.keys or b.keys):
        which = "A" if a.keys else "B"
        return f"only {which} has {' and '.join(a.keys or b.keys)}: all with all"
    if options.groups:
        return "in neither file: all with all"
    return "not used: all with all"


# ---- boxes ---------------------------------------------------------------------------------------


def compare_boxes(a: BoxFile, b: BoxFile, options: MatchOptions, clock: Clock) -> Found:
    """Find the pairs or matches of boxes.

    Parameters
    ----------
    a, b
        The files.
    options
        What to find.
    clock
        Shows and measures the stages.

    Raises
    ------
    RefusedError
        fastiou refuses the boxes, or an option.
    """
    grouping = io.common_groups(a, b)
    try:
        boxes_a, boxes_b, fmt = a.boxes, b.boxes, a.fmt
        if a.fmt != b.fmt:
            boxes_a, boxes_b = (fastiou.box_convert(x.boxes, x.fmt, "xyxy") for x in (a, b))
            fmt = "xyxy"
        with clock.stage("loading kernels"):
            _load_box_kernels(options, fmt, b.crowds)
        with clock.stage("matching") as update:
            groups = None if grouping is None else (grouping.codes_a, grouping.codes_b)
            found = _relate(
                boxes_a, boxes_b, options, groups, fmt, a.scores, b.crowds, progress=update
            )
    except ValueError as error:
        raise RefusedError(str(error)) from error

    def describe() -> dict[str, str]:
        return {
            "boxes in A": boxes_described(a),
            "boxes in B": boxes_described(b),
            "groups": _groups_described(grouping, a, b, options),
        }

    sizes = len(a), len(b)
    return Found(
        found.rows,
        found.cols,
        found.values,
        None,
        sizes,
        len(a) * len(b) if grouping is None else int(grouping.partners.sum()),
        found.tested,
        found.work("boxes", sizes),
        describe,
        found.unmatched,
    )


def _load_box_kernels(options: MatchOptions, fmt: str, crowds: Booleans | None) -> None:
    """Load what boxes need, so that the clock tells the speed of the work itself."""
    from fastiou.runtime import threads

    # As many groups as boxes, so that this is done as soon as everything is compiled.
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (threads.PARALLEL_FROM, 1))
    groups = np.arange(len(boxes))
    few = boxes[: math.isqrt(threads.PARALLEL_FROM) + 1]
    _load_kernels(few[:1], options, crowds, fmt=fmt)
    with threads.threads_awake():
        _load_kernels(few, options, crowds, fmt=fmt)
        _load_kernels(boxes, options, crowds, fmt=fmt, groups=(groups, groups))


def boxes_described(file: BoxFile) -> str:
    """How many, whence, and how many can match nothing: often a sign of another layout."""
    corners = np.asarray(fastiou.box_convert(file.boxes, file.fmt, "xyxy"))
    missing = np.isnan(corners).any(axis=1)
    empty = (corners[:, 2:] <= corners[:, :2]).any(axis=1) & ~missing
    words = [f"{len(file):,} from {file.path.name} ({file.format}, {file.fmt})"]
    for unfit, name in ((missing, "with NaN"), (empty, "empty or inverted")):
        if unfit.any():
            words.append(f"{np.count_nonzero(unfit):,} {name}")
    return ", ".join(words)


# ---- masks ---------------------------------------------------------------------------------------


def compare_masks(a: MaskFile, b: MaskFile, options: MatchOptions, clock: Clock) -> Found:
    """Find the pairs or matches of masks.

    Parameters
    ----------
    a, b
        The files.
    options
        What to find.
    clock
        Shows and measures the stages.

    Raises
    ------
    FileError
        A mask is malformed, or the size of its image is not known.
    RefusedError
        fastiou refuses an option.
    """
    with clock.stage("packing masks") as update:
        masks_a, masks_b = pack_masks((a, b), update)
    grouping = io.common_groups(a, b)
    assert grouping is not None  # every mask has an image
    with clock.stage("loading kernels"):
        words = int(grouping.partners @ (1 + masks_a.words_of_each))
        _load_mask_kernels(options, b.crowds, words)
    try:
        with clock.stage("matching") as update:
            groups = grouping.codes_a, grouping.codes_b
            found = _relate(
                masks_a, masks_b, options, groups, scores=a.scores, crowds=b.crowds, progress=update
            )
    except ValueError as error:
        raise RefusedError(str(error)) from error

    def describe() -> dict[str, str]:
        groups = _groups_described(grouping, a, b, options)
        return {
            "masks in A": masks_described(a, masks_a),
            "masks in B": masks_described(b, masks_b),
            "groups": groups + ("" if options.groups else " alone: masks need one image"),
        }

    sizes = len(a), len(b)
    return Found(
        found.rows,
        found.cols,
        found.values,
        None,
        sizes,
        int(grouping.partners.sum()),
        found.tested,
        found.work("masks", sizes),
        describe,
        found.unmatched,
    )


def pack_masks(files: Sequence[MaskFile], progress: Stage) -> list[fastiou.Masks]:
    """The masks of each file as bits, in the order of the file.

    Images of all sizes go into one set: they are padded to the largest, which takes no memory, and
    groups keep them apart.

    Parameters
    ----------
    files
        One or two.
    progress
        Called with the number of masks packed so far and in all.

    Returns
    -------
    list of Masks

    Raises
    ------
    FileError
        A mask is malformed, or the size of its image is not known.
    RefusedError
        No image can be as high as the highest and as wide as the widest.
    """
    from fastiou.geometries.masks.run_lengths import image_size

    sizes = mask_sizes(*files)
    every = np.concatenate(sizes)
    try:
        largest = image_size("the greatest height and width of all", every.max(axis=0, initial=0))
    except ValueError as error:
        raise RefusedError(str(error)) from error
    packed = []
    done = 0
    for file, own in zip(files, sizes, strict=True):
        distinct, numbers = np.unique(own, axis=0, return_inverse=True)
        is_outline = np.array([isinstance(mask, list) for mask in file.masks], np.bool_)
        # In NumPy 2.0 alone, the numbers have two dimensions.
        kinds = 2 * numbers.reshape(-1) + is_outline
        order = np.argsort(kinds, kind="stable")
        cuts = np.searchsorted(kinds[order], np.arange(2 * len(distinct) + 1)).tolist()
        sets = [fastiou.Masks.from_rle([], largest)]
        for kind, (first, last) in enumerate(itertools.pairwise(cuts)):
            for begin in range(first, last, MASKS_AT_A_TIME):
                some = order[begin : min(begin + MASKS_AT_A_TIME, last)]
                masks = _masks(file, some, distinct[kind // 2].tolist(), kind % 2 == 1)
                sets.append(masks.padded(largest))
                done += len(some)
                progress(done, len(every))
        joined = fastiou.Masks.concatenate(sets)
        in_order = bool((np.diff(order) > 0).all())
        packed.append(joined if in_order else joined[np.argsort(order)])
    return packed


def _masks(file: MaskFile, positions: Integers, size: list[int], outlines: bool) -> fastiou.Masks:
    name = "polygons" if outlines else "entries"
    make: Callable[..., fastiou.Masks] = (
        fastiou.Masks.from_polygons if outlines else fastiou.Masks.from_rle
    )
    height, width = size
    try:
        return make([file.masks[position] for position in positions], (height, width))
    except (TypeError, ValueError) as error:
        if len(positions) > 1:
            # One by one, since the message counts within what it was given.
            for position in range(len(positions)):
                _masks(file, positions[position : position + 1], size, outlines)
        message = " ".join(str(error).replace(f"{name}[0]", '"segmentation"').split())
        raise FileError(file.path, message, None, file.where(int(positions[0]))) from None


def _load_mask_kernels(options: MatchOptions, crowds: Booleans | None, most: int) -> None:
    """As `_load_box_kernels`, for a call that reads so many words.

    Those for many threads take so long to compile that little work does without.
    """
    from fastiou.runtime import threads

    few = math.isqrt(threads.PARALLEL_FROM) + 1
    masks = fastiou.Masks.from_rle([{"size": [1, 1], "counts": [0, 1]}] * few)
    _load_kernels(masks[:1], options, crowds)
    if most >= threads.PARALLEL_FROM:
        with threads.threads_awake():
            _load_kernels(masks, options, crowds)


def masks_described(file: MaskFile, masks: fastiou.Masks) -> str:
    """How many, whence, and how many can match nothing."""
    outlines = sum(isinstance(mask, list) for mask in file.masks)
    kinds = {"polygons": outlines, "run lengths": len(file) - outlines}
    words = [f"{count:,} {kind}" for kind, count in kinds.items() if count]
    empty = np.count_nonzero(masks.area == 0)
    if empty:
        words.append(f"{empty:,} empty")
    return f"{len(file):,} from {file.path.name} (coco{': ' if words else ''}{', '.join(words)})"


# ---- label images --------------------------------------------------------------------------------


def compare_labels(a: LabelFile, b: LabelFile, options: MatchOptions, clock: Clock) -> Found:
    """Find the pairs of labels in the frames that two files share.

    Parameters
    ----------
    a, b
        The files.
    options
        Threshold and metric.
    clock
        Shows and measures the stages.

    Raises
    ------
    FileError
        A frame cannot be read, or has another size than its partner.
    """
    shared = shared_frames(a, b)

    def read(number_a: int, number_b: int) -> tuple[Array, Array]:
        one, other = a.read(number_a), b.read(number_b)
        if one.shape != other.shape:
            where = None if b.count == 1 else f"frame {number_b}"
            where = b.names[number_b] if b.names else where
            found, expected = (
                " × ".join(map(str, image.shape)) + " pixels" for image in (other, one)
            )
            raise FileError(b.path, found, f"{expected}, as {a.path} has", where)
        return one, other

    objects_a = objects_b = pixels = in_all = tested = 0
    parts = []
    ready = None
    with clock.stage("loading kernels"):
        if shared.numbers:
            with clock.apart("reading", "loading kernels"):
                ready = read(*shared.numbers[0])
            _load_label_kernels(ready[0].dtype, ready[1].dtype, options.metric)
    with clock.stage("matching") as update:
        for done, (number_a, number_b) in enumerate(shared.numbers):
            update(done, len(shared.numbers))
            with clock.apart("reading", "matching"):
                one, other = ready or read(number_a, number_b)
                ready = None
            pixels += one.size
            rows, cols, values = fastiou.label_iou(one, other, options.metric)
            tested += len(values)
            kept = values >= options.threshold
            frames = np.full(np.count_nonzero(kept), number_a)
            parts.append((rows[kept], cols[kept], values[kept], frames))
            if not options.quiet:  # nobody else asks for the number of objects
                with clock.apart("counting objects", "matching"):
                    occurring = fastiou.label_overlap(one, other)[:2]
                    count_a, count_b = (int(np.count_nonzero(np.unique(x))) for x in occurring)
                    objects_a += count_a
                    objects_b += count_b
                    in_all += count_a * count_b
        rows, cols, values, frames = _concatenated(
            _of_one_type(parts), [np.int64, np.int64, np.float64, np.int64]
        )

    def describe() -> dict[str, str]:
        count = len(shared.numbers)
        facts = {
            "objects in A": f"{objects_a:,} from {_labels_described(a)}",
            "objects in B": f"{objects_b:,} from {_labels_described(b)}",
            "frames": f"{count:,}" + (" by name" if a.names else ""),
        }
        for name, names in (("only in A", shared.only_a), ("only in B", shared.only_b)):
            if names:
                more = ", …" if len(names) > NAMES_SHOWN else ""
                facts[name] = (
                    f"{len(names):,}, not compared: {', '.join(names[:NAMES_SHOWN])}{more}"
                )
        return facts

    return Found(
        rows,
        cols,
        values,
        frames,
        (objects_a, objects_b),
        in_all,
        tested,
        ("pixels", pixels),
        describe,
    )


def _concatenated(parts: Sequence[tuple[Array, ...]], dtypes: list[Any]) -> list[Array]:
    """The columns of all parts, of these types where there is none."""
    empty = [np.empty(0, dtype) for dtype in dtypes]
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)] or empty


def _of_one_type(parts: Sequence[tuple[Array, ...]]) -> Sequence[tuple[Array, ...]]:
    """Labels of all frames as int64, or as uint64 where one is 2⁶³ or more."""
    for column in (0, 1):
        labels = [part[column] for part in parts]
        if {part.dtype.kind for part in labels} == {"i", "u"}:  # joined, they would be floats
            if any(part.dtype.kind == "i" and part.min(initial=0) < 0 for part in labels):
                raise RefusedError(
                    "some labels are below 0 and some are 2**63 or more: they have no integer "
                    "type in common"
                )
            parts = [
                (*part[:column], part[column].astype(np.uint64), *part[column + 1 :])
                for part in parts
            ]
    return parts


def _load_label_kernels(dtype_a: np.dtype[Any], dtype_b: np.dtype[Any], metric: str) -> None:
    """As `_load_box_kernels`, for images of these types."""
    from fastiou.runtime import threads

    one, other = (np.ones(threads.PARALLEL_FROM, dtype) for dtype in (dtype_a, dtype_b))
    fastiou.label_iou(one[:1], other[:1], metric)
    with threads.threads_awake():
        fastiou.label_iou(one, other, metric)


def _labels_described(file: LabelFile) -> str:
    if not file.names:
        return f"{file.path.name} ({file.kind})"
    ignored = f", {file.ignored:,} other files left out" if file.ignored else ""
    return f"{file.path} ({file.count:,} images{ignored})"
