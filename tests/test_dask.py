"""`fastiou.dask`: the answers of one machine, bit for bit, however sets are cut."""

from __future__ import annotations

import doctest
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
import pytest
from boxes_for_tests import Array

import fastiou


@pytest.fixture(autouse=True)
def dask() -> Iterator[Any]:
    """Dask, computing in this thread; the tests are skipped where it is not installed."""
    for name in ("dask.array", "dask.dataframe"):
        pytest.importorskip(name, exc_type=ImportError)
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield dask


@pytest.fixture
def fd() -> Any:
    import fastiou.dask

    return fastiou.dask


@pytest.fixture
def da() -> Any:
    import dask.array

    return dask.array


@pytest.fixture
def dd() -> Any:
    import dask.dataframe

    return dask.dataframe


def scattered(rng: np.random.Generator, count: int) -> Array:
    """Boxes all over the place: one over all of it, and some with a NaN."""
    corners = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corners, corners + rng.exponential(5, (count, 2))], axis=1)
    boxes[0] = -10, -10, 200, 200
    boxes[1::29, 2] = np.nan
    return boxes.astype(np.float32)


@pytest.fixture
def two(rng: np.random.Generator, da: Any) -> tuple[Array, Array, Any, Any]:
    """Two sets, and both in ragged chunks, one of which is empty."""
    a, b = scattered(rng, 400), scattered(rng, 300)
    b[50:100] = a[50:100]
    cut = da.from_array(a, chunks=((7, 150, 0, 243), (2, 2)))
    return a, b, cut, da.from_array(b, chunks=((90, 90, 120), 4))


def assert_same(actual: Any, expected: Any) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert isinstance(one, np.ndarray)
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


def unknown(array: Any, frames: Any) -> Any:
    """An array with chunks of sizes that nobody knows, as a data frame makes them."""
    return frames.from_dask_array(array).to_dask_array()


# ---- relations ---------------------------------------------------------------------------------


def test_dense_has_the_chunks_of_both(two: Any, fd: Any, da: Any, dd: Any) -> None:
    a, b, cut_a, cut_b = two
    scores = fd.box_iou(cut_a, cut_b)
    assert scores.chunks == (cut_a.chunks[0], cut_b.chunks[0])
    assert scores.dtype == np.float32
    assert_same([scores.compute()], [fastiou.box_iou(a, b)])
    assert_same([fd.box_iou(unknown(cut_a, dd), b).compute()], [fastiou.box_iou(a, b)])
    aligned = fd.box_iou(cut_a[:300], cut_b, aligned=True)
    assert_same([aligned.compute()], [fastiou.box_iou(a[:300], b, aligned=True)])


@pytest.mark.parametrize("parts", [None, 1, 9])
def test_pairs(two: Any, fd: Any, parts: int | None) -> None:
    a, b, cut_a, cut_b = two
    found = fd.pairs(cut_a, cut_b, 0.05, parts=parts)
    expected = fastiou.pairs(a, b, 0.05)
    assert found.compute().shape == expected.shape
    assert_same(found.compute(), expected)
    assert found.count().compute() == len(expected)
    assert_same(
        fd.pairs(cut_a, threshold=0.05, parts=parts).compute(), fastiou.pairs(a, None, 0.05)
    )


def test_pairs_of_unknown_sizes_and_in_partitions(two: Any, fd: Any, dd: Any) -> None:
    a, b, cut_a, cut_b = two
    found = fd.pairs(unknown(cut_a, dd), cut_b, 0.05)
    frame = found.to_dask_dataframe()
    expected = fastiou.pairs(a, b, 0.05)
    assert frame.npartitions == 4
    pd.testing.assert_frame_equal(
        frame.compute().reset_index(drop=True), expected.to_pandas(), check_exact=True
    )
    best = found.reduce(lambda rows, cols, values: values.max(initial=0), max)
    assert best.compute() == expected.values.max()


@pytest.mark.parametrize("k", [1, 4])
def test_topk(two: Any, fd: Any, dask: Any, dd: Any, k: int) -> None:
    a, b, cut_a, cut_b = two
    found = fd.topk(cut_a, cut_b, k, parts=6)
    assert found.values.chunks == (cut_a.chunks[0], (k,))
    assert_same(dask.compute(*found), fastiou.topk(a, b, k))
    assert_same(dask.compute(*fd.topk(unknown(cut_a, dd), b, k)), fastiou.topk(a, b, k))


