"""What the readers of all file formats share: what they are asked for and give, and numbers."""

from __future__ import annotations

import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.formats.errors import FileError
from fastiou.typing import Array

__all__ = [
    "EXACT",
    "SIZES_FOR_CORNERS",
    "Booleans",
    "BoxFile",
    "Floats",
    "Integers",
    "MemberFile",
    "Wanted",
    "are_exact_integers",
    "check_text",
    "chosen_keys",
    "kind_of",
    "looks_like_sizes",
    "number_in",
    "read_content",
    "whole_number_in",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

#: Integers up to here are exact in float64.
EXACT = 2**53

#: How files begin that are not text.
BEGINNINGS = {
    b"\x93NUMPY": "NPY",
    b"PK\x03\x04": "NPZ",
    b"PK\x05\x06": "NPZ",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"PAR1": "parquet",
    b"ARROW1": "Arrow",
}


#: What is said of boxes that `looks_like_sizes`, and what is expected.
SIZES_FOR_CORNERS = (
    "as xyxy, most boxes are inverted",
    "an option that says what they are: --boxes xywh, --boxes cxcywh, or --boxes xyxy",
)

# ---- contents ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What a reader is asked for.

    Attributes
    ----------
    fmt : str
        Layout of the boxes where the file does not tell, one of `fastiou.formats.layouts.LAYOUTS`.
    told : bool
        Whether the layout was asked for, and is not that which is usual.
    format_told : bool
        Whether the format was asked for, and not recognized by content.
    by : tuple of str or None
        The grouping keys to read, or columns; None for all that there are.
    scored, crowded : bool
        Whether to read the scores, and which members are crowds, too.
    """

    fmt: str = "xyxy"
    told: bool = False
    format_told: bool = False
    by: tuple[str, ...] | None = None
    scored: bool = False
    crowded: bool = False


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
        How sure each is, if that was asked for.
    crowds : array of bool, shape (N,), or None
        Which are crowds, if that was asked for and the format can tell.
    unused : tuple of str
        Columns of the file that were not used.
    """

    path: Path
    format: str
    keys: dict[str, Array] = field(default_factory=dict)
    scores: Floats | None = None
    crowds: Booleans | None = None
    unused: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class BoxFile(MemberFile):
    """Boxes read from a file.

    Attributes
    ----------
    fmt : str
        One of `fastiou.formats.layouts.LAYOUTS`.
    boxes : array of float64, shape (N, numbers of the layout)
    """

    fmt: str
    boxes: Floats

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
    for name in by or ():
        if name not in known:
            raise FileError(path, f"there is no key {name!r}", " or ".join(known) or "none")
    return known if by is None else list(by)


def read_content(path: Path, expected: str = "a file with boxes") -> bytes:
    """The whole file, decompressed.

    Parameters
    ----------
    path
        The file, compressed by gzip or not.
    expected
        What should be there where there is a folder.

    Raises
    ------
    FileError
        The file is missing, broken or empty.
    """
    if path.is_dir():
        raise FileError(path, "this is a folder", expected)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from None
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileError(path, f"broken gzip file ({error})", "a complete one") from None
    if not data or data.isspace():
        raise FileError(
            path, "the file is empty", "boxes (a CSV header or a JSON list may have none)"
        )
    return data


def kind_of(data: bytes) -> str:
    """What a file is by its first bytes: NPY, NPZ, PNG, TIFF, JSON, or text of some other kind."""
    for beginning, kind in BEGINNINGS.items():
        if data.startswith(beginning):
            return kind
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    return "JSON" if start.startswith((b"{", b"[")) else "text"


def check_text(path: Path, data: bytes, expected: str) -> None:
    """Raise a FileError unless the content is UTF-8."""
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError(
            path, f"byte 0x{data[error.start]:02x} is not UTF-8", expected, line
        ) from None


# ---- numbers and words -------------------------------------------------------------------------


def are_exact_integers(numbers: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which floats are whole numbers that float64 tells from all others."""
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
    return whole if -(2**63) <= whole < 2**63 else None
