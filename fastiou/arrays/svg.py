"""Small pictures of outlines and masks for notebooks, as SVG and PNG, without another library."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fastiou.typing import Array

__all__ = [
    "COLOURS",
    "HEIGHT",
    "SHOWN",
    "WIDTH",
    "captioned",
    "html_table",
    "masks_image",
    "outlines_svg",
]

#: Members that a picture has at most: a repr must be quick whatever it is of.
SHOWN = 50

#: Blue for the first set, orange for the second, and others for masks.
COLOURS = ("#1f5fa8", "#c85a00", "#2e8b57", "#8a3ffc", "#b8860b", "#c2185b", "#00838f", "#5d4037")

#: Sides of a picture at most, in pixels.
WIDTH, HEIGHT = 320, 240


def captioned(caption: str, *parts: str) -> str:
    """HTML of a line of text with pictures or tables below."""
    return f"<div><code>{html.escape(caption)}</code>{''.join(parts)}</div>"


def html_table(columns: Mapping[str, Sequence[object]]) -> str:
    """HTML of columns, all of which are shown."""

    def cell(value: object) -> str:
        return html.escape(f"{value:.6g}" if isinstance(value, float) else str(value))

    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{cell(value)}</td>' for value in row)}</tr>"
        for row in zip(*columns.values(), strict=True)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def outlines_svg(sets: Sequence[Array], links: Iterable[tuple[Array, Array]] = ()) -> str:
    """SVG of the outlines of sets, a colour each, and of lines that link two points.

    Parameters
    ----------
    sets
        Corners, shape (N, K, 2). Those of members with a number that is not finite are left out.
    links
        Pairs of points.

    Returns
    -------
    str
        "" where there is nothing to draw.
    """
    finite = [outlines[np.isfinite(outlines).all((1, 2))] for outlines in sets]
    points = np.concatenate([outlines.reshape(-1, 2) for outlines in finite])
    if not len(points):
        return ""
    low, high = points.min(0), points.max(0)
    with np.errstate(over="ignore"):
        sides = np.maximum(high - low, np.finfo(np.float64).tiny)
        scale = float(min(WIDTH / sides[0], HEIGHT / sides[1]))
    if not 0 < scale < np.inf:  # of a single point, or beyond what can be drawn
        scale = 1.0
    width, height = np.minimum((high - low) * scale, (WIDTH, HEIGHT)) + 8

    def at(point: Array) -> str:
        x, y = (point - low) * scale + 4
        return f"{x:.1f},{y:.1f}"

    shapes = [
        f'<polygon points="{" ".join(map(at, outline))}" fill="{colour}" fill-opacity="0.12" '
        f'stroke="{colour}" stroke-width="1.5"/>'
        for outlines, colour in zip(finite, COLOURS, strict=False)
        for outline in outlines
    ]
    for one, other in links:
        if np.isfinite(one).all() and np.isfinite(other).all():
            (x1, y1), (x2, y2) = at(one).split(","), at(other).split(",")
            shapes.append(
                f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{COLOURS[2]}" '
                'stroke-width="2"/>'
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'style="background:white;display:block">{"".join(shapes)}</svg>'
    )


def masks_image(numbers: Array) -> str:
    """HTML of an image of numbers of masks, 0 for none, shape (H, W) of uint8."""
    height, width = numbers.shape
    colours = [bytes.fromhex(colour[1:]) for colour in COLOURS]
    palette = b"\xff\xff\xff" + b"".join(colours[i % len(colours)] for i in range(255))
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with the filter 0
    lines[:, 1:] = numbers
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(lines.tobytes())),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    text = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()
    return (
        f'<img src="data:image/png;base64,{text}" width="{width}" height="{height}" '
        'style="border:1px solid #ccc;display:block;image-rendering:pixelated"/>'
    )
