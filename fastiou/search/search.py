"""Two sets of boxes or masks made ready to be searched: checked, grouped, and in a grid's order.

What is decided here is where the time goes: which groups are large enough for a grid, how sizes are
parted into classes, and how fine the cells are. `docs/design/006-search.md` has the measurements.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastiou.arrays.checks import check_choice, group_array
from fastiou.arrays.inputs import Input, box_array, check_one_library, result_dtype
from fastiou.cpu import grid as kernels
from fastiou.cpu.grid import Grid
from fastiou.geometries.box_columns import PADDING
from fastiou.geometries.boxes import area_of_sides, prepare
from fastiou.geometries.masks.mask_set import is_masks, two_sets
from fastiou.geometries.masks.packing import SCORES_PER_WORD
from fastiou.metrics import METRICS
from fastiou.relations.masks import MASK_METRICS, mask_operand
from fastiou.runtime import steps, threads

__all__ = ["Search", "Sets", "Side", "even_cuts", "group_codes", "read_sets", "row_steps", "search"]

Array = npt.NDArray[Any]

#: Boxes placed by one thread at a time, and the scores that placing one takes as long as.
BLOCK = 1 << 13
SCORES_PER_BOX = 32

#: A grid pays where comparing all with all would take longer than building it and asking it once
#: for each box: measured in scores of boxes, 300 and 2,000. Each score of a mask, whose boxes are
#: compared one by one, takes as long as 8.
BUILDING_SCORES = 300
ASKING_SCORES = 2000
MASK_SCORES = 8

#: A class of smaller boxes joins the next larger one unless it has more than this share of it.
CLASS_SHARE = 1 / 2

#: Boxes in a cell, if they lie evenly; how many times as high as wide a cell is; and the least
#: height and width, in the largest of its boxes.
CELL_BOXES = 2
CELL_ASPECT = 2.0
LEAST_HEIGHT = 0.5
LEAST_WIDTH = 0.25

#: Values sorted for each edge between bands or cells.
SAMPLES = 16

#: Steps of a lookup for each interval: with 2 a value lies in doubt between two intervals so often
#: that the CPU guesses wrong, which made a search of a million boxes take 1.2 times as long.
STEPS = 8

#: Boxes up to which each row of a table is reordered by one thread, which starts threads once.
REORDER_BY_ROWS = 1 << 18

#: Parts into which a step is cut for the threads: enough that none waits long for the last.
CUTS = 64

#: What asking the grid takes, in scores, beyond those of the candidates.
SCORES_OF_A_QUERY = 64


# ---- what the arguments are --------------------------------------------------------------------


class Sets(NamedTuple):
    """Two sets of one geometry, checked."""

    geometry: str
    #: The arguments as they came, for handing results back in kind.
    inputs: list[Input]
    sizes: tuple[int, int]
    dtype: np.dtype[Any]
    #: Whether the second set is the first.
    itself: bool
    #: For a metric: both sets as the kernels read them, by which power of two they are magnified,
    #: and whether areas are not those of the corners.
    prepare: Callable[..., tuple[tuple[Array, Array], tuple[Array, Array], int, bool]]

    def taken(self, order: Array) -> Sets:
        """Some members of a set that is compared with itself, in another order."""
        assert self.itself
        prepare = functools.partial(self.prepare, order=order)
        return self._replace(sizes=(len(order), len(order)), prepare=prepare)


def read_sets(a: Any, b: Any, metric: str, fmt: str) -> Sets:
    """Check two arguments of boxes or masks, of which the second may be None: the first again."""
    if is_masks(a) or is_masks(b):
        return _masks(a, b, metric)
    return _boxes(a, b, fmt)


def _boxes(a: Any, b: Any, fmt: str) -> Sets:
    given1 = box_array("a", a, batches=False)
    if isinstance(b, int | float):
        raise TypeError(f"b must be boxes, got {b!r}; if it is the threshold, pass threshold={b!r}")
    given2 = given1 if b is None else box_array("b", b, batches=False)
    for given in (given1, given2):
        if given.array.ndim != 2:
            raise ValueError(
                f"{given.name} must have the shape (N, 4), got {given.array.shape}; tell batches "
                "apart by groups, and pass masks that are 4 wide as Masks"
            )
    check_one_library(given1, given2)
    dtype = result_dtype(given1, given2)

    def prepared(
        metric: str, order: Array | None = None
    ) -> tuple[tuple[Array, Array], tuple[Array, Array], int, bool]:
        set1, set2 = given1, given2
        if order is not None:  # numpy.take does in a quarter of the time what indexing does
            set1 = set2 = given1._replace(array=np.take(given1.array, order, axis=0))
        columns1, columns2, exponent = prepare(set1, set2, fmt, metric)
        return columns1[:2], columns2[:2], exponent, area_of_sides(fmt, metric, dtype)

    sizes = len(given1.array), len(given2.array)
    return Sets("box", [given1, given2], sizes, dtype, b is None, prepared)


def _masks(a: Any, b: Any, metric: str) -> Sets:
    check_choice("metric of masks", metric, MASK_METRICS)
    set1, set2, inputs = two_sets("a", a, "b", a if b is None else b)

    def prepared(
        metric: str, order: Array | None = None
    ) -> tuple[tuple[Array, Array], tuple[Array, Array], int, bool]:
        operand1 = mask_operand(set1, order)
        return operand1, operand1 if set2 is set1 else mask_operand(set2), 0, False

    return Sets("mask", inputs, (len(set1), len(set2)), np.dtype(np.float64), b is None, prepared)


def group_codes(groups: Any, sizes: tuple[int, int], *, itself: bool) -> tuple[Array, Array, int]:
    """Groups as numbers from 0, for either set, and how many there are; -1 where none can meet.

    One number serves for all where there is but one group.
    """
    groups1, groups2 = _group_arrays(groups, *sizes, itself=itself)
    if groups1 is None or groups2 is None:
        all_one = np.zeros(1, np.int32)
        return all_one, all_one, 1
    if not len(groups1) or not len(groups2):
        return np.full(sizes[0], -1, np.int32), np.full(sizes[1], -1, np.int32), 0
    low = min(int(groups1.min()), int(groups2.min()))
    span = max(int(groups1.max()), int(groups2.max())) - low + 1
    if span <= sizes[0] + sizes[1]:
        codes1 = (groups1 - groups1.dtype.type(low)).astype(np.int32)
        codes2 = codes1 if itself else (groups2 - groups2.dtype.type(low)).astype(np.int32)
        return codes1, codes2, span
    known, codes2 = np.unique(groups2, return_inverse=True)
    codes2 = codes2.astype(np.int32)
    if itself:
        return codes2, codes2, len(known)
    places = np.minimum(np.searchsorted(known, groups1), len(known) - 1)
    codes1 = np.where(known[places] == groups1, places, -1).astype(np.int32)
    return codes1, codes2, len(known)


def _group_arrays(
    groups: Any, size1: int, size2: int, *, itself: bool
) -> tuple[Array | None, Array | None]:
    """The argument `groups` as an array for either set."""
    if groups is None:
        return None, None
    if itself:
        if isinstance(groups, tuple) and len(groups) == 2 and size1 != 2:
            raise ValueError("groups must be one array, the groups of a, when b is not given")
        both = group_array("groups", groups, size1)
        return both, both
    if (
        not isinstance(groups, tuple | list)
        or len(groups) != 2
        or any(isinstance(part, int | np.integer) for part in groups)
    ):
        raise ValueError(
            "groups must be a tuple of two arrays, the groups of a and of b, when both are given"
        )
    groups1 = group_array("groups[0]", groups[0], size1)
    groups2 = group_array("groups[1]", groups[1], size2)
    if groups1.dtype != groups2.dtype:  # one has numbers from 2**63 on, so the other none below 0
        for name, array in (("groups[0]", groups1), ("groups[1]", groups2)):
            if array.dtype == np.int64 and array.size and array.min() < 0:
                raise ValueError(
                    f"{name} has {array.min()}, and the other groups have numbers from 2**63 on: "
                    "they have no integer type in common"
                )
        return groups1.astype(np.uint64), groups2.astype(np.uint64)
    return groups1, groups2


# ---- the search --------------------------------------------------------------------------------


class Side(NamedTuple):
    """One set, in the order of the search. What overlaps nothing is left out."""

    #: The set as the kernels read it.
    first: Array
    second: Array
    #: (n + padding,) int32: row of each in the caller's set.
    order: Array
    #: (n,) int32: group of each, as `group_codes` numbers them; (1,) if all are of one.
    groups: Array

    def __len__(self) -> int:
        return len(self.order) - PADDING

    @property
    def arrays(self) -> tuple[Array, Array, Array, Array]:
        """The same as a plain tuple: of named ones Numba takes 20 µs to find out the type."""
        return self.first, self.second, self.order, self.groups


class Search(NamedTuple):
    """Two sets and the grid over the second."""

    geometry: str
    dtype: np.dtype[Any]
    side1: Side
    side2: Side
    grid: Grid
    #: What two that score enough must share of the sides of the first, and of the second.
    share1: float
    share2: float
    itself: bool
    #: By which power of two coordinates are magnified.
    exponent: int
    #: What a candidate takes, in scores of boxes.
    scores: int

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The first arguments of every kernel that searches."""
        return self.side1.arrays, self.side2.arrays, tuple(self.grid), self.share1, self.share2


