"""Data that zlib has packed, unpacked in a compiled loop.

Images of labels are mostly long runs, of which zlib's own code copies a few bytes at a time: for
640 × 480 pixels it takes 1.2 ms, and this 0.15. Whatever is unusual or broken is refused: those who
call this then ask zlib, which tells what it is.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastiou.runtime.vectors import CACHE_LINE, address, always_inlined, any_word_at, store
from fastiou.typing import Array

__all__ = ["inflate"]


#: Bits by which symbols are looked up; longer ones are found bit by bit.
LOOKED_UP = 10

#: What length a symbol from 257 on stands for, and how many more bits tell the rest.
LENGTHS = np.array(
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
     163, 195, 227, 258]
)  # fmt: skip
LENGTH_BITS = np.array(
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
)

#: The same of distances.
DISTANCES = np.array(
    [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
     2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577]
)  # fmt: skip
DISTANCE_BITS = np.array(
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
     13]
)  # fmt: skip

#: The order in which lengths of the code of lengths come.
ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])

#: 63 bits.
MOST = (1 << 63) - 1

#: The most symbols of a code, and of both codes together.
MOST_SYMBOLS, ALL_SYMBOLS = 288, 320


@register_jitable
def _refilled(data: Array, at: int, bits: int, count: int) -> tuple[int, int, int]:
    """At least 49 bits, of zeros past the end; how many there are, and where the next byte is.

    Above these may be some bits of the next byte, which are the same when that is taken.
    """
    always_inlined()
    if at + 8 <= len(data):
        word = np.int64(any_word_at(address(data) + at, 0))
        bits = (bits | word << count) & MOST
        return at + (63 - count >> 3), bits, count | 56
    while count <= 48:
        if at < len(data):
            bits |= np.int64(data[at]) << count
        at += 1
        count += 8
    return at, bits, count


@register_jitable
def _code_of(lengths: Array, first: int, size: int, code: Array, counts: Array) -> int:
    """Make the code of some symbols; return how many longest ones are not used, -1 if too many are.

    Parameters
    ----------
    lengths
        (symbol,) int64: bits of each symbol, 0 for those that do not occur.
    first, size
        The symbols.
    code
        (2**LOOKED_UP + MOST_SYMBOLS,) int64: gets symbol × 16 + bits, 0 for longer ones, by the
        next bits; and then the symbols in the order of the code.
    counts
        (16,) int64: gets how many symbols have each length.
    """
    for length in range(16):
        counts[length] = 0
    for symbol in range(size):
        counts[lengths[first + symbol]] += 1
    left = 1
    places = np.zeros(17, np.int64)
    for length in range(1, 16):
        left = 2 * left - counts[length]
        if left < 0:
            return -1
        places[length + 1] = places[length] + counts[length]
    symbols = code[1 << LOOKED_UP :]
    for symbol in range(size):
        length = lengths[first + symbol]
        if length > 0:
            symbols[places[length]] = symbol
            places[length] += 1
    for place in range(1 << LOOKED_UP):
        code[place] = 0
    number = index = 0
    for length in range(1, LOOKED_UP + 1):
        for _ in range(counts[length]):
            turned = 0
            for bit in range(length):
                turned |= (number >> bit & 1) << (length - 1 - bit)
            for place in range(turned, 1 << LOOKED_UP, 1 << length):
                code[place] = symbols[index] << 4 | length
            index += 1
            number += 1
        number <<= 1
    return left


@register_jitable
def _next_symbol(bits: int, code: Array, counts: Array) -> int:
    """The symbol that the next bits tell, × 16 + how many they are; -1 for none."""
    always_inlined()
    found = code[bits & ((1 << LOOKED_UP) - 1)]
    if found != 0:
        return found
    number = first = index = 0
    for length in range(1, 16):
        number |= bits >> (length - 1) & 1
        count = counts[length]
        if number - count < first:
            return code[(1 << LOOKED_UP) + index + number - first] << 4 | length
        index += count
        first = (first + count) << 1
        number <<= 1
    return -1


@register_jitable
def _repeat(out: Array, at: int, distance: int, length: int) -> None:
    """Copy what stands a distance before, which may reach into what is copied.

    Up to a cache line behind it may be overwritten.
    """
    always_inlined()
    if distance == 1:
        value = out[at - 1]
        whole = out[at : at + length]
        for i in range(length):
            whole[i] = value
        return
    # A copy of whole cache lines may begin a multiple of the distance before, which is a line or
    # more; until that is there, and at the end of the memory, single bytes are copied.
    reach = distance
    if at + length + CACHE_LINE > len(out):
        reach = distance + length
    elif distance < CACHE_LINE:
        reach = -(-CACHE_LINE // distance) * distance
    done = min(length, reach - distance)
    for i in range(done):
        out[at + i] = out[at - distance + i]
    while done < length:
        store(out, at + done, out[at + done - reach :], CACHE_LINE)
        done += CACHE_LINE


@register_jitable
def _read_codes(
    data: Array, at: int, bits: int, count: int, lengths: Array, codes: Array, counts: Array
) -> tuple[int, int, int, bool]:
    """Read the two codes of a block; return where reading goes on, and whether they are right.

    Parameters
    ----------
    data, at, bits, count
        As `_refilled` has them.
    lengths
        (ALL_SYMBOLS,) int64: scratch.
    codes, counts
        (2, ...): get both codes, of literals and lengths, and of distances, as in `_code_of`.
    """
    literals, distances, told = (bits & 31) + 257, (bits >> 5 & 31) + 1, (bits >> 10 & 15) + 4
    bits >>= 14
    count -= 14
    if literals > 286 or distances > 30:
        return at, bits, count, False
    for i in range(19):
        lengths[i] = 0
    for i in range(told):
        at, bits, count = _refilled(data, at, bits, count)
        lengths[ORDER[i]] = bits & 7
        bits >>= 3
        count -= 3
    if _code_of(lengths, 0, 19, codes[0], counts[0]) != 0:
        return at, bits, count, False
    place = 0
    while place < literals + distances:
        at, bits, count = _refilled(data, at, bits, count)
        found = _next_symbol(bits, codes[0], counts[0])
        if found < 0:
            return at, bits, count, False
        bits >>= found & 15
        count -= found & 15
        symbol = found >> 4
        value, times, more = symbol, 1, 0
        if symbol == 16:
            if place == 0:
                return at, bits, count, False
            value, times, more = lengths[place - 1], 3, 2
        elif symbol == 17:
            value, times, more = 0, 3, 3
        elif symbol == 18:
            value, times, more = 0, 11, 7
        times += bits & ((1 << more) - 1)
        bits >>= more
        count -= more
        if place + times > literals + distances:
            return at, bits, count, False
        for _ in range(times):
            lengths[place] = value
            place += 1
    if lengths[256] == 0:
        return at, bits, count, False
    left = _code_of(lengths, 0, literals, codes[0], counts[0])
    if left != 0:
        return at, bits, count, False
    left = _code_of(lengths, literals, distances, codes[1], counts[1])
    # A single distance may have a code of one bit, of which the other value is not used.
    fits = left == 0 or (left > 0 and counts[1][0] + counts[1][1] == distances)
    return at, bits, count, fits


@register_jitable
def inflate(data: Array, out: Array) -> int:
    """Unpack data; return how many bytes they are, -1 for more than `out` holds and what is broken.

    Parameters
    ----------
    data
        (n,) uint8: a stream of zlib. Its checksum is not looked at.
    out
        (m,) uint8: gets the bytes.
    """
    size, room = len(data), len(out)
    if size < 6:
        return -1
    head, flags = np.int64(data[0]), np.int64(data[1])
    if head & 15 != 8 or head >> 4 > 7 or flags & 32 != 0 or (256 * head + flags) % 31 != 0:
        return -1
    lengths = np.zeros(ALL_SYMBOLS, np.int64)
    codes = np.empty((2, (1 << LOOKED_UP) + MOST_SYMBOLS), np.int64)
    counts = np.empty((2, 16), np.int64)
    at, bits, count, written = 2, 0, 0, 0
    is_last = False
    while not is_last:
        at, bits, count = _refilled(data, at, bits, count)
        is_last, kind = bits & 1 == 1, bits >> 1 & 3
        bits >>= 3
        count -= 3
        if kind == 0:
            at -= count >> 3  # whole bytes that were not used
            bits, count = 0, 0
            if at + 4 > size:
                return -1
            length = np.int64(data[at]) | np.int64(data[at + 1]) << 8
            check = np.int64(data[at + 2]) | np.int64(data[at + 3]) << 8
            at += 4
            if length ^ check != 0xFFFF or at + length > size or written + length > room:
                return -1
            for i in range(length):
                out[written + i] = data[at + i]
            at += length
            written += length
            continue
        if kind == 1:
            for symbol in range(ALL_SYMBOLS):
                lengths[symbol] = 8 if symbol < 144 or symbol >= 280 else 9 if symbol < 256 else 7
                if symbol >= MOST_SYMBOLS:
                    lengths[symbol] = 5
            _code_of(lengths, 0, MOST_SYMBOLS, codes[0], counts[0])
            _code_of(lengths, MOST_SYMBOLS, 30, codes[1], counts[1])
        elif kind == 2:
            at, bits, count, fits = _read_codes(data, at, bits, count, lengths, codes, counts)
            if not fits:
                return -1
        else:
            return -1
        # To make such a part of an array for each symbol takes longer than to decode it.
        code1, counts1, code2, counts2 = codes[0], counts[0], codes[1], counts[1]
        while True:
            at, bits, count = _refilled(data, at, bits, count)
            found = _next_symbol(bits, code1, counts1)
            if found < 0:
                return -1
            bits >>= found & 15
            count -= found & 15
            symbol = found >> 4
            if symbol < 256:
                if written == room:
                    return -1
                out[written] = symbol
                written += 1
                continue
            if symbol == 256:
                break
            symbol -= 257
            if symbol >= len(LENGTHS):
                return -1
            more = LENGTH_BITS[symbol]
            length = LENGTHS[symbol] + (bits & ((1 << more) - 1))
            bits >>= more
            count -= more
            found = _next_symbol(bits, code2, counts2)
            if found < 0 or found >> 4 >= len(DISTANCES):
                return -1
            bits >>= found & 15
            count -= found & 15
            more = DISTANCE_BITS[found >> 4]
            distance = DISTANCES[found >> 4] + (bits & ((1 << more) - 1))
            bits >>= more
            count -= more
            if distance > written or written + length > room:
                return -1
            _repeat(out, written, distance, length)
            written += length
    # The checksum follows; zeros past the end were no data.
    return written if at - (count >> 3) + 4 <= size else -1
