"""Scores of trackers, from files: HOTA, CLEAR and Identity of a sequence."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from bench.contenders import Array, Call, Contender, Workload, read_bound

__all__ = ["TRACK_WORKLOADS"]

#: How many walk through the picture at any time.
PEOPLE = 40

#: What all libraries must agree on.
SCORES = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1")


class Sequence:
    """Files of one sequence, which are there as long as this is."""

    def __init__(self, gt: str, tracks: str) -> None:
        folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, folder)
        self.gt, self.tracks = folder / "gt.txt", folder / "tracks.txt"
        self.gt.write_text(gt)
        self.tracks.write_text(tracks)


def sequence(size: int) -> Sequence:
    """`size` frames of 40 people; a tracker misses a tenth, and loses one of 50 in each frame."""
    rng = np.random.default_rng(size)
    places = rng.uniform(0, 1800, (PEOPLE, 2))
    steps = rng.normal(0, 3, (PEOPLE, 2))
    sides = rng.uniform(30, 90, PEOPLE)
    tracks = np.arange(PEOPLE)
    gt, found = [], []
    for frame in range(1, size + 1):
        places += steps
        steps[(places < 0) | (places > 1800)] *= -1
        lost = rng.random(PEOPLE) < 0.02
        tracks[lost] = tracks.max() + 1 + np.arange(np.count_nonzero(lost))
        boxes = np.column_stack([places, sides, 2.5 * sides]).round()
        near = boxes + rng.normal(0, 0.06, boxes.shape) * sides[:, None]
        for person, box in enumerate(boxes):
            gt.append((frame, person + 1, *box, 1, 1, 1))
            if rng.random() < 0.9:
                found.append((frame, tracks[person] + 1, *near[person].round(2), 1, -1, -1, -1))
    return Sequence(
        *("".join(",".join(map("{:g}".format, row)) + "\n" for row in rows) for rows in (gt, found))
    )


def _fastiou(scene: Sequence) -> Call:
    import fastiou

    return lambda: fastiou.tracking_metrics(scene.gt, scene.tracks)


def _scores(result: Any) -> Array:
    return np.array([result[name] for name in SCORES])


def _trackers(scene: Sequence) -> Call:
    from trackers.eval import evaluate_mot_sequence

    metrics = ["HOTA", "CLEAR", "Identity"]
    return lambda: evaluate_mot_sequence(scene.gt, scene.tracks, metrics)


def _scores_of_trackers(result: Any) -> Array:
    parts = (result.HOTA, result.CLEAR, result.Identity)
    return np.array(
        [next(getattr(part, name) for part in parts if hasattr(part, name)) for name in SCORES]
    )


TRACK_WORKLOADS: dict[str, Workload] = {
    "tracking": Workload(
        "Scores of trackers: HOTA, CLEAR and Identity, from files",
        "frames",
        sequence,
        (100, 1_000),
        {
            "fastiou": Contender(_fastiou, _scores),
            "read": read_bound(
                lambda scene: [np.fromfile(path, np.uint8) for path in (scene.gt, scene.tracks)]
            ),
            "trackers": Contender(_trackers, _scores_of_trackers),
        },
        1e-12,
        (100,),
        ("boxes", lambda size: PEOPLE * size),
        "Each frame has 40 boxes of truth and 36 of a tracker. The package trackers has a port of "
        "TrackEval's code.",
        ("tracking_metrics",),
    )
}
