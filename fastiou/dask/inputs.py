"""Arguments in blocks, and the parts that they are cut into."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.delayed import Delayed, delayed

from fastiou.arrays.checks import whole_number
from fastiou.blocks import joins
from fastiou.blocks.parts import (
    Plan,
    block_of,
    block_of_frame,
    layout_of,
    plan_of,
    split,
    summary_of,
)
from fastiou.dask.graph import Graph, Key
from fastiou.geometries.table import FORMATS
from fastiou.runtime.words import described
from fastiou.tables.box_table import BoxTable, table_of_frame
from fastiou.tables.column_names import plain_name
from fastiou.tables.columns import ColumnsError, meaning_of
from fastiou.tables.opened import USUAL, opened
from fastiou.typing import Array

__all__ = [
    "BlockSet",
    "CutSets",
    "check_format",
    "check_numbers",
    "collection",
    "cut_sets",
    "empty_of",
    "in_order",
    "in_sorted_order",
    "is_frame",
    "known_sizes",
    "part_count",
    "read_blocks",
]

#: Geometries of which `bounds_of` knows the bounds.
FLAT = ("box", "rotated box", "quadrilateral")

#: Parts that sets are cut into at most, unless asked for more: tasks grow as blocks times parts.
MOST_PARTS = 256


class BlockSet(NamedTuple):
    """A set of boxes in blocks."""

    #: Of `parts.Block`.
    blocks: list[Delayed]
    #: Members of each block, None where they are not known yet.
    sizes: tuple[int, ...] | None
    #: No members, but their dtype and shape.
    empty: Array
    #: Nothing of the scores of each, None without them.
    empty_scores: Array | None
    has_keys: bool


def is_frame(value: Any) -> bool:
    """Whether an argument is a data frame of Dask."""
    return isinstance(value, dd.DataFrame)


def collection(name: str, value: Any) -> Any:
    """An argument as a collection of Dask."""
    if isinstance(value, da.Array | dd.DataFrame):
        return value
    if isinstance(value, pd.DataFrame):
        return dd.from_pandas(value, npartitions=1, sort=False)
    if isinstance(value, np.ndarray | list | tuple):
        return da.from_array(np.asarray(value), chunks=-1)
    raise TypeError(
        f"{name} must be an array or data frame of Dask, NumPy or pandas, got {described(value)}"
    )


def known_sizes(array: Any) -> tuple[int, ...] | None:
    """The chunks of the rows; None where one is of unknown size."""
    sizes = array.chunks[0]
    return None if any(np.isnan(size) for size in sizes) else tuple(map(int, sizes))


def empty_of(name: str, value: Any) -> Any:
    """An argument without members, to be checked by the function of the same name."""
    if is_frame(value):
        return value._meta
    if not isinstance(value._meta, np.ndarray):
        raise TypeError(f"{name} must hold chunks of NumPy, got {described(type(value._meta))}")
    if value.ndim != 2 or np.isnan(value.shape[1]):
        raise ValueError(f"{name} must have the shape (N, 4) or (N, 5), got {value.shape}")
    return np.empty((0, int(value.shape[1])), value.dtype)


class _Blocks(NamedTuple):
    """How an argument of members is cut, which columns beside it must be, too."""

    name: str
    number: int
    sizes: tuple[int, ...] | None


def _blocks_of(name: str, value: Any) -> _Blocks:
    if is_frame(value):
        return _Blocks(name, value.npartitions, None)
    return _Blocks(name, value.numblocks[0], known_sizes(value))


def _column(what: str, column: Any, like: _Blocks) -> list[Any]:
    """The blocks of a column of one value for each member of a set."""
    unfit = f"{what} must be cut as {like.name}, into {like.number} blocks"
    if isinstance(column, dd.Series):
        if column.npartitions != like.number:
            raise ValueError(f"{unfit}, got {column.npartitions}")
        return list(column.to_delayed())
    if isinstance(column, da.Array):
        if column.ndim != 1:
            raise ValueError(f"{what} must have one dimension, got shape {column.shape}")
        own = known_sizes(column)
        if own is not None and like.sizes is not None:
            if sum(own) != sum(like.sizes):
                raise ValueError(
                    f"{what} must be {sum(like.sizes)}, one for each of {like.name}, got {sum(own)}"
                )
            column = column.rechunk((like.sizes,))
        elif column.numblocks[0] != like.number:
            raise ValueError(
                f"{unfit}, got {column.numblocks[0]}: chunks of unknown size cannot be cut anew; "
                "compute_chunk_sizes() finds their sizes"
            )
        return list(column.to_delayed())
    if like.sizes is None:
        raise ValueError(
            f"{what} must be an array or column of Dask, since {like.name} has blocks of unknown "
            "size; compute_chunk_sizes() of an array finds them"
        )
    values = column if isinstance(column, list | tuple) else np.asarray(column)
    if len(values) != sum(like.sizes):
        raise ValueError(
            f"{what} must be {sum(like.sizes)}, one for each of {like.name}, got {len(values)}"
        )
    ends = np.cumsum([0, *like.sizes])
    return [values[begin:end] for begin, end in itertools.pairwise(ends)]


def _keys(what: str, groups: Any, like: _Blocks) -> list[tuple[Any, ...]] | None:
    """For each block its part of every key, None without groups."""
    if groups is None:
        return None
    if isinstance(groups, dd.DataFrame):
        groups = tuple(groups[name] for name in groups.columns)
    several = isinstance(groups, tuple) and any(
        hasattr(key, "__len__") and not isinstance(key, str | bytes) for key in groups
    )
    keys = list(groups) if several else [groups]
    return list(zip(*(_column(what, key, like) for key in keys), strict=True))


def _sides(groups: Any, itself: bool) -> tuple[Any, Any]:
    """The argument `groups` of either set."""
    if groups is None or itself:
        return groups, None
    if not isinstance(groups, tuple | list) or len(groups) != 2:
        raise ValueError(
            "groups must be a tuple of two, the groups of a and those of b, when both are given"
        )
    return groups[0], groups[1]


def _key_names(names: Sequence[str], frames: Sequence[Any]) -> list[dict[str, str]]:
    """For each data frame the columns of the keys that all have, by the names of these.

    Raises
    ------
    ValueError
        Only one has keys, or other columns tell a key in each.
    """
    told = [table.key_columns for table in frames]
    common = [key for key in told[0] if all(key in own for own in told)]
    if not common and any(told):
        name, own = next(pair for pair in zip(names, told, strict=True) if pair[1])
        raise ValueError(
            f"only {name} has {' and '.join(own)}, so nothing tells what may meet: pass groups, or "
            "frames with the columns of boxes alone"
        )
    chosen: list[dict[str, str]] = [{} for _ in frames]
    for key in common:
        by_plain = [{plain_name(name): name for name in own[key]} for own in told]
        shared = [plain for plain in by_plain[0] if all(plain in own for own in by_plain)]
        if not shared and any(len(own) > 1 for own in by_plain):
            listed = " and ".join(", ".join(own.values()) for own in by_plain)
            raise ValueError(f"groups must be given: the key {key} is told by {listed}")
        for own, by_name in zip(chosen, by_plain, strict=True):
            own[key] = by_name[shared[0]] if shared else next(iter(by_name.values()))
    return chosen


def _fmt_of_frame(name: str, empty: Any, fmt: str) -> str:
    """The format of a data frame, which is not guessed from some of its angles."""
    asked = None if fmt is USUAL else fmt
    table = table_of_frame(name, empty, asked, None)
    try:
        meaning = meaning_of(list(map(str, empty.columns)), table.fmt, None, told=True)
    except ColumnsError as error:  # which `table_of_frame` would have raised
        raise ValueError(f"{name}: {error}") from None
    if asked is None and meaning.angle is not None:
        raise ValueError(
            f"fmt must be given: the name {empty.columns[meaning.angle]} in {name} tells no unit"
        )
    return table.fmt


def check_format(fmt: Any) -> None:
    """Refuse two formats, as relations in memory take them."""
    if not isinstance(fmt, str):
        raise TypeError(f"fmt must be one format, of both sets, got {described(fmt)}")


def read_blocks(
    values: Mapping[str, Any], fmt: str, groups: Any, scores: Any = None, iscrowd: Any = None
) -> tuple[list[BlockSet], str]:
    """Arguments of boxes in blocks, and their format. Scores are of the first, crowds of the last.

    Raises
    ------
    TypeError, ValueError
        Columns that do not fit together.
    """
    names = list(values)
    own = [collection(name, value) for name, value in values.items()]
    empties = [empty_of(name, value) for name, value in zip(names, own, strict=True)]
    formats = [
        _fmt_of_frame(name, empty, fmt) if is_frame(value) else ""
        for name, empty, value in zip(names, empties, own, strict=True)
    ]
    check_format(fmt)
    other = empties[1] if len(own) > 1 else None
    arguments = opened((names[0], names[-1]), empties[0], other, fmt, by_keys=False)
    fmt = arguments.fmt
    members = [arguments.a, arguments.b][: len(own)]
    key_names: list[dict[str, str]] = [{} for _ in own]
    if groups is None and any(map(is_frame, own)):
        tables = [
            table_of_frame(name, empty, told, None) if told else BoxTable(np.asarray(empty), fmt)
            for name, empty, told in zip(names, empties, formats, strict=True)
        ]
        key_names = _key_names(names, tables)
    sets = []
    for place, (name, value, empty) in enumerate(zip(names, own, members, strict=True)):
        like = _blocks_of(name, value)
        side = _sides(groups, len(own) == 1)[place]
        label = "groups" if len(own) == 1 else f"groups[{place}]"
        keys = _keys(label, side, like)
        given: dict[str, Any] = {}
        if scores is not None and place == 0:
            given["scores"] = _column("scores", scores, like)
        if iscrowd is not None and place == len(own) - 1:
            given["iscrowd"] = _column("iscrowd", iscrowd, like)
        make = block_of
        if formats[place]:
            make = functools.partial(
                block_of_frame, own_fmt=formats[place], fmt=fmt, key_names=key_names[place]
            )
            pieces = value.to_delayed()
        else:
            pieces = value.rechunk({1: -1}).to_delayed()[:, 0]
        blocks = [
            delayed(make, pure=True)(
                f"{name}, block {number}",
                piece,
                keys=None if keys is None else keys[number],
                **{column: cut[number] for column, cut in given.items()},
            )
            for number, piece in enumerate(pieces)
        ]
        empty_scores = None
        if "scores" in given:
            empty_scores = np.empty(0, getattr(scores, "dtype", np.float64))
        elif formats[place]:
            empty_scores = table_of_frame(name, empties[place], formats[place], None).scores
        has_keys = keys is not None or bool(key_names[place])
        sets.append(BlockSet(blocks, like.sizes, np.asarray(empty), empty_scores, has_keys))
    return sets, fmt


def check_numbers(sets: Sequence[BlockSet], fmt: str) -> None:
    """Refuse integers of formats that round them by where the others of the set are."""
    for own in sets:
        if own.empty.dtype.kind in "biu" and fmt in FORMATS and FORMATS[fmt].name != "box":
            raise TypeError(
                f"boxes as {fmt} must be floats, got {own.empty.dtype}: integers are rounded by "
                "where all others are"
            )


def part_count(given: Any, sets: Sequence[BlockSet], fmt: str, *, by_place: bool) -> int:
    """How many parts sets are cut into."""
    count = min(MOST_PARTS, max(len(own.blocks) for own in sets))
    if given is not None:
        count = whole_number("parts", given, lowest=1)
    if by_place:
        if FORMATS[fmt].name not in FLAT:
            raise ValueError(
                f"fmt={fmt!r} needs groups: without them, sets are cut by places in the plane"
            )
        bands, columns = layout_of(count)
        count = bands * columns
    return count


class CutSets(NamedTuple):
    """Sets that were cut into parts, by the keys of tasks."""

    graph: Graph
    plan: Key
    #: Where the blocks of either set begin.
    offsets: tuple[Key, Key]
    #: For each part the pieces of each block.
    first: list[list[Key]]
    second: list[list[Key]]


def cut_sets(
    sets: Sequence[BlockSet], options: Mapping[str, Any], dtype: Any, count: int
) -> CutSets:
    """Cut sets into parts: by their groups, or else by where their members lie.

    `options` are those of the function, of which fmt and metric are needed.
    """
    fmt, metric = options["fmt"], options["metric"]
    blocks = [block for own in sets for block in own.blocks]
    graph = Graph(blocks, dict(options), count, len(sets))
    looked = [
        [
            graph.add(
                "summary_of", (side, number), summary_of,
                f"block {number} of {'ab'[side]}", block.key, fmt, metric, np.dtype(dtype).str,
            )
            for number, block in enumerate(own.blocks)
        ]
        for side, own in enumerate(sets)
    ]  # fmt: skip
    plan = graph.add("plan_of", (), plan_of, looked[0], looked[-1], count)
    pieces = []
    for side, own in enumerate(sets):
        of_blocks = []
        for number, block in enumerate(own.blocks):
            cut = graph.add(
                "split", (side, number), split, block.key, number, side, plan, fmt, count
            )
            of_blocks.append(graph.add_items("piece", (side, number), cut, count))
        pieces.append([list(part) for part in zip(*of_blocks, strict=True)])
    offsets = (
        graph.add("offsets", (0,), _offsets_of, plan, 0),
        graph.add("offsets", (1,), _offsets_of, plan, 1),
    )
    return CutSets(graph, plan, offsets, pieces[0], pieces[-1])


def _offsets_of(plan: Plan, side: int) -> Array:
    return plan.offsets[side]


def in_order(
    cut: CutSets, name: str, found: Sequence[Key], side: int, own: BlockSet
) -> list[list[Key]]:
    """What parts found, columns of which the first are rows, by the blocks of these rows."""
    count = len(own.blocks)
    pieces = []
    for part, columns in enumerate(found):
        rows = cut.graph.add(f"by_rows-{name}", (part,), joins.by_rows, columns, cut.offsets[side])
        pieces.append(cut.graph.add_items(f"rows-{name}", (part,), rows, count))
    return [list(of_block) for of_block in zip(*pieces, strict=True)]


def in_sorted_order(
    cut: CutSets, name: str, found: Sequence[Key], side: int, own: BlockSet, keys: int
) -> list[Key]:
    """The same, sorted by the first so many columns."""
    return [
        cut.graph.add(f"gathered-{name}", (number,), joins.gathered, columns, keys)
        for number, columns in enumerate(in_order(cut, name, found, side, own))
    ]
