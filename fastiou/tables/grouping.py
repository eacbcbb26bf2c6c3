"""Which members of two sets with keys may meet, as files and tables have them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fastiou.runtime.words import shortened
from fastiou.tables.column_names import plain_name
from fastiou.typing import Array

__all__ = [
    "ENDING",
    "FROM_ZERO",
    "ZEROS_IN_FRONT",
    "Grouping",
    "Keyed",
    "alike_names",
    "alone_in_each",
    "are_one_key",
    "common_groups",
    "images_of",
    "joined_keys",
    "key_column",
    "names_of_pairs",
]

#: Zeros in front of a number in the name of an image, not behind a point: 1.05 is not 1.5; endings.
ZEROS = re.compile(r"(?<![0-9.])0+(?=[0-9])")
ENDING = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp|gif|jp2)$", re.IGNORECASE)

#: How one of the forms below is told.
ZEROS_IN_FRONT = "zeros in front of numbers"

#: What names of images may lack to be compared, from what says most on.
FORMS = [
    (*lacking, *case, *zeros)
    for zeros in ((), (ZEROS_IN_FRONT,))
    for case in ((), ("capitals",))
    for lacking in ((), ("folders",), ("endings",), ("folders", "endings"))
    if lacking or case or zeros
]

#: What the names of images and categories in COCO's lists are called.
LISTED = {"file_name", "category_name"}

#: What may be so where one set alone has the number 0.
FROM_ZERO = "one may count from 0 and the other from 1"

#: Names of columns of results, which no key may have.
RESERVED = ("rows", "cols", "values", "frames", "kept", "scores", "id", "id_a", "id_b")


class Keyed(Protocol):
    """Members that are grouped by keys."""

    @property
    def keys(self) -> Mapping[str, Array]:
        """For each key the value of each member: int64, or text."""

    @property
    def columns(self) -> Mapping[str, Mapping[str, Array]]:
        """For each key that several columns tell, these by their names."""

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
        Which keys only one set has, and how names are compared, "" if there is nothing to tell.
    of_one : bool
        Whether there is but one set.
    values : dict
        For each key what tells it in the first set.
    compared : str
        How names of images are compared, "" where it is as they are written.
    numbers : dict
        For each key its values in both sets, each once, and which of them each member has: those
        of the first set, and then those of the second.
    """

    keys: tuple[str, ...]
    codes_a: Array
    codes_b: Array
    count: int
    aside: str = ""
    of_one: bool = False
    values: dict[str, Array] = field(default_factory=dict)
    compared: str = ""
    numbers: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    def described(self) -> str:
        """How many groups, by what."""
        aside = f" ({self.aside})" if self.aside else ""
        return f"{self.count:,} by {' and '.join(self.keys)}{aside}"

    @property
    def codes(self) -> tuple[Array, Array]:
        """The numbers of groups in both sets."""
        return self.codes_a, self.codes_b

    def codes_of(self, *keys: str) -> tuple[Array, Array]:
        """The numbers of groups in both sets by some of the keys alone."""
        codes = np.zeros(len(self.codes_a) + len(self.codes_b), np.int64)
        for key in keys:
            _, codes = _combined(codes, self.numbers[key])
        return codes[: len(self.codes_a)], codes[len(self.codes_a) :]

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
    # What is not there has every key.
    common = tuple(
        key for key in dict.fromkeys(key for keyed in both for key in keyed.keys)
        if all(key in keyed.keys or not len(keyed) for keyed in both)
    )  # fmt: skip
    aside = "; ".join(
        f"only {side} has {' and '.join(alone)}"
        for side, keyed in zip(sides, both, strict=False)
        if (alone := [key for key in keyed.keys if key not in common])
    )
    if aside and not common:
        ways = f"{by(())}: all with all"
        names = [name for keyed in both for name in keyed.columns.get("video", ())]
        if names and any("image" in keyed.keys for keyed in both):
            ways = f"{by([f'image={names[0]}'])}, if it tells the image; {ways}"
        raise ValueError(f"{aside}, so nothing tells what may meet ({ways})")
    if not common:
        return None
    codes = np.zeros(sum(map(len, both)), np.int64)
    count, compared = 1, ""
    told: dict[str, Array] = {}
    numbers: dict[str, tuple[Array, Array]] = {}
    for key in common:
        others = [other for other in common if other != key]
        named = [_asked_as(other, both) for other in others]
        values = _columns_of(key, both, called, lambda name: by((name, *named)))  # noqa: B023
        told[key] = values[0]
        # Where a list tells names of numbers, these are nobody's names.
        numbers_told = all(len(keyed.columns.get(key, ())) < 2 for keyed in both)
        alike = alike_names(values, numbers=numbers_told) if key == "image" else None
        if alike is not None:
            values, compared = alike
            aside = "; ".join(filter(None, [aside, compared]))
        elif key == "image":
            aside = "; ".join(filter(None, [aside, _nearly_alike(values)]))
        joined = joined_keys(values)
        distinct, inverse = np.unique(joined, return_inverse=True)
        has_one, has_other = (
            np.bincount(part, minlength=len(distinct)) > 0 for part in np.split(inverse, [len(a)])
        )
        if b is not None:
            apart = distinct[has_one & ~has_other], distinct[has_other & ~has_one]
            aside = "; ".join(filter(None, [aside, alone_in_each(key, apart, sides)]))
        if b is not None and len(a) and len(b) and not (has_one & has_other).any():
            has = " and ".join(
                f"{name} has {shortened(', '.join(map(str, distinct[own][:4].tolist())))}"
                for name, own in zip(called, (has_one, has_other), strict=True)
            )
            ways = f"{by(others)} compares without regard to it"
            kinds = {column.dtype.kind for column in values}
            has_list = any(
                getattr(keyed, "format", "") == "coco" and "file_name" in keyed.columns.get(key, {})
                for keyed in both
            )
            if key == "image" and kinds == {"i", "U"} and has_list:
                named = [
                    "category_name" if other == "category" and _kinds(both, other) == kinds
                    else other for other in others
                ]  # fmt: skip
                ways = f"{by(['file_name', *named])} compares by names that COCO lists; {ways}"
            raise ValueError(f"no {key} in common: {has} ({ways})")
        numbers[key] = distinct, inverse
        count, codes = _combined(codes, numbers[key])
    parts = codes[: len(a)], codes[len(a) :]
    if b is not None and len(a) and len(b) and not np.isin(*parts).any():
        nothing = f"no {' and '.join(common)} in common, taken together"
        aside = "; ".join(filter(None, [aside, nothing]))
    return Grouping(
        common, codes[: len(a)], codes[len(a) :], count, aside, b is None, told, compared, numbers
    )


