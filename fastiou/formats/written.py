"""Tables in the formats of files: what each format has a place for, and its text.

Whatever has no place is refused by name, as is what a format could not tell from something else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from fastiou.formats.errors import RefusedError, shortened
from fastiou.formats.folders import BESIDE
from fastiou.tables.box_table import BoxTable
from fastiou.tables.columns import BOX_COLUMNS
from fastiou.tables.layouts import header_of
from fastiou.typing import Array

__all__ = ["TARGETS", "About", "Target", "fitted", "numbered_classes"]

#: Endings of images, which names of YOLO's label files do not have.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


#: What tells a key that a file lacks.
NEEDED = {
    "image": "a folder of files has it by their names, a table by a column such as image",
    "category": "a table has it by a column such as class",
}


@dataclass(frozen=True, eq=False)
class About:
    """What is known of the images and classes of a table, besides their values.

    Attributes
    ----------
    sizes : array of int64, shape (N, 2), or None
        Width and height of the image of each box, 0 where they are not known; None if none is.
    files : dict
        The name of the file of each image, where it is known.
    classes : dict
        The name of each category by its number, where it is known.
    """

    sizes: Array | None = None
    files: Mapping[int | str, str] = field(default_factory=dict)
    classes: Mapping[int | str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A format that tables are written in: a row of the table.

    Attributes
    ----------
    name : str
        As the option `--format` has it.
    ending : str
        That of its files, by which it is told; "" of folders.
    keys : tuple of str or None
        The keys that it has a place for; None for any.
    others : tuple of str
        Which of "score", "id" and "iscrowd" it has a place for.
    fmt : str
        Layout of its boxes; "" for any.
    needs : tuple of str
        The keys that it cannot be without.
    whole : tuple of str
        The keys that must be whole numbers.
    in_pixels : bool
        Whether its boxes are in pixels, and in nothing else.
    texts : function or None
        `(table, about) -> ` the text of each file, by name: "" for the only one. None of what NumPy
        and pyarrow write.
    """

    name: str
    ending: str
    keys: tuple[str, ...] | None
    others: tuple[str, ...]
    texts: Callable[[BoxTable, About], Iterator[tuple[str, Iterator[str]]]] | None = None
    fmt: str = ""
    needs: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    in_pixels: bool = False


def fitted(table: BoxTable, target: Target, drop: Sequence[str]) -> BoxTable:
    """A table as a format can hold it, in the layout of the format.

    Parameters
    ----------
    table
        Boxes.
    target
        The format.
    drop
        Names of columns to leave out, whether the format has a place for them or not.

    Raises
    ------
    RefusedError
        Something has no place in the format, is not there, or would not be read as what it is.
    """
    others = {"score": "scores", "id": "ids", "iscrowd": "iscrowd"}
    there = [
        *table.keys,
        *(n for n, column in others.items() if getattr(table, column) is not None),
    ]
    for name in drop:
        if name not in there:
            raise RefusedError(f"--drop {name}: the columns are {', '.join(there) or 'none'}")
    keys = {key: values for key, values in table.keys.items() if key not in drop}
    left_out = {column: None for name, column in others.items() if name in drop}
    kept = table.changed(keys=keys, grouped=tuple(keys), **left_out)
    held = [*(target.keys if target.keys is not None else keys), *target.others]
    lost = [name for name in there if name not in (*drop, *held)]
    if lost:
        raise RefusedError(
            f"{target.name} has no place for {' and '.join(lost)}: "
            f"--drop {','.join([*drop, *lost])} leaves it out"
        )
    for key in target.needs:
        if key not in keys:
            raise RefusedError(
                f"{target.name} needs the key {key}, which is not in the file: {NEEDED[key]}"
            )
    for name, values in {**keys, "id": kept.ids}.items():
        if name in target.whole and values is not None and values.dtype.kind == "U" and len(values):
            held_name = shortened(repr(values[0].item()))
            raise RefusedError(f"{target.name} needs whole numbers for {name}, got {held_name}")
    fmt = target.fmt or BOX_COLUMNS[header_of(table.fmt)]
    try:
        return kept.convert(fmt)
    except ValueError:
        raise RefusedError(f"{target.name} has no place for boxes as {table.fmt}") from None


# ---- tables ------------------------------------------------------------------------------------


def _json_lines(table: BoxTable, about: About) -> Iterator[tuple[str, Iterator[str]]]:
    yield "", (json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(table.columns()))


