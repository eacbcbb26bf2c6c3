"""Masks in JSON as arrays: the numbers that `json` reads, or another kind."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastiou.parsing.json_masks import MaskTexts, describe_masks
from fastiou.parsing.mask_kinds import LETTERS, NUMBERS, OTHER, RINGS


def described(*values: str) -> MaskTexts:
    """What stands in a row in one text."""
    ends = np.cumsum([len(value) + 1 for value in values]) - 1
    starts = ends - [len(value) for value in values]
    return describe_masks(",".join(values).encode(), np.stack([starts, ends], axis=1))


def check_rings(value: str) -> None:
    """The numbers are those of `json`, wherever in eight bytes they begin."""
    expected = [np.array(ring, np.float64).reshape(-1, 2) for ring in json.loads(value)]
    for shift in range(8):
        texts = described('"' + "x" * shift + '"', value)
        assert texts.kinds.tolist() == [OTHER, RINGS]
        assert texts.sizes.tolist() == [[-1, -1]] * 2
        rings = texts.rings(np.array([1]))
        assert rings is not None
        assert rings.first.tolist() == [0, len(expected)]
        cuts = rings.cuts.tolist()
        assert cuts == [0, *np.cumsum([len(ring) for ring in expected]).tolist()]
        np.testing.assert_array_equal(rings.corners, np.concatenate(expected))


NUMBER = st.integers(-99, 10**6) | st.floats(-1e9, 1e9, allow_subnormal=False)


@given(
    st.lists(st.lists(st.tuples(NUMBER, NUMBER), min_size=3, max_size=9), min_size=1, max_size=3),
    st.sampled_from([None, 0, 1]),
    st.booleans(),
)
def test_any_rings(rings: list[Any], indent: int | None, tight: bool) -> None:
    flat = [[number for point in ring for number in point] for ring in rings]
    separators = (",", ":") if tight else (" , ", ": ")
    check_rings(json.dumps(flat, indent=indent, separators=separators))


def test_exponents_and_blanks() -> None:
    check_rings("[[1e0,2E+1,3.5e-2,\t4 ,5\n, 6]]")
    check_rings("[ [1,2,3,4,5,6]\r\n,[ 1e1 , 2, 3, 4, 5, 6 , 7, 8]  ]")


@pytest.mark.parametrize(
    "value",
    [
        *("[]", "[[]]", "[1, 2, 3, 4, 5, 6]", "[[1, 2, 3, 4, 5]]", "[[1, 2, 3, 4]]", "null", "1"),
        *("[[1, 2, 3, 4, 5, 6], []]", "[[1, 2, 3, 4, 5, 6], 7]", "[[[1, 2], [3, 4], [5, 6]]]"),
        *('[[1, 2, 3, 4, 5, "6"]]', '[[1, 2, 3, 4, 5, "6,7,8"]]', "[[1, 2, 3, 4, 5, null]]"),
        *("[[1, 2, 3, 4, 5, {}]]", "[[1, 2, 3, 4, 5, true]]", "[{}]", '["x"]', '"[[1]]"', "{}"),
        *('{"size": [1, 2]}', '{"counts": "a", "size": [1]}', '{"size": [1, 2], "counts": null}'),
        *('{"size": [1, 2], "counts": "\\n"}', '{"size": [1, 2], "counts": "\\u0041"}'),
        *('{"size": [1, 2], "counts": []}', '{"size": [1, 2], "counts": [1.0]}'),
        *('{"size": [1, 2], "counts": [-1]}', '{"size": [1, 2], "count": "a"}', '{"size": 1}'),
        *('{"size": [1, 2], "counts": "a", "x": 1}', '{"size": [1, 2], "size": [1, 2]}'),
        *('{"counts": "a", "counts": "a"}', '{"sizes": [1, 2], "counts": "a"}'),
        *('{"size": [1, 2.0], "counts": "a"}', '{"size": [1, 2, 3], "counts": "a"}'),
        "[[" + "1" * 2000 + ", 2, 3, 4, 5, 6]]",
    ],
)
def test_other_kinds(value: str) -> None:
    json.loads(value)
    assert described(value, "1").kinds.tolist() == [OTHER, OTHER]


@pytest.mark.parametrize("order", [("size", "counts"), ("counts", "size")])
@pytest.mark.parametrize("indent", [None, 1])
def test_run_lengths(order: tuple[str, str], indent: int | None) -> None:
    dice = random.Random(0)
    for length in range(20):
        letters = "".join(dice.choice("0aNO\\") for _ in range(length))
        numbers = [dice.randrange(10**9) for _ in range(length + 1)]
        values = [{"size": [3, 10**12], "counts": each} for each in (letters, numbers)]
        dumped = [
            json.dumps({name: each[name] for name in order}, indent=indent) for each in values
        ]
        texts = described(*dumped)
        assert texts.kinds.tolist() == [LETTERS, NUMBERS]
        assert texts.sizes.tolist() == [[3, 10**12]] * 2
        first, last = texts.starts[0], texts.starts[0] + texts.amounts[0, 0]
        assert json.loads(b'"' + texts.data[first:last] + b'"') == letters
        counts, cuts = texts.counts(np.array([1]))
        assert counts.tolist() == numbers
        assert cuts.tolist() == [0, length + 1]


def test_numbers_that_are_left_to_json() -> None:
    texts = described("[[0.12345678901234567890123, 2, 3, 4, 5, 6]]", "[[1, 2, 3, 4, 5, 6]]")
    assert texts.kinds.tolist() == [RINGS, RINGS]
    assert texts.rings(np.array([0, 1])) is None
    assert texts.rings(np.array([1])) is not None
