"""What evaluators of detections take: arrays, tables, lists and files; and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detections_for_tests import ARRAYS, BOX, DT, GT, NEARLY_ONE, found, truth

import fastiou as fi


def test_all_forms_of_input_have_one_result() -> None:
    pd = pytest.importorskip("pandas", exc_type=ImportError)
    rng = np.random.default_rng(0)
    boxes = rng.integers(0, 50, (40, 4)).astype(np.float64)
    boxes[:, 2:] += boxes[:, :2] + 1
    images, labels = np.sort(rng.integers(0, 5, 40)), rng.integers(0, 3, 40)
    scores = rng.random(40)
    target = {"boxes": boxes, "labels": labels, "image_ids": images}
    preds = {"boxes": boxes + 1.0, "labels": labels, "image_ids": images, "scores": scores}
    expected = fi.average_precision(preds, target)
    assert 0 < expected.as_dict()["AP"] < 1

    def by_image(columns: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                name: column[images == image]
                for name, column in columns.items()
                if name != "image_ids"
            }
            for image in range(5)
        ]

    def table(columns: dict[str, Any]) -> fi.BoxTable:
        keys = {"image": columns["image_ids"], "category": columns["labels"]}
        return fi.BoxTable(columns["boxes"], scores=columns.get("scores"), keys=keys)

    def frame(columns: dict[str, Any]) -> Any:
        corners = dict(zip(["x1", "y1", "x2", "y2"], columns["boxes"].T, strict=True))
        named = {"image": columns["image_ids"], "label": columns["labels"], **corners}
        return pd.DataFrame(named | ({"score": scores} if "scores" in columns else {}))

    named = [
        [{**image, "image_id": f"image {number}"} for number, image in enumerate(by_image(both))]
        for both in (preds, target)
    ]
    forms = [
        (by_image(preds), by_image(target)), (table(preds), table(target)),
        (frame(preds), frame(target)), named,
        ({**preds, "boxes": fi.box_convert(boxes + 1.0, "xyxy", "xywh")},
         {**target, "boxes": fi.box_convert(boxes, "xyxy", "xywh")}),
    ]  # fmt: skip
    for place, form in enumerate(forms):
        fmt = "xywh" if place == len(forms) - 1 else "xyxy"
        result = fi.average_precision(*form, fmt=fmt)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))


def test_masks_of_several_sizes_are_compared() -> None:
    small, large = np.zeros((1, 10, 10), bool), np.zeros((2, 30, 20), bool)
    small[0, 2:8, 2:8] = True
    large[0, 5:25, 5:15] = large[1, :3, :3] = True
    for iou_type in ("segm", "boundary"):
        result = fi.average_precision(
            [{"masks": each, "labels": [1] * len(each), "scores": [0.9] * len(each)}
             for each in (small, large)],
            [{"masks": each, "labels": [1] * len(each)} for each in (small, large)],
            iou_type=iou_type,
        )  # fmt: skip
        assert result.as_dict()["AP"] == pytest.approx(1)


def test_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    preds = [
        {"boxes": torch.tensor([BOX]), "scores": torch.tensor([0.5]), "labels": torch.tensor([3])}
    ]
    target = [{"boxes": torch.tensor([BOX]), "labels": torch.tensor([3])}]
    assert fi.average_precision(preds, target, fmt="xywh").as_dict()["AP"] == NEARLY_ONE


@pytest.mark.parametrize(
    ("preds", "target", "message"),
    [
        (found(BOX, scores=[np.nan]), truth(BOX), "scores must be numbers, got NaN in row 0"),
        (found(BOX, scores=[np.inf]), truth(BOX), r"preds\['scores'\] must be finite, got inf"),
        (truth(BOX), truth(BOX), "preds has no scores, but boxes, area, labels, image_ids"),
        (
            found([0, 0, np.nan, 1]),
            truth(BOX),
            r"preds\['boxes'\] must be numbers, got NaN in row 0",
        ),
        (
            found(BOX, labels=["a"]),
            truth(BOX),
            "labels must all be numbers, or all names, got both",
        ),
        ({"boxes": [BOX], "labels": [1], "scores": [1]}, truth(BOX), "preds must have image_ids"),
        (found(BOX, colour=[1]), truth(BOX), "preds has a column 'colour', which means nothing"),
        (
            found(BOX),
            truth(BOX, iscrowd=[2]),
            r"target\['iscrowd'\] must hold booleans, or 0 and 1",
        ),
        (found(BOX), truth(BOX, area=[1, 2]), r"target\['area'\] must have the shape \(1,\)"),
        ([], [{"boxes": [BOX], "labels": [1]}], "preds and target must have a dict for each image"),
        (7, truth(BOX), "preds must be a dict of columns"),
        ([7], truth(BOX), r"preds\[0\] must be a dict of one image, got 7"),
        ([], truth(BOX), "preds must have an image_id in each dict, as target has"),
    ],
)
def test_bad_input_is_named(preds: Any, target: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fi.average_precision(preds, target, fmt="xywh")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "pascal"}, "protocol must be one of 'coco', 'lvis'"),
        ({"iou_type": "mask"}, "iou_type must be one of 'bbox', 'segm', 'boundary'"),
        ({"fmt": "cxcywhr"}, "fmt must be one of"),
        ({"iou_thresholds": [0.7, 0.5]}, "iou_thresholds must ascend"),
        ({"iou_thresholds": []}, "iou_thresholds must be some numbers"),
        ({"iou_thresholds": [0.0]}, "iou_thresholds must be greater than 0"),
        ({"max_dets": [100, 10]}, "max_dets must be some integers that ascend"),
        ({"max_dets": [0]}, "max_dets must be an integer of at least 1"),
        ({"area_ranges": {"odd": (5, 1)}}, r"area_ranges\['odd'\] must be two numbers"),
        ({"class_agnostic": 1}, "class_agnostic must be True or False"),
        ({"class_names": "cat"}, "class_names must be a list or a dict"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fi.DetectionEvaluator(**options)


def test_results_as_an_array_are_read() -> None:
    result = fi.evaluate_coco(GT, np.array([[1, *BOX, 0.8, 3]]))
    assert result.as_dict()["AP"] == NEARLY_ONE
    with pytest.raises(
        TypeError, match=r"dt must be a path, a list of dicts, or an array \(N, 7\)"
    ):
        fi.evaluate_coco(GT, np.zeros((1, 6)))


def test_ids_of_0_count_which_is_told() -> None:
    gt = {**GT, "annotations": [{**GT["annotations"][0], "id": 0}]}
    result = fi.evaluate_coco(gt, DT)
    assert result.as_dict()["AP"] == NEARLY_ONE
    assert "an annotation has the id 0" in result.deviations[0]


def test_iscrowd_and_area_may_be_missing() -> None:
    bare = {name: GT["annotations"][0][name] for name in ("image_id", "category_id", "bbox")}
    result = fi.evaluate_coco({**GT, "annotations": [bare]}, DT)
    assert result.as_dict()["AP"] == NEARLY_ONE
    assert result.deviations == ["areas that the truth lacks are those of its boxes"]


def test_empty_results_are_0() -> None:
    assert fi.evaluate_coco(GT, []).as_dict()["AP"] == 0


def test_results_of_masks_may_be_scored_as_boxes() -> None:
    segmentation = {"size": [4, 4], "counts": [5, 2, 2, 2, 5]}
    gt = {**GT, "annotations": [{**GT["annotations"][0], "bbox": [1, 1, 2, 2]}]}
    dt = [{"image_id": 1, "category_id": 3, "segmentation": segmentation, "score": 0.8}]
    assert fi.evaluate_coco(gt, dt).as_dict()["AP"] == NEARLY_ONE


@pytest.mark.parametrize(
    ("gt", "dt", "message"),
    [
        (GT, [{**DT[0], "image_id": 9}], "image_id 9 of 1 of 1 results is not in gt"),
        (GT, [{**DT[0], "image_id": "one"}], "images are names, and numbers in gt"),
        (GT, [{**DT[0], "category_id": 1}], "no result has a category that gt lists: 1 against 3"),
        (GT, [{"image_id": 1, "category_id": 3, "score": 1}], 'no "bbox", expected boxes or masks'),
        (GT, [{**DT[0], "score": float("nan")}], '"score": NaN, expected a finite number'),
        (GT, [{"bbox": BOX}], 'no "image_id"'),
        ({"images": []}, DT, "annotations"),
    ],
)
def test_files_that_do_not_fit_are_told(gt: Any, dt: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fi.evaluate_coco(gt, dt)


def test_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        fi.evaluate_coco(tmp_path / "gt.json", DT)
    with pytest.raises(TypeError, match="fmt is told by the files"):
        fi.evaluate_coco(GT, DT, fmt="xyxy")


def test_entries_that_are_not_listed_are_left_out_and_told() -> None:
    gt = {
        **GT,
        "annotations": [*GT["annotations"], {**GT["annotations"][0], "id": 2, "category_id": 9}],
    }
    result = fi.evaluate_coco(gt, [*DT, {**DT[0], "category_id": 9}])
    assert result.as_dict()["AP"] == NEARLY_ONE
    assert [text.partition(" are of")[0] for text in result.deviations] == [
        "1 entries of the truth", "1 entries of the results",
    ]  # fmt: skip


def test_detections_without_ids_are_those_of_the_truth_in_order() -> None:
    preds = [{"boxes": [BOX], "scores": [0.5], "labels": [1]}] * 2
    target = [{"boxes": [BOX], "labels": [1], "image_id": image} for image in ("b", "a")]
    evaluator = fi.DetectionEvaluator(fmt="xywh")
    evaluator.update(preds, target)
    result = evaluator.compute()
    assert result.image_ids.tolist() == ["a", "b"]
    assert result["AP"] == pytest.approx(1)
    with pytest.raises(KeyError, match="there is no 'mAP', but AP, AP50"):
        result["mAP"]


def test_masks_of_an_image_have_one_size() -> None:
    preds = [{"masks": np.ones((1, 20, 20)), "scores": [0.5], "labels": [1]}]
    target = [{"masks": np.ones((1, 30, 20)), "labels": [1]}]
    message = r"masks of image 0 must have one size, got 20 × 20 in preds and 30 × 20 in target"
    with pytest.raises(ValueError, match=message):
        fi.average_precision(preds, target, iou_type="segm")


def test_columns_of_frames_are_heeded() -> None:
    pd = pytest.importorskip("pandas", exc_type=ImportError)
    boxes = {"x1": [0, 50], "y1": [0, 50], "x2": [9, 60], "y2": [9, 60]}
    both = {"image": [1, 1], "label": ["cat", "cat"], **boxes}
    preds = pd.DataFrame({**both, "score": [0.5, 0.9]})
    target = pd.DataFrame({**both, "difficult": [1, 0], "area": [5000, 5000]})
    result = fi.average_precision(preds, target, protocol="voc")
    assert result.per_class["truths"].tolist() == [1]
    assert fi.average_precision(preds, target)["APs"] == -1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", [0, 2, 5, 6])
def test_results_as_an_array_are_finite(value: float, column: int) -> None:
    rows = np.array([[1, *BOX, 0.8, 3]] * 2)
    rows[1, column] = value
    with pytest.raises(ValueError, match=r"dt must be finite, got .* in row 1"):
        fi.evaluate_coco(GT, rows)


def test_numbers_of_numpy_may_be_anywhere() -> None:
    entry = {"image_id": np.int64(1), "category_id": 3, "bbox": np.array(BOX), "score": 0.8}
    result = fi.evaluate_coco(GT, [{**DT[0], "image_id": 2}, entry])
    assert result["AR100"] == 1


@pytest.mark.parametrize(
    ("preds", "target", "options", "message"),
    [
        ([{"masks": [[[0, 0, 4, 0, 4, 4]]], "labels": [1], "scores": [1]}],
         [{"masks": np.ones((1, 5, 5)), "labels": [1]}], {"iou_type": "segm"},
         "polygons become masks by Masks.from_polygons"),
        ({"masks": np.ones((1, 4, 4)), "labels": [1], "scores": [1], "image_ids": [1]},
         {"masks": np.ones((1, 8, 8)), "labels": [1], "image_ids": [1]}, {"iou_type": "segm"},
         "masks must have one size, got 4 × 4 in preds and 8 × 8 in target"),
        (found(BOX), truth(BOX, neg_category_ids=[]), {"protocol": "lvis"},
         "which belong to images"),
        (found(BOX, labels=np.array([2**63], np.uint64)), truth(BOX), {},
         r"must be less than 2\*\*63"),
        (found(BOX), truth(BOX, area=[-1]), {}, "must be finite and at least 0, got -1"),
        (found(BOX), truth(BOX), {"class_names": {"a": "A"}}, "class_names must be by label"),
        (found(BOX), truth(BOX), {"class_names": {1.5: "A"}}, "class_names must be by labels"),
        (found(BOX), truth(BOX), {"class_frequencies": {1: "often"}}, "class_frequencies must be"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    preds: Any, target: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fi.average_precision(preds, target, **{"fmt": "xywh", **options})


def test_boundaries_of_tables_are_refused() -> None:
    masks = fi.Masks.from_dense(np.ones((1, 20, 20)))
    keys = {"image": [1], "category": [1]}
    preds = fi.BoxTable(masks=masks, keys=keys, scores=[0.5])
    target = fi.BoxTable(masks=masks.padded((50, 50)), keys=keys)
    assert fi.average_precision(preds, target, iou_type="segm")["AP"] == NEARLY_ONE
    with pytest.raises(ValueError, match="needs the size of each image"):
        fi.average_precision(preds, target, iou_type="boundary")
