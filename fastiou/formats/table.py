"""The table of file formats: what each can hold, how it is recognized, and what reads it.

What a file is shows in its content, never in its name: gzip by its first bytes, then .npy, .npz,
PNG, TIFF, JSON or text, and text by its first line. Other kinds are named and refused.
"""

from __future__ import annotations

import csv
import itertools
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.formats.activitynet import is_activitynet, read_activitynet
from fastiou.formats.annotations import (
    declared_encoding,
    dota_rows,
    is_dota,
    is_labelme,
    is_voc,
    is_yolo_outlines,
    read_dota,
    read_labelme,
    read_labelme_masks,
    read_voc,
    read_yolo_masks,
    read_yolo_outlines,
)
from fastiou.formats.coco import MaskFile, read_coco_boxes, read_coco_masks
from fastiou.formats.content import (
    IMAGES,
    TEXTS,
    BoxFile,
    Wanted,
    check_text,
    kind_described,
    kind_of,
    read_content,
)
from fastiou.formats.doubts import Doubt, doubt
from fastiou.formats.errors import DoubtError, FileError
from fastiou.formats.folders import read_folder
from fastiou.formats.images import EXPECTED as LABELS_EXPECTED
from fastiou.formats.images import could_be_boxes, looks_like_labels, read_labels
from fastiou.formats.numpy_files import read_npy_boxes, read_npz_boxes
from fastiou.formats.pieces import read_pieces
from fastiou.formats.records import (
    is_json_lines,
    is_json_list,
    read_arrow,
    read_json_lines,
    read_json_list,
    read_parquet,
)
from fastiou.formats.suspicions import check_edges, inverted_note, nan_note
from fastiou.formats.tables import ROWS_OF_TEXT, is_csv, line_of, read_csv, row_reader
from fastiou.formats.text import LAYOUTS_OF_ROWS, RowLayout, has_classes_later, sample_of
from fastiou.formats.tools import is_cvat, is_via, read_cvat, read_via, stranger
from fastiou.tables.column_names import HEADERS
from fastiou.tables.layouts import LAYOUTS
from fastiou.typing import Array

