"""COCO's truth and results as columns for evaluation, by either parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
