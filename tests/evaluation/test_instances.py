"""Objects of label images are matched as published, and counts never depend on the order."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from instances_for_tests import aggregated_jaccard, stardist_matching

import fastiou
from fastiou.runtime import threads

DATA = Path(os.environ.get("FASTIOU_DATA", Path(__file__).parents[3] / "shared" / "data"))
THRESHOLDS = [0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.6500000000000001, 0.75, 1.0]


def drawn(rng: np.random.Generator, most: int = 13) -> tuple[Any, Any]:
    """A truth with noise as the prediction, of few pixels, so that much is tied."""
    shape = rng.integers(1, most, 2)
    true = rng.integers(0, rng.integers(1, 9), shape)
    noise = rng.integers(0, 9, shape)
    return true, np.where(rng.random(shape) < rng.random(), true * 3, noise)


def cells(rng: np.random.Generator, size: int = 96, cell: int = 16) -> tuple[Any, Any]:
    """Round objects in a grid, and the same ones moved a little."""
    true, pred = np.zeros((2, size, size), np.uint16)
    y, x = np.mgrid[:cell, :cell] - (cell - 1) / 2
    for number in range((size // cell) ** 2):
        row, col = divmod(number, size // cell)
        place = np.s_[row * cell : (row + 1) * cell, col * cell : (col + 1) * cell]
        for image in (true, pred):
            off, radius = rng.normal(0, 1.5, 2), rng.uniform(4, 7)
            image[place][(y - off[0]) ** 2 + (x - off[1]) ** 2 < radius**2] = number + 1
    return true, pred


# ---- published numbers -------------------------------------------------------------------------


def test_the_numbers_of_stardist() -> None:
    folder = DATA / "eval" / "stardist"
    if not folder.exists():
        pytest.skip(f"{folder} is not there; FASTIOU_DATA names the folder of real inputs")
    mask = np.load(folder / "mask2d.npz")["mask"]
    expected = json.loads((folder / "mask2d_expected.json").read_text())
    assert len(expected) == 9
    for name, numbers in expected.items():
        rolled, _, threshold = name.removeprefix("roll").partition(" thr")
        roll = tuple(int(part) for part in rolled.strip("()").split(","))
        found = fastiou.instance_matching(mask, np.roll(mask, roll, (0, 1)), float(threshold))
        assert {key: getattr(found, key) for key in numbers} == numbers


@pytest.mark.parametrize("criterion", ["iou", "iot", "iop"])
def test_the_published_procedure(rng: np.random.Generator, criterion: str) -> None:
    for _ in range(150):
        true, pred = drawn(rng)
        found = fastiou.instance_matching(true, pred, THRESHOLDS, criterion=criterion)
        for own, threshold in zip(found, THRESHOLDS, strict=True):
            expected = stardist_matching(true, pred, threshold, criterion)
            assert {key: getattr(own, key) for key in expected} == pytest.approx(expected, rel=2e-7)
            assert len(own.matched_pairs) == own.tp
            assert sum(own.matched_scores) == pytest.approx(own.mean_matched_score * own.tp)
        intersection, union = aggregated_jaccard(true, pred)
        assert found.aji == (intersection / union if union else 0)


def test_data_sets_add_up(rng: np.random.Generator) -> None:
    images = [cells(rng, 48) for _ in range(7)]
    true, pred = map(list, zip(*images, strict=True))
    together = fastiou.instance_matching(true, pred, [0.3, 0.5, 0.7])
    apart = [fastiou.instance_matching(*image, [0.3, 0.5, 0.7]) for image in images]
    for name in ("tp", "fp", "fn", "n_true", "n_pred"):
        np.testing.assert_array_equal(getattr(together, name), sum(getattr(r, name) for r in apart))
    tp, fp, fn = together.tp, together.fp, together.fn
    np.testing.assert_array_equal(together.accuracy, tp / (tp + fp + fn))
    np.testing.assert_array_equal(together.average_precision, together.accuracy)
    sums = sum(r.mean_matched_score * r.tp for r in apart)
    np.testing.assert_allclose(together.panoptic_quality, sums / (tp + fp / 2 + fn / 2))
    np.testing.assert_allclose(together.mean_true_score, sums / together.n_true, rtol=1e-7)
    areas = np.array([aggregated_jaccard(*image) for image in images]).sum(0)
    assert together.aji == areas[0] / areas[1]
    assert together.n_images == 7
    assert together.matched_pairs is None
    means = fastiou.instance_matching(tuple(true), tuple(pred), [0.3, 0.5, 0.7], by_image=True)
    np.testing.assert_array_equal(means.tp, tp)
    for name in ("precision", "recall", "accuracy", "f1", "mean_matched_score", "aji"):
        np.testing.assert_allclose(
            getattr(means, name), np.mean([getattr(r, name) for r in apart], axis=0)
        )


# ---- edge rules --------------------------------------------------------------------------------


def test_scores_are_compared_as_float32() -> None:
    """13 of 20 pixels are 0.65, which is less than the threshold as float64."""
    true, pred = np.ones((1, 20), int), (np.arange(20) < 13).astype(int)[None]
    assert fastiou.instance_matching(true, pred, 0.6500000000000001).tp == 1
    assert fastiou.instance_matching(true, pred, 0.6501).tp == 0


def test_the_number_comes_before_the_sum() -> None:
    """Objects 1 and 2 both overlap object 1 of the prediction; only one of them has another."""
    true = np.array([[1] * 4 + [2] * 6])
    pred = np.array([[2] * 1 + [1] * 9])
    found = fastiou.instance_matching(true, pred, 0.25)
    assert found.matched_pairs == ((1, 2), (2, 1))
    assert found.matched_scores == pytest.approx((1 / 4, 6 / 9))
    third = fastiou.instance_matching(true, pred, 0.3)  # one of the pairs scores less
    assert third.matched_pairs == ((2, 1),)


def test_two_halves_tie_at_one_half() -> None:
    true, pred = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]])
    found = fastiou.instance_matching(true, pred, [0.5, np.nextafter(0.5, 1), 0.51])
    assert found.tp.tolist() == [1, 1, 0]  # the second is one half as float32
    assert found.fp.tolist() == [1, 1, 2]


def test_the_aggregated_index_takes_an_object_twice() -> None:
    true, pred = np.array([[1, 1, 2, 2, 0, 3]]), np.array([[5, 5, 5, 5, 6, 0]])
    # 1 and 2 with 5, each 2 of 4; 3 alone and 6 alone.
    assert fastiou.instance_matching(true, pred).aji == (2 + 2) / (4 + 4 + 1 + 1)


@pytest.mark.parametrize(
    ("true", "pred", "counts"),
    [([[0, 0]], [[0, 0]], (0, 0)), ([[1, 2]], [[0, 0]], (2, 0)), ([[0, 0]], [[1, 1]], (0, 1))],
)
def test_nothing_to_match(true: Any, pred: Any, counts: tuple[int, int]) -> None:
    found = fastiou.instance_matching(true, pred)
    assert (found.n_true, found.n_pred) == counts
    assert (found.tp, found.fp, found.fn) == (0, counts[1], counts[0])
    for name in ("precision", "recall", "accuracy", "f1", "panoptic_quality", "aji"):
        assert getattr(found, name) == 0
    assert found.matched_pairs == found.matched_scores == ()


def test_empty_images_and_sets() -> None:
    for one in ([], np.empty((0, 5), int)):
        found = fastiou.instance_matching(one, one, [0.5, 0.7])
        assert found.accuracy.tolist() == [0, 0]
        assert found.aji == 0
    assert fastiou.InstanceEvaluator(by_image=True).compute().f1 == 0
    assert fastiou.instance_matching([], []).n_images == 0


def test_labels_of_any_size_and_shape(rng: np.random.Generator) -> None:
    true, pred = cells(rng, 48)
    expected = fastiou.instance_matching(true, pred, THRESHOLDS)
    large = true.astype(np.uint64) * np.uint64(2**60 + 7), pred.astype(np.int64) * 2**50
    for one, other in (large, (true[None], pred[None]), (true.T, pred.T), (true.tolist(), pred)):
        found = fastiou.instance_matching(one, other, THRESHOLDS)
        np.testing.assert_array_equal(found.tp, expected.tp)
        assert found.aji == expected.aji
    labels = fastiou.instance_matching(*large, 0.3).matched_pairs
    assert max(one for one, _ in labels) >= 2**63
    stack = np.stack([true, true]), np.stack([pred, pred * 0])
    assert fastiou.instance_matching(*stack).n_images == 1
    assert fastiou.instance_matching(*map(list, stack)).n_images == 2
    assert fastiou.instance_matching(*(iter(images) for images in stack)).n_images == 2


def test_tensors(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    true, pred = (image.astype(np.int32) for image in cells(rng, 48))
    expected = fastiou.instance_matching([true, true], [pred, true], THRESHOLDS)
    tensors = torch.from_numpy(true), torch.from_numpy(pred)
    found = fastiou.instance_matching([tensors[0]] * 2, [tensors[1], true], THRESHOLDS)
    assert found.as_dict() == expected.as_dict()


# ---- order, split and threads ------------------------------------------------------------------


def numbers_of(result: fastiou.InstanceMatching) -> bytes:
    return pickle.dumps({key: np.asarray(value).tolist() for key, value in vars(result).items()})


@pytest.mark.parametrize("by_image", [False, True])
def test_any_order_and_split_has_the_same_bits(rng: np.random.Generator, by_image: bool) -> None:
    images = [cells(rng, 48) for _ in range(9)]
    results = set()
    for order in (np.arange(9), rng.permutation(9), rng.permutation(9)):
        parts = [fastiou.InstanceEvaluator([0.2, 0.5, 0.7], by_image=by_image) for _ in range(3)]
        for number in order:
            parts[rng.integers(3)].update(*images[number], image=int(number))
        state = pickle.loads(pickle.dumps(parts[1].state()))
        assert all(isinstance(value, np.ndarray) for value in state.values())
        assert all(value.dtype != object for value in state.values())
        parts[0].merge(parts[2], state)
        results.add(numbers_of(parts[0].compute()))
    for parallel in (False, True):
        with threads.forced(parallel):
            whole = fastiou.InstanceEvaluator([0.2, 0.5, 0.7], by_image=by_image)
            for number, image in enumerate(images):
                whole.update(*image, image=number)
            results.add(numbers_of(whole.compute()))
    assert len(results) == 1


def test_an_image_comes_once() -> None:
    evaluator, other = fastiou.InstanceEvaluator(), fastiou.InstanceEvaluator()
    for one in (evaluator, other):
        one.update([[1]], [[1]], image="first")
        one.update([[1]], [[1]])  # without a name
    with pytest.raises(ValueError, match="image 'first' was there before: each must come once"):
        evaluator.update([[1]], [[1]], image="first")
    with pytest.raises(ValueError, match="image 'first' was there before"):
        evaluator.merge(other)
    assert evaluator.compute().n_images == 2


# ---- results and errors ------------------------------------------------------------------------


def test_a_dictionary_for_loggers() -> None:
    true, pred = [[1, 1, 0, 2]], [[1, 1, 1, 0]]
    found = fastiou.instance_matching(true, pred, [0.5, 0.75]).as_dict("val/")
    assert found["val/AP"] == pytest.approx(1 / 4)
    assert found["val/AP@0.5"] == 1 / 2
    assert (found["val/n_true"], found["val/tp@0.5"], found["val/f1@0.75"]) == (2, 1, 0)
    assert json.loads(json.dumps(found)) == found
    single = fastiou.instance_matching(true, pred)
    assert single.as_dict()["AP@0.5"] == single.accuracy
    close = fastiou.instance_matching(true, pred, [0.5, 0.50000001]).as_dict()
    assert {"AP@0.5", "AP@0.50000001"} <= set(close)
    assert "AP 0.5000 at iou 0.5" in repr(single)
    with pytest.raises(TypeError, match="one threshold has no length"):
        len(single)
    with pytest.raises(TypeError, match="one threshold cannot be indexed"):
        single[0]


def test_progress_counts_images() -> None:
    calls: list[tuple[int, int]] = []
    images = [np.array([[1]])] * 3

    def note(done: int, total: int) -> None:
        calls.append((done, total))

    fastiou.instance_matching(images, images, progress=note)
    assert calls == [(1, 3), (2, 3), (3, 3)]


ONE = np.array([[1, 2]])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((ONE, ONE.T), {}, ValueError, "target and pred must have the same shape, got"),
        ((ONE, ONE * 0.5), {}, TypeError, "pred must hold integers or booleans, got dtype float64"),
        ((-ONE, ONE), {}, ValueError, "target must hold labels of at least 0, got -2"),
        ((ONE, -ONE), {}, ValueError, "pred must hold labels of at least 0, got -2"),
        ((ONE, ONE, 0), {}, ValueError, "thresholds must be greater than 0 and at most 1, got 0"),
        ((ONE, ONE, [0.5, 2]), {}, ValueError, "thresholds must be greater than 0 and at most 1"),
        ((ONE, ONE, []), {}, ValueError, "thresholds must be a number or several, got none"),
        ((ONE, ONE, "no"), {}, TypeError, "thresholds must be a number, got"),
        ((ONE, ONE), {"criterion": "dice"}, ValueError, "criterion must be one of 'iou', 'iot'"),
        ((ONE, ONE), {"by_image": 1}, TypeError, "by_image must be True or False, got 1"),
        (([ONE], ONE), {}, ValueError, "target holds several images and pred is one"),
        ((ONE, [ONE]), {}, ValueError, "pred holds several images and target is one"),
        (
            ([ONE], [ONE, ONE]),
            {},
            ValueError,
            "target and pred must have as many images, got 1 and",
        ),
        (
            (iter([ONE]), iter([ONE, ONE])),
            {},
            ValueError,
            "as many images, got more in pred than 1",
        ),
        (([ONE, ONE], [ONE, ONE.T]), {}, ValueError, "image 1: target and pred must have the same"),
        (([ONE], [ONE]), {"progress": "no"}, TypeError, "progress must be a bool or a function"),
    ],
)
def test_what_is_refused(
    arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fastiou.instance_matching(*arguments, **options)


def test_what_evaluators_refuse() -> None:
    evaluator = fastiou.InstanceEvaluator(0.5)
    for image, error, message in (
        (0.5, TypeError, "image must be a name or an integer, got 0.5"),
        ("", ValueError, "image must not be empty"),
    ):
        with pytest.raises(error, match=message):
            evaluator.update(ONE, ONE, image=image)  # type: ignore[arg-type]
    for other, error, message in (
        (fastiou.InstanceEvaluator(0.7), ValueError, "other options: thresholds="),
        (fastiou.InstanceEvaluator(0.5, criterion="iop"), ValueError, "other options: criterion="),
        ({"thresholds": ONE}, ValueError, "must be what state"),
        (3, TypeError, r"must be an? InstanceEvaluator"),
    ):
        with pytest.raises(error, match=message):
            evaluator.merge(other)  # type: ignore[arg-type]
    assert evaluator.compute().n_images == 0


def test_damaged_states_are_refused_and_change_nothing() -> None:
    good = fastiou.InstanceEvaluator([0.5])
    good.update(np.eye(4, dtype=int), np.eye(4, dtype=int), image="a")
    evaluator = fastiou.InstanceEvaluator([0.5])
    state = good.state()
    state["counts"][0, 4] = 500
    state["images"] = np.array(["b"])
    with pytest.raises(ValueError, match="counts can be"):
        evaluator.merge(good, state)
    evaluator.merge(good)
    assert evaluator.compute().n_true == 1


def test_files_and_folders_are_read(rng: np.random.Generator, tmp_path: Path) -> None:
    images = {f"cell-{number}": cells(rng) for number in range(3)}
    folders = tmp_path / "truth", tmp_path / "found"
    for place, folder in enumerate(folders):
        folder.mkdir()
        for name, pair in images.items():
            np.save(folder / f"{name}.npy", pair[place])
    np.save(folders[1] / "not-asked.npy", np.ones((3, 3), int))
    calls: list[tuple[int, int]] = []
    found = fastiou.instance_matching(
        *folders, [0.5, 0.7], progress=lambda done, total: calls.append((done, total))
    )
    arrays = fastiou.instance_matching(
        *([pair[place] for pair in images.values()] for place in range(2)), [0.5, 0.7]
    )
    assert found.as_dict() == arrays.as_dict()
    assert calls == [(1, 3), (2, 3), (3, 3)]
    one = [folder / "cell-1.npy" for folder in folders]
    expected = fastiou.instance_matching(*images["cell-1"]).as_dict()
    assert fastiou.instance_matching(*map(str, one)).as_dict() == expected


def test_files_and_folders_that_are_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    folders = tmp_path / "truth", tmp_path / "found"
    for folder in folders:
        folder.mkdir()
        np.save(folder / "a.npy", np.ones((3, 3), int))
    with pytest.raises(TypeError, match="target and pred must both be paths, or both be arrays"):
        fastiou.instance_matching(folders[0], np.ones((3, 3), int))
    with pytest.raises(FileNotFoundError, match="nothing: no such file or folder"):
        fastiou.instance_matching(folders[0], tmp_path / "nothing")
    np.save(folders[0] / "b.npy", np.ones((3, 3), int))
    with pytest.raises(ValueError, match="found: no image of the name 'b', expected one for each"):
        fastiou.instance_matching(*folders)
    np.save(folders[1] / "b.npy", np.ones((3, 4), int))
    with pytest.raises(ValueError, match="found:b: 3 × 4 pixels, expected 3 × 3 pixels, as"):
        fastiou.instance_matching(*folders)
    np.save(folders[1] / "b.npy", -np.ones((3, 3), int))
    with pytest.raises(ValueError, match="found:b: must hold labels of at least 0"):
        fastiou.instance_matching(*folders)
