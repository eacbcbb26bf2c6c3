"""COCO's panoptic files: JSON of segments, and PNG whose colours are their ids."""

from __future__ import annotations

import os
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastiou.formats.content import read_content
from fastiou.formats.errors import FileError, described
from fastiou.formats.images import read_labels
from fastiou.formats.json_objects import Fields, json_content
from fastiou.parsing.png_kernels import COLOUR_NUMBERS
from fastiou.runtime import threads
from fastiou.typing import Array

__all__ = ["PanopticFile", "PanopticImage", "id_images", "read_ids", "read_panoptic"]


#: What a file should be.
EXPECTED = (
    "COCO's panoptic JSON: an object with annotations, each with image_id, file_name and "
    "segments_info"
)

#: Where its objects are read.
READ: Fields = {"annotations": {"segments_info": {}}, "categories": {}}

#: How a PNG begins, and how its first chunk does: 13 bytes of width, height and kind.
SIGNATURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"

#: Of the kind: 8 bits, RGB, and neither another compression, filter nor interlacing.
RGB = bytes([8, 2, 0, 0, 0])

#: Pixels of the largest image that is read here; Pillow refuses larger ones.
MOST_PIXELS = 1 << 26

#: Threads that read images ahead, at most.
MOST_READERS = 8

#: Pillow's warnings are kept quiet by what all threads share.
_pillow_lock = threading.Lock()


class PanopticImage(NamedTuple):
    """An image of a panoptic file."""

    #: Its PNG.
    path: Path
    #: As the file tells them.
    segments: list[Any]


class PanopticFile(NamedTuple):
    """A panoptic file, without pixels."""

    path: Path
    images: dict[int | str, PanopticImage]
    #: As the file tells them; None where it does not.
    categories: list[Any] | None


# ---- JSON --------------------------------------------------------------------------------------


def read_panoptic(path: Path, folder: str | os.PathLike[str] | None = None) -> PanopticFile:
    """Read what a JSON file tells of its images.

    Parameters
    ----------
    path
        The file, compressed by gzip or not; or its folder of PNG, beside which it lies.
    folder
        Where its PNG lie; by default in a folder beside it and of its name, without the ending.

    Raises
    ------
    FileError
        It is missing, broken or something else, or there is no such folder.
    """
    if path.is_dir():
        beside = [path.with_name(f"{path.name}.json{ending}") for ending in ("", ".gz")]
        told = next((file for file in beside if file.is_file()), None)
        if told is None:
            found = f"a folder without {beside[0].name} beside it"
            raise FileError(path, found, f"{EXPECTED}; or its folder of PNG")
        path, folder = told, path if folder is None else folder
    data = read_content(path, EXPECTED)
    content = json_content(path, data, EXPECTED, READ, parse_constant=_refuse_constant)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise FileError(path, described(content), EXPECTED)
    categories = content.get("categories")
    if categories is not None and not isinstance(categories, list):
        raise FileError(path, described(categories), "a list", "categories")
    place = _folder_of(path) if folder is None else Path(folder)
    if not place.is_dir():
        hint = "" if folder is not None else ", or name the folder of the PNG"
        raise FileError(place, "no such folder", f"the PNG of {path.name}{hint}")
    images: dict[int | str, PanopticImage] = {}
    for number, entry in enumerate(content["annotations"]):
        where = f"annotations[{number}]"
        if not isinstance(entry, dict):
            raise FileError(path, described(entry), "an object", where)
        for key, kinds in (("image_id", int | str), ("file_name", str), ("segments_info", list)):
            if not isinstance(entry.get(key), kinds):
                found = described(entry[key]) if key in entry else f"no {key}"
                raise FileError(path, found, f"{key}, as panoptic annotations have it", where)
        image = entry["image_id"]
        if image in images:
            raise FileError(path, f"the image {image} again", "each image once", where)
        images[image] = PanopticImage(place / entry["file_name"], entry["segments_info"])
    return PanopticFile(path, images, categories)


def _refuse_constant(name: str) -> None:
    """What Python reads as a number, and JSON does not have."""
    raise ValueError(f"{name} is no number")


def _folder_of(path: Path) -> Path:
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return plain.with_suffix("")


# ---- PNG ---------------------------------------------------------------------------------------


