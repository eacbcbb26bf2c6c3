"""The work of `fastiou nms`: a file is read, and what is kept of it is written."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastiou
from fastiou.cli.display import LOADING, Clock, stages
from fastiou.cli.kinds import refusals
from fastiou.cli.members import MEMBERS, Members
from fastiou.cli.options import (
    NmsOptions,
    check_no_input,
    check_scaled,
    check_skips,
    check_threshold,
)
from fastiou.cli.outputs import (
    OUTPUTS,
    check_new_folder,
    check_output,
    folder_at_end,
    write_columns,
    write_entries,
    write_lines,
)
from fastiou.cli.summary import show_facts, timing, with_share
from fastiou.formats.coco import result_texts
from fastiou.formats.content import Floats, Integers, MemberFile, kind_of, read_content
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.folders import CLASS_FILES, files_in
from fastiou.formats.groups import common_groups
from fastiou.formats.kept_rows import row_texts
from fastiou.formats.keys import check_by
from fastiou.formats.pieces import read_pieces
from fastiou.formats.table import EXPECTED
from fastiou.formats.tables import ROWS_OF_TEXT
from fastiou.tables.grouping import key_column
from fastiou.typing import Array

__all__ = ["AS_IT_IS", "SUPPRESSIONS", "Kept", "nms_file"]

#: Ways to suppress, and what a summary says of them.
SUPPRESSIONS = {
    "hard": "hard: {metric} > {threshold:g} suppresses",
    "linear": "linear: {metric} > {threshold:g} lowers scores",
    "gaussian": "gaussian: any {metric} lowers scores, sigma {sigma:g}",
}

#: Name endings with which what is kept is written as it stands in the file, and which formats are.
AS_IT_IS = {".json": ("coco",), ".txt": (*ROWS_OF_TEXT, "yolo-seg")}


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of a file.

    Attributes
    ----------
    positions : array of int64
        Positions in the file, best first.
    scores : array of float64
        Their scores, as the file has them, or as a soft method lowers them.
    size : int
        How many boxes or masks the file has.
    below : int
        How many of them have scores below the score threshold.
    names : dict
        Columns by which users know them: their keys, and what the file calls each.
    describe : function
        What the summary says of the file, by name.
    """

    positions: Integers
    scores: Floats
    size: int
    below: int
    names: dict[str, Array]
    describe: Callable[[], dict[str, str]]

    def __len__(self) -> int:
        return len(self.positions)


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
    Kept

    Raises
    ------
    FileError
        A file cannot be used.
    RefusedError
        fastiou refuses what is in the file, or an option.
    """
    check_threshold(options, zero=True)
    for name, value in (("sigma", options.sigma), ("score-threshold", options.score_threshold)):
        if value is not None and math.isnan(value):
            raise RefusedError(f"--{name} must be a number, got {value}")
    kind = MEMBERS[options.geometry]
    kind.check(options, options.format)
    check_no_input(options.out, path)
    ending = "" if options.out is None else options.out.suffix.lower()
    makes_folder = path.is_dir() and options.out is not None and not ending
    if makes_folder and options.out is not None:
        check_new_folder(options.out)
    elif options.out is not None:
        check_output(options.out, (*OUTPUTS, *AS_IT_IS))

    with stages(options.shows_progress) as begin:
        clock = Clock(begin)
        with clock.stage("reading"):
            if path.is_dir() and ending in AS_IT_IS:
                expected = f"a file, whose entries or rows are kept as they are in {ending}; of a "
                expected += f"folder {', '.join(OUTPUTS)} have the positions of those that are "
                expected += "kept, and a name without an ending is a folder of the same files"
                raise FileError(path, "this is a folder", expected)
            data = (
                None if path.is_dir() else read_content(path, EXPECTED[kind.name], options.format)
            )
            wanted = options.wanted(scored=True, ids=options.out is not None)
            file = kind.read(path, data, options.format, wanted)
            check_skips(options.skip_invalid, file.format)
            check_by(options.by, file)
            check_scaled(options.image_size, file)
            if makes_folder and file.format not in (*AS_IT_IS[".txt"], "empty"):
                expected = f"{' or '.join(AS_IT_IS['.txt'])}, for a folder of what is kept"
                raise FileError(path, f"{kind.noun} as {file.format}", expected)
            if ending in AS_IT_IS:
                if file.format not in (*AS_IT_IS[ending], "empty"):
                    expected = f"{' or '.join(AS_IT_IS[ending])}, for an output in {ending}"
                    raise FileError(path, f"{kind.noun} as {file.format}", expected)
                if ending == ".json":
                    result_texts(path, _content(data), np.empty(0, np.int64))
            else:
                data = None  # which may take as much memory as all that follows
        kept = _suppress(kind, file, options, clock)
        if options.out is not None:
            with clock.stage("writing") as update:
                if makes_folder:
                    _write_folder(path, file, kept.positions, options.out)
                elif ending == ".json":
                    write_entries(options.out, result_texts(path, _content(data), kept.positions))
                elif ending in AS_IT_IS:
                    rows = row_texts(_content(data), file.format, kept.positions)
                    write_lines(options.out, rows)
                else:
                    columns = {"kept": kept.positions, "scores": kept.scores, **kept.names}
                    write_columns(options.out, columns, update)
    if options.method != "hard" and (makes_folder or ending in AS_IT_IS):
        words = f"scores are written as they are in {path.name}, not as {options.method} lowers"
        print(f"fastiou: {words} them, which --out kept.csv has", file=sys.stderr, flush=True)
    if not options.quiet:
        _show_summary(kind, kept, clock.seconds, options)
    return kept


def _write_folder(path: Path, file: MemberFile, kept: Integers, out: Path) -> None:
    """Write the files of a folder with those rows alone that are kept."""
    counts = dict(file.parts)
    start, kept = 0, np.sort(kept)
    with folder_at_end(out) as folder:
        for source in files_in(path).values():
            target = folder / source.relative_to(path)
            target = target.with_suffix("") if target.suffix.lower() == ".gz" else target
            target.parent.mkdir(parents=True, exist_ok=True)
            stop = start + counts.get(source, 0)
            lines: Iterable[str] = ()
            if source in counts:
                chosen = kept[slice(*np.searchsorted(kept, (start, stop)))] - start
                lines = row_texts(read_pieces(source, kind_of), file.format, chosen)
            target.write_bytes("".join(lines).encode())
            start = stop
        for name in CLASS_FILES:  # which say what the numbers of classes are
            if (path / name).is_file():
                shutil.copyfile(path / name, folder / name)


def _content(data: bytes | None) -> bytes:
    """The content of a file, which is kept where what it holds is written as it is."""
    assert data is not None
    return data


def _suppress(kind: Members, file: MemberFile, options: NmsOptions, clock: Clock) -> Kept:
    assert file.scores is not None
    ((members,), fmt) = kind.sets((file,), clock)
    grouping = common_groups(file)
    kind.warn(grouping, (file,), options)
    how: dict[str, Any] = {
        "groups": None if grouping is None else grouping.codes_a, "metric": options.metric,
        "fmt": fmt, "score_threshold": options.score_threshold,
        "max_output": options.max_output, "max_total": options.max_total,
    }  # fmt: skip
    kept: Integers
    scores: Floats
    with clock.stage(LOADING):
        hard, soft = fastiou.nms, fastiou.soft_nms
    with clock.stage("suppressing"), refusals():
        if options.method == "hard":
            kept = hard(members, file.scores, options.threshold, **how)
            scores = file.scores[kept]
        else:
            how |= {"method": options.method, "sigma": options.sigma}
            kept, scores = soft(members, file.scores, options.threshold, **how)

    def describe() -> dict[str, str]:
        groups = kind.groups_described(grouping, (file,), options)
        facts = {kind.noun: kind.described(file, members), **kind.noted((file,))}
        return {**facts, "groups": groups}

    least = -math.inf if options.score_threshold is None else options.score_threshold
    below = int(np.count_nonzero(file.scores < least))
    names = {key_column(key): values[kept] for key, values in file.keys.items()}
    if file.ids is not None:
        names["id"] = file.ids[kept]
    return Kept(file.places(kept), scores, len(file), below, names, describe)


def _show_summary(
    kind: Members, kept: Kept, seconds: dict[str, float], options: NmsOptions
) -> None:
    # The best are taken after all others are suppressed, so that nobody knows which of them were.
    limits = {"--max-output": options.max_output, "--max-total": options.max_total}
    cut = "".join(f" or beyond {name}" for name, most in limits.items() if most is not None)
    left = kept.size - kept.below - len(kept)
    facts = {
        **kept.describe(),
        "method": SUPPRESSIONS[options.method].format(**vars(options)),
        "kept": with_share(len(kept), kept.size),
        "suppressed": with_share(left, kept.size) + cut,
    }
    if kept.below:
        facts["below score threshold"] = with_share(kept.below, kept.size)
    facts |= timing(seconds, "suppressing", kind.noun, kept.size)
    if options.out is not None:
        facts["written to"] = str(options.out)
    show_facts("fastiou nms", facts)
