"""Draw the pictures of docs/which-function.md and of the README, from what fastiou answers.

python docs/images/draw_relations.py (needs the extra `plot`) writes them beside this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# The scene of the page: four objects, the last a crowd, and what a detector found of them.
TRUTH = np.array([[10, 10, 40, 50], [22, 10, 52, 50], [62, 14, 90, 40], [60, 48, 100, 68.0]])
CROWD = np.array([False, False, False, True])
FOUND = np.array(
    [
        [14, 11, 44, 51],
        [6, 12, 34, 50],
        [64, 15, 91, 41],
        [66, 10, 92, 36],
        [62, 51, 76, 65],
        [81, 50, 95, 66.0],
    ]
)
SCORES = np.array([0.6, 0.9, 0.8, 0.7, 0.5, 0.4])

BLUE, ORANGE, GREEN, GREY, PALE = "#1f5fa8", "#c85a00", "#bfe3c4", "#8a8a8a", "#d8d8d8"

#: Numbers of a matrix by row and column, and a word for each axis.
Cells = Mapping[tuple[int, int], str]


def tab(box: Array, name: str) -> tuple[float, float]:
    """Middle of the tab with the number of a box, outside its corner, where few lines are."""
    left, top, right, bottom = box.tolist()
    return (left + 2, top - 2.2) if name == "truth" else (right + 2.2, bottom - 2)


def draw_boxes(axes: Any, boxes: Array, colour: str, name: str, faded: Any = ()) -> None:
    """Outlines with numbers; `faded` are drawn with dashes."""
    from matplotlib.patches import Rectangle

    for number, box in enumerate(boxes):
        left, top, right, bottom = box.tolist()
        off = number in faded
        edge = GREY if off else colour
        axes.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, fill=False, edgecolor=edge,
                linewidth=1.2 if off else 1.8, linestyle=(0, (3, 2)) if off else "-",
            )
        )  # fmt: skip
        x, y = tab(box, name)
        axes.add_patch(
            Rectangle((x - 2, y - 2.2), 4, 4.4, facecolor=edge, edgecolor="white", zorder=4)
        )
        axes.text(
            x, y + 0.1, str(number), color="white", fontsize=8.5, fontweight="bold",
            ha="center", va="center_baseline", zorder=5,
        )  # fmt: skip


def finish_scene(axes: Any, names: Mapping[str, str]) -> None:
    """Limits of the scene, and its legend below."""
    from matplotlib.patches import Patch

    axes.set(xlim=(2, 104), ylim=(71, 3), aspect="equal", xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(PALE)
    handles = [
        Patch(fill=False, edgecolor=colour, label=name, linestyle=":" if colour == GREY else "-")
        for name, colour in names.items()
    ]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=len(handles),
        frameon=False, fontsize=8.5, handlelength=1.4,
    )  # fmt: skip


def middle(box: Array) -> tuple[float, float]:
    """The centre of a box."""
    left, top, right, bottom = box.tolist()
    return (left + right) / 2, (top + bottom) / 2


def link(axes: Any, one: tuple[float, float], other: tuple[float, float], style: str) -> None:
    """A line between two boxes, behind their tabs."""
    ends = zip(one, other, strict=True)
    axes.plot(*ends, style, color="#2f8f46", linewidth=2.4, markersize=5, zorder=3)


def draw_matrix(
    axes: Any, shape: tuple[int, int], cells: Cells, words: tuple[str, str], title: str
) -> None:
    """The answer as a part of the dense result: what is not in it stays empty."""
    from matplotlib.patches import Rectangle

    rows, columns = shape
    for row in range(rows):
        for column in range(columns):
            text = cells.get((row, column))
            face = "white" if text is None else GREEN
            axes.add_patch(
                Rectangle((column, row), 1, 1, facecolor=face, edgecolor=PALE, linewidth=1)
            )
            if text is not None:
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8.5)
    axes.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05))
    axes.set_xticks(np.arange(columns) + 0.5, range(columns))
    axes.set_yticks(np.arange(rows) + 0.5, range(rows))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    colours = {"truth": BLUE, "found": ORANGE}
    axes.set_xlabel(words[1], color=colours[words[1]], fontsize=9)
    axes.set_ylabel(words[0], color=colours[words[0]], fontsize=9)
    axes.tick_params(length=0, labelsize=9)
    axes.tick_params("x", labelcolor=colours[words[1]])
    axes.tick_params("y", labelcolor=colours[words[0]])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(
        0.5, -0.06, title, transform=axes.transAxes, ha="center", va="top", fontsize=8.5,
        color="#404040",
    )  # fmt: skip


def draw_bars(axes: Any, before: Array, after: Array, kept: Array, title: str) -> None:
    """Scores by rank: as they were, and as they are after suppression."""
    gone = np.setdiff1d(np.argsort(-before, kind="stable"), kept)
    order = np.concatenate([kept, gone])
    for place, number in enumerate(order.tolist()):
        off = number in gone
        axes.barh(place, before[number], height=0.62, color="white", edgecolor=PALE, linewidth=1)
        if not off:
            axes.barh(place, after[number], height=0.62, color=GREEN)
        words = "suppressed" if off else f"{after[number]:.2f}".rstrip("0")
        if not off and after[number] != before[number]:
            words = f"{before[number]:g} falls to {after[number]:.2f}"
        axes.text(
            before[number] + 0.02, place, words, va="center", fontsize=8.5,
            color=GREY if off else "#202020",
        )  # fmt: skip
    axes.set(xlim=(0, 1.25), ylim=(len(order) - 0.4, -0.6), xticks=[])
    axes.set_yticks(range(len(order)), order.tolist())
    axes.tick_params(length=0, labelsize=9, labelcolor=ORANGE)
    axes.set_ylabel("found, best first", color=ORANGE, fontsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(
        0.5, -0.06, title, transform=axes.transAxes, ha="center", va="top", fontsize=8.5,
        color="#404040",
    )  # fmt: skip


def picture(name: str, draw: Callable[[Any, Any], None]) -> None:
    """Two panels, the scene and the answer, into a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 2.75), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    draw(left, right)
    figure.savefig(Path(__file__).with_name(f"{name}.png"), dpi=140)


