"""COCO's JSON: boxes, and masks with the sizes of their images."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.formats.coco_entries import (
    FIRST,
    NUMBER_OR_NAME,
    Entries,
    Listed,
    ListedNames,
    asked,
    plain_columns,
    plain_images,
)
from fastiou.formats.content import (
    BoxFile,
    Floats,
    Integers,
    MemberFile,
    Wanted,
)
from fastiou.formats.errors import FileError, described, shortened
from fastiou.formats.json_objects import Fields, after_blanks, json_content
from fastiou.formats.mask_faults import Fault, mask_fault, mask_faults, refusals
from fastiou.formats.segmentations import Segmentations, masks_in_text, with_arrays
from fastiou.formats.sizes import Size, mask_size, size_described
from fastiou.formats.suspicions import are_rather_corners
from fastiou.tables.column_names import ID_NAMES, key_named, plain_name
from fastiou.tables.layouts import LAYOUTS, header_of

__all__ = [
    "REMEDY",
    "SKIPPABLE",
    "SKIPPING",
    "MaskFile",
    "box_fault",
    "entries_in",
    "load_json",
    "read_coco_boxes",
    "read_coco_masks",
    "result_texts",
    "sizes_of_images",
    "without_outlines",
    "wrong_size",
]

#: What is kept of an annotation with a mask.
KEPT = ("image_id", "category_id", "segmentation", "score", "iscrowd")

#: Names of which entries of COCO have one.
MEMBERS = {"bbox", "segmentation"}

#: What entries have that goes with no box.
NOT_OF_BOXES = frozenset({"segmentation", "area", "keypoints", "num_keypoints"})

#: What Detectron2 calls the layout of COCO's boxes in "bbox_mode".
XYWH = 1

#: Formats of which annotations that are invalid can be left out, and what errors say of these.
SKIPPABLE = ("coco", "voc", "labelme", "cvat", "via")
SKIPPING = "--skip-invalid leaves such annotations out"
REMEDY = f"; {SKIPPING}"


@dataclass(frozen=True, eq=False, kw_only=True)
class MaskFile(MemberFile):
    """Masks read from a file.

    Attributes
    ----------
    label : str
        What messages call their list: "annotations", or "" for a list of results.
    masks : sequence
        For each the value of "segmentation": a dict of run lengths, or a list of polygons. Only
        that it is one or the other was checked. `packable` has them in a form that packs them.
    images : dict
        Size of each image that the file lists by its id, None where the file does not tell. A file
        of one image has it as "".
    places_told : list of str, or None
        Where each mask is, if `label` does not tell.
    """

    label: str
    masks: Sequence[Any]
    images: dict[int | str, Size | None]
    places_told: list[str] | None = None

    def __len__(self) -> int:
        return len(self.masks)

    def where(self, index: int) -> str:
        """The place of a mask, for messages."""
        if self.places_told is not None:
            return self.places_told[index]
        place = index if self.skipped is None else int(self.skipped.positions[index])
        return f"{self.label}[{place}]"

    @property
    def packable(self) -> Segmentations:
        """The masks, to be packed."""
        if isinstance(self.masks, Segmentations):
            return self.masks
        values = dict(enumerate(self.masks))
        return Segmentations(self.path, self.where, len(values), values, remedy=REMEDY)

    @property
    def image_ids(self) -> list[int | str]:
        """The image of each mask, by its id in `images`."""
        known: list[int | str] = self.keys["image"].tolist() if "image" in self.keys else []
        return known or [""] * len(self)


# ---- both ----------------------------------------------------------------------------------------


def load_json(path: Path, data: bytes, hook: Callable[[dict[str, Any]], Any]) -> Any:
    """What the text says, each object of it as a hook has it; raises a FileError if it is none."""
    entries: Fields = {} if hook is without_outlines else {"segmentation": {}}
    fields = {**entries, "annotations": entries, "images": {}, "categories": {}}
    return json_content(path, data, "COCO JSON", fields, hook)


def entries_in(path: Path, content: Any) -> tuple[str, list[Any]]:
    """The annotations or results, and what messages call their list."""
    entries, label = content, ""
    if isinstance(content, dict):
        label = "annotations"
        if label not in content:
            names = shortened(", ".join(content)) or "nothing"
            expected = '"annotations", or a list of results'
            if _is_of_pandas(content):
                expected = 'a list of objects, as to_json(orient="records") of pandas writes it'
            raise FileError(path, f"an object with {names}", expected)
        entries = content[label]
    if not isinstance(entries, list):
        raise FileError(path, described(entries), "a list of annotations or results", label)
    return label, entries


def _is_of_pandas(content: dict[str, Any]) -> bool:
    """Whether it is a table as pandas writes it in its other ways."""
    if "data" in content and ("columns" in content or "schema" in content):
        return True
    values = list(content.values())
    return bool(values) and all(
        isinstance(value, dict) and len(value) == len(values[0]) for value in values
    )


def _valid(
    path: Path, content: Any, wanted: Wanted, fault: Callable[[Any], Fault | None]
) -> tuple[Listed, dict[int, str]]:
    """The entries without a fault, and what is wrong with others, if these may be left out."""
    label, entries = entries_in(path, content)
    faults: dict[int, str] = {}
    for index, entry in enumerate(entries):
        found = fault(entry)
        if found is None:
            continue
        if not wanted.skip_invalid:
            # Where no entry is one of COCO, none is left without those that are invalid.
            known = any(isinstance(each, dict) and MEMBERS & each.keys() for each in entries)
            expected = f"{found[1]}; {SKIPPING}" if known else f"{found[1]} as COCO has"
            raise FileError(path, found[0], expected, f"{label}[{index}]")
        faults[index] = found[0]
    every = Listed(path, label, entries, range(len(entries)), remedy=REMEDY)
    kept = every.without(faults)
    if wanted.skip_invalid:
        faults |= _field_faults(kept, wanted)
    return every.without(faults), faults


def _field_faults(every: Listed, wanted: Wanted) -> dict[int, str]:
    """What is wrong with keys, scores and crowds that are asked for, by positions of entries."""
    by = {"image", "category", *FIRST} if wanted.by is None else {*wanted.by}
    names = every.names
    keys = [name for name in FIRST if {name, key_named(name)} & by and name in names]
    is_scored = (wanted.scored or wanted.scores_if_there) and "score" in names

    def read(entries: list[Any]) -> None:
        some = replace(every, entries=entries, positions=range(len(entries)))
        for name in keys:
            some.key(name)
        if is_scored:
            some.scores()
        if wanted.crowded:
            some.crowds()

    found = refusals(every.entries, range(len(every)), read, (FileError,))
    return {every.positions[index]: error.found for index, error in found.items()}


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

    place = after_blanks(text, 0)
    if text[place] != "[":
        raise FileError(path, "annotations", "a list of results, for an output in JSON")
    texts: list[str] = []
    for position in itertools.count():
        start = after_blanks(text, place + 1)  # behind a bracket or a comma
        if text[start] == "]":
            return texts
        _, end = read(text, start)
        if position in wanted:
            texts.append(text[start:end])
        place = after_blanks(text, end)
        if text[place] == "]":
            return texts
    raise AssertionError


# ---- boxes ---------------------------------------------------------------------------------------


def without_outlines(entry: dict[str, Any]) -> dict[str, Any]:
    """The same object without its mask."""
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
    plain = plain_columns(path, data, wanted) if LAYOUTS[wanted.fmt] == 4 else None
    if plain is not None:
        rest = plain.loaded(*plain.rest)
        if rest is not None:
            return _box_file(path, plain, plain.boxes, "xywh", rest, wanted)
    content = load_json(path, data, without_outlines)
    _, entries = entries_in(path, content)
    first = next((entry for entry in entries if isinstance(entry, dict)), {}).get("bbox")
    # Five numbers are a rotated box, if it is told which way it turns.
    rotated = LAYOUTS[wanted.fmt] == 5 and type(first) is list and len(first) == 5
    is_open = _check_layout(path, entries, wanted)
    fmt = wanted.fmt if rotated or (is_open and wanted.told) else "xywh"
    listed, faults = _valid(path, content, wanted, functools.partial(box_fault, fmt=fmt))
    numbers = itertools.chain.from_iterable(entry["bbox"] for entry in listed.entries)
    count = LAYOUTS[fmt]
    boxes = np.fromiter(numbers, np.float64, count * len(listed.entries)).reshape(-1, count)
    listed = replace(listed, left_out=faults)
    return _box_file(path, listed, boxes, fmt, content, wanted)


def _check_layout(path: Path, entries: list[Any], wanted: Wanted) -> bool:
    """Whether nothing says that boxes have COCO's layout.

    Raises
    ------
    FileError
        That is so, and no option says which they have.
    """
    known = [entry for entry in entries if isinstance(entry, dict) and "bbox" in entry]
    modes = [entry["bbox_mode"] for entry in known if entry.get("bbox_mode", XYWH) != XYWH]
    is_open = bool(modes or (known and not any("image_id" in entry for entry in known)))
    if is_open and not (wanted.told or wanted.format_told):
        found = 'no "image_id", which COCO has, so nothing tells the layout of "bbox"'
        if modes:
            found = f'"bbox_mode": {described(modes[0])}, where COCO has x, y, width, height'
        raise FileError(path, found, "--boxes xyxy, --boxes xywh or --boxes cxcywh")
    return is_open


def _box_file(
    path: Path, entries: Entries, boxes: Floats, fmt: str, content: Any, wanted: Wanted
) -> BoxFile:
    if fmt == "xywh" and _could_be_corners(entries, boxes, content):
        if not (wanted.told or wanted.format_told):
            found = "boxes reach out of their images as x, y, width, height, and as corners none"
            raise FileError(path, found, "--boxes xyxy or --boxes xywh")
        fmt = wanted.fmt if wanted.told else fmt
    sizes = {}
    if wanted.sizes:
        try:
            sizes = sizes_of_images(path, content)
        except FileError:
            if wanted.image_size is None:  # which tells them, too
                raise
    listed = ListedNames.in_lists(content, entries)
    told = asked(entries, wanted, listed)
    if wanted.sizes:  # by who writes all that there is
        more = tuple(name for name in entries.names if name in NOT_OF_BOXES)
        told["unused"] = (*told.get("unused", ()), *more)
    notes = ListedNames.left_out(content, entries)
    return BoxFile(fmt=fmt, boxes=boxes, sizes=sizes, notes=notes, **_names(listed), **told)


def _could_be_corners(entries: Entries, boxes: Floats, content: Any) -> bool:
    """Whether boxes reach out of their images as COCO has them, and as corners none does."""
    listed = content.get("images") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not len(entries) or not entries.all_have("image_id"):
        return False
    known = {
        image["id"]: (image["width"], image["height"])
        for image in listed
        if isinstance(image, dict)
        and {type(image.get(name)) for name in ("id", "width", "height")} == {int}
    }
    used, each = np.unique(entries.key("image_id"), return_inverse=True)
    sizes = np.array([known.get(number, (np.nan, np.nan)) for number in used.tolist()])[each]
    return are_rather_corners(boxes, sizes)


def _names(listed: Sequence[ListedNames]) -> dict[str, Any]:
    """What the lists of images and categories tell of these, as `MemberFile` has it."""
    told = {each.column: each.names for each in listed}
    return {"files": told.get("file_name", {}), "classes": told.get("category_name", {})}


def box_fault(entry: Any, fmt: str, masks: str = "--geometry mask") -> Fault | None:
    """What is found in an entry without a valid box, and what is expected.

    `masks` is the option that compares masks, of a command that may have --boxes, too.
    """
    count = LAYOUTS[fmt]
    expected = f'"bbox": [{", ".join(header_of(fmt))}]'
    if fmt == "xywh":
        expected = '"bbox": [x, y, width, height]'
    if not isinstance(entry, dict):
        return described(entry), "an object"
    if "bbox" not in entry:
        hint = f" ({masks} compares masks)" if "segmentation" in entry else ""
        return 'no "bbox"', expected + hint
    bbox = entry["bbox"]
    if type(bbox) is not list or len(bbox) != count or not {type(x) for x in bbox} <= {int, float}:
        if type(bbox) is list and len(bbox) == 5 and masks.startswith("--geometry"):
            expected += "; rotated boxes need --boxes, such as cxcywhr"
        return f'"bbox": {described(bbox)}', expected
    try:
        infinite = any(map(math.isinf, bbox))
    except OverflowError:
        infinite = True
    return (f'"bbox": {described(bbox)}', "finite numbers or NaN") if infinite else None


# ---- masks ---------------------------------------------------------------------------------------


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    """An object of a file with masks, without what nobody reads."""
    entry = with_arrays(entry)
    if "segmentation" not in entry:
        return entry
    # Names that tell a key are not left to be found out.
    return {
        name: value if name in KEPT or type(value) not in (list, dict) else None
        for name, value in entry.items()
        if name in KEPT or type(value) not in (list, dict) or not _tells(name)
    }


@functools.cache
def _tells(name: str) -> bool:
    """Whether a field tells a key, or what an entry is called."""
    return key_named(name) is not None or plain_name(name) in ID_NAMES


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
    plain = _plain_masks(path, data, wanted)
    if plain is not None:
        return plain
    content = load_json(path, data, _compact)
    listed, faults = _valid(path, content, wanted, mask_fault)
    images = sizes_of_images(path, content)
    if wanted.skip_invalid:
        width = max((size[1] for size in images.values() if size is not None), default=1)
        found = mask_faults([entry["segmentation"] for entry in listed.entries], width)
        for index, entry in enumerate(listed.entries):
            fault = None if index in found else _size_fault(entry, images)
            if fault is not None:
                found[index] = fault
        malformed = {listed.positions[index]: fault for index, fault in found.items()}
        listed = listed.without(malformed)
        faults |= malformed
    for index, entry in enumerate(listed.entries):
        if "image_id" not in entry:
            listed.whole(index, "image_id")  # which says that it is missing
    shared = _shared(replace(listed, left_out=faults), content, wanted)
    masks = [entry["segmentation"] for entry in listed.entries]
    if shared["keys"]["image"].dtype.kind == "U":
        images = {str(number): size for number, size in images.items()}
    return MaskFile(label=listed.label, masks=masks, images=images, **shared)


def _size_fault(entry: dict[str, Any], images: dict[int | str, Size | None]) -> str | None:
    """What is wrong with the size of a mask, which must be that of its image."""
    image = entry.get("image_id", "")
    if images and image not in images:
        return f'"image_id": {described(image)}, which is not in "images"'
    mask, told = entry["segmentation"], images.get(image)
    if told is None and not isinstance(mask, dict):
        return "polygons of an image, the size of which is not told"
    return wrong_size(mask, told)


def wrong_size(mask: Any, told: Size | None) -> str | None:
    """What is wrong with a mask whose run lengths have another size than its image."""
    if told is None or not isinstance(mask, dict) or tuple(mask["size"]) == told:
        return None
    own = size_described(tuple(mask["size"]))
    return f'"segmentation" of {own}, in an image of {size_described(told)}'


def _shared(entries: Entries, content: Any, wanted: Wanted) -> dict[str, Any]:
    """What masks have in common with boxes, as `MemberFile` has it."""
    # Masks of two images have no common size, so they are always told apart.
    by = None
    if wanted.by is not None:
        by = ("image_id", *(name for name in wanted.by if key_named(name) != "image"))
    # Masks of an image are packed by the size of its number, so only categories have names.
    listed = ListedNames.in_lists(content, entries)
    named = [each for each in listed if each.field == "category_id"]
    names = _names(listed) if wanted.sizes else {}
    return names | asked(entries, replace(wanted, by=by), named)


def _plain_masks(path: Path, data: bytes, wanted: Wanted) -> MaskFile | None:
    """The masks of a large file that is plain; None if it is another."""
    if wanted.skip_invalid:
        return None
    plain = plain_columns(path, data, wanted, "segmentation")
    if plain is None:
        return None
    masks = masks_in_text(path, plain.label, data, plain.objects, is_needed=True, remedy=REMEDY)
    # What else images have, such as their names, Python reads where it is asked for.
    is_quick = "images" in plain.rest and not wanted.sizes
    told = plain_images(plain.rest["images"]) if is_quick else None
    content = plain.loaded("categories", *(["images"] if told is None else []))
    if masks is None or content is None:
        return None
    images = sizes_of_images(path, content)
    if told is not None:
        numbers, sizes = (column.tolist() for column in told)
        images = {
            number: (height, width) if height >= 0 else None
            for number, (height, width) in zip(numbers, sizes, strict=True)
        }
    shared = _shared(plain, content, wanted)
    return MaskFile(label=plain.label, masks=masks[0], images=images, **shared)


def sizes_of_images(path: Path, content: Any) -> dict[int | str, Size | None]:
    """The images that a file lists."""
    listed = content.get("images", []) if isinstance(content, dict) else []
    if not isinstance(listed, list):
        raise FileError(path, described(listed), "a list of images", "images")
    images: dict[int | str, Size | None] = {}
    own = Listed(path, "images", listed, range(len(listed)))
    for index, entry in enumerate(listed):
        where = f"images[{index}]"
        if not isinstance(entry, dict):
            raise FileError(path, described(entry), "an object", where)
        number = entry.get("id")
        if type(number) is not str or not number:
            number = own.whole(index, "id", NUMBER_OR_NAME)
        size = None
        if not {"height", "width"}.isdisjoint(entry):
            sides = [own.whole(index, name) for name in ("height", "width")]
            size = mask_size(path, "height and width", sides, where)
        if images.setdefault(number, size) != size:
            found = f"image {number} again, {size_described(size)}"
            raise FileError(path, found, f"{size_described(images[number])}, as before", where)
    return images
