"""Average precision of keypoints, against pycocotools and rule by rule."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keypoint_sets_for_tests import random_keypoints, random_sets, similarity

import fastiou as fi
from fastiou.evaluation.detection_sets import read_detections
from fastiou.evaluation.keypoint_pairs import keypoint_pairs
from fastiou.evaluation.keypoint_sets import extents
from fastiou.evaluation.protocols import KEYPOINTS
from fastiou.formats import coco_entries

SIGMAS = KEYPOINTS.sigmas
NEARLY_ONE = 0.9999999999999998


def of_pycocotools(gt: Any, dt: Any, sigmas: Any = None) -> Any:
    """pycocotools' evaluation of the same."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        own = COCO()
        own.dataset = copy.deepcopy(gt)
        own.createIndex()
        evaluation = COCOeval(own, own.loadRes(copy.deepcopy(dt)), "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def assert_equals_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sigmas = None
    if seed % 4 == 0:  # of more than 8 and of more than 128, NumPy adds up in other ways
        count = [1, 5, 9, 20, 133, 300][seed // 4 % 6]
        sigmas = rng.uniform(0.02, 0.2, count).tolist()
    gt, dt = random_sets(rng, 17 if sigmas is None else len(sigmas))
    expected = of_pycocotools(gt, dt, sigmas)
    result = fi.evaluate_coco(gt, dt, iou_type="keypoints", sigmas=sigmas)
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(
            getattr(result, name), expected.eval[name], err_msg=f"seed {seed}: {name}"
        )
    np.testing.assert_array_equal(result.stats, expected.stats)


def test_random_sets_have_pycocotools_bits() -> None:
    for seed in range(100):
        assert_equals_pycocotools(seed)


@pytest.mark.thorough
def test_many_random_sets_have_pycocotools_bits() -> None:
    for seed in range(1000, 11_000):
        assert_equals_pycocotools(seed)


# ---- similarities ------------------------------------------------------------------------------


def person(rng: np.random.Generator, count: int = 17) -> Any:
    return np.array(random_keypoints(rng, count, 100), np.float64).reshape(count, 3)


def test_similarities_are_those_of_the_reference(rng: np.random.Generator) -> None:
    truth = np.array([person(rng) for _ in range(9)])
    truth[3, :, 2] = 0
    found = truth[rng.integers(0, 9, 14)] + rng.normal(0, 4, (14, 17, 3))
    columns = {"labels": [1] * 9, "image_ids": [1] * 9, "keypoints": truth}
    columns |= {"boxes": rng.uniform(1, 50, (9, 4)), "area": rng.uniform(0, 4000, 9)}
    preds = {"labels": [1] * 14, "image_ids": [1] * 14, "keypoints": found, "scores": np.ones(14)}
    sets = [
        read_detections(name, value, "keypoints", "xywh", scored=name == "preds", next_image=0)
        for name, value in (("preds", preds), ("target", columns))
    ]
    areas = sets[1].areas
    offsets, cols, values = keypoint_pairs(
        *sets, np.arange(14), np.array([[0, 14, 0, 9, 0, 0]]), 0.0, areas=areas, sigmas=SIGMAS,
        most=20,
    )  # fmt: skip
    expected = similarity(found, truth, columns["boxes"], areas, SIGMAS)
    np.testing.assert_array_equal(offsets, 9 * np.arange(15))
    np.testing.assert_array_equal(cols, np.tile(np.arange(9), 14))
    np.testing.assert_array_equal(values, expected.reshape(-1))
    assert (values[3::9] > 0).all()


# ---- rules -------------------------------------------------------------------------------------


def truth(*keypoints: Any, **columns: Any) -> dict[str, Any]:
    count = len(keypoints)
    usual: dict[str, Any] = {"labels": [1] * count, "image_ids": [1] * count}
    return {"keypoints": np.array(keypoints), "area": [2000.0] * count, **usual, **columns}


def found(*keypoints: Any, **columns: Any) -> dict[str, Any]:
    return truth(*keypoints, **{"scores": [0.9] * len(keypoints), "area": None, **columns})


def evaluated(preds: Any, target: Any, **options: Any) -> fi.DetectionResult:
    return fi.average_precision(preds, target, iou_type="keypoints", **options)


@pytest.fixture
def points(rng: np.random.Generator) -> Any:
    points = person(rng)
    points[:, 2] = 2
    points[:, :2] = rng.uniform(0, 60, (17, 2))
    points[0, :2], points[1, :2] = 0, 60  # an area of 3600
    return points


def test_one_perfect_detection_is_nearly_1(points: Any) -> None:
    result = evaluated(found(points), truth(points))
    assert list(result.as_dict()) == [
        *("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"),
    ]
    assert result.as_dict()["AP"] == NEARLY_ONE
    assert (result.as_dict()["APl"], result.as_dict()["AR"]) == (-1, 1)
    assert result.precision.shape == (10, 101, 1, 3, 1)
    assert result.deviations == []


def test_truth_without_labelled_keypoints_is_ignored(points: Any) -> None:
    bare = points * [1, 1, 0]
    target = truth(points, bare, boxes=[[0, 0, 60, 60], [100, 100, 10, 10]])
    options = {"fmt": "xywh"}
    near = points - [0, 0, 0]
    near[:, :2] = [95, 118]  # within the box that is three times as wide
    assert evaluated(found(near, points, scores=[0.9, 0.5]), target, **options)["AP"] == NEARLY_ONE
    near[:, :2] = [70, 150]
    result = evaluated(found(near, points, scores=[0.9, 0.5]), target, **options)
    assert result["AP"] == pytest.approx(0.5)
    # What is told counts, and not what is labelled.
    both = truth(points, points + np.array([300, 0, 0]), num_keypoints=[17, 0])
    assert evaluated(found(points), both)["AR"] == 1


def test_areas_of_detections_are_those_of_their_keypoints(points: Any) -> None:
    large = points * [4, 4, 1] + [500, 0, 0]
    wrong = found(points, large, scores=[0.5, 0.9])
    assert extents(np.array([points, large])).tolist() == [3600, 57600]
    assert evaluated(wrong, truth(points))["APm"] == NEARLY_ONE
    boxes = {"boxes": [[0, 0, 60, 60], [0, 0, 50, 50]]}  # if these are given, they count
    result = evaluated({**wrong, **boxes}, truth(points))
    assert result["APm"] == pytest.approx(0.5)


def test_other_keypoints_need_sigmas(points: Any) -> None:
    few = points[:5]
    with pytest.raises(ValueError, match="preds must have 17, one for each of sigmas; pass"):
        evaluated(found(few), truth(few))
    result = evaluated(found(few), truth(few), sigmas=[0.1] * 5)
    assert result["AP"] == NEARLY_ONE
    assert result.deviations == ["sigmas of keypoints are [0.1, 0.1, 0.1, 0.1, 0.1]"]


def test_forms_of_keypoints(points: Any) -> None:
    """A flat row; without labels in detections; a list of a dict for each image; torch's names."""
    flat = found(points[None].reshape(-1))
    assert evaluated(flat, truth(points.reshape(-1)))["AP"] == NEARLY_ONE
    assert evaluated(found(points[:, :2]), truth(points))["AP"] == NEARLY_ONE
    image = {"labels": [1], "keypoints": points[None]}
    preds = [
        {**image, "scores": [0.5], "boxes": [[0, 0, 60, 60]], "keypoints_scores": [[9] * 17]},
        {"labels": [], "keypoints": [], "scores": [], "boxes": []},
    ]
    target = [{**image, "area": [2000]}, {**image, "boxes": [[0, 0, 60, 60]]}]
    result = evaluated(preds, target)
    assert result["AR"] == 0.5
    assert result.deviations == ["areas that the truth lacks are those of its boxes"]


def test_parts_and_split_change_no_bit() -> None:
    gt, dt = random_sets(np.random.default_rng(3), 17)
    whole = fi.evaluate_coco(gt, dt, iou_type="keypoints")
    one, two = (fi.DetectionEvaluator(iou_type="keypoints", fmt="xywh") for _ in range(2))
    names = {"category_id": "labels", "bbox": "boxes", "score": "scores"}
    for number, image in enumerate(sorted(entry["id"] for entry in gt["images"])):
        sides = []
        for entries in (dt, gt["annotations"]):
            own = [entry for entry in entries if entry["image_id"] == image]
            fields = own[0] if own else {**entries[0]}
            columns = {
                names.get(key, key): [each[key] for each in own]
                for key in fields
                if key not in ("id", "image_id")
            }
            sides.append([{**columns, "image_id": image}])
        (one, two)[number % 2].update(*sides)
    two.merge(one.state())
    result = two.compute()
    known = [whole.labels.tolist().index(label) for label in result.labels.tolist()]
    np.testing.assert_array_equal(result.precision, whole.precision[:, :, known])
    part = whole.subset(images=whole.image_ids[:1])
    assert len(part.image_ids) == 1
    with pytest.raises(ValueError, match="has other options"):
        fi.DetectionEvaluator(iou_type="keypoints", sigmas=[0.1] * 17).merge(one)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "voc"}, "keypoints need protocol='coco', got 'voc'"),
        ({"details": True}, "details are of boxes and masks"),
        ({"sigmas": [0.1, 0]}, "sigmas must be finite and greater than 0"),
        ({"sigmas": 0.1}, "sigmas must be a number for each keypoint"),
        ({"iou_type": "bbox", "sigmas": [0.1]}, "they need iou_type='keypoints'"),
    ],
)
def test_what_does_not_apply_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fi.DetectionEvaluator(**{"iou_type": "keypoints", **options})


