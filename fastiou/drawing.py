"""Pictures of boxes and masks, and of who belongs to whom, with matplotlib (the extra `plot`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastiou.arrays.inputs import plain_array
from fastiou.arrays.svg import COLOURS
from fastiou.geometries.masks.mask_set import Masks, read_masks
from fastiou.geometries.masks.painting import painted
from fastiou.geometries.polygons.polygon_set import Polygons
from fastiou.geometries.table import geometry_of
from fastiou.runtime.extras import import_extra
from fastiou.runtime.words import described
from fastiou.tables.listing import Listing
from fastiou.tables.opened import USUAL, opened
from fastiou.tables.pictures import corners
from fastiou.typing import Array

__all__ = ["plot"]

#: Members of a set that are drawn: more are a blot.
MOST = 10_000

#: Masks of a set that are drawn.
MOST_MASKS = 255


def plot(
    a: Any,
    b: Any = None,
    pairs: Any = None,
    *,
    fmt: str | tuple[str, str] = USUAL,
    image: Any = None,
    axes: Any = None,
) -> Any:
    """Draw boxes or masks, those of a second set in another colour, and which belong together.

    Parameters
    ----------
    a : array_like, shape (N, 4), (N, 5) or (N, 8), or masks
        Boxes, rotated boxes or quadrilaterals, as in `box_iou`; `Polygons`; masks, as in
        `mask_iou`; or a table. They are drawn in blue, masks each in a colour of its own.
    b : the same, optional
        A second set, in orange; masks are drawn by the boxes around them.
    pairs : Pairs, Match or TopK, optional
        What a function found for `a` and `b`, or for `a` alone. The middles of two that belong
        together are joined by a line. Members that are in no pair are dashed.
    fmt
        As in `box_iou`.
    image : array_like, shape (H, W), (H, W, 3) or (H, W, 4), optional
        What to draw on.
    axes : matplotlib.axes.Axes, optional
        Where to draw; in a new figure of pyplot's if not given.

    Returns
    -------
    matplotlib.axes.Axes
        With y downwards, as in images.

    Raises
    ------
    TypeError, ValueError
        As `box_iou`; `pairs` that are none, or have positions outside of the sets; more members
        than can be seen, which are 10,000 boxes or 255 masks a set; members that do not lie in the
        plane.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> import fastiou
    >>> from matplotlib.figure import Figure
    >>> truth, found = [[10, 10, 50, 60], [70, 20, 90, 80]], [[12, 11, 50, 62]]
    >>> axes = Figure().subplots()
    >>> axes = fastiou.plot(truth, found, fastiou.match(truth, found), axes=axes)
    >>> len(axes.patches), len(axes.lines)
    (3, 1)
    """
    import_extra("matplotlib", "plot", "plot()")
    a, b, fmt, *_ = opened(("a", "b"), a, b, fmt, by_keys=False)
    geometry = geometry_of(fmt, a, b)
    if axes is None:
        axes = import_extra("matplotlib.pyplot", "plot", "plot()").subplots()[1]
    #: The corners of each member, or of the box around it, and its rings.
    sets: list[Array] = []
    shapes: list[list[list[Array]]] = []
    bounds: list[float] = [np.inf, np.inf, -np.inf, -np.inf]
    for name, value in (("a", a), ("b", b)):
        if value is None:
            continue
        if geometry.name == "mask":
            masks = read_masks(name, value).array
            _check_few(name, len(masks), MOST_MASKS, "masks")
            sets.append(_corners_of_boxes(masks.boxes))
            if name == "a":
                bounds = [0, 0, masks.shape[2], masks.shape[1]]
                _draw_masks(axes, masks)
            shapes.append([[outline] for outline in sets[-1]])
        elif isinstance(value, Polygons):
            _check_few(name, len(value), MOST, "polygons")
            sets.append(_corners_of_boxes(value.bounds))
            shapes.append(value.to_rings())
        else:
            sets.append(corners(name, value, fmt))
            _check_few(name, len(sets[-1]), MOST, "boxes")
            shapes.append([[outline] for outline in sets[-1]])
    links = _links(pairs, sets)
    if image is not None:
        pixels = plain_array("image", image)
        axes.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, zorder=0)
    for place, rings_of_each in enumerate(shapes):
        if geometry.name != "mask" or place:
            linked = None
            if links is not None:
                linked = np.concatenate(links) if len(sets) == 1 else links[place]
            _draw_outlines(axes, rings_of_each, COLOURS[place], linked)
    if links is not None:
        middles = [outlines.mean(axis=1) for outlines in (sets[0], sets[-1])]
        for row, col in zip(*links, strict=True):
            one, other = middles[0][row], middles[1][col]
            axes.plot(*np.stack([one, other]).T, color=COLOURS[2], marker=".", zorder=4)
    _fit(axes, sets, bounds, on_image=image is not None)
    return axes


def _check_few(name: str, count: int, most: int, what: str) -> None:
    if count > most:
        raise ValueError(f"{name} must be at most {most:,} {what} to be drawn, got {count:,}")


def _links(pairs: Any, sets: list[Array]) -> tuple[Array, Array] | None:
    """Rows and columns of what belongs together."""
    if pairs is None:
        return None
    if not isinstance(pairs, Listing):
        raise TypeError(f"pairs must be Pairs, Match or TopK, got {described(pairs)}")
    rows, cols = pairs.to_numpy()[:2]
    for positions, outlines, name in ((rows, sets[0], "a"), (cols, sets[-1], "b")):
        if len(positions) and not 0 <= positions.min() <= positions.max() < len(outlines):
            raise ValueError(
                f"pairs must be of these sets, got position {positions.max()} of "
                f"{len(outlines):,} in {name}"
            )
    _check_few("pairs", len(rows), MOST, "pairs")
    return rows, cols


def _corners_of_boxes(boxes: Array) -> Array:
    left, top, right, bottom = boxes.T.astype(np.float64)
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return np.stack([np.stack(point, axis=1) for point in points], axis=1)


def _draw_outlines(
    axes: Any, rings_of_each: list[list[Array]], colour: str, linked: Array | None
) -> None:
    """Draw members, dashed where they are in no pair."""
    patches = import_extra("matplotlib.patches", "plot", "plot()")
    has_partner = np.ones(len(rings_of_each), np.bool_)
    if linked is not None:
        has_partner[:] = False
        has_partner[linked] = True
    for rings, is_linked in zip(rings_of_each, has_partner, strict=True):
        style = "-" if is_linked else "--"
        for ring in rings:
            if len(ring) and np.isfinite(ring).all():
                axes.add_patch(
                    patches.Polygon(ring, fill=False, edgecolor=colour, linestyle=style, zorder=3)
                )


def _draw_masks(axes: Any, masks: Masks) -> None:
    """Draw masks as a transparent layer, and their boxes not at all."""
    numbers = painted(masks, MOST_MASKS, max(1, -(-max(masks.shape[1:]) // 2000)))
    colours = np.array([[0, 0, 0, 0], *([*_rgb(colour), 128] for colour in COLOURS)], np.uint8)
    places = np.where(numbers > 0, (numbers - 1) % len(COLOURS) + 1, 0)
    extent = (0, masks.shape[2], masks.shape[1], 0)
    axes.imshow(colours[places], extent=extent, interpolation="nearest", zorder=2)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def _fit(axes: Any, sets: list[Array], bounds: list[float], *, on_image: bool) -> None:
    """Show all, with y downwards."""
    axes.set_aspect("equal")
    if on_image:
        return
    left, top, right, bottom = bounds
    for outlines in sets:
        points = outlines[np.isfinite(outlines).all((1, 2))].reshape(-1, 2)
        if len(points):
            left, top = min(left, points[:, 0].min()), min(top, points[:, 1].min())
            right, bottom = max(right, points[:, 0].max()), max(bottom, points[:, 1].max())
    if left < right and top < bottom:
        room = 0.04 * max(right - left, bottom - top)
        axes.set_xlim(left - room, right + room)
        axes.set_ylim(bottom + room, top - room)
    elif not axes.yaxis_inverted():
        axes.invert_yaxis()