def _rows(columns: dict[str, Array]) -> Iterator[dict[str, object]]:
    """The columns row by row, as values of Python."""
    lists = [column.tolist() for column in columns.values()]
    for values in zip(*lists, strict=True):
        yield dict(zip(columns, values, strict=True))


# ---- COCO --------------------------------------------------------------------------------------


def _coco(table: BoxTable, about: About) -> Iterator[tuple[str, Iterator[str]]]:
    """A list of results where there are scores, else annotations with their images."""
    names = {"image": "image_id", "category": "category_id"}
    keys = dict(table.keys)
    if "category" in keys and about.classes:  # names of numbers that the file tells become these
        keys["category"] = _numbers_of(keys["category"], about.classes)
    columns = {names[key]: values for key, values in keys.items()}
    extras = {"id": table.ids, "iscrowd": table.iscrowd, "score": table.scores}
    columns |= {name: column for name, column in extras.items() if column is not None}
    if table.scores is not None:
        entries = _entries(columns, table.boxes)
        yield "", _listed("[", entries, "]\n")
        return
    count = len(table)
    zeros = np.zeros(count, np.int64)
    columns = {"id": np.arange(1, count + 1), "iscrowd": zeros, **columns}
    columns["iscrowd"] = columns["iscrowd"].astype(np.int64)
    columns["area"] = np.prod(table.boxes[:, 2:], axis=1)
    own, firsts = np.unique(table.keys["image"], return_index=True)
    known = np.zeros((len(own), 2), np.int64) if about.sizes is None else about.sizes[firsts]
    images = []
    for value, (width, height) in zip(own.tolist(), known.tolist(), strict=True):
        file = about.files.get(value, value)
        name = {"file_name": file} if isinstance(file, str) else {}
        sides = {"width": width, "height": height} if width else {}
        images.append({"id": value, **name, **sides})
    head = {"images": images}
    if "category" in keys:
        classes = np.unique(keys["category"]).tolist()
        head["categories"] = [
            {"id": value, "name": about.classes.get(value, str(value))} for value in classes
        ]
    start = json.dumps(head, ensure_ascii=False).removesuffix("}") + ', "annotations": ['
    yield "", _listed(start, _entries(columns, table.boxes), "]}\n")


def _numbers_of(classes: Array, known: Mapping[int | str, str]) -> Array:
    """Classes by their numbers, where all are names of which these are known."""
    numbers = {name: number for number, name in known.items()}
    used, each = np.unique(classes, return_inverse=True)
    if not set(used.tolist()) <= numbers.keys():
        return classes
    return np.array([numbers[name] for name in used.tolist()])[each]


def _entries(columns: dict[str, Array], boxes: Array) -> Iterator[str]:
    for row, box in zip(_rows(columns), boxes.tolist(), strict=True):
        yield json.dumps({**row, "bbox": box}, ensure_ascii=False)


def _listed(start: str, entries: Iterator[str], end: str) -> Iterator[str]:
    yield start
    for place, entry in enumerate(entries):
        yield (",\n" if place else "\n") + entry
    yield "\n" + end


# ---- rows of numbers ---------------------------------------------------------------------------


def _number(value: float) -> str:
    """A number as it is read back, without needless zeros."""
    return repr(value).removesuffix(".0")


def _mot(table: BoxTable, about: About) -> Iterator[tuple[str, Iterator[str]]]:
    count = len(table)
    ids = np.full(count, -1) if table.ids is None else table.ids
    scores = np.ones(count) if table.scores is None else table.scores
    rows = zip(
        table.keys["image"].tolist(), ids.tolist(), table.boxes.tolist(), scores.tolist(),
        strict=True,
    )  # fmt: skip
    wrong = ~(table.boxes[:, 2:] > 0).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        numbers = ", ".join(map(_number, table.boxes[row].tolist()))
        raise RefusedError(f"mot needs a positive width and height: box {row + 1} is {numbers}")
    yield (
        "",
        (
            ",".join([str(frame), str(id_), *map(_number, (*box, score)), "-1", "-1", "-1"]) + "\n"
            for frame, id_, box, score in rows
        ),
    )


