"""Scoring a box against a chunk of consecutive columns: the inner loop of every relation."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.extending import register_jitable

from fastiou.cpu.division import divide
from fastiou.geometries.box_columns import PADDING, box
from fastiou.metrics import METRICS
from fastiou.runtime.kernel import named
from fastiou.runtime.vectors import stack_array

__all__ = ["CHUNK", "ChunkScorers", "chunk_scorers", "fraction_of", "two_by_estimates"]

Array = npt.NDArray[Any]

#: Scores computed at a time, on the stack: 16 took 4 % longer, 128 and more up to 30 %. Columns are
#: padded by as many, so that a chunk is always computed whole and its loops have a fixed length.
CHUNK = PADDING


class ChunkScorers(NamedTuple):
    """The inner loops of one metric. They fill chunks with scores from column `column` on."""

    #: `(corners1, measures1, i, corners2, measures2, column, chunk)`: box i of the first set.
    one: Callable[..., None]
    #: The same with the boxes of the columns as the first of each two, and box i as the second.
    turned: Callable[..., None]
    #: `(first1, first2, corners, measures, column, chunk1, chunk2)`: two boxes, which share loads.
    two: Callable[..., None]


@functools.cache
def chunk_scorers(metric: str, size: int = CHUNK) -> ChunkScorers:
    """Make the inner loops of a metric over chunks of at most `CHUNK` scores."""
    formula = METRICS[metric].formula
    measure = METRICS[metric].measure

    # Inlined before LLVM sees them: compiled by themselves they would have to test in every chunk
    # whether their arrays overlap, which took longer than the scores. The indices are unsigned,
    # since Numba's test for counting from the end kept loops from being vectorised.
    @register_jitable(inline="always")
    @named(f"{metric}-{size}")
    def one(
        corners1: Array,
        measures1: Array,
        i: int,
        corners2: Array,
        measures2: Array,
        column: int,
        chunk: Array,
    ) -> None:
        first = box(corners1, measures1, i)
        start = np.uint64(column)
        for j in range(np.uint64(size)):
            chunk[j] = formula(*measure(first, box(corners2, measures2, start + j)))

    @register_jitable(inline="always")
    @named(f"{metric}-{size}")
    def turned(
        corners1: Array,
        measures1: Array,
        i: int,
        corners2: Array,
        measures2: Array,
        column: int,
        chunk: Array,
    ) -> None:
        second = box(corners1, measures1, i)
        start = np.uint64(column)
        for j in range(np.uint64(size)):
            chunk[j] = formula(*measure(box(corners2, measures2, start + j), second))

    @register_jitable(inline="always")
    @named(f"{metric}-{size}")
    def two(
        first1: Any,
        first2: Any,
        corners: Array,
        measures: Array,
        column: int,
        chunk1: Array,
        chunk2: Array,
    ) -> None:
        start = np.uint64(column)
        for j in range(np.uint64(size)):
            second = box(corners, measures, start + j)
            chunk1[j] = formula(*measure(first1, second))
            chunk2[j] = formula(*measure(first2, second))

    return ChunkScorers(one, turned, two)


@register_jitable
def _both(numerator: Any, denominator: Any) -> tuple[Any, Any]:
    return numerator, denominator


@functools.cache
def fraction_of(metric: str) -> Callable[..., tuple[Any, Any]] | None:
    """What a metric divides by what, None if its formula is not a single quotient.

    It is the formula itself, with `metrics.quotient` replaced by a function that does not divide.
    """
    formula = METRICS[metric].formula
    assert isinstance(formula, types.FunctionType)
    names = {**formula.__globals__, "quotient": _both}
    fraction = types.FunctionType(formula.__code__, names, formula.__name__)
    probe = 3.0, 5.0, 7.0
    try:
        numerator, denominator = fraction(*probe)
    except (TypeError, ValueError):
        return None
    if numerator / denominator != formula(*probe):
        return None
    made: Callable[..., tuple[Any, Any]] = register_jitable(named("fraction")(fraction))
    return made


@functools.cache
def two_by_estimates(metric: str) -> Callable[..., None]:
    """Make `ChunkScorers.two` with some divisions by way of an estimate; see `division`."""
    fraction = fraction_of(metric)
    assert fraction is not None
    measure = METRICS[metric].measure

    @register_jitable(inline="always")
    @named(metric)
    def two(
        first1: Any,
        first2: Any,
        corners: Array,
        measures: Array,
        column: int,
        chunk1: Array,
        chunk2: Array,
    ) -> None:
        start = np.uint64(column)
        denominators1 = stack_array(chunk1, CHUNK)
        denominators2 = stack_array(chunk2, CHUNK)
        for j in range(np.uint64(CHUNK)):
            second = box(corners, measures, start + j)
            chunk1[j], denominators1[j] = fraction(*measure(first1, second))
            chunk2[j], denominators2[j] = fraction(*measure(first2, second))
        divide(chunk1, denominators1, CHUNK)
        divide(chunk2, denominators2, CHUNK)

    scorer: Callable[..., None] = two
    return scorer
