"""The entries of COCO's JSON, annotations or results: their keys, scores and ids.

They come as objects from Python's parser, or as columns from the compiled one, which reads 20 times
as fast what is plain. It gives up on whatever is not, and the objects tell what is wrong with it.
"""

from __future__ import annotations

import contextlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastiou.formats.content import (
    Booleans,
    Floats,
    Integers,
    Wanted,
    whole_number_in,
)
from fastiou.formats.errors import FileError, described
from fastiou.formats.json_objects import json_value
from fastiou.formats.keys import keys_of
from fastiou.formats.sizes import are_sizes
from fastiou.formats.skipped import Skipped
from fastiou.tables.column_names import ID_NAMES, key_named, plain_name
from fastiou.tables.columns import ColumnsError, key_columns
from fastiou.typing import Array

if TYPE_CHECKING:
    from fastiou.parsing.json_columns import Objects

__all__ = [
    "FIRST",
    "LARGEST",
    "NUMBER_OR_NAME",
    "Columns",
    "Entries",
    "Listed",
    "ListedNames",
    "PlainText",
    "asked",
    "is_large",
    "plain_columns",
    "plain_images",
    "plain_objects",
]

#: What entries hold besides keys, scores and ids: boxes, masks, and what belongs to them.
OWN = frozenset({"bbox", "segmentation", "area", "iscrowd", "score", "keypoints", "num_keypoints"})

#: The names of COCO's own keys.
FIRST = ("image_id", "category_id")

#: The lists of a file, by each where entries have the numbers that it names, what the column of
#: these names is called, and where the names stand.
LISTS = {
    "images": ("image_id", "file_name", "file_name"),
    "categories": ("category_id", "category_name", "name"),
}

#: What messages call the value of a key.
WHOLE_NUMBER = "a whole number of 64 bits"
NUMBER_OR_NAME = f"{WHOLE_NUMBER}, or a name"

#: The largest score.
LARGEST = float(np.finfo(np.float64).max)

#: Bytes from which on a file is read by the compiled parser, which takes 3 s to compile: in this
#: time, Python's reads 30 MB, and from disk the other is loaded in a tenth of a second.
COMPILED_FROM = 1 << 22

#: A file may be so many times smaller once the parser is compiled.
READY = 64

#: What may stand around values of JSON.
BLANKS = b" \t\n\r"


class Entries(ABC):
    """Annotations or results of a file."""

    path: Path

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """All names that entries have, in the order of their first use."""

    @abstractmethod
    def key(self, name: str) -> Array:
        """A key of every entry: whole numbers, or names where one is not a number."""

    @abstractmethod
    def all_have(self, name: str) -> bool:
        """Whether every entry has a field, which is not null."""

    @abstractmethod
    def scores(self) -> Floats:
        """The score of every entry."""

    @abstractmethod
    def crowds(self) -> Booleans:
        """Which entries are crowds; those that do not tell are none."""

    @abstractmethod
    def values(self, name: str) -> set[int | str] | None:
        """The values of a field; None if one entry has neither a number nor a name there."""

    @property
    def faults(self) -> Skipped | None:
        """What was left out."""
        return None


