"""What zlib has packed is unpacked as zlib does, or refused."""

from __future__ import annotations

import zlib
from typing import Any

import numba
import numpy as np
import pytest

from fastiou.parsing.inflate import inflate

unpack = numba.njit(inflate)

STRATEGIES = [
    zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED,
]  # fmt: skip


def unpacked(packed: bytes, room: int) -> bytes | None:
    out = np.zeros(room, np.uint8)
    size = unpack(np.frombuffer(packed, np.uint8), out)
    return None if size < 0 else out[:size].tobytes()


def drawn(rng: np.random.Generator) -> bytes:
    """Bytes of few or many values, with runs and repetitions, far apart too."""
    size = int(rng.integers(0, 3000))
    values = rng.integers(0, rng.choice([1, 2, 7, 60, 256]), size)
    data = np.repeat(values, rng.integers(1, rng.choice([2, 5, 300]), size))[:70_000]
    data = np.concatenate([data, data[: rng.integers(0, len(data) + 1)]])
    return data.astype(np.uint8).tobytes()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_all_that_zlib_packs(rng: np.random.Generator, level: int, strategy: int) -> None:
    for _ in range(25):
        data = drawn(rng)
        packing = zlib.compressobj(level, zlib.DEFLATED, int(rng.integers(9, 16)), 8, strategy)
        half = len(data) // 2
        packed = packing.compress(data[:half])
        packed += packing.flush(int(rng.choice([zlib.Z_NO_FLUSH, zlib.Z_FULL_FLUSH])))
        packed += packing.compress(data[half:]) + packing.flush()
        assert unpacked(packed, len(data)) == data
        assert unpacked(packed, len(data) + 9) == data
        if data:
            assert unpacked(packed, len(data) - 1) is None


def test_repetitions_of_any_period(rng: np.random.Generator) -> None:
    """What is copied a cache line at a time may reach into itself, and must end with the memory."""
    for period in range(1, 140):
        data = rng.integers(0, 256, period).astype(np.uint8).tobytes() * (1 + 900 // period)
        for end in (3, 64, 300):
            some = data[: period + end]
            for room in (len(some), len(some) + 70):
                assert unpacked(zlib.compress(some), room) == some


def test_what_is_broken_is_refused_or_right(rng: np.random.Generator) -> None:
    """2,000 changed bytes: nothing but what zlib itself unpacks, save for its checksum."""
    for _ in range(20):
        data = drawn(rng)[:5000]
        packed = zlib.compress(data, int(rng.integers(0, 10)))
        for end in rng.integers(0, len(packed), 20):
            assert unpacked(packed[:end], len(data)) is None
        for place in rng.integers(0, len(packed), 100):
            changed = bytearray(packed)
            changed[place] ^= 1 << int(rng.integers(8))
            found = unpacked(bytes(changed), 6000)
            if found is not None:
                assert found == zlib.decompressobj(-15).decompress(bytes(changed[2:]))


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x78\x9c",
        bytes(40),
        b"\x78\x9c" + bytes(40),  # stored, and its length is not its complement
        b"\x78\x9c\x07" + bytes(40),  # a kind of block that there is not
        b"\x78\xbb\x03\x00\x00\x00\x00\x01",  # a dictionary is needed
        b"\x77\x85\x03\x00\x00\x00\x00\x01",  # another method
    ],
)
def test_what_is_no_such_data(packed: Any) -> None:
    assert unpacked(packed, 100) is None
