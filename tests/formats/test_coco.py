"""Boxes and masks in COCO's format get COCO's scores, bit for bit."""

from __future__ import annotations

import collections
import gzip
import json
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from boxes_for_tests import Array

import fastiou
from fastiou import Masks
from fastiou.formats.errors import FileError
from fastiou.formats.table import read_boxes

coco_mask = pytest.importorskip("pycocotools.mask")


def assert_same_bits(detections: Array, truth: Array, crowd: Array) -> None:
    expected = coco_mask.iou(detections, truth, crowd.astype(int).tolist())
    actual = fastiou.box_iou(detections, truth, "xywh", iscrowd=crowd)
    np.testing.assert_array_equal(actual, expected)
    if not crowd.any():
        np.testing.assert_array_equal(fastiou.box_iou(detections, truth, "xywh"), expected)


@pytest.mark.parametrize("sizes", [(5, 9), (700, 800)])
@pytest.mark.parametrize("crowds", [0.0, 0.3, 1.0])
def test_random_boxes(rng: np.random.Generator, sizes: tuple[int, int], crowds: float) -> None:
    # Drawn as they are: sides taken from corners would round alike either way.
    detections, truth = (
        np.concatenate([rng.random((size, 2)) * 100, rng.random((size, 2)) * 20 + 1], axis=1)
        for size in sizes
    )
    detections[: len(detections) // 3] = truth[: len(detections) // 3]  # equal boxes, too
    assert_same_bits(detections, truth, rng.random(len(truth)) < crowds)


def load(real_data: Path, name: str) -> Any:
    with gzip.open(real_data / "coco" / f"{name}.json.gz") as file:
        return json.load(file)


def test_real_detections(real_data: Path) -> None:
    detections, truth = (
        np.array([entry["bbox"] for entry in entries], float)
        for entries in (
            load(real_data, "instances_val2014_fakebbox100_results"),
            load(real_data, "instances_val2014_100")["annotations"],
        )
    )
    for crowd in (np.zeros(len(truth), bool), np.arange(len(truth)) % 3 == 0):
        assert_same_bits(detections, truth, crowd)
        assert_same_bits(truth, truth, crowd)


# ---- masks -------------------------------------------------------------------------------------

# Where COCO's decoder makes an array.
decodes = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def assert_same_masks(masks: Masks, entries: list[Any]) -> None:
    """The set is what COCO makes of its own run lengths."""
    assert masks.to_rle() == entries
    decoded = coco_mask.decode(entries).transpose(2, 0, 1)
    np.testing.assert_array_equal(masks.to_dense(), decoded)
    np.testing.assert_array_equal(masks.area, decoded.sum((1, 2), dtype=np.int64))
    left, top, width, height = coco_mask.toBbox(entries).T
    expected = np.stack([left, top, left + width, top + height], axis=1)
    np.testing.assert_array_equal(masks.boxes, expected)
    assert masks == Masks.from_dense(decoded)


@pytest.mark.slow
@decodes
@pytest.mark.usefixtures("several_threads")
def test_real_masks(real_data: Path) -> None:
    numba.set_num_threads(1)  # the parallel kernels take long to compile
    content = load(real_data, "instances_val2014_100")
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    results = load(real_data, "instances_val2014_fakesegm100_results")
    assert (len(results), len(content["annotations"])) == (734, 839)
    by_size: dict[tuple[int, int], tuple[list[Any], list[Any]]] = collections.defaultdict(
        lambda: ([], [])
    )
    for number, entries in enumerate((results, content["annotations"])):
        for entry in entries:
            by_size[sizes[entry["image_id"]]][number].append(entry)
    crowds = 0
    for size, (found, truth) in by_size.items():
        detections = [entry["segmentation"] for entry in found]
        crowd = np.array([entry["iscrowd"] for entry in truth], bool)
        crowds += int(crowd.sum())
        outlines = [entry["segmentation"] for entry in truth if not entry["iscrowd"]]
        runs = [entry["segmentation"] for entry in truth if entry["iscrowd"]]

        set1 = Masks.from_rle(detections, size)
        set2 = Masks.from_polygons(outlines, size)
        set2 = Masks.concatenate([set2, Masks.from_rle(runs, size)])
        is_run = np.argsort(crowd, kind="stable")  # the order in which they were joined
        set2 = set2[np.argsort(is_run)]

        entries1 = [{**entry, "counts": entry["counts"].encode()} for entry in detections]
        entries2 = [
            coco_mask.frPyObjects(entry["segmentation"], *size)
            if entry["iscrowd"]
            else coco_mask.merge(coco_mask.frPyObjects(entry["segmentation"], *size))
            for entry in truth
        ]
        for masks, entries in ((set1, entries1), (set2, entries2)):
            if entries:
                assert_same_masks(masks, entries)
        groups = tuple(np.array([entry["image_id"] for entry in part]) for part in (found, truth))
        if not (found and truth):
            continue
        for iscrowd in (np.zeros(len(truth), bool), crowd, np.arange(len(truth)) % 3 == 0):
            expected = coco_mask.iou(entries1, entries2, iscrowd.astype(int).tolist())
            for left, right in ((set1, set2), (detections, entries2)):
                actual = fastiou.mask_iou(left, right, iscrowd=iscrowd)
                np.testing.assert_array_equal(actual, expected)
            expected = coco_mask.iou(entries2, entries2, iscrowd.astype(int).tolist())
            actual = fastiou.mask_iou(set2, set2, iscrowd=iscrowd)
            np.testing.assert_array_equal(actual, expected)
        scores = fastiou.mask_iou(set1, set2)
        scores[groups[0][:, None] != groups[1][None]] = 0
        rows, cols, values = fastiou.pairs(set1, set2, 0.5, groups=groups)
        np.testing.assert_array_equal(np.transpose([rows, cols]), np.argwhere(scores >= 0.5))
        np.testing.assert_array_equal(values, scores[rows, cols])
    assert crowds > 5


@pytest.mark.parametrize("name", ["images", "categories"])
def test_one_number_has_one_name(tmp_path: Path, name: str) -> None:
    told = {"images": ("file_name", "b.jpg"), "categories": ("name", "dog")}
    field, other = told[name]
    entry = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}
    content: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [entry],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**content, name: content[name] * 2}))
    assert len(read_boxes(path)) == 1, "an entry that comes twice says nothing else"
    path.write_text(json.dumps({**content, name: [*content[name], {"id": 1, field: other}]}))
    message = rf'{name}\[1\]: "id": 1 again, and "{field}": "{other}", expected "'
    with pytest.raises(FileError, match=message):
        read_boxes(path)


