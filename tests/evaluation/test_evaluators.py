"""What all evaluators have in common, whatever they count."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastiou as fi

BOX = [0.0, 0.0, 4.0, 4.0]
IMAGE = np.array([[1, 1], [2, 2]])
SEGMENTS = [{"id": 1, "category_id": 1}, {"id": 2, "category_id": 1}]


def add_detections(evaluator: fi.DetectionEvaluator, name: str) -> None:
    target = [{"boxes": [BOX, BOX], "labels": ["a", "b"], "image_id": name}]
    evaluator.update([{**target[0], "scores": [0.5, 0.25]}], target)


def add_labels(evaluator: fi.InstanceEvaluator, name: str) -> None:
    evaluator.update(IMAGE, IMAGE.T, image=name)


def add_segments(evaluator: fi.PanopticEvaluator, name: str) -> None:
    evaluator.update(IMAGE, IMAGE, SEGMENTS, SEGMENTS, image=name)


def add_tracks(evaluator: fi.TrackingEvaluator, name: str) -> None:
    evaluator.update([[1, 7, *BOX, 1, 1], [2, 7, *BOX, 1, 1]], [[1, 1, *BOX]], sequence=name)


#: What makes an evaluator, with options of every kind; and what adds something with a name.
KINDS: dict[str, tuple[Callable[[], Any], Callable[[Any, str], None]]] = {
    "detections": (
        lambda: fi.DetectionEvaluator(
            "lvis", max_dets=[5, 50], area_ranges={"some": (1, np.inf)}, details=True,
            class_names={"a": "A", "c": "C"}, class_frequencies={"a": "r", "b": "c"},
        ),
        add_detections,
    ),
    "labels": (lambda: fi.InstanceEvaluator([0.1, 0.7], by_image=True), add_labels),
    "segments": (lambda: fi.PanopticEvaluator({1: True, 3: False}), add_segments),
    "tracks": (lambda: fi.TrackingEvaluator("HOTA", benchmark="mot20"), add_tracks),
}  # fmt: skip


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(value, other[name]) for name, value in one.items()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_evaluator_comes_back_from_its_state(kind: str) -> None:
    make, add = KINDS[kind]
    evaluator = make()
    add(evaluator, "one")
    state = pickle.loads(pickle.dumps(evaluator.state()))
    assert all(isinstance(part, np.ndarray) and part.dtype != object for part in state.values())
    again = type(evaluator).from_state(state)
    assert same(again.state(), state)
    assert repr(again.compute()) == repr(evaluator.compute())
    add(again, "two")
    assert not same(again.state(), state)
    with pytest.raises(ValueError, match="state must be what state"):
        type(evaluator).from_state({})
    with pytest.raises(TypeError, match=r"state must be an? "):
        type(evaluator).from_state(3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_evaluator_forgets_when_it_is_reset(kind: str) -> None:
    make, add = KINDS[kind]
    evaluator = make()
    add(evaluator, "one")
    evaluator.reset()
    assert same(evaluator.state(), make().state())
    add(evaluator, "one")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_merged_where_one_of_several_is_refused(kind: str) -> None:
    make, add = KINDS[kind]
    evaluators = [make() for _ in range(3)]
    for evaluator, name in zip(evaluators, ("one", "two", "one"), strict=True):
        add(evaluator, name)
    one, two, three = evaluators
    before = one.state()
    with pytest.raises(ValueError, match="one"):
        one.merge(two, three)
    with pytest.raises(TypeError, match=r"others\[1\] must be"):
        one.merge(two.state(), 3)
    assert same(one.state(), before)
    one.merge(two.state())
    assert len(repr(one.compute())) > 0
    with pytest.raises(ValueError, match="two"):
        one.merge(two)
