"""Images of colours where label images are meant."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.runtime.words import warn_caller

__all__ = ["check_no_colors"]

#: The sides from which on, and the numbers up to which, three columns of integers are colours.
SMALLEST_IMAGE, LARGEST_COLOUR = 8, 255


def check_no_colors(name: str, array: Any) -> None:
    """Refuse labels that are colours, whose channels would be compared as if they were labels.

    A uint8 array of three dimensions or more, of which the last is 3 or 4, is of colours. So are
    wider unsigned integers up to 255 in as large an image as `np.array(Image.open(path),
    dtype=np.uint32)` of a PNG has. Volumes of such a side come as signed integers. Of three images
    of uint8 a warning is given, since they may be the channels of one.
    """
    dtype, shape = array.dtype, array.shape
    may_be = len(shape) >= 3 and shape[-1] in (3, 4) and dtype.kind == "u"
    if may_be and dtype != np.uint8:
        may_be = len(shape) == 3 and min(shape[:2]) >= SMALLEST_IMAGE
        may_be = may_be and isinstance(array, np.ndarray) and int(array.max()) <= LARGEST_COLOUR
    if may_be:
        raise ValueError(
            f"{name} must be a label image, got a colour image, {dtype} of shape {shape}. "
            "Where a colour is a label (R + 256 G + 65536 B, as in COCO's panoptic PNGs), pass "
            f"labels_from_colors({name}); if it is a volume of labels, pass {name}.astype(int)"
        )
    is_stack = len(shape) == 3 and shape[0] == 3 and min(shape[1:]) >= SMALLEST_IMAGE
    if is_stack and dtype == np.uint8:  # as torchvision reads images
        warn_caller(
            f"{name}, {dtype} of shape {shape}, is taken for three label images. Pass "
            f"{name}.astype(int) to say that it is; for one image whose colours are labels, pass "
            f"labels_from_colors of the shape {(*shape[1:], 3)}"
        )
