"""The argument `groups` as numbers: members of equal groups alone can meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.keys import Keys, KeyTable, read_keys
from fastiou.runtime import memory
from fastiou.typing import Array

__all__ = ["group_arrays", "group_codes"]


def group_codes(groups: Any, sizes: tuple[int, int], *, itself: bool) -> tuple[Array, Array, int]:
    """Groups as numbers from 0, for either set, and how many there are; -1 where none can meet.

    One number serves for all where there is but one group.
    """
    groups1, groups2 = group_arrays(groups, *sizes, itself=itself)
    if groups1 is None or groups2 is None:
        all_one = np.zeros(1, np.int32)
        return all_one, all_one, 1
    if not len(groups1) or not len(groups2):
        return np.full(sizes[0], -1, np.int32), np.full(sizes[1], -1, np.int32), 0
    low = min(int(groups1.min()), int(groups2.min()))
    span = max(int(groups1.max()), int(groups2.max())) - low + 1
    if span <= sizes[0] + sizes[1]:
        codes1 = (groups1 - groups1.dtype.type(low)).astype(np.int32)
        codes2 = codes1 if itself else (groups2 - groups2.dtype.type(low)).astype(np.int32)
        return codes1, codes2, span
    table = KeyTable(Keys("groups", [groups2]))
    codes1 = table.codes if itself else table.codes_of(Keys("groups", [groups1]))
    return codes1, table.codes, table.count


def group_arrays(
    groups: Any, size1: int, size2: int, *, itself: bool, name: str = "groups"
) -> tuple[Array | None, Array | None]:
    """The argument `groups` as an array of one integer type for either set.

    Of one set it is that set's keys (see `arrays.keys.read_keys`), of two sets a tuple or list of
    the keys of both, whatever their number.
    """
    if groups is None:
        return None, None
    with memory.in_words(name, "pass integers"):
        return _group_arrays(groups, size1, size2, itself=itself, name=name)


def _group_arrays(
    groups: Any, size1: int, size2: int, *, itself: bool, name: str
) -> tuple[Array, Array]:
    """The same of groups that are given."""
    if itself:
        keys = read_keys(name, groups, size1)
        own = keys.integers
        both = KeyTable(keys).codes.astype(np.int64) if own is None else own
        return both, both
    if (
        not isinstance(groups, tuple | list)
        or len(groups) != 2
        or any(isinstance(part, int | str | bytes | np.generic) for part in groups)
    ):
        raise ValueError(
            f"{name} must be a tuple of two, the groups of a and those of b, when both are given; "
            "several keys are a tuple of arrays or a data frame in either of them"
        )
    keys1 = read_keys(f"{name}[0]", groups[0], size1)
    keys2 = read_keys(f"{name}[1]", groups[1], size2)
    own1, own2 = keys1.integers, keys2.integers
    if own1 is not None and own2 is not None and own1.dtype == own2.dtype:
        return own1, own2
    table = KeyTable(keys2)
    return table.codes_of(keys1).astype(np.int64), table.codes.astype(np.int64)
