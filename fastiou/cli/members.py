"""Boxes and masks: members of files that are compared within groups."""

from __future__ import annotations

import functools
import sys
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

import fastiou
from fastiou.cli.display import LOADING, Clock
from fastiou.cli.kinds import Found, Kind, refusals
from fastiou.cli.methods import METHODS, Query, Related
from fastiou.cli.options import METRIC_NAMES, MatchOptions, Options, check_scaled, check_skips
from fastiou.cli.summary import graded_matches
from fastiou.formats.coco import MaskFile
from fastiou.formats.content import BoxFile, MemberFile
from fastiou.formats.errors import RefusedError, shortened
from fastiou.formats.groups import common_groups
from fastiou.formats.keys import check_by
from fastiou.formats.masks import mask_sizes, pack_masks
from fastiou.formats.suspicions import scales_apart
from fastiou.tables.column_names import key_named, perhaps_image
from fastiou.tables.grouping import Grouping, names_of_pairs
from fastiou.tables.layouts import LAYOUTS, common_layout, extents
from fastiou.typing import Array

__all__ = ["MEMBERS", "Boxes", "Masks", "Members", "Sets", "left_aside"]


#: How many of the columns that are not used are named.
UNUSED_NAMED = 12


class Sets(NamedTuple):
    """What the functions of fastiou take: the members of each file, and their layout."""

    members: list[Any]
    fmt: str


