"""Machine instructions that Numba has no spelling for, called by themselves."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from fastiou.runtime.bit_vectors import nonzero_bits


@numba.njit
def _bits_of_16(values: Any, index: int) -> Any:
    return nonzero_bits(values, index, 16)


@numba.njit
def _bits_of_64(values: Any, index: int) -> Any:
    return nonzero_bits(values, index, 64)


@pytest.mark.parametrize(("function", "size"), [(_bits_of_16, 16), (_bits_of_64, 64)])
def test_nonzero_bits(rng: np.random.Generator, function: Any, size: int) -> None:
    values = rng.choice(np.array([0, 1, 128, 255], np.uint8), 100)
    for index in (0, 1, 36):
        expected = sum(int(values[index + k] != 0) << k for k in range(size))
        assert int(function(values, index)) == expected
    assert int(function(np.full(64, 7, np.uint8), 0)) == 2**size - 1


def test_nonzero_bits_takes_sizes_that_make_a_word() -> None:
    @numba.njit
    def bits_of_24(values: Any) -> Any:
        return nonzero_bits(values, 0, 24)

    with pytest.raises(numba.TypingError):
        bits_of_24(np.zeros(64, np.uint8))
