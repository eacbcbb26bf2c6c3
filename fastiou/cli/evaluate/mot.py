"""The command `fastiou eval mot`: scores of trackers."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastiou
from fastiou.cli.display import stages
from fastiou.cli.evaluate.options import check_required, shared_options, write_json
from fastiou.cli.options import check_no_input, file_type
from fastiou.cli.summary import show_facts
from fastiou.evaluation.tracking_folders import Sequences, sequence_name, sequences_in
from fastiou.formats.errors import FileError, RefusedError

if TYPE_CHECKING:
    import click

    from fastiou.evaluation.tracking_result import TrackingMetrics

__all__ = ["BENCHMARKS", "METRICS", "add_mot"]

#: As in `fastiou.evaluation`, which takes long to import: a test holds them together.
METRICS = ("HOTA", "CLEAR", "Identity")
BENCHMARKS = ("mot17", "mot20")

#: The scores that are shown, and in what words.
SHOWN = {
    "HOTA": ("HOTA", "DetA", "AssA", "LocA"),
    "CLEAR": ("MOTA", "MOTP", "IDSW", "Frag"),
    "Identity": ("IDF1", "IDP", "IDR"),
}


def add_mot(group: click.Group) -> None:
    """Add the command `mot` to `fastiou eval`."""
    import click

    file = file_type()

    @group.command("mot")
    @click.argument("gt", type=file)
    @click.argument("tracks", type=file)
    @click.option(
        "--benchmark",
        type=click.Choice(BENCHMARKS, case_sensitive=False),
        help="Whose rules leave boxes out: other classes than pedestrians, and tracks on "
        "distractors. Without it, none but truth that is marked by 0.",
    )
    @click.option(
        "--metrics",
        callback=_metrics_in,
        metavar="NAMES",
        help=f"Those that are wanted, of {','.join(METRICS)}.  [default: all]",
    )
    @click.option("--per-sequence", is_flag=True, help="Show the scores of each sequence, too.")
    @shared_options
    def mot(gt: Path, tracks: Path, **others: Any) -> None:
        """Score trackers of several objects: HOTA, CLEAR (MOTA) and Identity (IDF1).

        GT is the truth and TRACKS what a tracker says: text of MOTChallenge, a box a line as frame,
        id, x, y, width, height, and in the truth a mark (0: does not count), class, visibility.
        Files of several sequences are in two folders:

        \b
          GT       SEQ/gt/gt.txt for each sequence SEQ, with SEQ/seqinfo.ini or
                   without; or SEQ.txt
          TRACKS   SEQ.txt, or data/SEQ.txt

        Files may be compressed by gzip. All digits are those of TrackEval.

        \b
        Examples:
          fastiou eval mot gt.txt tracks.txt
          fastiou eval mot MOT17/train results --benchmark mot17 --per-sequence
          fastiou eval mot gt.txt tracks.txt --metrics HOTA --require HOTA=0.5
        """  # noqa: D301
        _score(gt, tracks, **others)


def _metrics_in(context: Any, parameter: Any, value: str | None) -> tuple[str, ...]:
    """The names that `--metrics` has."""
    if value is None:
        return METRICS
    known = {metric.lower(): metric for metric in METRICS}
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if name.lower() not in known:
            raise RefusedError(f"--metrics must be some of {','.join(METRICS)}, got {name!r}")
    return tuple(known[name.lower()] for name in names)


def _score(
    gt: Path,
    tracks: Path,
    *,
    benchmark: str | None,
    metrics: tuple[str, ...],
    per_sequence: bool,
    json_path: Path | None,
    required: dict[str, float],
    quiet: bool,
    progress: bool | None,
) -> None:
    from rich.text import Text

    check_no_input(json_path, gt, tracks)
    if not gt.exists():
        raise FileError(gt, "no such file or folder")
    found = Sequences({sequence_name(gt): (gt, tracks)}, ())
    if gt.is_dir():
        found = sequences_in(gt, tracks)
    evaluator = fastiou.TrackingEvaluator(metrics, benchmark)
    with (
        stages(False if quiet else progress) as begin,
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always")
        update = begin("scoring")
        for done, (name, files) in enumerate(found.files.items()):
            update(done, len(found.files), name)
            try:
                evaluator.update(*files, sequence=name)
            except ValueError as error:
                raise RefusedError(str(error)) from None
    for warning in said:
        print(f"fastiou: {warning.message}", file=sys.stderr, flush=True)
    result = evaluator.compute()
    if json_path is not None:
        write_json(json_path, _content(result))
    if not quiet:
        facts = _facts(result, metrics)
        if found.left_out:
            facts["left aside"] = f"{len(found.left_out):,} files of tracks without truth"
        lines = Text(result.summary(), no_wrap=True, overflow="ignore")
        show_facts(f"{tracks} scored by {gt}", facts, *([lines] if per_sequence else []))
    check_required(result.as_dict(), required)


def _content(result: TrackingMetrics) -> dict[str, Any]:
    """What is written as JSON."""
    return {
        **result.as_dict(),
        "alphas": result.alphas.tolist(),
        "per_alpha": {name: values.tolist() for name, values in result.per_alpha.items()},
        "sequences": {name: own.as_dict() for name, own in result.sequences.items()},
    }


def _facts(result: TrackingMetrics, metrics: tuple[str, ...]) -> dict[str, str]:
    facts = {
        "sequences": f"{len(result.sequences):,}, of {result['Frames']:,} frames",
        "truth": f"{result['GT_Dets']:,} boxes, {result['GT_IDs']:,} ids",
        "tracks": f"{result['Dets']:,} boxes, {result['IDs']:,} ids",
    }
    for metric in METRICS:
        if metric in metrics:
            facts |= {name: _shown(result[name]) for name in SHOWN[metric]}
    if "CLEAR" in metrics:
        facts["counts"] = ", ".join(
            f"{words} {result[name]:,}"
            for words, name in (("TP", "CLR_TP"), ("FP", "CLR_FP"), ("FN", "CLR_FN"))
        )
        facts["ids"] = ", ".join(f"{name} {result[name]:,}" for name in ("MT", "PT", "ML"))
    return facts


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.5f}"
