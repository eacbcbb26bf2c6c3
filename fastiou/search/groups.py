"""The argument `groups` as numbers: members of equal groups alone can meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.checks import group_array
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
    known, codes2 = np.unique(groups2, return_inverse=True)
    codes2 = codes2.astype(np.int32)
    if itself:
        return codes2, codes2, len(known)
    places = np.minimum(np.searchsorted(known, groups1), len(known) - 1)
    codes1 = np.where(known[places] == groups1, places, -1).astype(np.int32)
    return codes1, codes2, len(known)


def group_arrays(
    groups: Any, size1: int, size2: int, *, itself: bool
) -> tuple[Array | None, Array | None]:
    """The argument `groups` as an array for either set."""
    if groups is None:
        return None, None
    if itself:
        if isinstance(groups, tuple) and len(groups) == 2 and size1 != 2:
            raise ValueError("groups must be one array, the groups of a, when b is not given")
        both = group_array("groups", groups, size1)
        return both, both
    if (
        not isinstance(groups, tuple | list)
        or len(groups) != 2
        or any(isinstance(part, int | np.integer) for part in groups)
    ):
        raise ValueError(
            "groups must be a tuple of two arrays, the groups of a and of b, when both are given"
        )
    groups1 = group_array("groups[0]", groups[0], size1)
    groups2 = group_array("groups[1]", groups[1], size2)
    if groups1.dtype != groups2.dtype:  # one has numbers from 2**63 on, so the other none below 0
        for name, array in (("groups[0]", groups1), ("groups[1]", groups2)):
            if array.dtype == np.int64 and array.size and array.min() < 0:
                raise ValueError(
                    f"{name} has {array.min()}, and the other groups have numbers from 2**63 on: "
                    "they have no integer type in common"
                )
        return groups1.astype(np.uint64), groups2.astype(np.uint64)
    return groups1, groups2
