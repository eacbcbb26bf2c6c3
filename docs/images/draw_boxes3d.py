"""Draw the picture of docs/boxes-3d.md, from what fastiou answers.

python docs/images/draw_boxes3d.py (needs the extra `plot`) writes it beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

BLUE, ORANGE, GREEN, PALE = "#1f5fa8", "#c85a00", "#bfe3c4", "#d8d8d8"

#: Centre, sizes and yaw of two boxes.
BOXES = np.array([[4.0, 3.4, 1.6, 4.4, 2.0, 1.8, 0.35], [5.2, 3.7, 2.2, 4.2, 2.2, 1.7, -0.25]])

#: Columns of what is seen from above.
ABOVE = [0, 1, 3, 4, 6]


def close(points: Any) -> Any:
    """Corners, and the first of them again."""
    return np.vstack([points, points[:1]])


def from_above(axes: Any, corners: Any) -> None:
    """Outlines, and the area that both share, found by points."""
    from matplotlib.path import Path as Outline

    x, y = np.meshgrid(np.linspace(0, 10, 801), np.linspace(0, 7, 561))
    points = np.column_stack([x.ravel(), y.ravel()])
    inside = np.ones(x.size, np.bool_)
    for outline in corners:
        inside &= Outline(outline).contains_points(points)
    axes.contourf(x, y, inside.reshape(x.shape), levels=[0.5, 1.5], colors=[GREEN])
    for outline, colour in zip(corners, (BLUE, ORANGE), strict=True):
        axes.plot(*close(outline).T, color=colour, linewidth=1.8)


def from_the_side(axes: Any, corners: Any) -> None:
    """Heights are drawn beside what is seen from above; the common height is shaded."""
    ends = np.stack([BOXES[:, 2] - BOXES[:, 5] / 2, BOXES[:, 2] + BOXES[:, 5] / 2], 1)
    low, high = ends[:, 0].max(), ends[:, 1].min()
    axes.axhspan(low, high, color=GREEN)
    for outline, (bottom, top), colour in zip(corners, ends, (BLUE, ORANGE), strict=True):
        left, right = outline[:, 0].min(), outline[:, 0].max()
        sides = [[left, bottom], [right, bottom], [right, top], [left, top]]
        axes.plot(*close(np.array(sides)).T, color=colour, linewidth=1.8)


def draw(folder: Path) -> None:
    """Write the picture into a folder."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    import fastiou as fi

    figure, (above, beside) = plt.subplots(1, 2, figsize=(8, 2.9), dpi=110)
    fmt = "cxcywhr-rad-cw"
    corners = fi.box_convert(BOXES[:, ABOVE], fmt, "xyxyxyxy").reshape(2, 4, 2)
    from_above(above, corners)
    from_the_side(beside, corners)
    plane = fi.box_iou(BOXES[:1, ABOVE], BOXES[1:, ABOVE], fmt)[0, 0]
    space = fi.box_iou(BOXES[:1], BOXES[1:], "xyzwhdr")[0, 0]
    above.set_xlabel(f"x and y, from above: IoU {plane:.3f}", fontsize=8.5)
    beside.set_xlabel(f"x and z, the common height: IoU of volumes {space:.3f}", fontsize=8.5)
    for axes in (above, beside):
        axes.set(xlim=(1, 8.5), xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_color(PALE)
    above.set(ylim=(1, 6), aspect="equal")
    beside.set(ylim=(0, 4), aspect="equal")
    figure.tight_layout(pad=0.6)
    figure.savefig(folder / "boxes-3d.png", bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).parent)