def _shares(metric: str, threshold: float) -> tuple[float, float]:
    """What both sides of an overlap must be of those of either, if two score the threshold.

    An overlap is no wider than either, so iou ≤ width / width1, and so on. A bit less for rounding.
    """
    threshold *= 1 - 2**-10
    if not METRICS[metric].is_ratio:  # never above iou, but for rounding, which lifts giou at most
        threshold = max(0.0, threshold - 1e-5)
    if metric in ("iou", "giou", "diou", "ciou"):
        return threshold, threshold
    if metric == "dice":
        share = threshold / (2 - threshold)
        return share, share
    if metric == "iof":
        return threshold, 0.0
    return 0.0, 0.0


def search(
    sets: Sets,
    metric: str,
    threshold: float,
    codes1: Array,
    codes2: Array,
    group_count: int,
    *,
    score_as: str | None = None,
) -> Search:
    """Build the grid, and put both sets in its order.

    Parameters
    ----------
    metric, threshold
        What the search is for. Pairs that score less may be passed over.
    codes1, codes2, group_count
        From `group_codes`; -1 leaves a member of the second set out.
    score_as
        Metric that areas are made for, if it is another.
    """
    for given, size in zip("ab", sets.sizes, strict=True):
        if size >= 2**31 - PADDING:
            raise ValueError(f"{given} must have fewer than 2**31 members, got {size:,}")
    set1, set2, exponent, odd_areas = sets.prepare(score_as or metric)
    corners1, corners2 = (given[0 if sets.geometry == "box" else 1] for given in (set1, set2))
    share1, share2 = _shares(metric, threshold)
    # Masks need not fill their boxes: two that have but one pixel in common may score much.
    areas_fit = sets.geometry == "box"
    if odd_areas:
        areas_fit = _areas_agree(set1) and _areas_agree(set2)
    if not areas_fit:
        share1 = share2 = 0.0
    levels1 = _levels(corners1, sets.sizes[0])
    levels2 = levels1 if corners1 is corners2 else _levels(corners2, sets.sizes[1])
    # Integers too far apart for float64 are so for the grid, too.
    gridless = sets.geometry == "box" and corners1.dtype == np.int64
    wide = 1 if sets.geometry == "box" else MASK_SCORES
    plan = _plan(corners2, levels1, levels2, codes1, codes2, group_count, 0 if gridless else wide)
    box_rows = [(0, slice(None)), (1, slice(1) if METRICS[metric].is_ratio else slice(None))]
    rows = box_rows if sets.geometry == "box" else [(1, slice(None))]

    def side(given: tuple[Array, Array], order: Array, codes: Array, *, again: bool) -> Side:
        # In place, unless the other side is made of the same: three sets of columns less at once.
        chosen_tables = [table for table, _ in rows]
        tables = [
            table.copy() if again and number in chosen_tables else table
            for number, table in enumerate(given)
        ]
        for table, chosen in rows:
            _reorder(tables[table][chosen], order[:-PADDING])
        groups = codes[order[:-PADDING]] if len(codes) > 1 else codes
        return Side(tables[0], tables[1], order, groups)

    one = corners1 is corners2 and (codes1 is codes2 or np.array_equal(codes1, codes2))
    order2, starts = _sorted(plan, corners2, levels2, codes2, main=False)
    if not one:
        order1, _ = _sorted(plan, corners1, levels1, codes1, main=True)
    side2 = side(set2, order2, codes2, again=corners1 is corners2 and not one)
    side1 = side2 if one else side(set1, order1, codes1, again=False)
    grid = Grid(plan.blocks, plan.extents, plan.layout, plan.edges, plan.places, starts)
    return Search(
        sets.geometry, sets.dtype, side1, side2, grid, share1, share2, sets.itself, exponent,
        _scores_of_one(sets.geometry, side2),
    )  # fmt: skip


