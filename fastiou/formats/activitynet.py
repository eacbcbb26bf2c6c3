"""ActivityNet's JSON: intervals of videos, as truth or as results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.formats.content import BoxFile, Wanted, chosen_keys
from fastiou.formats.errors import FileError, described, shortened
from fastiou.formats.json_objects import json_content

__all__ = ["is_activitynet", "read_activitynet"]

#: What is expected of a file, and of an interval.
CONTENT = 'an object with "database" or "results", which lists intervals by video'
SEGMENT = 'an object with "segment": [start, end], in seconds, and "label"'

#: What such files alone have at their root.
ROOT = re.compile(rb'"(database|results)"\s*:\s*\{')


def is_activitynet(data: bytes) -> bool:
    """Whether it is a JSON object with videos at its root, and intervals among what follows."""
    beginning = data[: 1 << 20]
    is_object = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    return is_object and b'"segment"' in beginning and ROOT.search(beginning) is not None


def read_activitynet(path: Path, data: bytes, wanted: Wanted) -> BoxFile:
    """Read the intervals of a file, with "image" for the video, "category" for the label."""
    content = json_content(path, data, CONTENT, {})
    videos = None
    if isinstance(content, dict):
        videos = content.get("results", content.get("database"))
    if not isinstance(videos, dict):
        raise FileError(path, described(content), CONTENT)
    is_truth = "results" not in content
    if is_truth and wanted.scored:
        raise FileError(path, 'a "database", which has no scores', '"results" with scores')
    segments: list[list[float]] = []
    names: list[str] = []
    labels: list[str] = []
    scores: list[float] = []
    for video, told in videos.items():
        listed = told.get("annotations", []) if is_truth and isinstance(told, dict) else told
        if not isinstance(listed, list):
            raise FileError(path, described(told), "a list of intervals", shortened(video))
        for number, entry in enumerate(listed):
            where = f"{shortened(video)}, interval {number}"
            segments.append(_segment(path, entry, where))
            names.append(video)
            label = entry.get("label")
            if type(label) is not str or not label.strip():
                raise FileError(path, f'"label": {described(label)}', SEGMENT, where)
            labels.append(label.strip())
            if not is_truth and wanted.takes_scores:
                score = entry.get("score")
                if type(score) not in (int, float):
                    raise FileError(path, f'"score": {described(score)}', "a number", where)
                scores.append(float(score))
    keys = {"image": np.array(names, np.str_), "category": np.array(labels, np.str_)}
    return BoxFile(
        path=path, format="activitynet", fmt="xx",
        keys={key: keys[key] for key in chosen_keys(path, keys, wanted.by)},
        boxes=np.array(segments, np.float64).reshape(-1, 2),
        scores=None if is_truth or not wanted.takes_scores else np.array(scores, np.float64),
        files={name: name for name in videos},
    )  # fmt: skip


def _segment(path: Path, entry: Any, where: str) -> list[float]:
    """Start and end of an interval."""
    segment = entry.get("segment") if isinstance(entry, dict) else None
    if not isinstance(segment, list) or len(segment) != 2:
        raise FileError(path, described(entry), SEGMENT, where)
    if not all(type(number) in (int, float) for number in segment):
        raise FileError(path, f'"segment": {described(segment)}', SEGMENT, where)
    return [float(number) for number in segment]
