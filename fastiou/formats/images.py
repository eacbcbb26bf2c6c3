"""Label images: PNG, TIFF and .npy, PNG whose colours are numbers, and folders of all these."""

from __future__ import annotations

import importlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastiou.formats.content import Wanted, check_text, kind_described, kind_of, read_content
from fastiou.formats.errors import FileError, check_regular, import_extra, shortened
from fastiou.formats.numpy_files import npy_header, read_npy
from fastiou.segmentation.colors import labels_from_colors
from fastiou.tables.layouts import LAYOUTS
from fastiou.typing import Array

__all__ = [
    "FOREGROUND",
    "LabelFile",
    "SharedFrames",
    "below_zero",
    "could_be_boxes",
    "looks_like_labels",
    "one_object",
    "read_frames",
    "read_labels",
    "shared_frames",
]


#: Name endings of the images in a folder, each also followed by .gz.
LABEL_ENDINGS = (".png", ".tif", ".tiff", ".npy")

#: What is expected where there is something else.
EXPECTED = "a label image: PNG, TIFF or .npy"

#: Labels of foreground in binary masks.
FOREGROUND = {1, 255}

#: How colours become labels, and by which option.
BY_COLOUR = "--format panoptic reads colours of PNG as COCO's ids, R + 256 G + 65536 B"

#: The most numbers that a pixel has, and what is said of frames that are as wide at most.
MOST_CHANNELS, NARROW = 4, "an image of colours, or frames as narrow"
OF_COLOURS = f"of colours a PNG, and {BY_COLOUR}"

#: How three frames are no colours.
STACKED = "tifffile writes three frames as colours but with photometric='minisblack'"

#: What is expected where colours are to be read so.
PANOPTIC_EXPECTED = (
    "a PNG of colours (RGB, 8 bits) for --format panoptic; --format labels has others"
)

#: What else is said of images that are no label images.
LOSSY = dict.fromkeys(("JPEG", "WebP", "AVIF", "HEIF"), ", which keep every pixel as it is")

#: Modes of Pillow in which a pixel is one integer.
MODES = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")

# Tags of TIFF.
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
WHITE_IS_ZERO, COLOURS = 0, 2
UNSIGNED, SIGNED = 1, 2


@dataclass(frozen=True, eq=False)
class LabelFile:
    """Label images of a file or folder; those of a folder are read when they are asked for.

    Attributes
    ----------
    path : Path
        Where they come from.
    kind : str
        "PNG", "TIFF", "NPY" or "folder"; with "panoptic " in front where colours are numbers.
    count : int
        Number of frames.
    read : function
        Reads the frame of a number, shape (H, W) of integers.
    names : tuple of str
        In a folder, the names of its images without their endings, sorted.
    ignored : int
        In a folder, how many other files it has.
    """

    path: Path
    kind: str
    count: int
    read: Callable[[int], Array]
    names: tuple[str, ...] = ()
    ignored: int = 0


def looks_like_labels(data: bytes, wanted: Wanted | None = None) -> bool:
    """Whether a file holds label images rather than boxes, by its content.

    Parameters
    ----------
    data
        The content.
    wanted
        Tells how many numbers a box has.

    Returns
    -------
    bool
        True for PNG and TIFF, and for integers in .npy unless they have the shape (N, 4) of boxes,
        or how many numbers a box has.
    """
    kind = kind_of(data)
    header = npy_header(data) if kind == "NPY" else None
    if header is None:
        return kind in ("PNG", "TIFF")
    shape, dtype = header
    numbers = LAYOUTS[(wanted or Wanted()).fmt]
    of_points = numbers == 8 and shape[1:] == (4, 2)
    other = len(shape) == 3 or (len(shape) == 2 and shape[1] != numbers)
    return dtype.kind in "biu" and other and not of_points


def could_be_boxes(data: bytes, wanted: Wanted | None = None) -> bool:
    """Whether integers in .npy that look like labels could be boxes, each with a score or class.

    Their numbers are in order as corners, or positive as sizes; few label images of so few columns
    are like that.
    """
    header = npy_header(data) if kind_of(data) == "NPY" else None
    numbers = LAYOUTS[(wanted or Wanted()).fmt]
    if header is None or header[1].kind not in "iu" or len(header[0]) != 2:
        return False
    if not header[0][0] or header[0][1] not in range(4, numbers + 3):
        return False
    array = read_npy(Path(), data)
    corners = (array[:, 2:4] > array[:, :2]).all(axis=1)
    return bool((array[:, 2:4] > 0).all() or np.count_nonzero(corners) > len(array) / 2)


