"""`fastiou eval panoptic`: panoptic quality of COCO's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastiou.cli.display import LOADING, Clock, stages
from fastiou.cli.evaluate.options import check_required, shared_options, write_json
from fastiou.cli.options import check_no_input, file_type
from fastiou.cli.summary import show_facts

if TYPE_CHECKING:
    import click

    from fastiou.evaluation.panoptic_result import PanopticQuality

__all__ = ["add_panoptic"]


def add_panoptic(group: click.Group) -> None:
    """Add the subcommand to the others."""
    import click

    file = file_type()

    @group.command("panoptic")
    @click.argument("truth", metavar="GT.json", type=file)
    @click.argument("found", metavar="PRED.json", type=file)
    @click.option("--gt-folder", type=file, help="PNG of the truth.  [default: GT, beside GT.json]")
    @click.option(
        "--pred-folder", type=file,
        help="PNG of the prediction.  [default: PRED, beside PRED.json]",
    )  # fmt: skip
    @click.option("--per-class", is_flag=True, help="Show each category that occurs, too.")
    @shared_options
    def panoptic(truth: Path, found: Path, **options: Any) -> None:
        """Panoptic quality of a prediction in COCO's panoptic format, as panopticapi computes it.

        GT.json and PRED.json have annotations with segments_info, and GT.json has categories. The
        colours of PNG are the ids of segments, R + 256 G + 65536 B. PRED.json must have all images
        of GT.json; others are left out.

        \b
        Names for --require, and in the JSON:
          PQ, SQ, RQ, and the same of things (PQ_th ...) and of stuff (PQ_st ...)

        \b
        Examples:
          fastiou eval panoptic panoptic_val2017.json predictions.json
          fastiou eval panoptic gt.json pred.json --pred-folder png/ --per-class
          fastiou eval panoptic gt.json pred.json --json pq.json --require PQ=0.5
        """  # noqa: D301
        evaluate_panoptic(truth, found, **options)


def evaluate_panoptic(
    truth: Path,
    found: Path,
    *,
    gt_folder: Path | None,
    pred_folder: Path | None,
    per_class: bool,
    json_path: Path | None,
    required: dict[str, float],
    quiet: bool,
    progress: bool | None,
) -> None:
    """Score panoptic files, print tables, and write what is asked for."""
    check_no_input(json_path, truth, found)
    with stages(False if quiet else progress) as begin:
        clock = Clock(begin)
        with clock.stage(LOADING):
            from fastiou.evaluation.panoptic import evaluate_files
            from fastiou.formats.panoptic import read_panoptic
        with clock.stage("reading JSON"):
            true_file = read_panoptic(truth, gt_folder)
            found_file = read_panoptic(found, pred_folder)
        with clock.stage("matching") as update:
            result = evaluate_files(true_file, found_file, update)
    numbers = result.as_dict()
    if not quiet:
        left_out = len(found_file.images) - result.n_images
        facts = {
            "images": f"{result.n_images:,}"
            + (f"; {left_out:,} more in {found.name} left out" if left_out else ""),
            "categories": f"{result.n:,} of {len(result.per_class):,} occur",
            "seconds": ", ".join(f"{name} {spent:.3f}" for name, spent in clock.seconds.items()),
        }
        more = [_classes(result)] if per_class else []
        show_facts("panoptic quality", facts, _averages(result), *more)
    if json_path is not None:
        write_json(json_path, numbers | (_by_class(result) if per_class else {}))
    check_required(numbers, required)


def _by_class(result: PanopticQuality) -> dict[str, Any]:
    """The categories for JSON."""
    return {"per_class": {number: one._asdict() for number, one in result.per_class.items()}}


def _averages(result: PanopticQuality) -> Any:
    from rich.table import Table

    table = Table()
    for name in ("", "PQ", "SQ", "RQ", "categories"):
        table.add_column(name, justify="right" if name else "left")
    for name, average in (("all", result), ("things", result.things), ("stuff", result.stuff)):
        if average is not None:
            cells = (average.pq, average.sq, average.rq)
            table.add_row(name, *(f"{cell:.4f}" for cell in cells), str(average.n))
    return table


def _classes(result: PanopticQuality) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("id", "category", "PQ", "SQ", "RQ", "TP", "FP", "FN"):
        table.add_column(name, justify="left" if name == "category" else "right")
    for number, one in result.per_class.items():
        if one.counts:
            cells = (f"{cell:.4f}" for cell in (one.pq, one.sq, one.rq))
            table.add_row(str(number), Text(one.name), *cells, *map(str, (one.tp, one.fp, one.fn)))
    return table
