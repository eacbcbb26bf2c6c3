"""The commands `fastiou eval coco` and `fastiou eval lvis`: scores of detectors."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastiou.cli.display import stages
from fastiou.cli.evaluate.options import check_required, shared_options, write_json
from fastiou.cli.options import check_no_input, file_type, skip_invalid_option
from fastiou.cli.outputs import check_output, replaced_at_end
from fastiou.cli.summary import show_facts
from fastiou.formats.coco import SKIPPABLE
from fastiou.formats.errors import FileError, RefusedError, import_extra

if TYPE_CHECKING:
    import click
    from rich.table import Table

    from fastiou.evaluation.detection_errors import ConfusionMatrix, Errors
    from fastiou.evaluation.detection_resampling import Bootstrap
    from fastiou.evaluation.detection_result import DetectionResult

__all__ = ["IOU_TYPES", "Request", "add_coco", "add_lvis", "check", "common", "show"]

#: As in `fastiou.evaluation`, which takes long to import: a test holds them together.
IOU_TYPES = ("bbox", "segm", "boundary", "keypoints")

#: Formats of plots, by the ending of the file.
PLOTS = (".png", ".svg", ".pdf")

#: Numbers that stand in a table of classes; --json has all.
SHOWN_OF_CLASSES = ("AP", "AP50", "AP75")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command is asked for; each attribute is the option of that name."""

    iou_type: str = IOU_TYPES[0]
    iou: float = 0.5
    by: tuple[str, ...] | None = None
    skip_invalid: bool = False
    image_size: tuple[int, int] | None = None
    max_dets: tuple[int, ...] | None = None
    sigmas: tuple[float, ...] | None = None
    class_agnostic: bool = False
    per_class: bool = False
    plot: Path | None = None
    json_path: Path | None = None
    required: dict[str, float]
    quiet: bool = False
    progress: bool | None = None
    errors: bool = False
    confusion: Path | None = None
    bootstrap: int | None = None


def add_coco(group: click.Group) -> None:
    """Add the command `coco` to `fastiou eval`."""
    import click

    @group.command("coco")
    @functools.partial(common, iou_types=IOU_TYPES)
    @click.option(
        "--max-dets",
        callback=_numbers_in,
        metavar="NUMBERS",
        help="How many detections of an image and class count, with commas between them; AP is of "
        "the last.  [default: 1,10,100; of keypoints 20]",
    )
    @click.option(
        "--sigmas",
        callback=_sigmas_in,
        metavar="NUMBERS",
        help="How far apart two people mark each keypoint, with commas between them.  [default: "
        "those of COCO's 17]",
    )
    @click.option("--class-agnostic", is_flag=True, help="Take all classes for one.")
    @click.option(
        "--errors",
        is_flag=True,
        help="Show kinds of errors, and what each costs in average precision, as TIDE does.",
    )
    @click.option(
        "--confusion",
        type=file_type(),
        metavar="FILE",
        help="Write which class was taken for which, at an IoU of 0.5 and scores from 0.25 on, to "
        "a file that ends in .csv.",
    )
    @click.option(
        "--bootstrap",
        type=click.IntRange(min=1),
        metavar="N",
        help="Show between which numbers each score lies in 95 % of N resamples of the images.",
    )
    def coco(gt: Path, dt: Path, **others: Any) -> None:
        """Score detections as COCO does: AP and AR of boxes, masks, boundaries or keypoints.

        GT is the truth and DT what a detector says, both JSON of COCO: annotations, and a list of
        results. Both may be compressed by gzip. All digits are those of pycocotools.

        \b
        Examples:
          fastiou eval coco instances_val2017.json results.json
          fastiou eval coco instances_val2017.json results.json --iou-type segm
          fastiou eval coco person_keypoints_val2017.json results.json --iou-type keypoints
          fastiou eval coco gt.json results.json --per-class --plot curves.png
          fastiou eval coco gt.json results.json --require AP=0.5 --json scores.json
          fastiou eval coco gt.json results.json --errors --confusion classes.csv --bootstrap 1000
        """  # noqa: D301
        _score(gt, dt, "coco", Request(**others))


