"""Machine-level pieces that Numba has no Python spelling for."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

__all__ = [
    "CACHE_LINE",
    "WORDS_READ",
    "above",
    "address",
    "always_inlined",
    "at_least",
    "below",
    "compress",
    "count_ones",
    "count_zeros_below",
    "deinterleave",
    "float64_at",
    "int32_at",
    "int64_at",
    "low_bits",
    "nonzero_bits",
    "prefer_widest_vectors",
    "prefetch",
    "shared_ones",
    "shared_ones_of_all",
    "stack_array",
    "store",
    "store_first",
    "stream",
    "take_numbers",
]

#: Bytes; also the width of the widest vector.
CACHE_LINE = 64

_INTEGER = ir.IntType(64)
_NUMBER = ir.IntType(32)


def _spread(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of which every lane has the value."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    return builder.shuffle_vector(
        builder.insert_element(undefined, value, ir.Constant(_NUMBER, 0)),
        undefined,
        ir.Constant(ir.VectorType(_NUMBER, lanes), [0] * lanes),
    )


def _first_lanes(builder: Any, count: Any, lanes: int) -> Any:
    """A mask over the first `count` of some lanes."""
    most = ir.Constant(_INTEGER, lanes)
    count = builder.select(builder.icmp_signed("<", count, most), count, most)
    numbers = ir.Constant(ir.VectorType(_NUMBER, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, _spread(builder, builder.trunc(count, _NUMBER), lanes))


def _masked_load(builder: Any, data: Any, vector: Any, mask: Any) -> Any:
    """The vector at a pointer to its elements, zeros outside of the mask, which are not read."""
    item = vector.element
    suffix = f"v{vector.count}f{64 if item == ir.DoubleType() else 32}"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [vector.as_pointer(), _NUMBER, mask.type, vector]),
        f"llvm.masked.load.{suffix}.p0{suffix}",
    )
    align = ir.Constant(_NUMBER, 8 if item == ir.DoubleType() else 4)
    zeros = ir.Constant(vector, [0.0] * vector.count)
    return builder.call(function, [builder.bitcast(data, vector.as_pointer()), align, mask, zeros])


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Address of the first element of an array."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), codegen


def _reader(numba_type: Any) -> Any:
    def read(typingctx: Any, start: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            item = context.get_data_type(numba_type)
            pointer = builder.inttoptr(arguments[0], item.as_pointer())
            return builder.load(builder.gep(pointer, [arguments[1]]))

        return numba_type(types.int64, types.int64), codegen

    return read


#: `float64_at(address, index)` reads an array of which a function knows the address alone. Numba
#: counts references to arrays that are passed to a function, 10 ns for each in every call.
float64_at = intrinsic(_reader(types.float64))

#: The same for int64.
int64_at = intrinsic(_reader(types.int64))

#: The same for int32.
int32_at = intrinsic(_reader(types.int32))


@intrinsic
def take_numbers(typingctx: Any, counters: Any, index: Any, count: Any) -> Any:
    """What `counters[index]` is; `count` is added to it, so that each thread gets other numbers."""
    if counters.dtype != types.int64:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        counter = builder.gep(data, [arguments[1]])
        return builder.atomic_rmw("add", counter, arguments[2], "monotonic")

    return types.int64(counters, types.int64, types.int64), codegen


@intrinsic
def stack_array(typingctx: Any, like: Any, size: Any) -> Any:
    """Uninitialised array of `size` elements on the stack, of the dtype of the array `like`.

    The compiler sees that nothing else points to it. With a heap array it tested five times per
    chunk whether scratch and inputs overlap, which doubled the time of a chunk of 64.
    """
    if not isinstance(size, types.IntegerLiteral):
        return None
    array_type = types.Array(like.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        item = context.get_data_type(like.dtype)
        storage = cgutils.alloca_once(builder, ir.ArrayType(item, size.literal_value))
        storage.align = CACHE_LINE
        array = context.make_array(array_type)(context, builder)
        length = context.get_constant(types.intp, size.literal_value)
        item_bytes = context.get_constant(types.intp, context.get_abi_sizeof(item))
        context.populate_array(
            array,
            data=builder.bitcast(storage, item.as_pointer()),
            shape=[length],
            strides=[item_bytes],
            itemsize=item_bytes,
            meminfo=None,
        )
        return array._getvalue()

    return array_type(like, size), codegen


def _copier(streaming: bool) -> Any:
    def copy(typingctx: Any, to: Any, index: Any, source: Any, size: Any) -> Any:
        if not isinstance(size, types.IntegerLiteral):
            return None

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            line = ir.VectorType(ir.IntType(64), CACHE_LINE // 8)
            item_bytes = context.get_abi_sizeof(context.get_data_type(to.dtype))

            def lines(array: int) -> Any:
                return context.make_array(signature.args[array])(
                    context, builder, arguments[array]
                ).data

            target = builder.bitcast(builder.gep(lines(0), [arguments[1]]), line.as_pointer())
            origin = builder.bitcast(lines(2), line.as_pointer())
            # Written out, so that a chunk on the stack can stay in registers.
            for number in range(size.literal_value * item_bytes // CACHE_LINE):
                step = [ir.Constant(ir.IntType(64), number)]
                value = builder.load(builder.gep(origin, step))
                value.align = item_bytes
                store = builder.store(value, builder.gep(target, step))
                if streaming:
                    store.align = CACHE_LINE
                    flag = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
                    store.set_metadata("nontemporal", flag)
                else:
                    store.align = item_bytes
            return context.get_dummy_value()

        return types.void(to, index, source, size), codegen

    return copy


#: `store(to, index, source, size)` copies the first `size` elements of `source`, a whole number of
#: cache lines, to `to` from `index` on.
store = intrinsic(_copier(streaming=False))

#: The same past the caches; the destination must lie on a multiple of `CACHE_LINE` bytes. No fence
#: follows: threads end a parallel loop, and hand over the GIL, by locked instructions, which wait
#: for streaming stores too.
stream = intrinsic(_copier(streaming=True))


@intrinsic
def store_first(typingctx: Any, to: Any, index: Any, source: Any, size: Any, count: Any) -> Any:
    """Copy the first `count` of `size` elements of `source` to `to`, from `index` on."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    lanes = size.literal_value

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        item = context.get_data_type(to.dtype)
        vector = ir.VectorType(item, lanes)
        flags = ir.VectorType(ir.IntType(1), lanes)

        def data(array: int) -> Any:
            made = context.make_array(signature.args[array])(context, builder, arguments[array])
            return made.data

        loaded = builder.load(builder.bitcast(data(2), vector.as_pointer()))
        loaded.align = context.get_abi_sizeof(item)
        mask = _first_lanes(builder, arguments[4], lanes)
        target = builder.bitcast(builder.gep(data(0), [arguments[1]]), vector.as_pointer())
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), _NUMBER, flags]),
            f"llvm.masked.store.v{lanes}f{to.dtype.bitwidth}.p0v{lanes}f{to.dtype.bitwidth}",
        )
        align = ir.Constant(_NUMBER, context.get_abi_sizeof(item))
        builder.call(function, [loaded, target, align, mask])
        return context.get_dummy_value()

    return types.void(to, types.int64, source, size, types.int64), codegen


