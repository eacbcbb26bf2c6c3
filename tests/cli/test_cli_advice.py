"""What messages advise can be done where they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_for_tests import run, run_well


def folder(path: Path, **texts: str) -> Path:
    path.mkdir()
    for name, text in texts.items():
        (path / f"{name}.txt").write_text(text)
    return path


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    return line


def test_masks_are_converted_where_that_is_asked_for(tmp_path: Path) -> None:
    path, out = tmp_path / "masks.json", tmp_path / "out.csv"
    mask = {"size": [4, 4], "counts": [0, 4, 12]}
    path.write_text(json.dumps([{"image_id": 1, "category_id": 1, "segmentation": mask}]))
    assert "(--geometry mask converts masks)" in refused("convert", path, out)
    assert "(--geometry mask compares masks)" in refused("match", path, path)


def test_a_folder_without_any_files(tmp_path: Path) -> None:
    labels = folder(tmp_path / "labels", a="0 0.5 0.5 0.2 0.2\n")
    empty = folder(tmp_path / "empty")
    words = "empty: neither files with boxes nor label images in this folder, expected files .txt"
    for arguments in ((empty, labels), (empty,)):
        line = refused("match", *arguments)
        assert words in line
        assert line.endswith(", or .png, .tif, .tiff, .npy")
    assert "no file with boxes in this folder" in refused("match", labels, empty)


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_what_is_kept_of_a_folder(tmp_path: Path, ending: str) -> None:
    labels = folder(tmp_path / "labels", a="0 0.5 0.5 0.2 0.2 0.9\n0 0.5 0.5 0.2 0.21 0.8\n")
    line = refused("nms", labels, "--out", tmp_path / f"kept.{ending}")
    words = "this is a folder, expected a file, whose entries or rows are kept as they are in"
    assert f"{words} .{ending}; of a folder .npz, .csv, .parquet have the positions" in line
    out = tmp_path / "kept.csv"
    run_well("nms", labels, "--out", out, "--quiet")
    assert out.read_text().splitlines() == ["kept,scores,image,category", "0,0.9,a,0"]


def test_keys_that_an_option_leaves_aside_are_not_told(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("image,class,note,x1,y1,x2,y2,score\na,cat,x,0,0,1,1,0.5\n")
    note = f"fastiou: {path.name}: not used: note\n"
    for arguments in (("nms", path), ("match", path, path)):
        assert run_well(*arguments, "--by", "image", "--quiet").stderr.endswith(note)
        assert run_well(*arguments, "--no-groups", "--quiet").stderr.endswith(note)
    path.write_text(path.read_text().replace("note,", "").replace("x,", ""))
    assert not run_well("nms", path, "--by", "image", "--quiet").stderr


@pytest.mark.parametrize(
    ("column", "named"),
    [("source_image", "image"), ("name", "image or category"), ("gt_label", "category")],
)
def test_columns_that_may_tell_a_key_are_renamed(tmp_path: Path, column: str, named: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(f"{column},x1,y1,x2,y2\na,1,2,3,4\n")
    keys = named.replace(" or ", " or the ")
    may_tell = f"{path}:1: column {column} may tell the {keys}, expected"
    assert f"{may_tell} --by {column} or --by none" in refused("match", path, path)
    line = refused("convert", path, tmp_path / "out.jsonl")
    assert line == f"fastiou: {may_tell} the name {named} if it does, and another if not"
