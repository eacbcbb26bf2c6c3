"""Labels and results of KITTI as boxes in space, and ActivityNet's JSON of intervals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastiou

OBJECT = "Car 0.00 0 -1.57 10 20 110 220 1.5 1.6 3.7 1 2 30 0.25"


def read(folder: Path, text: str, **options: Any) -> fastiou.BoxTable:
    path = folder / "file"
    path.write_text(text)
    return fastiou.read(path, **options)


@pytest.mark.parametrize(
    ("format_", "row"), [("kitti-3d", OBJECT), ("kitti-tracking-3d", f"7 2 {OBJECT}")]
)
def test_boxes_of_kitti(tmp_path: Path, format_: str, row: str) -> None:
    """x, z and up are the axes, so that the bottom is the negative of KITTI's y."""
    table = read(tmp_path, f"{row}\n{row} 0.5\n", format=format_)
    assert table.fmt == "xyzwhdr-bottom"
    np.testing.assert_array_equal(table.boxes, [[1, 30, -2, 3.7, 1.6, 1.5, -0.25]] * 2)
    assert table.keys["category"].tolist() == ["Car", "Car"]
    assert ("image" in table.keys) == (format_ != "kitti-3d")
    np.testing.assert_array_equal(fastiou.box_iou(table, table), np.ones((2, 2)))
    # What content tells is the box of the picture.
    assert read(tmp_path, f"{row}\n").fmt == "xyxy"


def test_corners_are_those_of_the_development_kit(tmp_path: Path) -> None:
    """R_y(ry) of its computeBox3D turns length along x and width along z."""
    (box,) = read(tmp_path, f"{OBJECT}\n", format="kitti-3d").boxes
    turn = 0.25
    ahead = np.array([math.cos(turn), -math.sin(turn)]) * 3.7 / 2
    x, y, _, length, _, _, yaw = box
    reach = np.array([math.cos(yaw), math.sin(yaw)]) * length / 2
    np.testing.assert_allclose([x + reach[0], y + reach[1]], [1 + ahead[0], 30 + ahead[1]])


def test_results_and_what_is_not_cared_for(tmp_path: Path) -> None:
    other = "DontCare -1 -1 -10 0 0 30 40 -1 -1 -1 -1000 -1000 -1000 -10"
    unproper = pytest.warns(UserWarning, match="1 box has a negative width")
    with pytest.warns(UserWarning, match="1 row is DontCare"), unproper:
        table = read(tmp_path, f"{OBJECT} 0.9\n{other} 0\n", format="kitti-3d")
    assert table.scores is not None
    assert table.scores.tolist() == [0.9, 0]
    assert fastiou.box_area(table).tolist() == pytest.approx([1.5 * 1.6 * 3.7, 0])
    with pytest.raises(ValueError, match=r":1: 8 columns, expected 15 or more: type, "):
        read(tmp_path, "Car 0 0 -1.57 10 20 110 220\n", format="kitti-3d")


TRUTH = {
    "version": "VERSION 1.3",
    "database": {
        "a": {
            "duration": 82.73,
            "annotations": [
                {"segment": [6.5, 20], "label": "Surfing"},
                {"segment": [30, 41.5], "label": "Diving"},
            ],
        },
        "b": {"annotations": [{"segment": [0, 9], "label": "Surfing"}]},
        "c": {"subset": "testing"},
    },
}
RESULTS = {
    "version": "VERSION 1.3",
    "results": {
        "a": [
            {"label": "Surfing", "score": 0.75, "segment": [6.5, 20.0]},
            {"label": "Diving", "score": 0.5, "segment": [30, 53]},
        ],
        "b": [],
    },
    "external_data": {},
}


def test_activitynet(tmp_path: Path) -> None:
    truth = read(tmp_path, json.dumps(TRUTH))
    found = read(tmp_path, json.dumps(RESULTS, indent=1))
    assert truth.fmt == found.fmt == "xx"
    assert truth.boxes.tolist() == [[6.5, 20], [30, 41.5], [0, 9]]
    assert truth.keys["image"].tolist() == ["a", "a", "b"]
    assert truth.keys["category"].tolist() == ["Surfing", "Diving", "Surfing"]
    assert truth.scores is None
    assert found.scores is not None
    assert found.scores.tolist() == [0.75, 0.5]
    matched = fastiou.match(truth, found, 0.4)
    assert matched.rows.tolist() == [0, 1]
    np.testing.assert_allclose(matched.values, [1, 0.5])
    assert list(read(tmp_path, json.dumps(TRUTH), by="image").keys) == ["image"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"label": "x", "segment": [1]}, r'b, interval 0: .* expected an object with "segment": '),
        ({"label": "x", "segment": ["1", 2]}, '"segment": '),
        ({"segment": [1, 2]}, '"label": nothing|"label": None|"label": null'),
        (5, "b, interval 0"),
    ],
)
def test_activitynet_without_intervals(tmp_path: Path, entry: Any, message: str) -> None:
    content = {"database": {"b": {"annotations": [entry], "segment": 0}}}
    with pytest.raises(ValueError, match=message):
        read(tmp_path, json.dumps(content))
    scored = {"results": {"b": [{"label": "x", "segment": [1, 2], "score": "high"}]}}
    with pytest.raises(ValueError, match='b, interval 0: "score": "high", expected a number'):
        read(tmp_path, json.dumps(scored))
    with pytest.raises(ValueError, match='expected an object with "database" or "results"'):
        read(tmp_path, "[1]", format="activitynet")