@pytest.fixture
def keyed(rng: np.random.Generator, two: Any, da: Any) -> tuple[Any, ...]:
    """Groups of both sets, and scores of the first: with many that are equal."""
    a, b, *_ = two
    groups = rng.integers(-3, 12, len(a)), rng.integers(-3, 12, len(b))
    return *groups, rng.integers(0, 20, len(a)) / 20


def test_groups_are_brought_together(two: Any, keyed: Any, fd: Any, da: Any, dask: Any) -> None:
    a, b, cut_a, cut_b = two
    own, other, _ = keyed
    groups = da.from_array(own, chunks=100), other
    expected = fastiou.pairs(a, b, 0.05, groups=(own, other))
    assert len(expected)
    assert_same(fd.pairs(cut_a, cut_b, 0.05, groups=groups).compute(), expected)
    # Two keys, of which one is a name.
    names = np.array(["x", "y", "ß"])[np.arange(len(a)) % 3]
    several = (own, names), (other, names[: len(b)])
    expected = fastiou.pairs(a, b, 0.05, groups=several)
    assert_same(fd.pairs(cut_a, cut_b, 0.05, groups=several).compute(), expected)
    expected = fastiou.topk(a, b, 2, groups=(own, other))
    assert_same(dask.compute(*fd.topk(cut_a, cut_b, 2, groups=groups)), expected)


@pytest.mark.parametrize("options", [{}, {"max_output": 3, "max_total": 20}, {"method": "linear"}])
def test_nms(two: Any, keyed: Any, fd: Any, da: Any, options: Any) -> None:
    a, _, cut_a, _ = two
    groups, _, scores = keyed
    scores = scores.astype(np.float32)
    options = {"score_threshold": 0.1, **options}
    expected = fastiou.nms(a, scores, 0.3, groups=groups, **options)
    cut = da.from_array(scores, chunks=77)
    assert_same([fd.nms(cut_a, cut, 0.3, groups=groups, **options).compute()], [expected])


def test_match(two: Any, keyed: Any, fd: Any) -> None:
    a, b, cut_a, cut_b = two
    own, other, scores = keyed
    expected = fastiou.match(a, b, 0.1, groups=(own, other))
    assert len(expected)
    assert_same(fd.match(cut_a, cut_b, 0.1, groups=(own, other)).compute(), expected)
    options = {"method": "coco", "scores": scores, "iscrowd": other < 0, "groups": (own, other)}
    expected = fastiou.match(a, b, 0.1, **options)
    assert_same(fd.match(cut_a, cut_b, 0.1, **options).compute(), expected)


@pytest.mark.thorough
@pytest.mark.parametrize("fmt", ["xywh", "cxcywhr", "xywhr", "xyxyxyxy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_formats(rng: np.random.Generator, fd: Any, da: Any, fmt: str, dtype: str) -> None:
    sides = {"xywh": 4, "xyxyxyxy": 8}.get(fmt, 5)
    boxes = rng.uniform(1, 9, (600, sides)).astype(dtype)
    boxes[:, :2] *= 20
    if sides == 8:
        x, y, w, h = boxes[:, :4].T
        boxes = np.stack([x, y, x + w, y, x + w, y + h, x, y + h], axis=1)
    found = fd.pairs(da.from_array(boxes, chunks=(170, -1)), threshold=0.1, fmt=fmt, parts=9)
    expected = fastiou.pairs(boxes, None, 0.1, fmt=fmt)
    assert len(expected) > 50
    assert_same(found.compute(), expected)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["int16", "int64", "uint64"])
def test_integers(rng: np.random.Generator, fd: Any, da: Any, dtype: str) -> None:
    corners = rng.integers(0, 300, (500, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 30, (500, 2))], axis=1).astype(dtype)
    if dtype == "uint64":  # as one set they are too far apart for float64
        boxes[250:] += np.uint64(2**63)
    cut = da.from_array(boxes, chunks=(100, 4))
    expected = fastiou.pairs(boxes, None, 0.1)
    assert_same(fd.pairs(cut, threshold=0.1).compute(), expected)


