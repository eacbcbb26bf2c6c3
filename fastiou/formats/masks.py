"""From the masks of COCO files to `fastiou.Masks`: the sizes of their images, and packing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastiou.formats.coco import REMEDY, MaskFile
from fastiou.formats.content import Integers
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.sizes import Size, mask_size, size_described

if TYPE_CHECKING:
    from fastiou.geometries.masks.mask_set import Masks

__all__ = ["mask_sizes", "pack_masks"]


def mask_sizes(*files: MaskFile) -> tuple[Integers, ...]:
    """Find the size of the image of every mask.

    It is that of the run lengths, or of the image in any of the files; all that is told must agree.

    Parameters
    ----------
    *files
        One or two.

    Returns
    -------
    tuple of arrays of int64, shape (N, 2)
        (height, width) for each mask of each file.

    Raises
    ------
    FileError
        A size is missing or malformed, two sizes of one image differ, or an image is not listed
        though images are.
    """
    quick = _sizes_of_texts(files)
    if quick is not None:
        return quick
    # For each image its size, and where that was found.
    known: dict[int | str, tuple[Size | None, str]] = {}
    for file in files:
        for number, size in file.images.items():
            before, origin = known.get(number, (None, ""))
            if size is not None and before not in (None, size):
                found = f"{_image(number)} is {size_described(size)}"
                raise FileError(
                    file.path, found, f"{size_described(before)}, as in {origin}", "images"
                )
            if before is None:
                known[number] = size, file.path.name
    listed = bool(known)

    # Run lengths first, since they may tell the size of an image for polygons.
    for file in files:
        for index, number in enumerate(file.image_ids):
            if listed and number not in known:
                found, expected = f"{_image(number)} is unknown", 'one of those in "images"'
                remedy = REMEDY if file.images else ""
                if type(number) is str and all(type(each) is int for each in known):
                    remedy += "; names of images fastiou eval coco takes, by file_name"
                raise FileError(file.path, found, f"{expected}{remedy}", file.where(index))
            mask = file.masks[index]
            if isinstance(mask, list):
                continue
            name = '"segmentation": size'
            size = mask_size(file.path, name, mask["size"], file.where(index), REMEDY)
            before, origin = known.get(number, (None, ""))
            if before not in (None, size):
                found = f'"segmentation" of {size_described(size)}'
                expected = f"{size_described(before)}, the size of {_image(number)} in {origin}"
                expected += REMEDY if origin == file.path.name else ""
                raise FileError(file.path, found, expected, file.where(index))
            if before is None:
                known[number] = size, f"{file.path.name}:{file.where(index)}"
    which = '"images"' + (" of either file" if len(files) > 1 else "")
    return tuple(_sizes_of(file, known, which) for file in files)


def _sizes_of_texts(files: Sequence[MaskFile]) -> tuple[Integers, ...] | None:
    """The same for masks in texts, of all at once; None if some are not, or something is wrong."""
    told: dict[int | str, Size] = {}
    names: set[int | str] = set()
    for file in files:
        names |= file.images.keys()
        for number, size in file.images.items():
            if size is not None and told.setdefault(number, size) != size:
                return None
    found = []
    for file in files:
        own = file.packable.sizes
        if own is None or "image" not in file.keys:
            return None
        numbers, each = np.unique(file.keys["image"], return_inverse=True)
        if names and not names.issuperset(numbers.tolist()):
            return None
        has_own = own[:, 0] >= 0
        new, where = np.unique(each[has_own], return_index=True)
        for number, size in zip(numbers[new].tolist(), own[has_own][where].tolist(), strict=True):
            told.setdefault(number, tuple(size))
        found.append((numbers.tolist(), each, own, has_own))
    sizes = []
    for numbers, each, own, has_own in found:
        known = np.array([told.get(number, (-1, -1)) for number in numbers], np.int64)
        every = known.reshape(-1, 2)[each]
        if (every < 0).any() or (every[has_own] != own[has_own]).any():
            return None
        sizes.append(every)
    return tuple(sizes)


def _image(number: int | str) -> str:
    return "the image" if number == "" else f"image {number}"


def _sizes_of(
    file: MaskFile, known: dict[int | str, tuple[Size | None, str]], which: str
) -> Integers:
    sizes = []
    for index, number in enumerate(file.image_ids):
        size, _ = known.get(number, (None, ""))
        if size is None:
            found = f"polygons of {_image(number)}, the size of which is not told"
            expected = f'"height" and "width" of the image in {which}'
            raise FileError(file.path, found, expected, file.where(index))
        sizes.append(size)
    return np.array(sizes, np.int64).reshape(-1, 2)


def pack_masks(files: Sequence[MaskFile], progress: Callable[[int, int], None]) -> list[Masks]:
    """The masks of each file as bits, in the order of the file.

    Images of all sizes go into one set: they are padded to the largest, which takes no memory, and
    groups keep them apart.

    Parameters
    ----------
    files
        One or two.
    progress
        Called with the number of masks packed so far and in all.

    Returns
    -------
    list of Masks

    Raises
    ------
    FileError
        A mask is malformed, the size of its image is not known, or the masks do not fit in memory.
    RefusedError
        No image can be as high as the highest and as wide as the widest.
    """
    from fastiou.geometries.masks.run_lengths import image_size

    several = [file.path.name for file in files if "image" in file.keys]
    alone = [file.path.name for file in files if "image" not in file.keys]
    if several and alone:
        raise RefusedError(
            f"{alone[0]} has the masks of one image and {several[0]} those of several: pass a "
            f"folder in place of {alone[0]}"
        )
    sizes = mask_sizes(*files)
    every = np.concatenate(sizes)
    try:
        largest = image_size("the greatest height and width of all", every.max(axis=0, initial=0))
    except ValueError as error:
        hint = "files with images of similar sizes can be compared one by one"
        raise RefusedError(f"masks are padded to one size, but {error}; {hint}") from error
    packed = []
    done = 0
    for file, own in zip(files, sizes, strict=True):

        def report(some: int, of_file: int, before: int = done) -> None:
            progress(before + some, len(every))

        masks = file.packable.masks(np.arange(len(file)), own, report)
        packed.append(masks.padded(largest))
        done += len(file)
    return packed