def test_what_cannot_be_meant_is_refused(points: Any) -> None:
    for preds, target, message in (
        (found(points[:, :1]), truth(points), r"must have the shape \(N, K, 3\), \(N, K, 2\) or"),
        (found(points), truth(points[:, :2]), r"must have the shape \(N, K, 3\) or \(N, 3"),
        (found(points), truth(points, area=None), "target must have boxes where no keypoint is"),
        (found(points), truth(points * [1, 1, 0]), "there is none in row 0"),
        (found(points * np.nan), truth(points), "must be finite, got another number in row 0"),
        (found(points), truth(points, num_keypoints=[1, 2]), "must have the shape"),
        (found(points, boxes=np.ones((2, 4))), truth(points), "a box for each of keypoints"),
        (found(points, boxes=[[0, 0, 1, 1]]), truth(points, point=[1]), "means nothing here"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluated(preds, target)
    table = fi.BoxTable([[0, 0, 1, 1]], keys={"image": [1], "category": [1]}, scores=[1])
    with pytest.raises(TypeError, match="tables have no keypoints"):
        evaluated(table, truth(points))
    uneven = [{"labels": [1], "scores": [1], "keypoints": points[None, :n]} for n in (3, 4)]
    with pytest.raises(ValueError, match=r"as many keypoints everywhere, got \[3, 4\]"):
        evaluated(uneven, uneven)


# ---- files -------------------------------------------------------------------------------------


def test_both_parsers_read_keypoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gt, dt = random_sets(np.random.default_rng(5), 17)
    del gt["annotations"][0]["num_keypoints"]
    expected = fi.evaluate_coco(gt, dt, iou_type="keypoints").precision
    paths = tmp_path / "gt.json", tmp_path / "dt.json"
    for path, content in zip(paths, (gt, dt), strict=True):
        path.write_text(json.dumps(content, indent=1))
    for least in (0, 1 << 60):
        monkeypatch.setattr(coco_entries, "COMPILED_FROM", least)
        result = fi.evaluate_coco(*paths, iou_type="keypoints")
        np.testing.assert_array_equal(result.precision, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [1, 2]}, r'"keypoints": 2 numbers, expected "keypoints": a list of 3 \* K'),
        ({"keypoints": None}, '"keypoints": null, expected'),
        ({"keypoints": [1, 2, "3"]}, '"keypoints": .*, expected'),
        ({"keypoints": [1, 2, 1e999]}, '"keypoints": .*, expected'),
        ({"num_keypoints": 1.5}, '"num_keypoints": 1.5, expected a whole number'),
        ({"area": None, "bbox": None}, 'no "bbox", expected one where no keypoint is labelled'),
    ],
)
def test_broken_truth_is_told_by_both_parsers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    gt, dt = random_sets(np.random.default_rng(5), 17)
    gt["annotations"][0] |= change
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(gt))
    for least in (0, 1 << 60):
        monkeypatch.setattr(coco_entries, "COMPILED_FROM", least)
        with pytest.raises(ValueError, match=message) as error:
            fi.evaluate_coco(path, dt, iou_type="keypoints")
        assert "annotations[0]" in str(error.value)


