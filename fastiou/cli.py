"""The command `fastiou`."""

from __future__ import annotations

import errno
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastiou
from fastiou import io, output, report

if TYPE_CHECKING:
    import click

__all__ = ["MatchOptions", "RefusedError", "commands", "main", "match_files"]

#: Exit codes, as the shell expects them.
FAILED, INTERRUPTED = 2, 130

#: As in `fastiou.metrics`, which takes long to import: a test holds them together.
METRIC_NAMES = ("iou", "giou", "diou", "ciou", "iof", "ios", "dice", "intersection")

#: Name endings of plots.
PLOTS = (".png", ".svg", ".pdf")

#: Bins of a plot: those of the table, cut in five.
PLOT_BINS = 50


class RefusedError(Exception):
    """The boxes or an option are not what `pairs` accepts; the message is that of `pairs`."""


@dataclass(frozen=True)
class MatchOptions:
    """What `fastiou match` was asked for; each attribute is the option of that name."""

    threshold: float = 0.5
    metric: str = "iou"
    format_a: str | None = None
    format_b: str | None = None
    boxes: str = "xyxy"
    groups: bool = True
    out: Path | None = None
    plot: Path | None = None
    quiet: bool = False
    progress: bool | None = None


def match_files(path_a: Path, path_b: Path, options: MatchOptions) -> Any:
    """Find the pairs between two files, write them, and print what was found.

    Parameters
    ----------
    path_a, path_b
        Files with boxes.
    options
        What to find and to write.

    Returns
    -------
    fastiou.Pairs

    Raises
    ------
    fastiou.io.FileError
        A file cannot be used.
    RefusedError
        `pairs` refuses the boxes or an option.
    """
    # Whatever can go wrong at the end should go wrong before the work.
    _check_threshold(options)
    for written in (options.out, options.plot):
        if written is not None and written.resolve() in (path_a.resolve(), path_b.resolve()):
            raise io.FileError(written, "this is an input, and would be overwritten")
    if options.out is not None:
        output.check_output(options.out)
    if options.plot is not None:
        output.check_output(options.plot, PLOTS)
        io.import_extra("matplotlib.figure", "plot", "--plot")

    seconds: dict[str, float] = {}
    with report.stages(False if options.quiet else options.progress) as begin:

        @contextmanager
        def timed(name: str) -> Iterator[report.Stage]:
            before = time.perf_counter()
            update = begin(name)
            yield update
            update(1, 1)
            seconds[name] = time.perf_counter() - before

        with timed("reading"):
            a, b = (
                io.read_boxes(path, format=format_, fmt=options.boxes, grouped=options.groups)
                for path, format_ in ((path_a, options.format_a), (path_b, options.format_b))
            )
            grouping = io.common_groups(a, b)
        found = _pairs(a, b, grouping, options, timed)
        if options.out is not None:
            with timed("writing") as update:
                output.write_pairs(options.out, found.rows, found.cols, found.values, update)

    if options.plot is not None:
        counted = _histogram(found, options, PLOT_BINS)
        title = f"{len(found):,} pairs of {path_a.name} and {path_b.name}"
        report.plot_histogram(counted, options.plot, title, options.metric)
    if not options.quiet:
        _show_summary(a, b, grouping, found, seconds, options)
    return found


def _check_threshold(options: MatchOptions) -> None:
    from fastiou.arrays import threshold_number
    from fastiou.metrics import METRICS

    try:
        threshold_number(options.threshold, METRICS[options.metric].maximum)
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _pairs(
    a: io.BoxFile,
    b: io.BoxFile,
    grouping: io.Grouping | None,
    options: MatchOptions,
    timed: Callable[[str], AbstractContextManager[report.Stage]],
) -> Any:
    try:
        boxes_a, boxes_b, fmt = a.boxes, b.boxes, a.fmt
        if a.fmt != b.fmt:
            boxes_a, boxes_b = (fastiou.box_convert(x.boxes, x.fmt, "xyxy") for x in (a, b))
            fmt = "xyxy"
        with timed("loading kernels"):
            _compile(options.metric, fmt)
        with timed("matching") as update:
            return fastiou.pairs(
                boxes_a,
                boxes_b,
                options.threshold,
                metric=options.metric,
                fmt=fmt,
                groups=None if grouping is None else (grouping.codes_a, grouping.codes_b),
                progress=update,
            )
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _compile(metric: str, fmt: str) -> None:
    """Compile or load what `pairs` needs, so that the clock tells the speed of the work itself."""
    from fastiou import dispatch

    # As many groups as boxes, so that this is done as soon as everything is compiled.
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (dispatch.PARALLEL_FROM, 1))
    groups = np.arange(len(boxes))
    few = boxes[: math.isqrt(dispatch.PARALLEL_FROM) + 1]
    fastiou.pairs(few[:1], few[:1], metric=metric, fmt=fmt)
    with dispatch.threads_awake():
        fastiou.pairs(few, few, metric=metric, fmt=fmt)
        fastiou.pairs(boxes, boxes, metric=metric, fmt=fmt, groups=(groups, groups))


