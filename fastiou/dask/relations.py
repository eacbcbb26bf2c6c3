"""Relations over Dask arrays and data frames."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.delayed import Delayed, delayed

import fastiou
from fastiou.arrays.checks import true_or_false
from fastiou.blocks import joins
from fastiou.dask.inputs import (
    BlockSet,
    check_format,
    check_numbers,
    collection,
    cut_sets,
    empty_of,
    in_order,
    in_sorted_order,
    is_frame,
    known_sizes,
    part_count,
    read_blocks,
)
from fastiou.tables.opened import USUAL
from fastiou.typing import Array

__all__ = ["MatchBlocks", "PairBlocks", "TopKBlocks", "box_iou", "match", "nms", "pairs", "topk"]


def box_iou(
    boxes1: Any, boxes2: Any, fmt: str = "xyxy", *, metric: str = "iou", aligned: bool = False
) -> Any:
    """Score every box of one set against every box of another, block by block.

    Parameters
    ----------
    boxes1 : dask array, shape (N, 4), (N, 5) or (N, 8)
        Boxes, as in `fastiou.box_iou`; an array of NumPy is one block.
    boxes2 : dask array, shape (M, 4), (M, 5) or (M, 8)
        The same.
    fmt, metric, aligned
        As in `fastiou.box_iou`.

    Returns
    -------
    dask array, shape (N, M), or (N,) if aligned
        With the chunks of the rows of both, and the bits that `fastiou.box_iou` gives of all.

    Raises
    ------
    TypeError, ValueError
        As `fastiou.box_iou`; when it is computed also coordinates beyond the arithmetic of their
        dtype, which one block alone cannot make up for.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastiou.dask
    >>> boxes = da.from_array([[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]], chunks=(2, 4))
    >>> fastiou.dask.box_iou(boxes, boxes).compute()
    array([[1.  , 0.75, 0.  ],
           [0.75, 1.  , 0.  ],
           [0.  , 0.  , 1.  ]])
    """
    arrays = []
    for name, value in (("boxes1", boxes1), ("boxes2", boxes2)):
        array = collection(name, value)
        if is_frame(array):
            raise TypeError(f"{name} must be an array, got a data frame; pairs takes it")
        arrays.append(array)
    empties = [empty_of(name, a) for name, a in zip(("boxes1", "boxes2"), arrays, strict=True)]
    aligned = true_or_false("aligned", aligned)
    check_format(fmt)
    options: dict[str, Any] = {"fmt": fmt, "metric": metric, "aligned": aligned}
    none = fastiou.box_iou(*empties, **options)
    for own in empties:
        check_numbers([BlockSet([], None, own, None, False)], fmt)
    first, second = (array.rechunk({1: -1}) for array in arrays)
    if aligned:
        sizes = known_sizes(first), known_sizes(second)
        if None in sizes:
            raise ValueError(
                "aligned=True needs chunks of known size in boxes1 and boxes2: "
                "compute_chunk_sizes() finds them"
            )
        if first.shape[0] != second.shape[0]:
            raise ValueError(
                "aligned=True needs as many boxes1 as boxes2, got shapes "
                f"{first.shape} and {second.shape}"
            )
    return da.blockwise(
        joins.scores_of,
        "i" if aligned else "ij",
        first,
        "ik",
        second,
        "ik" if aligned else "jk",
        options,
        None,
        none.dtype.str,
        None,
        concatenate=True,
        dtype=none.dtype,
        meta=none,
    )


class PairBlocks:
    """Pairs in blocks, to be computed by Dask.

    Attributes
    ----------
    blocks : list of Delayed
        Rows, columns and values, as NumPy arrays, of each block of the first set: one after the
        other they are what `fastiou.pairs` finds, in its order.
    found : list of Delayed
        The same pairs by the parts that they were found in, each pair once: rows, columns and
        values. To reduce, which needs no order.
    dtype : dtype
        That of the values.
    """

    def __init__(
        self,
        blocks: list[Delayed],
        found: list[Delayed],
        tested: list[Delayed],
        sizes: Delayed,
        dtype: np.dtype[Any],
    ) -> None:
        self.blocks, self.found, self.dtype = blocks, found, dtype
        self._tested, self._sizes = tested, sizes

    def __repr__(self) -> str:
        return f"<PairBlocks: {len(self.blocks)} blocks of rows, {len(self.found)} parts>"

    def compute(self, **options: Any) -> fastiou.Pairs:
        """All pairs as one result, which must fit in memory here.

        Parameters
        ----------
        **options
            As `dask.compute` takes them.

        Returns
        -------
        fastiou.Pairs
            Its rows, columns and values have the bits that one machine gives; `tested` is the sum
            over the parts.
        """
        blocks, sizes, tested = dask.compute(self.blocks, self._sizes, self._tested, **options)
        return joins.joined_pairs(blocks, sizes, sum(tested))

    def reduce(self, function: Callable[..., Any], combine: Callable[[list[Any]], Any]) -> Delayed:
        """What a function makes of the pairs of each part, all put together; no pair is kept.

        Parameters
        ----------
        function
            Called with rows, columns and values of each part, as NumPy arrays.
        combine
            Called with the list of what it returned.

        Returns
        -------
        Delayed
        """
        own = delayed(_called)
        return delayed(combine)([own(function, part) for part in self.found])

    def count(self) -> Delayed:
        """The number of pairs."""
        return self.reduce(lambda rows, cols, values: len(rows), sum)

    def to_dask_dataframe(self) -> Any:
        """The pairs as a data frame of Dask, with a partition for each block of rows.

        Its `to_parquet` writes them without ever having all in memory.

        Returns
        -------
        dask.dataframe.DataFrame
            Columns rows, cols and values.
        """
        make = delayed(_frame_of, pure=True)
        none = np.empty(0, np.int64)
        meta = _frame_of((none, none, np.empty(0, self.dtype)))
        return dd.from_delayed([make(block) for block in self.blocks], meta=meta)


def _called(function: Callable[..., Any], columns: Sequence[Array]) -> Any:
    return function(*columns)


def _frame_of(columns: Sequence[Array]) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(("rows", "cols", "values"), columns, strict=True)))


def _sizes_of(plan: Any) -> tuple[int, int]:
    return int(plan.offsets[0][-1]), int(plan.offsets[1][-1])


def pairs(
    a: Any,
    b: Any = None,
    threshold: float = 0.5,
    *,
    metric: str = "iou",
    fmt: str = USUAL,
    groups: Any = None,
    parts: int | None = None,
) -> PairBlocks:
    """Find all pairs of boxes that score at least a threshold, in blocks.

    Without groups the plane is cut into parts with about as many boxes in each, and a box goes to
    every part that it touches: boxes far apart never meet. With groups all members of a group go to
    one part.

    Parameters
    ----------
    a : dask array, shape (N, 4), (N, 5) or (N, 8), or dask data frame
        Boxes, as in `fastiou.pairs`, in blocks of any sizes, which need not be known. Data frames
        bring their format and their keys. Arrays of NumPy and frames of pandas are one block.
    b : the same, optional
        What to compare with. Without it `a` is compared with itself, each pair once.
    threshold, metric, fmt
        As in `fastiou.pairs`.
    groups
        As in `fastiou.pairs`: for each key an array or column of Dask in as many blocks as the
        boxes, or an array of NumPy or a list where their sizes are known.
    parts : int, optional
        How many parts; by default as many as the larger set has blocks, at most 256.

    Returns
    -------
    PairBlocks

    Raises
    ------
    TypeError, ValueError
        As `fastiou.pairs`, and columns that are not cut as the boxes; before anything is computed.
        When it is computed, also what only the numbers tell, with the block.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastiou.dask
    >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10], [0, 0, 4, 4]]
    >>> fastiou.dask.pairs(da.from_array(boxes, chunks=(3, 4))).compute()
    <Pairs: 3 of 4 × 4>
           row        col      value
             0          1       0.75
             0          3          1
             1          3       0.75
    """
    values = {"a": a} if b is None else {"a": a, "b": b}
    sets, fmt = read_blocks(values, fmt, groups)
    options: dict[str, Any] = {"threshold": threshold, "metric": metric, "fmt": fmt}
    check_numbers(sets, fmt)
    other = None if b is None else sets[1].empty
    dtype = fastiou.pairs(sets[0].empty, other, **options).values.dtype
    count = part_count(parts, sets, fmt, by_place=not sets[0].has_keys)
    cut = cut_sets(sets, options, dtype, count)
    graph = cut.graph
    join = functools.partial(joins.pairs_of, options=options)
    found = [
        graph.add("pairs_of", (part,), join, part, own, None if b is None else other, cut.plan)
        for part, (own, other) in enumerate(zip(cut.first, cut.second, strict=True))
    ]
    columns = [graph.add("columns", (n,), _columns_of, part) for n, part in enumerate(found)]
    tested = [graph.add("tested", (n,), operator.getitem, part, 3) for n, part in enumerate(found)]
    blocks = in_sorted_order(cut, "pairs", columns, 0, sets[0], 2)
    sizes = graph.add("sizes", (), _sizes_of, cut.plan)
    return PairBlocks(
        [graph.delayed(key) for key in blocks],
        [graph.delayed(key) for key in columns],
        [graph.delayed(key) for key in tested],
        graph.delayed(sizes),
        dtype,
    )


def _columns_of(found: joins.Found) -> joins.Columns:
    return found.rows, found.cols, found.values


class TopKBlocks(NamedTuple):
    """The best few of each row, as arrays of Dask, shape (N, k); see `fastiou.TopK`."""

    values: Any
    indices: Any


def topk(
    a: Any,
    b: Any,
    k: int = 1,
    *,
    threshold: float = 0.0,
    metric: str = "iou",
    fmt: str = USUAL,
    groups: Any = None,
    parts: int | None = None,
) -> TopKBlocks:
    """Find the best k of `b` for each of `a`, in blocks.

    Parameters
    ----------
    a, b, fmt, groups, parts
        As in `pairs`.
    k, threshold, metric
        As in `fastiou.topk`.

    Returns
    -------
    TopKBlocks
        `values` and `indices`, shape (N, k), as arrays of Dask with the blocks of `a`; computed,
        they have the bits of `fastiou.topk`.

    Raises
    ------
    TypeError, ValueError
        As `fastiou.topk` and `pairs`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastiou.dask
    >>> boxes = da.from_array([[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]], chunks=(2, 4))
    >>> fastiou.dask.topk(boxes, boxes, k=2).indices.compute()
    array([[ 0,  1],
           [ 1,  0],
           [ 2, -1]])
    """
    sets, fmt = read_blocks({"a": a, "b": b}, fmt, groups)
    options: dict[str, Any] = {"k": k, "threshold": threshold, "metric": metric, "fmt": fmt}
    check_numbers(sets, fmt)
    dtype = fastiou.topk(sets[0].empty, sets[1].empty, **options).values.dtype
    count = part_count(parts, sets, fmt, by_place=not sets[0].has_keys)
    cut = cut_sets(sets, options, dtype, count)
    graph, first = cut.graph, sets[0]
    best = functools.partial(joins.best_of, options=options)
    found = [
        graph.add("best_of", (part,), best, own, other)
        for part, (own, other) in enumerate(zip(cut.first, cut.second, strict=True))
    ]
    chosen = [
        graph.add("top_rows", (number,), _top_rows, columns, cut.offsets[0], number, k)
        for number, columns in enumerate(in_order(cut, "best", found, 0, first))
    ]
    sizes = first.sizes or (np.nan,) * len(chosen)
    return TopKBlocks(
        graph.array("values", chosen, 0, sizes, k, dtype),
        graph.array("indices", chosen, 1, sizes, k, np.int64),
    )


def _top_rows(
    columns: Sequence[joins.Columns], offsets: Array, number: int, k: int
) -> tuple[Array, Array]:
    return joins.top_rows(columns, int(offsets[number]), int(offsets[number + 1]), k)


def nms(
    a: Any,
    scores: Any = None,
    threshold: float = 0.5,
    *,
    groups: Any = None,
    metric: str = "iou",
    fmt: str = USUAL,
    method: str = "hard",
    sigma: float = 0.5,
    score_threshold: float | None = None,
    max_output: int | None = None,
    max_total: int | None = None,
    parts: int | None = None,
) -> Any:
    """Keep the best of members of a group that overlap too much, in blocks.

    Parameters
    ----------
    a, fmt, parts
        As in `pairs`.
    scores
        As in `fastiou.nms`: an array or column of Dask in as many blocks as the boxes, or an array
        of NumPy where their sizes are known. Data frames bring their own.
    groups
        As in `pairs`. There must be some: what one box suppresses decides about others, so the
        members of a group are brought together.
    threshold, metric, method, sigma, score_threshold, max_output, max_total
        As in `fastiou.nms`.

    Returns
    -------
    dask array of int64, in one block of unknown size
        Computed, it has the bits of `fastiou.nms`.

    Raises
    ------
    TypeError, ValueError
        As `fastiou.nms` and `pairs`; there are no groups.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastiou.dask
    >>> boxes = da.from_array([[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]], chunks=(2, 4))
    >>> fastiou.dask.nms(boxes, [0.8, 0.9, 0.1], groups=[7, 7, 5]).compute()
    array([1, 2])
    """
    sets, fmt = read_blocks({"a": a}, fmt, groups, scores)
    options: dict[str, Any] = {
        "threshold": threshold, "metric": metric, "fmt": fmt, "method": method, "sigma": sigma,
        "score_threshold": score_threshold, "max_output": max_output,
    }  # fmt: skip
    own = sets[0]
    check_numbers(sets, fmt)
    fastiou.nms(own.empty, own.empty_scores, max_total=max_total, **options)
    _check_grouped("nms", own)
    count = part_count(parts, sets, fmt, by_place=False)
    dtype = fastiou.pairs(own.empty, metric=metric, fmt=fmt).values.dtype
    cut = cut_sets(sets, options, dtype, count)
    keep = functools.partial(joins.kept_of, options=options)
    found = [cut.graph.add("kept_of", (n,), keep, part) for n, part in enumerate(cut.first)]
    kept = cut.graph.add("kept_in_all", (), joins.kept_in_all, found, max_total)
    return da.from_delayed(cut.graph.delayed(kept), shape=(np.nan,), dtype=np.dtype(np.int64))


def _check_grouped(function: str, own: BlockSet) -> None:
    if not own.has_keys:
        raise ValueError(
            f"groups must be given: {function} brings the members of a group together. To do it "
            f"without groups is one piece of work: fastiou.{function} on one machine"
        )


class MatchBlocks:
    """Matches in blocks, to be computed by Dask.

    Attributes
    ----------
    blocks : list of Delayed
        Rows, columns and values of each block of the first set.
    unmatched_rows, unmatched_cols : list of Delayed
        Of each block of the first, and of the second set, a tuple of one array of positions.
    """

    def __init__(
        self, blocks: list[Delayed], unmatched_rows: list[Delayed], unmatched_cols: list[Delayed]
    ) -> None:
        self.blocks = blocks
        self.unmatched_rows, self.unmatched_cols = unmatched_rows, unmatched_cols

    def __repr__(self) -> str:
        return f"<MatchBlocks: {len(self.blocks)} blocks of rows>"

    def compute(self, **options: Any) -> fastiou.Match:
        """All matches as one result, which must fit in memory here.

        Parameters
        ----------
        **options
            As `dask.compute` takes them.

        Returns
        -------
        fastiou.Match
        """
        found = dask.compute(self.blocks, self.unmatched_rows, self.unmatched_cols, **options)
        return joins.joined_match(*found)


def match(
    a: Any,
    b: Any,
    threshold: float = 0.5,
    *,
    method: str = "greedy",
    scores: Any = None,
    iscrowd: Any = None,
    metric: str = "iou",
    fmt: str = USUAL,
    groups: Any = None,
    parts: int | None = None,
) -> MatchBlocks:
    """Match boxes of one set with those of another, within groups, in blocks.

    Parameters
    ----------
    a, b, fmt, parts
        As in `pairs`.
    threshold, metric
        As in `fastiou.match`.
    method : {"greedy", "optimal", "most", "coco"}
        As in `fastiou.match`. "greedy" and "coco" give its bits. "optimal" and "most" find a best
        matching of each group, and the same one where there is but one best.
    scores, iscrowd
        As in `fastiou.match`, in blocks as `groups`. Data frames bring their own.
    groups
        As in `pairs`. There must be some.

    Returns
    -------
    MatchBlocks

    Raises
    ------
    TypeError, ValueError
        As `fastiou.match` and `pairs`; there are no groups.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastiou.dask
    >>> a = da.from_array([[0, 0, 4, 4], [0, 0, 4, 3]], chunks=(1, 4))
    >>> found = fastiou.dask.match(a, a, groups=([1, 2], [2, 1])).compute()
    >>> found.rows, found.cols, found.values
    (array([0, 1]), array([1, 0]), array([0.75, 0.75]))
    """
    sets, fmt = read_blocks({"a": a, "b": b}, fmt, groups, scores, iscrowd)
    options: dict[str, Any] = {
        "threshold": threshold, "method": method, "metric": metric, "fmt": fmt,
    }  # fmt: skip
    first, second = sets
    asked: dict[str, Any] = {"scores": None if scores is None else first.empty_scores}
    if method == "coco" and asked["scores"] is None:
        asked["scores"] = first.empty_scores
    asked["iscrowd"] = None if iscrowd is None else np.empty(0, np.bool_)
    check_numbers(sets, fmt)
    dtype = fastiou.match(first.empty, second.empty, **options, **asked).values.dtype
    for own in sets:
        _check_grouped("match", own)
    count = part_count(parts, sets, fmt, by_place=False)
    cut = cut_sets(sets, options, dtype, count)
    graph = cut.graph
    find = functools.partial(joins.matched_of, options=options)
    found = [
        graph.add_items("found", (part,), graph.add("matched_of", (part,), find, own, other), 3)
        for part, (own, other) in enumerate(zip(cut.first, cut.second, strict=True))
    ]
    matches, rows, cols = zip(*found, strict=True)
    in_blocks = (
        in_sorted_order(cut, "matches", matches, 0, first, 1),
        in_sorted_order(cut, "unmatched_rows", rows, 0, first, 1),
        in_sorted_order(cut, "unmatched_cols", cols, 1, second, 1),
    )
    return MatchBlocks(*([graph.delayed(key) for key in keys] for keys in in_blocks))
