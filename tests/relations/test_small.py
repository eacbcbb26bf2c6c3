"""A few members in one compiled call give the bits of the general way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, as_format, awkward_boxes, drawn_boxes, random_boxes
from combinations_for_tests import rotated_boxes
from hypothesis import given
from hypothesis import strategies as st

import fastiou
from fastiou.relations import small, topk
from fastiou.runtime import memory, threads
from fastiou.runtime.kernel import Kernel

Call = Callable[..., Any]


def parts_of(result: Any) -> list[Array]:
    return [result] if isinstance(result, np.ndarray) else list(result)


def relations(rng: np.random.Generator, a: Array, b: Array, **options: Any) -> dict[str, Call]:
    """Calls of all relations, for these sets."""
    groups = rng.integers(-1, 3, len(a)), rng.integers(-1, 3, len(b))
    scores = rng.random(len(a)).round(1)
    count = min(len(a), len(b))
    calls: dict[str, Call] = {
        "dense": lambda: fastiou.box_iou(a, b, **options),
        "aligned": lambda: fastiou.box_iou(a[:count], b[:count], aligned=True, **options),
        "lists of groups": lambda: fastiou.match(
            a, b, 0.1, groups=(groups[0].tolist(), groups[1].astype(np.int8)), **options
        ),
        "best of all": lambda: fastiou.nms(a, scores, 0.3, max_output=2, **options),
    }
    if options.get("metric") == "intersection":
        return calls
    calls |= {
        "pairs": lambda: fastiou.pairs(a, b, 0.2, **options),
        "pairs in groups": lambda: fastiou.pairs(a, b, 0.2, groups=groups, **options),
        "itself": lambda: fastiou.pairs(a, threshold=0.2, **options),
        "itself in groups": lambda: fastiou.pairs(a, threshold=0.2, groups=groups[0], **options),
        "topk": lambda: fastiou.topk(a, b, 3, **options),
        "topk in groups": lambda: fastiou.topk(a, b, groups=groups, threshold=0.3, **options),
        "greedy": lambda: fastiou.match(a, b, 0.1, **options),
        "greedy in groups": lambda: fastiou.match(a, b, 0.1, groups=groups, **options),
        "optimal": lambda: fastiou.match(a, b, 0.1, method="optimal", **options),
        "most": lambda: fastiou.match(a, b, 0.1, method="most", **options),
        "nms": lambda: fastiou.nms(a, scores, 0.3, **options),
        "nms in groups": lambda: fastiou.nms(a, scores, 0.3, groups=groups[0], **options),
        "nms of some": lambda: fastiou.nms(
            a, scores.astype(np.float32), 0.3, score_threshold=0.4, **options
        ),
    }
    return calls


def assert_same(calls: dict[str, Call], *, all_at_once: bool = True) -> None:
    """Compare with what results when nothing is left to one call."""
    one_call = {name: call() for name, call in calls.items()}
    asked: list[bool] = []

    def none(*_: Any) -> None:
        asked.append(True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "kind_of", none)
        for name, call in calls.items():
            asked.clear()
            expected = call()
            assert asked or not all_at_once, name
            assert type(one_call[name]) is type(expected)
            for part, other in zip(parts_of(one_call[name]), parts_of(expected), strict=True):
                assert part.dtype == other.dtype, name
                np.testing.assert_array_equal(part, other, name)
                assert part.tobytes() == np.ascontiguousarray(other).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["iou", pytest.param("giou", marks=pytest.mark.slow)])
@given(data=st.data())
def test_any_boxes(dtype: type, metric: str, data: st.DataObject) -> None:
    a, b = data.draw(drawn_boxes(dtype)), data.draw(drawn_boxes(dtype))
    if data.draw(st.booleans()):  # one NaN takes all of a call the general way
        a, b = np.nan_to_num(a), np.nan_to_num(b)
    fmt = data.draw(st.sampled_from(["xyxy", "xywh"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    assert_same(relations(rng, a, b, metric=metric, fmt=fmt))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (5, 0), (1, 1), (15, 17), (16, 64), (65, 130)])
def test_sizes_around_those_of_vectors(
    rng: np.random.Generator, sizes: tuple[int, int], dtype: type
) -> None:
    a, b = (random_boxes(rng, size, dtype, span=40) for size in sizes)
    assert_same(relations(rng, a, b))
    a, b = (rotated_boxes(rng, size).astype(dtype) for size in sizes)
    assert_same(relations(rng, a, b, fmt="cxcywhr"))


@pytest.mark.parametrize("fmt", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize(
    "metric",
    [
        *("iou", "giou", "ciou", "iof"),
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("diou", "ios", "dice")),
    ],
)
def test_metrics_and_formats(rng: np.random.Generator, metric: str, fmt: str) -> None:
    a, b = (as_format(random_boxes(rng, size, span=40), fmt) for size in (30, 40))
    assert_same(relations(rng, a, b, metric=metric, fmt=fmt))


@pytest.mark.parametrize("fmt", ["cxcywhr-rad", "cxcywhr-cw", "xywhr"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_formats_of_rotated_boxes(rng: np.random.Generator, fmt: str, dtype: type) -> None:
    a, b = (rotated_boxes(rng, size).astype(dtype) for size in (30, 40))
    assert_same(relations(rng, a, b, fmt=fmt))


@pytest.mark.parametrize("scale", [1, 1e-30, 1e30, 1e-170, 1e160])
def test_degenerate_and_huge_boxes(rng: np.random.Generator, scale: float) -> None:
    a = np.concatenate([awkward_boxes(), random_boxes(rng, 20, span=20)]) * scale
    assert_same(relations(rng, a, a[::-1].copy()))
    finite = np.nan_to_num(a)
    assert_same(relations(rng, finite, finite[::-1].copy()))


@pytest.mark.parametrize("metric", ["iou", "intersection"])
def test_inputs_of_other_kinds(rng: np.random.Generator, metric: str) -> None:
    boxes = random_boxes(rng, 20, span=40)
    frozen = boxes.copy()
    frozen.flags.writeable = False
    whole = boxes.round().astype(np.int64)
    for a in (
        boxes.tolist(),
        np.asfortranarray(boxes),
        boxes[::-1],
        frozen,
        boxes.astype(">f8"),
        boxes.astype(np.float16),
        boxes.astype(np.uint8),
        whole,
        whole - 2**60,
        whole * 2**45,
        [],
    ):
        count = len(a)
        for b in (boxes[:count], boxes[:count].astype(np.float32), a):
            calls = relations(rng, a, b, metric=metric)
            assert_same(calls, all_at_once=False)


def test_what_one_call_is_for(rng: np.random.Generator) -> None:
    a, b = random_boxes(rng, 30), random_boxes(rng, 40)
    turned = rotated_boxes(rng, 30)
    for one, other, fmt in ((a, b, "xyxy"), (turned, turned[::-1].copy(), "cxcywhr")):
        assert small.pairs(one, other, False, 0.5, "iou", fmt, None) is not None
        assert small.topk(one, other, 2, 0.0, "iou", fmt, None) is not None
        assert small.nms(one, one, one[:, 0].copy(), 0.5, None, "iou", fmt, 0.0) is not None
        for method in ("greedy", "optimal", "most"):
            assert small.matches(one, other, 0.5, method, "iou", fmt, None) is not None
        assert small.aligned(one, one, fmt, "iou") is not None
        assert small.dense(one, other, fmt, "iou", None, lambda: None) is not None
    many = random_boxes(rng, 3000)
    assert small.pairs(many, many, True, 0.5, "iou", "xyxy", None) is None
    assert small.nms(many, many, many[:, 0].copy(), 0.5, None, "iou", "xyxy", 0.0) is None
    heap = np.tile([0, 0, 1, 1.0], (200, 1))  # more pairs than there is room for
    assert small.pairs(heap, heap, False, 0.5, "iou", "xyxy", None) is None
    assert len(fastiou.pairs(heap, heap)) == 40_000


def many_before(patch: pytest.MonkeyPatch) -> None:
    """Have the general way's kernels be such as would have to be compiled."""
    patch.setattr(threads, "FORCED", None)
    patch.setattr(Kernel, "is_at_hand", False)
    patch.setattr(small, "_spent", 0.0)