def add_lvis(group: click.Group) -> None:
    """Add the command `lvis` to `fastiou eval`."""

    @group.command("lvis")
    @functools.partial(common, iou_types=IOU_TYPES[:3])
    def lvis(gt: Path, dt: Path, **others: Any) -> None:
        """Score detections as LVIS does, where not every class is looked for in every image.

        GT is LVIS's truth and DT a list of results, both JSON. At most 300 detections of an image
        count. All digits are those of LVIS's own evaluation.

        \b
        Example:
          fastiou eval lvis lvis_v1_val.json results.json --iou-type segm
        """  # noqa: D301
        _score(gt, dt, "lvis", Request(**others))


def common(function: Any, *, iou_types: Sequence[str] = ()) -> Any:
    """Give a command the arguments and options that all have that score detectors.

    `iou_types` is what `--iou-type` may be; without, there is no such option.
    """
    import click

    file = file_type()
    options = (
        click.argument("gt", type=file),
        click.argument("dt", type=file),
        click.option(
            "--iou-type",
            type=click.Choice(iou_types),
            default=IOU_TYPES[0],
            show_default=True,
            help="What is compared: boxes, masks, "
            + (
                "masks and their boundaries, or keypoints."
                if "keypoints" in iou_types
                else "or masks and their boundaries."
            ),
        ),
        skip_invalid_option(("coco",) if iou_types else SKIPPABLE),
        click.option("--per-class", is_flag=True, help="Show the scores of each class, too."),
        click.option(
            "--plot",
            type=file,
            help=f"Draw precision over recall: {', '.join(PLOTS)}.",
        ),
        shared_options,
    )
    for option in reversed(options):
        if iou_types or option is not options[2]:
            function = option(function)
    return function


def _numbers_in(_: Any, parameter: Any, value: str | None) -> tuple[int, ...] | None:
    """The numbers that `--max-dets` has."""
    if value is None:
        return None
    try:
        numbers = tuple(int(text) for text in value.split(","))
    except ValueError:
        numbers = ()
    ascending = all(one < two for one, two in itertools.pairwise(numbers))
    if not numbers or numbers[0] < 1 or not ascending or numbers[-1] >= 2**31:
        raise RefusedError(f"--max-dets must be numbers that ascend, such as 1,10,100; got {value}")
    return numbers


