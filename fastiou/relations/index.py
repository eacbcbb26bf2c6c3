"""A set that is searched again and again, prepared once."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.checks import group_array, threshold_number, whole_number
from fastiou.arrays.inputs import Input, hand_back, result_dtype
from fastiou.cpu.small import MOST_PAIRS
from fastiou.geometries.table import check_metric, geometry_of
from fastiou.metrics import METRICS, Metric
from fastiou.relations import pairs as pairs_module
from fastiou.relations import small
from fastiou.relations import topk as topk_module
from fastiou.relations.pairs import Pairs, lowest_score
from fastiou.relations.topk import TopK, allocate_best, keep_best
from fastiou.search.pair_lists import list_pairs
from fastiou.search.search import BuiltSet, build_set, search_built
from fastiou.typing import Array

__all__ = ["Index"]


#: Rows up to which one call on one thread asks the grid in the order in which they come.
MOST_ROWS = 1 << 10

ONE_GROUP = np.zeros(1, np.int32)


class Index:
    """A set of boxes, prepared once to be compared with others.

    `pairs` and `topk` prepare both sets in each call, which for a million boxes takes 0.1 s. An
    index keeps what is prepared of the second one. It can be pickled, and does not change when `b`
    does.

    Parameters
    ----------
    b : array_like, shape (M, 4) or (M, 5)
        Boxes, as in `box_iou`.
    fmt
        As in `box_iou`. What is asked for comes in the same format.
    groups : array of int, shape (M,), optional
        The group that each box belongs to. Then all that is asked for needs groups, too.

    Raises
    ------
    TypeError, ValueError
        As `pairs`; masks, of which nothing is prepared that would be worth keeping.

    Examples
    --------
    >>> import fastiou
    >>> index = fastiou.Index([[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]])
    >>> index.pairs([[0, 0, 4, 4]])
    <Pairs: 2 of 1 × 3>
           row        col      value
             0          0          1
             0          1       0.75
    >>> index.topk([[0, 0, 4, 2.5]]).indices
    array([[1]])
    """

    def __init__(self, b: Any, fmt: str = "xyxy", *, groups: Any = None) -> None:
        geometry = geometry_of(fmt, b)
        if geometry.small is None:
            raise ValueError(
                f"b must be boxes, got {geometry.plural}, which pairs and topk compare as fast"
            )
        given = geometry.read("b", b, fmt, batches=False)
        array = np.array(given.array)
        self._set = Input("b", array, array, None, "numpy", None, geometry, fmt)
        self._groups: Array | None = None
        self._labels, self._codes = np.zeros(1, np.int64), ONE_GROUP
        if groups is not None:
            self._groups = np.array(group_array("groups", groups, len(array)))
            self._labels, codes = np.unique(self._groups, return_inverse=True)
            self._codes = codes.astype(np.int32)
        # By metric and dtype, since areas are not the same for all.
        self._built: dict[tuple[str, str], BuiltSet | None] = {}
        self._prepared(METRICS["iou"], result_dtype(self._set))

    def __len__(self) -> int:
        return len(self._set.array)

    def __repr__(self) -> str:
        groups = "" if self._groups is None else f" in {len(self._labels):,} groups"
        return f"<Index: {len(self):,} boxes as {self._set.fmt}{groups}>"

    def __getstate__(self) -> tuple[Any, ...]:
        return self._set.array, self._set.fmt, self._groups, self._labels, self._codes, self._built

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        array, fmt, self._groups, self._labels, self._codes, self._built = state
        self._set = Input("b", array, array, None, "numpy", None, geometry_of(fmt), fmt)

    def pairs(
        self, a: Any, threshold: float = 0.5, *, metric: str = "iou", groups: Any = None
    ) -> Pairs:
        """Find all pairs that score at least a threshold, as `fastiou.pairs(a, b, ...)`.

        Parameters
        ----------
        a : array_like, shape (N, 4) or (N, 5)
            Boxes in the format of the index.
        threshold, metric
            As in `pairs`.
        groups : array of int, shape (N,), optional
            The group that each of `a` belongs to; for an index with groups, which needs them.

        Returns
        -------
        Pairs
            What `pairs` finds, bit for bit, as arrays of the library that `a` came from.

        Raises
        ------
        TypeError, ValueError
            As `pairs`.
        """
        set1, chosen = self._read(a, metric)
        minimum = threshold_number(threshold, chosen.maximum)
        checked, codes = self._codes_of(groups, set1.size)
        dtype = result_dtype(set1, self._set)

        def found_pairs(rows: Array, cols: Array, values: Array, tested: int) -> Pairs:
            rows, cols, values = (hand_back(part, set1) for part in (rows, cols, values))
            return Pairs(rows, cols, values, (set1.size, len(self)), tested)

        array, built = small.plain_array(set1, dtype), self._prepared(chosen, dtype)
        if array is not None and built is not None and codes is not None:
            few = small.kernels_for(self._set.fmt, metric, dtype)
            if few is not None and set1.size <= MOST_ROWS:
                offsets = np.empty(set1.size + 1, np.int64)
                cols, values = np.empty(MOST_PAIRS, np.int64), np.empty(MOST_PAIRS, dtype)
                tested = few.kernels.built_pairs(
                    array, few.layout, codes, built.ordered, tuple(built.grid),
                    small.least_from(dtype, minimum), offsets, cols, values,
                )  # fmt: skip
                if tested >= 0:
                    count = int(offsets[-1])
                    rows = np.repeat(np.arange(set1.size), np.diff(offsets))
                    return found_pairs(rows, cols[:count].copy(), values[:count].copy(), tested)
            given = set1._replace(array=array)
            found = search_built(built, given, chosen, minimum, codes)
            if found is not None:
                return found_pairs(
                    *list_pairs(found, lowest_score(found, minimum), set1.size, None)
                )
        return pairs_module.pairs(
            a, self._set.array, threshold, metric=metric, fmt=self._set.fmt, groups=checked
        )

    def topk(
        self,
        a: Any,
        k: int = 1,
        *,
        threshold: float = 0.0,
        metric: str = "iou",
        groups: Any = None,
    ) -> TopK:
        """Find the best k for each of `a`, as `fastiou.topk(a, b, k, ...)`.

        Parameters
        ----------
        a : array_like, shape (N, 4) or (N, 5)
            Boxes in the format of the index.
        k, threshold, metric
            As in `topk`.
        groups : array of int, shape (N,), optional
            The group that each of `a` belongs to; for an index with groups, which needs them.

        Returns
        -------
        TopK
            What `topk` finds, bit for bit, as arrays of the library that `a` came from.

        Raises
        ------
        TypeError, ValueError, MemoryError
            As `topk`.
        """
        set1, chosen = self._read(a, metric)
        number = whole_number("k", k, lowest=1)
        minimum = threshold_number(threshold, chosen.maximum, zero=True)
        checked, codes = self._codes_of(groups, set1.size)
        dtype = result_dtype(set1, self._set)
        array, built = small.plain_array(set1, dtype), self._prepared(chosen, dtype)
        if array is not None and built is not None and codes is not None:
            few = small.kernels_for(self._set.fmt, metric, dtype)
            values, indices = allocate_best((set1.size, number), dtype)
            if few is not None and set1.size <= MOST_ROWS:
                is_done = few.kernels.built_topk(
                    array, few.layout, codes, built.ordered, tuple(built.grid),
                    small.least_from(dtype, minimum), indices, values,
                )  # fmt: skip
                if is_done:
                    return TopK(hand_back(values, set1), hand_back(indices, set1))
            given = set1._replace(array=array)
            found = search_built(built, given, chosen, minimum, codes)
            if found is not None:
                keep_best(found, lowest_score(found, minimum), values, indices)
                return TopK(hand_back(values, set1), hand_back(indices, set1))
        return topk_module.topk(
            a,
            self._set.array,
            k,
            threshold=threshold,
            metric=metric,
            fmt=self._set.fmt,
            groups=checked,
        )

    def _read(self, a: Any, metric: str) -> tuple[Input, Metric]:
        geometry = self._set.geometry
        assert geometry is not None
        chosen = check_metric(metric, geometry)
        return geometry.read("a", a, self._set.fmt, batches=False), chosen

    def _prepared(self, metric: Metric, dtype: np.dtype[Any]) -> BuiltSet | None:
        """The set for a metric and a dtype of scores; None where it cannot stay as it is."""
        key = metric.name, dtype.name
        if key not in self._built:
            array = small.plain_array(self._set, dtype)
            self._built[key] = None
            if array is not None and len(array):
                given = self._set._replace(array=array)
                built = build_set(given, metric, self._codes, len(self._labels))
                # Else coordinates were too large or small for the dtype.
                if built.exponent == 0 and built.ordered[0].dtype == dtype:
                    self._built[key] = built
        return self._built[key]

    def _codes_of(self, groups: Any, count: int) -> tuple[Any, Array | None]:
        """The argument for `pairs`, and the numbers of groups, -1 for those of no box.

        There are no numbers where one of both has integers from 2**63 on, or the index is empty.
        """
        if (groups is None) != (self._groups is None):
            has = "no groups" if self._groups is None else "groups"
            raise ValueError(f"groups must be given if the index has groups alone; it has {has}")
        if self._groups is None:
            return None, ONE_GROUP
        own = group_array("groups", groups, count)
        if own.dtype != self._labels.dtype or not len(self._labels):
            return (own, self._groups), None
        places = np.minimum(np.searchsorted(self._labels, own), len(self._labels) - 1)
        codes = np.where(self._labels[places] == own, places, -1).astype(np.int32)
        return (own, self._groups), codes
