"""COCO's truth and results as columns for evaluation, by either parser."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import DATA

import fastiou
from fastiou.formats import coco_entries
from fastiou.formats.coco_columns import CocoColumns, read_coco_columns
from fastiou.formats.errors import FileError

OPTIONAL = ("area", "iscrowd", "ignore", "id", "score", "bbox")
COLUMNS = ("image_id", "category_id", "id", "bbox", "score", "area", "iscrowd", "ignore")

ENTRY: dict[str, Any] = {"image_id": 3, "category_id": 1, "bbox": [1, 2.5, 3e1, 4], "score": 0.25}
OTHER = {**ENTRY, "image_id": 1, "bbox": [0.1, 2, 3, 4], "score": 1}


def read(content: Any, least: int, needed: Any, optional: Any = OPTIONAL) -> CocoColumns:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_entries, "COMPILED_FROM", least)
        return read_coco_columns(Path("a.json"), data, needed, optional)


def both_masks(content: Any, needed: Any = ("image_id", "segmentation"), optional: Any = ()) -> Any:
    """Masks of all entries that have one, or the message; the same by either parser."""
    found: list[Any] = []
    for least in (0, 1 << 60):
        try:
            columns = read(content, least, needed, optional)
            rows = np.flatnonzero(columns.has("segmentation"))
            if columns.segmentation is None:
                found.append((rows, None, None))
                continue
            sizes = np.full((len(columns), 2), -1)
            if columns.image_ids is not None:
                order = np.argsort(columns.image_ids)
                places = np.searchsorted(columns.image_ids[order], columns.image_id)
                sizes = columns.image_sizes[order[np.minimum(places, len(order) - 1)]]
            rows = rows[::-1].copy()
            masks = columns.segmentation.masks(rows, sizes[rows])
            areas, boxes = columns.segmentation.measured(rows, sizes[rows])
            np.testing.assert_array_equal(masks.area, areas)
            np.testing.assert_array_equal(masks.boxes, boxes)
            found.append((rows, masks, columns.segmentation.is_outline))
        except FileError as error:
            found.append(str(error))
    one, other = found
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return one
    np.testing.assert_array_equal(one[0], other[0])
    assert (one[1] is None) == (other[1] is None)
    if one[1] is None:
        return None
    assert one[1].shape == other[1].shape
    assert one[1] == other[1]
    np.testing.assert_array_equal(one[2], other[2])
    return one[1]


def both(content: Any, needed: Any = ("image_id", "category_id"), optional: Any = OPTIONAL) -> Any:
    """The columns, or the message, which are the same by either parser."""
    found: list[Any] = []
    for least in (0, 1 << 60):
        try:
            found.append(read(content, least, needed, optional))
        except FileError as error:
            found.append(str(error))
    one, other = found
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return one
    assert one.label == other.label
    assert len(one) == len(other)
    assert one.present.keys() == other.present.keys()
    for name in one.present:
        np.testing.assert_array_equal(one.present[name], other.present[name], strict=True)
    for name in (*COLUMNS, "image_ids", "image_sizes", "category_ids"):
        ours, theirs = getattr(one, name), getattr(other, name)
        if ours is None or theirs is None:
            assert ours is theirs
            continue
        np.testing.assert_array_equal(ours, theirs, strict=True)
    assert one.category_names == other.category_names
    assert one.listed("info") == other.listed("info")
    return one


def test_results() -> None:
    found = both([ENTRY, OTHER], ("image_id", "category_id", "score", "bbox"))
    assert found.label == ""
    assert found.image_id.tolist() == [3, 1]
    assert found.bbox.tolist() == [[1, 2.5, 30, 4], [0.1, 2, 3, 4]]
    assert found.score.tolist() == [0.25, 1]
    assert np.isnan(found.area).all()
    assert found.has("score").all()
    assert not found.has("area").any()
    assert found.image_ids is None
    assert found.category_names == []


def test_truth() -> None:
    entries = [
        {"image_id": 3, "category_id": 1, "id": 5, "bbox": [1, 2, 3, 4], "iscrowd": 1, "area": 2.5},
        {"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "ignore": 1},
    ]
    content = {
        "info": {"x": 1},
        "images": [{"id": 7, "height": 4, "width": 5}, {"id": 3}],
        "annotations": entries,
        "categories": [{"id": 2, "name": "dög"}, {"id": 1}],
    }
    found = both(content)
    assert found.label == "annotations"
    assert found.iscrowd.tolist() == [True, False]
    assert found.ignore.tolist() == [False, True]
    assert found.area[0] == 2.5
    assert np.isnan(found.area[1])
    assert found.has("id").tolist() == [True, False]
    assert found.image_ids.tolist() == [7, 3]
    assert found.image_sizes.tolist() == [[4, 5], [-1, -1]]
    assert found.category_ids.tolist() == [2, 1]
    assert found.category_names == ["dög", "1"]
    assert found.listed("info") == {"x": 1}
    assert found.listed("licenses") is None
    assert both(content, ("image_id", "score")).startswith('a.json:annotations[0]: no "score"')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": None}, '"score": null, expected a finite number'),
        ({"score": "1"}, '"score": "1", expected a finite number'),
        ({"image_id": 1.5}, '"image_id": 1.5, expected a whole number'),
        ({"bbox": [1, 2, 3]}, '"bbox": [1, 2, 3], expected "bbox": [x, y, width, height]'),
        ({"bbox": []}, '"bbox": [], expected'),
        ({"iscrowd": 2}, '"iscrowd": 2, expected 0 or 1'),
        ({"ignore": "x"}, '"ignore": "x", expected 0 or 1'),
        ({"area": "x"}, '"area": "x", expected a finite number'),
        ({"area": float("inf")}, '"area": Infinity, expected a finite number'),
    ],
)
def test_what_is_wrong_is_told(change: dict[str, Any], message: str) -> None:
    needed = ("image_id", "category_id", "score", "bbox")
    assert f"a.json:[1]: {message}" in both([ENTRY, {**OTHER, **change}], needed)
    assert f"a.json:annotations[0]: {message}" in both(
        {"annotations": [{**OTHER, **change}]}, needed
    )


def test_fields_that_are_missing() -> None:
    for name in ("image_id", "category_id", "score", "bbox"):
        rest = {key: value for key, value in ENTRY.items() if key != name}
        found = both([ENTRY, rest], ("image_id", "category_id", "score", "bbox"))
        assert f'a.json:[1]: no "{name}"' in found
    found = both([{**ENTRY, "area": None}, {**OTHER, "area": 5, "bbox": []}], ("image_id",))
    assert found.has("area").tolist() == [False, True]
    assert found.has("bbox").tolist() == [True, False]
    assert found.has("category_id").tolist() == [False, False]


@pytest.mark.parametrize("count", [500, pytest.param(100_000, marks=pytest.mark.thorough)])
def test_damaged_files_of_columns(count: int) -> None:
    """Both parsers read the same columns, or say the same."""
    dice = random.Random(0)
    entry = {"image_id": 3, "category_id": 1, "id": 5, "bbox": [1, 2, 3, 4], "iscrowd": 1}
    content = {
        "images": [{"id": 3, "height": 4, "width": 5}, {"id": 1, "height": 7, "width": 0}],
        "annotations": [{**entry, "area": 2.5, "ignore": 0}, {**entry, "id": 7, "area": 1e-3}],
        "categories": [{"id": 2, "name": "a"}, {"id": 1, "name": "b"}],
    }
    contents = [json.dumps(content).encode(), json.dumps([ENTRY, OTHER], indent=1).encode()]
    pieces = [bytes([byte]) for byte in b'0123456789.eE+-,:"\\{}[] \n\ttrufalsn\0\x7f\xff'] + [b""]
    read_by_both = 0
    for _ in range(count):
        data = dice.choice(contents)
        for _ in range(dice.choice((1, 1, 2, 3))):
            first = dice.randrange(len(data))
            last = first + dice.choice((0, 1, 1, 2, 9))
            data = data[:first] + dice.choice(pieces) + data[last:]
        read_by_both += not isinstance(both(data, dice.choice([("bbox",), ("score",), ()])), str)
    assert read_by_both > count / 100


def test_names_in_place_of_numbers() -> None:
    found = both({"annotations": [ENTRY, {**OTHER, "image_id": "a"}], "images": [{"id": "a"}]})
    assert found.image_id.tolist() == ["3", "a"]
    assert found.image_ids.tolist() == ["a"]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"images": {}}, "a.json:images: {}, expected a list of images"),
        ({"images": [{"id": None}]}, 'a.json:images[0]: "id": null'),
        ({"images": [{"id": 1, "height": 3}]}, 'a.json:images[0]: no "width"'),
        ({"categories": 5}, "a.json:categories: 5, expected a list of categories"),
        ({"categories": [1]}, "a.json:categories[0]: 1, expected an object"),
        ({"categories": [{"name": "x"}]}, 'a.json:categories[0]: no "id"'),
        (
            {"categories": [{"id": 1, "name": "x"}, {"id": 1, "name": "y"}]},
            'a.json:categories[1]: category 1 again, named "y", expected "x", as before',
        ),
    ],
)
def test_broken_lists(lists: dict[str, Any], message: str) -> None:
    assert message in both({"annotations": [ENTRY], **lists})


def test_empty_and_broken_files() -> None:
    assert len(both([])) == 0
    assert len(both({"annotations": [], "images": []})) == 0
    data = json.dumps([ENTRY, OTHER]).encode()
    for place in range(0, len(data), 5):
        both(data[:place])
        both(data[:place] + b'"' + data[place:])
        both(data[:place] + data[place + 2 :])
    assert "expected an object" in both([1])
    assert '"annotations", or a list of results' in both({"a": 1})


# ---- masks -------------------------------------------------------------------------------------

TRIANGLE, SQUARE = [1, 1, 6.5, 1, 1, 5], [2.25, 2, 6, 2, 6, 4e0, 2, 4]
RUNS = {"size": [6, 8], "counts": [10, 5, 33]}


def runs_as_text(size: tuple[int, int] = (6, 8), seed: int = 0) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).random(size) < 0.5
    (entry,) = fastiou.Masks.from_dense(pixels[None]).to_rle()
    return {"size": list(size), "counts": entry["counts"].decode()}


def masked(*values: Any) -> list[dict[str, Any]]:
    return [{"image_id": 1, "segmentation": value} for value in values]


IMAGES = [{"id": 1, "height": 6, "width": 8}]


def test_masks_of_every_kind() -> None:
    values = [[TRIANGLE], RUNS, runs_as_text(), [SQUARE, TRIANGLE], runs_as_text(seed=2), RUNS]
    for indent in (None, 2):
        content = {"annotations": masked(*values), "images": IMAGES}
        masks = both_masks(json.dumps(content, indent=indent).encode())
        assert masks.shape == (6, 6, 8)
        expected = fastiou.Masks.from_rle([values[1], values[2], values[4], values[5]])
        assert masks[np.array([4, 3, 1, 0])] == expected
        assert masks[5] == fastiou.Masks.from_polygons([[TRIANGLE]], (6, 8))
    assert len(both_masks(masked(RUNS, runs_as_text(seed=3)))) == 2
    assert len(both_masks(masked({"counts": runs_as_text()["counts"], "size": [6, 8]}))) == 1


def test_masks_of_several_sizes_are_padded() -> None:
    sizes = [(6, 8), (20, 3), (1, 1), (70, 130), (5, 0)]
    entries = masked(*(runs_as_text(size, 5) for size in sizes))
    entries += masked(*({"size": size, "counts": [size[0] * size[1]]} for size in sizes))
    for place, entry in enumerate(entries):
        entry["image_id"] = place % len(sizes)
    outlines = [{"image_id": place, "segmentation": [TRIANGLE]} for place in range(len(sizes))]
    images = [{"id": n, "height": h, "width": w} for n, (h, w) in enumerate(sizes)]
    masks = both_masks({"images": images, "annotations": entries + outlines})
    assert masks.shape == (15, 70, 130)


def test_backslashes_of_run_lengths() -> None:
    """Numbers from 12 on, whose first five bits are 01100, begin with one."""
    counts = [12 + 32, 12 + 64, 12 + 32 * 31, 6 * 800 - 44 - 76 - 12 - 32 * 31]
    entry = {"size": [6, 800], "counts": counts}
    (text,) = fastiou.Masks.from_rle([entry]).to_rle()
    assert text["counts"].count(b"\\") > 1
    plain = json.dumps(masked({"size": [6, 800], "counts": text["counts"].decode()}))
    for form in (plain, plain.replace("\\\\", "\\u005c"), plain.replace("\\\\", "\\u005C")):
        assert both_masks(form.encode()) == fastiou.Masks.from_rle([entry])
    both_masks(plain.replace("\\\\", "\\/").encode())
    both_masks(plain.replace("\\\\", "\\u00e9").encode())


def test_letters_in_all_places_of_memory() -> None:
    """Eight are read at once, but not where a page ends."""
    for shift in range(12):
        entries = [{**entry, "x": "y" * shift} for entry in masked(*[runs_as_text((64, 64))] * 40)]
        assert len(both_masks(entries)) == 40


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, '"segmentation": null, expected "segmentation": polygons, or run lengths'),
        ("x", '"segmentation": "x", expected'),
        ({"size": [6, 8]}, '"segmentation" has no "counts"'),
        ({"counts": [48]}, '"segmentation" has no "size"'),
        ([], '"segmentation" must have at least one ring, got none'),
        ([[1, 2, 3, 4]], '"segmentation"[0] must have at least 3 points'),
        ([[1, 2, 3, 4, 5, 6, 7]], '"segmentation"[0] must have a y for each x'),
        ([TRIANGLE, [1, 2, 3, 4, 5, "6"]], '"segmentation"[1]'),
        ([TRIANGLE, [1, 2, 3, 4, 5, 1e300]], '"segmentation"[1]: coordinates must be finite'),
        ([TRIANGLE, [1, 2, 3, 4, 5, float("inf")]], '"segmentation"[1]: coordinates must be'),
        ({"size": [6, 8], "counts": "abc"}, '"segmentation": counts '),
        ({"size": [6, 8], "counts": "\u00e9"}, '"segmentation": counts have the character'),
        ({"size": [6, 8], "counts": "a b"}, '"segmentation": counts have the character'),
        ({"size": [6, 8], "counts": [47]}, '"segmentation": counts sum to 47'),
        ({"size": [6, 8], "counts": [50, -2]}, '"segmentation": counts must be >= 0'),
        ({"size": [6, 8], "counts": [48.0]}, '"segmentation": counts must be integers'),
        ({"size": [6, 8], "counts": [10**17] * 30}, '"segmentation": counts sum to'),
        ({"size": [6, 8], "counts": []}, '"segmentation": counts sum to 0'),
        ({"size": [6, 8], "counts": None}, '"segmentation": counts must be a string'),
        ({"size": [6], "counts": [48]}, '"segmentation": size must be (height, width)'),
        ({"size": [6, 8.0], "counts": [48]}, '"segmentation": size must be (height, width)'),
        ({"size": [6, -8], "counts": [48]}, '"segmentation": size must be (height, width)'),
        ({"size": [10**9, 10**9], "counts": [48]}, '"segmentation": size must have sides of'),
        ({"size": [6, 9], "counts": [54]}, '"segmentation" of 6 × 9 pixels, expected 6 × 8'),
        ({"size": 5, "counts": [54]}, '"segmentation": size must be (height, width)'),
    ],
)
def test_malformed_masks_are_told(value: Any, message: str) -> None:
    good = [[TRIANGLE], RUNS, runs_as_text()]
    found = both_masks({"images": IMAGES, "annotations": masked(*good, value, *good)})
    assert f"a.json:annotations[3]: {message}" in found
    alone = both_masks({"images": IMAGES, "annotations": masked(value, [SQUARE])})
    assert f"a.json:annotations[0]: {message}" in alone


def test_sizes_of_images_are_needed_by_polygons() -> None:
    assert "a.json:[1]: polygons of an image, the size of which" in both_masks(
        masked(RUNS, [TRIANGLE])
    )
    without = {"images": [{"id": 1}], "annotations": masked([TRIANGLE])}
    assert "a.json:annotations[0]: polygons of an image" in both_masks(without)


def test_masks_that_are_rare_are_read_by_python() -> None:
    points = [[1, 1], [6, 1], [1, 5]]
    values = [points, [points], {**RUNS, "note": 1}, [[0.12345678901234567891, 1, 6, 1, 1, 5]]]
    text = json.dumps({"images": IMAGES, "annotations": masked(*values, [TRIANGLE])})
    text = text.replace("[6, 1, 1, 5]", "[6, 1.00000000000000000000000001, 1, 5]")
    assert len(both_masks(text.encode())) == 5
    doubled = '{"size": [1, 1], "counts": [1], "size": [6, 8], "counts": [48]}'
    text = json.dumps(masked(RUNS, "?")).replace('"?"', doubled)
    assert '"size"' in both_masks(text.encode())  # which stands twice


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("1e400", '"segmentation"[0]: coordinates must be finite'),
        ("NaN", '"segmentation"[0]: coordinates must be finite'),
        ("-Infinity", '"segmentation"[0]: coordinates must be finite'),
        ('"1"', '"segmentation"[0] must be a ring'),
        ("true", ""),
        ("01", "not JSON"),
        ("1.", "not JSON"),
        ("1e-400", ""),
        ("-0.0", ""),
        ("123456789012345678901234567890e-29", ""),
        ("[" * 70 + "]" * 70, '"segmentation"[0]'),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_numbers_of_polygons(number: str, message: str) -> None:
    content = json.dumps({"images": IMAGES, "annotations": masked([TRIANGLE], RUNS)})
    found = both_masks(content.replace("6.5", number, 1).encode())
    assert (message in found) if message else len(found) == 2


def test_masks_that_are_not_needed() -> None:
    entries = masked([TRIANGLE], None, [], RUNS)
    entries.append({"image_id": 1})
    content = {"images": IMAGES, "annotations": entries}
    assert len(both_masks(content, ("image_id",), ("segmentation",))) == 2
    assert both_masks(content, ("image_id",), ()) is None
    assert 'annotations[4]: no "segmentation"' in both_masks(
        {"images": IMAGES, "annotations": [*masked([TRIANGLE]) * 4, {"image_id": 1}]}
    )


@pytest.mark.parametrize("name", ["instances_val2014_100", "instances_val2014_fakesegm100_results"])
def test_real_masks(name: str) -> None:
    path = DATA / "coco" / f"{name}.json.gz"
    if not path.exists():
        pytest.skip("needs real data")
    assert len(both_masks(gzip.decompress(path.read_bytes()))) > 500
