"""The functions of torchvision.ops, against its formulas in PyTorch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from compat_for_tests import boxes_of, scores_of, signature_of

from fastiou.compat import torchvision as ops

#: Arguments of torchvision 0.29, and their defaults.
NO = inspect.Parameter.empty
SIGNATURES: dict[str, list[tuple[str, Any]]] = {
    "batched_nms": [("boxes", NO), ("scores", NO), ("idxs", NO), ("iou_threshold", NO)],
    "box_area": [("boxes", NO), ("fmt", "xyxy")],
    "box_convert": [("boxes", NO), ("in_fmt", NO), ("out_fmt", NO)],
    "box_iou": [("boxes1", NO), ("boxes2", NO), ("fmt", "xyxy")],
    "clip_boxes_to_image": [("boxes", NO), ("size", NO)],
    "complete_box_iou": [("boxes1", NO), ("boxes2", NO), ("eps", 1e-7)],
    "distance_box_iou": [("boxes1", NO), ("boxes2", NO), ("eps", 1e-7)],
    "generalized_box_iou": [("boxes1", NO), ("boxes2", NO)],
    "masks_to_boxes": [("masks", NO)],
    "nms": [("boxes", NO), ("scores", NO), ("iou_threshold", NO)],
    "remove_small_boxes": [("boxes", NO), ("min_size", NO)],
}


class Peer:
    """The formulas of torchvision, in PyTorch."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def upcast(self, value: Any) -> Any:
        if value.is_floating_point():
            return value if value.dtype.itemsize >= 4 else value.float()
        return value if value.dtype.itemsize >= 4 else value.int()

    def box_area(self, boxes: Any) -> Any:
        boxes = self.upcast(boxes)
        return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])

    def inter_union(self, boxes1: Any, boxes2: Any) -> tuple[Any, Any]:
        torch = self.torch
        corner1 = torch.max(boxes1[..., None, :2], boxes2[..., None, :, :2])
        corner2 = torch.min(boxes1[..., None, 2:], boxes2[..., None, :, 2:])
        sides = self.upcast(corner2 - corner1).clamp(min=0)
        inter = sides[..., 0] * sides[..., 1]
        areas = self.box_area(boxes1)[..., None] + self.box_area(boxes2)[..., None, :]
        return inter, areas - inter

    def box_iou(self, boxes1: Any, boxes2: Any) -> Any:
        inter, union = self.inter_union(boxes1, boxes2)
        return inter / union

    def hull(self, boxes1: Any, boxes2: Any) -> Any:
        corner1 = self.torch.min(boxes1[..., None, :2], boxes2[..., None, :, :2])
        corner2 = self.torch.max(boxes1[..., None, 2:], boxes2[..., None, :, 2:])
        return self.upcast(corner2 - corner1).clamp(min=0)

    def generalized_box_iou(self, boxes1: Any, boxes2: Any) -> Any:
        inter, union = self.inter_union(boxes1, boxes2)
        hull = self.hull(boxes1, boxes2).prod(-1)
        return inter / union - (hull - union) / hull

    def distance_box_iou(self, boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Any:
        boxes1, boxes2 = self.upcast(boxes1), self.upcast(boxes2)
        diagonal = (self.hull(boxes1, boxes2) ** 2).sum(-1) + eps
        middles = [(boxes[..., :2] + boxes[..., 2:]) / 2 for boxes in (boxes1, boxes2)]
        offset = self.upcast(middles[0][..., None, :] - middles[1][..., None, :, :])
        return self.box_iou(boxes1, boxes2) - (offset**2).sum(-1) / diagonal

    def complete_box_iou(self, boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Any:
        torch = self.torch
        boxes1, boxes2 = self.upcast(boxes1), self.upcast(boxes2)
        angles = [
            torch.atan((boxes[..., 2] - boxes[..., 0]) / (boxes[..., 3] - boxes[..., 1]))
            for boxes in (boxes1, boxes2)
        ]
        v = (4 / torch.pi**2) * (angles[0][..., None] - angles[1][..., None, :]) ** 2
        weight = v / (1 - self.box_iou(boxes1, boxes2) + v + eps)
        return self.distance_box_iou(boxes1, boxes2, eps) - weight * v

    def nms(self, boxes: Any, scores: Any, threshold: float) -> Any:
        """Scores in the dtype of the boxes, compared with a double."""
        order = scores.sort(stable=True, descending=True)[1].tolist()
        iou = self.box_iou(boxes, boxes).double().numpy()
        kept: list[int] = []
        for i in order:
            if not any(iou[j, i] > threshold for j in kept):
                kept.append(i)
        return self.torch.tensor(kept, dtype=self.torch.int64)


@pytest.fixture
def peer() -> Peer:
    return Peer(pytest.importorskip("torch", exc_type=ImportError))


def equal(actual: Any, expected: Any, tolerance: float) -> None:
    assert type(actual) is type(expected)
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=0, atol=tolerance)


def test_names_and_arguments() -> None:
    assert set(ops.__all__) == set(SIGNATURES)
    for name, expected in SIGNATURES.items():
        assert signature_of(getattr(ops, name)) == expected, name


def test_arguments_are_those_of_the_installed_one() -> None:
    try:
        import torchvision
    except (ImportError, RuntimeError):  # the latter where it was built for another PyTorch
        pytest.skip("torchvision cannot be imported")
    for name in SIGNATURES:
        assert signature_of(getattr(ops, name)) == signature_of(getattr(torchvision.ops, name))


def test_scores(peer: Peer, cases: Iterator[np.random.Generator], are_many: bool) -> None:
    tolerance = {"float32": 2e-6, "float64": 1e-12, "int64": 2e-6}
    names = ["box_iou", "generalized_box_iou"]
    if are_many:
        names += ["distance_box_iou", "complete_box_iou"]
    for rng in cases:
        dtype = str(rng.choice(list(tolerance), p=[0.9, 0.05, 0.05])) if are_many else "float32"
        boxes1, boxes2 = (peer.torch.from_numpy(boxes_of(rng, dtype)) for _ in range(2))
        for name in names:
            actual = getattr(ops, name)(boxes1, boxes2)
            # The weight of ciou has no eps; PyTorch's arctangent differs in its last bits.
            own = 3e-7 + tolerance[dtype] if name[0] in "dc" else tolerance[dtype]
            equal(actual, getattr(peer, name)(boxes1, boxes2), own)


def test_scores_of_integers_and_halves(peer: Peer, rng: np.random.Generator) -> None:
    torch = peer.torch
    for dtype in ("uint8", "int16", "float16", "bfloat16"):
        boxes = torch.tensor([[1, 2, 9, 30], [5, 1, 70, 80], [3, 3, 3, 3]])
        boxes = boxes.to(getattr(torch, dtype))
        equal(ops.box_iou(boxes, boxes), peer.box_iou(boxes, boxes), 1e-6)
    boxes = torch.tensor([[[0.0, 0, 2, 2]], [[1, 1, 4, 4]]])
    equal(ops.box_iou(boxes, boxes), peer.box_iou(boxes, boxes), 1e-6)
    for fmt, expected in (("xywh", 2 / 6), ("cxcywh", 2 / 6)):
        one, other = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 2, 2]])
        assert float(ops.box_iou(one, other, fmt=fmt)) == pytest.approx(expected)


