"""What the command `fastiou` says of files and options that cannot be used.

Every complaint about a file is a `FileError` that says where in the file, what was found and what
was expected.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from fastiou.runtime.extras import import_extra

__all__ = [
    "DoubtError",
    "FileError",
    "RefusedError",
    "check_regular",
    "described",
    "import_extra",
    "shortened",
    "special_kind",
]

#: What may be at a place besides files and folders.
SPECIAL = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


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
        self.path, self.found, self.expected, self.where = path, found, expected, where

    @property
    def fault(self) -> str:
        """What is wrong, and where in the file."""
        return self.found if self.where is None else f"{self.where}: {self.found}"


class DoubtError(FileError):
    """A file could be of two formats.

    Parameters
    ----------
    path, found, expected
        As those of a FileError.
    format
        What it is if other files of its folder are so without a doubt; None if those do not tell.
    """

    def __init__(self, path: Path, found: str, expected: str, format: str | None) -> None:  # noqa: A002
        super().__init__(path, found, expected)
        self.format = format


class RefusedError(Exception):
    """What is in the files, or an option, is not what fastiou accepts; the message says why."""


def special_kind(mode: int) -> str:
    """What is at a place by the mode that `os.stat` tells, if it is no file and no folder."""
    return next((kind for is_it, kind in SPECIAL if is_it(mode)), "something else")


def check_regular(path: Path) -> None:
    """Raise a FileError unless there is a regular file, which can be read more than once."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError as error:
        what = "a link to nothing" if path.is_symlink() else str(error.strerror or error)
        raise FileError(path, what, "a regular file") from None
    if not stat.S_ISREG(mode):
        raise FileError(path, special_kind(mode), "a regular file")


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def described(value: Any) -> str:
    """A value of a JSON file as it may stand in a message."""
    # Lists of numbers may be arrays by now.
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    return shortened(text)


def shortened(text: str) -> str:
    """Text as it may stand in a message."""
    return text if len(text) <= 60 else text[:59] + "…"
