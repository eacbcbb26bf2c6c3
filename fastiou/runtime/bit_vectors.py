"""Machine instructions for bits that Numba has no Python spelling for.

Bits are made by comparing many values at once, counted, and used to move what they mark.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from fastiou.runtime.vectors import CACHE_LINE, I32, I64, spread

__all__ = [
    "WORDS_READ",
    "above",
    "at_least",
    "below",
    "bytes_from",
    "compress",
    "count_ones",
    "count_zeros_below",
    "low_bits",
    "mixed",
    "nonzero_bits",
    "shared_ones",
    "shared_ones_of_all",
]

#: Words that `shared_ones` reads at a time: it may read up to one less past the last that counts.
WORDS_READ = 8


@intrinsic
def count_ones(typingctx: Any, word: Any) -> Any:
    """How many bits of a 64-bit word are set."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), codegen


@intrinsic
def count_zeros_below(typingctx: Any, word: Any) -> Any:
    """How many zeros are below the lowest bit that is set; 64 if none is."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@register_jitable
def low_bits(count: int) -> Any:
    """A word with the lowest `count` bits set; all from 64 on."""
    every = np.uint64(0xFFFFFFFFFFFFFFFF)
    return every if count >= 64 else ~(every << np.uint64(count))


def _comparer(predicate: str) -> Any:
    def compare(typingctx: Any, values: Any, index: Any, size: Any, limit: Any) -> Any:
        if not isinstance(size, types.IntegerLiteral):
            return None
        lanes = size.literal_value

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            item = context.get_data_type(values.dtype)
            vector = ir.VectorType(item, lanes)
            pointer = builder.gep(data, [arguments[1]])
            loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
            loaded.align = context.get_abi_sizeof(item)
            bound = spread(builder, arguments[3], lanes)
            is_float = isinstance(values.dtype, types.Float)
            compared = (builder.fcmp_ordered if is_float else builder.icmp_signed)(
                predicate, loaded, bound
            )
            return builder.zext(builder.bitcast(compared, ir.IntType(lanes)), I64)

        return types.uint64(values, types.int64, size, values.dtype), codegen

    return compare


#: `at_least(values, index, size, limit)`: bit k tells whether `values[index + k]` is `limit` or
#: more, for the first `size` values.
at_least = intrinsic(_comparer(">="))

#: The same for more than `limit`.
above = intrinsic(_comparer(">"))

#: The same for less than `limit`.
below = intrinsic(_comparer("<"))


@intrinsic
def meeting_bits(
    typingctx: Any,
    bounds: Any,
    column: Any,
    size: Any,
    left: Any,
    top: Any,
    right: Any,
    bottom: Any,
) -> Any:
    """Bit k tells whether the bounds in column `column + k` meet these, for the first `size`.

    `bounds`, (>= 4, n), is C-contiguous: left, top, right, bottom of each. What LLVM made of a loop
    that wrote a byte for each took three times as long.
    """
    if not isinstance(size, types.IntegerLiteral) or bounds.ndim != 2 or bounds.layout != "C":
        return None
    lanes = size.literal_value
    number = bounds.dtype

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(bounds)(context, builder, arguments[0])
        length = cgutils.unpack_tuple(builder, array.shape, 2)[1]
        vector = ir.VectorType(context.get_data_type(number), lanes)
        compare = builder.fcmp_ordered if isinstance(number, types.Float) else builder.icmp_signed
        own_left, own_top, own_right, own_bottom = arguments[3:]
        meets = None
        for row, predicate, limit in (
            (0, "<", own_right),
            (2, ">", own_left),
            (1, "<", own_bottom),
            (3, ">", own_top),
        ):
            place = builder.add(builder.mul(length, ir.Constant(I64, row)), arguments[1])
            pointer = builder.bitcast(builder.gep(array.data, [place]), vector.as_pointer())
            loaded = builder.load(pointer)
            loaded.align = context.get_abi_sizeof(context.get_data_type(number))
            compared = compare(predicate, loaded, spread(builder, limit, lanes))
            meets = compared if meets is None else builder.and_(meets, compared)
        return builder.zext(builder.bitcast(meets, ir.IntType(lanes)), I64)

    return types.uint64(bounds, types.int64, size, *[number] * 4), codegen


#: Whether LLVM has `vector.compress`. Older ones have `masked.compressstore` alone, for which CPUs
#: of AMD are said to take more than a hundred cycles.
_HAS_COMPRESS = llvm_version_info >= (19,)


def _without_compress(context: Any) -> bool:
    """Whether the CPU has AVX2 and no instruction that compresses, which came with AVX-512."""
    features = context.codegen().magic_tuple()[2].split(",")
    return "+avx2" in features and "+avx512f" not in features


def _compressed_by_table(builder: Any, loaded: Any, own: Any) -> Any:
    """The elements of 32 bytes whose bits are set, side by side, by a table of where each goes.

    LLVM stores and counts one by one, and reads what it stored too soon for the CPU to pass it on:
    the search of a million intervals took 10 to 15 % longer.
    """
    lanes = loaded.type.count
    words = 8 // lanes
    rows = []
    for bits in range(1 << lanes):
        kept = [lane for lane in range(lanes) if bits >> lane & 1]
        numbers = [words * lane + word for lane in kept for word in range(words)]
        rows.append(int.from_bytes(bytes(numbers), "little"))
    name = f"fastiou.compress.{lanes}"
    table = builder.module.globals.get(name)
    if table is None:
        kind = ir.ArrayType(I64, len(rows))
        table = cgutils.add_global_variable(builder.module, kind, name)
        table.linkage, table.global_constant = "internal", True
        table.initializer = ir.Constant(kind, rows)
    row = builder.load(builder.gep(table, [ir.Constant(I64, 0), builder.zext(own, I64)]))
    eight = ir.VectorType(I32, 8)
    numbers = builder.zext(builder.bitcast(row, ir.VectorType(ir.IntType(8), 8)), eight)
    permute = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(eight, [eight, eight]), "llvm.x86.avx2.permd"
    )
    moved = builder.call(permute, [builder.bitcast(loaded, eight), numbers])
    return builder.bitcast(moved, loaded.type)


@intrinsic
def compress(
    typingctx: Any, source: Any, first: Any, size: Any, bits: Any, to: Any, place: Any
) -> Any:
    """Put those of `size` elements of `source`, from `first` on, whose bits are set side by side.

    They go to `to` from `place` on, where `size` elements may be overwritten. No branch depends on
    how many there are: to take bit after bit made a search of a million boxes 1.3 times as slow,
    since the CPU guessed wrong.
    """
    if not isinstance(size, types.IntegerLiteral) or source.dtype != to.dtype:
        return None
    width = source.dtype.bitwidth
    kind = f"{'f' if isinstance(source.dtype, types.Float) else 'i'}{width}"

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        item = context.get_data_type(source.dtype)
        is_whole = width in (32, 64) and size.literal_value * width % 256 == 0
        by_table = is_whole and _without_compress(context)
        # Else as many at a time as fill a vector of a cache line: of longer ones LLVM 22 makes
        # code that crashes.
        lanes = min(size.literal_value, 8 * (32 if by_table else CACHE_LINE) // width)
        vector = ir.VectorType(item, lanes)
        flags = ir.VectorType(ir.IntType(1), lanes)

        def pointer(array: int, index: Any) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array])
            return builder.gep(data.data, [index])

        place = arguments[5]
        for begin in range(0, size.literal_value, lanes):
            number = ir.Constant(I64, begin)
            origin = pointer(0, builder.add(arguments[1], number))
            loaded = builder.load(builder.bitcast(origin, vector.as_pointer()))
            loaded.align = context.get_abi_sizeof(item)
            own = builder.trunc(builder.lshr(arguments[3], number), ir.IntType(lanes))
            mask = builder.bitcast(own, flags)
            if by_table or _HAS_COMPRESS:
                if by_table:
                    moved = _compressed_by_table(builder, loaded, own)
                else:
                    function = cgutils.get_or_insert_function(
                        builder.module,
                        ir.FunctionType(vector, [vector, flags, vector]),
                        f"llvm.experimental.vector.compress.v{lanes}{kind}",
                    )
                    rest = ir.Constant(vector, ir.Undefined)
                    moved = builder.call(function, [loaded, mask, rest])
                target = builder.bitcast(pointer(4, place), vector.as_pointer())
                builder.store(moved, target).align = context.get_abi_sizeof(item)
            else:
                function = cgutils.get_or_insert_function(
                    builder.module,
                    ir.FunctionType(ir.VoidType(), [vector, item.as_pointer(), flags]),
                    f"llvm.masked.compressstore.v{lanes}{kind}",
                )
                builder.call(function, [loaded, pointer(4, place), mask])
            place = builder.add(place, builder.zext(builder.ctpop(own), I64))
        return context.get_dummy_value()

    return types.void(source, types.int64, size, types.uint64, to, types.int64), codegen


@intrinsic
def nonzero_bits(typingctx: Any, values: Any, index: Any, size: Any) -> Any:
    """Bit k tells whether `values[index + k]` is not 0, for `size` values of one byte each.

    `size` is a constant: 16 or 64.
    """
    if not isinstance(size, types.IntegerLiteral) or size.literal_value not in (16, 64):
        return None
    lanes = size.literal_value

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        bytes_ = ir.VectorType(ir.IntType(8), lanes)
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), bytes_.as_pointer())
        loaded = builder.load(pointer)
        loaded.align = 1
        flags = builder.icmp_unsigned("!=", loaded, ir.Constant(bytes_, [0] * lanes))
        return builder.zext(builder.bitcast(flags, ir.IntType(lanes)), I64)

    return types.uint64(values, types.int64, size), codegen


@intrinsic
def bytes_from(typingctx: Any, start: Any, low: Any, count: Any) -> Any:
    """Bit k tells whether byte k at an address is one of `count` from `low` on, for 64 bytes.

    `low` and `count` are constants.
    """
    if not all(isinstance(constant, types.IntegerLiteral) for constant in (low, count)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bytes_ = ir.VectorType(ir.IntType(8), 64)
        loaded = builder.load(builder.inttoptr(arguments[0], bytes_.as_pointer()))
        loaded.align = 1
        above = builder.sub(loaded, ir.Constant(bytes_, 64 * [low.literal_value]))
        flags = builder.icmp_unsigned("<", above, ir.Constant(bytes_, 64 * [count.literal_value]))
        return builder.bitcast(flags, I64)

    return types.uint64(types.int64, low, count), codegen


_VECTOR = ir.VectorType(I64, WORDS_READ)


class _Words:
    """Emits code over vectors of words."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self._context = context
        self._builder = builder
        self._signature = signature
        self._arguments = arguments
        self._count = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_VECTOR, [_VECTOR]),
            f"llvm.ctpop.v{WORDS_READ}i64",
        )

    def data(self, argument: int) -> Any:
        """Pointer to the words of an array."""
        array_type = self._signature.args[argument]
        array = self._context.make_array(array_type)
        return array(self._context, self._builder, self._arguments[argument]).data

    def load(self, data: Any, index: Any) -> Any:
        pointer = self._builder.gep(data, [index])
        value = self._builder.load(self._builder.bitcast(pointer, _VECTOR.as_pointer()))
        value.align = 8
        return value

    def split(self, length: Any) -> tuple[Any, Any, Any]:
        """Words in whole vectors, whether some are left, and a mask over the vector of these."""
        builder = self._builder
        whole = builder.and_(length, ir.Constant(I64, -WORDS_READ))
        rest = builder.sub(length, whole)
        bound = spread(builder, rest, WORDS_READ)
        lanes = ir.Constant(_VECTOR, list(range(WORDS_READ)))
        mask = builder.sext(builder.icmp_signed("<", lanes, bound), _VECTOR)
        return whole, builder.icmp_signed("!=", rest, ir.Constant(I64, 0)), mask

    def total(self) -> Any:
        """A vector of counts, all 0."""
        zeros = ir.Constant(_VECTOR, [0] * WORDS_READ)
        return cgutils.alloca_once_value(self._builder, zeros)

    def add(self, total: Any, bits: Any) -> None:
        builder = self._builder
        counts = builder.call(self._count, [bits])
        builder.store(builder.add(builder.load(total), counts), total)

    def sum(self, total: Any) -> Any:
        builder = self._builder
        counts = builder.load(total)
        result = ir.Constant(I64, 0)
        for lane in range(WORDS_READ):
            count = builder.extract_element(counts, ir.Constant(I32, lane))
            result = builder.add(result, count)
        return result

    def vectors(self, until: Any) -> Any:
        """Loop over the first words of vectors."""
        first, step = ir.Constant(I64, 0), ir.Constant(I64, WORDS_READ)
        return cgutils.for_range_slice(self._builder, first, until, step, intp=I64)


