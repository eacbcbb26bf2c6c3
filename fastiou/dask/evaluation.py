"""Evaluators over images, sequences and data frames in tasks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
from dask.delayed import Delayed, delayed

import fastiou
from fastiou.arrays.checks import whole_number
from fastiou.blocks import scoring
from fastiou.dask.graph import Graph, Key
from fastiou.dask.inputs import is_frame
from fastiou.runtime.words import described
from fastiou.tables.box_table import table_of_frame

__all__ = ["average_precision", "by_key", "evaluate"]

#: States of evaluators that one task adds up.
FAN_IN = 8


def evaluate(make: Callable[[], Any], updates: Iterable[Any]) -> Delayed:
    """Evaluate images, sequences or batches of them in tasks, and add up what each counted.

    Parameters
    ----------
    make
        Makes an evaluator of fastiou: its class, or a `functools.partial` of it with options, such
        as ``partial(fastiou.DetectionEvaluator, "voc")``.
    updates
        For each task the arguments of one `update`: a dict by name, or a tuple; or a Delayed that
        makes it.

    Returns
    -------
    Delayed
        What `compute` of an evaluator gives that has seen all.

    Raises
    ------
    TypeError, ValueError
        `make` makes no evaluator, or there are no updates.

    Examples
    --------
    >>> import fastiou.dask
    >>> boxes = [[1, 7, 0, 0, 10, 20]]
    >>> updates = [{"gt": boxes, "tracks": boxes, "sequence": name} for name in "ab"]
    >>> fastiou.dask.evaluate(fastiou.TrackingEvaluator, updates).compute()
    <TrackingMetrics: 2 sequences; HOTA 1.0000, MOTA 1.0000, IDF1 1.0000, IDSW 0>
    """
    evaluator = make() if callable(make) else make
    needed = ("update", "merge", "state", "compute")
    if not callable(make) or not all(hasattr(evaluator, name) for name in needed):
        raise TypeError(
            "make must make an evaluator, such as fastiou.DetectionEvaluator or a "
            f"functools.partial of it, got {described(make)}"
        )
    own = delayed(scoring.state_of, pure=True)
    states = [own(make, update) for update in updates]
    if not states:
        raise ValueError("updates must have some, got none")
    merge = delayed(scoring.merged, pure=True)
    while len(states) > FAN_IN:
        states = [merge(make, states[n : n + FAN_IN]) for n in range(0, len(states), FAN_IN)]
    return delayed(scoring.score_of, pure=True)(make, states)


def by_key(
    *frames: Any, by: str | Sequence[str | Sequence[str]], parts: int | None = None
) -> list[tuple[Delayed, ...]]:
    """Cut data frames into parts, so that rows with equal keys are in the same part.

    Parameters
    ----------
    *frames : dask data frames
        Rows in any order, over any partitions.
    by : str, or sequence
        The column that tells the image, or the columns; or, where they have other names in each
        frame, a sequence of them for each frame.
    parts : int, optional
        How many; by default as many as the frame with most partitions has.

    Returns
    -------
    list of tuples of Delayed
        For each part a data frame of pandas of each frame: what `evaluate` takes for updates.

    Raises
    ------
    TypeError, ValueError
        Something else than data frames of Dask, or a column that is not there.
    """
    names = [by] if isinstance(by, str) else list(by)
    of_each: list[list[str]] = [[str(name) for name in names]] * len(frames)
    if names and not isinstance(names[0], str):
        of_each = [[name] if isinstance(name, str) else list(name) for name in names]
    if not names or len(of_each) != len(frames):
        raise ValueError(f"by must name columns of {len(frames)} frames, got {described(by)}")
    for place, (frame, own) in enumerate(zip(frames, of_each, strict=True)):
        if not is_frame(frame):
            raise TypeError(f"frames[{place}] must be a data frame of Dask, got {described(frame)}")
        lacking = [name for name in own if name not in frame.columns]
        if lacking:
            raise ValueError(f"frames[{place}] has no column {lacking[0]}")
    count = max((frame.npartitions for frame in frames), default=1)
    if parts is not None:
        count = whole_number("parts", parts, lowest=1)
    pieces = [list(frame.to_delayed()) for frame in frames]
    graph = Graph([piece for own in pieces for piece in own], of_each, count)
    joined: list[list[Key]] = []
    for place, (frames_of_one, names_of_keys) in enumerate(zip(pieces, of_each, strict=True)):
        cut = functools.partial(scoring.rows_by_key, by=names_of_keys, parts=count)
        of_pieces = [
            graph.add_items(
                "rows", (place, n), graph.add("rows_by_key", (place, n), cut, piece.key), count
            )
            for n, piece in enumerate(frames_of_one)
        ]
        joined.append(
            [
                graph.add("concat", (place, part), pd.concat, list(rows))
                for part, rows in enumerate(zip(*of_pieces, strict=True))
            ]
        )
    return [tuple(map(graph.delayed, keys)) for keys in zip(*joined, strict=True)]


def average_precision(
    preds: Any, target: Any, *, parts: int | None = None, **options: Any
) -> Delayed:
    """Average precision of detections in data frames of Dask, split by images.

    Parameters
    ----------
    preds, target : dask data frames
        As `fastiou.average_precision` takes data frames, with a column that names the image.
    parts : int, optional
        As in `by_key`.
    **options
        As `fastiou.DetectionEvaluator` takes them.

    Returns
    -------
    Delayed
        Of a DetectionResult, with the bits that one machine gives.

    Raises
    ------
    TypeError, ValueError
        As `fastiou.DetectionEvaluator`; a frame without a column of images.
    """
    make = functools.partial(fastiou.DetectionEvaluator, **options)
    make()
    names = []
    for name, frame in (("preds", preds), ("target", target)):
        if not is_frame(frame):
            raise TypeError(f"{name} must be a data frame of Dask, got {described(frame)}")
        table = table_of_frame(name, frame._meta, options.get("fmt"), None)
        if "image" not in table.key_columns:
            raise ValueError(f"{name} must have a column that names the image, such as image_id")
        names.append([next(iter(table.key_columns["image"]))])
    return evaluate(make, by_key(preds, target, by=names, parts=parts))