@pytest.mark.parametrize("count", [3, 20_000])
def test_corners_in_place_of_sizes_are_not_guessed(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(5)
    corners = rng.integers(150, 200, (count, 2))
    boxes = np.hstack([corners, corners + rng.integers(400, 440, (count, 2))]).tolist()
    images = [{"id": 1, "width": 640, "height": 640}]
    entries = [{"image_id": 1, "category_id": 1, "bbox": box} for box in boxes]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": images, "annotations": entries}))
    with pytest.raises(FileError, match="as corners none, expected --boxes xyxy or --boxes xywh"):
        read_boxes(path)
    for fmt in ("xyxy", "xywh"):
        file = read_boxes(path, fmt=fmt, told=True)
        assert (file.fmt, file.boxes.tolist()) == (fmt, boxes)
    assert read_boxes(path, format="coco").fmt == "xywh"
    entries[1]["bbox"] = [600, 600, 20, 20]  # which is no corner
    path.write_text(json.dumps({"images": images, "annotations": entries}))
    assert read_boxes(path).fmt == "xywh"


def test_lists_that_lack_a_name_are_told(tmp_path: Path) -> None:
    entry = {"image_id": 1, "bbox": [0, 0, 9, 9]}
    entries = [{**entry, "category_id": 1}, {**entry, "category_id": 7}]
    content = {"categories": [{"id": 1, "name": "cat"}], "annotations": entries}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    file = read_boxes(path)
    assert file.notes == ("category_id 7 has no name, so that no category_name is used",)
    assert not file.classes
