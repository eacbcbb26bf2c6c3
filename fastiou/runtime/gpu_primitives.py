"""What kernels need of a GPU beyond Numba's Python: each with a plain stand-in for the simulator.

`REPLACED` tells which functions of the CPU's rooms have one of these for a counterpart on a GPU.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numba import cuda

from fastiou import metrics
from fastiou.runtime import bit_vectors
from fastiou.runtime import vectors as intrinsics
from fastiou.runtime.gpu_arrays import is_simulated

__all__ = [
    "REPLACED",
    "SIMULATED",
    "add_of_lanes",
    "address",
    "count_ones",
    "item",
    "larger",
    "latest",
    "load4",
    "magnified",
    "product",
    "quotient",
    "quotient_of_any",
    "smaller",
    "store",
    "store4",
    "uint64_at",
]

#: Whether Numba's simulator stands in for a GPU.
SIMULATED = is_simulated()

#: A numerator below the first loses its remainder among the numbers too small to be normal. It is
#: divided 2⁶⁴ times as large.
SMALL = np.float32(2.0**-100)
UP = np.float32(2.0**64)
DOWN = np.float32(2.0**-64)
ONE = np.float32(1)

#: All threads of a warp.
ALL_LANES = 0xFFFFFFFF


def refined_quotient(a: Any, b: Any, reciprocal: Any) -> Any:
    """Quotient of two numbers, rounded right, from an estimate of 1 / b that is off by a unit.

    Newton's step makes a reciprocal that is nearly always rounded right. The other takes away the
    quotient's remainder, which a fused multiplication and addition gives exactly. These are the
    steps of the compiler's own division, too, where exponents are neither large nor small.

    A quotient below the smallest normal number is rounded twice, and may be off by one unit.
    """
    small = abs(a) < SMALL
    scaled = product(a, UP) if small else a
    better = fused(reciprocal, fused(-b, reciprocal, ONE), reciprocal)
    first = product(scaled, better)
    second = fused(fused(-b, first, scaled), better, first)
    return product(second, DOWN) if small else second


def magnified_where_tiny(a: Any, b: Any) -> Any:
    """Both, 2⁶⁴ times as large if they are so small that `b` may be below all normal numbers."""
    if abs(a) < SMALL and b < SMALL:
        return product(a, UP), product(b, UP)
    return a, b


if SIMULATED:

    def product(a: Any, b: Any) -> Any:
        """Product of two numbers, rounded by itself."""
        return a * b

    def quotient(a: Any, b: Any) -> Any:
        """Quotient of two numbers, rounded right."""
        return a / b

    quotient_of_any = quotient

    larger = metrics.larger
    smaller = metrics.smaller

    def item(array: Any, index: int) -> Any:
        """Item of an array by an index that is not negative."""
        return array[index]

    def load4(array: Any, index: int) -> Any:
        """Four numbers from a place that begins at a multiple of four of them."""
        return array[index], array[index + 1], array[index + 2], array[index + 3]

    def store(array: Any, index: int, value: Any) -> None:
        """Store an item of an array by an index that is not negative."""
        array[index] = value

    def store4(array: Any, index: int, first: Any, second: Any, third: Any, fourth: Any) -> None:
        """Store four numbers at a place that begins at a multiple of 16 bytes."""
        array[index] = first
        array[index + 1] = second
        array[index + 2] = third
        array[index + 3] = fourth

    def latest(array: Any, index: int) -> Any:
        """A number of an array that other blocks write to, as it is now."""
        return array[index]

    def stack_array(like: Any, size: int) -> Any:
        """See `vectors.stack_array`."""
        return np.empty(size, like if isinstance(like, type) else like.dtype)

    def deinterleave(source: Any, first: int, size: int, count: int, targets: Any) -> None:
        """The numbers of one row of `source` (n, ways), each in an array of one."""
        for way in range(len(targets)):
            targets[way][0] = source[first, way]

    def magnified(value: Any, exponent: int) -> Any:
        """A number times 2^exponent."""
        return np.ldexp(value, exponent)

    def power_of_two(exponent: int) -> float:
        """2^exponent."""
        return math.ldexp(1.0, int(exponent))

    def address(array: Any) -> int:
        """Where an array begins in memory."""
        return int(array.ctypes.data)

    def count_ones(word: Any) -> Any:
        """How many bits of a word of 64 are set."""
        return int(word).bit_count()

    def float64_at(start: int, index: int) -> Any:
        """A number in memory, counted from an address."""
        return np.float64(ctypes.c_double.from_address(int(start) + 8 * int(index)).value)

    def int64_at(start: int, index: int) -> Any:
        """A number in memory, counted from an address."""
        return ctypes.c_int64.from_address(int(start) + 8 * int(index)).value

    def int32_at(start: int, index: int) -> Any:
        """A number in memory, counted from an address."""
        return ctypes.c_int32.from_address(int(start) + 4 * int(index)).value

    def uint64_at(start: int, index: int) -> Any:
        """A word in memory, counted from an address."""
        return ctypes.c_uint64.from_address(int(start) + 8 * int(index)).value

    def nothing() -> None:
        """Stand in for a hint that the CPU's compiler wants."""

    def add_of_lanes(sums: Any, place: int, number: int) -> None:
        """Add to a sum in shared memory, which is 0, what the threads of a group bring."""
        cuda.atomic.add(sums, place, number)

