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
    "store_line",
    "stream_line",
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


def _line_copier(streaming: bool) -> Any:
    def copy_line(typingctx: Any, to: Any, to_index: Any, source: Any, source_index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            line = ir.VectorType(ir.IntType(64), CACHE_LINE // 8).as_pointer()

            def pointer(array: int, index: int) -> Any:
                data = context.make_array(signature.args[array])(
                    context, builder, arguments[array]
                ).data
                return builder.bitcast(builder.gep(data, [arguments[index]]), line)

            item_bytes = context.get_abi_sizeof(context.get_data_type(to.dtype))
            value = builder.load(pointer(2, 3))
            value.align = item_bytes
            store = builder.store(value, pointer(0, 1))
            if streaming:
                store.align = CACHE_LINE
                flag = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
                store.set_metadata("nontemporal", flag)
            else:
                store.align = item_bytes
            return context.get_dummy_value()

        return types.void(to, to_index, source, source_index), codegen

    return copy_line


#: `store_line(to, to_index, source, source_index)` copies one cache line's worth of elements.
store_line = intrinsic(_line_copier(streaming=False))

#: The same past the caches; the destination must lie on a multiple of `CACHE_LINE` bytes. No fence
#: follows: threads end a parallel loop, and hand over the GIL, by locked instructions, which wait
#: for streaming stores too.
stream_line = intrinsic(_line_copier(streaming=True))


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