@pytest.mark.thorough
@pytest.mark.parametrize("metric", ["giou", "diou", "intersection"])
def test_metrics(two: Any, fd: Any, metric: str) -> None:
    a, b, cut_a, cut_b = two
    found = fd.pairs(cut_a, cut_b, 0.05, metric=metric, parts=4)
    assert_same(found.compute(), fastiou.pairs(a, b, 0.05, metric=metric))
    expected = fastiou.box_iou(a, b, metric=metric)
    assert_same([fd.box_iou(cut_a, cut_b, metric=metric).compute()], [expected])


# ---- data frames -------------------------------------------------------------------------------


def frame_of(boxes: Array, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({**dict(zip(("x1", "y1", "x2", "y2"), boxes.T, strict=True)), **columns})


def test_data_frames_bring_keys_and_scores(two: Any, keyed: Any, fd: Any, dd: Any) -> None:
    a, b, *_ = two
    own, other, scores = keyed
    images = np.array([f"{number}.jpg" for number in range(20)])
    one = frame_of(a, image_id=images[own + 3], score=scores)
    two_ = frame_of(b, file_name=images[other + 3], category=other)
    cut = dd.from_pandas(one, npartitions=4), dd.from_pandas(two_, npartitions=3)
    with pytest.warns(UserWarning, match="^only b has category: all are compared"):
        expected = fastiou.pairs(one, two_, 0.05)
    assert_same(fd.pairs(*cut, 0.05).compute(), expected)
    assert_same([fd.nms(cut[0]).compute()], [fastiou.nms(one)])
    with pytest.warns(UserWarning, match="^only b has category: all are compared"):
        expected = fastiou.match(one, two_, 0.1, method="coco")
    assert_same(fd.match(*cut, 0.1, method="coco").compute(), expected)


def test_frames_of_two_layouts(two: Any, fd: Any, dd: Any) -> None:
    a, b, *_ = two
    other = fastiou.box_convert(b, "xyxy", "xywh")
    one = frame_of(a)
    two_ = pd.DataFrame(dict(zip(("x", "y", "width", "height"), other.T, strict=True)))
    cut = dd.from_pandas(one, npartitions=3), dd.from_pandas(two_, npartitions=2)
    assert_same(fd.pairs(*cut, 0.05).compute(), fastiou.pairs(one, two_, 0.05))


# ---- what is refused ---------------------------------------------------------------------------

Wrong = Callable[[Any, Any, Any, Any], Any]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda fd, a, b, _: fd.pairs(a, b, 1.5), "threshold must be greater than 0"),
        (lambda fd, a, b, _: fd.pairs(a, b, metric="iuo"), "metric must be one of"),
        (lambda fd, a, b, _: fd.pairs(a, b, fmt="yxyx"), "fmt must be one of"),
        (lambda fd, a, b, _: fd.pairs(a[:, :3], b), r"a must have the shape \(N, 4\)"),
        (lambda fd, a, b, _: fd.pairs("a.csv", b), "a must be an array or data frame of Dask"),
        (lambda fd, a, b, _: fd.pairs(a, b, parts=0), "parts must be an integer of at least 1"),
        (lambda fd, a, b, _: fd.pairs(a, b, groups=[1]), "groups must be a tuple of two"),
        (lambda fd, a, b, _: fd.topk(a, b, 0), "k must be an integer of at least 1"),
        (lambda fd, a, b, _: fd.nms(a, np.ones(400)), "groups must be given: nms"),
        (lambda fd, a, b, _: fd.match(a, b), "groups must be given: match"),
        (lambda fd, a, b, _: fd.nms(a, groups=np.ones(400)), "scores must be given"),
        (lambda fd, a, b, _: fd.nms(a, np.ones(3), groups=np.ones(400)), "scores must be 400, one"),
        (lambda fd, a, b, _: fd.match(a, b, method="best"), "method must be one of"),
        (lambda fd, a, b, _: fd.match(a, b, iscrowd=np.ones(300)), "iscrowd must be None with"),
        (
            lambda fd, a, b, dd: fd.nms(unknown(a, dd), np.ones(400), groups=a[:, 0]),
            "scores must be an array or column of Dask, since a has blocks of unknown size",
        ),
        (
            lambda fd, a, b, dd: fd.pairs(unknown(a, dd), groups=b[:, 0]),
            "groups must be cut as a, into 4 blocks, got 3",
        ),
        (
            lambda fd, a, b, dd: fd.box_iou(unknown(a, dd), a, aligned=True),
            "aligned=True needs chunks of known size",
        ),
        (lambda fd, a, b, _: fd.box_iou(a, b, aligned=True), "needs as many boxes1 as boxes2"),
        (lambda fd, a, b, _: fd.evaluate(int, [()]), "make must make an evaluator"),
        (lambda fd, a, b, _: fd.evaluate(fastiou.DetectionEvaluator, []), "updates must have some"),
    ],
)
def test_errors_come_before_any_task(
    two: Any, fd: Any, dd: Any, dask: Any, wrong: Wrong, words: str
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise AssertionError("something was computed")

    with dask.config.set(scheduler=none), pytest.raises((TypeError, ValueError), match=words):
        wrong(fd, *two[2:], dd)


def test_frames_that_do_not_go_together(two: Any, fd: Any, dd: Any) -> None:
    _, b, cut_a, _ = two
    keyed = dd.from_pandas(frame_of(b, image=np.ones(300)), npartitions=2)
    with pytest.raises(ValueError, match="only b has image, so nothing tells what may meet"):
        fd.pairs(cut_a, keyed)
    turned = pd.DataFrame(np.ones((9, 5)), columns=["cx", "cy", "w", "h", "angle"])
    with pytest.raises(ValueError, match="fmt must be given: the name angle in a tells no unit"):
        fd.pairs(dd.from_pandas(turned, npartitions=2))
    integers = dd.from_pandas(turned.astype(int), npartitions=2)
    with pytest.raises(TypeError, match="boxes as cxcywhr must be floats, got int64"):
        fd.pairs(integers, fmt="cxcywhr")


def test_numbers_that_cannot_be_name_their_block(two: Any, fd: Any, da: Any) -> None:
    a = two[0].copy()
    a[160] = np.inf
    with pytest.raises(ValueError, match=r"^block 1 of a: .*in row 60"):
        fd.pairs(da.from_array(a, chunks=(100, 4))).compute()


# ---- evaluation --------------------------------------------------------------------------------


def detections(rng: np.random.Generator, images: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Truth and detections of COCO's kind; images without either, with names of images."""
    truth = scattered(rng, 12 * images).astype(np.float64)
    truth = np.nan_to_num(truth, nan=500.0)
    found = truth + rng.normal(0, 0.5, truth.shape)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])
    names = np.array([f"{number:04}" for number in range(images)])
    columns = {"image_id": names[rng.integers(0, images, len(truth))]}
    labels = rng.integers(0, 5, len(truth))
    kept = rng.random(len(truth)) < 0.8
    scores = rng.integers(0, 50, len(truth)) / 50
    whole = frame_of(found, **columns, category_id=labels, score=scores)[kept]
    target = frame_of(
        truth, **columns, category_id=labels, iscrowd=(rng.random(len(truth)) < 0.05).astype(int)
    )
    return whole.sample(frac=1, random_state=3), target.sample(frac=1, random_state=4)