@pytest.mark.slow
def test_scores_of_centres(peer: Peer, rng: np.random.Generator) -> None:
    for _ in range(100):
        boxes1, boxes2 = (peer.torch.from_numpy(boxes_of(rng)) for _ in range(2))
        for name in ("distance_box_iou", "complete_box_iou"):
            equal(getattr(ops, name)(boxes1, boxes2), getattr(peer, name)(boxes1, boxes2), 3e-6)
            small = boxes1 / 1000
            actual, expected = (getattr(one, name)(small, small, 1e-4) for one in (ops, peer))
            equal(actual, expected, 1e-4 if name[0] == "c" else 1e-6)


def test_areas_keep_integers(peer: Peer) -> None:
    torch = peer.torch
    for dtype in ("uint8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"):
        boxes = torch.tensor([[0, 0, 20, 30], [9, 9, 5, 6]]).to(getattr(torch, dtype))
        assert torch.equal(ops.box_area(boxes), peer.box_area(boxes))
        assert ops.box_area(boxes).dtype == peer.box_area(boxes).dtype
    assert int(ops.box_area(torch.tensor([1, 1, 3, 4]))) == 6
    assert ops.box_area(torch.tensor([[1, 1, 3, 4]]), "cxcywh").tolist() == [12]
    with pytest.raises(ValueError, match="fmt must be one of xyxy, xywh, cxcywh, got 'xyxyxyxy'"):
        ops.box_area(boxes, "xyxyxyxy")


