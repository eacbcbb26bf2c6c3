"""Fields of JSON objects as columns: what `json` reads, or nothing."""

from __future__ import annotations

import ctypes
import json
import mmap
import random
import sys
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastiou.parsing import json_columns
from fastiou.parsing.json_columns import (
    FOUR_NUMBERS,
    INTEGER,
    NUMBER,
    PLACE,
    Objects,
    fields_of,
    is_utf8,
    read_objects,
)
from fastiou.parsing.json_kernels import SKIP_VALUE
from fastiou.parsing.json_numbers import FAULT
from fastiou.parsing.mask_kernels import DESCRIBE

KINDS = {"id": INTEGER, "image_id": INTEGER, "score": NUMBER, "bbox": FOUR_NUMBERS, "mask": PLACE}


#: What may be JSON or not, but is not read.
NOT_READ = r"""
[{"id": 1.0}]
[{"id": 1e3}]
[{"id": "1"}]
[{"id": true}]
[{"id": null}]
[{"id": 1234567890123456789}]
[{"id": 01}]
[{"id": -}]
[{"id": +1}]
[{"id": 1, "id": 2}]
[{"i\u0064": 1}]
[{"score": NaN}]
[{"score": Infinity}]
[{"score": 1e400}]
[{"score": 1e-320}]
[{"score": .5}]
[{"score": 5.}]
[{"score": 1e}]
[{"score": 1e+}]
[{"score": 012.5}]
[{"score": 0.12345678901234567891}]
[{"score": "0.5"}]
[{"bbox": [1,2,3]}]
[{"bbox": [1,2,3,4,5]}]
[{"bbox": [1,2,3,4,]}]
[{"bbox": [,1,2,3,4]}]
[{"bbox": {}}]
[{"bbox": [1,2,3,"4"]}]
[{"bbox": [1,2,3,[4]]}]
[{"bbox": [1 2 3 4]}]
[{]
[{}
[,{}]
[{},]
[{},,{}]
[{} {}]
[[]]
[1]
[null]
{}
,{}]
e{}]
[
[{"a"}]
[{"a" 1}]
[{"a": }]
[{"a": 1,}]
[{,"a": 1}]
[{"a": 1 "b": 2}]
[{a: 1}]
[{'a': 1}]
[{"a": "	"}]
[{"a": "\x"}]
[{"a": "\u12g4"}]
[{"a": "}]
[{"a": tru}]
[{"a": truex}]
[{"a": nul}]
[{"a": [1,]}]
[{"a": [1}]
[{"a": {1: 2}}]
[{"a": {"b" 2}}]
[{"a": 1.e5}]
[{"a": -}]
[{"a": 00}]
[{"a": [[}]
[{"a": {]}]"""


def check(data: bytes) -> Objects | None:
    """What is read is what `json` reads. Some of what `json` reads is not."""
    if not is_utf8(data):
        with pytest.raises(UnicodeDecodeError):
            data.decode()
        return None
    found = read_objects(data, len(data) - len(data.lstrip(b" \t\n\r")), KINDS)
    if found is None:
        return None
    entries = json.loads(data[: found.end])
    assert isinstance(entries, list)
    assert found.count == len(entries)
    names = {name for entry in entries for name in entry}
    assert found.columns.keys() | found.others == names
    for name, column in found.columns.items():
        present = found.present[name]
        has = [name in entry for entry in entries]
        assert has == ([True] * len(entries) if present is None else present.tolist())
        for entry, value in zip(entries, column.tolist(), strict=True):
            if name not in entry:
                continue
            if name == "mask":
                assert json.loads(data[slice(*value)]) == entry[name]
            elif name == "bbox":
                assert value == [float(number) for number in entry[name]]
            else:
                assert value == (entry[name] if name.endswith("id") else float(entry[name]))
                assert type(entry[name]) in (int, float)
    return found


def test_plain_objects() -> None:
    entries = [
        {"id": 7, "image_id": -3, "bbox": [1, 2.5, -3e2, 0.1], "score": 0.30000000000000004},
        {"score": 1e-7, "id": 10**17, "image_id": 0, "bbox": [0.0, -0.0, 1e22, 1e23], "mask": []},
        {"name": "ä, \\u00e4 \"[{", "other": {"a": [1, {"b": None}], "c": True}, "id": 1},
    ]  # fmt: skip
    for separators in ((",", ":"), (" ,\n", " :\t")):
        data = json.dumps(entries, ensure_ascii=False, separators=separators).encode()
        found = check(b" " + data + b"  ")
        assert found is not None
        assert found.others == {"name", "other"}
        assert found.end == len(data) + 1
    empty = check(b"[ ]")
    assert empty is not None
    assert empty.count == 0
    assert empty.columns == {}
    objects = check(b"[{}, { }]")
    assert objects is not None
    assert objects.count == 2


@pytest.mark.parametrize("text", NOT_READ.split("\n"))
def test_what_is_left_to_json(text: str) -> None:
    assert check(text.encode()) is None


def test_deep_values_are_left_to_json() -> None:
    for depth in (60, 62, 63, 100):
        found = check(('[{"a": ' + "[" * depth + "]" * depth + "}]").encode())
        assert (found is not None) == (depth <= 62)


def test_more_objects_than_a_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_columns, "PORTION", 3)
    for count in range(11):
        entries = [
            {"id": i, "score": i / 7} | ({"x": 1} if i % 4 == 3 else {}) for i in range(count)
        ]
        found = check(json.dumps(entries).encode())
        assert found is not None
        assert found.others == ({"x"} if count > 3 else set())
    for broken in ('[{"id":1},{"id":2},{"id":3},]', '[{"id":1},{"id":2},{"id":3},{"id":"a"}]'):
        assert check(broken.encode()) is None


def test_many_other_names() -> None:
    assert check(json.dumps([{f"n{i}": i for i in range(48)}]).encode()) is not None
    assert check(json.dumps([{f"n{i}": i for i in range(49)}]).encode()) is None


VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
PLAIN: Any = st.fixed_dictionaries(
    {"id": st.integers(-(10**18) + 1, 10**18 - 1)},
    optional={
        "image_id": st.integers(0, 2**31),
        "score": st.floats(1e-300, 1e300) | st.integers(0, 10),
        "bbox": st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=4, max_size=4),
        "mask": VALUES,
        "other": VALUES,
    },
)


@given(st.lists(PLAIN), st.sampled_from([None, 0, 2]))
def test_plain_objects_are_read(entries: list[Any], indent: int | None) -> None:
    assert check(json.dumps(entries, indent=indent).encode()) is not None


@given(st.lists(st.dictionaries(st.sampled_from([*KINDS, "a", "b", "ü"]), VALUES), max_size=5))
def test_any_objects(entries: list[Any]) -> None:
    check(json.dumps(entries, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@pytest.mark.slow
def test_damaged_text() -> None:
    """What is no JSON is never read; `check` has `json` read all that was."""
    dice = random.Random(0)
    entries = [
        {"id": 7, "image_id": -3, "bbox": [1, 2.5, -3e2, 0.1], "score": 0.30000000000000004},
        {"score": 1e-7, "id": 3, "b": "a\\n\u00e4", "mask": [[1.0, 2], [3e5]], "iscrowd": False},
        {"mask": {"size": [3, 4], "counts": "a0\\b"}, "x": None},
    ]
    alike = [{"id": i, "bbox": [1.5, 2, 30.25, 4], "c": i, "score": 0.625} for i in range(4)]
    contents = [
        json.dumps(some, indent=indent).encode()
        for some in (entries, alike)
        for indent in (None, 1)
    ]
    pieces = [bytes([byte]) for byte in b'0123456789.eE+-,:"\\{}[] \n\ttrufalsn\0\x7f\xff'] + [b""]
    read = 0
    for _ in range(100_000):
        content = dice.choice(contents)
        for _ in range(dice.choice((1, 1, 2, 3))):
            first = dice.randrange(len(content))
            last = first + dice.choice((0, 1, 1, 2, 9))
            content = content[:first] + dice.choice(pieces) + content[last:]
        read += check(content) is not None
    assert read > 1_000


def test_fields_of_an_object() -> None:
    content = {"info": {"a": [1, 2]}, "images": [], "annotations": [{"id": 1}], "ü": "x"}
    for indent in (None, 1):
        data = json.dumps(content, indent=indent, ensure_ascii=False).encode()
        places = fields_of(b"\n" + data + b"\n ")
        assert places is not None
        assert {
            name: json.loads((b"\n" + data)[slice(*place)]) for name, place in places.items()
        } == content
    assert fields_of(b"{}") == {}
    assert fields_of(b" { } ") == {}


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "1", "", "{", '{"a"}', '{"a": 1', '{"a": 1,}', '{"a": 1} 2', '{"a": 1, "a": 2}'),
        *('{"a\\n": 1}', '{"a": 1 "b": 2}', "{,}", '{"a": 1}}', "{a: 1}", '{"a": tru}'),
    ],
)
def test_objects_left_to_json(text: str) -> None:
    assert fields_of(text.encode()) is None


def test_numbers_are_columns() -> None:
    found = read_objects(b'[{"score": 0.5, "bbox": [1, 2, 3, 4]}]', 0, KINDS)
    assert found is not None
    assert found.columns["score"].dtype == np.float64
    assert found.columns["bbox"].shape == (1, 4)


def test_zeros_have_the_sign_that_json_gives() -> None:
    texts = ["-0", "-0.0", "-0e0", "0", "-0E-5"]
    data = "[" + ",".join(f'{{"score": {text}}}' for text in texts) + "]"
    found = check(data.encode())
    assert found is not None
    expected = [float(json.loads(text)) for text in texts]
    np.testing.assert_array_equal(
        np.signbit(found.columns["score"]), np.signbit(expected), strict=True
    )


@pytest.mark.skipif(sys.platform != "linux", reason="protects a page as Linux does")
def test_nothing_is_read_behind_the_last_page() -> None:
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    room = np.frombuffer(memory, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    second = ctypes.c_void_p(room.ctypes.data + page)
    assert libc.mprotect(second, ctypes.c_size_t(page), 0) == 0
    try:
        for text in (
            b'"abc\\"defghijklmnopqrstuvwxyz"',
            b'"abcdefghijk',
            b"[[1, 2.5, -3e5, 4]]",
            b"[[",
        ):
            for shift in range(12):
                own = text + bytes(1) * (1 + shift)
                room[page - len(own) : page] = np.frombuffer(own, np.uint8)
                start = page - len(own)
                end = SKIP_VALUE.serial(room[:page], start)
                whole = text.endswith((b'z"', b"]]"))
                assert end == (start + len(text) if whole else FAULT)
                if text.endswith(b"]]"):  # only JSON is described
                    kinds, starts = np.empty(1, np.int8), np.empty(1, np.int64)
                    sizes, amounts = np.empty((1, 2), np.int64), np.empty((1, 2), np.int64)
                    places = np.array([[start, end]])
                    DESCRIBE.serial(room[:page], places, kinds, sizes, starts, amounts)
                    assert amounts.tolist() == [[0, 0]]
        for numbers in range(1, 40):
            alike = [{"id": 10**i, "score": i / 8} for i in range(numbers)]
            own = json.dumps(alike).encode() + bytes(1)
            room[page - len(own) : page] = np.frombuffer(own, np.uint8)
            text: Any = memoryview(room[page - len(own) : page - 1])
            found = read_objects(text, 0, {"id": INTEGER, "score": NUMBER})
            assert (found is None) == (numbers > 18)
            if found is not None:
                assert found.columns["score"].tolist() == [i / 8 for i in range(numbers)]
    finally:
        assert libc.mprotect(second, ctypes.c_size_t(page), mmap.PROT_READ | mmap.PROT_WRITE) == 0


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":"), (" , ", " :  ")])
def test_what_stands_between_values_may_change(separators: tuple[str, str]) -> None:
    """Names and marks are compared as a whole with those of the object before."""
    dice = random.Random(1)
    kinds: dict[str, Any] = {"id": 3, "image_id": -5, "score": 0.5, "bbox": [1, 2.25, 3, 4]}
    kinds |= {
        "x": "y",
        "z": {"a": 1},
        "longer than what is kept of a gap" + 40 * ".": 0,
    }
    for _ in range(200):
        names = dice.sample(list(kinds), dice.randint(0, len(kinds)))
        entries: list[dict[str, Any]] = []
        for _ in range(dice.randint(1, 8)):
            if dice.random() < 0.3:
                dice.shuffle(names)
            entries.append({name: kinds[name] for name in names if dice.random() < 0.9})
        assert check(json.dumps(entries, separators=separators).encode()) is not None


@pytest.mark.parametrize(
    "text",
    [
        *('"id":1},{"id":2},{"id":3,"id":4}', '"id":1,"x":1},{"id":2,"x":1},{"id":3,"x":1,"x":2}'),
        *('"id":1},{"id":2},{"id":3},{"id":4},', '"id":1},{"id":2},{"id":3}{"id":4}'),
        *('"id":1},{"id":2},{"id":3},["id":4]', '"id":1,"x":1},{"id":2,"x":1},{"id":3,"x":}'),
        '"id":1},{"id":2},{"id":3},{id:4}',
    ],
)
def test_faults_behind_objects_alike(text: str) -> None:
    assert check(f"[{{{text}}}]".encode()) is None
    assert check(f"[{{{text}}}]".replace(",", ", ").encode()) is None


NUMBER_TEXTS = r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"


@given(st.lists(st.from_regex(NUMBER_TEXTS, fullmatch=True)))
def test_numbers_are_the_nearest(texts: list[str]) -> None:
    for name in ("score", "id"):
        for text in texts:
            check(f'[{{"{name}": {text}}}, {{"{name}": {text}}}]'.encode())


def test_large_exponents_of_numbers_with_many_zeros() -> None:
    zeros = "0" * 400
    assert check(f'[{{"score": 0.{zeros}1e4000}}]'.encode()) is None  # infinite
    found = check(f'[{{"score": 0.{zeros}1e402}}]'.encode())
    assert found is not None
    assert found.columns["score"].tolist() == [10.0]


# ---- several threads -----------------------------------------------------------------------------


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("misleading", [False, True], ids=["plain", "misleading"])
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_parts_of_a_list_are_read_on_several_threads(
    monkeypatch: pytest.MonkeyPatch, *, misleading: bool, nested: bool
) -> None:
    """Whatever stands where the list is cut."""
    numba.set_num_threads(2)
    monkeypatch.setattr(json_columns, "PART", 64)
    entries = [
        {
            "id": i, "score": i / 7, "name": "a}, {b" if misleading else "a",
            **({"mask": {"size": [{"a": 1}, {"b": 2}]}} if nested else {}),
            **({"iscrowd": 1} if i % 3 == 0 else {}),
        }
        for i in range(100)
    ]  # fmt: skip
    kinds = {"id": INTEGER, "score": NUMBER, "iscrowd": INTEGER}
    calls = []
    original = json_columns._on_threads
    monkeypatch.setattr(
        json_columns,
        "_on_threads",
        lambda read, parts, event: calls.append(parts) or original(read, parts, event),
    )
    for indent in (None, 2):
        data = json.dumps(entries, indent=indent).encode()
        objects = json_columns.read_objects(data, 0, kinds)
        assert objects is not None
        assert objects.count == 100
        assert objects.end == len(data)
        assert objects.columns["id"].tolist() == list(range(100))
        assert objects.columns["score"].tolist() == [i / 7 for i in range(100)]
        assert objects.present["iscrowd"].tolist() == [i % 3 == 0 for i in range(100)]
        assert objects.others == {"name", *(["mask"] if nested else [])}
        for at in range(0, len(data), 97):  # damaged anywhere
            broken = data[:at] + b"?" + data[at + 1 :]
            for threads_too in (True, False):
                found = json_columns.read_objects(broken, 0, kinds, cut=threads_too)
                plain = json_columns.read_objects(broken, 0, kinds, cut=False)
                assert (found is None) == (plain is None)
    assert calls[0] == 2
