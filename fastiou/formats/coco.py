"""COCO's JSON: boxes, and masks with the sizes of their images."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.formats.content import (
    Booleans,
    BoxFile,
    Floats,
    Integers,
    MemberFile,
    Wanted,
    chosen_keys,
    whole_number_in,
)
from fastiou.formats.errors import FileError, described, shortened
from fastiou.typing import Array

__all__ = [
    "MaskFile",
    "Size",
    "mask_size",
    "read_coco_boxes",
    "read_coco_masks",
    "result_texts",
    "size_described",
]

#: What is kept of an annotation with a mask.
KEPT = ("image_id", "category_id", "segmentation", "score", "iscrowd")

#: What may stand between values of JSON.
BLANKS = re.compile(r"[ \t\n\r]*")

#: The largest score.
LARGEST = float(np.finfo(np.float64).max)

#: Height and width of an image.
Size = tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class MaskFile(MemberFile):
    """Masks read from a file.

    Attributes
    ----------
    label : str
        What messages call their list: "annotations", or "" for a list of results.
    masks : list
        For each the value of "segmentation": a dict of run lengths, or a list of polygons. Only
        that it is one or the other was checked.
    images : dict
        Size of each image that the file lists by its id, None where the file does not tell.
    """

    label: str
    masks: list[Any]
    images: dict[int | str, Size | None]

    def __len__(self) -> int:
        return len(self.masks)

    def where(self, index: int) -> str:
        """The place of a mask, for messages."""
        return f"{self.label}[{index}]"


# ---- both ----------------------------------------------------------------------------------------


def _load(path: Path, data: bytes, hook: Callable[[dict[str, Any]], Any]) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"), object_hook=hook)
    except json.JSONDecodeError as error:
        raise FileError(
            path, f"not JSON: {error.msg} (column {error.colno})", "COCO JSON", error.lineno
        ) from None
    except (RecursionError, ValueError) as error:
        raise FileError(path, f"cannot be read as JSON ({error})", "COCO JSON") from None


def _entries(path: Path, content: Any) -> tuple[str, list[Any]]:
    """The annotations or results, and what messages call their list."""
    entries, label = content, ""
    if isinstance(content, dict):
        label = "annotations"
        if label not in content:
            names = shortened(", ".join(content)) or "nothing"
            raise FileError(path, f"an object with {names}", '"annotations", or a list of results')
        entries = content[label]
    if not isinstance(entries, list):
        raise FileError(path, described(entries), "a list of annotations or results", label)
    return label, entries


def _keys(
    path: Path, label: str, entries: list[dict[str, Any]], wanted: Wanted
) -> dict[str, Array]:
    names = {"image": "image_id"}
    if any("category_id" in entry for entry in entries):
        names["category"] = "category_id"
    chosen = chosen_keys(path, names, wanted.by)
    return {key: _key(path, label, entries, names[key]) for key in chosen}


def _key(path: Path, label: str, entries: list[dict[str, Any]], name: str) -> Array:
    """A key of every entry: whole numbers, or names where one is not a number."""
    texts = [entry.get(name) for entry in entries if type(entry.get(name)) is str]
    if not texts:
        values = [_whole(path, label, index, entry, name) for index, entry in enumerate(entries)]
        return np.array(values, np.int64)
    named = [
        entry[name]
        if type(entry.get(name)) is str and entry[name]
        else str(_whole(path, label, index, entry, name))
        for index, entry in enumerate(entries)
    ]
    return np.array(named, np.str_)


def _whole(path: Path, label: str, index: int, entry: dict[str, Any], name: str) -> int:
    where = f"{label}[{index}]"
    if name not in entry:
        raise FileError(path, f'no "{name}"', "one in every entry", where)
    value = entry[name]
    # `type`, since a bool is an int but no number here.
    number = None if type(value) not in (int, float) else whole_number_in(repr(value))
    if number is None:
        expected = "a whole number of 64 bits" + (", or a name" if name.endswith("id") else "")
        raise FileError(path, f'"{name}": {described(value)}', expected, where)
    return number


def _asked(path: Path, label: str, entries: list[dict[str, Any]], wanted: Wanted) -> dict[str, Any]:
    """What boxes and masks have in common, as `MemberFile` has it."""
    return {
        "path": path,
        "format": "coco",
        "keys": _keys(path, label, entries, wanted),
        "scores": _scores(path, label, entries) if wanted.scored else None,
        "crowds": _crowds(path, label, entries) if wanted.crowded else None,
        "ids": _key(path, label, entries, "id")
        if wanted.ids and entries and all("id" in entry for entry in entries)
        else None,
    }


def _scores(path: Path, label: str, entries: list[dict[str, Any]]) -> Floats:
    scores = np.empty(len(entries))
    for index, entry in enumerate(entries):
        where = f"{label}[{index}]"
        if "score" not in entry:
            raise FileError(path, 'no "score"', "one in every entry, as results have", where)
        value = entry["score"]
        # Integers beyond all floats are not finite either.
        if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
            raise FileError(path, f'"score": {described(value)}', "a finite number", where)
        scores[index] = value
    return scores


def _crowds(path: Path, label: str, entries: list[dict[str, Any]]) -> Booleans:
    """Which entries are crowds; those that do not tell are none."""
    crowds = np.zeros(len(entries), np.bool_)
    for index, entry in enumerate(entries):
        value = entry.get("iscrowd", 0)
        if type(value) not in (int, bool) or value not in (0, 1):
            where = f"{label}[{index}]"
            raise FileError(path, f'"iscrowd": {described(value)}', "0 or 1", where)
        crowds[index] = value
    return crowds


def result_texts(path: Path, data: bytes, chosen: Integers) -> list[str]:
    """Some entries of a list of results, letter by letter as they stand in the file, in its order.

    Parameters
    ----------
    path
        The file, for messages.
    data
        Its content, which one of the readers has accepted.
    chosen
        Positions, in any order.

    Raises
    ------
    FileError
        It holds no list.
    """
    text = data.decode("utf-8-sig")
    wanted = set(chosen.tolist())
    read = json.JSONDecoder().raw_decode

    def after_blanks(place: int) -> int:
        blanks = BLANKS.match(text, place)
        return blanks.end() if blanks else place

    place = after_blanks(0)
    if text[place] != "[":
        raise FileError(path, "annotations", "a list of results, for an output in JSON")
    texts: list[str] = []
    for position in itertools.count():
        start = after_blanks(place + 1)  # behind a bracket or a comma
        if text[start] == "]":
            return texts
        _, end = read(text, start)
        if position in wanted:
            texts.append(text[start:end])
        place = after_blanks(end)
        if text[place] == "]":
            return texts
    raise AssertionError


# ---- boxes ---------------------------------------------------------------------------------------


def _without_outlines(entry: dict[str, Any]) -> dict[str, Any]:
    # They are most of a file, and as Python lists would take a hundred times the memory of boxes.
    if "segmentation" in entry:
        entry["segmentation"] = None
    return entry


def read_coco_boxes(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read the boxes of annotations or results.

    Parameters
    ----------
    path
        The file, for messages.
    data
        Its content.
    wanted
        What to read besides the boxes.

    Raises
    ------
    FileError
        The file is broken or something else, or an entry lacks what is to be read.
    """
    label, entries = _entries(path, _load(path, data, _without_outlines))
    boxes = _boxes(path, label, entries)
    return BoxFile(fmt="xywh", boxes=boxes, **_asked(path, label, entries, wanted))


