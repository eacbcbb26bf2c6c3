"""Draw the picture of docs/pictures.md, from what fastiou answers.

python docs/images/draw_plot.py (needs the extra `plot`) writes it beside this file.
"""

from __future__ import annotations

from pathlib import Path


def draw(folder: Path) -> None:
    """Write the picture into a folder."""
    from matplotlib.figure import Figure

    import fastiou as fi

    figure = Figure(figsize=(5.4, 3.4), dpi=110)
    truth = [[10, 10, 50, 60], [70, 20, 90, 80], [100, 15, 130, 45]]
    found = [[12, 11, 50, 62], [72, 24, 95, 80], [96, 60, 120, 85]]
    fi.plot(truth, found, fi.match(truth, found), axes=figure.subplots())
    figure.tight_layout(pad=0.6)
    figure.savefig(folder / "plot.png")


if __name__ == "__main__":
    draw(Path(__file__).parent)
