"""The broad phase on a GPU: a hash table of cells, which kernels fill and walk over.

A member belongs to the cell of its group and its class of sizes that its left and top sides lie in.
A cell is as wide and as high as the longest side in its class. So what may score enough with a
member is in a few cells of each class, however members lie. They are counted in a hash table, whose
slots then get places one after the other, and put there: a counting sort, in which the order of
slots, and of the members of one, does not matter.

Several cells may have one slot. So whoever looks into a cell asks each member of the slot whether
it is of that row of cells. A member that would look into more cells of a class than there are
members looks at all members instead. `next_member` finds who may score enough with a member, by
`next_cell`, which walks over cells as `cpu.walk` does over slices.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numba import cuda

from fastiou.cpu.grid import level_of
from fastiou.cpu.walk import begins_between, longest, may_share, widened
from fastiou.cuda.prepare import FINDINGS, LARGEST, NONE, NOTES, REFUSED, SMALLEST, note
from fastiou.geometry import Geometry
from fastiou.runtime.bit_vectors import mixed
from fastiou.runtime.gpu_kernel import CudaKernel
from fastiou.runtime.gpu_primitives import magnified

__all__ = [
    "ENTER_READY",
    "LEVELS",
    "LOWEST",
    "MAGNIFY",
    "PAIRS",
    "PLACE",
    "PUT",
    "START_CELLS",
    "STRIP",
    "TESTED",
    "TOLD",
    "TOO_MANY",
    "WIDEST_INTEGERS",
    "At",
    "enter_kernel",
    "fits",
    "group_of",
    "is_proper",
    "next_member",
    "start_of",
]

#: What is told of a search, int64: first what `prepare` notes and, in the bits of float64, finds;
#: then the least and the highest class of sizes, how many members are in cells, how many pairs were
#: found, and how many scores this took.
LOWEST = NOTES + FINDINGS
HIGHEST_LEVEL, ENTERED, PAIRS, TESTED, TOLD = range(LOWEST + 1, LOWEST + 6)

#: Classes of sizes: the first, and how many there are. A side is at least 2^-1074 and below 2^1024.
FIRST_LEVEL, LEVELS = 1500, 1100

#: A class has sides below 2^(2 · level - this).
MIDDLE = 4095

#: The class of integers that float64 does not hold: its cells are as wide as all of these.
WIDEST_INTEGERS = (MIDDLE + 65) // 2

#: Cells along an axis from which on none is told from another.
FAR = 2.0**60

#: Slots that a thread clears or gives places to.
STRIP = 32

#: In place of a member: there is no other, or there are too many for one thread.
NO_MORE, TOO_MANY = -1, -2


# ---- members and cells -------------------------------------------------------------------------


def is_proper(bounds: Any, i: int) -> bool:
    """Whether a member may overlap anything."""
    return bool(bounds[0, i] < bounds[2, i] and bounds[1, i] < bounds[3, i])


def group_of(groups: Any, i: int) -> int:
    """Group of a member; no groups stand for one."""
    return np.int64(groups[i]) if groups.shape[0] > 0 else np.int64(0)


def scale_of(level: int) -> float:
    """How many cells of a class make a unit."""
    return magnified(np.float64(1), MIDDLE - 2 * level)


def cell_of(value: float, scale: float) -> int:
    """The cell along an axis that a value lies in; `FAR` if it is so far away, or no number."""
    place = np.float64(value) * scale
    return np.int64(math.floor(place)) if abs(place) < FAR else np.int64(FAR)


def slot_of(group: int, level: int, x: int, y: int, slots: int) -> int:
    """The slot of a cell: of neighbours along x they are neighbours."""
    number = mixed(mixed(group, np.int64(level)), y) >> np.uint64(20)
    return (np.int64(number) + x) & np.int64(slots - 1)


# ---- filling the table -------------------------------------------------------------------------


def _start(counts: Any, is_taken: Any, told: Any, findings: Any) -> None:
    """Begin with empty slots (slot,), with no class that is taken, and with nothing told."""
    first = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    step = cuda.blockDim.x * cuda.gridDim.x
    for slot in range(first, counts.shape[0], step):
        counts[slot] = 0
    for level in range(first, is_taken.shape[0], step):
        is_taken[level] = 0
    if first == 0:
        for i in range(told.shape[0]):
            told[i] = 0
        told[REFUSED] = NONE
        told[LOWEST] = FIRST_LEVEL + LEVELS
        findings[SMALLEST] = np.inf


#: `(counts, is_taken, told, findings)`
START_CELLS = CudaKernel(_start, "start-cells")


def count_in_cell(
    columns: Any,
    i: int,
    least_level: int,
    groups: Any,
    levels: Any,
    ranks: Any,
    counts: Any,
    is_taken: Any,
    told: Any,
) -> None:
    """Count a member in the slot of its cell; see `enter_kernel` for the arrays.

    Its class is `least_level` at least.
    """
    if not is_proper(columns, i):
        levels[i] = 0
        return
    left, top = np.float64(columns[0, i]), np.float64(columns[1, i])
    level = level_of(np.float64(columns[2, i]) - left, np.float64(columns[3, i]) - top)
    level = max(level, least_level)
    scale = scale_of(level)
    x, y = cell_of(left, scale), cell_of(top, scale)
    slot = slot_of(group_of(groups, i), level, x, y, counts.shape[0])
    levels[i] = level
    ranks[i] = cuda.atomic.add(counts, slot, 1)
    is_taken[level - FIRST_LEVEL] = 1
    # What others found may be old here: then one asks in vain.
    if level < told[LOWEST]:
        cuda.atomic.min(told, LOWEST, np.int64(level))
    if level > told[HIGHEST_LEVEL]:
        cuda.atomic.max(told, HIGHEST_LEVEL, np.int64(level))


def is_refused(bounds: Any, i: int) -> bool:
    """Whether a member is to be refused, by what the geometry added to its bounds."""
    rows = bounds.shape[0]
    return bool(rows > 4 and i < bounds.shape[1] and bounds[rows - 1, i] < 0)


def _enter_ready(
    bounds1: Any,
    bounds2: Any,
    least_level: int,
    groups2: Any,
    levels: Any,
    ranks: Any,
    counts: Any,
    is_taken: Any,
    told: Any,
) -> None:
    """Count members whose bounds (4 or more, >= m) are known, and tell what is to be refused."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if is_refused(bounds1, i) or is_refused(bounds2, i):
        cuda.atomic.min(told, REFUSED, i)
    if i < levels.shape[0]:
        count_in_cell(bounds2, i, least_level, groups2, levels, ranks, counts, is_taken, told)


