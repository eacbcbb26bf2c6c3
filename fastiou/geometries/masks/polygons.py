"""COCO's polygons as run lengths; here what is malformed is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.arrays.inputs import plain_array
from fastiou.geometries.masks.polygon_kernels import FILL, MEASURE
from fastiou.geometries.masks.run_lengths import RunLengths, image_size
from fastiou.runtime import memory, steps, threads
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = ["MAX_COORDINATE", "MAX_CROSSINGS", "rasterise", "rasterise_corners", "rings_of_each"]


#: Largest absolute coordinate: no image is larger, and five times as much is far from overflow.
MAX_COORDINATE = 2**31

#: Most crossings of one ring with the columns of the image: 128 MiB and about a second. The outline
#: of an object crosses a column of it twice or a few times more.
MAX_CROSSINGS = 2**24

# Time in scores of boxes, in which `threads.run` reckons: 0.35 ns each. A corner takes 6.6 ns, a
# crossing 14.5 ns, on real polygons.
SCORES_PER_CORNER = 20
SCORES_PER_CROSSING = 40


def rasterise(
    name: str, polygons: Any, size: tuple[int, int]
) -> tuple[RunLengths, npt.NDArray[np.int64]]:
    """Turn polygons into run lengths, pixel for pixel those of COCO.

    Time and memory are proportional to the corners and to the columns of the image that edges
    cross, not to the pixels.

    Parameters
    ----------
    name
        What messages call the argument.
    polygons : sequence
        For each mask its rings, as COCO's `segmentation`: a list, in which each ring is a flat list
        [x1, y1, x2, y2, ...], a list of points [[x1, y1], ...], an array or tensor (k, 2), or a
        contour (k, 1, 2) of OpenCV, of at least three points. A mask of one ring may also be its
        points themselves.
    size
        (height, width)

    Returns
    -------
    tuple
        Run lengths of each single ring, and `first`, of shape (n + 1,): mask k is the union of the
        rings from `first[k]` to `first[k + 1]`.

    Raises
    ------
    TypeError, ValueError
        Naming the first mask and ring that is malformed and why.
    MemoryError
        The outlines would not fit in memory.
    """
    size = image_size("size", size)
    rings, first = rings_of_each(name, polygons)
    lengths = np.fromiter((len(ring) for ring in rings), np.int64, len(rings))
    cuts = np.zeros(len(rings) + 1, np.int64)
    np.cumsum(lengths, out=cuts[1:])
    corners = np.concatenate([np.empty((0, 2)), *rings])
    sizes = np.empty((len(rings), 2), np.int64)
    sizes[:] = size

    def where(ring: int) -> str:
        mask = int(np.searchsorted(first, ring, side="right")) - 1
        return f"{name}[{mask}][{ring - first[mask]}]"

    return rasterise_corners(where, corners, cuts, sizes, size), first


def rasterise_corners(
    where: Callable[[int], str], corners: Array, cuts: Array, sizes: Array, size: tuple[int, int]
) -> RunLengths:
    """Turn rings into run lengths, as `rasterise`.

    Parameters
    ----------
    where
        What messages call a ring, by its number.
    corners : array of float64, shape (K, 2)
        The points of all rings in a row.
    cuts : array of int64, shape (n + 1,)
        Where those of each ring lie; there are three or more.
    sizes : array of int64, shape (n, 2)
        Height and width of the image of each.
    size
        The largest height and width.

    Raises
    ------
    ValueError
        A coordinate is not finite or too large, or edges cross too many columns of the image.
    MemoryError
        The outlines would not fit in memory.
    """
    count = len(cuts) - 1
    heights, widths = np.ascontiguousarray(sizes.T)
    within = np.abs(corners) <= MAX_COORDINATE  # a NaN is not
    if not within.all():
        corner = int(np.argmin(within.all(axis=1)))
        ring = int(np.searchsorted(cuts, corner, side="right")) - 1
        raise ValueError(
            f"{where(ring)}: coordinates must be finite and at most "
            f"{MAX_COORDINATE:,} in absolute value, got the point {tuple(corners[corner].tolist())}"
        )

    extents = np.empty((count, 3), np.int64)
    for begin, end, work in steps.spans(cuts, SCORES_PER_CORNER):
        own = cuts[begin : end + 1]
        threads.run(MEASURE, work, corners, own, widths[begin:end], extents[begin:end])
    if count and extents[:, 0].max() > MAX_CROSSINGS:
        ring = int(np.argmax(extents[:, 0] > MAX_CROSSINGS))
        raise ValueError(
            f"{where(ring)}: its edges cross columns of the image "
            f"{extents[ring, 0]:,} times, but at most {MAX_CROSSINGS:,} are accepted"
        )
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(extents[:, 0] + 1, out=starts[1:])
    column_starts = np.zeros(count + 1, np.int64)
    np.cumsum(extents[:, 2], out=column_starts[1:])
    what, instead = f"the outline of {count:,} polygons", "pass fewer at a time"
    int64 = np.dtype(np.int64)
    runs = memory.allocate(
        (int(starts[-1]),), int64, what, instead, besides=8 * int(column_starts[-1])
    )
    columns = memory.allocate((int(column_starts[-1]),), int64, what, instead)
    before = SCORES_PER_CORNER * cuts + SCORES_PER_CROSSING * starts
    offsets = np.zeros(count + 1, np.int64)
    for begin, end, work in steps.spans(before):
        threads.run(
            FILL, work, corners, cuts[begin : end + 1], heights[begin:end], widths[begin:end],
            extents[begin:end], starts[begin : end + 1], column_starts[begin : end + 1], columns,
            runs,
        )  # fmt: skip
        # Where crossings fell together there are fewer runs than was made room for.
        own = runs[starts[begin] : starts[end]]
        used = own >= 0
        numbers = np.add.reduceat(used, starts[begin:end] - starts[begin], dtype=np.int64)
        offsets[begin + 1 : end + 1] = offsets[begin] + np.cumsum(numbers)
        runs[offsets[begin] : offsets[end]] = own[used]
    return RunLengths(size, runs[: offsets[-1]], offsets, heights)


def _shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of an array or tensor; None for anything else."""
    shape = getattr(value, "shape", None)
    return tuple(shape) if isinstance(shape, tuple) and hasattr(value, "__getitem__") else None


