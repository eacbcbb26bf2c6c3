"""The files that the command `fastiou` reads: which of the formats a file has.

What a file is shows in its content, never in its name: gzip by its first bytes, then .npy, .npz,
PNG, TIFF, JSON or text, and text by its first line.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.formats import content as files
from fastiou.formats.coco import MaskFile, read_coco_boxes, read_coco_masks
from fastiou.formats.content import (
    EXACT,
    BoxFile,
    FileError,
    Floats,
    Integers,
    are_exact_integers,
    numpy_errors,
    shortened,
)
from fastiou.formats.tables import read_table

__all__ = [
    "EXPECTED",
    "FORMATS",
    "GEOMETRIES",
    "LAYOUTS",
    "BoxFile",
    "FileError",
    "Grouping",
    "MaskFile",
    "common_groups",
    "looks_like_labels",
    "read_boxes",
    "read_masks",
]

#: What files hold, and the formats that hold it.
GEOMETRIES = {
    "box": ("npy", "npz", "csv", "mot", "coco"),
    "mask": ("coco",),
    "labels": ("labels",),
}

#: What should be there where there is a folder.
EXPECTED = {"box": "a file with boxes", "mask": "a COCO file with masks"}

#: All formats.
FORMATS = (*GEOMETRIES["box"], *GEOMETRIES["labels"])

#: Orders of the four numbers of a box.
LAYOUTS = ("xyxy", "xywh", "cxcywh")


def looks_like_labels(data: bytes) -> bool:
    """Whether a file holds label images rather than boxes, by its content.

    Parameters
    ----------
    data
        The content.

    Returns
    -------
    bool
        True for PNG and TIFF, and for integers in .npy unless they have the shape (N, 4) of boxes.
    """
    kind = files.kind_of(data)
    header = files.npy_header(data) if kind == "NPY" else None
    if header is None:
        return kind in ("PNG", "TIFF")
    shape, dtype = header
    return dtype.kind in "biu" and (len(shape) == 3 or (len(shape) == 2 and shape[1] != 4))


# ---- boxes and masks ---------------------------------------------------------------------------


def read_boxes(
    path: str | Path,
    data: bytes | None = None,
    *,
    format: str | None = None,  # noqa: A002
    fmt: str = "xyxy",
    grouped: bool = True,
    scored: bool = False,
    crowded: bool = False,
) -> BoxFile:
    """Read a file with boxes.

    Parameters
    ----------
    path
        The file, compressed by gzip or not.
    data
        Its content, if that was read already, by `fastiou.files.content`.
    format
        One of `GEOMETRIES["box"]`; told by content if not given.
    fmt
        Layout of the boxes where the file does not tell: in .npy, in .npz without `fmt`, and in
        text without a header.
    grouped, scored
        Whether to read the grouping keys, and the scores, too.
    crowded
        Whether to read which boxes are crowds, too, if the format can tell.

    Returns
    -------
    BoxFile

    Raises
    ------
    FileError
        The file is missing, broken or of another format, or has no scores though they are to be
        read.
    """
    path = Path(path)
    data = files.content(path, EXPECTED["box"]) if data is None else data
    kind = files.kind_of(data)
    if format == "npy" or (format is None and kind == "NPY"):
        array = files.read_npy(path, data)
        boxes, scores = _boxes_and_scores(path, array) if scored else (array, None)
        return BoxFile(path, "npy", fmt, _box_array(path, "array", boxes), scores=scores)
    if format == "npz" or (format is None and kind == "NPZ"):
        return _read_npz(path, data, fmt, grouped, scored)
    if kind in ("PNG", "TIFF"):
        raise FileError(
            path, f"a {kind} image", "boxes (fastiou match --geometry labels compares label images)"
        )
    files.check_text(path, data, "text, .npy or .npz")
    if format == "coco" or (format is None and kind == "JSON"):
        return read_coco_boxes(path, data, grouped, scored, crowded)
    return read_table(path, data, format, fmt, grouped, scored)


def read_masks(
    path: str | Path,
    data: bytes | None = None,
    *,
    grouped: bool = True,
    scored: bool = False,
    crowded: bool = False,
) -> MaskFile:
    """Read a COCO file with masks.

    Parameters
    ----------
    path
        The file, compressed by gzip or not.
    data
        Its content, if that was read already, by `fastiou.files.content`.
    grouped, scored, crowded
        Whether to read the categories, the scores, and which masks are crowds, too.

    Returns
    -------
    MaskFile

    Raises
    ------
    FileError
        The file is missing, broken or of another format, or has no scores though they are to be
        read.
    """
    path = Path(path)
    data = files.content(path, EXPECTED["mask"]) if data is None else data
    kind = files.kind_of(data)
    if kind not in ("JSON", "text"):
        hint = " (fastiou match --geometry labels compares label images)" if kind != "NPZ" else ""
        raise FileError(path, f"a file of the kind {kind}", f"COCO JSON with masks{hint}")
    files.check_text(path, data, "COCO JSON with masks")
    return read_coco_masks(path, data, grouped, scored, crowded)


# ---- NumPy files -------------------------------------------------------------------------------


def _read_npz(path: Path, data: bytes, fmt: str, grouped: bool, scored: bool) -> BoxFile:
    wanted = ("boxes", "fmt", *(["groups"] if grouped else []), *(["scores"] if scored else []))
    with numpy_errors(path, ".npz"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        found = {}
        for name in wanted:
            if name in names:
                with archive.open(f"{name}.npy") as member:
                    found[name] = np.lib.format.read_array(member, allow_pickle=False)
    if "boxes" not in found:
        listed = shortened(", ".join(names)) or "no arrays"
        raise FileError(path, f"holds {listed}", 'an array "boxes" of shape (N, 4)')
    boxes = _box_array(path, "boxes", found["boxes"])
    if "fmt" in found:
        fmt = str(found["fmt"])
        if fmt not in LAYOUTS:
            raise FileError(path, f"holds {fmt!r}", f"one of {', '.join(LAYOUTS)}", "fmt")
    keys = {}
    if "groups" in found:
        keys["image"] = _group_array(path, found["groups"], len(boxes))
    scores = None
    if scored:
        if "scores" not in found:
            listed = shortened(", ".join(names))
            raise FileError(path, f"holds {listed}", f'an array "scores" of shape ({len(boxes)},)')
        scores = _score_array(path, "scores", found["scores"], len(boxes))
    return BoxFile(path, "npz", fmt, boxes, keys, scores)


def _boxes_and_scores(
    path: Path, array: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """The boxes and the scores in the five columns of a .npy file."""
    if array.ndim != 2 or array.shape[1] != 5 or array.dtype.kind not in "iuf":
        found = f"shape {array.shape}, dtype {array.dtype}"
        expected = "numbers of shape (N, 5): boxes, and a score each"
        raise FileError(path, found, expected, "array")
    return array[:, :4], _score_array(path, "array", array[:, 4], len(array))


def _score_array(path: Path, name: str, array: npt.NDArray[Any], count: int) -> Floats:
    if array.shape != (count,) or array.dtype.kind not in "biuf":
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise FileError(path, found, f"numbers of shape ({count},)", name)
    scores = np.ascontiguousarray(array, np.float64)
    unfit = ~np.isfinite(scores)
    if unfit.any():
        row = int(unfit.argmax())
        raise FileError(path, f"score {array[row]}", "a finite number", f"{name}[{row}]")
    return scores


def _box_array(path: Path, name: str, array: npt.NDArray[Any]) -> Floats:
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "iuf":
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise FileError(path, found, "numbers of shape (N, 4)", name)
    boxes = np.ascontiguousarray(array, np.float64)
    unfit = np.isinf(boxes)
    expected = "finite numbers or NaN"
    if array.dtype.kind in "iu":
        unfit = (array > EXACT) | (array < -EXACT) if array.dtype.itemsize == 8 else unfit
        expected = "integers up to 2**53, which float64 holds exactly"
    if unfit.any():
        row, column = np.argwhere(unfit)[0]
        raise FileError(path, f"{array[row, column]}", expected, f"{name}[{row}]")
    return boxes


def _group_array(path: Path, array: npt.NDArray[Any], count: int) -> Integers:
    if array.shape != (count,) or array.dtype.kind not in "biuf":
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise FileError(path, found, f"integers of shape ({count},)", "groups")
    unfit = np.zeros(count, bool)
    if array.dtype.kind == "f":
        unfit = ~are_exact_integers(array)
    elif array.dtype == np.uint64:
        unfit = array >= 2**63
    if unfit.any():
        row = int(unfit.argmax())
        raise FileError(path, f"{array[row]}", "a whole number of 64 bits", f"groups[{row}]")
    return array.astype(np.int64)


# ---- groups ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which boxes or masks of two files, or of one, may meet: those with equal codes.

    Attributes
    ----------
    keys : tuple of str
        The grouping keys that both files have.
    codes_a, codes_b : array of int64
        For each of them in either file, the number of its group; of one file, none in `codes_b`.
    count : int
        Number of groups in both files together.
    """

    keys: tuple[str, ...]
    codes_a: Integers
    codes_b: Integers
    count: int

    def described(self) -> str:
        """How many groups, by what."""
        return f"{self.count:,} by {' and '.join(self.keys)}"

    @property
    def partners(self) -> Integers:
        """For each of the first file, how many of the second are in its group."""
        partners: Integers = np.bincount(self.codes_b, minlength=self.count)[self.codes_a]
        return partners


def common_groups(a: BoxFile | MaskFile, b: BoxFile | MaskFile | None = None) -> Grouping | None:
    """Group the boxes or masks of two files by all keys that both have.

    Parameters
    ----------
    a, b
        The files; without `b`, one is grouped by all its keys.

    Returns
    -------
    Grouping or None
        None if they have no key in common.
    """
    both = (a,) if b is None else (a, b)
    common = tuple(key for key in a.keys if all(key in file.keys for file in both))
    if not common:
        return None
    codes = np.zeros(sum(map(len, both)), np.int64)
    count = 1
    for key in common:
        distinct, inverse = np.unique(
            np.concatenate([file.keys[key] for file in both]), return_inverse=True
        )
        # Numbered afresh after each key, so that the product never overflows.
        combined, codes = np.unique(codes * len(distinct) + inverse, return_inverse=True)
        count = len(combined)
    return Grouping(common, codes[: len(a)], codes[len(a) :], count)
