"""`pycocotools.mask`: ``from fastiou.compat.pycocotools import mask``.

A run length is a dict with "size", [height, width], and "counts", bytes. ``docs/compat.md`` has
what differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import fastiou
from fastiou.geometries.masks.run_lengths import image_size, read_run_lengths, write_run_lengths
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = ["area", "decode", "encode", "frPyObjects", "iou", "merge", "toBbox"]


def encode(bimask: Any) -> Any:
    """Run lengths of a mask (h, w), or a list of those of masks (h, w, n), of any layout.

    What is not 0 is foreground.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.compat.pycocotools import mask
    >>> mask.encode(np.eye(3, dtype=np.uint8))
    {'size': [3, 3], 'counts': b'013000'}
    """
    array = np.asarray(bimask)
    if array.ndim not in (2, 3):
        raise ValueError(f"bimask must have the shape (h, w) or (h, w, n), got {array.shape}")
    if array.ndim == 2:
        return fastiou.Masks.from_dense(array[None]).to_rle()[0]
    return fastiou.Masks.from_dense(np.moveaxis(array, 2, 0)).to_rle()


def decode(rleObjs: Any) -> Array:  # noqa: N803
    """Masks (h, w, n) of a list of run lengths, or the mask (h, w) of one: uint8, Fortran order.

    Examples
    --------
    >>> from fastiou.compat.pycocotools import mask
    >>> mask.decode({"size": [2, 2], "counts": b"13"})
    array([[0, 1],
           [1, 1]], dtype=uint8)
    """
    entries, is_one = _entries("rleObjs", rleObjs)
    dense = fastiou.Masks.from_rle(entries).to_dense().view(np.uint8)
    columns = np.ascontiguousarray(dense.transpose(0, 2, 1)).T
    pixels: Array = columns[:, :, 0] if is_one else columns
    return pixels


def area(rleObjs: Any) -> Any:  # noqa: N803
    """Pixels of run lengths, uint32.

    Examples
    --------
    >>> from fastiou.compat.pycocotools import mask
    >>> mask.area([{"size": [2, 2], "counts": b"13"}])
    array([3], dtype=uint32)
    """
    entries, is_one = _entries("rleObjs", rleObjs)
    areas = np.zeros(len(entries), np.uint32)
    for places, masks in _of_one_size(entries):
        areas[places] = masks.area
    return areas[0] if is_one else areas


def toBbox(rleObjs: Any) -> Array:  # noqa: N802, N803
    """Boxes of run lengths as (left, top, width, height), float64.

    Examples
    --------
    >>> from fastiou.compat.pycocotools import mask
    >>> mask.toBbox({"size": [2, 2], "counts": b"13"})
    array([0., 0., 2., 2.])
    """
    entries, is_one = _entries("rleObjs", rleObjs)
    boxes = np.zeros((len(entries), 4))
    for places, masks in _of_one_size(entries):
        boxes[places, :2] = masks.boxes[:, :2]
        boxes[places, 2:] = masks.boxes[:, 2:] - masks.boxes[:, :2]
    return boxes[0] if is_one else boxes


def iou(dt: Any, gt: Any, pyiscrowd: Any) -> Any:
    """IoU of all run lengths, or boxes as (left, top, width, height), with all: (dt, gt).

    Where the truth is a crowd it is the intersection over the area of the detection. Without
    detections or truth the result is an empty list.

    Examples
    --------
    >>> from fastiou.compat.pycocotools import mask
    >>> mask.iou([[0, 0, 2, 2]], [[1, 0, 2, 2], [0, 0, 4, 4]], [0, 1])
    array([[0.33333333, 1.        ]])
    """
    found, true = (_objects(name, value) for name, value in (("dt", dt), ("gt", gt)))
    crowds = np.array([bool(int(flag)) for flag in pyiscrowd], np.bool_)
    if len(crowds) != len(true):
        raise ValueError(
            f"pyiscrowd must have the length of gt, {len(true)}, got {len(crowds)} numbers"
        )
    if not len(found) or not len(true):
        return []
    if isinstance(found, np.ndarray) != isinstance(true, np.ndarray):
        raise TypeError("dt and gt must both be run lengths, or both be boxes")
    if isinstance(found, np.ndarray):
        return fastiou.box_iou(found, true, "xywh", iscrowd=crowds)
    return fastiou.mask_iou(found, true, iscrowd=crowds)


def merge(rleObjs: Any, intersect: Any = 0) -> dict[str, Any]:  # noqa: N803
    """The union of run lengths, or their intersection.

    Examples
    --------
    >>> from fastiou.compat.pycocotools import mask
    >>> mask.merge([{"size": [1, 4], "counts": b"112"}, {"size": [1, 4], "counts": b"211"}])
    {'size': [1, 4], 'counts': b'121'}
    """
    if not len(rleObjs):
        return {"size": [0, 0], "counts": b""}
    return fastiou.merge_masks(list(rleObjs), intersect=bool(intersect)).to_rle()[0]


def frPyObjects(pyobj: Any, h: int, w: int) -> Any:  # noqa: N802
    """Run lengths of boxes (left, top, width, height), polygons, or uncompressed run lengths.

    A list gives a list, and a dict, a flat polygon or a flat box the run lengths of one.

    Examples
    --------
    >>> from fastiou.compat.pycocotools import mask
    >>> mask.frPyObjects([[1, 0, 3, 0, 3, 2, 1, 2]], 3, 4)
    [{'size': [3, 4], 'counts': b'32103'}]
    """
    if isinstance(pyobj, Mapping):
        return _of_objects([pyobj], h, w)[0]
    if not isinstance(pyobj, np.ndarray | Sequence) or isinstance(pyobj, str | bytes):
        raise TypeError(
            "pyobj must be boxes (n, 4), a list of polygons or run lengths, or one of these, got "
            f"{described(pyobj)}"
        )
    if len(pyobj) and np.ndim(pyobj[0]) == 0 and not isinstance(pyobj[0], Mapping):
        return _of_objects([pyobj], h, w)[0]
    return _of_objects(pyobj, h, w)


def _of_objects(objects: Any, h: int, w: int) -> list[dict[str, Any]]:
    if not len(objects):
        return []
    first = objects[0]
    if isinstance(first, Mapping):
        return [
            write_run_lengths(read_run_lengths(f"pyobj[{place}]", [entry]))[0]
            for place, entry in enumerate(objects)
        ]
    size = image_size("(h, w)", (int(h), int(w)))
    if len(first) == 4:
        return fastiou.boxes_to_masks(objects, size, "xywh").to_rle()
    # The last of an odd number of coordinates does not count, and two points enclose nothing.
    rings = [np.asarray(ring)[: len(ring) // 2 * 2] for ring in objects]
    areas = [place for place, ring in enumerate(rings) if len(ring) >= 6]
    nothing = {"size": list(size), "counts": [size[0] * size[1]]}
    results = len(rings) * fastiou.Masks.from_rle([nothing]).to_rle()
    drawn = fastiou.Masks.from_polygons([[rings[place]] for place in areas], size).to_rle()
    for place, entry in zip(areas, drawn, strict=True):
        results[place] = entry
    return results


def _entries(name: str, value: Any) -> tuple[list[Any], bool]:
    """Run lengths as a list, and whether they came as one."""
    return ([value], True) if isinstance(value, Mapping) else (list(value), False)


def _of_one_size(entries: list[Any]) -> Iterator[tuple[list[int], fastiou.Masks]]:
    """Masks of each size, and which they are."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, entry in enumerate(entries):
        size = entry.get("size", ()) if isinstance(entry, Mapping) else ()
        places.setdefault(tuple(size), []).append(place)
    for own in places.values():
        yield own, fastiou.Masks.from_rle([entries[place] for place in own])


def _objects(name: str, value: Any) -> Any:
    """Boxes as an array (n, 4) of float64, and run lengths as a list."""
    if isinstance(value, Mapping):
        raise TypeError(f"{name} must be a list of run lengths, got one: pass [{name}]")
    if not isinstance(value, np.ndarray) and len(value) and isinstance(value[0], Mapping):
        return list(value)
    boxes = np.asarray(value, np.float64)
    boxes = boxes.reshape(0, 4) if not boxes.size else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name} must be boxes (n, 4) or run lengths, got shape {boxes.shape}")
    return boxes
