"""COCO files that the compiled parser reads: the same as Python's parser makes of them."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import DATA
from hypothesis import given
from hypothesis import strategies as st

from fastiou.formats import coco_entries
from fastiou.formats.coco import read_coco_boxes
from fastiou.formats.coco_columns import coco_columns
from fastiou.formats.content import BoxFile, Wanted
from fastiou.formats.errors import FileError

WANTED = [
    Wanted(),
    Wanted(scored=True),
    Wanted(ids=True, crowded=True, sizes=True, scores_if_there=True),
    *(Wanted(by=by) for by in ((), ("image",), ("image_id", "category"), ("file_name",), ("id",))),
    *(Wanted(by=by) for by in (("category_name",), ("image", "category_id"))),
]


def both_ways(data: bytes, wanted: Wanted) -> tuple[Any, Any, bool]:
    """What is read by the compiled parser where it can, by Python's, and whether it could."""
    read = []
    used = []
    original = coco_entries.plain_columns
    for least in (0, 1 << 60):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coco_entries, "COMPILED_FROM", least)
            try:
                read.append(read_coco_boxes(Path("a.json"), data, wanted))
            except FileError as error:
                read.append(str(error))
            used.append(original(Path("a.json"), data, wanted) is not None)
    return read[0], read[1], used[0]


