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
from fastiou.formats.content import Wanted, read_content
from fastiou.formats.errors import FileError, RefusedError, import_extra
from fastiou.formats.folders import holds_boxes
from fastiou.formats.table import READERS, formats_of, recognized

__all__ = ["KINDS", "PLOTS", "match_files"]

#: The kinds of content, by the option `--geometry`.
KINDS: dict[str, Kind] = {**MEMBERS, Labels.name: Labels()}

#: Name endings of plots.
PLOTS = (".png", ".svg", ".pdf")

#: Bins of a plot: those of the table, cut in five.
PLOT_BINS = 50


def match_files(path_a: Path, path_b: Path | None, options: MatchOptions) -> Found:
    """Find the pairs or matches between two files, write them, and print what was found.

    Parameters
    ----------
    path_a, path_b
        Files with boxes or masks, or label images. Without the second, the pairs within the first.
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
    if path_b is None and options.method != "pairs":
        raise RefusedError(f"--method {options.method} takes two files; within one there are pairs")
    paths = (path_a,) if path_b is None else (path_a, path_b)
    for written in (options.out, options.plot):
        check_no_input(written, *paths)
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
                    found.names,
                )

    if options.plot is not None:
        counted = _histogram(found, options, PLOT_BINS)
        names = " and ".join(path.name for path in paths)
        title = f"{len(found):,} {method.plural} of {names}"
        plot_histogram(counted, options.plot, title, options.metric)
    if not options.quiet:
        _show_summary(kind, found, clock.seconds, options)
    return found


def _read(
    kind: Kind | None, path_a: Path, path_b: Path | None, options: MatchOptions
) -> tuple[Kind, Any, Any]:
    """The kind of content, told by content where it is None, and the two files."""
    # Read but once, since a pipe gives its content but once.
    data = None if path_a.is_dir() else read_content(path_a, format_=options.format_a)
    if kind is None:
        kind = _kind_of(path_a, data, options)
        kind.check(options, options.format_a, options.format_b)
    by_score = METHODS[options.method].by_score
    wanted_a, wanted_b = options.wanted_of_each(ids=options.out is not None)
    try:
        a = kind.read(path_a, data, options.format_a, replace(wanted_a, scored=by_score))
    except FileError as error:
        words = _order_of_files(kind, path_a, data, path_b, options) if by_score else ""
        if not words:
            raise
        raise RefusedError(f"{error}; {words}") from None
    del data  # which may take as much memory as that of B will
    b = None
    if path_b is not None:
        b = kind.read(path_b, None, options.format_b, replace(wanted_b, crowded=by_score))
    return kind, a, b


def _order_of_files(
    kind: Kind,
    path_a: Path,
    data: bytes | None,
    path_b: Path | None,
    options: MatchOptions,
) -> str:
    """What is said where A lacks nothing but scores, which only the second file may do without."""

    def can_read(path: Path, content: bytes | None, format_: str | None, wanted: Wanted) -> bool:
        try:
            READERS[kind.name](path, content, format=format_, **vars(wanted))
        except (FileError, ImportError):
            return False
        return True

    wanted_a, wanted_b = options.wanted_of_each()
    if not can_read(path_a, data, options.format_a, wanted_a):
        return ""
    words = f"--method {options.method} takes the detections first, and the truth behind them"
    # Not from a pipe, which gives its content but once.
    is_there = path_b is not None and (path_b.is_file() or path_b.is_dir())
    scored = replace(wanted_b, scored=True)
    if path_b is not None and is_there and can_read(path_b, None, options.format_b, scored):
        words += f": {path_b.name} has scores, name it first"
    return words


def _kind_of(path: Path, data: bytes | None, options: MatchOptions) -> Kind:
    """Label images where an option or the content of A says so, else boxes; None is a folder."""
    told = {options.format_a, options.format_b}
    if options.format_a is None:
        if data is None:
            told.add("csv" if holds_boxes(path) else "labels")
        else:
            row = recognized(path, data, options.wanted_of_each()[0], *KINDS)
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
        **_shares(found),
        **found.graded,
        **timing(seconds, "matching", unit, work, " compared" if unit == "pairs" else ""),
    }
    for name, path in (("written to", options.out), ("plotted to", options.plot)):
        if path is not None:
            facts[name] = str(path)
    bars = [histogram_bars(_histogram(found, options, 10))] if len(found) else []
    show_facts("fastiou match", facts, *bars)


def _shares(found: Found) -> dict[str, str]:
    """How many of each file are in a pair."""
    if len(found.sizes) == 1:
        both = np.concatenate([found.rows, found.cols])
        return {"in a pair": _share_matched(both, found.frames, found.sizes[0])}
    return {
        f"matched in {side}": _share_matched(positions, found.frames, size)
        for side, positions, size in zip("AB", (found.rows, found.cols), found.sizes, strict=True)
    }


def _share_matched(positions: Any, frames: Any, size: int) -> str:
    """How many positions there are, those of each frame apart."""
    if frames is None:
        # Where something was left out of a file, positions are larger than what takes part.
        matched = np.zeros(max(size, int(positions.max(initial=-1)) + 1), bool)
        matched[positions] = True
        count = int(np.count_nonzero(matched))
    else:
        order = np.lexsort((positions, frames))
        differs = [np.diff(column[order]) != 0 for column in (positions, frames)]
        count = int(np.count_nonzero(differs[0] | differs[1])) + min(1, len(order))
    return with_share(count, size)
