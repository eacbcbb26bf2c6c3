"""Segments of one image, matched by the rules of COCO's panoptic evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastiou.evaluation.segment_kernels import (
    ABSENT,
    LAST_CROWD,
    MATCH_SEGMENTS,
    TOO_SMALL,
    UNKNOWN,
    VOID,
)
from fastiou.runtime.words import described
from fastiou.segmentation.labels import count_pairs
from fastiou.typing import Array

__all__ = ["MatchedSegments", "Segments", "match_segments", "segments_of"]


class Segments(NamedTuple):
    """What is told of the segments of an image, in the order in which it is told."""

    #: (S,) int64.
    ids: Array
    categories: Array
    #: (S,) bool.
    crowds: Array
    #: (S,) float64, NaN where it is not told.
    areas: Array


class MatchedSegments(NamedTuple):
    """What the scores of an image follow from."""

    #: (M,) int64 and float64: category and IoU of each match.
    matched: Array
    ious: Array
    #: (F,) and (Q,) int64: categories of the false positives, and of the false negatives.
    spurious: Array
    missed: Array


# ---- what is told ------------------------------------------------------------------------------


def segments_of(name: str, value: Any) -> Segments:
    """A list of segments as COCO has them: dicts with id, category_id, iscrowd and area.

    Raises
    ------
    TypeError
        Not a list of dicts with integers.
    ValueError
        A key is missing, an id comes twice or is no positive integer, or an area is no number of
        pixels.
    """
    if isinstance(value, Mapping) or not hasattr(value, "__len__") or isinstance(value, str):
        raise TypeError(f"{name} must be a list of dicts, got {described(value)}")
    for segment in value:
        if type(segment) is not dict and not isinstance(segment, Mapping):
            raise TypeError(f"{name} must hold dicts, got {described(segment)}")
    columns = []
    for key, missing in (("id", None), ("category_id", None), ("iscrowd", 0)):
        numbers = [segment.get(key, missing) for segment in value]
        column = np.array(numbers)
        if not len(column):
            column = column.astype(np.int64)
        if column.dtype.kind not in "bi" or column.ndim != 1:
            _refuse(name, key, numbers)
        columns.append(column.astype(np.int64, copy=False))
    ids, categories, crowds = columns
    told = [segment.get("area") for segment in value]
    try:
        areas = np.array([math.nan if area is None else area for area in told], np.float64)
    except (TypeError, ValueError):
        areas = np.empty(0)
    is_told = not np.isnan(areas).any() or np.isnan(areas).sum() == told.count(None)
    if areas.shape != ids.shape or (areas < 0).any() or np.isinf(areas).any() or not is_told:
        _refuse(name, "area", told)
    if len(ids) and ids.min() <= VOID:
        raise ValueError(
            f"{name} must have ids above 0, which is for pixels without a segment, got {ids.min()}"
        )
    if len(set(ids.tolist())) < len(ids):
        known, counts = np.unique(ids, return_counts=True)
        raise ValueError(f"{name} has the id {known[counts > 1][0]} twice")
    if ((crowds != 0) & (crowds != 1)).any():
        _refuse(name, "iscrowd", crowds.tolist())
    return Segments(ids, categories, crowds != 0, areas)


def _refuse(name: str, key: str, values: list[Any]) -> None:
    """Raise the error that tells which value of a key is none."""
    accepted = {"iscrowd": "0 or 1", "area": "a number of pixels"}.get(key, "an integer")
    for position, value in enumerate(values):
        if value is None and key != "area":
            raise ValueError(
                f"{name} must have {key} for each segment, segment {position} has none"
            )
        if key == "area":
            fine = value is None or (
                isinstance(value, int | float | np.number) and 0 <= value < math.inf
            )
        else:
            fine = isinstance(value, int | np.integer | np.bool_) and -(2**63) <= value < 2**63
            fine = fine and (key != "iscrowd" or value in (0, 1))
        if not fine:
            kind = ValueError if isinstance(value, int | float | np.number) else TypeError
            raise kind(
                f"{name} must have {accepted} as {key}, got {described(value)} in segment "
                f"{position}"
            )
    raise TypeError(f"{name} must have {accepted} as {key} of each segment")


# ---- matches -----------------------------------------------------------------------------------


def match_segments(true: Array, pred: Array, truth: Segments, found: Segments) -> MatchedSegments:
    """Match the segments of two images of ids.

    A pair of one category matches where it shares more than half of its union, without the part of
    the prediction that lies on void. A false positive is forgiven where more than half of it lies
    on void, and on the last crowd of its category.

    Parameters
    ----------
    true, pred
        Images of ids, of one shape.
    truth, found
        The segments of both.

    Raises
    ------
    ValueError
        The pixels of the prediction have other ids than its segments; or the truth tells an area
        that its segments cannot have.
    """
    rows, cols, counts = count_pairs(true, pred)
    if np.uint64 in (rows.dtype, cols.dtype):
        raise ValueError("target and pred must hold ids below 2**63")
    order1, order2 = np.argsort(truth.ids), np.argsort(found.ids)
    true_categories, pred_categories = truth.categories[order1], found.categories[order2]
    ids = found.ids[order2]
    matched, ious = np.empty(len(counts), np.int64), np.empty(len(counts))
    is_missed, is_spurious = np.empty(len(order1), np.bool_), np.empty(len(order2), np.bool_)
    count, fault, place = MATCH_SEGMENTS.serial(
        (rows, cols, counts),
        (truth.ids[order1], true_categories, _crowds_of(truth)[order1], truth.areas[order1]),
        (ids, pred_categories),
        (matched, ious, is_missed, is_spurious),
    )
    if fault == UNKNOWN:
        raise ValueError(
            f"pred has pixels of the segment {place}, which pred_segments does not have"
        )
    if fault == ABSENT:
        raise ValueError(f"pred_segments has the segment {ids[place]}, of which pred has no pixels")
    if fault == TOO_SMALL:
        number = order1[place]
        raise ValueError(
            f"target_segments tells the area {truth.areas[number]:g} of the segment "
            f"{truth.ids[number]}, which has more pixels"
        )
    return MatchedSegments(
        matched[:count], ious[:count], pred_categories[is_spurious], true_categories[is_missed]
    )


def _crowds_of(truth: Segments) -> Array:
    """Which segments are crowds, and which of these the last of their category."""
    kinds = truth.crowds.astype(np.int64)
    if truth.crowds.any():
        crowds = np.flatnonzero(truth.crowds)
        last = dict(zip(truth.categories[crowds].tolist(), crowds.tolist(), strict=True))
        kinds[list(last.values())] = LAST_CROWD
    return kinds