class _Blocks:
    """Memory of images that are done, for those that come: new pages cost as much as reading."""

    def __init__(self) -> None:
        self._free: deque[Array] = deque()  # whose operations are atomic

    def take(self, size: int) -> Array:
        """So many int32, not initialised."""
        try:
            block = self._free.pop()
        except IndexError:
            block = np.empty(0, np.int32)
        return block if size <= len(block) <= 4 * size else np.empty(size, np.int32)

    def give(self, block: Array) -> None:
        """Give back what was taken, or an image made of it."""
        if block.flags.c_contiguous and block.dtype == np.int32:
            self._free.append(block.reshape(-1))


def read_ids(path: Path, blocks: _Blocks | None = None) -> Array:
    """The ids of the pixels of a PNG: R + 256 G + 65536 B, int32 (H, W).

    Parameters
    ----------
    path
        The file.
    blocks
        Memory for it, if there is some.

    Raises
    ------
    FileError
        It is missing, broken or something else.
    ImportError
        It is of an unusual kind, for which Pillow is needed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        what = "no such file" if missing else f"cannot be read: {error.strerror or error}"
        raise FileError(path, what) from None
    except ValueError:  # a byte of 0 in the name
        raise FileError(path, "no name of a file") from None
    numbers = _plain_ids(data, blocks or _Blocks())
    if numbers is not None:
        return numbers
    with _pillow_lock:
        return read_labels(path, data, "panoptic").read(0)


def _plain_ids(data: bytes, blocks: _Blocks) -> Array | None:
    """The ids of a plain PNG of 8 bits and three colours; None for any other, and a broken one."""
    if not data.startswith(SIGNATURE) or data[24:29] != RGB:
        return None
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if not 0 < width * height <= MOST_PIXELS:
        return None
    parts, at = [], 33
    while True:
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IEND":
            break
        content = data[at + 8 : at + 8 + size]
        check = data[at + 8 + size : at + 12 + size]
        if kind == b"tRNS" or check != zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big"):
            return None
        if kind == b"IDAT":
            parts.append(content)
        at += 12 + size
    packed = np.frombuffer(b"".join(parts), np.uint8)
    size = height * (3 * width + 1)
    scratch, numbers = blocks.take(size // 4 + 1), blocks.take(height * width)
    rows = scratch.view(np.uint8)[:size].reshape(height, -1)
    numbers = numbers[: height * width].reshape(height, width)
    is_read = COLOUR_NUMBERS.serial(packed, rows, numbers)
    blocks.give(scratch)
    return numbers if is_read else None


# ---- images of two files -----------------------------------------------------------------------


def id_images(truth: PanopticFile, found: PanopticFile) -> Iterator[tuple[int | str, Array, Array]]:
    """The images of the first file in its order: id, and the ids of the pixels in both files.

    They are read ahead on a few threads. Images that only the second file has are left out. The
    memory of both is used again when the next ones are asked for.

    Raises
    ------
    FileError
        The second file lacks an image, a PNG cannot be used, or two have different sizes.
    """
    for image in truth.images:
        if image not in found.images:
            raise FileError(found.path, f"no annotation of the image {image}", "one of each image")
    # Compiled here, once, and not by several readers.
    COLOUR_NUMBERS.serial(
        np.frombuffer(bytes(6), np.uint8), np.empty((1, 4), np.uint8), np.empty((1, 1), np.int32)
    )
    pairs = [(image, truth.images[image].path, found.images[image].path) for image in truth.images]
    readers = min(MOST_READERS, threads.thread_count())
    pool = ThreadPoolExecutor(readers, thread_name_prefix="fastiou-read")
    waiting: deque[tuple[Future[Array], Future[Array]]] = deque()
    blocks = _Blocks()
    try:
        left = iter(pairs)
        for image, _, path in pairs:
            while len(waiting) <= readers and (ahead := next(left, None)) is not None:
                one, other = (pool.submit(read_ids, each, blocks) for each in ahead[1:])
                waiting.append((one, other))
            true, pred = (future.result() for future in waiting.popleft())
            if true.shape != pred.shape:
                sizes = [" × ".join(map(str, array.shape)) + " pixels" for array in (pred, true)]
                raise FileError(path, sizes[0], f"{sizes[1]}, as the truth of the image {image}")
            yield image, true, pred
            blocks.give(true)
            blocks.give(pred)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