def _histogram(found: Any, options: MatchOptions, bins: int) -> report.Histogram:
    from fastiou.metrics import METRICS

    maximum = METRICS[options.metric].maximum
    return report.histogram(found.values, options.threshold, maximum, bins)


def _show_summary(
    a: io.BoxFile,
    b: io.BoxFile,
    grouping: io.Grouping | None,
    found: Any,
    seconds: dict[str, float],
    options: MatchOptions,
) -> None:
    if grouping is not None:
        groups = f"{grouping.count:,} by {' and '.join(grouping.keys)}"
    elif options.groups and (a.keys or b.keys):
        which = "A" if a.keys else "B"
        groups = f"only {which} has {' and '.join(a.keys or b.keys)}: all with all"
    elif options.groups:
        groups = "in neither file: all with all"
    else:
        groups = "not used: all with all"
    matching = seconds.pop("matching")
    besides = ", ".join(f"{name} {spent:.3f}" for name, spent in seconds.items())
    memory = report.peak_memory()
    facts = {
        "boxes in A": _boxes_described(a),
        "boxes in B": _boxes_described(b),
        "groups": groups,
        "pairs tested": f"{found.tested:,}",
        "pairs found": f"{len(found):,} with {options.metric} >= {options.threshold:g}",
        "matched in A": _share_matched(found.rows, len(a)),
        "matched in B": _share_matched(found.cols, len(b)),
        "seconds": f"{matching:.3f} (and {besides})",
        "pairs per second": f"{found.tested / matching:,.0f} tested",
        "peak memory": "not known here" if memory is None else f"{memory / 2**20:,.0f} MiB",
    }
    for name, path in (("written to", options.out), ("plotted to", options.plot)):
        if path is not None:
            facts[name] = str(path)
    bars = [report.histogram_bars(_histogram(found, options, 10))] if len(found) else []
    report.show_facts("fastiou match", facts, *bars)


def _boxes_described(file: io.BoxFile) -> str:
    """How many, whence, and how many can match nothing: often a sign of another layout."""
    corners = np.asarray(fastiou.box_convert(file.boxes, file.fmt, "xyxy"))
    missing = np.isnan(corners).any(axis=1)
    empty = (corners[:, 2:] <= corners[:, :2]).any(axis=1) & ~missing
    words = [f"{len(file):,} from {file.path.name} ({file.format}, {file.fmt})"]
    for unfit, name in ((missing, "with NaN"), (empty, "empty or inverted")):
        if unfit.any():
            words.append(f"{np.count_nonzero(unfit):,} {name}")
    return ", ".join(words)


def _share_matched(positions: Any, size: int) -> str:
    matched = np.zeros(size, bool)
    matched[positions] = True
    count = np.count_nonzero(matched)
    return f"{count:,} ({count / max(size, 1):.1%})"


