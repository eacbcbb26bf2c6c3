"""Label images, class maps and masks of values, against the oracle."""

from __future__ import annotations

import math
import runpy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastiou
from fastiou import reference
from fastiou.arrays.inputs import Input
from fastiou.metrics import METRICS
from fastiou.runtime import memory, threads
from fastiou.segmentation import label_kernels, soft
from fastiou.segmentation import labels as segmentation

Array = npt.NDArray[Any]

INTEGERS = [np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64,
            np.uint64]  # fmt: skip
RATIOS = [name for name, row in METRICS.items() if row.is_ratio]


def assert_overlap(labels1: Any, labels2: Any) -> fastiou.LabelOverlap:
    found = fastiou.label_overlap(labels1, labels2)
    for part, expected in zip(found, reference.label_overlap(labels1, labels2), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert found.values.dtype == np.int64
    return found


def blobs(rng: np.random.Generator, size: int, cell: int) -> Array:
    """Label image of squares on a grid, each another label; the background is 0."""
    labels = rng.permutation((size // cell) ** 2).reshape(size // cell, -1) + 1
    image = np.repeat(np.repeat(labels, cell, 0), cell, 1)
    inside = np.arange(size) % cell < cell - 3
    return np.where(inside[:, None] & inside, image, 0)


def layouts(array: Array) -> dict[str, Array]:
    """The same two-dimensional array in different memory layouts."""
    spread = np.zeros((array.shape[0] * 2, array.shape[1] * 3), array.dtype)
    spread[::2, ::3] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    bytes_ = np.zeros(array.nbytes + 1, np.uint8)
    unaligned = bytes_[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    return {
        "fortran": np.asfortranarray(array),
        "strided": spread[::2, ::3],
        "reversed": np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1],
        "read-only": read_only,
        "unaligned": unaligned,
        "big-endian": array.astype(array.dtype.newbyteorder(">")),
    }


# ---- label_overlap -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", INTEGERS)
def test_overlap_of_any_dtype(rng: np.random.Generator, dtype: type) -> None:
    info = np.iinfo(np.uint8 if dtype is np.bool_ else dtype)
    values = [0, 1] if dtype is np.bool_ else [info.min, 0, 1, 5, info.max // 2, info.max]
    image1, image2 = rng.choice(np.array(values, dtype), (2, 40, 50))
    found = assert_overlap(image1, image2)
    assert found.rows.dtype == found.cols.dtype == (np.uint64 if dtype is np.uint64 else np.int64)
    assert found.values.sum() == image1.size


def test_overlap_widens_to_int64(rng: np.random.Generator) -> None:
    image = rng.integers(0, 2**40, (5, 7), np.uint64)
    found = assert_overlap(image, image.astype(np.int64))
    assert found.rows.dtype == found.cols.dtype == np.int64
    image[2, 3] = 2**63  # beyond int64: kept right, in a column of its own type
    found = assert_overlap(image, np.zeros((5, 7), np.int8))
    assert (found.rows.dtype, found.cols.dtype) == (np.uint64, np.int64)
    assert int(found.rows[-1]) == 2**63


@pytest.mark.parametrize("layout", list(layouts(np.zeros((1, 1)))))
def test_overlap_of_any_layout(rng: np.random.Generator, layout: str) -> None:
    image1, image2 = rng.integers(-3, 4, (2, 30, 41)).astype(np.int32)
    there1, there2 = layouts(image1)[layout], layouts(image2)[layout]
    before = there1.copy()
    expected = reference.label_overlap(image1, image2)
    for pair in ((there1, there2), (there1, image2), (image1, there2)):
        for part, wanted in zip(fastiou.label_overlap(*pair), expected, strict=True):
            np.testing.assert_array_equal(part, wanted)
    np.testing.assert_array_equal(there1, before)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (0, 5), (3, 4, 5), (2, 3, 4, 5)])
def test_overlap_of_any_shape(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    image1, image2 = rng.integers(0, 3, (2, *shape))
    assert_overlap(image1, image2)


def test_overlap_of_lists() -> None:
    rows, cols, values = fastiou.label_overlap([[1, 1], [0, 2]], [[3, 3], [0, 3]])
    assert type(rows) is np.ndarray
    assert (rows.tolist(), cols.tolist(), values.tolist()) == ([0, 1, 2], [0, 3, 3], [1, 2, 1])
    assert len(fastiou.label_overlap([], []).rows) == 0


@given(
    data=st.data(),
    labels=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6),
    length=st.integers(0, 40),
)
@settings(max_examples=50)
def test_any_labels(data: st.DataObject, labels: list[int], length: int) -> None:
    image = st.lists(st.sampled_from(labels), min_size=length, max_size=length)
    image1, image2 = (np.array(data.draw(image), np.int64) for _ in range(2))
    # Runs that cross the chunks in which pixels are compared.
    assert_overlap(np.repeat(image1, 300), np.repeat(image2, 300))


@pytest.mark.parametrize("offset", [0, 1, 7, 8, 9, 63, 64])
def test_runs_about_the_ends_of_words_and_chunks(offset: int) -> None:
    chunk = label_kernels.CHUNK
    for length in (chunk - 1, chunk, chunk + 1, 2 * chunk + offset):
        image1, image2 = np.zeros((2, length), np.int32)
        image1[offset:] = 1
        image2[length - offset :] = 2
        assert_overlap(image1, image2)


@pytest.fixture
def small_lists(monkeypatch: pytest.MonkeyPatch, fixed_steps: Callable[[int], None]) -> None:
    """Tables and lists that overflow at once, and merges by the kernels from 100 entries on."""
    monkeypatch.setattr(segmentation, "FEWEST_SLOTS", 64)
    monkeypatch.setattr(segmentation, "MOST_SLOTS", 256)
    monkeypatch.setattr(segmentation, "FEW_PIXELS", 0)
    monkeypatch.setattr(segmentation, "SORTED_BY_NUMPY", 100)
    fixed_steps(70_001 * segmentation.LABEL_WORK)
    monkeypatch.setattr(segmentation, "PIXELS_PER_TASK", 5_000)


@pytest.mark.usefixtures("small_lists")
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 300), (0, 60), (-(2**40), 2**40), (-(2**30), 2**30), (-(2**62), 2**62), (5, 6)],
)
def test_more_pairs_than_fit(rng: np.random.Generator, low: int, high: int) -> None:
    image1 = rng.integers(low, high, 200_000)
    image2 = rng.integers(low, high, 200_000)
    # Half of the pairs come again, among the new ones.
    image1[100_000:] = np.where(rng.random(100_000) < 0.5, image1[:100_000], image1[100_000:])
    image2[100_000:] = np.where(image1[100_000:] == image1[:100_000], image2[:100_000], 7)
    assert_overlap(image1, image2)


