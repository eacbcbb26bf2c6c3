"""Machine-level pieces that Numba has no Python spelling for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "CACHE_LINE",
    "address",
    "prefer_widest_vectors",
    "stack_array",
    "store",
    "stream",
]

#: Bytes; also the width of the widest vector.
CACHE_LINE = 64


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Address of the first element of an array."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), codegen


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
