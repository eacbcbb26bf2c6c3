"""The oracle: every score in plain NumPy, written for reading and for nothing else.

It shares no line with the kernels, builds the whole N × M × 2 intermediate, and computes in the
dtype that the contract gives the result. Only tests, benchmarks and documentation use it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "box_iou",
    "box_pairs",
    "coco_match",
    "confusion_matrix",
    "greedy_match",
    "label_overlap",
    "mask_iou",
    "nms",
    "optimal_match",
    "quadrilateral_iou",
    "rotated_iou",
    "soft_iou",
    "thresholded_iou",
    "topk",
]

Array = npt.NDArray[Any]


def _corners(boxes: Array, fmt: str) -> tuple[Array, Array]:
    first, second = boxes[..., :2], boxes[..., 2:]
    if fmt == "xywh":
        second = first + second
    elif fmt == "cxcywh":
        half = second / 2
        first, second = first - half, first + half
    # An inverted side has length 0 and lies at its first corner.
    return first, np.maximum(first, second)


def _quotient(numerator: Array, denominator: Array) -> Array:
    """The quotient, 0 where the denominator is 0."""
    zero = np.zeros((), np.result_type(numerator, denominator))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.where(denominator == 0, zero, numerator / denominator)


def box_iou(
    boxes1: npt.ArrayLike,
    boxes2: npt.ArrayLike,
    fmt: str = "xyxy",
    *,
    metric: str = "iou",
    iscrowd: npt.ArrayLike | None = None,
) -> Array:
    """Dense scores as `fastiou.box_iou` must give them, for integers below 2**52 and floats.

    Parameters
    ----------
    boxes1, boxes2 : array_like, shapes (N, 4) and (M, 4)
        Boxes.
    fmt, metric, iscrowd
        As in `fastiou.box_iou`.

    Returns
    -------
    array, shape (N, M)

    Examples
    --------
    >>> from fastiou import reference
    >>> reference.box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2]])
    array([[0.33333333]])
    """
    a, b = (np.asarray(boxes).reshape(-1, 4) for boxes in (boxes1, boxes2))
    single = all(boxes.dtype.kind == "f" and boxes.dtype.itemsize <= 4 for boxes in (a, b))
    dtype = np.float32 if single else np.float64
    a, b = a.astype(dtype)[:, None], b.astype(dtype)[None]
    missing = np.isnan(a).any(-1) | np.isnan(b).any(-1)

    low1, high1 = _corners(a, fmt)
    low2, high2 = _corners(b, fmt)
    # A side of -0.0 is none, and has no angle of π.
    sides1, sides2 = high1 - low1 + dtype(0), high2 - low2 + dtype(0)
    if fmt == "xywh" and metric == "iou" and dtype == np.float64:  # COCO's arithmetic
        area1, area2 = (np.maximum(boxes[..., 2:], 0).prod(-1) for boxes in (a, b))
    else:
        area1, area2 = sides1.prod(-1), sides2.prod(-1)
    shared = np.maximum(np.minimum(high1, high2) - np.maximum(low1, low2), 0).prod(-1)
    union = area1 + area2 - shared
    iou = _quotient(shared, union)

    hull_sides = np.maximum(high1, high2) - np.minimum(low1, low2)
    hull = hull_sides.prod(-1)
    centres1, centres2 = (low1 + high1) / 2, (low2 + high2) / 2
    distance = ((centres1 - centres2) ** 2).sum(-1)
    diagonal = (hull_sides**2).sum(-1)
    diou = iou - _quotient(distance, diagonal)
    angle1, angle2 = (np.arctan2(sides[..., 0], sides[..., 1]) for sides in (sides1, sides2))
    unequal = dtype(4 / np.pi**2) * (angle1 - angle2) ** 2

    scores: dict[str, Array] = {
        "iou": iou,
        "iof": _quotient(shared, np.broadcast_to(area1, shared.shape)),
        "ios": _quotient(shared, np.minimum(area1, area2)),
        "dice": _quotient(2 * shared, area1 + area2),
        "intersection": shared,
        "giou": iou - _quotient(hull - union, hull),
        "diou": diou,
        "ciou": diou - _quotient(unequal, 1 - iou + unequal) * unequal,
    }
    result: Array = scores[metric]
    if iscrowd is not None:
        crowd = np.asarray(iscrowd).astype(bool).reshape(1, -1)
        result = np.where(crowd, scores["iof"], result)
    result[missing] = np.nan
    return result


def rounded_down(threshold: float, dtype: Any) -> Any:
    """A threshold in the dtype of the scores: the largest number there that is no more than it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou import reference
    >>> print(f"{reference.rounded_down(0.1, np.float32):.10f} {np.float32(0.1):.10f}")
    0.0999999940 0.1000000015
    """
    kind = np.dtype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        number = kind.type(threshold)
        if np.isfinite(number) and float(number) > float(threshold):
            number = np.nextafter(number, kind.type(-np.inf))
    return number


def box_pairs(scores: Array, threshold: float) -> tuple[Array, Array, Array]:
    """Pairs of a dense result, as `fastiou.pairs` must give them."""
    rows, cols = np.nonzero(scores >= rounded_down(threshold, scores.dtype))
    return rows, cols, scores[rows, cols]


def topk(scores: Array, k: int, threshold: float = 0.0) -> tuple[Array, Array]:
    """The best columns of each row of a dense result, as `fastiou.topk` must give them.

    Parameters
    ----------
    scores : array, shape (N, M)
        Dense scores.
    k, threshold
        As in `fastiou.topk`.

    Returns
    -------
    tuple of two arrays of shape (N, k)
        Values and columns.

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou import reference
    >>> values, columns = reference.topk(np.array([[0.5, 0.0, 0.75, 0.5]]), 4)
    >>> values, columns
    (array([[0.75, 0.5 , 0.5 , 0.  ]]), array([[ 2,  0,  3, -1]]))
    """
    values = np.zeros((len(scores), k), scores.dtype)
    columns = np.full((len(scores), k), -1)
    for row, of_row in enumerate(scores):
        (good,) = np.nonzero((of_row > 0) & (of_row >= rounded_down(threshold, scores.dtype)))
        # Stable, so that of equal scores the lowest column comes first.
        best = good[np.argsort(-of_row[good], kind="stable")][:k]
        values[row, : len(best)] = of_row[best]
        columns[row, : len(best)] = best
    return values, columns


def nms(
    overlaps: Any,
    scores: npt.ArrayLike,
    threshold: float = 0.5,
    *,
    groups: npt.ArrayLike | None = None,
    method: str = "hard",
    sigma: float = 0.5,
    score_threshold: float | None = None,
    max_output: int | None = None,
    max_total: int | None = None,
) -> Array:
    """What is kept of a set, as `fastiou.nms` must give it.

    Parameters
    ----------
    overlaps : array, shape (N, N), or what has its rows
        Dense scores of the set with itself, a row for each that may be kept.
    scores, threshold, groups, method, sigma, score_threshold, max_output, max_total
        As in `fastiou.nms`.

    Returns
    -------
    array of int64

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou import reference
    >>> overlaps = np.array([[1.0, 0.75, 0.25], [0.75, 1.0, 0.5], [0.25, 0.5, 1.0]])
    >>> reference.nms(overlaps, [0.75, 1.0, 0.5])
    array([1, 2])
    >>> reference.nms(overlaps, [0.75, 1.0, 0.5], method="linear")
    array([1, 2, 0])
    """
    scores = np.asarray(scores)
    groups = np.zeros(len(scores), np.int64) if groups is None else np.asarray(groups)
    kind = scores.dtype if scores.dtype.kind == "f" else np.dtype(np.float64)
    least = -np.inf if score_threshold is None else score_threshold
    enough = scores.astype(kind) >= rounded_down(least, kind)
    current = scores.astype(np.float64)
    taken = []
    for group in np.unique(groups):
        (left,) = np.nonzero(enough & (groups == group))
        while len(left):
            best = left[np.argmax(current[left])]  # the first of equal ones
            taken.append(best)
            left = left[left != best]
            values = overlaps[best][left]
            above = values.astype(np.float64) > threshold  # as torchvision compares them
            if method == "hard":
                left = left[~above]
                continue
            values = values.astype(np.float64)
            if method == "linear":
                factors = np.where(above, 1 - values, 1.0)
            else:
                factors = np.where(values > 0, np.exp(-(values**2) / sigma), 1.0)
            current[left] *= factors
            left = left[current[left] >= least]
    taken.sort(key=lambda index: (-current[index], index))
    kept: list[Any] = []
    for index in taken:
        if max_output is None or sum(groups[index] == groups[kept]) < max_output:
            kept.append(index)
    return np.array(kept[:max_total], np.int64)


# ---- matching ----------------------------------------------------------------------------------


def greedy_match(scores: Array, threshold: float) -> tuple[Array, Array]:
    """Rows and columns of a dense result, as `fastiou.match` must match them by "greedy"."""
    rows, cols, values = box_pairs(scores, threshold)
    matched: dict[int, int] = {}
    for _, row, col in sorted(zip(-values, rows, cols, strict=True)):
        if row not in matched and col not in matched.values():
            matched[row] = col
    return _sorted_by_row(matched)


def coco_match(
    scores: Array, threshold: float, ranks: npt.ArrayLike, iscrowd: npt.ArrayLike | None = None
) -> tuple[Array, Array]:
    """Rows and columns of a dense result, as `fastiou.match` must match them by "coco".

    It goes through the ground truth as COCO's own code does, those that are no crowds first.
    """
    count1, count2 = scores.shape
    crowd = np.zeros(count2, bool) if iscrowd is None else np.asarray(iscrowd).astype(bool)
    matched: dict[int, int] = {}
    for row in sorted(range(count1), key=lambda row: -np.asarray(ranks)[row]):
        # COCO lets equal boxes match at 1; float32 has no number that near.
        most = float(scores.dtype.type(1 - 1e-10))
        highest = rounded_down(min(threshold, most), scores.dtype)
        best = -1
        for col in [*np.flatnonzero(~crowd), *np.flatnonzero(crowd)]:
            if col in matched.values() and not crowd[col]:
                continue
            if best >= 0 and not crowd[best] and crowd[col]:
                break
            if scores[row, col] >= highest:
                highest, best = scores[row, col], int(col)
        if best >= 0:
            matched[row] = best
    return _sorted_by_row(matched)


def optimal_match(scores: Array, threshold: float) -> tuple[Array, Array]:
    """Rows and columns of a dense result with the highest total score, by trial of all matchings.

    For few of them: it takes as many steps as there are sets of columns, times rows and columns.
    """
    count1, count2 = scores.shape
    #: The best total and its partners, by the set of columns that are taken, as bits.
    found: dict[int, tuple[float, dict[int, int]]] = {0: (0.0, {})}
    for row in range(count1):
        for taken, (total, matched) in list(found.items()):
            for col in range(count2):
                score = scores[row, col]
                if taken >> col & 1 or not score >= rounded_down(threshold, scores.dtype):
                    continue
                key = taken | 1 << col
                if key not in found or total + score > found[key][0]:
                    found[key] = total + float(score), {**matched, row: col}
    return _sorted_by_row(max(found.values(), key=lambda entry: entry[0])[1])


def _sorted_by_row(matched: dict[int, int]) -> tuple[Array, Array]:
    rows = sorted(matched)
    return np.array(rows, np.int64), np.array([matched[row] for row in rows], np.int64)


# ---- masks -------------------------------------------------------------------------------------


def mask_iou(
    masks1: npt.ArrayLike,
    masks2: npt.ArrayLike,
    *,
    metric: str = "iou",
    iscrowd: npt.ArrayLike | None = None,
) -> Array:
    """Dense scores as `fastiou.mask_iou` must give them, bit for bit.

    Parameters
    ----------
    masks1, masks2 : array_like, shapes (N, H, W) and (M, H, W)
        Dense masks; what is not 0 is foreground.
    metric, iscrowd
        As in `fastiou.mask_iou`.

    Returns
    -------
    array of float64, shape (N, M)

    Examples
    --------
    >>> from fastiou import reference
    >>> reference.mask_iou([[[1, 1], [0, 0]]], [[[1, 0], [1, 0]]])
    array([[0.33333333]])
    """
    a, b = (np.asarray(masks) != 0 for masks in (masks1, masks2))
    # Whole numbers below 2**53, whose products and sums are exact.
    a, b = (m.reshape(len(m), m.shape[1] * m.shape[2]).astype(np.float64) for m in (a, b))
    shared = a @ b.T
    area1, area2 = a.sum(1)[:, None], b.sum(1)[None]
    scores: dict[str, Array] = {
        "iou": _quotient(shared, area1 + area2 - shared),
        "iof": _quotient(shared, np.broadcast_to(area1, shared.shape)),
        "ios": _quotient(shared, np.minimum(area1, area2)),
        "dice": _quotient(2 * shared, area1 + area2),
        "intersection": shared,
    }
    result: Array = scores[metric]
    if iscrowd is not None:
        crowd = np.asarray(iscrowd).astype(bool).reshape(1, -1)
        result = np.where(crowd, scores["iof"], result)
    return result


# ---- segmentation ------------------------------------------------------------------------------


def label_overlap(labels1: npt.ArrayLike, labels2: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Pairs of labels and their pixels, as `fastiou.label_overlap` must give them."""
    rows, places1 = np.unique(np.ravel(labels1), return_inverse=True)
    cols, places2 = np.unique(np.ravel(labels2), return_inverse=True)
    keys, counts = np.unique(places1 * len(cols) + places2, return_counts=True)
    row, col = np.divmod(keys, max(len(cols), 1))
    return rows[row], cols[col], counts