@pytest.mark.parametrize("pixels", [5200, 8191, 8192])
@pytest.mark.parametrize("widths", [(63, 0), (31, 32), (1, 62), (30, 32)])
def test_keys_of_63_bits(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    pixels: int,
    widths: tuple[int, int],
) -> None:
    """Few pixels, whose labels together have all bits of a key, merged by the kernels."""
    monkeypatch.setattr(segmentation, "FEW_PIXELS", 0)
    monkeypatch.setattr(segmentation, "SORTED_BY_NUMPY", 0)
    images = []
    for width in widths:
        image = rng.integers(0, 2**width, pixels)
        image[:2] = 0, 2**width - 1
        images.append(image)
    assert_overlap(*images)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_nearly_all_pairs_differ(rng: np.random.Generator, dtype: type) -> None:
    """Lists are as long as the image, and are merged more than once."""
    images = rng.integers(0, 1500, (2, 1000, 700)).astype(dtype)
    if dtype is np.uint64:
        images += np.uint64(2**63 - 700)
    assert_overlap(*images)
    if dtype is np.int64:  # all but one pair have the same highest bits, and come into one bucket
        images[0, 3, 4] = 2**40
        assert_overlap(*images)
        images[1, 3, 5] = -(2**62)  # no key of 63 bits holds the pairs
        assert_overlap(*images)


@pytest.mark.usefixtures("several_threads")
@pytest.mark.slow
def test_overlap_is_the_same_for_any_number_of_threads(rng: np.random.Generator) -> None:
    image1, image2 = blobs(rng, 1728, 24), blobs(rng, 1728, 27)
    at_random = rng.integers(0, 1000, (2, 1200, 1200))
    wanted = [assert_overlap(image1, image2), assert_overlap(*at_random)]
    assert image1.size * segmentation.LABEL_WORK > threads.PARALLEL_FROM
    for count in (1, 2, 3):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        for images, expected in zip(((image1, image2), at_random), wanted, strict=True):
            for part, whole in zip(fastiou.label_overlap(*images), expected, strict=True):
                np.testing.assert_array_equal(part, whole)


def test_memory_is_that_of_the_pairs(rng: np.random.Generator) -> None:
    """A table of all labels by all labels would have 2**80 counts."""
    tracemalloc = pytest.importorskip("tracemalloc")
    image = blobs(rng, 2000, 50) << 30
    fastiou.label_overlap(image, image.T)
    tracemalloc.start()
    fastiou.label_overlap(image, image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000 < image.nbytes


def test_lists_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "FEW_PIXELS", 0)
    monkeypatch.setattr(memory, "_available_memory", lambda: 1000)
    monkeypatch.setattr(memory, "KEPT_BYTES", 1 << 16)
    with pytest.raises(MemoryError, match=r"pairs of labels needs .*; overlap parts of the images"):
        fastiou.label_overlap(np.arange(10_000), np.arange(10_000))


@pytest.mark.parametrize("function", [fastiou.label_overlap, fastiou.label_iou])
def test_bad_label_images(function: Any) -> None:
    with pytest.raises(ValueError, match=r"labels1 and labels2 .* \(2, 3\) and \(3, 2\)"):
        function(np.zeros((2, 3), int), np.zeros((3, 2), int))
    with pytest.raises(TypeError, match=r"labels2 must hold integers .* float64; .*astype"):
        function(np.zeros(3, int), np.zeros(3))
    with pytest.raises(TypeError, match="labels1 must hold integers or booleans, got dtype <U1"):
        function(["a"], [1])
    with pytest.raises(TypeError, match="labels1 is a masked array"):
        function(np.ma.zeros(3, int), np.zeros(3, int))