def read_labels(
    path: str | Path,
    data: bytes | None = None,
    format: str | None = None,  # noqa: A002
) -> LabelFile:
    """Open label images.

    Parameters
    ----------
    path
        A file, compressed by gzip or not, or a folder.
    data
        The content of the file, if `fastiou.formats.content.read_content` has read it.
    format
        "labels" where a pixel is a label, "panoptic" where its colour is one. If not given, a pixel
        is a label, and an array that could be an image of colours is refused.

    Returns
    -------
    LabelFile

    Raises
    ------
    FileError
        It is missing, broken or something else. Of images in a folder that shows when they are
        read.
    ImportError
        Reading it needs an extra that is not installed.
    """
    path = Path(path)
    if data is None and path.is_dir():
        return _read_folder(path, format)
    data = read_content(path) if data is None else data
    kind = kind_of(data)
    if format == "panoptic" and kind != "PNG":
        raise FileError(path, kind_described(kind), PANOPTIC_EXPECTED)
    if kind == "NPY":
        return _read_array(path, data, told=format is not None)
    if kind in ("PNG", "TIFF"):
        file = _read_image(path, data, kind, by_colour=format == "panoptic")
        return file if format is not None or file.count == 1 else replace(file, read=_wide(file))
    check_text(path, data, EXPECTED + LOSSY.get(kind, ""))
    hint = " (--geometry box compares boxes)"
    raise FileError(path, kind_described(kind), EXPECTED + hint)


def one_object(label: int) -> str:
    """What is said of images with one object each, of a label that binary masks have."""
    return (
        f"each image has one object, of the label {label}: a binary mask is no label image, in "
        "which each object has a number of its own (such as scipy.ndimage.label gives the parts "
        "of a mask)"
    )


def below_zero(label: int) -> str:
    """What is said of labels below 0, with which many mark what is to be ignored."""
    return f"label {label}, and what else is below 0, is an object: 0 alone is none"


def _read_folder(path: Path, format_: str | None) -> LabelFile:
    found: dict[str, Path] = {}
    ignored = 0
    for entry in sorted(path.iterdir()):
        plain = entry.with_suffix("") if entry.suffix.lower() == ".gz" else entry
        if plain.suffix.lower() not in LABEL_ENDINGS or entry.is_dir():
            ignored += 1
            continue
        check_regular(entry)
        if plain.stem in found:
            other = f"a name of its own ({found[plain.stem].name} is there, too)"
            raise FileError(entry, f"another image {plain.stem!r}", other)
        found[plain.stem] = entry
    if not found:
        raise FileError(path, "a folder without label images", " or ".join(LABEL_ENDINGS))
    names = tuple(sorted(found))

    def read(number: int) -> Array:
        image = read_labels(found[names[number]], format=format_)
        if image.count != 1:
            raise FileError(image.path, f"{image.count} frames", "one in each file of a folder")
        return image.read(0)

    kind = "panoptic folder" if format_ == "panoptic" else "folder"
    return LabelFile(path, kind, len(names), read, names, ignored)


def _is_narrow(frames: Array) -> bool:
    """Whether frames are as narrow as the numbers of a pixel, and not of labels beyond colours."""
    count, height, width = frames.shape
    if not width <= MOST_CHANNELS < min(count, height):
        return False
    return width < 3 or bool(frames.min() >= 0 and frames.max() < 256)


def _wide(file: LabelFile) -> Callable[[int], Array]:
    """What reads the frames of a file, and refuses such as could be the rows of an image."""

    def read(number: int) -> Array:
        frame = file.read(number)
        if _is_narrow(np.broadcast_to(frame, (file.count, *frame.shape))):
            found = f"{file.count} frames of shape {frame.shape}: {NARROW}"
            raise FileError(file.path, found, f"--format labels for frames; {OF_COLOURS}")
        return frame

    return read


def _read_array(path: Path, data: bytes, *, told: bool) -> LabelFile:
    array = read_npy(path, data)
    if not told and array.ndim == 3 and array.dtype.kind in "iu" and _is_narrow(array):
        found = f"shape {array.shape}, dtype {array.dtype}: {NARROW}"
        hint = f"--format labels for frames; [..., 0] for one image; {OF_COLOURS}"
        raise FileError(path, found, hint, "array")
    if array.ndim not in (2, 3) or array.dtype.kind not in "biu":
        hint = "; .astype(int) makes them" if array.dtype.kind == "f" else ""
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise FileError(path, found, f"integers of shape (H, W) or (T, H, W){hint}", "array")
    frames = array if array.ndim == 3 else array[np.newaxis]
    return LabelFile(path, "NPY", len(frames), lambda number: frames[number])


