"""Label images out of colours, and colour images where label images are meant."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastiou
from fastiou.runtime import memory
from fastiou.segmentation import colors


def ids_of(image: Any) -> Any:
    """COCO's own formula, in Python's integers."""
    return np.array([[int(r) + 256 * int(g) + 65536 * int(b) for r, g, b, *_ in row]
                     for row in image])  # fmt: skip


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64, ">i4"])
def test_labels_of_colors(rng: np.random.Generator, channels: int, dtype: Any) -> None:
    image = rng.integers(0, 256, (20, 30, channels)).astype(dtype)
    image[0, :2] = [[0] * channels, [255] * channels]
    before = image.copy()
    expected = ids_of(image)
    for form in (image, image.tolist(), np.asfortranarray(image), image[::-1][::-1]):
        labels = fastiou.labels_from_colors(form)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(image, before)
    both = fastiou.labels_from_colors(np.stack([image, image[::-1]]))
    np.testing.assert_array_equal(both, [expected, expected[::-1]])
    assert fastiou.labels_from_colors(image[:0]).shape == (0, 30)
    assert fastiou.labels_from_colors(image[:, :0]).shape == (20, 0)


def test_parts_of_an_image(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    image = rng.integers(0, 256, (50, 7, 3))
    expected = ids_of(image)
    monkeypatch.setattr(colors, "PIXELS_AT_A_TIME", 20)
    np.testing.assert_array_equal(fastiou.labels_from_colors(image), expected)
    image[40, 3, 1] = 256
    with pytest.raises(ValueError, match=r"image must hold colours .*got 256 at \(40, 3\)"):
        fastiou.labels_from_colors(image)


def test_tensors(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    image = rng.integers(0, 256, (5, 6, 3)).astype(np.uint8)
    labels = fastiou.labels_from_colors(torch.from_numpy(image))
    assert isinstance(labels, torch.Tensor)
    assert labels.dtype == torch.int32
    np.testing.assert_array_equal(labels.numpy(), ids_of(image))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((3, 4), np.uint8), ValueError, r"\(H, W, 3\) or \(H, W, 4\), got \(3, 4\)"),
        (np.zeros((5, 3, 2), np.uint8), ValueError, r"got \(5, 3, 2\)"),
        (np.zeros((3, 5, 6), np.uint8), ValueError, r"got \(3, 5, 6\)"),
        (np.zeros((2, 2, 3)), TypeError, "image must hold integers or booleans, got dtype float64"),
        (np.zeros((2, 2, 3), bool), TypeError, "image must hold colours from 0 to 255, got boo"),
        (np.full((2, 2, 3), -1), ValueError, r"image must hold colours .*got -1 at \(0, 0\)"),
    ],
)
def test_what_is_no_color_image(image: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastiou.labels_from_colors(image)


def test_memory_is_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.broadcast_to(np.zeros(3, np.uint8), (10**5, 10**5, 3))
    monkeypatch.setattr(memory, "_available_memory", lambda: 10**9)
    with pytest.raises(
        MemoryError, match=r"a label image of 10,000,000,000 pixels needs 37\.3 GiB"
    ):
        fastiou.labels_from_colors(image)


#: Functions of label images, by what they call the first one that is wrong.
CALLS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "label_iou": ("labels1", lambda odd, _: fastiou.label_iou(odd, odd)),
    "the second of label_iou": ("labels2", lambda odd, good: fastiou.label_iou(good, odd)),
    "label_overlap": ("labels1", lambda odd, _: fastiou.label_overlap(odd, odd)),
    "confusion_matrix": ("target", lambda odd, _: fastiou.confusion_matrix(odd, odd, 256)),
    "mean_iou": ("pred", lambda odd, good: fastiou.mean_iou(good, odd, 256)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("shape", [(6, 7, 3), (6, 7, 4), (1, 1, 3), (2, 6, 7, 3)])
def test_color_images_are_no_label_images(call: str, shape: tuple[int, ...]) -> None:
    name, function = CALLS[call]
    image = np.ones(shape, np.uint8)
    with pytest.raises(ValueError, match=rf"^{name} must be a label image, got ") as raised:
        function(image, image.astype(int))
    message = str(raised.value)
    assert "uint8" in message
    assert str(shape) in message
    assert f"labels_from_colors({name})" in message
    assert re.search(r"R \+ 256 G \+ 65536 B", message)
    assert f"{name}.astype(int)" in message


@pytest.mark.parametrize("call", CALLS)
def test_volumes_are_label_images(call: str) -> None:
    """Of any other dtype, and of uint8 with any other last side."""
    _, function = CALLS[call]
    for volume in (
        np.ones((6, 7, 3), np.int8),
        np.ones((6, 7, 3), np.uint16),
        np.ones((6, 7, 3), np.bool_),
        np.ones((6, 7, 3), int).tolist(),
        np.ones((6, 7, 2), np.uint8),
        np.ones((6, 7, 5), np.uint8),
        np.ones((3, 6, 7), np.uint8),
        np.ones((7, 3), np.uint8),
        np.ones(3, np.uint8),
    ):
        function(volume, volume)


def test_masks_of_color_images() -> None:
    image = np.ones((6, 7, 3), np.uint8)
    with pytest.raises(ValueError, match=r"^image must be a label image, .*labels_from_colors"):
        fastiou.Masks.from_labels(image)
    with pytest.raises(ValueError, match=r"^image must have the shape \(H, W\), got \(6, 7, 3\)"):
        fastiou.Masks.from_labels(image.astype(int))
    masks, labels = fastiou.Masks.from_labels(fastiou.labels_from_colors(image))
    assert (len(masks), labels.tolist()) == (1, [65793])


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
def test_colours_as_wider_integers_are_refused(dtype: type) -> None:
    image = np.zeros((8, 9, 3), dtype)
    image[:4, :, 0] = 255
    for labels in (image, np.concatenate([image, image[..., :1]], axis=-1)):
        with pytest.raises(ValueError, match=f"got a colour image, {np.dtype(dtype)} of shape"):
            fastiou.label_iou(labels, labels)
        fastiou.label_iou(labels.astype(int), labels.astype(int))  # a volume, which is said so
    fastiou.label_iou(image + 1, image + 1)  # 256 is no colour
    fastiou.label_iou(image[:7], image[:7])
    fastiou.label_iou(image[None], image[None])


def test_channels_in_front_are_told() -> None:
    """Three images of uint8 may be one of colours, as torchvision reads them."""
    image = np.zeros((3, 8, 9), np.uint8)
    image[0, 4:] = 7
    words = (
        r"labels[12], uint8 of shape \(3, 8, 9\), is taken for three label images\. Pass "
        r"labels[12]\.astype\(int\) to say .* labels_from_colors of the shape \(8, 9, 3\)"
    )
    with pytest.warns(UserWarning, match=words) as told:
        fastiou.label_iou(image, image)
    assert {each.filename for each in told} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for other in (image.astype(int), image[:, :7], image[:2], image[None]):
            fastiou.label_iou(other, other)
