"""What is found in one part, and how it is taken back to the order of the whole."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastiou.blocks.parts import Block, Plan, bounds_of, one_of, refuse_extremes, tiles_at
from fastiou.relations.dense import box_iou
from fastiou.relations.match import Match, match
from fastiou.relations.nms import best_of_each, by_score, nms
from fastiou.relations.pairs import Pairs, pairs
from fastiou.relations.soft_nms import soft_nms
from fastiou.relations.thresholds import rounded
from fastiou.relations.topk import topk
from fastiou.runtime import threads
from fastiou.typing import Array

__all__ = [
    "Found",
    "Matched",
    "best_of",
    "by_rows",
    "gathered",
    "joined_match",
    "joined_pairs",
    "kept_in_all",
    "kept_of",
    "matched_of",
    "pairs_of",
    "scores_of",
    "top_rows",
]

#: Columns of one length, the first of them positions in a set that ascend.
Columns = tuple[Array, ...]


class Found(NamedTuple):
    """The pairs of one part, by positions in the whole sets, sorted by row and column."""

    rows: Array
    cols: Array
    values: Array
    #: How many scores it took.
    tested: int


class Matched(NamedTuple):
    """What `match` finds in one part, by positions in the whole sets."""

    matches: Columns
    unmatched_rows: Columns
    unmatched_cols: Columns


# ---- one part ----------------------------------------------------------------------------------


def scores_of(boxes1: Array, boxes2: Array, options: Mapping[str, Any], dtype: Any) -> Array:
    """What `box_iou` gives of two blocks."""
    dtype = np.dtype(dtype)
    with threads.limited(1):
        for place, members in enumerate((boxes1, boxes2)):
            where = f"a block of boxes{place + 1}"
            refuse_extremes(where, members, options["fmt"], options["metric"], dtype)
        scores: Array = box_iou(boxes1, boxes2, **options)
    return scores


def _groups(a: Block, b: Block | None) -> Any:
    if a.keys is None:
        return None
    return a.keys if b is None else (a.keys, b.keys)


def pairs_of(
    part: int,
    blocks1: Sequence[Block],
    blocks2: Sequence[Block] | None,
    plan: Plan,
    options: Mapping[str, Any],
) -> Found:
    """The pairs of one part of both sets, or of one set with itself.

    A pair that several parts of the plane have is found in one of them: where the upper left corner
    of what both boxes cover is.

    Parameters
    ----------
    part
        Which part it is.
    blocks1, blocks2
        From `parts.split`, in the order of the blocks.
    plan
        As in `parts.split`.
    options
        As `pairs` takes them; fmt must be there.
    """
    a = one_of(blocks1)
    b = None if blocks2 is None else one_of(blocks2)
    other = a if b is None else b
    with threads.limited(1):
        found = pairs(a.members, None if b is None else b.members, groups=_groups(a, b), **options)
    rows, cols, values = found
    if a.keys is None and plan.cuts_x.size + plan.cuts_y.size:
        fmt = options["fmt"]
        corner1 = bounds_of(a.members[rows], fmt)[:2]
        corner2 = bounds_of(other.members[cols], fmt)[:2]
        own = tiles_at(plan, *np.maximum(corner1, corner2)) == part
        rows, cols, values = rows[own], cols[own], values[own]
    assert a.rows is not None
    assert other.rows is not None
    return Found(a.rows[rows], other.rows[cols], values, found.tested)


def best_of(
    blocks1: Sequence[Block], blocks2: Sequence[Block], options: Mapping[str, Any]
) -> Columns:
    """The best few of each row in one part: rows, columns, values.

    Those of a row are the best of all where the row is in no other part. Else `top_rows` chooses.
    """
    a, b = one_of(blocks1), one_of(blocks2)
    with threads.limited(1):
        found = topk(a.members, b.members, groups=_groups(a, b), **options)
    rows, cols, values = found.to_numpy()
    assert a.rows is not None
    assert b.rows is not None
    return a.rows[rows], b.rows[cols], values


def kept_of(blocks: Sequence[Block], options: Mapping[str, Any]) -> Columns:
    """What `nms` keeps of one part: positions, ascending, and the scores that order them."""
    a = one_of(blocks)
    with threads.limited(1):
        if options["method"] == "hard":
            kept = nms(a.members, a.scores, groups=a.keys, **options)
            assert a.scores is not None
            scores = a.scores[kept]
        else:
            # As float64 they are in the order of `nms`, whatever the dtype of what came.
            assert a.scores is not None
            least = options["score_threshold"]
            if least is not None and a.scores.dtype.kind == "f":
                options = {**options, "score_threshold": rounded(a.scores.dtype, least)}
            wide = a.scores.astype(np.float64)
            kept, scores = soft_nms(a.members, wide, groups=a.keys, **options)
    order = np.argsort(kept)
    assert a.rows is not None
    return a.rows[kept[order]], scores[order]


def kept_in_all(columns: Sequence[Columns], max_total: int | None) -> Array:
    """What is kept of all parts, by descending score, and equal scores by position."""
    rows, scores = gathered(columns, 1)
    return best_of_each(rows[by_score(scores)], None, max_total)


def matched_of(
    blocks1: Sequence[Block], blocks2: Sequence[Block], options: Mapping[str, Any]
) -> Matched:
    """What `match` finds in one part of both sets."""
    a, b = one_of(blocks1), one_of(blocks2)
    if options["method"] == "coco":
        options = {**options, "scores": a.scores, "iscrowd": b.iscrowd}
    with threads.limited(1):
        found = match(a.members, b.members, groups=_groups(a, b), **options)
    assert a.rows is not None
    assert b.rows is not None
    return Matched(
        (a.rows[found.rows], b.rows[found.cols], found.values),
        (a.rows[found.unmatched_rows],),
        (b.rows[found.unmatched_cols],),
    )


# ---- the order of the whole --------------------------------------------------------------------


def by_rows(columns: Sequence[Array], offsets: Array) -> list[Columns]:
    """Cut columns by the block that their first, which ascends, is in."""
    cuts = np.searchsorted(columns[0], offsets)
    return [
        tuple(column[begin:end] for column in columns) for begin, end in itertools.pairwise(cuts)
    ]


def gathered(columns: Sequence[Columns], keys: int) -> Columns:
    """What several parts found of the same rows, sorted by the first so many columns."""
    joined = tuple(map(np.concatenate, zip(*columns, strict=True)))
    if len(columns) == 1:
        return joined
    order = np.lexsort(joined[keys - 1 :: -1])
    return tuple(column[order] for column in joined)


def top_rows(columns: Sequence[Columns], begin: int, end: int, k: int) -> tuple[Array, Array]:
    """The best k of the rows from `begin` to `end`, as `topk` has them: values and indices."""
    rows, cols, values = map(np.concatenate, zip(*columns, strict=True))
    order = np.lexsort((cols, -values, rows))
    rows, cols, values = rows[order] - begin, cols[order], values[order]
    # Two parts may have the same pair, which then follows itself.
    again = np.zeros(len(rows), np.bool_)
    again[1:] = (rows[1:] == rows[:-1]) & (cols[1:] == cols[:-1])
    rows, cols, values = rows[~again], cols[~again], values[~again]
    ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
    own = ranks < k
    best = np.zeros((end - begin, k), values.dtype), np.full((end - begin, k), -1)
    for table, column in zip(best, (values, cols), strict=True):
        table[rows[own], ranks[own]] = column[own]
    return best


def joined_pairs(columns: Sequence[Columns], sizes: tuple[int, int], tested: int) -> Pairs:
    """Pairs of all blocks, in their order, as one result."""
    rows, cols, values = map(np.concatenate, zip(*columns, strict=True))
    return Pairs(rows, cols, values, sizes, tested)


def joined_match(
    matches: Sequence[Columns], rows: Sequence[Columns], cols: Sequence[Columns]
) -> Match:
    """Matches of all blocks, in their order, as one result."""
    parts = [
        np.concatenate(column)
        for columns in (matches, rows, cols)
        for column in zip(*columns, strict=True)
    ]
    return Match(*parts)