def same_state(one: Any, other: Any) -> None:
    assert one.as_dict() == other.as_dict()
    assert one.precision.tobytes() == other.precision.tobytes()


def test_average_precision(rng: np.random.Generator, fd: Any, dd: Any) -> None:
    preds, target = detections(rng, 40)
    cut = (
        dd.from_pandas(preds, npartitions=5, sort=False),
        dd.from_pandas(target, npartitions=3, sort=False),
    )
    expected = fastiou.average_precision(preds, target)
    assert 0.1 < expected.as_dict()["AP"] < 1
    same_state(fd.average_precision(*cut).compute(), expected)
    same_state(fd.average_precision(*cut, parts=13).compute(), expected)


def test_every_evaluator(rng: np.random.Generator, fd: Any) -> None:
    labels = [rng.integers(0, 6, (20, 20)) for _ in range(20)]
    images = [
        {"target": labels[n], "pred": labels[n] * (labels[n] != n % 5), "image": str(n)}
        for n in range(20)
    ]
    make: Any = functools.partial(fastiou.InstanceEvaluator, (0.5, 0.9))
    expected = make()
    for image in images:
        expected.update(**image)
    assert fd.evaluate(make, images).compute().as_dict() == expected.compute().as_dict()
    segments = [{"id": n, "category_id": n % 2} for n in range(1, 6)]
    given = [(image["target"], image["target"][::-1], segments, segments) for image in images]
    panoptic = fastiou.PanopticEvaluator()
    for one in given:
        panoptic.update(*one)
    found = fd.evaluate(fastiou.PanopticEvaluator, given).compute()
    assert repr(found) == repr(panoptic.compute())
    boxes = np.column_stack([np.arange(1, 9), np.full(8, 3), rng.uniform(1, 50, (8, 4))])
    sequences = [
        {"gt": boxes, "tracks": boxes + np.array([0, n % 2, n, 0, 0, 0]), "sequence": str(n)}
        for n in range(9)
    ]
    tracking = fastiou.TrackingEvaluator()
    for sequence in sequences:
        tracking.update(**sequence)
    scored = fd.evaluate(fastiou.TrackingEvaluator, sequences).compute()
    assert scored.summary() == tracking.compute().summary()