else:
    from llvmlite import ir
    from numba.cuda import cgutils, types
    from numba.cuda.extending import intrinsic

    @intrinsic
    def product(typingctx: Any, a: Any, b: Any) -> Any:
        """Product of two numbers, rounded by itself: the compiler fuses no addition with it."""
        if types.float64 not in (a, b) and types.float32 not in (a, b):
            return None
        result = types.float64 if types.float64 in (a, b) else types.float32

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = context.get_value_type(result)
            suffix = "f" if result == types.float32 else "d"
            function = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(number, (number, number)),
                f"llvm.nvvm.mul.rn.{suffix}",
            )
            return builder.call(function, arguments)

        return result(result, result), codegen

    @intrinsic
    def _reciprocal(typingctx: Any, b: Any) -> Any:
        """1 / b, off by at most one unit in the last place."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = ir.FloatType()
            code = ir.InlineAsm(
                ir.FunctionType(number, [number]), "rcp.approx.ftz.f32 $0, $1;", "=f,f"
            )
            return builder.call(code, arguments)

        return types.float32(types.float32), codegen

    @intrinsic
    def fused(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
        """Sum of a·b and c of float32, rounded once."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.fma(*arguments)

        return types.float32(types.float32, types.float32, types.float32), codegen

    refined_quotient_on_device = cuda.jit(device=True)(refined_quotient)
    magnified_where_tiny_on_device = cuda.jit(device=True)(magnified_where_tiny)

    def _divider(divide_singles: Any) -> Any:
        """Make a division: of float32 by this function, of float64 by the compiler's."""

        def divide(typingctx: Any, a: Any, b: Any) -> Any:
            result = types.float64 if types.float64 in (a, b) else types.float32

            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                if result == types.float64:
                    return builder.fdiv(*arguments)
                return context.compile_internal(builder, divide_singles, signature, arguments)

            return result(result, result), codegen

        return intrinsic(divide)

    def _divide(a: Any, b: Any) -> Any:
        return refined_quotient_on_device(a, b, _reciprocal(b))

    def _divide_any(a: Any, b: Any) -> Any:
        a, b = magnified_where_tiny_on_device(a, b)
        return refined_quotient_on_device(a, b, _reciprocal(b))

    #: Quotient of two numbers, rounded right, without a branch for infinities.
    quotient = _divider(_divide)

    #: The same where the divisor may be below all normal numbers (see `metrics.quotient_of_any`).
    quotient_of_any = _divider(_divide_any)

    def _extreme(name: str, comparison: str) -> Any:
        """Make a function that takes the larger or the smaller of two numbers."""

        def extreme(typingctx: Any, a: Any, b: Any) -> Any:
            result = a if a == b else types.float64

            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                if isinstance(result, types.Integer):
                    first = builder.icmp_signed(comparison, *arguments)
                    return builder.select(first, *arguments)
                # One instruction, where a comparison and a choice by it would be two.
                number = context.get_value_type(result)
                suffix = "f" if result == types.float32 else "d"
                function = cgutils.get_or_insert_function(
                    builder.module,
                    ir.FunctionType(number, (number, number)),
                    f"llvm.nvvm.{name}.{suffix}",
                )
                return builder.call(function, arguments)

            return result(result, result), codegen

        return intrinsic(extreme)

    larger = _extreme("fmax", ">")
    smaller = _extreme("fmin", "<")

    def _element_pointer(context: Any, builder: Any, array_type: Any, arguments: Any) -> Any:
        """Pointer to four elements of an array from an index on."""
        array = context.make_array(array_type)(context, builder, arguments[0])
        four = ir.VectorType(context.get_data_type(array_type.dtype), 4)
        return builder.bitcast(builder.gep(array.data, [arguments[1]]), four.as_pointer())

    @intrinsic
    def item(typingctx: Any, array: Any, index: Any) -> Any:
        """Item of an array by an index that is not negative, which Numba would look into."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(array)(context, builder, arguments[0]).data
            return builder.load(builder.gep(data, [arguments[1]]))

        return array.dtype(array, types.int64), codegen

    @intrinsic
    def load4(typingctx: Any, array: Any, index: Any) -> Any:
        """Four numbers from a place that begins at a multiple of four of them, in one access."""
        bytes_of_all = 4 * array.dtype.bitwidth // 8

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = _element_pointer(context, builder, array, arguments)
            four = builder.load(pointer, align=bytes_of_all)
            items = [
                builder.extract_element(four, ir.Constant(ir.IntType(32), i)) for i in range(4)
            ]
            return context.make_tuple(builder, signature.return_type, items)

        return types.UniTuple(array.dtype, 4)(array, types.int64), codegen

    @intrinsic
    def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
        """Store an item of an array by an index that is not negative."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(array)(context, builder, arguments[0]).data
            builder.store(arguments[2], builder.gep(data, [arguments[1]]))
            return context.get_dummy_value()

        return types.void(array, types.int64, array.dtype), codegen

    @intrinsic
    def store4(
        typingctx: Any, array: Any, index: Any, first: Any, second: Any, third: Any, fourth: Any
    ) -> Any:
        """Store four numbers where a multiple of four of them begins, in one access."""
        number = array.dtype

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            four = ir.Constant(ir.VectorType(context.get_data_type(number), 4), ir.Undefined)
            for i, item in enumerate(arguments[2:]):
                four = builder.insert_element(four, item, ir.Constant(ir.IntType(32), i))
            pointer = _element_pointer(context, builder, array, arguments)
            builder.store(four, pointer, align=4 * number.bitwidth // 8)
            return context.get_dummy_value()

        return types.void(array, types.int64, number, number, number, number), codegen

    @intrinsic
    def latest(typingctx: Any, array: Any, index: Any) -> Any:
        """A number of int32 of an array that other blocks write to, as it is now.

        A plain load may be of the multiprocessor's own cache, which does not see what others write.
        """

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(array)(context, builder, arguments[0]).data
            begin = builder.ptrtoint(builder.gep(data, [arguments[1]]), ir.IntType(64))
            number = ir.IntType(32)
            code = ir.InlineAsm(
                ir.FunctionType(number, [ir.IntType(64)]),
                "ld.relaxed.gpu.global.s32 $0, [$1];",
                "=r,l",
                side_effect=True,
            )
            return builder.call(code, [begin])

        return types.int32(array, types.int64), codegen

    @intrinsic
    def stack_array(typingctx: Any, like: Any, size: Any) -> Any:
        """See `vectors.stack_array`. An array of one is a register."""
        if not isinstance(size, types.IntegerLiteral):
            return None
        array_type = types.Array(like.dtype, 1, "C")

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = context.get_data_type(like.dtype)
            storage = cgutils.alloca_once(builder, ir.ArrayType(number, size.literal_value))
            array = context.make_array(array_type)(context, builder)
            number_bytes = context.get_constant(types.intp, context.get_abi_sizeof(number))
            context.populate_array(
                array,
                data=builder.bitcast(storage, number.as_pointer()),
                shape=[context.get_constant(types.intp, size.literal_value)],
                strides=[number_bytes],
                itemsize=number_bytes,
                meminfo=None,
            )
            return array._getvalue()

        return array_type(like, size), codegen

    @intrinsic
    def deinterleave(
        typingctx: Any, source: Any, first: Any, size: Any, count: Any, targets: Any
    ) -> Any:
        """The numbers of one row of `source` (n, ways), each in an array of one."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            rows = context.make_array(source)(context, builder, arguments[0])
            shape, strides = (
                cgutils.unpack_tuple(builder, part, 2) for part in (rows.shape, rows.strides)
            )
            arrays = cgutils.unpack_tuple(builder, arguments[4], len(targets))
            row = context.cast(builder, arguments[1], signature.args[1], types.intp)
            for way, array in enumerate(arrays):
                place = row, context.get_constant(types.intp, way)
                pointer = cgutils.get_item_pointer2(
                    context, builder, rows.data, shape, strides, source.layout, place
                )
                value = context.unpack_value(builder, source.dtype, pointer)
                target = targets[way]
                value = context.cast(builder, value, source.dtype, target.dtype)
                data = context.make_array(target)(context, builder, array).data
                context.pack_value(builder, target.dtype, value, data)
            return context.get_dummy_value()

        return types.void(source, first, size, count, targets), codegen

    @cuda.jit(device=True)
    def magnified(value: Any, exponent: int) -> Any:
        """A number times 2^exponent."""
        return math.ldexp(value, np.int32(exponent))

    @cuda.jit(device=True)
    def power_of_two(exponent: int) -> float:
        """2^exponent."""
        return math.ldexp(1.0, np.int32(exponent))

    @intrinsic
    def address(typingctx: Any, array: Any) -> Any:
        """Where an array begins in memory."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(array)(context, builder, arguments[0]).data
            return builder.ptrtoint(data, ir.IntType(64))

        return types.int64(array), codegen

    @intrinsic
    def count_ones(typingctx: Any, word: Any) -> Any:
        """How many bits of a word are set."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.zext(builder.ctpop(arguments[0]), ir.IntType(64))

        return types.int64(word), codegen

    def _reader(number: Any) -> Any:
        def read(typingctx: Any, start: Any, index: Any) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                # Of the global address space, which needs no test at run time where it lies.
                pointer = ir.PointerType(context.get_data_type(number), addrspace=1)
                begin = builder.inttoptr(arguments[0], pointer)
                return builder.load(builder.gep(begin, [arguments[1]]))

            return number(types.int64, types.int64), codegen

        return intrinsic(read)

    float64_at = _reader(types.float64)
    int64_at = _reader(types.int64)
    int32_at = _reader(types.int32)
    uint64_at = _reader(types.uint64)

    @cuda.jit(device=True)
    def nothing() -> None:
        """Stand in for a hint that the CPU's compiler wants."""

    @cuda.jit(device=True)
    def add_of_lanes(sums: Any, place: int, number: int) -> None:
        """Add to a sum in shared memory, which is 0, what the threads of a warp bring."""
        number += cuda.shfl_xor_sync(ALL_LANES, number, 16)
        number += cuda.shfl_xor_sync(ALL_LANES, number, 8)
        number += cuda.shfl_xor_sync(ALL_LANES, number, 4)
        number += cuda.shfl_xor_sync(ALL_LANES, number, 2)
        number += cuda.shfl_xor_sync(ALL_LANES, number, 1)
        if cuda.laneid == 0:
            sums[place] = number


def _shared_ones(
    block1: int, stride1: int, block2: int, stride2: int, rows: int, width: int
) -> int:
    """See `bit_vectors.shared_ones`."""
    shared = 0
    for row in range(rows):
        for column in range(width):
            both = uint64_at(block1, row * stride1 + column) & uint64_at(
                block2, row * stride2 + column
            )
            shared += count_ones(both)
    return shared


def _store_lane(to: Any, index: int, source: Any, size: int) -> None:
    """See `vectors.store`: the one number of an array."""
    to[index] = source[0]


def _same(array: Any) -> Any:
    """See `vectors.unowned`: no references are counted on a GPU."""
    return array


#: Functions of other rooms, and what stands for each of them on a GPU.
REPLACED: dict[Any, Any] = {
    metrics.larger: larger,
    metrics.product: product,
    metrics.quotient: quotient,
    metrics.quotient_of_any: quotient_of_any,
    metrics.smaller: smaller,
    intrinsics.address: address,
    intrinsics.always_inlined: nothing,
    intrinsics.prefer_widest_vectors: nothing,
    intrinsics.deinterleave: deinterleave,
    intrinsics.power_of_two: power_of_two,
    intrinsics.stack_array: stack_array,
    intrinsics.store: cuda.jit(device=True)(_store_lane),
    intrinsics.unowned: cuda.jit(device=True)(_same),
    bit_vectors.count_ones: count_ones,
    intrinsics.float64_at: float64_at,
    intrinsics.int32_at: int32_at,
    intrinsics.int64_at: int64_at,
    bit_vectors.shared_ones: cuda.jit(device=True)(_shared_ones),
}
