"""Keys of files: none is dropped, and two files are compared by what both have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files_for_tests import (
    BY_NUMBER_AND_NAME,
    SAMPLES,
    folder_of,
    read,
)

from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.groups import common_groups
from fastiou.formats.table import read_boxes


def test_a_number_with_zeros_in_front_is_a_name(tmp_path: Path) -> None:
    content = "image,x,y,w,h\n000001,1,2,3,4\n000010,1,2,3,4\n"
    assert read(tmp_path, content).keys["image"].tolist() == ["000001", "000010"]
    content = content.replace("000010", "1")
    assert read(tmp_path, content).keys["image"].tolist() == ["000001", "1"]
    folder = folder_of(tmp_path / "f", **{"000001__txt": "1 0.5 0.5 0.5 0.5\n"})
    assert read_boxes(folder).keys["image"].tolist() == ["000001"]


def test_one_key_of_two_columns_tells_all_groups(tmp_path: Path) -> None:
    for header, cells in (("frame,filename", ("1,a", "1,b")), ("filename,frame", ("a,1", "b,1"))):
        rows = "".join(f"{cell},0,0,9,9\n" for cell in cells)
        with pytest.raises(FileError, match="tell different groups"):
            read(tmp_path, f"{header},x1,y1,x2,y2\n{rows}")


def test_arrays_that_are_not_used_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "boxes.npz", boxes=[[0, 0, 9, 9]], scores=[0.5], sizes=[1])
    assert read_boxes(tmp_path / "boxes.npz").unused == ("sizes",)


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
def test_names_of_images_are_keys(tmp_path: Path, separator: str) -> None:
    """The case of two images, a box each, at the same place."""
    truth = "filename,x1,y1,x2,y2\na.jpg,10,20,110,120\nb.jpg,10,20,110,120\n"
    found = "filename,x1,y1,x2,y2,score\na.jpg,10,20,110,120,0.9\nb.jpg,10,22,110,120,0.8\n"
    files = []
    for name, content in (("a", truth), ("b", found)):
        (tmp_path / name).write_text(content.replace(",", separator))
        files.append(read_boxes(tmp_path / name))
    grouping = common_groups(*files)
    assert grouping is not None
    assert grouping.keys == ("image",)
    np.testing.assert_array_equal(grouping.codes_a[:, None] == grouping.codes_b, np.eye(2))


def test_columns_that_tell_the_same_are_one_key(tmp_path: Path) -> None:
    content = "image_id,filename,x,y,w,h\n7,a.jpg,1,2,3,4\n9,b.jpg,1,2,3,4\n7,a.jpg,5,6,7,8\n"
    assert read(tmp_path, content).keys["image"].tolist() == [7, 9, 7]
    torn = content + "7,b.jpg,1,2,3,4\n"
    with pytest.raises(FileError, match=r"image_id and filename tell different groups.*--by"):
        read(tmp_path, torn)
    names = read(tmp_path, torn, by=("filename",)).keys["image"].tolist()
    assert names == ["a.jpg", "b.jpg", "a.jpg", "b.jpg"]


def test_all_keys_of_entries_count(tmp_path: Path) -> None:
    """Two videos with an image of the same number each, and objects of two named classes."""
    entry = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    for name, key in (
        ("video_id", "video"), ("video", "video"), ("file_name", "image"), ("class", "category"),
    ):  # fmt: skip
        entries = [{**entry, name: value} for value in ("a", "b")]
        if key == "video":
            assert read(tmp_path, json.dumps(entries)).keys[key].tolist() == ["a", "b"]
        else:  # beside image_id and category_id, which tell other groups
            with pytest.raises(FileError, match=f"_id and {name} tell different groups.*--by"):
                read(tmp_path, json.dumps(entries))
        file = read(tmp_path, json.dumps(entries), by=(name,))
        assert file.keys[key].tolist() == ["a", "b"]
        entries[1].pop(name)
        with pytest.raises(FileError, match=rf'\[1\]: no "{name}"'):
            read(tmp_path, json.dumps(entries))
    file = read(tmp_path, json.dumps([{**entry, "id": 7, "track_id": 3, "tag": "x", "area": 12}]))
    assert file.unused == ("track_id", "tag")
    file = read(tmp_path, json.dumps([{**entry, "track_id": 3}]), ids=True)
    assert (file.ids.tolist(), file.unused) == ([3], ())


def test_ids_that_are_missing_are_no_fault(tmp_path: Path) -> None:
    entry = {"image_id": 1, "bbox": [1, 2, 3, 4]}
    assert read(tmp_path, json.dumps([{**entry, "id": None}]), ids=True).ids is None


def test_names_of_files_in_the_list_of_images_are_a_key(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 1, "image_id": image, "category_id": 1, "bbox": [1, 2, 3, 4]} for image in (9, 7)
        ],
    }
    file = read(tmp_path, json.dumps(content))
    assert file.keys["image"].tolist() == [9, 7]
    other = read(tmp_path, "file_name,x,y,w,h\na.jpg,1,2,3,4\nb.jpg,1,2,3,4\n")
    grouping = common_groups(file, other)
    assert grouping is not None
    np.testing.assert_array_equal(grouping.codes_a[:, None] == grouping.codes_b, [[0, 1], [1, 0]])
    assert grouping.values["image"].tolist() == ["b.jpg", "a.jpg"]
    assert read(tmp_path, json.dumps(content), by=("file_name",)).keys["image"][0] == "b.jpg"
    content["images"][1]["file_name"] = "a.jpg"  # of two images
    assert len(read(tmp_path, json.dumps(content)).columns["image"]) == 1
    by_name = read(tmp_path, json.dumps(content), by=("file_name",))
    assert by_name.keys["image"].tolist() == ["a.jpg", "a.jpg"]


@pytest.mark.parametrize("kind", ["csv", "coco", "jsonl"])
def test_columns_that_differ_across_files_are_refused(tmp_path: Path, kind: str) -> None:
    first = read(tmp_path, BY_NUMBER_AND_NAME)
    images = {1: "b.jpg", 2: "a.jpg"}
    contents = {
        "coco": json.dumps(
            [{"image_id": n, "file_name": f, "bbox": [0, 0, 9, 9]} for n, f in images.items()]
        ),
        "jsonl": "".join(
            json.dumps({"imageId": n, "FileName": f, "x": 0, "y": 0, "w": 9, "h": 9}) + "\n"
            for n, f in images.items()
        ),
    }
    contents["csv"] = BY_NUMBER_AND_NAME.replace("1,a", "2,a").replace("2,b", "1,b")
    second = read(tmp_path, contents[kind])
    with pytest.raises(RefusedError, match="--by image_id or --by file_name says") as caught:
        common_groups(first, second)
    assert "image_id and file_name tell different groups across boxes" in str(caught.value)
    by = ("file_name",)
    first, second = (read(tmp_path, each, by=by) for each in (BY_NUMBER_AND_NAME, contents[kind]))
    grouping = common_groups(first, second)
    assert grouping is not None
    assert (grouping.codes_a[:, None] == grouping.codes_b).sum() == 2


def test_the_column_that_both_files_have_tells_the_key(tmp_path: Path) -> None:
    both = read(tmp_path, BY_NUMBER_AND_NAME)
    rows = "b.jpg,50,50,60,60\na.jpg,0,0,10,10\n"
    for header in ("file_name", "FileName", "img"):  # the last by its values
        for pair in ((both, read(tmp_path, f"{header},x1,y1,x2,y2\n{rows}")),):
            for a, b in (pair, pair[::-1]):
                grouping = common_groups(a, b)
                assert grouping is not None
                assert (grouping.codes_a[:, None] == grouping.codes_b)[0].tolist() == [False, True]
    twofold = read(tmp_path, "img,photo,x1,y1,x2,y2\na.jpg,1,0,0,9,9\nb.jpg,2,0,0,9,9\n")
    with pytest.raises(RefusedError, match="--by image_id or --by file_name"):
        common_groups(both, twofold)
    neither = read(tmp_path, "img,x1,y1,x2,y2\nz,0,0,9,9\n")
    with pytest.raises(RefusedError, match="no image in common"):
        common_groups(both, neither)


def test_keys_that_are_common_alone_and_not_together_are_told(tmp_path: Path) -> None:
    header = "image,category,x1,y1,x2,y2\n"
    both = [read(tmp_path, header + rows) for rows in ("a,1,0,0,9,9\nb,2,0,0,9,9\n",
                                                       "a,2,0,0,9,9\nb,1,0,0,9,9\n")]  # fmt: skip
    grouping = common_groups(*both)
    assert grouping is not None
    assert grouping.aside == "no image and category in common, taken together"
    assert common_groups(both[0], both[0]).aside == ""


def test_usual_names_stand_for_keys(tmp_path: Path) -> None:
    content = "Image_ID,class,x,y,w,h\n1,cat,1,2,3,4\n"
    for name in ("image", "frame", "image_id", "Image ID", "img"):
        assert read(tmp_path, content, by=(name,)).keys.keys() == {"image"}
        coco = json.dumps([{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}])
        assert read(tmp_path, coco, by=(name,)).keys.keys() == {"image"}
    for name in ("category", "category_id", "class", "label"):
        assert read(tmp_path, content, by=(name,)).keys.keys() == {"category"}
        assert read(tmp_path, SAMPLES["visdrone"][1], by=(name,)).keys.keys() == {"category"}
    keys = read(tmp_path, "seq,camera,x,y,w,h\n1,2,1,2,3,4\n", by=("seq", "camera")).keys
    assert {name: column.tolist() for name, column in keys.items()} == {"video": [1], "camera": [2]}


def test_a_file_without_members_has_all_keys(tmp_path: Path) -> None:
    full = read(tmp_path, SAMPLES["coco"][1])
    for a, b in ((full, read(tmp_path, "[]")), (read(tmp_path, "[]"), full)):
        grouping = common_groups(a, b)
        assert grouping is not None
        assert (grouping.keys, grouping.aside, grouping.pairs) == (("image", "category"), "", 0)


def test_files_of_other_folders_are_the_same(tmp_path: Path) -> None:
    content = "path,image_id,x,y,w,h\nold/1.jpg,1,1,2,3,4\nold/2.jpg,2,1,2,3,4\n"
    a, b = (read(tmp_path, content.replace("old", name)) for name in ("/x", "C:\\y"))
    with pytest.raises(RefusedError, match="--by image_id or --by path"):  # of others it is not
        common_groups(a, read(tmp_path, content.replace("/1", "/3")))
    grouping = common_groups(a, b)
    assert grouping is not None
    assert grouping.pairs == 2


def test_arrays_that_tell_keys_are_used(tmp_path: Path) -> None:
    path = tmp_path / "boxes.npz"
    boxes = [[0, 0, 9, 9]] * 2
    np.savez(path, boxes=boxes, labels=[1, 2], image_ids=["a", "b"], track_ids=[3, 4])
    file = read_boxes(path)
    keys = {key: values.tolist() for key, values in file.keys.items()}
    assert keys == {"image": ["a", "b"], "category": [1, 2]}
    assert file.unused == ("track_ids",)
    assert read_boxes(path, by=("category",)).keys.keys() == {"category"}
    for names in ("classes", "categories", "class_ids", "groups", "frames", "img_ids"):
        np.savez(path, boxes=boxes, **{names: [1, 2]})
        assert len(read_boxes(path).keys) == 1, names
    np.savez(path, boxes=boxes, groups=[1, 1], image_ids=[1, 2])
    with pytest.raises(FileError, match=r"image_ids and groups tell different"):
        read_boxes(path)
    for name, values in (("image_ids", [1, 2]), ("groups", [1, 1])):
        assert read_boxes(path, by=(name,)).keys["image"].tolist() == values
    for wrong in ([1], ["a", " "], [[1], [2]], [0.5, 1]):
        np.savez(path, boxes=boxes, labels=wrong)
        with pytest.raises(FileError, match="labels"):
            read_boxes(path)


def test_what_is_advised_keeps_the_other_keys(tmp_path: Path) -> None:
    entries = [
        {"image_id": 10 * video + frame, "frame_id": frame, "video_id": video, "category_id": 1,
         "bbox": [1, 2, 3, 4]}
        for video in (1, 2) for frame in (1, 2)
    ]  # fmt: skip
    advised = "--by image_id,video,category or --by frame_id,video,category"
    with pytest.raises(FileError, match=advised):
        read(tmp_path, json.dumps(entries))
    by = ("frame_id", "video", "category")
    assert list(read(tmp_path, json.dumps(entries), by=by).keys) == ["image", "video", "category"]
    header, *rows = BY_NUMBER_AND_NAME.splitlines()
    tables = [f"{header},class", *(f"{row},cat" for row in rows)]
    torn = [tables[0], tables[1].replace("a.jpg", "b.jpg"), tables[2].replace("b.jpg", "a.jpg")]
    files = [read(tmp_path, "\n".join(lines) + "\n") for lines in (tables, torn)]
    with pytest.raises(RefusedError, match="--by image_id,category or --by file_name,category"):
        common_groups(*files)
