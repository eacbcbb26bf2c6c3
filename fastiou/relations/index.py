"""A set that is searched again and again, prepared once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays.checks import threshold_number, whole_number
from fastiou.arrays.inputs import Input, hand_back, result_dtype
from fastiou.arrays.keys import KeyTable, read_keys
from fastiou.cpu.small import MOST_PAIRS
from fastiou.geometries.boxes import empty_columns
from fastiou.geometries.table import check_metric, geometry_of
from fastiou.geometry import PADDING
from fastiou.metrics import METRICS, Metric
from fastiou.relations import pairs as pairs_module
from fastiou.relations import small
from fastiou.relations import topk as topk_module
from fastiou.relations.pairs import Pairs, lowest_score
from fastiou.relations.thresholds import least_from
from fastiou.relations.topk import TopK, allocate_best, keep_best
from fastiou.runtime import memory
from fastiou.runtime.words import warn_caller
from fastiou.search.pair_lists import list_pairs
from fastiou.search.search import THIRD, BuiltSet, Search, build_set, search_built
from fastiou.tables.box_table import BoxTable
from fastiou.tables.grouping import Grouping, common_groups
from fastiou.tables.opened import (
    USUAL,
    Source,
    as_table,
    keyed_by,
    keys_as_groups,
    opened,
    sourced,
    warn_of_likely_images,
    warn_of_scales,
)
from fastiou.tables.scales import Scale
from fastiou.typing import Array

__all__ = ["Index"]


#: Rows times members up to which one call asks the grid for the rows as they come: should all meet
#: all, it takes 0.1 s, in which Ctrl-C is not heard.
MOST_SCORES = 1 << 28

ONE_GROUP = np.zeros(1, np.int32)


class _Asked(NamedTuple):
    """A set that an index is asked for."""

    #: The argument, without its table.
    a: Any
    #: As plain arrays of the dtype of the scores, if `built` is not None.
    set1: Input
    metric: Metric
    #: The argument `groups` of `pairs`, and the number of each member's group; -1 for none of the
    #: index.
    groups: Any
    codes: Array
    #: None where both sets must be prepared together.
    built: BuiltSet | None
    #: Where they come from, if one of them was a table.
    source: Source | None


class Index:
    """A set of boxes or `Polygons`, prepared once to be compared with others.

    `pairs` and `topk` prepare both sets in each call, which for a million boxes takes 0.1 s. An
    index keeps what is prepared of the second one. It can be pickled, and does not change when `b`
    does.

    Parameters
    ----------
    b : array_like, shape (M, 4), (M, 5) or (M, 8), or Polygons
        Boxes, as in `box_iou`. A `BoxTable`, or a data frame with named columns, brings its format,
        and its keys as groups.
    fmt
        As in `box_iou`. What is asked for comes in the same format.
    groups : array_like, shape (M,), optional
        The group that each box belongs to, one key or several, as in `pairs`. Then all that is
        asked for needs groups of the same keys, too.

    Raises
    ------
    TypeError, ValueError
        As `pairs`; masks, of which there is no index.

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

    def __init__(self, b: Any, fmt: str = USUAL, *, groups: Any = None) -> None:
        b, _, fmt, _, source = opened(("b", ""), b, None, fmt, groups, by_keys=False)
        table = None if source is None else source.a
        #: The keys of the table that are groups.
        self._names: tuple[str, ...] = ()
        if groups is None:
            warn_of_likely_images("b", table)
        if table is not None and groups is None and table.grouped:
            self._names = table.grouped
            groups = keys_as_groups("b", "b", table, self._names)
        geometry = geometry_of(fmt, b)
        if geometry.small is None and not geometry.has_lasting_sets:
            raise ValueError(
                f"b must be boxes, got {geometry.plural}, of which there is no index; pairs and "
                "topk take them"
            )
        given = geometry.read("b", b, fmt, batches=False)
        array = given.array if geometry.has_lasting_sets else np.array(given.array)
        self._set = Input("b", array, array, None, "numpy", None, geometry, fmt)
        self._scale = Scale(array, fmt)
        self._table: BoxTable | None = None
        if table is not None:
            self._table = table[np.arange(len(table))].changed(boxes=array)
        self._keys: KeyTable | None = None
        if groups is not None:
            with memory.in_words("groups", "pass integers"):
                self._keys = KeyTable(read_keys("groups", groups, len(array)))
        # By metric and dtype, since areas are not the same for all.
        self._built: dict[tuple[str, str], BuiltSet | None] = {}
        self._prepared(METRICS["iou"], result_dtype(self._set))

    def __len__(self) -> int:
        return len(self._set.array)

    def __repr__(self) -> str:
        groups = "" if self._keys is None else f" in {self._keys.count:,} groups"
        assert self._set.geometry is not None
        members = f"boxes as {self._set.fmt}"
        if self._set.geometry.has_lasting_sets:
            members = self._set.geometry.plural
        return f"<Index: {len(self):,} {members}{groups}>"

    def __getstate__(self) -> tuple[Any, ...]:
        return self._set.array, self._set.fmt, self._keys, self._built, self._table, self._names

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        array, fmt, self._keys, self._built, self._table, self._names = state
        self._set = Input("b", array, array, None, "numpy", None, geometry_of(fmt, array), fmt)
        self._scale = Scale(array, fmt)

    def pairs(
        self, a: Any, threshold: float = 0.5, *, metric: str = "iou", groups: Any = None
    ) -> Pairs:
        """Find all pairs that score at least a threshold, as `fastiou.pairs(a, b, ...)`.

        Parameters
        ----------
        a : array_like, shape (N, 4), (N, 5) or (N, 8), or Polygons
            Boxes in the format of the index. A table may have another of the same geometry,
            and must have the keys of the index.
        threshold, metric
            As in `pairs`.
        groups : array_like, shape (N,), optional
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
        asked = self._asked(a, metric, groups)
        minimum = threshold_number(threshold, asked.metric.maximum)
        columns = None
        if asked.built is not None:
            columns = _few_pairs(asked, asked.built, minimum)
            found = None if columns is not None else _search(asked, asked.built, minimum)
            if found is not None:
                columns = list_pairs(found, lowest_score(found, minimum), asked.set1.size, None)
        if columns is None:
            together = pairs_module.pairs(
                asked.a, self._set.array, threshold, metric=metric, fmt=self._set.fmt,
                groups=asked.groups,
            )  # fmt: skip
            return sourced(together, asked.source)
        rows, cols, values = (hand_back(part, asked.set1) for part in columns[:3])
        sizes = asked.set1.size, len(self)
        return sourced(Pairs(rows, cols, values, sizes, columns[3]), asked.source)

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
        a : array_like, shape (N, 4), (N, 5) or (N, 8), or Polygons
            Boxes in the format of the index. A table may have another of the same geometry,
            and must have the keys of the index.
        k, threshold, metric
            As in `topk`.
        groups : array_like, shape (N,), optional
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
        asked = self._asked(a, metric, groups)
        number = whole_number("k", k, lowest=1)
        minimum = threshold_number(threshold, asked.metric.maximum, zero=True)
        found = few = None if asked.built is None else _few_rows(asked, asked.built)
        if asked.built is not None and few is None:
            found = _search(asked, asked.built, minimum)
        if found is None:
            together = topk_module.topk(
                asked.a, self._set.array, k, threshold=threshold, metric=metric, fmt=self._set.fmt,
                groups=asked.groups,
            )  # fmt: skip
            return sourced(together, asked.source)
        values, indices = allocate_best((asked.set1.size, number), found.dtype)
        limit = lowest_score(found, minimum)
        keep_best(found, limit, values, indices, at_once=few is not None)
        values, indices = (hand_back(part, asked.set1) for part in (values, indices))
        return sourced(TopK(values, indices, (asked.set1.size, len(self))), asked.source)

    def _asked(self, a: Any, metric: str, groups: Any) -> _Asked:
        """What is asked for, checked, and the set in its dtype."""
        geometry = self._set.geometry
        assert geometry is not None
        chosen = check_metric(metric, geometry)
        way = as_table("a", a)
        fmt = USUAL if isinstance(a, BoxTable) else self._set.fmt
        a, _, own, _, source = opened(("a", ""), a, None, fmt, by_keys=False, boxes_only=True)
        table = None if source is None else source.a
        if table is not None and own != self._set.fmt:
            a = table.convert(self._set.fmt).boxes
        if table is not None and self._table is not None:
            warn_of_scales(("a", "the index"), Scale(table.boxes, table.fmt), self._scale)
        by_keys = table is not None and groups is None and (self._names or self._keys is None)
        if table is not None and by_keys:
            groups = keys_as_groups("a", way, table, self._names)
        set1: Input = geometry.read("a", a, self._set.fmt, batches=False)
        keyed = table if by_keys and self._names and len(set1.array) and len(self) else None
        if keyed is None or self._has_such_keys(keyed):
            checked, codes = self._codes_of(groups, set1.size)
            keyed = keyed if (codes < 0).all() else None
        if keyed is not None:
            grouping = self._grouping(keyed, way)
            source = Source(table, self._table, grouping.values)
            return _Asked(a, set1, chosen, grouping.codes, ONE_GROUP, None, source)
        if table is not None or self._table is not None:
            keys = {} if table is None else table.keys
            shared = {key: keys[key] for key in self._names} if by_keys else {}
            source = Source(table, self._table, shared)
        dtype = result_dtype(set1, self._set)
        array = _lasting_array(set1, dtype)
        built = self._prepared(chosen, dtype) if array is not None else None
        if built is None:
            return _Asked(a, set1, chosen, checked, ONE_GROUP, None, source)
        return _Asked(a, set1._replace(held=array), chosen, checked, codes, built, source)

    def _prepared(self, metric: Metric, dtype: np.dtype[Any]) -> BuiltSet | None:
        """The set for a metric and a dtype of scores; None where it cannot stay as it is."""
        key = metric.name, dtype.name
        if key not in self._built:
            array = _lasting_array(self._set, dtype)
            self._built[key] = None
            if array is not None and len(array):
                given = self._set._replace(held=array)
                codes, count = ONE_GROUP, 1
                if self._keys is not None:
                    codes, count = self._keys.codes, self._keys.count
                built = build_set(given, metric, codes, count)
                # Else coordinates were too large or small for any float.
                if built.exponent == 0 and built.ordered[0].dtype.kind == "f":
                    self._built[key] = built
        return self._built[key]

    def _has_such_keys(self, table: BoxTable) -> bool:
        """Whether the keys of a table are compared with those of the index as they stand."""
        assert self._table is not None
        both = table, self._table
        return all(
            max(len(own.key_columns.get(key, ())) for own in both) < 2
            and len({own.keys[key].dtype.kind == "U" for own in both}) == 1
            for key in self._names
        )

    def _grouping(self, table: BoxTable, way: str) -> Grouping:
        """The groups of both sets together, as `pairs` makes them.

        So are numbers compared with names, one of several columns that tell a key, and names of
        images in another form. `way` is how messages write the argument as a table.
        """
        assert self._table is not None
        first, second = (keyed_by(own, self._names) for own in (table, self._table))
        sides = "a", "the index"

        def by(keys: Sequence[str]) -> str:
            listed = ", ".join(map(repr, keys))
            return f"{way}.by({listed}) and Index(b.by({listed}))"

        grouping = common_groups(first, second, sides, sides, by)
        assert grouping is not None
        if grouping.compared:
            words = "no image of a and the index is named the same: compared are"
            warn_caller(f"{words} {grouping.compared}")
        return grouping

    def _codes_of(self, groups: Any, count: int) -> tuple[Any, Array]:
        """The argument for `pairs`, and the numbers of groups, -1 for those of no box."""
        if self._keys is None:
            if groups is not None:
                raise ValueError("groups must be None: the index has none")
            return None, ONE_GROUP
        if groups is None:
            raise ValueError("groups must be given, one for each of a: the index has groups")
        with memory.in_words("groups", "pass integers"):
            codes = self._keys.codes_of(read_keys("groups", groups, count))
        return (codes, self._keys.codes), codes


def _lasting_array(given: Input, dtype: np.dtype[Any]) -> Any:
    """A set as it is prepared: an array of the dtype of its scores, or what never changes."""
    assert given.geometry is not None
    return given.array if given.geometry.has_lasting_sets else small.plain_array(given, dtype)


# ---- few rows, and many ------------------------------------------------------------------------


def _kind_of_few(asked: _Asked, built: BuiltSet) -> small.Kind | None:
    """The kernels that one call of few rows needs; None if they are many."""
    count = asked.set1.size
    if asked.set1.geometry is None or asked.set1.geometry.small is None:
        return None
    if asked.metric.reaches_further:  # than the bounds that one call makes
        return None
    if built.ordered[0].dtype != built.dtype:  # prepared as float64, which one call does not
        return None
    if count * built.cost * len(built.ordered[2]) > MOST_SCORES or built.left_out != THIRD:
        return None
    return small.kind_for(asked.set1.fmt, asked.metric.name, built.dtype)


def _few_pairs(
    asked: _Asked, built: BuiltSet, minimum: float
) -> tuple[Array, Array, Array, int] | None:
    """Rows, columns, values and the number of scores; None where one call is not for that."""
    kind = _kind_of_few(asked, built)
    if kind is None:
        return None
    count = asked.set1.size
    offsets = np.empty(count + 1, np.int64)
    cols, values = np.empty(MOST_PAIRS, np.int64), np.empty(MOST_PAIRS, built.dtype)
    tested = kind.kernels.built_pairs(
        asked.set1.array, kind.layout, asked.codes, built.ordered, tuple(built.grid),
        least_from(built.dtype, minimum), offsets, cols, values,
    )  # fmt: skip
    if tested < 0:
        return None
    found = int(offsets[-1])
    rows = np.repeat(np.arange(count), np.diff(offsets))
    return rows, cols[:found].copy(), values[:found].copy(), tested


def _few_rows(asked: _Asked, built: BuiltSet) -> Search | None:
    """A search with rows in the order in which they come; None where they are many, or odd."""
    kind = _kind_of_few(asked, built)
    if kind is None:
        return None
    array, codes = asked.set1.array, asked.codes
    order = np.arange(len(array), dtype=np.int32)
    if asked.groups is not None:
        order = order[codes >= 0]
        array, codes = array[order], codes[order]
    geometry = asked.set1.geometry
    assert geometry is not None
    assert geometry.small is not None
    columns = empty_columns(len(array), built.dtype, 0, 4 + geometry.small.data_rows)
    if not kind.kernels.columns(array, kind.layout, columns):
        return None
    set1 = columns[:4], columns[4:], np.append(order, np.zeros(PADDING, np.int32)), codes
    return Search(
        geometry, asked.metric, built.dtype, set1, built.ordered, built.grid, 0.0, 0.0, False, 0,
        built.cost,
    )  # fmt: skip


def _search(asked: _Asked, built: BuiltSet, minimum: float) -> Search | None:
    return search_built(built, asked.set1, asked.metric, minimum, asked.codes)