# ---- label_iou ---------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", RATIOS)
def test_label_iou(rng: np.random.Generator, metric: str) -> None:
    image1 = rng.integers(-1, 4, (40, 30)).astype(np.int16)
    image2 = rng.integers(0, 3, (40, 30)).astype(np.uint8)
    image2[:20] = 0
    found = fastiou.label_iou(image1, image2, metric)
    expected = []
    for one in np.unique(image1[image1 != 0]):
        for other in np.unique(image2[image2 != 0]):
            a, b = image1 == one, image2 == other
            shared, area1, area2 = int((a & b).sum()), int(a.sum()), int(b.sum())
            scores = {
                "iou": shared / (area1 + area2 - shared),
                "iof": shared / area1,
                "ios": shared / min(area1, area2),
                "dice": 2 * shared / (area1 + area2),
                "intersection": float(shared),
            }
            if shared:
                expected.append((one, other, scores[metric]))
    assert len(expected) > 5
    rows, cols, values = zip(*expected, strict=True)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.cols, cols)
    np.testing.assert_array_equal(found.values, values)
    assert found.values.dtype == np.float64
    assert found.rows.dtype == found.cols.dtype == np.int64


def test_label_iou_of_itself_is_one(rng: np.random.Generator) -> None:
    image = blobs(rng, 90, 9)
    found = fastiou.label_iou(image, image)
    np.testing.assert_array_equal(found.rows, np.arange(1, 101))
    np.testing.assert_array_equal(found.cols, found.rows)
    np.testing.assert_array_equal(found.values, 1.0)


def test_label_iou_of_nothing() -> None:
    for image in (np.zeros((0, 4), int), np.zeros((3, 4), int)):
        found = fastiou.label_iou(image, image)
        assert [len(part) for part in found] == [0, 0, 0]
        assert found.values.dtype == np.float64


@pytest.mark.parametrize("metric", ["giou", "diou", "ciou", "no", None])
def test_metrics_that_need_boxes_are_refused(metric: Any) -> None:
    with pytest.raises(ValueError, match="metric must be one of 'iou', 'iof', 'ios', 'dice', 'int"):
        fastiou.label_iou([1], [1], metric)


# ---- confusion_matrix and mean_iou -------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 5, 127, 128, 200])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_confusion(rng: np.random.Generator, classes: int, dtype: type) -> None:
    target, pred = rng.integers(0, min(classes, 256), (2, 37, 53)).astype(dtype)
    for ignored in (None, 1, 255):
        found = fastiou.confusion_matrix(target, pred, classes, ignore_index=ignored)
        expected = reference.confusion_matrix(target, pred, classes, ignored)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.int64


@pytest.mark.parametrize("dtype", INTEGERS)
def test_confusion_of_any_dtype(rng: np.random.Generator, dtype: type) -> None:
    target, pred = rng.integers(0, 2, (2, 100)).astype(dtype)
    expected = reference.confusion_matrix(target, pred, 2)
    np.testing.assert_array_equal(fastiou.confusion_matrix(target, pred, 2), expected)
    assert fastiou.confusion_matrix(target, pred, 2, ignore_index=-1).sum() == 100
    if dtype is np.bool_:
        return
    info = np.iinfo(dtype)
    for ignored in {info.min, info.max, -1} - {0}:
        for classes in (2, 150):
            if info.min <= ignored <= info.max:
                if 0 <= ignored < classes:
                    continue
                with_ignored = target.copy()
                with_ignored[::3] = ignored
                expected = reference.confusion_matrix(with_ignored, pred, classes, ignored)
                found = fastiou.confusion_matrix(with_ignored, pred, classes, ignore_index=ignored)
                np.testing.assert_array_equal(found, expected)
                with pytest.raises(ValueError, match=rf"target must hold classes .* got {ignored}"):
                    fastiou.confusion_matrix(with_ignored, pred, classes)
            else:
                found = fastiou.confusion_matrix(target, pred, classes, ignore_index=ignored)
                assert found.sum() == 100


def test_a_number_without_a_place_in_the_dtype_ignores_nothing() -> None:
    # As 64 bits, 2**64 - 1 and -1 are the same.
    target = np.array([0, 2**64 - 1], np.uint64)
    for classes in (2, 200):
        with pytest.raises(ValueError, match=r"target must hold .* got 18446744073709551615 at 1"):
            fastiou.confusion_matrix(target, [0, 0], classes, ignore_index=-1)
        found = fastiou.confusion_matrix(target, [0, 0], classes, ignore_index=2**64 - 1)
        assert found.sum() == found[0, 0] == 1
    assert fastiou.confusion_matrix([-1], [0], 2, ignore_index=2**64 - 1 - 2**64).sum() == 0


