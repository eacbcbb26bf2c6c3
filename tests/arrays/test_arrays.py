"""Array libraries in and out in kind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import random_boxes

import fastiou
from fastiou.runtime import gpu_arrays as interop


def need(library: str) -> Any:
    """The library, which continuous integration installs in one of its environments."""
    return pytest.importorskip(library, exc_type=ImportError, reason=f"{library} is not installed")


@pytest.fixture
def torch() -> Any:
    return need("torch")


TORCH_DTYPES = [
    ("float16", "float32"),
    ("bfloat16", "float32"),
    ("float32", "float32"),
    ("float64", "float64"),
    ("uint8", "float64"),
    ("int16", "float64"),
    ("int32", "float64"),
    ("int64", "float64"),
]


@pytest.mark.parametrize(("dtype", "expected"), TORCH_DTYPES)
def test_torch(torch: Any, rng: np.random.Generator, dtype: str, expected: str) -> None:
    boxes = np.round(random_boxes(rng, 20))
    tensor = torch.tensor(boxes).to(getattr(torch, dtype))
    whole = tensor.to(torch.float64).numpy()
    for options in ({}, {"metric": "giou"}, {"aligned": True}, {"iscrowd": [True] * 20}):
        scores = fastiou.box_iou(tensor, tensor, **options)
        assert isinstance(scores, torch.Tensor)
        assert scores.dtype == getattr(torch, expected)
        np.testing.assert_allclose(
            scores.numpy(), fastiou.box_iou(whole, whole, **options), rtol=1e-6, atol=1e-6
        )
    mixed = fastiou.box_iou(tensor, boxes.tolist())
    assert isinstance(mixed, torch.Tensor)
    assert isinstance(fastiou.box_area(tensor), torch.Tensor)
    assert isinstance(fastiou.box_convert(tensor, "xyxy", "xywh"), torch.Tensor)
    for part in fastiou.pairs(tensor, threshold=0.1):
        assert isinstance(part, torch.Tensor)
    assert fastiou.pairs(tensor, threshold=0.1).to_scipy().shape == (20, 20)


def test_torch_layouts_and_out(torch: Any, rng: np.random.Generator) -> None:
    boxes = torch.tensor(random_boxes(rng, 30, np.float32))
    expected = fastiou.box_iou(boxes, boxes)
    transposed = boxes.T.contiguous().T
    assert torch.equal(fastiou.box_iou(transposed, boxes), expected)
    out = torch.empty(30, 30)
    assert fastiou.box_iou(boxes, boxes, out=out) is out
    assert torch.equal(out, expected)
    assert fastiou.box_iou(torch.empty(0, 4), boxes).shape == (0, 30)


def test_torch_out_of_another_dtype_is_refused(torch: Any) -> None:
    boxes = torch.zeros(2, 4)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        with pytest.raises(ValueError, match="out must have"):
            fastiou.box_iou(boxes, boxes, out=torch.zeros(2, 2, dtype=dtype))


def test_torch_that_cannot_be_used(torch: Any) -> None:
    boxes = torch.tensor([[0.0, 0, 1, 1]], requires_grad=True)
    with pytest.raises(TypeError, match=r"boxes2 requires grad.*pass boxes2.detach\(\)"):
        fastiou.box_iou(boxes.detach(), boxes)
    with pytest.raises(TypeError, match=r"a requires grad"):
        fastiou.pairs(boxes)
    elsewhere = torch.empty((1, 4), device="meta")
    with pytest.raises(TypeError, match=r"boxes1 is on the device meta.*boxes1.cpu\(\)"):
        fastiou.box_iou(elsewhere, elsewhere)
    with pytest.raises(TypeError, match="boxes1 must be a dense tensor"):
        fastiou.box_iou(boxes.detach().to_sparse(), boxes.detach())
    with pytest.raises(TypeError, match="complex64"):
        fastiou.box_iou(torch.ones((1, 4), dtype=torch.complex64), boxes.detach())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32", "uint8"])
def test_jax(rng: np.random.Generator, dtype: str) -> None:
    jax = need("jax")
    boxes = np.round(random_boxes(rng, 20))
    array = jax.numpy.asarray(boxes, dtype=dtype)
    whole = np.asarray(array.astype("float32"), np.float64)
    scores = fastiou.box_iou(array, array)
    assert isinstance(scores, jax.Array)
    np.testing.assert_allclose(np.asarray(scores), fastiou.box_iou(whole, whole), rtol=1e-6)
    assert isinstance(fastiou.box_iou(array, boxes), jax.Array)
    found = fastiou.pairs(array, threshold=0.1)
    assert isinstance(found.values, jax.Array)
    np.testing.assert_array_equal(np.asarray(found.rows), fastiou.pairs(whole, threshold=0.1).rows)


def test_two_libraries_are_refused(torch: Any) -> None:
    jax = need("jax")
    with pytest.raises(TypeError, match="boxes1 is an array of torch and boxes2 one of jax"):
        fastiou.box_iou(torch.zeros(1, 4), jax.numpy.zeros((1, 4)))


def test_lists_come_back_as_numpy() -> None:
    scores = fastiou.box_iou([[0, 0, 1, 1]], ((0, 0, 1, 1),))
    assert type(scores) is np.ndarray


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("out_fmt", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("in_fmt", ["xyxy", "xywh", "cxcywh"])
def test_conversion_there_and_back(in_fmt: str, out_fmt: str, dtype: type) -> None:
    boxes = np.array([[2, 4, 10, 20], [0, 0, 0, 0], [8, 8, 2, 2]], dtype)
    before = boxes.copy()
    there = fastiou.box_convert(boxes, in_fmt, out_fmt)
    back = fastiou.box_convert(there, out_fmt, in_fmt)
    np.testing.assert_array_equal(back, boxes)
    np.testing.assert_array_equal(boxes, before)
    assert there.dtype == (dtype if np.dtype(dtype).kind == "f" else np.float64)
    assert not np.shares_memory(there, boxes)
    if in_fmt == "xyxy":
        expected = {"xyxy": [2, 4, 10, 20], "xywh": [2, 4, 8, 16], "cxcywh": [6, 12, 8, 16]}
        np.testing.assert_array_equal(there[0], expected[out_fmt])


@pytest.mark.parametrize("fmt", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint64])
def test_area(fmt: str, dtype: type) -> None:
    corners = np.array([[2, 4, 10, 20], [1, 1, 1, 5], [0, 0, 100, 126]], dtype)
    boxes = fastiou.box_convert(corners, "xyxy", fmt).astype(dtype)
    areas = fastiou.box_area(boxes, fmt)
    np.testing.assert_array_equal(areas, [128, 0, 12600])
    assert areas.dtype == (np.float32 if dtype in (np.float16, np.float32) else np.float64)
    assert fastiou.box_area(np.stack([boxes, boxes]), fmt).shape == (2, 3)
    assert fastiou.box_area(boxes[:0], fmt).shape == (0,)


def test_area_of_missing_inverted_and_huge_boxes() -> None:
    areas = fastiou.box_area([[0, 0, np.nan, 1], [3, 3, 1, 1], [0, 0, 2.0**600, 2.0**300]])
    np.testing.assert_array_equal(areas, [np.nan, 0, 2.0**900])


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_conversion_of_large_integers_is_exact(dtype: type) -> None:
    boxes = np.array([[2**60, 0, 2**60 + 10, 11]], dtype)
    np.testing.assert_array_equal(
        fastiou.box_convert(boxes, "xyxy", "xywh"), [[2.0**60, 0, 10, 11]]
    )
    assert fastiou.box_convert(boxes, "xyxy", "cxcywh")[0, 2:].tolist() == [10, 11]
    assert fastiou.box_convert(boxes, "xyxy", "cxcywh")[0, 1] == 5.5


def test_centres_do_not_overflow() -> None:
    half = np.array([[40000, 0, 50000, 1]], np.float16)
    assert fastiou.box_convert(half, "xyxy", "cxcywh")[0, 0] == np.float16(45000)
    double = np.array([[1e308, 0, 1.5e308, 1]])
    assert fastiou.box_convert(double, "xyxy", "cxcywh")[0, 0] == 1.25e308


def test_torch_out_on_a_gpu_is_filled_by_the_cpu(
    torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tensor that says it is on a GPU, which is read and written by way of copies alone."""

    class OnGpu(torch.Tensor):  # type: ignore[misc]
        @property
        def device(self) -> Any:
            return SimpleNamespace(type="cuda", index=0)

        def cpu(self) -> Any:
            return self.as_subclass(torch.Tensor).clone()

    def on_gpu(array: Any) -> Any:
        return torch.as_tensor(array).clone().as_subclass(OnGpu)

    stream = SimpleNamespace(cuda_stream=0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2]], np.float32)
    masks = np.ones((2, 4, 5), np.bool_)
    tensor = on_gpu(boxes)
    expected = fastiou.box_iou(boxes, boxes)
    calls = [
        (boxes, boxes, "auto"),
        (boxes.tolist(), boxes, "cpu"),
        (tensor, boxes, "cpu"),
        (tensor, tensor, "cpu"),
    ]
    if interop.problem() is not None:
        calls.append((tensor, tensor, "auto"))
    for first, second, device in calls:
        dtype = torch.float64 if isinstance(first, list) else torch.float32
        out = on_gpu(torch.full((2, 2), -7.0, dtype=dtype))
        assert fastiou.box_iou(first, second, out=out, device=device) is out
        np.testing.assert_allclose(out.cpu().numpy(), expected, rtol=1e-6)
    aligned = on_gpu(torch.full((2,), -7.0))
    fastiou.box_iou(boxes, boxes, aligned=True, out=aligned)
    assert aligned.cpu().tolist() == [1, 1]
    counted = on_gpu(torch.full((2, 2), -7.0, dtype=torch.float64))
    fastiou.mask_iou(masks, masks, out=counted)
    assert (counted.cpu() == 1).all()
    with pytest.raises(ValueError, match="out must have the shape"):
        fastiou.box_iou(boxes, boxes, out=aligned)
    with pytest.raises(TypeError, match="out requires grad"):
        fastiou.box_iou(boxes, boxes, out=on_gpu(torch.zeros(2, 2)).requires_grad_())
