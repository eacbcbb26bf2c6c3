"""The commands `fastiou eval voc` and `openimages`: one IoU, and boxes of any files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastiou.cli.display import stages
from fastiou.cli.evaluate.coco import Request, check, common, show
from fastiou.cli.members import left_aside
from fastiou.cli.options import (
    by_option,
    check_scaled,
    check_skips,
    image_size_option,
)
from fastiou.formats.content import BoxFile
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.groups import common_groups
from fastiou.formats.keys import check_by
from fastiou.formats.reading import read_file
from fastiou.formats.suspicions import scales_apart
from fastiou.formats.table import SCALED
from fastiou.tables.grouping import Grouping
from fastiou.typing import Array

if TYPE_CHECKING:
    import click

__all__ = ["add_open_images", "add_voc"]

#: Protocols by the year of the challenge.
YEARS = {"2007": "voc07", "2010": "voc"}

#: What a column is called that tells groups of objects, in lower case and without underscores.
GROUPS = ("isgroupof", "iscrowd")

#: Options that messages of files advise, and that `fastiou convert` has.
OF_CONVERT = ("--boxes", "--format", "--geometry")

#: Layouts that have corners.
LAYOUTS = ("xyxy", "xywh", "cxcywh")


def _shared(function: Any) -> Any:
    """Give a command what both have."""
    import click

    options = (
        click.option(
            "--iou", type=float, default=0.5, show_default=True, help="The least IoU of a match."
        ),
        by_option(),
        image_size_option("Size of all images, by which the numbers of YOLO become pixels."),
        click.option("--class-agnostic", is_flag=True, help="Take all classes for one."),
    )
    for option in reversed(options):
        function = option(function)
    return common(function)


def add_open_images(group: click.Group) -> None:
    """Add the command `openimages` to `fastiou eval`."""

    @group.command("openimages")
    @_shared
    def open_images(gt: Path, dt: Path, **others: Any) -> None:
        """Score detections as Open Images does: AP of each class, and their mean.

        GT is the truth and DT what a detector says, with scores. Both may be files or folders of
        any format that has boxes, images and classes, such as the CSV of Open Images and COCO's
        JSON. A box is a group of objects where the column IsGroupOf is 1, or iscrowd of COCO.
        Labels are taken as they are: those of parents in the hierarchy are to be added before.

        \b
        Examples:
          fastiou eval openimages validation-annotations-bbox.csv detections.csv
          fastiou eval openimages truth.csv detections.csv --per-class
        """  # noqa: D301
        _score(gt, dt, "openimages", Request(**others))


def add_voc(group: click.Group) -> None:
    """Add the command `voc` to `fastiou eval`."""
    import click

    @group.command("voc")
    @_shared
    @click.option(
        "--year",
        type=click.Choice(list(YEARS)),
        default="2010",
        show_default=True,
        help="Precision at 11 recalls, as in 2007, or the area under the curve, as from 2010 on.",
    )
    def voc(gt: Path, dt: Path, year: str, **others: Any) -> None:
        """Score detections as PASCAL VOC does: AP of each class, and their mean.

        GT is the truth and DT what a detector says, with scores. Both may be files or folders of
        any format that has boxes, images and classes, such as VOC's XML, YOLO's labels and CSV.
        Objects that VOC's XML marks as difficult are ignored. Widths and heights include the last
        pixel, as in VOC's own kit.

        \b
        Examples:
          fastiou eval voc VOC2007/Annotations detections.csv --year 2007
          fastiou eval voc truth.csv detections.csv --per-class
        """  # noqa: D301
        _score(gt, dt, YEARS[year], Request(**others))


def _score(gt: Path, dt: Path, protocol: str, request: Request) -> None:
    check(gt, dt, request)
    if not 0 < request.iou <= 1:
        raise RefusedError(f"--iou must be greater than 0 and at most 1, got {request.iou}")
    with stages(False if request.quiet else request.progress) as begin:
        begin("evaluating")
        are_groups = protocol == "openimages"
        truth, found = (_read(path, request, in_pixels=not are_groups) for path in (gt, dt))
        check_skips(request.skip_invalid, truth.format, found.format)
        check_by(request.by, truth, found)
        check_scaled(request.image_size, truth, found)
        apart = scales_apart(truth, found)
        if apart is not None:
            raise RefusedError(apart[0])
        if found.scores is None:
            raise FileError(dt, "no scores", "a score of each detection")
        for file in (truth, found):
            if file.skipped is not None:
                _tell(f"{file.path}: {file.skipped.described()}")
            for note in file.notes:
                if file.ignored is None:  # else it tells that difficult objects are taken along
                    _tell(f"{file.path}: {note}")
        from fastiou.evaluation.coco_files import rather_corners
        from fastiou.evaluation.detection import average_precision

        groups = _groups(truth) if are_groups else None
        grouping = _grouped(truth, found, request)
        for words in left_aside(grouping, (truth, found), request.by):
            _tell(words)
        images = grouping.codes_of(*(key for key in grouping.keys if key != "category"))
        by_class = "category" in grouping.keys
        labels = grouping.codes_of("category") if by_class else tuple(map(_ranks, (truth, found)))
        _tell_unlisted(truth, found, images)
        preds = {
            "boxes": _corners(found), "scores": found.scores, "image_ids": images[1],
            "labels": labels[1],
        }  # fmt: skip
        target = {
            "boxes": _corners(truth), "image_ids": images[0], "labels": labels[0],
            "ignore": truth.ignored, "iscrowd": groups,
        }  # fmt: skip
        if found.format == "coco":
            words = rather_corners(_corners(found), _corners(truth), images[::-1])
            if words:
                _tell(f"{dt}: {words}")
        names = grouping.numbers["category"][0].tolist() if by_class else []
        result = average_precision(
            preds, target, protocol=protocol, fmt="xywh", iou_thresholds=[request.iou],
            class_agnostic=not by_class, class_names=dict(enumerate(map(str, names))),
        )  # fmt: skip
    show(result, f"{dt.name} scored by {gt.name}: {protocol}", request)


def _ranks(file: BoxFile) -> Array:
    """Numbers of the classes of one file in their order, by which equal scores are put in order."""
    own = file.keys.get("category", np.zeros(len(file), np.int64))
    return np.unique(own, return_inverse=True)[1].reshape(-1)


def _tell(words: str) -> None:
    print(f"fastiou: {words}", file=sys.stderr, flush=True)


def _tell_unlisted(truth: BoxFile, found: BoxFile, images: Sequence[Array]) -> None:
    """Tell of detections in images that the truth neither has nor lists."""
    known = {Path(str(image)).stem for image in truth.sizes}
    if len(known) < 2 or "image" not in found.keys:
        return
    others, rows = np.unique(images[1], return_index=True)
    names = found.keys["image"][rows[~np.isin(others, images[0])]].astype(np.str_).tolist()
    unlisted = [name for name in names if Path(name).stem not in known]
    if unlisted:
        words = f"detections in {len(unlisted):,} images that {truth.path.name} does not list"
        _tell(f"{found.path}: {words}, as in {unlisted[0]}")


def _read(path: Path, request: Request, *, in_pixels: bool) -> BoxFile:
    if not path.exists():
        raise FileError(path, "no such file or folder")
    if path.is_file() and not path.stat().st_size:
        return _of_nothing(BoxFile(path=path, format="empty", fmt="xyxy", boxes=np.empty((0, 4))))
    lists = path.is_dir() or request.image_size is not None
    wanted: dict[str, Any] = {
        "image_size": request.image_size, "sizes": lists, "skip_invalid": request.skip_invalid,
    }  # fmt: skip
    by = request.by
    try:
        file = read_file(path, "box", None, None, by=by, **wanted)
        told = [name for name in file.unused if _is_group_column(name)]
        if told and not in_pixels:  # the column is read as if it told images apart
            by = (*(file.keys if by is None else by), told[0])
            file = read_file(path, "box", None, None, by=by, **wanted)
    except FileError as error:
        others = " and ".join(option for option in OF_CONVERT if option in str(error))
        raise RefusedError(
            f"{error}; fastiou convert has {others}" if others else str(error)
        ) from None
    assert isinstance(file, BoxFile)
    if not len(file):
        file = _of_nothing(file)
    needed = ["image"] if request.class_agnostic else ["image", "category"]
    lacking = [key for key in needed if key not in file.keys]
    if lacking and request.by is None:
        known = ", ".join(file.keys) or "none"
        raise FileError(
            path, f"nothing tells the {' and the '.join(lacking)} of boxes; keys: {known}",
            "image and category, as columns or by the names of files, or --by image=COLUMN or "
            "category=COLUMN",
        )  # fmt: skip
    if file.format in SCALED and request.image_size is None and in_pixels:
        raise FileError(
            path, f"{file.format}, whose boxes are parts of the image",
            "pixels, of which the last belongs to a box: pass --image-size WIDTH,HEIGHT",
        )  # fmt: skip
    if file.fmt not in LAYOUTS:
        raise FileError(path, f"boxes as {file.fmt}", f"boxes as {', '.join(LAYOUTS)}")
    return file


def _of_nothing(file: BoxFile) -> BoxFile:
    """A file without a box, with all that is asked of one."""
    nothing = np.empty(0, np.int64)
    return replace(file, keys={"image": nothing, "category": nothing}, scores=np.empty(0))


def _is_group_column(name: str) -> bool:
    return name.lower().replace("_", "") in GROUPS


def _groups(file: BoxFile) -> Array | None:
    """Which boxes are groups of objects, if the file tells."""
    name = next(filter(_is_group_column, file.keys), None)
    if name is None:
        return file.crowds
    values = np.asarray(file.keys[name])
    flags = np.char.lower(values.astype(np.str_))
    wrong = ~np.isin(flags, ("0", "1", "false", "true"))
    if wrong.any():
        raise FileError(file.path, f"{name}: {values[wrong][0]}", "0 or 1")
    return np.isin(flags, ("1", "true"))


def _corners(file: BoxFile) -> Array:
    """The boxes as left, top, width and height."""
    from fastiou.relations.conversions import box_convert

    return np.asarray(box_convert(np.asarray(file.boxes, np.float64), file.fmt, "xywh"))


def _by_names(files: Sequence[BoxFile]) -> list[BoxFile] | None:
    """The files with classes by their names alone; None unless one has all names of the other."""
    told = [file.columns.get("category", {}) for file in files]
    for name in told[0]:
        if name in told[1] and all(own[name].dtype.kind == "U" for own in told):
            first, second = ({*own[name].tolist()} for own in told)
            if first <= second or second <= first:
                return [
                    replace(
                        file, keys={**file.keys, "category": own[name]},
                        columns={**file.columns, "category": {name: own[name]}},
                    )
                    for file, own in zip(files, told, strict=True)
                ]  # fmt: skip
    return None


def _grouped(truth: BoxFile, found: BoxFile, request: Request) -> Grouping:
    """Images and classes of both files, and other keys that `--by` names."""
    told = [file for file in (truth, found) if "video" in file.keys]
    if len(told) == 1 and len(truth) and len(found):
        raise RefusedError(
            f"only {told[0].path.name} tells videos, so nothing tells which images are the same "
            "(--by image,category compares without regard to them)"
        )

    def counts(key: str) -> bool:
        return not _is_group_column(key) and not (request.class_agnostic and key == "category")

    first, second = (
        replace(
            file, keys={key: own for key, own in file.keys.items() if counts(key)},
            columns={key: own for key, own in file.columns.items() if counts(key)},
        )
        for file in (truth, found)
    )  # fmt: skip
    if not len(second):  # which has any keys
        second = replace(second, keys={key: own[:0] for key, own in first.keys.items()}, columns={})
    if not len(first):
        first = replace(first, keys={key: own[:0] for key, own in second.keys.items()}, columns={})
    try:
        grouping = common_groups(first, second, ("GT", "DT"))
    except RefusedError:
        by_name = _by_names((first, second))
        if by_name is None:
            raise
        first, second = by_name
        grouping = common_groups(first, second, ("GT", "DT"))
        _tell(
            f"{truth.path.name} and {found.path.name} number classes otherwise: compared are their "
            "names"
        )
    if grouping is not None:
        return grouping
    # Without a key all are in one group.
    return Grouping((), np.zeros(len(truth), np.int64), np.zeros(len(found), np.int64), 1)