@intrinsic
def deinterleave(
    typingctx: Any, source: Any, first: Any, size: Any, count: Any, targets: Any
) -> Any:
    """Deal out rows of `source` (N, ways), from `first` on, to arrays, one for each column.

    Each gets `size` elements: of `count` rows at most, and zeros for the rest.
    """
    if not isinstance(size, types.IntegerLiteral):
        return None
    lanes, ways = size.literal_value, len(targets)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        item = context.get_data_type(source.dtype)
        vector, whole = (ir.VectorType(item, lanes * rows) for rows in (1, ways))
        each = ir.Constant(_INTEGER, ways)
        data = context.make_array(source)(context, builder, arguments[0]).data
        origin = builder.gep(data, [builder.mul(arguments[1], each)])
        rest = builder.mul(arguments[3], each)
        mask = _first_lanes(builder, rest, lanes * ways)
        loaded = _masked_load(builder, origin, whole, mask)
        for way, array in enumerate(cgutils.unpack_tuple(builder, arguments[4], ways)):
            places = [way + ways * lane for lane in range(lanes)]
            order = ir.Constant(ir.VectorType(_NUMBER, lanes), places)
            dealt = builder.shuffle_vector(loaded, ir.Constant(whole, ir.Undefined), order)
            target = context.make_array(targets[way])(context, builder, array).data
            stored = builder.store(dealt, builder.bitcast(target, vector.as_pointer()))
            stored.align = context.get_abi_sizeof(item)
        return context.get_dummy_value()

    return types.void(source, types.int64, size, types.int64, targets), codegen