@dataclass(frozen=True)
class Listed(Entries):
    """Entries as objects of a list, and their positions in it."""

    path: Path
    label: str
    entries: list[dict[str, Any]]
    positions: Sequence[int]
    left_out: dict[int, str] | None = None
    #: Ends what is said of an entry that is invalid.
    remedy: str = ""

    def __len__(self) -> int:
        return len(self.entries)

    def where(self, index: int) -> str:
        """The place of an entry, for messages."""
        return f"{self.label}[{self.positions[index]}]"

    def fault(self, index: int, found: str, expected: str) -> FileError:
        """What is said of an entry that is invalid."""
        return FileError(self.path, found, expected + self.remedy, self.where(index))

    def without(self, faults: Collection[int]) -> Listed:
        """Those whose positions are not among the faults."""
        if not faults:
            return self
        both = zip(self.entries, self.positions, strict=True)
        kept = [(entry, position) for entry, position in both if position not in faults]
        entries, positions = [entry for entry, _ in kept], [position for _, position in kept]
        return replace(self, entries=entries, positions=positions)

    @property
    def names(self) -> list[str]:
        """See `Entries.names`."""
        names: dict[str, None] = {}
        for entry in self.entries:
            if not entry.keys() <= names.keys():
                names |= dict.fromkeys(entry)
        return list(names)

    def key(self, name: str) -> Array:
        """See `Entries.key`."""
        entries = self.entries
        values = [entry.get(name) for entry in entries]
        if set(map(type, values)) == {int}:  # a bool is none
            with contextlib.suppress(OverflowError):  # which is told below
                return np.array(values, np.int64)
        texts = [entry.get(name) for entry in entries if type(entry.get(name)) is str]
        if not texts:
            values = [self.whole(index, name, NUMBER_OR_NAME) for index in range(len(entries))]
            return np.array(values, np.int64)
        named = [
            entry[name]
            if type(entry.get(name)) is str and entry[name]
            else str(self.whole(index, name, NUMBER_OR_NAME))
            for index, entry in enumerate(entries)
        ]
        written = set(texts)
        for index, (cell, value) in enumerate(zip(named, values, strict=True)):
            if type(value) is not str and cell in written:
                found = f'"{name}": {cell}, and "{cell}" elsewhere'
                raise FileError(self.path, found, "a number or a name, not both", self.where(index))
        return np.array(named, np.str_)

    def whole(self, index: int, name: str, expected: str = WHOLE_NUMBER) -> int:
        """A field of an entry that is a whole number."""
        entry = self.entries[index]
        if name not in entry:
            raise self.fault(index, f'no "{name}"', "one in every entry")
        value = entry[name]
        # `type`, since a bool is an int but no number here.
        number = None if type(value) not in (int, float) else whole_number_in(repr(value))
        if number is None:
            raise self.fault(index, f'"{name}": {described(value)}', expected)
        return number

    def all_have(self, name: str) -> bool:
        """See `Entries.all_have`."""
        return all(entry.get(name) is not None for entry in self.entries)

    def scores(self) -> Floats:
        """See `Entries.scores`."""
        for index, entry in enumerate(self.entries):
            if "score" not in entry:
                expected = "one in every entry, as results have"
                if any("score" in each for each in self.entries):
                    raise self.fault(index, 'no "score"', expected)
                raise FileError(self.path, 'no "score"', expected, self.where(index))
        return self.numbers("score")

    def numbers(self, name: str) -> Floats:
        """A field that every entry has, of finite numbers."""
        numbers = np.empty(len(self.entries))
        for index, entry in enumerate(self.entries):
            value = entry[name]
            # Integers beyond all floats are not finite either.
            if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
                raise self.fault(index, f'"{name}": {described(value)}', "a finite number")
            numbers[index] = value
        return numbers

    def crowds(self) -> Booleans:
        """See `Entries.crowds`."""
        return self.flags("iscrowd")

    def flags(self, name: str) -> Booleans:
        """A field of 0 or 1; 0 where an entry has none."""
        flags = np.zeros(len(self.entries), np.bool_)
        for index, entry in enumerate(self.entries):
            value = entry.get(name, 0)
            if type(value) not in (int, bool) or value not in (0, 1):
                raise self.fault(index, f'"{name}": {described(value)}', "0 or 1")
            flags[index] = value
        return flags

    def values(self, name: str) -> set[int | str] | None:
        """See `Entries.values`."""
        values: list[Any] = [entry.get(name) for entry in self.entries]
        return set(values) if all(type(value) in (int, str) for value in values) else None

    @property
    def faults(self) -> Skipped | None:
        """See `Entries.faults`."""
        faults = self.left_out or {}
        told = {place: f"{self.label}[{place}]: {words}" for place, words in faults.items()}
        return Skipped.of(len(self.entries) + len(told), told)


