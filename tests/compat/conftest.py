"""What tests of shims share: random cases, and how many of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

#: How many random cases a quick test has, and a thorough one.
FEW, MANY = 200, 100_000


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.thorough)])
def cases(request: pytest.FixtureRequest) -> Iterator[np.random.Generator]:
    """A generator of random numbers for each case."""
    return (np.random.default_rng([20261129, case]) for case in range(request.param))