#: `(bounds1, bounds2, least_level, groups2, levels, ranks, counts, is_taken, told)`, of as many
#: threads as the larger set has members.
ENTER_READY = CudaKernel(_enter_ready, "enter-ready")


@functools.cache
def enter_kernel(geometry: Geometry, is_ratio: bool, fill: Any) -> CudaKernel:
    """Make the kernel that prepares both sets, and counts the second in its cells."""

    def made_ready(
        members: Any,
        i: int,
        layout: int,
        lengths: int,
        before: int,
        reach: float,
        epsilon: float,
        columns: Any,
        findings: Any,
        notes: Any,
    ) -> None:
        found = fill(members, i, i + 1, layout, columns)
        note(members, i, lengths, before, found, findings, notes)
        if reach != 1.0:
            for axis in range(2):
                low, high = np.float64(columns[axis, i]), np.float64(columns[axis + 2, i])
                columns[axis, i], columns[axis + 2, i] = widened(low, high, reach, epsilon)

    def enter(
        members1: Any,
        members2: Any,
        own_rows: int,
        layout1: int,
        layout2: int,
        lengths: int,
        reach: float,
        epsilon: float,
        columns1: Any,
        columns2: Any,
        groups2: Any,
        levels: Any,
        ranks: Any,
        counts: Any,
        is_taken: Any,
        told: Any,
        findings: Any,
    ) -> None:
        """Fill columns of members (n, numbers), of the first set if it has rows of its own.

        Parameters
        ----------
        own_rows
            How many members the first set has; 0 if it is the second.
        reach, epsilon
            See `walk.widened`.
        groups2
            (m,) integers, or none.
        levels, ranks
            (m,) int32: get the class of each, 0 for what is in no cell, and its number in its slot.
        counts
            (slot,) int32: zeros, get how many members each has.
        is_taken
            (LEVELS,) int32: zeros, get 1 where a class has a member.
        """
        i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if i < own_rows:
            made_ready(
                members1, i, layout1, lengths, np.int64(0), reach, epsilon, columns1, findings, told
            )
            return
        i -= own_rows
        if i >= members2.shape[0]:
            return
        made_ready(
            members2, i, layout2, lengths, np.int64(own_rows), reach, epsilon, columns2, findings,
            told,
        )  # fmt: skip
        count_in_cell(columns2, i, 0, groups2, levels, ranks, counts, is_taken, told)

    label = f"{geometry.label}-{'ratio' if is_ratio else 'all'}"
    return CudaKernel(enter, f"enter-{label}", one_lane=True)