@dataclass(frozen=True, eq=False)
class Columns(Entries):
    """Entries as columns, every one of which has a box or a mask, and a number of its image."""

    path: Path
    label: str
    objects: Objects
    #: The values of other fields of the file, as they stand there.
    rest: dict[str, bytes]

    def __len__(self) -> int:
        return self.objects.count

    def loaded(self, *names: str) -> dict[str, Any] | None:
        """Values of other fields, as objects; None if one is left to the reader of whole files."""
        try:
            return {name: json_value(self.rest[name]) for name in names if name in self.rest}
        except ValueError:
            return None

    @property
    def boxes(self) -> Floats:
        """Left, top, width and height."""
        return np.ascontiguousarray(self.objects.columns["bbox"])

    @property
    def names(self) -> list[str]:
        """See `Entries.names`."""
        return [*self.objects.columns, *sorted(self.objects.others)]

    def key(self, name: str) -> Array:
        """See `Entries.key`."""
        return np.ascontiguousarray(self.objects.columns[name])

    def all_have(self, name: str) -> bool:
        """See `Entries.all_have`."""
        return name in self.objects.columns

    def scores(self) -> Floats:
        """See `Entries.scores`."""
        return self.key("score")

    def crowds(self) -> Booleans:
        """See `Entries.crowds`."""
        if "iscrowd" not in self.objects.columns:
            return np.zeros(len(self), np.bool_)
        present = self.objects.present["iscrowd"]
        crowds: Booleans = self.objects.columns["iscrowd"] == 1
        return crowds if present is None else crowds & present

    def values(self, name: str) -> set[int | str] | None:
        """See `Entries.values`."""
        if name not in self.objects.columns:
            return None
        return set(np.unique(self.key(name)).tolist())


