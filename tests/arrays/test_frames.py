"""Data frames and columns as boxes, scores and masks: of pandas, polars and pyarrow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, random_boxes

import fastiou

COLUMNS = ["x1", "y1", "x2", "y2"]

MAKERS = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}


def frame(library: str, array: Array) -> Any:
    module = pytest.importorskip(
        library, exc_type=ImportError, reason=f"{library} is not installed"
    )
    return getattr(module, MAKERS[library])(dict(zip(COLUMNS, array.T, strict=True)))


def assert_as(found: Any, array: Array, scores: Any, of_scores: Array) -> None:
    """Compare what a frame and a column give with what an array does, to the bit and dtype."""
    calls = [
        (lambda a: fastiou.box_iou(a, array)),
        (lambda a: fastiou.box_iou(array, a, aligned=True)),
        (lambda a: fastiou.pairs(a, threshold=0.1).values),
        (lambda a: fastiou.topk(a, array).indices),
        (lambda a: fastiou.Index(a).pairs(a, 0.1).cols),
        fastiou.box_area,
    ]
    for call in calls:
        np.testing.assert_array_equal(call(found), call(array), strict=True)
    kept = fastiou.nms(found, scores, 0.1)
    np.testing.assert_array_equal(kept, fastiou.nms(array, of_scores, 0.1), strict=True)


@pytest.mark.parametrize("library", MAKERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int16, np.uint8])
@pytest.mark.parametrize("size", [0, 1, 30])
def test_frames_of_numbers(rng: np.random.Generator, library: str, dtype: type, size: int) -> None:
    array = random_boxes(rng, size, span=20).round().clip(0).astype(dtype)
    scores = rng.random(size).astype(np.float32)
    column = frame(library, np.stack([scores] * 4, axis=1))["x1"]
    assert_as(frame(library, array), array, column, scores)


@pytest.mark.parametrize("size", [0, 20])
@pytest.mark.parametrize("missing", [False, True])
def test_nullable_columns_of_pandas(rng: np.random.Generator, size: int, missing: bool) -> None:
    pandas = pytest.importorskip("pandas", exc_type=ImportError, reason="pandas is not installed")
    array = random_boxes(rng, size, span=20).round()
    if missing and size:
        array[3, 2] = np.nan
    plain = frame("pandas", array)
    plain.index = np.arange(size)[::-1] * 7
    scores = rng.random(size)
    column = pandas.Series(scores, dtype="Float64")
    for own in (plain, plain.astype("Float64"), plain.convert_dtypes()):
        integers = array.astype(np.int64) if own is not plain and not missing else array
        expected = integers if str(own.dtypes.iloc[0]) == "Int64" and not missing else array
        assert_as(own, expected, column, scores)
    if size:
        assert str(plain.convert_dtypes().dtypes.iloc[0]) == "Int64"
    single = plain.astype("Float32")
    assert fastiou.box_iou(single, single).dtype == np.float32
    assert_as(single, array.astype(np.float32), column, scores)
    wide = pandas.DataFrame({name: [2**60, 2**60] for name in COLUMNS}, dtype="Int64")
    wide.loc[1, ["x2", "y2"]] = 2**60 + 1  # as float64 it would be 2**60
    assert fastiou.box_area(wide).tolist() == [0, 1]


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_what_is_missing_is_nan(library: str) -> None:
    module = pytest.importorskip(
        library, exc_type=ImportError, reason=f"{library} is not installed"
    )
    make = getattr(module, MAKERS[library])
    found = make({"x1": [0, 0], "y1": [0, 0], "x2": [1, None], "y2": [1.0, 1.0]})
    scores = fastiou.box_iou(found, [[0, 0, 1, 1]])
    np.testing.assert_array_equal(scores, [[1.0], [np.nan]])
    assert fastiou.nms(found, make({"s": [0.5, 0.25]})["s"]).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"scores must be numbers, got NaN in row 1"):
        fastiou.nms(found, make({"s": [0.5, None]})["s"])


@pytest.mark.parametrize("library", MAKERS)
def test_frames_that_are_no_boxes(library: str) -> None:
    module = pytest.importorskip(
        library, exc_type=ImportError, reason=f"{library} is not installed"
    )
    make = getattr(module, MAKERS[library])
    names = make({"image": ["a", "b"], "y1": [0, 0], "x2": [1, 1], "y2": [1, 1]})
    with pytest.raises(ValueError, match=r"^a: the columns 'image,y1,x2,y2' name no boxes, expect"):
        fastiou.pairs(names)
    with pytest.raises(ValueError, match=r"^a: the columns 'x,y' name no boxes, expected columns "):
        fastiou.pairs(make({"x": [1, 2], "y": [1, 2]}))
    five = make({name: [1, 2] for name in [*COLUMNS, "score"]})
    assert fastiou.nms(five).tolist() == fastiou.nms(five, [3, 4]).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"^scores must have the shape \(2,\), got \(2, 5\)"):
        fastiou.nms([[0, 0, 1, 1]] * 2, five)


def test_no_library_of_frames_is_imported() -> None:
    code = (
        "import sys, numpy as np, fastiou\n"
        "fastiou.pairs([[0, 0, 1, 1]], groups=['a'])\n"
        "fastiou.nms([[0, 0, 1, 1]], [1], groups=([1], ['a']))\n"
        "assert not {'pandas', 'polars', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={"PYTHONPATH": str(Path(fastiou.__file__).parents[1])},
    )
