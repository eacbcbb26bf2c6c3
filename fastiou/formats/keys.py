"""What columns of files mean, and keys in them: whole numbers or names, in one or several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fastiou.formats.content import MemberFile, Wanted, whole_number_in
from fastiou.formats.errors import FileError, RefusedError
from fastiou.tables.columns import Meaning, column_not_told, meaning_of
from fastiou.tables.grouping import are_one_key
from fastiou.typing import Array

__all__ = [
    "MISSING",
    "check_by",
    "is_written_as_name",
    "key_array",
    "keys_of",
    "meaning_wanted",
    "one_key",
]

#: How programs write that a key is missing.
MISSING = frozenset({"", "NA", "N/A", "<NA>", "#N/A", "NULL", "null", "None"})

#: How NumPy writes whole numbers among others.
SCIENTIFIC = re.compile(r"\d\.\d{18}e[-+]\d\d", re.IGNORECASE)


def meaning_wanted(names: Sequence[str], wanted: Wanted) -> Meaning:
    """What columns mean of which a reader wants some (see `meaning_of`)."""
    return meaning_of(
        names,
        wanted.fmt,
        wanted.by,
        scored=wanted.scored,
        takes_scores=wanted.takes_scores,
        told=wanted.told,
        also=wanted.also,
    )


def key_array(cells: Sequence[str]) -> Array:
    """A key from its cells: whole numbers if all are, else names."""
    numbers = [whole_number_in(cell) for cell in cells]
    if None not in numbers and not any(map(is_written_as_name, cells)):
        return np.array(numbers, np.int64)
    return np.array(cells, np.str_)


def is_written_as_name(cell: str) -> bool:
    """Whether a whole number is written as only a name is: 000001, which is another than 1."""
    digits = cell.strip().lstrip("+-")
    if SCIENTIFIC.fullmatch(digits):
        return False
    return (len(digits) > 1 and digits[0] == "0" and digits[1] != ".") or "e" in digits.lower()


def one_key(
    path: Path, names: Sequence[str], columns: Sequence[Array], others: Sequence[str] = ()
) -> Array:
    """One key of several columns that tell the same, such as the number and the name of an image.

    Messages name the other keys of the file, too.

    Raises
    ------
    FileError
        They do not tell the same.
    """
    for name, column in zip(names[1:], columns[1:], strict=True):
        if not are_one_key(columns[0], column):
            both = names[0].strip(), name.strip()
            found = f"columns {' and '.join(both)} tell different groups"
            ways = [f"--by {','.join((*some, *others))}" for some in (both, both[:1], both[1:])]
            expected = f"{ways[0]}, which tell it together, or {' or '.join(ways[1:])}"
            raise FileError(path, found, expected)
    return columns[0]


def keys_of(
    path: Path, told: Mapping[str, Mapping[str, Array]]
) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """The keys of a file, and the columns of those that several tell.

    Parameters
    ----------
    path
        The file, for messages.
    told
        For each key its columns by their names.

    Raises
    ------
    FileError
        Columns of a key do not tell the same.
    """
    keys = {
        key: one_key(path, list(by), list(by.values()), [other for other in told if other != key])
        for key, by in told.items()
    }
    return keys, {key: dict(by) for key, by in told.items()}


def check_by(by: Sequence[str] | None, *files: MemberFile) -> None:
    """Raise a RefusedError if a column that shall tell a key is in none of these files."""
    lacking = column_not_told(by, *(file.columns for file in files))
    if lacking is not None and any(map(len, files)):
        listed = " and ".join(file.path.name for file in files)
        raise RefusedError(f"--by {lacking[0]}: there is no column {lacking[1]} in {listed}")
