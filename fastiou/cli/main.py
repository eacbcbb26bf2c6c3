"""The command `fastiou`."""

from __future__ import annotations

import errno
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastiou
from fastiou.cli import match as comparison
from fastiou.cli import nms as thinning
from fastiou.cli import outputs as output
from fastiou.cli import summary as report
from fastiou.cli.match import Found, MatchOptions, RefusedError
from fastiou.cli.nms import Kept, NmsOptions
from fastiou.formats import content as files
from fastiou.formats import table as io
from fastiou.formats.coco import MaskFile, result_texts
from fastiou.formats.content import BoxFile, FileError, import_extra
from fastiou.formats.images import read_labels

if TYPE_CHECKING:
    import click

__all__ = [
    "MatchOptions",
    "NmsOptions",
    "RefusedError",
    "commands",
    "main",
    "match_files",
    "nms_file",
]

#: Exit codes, as the shell expects them.
FAILED, INTERRUPTED = 2, 130

#: As in `fastiou.metrics`, which takes long to import: a test holds them together.
METRIC_NAMES = ("iou", "giou", "diou", "ciou", "iof", "ios", "dice", "intersection")

#: Name ending of results, which `fastiou nms` writes besides those of `output`.
RESULTS = ".json"

#: Name endings of plots.
PLOTS = (".png", ".svg", ".pdf")

