"""Folders of files: their names are a key, and what is no annotation is left out."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files_for_tests import (
    BY_NUMBER_AND_NAME,
    MOT,
    VOC,
    folder_of,
    read,
    tree_of,
)

from fastiou.formats.errors import FileError
from fastiou.formats.folders import holds_boxes
from fastiou.formats.groups import common_groups
from fastiou.formats.table import read_boxes, read_masks


def test_names_in_folders(tmp_path: Path) -> None:
    row = "1 0.5 0.5 0.5 0.5\n"
    names = {"img.rf.abc1.txt": row, "img.rf.def2.TXT": row, "a.txt.bak": "?", "test.txt": row}
    folder = tmp_path / "labels"
    folder.mkdir()
    for name, content in names.items():
        (folder / name).write_text(content)
    found = read_boxes(folder).keys["image"].tolist()
    assert found == ["img.rf.abc1", "img.rf.def2", "test"]
    (folder / "test.csv").write_text(row)
    with pytest.raises(FileError, match=r"of the same name as test\.csv"):
        read_boxes(folder)


def test_folders_have_the_names_of_files_as_key(tmp_path: Path) -> None:
    truth = folder_of(
        tmp_path / "truth",
        b__txt="1 0.5 0.5 0.5 0.5\n",
        a__txt="0 0.25 0.5 0.125 0.25\n1 0.5 0.5 0.5 0.5\n",
        none__txt="",
        classes__txt="cat\ndog\n",
    )
    file = read_boxes(truth)
    assert file.format == "yolo"
    assert file.keys["image"].tolist() == ["a", "a", "b"]
    assert file.keys["category"].tolist() == ["cat", "dog", "dog"]
    np.testing.assert_array_equal(file.boxes[2], [0.5, 0.5, 0.5, 0.5])
    assert read_boxes(truth, by=("image",)).keys.keys() == {"image"}
    with pytest.raises(FileError, match="there is no key 'video'"):
        read_boxes(truth, by=("video",))
    found = folder_of(tmp_path / "found", a__txt="0 0.25 0.5 0.125 0.25 0.5\n")
    assert read_boxes(found, scored=True).scores.tolist() == [0.5]
    grouping = common_groups(file, read_boxes(found))
    assert grouping is not None
    np.testing.assert_array_equal(grouping.codes_a[:, None] == grouping.codes_b, [[1], [0], [0]])


def test_a_folder_of_sequences(tmp_path: Path) -> None:
    rows = "1,1,10,20,100,200,1\n2,1,0,0,30,40,1\n"
    file = read_boxes(folder_of(tmp_path / "s", one__txt=rows, two__txt=rows))
    assert file.keys["video"].tolist() == ["one", "one", "two", "two"]
    assert file.keys["image"].tolist() == [1, 2, 1, 2]


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no file with boxes in this folder"):
        read_boxes(folder_of(tmp_path / "none", notes__md="x"))
    mixed = folder_of(tmp_path / "mixed", a__txt="1 0.5 0.5 0.5 0.5\n", b__xml=VOC)
    with pytest.raises(FileError, match=r"b\.xml: voc \(xyxy\), expected yolo"):
        read_boxes(mixed)
    broken = folder_of(tmp_path / "broken", a__txt="1 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5\n")
    with pytest.raises(FileError, match=r"a\.txt:2: 4 columns"):
        read_boxes(broken)


@pytest.mark.parametrize(
    ("files", "content", "names"),
    [
        (("train/a.txt", "train/b.txt"), None, ["a", "b"]),  # what all have in common tells nothing
        (("train/a.txt", "val/a.txt"), None, ["train/a", "val/a"]),
        (("a.txt", "train/b.txt"), None, ["a", "train/b"]),
        (("x/S1/gt/gt.txt", "x/S2/gt/gt.txt"), MOT, ["S1", "S2"]),
        (("S1/det/det.txt",), MOT, ["S1"]),
        (("gt/gt.txt", "det/det.txt"), MOT, ["gt"]),
        (("det/det.txt",), MOT, ["gt"]),
        (("S1.txt", "S2.txt"), MOT, ["S1", "S2"]),
        ((".git/a.txt", "a.txt", ".b.txt"), None, ["a"]),
    ],
)
def test_trees_of_files(tmp_path: Path, files: Any, content: str | None, names: list[str]) -> None:
    folder = tree_of(tmp_path / "t", *files, content=content or "1 0.5 0.5 0.5 0.5\n")
    file = read_boxes(folder)
    assert file.keys["image" if content is None else "video"].tolist() == names


@pytest.mark.parametrize("file", ["gt/gt.txt", "det/det.txt"])
def test_two_folders_of_a_sequence_each_are_compared(tmp_path: Path, file: str) -> None:
    truth = read_boxes(tree_of(tmp_path / "truth", "gt/gt.txt", "det/det.txt", content=MOT))
    grouping = common_groups(truth, read_boxes(tree_of(tmp_path / "tracks", file, content=MOT)))
    assert grouping is not None
    assert (grouping.keys, grouping.pairs) == (("video", "image"), 1)


def test_detections_beside_the_truth_are_named(tmp_path: Path) -> None:
    file = read_boxes(tree_of(tmp_path / "t", "S/gt/gt.txt", "S/det/det.txt", content=MOT))
    assert (len(file), file.unused) == (1, ("det/det.txt beside gt/gt.txt",))


def test_folders_without_objects(tmp_path: Path) -> None:
    empty = tree_of(tmp_path / "e", "a.txt", "b/c.txt", content="")
    (empty / "d.txt").write_text("\n")
    (empty / "e.txt.gz").write_bytes(gzip.compress(b""))
    file = read_boxes(empty)
    assert (len(file), file.boxes.shape) == (0, (0, 4))
    assert len(read_boxes(empty, scored=True).scores) == 0
    full = read_boxes(tree_of(tmp_path / "f", "a.txt"))
    grouping = common_groups(full, file)
    assert grouping is not None
    assert (grouping.keys, grouping.pairs) == (("image", "category"), 0)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    folder = tree_of(tmp_path / "t", "a.txt")
    (folder / "b.txt").symlink_to("nothing")
    with pytest.raises(FileError, match=r"b\.txt: a link to nothing, expected a regular file"):
        read_boxes(folder)
    if hasattr(os, "mkfifo"):
        (folder / "b.txt").unlink()
        os.mkfifo(folder / "b.txt")
        with pytest.raises(FileError, match=r"b\.txt: a pipe, expected a regular file"):
            read_boxes(folder)


def test_folders_of_arrays(tmp_path: Path) -> None:
    for name, array in (("b", [[0, 0, 9, 9.5]]), ("c", [[0, 0, 9, 9.5]] * 2)):
        np.save(tmp_path / f"{name}.npy", array)
    assert holds_boxes(tmp_path)
    assert read_boxes(tmp_path).keys["image"].tolist() == ["b", "c", "c"]
    np.save(tmp_path / "d.npy", np.zeros((9, 9), int))
    assert not holds_boxes(tmp_path)


def test_a_column_is_a_key_in_folders_too(tmp_path: Path) -> None:
    folder = tree_of(tmp_path / "t", "one.csv", content=BY_NUMBER_AND_NAME)
    assert read_boxes(folder).keys.keys() == {"image", "video"}
    for name in ("file_name", "FileName"):
        assert read_boxes(folder, by=(name,)).keys["image"].tolist() == ["a.jpg", "b.jpg"]
    assert read_boxes(folder, by=("frame",)).keys["image"].tolist() == [1, 2]
    other = read(tmp_path, BY_NUMBER_AND_NAME.replace("image_id", "photo"))
    grouping = common_groups(read_boxes(folder), other)
    assert grouping is not None
    assert (grouping.codes_a[:, None] == grouping.codes_b).sum() == 2


def test_folders_of_integers_that_could_be_boxes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", [[0, 0, 9, 9, 1]])
    with pytest.raises(FileError, match="could be npy or labels, expected --format npy or labels"):
        holds_boxes(tmp_path)
    np.save(tmp_path / "b.npy", np.zeros((9, 9), int))
    assert not holds_boxes(tmp_path)


def test_outlines_in_doubt_are_told_by_others_of_their_folder(tmp_path: Path) -> None:
    open_ = "0 .681 .485 .670 .487 .676 .487 .60 .5 .95 1\n"
    plain = "3 .1 .1 .4 .1 .4 .5 .3 .6 .1 .5\n"
    folder = folder_of(tmp_path / "labels", a__txt=open_, b__txt=plain)
    for read_any in (read_boxes, read_masks):
        file = read_any(folder, image_size=(640, 480))
        assert (file.format, file.keys["category"].tolist()) == ("yolo-seg", [0, 3])
        assert file.keys["image"].tolist() == ["a", "b"]
    (folder / "b.txt").write_text("3 .1 .1 .2 .2\n")
    with pytest.raises(FileError, match=r"a\.txt: outlines that all end with 0 or 1"):
        read_boxes(folder)
    (folder / "b.txt").write_text(open_)
    with pytest.raises(FileError, match=r"a\.txt: outlines that all end with 0 or 1"):
        read_boxes(folder)
