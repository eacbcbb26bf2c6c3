"""Tables and data frames in place of arrays: the one place that takes them apart for a function.

A function calls `opened` with its arguments, and goes on with the arrays, the format and the groups
that it gets. Arguments of other types are handed back as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from fastiou.arrays.frames import is_frame
from fastiou.runtime.words import described, warn_caller
from fastiou.tables.box_table import BoxTable, has_names, table_of_frame
from fastiou.tables.column_names import perhaps_image
from fastiou.tables.grouping import common_groups, names_of_pairs
from fastiou.tables.layouts import LAYOUTS, common_layout
from fastiou.tables.scales import Scale, scales_apart
from fastiou.tables.two_formats import in_one_format
from fastiou.typing import Array

__all__ = [
    "USUAL",
    "Opened",
    "Source",
    "as_table",
    "keyed_by",
    "keys_as_groups",
    "opened",
    "opened_masks",
    "sourced",
    "warn_of_likely_images",
    "warn_of_scales",
]

#: The default of every argument `fmt`: equal to "xyxy", and another object than what callers write,
#: so that a format that was asked for is told from one that was not.
USUAL: str = "".join(("xy", "xy"))


class Source(NamedTuple):
    """The tables that a result comes from, None for arrays."""

    a: BoxTable | None
    b: BoxTable | None
    #: The keys that both have, of the members of the first.
    keys: Mapping[str, Array]

    def names(self, rows: Array, cols: Array) -> dict[str, Array]:
        """Columns by which users know pairs: their keys and ids."""
        ids_a, ids_b = (None if table is None else table.ids for table in (self.a, self.b))
        return names_of_pairs(self.keys, ids_a, ids_b, rows, cols)


_Result = TypeVar("_Result")


def sourced(result: _Result, source: Source | BoxTable | None) -> _Result:
    """A result that has just been made, and what tables it comes from, if there are any."""
    if source is not None:
        object.__setattr__(result, "source", source)
    return result


class Opened(NamedTuple):
    """Arguments of a function without tables."""

    a: Any
    b: Any
    fmt: str
    groups: Any
    #: None where no argument was a table.
    source: Source | None = None

    def scores(self, given: Any, of: str) -> Any:
        """The argument `scores`, or else those of the first table."""
        table = None if self.source is None else self.source.a
        if table is not None and isinstance(given, int | float):
            raise TypeError(
                f"scores must be one number for each of {of}, got {given}; if it is the threshold, "
                f"pass threshold={given}"
            )
        if given is not None:
            return given
        if table is None or table.scores is None:
            lacks = "" if table is None else ", which has none"
            raise TypeError(f"scores must be given: one number for each of {of}{lacks}")
        return table.scores

    def crowds(self, given: Any) -> Any:
        """The argument `iscrowd`, or else the crowds of the second table, if there are any."""
        table = None if self.source is None else self.source.b
        if given is not None or table is None or table.iscrowd is None:
            return given
        return table.iscrowd if table.iscrowd.any() else None


@dataclass(frozen=True)
class _Groups:
    """A set as `common_groups` takes it."""

    keys: Mapping[str, Array]
    size: int
    columns: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.size


def keyed_by(table: BoxTable, keys: Sequence[str]) -> _Groups:
    """Members of a table as some of its keys group them."""
    told = {key: table.key_columns.get(key, {}) for key in keys}
    return _Groups({key: table.keys[key] for key in keys}, len(table), told)


# By types that were seen, since a call on a few members takes but a few µs.
_known: dict[type, bool] = {}


def _may_be_table(name: str, value: Any) -> bool:
    """Whether an argument is a table or a data frame."""
    kind = type(value)
    if kind not in _known:
        _refuse_path(name, value)
        _known[kind] = issubclass(kind, BoxTable) or is_frame(kind)
    return _known[kind]


def _refuse_path(name: str, value: Any) -> None:
    """Say how a file is read, where its name was given, and how a frame is that is not yet made."""
    if type(value).__name__ == "LazyFrame":
        raise TypeError(
            f"{name} must be an array or a table, got a LazyFrame; pass .collect() of it"
        )
    if not isinstance(value, str | os.PathLike):
        return
    text = str(value)
    way = f"fastiou.read({described(text)}) makes a table of a file"
    if text in LAYOUTS:
        way = f"the format is fmt={text!r}"
    raise TypeError(f"{name} must be an array or a table, got {described(text)}; {way}")


def opened(
    names: Sequence[str],
    a: Any,
    b: Any,
    fmt: str | tuple[str, str],
    groups: Any = None,
    *,
    by_keys: bool = True,
    boxes_only: bool = False,
) -> Opened:
    """Take tables apart.

    Parameters
    ----------
    names
        What the function calls `a` and `b`.
    a, b
        The sets; no second one is None.
    fmt
        The argument `fmt`, the default of which is `USUAL`; two formats if the sets have two.
    groups
        The argument `groups`; keys are the groups if it is None.
    by_keys
        Whether keys count at all.
    boxes_only
        Whether masks are refused.

    Raises
    ------
    TypeError, ValueError
        Tables that do not go together, or with `fmt`.

    Warns
    -----
    UserWarning
        One table is normalized by the image size and the other is not; names of images are in
        common only without their folders, endings or capitals; or nothing tells the image, and a
        column that is not used may do so.
    """
    if isinstance(fmt, tuple | list):
        a, b, fmt = in_one_format(names, a, b, fmt)
    if _known.get(type(a)) is _known.get(type(b)) is False:
        return Opened(a, b, fmt, groups)
    if not any([_may_be_table(names[0], a), _may_be_table(names[1], b)]):
        return Opened(a, b, fmt, groups)
    asked = None if fmt is USUAL else fmt
    table_a = _table(names[0], a, asked)
    table_b = table_a if b is a else _table(names[1], b, asked)
    if table_a is None and table_b is None:
        return Opened(a, b, fmt, groups)
    if boxes_only:
        _check_holds("boxes", names, table_a, table_b)
    fmt = _common_fmt(names, (table_a, table_b), b is not None, asked)
    members_a = _members(a, table_a, fmt)
    members_b = members_a if b is a else _members(b, table_b, fmt)
    keys: Mapping[str, Array] = {}
    # A number in place of `b` is refused by whoever reads it, with the argument that was meant.
    if groups is None and by_keys and not isinstance(b, int | float):
        ways = [as_table(name, value) for name, value in zip(names, (a, b), strict=True)]
        keys, groups = _groups(names, ways, table_a, table_b, itself=b is None)
    both = [] if b is a else [table for table in (table_a, table_b) if table is not None]
    if len(both) == 2 and all(table.boxes is not None for table in both):
        first, second = (Scale(table.boxes, table.fmt) for table in both)
        warn_of_scales(names, first, second)
    source = Source(table_a, table_a if b is None else table_b, keys)
    return Opened(members_a, members_b, fmt, groups, source)


def as_table(name: str, value: Any) -> str:
    """How messages write an argument as a table."""
    return name if isinstance(value, BoxTable) else f"BoxTable.from_frame({name})"


def keys_as_groups(
    name: str, way: str, table: BoxTable, keys: Sequence[str]
) -> tuple[Array, ...] | None:
    """The keys of an index, as a table has them; None where neither has any.

    `way` is how messages write the argument `name` as a table.

    Raises
    ------
    ValueError
        The table lacks one of them, or has keys that an index without any cannot tell apart.
    """
    lacking = [key for key in keys if key not in (table.grouped or ())]
    if lacking:
        raise ValueError(
            f"{name} must have the keys of the index, {', '.join(keys)}, and lacks "
            f"{', '.join(lacking)}; an index of fewer is Index(b.by(...))"
        )
    if not keys and table.grouped:
        raise ValueError(
            f"only {name} has {' and '.join(table.grouped)}, so nothing tells what may meet "
            f"({way}.by(): all with all)"
        )
    return tuple(table.keys[key] for key in keys) or None


def opened_masks(names: Sequence[str], a: Any, b: Any) -> tuple[Any, Any]:
    """Take tables of masks apart; their keys do not count."""
    if not isinstance(a, BoxTable) and not isinstance(b, BoxTable):
        for name, value in zip(names, (a, b), strict=True):
            _refuse_path(name, value)
        return a, b
    tables = [value if isinstance(value, BoxTable) else None for value in (a, b)]
    _check_holds("masks", names, *tables)
    parts = (
        value if table is None else table.masks for value, table in zip((a, b), tables, strict=True)
    )
    return next(parts), next(parts)


def _table(name: str, value: Any, fmt: str | None) -> BoxTable | None:
    """An argument as a table; None if it is none, as frames are whose columns have no names."""
    if isinstance(value, BoxTable):
        return value
    return table_of_frame(name, value, fmt, None) if has_names(value) else None


def _members(value: Any, table: BoxTable | None, fmt: str) -> Any:
    """An argument without its table."""
    if table is None:
        return value
    return table.masks if table.boxes is None else table.convert(fmt).boxes


def _check_holds(what: str, names: Sequence[str], *tables: BoxTable | None) -> None:
    other = {"boxes": "masks", "masks": "boxes"}[what]
    for name, table in zip(names, tables, strict=True):
        if table is not None and getattr(table, what) is None:
            raise TypeError(f"{name} must be {what}, got a table of {other}")


def _common_fmt(
    names: Sequence[str], tables: Sequence[BoxTable | None], two: bool, asked: str | None
) -> str:
    """The format of both sets; the usual one of masks."""
    known = [(name, table) for name, table in zip(names, tables, strict=True) if table is not None]
    told = [(name, table.fmt) for name, table in known if table.boxes is not None]
    if not told:
        return USUAL if asked is None else asked
    if len(told) < len(known):
        kinds = " and ".join(
            f"{name} holds {'masks' if table.boxes is None else 'boxes'}" for name, table in known
        )
        raise ValueError(f"{names[0]} and {names[1]} must both be boxes or both masks: {kinds}")
    for name, own in told:
        if asked not in (None, own):
            raise ValueError(
                f"fmt must be {own!r}, the format of the table {name}, or left out, got {asked!r}"
            )
    name, own = told[0]
    if len(told) == 2:
        return common_layout(own, told[1][1], names)
    if two and asked is None and own != USUAL:
        other = names[1] if name == names[0] else names[0]
        raise ValueError(
            f"fmt must be given: {name} is a table of {own}, and nothing tells the format of "
            f"{other}, which must be the same"
        )
    return own


def warn_of_scales(names: Sequence[str], a: Scale, b: Scale) -> None:
    """Tell who called a public function that two tables have two units."""
    remedy = "read(path, image_size=(width, height)) makes pixels of YOLO's numbers"
    apart = scales_apart(a, b, names, remedy)
    if apart is not None:
        warn_caller(apart[0])


def warn_of_likely_images(name: str, table: BoxTable | None) -> None:
    """Tell who called a public function of columns that are not used and may tell the image."""
    if table is None or not table.likely_images:
        return
    found, by = perhaps_image(table.likely_images, table.grouped or ())
    words = f"{name}: {found}; by={by!r} of read and BoxTable.from_frame takes it"
    warn_caller(words)


def _groups(
    names: Sequence[str],
    ways: Sequence[str],
    table_a: BoxTable | None,
    table_b: BoxTable | None,
    *,
    itself: bool,
) -> tuple[Mapping[str, Array], Any]:
    """The keys that both have, as the first tells them, and the argument `groups` of them.

    `ways` is how messages write each as a table.
    """
    for name, table in zip(names, (table_a, None if table_b is table_a else table_b), strict=True):
        warn_of_likely_images(name, table)
    sets = [
        _Groups({}, 1)  # of any number of members, without keys
        if table is None
        else keyed_by(table, table.grouped or ())
        for table in (table_a, table_b)
    ]
    keyed = [way for way, own in zip(ways, sets, strict=True) if own.keys]

    def by(keys: Sequence[str]) -> str:
        listed = ", ".join(map(repr, keys))
        return " and ".join(f"{way}.by({listed})" for way in keyed)

    first, second = sets
    grouping = common_groups(first, None if itself else second, names, names, by)
    if grouping is None:
        return {}, None
    if grouping.compared:
        words = f"no image of {' and '.join(names)} is named the same: compared are"
        warn_caller(f"{words} {grouping.compared}")
    for name, table, other in zip(names, (table_a, table_b), (table_b, table_a), strict=True):
        if table is None or other is None or not len(table) or not len(other):
            continue
        alone = [key for key in table.grouped or () if key not in other.keys]
        if alone:
            words = f"only {name} has {' and '.join(alone)}: all are compared without regard to it"
            warn_caller(words)
    return grouping.values, grouping.codes_a if itself else grouping.codes