def test_many_take_one_call_until_other_kernels_are_compiled(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_before(monkeypatch)
    a, b = random_boxes(rng, 1500, span=400), random_boxes(rng, 200, span=400)
    calls = relations(rng, a, b)
    for name in ("dense", "aligned"):
        del calls[name]
    taken: list[Any] = []
    timed = small._timed
    monkeypatch.setattr(small, "_timed", lambda *given: taken.append(given) or timed(*given))
    for number, (name, call) in enumerate(calls.items()):
        call()
        assert len(taken) == number + 1, name
    assert small._spent > 0
    assert_same(calls)
    heap = np.tile([0, 0, 1, 1.0], (600, 1))  # more pairs than there is room for
    assert len(fastiou.pairs(heap, heap)) == 360_000


def test_the_best_of_many_are_few_in_one_call(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each score may be put in front of all that are kept, in a call that no signal ends."""
    many_before(monkeypatch)
    a, b = random_boxes(rng, 600), random_boxes(rng, 600)
    assert small.topk(a, b, 93, 0.0, "iou", "xyxy", None) is not None
    assert small.topk(a, b, 94, 0.0, "iou", "xyxy", None) is None


def test_when_many_take_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, turned = (small.kind_for(fmt, "iou", np.dtype(float)) for fmt in ("xyxy", "cxcywhr"))
    for relation in ("pairs", "topk", "nms", "greedy", "optimal", "most"):
        for kind, most in ((boxes, 1 << 13), (turned, 1 << 9)):
            takes = functools.partial(small._kernel_for, kind, relation)
            assert takes(1 << 9, 1 << 9) is not None
            assert takes(1 << 12, (1 << 9) + 1) is None  # sizes alone decide
            with monkeypatch.context() as patch:
                many_before(patch)
                assert takes(1 << 12, most) is not None
                assert takes(1 << 12, most + 1) is None
                assert takes((1 << 16) + 1, 16) is None
                patch.setattr(small, "_spent", small.PATIENCE)
                assert takes(1 << 12, most) is None
                patch.setattr(small, "_spent", 0.0)
                patch.setattr(Kernel, "is_at_hand", True)
                assert takes(1 << 12, most) is None


def test_wide_integers_whose_centres_are_rounded(rng: np.random.Generator) -> None:
    a, b = (rng.integers(-20, 60, (30, 5)) for _ in range(2))
    calls = relations(rng, a, b, fmt="xywhr")
    assert_same(calls, all_at_once=False)
    index, expected = fastiou.Index(b, "xywhr").topk(a, 3), fastiou.topk(a, b, 3, fmt="xywhr")
    np.testing.assert_array_equal(index.values, expected.values)


def test_the_best_of_no_rows(rng: np.random.Generator) -> None:
    none, some = np.empty((0, 4)), random_boxes(rng, 3)
    assert fastiou.topk(none, some, 5).values.shape == (0, 5)
    with pytest.raises(MemoryError, match="the best"):
        fastiou.topk(none, some, 2**62)
    with pytest.raises(ValueError, match=r"k must be .* less than 2\*\*63"):
        fastiou.topk(none, some, 2**70)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("indexed", [False, True])
def test_values_and_indices_of_the_best_are_reckoned_together(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, dtype: type, indexed: bool
) -> None:
    """Each would fit by itself. Nothing is searched before."""
    a, b = random_boxes(rng, 2, dtype), random_boxes(rng, 1, dtype)
    index = fastiou.Index(b)
    needed = 2 * 10**9 * (8 + np.dtype(dtype).itemsize)
    monkeypatch.setattr(memory, "_available_memory", lambda: needed - 1)
    monkeypatch.setattr(topk, "search", None)
    told = f"the best 1,000,000,000 of 2 rows needs {memory.human_size(needed)}, and .* are free"
    with pytest.raises(MemoryError, match=told):
        index.topk(a, 10**9) if indexed else fastiou.topk(a, b, 10**9)


def test_all_scores_are_counted(rng: np.random.Generator) -> None:
    a, b = random_boxes(rng, 6), random_boxes(rng, 7)
    for some, others in ((a, b), (a.tolist(), b.tolist())):
        assert fastiou.pairs(some, others).tested == 42
        assert fastiou.pairs(some).tested == 15


BAD = {
    "threshold": [0.0, -0.1, 1.1, "0.5", True, None, float("nan")],
    "fmt": ["xyzw", None, 3, ["xyxy"]],
    "metric": ["giou!", None, "intersection "],
    "groups": [[1, 2], "ab", (np.zeros(3, int), np.zeros(9, int)), np.zeros((4, 1), int)],
    "device": ["tpu", None, np.array(["cpu", "gpu"])],
}


def test_options_of_suppression_are_checked_for_arrays_and_lists_alike() -> None:
    boxes = np.array([[0, 0, 4, 4.0], [0, 0, 4, 3]])
    scores = np.array([0.8, 0.9])
    for some in (boxes, boxes.tolist()):
        with pytest.raises(ValueError, match="sigma must be greater than 0"):
            fastiou.nms(some, scores, sigma=-1)
        with pytest.raises(TypeError, match="sigma must be a finite number"):
            fastiou.nms(some, scores, sigma="x")
        with pytest.raises(ValueError, match="method must be one of"):
            fastiou.nms(some, scores, method=np.array(["hard", "x"]))
        with pytest.raises(ValueError, match="method must be one of"):
            fastiou.match(some, boxes, method=np.array(["greedy", "x"]))


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_is_refused_in_the_same_words(
    rng: np.random.Generator, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = random_boxes(rng, 4), random_boxes(rng, 5)
    scores = rng.random(4)

    def raised() -> list[tuple[type, str] | None]:
        found: list[tuple[type, str] | None] = []
        for value in BAD[name]:
            for call in (
                lambda **options: fastiou.pairs(a, b, **options),
                lambda **options: fastiou.topk(a, b, **options),
                lambda **options: fastiou.match(a, b, **options),
                lambda **options: fastiou.nms(a, scores, **options),
            ):
                try:
                    call(**{name: value})
                except (TypeError, ValueError) as error:
                    found.append((type(error), str(error)))
                else:
                    found.append(None)
        return found

    with_one_call = raised()
    assert any(with_one_call)
    monkeypatch.setattr(small, "kind_of", lambda *_: None)
    assert with_one_call == raised()


@pytest.mark.parametrize("scores", [[0.5, np.nan], [0.5], [[0.5], [0.5]], ["a", "b"], [np.inf, 1]])
@pytest.mark.parametrize("boxes", [np.eye(2, 4), np.array([[0, 0, 1, np.inf], [0, 0, 1, 1]])])
def test_scores_and_infinities(scores: list[Any], boxes: Array) -> None:
    def outcome() -> Any:
        try:
            return fastiou.nms(boxes, np.array(scores), score_threshold=0.9).tolist()
        except (TypeError, ValueError) as error:
            return type(error), str(error)

    one_call = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "kind_of", lambda *_: None)
        assert one_call == outcome()
