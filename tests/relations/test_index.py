"""An index gives what pairs and topk give, bit for bit."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, as_format, awkward_boxes, drawn_boxes, random_boxes
from combinations_for_tests import rotated_boxes
from hypothesis import given
from hypothesis import strategies as st

import fastiou
from fastiou.relations import index as index_module


def assert_same(index: fastiou.Index, a: Any, b: Any, fmt: str = "xyxy", **options: Any) -> None:
    groups = options.pop("groups", None)
    both = None if groups is None else groups
    own = None if groups is None else groups[0]
    for threshold in (0.1, 0.5):
        found = index.pairs(a, threshold, groups=own, **options)
        expected = fastiou.pairs(a, b, threshold, fmt=fmt, groups=both, **options)
        assert found.shape == expected.shape
        for part, other in zip(found, expected, strict=True):
            assert part.dtype == other.dtype
            np.testing.assert_array_equal(part, other)
    for k in (1, 4):
        best = index.topk(a, k, groups=own, **options)
        wanted = fastiou.topk(a, b, k, fmt=fmt, groups=both, **options)
        for part, other in zip(best, wanted, strict=True):
            assert part.dtype == other.dtype
            np.testing.assert_array_equal(part, other)


@pytest.fixture(params=["few rows", "many rows"])
def any_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many rows":
        monkeypatch.setattr(index_module, "MOST_SCORES", -1)


@pytest.mark.usefixtures("any_rows")
@pytest.mark.parametrize("dtypes", [(np.float32,) * 2, (np.float64,) * 2, (np.float32, np.float64)])
@pytest.mark.parametrize("grouped", [False, True])
def test_boxes(rng: np.random.Generator, dtypes: tuple[type, type], grouped: bool) -> None:
    for dtype1, dtype2 in (dtypes, dtypes[::-1]):
        a, b = random_boxes(rng, 60, dtype1), random_boxes(rng, 3000, dtype2)
        groups = None
        index = fastiou.Index(b)
        if grouped:
            groups = rng.integers(-3, 4, 60), 2 * rng.integers(-1, 3, 3000)
            index = fastiou.Index(b, groups=groups[1])
        assert_same(index, a, b, groups=groups)
        assert_same(pickle.loads(pickle.dumps(index)), a, b, groups=groups)
        assert_same(index, b[:500], b, groups=groups and (groups[1][:500], groups[1]))


@pytest.mark.usefixtures("any_rows")
@pytest.mark.parametrize("metric", ["iou", "giou", "ciou", "iof", "intersection"])
@pytest.mark.parametrize("fmt", ["xywh", "cxcywh"])
def test_metrics_and_formats(rng: np.random.Generator, metric: str, fmt: str) -> None:
    a, b = (as_format(random_boxes(rng, size), fmt) for size in (40, 1500))
    assert_same(fastiou.Index(b, fmt), a, b, fmt, metric=metric)


@pytest.mark.usefixtures("any_rows")
def test_rotated_boxes(rng: np.random.Generator) -> None:
    a, b = rotated_boxes(rng, 40), rotated_boxes(rng, 400)
    assert_same(fastiou.Index(b, "cxcywhr"), a, b, "cxcywhr")
    turned = [*a[:2].tolist()]
    assert_same(fastiou.Index(b.tolist(), "cxcywhr"), turned, b, "cxcywhr")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_any_boxes(dtype: type, data: st.DataObject) -> None:
    a, b = data.draw(drawn_boxes(dtype)), data.draw(drawn_boxes(dtype))
    groups = None
    if data.draw(st.booleans()):
        numbers = st.integers(-1, 2)
        groups = tuple(
            np.array(data.draw(st.lists(numbers, min_size=len(c), max_size=len(c))), int)
            for c in (a, b)
        )
    index = fastiou.Index(b, groups=groups and groups[1])
    assert_same(index, a, b, groups=groups)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e-170, 1e160])
def test_huge_and_tiny_boxes(rng: np.random.Generator, scale: float) -> None:
    b = np.concatenate([awkward_boxes(), random_boxes(rng, 300, span=20)])
    for one, other in ((b * scale, b * scale), (b, b * scale), (b * scale, b)):
        assert_same(fastiou.Index(other), one[::7], other)


def test_integers(rng: np.random.Generator) -> None:
    b = random_boxes(rng, 900).round().astype(np.int64)
    for moved in (b, b.astype(np.uint8), b + 2**60, b * 2**40):
        assert_same(fastiou.Index(moved), moved[:30], moved)
    assert_same(fastiou.Index(b), b[:30].astype(np.float32), b)
    large = np.full(900, 2**63, np.uint64)
    groups = np.arange(30) % 2 * 5, large
    assert_same(fastiou.Index(b, groups=large), b[:30], b, groups=groups)


def test_heaps_are_more_than_one_call_has_room_for() -> None:
    b = np.tile([0, 0, 1, 1.0], (300, 1))
    assert len(fastiou.Index(b).pairs(b[:200])) == 60_000


def test_what_is_empty() -> None:
    none = np.empty((0, 4))
    some: Array = np.array([[0, 0, 1, 1.0]])
    for a, b in ((none, some), (some, none), (none, none)):
        assert_same(fastiou.Index(b), a, b)
        groups = np.zeros(len(a), int), np.zeros(len(b), int)
        assert_same(fastiou.Index(b, groups=groups[1]), a, b, groups=groups)


def test_it_keeps_a_copy(rng: np.random.Generator) -> None:
    b = random_boxes(rng, 50)
    index, before = fastiou.Index(b), b.copy()
    b[:] = 0
    assert_same(index, before, before)
    groups = np.arange(50) // 10
    grouped, kept = fastiou.Index(before, groups=groups), groups.copy()
    groups[:] = 0
    assert_same(grouped, before, before, groups=(kept, kept))
    assert_same(grouped, before * 1e200, before, groups=(kept, kept))
    assert len(index) == 50
    assert repr(index) == "<Index: 50 boxes as xyxy>"
    assert repr(fastiou.Index(b, groups=np.arange(50) // 10)).endswith("in 5 groups>")


def test_what_is_refused(rng: np.random.Generator) -> None:
    b = random_boxes(rng, 5)
    with pytest.raises(ValueError, match="infinite coordinate in row 0"):
        fastiou.Index([[0, 0, 1, np.inf]])
    with pytest.raises(ValueError, match="b must be boxes, got masks"):
        fastiou.Index(fastiou.Masks.from_dense(np.ones((1, 3, 3), bool)))
    with pytest.raises(ValueError, match=r"b must have the shape \(N, 4\)"):
        fastiou.Index(b[:, :3])
    with pytest.raises(ValueError, match="fmt must be one of"):
        fastiou.Index(b, "xyz")
    index = fastiou.Index(b)
    with pytest.raises(ValueError, match="groups must be None: the index has none"):
        index.pairs(b, groups=np.zeros(5, int))
    with pytest.raises(ValueError, match="groups must be given, one for each of a"):
        fastiou.Index(b, groups=np.zeros(5, int)).topk(b)
    with pytest.raises(ValueError, match="threshold must be greater than 0"):
        index.pairs(b, 0)
    with pytest.raises(ValueError, match="infinite coordinate in row 1"):
        index.pairs([[0, 0, 1, 1], [0, 0, 1, np.inf]])
    with pytest.raises(ValueError, match="k must be an integer of at least 1"):
        index.topk(b, 0)
