"""Soft suppression, and suppression by torchvision's names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastiou.arrays.checks import check_choice
from fastiou.arrays.inputs import plain_array
from fastiou.relations import small
from fastiou.relations.nms import SIGMA, Names, suppress
from fastiou.relations.pairs import in_kind
from fastiou.runtime.progress import Progress
from fastiou.tables.box_table import BoxTable
from fastiou.tables.frames import Framed
from fastiou.tables.opened import USUAL, sourced
from fastiou.typing import Array

__all__ = ["SoftNMS", "batched_nms", "soft_nms"]


@dataclass(frozen=True, eq=False)
class SoftNMS(Framed):
    """What soft suppression keeps, by descending lowered score.

    Iterating gives `indices` and `scores`, so that they can be unpacked; `len` is the number kept.

    Attributes
    ----------
    indices : array of int64
        Positions in the set.
    scores : array
        The lowered score of each.
    source : BoxTable or None
        The table that the set was, if it was one.
    """

    indices: Any
    scores: Any
    source: ClassVar[BoxTable | None] = None

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.indices, self.scores))

    def to_numpy(self) -> tuple[Array, Array]:
        """What unpacking gives, as NumPy arrays, whatever library they are of."""
        indices, scores = (plain_array("result", part) for part in self)
        return indices, scores

    def columns(self) -> dict[str, Array]:
        """The columns of a data frame by name: indices, scores; of a table also its keys and id."""
        indices, scores = self.to_numpy()
        columns = {"indices": indices, "scores": scores}
        if self.source is not None:
            columns |= {key: values[indices] for key, values in self.source.keys.items()}
            if self.source.ids is not None:
                columns["id"] = self.source.ids[indices]
        return columns


def soft_nms(
    a: Any,
    scores: Any = None,
    threshold: float = 0.5,
    *,
    method: str = "linear",
    sigma: float = SIGMA,
    groups: Any = None,
    metric: str = "iou",
    fmt: str = USUAL,
    score_threshold: float | None = None,
    max_output: int | None = None,
    max_total: int | None = None,
    progress: bool | Progress = False,
) -> SoftNMS:
    """Lower the scores of members that overlap better ones: soft suppression (Bodla et al. 2017).

    Of each group the member with the highest score is taken, and then the scores of the others are
    lowered by how much they overlap it. Then the next one is taken. It is `nms` with one of its
    soft methods, and returns the lowered scores, too. Memory is proportional to the inputs.

    Parameters
    ----------
    a : array_like, shape (N, 4) or (N, 5), or masks
        Boxes, as in `box_iou`; or masks, as in `mask_iou`; or a table, as in `nms`.
    scores : array_like, shape (N,)
        How sure each is: finite numbers from 0 on. A table brings its own.
    threshold : float
        For "linear" alone: only those that score more with the one that is taken are lowered.
    method : {"linear", "gaussian"}
        "linear" multiplies the score of a member that scores ``v`` with the one that is taken by
        ``1 - v``, "gaussian" by ``exp(-v² / sigma)``.
    sigma : float
        For "gaussian", greater than 0: the larger, the less scores are lowered.
    groups, metric, fmt
        As in `nms`.
    score_threshold : float, optional
        Members are dropped once their lowered score is less. Without it, all are kept.
    max_output, max_total : int, optional
        Keep at most so many of each group, and of all groups together: the best.
    progress
        As in `pairs`.

    Returns
    -------
    SoftNMS
        The indices of those that are kept, and their lowered scores, descending; of equal scores
        the lowest index comes first. The scores are float32 where `scores` were float16, bfloat16
        or float32, else float64. Both are arrays of the library that `a` came from.

    Raises
    ------
    TypeError, ValueError
        As `nms`.

    Examples
    --------
    >>> import fastiou
    >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]]
    >>> indices, scores = fastiou.soft_nms(boxes, [0.8, 0.9, 0.1])
    >>> indices, scores.round(3)
    (array([1, 0, 2]), array([0.9, 0.2, 0.1]))
    >>> fastiou.soft_nms(boxes, [0.8, 0.9, 0.1], method="gaussian", score_threshold=0.15).indices
    array([1, 0])
    """
    check_choice("method", method, ("linear", "gaussian"))
    found = suppress(
        Names(), a, scores, threshold, groups, metric, fmt, method, sigma, score_threshold,
        max_output, max_total, "auto", progress, stay_on_gpu=True,
    )  # fmt: skip
    lowered = found.scores
    if isinstance(lowered, np.ndarray):
        single = found.given_scores.dtype.kind == "f" and found.given_scores.itemsize <= 4
        lowered = lowered.astype(np.float32 if single else np.float64)
    kept = SoftNMS(in_kind(found.indices, [found.set1]), in_kind(lowered, [found.set1]))
    return sourced(kept, found.table)


def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """Suppress boxes of each class or image by themselves, as torchvision's function of this name.

    It is `nms` with groups. Groups are compared as groups, where torchvision moves their boxes
    apart, which rounds large coordinates.

    Parameters
    ----------
    boxes : array_like, shape (N, 4)
        Boxes as (left, top, right, bottom).
    scores : array_like, shape (N,)
        How sure each is.
    idxs : array_like, shape (N,)
        The group that each box belongs to: whole numbers, as integers or floats; or all that `nms`
        takes as groups. None where there are no boxes.
    iou_threshold : float
        Boxes whose IoU with one that is kept is more than this are suppressed.

    Returns
    -------
    array of int64
        Indices of those that are kept, by descending score.

    Raises
    ------
    TypeError, ValueError
        As `nms`.

    Examples
    --------
    >>> import fastiou
    >>> boxes = [[0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 4]]
    >>> fastiou.batched_nms(boxes, [0.8, -0.9, 0.7], [0, 1, 0], 0.5)
    array([0, 1])
    """
    if type(boxes) is np.ndarray and idxs is not None:
        kept = small.nms(boxes, boxes, scores, iou_threshold, idxs, "iou", "xyxy", None)
        if kept is not None:
            return kept
    names = Names("boxes", "iou_threshold", "idxs", needs_groups=True)
    found = suppress(
        names, boxes, scores, iou_threshold, idxs, "iou", USUAL, "hard", SIGMA, None, None, None,
        "auto", stay_on_gpu=True,
    )  # fmt: skip
    return in_kind(found.indices, [found.set1])
