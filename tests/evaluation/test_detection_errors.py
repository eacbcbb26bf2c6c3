"""Matches, confusion matrices and kinds of errors, against plain loops over their definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_detection_analysis import CLASSES, columns_of, evaluated, rows_of

import fastiou as fi
from fastiou.evaluation.detection_errors import KINDS, rematched

Columns = dict[str, Any]


def detailed(preds: Columns, target: Columns, **options: Any) -> Any:
    return evaluated(preds, target, **{"details": True, **options})


def overlap(one: Any, two: Any, *, crowd: bool) -> float:
    """IoU of two boxes, left, top, width and height; of a crowd, the share of the first."""
    left, top = max(one[0], two[0]), max(one[1], two[1])
    right, bottom = min(one[0] + one[2], two[0] + two[2]), min(one[1] + one[3], two[1] + two[3])
    shared = max(right - left, 0) * max(bottom - top, 0)
    area1, area2 = one[2] * one[3], two[2] * two[3]
    return float(shared / (area1 if crowd else area1 + area2 - shared))


class Oracle:
    """Everything by loops: images, detections by falling score, and matches as COCO makes them."""

    def __init__(self, preds: Columns, target: Columns, iou: float = 0.5) -> None:
        self.preds, self.target = preds, target
        self.iou = {}
        for i in range(len(preds["boxes"])):
            for j in np.flatnonzero(target["image_ids"] == preds["image_ids"][i]).tolist():
                crowd = bool(target["iscrowd"][j])
                self.iou[i, j] = overlap(preds["boxes"][i], target["boxes"][j], crowd=crowd)
        self.order = np.lexsort((-preds["scores"], preds["image_ids"])).tolist()
        self.truth_of: dict[int, int] = {}
        self.used: dict[int, int] = {}
        self.ignored: set[int] = set()
        for i in self.order:
            own = [j for j in self.near(i) if self.same(i, j) and self.iou[i, j] >= iou]
            free = [j for j in own if not self.crowd(j) and j not in self.used]
            if free:
                best = max(free, key=lambda j: (self.iou[i, j], j))
                self.truth_of[i], self.used[best] = best, i
            elif any(self.crowd(j) for j in own):
                self.ignored.add(i)

    def near(self, i: int) -> list[int]:
        return np.flatnonzero(self.target["image_ids"] == self.preds["image_ids"][i]).tolist()

    def same(self, i: int, j: int) -> bool:
        return bool(self.preds["labels"][i] == self.target["labels"][j])

    def crowd(self, j: int) -> bool:
        return bool(self.target["iscrowd"][j])

    def best(self, i: int, chosen: Any) -> tuple[int, float]:
        """The truth that overlaps a detection most, and the first of equal ones."""
        own = [j for j in self.near(i) if not self.crowd(j) and chosen(j)]
        best = max(own, key=lambda j: (self.iou[i, j], -j), default=-1)
        return best, self.iou[i, best] if best >= 0 else 0.0

    def kind(self, i: int) -> tuple[str, int]:
        """What is wrong with a detection, by TIDE, and with regard to which truth."""
        same, own = self.best(i, lambda j: self.same(i, j))
        if 0.1 <= own <= 0.5:
            return "Loc", same
        other, value = self.best(i, lambda j: not self.same(i, j))
        if value >= 0.5:
            return "Cls", other
        if own >= 0.5:
            assert same in self.used
            return "Dupe", same
        return ("Bkg" if max(own, value) <= 0.1 else "Both"), -1


def mean_precision(rows: list[tuple[int, float, bool]], wanted: dict[int, int]) -> float:
    """Average precision of (class, score, right), the mean of classes with truth."""
    values = []
    for label in CLASSES:
        own = sorted((row for row in rows if row[0] == label), key=lambda row: -row[1])
        right = np.cumsum([row[2] for row in own])
        precision = right / np.arange(1, len(own) + 1)
        points = [
            max((p for p, r in zip(precision, right / wanted[label], strict=True) if r >= at),
                default=0)
            for at in np.linspace(0, 1, 101)
        ]  # fmt: skip
        values.append(np.mean(points))
    return float(np.mean(values))


# ---- matches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["coco", "voc", "voc07", "openimages"])
@pytest.mark.parametrize("seed", range(5))
def test_matches_are_those_that_were_counted(protocol: str, seed: int) -> None:
    preds, target = columns_of(seed)
    target["ignore"] = np.random.default_rng(seed).random(len(target["boxes"])) < 0.1
    result = detailed(preds, target, protocol=protocol)
    for t in (0, 5, 9) if protocol == "coco" else (0,):
        _, kinds = rematched(result._scored(), result.rules.protocol.thresholds[t])
        own = result.kept.detections
        bit = np.uint64(1 << t)
        matched, ignored = ((own[name][:, 0] & bit) != 0 for name in ("matched", "ignored"))
        np.testing.assert_array_equal(kinds == 1, matched & ~ignored)
        np.testing.assert_array_equal(kinds == 2, matched & ignored)


def test_matches_tell_images_and_places() -> None:
    preds, target = columns_of(1, images=6)
    table = detailed(preds, target).matches
    oracle = Oracle(preds, target)
    expected = []
    for image in range(6):
        found, true = (np.flatnonzero(each["image_ids"] == image) for each in (preds, target))
        for place, i in enumerate(found.tolist()):
            for other, j in enumerate(true.tolist()):
                if oracle.iou[i, j] >= 0.1:
                    expected.append((image, place, other, i, j))
    rows = zip(table["image_id"], table["detection"], table["truth"], strict=True)
    assert [tuple(map(int, row)) for row in rows] == [row[:3] for row in expected]
    found, true = (np.array([row[place] for row in expected]) for place in (3, 4))
    for name, column in (
        ("label", preds["labels"][found]), ("true_label", target["labels"][true]),
        ("score", preds["scores"][found]), ("ignored", target["iscrowd"][true]),
        ("iou", [oracle.iou[row[3:]] for row in expected]),
        ("matched", [oracle.truth_of.get(row[3]) == row[4] for row in expected]),
    ):  # fmt: skip
        np.testing.assert_array_equal(table[name], column, err_msg=name)
    assert repr(table).startswith(f"<Table: {len(expected)} rows; image_id, detection, truth")


def as_tables(result: Any) -> list[dict[str, Any]]:
    errors = result.errors()
    matrix = {"matrix": result.confusion_matrix().matrix}
    return [result.matches.columns(), errors.each.columns(), errors.columns(), matrix]


def assert_same_tables(one: Any, two: Any) -> None:
    for own, other in zip(as_tables(one), as_tables(two), strict=True):
        assert list(own) == list(other)
        for name, column in own.items():
            np.testing.assert_array_equal(column, other[name], err_msg=name)


def test_order_and_split_change_nothing() -> None:
    preds, target = columns_of(2)
    expected = detailed(preds, target)
    names = {label: f"c{label}" for label in CLASSES}
    options: dict[str, Any] = {"fmt": "xywh", "class_names": names}
    ranks = [fi.DetectionEvaluator(**options, details=True) for _ in range(3)]
    for number, image in enumerate(np.random.default_rng(0).permutation(30).tolist()):
        own = [rows_of(each, each["image_ids"] == image) for each in (preds, target)]
        ranks[number % 3].update(*own)
    ranks[2].merge(ranks[0].state(), ranks[1])
    assert_same_tables(ranks[2].compute(), expected)
    with pytest.raises(ValueError, match=r"others\[0\] has other options"):
        ranks[0].merge(fi.DetectionEvaluator(**options))


def test_a_part_has_its_own_matches() -> None:
    preds, target = columns_of(3)
    images = [4, 9, 21]
    own = [rows_of(each, np.isin(each["image_ids"], images)) for each in (preds, target)]
    assert_same_tables(detailed(preds, target).subset(images), detailed(*own))


def test_details_do_not_change_the_numbers() -> None:
    preds, target = columns_of(4)
    one, two = detailed(preds, target), evaluated(preds, target)
    np.testing.assert_array_equal(one.precision, two.precision)


def test_places_are_those_given_where_lvis_leaves_detections_out() -> None:
    box = [[0.0, 0, 9, 9]]
    target = [{"boxes": box, "labels": [1], "image_id": 5, "neg_category_ids": [2]}]
    preds = [
        {"boxes": 3 * box, "labels": [9, 2, 1], "scores": [0.9, 0.8, 0.7], "image_id": 5}
    ]  # fmt: skip
    result = fi.average_precision(preds, target, fmt="xywh", protocol="lvis", details=True)
    matches = result.matches
    assert matches["detection"].tolist() == [1, 2]
    assert matches["label"].tolist() == [2, 1]
    assert matches["matched"].tolist() == [False, True]
    assert result.errors().counts["Cls"] == 1


def test_all_classes_may_be_one() -> None:
    preds, target = columns_of(5)
    result = detailed(preds, target, class_agnostic=True)
    matrix = result.confusion_matrix(score=0).matrix
    assert matrix.shape == (2, 2)
    alike = [{**each, "labels": np.ones_like(each["labels"])} for each in (preds, target)]
    names = {"class_names": None}
    expected = detailed(*alike, **names).errors()
    assert result.errors().counts == expected.counts
    np.testing.assert_array_equal(
        matrix, detailed(*alike, **names).confusion_matrix(score=0).matrix
    )


@pytest.mark.parametrize("iou_type", ["segm", "boundary"])
def test_masks_have_the_pairs_of_their_iou(iou_type: str) -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((12, 40, 40), np.bool_)
    for mask in masks:
        left, top, width, height = rng.integers(4, 16, 4)
        mask[top : top + height, left : left + width] = True
    images, labels = np.arange(12) % 3, rng.integers(0, 2, 12)
    preds = {"masks": masks, "image_ids": images, "labels": labels, "scores": rng.random(12)}
    target = {"masks": masks[::-1], "image_ids": images[::-1], "labels": rng.integers(0, 2, 12)}
    table = fi.average_precision(preds, target, iou_type=iou_type, details=True).matches
    assert len(table) > 12
    for row in range(len(table)):
        i = np.flatnonzero(images == table["image_id"][row])[table["detection"][row]]
        j = np.flatnonzero(target["image_ids"] == table["image_id"][row])[table["truth"][row]]
        one, two = masks[i], target["masks"][j]
        iou = (one & two).sum() / (one | two).sum()
        if iou_type == "segm":
            assert table["iou"][row] == iou
        else:
            assert table["iou"][row] <= iou


# ---- confusion matrix --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("iou", "score"), [(0.5, 0.25), (0.3, 0.85)])
def test_the_confusion_matrix_is_that_of_its_rule(seed: int, iou: float, score: float) -> None:
    preds, target = columns_of(seed)
    oracle = Oracle(preds, target)
    counts = (preds["scores"] >= score).tolist()
    pairs = sorted(
        (-value, -preds["scores"][i], i, j)
        for (i, j), value in oracle.iou.items()
        if value >= iou and counts[i] and not oracle.crowd(j)
    )
    truth_of: dict[int, int] = {}
    for _, _, i, j in pairs:
        if i not in truth_of and j not in truth_of.values():
            truth_of[i] = j
    expected = np.zeros((4, 4), np.int64)
    for i in np.flatnonzero(counts).tolist():
        column = CLASSES.index(preds["labels"][i])
        if i in truth_of:
            expected[CLASSES.index(target["labels"][truth_of[i]]), column] += 1
        elif not any(oracle.crowd(j) and oracle.iou[i, j] >= iou for j in oracle.near(i)):
            expected[3, column] += 1
    for j in range(len(target["boxes"])):
        if not oracle.crowd(j) and j not in truth_of.values():
            expected[CLASSES.index(target["labels"][j]), 3] += 1
    matrix = detailed(preds, target).confusion_matrix(iou, score)
    np.testing.assert_array_equal(matrix.matrix, expected)
    assert matrix.names == ["c2", "c5", "c7", "background"]
    np.testing.assert_allclose(matrix.normalized().sum(axis=1)[:3], 1)


def test_the_confusion_matrix_is_shown_and_is_a_frame() -> None:
    pytest.importorskip("pandas", exc_type=ImportError)
    boxes = [[0.0, 0, 9, 9], [20, 0, 9, 9], [40, 0, 9, 9]]
    own = {"boxes": boxes, "image_ids": [1, 1, 1]}
    result = fi.average_precision(
        {**own, "labels": [0, 1, 1], "scores": [0.9, 0.8, 0.1]}, {**own, "labels": [0, 0, 1]},
        fmt="xywh", class_names=["cat", "dog"], details=True,
    )  # fmt: skip
    matrix = result.confusion_matrix()
    assert repr(matrix) == (
        "<ConfusionMatrix: 2 classes; 1 right, 1 taken for another class, 1 missed, 0 where "
        "nothing is>"
    )
    frame = matrix.to_pandas()
    assert frame.loc["cat", "dog"] == frame.loc["dog", "background"] == 1


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_errors_are_those_of_their_definitions(seed: int) -> None:
    preds, target = columns_of(seed, images=20)
    # Scores that differ, so that the order of images does not count.
    preds["scores"] = preds["scores"] + 1e-5 * np.arange(len(preds["scores"]))
    oracle = Oracle(preds, target)
    wrong = [i for i in oracle.order if i not in oracle.truth_of and i not in oracle.ignored]
    kinds = {i: oracle.kind(i) for i in wrong}
    cures: dict[int, int] = {}
    for i in wrong:
        kind, j = kinds[i]
        if kind in ("Cls", "Loc") and j not in oracle.used:
            best = cures.get(j)
            if best is None or preds["scores"][i] > preds["scores"][best]:
                cures[j] = i
    true = [j for j in range(len(target["boxes"])) if not oracle.crowd(j)]
    missed = [j for j in true if j not in oracle.used and j not in cures]

    def count(some: list[int]) -> dict[int, int]:
        return {label: sum(int(target["labels"][j]) == label for j in some) for label in CLASSES}

    def precision(kind: str | None) -> float:
        rows = [(int(preds["labels"][i]), preds["scores"][i], True) for i in oracle.truth_of]
        for i in wrong:
            label, score = int(preds["labels"][i]), preds["scores"][i]
            own, j = kinds[i]
            if own != kind:
                rows.append((label, score, False))
            elif cures.get(j) == i:
                rows.append((int(target["labels"][j]), score, True))
        return mean_precision(rows, count([j for j in true if kind != "Miss" or j not in missed]))

    errors = detailed(preds, target).errors()
    names = [kind for kind, _ in kinds.values()]
    expected = {kind: names.count(kind) for kind in KINDS} | {"Miss": len(missed)}
    assert errors.counts == expected
    assert sum(count > 0 for count in expected.values()) >= 4
    base = precision(None)
    assert errors.ap == pytest.approx(base, abs=1e-12)
    for kind in KINDS:
        assert errors.costs[kind] == pytest.approx(precision(kind) - base, abs=1e-12), kind
    perfect = [(int(preds["labels"][i]), 1.0, True) for i in oracle.truth_of]
    assert errors.costs["FalsePos"] == pytest.approx(mean_precision(perfect, count(true)) - base)
    rows = [(int(preds["labels"][i]), preds["scores"][i], i in oracle.truth_of)
            for i in (*oracle.truth_of, *wrong)]  # fmt: skip
    full = mean_precision(rows, count(list(oracle.used)))
    assert errors.costs["FalseNeg"] == pytest.approx(full - base)
    assert len(errors.each) == sum(errors.counts.values())


def test_each_error_is_told() -> None:
    target = {
        "boxes": [[0.0, 0, 10, 10], [50, 0, 10, 10], [90, 0, 10, 10]], "labels": [1, 2, 1],
        "image_ids": [7, 7, 7],
    }  # fmt: skip
    preds = {
        "boxes": [[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 0, 10, 10], [50, 5, 10, 10],
                  [200, 0, 5, 5], [50, 6, 10, 10]],
        "labels": [1, 1, 1, 2, 1, 1], "scores": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        "image_ids": [7] * 6,
    }  # fmt: skip
    errors = fi.average_precision(preds, target, fmt="xywh", details=True).errors()
    assert errors.each["kind"].tolist() == ["Miss", "Dupe", "Cls", "Loc", "Bkg", "Both"]
    assert errors.each["detection"].tolist() == [-1, 1, 2, 3, 4, 5]
    assert errors.each["truth"].tolist() == [2, 0, 1, 1, -1, -1]
    assert errors.each["true_name"].tolist() == ["1", "1", "2", "2", "", ""]
    assert errors.each["name"].tolist() == ["", "1", "1", "2", "1", "1"]
    assert errors.each["iou"].round(2).tolist()[1:4] == [0.9, 1.0, 0.33]
    assert list(errors.columns()) == ["kind", "count", "cost"]
    assert repr(errors).startswith("<Errors: AP 0.25")


#: hotcoco's `tide_errors` of val2014_100: counts and costs of Cls, Loc, Both, Dupe, Bkg and Miss,
#: and costs of FalsePos and FalseNeg.
PUBLISHED = {
    "bbox": (
        [83, 1, 0, 1, 0, 97],
        [0.16757478265235964, 0.0024988213107025085, 0, 0.0002059922591449508, 0,
         0.0822873572044746, 0.0740315185515134, 0.1804492737113526],
    ),
    "segm": (
        [76, 82, 7, 0, 4, 109],
        [0.137072161093196, 0.12596110748798303, 0.0035071058126220815, 0, 0.0029661639633350896,
         0.07602614333560555, 0.09400580359649276, 0.24723165031290292],
    ),
}  # fmt: skip


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_errors_have_the_published_numbers(real_data: Path, iou_type: str) -> None:
    gt = real_data / "coco" / "instances_val2014_100.json.gz"
    dt = real_data / "coco" / f"instances_val2014_fake{iou_type}100_results.json.gz"
    result = fi.evaluate_coco(gt, dt, iou_type=iou_type, details=True)
    errors = result.errors()
    counts, costs = PUBLISHED[iou_type]
    assert errors.ap == pytest.approx(result.as_dict()["AP50"], abs=1e-15)
    assert list(errors.counts.items()) == list(zip(KINDS, counts, strict=True))
    np.testing.assert_allclose(list(errors.costs.values()), costs, rtol=0, atol=1e-12)


def test_nothing_has_no_errors() -> None:
    result = fi.DetectionEvaluator(details=True).compute()
    assert len(result.matches) == 0
    assert result.confusion_matrix().matrix.tolist() == [[0]]
    errors = result.errors()
    assert errors.ap == -1
    assert set(errors.costs.values()) == {-1}


def test_without_truth_all_detections_are_on_the_background() -> None:
    preds, target = columns_of(0)
    result = detailed(preds, rows_of(target, np.zeros(0, int)))
    errors = result.errors()
    assert (errors.ap, errors.counts["Bkg"]) == (-1, len(result.kept))
    assert result.confusion_matrix().matrix[:-1].sum() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda result: result.errors(iou=0.05), "iou must be at least 0.1, from which on pairs"),
        (lambda result: result.errors(background=0.6), "background must be at least 0.1, from"),
        (lambda result: result.errors(background=0.05), "background must be at least 0.1, from"),
        (lambda result: result.confusion_matrix(iou=1.5), "iou must be greater than 0 and at most"),
        (lambda result: result.confusion_matrix(score="a"), "score must be a number, got 'a'"),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call(detailed(*columns_of(0)))


def test_the_option_that_is_needed_is_named() -> None:
    result = evaluated(*columns_of(0))
    for ask in (lambda: result.matches, result.confusion_matrix, result.errors):
        with pytest.raises(ValueError, match="evaluate with details=True for matches"):
            ask()
    with pytest.raises(TypeError, match="details must be True or False, got 1"):
        fi.DetectionEvaluator(details=1)  # type: ignore[arg-type]