def _is_sequence(value: Any) -> bool:
    shape = _shape_of(value)
    if shape is not None:
        return shape != ()
    return isinstance(value, Sequence) and not isinstance(
        value, str | bytes | bytearray | memoryview
    )


def _is_point(value: Any) -> bool:
    """Whether a value is [x, y], or [[x, y]] as OpenCV has it."""
    shape = _shape_of(value)
    if shape is not None:
        return shape in ((2,), (1, 2))
    if not isinstance(value, list | tuple):
        return False
    if len(value) == 1 and isinstance(value[0], list | tuple):
        value = value[0]
    return len(value) == 2 and all(isinstance(number, int | float | np.number) for number in value)


def _is_ring_of_points(mask: Any) -> bool:
    """Whether a mask is one ring of points, which as rings would have one point each: none has."""
    shape = _shape_of(mask)
    if shape is not None:
        return shape[1:] in ((2,), (1, 2))
    return all(map(_is_point, mask))


def rings_of_each(name: str, polygons: Any) -> tuple[list[Array], npt.NDArray[np.int64]]:
    """The rings of all masks as arrays (k, 2), and which are the first of each mask."""
    if not _is_sequence(polygons):
        raise TypeError(
            f"{name} must be a list with the list of rings of each mask, got {described(polygons)}"
        )
    rings: list[Array] = []
    first = np.zeros(len(polygons) + 1, np.int64)
    for i, mask in enumerate(polygons):
        where = f"{name}[{i}]"
        if isinstance(mask, Mapping):
            raise TypeError(f"{where} must be a list of rings, got run lengths or another dict")
        if not _is_sequence(mask):
            raise TypeError(
                f"{where} must be a list of rings, got {described(mask)}; one mask is passed as "
                f"[{name}]"
            )
        if len(mask) == 0:
            raise ValueError(f"{where} must have at least one ring, got none")
        if _is_ring_of_points(mask):
            rings.append(_ring(f"{where}[0]", mask))
        else:
            rings.extend(_ring(f"{where}[{j}]", ring) for j, ring in enumerate(mask))
        first[i + 1] = len(rings)
    return rings, first


def _ring(where: str, value: Any) -> Array:
    """One ring as an array (k, 2) of float64."""
    array = plain_array(where, value)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{where} must be a ring, [x1, y1, x2, y2, ...] or an array (k, 2) of real numbers, "
            f"got {described(value)}"
        )
    if array.ndim == 3 and array.shape[1:] == (1, 2):  # a contour of OpenCV
        array = array[:, 0]
    if array.ndim == 1 and array.size % 2 == 1:
        raise ValueError(f"{where} must have a y for each x, got {array.size} numbers")
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 2):
        hint = f"; a flat list of numbers must be a list of rings itself: [{where[:-3]}]"
        raise ValueError(
            f"{where} must be a ring, [x1, y1, x2, y2, ...] or an array (k, 2), got the shape "
            f"{array.shape}{hint if array.ndim == 0 else ''}"
        )
    if array.size < 6:
        hint = "; COCO takes 4 for a box, which is no polygon" if array.size == 4 else ""
        raise ValueError(
            f"{where} must have at least 3 points, that is 6 numbers, got {array.size}{hint}"
        )
    return array.astype(np.float64, copy=False).reshape(-1, 2)
