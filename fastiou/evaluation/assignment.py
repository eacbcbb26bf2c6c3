"""Assignments within frames, with the partners that SciPy's `linear_sum_assignment` chooses.

Most boxes of a frame have one partner that no other comes near. Such pairs are in every assignment
of the highest total, and are taken at once: a pair that scores more than the best others of its row
and of its column together. Where that leaves boxes open, as ties do, the whole frame is
assigned by the algorithm of `linear_sum_assignment`, in the same order of the same operations.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastiou.runtime.kernel import Kernel
from fastiou.typing import Array

__all__ = ["ASSIGN", "assign_frame", "work_arrays"]

#: Rows of the arrays of floats and of integers that `assign_frame` works on.
FLOAT_ROWS, INTEGER_ROWS = 4, 6


def work_arrays(size: int) -> tuple[Array, Array]:
    """What `assign_frame` works on, for frames of at most `size` boxes on either side."""
    return np.zeros((FLOAT_ROWS, size)), np.zeros((INTEGER_ROWS, size), np.int64)


@register_jitable
def _assign_all(
    costs: Array, rows: int, cols: int, col_of_row: Array, row_of_col: Array, floats: Array,
    integers: Array,
) -> None:  # fmt: skip
    """The assignment of the lowest cost, by shortest augmenting paths.

    This is the algorithm of D. F. Crouse, On implementing 2D rectangular assignment algorithms,
    IEEE Transactions on Aerospace and Electronic Systems 52 (2016), with the order of columns and
    the choice among equal ones as SciPy has them: so it ends with the same one of several
    assignments of the same cost.

    `costs` is (rows * cols,), with `rows` at most `cols`; `col_of_row` (rows,) and `row_of_col`
    (cols,) get the assignment; `floats` (3, cols or more) and `integers` (4, cols or more) are
    worked on.
    """
    row_prices, col_prices, distances = floats[0], floats[1], floats[2]
    reached_by, remaining, row_seen, col_seen = (
        integers[0], integers[1], integers[2], integers[3],
    )  # fmt: skip
    for i in range(rows):
        row_prices[i] = 0.0
        col_of_row[i] = -1
    for j in range(cols):
        col_prices[j] = 0.0
        row_of_col[j] = -1
        reached_by[j] = -1
    for newcomer in range(rows):
        for j in range(cols):
            remaining[j] = cols - j - 1
            distances[j] = np.inf
            col_seen[j] = 0
        for i in range(rows):
            row_seen[i] = 0
        left = cols
        distance = 0.0
        row = newcomer
        sink = -1
        while sink < 0:
            row_seen[row] = 1
            nearest = -1
            lowest = np.inf
            for k in range(left):
                j = remaining[k]
                through = distance + costs[row * cols + j] - row_prices[row] - col_prices[j]
                if through < distances[j]:
                    reached_by[j] = row
                    distances[j] = through
                if distances[j] < lowest or (distances[j] == lowest and row_of_col[j] == -1):
                    lowest = distances[j]
                    nearest = k
            distance = lowest
            col = remaining[nearest]
            if row_of_col[col] == -1:
                sink = col
            else:
                row = row_of_col[col]
            col_seen[col] = 1
            left -= 1
            remaining[nearest] = remaining[left]
        row_prices[newcomer] += distance
        for i in range(rows):
            if row_seen[i] == 1 and i != newcomer:
                row_prices[i] += distance - distances[col_of_row[i]]
        for j in range(cols):
            if col_seen[j] == 1:
                col_prices[j] -= distance - distances[j]
        col = sink
        while True:
            row = reached_by[col]
            row_of_col[col] = row
            col, col_of_row[row] = col_of_row[row], col
            if row == newcomer:
                break


@register_jitable
def _raise_bests(bests: Array, seconds: Array, place: int, score: float) -> None:
    """Note a score as the best or the second of what has met a row or a column."""
    if score > bests[place]:
        seconds[place] = bests[place]
        bests[place] = score
    elif score > seconds[place]:
        seconds[place] = score


@register_jitable
def assign_frame(
    starts: Array, cols: Array, scores: Array, first_row: int, last_row: int, first_col: int,
    last_col: int, margin: float, partners: Array, floats: Array, integers: Array, costs: Array,
) -> bool:  # fmt: skip
    """Assign the rows of a frame to its columns; False if `costs` is too small for that.

    `starts` (rows + 1,), `cols` and `scores` (pairs,): the pairs of all rows; those that score 0
    are none. `partners` (rows,) gets the pair of each row of this frame, -1 for none. `floats` and
    `integers` as `work_arrays`; `costs` (room,). Pairs are taken at once if they score `margin`
    more than whatever they stand against.
    """
    rows, columns = last_row - first_row, last_col - first_col
    row_bests, row_seconds, col_bests, col_seconds = floats[0], floats[1], floats[2], floats[3]
    col_taken = integers[0]
    for j in range(columns):
        col_taken[j] = 0
    for i in range(first_row, last_row):
        partners[i] = -1
    while True:
        for i in range(rows):
            row_bests[i] = 0.0
            row_seconds[i] = 0.0
        for j in range(columns):
            col_bests[j] = 0.0
            col_seconds[j] = 0.0
        is_open = False
        for i in range(rows):
            if partners[first_row + i] >= 0:
                continue
            for k in range(starts[first_row + i], starts[first_row + i + 1]):
                j = cols[k] - first_col
                if scores[k] > 0 and col_taken[j] == 0:
                    is_open = True
                    _raise_bests(row_bests, row_seconds, i, scores[k])
                    _raise_bests(col_bests, col_seconds, j, scores[k])
        if not is_open:
            return True
        is_stuck = True
        for i in range(rows):
            if partners[first_row + i] >= 0:
                continue
            for k in range(starts[first_row + i], starts[first_row + i + 1]):
                j = cols[k] - first_col
                score = scores[k]
                if (
                    score == row_bests[i]
                    and score == col_bests[j]
                    and col_taken[j] == 0
                    and score > row_seconds[i] + col_seconds[j] + margin
                ):
                    partners[first_row + i] = k
                    col_taken[j] = 1
                    is_stuck = False
                    break
        if is_stuck:
            break

    if len(costs) < rows * columns:
        return False
    is_turned = columns < rows
    for place in range(rows * columns):
        costs[place] = 0.0
    for i in range(rows):
        for k in range(starts[first_row + i], starts[first_row + i + 1]):
            j = cols[k] - first_col
            costs[j * rows + i if is_turned else i * columns + j] = -scores[k]
    own, other = integers[4], integers[5]
    _assign_all(
        costs, min(rows, columns), max(rows, columns), own, other, floats, integers
    )  # fmt: skip
    for i in range(rows):
        col = other[i] if is_turned else own[i]
        partners[first_row + i] = -1
        for k in range(starts[first_row + i], starts[first_row + i + 1]):
            if cols[k] - first_col == col and scores[k] > 0:
                partners[first_row + i] = k
    return True


def _assign(
    row_starts: Array, col_starts: Array, starts: Array, cols: Array, scores: Array, margin: float,
    partners: Array, floats: Array, integers: Array, costs: Array, first: int, last: int,
) -> int:  # fmt: skip
    """Assign the frames from `first` to `last`; the first that `costs` is too small for.

    `row_starts` and `col_starts` (frames + 1,): where the boxes of each frame begin; the rest as
    `assign_frame` has it.
    """
    for frame in range(first, last):
        if not assign_frame(
            starts, cols, scores, row_starts[frame], row_starts[frame + 1], col_starts[frame],
            col_starts[frame + 1], margin, partners, floats, integers, costs,
        ):  # fmt: skip
            return frame
    return last


#: `(row_starts, col_starts, starts, cols, scores, margin, partners, floats, integers, costs,
#: first, last) -> frame`
ASSIGN = Kernel(_assign, "assign")
