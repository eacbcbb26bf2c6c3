"""`fastiou eval labels`: objects of label images against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastiou.cli.display import LOADING, Clock, stages
from fastiou.cli.evaluate.options import check_required, shared_options, write_json
from fastiou.cli.kinds import refusals
from fastiou.cli.labels import described_file, few_labels, warn_of_binary
from fastiou.cli.options import check_no_input, file_type
from fastiou.cli.summary import show_facts, timing
from fastiou.evaluation.label_files import fault_of_frames, label_files
from fastiou.formats.images import FOREGROUND, read_frames

if TYPE_CHECKING:
    import click

    from fastiou.evaluation.instances import InstanceMatching

__all__ = ["add_labels"]


#: Thresholds where none is named: those of the Data Science Bowl 2018.
THRESHOLDS = tuple(number / 100 for number in range(50, 100, 5))

#: Columns of the table, and the attributes that they show.
COLUMNS = {
    "threshold": "thresh", "AP": "accuracy", "precision": "precision", "recall": "recall",
    "F1": "f1", "PQ": "panoptic_quality", "TP": "tp", "FP": "fp", "FN": "fn",
}  # fmt: skip


def add_labels(group: click.Group) -> None:
    """Add the subcommand to the others."""
    import click

    file = file_type()

    @group.command("labels")
    @click.argument("true", type=file)
    @click.argument("pred", type=file)
    @click.option(
        "--threshold", "thresholds", type=float, multiple=True,
        help="What a match scores at least; may come several times.  "
        "[default: 0.5 to 0.95 by 0.05]",
    )  # fmt: skip
    @click.option(
        "--criterion", type=click.Choice(["iou", "iot", "iop"]), default="iou", show_default=True,
        help="Intersection over union, over the true, or over the predicted object.",
    )  # fmt: skip
    @click.option(
        "--by-image", is_flag=True, help="Means over images, instead of all objects together."
    )
    @click.option(
        "--format", "format_", type=click.Choice(["labels", "panoptic"]),
        help="Whether a pixel is a label, or the colour of a PNG is one.",
    )  # fmt: skip
    @shared_options
    def labels(true: Path, pred: Path, **options: Any) -> None:
        """Score the objects of label images PRED against those of TRUE, as stardist does.

        Each pixel holds the number of its object, 0 for none. Both are files (PNG, TIFF, .npy), or
        folders of such files, which are paired by their names without endings. Folders may have
        other images in PRED, and all of TRUE must be there.

        AP is TP / (TP + FP + FN), as in the Data Science Bowl 2018 and in cellpose. PQ is panoptic
        quality, and AJI the aggregated Jaccard index. Scores are compared as float32.

        \b
        Names for --require, and in the JSON:
          AP (the mean over thresholds), AJI, n_true, n_pred, and for each threshold
          AP@0.5, f1@0.5, precision@0.5, recall@0.5, panoptic_quality@0.5, tp@0.5 ...

        \b
        Examples:
          fastiou eval labels truth/ found/
          fastiou eval labels truth.tif found.tif --threshold 0.5 --threshold 0.75
          fastiou eval labels truth/ found/ --json scores.json --require AP=0.6
        """  # noqa: D301
        evaluate_labels(true, pred, **options)


def evaluate_labels(
    true: Path,
    pred: Path,
    *,
    thresholds: tuple[float, ...],
    criterion: str,
    by_image: bool,
    format_: str | None,
    json_path: Path | None,
    required: dict[str, float],
    quiet: bool,
    progress: bool | None,
) -> None:
    """Score label images, print a table, and write what is asked for."""
    check_no_input(json_path, true, pred)
    with stages(False if quiet else progress) as begin:
        clock = Clock(begin)
        with clock.stage("reading"):
            truth, found, shared = label_files(true, pred, format_)
        with clock.stage(LOADING), refusals():
            from fastiou.evaluation.instances import InstanceEvaluator

            evaluator = InstanceEvaluator(
                thresholds or THRESHOLDS, criterion=criterion, by_image=by_image
            )
        pixels = 0
        seen: tuple[set[int], set[int]] = (set(), set())
        with clock.stage("matching") as update:
            for done, (number, other) in enumerate(shared.numbers):
                update(done, len(shared.numbers))
                with clock.apart("reading", "matching"):
                    one, two = read_frames(truth, found, number, other)
                pixels += one.size
                for own, image in zip(seen, (one, two), strict=True):
                    own.update(few_labels(image) if own <= FOREGROUND else ())
                try:
                    evaluator.update(one, two)
                except (TypeError, ValueError) as error:
                    raise fault_of_frames(truth, found, (number, other), str(error)) from None
    for file, own in zip((truth, found), seen, strict=True):
        warn_of_binary(file, own)
    result = evaluator.compute()
    numbers = result.as_dict()
    if not quiet:
        facts = {
            "true objects": f"{result.n_true:,} from {described_file(truth)}",
            "predicted objects": f"{result.n_pred:,} from {described_file(found)}",
            "images": f"{result.n_images:,}" + (" by name" if truth.names else ""),
        }
        if shared.only_b:
            facts["only in PRED"] = f"{len(shared.only_b):,}, not scored"
        facts["AP"] = f"{numbers['AP']:.4f}, the mean over thresholds"
        facts["AJI"] = f"{result.aji:.4f}"
        if by_image:
            facts["ratios"] = "means over images"
        facts |= timing(clock.seconds, "matching", "pixels", pixels)
        show_facts(f"{criterion} of objects", facts, _table(result))
    if json_path is not None:
        write_json(json_path, numbers)
    check_required(numbers, required)


def _table(result: InstanceMatching) -> Any:
    from rich.table import Table

    table = Table(pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for one in result:
        cells = [getattr(one, name) for name in COLUMNS.values()]
        table.add_row(
            f"{cells[0]:g}", *(f"{cell:.4f}" for cell in cells[1:6]), *map(str, cells[6:])
        )
    return table