@intrinsic
def shared_ones(
    typingctx: Any, block1: Any, stride1: Any, block2: Any, stride2: Any, rows: Any, width: Any
) -> Any:
    """How many bits two blocks of `rows` × `width` words have in common.

    A block is the address of its first word; its rows are `stride` words apart. For arrays Numba
    counted references in every call, which took 100 cycles, as much as the words of a blob. The
    loop that LLVM made of plain code ended every row with single words, which took 10 % longer on
    blobs 100 words wide.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Words(context, builder, signature, arguments)
        block1, stride1, block2, stride2, rows, width = arguments
        data1, data2 = (builder.inttoptr(block, I64.as_pointer()) for block in (block1, block2))
        whole, is_rest, mask = emit.split(width)
        total = emit.total()
        with cgutils.for_range(builder, rows, intp=I64) as row:
            row1 = builder.mul(row.index, stride1)
            row2 = builder.mul(row.index, stride2)

            def both(word: Any) -> Any:
                return builder.and_(
                    emit.load(data1, builder.add(row1, word)),
                    emit.load(data2, builder.add(row2, word)),
                )

            with emit.vectors(whole) as (word, _):
                emit.add(total, both(word))
            with builder.if_then(is_rest):
                emit.add(total, builder.and_(both(whole), mask))
        return emit.sum(total)

    return types.int64(*[types.int64] * 6), codegen


@intrinsic
def shared_ones_of_all(
    typingctx: Any, words1: Any, starts1: Any, words2: Any, starts2: Any, length: Any
) -> Any:
    """How many bits each of some rows of `length` words shares with each of some columns.

    `starts1` and `starts2` are tuples; the counts come as one tuple, row by row. Four rows by four
    columns load a quarter as much as one by one, and keep their 16 counts in registers.
    """
    rows, columns = len(starts1), len(starts2)
    counts = types.UniTuple(types.int64, rows * columns)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Words(context, builder, signature, arguments)
        data1, data2 = emit.data(0), emit.data(2)
        begins1 = cgutils.unpack_tuple(builder, arguments[1], rows)
        begins2 = cgutils.unpack_tuple(builder, arguments[3], columns)
        whole, is_rest, mask = emit.split(arguments[4])
        totals = [emit.total() for _ in range(rows * columns)]

        def add(word: Any, mask: Any) -> None:
            seconds = [emit.load(data2, builder.add(begin, word)) for begin in begins2]
            for row, begin in enumerate(begins1):
                first = emit.load(data1, builder.add(begin, word))
                if mask is not None:
                    first = builder.and_(first, mask)
                for column, second in enumerate(seconds):
                    emit.add(totals[row * columns + column], builder.and_(first, second))

        with emit.vectors(whole) as (word, _):
            add(word, None)
        with builder.if_then(is_rest):
            add(whole, mask)
        return context.make_tuple(builder, counts, [emit.sum(total) for total in totals])

    return counts(words1, starts1, words2, starts2, types.int64), codegen


@register_jitable
def mixed(number1: int, number2: int) -> int:
    """A number of 64 bits that two integers make, to find them by in a table."""
    # Odd multipliers and shifts: consecutive integers spread over the whole table.
    number = np.uint64(number1) * np.uint64(0x9E3779B97F4A7C15)
    number ^= np.uint64(number2) * np.uint64(0xC2B2AE3D27D4EB4F)
    number ^= number >> np.uint64(32)
    number *= np.uint64(0xD6E8FEB86659FD93)
    return number
