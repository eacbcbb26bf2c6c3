"""The quotient that a GPU computes with a reciprocal, run on the CPU against its division."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from numba import njit
from numba.core import types as numba_types
from numba.extending import intrinsic

from fastiou.runtime import gpu_primitives as primitives

Array = npt.NDArray[np.float32]

#: Exponents of what is divided by: no sum of two areas is above 2¹²³, and the smallest normal
#: number stands for the area of an empty box. See `preparation`.
LOWEST, HIGHEST = -126, 123

SMALLEST_NORMAL = np.finfo(np.float32).smallest_normal

#: Random cases of each kind, each with three estimates of the reciprocal.
CASES = 1 << 20


@intrinsic
def fused(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c rounded once, as `primitives.fused` is on a GPU."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    number = numba_types.float32
    return number(number, number, number), codegen


@njit
def product(a: Any, b: Any) -> Any:
    """a·b, rounded by itself: without fastmath, the CPU's compiler fuses nothing."""
    return a * b


def on_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `primitives` compiled for the CPU."""
    assert isinstance(function, types.FunctionType)
    names = {**function.__globals__, "fused": fused, "product": product}
    return njit(error_model="numpy")(types.FunctionType(function.__code__, names))


refined_quotient = on_cpu(primitives.refined_quotient)
magnified_where_tiny = on_cpu(primitives.magnified_where_tiny)


@njit(error_model="numpy")
def quotients(a: Any, b: Any, reciprocals: Any, out: Any) -> None:
    for i in range(a.size):
        out[i] = refined_quotient(a[i], b[i], reciprocals[i])


def estimates(b: Array) -> list[Array]:
    """1 / b and its neighbours: `rcp.approx` is off by at most one unit in the last place."""
    nearest = (1 / b.astype(np.float64)).astype(np.float32)
    return [
        np.nextafter(nearest, np.float32(0)),
        nearest,
        np.nextafter(nearest, np.float32(np.inf)),
    ]


def computed(a: Array, b: Array, function: Callable[..., Any] = quotients) -> list[Array]:
    """Quotients from each estimate."""
    results = [np.empty_like(a) for _ in range(3)]
    for reciprocals, result in zip(estimates(b), results, strict=True):
        function(a, b, reciprocals, result)
    return results


def divided(a: Array, b: Array) -> Array:
    with np.errstate(under="ignore"):
        return a / b


def wrong(a: Array, b: Array) -> Array:
    """Which quotients do not have the bits of the CPU's division, from whatever estimate."""
    expected = divided(a, b).view(np.int32)
    return np.any([actual.view(np.int32) != expected for actual in computed(a, b)], axis=0)


def assert_exact(a: Array, b: Array) -> None:
    found = wrong(a, b)
    assert not found.any(), f"{found.sum()} of {found.size}: {a[found][:3]!r} / {b[found][:3]!r}"


def random_floats(rng: np.random.Generator, low: int, high: int) -> Array:
    """Random significands, with exponents from `low` up to, not including, `high`."""
    significands = rng.integers(1 << 23, 1 << 24, CASES).astype(np.float64)
    return np.ldexp(significands, rng.integers(low, high, CASES) - 23).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.mark.parametrize("low", range(-100, HIGHEST, 24))
def test_a_share_of_an_area_is_exact(rng: np.random.Generator, low: int) -> None:
    b = random_floats(rng, low, min(low + 24, HIGHEST))
    for smallest in (-2, -24, -100):
        a = np.minimum(divided(b, random_floats(rng, 0, -smallest)), b)
        kept = divided(a, b) >= SMALLEST_NORMAL
        assert_exact(a[kept], b[kept])
        assert_exact(-a[kept], b[kept])


def test_quotients_of_like_numbers_are_exact(rng: np.random.Generator) -> None:
    b = random_floats(rng, LOWEST, HIGHEST)
    for a in (b, np.nextafter(b, np.float32(0)), np.nextafter(b, np.float32(np.inf)), 2 * b):
        assert_exact(a, b)


