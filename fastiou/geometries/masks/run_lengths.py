"""COCO's run lengths of masks, read and written; here what is malformed is refused."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastiou.arrays.inputs import plain_array
from fastiou.geometries.masks import run_length_kernels as codec
from fastiou.runtime import steps, threads
from fastiou.runtime.words import described, described_dtype
from fastiou.typing import Array

__all__ = [
    "MAX_PIXELS",
    "MAX_SIDE",
    "Entries",
    "RunLengths",
    "decode",
    "decoded",
    "image_size",
    "read_entries",
    "read_run_lengths",
    "write_run_lengths",
]


#: Largest image: 70,000 × 70,000 pixels fit, 100,000 × 100,000 do not. What is accepted so far is
#: measured in bits or bytes a pixel later on.
MAX_PIXELS = 2**33

#: Largest height and width.
MAX_SIDE = 2**31 - 1

# Time in scores of boxes, in which `threads.run` reckons: 0.35 ns each. Reading a character takes
# 2.2 ns, writing a count 2.5 ns.
SCORES_PER_CHARACTER = 6
SCORES_PER_COUNT = 7


#: Characters that Python joins in one call, which takes 0.02 s.
JOINED_AT_A_TIME = 1 << 26


class RunLengths(NamedTuple):
    """Run lengths of masks, column by column as COCO: zeros, ones, zeros, ..."""

    #: (height, width), that of the largest if there are several.
    size: tuple[int, int]
    #: (total,): all runs, one mask after another; each is >= 0, and each mask sums to its pixels.
    counts: npt.NDArray[np.int64]
    #: (n + 1,): where each mask's runs begin.
    offsets: npt.NDArray[np.int64]
    #: (n,): the height of the image of each; None if all have that size.
    heights: npt.NDArray[np.int64] | None = None

    @property
    def heights_of_each(self) -> npt.NDArray[np.int64]:
        """The height of the image of each."""
        if self.heights is None:
            return np.full(len(self.offsets) - 1, self.size[0], np.int64)
        return self.heights


# ---- sizes -------------------------------------------------------------------------------------


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def image_size(name: str, value: Any) -> tuple[int, int]:
    """An argument that is the size of an image, as (height, width).

    Raises
    ------
    TypeError, ValueError
        Not two integers from 0 on; a float is none, not even a whole one. Or more pixels than
        `MAX_PIXELS`.
    """
    sides = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(sides, list | tuple) or not all(map(_is_integer, sides)):
        raise TypeError(f"{name} must be (height, width), two integers, got {described(value)}")
    if len(sides) != 2:
        raise ValueError(f"{name} must be (height, width), two integers, got {described(value)}")
    height, width = map(int, sides)
    if height < 0 or width < 0:
        raise ValueError(f"{name} must be (height, width), both >= 0, got {described(value)}")
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise ValueError(
            f"{name} must have sides of at most {MAX_SIDE:,} and at most {MAX_PIXELS:,} pixels, "
            f"got {described((height, width))}"
        )
    return height, width


# ---- reading -----------------------------------------------------------------------------------


class Entries(NamedTuple):
    """Masks in COCO's format whose strings are not read yet."""

    #: (height, width).
    size: tuple[int, int]
    #: uint8: those of all masks in a row, and (n + 1,) int64: where those of each lie.
    characters: Array
    cuts: Array
    #: Counts of masks that are no strings, by their numbers.
    lists: Mapping[int, Array]


def read_run_lengths(name: str, entries: Any, size: tuple[int, int] | None = None) -> RunLengths:
    """The run lengths of masks in COCO's format; arguments and errors as `read_entries`."""
    return decoded(name, read_entries(name, entries, size))


def read_entries(name: str, entries: Any, size: tuple[int, int] | None = None) -> Entries:
    """Read masks in COCO's format, of which strings are not looked into.

    Parameters
    ----------
    name
        What messages call the argument.
    entries : sequence of dict
        Masks of one size: `{"size": [height, width], "counts": ...}`, where the counts are COCO's
        compressed string, as bytes or str, or the integers themselves. Both may occur in one call.
    size
        (height, width) that all must have; without it, that of the first, and (0, 0) if there is
        none.

    Raises
    ------
    TypeError, ValueError
        Naming the first entry that is malformed and why: nothing is allocated for the pixels that
        it claims.
    """
    expected = None if size is None else image_size("size", size)
    masks = _entries(name, entries)
    given = _one_size(name, [mask["size"] for mask in masks], expected)
    values = [mask["counts"] for mask in masks]

    kinds = set(map(type, values))
    lists: dict[int, Array] = {}
    is_text = kinds == {str} and all(map(str.isascii, values))
    if not is_text and not kinds <= {bytes}:
        values, lists = _mixed(name, values, given)
    cuts = _offsets(map(len, values), len(masks))
    return Entries(given, _joined(values, cuts, is_text=is_text), cuts, lists)


