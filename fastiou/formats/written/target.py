"""What a format that tables are written in has a place for, and what all of them share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from fastiou.formats.errors import RefusedError, shortened
from fastiou.formats.folders import BESIDE
from fastiou.formats.segmentations import Segmentations
from fastiou.tables.box_table import BoxTable
from fastiou.typing import Array

__all__ = [
    "ANY_TEXT",
    "About",
    "ImageFile",
    "MasksToWrite",
    "Names",
    "Target",
    "Texts",
    "check_boxes",
    "files_of_images",
    "images_of",
    "is_text",
    "number",
    "rows_of",
]

#: The text of each file by its name, "" for the only one, in parts.
Texts = Iterator[tuple[str, Iterator[str]]]

#: Endings of images, which names of their files of annotations do not have.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

#: What no name has that a reader gives back as it was written: control characters, ends of lines, a
#: byte order mark, halves of characters, and what is none.
UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


class MasksToWrite(NamedTuple):
    """Masks in the order of a table.

    Attributes
    ----------
    path : Path
        Where they come from.
    segmentations : Segmentations
        Their values of "segmentation".
    areas : array of int64, shape (N,)
        Pixels of each.
    place : function
        The place of a mask in the file.
    """

    path: Path
    segmentations: Segmentations
    areas: Array
    place: Callable[[int], str]

    def where(self, row: int) -> str:
        """The place of a mask, for messages."""
        return f"{self.place(row)} of {self.path.name}"


@dataclass(frozen=True, eq=False)
class About:
    """What is known of the images and classes of a table, besides their values.

    Attributes
    ----------
    sizes : array of int64, shape (N, 2), or None
        Width and height of the image of each box, 0 where they are not known; None if none is.
    files : dict
        The name of the file of each image, where it is known.
    classes : dict
        The name of each category by its number, where it is known.
    images : dict
        Height and width of each image that the file lists, with boxes or without; None where they
        are not known.
    is_folder : bool
        Whether images have the names of the files of a folder, besides those in `files`.
    masks : MasksToWrite or None
        The masks, of which the boxes are the bounds, if masks are written.
    """

    sizes: Array | None = None
    files: Mapping[int | str, str] = field(default_factory=dict)
    classes: Mapping[int | str, str] = field(default_factory=dict)
    images: Mapping[int | str, tuple[int, int] | None] = field(default_factory=dict)
    masks: MasksToWrite | None = None
    is_folder: bool = False

    def names_of(self, key: str, values: Array) -> Array:
        """Numbers of images or categories by their names, if these are known of all."""
        known = {"image": self.files, "category": self.classes}.get(key, {})
        used, each = np.unique(values, return_inverse=True)
        if values.dtype.kind == "U" or not set(used.tolist()) <= known.keys() or not len(used):
            return values
        names = [known[value] for value in used.tolist()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise RefusedError(f"more than one {key} has the name {twice!r}")
        return np.array(names, np.str_)[each]


def is_text(name: str) -> bool:
    """Whether a name is read back as it is written: of one line, without blanks around it."""
    return bool(name) and name == name.strip() and UNREADABLE.search(name) is None


class Names(NamedTuple):
    """Which names a format has a place for.

    Attributes
    ----------
    fits : function
        Tells whether one is read back as it is written.
    words : str
        The same in words, behind "names".
    """

    fits: Callable[[str], bool]
    words: str


#: What any text has a place for.
ANY_TEXT = Names(is_text, "of one line, without blanks around them")


@dataclass(frozen=True)
class Target:
    """A format that tables are written in: a row of the table.

    Attributes
    ----------
    name : str
        As the option `--format` has it.
    endings : tuple of str
        Those of its files, by which it is told; none of folders.
    keys : tuple of str or None
        The keys that it has a place for; None for any.
    others : tuple of str
        Which of "score", "id", "iscrowd" and "difficult" it has a place for.
    fmt : str
        Layout of its boxes; "" for any.
    needs : tuple of str
        The keys that it cannot be without.
    whole : tuple of str
        The keys that must be whole numbers.
    named : tuple of str
        The keys that it has as names, also where they are numbers.
    names : Names
        What its names are like.
    units : {"pixels", "parts", ""}
        Whether its boxes are in pixels, or parts of the image, and in nothing else.
    can_be_empty : bool
        Whether a file without boxes is read as one.
    masks : {"", "too", "alone"}
        Whether it has a place for masks, too, or for nothing else.
    texts : function or None
        Makes the text of each file of a table. None of what NumPy, pyarrow and Pillow write.
    of_pixels : bool
        Whether it is label images: a folder of them, or one where the name has an ending.
    """

    name: str
    endings: tuple[str, ...]
    keys: tuple[str, ...] | None
    others: tuple[str, ...]
    texts: Callable[[Target, BoxTable, About], Texts] | None = None
    fmt: str = ""
    needs: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    names: Names = ANY_TEXT
    units: str = ""
    can_be_empty: bool = False
    masks: str = ""
    of_pixels: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it has a file for each image."""
        return not self.endings


