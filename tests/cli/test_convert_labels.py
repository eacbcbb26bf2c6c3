"""`fastiou convert` of label images: to masks and bounds, and of masks to label images."""

import json

import numpy as np
import pytest
from command_for_tests import run, run_well
from images_for_tests import image_bytes, npy_bytes, png_bytes

import fastiou
from fastiou.formats.images import read_labels
from fastiou.geometries.masks.painting import labelled

LABELS = np.zeros((60, 90), np.uint16)
LABELS[3:20, 4:30] = 1
LABELS[30:50, 40:70] = 300
LABELS[31:33, 41:44] = 7

#: What its labels measure: pixels and bounds.
MEASURED = [(1, 442, [4, 3, 26, 17]), (7, 6, [41, 31, 3, 2]), (300, 594, [40, 30, 30, 20])]


@pytest.fixture(autouse=True)
def _pillow():
    pytest.importorskip("PIL", reason="images need the extra images")


def masks_of(path):
    content = json.loads(path.read_text())
    return content, [(e["id"], e["area"], e["bbox"]) for e in content["annotations"]]


def folder(tmp_path):
    """Three images, of which the last is all background."""
    path = tmp_path / "in"
    path.mkdir()
    for name, image in (("x", LABELS), ("y", LABELS[:40, :50]), ("z", LABELS[:5, :9] * 0)):
        (path / f"{name}.png").write_bytes(png_bytes(image, 16))
    return path


