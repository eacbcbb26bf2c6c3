"""Where masks that all have one box lie while a GPU counts what they share: plain arithmetic.

The kernels use these functions, and so do tests that play a block's threads one after the other on
the CPU: what tensor cores do with a thread's registers cannot be simulated.

Words have 32 bits here, as the registers of tensor cores do, and four of them are loaded at a time.
A *slice* is what one step reads of every mask of a tile. Masks are filled up with zeros to whole
slices.

One instruction takes 16 rows and 8 columns of 256 bits. Which bits of a mask these are does not
matter, so long as rows and columns agree on it. What it takes comes from shared memory by another
instruction, which brings four squares of 8 masks by 16 bytes at once: each thread says where one
line of one square begins, and receives four words, one of each square. The four are the registers
that the rows need, or the columns for two instructions, in their order: loads of 16 bytes a thread
would bring words that then have to be moved, two for every instruction.
"""

from __future__ import annotations

__all__ = [
    "COLUMN_PARTS",
    "MASKS_AT_A_TIME",
    "PART_COLUMNS",
    "PART_ROWS",
    "ROW_PARTS",
    "SLICE_WORDS",
    "TILE_MASKS",
    "WARPS",
    "column_line",
    "part_origin",
    "result_place",
    "row_line",
    "staged_part",
    "staged_word",
    "suits_tensor_cores",
]

#: Words of 32 bits that a step reads of each mask: 64 bytes.
SLICE_WORDS = 16

#: Rows and columns of the tile that a block computes on tensor cores, and warps that share it.
TILE_MASKS = 128
WARPS = 8

#: Masks of which the threads of a block copy one slice at a time, 16 bytes each. The order of parts
#: is the same this many masks further on (see `staged_word`).
MASKS_AT_A_TIME = 64

#: Rows and columns of one instruction, and how many of these parts a warp has: 64 rows and 32
#: columns, so that 12 loads feed 32 instructions.
PART_ROWS = 16
PART_COLUMNS = 8
ROW_PARTS = 4
COLUMN_PARTS = 4

#: A count of a thread has 32 bits, with a sign.
MOST_PIXELS = 1 << 31


def suits_tensor_cores(capability: tuple[int, int], words: int) -> bool:
    """Whether masks of so many words of 64 bits are best counted by tensor cores.

    Those before 8.0 know no "and" of bits; from 10.0 on it is emulated, slower than counting words.
    """
    return (8, 0) <= capability < (10, 0) and words * 64 < MOST_PIXELS


def staged_part(thread: int) -> tuple[int, int]:
    """Mask of those copied at a time, and part of 16 bytes of its slice, that a thread copies."""
    return thread // 4, thread % 4


def staged_word(mask: int, part: int) -> int:
    """Where a part of a mask's slice begins in shared memory.

    The slice of a mask has four parts, whose order changes from one pair of masks to the next. So
    the same part of eight masks lies in all 32 banks.
    """
    return mask * SLICE_WORDS + (part ^ (mask // 2 % 4)) * 4


def part_origin(warp: int) -> tuple[int, int]:
    """First row and first column of the tile that are a warp's."""
    across = TILE_MASKS // (COLUMN_PARTS * PART_COLUMNS)
    return warp // across * (ROW_PARTS * PART_ROWS), warp % across * (COLUMN_PARTS * PART_COLUMNS)


def row_line(lane: int, half: int) -> tuple[int, int]:
    """Row of 16, and part of the slice, of the line that a thread names for half a slice.

    The squares are rows 0 to 7 and 8 to 15 of the half's first part, and the same of its second.
    """
    return lane % 16, 2 * half + lane // 16


def column_line(lane: int) -> tuple[int, int]:
    """Column of 8, and part of the slice, of the line that a thread names.

    The squares are the four parts of the slice, two of them for each half.
    """
    return lane % 8, lane // 8


def result_place(lane: int, item: int) -> tuple[int, int]:
    """Row and column of an instruction's result that a thread holds as item 0, 1, 2 or 3."""
    return lane // 4 + item // 2 * 8, lane % 4 * 2 + item % 2