def scene(axes: Any, boxes: Mapping[str, Array], faded: Mapping[str, Any] | None = None) -> None:
    """Boxes of one or both sets, and the legend."""
    colours = {"truth": BLUE, "found": ORANGE}
    for name, some in boxes.items():
        draw_boxes(axes, some, colours[name], name, (faded or {}).get(name, ()))
    names = {name: colours[name] for name in boxes}
    if faded and any(len(some) for some in faded.values()):
        names["unmatched" if len(boxes) > 1 else "suppressed"] = GREY
    finish_scene(axes, names)


BOTH = {"truth": TRUTH, "found": FOUND}


def draw_pairs(
    name: str,
    rows: Array,
    columns: Array,
    values: Array,
    title: str,
    *,
    boxes: Mapping[str, Array] = BOTH,
    faded: Mapping[str, Any] | None = None,
    links: bool = True,
    ranks: Array | None = None,
) -> None:
    """A picture of an answer that has rows, columns and values."""
    one, other = (*boxes, *boxes)[:2]

    def draw(left: Any, right: Any) -> None:
        scene(left, boxes, faded)
        cells = {}
        for place, (row, column, value) in enumerate(zip(rows, columns, values, strict=True)):
            if links:
                first, second = boxes[one][row], boxes[other][column]
                if one == other:
                    link(left, middle(first), middle(second), "o-")
                else:
                    link(left, tab(first, one), tab(second, other), "-")
            text = f"{value:.2f}" if value else "0"
            if ranks is not None:
                text = f"{('1st', '2nd')[ranks[place]]}\n{text}"
            cells[int(row), int(column)] = text
        draw_matrix(right, (len(boxes[one]), len(boxes[other])), cells, (one, other), title)

    picture(name, draw)