# ---- threads, workers and examples -------------------------------------------------------------


@pytest.mark.usefixtures("several_threads")
def test_tasks_compute_on_one_thread(two: Any, fd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastiou.blocks import joins

    seen = []
    real = joins.pairs

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(numba.get_num_threads())
        return real(*arguments, **options)

    monkeypatch.setattr(joins, "pairs", watched)
    before = numba.get_num_threads()
    fd.pairs(two[2], threshold=0.1, parts=2).compute()
    assert set(seen) == {1}
    assert numba.get_num_threads() == before


def test_examples_run() -> None:
    import fastiou.dask.evaluation
    import fastiou.dask.relations

    for module in (fastiou.dask.relations, fastiou.dask.evaluation):
        result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
        assert result.attempted > 3
        assert not result.failed
    page = Path(__file__).parents[1] / "docs" / "dask.md"
    if page.exists():  # not where the package is installed
        result = doctest.testfile(
            str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
        )
        assert result.attempted > 20
        assert not result.failed


def ends_once(block: Array, marker: str) -> Array:
    """The block; the first worker that is asked for it ends as if it were killed."""
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(9)
    return block


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # a worker that ends leaves what is told of it
def test_a_cluster_and_a_worker_that_is_killed(two: Any, fd: Any, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", exc_type=ImportError)
    a, b, cut_a, cut_b = two
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None,
            local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        found = fd.pairs(cut_a, cut_b, 0.05).compute(scheduler=client)
        assert_same(found, fastiou.pairs(a, b, 0.05))
        marker = str(tmp_path / "killed")
        dying = cut_a.map_blocks(ends_once, marker, dtype=a.dtype, meta=a[:0])
        found = fd.pairs(dying, cut_b, 0.05, parts=5).compute(scheduler=client)
        assert Path(marker).exists()
        assert_same(found, fastiou.pairs(a, b, 0.05))


def test_what_has_no_bounds_in_the_plane_needs_groups(fd: Any, da: Any) -> None:
    boxes = np.array([[0, 0, 0, 4, 4, 4], [1, 1, 1, 5, 5, 5]], np.float64)
    blocks = da.from_array(boxes, chunks=(1, 6))
    with pytest.raises(ValueError, match="fmt='xyzxyz' needs groups"):
        fd.pairs(blocks, blocks, fmt="xyzxyz")
    found = fd.pairs(blocks, blocks, 0.1, fmt="xyzxyz", groups=(np.zeros(2, int),) * 2).compute()
    np.testing.assert_array_equal(
        found.values, fastiou.pairs(boxes, boxes, 0.1, fmt="xyzxyz").values
    )


def test_two_formats_are_refused(fd: Any, da: Any) -> None:
    boxes = da.from_array(np.eye(4), chunks=(2, 4))
    for call in (fd.pairs, fd.topk, fd.box_iou):
        with pytest.raises(TypeError, match="fmt must be one format, of both sets"):
            call(boxes, boxes, fmt=("xyxy", "xywh"))