def _boxes(path: Path, label: str, entries: list[Any]) -> Floats:
    expected = '"bbox": [x, y, width, height]'
    for index, entry in enumerate(entries):
        where = f"{label}[{index}]"
        if not isinstance(entry, dict):
            raise FileError(path, described(entry), "an object", where)
        if "bbox" not in entry:
            hint = " (--geometry mask compares masks)" if "segmentation" in entry else ""
            raise FileError(path, 'no "bbox"', expected + hint, where)
        bbox = entry["bbox"]
        if type(bbox) is not list or len(bbox) != 4 or not {type(x) for x in bbox} <= {int, float}:
            raise FileError(path, f'"bbox": {described(bbox)}', expected, where)
        try:
            infinite = any(map(math.isinf, bbox))
        except OverflowError:
            infinite = True
        if infinite:
            raise FileError(path, f'"bbox": {described(bbox)}', "finite numbers or NaN", where)
    numbers = itertools.chain.from_iterable(entry["bbox"] for entry in entries)
    return np.fromiter(numbers, np.float64, 4 * len(entries)).reshape(-1, 4)


# ---- masks ---------------------------------------------------------------------------------------


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    """An object of a file with masks, long lists in it as arrays: a quarter of the memory."""
    if "counts" in entry:
        entry["counts"] = _as_array(entry["counts"], {int}, np.int64)
    if "segmentation" not in entry:
        return entry
    outlines = entry["segmentation"]
    if type(outlines) is list:
        entry["segmentation"] = [_as_array(ring, {int, float}, np.float64) for ring in outlines]
    return {name: entry[name] for name in KEPT if name in entry}


