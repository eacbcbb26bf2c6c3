"""COCO's truth and results as columns, for evaluation: no object of Python is made for an entry.

Large files that are plain are read by the compiled parser; others by Python's, which also tells
what is wrong with them. What is given is the same either way.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.formats import coco_entries
from fastiou.formats.coco import (
    box_fault,
    entries_in,
    load_json,
    sizes_of_images,
    without_outlines,
    wrong_size,
)
from fastiou.formats.coco_entries import LARGEST, NUMBER_OR_NAME, Listed
from fastiou.formats.content import Booleans, Floats, Integers, check_text, read_content
from fastiou.formats.errors import FileError, described
from fastiou.formats.json_objects import json_value
from fastiou.formats.mask_faults import mask_fault, mask_faults, refusals
from fastiou.formats.segmentations import Segmentations, is_no_mask, masks_in_text, with_arrays
from fastiou.formats.sizes import Size
from fastiou.formats.skipped import Skipped
from fastiou.typing import Array

__all__ = ["CocoColumns", "Skipping", "coco_columns", "columns_of_content", "read_coco_columns"]

#: Fields of entries that can be read, by what they are where an entry lacks them.
DEFAULTS: dict[str, Any] = {
    "image_id": 0,
    "category_id": 0,
    "id": 0,
    "bbox": np.nan,
    "score": np.nan,
    "area": np.nan,
    "iscrowd": False,
    "ignore": False,
    "segmentation": None,
    "keypoints": None,
    "num_keypoints": 0,
}

#: Those that hold whole numbers or names, and those that hold 0 or 1.
KEYS, FLAGS = ("image_id", "category_id", "id"), ("iscrowd", "ignore")

#: Numbers of a keypoint: x, y, and above 0 where it is labelled.
POINT = 3

#: What evaluation cannot do without.
NEEDED = ("image_id", "category_id")


@dataclass(frozen=True, eq=False, kw_only=True)
class CocoColumns:
    """The entries of a file, annotations or results, in the order of the file.

    Attributes
    ----------
    path : Path
        The file, for messages.
    label : str
        What messages call the list of entries: "annotations", or "" for a list of results.
    count : int
        How many entries there are, N.
    image_id, category_id, id : array, shape (N,)
        Whole numbers (int64); or names where one is not a number. 0 where an entry has none.
    bbox : array of float64, shape (N, 4)
        Left, top, width and height; NaN where an entry has none.
    score, area : array of float64, shape (N,)
        NaN where an entry has none.
    iscrowd, ignore : array of bool, shape (N,)
        False where an entry has none.
    segmentation : Segmentations or None
        The masks, if they were asked for.
    keypoints : array of float64, shape (N, K, 3), or None
        x, y, and a number above 0 where it is labelled, if they were asked for. NaN where an entry
        has none.
    num_keypoints : array of int64, shape (N,)
        How many are labelled; 0 where an entry does not tell.
    present : dict
        For each field that some entry or every entry lacks, which have it: bool, (N,).
    image_ids : array, shape (K,)
        The ids of the list of images, each once; None if the file has no such list.
    image_sizes : array of int64, shape (K, 2)
        Height and width of each; -1 where the list does not tell.
    category_ids : array, shape (C,)
        The ids of the list of categories, each once; None if the file has no such list.
    category_names : list of str
        Their names; where one has none, the id.
    skipped : Skipped or None
        What was left out as invalid, if that was asked for.
    """

    path: Path
    label: str
    count: int
    image_id: Array
    category_id: Array
    id: Array
    bbox: Floats
    score: Floats
    area: Floats
    iscrowd: Booleans
    ignore: Booleans
    segmentation: Segmentations | None
    present: dict[str, Booleans]
    keypoints: Floats | None = None
    num_keypoints: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    image_ids: Array | None = None
    image_sizes: Integers = field(default_factory=lambda: np.empty((0, 2), np.int64))
    category_ids: Array | None = None
    category_names: list[str] = field(default_factory=list)
    lists: dict[str, Any] = field(default_factory=dict)
    skipped: Skipped | None = None
    #: Ends what is said of an entry that is invalid.
    remedy: str = ""

    def __len__(self) -> int:
        return self.count

    def has(self, name: str) -> Booleans:
        """Which entries have a field."""
        return self.present.get(name, np.ones(self.count, np.bool_))

    def where(self, index: int) -> str:
        """The place of an entry, for messages."""
        place = index if self.skipped is None else int(self.skipped.positions[index])
        return f"{self.label}[{place}]"

    def lacks(self, index: int, name: str) -> FileError:
        """What is said of an entry without a field that others have."""
        expected = f"one in every entry, as in the first{self.remedy}"
        return FileError(self.path, f'no "{name}"', expected, self.where(index))

    def listed(self, name: str) -> Any:
        """What the file has in another field, such as "images", as Python's objects; or None."""
        value = self.lists.get(name)
        return json.loads(value) if isinstance(value, bytes) else value