# ---- Pillow --------------------------------------------------------------------------------------


#: What Pillow and tifffile raise on a broken image.
BROKEN_IMAGE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, RuntimeError,
    OverflowError, struct.error, zlib.error,
)  # fmt: skip

#: What was found, and what was expected, of an image in negative.
INVERTED = (
    "an image with 0 for white, which is read as the largest number",
    "0 for black, or a palette",
)


@contextmanager
def _image_errors(path: Path, kind: str) -> Iterator[None]:
    """Turn what Pillow says of a broken image into a FileError, and keep its warnings to itself."""
    bomb = import_extra("PIL.Image", "images", f"reading {kind}").DecompressionBombError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except bomb as error:
        expected = "fewer pixels, or the labels as .npy"
        raise FileError(path, f"too large for Pillow ({error})", expected) from None
    except BROKEN_IMAGE as error:
        message = shortened(" ".join(str(error).split()))
        raise FileError(path, f"cannot be read as {kind} ({message})", EXPECTED) from None


def _read_image(path: Path, data: bytes, kind: str, *, by_colour: bool) -> LabelFile:
    pillow = import_extra("PIL.Image", "images", f"reading {kind}")
    with _image_errors(path, kind):
        try:
            image = pillow.open(io.BytesIO(data), formats=[kind])
        except pillow.UnidentifiedImageError:  # it names an object of Python in its message
            image = None
        count = int(getattr(image, "n_frames", 1))
    if image is None and kind == "TIFF":
        return _read_other_tiff(path, data)
    if image is None:
        raise FileError(path, f"cannot be read as {kind} (it is damaged)", EXPECTED)
    if kind == "PNG" and count != 1:
        raise FileError(path, f"an animation of {count} frames", "one image, or a TIFF with pages")

    if by_colour:
        return LabelFile(path, "panoptic PNG", 1, lambda _: _panoptic_labels(path, image, data[24]))

    def read(number: int) -> Array:
        where = None if count == 1 else f"frame {number}"
        with _image_errors(path, kind):
            image.seek(number)
            mode = str(image.mode)
        if mode not in MODES:
            found, expected = _complaint(mode)
            if kind == "TIFF" and mode != "F":
                expected = f"{expected}; {STACKED}"
            raise FileError(path, found, expected, where)
        if kind == "PNG":
            with _image_errors(path, kind):
                return _png_labels(np.asarray(image), mode, data[24])
        with _image_errors(path, kind):
            inverted = image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
            bits = int(np.ravel(image.tag_v2.get(BITS_PER_SAMPLE, 1))[0])
            sign = int(np.ravel(image.tag_v2.get(SAMPLE_FORMAT, UNSIGNED))[0])
        if inverted:
            raise FileError(path, *INVERTED, where)
        if bits not in (1, 8, 16, 32) and mode != "P":
            raise FileError(path, f"pixels of {bits} bits", "8, 16 or 32 bits", where)
        with _image_errors(path, kind):
            return _tiff_labels(np.asarray(image), bits, sign)

    return LabelFile(path, kind, count, read)


def _complaint(mode: str) -> tuple[str, str]:
    """What was found, and what was expected, of an image that is no label image."""
    if mode == "F":
        return "pixels of floating point", "integers"
    return (
        f"an image of colours ({mode})",
        f"a palette or grey, where a pixel is a label; {BY_COLOUR}",
    )


def _panoptic_labels(path: Path, image: Any, bits: int) -> Array:
    """The labels of a PNG whose colours are numbers."""
    with _image_errors(path, "PNG"):
        mode = str(image.mode)
        pixels = np.asarray(image)
    if mode not in ("RGB", "RGBA") or bits != 8:
        found = f"an image of the mode {mode}, {bits} bits"
        raise FileError(path, found, PANOPTIC_EXPECTED)
    if mode == "RGBA" and (pixels[..., 3] != 255).any():
        raise FileError(path, "colours that are transparent", PANOPTIC_EXPECTED)
    labels: Array = labels_from_colors(np.ascontiguousarray(pixels[..., :3]))
    return labels


def _png_labels(pixels: Array, mode: str, bits: int) -> Array:
    if mode == "1":
        return pixels.astype(np.uint8)
    if mode == "L" and bits in (2, 4):
        # Pillow spreads these greys over 0 to 255.
        pixels = pixels // np.uint8(255 // (2**bits - 1))
    return pixels


