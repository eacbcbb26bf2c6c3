"""COCO's run lengths: what is valid is read and written as COCO does, and the rest is refused."""

from __future__ import annotations

import collections
import gzip
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array
from hypothesis import given
from hypothesis import strategies as st

from fastiou.geometries.masks import run_lengths as rle
from fastiou.geometries.masks.run_lengths import RunLengths, read_run_lengths, write_run_lengths
from fastiou.runtime import threads

Entry = dict[str, Any]

# ---- the code of run lengths, once more and slowly ---------------------------------------------


def numbers(text: bytes) -> list[int] | None:
    """What a compressed string holds, None if it is malformed."""
    found: list[int] = []
    digits: list[int] = []
    for character in text:
        if not 48 <= character <= 111:
            return None
        digits.append((character - 48) % 32)
        if character - 48 >= 32:
            continue
        if len(digits) > 7:
            return None
        number = sum(digit * 32**place for place, digit in enumerate(digits))
        if digits[-1] >= 16:
            number -= 32 ** len(digits)
        found.append(number + (found[-2] if len(found) > 2 else 0))
        digits = []
    return None if digits else found


def compressed(counts: list[int]) -> bytes:
    """The string that holds these counts."""
    text = bytearray()
    for position, count in enumerate(counts):
        number = count - (counts[position - 2] if position > 2 else 0)
        length = 1
        while not -(32**length) <= 2 * number < 32**length:
            length += 1
        digits = [number // 32**place % 32 for place in range(length)]
        text += bytes(48 + 32 + digit for digit in digits[:-1]) + bytes([48 + digits[-1]])
    return bytes(text)


def is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and type(value) is not bool


def expected_counts(entry: Any) -> list[int] | None:
    """The counts of an entry, None if it must be refused."""
    if not isinstance(entry, dict) or not {"size", "counts"} <= set(entry):
        return None
    size, counts = entry["size"], entry["counts"]
    if not isinstance(size, list | tuple) or len(size) != 2 or not all(map(is_integer, size)):
        return None
    height, width = map(int, size)
    if min(size) < 0 or max(size) >= 2**31 or height * width > 2**33:
        return None
    if isinstance(counts, str):
        counts = counts.encode("utf-8", "surrogatepass")
    if isinstance(counts, bytes | bytearray | memoryview):
        counts = numbers(bytes(counts))
    elif not isinstance(counts, list | tuple) or not all(map(is_integer, counts)):
        return None
    if counts is None or any(count < 0 for count in counts):
        return None
    counts = [int(count) for count in counts]
    return counts if sum(counts) == height * width else None


def pixels(counts: Array | list[int], size: tuple[int, int]) -> Array:
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size, order="F")


