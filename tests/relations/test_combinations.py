"""The table of geometry, metric and relation, on the CPU; `cuda/` has it on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from combinations_for_tests import GEOMETRIES_AND_METRICS, RELATIONS, SAMPLES, case_of

from fastiou.geometries.table import ROWS

#: What compiles quickly enough for every run.
USUAL = {("box", "iou"), ("rotated box", "iou"), ("mask", "dice")}


def _mark(geometry: str, metric: str, relation: str) -> Any:
    """Relations call metrics alike, and these what geometries measure.

    One that is not symmetric in pairs, and one of hulls, tell enough of a geometry.
    """
    if (geometry, metric) in USUAL:
        return ()
    is_told = (metric == "iof" and relation == "pairs") or (
        relation == "dense" and (geometry == "box" or metric == "giou")
    )
    return pytest.mark.slow if is_told else pytest.mark.thorough


@pytest.mark.parametrize(
    ("geometry", "metric_name", "relation"),
    [
        pytest.param(*pair, relation, marks=_mark(*pair, relation))
        for pair in GEOMETRIES_AND_METRICS
        for relation in RELATIONS
    ],
)
def test_relations_agree_with_the_dense_result(
    rng: np.random.Generator, geometry: str, metric_name: str, relation: str
) -> None:
    case = case_of(rng, geometry, metric_name, (40, 30))
    RELATIONS[relation](case, rng)


def test_every_geometry_has_a_sample() -> None:
    assert [row.name for row in ROWS] == list(SAMPLES)