@pytest.mark.parametrize("layout", list(layouts(np.zeros((1, 1)))))
def test_confusion_of_any_layout(rng: np.random.Generator, layout: str) -> None:
    target, pred = rng.integers(0, 4, (2, 30, 41)).astype(np.int32)
    found = fastiou.confusion_matrix(layouts(target)[layout], layouts(pred)[layout], 4)
    np.testing.assert_array_equal(found, reference.confusion_matrix(target, pred, 4))


@pytest.mark.parametrize("classes", [3, 300])
def test_classes_that_are_none(classes: int) -> None:
    good = np.zeros((4, 5), np.int16)
    for bad in (-1, classes, 20_000):
        wrong = good.copy()
        wrong[2, 3] = bad
        for pair, name in (((wrong, good), "target"), ((good, wrong), "pred")):
            with pytest.raises(
                ValueError,
                match=rf"{name} must hold classes from 0 to {classes - 1}, got {bad} at \(2, 3\)",
            ):
                fastiou.confusion_matrix(*pair, classes)
        # What is left out in the target may be anything in the prediction, and there alone.
        target = np.where(wrong == bad, 255, 0)
        found = fastiou.confusion_matrix(target, wrong, classes, ignore_index=255)
        assert found.sum() == found[0, 0] == 19
        with pytest.raises(ValueError, match=r"pred must hold .* at \(2, 3\)$"):
            fastiou.confusion_matrix(good, wrong, classes, ignore_index=255)
        with pytest.raises(ValueError, match="pred must hold classes"):
            fastiou.confusion_matrix(good, wrong, classes, ignore_index=bad)
        found = fastiou.confusion_matrix(wrong, wrong, classes, ignore_index=bad)
        assert found.sum() == 19


@pytest.mark.usefixtures("several_threads")
def test_confusion_is_the_same_for_any_number_of_threads(
    rng: np.random.Generator, fixed_steps: Callable[[int], None]
) -> None:
    target, pred = rng.integers(0, 7, (2, 1900, 1500)).astype(np.uint8)
    expected = np.bincount(7 * target.ravel() + pred.ravel(), minlength=49).reshape(7, 7)
    for count in (1, 3):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        for step in (100_003, 1 << 24):
            fixed_steps(step * segmentation.LABEL_WORK)
            np.testing.assert_array_equal(fastiou.confusion_matrix(target, pred, 7), expected)


def test_confusion_of_nothing() -> None:
    empty = np.zeros((0, 3), int)
    np.testing.assert_array_equal(fastiou.confusion_matrix(empty, empty, 2), np.zeros((2, 2)))
    np.testing.assert_array_equal(fastiou.confusion_matrix([], [], 200), np.zeros((200, 200)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_classes": 0}, ValueError, "num_classes must be an integer of at least 1, got 0"),
        ({"num_classes": 2.0}, TypeError, "num_classes must be an integer of at least 1, got 2.0"),
        ({"ignore_index": 1.5}, TypeError, "ignore_index must be an integer, got 1.5"),
        ({"pred": [0.5]}, TypeError, "pred must hold integers"),
        ({"pred": [[0.5]]}, TypeError, r"scores of classes by \.argmax\(axis\)"),
        ({"pred": [1, 1]}, ValueError, r"target and pred .* got \(1,\) and \(2,\)"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"target": [1], "pred": [1], "num_classes": 2} | options
    with pytest.raises(error, match=message):
        fastiou.confusion_matrix(**arguments)
    with pytest.raises(error, match=message):
        fastiou.mean_iou(**arguments)


def test_mean_iou(rng: np.random.Generator) -> None:
    target, pred = rng.integers(0, 4, (2, 50, 60))
    target[target == 2] = 255
    found = fastiou.mean_iou(target, pred, 6, ignore_index=255)
    counted = target != 255
    for label in range(6):
        a, b = (target == label) & counted, (pred == label) & counted
        if (a | b).any():
            assert found.per_class[label] == (a & b).sum() / (a | b).sum()
        else:
            assert math.isnan(found.per_class[label])
    assert np.isnan(found.per_class).tolist() == [False] * 4 + [True] * 2
    assert found.per_class[2] == 0
    assert found.mean == found.per_class[:4].mean()
    matrix = fastiou.confusion_matrix(target, pred, 6, ignore_index=255)
    again = fastiou.mean_iou(matrix)
    np.testing.assert_array_equal(again.per_class, found.per_class)
    assert again.mean == found.mean
    assert type(found.mean) is float


def test_mean_iou_without_classes() -> None:
    found = fastiou.mean_iou([], [], 3)
    assert np.isnan(found.per_class).all()
    assert found.per_class.shape == (3,)
    assert math.isnan(found.mean)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([1, 2],),
            r"target must be a confusion matrix of the shape \(C, C\) .*got \(2,\); for class maps",
        ),
        (([[1, 2]],), r"target must be a confusion matrix of the shape \(C, C\) .*got \(1, 2\)"),
        (([[1, -2], [0, 0]],), "target must hold finite counts of at least 0 .*got -2"),
        (([[1, math.nan], [0, 0]],), "target must hold finite counts of at least 0 .*got nan"),
        (([[1, math.inf], [0, 0]],), "target must hold finite counts of at least 0 .*got inf"),
        (([1], [1]), "num_classes must be an integer with target and pred, got None"),
        (([[1]], None, 1), "num_classes and ignore_index go with target and pred"),
    ],
)
def test_bad_matrices(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fastiou.mean_iou(*arguments)


# ---- soft_iou ----------------------------------------------------------------------------------

SHAPE = (3, 4, 50, 7)
AXES: list[Any] = [
    None, 0, 1, -1, (), (0, 1), (1, 2), (2, 3), (0, 2), (-1, 0), (0, 2, 3), (0, 1, 2, 3),
]  # fmt: skip


@pytest.mark.parametrize("axis", AXES)
def test_soft_iou_over_any_axes(rng: np.random.Generator, axis: Any) -> None:
    x, y = rng.random((2, *SHAPE), np.float32)
    for smooth in (0, 1e-6, 1):
        found = fastiou.soft_iou(x, y, smooth=smooth, axis=axis)
        expected = reference.soft_iou(x, y, smooth, axis)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        assert found.shape == expected.shape
        assert found.dtype == np.float64
    assert isinstance(found, np.float64 if axis is None else np.ndarray)


@pytest.mark.parametrize("shape", [(100_003,), (3, 70_001), (70_001, 3), (200, 600), (2, 300, 400)])
def test_soft_iou_in_blocks(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    """Sizes that are no multiple of blocks, strips and lanes; the sums are exact, whatever the
    order, so that nothing may be left out or counted twice."""
    x, y = rng.integers(0, 5, (2, *shape)).astype(np.float32)
    for axis in (None, *range(len(shape))):
        found = fastiou.soft_iou(x, y, axis=axis)
        np.testing.assert_array_equal(found, reference.soft_iou(x, y, axis=axis))
        whole = fastiou.soft_iou(x.astype(np.uint8), y.astype(np.uint8), axis=axis)
        np.testing.assert_array_equal(whole, found)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 1000])