def is_large(data: bytes) -> bool:
    """Whether a file is large enough for the compiled parser."""
    parser = sys.modules.get("fastiou.parsing.json_columns")
    is_compiled = parser is not None and parser.is_compiled()
    return len(data) >= (COMPILED_FROM // READY if is_compiled else COMPILED_FROM)


def plain_columns(path: Path, data: bytes, wanted: Wanted, member: str = "bbox") -> Columns | None:
    """The entries of a large file that is plain; None if it is another.

    Plain entries have boxes or masks, whichever `member` names, and numbers for images, categories
    and ids. What they have besides tells no key.
    """
    if not is_large(data):
        return None
    # Numba takes 0.1 s to import, which files that are small do not need.
    from fastiou.parsing import json_columns as parser

    kinds = {
        **dict.fromkeys(("image_id", "category_id", "id", "iscrowd"), parser.INTEGER),
        "bbox": parser.FOUR_NUMBERS if member == "bbox" else parser.PLACE,
        "score": parser.NUMBER,
        **dict.fromkeys(("area", "segmentation"), parser.PLACE),
    }
    text = plain_objects(data, kinds)
    if text is None:
        return None
    objects = text.objects
    needed = {"image_id", member} | ({"score"} if wanted.scored else set())
    columns = objects.columns
    if objects.count == 0 or not needed <= columns.keys():
        return None
    free = {"iscrowd", "area", "bbox", "segmentation"} - {member}
    if any(objects.present[name] is not None and name not in free for name in columns):
        return None
    if any(key_named(name) is not None or plain_name(name) in ID_NAMES for name in objects.others):
        return None
    if "bbox_mode" in objects.others:
        return None
    known = {plain_name(name) for name in FIRST}
    if wanted.by and not {plain_name(name) for name in wanted.by} <= {*known, "image", "category"}:
        return None
    crowds = columns.get("iscrowd")
    if crowds is not None:
        present = objects.present["iscrowd"]
        told_crowds = crowds if present is None else crowds[present]
        if not np.isin(told_crowds, (0, 1)).all():
            return None
    rest = {name: data[slice(*place)] for name, place in text.rest.items()}
    return Columns(path, text.label, objects, rest)


def plain_images(data: bytes) -> tuple[Integers, Integers] | None:
    """The ids of a list of images, (n,), and their heights and widths, (n, 2), -1 if not told.

    None if the list is not plain.
    """
    from fastiou.parsing import json_columns as parser

    sides = ("height", "width")
    objects = parser.read_objects(data, 0, dict.fromkeys(("id", *sides), parser.INTEGER))
    if objects is None or objects.end != len(data) or not objects.count:
        return None
    columns = objects.columns
    if "id" not in columns or any(has is not None for has in objects.present.values()):
        return None
    ids = np.ascontiguousarray(columns["id"])
    if len(np.unique(ids)) < len(ids):
        return None
    sizes = np.full((len(ids), 2), -1, np.int64)
    if not columns.keys().isdisjoint(sides):
        if not set(sides) <= columns.keys():
            return None
        sizes = np.stack([columns[name] for name in sides], axis=1)
        if not are_sizes(sizes).all():
            return None
    return ids, sizes


@dataclass(frozen=True, eq=False)
class PlainText:
    """What the compiled parser makes of a file.

    Attributes
    ----------
    label : str
        What messages call the list of entries.
    objects : Objects
        The entries.
    rest : dict
        Where the values of other fields stand, as first and last place.
    """

    label: str
    objects: Objects
    rest: dict[str, tuple[int, int]]


def plain_objects(data: bytes, kinds: Mapping[str, int]) -> PlainText | None:
    """Read fields of entries; None where that is left to Python's parser.

    `kinds` is as for `fastiou.parsing.json_columns.read_objects`.
    """
    from fastiou.parsing import json_columns as parser

    if not parser.is_utf8(data):
        return None
    found: list[Objects] = []

    def read(at: int) -> int:
        objects = parser.read_objects(data, at, kinds)
        if objects is None:
            return parser.FAULT
        found.append(objects)
        return objects.end

    label = "annotations"
    places = parser.fields_of(data, {label: read})
    if places is None:  # no object, but a list
        label, places, found = "", {}, []
        if read(parser.after_blanks(data, 0)) != len(data.rstrip(BLANKS)):
            return None
    if not found:
        return None
    places.pop(label, None)
    return PlainText(label, found[0], places)


# ---- what entries tell -------------------------------------------------------------------------


def asked(entries: Entries, wanted: Wanted, listed: Sequence[ListedNames] = ()) -> dict[str, Any]:
    """What boxes and masks have in common, as `MemberFile` has it.

    Parameters
    ----------
    entries
        The entries.
    wanted
        What to read.
    listed
        The names that the lists of images and categories have.

    Raises
    ------
    FileError
        An entry lacks what is to be read.
    """
    names = entries.names
    name = _id_name(names) if wanted.ids else None
    # A name is no more than that: where one is missing, nothing has any.
    is_named = name is not None and entries.all_have(name)
    is_scored = wanted.scored or (wanted.scores_if_there and "score" in names)
    return {
        "path": entries.path,
        "format": "coco",
        **_told(entries, wanted, listed),
        "scores": entries.scores() if is_scored else None,
        "crowds": entries.crowds() if wanted.crowded else None,
        "ids": entries.key(name) if name is not None and is_named else None,
        "skipped": entries.faults,
    }


def _told(entries: Entries, wanted: Wanted, listed: Sequence[ListedNames]) -> dict[str, Any]:
    """The keys of entries and what is not used, as `MemberFile` has it."""
    names = entries.names
    if not names:
        every = ("image", "category") if wanted.by is None else wanted.by
        return {"keys": {key: np.empty(0, np.int64) for key in every}}
    if wanted.by is None and not any(key_named(name) == "image" for name in names):
        entries.key("image_id")  # which says that it is missing
    # Names that stand in lists of their own tell what the numbers of images and categories do.
    asked_for = {plain_name(name) for name in wanted.by or ()}
    more = {
        each.column: each for each in listed
        if each.column not in names and (plain_name(each.column) in asked_for or each.tell_apart)
    }  # fmt: skip
    known = [*names, *more]
    try:
        chosen = key_columns(known, wanted.by)
    except ColumnsError as error:
        found = error.found.replace("no column or key", "there is no key")
        raise FileError(entries.path, found, " or ".join(key_columns(known, None))) from None
    told: dict[str, dict[str, Array]] = {}
    for key, columns in chosen.items():
        # COCO's own names come first.
        in_order = sorted((known[column] for column in columns), key=lambda n: n not in FIRST)
        told[key] = {
            name: more[name].of(entries) if name in more else entries.key(name) for name in in_order
        }
    keys, columns_of = keys_of(entries.path, told)
    used = {name for by_name in columns_of.values() for name in by_name} | OWN
    id_ = _id_name(names)
    unused = tuple(name for name in names if name not in used and name != id_)
    return {"keys": keys, "columns": columns_of, "unused": unused}


def _id_name(names: Sequence[str]) -> str | None:
    """The name under which entries tell what they are called."""
    plain = {plain_name(name): name for name in names}
    return next((plain[name] for name in ID_NAMES if name in plain), None)


@dataclass(frozen=True)
class ListedNames:
    """The names of images or categories, by their numbers.

    Attributes
    ----------
    field : str
        Where entries have the numbers.
    column : str
        What the column of names is called.
    names : dict
    """

    field: str
    column: str
    names: dict[int | str, str]

    @classmethod
    def in_lists(cls, content: Any, entries: Entries) -> list[ListedNames]:
        """Those of a file, of each list that has a name for what every entry tells."""
        return [each for each, without in cls._in_all(content, entries) if without is None]

    @classmethod
    def left_out(cls, content: Any, entries: Entries) -> tuple[str, ...]:
        """What is said of lists that name some of what entries tell, and not all."""
        return tuple(
            f"{each.field} {without} has no name, so that no {each.column} is used"
            for each, without in cls._in_all(content, entries)
            if without is not None and each.names
        )

    @classmethod
    def _in_all(cls, content: Any, entries: Entries) -> list[tuple[ListedNames, int | str | None]]:
        """The names in each list, and the lowest that is used and has none."""
        if not isinstance(content, dict):
            return []
        found = (cls._in_list(name, content, entries, *row) for name, row in LISTS.items())
        return [each for each in found if each is not None]

    @classmethod
    def _in_list(
        cls, label: str, content: Any, entries: Entries, field: str, column: str, name: str
    ) -> tuple[ListedNames, int | str | None] | None:
        listed = content.get(label)
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            return None
        names: dict[int | str, str] = {}
        for index, each in enumerate(listed):
            number, told = each.get("id"), each.get(name)
            if type(number) not in (int, str) or type(told) is not str:
                continue
            if names.setdefault(number, told) != told:
                found = f'"id": {described(number)} again, and "{name}": {described(told)}'
                where = f"{label}[{index}]"
                raise FileError(entries.path, found, described(names[number]), where)
        used = entries.values(field)
        if used is None:
            return None
        without = [number for number in used if not names.get(number)]
        first = min(without, key=lambda number: (type(number) is str, number), default=None)
        return cls(field, column, names), first

    @property
    def tell_apart(self) -> bool:
        """Whether no two have the same name, and names are not only the numbers again."""
        again = all(str(number) == name for number, name in self.names.items())
        return len(set(self.names.values())) == len(self.names) and not again

    def of(self, entries: Entries) -> Array:
        """The name of what each entry tells."""
        numbers, each = np.unique(entries.key(self.field), return_inverse=True)
        # Numbers beside names were made names.
        by_text = {str(number): name for number, name in self.names.items()}
        return np.array([by_text[str(number)] for number in numbers.tolist()], np.str_)[each]
