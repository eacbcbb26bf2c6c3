"""Draw the picture of docs/intervals.md, from what fastiou answers.

python docs/images/draw_intervals.py (needs the extra `plot`) writes it beside this file.
"""

from __future__ import annotations

from pathlib import Path

BLUE, ORANGE, PALE = "#1f5fa8", "#c85a00", "#d8d8d8"

TRUTH = [[2.0, 7.5], [10.0, 14.0], [17.0, 18.0]]
FOUND = [[3.0, 7.5], [9.0, 13.0], [20.0, 21.0]]


def draw(folder: Path) -> None:
    """Write the picture into a folder."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    import fastiou as fi

    figure, axes = plt.subplots(figsize=(8, 1.5), dpi=110)
    for height, members, colour in ((1.0, TRUTH, BLUE), (0.0, FOUND, ORANGE)):
        for start, end in members:
            axes.plot([start, end], [height] * 2, color=colour, linewidth=7, solid_capstyle="butt")
    for row, col, value in zip(*fi.pairs(TRUTH, FOUND, 0.01, fmt="xx"), strict=True):
        middles = [sum(TRUTH[row]) / 2, sum(FOUND[col]) / 2]
        axes.plot(middles, [0.85, 0.15], color=PALE, linewidth=1.5)
        axes.text(sum(middles) / 2 + 0.2, 0.5, f"IoU {value:.3f}", fontsize=8.5, va="center")
    axes.set(ylim=(-0.5, 1.5), xlim=(0, 23), yticks=[])
    axes.tick_params(labelsize=8)
    for spine in axes.spines.values():
        spine.set_color(PALE)
    figure.tight_layout(pad=0.6)
    figure.savefig(folder / "intervals.png", bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).parent)