def confusion_matrix(
    target: npt.ArrayLike, pred: npt.ArrayLike, num_classes: int, ignore_index: int | None = None
) -> Array:
    """Pixels by true and predicted class, as `fastiou.confusion_matrix` must give them."""
    true, predicted = np.ravel(target).astype(object), np.ravel(pred)
    kept = true != ignore_index
    matrix = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(matrix, (true[kept].astype(int), predicted[kept].astype(int)), 1)
    return matrix


def soft_iou(
    inputs: npt.ArrayLike,
    targets: npt.ArrayLike,
    smooth: float = 1e-6,
    axis: int | tuple[int, ...] | None = None,
) -> Array:
    """IoU of values as `fastiou.soft_iou` must give it, within rounding."""
    x, y = np.asarray(inputs).astype(np.float64), np.asarray(targets).astype(np.float64)
    intersection = np.asarray(np.sum(x * y, axis=axis))
    union = np.asarray(np.sum(x + y, axis=axis)) - intersection
    return _quotient(intersection + smooth, union + smooth)


def thresholded_iou(outputs: npt.ArrayLike, labels: npt.ArrayLike, smooth: float = 1e-6) -> Array:
    """IoU of masks (N, H, W) in steps, as `fastiou.thresholded_iou` must give it, bit for bit."""
    x, y = np.asarray(outputs), np.asarray(labels)
    intersection = (x & y).sum((1, 2))
    union = (x | y).sum((1, 2))
    iou = (intersection + smooth) / (union + smooth)
    result: Array = np.ceil(np.clip(20 * (iou - 0.5), 0, 10)) / 10
    return result


