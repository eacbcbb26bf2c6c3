"""Which members of two sets with keys may meet, as files and tables have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fastiou.runtime.words import shortened
from fastiou.typing import Array

__all__ = [
    "Grouping",
    "Keyed",
    "common_groups",
    "joined_keys",
    "key_column",
    "names_of_pairs",
    "tell_the_same",
]

#: Names of columns of results, which no key may have.
RESERVED = ("rows", "cols", "values", "frames", "kept", "scores", "id", "id_a", "id_b")


class Keyed(Protocol):
    """Members that are grouped by keys."""

    @property
    def keys(self) -> Mapping[str, Array]:
        """For each key the value of each member: int64, or text."""

    @property
    def ids(self) -> Array | None:
        """What each member is called, if it is called anything."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which members of two sets, or of one, may meet: those with equal codes.

    Attributes
    ----------
    keys : tuple of str
        The grouping keys that both sets have.
    codes_a, codes_b : array of int64
        For each member of either set, the number of its group; of one set, none in `codes_b`.
    count : int
        Number of groups in both sets together.
    aside : str
        Which keys only one set has, "" if none.
    of_one : bool
        Whether there is but one set.
    """

    keys: tuple[str, ...]
    codes_a: Array
    codes_b: Array
    count: int
    aside: str = ""
    of_one: bool = False

    def described(self) -> str:
        """How many groups, by what."""
        aside = f" ({self.aside})" if self.aside else ""
        return f"{self.count:,} by {' and '.join(self.keys)}{aside}"

    @property
    def codes(self) -> tuple[Array, Array]:
        """The numbers of groups in both sets."""
        return self.codes_a, self.codes_b

    @property
    def pairs(self) -> int:
        """How many pairs the groups hold, between two sets or within one."""
        if self.of_one:
            sizes = np.bincount(self.codes_a)
            return int((sizes * (sizes - 1) // 2).sum())
        return int(self.partners.sum())

    @property
    def partners(self) -> Array:
        """For each of the first set, how many of the second are in its group."""
        partners: Array = np.bincount(self.codes_b, minlength=self.count)[self.codes_a]
        return partners


def common_groups(
    a: Keyed,
    b: Keyed | None,
    sides: Sequence[str],
    called: Sequence[str],
    by: Callable[[Sequence[str]], str],
) -> Grouping | None:
    """Group the members of two sets by all keys that both have.

    Parameters
    ----------
    a, b
        The sets. Without `b` one is grouped by all of its keys.
    sides, called
        What messages call each of them: where a key is missing, and where its values are.
    by
        How to have them grouped by some keys, or by none, for messages.

    Returns
    -------
    Grouping or None
        None if neither has keys.

    Raises
    ------
    ValueError
        Only one of them has keys, or they have no value of a key in common.
    """
    both = (a,) if b is None else (a, b)
    common = tuple(key for key in a.keys if all(key in keyed.keys for keyed in both))
    aside = "; ".join(
        f"only {side} has {' and '.join(alone)}"
        for side, keyed in zip(sides, both, strict=False)
        if (alone := [key for key in keyed.keys if key not in common])
    )
    if aside and not common:
        raise ValueError(f"{aside}, so nothing tells what may meet ({by(())}: all with all)")
    if not common:
        return None
    codes = np.zeros(sum(map(len, both)), np.int64)
    count = 1
    for key in common:
        joined = joined_keys([keyed.keys[key] for keyed in both])
        distinct, inverse = np.unique(joined, return_inverse=True)
        parts = joined[: len(a)], joined[len(a) :]
        if b is not None and len(a) and len(b) and not np.isin(*parts).any():
            has = " and ".join(
                f"{name} has {shortened(', '.join(map(str, np.unique(part)[:4].tolist())))}"
                for name, part in zip(called, parts, strict=True)
            )
            others = [name for name in a.keys if name != key and name in b.keys]
            raise ValueError(
                f"no {key} in common: {has} ({by(others)} compares without regard to it)"
            )
        # Numbered afresh after each key, so that the product never overflows.
        combined, codes = np.unique(codes * len(distinct) + inverse, return_inverse=True)
        count = len(combined)
    return Grouping(common, codes[: len(a)], codes[len(a) :], count, aside, b is None)


def joined_keys(columns: Sequence[Array]) -> Array:
    """A key of several sets, one after the other: names where one has names."""
    if len({column.dtype.kind for column in columns}) > 1:
        columns = [column.astype(np.str_) for column in columns]
    return np.concatenate(columns)


def tell_the_same(first: Array, other: Array) -> bool:
    """Whether two columns tell the same groups, as the number and the name of an image do."""
    if not len(first):
        return True
    codes, other_codes = (np.unique(column, return_inverse=True)[1] for column in (first, other))
    both = np.unique(np.stack([codes, other_codes], axis=1), axis=0)
    return bool(codes.max() + 1 == other_codes.max() + 1 == len(both))


# ---- columns of results ------------------------------------------------------------------------


def key_column(key: str) -> str:
    """What a key is called among the columns of a result, which have names of their own."""
    return f"key_{key}" if key in RESERVED else key


def names_of_pairs(
    keys: Sequence[str], a: Keyed | None, b: Keyed | None, rows: Array, cols: Array
) -> dict[str, Array]:
    """The keys that pairs have in common, and what their members are called, by name."""
    names = {} if a is None else {key_column(key): a.keys[key][rows] for key in keys}
    for side, keyed, positions in (("a", a, rows), ("b", b, cols)):
        if keyed is not None and keyed.ids is not None:
            names[f"id_{side}"] = keyed.ids[positions]
    return names
