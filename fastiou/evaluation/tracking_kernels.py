"""Loops over the frames of a sequence.

Boxes are sorted by frame. Those of the truth are rows: `row_starts[frame]` to
`row_starts[frame + 1]` of a frame. Those of the tracks are columns, with `col_starts`. Pairs that
overlap are kept by row: those of row i are `starts[i]` to `starts[i + 1]` in `cols` and `values`.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastiou.evaluation.assignment import assign_frame
from fastiou.runtime.kernel import Kernel
from fastiou.runtime.vectors import address, uint64_at
from fastiou.typing import Array

__all__ = [
    "ARRANGE",
    "CLEAR",
    "COUNT_PAIRS",
    "FILL_PAIRS",
    "FIRST_TWICE",
    "KEEP_PAIRS",
    "NUMBER_PAIRS",
    "ORDER",
    "POTENTIAL",
    "SPLIT",
]

#: What TrackEval adds to whatever it compares with, so that rounding changes nothing.
EPS = float(np.finfo(np.float64).eps)

#: Whole numbers below it are floats that differ from all others.
EXACT = float(1 << 53)

#: How much more a pair has to score than others to be taken at once, where scores may be 1000.
MARGIN = 1e-9


def _split(rows: Array, used: int, whole: Array, flags: Array, first: int, last: int) -> bool:
    """Take whole numbers out of rows from `first` to `last`; False if any cannot be used.

    `rows` float64, (n, columns): frame, id, four of a box, mark and class, of which the first
    `used` are looked at; `whole` int64, (2, n): frames and ids; `flags` int8, (2, n): marks and
    classes, 1 where they are not looked at.
    """
    is_good = True
    frames, ids, marks, classes = whole[0], whole[1], flags[0], flags[1]
    for i in range(first, last):
        frame, own = rows[i, 0], rows[i, 1]
        mark = rows[i, 6] if used > 6 else 1.0
        class_ = rows[i, 7] if used > 7 else 1.0
        frames[i] = np.int64(frame)
        ids[i] = np.int64(own)
        marks[i] = np.int8(np.int64(mark))
        classes[i] = np.int8(np.int64(class_))
        # Of what is not finite, or not whole, the integer is another number.
        is_good &= (frame >= 0) & (max(frame, abs(own)) < EXACT)
        is_good &= (frames[i] == frame) & (ids[i] == own)
        is_good &= (marks[i] == mark) & (classes[i] == class_)
        # Infinity times 0 is not a number.
        is_good &= 0 * rows[i, 2] + 0 * rows[i, 3] + 0 * rows[i, 4] + 0 * rows[i, 5] == 0
    return is_good


#: `(rows, used, whole, flags, first, last) -> is_good`
SPLIT = Kernel(_split, "split-rows")


def _order(numbers: Array, ends: Array, order: Array, first: int, last: int) -> None:
    """Sort boxes by number; those of one number keep their order.

    `numbers` (n,), from 0 on; `ends` (numbers,): where the next box of each is put; `order` (n,)
    gets the boxes from `first` to `last`.
    """
    for i in range(first, last):
        order[ends[numbers[i]]] = i
        ends[numbers[i]] += 1


#: `(numbers, ends, order, first, last)`
ORDER = Kernel(_order, "order-boxes")


def _first_twice(starts: Array, ids: Array, seen: Array, first: int, last: int) -> int:
    """The first box whose id is in its frame already, of the frames from `first` to `last`, or -1.

    `starts` (frames + 1,); `ids` (n,), from 0 on; `seen` (ids,), all -1 to begin with.
    """
    for frame in range(first, last):
        for i in range(starts[frame], starts[frame + 1]):
            if seen[ids[i]] == frame:
                return i
            seen[ids[i]] = frame
    return -1


#: `(starts, ids, seen, first, last) -> place`
FIRST_TWICE = Kernel(_first_twice, "first-twice")


def _arrange(rows: Array, order: Array, boxes: Array, first: int, last: int) -> None:
    """Put the boxes of rows into an order, as columns.

    `rows` float64, (n, columns): left, top, width and height from the third column on; `order`
    (n,); `boxes` (5, n) gets left, top, right, bottom and area, from `first` to `last`.
    """
    for i in range(first, last):
        row = order[i]
        left, top = rows[row, 2], rows[row, 3]
        right, bottom = left + rows[row, 4], top + rows[row, 5]
        boxes[0, i] = left
        boxes[1, i] = top
        boxes[2, i] = right
        boxes[3, i] = bottom
        # Not the width times the height, which differs from what TrackEval has by rounding.
        boxes[4, i] = (right - left) * (bottom - top)


#: `(rows, order, boxes, first, last)`
ARRANGE = Kernel(_arrange, "arrange-boxes")


def _count_pairs(
    boxes1: Array, boxes2: Array, row_starts: Array, col_starts: Array, counts: Array, first: int,
    last: int,
) -> None:  # fmt: skip
    """Count the boxes of `boxes2` in the same frame that each of `boxes1` meets.

    `boxes1` (5, n) and `boxes2` (5, m): left, top, right, bottom, area; `counts` (n,) is filled for
    the frames from `first` to `last`.
    """
    for frame in range(first, last):
        begin, end = col_starts[frame], col_starts[frame + 1]
        lefts, tops = boxes2[0, begin:end], boxes2[1, begin:end]
        rights, bottoms = boxes2[2, begin:end], boxes2[3, begin:end]
        for i in range(row_starts[frame], row_starts[frame + 1]):
            left, top, right, bottom = boxes1[0, i], boxes1[1, i], boxes1[2, i], boxes1[3, i]
            count = 0
            for j in range(len(lefts)):
                meets = (min(right, rights[j]) > max(left, lefts[j])) & (
                    min(bottom, bottoms[j]) > max(top, tops[j])
                )
                count += 1 if meets else 0
            counts[i] = count


#: `(boxes1, boxes2, row_starts, col_starts, counts, first, last)`
COUNT_PAIRS = Kernel(_count_pairs, "count-frame-pairs")


def _fill_pairs(
    boxes1: Array, boxes2: Array, row_starts: Array, col_starts: Array, starts: Array, cols: Array,
    values: Array, flags: Array, first: int, last: int,
) -> None:  # fmt: skip
    """Fill in the pairs that `_count_pairs` has counted, with the bits that TrackEval's IoU has.

    `starts` (n + 1,); `cols` and `values` (pairs,) are filled; `flags` uint8, (boxes of a frame
    and 8 more,), is worked on.
    """
    words = address(flags)
    for frame in range(first, last):
        begin, end = col_starts[frame], col_starts[frame + 1]
        lefts, tops = boxes2[0, begin:end], boxes2[1, begin:end]
        rights, bottoms = boxes2[2, begin:end], boxes2[3, begin:end]
        for j in range(8):
            flags[len(lefts) + j] = 0
        for i in range(row_starts[frame], row_starts[frame + 1]):
            place = starts[i]
            if place == starts[i + 1]:
                continue
            left, top, right, bottom = boxes1[0, i], boxes1[1, i], boxes1[2, i], boxes1[3, i]
            # Vectorised; then eight boxes at a time are passed over, of which most meet none.
            for j in range(len(lefts)):
                flags[j] = (min(right, rights[j]) > max(left, lefts[j])) & (
                    min(bottom, bottoms[j]) > max(top, tops[j])
                )
            for word in range((len(lefts) + 7) // 8):
                if uint64_at(words, word) == 0:
                    continue
                for j in range(8 * word, 8 * word + 8):
                    if flags[j] == 0:
                        continue
                    width = min(right, rights[j]) - max(left, lefts[j])
                    height = min(bottom, bottoms[j]) - max(top, tops[j])
                    area1, area2 = boxes1[4, i], boxes2[4, begin + j]
                    intersection = width * height
                    union = area1 + area2 - intersection
                    value = intersection / union
                    # Not a number where the areas are infinite.
                    if not (area1 > EPS and area2 > EPS and union > EPS and value > 0):
                        value = 0.0
                    cols[place] = begin + j
                    values[place] = value
                    place += 1


#: `(boxes1, boxes2, row_starts, col_starts, starts, cols, values, flags, first, last)`
FILL_PAIRS = Kernel(_fill_pairs, "fill-frame-pairs")


def _keep_pairs(
    starts: Array, cols: Array, values: Array, row_places: Array, col_places: Array,
    new_starts: Array, new_cols: Array, new_values: Array, place: int, first: int, last: int,
) -> int:  # fmt: skip
    """Keep the pairs of boxes that are kept, of the rows from `first` to `last`; how many in all.

    `row_places` (n,) and `col_places` (m,): the new place of each box, -1 for none; `new_starts`
    (rows kept + 1,), `new_cols` and `new_values` (pairs,) are filled, from pair number `place` on.
    """
    new_starts[0] = 0
    for i in range(first, last):
        if row_places[i] < 0:
            continue
        for k in range(starts[i], starts[i + 1]):
            col = col_places[cols[k]]
            if col >= 0:
                new_cols[place] = col
                new_values[place] = values[k]
                place += 1
        new_starts[row_places[i] + 1] = place
    return place


#: `(starts, cols, values, row_places, col_places, new_starts, new_cols, new_values, place, first,
#: last) -> place`
KEEP_PAIRS = Kernel(_keep_pairs, "keep-frame-pairs")


def _number_pairs(
    starts: Array, cols: Array, id_starts: Array, order: Array, col_ids: Array, numbers: Array,
    seen: Array, seen_as: Array, row_id_of: Array, col_id_of: Array, count: int, first: int,
    last: int,
) -> int:  # fmt: skip
    """Number the pairs of ids that overlap in any frame, of the ids of rows from `first` to `last`.

    `order` (n,): the rows sorted by id, those of one id from `id_starts[id]` on, (ids + 1,);
    `col_ids` (m,); `numbers` (pairs,) gets the number of each pair's ids; `seen` and `seen_as`
    (ids of columns,), the first all -1, are worked on; `row_id_of` and `col_id_of` (pairs,) get the
    ids of each number. There are `count` numbers so far; returns how many there are then.
    """
    for own in range(first, last):
        for place in range(id_starts[own], id_starts[own + 1]):
            row = order[place]
            for k in range(starts[row], starts[row + 1]):
                other = col_ids[cols[k]]
                if seen[other] != own:
                    seen[other] = own
                    seen_as[other] = count
                    row_id_of[count] = own
                    col_id_of[count] = other
                    count += 1
                numbers[k] = seen_as[other]
    return count


#: `(starts, cols, id_starts, order, col_ids, numbers, seen, seen_as, row_id_of, col_id_of,
#: count, first, last) -> count`
NUMBER_PAIRS = Kernel(_number_pairs, "number-id-pairs")


@register_jitable
def _row_sum(cols: Array, values: Array, first: int, last: int, first_col: int, size: int) -> float:
    """The sum of a row of `size` values, of which all others are 0, in the order of `numpy.sum`."""
    if size < 8:
        total = 0.0
        for k in range(first, last):
            total += values[k]
        return total
    # Eight sums side by side, and what is left of the row behind them.
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    end = first_col + size - size % 8
    k = first
    while k < last and cols[k] < end:
        lane = (cols[k] - first_col) % 8
        value = values[k]
        if lane == 0:
            s0 += value
        elif lane == 1:
            s1 += value
        elif lane == 2:
            s2 += value
        elif lane == 3:
            s3 += value
        elif lane == 4:
            s4 += value
        elif lane == 5:
            s5 += value
        elif lane == 6:
            s6 += value
        else:
            s7 += value
        k += 1
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    while k < last:
        total += values[k]
        k += 1
    return total


def _potential(
    starts: Array, cols: Array, values: Array, numbers: Array, row_starts: Array, col_starts: Array,
    col_sums: Array, potential: Array, first: int, last: int,
) -> None:  # fmt: skip
    """How much of their frames pairs of ids have in common, as HOTA weighs it.

    `numbers` (pairs,): the number of each pair's ids; `col_sums` (m,), all 0 to begin with, is
    worked on; `potential` (numbers,) is added to, for the frames from `first` to `last`.
    """
    for frame in range(first, last):
        first_col, last_col = col_starts[frame], col_starts[frame + 1]
        for k in range(starts[row_starts[frame]], starts[row_starts[frame + 1]]):
            col_sums[cols[k]] += values[k]
        for i in range(row_starts[frame], row_starts[frame + 1]):
            total = _row_sum(
                cols, values, starts[i], starts[i + 1], first_col, last_col - first_col
            )
            for k in range(starts[i], starts[i + 1]):
                union = col_sums[cols[k]] + total - values[k]
                if union > EPS:
                    potential[numbers[k]] += values[k] / union


#: `(starts, cols, values, numbers, row_starts, col_starts, col_sums, potential, first, last)`
POTENTIAL = Kernel(_potential, "potential-matches")


def _clear(
    row_starts: Array, col_starts: Array, starts: Array, cols: Array, values: Array, row_ids: Array,
    col_ids: Array, scores: Array, partners: Array, last_match: Array, tracked_in: Array,
    present: Array, matched: Array, fragments: Array, counts: Array, sums: Array,
    floats: Array, integers: Array, costs: Array, first: int, last: int,
) -> int:  # fmt: skip
    """Follow the tracks through the frames from `first` on; the one that `costs` is too small for.

    `row_ids` (n,) and `col_ids` (m,): ids from 0 on; `scores` (pairs,) and `partners` (n,) are
    worked on. Of each id of a row, -1 to begin with: `last_match` its last partner ever, and
    `tracked_in` the frame in which that was, counted over frames with boxes on both sides alone; 0
    to begin with: `present`, `matched` and `fragments`, in how many frames it is, is matched, and
    begins to be. `counts` (5,): matches, misses, false positives, switches, and the frames so
    counted; `sums` (1,): the similarity of all matches; the rest as `assign_frame` has it.
    """
    for frame in range(first, last):
        first_row, last_row = row_starts[frame], row_starts[frame + 1]
        first_col, last_col = col_starts[frame], col_starts[frame + 1]
        if first_row < last_row and first_col < last_col:
            now = counts[4] + 1
            for i in range(first_row, last_row):
                own = row_ids[i]
                before = last_match[own] if tracked_in[own] == now - 1 else -1
                for k in range(starts[i], starts[i + 1]):
                    score = values[k]
                    if score < 0.5 - EPS:
                        score = 0.0
                    elif col_ids[cols[k]] == before:
                        score += 1000
                    scores[k] = score
            if not assign_frame(
                starts, cols, scores, first_row, last_row, first_col, last_col, MARGIN, partners,
                floats, integers, costs,
            ):  # fmt: skip
                return frame
            # A frame without boxes on either side leaves what was tracked before as it is.
            counts[4] = now
            matches, total = 0, 0.0
            for i in range(first_row, last_row):
                if partners[i] < 0:
                    continue
                own = row_ids[i]
                partner = col_ids[cols[partners[i]]]
                matches += 1
                total += values[partners[i]]
                counts[3] += last_match[own] >= 0 and last_match[own] != partner
                fragments[own] += tracked_in[own] != now - 1
                matched[own] += 1
                last_match[own] = partner
                tracked_in[own] = now
            counts[0] += matches
            counts[1] -= matches
            counts[2] -= matches
            sums[0] += total
        for i in range(first_row, last_row):
            present[row_ids[i]] += 1
        counts[1] += last_row - first_row
        counts[2] += last_col - first_col
    return last


#: `(row_starts, col_starts, starts, cols, values, row_ids, col_ids, scores, partners, last_match,
#: tracked_in, present, matched, fragments, counts, sums, floats, integers, costs, first,
#: last) -> frame`
CLEAR = Kernel(_clear, "clear")
