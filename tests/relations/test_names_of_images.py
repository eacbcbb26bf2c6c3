"""Names of images that are the same but for folders, endings or capitals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import run, run_well

import fastiou

BOX = [0, 0, 5, 5]


def table_of(names: list[Any]) -> fastiou.BoxTable:
    return fastiou.BoxTable([BOX] * len(names), keys={"image": names})


def file_of(path: Path, names: list[Any]) -> Path:
    path.write_text("image,x1,y1,x2,y2\n" + "".join(f"{name},0,0,5,5\n" for name in names))
    return path


#: Names in A and in B, what they lack where they are compared, and the pairs.
ALIKE = [
    (["a.jpg", "b.jpg"], ["a", "c"], "endings", [(0, 0)]),
    (["images/a.jpg", "images/b.jpg"], ["b.jpg"], "folders", [(1, 0)]),
    (["a.jpg"], ["val/a.jpg", "val/b.jpg"], "folders", [(0, 0)]),
    (["data/val/a.jpg"], ["val/a.jpg", "train/a.jpg"], "folders", [(0, 0)]),
    (["C:\\x\\a.jpg"], ["a.jpg"], "folders", [(0, 0)]),
    (["./a.jpg"], ["a.jpg"], "folders", [(0, 0)]),
    (["val/a.png"], ["a"], "folders and endings", [(0, 0)]),
    (["1.jpg", "12.jpg"], [12, 3], "endings", [(1, 0)]),
    (["val/7.png"], [7], "folders and endings", [(0, 0)]),
    (["A.JPG", "B.JPG"], ["a.jpg", "b.jpg"], "capitals", [(0, 0), (1, 1)]),
    (["val/A.JPG"], ["a"], "folders and endings and capitals", [(0, 0)]),
    (["0001", "0012"], [12, 3], "zeros in front of numbers", [(1, 0)]),
    (["val/001.jpg"], [1], "folders and endings and zeros in front of numbers", [(0, 0)]),
]

#: Names that are not the same, or would be those of two images.
APART = [
    (["val/a.jpg"], ["train/a.jpg"]),
    (["x/a.jpg", "y/a.jpg"], ["a.jpg"]),
    (["IMG.jpg", "Img.jpg"], ["img.jpg"]),
    (["a.jpg", "a.png"], ["a"]),
    (["xa.jpg"], ["a.jpg"]),
    (["001.jpg", "01.jpg"], [1]),
    (["100.jpg"], [1]),
    (["t_1.05.jpg"], ["t_1.5.jpg"]),
    (["1.jpg", "1.png"], [1]),
]


@pytest.mark.parametrize(("a", "b", "lacking", "pairs"), ALIKE)
def test_they_are_compared_and_it_is_told(
    tmp_path: Path, a: list[Any], b: list[Any], lacking: str, pairs: list[tuple[int, int]]
) -> None:
    words = f"names of images without their {lacking}"
    with pytest.warns(UserWarning, match=f"no image of a and b is named .* {words}$") as caught:
        found = fastiou.pairs(table_of(a), table_of(b))
    assert caught[0].filename == __file__
    assert list(zip(found.rows.tolist(), found.cols.tolist(), strict=True)) == pairs
    with pytest.warns(UserWarning, match=f"no image of a and the index .* {words}$") as caught:
        found = fastiou.Index(table_of(b)).pairs(table_of(a))
    assert caught[0].filename == __file__
    assert list(zip(found.rows.tolist(), found.cols.tolist(), strict=True)) == pairs
    out = tmp_path / "out.csv"
    files = file_of(tmp_path / "a.csv", a), file_of(tmp_path / "b.csv", b)
    result = run_well("match", *files, "--out", out, "--quiet")
    assert f"({words})" in result.stderr
    rows = [f"{row},{col},1.0,{a[row]}" for row, col in pairs]
    assert out.read_text().splitlines()[1:] == rows


@pytest.mark.parametrize(("a", "b"), APART)
def test_what_could_be_another_image_is_refused(tmp_path: Path, a: list[str], b: list[str]) -> None:
    with pytest.raises(ValueError, match="no image in common"):
        fastiou.pairs(table_of(a), table_of(b))
    result = run("match", file_of(tmp_path / "a.csv", a), file_of(tmp_path / "b.csv", b))
    assert result.exit_code == 2
    assert "no image in common" in result.stderr


def test_names_in_common_are_compared_as_they_stand() -> None:
    found = fastiou.pairs(table_of(["a.jpg", "b.jpg"]), table_of(["a.jpg", "val/b.jpg"]))
    np.testing.assert_array_equal(found.rows, [0])


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (["a.jpg", "val/b.jpg"], ["a.jpg", "b.jpg"], "val/b.jpg and b.jpg"),
        (["a.jpg", "b.jpg"], ["a.jpg", "B"], "b.jpg and B"),
        (["x/1.jpg", "y/1.jpg"], ["x/1.jpg", "z/1.jpg"], ""),
        (["a.jpg", "b.jpg"], ["a.jpg", "c.jpg"], ""),
    ],
)
def test_images_that_may_be_the_same_beside_others_are_told(
    tmp_path: Path, a: list[str], b: list[str], told: str
) -> None:
    files = file_of(tmp_path / "a.csv", a), file_of(tmp_path / "b.csv", b)
    result = run_well("match", *files, "--quiet")
    expected = f"(taken for different images: {told})" if told else ""
    assert expected in result.stderr
    assert bool(result.stderr) == bool(told)


@pytest.mark.parametrize(
    ("key", "a", "b", "told"),
    [
        (
            "category",
            [1, 2],
            [0, 1],
            "category 2 only in A and 0 only in B: one may count from 0 and",
        ),
        ("category", ["car", "cat"], ["car", "dog"], "category cat only in A and dog only in B"),
        ("category", [1, 2, 3], [1, 2], ""),
        (
            "frame",
            [1, 2, 3],
            [0, 1, 2],
            "image 3 only in A and 0 only in B: one may count from 0 and",
        ),
        ("frame", [1, 2, 3], [2, 4], ""),  # detectors find nothing in some, and too much in others
        ("frame", ["a", "b"], ["b", "c"], ""),
    ],
)
def test_keys_that_are_counted_otherwise_are_told(
    tmp_path: Path, key: str, a: list[Any], b: list[Any], told: str
) -> None:
    paths = tmp_path / "a.csv", tmp_path / "b.csv"
    for path, values in zip(paths, (a, b), strict=True):
        path.write_text(f"{key},x1,y1,x2,y2\n" + "".join(f"{value},0,0,5,5\n" for value in values))
    result = run("match", *paths, "--quiet")
    assert result.exit_code == 0
    assert (told in result.stderr) if told else not result.stderr