# ---- rotated boxes -----------------------------------------------------------------------------


def _centres_and_axes(boxes: Array, fmt: str) -> tuple[Array, Array, Array]:
    """Centres, sides (at least 0), and the directions of the width, from x towards y (down)."""
    angles = boxes[:, 4]
    angles = angles if "rad" in fmt else np.radians(np.fmod(angles, 360))
    angles = angles if "cw" in fmt.split("-") else -angles
    axes = np.stack([np.cos(angles), np.sin(angles)], -1)
    centres, sides = boxes[:, :2], boxes[:, 2:4]
    if fmt == "xywhr":  # x, y is the corner that is the top left one without rotation
        across = np.stack([-axes[:, 1], axes[:, 0]], -1)
        centres = centres + (sides[:, :1] * axes + sides[:, 1:] * across) / 2
    return centres, np.where((sides > 0).all(-1, keepdims=True), sides, 0), axes


def _clipped(points: list[Array], on: Array, outward: Array) -> list[Array]:
    """Polygons, without what lies outward of the line through a point (Sutherland, Hodgman).

    A polygon is a list of corners, each an array (M, 2): one for each of M polygons. Every polygon
    keeps as many corners as all others, so a corner that is cut off repeats the one before it.
    """
    axis = int(outward[0] == 0)
    # The first corner has none before it, so that the last ones are found in a first round.
    last = np.zeros_like(points[0])
    for _ in range(2):
        result = []
        for before, here in zip(points[-1:] + points[:-1], points, strict=True):
            beyond1, beyond2 = (before - on) @ outward, (here - on) @ outward
            crosses = (beyond1 > 0) != (beyond2 > 0)
            share = _quotient(beyond1, np.where(crosses, beyond1 - beyond2, 0))[:, None]
            crossing = before + share * (here - before)
            if outward[1 - axis] == 0:  # an axis itself without rounding
                crossing[:, axis] = on[axis]
            last = np.where(crosses[:, None], crossing, last)
            result.append(last)
            last = np.where((beyond2 <= 0)[:, None], here, last)
            result.append(last)
    return result


