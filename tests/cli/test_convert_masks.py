"""`fastiou convert` of masks: the same pixels in another format."""

import json
import warnings

import numpy as np
import pytest
from command_for_tests import run, run_well

import fastiou
from fastiou.geometries.masks.outlines import outlines

HEIGHT, WIDTH = 24, 36

#: One polygon, two apart, two that overlap, and run lengths with a hole.
RINGS = [
    [[1, 1, 9.5, 2, 8, 9]],
    [[12, 1, 16, 1, 16, 5, 12, 5], [20, 8, 26, 8, 26.5, 12, 21, 13]],
    [[2, 12, 10, 12, 10, 20, 2, 20], [6, 14, 14, 14, 14, 22, 6, 22]],
]


def ring_of_pixels():
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[3:15, 27:35] = True
    mask[6:10, 29:32] = False
    return fastiou.Masks.from_dense(mask[None]).to_rle()[0]


def truth(tmp_path):
    runs = ring_of_pixels()
    counts = runs["counts"]
    runs["counts"] = counts.decode() if isinstance(counts, bytes) else list(map(int, counts))
    annotations = [
        {"id": 5 + place, "image_id": 7, "category_id": 3 - place % 2, "segmentation": mask}
        for place, mask in enumerate([*RINGS, runs])
    ]
    content = {
        "images": [{"id": 7, "file_name": "val/a.jpg", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 2, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": annotations,
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    return path


def pixels(path, **options):
    table = fastiou.read(path, geometry="mask", **options)
    return table, table.masks.to_dense()


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("coco", ()),
        ("yolo-seg", ("--drop", "id")),
        ("labelme", ("--drop", "id")),
    ],
)
def test_masks_come_back_with_the_same_pixels(tmp_path, target, options):
    path = truth(tmp_path)
    out = tmp_path / ("out.json" if target == "coco" else "out")
    run_well("convert", path, out, "--to", target, "--geometry", "mask", *options)
    asked = {"image_size": (WIDTH, HEIGHT)} if target == "yolo-seg" else {}
    before, expected = pixels(path)
    again, found = pixels(out, **asked)
    np.testing.assert_array_equal(found, expected)
    names = {2: "cat", 3: "dog"}
    classes = [names.get(value, value) for value in again.labels.tolist()]
    assert classes == [names[value] for value in before.labels.tolist()]
    if target == "coco":
        entries = json.loads(out.read_text())["annotations"]
        assert entries[0]["segmentation"] == RINGS[0]
        assert [entry["area"] for entry in entries] == before.masks.area.tolist()
        assert entries[3]["bbox"] == [27, 3, 8, 12]
    else:
        assert [file.name for file in out.iterdir() if file.stem == "a"]


def test_outlines_go_from_folder_to_folder(tmp_path):
    run_well("convert", truth(tmp_path), tmp_path / "labels", "--to", "yolo-seg", "--drop", "id")
    size = ("--image-size", f"{WIDTH},{HEIGHT}")
    run_well("convert", tmp_path / "labels", tmp_path / "again", "--to", "labelme", "--geometry",
             "mask", *size)  # fmt: skip
    expected = pixels(tmp_path / "labels", image_size=(WIDTH, HEIGHT))[1]
    np.testing.assert_array_equal(pixels(tmp_path / "again")[1], expected)


def test_scores_stay_with_results(tmp_path):
    path = tmp_path / "results.json"
    entry = {"image_id": 1, "category_id": 1, "score": 0.25, "segmentation": ring_of_pixels()}
    entry["segmentation"]["counts"] = [int(n) for n in [80, 5, HEIGHT * WIDTH - 85]]
    path.write_text(json.dumps([entry]))
    out = tmp_path / "out.json"
    run_well("convert", path, out, "--geometry", "mask")
    (again,) = json.loads(out.read_text())
    assert again["score"] == 0.25
    assert again["segmentation"] == entry["segmentation"]
    assert "area" not in again


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "yolo-seg"), "yolo-seg has no place for id: --drop id leaves it out"),
        (("--to", "voc", "--geometry", "mask"),
         "voc has no place for masks, which coco, yolo-seg, labelme, labels, panoptic have"),
        (("--to", "yolo-seg", "--drop", "id", "--image-size", "9,9"),
         "--image-size is for files of yolo or yolo-seg or"),
    ],
)  # fmt: skip
def test_what_does_not_go_is_told(tmp_path, options, message):
    path = truth(tmp_path)
    result = run("convert", path, tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 1, 40, 1, 8, 9]],
         "yolo-seg needs outlines within the image: annotations[0] of truth.json has a point "
         "outside of 36 × 24"),
        ({"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]},
         "yolo-seg needs outlines: annotations[0] of truth.json has no pixels"),
    ],
)  # fmt: skip
def test_masks_without_a_place_are_named(tmp_path, mask, message):
    path = truth(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = mask
    path.write_text(json.dumps(content))
    result = run("convert", path, tmp_path / "out", "--to", "yolo-seg", "--drop", "id")
    assert result.exit_code == 2
    assert result.stderr == f"fastiou: {message}\n"


def test_boxes_are_no_masks(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("image,class,x1,y1,x2,y2\na.jpg,cat,1,2,3,4\n")
    result = run("convert", path, tmp_path / "out", "--to", "yolo-seg")
    assert result.exit_code == 2
    expected = "csv, which has boxes alone, expected masks as yolo-seg, labelme or coco"
    assert result.stderr == f"fastiou: {path}: {expected}\n"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_outlines_of_noise_go_around_its_pixels(rng, share):
    """The winding number of the outlines is 1 inside, and 0 elsewhere."""
    dense = rng.random((12, 17, 23)) < share
    for mask, rings in zip(dense, outlines(fastiou.Masks.from_dense(dense)), strict=True):
        winding = np.zeros((17, 23), np.int64)
        for ring in rings:
            for (x, y), (_, bottom) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                low, high = sorted((y, bottom))
                winding[low:high, x:] += int(np.sign(y - bottom))
        np.testing.assert_array_equal(winding, mask)


def test_masks_without_pixels_have_no_outline():
    empty = fastiou.Masks.from_dense(np.zeros((2, 3, 4), np.bool_))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outlines(empty) == [[], []]
