"""The table of geometry, metric and relation, on the CPU; `cuda/` has it on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
from combinations_for_tests import GEOMETRIES_AND_METRICS, RELATIONS, SAMPLES, case_of

from fastiou.geometries.table import ROWS

#: What compiles quickly enough for every run. The rest is run once before a change lands.
USUAL = {("box", "iou"), ("rotated box", "iou"), ("mask", "dice")}


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize(
    ("geometry", "metric_name"),
    [
        pytest.param(*pair, marks=() if pair in USUAL else pytest.mark.slow)
        for pair in GEOMETRIES_AND_METRICS
    ],
)
def test_relations_agree_with_the_dense_result(
    rng: np.random.Generator, geometry: str, metric_name: str, relation: str
) -> None:
    case = case_of(rng, geometry, metric_name, (40, 30))
    RELATIONS[relation](case, rng)


def test_every_geometry_has_a_sample() -> None:
    assert [row.name for row in ROWS] == list(SAMPLES)