def _area_of(points: list[Array]) -> Array:
    """Areas of polygons as `_clipped` has them, positive where they turn from x towards y."""
    pairs = zip(points[-1:] + points[:-1], points, strict=True)
    return sum(((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]) / 2 for p, q in pairs), np.zeros(()))


def _of_areas(metric: str, shared: Array, area1: Array, area2: Array, exponent: int) -> Array:
    """Scores of shared areas (N, M) and areas (N, 1) and (1, M), all in units of 4^exponent."""
    shared = np.clip(shared, 0, np.minimum(area1, area2))
    if metric == "intersection":
        with np.errstate(over="ignore"):
            return np.ldexp(shared, 2 * exponent)
    divisors = {
        "iou": area1 + area2 - shared,
        "iof": np.broadcast_to(area1, shared.shape),
        "ios": np.minimum(area1, area2),
        "dice": (area1 + area2) / 2,
    }
    return _quotient(shared, divisors[metric])


def rotated_iou(
    boxes1: npt.ArrayLike, boxes2: npt.ArrayLike, fmt: str = "cxcywhr", *, metric: str = "iou"
) -> Array:
    """Dense scores of rotated boxes as `fastiou.box_iou` must give them, within rounding.

    Parameters
    ----------
    boxes1, boxes2 : array_like, shapes (N, 5) and (M, 5)
        Boxes.
    fmt, metric
        As in `fastiou.box_iou`; ratio metrics only.

    Returns
    -------
    array, shape (N, M)

    Examples
    --------
    >>> from fastiou import reference
    >>> reference.rotated_iou([[0, 0, 2, 2, 0]], [[0, 0, 2, 2, 45]]).round(6)
    array([[0.707107]])
    """
    given = [np.asarray(boxes).reshape(-1, 5) for boxes in (boxes1, boxes2)]
    single = all(boxes.dtype.kind == "f" and boxes.dtype.itemsize <= 4 for boxes in given)
    missing1, missing2 = (np.isnan(boxes.astype(np.float64)).any(-1) for boxes in given)
    a, b = (np.nan_to_num(boxes.astype(np.float64)) for boxes in given)
    # In units of the largest number, so that no area overflows.
    largest = max(np.abs(boxes[:, :4]).max(initial=0) for boxes in (a, b))
    exponent = int(np.frexp(largest)[1])
    for boxes in (a, b):
        boxes[:, :4] = np.ldexp(boxes[:, :4], -exponent)

    centres1, sides1, axes1 = _centres_and_axes(a, fmt)
    centres2, sides2, axes2 = _centres_and_axes(b, fmt)
    shared = np.zeros((len(a), len(b)))
    for row, (centre, (width, height), (cosine, sine)) in enumerate(
        zip(centres1, sides1, axes1, strict=True)
    ):
        # The second boxes as the first one sees them, from its centre and along its sides.
        frame = np.array([[cosine, -sine], [sine, cosine]])
        moved = (centres2 - centre) @ frame
        along = axes2 @ frame * sides2[:, :1] / 2
        across = np.stack([-axes2[:, 1], axes2[:, 0]], -1) @ frame * sides2[:, 1:] / 2
        points = [
            moved - along - across,
            moved + along - across,
            moved + along + across,
            moved - along + across,
        ]
        for outward in np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]):
            points = _clipped(points, outward * [width / 2, height / 2], outward)
        shared[row] = _area_of(points)

    area1, area2 = sides1.prod(-1)[:, None], sides2.prod(-1)[None]
    result = _of_areas(metric, shared, area1, area2, exponent)
    result[missing1] = np.nan
    result[:, missing2] = np.nan
    return result.astype(np.float32 if single else np.float64)