def _as_array(value: Any, types: set[type], dtype: type) -> Any:
    """A list of numbers as an array; whatever else it is stays, for a message that names it."""
    if type(value) is not list or not set(map(type, value)) <= types:
        return value
    try:
        return np.array(value, dtype)
    except OverflowError:
        return value


def read_coco_masks(path: Path, data: bytes, wanted: Wanted) -> MaskFile:
    """Read the masks of annotations or results.

    Parameters
    ----------
    path
        The file, for messages.
    data
        Its content.
    wanted
        What to read besides the masks; their images are always read.

    Raises
    ------
    FileError
        The file is broken or something else, or an entry lacks what is to be read.
    """
    content = _load(path, data, _compact)
    label, entries = _entries(path, content)
    expected = '"segmentation": polygons, or run lengths with "size" and "counts"'
    for index, entry in enumerate(entries):
        where = f"{label}[{index}]"
        if not isinstance(entry, dict):
            raise FileError(path, described(entry), "an object", where)
        if "segmentation" not in entry:
            raise FileError(path, 'no "segmentation"', expected, where)
        mask = entry["segmentation"]
        if not isinstance(mask, list | dict):
            raise FileError(path, f'"segmentation": {described(mask)}', expected, where)
        for name in ("size", "counts") if isinstance(mask, dict) else ():
            if name not in mask:
                raise FileError(path, f'"segmentation" has no "{name}"', expected, where)
    # Masks of two images have no common size, so they are always told apart.
    by = None if wanted.by is None else tuple(dict.fromkeys(("image", *wanted.by)))
    shared = _asked(path, label, entries, replace(wanted, by=by))
    masks = [entry["segmentation"] for entry in entries]
    images = _images(path, content)
    if shared["keys"]["image"].dtype.kind == "U":
        images = {str(number): size for number, size in images.items()}
    return MaskFile(label=label, masks=masks, images=images, **shared)


def _images(path: Path, content: Any) -> dict[int | str, Size | None]:
    """The images that a file lists."""
    listed = content.get("images", []) if isinstance(content, dict) else []
    if not isinstance(listed, list):
        raise FileError(path, described(listed), "a list of images", "images")
    images: dict[int | str, Size | None] = {}
    for index, entry in enumerate(listed):
        where = f"images[{index}]"
        if not isinstance(entry, dict):
            raise FileError(path, described(entry), "an object", where)
        number = entry.get("id")
        if type(number) is not str or not number:
            number = _whole(path, "images", index, entry, "id")
        size = None
        if not {"height", "width"}.isdisjoint(entry):
            sides = [_whole(path, "images", index, entry, name) for name in ("height", "width")]
            size = mask_size(path, "height and width", sides, where)
        if images.setdefault(number, size) != size:
            found = f"image {number} again, {size_described(size)}"
            raise FileError(path, found, f"{size_described(images[number])}, as before", where)
    return images


def mask_size(path: Path, name: str, value: Any, where: str) -> Size:
    """The size of an image that `value` says, checked."""
    from fastiou.geometries.masks.run_lengths import image_size

    try:
        return image_size(name, value)
    except (TypeError, ValueError) as error:
        raise FileError(path, str(error), None, where) from None


def size_described(size: Size | None) -> str:
    """A size as it may stand in a message."""
    return "without a size" if size is None else f"{size[0]} × {size[1]} pixels"
