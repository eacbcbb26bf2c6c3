"""The table of file formats: what each can hold, how it is recognized, and what reads it.

What a file is shows in its content, never in its name: gzip by its first bytes, then .npy, .npz,
PNG, TIFF, JSON or text, and text by its first line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastiou.formats.coco import MaskFile, read_coco_boxes, read_coco_masks
from fastiou.formats.content import BoxFile, Wanted, check_text, kind_of, read_content
from fastiou.formats.errors import FileError
from fastiou.formats.images import LabelFile, looks_like_labels, read_labels
from fastiou.formats.numpy_files import read_npy_boxes, read_npz_boxes
from fastiou.formats.tables import BOX_COLUMNS, looks_like_mot, read_csv, read_mot

__all__ = [
    "EXPECTED",
    "FORMATS",
    "READERS",
    "Format",
    "formats_of",
    "read_boxes",
    "read_masks",
    "recognized",
]

#: Reads a file of this content into a `BoxFile`, a `MaskFile` or a `LabelFile`.
Reader = Callable[[Path, bytes, Wanted], Any]


@dataclass(frozen=True)
class Format:
    """A row of the table.

    Attributes
    ----------
    name : str
        As the option `--format` has it.
    readers : mapping
        What such a file can hold, "box", "mask" or "labels", and what reads it.
    fits : function
        Tells from the content of a file, and from what is wanted, whether it has this format.
    is_text : bool
        Whether it is UTF-8.
    title, words : str
        How the help lists it.
    scored_words : str
        The same where scores are needed.
    """

    name: str
    readers: Mapping[str, Reader]
    fits: Callable[[bytes, Wanted], bool]
    is_text: bool
    title: str
    words: str
    scored_words: str


def _is(kind: str) -> Callable[[bytes, Wanted], bool]:
    return lambda data, _: kind_of(data) == kind


def _labels(path: Path, data: bytes, _: Wanted) -> LabelFile:
    return read_labels(path, data)


_ROWS = (
    Format(
        "npy",
        {"box": read_npy_boxes},
        _is("NPY"),
        False,
        ".npy",
        "array of shape (N, 4); with scores (N, 5), the scores last",
        "array of shape (N, 5): boxes and scores",
    ),
    Format(
        "npz",
        {"box": read_npz_boxes},
        _is("NPZ"),
        False,
        ".npz",
        "array boxes (N, 4), optional groups (N,), scores (N,) and fmt",
        "arrays boxes (N, 4) and scores (N,), optional groups (N,) and fmt",
    ),
    Format(
        "csv",
        {"box": read_csv},
        lambda data, wanted: kind_of(data) == "text" and not looks_like_mot(data, wanted),
        True,
        ".csv",
        textwrap.fill(
            f"header with {' or '.join(map(','.join, BOX_COLUMNS))}, and optional frame, image, "
            "image_id or group, and category, category_id or class, and score, confidence or "
            "conf; or 4 columns without a header (5 of rotated boxes), with scores one more",
            width=63,
        ),
        "header as of fastiou match, with score, confidence or conf; or 5\n"
        "columns without a header, the scores last",
    ),
    Format(
        "mot",
        {"box": read_mot},
        lambda data, wanted: kind_of(data) == "text" and looks_like_mot(data, wanted),
        True,
        "mot",
        "frame, id, x, y, w, h, conf, ... between commas or spaces",
        "frame, id, x, y, w, h, conf, ... between commas or spaces",
    ),
    Format(
        "coco",
        {"box": read_coco_boxes, "mask": read_coco_masks},
        _is("JSON"),
        True,
        "coco",
        "JSON with annotations, or a list of results",
        "JSON with a list of results, each with a score",
    ),
    Format(
        "labels",
        {"labels": _labels},
        looks_like_labels,
        False,
        "labels",
        "PNG (grey or palette), TIFF with one or more pages, .npy with\n"
        "integers (H, W) or (T, H, W), or a folder of such images",
        "",
    ),
)

#: The formats by their names. Of several that fit a file, the last counts: integers in .npy that
#: cannot be boxes are labels.
FORMATS = {row.name: row for row in _ROWS}


#: What should be there where there is a folder.
EXPECTED = {"box": "a file with boxes", "mask": "a COCO file with masks"}


def formats_of(held: str) -> tuple[str, ...]:
    """Names of the formats that can hold boxes, masks or label images.

    Parameters
    ----------
    held
        "box", "mask" or "labels".
    """
    return tuple(name for name, row in FORMATS.items() if held in row.readers)


def recognized(data: bytes, wanted: Wanted, *held: str) -> Format | None:
    """The format of a file by its content, None if there is none.

    Parameters
    ----------
    data
        The content.
    wanted
        What is to be read.
    *held
        What the file may hold: "box", "mask" or "labels".
    """
    rows = (row for row in reversed(_ROWS) if not row.readers.keys().isdisjoint(held))
    return next((row for row in rows if row.fits(data, wanted)), None)


def read_boxes(
    path: str | Path,
    data: bytes | None = None,
    *,
    format: str | None = None,  # noqa: A002
    **wanted: Any,
) -> BoxFile:
    """Read a file with boxes.

    Parameters
    ----------
    path
        The file, compressed by gzip or not.
    data
        Its content, if `fastiou.formats.content.read_content` has read it.
    format
        One of the formats of boxes; recognized by content if not given.
    **wanted
        What to read, as `fastiou.formats.content.Wanted` has it.

    Returns
    -------
    BoxFile

    Raises
    ------
    FileError
        The file is missing, broken or of another format, or has no scores though they are to be
        read.
    """
    path = Path(path)
    asked = Wanted(**wanted)
    data = read_content(path, EXPECTED["box"]) if data is None else data
    kind = kind_of(data)
    row = recognized(data, asked, "box") if format is None else FORMATS[format]
    if row is None or (row.is_text and kind in ("PNG", "TIFF")):
        expected = "boxes (fastiou match --geometry labels compares label images)"
        raise FileError(path, f"a {kind} image", expected)
    if row.is_text:
        check_text(path, data, "text, .npy or .npz")
    file: BoxFile = row.readers["box"](path, data, asked)
    return file


def read_masks(
    path: str | Path,
    data: bytes | None = None,
    *,
    format: str | None = None,  # noqa: A002
    **wanted: Any,
) -> MaskFile:
    """Read a COCO file with masks.

    Parameters
    ----------
    path
        The file, compressed by gzip or not.
    data
        Its content, if `fastiou.formats.content.read_content` has read it.
    format
        "coco", if given.
    **wanted
        What to read, as `fastiou.formats.content.Wanted` has it.

    Returns
    -------
    MaskFile

    Raises
    ------
    FileError
        The file is missing, broken or of another format, or has no scores though they are to be
        read.
    """
    path = Path(path)
    data = read_content(path, EXPECTED["mask"]) if data is None else data
    kind = kind_of(data)
    if kind not in ("JSON", "text"):
        hint = " (fastiou match --geometry labels compares label images)" if kind != "NPZ" else ""
        raise FileError(path, f"a file of the kind {kind}", f"COCO JSON with masks{hint}")
    check_text(path, data, "COCO JSON with masks")
    return read_coco_masks(path, data, Wanted(**wanted))


#: What reads each kind of content, with the arguments of `read_boxes`.
READERS: dict[str, Callable[..., Any]] = {
    "box": read_boxes,
    "mask": read_masks,
    "labels": lambda path, data, **_: read_labels(path, data),
}
