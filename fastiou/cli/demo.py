"""The work of `fastiou demo`: a scene of a street camera with tracked people and a detector."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou.cli.match import match_files
from fastiou.cli.options import MatchOptions
from fastiou.cli.outputs import write_mot

__all__ = ["Scene", "Track", "make_scene", "show_scene", "write_scene"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# The camera looks along a street: who stands lower in the picture is nearer and larger.
WIDTH, HEIGHT = 1920, 1080
HORIZON = 380
RATE = 30
#: Height of a person in pixels for each pixel that the feet are below the horizon.
SLOPE = 0.6
STATURE = 1.7

#: People in the picture at a time, on average.
CROWD = 30
#: Share of people who walk beside the one before.
COMPANIONS = 0.35

#: Standard deviation of a detected box, and of a duplicate of it, as a share of its size.
JITTER, DUPLICATE_JITTER = 0.045, 0.11
DUPLICATES = 0.04
#: False alarms in a frame, on average.
ALARMS = 1.5


@dataclass(frozen=True, eq=False)
class Track:
    """Boxes of a sequence, one row each.

    Attributes
    ----------
    frames : array of int64
        From 1.
    ids : array of int64
        Who it is, from 1; -1 where nobody knows.
    boxes : array of float64, shape (N, 4)
        In pixels, xywh.
    scores : array of float64
        Confidence, 0 to 1.
    """

    frames: Integers
    ids: Integers
    boxes: Floats
    scores: Floats


@dataclass(frozen=True, eq=False)
class Scene:
    """What happened, and what a detector saw of it."""

    truth: Track
    detections: Track


def make_scene(frames: int = 3000, seed: int = 0) -> Scene:
    """Make up a scene.

    Parameters
    ----------
    frames
        Length of the sequence; 30 make a second.
    seed
        Equal seeds make equal scenes.

    Returns
    -------
    Scene

    Examples
    --------
    >>> from fastiou.cli.demo import make_scene
    >>> scene = make_scene(frames=10)
    >>> scene.truth.boxes.shape[1], int(scene.truth.frames.max())
    (4, 10)
    """
    rng = np.random.default_rng(seed)
    truth = _walk(rng, frames)
    return Scene(truth, _detect(rng, truth, frames))


def _feet(depths: Floats) -> Floats:
    """How far below the horizon somebody stands: depth 0 is far away, 1 close by."""
    return (HEIGHT - HORIZON) * (0.12 + 0.95 * depths)


def _walk(rng: np.random.Generator, frames: int) -> Track:
    """People who enter on one side, cross the street and leave on the other."""
    # The average crossing takes about 400 frames; people already under way at the start count too.
    people = round(CROWD * (frames + 400) / 400)
    numbers = np.arange(people)
    leaders = np.maximum.accumulate(np.where(rng.random(people) < COMPANIONS, 0, numbers))
    feet = _feet(rng.beta(1.3, 1.7, people))[leaders] * rng.normal(1, 0.02, people)
    statures = STATURE * rng.normal(1, 0.06, people)
    metre = SLOPE * feet / STATURE  # in pixels, where they walk
    speeds = rng.normal(1.35, 0.25, people).clip(0.6, 2.2)[leaders] * metre / RATE
    directions = rng.choice([-1, 1], people)[leaders]
    lengths = np.ceil((WIDTH + 2 * metre) / speeds).astype(np.int64)
    starts = np.floor(rng.uniform(1 - lengths, frames))[leaders].astype(np.int64)
    starts += rng.integers(-10, 11, people)
    starts[0] = min(starts[0], 1)
    lengths[0] = max(lengths[0], 2 - starts[0])
    drifts = rng.normal(0, 0.25, people)
    phases = rng.uniform(0, 2 * np.pi, (3, people))

    # One row for each frame that a person is in the picture, all people at once.
    first = np.maximum(starts, 1)
    counts = np.maximum(np.minimum(starts + lengths - 1, frames) - first + 1, 0)
    who = np.repeat(numbers, counts)
    row_of_first = np.repeat(np.cumsum(counts) - counts, counts)
    when = first[who] + np.arange(len(who)) - row_of_first
    age = when - starts[who]

    seconds = age / RATE
    steps = 2 * np.pi * 0.9 * seconds + phases[0, who]
    nearer = 1 + drifts[who] * (age / lengths[who] - 0.5)
    nearer += 0.03 * np.sin(0.5 * seconds + phases[1, who])
    below = feet[who] * nearer
    heights = SLOPE * below * statures[who] / STATURE * (1 + 0.01 * np.sin(2 * steps))
    widths = heights * (0.36 + 0.08 * np.abs(np.sin(steps)))
    travelled = speeds[who] * age - metre[who]
    travelled += 0.2 * metre[who] * np.sin(0.7 * seconds + phases[2, who])
    centres = np.where(directions[who] > 0, travelled, WIDTH - travelled)
    boxes = np.stack([centres - widths / 2, HORIZON + below - heights, widths, heights], axis=1)
    return Track(when, who + 1, boxes.round(), np.ones(len(who)))


def _detect(rng: np.random.Generator, truth: Track, frames: int) -> Track:
    """Misses, jitter, duplicates and false alarms."""
    heights = truth.boxes[:, 3]
    seen = rng.random(len(heights)) > 0.04 + 0.4 * np.exp(-heights / 60)
    doubled = seen & (rng.random(len(heights)) < DUPLICATES)
    hits = _jittered(rng, truth.boxes[seen], JITTER)
    duplicates = _jittered(rng, truth.boxes[doubled], DUPLICATE_JITTER)

    alarm_frames = np.repeat(np.arange(1, frames + 1), rng.poisson(ALARMS, frames))
    count = len(alarm_frames)
    below = _feet(rng.beta(1.3, 1.7, count))
    alarm_heights = SLOPE * below * rng.uniform(0.5, 1.3, count)
    alarm_widths = alarm_heights * rng.uniform(0.3, 0.8, count)
    lefts = rng.uniform(0, WIDTH, count) - alarm_widths / 2
    alarms = np.stack([lefts, HORIZON + below - alarm_heights, alarm_widths, alarm_heights], axis=1)

    found = np.concatenate([truth.frames[seen], truth.frames[doubled], alarm_frames])
    boxes = np.concatenate([hits, duplicates, alarms])
    scores = np.concatenate(
        [
            rng.beta(9, 1.5, len(hits)),
            rng.beta(4, 3, len(duplicates)),
            rng.beta(2, 4, count),
        ]
    )
    # Detectors report a frame at a time, best first.
    order = np.lexsort([-scores, found])
    return Track(found[order], np.full(len(found), -1), boxes[order], scores[order])


def _jittered(rng: np.random.Generator, boxes: Floats, share: float) -> Floats:
    sizes: npt.NDArray[Any] = boxes[:, [2, 3, 2, 3]]
    moved = boxes + share * sizes * rng.standard_normal(boxes.shape)
    moved[:, 2:] = moved[:, 2:].clip(1)
    return moved


def write_scene(scene: Scene, folder: Path) -> tuple[Path, Path]:
    """Write a scene as two files of MOT text.

    Parameters
    ----------
    scene
        What to write.
    folder
        Where to.

    Returns
    -------
    tuple of Path
        The files with the truth and with the detections.
    """
    paths = folder / "truth.txt.gz", folder / "detections.txt.gz"
    for path, track in zip(paths, (scene.truth, scene.detections), strict=True):
        write_mot(path, track.frames, track.ids, track.boxes, track.scores)
    return paths


def show_scene(frames: int, seed: int, keep: Path | None, options: MatchOptions) -> None:
    """Make up a scene, and match detections with truth.

    Parameters
    ----------
    frames, seed
        As `make_scene`.
    keep
        Folder to keep the two files in, made where there is none.
    options
        Of the match.
    """
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    with nullcontext(keep) if keep is not None else tempfile.TemporaryDirectory() as folder:
        truth, detections = write_scene(make_scene(frames, seed), Path(folder))
        match_files(truth, detections, options)
