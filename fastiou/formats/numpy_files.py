"""NumPy's files: arrays in .npy and .npz, and boxes in them."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.arrays.frames import some_values
from fastiou.formats import pieces
from fastiou.formats.content import (
    EXACT,
    SIZES_FOR_CORNERS,
    BoxFile,
    Floats,
    Wanted,
    are_exact_integers,
    are_scores,
    can_be_scores,
    chosen_keys,
    kind_described,
    kind_of,
    looks_like_sizes,
    misread,
)
from fastiou.formats.errors import FileError, shortened
from fastiou.formats.keys import keys_of
from fastiou.tables.column_names import (
    LAYOUT_NAMES,
    SCORE_NAMES,
    key_named,
    likely_images,
    plain_name,
)
from fastiou.tables.columns import ColumnsError, check_doubtful, key_columns
from fastiou.tables.layouts import LAYOUTS
from fastiou.typing import Array

__all__ = ["npy_header", "read_npy", "read_npy_boxes", "read_npz_boxes"]


#: The names that the layout and the scores may have in .npz, the usual first.
FMT_NAMES = ("fmt", "format", "box_format", "bbox_format")
SCORES_NAMES = ("scores", *(name for name in SCORE_NAMES if name != "scores"))

#: The arrays of .npz that are no keys.
OWN_ARRAYS = ("boxes", *FMT_NAMES, *SCORES_NAMES)


@contextmanager
def _numpy_errors(path: Path, kind: str) -> Iterator[None]:
    """Turn what NumPy says of a broken file into a FileError."""
    try:
        yield
    except (FileError, MemoryError):
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        message = shortened(" ".join(str(error).split()))
        raise FileError(path, f"broken {kind} file ({message})", "a complete one") from None
    except Exception as error:
        # NumPy reads headers as Python, and an archive may be compressed in any way that Python
        # knows, each with errors of its own.
        if "allow_pickle" in str(error):
            raise FileError(
                path, "it holds Python objects, which are not read for safety", "numbers"
            ) from None
        message = shortened(" ".join(str(error).split()) or type(error).__name__)
        raise FileError(path, f"cannot be read as {kind} ({message})") from None


def read_npy(path: Path, data: bytes) -> npt.NDArray[Any]:
    """The array of a .npy file: its content itself, which is read-only, and no copy."""
    _check_kind(path, data, "NPY")
    with _numpy_errors(path, ".npy"):
        stream = io.BytesIO(data)
        header = pieces.npy_header(stream)
        shape, columns_first, dtype = header
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
        size, room = pieces.check_claim(path, header), len(data) - stream.tell()
        if size > room:
            raise ValueError(f"its header tells of {size:,} bytes, and {room:,} are there")
        if not size:
            return np.empty(shape, dtype)
        flat = np.frombuffer(data, dtype, math.prod(shape), stream.tell())
        array = flat.reshape(shape[::-1]).T if columns_first else flat.reshape(shape)
        return array if array.flags.aligned else array.copy()


def _check_kind(path: Path, data: bytes, *kinds: str) -> None:
    """Raise a FileError if a file is told to be of another kind than it is."""
    kind = kind_of(data)
    if kind not in kinds:
        raise FileError(path, kind_described(kind), kind_described(kinds[0]))


def npy_header(data: bytes) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and dtype of the array in a .npy file, None if it is broken."""
    try:
        shape, _, dtype = pieces.npy_header(io.BytesIO(data))
    except pieces.BROKEN:
        return None
    return shape, dtype


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """An array of a .npz file."""
    packed = archive.getinfo(f"{name}.npy").compress_size
    with archive.open(f"{name}.npy") as member:
        pieces.check_claim(path, pieces.npy_header(member), name, packed)
    with archive.open(f"{name}.npy") as member:
        array: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


# ---- boxes ---------------------------------------------------------------------------------------


