"""Columns that may tell the image: without a name, or ids that come again."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_for_tests import run
from files_for_tests import read

import fastiou
from fastiou.arrays.frames import FEW
from fastiou.formats.errors import FileError
from fastiou.formats.table import read_boxes

BOX = "10,20,110,120"


def table(path: Path, header: str, *firsts: object) -> Path:
    """Rows of one box, each behind another cell."""
    path.write_text("".join([f"{header}x1,y1,x2,y2\n", *(f"{first},{BOX}\n" for first in firsts)]))
    return path


@pytest.mark.parametrize("firsts", [("a.jpg", "b.jpg"), (1, 1, 2)])
def test_a_column_without_a_name_that_numbers_no_rows(
    tmp_path: Path, firsts: tuple[object, ...]
) -> None:
    words = "an index without a name, whose values are no numbering, may tell the image, expect"
    path = table(tmp_path / "a.csv", ",", *firsts)
    with pytest.raises(FileError, match=f"a.csv:1: a column or {words}ed a name or --by none"):
        read_boxes(path)
    with pytest.raises(ValueError, match=f"{words}ed a name or by='none'"):
        fastiou.read(path)
    assert len(read_boxes(path, by=())) == len(firsts)


@pytest.mark.parametrize("firsts", [(0, 1, 2), (1, 2), (7, 3), ("", "")])
def test_numbers_of_rows_need_no_name(tmp_path: Path, firsts: tuple[object, ...]) -> None:
    file = read_boxes(table(tmp_path / "a.csv", ",", *firsts))
    assert (file.keys, file.boxes.tolist()[0]) == ({}, [10, 20, 110, 120])


def test_what_cannot_be_a_key_is_no_reason_to_refuse(tmp_path: Path) -> None:
    """Beside an image, and ids of other kinds that nobody asks for."""
    for values in ([0.5, 1.5], [0, None], [2**63, 2**63 + 1]):
        for name in ("index", "idx", "Unnamed: 0", "id"):
            one = frame(**{name: values, "image": ["a", "b"]})
            assert len(fastiou.pairs(one)) == 0
    pandas = pytest.importorskip("pandas")
    missing = pandas.Index(pandas.array([1, None], "Int64"))
    assert len(fastiou.pairs(frame(image=["a", "b"]).set_index(missing))) == 0
    assert len(fastiou.pairs(frame().set_index(pandas.Index([0.0, 1.0])))) == 1
    for ids in ([2**63, 2**64 - 1], [0.5, 1.5]):
        path = table(tmp_path / "a.csv", "id,", *ids)
        rows = [{"id": i, "x1": 10, "y1": 20, "x2": 110, "y2": 120} for i in ids]
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for each in (path, tmp_path / "a.jsonl"):
            assert len(read_boxes(each)) == 2
    rest = table(tmp_path / "a.csv", "track_id,", *range(4000), "", "")
    with pytest.raises(FileError, match=r"column track_id, .* --by image=track_id or --by none"):
        read_boxes(rest)
    assert len(read_boxes(rest, by=())) == 4002


def test_beside_an_image_nothing_else_tells_it(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", ",image,", "0,a", "0,b")
    assert read_boxes(path).keys["image"].tolist() == ["a", "b"]
    path = table(tmp_path / "a.csv", "track_id,frame,", "4,1", "4,2")
    assert read_boxes(path, ids=True).ids.tolist() == [4, 4]


def as_records(path: Path) -> Path:
    """The same as a list of objects."""
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    values = [[cell if place == 0 else float(cell) for place, cell in enumerate(r)] for r in rows]
    other = path.with_suffix(".json")
    other.write_text(json.dumps([dict(zip(header, row, strict=True)) for row in values]))
    return other


@pytest.mark.parametrize("name", ["id", "object_id", "track_id"])
def test_ids_that_come_again_may_be_images(tmp_path: Path, name: str) -> None:
    path = table(tmp_path / "a.csv", f"{name},", "a.jpg", "a.jpg", "b.jpg")
    words = f"column {name}, whose values are no numbering, may tell the image, expected"
    words += f" --by image={name}"
    for each in (path, as_records(path)):
        with pytest.raises(FileError, match=f"{words} or --by none"):
            read_boxes(each)
        assert run("match", each).stderr.endswith(f"{words} or --by none\n")
        by_name = read_boxes(each, by=(name,))
        assert by_name.keys[name].tolist() == ["a.jpg", "a.jpg", "b.jpg"]
        assert read_boxes(each, by=()).keys == {}
    assert len(read_boxes(table(path, f"{name},", "a", "b", "c"))) == 3


def frame(**columns: Any) -> Any:
    pandas = pytest.importorskip("pandas")
    boxes = {"x1": [10, 11], "y1": [20, 20], "x2": [110, 110], "y2": [120, 120]}
    return pandas.DataFrame({**boxes, **columns})


@pytest.mark.parametrize("name", ["index", "idx", "Unnamed: 0", "level_0"])
def test_an_index_that_has_become_a_column(tmp_path: Path, name: str) -> None:
    words = f"column {name}, whose values are no numbering, may tell the image, expected"
    words += f" --by image={name}"
    for firsts in (("a.jpg", "b.jpg"), (1, 1)):
        path = table(tmp_path / "a.csv", f"{name},", *firsts)
        with pytest.raises(FileError, match=words):
            read_boxes(path)
        assert read_boxes(path, by=(name,)).keys[name].tolist() == [*firsts]
    with pytest.raises(FileError, match=words):
        read_boxes(as_records(table(tmp_path / "a.csv", f"{name},", "a.jpg", "b.jpg")))
    with pytest.raises(ValueError, match=f"column {name}, whose values are no numbering"):
        fastiou.pairs(frame(**{name: ["a", "b"]}))
    assert len(read_boxes(table(tmp_path / "a.csv", f"{name},", 0, 1))) == 2


def test_an_index_of_names_has_a_name_itself(tmp_path: Path) -> None:
    named = frame().set_index([["a.jpg", "b.jpg"]])
    words = "an index without a name, whose values are no numbering, may tell the image, expected "
    words += "a name or "
    with pytest.raises(ValueError, match=words + r"BoxTable.from_frame\(a, by='none'\)"):
        fastiou.pairs(named)
    assert len(fastiou.pairs(named.rename_axis("image"))) == 0
    assert len(fastiou.pairs(fastiou.BoxTable.from_frame(named, by="none"))) == 1
    pandas = pytest.importorskip("pandas")
    joined = pandas.concat({"a.jpg": frame()[:1], "b.jpg": frame()[1:]})
    days = pandas.to_datetime(["2020-01-01"] * 2)
    for other in (joined, frame().set_index([[1, 1]]), frame().set_index([days])):
        with pytest.raises(ValueError, match=words):
            fastiou.pairs(other)
        assert len(fastiou.pairs(other.reset_index(drop=True))) == 1
    with pytest.raises(ValueError, match="column level_0, whose values are no numbering"):
        fastiou.pairs(joined.reset_index())
    assert len(fastiou.pairs(joined.rename_axis(["image", None]))) == 0
    assert len(fastiou.pairs(frame().set_index([[5, 7]]))) == 1  # of rows that were thinned out
    with pytest.raises(ValueError, match="column id, whose values are no numbering, may tell"):
        fastiou.pairs(frame(id=["a", "a"]))
    pytest.importorskip("pyarrow", exc_type=ImportError)
    path = tmp_path / "a.parquet"
    named.to_parquet(path)
    with pytest.raises(FileError, match="column __index_level_0__, whose values are no numbering"):
        read_boxes(path)


@pytest.mark.parametrize("name", ["media_id", "assetId", "uid", "uuid", "key", "dataset"])
def test_a_column_that_may_tell_the_image_is_told(tmp_path: Path, name: str) -> None:
    """Where nothing else does; once, at the line that called."""
    words = f"nothing tells the image but perhaps {name}, not used"
    given = (
        frame(**{name: [5, 6], "class": [1, 1], "score": [0.9, 0.8]})
        .iloc[[0, 1, 1]]
        .reset_index(drop=True)
    )
    calls: list[Callable[[Any], Any]] = [
        fastiou.nms, fastiou.pairs, fastiou.Index, lambda b: fastiou.match(b, b),
        lambda b: fastiou.topk(b, b[:1], 1),
    ]  # fmt: skip
    path = tmp_path / "a.csv"
    given.to_csv(path, index=False)
    for table in (given, fastiou.read(path)):
        for call in calls:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                call(table)
            by = f"by='image={name},category'"
            assert [str(each.message).partition("; ")[2] for each in told] == [
                f"{by} of read and BoxTable.from_frame takes it"
            ] * len(told)
            assert f"{words}; {by}" in str(told[0].message)
            assert all(each.filename == __file__ for each in told)
    line = f"fastiou: a.csv: {words}; --by image={name},category takes it\n"
    for quiet in ((), ("--quiet",)):
        assert line in run("nms", path, *quiet).stderr
    by = f"image={name},category"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(fastiou.nms(fastiou.BoxTable.from_frame(given, by=by))) == 2
        fastiou.nms(fastiou.read(path).by())
        fastiou.nms(fastiou.read(path, by="none"))
        fastiou.nms(given.assign(image=1))
        fastiou.nms(given[:2])  # each once, as ids of boxes
    assert words not in run("nms", path, "--by", by).stderr
    assert words not in run("nms", path, "--by", "none").stderr


def written(folder: Path, given: Any, name: str) -> list[Path]:
    """A data frame as files of each kind that has columns."""
    pytest.importorskip("pyarrow", exc_type=ImportError)
    paths = [folder / f"a.{ending}" for ending in ("csv", "jsonl", "parquet", "npz")]
    given.to_csv(paths[0], index=False)
    given.to_json(paths[1], orient="records", lines=True)
    given.to_parquet(paths[2])
    boxes = given[["x1", "y1", "x2", "y2"]].to_numpy(float)
    np.savez(paths[3], boxes=boxes, **{name: given[name].astype(str).to_numpy(np.str_)})
    return paths


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("uuid", ["a", "b", "c"]),  # each once, as ids of boxes
        ("dataset", ["val", "val", "val"]),
        ("parent_uuid", [None, None, "a"]),
        ("track_id", [7.0, float("nan"), float("nan")]),  # boxes without a track
    ],
)
def test_columns_that_tell_no_groups_are_no_cause_to_warn(
    tmp_path: Path, name: str, values: list[Any]
) -> None:
    """Of files as of frames."""
    given = frame(score=[0.9, 0.8]).iloc[[0, 1, 1]].reset_index(drop=True).assign(**{name: values})
    paths = written(tmp_path, given, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastiou.pairs(given)
        for path in paths:
            fastiou.pairs(fastiou.read(path))
    assert "perhaps" not in run("nms", tmp_path / "a.csv").stderr


def test_files_of_each_kind_tell_columns_that_may_be_images(tmp_path: Path) -> None:
    given = frame(media_id=[1, 2]).iloc[[0, 1, 1]].reset_index(drop=True)
    for path in written(tmp_path, given, "media_id"):
        assert fastiou.read(path).likely_images == ("media_id",), path
        assert fastiou.read(path, by="none").likely_images == (), path


def test_values_are_looked_at_everywhere_but_not_all() -> None:
    """A million names took longer than what was asked for."""
    pandas = pytest.importorskip("pandas")
    count = 20 * FEW

    class Name:
        asked = 0

        def __str__(self) -> str:
            Name.asked += 1
            return "a"

    sides = dict(zip(("x1", "y1", "x2", "y2"), np.ones((4, count)), strict=True))
    names = np.array([Name()], object).repeat(count)
    assert fastiou.BoxTable.from_frame({**sides, "uuid": names}).likely_images == ()
    assert 0 < Name.asked <= 2 * FEW + 1
    for own in (np.arange(count) // 5, np.arange(count) // (5 * FEW), np.arange(count) % 7):
        for given in (own, pandas.Series(own, index=own[::-1] + 0.5), own.tolist()):
            table = fastiou.BoxTable.from_frame({**sides, "uuid": given})
            assert table.likely_images == ("uuid",)
    for given in (np.arange(count), "a", 5, None):
        assert fastiou.BoxTable.from_frame({**sides, "uuid": given}).likely_images == ()


@pytest.mark.parametrize(
    "name", ["annotator_id", "type_id", "color", "grid", "truncated", "keypoint", "score2"]
)
def test_ordinary_columns_are_no_cause_to_warn(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastiou.pairs(frame(**{name: [5, 6]}).iloc[[0, 1, 1]].reset_index(drop=True))


def test_an_infinite_id_is_no_cause_to_warn(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1,inf,20,100,200,0.9,4,-1,-1\n")
    with pytest.raises(ValueError, match=r"a\.txt"):
        fastiou.read(tmp_path / "a.txt")


def test_a_time_tells_no_image_beside_what_may(tmp_path: Path) -> None:
    """As detections of BDD100K have it, all at 10,000 ms of their videos."""
    rows = [
        {"name": f"b{number}.jpg", "timestamp": 10000, "category": "car",
         "bbox": [45.2, 254.5 - 4 * number, 357.8, 487.9], "score": 0.9 - number / 10}
        for number in range(2)
    ]  # fmt: skip
    path = tmp_path / "found.json"
    path.write_text(json.dumps(rows))
    result = run("nms", path, "--boxes", "xyxy")
    assert result.exit_code == 2
    expected = "--by category,image=name or --by image,category"
    assert f"column name may tell the image, expected {expected}" in result.stderr
    for by, kept in (("image=name,category", 2), ("image,category", 1)):
        out = tmp_path / "kept.csv"
        assert run("nms", path, "--boxes", "xyxy", "--by", by, "--out", out).exit_code == 0
        assert len(out.read_text().splitlines()) == 1 + kept
        out.unlink()
    for name in ("slide", "source_image", "url"):
        content = f"{name},time,x1,y1,x2,y2\na,0,1,2,3,4\n"
        with pytest.raises(FileError, match=f"column {name} may tell the image"):
            read(tmp_path, content)
    content = "image,name,time,x1,y1,x2,y2\na,b,0,1,2,3,4\n"
    assert read(tmp_path, content).unused == ("name", "time")
