"""What relations have in common: results of one kind, two formats, crowds, and progress."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import random_boxes

import fastiou
from fastiou import reference

Rng = np.random.Generator

A = np.array([[0.0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 10, 10]])
B = np.array([[0.0, 0, 4, 4], [50, 50, 60, 60]])
LABELS = np.array([[1, 1, 0], [2, 2, 2]])
SEGMENTS = [{"id": 1, "category_id": 1}, {"id": 2, "category_id": 2}]
DETECTIONS = {"boxes": A, "labels": [1, 1, 2], "image_ids": [1, 1, 1], "scores": [0.5, 0.6, 0.7]}
TRACKS = [[1, 7, 0, 0, 10, 20], [2, 7, 2, 0, 10, 20]]

#: Each kind of result: how one is made, and the columns of its data frame.
RESULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "Pairs": (lambda: fastiou.pairs(A, B), "rows cols values"),
    "TopK": (lambda: fastiou.topk(A, B, 2), "rows cols values"),
    "Match": (lambda: fastiou.match(A, B), "rows cols values"),
    "LabelOverlap": (lambda: fastiou.label_overlap(LABELS, LABELS), "rows cols values"),
    "SoftNMS": (lambda: fastiou.soft_nms(A, [0.5, 0.6, 0.7]), "indices scores"),
    "MeanIoU": (lambda: fastiou.mean_iou([[3, 1], [0, 4]]), "class iou"),
    "InstanceMatching": (
        lambda: fastiou.instance_matching(LABELS, LABELS),
        "thresh fp tp fn precision recall accuracy f1 mean_true_score mean_matched_score "
        "panoptic_quality",
    ),
    "PanopticQuality": (
        lambda: fastiou.panoptic_quality(LABELS, LABELS, SEGMENTS, SEGMENTS),
        "category pq sq rq tp fp fn iou name isthing",
    ),
    "DetectionResult": (
        lambda: fastiou.average_precision(DETECTIONS, DETECTIONS),
        "label name AP AP50",
    ),
    "TrackingMetrics": (lambda: fastiou.tracking_metrics(TRACKS, TRACKS), "sequence HOTA"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_of_one_kind(name: str) -> None:
    """Frozen, picklable, with columns of one length and data frames of them."""
    make, names = RESULTS[name]
    result = make()
    assert type(result).__name__ == name
    columns = result.columns()
    assert " ".join(columns).startswith(names)
    assert len({len(column) for column in columns.values()}) == 1
    assert all(isinstance(column, np.ndarray) for column in columns.values())
    field = next(iter(getattr(result, "_fields", ()) or vars(result)))
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        setattr(result, field, 1)
    again = pickle.loads(pickle.dumps(result))
    for key, column in again.columns().items():
        np.testing.assert_array_equal(column, columns[key])
    pandas = pytest.importorskip("pandas", exc_type=ImportError)
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame) == list(columns)


@pytest.mark.parametrize("name", ["Pairs", "TopK", "Match", "LabelOverlap", "SoftNMS"])
def test_unpacking_and_to_numpy_agree(name: str) -> None:
    result = RESULTS[name][0]()
    arrays = result.to_numpy()
    if name != "TopK":  # whose rows are filled up
        for part, array in zip(result, arrays, strict=True):
            np.testing.assert_array_equal(part, array)
    for column, array in zip(result.columns().values(), arrays, strict=False):
        np.testing.assert_array_equal(column, array)


@pytest.mark.parametrize("name", ["Pairs", "TopK", "Match"])
def test_sparse_matrices_have_the_sizes_of_the_sets(name: str) -> None:
    matrix = RESULTS[name][0]().to_scipy()
    expected = np.where(reference.box_iou(A, B) >= 0.5, reference.box_iou(A, B), 0)
    if name == "Match":
        expected[1] = 0
    np.testing.assert_array_equal(matrix.toarray(), expected)


def test_a_match_of_nothing_has_a_shape() -> None:
    assert fastiou.match(A[:0], B).shape == (0, 2)
    assert fastiou.match(A[:0], B[:0]).to_scipy().shape == (0, 0)


def test_lowered_scores_of_a_table_have_its_keys() -> None:
    table = fastiou.BoxTable(
        A, scores=[0.5, 0.6, 0.7], keys={"image": ["a", "b", "a"]}, ids=[4, 5, 6]
    )
    columns = fastiou.soft_nms(table).columns()
    assert {name: column.tolist() for name, column in columns.items()} == {
        "indices": [2, 1, 0],
        "scores": [0.7, 0.6, 0.5],
        "image": ["a", "b", "a"],
        "id": [6, 5, 4],
    }


# ---- two formats ---------------------------------------------------------------------------------

RELATIONS: dict[str, Callable[..., Any]] = {
    "box_iou": fastiou.box_iou,
    "pairs": fastiou.pairs,
    "topk": fastiou.topk,
    "match": fastiou.match,
}


def parts_of(result: Any) -> list[Any]:
    return [result] if isinstance(result, np.ndarray) else list(result)


@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.int32])
def test_two_formats_are_converted_to_one(rng: Rng, name: str, dtype: Any) -> None:
    function = RELATIONS[name]
    a, b = (np.rint(random_boxes(rng, 40) * 10).astype(dtype) for _ in range(2))
    expected = parts_of(function(a.astype(np.float64), b.astype(np.float64)))
    given = fastiou.box_convert(a, "xyxy", "xywh").astype(dtype)
    for part, wanted in zip(
        parts_of(function(given, b, fmt=("xywh", "xyxy"))), expected, strict=True
    ):
        np.testing.assert_array_equal(part, wanted)
    both = parts_of(function(given, given, fmt=("xywh", "xywh")))
    for part, wanted in zip(both, parts_of(function(given, given, fmt="xywh")), strict=True):
        np.testing.assert_array_equal(part, wanted)


def test_halves_in_two_formats_keep_their_precision() -> None:
    a = np.array([[1000.0, 0, 3, 8]], np.float16)
    scores = fastiou.box_iou(a, [[1000.0, 0, 1003, 8]], fmt=("xywh", "xyxy"))
    assert scores == 1


def test_tensors_in_two_formats_stay_tensors() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    scores = fastiou.box_iou(
        torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 1, 2, 2]]), fmt=("xyxy", "cxcywh")
    )
    assert isinstance(scores, torch.Tensor)
    assert scores.item() == 1


@pytest.mark.parametrize(
    ("formats", "words"),
    [
        (("xyxy",), "fmt must be one format, or a tuple of two, those of a and b, got"),
        (("xyxy", "xywh", "xyxy"), "fmt must be one format, or a tuple of two"),
        (("xyxy", "xyhw"), "fmt must be one of"),
        (("xyxy", 5), "fmt must be one of"),
        (("xyxy", "cxcywhr"), "fmt must be two formats of one geometry, got 'xyxy' for a and"),
    ],
)
def test_two_formats_that_are_none(formats: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fastiou.pairs(A, B, fmt=formats)


def test_two_formats_where_they_cannot_be() -> None:
    with pytest.raises(ValueError, match="fmt must be one format where there is one set"):
        fastiou.pairs(A, fmt=("xyxy", "xywh"))
    with pytest.raises(ValueError, match="b is a table, which tells its own"):
        fastiou.pairs(A, fastiou.BoxTable(B), fmt=("xyxy", "xywh"))
    with pytest.raises(ValueError, match="a must have no coordinates beyond 2⁵¹"):
        fastiou.pairs(np.full((1, 4), 2**60), B, fmt=("xywh", "xyxy"))
    with pytest.raises((TypeError, ValueError), match=r"^a "):
        fastiou.pairs(np.ones((1, 5)), B, fmt=("xywh", "xyxy"))


# ---- crowds --------------------------------------------------------------------------------------


def test_crowds_in_pairs_and_topk(rng: Rng) -> None:
    a, b = random_boxes(rng, 60), random_boxes(rng, 50)
    crowd = rng.random(50) < 0.3
    scores = fastiou.box_iou(a, b, iscrowd=crowd)
    found = fastiou.pairs(a, b, 0.2, iscrowd=crowd)
    rows, cols = np.nonzero(scores >= 0.2)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.cols, cols)
    np.testing.assert_array_equal(found.values, scores[rows, cols])
    values, indices = fastiou.topk(a, b, 3, iscrowd=crowd)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    wanted = np.take_along_axis(scores, order, axis=1)
    np.testing.assert_array_equal(values, wanted)
    np.testing.assert_array_equal(indices, np.where(wanted > 0, order, -1))


def test_no_crowds_are_no_other_result() -> None:
    none = np.zeros(len(B), np.bool_)
    for function in (fastiou.pairs, fastiou.topk):
        for part, wanted in zip(function(A, B, iscrowd=none), function(A, B), strict=True):
            np.testing.assert_array_equal(part, wanted)


@pytest.mark.parametrize("function", [fastiou.pairs, fastiou.topk])
def test_crowds_that_are_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="iscrowd must be 2 booleans, one for each of b"):
        function(A, B, iscrowd=[True])
    with pytest.raises(ValueError, match="iscrowd must be None with metric='intersection'"):
        function(A, B, iscrowd=[True, False], metric="intersection")
    with pytest.raises(ValueError, match="iscrowd must be None without b"):
        fastiou.pairs(A, iscrowd=[True, False, True])


# ---- progress ------------------------------------------------------------------------------------

PROGRESSING: dict[str, Callable[..., Any]] = {
    "pairs": lambda a, **options: fastiou.pairs(a, a, **options),
    "pairs with crowds": lambda a, **options: fastiou.pairs(
        a, a, iscrowd=np.arange(len(a)) % 2, **options
    ),
    "topk": lambda a, **options: fastiou.topk(a, a, **options),
    "topk with crowds": lambda a, **options: fastiou.topk(
        a, a, iscrowd=np.arange(len(a)) % 2, **options
    ),
    "match": lambda a, **options: fastiou.match(a, a, **options),
    "nms": lambda a, **options: fastiou.nms(a, np.arange(len(a)), **options),
    "soft_nms": lambda a, **options: fastiou.soft_nms(a, np.arange(len(a)), **options),
}


@pytest.mark.parametrize("name", PROGRESSING)
def test_progress_rises_to_the_whole(
    rng: Rng, name: str, fixed_steps: Callable[[int], None]
) -> None:
    boxes = random_boxes(rng, 700)
    expected = PROGRESSING[name](boxes)
    fixed_steps(20_000)
    told: list[tuple[int, int]] = []
    found = PROGRESSING[name](boxes, progress=lambda done, total: told.append((done, total)))
    shares = [done / total for done, total in told]
    assert shares
    assert shares == sorted(shares)
    assert shares[-1] == 1
    for part, wanted in zip(parts_of(found), parts_of(expected), strict=True):
        np.testing.assert_array_equal(part, wanted)


@pytest.mark.parametrize("name", ["topk", "match", "nms", "soft_nms"])
def test_progress_must_be_a_function(name: str) -> None:
    with pytest.raises(TypeError, match="progress must be a bool or a function"):
        PROGRESSING[name](A, progress=5)
