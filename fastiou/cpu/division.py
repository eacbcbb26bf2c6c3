"""Vectors of float32 divided by way of an estimate, with the bits that the CPU's division gives.

A divider needs 10 cycles for 16 floats, in which memory takes in as many scores: where every vector
goes through it, the two wait for each other. So one of four goes another way: an estimate of the
reciprocal (`vrcp14ps`), made better by a polynomial in its error, and a quotient corrected by its
remainder, for which a fused multiplication and addition rounds but once.

    y = estimate of 1 / d        e = 1 - d·y        Y = y + y·(e + e²), with e + e² rounded up
    q = n·Y                      r = n - d·q        n / d = q + r·Y

Y is 1 / d rounded to nearest, but for 69 of all 2²³ mantissas of d, where it is its neighbour; so q
is off by at most 1.5 units in the last place, and q + r·Y, before it is rounded, by less than
3·2⁻²⁴ of a unit. Rounding it gives the same as rounding n / d, unless n / d lies as near as that to
the middle between two floats. Of such n and d there are but some 3·10⁷ pairs of mantissas,
which follow from n·2ᵃ = d·(2m + 1) + k for small k. `tests/test_division.py` tries all of them and,
for a margin, three times as many: not one is wrong. With e in place of e + e², 48 are; with e + e²
rounded to nearest, one is.

Nothing may overflow, and neither remainder nor quotient be below the normal numbers: `moderate`
says which boxes are fit for it.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_name
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

__all__ = ["can_estimate", "divide", "moderate"]

#: Floats of a vector, and of how many vectors one is divided by way of an estimate. One of eight
#: takes as long; of three, longer than none.
LANES = 16
OF = 4

# Immediate operand of AVX-512: round up, and raise no exception.
_ROUND_UP = 0x02 | 0x08

#: CPUs of Intel with AVX-512, by LLVM's names. For these Intel gives the estimate bit for bit.
#: AMD's is as precise but not known to be the same, and its divider is faster.
KNOWN_CPUS = frozenset(
    {
        *("skylake-avx512", "cascadelake", "cooperlake", "cannonlake"),
        *("icelake-client", "icelake-server", "tigerlake", "rocketlake"),
        *("sapphirerapids", "emeraldrapids", "graniterapids", "graniterapids-d", "diamondrapids"),
    }
)


@functools.cache
def can_estimate() -> bool:
    """Whether kernels are compiled for, and run on, CPUs whose estimate is known."""
    _, target, features = cpu_target.target_context.codegen().magic_tuple()
    has_estimate = "+avx512f" in str(features).split(",")
    return has_estimate and {str(target), get_host_cpu_name()} <= KNOWN_CPUS


def moderate(largest: float, least: float) -> bool:
    """Whether overlaps of float32 boxes can be divided this way.

    `largest` and `least` are the extremes of the corners' absolute values, without those that are
    0. Differences of corners are multiples of `least`·2⁻²⁴, so an intersection is 0 or at least the
    square of that, and a denominator at most 8·`largest`². An intersection must not be below 2⁻¹⁰²,
    nor a quotient below 2⁻¹²⁶.
    """
    return least >= 2.0**-26 and least >= largest * 2.0**-37


@intrinsic
def divide(typingctx: Any, numerators: Any, denominators: Any, size: Any) -> Any:
    """Divide the first `size` float32 of an array by those of another, in place.

    Both are on the stack, and `size` is a multiple of 16.
    """
    if not isinstance(size, types.IntegerLiteral) or numerators.dtype != types.float32:
        return None
    vectors = size.literal_value // LANES

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), LANES)
        number = ir.IntType(32)

        def pointers(argument: int) -> list[Any]:
            array = context.make_array(signature.args[argument])
            data = array(context, builder, arguments[argument]).data
            first = builder.bitcast(data, vector.as_pointer())
            return [builder.gep(first, [ir.Constant(number, i)]) for i in range(vectors)]

        def load(pointer: Any) -> Any:
            value = builder.load(pointer)
            value.align = 4
            return value

        def function(name: str, *operands: Any) -> Any:
            kind = ir.FunctionType(vector, operands)
            return cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}")

        fma = function("fma.v16f32", vector, vector, vector)
        round_fma = function("x86.avx512.vfmadd.ps.512", vector, vector, vector, number)
        estimate = function("x86.avx512.rcp14.ps.512", vector, vector, ir.IntType(LANES))
        one = ir.Constant(vector, [1.0] * LANES)
        zeros = ir.Constant(vector, [0.0] * LANES)
        every = ir.Constant(ir.IntType(LANES), -1)
        up = ir.Constant(number, _ROUND_UP)

        targets = pointers(0)
        above = [load(pointer) for pointer in targets]
        below = [load(pointer) for pointer in pointers(1)]
        results = []
        for i, (n, d) in enumerate(zip(above, below, strict=True)):
            if i % OF:
                results.append(builder.fdiv(n, d))
                continue
            y = builder.call(estimate, [d, zeros, every])
            negative = builder.fneg(d)
            e = builder.call(fma, [negative, y, one])
            e = builder.call(round_fma, [e, e, e, up])
            y = builder.call(fma, [y, e, y])
            q = builder.fmul(n, y)
            r = builder.call(fma, [negative, q, n])
            results.append(builder.call(fma, [r, y, q]))
        for pointer, result in zip(targets, results, strict=True):
            builder.store(result, pointer).align = 4
        return context.get_dummy_value()

    return types.void(numerators, denominators, size), codegen
