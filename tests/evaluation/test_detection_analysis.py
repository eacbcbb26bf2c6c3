"""Parts, slices and resamples of an evaluation, against evaluating the same images anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastiou as fi
from fastiou.evaluation.detection_curves import accumulate
from fastiou.runtime import threads

ARRAYS = ("precision", "recall", "scores", "areas")
CLASSES = [2, 5, 7]

Columns = dict[str, Any]


def columns_of(seed: int, images: int = 30) -> tuple[Columns, Columns]:
    """Detections and truth of some images, with crowds, and sizes on all sides.

    Scores are equal across images, but not in one: whether all copies of a detection come before
    the next one or not, is nothing that weights can tell.
    """
    rng = np.random.default_rng(seed)
    count = 8 * images
    own = np.repeat(np.arange(images), 8)
    boxes = np.hstack([rng.integers(0, 90, (count, 2)), rng.integers(8, 130, (count, 2))])
    labels = rng.choice(CLASSES, count)
    target = {
        "boxes": boxes.astype(float), "labels": labels, "image_ids": own,
        "iscrowd": rng.random(count) < 0.05,
    }  # fmt: skip
    picked = rng.integers(0, count, 2 * count)
    near = boxes[picked] + rng.integers(0, 9, (2 * count, 4))
    wrong = rng.random(2 * count) < 0.1
    order = np.argsort(own[picked], kind="stable")
    ranks = np.empty(2 * count)
    ranks[order] = np.arange(2 * count) - np.searchsorted(own[picked][order], own[picked][order])
    preds = {
        "boxes": near.astype(float),
        "labels": np.where(wrong, rng.choice(CLASSES, 2 * count), labels[picked]),
        "image_ids": own[picked], "scores": 0.9 - 0.01 * ranks,
    }  # fmt: skip
    return preds, target


def evaluated(preds: Columns, target: Columns, **options: Any) -> Any:
    options = {"fmt": "xywh", "class_names": {label: f"c{label}" for label in CLASSES}, **options}
    return fi.average_precision(preds, target, **options)


def rows_of(columns: Columns, rows: Any) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def repeated(columns: Columns, drawn: Any) -> Columns:
    """The images that were drawn, each with an id of its own."""
    rows, ids = [], []
    for number, image in enumerate(drawn):
        own = np.flatnonzero(columns["image_ids"] == image)
        rows.append(own)
        ids.append(np.full(len(own), number))
    return {**rows_of(columns, np.concatenate(rows)), "image_ids": np.concatenate(ids)}


def assert_same(result: Any, expected: Any) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
    assert result.image_ids.tolist() == expected.image_ids.tolist()
    assert result.labels.tolist() == expected.labels.tolist()


# ---- parts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["coco", "voc", "voc07", "openimages"])
def test_a_part_has_the_bits_of_evaluating_it(protocol: str) -> None:
    preds, target = columns_of(0)
    result = evaluated(preds, target, protocol=protocol)
    images = [3, 17, 4, 29]
    own = [rows_of(each, np.isin(each["image_ids"], images)) for each in (preds, target)]
    part = result.subset(images)
    assert_same(part, evaluated(*own, protocol=protocol))
    expected = evaluated(*own, protocol=protocol)
    assert part.per_class["truths"].tolist() == expected.per_class["truths"].tolist()
    own = [rows_of(each, np.isin(each["labels"], [2, 7])) for each in own]
    names = {2: "c2", 7: "c7"}
    expected = evaluated(*own, protocol=protocol, class_names=names)
    assert_same(result.subset(np.array(images), labels=["c7", 2]), expected)
    assert_same(part.subset(labels=[2, 7]), expected)


def test_a_part_of_all_is_all_and_of_nothing_is_unknown() -> None:
    result = evaluated(*columns_of(1))
    assert_same(result.subset(), result)
    assert result.subset([]).as_dict()["AP"] == -1
    assert result.subset(labels=[]).as_dict()["AP"] == -1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": [3, 99]}, "images must be among the 30 that were evaluated, got 99; they are"),
        ({"images": [3, 3]}, "images must have each once, got 3 twice"),
        ({"images": 3}, "images must be a list or an array of some, got 3"),
        ({"images": "3"}, "images must be a list or an array of some, got '3'"),
        ({"labels": ["cat"]}, "labels must be among the 3 that were evaluated, got 'cat'"),
        ({"labels": ["c2", 2]}, "labels must have each once, got 2 twice"),
    ],
)
def test_what_is_not_there_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        evaluated(*columns_of(0)).subset(**options)


def test_slices_are_parts_by_name() -> None:
    result = evaluated(*columns_of(2))
    slices = result.slices({"few": [1, 2], "many": range(3, 20)})
    assert list(slices) == ["few", "many"]
    assert_same(slices["few"], result.subset([1, 2]))
    by_image = result.slices(np.arange(30) % 3)
    assert list(by_image) == [0, 1, 2]
    assert_same(by_image[1], result.subset(np.arange(1, 30, 3)))
    with pytest.raises(ValueError, match="groups must be a dict of images by name, or one name"):
        result.slices(["day", "night"])


# ---- resamples ---------------------------------------------------------------------------------


def known(values: dict[str, float]) -> dict[str, float]:
    return {name: np.nan if value == -1 else value for name, value in values.items()}


@pytest.mark.parametrize("protocol", ["coco", "lvis", "voc", "voc07", "openimages"])
@pytest.mark.parametrize("seed", range(4))
def test_a_resample_has_the_numbers_of_repeating_its_images(protocol: str, seed: int) -> None:
    preds, target = columns_of(seed, images=12)
    options: dict[str, Any] = {"protocol": protocol}
    if protocol == "lvis":
        options["class_frequencies"] = dict(zip(CLASSES, "rcf", strict=True))
        target.pop("iscrowd")
        for columns in (preds, target):  # so that no detection is left out
            columns["labels"] = np.full_like(columns["labels"], CLASSES[seed % 3])
    result = evaluated(preds, target, **options)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        # Copies of an image stand together, as those of an image that counts twice.
        drawn = np.sort(rng.integers(0, 12, 12))
        expected = evaluated(repeated(preds, drawn), repeated(target, drawn), **options)
        weights = np.bincount(drawn, minlength=12).astype(np.int32)
        found = result._weighted().numbers(weights[None])
        for name, value in known(expected.as_dict()).items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-12, err_msg=name)


def test_weights_have_the_numbers_of_all_arrays() -> None:
    """With several words of bits, and limits of detections that count."""
    preds, target = columns_of(3)
    result = evaluated(preds, target, iou_thresholds=np.linspace(0.3, 0.95, 30), max_dets=[1, 2, 4])
    weights = np.random.default_rng(0).integers(0, 4, (5, 30)).astype(np.int32)
    weights[4] = 0
    found = result._weighted().numbers(weights)
    for sample, own in enumerate(weights):
        curves = accumulate(result.kept, result.starts, result.rules.protocol, own.astype(np.int64))
        whole = type(result)(
            *curves, result.labels, result.image_ids, {}, result.rules, result.kept, result.starts
        )
        for name, value in known(whole.as_dict()).items():
            np.testing.assert_allclose(found[name][sample], value, rtol=0, atol=1e-12)


def test_the_bootstrap_is_the_same_again_and_on_threads() -> None:
    result = evaluated(*columns_of(4))
    seen: list[tuple[int, int]] = []
    first = result.bootstrap(200, progress=lambda done, total: seen.append((done, total)))
    with threads.forced(True):
        second = result.bootstrap(200)
    assert seen[-1] == (200, 200)
    for name, values in first.samples.items():
        np.testing.assert_array_equal(values, second.samples[name])
        low, high = first.intervals[name]
        assert low <= np.median(values) <= high
        assert first.std[name] == pytest.approx(np.std(values, ddof=1))
    assert (result.bootstrap(9, seed=1).samples["AP"] != first.samples["AP"][:9]).all()
    assert repr(first).startswith(f"<Bootstrap: 200 resamples; AP {result.stats[0]:.3f}, 95 % b")
    narrow = result.bootstrap(200, confidence=0.5).intervals["AP"]
    assert first.intervals["AP"][0] < narrow[0] < narrow[1] < first.intervals["AP"][1]


def test_intervals_are_a_frame() -> None:
    pytest.importorskip("pandas", exc_type=ImportError)
    frame = evaluated(*columns_of(4)).bootstrap(50).to_pandas()
    assert list(frame.columns) == ["number", "value", "std", "low", "high"]
    assert len(frame) == 12


def test_numbers_without_truth_stay_unknown() -> None:
    preds, target = columns_of(5)
    target["area"] = np.full(len(target["boxes"]), 5000.0)
    bootstrap = evaluated(preds, target).bootstrap(20)
    assert np.isnan(bootstrap.samples["APs"]).all()
    assert np.isnan(bootstrap.intervals["APs"]).all()
    assert np.isnan(bootstrap.std["APs"])


def test_parts_without_classes_detections_or_truth_are_resampled() -> None:
    preds, target = columns_of(5)
    result = evaluated(preds, target)
    assert np.isnan(result.subset(labels=[]).bootstrap(5).samples["AP"]).all()
    nothing = rows_of(preds, np.zeros(0, int))
    assert (evaluated(nothing, target).bootstrap(5).samples["AP"] == 0).all()
    none = rows_of(target, np.zeros(0, int))
    assert np.isnan(evaluated(preds, none).bootstrap(5).samples["AP"]).all()
    one = result.subset([3])
    np.testing.assert_allclose(one.bootstrap(5).samples["AP"], one.as_dict()["AP"], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be an integer of at least 1, got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"confidence": 1}, "confidence must be between 0 and 1, got 1"),
        ({"confidence": "high"}, "confidence must be a finite number"),
        ({"progress": 3}, "progress must be a bool or a function"),
    ],
)
def test_options_of_the_bootstrap_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        evaluated(*columns_of(0)).bootstrap(**{"n": 10, **options})


def test_without_images_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="there are no images that could be drawn"):
        fi.DetectionEvaluator().compute().bootstrap(10)


# ---- comparison --------------------------------------------------------------------------------


def two_results(seed: int = 6) -> tuple[Any, Any]:
    """A detector and a better one, on the same truth."""
    preds, target = columns_of(seed)
    better = {**preds, "boxes": preds["boxes"].copy()}
    near = np.arange(len(preds["boxes"])) % 2 == 0
    better["scores"] = np.where(near, preds["scores"], preds["scores"] / 2)
    better["boxes"][near] = np.round(better["boxes"][near] / 2) * 2
    return evaluated(preds, target), evaluated(better, target)


def test_a_comparison_has_the_differences_of_all_numbers_and_of_classes() -> None:
    one, two = two_results()
    comparison = one.compare(two)
    for name, value in one.as_dict().items():
        assert comparison.differences[name] == two.as_dict()[name] - value
    np.testing.assert_array_equal(
        comparison.per_class["AP"], two.per_class["AP"] - one.per_class["AP"]
    )
    assert comparison.per_class["name"].tolist() == ["c2", "c5", "c7"]
    assert list(comparison.columns()) == ["number", "value", "other", "difference"]
    assert "<ClassDifferences: 3 classes; label, name, AP" in repr(comparison.per_class)


def test_resamples_of_a_comparison_are_of_the_same_images() -> None:
    one, two = two_results()
    comparison = one.compare(two, n=100, seed=3)
    samples = [each.bootstrap(100, seed=3).samples["AP"] for each in (one, two)]
    np.testing.assert_array_equal(comparison.samples["AP"], samples[1] - samples[0])
    share = comparison.other_is_better["AP"]
    assert share == (samples[1] > samples[0]).mean()
    low, high = comparison.intervals["AP"]
    assert low < high
    text = repr(comparison)
    assert f"95 % between {low:+.3f} and {high:+.3f}, higher in {100 * share:.3g} % of 100" in text
    assert len(comparison.columns()["other_is_better"]) == 12
    itself = one.compare(one, n=20)
    assert set(itself.differences.values()) == {0.0}
    assert itself.other_is_better["AP"] == 0


def test_only_like_results_are_compared() -> None:
    preds, target = columns_of(7)
    result = evaluated(preds, target)
    with pytest.raises(TypeError, match="other must be a DetectionResult, got 7"):
        result.compare(7)
    with pytest.raises(ValueError, match="other must have the same protocol and options"):
        result.compare(evaluated(preds, target, max_dets=[5]))
    with pytest.raises(ValueError, match="other must be of the same images, got 29 beside 30"):
        result.compare(result.subset(range(29)))
    less = rows_of(target, np.arange(1, len(target["boxes"])))
    with pytest.raises(ValueError, match="other must be of the same truth, got"):
        result.compare(evaluated(preds, less))


def test_classes_of_one_side_alone_are_told() -> None:
    preds, target = columns_of(8)
    more = {**preds, "labels": np.where(np.arange(len(preds["labels"])) < 5, 9, preds["labels"])}
    comparison = evaluated(preds, target).compare(evaluated(more, target))
    assert comparison.per_class["label"].tolist() == [2, 5, 7, 9]
    assert np.isnan(comparison.per_class["AP"]).tolist() == [False, False, False, True]