def test_soft_iou_about_the_number_of_lanes(rng: np.random.Generator, length: int) -> None:
    x, y = rng.integers(0, 9, (2, 4, length)).astype(np.float64)
    np.testing.assert_array_equal(
        fastiou.soft_iou(x, y, axis=1, smooth=0.5), reference.soft_iou(x, y, 0.5, 1)
    )


@pytest.mark.parametrize(
    "dtype",
    [
        *[np.bool_, np.int8, np.uint64, np.float16, np.float32, np.float64],
        *[
            pytest.param(dtype, marks=pytest.mark.slow)
            for dtype in INTEGERS
            if dtype not in (np.bool_, np.int8, np.uint64)
        ],
    ],
)
def test_soft_iou_of_any_dtype(rng: np.random.Generator, dtype: type) -> None:
    x, y = rng.integers(0, 120, (2, 20, 30)).astype(dtype)
    if np.dtype(dtype).kind in "iu":
        x[:, :9] = np.iinfo(dtype).max  # wraps in any sum of its own dtype
    found = fastiou.soft_iou(x, y, axis=1)
    np.testing.assert_allclose(found, reference.soft_iou(x, y, axis=1), rtol=1e-14)


@pytest.mark.parametrize("dtypes", [(np.float32, np.bool_)])
def test_soft_iou_of_two_dtypes(rng: np.random.Generator, dtypes: tuple[type, type]) -> None:
    x, y = rng.random((20, 30)).astype(dtypes[0]), rng.integers(0, 2, (20, 30)).astype(dtypes[1])
    expected = reference.soft_iou(x, y)
    np.testing.assert_allclose(fastiou.soft_iou(x, y), expected, rtol=1e-14)


@pytest.mark.parametrize("layout", list(layouts(np.zeros((1, 1)))))
def test_soft_iou_of_any_layout(rng: np.random.Generator, layout: str) -> None:
    """The layout does not change a bit."""
    x, y = rng.random((2, 300, 211), np.float32)
    for axis in (None, 0, 1):
        found = fastiou.soft_iou(layouts(x)[layout], layouts(y)[layout], axis=axis)
        np.testing.assert_array_equal(found, fastiou.soft_iou(x, y, axis=axis))


@pytest.mark.usefixtures("several_threads")
@pytest.mark.slow
def test_soft_iou_has_the_same_bits_for_any_number_of_threads(
    rng: np.random.Generator, fixed_steps: Callable[[int], None]
) -> None:
    x, y = rng.random((2, 1500, 4000), np.float32)
    wanted = [fastiou.soft_iou(x, y, axis=axis) for axis in (None, 0, 1)]
    assert x.size * soft.VALUE_WORK > threads.PARALLEL_FROM
    for count in (1, 2, 3):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        for step in (1, 500_000, 1 << 26):
            fixed_steps(step)
            for axis, expected in zip((None, 0, 1), wanted, strict=True):
                np.testing.assert_array_equal(fastiou.soft_iou(x, y, axis=axis), expected)