class Members(Kind):
    """A kind of content whose members fastiou compares within groups."""

    #: What a summary says of groups without `--no-groups`.
    alone: ClassVar[str] = ""

    @abstractmethod
    def sets(self, files: Sequence[Any], clock: Clock) -> Sets:
        """Make the members of one or two files into what the functions of fastiou take."""

    @abstractmethod
    def described(self, file: Any, members: Any) -> str:
        """How many members a file has, whence, and how many of them can match nothing."""

    def noted(self, files: Sequence[Any]) -> dict[str, str]:
        """What else a summary says of the files, by name."""
        return {}

    def look_again(self, files: Sequence[Any], groups: Any) -> None:
        """Tell what files could be, two of which have nothing in common as they were read."""

    def groups_described(
        self, grouping: Grouping | None, files: Sequence[MemberFile], options: Options
    ) -> str:
        """By what members are grouped, or why they are not."""
        if grouping is not None:
            return grouping.described() + ("" if options.by != () else self.alone)
        if options.by == ():
            words = "not used"
        else:
            words = "not in the file" if len(files) == 1 else "in neither file"
        return f"{words}: all with all"

    def find(
        self, a: MemberFile, b: MemberFile | None, options: MatchOptions, clock: Clock
    ) -> Found:
        """See `Kind.find`."""
        files = (a,) if b is None else (a, b)
        check_skips(options.skip_invalid, *(file.format for file in files))
        check_by(options.by, *files)
        check_scaled(options.image_size, *files)
        sets = self.sets(files, clock)
        grouping = common_groups(a, b)
        self.warn(grouping, files, options)
        method = METHODS[options.method]
        with clock.stage(LOADING):
            method.load()
        groups = None if grouping is None else grouping.codes[: len(files)]
        members_a, *others = sets.members
        members_b, crowds = (others[0], files[-1].crowds) if others else (None, None)
        query = Query(members_a, members_b, sets.fmt, groups, a.scores, crowds, options)
        with clock.stage("matching") as update, refusals():
            related = method.relate(query, update)

        if b is not None and not len(related.rows):
            self.look_again(files, groups)

        def describe() -> dict[str, str]:
            sides = zip(("A", "B"), files, sets.members, strict=False)
            facts = {
                f"{self.noun} in {side}" if b is not None else self.noun: self.described(
                    file, members
                )
                for side, file, members in sides
            }
            facts |= self.noted(files)
            return {**facts, "groups": self.groups_described(grouping, files, options)}

        sizes = tuple(map(len, files))
        in_all = _pairs_in_all(sizes) if grouping is None else grouping.pairs
        tested = related.tested
        unmatched = None
        if related.unmatched is not None:
            unmatched = a.places(related.unmatched[0]), files[-1].places(related.unmatched[1])
        return Found(
            a.places(related.rows),
            files[-1].places(related.cols),
            related.values,
            sizes,
            in_all,
            tested,
            (self.noun, sum(sizes)) if tested is None else ("pairs", tested),
            describe,
            unmatched=unmatched,
            graded=self._graded(related, a, files[-1], by_score=method.by_score),
            names=names_of_pairs(
                {} if grouping is None else grouping.values,
                a.ids,
                files[-1].ids,
                related.rows,
                related.cols,
            ),
        )

    def _graded(
        self, related: Related, a: MemberFile, b: MemberFile, *, by_score: bool
    ) -> dict[str, str]:
        """What a summary says of matches; by COCO's rule of those that have to do with no crowd."""
        if related.unmatched is None:
            return {}
        matched = len(related.cols)
        if not by_score:
            return graded_matches(matched, len(a), len(b), self.noun)
        crowds = np.zeros(len(b), np.bool_) if b.crowds is None else b.crowds
        ignored = int(np.count_nonzero(crowds[related.cols]))
        truth, found = len(b) - int(np.count_nonzero(crowds)), len(a) - ignored
        graded = graded_matches(matched - ignored, truth, found, self.noun, truth_in="B")
        if crowds.any():
            graded["counts"] += f"; without crowds and {ignored:,} matched with them"
        return graded

    def warn(
        self, grouping: Grouping | None, files: Sequence[MemberFile], options: Options
    ) -> None:
        """Tell what must be told, also where nobody asked for the summary, which tells it else.

        Raises
        ------
        RefusedError
            A layout was asked for, and all files tell others; or one file is normalized and the
            other is not, so that nothing can match.
        """
        boxes = [file for file in files if isinstance(file, BoxFile)]
        told = {file.fmt for file in boxes}
        if options.boxes is not None and told and options.boxes not in told:
            names, layouts = (" and ".join(words) for words in (_names(files), sorted(told)))
            raise RefusedError(
                f"--boxes {options.boxes} is for files that do not tell their layout: {names} "
                f"tell {layouts}"
            )
        for side, file in zip("ab", boxes, strict=False):
            layout = getattr(options, f"boxes_{side}", None)
            if layout not in (None, file.fmt):
                raise RefusedError(
                    f"--boxes-{side} {layout} is for a file that does not tell its layout: "
                    f"{file.path.name} tells {file.fmt}"
                )
        apart = scales_apart(*boxes) if len(boxes) == 2 else None
        words = []
        if apart is not None:
            found, most = apart
            if options.metric == "iou" and most < options.threshold:
                raise RefusedError(found)
            words.append(found)
        for each in files if options.by is None else ():
            if each.likely_images:
                found, by = perhaps_image(each.likely_images, tuple(each.keys))
                words.append(f"{each.path.name}: {found}; --by {by} takes it")
        words += left_aside(grouping, files, options.by) if options.quiet else []
        for line in words:
            print(f"fastiou: {line}", file=sys.stderr, flush=True)


def left_aside(
    grouping: Grouping | None, files: Sequence[MemberFile], by: Sequence[str] | None
) -> list[str]:
    """What is said of what was not used of files, but for keys that `--by` leaves aside."""
    words = []
    if grouping is not None and grouping.aside:
        words.append(f"groups are {grouping.described()}")
    for file in files:
        unused = [name for name in file.unused if by is None or not key_named(name)]
        if unused:
            more = len(unused) - UNUSED_NAMED
            listed = ", ".join(map(shortened, unused[:UNUSED_NAMED]))
            if more > 0:
                listed += f" and {more} more"
            words.append(f"{file.path.name}: not used: {listed}")
    return words


def _classes_told(file: MemberFile) -> list[str]:
    return [f"classes named by {file.classes_in}"] if file.classes_in else []


def _names(files: Sequence[MemberFile]) -> list[str]:
    return list(dict.fromkeys(file.path.name for file in files))


def _pairs_in_all(sizes: Sequence[int]) -> int:
    return sizes[0] * sizes[1] if len(sizes) > 1 else sizes[0] * (sizes[0] - 1) // 2


def _in_layout(file: BoxFile, fmt: str) -> Array:
    if file.fmt == fmt:
        return file.boxes
    # float32 would round.
    converted: Array = fastiou.box_convert(file.boxes.astype(np.float64), file.fmt, fmt)
    return converted


