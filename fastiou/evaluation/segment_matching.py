"""Segments of one image, matched by the rules of COCO's panoptic evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastiou.runtime.words import described
from fastiou.segmentation.labels import count_pairs, label_areas
from fastiou.typing import Array

__all__ = ["MatchedSegments", "Segments", "match_segments", "segments_of"]


#: The id of pixels that belong to no segment.
VOID = 0


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
    if areas.shape != ids.shape or (areas < 0).any() or np.isinf(areas).any():
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
    ids, areas, pred_numbers = label_areas(cols, counts)
    behind = int(len(ids) > 0 and ids[0] == VOID)
    order = np.argsort(found.ids)
    if not np.array_equal(found.ids[order], ids[behind:]):
        _refuse_ids(found.ids, ids[behind:])
    # From here on the predicted segments are in the order of their ids.
    areas, pred_numbers, categories = areas[behind:], pred_numbers - behind, found.categories[order]
    size = len(areas)
    on_void = np.flatnonzero((rows == VOID) & (pred_numbers >= 0))
    forgiven = np.zeros(size)
    forgiven[pred_numbers[on_void]] = counts[on_void]

    true_order = np.argsort(truth.ids)
    true_ids = truth.ids[true_order]
    places = np.searchsorted(true_ids, rows)
    is_known = places < len(true_ids)
    is_known[is_known] = true_ids[places[is_known]] == rows[is_known]
    is_known &= pred_numbers >= 0
    true_areas = truth.areas
    if np.isnan(true_areas).any():
        true_areas = _areas_by_pixels(truth, rows, counts)
    own = np.flatnonzero(is_known)
    true_numbers, pred_numbers, shared = true_order[places[own]], pred_numbers[own], counts[own]

    same = truth.categories[true_numbers] == categories[pred_numbers]
    fits = np.flatnonzero(same & ~truth.crowds[true_numbers])
    one, other = true_numbers[fits], pred_numbers[fits]
    unions = areas[other] + true_areas[one] - shared[fits] - forgiven[other]
    if (unions <= 0).any():
        first = one[unions <= 0][0]
        raise ValueError(
            f"true_segments tells the area {true_areas[first]:g} of the segment "
            f"{truth.ids[first]}, which has more pixels"
        )
    ious = shared[fits] / unions
    hits = ious > 0.5
    matched, ious = truth.categories[one[hits]], ious[hits]
    is_missed = ~truth.crowds
    is_missed[one[hits]] = False
    is_spurious = np.ones(size, np.bool_)
    is_spurious[other[hits]] = False

    if truth.crowds.any():
        crowds = np.flatnonzero(truth.crowds)
        last = dict(zip(truth.categories[crowds].tolist(), crowds.tolist(), strict=True))
        forgives = np.zeros(len(truth.ids), np.bool_)
        forgives[list(last.values())] = True
        on_crowd = np.flatnonzero(same & forgives[true_numbers])
        forgiven += np.bincount(pred_numbers[on_crowd], weights=shared[on_crowd], minlength=size)
    is_spurious &= forgiven / areas <= 0.5
    return MatchedSegments(matched, ious, categories[is_spurious], truth.categories[is_missed])


def _areas_by_pixels(truth: Segments, rows: Array, counts: Array) -> Array:
    """The areas of the truth, counted where they are not told."""
    ids, areas, _ = label_areas(rows, counts)
    pixels = dict(zip(ids.tolist(), areas.tolist(), strict=True))
    counted = np.array([pixels.get(number, 0.0) for number in truth.ids.tolist()])
    return np.where(np.isnan(truth.areas), counted, truth.areas)


def _refuse_ids(told: Array, occurring: Array) -> None:
    """Raise the error that tells which segment of the prediction has no pixels, or no entry."""
    unknown = sorted(set(occurring.tolist()) - set(told.tolist()))
    if unknown:
        raise ValueError(
            f"pred has pixels of the segment {unknown[0]}, which pred_segments does not have"
        )
    absent = sorted(set(told.tolist()) - set(occurring.tolist()))
    raise ValueError(f"pred_segments has the segment {absent[0]}, of which pred has no pixels")