def test_broken_results_are_told(points: Any) -> None:
    entry = {"image_id": 1, "category_id": 1, "score": 1, "keypoints": points.reshape(-1).tolist()}
    gt = {
        "images": [{"id": 1}], "categories": [{"id": 1}],
        "annotations": [{**entry, "id": 1, "area": 5}],
    }  # fmt: skip
    with pytest.raises(TypeError, match="dt must be a path or a list of dicts, got"):
        fi.evaluate_coco(gt, np.zeros((1, 7)), iou_type="keypoints")
    with pytest.raises(ValueError, match='"keypoints": null, expected "keypoints": a list'):
        fi.evaluate_coco(gt, [{**entry, "keypoints": None}], iou_type="keypoints")
    lacking = [{name: value for name, value in entry.items() if name != "keypoints"}]
    with pytest.raises(ValueError, match=r'no "keypoints", expected .* finite numbers$'):
        fi.evaluate_coco(gt, lacking, iou_type="keypoints")
    mixed = [{**entry, "bbox": [0, 0, 1, 1]}, entry]
    with pytest.raises(ValueError, match=r'\[1\]: no "bbox", expected one in every entry'):
        fi.evaluate_coco(gt, mixed, iou_type="keypoints")
    assert fi.evaluate_coco(gt, [], iou_type="keypoints")["AP"] == 0
    fewer = [{**entry, "keypoints": entry["keypoints"][:-3]}, entry, entry]
    with pytest.raises(ValueError, match=r"numbers, expected .*; skip_invalid=True leaves such"):
        fi.evaluate_coco(gt, fewer, iou_type="keypoints")
    result = fi.evaluate_coco(gt, fewer, iou_type="keypoints", skip_invalid=True)
    assert any("dt: 1 of 3 annotations" in words for words in result.deviations)
