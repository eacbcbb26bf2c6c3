"""Where masks that all have one box lie while a GPU counts what they share: plain arithmetic.

The kernels use these functions, and so do tests that play a block's threads one after the other on
the CPU: what tensor cores do with a thread's registers cannot be simulated.

Words have 32 bits here, as the registers of tensor cores do, and four of them are loaded at a time.
A *slice* is what one step reads of every mask of a tile. Masks are filled up with zeros to whole
slices.

One instruction takes 16 rows and 8 columns of 256 bits. Thread number `lane` of a warp gives 32
bits at a time, of row lane // 4 and the one 8 further, and of column lane // 4, namely the words
lane % 4 and lane % 4 + 4 of the eight. Which bits of a mask these are does not matter, so long as
rows and columns agree on it: of a slice each thread takes the four words from 4 · (lane % 4) on,
which one load brings, for two instructions.
"""

from __future__ import annotations

__all__ = [
    "COLUMN_PARTS",
    "PART_COLUMNS",
    "PART_ROWS",
    "ROW_PARTS",
    "SLICE_WORDS",
    "TILE_MASKS",
    "WARPS",
    "fragment_word",
    "part_origin",
    "result_place",
    "staged_part",
    "suits_tensor_cores",
]

#: Words of 32 bits that a step reads of each mask: 64 bytes.
SLICE_WORDS = 16

#: Rows and columns of the tile that a block computes on tensor cores, and warps that share it.
TILE_MASKS = 128
WARPS = 8

#: Rows and columns of one instruction, and how many of these parts a warp has: 64 rows and 32
#: columns, so that 12 loads of 16 bytes feed 32 instructions.
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


def staged_part(number: int) -> tuple[int, int]:
    """Mask of the tile, and word of the slice, of the four words that are staged as `number`.

    Four threads read the slice of one mask. It lies in shared memory as it is read, word 4 · number
    on, one mask after the other: eight threads that load fragments then meet all 32 banks once.
    """
    return number // 4, number % 4 * 4


def part_origin(warp: int) -> tuple[int, int]:
    """First row and first column of the tile that are a warp's."""
    across = TILE_MASKS // (COLUMN_PARTS * PART_COLUMNS)
    return warp // across * (ROW_PARTS * PART_ROWS), warp % across * (COLUMN_PARTS * PART_COLUMNS)


def fragment_word(first: int, lane: int) -> int:
    """Where a thread's four words begin in a staged slice, of 8 masks from `first` on."""
    return (first + lane // 4) * SLICE_WORDS + lane % 4 * 4


def result_place(lane: int, item: int) -> tuple[int, int]:
    """Row and column of an instruction's result that a thread holds as item 0, 1, 2 or 3."""
    return lane // 4 + item // 2 * 8, lane % 4 * 2 + item % 2