#: What finds the pairs or matches of what files hold.
COMPARE: dict[str, Callable[..., Found]] = {
    "box": comparison.compare_boxes,
    "mask": comparison.compare_masks,
    "labels": comparison.compare_labels,
}

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
    fastiou.comparison.Found

    Raises
    ------
    fastiou.files.FileError
        A file cannot be used.
    RefusedError
        fastiou refuses what is in the files, or an option.
    """
    # Whatever can go wrong at the end should go wrong before the work.
    _check_threshold(options.threshold, options.metric, zero=options.method == "topk")
    if options.geometry != "auto":
        _check_geometry(options.geometry, options)
    for written in (options.out, options.plot):
        _check_no_input(written, path_a, path_b)
    if options.out is not None:
        output.check_output(options.out)
    if options.plot is not None:
        output.check_output(options.plot, PLOTS)
        import_extra("matplotlib.figure", "plot", "--plot")

    with report.stages(False if options.quiet else options.progress) as begin:
        clock = comparison.Clock(begin)
        with clock.stage("reading"):
            geometry, a, b = _read(path_a, path_b, options)
        found = COMPARE[geometry](a, b, options, clock)
        if options.out is not None:
            with clock.stage("writing") as update:
                output.write_pairs(
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
        what = "pairs" if options.method in ("pairs", "topk") else "matches"
        title = f"{len(found):,} {what} of {path_a.name} and {path_b.name}"
        report.plot_histogram(counted, options.plot, title, options.metric)
    if not options.quiet:
        _show_summary(found, clock.seconds, options)
    return found


def nms_file(path: Path, options: NmsOptions) -> Kept:
    """Suppress what overlaps something better in a file, write what is kept, and print how much.

    Parameters
    ----------
    path
        A file with boxes or masks, and their scores.
    options
        What to suppress and to write.

    Returns
    -------
    fastiou.thinning.Kept

    Raises
    ------
    fastiou.files.FileError
        A file cannot be used.
    RefusedError
        fastiou refuses what is in the file, or an option.
    """
    _check_threshold(options.threshold, options.metric, zero=True)
    for name, value in (("sigma", options.sigma), ("score-threshold", options.score_threshold)):
        if math.isnan(value):
            raise RefusedError(f"--{name} must be a number, got {value}")
    _check_formats(options.geometry, options.metric, (options.format,))
    _check_no_input(options.out, path)
    as_results = options.out is not None and options.out.suffix.lower() == RESULTS
    if options.out is not None:
        output.check_output(options.out, (*output.OUTPUTS, RESULTS))

    with report.stages(False if options.quiet else options.progress) as begin:
        clock = comparison.Clock(begin)
        with clock.stage("reading"):
            data = files.content(path, io.EXPECTED[options.geometry])
            file: Any
            if options.geometry == "box":
                file = io.read_boxes(
                    path,
                    data,
                    format=options.format,
                    fmt=options.boxes,
                    grouped=options.groups,
                    scored=True,
                )
            else:
                file = io.read_masks(path, data, grouped=options.groups, scored=True)
            if as_results:
                if isinstance(file, BoxFile) and file.format != "coco":
                    expected = "results of COCO, for an output in JSON"
                    raise FileError(path, f"boxes as {file.format}", expected)
                result_texts(path, data, np.empty(0, np.int64))
            else:
                del data  # which may take as much memory as all that follows
        thin: Callable[..., Kept] = (
            thinning.thin_masks if isinstance(file, MaskFile) else thinning.thin_boxes
        )
        kept = thin(file, options, clock)
        if options.out is not None:
            with clock.stage("writing") as update:
                if as_results:
                    output.write_entries(options.out, result_texts(path, data, kept.positions))
                else:
                    columns = {"kept": kept.positions, "scores": kept.scores}
                    output.write_columns(options.out, columns, update)
    if not options.quiet:
        _show_kept(kept, clock.seconds, options)
    return kept


def _check_no_input(written: Path | None, *inputs: Path) -> None:
    if written is not None and written.resolve() in [path.resolve() for path in inputs]:
        raise FileError(written, "this is an input, and would be overwritten")


def _check_threshold(threshold: float, metric: str, *, zero: bool) -> None:
    from fastiou.arrays.checks import threshold_number
    from fastiou.metrics import METRICS

    try:
        threshold_number(threshold, METRICS[metric].maximum, zero=zero)
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _check_geometry(geometry: str, options: MatchOptions) -> None:
    """Find out whether what the files hold and the other options go together."""
    _check_formats(geometry, options.metric, (options.format_a, options.format_b))
    if geometry == "labels" and not options.groups:
        raise RefusedError(
            "--no-groups is not for label images: only labels of one frame can be compared"
        )
    if geometry == "labels" and options.method != "pairs":
        raise RefusedError(f"--method {options.method} is for boxes and masks; labels have pairs")


def _check_formats(geometry: str, metric: str, names: Sequence[str | None]) -> None:
    comparison.check_metric(geometry, metric)
    formats = io.GEOMETRIES[geometry]
    for name in names:
        if name not in (None, *formats):
            expected = " or ".join(formats)
            raise RefusedError(f"--geometry {geometry} cannot read --format {name}, but {expected}")


def _read(path_a: Path, path_b: Path, options: MatchOptions) -> tuple[str, Any, Any]:
    """What the files hold, and the two files."""
    geometry = options.geometry
    # Read but once, since a pipe gives its content but once.
    data = None if path_a.is_dir() else files.content(path_a)
    if geometry == "auto":
        by_content = options.format_a is None and (data is None or io.looks_like_labels(data))
        told = by_content or "labels" in (options.format_a, options.format_b)
        geometry = "labels" if told else "box"
        _check_geometry(geometry, options)

    coco = options.method == "coco"

    def read(path: Path, data: bytes | None, format_: str | None, **besides: bool) -> Any:
        if geometry == "labels":
            return read_labels(path, data)
        besides["grouped"] = options.groups
        if geometry == "mask":
            return io.read_masks(path, data, **besides)
        return io.read_boxes(path, data, format=format_, fmt=options.boxes, **besides)

    a = read(path_a, data, options.format_a, scored=coco)
    del data  # which may take as much memory as that of B will
    return geometry, a, read(path_b, None, options.format_b, crowded=coco)


def _histogram(found: Found, options: MatchOptions, bins: int) -> report.Histogram:
    from fastiou.metrics import METRICS

    maximum = METRICS[options.metric].maximum
    return report.histogram(found.values, options.threshold, maximum, bins)


def _show_summary(found: Found, seconds: dict[str, float], options: MatchOptions) -> None:
    unit, work = found.work
    method = options.method
    if method == "topk":
        method += f", the best {options.top:,} in B of each in A"
    facts = {**found.describe(), "method": method, "pairs in all": f"{found.in_all:,}"}
    if found.tested is not None:
        shared = " that share pixels" if unit == "pixels" else ""
        facts["compared"] = f"{found.tested:,}{shared}"
    name = comparison.METHODS[options.method]
    least = f">= {options.threshold:g}" if options.threshold else "> 0"
    facts |= {
        name: f"{len(found):,} with {options.metric} {least}",
        "matched in A": _share_matched(found.rows, found.frames, found.sizes[0]),
        "matched in B": _share_matched(found.cols, found.frames, found.sizes[1]),
        **_timing(seconds, "matching", unit, work, " compared" if unit == "pairs" else ""),
    }
    for name, path in (("written to", options.out), ("plotted to", options.plot)):
        if path is not None:
            facts[name] = str(path)
    bars = [report.histogram_bars(_histogram(found, options, 10))] if len(found) else []
    report.show_facts("fastiou match", facts, *bars)


def _show_kept(kept: Kept, seconds: dict[str, float], options: NmsOptions) -> None:
    # The best are taken after all others are suppressed, so that nobody knows which of them were.
    cut = " or beyond --max-output" if options.max_output is not None else ""
    left = kept.size - kept.below - len(kept)
    facts = {
        **kept.describe(),
        "method": thinning.METHODS[options.method].format(**vars(options)),
        "kept": _with_share(len(kept), kept.size),
        "suppressed": _with_share(left, kept.size) + cut,
    }
    if kept.below:
        facts["below score threshold"] = _with_share(kept.below, kept.size)
    unit = {"box": "boxes", "mask": "masks"}[options.geometry]
    facts |= _timing(seconds, "suppressing", unit, kept.size)
    if options.out is not None:
        facts["written to"] = str(options.out)
    report.show_facts("fastiou nms", facts)


def _timing(
    seconds: dict[str, float], stage: str, unit: str, work: int, what: str = ""
) -> dict[str, str]:
    """What a summary says of time and memory, `stage` being the work proper."""
    besides = ", ".join(f"{name} {spent:.3f}" for name, spent in seconds.items() if name != stage)
    memory = report.peak_memory()
    return {
        "seconds": f"{seconds[stage]:.3f} (and {besides})",
        f"{unit} per second": f"{work / seconds[stage]:,.0f}{what}",
        "peak memory": "not known here" if memory is None else f"{memory / 2**20:,.0f} MiB",
    }


def _share_matched(positions: Any, frames: Any, size: int) -> str:
    if frames is None:
        matched = np.zeros(size, bool)
        matched[positions] = True
        count = int(np.count_nonzero(matched))
    else:
        order = np.lexsort((positions, frames))
        differs = [np.diff(column[order]) != 0 for column in (positions, frames)]
        count = int(np.count_nonzero(differs[0] | differs[1])) + min(1, len(order))
    return _with_share(count, size)


def _with_share(count: int, size: int) -> str:
    return f"{count:,} ({count / max(size, 1):.1%})"


# ---- the command line --------------------------------------------------------------------------


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Say in one line what went wrong, and end with the right exit code."""
    try:
        yield
    except KeyboardInterrupt:
        message, code = "interrupted", INTERRUPTED
    except (FileError, RefusedError, ImportError, MemoryError) as error:
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
        import_extra(module, "cli", "the command")
    import click

    class Commands(click.Group):
        def invoke(self, context: click.Context) -> Any:
            with _exit_codes():
                return super().invoke(context)

    file = click.Path(path_type=Path)
    formats = click.Choice(io.FORMATS)

    def threshold(words: str) -> Callable[[Any], Any]:
        return click.option("--threshold", type=float, default=0.5, show_default=True, help=words)

    metric = click.option(
        "--metric", type=click.Choice(METRIC_NAMES), default="iou", show_default=True
    )
    boxes = click.option(
        "--boxes",
        type=click.Choice(io.LAYOUTS),
        default="xyxy",
        show_default=True,
        help="Layout where a file does not tell: .npy, .npz without fmt, .csv without header.",
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
        """Find which boxes, masks or labels of files overlap, match, or suppress each other.

        \b
        Examples:
          fastiou demo
          fastiou match truth.txt.gz detections.txt.gz --out pairs.npz
          fastiou nms detections.txt.gz --out kept.npz
          fastiou match --help
        """  # noqa: D301

    @group.command()
    @click.argument("a", type=file)
    @click.argument("b", type=file)
    @threshold("Smallest value of a pair; greater than 0, or from 0 on with topk.")
    @metric
    @click.option(
        "--method",
        type=click.Choice(list(comparison.METHODS)),
        default="pairs",
        show_default=True,
        help="What to find; see above.",
    )
    @click.option(
        "-k", "--top", type=click.IntRange(1), help="How many topk keeps of each.  [default: 1]"
    )
    @click.option(
        "--geometry",
        type=click.Choice(["auto", *io.GEOMETRIES]),
        default="auto",
        show_default=True,
        help="What to compare. By content, label images are told from boxes; masks must be named.",
    )
    @click.option(
        "--format", "format_", type=formats, help="Format of both files.  [default: by content]"
    )
    @click.option("--format-a", type=formats, help="Format of A.")
    @click.option("--format-b", type=formats, help="Format of B.")
    @boxes
    @click.option(
        "--no-groups", is_flag=True, help="Compare all boxes with all; masks: of all categories."
    )
    @click.option("--out", type=file, help=f"Write what is found: {', '.join(output.OUTPUTS)}.")
    @click.option("--plot", type=file, help=f"Draw a histogram: {', '.join(PLOTS)}.")
    @quiet
    @progress
    def match(
        a: Path,
        b: Path,
        top: int | None,
        format_: str | None,
        format_a: str | None,
        format_b: str | None,
        no_groups: bool,
        **others: Any,
    ) -> None:
        """Find the boxes, masks or labels in files A and B that overlap enough, or match.

        \b
        Methods:
          pairs    all pairs; a box may be in several
          greedy   matches, each box in at most one: the best pair first, then
                   the best of what is left
          optimal  matches with the highest sum of values
          coco     matches by the rule of COCO's evaluation: A are detections with
                   scores, the best first, and B is the truth, in which iscrowd
                   tells crowds
          topk     the best -k in B of each in A

        Only boxes of the same frame or image (and category) are compared if both files tell them.
        All rows take part: save with coco, crowds are boxes like others, as are rows marked to be
        ignored.

        Rows, cols and values are written, rows and cols being positions in A and B from 0 on,
        sorted by row and then col; by topk, by row and then from the best on. With greedy, optimal
        and coco, .npz has unmatched_rows and unmatched_cols besides; .csv and .parquet leave what
        is unmatched out.

        Masks (--geometry mask) are the polygons and run lengths of COCO files. Only those of the
        same image are compared, whose size is that of the run lengths or stands in either file.

        Of label images each pixel holds the number of its object, 0 for none. Rows and cols of the
        result are labels, and frames tells the image in A, counted from 0. Images in folders are
        compared by name. Metrics of masks and labels: iou, iof, ios, dice, intersection.

        \b
        Files, also compressed by gzip, told apart by content:
          .npy   array of shape (N, 4); with scores (N, 5), the scores last
          .npz   array boxes (N, 4), optional groups (N,), scores (N,) and fmt
          .csv   header with x1,y1,x2,y2 or x,y,w,h or cx,cy,w,h, and optional
                 frame, image, image_id or group, and category, category_id or
                 class, and score, confidence or conf; or 4 columns without a
                 header, with scores 5
          mot    frame, id, x, y, w, h, conf, ... between commas or spaces
          coco   JSON with annotations, or a list of results
          labels PNG (grey or palette), TIFF with one or more pages, .npy with
                 integers (H, W) or (T, H, W), or a folder of such images

        \b
        Examples:
          fastiou match gt.txt.gz tracks.txt.gz --threshold 0.5 --out pairs.npz
          fastiou match instances.json results.json --metric giou --plot giou.png
          fastiou match instances.json results.json --geometry mask --out pairs.csv
          fastiou match results.json instances.json --method coco --out matches.npz
          fastiou match tracks.txt gt.txt --method topk -k 3 --threshold 0.1
          fastiou match truth/ found/ --metric dice --out pairs.npz
          fastiou match a.npy b.npy --boxes xywh --no-groups --out pairs.parquet
        """  # noqa: D301
        if top is not None and others["method"] != "topk":
            raise RefusedError(f"--top is for --method topk, not for {others['method']}")
        options = MatchOptions(
            top=1 if top is None else top,
            format_a=format_a or format_,
            format_b=format_b or format_,
            groups=not no_groups,
            **others,
        )
        match_files(a, b, options)

    @group.command()
    @click.argument("file", metavar="F", type=file)
    @threshold("What overlaps something better by more than this is suppressed; from 0 on.")
    @metric
    @click.option(
        "--method",
        type=click.Choice(list(thinning.METHODS)),
        default="hard",
        show_default=True,
        help="How to suppress; see above.",
    )
    @click.option(
        "--sigma",
        type=click.FloatRange(0, min_open=True),
        default=0.5,
        show_default=True,
        help="How slowly gaussian lowers scores.",
    )
    @click.option(
        "--score-threshold",
        type=float,
        default=0.0,
        show_default=True,
        help="Leave out what scores less than this, before or after scores are lowered.",
    )
    @click.option(
        "--max-output", type=click.IntRange(0), help="Keep at most so many, in all groups together."
    )
    @click.option(
        "--geometry",
        type=click.Choice(["box", "mask"]),
        default="box",
        show_default=True,
        help="What to compare.",
    )
    @click.option(
        "--format",
        type=click.Choice(io.GEOMETRIES["box"]),
        help="Format of the file.  [default: by content]",
    )
    @boxes
    @click.option(
        "--no-groups", is_flag=True, help="Compare all boxes with all; masks: of all categories."
    )
    @click.option(
        "--out",
        type=file,
        help=f"Write what is kept: {', '.join((*output.OUTPUTS, RESULTS))}.",
    )
    @quiet
    @progress
    def nms(file: Path, no_groups: bool, **others: Any) -> None:
        """Keep the best of the boxes or masks in file F that overlap (non-maximum suppression).

        \b
        Methods:
          hard      from the best on, each suppresses what overlaps it by more
                    than the threshold
          linear    what overlaps by more than the threshold is not suppressed: its
                    score is multiplied by 1 - value, and so it comes later
          gaussian  the same for whatever overlaps, by exp(-value² / sigma)

        Only boxes of the same frame or image (and category) suppress each other, if the file tells
        them. Masks (--geometry mask) are the polygons and run lengths of COCO files, and only those
        of the same image are compared.

        Written are columns kept, positions in F from 0 on, the best first, and scores, those of the
        file; with linear and gaussian the best are those whose lowered scores are highest. To .json
        the kept entries of COCO's results are written as they are, in the order of F.

        \b
        Files, also compressed by gzip, told apart by content:
          .npy   array of shape (N, 5): boxes and scores
          .npz   arrays boxes (N, 4) and scores (N,), optional groups (N,) and fmt
          .csv   header as of fastiou match, with score, confidence or conf; or 5
                 columns without a header, the scores last
          mot    frame, id, x, y, w, h, conf, ... between commas or spaces
          coco   JSON with a list of results, each with a score

        \b
        Examples:
          fastiou nms detections.txt.gz --threshold 0.7 --out kept.npz
          fastiou nms results.json --out thinned.json
          fastiou nms results.json --geometry mask --out kept.csv
          fastiou nms results.json --method gaussian --score-threshold 0.01
        """  # noqa: D301
        nms_file(file, NmsOptions(groups=not no_groups, **others))

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
    @threshold("Smallest value of a pair; greater than 0.")
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
        from fastiou.cli.demo import make_scene, write_scene

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

        It takes one to two minutes where nothing is compiled yet. Common are box_iou with every
        metric, and pairs, topk, match and nms by iou, in float32 and float64; and masks.

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
