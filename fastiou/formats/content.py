"""What the readers of all file formats share: what they are asked for and give, and numbers."""

from __future__ import annotations

import gzip
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.formats.errors import FileError

__all__ = [
    "EXACT",
    "Booleans",
    "BoxFile",
    "Floats",
    "Integers",
    "MemberFile",
    "Wanted",
    "are_exact_integers",
    "check_text",
    "kind_of",
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
}


# ---- contents ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What a reader is asked for.

    Attributes
    ----------
    fmt : str
        Layout of the boxes where the file does not tell, one of `fastiou.formats.layouts.LAYOUTS`.
    grouped, scored, crowded : bool
        Whether to read the grouping keys, the scores, and which members are crowds, too.
    """

    fmt: str = "xyxy"
    grouped: bool = True
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
        Grouping keys that the file has, "image" and "category", each as int64 of shape (N,).
    scores : array of float64, shape (N,), or None
        How sure each is, if that was asked for.
    crowds : array of bool, shape (N,), or None
        Which are crowds, if that was asked for and the format can tell.
    """

    path: Path
    format: str
    keys: dict[str, Integers] = field(default_factory=dict)
    scores: Floats | None = None
    crowds: Booleans | None = None

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
