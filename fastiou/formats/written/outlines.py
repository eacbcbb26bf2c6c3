"""Masks as one outline each, for formats that hold no more of a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastiou.formats.errors import RefusedError
from fastiou.formats.segmentations import Segmentations
from fastiou.formats.written.target import About, Target
from fastiou.typing import Array

__all__ = ["as_json", "outlines_of"]


def outlines_of(target: Target, about: About) -> list[Array]:
    """The outline of each mask, (k, 2) in pixels.

    Polygons of one mask are joined by lines of no width, there and back, as the tools of YOLO do.
    That is the same mask unless they overlap: such masks, and run lengths, are outlined along the
    edges of their pixels.

    Raises
    ------
    RefusedError
        A mask has no pixels.
    """
    masks, sizes = about.masks, about.sizes
    assert masks is not None
    assert sizes is not None
    found: dict[int, Array] = {}
    several = []
    for row, value in enumerate(masks.segmentations):
        if isinstance(value, Mapping):
            continue
        found[row] = _joined([np.asarray(ring, np.float64).reshape(-1, 2) for ring in value])
        if len(value) > 1:
            several.append(row)
    rings = {row: [found[row].reshape(-1)] for row in several}
    joined = Segmentations(masks.path, masks.place, len(masks.areas), rings)
    areas, _ = joined.measured(several, sizes[several][:, ::-1])
    for row in np.array(several, np.int64)[areas != masks.areas[several]].tolist():
        del found[row]
    rest = [row for row in range(len(masks.areas)) if row not in found]
    if rest:
        from fastiou.geometries.masks.outlines import outlines

        packed = masks.segmentations.masks(rest, sizes[rest][:, ::-1])
        for row, of_pixels in zip(rest, outlines(packed), strict=True):
            if not of_pixels:
                words = f"{target.name} needs outlines: {masks.where(row)} has no pixels"
                raise RefusedError(words)
            found[row] = _joined(of_pixels)
    return [found[row] for row in range(len(masks.areas))]


def _joined(rings: list[Array]) -> Array:
    """All outlines as one: each is closed, from the first point of the first and back to it."""
    if len(rings) == 1:
        return rings[0]
    parts: list[Array] = []
    for ring in rings:
        parts += [ring, ring[:1], rings[0][:1]]
    return np.concatenate(parts[:-1])


def as_json(mask: Any) -> Any:
    """A value of "segmentation", as JSON has it."""
    if not isinstance(mask, Mapping):
        return [np.asarray(ring).reshape(-1).tolist() for ring in mask]
    counts = mask["counts"]
    if isinstance(counts, bytes):
        counts = counts.decode("ascii")
    elif not isinstance(counts, str):
        counts = np.asarray(counts).tolist()
    return {"size": [int(side) for side in mask["size"]], "counts": counts}
