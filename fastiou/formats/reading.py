"""Files as tables: the way from Python to the readers that the command has."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.arrays.checks import check_choice
from fastiou.formats.coco import SKIPPABLE, MaskFile
from fastiou.formats.content import BoxFile, MemberFile
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.keys import check_by
from fastiou.formats.masks import pack_masks
from fastiou.formats.table import READERS, SCALED, formats_of
from fastiou.runtime.words import described
from fastiou.tables.box_table import BoxTable
from fastiou.tables.columns import names_of_keys
from fastiou.tables.layouts import LAYOUTS
from fastiou.tables.words import in_python

__all__ = ["read", "read_file", "table_of_file"]


def read(
    path: str | os.PathLike[str],
    *,
    geometry: str = "box",
    format: str | None = None,  # noqa: A002
    fmt: str | None = None,
    by: str | Sequence[str] | None = None,
    skip_invalid: bool = False,
    image_size: tuple[int, int] | None = None,
) -> BoxTable:
    r"""Read a file, or a folder of files, of boxes or masks.

    The formats and their rules are those of the command, and so are the names of columns:
    ``docs/files.md``. What a file is shows in its content. It may be compressed by gzip.

    Parameters
    ----------
    path : str or path
        The file; or a folder with a file for each image, whose names are the key "image".
    geometry : {"box", "mask"}
        What to read: boxes, or the masks of a COCO file. Masks of images of several sizes are
        padded to one.
    format
        The format of the file, such as "mot" or "coco"; by its content if not given.
    fmt
        The format of its boxes, as in `box_iou`, where a file does not tell; "xyxy" if not given.
    by : str or sequence of str, optional
        Keys to group by, or columns of a table: "image", or "image,category"; "none" or () for no
        key. "image=source" takes the column source for the image. Others are not read. All that
        the file tells if not given.
    skip_invalid
        Whether to leave out annotations that are invalid, or no boxes such as points, with a
        warning: of coco, voc, labelme, cvat and via.
    image_size : tuple of int, optional
        Width and height of all images, by which the normalized numbers of YOLO become pixels.

    Returns
    -------
    BoxTable
        In the order of the file, with scores, ids and crowds where the file has them. Its `unused`
        are the columns that were not used.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    TypeError
        `path` names none.
    ValueError
        The file is broken, could be of several formats, or breaks the rules of its own; or an
        option is for other files. The message names the file and the line.
    ImportError
        Its format needs an extra that is not installed.

    Examples
    --------
    >>> import fastiou, pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "found.csv"
    >>> _ = file.write_text("image,x1,y1,x2,y2,score\na.jpg,1,2,3,4,0.9\nb.jpg,1,2,3,4,0.8\n")
    >>> found = fastiou.read(file)
    >>> found
    <BoxTable: 2 boxes as xyxy; scores; keys image>
    >>> fastiou.nms(found)
    array([0, 1])
    """
    check_choice("geometry", geometry, ("box", "mask"))
    if format is not None:
        check_choice("format", format, formats_of(geometry))
    if fmt is not None:
        check_choice("fmt", fmt, LAYOUTS)
    names = names_of_keys("by", by)
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must name a file or a folder, got {described(path)}")
    if path == "":
        raise ValueError("path must name a file or a folder, got ''")
    file_path = Path(path)
    if not file_path.exists():
        raise FileNotFoundError(f"{file_path}: no such file")
    if image_size is not None:
        height, width = _image_size(image_size)
        image_size = width, height
    wanted: dict[str, Any] = {
        "by": names,
        "skip_invalid": skip_invalid,
        "image_size": image_size,
    }
    try:
        file = read_file(file_path, geometry, format, fmt, **wanted)
        table = table_of_file(file, names)
        check_by(names, file)
    except (FileError, RefusedError) as error:
        raise ValueError(in_python(str(error))) from None
    if isinstance(file, BoxFile) and fmt not in (None, file.fmt):
        raise ValueError(
            f"fmt={fmt!r} is for files that do not tell their layout: {file_path} tells {file.fmt}"
        )
    if skip_invalid and file.format not in (*SKIPPABLE, "empty"):
        raise ValueError(
            f"skip_invalid=True leaves out annotations of {', '.join(SKIPPABLE)}: {file_path} is "
            f"{file.format}"
        )
    if image_size is not None and file.format not in SCALED:
        raise ValueError(
            f"image_size is for files of {' or '.join(SCALED)}: {file_path} is {file.format}"
        )
    for note in file.notes:
        warnings.warn(f"{file_path}: {note}", stacklevel=2)
    if file.skipped is not None:
        warnings.warn(f"{file_path}: {file.skipped.described()}", stacklevel=2)
    return table


def read_file(
    path: Path,
    geometry: str,
    format_: str | None,
    fmt: str | None,
    data: bytes | None = None,
    **wanted: Any,
) -> MemberFile:
    """Read all that a file tells of its members.

    Parameters
    ----------
    path
        The file or the folder.
    geometry
        "box" or "mask".
    format_, fmt
        The format and the layout that were asked for, if any.
    data
        The content of the file, if that was read already.
    **wanted
        What else, as `fastiou.formats.content.Wanted` has it.

    Raises
    ------
    FileError
        It cannot be used.
    """
    layout = {"fmt": fmt or "xyxy", "told": fmt is not None}
    file: MemberFile = READERS[geometry](
        path, data, format=format_, scores_if_there=True, crowded=True, ids=True, **layout, **wanted
    )
    return file


def table_of_file(file: MemberFile, by: Sequence[str] | None = None) -> BoxTable:
    """What was read from a file as a table, by some keys if any were asked for."""
    columns: dict[str, Any] = {}
    if isinstance(file, BoxFile):
        columns = {"boxes": np.require(file.boxes, requirements=["C", "A", "W"]), "fmt": file.fmt}
    elif isinstance(file, MaskFile):
        (masks,) = pack_masks([file], lambda done, total: None)
        columns = {"masks": masks}
    crowds, ignored = (
        flags if flags is not None and flags.any() else None
        for flags in (file.crowds, file.ignored)
    )
    return BoxTable.of_columns(
        scores=file.scores, keys=file.keys, ids=file.ids, iscrowd=crowds, ignore=ignored,
        unused=file.unused, key_columns=file.columns,
        likely_images=file.likely_images if by is None else (), **columns,
    )  # fmt: skip


def _image_size(value: Any) -> tuple[int, int]:
    """Height and width, checked, of a width and a height."""
    from fastiou.geometries.masks.run_lengths import image_size

    try:
        width, height = value
    except (TypeError, ValueError):
        raise ValueError(f"image_size must be (width, height), got {described(value)}") from None
    size = image_size("image_size", (height, width))
    if min(size) < 1:
        raise ValueError(f"image_size must be greater than 0, got {described(value)}")
    return size
