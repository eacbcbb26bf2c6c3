"""Long work cut into steps of about a tenth of a second, between which Ctrl-C is heard.

Here are the steps of kernels; those of NumPy's functions are in `chunks`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.runtime import kernel

__all__ = ["STEP", "STEP_GROWTH", "STEP_SECONDS", "ranges", "shares", "spans"]

#: Seconds that a step aims to take. Ctrl-C waits until the step is over.
STEP_SECONDS = 0.1


#: Scores of the first step, before it is known how fast they are made. One slow thread takes 0.04 s
#: for them, and 0.1 s where the result lies in new pages.
STEP = 1 << 24


#: How many times as large as the step before a step is at most, since a short one may tell too high
#: a rate: with 8, writing run lengths into new pages had steps of 0.004, 0.03 and 0.9 s.
STEP_GROWTH = 3


def shares() -> Generator[int, float, None]:
    """How many scores to make in each step of long work, for steps of about `STEP_SECONDS`.

    Whoever asks for the next sends how many were made; from the time that has passed follows how
    many there will be. What is done in a step must all be done by then. Python's signal handlers
    run in between.
    """
    share = STEP
    while True:
        compilations, begin = kernel.compilations, time.perf_counter()
        made = yield share
        seconds = max(time.perf_counter() - begin, 1e-9)
        if compilations != kernel.compilations:
            continue
        # Little work tells nothing, unless it took long.
        if 2 * made >= share or seconds > STEP_SECONDS:
            share = max(1, int(min(made * STEP_SECONDS / seconds, STEP_GROWTH * share)))


def ranges(total: int, each: float = 1) -> Iterator[tuple[int, int, int]]:
    """Cut `total` things into ranges for one step each: first, last, and their work.

    Parameters
    ----------
    each
        Work of one of them, in scores.
    """
    pace = shares()
    share = next(pace)
    last = 0
    while last < total:
        first, last = last, min(last + max(1, int(share / each)), total)
        work = (last - first) * each
        yield first, last, int(work)
        if last < total:
            share = pace.send(work)


def spans(
    before: npt.NDArray[Any], each: float = 1, *, equal: bool = False
) -> Iterator[tuple[int, int, int]]:
    """Cut unequal things into ranges of one or more for one step each: first, last, their work.

    Parameters
    ----------
    before
        (n + 1,): what comes before each thing, and in all.
    each
        Work of one of these, in scores.
    equal
        Have all ranges as large as the first, whatever time they take: for steps within steps.
    """
    count = len(before) - 1
    pace = shares()
    share = next(pace)
    last = 0
    while last < count:
        first = last
        limit = before[first] + int(share / each)
        last = count
        if before[count] > limit:
            last = max(first + 1, int(np.searchsorted(before, limit, side="right")) - 1)
        work = float(before[last] - before[first]) * each
        yield first, last, int(work)
        if last < count and not equal:
            share = pace.send(work)
