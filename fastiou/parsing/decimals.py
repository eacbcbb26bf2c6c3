"""Decimal numbers as floats: the nearest, to the last bit, as Python's `float` has it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from fastiou.runtime.vectors import float64_at, uint64_at
from fastiou.typing import Array

__all__ = ["nearest_float", "powers_of_ten", "ten_to"]

#: The least and the largest power of ten by which 19 digits make a float that is neither 0 nor
#: infinite.
LEAST_POWER, MOST_POWER = -342, 308

#: Whole numbers up to here are floats, as are powers of ten up to this one.
EXACT, EXACT_POWER = np.uint64(1 << 53), 22


#: Where the parts of the table of powers begin.
POWERS = MOST_POWER - LEAST_POWER + 1
LOW_PARTS, EXACT_ONES = POWERS, 2 * POWERS


@functools.cache
def powers_of_ten() -> Array:
    """What `nearest_float` multiplies with, made once in a process, in a millisecond.

    Returns
    -------
    ndarray of uint64
        The first 128 bits of 5 to each power from `LEAST_POWER` to `MOST_POWER`: first their
        upper halves, then the lower ones. Those of powers below 1 are rounded up. Behind them
        are the powers of ten that are floats, as the bits that these have.
    """
    every = []
    for power in range(LEAST_POWER, MOST_POWER + 1):
        five = 5 ** abs(power)
        if power >= 0:
            shift = 128 - five.bit_length()
            every.append(five << shift if shift >= 0 else five >> -shift)
        else:
            every.append((1 << (five.bit_length() + 127)) // five + 1)
    high, low = ([bits >> shift & (1 << 64) - 1 for bits in every] for shift in (64, 0))
    exact = np.array([float(10**power) for power in range(EXACT_POWER + 1)])
    return np.concatenate([np.array(high + low, np.uint64), exact.view(np.uint64)])


@intrinsic
def _product(typingctx: Any, one: Any, other: Any) -> Any:
    """The upper and the lower 64 bits of the product of two words."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(word, wide) for word in arguments))
        upper = builder.lshr(product, ir.Constant(wide, 64))
        return cgutils.pack_array(
            builder, [builder.trunc(half, ir.IntType(64)) for half in (upper, product)]
        )

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), codegen


@intrinsic
def _zeros_above(typingctx: Any, word: Any) -> Any:
    """How many zeros are above the highest bit that is set."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@intrinsic
def _float_of(typingctx: Any, bits: Any) -> Any:
    """The float that has such bits."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), codegen


@register_jitable
def ten_to(power: int, powers: int) -> Any:
    """10 to a power of at most `EXACT_POWER`, as uint64; `powers` as `nearest_float` takes it."""
    return np.uint64(float64_at(powers, EXACT_ONES + power))


@register_jitable
def nearest_float(digits: Any, power: int, powers: int) -> Any:
    """The float nearest to `digits` times 10 to a power; NaN where that is harder to tell.

    It is NaN for infinite and for denormal numbers, and where 128 bits do not decide between two
    floats. `digits` is of the type uint64, and has at most 19 digits. `powers` is the address of
    `powers_of_ten`.

    The way is that of D. Lemire, Number parsing at a gigabyte per second, Software: Practice and
    Experience 51 (2021), doi:10.1002/spe.2984.
    """
    if digits <= EXACT and -EXACT_POWER <= power <= EXACT_POWER:
        # A product or a quotient of two floats is the nearest float by itself.
        exact = np.float64(np.int64(digits))
        if power < 0:
            return exact / float64_at(powers, EXACT_ONES - power)
        return exact * float64_at(powers, EXACT_ONES + power)
    if digits == 0:
        return 0.0
    if power < LEAST_POWER or power > MOST_POWER:
        return np.nan
    shift = _zeros_above(digits)
    digits = digits << np.uint64(shift)
    high, low = _product(digits, uint64_at(powers, power - LEAST_POWER))
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more, _ = _product(digits, uint64_at(powers, power - LEAST_POWER + LOW_PARTS))
        low += more
        if more > low:
            high += np.uint64(1)
        if low == np.uint64(0xFFFFFFFFFFFFFFFF) and (power < -27 or power > 55):
            return np.nan
    upper = np.int64(high >> np.uint64(63))
    bits = high >> np.uint64(upper + 9)
    exponent = ((217706 * power) >> 16) + 63 + upper - shift + 1023
    if exponent <= 0:
        return np.nan
    is_half = low <= np.uint64(1) and -4 <= power <= 23 and bits & np.uint64(3) == np.uint64(1)
    if is_half and bits << np.uint64(upper + 9) == high:
        bits &= ~np.uint64(1)  # a tie: to the even one
    bits = (bits + (bits & np.uint64(1))) >> np.uint64(1)
    if bits >= np.uint64(1 << 53):
        bits = np.uint64(1 << 52)
        exponent += 1
    if exponent >= 0x7FF:
        return np.nan
    return _float_of(bits & np.uint64((1 << 52) - 1) | np.uint64(exponent) << np.uint64(52))
