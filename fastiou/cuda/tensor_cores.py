"""Scores of masks that all have one box, on tensor cores, where these count the bits that two share.

A block computes a tile of 128 × 128 pairs. While its warps count one slice of these masks, the next
two are on their way to shared memory: of asynchronous copies, which pass by the registers. Three
stages take all 48 KiB that a kernel has without asking. At the end each warp turns its counts round
in shared memory, to store consecutive scores.

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

from fastiou.cuda.compilation import CudaKernel
from fastiou.cuda.layout import (
    COLUMN_PARTS,
    PART_COLUMNS,
    PART_ROWS,
    SLICE_WORDS,
    TILE_MASKS,
    WARPS,
    fragment_word,
    part_origin,
    result_place,
    staged_part,
)
from fastiou.cuda.mask_scores import pair_scorer
from fastiou.cuda.primitives import load4

__all__ = ["tensor_core_scores"]

THREADS = 32 * WARPS

#: Slices of a tile in shared memory at a time, and words of one of them, of rows or of columns.
STAGES = 3
STAGE_WORDS = TILE_MASKS * SLICE_WORDS
ROOM_WORDS = STAGES * STAGE_WORDS

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


@intrinsic
def begin_copy(typingctx: Any, target: Any, place: Any, source: Any, start: Any) -> Any:
    """Have four words copied from global memory to shared memory, both at multiples of 16 bytes."""
    copy = _void_code(
        "{ .reg .u64 place; cvta.to.shared.u64 place, $0; "
        "cp.async.cg.shared.global [place], [$1], 16; }",
        "l,l,",
    )

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = []
        for kind, array, index in zip(signature.args[::2], arguments[::2], arguments[1::2], strict=True):
            data = context.make_array(kind)(context, builder, array).data
            pointers.append(builder.ptrtoint(builder.gep(data, [index]), ir.IntType(64)))
        return copy(context, builder, signature, pointers)

    return types.void(target, types.int64, source, types.int64), codegen


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
    typingctx: Any, counts: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any
) -> Any:
    """Add to the four counts of a thread what 16 rows and 8 columns of 256 bits share.

    `a` and `c` are of the thread's first row, `b` and `d` of its second, `e` and `f` of its column.
    """

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
        after = builder.call(code, [*arguments[1:], *before])
        items = [builder.extract_value(after, i) for i in range(4)]
        return context.make_tuple(builder, signature.return_type, items)

    of_thread = types.UniTuple(types.int32, 4)
    return of_thread(of_thread, *[types.uint32] * 6), codegen


# ---- the kernel --------------------------------------------------------------------------------


def _load_slice(
    stages: Any, step: int, masks: Any, first: int, last: int, stride: int
) -> None:
    """Begin to copy one slice of the tile's masks, the last again for those past it."""
    begin = step % STAGES * STAGE_WORDS
    for turn in range(STAGE_WORDS // 4 // THREADS):
        number = turn * THREADS + np.int64(cuda.threadIdx.x)
        mask, word = staged_part(number)
        start = min(first + mask, last) * stride + step * SLICE_WORDS + word
        begin_copy(stages, begin + 4 * number, masks, start)


def _counted_part(counts: Any, first: Any, second: Any, columns: Any) -> Any:
    """Counts of a thread's two rows of a part against one of columns, and a slice more."""
    half = add_shared_bits(
        counts, first[0], second[0], first[1], second[1], columns[0], columns[1]
    )
    return add_shared_bits(half, first[2], second[2], first[3], second[3], columns[2], columns[3])


def _counted(counts: Any, stages: Any, place: int, columns: Any) -> Any:
    """Counts of 16 rows against a warp's columns, and a slice more of each."""
    first = load4(stages, place)
    second = load4(stages, place + 8 * SLICE_WORDS)
    return (
        _counted_part(counts[0], first, second, columns[0]),
        _counted_part(counts[1], first, second, columns[1]),
        _counted_part(counts[2], first, second, columns[2]),
        _counted_part(counts[3], first, second, columns[3]),
    )


def _put(room: Any, begin: int, lane: int, column: int, counts: Any) -> None:
    """Put the counts of one instruction where a warp turns them round."""
    row, own_column = result_place(lane, 0)
    room[begin + row * WARP_COLUMNS + column + own_column] = counts[0]
    row, own_column = result_place(lane, 1)
    room[begin + row * WARP_COLUMNS + column + own_column] = counts[1]
    row, own_column = result_place(lane, 2)
    room[begin + row * WARP_COLUMNS + column + own_column] = counts[2]
    row, own_column = result_place(lane, 3)
    room[begin + row * WARP_COLUMNS + column + own_column] = counts[3]


@functools.cache
def tensor_core_scores(metric: str) -> CudaKernel:
    """Make the kernel of a metric; its arguments are those of `MaskKernels.uniform`."""
    score = pair_scorer(metric)

    def kernel(
        masks1: Any,
        table1: Any,
        masks2: Any,
        table2: Any,
        crowd: Any,
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
        steps = stride // SLICE_WORDS
        zero = np.int32(0)
        none = zero, zero, zero, zero
        counts_a = none, none, none, none
        counts_b = none, none, none, none
        counts_c = none, none, none, none
        counts_d = none, none, none, none
        for step in range(STAGES - 1):
            if step < steps:
                _load_slice(stages1, step, masks1, first + first_row, first + rows - 1, stride)
                _load_slice(stages2, step, masks2, first_column, columns - 1, stride)
            end_stage()
        for step in range(steps):
            wait_for_stage()
            # All have come, and nobody reads the stage any more that is filled next.
            cuda.syncthreads()
            if step + STAGES - 1 < steps:
                later = step + STAGES - 1
                _load_slice(stages1, later, masks1, first + first_row, first + rows - 1, stride)
                _load_slice(stages2, later, masks2, first_column, columns - 1, stride)
            end_stage()
            begin = step % STAGES * STAGE_WORDS
            place = begin + fragment_word(own_column, lane)
            words2 = (
                load4(stages2, place),
                load4(stages2, place + PART_COLUMNS * SLICE_WORDS),
                load4(stages2, place + 2 * PART_COLUMNS * SLICE_WORDS),
                load4(stages2, place + 3 * PART_COLUMNS * SLICE_WORDS),
            )
            place = begin + fragment_word(own_row, lane)
            counts_a = _counted(counts_a, stages1, place, words2)
            place += PART_ROWS * SLICE_WORDS
            counts_b = _counted(counts_b, stages1, place, words2)
            place += PART_ROWS * SLICE_WORDS
            counts_c = _counted(counts_c, stages1, place, words2)
            place += PART_ROWS * SLICE_WORDS
            counts_d = _counted(counts_d, stages1, place, words2)
        wait_for_all_stages()
        cuda.syncthreads()  # from here on the stages are room for counts
        begin = warp * (PART_ROWS * WARP_COLUMNS)
        for part in range(4):
            if part == 0:
                counts = counts_a
            elif part == 1:
                counts = counts_b
            elif part == 2:
                counts = counts_c
            else:
                counts = counts_d
            _put(stages1, begin, lane, 0, counts[0])
            _put(stages1, begin, lane, PART_COLUMNS, counts[1])
            _put(stages1, begin, lane, 2 * PART_COLUMNS, counts[2])
            _put(stages1, begin, lane, 3 * PART_COLUMNS, counts[3])
            cuda.syncwarp()
            column = first_column + own_column + lane
            for k in range(PART_ROWS):
                row = first_row + own_row + part * PART_ROWS + k
                if row < rows and column < columns:
                    shared = np.int64(stages1[begin + k * WARP_COLUMNS + lane])
                    scores[row * columns + column] = score(
                        shared, table1, first + row, table2, column, crowd
                    )
            cuda.syncwarp()

    return CudaKernel(kernel, f"tensor-core-masks-{metric}")
