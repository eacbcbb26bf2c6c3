"""Scoring one member against another on a GPU: the lines that every relation repeats."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastiou.cpu.walk import bounds_of
from fastiou.cuda.cells import At, next_member
from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.kernel import named

__all__ = ["candidate_finder", "pair_scorer"]


@functools.cache
def pair_scorer(geometry: Geometry, metric: Metric) -> Any:
    """Make the function that scores one member against another."""
    formula, measure = metric.formula, geometry.measures[metric.needs]

    @named(f"{geometry.label}-{metric.name}")
    def score(member1: Any, member2: Any) -> Any:
        return formula(*measure(member1, member2))

    return score


@functools.cache
def candidate_finder(
    geometry: Geometry, metric: Metric, passes: Callable[..., bool], *, own_first: bool = True
) -> Any:
    """Make the function that goes on to the next member of cells that scores enough with one.

    Parameters
    ----------
    passes
        Compiled: `(other, more)`: whether another member is to be scored.
    own_first
        Whether the member is the first of the two that are scored.
    """
    load, score = geometry.load, pair_scorer(geometry, metric)
    looks = not geometry.is_its_bounds

    @named(f"{geometry.label}-{metric.name}")
    def next_candidate(
        set2: Any,
        table: Any,
        shares: tuple[float, float],
        own: Any,
        group: int,
        least: float,
        like: Any,
        lane: int,
        team: int,
        at: At,
        more: Any,
        tested: int,
    ) -> tuple[At, int, Any, int]:
        """What `cells.next_member` does; with the score, and how many were `tested`.

        The score is of the dtype of `like`.
        """
        bounds = bounds_of(own)
        value = like.dtype.type(0)
        while True:
            at, other = next_member(table, set2[0], looks, bounds, group, shares, lane, team, at)
            if other < 0:
                return at, other, value, tested
            if passes(other, more):
                tested += 1
                member = load(set2[0], set2[1], np.uint64(other))
                value = like.dtype.type(score(own, member) if own_first else score(member, own))
                if value >= least:
                    return at, other, value, tested

    return next_candidate