# ---- quadrilaterals ----------------------------------------------------------------------------


def _turn(first: Array, second: Array, third: Array) -> Array:
    """Positive where a way along three points (..., 2) turns from x towards y."""
    way, further = second - first, third - first
    result: Array = way[..., 0] * further[..., 1] - way[..., 1] * further[..., 0]
    return result


def _shared_of_triangles(triangle: Array, others: Array) -> Array:
    """Areas that a triangle (3, 2) shares with others (M, 3, 2), all of which turn towards y."""
    points = list(np.moveaxis(others, 1, 0))
    for begin, end in zip(triangle, np.roll(triangle, -1, axis=0), strict=True):
        points = _clipped(points, begin, (end - begin)[::-1] * [1, -1])
    return _area_of([point - points[0] for point in points])


def quadrilateral_iou(
    members1: npt.ArrayLike, members2: npt.ArrayLike, *, metric: str = "iou"
) -> Array:
    """Dense scores of quadrilaterals as `fastiou.box_iou` must give them, within rounding.

    Each is the sum or the difference of two triangles, which are convex. See `rotated_iou`.

    Examples
    --------
    >>> from fastiou import reference
    >>> reference.quadrilateral_iou([[0, 0, 2, 0, 2, 2, 0, 2]], [[1, 0, 3, 0, 3, 2, 1, 2]]).round(6)
    array([[0.333333]])
    """
    given = [np.asarray(members).reshape(-1, 8) for members in (members1, members2)]
    single = all(members.dtype.kind == "f" and members.dtype.itemsize <= 4 for members in given)
    missing1, missing2 = (np.isnan(members.astype(np.float64)).any(-1) for members in given)
    a, b = (np.nan_to_num(members.astype(np.float64)).reshape(-1, 4, 2) for members in given)
    # In units of the largest number, so that no area overflows.
    largest = max(np.abs(members).max(initial=0) for members in (a, b))
    exponent = int(np.frexp(largest)[1])
    a, b = (np.ldexp(members, -exponent) for members in (a, b))

    def triangles(members: Array) -> list[tuple[Array, Array]]:
        """Two triangles of each, and their areas, negative where they turned the other way."""
        found = []
        for corners in ([0, 1, 2], [0, 2, 3]):
            own = members[:, corners]
            size = _turn(*np.moveaxis(own, 1, 0)) / 2
            found.append((np.where((size < 0)[:, None, None], own[:, ::-1], own), size))
        return found

    parts1, parts2 = triangles(a), triangles(b)
    shared = np.zeros((len(a), len(b)))
    for own, size in parts1:
        for others, other_size in parts2:
            for row, triangle in enumerate(own):
                # About a corner, so that little is rounded.
                some = _shared_of_triangles(triangle - triangle[0], others - triangle[0])
                shared[row] += np.sign(size[row] * other_size) * some
    area1, area2 = (sum(size for _, size in parts) for parts in (parts1, parts2))
    shared *= np.sign(area1)[:, None] * np.sign(area2)
    area1, area2 = np.abs(area1)[:, None], np.abs(area2)[None]
    result = _of_areas(metric, shared, area1, area2, exponent)
    result[missing1] = np.nan
    result[:, missing2] = np.nan
    return result.astype(np.float32 if single else np.float64)
