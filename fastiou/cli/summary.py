"""What the command `fastiou` shows at the end: tables and histograms.

rich and matplotlib are imported where they are used, since only extras install them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastiou.cli.ending import printed
from fastiou.cli.outputs import replaced_at_end
from fastiou.formats.errors import import_extra

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "Histogram",
    "graded_matches",
    "histogram",
    "histogram_bars",
    "peak_memory",
    "plot_histogram",
    "show_facts",
    "timing",
    "with_share",
]

#: Seconds that a stage takes at least: clocks have steps.
SHORTEST = 1e-9

#: Columns of the terminal for the longest bar.
LONGEST_BAR = 40


def show_facts(title: str, facts: Mapping[str, str], *more: RenderableType) -> None:
    """Print a table of names and values, and what belongs below it.

    Parameters
    ----------
    title
        Printed above the table.
    facts
        Name and value of each row.
    more
        Anything that rich prints.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text keeps square brackets in paths from being read as markup.
    table = Table(title=Text(title), title_justify="left", show_header=False)
    for name, value in facts.items():
        table.add_row(Text(name), Text(value, overflow="fold"))
    console = Console()
    with printed():
        console.print(table)
        for part in more:
            console.print(part)


def timing(
    seconds: Mapping[str, float], stage: str, unit: str, work: int, what: str = ""
) -> dict[str, str]:
    """What a table says of time and memory.

    Parameters
    ----------
    seconds
        The time of each stage.
    stage
        The one that is the work proper.
    unit, work
        What the work is counted in, and how much it was.
    what
        Words behind the rate.
    """
    besides = ", ".join(f"{name} {spent:.3f}" for name, spent in seconds.items() if name != stage)
    memory = peak_memory()
    return {
        "seconds": f"{seconds[stage]:.3f} (and {besides})",
        f"{unit} per second": f"{work / max(seconds[stage], SHORTEST):,.0f}{what}",
        "peak memory": "not known here" if memory is None else f"{memory / 2**20:,.0f} MiB",
    }


def graded_matches(
    matched: int, truth: int, found: int, unit: str = "objects", *, truth_in: str = "A"
) -> dict[str, str]:
    """Precision, recall and F1 of one file that is the truth and one that is the prediction.

    Parameters
    ----------
    matched
        How many are matched, each with one.
    truth, found
        How many there are in the truth, and in the prediction.
    unit
        What they are.
    truth_in
        Which file is the truth, "A" or "B".
    """
    found_in = "B" if truth_in == "A" else "A"
    missed, spurious = truth - matched, found - matched

    def share(part: int, whole: int, words: str) -> str:
        return f"{part / whole:.4f} = {words}" if whole else f"not defined: no {words}"

    in_all = 2 * matched + spurious + missed
    counts = f"TP {matched:,}, FP {spurious:,}, FN {missed:,}"
    return {
        "counts": f"{counts}; {truth_in} is the truth, {found_in} the prediction",
        "precision": share(matched, found, "TP / (TP + FP)" if found else f"{unit} in {found_in}"),
        "recall": share(matched, truth, "TP / (TP + FN)" if truth else f"{unit} in {truth_in}"),
        "F1": share(2 * matched, in_all, "2 TP / (2 TP + FP + FN)" if in_all else unit),
    }


def with_share(count: int, size: int) -> str:
    """A count, and its share of a size."""
    return f"{count:,} ({count / max(size, 1):.1%})"


class Histogram(NamedTuple):
    """Counts, and the limits between the bins: one more."""

    counts: npt.NDArray[Any]
    edges: npt.NDArray[Any]


def histogram(
    values: npt.NDArray[Any], threshold: float, maximum: float | None, bins: int = 10
) -> Histogram:
    """Count values between a threshold and the most that there can be.

    Parameters
    ----------
    values
        None is below `threshold`.
    threshold
        Where the first bin begins.
    maximum
        Where the last bin ends; None for the largest value.
    bins
        How many; only one if there is nothing between threshold and maximum.

    Returns
    -------
    Histogram

    Examples
    --------
    >>> import numpy as np
    >>> from fastiou.cli.summary import histogram
    >>> histogram(np.array([0.5, 0.7, 1.0]), 0.5, 1.0, bins=2)
    Histogram(counts=array([2, 1]), edges=array([0.5 , 0.75, 1.  ]))
    """
    if maximum is None:
        maximum = float(values.max(initial=threshold))
    if maximum <= threshold:
        return Histogram(np.array([len(values)]), np.array([threshold, threshold]))
    # Rounding can put a value of COCO's arithmetic above 1; it belongs in the last bin.
    return Histogram(*np.histogram(np.minimum(values, maximum), bins, (threshold, maximum)))


def histogram_bars(counted: Histogram) -> RenderableType:
    """Draw a histogram with characters, one line for each bin.

    Parameters
    ----------
    counted
        The histogram.

    Returns
    -------
    table
        For rich to print.
    """
    from rich.table import Table

    full = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    most = max(int(counted.counts.max()), 1)
    table = Table.grid(padding=(0, 1))
    for column in range(4):
        table.add_column(justify="right" if column < 3 else "left")
    digits = _digits(float(counted.edges[1] - counted.edges[0]))
    for count, low, high in zip(counted.counts, counted.edges, counted.edges[1:], strict=False):
        # Whatever is there is seen, however little.
        length = -(-int(count) * LONGEST_BAR // most)
        table.add_row(f"{low:.{digits}f}", f"to {high:.{digits}f}", f"{count:,}", full * length)
    return table


def _digits(step: float) -> int:
    """Digits after the point that tell numbers a step apart."""
    return max(0, 1 - math.floor(math.log10(step))) if step > 0 else 3


def plot_histogram(counted: Histogram, path: Path, title: str, label: str) -> None:
    """Draw a histogram into a file.

    Parameters
    ----------
    counted
        The histogram.
    path
        The file; its ending names the format: .png, .svg or .pdf.
    title, label
        Words above the plot and below its horizontal axis.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    figure_type = import_extra("matplotlib.figure", "plot", "--plot").Figure
    # A figure of its own, without pyplot, needs no display and leaves no global state.
    figure = figure_type(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(counted.counts, counted.edges, fill=True)
    axes.set(title=title, xlabel=label, ylabel="pairs")
    axes.spines[["top", "right"]].set_visible(False)
    with replaced_at_end(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=150)


def peak_memory() -> int | None:
    """Bytes of memory that this process held at most so far, None where that cannot be told."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