def read_npy_boxes(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from a .npy file, as `fastiou.formats.table.read_boxes`."""
    array, numbers, scores = (
        _joined_points(read_npy(path, data), wanted.fmt),
        LAYOUTS[wanted.fmt],
        None,
    )
    chosen_keys(path, (), wanted.by)
    with_scores = array.ndim == 2 and array.shape[1] == numbers + 1
    others = misread(array, wanted) if with_scores and array.dtype.kind in "iuf" else None
    if others is not None:
        raise FileError(path, *others)
    if with_scores and wanted.scored and not can_be_scores(array[:, -1], wanted):
        expected = "scores in the last column; with --boxes they may be anything"
        raise FileError(path, "the last column holds numbers above 1", expected, "array")
    unasked = with_scores and array.dtype.kind in "iuf" and not wanted.scored
    unused: tuple[str, ...] = ()
    if unasked and can_be_scores(array[:, -1], wanted):
        if wanted.scores_if_there:
            scores = _score_array(path, "array", array[:, -1], len(array))
        else:
            unused = ("the last column (scores)",)
        array = array[:, :-1]
    if wanted.scored:
        if array.ndim != 2 or array.shape[1] != numbers + 1 or array.dtype.kind not in "iuf":
            found = f"shape {array.shape}, dtype {array.dtype}"
            expected = f"numbers of shape (N, {numbers + 1}): boxes, and a score each"
            if array.ndim == 2 and array.shape[1] > numbers + 1:
                expected += f", such as array[:, :{numbers + 1}]"
            raise FileError(path, found, expected, "array")
        array, scores = array[:, :-1], _score_array(path, "array", array[:, -1], len(array))
    boxes = _box_array(path, "array", array, numbers)
    if looks_like_sizes(boxes, wanted):
        raise FileError(path, *SIZES_FOR_CORNERS)
    return BoxFile(
        path=path, format="npy", fmt=wanted.fmt, boxes=boxes, scores=scores, unused=unused
    )


def read_npz_boxes(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read boxes from a .npz file, as `fastiou.formats.table.read_boxes`."""
    _check_kind(path, data, "NPZ", "ZIP", "Office", "PyTorch")
    with _numpy_errors(path, ".npz"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        again = next((name for name in names if names.count(name) > 1), None)
        if again is not None:
            raise FileError(path, "it is there twice", "each array once", again)
        keys_told = _key_names(path, [n for n in names if n not in OWN_ARRAYS], wanted)
        usual = {
            own: next((name for name in known if name in names), own)
            for own, known in (("fmt", FMT_NAMES), ("scores", SCORES_NAMES))
        }
        asked = {"boxes", usual["fmt"], *(name for told in keys_told.values() for name in told)}
        asked |= {usual["scores"]} if wanted.takes_scores else set()
        found = {name: _read_member(path, archive, name) for name in names if name in asked}
        found |= {own: found.pop(name) for own, name in usual.items() if name in found}
        unused = tuple(name for name in names if name not in asked and name not in OWN_ARRAYS)

        def some(name: str) -> list[Any]:
            with suppress(FileError):  # of one that nobody needs
                return some_values(_read_member(path, archive, name))
            return []

        likely = likely_images(unused, keys_told, some)
    listed = shortened(", ".join(names))
    layout = next((name for name in names if plain_name(name) in LAYOUT_NAMES), None)
    if layout is not None and "fmt" not in found and not wanted.told:
        expected = 'an array "fmt", --boxes xyxy, --boxes xywh or --boxes cxcywh'
        raise FileError(path, "it may tell another layout, and is not read", expected, layout)
    fmt = str(found["fmt"]) if "fmt" in found else wanted.fmt
    if fmt not in LAYOUTS:
        raise FileError(path, f"holds {fmt!r}", f"one of {', '.join(LAYOUTS)}", "fmt")
    if "boxes" not in found:
        expected = f'an array "boxes" of shape (N, {LAYOUTS[fmt]}), or .npy for one without a name'
        raise FileError(path, f"holds {listed or 'no arrays'}", expected)
    boxes = _box_array(path, "boxes", _joined_points(found["boxes"], fmt), LAYOUTS[fmt])
    if "fmt" not in found and looks_like_sizes(boxes, wanted):
        raise FileError(path, *SIZES_FOR_CORNERS)
    keys, columns = keys_of(
        path,
        {
            key: {name: _key_array(path, name, found[name], len(boxes)) for name in told}
            for key, told in keys_told.items()
        },
    )
    scores = None
    if wanted.scored and "scores" not in found:
        raise FileError(path, f"holds {listed}", f'an array "scores" of shape ({len(boxes)},)')
    if "scores" in found:
        scores = _score_array(path, "scores", found["scores"], len(boxes))
    return BoxFile(
        path=path, format="npz", fmt=fmt, boxes=boxes, keys=keys, columns=columns, scores=scores,
        unused=unused, likely_images=likely,
    )  # fmt: skip


def _key_names(path: Path, names: list[str], wanted: Wanted) -> dict[str, list[str]]:
    """The arrays that tell each key, by names of columns, one or many: image_ids, labels."""
    single = [
        next((one for one in _singulars(name) if key_named(one) is not None), name)
        for name in names
    ]
    by = wanted.by
    if by is not None:
        by = tuple(single[names.index(name)] if name in names else name for name in by)
    try:
        chosen = key_columns(single, by)
        if wanted.is_open:
            check_doubtful(names, chosen)
    except ColumnsError as error:
        if by is None:
            raise FileError(path, error.found, error.expected) from None
        found = error.found.replace("no column or key", "there is no key")
        known = " or ".join(key_columns(single, None)) or "none"
        raise FileError(path, found, known) from None
    return {key: [names[column] for column in columns] for key, columns in chosen.items()}


def _singulars(name: str) -> tuple[str, ...]:
    return name, name.removesuffix("s"), name.removesuffix("es"), name.removesuffix("ies") + "y"


def _joined_points(array: npt.NDArray[Any], fmt: str) -> npt.NDArray[Any]:
    """Quadrilaterals as eight numbers each, if they are four points each."""
    of_points = fmt == "xyxyxyxy" and array.ndim == 3 and array.shape[1:] == (4, 2)
    return array.reshape(-1, 8) if of_points else array


def _score_array(path: Path, name: str, array: npt.NDArray[Any], count: int) -> Floats:
    if array.shape != (count,) or array.dtype.kind not in "biuf":
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise FileError(path, found, f"numbers of shape ({count},)", name)
    scores = np.ascontiguousarray(array, _kept_type(array))
    unfit = ~np.isfinite(scores)
    if unfit.any():
        row = int(unfit.argmax())
        raise FileError(path, f"score {array[row]}", "a finite number", f"{name}[{row}]")
    return scores


def _box_array(path: Path, name: str, array: npt.NDArray[Any], numbers: int) -> Floats:
    if array.ndim != 2 or array.shape[1] != numbers or array.dtype.kind not in "iuf":
        found = f"shape {array.shape}, dtype {array.dtype}"
        expected = f"numbers of shape (N, {numbers})"
        if array.ndim in (2, 3) and array.dtype.kind == "f" and array.shape[1] > 2 * numbers:
            expected += ", or of label images, integers: .astype(int) makes them"
        elif name == "array" and array.ndim == 2 and array.shape[1] == numbers + 2:
            expected += f", or (N, {numbers + 1}) with scores last: array[:, :{numbers + 1}]"
        elif (
            name == "array" and array.ndim == 2 and array.shape[1] == numbers + 1 == 5
            and array.dtype.kind in "iuf" and are_scores(array[:, -1])
        ):  # fmt: skip
            expected += ", or --boxes xyxy, which takes the last column as scores"
        raise FileError(path, found, expected, name)
    boxes = np.ascontiguousarray(array, _kept_type(array))
    unfit = np.isinf(boxes)
    expected = "finite numbers or NaN"
    if array.dtype.kind in "iu":
        unfit = (array > EXACT) | (array < -EXACT) if array.dtype.itemsize == 8 else unfit
        expected = "integers up to 2**53, which float64 holds exactly"
    if unfit.any():
        row, column = np.argwhere(unfit)[0]
        raise FileError(path, f"{array[row, column]}", expected, f"{name}[{row}]")
    return boxes


def _kept_type(array: npt.NDArray[Any]) -> type[np.floating[Any]]:
    """The type of numbers as they are compared: a threshold is rounded to that of the scores."""
    return np.float32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else np.float64


def _key_array(path: Path, name: str, array: npt.NDArray[Any], count: int) -> Array:
    if array.shape != (count,) or array.dtype.kind not in "biufU":
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise FileError(path, found, f"integers of shape ({count},), or names", name)
    if array.dtype.kind == "U":
        if not all(map(str.strip, array.tolist())):
            row = [bool(cell.strip()) for cell in array.tolist()].index(False)
            raise FileError(path, "an empty name", "one for every box", f"{name}[{row}]")
        return array
    unfit = np.zeros(count, bool)
    if array.dtype.kind == "f":
        unfit = ~are_exact_integers(array)
    elif array.dtype == np.uint64:
        unfit = array >= 2**63
    if unfit.any():
        row = int(unfit.argmax())
        raise FileError(path, f"{array[row]}", "a whole number of 64 bits", f"{name}[{row}]")
    return array.astype(np.int64)