# ---- the command line --------------------------------------------------------------------------


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Say in one line what went wrong, and end with the right exit code."""
    try:
        yield
    except KeyboardInterrupt:
        message, code = "interrupted", INTERRUPTED
    except (io.FileError, RefusedError, ImportError, MemoryError) as error:
        message, code = str(error) or "out of memory", FAILED
    except OSError as error:
        if error.errno == errno.EPIPE:  # click ends quietly when nobody reads on
            raise
        message, code = str(error), FAILED
    else:
        return
    print(f"fastiou: {message}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def commands() -> click.Group:
    """Build the commands.

    Returns
    -------
    click.Group
        The command `fastiou` with its subcommands.

    Raises
    ------
    ImportError
        click or rich are not installed.
    """
    for module in ("click", "rich"):
        io.import_extra(module, "cli", "the command")
    import click

    class Commands(click.Group):
        def invoke(self, context: click.Context) -> Any:
            with _exit_codes():
                return super().invoke(context)

    file = click.Path(path_type=Path)
    formats = click.Choice(io.FORMATS)
    threshold = click.option(
        "--threshold",
        type=float,
        default=0.5,
        show_default=True,
        help="Smallest value of a pair; greater than 0.",
    )
    quiet = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
    progress = click.option(
        "--progress/--no-progress",
        default=None,
        help="Show progress, or not.  [default: if standard error is a terminal]",
    )

    @click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(fastiou.__version__, prog_name="fastiou")
    def group() -> None:
        """Find which boxes of two files overlap.

        \b
        Examples:
          fastiou demo
          fastiou match truth.txt.gz detections.txt.gz --out pairs.npz
          fastiou match --help
        """  # noqa: D301

    @group.command()
    @click.argument("a", type=file)
    @click.argument("b", type=file)
    @threshold
    @click.option("--metric", type=click.Choice(METRIC_NAMES), default="iou", show_default=True)
    @click.option(
        "--method",
        type=click.Choice(["pairs"]),
        default="pairs",
        show_default=True,
        help="What to find: all pairs from the threshold on.",
    )
    @click.option(
        "--format", "format_", type=formats, help="Format of both files.  [default: by content]"
    )
    @click.option("--format-a", type=formats, help="Format of A.")
    @click.option("--format-b", type=formats, help="Format of B.")
    @click.option(
        "--boxes",
        type=click.Choice(io.LAYOUTS),
        default="xyxy",
        show_default=True,
        help="Layout where a file does not tell: .npy, .npz without fmt, .csv without header.",
    )
    @click.option("--no-groups", is_flag=True, help="Compare all boxes with all.")
    @click.option("--out", type=file, help=f"Write the pairs: {', '.join(output.OUTPUTS)}.")
    @click.option("--plot", type=file, help=f"Draw a histogram: {', '.join(PLOTS)}.")
    @quiet
    @progress
    def match(
        a: Path,
        b: Path,
        method: str,
        format_: str | None,
        format_a: str | None,
        format_b: str | None,
        no_groups: bool,
        **others: Any,
    ) -> None:
        """Find all pairs of boxes in files A and B that overlap enough.

        Only boxes of the same frame or image (and category) are compared if both files tell them.
        All rows take part: crowds and rows marked to be ignored are boxes like others. A box may be
        in several pairs. Rows and cols of the result are positions in A and B, counted from 0.

        \b
        Files, also compressed by gzip, told apart by content:
          .npy   array of shape (N, 4)
          .npz   array boxes (N, 4), optional groups (N,) and fmt
          .csv   header with x1,y1,x2,y2 or x,y,w,h or cx,cy,w,h, and optional
                 frame, image, image_id or group, and category, category_id or
                 class; or 4 columns without a header
          mot    frame, id, x, y, w, h, conf, ... between commas or spaces
          coco   JSON with annotations, or a list of results

        \b
        Examples:
          fastiou match gt.txt.gz tracks.txt.gz --threshold 0.5 --out pairs.npz
          fastiou match instances.json results.json --metric giou --plot giou.png
          fastiou match a.npy b.npy --boxes xywh --no-groups --out pairs.parquet
        """  # noqa: D301
        options = MatchOptions(
            format_a=format_a or format_,
            format_b=format_b or format_,
            groups=not no_groups,
            **others,
        )
        match_files(a, b, options)

    @group.command()
    @click.option(
        "--frames",
        type=click.IntRange(1),
        default=3000,
        show_default=True,
        help="Length of the sequence.",
    )
    @click.option(
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Equal seeds make equal scenes.",
    )
    @click.option("--keep", type=file, help="Folder to keep the two files in.")
    @threshold
    @quiet
    @progress
    def demo(frames: int, seed: int, keep: Path | None, **others: Any) -> None:
        """Make up a scene of a street camera, and match detections with truth.

        People walk through the picture; a detector misses some, is not quite exact, sees some
        twice and others where nobody is. Both go into files that `fastiou match` reads.

        \b
        Example:
          fastiou demo --frames 10000 --keep scene
        """  # noqa: D301
        from fastiou.demo import make_scene, write_scene

        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        with nullcontext(keep) if keep is not None else tempfile.TemporaryDirectory() as folder:
            truth, detections = write_scene(make_scene(frames, seed), Path(folder))
            match_files(truth, detections, MatchOptions(**others))

    @group.command()
    def info() -> None:
        """Show versions, threads, GPU and the folder of compiled kernels.

        \b
        Example:
          fastiou info
        """  # noqa: D301
        from fastiou.config import configuration

        report.show_facts("fastiou info", configuration())

    @group.command()
    @quiet
    @progress
    def warmup(quiet: bool, progress: bool | None) -> None:
        """Compile the common kernels now, so that later calls start at once.

        \b
        Example:
          fastiou warmup
        """  # noqa: D301
        from fastiou.config import configuration, warm_up

        before = time.perf_counter()
        with report.stages(False if quiet else progress) as begin:
            warm_up(begin("compiling"))
        if not quiet:
            click.echo(f"The kernels are ready after {time.perf_counter() - before:.1f} seconds.")
            click.echo(f"They are kept in: {configuration()['cache folder']}")

    return group


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave Python with its exit code.

    Parameters
    ----------
    arguments
        Without the name of the command; those of the process if not given.
    """
    with _exit_codes():
        group = commands()
    group.main(args=arguments, prog_name="fastiou")
