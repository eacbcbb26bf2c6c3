"""What the readers of all file formats share: what they are asked for and give, and numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.formats.errors import FileError
from fastiou.formats.pieces import read_pieces
from fastiou.formats.skipped import Skipped
from fastiou.runtime import chunks
from fastiou.tables.column_names import key_meant, told_by
from fastiou.tables.layouts import LAYOUTS
from fastiou.typing import Array

__all__ = [
    "EXACT",
    "IMAGES",
    "LARGEST_NORMALIZED",
    "SIZES_FOR_CORNERS",
    "SMALLEST_NORMALIZED",
    "TEXTS",
    "Booleans",
    "BoxFile",
    "Floats",
    "Integers",
    "MemberFile",
    "Wanted",
    "are_exact_integers",
    "are_scores",
    "can_be_scores",
    "check_text",
    "chosen_keys",
    "classes_come_first",
    "is_json_object",
    "kind_described",
    "kind_of",
    "looks_like_sizes",
    "looks_normalized",
    "misread",
    "number_in",
    "read_content",
    "whole_number_in",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

#: Integers up to here are exact in float64.
EXACT = 2**53

#: How files begin that are not text, and what they are.
BEGINNINGS = {
    b"\x93NUMPY": "NPY",
    b"PK\x03\x04": "NPZ",
    b"PK\x05\x06": "NPZ",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\x01\0": "ICO",
    b"v/1\x01": "OpenEXR",
    b"8BPS\0": "Photoshop",
    b"P5\n": "PGM",
    b"P6\n": "PPM",
    b"PAR1\x15": "parquet",
    b"ARROW1\0": "Arrow",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"SQLite format 3\0": "SQLite",
    b"%PDF-": "PDF",
    b"MATLAB 5.0 MAT-file": "MATLAB",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
    b"\x1f\x8b": "gzip",
    **{b"BZh%d1AY&SY" % level: "bzip2" for level in range(1, 10)},
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\x7fELF": "ELF",
    # The longer first: the shorter is its beginning.
    b"\xff\xfe\0\0": "UTF-32 text",
    b"\0\0\xfe\xff": "UTF-32 text",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}

#: The same further inside, in files that have bytes of 0.
INSIDE = (
    (8, b"WEBP", "WebP"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftyp", "MP4"),
    (128, b"DICM", "DICOM"),
    (257, b"ustar", "tar"),
    (344, b"n+1\0", "NIfTI"),
)

#: Kinds whose pixels could be labels, or hold what boxes lie on.
IMAGES = frozenset(
    {
        "PNG", "TIFF", "JPEG", "BMP", "GIF", "WebP", "JPEG 2000", "AVIF", "HEIF", "ICO",
        "OpenEXR", "Photoshop", "PGM", "PPM", "DICOM", "NIfTI",
    }
)  # fmt: skip

#: Kinds that are text in UTF-8.
TEXTS = ("text", "JSON")

#: What messages call kinds that are neither "a PNG image" nor "a parquet file".
DESCRIBED = {
    "NPY": "a .npy file",
    "NPZ": "a .npz file",
    "ZIP": "a ZIP file without arrays of NumPy",
    "Office": "a file of Excel or another Office program, whose sheets it saves as CSV",
    "PyTorch": "a file of torch.save, whose arrays numpy.savez writes for others to read",
    "pickle": "a pickle of Python objects, which are not read for safety",
    "gzip": "a gzip file inside another",
    "binary": "binary data of no known kind",
}

#: Bytes that text does not have: control characters but tab, line feed, form feed and return.
CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r\x1a\x1b"))


#: Normalized coordinates lie between 0 and 1, and those of objects cut off a little beyond.
SMALLEST_NORMALIZED, LARGEST_NORMALIZED = -0.5, 1.5

#: Formats that trackers and detectors leave empty where they find nothing.
MAY_BE_EMPTY = frozenset(
    {"mot", "visdrone", "visdrone-vid", "yolo", "yolo-seg", "yolo-obb", "kitti", "kitti-tracking",
     "kitti-3d", "kitti-tracking-3d", "retinanet", "dota", "dota-results"}
)  # fmt: skip

#: What is said of boxes that `looks_like_sizes`, and what is expected.
SIZES_FOR_CORNERS = (
    "as xyxy, most boxes are inverted",
    "an option that says what they are: --boxes xywh, --boxes cxcywh, or --boxes xyxy",
)

#: The same of boxes that look normalized.
CLASS_FIRST = (
    "this could be a class, cx, cy, w and h, as YOLO has between blanks, or corners and scores",
    "--format yolo, or --boxes xyxy",
)

#: The same of boxes whose last number `_can_be_classes`.
CLASS_LAST = (
    "the last column holds 0 and 1 alone, which could be classes or scores",
    "columns with names (x1,y1,x2,y2,class), or --boxes xyxy, which takes them as scores",
)


# ---- contents ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What a reader is asked for.

    Attributes
    ----------
    fmt : str
        Layout of the boxes where the file does not tell, one of `fastiou.tables.layouts.LAYOUTS`.
    told : bool
        Whether the layout was asked for, and is not that which is usual.
    format_told : bool
        Whether the format was asked for, and not recognized by content.
    by : tuple of str or None
        The grouping keys to read, or columns; None for all that there are.
    also : tuple of str or None
        Of a file of a folder, what is asked for of the folder: it is read besides all keys, as far
        as it is there. No column is in doubt then.
    scored, crowded, ids : bool
        Whether to read the scores, which members are crowds, and what the file calls each, too.
    skip_invalid : bool
        Whether to leave out annotations of COCO files that are invalid.
    scores_if_there, sizes : bool
        Whether to read the scores of a file that has some, and the sizes of its images.
    image_size : tuple of int or None
        Width and height of all images, by which normalized coordinates become pixels.
    """

    fmt: str = "xyxy"
    told: bool = False
    format_told: bool = False
    by: tuple[str, ...] | None = None
    also: tuple[str, ...] | None = None
    scored: bool = False
    crowded: bool = False
    ids: bool = False
    skip_invalid: bool = False
    scores_if_there: bool = False
    sizes: bool = False
    image_size: tuple[int, int] | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody said what tells keys, so that columns may be in doubt."""
        return self.by is None and self.also is None

    @property
    def takes_scores(self) -> bool:
        """Whether scores are read where a file has some."""
        return self.scored or self.scores_if_there


@dataclass(frozen=True, eq=False, kw_only=True)
class MemberFile(ABC):
    """Members read from a file, in the order of the file.

    Attributes
    ----------
    path : Path
        Where they come from.
    format : str
        One of `fastiou.formats.table.FORMATS`.
    keys : dict
        Grouping keys that the file has, such as "image" and "category", each of shape (N,): int64,
        or text where they are names.
    scores : array of float64, shape (N,), or None
        How sure each is, if that was asked for; float32 where an array of NumPy is that.
    crowds : array of bool, shape (N,), or None
        Which are crowds, if that was asked for and the format can tell.
    ignored : array of bool, shape (N,), or None
        Which are to be ignored by the rule of the format, if it can tell.
    ids : array, shape (N,), or None
        What the file calls each, such as the number of an annotation or a track, if that was asked
        for and is there.
    columns : dict
        For each key that columns with names tell, these columns. Where they are several, such as
        the number and the name of an image, they tell the same groups.
    unused : tuple of str
        Columns of the file that were not used.
    likely_images : tuple of str
        Those of them that are likely to tell the image, which no key does.
    notes : tuple of str
        What must be told of the file, even where nobody asked for a summary.
    skipped : Skipped or None
        What was left out as invalid, or as no member.
    parts : tuple
        Of a folder the files that are not empty, and how many entries each has.
    classes_in : str
        Name of the file beside that tells the names of classes, if one does.
    files : dict
        The name of the file of each image, where the file tells it. A file of one image has it as
        "".
    classes : dict
        The name of each category by its number, where the file tells it.
    """

    path: Path
    format: str
    keys: dict[str, Array] = field(default_factory=dict)
    scores: Floats | None = None
    crowds: Booleans | None = None
    ignored: Booleans | None = None
    ids: Array | None = None
    columns: dict[str, dict[str, Array]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    likely_images: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: Skipped | None = None
    parts: tuple[tuple[Path, int], ...] = ()
    classes_in: str = ""
    files: Mapping[int | str, str] = field(default_factory=dict)
    classes: Mapping[int | str, str] = field(default_factory=dict)

    @abstractmethod
    def __len__(self) -> int: ...

    def places(self, indices: Array) -> Array:
        """Positions in the file of those members that have these positions among all read."""
        return indices if self.skipped is None else self.skipped.positions[indices]

    @property
    def entries(self) -> int:
        """How many entries the file has, those that were left out among them."""
        return len(self) if self.skipped is None else self.skipped.total

    def place(self, index: int) -> int:
        """The same of one member."""
        return int(self.places(np.array([index]))[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class BoxFile(MemberFile):
    """Boxes read from a file.

    Attributes
    ----------
    fmt : str
        One of `fastiou.tables.layouts.LAYOUTS`.
    boxes : array of float64, shape (N, numbers of the layout)
        float32 where an array of NumPy is that.
    sizes : dict
        Height and width of each image that the file lists, None where it does not tell; if that was
        asked for. A file of one image has it as "".
    size_columns : tuple of str
        Columns that tell them, which are among those not used.
    """

    fmt: str
    boxes: Floats
    sizes: Mapping[int | str, tuple[int, int] | None] = field(default_factory=dict)
    size_columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.boxes)


def chosen_keys(path: Path, keys: Iterable[str], by: tuple[str, ...] | None) -> list[str]:
    """Those of a file's keys that are asked for.

    Raises
    ------
    FileError
        One that is asked for is not there.
    """
    known = list(keys)
    if by is None:
        return known
    chosen: dict[str, None] = {}
    for name in by:
        key = key_meant(told_by(name)[0] or name, known)
        if key is None:
            raise FileError(path, f"there is no key {name!r}", " or ".join(known) or "none")
        chosen[key] = None
    return list(chosen)


def read_content(
    path: Path, expected: str = "a file with boxes", format_: str | None = None
) -> bytes:
    """The whole file, decompressed: see `fastiou.formats.pieces.read_pieces`.

    Parameters
    ----------
    path
        The file, compressed by gzip or not.
    expected
        What should be there where there is a folder.
    format_
        The format that was asked for, if any. Of some a file without a byte has no boxes.

    Raises
    ------
    FileError
        The file is missing, broken or empty, or nobody could use what is in it.
    """
    if path.is_dir():
        raise FileError(path, "this is a folder", expected)
    data = read_pieces(path, kind_of)
    if (not data or data.isspace()) and format_ not in MAY_BE_EMPTY:
        expected = "boxes (a CSV header or a JSON list may have none, or --format mot, yolo, …)"
        raise FileError(path, "the file is empty", expected)
    return data


def kind_of(data: bytes) -> str:
    """What a file is by its first bytes.

    Parameters
    ----------
    data
        The content.

    Returns
    -------
    str
        NPY, NPZ, PNG, TIFF or another binary kind of `BEGINNINGS`; JSON, or text of some other
        kind; "UTF-16 text" and "UTF-32 text"; "binary" for what is none of these.
    """
    start = data[:4096]
    if start.startswith(tuple(BEGINNINGS)):  # most of many files are text
        kind = next(kind for beginning, kind in BEGINNINGS.items() if start.startswith(beginning))
        return _kind_of_zip(start) if kind == "NPZ" else kind
    if b"\0" in start:
        return _kind_with_zeros(start)
    words = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "JSON" if words.startswith((b"{", b"[")) else "text"


def _kind_of_zip(start: bytes) -> str:
    """A .npz file holds arrays alone, so the name of the first member tells; one cut off may be."""
    length = int.from_bytes(start[26:28], "little")
    name = start[30 : 30 + length] if start.startswith(b"PK\x03\x04") else b""
    if not len(name) == length > 0 or name.endswith(b".npy"):
        return "NPZ"
    known = ((b"[Content_Types].xml", "Office"), (b"/data.pkl", "PyTorch"))
    return next((kind for last, kind in known if name.endswith(last)), "ZIP")


def _kind_with_zeros(start: bytes) -> str:
    """What a file is that has bytes of 0: text where every other byte is, or no text."""
    for place, sign, kind in INSIDE:
        if start.startswith(sign, place):
            return kind
    if start.startswith(b"BM") and start[6:10] == bytes(4):
        return "BMP"
    pairs = start[: len(start) // 2 * 2]
    for zeros, letters in ((pairs[1::2], pairs[::2]), (pairs[::2], pairs[1::2])):
        if not zeros.strip(b"\0") and letters == letters.translate(None, CONTROLS):
            return "UTF-16 text"
    return "binary"


def kind_described(kind: str) -> str:
    """What `kind_of` found, as messages say it: "a PNG image", "a parquet file", "text"."""
    if kind in DESCRIBED:
        return DESCRIBED[kind]
    if kind.endswith(("text", "JSON")):
        return kind
    article = "an" if kind in ("AVIF", "Arrow", "ELF", "HDF5", "ICO", "OpenEXR", "xz") else "a"
    return f"{article} {kind} {'image' if kind in IMAGES else 'file'}"


def is_json_object(data: bytes) -> bool:
    """Whether text begins as an object of JSON does, behind a byte order mark or not."""
    return data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def check_text(path: Path, data: bytes, expected: str) -> None:
    """Raise a FileError unless the content is text in UTF-8.

    Parameters
    ----------
    path
        The file, for the message.
    data
        Its content.
    expected
        What should be there where it is no text at all.

    Raises
    ------
    FileError
        It is something else, and what.
    """
    kind = kind_of(data)
    if kind in ("UTF-16 text", "UTF-32 text"):
        encoding = kind.removesuffix(" text")
        hint = f"UTF-8 (iconv -f {encoding} -t UTF-8 converts it)"
        raise FileError(path, kind, hint)
    if kind not in TEXTS:
        raise FileError(path, kind_described(kind), expected)
    if chunks.is_plain(data):
        return
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise FileError(path, "a byte of 0, which no text has", expected, line)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} is not UTF-8"
        if data != data.translate(None, CONTROLS):
            raise FileError(path, f"binary data ({found})", expected, line) from None
        if data[: error.start].removeprefix(b"\xef\xbb\xbf").isascii():
            found += " but Latin-1 or another encoding"
        hint = "UTF-8 (iconv -f LATIN1 -t UTF-8 converts Latin-1)"
        raise FileError(path, found, hint, line) from None


# ---- numbers and words -------------------------------------------------------------------------


def are_exact_integers(numbers: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which floats are whole numbers that float64 tells from all others."""
    if numbers.dtype == np.float16:  # which has no number so large to compare with
        numbers = numbers.astype(np.float64)
    # A NaN fails both comparisons.
    exact: npt.NDArray[np.bool_] = (np.abs(numbers) < EXACT) & (np.trunc(numbers) == numbers)
    return exact


