"""Machine instructions that Numba has no spelling for, called by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from processes_for_tests import Python

from fastiou.runtime.bit_vectors import compress, nonzero_bits


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


@numba.njit
def _compress_16(values: Any, words: Any, results: Any) -> None:
    for i in range(len(words)):
        compress(values, 3, 16, words[i], results[i], 1)


def _check_compress(kind: str) -> None:
    """Try all words of 16 bits."""
    values = np.arange(19).astype(kind)
    words = np.arange(1 << 16, dtype=np.uint64)
    results = np.full((len(words), 17), 99, kind)
    _compress_16(values, words, results)
    is_set = words[:, None] >> np.arange(16, dtype=np.uint64) & np.uint64(1) == 1
    counts = is_set.sum(axis=1)
    kept = np.arange(16) < counts[:, None]
    assert (results[:, 0] == 99).all()
    assert np.array_equal(results[:, 1:][kept], np.nonzero(is_set)[1] + 3)


@pytest.mark.parametrize("kind", ["int32", "int64", "float32", "float64", "int16"])
def test_compress_puts_what_bits_mark_side_by_side(kind: str) -> None:
    _check_compress(kind)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "features"), [("haswell", "+avx2,+fma"), ("nehalem", "+sse4.2")])
def test_compress_does_the_same_on_older_cpus(python: Python, name: str, features: str) -> None:
    folders = [str(folder) for folder in Path(__file__).parents[:2]]
    code = f"import sys\nsys.path[:0] = {folders!r}\n"
    code += "import test_vectors\nfor kind in ('int32', 'float64'):\n"
    code += "    test_vectors._check_compress(kind)\n"
    python(code, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
