"""The work of `fastiou match`: two files are read and compared, and what is found is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.cli.display import Clock, stages
from fastiou.cli.kinds import Found, Kind
from fastiou.cli.labels import Labels
from fastiou.cli.members import MEMBERS
from fastiou.cli.methods import METHODS
from fastiou.cli.options import MatchOptions, check_no_input, check_threshold
from fastiou.cli.outputs import check_output, write_pairs
from fastiou.cli.summary import (
    Histogram,
    histogram,
    histogram_bars,
    plot_histogram,
    show_facts,
    timing,
    with_share,
)
from fastiou.formats.content import read_content
from fastiou.formats.errors import import_extra
from fastiou.formats.folders import holds_boxes
from fastiou.formats.table import formats_of, recognized

__all__ = ["KINDS", "PLOTS", "match_files"]

#: The kinds of content, by the option `--geometry`.
KINDS: dict[str, Kind] = {**MEMBERS, Labels.name: Labels()}

#: Name endings of plots.
PLOTS = (".png", ".svg", ".pdf")

#: Bins of a plot: those of the table, cut in five.
PLOT_BINS = 50


def match_files(path_a: Path, path_b: Path, options: MatchOptions) -> Found:
    """Find the pairs or matches between two files, write them, and print what was found.

    Parameters
    ----------
    path_a, path_b
        Files with boxes or masks, or label images.
    options
        What to find and to write.

    Returns
    -------
    Found

    Raises
    ------
    FileError
        A file cannot be used.
    RefusedError
        fastiou refuses what is in the files, or an option.
    """
    # Whatever can go wrong at the end should go wrong before the work.
    method = METHODS[options.method]
    check_threshold(options, zero=method.from_zero)
    kind = KINDS.get(options.geometry)
    if kind is not None:
        kind.check(options, options.format_a, options.format_b)
    for written in (options.out, options.plot):
        check_no_input(written, path_a, path_b)
    if options.out is not None:
        check_output(options.out)
    if options.plot is not None:
        check_output(options.plot, PLOTS)
        import_extra("matplotlib.figure", "plot", "--plot")

    with stages(options.shows_progress) as begin:
        clock = Clock(begin)
        with clock.stage("reading"):
            kind, a, b = _read(kind, path_a, path_b, options)
        found = kind.find(a, b, options, clock)
        if options.out is not None:
            with clock.stage("writing") as update:
                write_pairs(
                    options.out,
                    found.rows,
                    found.cols,
                    found.values,
                    found.frames,
                    update,
                    found.unmatched,
                )

    if options.plot is not None:
        counted = _histogram(found, options, PLOT_BINS)
        title = f"{len(found):,} {method.plural} of {path_a.name} and {path_b.name}"
        plot_histogram(counted, options.plot, title, options.metric)
    if not options.quiet:
        _show_summary(kind, found, clock.seconds, options)
    return found


def _read(
    kind: Kind | None, path_a: Path, path_b: Path, options: MatchOptions
) -> tuple[Kind, Any, Any]:
    """The kind of content, told by content where it is None, and the two files."""
    # Read but once, since a pipe gives its content but once.
    data = None if path_a.is_dir() else read_content(path_a)
    if kind is None:
        kind = _kind_of(path_a, data, options)
        kind.check(options, options.format_a, options.format_b)
    by_score = METHODS[options.method].by_score
    wanted = options.wanted()
    a = kind.read(path_a, data, options.format_a, replace(wanted, scored=by_score))
    del data  # which may take as much memory as that of B will
    b = kind.read(path_b, None, options.format_b, replace(wanted, crowded=by_score))
    return kind, a, b


def _kind_of(path: Path, data: bytes | None, options: MatchOptions) -> Kind:
    """Label images where an option or the content of A says so, else boxes; None is a folder."""
    told = {options.format_a, options.format_b}
    if options.format_a is None:
        if data is None:
            told.add("csv" if holds_boxes(path) else "labels")
        else:
            row = recognized(path, data, options.wanted(), *KINDS)
            told.add(row.name if row is not None else None)
    return KINDS["box" if told.isdisjoint(formats_of("labels")) else "labels"]


def _histogram(found: Found, options: MatchOptions, bins: int) -> Histogram:
    from fastiou.metrics import METRICS

    maximum = METRICS[options.metric].maximum
    return histogram(found.values, options.threshold, maximum, bins)


def _show_summary(
    kind: Kind, found: Found, seconds: dict[str, float], options: MatchOptions
) -> None:
    method = METHODS[options.method]
    facts = {
        **found.describe(),
        "method": options.method + method.details.format(options.top),
        "pairs in all": f"{found.in_all:,}",
    }
    if found.tested is not None:
        facts["compared"] = f"{found.tested:,}{kind.compared}"
    unit, work = found.work
    least = f">= {options.threshold:g}" if options.threshold else "> 0"
    facts |= {
        method.title: f"{len(found):,} with {options.metric} {least}",
        "matched in A": _share_matched(found.rows, found.frames, found.sizes[0]),
        "matched in B": _share_matched(found.cols, found.frames, found.sizes[1]),
        **found.graded,
        **timing(seconds, "matching", unit, work, " compared" if unit == "pairs" else ""),
    }
    for name, path in (("written to", options.out), ("plotted to", options.plot)):
        if path is not None:
            facts[name] = str(path)
    bars = [histogram_bars(_histogram(found, options, 10))] if len(found) else []
    show_facts("fastiou match", facts, *bars)


def _share_matched(positions: Any, frames: Any, size: int) -> str:
    """How many positions there are, those of each frame apart."""
    if frames is None:
        matched = np.zeros(size, bool)
        matched[positions] = True
        count = int(np.count_nonzero(matched))
    else:
        order = np.lexsort((positions, frames))
        differs = [np.diff(column[order]) != 0 for column in (positions, frames)]
        count = int(np.count_nonzero(differs[0] | differs[1])) + min(1, len(order))
    return with_share(count, size)
