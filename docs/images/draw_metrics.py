"""Draw the picture of docs/metrics.md, from what fastiou answers.

python docs/images/draw_metrics.py (needs the extra `plot`) writes it beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

BLUE, ORANGE, GREEN, PALE, GREY = "#1f5fa8", "#c85a00", "#8fcf9a", "#e3eaf3", "#8a8a8a"

A = np.array([8.0, 10, 68, 54])
B = np.array([38.0, 26, 92, 62])
SHARED = np.array([38.0, 26, 68, 54])
HULL = np.array([8.0, 10, 92, 62])

#: The metrics that are drawn, and what each divides by what.
PARTS = [
    ("iou", "shared area / area that they cover"),
    ("giou", "iou − what of the hull neither covers / hull"),
    ("diou", "iou − distance of centres² / diagonal²"),
    ("iof", "shared area / area of A"),
    ("ios", "shared area / the smaller area"),
    ("dice", "2 × shared area / sum of the areas"),
]


def fill(axes: Any, box: Any, colour: str) -> None:
    """A box that is filled."""
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box.tolist()
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, color=colour, linewidth=0))


def outline(axes: Any, box: Any, colour: str, style: Any = "-", width: float = 2) -> None:
    """The edges of a box."""
    left, top, right, bottom = box.tolist()
    x, y = [left, right, right, left, left], [top, top, bottom, bottom, top]
    axes.plot(x, y, color=colour, linestyle=style, linewidth=width, solid_joinstyle="miter")


def draw(axes: Any, metric: str, words: str, value: float) -> None:
    """One metric: pale is what it divides by, green what it divides."""
    if metric == "giou":
        fill(axes, HULL, "#d9d9d9")
    for box in {"iof": [A], "ios": [B]}.get(metric, [A, B]):
        fill(axes, box, PALE)
    fill(axes, SHARED, GREEN)
    if metric in ("giou", "diou"):
        outline(axes, HULL, GREY, (0, (3, 2)), 1.2)
    if metric == "diou":
        centres = np.array([[A[0::2].mean(), A[1::2].mean()], [B[0::2].mean(), B[1::2].mean()]])
        axes.plot(HULL[0::2], HULL[1::2], color=GREY, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.plot(*centres.T, "o-", color="#202020", linewidth=1.6, markersize=4)
    outline(axes, A, BLUE)
    outline(axes, B, ORANGE)
    axes.text(11, 17, "A", color=BLUE, fontsize=10, fontweight="bold", va="center")
    axes.text(86, 56, "B", color=ORANGE, fontsize=10, fontweight="bold", va="center")
    axes.set(xlim=(2, 98), ylim=(67, 4), aspect="equal", xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(f"{metric} {value:.3f}", fontsize=11, fontweight="bold", pad=2)
    axes.text(50, 68, words, fontsize=8, color="#404040", ha="center", va="top")


def main() -> None:
    """Draw it."""
    from matplotlib.figure import Figure

    import fastiou as fi

    figure = Figure(figsize=(8.4, 4.8), layout="constrained")
    for axes, (metric, words) in zip(figure.subplots(2, 3).ravel(), PARTS, strict=True):
        value = fi.box_iou(A[None], B[None], metric=metric)[0, 0]
        draw(axes, metric, words, float(value))
    figure.savefig(Path(__file__).with_name("metrics.png"), dpi=140)


if __name__ == "__main__":
    main()
