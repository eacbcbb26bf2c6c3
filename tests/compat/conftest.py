"""What tests of shims share: random cases, and how many of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from compat_for_tests import MANY

#: How many random cases a quick test has.
FEW = 100


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.thorough)])
def cases(request: pytest.FixtureRequest) -> Iterator[np.random.Generator]:
    """A generator of random numbers for each case."""
    return (np.random.default_rng([20261129, case]) for case in range(request.param))


@pytest.fixture
def are_many(request: pytest.FixtureRequest) -> bool:
    """Whether the test is the thorough one, for which more kernels may be compiled."""
    return request.node.get_closest_marker("thorough") is not None
