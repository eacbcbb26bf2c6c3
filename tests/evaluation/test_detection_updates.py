"""Evaluators of detections: in steps, in any order, over ranks; and what their results show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from detections_for_tests import ARRAYS, BOX, NEARLY_ONE, evaluator_of_one, found, images_of, truth

import fastiou as fi
from fastiou.runtime import threads


def test_order_split_and_threads_change_no_bit() -> None:
    pairs = images_of(24)
    whole = fi.DetectionEvaluator(fmt="xywh")
    whole.update([preds for preds, _ in pairs], [target for _, target in pairs])
    expected = whole.compute()
    assert 0 < expected.as_dict()["AP"] < 1
    ranks = [fi.DetectionEvaluator(fmt="xywh") for _ in range(3)]
    for number, (preds, target) in enumerate(reversed(pairs)):
        ranks[number % 3].update([preds], [target])
    states = [ranks[2].state(), ranks[0]]
    ranks[1].merge(*states)
    results = [ranks[1].compute()]
    with threads.forced(True):
        results.append(whole.compute())
    for result in results:
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
        assert result.image_ids.tolist() == list(range(24))


def test_labels_that_come_later_are_sorted() -> None:
    evaluator = fi.DetectionEvaluator(fmt="xywh", class_names={9: "nine", 2: "two", 4: "four"})
    for image, label in ((1, 9), (2, 2)):
        evaluator.update(
            found(BOX, labels=[label], image_ids=[image]),
            truth(BOX, labels=[label], image_ids=[image]),
        )
    result = evaluator.compute()
    assert result.labels.tolist() == [2, 4, 9]
    assert result.per_class["name"].tolist() == ["two", "four", "nine"]
    assert result.per_class["AP"].tolist() == [NEARLY_ONE, -1, NEARLY_ONE]
    recall, precision, scores = result.pr_curve("nine")
    assert (len(recall), precision[0], scores[0]) == (101, NEARLY_ONE, 0.9)
    with pytest.raises(ValueError, match="label must be one of"):
        result.pr_curve(7)
    with pytest.raises(ValueError, match="iou must be one of"):
        result.pr_curve(9, 0.52)


def test_images_that_were_there_before_are_named() -> None:
    evaluator = fi.DetectionEvaluator(fmt="xywh")
    evaluator.update(found(BOX, image_ids=[5]), truth(BOX, image_ids=[5]))
    with pytest.raises(ValueError, match="image 5 was in an update before"):
        evaluator.update(found(BOX, image_ids=[5]), truth(BOX, image_ids=[6]))
    other = fi.DetectionEvaluator(fmt="xywh")
    other.update(found(BOX, image_ids=[5]), truth(BOX, image_ids=[5]))
    with pytest.raises(ValueError, match=r"others\[0\] has image 5, which is here, too"):
        evaluator.merge(other)
    assert evaluator.compute().image_ids.tolist() == [5]


def test_images_without_names_are_counted_also_when_merged() -> None:
    one, two = fi.DetectionEvaluator(fmt="xywh"), fi.DetectionEvaluator(fmt="xywh")
    for evaluator in (one, two, two):
        evaluator.update(
            [{"boxes": [BOX], "scores": [0.5], "labels": [1]}], [{"boxes": [BOX], "labels": [1]}]
        )
    one.merge(two)
    assert one.compute().image_ids.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="images must be named by image_ids in all updates, or in"):
        one.update(found(BOX), truth(BOX))


def test_only_like_evaluators_are_merged() -> None:
    with pytest.raises(ValueError, match=r"others\[0\] has other options"):
        fi.DetectionEvaluator().merge(fi.DetectionEvaluator(max_dets=[10]))
    with pytest.raises(TypeError, match=r"others\[0\] must be a DetectionEvaluator"):
        fi.DetectionEvaluator().merge([])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"others\[0\] must be what state\(\) gives, with options"):
        fi.DetectionEvaluator().merge({})


def test_a_failed_update_changes_nothing() -> None:
    evaluator = fi.DetectionEvaluator(fmt="xywh")
    with pytest.raises(TypeError, match="labels must all be numbers"):
        evaluator.update(found(BOX, labels=["a"]), truth(BOX))
    evaluator.update(found(BOX), truth(BOX))
    assert evaluator.compute().as_dict()["AP"] == NEARLY_ONE


@pytest.mark.parametrize("options", [{"class_agnostic": True}, {"protocol": "voc"}], ids=str)
def test_order_and_split_change_no_bit_by_other_rules(options: dict[str, Any]) -> None:
    for seed in range(4):
        pairs = images_of(6, seed)
        whole = fi.DetectionEvaluator(fmt="xywh", **options)
        whole.update([preds for preds, _ in pairs], [target for _, target in pairs])
        ranks = [fi.DetectionEvaluator(fmt="xywh", **options) for _ in range(2)]
        for number, (preds, target) in enumerate(reversed(pairs)):
            ranks[number % 2].update([preds], [target])
        ranks[1].merge(ranks[0].state())
        np.testing.assert_array_equal(ranks[1].compute().precision, whole.compute().precision)


def test_an_evaluator_forgets_when_it_is_reset() -> None:
    evaluator = fi.DetectionEvaluator(fmt="xywh", max_dets=[10])
    evaluator.update(found(BOX), truth(BOX, area=None))
    assert len(evaluator.compute().deviations) == 2
    evaluator.reset()
    assert len(evaluator.compute().deviations) == 1
    assert evaluator.compute()["AP"] == -1
    evaluator.update(found(BOX), truth(BOX))
    assert evaluator.compute()["AP"] == NEARLY_ONE


def test_an_update_that_is_interrupted_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastiou.evaluation import detection

    evaluator = evaluator_of_one()
    more = found(BOX, image_ids=[2], labels=[7]), truth(BOX, image_ids=[2], labels=[7])
    with monkeypatch.context() as patch:
        patch.setattr(detection, "match_detections", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluator.update(*more)
    assert evaluator.compute().labels.tolist() == [1]
    evaluator.update(*more)
    evaluator.update([], [])
    assert evaluator.compute().labels.tolist() == [1, 7]


def test_damaged_states_are_refused_and_change_nothing() -> None:
    good = fi.DetectionEvaluator(fmt="xywh")
    good.update(found(BOX, BOX, image_ids=[2, 3]), truth(BOX, BOX, image_ids=[2, 3]))
    for part, change in (
        ("detections", lambda rows: rows["score"].__setitem__(0, np.nan)),
        ("detections", lambda rows: rows["image"].__setitem__(0, 9)),
        ("detections", lambda rows: rows["rank"].__setitem__(0, -1)),
        ("truth", lambda rows: rows["label"].__setitem__(0, -1)),
        ("image_ids", lambda values: values.__setitem__(0, 3)),
    ):
        state = good.state()
        change(state[part])
        evaluator = evaluator_of_one()
        with pytest.raises(ValueError, match=r"others\[1\]"):
            evaluator.merge(fi.DetectionEvaluator(fmt="xywh"), state)
        evaluator.merge(good)
        assert evaluator.compute().image_ids.tolist() == [1, 2, 3]
    state = good.state()
    state["truth"] = state["truth"][:1]  # which nothing shows
    evaluator.merge(fi.DetectionEvaluator(fmt="xywh"))
    other = evaluator_of_one()
    other.merge(state)
    state["detections"]["matched"] = 0  # no longer theirs
    assert other.compute()["AR100"] == 1
    with pytest.raises(ValueError, match="must be what state"):
        other.merge({"options": 1})
    with pytest.raises(ValueError, match="it lacks detections, truth, image_ids"):
        other.merge({"options": state["options"]})


def test_summary_and_repr() -> None:
    result = fi.average_precision(found(BOX), truth(BOX), fmt="xywh")
    lines = result.summary().splitlines()
    assert len(lines) == 12
    assert lines[0] == "AP     IoU 0.50:0.95  area all     max 100  1.000"
    assert repr(result) == "<DetectionResult: AP 1.000, AP50 1.000, AP75 1.000; 1 image, 1 class>"
    assert list(result.as_dict("val/"))[:2] == ["val/AP", "val/AP50"]
    assert "1 images, 1 detections" in repr(evaluator_of_one())


def test_classes_are_a_frame() -> None:
    pytest.importorskip("pandas", exc_type=ImportError)
    result = fi.average_precision(found(BOX), truth(BOX), fmt="xywh")
    frame = result.per_class.to_pandas()
    assert frame["truths"].tolist() == [1]
    assert "<ClassScores: 1 classes; label, name, AP" in repr(result.per_class)


def test_curves_are_drawn() -> None:
    pytest.importorskip("matplotlib", exc_type=ImportError)
    figure = fi.average_precision(found(BOX), truth(BOX), fmt="xywh").plot()
    assert len(figure.axes[0].lines) == 3


def test_classes_that_are_names_have_names() -> None:
    labels = {"labels": ["cat"]}
    result = fi.average_precision(
        found(BOX, **labels), truth(BOX, **labels), fmt="xywh",
        class_names={"cat": "Cat (felis)", "dog": "Dog"},
    )  # fmt: skip
    assert result.labels.tolist() == ["cat", "dog"]
    assert result.per_class["name"].tolist() == ["Cat (felis)", "Dog"]
