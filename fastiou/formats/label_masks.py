"""Label images as masks: one of each label of each image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastiou.formats.coco import MaskFile
from fastiou.formats.content import Wanted, kind_of, read_content
from fastiou.formats.errors import FileError
from fastiou.formats.folders import files_in, holds_boxes
from fastiou.formats.images import FOREGROUND, LABEL_ENDINGS, below_zero, one_object, read_labels
from fastiou.formats.sizes import Size
from fastiou.formats.table import formats_of, recognized

__all__ = ["holds_labels", "read_label_masks"]

#: The largest label that becomes an id.
LARGEST = np.iinfo(np.int64).max


def holds_labels(path: Path, format_: str | None, wanted: Wanted) -> tuple[bool, bytes | None]:
    """Whether a file, or a folder of files, holds label images, and the content of a file.

    Parameters
    ----------
    path
        The file or the folder.
    format_
        The format that was asked for, if any.
    wanted
        What else is to be read.

    Raises
    ------
    FileError
        It is missing or broken, or could be one or the other.
    """
    if path.is_dir():
        return format_ in formats_of("labels") if format_ else _are_labels(path), None
    data = read_content(path, format_=format_)
    if format_ is not None:
        return format_ in formats_of("labels"), data
    if kind_of(data) not in ("PNG", "TIFF", "NPY"):
        return False, data
    row = recognized(path, data, wanted, "box", "labels")
    return row is not None and "labels" in row.readers, data


def _are_labels(path: Path) -> bool:
    """Whether a folder has label images, and no files of other kinds with boxes."""
    names = [file.name.lower().removesuffix(".gz") for file in path.iterdir() if file.is_file()]
    if not any(name.endswith(LABEL_ENDINGS) for name in names):
        return False
    files = (file.name.lower().removesuffix(".gz") for file in files_in(path).values())
    # Photographs may lie beside annotations.
    return all(name.endswith(".npy") for name in files) and not holds_boxes(path)


def read_label_masks(path: Path, data: bytes | None, format_: str | None) -> MaskFile:
    """Read label images as masks, whose ids are the labels; 0 is background.

    Images of a folder have their names, without endings, those of a file of several frames their
    numbers, and another has the name of the file.

    Parameters
    ----------
    path
        A file or a folder.
    data
        The content of the file, if that was read already.
    format_
        "labels" or "panoptic"; "labels" if not given.

    Raises
    ------
    FileError
        It is missing, broken or something else.
    """
    from fastiou.geometries.masks.mask_set import Masks

    file = read_labels(path, data, format_)
    names: tuple[int | str, ...] = file.names or tuple(range(file.count))
    if file.count == 1 and not file.names:
        names = (path.name.partition(".")[0],)
    masks: list[Any] = []
    ids: list[Any] = []
    images: dict[int | str, Size | None] = {}
    for number, name in enumerate(names):
        image = file.read(number)
        found, labels = Masks.from_labels(image)
        if len(labels) and int(labels[-1]) > LARGEST:
            raise FileError(path, f"label {labels[-1]}", "labels below 2**63", f"image {name}")
        height, width = image.shape
        images[name] = (height, width)
        masks += found.to_rle()
        ids.append(labels.astype(np.int64))
    places = [
        f"label {label} of image {name}"
        for name, own in zip(names, ids, strict=True) for label in own.tolist()
    ]  # fmt: skip
    joined = np.concatenate(ids)
    notes = [below_zero(int(joined.min()))] if (joined < 0).any() else []
    if len(joined) and {*joined.tolist()} <= FOREGROUND and len(joined) <= len(names):
        notes.append(one_object(int(joined[0])))
    return MaskFile(
        path=path, format=format_ or "labels", label="", masks=masks, images=images,
        ids=joined, places_told=places, notes=tuple(notes),
        keys={"image": np.repeat(np.array(names), [len(own) for own in ids])},
        files={name: f"{name}.png" for name in names if isinstance(name, str)},
    )  # fmt: skip