def test_soft_iou_does_not_drift() -> None:
    """A float32 sum stops to grow at 2**24, and uint8 wraps at 256."""
    ones = np.ones(20_000_000, np.float32)
    assert fastiou.soft_iou(ones, ones, smooth=0) == 1
    assert fastiou.soft_iou(ones[:1000].astype(np.uint8), np.full(1000, 2, np.uint8)) == (
        (2000 + 1e-6) / (1000 + 1e-6)
    )


def test_soft_iou_of_nothing_and_of_nan() -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert fastiou.soft_iou(zeros, zeros) == 1
    assert fastiou.soft_iou(zeros, zeros, smooth=0) == 0
    assert fastiou.soft_iou(zeros[:0], zeros[:0], smooth=0) == 0
    np.testing.assert_array_equal(fastiou.soft_iou(zeros[:0], zeros[:0], axis=0), np.ones(3))
    assert fastiou.soft_iou(zeros[:, :0], zeros[:, :0], axis=1).tolist() == [1, 1]
    assert fastiou.soft_iou([], []) == 1
    assert fastiou.soft_iou(0.5, 0.5, smooth=0) == 0.25 / 0.75
    x = np.array([[np.nan, 1], [1, 1]])
    np.testing.assert_array_equal(fastiou.soft_iou(x, x, smooth=0, axis=1), [np.nan, 1])
    np.testing.assert_array_equal(fastiou.soft_iou(x.T, x, smooth=0, axis=0), [np.nan, 1])
    assert math.isnan(fastiou.soft_iou([np.inf, 1], [1, 1]))
    assert math.isnan(fastiou.soft_iou([1, 1], [-np.inf, np.inf]))


@given(
    values=st.lists(
        st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=70
    )
)
@settings(max_examples=50)
def test_soft_iou_of_shares_lies_from_0_to_1(values: list[tuple[float, float]]) -> None:
    x, y = np.array(values, np.float32).T
    score = fastiou.soft_iou(x, y)
    assert 0 <= score <= 1
    np.testing.assert_allclose(score, reference.soft_iou(x, y), rtol=1e-13)
    assert fastiou.soft_iou(y, x) == score


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"targets": [1, 2]}, ValueError, r"inputs and targets must .* \(1,\) and \(2,\)"),
        ({"targets": ["a"]}, TypeError, "targets must hold booleans, integers, or floats"),
        ({"targets": [1j]}, TypeError, "targets must hold .* got dtype complex128"),
        ({"smooth": -1}, ValueError, "smooth must be a finite number of at least 0, got -1"),
        ({"smooth": math.nan}, ValueError, "smooth must be a finite number"),
        ({"smooth": "1"}, TypeError, "smooth must be a finite number of at least 0, got '1'"),
        ({"axis": 1}, ValueError, "axis must name axes of 1 dimensions, got 1"),
        ({"axis": -2}, ValueError, "axis must name axes of 1 dimensions, got -2"),
        ({"axis": (0, -1)}, ValueError, r"axis names an axis twice: \(0, -1\)"),
        ({"axis": 0.5}, TypeError, "axis must be an integer, got 0.5"),
    ],
)
def test_bad_values(options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"inputs": [1], "targets": [1]} | options
    with pytest.raises(error, match=message):
        fastiou.soft_iou(**arguments)


def test_the_worked_example(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(fastiou.__file__).parents[1] / "examples" / "soft_iou.py"
    if not example.exists():
        pytest.skip("this is an installed package, without its examples")
    runpy.run_path(str(example), run_name="__main__")
    printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[:5])
    assert printed["intersection"] == "660"
    assert printed["total"] == "155"
    assert printed["union"] == "-505"
    score = fastiou.soft_iou(np.arange(10), np.arange(2, 21, 2))
    assert score == (660 + 1e-6) / (-505 + 1e-6)


# ---- thresholded_iou ---------------------------------------------------------------------------


def test_thresholded_iou_has_the_bits_of_the_formula(rng: np.random.Generator) -> None:
    dtypes = [np.bool_, np.uint8, np.int32, np.int64]
    for number in range(1000):
        images, height, width = rng.integers(1, 12, 3)
        x = rng.random((images, height, width)) < rng.random()
        # Mostly alike, so that all steps occur; some masks are empty.
        y = x ^ (rng.random(x.shape) < rng.random() / 2)
        empty = rng.random(images) < 0.1
        x[empty] = False
        y[rng.random(images) < 0.1] = False
        y[empty] = False
        dtype = dtypes[number % len(dtypes)]
        x, y = x.astype(dtype), y.astype(dtype)
        smooth = (1e-6, 1.0, 1e-3)[number % 3]
        outputs = x[:, None] if number % 2 else x
        labels = y[:, None] if number % 5 == 0 else y
        found = fastiou.thresholded_iou(outputs, labels, smooth=smooth)
        np.testing.assert_array_equal(found, reference.thresholded_iou(x, y, smooth))
        assert found.dtype == np.float64
        assert found.shape == (images,)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_values_are_combined_bit_by_bit(rng: np.random.Generator, dtype: type) -> None:
    info = np.iinfo(np.uint8 if dtype is np.bool_ else dtype)
    # A 64-bit image of the largest values would not fit int64, in NumPy either.
    low, high = max(info.min, -(2**50)), min(info.max, 2**50)
    x = rng.integers(low, high, (6, 9, 8), endpoint=True).astype(dtype)
    y = np.where(rng.random(x.shape) < 0.9, x, 1).astype(dtype)
    found = fastiou.thresholded_iou(x, y)
    np.testing.assert_array_equal(found, reference.thresholded_iou(x, y))