def _combined(codes: Array, numbers: tuple[Array, Array]) -> tuple[int, Array]:
    """How many groups a key makes of groups, and their numbers, from the values of each member."""
    distinct, inverse = numbers
    # Numbered afresh after each key, so that the product never overflows.
    combined, codes = np.unique(codes * len(distinct) + inverse, return_inverse=True)
    return len(combined), codes


def _kinds(sets: Sequence[Keyed], key: str) -> set[str]:
    """Whether the sets have numbers or names as a key."""
    return {keyed.keys[key].dtype.kind for keyed in sets}


def _asked_as(key: str, sets: Sequence[Keyed]) -> str:
    """A key as it is asked for: by the names of a list of COCO, where all sets have these alone."""
    told = {name for keyed in sets for name in keyed.columns.get(key, {})}
    return told.pop() if len(told) == 1 and told <= LISTED else key


def _columns_of(
    key: str, sets: Sequence[Keyed], called: Sequence[str], by: Callable[[str], str]
) -> list[Array]:
    """The column of each set that tells a key: of several, one that both have by name.

    Raises
    ------
    ValueError
        Columns of both tell different groups, or those that could meet are several.
    """
    told = [
        {plain_name(name): (name, values) for name, values in keyed.columns.get(key, {}).items()}
        or {"": (key, keyed.keys.get(key, np.empty(0, np.int64)))}
        for keyed in sets
    ]
    if len(sets) == 1 or max(map(len, told)) == 1 or not all(map(len, sets)):
        return [next(iter(columns.values()))[1] for columns in told]
    first, second = told
    shared = [(first[name], second[name]) for name in first if name in second]
    if shared:
        joined = [joined_keys(_without_folders(one, other)) for (_, one), (_, other) in shared]
        is_open = not all(are_one_key(joined[0], other) for other in joined[1:])
    else:
        every = [(one, other) for one in first.values() for other in second.values()]
        shared = [(one, other) for one, other in every if _meet(one[1], other[1])]
        if not shared and key == "image":
            shared = [
                (one, other) for one, other in every
                if alike_names([one[1], other[1]]) is not None
            ]  # fmt: skip
        is_open = len(shared) > 1
    if is_open:
        names = list(dict.fromkeys(name for (name, _), _ in shared))
        if len(names) == 1:
            names = [name for _, (name, _) in shared]
        raise ValueError(
            f"{' and '.join(names)} tell different groups across {' and '.join(called)}: "
            f"{' or '.join(map(by, names))} says what tells the {key}"
        )
    if not shared:
        return [next(iter(columns.values()))[1] for columns in told]
    return [values for _, values in shared[0]]


def _parts(name: str) -> list[str]:
    """The folders in the name of a file, and its own; accents are written in one way."""
    # Macs write an accent behind its letter, others write one letter.
    name = unicodedata.normalize("NFC", name)
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")] or [name]