def test_suppression(peer: Peer, cases: Iterator[np.random.Generator]) -> None:
    for rng in cases:
        boxes = peer.torch.from_numpy(boxes_of(rng, "float32", 12))
        scores = peer.torch.from_numpy(scores_of(rng, len(boxes)) - np.float32(0.2))
        threshold = float(rng.choice([0.1, 0.3, 0.5, 1 / 3, 0.7, 0.0, 1.0, rng.random()]))
        actual = ops.nms(boxes, scores, threshold)
        assert peer.torch.equal(actual, peer.nms(boxes, scores, threshold))
        classes = peer.torch.from_numpy(rng.integers(0, 3, len(boxes)).astype(np.float32))
        apart = boxes + classes[:, None] * 4096  # whole, as in torchvision, and nothing is rounded
        expected = peer.nms(apart, scores, threshold)
        if peer.torch.equal(apart - classes[:, None] * 4096, boxes):
            assert peer.torch.equal(ops.batched_nms(boxes, scores, classes, threshold), expected)


def test_tensors_without_boxes_need_nothing_else(peer: Peer) -> None:
    empty = ops.batched_nms(peer.torch.empty((0,)), None, None, None)  # type: ignore[arg-type]
    assert empty.dtype == peer.torch.int64
    assert empty.shape == (0,)


def test_thresholds_are_compared_as_torchvision_does(peer: Peer) -> None:
    boxes = peer.torch.tensor([[0, 0, 10, 1], [9, 0, 10, 1]], dtype=peer.torch.float32)
    assert ops.nms(boxes, peer.torch.tensor([0.9, 0.8]), 0.1).tolist() == [0]
    assert ops.nms(boxes, peer.torch.tensor([0.9, 0.8]), 1.5).tolist() == [0, 1]


def test_shapes_of_suppression_are_checked() -> None:
    for boxes, scores, message in (
        (np.zeros(4), np.zeros(1), "boxes should be a 2d tensor, got 1D"),
        (np.zeros((1, 5)), np.zeros(1), "boxes should have 4 elements in dimension 1, got 5"),
        (np.zeros((1, 4)), np.zeros((1, 1)), "scores should be a 1d tensor, got 2D"),
        (np.zeros((2, 4)), np.zeros(1), "in dimension 0, got 2 and 1"),
    ):
        with pytest.raises(RuntimeError, match=message):
            ops.nms(boxes, scores, 0.5)
        with pytest.raises(RuntimeError, match=message):
            ops.batched_nms(boxes, scores, None, 0.5)
    empty = ops.batched_nms(np.zeros((0, 4)), np.zeros(0), None, 0.5)
    assert empty.dtype == np.int64
    assert empty.shape == (0,)
    # torchvision looks at nothing else where there are no boxes, of whatever shape.
    for boxes in (np.zeros(0), np.zeros((0, 5))):
        assert ops.batched_nms(boxes, None, None, None).tolist() == []  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fmt must be one of"):
        ops.box_iou(np.zeros((1, 4)), np.zeros((1, 4)), "yxyx")


