"""Which members of two files may meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastiou.formats.content import Integers, MemberFile
from fastiou.formats.errors import RefusedError, shortened
from fastiou.formats.keys import joined_keys
from fastiou.typing import Array

__all__ = ["Grouping", "common_groups"]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which boxes or masks of two files, or of one, may meet: those with equal codes.

    Attributes
    ----------
    keys : tuple of str
        The grouping keys that both files have.
    codes_a, codes_b : array of int64
        For each of them in either file, the number of its group; of one file, none in `codes_b`.
    count : int
        Number of groups in both files together.
    aside : str
        Which keys only one file has, "" if none.
    of_one : bool
        Whether there is but one file.
    """

    keys: tuple[str, ...]
    codes_a: Integers
    codes_b: Integers
    count: int
    aside: str = ""
    of_one: bool = False

    def described(self) -> str:
        """How many groups, by what."""
        aside = f" ({self.aside})" if self.aside else ""
        return f"{self.count:,} by {' and '.join(self.keys)}{aside}"

    @property
    def codes(self) -> tuple[Integers, Integers]:
        """The numbers of groups in both files."""
        return self.codes_a, self.codes_b

    @property
    def pairs(self) -> int:
        """How many pairs the groups hold, between two files or within one."""
        if self.of_one:
            sizes = np.bincount(self.codes_a)
            return int((sizes * (sizes - 1) // 2).sum())
        return int(self.partners.sum())

    @property
    def partners(self) -> Integers:
        """For each of the first file, how many of the second are in its group."""
        partners: Integers = np.bincount(self.codes_b, minlength=self.count)[self.codes_a]
        return partners


def common_groups(a: MemberFile, b: MemberFile | None = None) -> Grouping | None:
    """Group the boxes or masks of two files by all keys that both have.

    Parameters
    ----------
    a, b
        The files. Without `b` one is grouped by all of its keys.

    Returns
    -------
    Grouping or None
        None if neither has keys.

    Raises
    ------
    RefusedError
        Only one of the files has keys, or they have no value of a key in common.
    """
    both = (a,) if b is None else (a, b)
    common = tuple(key for key in a.keys if all(key in file.keys for file in both))
    aside = "; ".join(
        f"only {side} has {' and '.join(alone)}"
        for side, file in zip("AB", both, strict=False)
        if (alone := [key for key in file.keys if key not in common])
    )
    if aside and not common:
        raise RefusedError(f"{aside}, so nothing tells what may meet (--by none: all with all)")
    if not common:
        return None
    codes = np.zeros(sum(map(len, both)), np.int64)
    count = 1
    for key in common:
        values = [file.keys[key] for file in both]
        joined = joined_keys(values)
        distinct, inverse = np.unique(joined, return_inverse=True)
        if b is not None:
            _check_meeting(key, both, [joined[: len(a)], joined[len(a) :]])
        # Numbered afresh after each key, so that the product never overflows.
        combined, codes = np.unique(codes * len(distinct) + inverse, return_inverse=True)
        count = len(combined)
    return Grouping(common, codes[: len(a)], codes[len(a) :], count, aside, b is None)


def _check_meeting(key: str, files: Sequence[MemberFile], values: Sequence[Array]) -> None:
    """Refuse two files that are not empty and have no value of a key in common."""
    if not all(map(len, values)) or np.isin(values[0], values[1]).any():
        return
    has = " and ".join(
        f"{file.path.name} has {shortened(', '.join(map(str, np.unique(column)[:4].tolist())))}"
        for file, column in zip(files, values, strict=True)
    )
    others = [name for name in files[0].keys if name != key and name in files[1].keys]
    remedy = f"--by {','.join(others) or 'none'}"
    raise RefusedError(f"no {key} in common: {has} ({remedy} compares without regard to it)")
