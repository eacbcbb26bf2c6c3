"""Which members of two files may meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastiou.formats.content import Integers, MemberFile

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
    """

    keys: tuple[str, ...]
    codes_a: Integers
    codes_b: Integers
    count: int

    def described(self) -> str:
        """How many groups, by what."""
        return f"{self.count:,} by {' and '.join(self.keys)}"

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
        None if they have no key in common.
    """
    both = (a,) if b is None else (a, b)
    common = tuple(key for key in a.keys if all(key in file.keys for file in both))
    if not common:
        return None
    codes = np.zeros(sum(map(len, both)), np.int64)
    count = 1
    for key in common:
        distinct, inverse = np.unique(
            np.concatenate([file.keys[key] for file in both]), return_inverse=True
        )
        # Numbered afresh after each key, so that the product never overflows.
        combined, codes = np.unique(codes * len(distinct) + inverse, return_inverse=True)
        count = len(combined)
    return Grouping(common, codes[: len(a)], codes[len(a) :], count)