@dataclass(frozen=True)
class Skipping:
    """How entries that are invalid are left out.

    Attributes
    ----------
    masks : bool
        Whether their masks count.
    images : dict, or None
        Height and width of images by their ids; those that the file lists if it is None.
    measures : tuple of str
        Fields that measure entries: all must have the one of them that the first valid entry has,
        with numbers that are finite.
    measured : bool
        Whether an entry without any of these is invalid.
    """

    masks: bool
    images: Mapping[int | str, Size | None] | None = None
    measures: tuple[str, ...] = ()
    measured: bool = False


def coco_columns(
    path: str | Path,
    needed: Collection[str] = (*NEEDED, "bbox"),
    optional: Collection[str] = ("area", "iscrowd", "ignore", "id"),
    skipping: Skipping | None = None,
    remedy: str = "",
) -> CocoColumns:
    """Read a file of COCO's annotations or results.

    Parameters
    ----------
    path
        The file, compressed by gzip or not.
    needed
        Fields that every entry must have, among those of `CocoColumns`.
    optional
        Fields that are read where entries have them. Others are not looked at.
    skipping
        How entries that are invalid are left out; None refuses them.
    remedy
        Ends what is said of one that is invalid.

    Raises
    ------
    FileError
        The file is missing or broken, or an entry lacks what is needed. The message names the
        file and the entry.
    """
    path = Path(path)
    expected = "COCO JSON"
    data = read_content(path, expected)
    check_text(path, data, expected)
    return read_coco_columns(path, data, needed, optional, skipping, remedy)


def read_coco_columns(
    path: Path,
    data: bytes,
    needed: Collection[str],
    optional: Collection[str] = (),
    skipping: Skipping | None = None,
    remedy: str = "",
) -> CocoColumns:
    """As `coco_columns`, of the content of a file."""
    fields = [name for name in DEFAULTS if name in needed or name in optional]
    found = _plain_columns(path, data, needed, fields, remedy) if skipping is None else None
    if found is None:
        hook = with_arrays if "segmentation" in fields else without_outlines
        content = load_json(path, data, hook)
        return columns_of_content(path, content, needed, optional, skipping, remedy)
    return found


# ---- from objects of Python --------------------------------------------------------------------