@intrinsic
def prefer_widest_vectors(typingctx: Any) -> Any:
    """Have the enclosing function use 512-bit vectors where the CPU has them.

    For most Intel server CPUs LLVM stops at 256 bits, out of concern for clock rates that no longer
    drop. On a Sapphire Rapids server 1e8 float32 IoUs took 6.3 ms so, and 4.8 ms with 512 bits.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite lists the attributes it knows and lacks this one, which LLVM documents.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


# ---- bits --------------------------------------------------------------------------------------

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
            bound = _spread(builder, arguments[3], lanes)
            is_float = isinstance(values.dtype, types.Float)
            compared = (builder.fcmp_ordered if is_float else builder.icmp_signed)(
                predicate, loaded, bound
            )
            return builder.zext(builder.bitcast(compared, ir.IntType(lanes)), _INTEGER)

        return types.uint64(values, types.int64, size, values.dtype), codegen

    return compare


#: `at_least(values, index, size, limit)`: bit k tells whether `values[index + k]` is `limit` or
#: more, for the first `size` values.
at_least = intrinsic(_comparer(">="))

#: The same for more than `limit`.
above = intrinsic(_comparer(">"))

#: The same for less than `limit`.
below = intrinsic(_comparer("<"))


#: Whether LLVM has `vector.compress`. Older ones have `masked.compressstore` alone, for which CPUs
#: of AMD are said to take more than a hundred cycles.
_HAS_COMPRESS = llvm_version_info >= (19,)


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
    # As many at a time as fill a vector of a cache line: of longer ones LLVM 22 makes code that
    # crashes.
    lanes = min(size.literal_value, 8 * CACHE_LINE // source.dtype.bitwidth)
    kind = f"{'f' if isinstance(source.dtype, types.Float) else 'i'}{source.dtype.bitwidth}"

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        item = context.get_data_type(source.dtype)
        vector = ir.VectorType(item, lanes)
        flags = ir.VectorType(ir.IntType(1), lanes)

        def pointer(array: int, index: Any) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array])
            return builder.gep(data.data, [index])

        place = arguments[5]
        for begin in range(0, size.literal_value, lanes):
            number = ir.Constant(_INTEGER, begin)
            origin = pointer(0, builder.add(arguments[1], number))
            loaded = builder.load(builder.bitcast(origin, vector.as_pointer()))
            loaded.align = context.get_abi_sizeof(item)
            own = builder.trunc(builder.lshr(arguments[3], number), ir.IntType(lanes))
            mask = builder.bitcast(own, flags)
            if _HAS_COMPRESS:
                function = cgutils.get_or_insert_function(
                    builder.module,
                    ir.FunctionType(vector, [vector, flags, vector]),
                    f"llvm.experimental.vector.compress.v{lanes}{kind}",
                )
                rest = ir.Constant(vector, ir.Undefined)
                target = builder.bitcast(pointer(4, place), vector.as_pointer())
                builder.store(
                    builder.call(function, [loaded, mask, rest]), target
                ).align = context.get_abi_sizeof(item)
            else:
                function = cgutils.get_or_insert_function(
                    builder.module,
                    ir.FunctionType(ir.VoidType(), [vector, item.as_pointer(), flags]),
                    f"llvm.masked.compressstore.v{lanes}{kind}",
                )
                builder.call(function, [loaded, pointer(4, place), mask])
            place = builder.add(place, builder.zext(builder.ctpop(own), _INTEGER))
        return context.get_dummy_value()

    return types.void(source, types.int64, size, types.uint64, to, types.int64), codegen


@intrinsic
def nonzero_bits(typingctx: Any, values: Any, index: Any) -> Any:
    """Bit k tells whether `values[index + k]` is not 0, for 64 values of one byte each."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        line = ir.VectorType(ir.IntType(8), 64)
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), line.as_pointer())
        loaded = builder.load(pointer)
        loaded.align = 1
        flags = builder.icmp_unsigned("!=", loaded, ir.Constant(line, [0] * 64))
        return builder.bitcast(flags, ir.IntType(64))

    return types.uint64(values, types.int64), codegen


_VECTOR = ir.VectorType(_INTEGER, WORDS_READ)


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
        whole = builder.and_(length, ir.Constant(_INTEGER, -WORDS_READ))
        rest = builder.sub(length, whole)
        spread = _spread(builder, rest, WORDS_READ)
        lanes = ir.Constant(_VECTOR, list(range(WORDS_READ)))
        mask = builder.sext(builder.icmp_signed("<", lanes, spread), _VECTOR)
        return whole, builder.icmp_signed("!=", rest, ir.Constant(_INTEGER, 0)), mask

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
        result = ir.Constant(_INTEGER, 0)
        for lane in range(WORDS_READ):
            count = builder.extract_element(counts, ir.Constant(_NUMBER, lane))
            result = builder.add(result, count)
        return result

    def vectors(self, until: Any) -> Any:
        """Loop over the first words of vectors."""
        first, step = ir.Constant(_INTEGER, 0), ir.Constant(_INTEGER, WORDS_READ)
        return cgutils.for_range_slice(self._builder, first, until, step, intp=_INTEGER)


@intrinsic
def prefetch(typingctx: Any, values: Any, index: Any) -> Any:
    """Have the CPU fetch the cache line of `values[index]`, which may lie past the end."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.IntType(32)
        byte = ir.IntType(8).as_pointer()
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0i8" if not getattr(ir, "OPAQUE", False) else "llvm.prefetch.p0",
        )
        read, keep, is_data = (ir.Constant(number, value) for value in (0, 3, 1))
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(function, [pointer, read, keep, is_data])
        return context.get_dummy_value()

    return types.void(values, types.int64), codegen


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
        data1, data2 = (
            builder.inttoptr(block, _INTEGER.as_pointer()) for block in (block1, block2)
        )
        whole, is_rest, mask = emit.split(width)
        total = emit.total()
        with cgutils.for_range(builder, rows, intp=_INTEGER) as row:
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


@intrinsic
def always_inlined(typingctx: Any) -> Any:
    """Have LLVM inline the enclosing function wherever it is called.

    An array passed to a function that is called is a dozen arguments. Numba's own inlining did as
    well here, and took four times as long to compile.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("alwaysinline")
        return context.get_dummy_value()

    return types.void(), codegen
