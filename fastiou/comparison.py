"""The pairs between two files of boxes, of masks, or of label images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastiou
from fastiou import io
from fastiou.coco import MaskFile, mask_sizes
from fastiou.files import BoxFile, FileError, Integers
from fastiou.images import LabelFile, shared_frames
from fastiou.report import Stage

__all__ = [
    "Clock",
    "Found",
    "MatchOptions",
    "RefusedError",
    "check_metric",
    "compare_boxes",
    "compare_labels",
    "compare_masks",
]

Array = npt.NDArray[Any]

#: Masks that are packed at a time: few enough that Ctrl-C and progress do not wait.
MASKS_AT_A_TIME = 1024

#: Names of images that a summary lists.
NAMES_SHOWN = 3


class RefusedError(Exception):
    """What is in the files, or an option, is not what fastiou accepts; the message says why."""


@dataclass(frozen=True)
class MatchOptions:
    """What `fastiou match` was asked for; each attribute is the option of that name."""

    threshold: float = 0.5
    metric: str = "iou"
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
    """The pairs between two files.

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
    tested : int
        How many scores were computed.
    work : tuple
        What the work is counted in, and how much it was.
    describe : function
        What the summary says of the files, by name.
    """

    rows: Array
    cols: Array
    values: Array
    frames: Integers | None
    sizes: tuple[int, int]
    tested: int
    work: tuple[str, int]
    describe: Callable[[], dict[str, str]]

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
    from fastiou.masks import MASK_METRICS

    if geometry != "box" and metric not in MASK_METRICS:
        names = ", ".join(MASK_METRICS)
        what = "masks" if geometry == "mask" else "label images"
        raise RefusedError(f"--metric {metric} is for boxes; {what} have {names}")


def _groups_described(grouping: io.Grouping | None, a: Any, b: Any, options: MatchOptions) -> str:
    if grouping is not None:
        return f"{grouping.count:,} by {' and '.join(grouping.keys)}"
    if options.groups and (a.keys or b.keys):
        which = "A" if a.keys else "B"
        return f"only {which} has {' and '.join(a.keys or b.keys)}: all with all"
    if options.groups:
        return "in neither file: all with all"
    return "not used: all with all"


# ---- boxes ---------------------------------------------------------------------------------------


def compare_boxes(a: BoxFile, b: BoxFile, options: MatchOptions, clock: Clock) -> Found:
    """Find the pairs of boxes.

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
    RefusedError
        `fastiou.pairs` refuses the boxes.
    """
    grouping = io.common_groups(a, b)
    try:
        boxes_a, boxes_b, fmt = a.boxes, b.boxes, a.fmt
        if a.fmt != b.fmt:
            boxes_a, boxes_b = (fastiou.box_convert(x.boxes, x.fmt, "xyxy") for x in (a, b))
            fmt = "xyxy"
        with clock.stage("loading kernels"):
            _load_box_kernels(options.metric, fmt)
        with clock.stage("matching") as update:
            found = fastiou.pairs(
                boxes_a,
                boxes_b,
                options.threshold,
                metric=options.metric,
                fmt=fmt,
                groups=None if grouping is None else (grouping.codes_a, grouping.codes_b),
                progress=update,
            )
    except ValueError as error:
        raise RefusedError(str(error)) from error

    def describe() -> dict[str, str]:
        return {
            "boxes in A": _boxes_described(a),
            "boxes in B": _boxes_described(b),
            "groups": _groups_described(grouping, a, b, options),
        }

    return Found(
        found.rows,
        found.cols,
        found.values,
        None,
        found.shape,
        found.tested,
        ("pairs", found.tested),
        describe,
    )


def _load_box_kernels(metric: str, fmt: str) -> None:
    """Compile or load what `pairs` needs, so that the clock tells the speed of the work itself."""
    from fastiou import dispatch

    # As many groups as boxes, so that this is done as soon as everything is compiled.
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (dispatch.PARALLEL_FROM, 1))
    groups = np.arange(len(boxes))
    few = boxes[: math.isqrt(dispatch.PARALLEL_FROM) + 1]
    fastiou.pairs(few[:1], few[:1], metric=metric, fmt=fmt)
    with dispatch.threads_awake():
        fastiou.pairs(few, few, metric=metric, fmt=fmt)
        fastiou.pairs(boxes, boxes, metric=metric, fmt=fmt, groups=(groups, groups))


def _boxes_described(file: BoxFile) -> str:
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


@dataclass(frozen=True, eq=False)
class _Packed:
    """The masks of a file that are of one size."""

    masks: fastiou.Masks
    #: For each its position in the file.
    positions: Integers


def compare_masks(a: MaskFile, b: MaskFile, options: MatchOptions, clock: Clock) -> Found:
    """Find the pairs of masks.

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
        A mask is malformed, or the size of its image is not known.
    """
    sizes_a, sizes_b = mask_sizes(a, b)
    grouping = io.common_groups(a, b)
    assert grouping is not None  # every mask has an image
    # Masks of one size go into one set, of however many images they are: groups keep these apart.
    both = np.concatenate([sizes_a, sizes_b])
    sizes, numbers = np.unique(both, axis=0, return_inverse=True)
    numbers = numbers.reshape(-1)  # in NumPy 2.0 alone it has two dimensions
    with clock.stage("packing masks") as update:
        packed_a = _pack(a, sizes, numbers, 0, update)
        packed_b = _pack(b, sizes, numbers, len(a), update)
    # For each mask of A, with how many it is compared.
    partners = np.bincount(grouping.codes_b, minlength=grouping.count)[grouping.codes_a]
    total = int(partners.sum())
    with clock.stage("loading kernels"):
        words = [partners[x.positions] @ (1 + x.masks.words_of_each) for x in packed_a.values()]
        _load_mask_kernels(options.metric, int(max(words, default=0)))
    tested = 0
    parts = []
    with clock.stage("matching") as update:
        for number in sorted(packed_a.keys() & packed_b.keys()):
            one, other = packed_a[number], packed_b[number]
            work = int(partners[one.positions].sum())
            if not work:
                continue

            def forward(done: int, of: int, before: int = tested, work: int = work) -> None:
                update(before + work * done // of, total)

            found = fastiou.pairs(
                one.masks,
                other.masks,
                options.threshold,
                metric=options.metric,
                groups=(grouping.codes_a[one.positions], grouping.codes_b[other.positions]),
                progress=forward,
            )
            tested += found.tested
            parts.append((one.positions[found.rows], other.positions[found.cols], found.values))
        rows, cols, values = _concatenated(parts, [np.int64, np.int64, np.float64])
        order = np.lexsort((cols, rows))

    def describe() -> dict[str, str]:
        groups = _groups_described(grouping, a, b, options)
        return {
            "masks in A": _masks_described(a, packed_a),
            "masks in B": _masks_described(b, packed_b),
            "groups": groups + ("" if options.groups else " alone: masks need one image"),
        }

    return Found(
        rows[order],
        cols[order],
        values[order],
        None,
        (len(a), len(b)),
        tested,
        ("pairs", tested),
        describe,
    )


def _concatenated(parts: Sequence[tuple[Array, ...]], dtypes: list[Any]) -> list[Array]:
    """The columns of all parts, of these types where there is none."""
    empty = [np.empty(0, dtype) for dtype in dtypes]
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)] or empty


def _pack(
    file: MaskFile, sizes: Integers, numbers: Integers, before: int, progress: Stage
) -> dict[int, _Packed]:
    """The masks of a file as bits, by the number of their size.

    `numbers` are those of the masks of both files, and this file's begin after `before`.
    """
    total = len(numbers)
    numbers = numbers[before : before + len(file)]
    order = np.argsort(numbers, kind="stable")
    cuts = np.searchsorted(numbers[order], np.arange(len(sizes) + 1))
    is_outline = np.array([isinstance(mask, list) for mask in file.masks], np.bool_)
    packed = {}
    done = 0
    for number, size in enumerate(sizes.tolist()):
        positions = order[cuts[number] : cuts[number + 1]]
        sets, places = [], []
        for outlines in (False, True):
            chosen = positions[is_outline[positions] == outlines]
            for first in range(0, len(chosen), MASKS_AT_A_TIME):
                some = chosen[first : first + MASKS_AT_A_TIME]
                sets.append(_masks(file, some, size, outlines))
                places.append(some)
                done += len(some)
                progress(before + done, total)
        if sets:
            masks = fastiou.Masks.concatenate(sets)
            packed[number] = _Packed(masks, np.concatenate(places))
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


def _load_mask_kernels(metric: str, most: int) -> None:
    """As `_load_box_kernels`, for calls that read at most so many words.

    Those for many threads take so long to compile that little work does without.
    """
    from fastiou import dispatch

    few = math.isqrt(dispatch.PARALLEL_FROM) + 1
    masks = fastiou.Masks.from_rle([{"size": [1, 1], "counts": [0, 1]}] * few)
    fastiou.pairs(masks[:1], masks[:1], metric=metric)
    if most >= dispatch.PARALLEL_FROM:
        with dispatch.threads_awake():
            fastiou.pairs(masks, masks, metric=metric)


def _masks_described(file: MaskFile, packed: dict[int, _Packed]) -> str:
    """How many, whence, and how many can match nothing."""
    outlines = sum(isinstance(mask, list) for mask in file.masks)
    kinds = {"polygons": outlines, "run lengths": len(file) - outlines}
    words = [f"{count:,} {kind}" for kind, count in kinds.items() if count]
    empty = sum(np.count_nonzero(part.masks.area == 0) for part in packed.values())
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

    objects_a = objects_b = pixels = tested = 0
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
                    all_a, all_b, _ = fastiou.label_overlap(one, other)
                    objects_a += np.count_nonzero(np.unique(all_a))
                    objects_b += np.count_nonzero(np.unique(all_b))
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
        tested,
        ("pixels", pixels),
        describe,
    )


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
    from fastiou import dispatch

    one, other = (np.ones(dispatch.PARALLEL_FROM, dtype) for dtype in (dtype_a, dtype_b))
    fastiou.label_iou(one[:1], other[:1], metric)
    with dispatch.threads_awake():
        fastiou.label_iou(one, other, metric)


def _labels_described(file: LabelFile) -> str:
    if not file.names:
        return f"{file.path.name} ({file.kind})"
    ignored = f", {file.ignored:,} other files left out" if file.ignored else ""
    return f"{file.path} ({file.count:,} images{ignored})"
