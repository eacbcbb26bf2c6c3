"""Rows of numbers that fit one format and could be another: what they could be, and what decides.

A format without a header is told by its own rules. Some rows follow those of a format that is read
and also those of one that is not, or that no content tells. These are refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from fastiou.formats.content import (
    LARGEST_NORMALIZED,
    SMALLEST_NORMALIZED,
    Booleans,
    Floats,
    number_in,
)
from fastiou.formats.text import Sample, fits_in_image
from fastiou.tables.grouping import ENDING
from fastiou.typing import Array

__all__ = ["Doubt", "doubt", "header_for", "named_header", "track_again"]

#: Numbers below can be multiplied.
LARGEST = 1e100

#: The most keypoints of a pose, with a little room: whole bodies have 133.
MOST_KEYPOINTS = 150

#: What is said of poses, and of rows of four points, and the numbers in such a row.
POSES = "class, cx, cy, w, h and keypoints (yolo-pose)"
BOXES_OF_POSES = "rows of class, cx, cy, w, h for the boxes of poses"
TURNED = "outlines of four points each, or oriented boxes"
AS_TURNED = "--format yolo-seg, which takes their bounds, or --format yolo-obb"
NUMBERS_TURNED = 9

#: The fewest numbers in a row of an outline of three points with a score behind it.
LEAST_OF_OUTLINE = 8

#: How far keypoints may lie outside of their box, in parts of its size, and how many lie so.
OUTSIDE, MOST_INSIDE = 0.05, 0.75

#: The most classes that are told from sides, and the largest class of MOT's truth, with room.
MOST_CLASSES, MOST_MOT_CLASSES = 100, 20

#: How much opposite sides of an object differ, in parts of its longer diagonal.
MOST_UNLIKE = 0.5

#: Orders of columns of detectors and labels that no format has, as a header names them.
ORDERS = (
    "x1 y1 x2 y2 class", "x1 y1 x2 y2 score", "class x1 y1 x2 y2",
    "x1 y1 x2 y2 score class", "x1 y1 x2 y2 class score",
    "class x1 y1 x2 y2 score", "class score x1 y1 x2 y2",
)  # fmt: skip

#: The largest numbers for what is out of view, occlusion and category in UAVDT's truth.
UAVDT_MOST = (3, 4, 3)

#: In so many rows no object of a whole sequence is farther from the upper left than it is large.
MANY_IN_ORDER = 4

#: So many tracks are counted from 1 on, whatever the number of rows.
FEW_TRACKS = 20


class Doubt(NamedTuple):
    """What is found in rows of two meanings, and what is expected.

    Attributes
    ----------
    format : str or None
        What they are if other files of their folder are so without a doubt; None if those do not
        tell.
    """

    found: str
    expected: str
    format: str | None = None


def doubt(sample: Sample, formats: Collection[str], of: Collection[str]) -> Doubt | None:
    """What rows could be besides a format that they fit, and what decides; None if nothing.

    Parameters
    ----------
    sample
        The first rows.
    formats
        Names of the formats whose rules they follow.
    of
        What the file may hold: "box", "mask" or "labels".
    """
    rows = sample.numbers
    # Numbers beyond these are none of pixels, and the reader says what is wrong with others.
    if rows is None or (np.abs(rows) >= LARGEST).any():
        return None
    if "yolo-seg" in formats:
        return (
            _outline_or_track(sample) or _outline_or_pose(sample) or _outline_or_turned(sample, of)
        )
    if "csv" in formats:
        return _rows_of_yolo(sample, of)
    if "mot" in formats:
        return (
            _class_before_box(rows, formats)
            or _places_or_regions(rows)
            or _track_or_corners(rows, formats)
            or _track_or_batch(rows)
            or _truth_or_occlusion(rows)
        )
    return _centres_or_corners(rows) if "yolo" in formats else None


def header_for(rows: Floats, delimiter: str | None) -> str:
    """Headers that could name the columns of rows of corners, a class and a score; "" if none."""
    headers = []
    for order in ORDERS:
        names = order.split()
        if len(names) != rows.shape[1]:
            continue
        column = dict(zip(names, rows.T, strict=True))
        score = column["score"] if "class" in column and "score" in column else np.zeros(1)
        if (
            _are_classes(column.get("class", np.zeros(1))).all()
            and ((score >= 0) & (score <= 1)).all()
            and ((column["x1"] < column["x2"]) & (column["y1"] < column["y2"])).all()
        ):
            headers.append((delimiter or " ").join(names))
    return " or ".join(headers)


def named_header(sample: Sample) -> str:
    """What is said of the one header that fits rows of a box, names and a score; "" if none does.

    Rows that several fit get no advice: what follows it is read without a word.
    """
    rows = [row for row in sample.cells if len(row) == len(sample.first)]
    if not rows:
        return ""
    values = np.array([[number_in(cell) for cell in row] for row in rows], np.float64)
    are_numbers = ~np.isnan(values).any(axis=0)
    names = ["image" if ENDING.search(cell) else "class" for cell in sample.first]
    for place in np.flatnonzero(are_numbers):
        column = values[:, place]
        is_score = ((column >= 0) & (column <= 1)).all() and (column % 1).any()
        names[place] = "score" if is_score else ""
    count = 8 if np.count_nonzero(are_numbers) >= 8 else 4
    headers = []
    for start in range(len(names) - count + 1):
        after = start + count
        header = [*names[:start], *_names_of_box(values[:, start:after]), *names[after:]]
        if all(header) and len({*header}) == len(names):
            headers.append((sample.delimiter or " ").join(header))
    return f", such as {headers[0]}" if len(headers) == 1 else ""


def _names_of_box(boxes: Floats) -> list[str]:
    """What the numbers of boxes could be called; none of them are boxes if one has no name."""
    if np.isnan(boxes).any():
        return [""]
    if boxes.shape[1] == 8:
        return [f"{axis}{corner}" for corner in range(1, 5) for axis in "xy"]
    low, high = boxes[:, :2], boxes[:, 2:]
    if ((boxes >= 0) & (boxes <= 1)).all():
        return ["cx", "cy", "w", "h"] if fits_in_image(boxes) and (high > 0).all() else [""]
    if (low < high).all():
        return ["x1", "y1", "x2", "y2"]
    return ["x", "y", "w", "h"] if (high > 0).all() else [""]


# ---- YOLO --------------------------------------------------------------------------------------


def _outline_or_track(sample: Sample) -> Doubt | None:
    """Rows whose last number is 0 or 1: the coordinate of a point, or behind a score an id.

    Seven numbers a row could also be a box of a frame.
    """
    rows = sample.numbers
    assert rows is not None
    are_ids = all(row[-1].isdigit() for row in sample.cells)
    if rows.shape[1] == 7:
        if any(len(row) != 7 for row in sample.cells):
            return None
        found, ways = "an outline of three points, or ", "--format yolo-seg, or "
        if fits_in_image(rows[:, 1:5]) and are_ids:
            found += "class, cx, cy, w, h, score, id as Ultralytics has"
            return Doubt(found, ways + "--format yolo, which takes them as boxes with ids")
        in_frames = all(row[1].isdigit() for row in sample.cells) and (
            fits_in_image(rows[:, 2:6]) or (rows[:, 2:4] + rows[:, 4:6] <= 1).all()
        )
        if in_frames:
            found += "frame, class or id, and a box with a score"
            return Doubt(found, ways + "a first line that names the columns")
        return None
    if not are_ids:
        return None
    # An outline that touches the edge of the image mostly does so with more than one point.
    values = [[number_in(cell) for cell in row] for row in sample.cells]
    if any(row[-1] in row[2:-1:2] for row in values):
        return None
    found = "outlines that all end with 0 or 1, or outlines with a score and an id behind them"
    # Behind outlines of one folder all have a score and an id, or none.
    return Doubt(found, "--format yolo-seg, or rows without the score and the id", "yolo-seg")


def _outline_or_pose(sample: Sample) -> Doubt | None:
    """Rows of one length that could be a box and keypoints in it, and are no plain outlines."""
    rows = sample.numbers
    assert rows is not None
    if not _could_be_poses(sample):
        return None
    seen = rows[:, 7::3]  # of keypoints of three numbers each
    are_seen = rows.shape[1] % 3 == 2 and np.isin(seen, (0, 1, 2)).all()
    outlines = [row[1:].reshape(-1, 2) for row in rows]
    if not are_seen and any(_is_plain_outline(own) for own in outlines if not _lacks_points(own)):
        return None
    if rows.shape[1] == NUMBERS_TURNED:
        return Doubt(f"{TURNED}, or {POSES}", f"{AS_TURNED}, or {BOXES_OF_POSES}", "yolo-seg")
    return Doubt(f"outlines, or {POSES}", f"--format yolo-seg, or {BOXES_OF_POSES}")


def _could_be_poses(sample: Sample) -> bool:
    """Whether rows are a class, a box and keypoints in it, each of two numbers or three."""
    rows = sample.numbers
    assert rows is not None
    numbers = rows.shape[1] - 5
    if not 2 <= numbers <= 3 * MOST_KEYPOINTS + 1:
        return False
    if any(len(row) != rows.shape[1] for row in sample.cells):  # all poses have as many keypoints
        return False
    boxes, rest = rows[:, 1:5], rows[:, 5:]
    ways = [2]  # perhaps with a score behind
    ways += [3] if numbers % 3 in (0, 1) and numbers > 2 else []
    points = [rest[:, : numbers // way * way].reshape(len(rows), -1, way)[:, :, :2] for way in ways]
    return any(_are_within_boxes(each, boxes) for each in points)


def _outline_or_turned(sample: Sample, of: Collection[str]) -> Doubt | None:
    """Rows of four points each, which mean the same region as masks, but not as boxes."""
    if "box" not in of or {len(row) for row in sample.cells} != {NUMBERS_TURNED}:
        return None
    # Oriented boxes have four points in all files of a folder.
    return Doubt(TURNED, AS_TURNED, "yolo-seg")


def _rows_of_yolo(sample: Sample, of: Collection[str]) -> Doubt | None:
    """What rows of YOLO are that no format fits: poses, and outlines with scores."""
    rows = sample.numbers
    if not sample.has_blanks or rows is None or rows.shape[1] < LEAST_OF_OUTLINE:
        return None
    classes = rows[:, 0]
    if (classes < 0).any() or (classes != np.floor(classes)).any():
        return None
    are_poses = _could_be_poses(sample)
    widths = {len(row) for row in sample.cells}
    with_ids = all(width % 2 for width in widths)
    points = rows[:, 1:-1] if with_ids else rows[:, 1:]
    are_outlines = min(widths) >= LEAST_OF_OUTLINE and (
        with_ids or not any(width % 2 for width in widths)
    )
    are_outlines &= bool(((points >= SMALLEST_NORMALIZED) & (points <= LARGEST_NORMALIZED)).all())
    behind = "scores and ids" if with_ids else "scores"
    outlines = "outlines (yolo-seg) without ids" if with_ids else "--format yolo-seg"
    if are_outlines and "box" in of and widths == {NUMBERS_TURNED + 1 + with_ids}:
        found = f"oriented boxes, or outlines of four points each, with {behind} behind them"
        ways = f"--format yolo-obb, or {outlines}"
        if are_poses:
            found, ways = f"{found}, or {POSES}", f"{ways}, or {BOXES_OF_POSES}"
        return Doubt(found, ways)
    found = f"outlines with {behind} behind them"
    if are_poses and are_outlines and not with_ids:
        return Doubt(f"{found}, or {POSES}", f"{outlines}, or {BOXES_OF_POSES}")
    if are_poses:
        return Doubt(f"{rows.shape[1]} numbers a row: {POSES}", BOXES_OF_POSES)
    return Doubt(found, outlines) if are_outlines else None


def _are_within_boxes(points: Floats, boxes: Floats) -> bool:
    """Whether points, (n, k, 2), mostly lie in boxes of the image, (n, 4) as cxcywh.

    0, 0 is no point. Some that a detector finds lie outside.
    """
    if not (fits_in_image(boxes) and (boxes[:, 2:] > 0).all()):
        return False
    away = np.abs(points - boxes[:, None, :2]) / boxes[:, None, 2:]
    inside = (away <= 0.5 + OUTSIDE).all(axis=2) | (points == 0).all(axis=2)
    return bool(inside.mean() >= MOST_INSIDE)


def _lacks_points(points: Floats) -> bool:
    """Whether one behind the box is 0, 0, as of a keypoint that nobody sees, and no corner.

    An outline through the corner of the image follows one of its edges on one side at least.
    """
    zero = (points == 0).all(axis=1)
    beside = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    is_corner = np.logical_or(*((own == 0).any(axis=1) for own in beside))
    return bool((zero & ~is_corner)[2:].any())


def _is_plain_outline(points: Floats) -> bool:
    """Whether an outline has an area, no edge twice in one direction, and no edges that cross.

    Its second point, where poses have a width and a height, does not lie far from all others.
    """
    others = np.delete(points, 1, axis=0)
    low, high = others.min(axis=0), others.max(axis=0)
    away = np.maximum(low - points[1], points[1] - high)
    if len(points) > 4 and (away > (high - low).max()).any():
        return False
    following = np.roll(points, -1, axis=0)
    steps = following - points
    area = (points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]).sum()
    edges = np.hstack([points, following])[(steps != 0).any(axis=1)]
    if abs(area) < 1e-9 or len(np.unique(edges, axis=0)) < len(edges):
        return False
    if len(points) == 3:  # which never cross
        return False
    side = _sides_of_edges(points, steps, points)
    ends = _sides_of_edges(points, steps, following)
    parted = side * ends < 0  # both ends of an edge, on two sides of another
    return not bool((parted & parted.T).any())


def _sides_of_edges(starts: Floats, steps: Floats, points: Floats) -> Floats:
    """On which side of each edge each point lies, (edges, points), as a sign."""
    to = points[None] - starts[:, None]
    cross: Floats = np.sign(steps[:, None, 0] * to[..., 1] - steps[:, None, 1] * to[..., 0])
    return cross


def _centres_or_corners(rows: Floats) -> Doubt | None:
    """Normalized boxes that reach out of the image as centre and size, and as corners do not."""
    boxes = rows[:, 1:5]
    as_corners = (boxes[:, 2:] > boxes[:, :2]).all() and ((boxes >= 0) & (boxes <= 1)).all()
    if fits_in_image(boxes) or not as_corners:
        return None
    found = "as class, cx, cy, w, h boxes reach out of the image, as class, x1, y1, x2, y2 none"
    return Doubt(found, "a first line that names the columns (class x1 y1 x2 y2), or --format yolo")


# ---- MOT ---------------------------------------------------------------------------------------


def track_again(frames: Array, ids: Array) -> int | None:
    """The first row whose track is in its frame before; None if there is none.

    What is only detected has -1 or 0 in place of a track.
    """
    tracks = np.flatnonzero(ids > 0)
    order = tracks[np.lexsort((ids[tracks], frames[tracks]))]
    again = (np.diff(frames[order]) == 0) & (np.diff(ids[order]) == 0)
    return int(order[1:][again].min()) if again.any() else None


def _track_or_corners(rows: Floats, formats: Collection[str]) -> Doubt | None:
    """Nine or ten numbers that could be four corners and a class, before or behind them."""
    if rows.shape[1] not in (9, 10):
        return None
    last = rows[:, 9] if rows.shape[1] == 10 else np.zeros(len(rows))
    whole = rows.shape[1] == 10 and (rows[:, 7:] == np.floor(rows[:, 7:])).all()
    # Neither a confidence nor a class of MOT is so large, and its places are hardly ever whole.
    is_open = (rows[:, 6] > 1).any() or (rows[:, 7] > MOST_MOT_CLASSES).any() or whole
    # Who has no places writes 0 or -1, or any other numbers in all rows.
    no_places = (rows[:, 7:9] <= 0).all() or (len(rows) > 2 and (rows[:, 7:] == rows[0, 7:]).all())
    if not is_open or (rows.shape[1] == 10 and no_places):
        return None
    behind = _are_classes(rows[:, 8]) & np.isin(last, (0, 1, 2))
    before = _are_classes(rows[:, 0]) & (last >= 0) & (last <= 1)
    if not (
        (behind.all() and _could_be_corners(rows[:, :8]))
        or (before.all() and _could_be_corners(rows[:, 1:9]))
    ):
        return None
    found = f"{rows.shape[1]} numbers a row: four corners and a class (dota, yolo-obb), or a track"
    known = " or ".join(name for name in ("mot", "visdrone-vid") if name in formats)
    return Doubt(
        found, f"--format {known}, --format dota where the class is last, or --format yolo-obb"
    )


def _could_be_corners(rows: Floats) -> bool:
    """Whether rows of eight numbers are corners around convex quadrilaterals of objects.

    Opposite sides of most are alike. Those of other numbers, as an id beside an x, are not.
    """
    points = rows.reshape(-1, 4, 2)
    steps = np.roll(points, -1, axis=1) - points
    after = np.roll(steps, -1, axis=1)
    turns = np.sign(steps[..., 0] * after[..., 1] - steps[..., 1] * after[..., 0])
    unlike = np.linalg.norm(steps[:, 0] + steps[:, 2], axis=1)
    diagonals = np.linalg.norm(points[:, 2:] - points[:, :2], axis=2).max(axis=1)
    convex = (np.abs(turns.sum(axis=1)) == 4).all()
    return bool(convex and np.mean(unlike <= MOST_UNLIKE * diagonals) > 0.5)


def _are_classes(column: Floats) -> Booleans:
    whole: Booleans = (column >= 0) & (column <= MOST_CLASSES) & (column == np.floor(column))
    return whole


def _track_or_batch(rows: Floats) -> Doubt | None:
    """Seven numbers that could be image, corners, class and score, or frame, class and corners.

    Those of a track could be corners, too, where all of many rows have them in order.
    """
    if rows.shape[1] < 7 or (rows[:, 7:] != -1).any():
        return None
    scored = ((rows[:, 6] >= 0) & (rows[:, 6] <= 1)).all()
    early = (rows[:, 3:5] > rows[:, 1:3]).all() and _are_classes(rows[:, 5]).all()
    # Tracks are counted, so that few rows have none with a large number.
    if scored and early and rows[:, 1].max() > max(FEW_TRACKS, len(rows)):
        found = "seven numbers a row: image, x1, y1, x2, y2, class, score, or a track (mot)"
        return Doubt(found, "--format mot, or a header that names the columns")
    late = (rows[:, 4:6] > rows[:, 2:4]).all()
    if late and len(rows) >= MANY_IN_ORDER:
        found = "rows in which x1, y1, x2, y2 or x, y, w, h could stand behind frame and id"
        return Doubt(found, "--format mot, or a header that names the columns")
    if scored and late and (rows[:, 1] == 0).all() and len(np.unique(rows[:, 0])) < len(rows):
        found = "seven numbers a row: frame, class, x1, y1, x2, y2, score, or a track (mot)"
        return Doubt(found, "--format mot, or a header that names the columns")
    return None


def _truth_or_occlusion(rows: Floats) -> Doubt | None:
    """Nine whole numbers that could be MOT's truth, or UAVDT's with view, occlusion and category.

    A track of MOT is of one class and seen or not, while its occlusion changes.
    """
    if rows.shape[1] != 9 or (rows != np.floor(rows)).any():
        return None
    if (rows[:, 6:] < 1).any() or (rows[:, 6:] > UAVDT_MOST).any():
        return None
    order = np.lexsort((rows[:, 0], rows[:, 1]))
    tracks, third = rows[order, 1], rows[order, 7]
    changes = ((np.diff(tracks) == 0) & (np.diff(third) != 0)).any()
    if not changes and (rows[:, [6, 8]] == 1).all():
        return None
    found = "nine numbers a row: class and visibility last (mot), or occlusion and class"
    return Doubt(found, "--format mot, or a header that names the columns")


def _class_before_box(rows: Floats, formats: Collection[str]) -> Doubt | None:
    """Rows of MOT with a column more in front of the box, or with a class for a confidence.

    Then a side stands where the confidence does, or a score among places of -1.
    """
    last, is_open = rows[:, -1], rows.shape[1] in (9, 10) and (rows[:, -2:] == -1).all()
    is_open = is_open and "visdrone-vid" not in formats
    moved = is_open and (rows[:, 6] > 1).all() and (rows[:, 2] == np.floor(rows[:, 2])).all()
    scored = is_open and rows.shape[1] == 10 and (rows[:, 7] != -1).any()
    if (moved and (rows.shape[1] == 9 or _are_classes(rows[:, 2]).all())) or scored:
        found = "rows in which a class or a frame could stand between id and box"
        return Doubt(found, "--format mot, or a header that names the columns")
    if rows.shape[1] == 7 and (last == np.floor(last)).all() and (last > 1).any():
        found = "seven numbers a row, of which the last could be a class or a confidence (mot)"
        return Doubt(found, "--format mot, or a header that names the columns")
    return None


def _places_or_regions(rows: Floats) -> Doubt | None:
    """Ten numbers, the last four 0: of VisDrone regions to be ignored, which have class 0."""
    if rows.shape[1] != 10 or rows[:, 6:].any():
        return None
    found = "ten numbers a row, of which the last four are 0: this could be mot or visdrone-vid"
    return Doubt(found, "--format mot or --format visdrone-vid")
