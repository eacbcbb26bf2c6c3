"""Blocks of a set, and the parts of the plane or of the groups that they are cut into."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastiou.arrays.inputs import Input
from fastiou.arrays.keys import read_keys
from fastiou.geometries.table import FORMATS
from fastiou.metrics import METRICS
from fastiou.tables.box_table import table_of_frame
from fastiou.typing import Array

__all__ = [
    "Block",
    "Plan",
    "Summary",
    "block_of",
    "block_of_frame",
    "hashes_of",
    "layout_of",
    "one_of",
    "plan_of",
    "refuse_extremes",
    "split",
    "summary_of",
    "tiles_at",
]

#: Boxes of a block that tell where the plane is cut.
SAMPLES = 4096

#: Of the largest number of a box, by how much its bounds are grown before they are compared with
#: where the plane is cut: more than what kernels round.
GROWTH = {4: 2.0**-18, 8: 2.0**-40}

#: An odd number that spreads keys that follow each other: 2^64 over the golden ratio.
SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Block(NamedTuple):
    """Some members of a set, in the order of the set."""

    #: (n, numbers)
    members: Array
    #: For each key that groups them an array (n,), None without groups.
    keys: tuple[Array, ...] | None = None
    scores: Array | None = None
    iscrowd: Array | None = None
    #: (n,) int64: positions in the whole set; None where they follow each other.
    rows: Array | None = None


class Summary(NamedTuple):
    """What a plan must know of a block."""

    size: int
    #: (s, 2) float64: centres of some members.
    centres: Array


class Plan(NamedTuple):
    """Where blocks begin, and where the plane is cut."""

    #: (B + 1,) int64 for either set: position of the first member of each block, and their number.
    offsets: tuple[Array, Array]
    #: (bands - 1,) float64, ascending.
    cuts_y: Array
    #: (bands, columns - 1) float64, ascending.
    cuts_x: Array


# ---- blocks ------------------------------------------------------------------------------------


def block_of(
    where: str,
    members: Any,
    keys: Sequence[Any] | None = None,
    scores: Any = None,
    iscrowd: Any = None,
) -> Block:
    """A block of arrays. `where` is what messages call it.

    Raises
    ------
    TypeError, ValueError
        Keys that are none, or columns of several lengths.
    """
    members = np.asarray(members)
    count = len(members)
    for name, column in (("scores", scores), ("iscrowd", iscrowd)):
        if column is not None and len(column) != count:
            raise ValueError(f"{where}: {name} must be {count}, one for each, got {len(column)}")
    columns = None
    if keys is not None:
        columns = tuple(
            read_keys(f"{where}: groups", key, count).columns[0] for key in keys
        )  # fmt: skip
    scores, iscrowd = (None if each is None else np.asarray(each) for each in (scores, iscrowd))
    return Block(members, columns, scores, iscrowd)


def block_of_frame(
    where: str,
    frame: Any,
    own_fmt: str,
    fmt: str,
    key_names: Mapping[str, str],
    keys: Sequence[Any] | None = None,
    scores: Any = None,
    iscrowd: Any = None,
) -> Block:
    """A block of a data frame, by the names of its columns.

    Parameters
    ----------
    where
        What messages call it.
    frame
        Of pandas.
    own_fmt, fmt
        The format of its boxes, and the one that is wanted.
    key_names
        For each key that groups them the name of its column.
    keys, scores, iscrowd
        What is taken in place of the frame's own.
    """
    table = table_of_frame(where, frame, own_fmt, None)
    if keys is None and key_names:
        told = [table.key_columns[key] for key in key_names]
        keys = [by_name[name] for by_name, name in zip(told, key_names.values(), strict=True)]
    return block_of(
        where,
        table.convert(fmt).boxes,
        keys,
        table.scores if scores is None else scores,
        table.iscrowd if iscrowd is None else iscrowd,
    )


def refuse_extremes(where: str, members: Array, fmt: str, metric: str, dtype: Any) -> None:
    """Raise a ValueError for what is not scored in its own dtype.

    Of a set with such a box all are scored in float64, which a block without it cannot know.
    """
    geometry = FORMATS[fmt].load()
    members = members if members.dtype.kind in "biu" else members.astype(dtype, copy=False)
    given = Input("boxes", members, members, None, "numpy", None, geometry, fmt)
    none = given._replace(held=members[:0], source=members[:0])
    usual, _ = geometry.prepare(none, none, METRICS[metric])
    try:
        columns, _ = geometry.prepare(given, given, METRICS[metric])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if members.dtype.kind not in "biu" and (
        columns.exponent or columns.bounds.dtype != usual.bounds.dtype
    ):
        also = "" if dtype.itemsize > 4 else "; .astype('float64') has a wider range"
        raise ValueError(
            f"{where} has coordinates too large, or areas too small, for the arithmetic of "
            f"{dtype}{also}"
        )


# ---- where members lie -------------------------------------------------------------------------


def bounds_of(members: Array, fmt: str) -> Array:
    """Left, top, right and bottom, (4, n) float64, a bit more than what kernels see of a member."""
    numbers = members.astype(np.float64).T
    if fmt == "xyxyxyxy":
        corners = numbers.reshape(4, 2, -1)
        low, high = corners.min(axis=0), corners.max(axis=0)
    elif fmt == "xyxy":
        low, high = numbers[:2], np.maximum(numbers[:2], numbers[2:])
    else:
        sides = np.maximum(numbers[2:4], 0)
        low = numbers[:2] if fmt == "xywh" else numbers[:2] - sides / 2
        high = low + sides
        if len(numbers) == 5:  # whatever its angle, about its centre or a corner
            reach = np.hypot(*sides) / (1 if fmt == "xywhr" else 2)
            low, high = numbers[:2] - reach, numbers[:2] + reach
    size = 4 if members.dtype.kind == "f" and members.dtype.itemsize <= 4 else 8
    grown = GROWTH[size] * np.abs(numbers).max(axis=0, initial=0)
    return np.concatenate([low - grown, high + grown])


def layout_of(parts: int) -> tuple[int, int]:
    """Bands and columns of each band, for at least so many parts of the plane."""
    bands = max(1, math.isqrt(parts))
    return bands, -(-parts // bands)


def tiles_at(plan: Plan, x: Array, y: Array) -> Array:
    """The part of the plane that each point is in."""
    bands = np.searchsorted(plan.cuts_y, y, side="right")
    tiles = np.empty(len(x), np.int64)
    for band, cuts in enumerate(plan.cuts_x):
        own = np.flatnonzero(bands == band)
        tiles[own] = band * (len(cuts) + 1) + np.searchsorted(cuts, x[own], side="right")
    return tiles


def summary_of(where: str, block: Block, fmt: str, metric: str, dtype: Any) -> Summary:
    """Look at a block, and refuse what cannot be.

    Parameters
    ----------
    where
        What messages call it.
    fmt, metric
        As in `pairs`.
    dtype
        That of the scores.
    """
    refuse_extremes(where, block.members, fmt, metric, np.dtype(dtype))
    if block.keys is not None:
        return Summary(len(block.members), np.empty((0, 2)))
    if METRICS[metric].reaches_further:
        raise ValueError(
            f"metric must score boxes that overlap alone where the plane is cut into parts, got "
            f"{metric!r}; it is searched in boxes with keys"
        )
    chosen = block.members[:: max(1, len(block.members) // SAMPLES)]
    bounds = bounds_of(chosen, fmt)
    centres = ((bounds[:2] + bounds[2:]) / 2).T
    return Summary(len(block.members), centres[~np.isnan(centres).any(axis=1)])


def plan_of(summaries1: Sequence[Summary], summaries2: Sequence[Summary], parts: int) -> Plan:
    """Cut the plane into `parts` with about as many members in each; see `layout_of`."""
    offsets = tuple(
        np.cumsum([0, *(summary.size for summary in own)]) for own in (summaries1, summaries2)
    )
    centres = np.concatenate([summary.centres for summary in (*summaries1, *summaries2)])
    bands, columns = layout_of(parts)
    cuts_y = _even_cuts(centres[:, 1], bands)
    band_of = np.searchsorted(cuts_y, centres[:, 1], side="right")
    cuts_x = [_even_cuts(centres[band_of == band, 0], columns) for band in range(bands)]
    return Plan((offsets[0], offsets[1]), cuts_y, np.stack(cuts_x))


def _even_cuts(values: Array, count: int) -> Array:
    """Numbers that cut values into `count` even parts."""
    if not len(values):
        return np.zeros(count - 1)
    cuts: Array = np.sort(values)[np.arange(1, count) * len(values) // count]
    return cuts


# ---- parts -------------------------------------------------------------------------------------


def hashes_of(keys: Sequence[Array]) -> Array:
    """A number of each member, (n,) uint64, equal where its keys are.

    They are the same in every process.
    """
    total = np.zeros(len(keys[0]), np.uint64)
    for key in keys:
        if key.dtype == object:
            known: dict[Any, int] = {}
            for value in key.tolist():
                if value not in known:
                    text = value.encode() if isinstance(value, str) else value
                    code = zlib.crc32(text) if isinstance(text, bytes) else int(text) % 2**64
                    known[value] = code
            numbers = np.fromiter(map(known.__getitem__, key.tolist()), np.uint64, len(key))
        else:
            numbers = key.astype(np.uint64)
        total = (total + numbers) * SPREAD
        total ^= total >> np.uint64(32)
    return total


def split(block: Block, number: int, side: int, plan: Plan, fmt: str, parts: int) -> list[Block]:
    """Cut a block into parts: by its groups, or else by where its members lie.

    Parameters
    ----------
    number, side
        Which block it is, of the first (0) or second (1) set.
    plan, fmt, parts
        As in `plan_of`.

    Returns
    -------
    list of Block
        One for each part, with positions in the whole set. By groups each member is in one part,
        and by place in each that it touches, or in none where it has a NaN.
    """
    begin = int(plan.offsets[side][number])
    if block.keys is not None:
        owners = (hashes_of(block.keys) % np.uint64(parts)).astype(np.int64)
        return [_some(block, np.flatnonzero(owners == part), begin) for part in range(parts)]
    left, top, right, bottom = bounds_of(block.members, fmt)
    found = []
    first, last = (np.searchsorted(plan.cuts_y, edge, side="right") for edge in (top, bottom))
    exists = ~np.isnan(left + top + right + bottom)
    for band, cuts in enumerate(plan.cuts_x):
        own = np.flatnonzero((first <= band) & (band <= last) & exists)
        from_, to = (np.searchsorted(cuts, edge[own], side="right") for edge in (left, right))
        found += [
            _some(block, own[(from_ <= column) & (column <= to)], begin)
            for column in range(len(cuts) + 1)
        ]
    return found


def _some(block: Block, chosen: Array, begin: int) -> Block:
    keys = None if block.keys is None else tuple(key[chosen] for key in block.keys)
    scores, crowd = (
        None if column is None else column[chosen] for column in (block.scores, block.iscrowd)
    )
    return Block(block.members[chosen], keys, scores, crowd, chosen + begin)


def one_of(blocks: Sequence[Block]) -> Block:
    """Several blocks as one, in their order."""
    first = blocks[0]

    def joined(place: int) -> Any:
        if first[place] is None:
            return None
        return np.concatenate([block[place] for block in blocks])

    keys = None
    if first.keys is not None:
        columns = zip(*(block.keys or () for block in blocks), strict=True)
        keys = tuple(map(_joined_keys, columns))
    return Block(joined(0), keys, joined(2), joined(3), joined(4))


def _joined_keys(columns: Sequence[Array]) -> Array:
    """One key of several blocks."""
    kept = [column for column in columns if len(column)] or list(columns[:1])
    if len({column.dtype for column in kept}) > 1:  # int64 and uint64 would become float64
        kept = [column.astype(object) for column in kept]
    return np.concatenate(kept)