def columns_of_content(
    path: Path,
    content: Any,
    needed: Collection[str],
    optional: Collection[str] = (),
    skipping: Skipping | None = None,
    remedy: str = "",
) -> CocoColumns:
    """As `coco_columns`, of what `json.loads` makes of a file.

    `path` is what messages call it.
    """
    label, entries = entries_in(path, content)
    skipped = None
    if skipping is not None:
        entries, skipped = _valid(path, content, skipping, needed, optional)
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise FileError(path, described(entry), f"an object{remedy}", f"{label}[{index}]")
    every = Listed(path, label, entries, range(len(entries)), remedy=remedy)
    columns: dict[str, Any] = {}
    present: dict[str, Booleans] = {}
    for name in DEFAULTS:
        if name in needed:
            # Where no entry has a field, none is left without those that are invalid.
            is_there = any(name in entry for entry in entries)
            columns[name] = _column(every if is_there else replace(every, remedy=""), name)
        elif name in optional:
            has = np.array([not _is_none(name, entry.get(name)) for entry in entries], np.bool_)
            chosen = np.flatnonzero(has).tolist()
            some = replace(every, entries=[entries[index] for index in chosen], positions=chosen)
            columns[name] = _spread(name, _column(some, name), has)
            if len(chosen) < len(entries) or not entries:
                present[name] = has
        else:
            columns[name] = _missing(name, len(entries))
            present[name] = np.zeros(len(entries), np.bool_)
    values = columns["segmentation"]
    if values is not None:
        columns["segmentation"] = Segmentations(
            path, lambda row: f"{label}[{row}]", len(entries), dict(enumerate(values)),
            remedy=remedy,
        )  # fmt: skip
    lists = {}
    if isinstance(content, dict):
        lists = {name: value for name, value in content.items() if name != label}
    return CocoColumns(
        path=path, label=label, count=len(entries), present=present, lists=lists,
        skipped=skipped, remedy=remedy, **columns,
        **_images_of(path, lists), **_categories_of(path, lists),
    )  # fmt: skip


def _valid(
    path: Path,
    content: Any,
    skipping: Skipping,
    needed: Collection[str],
    optional: Collection[str],
) -> tuple[list[Any], Skipped | None]:
    """The entries that are valid, and what is wrong with the others."""
    label, entries = entries_in(path, content)

    def read(some: list[Any]) -> Any:
        columns_of_content(path, some, needed, optional)

    found = refusals(entries, range(len(entries)), read, (FileError,)) if entries else {}
    faults = {place: error.found for place, error in found.items()}
    if "keypoints" in needed:
        counts = {
            place: len(entry["keypoints"]) for place, entry in enumerate(entries)
            if place not in faults
        }  # fmt: skip
        [(usual, _)] = Counter(counts.values()).most_common(1) or [(0, 0)]
        faults |= {
            place: f'"keypoints": {count} numbers' for place, count in counts.items()
            if count != usual
        }  # fmt: skip
    if skipping.masks:
        images = sizes_of_images(path, content) if skipping.images is None else skipping.images
        width = max((size[1] for size in images.values() if size is not None), default=1)
        masks = {
            place: entry["segmentation"] for place, entry in enumerate(entries)
            if place not in faults
            and ("segmentation" in needed or not is_no_mask(entry.get("segmentation")))
        }  # fmt: skip
        places = list(masks)
        malformed = mask_faults(list(masks.values()), width)
        faults |= {places[index]: fault for index, fault in malformed.items()}
        for place in masks.keys() - faults.keys():
            fault = wrong_size(masks[place], images.get(entries[place]["image_id"]))
            if fault is not None:
                faults[place] = fault
    faults |= _unmeasured(entries, faults, skipping)
    told = {place: f"{label}[{place}]: {words}" for place, words in faults.items()}
    kept = [entry for place, entry in enumerate(entries) if place not in faults]
    return kept, Skipped.of(len(entries), told)


def _unmeasured(entries: list[Any], faults: Collection[int], skipping: Skipping) -> dict[int, str]:
    """What is wrong with entries that lack what measures the first valid one."""
    valid = [place for place in range(len(entries)) if place not in faults]
    told = (
        [name for name in skipping.measures if not _is_none(name, entries[place].get(name))]
        for place in valid
    )
    first = next((own for own in told if own or not skipping.measured), [])
    lacking: dict[int, str] = {}
    for name in first[:1]:
        for place in valid:
            value = entries[place].get(name)
            if _is_none(name, value):
                lacking[place] = f'no "{name}"'
            elif name == "bbox" and any(map(math.isnan, value)):
                lacking[place] = f'"bbox": {described(value)}'
    return lacking


