"""Clipping, and small boxes."""

from __future__ import annotations

import numpy as np
import pytest

import fastiou


def test_boxes_are_cut_off_at_the_image() -> None:
    boxes = np.array([[-5, 3, 20, 90], [70, -9, 99, -1], [np.nan, 0, np.inf, 5]])
    expected = [[0, 3, 20, 40], [60, 0, 60, 0], [np.nan, 0, 60, 5]]
    np.testing.assert_array_equal(fastiou.clip_boxes(boxes, (40, 60)), expected)
    assert boxes[0, 0] == -5
    for fmt in ("xywh", "cxcywh"):
        own = fastiou.box_convert(boxes[:2], "xyxy", fmt)
        clipped = fastiou.clip_boxes(own, (40, 60), fmt)
        np.testing.assert_array_equal(fastiou.box_convert(clipped, fmt, "xyxy"), expected[:2])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "float16", "float32", "bool"])
def test_clipping_keeps_the_dtype(dtype: str) -> None:
    boxes = np.array([[0, 1, 100, 120]]).astype(dtype)
    clipped = fastiou.clip_boxes(boxes, (50, 100_000))
    assert clipped.dtype == (np.uint8 if dtype == "bool" else np.dtype(dtype))
    assert clipped.tolist() == [[0, 1, 1, 1] if dtype == "bool" else [0, 1, 100, 50]]
    assert fastiou.clip_boxes(boxes, (50, 100_000), "xywh").dtype == (
        np.dtype(dtype) if boxes.dtype.kind == "f" else np.float64
    )


def test_clipping_takes_batches_and_nothing() -> None:
    assert fastiou.clip_boxes(np.ones((2, 3, 4)), (5, 5)).shape == (2, 3, 4)
    assert fastiou.clip_boxes([], (5, 5)).shape == (0, 4)
    assert fastiou.clip_boxes([[1, 2, 3, 4]], (0, 0)).tolist() == [[0, 0, 0, 0]]


def test_small_boxes_are_left_out() -> None:
    boxes = [[0, 0, 4, 9], [0, 0, 3.9, 9], [9, 9, 0, 0], [0, 0, np.nan, 9], [0, 0, 9, 4]]
    assert fastiou.remove_small_boxes(boxes, 4).tolist() == [0, 4]
    assert fastiou.remove_small_boxes(boxes, -10).tolist() == [0, 1, 2, 4]
    assert fastiou.remove_small_boxes(boxes, 4, "xywh").tolist() == [0, 4]
    assert fastiou.remove_small_boxes([], 4).tolist() == []
    # Differences of unsigned integers do not wrap around.
    assert fastiou.remove_small_boxes(np.array([[9, 9, 0, 0]], np.uint8), 1).tolist() == []
    # A threshold is compared in the dtype of the sides, as torchvision does.
    assert fastiou.remove_small_boxes(np.array([[0, 0, 0.1, 1]], np.float32), 0.1).tolist() == [0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fastiou.clip_boxes([[0, 0, 1, 1]], 5), TypeError, "size must be"),
        (lambda: fastiou.clip_boxes([[0, 0, 1, 1]], (5, -1)), ValueError, "size must be"),
        (lambda: fastiou.clip_boxes([[0, 0, 1, 1]], (5, 5), "xx"), ValueError, "fmt must be one"),
        (lambda: fastiou.clip_boxes([[0, 0, 1]], (5, 5)), ValueError, "boxes must have the shape"),
        (
            lambda: fastiou.clip_boxes([[0, 0, np.inf, 1]], (5, 5), "xywh"),
            ValueError,
            "boxes has an infinite coordinate in row 0",
        ),
        (
            lambda: fastiou.remove_small_boxes([[0, 0, 1, 1]], np.nan),
            ValueError,
            "min_size must be a finite number",
        ),
        (
            lambda: fastiou.remove_small_boxes([[[0, 0, 1, 1]]], 1),
            ValueError,
            "boxes must have the shape",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("dtype", "box"), [("float16", [1024, 0, 0.5, 4]), ("float32", [20000, 0, 0.0004, 4])]
)
def test_boxes_inside_the_image_keep_their_bits(dtype: str, box: list[float]) -> None:
    boxes = np.array([box], dtype)
    np.testing.assert_array_equal(fastiou.clip_boxes(boxes, (30000, 30000), "xywh"), boxes)
