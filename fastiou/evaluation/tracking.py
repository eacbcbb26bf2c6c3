"""Scores of trackers of several objects: HOTA, CLEAR and Identity, with TrackEval's digits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.arrays.checks import check_choice, whole_number
from fastiou.evaluation.evaluator import Evaluator
from fastiou.evaluation.paired_images import is_path
from fastiou.evaluation.tracking_folders import (
    frames_told,
    sequence_name,
    sequences_in,
)
from fastiou.evaluation.tracking_input import DISTRACTORS, TrackColumns, read_columns
from fastiou.evaluation.tracking_result import METRICS, TrackingMetrics, result_of
from fastiou.evaluation.tracking_sequence import SequenceCounts, count_sequence
from fastiou.formats.errors import FileError
from fastiou.runtime.distinct import distinct
from fastiou.runtime.words import described
from fastiou.tables.grouping import alone_in_each
from fastiou.tables.scales import Scale, scales_apart
from fastiou.tables.words import in_python
from fastiou.typing import Array

__all__ = ["TrackingEvaluator", "tracking_metrics"]

#: What a single sequence is called where nothing tells.
UNNAMED = "sequence"

#: Frames within which truth and tracks may have none in common by chance, as a box that a tracker
#: sees where there is none. One of 3,000 random scenes of 1 to 14 frames was like that.
BY_CHANCE = 100


class TrackingEvaluator(Evaluator):
    """Scores trackers of several objects, one sequence at a time.

    Each sequence is counted at once, and takes 1.2 kB from then on. Evaluators of other processes
    can be merged, in any order: the scores have the bits that one process has.

    Parameters
    ----------
    metrics : str or sequence of str
        Those of "HOTA", "CLEAR" and "Identity" that are wanted.
    benchmark : {"mot17", "mot20"} or None
        Whose rules decide which boxes count. Both score pedestrians (class 1): other classes of the
        truth do not count, and tracks on persons on vehicles, static persons, distractors and
        reflections are left out, in MOT20 on vehicles without motor, too. With None nothing is
        left out but truth that is marked by a confidence of 0.

    Raises
    ------
    ValueError
        An unknown metric or benchmark.

    Examples
    --------
    >>> import fastiou
    >>> evaluator = fastiou.TrackingEvaluator(metrics=("CLEAR", "Identity"))
    >>> truth = [[1, 7, 0, 0, 10, 20], [2, 7, 2, 0, 10, 20]]
    >>> evaluator.update(truth, [[1, 1, 0, 0, 10, 20], [2, 1, 2, 0, 10, 20]], sequence="a")
    >>> evaluator.update(truth, [[1, 1, 0, 0, 10, 20], [2, 5, 2, 0, 10, 20]], sequence="b")
    >>> print(evaluator.compute().summary())
    sequence    MOTA    IDF1  IDSW  CLR_FP  CLR_FN
    a         1.0000  1.0000     0       0       0
    b         0.5000  0.5000     1       0       0
    COMBINED  0.7500  0.7500     1       0       0
    """

    def __init__(
        self, metrics: str | Sequence[str] = METRICS, benchmark: str | None = None
    ) -> None:
        chosen = (metrics,) if isinstance(metrics, str) else tuple(metrics)
        for metric in chosen:
            check_choice("metrics", metric, METRICS)
        if not chosen:
            raise ValueError(f"metrics must be some of {', '.join(METRICS)}, got none")
        if benchmark is not None:
            check_choice("benchmark", benchmark, DISTRACTORS)
        self._metrics = tuple(metric for metric in METRICS if metric in chosen)
        self._benchmark = benchmark
        self.reset()

    def reset(self) -> None:
        """Forget all that was counted so far; the options stay."""
        self._counts: dict[str, SequenceCounts] = {}

    def __repr__(self) -> str:
        rules = "" if self._benchmark is None else f" by {self._benchmark}"
        return (
            f"<TrackingEvaluator: {', '.join(self._metrics)}{rules}; "
            f"{len(self._counts):,} sequence{'' if len(self._counts) == 1 else 's'}>"
        )

    def update(
        self, gt: Any, tracks: Any, sequence: str | None = None, *, frames: int | None = None
    ) -> None:
        """Add a sequence.

        Parameters
        ----------
        gt, tracks : path, array_like of shape (N, 6) or wider, or data frame
            The truth and the tracks: a box a row, in any order, as (frame, id, x, y, w, h, conf,
            class, visibility), of which the last three may be missing. x and y are the upper left
            corner. A file is text of MOTChallenge, with or without gzip, or any other that `read`
            reads with frames and ids. `conf` of the truth is 0 where a box does not count; that of
            tracks is not used.
        sequence
            Its name, by which it is known in results; by default that of the file `gt`.
        frames
            How many frames it has. By default as seqinfo.ini beside the folder of gt.txt tells,
            else up to the last frame with a box. Only Frames, CLR_Frames and FP_per_frame depend on
            it.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        TypeError, ValueError
            What cannot be used, with the argument or the file, and the row; an id twice in a frame;
            a sequence that was added before.
        """
        try:
            self._add(gt, tracks, sequence, frames)
        except FileError as error:
            raise ValueError(in_python(str(error))) from None

    def compute(self) -> TrackingMetrics:
        """The scores of all sequences, and of each.

        Returns
        -------
        TrackingMetrics

        Raises
        ------
        ValueError
            There is no sequence yet.
        """
        if not self._counts:
            raise ValueError("there is no sequence to score: update adds one")
        return result_of(self._counts, self._metrics)

    # ---- parts ---------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        return {"metrics": self._metrics, "benchmark": self._benchmark}

    def _counted(self) -> dict[str, Array]:
        names = sorted(self._counts)
        parts = [self._counts[name] for name in names]
        empty = SequenceCounts(
            np.zeros((7, 19)), np.zeros(9, np.int64), 0.0, np.zeros(3, np.int64),
            np.zeros(5, np.int64),
        )  # fmt: skip
        columns = zip(SequenceCounts._fields, zip(*(parts or [empty]), strict=True), strict=True)
        stacked = {name: np.stack(column)[: len(parts)] for name, column in columns}
        return {"sequences": np.array(names, dtype=np.str_), **stacked}

    def _take_in(self, name: str, state: Mapping[str, Any]) -> None:
        columns = [state[part] for part in SequenceCounts._fields]
        for sequence, *parts in zip(state["sequences"], *columns, strict=True):
            _check_new(str(sequence), self._counts)
            hota, clear, motp_sum, identity, counts = (np.array(part) for part in parts)
            self._counts[str(sequence)] = SequenceCounts(
                hota, clear, float(motp_sum), identity, counts
            )

    def _add(self, gt: Any, tracks: Any, sequence: str | None, frames: int | None) -> None:
        name = sequence
        if name is None:
            if not is_path(gt):
                raise ValueError("sequence must be given where gt is no file: a name for it")
            name = sequence_name(Path(gt))
        if not isinstance(name, str):
            raise TypeError(f"sequence must be a string, got {described(name)}")
        _check_new(name, self._counts)
        for side in filter(is_path, (gt, tracks)):
            if not Path(side).exists():
                raise FileNotFoundError(f"{Path(side)}: no such file")
        truth = read_columns("gt", gt, self._benchmark)
        found = read_columns("tracks", tracks, self._benchmark)
        count = _frame_count(truth, found, frames)
        _check_frames(truth, found)
        one, other = (Scale(side.rows[:, 2:6], "xywh") for side in (truth, found))
        remedy = "sizes of images make pixels of them"
        apart = scales_apart(one, other, ("gt", "tracks"), remedy)
        if apart is not None and apart[1] < 0.5:
            raise ValueError(apart[0])
        self._counts[name] = count_sequence(truth, found, self._metrics, self._benchmark, count)


def _check_new(name: str, known: Mapping[str, object]) -> None:
    if name in known:
        raise ValueError(f"the sequence {name!r} was added before")


def _check_frames(truth: TrackColumns, tracks: TrackColumns) -> None:
    """Refuse tracks of other frames than the truth, and tell of those that count from 0 alone."""
    if not len(truth) or not len(tracks):
        return
    known, theirs = distinct(truth.frames), distinct(tracks.frames)
    if np.isin(theirs, known).any():
        apart = np.setdiff1d(known, theirs), np.setdiff1d(theirs, known)
        told = alone_in_each("frame", apart, ("gt", "tracks"))
        if told:
            warnings.warn(told, stacklevel=4)
        return
    both = np.concatenate([truth.frames, tracks.frames])
    if np.ptp(both) >= BY_CHANCE:
        expected = f"a frame of the truth, such as {truth.frames[0]}: no frame is in common"
        raise tracks.error(0, f"frame {tracks.frames[0]}", expected)


def _frame_count(truth: TrackColumns, tracks: TrackColumns, given: int | None) -> int:
    """How many frames a sequence has. They begin at 1, or at 0 if there is a frame 0."""
    frames = np.concatenate([truth.frames, tracks.frames])
    first = 0 if len(frames) and frames.min() == 0 else 1
    last = int(frames.max(initial=0))
    told, where = given, "frames"
    if given is not None:
        told = whole_number("frames", given, lowest=0)
    elif truth.path is not None:
        told, where = frames_told(truth.path), "seqLength in seqinfo.ini"
    if told is None:
        return last + 1 - first
    for side in (truth, tracks):
        beyond = side.frames >= told + first
        if beyond.any():
            row = int(np.argmax(beyond))
            raise side.error(
                row, f"frame {side.frames[row]}", f"a frame up to {told + first - 1} ({where})"
            )
    return told


def tracking_metrics(
    gt: Any,
    tracks: Any = None,
    metrics: str | Sequence[str] = METRICS,
    benchmark: str | None = None,
    *,
    frames: int | Mapping[str, int] | None = None,
) -> TrackingMetrics:
    """Score the tracks of several objects: HOTA, CLEAR (MOTA) and Identity (IDF1).

    The scores are those of TrackEval, to the last digits, and the counts are the same. What they
    mean, and which of them to report, is told in ``docs/tracking.md``.

    Parameters
    ----------
    gt, tracks : path, array_like of shape (N, 6) or wider, data frame, or dict of these
        The truth and the tracks of one sequence, as in `TrackingEvaluator.update`. Of several
        sequences: two dicts by the names of sequences; one dict of pairs (gt, tracks), and no
        `tracks`; or two folders, `gt` with SEQ/gt/gt.txt or SEQ.txt for each sequence SEQ, and
        `tracks` with SEQ.txt. Tracks without truth are left aside.
    metrics : str or sequence of str
        Those of "HOTA", "CLEAR" and "Identity" that are wanted.
    benchmark : {"mot17", "mot20"} or None
        Whose rules decide which boxes count, as in `TrackingEvaluator`.
    frames : int or dict of str to int, optional
        How many frames the sequence has, or each has.

    Returns
    -------
    TrackingMetrics
        The scores of all sequences together, and in `sequences` of each.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    TypeError, ValueError
        What cannot be used, with the argument or the file, and the row; an id twice in a frame.

    Examples
    --------
    >>> import fastiou
    >>> truth = [[1, 7, 0, 0, 10, 20], [2, 7, 2, 0, 10, 20], [3, 7, 4, 0, 10, 20]]
    >>> found = [[1, 1, 0, 0, 10, 20], [2, 1, 2, 0, 10, 20], [3, 2, 4, 0, 10, 20]]
    >>> result = fastiou.tracking_metrics(truth, found)
    >>> print(f"{result.HOTA:.3f} {result.MOTA:.3f} {result.IDF1:.3f} {result.IDSW}")
    0.745 0.667 0.667 1
    >>> both = {"a": (truth, found), "b": (truth, truth)}
    >>> print(fastiou.tracking_metrics(both, metrics="Identity").summary())
    sequence    IDF1
    a         0.6667
    b         1.0000
    COMBINED  0.8333
    """
    evaluator = TrackingEvaluator(metrics, benchmark)
    pairs = _told_pairs(gt, tracks)
    if isinstance(frames, Mapping):
        unknown = [name for name in frames if name not in pairs]
        if unknown:
            raise ValueError(f"frames names the sequence {unknown[0]!r}, which is not there")
    for name, (truth, found) in pairs.items():
        count = frames.get(name) if isinstance(frames, Mapping) else frames
        evaluator.update(truth, found, name, frames=count)
    return evaluator.compute()


def _told_pairs(gt: Any, tracks: Any) -> dict[str, tuple[Any, Any]]:
    """The truth and the tracks of each sequence."""
    if isinstance(gt, Mapping) and tracks is None:
        for name, pair in gt.items():
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise ValueError(
                    f"gt[{name!r}] must be a pair (gt, tracks) where tracks is not given, got "
                    f"{described(pair)}"
                )
        return {name: (pair[0], pair[1]) for name, pair in gt.items()}
    if isinstance(gt, Mapping) or isinstance(tracks, Mapping):
        if not (isinstance(gt, Mapping) and isinstance(tracks, Mapping)):
            raise TypeError("gt and tracks must both be dicts of sequences, or neither")
        for side, other, names in (("gt", "tracks", gt), ("tracks", "gt", tracks)):
            lone = [name for name in names if name not in (tracks if other == "tracks" else gt)]
            if lone:
                raise ValueError(f"{other} lacks the sequence {lone[0]!r}, which {side} has")
        return {name: (gt[name], tracks[name]) for name in gt}
    if tracks is None:
        raise TypeError("tracks must be given: a file, an array or a data frame")
    if is_path(gt) and is_path(tracks) and Path(gt).is_dir():
        try:
            return dict(sequences_in(Path(gt), Path(tracks)).files)
        except FileError as error:
            raise ValueError(str(error)) from None
    return {sequence_name(Path(gt)) if is_path(gt) else UNNAMED: (gt, tracks)}
