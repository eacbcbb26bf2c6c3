"""Draw the pictures of docs/instances.md and docs/panoptic.md, from what fastiou answers.

python docs/images/draw_label_scores.py (needs the extra `plot`) writes them beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import fastiou as fi

BLUE, ORANGE, GREEN, PALE = "#1f5fa8", "#c85a00", "#3c9a4e", "#d8d8d8"
HEIGHT, WIDTH = 90, 120


def disks(places: list[tuple[float, float, float]]) -> Any:
    """A label image of disks: x, y and radius of each."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.zeros((HEIGHT, WIDTH), np.int32)
    for number, (left, top, radius) in enumerate(places, start=1):
        image[(x - left) ** 2 + (y - top) ** 2 < radius**2] = number
    return image


TRUE = disks([(22, 24, 15), (62, 20, 14), (100, 30, 14), (30, 66, 16), (76, 62, 17)])
PRED = disks([(24, 26, 15), (66, 24, 14), (34, 74, 16), (70, 56, 12), (88, 70, 12), (108, 76, 8)])


def filled(axes: Any, image: Any, colours: dict[int, str]) -> None:
    """The objects of a label image."""
    for number, colour in colours.items():
        axes.contourf(image == number, levels=[0.5, 1.5], colors=[colour], alpha=0.55)


def outlined(axes: Any, image: Any, colour: str) -> None:
    """The edges of the objects."""
    for number in np.unique(image[image != 0]):
        axes.contour(image == number, levels=[0.5], colors=[colour], linewidths=1.6)


def named(axes: Any, image: Any, names: dict[int, str]) -> None:
    """Words in the middle of objects."""
    for number, name in names.items():
        y, x = np.argwhere(image == number).mean(0)
        axes.text(x, y, name, fontsize=8, ha="center", va="center")


def instances(folder: Path) -> None:
    """True and predicted objects, what is matched, and AP at each threshold."""
    import matplotlib.pyplot as plt

    thresholds = np.arange(5, 100, 5) / 100
    result = fi.instance_matching(TRUE, PRED, thresholds)
    at_half = fi.instance_matching(TRUE, PRED, 0.5)
    hits = dict(zip(at_half.matched_pairs, at_half.matched_scores, strict=True))
    figure, parts = plt.subplots(1, 3, figsize=(11, 3.1), dpi=110)
    for axes in parts[:2]:
        axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0), aspect="equal", xticks=[], yticks=[])
    outlined(parts[0], TRUE, BLUE)
    outlined(parts[0], PRED, ORANGE)
    parts[0].set_title("true objects, predicted objects", fontsize=9)
    found = {other for _, other in hits}
    filled(parts[1], PRED, {n: GREEN if n in found else ORANGE for n in range(1, 7)})
    missed = set(range(1, 6)) - {one for one, _ in hits}
    outlined(parts[1], np.where(np.isin(TRUE, list(missed)), TRUE, 0), BLUE)
    named(parts[1], PRED, {other: f"{score:.2f}" for (_, other), score in hits.items()})
    parts[1].set_title(
        f"at IoU 0.5: tp {at_half.tp}, fp {at_half.fp}, fn {at_half.fn}; AP {at_half.accuracy:.2f}",
        fontsize=9,
    )
    parts[2].step(result.thresh, result.accuracy, where="post", color=GREEN)
    parts[2].set(xlim=(0, 1), ylim=(0, 1.02), xlabel="IoU that a match needs", ylabel="AP")
    parts[2].set_title(f"AP by threshold; AJI {result.aji:.2f}", fontsize=9)
    parts[2].spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(folder / "instances.png")


def panoptic(folder: Path) -> None:
    """Segments of two categories, void and a crowd, and what becomes of the predicted ones."""
    import matplotlib.pyplot as plt

    true = np.full((HEIGHT, WIDTH), 9, np.int32)  # sky
    true[55:] = 0  # void
    true[:55, 84:] = 8  # a crowd of cars
    true[20:50, 8:34], true[24:52, 46:72] = 1, 2
    pred = np.full((HEIGHT, WIDTH), 9, np.int32)
    pred[22:52, 10:36], pred[36:52, 40:60] = 1, 2
    pred[16:44, 90:112], pred[60:84, 20:60] = 3, 4
    car, sky = {"category_id": 1}, {"category_id": 2}
    truth = [{"id": 1, **car}, {"id": 2, **car}, {"id": 8, "iscrowd": 1, **car}, {"id": 9, **sky}]
    found = [*({"id": number, **car} for number in range(1, 5)), {"id": 9, **sky}]
    result = fi.panoptic_quality(true, pred, truth, found, categories={1: True, 2: False})
    figure, parts = plt.subplots(1, 2, figsize=(8.6, 3.3), dpi=110)
    for axes in parts:
        axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0), aspect="equal", xticks=[], yticks=[])
    filled(parts[0], true, {9: "#bcd7ee", 1: BLUE, 2: BLUE, 8: "#9db4cc"})
    filled(parts[0], np.where(true == 0, 7, 0), {7: PALE})
    named(parts[0], true, {1: "car", 2: "car", 8: "crowd of cars", 0: "void"})
    parts[0].text(60, 10, "sky", fontsize=8, ha="center")
    parts[0].set_title("the truth", fontsize=9)
    filled(parts[1], pred, {9: "#bcd7ee", 1: GREEN, 2: ORANGE, 3: PALE, 4: PALE})
    outlined(parts[1], np.where(np.isin(true, [1, 2]), true, 0), BLUE)
    named(parts[1], pred, {1: "match", 2: "false\npositive", 3: "forgiven", 4: "forgiven"})
    cars = result.per_class[1]
    parts[1].set_title(
        f"the prediction; cars: tp {cars.tp}, fp {cars.fp}, fn {cars.fn}, PQ {cars.pq:.2f}",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(folder / "panoptic.png")


def main() -> None:
    """Draw both."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder = Path(__file__).parent
    instances(folder)
    panoptic(folder)


if __name__ == "__main__":
    main()