def decoded(name: str, given: Entries) -> RunLengths:
    """The run lengths of masks; a ValueError names the first whose string is malformed."""
    every = np.full(len(given.cuts) - 1, given.size[0] * given.size[1], np.int64)
    counts, offsets, findings = decode(given.characters, given.cuts, every, given.lists)
    if findings[:, 0].any():
        i = int(np.argmax(findings[:, 0] != codec.VALID))
        raise ValueError(f"{name}[{i}]: {_reason(findings[i].tolist(), given.size)}")
    return RunLengths(given.size, counts, offsets)


def decode(
    characters: Array, cuts: Array, pixels: Array, lists: Mapping[int, Array] | None = None
) -> tuple[Array, Array, Array]:
    """Read compressed strings.

    Parameters
    ----------
    characters : array of uint8
        Those of all masks in a row.
    cuts : array of int64, shape (n + 1,)
        Where those of each mask lie.
    pixels : array of int64, shape (n,)
        Pixels of the image of each.
    lists
        Counts of masks that were no strings, by their numbers.

    Returns
    -------
    tuple
        Counts and offsets as in `RunLengths`, and what was found in each mask, (n, 3), as `DECODE`
        has it.
    """
    count = len(cuts) - 1
    lists = lists or {}
    lengths = np.zeros(count, np.int64)
    findings = np.zeros((count, 3), np.int64)
    counts = np.empty(0, np.int64)
    offsets = lengths
    for counting in (True, False):
        for first, last, work in steps.spans(cuts, SCORES_PER_CHARACTER):
            threads.run(
                codec.DECODE, work, characters, cuts[first : last + 1], pixels[first:last],
                counting, lengths[first:last], counts, offsets[first:last], findings[first:last],
            )  # fmt: skip
        if counting:
            for i, integers in lists.items():
                lengths[i] = len(integers)
            offsets = _offsets(lengths, count)
            counts = np.empty(int(offsets[-1]), np.int64)
    for i, integers in lists.items():
        counts[offsets[i] : offsets[i + 1]] = integers
        findings[i] = 0  # it was checked when it was read
    return counts, offsets, findings


def _joined(parts: list[Any], cuts: Array, *, is_text: bool) -> Array:
    """The characters of strings or bytes in a row, which lie between `cuts`."""

    def join(some: list[Any]) -> Array:
        return np.frombuffer("".join(some).encode("ascii") if is_text else b"".join(some), np.uint8)

    if cuts[-1] <= JOINED_AT_A_TIME:
        return join(parts)
    characters = np.empty(int(cuts[-1]), np.uint8)
    last = 0
    while last < len(parts):
        first = last
        last = int(np.searchsorted(cuts, cuts[first] + JOINED_AT_A_TIME, side="right")) - 1
        last = max(first + 1, last)
        characters[cuts[first] : cuts[last]] = join(parts[first:last])
    return characters


def _offsets(sizes: Any, count: int) -> npt.NDArray[np.int64]:
    """Where each of so many parts begins, and the last one ends."""
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.fromiter(sizes, np.int64, count), out=offsets[1:])
    return offsets


def _entries(name: str, entries: Any) -> list[Mapping[str, Any]]:
    """The argument as a list of dicts that have a size and counts."""
    if isinstance(entries, Mapping):
        raise TypeError(f"{name} must be a list of dicts, got one dict: pass [{name}]")
    if isinstance(entries, str | bytes | bytearray | memoryview) or not isinstance(
        entries, Sequence | np.ndarray
    ):
        raise TypeError(
            f"{name} must be a list of dicts with 'size' and 'counts', got {described(entries)}"
        )
    masks = entries.tolist() if isinstance(entries, np.ndarray) else list(entries)
    if not isinstance(masks, list):  # an array without dimensions
        raise TypeError(f"{name} must be a list of dicts, got an array of shape ()")
    plain = set(map(type, masks)) <= {dict}
    if not plain or not all("size" in mask and "counts" in mask for mask in masks):
        for i, mask in enumerate(masks):
            if not isinstance(mask, Mapping):
                raise TypeError(
                    f"{name}[{i}] must be a dict with 'size' and 'counts', got {described(mask)}"
                )
            for key in ("size", "counts"):
                if key not in mask:
                    hint = ""
                    if "segmentation" in mask:  # an annotation of COCO, or what SAM finds
                        hint = "; where 'segmentation' holds the mask, pass a list of these"
                    elif "boxes" in mask:  # what detectors of torchvision return
                        hint = "; boxes of images are joined, and groups= keeps them apart"
                    elif "counts" not in mask:  # a box, say
                        hint = "; BoxTable.from_frame takes boxes by the names of their columns"
                    raise ValueError(
                        f"{name}[{i}] must be a dict with 'size' and 'counts', got one without "
                        f"{key!r}{hint}"
                    )
    return masks


