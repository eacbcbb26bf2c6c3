"""Decimal numbers are the floats that Python makes of them, to the last bit."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from boxes_for_tests import Array

from fastiou.parsing.decimals import nearest_float, powers_of_ten
from fastiou.runtime.vectors import address


@numba.njit(error_model="numpy")
def _all_nearest(digits: Array, powers: Array, table: Array, result: Array) -> None:
    start = address(table)
    for i in range(len(digits)):
        result[i] = nearest_float(digits[i], powers[i], start)


def check(digits: list[int], powers: list[int], hard: float = 0.0) -> None:
    """Each is the nearest float, or NaN where that is hard to tell, which few are."""
    result = np.empty(len(digits))
    _all_nearest(np.array(digits, np.uint64), np.array(powers), powers_of_ten(), result)
    expected = np.array([float(f"{d}e{p}") for d, p in zip(digits, powers, strict=True)])
    is_left = np.isnan(result)
    tiny = np.finfo(np.float64).tiny
    usual = ~is_left | ((expected == 0) | (expected < tiny) | np.isinf(expected))
    assert (~usual).mean() <= hard
    assert np.array_equal(result[~is_left], expected[~is_left])


@pytest.mark.parametrize(("least", "most"), [(-345, 310), (-25, 5), (-20, -10), (-330, -300)])
def test_numbers_of_any_length(least: int, most: int) -> None:
    rng = np.random.default_rng(least + 400)
    lengths = rng.integers(1, 20, 20_000)
    digits = [int(rng.integers(0, 10**19, dtype=np.uint64)) % 10**n for n in lengths.tolist()]
    check(digits, rng.integers(least, most + 1, len(digits)).tolist())


def test_every_power() -> None:
    powers = list(range(-350, 315))
    for digits in (0, 1, 9, 2**53 - 1, 2**53 + 1, 10**19 - 1):
        check([digits] * len(powers), powers)


def test_shortest_decimals_of_floats() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 0x7FE << 52, 20_000)
    digits, powers = [], []
    for value in [*bits.view(np.float64).tolist(), *rng.random(20_000).tolist()]:
        mantissa, _, exponent = repr(value).partition("e")
        whole, _, part = mantissa.partition(".")
        digits.append(int(whole + part))
        powers.append(int(exponent or 0) - len(part))
    check(digits, powers)


def test_halves_go_to_the_even_float() -> None:
    """Numbers in the middle between two floats, and their neighbours."""
    rng = np.random.default_rng(1)
    digits, powers = [], []
    for _ in range(5_000):
        shift = int(rng.integers(1, 10))
        half = (int(rng.integers(2**52, 2**53)) << shift) + (1 << shift - 1)
        for near in (half - 1, half, half + 1):
            if near < 10**19:
                digits.append(near)
                powers.append(0)
    # Halves with digits behind the point: odd numbers by 2^-k, written by 5^k.
    for k in range(1, 5):
        for odd in (2**53 + 1, 2**53 + 3, 2**54 - 1):
            if odd * 5**k < 10**19:
                digits.append(odd * 5**k)
                powers.append(-k)
    check(digits, powers)


def test_the_table() -> None:
    """Each row is the power's first 128 bits, as the paper asks."""
    table = powers_of_ten().tolist()
    for power in (-342, -27, -1, 0, 1, 27, 28, 308):
        row = power + 342
        bits = table[row] << 64 | table[row + 651]
        assert bits.bit_length() == 128
        exact = math.log2(bits) - 127
        assert exact == pytest.approx((power * math.log2(5)) % 1 % 1, abs=1e-9)