@pytest.mark.parametrize("in_fmt", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("out_fmt", ["xyxy", "xywh", "cxcywh"])
def test_formats(peer: Peer, in_fmt: str, out_fmt: str) -> None:
    torch = peer.torch
    to = {
        "xyxy": lambda a, b, c, d: (a, b, c, d),
        "xywh": lambda a, b, c, d: (a, b, a + c, b + d),
        "cxcywh": lambda a, b, c, d: (a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d),
    }
    back = {
        "xyxy": lambda a, b, c, d: (a, b, c, d),
        "xywh": lambda a, b, c, d: (a, b, c - a, d - b),
        "cxcywh": lambda a, b, c, d: ((a + c) / 2, (b + d) / 2, c - a, d - b),
    }
    for dtype in ("uint8", "int64", "float16", "bfloat16", "float32", "float64"):
        boxes = torch.tensor([[1, 2, 9, 30], [5, 1, 70, 80]]).to(getattr(torch, dtype))
        expected = boxes.clone()
        if in_fmt != out_fmt:
            corners = to[in_fmt](*boxes.unbind(-1))
            expected = torch.stack(back[out_fmt](*corners), dim=-1)
        actual = ops.box_convert(boxes, in_fmt, out_fmt)
        assert actual.dtype == expected.dtype, dtype
        assert torch.allclose(actual.double(), expected.double(), rtol=2e-2 if "16" in dtype else 0)
        assert torch.equal(ops.box_convert(boxes[0], in_fmt, out_fmt), actual[0])
    with pytest.raises(ValueError, match=r"in_fmt must be one of xyxy, .*, got 'yxyx'"):
        ops.box_convert(boxes, "yxyx", out_fmt)


def test_rotated_formats(peer: Peer) -> None:
    torch = peer.torch
    cx, cy, w, h, r = (torch.tensor([value]) for value in (20.0, 40.0, 30.0, 10.0, 30.0))
    cos, sin = torch.cos(r * torch.pi / 180), torch.sin(r * torch.pi / 180)
    x, y = cx - w / 2 * cos - h / 2 * sin, cy - h / 2 * cos + w / 2 * sin
    corners = [
        x, y, x + w * cos, y - w * sin, x + w * cos + h * sin, y - w * sin + h * cos,
        x + h * sin, y + h * cos,
    ]  # fmt: skip
    by = {
        "cxcywhr": torch.stack((cx, cy, w, h, r), -1),
        "xywhr": torch.stack((x, y, w, h, r), -1),
        "xyxyxyxy": torch.stack(corners, -1),
    }
    for in_fmt, boxes in by.items():
        for out_fmt, expected in by.items():
            actual = ops.box_convert(boxes, in_fmt, out_fmt)
            assert actual.dtype == torch.float32
            assert torch.allclose(actual, expected, atol=1e-4), (in_fmt, out_fmt)
    assert ops.box_convert(torch.tensor([[20, 40, 20, 40, 90]]), "cxcywhr", "xywhr").tolist() == [
        [0, 50, 20, 40, 90]
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("fmt", ["cxcywhr", "xywhr", "xyxyxyxy"])
def test_scores_of_rotated_boxes(peer: Peer, fmt: str) -> None:
    boxes = peer.torch.tensor([[20.0, 40, 30, 10, 30], [20, 40, 30, 10, 75], [9, 9, 3, 3, 0]])
    own = ops.box_convert(boxes, "cxcywhr", fmt)
    scores = ops.box_iou(own, own, fmt)
    assert scores.dtype == peer.torch.float32
    assert np.diag(scores.numpy()) == pytest.approx([1, 1, 1], abs=1e-5)
    assert 0 < float(scores[0, 1]) < 1
    assert float(scores[0, 2]) == 0


def test_clipping_and_small_boxes(peer: Peer, cases: Iterator[np.random.Generator]) -> None:
    torch = peer.torch
    for rng in cases:
        boxes = torch.from_numpy(boxes_of(rng, str(rng.choice(["float32", "int64"])))) - 5
        height, width = (int(side) for side in rng.integers(0, 400, 2))
        x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
        expected = torch.stack((x, y), dim=2).reshape(boxes.shape)
        actual = ops.clip_boxes_to_image(boxes, (height, width))
        assert actual.dtype == boxes.dtype
        assert torch.equal(actual, expected)
        least = float(rng.choice([0, 1, 10, 0.1, rng.random() * 50]))
        sides = boxes[:, 2:] - boxes[:, :2]
        expected = torch.where((sides >= least).all(1))[0]
        assert torch.equal(ops.remove_small_boxes(boxes, least), expected)


def test_boxes_of_masks(peer: Peer) -> None:
    torch = peer.torch
    masks = torch.zeros((3, 5, 6))
    masks[0, 1:3, 2:5], masks[1, 4, 4] = 0.5, 1
    expected = [[2, 1, 4, 2], [4, 4, 4, 4], [0, 0, 0, 0]]
    for own in (masks, masks > 0, (masks > 0).int()):
        assert ops.masks_to_boxes(own).tolist() == expected
        assert ops.masks_to_boxes(own).dtype == torch.float32
    assert ops.masks_to_boxes(masks[:, :0]).shape == (0, 4)


def test_arrays_are_taken_too() -> None:
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 3]], np.float32)
    assert ops.nms(boxes, np.array([0.5, 0.9]), 0.5).tolist() == [1]
    for function in (ops.box_iou, ops.generalized_box_iou):
        scores = function(boxes, boxes)
        assert type(scores) is np.ndarray
        assert scores.dtype == np.float32
        assert (np.diag(scores) == 1).all()
