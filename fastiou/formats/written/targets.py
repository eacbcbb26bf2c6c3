"""The table of formats that tables are written in, and a table as one of them can hold it.

Whatever has no place is refused by name, as is what a format could not tell from something else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastiou.formats.content import number_in, whole_number_in
from fastiou.formats.errors import RefusedError, shortened
from fastiou.formats.keys import is_written_as_name
from fastiou.formats.written.annotations import labelme_texts, voc_texts
from fastiou.formats.written.coco import coco_texts, json_lines
from fastiou.formats.written.rows import (
    dota_result_texts,
    dota_texts,
    is_cell,
    is_word,
    kitti_texts,
    kitti_tracking_texts,
    mot_texts,
    retinanet_texts,
    visdrone_texts,
    visdrone_video_texts,
)
from fastiou.formats.written.target import About, Names, Target, is_text
from fastiou.formats.written.yolo import yolo_texts
from fastiou.tables.box_table import BoxTable
from fastiou.tables.column_names import BOX_COLUMNS
from fastiou.tables.layouts import header_of

__all__ = ["TARGETS", "fitted"]

#: What tells a key that a file lacks.
NEEDED = {
    "image": "a folder of files has it by their names, a table by a column such as image "
    "(--by image=COLUMN tells another)",
    "category": "a table has it by a column such as class (--by category=COLUMN tells another)",
}


def fitted(table: BoxTable, target: Target, drop: Sequence[str], about: About) -> BoxTable:
    """A table as a format can hold it, in the layout of the format.

    Parameters
    ----------
    table
        Boxes.
    target
        The format.
    drop
        Names of columns to leave out, whether the format has a place for them or not.
    about
        What else is known of its images and classes.

    Raises
    ------
    RefusedError
        Something has no place in the format, is not there, or would not be read as what it is.
    """
    others = {"score": "scores", "id": "ids", "iscrowd": "iscrowd", "difficult": "ignore"}
    there = [
        *table.keys,
        *(n for n, column in others.items() if getattr(table, column) is not None),
    ]
    for name in drop:
        # Marks that no member has are no column.
        if name not in (*there, "iscrowd", "difficult"):
            raise RefusedError(f"--drop {name}: the columns are {', '.join(there) or 'none'}")
    keys = {key: values for key, values in table.keys.items() if key not in drop}
    left_out = {column: None for name, column in others.items() if name in drop}
    for key in target.needs:
        if key not in keys:
            raise RefusedError(
                f"{target.name} needs the key {key}, which is not in the file: {NEEDED[key]}"
            )
    held = [*(target.keys if target.keys is not None else keys), *target.others]
    lost = [name for name in there if name not in (*drop, *held)]
    if lost and len(table):
        raise RefusedError(
            f"{target.name} has no place for {' and '.join(lost)}: "
            f"--drop {','.join([*drop, *lost])} leaves it out"
        )
    if not len(table) and not (target.can_be_empty or (target.is_folder and about.images)):
        rows = [row for row in TARGETS.values() if row.can_be_empty and row.masks != "alone"]
        known = " or ".join(row.name for row in rows)
        raise RefusedError(f"{target.name} cannot tell that there are no boxes: --to {known} can")
    for key in target.named:
        keys[key] = about.names_of(key, keys[key]).astype(np.str_)
    kept = table.changed(keys=keys, grouped=tuple(keys), **left_out)
    for name, values in {**keys, "id": kept.ids}.items():
        if values is None or values.dtype.kind != "U" or not len(values):
            continue
        if name in target.whole:
            held_name = shortened(repr(values[0].item()))
            raise RefusedError(f"{target.name} needs whole numbers for {name}, got {held_name}")
        if name == "image" and target.is_folder and name not in target.named:
            continue  # names of files, which are checked as such
        unfit = next(
            (text for text in np.unique(values).tolist() if not target.names.fits(text)), None
        )
        if unfit is not None:
            found = shortened(repr(unfit))
            raise RefusedError(
                f"{target.name} needs names for {name} {target.names.words}, got {found}"
            )
    fmt = target.fmt or BOX_COLUMNS[header_of(table.fmt)]
    try:
        return kept.convert(fmt)
    except ValueError:
        raise RefusedError(f"{target.name} has no place for boxes as {table.fmt}") from None


def _is_csv_cell(name: str) -> bool:
    """Whether CSV has a place for a name: one that looks like another number has none."""
    if not is_text(name) or number_in(name) is None:
        return is_text(name)
    whole = whole_number_in(name)
    return whole is not None and (is_written_as_name(name) or str(whole) == name)


#: Names between blanks or commas, and those of CSV.
WORDS = Names(is_word, "without blanks, commas, semicolons and bars, and no numbers")
CELLS = Names(is_cell, "without semicolons and bars, and no numbers")
CSV_CELLS = Names(_is_csv_cell, "of one line, without blanks around them, and no other numbers")

#: By name.
TARGETS = {
    target.name: target
    for target in (
        Target(
            "csv", (".csv",), None, ("score", "id"), names=CSV_CELLS, can_be_empty=True,
        ),
        Target("jsonl", (".jsonl",), None, ("score", "id"), json_lines),
        Target("parquet", (".parquet",), None, ("score", "id"), can_be_empty=True),
        Target("arrow", (".arrow", ".feather"), None, ("score", "id"), can_be_empty=True),
        Target("npz", (".npz",), ("image",), ("score",), whole=("image",), can_be_empty=True),
        Target("npy", (".npy",), (), ("score",), fmt="xyxy", can_be_empty=True),
        Target(
            "coco", (".json",), ("image", "category"), ("score", "id", "iscrowd"), coco_texts,
            fmt="xywh", needs=("image",), units="pixels", can_be_empty=True, masks="too",
        ),
        Target(
            "mot", (".txt",), ("image",), ("score", "id"), mot_texts,
            fmt="xywh", needs=("image",), whole=("image", "id"), units="pixels",
        ),
        Target(
            "visdrone", (), ("image", "category"), ("score",), visdrone_texts,
            fmt="xywh", needs=("image", "category"), whole=("category",), units="pixels",
        ),
        Target(
            "visdrone-vid", (".txt",), ("image", "category"), ("score", "id"),
            visdrone_video_texts, fmt="xywh", needs=("image", "category"),
            whole=("image", "category", "id"), units="pixels",
        ),
        Target(
            "yolo", (), ("image", "category"), ("score",), yolo_texts,
            fmt="cxcywh", needs=("image", "category"), units="parts",
        ),
        Target(
            "yolo-seg", (), ("image", "category"), (), yolo_texts,
            needs=("image", "category"), units="parts", masks="alone",
        ),
        Target(
            "yolo-obb", (), ("image", "category"), ("score",), yolo_texts,
            fmt="xyxyxyxy", needs=("image", "category"), units="parts",
        ),
        Target(
            "kitti", (), ("image", "category"), ("score",), kitti_texts, fmt="xyxy",
            needs=("image", "category"), named=("category",), units="pixels", names=WORDS,
        ),
        Target(
            "kitti-tracking", (".txt",), ("image", "category"), ("score", "id"),
            kitti_tracking_texts, fmt="xyxy", needs=("image", "category"), whole=("image", "id"),
            named=("category",), units="pixels", names=WORDS,
        ),
        Target(
            "retinanet", (".txt",), ("image", "category"), ("score",), retinanet_texts,
            fmt="xyxy", needs=("image", "category"), named=("image", "category"), units="pixels",
            names=CELLS,
        ),
        Target(
            "voc", (), ("image", "category"), ("difficult",), voc_texts, fmt="xyxy",
            needs=("image", "category"), named=("category",), units="pixels",
        ),
        Target(
            "labelme", (), ("image", "category"), (), labelme_texts, fmt="xyxy",
            needs=("image", "category"), named=("category",), units="pixels", masks="too",
        ),
        Target(
            "dota", (), ("image", "category"), (), dota_texts, fmt="xyxyxyxy",
            needs=("image", "category"), named=("category",), units="pixels", names=WORDS,
        ),
        Target(
            "dota-results", (), ("image", "category"), ("score",), dota_result_texts,
            fmt="xyxyxyxy", needs=("image", "category"), named=("image", "category"),
            units="pixels", names=WORDS,
        ),
        Target(
            "labels", (".png", ".tif", ".tiff", ".npy"), ("image",), ("id",), needs=("image",),
            whole=("id",), can_be_empty=True, masks="alone", of_pixels=True,
        ),
        Target(
            "panoptic", (".png",), ("image",), ("id",), needs=("image",),
            whole=("id",), can_be_empty=True, masks="alone", of_pixels=True,
        ),
    )
}  # fmt: skip