def draw_suppression(name: str, kept: Array, after: Array, title: str) -> None:
    """A picture of what is kept."""
    gone = np.setdiff1d(np.arange(len(FOUND)), kept)

    def draw(left: Any, right: Any) -> None:
        scene(left, {"found": FOUND}, {"found": gone})
        draw_bars(right, SCORES, after, kept, title)

    picture(name, draw)


def draw_first(match: Any) -> None:
    """The picture of the README: the scene without what lies in the crowd, and its matches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.5), layout="constrained")
    axes = figure.subplots()
    boxes = {"truth": TRUTH, "found": FOUND[:4]}
    scene(axes, boxes, {"truth": match.unmatched_rows, "found": match.unmatched_cols})
    for row, column, value in zip(match.rows, match.cols, match.values, strict=True):
        ends = tab(TRUTH[row], "truth"), tab(FOUND[column], "found")
        link(axes, *ends, "-")
        (x, y), (to_x, to_y) = ends
        axes.text(
            (x + to_x) / 2, (y + to_y) / 2, f"{value:.2f}", ha="center", va="center", fontsize=9,
            bbox={"facecolor": GREEN, "edgecolor": "white", "boxstyle": "round,pad=0.25"}, zorder=6,
        )  # fmt: skip
    figure.savefig(Path(__file__).with_name("match.png"), dpi=160)


def main() -> None:
    """Draw all."""
    import fastiou as fi

    draw_first(fi.match(TRUTH, FOUND[:4], 0.5, method="optimal"))

    scores = fi.box_iou(TRUTH, FOUND)
    rows, columns = np.indices(scores.shape).reshape(2, -1)
    draw_pairs("dense", rows, columns, scores.ravel(), "every score", links=False)

    three = np.arange(3)
    aligned = fi.box_iou(TRUTH[:3], FOUND[:3], aligned=True)
    boxes = {"truth": TRUTH[:3], "found": FOUND[:3]}
    draw_pairs("aligned", three, three, aligned, "row i with column i", boxes=boxes)

    draw_pairs("pairs", *fi.pairs(TRUTH, FOUND, 0.5), "all from 0.5 on")
    itself = {"found": FOUND}
    draw_pairs("self-join", *fi.pairs(FOUND, threshold=0.5), "each pair once", boxes=itself)

    values, indices = fi.topk(TRUTH, FOUND, k=2)
    rows, ranks = np.nonzero(indices >= 0)
    best = rows, indices[rows, ranks], values[rows, ranks]
    draw_pairs("topk", *best, "the best two of each row", ranks=ranks)

    for method in ("greedy", "optimal"):
        match = fi.match(TRUTH, FOUND, 0.5, method=method)
        total = f"{match.values.sum():.2f}"
        draw_pairs(
            method,
            match.rows,
            match.cols,
            match.values,
            f"at most one in each row and column, in all {total}",
            faded={"truth": match.unmatched_rows, "found": match.unmatched_cols},
        )
    match = fi.match(FOUND, TRUTH, 0.5, method="coco", scores=SCORES, iscrowd=CROWD)
    draw_pairs(
        "coco",
        match.rows,
        match.cols,
        match.values,
        "at most one in each row; column 3 is a crowd",
        boxes={"found": FOUND, "truth": TRUTH},
        faded={"truth": match.unmatched_cols, "found": match.unmatched_rows},
    )

    kept = fi.nms(FOUND, SCORES, 0.6)
    draw_suppression("nms", kept, SCORES, "what overlaps a better one by more than 0.6 goes")
    soft = fi.nms(FOUND, SCORES, method="linear", score_threshold=0.28)
    lowered = SCORES.copy()
    # Each overlaps one better one by more than the threshold, 0.5, or none.
    overlaps = fi.box_iou(FOUND, FOUND)
    for number, score in enumerate(SCORES):
        better = overlaps[number][(score < SCORES) & (overlaps[number] > 0.5)]
        lowered[number] *= np.prod(1 - better)
    draw_suppression("soft-nms", soft, lowered, "what falls below 0.28 goes")


if __name__ == "__main__":
    main()
