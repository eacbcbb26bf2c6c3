"""Two sets of boxes in two formats, brought to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastiou.arrays.checks import check_choice
from fastiou.arrays.inputs import hand_back
from fastiou.geometries.table import FORMATS, convert_members
from fastiou.runtime.words import described
from fastiou.tables.box_table import BoxTable, has_names
from fastiou.tables.layouts import common_layout

__all__ = ["in_one_format"]

#: Integers up to which float64 holds them, their sums and halves of these.
EXACT = 2**51


def in_one_format(
    names: Sequence[str], a: Any, b: Any, formats: Sequence[str]
) -> tuple[Any, Any, str]:
    """Two sets in one format, which comes last.

    Parameters
    ----------
    names
        What the function calls the sets.
    a, b
        The sets. Those that are in another format than the common one are converted.
    formats
        The argument `fmt`: the formats of both.

    Raises
    ------
    TypeError, ValueError
        There is one set, or a table, which tells its format; or the formats are none, or of two
        geometries.
    """
    if len(formats) != 2:
        raise ValueError(
            f"fmt must be one format, or a tuple of two, those of {names[0]} and {names[1]}, got "
            f"{described(formats)}"
        )
    if b is None:
        raise ValueError(f"fmt must be one format where there is one set, got {described(formats)}")
    for fmt in formats:
        check_choice("fmt", fmt, FORMATS)
    for name, value in zip(names, (a, b), strict=True):
        if isinstance(value, BoxTable) or has_names(value):
            raise ValueError(
                f"fmt must be one format or left out: {name} is a table, which tells its own"
            )
    if FORMATS[formats[0]] is not FORMATS[formats[1]]:
        raise ValueError(
            f"fmt must be two formats of one geometry, got {formats[0]!r} for {names[0]} and "
            f"{formats[1]!r} for {names[1]}; box_convert makes corners of all of them"
        )
    common = common_layout(*formats)
    first, second = (
        _converted(name, value, fmt, common)
        for name, value, fmt in zip(names, (a, b), formats, strict=True)
    )
    return first, second, common


def _converted(name: str, value: Any, fmt: str, common: str) -> Any:
    """One set in the common format, as an array of its library."""
    if fmt == common:
        return value
    given = FORMATS[fmt].load().read(name, value, fmt, batches=True)
    array = given.array
    if array.dtype == np.float16:  # which would round sums that float32 holds
        given = given._replace(held=array.astype(np.float32))
    elif (
        array.dtype.kind in "iu" and array.size and max(int(array.max()), -int(array.min())) > EXACT
    ):
        raise ValueError(
            f"{name} must have no coordinates beyond 2⁵¹ where fmt is two formats: pass both sets "
            "in one"
        )
    return hand_back(convert_members(given, common), given)
