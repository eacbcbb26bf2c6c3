"""Names of images and categories in COCO's results, beside their numbers or in place of them."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fastiou.formats.coco_columns import CocoColumns
from fastiou.formats.content import kind_of, read_content
from fastiou.formats.errors import FileError
from fastiou.runtime.distinct import distinct
from fastiou.runtime.words import described
from fastiou.tables.grouping import ZEROS_IN_FRONT, alike_names
from fastiou.typing import Array

__all__ = ["by_truth", "check_names"]

#: Fields of results, the list of the truth that has their ids, its names, and what results call
#: these beside the ids.
FIELDS = (
    ("image_id", "images", "file_name", "file_name"),
    ("category_id", "categories", "name", "category_name"),
)

#: What is looked at to see which fields results have: those of one result.
BEGINNING = 1 << 16


def by_truth(
    truth: CocoColumns, found: CocoColumns, source: Any
) -> tuple[CocoColumns, dict[str, str]]:
    """The results by the ids of the truth where they have its names, and what is told of that.

    Ultralytics writes names of images that are no numbers, and for others the number, whatever the
    truth calls them, with the name beside it.

    Parameters
    ----------
    truth, found
        The columns of both.
    source
        What the results were read from: a path, or what `json.load` makes of it.

    Raises
    ------
    FileError
        Some names are those of the truth, and others are not, or say what the ids do not.
    """
    notes: dict[str, str] = {}
    for field, listed, name, beside in FIELDS if len(found) else ():
        own, known = getattr(found, field), _ids(truth, field)
        rows = _names_beside(source, beside, len(found))
        if rows is None and own.dtype.kind == known.dtype.kind == "i":
            continue
        told = _names(truth, listed, name)
        rows = rows if told else None
        if told and _is_told(own, rows, told):
            continue
        written = own.astype(np.str_) if rows is None else rows
        forms, how = _alike(told.values(), written, listed)
        if rows is None and (own.dtype.kind != known.dtype.kind or not np.isin(own, known).any()):
            # Numbers may be written as names, such as "1" and "0001" for 1. Ids as they are go
            # before all names, and those without zeros before names without them.
            texts = {each: str(each) for each in known.tolist()}
            others, by = _alike(texts.values(), written, listed)
            meet, meet_others = (np.isin(each[0], each[1]).any() for each in (forms, others))
            if meet_others and not by and meet and not how and told != texts:
                word = described(forms[1][np.isin(forms[1], others[0])][0].item())
                words = f"{field} {word}, which is an id and a {name} in {truth.path}"
                raise FileError(found.path, words, "numbers for ids, or other names")
            if meet_others and (not by or not meet or ZEROS_IN_FRONT in how):
                told, name, forms, how = texts, "id", others, by
        ids = list(told)
        numbers = dict(zip(forms[0].tolist(), ids, strict=True))
        lacking = ~np.isin(forms[1], forms[0])
        if lacking.all():
            if rows is not None:  # those of the ids are refused, or count
                word = described(rows[0].item())
                notes[f"{listed} of results"] = (
                    f"{beside} of results, such as {word}, is no {name} of the truth: the ids count"
                )
            continue
        several, counts = np.unique(forms[0], return_counts=True)
        twice = np.isin(forms[1], several[counts > 1])
        if twice.any():
            word = described(forms[1][int(twice.argmax())].item())
            words = f"{word} is the {name} of two {listed} in {truth.path}"
            raise FileError(found.path, words, "ids", found.where(int(twice.argmax())))
        if lacking.any():
            index = int(lacking.argmax())
            word = described((own if rows is None else rows)[index].item())
            words = f"{field if rows is None else beside} {word}, which is no {name} in"
            expected = f"one of its {listed}"
            raise FileError(found.path, f"{words} {truth.path}", expected, found.where(index))
        column: dict[str, Any] = {field: np.array([numbers[each] for each in forms[1].tolist()])}
        if np.array_equal(column[field], own):
            continue
        found = replace(found, **column)
        words = f"{listed} of results are told by {beside if rows is not None else name}"
        words += ", since it is not that of the same id in the truth" if rows is not None else ""
        notes[f"{listed} of results"] = words + (f": compared are {how}" if how else "")
    return found, notes


def _ids(truth: CocoColumns, field: str) -> Array:
    """The images or categories of the truth, by its list if it has one."""
    listed = truth.image_ids if field == "image_id" else truth.category_ids
    return distinct(getattr(truth, field)) if listed is None else listed


def _alike(names: Iterable[str], written: Array, listed: str) -> tuple[list[Array], str]:
    """Names of the truth and those of results in a form that both have, and which form it is."""
    forms = [np.array([*names], np.str_), written]
    if listed == "images" and not np.isin(forms[0], forms[1]).any():
        return alike_names(forms) or (forms, "")
    return forms, ""


def _is_told(own: Array, rows: Array | None, told: Mapping[Any, str]) -> bool:
    """Whether all ids are those of the truth, and names beside them do not say otherwise."""
    values = np.unique(own)
    if not {*values.tolist()} <= told.keys():
        return False
    if rows is None:
        return True
    both, inverse = np.unique(rows, return_inverse=True)
    pairs = np.unique(np.stack([np.searchsorted(values, own), inverse]), axis=1).T.tolist()
    ids, names = values.tolist(), both.tolist()
    return all(_last(told[ids[value]]) == _last(names[name]) for value, name in pairs)


def _last(name: str) -> str:
    """A name without the folders in front of it, which may differ."""
    return PurePosixPath(name).name


def _names_beside(source: Any, field: str, count: int) -> Array | None:
    """The name that each result has in a field; None unless all have one."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        word = f'"{field}"'.encode()
        if word not in _beginning(path):
            return None
        data = read_content(path)
        found = re.findall(rb'"%s"\s*:\s*("(?:[^"\\]|\\.)*")' % field.encode(), data)
        values = [json.loads(text) for text in found]
    elif isinstance(source, list):
        values = [entry.get(field) for entry in source if isinstance(entry, Mapping)]
    else:
        return None
    if len(values) != count or not all(type(value) is str for value in values):
        return None
    return np.array(values, np.str_)


def _beginning(path: Path) -> bytes:
    """The first bytes of a file, decompressed."""
    with path.open("rb") as file:
        data = file.read(BEGINNING)
    if kind_of(data) != "gzip":
        return data
    with gzip.open(path) as file:
        return file.read(BEGINNING)


def check_names(truth: CocoColumns, found: CocoColumns) -> None:
    """Refuse results whose own lists give a number of the truth to something else."""
    for _, listed, name, _ in FIELDS:
        theirs = _names(found, listed, name)
        ours = _names(truth, listed, name) if theirs else {}
        for number, told in theirs.items():
            known = ours.get(number, told)
            if _last(known) != _last(told):
                raise FileError(
                    found.path, f'id {described(number)} has "{name}": {described(told)}',
                    f"{described(known)}, as in {truth.path}", listed,
                )  # fmt: skip


def _names(columns: CocoColumns, listed: str, name: str) -> dict[Any, str]:
    """The names that a list of a file has, by ids."""
    entries = columns.listed(listed)
    return {
        entry["id"]: entry[name]
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, Mapping) and type(entry.get("id")) in (int, str)
        and type(entry.get(name)) is str
    }  # fmt: skip