@pytest.mark.parametrize(
    ("shape", "bits"), [((1, 1), 63), ((1, 2), 62), ((1, 3), 61), ((4, 16), 57), ((5, 13), 56)]
)
def test_values_whose_sums_could_leave_int64_are_refused(shape: tuple[int, int], bits: int) -> None:
    """Up to the bound results are those of the formula, and one beyond it is refused by name."""
    accepted = (
        rf"integers from -2\*\*{bits} to 2\*\*{bits} - 1, .* {math.prod(shape)} pixels .* got "
    )
    for dtype, bound in ((np.int64, 2**bits - 1), (np.int64, -(2**bits)), (np.uint64, 2**bits - 1)):
        masks = np.full((2, *shape), bound, dtype)
        found = fastiou.thresholded_iou(masks, masks, smooth=0)
        np.testing.assert_array_equal(found, reference.thresholded_iou(masks, masks, 0))
        assert found.tolist() == [1, 1]
        beyond = bound + (1 if bound > 0 else -1)
        if not np.iinfo(dtype).min <= beyond <= np.iinfo(dtype).max:
            continue
        too_large = masks.copy()
        too_large[1, -1, -1] = beyond
        with pytest.raises(ValueError, match=rf"^outputs must hold {accepted}{beyond}$"):
            fastiou.thresholded_iou(too_large, masks)
        with pytest.raises(ValueError, match=rf"^labels must hold {accepted}{beyond}$"):
            fastiou.thresholded_iou(masks, too_large)


