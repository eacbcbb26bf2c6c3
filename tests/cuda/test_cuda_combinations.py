"""The table of geometry, metric and relation, on a GPU: what the CPU finds, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from boxes_for_tests import USUAL_METRICS
from combinations_for_tests import GEOMETRIES_AND_METRICS, RELATIONS, case_of

from fastiou.geometries.table import ROWS

CPU_ALONE = {row.name for row in ROWS if row.load().on_cpu_alone}


@pytest.mark.parametrize("relation", [name for name in RELATIONS if name != "match"])
@pytest.mark.parametrize(
    ("geometry", "metric_name"),
    [
        pytest.param(*pair, marks=() if pair[1] in USUAL_METRICS else pytest.mark.thorough)
        for pair in GEOMETRIES_AND_METRICS
        if pair[1] in ("iou", "ios", "diou", "probiou") and pair[0] not in CPU_ALONE
    ],
)
def test_relations_agree_with_the_cpu(
    rng: np.random.Generator, geometry: str, metric_name: str, relation: str
) -> None:
    case = case_of(rng, geometry, metric_name, (14, 10))
    RELATIONS[relation](case, rng, device="cuda")