def _tiff_labels(pixels: Array, bits: int, sign: int) -> Array:
    if bits == 1:
        return pixels.astype(np.uint8)
    # Pillow has only one type of each of these sizes.
    if bits == 8 and sign == SIGNED:
        return pixels.view(np.int8)
    if bits == 32 and sign == UNSIGNED:
        return pixels.view(np.uint32)
    return pixels


def _read_other_tiff(path: Path, data: bytes) -> LabelFile:
    """A TIFF that Pillow does not know, such as one of 64 bits, by tifffile if it is there."""
    try:
        library = importlib.import_module("tifffile")
    except ImportError:
        bits = _bits_of_tiff(data)
        found = "cannot be read as TIFF (it is damaged, or of a sort that Pillow does not read)"
        if bits:
            found = f"a TIFF image with pixels of {bits} bits, which Pillow does not read"
        expected = "8, 16 or 32 bits, or tifffile (pip install tifffile), or the labels as .npy"
        raise FileError(path, found, expected) from None
    # What it logs of a broken file is not printed where nobody listens: the error tells it.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    with _image_errors(path, "TIFF"):
        pages = library.TiffFile(io.BytesIO(data)).pages
        count = len(pages)
    if count == 0:
        raise FileError(path, "cannot be read as TIFF (it is damaged)", EXPECTED)

    def read(number: int) -> Array:
        where = None if count == 1 else f"frame {number}"
        with _image_errors(path, "TIFF"):
            pixels: Array = pages[number].asarray()
            meaning = int(pages[number].photometric)
            inverted = meaning == WHITE_IS_ZERO
        if pixels.ndim != 2 or pixels.dtype.kind not in "biu":
            found = f"pixels of shape {pixels.shape}, dtype {pixels.dtype}"
            expected = "integers of shape (H, W)"
            if meaning == COLOURS:
                found, expected = f"{found}, as colours", f"{expected}; {STACKED}"
            raise FileError(path, found, expected, where)
        if inverted:
            raise FileError(path, *INVERTED, where)
        return pixels

    return LabelFile(path, "TIFF", count, read)


def _bits_of_tiff(data: bytes) -> int:
    """How many bits a pixel of the first page has, 0 if it cannot be told."""
    plugin = importlib.import_module("PIL.TiffImagePlugin")
    stream = io.BytesIO(data)
    try:
        start = stream.read(16 if data[2:4] in (b"+\0", b"\0+") else 8)
        directory = plugin.ImageFileDirectory_v2(start)
        stream.seek(directory.next)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            directory.load(stream)
        return int(np.ravel(directory.get(BITS_PER_SAMPLE, 0))[0])
    except BROKEN_IMAGE:
        return 0


# ---- frames of two files -------------------------------------------------------------------------


class SharedFrames(NamedTuple):
    """Which frames of two files are compared."""

    #: Number of the frame in the first file, and in the second.
    numbers: list[tuple[int, int]]
    #: Names of images that only one of two folders has.
    only_a: list[str]
    only_b: list[str]


def shared_frames(a: LabelFile, b: LabelFile) -> SharedFrames:
    """Find the frames that two files have in common: by name in folders, else by number.

    Parameters
    ----------
    a, b
        The files.

    Returns
    -------
    SharedFrames

    Raises
    ------
    FileError
        A folder against a file, different numbers of frames, or folders without a common name.
    """
    if bool(a.names) != bool(b.names):
        kinds = ["a folder" if file.names else "a file" for file in (b, a)]
        raise FileError(b.path, kinds[0], f"{kinds[1]}, as {a.path} is")
    if not a.names:
        if a.count != b.count:
            raise FileError(b.path, f"{b.count} frames", f"{a.count}, as {a.path} has")
        return SharedFrames([(number, number) for number in range(a.count)], [], [])
    places = {name: number for number, name in enumerate(b.names)}
    numbers = [(number, places[name]) for number, name in enumerate(a.names) if name in places]
    if not numbers:
        found = f"no image is named as one in {a.path}, as {b.names[0]!r}"
        raise FileError(b.path, found, f"names such as {a.names[0]!r}")
    only_a = [name for name in a.names if name not in places]
    return SharedFrames(numbers, only_a, sorted(set(b.names) - set(a.names)))


def read_frames(a: LabelFile, b: LabelFile, number_a: int, number_b: int) -> tuple[Array, Array]:
    """A frame of each of two files, which must have the same size."""
    one, other = a.read(number_a), b.read(number_b)
    if one.shape != other.shape:
        where = None if b.count == 1 else f"frame {number_b}"
        where = b.names[number_b] if b.names else where
        found, expected = (" × ".join(map(str, image.shape)) + " pixels" for image in (other, one))
        raise FileError(b.path, found, f"{expected}, as {a.path} has", where)
    return one, other