def of_pixels(mask: Array) -> list[int]:
    """Run lengths of a mask."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def each(runs: RunLengths) -> list[list[int]]:
    cuts = zip(runs.offsets[:-1], runs.offsets[1:], strict=True)
    return [runs.counts[first:last].tolist() for first, last in cuts]


def random_masks(rng: np.random.Generator, count: int, size: tuple[int, int]) -> list[Array]:
    return [rng.random(size) < rng.random() for _ in range(count)]


# Where its decoder makes an array.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


# ---- what is valid -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(0, 0), (0, 3), (3, 0), (1, 1), (1, 9), (7, 5), (40, 33)])
def test_round_trip(rng: np.random.Generator, size: tuple[int, int]) -> None:
    masks = random_masks(rng, 9, size)
    lists = [of_pixels(mask) for mask in masks]
    entries = [{"size": list(size), "counts": compressed(counts)} for counts in lists]
    runs = read_run_lengths("masks", entries)
    assert runs.size == size
    assert (runs.counts.dtype, runs.offsets.dtype) == (np.int64, np.int64)
    assert each(runs) == lists
    assert write_run_lengths(runs) == entries
    for counts, mask in zip(each(runs), masks, strict=True):
        np.testing.assert_array_equal(pixels(counts, size), mask)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (130, 200), (0, 4)])
def test_strings_are_those_of_coco(
    rng: np.random.Generator, coco_mask: Any, size: tuple[int, int]
) -> None:
    masks = random_masks(rng, 20, size)
    entries = coco_mask.encode(np.asfortranarray(np.stack(masks, axis=-1).astype(np.uint8)))
    runs = read_run_lengths("masks", entries)
    assert each(runs) == [of_pixels(mask) or [0] for mask in masks]
    assert write_run_lengths(runs) == entries


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_all_that_coco_reads(coco_mask: Any, counts: list[int], height: int, width: int) -> None:
    """Empty runs in the middle and at the end, too."""
    left = height * width
    counts = [min(count, left) for count in counts]
    for position, count in enumerate(counts):
        counts[position] = min(count, left)
        left -= counts[position]
    counts.append(left)
    size = [height, width]
    (expected,) = coco_mask.frPyObjects([{"size": size, "counts": counts}], height, width)
    for form in (expected["counts"], expected["counts"].decode(), counts, tuple(counts)):
        runs = read_run_lengths("masks", [{"size": size, "counts": form}])
        assert each(runs) == [counts]
    assert expected["counts"] == compressed(counts)
    assert write_run_lengths(runs) == [expected]
    if height * width > 0:
        np.testing.assert_array_equal(
            pixels(runs.counts, (height, width)), coco_mask.decode(expected)
        )


@given(st.lists(st.integers(0, 2**31) | st.integers(0, 3), max_size=12))
def test_large_counts(counts: list[int]) -> None:
    """Up to the largest image, of which every count and every difference is read."""
    size = (2**2, 2**31 - 1)
    left = size[0] * size[1] - sum(counts)
    while left < 0:
        left += counts.pop()
    counts.append(left)
    entry = {"size": list(size), "counts": compressed(counts)}
    runs = read_run_lengths("masks", [entry])
    assert each(runs) == [counts]
    assert write_run_lengths(runs) == [entry]


def test_forms_of_counts_may_be_mixed() -> None:
    counts = [3, 5, 0, 4, 12]
    text = compressed(counts)
    integers = [np.array(counts, dtype) for dtype in (np.uint8, np.int16, np.uint64, object)]
    forms: list[Any] = [text, text.decode(), np.str_(text.decode()), np.bytes_(text)]
    forms += [bytearray(text), memoryview(text), memoryview(bytes(48) + text)[48:]]
    forms += [counts, tuple(counts), [np.int32(count) for count in counts], *integers]
    forms += [np.repeat(counts, 2)[::2]]
    sizes: list[Any] = [[4, 6], (4, 6), np.array([4, 6]), [np.uint8(4), np.int64(6)]]
    entries = [{"size": size, "counts": form} for size in sizes for form in forms]
    array = np.empty(len(entries), object)
    array[:] = entries
    proxies = [collections.ChainMap(entry) for entry in entries]
    for given_entries in (entries, tuple(entries), collections.deque(entries), array, proxies):
        if isinstance(given_entries, collections.deque):
            given_entries = collections.UserList(given_entries)
        assert each(read_run_lengths("masks", given_entries)) == [counts] * len(entries)


def test_empty() -> None:
    for entries in ([], (), np.empty(0, object)):
        runs = read_run_lengths("masks", entries)
        assert (runs.size, runs.counts.tolist(), runs.offsets.tolist()) == ((0, 0), [], [0])
        assert read_run_lengths("masks", entries, (4, 6)).size == (4, 6)
        assert write_run_lengths(runs) == []
    for counts in (b"", "", [], (), b"0", [0], [0, 0, 0], np.array([])):
        entry = {"size": [0, 4], "counts": counts}
        assert sum(each(read_run_lengths("masks", [entry]))[0]) == 0


def test_numbers_longer_than_need_be(coco_mask: Any) -> None:
    """COCO reads digits that add nothing."""
    for text in (b"3f0", b"cP0dP0", b"3PPP0Q0"):
        counts = numbers(text)
        assert counts is not None
        entry = {"size": [1, sum(counts)], "counts": text}
        assert each(read_run_lengths("masks", [entry])) == [counts]
        np.testing.assert_array_equal(coco_mask.decode(entry), pixels(counts, (1, sum(counts))))


def test_many_masks_are_read_by_many_threads(rng: np.random.Generator) -> None:
    masks = random_masks(rng, 300, (25, 40))
    lists = [of_pixels(mask) for mask in masks]
    entries: list[Entry] = [
        {"size": [25, 40], "counts": compressed(counts) if i % 7 else counts}
        for i, counts in enumerate(lists)
    ]
    length = sum(len(entry["counts"]) for entry in entries)
    assert length * rle.SCORES_PER_CHARACTER > threads.PARALLEL_FROM
    runs = read_run_lengths("masks", entries)
    assert each(runs) == lists
    assert [entry["counts"] for entry in write_run_lengths(runs)] == list(map(compressed, lists))
    entries[200] = {"size": [25, 40], "counts": compressed([*lists[200], 1])}
    with pytest.raises(ValueError, match=r"^masks\[200\]: the first \d+ counts sum to 1001, but"):
        read_run_lengths("masks", entries)


def test_a_huge_mask_takes_no_memory() -> None:
    side = 70_000
    for counts in ([0, side**2], [side**2 - 7, 7], [side**2]):
        entry = {"size": [side, side], "counts": compressed(counts)}
        write_run_lengths(read_run_lengths("masks", [entry] * 3))  # compiling takes memory
        tracemalloc.start()
        runs = read_run_lengths("masks", [entry] * 3)
        written = write_run_lengths(runs)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert each(runs) == [counts] * 3
        assert written == [entry] * 3
        assert peak < 1 << 20


def test_real_masks(real_data: Path, coco_mask: Any) -> None:
    def load(name: str) -> Any:
        with gzip.open(real_data / "coco" / name) as file:
            return json.load(file)

    by_size = collections.defaultdict(list)
    for result in load("instances_val2014_fakesegm100_results.json.gz"):
        by_size[tuple(result["segmentation"]["size"])].append(result["segmentation"])
    for name in ("instances_val2014_100", "coco_mini_val2017_subset", "minto5z_val2017_subset"):
        for annotation in load(f"{name}.json.gz")["annotations"]:
            if isinstance(annotation["segmentation"], dict):
                crowd = annotation["segmentation"]
                by_size[tuple(crowd["size"])].append(crowd)
    assert sum(map(len, by_size.values())) > 734
    for size, entries in by_size.items():
        runs = read_run_lengths("masks", entries, size)
        assert runs.size == size
        for entry, counts, written in zip(
            entries, each(runs), write_run_lengths(runs), strict=True
        ):
            if isinstance(entry["counts"], list):
                (entry,) = coco_mask.frPyObjects([entry], *size)
            text = entry["counts"]
            assert written["counts"] == (text.encode() if isinstance(text, str) else text)
            np.testing.assert_array_equal(pixels(counts, size), coco_mask.decode(entry))


# ---- what is not -------------------------------------------------------------------------------

FULL = {"size": [4, 4], "counts": [0, 16]}

MALFORMED: list[tuple[Any, type[Exception], str]] = [
    # entries
    (None, TypeError, r"masks[1] must be a dict with 'size' and 'counts', got None"),
    (7, TypeError, r"masks[1] must be a dict with 'size' and 'counts', got 7"),
    ("0o", TypeError, r"masks[1] must be a dict with 'size' and 'counts', got '0o'"),
    ([FULL], TypeError, r"masks[1] must be a dict with 'size' and 'counts', got [{"),
    ({}, ValueError, r"masks[1] must be a dict with 'size' and 'counts', got one without 'size'"),
    ({"segmentation": FULL}, ValueError, "without 'size'; where 'segmentation' holds the mask"),
    ({"boxes": [[0, 0, 1, 1]]}, ValueError, "boxes of images are joined, and groups="),
    ({"size": [4, 4]}, ValueError, r"got one without 'counts'"),
    ({"counts": [16]}, ValueError, r"got one without 'size'"),
    # sizes
    *(
        ({"size": size, "counts": [16]}, error, f"masks[1]: size must be {text}, got ")
        for size, error, text in [
            (None, TypeError, "(height, width), two integers"),
            (16, TypeError, "(height, width), two integers"),
            ("44", TypeError, "(height, width), two integers"),
            (b"\4\4", TypeError, "(height, width), two integers"),
            ({4: 4, 5: 4}, TypeError, "(height, width), two integers"),
            (range(4, 6), TypeError, "(height, width), two integers"),
            ([4.0, 4.0], TypeError, "(height, width), two integers"),
            ([3.5, 4], TypeError, "(height, width), two integers"),
            ([4, float("nan")], TypeError, "(height, width), two integers"),
            ([4, float("inf")], TypeError, "(height, width), two integers"),
            (["4", "4"], TypeError, "(height, width), two integers"),
            ([16, True], TypeError, "(height, width), two integers"),
            ([None, None], TypeError, "(height, width), two integers"),
            ([[4], [4]], TypeError, "(height, width), two integers"),
            (np.array(16), TypeError, "(height, width), two integers"),
            (np.array([4.0, 4.0]), TypeError, "(height, width), two integers"),
            (np.array([True, True]), TypeError, "(height, width), two integers"),
            (np.array([[4, 4], [4, 4]]), TypeError, "(height, width), two integers"),
            ([], ValueError, "(height, width), two integers"),
            ([16], ValueError, "(height, width), two integers"),
            ([4, 4, 1], ValueError, "(height, width), two integers"),
            ([-4, -4], ValueError, "(height, width), both >= 0"),
            ([4, -4], ValueError, "(height, width), both >= 0"),
        ]
    ),
    *(
        ({"size": size, "counts": counts}, ValueError, "8,589,934,592 pixels, got (")
        for size in ([100_000, 100_000], [2**31, 1], [0, 2**31], [2**32, 2**32], [2**70, 2**70])
        for counts in ([size[0] * size[1]], b"")
    ),
    ({"size": [10**5000, 1], "counts": b""}, ValueError, "masks[1]: size must have sides of at"),
    ({"size": [2, 8], "counts": [16]}, ValueError, "masks[1] has the size (2, 8), but masks[0]"),
    # counts
    *(
        ({"size": [4, 4], "counts": counts}, TypeError, f"masks[1]: counts must be {text}")
        for counts, text in [
            (None, "a string, bytes, or a list or array of integers, got None"),
            (16, "a string, bytes, or a list or array of integers, got 16"),
            (16.0, "a string, bytes, or a list or array of integers, got 16.0"),
            ({16}, "a string, bytes, or a list or array of integers, got {16}"),
            ({"0": 16}, "a string, bytes, or a list or array of integers, got {"),
            (iter([16]), "a string, bytes, or a list or array of integers, got <list_it"),
            (memoryview(np.array([16])), "a string, bytes, or a list or array of integers, got"),
            ([8, 8.0], "integers, got 8.0 at position 1"),
            ([15, True], "integers, got True at position 1"),
            ([16, None], "integers, got None at position 1"),
            ([float("nan")], "integers, got nan at position 0"),
            ([float("inf")], "integers, got inf at position 0"),
            (["16"], "integers, got '16' at position 0"),
            ([[16]], "integers, got [16] at position 0"),
            ([[8, 8], [0]], "integers, got [8, 8] at position 0"),
            (np.array([16.0]), "integers in one dimension, got an array of shape (1,) and dtype f"),
            (np.array([np.nan]), "integers in one dimension, got an array of shape (1,)"),
            (np.array([[16]]), "integers in one dimension, got an array of shape (1, 1)"),
            (np.array(16), "integers in one dimension, got an array of shape ()"),
            (np.array([True] * 16), "integers in one dimension, got an array of shape (16,)"),
            (np.array(["16"]), "integers in one dimension, got an array of shape (1,)"),
            (np.array([16.5], object), "integers, got 16.5 at position 0"),
        ]
    ),
    ({"size": [4, 4], "counts": np.ma.array([16])}, TypeError, "counts is a masked array"),
    *(
        ({"size": [4, 4], "counts": counts}, ValueError, f"masks[1]: {text}")
        for counts, text in [
            ([-1, 17], "counts must be >= 0, got -1 at position 0"),
            ([20, -4], "counts must be >= 0, got -4 at position 1"),
            (np.array([2**63, 2**63 - 16, 32], np.uint64), "counts sum to 18446744073709551632, "),
            ([2**64, 16 - 2**64], "counts must be >= 0, got -184"),
            ([2**63, 2**63, 16], "counts sum to 18446744073709551632, but size (4, 4) has 16 pix"),
            ([10**5000], "counts sum to a very large int, but size (4, 4) has 16 pixels"),
            ([12], "counts sum to 12, but size (4, 4) has 16 pixels"),
            ([4, 8, 5], "counts sum to 17, but size (4, 4) has 16 pixels"),
            ([], "counts sum to 0, but size (4, 4) has 16 pixels"),
            (np.array([], int), "counts sum to 0, but size (4, 4) has 16 pixels"),
            (b"", "counts sum to 0, but size (4, 4) has 16 pixels"),
            ("", "counts sum to 0, but size (4, 4) has 16 pixels"),
            (compressed([12]), "counts sum to 12, but size (4, 4) has 16 pixels"),
            (compressed([4, 8, 5]), "the first 3 counts sum to 17, but size (4, 4) has 16 pixels"),
            (compressed([4, 8, 4, 1, 1]), "the first 4 counts sum to 17, but size (4, 4)"),
            (compressed([0, 2**32 + 16]), "the first 2 counts sum to 4294967312, but size (4, 4)"),
            (compressed([-1, 17]), "counts must be >= 0, got -1 as number 0"),
            (compressed([4, 8, 4, -1, 1]), "counts must be >= 0, got -1 as number 3"),
            (b"4\x00", "counts have the character '\\x00' at position 1, but only those from"),
            (b"4/", "counts have the character '/' at position 1, but only those"),
            (b"4p", "counts have the character 'p' at position 1, but only those"),
            (b"4 ", "counts have the character ' ' at position 1, but only those"),
            (b"\xff4", "counts have the character 'ÿ' at position 0, but only those"),
            ("4é", "counts have the character 'é' at position 1, but only those"),
            ("\ud800", "counts have the character '\\ud800' at position 0, but only those"),
            ("4\u0660", "counts have the character '٠' at position 1, but only those"),
            (b"4o", "counts end within the number that begins at position 1"),
            (b"oooooo", "counts end within the number that begins at position 0"),
            (b"ooooooo", "counts end within the number that begins at position 0"),
            (b"oooooooo", "counts have a number of 8 or more characters at position 0"),
            (b"4" + b"P" * 7 + b"0", "counts have a number of 8 or more characters at position 1"),
            (b"o" * 100_000, "counts have a number of 8 or more characters at position 0"),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "error", "message"), MALFORMED)
def test_malformed_entries(entry: Any, error: type[Exception], message: str) -> None:
    for before in (FULL, {"size": [4, 4], "counts": b"0`0"}):  # among either kind
        with pytest.raises(error, match=re.escape(message)) as raised:
            read_run_lengths("masks", [before, entry, FULL])
        assert str(raised.value).startswith("masks[1]")
        assert len(str(raised.value)) < 300
    with pytest.raises(error, match=r"^masks\[0\]"):
        read_run_lengths("masks", [entry], (4, 4))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (FULL, r"masks must be a list of dicts, got one dict: pass \[masks\]"),
        (None, "masks must be a list of dicts with 'size' and 'counts', got None"),
        (7, "got 7$"),
        ("0`0", "got '0`0'"),
        (b"0`0", "got b'0`0'"),
        ({FULL["counts"][0]}, "got {0}"),
        ((entry for entry in [FULL]), "got <generator"),
        (np.array(FULL), r"got an array of shape \(\)"),
        (np.zeros((2, 4)), r"masks\[0\] must be a dict with 'size' and 'counts', got \[0.0"),
    ],
)
def test_entries_that_are_no_list(entries: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        read_run_lengths("masks", entries)


def test_the_size_asked_for() -> None:
    assert read_run_lengths("masks", [FULL], (4, 4)).size == (4, 4)
    with pytest.raises(ValueError, match=r"masks\[0\] has the size \(4, 4\), but size is \(4, 5\)"):
        read_run_lengths("masks", [FULL], (4, 5))
    with pytest.raises(ValueError, match=r"^size must"):
        read_run_lengths("masks", [], (100_000, 100_000))
    with pytest.raises(TypeError, match=r"^size must"):
        read_run_lengths("masks", [], (4.5, 4))  # type: ignore[arg-type]


# ---- anything ----------------------------------------------------------------------------------

ODD: list[Any] = [None, True, -1, 0, 3.0, 2.5, float("nan"), 2**31, 2**32, 2**63, 2**64, 2**200]
ODD += ["", "4", b"4", [], [[]], {}, (1,), np.int8(3), np.uint64(2**63), np.float32(2)]


def mutated(rng: np.random.Generator, entry: Entry) -> Any:
    """An entry with something changed; sometimes it is still valid."""
    size: Any = list(entry["size"])
    counts: Any = entry["counts"]
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(8)
        if kind == 0 and isinstance(size, list):
            size[rng.integers(2)] = ODD[rng.integers(len(ODD))]
        elif kind == 1 and isinstance(size, list):
            size = size[::-1]
        elif kind == 2 and rng.random() < 0.2:
            counts = ODD[rng.integers(len(ODD))]
        elif isinstance(counts, bytes | list) and counts:
            changed = list(counts)
            i, j = rng.integers(len(changed), size=2)
            if kind == 3:
                del changed[i : i + rng.integers(1, 3)]
            elif kind == 4:
                changed = changed[:i]
            elif kind == 5:
                changed[i], changed[j] = changed[j], changed[i]
            elif kind == 6:
                changed.insert(i, changed[j])
            elif isinstance(counts, bytes):
                changed[i] ^= 1 << rng.integers(8)
            else:
                changed[i] = ODD[rng.integers(len(ODD))]
            counts = bytes(changed) if isinstance(counts, bytes) else changed
    if rng.random() < 0.02:
        return ODD[rng.integers(len(ODD))]
    if isinstance(counts, bytes) and rng.random() < 0.3:
        counts = counts.decode("latin-1")
    return {"size": size, "counts": counts}


def assert_judged_rightly(entry: Any) -> bool:
    """Whether it is valid."""
    expected = expected_counts(entry)
    if expected is not None:
        runs = read_run_lengths("masks", [entry])
        assert each(runs) == [expected], entry
        assert runs.size == tuple(map(int, entry["size"]))
        return True
    with pytest.raises((ValueError, TypeError), match=r"^masks\[0\]"):
        read_run_lengths("masks", [entry])
    return False


def test_mutated_entries(rng: np.random.Generator) -> None:
    valid = 0
    for number in range(2000):
        size = tuple(rng.integers(1, 30, size=2).tolist())
        counts = of_pixels(rng.random(size) < rng.random())
        form = counts if number % 3 == 0 else compressed(counts)
        valid += assert_judged_rightly(mutated(rng, {"size": size, "counts": form}))
    assert 50 < valid < 1000


@given(
    st.binary(max_size=12) | st.text(st.characters(min_codepoint=46, max_codepoint=113)),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_any_characters(text: str | bytes, height: int, width: int) -> None:
    assert_judged_rightly({"size": [height, width], "counts": text})
