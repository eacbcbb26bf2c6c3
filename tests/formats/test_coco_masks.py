"""COCO files of masks that the compiled parser reads: the same as Python's parser makes of them."""

from __future__ import annotations

import dataclasses
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
from fastiou.formats.coco import MaskFile, read_coco_masks
from fastiou.formats.content import Wanted
from fastiou.formats.errors import FileError
from fastiou.formats.masks import mask_sizes, pack_masks
from fastiou.formats.segmentations import Segmentations

WANTED = [
    Wanted(),
    Wanted(scored=True),
    Wanted(ids=True, crowded=True, scores_if_there=True),
    *(Wanted(by=by) for by in ((), ("image",), ("image_id", "category"), ("id",))),
    Wanted(by=("category_name",)),
    Wanted(skip_invalid=True),
]

TRIANGLE, SQUARE = [1, 1, 6.5, 1, 1, 5], [2.25, 2, 6, 2, 6, 4e0, 2, 4]
RUNS = {"size": [6, 8], "counts": [10, 5, 33]}
LETTERS = {"size": [6, 8], "counts": ":5Q1"}
IMAGES = [{"id": 3, "height": 6, "width": 8, "file_name": "a"}, {"id": 5, "height": 20, "width": 9}]


def entries(*values: Any, **more: Any) -> list[dict[str, Any]]:
    return [
        {"image_id": 3, "category_id": 1 + i % 2, "segmentation": value, "bbox": [1, 2, 3, 4],
         "score": 0.5, **more} for i, value in enumerate(values)
    ]  # fmt: skip


def read(data: bytes, wanted: Wanted, least: int) -> tuple[Any, Any]:
    """The file, and its masks; or a message."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_entries, "COMPILED_FROM", least)
        try:
            file = read_coco_masks(Path("a.json"), data, wanted)
            assert len(file.packable) == len(file.masks) == len(file)
            return file, pack_masks([file], lambda done, total: None)[0]
        except FileError as error:
            return str(error), None


def check(content: Any) -> list[bool]:
    """The same both ways; for which ways of asking the compiled parser was used."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    used = []
    for wanted in WANTED:
        (one, ours), (other, theirs) = (read(data, wanted, least) for least in (0, 1 << 60))
        used.append(isinstance(one, MaskFile) and isinstance(one.masks, Segmentations))
        if isinstance(other, str):
            assert one == other
            continue
        assert isinstance(one, MaskFile)
        for field in dataclasses.fields(MaskFile):
            if field.name == "masks":
                continue
            mine, yours = getattr(one, field.name), getattr(other, field.name)
            if field.name == "unused":
                mine, yours = sorted(mine), sorted(yours)
            if field.name == "skipped":
                mine, yours = repr(mine), repr(yours)
            np.testing.assert_equal(mine, yours)
        assert ours == theirs
        np.testing.assert_array_equal(mask_sizes(one)[0], mask_sizes(other)[0])
        np.testing.assert_array_equal(one.packable.is_outline, other.packable.is_outline)
    return used


def test_results() -> None:
    assert all(check(entries(RUNS, LETTERS))[:3])
    assert all(check(json.dumps(entries(LETTERS, RUNS, LETTERS), indent=1).encode())[:3])
    assert check(entries(RUNS, LETTERS, attributes={"x": 1}, keypoints=[1, 2, 3], note="x"))[0]


def test_annotations() -> None:
    content: dict[str, Any] = {
        "info": {"x": [1]},
        "images": IMAGES,
        "annotations": entries([TRIANGLE], RUNS, [SQUARE, TRIANGLE], LETTERS, iscrowd=0, area=3),
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dög"}],
    }
    content["annotations"][1].update(image_id=5, segmentation={"size": [20, 9], "counts": [180]})
    assert all(check(content)[:3])
    assert all(check({**content, "images": IMAGES[::-1]})[:3])
    for images in ([*IMAGES, IMAGES[0]], [*IMAGES, {"id": "x"}], [{**IMAGES[0], "id": 7}], {},
                   [IMAGES[0]], [{"id": 3}, {"id": 5}], [{"id": 3, "height": 7, "width": 8}],
                   [{"id": 3, "height": 6}], [{**IMAGES[0], "width": 10**10}], [1]):  # fmt: skip
        check({**content, "images": images})
    for categories in ([], {}, [1], [{"id": 1, "name": "x"}, {"id": 2, "name": "x"}]):
        check({**content, "categories": categories})