def check_boxes(
    target: Target, table: BoxTable, wrong: Array, needed: str, meaning: str = ""
) -> None:
    """Raise a RefusedError if a box is not what a format needs.

    Parameters
    ----------
    target, table
        The format, and what is to be written.
    wrong
        Which boxes are not.
    needed
        What they should be.
    meaning
        What their numbers are.
    """
    if wrong.any():
        row = int(wrong.argmax())
        numbers = ", ".join(map(number, table.boxes[row].tolist()))
        told = f" ({meaning})" if meaning else ""
        raise RefusedError(f"{target.name} needs {needed}: box {row + 1} is {numbers}{told}")


def number(value: float) -> str:
    """A number as it is read back, without needless zeros."""
    return repr(value).removesuffix(".0")


def rows_of(columns: Mapping[str, Array]) -> Iterator[dict[str, object]]:
    """The columns row by row, as values of Python."""
    lists = [column.tolist() for column in columns.values()]
    for values in zip(*lists, strict=True):
        yield dict(zip(columns, values, strict=True))


def images_of(table: BoxTable, about: About) -> Iterator[tuple[int | str, Array, tuple[int, int]]]:
    """The images that are known: where their boxes are in the table, and width and height.

    Those without boxes come last. Sizes that are not known are 0.
    """
    images = table.keys["image"]
    order = np.argsort(images, kind="stable")
    own, firsts = np.unique(images[order], return_index=True)
    split = np.split(order, firsts[1:]) if len(own) else []
    # Numbers beside names are names in the table; "" is the only image of a file.
    seen = {"", *map(str, own.tolist())}
    for image, places in zip(own.tolist(), split, strict=True):
        width, height = (0, 0) if about.sizes is None else about.sizes[places[0]].tolist()
        yield image, places, (width, height)
    for image in (image for image in about.images if str(image) not in seen):
        height, width = about.images[image] or (0, 0)
        yield image, order[:0], (width, height)


# ---- a file for each image ---------------------------------------------------------------------


class ImageFile(NamedTuple):
    """A file of annotations of an image.

    Attributes
    ----------
    name : str
        Of the file.
    image : int or str
        The image, by the name of its file where that is known.
    places : array of int64
        The boxes in it.
    size : tuple of int
        Width and height of the image, 0 where they are not known.
    """

    name: str
    image: int | str
    places: Array
    size: tuple[int, int]


def files_of_images(
    target: Target, table: BoxTable, about: About, ending: str
) -> Iterator[ImageFile]:
    """The files of a folder with one for each image, with boxes or without.

    Raises
    ------
    RefusedError
        An image cannot give a file its name, or two would have the same.
    """
    known = list(images_of(table, about))
    has_names = all(image in about.files for image, *_ in known)
    files: dict[str, int | str] = {}
    for image, places, size in known:
        # Folders inside the first are no part of names, which those in lists of COCO may have.
        named = PurePosixPath(about.files[image]).name if has_names else image
        file = _file_of(target, image if about.is_folder else named, ending)
        if file in files:
            raise RefusedError(f"images {files[file]!r} and {image!r} would both be {file}")
        files[file] = image
        yield ImageFile(file, named, places, size)


def _file_of(target: Target, image: int | str, ending: str) -> str:
    """The name of the file of annotations of an image."""
    name = str(image)
    plain = PurePosixPath(name)
    file = f"{plain.stem if plain.suffix.lower() in IMAGE_ENDINGS else name}{ending}"
    # Files that begin with a point, or have the name of one beside labels, are not read back.
    unread = file.startswith(".") or file.lower() in BESIDE
    if unread or UNREADABLE.search(name) or any(mark in name for mark in "/\\"):
        raise RefusedError(
            f"{target.name} needs images whose names can be those of files, got "
            f"{shortened(repr(image))}"
        )
    return file
