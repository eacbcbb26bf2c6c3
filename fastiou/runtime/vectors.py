"""Machine instructions that Numba has no Python spelling for: memory, and the width of vectors.

`bit_vectors` has those that make, move and count bits.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "CACHE_LINE",
    "I32",
    "I64",
    "address",
    "always_inlined",
    "any_word_at",
    "byte_at",
    "deinterleave",
    "float64_at",
    "heap_array",
    "heap_rows",
    "int32_at",
    "int64_at",
    "never_inlined",
    "power_of_two",
    "prefer_widest_vectors",
    "prefetch",
    "spread",
    "stack_array",
    "store",
    "store_first",
    "stream",
    "take_numbers",
    "three_bytes",
    "uint64_at",
    "unowned",
]

#: Bytes; also the width of the widest vector.
CACHE_LINE = 64

#: Integers of LLVM.
I64 = ir.IntType(64)
I32 = ir.IntType(32)


def spread(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of which every lane has the value."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    return builder.shuffle_vector(
        builder.insert_element(undefined, value, ir.Constant(I32, 0)),
        undefined,
        ir.Constant(ir.VectorType(I32, lanes), [0] * lanes),
    )


def _first_lanes(builder: Any, count: Any, lanes: int) -> Any:
    """A mask over the first `count` of some lanes."""
    most = ir.Constant(I64, lanes)
    count = builder.select(builder.icmp_signed("<", count, most), count, most)
    numbers = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, spread(builder, builder.trunc(count, I32), lanes))


def _masked_load(builder: Any, data: Any, vector: Any, mask: Any) -> Any:
    """The vector at a pointer to its elements, zeros outside of the mask, which are not read."""
    item = vector.element
    suffix = f"v{vector.count}f{64 if item == ir.DoubleType() else 32}"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [vector.as_pointer(), I32, mask.type, vector]),
        f"llvm.masked.load.{suffix}.p0{suffix}",
    )
    align = ir.Constant(I32, 8 if item == ir.DoubleType() else 4)
    zeros = ir.Constant(vector, [0.0] * vector.count)
    return builder.call(function, [builder.bitcast(data, vector.as_pointer()), align, mask, zeros])


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Address of the first element of an array."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), codegen


@intrinsic
def unowned(typingctx: Any, array: Any) -> Any:
    """The same array without its owner, which must stay: no function counts references to it.

    Counting takes a locked instruction, which waits for all that is being streamed.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(array)(context, builder, arguments[0])
        made.meminfo = ir.Constant(made.meminfo.type, None)
        return made._getvalue()

    return array(array), codegen