def alike_names(
    values: Sequence[Array], *, numbers: bool = False
) -> tuple[list[Array], str] | None:
    """Names of images in another form, if none is in both sets as it is written, and some are then.

    The forms lack .jpg and the like, which folders of annotations do not have; folders in front,
    where one set has more of them than the other; capital letters; and zeros in front of numbers.
    A form by which two images of a set would become one is not taken. With `numbers` one set may
    have numbers, such as 1 for 1.jpg.

    Returns
    -------
    tuple or None
        The names of both, and how they are compared.
    """
    named = [column.dtype.kind == "U" for column in values]
    if len(values) < 2 or not (any(named) if numbers else all(named)):
        return None
    values = [column.astype(np.str_, copy=False) for column in values]
    if np.isin(values[0], values[1]).any():
        return None
    own = [np.unique(column, return_inverse=True) for column in values]
    split = [[_parts(name) for name in names.tolist()] for names, _ in own]
    depth = min((len(parts) for each in split for parts in each), default=1)
    for lacking in FORMS:
        forms = []
        for each in split:
            names = ["/".join(parts[-depth:] if "folders" in lacking else parts) for parts in each]
            if "endings" in lacking:
                names = [ENDING.sub("", name) for name in names]
            if ZEROS_IN_FRONT in lacking:
                names = [ZEROS.sub("", name) for name in names]
            forms.append([name.lower() for name in names] if "capitals" in lacking else names)
        if all(len({*names}) == len(names) for names in forms) and {*forms[0]} & {*forms[1]}:
            plain = [
                np.array(names, np.str_)[inverse]
                for names, (_, inverse) in zip(forms, own, strict=True)
            ]
            return plain, f"names of images without their {' and '.join(lacking)}"
    return None


def _nearly_alike(values: Sequence[Array]) -> str:
    """What is said of images that both sets have in another form, beside some in the same form."""
    if len(values) < 2 or all(column.dtype.kind != "U" for column in values):
        return ""
    one, other = (np.unique(np.unique(column).astype(np.str_)) for column in values)
    if not np.isin(one, other).any():
        return ""
    first, second = (
        {ZEROS.sub("", ENDING.sub("", _parts(name)[-1]).lower()): name for name in alone.tolist()}
        for alone in (np.setdiff1d(one, other), np.setdiff1d(other, one))
    )
    for plain in sorted(first.keys() & second.keys()):
        names = first[plain], second[plain]
        few, more = sorted((_parts(name)[:-1] for name in names), key=len)
        if few == more[len(more) - len(few) :]:  # not the same number in two folders
            return f"taken for different images: {' and '.join(map(shortened, names))}"
    return ""


def alone_in_each(key: str, alone: Sequence[Array], sides: Sequence[str]) -> str:
    """What is said where each of two sets has categories alone, or numbers of images, one 0.

    As they have where one counts from 0 and the other from 1. "" of other images, since detectors
    find nothing in some.
    """
    if not all(map(len, alone)) or (key != "category" and 0 not in (alone[0][0], alone[1][0])):
        return ""
    told = [
        f"{', '.join(map(str, each[:4].tolist()))}{', …' if len(each) > 4 else ''} only in {side}"
        for each, side in zip(alone, sides, strict=True)
    ]
    words = f"{key} {' and '.join(told)}"
    return f"{words}: {FROM_ZERO}" if 0 in (alone[0][0], alone[1][0]) else words


def _without_folders(one: Array, other: Array) -> list[Array]:
    """Two columns; names of files that lie in other folders stand there without these."""
    both = [one, other]
    if any(column.dtype.kind != "U" for column in both) or _meet(one, other):
        return both
    return [
        np.array([name.replace("\\", "/").rpartition("/")[2] for name in column], np.str_)
        for column in both
    ]


def _meet(one: Array, other: Array) -> bool:
    """Whether two columns have a value in common."""
    joined = joined_keys([one, other])
    return bool(np.isin(joined[: len(one)], joined[len(one) :]).any())


def joined_keys(columns: Sequence[Array]) -> Array:
    """A key of several sets, one after the other: names where one has names."""
    if len({column.dtype.kind for column in columns}) > 1:
        columns = [column.astype(np.str_) for column in columns]
    return np.concatenate(columns)


def images_of(keys: Mapping[str, Array]) -> Array:
    """What tells the image of each member: the key image, behind the video if that is told, too."""
    if "video" not in keys:
        return keys["image"]
    both = (keys[key].astype(np.str_) for key in ("video", "image"))
    return np.array(["/".join(pair) for pair in zip(*both, strict=True)], np.str_)


def are_one_key(column: Array, other: Array) -> bool:
    """Whether two columns tell the same groups, as the number and the name of an image do."""
    if not len(column):
        return True
    codes, others = (np.unique(values, return_inverse=True)[1] for values in (column, other))
    both = np.unique(codes * (others.max() + 1) + others)
    return bool(codes.max() + 1 == others.max() + 1 == len(both))


# ---- columns of results ------------------------------------------------------------------------


def key_column(key: str) -> str:
    """What a key is called among the columns of a result, which have names of their own."""
    return f"key_{key}" if key in RESERVED else key


def names_of_pairs(
    told: Mapping[str, Array], ids_a: Array | None, ids_b: Array | None, rows: Array, cols: Array
) -> dict[str, Array]:
    """The keys that pairs have in common, and what their members are called, by name.

    `told` has the values of each key in the first set.
    """
    names = {key_column(key): values[rows] for key, values in told.items()}
    for side, ids, positions in (("a", ids_a, rows), ("b", ids_b, cols)):
        if ids is not None:
            names[f"id_{side}"] = ids[positions]
    return names
