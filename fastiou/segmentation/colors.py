"""Label images out of images whose colours tell the labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastiou.arrays.inputs import hand_back, label_array
from fastiou.runtime import memory

__all__ = ["labels_from_colors"]


#: Pixels that are made in one call of NumPy's, between which Ctrl-C works.
PIXELS_AT_A_TIME = 1 << 20


def labels_from_colors(image: Any) -> Any:
    """Make a label image out of a colour image, as COCO's panoptic annotations have them.

    The label of a pixel is R + 256 G + 65536 B.

    Parameters
    ----------
    image : array_like of int, shape (..., H, W, 3) or (..., H, W, 4)
        Red, green and blue of each pixel, from 0 to 255, of any integer dtype and memory layout.
        A fourth channel, which would be opacity, is left out. OpenCV reads blue first: pass
        ``image[..., ::-1]``.

    Returns
    -------
    array of int32, shape (..., H, W)
        The labels, as an array of the library that the image came from.

    Raises
    ------
    TypeError
        Not integers, or a tensor that requires grad.
    ValueError
        Another shape, or colours outside of 0 to 255.
    MemoryError
        The labels would not fit in memory.

    Examples
    --------
    >>> import numpy as np, fastiou
    >>> image = np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [255, 255, 255]]], np.uint8)
    >>> fastiou.labels_from_colors(image)
    array([[       1,      256],
           [   65536, 16777215]], dtype=int32)
    """
    given = label_array("image", image)
    array = given.array
    if array.ndim < 3 or array.shape[-1] not in (3, 4):
        raise ValueError(f"image must have the shape (H, W, 3) or (H, W, 4), got {array.shape}")
    if array.dtype.kind == "b":
        raise TypeError("image must hold colours from 0 to 255, got booleans")
    shape = array.shape[:-1]
    labels = memory.allocate(
        shape, np.int32, f"a label image of {math.prod(shape):,} pixels", "make fewer at a time"
    )
    rows = math.prod(shape[1:])
    step = max(1, PIXELS_AT_A_TIME // max(rows, 1))
    for first in range(0, shape[0], step):
        some = array[first : first + step]
        if array.dtype != np.uint8:
            wrong = (some[..., :3] < 0) | (some[..., :3] > 255)
            if wrong.any():
                where = tuple(map(int, np.unravel_index(int(wrong.argmax()), wrong.shape)))
                place = (first + where[0], *where[1:-1])
                raise ValueError(
                    f"image must hold colours from 0 to 255, got {some[where]} at {place}"
                )
        own = labels[first : first + step]
        own[...] = some[..., 2]
        for channel in (1, 0):
            own <<= 8
            own |= some[..., channel].astype(np.uint8, copy=False)
    return hand_back(labels, given)