@pytest.mark.parametrize(("dtype", "pixels"), [(np.int32, 2**32), (np.uint32, 2**31)])
def test_values_of_32_bits_fit_images_of_gigabytes(dtype: type, pixels: int) -> None:
    """Their sums are not made: only what is asked before."""
    largest = np.array(np.iinfo(dtype).max, dtype)
    image = np.broadcast_to(largest, (1, 2, pixels // 2))
    soft._check_sums(Input("outputs", image, image, None, "numpy"))


@pytest.mark.parametrize("layout", list(layouts(np.zeros((1, 1)))))
def test_thresholded_iou_of_any_layout(rng: np.random.Generator, layout: str) -> None:
    x = rng.random((6, 70)) < 0.5
    y = x ^ (rng.random(x.shape) < 0.2)
    there1, there2 = (
        layouts(mask)[layout].reshape(6, 7, 10)
        if layout != "strided"
        else layouts(mask)[layout][:, :, None]
        for mask in (x, y)
    )
    found = fastiou.thresholded_iou(there1, there2)
    np.testing.assert_array_equal(
        found, reference.thresholded_iou(x.reshape(6, 7, 10), y.reshape(6, 7, 10))
    )


def test_thresholded_iou_of_large_and_of_no_masks(rng: np.random.Generator) -> None:
    x = rng.random((3, 1, 700, 900)) < 0.5
    y = x[:, 0] ^ (rng.random((3, 700, 900)) < [[[0.05]], [[0.1]], [[0.2]]])
    found = fastiou.thresholded_iou(x, y)
    np.testing.assert_array_equal(found, reference.thresholded_iou(x[:, 0], y))
    assert len(set(found.tolist())) == 3
    assert fastiou.thresholded_iou(x[:0], y[:0]).shape == (0,)
    assert fastiou.thresholded_iou(x[:, :, :0], y[:, :0]).tolist() == [1, 1, 1]
    blank = np.zeros((2, 4, 4), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fastiou.thresholded_iou(blank, blank, smooth=0).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("outputs", "labels", "error", "message"),
    [
        (np.zeros((1, 2, 2)), None, TypeError, "outputs must hold .* float64; threshold first"),
        (np.zeros((2, 2), bool), None, ValueError, r"outputs must have the shape .* got \(2, 2\)"),
        (np.zeros((1, 3, 2, 2), int), None, ValueError, r"outputs .* got \(1, 3, 2, 2\)"),
        (
            np.zeros((1, 2, 2), int),
            np.zeros((2, 2, 2), int),
            ValueError,
            r"same shape, got \(1, 2, 2\) and \(2, 2, 2\)",
        ),
        (
            np.zeros((1, 2, 2), np.uint64),
            np.zeros((1, 2, 2), np.int8),
            TypeError,
            "must have an integer type in common, got uint64 and int8",
        ),
    ],
)
def test_bad_masks(outputs: Any, labels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastiou.thresholded_iou(outputs, outputs if labels is None else labels)


# ---- iou_grade ---------------------------------------------------------------------------------


def test_grades() -> None:
    assert fastiou.iou_grade(0.951) == "excellent"
    assert fastiou.iou_grade(0.95) == fastiou.iou_grade(np.float64(0.71)) == "good"
    assert fastiou.iou_grade(0.7) == fastiou.iou_grade(-1) == fastiou.iou_grade(0) == "poor"
    assert type(fastiou.iou_grade(np.float32(1))) is str
    found = fastiou.iou_grade([[1, 0.9], [0.7, 0.2]])
    assert found.tolist() == [["excellent", "good"], ["poor", "poor"]]
    assert fastiou.iou_grade(np.empty((0, 2))).shape == (0, 2)
    assert fastiou.iou_grade(0.6, excellent=0.8, good=0.5) == "good"
    assert fastiou.iou_grade(0.6, excellent=0.5, good=0.5) == "excellent"
    # 0.7 is no float32, and the nearest one is above it in float32's own comparison.
    single = np.array([0.7, np.nextafter(np.float32(0.7), np.float32(0))], np.float32)
    assert fastiou.iou_grade(single).tolist() == [
        "good" if float(score) > 0.7 else "poor" for score in single
    ]


@pytest.mark.parametrize(
    ("iou", "options", "error", "message"),
    [
        (math.nan, {}, ValueError, "iou must hold numbers, got NaN; a NaN is no score"),
        ([0, math.nan], {}, ValueError, "iou must hold numbers, got NaN at 1"),
        ([[0, math.nan]], {}, ValueError, r"got NaN at \(0, 1\)"),
        ("high", {}, TypeError, "iou must hold booleans, integers, or floats"),
        (1, {"good": 0.96}, ValueError, "good must not be above excellent, got 0.96 and 0.95"),
        (1, {"good": math.nan}, ValueError, "good must be a finite number, got nan"),
        (1, {"excellent": "1"}, TypeError, "excellent must be a finite number, got '1'"),
    ],
)
def test_bad_grades(
    iou: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fastiou.iou_grade(iou, **options)


# ---- array libraries ---------------------------------------------------------------------------


def test_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    target, pred = (torch.tensor(image) for image in rng.integers(0, 3, (2, 4, 9, 11)))
    for function in (fastiou.label_overlap, fastiou.label_iou):
        for part, expected in zip(
            function(target, pred.int()), function(target.numpy(), pred.numpy()), strict=True
        ):
            assert isinstance(part, torch.Tensor)
            np.testing.assert_array_equal(part.numpy(), expected)
    matrix = fastiou.confusion_matrix(target, pred, 3)
    assert isinstance(matrix, torch.Tensor)
    assert matrix.dtype == torch.int64
    expected = fastiou.mean_iou(target.numpy(), pred.numpy(), 3)
    for found in (fastiou.mean_iou(matrix), fastiou.mean_iou(target, pred, 3)):
        assert isinstance(found.per_class, torch.Tensor)
        np.testing.assert_array_equal(found.per_class.numpy(), expected.per_class)
        assert found.mean == expected.mean
    masks = (target > 0)[:, None], pred > 0
    found = fastiou.thresholded_iou(*masks)
    assert found.dtype == torch.float64
    both, either = masks[0].squeeze(1) & masks[1], masks[0].squeeze(1) | masks[1]
    iou = (both.double().sum((1, 2)) + 1e-6) / (either.double().sum((1, 2)) + 1e-6)
    assert torch.equal(found, torch.clamp(20 * (iou - 0.5), 0, 10).ceil() / 10)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.uint8):
        x, y = target.to(dtype), pred.to(dtype)
        score = fastiou.soft_iou(x, y)
        assert isinstance(score, torch.Tensor)
        assert (score.shape, score.dtype) == ((), torch.float64)
        assert score.item() == fastiou.soft_iou(target.numpy(), pred.numpy())
        assert fastiou.soft_iou(x, y.numpy() if dtype is torch.uint8 else y, axis=0).shape == (
            9, 11,
        )  # fmt: skip
    assert fastiou.iou_grade(torch.tensor([0.99, 0.1])).tolist() == ["excellent", "poor"]
    with pytest.raises(TypeError, match=r"inputs requires grad.*inputs.detach\(\)"):
        fastiou.soft_iou(torch.ones(2, requires_grad=True), torch.ones(2))
    with pytest.raises(TypeError, match=r"labels must hold .* threshold first"):
        fastiou.thresholded_iou(target, target.float())


def test_results_are_contiguous(rng: np.random.Generator) -> None:
    """As other libraries need arrays that they share."""
    image = rng.integers(0, 3, (9, 11))
    for part in (*fastiou.label_overlap(image, image), *fastiou.label_iou(image, image)):
        assert part.flags.c_contiguous


def test_jax(rng: np.random.Generator) -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    image = jax.numpy.asarray(rng.integers(0, 3, (9, 11)), dtype="int32")
    for part in fastiou.label_overlap(image, image):
        assert isinstance(part, jax.Array)
    assert isinstance(fastiou.soft_iou(image.astype("bfloat16"), image), jax.Array)


def test_classes_that_are_none_among_booleans() -> None:
    with pytest.raises(ValueError, match=r"^pred must hold classes from 0 to 1, got 5"):
        fastiou.confusion_matrix([True, False], [5, 0], 2, ignore_index=2**64 - 1)
