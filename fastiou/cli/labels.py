"""Label images: the pairs of labels in the frames that two files share."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import fastiou
from fastiou.cli.display import LOADING, Clock
from fastiou.cli.kinds import Found, Kind
from fastiou.cli.options import MatchOptions, Options, check_skips
from fastiou.cli.summary import graded_matches
from fastiou.formats.errors import RefusedError
from fastiou.formats.images import (
    FOREGROUND,
    LabelFile,
    below_zero,
    one_object,
    read_frames,
    shared_frames,
)
from fastiou.typing import Array

if TYPE_CHECKING:
    from fastiou.segmentation.labels import LabelOverlap

__all__ = ["Labels", "described_file"]

#: What stands for the labels of an image with several objects.
SEVERAL = -1

#: So many labels are scattered over an image in photographs alone.
MANY_LABELS = 50

#: Names of images that a summary lists.
NAMES_SHOWN = 3


def few_labels(image: Array) -> list[int]:
    """The label of the only object of an image; `SEVERAL` where there are more, or none is told."""
    low, high = int(image.min(initial=0)), int(image.max(initial=0))
    if low != 0 or high not in FOREGROUND:
        return [SEVERAL] if high or low else []
    return [high] if ((image == 0) | (image == high)).all() else [SEVERAL]


def is_like_photograph(image: Array) -> bool:
    """Whether an image has many labels, and most pixels another than the one beside them."""
    if image.dtype.itemsize > 2 or not image.size:  # photographs have 8 or 16 bits
        return False
    changes = np.count_nonzero(image[:, 1:] != image[:, :-1])
    return 2 * changes > image.size and len(np.unique(image)) > MANY_LABELS


def warn_of_binary(file: LabelFile, labels: set[int]) -> None:
    """Tell that images are binary masks, if these are all labels in them."""
    if labels and labels <= FOREGROUND:
        print(f"fastiou: {file.path}: {one_object(max(labels))}", file=sys.stderr, flush=True)


# ---- methods -------------------------------------------------------------------------------------


def _all_pairs(found: LabelOverlap, options: MatchOptions) -> LabelOverlap:
    """The pairs of an image that score enough."""
    kept = found.values >= options.threshold
    return type(found)(*(column[kept] for column in found))


def _topk(found: LabelOverlap, options: MatchOptions) -> LabelOverlap:
    """The best partners of each label in A; of equal ones, the lowest labels."""
    enough = _all_pairs(found, options)
    order = np.lexsort((enough.cols, -enough.values, enough.rows))
    rows = enough.rows[order]
    ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return type(found)(*(column[order[ranks < options.top]] for column in enough))


def _matched(found: LabelOverlap, options: MatchOptions) -> LabelOverlap:
    """The matches of an image: each label at most once."""
    from fastiou.relations.match import match_pairs
    from fastiou.relations.pairs import Pairs

    rows, cols, values = _all_pairs(found, options)
    labels_a, places_a = np.unique(rows, return_inverse=True)
    labels_b, places_b = np.unique(cols, return_inverse=True)
    pairs = Pairs(places_a, places_b, values, (len(labels_a), len(labels_b)), len(values))
    chosen_a, chosen_b, values, *_ = match_pairs(pairs, options.method)
    return type(found)(labels_a[chosen_a], labels_b[chosen_b], values)


#: How each method chooses from the pairs of an image that share pixels, by `--method`.
METHODS: dict[str, Callable[[LabelOverlap, MatchOptions], LabelOverlap]] = {
    "pairs": _all_pairs,
    "greedy": _matched,
    "optimal": _matched,
    "most": _matched,
    "topk": _topk,
}

#: Methods by which each label has at most one partner.
MATCHES = ("greedy", "optimal", "most")


# ---- images --------------------------------------------------------------------------------------


class Labels(Kind):
    """Label images, compared frame by frame."""

    name = "labels"
    noun = "label images"
    compared = " that share pixels"

    def check(self, options: Options, *formats: str | None) -> None:
        """See `Kind.check`."""
        super().check(options, *formats)
        check_skips(options.skip_invalid, self.name)
        if options.by is not None:
            raise RefusedError(
                "--by and --no-groups are not for label images: labels meet within frames"
            )
        for name in ("boxes", "boxes_a", "boxes_b", "image_size"):
            if getattr(options, name, None) is not None:
                option = name.replace("_", "-")
                raise RefusedError(f"--{option} is for boxes, not for label images")
        if options.method not in METHODS:
            names = ", ".join(METHODS)
            raise RefusedError(
                f"--method {options.method} is for boxes and masks, which have scores and crowds; "
                f"label images have {names}"
            )

    def find(self, a: LabelFile, b: LabelFile | None, options: MatchOptions, clock: Clock) -> Found:
        """See `Kind.find`."""
        if b is None:
            raise RefusedError("labels of one image never overlap: name a second file of labels")
        shared = shared_frames(a, b)
        choose = METHODS[options.method]
        matches = options.method in MATCHES
        with clock.stage(LOADING):
            compare, count = fastiou.label_iou, fastiou.label_overlap
            if matches:
                importlib.import_module("fastiou.relations.match")
        objects_a = objects_b = pixels = in_all = tested = 0
        # The labels of either file, as far as no image of it has several.
        seen: tuple[set[int], set[int]] = set(), set()
        lowest, scattered = [0, 0], [False, False]
        parts: list[tuple[Array, ...]] = []
        # What is unmatched in A, and in B: labels and frames.
        alone: tuple[list[tuple[Array, ...]], list[tuple[Array, ...]]] = [], []
        with clock.stage("matching") as update:
            for done, (number_a, number_b) in enumerate(shared.numbers):
                update(done, len(shared.numbers))
                with clock.apart("reading", "matching"):
                    one, other = read_frames(a, b, number_a, number_b)
                for k, image in enumerate((one, other)):
                    seen[k].update(few_labels(image) if seen[k] <= FOREGROUND else ())
                    lowest[k] = min(lowest[k], int(image.min(initial=0)))
                    scattered[k] = scattered[k] or (done == 0 and is_like_photograph(image))
                pixels += one.size
                found = compare(one, other, options.metric)
                tested += len(found.values)
                rows, cols, values = choose(found, options)
                parts.append((rows, cols, values, np.full(len(rows), number_a)))
                if options.quiet and not matches:  # nobody else asks for the objects
                    continue
                with clock.apart("counting objects", "matching"):
                    occurring = [np.unique(labels) for labels in count(one, other)[:2]]
                labels_a, labels_b = (labels[labels != 0] for labels in occurring)
                objects_a += len(labels_a)
                objects_b += len(labels_b)
                in_all += len(labels_a) * len(labels_b)
                for side, labels, taken in zip(
                    alone, (labels_a, labels_b), (rows, cols), strict=True
                ):
                    left = labels[~np.isin(labels, taken)]
                    side.append((left, np.full(len(left), number_a)))
            for file, labels_seen, label, is_scattered in zip(
                (a, b), seen, lowest, scattered, strict=True
            ):
                warn_of_binary(file, labels_seen)
                if is_scattered:
                    words = "labels change from pixel to pixel, as grey does in a photograph"
                    print(f"fastiou: {file.path}: {words}", file=sys.stderr, flush=True)
                if label < 0:
                    print(f"fastiou: {file.path}: {below_zero(label)}", file=sys.stderr, flush=True)
            rows, cols, values, frames = _concatenated(
                _of_one_type(parts, 2), [np.int64, np.int64, np.float64, np.int64]
            )
            unmatched = None
            if matches:
                left_a, left_b = (
                    _concatenated(_of_one_type(side, 1), [np.int64, np.int64]) for side in alone
                )
                unmatched = left_a[0], left_b[0], left_a[1], left_b[1]

        apart: dict[str, str] = {}
        for letter, names in (("A", shared.only_a), ("B", shared.only_b)):
            if names:
                some = ", ".join(names[:NAMES_SHOWN])
                more = ", …" if len(names) > NAMES_SHOWN else ""
                apart[f"only in {letter}"] = f"{len(names):,}, not compared: {some}{more}"
        if options.quiet:  # told even so, since the result lacks something
            ignored = [f"{file.path}: {file.ignored:,} other files left out"
                       for file in (a, b) if file.ignored]  # fmt: skip
            for words in (*(f"{name} {words}" for name, words in apart.items()), *ignored):
                print(f"fastiou: {words}", file=sys.stderr, flush=True)

        def describe() -> dict[str, str]:
            facts = {
                "objects in A": f"{objects_a:,} from {described_file(a)}",
                "objects in B": f"{objects_b:,} from {described_file(b)}",
                "frames": f"{len(shared.numbers):,}" + (" by name" if a.names else ""),
            }
            return facts | apart

        sizes, work = (objects_a, objects_b), ("pixels", pixels)
        graded = graded_matches(len(rows), *sizes) if matches else {}
        return Found(
            rows, cols, values, sizes, in_all, tested, work, describe, frames, unmatched, graded
        )


def _concatenated(parts: Sequence[tuple[Array, ...]], dtypes: list[Any]) -> list[Array]:
    """The columns of all parts, of these types where there is none."""
    empty = [np.empty(0, dtype) for dtype in dtypes]
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)] or empty


def _of_one_type(parts: Sequence[tuple[Array, ...]], count: int) -> Sequence[tuple[Array, ...]]:
    """The first columns, labels of all frames, as int64, or as uint64 where one is 2⁶³ or more."""
    for column in range(count):
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


def described_file(file: LabelFile) -> str:
    """A file or folder as summaries name it."""
    if not file.names:
        return f"{file.path.name} ({file.kind})"
    ignored = f", {file.ignored:,} other files left out" if file.ignored else ""
    panoptic = "panoptic " if file.kind.startswith("panoptic") else ""
    return f"{file.path} ({file.count:,} {panoptic}images{ignored})"
