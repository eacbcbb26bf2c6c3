"""Draw the picture of docs/polygons.md, from what fastiou answers.

python docs/images/draw_polygons.py (needs the extra `plot`) writes it beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

BLUE, ORANGE, GREEN, PALE = "#1f5fa8", "#c85a00", "#bfe3c4", "#d8d8d8"

Ring = list[list[float]]

COURT = [[8, 8], [70, 8], [70, 60], [8, 60]]
YARD = [[22, 20], [56, 20], [56, 48], [22, 48]]
PENTAGRAM = [[50, 4], [69, 62], [20, 26], [80, 26], [31, 62]]

# What each part of the picture says, and the rings of two polygons.
SCENES: list[tuple[str, list[Ring], list[Ring]]] = [
    (
        "any number of corners",
        [[[6, 30], [26, 6], [48, 22], [66, 8], [72, 40], [44, 36], [30, 60]]],
        [[[36, 12], [94, 16], [88, 60], [62, 46], [40, 62], [48, 40]]],
    ),
    ("a ring within a ring is a hole", [COURT, YARD], [[[40, 14], [94, 26], [86, 64], [34, 54]]]),
    (
        "rings beside each other are parts",
        [[[6, 10], [40, 10], [40, 34], [6, 34]], [[56, 30], [92, 30], [92, 62], [56, 62]]],
        [[[26, 18], [80, 22], [74, 54], [30, 50]]],
    ),
    ("edges that cross: even-odd", [PENTAGRAM], [[[34, 14], [66, 14], [66, 66], [34, 66]]]),
]


def inside(rings: list[Ring], points: Any) -> Any:
    """Which points lie within an odd number of rings, each by the even-odd rule itself."""
    x, y = points.T
    odd = np.zeros(len(points), np.bool_)
    for ring in rings:
        for (x1, y1), (x2, y2) in zip(ring, ring[1:] + ring[:1], strict=True):
            if x1 != x2:
                odd ^= ((x1 <= x) != (x2 <= x)) & (y1 + (x - x1) * (y2 - y1) / (x2 - x1) < y)
    return odd


def draw(folder: Path) -> None:
    """Write the picture into a folder."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    import fastiou as fi

    x, y = np.meshgrid(np.linspace(0, 100, 801), np.linspace(0, 70, 561))
    points = np.column_stack([x.ravel(), y.ravel()])
    figure, parts = plt.subplots(1, 4, figsize=(11, 2.7), dpi=110)
    for axes, (words, one, other) in zip(parts, SCENES, strict=True):
        axes.set(xlim=(0, 100), ylim=(70, -2), aspect="equal", xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_color(PALE)
        shared = (inside(one, points) & inside(other, points)).reshape(x.shape)
        axes.contourf(x, y, shared, levels=[0.5, 1.5], colors=[GREEN])
        for rings, colour in ((one, BLUE), (other, ORANGE)):
            for ring in rings:
                axes.plot(*np.array([*ring, ring[0]]).T, color=colour, linewidth=1.8)
        score = fi.polygon_iou(fi.Polygons([one]), fi.Polygons([other]))[0, 0]
        axes.set_xlabel(f"{words}: IoU {score:.3f}", fontsize=8.5)
    figure.tight_layout(pad=0.6)
    figure.savefig(folder / "polygons.png", bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).parent)
