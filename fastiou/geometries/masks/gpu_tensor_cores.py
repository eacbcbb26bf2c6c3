"""Scores of masks that all have one box, on tensor cores where these count common bits.

A block computes a tile of 128 × 128 pairs. While its warps count one slice of these masks, the next
two are on their way to shared memory: of asynchronous copies, which pass by the registers. Three
stages take all 48 KiB that a kernel has without asking. For a slice a warp issues 32 instructions
of tensor cores, 12 loads, and 20 to 45 others. At the end it turns its counts round in shared
memory, to store consecutive scores.

`layout` says which words a thread loads, and which counts it then has. None of this can run in the
simulator, which never comes here.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cuda
from numba.cuda import types
from numba.cuda.extending import intrinsic

from fastiou.geometries.masks.gpu_kernels import pair_scorer
from fastiou.geometries.masks.gpu_layout import (
    COLUMN_PARTS,
    MASKS_AT_A_TIME,
    PART_COLUMNS,
    PART_ROWS,
    SLICE_WORDS,
    TILE_MASKS,
    WARPS,
    column_line,
    part_origin,
    result_place,
    row_line,
    staged_part,
    staged_word,
)
from fastiou.metrics import Metric
from fastiou.runtime.gpu_kernel import CudaKernel

__all__ = ["tensor_core_scores"]

THREADS = 32 * WARPS

#: Slices of a tile in shared memory at a time, and words of one of them, of rows or of columns.
STAGES = 3
STAGE_WORDS = TILE_MASKS * SLICE_WORDS
ROOM_WORDS = STAGES * STAGE_WORDS

#: Blocks for which a multiprocessor has registers at a time: 128 for each thread.
BLOCKS_AT_A_TIME = 2

#: Columns of a warp, as many as it has threads.
WARP_COLUMNS = COLUMN_PARTS * PART_COLUMNS


# ---- instructions ------------------------------------------------------------------------------


def _void_code(text: str, constraints: str) -> Any:
    """Code generator of an instruction without a result, which nothing may be moved past."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        code = ir.InlineAsm(kind, text, f"{constraints}~{{memory}}", side_effect=True)
        builder.call(code, arguments)
        return context.get_dummy_value()

    return codegen


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Pointer to an element of an array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _shared_address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Address of an element of an array in shared memory, counted from where that begins."""
    pointer = _pointer(context, builder, kind, array, index)
    shared = builder.addrspacecast(pointer, ir.PointerType(pointer.type.pointee, addrspace=3))
    return builder.ptrtoint(shared, ir.IntType(32))


@intrinsic
def begin_copy(typingctx: Any, target: Any, place: Any, source: Any, start: Any) -> Any:
    """Have four words copied from global memory to shared memory, both at multiples of 16 bytes."""
    copy = _void_code("cp.async.cg.shared.global [$0], [$1], 16;", "r,l,")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to = _shared_address(context, builder, target, arguments[0], arguments[1])
        origin = _pointer(context, builder, source, arguments[2], arguments[3])
        origin = builder.ptrtoint(origin, ir.IntType(64))
        return copy(context, builder, signature, [to, origin])

    return types.void(target, types.int64, source, types.int64), codegen


@intrinsic
def load_squares(typingctx: Any, stages: Any, place: Any) -> Any:
    """Load a word of each of four squares, a line of which begins at this place (see `layout`)."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        code = ir.InlineAsm(
            ir.FunctionType(ir.LiteralStructType([word] * 4), [word]),
            "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0, $1, $2, $3}, [$4];",
            "=r,=r,=r,=r,r,~{memory}",
            side_effect=True,
        )
        four = builder.call(code, [_shared_address(context, builder, stages, *arguments)])
        items = [builder.extract_value(four, i) for i in range(4)]
        return context.make_tuple(builder, signature.return_type, items)

    return types.UniTuple(types.uint32, 4)(stages, types.int64), codegen


@intrinsic
def end_stage(typingctx: Any) -> Any:
    """Close the group of copies that were begun since the last one."""
    return types.void(), _void_code("cp.async.commit_group;", "")


@intrinsic
def wait_for_stage(typingctx: Any) -> Any:
    """Wait until all groups of copies but the newest `STAGES` - 2 have come."""
    return types.void(), _void_code(f"cp.async.wait_group {STAGES - 2};", "")


@intrinsic
def wait_for_all_stages(typingctx: Any) -> Any:
    """Wait until all copies have come."""
    return types.void(), _void_code("cp.async.wait_all;", "")