def _sigmas_in(_: Any, parameter: Any, value: str | None) -> tuple[float, ...] | None:
    """The numbers that `--sigmas` has."""
    if value is None:
        return None
    try:
        numbers = tuple(float(text) for text in value.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise RefusedError(f"--sigmas must be numbers above 0, such as 0.026,0.025; got {value}")
    return numbers


def check(gt: Path, dt: Path, request: Request) -> None:
    """Refuse at once what could not be written at the end."""
    for path in (request.json_path, request.plot, request.confusion):
        check_no_input(path, gt, dt)
    if request.plot is not None:
        check_output(request.plot, PLOTS)
        import_extra("matplotlib.figure", "plot", "--plot")
    if request.confusion is not None:
        check_output(request.confusion, (".csv",))
    if request.iou_type == "keypoints" and (request.errors or request.confusion is not None):
        option = "--errors" if request.errors else "--confusion"
        raise RefusedError(f"{option} is of boxes and masks, and not of keypoints")
    if request.sigmas is not None and request.iou_type != "keypoints":
        raise RefusedError("--sigmas is of keypoints: it needs --iou-type keypoints")


def _score(gt: Path, dt: Path, protocol: str, request: Request) -> None:
    check(gt, dt, request)
    errors, intervals = None, None
    for file in (gt, dt):
        if not file.is_file():
            raise FileError(file, "no such file" if not file.exists() else "a folder", None)
    with stages(False if request.quiet else request.progress) as begin:
        result = _evaluated(
            gt, dt, progress=begin("evaluating"), protocol=protocol, iou_type=request.iou_type,
            max_dets=request.max_dets, class_agnostic=request.class_agnostic, sigmas=request.sigmas,
            skip_invalid=request.skip_invalid,
            details=request.errors or request.confusion is not None,
        )  # fmt: skip
        if request.errors:
            errors = result.errors()
        if request.bootstrap is not None:
            begin("drawing images")
            intervals = result.bootstrap(request.bootstrap)
    title = f"{dt.name} scored by {gt.name}: {protocol}, {request.iou_type}"
    show(result, title, request, errors, intervals)


def _evaluated(gt: Path, dt: Path, **options: Any) -> DetectionResult:
    from fastiou.evaluation.coco_files import evaluate_coco_files

    try:
        return evaluate_coco_files(gt, dt, **options)
    except FileError as error:
        if "not JSON" not in str(error):
            raise
        raise RefusedError(f"{error}; fastiou convert makes it of other files of boxes") from None


def show(
    result: DetectionResult,
    title: str,
    request: Request,
    errors: Errors | None = None,
    intervals: Bootstrap | None = None,
) -> None:
    """Write and print the scores that were asked for, and end where one is too low."""
    if request.json_path is not None:
        write_json(request.json_path, _content(result, errors, intervals))
    if request.confusion is not None:
        _write_matrix(request.confusion, result.confusion_matrix())
    if request.plot is not None:
        figure = result.plot()
        with replaced_at_end(request.plot) as out:
            figure.savefig(out, format=request.plot.suffix[1:].lower(), dpi=150)
    if request.quiet:  # what departs from the rules is told even so
        for text in result.deviations:
            print(f"fastiou: note: {text}", file=sys.stderr, flush=True)
    else:
        facts = {
            "images": f"{len(result.image_ids):,}",
            "classes": f"{len(result.labels):,}",
            "detections": f"{len(result.kept):,} that count",
            **{name: _shown(name, value, intervals) for name, value in result.as_dict().items()},
            **{f"note {number}": text for number, text in enumerate(result.deviations, 1)},
        }
        tables = [_classes(result)] if request.per_class else []
        tables += [_kinds(errors)] if errors is not None else []
        show_facts(title, facts, *tables)
    check_required(result.as_dict(), request.required)


def _shown(name: str, value: float, intervals: Bootstrap | None) -> str:
    if value == -1:
        return "-1 (there is no truth)"
    if intervals is None:
        return f"{value:.4f}"
    low, high = intervals.intervals[name]
    return f"{value:.4f} ({low:.4f} to {high:.4f})"


def _content(
    result: DetectionResult, errors: Errors | None, intervals: Bootstrap | None
) -> dict[str, Any]:
    """What is written as JSON."""
    columns = {name: column.tolist() for name, column in result.per_class.columns().items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    content = {**result.as_dict(), "per_class": rows, "deviations": result.deviations}
    if errors is not None:
        content["errors"] = {"AP": errors.ap, "counts": errors.counts, "costs": errors.costs}
    if intervals is not None:
        ends = {name: own for name, own in intervals.intervals.items() if own[0] == own[0]}
        content["intervals"] = {"resamples": len(intervals), **ends}
    return content


def _write_matrix(path: Path, matrix: ConfusionMatrix) -> None:
    """Write a confusion matrix with a row for each true class, and a column for each predicted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["truth", *matrix.names])
    for name, row in zip(matrix.names, matrix.matrix.tolist(), strict=True):
        writer.writerow([name, *row])
    with replaced_at_end(path) as out:
        out.write(text.getvalue().encode())


def _kinds(errors: Errors) -> Table:
    """A table of kinds of errors."""
    from rich.table import Table

    table = Table()
    table.add_column("error")
    table.add_column("count", justify="right")
    table.add_column("AP50 lost", justify="right")
    for kind, cost in errors.costs.items():
        count = f"{errors.counts[kind]:,}" if kind in errors.counts else "-"
        table.add_row(kind, count, "-" if errors.ap == -1 else f"{cost:.4f}")
    return table


def _classes(result: DetectionResult) -> Table:
    """A table of the classes that have truth or detections."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    columns = result.per_class.columns()
    shown = [name for name in SHOWN_OF_CLASSES if name in columns]
    table.add_column("class")
    for name in (*shown, "truths", "detections"):
        table.add_column(name, justify="right")
    for row in range(len(result.labels)):
        counts = [int(columns[name][row]) for name in ("truths", "detections")]
        if not any(counts):
            continue
        scores = [
            "-" if columns[name][row] == -1 else f"{columns[name][row]:.4f}" for name in shown
        ]
        table.add_row(Text(str(columns["name"][row])), *scores, *(f"{count:,}" for count in counts))
    return table