def _yolo(table: BoxTable, about: About) -> Iterator[tuple[str, Iterator[str]]]:
    """A text file for each image; where classes are names, what their numbers are, too."""
    boxes, sizes = table.boxes, about.sizes
    if sizes is not None:
        if not sizes.all():
            image = table.keys["image"][np.argmin(sizes.all(axis=1))].item()
            raise RefusedError(
                f"yolo needs the size of image {image!r}, which the file does not tell"
            )
        boxes = boxes / np.concatenate([sizes, sizes], axis=1)
    wrong = ~((boxes >= 0) & (boxes <= 1)).all(axis=1) | ~(boxes[:, 2:] > 0).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        numbers = ", ".join(map(_number, boxes[row].tolist()))
        raise RefusedError(
            f"yolo needs numbers between 0 and 1, and a size: box {row + 1} is {numbers} (cx, cy, "
            "w and h over the size of the image)"
        )
    classes, names = numbered_classes(table.keys["category"], about)
    if len(classes) and classes.min() < 0:
        raise RefusedError(f"yolo needs classes from 0 on, got {classes.min()}")
    for name in names:
        if name != name.strip() or len(name.splitlines()) != 1:
            raise RefusedError(f"yolo needs names of classes of a line each, got {name!r}")
    cells = [boxes] if table.scores is None else [boxes, table.scores[:, None]]
    rows_of_numbers = np.concatenate(cells, axis=1)
    images = table.keys["image"]
    order = np.argsort(images, kind="stable")
    own, firsts = np.unique(images[order], return_index=True)
    has_names = all(image in about.files for image in own.tolist())
    files: dict[str, str] = {}
    places_of = np.split(order, firsts[1:]) if len(own) else []
    for image, places in zip(own.tolist(), places_of, strict=True):
        # Folders inside the first are no part of names, which those in lists of COCO may have.
        named = PurePosixPath(about.files[image]).name if has_names else image
        file = _file_of(named)
        if file in files:
            raise RefusedError(f"images {files[file]!r} and {image!r} would both be {file}")
        files[file] = image
        rows = zip(classes[places].tolist(), rows_of_numbers[places].tolist(), strict=True)
        yield file, (f"{name} {' '.join(map(_number, row))}\n" for name, row in rows)
    if names:
        yield "classes.txt", (f"{name}\n" for name in names)


def numbered_classes(classes: Array, about: About) -> tuple[Array, list[str]]:
    """Classes as YOLO has them: places in a list of names, and this list; empty if none has one.

    Where the file tells names of numbers, they are in the order of these, else in the alphabet's.
    """
    known = dict(sorted(about.classes.items(), key=lambda item: (isinstance(item[0], str), item)))
    names = list(known.values())
    used, each = np.unique(classes, return_inverse=True)
    listed = names if classes.dtype.kind == "U" and set(used.tolist()) <= {*names} else [*known]
    if known and set(used.tolist()) <= {*listed}:
        places = np.array([listed.index(value) for value in used.tolist()], np.int64)
        return places[each], names
    return (each, used.tolist()) if classes.dtype.kind == "U" else (classes, [])


def _file_of(image: int | str) -> str:
    """The name of the label file of an image."""
    name = str(image)
    plain = PurePosixPath(name)
    file = f"{plain.stem if plain.suffix.lower() in IMAGE_ENDINGS else name}.txt"
    # Files that begin with a point, or have the name of one beside labels, are not read back.
    unread = file.startswith(".") or file.lower() in BESIDE
    if unread or any(mark in name for mark in "/\\\0\n"):
        raise RefusedError(f"yolo needs images whose names can be those of files, got {image!r}")
    return file


#: By name.
TARGETS = {
    target.name: target
    for target in (
        Target("csv", ".csv", None, ("score", "id")),
        Target("jsonl", ".jsonl", None, ("score", "id"), _json_lines),
        Target("parquet", ".parquet", None, ("score", "id")),
        Target("npz", ".npz", ("image",), ("score",), whole=("image",)),
        Target("npy", ".npy", (), ("score",), fmt="xyxy"),
        Target(
            "coco", ".json", ("image", "category"), ("score", "id", "iscrowd"), _coco,
            fmt="xywh", needs=("image",), in_pixels=True,
        ),
        Target(
            "mot", ".txt", ("image",), ("score", "id"), _mot,
            fmt="xywh", needs=("image",), whole=("image", "id"), in_pixels=True,
        ),
        Target(
            "yolo", "", ("image", "category"), ("score",), _yolo,
            fmt="cxcywh", needs=("image", "category"),
        ),
    )
}  # fmt: skip
