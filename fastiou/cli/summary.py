"""What the command `fastiou` shows: progress, tables, histograms.

rich and matplotlib are imported where they are used, since only extras install them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastiou.cli.outputs import replaced_at_end
from fastiou.formats.content import import_extra

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "Histogram",
    "Stage",
    "histogram",
    "histogram_bars",
    "peak_memory",
    "plot_histogram",
    "show_facts",
    "stages",
]

#: Called with the work done, the work in all, and optionally what is being done.
Stage = Callable[..., None]

#: Columns of the terminal for the longest bar.
LONGEST_BAR = 40


@contextmanager
def stages(show: bool | None) -> Iterator[Callable[[str], Stage]]:
    """Show the progress of work that has several stages, on the standard error stream.

    Parameters
    ----------
    show
        Whether to; None shows it if somebody watches, on a terminal.

    Yields
    ------
    function
        Takes the name of a stage that begins, and returns a function to call with the work done and
        the work in all, and optionally with another name for the stage.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, force_terminal=show or None)
    if not (console.is_terminal if show is None else show):
        yield lambda name: lambda *_: None
        return
    display = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )

    def begin(name: str) -> Stage:
        task = display.add_task(name, total=None)

        def update(done: int, total: int, name: str | None = None) -> None:
            display.update(task, completed=done, total=total, description=name)

        return update

    with display:
        yield begin


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
    console.print(table)
    for part in more:
        console.print(part)


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