@intrinsic
def add_shared_bits(
    typingctx: Any, counts: Any, rows: Any, first_of_columns: Any, second_of_columns: Any
) -> Any:
    """Add to a thread's four counts what 16 rows and 8 columns share of 256 bits."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        four = ir.LiteralStructType([word] * 4)
        code = ir.InlineAsm(
            ir.FunctionType(four, [word] * 10),
            "mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc "
            "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};",
            "=r,=r,=r,=r,r,r,r,r,r,r,r,r,r,r",
            side_effect=True,  # all threads of a warp must come to it
        )
        before = [builder.extract_value(arguments[0], i) for i in range(4)]
        rows = [builder.extract_value(arguments[1], i) for i in range(4)]
        after = builder.call(code, [*rows, *arguments[2:], *before])
        items = [builder.extract_value(after, i) for i in range(4)]
        return context.make_tuple(builder, signature.return_type, items)

    of_thread = types.UniTuple(types.int32, 4)
    words = types.UniTuple(types.uint32, 4)
    return of_thread(of_thread, words, types.uint32, types.uint32), codegen


@intrinsic
def thread_asked_again(typingctx: Any) -> Any:
    """Number of the thread, not the one that is known: that would keep registers in between."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code = ir.InlineAsm(
            ir.FunctionType(ir.IntType(32), []), "mov.u32 $0, %tid.x;", "=r", side_effect=True
        )
        return builder.zext(builder.call(code, []), ir.IntType(64))

    return types.int64(), codegen


# ---- the kernel --------------------------------------------------------------------------------


def _load_slice(
    stages: Any, begin: int, masks: Any, first: int, last: int, stride: int, step: int
) -> None:
    """Begin to copy one slice of the tile's masks, the last again for those past it."""
    mask, part = staged_part(np.int64(cuda.threadIdx.x))
    place = begin + staged_word(mask, part)
    for further in range(0, TILE_MASKS, MASKS_AT_A_TIME):
        start = min(first + mask + further, last) * stride + step * SLICE_WORDS + 4 * part
        begin_copy(stages, place + further * SLICE_WORDS, masks, start)


def _counted_part(counts: Any, rows1: Any, rows2: Any, columns: Any) -> Any:
    """Counts of 16 rows against 8 columns, and both halves of a slice more."""
    counts = add_shared_bits(counts, rows1, columns[0], columns[1])
    return add_shared_bits(counts, rows2, columns[2], columns[3])


def _counted(counts: Any, stages: Any, place1: int, place2: int, columns: Any) -> Any:
    """Counts of 16 rows against a warp's columns, and a slice more of each."""
    rows1 = load_squares(stages, place1)
    rows2 = load_squares(stages, place2)
    return (
        _counted_part(counts[0], rows1, rows2, columns[0]),
        _counted_part(counts[1], rows1, rows2, columns[1]),
        _counted_part(counts[2], rows1, rows2, columns[2]),
        _counted_part(counts[3], rows1, rows2, columns[3]),
    )


def _put(room: Any, begin: int, lane: int, counts: Any) -> None:
    """Put the counts of one instruction where a warp turns them round."""
    row, column = result_place(lane, 0)
    room[begin + row * WARP_COLUMNS + column] = counts[0]
    row, column = result_place(lane, 1)
    room[begin + row * WARP_COLUMNS + column] = counts[1]
    row, column = result_place(lane, 2)
    room[begin + row * WARP_COLUMNS + column] = counts[2]
    row, column = result_place(lane, 3)
    room[begin + row * WARP_COLUMNS + column] = counts[3]