def check(content: Any) -> list[bool]:
    """The same file or error both ways; which ways of asking the compiled parser could answer."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    used = []
    for wanted in WANTED:
        plain, usual, was_used = both_ways(data, wanted)
        used.append(was_used)
        if isinstance(usual, str):
            assert plain == usual
            continue
        assert isinstance(plain, BoxFile)
        for field in dataclasses.fields(BoxFile):
            one, other = getattr(plain, field.name), getattr(usual, field.name)
            if field.name == "unused":
                one, other = sorted(one), sorted(other)
            np.testing.assert_equal(one, other)
            if isinstance(other, np.ndarray):
                assert one.dtype == other.dtype
    return used


ENTRY: dict[str, Any] = {"image_id": 3, "category_id": 1, "bbox": [1, 2.5, 3e1, 4], "score": 0.25}
OTHER = {**ENTRY, "image_id": 1, "bbox": [0.1, 2, 3, 4], "score": 1}


def test_results() -> None:
    assert all(check([ENTRY, OTHER])[:3])
    assert all(check(json.dumps([ENTRY, OTHER], indent=2).encode() + b"\n")[:3])
    assert all(check([{**ENTRY, "id": 5, "area": 7.5}, {**OTHER, "id": 4, "area": None}])[:3])
    assert all(check([{**ENTRY, "segmentation": {"size": [2, 3], "counts": "a0"}}] * 2)[:3])
    assert check([{**ENTRY, "note": [1]}])[0]


def test_annotations() -> None:
    entry = {key: value for key, value in ENTRY.items() if key != "score"}
    images = [{"id": 3, "file_name": "ü.jpg", "width": 5, "height": 4}, {"id": 1, "file_name": "b"}]
    content = {"info": {"x": [1]}, "images": images, "annotations": [entry, {**entry, "id": 2}]}
    assert check(content) == [False] * len(WANTED)  # one has no id
    content["annotations"] = [{**entry, "id": 1, "iscrowd": 1}, {**entry, "id": 2}]
    for text in (json.dumps(content), json.dumps(content, ensure_ascii=False, indent=1)):
        used = check(text.encode())
        assert used[0]
        assert used[2]
    check({**content, "images": [images[0], {"id": 1, "file_name": "ü.jpg"}]})
    check({**content, "images": [images[0]]})
    check({**content, "images": {}})
    check({"annotations": []})
    names = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    other = [{"id": 1, "name": "1"}]
    doubled = [names[0], {"id": 2, "name": "cat"}]
    for categories in (names, names[:1], names[1:], other, doubled, {}, [1], [{"id": 1}]):
        assert check({**content, "categories": categories})[0]


@pytest.mark.parametrize("least", [0, 1 << 60])
def test_names_of_categories_are_a_column_of_theirs(
    monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    monkeypatch.setattr(coco_entries, "COMPILED_FROM", least)
    entries = [{"image_id": 1, "category_id": n, "bbox": [0, 0, 1, 1], "id": n} for n in (7, 3, 7)]
    names = [{"id": 3, "name": "cat"}, {"id": 5, "name": "cow"}, {"id": 7, "name": "dog"}]

    def read(categories: Any, **wanted: Any) -> BoxFile:
        content = {"annotations": entries, "categories": categories}
        return read_coco_boxes(Path("a.json"), json.dumps(content).encode(), Wanted(**wanted))

    file = read(names)
    assert file.keys["category"].tolist() == [7, 3, 7]
    assert file.columns["category"]["category_name"].tolist() == ["dog", "cat", "dog"]
    assert file.classes == {3: "cat", 5: "cow", 7: "dog"}
    file = read(names, by=("category_name",))
    assert file.keys["category"].tolist() == ["dog", "cat", "dog"]
    # A category without a name, names that are the numbers, and names that come twice.
    for categories in (names[:2], [{"id": n, "name": str(n)} for n in (3, 7)],
                       [{"id": n, "name": "x"} for n in (3, 7)]):  # fmt: skip
        assert list(read(categories).columns["category"]) == ["category_id"]


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": "3"}, {"image_id": 3.0}, {"image_id": None}, {"category_id": "a"},
        {"score": None}, {"score": float("nan")}, {"score": "1"}, {"score": True},
        {"bbox": [1, 2, 3]}, {"bbox": None}, {"bbox": [1, 2, float("nan"), 4]},
        {"bbox": [1, 2, float("inf"), 4]}, {"bbox": [1, 2, 3, "4"]}, {"iscrowd": 2},
        {"iscrowd": True}, {"iscrowd": 1}, {"id": "a"}, {"video_id": 1}, {"class": "a"},
        {"track_id": 1}, {"file_name": "a"}, {"bbox": [1, 2, -3, 4]}, {"tag": "a"},
        {"area": "x"},
    ],
)  # fmt: skip
def test_what_is_not_plain_is_the_same(change: dict[str, Any]) -> None:
    for entries in ([ENTRY, {**OTHER, **change}], [{**ENTRY, **change}, {**OTHER, **change}]):
        check(entries)
        check({"annotations": entries, "images": []})
    for name in change:
        check([{key: value for key, value in ENTRY.items() if key != name}, OTHER])


def test_what_is_broken_is_the_same() -> None:
    data = json.dumps([ENTRY, OTHER]).encode()
    for place in range(0, len(data), 3):
        check(data[:place])
        check(data[:place] + b'"' + data[place:])
        check(data[:place] + data[place + 2 :])
    for content in (b"", b"[]", b" [ ] ", b"{}", b"null", data + b"x", b"\xef\xbb\xbf" + data):
        check(content)
    check(data.replace(b"score", b"sc\xffre"))
    check(b'{"annotations": [], "annotations": ' + data + b"}")


SCORES = st.floats(0, 1) | st.integers(-5, 5) | st.none()
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "image_id": st.integers(0, 3) | st.sampled_from([2**40, "a"]),
            "bbox": st.lists(st.floats(0, 1e3) | st.integers(0, 9), min_size=4, max_size=4),
        },
        optional={
            "category_id": st.integers(0, 2),
            "score": SCORES,
            "id": st.integers(0, 9),
            "iscrowd": st.integers(0, 1),
            "tag": st.text(max_size=2),
            "video_id": st.integers(0, 1),
        },
    ),
    max_size=5,
)


@given(ENTRIES, st.booleans())
def test_any_entries(entries: list[Any], listed: bool) -> None:
    check(entries if listed else {"annotations": entries, "images": [{"id": 1, "file_name": "x"}]})


@pytest.mark.parametrize("name", ["instances_val2014_100", "instances_val2014_fakebbox100_results"])
def test_real_files(name: str) -> None:
    path = DATA / "coco" / f"{name}.json.gz"
    if not path.exists():
        pytest.skip("needs real data")
    assert check(gzip.decompress(path.read_bytes()))[0]


# ---- names that come twice ---------------------------------------------------------------------

IMAGE = '{"id": 3, "file_name": "a.jpg"}'
CATEGORY = '{"id": 1, "name": "boat"}'
ANNOTATION = '{"image_id": 3, "category_id": 1, "id": 7,\n "bbox": [1, 2, 3, 4], "note": 5}'


def coco_text(**parts: str) -> str:
    """A file of a line for each list, parts of which are given."""
    own = {"image": IMAGE, "category": CATEGORY, "annotation": ANNOTATION, "end": "", **parts}
    return (
        f'{{"info": {{"a": 1, "a": 2}},\n"images": [{own["image"]}],\n'
        f'"categories": [{own["category"]}],\n'
        f'"annotations": [{ANNOTATION.replace("7", "8")}, {own["annotation"]}]{own["end"]}}}'
    )


def more(text: str, field: str) -> str:
    """An object with one more field."""
    return f"{text[:-1]}, {field}}}"


TWICE = '"id": 1'
MASK = '{"size": [9, 9], "counts": [81], "size": [9, 9]}'

#: Texts, and what is told of them where boxes and where masks are read.
DOUBLED = {
    "a field that is read": (
        coco_text(annotation=more(ANNOTATION, '"bbox": [1, 2, 3, 5]')),
        '6: "bbox" twice in annotations[1], expected each name once in an object',
    ),
    "a field that is not read": (
        coco_text(annotation=more(ANNOTATION, '\n"note": 6')), '7: "note" twice in annotations[1]',
    ),
    "in other letters": (
        coco_text(annotation=more(ANNOTATION, '"\\u0069d": 6')), '6: "id" twice in annotations[1]',
    ),
    "a list": (coco_text(end=f',\n"annotations": [{ANNOTATION}]'), '7: "annotations" twice,'),
    "of an image": (coco_text(image=more(IMAGE, '"id": 3')), '2: "id" twice in images[0]'),
    "of an image, not read": (
        coco_text(image=more(IMAGE, '"file_name": 3')), '2: "file_name" twice in images[0]',
    ),
    "of a category": (coco_text(category=more(CATEGORY, '"id": 3')), '3: "id" twice in categories'),
    "a result": (f"[{ANNOTATION},\n{more(ANNOTATION, TWICE)}]", '4: "id" twice in [1],'),
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBLED)
def test_names_that_come_twice_are_refused_by_both_parsers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    text, message = DOUBLED[name]
    path = tmp_path / "gt.json"
    path.write_text(text)
    for least in (0, 1 << 60):
        monkeypatch.setattr(coco_entries, "COMPILED_FROM", least)
        with pytest.raises(FileError) as error:
            coco_columns(path)
        assert f"gt.json:{message}" in str(error.value)


@pytest.mark.parametrize("least", [0, 1 << 60])
def test_names_of_masks_that_come_twice_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    """Where masks are read. What is not read may be anything."""
    path = tmp_path / "gt.json"
    path.write_text(coco_text(annotation=more(ANNOTATION, f'"segmentation": {MASK}')))
    monkeypatch.setattr(coco_entries, "COMPILED_FROM", least)
    assert len(coco_columns(path)) == 2
    with pytest.raises(FileError, match=r'6: "size" twice in annotations\[1\].segmentation'):
        coco_columns(path, ("image_id", "category_id"), ("segmentation",))
