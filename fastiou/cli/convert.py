"""The work of `fastiou convert`: a file of boxes is read, and written in another format."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.cli.display import Clock, stages
from fastiou.cli.options import check_no_input, check_scaled, check_skips
from fastiou.cli.outputs import (
    check_output,
    folder_at_end,
    replaced_at_end,
    write_columns,
    write_lines,
)
from fastiou.cli.summary import show_facts
from fastiou.formats.coco import MaskFile
from fastiou.formats.content import (
    BoxFile,
    MemberFile,
    Wanted,
    looks_like_sizes,
    looks_normalized,
    misread,
)
from fastiou.formats.errors import FileError, RefusedError, shortened
from fastiou.formats.keys import check_by
from fastiou.formats.label_masks import holds_labels, read_label_masks
from fastiou.formats.masks import mask_sizes
from fastiou.formats.reading import read_file, table_of_file
from fastiou.formats.table import NORMALIZED
from fastiou.formats.written.coco import ONLY_CLASS
from fastiou.formats.written.labels import label_images, write_label_image
from fastiou.formats.written.target import About, MasksToWrite, Target
from fastiou.formats.written.targets import TARGETS, fitted
from fastiou.formats.written.yolo import numbered_classes
from fastiou.tables.box_table import BoxTable
from fastiou.tables.scales import Scale
from fastiou.typing import Array

__all__ = ["ConvertOptions", "convert_file"]

#: Formats that do not tell whether their boxes are in pixels.
TABLES = ("csv", "jsonl", "json", "parquet", "arrow", "npz", "npy")

#: What messages advise that other commands have, and what is said in its place.
IN_PLACE = {"--geometry mask compares masks": "--geometry mask converts masks"}

#: Formats that have the sizes of images beside boxes in pixels.
WITH_SIZES = ("coco", "voc", "labelme")

#: How many classes a summary names.
CLASSES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """What `fastiou convert` is asked for; each attribute is the option of that name."""

    geometry: str = "box"
    format: str | None = None
    to: str | None = None
    boxes: str | None = None
    by: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    skip_invalid: bool = False
    quiet: bool = False
    progress: bool | None = None


def convert_file(path: Path, out: Path, options: ConvertOptions) -> BoxTable:
    """Write the boxes of a file in another format, and print what was written.

    Parameters
    ----------
    path
        A file with boxes, or a folder of such files.
    out
        Where to write.
    options
        How to read and to write.

    Returns
    -------
    BoxTable
        What was written.

    Raises
    ------
    FileError
        A file cannot be used.
    RefusedError
        The format has no place for what is in the file, or an option does not go with it.
    """
    target = _target(out, options)
    check_no_input(out, path)
    if not target.is_folder:
        # What NumPy and pyarrow write is told by its ending again; text may have any.
        is_any = options.to is not None and target.texts is not None
        check_output(out, (out.suffix.lower(),) if is_any else target.endings)
    with stages(False if options.quiet else options.progress) as begin:
        clock = Clock(begin)
        with clock.stage("reading"):
            file, masks = _read(path, options, target)
            _check(file, options)
            table = table_of_file(file)
            file = _with_names(file)
            sizes = _sizes_of_each(file, options, masks)
            images = dict(file.sizes)
            if masks is None and options.image_size is not None:
                images = {image: own or options.image_size[::-1] for image, own in images.items()}
            about = About(sizes, file.files, file.classes, images, masks, path.is_dir())
            of_pixels = masks is None and len(file) and not _is_part(file)
            if options.image_size is not None and of_pixels and not target.units:
                raise RefusedError(
                    f"--image-size makes pixels of parts of the image: {file.path.name} has pixels"
                )
            if masks is None:
                table = _scaled(table, file, target, sizes)
            table = fitted(table, target, options.drop, about)
        with clock.stage("writing"):
            _write(table, target, out, about)
    # Told even with --quiet, since the result lacks something, or has what is not meant to count.
    notes = list(file.notes)
    if target.name == "coco" and len(table) and "category" not in table.keys:
        ((number, name),) = ONLY_CLASS.items()
        notes.append(f"there are no classes: coco has all as category {number}, {name}")
    elif target.name == "coco" and table.scores is not None and about.classes and len(table):
        some = [f"{number} is {name}" for number, name in about.classes.items()][:CLASSES_SHOWN]
        more = ", …" if len(about.classes) > CLASSES_SHOWN else ""
        listed = ", ".join(some) + more
        notes.append(f"COCO's results have numbers of classes alone, those of the truth: {listed}")
    is_told = masks is not None or file.format in NORMALIZED
    if not is_told and _is_part(file) and (sizes is not None or target.units):
        notes.append("the boxes lie between 0 and 1, and are taken for parts of the image")
    for words in (*notes, *_left_out(file, target)):
        print(f"fastiou: {path}: {words}", file=sys.stderr, flush=True)
    if not options.quiet:
        show_facts(
            "fastiou convert",
            {
                **_facts(table, file, target, masks),
                **_classes_told(table, file, target, about),
                "written to": str(out),
            },
        )
    return table


def _facts(
    table: BoxTable, file: BoxFile, target: Target, masks: MasksToWrite | None
) -> dict[str, str]:
    """What a summary says of what was read and written."""
    source = f"{len(table):,} from {file.path.name} ({file.format}"
    if masks is not None:
        others = {"score": table.scores, "id": table.ids}
        kept = [*table.keys, *(name for name, column in others.items() if column is not None)]
        return {"masks": f"{source})", "written": f"{target.name}: {', '.join(kept)}"}
    listed = shortened(", ".join(table.columns()))
    return {"boxes": f"{source}, {file.fmt})", "written": f"{target.name}, {table.fmt}: {listed}"}


def _bounds(file: MaskFile, options: ConvertOptions) -> tuple[BoxFile, MasksToWrite]:
    """The bounding boxes of masks, and the masks."""
    check_scaled(options.image_size, file)
    (sizes,) = mask_sizes(file)
    masks = file.packable
    areas, boxes = masks.measured(np.arange(len(file)), sizes)
    shared = {each.name: getattr(file, each.name) for each in fields(MemberFile)}
    told = map(tuple, sizes.tolist())
    images = {**file.images, **dict(zip(file.image_ids, told, strict=True))}
    of_boxes = BoxFile(**shared, fmt="xyxy", boxes=boxes.astype(np.float64), sizes=images)
    return of_boxes, MasksToWrite(file.path, masks, areas, file.where)


def _read(
    path: Path, options: ConvertOptions, target: Target
) -> tuple[BoxFile, MasksToWrite | None]:
    """The boxes of a file, or its masks and their bounds."""
    layout = Wanted(fmt=options.boxes or "xyxy", told=options.boxes is not None)
    of_labels, data = holds_labels(path, options.format, layout)
    kind = "mask" if target.masks == "alone" else options.geometry
    if kind == "mask" and not target.masks:
        known = ", ".join(row.name for row in TARGETS.values() if row.masks)
        raise RefusedError(f"{target.name} has no place for masks, which {known} have")
    if of_labels:
        if options.by is not None:
            raise RefusedError("--by is for boxes and masks, whose files tell keys")
        of_bounds, masks = _bounds(_label_masks(path, data, target, options), options)
        return of_bounds, masks if target.masks else None
    wanted: dict[str, Any] = {
        "by": options.by,
        "skip_invalid": options.skip_invalid,
        "sizes": True,
    }
    if kind == "mask":
        wanted["image_size"] = options.image_size
    try:
        file = read_file(path, kind, options.format, options.boxes, data, **wanted)
        if isinstance(file, MaskFile):
            return _bounds(file, options)
    except FileError as error:
        message = str(error)
        for option, words in IN_PLACE.items():
            message = message.replace(option, words)
        raise RefusedError(message) from None
    assert isinstance(file, BoxFile)
    scores = None if file.scores is None else file.scores.astype(np.float64)
    return replace(file, boxes=file.boxes.astype(np.float64), scores=scores), None


def _label_masks(
    path: Path, data: bytes | None, target: Target, options: ConvertOptions
) -> MaskFile:
    """The masks of label images, without ids where COCO, which has each once, lacks room."""
    file = read_label_masks(path, data, options.format)
    assert file.ids is not None
    if target.name != "coco" or len(np.unique(file.ids)) == len(file):
        return file
    note = "images have labels in common: ids are counted from 1 on, since COCO has each once"
    return replace(file, ids=None, notes=(*file.notes, note))


def _with_names(file: BoxFile) -> BoxFile:
    """The file with names of classes and images that columns tell beside their numbers."""
    told: dict[str, Any] = {}
    for key, field in (("category", "classes"), ("image", "files")):
        columns = list(file.columns.get(key, {}).values())
        numbers = [column for column in columns if column.dtype.kind == "i"]
        names = [column for column in columns if column.dtype.kind == "U"]
        if numbers and names and not getattr(file, field):
            told[field] = dict(zip(numbers[0].tolist(), names[0].tolist(), strict=True))
    return replace(file, **told)


def _classes_told(table: BoxTable, file: BoxFile, target: Target, about: About) -> dict[str, str]:
    """What a summary says of the names of classes, where IN and OUT do not tell them the same."""
    if "category" in target.named and about.classes:
        return {"classes": f"by their names in {file.classes_in or 'the list of categories'}"}
    if target.units != "parts":
        return {}
    _, names = numbered_classes(table.keys["category"], about)
    if not names:
        return {}
    listed = ", ".join(f"{number} is {name}" for number, name in enumerate(names[:CLASSES_SHOWN]))
    more = ", …" if len(names) > CLASSES_SHOWN else ""
    source = "the alphabet"
    if about.classes:
        source = file.classes_in or next(iter(file.columns.get("category", {})), "category")
    order = f"in the order of {source}"
    return {"classes": f"{len(names):,} in classes.txt {order}, from 0 on: {listed}{more}"}


def _target(out: Path, options: ConvertOptions) -> Target:
    """The format to write, by the option or the ending."""
    ending = out.suffix.lower()
    if options.to is not None:
        row = TARGETS[options.to]
        return replace(row, endings=()) if row.of_pixels and not ending else row
    known: dict[str, Target] = {}
    for row in TARGETS.values():
        for end in row.endings:
            known.setdefault(end, row)
    del known[".txt"]  # which many have
    if ending in known:
        return known[ending]
    found = f"{ending} does not tell the format" if ending else "the name has no ending"
    raise FileError(out, found, f"{', '.join(known)}, or --to {' or '.join(TARGETS)}")


def _check(file: BoxFile, options: ConvertOptions) -> None:
    if options.boxes not in (None, file.fmt):
        raise RefusedError(
            f"--boxes {options.boxes} is for files that do not tell their layout: "
            f"{file.path.name} tells {file.fmt}"
        )
    check_skips(options.skip_invalid, file.format)
    check_by(options.by, file)


def _sizes_of_each(
    file: BoxFile, options: ConvertOptions, masks: MasksToWrite | None
) -> Array | None:
    """Width and height of the image of each box, 0 where they are not known; None if none is."""
    known = {image: size for image, size in file.sizes.items() if size is not None}
    asked = options.image_size if masks is None else None
    if not known:
        return None if asked is None else np.tile(asked, (len(file), 1))
    if "image" in file.keys:
        by_name = {str(image): size for image, size in known.items()}
        own = [by_name.get(str(image), (0, 0))[::-1] for image in file.keys["image"].tolist()]
        sizes = np.array(own, np.int64).reshape(-1, 2)
    else:  # a file of one image
        sizes = np.tile(next(iter(known.values()))[::-1], (len(file), 1))
    lacking = (sizes == 0).all(axis=1)
    if asked is not None and not lacking.any() and None not in file.sizes.values():
        raise RefusedError(
            f"--image-size is for files that do not tell the sizes of images: {file.path.name} does"
        )
    sizes[lacking] = 0 if asked is None else asked
    return sizes


def _is_part(file: BoxFile) -> bool:
    """Whether boxes are parts of the image, by the format or, in tables, by their numbers."""
    if file.format in NORMALIZED or file.format not in TABLES:
        return file.format in NORMALIZED
    return (
        bool(len(file))
        and file.boxes.shape[1] % 2 == 0
        and Scale(file.boxes, file.fmt).is_normalized
    )


def _scaled(table: BoxTable, file: BoxFile, target: Target, sizes: Array | None) -> BoxTable:
    """The boxes in pixels where sizes are known, or else where the target asks for pixels."""
    is_part = _is_part(file)
    if sizes is None:
        if target.units == "pixels" and is_part:
            raise RefusedError(
                f"{target.name} has pixels, and {file.path.name} parts of the image: --image-size "
                "W,H tells its size"
            )
        if target.units == "parts" and not is_part:
            raise RefusedError(
                f"{target.name} has parts of the image: --image-size W,H tells the size of the "
                "images"
            )
        return table
    if not is_part:
        return table
    return table.changed(boxes=table.boxes * np.tile(sizes, table.boxes.shape[1] // 2))


def _left_out(file: BoxFile, target: Target) -> list[str]:
    """What is in the file and was not written."""
    counts = target.units == "parts" or target.name in WITH_SIZES
    unused = [name for name in file.unused if not counts or name not in file.size_columns]
    words = []
    if file.skipped is not None:
        words.append(file.skipped.described())
    if unused:
        words.append(f"not used: {shortened(', '.join(unused))}")
    return words


def _write(table: BoxTable, target: Target, out: Path, about: About) -> None:
    if target.of_pixels:
        _write_images(table, target, out, about)
        return
    if target.texts is not None:
        files = target.texts(target, table, about)
        if not target.is_folder:
            for _, lines in files:
                write_lines(out, lines)
            return
        with folder_at_end(out) as folder:
            for name, lines in files:
                with (folder / name).open("w", encoding="utf-8", newline="") as file:
                    file.writelines(lines)
        return
    if target.name == "npy":
        with replaced_at_end(out) as stream:
            np.save(stream, _with_scores(table))
    elif target.name == "npz":
        columns = {"boxes": table.boxes, "fmt": np.array(table.fmt)}
        if "image" in table.keys:
            columns["groups"] = table.keys["image"]
        if table.scores is not None:
            columns["scores"] = table.scores
        write_columns(out, columns)
    else:
        write_columns(out, table.columns(), endings=target.endings)


def _write_images(table: BoxTable, target: Target, out: Path, about: About) -> None:
    by_colour = target.name == "panoptic"
    images = label_images(target, table, about)
    if target.is_folder:
        with folder_at_end(out) as folder:
            for name, _, pixels in images:
                with (folder / name).open("xb") as file:
                    write_label_image(file, out / name, pixels, ".png", by_colour=by_colour)
        return
    count = len({*about.images, *table.keys["image"].tolist()})
    if count != 1:
        found = f"{count:,} images" if count else "no image"
        raise RefusedError(
            f"{out.name} has a place for one image, got {found}: --to {target.name}, and a name "
            "without an ending, makes a folder of them"
        )
    ((_, _, pixels),) = images
    with replaced_at_end(out) as file:
        write_label_image(file, out, pixels, out.suffix.lower(), by_colour=by_colour)


def _with_scores(table: BoxTable) -> Array:
    """What .npy holds: boxes, and scores last, which are told from sides by being small."""
    array = np.asarray(table.boxes)
    if len(table) and looks_like_sizes(array, Wanted()):
        raise RefusedError(
            "npy needs corners in order, of most boxes: others are taken for sizes; npz takes any"
        )
    if table.scores is None:
        return array
    if ((table.scores < 0) | (table.scores > 1)).any():
        raise RefusedError("npy needs scores between 0 and 1; npz takes any")
    array = np.column_stack([array, table.scores])
    if looks_normalized(array, Wanted()):
        raise RefusedError(
            "npy needs boxes that are no class, cx, cy, w and h, which YOLO has; npz takes any"
        )
    if misread(array, Wanted()) is not None:
        raise RefusedError("npy needs scores that are not 0 and 1 alone, as classes; npz takes any")
    return array
