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
from fastiou.cli.options import check_scaled, check_skips, size_in
from fastiou.formats.content import BoxFile
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.groups import common_groups
from fastiou.formats.reading import read_file
from fastiou.formats.suspicions import scales_apart
from fastiou.formats.table import SCALED
from fastiou.tables.grouping import images_of
from fastiou.typing import Array

if TYPE_CHECKING:
    import click

__all__ = ["add_open_images", "add_voc"]

#: Protocols by the year of the challenge.
YEARS = {"2007": "voc07", "2010": "voc"}

#: What a column is called that tells groups of objects, in lower case and without underscores.
GROUPS = ("isgroupof", "iscrowd")

#: Layouts that have corners.
LAYOUTS = ("xyxy", "xywh", "cxcywh")


def _shared(function: Any) -> Any:
    """Give a command what both have."""
    import click

    options = (
        click.option(
            "--iou", type=float, default=0.5, show_default=True, help="The least IoU of a match."
        ),
        click.option(
            "--image-size",
            callback=size_in,
            metavar="WIDTH,HEIGHT",
            help="Size of all images, by which the numbers of YOLO become pixels.",
        ),
        click.option(
            "--skip-invalid", is_flag=True, help="Leave out annotations that are invalid."
        ),
        click.option("--class-agnostic", is_flag=True, help="Take all classes for one."),
    )
    for option in reversed(options):
        function = option(function)
    return common(function)


def add_open_images(group: click.Group) -> None:
    """Add the command `openimages` to `fastiou eval`."""

    @group.command("openimages")
    @_shared
    def open_images(
        gt: Path,
        dt: Path,
        iou: float,
        image_size: tuple[int, int] | None,
        skip_invalid: bool,
        **others: Any,
    ) -> None:
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
        _score(gt, dt, "openimages", iou, image_size, skip_invalid, Request(**others))


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
    def voc(
        gt: Path,
        dt: Path,
        year: str,
        iou: float,
        image_size: tuple[int, int] | None,
        skip_invalid: bool,
        **others: Any,
    ) -> None:
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
        _score(gt, dt, YEARS[year], iou, image_size, skip_invalid, Request(**others))


def _score(
    gt: Path,
    dt: Path,
    protocol: str,
    iou: float,
    image_size: tuple[int, int] | None,
    skip_invalid: bool,
    request: Request,
) -> None:
    check(gt, dt, request)
    if not 0 < iou <= 1:
        raise RefusedError(f"--iou must be greater than 0 and at most 1, got {iou}")
    with stages(False if request.quiet else request.progress) as begin:
        begin("evaluating")
        are_groups = protocol == "openimages"
        truth, found = (
            _read(path, image_size, in_pixels=not are_groups, skip_invalid=skip_invalid)
            for path in (gt, dt)
        )
        check_skips(skip_invalid, truth.format, found.format)
        check_scaled(image_size, truth, found)
        apart = scales_apart(truth, found)
        if apart is not None:
            raise RefusedError(apart[0])
        if found.scores is None:
            raise FileError(dt, "no scores", "a score of each detection")
        for file in (truth, found):
            if file.skipped is not None:
                words = file.skipped.described()
                print(f"fastiou: {file.path}: {words}", file=sys.stderr, flush=True)
            for note in file.notes:
                if file.ignored is None:  # else it tells that difficult objects are taken along
                    print(f"fastiou: {file.path}: {note}", file=sys.stderr, flush=True)
        told = [file for file in (truth, found) if "video" in file.keys]
        if len(told) == 1 and len(truth) and len(found):
            raise RefusedError(
                f"only {told[0].path.name} tells videos, so nothing tells which images are the same"
            )
        truth, found = (
            replace(
                file, keys={**file.keys, "image": images_of(file.keys)},
                columns={key: own for key, own in file.columns.items() if key != "image"},
            )
            if "video" in file.keys else file for file in (truth, found)
        )  # fmt: skip
        from fastiou.evaluation.coco_files import rather_corners
        from fastiou.evaluation.detection import average_precision

        images, names = _numbers(truth, found, "image")
        others = sorted({*images[1].tolist()} - {*images[0].tolist()})
        known = {Path(str(image)).stem for image in truth.sizes}
        unlisted = [names[number] for number in others if Path(names[number]).stem not in known]
        if unlisted and len(known) > 1:
            words = f"{dt}: detections in {len(unlisted):,} images that {gt.name} does not list"
            print(f"fastiou: {words}, as in {unlisted[0]}", file=sys.stderr, flush=True)
        labels, names = _numbers(truth, found, "category")
        preds = {
            "boxes": _corners(found), "scores": found.scores, "labels": labels[1],
            "image_ids": images[1],
        }  # fmt: skip
        target = {
            "boxes": _corners(truth), "labels": labels[0], "image_ids": images[0],
            "ignore": truth.ignored, "iscrowd": _groups(truth) if are_groups else None,
        }  # fmt: skip
        if found.format == "coco":
            words = rather_corners(_corners(found), _corners(truth), images[::-1])
            if words:
                print(f"fastiou: {dt}: {words}", file=sys.stderr, flush=True)
        result = average_precision(
            preds, target, protocol=protocol, fmt="xywh", iou_thresholds=[iou],
            class_agnostic=request.class_agnostic, class_names=names,
        )  # fmt: skip
    show(result, f"{dt.name} scored by {gt.name}: {protocol}", request)


