"""Quotients by way of an estimate have the bits that the CPU's division gives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastiou
from fastiou.cpu import division
from fastiou.cpu import scoring as chunks
from fastiou.metrics import METRICS, quotient
from fastiou.relations import dense as boxes_module
from fastiou.runtime.vectors import stack_array

Array = npt.NDArray[Any]

FRACTIONS = ["iou", "iof", "ios", "dice"]

#: Quotients of one vector, all of which go by way of the estimate, and mantissas tried at a time.
SIZE = 16
MANTISSAS = 1 << 16

#: How far from the middle between two floats a quotient is hard to round: k / (2·d) units in the
#: last place for these k and d < 2²⁴. `divide` is off by less than 3 / 2²⁴ before it rounds.
NEAR = 16

pytestmark = pytest.mark.skipif(
    not division.can_estimate(), reason="kernels for this CPU do not divide by estimates"
)


@numba.njit(error_model="numpy")
def divided(numerators: Array, denominators: Array, quotients: Array) -> None:
    above = stack_array(numerators, SIZE)
    below = stack_array(numerators, SIZE)
    for first in range(0, len(numerators), SIZE):
        for j in range(SIZE):
            i = first + j if first + j < len(numerators) else first
            above[j] = numerators[i]
            below[j] = denominators[i]
        division.divide(above, below, SIZE)
        for j in range(min(SIZE, len(numerators) - first)):
            quotients[first + j] = above[j]


def assert_divided(numerators: Array, denominators: Array) -> None:
    quotients = np.empty_like(numerators)
    divided(numerators, denominators, quotients)
    np.testing.assert_array_equal(
        quotients.view(np.int32), (numerators / denominators).view(np.int32)
    )


@numba.njit
def hard_cases(first: int, last: int, numerators: Array, denominators: Array) -> int:
    """Mantissas n and d, for d from `first` on, with 2ˢ·n = d·m + k for an odd m and a small k.

    Then n / d is k / (2·d) units from m / 2ˢ, which lies in the middle between two floats.
    """
    count = 0
    for d in range(first, last):
        zeros = 0
        while d >> zeros & 1 == 0:
            zeros += 1
        odd = d >> zeros
        inverse = odd  # modulo 2³²; each step doubles the bits that are right, of which 3 are
        for _ in range(4):
            inverse = inverse * (2 - odd * inverse) & 0xFFFFFFFF
        for k in range(-NEAR, NEAR + 1):
            if k == 0 or k % (1 << zeros):
                continue
            for shift in (24, 25):  # n >= d, n < d
                modulus = 1 << (shift - zeros)
                m = -(k >> zeros) * inverse % modulus
                m += -(-((1 << 24) - m) // modulus) * modulus if m < 1 << 24 else 0
                while m < 1 << 25:
                    n = (d * m + k) >> shift
                    if m & 1 and 1 << 23 <= n < 1 << 24 and (n >= d) == (shift == 24):
                        numerators[count] = n
                        denominators[count] = d
                        count += 1
                    m += modulus
    return count


@pytest.mark.parametrize("metric", METRICS)
def test_formulas_that_are_one_quotient_are_fractions(metric: str) -> None:
    fraction = chunks.fraction_of(metric)
    assert (fraction is not None) == (metric in FRACTIONS)
    if fraction is not None:
        numerator, denominator = fraction(2.0, 11.0, 3.0)
        assert numerator / denominator == METRICS[metric].formula(2.0, 11.0, 3.0)


def test_other_formulas_are_not_fractions(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(intersection: float, area1: float, area2: float) -> float:
        return quotient(intersection, area1) * 2 + area2

    def twice(intersection: float, area1: float, area2: float) -> float:
        return 2 * quotient(intersection, area1)

    def turned(intersection: float, area1: float, area2: float) -> float:
        return (intersection, area1) if quotient(area1, area2) == 1 else area2

    for formula in (half, twice, turned):
        monkeypatch.setitem(METRICS, "iou", METRICS["iou"]._replace(formula=formula))
        assert chunks.fraction_of.__wrapped__("iou") is None


@pytest.mark.parametrize("part", range(8))
def test_every_quotient_that_is_hard_to_round(part: int) -> None:
    numerators = np.empty(64 * MANTISSAS, np.float32)
    denominators = np.empty_like(numerators)
    each = (1 << 23) // 8
    cases = 0
    for first in range((1 << 23) + part * each, (1 << 23) + (part + 1) * each, MANTISSAS):
        count = hard_cases(first, first + MANTISSAS, numerators, denominators)
        assert_divided(numerators[:count], denominators[:count])
        cases += count
    assert cases > 8_000_000


def test_the_hard_cases_are_hard() -> None:
    numerators, denominators = np.empty(64 * 4096, np.float32), np.empty(64 * 4096, np.float32)
    count = hard_cases(3 << 22, (3 << 22) + 4096, numerators, denominators)
    exact = numerators[:count].astype(np.longdouble) / denominators[:count]
    rounded = exact.astype(np.float32)
    distance = np.abs(exact - rounded) / np.spacing(rounded)
    assert count > 40_000
    assert (np.abs(distance - 0.5) < NEAR * 2.0**-24).all()


def test_a_numerator_whose_quotient_is_the_hardest() -> None:
    """The one that goes wrong if the error of the estimate is not rounded up."""
    for exponent in range(-100, 100, 7):
        assert_divided(
            np.ldexp(np.float32([2**23]), exponent), np.float32([2**24 - 1]) * np.ones(1, "f4")
        )


def test_the_whole_range_of_moderate_boxes(rng: np.random.Generator) -> None:
    def numbers(low: int, high: int) -> Array:
        mantissas = rng.integers(1 << 23, 1 << 24, 1_000_000)
        return np.ldexp(mantissas.astype(np.float32), rng.integers(low, high, mantissas.size))

    numerators, denominators = numbers(-101 - 23, 122 - 23), numbers(-126 - 23, 122 - 23)
    quotients = numerators.astype(np.float64) / denominators
    fit = (quotients >= 2.0**-125) & (quotients < 2.0**127)
    assert fit.mean() > 0.5
    assert_divided(numerators[fit], denominators[fit])
    assert_divided(np.zeros_like(denominators), denominators)


@pytest.mark.parametrize(
    ("host", "target", "features", "expected"),
    [
        ("sapphirerapids", "sapphirerapids", "+avx2,+avx512f", True),
        ("sapphirerapids", "sapphirerapids", "+avx2,-avx512f", False),
        ("znver4", "znver4", "+avx512f", False),
        ("znver4", "skylake-avx512", "+avx512f", False),
        ("skylake-avx512", "x86-64-v4", "+avx512f", False),
        ("generic", "generic", "+avx512f", False),
    ],
)
def test_estimates_are_for_cpus_whose_estimates_are_known(
    monkeypatch: pytest.MonkeyPatch, host: str, target: str, features: str, expected: bool
) -> None:
    codegen = SimpleNamespace(magic_tuple=lambda: ("x86_64", target, features))
    context = SimpleNamespace(codegen=lambda: codegen)
    monkeypatch.setattr(division, "cpu_target", SimpleNamespace(target_context=context))
    monkeypatch.setattr(division, "get_host_cpu_name", lambda: host)
    assert division.can_estimate.__wrapped__() == expected


coordinates = st.builds(
    lambda mantissa, exponent: float(np.float32(np.ldexp(float(mantissa), exponent))),
    st.integers(-(2**24), 2**24),
    st.sampled_from([-49, -40, -26, -24, -3, 0, 12]),
)


@given(
    data=st.data(),
    metric=st.sampled_from(FRACTIONS),
    shift=st.sampled_from([0, 0, 30, -20]),
)
def test_dense_scores_have_the_same_bits_either_way(
    data: st.DataObject, metric: str, shift: int
) -> None:
    drawn = data.draw(st.lists(st.tuples(*[coordinates] * 4), min_size=1, max_size=12))
    boxes = np.ldexp(np.array(drawn, np.float32), shift)
    a, b = boxes.repeat(-(-330 // len(boxes)), 0)[:330], np.tile(boxes, (310 // len(boxes) + 1, 1))
    with pytest.MonkeyPatch.context() as patch:
        actual = fastiou.box_iou(a, b, metric=metric)
        patch.setattr("fastiou.geometries.boxes.moderate", lambda largest, least: False)
        expected = fastiou.box_iou(a, b, metric=metric)
    np.testing.assert_array_equal(actual.view(np.int32), expected.view(np.int32))


def test_overlaps_too_small_for_an_exact_remainder(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    exponents = -rng.integers(45, 62, (400, 1))
    tiny = np.ldexp(rng.integers(1 << 23, 1 << 24, (400, 2)).astype(np.float32), exponents - 23)
    large = rng.random((400, 2), np.float32) + np.float32(0.5)
    slivers, others = np.hstack([-large, tiny]), np.hstack([np.zeros_like(large), large])
    pairs = [(slivers, others), (others, slivers)]
    actual = [fastiou.box_iou(*pair) for pair in pairs]
    monkeypatch.setattr("fastiou.geometries.boxes.moderate", lambda largest, least: False)
    for scores, pair in zip(actual, pairs, strict=True):
        np.testing.assert_array_equal(scores, fastiou.box_iou(*pair))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(
    ("corner", "expected"),
    [(2.0**-26, True), (2.0**-26 * (1 - 2.0**-20), False), (1e-30, False), (0.0, True)],
)
def test_only_moderate_boxes_are_divided_by_estimates(
    monkeypatch: pytest.MonkeyPatch, corner: float, expected: bool, place: int
) -> None:
    told = []

    def spy(metric: str, moderate: bool) -> Any:
        told.append(moderate)
        return kernel(metric, moderate)

    kernel = boxes_module.dense_kernel
    monkeypatch.setattr("fastiou.relations.dense.dense_kernel", spy)
    boxes = np.tile(np.float32([[-2, -2, 3, 4]]), (400, 1))
    usual = boxes.copy()
    fastiou.box_iou(usual, usual)
    boxes[7, place] = corner if place > 1 else -corner
    for pair in ((boxes, boxes), (boxes, usual), (usual, boxes)):
        fastiou.box_iou(*pair)
    fastiou.box_iou(usual.astype(np.float64), usual)
    assert told == [True, expected, expected, expected, False]


@pytest.mark.parametrize(
    ("largest", "least", "expected"),
    [
        (2.0**11, 2.0**-26, True),
        (2.0**11 * (1 + 2.0**-20), 2.0**-26, False),
        (2.0**60, 2.0**23, True),
        (2.0**60, 2.0**22, False),
        (0.0, np.inf, True),
    ],
)
def test_moderate(largest: float, least: float, expected: bool) -> None:
    assert division.moderate(largest, least) == expected