def looks_like_sizes(boxes: npt.NDArray[Any], wanted: Wanted) -> bool:
    """Whether what is read as corners unasked is rather a corner, a width and a height.

    That is so where most boxes would be inverted, and have positive numbers for sizes.
    """
    if wanted.told or wanted.fmt != "xyxy":
        return False
    inverted = (boxes[:, 2:4] < boxes[:, :2]).any(axis=1) & (boxes[:, 2:4] > 0).all(axis=1)
    return bool(np.count_nonzero(inverted) > len(boxes) / 2)


def classes_come_first(rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which rows could be a class and normalized coordinates; none if one has no class."""
    classes = rows[:, 0]
    whole = (classes >= 0) & (classes == np.floor(classes))
    inside = (rows[:, 1:] >= SMALLEST_NORMALIZED) & (rows[:, 1:] <= LARGEST_NORMALIZED)
    could_be: npt.NDArray[np.bool_] = inside.all(axis=1) & whole.all()
    return could_be


def looks_normalized(boxes: npt.NDArray[Any], wanted: Wanted) -> bool:
    """Whether five numbers a row are rather those of YOLO: a class, and four between 0 and 1."""
    if wanted.told or boxes.shape[1] != 5 or not len(boxes):
        return False
    return bool(classes_come_first(boxes).all())


def _can_be_classes(scores: npt.NDArray[Any], wanted: Wanted) -> bool:
    """Whether the last of five numbers a row could be a class as well as a score."""
    return not wanted.told and bool(len(scores)) and bool(((scores == 0) | (scores == 1)).all())


def misread(rows: npt.NDArray[Any], wanted: Wanted) -> tuple[str, str] | None:
    """What is found in bare numbers that are rather others, and what is expected.

    None if they are corners, or corners and scores.
    """
    if looks_normalized(rows, wanted):
        return CLASS_FIRST
    if rows.shape[1] > LAYOUTS[wanted.fmt] and _can_be_classes(rows[:, -1], wanted):
        return CLASS_LAST
    return SIZES_FOR_CORNERS if looks_like_sizes(rows, wanted) else None


def can_be_scores(scores: npt.NDArray[Any], wanted: Wanted) -> bool:
    """Whether the last of five numbers a row can be a score, and not an angle or a side.

    Where the layout of boxes was asked for, a number more is one: any for who needs scores, and
    percents, too, for others.
    """
    if wanted.scored:  # below 0 may be logits; of what is not finite the place is told later
        return wanted.told or not bool(((scores > 1) & (scores < np.inf)).any())
    return are_scores(scores, 100 if wanted.told else 1)


def are_scores(scores: npt.NDArray[Any], most: float = 100) -> bool:
    """Whether numbers lie between 0 and another, 1 or, of percents, 100."""
    return bool(((scores >= 0) & (scores <= most)).all())


def number_in(cell: str) -> float | None:
    """The number that a cell says, None if it says something else."""
    # Python reads 1_000 as a thousand; no other program that writes tables does.
    if "_" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def whole_number_in(cell: str) -> int | None:
    """The integer of 64 bits that a cell says, None if it says something else."""
    number = number_in(cell)
    if number is None or not number.is_integer():
        return None
    try:
        whole = int(cell)
    except ValueError:
        whole = int(number)
        if abs(whole) >= EXACT:  # 2**53 + 1.0 is read as 2**53
            return None
    return whole if -(2**63) <= whole < 2**63 else None
