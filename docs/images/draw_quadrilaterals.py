"""Draw the picture of docs/quadrilaterals.md, from what fastiou answers.

python docs/images/draw_quadrilaterals.py (needs the extra `plot`) writes it beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

BLUE, ORANGE, GREEN, PALE = "#1f5fa8", "#c85a00", "#bfe3c4", "#d8d8d8"

# What each part of the picture says, and the corners of two quadrilaterals.
SCENES = [
    ("two of any shape", [[8, 14, 58, 6, 74, 44, 14, 56]], [[36, 22, 92, 14, 84, 62, 44, 50]]),
    ("a concave one", [[8, 6, 88, 10, 40, 30, 14, 62]], [[30, 16, 80, 22, 76, 60, 34, 50]]),
    ("one in a notch", [[8, 6, 92, 6, 30, 22, 10, 62]], [[40, 28, 80, 28, 80, 56, 40, 56]]),
]  # fmt: skip

#: The last part: what is refused.
CROSSED = [[16, 10, 84, 56, 84, 14, 16, 52]]


def shade(axes: Any, one: list[float], other: list[float]) -> None:
    """The area that two share, found by points: each lies inside or not."""
    from matplotlib.path import Path as Outline

    x, y = np.meshgrid(np.linspace(0, 100, 801), np.linspace(0, 70, 561))
    points = np.column_stack([x.ravel(), y.ravel()])
    inside = np.ones(x.size, np.bool_)
    for corners in (one, other):
        inside &= Outline(np.reshape(corners, (4, 2))).contains_points(points)
    axes.contourf(x, y, inside.reshape(x.shape), levels=[0.5, 1.5], colors=[GREEN])


def outline(axes: Any, corners: list[float], colour: str) -> None:
    """Edges, and the number of each corner in the order that they are given in."""
    points = np.reshape(corners, (4, 2))
    axes.plot(*np.vstack([points, points[:1]]).T, color=colour, linewidth=1.8)
    middle = points.mean(axis=0)
    for number, point in enumerate(points, start=1):
        away = (point - middle) / np.hypot(*(point - middle))
        x, y = point + 3.6 * away
        axes.text(x, y, str(number), color=colour, fontsize=8, ha="center", va="center")


def draw(folder: Path) -> None:
    """Write the picture into a folder."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    import fastiou as fi

    figure, parts = plt.subplots(1, 4, figsize=(11, 2.7), dpi=110)
    for axes in parts:
        axes.set(xlim=(0, 100), ylim=(70, -2), aspect="equal", xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_color(PALE)
    for axes, (words, one, other) in zip(parts, SCENES, strict=False):
        shade(axes, one[0], other[0])
        outline(axes, one[0], BLUE)
        outline(axes, other[0], ORANGE)
        score = fi.box_iou(one, other, "xyxyxyxy")[0, 0]
        axes.set_xlabel(f"{words}: IoU {score:.3f}", fontsize=8.5)
    outline(parts[3], CROSSED[0], BLUE)
    try:
        fi.box_area(CROSSED, "xyxyxyxy")
    except ValueError:
        parts[3].set_xlabel("edges that cross: refused", fontsize=8.5)
    figure.tight_layout(pad=0.6)
    figure.savefig(folder / "quadrilaterals.png", bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).parent)
