"""Who matches whom, over pairs sorted by row and column.

Pairs are rows of a sparse matrix: those of row i lie between `offsets[i]` and `offsets[i + 1]` in
`cols` and `values`. Every kernel goes on from where `state` says and returns whether it is done: it
pauses once it has read `budget` pairs, so that Python's signal handlers run now and then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastiou.runtime.kernel import Kernel, inlined
from fastiou.runtime.vectors import heap_array, heap_rows
from fastiou.typing import Array

__all__ = [
    "BIDS",
    "COCO",
    "GREEDY",
    "OPTIMAL",
    "OPTIMAL_RESULT",
    "OPTIMAL_START",
    "OPTIMAL_TURN",
    "SCANS",
    "STATE",
    "find_greedy",
    "find_optimal",
    "optimal_result",
    "optimal_start",
]


#: Numbers in `state`: where to go on. All begin at 0.
STATE = 2

#: How often a row looks through its pairs before they are sorted. Sorting costs as much as
#: 10 to 30 looks; of 100,000 boxes that overlap 30 others each, none looked 16 times.
SCANS = 16

#: How often rows outbid each other before an exact search. With 0, 10, 100 and 300 bids, 100,000
#: boxes that overlap 37 others each took 0.78, 0.60, 0.49 and 0.52 s.
BIDS = 100


# ---- greedy ------------------------------------------------------------------------------------


@register_jitable
def _comes_first(cols: Array, values: Array, i: int, j: int) -> bool:
    """Whether a row prefers its pair i to its pair j."""
    return values[i] > values[j] or (values[i] == values[j] and cols[i] < cols[j])


@register_jitable
def _swap(cols: Array, values: Array, i: int, j: int) -> None:
    cols[i], cols[j] = cols[j], cols[i]
    values[i], values[j] = values[j], values[i]


@register_jitable
def _sink(cols: Array, values: Array, first: int, place: int, count: int) -> None:
    """Restore a heap, whose top comes last of all, below one place."""
    while True:
        child = 2 * place + 1
        if child >= count:
            return
        if child + 1 < count and _comes_first(cols, values, first + child, first + child + 1):
            child += 1
        if not _comes_first(cols, values, first + place, first + child):
            return
        _swap(cols, values, first + place, first + child)
        place = child


@register_jitable
def _sort_row(cols: Array, values: Array, first: int, last: int) -> None:
    """Sort the pairs of a row as it prefers them, in place."""
    count = last - first
    for place in range(count // 2 - 1, -1, -1):
        _sink(cols, values, first, place, count)
    for end in range(count - 1, 0, -1):
        _swap(cols, values, first, first + end)
        _sink(cols, values, first, 0, end)


@register_jitable
def _suits(row: int, col: int, value: float, holders: Array, bars: Array) -> bool:
    """Whether a column prefers this row to the one that it holds, if it holds any."""
    return value > bars[col] or (value == bars[col] and row < holders[col])


def find_greedy(
    offsets: Array,
    cols: Array,
    values: Array,
    partners: Array,
    holders: Array,
    bars: Array,
    looks: Array,
    state: Array,
    budget: int,
) -> bool:
    """Take pairs by falling value, as `GREEDY` tells."""
    row_count = len(offsets) - 1
    next_row = state[0]
    row = state[1] - 1  # who was displaced last and must look again, -1 if nobody
    work = 0
    while work < budget:
        if row < 0:
            if next_row == row_count:
                return True
            row = next_row
            next_row += 1
        first = offsets[row]
        last = offsets[row + 1]
        # The best column that has nobody yet, or whom this row suits better.
        best = -1
        if looks[row] < SCANS:
            looks[row] += 1
            work += last - first + 1
            highest = bars.dtype.type(0)
            for k in range(first, last):
                # Most pairs end here, without a look at their column.
                if values[k] > highest and _suits(row, cols[k], values[k], holders, bars):
                    highest = values[k]
                    best = k
        else:
            if looks[row] == SCANS:
                _sort_row(cols, values, first, last)
                work += SCANS * (last - first)
            # From here on `looks` tells how many of the sorted pairs were tried. A column that was
            # better off then is so for ever.
            while best < 0 and first + looks[row] - SCANS < last:
                k = first + looks[row] - SCANS
                looks[row] += 1
                work += 1
                if _suits(row, cols[k], values[k], holders, bars):
                    best = k
            work += 1
        displaced = -1
        if best >= 0:
            col = cols[best]
            displaced = holders[col]
            if displaced >= 0:
                partners[displaced] = -1
            holders[col] = row
            bars[col] = values[best]
            partners[row] = col
        row = displaced
    state[0] = next_row
    state[1] = row + 1
    return False


#: The matching that takes pairs by descending value, then row, then column, without sorting them.
#:
#: Rows ask columns in the order of their preference, and a column lets go of a row for a better
#: one. As both sides judge by one strict order of all pairs, there is one stable matching, and it
#: is that of taking the pairs in that order. Fills, for rows, `partners` (columns, -1 to begin
#: with), and for columns, `holders` (rows, -1 to begin with) and `bars` (the values of these pairs,
#: 0 to begin with); `looks` begins at 0. May reorder the pairs within rows.
GREEDY = Kernel(find_greedy, "greedy")


# ---- COCO --------------------------------------------------------------------------------------


def _coco(
    offsets: Array,
    cols: Array,
    values: Array,
    order: Array,
    crowd: Array,
    partners: Array,
    scores: Array,
    taken: Array,
    state: Array,
    budget: int,
) -> bool:
    work = 0
    for place in range(state[0], len(order)):
        if work >= budget:
            state[0] = place
            return False
        row = order[place]
        first = offsets[row]
        last = offsets[row + 1]
        work += last - first + 1
        best = -1
        best_is_crowd = True
        for k in range(first, last):
            is_crowd = crowd[cols[k]]
            if taken[cols[k]] and not is_crowd:
                continue
            if is_crowd != best_is_crowd:
                better = best_is_crowd
            else:
                better = best < 0 or values[k] >= values[best]
            if better:
                best = k
                best_is_crowd = is_crowd
        if best >= 0:
            partners[row] = cols[best]
            scores[row] = values[best]
            taken[cols[best]] = True
    return True


#: COCO's matching: the rows, as `order` has them, each take the best column that is left.
COCO = Kernel(_coco, "coco")


# ---- optimal -----------------------------------------------------------------------------------


@register_jitable
def _rise(heap: Array, places: Array, distances: Array, place: int) -> None:
    """Move a column up the heap, to below one that is as near."""
    col = heap[place]
    while place > 0:
        parent = (place - 1) // 2
        if distances[heap[parent]] <= distances[col]:
            break
        heap[place] = heap[parent]
        places[heap[place]] = place
        place = parent
    heap[place] = col
    places[col] = place


@register_jitable
def _take_nearest(heap: Array, places: Array, distances: Array, count: int) -> int:
    """Remove the nearest of `count` columns from the heap."""
    nearest = heap[0]
    col = heap[count - 1]
    count -= 1
    place = 0
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        if child + 1 < count and distances[heap[child + 1]] < distances[heap[child]]:
            child += 1
        if distances[col] <= distances[heap[child]]:
            break
        heap[place] = heap[child]
        places[heap[place]] = place
        place = child
    heap[place] = col
    places[col] = place
    return nearest


@inlined
def fill(array: Array, value: int) -> None:
    """Set all elements. A slice that is assigned to takes up to 1.5 s to compile."""
    for i in range(len(array)):
        array[i] = value


@register_jitable
def turn_rows(
    offsets: Array,
    cols: Array,
    values: Array,
    ends: Array,
    rows: Array,
    turned_values: Array,
    first: int,
    last: int,
) -> None:
    """Put the pairs of some rows behind those that their columns have so far.

    Parameters
    ----------
    offsets, cols, values
        (n + 1,), (pair,) and (pair,): the pairs by row.
    ends
        (m,): where the next pair of each column is put.
    rows, turned_values
        (pair,): get the pairs by column.
    first, last
        The rows.
    """
    for row in range(first, last):
        for k in range(offsets[row], offsets[row + 1]):
            place = ends[cols[k]]
            ends[cols[k]] += 1
            rows[place] = row
            turned_values[place] = values[k]


@register_jitable
def turned(offsets: Array, cols: Array, values: Array, size2: int) -> tuple[Array, Array, Array]:
    """The pairs by column: offsets (m + 1,), rows and values."""
    starts, ends = heap_array(cols, size2 + 1), heap_array(cols, size2 + 1)
    fill(starts, 0)
    for col in cols[: offsets[-1]]:
        starts[col + 1] += 1
    for col in range(size2):
        starts[col + 1] += starts[col]
        ends[col] = starts[col]
    rows, turned_values = heap_array(cols, offsets[-1]), heap_array(values, offsets[-1])
    turn_rows(offsets, cols, values, ends, rows, turned_values, 0, len(offsets) - 1)
    return starts, rows, turned_values


def optimal_start(offsets: Array, cols: Array, values: Array, size2: int) -> tuple[bool, Any]:
    """Whether rows and columns change places for the search, and the arrays that it works on.

    Each of the smaller side finds a partner soon; many of the larger would search long in vain.
    Where 5,000 boxes all overlap 2,500, that takes 2.1 s, and this way round 0.4 s.
    """
    size1 = len(offsets) - 1
    seen = heap_array(cols, size2)
    fill(seen, 0)
    surplus = 0
    for row in range(size1):
        surplus += offsets[row + 1] > offsets[row]
    for col in cols[: offsets[-1]]:
        surplus -= seen[col] == 0
        seen[col] = 1
    is_turned = surplus > 0
    if is_turned:
        offsets, cols, values = turned(offsets, cols, values, size2)
        size1, size2 = size2, size1
        seen = heap_array(cols, size2)
    fill(seen, 0)
    partners, edges, holders = (
        heap_array(cols, size1), heap_array(cols, size1), heap_array(cols, size2),
    )  # fmt: skip
    fill(partners, -1)
    fill(holders, -1)
    prices = np.zeros((3, size1 + size2))
    row_prices, col_prices, distances = prices[0, :size1], prices[1, :size2], prices[2, :size2]
    others = heap_rows(cols, 5, size2)
    pairs = offsets, cols, values
    return is_turned, (
        pairs, partners, edges, holders, row_prices, col_prices, distances, seen, others,
    )  # fmt: skip


def optimal_result(is_turned: bool, arrays: Any) -> tuple[Array, Array, Array]:
    """The column of each row, the value of each match, and the row of each column; -1 for none."""
    pairs, partners, edges, holders = arrays[0], arrays[1], arrays[2], arrays[3]
    values = pairs[2]
    matched = heap_array(values, len(holders) if is_turned else len(partners))
    for own in range(len(partners)):
        if partners[own] >= 0:
            matched[partners[own] if is_turned else own] = values[edges[own]]
    if is_turned:
        partners, holders = holders, partners
    return partners, matched, holders


def find_optimal(arrays: Any, bids: int, state: Array, budget: int) -> bool:
    """Search, with `arrays` from `optimal_start`."""
    pairs, partners, edges, holders, row_prices, col_prices, distances, seen, others = arrays
    offsets, cols, values = pairs
    reached_by, reached_along, heap, places, settled = (
        others[0], others[1], others[2], others[3], others[4],
    )  # fmt: skip
    work = 0
    search = state[1]
    for newcomer in range(state[0], len(offsets) - 1):
        if work >= budget:
            state[0] = newcomer
            state[1] = search
            return False
        if partners[newcomer] >= 0:
            continue
        source = newcomer
        for bid in range(bids + 1):
            # The highest profit at present prices, and the next; none is less than staying out.
            profit = 0.0
            second = 0.0
            best = -1
            work += offsets[source + 1] - offsets[source] + 1
            for k in range(offsets[source], offsets[source + 1]):
                # Most pairs end here, without a look at their column: no price is below 0.
                if values[k] <= second:
                    continue
                gain = values[k] - col_prices[cols[k]]
                if gain > profit:
                    second = profit
                    profit = gain
                    best = k
                elif gain > second:
                    second = gain
            row_prices[source] = profit
            if best < 0:
                break
            col = cols[best]
            displaced = holders[col]
            if displaced >= 0 and (bid == bids or profit == second):
                break
            # Bid as much as leaves the profit of the next best.
            row_prices[source] = second
            col_prices[col] = values[best] - second
            holders[col] = source
            partners[source] = col
            edges[source] = best
            best = -1
            if displaced < 0:
                break
            partners[displaced] = -1
            source = displaced
        if best < 0 or bids > 0:
            continue

        # The cheapest chain of exchanges: it ends at a free column, or at a row that is left out.
        search += 1
        cheapest = profit
        last_row = source
        last_col = -1
        row = source
        distance = 0.0
        waiting = 0
        settled_count = 0
        while True:
            work += offsets[row + 1] - offsets[row] + 1
            for k in range(offsets[row], offsets[row + 1]):
                if values[k] <= distance + row_prices[row] - cheapest:
                    continue
                col = cols[k]
                # 0 but for rounding where it is negative.
                loss = max(row_prices[row] + col_prices[col] - values[k], 0.0)
                through = distance + loss
                if through >= cheapest:
                    continue
                if holders[col] < 0:
                    cheapest = through
                    last_col = col
                elif seen[col] != search:
                    seen[col] = search
                    distances[col] = through
                    heap[waiting] = col
                    waiting += 1
                    _rise(heap, places, distances, waiting - 1)
                elif through < distances[col]:
                    distances[col] = through
                    _rise(heap, places, distances, places[col])
                else:
                    continue
                reached_by[col] = row
                reached_along[col] = k
            if waiting == 0 or distances[heap[0]] >= cheapest:
                break
            col = _take_nearest(heap, places, distances, waiting)
            waiting -= 1
            settled[settled_count] = col
            settled_count += 1
            row = holders[col]
            distance = distances[col]
            if distance + row_prices[row] < cheapest:
                cheapest = distance + row_prices[row]
                last_row = row
                last_col = -1
        for i in range(settled_count):
            change = max(cheapest - distances[settled[i]], 0.0)
            col_prices[settled[i]] += change
            holder = holders[settled[i]]
            row_prices[holder] = max(row_prices[holder] - change, 0.0)
        row_prices[source] = profit - cheapest
        col = last_col
        if col < 0:
            row_prices[last_row] = 0.0
            if last_row == source:
                continue
            col = partners[last_row]
            partners[last_row] = -1
        while True:
            row = reached_by[col]
            left = partners[row]
            holders[col] = row
            partners[row] = col
            edges[row] = reached_along[col]
            if row == source:
                break
            col = left
    return True


#: A matching of the highest total value, over the pairs alone, in two runs.
#:
#: In the first, with `bids`, rows come in as in an auction: each bids for the column that profits
#: it most, and who is outbid bids next, for at most so many bids. In the second, with none, each
#: row that is still out comes in by the chain of exchanges that costs least, found by Dijkstra's
#: algorithm over the losses at present prices, which is Kuhn's method. No price is below 0, and it
#: is 0 where nobody is matched; with every pair, the prices of its row and column together are at
#: least its value, and just that where both are matched. So no matching has a higher total than the
#: sum of all prices, which is what this one has.
#:
#: `partners`, `edges` (numbers of pairs) and `row_prices` are of rows, the rest of columns.
OPTIMAL = Kernel(find_optimal, "optimal")
OPTIMAL_START = Kernel(optimal_start, "optimal-start")
OPTIMAL_TURN = Kernel(turn_rows, "optimal-turn")
OPTIMAL_RESULT = Kernel(optimal_result, "optimal-result")
