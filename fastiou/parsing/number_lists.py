"""Lists of numbers in JSON as rows of an array, without an object of Python for each."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastiou.parsing.decimals import powers_of_ten
from fastiou.parsing.json_kernels import COMMA, LIST_CLOSED, LIST_OPENED, after_blanks
from fastiou.parsing.json_numbers import number
from fastiou.runtime import steps, threads
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address, byte_at
from fastiou.typing import Array

__all__ = ["lists_of_numbers"]

#: Time for a number in scores of boxes, in which `threads.run` reckons: 0.35 ns each.
SCORES_PER_NUMBER = 40


def _read_lists(text: Array, places: Array, powers: Array, rows: Array, faults: Array) -> None:
    """Write the numbers of lists into rows.

    Shapes and dtypes: `text` uint8; `places` int64, (n, 2): where each begins and ends, -1 where
    there is none; `powers` as `powers_of_ten`; `rows` float64, (n, width); `faults` bool, (n,):
    which are no lists of so many numbers, or have one that was not read.
    """
    start, table = address(text), address(powers)
    width = rows.shape[1]
    for row in prange(len(places)):
        at = places[row, 0]
        faults[row] = False
        if at < 0:
            continue
        is_read = byte_at(start, at) == LIST_OPENED
        for i in range(width):
            if not is_read:
                break
            value, at = number(start, after_blanks(start, at + 1), table)
            rows[row, i] = value
            if at >= 0:
                at = after_blanks(start, at)
            is_read = at >= 0 and byte_at(start, at) == (COMMA if i < width - 1 else LIST_CLOSED)
        faults[row] = not is_read


#: `(text, places, powers, rows, faults)`
READ_LISTS = Kernel(_read_lists, "read-lists")


def lists_of_numbers(data: bytes, places: Array) -> Array | None:
    """Read lists of finite numbers, all of one length.

    Parameters
    ----------
    data
        JSON.
    places : array of int64, shape (n, 2)
        Where each begins and ends; -1 where there is none, at most in some.

    Returns
    -------
    ndarray of float64, shape (n, width), or None
        NaN where there is no list. None if they are something else, or have numbers that are left
        to Python's parser.
    """
    first = places[int((places[:, 0] >= 0).argmax())].tolist()
    width = data.count(b",", *first) + 1
    text = np.frombuffer(data, np.uint8)
    rows = np.full((len(places), width), np.nan)
    faults = np.empty(len(places), np.bool_)
    for begin, end, work in steps.ranges(len(places), SCORES_PER_NUMBER * width):
        threads.run(
            READ_LISTS, work, text, places[begin:end], powers_of_ten(), rows[begin:end],
            faults[begin:end],
        )  # fmt: skip
    is_told = places[:, 0] >= 0
    return None if faults.any() or not np.isfinite(rows[is_told]).all() else rows