def _is_none(name: str, value: Any) -> bool:
    """Whether a field is not there, by the value that it has."""
    if name == "segmentation":
        return is_no_mask(value)
    return value is None or (name in ("bbox", "keypoints") and value == [])


def _missing(name: str, count: int) -> Any:
    """The column of a field that no entry has."""
    default = DEFAULTS[name]
    if default is None:
        return None
    return np.full((count, 4) if name == "bbox" else count, default, np.array(default).dtype)


def _spread(name: str, values: Any, has: Booleans) -> Any:
    """A column of all entries, of the values of those that have the field."""
    if len(values) == len(has):
        return values
    if name == "segmentation":
        some = iter(values)
        return [next(some) if has_it else None for has_it in has.tolist()]
    if not len(values):
        return _missing(name, len(has))
    default = np.nan if DEFAULTS[name] is None else DEFAULTS[name]
    column = np.full((len(has), *values.shape[1:]), default, values.dtype)
    column[has] = values
    return column


def _column(entries: Listed, name: str) -> Any:
    """A field of entries that must all have it."""
    if name in KEYS:
        return entries.key(name)
    if name == "score":
        return entries.scores()
    if name == "area":
        return entries.numbers(name)
    if name in FLAGS:
        return entries.flags(name)
    if name == "num_keypoints":
        rows = range(len(entries))
        return np.array([entries.whole(row, name) for row in rows], np.int64)
    if name == "keypoints":
        return _keypoints(entries)
    of_boxes = name == "bbox"
    for index, entry in enumerate(entries.entries):
        fault = box_fault(entry, "xywh", "--iou-type segm") if of_boxes else mask_fault(entry)
        if fault is not None:
            raise entries.fault(index, *fault)
    values = [entry[name] for entry in entries.entries]
    return np.array(values, np.float64).reshape(-1, 4) if of_boxes else values


