"""Masks as label images: PNG, TIFF and .npy, and PNG whose colours are the labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastiou.formats.errors import FileError, RefusedError, import_extra
from fastiou.formats.written.target import About, Target, files_of_images
from fastiou.tables.box_table import BoxTable
from fastiou.typing import Array

__all__ = ["ANEW", "LARGEST_COLOUR", "label_images", "write_label_image"]

#: The largest label of a PNG of grey, of TIFF as Pillow writes it, and of colours.
LARGEST_GREY, LARGEST_TIFF, LARGEST_COLOUR = 2**16 - 1, 2**31 - 1, 2**24 - 1

#: What numbers masks so that their labels are small.
ANEW = "--drop id numbers the masks of each image from 1 on"


def label_images(target: Target, table: BoxTable, about: About) -> Iterator[tuple[str, str, Array]]:
    """The label image of each image: the name of its file in a folder, the image, and its pixels.

    The label of a mask is its id or, without ids, its place among those of its image, from 1 on.
    Images without masks are all background.

    Raises
    ------
    RefusedError
        Masks overlap or have no pixels, an id is no label, or the size of an image is not known.
    """
    from fastiou.geometries.masks.painting import labelled

    masks = about.masks
    assert masks is not None
    for file in files_of_images(target, table, about, ".png"):
        width, height = file.size
        if not width or not height:
            raise RefusedError(f"{target.name} needs the size of image {file.image!r}")
        places = file.places
        labels = np.arange(1, len(places) + 1) if table.ids is None else table.ids[places]
        _check_labels(target, labels, file.image)
        empty = masks.areas[places] == 0
        if empty.any():
            where = masks.where(int(places[empty.argmax()]))
            raise RefusedError(f"{target.name} needs masks: {where} has no pixels")
        packed = masks.segmentations.masks(places, np.tile((height, width), (len(places), 1)))
        if not len(places):
            yield file.name, str(file.image), np.zeros((height, width), np.int64)
            continue
        pixels, overlapping = labelled(packed, labels.astype(np.int64))
        if overlapping is not None:
            first, second = (masks.where(int(places[place])) for place in overlapping)
            raise RefusedError(
                f"{target.name} needs masks that do not overlap: {first} and {second} do"
            )
        yield file.name, str(file.image), pixels


def _check_labels(target: Target, labels: Array, image: int | str) -> None:
    """Raise a RefusedError unless labels are different and above 0."""
    used, counts = np.unique(labels, return_counts=True)
    wrong = used[(used <= 0) | (counts > 1)]
    if len(wrong):
        found = f"{wrong[0]}" + (" twice" if wrong[0] > 0 else "")
        raise RefusedError(
            f"{target.name} needs ids from 1 on, different within an image, got {found} in image "
            f"{image!r}: {ANEW}"
        )


def write_label_image(
    stream: BinaryIO, path: Path, pixels: Array, ending: str, *, by_colour: bool
) -> None:
    """Write a label image.

    Parameters
    ----------
    stream
        Where to.
    path
        Its file, for messages.
    pixels
        Its labels, from 0 on.
    ending
        That of the file, which tells the kind.
    by_colour
        Whether the label is R + 256 G + 65536 B.

    Raises
    ------
    FileError
        A label is too large.
    """
    most = int(pixels.max(initial=0))
    if ending == ".npy":
        np.save(stream, pixels.astype(np.min_scalar_type(most)))
        return
    kind = "PNG" if ending == ".png" else "TIFF"
    largest = LARGEST_GREY if kind == "PNG" else LARGEST_TIFF
    largest = LARGEST_COLOUR if by_colour else largest
    if most > largest:
        found = f"a {kind} has no place for label {most:,}"
        raise FileError(path, found, f"labels up to {largest:,}, or .npy; {ANEW}")
    pillow: Any = import_extra("PIL.Image", "images", f"writing {kind}")
    if by_colour:
        parts = pixels.astype("<u4").view(np.uint8).reshape(*pixels.shape, 4)
        shown = np.ascontiguousarray(parts[..., :3])
    else:
        small = np.uint8 if most < 2**8 else np.uint16
        shown = pixels.astype(small if most <= LARGEST_GREY else np.int32)
    pillow.fromarray(shown).save(stream, format=kind)