def _one_size(name: str, sizes: list[Any], expected: tuple[int, int] | None) -> tuple[int, int]:
    """The size of all entries."""
    if not sizes:
        return expected or (0, 0)
    origin = f"{name}[0] has"
    if expected is None:
        expected = image_size(f"{name}[0]: size", sizes[0])
    else:
        origin = "size is"
    if set(map(type, sizes)) <= {list, tuple} and set(map(len, sizes)) == {2}:
        sides = list(itertools.chain.from_iterable(sizes))
        # With their types, since True and 1.0 equal 1.
        if set(map(type, sides)) == {int}:
            found = set(sides[::2]), set(sides[1::2])
            if found == ({expected[0]}, {expected[1]}):
                return expected
    for i, given in enumerate(sizes):
        own = image_size(f"{name}[{i}]: size", given)
        if own != expected:
            raise ValueError(
                f"{name}[{i}] has the size {own}, but {origin} {expected}: masks of one call "
                "must have one size; read those of each size by themselves, and bring them to one "
                "by Masks.padded before Masks.concatenate"
            )
    return expected


def _mixed(
    name: str, values: list[Any], size: tuple[int, int]
) -> tuple[list[bytes], dict[int, Array]]:
    """Strings as bytes, empty where the counts are integers, and those integers by position."""
    parts = []
    lists = {}
    for i, value in enumerate(values):
        where = f"{name}[{i}]: counts"
        part = b""
        if isinstance(value, bytes | bytearray):
            part = bytes(value)
        elif isinstance(value, memoryview) and value.itemsize == 1:
            part = value.tobytes()
        elif isinstance(value, str):
            if not value.isascii():
                position = next(p for p, letter in enumerate(value) if not letter.isascii())
                raise ValueError(_bad_character(where, position, value[position]))
            part = value.encode("ascii")
        elif isinstance(value, list | tuple | np.ndarray):
            lists[i] = _integers(where, value, size)
        else:
            raise TypeError(
                f"{where} must be a string, bytes, or a list or array of integers, "
                f"got {described(value)}"
            )
        parts.append(part)
    return parts, lists


def _integers(where: str, value: Any, size: tuple[int, int]) -> Array:
    """Counts that came as integers."""
    pixels = size[0] * size[1]
    if isinstance(value, np.ndarray):
        array = plain_array(where, value)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iuO"):
            raise TypeError(
                f"{where} must be integers in one dimension, got an array of shape {array.shape} "
                f"and dtype {described_dtype(array.dtype)}"
            )
        value = array.tolist()  # exact sums of any type, for what is seldom met
    if not set(map(type, value)) <= {int}:
        for i, count in enumerate(value):
            if not _is_integer(count):
                raise TypeError(f"{where} must be integers, got {described(count)} at position {i}")
        value = [int(count) for count in value]
    if value and min(value) < 0:
        i = next(i for i, count in enumerate(value) if count < 0)
        raise ValueError(f"{where} must be >= 0, got {described(value[i])} at position {i}")
    total = sum(value)
    if total != pixels:
        raise ValueError(f"{where} sum to {described(total)}, but {_pixels(size)}")
    return np.array(value, np.int64)


def _pixels(size: tuple[int, int]) -> str:
    return f"size {size} has {size[0] * size[1]} pixels"


def _bad_character(where: str, position: int, character: str) -> str:
    return (
        f"{where} have the character {character!r} at position {position}, but only those from "
        "'0' to 'o' have a meaning"
    )


def _reason(finding: list[int], size: tuple[int, int]) -> str:
    """What the kernel found, in words."""
    status, first, second = finding
    if status == codec.BAD_CHARACTER:
        return _bad_character("counts", first, chr(second))
    if status == codec.TRUNCATED:
        return f"counts end within the number that begins at position {first}"
    if status == codec.TOO_LONG:
        return (
            f"counts have a number of {second} or more characters at position {first}, but "
            f"{codec.LONGEST} hold any count"
        )
    if status == codec.NEGATIVE:
        return f"counts must be >= 0, got {second} as number {first}"
    if status == codec.TOO_MANY:
        return f"the first {first} counts sum to {second}, but {_pixels(size)}"
    return f"counts sum to {second}, but {_pixels(size)}"


# ---- writing -----------------------------------------------------------------------------------


def write_run_lengths(runs: RunLengths) -> list[dict[str, Any]]:
    """Masks in COCO's format, with compressed strings as bytes.

    Where no run but the first is empty, they are the bytes that COCO's own code writes.

    Parameters
    ----------
    runs
        Valid run lengths.

    Returns
    -------
    list of dict
        `{"size": [height, width], "counts": bytes}` for each mask.
    """
    height, width = runs.size
    entries = []
    for first, last, work in steps.spans(runs.offsets, SCORES_PER_COUNT):
        own = runs.offsets[first : last + 1]
        counts, own = runs.counts[own[0] : own[-1]], own - own[0]
        # Pages that no number reaches are never touched.
        text = np.empty(codec.LONGEST * len(counts), np.uint8)
        sizes = np.empty(last - first, np.int64)
        threads.run(codec.ENCODE, work, counts, own, text, sizes)
        begins = codec.LONGEST * own[:-1]
        view = text.data
        entries += [
            {"size": [height, width], "counts": view[begin:end].tobytes()}
            for begin, end in zip(begins.tolist(), (begins + sizes).tolist(), strict=True)
        ]
    return entries