def _keypoints(entries: Listed) -> Floats:
    """The keypoints of entries that must all have as many."""
    width = 0
    for index, entry in enumerate(entries.entries):
        value: Any = entry.get("keypoints")
        expected = f'"keypoints": a list of {width or "3 * K"} finite numbers'
        found = None
        if "keypoints" not in entry:
            found = 'no "keypoints"'
        elif type(value) is not list or not {type(part) for part in value} <= {int, float}:
            found = f'"keypoints": {described(value)}'
        elif not value or len(value) % POINT or (width and len(value) != width):
            found = f'"keypoints": {len(value)} numbers'
        elif not all(-LARGEST <= part <= LARGEST for part in value):
            found = f'"keypoints": {described(value)}'
        if found is not None:
            raise entries.fault(index, found, expected)
        width = len(value)
    values = [entry["keypoints"] for entry in entries.entries]
    return np.array(values, np.float64).reshape(len(values), width // POINT, POINT)


def _images_of(path: Path, lists: dict[str, Any]) -> dict[str, Any]:
    """What the list of images tells, as `CocoColumns` has it."""
    if "images" not in lists:
        return {}
    sizes = sizes_of_images(path, lists)
    told = np.array([size or (-1, -1) for size in sizes.values()], np.int64).reshape(-1, 2)
    return {"image_ids": _ids(list(sizes)), "image_sizes": told}


def _categories_of(path: Path, lists: dict[str, Any]) -> dict[str, Any]:
    """What the list of categories tells, as `CocoColumns` has it."""
    if "categories" not in lists:
        return {}
    categories = lists["categories"]
    if not isinstance(categories, list):
        raise FileError(path, described(categories), "a list of categories", "categories")
    every = Listed(path, "categories", categories, range(len(categories)))
    names: dict[int | str, str] = {}
    for index, entry in enumerate(categories):
        if not isinstance(entry, dict):
            raise FileError(path, described(entry), "an object", every.where(index))
        number = entry.get("id")
        if type(number) is not str or not number:
            number = every.whole(index, "id", NUMBER_OR_NAME)
        name = entry.get("name")
        if names.setdefault(number, name if type(name) is str else str(number)) != name and (
            type(name) is str
        ):
            found = f"category {number} again, named {described(name)}"
            raise FileError(
                path, found, f"{described(names[number])}, as before", every.where(index)
            )
    return {"category_ids": _ids(list(names)), "category_names": list(names.values())}


def _ids(values: list[int | str]) -> Array:
    """Numbers or names as a column, as those of entries are."""
    if any(type(value) is str for value in values):
        return np.array([str(value) for value in values], np.str_)
    return np.array(values, np.int64)


# ---- from text ---------------------------------------------------------------------------------


def _plain_columns(
    path: Path, data: bytes, needed: Collection[str], fields: list[str], remedy: str
) -> CocoColumns | None:
    """The columns of a large file that is plain; None if it is another."""
    if not coco_entries.is_large(data):
        return None
    # Numba takes 0.1 s to import, which files that are small do not need.
    from fastiou.parsing import json_columns as parser

    kinds = {
        **dict.fromkeys((*KEYS, *FLAGS, "num_keypoints"), parser.INTEGER),
        "bbox": parser.FOUR_NUMBERS,
        **dict.fromkeys(("score", "area"), parser.NUMBER),
        **dict.fromkeys(("segmentation", "keypoints"), parser.PLACE),
    }
    text = coco_entries.plain_objects(data, {name: kinds[name] for name in fields})
    if text is None or not text.objects.count:
        return None
    objects = text.objects
    columns: dict[str, Any] = {}
    present: dict[str, Booleans] = {}
    for name in DEFAULTS:
        if name not in objects.columns:
            if name in needed:
                return None
            columns[name] = _missing(name, objects.count)
            present[name] = np.zeros(objects.count, np.bool_)
            continue
        has = objects.present[name]
        if has is not None:
            if name in needed:
                return None
            present[name] = has
        if name == "segmentation":
            continue
        column = objects.columns[name]
        if name == "keypoints":
            told = column if has is None else np.where(has[:, None], column, -1)
            columns[name] = _keypoints_in_text(data, told)
            if columns[name] is None:
                return None
            continue
        if name in FLAGS:
            told = column if has is None else column[has]
            if not ((told == 0) | (told == 1)).all():
                return None
            column = column == 1
        if has is not None:
            column = _spread(name, column[has], has)
        columns[name] = np.ascontiguousarray(column)
    if "segmentation" in objects.columns:
        masks = masks_in_text(path, text.label, data, objects, "segmentation" in needed, remedy)
        if masks is None:
            return None
        columns["segmentation"], has = masks
        if not has.all():
            present["segmentation"] = has
    lists = {name: data[slice(*place)] for name, place in text.rest.items()}
    try:
        rest = {name: json_value(lists[name]) for name in lists if name == "categories"}
        images_told = coco_entries.plain_images(lists["images"]) if "images" in lists else None
        if images_told is None and "images" in lists:
            rest["images"] = json_value(lists["images"])
    except ValueError:  # a number of thousands of digits, or a name twice
        return None
    images = _images_of(path, rest)
    if images_told is not None:
        images = {"image_ids": images_told[0], "image_sizes": images_told[1]}
    return CocoColumns(
        path=path, label=text.label, count=objects.count, present=present, lists=dict(lists),
        remedy=remedy,
        **columns, **images, **_categories_of(path, rest),
    )  # fmt: skip


def _keypoints_in_text(data: bytes, places: Array) -> Floats | None:
    """The keypoints that stand at some places; None if that is left to Python's parser."""
    from fastiou.parsing.number_lists import lists_of_numbers

    numbers = lists_of_numbers(data, np.ascontiguousarray(places))
    if numbers is None or numbers.shape[1] % POINT:
        return None
    return numbers.reshape(len(numbers), -1, POINT)
