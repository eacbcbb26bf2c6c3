"""The outlines of masks, along the edges of their pixels."""

from __future__ import annotations

import numpy as np

from fastiou.geometries.masks.mask_set import Masks
from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["outlines"]


def _trace(pixels: Array, seen: Array, points: Array, ends: Array) -> int:
    """Follow the edges between what is inside and outside, with the inside on the right.

    Pixels that touch in a corner alone are apart.

    Parameters
    ----------
    pixels
        (h, w) bool: a mask, of which no pixel at the margin is inside.
    seen
        (h, w) bool: scratch, all False.
    points
        (k, 2): get the corners of all outlines; as many rows as pixels have edges are enough.
    ends
        (k,): get where each outline ends in the points.

    Returns
    -------
    int
        How many outlines there are.
    """
    count, filled = 0, 0
    for top in range(1, pixels.shape[0]):
        for left in range(pixels.shape[1]):
            if not pixels[top, left] or pixels[top - 1, left] or seen[top, left]:
                continue
            # Along the upper edge of this pixel, to the right; then by the pixels ahead.
            x, y, along_x, along_y = left, top, 1, 0
            while True:
                if along_x == 1:
                    if seen[y, x]:
                        break
                    seen[y, x] = True
                x += along_x
                y += along_y
                # The pixels ahead, on the right and on the left.
                if along_x == 0:
                    row = y - (along_y < 0)
                    is_right, is_left = (
                        pixels[row, x - (along_y > 0)],
                        pixels[row, x - (along_y < 0)],
                    )
                else:
                    column = x - (along_x < 0)
                    is_right = pixels[y - (along_x < 0), column]
                    is_left = pixels[y - (along_x > 0), column]
                if is_right and not is_left:
                    continue
                points[filled, 0] = x
                points[filled, 1] = y
                filled += 1
                if is_right:  # to the left
                    along_x, along_y = along_y, -along_x
                else:
                    along_x, along_y = -along_y, along_x
            ends[count] = filled
            count += 1
    return count


_TRACE = Kernel(_trace, "outlines")


def outlines(masks: Masks) -> list[list[Array]]:
    """The outlines of masks, those of holes among them.

    Parameters
    ----------
    masks
        n of them.

    Returns
    -------
    list of list of arrays (k, 2) of int64
        The corners x, y of each outline, in pixels. A point is inside that an odd number of
        outlines goes around.
    """
    found: list[list[Array]] = []
    for number, (left, top, right, bottom) in enumerate(masks.boxes.tolist()):
        pixels = np.zeros((bottom - top + 2, right - left + 2), np.bool_)
        inside = masks[number : number + 1].to_dense()[0, top:bottom, left:right]
        pixels[1:-1, 1:-1] = inside
        edges = sum(np.count_nonzero(np.diff(pixels, axis=axis)) for axis in (0, 1))
        points, ends = np.empty((edges, 2), np.int64), np.empty(edges, np.int64)
        count = _TRACE.serial(pixels, np.zeros_like(pixels), points, ends)
        points += (left - 1, top - 1)
        found.append(np.split(points[: ends[count - 1]], ends[: count - 1]) if count else [])
    return found