class Boxes(Members):
    """Boxes of any layout."""

    name = "box"
    noun = "boxes"

    def metrics(self) -> Sequence[str]:
        """See `Kind.metrics`."""
        return METRIC_NAMES

    def sets(self, files: Sequence[BoxFile], clock: Clock) -> Sets:
        """See `Members.sets`."""
        # What is not there has any layout.
        told = [file.fmt for file in files if len(file)] or [file.fmt for file in files[:1]]
        with refusals():
            fmt = functools.reduce(common_layout, told)
            none = np.empty((0, LAYOUTS[fmt]))
            members = [_in_layout(file, fmt) if len(file) else none for file in files]
        return Sets(members, fmt)

    def look_again(self, files: Sequence[BoxFile], groups: Any) -> None:
        """See `Members.look_again`: COCO's boxes may be corners."""
        from fastiou.evaluation.coco_files import rather_corners

        if {file.fmt for file in files} - {"xyxy", "xywh", "cxcywh"}:
            return
        boxes = [np.asarray(fastiou.box_convert(f.boxes, f.fmt, "xywh"), float) for f in files]
        for one, other in ((0, 1), (1, 0)):
            if files[one].format == "coco":
                both = None if groups is None else (groups[one], groups[other])
                words = rather_corners(boxes[one], boxes[other], both)
                if words:
                    print(f"fastiou: {files[one].path}: {words}", file=sys.stderr, flush=True)

    def described(self, file: BoxFile, members: Any) -> str:
        """See `Members.described`; boxes that can match nothing are often of another layout."""
        missing = np.isnan(file.boxes).any(axis=1)
        empty = np.zeros(len(file), np.bool_)
        for low, high in extents(file.boxes, file.fmt):
            empty |= high <= low
        words = [f"{len(file):,} from {file.path.name} ({file.format}, {file.fmt})"]
        words += _classes_told(file)
        if file.unused:
            words.append(f"not used: {shortened(', '.join(file.unused))}")
        for unfit, name in ((missing, "with NaN"), (empty & ~missing, "empty or inverted")):
            if unfit.any():
                words.append(f"{np.count_nonzero(unfit):,} {name}")
        return ", ".join(words)


class Masks(Members):
    """Masks of COCO files."""

    name = "mask"
    noun = "masks"
    alone = " alone: masks need one image"

    def sets(self, files: Sequence[MaskFile], clock: Clock) -> Sets:
        """See `Members.sets`."""
        with clock.stage("packing masks") as update:
            members = pack_masks(files, update)
        for file, masks in zip(files, members, strict=True):
            if len(masks) and masks.area.max() <= 1:
                words = "no mask has more than a pixel, as outlines from 0 to 1, parts of the image"
                print(f"fastiou: {file.path}: {words}", file=sys.stderr, flush=True)
        return Sets(members, "xyxy")

    def noted(self, files: Sequence[MaskFile]) -> dict[str, str]:
        """See `Members.noted`; only images of one size make one set, so others are padded."""
        sizes = np.unique(np.concatenate(mask_sizes(*files)), axis=0)
        if len(sizes) < 2:
            return {}
        height, width = sizes.max(axis=0).tolist()
        words = f"{len(sizes):,} sizes, padded to {height:,} × {width:,} pixels"
        return {"images": words}

    def described(self, file: MaskFile, members: fastiou.Masks) -> str:
        """See `Members.described`."""
        outlines = int(np.count_nonzero(file.packable.is_outline))
        kinds = {"polygons": outlines, "run lengths": len(file) - outlines}
        words = [f"{count:,} {kind}" for kind, count in kinds.items() if count]
        empty = np.count_nonzero(members.area == 0)
        if empty:
            words.append(f"{empty:,} empty")
        details = f"{file.format}{': ' if words else ''}{', '.join(words)}"
        return ", ".join([f"{len(file):,} from {file.path.name} ({details})", *_classes_told(file)])


#: The kinds whose members have groups and scores, by the option `--geometry`.
MEMBERS: dict[str, Members] = {kind.name: kind for kind in (Boxes(), Masks())}