def test_the_reciprocal_of_every_significand_is_exact() -> None:
    """Exponents do not matter: no step comes near the ends of their range.

    The one exception of Newton's step (Markstein 1990) is the significand of ones alone, and this
    only if the estimate for it is off. The compiler's own division takes the same steps from the
    same instruction, and has to be right.
    """
    for first in range(1 << 23, 1 << 24, CASES):
        b = np.arange(first, first + CASES).astype(np.float32)
        for a in (np.float32(1), np.float32(2 - 2.0**-23)):
            found = b[wrong(np.full_like(b, a), b)]
            assert set(found) <= {np.float32((1 << 24) - 1)}
    exception = np.float32([(1 << 24) - 1])
    estimated = computed(np.float32([1]), exception)
    assert estimated[1] == divided(np.float32([1]), exception)


def test_powers_of_two_are_exact(rng: np.random.Generator) -> None:
    numbers = random_floats(rng, 0, 1)
    powers = np.ldexp(np.float32(1), rng.integers(-60, 60, CASES)).astype(np.float32)
    assert_exact(powers, numbers)
    assert_exact(numbers, powers)
    assert_exact(powers, powers[::-1].copy())


def test_quotients_close_to_a_tie_are_exact(rng: np.random.Generator) -> None:
    """Those that nearly lie half-way between two numbers, where the last step decides."""
    b = random_floats(rng, -60, 60)
    low = random_floats(rng, -24, 0)
    half_way = (low.astype(np.float64) + np.nextafter(low, np.float32(1))) / 2
    a = (half_way * b).astype(np.float32)
    for near in (a, np.nextafter(a, np.float32(0)), np.nextafter(a, np.float32(np.inf))):
        assert_exact(near, b)


def test_no_overlap_is_zero(rng: np.random.Generator) -> None:
    b = random_floats(rng, LOWEST, HIGHEST)
    b[:2] = SMALLEST_NORMAL, 2 * SMALLEST_NORMAL
    assert_exact(np.zeros_like(b), b)


@pytest.mark.parametrize(("low", "high"), [(-149, -126), (-126, -100)])
def test_tiny_overlaps_are_exact(rng: np.random.Generator, low: int, high: int) -> None:
    """Where the quotient is no normal number, it may be one unit off, of which 2¹⁴⁹ make 1."""
    b = random_floats(rng, LOWEST, HIGHEST)
    with np.errstate(under="ignore"):
        a = np.minimum(random_floats(rng, low, high), b)
    normal = divided(a, b) >= SMALLEST_NORMAL
    assert normal.sum() > CASES // 4
    assert_exact(a[normal], b[normal])
    for actual in computed(a[~normal], b[~normal]):
        off = actual.view(np.int32) - divided(a[~normal], b[~normal]).view(np.int32)
        assert np.abs(off).max() == 1
        assert (off != 0).mean() < 0.01


def test_divisors_of_any_size_are_exact(rng: np.random.Generator) -> None:
    """As hulls may be: down to the least number above 0, and for numerators not much larger."""
    b = random_floats(rng, -149, -90)
    for a in (random_floats(rng, -10, 0) * b, b, 2 * b, -b, np.zeros_like(b)):
        magnified = [magnified_where_tiny(*pair) for pair in zip(a[:20_000], b, strict=False)]
        scaled_a, scaled_b = np.array(magnified, np.float32).T.copy()
        assert (scaled_b >= SMALLEST_NORMAL).all()
        expected = divided(a[:20_000], b[:20_000])
        for actual in computed(scaled_a, scaled_b):
            np.testing.assert_array_equal(actual.view(np.int32), expected.view(np.int32))


def test_a_step_less_would_be_found(rng: np.random.Generator) -> None:
    """The cases are such that a quotient without its last two steps differs."""

    def one_step(a: Any, b: Any, reciprocals: Any, out: Any) -> None:
        out[:] = a * reciprocals

    b = random_floats(rng, -60, 60)
    a = np.minimum(random_floats(rng, -60, 60), b)
    expected = divided(a, b)
    for actual in computed(a, b, one_step):
        assert (actual != expected).mean() > 0.1
