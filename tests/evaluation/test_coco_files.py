"""Files that do not belong together are told, whatever the numbers would be."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastiou as fi

GT: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "val/a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": n, "image_id": n, "category_id": n, "bbox": [10, 10, 20, 20], "area": 400,
         "iscrowd": 0}
        for n in (1, 2)
    ],
}  # fmt: skip
DT = [{**entry, "score": 0.5} for entry in GT["annotations"]]


def listed(**lists: Any) -> dict[str, Any]:
    """Results with lists of images and categories of their own."""
    return {**copy.deepcopy(GT), "annotations": DT, **lists}


def test_results_may_have_lists_of_their_own() -> None:
    same = {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2}]}
    for results in (DT, listed(), listed(**same), listed(categories=[{"id": 1}])):
        assert fi.evaluate_coco(GT, results)["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]},
         "dt:categories: id 1 has \"name\": 'dog', expected 'cat', as in gt"),
        ({"images": [{"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "a.jpg"}]},
         "dt:images: id 1 has \"file_name\": 'b.jpg', expected 'val/a.jpg', as in gt"),
    ],
)  # fmt: skip
def test_results_whose_lists_name_something_else_are_refused(lists: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fi.evaluate_coco(GT, listed(**lists))


def test_parts_of_the_image_against_pixels_are_refused() -> None:
    parts = [{**entry, "bbox": [0.1, 0.1, 0.25, 0.2]} for entry in DT]
    with pytest.raises(ValueError, match="dt: the boxes of dt lie between 0 and 1"):
        fi.evaluate_coco(GT, parts)


def test_boxes_of_negative_size_are_told() -> None:
    results = [DT[0], {**DT[1], "bbox": [10, 10, -20, 20]}]
    told = fi.evaluate_coco(GT, results).deviations
    assert any("height, which matches nothing: 1 of 2 results" in note for note in told)


def test_results_that_are_rather_corners_are_told() -> None:
    corners = [{**e, "bbox": [x, y, x + w, y + h]} for e in DT for x, y, w, h in [e["bbox"]]]
    wide = {**GT, "images": [{**image, "width": 9000, "height": 9000} for image in GT["images"]]}
    said = "note: none overlaps a truth by half; as corners x1, y1, x2, y2"
    for truth in (GT, wide):
        told = fi.evaluate_coco(truth, corners)
        assert told["AP"] == 0
        assert said in told.summary()
        assert said not in fi.evaluate_coco(truth, DT).summary()
    # Where some match as they are, nobody knows better.
    assert said not in fi.evaluate_coco(GT, [corners[0], DT[1]]).summary()


def test_truth_that_is_rather_corners_is_told() -> None:
    boxes = [[60, 60, 90, 90], [10, 70, 40, 95]]
    entries = [{**entry, "bbox": box} for entry, box in zip(GT["annotations"], boxes, strict=False)]
    truth = {
        **GT, "annotations": entries,
        "images": [{**image, "width": 100, "height": 100} for image in GT["images"]],
    }  # fmt: skip
    assert "those of the truth reach out" in fi.evaluate_coco(truth, DT).summary()
    assert "those of the truth reach out" not in fi.evaluate_coco(GT, DT).summary()


def test_progress_is_told_of_all_detections_and_ends() -> None:
    boxes = {"boxes": [[0, 0, 4, 4]] * 3, "labels": [1, 2, 2], "image_ids": [5, 5, 6]}
    preds = {**boxes, "scores": [0.5, 0.25, 0.125]}
    told: list[tuple[int, int]] = []
    fi.average_precision(preds, boxes, progress=lambda *what: told.append(what))
    shares = [done / total for done, total in told]
    assert len(shares) == 3
    assert shares == sorted(shares)
    assert shares[-1] == 1
    told.clear()
    gt = {
        "images": [{"id": 1}], "categories": [{"id": 1}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}],
    }  # fmt: skip
    dt = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "score": 0.5}]
    fi.evaluate_coco(gt, dt, progress=lambda *what: told.append(what))
    assert told[-1][0] == told[-1][1]
    with pytest.raises(TypeError, match="progress must be a bool or a function"):
        fi.evaluate_coco(gt, dt, progress=3)  # type: ignore[arg-type]


NAMED_TRUTH: dict[str, Any] = {
    "images": [{"id": 4, "file_name": "val/a.jpg"}, {"id": 2, "file_name": "val/12.jpg"}],
    "categories": [{"id": 3, "name": "boat"}, {"id": 9, "name": "car"}],
    "annotations": [
        {"id": 1, "image_id": 4, "category_id": 3, "bbox": [10, 20, 30, 40], "area": 1200},
        {"id": 2, "image_id": 2, "category_id": 9, "bbox": [50, 20, 30, 40], "area": 1200},
    ],
}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("val/a.jpg", "val/12.jpg"), "images of results are told by file_name"),
        (("a.jpg", "12.jpg"), ": compared are names of images without their folders"),
        (("a", 12), ": compared are names of images without their folders and endings"),
    ],
)
def test_results_may_have_the_names_of_the_truth(names: Any, told: str) -> None:
    def results(images: Any, labels: Any) -> list[dict[str, Any]]:
        boxes = [[10, 20, 30, 40], [50, 20, 30, 30]]
        rows = zip(images, labels, boxes, strict=True)
        return [{"image_id": i, "category_id": c, "bbox": b, "score": 0.5} for i, c, b in rows]

    numbers = fi.evaluate_coco(NAMED_TRUTH, results((4, 2), (3, 9)))
    assert not numbers.deviations
    by_name = fi.evaluate_coco(NAMED_TRUTH, results(names, ("boat", "car")))
    images, categories = by_name.deviations
    assert images.endswith(told)
    assert categories == "categories of results are told by name"
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(getattr(by_name, name), getattr(numbers, name))
    with pytest.raises(
        ValueError, match=r"dt:\[1\]: image_id 'c.jpg', which is no file_name in gt"
    ):
        fi.evaluate_coco(NAMED_TRUTH, results((names[0], "c.jpg"), (3, 9)))
    with pytest.raises(ValueError, match=r"\[1\]: category_id 'bus', which is no name in gt"):
        fi.evaluate_coco(NAMED_TRUTH, results((4, 2), ("boat", "bus")))
    with pytest.raises(ValueError, match=r"images are names, .* expected ids .*or their file_name"):
        fi.evaluate_coco(NAMED_TRUTH, results(("y", "z"), (3, 9)))


def test_names_that_two_images_have_tell_none() -> None:
    twice = [{"id": 4, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}]
    result = {"image_id": "a.jpg", "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.5}
    with pytest.raises(ValueError, match=r"'a\.jpg' is the file_name of two images in gt, e"):
        fi.evaluate_coco({**NAMED_TRUTH, "images": twice}, [result])
    more = [{"id": 7, "file_name": "b.jpg"}, {"id": 8, "file_name": "b.jpg"}]
    unused = [*NAMED_TRUTH["images"], *more]
    named = {**result, "image_id": "val/a.jpg"}
    assert fi.evaluate_coco({**NAMED_TRUTH, "images": unused}, [named])["AP50"] == pytest.approx(
        0.5
    )


def test_names_beside_ids_count(tmp_path: Path) -> None:
    def results(*images: tuple[Any, str]) -> list[dict[str, Any]]:
        boxes = ([10, 20, 30, 40], 3), ([50, 20, 30, 40], 9)
        return [
            {"image_id": i, "file_name": name, "category_id": c, "bbox": box, "score": 0.5}
            for (i, name), (box, c) in zip(images, boxes, strict=True)
        ]

    def evaluated(found: list[dict[str, Any]]) -> Any:
        """Of a list and of a file, compressed or not."""
        path = tmp_path / "found.json"
        path.write_text(json.dumps(found))
        with gzip.open(tmp_path / "found.json.gz", "wt") as file:
            file.write(json.dumps(found))
        first, *others = (
            fi.evaluate_coco(NAMED_TRUTH, each)
            for each in (found, path, tmp_path / "found.json.gz")
        )
        assert all(other["AP"] == first["AP"] for other in others)
        assert all(other.deviations == first.deviations for other in others)
        return first

    # The numbers of Ultralytics are those in the names: 12 of 12.jpg, whose id is 2.
    for ids in ((4, 12), (2, 4), (1, 12)):
        result = evaluated(results((ids[0], "a.jpg"), (ids[1], "12.jpg")))
        assert result["AP50"] == pytest.approx(1)
        assert "images of results are told by file_name, since" in result.deviations[0]
    result = evaluated(results((4, "other/a.jpg"), (2, "12.jpg")))
    assert (result["AP50"], result.deviations) == (pytest.approx(1), [])
    result = evaluated(results((4, "x.jpg"), (2, "y.jpg")))  # names that the truth does not have
    assert result["AP50"] == pytest.approx(1)
    words = "file_name of results, such as 'x.jpg', is no file_name of the truth: the ids count"
    assert result.deviations == [words]
    with pytest.raises(ValueError, match=r"\[1\]: file_name 'y.jpg', which is no file_name in gt"):
        fi.evaluate_coco(NAMED_TRUTH, results((2, "a.jpg"), (4, "y.jpg")))


def test_ids_of_the_truth_may_be_names_in_another_form() -> None:
    names = {4: "im1.jpg", 2: "im2.jpg"}
    truth = copy.deepcopy(NAMED_TRUTH)
    for entry in truth["images"]:
        entry["id"] = entry["file_name"] = names[entry["id"]]
    for entry in truth["annotations"]:
        entry["image_id"] = names[entry["image_id"]]
    result = {"image_id": "im1", "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.5}
    assert fi.evaluate_coco(truth, [result])["AP50"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("ids", "labels", "told"),
    [
        (("4", "2"), (3, 9), ["images of results are told by id"]),
        ((4, 2), ("3", "9"), ["categories of results are told by id"]),
        (("04", "02"), (3, 9),
         ["images of results are told by id: compared are names of images without their zeros in "
          "front of numbers"]),
    ],
)  # fmt: skip
def test_numbers_of_the_truth_may_be_written_as_names(
    ids: Any, labels: Any, told: list[str]
) -> None:
    def named(entry: dict[str, Any]) -> dict[str, Any]:
        image, label = (4, 2).index(entry["image_id"]), (3, 9).index(entry["category_id"])
        return entry | {"image_id": ids[image], "category_id": labels[label]}

    unnamed = [{"id": image["id"]} for image in NAMED_TRUTH["images"]]
    truth = NAMED_TRUTH | {"images": unnamed}
    written = {
        "images": [{"id": each} for each in ids], "categories": [{"id": each} for each in labels],
        "annotations": [named(entry) for entry in truth["annotations"]],
    }  # fmt: skip
    found = [entry | {"score": 0.5} for entry in truth["annotations"]]
    for gt, dt in ((truth, [named(entry) for entry in found]), (written, found)):
        result = fi.evaluate_coco(gt, dt)
        assert (result["AP50"], result.deviations) == (pytest.approx(1), told)


@pytest.mark.parametrize(
    ("names", "written", "by"),
    [
        (("000000.png", "000001.png", "000002.png"), ("1", "2", "3"), "id"),
        (("1.png", "2.png", "3.png"), ("1", "2", "3"), "id"),
        (("0002.png", "0003.png", "0004.png"), ("0002", "0003", "0004"), "file_name"),
        (("a.png", "b.png", "c.png"), ("01", "02", "03"), "id"),
        (("007.png", "008.png", "009.png"), ("7", "8", "9"), "file_name"),
        (("2", "3", "1"), ("1", "2", "3"), ""),
    ],
)
def test_ids_go_before_names_that_are_alike(
    names: tuple[str, ...], written: tuple[str, ...], by: str
) -> None:
    boxes = [[10 * number, 0, 8, 8] for number in (1, 2, 3)]
    truth = {
        "images": [{"id": 1 + place, "file_name": name} for place, name in enumerate(names)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": id_, "image_id": id_, "category_id": 1, "bbox": box, "area": 64, "iscrowd": 0}
            for id_, box in zip((1, 2, 3), boxes, strict=True)
        ],
    }
    found = [
        {"image_id": name, "category_id": 1, "bbox": box, "score": 0.5}
        for name, box in zip(written, boxes, strict=True)
    ]
    if not by:
        words = "image_id '1', which is an id and a file_name in"
        with pytest.raises(ValueError, match=words):
            fi.evaluate_coco(truth, found)
        return
    result = fi.evaluate_coco(truth, found)
    (told,) = result.deviations
    assert result["AP50"] == pytest.approx(1)
    assert told.startswith(f"images of results are told by {by}")


def test_no_result_has_the_image_and_category_of_a_truth() -> None:
    result = {"image_id": 4, "category_id": 9, "bbox": [10, 20, 30, 40], "score": 0.5}
    (words,) = fi.evaluate_coco(NAMED_TRUTH, [result]).deviations
    from_zero = "one may count from 0 and the other from 1"
    with pytest.raises(ValueError, match=f"expected one of its 2 images, such as 4; {from_zero}"):
        fi.evaluate_coco(NAMED_TRUTH, [result, {**result, "image_id": 0}])
    both = fi.evaluate_coco(NAMED_TRUTH, [result, {**result, "category_id": 0}])
    assert f"such as 0, and left out, as in pycocotools: {from_zero}" in both.deviations[0]
    assert words.startswith("no result has the image and the category of a truth, taken together")
