"""How a grid is laid out, and its members put in order.

What is decided here is where the time goes: which groups are large enough for a grid, how sizes are
parted into classes, and how fine the cells are. `docs/design/006-search.md` has the measurements.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastiou.cpu import grid as kernels
from fastiou.cpu import walk
from fastiou.geometry import PADDING
from fastiou.runtime import chunks, threads
from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["CUTS", "Plan", "for_rows", "levels_of", "plan_grid", "reorder", "sort_members"]


#: Boxes placed by one thread at a time, and the scores that placing one takes as long as.
BLOCK = 1 << 13
SCORES_PER_BOX = 32

#: Work that is done in one launch, between which signals are heard: two million boxes are placed.
WORK_OF_PIECE = 1 << 26

#: A grid pays where comparing all with all would take longer than building it and asking it once
#: for each box: measured in scores of boxes, 300 and 2,000.
BUILDING_SCORES = 300
ASKING_SCORES = 2000

#: A class of smaller boxes joins the next larger one unless it has more than this share of it, and
#: the largest of that are so many times as large as its own: sizes of 32 to 39, beside many of 5 to
#: 31, were a block by themselves, which each row had to ask, too.
CLASS_SHARE = 1 / 2
CLASS_GROWTH = 4 / 3

#: Boxes in a cell, if they lie evenly; how many times as high as wide a cell is; and the least
#: height and width, in the largest of its boxes.
CELL_BOXES = 2
CELL_ASPECT = 2.0
LEAST_HEIGHT = 0.5
LEAST_WIDTH = 0.25

#: Bands of a set that asks. No more are needed for what neighbours read to stay in the caches. With
#: as many as a set of one column has, the rows themselves were read and written in any order, which
#: took an eighth of the time of pairs of intervals.
ROW_BANDS = 2048

#: Values sorted for each edge between bands or cells. Boxes of one column, as intervals are, have
#: as many bands as others have cells: of them, one of so many is sorted.
SAMPLES = 16
COLUMN_SHARE = 8

#: Steps of a lookup for each interval: with 2 a value lies in doubt between two intervals so often
#: that the CPU guesses wrong, which made a search of a million boxes take 1.2 times as long.
STEPS = 8

#: Boxes up to which each row of a table is reordered by one thread, which starts threads once.
REORDER_BY_ROWS = 1 << 18

#: Parts into which a step is cut for the threads: enough that none waits long for the last.
CUTS = 64


def levels_of(bounds: Array, count: int) -> Array:
    """The class of sizes of each of `count` members, (count,) int16; `EMPTY` without area."""
    levels = np.empty(count, np.int16)
    threads.run(kernels.MEASURE_LEVELS, count * SCORES_PER_BOX // 4, bounds, BLOCK, levels)
    return levels


def _run_in_pieces(kernel: Kernel, work: int, *arguments: Any) -> None:
    """Run a kernel over all members, some at a time: each may miss the caches several times."""
    pieces = 1 + work // WORK_OF_PIECE
    for number in range(pieces):
        threads.run(kernel, work // pieces, *arguments, number, pieces)


def reorder(rows: Array, order: Array) -> None:
    """Put the columns of a table into another order, in place."""
    work = rows.size * SCORES_PER_BOX // 8
    if len(order) < REORDER_BY_ROWS:
        threads.run(kernels.REORDER_ROWS, work, rows, order)
    else:
        before = np.empty_like(rows[0])
        for row in rows:
            threads.run(kernels.REORDER, work // len(rows), row, order, before, BLOCK)


class Plan(NamedTuple):
    """All of a grid but where its cells begin."""

    blocks: Array
    extents: Array
    layout: Array
    edges: Array
    places: Array
    #: First class of sizes of each group that has classes, else -1.
    class_of_group: Array
    #: Block of each class.
    block_of_class: Array
    #: The largest block of each group, and of those without classes; -1 where there is none.
    main_block: Array
    only_block: Array
    #: Level of the first class.
    lowest: int
    #: First cell of each band, and the number of all cells.
    band_cells: Array


def plan_grid(
    bounds: Array,
    levels1: Array,
    levels2: Array,
    codes1: Array,
    codes2: Array,
    group_count: int,
    cost: int,
) -> Plan:
    """Decide on blocks, bands and cells for the boxes of the second set.

    `cost` is what comparing two takes, in scores of boxes; 0: no group gets a grid.
    """
    alive = levels2 != kernels.EMPTY
    if group_count == 1:
        sizes2 = np.array([np.count_nonzero(alive & (codes2 == 0))])
        sizes1 = np.array([np.count_nonzero(levels1 != kernels.EMPTY)])
    else:
        present = alive & (codes2 >= 0)
        sizes2 = np.bincount(codes2[present], minlength=group_count)
        present = (levels1 != kernels.EMPTY) & (codes1 >= 0)
        sizes1 = np.bincount(codes1[present], minlength=group_count)
    work = cost * sizes1.astype(np.float64) * sizes2
    large = work > BUILDING_SCORES * sizes2 + ASKING_SCORES * sizes1
    numbers = np.flatnonzero(large)
    class_of_group = np.full(group_count, -1, np.int32)
    lowest = classes = 0
    if len(numbers):
        lowest = int((levels2 if alive.all() else levels2[alive]).min())
        classes = int(levels2.max()) - lowest + 1
        class_of_group[numbers] = np.arange(len(numbers)) * classes
    counts, extremes = _size_up(
        bounds, levels2, codes2, class_of_group, lowest, len(numbers) * classes
    )

    block_counts = np.where(large, 0, sizes2 > 0).astype(np.int64)
    block_of_class = np.full(len(numbers) * classes, -1, np.int32)
    parts: list[list[tuple[int, Array]]] = []  # of each large group: boxes and extremes of blocks
    for place, number in enumerate(numbers):
        blocks = _join_classes(
            counts[place * classes : (place + 1) * classes],
            extremes[place * classes : (place + 1) * classes],
            block_of_class[place * classes : (place + 1) * classes],
        )
        parts.append(blocks)
        block_counts[number] = len(blocks)
    first_blocks = np.concatenate([[0], np.cumsum(block_counts)])
    total = int(first_blocks[-1])
    extents = np.zeros((total, walk.EXTENTS))
    layout = np.zeros((total, walk.LAYOUT), np.int64)
    for own in chunks.slices(total):
        # Nothing is known of small groups. These are finite, so that 0 of them is 0.
        extents[own, : walk.MINIMA] = -sys.float_info.max / 4
        extents[own, walk.MINIMA : walk.MEASURED] = sys.float_info.max / 4
        layout[own, walk.BANDS] = layout[own, walk.CELLS] = 1
    only_block = np.where(~large & (sizes2 > 0), first_blocks[:-1], -1).astype(np.int32)
    main_block = only_block.copy()
    edges: list[Array] = [np.zeros(1)]
    places: list[Array] = [np.zeros(2, np.int32)]
    if len(numbers):
        for place, number in enumerate(numbers):
            own = slice(place * classes, (place + 1) * classes)
            block_of_class[own][block_of_class[own] >= 0] += first_blocks[number]
            sizes = [count for count, _ in parts[place]]
            main_block[number] = first_blocks[number] + int(np.argmax(sizes))
            for offset, (_, extreme) in enumerate(parts[place]):
                extents[first_blocks[number] + offset, : walk.MEASURED] = extreme
        block_sizes = np.concatenate([[count for count, _ in blocks] for blocks in parts])
        grid_blocks = np.concatenate(
            [np.arange(first_blocks[number], first_blocks[number + 1]) for number in numbers]
        )
        samples = _samples(
            bounds, levels2, codes2, class_of_group, block_of_class, lowest, grid_blocks,
            block_sizes, extents,
        )  # fmt: skip
        edge_count, place_count = 1, 2
        for b, size, (lefts, tops) in zip(grid_blocks, block_sizes, samples, strict=True):
            cuts_y, cuts_x = _cuts(int(size), lefts, tops, extents[b])
            for cuts, columns in (
                (cuts_y, (walk.BANDS, walk.EDGES_Y, walk.PLACES_Y, walk.STEPS_Y)),
                (cuts_x, (walk.CELLS, walk.EDGES_X, walk.PLACES_X, walk.STEPS_X)),
            ):
                lookup, first, per_unit = _lookup(cuts)
                layout[b, columns] = len(cuts), edge_count, place_count, len(lookup) - 1
                axis = walk.TOP if cuts is cuts_y else walk.LEFT
                extents[b, axis : axis + 2] = first, per_unit
                edges.append(cuts)
                places.append(lookup)
                edge_count += len(cuts)
                place_count += len(lookup)
    band_cells = _numbered(layout)
    return Plan(
        first_blocks.astype(np.int32), extents, layout, np.concatenate(edges),
        np.concatenate(places), class_of_group, block_of_class, main_block, only_block, lowest,
        band_cells,
    )  # fmt: skip


def _numbered(layout: Array) -> Array:
    """Number bands and cells of all blocks: the first cell of each band, and how many in all."""
    bands = layout[:, walk.BANDS]
    layout[:, walk.BAND] = np.cumsum(bands) - bands
    band_cells = np.concatenate([[0], np.cumsum(np.repeat(layout[:, walk.CELLS], bands))])
    layout[:, walk.CELL] = band_cells[layout[:, walk.BAND]]
    return band_cells


def for_rows(plan: Plan) -> Plan:
    """By what a set that asks is ordered: of bands by the hundred thousand, some together."""
    many = np.flatnonzero(plan.layout[:, walk.BANDS] > ROW_BANDS)
    if not len(many):
        return plan
    extents, layout = plan.extents.copy(), plan.layout.copy()
    edges, places = [plan.edges], [plan.places]
    edge_count, place_count = len(plan.edges), len(plan.places)
    for b in many:
        first, bands = layout[b, [walk.EDGES_Y, walk.BANDS]]
        cuts = plan.edges[first : first + bands : -(-bands // ROW_BANDS)]
        lookup, *extents[b, walk.TOP : walk.TOP + 2] = _lookup(cuts)
        columns = walk.BANDS, walk.EDGES_Y, walk.PLACES_Y, walk.STEPS_Y
        layout[b, columns] = len(cuts), edge_count, place_count, len(lookup) - 1
        edges.append(cuts)
        places.append(lookup)
        edge_count += len(cuts)
        place_count += len(lookup)
    return plan._replace(
        extents=extents, layout=layout, edges=np.concatenate(edges),
        places=np.concatenate(places), band_cells=_numbered(layout),
    )  # fmt: skip


def _size_up(
    bounds: Array,
    levels: Array,
    codes: Array,
    class_of_group: Array,
    lowest: int,
    classes: int,
) -> tuple[Array, Array]:
    """How many boxes each class has, and the extremes of their sides."""
    parts = max(1, min(CUTS, len(levels) // BLOCK, (1 << 20) // max(classes, 1)))
    counts = np.zeros((parts, classes), np.int64)
    extremes = np.full((parts, classes, walk.MEASURED), -np.inf)
    extremes[:, :, : walk.MINIMA] = np.inf
    if classes:
        work = len(levels) * SCORES_PER_BOX // 4
        _run_in_pieces(
            kernels.SIZE_UP, work, bounds, levels, codes, class_of_group, lowest, counts, extremes
        )
    return counts.sum(axis=0), _joined(extremes)


def _joined(extremes: Array) -> Array:
    """The extremes of several parts together."""
    joined: Array = extremes.max(axis=0)
    joined[..., : walk.MINIMA] = extremes[..., : walk.MINIMA].min(axis=0)
    return joined


def _join_classes(counts: Array, extremes: Array, block_of_class: Array) -> list[tuple[int, Array]]:
    """Join classes of few boxes with the next larger one; count and extremes of each block."""
    blocks: list[tuple[int, Array]] = []
    for number in np.flatnonzero(counts):
        count, extreme = int(counts[number]), extremes[number].copy()
        while blocks and (
            blocks[-1][0] <= CLASS_SHARE * count or _are_alike(blocks[-1][1], extreme)
        ):
            smaller, other = blocks.pop()
            count += smaller
            extreme = _joined(np.stack([extreme, other]))
        block_of_class[block_of_class > len(blocks)] = len(blocks)
        block_of_class[number] = len(blocks)
        blocks.append((count, extreme))
    return blocks


def _are_alike(smaller: Array, larger: Array) -> bool:
    """Whether the largest of a class are not much larger than those of the class before."""
    longest, before = (max(own[walk.WIDTH], own[walk.HEIGHT]) for own in (larger, smaller))
    return bool(longest <= CLASS_GROWTH * before)


def _samples(
    bounds: Array,
    levels: Array,
    codes: Array,
    class_of_group: Array,
    block_of_class: Array,
    lowest: int,
    blocks: Array,
    sizes: Array,
    extents: Array,
) -> Iterator[tuple[Array, Array]]:
    """Left and top sides of some boxes of each block."""
    count = int(blocks[-1]) + 1
    owners = np.empty(len(levels), np.int32)
    counts = _parts(len(levels), count)
    _run_in_pieces(
        kernels.FIND_BLOCKS, len(levels) * SCORES_PER_BOX // 8, levels, codes, class_of_group,
        block_of_class, lowest, owners, counts,
    )  # fmt: skip
    firsts, order, _ = _by_band(owners, np.empty(0, np.int32), counts)
    for b, size in zip(blocks, sizes, strict=True):
        members = order[firsts[b] : firsts[b + 1]]
        wanted = SAMPLES * int(size**0.5 + 1)
        if extents[b, walk.LEAST_LEFT] == extents[b, walk.MOST_LEFT]:
            wanted = max(wanted, int(size) // COLUMN_SHARE)
        if size > 2 * wanted:
            # Steps of the golden ratio go everywhere, whatever order the boxes come in.
            numbers = np.arange(wanted, dtype=np.uint64) * np.uint64(0x9E3779B9)
            numbers = (numbers & np.uint64(0xFFFFFFFF)) * np.uint64(size) >> np.uint64(32)
            members = members[numbers.astype(np.int64)]
        yield bounds[0, members].astype(np.float64), bounds[1, members].astype(np.float64)


def _cuts(size: int, lefts: Array, tops: Array, extent: Array) -> tuple[Array, Array]:
    """Where the bands of a block begin, and the cells of each band."""
    lefts, tops = np.sort(lefts), np.sort(tops)
    cells = max(1.0, size / CELL_BOXES)
    # Without the outermost, since one box far away would make the rest look small.
    trim = len(lefts) // 32
    wide = lefts[len(lefts) - 1 - trim] - lefts[trim]
    high = tops[len(tops) - 1 - trim] - tops[trim]
    shape = high / wide if wide > 0 and high > 0 else 1.0
    bands = min(cells, max(1.0, (cells * shape / CELL_ASPECT) ** 0.5))
    bands = cells if wide == 0 < high else bands  # one column
    cuts_y = _even_cuts(tops, bands, LEAST_HEIGHT * extent[walk.HEIGHT])
    cuts_x = _even_cuts(lefts, cells / len(cuts_y), LEAST_WIDTH * extent[walk.WIDTH])
    return cuts_y, cuts_x


def _even_cuts(values: Array, count: float, least: float) -> Array:
    """Values that cut sorted values into `count` even parts, but not much nearer than `least`."""
    number = max(1, min(int(count), len(values)))
    cuts = values[np.arange(number) * len(values) // number]
    spaces = np.floor((cuts - cuts[0]) / least)
    kept: Array = cuts[np.concatenate([[True], spaces[1:] != spaces[:-1]])]
    return kept


def _lookup(cuts: Array) -> tuple[Array, float, float]:
    """For even steps from the second cut to the last: which intervals a value may be in."""
    steps = STEPS * len(cuts)
    first, per_unit = 0.0, 0.0
    if len(cuts) > 2 and cuts[-1] > cuts[1]:
        first, per_unit = float(cuts[1]), float(steps / (cuts[-1] - cuts[1]))
    step_of_cut = np.minimum(np.maximum((cuts[1:] - first) * per_unit, 0), steps - 1).astype(int)
    lookup = np.zeros(steps + 1, np.int32)
    np.cumsum(np.bincount(step_of_cut, minlength=steps), out=lookup[1:])
    return lookup, first, per_unit


def sort_members(
    plan: Plan, bounds: Array, levels: Array, codes: Array, *, main: bool
) -> tuple[Array, Array]:
    """Boxes in the order of bands and cells, with padding, and where each cell begins.

    With `main`, which serves a set that asks, all boxes of a group go to its largest block, and
    only bands count, which may be those of `for_rows`.
    """
    count = len(levels)
    bands = np.empty(count + PADDING, np.int32)
    cells = np.empty(0 if main else count, np.int32)
    counts = _parts(count, len(plan.band_cells) - 1)
    work = count * SCORES_PER_BOX
    _run_in_pieces(
        kernels.PLACE, work, bounds, levels, codes, plan.class_of_group, plan.block_of_class,
        plan.main_block if main else plan.only_block, plan.lowest, plan.extents, plan.layout,
        plan.edges, plan.places, bands, cells, counts,
    )  # fmt: skip
    firsts, order, ordered_cells = _by_band(bands[:count], cells, counts)
    result = bands[: len(order) + PADDING]  # no longer needed
    result[len(order) :] = 0
    if main:
        result[: len(order)] = order
        return result, firsts
    starts = np.empty(int(plan.band_cells[-1]) + 1, np.int32)
    starts[-1] = len(order)
    threads.run(
        kernels.SORT_BANDS, work // 4, firsts, plan.band_cells, order, ordered_cells, result, starts
    )
    return result, starts


def _parts(count: int, bands: int) -> Array:
    """Zeros to count boxes of each band in, with a row for each part of the boxes."""
    # Not more zeros than members, or to add them up would take longer than to place these.
    parts = min(CUTS, count // BLOCK, min(count, 1 << 22) // max(bands, 1))
    return np.zeros((max(1, parts), bands), np.int32)


def _by_band(bands: Array, cells: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Where each band begins, boxes in the order of bands, and their cells."""
    firsts = np.concatenate([[0], np.cumsum(counts.sum(axis=0, dtype=np.int64))])
    # Row by row: NumPy's cumsum along the first axis took three times as long.
    positions = np.empty(counts.shape, np.int64)
    positions[0] = firsts[:-1]
    for part in range(len(counts) - 1):
        np.add(positions[part], counts[part], out=positions[part + 1])
    order = np.empty(int(firsts[-1]), np.int32)
    ordered_cells = np.empty(len(order) if len(cells) else 0, np.int32)
    work = len(bands) * SCORES_PER_BOX // 4
    _run_in_pieces(kernels.SPREAD, work, bands, cells, positions, order, ordered_cells)
    return firsts, order, ordered_cells
