"""Aligned scores are made in blocks, which do not show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, random_boxes
from masks_for_tests import random_masks

import fastiou
from fastiou.relations import dense


@pytest.fixture(params=[1, 7, 40])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "ALIGNED_AT_A_TIME", request.param)


def assert_aligned(a: Any, b: Any, fmt: str = "xyxy", **options: Any) -> None:
    """The same bits as in the dense result."""
    crowd = options.pop("iscrowd", None)
    expected = np.diagonal(fastiou.box_iou(a, b, fmt, iscrowd=crowd, **options))
    found = fastiou.box_iou(a, b, fmt, aligned=True, iscrowd=crowd, **options)
    np.testing.assert_array_equal(found, expected, strict=True)
    out = np.full(2 * len(found), 7, found.dtype)[::2]
    assert fastiou.box_iou(a, b, fmt, aligned=True, iscrowd=crowd, out=out, **options) is out
    np.testing.assert_array_equal(out, expected)


def odd_ones(rng: np.random.Generator, dtype: Any) -> tuple[Array, Array]:
    a, b = random_boxes(rng, 61, dtype), random_boxes(rng, 61, dtype)
    a[5] = b[37] = math.nan
    return a, b


@pytest.mark.slow(on_one_thread=True)
@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("odd", [None, 1e19, 1e200, 1e-25])
def test_one_box_may_ask_for_another_way(
    rng: np.random.Generator, dtype: type, odd: float | None
) -> None:
    """Whether boxes are computed in a wider type, or magnified, is decided for all of them."""
    a, b = odd_ones(rng, dtype)
    if odd is not None and odd < float(np.finfo(dtype).max):
        a[-1] = 0, 0, odd, odd
    assert_aligned(a, b)
    assert_aligned(a, b, metric="intersection")
    assert_aligned(a, b, iscrowd=rng.random(61) < 0.4)


@pytest.mark.usefixtures("blocks")
def test_integers_of_any_width(rng: np.random.Generator) -> None:
    boxes = rng.integers(0, 200, (2, 50, 4), dtype=np.uint8)
    assert_aligned(*boxes)
    far = boxes.astype(np.int64)
    far[:, 30:, ::2] += 2**62
    assert_aligned(*far)
    turned = np.concatenate([far, rng.integers(0, 360, (2, 50, 1))], axis=2)
    with pytest.raises(ValueError, match="must lie within"):
        fastiou.box_iou(*turned, fmt="cxcywhr", aligned=True)


@pytest.mark.slow(on_one_thread=True)
@pytest.mark.usefixtures("blocks")
def test_rotated_boxes_masks_and_batches(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 60, span=20)
    turned = np.concatenate([boxes, 360 * rng.random((60, 1))], axis=1)
    for fmt in ("cxcywhr", "xywhr"):
        assert_aligned(turned, turned[::-1], fmt)
        assert_aligned(turned.astype(np.float32), turned[::-1].astype(np.float32), fmt)
    batches = fastiou.box_iou(boxes.reshape(3, 20, 4), boxes[:20], aligned=True)
    expected = [np.diagonal(fastiou.box_iou(some, boxes[:20])) for some in boxes.reshape(3, 20, 4)]
    np.testing.assert_array_equal(batches, expected)
    masks = fastiou.Masks.from_dense(random_masks(rng, 30, (20, 30)))
    crowd = rng.random(30) < 0.5
    found = fastiou.mask_iou(masks, masks[::-1], aligned=True, iscrowd=crowd)
    expected = np.diagonal(fastiou.mask_iou(masks, masks[::-1], iscrowd=crowd))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("blocks")
def test_out_is_left_alone_where_a_later_block_is_refused(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 50)
    boxes[-1, 2] = math.inf
    out = np.full(50, 7.0)
    with pytest.raises(ValueError, match="infinite coordinate in row 49"):
        fastiou.box_iou(boxes, boxes[::-1], aligned=True, out=out)
    assert (out == 7).all()