def _place(counts: Any, starts: Any, told: Any) -> None:
    """Tell where each slot begins, after the others in whatever order."""
    first = (np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x) * STRIP
    last = min(first + STRIP, np.int64(counts.shape[0]))
    number = np.int64(0)
    for slot in range(first, last):
        number += counts[slot]
    if number == 0:
        return
    place = cuda.atomic.add(told, ENTERED, number)
    for slot in range(first, last):
        starts[slot] = place
        place += counts[slot]


#: `(counts, starts, told)`: `starts` of slots without members stay as they are.
PLACE = CudaKernel(_place, "place-cells")


def _put(
    columns: Any, groups: Any, levels: Any, ranks: Any, slots: int, starts: Any, order: Any
) -> None:
    """Put members where their slots begin."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < levels.shape[0] and levels[i] > 0:
        level = np.int64(levels[i])
        scale = scale_of(level)
        x, y = cell_of(columns[0, i], scale), cell_of(columns[1, i], scale)
        slot = slot_of(group_of(groups, i), level, x, y, slots)
        order[np.int64(starts[slot]) + ranks[i]] = i


#: `(columns, groups, levels, ranks, slots, starts, order)`
PUT = CudaKernel(_put, "put-cells")


def _magnify(members: Any, lengths: int, exponent: int, given: Any) -> None:
    """Members (n, numbers) as float64, their lengths times a power of two."""
    i = np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
    if i < members.shape[0]:
        for k in range(members.shape[1]):
            value = np.float64(members[i, k])
            given[i, k] = magnified(value, exponent) if k < lengths else value


#: `(members, lengths, exponent, given)`
MAGNIFY = CudaKernel(_magnify, "magnify")


# ---- the walk over cells -----------------------------------------------------------------------

# What kernels walk over: the levels of members, classes that are taken, members of each slot, where
# it begins, members in the order of slots, groups, what is told, and cells that are few.
Table = tuple[Any, Any, Any, Any, Any, Any, Any, int]

# A walk: the class of sizes, the cell, where the cells of the class end, how many are side by side,
# the first along x and y, and cells of the class in a unit. None are side by side where all members
# of this class and those below are looked at; without a class it is over.
Walk = tuple[int, int, int, int, int, int, float]


def walk_of(table: Table, lane: int) -> Walk:
    """Begin a walk; `next_cell` finds the first. Those who walk together have a lane each."""
    level = np.int64(table[6][HIGHEST_LEVEL] + 1)
    none = np.int64(0)
    return level, np.int64(lane), none, np.int64(1), none, none, np.float64(1)


def next_cell(
    table: Table,
    walk: Walk,
    bounds: tuple[float, float, float, float],
    shares: tuple[float, float],
    lane: int,
    team: int,
) -> Walk:
    """Go on to the next cell in which members may score enough with one of such bounds.

    To score enough, both sides of what two share must be a share of the sides of the member, and
    another of those of the other.
    """
    level, cell, end, across, x, y, scale = walk
    cell += team
    while cell >= end:
        level -= 1
        if across == 0 or level < table[6][LOWEST]:
            return np.int64(0), cell, end, across, x, y, scale
        if table[1][level - FIRST_LEVEL] != 0:
            end, across, x, y, scale = cells_of(bounds, shares, level, np.int64(table[0].shape[0]))
            cell = np.int64(lane)
            if across == 0:
                end = cell + 1
    return level, cell, end, across, x, y, scale


def cells_of(
    bounds: tuple[float, float, float, float], shares: tuple[float, float], level: int, most: int
) -> tuple[int, int, int, int, float]:
    """Cells of a class in which members may score enough with one of such bounds.

    Returns how many there are, how many side by side, the first along x and y, and how many make a
    unit. Of more than `most` none are side by side.
    """
    left, top, right, bottom = bounds
    share1, share2 = shares
    width, height = right - left, bottom - top
    scale = scale_of(level)
    side = magnified(np.float64(1), 2 * level - MIDDLE)
    none = np.int64(0)
    # Longer sides of a class are at least a quarter of this.
    if not may_share(width, height, side, side, 0.25 * side, share1, share2):
        return none, np.int64(1), none, none, scale
    x1, x2 = begins_between(left, right, longest(width, side, share2), share1, share2)
    y1, y2 = begins_between(top, bottom, longest(height, side, share2), share1, share2)
    if x2 < x1 or y2 < y1:
        return none, np.int64(1), none, none, scale
    x, last_x = cell_of(x1, scale), cell_of(x2, scale)
    y, last_y = cell_of(y1, scale), cell_of(y2, scale)
    across, down = last_x - x + 1, last_y - y + 1
    is_far = x == FAR or last_x == FAR or y == FAR or last_y == FAR
    if is_far or np.float64(across) * np.float64(down) > most:
        return none, none, none, none, scale
    return across * down, across, x, y, scale


def is_over(walk: Walk) -> bool:
    """Whether there was no next cell."""
    return walk[0] == 0


def is_long(table: Table, walk: Walk) -> bool:
    """Whether the walk is at a class that is to be looked through by many."""
    return bool(walk[3] == 0 or walk[2] > table[7])


def slice_of(table: Table, walk: Walk, group: int, lane: int, team: int) -> tuple[int, int, int]:
    """First and last place of the members that a walk is at, and from one to the next."""
    level, cell, _, across, x, y, _ = walk
    if across == 0:
        return np.int64(lane), np.int64(table[6][ENTERED]), np.int64(team)
    # By 32 bits, since 64 are divided by a function.
    row = np.int64(np.uint32(cell) // np.uint32(across))
    counts, starts = table[2], table[3]
    slot = slot_of(group, level, x + (cell - row * across), y + row, counts.shape[0])
    if counts[slot] == 0:
        return np.int64(0), np.int64(0), np.int64(1)
    first = np.int64(starts[slot])
    return first, first + counts[slot], np.int64(1)


def is_of(table: Table, walk: Walk, bounds: Any, group: int, i: int) -> bool:
    """Whether a member is of the row of cells, or the classes, and of the group of a walk."""
    level, cell, _, across, _, y, scale = walk
    own = table[0][i]
    if group_of(table[5], i) != group:
        return False
    if across == 0:
        return bool(own <= level)
    # Along x no two cells that are looked at share a slot: there are more slots than members, and
    # as many members as cells or more.
    row = np.int64(np.uint32(cell) // np.uint32(across))
    return bool(own == level and cell_of(bounds[1, i], scale) == y + row)


def may_meet(
    own: tuple[float, float, float, float], bounds: Any, i: int, shares: tuple[float, float]
) -> bool:
    """Whether bounds alone let a member score enough with one of such bounds."""
    left, top = np.float64(bounds[0, i]), np.float64(bounds[1, i])
    width, height = np.float64(bounds[2, i]) - left, np.float64(bounds[3, i]) - top
    first, last = begins_between(own[0], own[2], width, shares[0], shares[1])
    highest, lowest = begins_between(own[1], own[3], height, shares[0], shares[1])
    return bool(first <= left <= last and highest <= top <= lowest)


# Where one is who looks for members: the walk, the place and the end of its slice, and from one
# place to the next.
At = tuple[Walk, int, int, int]


def start_of(table: Table, lane: int) -> At:
    """Begin to look for members; `next_member` finds the first."""
    return walk_of(table, lane), np.int64(0), np.int64(0), np.int64(1)


def next_member(
    table: Table,
    bounds: Any,
    looks: bool,
    own: tuple[float, float, float, float],
    group: int,
    shares: tuple[float, float],
    lane: int,
    team: int,
    at: At,
) -> tuple[At, int]:
    """Go on to the next member of a group that may score enough with one of bounds `own`.

    Parameters
    ----------
    bounds
        (4, m): those of all members.
    looks
        Whether to look at these first, which is faster than a score.
    lane, team
        Which of how many that look together. One alone gives up where many are to be looked at.

    Returns
    -------
    tuple
        Where one is then, and the member: `NO_MORE` at the end, `TOO_MANY` if one gave up.
    """
    walk, place, last, step = at
    while True:
        while place >= last:
            walk = next_cell(table, walk, own, shares, lane, team)
            if is_over(walk):
                return (walk, place, last, step), np.int64(NO_MORE)
            if team == 1 and is_long(table, walk):
                return (walk, place, last, step), np.int64(TOO_MANY)
            place, last, step = slice_of(table, walk, group, lane, team)
        other = np.int64(table[4][place])
        place += step
        if is_of(table, walk, bounds, group, other) and (
            not looks or may_meet(own, bounds, other, shares)
        ):
            return (walk, place, last, step), other


def fits(told: Any, findings: Any, most: float, least: float) -> bool:
    """Whether the numbers of both sets are fit for the arithmetic of the dtype."""
    return bool(findings[LARGEST] <= most and findings[SMALLEST] >= least)
