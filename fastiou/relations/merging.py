"""Non-maximum merging: of members that overlap, which one the others belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastiou.arrays.checks import least_number, threshold_number
from fastiou.arrays.inputs import hand_back, plain_array, result_dtype
from fastiou.geometries.table import check_metric, geometry_of
from fastiou.relations import small
from fastiou.relations.nms import SIGMA, Names, by_score, suppress
from fastiou.relations.pairs import find_pairs
from fastiou.relations.thresholds import least_from, rounded
from fastiou.runtime.distinct import counted
from fastiou.tables.opened import USUAL, opened
from fastiou.typing import Array

__all__ = ["Merged", "non_max_merge"]


@dataclass(frozen=True, eq=False)
class Merged:
    """Who was absorbed by whom.

    Iterating gives `indices` and `owners`, so that they can be unpacked; `len` is the number kept.

    Attributes
    ----------
    indices : array of int64, shape (K,)
        Positions of those that are kept, by descending score.
    owners : array of int64, shape (N,)
        Position of the one that each belongs to: its own, if it is kept; -1 if its score is too
        low.
    members : array of int64
        Positions of all that belong to one, cluster by cluster in the order of `indices`; in each
        the one that is kept comes first, then the others by descending score.
    offsets : array of int64, shape (K + 1,)
        Where each cluster begins in `members`.
    """

    indices: Any
    owners: Any
    members: Any
    offsets: Any

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.indices, self.owners))

    def __repr__(self) -> str:
        return f"<Merged: {len(self.members):,} in {len(self):,} clusters>"

    @property
    def clusters(self) -> list[Array]:
        """The members of each cluster, as arrays of int64."""
        members, offsets = (plain_array("merged", part) for part in (self.members, self.offsets))
        return np.split(members, offsets[1:-1]) if len(self) else []


def non_max_merge(
    a: Any,
    scores: Any = None,
    threshold: float = 0.5,
    *,
    groups: Any = None,
    metric: str = "iou",
    fmt: str = USUAL,
    score_threshold: float | None = None,
) -> Merged:
    """Find the clusters of members that overlap: non-maximum merging.

    Members are taken by descending score. Each one that is kept absorbs all after it whose score
    with it is at least the threshold, and that were not absorbed before. It is `nms`, which says
    who is kept, and who is left to whom. There the threshold itself does not suppress.

    Parameters
    ----------
    a, scores, groups, metric, fmt
        As in `nms`.
    threshold : float
        Least score of a member that is absorbed, as in `pairs`.
    score_threshold : float, optional
        Members whose own score is less belong to nothing. Without it, all count.

    Returns
    -------
    Merged
        Arrays of the library that `a` came from. Boxes with a NaN are kept, and absorb nothing.

    Raises
    ------
    TypeError, ValueError
        As `nms`; a threshold that is not above 0.
    MemoryError
        The pairs of those that are kept with others do not fit in memory.

    Examples
    --------
    >>> import fastiou
    >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10], [0, 1, 4, 4]]
    >>> merged = fastiou.non_max_merge(boxes, [0.8, 0.9, 0.1, 0.7])
    >>> merged
    <Merged: 4 in 2 clusters>
    >>> merged.indices, merged.owners
    (array([1, 2]), array([1, 1, 2, 1]))
    >>> merged.clusters
    [array([1, 0, 3]), array([2])]
    """
    arguments = opened(("a", ""), a, None, fmt, groups)
    a, _, fmt, groups, _ = arguments
    scores = arguments.scores(scores, "a")
    geometry = geometry_of(fmt, a)
    chosen = check_metric(metric, geometry)
    minimum = threshold_number(threshold, chosen.maximum)
    set1 = geometry.read("a", a, fmt, batches=False)
    dtype = result_dtype(set1)
    # What `nms` suppresses is more than its threshold.
    below = np.nextafter(dtype.type(least_from(dtype, minimum)), dtype.type(0))
    known = small.checked_groups(groups, set1.size, set1.size, True)
    found = suppress(
        Names(), a, scores, float(below), known, metric, fmt, "hard", SIGMA, score_threshold,
        None, None, "auto",
    )  # fmt: skip
    kept, values = found.indices, found.given_scores
    counts = np.full(set1.size, True)
    if score_threshold is not None:
        least = rounded(values.dtype, least_number("score_threshold", score_threshold))
        counts = values >= least
    owners = np.full(set1.size, -1)
    owners[kept] = kept
    left = np.flatnonzero(counts & (owners < 0))
    if len(left):
        one, other = (
            set1._replace(held=set1.array[rows], source=set1.array[rows], gpu=None)
            for rows in (kept, left)
        )
        own_groups = None if known is None else (known[kept], known[left])
        pairs = find_pairs(one, other, chosen, minimum, own_groups)
        # By row, that is by descending score: of those that overlap it the first absorbs a member.
        owners[left[pairs.cols[::-1]]] = kept[pairs.rows[::-1]]
    ranks = np.empty(set1.size, np.int64)
    ranks[by_score(values)] = np.arange(set1.size)
    members = np.flatnonzero(owners >= 0)
    members = members[np.lexsort((ranks[members], ranks[owners[members]]))]
    places = np.empty(set1.size, np.int64)
    places[kept] = np.arange(len(kept))
    sizes = counted(places[owners[members]], len(kept))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    parts = (kept, owners, members, offsets)
    return Merged(*(hand_back(part, set1) for part in parts))
