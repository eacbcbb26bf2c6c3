"""Scoring one member against another on a GPU: the line that every relation repeats."""

from __future__ import annotations

import functools
from typing import Any

from fastiou.geometry import Geometry
from fastiou.metrics import Metric
from fastiou.runtime.kernel import named

__all__ = ["pair_scorer"]


@functools.cache
def pair_scorer(geometry: Geometry, metric: Metric) -> Any:
    """Make the function that scores one member against another."""
    formula, measure = metric.formula, geometry.measures[metric.needs]

    @named(f"{geometry.label}-{metric.name}")
    def score(member1: Any, member2: Any) -> Any:
        return formula(*measure(member1, member2))

    return score