@pytest.mark.parametrize("kind", ["png", "npy", "panoptic"])
def test_label_images_become_masks_of_coco(tmp_path, kind):
    path, out = tmp_path / "cells.x", tmp_path / "out.json"
    colours = np.stack([LABELS % 256, LABELS // 256, LABELS * 0], axis=-1).astype(np.uint8)
    data = {
        "png": lambda: png_bytes(LABELS, 16),
        "npy": lambda: npy_bytes(LABELS),
        "panoptic": lambda: image_bytes(colours, "PNG"),
    }
    path.write_bytes(data[kind]())
    told = ("--format", "panoptic") if kind == "panoptic" else ()
    run_well("convert", path, out, *told)
    content, found = masks_of(out)
    image = {"id": "cells", "file_name": "cells.png", "width": 90, "height": 60}
    assert content["images"] == [image]
    assert found == MEASURED
    dense = fastiou.read(out, geometry="mask").masks.to_dense()
    np.testing.assert_array_equal(dense, [label == LABELS for label, *_ in MEASURED])


def test_bounds_go_where_masks_have_no_place(tmp_path):
    path, out = tmp_path / "cells.png", tmp_path / "out.csv"
    path.write_bytes(png_bytes(LABELS, 16))
    run_well("convert", path, out)
    table = fastiou.read(out)
    assert table.convert("xywh").boxes.tolist() == [bounds for *_, bounds in MEASURED]
    assert table.ids.tolist() == [1, 7, 300]
    assert table.keys["image"].tolist() == ["cells"] * 3


@pytest.mark.parametrize(
    ("out", "options"),
    [
        ("a.png", ()),
        ("a.tif", ()),
        ("a.npy", ("--to", "labels")),
        ("a.png", ("--to", "panoptic")),
    ],
)
@pytest.mark.parametrize("largest", [200, 300, 70_000, 1 << 24])
def test_labels_come_back(tmp_path, out, options, largest):
    image = np.where(LABELS == 300, largest, LABELS.astype(np.int64))
    source, path = tmp_path / "in.npy", tmp_path / out
    np.save(source, image)
    result = run("convert", source, path, *options)
    most = (1 << 24) - 1 if "panoptic" in options else 65535
    if out == "a.png" and largest > most:
        assert result.exit_code == 2
        words = f"a PNG has no place for label {largest:,}, expected labels up to {most:,}"
        assert words in result.stderr
        assert not path.exists()
        return
    assert result.exit_code == 0, result.output
    told = options[-1] if options else None
    np.testing.assert_array_equal(read_labels(path, format=told).read(0), image)


def test_masks_go_to_label_images_and_back(tmp_path):
    path, out, back = tmp_path / "a.json", tmp_path / "out", tmp_path / "back"
    source = folder(tmp_path)
    run_well("convert", source, path)
    content, found = masks_of(path)
    assert [entry for entry, *_ in found] == list(range(1, 7)), "ids of COCO are there once"
    assert [image["id"] for image in content["images"]] == ["x", "y", "z"]
    assert content["categories"] == [{"id": 1, "name": "object"}]
    run_well("convert", path, out, "--to", "labels", "--drop", "id,category")
    assert sorted(file.name for file in out.iterdir()) == ["x.png", "y.png", "z.png"]
    counted = np.unique(LABELS, return_inverse=True)[1].reshape(LABELS.shape)
    np.testing.assert_array_equal(read_labels(out / "x.png").read(0), counted)
    run_well("convert", source, back, "--to", "panoptic")
    again = read_labels(back, format="panoptic")
    assert again.names == ("x", "y", "z")
    for number, name in enumerate(again.names):
        expected = read_labels(source / f"{name}.png").read(0)
        np.testing.assert_array_equal(again.read(number), expected)


def coco(tmp_path, *entries):
    path = tmp_path / "gt.json"
    images = [
        {"id": 3, "file_name": "val/q.jpg", "height": 60, "width": 90},
        {"id": 4, "file_name": "val/r.jpg", "height": 10, "width": 20},
    ]
    annotations = [{"image_id": 3, **entry} for entry in entries]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def square(left, top, right, bottom):
    return {"segmentation": [[left, top, right, top, right, bottom, left, bottom]]}


def test_images_without_masks_are_background(tmp_path):
    out = tmp_path / "out"
    run_well("convert", coco(tmp_path, {"id": 9, **square(2, 3, 8, 5)}), out, "--to", "labels")
    assert sorted(file.name for file in out.iterdir()) == ["q.png", "r.png"]
    expected = np.zeros((60, 90), int)
    expected[3:5, 2:8] = 9
    np.testing.assert_array_equal(read_labels(out / "q.png").read(0), expected)
    assert not read_labels(out / "r.png").read(0).any()
    run_well("convert", coco(tmp_path), tmp_path / "none", "--to", "labels")
    assert not any(read_labels(file).read(0).any() for file in (tmp_path / "none").iterdir())


@pytest.mark.parametrize(
    ("entries", "options", "message"),
    [
        ([square(1, 1, 9, 9), square(8, 8, 12, 12)], (),
         "labels needs masks that do not overlap: annotations[0] of gt.json and annotations[1] of "
         "gt.json do"),
        ([{"id": 0, **square(1, 1, 9, 9)}], (),
         "labels needs ids from 1 on, different within an image, got 0 in image 'q.jpg': --drop "
         "id numbers the masks of each image from 1 on"),
        ([{"id": 5, **square(1, 1, 9, 9)}, {"id": 5, **square(10, 1, 19, 9)}], (), "got 5 twice"),
        ([{"id": "a", **square(1, 1, 9, 9)}], (), "labels needs whole numbers for id, got 'a'"),
        ([{"category_id": 1, **square(1, 1, 9, 9)}], (),
         "labels has no place for category: --drop category leaves it out"),
        ([square(91, 1, 99, 9)], (), "labels needs masks: annotations[0] of gt.json has no pixels"),
        ([square(1, 1, 9, 9)], ("out.png",),
         "out.png has a place for one image, got 2 images: --to labels, and a name without an "
         "ending, makes a folder of them"),
    ],
)  # fmt: skip
def test_what_no_label_image_holds_is_told(tmp_path, entries, options, message):
    out = tmp_path / (options[0] if options else "out")
    result = run("convert", coco(tmp_path, *entries), out, "--to", "labels")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_results_tell_the_sizes_of_images_themselves(tmp_path):
    masks, _ = fastiou.Masks.from_labels(LABELS)
    runs = [{**run_, "counts": run_["counts"].decode()} for run_ in masks.to_rle()]
    path = tmp_path / "found.json"
    entries = [{"image_id": 3, "category_id": 1, "score": 0.5, "segmentation": r} for r in runs]
    path.write_text(json.dumps(entries))
    run_well("convert", path, tmp_path / "out.png", "--drop", "category,score")
    found = read_labels(tmp_path / "out.png").read(0)
    np.testing.assert_array_equal(found != 0, LABELS != 0)
    run_well("convert", path, tmp_path / "out", "--to", "yolo-seg", "--drop", "score")
    back = fastiou.read(tmp_path / "out", geometry="mask", image_size=(90, 60))
    assert back.masks == masks


def test_photographs_beside_labels_are_no_label_images(tmp_path):
    path = tmp_path / "in"
    path.mkdir()
    (path / "a.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    (path / "a.png").write_bytes(image_bytes(np.zeros((4, 4, 3), np.uint8), "PNG"))
    run_well("convert", path, tmp_path / "out.csv")
    assert len(fastiou.read(tmp_path / "out.csv")) == 1


def test_painting_is_the_inverse_of_reading(rng):
    for shape in ((1, 1), (63, 5), (64, 64), (130, 71), (200, 3)):
        image = rng.integers(0, 9, shape) * rng.integers(0, 2, shape)
        masks, labels = fastiou.Masks.from_labels(image)
        painted, overlapping = labelled(masks, labels)
        np.testing.assert_array_equal(painted, image)
        assert overlapping is None
    twice = fastiou.Masks.concatenate([masks, masks[:1]])
    assert labelled(twice, np.arange(1, len(twice) + 1))[1] == (0, len(masks))


def test_labels_below_0_are_objects_and_told(tmp_path):
    path, out = tmp_path / "a.npy", tmp_path / "a.json"
    np.save(path, np.array([[1, 1, -1, -1, 0, 0]] * 3))
    told = run_well("convert", path, out).stderr
    assert "a.npy: label -1, and what else is below 0, is an object: 0 alone is none\n" in told
    assert "a.npy: there are no classes: coco has all as category 1, object\n" in told
    assert [entry["id"] for entry in json.loads(out.read_text())["annotations"]] == [-1, 1]


def test_a_binary_mask_is_told(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[255, 255, 0, 0, 0, 255]] * 3))
    told = run_well("convert", path, tmp_path / "a.json").stderr
    assert "each image has one object, of the label 255: a binary mask is no label image" in told