def _read(
    path: Path, image_size: tuple[int, int] | None, *, in_pixels: bool, skip_invalid: bool
) -> BoxFile:
    if not path.exists():
        raise FileError(path, "no such file or folder")
    if path.is_file() and not path.stat().st_size:
        return _of_nothing(BoxFile(path=path, format="empty", fmt="xyxy", boxes=np.empty((0, 4))))
    lists = path.is_dir() or image_size is not None
    wanted: dict[str, Any] = {
        "image_size": image_size, "sizes": lists, "skip_invalid": skip_invalid,
    }  # fmt: skip
    file = read_file(path, "box", None, None, **wanted)
    told = [name for name in file.unused if _is_group_column(name)]
    if told and not in_pixels:  # the column is read as if it told images apart
        file = read_file(path, "box", None, None, by=(*file.keys, told[0]), **wanted)
    assert isinstance(file, BoxFile)
    if not len(file):
        file = _of_nothing(file)
    lacking = [key for key in ("image", "category") if key not in file.keys]
    if lacking:
        known = ", ".join(file.keys) or "none"
        raise FileError(
            path, f"nothing tells the {' and the '.join(lacking)} of boxes; keys: {known}",
            "image and category, as columns or by the names of files",
        )  # fmt: skip
    if file.format in SCALED and image_size is None and in_pixels:
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
    """The files with names of classes alone; None unless one has all names of the other."""
    told = [file.columns.get("category", {}) for file in files]
    for name in told[0]:
        if name in told[1] and all(own[name].dtype.kind == "U" for own in told):
            first, second = ({*own[name].tolist()} for own in told)
            if first <= second or second <= first:
                columns = [{"category": {name: own[name]}} for own in told]
                return [
                    replace(file, keys={"category": own["category"][name]}, columns=own)
                    for file, own in zip(files, columns, strict=True)
                ]  # fmt: skip
    return None


def _numbers(
    truth: BoxFile, found: BoxFile, key: str
) -> tuple[tuple[Array, Array], dict[int | str, str]]:
    """Numbers of a key in both files, the same for equal values, and the values by number."""
    files = [
        replace(
            file, keys={key: file.keys[key]},
            columns={name: own for name, own in file.columns.items() if name == key},
        )
        for file in (truth, found)
    ]  # fmt: skip
    try:
        grouping = common_groups(*files)
    except RefusedError as error:
        by_name = _by_names(files) if key == "category" else None
        if by_name is None:
            # Nothing here is compared without regard to a key.
            words = str(error).partition(" (--by")[0].partition(": --by")[0]
            raise RefusedError(words) from None
        files, grouping = by_name, common_groups(*by_name)
        words = f"{truth.path.name} and {found.path.name} number classes otherwise"
        print(f"fastiou: {words}: compared are their names", file=sys.stderr, flush=True)
    assert grouping is not None
    if grouping.compared:
        words = f"{truth.path.name} and {found.path.name} are compared by {grouping.compared}"
        print(f"fastiou: {words}", file=sys.stderr, flush=True)
    names: dict[int | str, str] = {}
    for file, codes in zip(files, grouping.codes, strict=True):
        values, places = np.unique(codes, return_index=True)
        for code, place in zip(values.tolist(), places.tolist(), strict=True):
            names.setdefault(code, str(file.keys[key][place]))
    return grouping.codes, names
