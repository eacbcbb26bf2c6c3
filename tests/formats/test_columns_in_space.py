"""Columns of 3-D boxes and of intervals, told by their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fastiou

TURNED = "image,x,y,z,w,h,d,{},score\n7,1,2,3,4,5,6,{},0.5\n"


def read(folder: Path, text: str, fmt: str | None = None) -> fastiou.BoxTable:
    path = folder / "table.csv"
    path.write_text(text)
    table = fastiou.read(path) if fmt is None else fastiou.read(path, fmt=fmt)
    assert isinstance(table, fastiou.BoxTable)
    return table


@pytest.mark.parametrize(
    ("names", "fmt"),
    [
        ("x1,y1,z1,x2,y2,z2", "xyzxyz"),
        ("cx,cy,cz,w,h,d", "cxcyczwhd"),
        ("x,y,z,w,h,d,yaw_rad", "xyzwhdr"),
        ("x,y,z,dx,dy,dz,heading_rad", "xyzwhdr"),
        ("x1,x2", "xx"),
        ("start,end", "xx"),
        ("t_start,t_end", "xx"),
        ("Start Time,End Time", "xx"),
        ("x1,y1,x2,y2", "xyxy"),
        ("x,y,w,h", "xywh"),
    ],
)
def test_names_tell_the_format(tmp_path: Path, names: str, fmt: str) -> None:
    numbers = list(range(1, 2 + names.count(",")))
    table = read(tmp_path, f"image,{names},score\n7,{','.join(map(str, numbers))},0.5\n")
    assert table.fmt == fmt
    assert table.boxes.tolist() == [numbers]
    assert list(table.keys) == ["image"]
    assert table.scores is not None


def test_a_yaw_is_in_radians(tmp_path: Path) -> None:
    for fmt in ("xyzwhdr", "xyzwhdr-bottom"):
        for name in ("yaw", "yaw_rad", "angle"):
            table = read(tmp_path, TURNED.format(name, 0.5), fmt)
            assert table.fmt == fmt
            assert table.boxes.tolist() == [[1, 2, 3, 4, 5, 6, 0.5]]
    with pytest.raises(ValueError, match="column yaw could hold degrees or radians"):
        read(tmp_path, TURNED.format("yaw", 0.5))
    with pytest.raises(
        ValueError, match=r"yaw holds angles beyond ±2π, expected radians, or a name"
    ):
        read(tmp_path, TURNED.format("yaw", 90))


def test_tables_are_scored(tmp_path: Path) -> None:
    truth = read(tmp_path, "video,start,end\na,0,10\nb,0,10\n")
    found = read(tmp_path, "video,t_start,t_end,score\na,5,15,0.5\nb,0,10,0.5\n")
    pairs = fastiou.pairs(found, truth, 0.1)
    np.testing.assert_allclose(pairs.values, [1 / 3, 1])