__all__ = [
    "COMPARED",
    "EXPECTED",
    "FORMATS",
    "NORMALIZED",
    "READERS",
    "SCALED",
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


def _is_text(name: str) -> Callable[[bytes, Wanted], bool]:
    return lambda data, wanted: kind_of(data) == "text" and name in _text_formats(data, wanted)


def _is_json(name: str) -> Callable[[bytes, Wanted], bool]:
    return lambda data, _: kind_of(data) == "JSON" and name == _json_format(data)


def _json_format(data: bytes) -> str:
    if is_labelme(data):
        return "labelme"
    if stranger(data) is not None:
        return ""
    if is_via(data):
        return "via"
    if is_activitynet(data):
        return "activitynet"
    if is_json_list(data):
        return "json"
    return "jsonl" if is_json_lines(data) else "coco"


def _text_formats(data: bytes, wanted: Wanted) -> list[str]:
    """The formats of rows that the first rows of a text follow: CSV if none."""
    if data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        others = {"voc": is_voc(data), "cvat": is_cvat(data)}
        return [name for name, fit in others.items() if fit]
    if stranger(data) is not None:
        return []
    try:
        sample = sample_of(data)
    except (csv.Error, UnicodeDecodeError):
        return ["csv"]
    # A file whose later rows break the rules is refused with the line, not taken for another.
    for rows in (sample, sample.head):
        fits = [layout.format for layout in LAYOUTS_OF_ROWS if rows.cells and layout.is_in(rows)]
        fitting = {"yolo-seg": is_yolo_outlines(rows), "dota": is_dota(rows)}
        fits += [name for name, fit in fitting.items() if fit]
        if is_csv(rows, wanted):
            fits.append("csv")
        if fits == ["mot"] and has_classes_later(data, sample):
            return ["visdrone-vid"]
        if fits:
            return fits
    return ["csv"]


def _doubt(data: bytes, formats: list[str], held: Collection[str]) -> Doubt | None:
    """What rows of text could be besides a format that they fit."""
    if {"yolo", "yolo-seg", "mot", "csv"}.isdisjoint(formats):
        return None
    try:
        return doubt(sample_of(data), formats, held)
    except (csv.Error, UnicodeDecodeError):  # which is told where it is read
        return None


def _row_format(layout: RowLayout) -> Format:
    words = ", ".join(layout.names[: layout.widths[0]]) + (", ..." if layout.takes(100) else "")
    words = "\n".join(textwrap.wrap(words, 63))
    return Format(
        layout.format,
        {"box": row_reader(layout)},
        _is_text(layout.format),
        True,
        layout.format,
        words,
        words,
    )


def _labels(format_: str) -> Reader:
    return lambda path, data, _: read_labels(path, data, format_)


_ROWS = (
    Format(
        "npy",
        {"box": read_npy_boxes},
        _is("NPY"),
        False,
        ".npy",
        "array of shape (N, 4), or (N, 5) with scores last",
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
        _is_text("csv"),
        True,
        ".csv",
        textwrap.fill(
            f"header with {' or '.join(map(','.join, HEADERS))}, or usual names such as xmin or "
            "left or x_center or width; optional frame, image or filename, video, category or "
            "class, and score or confidence; or 4 columns without a header (5 of rotated boxes), "
            "with scores one more",
            width=63,
        ),
        "header as of fastiou match, with score, confidence or conf; or 5\n"
        "columns without a header, the scores last",
    ),
    *(_row_format(layout) for layout in LAYOUTS_OF_ROWS),
    Format(
        "yolo-seg",
        {"box": read_yolo_outlines, "mask": read_yolo_masks},
        _is_text("yolo-seg"),
        True,
        "yolo-seg",
        "class, x1, y1, x2, y2, x3, y3, ...: bounds of outlines",
        "class, x1, y1, x2, y2, x3, y3, ..., score: bounds of outlines",
    ),
    Format(
        "dota",
        {"box": read_dota},
        _is_text("dota"),
        True,
        "dota",
        "x1, y1, ..., x4, y4, class, difficult: labels of DOTA",
        "",
    ),
    Format(
        "voc",
        {"box": read_voc},
        _is_text("voc"),
        True,
        "voc",
        "XML of Pascal VOC",
        "",
    ),
    Format(
        "cvat",
        {"box": read_cvat},
        _is_text("cvat"),
        True,
        "cvat",
        "XML of CVAT for images: boxes, and bounds of polygons",
        "",
    ),
    Format(
        "jsonl",
        {"box": read_json_lines},
        _is_json("jsonl"),
        True,
        "jsonl",
        "a JSON object a line, with the columns of .csv",
        "a JSON object a line, with the columns of .csv",
    ),
    Format(
        "json",
        {"box": read_json_list},
        _is_json("json"),
        True,
        "json",
        "a list of JSON objects with the columns of .csv",
        "a list of JSON objects with the columns of .csv",
    ),
    Format(
        "parquet",
        {"box": read_parquet},
        _is("parquet"),
        False,
        "parquet",
        "the columns of .csv, as in Arrow (Feather) files",
        "the columns of .csv, as in Arrow (Feather) files",
    ),
    Format("arrow", {"box": read_arrow}, _is("Arrow"), False, "arrow", "", ""),
    Format(
        "labelme",
        {"box": read_labelme, "mask": read_labelme_masks},
        _is_json("labelme"),
        True,
        "labelme",
        "JSON of labelme: rectangles, and bounds of polygons and circles",
        "",
    ),
    Format(
        "via",
        {"box": read_via},
        _is_json("via"),
        True,
        "via",
        "JSON of VIA: rectangles, and bounds of polygons and circles",
        "",
    ),
    Format(
        "activitynet",
        {"box": read_activitynet},
        _is_json("activitynet"),
        True,
        "activitynet",
        "JSON of ActivityNet: intervals of videos, truth or results",
        "JSON of ActivityNet: results",
    ),
    Format(
        "coco",
        {"box": read_coco_boxes, "mask": read_coco_masks},
        _is_json("coco"),
        True,
        "coco",
        "JSON with annotations, or a list of results",
        "JSON with a list of results, each with a score",
    ),
    Format(
        "labels",
        {"labels": _labels("labels")},
        looks_like_labels,
        False,
        "labels",
        "PNG (grey or palette), TIFF with one or more pages, .npy with\n"
        "integers (H, W) or (T, H, W), or a folder of such images",
        "",
    ),
    Format(
        "panoptic",
        {"labels": _labels("panoptic")},
        lambda *_: False,
        False,
        "panoptic",
        "PNG of colours as of COCO, where R + 256 G + 65536 B is the\n"
        "label, or a folder of such images; only with --format panoptic",
        "",
    ),
)

#: The formats by their names.
FORMATS = {row.name: row for row in _ROWS}


#: The formats whose coordinates are normalized by the image size.
NORMALIZED = ("yolo", "yolo-seg", "yolo-obb")

#: Those and such as may not tell the size of images.
SCALED = (*NORMALIZED, "labelme")

#: Formats in XML, which may declare another encoding than UTF-8.
XML = ("voc", "cvat")

#: What to do with label images where something else is read.
COMPARED = "fastiou match --geometry labels compares label images"

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


def recognized(path: Path, data: bytes, wanted: Wanted, *held: str) -> Format | None:
    """The format of a file by its content, None if there is none.

    Parameters
    ----------
    path
        The file, for messages.
    data
        The content.
    wanted
        What is to be read.
    *held
        What the file may hold: "box", "mask" or "labels".

    Raises
    ------
    FileError
        It could be of several formats.
    """
    rows = [row for row in _ROWS if not row.readers.keys().isdisjoint(held)]
    kind = kind_of(data)
    if kind in TEXTS:  # told together, since each of them would look at all of it
        told = [_json_format(data)] if kind == "JSON" else _text_formats(data, wanted)
        fits = [row for row in rows if row.name in told]
    else:
        fits = [row for row in rows if row.fits(data, wanted)]
    # Integers in .npy that cannot be boxes are labels.
    is_open = could_be_boxes(data, wanted)
    fits = [row for row in fits if row.name != "npy" or is_open or FORMATS["labels"] not in fits]
    in_doubt = None if kind != "text" else _doubt(data, [row.name for row in fits], held)
    if in_doubt is not None:
        raise DoubtError(path, *in_doubt)
    if len(fits) > 1:
        names = " or ".join(row.name for row in fits)
        raise FileError(path, f"this could be {names}", f"the one meant: --format {names}")
    return fits[0] if fits else None


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
    file: BoxFile = _read("box", Path(path), data, format, Wanted(**wanted))
    return file


def _read_boxes(path: Path, data: bytes, format_: str | None, wanted: Wanted) -> BoxFile:
    kind = kind_of(data)
    if format_ is None:
        row = recognized(path, data, wanted, "box")
    else:
        row, wanted = FORMATS[format_], replace(wanted, format_told=True)
    if row is None and (known := stranger(data)) is not None:
        raise FileError(path, *known)
    if row is None and kind == "text":
        raise FileError(path, "XML or HTML", "an annotation of Pascal VOC, or another format")
    expected = _boxes_expected(kind, wanted)
    # What XML declares its parser knows.
    is_declared = row is not None and row.name in XML and declared_encoding(data) is not None
    if (row is None or row.is_text) and not is_declared:
        check_text(path, data, expected)
    if row is None:
        raise FileError(path, kind_described(kind), expected)
    file: BoxFile = row.readers["box"](path, data, wanted)

    def place_of(index: int) -> tuple[int, int | None]:
        place = file.place(index)
        if file.format == "dota":
            return place, next(itertools.islice(dota_rows(data), place, None))[0]
        return place, line_of(data, file.format, place) if file.format in ROWS_OF_TEXT else None

    def where(index: int) -> str:
        place, line = place_of(index)
        return f"is number {place + 1:,}" + ("" if line is None else f" in line {line:,}")

    check_edges(file, lambda index: place_of(index)[1])

    if wanted.image_size is not None and file.format in NORMALIZED:
        scale = np.tile(np.array(wanted.image_size, np.float64), file.boxes.shape[1] // 2)
        file = replace(file, boxes=file.boxes * scale)
    told = (note for note in (nan_note(file, where), inverted_note(file, where)) if note)
    return replace(file, notes=(*file.notes, *told))


def _boxes_expected(kind: str, wanted: Wanted) -> str:
    """What is said to be expected in place of a file of another kind than those with boxes."""
    if kind in ("PNG", "TIFF"):
        return f"boxes ({COMPARED})"
    *others, last = formats_of("box")
    # Who takes scores reads boxes alone.
    could_be_labels = kind in IMAGES and not wanted.takes_scores
    labels = f", or {LABELS_EXPECTED}" if could_be_labels else ""
    return f"boxes as {', '.join(others)} or {last}{labels}"


def read_masks(
    path: str | Path,
    data: bytes | None = None,
    *,
    format: str | None = None,  # noqa: A002
    **wanted: Any,
) -> MaskFile:
    """Read a file with masks: of COCO, or outlines of labelme or YOLO.

    Parameters
    ----------
    path
        The file, compressed by gzip or not.
    data
        Its content, if `fastiou.formats.content.read_content` has read it.
    format
        One of the formats of masks; recognized by content if not given.
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
    file: MaskFile = _read("mask", Path(path), data, format, Wanted(**wanted))
    return file


def _read_masks(path: Path, data: bytes, format_: str | None, wanted: Wanted) -> MaskFile:
    kind = kind_of(data)
    hint = f" ({COMPARED})" if kind in ("PNG", "TIFF", "NPY") else ""
    check_text(path, data, f"COCO JSON with masks{hint}")
    row = FORMATS[format_] if format_ else recognized(path, data, wanted, "mask")
    if row is None and (known := stranger(data)) is not None:
        raise FileError(path, *known)
    if row is None and kind == "text":
        of_boxes = recognized(path, data, wanted, "box")
        if of_boxes is not None:
            *others, last = formats_of("mask")
            expected = f"masks as {', '.join(others)} or {last}"
            raise FileError(path, f"{of_boxes.name}, which has boxes alone", expected)
    file: MaskFile = (row or FORMATS["coco"]).readers["mask"](path, data, wanted)
    return file


#: What reads the content of a file of each kind, and what a folder is whose files are all empty.
_CONTENTS: dict[str, tuple[Callable[..., Any], Callable[[Path, Wanted], Any]]] = {
    "box": (
        _read_boxes,
        lambda path, wanted: BoxFile(
            path=path, format="empty", fmt=wanted.fmt,
            boxes=np.empty((0, LAYOUTS[wanted.fmt])), scores=_no_scores(wanted),
        ),
    ),
    "mask": (
        _read_masks,
        lambda path, wanted: MaskFile(
            path=path, format="empty", label="", masks=[], images={}, scores=_no_scores(wanted)
        ),
    ),
}  # fmt: skip


def _no_scores(wanted: Wanted) -> Array | None:
    return np.empty(0) if wanted.scored else None


def _read(kind: str, path: Path, data: bytes | None, format_: str | None, wanted: Wanted) -> Any:
    """Read a file of a kind, or a folder of such files."""
    read, empty = _CONTENTS[kind]
    if data is not None or not path.is_dir():
        content = read_content(path, EXPECTED[kind], format_) if data is None else data
        if not content or content.isspace():
            return empty(path, wanted)
        return read(path, content, format_, wanted)

    def in_folder(file: Path, each: Wanted, told: str | None) -> Any:
        """What one holds, of the format that others tell; None where it is without objects."""
        own = read_pieces(file, kind_of)
        return read(file, own, format_ or told, each) if own and not own.isspace() else None

    return read_folder(path, wanted, in_folder, empty(path, wanted))


#: What reads each kind of content, with the arguments of `read_boxes`.
READERS: dict[str, Callable[..., Any]] = {
    "box": read_boxes,
    "mask": read_masks,
    "labels": lambda path, data, *, format=None, **_: read_labels(path, data, format),  # noqa: A006
}