def _reader(numba_type: Any, align: int | None = None) -> Any:
    def read(typingctx: Any, start: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            item = context.get_data_type(numba_type)
            pointer = builder.inttoptr(arguments[0], item.as_pointer())
            return builder.load(builder.gep(pointer, [arguments[1]]), align=align)

        return numba_type(types.int64, types.int64), codegen

    return read


#: `float64_at(address, index)` reads an array of which a function knows the address alone. Numba
#: counts references to arrays that are passed to a function, 10 ns for each in every call.
float64_at = intrinsic(_reader(types.float64))

#: The same for int64.
int64_at = intrinsic(_reader(types.int64))

#: The same for int32.
int32_at = intrinsic(_reader(types.int32))

#: The same for uint64.
uint64_at = intrinsic(_reader(types.uint64))

#: The same for bytes.
byte_at = intrinsic(_reader(types.uint8))

#: The same for words of 8 bytes at any address.
any_word_at = intrinsic(_reader(types.uint64, 1))


@intrinsic
def power_of_two(typingctx: Any, exponent: Any) -> Any:
    """2^exponent as float64, for exponents from -1022 to 1023, without a call of a library."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        biased = builder.add(arguments[0], I64(1023))
        return builder.bitcast(builder.shl(biased, I64(52)), ir.DoubleType())

    return types.float64(types.int64), codegen


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

    `like` may also be a type of numbers, as `numpy.float64`.

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


def _heap_array(dimensions: int) -> Any:
    def allocate(typingctx: Any, like: Any, *shape: Any) -> Any:
        array_type = types.Array(like.dtype, dimensions, "C")

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            lengths = list(arguments[1:])
            item = context.get_data_type(like.dtype)
            item_bytes = context.get_constant(types.intp, context.get_abi_sizeof(item))
            strides = [item_bytes]
            for length in reversed(lengths[1:]):
                strides.insert(0, builder.mul(strides[0], length))
            size = builder.mul(strides[0], lengths[0])
            alignment = context.get_constant(types.uint32, CACHE_LINE)
            info = context.nrt.meminfo_alloc_aligned(builder, size, alignment)
            array = context.make_array(array_type)(context, builder)
            context.populate_array(
                array,
                data=builder.bitcast(context.nrt.meminfo_data(builder, info), item.as_pointer()),
                shape=lengths,
                strides=strides,
                itemsize=item_bytes,
                meminfo=info,
            )
            return array._getvalue()

        return array_type(like, *[types.intp] * dimensions), codegen

    return allocate


@intrinsic
def heap_array(typingctx: Any, like: Any, size: Any) -> Any:
    """Uninitialised array of `size` elements, of the dtype of the array `like`.

    `numpy.empty` does the same, and takes 60 ms to compile for each dtype.
    """
    return _heap_array(1)(typingctx, like, size)


@intrinsic
def heap_rows(typingctx: Any, like: Any, rows: Any, size: Any) -> Any:
    """The same of shape (rows, size)."""
    return _heap_array(2)(typingctx, like, rows, size)


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
            ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), I32, flags]),
            f"llvm.masked.store.v{lanes}f{to.dtype.bitwidth}.p0v{lanes}f{to.dtype.bitwidth}",
        )
        align = ir.Constant(I32, context.get_abi_sizeof(item))
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
        each = ir.Constant(I64, ways)
        data = context.make_array(source)(context, builder, arguments[0]).data
        origin = builder.gep(data, [builder.mul(arguments[1], each)])
        rest = builder.mul(arguments[3], each)
        mask = _first_lanes(builder, rest, lanes * ways)
        loaded = _masked_load(builder, origin, whole, mask)
        for way, array in enumerate(cgutils.unpack_tuple(builder, arguments[4], ways)):
            places = [way + ways * lane for lane in range(lanes)]
            order = ir.Constant(ir.VectorType(I32, lanes), places)
            dealt = builder.shuffle_vector(loaded, ir.Constant(whole, ir.Undefined), order)
            target = context.make_array(targets[way])(context, builder, array).data
            stored = builder.store(dealt, builder.bitcast(target, vector.as_pointer()))
            stored.align = context.get_abi_sizeof(item)
        return context.get_dummy_value()

    return types.void(source, types.int64, size, types.int64, targets), codegen


@intrinsic
def three_bytes(typingctx: Any, source: Any, first: Any, size: Any, to: Any, place: Any) -> Any:
    """Make `size` int32, in `to` from `place` on, of as many times three bytes of `source`.

    The lowest byte is that at `first`. What LLVM made of a loop took two and a half times as long.
    """
    if not isinstance(size, types.IntegerLiteral) or to.dtype != types.int32:
        return None
    lanes = size.literal_value

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        packed = ir.VectorType(ir.IntType(8), 3 * lanes)
        vector = ir.VectorType(I32, lanes)

        def pointer(array: int, index: Any, kind: Any) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array])
            return builder.bitcast(builder.gep(data.data, [index]), kind.as_pointer())

        loaded = builder.load(pointer(0, arguments[1], packed))
        loaded.align = 1
        # The fourth byte of each is the first of a vector of zeros.
        order = [3 * lane + byte if byte < 3 else 3 * lanes for lane in range(lanes)
                 for byte in range(4)]  # fmt: skip
        spaced = builder.shuffle_vector(
            loaded,
            ir.Constant(packed, [0] * (3 * lanes)),
            ir.Constant(ir.VectorType(I32, 4 * lanes), order),
        )
        stored = builder.store(builder.bitcast(spaced, vector), pointer(3, arguments[4], vector))
        stored.align = 4
        return context.get_dummy_value()

    return types.void(source, types.int64, size, to, types.int64), codegen


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
def always_inlined(typingctx: Any) -> Any:
    """Have LLVM inline the enclosing function wherever it is called.

    An array passed to a function that is called is a dozen arguments. Numba's own inlining did as
    well here, and took four times as long to compile.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("alwaysinline")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def never_inlined(typingctx: Any) -> Any:
    """Have LLVM compile the enclosing function once, however often a kernel calls it."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen
