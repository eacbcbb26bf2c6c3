"""Groups of integers and names, of one key and several, as arrays, lists, columns and frames."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, random_boxes
from hypothesis import given
from hypothesis import strategies as st

import fastiou

NAMES = ["b.jpg", "a.jpg", "é", "", "a", "the longest of all names"]


def numbers_of(*keys: Any) -> Array:
    """A number for each combination of keys, by plain Python."""
    known: dict[Any, int] = {}
    rows = zip(*(list(key) for key in keys), strict=True)
    return np.array([known.setdefault(row, len(known)) for row in rows], np.int64)


def assert_groups(
    of_each: Callable[[Array, Array], Any], size: int, rng: np.random.Generator
) -> None:
    """Compare what keys give with what integers that stand for them give, in every relation.

    `of_each(images, classes)` makes the groups of a set from two keys, of integers.
    """
    a, b = random_boxes(rng, size, span=20), random_boxes(rng, size + 3, span=20)
    keys = [(rng.integers(0, 6, len(x)), rng.integers(0, 3, len(x))) for x in (a, b)]
    both = numbers_of(*(np.concatenate(key) for key in zip(*keys, strict=True)))
    plain = both[:size], both[size:]
    groups = tuple(of_each(*own) for own in keys)
    scores = rng.random(size)

    def parts(found: Any) -> Any:
        return found if isinstance(found, np.ndarray) else tuple(found)

    for call in (
        lambda own: fastiou.pairs(a, b, 0.1, groups=own),
        lambda own: fastiou.pairs(a, b, 0.1, groups=list(own)),
        lambda own: fastiou.pairs(a, threshold=0.1, groups=own[0]),
        lambda own: fastiou.topk(a, b, 2, groups=own),
        lambda own: fastiou.match(a, b, 0.1, groups=own),
        lambda own: fastiou.match(a, b, 0.1, groups=own, method="coco", scores=scores),
        lambda own: fastiou.nms(a, scores, 0.1, groups=own[0]),
        lambda own: fastiou.nms(a, scores, 0.1, groups=own[0], max_output=1),
        lambda own: fastiou.soft_nms(a, scores, 0.1, groups=own[0]),
        lambda own: fastiou.batched_nms(a, scores, own[0], 0.1),
        lambda own: fastiou.Index(b, groups=own[1]).pairs(a, 0.1, groups=own[0]),
        lambda own: fastiou.Index(b, groups=own[1]).topk(a, 2, groups=own[0]),
        lambda own: pickle.loads(pickle.dumps(fastiou.Index(b, groups=own[1]))).pairs(
            a, 0.1, groups=own[0]
        ),
        # Both sets are prepared together, since these are not as the index is.
        lambda own: fastiou.Index(b, groups=own[1]).pairs(a * 1e200, 0.1, groups=own[0]),
    ):
        found, wanted = parts(call(groups)), parts(call(plain))
        for part, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(part, other, strict=True)


FORMS: dict[str, Callable[[Array, Array], Any]] = {
    "integers": lambda images, classes: 3 * images + classes,
    "wide integers": lambda images, classes: (3 * images + classes) * 10**15 - 10**16,
    "unsigned": lambda images, classes: (images * 3 + classes).astype(np.uint64) + np.uint64(2**63),
    "whole floats": lambda images, classes: (3.0 * images + classes).astype(np.float32),
    "a list": lambda images, classes: (3 * images + classes).tolist(),
    "a tuple of integers": lambda images, classes: tuple((3 * images + classes).tolist()),
    "names": lambda images, classes: [
        f"{NAMES[i]}/{c}" for i, c in zip(images, classes, strict=True)
    ],
    "a tuple of names": lambda images, classes: tuple(
        f"{NAMES[i]}/{c}" for i, c in zip(images, classes, strict=True)
    ),
    "an array of names": lambda images, classes: np.array(
        [f"{NAMES[i]}/{c}" for i, c in zip(images, classes, strict=True)]
    ),
    "objects": lambda images, classes: np.array(
        [f"{NAMES[i]}/{c}" for i, c in zip(images, classes, strict=True)], object
    ),
    "bytes": lambda images, classes: np.array(
        [f"{i}/{c}".encode() for i, c in zip(images, classes, strict=True)]
    ),
    "integers as objects": lambda images, classes: (3 * images + classes).astype(object),
    "two keys": lambda images, classes: (images, classes),
    "a name and a number": lambda images, classes: ([NAMES[i] for i in images], classes),
    "three keys": lambda images, classes: (images * 2**60, [NAMES[i] for i in images], classes),
}


@pytest.mark.parametrize("of_each", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "size", [0, 1, 2, 40, pytest.param(41, marks=pytest.mark.general_way), 700]
)
def test_keys_of_any_form(
    of_each: Callable[[Array, Array], Any], size: int, rng: np.random.Generator
) -> None:
    assert_groups(of_each, size, rng)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("size", [0, 2, 40])
def test_frames_and_columns(library: str, size: int, rng: np.random.Generator) -> None:
    module = pytest.importorskip(
        library, exc_type=ImportError, reason=f"{library} is not installed"
    )
    frame = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}[library]
    make = getattr(module, frame)

    def table(images: Array, classes: Array) -> Any:
        return make({"image": [NAMES[i] for i in images], "class": classes})

    def column(images: Array, classes: Array) -> Any:
        both = make({"key": [f"{i} {c}" for i, c in zip(images, classes, strict=True)]})
        return both["key"]

    def numbers(images: Array, classes: Array) -> Any:
        return make({"key": 3 * images + classes})["key"]

    assert_groups(table, size, rng)
    assert_groups(column, size, rng)
    assert_groups(numbers, size, rng)
    assert_groups(lambda images, classes: (column(images, classes), images), size, rng)


@pytest.mark.parametrize("kind", ["Int64", "category", "string", "object", "Float64", "boolean"])
def test_columns_of_pandas(kind: str, rng: np.random.Generator) -> None:
    pandas = pytest.importorskip("pandas", exc_type=ImportError, reason="pandas is not installed")

    def columns(images: Array, classes: Array) -> Any:
        own = images if kind in ("Int64", "Float64") else [NAMES[i] for i in images]
        if kind == "boolean":
            own = images > 2
        first = pandas.Series(own, index=np.arange(len(images))[::-1] + 5).astype(kind)
        return pandas.DataFrame({"first": first, "image": pandas.Series(images, first.index),
                                 7: pandas.Series(classes, first.index)})  # fmt: skip

    assert_groups(columns, 30, rng)
    box = [[0, 0, 1, 1]] * 3
    series = pandas.Series([1, None, 1] if kind != "boolean" else [True, None, True])
    if kind in ("category", "string"):
        series = pandas.Series(["a", None, "a"])
    with pytest.raises(ValueError, match=r"^groups has no value at position 1: "):
        fastiou.pairs(box, groups=series.astype(kind))
    with pytest.raises(ValueError, match=r"^groups\['x'\] has no value at position 1: "):
        fastiou.nms(box, [1, 2, 3], groups=pandas.DataFrame({"x": series.astype(kind)}))


MISSING = {
    "None": lambda: [1, None, 2],
    "None among names": lambda: ["a", None, "b"],
    "NaN": lambda: [1, math.nan, 2],
    "NaN among names": lambda: ["a", math.nan, "b"],
    "float32": lambda: np.array([1, math.nan, 2], np.float32),
    "objects": lambda: np.array(["a", None, "b"], object),
    "NumPy's NaN": lambda: np.array(["a", np.float64("nan"), "b"], object),
    "a tuple": lambda: (1, None, 2),
    "pandas' NA": lambda: [1, pytest.importorskip("pandas", exc_type=ImportError).NA, 2],
    "pandas' NA among names": lambda: [
        "a",
        pytest.importorskip("pandas", exc_type=ImportError).NA,
        "b",
    ],
    "pandas": lambda: pytest.importorskip("pandas", exc_type=ImportError).Series(["a", None, "b"]),
    "polars": lambda: pytest.importorskip("polars", exc_type=ImportError).Series([1, None, 2]),
    "names of polars": lambda: pytest.importorskip("polars", exc_type=ImportError).Series(
        ["a", None, "b"]
    ),
    "pyarrow": lambda: pytest.importorskip("pyarrow", exc_type=ImportError).array([1, None, 2]),
    "names of pyarrow": lambda: pytest.importorskip("pyarrow", exc_type=ImportError).array(
        ["a", None, "b"]
    ),
}


@pytest.mark.parametrize("make", MISSING.values(), ids=MISSING)
def test_what_is_missing_is_refused_by_name_and_position(make: Callable[[], Any]) -> None:
    box, missing = [[0, 0, 1, 1]] * 3, make()
    one = list(missing) if isinstance(missing, tuple) else missing
    for name, call in (
        ("groups", lambda: fastiou.pairs(box, groups=missing)),
        ("groups[0]", lambda: fastiou.pairs(box, box, groups=(missing, [1, 1, 1]))),
        ("groups[1]", lambda: fastiou.match(box, box, groups=([1, 1, 1], missing))),
        ("groups[1][0]", lambda: fastiou.topk(box, box, groups=(([1] * 3,), (one,)))),
        ("groups[1]", lambda: fastiou.nms(box, [1, 2, 3], groups=([1, 1, 1], one))),
        ("groups", lambda: fastiou.Index(box, groups=missing)),
        ("groups", lambda: fastiou.Index(box, groups=[1, 2, 3]).pairs(box, groups=missing)),
        ("idxs", lambda: fastiou.batched_nms(box, [1, 2, 3], missing, 0.5)),
    ):
        with pytest.raises(ValueError, match="has no value at position 1: ") as raised:
            call()
        assert str(raised.value).startswith(f"{name} has no value at position 1: ")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1, 2.5, 3], "groups must hold .*got 2.5 at position 1"),
        ([1, math.inf, 3], "groups must hold .*got inf at position 1"),
        (np.array([1, 2**24, 3], np.float32), "groups must hold .*float32 is not exact"),
        (np.array([1, 2**11, 3], np.float16), "groups must hold .*float16 is not exact"),
        ([1.0, 2.0**53, 3], "groups must hold .*float64 is not exact"),
        ([1, "a", 2], "groups must hold .*got 1 at position 0 and 'a' at position 1"),
        (["a", 1, "b"], "groups must hold .*got 'a' at position 0 and 1 at position 1"),
        (["a", b"a", "b"], "groups must hold .*one kind for all"),
        (["a", True, "b"], "groups must hold .*got 'a' at position 0 and True at position 1"),
        ([1j, 2, 3], "groups must hold integers or names.*got dtype complex128"),
        ([object(), 2, 3], "groups must hold integers or names.*at position 0"),
        ([1, [2], 3], "groups cannot be read as an array"),
        ([1, 2**64, 3], "groups must hold integers of 64 bits, got 1 to"),
        ([-1, 2**63, 3], "groups must hold integers, since float64 is not exact for such numbers"),
        ([1, 10**5000, 3], "groups must hold integers of 64 bits, got 1 to a very large int"),
        (np.array(["2024-01-01"] * 3, "M8[D]"), r"groups must hold .*\.astype\(str\)"),
        (
            [[1, 2]] * 3,
            r"groups must have the shape \(3,\), got \(3, 2\); several keys are a tuple",
        ),
        ([[1, 2, 3]] * 2, r"groups must have the shape \(3,\), got \(2, 3\); several keys"),
        ([("a", 1)] * 3, r"groups must have the shape \(3,\), got \(3, 2\); several keys"),
        (([1, 2, 3], [1, 2]), r"groups\[1\] must have the shape \(3,\), got \(2,\)"),
        (([1, 2, 3], None), r"groups\[1\] must hold .*got None"),
        (([1, 2, 3], 1), r"groups\[1\] must hold .*|groups\[1\] must have the shape \(3,\)"),
        ("abc", "groups must hold .*got 'abc'"),
        (3, r"groups must hold .*got 3|groups must have the shape"),
        ({"a": [1, 2, 3]}, "groups must hold"),
    ],
)
def test_what_is_no_key(groups: Any, message: str) -> None:
    box = [[0, 0, 1, 1]] * 3
    for call in (
        lambda: fastiou.pairs(box, groups=groups),
        lambda: fastiou.nms(box, [1, 2, 3], groups=groups),
        lambda: fastiou.Index(box, groups=groups),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{message}") as raised:
            call()
        assert len(str(raised.value)) < 300
    with pytest.raises((TypeError, ValueError)) as raised:
        fastiou.match(box, box, groups=(groups, [1, 2, 3]))
    assert str(raised.value).startswith(("groups[0]", "groups must be a tuple of two"))


def test_keys_of_two_sets_must_be_alike() -> None:
    box = [[0, 0, 1, 1]] * 2
    for groups, message in (
        (([1, 2], ["1", "2"]), r"^groups\[0\] must hold names as .*, got integers"),
        ((["1", "2"], [1, 2]), r"^groups\[0\] must hold integers as .*, got names"),
        (((["1", "2"], [1, 2]), ([1, 2], ["1", "2"])), r"^key 0 of groups\[0\] must hold integers"),
        ((([1, 2], [1, 2]), [1, 2]), r"^groups\[0\] must have as many keys .*, 1, got 2"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            fastiou.pairs(box, box, groups=groups)
    index = fastiou.Index(box, groups=["a", "b"])
    with pytest.raises(TypeError, match=r"^groups must hold names as .*, got integers"):
        index.topk(box, groups=[1, 2])
    for wrong in (["a", "b"], 5, (["a", "b"],), "ab"):
        with pytest.raises(ValueError, match=r"^groups must be a tuple of two, the groups of a"):
            fastiou.pairs(box, box, groups=wrong)


def test_columns_of_two_frames_are_compared_by_name() -> None:
    pandas = pytest.importorskip("pandas", exc_type=ImportError, reason="pandas is not installed")
    box = [[0, 0, 1, 1]] * 2
    one = pandas.DataFrame({"image": [1, 2], "class": [5, 6]})
    with pytest.raises(ValueError, match=r"^groups\[0\] must have the columns image, class in"):
        fastiou.pairs(box, box, groups=(one[["class", "image"]], one))
    found = fastiou.pairs(box, box, groups=(one, one))
    assert (found.rows.tolist(), found.cols.tolist()) == ([0, 1], [0, 1])
    assert len(fastiou.pairs(box, box, groups=(one, ([1, 2], [5, 6])))) == 2
    with pytest.raises(ValueError, match=r"^groups must have a column for each key"):
        fastiou.nms(box, [1, 2], groups=one[[]])
    with pytest.raises(ValueError, match=r"^groups must be a tuple of two"):
        fastiou.pairs(box, box, groups=one)


def test_a_tuple_of_arrays_is_always_several_keys() -> None:
    """Also of two members, whose keys could be two numbers, or two sets."""
    box = np.array([[0.0, 0, 1, 1]] * 2)
    assert len(fastiou.pairs(box, groups=(7, 7))) == 1
    assert len(fastiou.pairs(box, groups=("a", "b"))) == 0
    assert len(fastiou.pairs(box, groups=((7, 7), (1, 2)))) == 0
    assert len(fastiou.pairs(box, groups=((7, 7), (1, 1)))) == 1
    # With two sets it is the keys of either, and so are the tuples in it.
    assert len(fastiou.pairs(box, box, groups=((7, 7), (1, 2)))) == 0
    assert len(fastiou.pairs(box, box, groups=((1, 1), (1, 2)))) == 2
    keys = np.array([7, 7]), np.array([1, 2])
    assert len(fastiou.pairs(box, box, groups=(keys, keys))) == 2


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.tuples(
            *[
                st.lists(
                    st.tuples(*[st.sampled_from([0, 1, -1, 2**62, -(2**63)])] * width), max_size=8
                )
            ]
            * 2
        )
    )
)
def test_any_keys(sets: tuple[list[tuple[int, ...]], list[tuple[int, ...]]]) -> None:
    width = len((sets[0] or sets[1] or [(0,)])[0])
    boxes = [np.tile([0.0, 0, 1, 1], (len(own), 1)) for own in sets]
    groups = [
        tuple(np.array([key[i] for key in own], np.int64) for i in range(width)) for own in sets
    ]
    found = fastiou.pairs(*boxes, groups=(groups[0], groups[1]))
    wanted = [
        (i, j) for i, one in enumerate(sets[0]) for j, other in enumerate(sets[1]) if one == other
    ]
    assert list(zip(found.rows.tolist(), found.cols.tolist(), strict=True)) == wanted


def test_batched_nms_takes_floats_as_torchvision_does() -> None:
    boxes, scores = [[0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 4]], [0.8, -0.9, 0.7]
    for idxs in ([0.0, 1.0, 0.0], np.array([0, 1, 0], np.float16), ["a", "b", "a"]):
        assert fastiou.batched_nms(boxes, scores, idxs, 0.5).tolist() == [0, 1]
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensors = torch.tensor(boxes, dtype=torch.float32), torch.tensor(scores)
    for idxs in (torch.zeros(3), torch.zeros(3, dtype=torch.bfloat16), torch.zeros(3).long()):
        kept = fastiou.batched_nms(*tensors, idxs, 0.5)
        assert isinstance(kept, torch.Tensor)
        assert kept.tolist() == [0]
