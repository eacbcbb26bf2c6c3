"""The functions of pycocotools.mask, against pycocotools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from compat_for_tests import signature_of

from fastiou.compat.pycocotools import mask as own


@pytest.fixture
def peer() -> Any:
    return pytest.importorskip("pycocotools.mask", exc_type=ImportError)


def masks_of(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    dense = rng.random((count, height, width)) < rng.choice([0.05, 0.5, 0.9])
    left, top = (int(rng.integers(0, side)) for side in (width, height))
    dense[:, :top] = False
    dense[:, :, :left] = False
    return np.asfortranarray(dense.transpose(1, 2, 0).astype(np.uint8))


def test_names_and_arguments(peer: Any) -> None:
    assert set(own.__all__) == {name for name in dir(peer) if not name.startswith("_")} - {
        "_mask"
    } - set(dir(__builtins__))
    for name in own.__all__:
        assert signature_of(getattr(own, name)) == signature_of(getattr(peer, name)), name


def test_masks(peer: Any, cases: Iterator[np.random.Generator]) -> None:
    for rng in cases:
        count, height, width = (int(number) for number in rng.integers([0, 1, 1], [5, 12, 12]))
        dense = masks_of(rng, count, height, width)
        runs = peer.encode(dense)
        assert own.encode(dense) == runs
        assert own.encode(np.ascontiguousarray(dense) * 7) == runs
        for function in ("area", "toBbox"):
            actual, expected = getattr(own, function)(runs), getattr(peer, function)(runs)
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected)
        assert own.merge(runs) == peer.merge(runs)
        assert own.merge(runs, True) == peer.merge(runs, True)
        other = peer.encode(masks_of(rng, int(rng.integers(0, 4)), height, width))
        crowd = (rng.random(len(other)) < 0.4).astype(int).tolist()
        actual, expected = own.iou(runs, other, crowd), peer.iou(runs, other, crowd)
        assert type(actual) is type(expected)
        np.testing.assert_array_equal(actual, expected)
        if not count:
            continue
        decoded = own.decode(runs)
        assert decoded.dtype == np.uint8
        assert decoded.flags.f_contiguous
        np.testing.assert_array_equal(decoded, dense)
        np.testing.assert_array_equal(own.decode(runs[0]), dense[:, :, 0])
        assert own.encode(dense[:, :, 0]) == runs[0]
        assert own.area(runs[0]) == peer.area(runs[0])
        assert type(own.area(runs[0])) is np.uint32
        np.testing.assert_array_equal(own.toBbox(runs[0]), peer.toBbox(runs[0]))


def test_boxes_and_polygons(peer: Any, cases: Iterator[np.random.Generator]) -> None:
    for rng in cases:
        height, width = rng.integers(1, 40, 2).tolist()
        boxes = rng.uniform(-5, 40, (int(rng.integers(1, 4)), 4))
        boxes[:, 2:] = np.abs(boxes[:, 2:]) / 2
        boxes = np.round(boxes) if rng.random() < 0.5 else boxes
        assert own.frPyObjects(boxes, height, width) == peer.frPyObjects(boxes, height, width)
        rings = [
            rng.uniform(-5, 40, int(rng.choice([5, 6, 7, 8, 20]))).tolist()
            for _ in range(int(rng.integers(1, 4)))
        ]
        assert own.frPyObjects(rings, height, width) == peer.frPyObjects(rings, height, width)
        counts = np.diff([0, *np.sort(rng.integers(0, 50, 4)), 50]).tolist()
        entry = {"size": [5, 10], "counts": counts}
        assert own.frPyObjects([entry], 5, 10) == peer.frPyObjects([entry], 5, 10)
        assert own.frPyObjects(entry, 5, 10) == peer.frPyObjects(entry, 5, 10)
        found, true = boxes, np.abs(rng.uniform(0, 40, (int(rng.integers(0, 4)), 4)))
        crowd = rng.integers(0, 2, len(true))
        for pair in ((found, true), (found.tolist(), true.tolist())):
            actual, expected = own.iou(*pair, crowd), peer.iou(*pair, crowd)
            assert type(actual) is type(expected)
            np.testing.assert_array_equal(actual, expected)


def test_masks_of_several_sizes(peer: Any) -> None:
    runs = [peer.encode(np.ones(size, np.uint8, order="F")) for size in ((3, 4), (2, 2), (3, 4))]
    assert own.area(runs).tolist() == peer.area(runs).tolist() == [12, 4, 12]
    np.testing.assert_array_equal(own.toBbox(runs), peer.toBbox(runs))
    # pycocotools scores -1, merges to nothing, and decodes to memory of others.
    for call in (lambda: own.iou(runs[:1], runs[1:2], [0]), lambda: own.merge(runs)):
        with pytest.raises(ValueError, match="must have one size"):
            call()
    with pytest.raises(ValueError, match="must have one size"):
        own.decode(runs)


def test_what_pycocotools_means_to_take() -> None:
    box, ring = [0, 0, 3, 3], [0, 0, 3, 0, 3, 3, 0, 3]
    expected = own.frPyObjects([ring], 5, 6)
    assert own.frPyObjects([box], 5, 6) == expected
    assert own.frPyObjects(box, 5, 6) == own.frPyObjects(ring, 5, 6) == expected[0]
    assert own.frPyObjects(expected, 5, 6) == expected
    assert own.frPyObjects([], 5, 6) == []
    assert own.decode([]).shape == (0, 0, 0)
    assert own.merge([]) == {"size": [0, 0], "counts": b""}
    assert own.encode(np.ones((2, 2, 0))) == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: own.encode(np.ones(3)), ValueError, "bimask must have the shape"),
        (lambda: own.frPyObjects(5, 3, 3), TypeError, "pyobj must be boxes"),
        (lambda: own.iou({"size": [1, 1], "counts": b"01"}, [], []), TypeError, "pass \\[dt\\]"),
        (lambda: own.iou([[0, 0, 1, 1]], [[0, 0, 1, 1]], []), ValueError, "length of gt, 1, got 0"),
        (lambda: own.iou([[0, 0, 1]], [[0, 0, 1, 1]], [0]), ValueError, "dt must be boxes"),
        (
            lambda: own.iou([{"size": [1, 1], "counts": b"01"}], [[0, 0, 1, 1]], [0]),
            TypeError,
            "must both be run lengths, or both be boxes",
        ),
        (
            lambda: own.decode({"size": [3, 3], "counts": b"01"}),
            ValueError,
            "sum to 1, but size \\(3, 3\\) has 9 pixels",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        call()
