"""Run lengths in a text, measured and packed letter by letter: as their counts are."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastiou import Masks
from fastiou.geometries.masks.letters import Letters, measure_letters, pack_letters
from fastiou.geometries.masks.packing import pack_runs
from fastiou.geometries.masks.run_lengths import read_run_lengths


def letters_of(
    texts: list[bytes], sizes: list[tuple[int, int]], *, doubled: bool, behind: int = 1
) -> Letters:
    """Texts one behind the other, and bytes behind them: where there are, 64 are read at once."""
    if doubled:
        texts = [text.replace(b"\\", b"\\\\") for text in texts]
    ends = np.cumsum([len(text) for text in texts])
    begins = ends - [len(text) for text in texts]
    text = np.frombuffer(b"".join(texts) + behind * b"0", np.uint8)
    return Letters(text, begins, ends, np.array(sizes, np.int64).reshape(-1, 2), doubled)


def by_counts(entry: dict[str, Any]) -> Masks:
    """A mask by way of its run lengths."""
    return Masks._of(pack_runs(read_run_lengths("entries", [entry])))


def check(texts: list[bytes], sizes: list[tuple[int, int]]) -> list[bool]:
    """Which are valid: these are as their counts have them, which refuse the others."""
    largest = (max(height for height, _ in sizes), max(width for _, width in sizes))
    for doubled, behind in ((False, 70), (True, 1), (True, 70)):
        letters = letters_of(texts, sizes, doubled=doubled, behind=behind)
        boxes, areas = measure_letters(letters)
        valid = []
        for i, (text, size) in enumerate(zip(texts, sizes, strict=True)):
            entry = {"size": list(size), "counts": text}
            try:
                expected = by_counts(entry)
            except ValueError as error:
                assert areas[i] == -1
                with pytest.raises(ValueError, match=re.escape(str(error))):
                    Masks.from_rle([entry])
                continue
            assert Masks.from_rle([entry]) == expected
            valid.append(i)
            assert areas[i] == expected.area[0]
            assert boxes[i].tolist() == expected.boxes[0].tolist()
        own = Letters(
            letters.text, letters.begins[valid], letters.ends[valid], letters.sizes[valid], doubled
        )
        packed = Masks._of(pack_letters(own, boxes[valid], areas[valid], largest))
        for place, i in enumerate(valid):
            one = by_counts({"size": list(sizes[i]), "counts": texts[i]})
            assert packed[place] == one.padded(largest)
    return [bool(area >= 0) for area in areas]


def encoded(counts: list[int]) -> bytes:
    """COCO's code, for any counts."""
    text = b""
    for i, count in enumerate(counts):
        number = count - counts[i - 2] if i > 2 else count
        while True:
            letter = number & 31
            number >>= 5
            more = number != (-1 if letter & 16 else 0)
            text += bytes([48 + letter + 32 * more])
            if not more:
                break
    return text


SIZES = st.tuples(st.integers(0, 9) | st.integers(60, 200), st.integers(0, 9) | st.just(70))


@given(st.lists(st.tuples(SIZES, st.lists(st.integers(0, 1000), max_size=12)), min_size=1))
def test_any_counts(masks: list[Any]) -> None:
    """Runs of none, and of many columns, which end as the image does."""
    texts, sizes = [], []
    for (height, width), counts in masks:
        left = height * width
        kept = []
        for count in counts:
            kept.append(min(count, left))
            left -= kept[-1]
        texts.append(encoded([*kept, left]))
        sizes.append((height, width))
    assert all(check(texts, sizes))


@pytest.mark.parametrize("spread", [3, 20, 600])
def test_masks_of_hundreds_of_numbers(spread: int) -> None:
    rng = np.random.default_rng(spread)
    texts, sizes = [], []
    for height in (7, 64, 100, 128, 500):
        counts = rng.integers(0, spread, 400)
        width = -(-int(counts.sum()) // height) + 1
        counts = [*counts.tolist(), height * width - int(counts.sum())]
        texts.append(encoded(counts))
        sizes.append((height, width))
        texts.append(texts[-1][:150] + b"x" + texts[-1][151:])
        sizes.append((height, width))
    assert check(texts, sizes)[::2] == [True] * 5


@given(
    st.lists(
        st.tuples(SIZES, st.lists(st.integers(-5, 60), max_size=9) | st.binary(max_size=9)),
        min_size=1,
    )
)
def test_whatever_is_malformed(masks: list[Any]) -> None:
    texts = [value if isinstance(value, bytes) else encoded(value) for _, value in masks]
    # Where a backslash is doubled, no other may stand alone at the end.
    check(texts, [size for size, _ in masks])


@pytest.mark.parametrize(
    ("counts", "is_valid"),
    [
        ([48], True), ([0, 48], True), ([0, 0, 0, 48], True), ([47], False), ([49], False),
        ([50, -2], False), ([10, -5, 43], False), ([-1, 49], False), ([], False),
        ([2**34, 48 - 2**34], False), ([0] * 40 + [48], True), ([1] * 48, True),
    ],
)  # fmt: skip
def test_sums(counts: list[int], is_valid: bool) -> None:
    assert check([encoded(counts)], [(6, 8)]) == [is_valid]


def test_numbers_that_are_too_long() -> None:
    assert check([b"PPPPPPPP0", b"PPPPPPP0", b"P", b"0P", b"`1", b"`1" * 3], [(6, 8)] * 6)[:4] == (
        [False] * 4
    )


@pytest.mark.slow
def test_sums_that_overflow() -> None:
    """Counts that sum to the pixels and 2⁶⁴: the pixel of the last would lie far outside."""
    step, most = 2**34 - 1, 2**15
    zeros = [step * (most - abs(most - k)) for k in range(1, 2 * most)]
    zeros.append(2**64 + 6 * 8 - 1 - sum(zeros))
    counts = [0, 0]
    for count in zeros[:-1]:
        counts += [count, 0]
    counts += [zeros[-1], 1]
    assert sum(counts) == 2**64 + 6 * 8
    assert check([encoded(counts), encoded([48])], [(6, 8), (6, 8)]) == [False, True]
