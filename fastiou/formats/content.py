"""What the readers of all file formats share: contents, numbers, and complaints.

Every complaint about a file is a `FileError` that says where in the file, what was found and what
was expected.
"""

from __future__ import annotations

import gzip
import importlib
import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "EXACT",
    "Booleans",
    "BoxFile",
    "FileError",
    "Floats",
    "Integers",
    "are_exact_integers",
    "check_text",
    "content",
    "described",
    "import_extra",
    "kind_of",
    "npy_header",
    "number_in",
    "numpy_errors",
    "read_npy",
    "shortened",
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


class FileError(Exception):
    """A file cannot be used; the message says where in it and why.

    Parameters
    ----------
    path
        The file.
    found, expected
        What is there, and what should be.
    where
        Line number, entry or array name; None for the whole file.
    """

    def __init__(
        self, path: Path, found: str, expected: str | None = None, where: int | str | None = None
    ) -> None:
        place = str(path) if where is None else f"{path}:{where}"
        super().__init__(f"{place}: {found}" + (f", expected {expected}" if expected else ""))


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module that only an extra installs.

    Parameters
    ----------
    module
        Its name.
    extra
        The extra of fastiou that installs it.
    purpose
        What needs it, for the message.

    Raises
    ------
    ImportError
        Naming the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ImportError(f"{purpose} needs: pip install 'fastiou[{extra}]'") from None
    except ImportError as error:  # installed, but not fit for what else is
        raise ImportError(f"{purpose} needs {module}, which fails: {error}") from error


# ---- contents ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BoxFile:
    """Boxes read from a file, in the order of the file.

    Attributes
    ----------
    path : Path
        Where they come from.
    format : str
        One of `fastiou.io.FORMATS`.
    fmt : str
        One of `fastiou.io.LAYOUTS`.
    boxes : array of float64, shape (N, 4)
    keys : dict
        Grouping keys that the file has, "image" and "category", each as int64 of shape (N,).
    scores : array of float64, shape (N,), or None
        How sure each is, if that was asked for.
    crowds : array of bool, shape (N,), or None
        Which are crowds, if that was asked for and the format can tell.
    """

    path: Path
    format: str
    fmt: str
    boxes: Floats
    keys: dict[str, Integers] = field(default_factory=dict)
    scores: Floats | None = None
    crowds: Booleans | None = None

    def __len__(self) -> int:
        return len(self.boxes)


def content(path: Path, expected: str = "a file with boxes") -> bytes:
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


# ---- NumPy files -------------------------------------------------------------------------------


#: What NumPy raises on a broken header, which it reads as Python.
BROKEN = (ValueError, TypeError, SyntaxError, tokenize.TokenError)


@contextmanager
def numpy_errors(path: Path, kind: str) -> Iterator[None]:
    """Turn what NumPy says of a broken file into a FileError."""
    try:
        yield
    except (*BROKEN, OSError, EOFError, KeyError, RuntimeError) as error:
        if "allow_pickle" in str(error):
            raise FileError(
                path, "it holds Python objects, which are not read for safety", "numbers"
            ) from None
        raise FileError(path, f"cannot be read as {kind} ({error})") from None
    except (zipfile.BadZipFile, zlib.error) as error:
        raise FileError(path, f"broken {kind} file ({error})", "a complete one") from None


def read_npy(path: Path, data: bytes) -> npt.NDArray[Any]:
    """The array of a .npy file."""
    with numpy_errors(path, ".npy"):
        array: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array


def npy_header(data: bytes) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and dtype of the array in a .npy file, None if it is broken."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        # Version 3 differs from 2 only in the letters that names of fields may have.
        first = np.lib.format.read_array_header_1_0
        read = first if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except BROKEN:
        return None
    return shape, dtype


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


def described(value: Any) -> str:
    """A value of a JSON file as it may stand in a message."""
    # Lists of numbers may be arrays by now.
    text = json.dumps(value, ensure_ascii=False, default=lambda array: array.tolist())
    return shortened(text)


def shortened(text: str) -> str:
    """Text as it may stand in a message."""
    return text if len(text) <= 60 else text[:59] + "…"