def test_two_files_tell_each_other_sizes() -> None:
    for least in (0, 1 << 60):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coco_entries, "COMPILED_FROM", least)
            first, second = (
                read_coco_masks(Path(name), json.dumps(values).encode(), Wanted())
                for name, values in (
                    ("a.json", entries([TRIANGLE], [SQUARE])), ("b.json", entries(LETTERS))
                )
            )  # fmt: skip
            masks = pack_masks([first, second], lambda done, total: None)
            assert [each.shape for each in masks] == [(2, 6, 8), (1, 6, 8)]
            assert masks[0] == fastiou.Masks.from_polygons([[TRIANGLE], [SQUARE]], (6, 8))
            with pytest.raises(FileError, match=r"a.json:\[0\]: polygons of image 3, the size"):
                mask_sizes(first)
            (other,) = entries({"size": [6, 9], "counts": [54]})
            third = read_coco_masks(Path("c.json"), json.dumps([other]).encode(), Wanted())
            with pytest.raises(FileError, match=r"c.json:\[0\]: .* of 6 × 9 pixels, expected 6"):
                mask_sizes(second, third)


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": "3"}, {"image_id": 3.0}, {"image_id": None}, {"category_id": "a"},
        {"score": None}, {"score": float("nan")}, {"iscrowd": 2}, {"iscrowd": 1}, {"id": "a"},
        {"video_id": 1}, {"class": "a"}, {"class": ["a"]}, {"track_id": {}}, {"bbox": "x"},
        {"segmentation": None}, {"segmentation": []}, {"segmentation": [[1, 2, 3]]},
        {"segmentation": {"size": [6, 8]}}, {"segmentation": {"size": [6, 8], "counts": "z"}},
        {"segmentation": {"size": [6, 9], "counts": [54]}}, {"segmentation": [[[1, 2], [3, 4]]]},
        {"segmentation": {"size": [6, 8], "counts": [48], "x": 1}}, {"segmentation": [TRIANGLE]},
        {"segmentation": [[1, 2, 3, 4, 5, 1e300]]},
    ],
)  # fmt: skip
def test_what_is_not_plain_is_the_same(change: dict[str, Any]) -> None:
    one, other = entries(RUNS, LETTERS)
    for each in ([one, {**other, **change}], [{**one, **change}, {**other, **change}]):
        check(each)
        check({"annotations": each, "images": IMAGES})
    for name in change:
        check([{key: value for key, value in one.items() if key != name}, other])


def test_numbers_of_thousands_of_digits() -> None:
    """`json.loads` refuses them; what the compiled parser does not read it may step over."""
    digits = "9" * 5000
    plain = json.dumps({"annotations": entries(RUNS, [TRIANGLE]), "images": IMAGES})
    for old in ("10, 5", "1, 1, 6.5", '"height": 6'):
        check(plain.replace(old, digits + old[1:], 1).encode())
    check(plain.replace('"images"', f'"categories": [{digits}], "images"').encode())


#: What is put into a text, or in place of a letter of it.
PIECES = [bytes([byte]) for byte in b'0123456789.eE+-,:"\\{}[] \n\ttrufalsnOo\0\x7f\xff'] + [
    b"",
    b"\\\\",
]


@pytest.mark.parametrize(
    "count",
    [
        500,
        pytest.param(5_000, marks=pytest.mark.slow),
        pytest.param(100_000, marks=pytest.mark.thorough),
    ],
)
def test_damaged_files(count: int) -> None:
    """Both parsers read the same masks, or say the same."""
    dice = random.Random(0)
    pixels = np.random.default_rng(0).random((2, 6, 90)) < 0.5
    runs = fastiou.Masks.from_dense(pixels).to_rle()
    values = [{**run, "counts": run["counts"].decode()} for run in runs]
    images = [*IMAGES, {"id": 9, "height": 6, "width": 90}]
    listed = entries(*values, image_id=9)
    content = {"images": images, "annotations": listed + entries([TRIANGLE], RUNS, iscrowd=1)}
    contents = [
        json.dumps(content).encode(),
        json.dumps(content, indent=1).encode(),
        json.dumps(listed).encode(),
        json.dumps(entries(RUNS, LETTERS)).encode(),
    ]
    read_by_both = 0
    for _ in range(count):
        data = dice.choice(contents)
        for _ in range(dice.choice((1, 1, 2, 3))):
            first = dice.randrange(len(data))
            last = first + dice.choice((0, 1, 1, 2, 9))
            data = data[:first] + dice.choice(PIECES) + data[last:]
        wanted = dice.choice(WANTED)
        (one, ours), (other, theirs) = (read(data, wanted, least) for least in (0, 1 << 60))
        if isinstance(other, str) or isinstance(one, str):
            assert one == other, data
            continue
        assert ours == theirs, data
        for field in ("images", "keys", "scores", "crowds", "ids", "label"):
            np.testing.assert_equal(getattr(one, field), getattr(other, field))
        read_by_both += isinstance(one.masks, Segmentations)
    assert read_by_both > count / 100


@pytest.mark.parametrize("name", ["instances_val2014_100", "instances_val2014_fakesegm100_results"])
def test_real_files(name: str) -> None:
    path = DATA / "coco" / f"{name}.json.gz"
    if not path.exists():
        pytest.skip("needs real data")
    assert check(gzip.decompress(path.read_bytes()))[0]