@functools.cache
def tensor_core_scores(metric: Metric) -> CudaKernel:
    """Make the kernel of a metric; its arguments are those of `MaskKernels.uniform`."""
    score = pair_scorer(metric)

    def keep(
        counts: Any,
        room: Any,
        begin: int,
        lane: int,
        bounds1: Any,
        first: int,
        row: int,
        rows: int,
        bounds2: Any,
        column: int,
        columns: int,
        scores: Any,
    ) -> None:
        """Score 16 rows against a warp's columns, one of which is this thread's, and store them."""
        _put(room, begin, lane, counts[0])
        _put(room, begin + PART_COLUMNS, lane, counts[1])
        _put(room, begin + 2 * PART_COLUMNS, lane, counts[2])
        _put(room, begin + 3 * PART_COLUMNS, lane, counts[3])
        cuda.syncwarp()
        if column < columns:
            for k in range(min(PART_ROWS, rows - row)):
                shared = np.int64(room[begin + k * WARP_COLUMNS + lane])
                scores[(row + k) * columns + column] = score(
                    shared, bounds1, first + row + k, bounds2, column
                )
        cuda.syncwarp()

    def kernel(
        bounds1: Any,
        masks1: Any,
        bounds2: Any,
        masks2: Any,
        stride: int,
        first: int,
        rows: int,
        columns: int,
        scores: Any,
    ) -> None:
        stages1 = cuda.shared.array(ROOM_WORDS, np.uint32, 16)
        stages2 = cuda.shared.array(ROOM_WORDS, np.uint32, 16)
        thread = np.int64(cuda.threadIdx.x)
        warp = thread // 32
        lane = thread % 32
        tile = np.int64(cuda.blockIdx.x)
        across = (columns + TILE_MASKS - 1) // TILE_MASKS
        first_row = tile // across * TILE_MASKS
        first_column = tile % across * TILE_MASKS
        own_row, own_column = part_origin(warp)
        mask, part = row_line(lane, 0)
        row_place1 = staged_word(own_row + mask, part)
        mask, part = row_line(lane, 1)
        row_place2 = staged_word(own_row + mask, part)
        mask, part = column_line(lane)
        column_place = staged_word(own_column + mask, part)
        steps = stride // SLICE_WORDS
        zero = np.int32(0)
        none = zero, zero, zero, zero
        counts_a = none, none, none, none
        counts_b = none, none, none, none
        counts_c = none, none, none, none
        counts_d = none, none, none, none
        last = first + rows - 1
        for step in range(STAGES - 1):
            begin = step * STAGE_WORDS
            if step < steps:
                _load_slice(stages1, begin, masks1, first + first_row, last, stride, step)
                _load_slice(stages2, begin, masks2, first_column, columns - 1, stride, step)
            end_stage()
        begin = np.int64(0)
        later_begin = np.int64((STAGES - 1) * STAGE_WORDS)
        later = np.int64(STAGES - 1)
        while later < steps + STAGES - 1:  # a range would keep two more numbers in registers
            wait_for_stage()
            # All have come, and nobody reads the stage any more that is filled next.
            cuda.syncthreads()
            if later < steps:
                _load_slice(stages1, later_begin, masks1, first + first_row, last, stride, later)
                _load_slice(stages2, later_begin, masks2, first_column, columns - 1, stride, later)
            end_stage()
            place = begin + column_place
            words2 = (
                load_squares(stages2, place),
                load_squares(stages2, place + PART_COLUMNS * SLICE_WORDS),
                load_squares(stages2, place + 2 * PART_COLUMNS * SLICE_WORDS),
                load_squares(stages2, place + 3 * PART_COLUMNS * SLICE_WORDS),
            )
            place1 = begin + row_place1
            place2 = begin + row_place2
            counts_a = _counted(counts_a, stages1, place1, place2, words2)
            place1 += PART_ROWS * SLICE_WORDS
            place2 += PART_ROWS * SLICE_WORDS
            counts_b = _counted(counts_b, stages1, place1, place2, words2)
            place1 += PART_ROWS * SLICE_WORDS
            place2 += PART_ROWS * SLICE_WORDS
            counts_c = _counted(counts_c, stages1, place1, place2, words2)
            place1 += PART_ROWS * SLICE_WORDS
            place2 += PART_ROWS * SLICE_WORDS
            counts_d = _counted(counts_d, stages1, place1, place2, words2)
            later += 1
            later_begin = begin
            begin = begin + STAGE_WORDS if begin < (STAGES - 1) * STAGE_WORDS else np.int64(0)
        wait_for_all_stages()
        cuda.syncthreads()  # from here on the stages are room for counts
        thread = thread_asked_again()
        warp = thread // 32
        lane = thread % 32
        own_row, own_column = part_origin(warp)
        begin = warp * (PART_ROWS * WARP_COLUMNS)
        row = first_row + own_row
        column = first_column + own_column + lane
        keep(
            counts_a, stages1, begin, lane, bounds1, first, row, rows, bounds2, column, columns,
            scores,
        )  # fmt: skip
        row += PART_ROWS
        keep(
            counts_b, stages1, begin, lane, bounds1, first, row, rows, bounds2, column, columns,
            scores,
        )  # fmt: skip
        row += PART_ROWS
        keep(
            counts_c, stages1, begin, lane, bounds1, first, row, rows, bounds2, column, columns,
            scores,
        )  # fmt: skip
        row += PART_ROWS
        keep(
            counts_d, stages1, begin, lane, bounds1, first, row, rows, bounds2, column, columns,
            scores,
        )  # fmt: skip

    # Two blocks at a time: one waits for its first slices or stores while the other counts.
    return CudaKernel(
        kernel, f"tensor-core-masks-{metric.name}", launch_bounds=(THREADS, BLOCKS_AT_A_TIME)
    )