def _scores_of_one(geometry: str, side: Side) -> int:
    """How many scores of boxes a candidate takes as long as."""
    if geometry == "box" or not len(side.groups):
        return 1
    # At most all words of the larger; half is common where boxes meet at all.
    heights = (side.second[3] + 63 >> 6) - (side.second[1] >> 6)
    words = heights * (side.second[2] - side.second[0])
    return MASK_SCORES + int(SCORES_PER_WORD * float(words.mean()) / 2)


def _areas_agree(columns: tuple[Array, Array]) -> bool:
    """Whether areas given as width × height are those of the corners, but for rounding."""
    corners, measures = columns
    areas = (corners[2] - corners[0]) * (corners[3] - corners[1])
    return bool((np.abs(areas - measures[0]) <= 2**-12 * areas)[areas > 0].all())


def _levels(corners: Array, count: int) -> Array:
    levels = np.empty(count, np.int16)
    threads.run(kernels.MEASURE_LEVELS, count * SCORES_PER_BOX // 4, corners, BLOCK, levels)
    return levels


def _reorder(rows: Array, order: Array) -> None:
    """Put the columns of a table into another order, in place."""
    work = rows.size * SCORES_PER_BOX // 8
    if len(order) < REORDER_BY_ROWS:
        threads.run(kernels.REORDER_ROWS, work, rows, order)
    else:
        before = np.empty_like(rows[0])
        for row in rows:
            threads.run(kernels.REORDER, work // len(rows), row, order, before, BLOCK)


class _Plan(NamedTuple):
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


def _plan(
    corners: Array,
    levels1: Array,
    levels2: Array,
    codes1: Array,
    codes2: Array,
    group_count: int,
    scores: int,
) -> _Plan:
    """Decide on blocks, bands and cells for the boxes of the second set.

    `scores` is what comparing two boxes costs; 0: no group gets a grid.
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
    cost = scores * sizes1.astype(np.float64) * sizes2
    large = cost > BUILDING_SCORES * sizes2 + ASKING_SCORES * sizes1
    numbers = np.flatnonzero(large)
    class_of_group = np.full(group_count, -1, np.int32)
    lowest = classes = 0
    if len(numbers):
        lowest = int((levels2 if alive.all() else levels2[alive]).min())
        classes = int(levels2.max()) - lowest + 1
        class_of_group[numbers] = np.arange(len(numbers)) * classes
    counts, extremes = _size_up(
        corners, levels2, codes2, class_of_group, lowest, len(numbers) * classes
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
    extents = np.zeros((total, kernels.EXTENTS))
    # Nothing is known of small groups. These are finite, so that 0 of them is 0.
    extents[:, : kernels.MINIMA] = -sys.float_info.max / 4
    extents[:, kernels.MINIMA : kernels.MEASURED] = sys.float_info.max / 4
    layout = np.zeros((total, kernels.LAYOUT), np.int64)
    layout[:, [kernels.BANDS, kernels.CELLS]] = 1
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
                extents[first_blocks[number] + offset, : kernels.MEASURED] = extreme
        block_sizes = np.concatenate([[count for count, _ in blocks] for blocks in parts])
        grid_blocks = np.concatenate(
            [np.arange(first_blocks[number], first_blocks[number + 1]) for number in numbers]
        )
        samples = _samples(
            corners, levels2, codes2, class_of_group, block_of_class, lowest, grid_blocks,
            block_sizes,
        )  # fmt: skip
        edge_count, place_count = 1, 2
        for b, size, (lefts, tops) in zip(grid_blocks, block_sizes, samples, strict=True):
            cuts_y, cuts_x = _cuts(int(size), lefts, tops, extents[b])
            for cuts, columns in (
                (cuts_y, (kernels.BANDS, kernels.EDGES_Y, kernels.PLACES_Y, kernels.STEPS_Y)),
                (cuts_x, (kernels.CELLS, kernels.EDGES_X, kernels.PLACES_X, kernels.STEPS_X)),
            ):
                lookup, first, per_unit = _lookup(cuts)
                layout[b, columns] = len(cuts), edge_count, place_count, len(lookup) - 1
                axis = kernels.TOP if cuts is cuts_y else kernels.LEFT
                extents[b, axis : axis + 2] = first, per_unit
                edges.append(cuts)
                places.append(lookup)
                edge_count += len(cuts)
                place_count += len(lookup)
    layout[:, kernels.BAND] = np.concatenate([[0], np.cumsum(layout[:, kernels.BANDS])[:-1]])[
        :total
    ]
    cells_of_band = np.repeat(layout[:, kernels.CELLS], layout[:, kernels.BANDS])
    band_cells = np.concatenate([[0], np.cumsum(cells_of_band)])
    layout[:, kernels.CELL] = band_cells[layout[:, kernels.BAND]]
    return _Plan(
        first_blocks.astype(np.int32), extents, layout, np.concatenate(edges),
        np.concatenate(places), class_of_group, block_of_class, main_block, only_block, lowest,
        band_cells,
    )  # fmt: skip


def _size_up(
    corners: Array,
    levels: Array,
    codes: Array,
    class_of_group: Array,
    lowest: int,
    classes: int,
) -> tuple[Array, Array]:
    """How many boxes each class has, and the extremes of their sides."""
    parts = max(1, min(CUTS, len(levels) // BLOCK, (1 << 20) // max(classes, 1)))
    counts = np.zeros((parts, classes), np.int64)
    extremes = np.full((parts, classes, kernels.MEASURED), -np.inf)
    extremes[:, :, : kernels.MINIMA] = np.inf
    if classes:
        work = len(levels) * SCORES_PER_BOX // 4
        threads.run(
            kernels.SIZE_UP, work, corners, levels, codes, class_of_group, lowest, counts, extremes
        )
    return counts.sum(axis=0), _joined(extremes)


def _joined(extremes: Array) -> Array:
    """The extremes of several parts together."""
    joined: Array = extremes.max(axis=0)
    joined[..., : kernels.MINIMA] = extremes[..., : kernels.MINIMA].min(axis=0)
    return joined


def _join_classes(counts: Array, extremes: Array, block_of_class: Array) -> list[tuple[int, Array]]:
    """Join classes of few boxes with the next larger one; count and extremes of each block."""
    blocks: list[tuple[int, Array]] = []
    for number in np.flatnonzero(counts):
        count, extreme = int(counts[number]), extremes[number].copy()
        while blocks and blocks[-1][0] <= CLASS_SHARE * count:
            smaller, other = blocks.pop()
            count += smaller
            extreme = _joined(np.stack([extreme, other]))
        block_of_class[block_of_class > len(blocks)] = len(blocks)
        block_of_class[number] = len(blocks)
        blocks.append((count, extreme))
    return blocks


def _samples(
    corners: Array,
    levels: Array,
    codes: Array,
    class_of_group: Array,
    block_of_class: Array,
    lowest: int,
    blocks: Array,
    sizes: Array,
) -> Iterator[tuple[Array, Array]]:
    """Left and top sides of some boxes of each block."""
    count = int(blocks[-1]) + 1
    owners = np.empty(len(levels), np.int32)
    counts = _parts(len(levels), count)
    threads.run(
        kernels.FIND_BLOCKS, len(levels) * SCORES_PER_BOX // 8, levels, codes, class_of_group,
        block_of_class, lowest, owners, counts,
    )  # fmt: skip
    firsts, order, _ = _by_band(owners, np.empty(0, np.int32), counts)
    for b, size in zip(blocks, sizes, strict=True):
        members = order[firsts[b] : firsts[b + 1]]
        wanted = SAMPLES * int(size**0.5 + 1)
        if size > 2 * wanted:
            # Steps of the golden ratio go everywhere, whatever order the boxes come in.
            numbers = np.arange(wanted, dtype=np.uint64) * np.uint64(0x9E3779B9)
            numbers = (numbers & np.uint64(0xFFFFFFFF)) * np.uint64(size) >> np.uint64(32)
            members = members[numbers.astype(np.int64)]
        yield corners[0, members].astype(np.float64), corners[1, members].astype(np.float64)


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
    cuts_y = _even_cuts(tops, bands, LEAST_HEIGHT * extent[kernels.HEIGHT])
    cuts_x = _even_cuts(lefts, cells / len(cuts_y), LEAST_WIDTH * extent[kernels.WIDTH])
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
    until = np.searchsorted(step_of_cut, np.arange(steps), side="right")
    return np.concatenate([[0], until]).astype(np.int32), first, per_unit


def _sorted(
    plan: _Plan, corners: Array, levels: Array, codes: Array, *, main: bool
) -> tuple[Array, Array]:
    """Boxes in the order of bands and cells, with padding, and where each cell begins.

    With `main`, which serves a set that asks, all boxes of a group go to its largest block, and
    only bands count.
    """
    count = len(levels)
    bands = np.empty(count + PADDING, np.int32)
    cells = np.empty(0 if main else count, np.int32)
    counts = _parts(count, len(plan.band_cells) - 1)
    work = count * SCORES_PER_BOX
    threads.run(
        kernels.PLACE, work, corners, levels, codes, plan.class_of_group, plan.block_of_class,
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
    return np.zeros(
        (max(1, min(CUTS, count // BLOCK, (1 << 22) // max(bands, 1))), bands), np.int32
    )


def _by_band(bands: Array, cells: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Where each band begins, boxes in the order of bands, and their cells."""
    firsts = np.concatenate([[0], np.cumsum(counts.sum(axis=0, dtype=np.int64))])
    positions = firsts[:-1] + np.cumsum(counts, axis=0, dtype=np.int64) - counts
    order = np.empty(int(firsts[-1]), np.int32)
    ordered_cells = np.empty(len(order) if len(cells) else 0, np.int32)
    work = len(bands) * SCORES_PER_BOX // 4
    threads.run(kernels.SPREAD, work, bands, cells, positions, order, ordered_cells)
    return firsts, order, ordered_cells


# ---- steps -------------------------------------------------------------------------------------


def row_steps(cumulative: Array, unit: int, count: int) -> Iterator[tuple[Array, int, int]]:
    """Cut `count` rows into steps: row numbers to cut at, work in the step, and work so far.

    `cumulative` is the work before each `unit` of rows, in scores of boxes.
    """
    for first, last, work in steps.spans(cumulative):
        cuts = even_cuts(cumulative, first, last)
        yield np.minimum(cuts * unit, count), work, int(cumulative[last])


def even_cuts(cumulative: Array, first: int, last: int) -> Array:
    """Cut a range of rows into parts of about as much work, at most `CUTS`."""
    if last - first <= CUTS:
        return np.arange(first, last + 1)
    done, before = int(cumulative[last]), int(cumulative[first])
    targets = before + (done - before) * np.arange(CUTS + 1) // CUTS
    cuts = np.unique(np.searchsorted(cumulative[first : last + 1], targets) + first)
    cuts[0], cuts[-1] = first, last
    return cuts
