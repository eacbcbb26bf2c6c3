"""What is no argument of a call is refused by its name, in few words, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastiou
from fastiou.runtime import memory
from fastiou.runtime.words import described, described_dtype

#: Characters of a message.
LONGEST = 400

BOX, MASK = np.array([[0.0, 0, 1, 1]]), np.ones((1, 2, 3), np.bool_)
POLYGON = [[[0, 0, 2, 0, 2, 2]]]


class Shaped:
    """Something whose shape is none."""

    shape = 5


class Wordy:
    """An array that cannot be read, and says why at length."""

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("because " * 1000)

    def __repr__(self) -> str:
        raise ValueError("nor can it be shown")


class Endless:
    """A sequence of one item, by its length, that has others behind it."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self


class EndlessRows(Endless):
    """The same of boxes."""

    def __getitem__(self, index: int) -> Any:
        return [0.0, 0.0, 1.0, 1.0]


def inside_itself() -> list[Any]:
    holder: list[Any] = []
    holder.append(holder)
    return holder


ODD = {
    "a list in itself": inside_itself(),
    "a list of such": [inside_itself()],
    "a shape of 5": Shaped(),
    "no end": Endless(),
    "rows without end": EndlessRows(),
    "a list of endless": [Endless()],
    "no array": Wordy(),
    "3,000 fields": np.zeros(2, [(f"field{number}", float) for number in range(3000)]),
    "a long word": "a" * 10_000,
    "long words": ["a" * 10_000] * 100,
    "an object": object(),
    "a dict": {"x": [0.0] * 1000},
    "a function": lambda: 1,
    "complex": np.full((1, 4), 1j),
}

#: By the name of the argument that is odd: what a call makes of it.
CALLS: list[tuple[str, Callable[[Any], Any]]] = [
    ("boxes1", lambda odd: fastiou.box_iou(odd, BOX)),
    ("boxes2", lambda odd: fastiou.box_iou(BOX, odd)),
    ("boxes1", lambda odd: fastiou.generalized_box_iou(odd, BOX)),
    ("fmt", lambda odd: fastiou.box_iou(BOX, BOX, odd)),
    ("metric", lambda odd: fastiou.box_iou(BOX, BOX, metric=odd)),
    ("aligned", lambda odd: fastiou.box_iou(BOX, BOX, aligned=odd)),
    ("aligned", lambda odd: fastiou.mask_iou(MASK, MASK, aligned=odd)),
    ("iscrowd", lambda odd: fastiou.box_iou(BOX, BOX, iscrowd=odd)),
    ("out", lambda odd: fastiou.box_iou(BOX, BOX, out=odd)),
    ("device", lambda odd: fastiou.box_iou(BOX, BOX, device=odd)),
    ("masks1", lambda odd: fastiou.mask_iou(odd, MASK)),
    ("masks2", lambda odd: fastiou.mask_iou(MASK, odd)),
    ("boxes", fastiou.box_area),
    ("boxes", lambda odd: fastiou.box_convert(odd, "xyxy", "xywh")),
    ("out_fmt", lambda odd: fastiou.box_convert(BOX, "xyxy", odd)),
    ("masks", fastiou.masks_to_boxes),
    ("a", lambda odd: fastiou.pairs(odd, BOX)),
    ("b", lambda odd: fastiou.pairs(BOX, odd)),
    ("threshold", lambda odd: fastiou.pairs(BOX, BOX, odd)),
    ("groups", lambda odd: fastiou.pairs(BOX, groups=odd)),
    ("groups", lambda odd: fastiou.pairs(BOX, BOX, groups=odd)),
    ("groups", lambda odd: fastiou.pairs(BOX, BOX, groups=([1], odd))),
    ("groups[1]", lambda odd: fastiou.pairs(BOX, BOX, groups=(([1], [1]), ([1], odd)))),
    ("a", lambda odd: fastiou.topk(odd, BOX)),
    ("k", lambda odd: fastiou.topk(BOX, BOX, odd)),
    ("a", lambda odd: fastiou.match(odd, BOX)),
    ("method", lambda odd: fastiou.match(BOX, BOX, method=odd)),
    ("scores", lambda odd: fastiou.match(BOX, BOX, method="coco", scores=odd)),
    ("a", lambda odd: fastiou.nms(odd, [1])),
    ("scores", lambda odd: fastiou.nms(BOX, odd)),
    ("groups", lambda odd: fastiou.nms(BOX, [1], groups=odd)),
    ("sigma", lambda odd: fastiou.nms(BOX, [1], sigma=odd)),
    ("score_threshold", lambda odd: fastiou.nms(BOX, [1], score_threshold=odd)),
    ("max_output", lambda odd: fastiou.nms(BOX, [1], max_output=odd)),
    ("b", fastiou.Index),
    ("groups", lambda odd: fastiou.Index(BOX, groups=odd)),
    ("a", fastiou.Index(BOX).pairs),
    ("k", lambda odd: fastiou.Index(BOX).topk(BOX, odd)),
    ("array", fastiou.Masks.from_dense),
    ("entries", fastiou.Masks.from_rle),
    ("size", lambda odd: fastiou.Masks.from_rle([], odd)),
    ("polygons", lambda odd: fastiou.Masks.from_polygons(odd, (4, 4))),
    ("size", lambda odd: fastiou.Masks.from_polygons(POLYGON, odd)),
    ("image", fastiou.Masks.from_labels),
    ("sets", fastiou.Masks.concatenate),
    ("size", fastiou.Masks.from_dense(MASK).padded),
    ("labels1", lambda odd: fastiou.label_iou(odd, [1])),
    ("labels2", lambda odd: fastiou.label_overlap([1], odd)),
    ("target", lambda odd: fastiou.confusion_matrix(odd, [0], 1)),
    ("pred", lambda odd: fastiou.confusion_matrix([0], odd, 1)),
    ("num_classes", lambda odd: fastiou.confusion_matrix([0], [0], odd)),
    ("ignore_index", lambda odd: fastiou.confusion_matrix([0], [0], 1, ignore_index=odd)),
    ("target", fastiou.mean_iou),
    ("inputs", lambda odd: fastiou.soft_iou(odd, [1])),
    ("targets", lambda odd: fastiou.soft_iou([1], odd)),
    ("smooth", lambda odd: fastiou.soft_iou([1], [1], smooth=odd)),
    ("axis", lambda odd: fastiou.soft_iou([1], [1], axis=odd)),
    ("outputs", lambda odd: fastiou.thresholded_iou(odd, MASK)),
    ("iou", fastiou.iou_grade),
    ("good", lambda odd: fastiou.iou_grade(0.5, good=odd)),
]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    ("name", "call"), CALLS, ids=[f"{number}-{name}" for number, (name, _) in enumerate(CALLS)]
)
def test_what_is_odd_is_refused_by_name(name: str, call: Callable[[Any], Any], odd: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        call(odd)
    message = str(raised.value)
    assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message), message
    assert len(message) <= LONGEST


@pytest.mark.parametrize("odd", [[[0], [0, 1]], inside_itself(), object(), 1.5, "a" * 10_000])
def test_an_odd_index_of_masks(odd: Any) -> None:
    with pytest.raises(IndexError) as raised:
        fastiou.Masks.from_dense(MASK)[odd]
    assert len(str(raised.value)) <= LONGEST


HUGE = [2**63, 10**30, 10**400, 10**5000, -(10**400)]


@pytest.mark.parametrize("number", HUGE, ids=[f"{len(hex(number))}" for number in HUGE])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("k", lambda huge: fastiou.topk(BOX, BOX, huge)),
        ("k", lambda huge: fastiou.Index(BOX).topk(BOX, huge)),
        ("num_classes", lambda huge: fastiou.confusion_matrix([0], [0], huge)),
        ("num_classes", lambda huge: fastiou.mean_iou([0], [0], huge)),
        ("max_output", lambda huge: fastiou.nms(BOX, [1], max_output=huge)),
        ("axis", lambda huge: fastiou.soft_iou([1], [1], axis=huge)),
        ("size", lambda huge: fastiou.Masks.from_rle([], (huge, 1))),
        ("threshold", lambda huge: fastiou.pairs(BOX, BOX, huge)),
        ("threshold", lambda huge: fastiou.nms(BOX, [1], huge)),
        ("b", lambda huge: fastiou.pairs(BOX, huge)),
    ],
)
def test_huge_integers(name: str, call: Callable[[int], Any], number: int) -> None:
    with pytest.raises((ValueError, TypeError) if name == "b" else ValueError) as raised:
        call(number)
    assert str(raised.value).startswith(name)
    assert len(str(raised.value)) <= LONGEST


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("sigma", lambda: fastiou.nms(BOX, [1], sigma=10**400)),
        ("sigma", lambda: fastiou.nms(BOX, [1], sigma=-(10**5000))),
        ("smooth", lambda: fastiou.soft_iou([1], [1], smooth=10**5000)),
        ("smooth", lambda: fastiou.thresholded_iou(MASK, MASK, smooth=-(10**400))),
        ("good", lambda: fastiou.iou_grade(0.5, good=10**400)),
        ("ignore_index", lambda: fastiou.confusion_matrix([0], [0], 1, ignore_index=2**64)),
        ("ignore_index", lambda: fastiou.confusion_matrix([0], [0], 1, ignore_index=-(10**5000))),
    ],
)
def test_huge_integers_where_floats_are_finite(name: str, call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be") as raised:
        call()
    assert len(str(raised.value)) <= LONGEST


def test_classes_that_are_left_out_may_be_any_integer_of_64_bits() -> None:
    for ignored in (2**64 - 1, -(2**63), 255):
        matrix = fastiou.confusion_matrix([0, 0], [0, 0], 1, ignore_index=ignored)
        assert matrix.tolist() == [[2]]


@pytest.mark.parametrize("value", [1, 0, "no", "", None, [], [True], np.ones(1, np.bool_), 1.0])
def test_what_counts_as_true_is_no_boolean(value: Any) -> None:
    for call in (
        lambda: fastiou.box_iou(BOX, BOX, aligned=value),
        lambda: fastiou.box_iou(BOX.tolist(), BOX, aligned=value),
        lambda: fastiou.mask_iou(MASK, MASK, aligned=value),
    ):
        with pytest.raises(TypeError, match=r"^aligned must be True or False, got "):
            call()
    with pytest.raises(TypeError, match=r"^progress must be a bool or a function"):
        fastiou.pairs(BOX, BOX, progress=value)


def test_booleans_of_numpy() -> None:
    assert fastiou.box_iou(BOX, BOX, aligned=np.True_).shape == (1,)
    assert fastiou.box_iou(BOX, BOX, aligned=np.False_).shape == (1, 1)
    assert len(fastiou.pairs(BOX, BOX, progress=np.False_)) == 1


@pytest.mark.parametrize("columns", [5, 6, 7])
def test_what_follows_the_boxes_is_cut_off_by_the_caller(columns: int) -> None:
    wide = np.ones((3, columns))
    for name, call in (
        ("a", lambda: fastiou.match(wide, BOX)),
        ("b", lambda: fastiou.match(BOX, wide)),
        ("a", lambda: fastiou.nms(wide, np.ones(3))),
        ("boxes1", lambda: fastiou.box_iou(wide, BOX)),
        ("boxes", lambda: fastiou.box_area(wide.tolist())),
    ):
        with pytest.raises(ValueError, match=rf"got \(3, {columns}\); .* pass {name}\[:, :4\]$"):
            call()
    with pytest.raises(ValueError, match=r"pass boxes1\[\.\.\., :4\]$"):
        fastiou.box_iou(wide[None], BOX)
    if columns > 5:
        with pytest.raises(ValueError, match=r"pass a\[:, :5\]$"):
            fastiou.pairs(wide, fmt="cxcywhr")
    with pytest.raises(ValueError, match=r"got \(3, 9\)$"):
        fastiou.nms(np.ones((3, 9)), np.ones(3))


def test_mean_iou_names_what_was_passed() -> None:
    with pytest.raises(ValueError, match=r"^target must be a confusion matrix of the shape"):
        fastiou.mean_iou([1, 0])
    with pytest.raises(ValueError, match=r"^target must hold finite counts of at least 0"):
        fastiou.mean_iou([[-1]])
    with pytest.raises(TypeError, match=r"^target must hold booleans"):
        fastiou.mean_iou([["a"]])


def test_lists_beyond_memory_are_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __array__(self, *arguments: Any, **options: Any) -> Any:
            raise MemoryError

    with pytest.raises(MemoryError, match=r"^boxes1 does not fit in memory as an array$"):
        fastiou.box_iou(Full(), BOX)
    monkeypatch.setattr(memory, "_available_memory", lambda: 10**9)
    with pytest.raises(MemoryError, match=r"needs .* are free; "):
        fastiou.box_iou(np.zeros((50_000, 4)), np.zeros((50_000, 4)))


@pytest.mark.parametrize(
    ("place", "name", "call"),
    [
        ("fastiou.arrays.keys._key", "groups", lambda: fastiou.pairs(BOX, groups=["a"])),
        ("fastiou.search.groups.KeyTable", "groups", lambda: fastiou.pairs(BOX, groups=["a"])),
        ("fastiou.relations.index.KeyTable", "groups", lambda: fastiou.Index(BOX, groups=["a"])),
        ("fastiou.geometries.masks.run_lengths._offsets", "entries",
         lambda: fastiou.Masks.from_rle([{"size": [1, 1], "counts": [1]}])),
        ("fastiou.geometries.masks.polygons.rings_of_each", "polygons",
         lambda: fastiou.Masks.from_polygons(POLYGON, (4, 4))),
        ("fastiou.geometries.masks.mask_set.write_run_lengths", "run lengths of masks",
         fastiou.Masks.from_dense(MASK).to_rle),
    ],
)  # fmt: skip
def test_memory_that_python_has_not_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, place: str, name: str, call: Callable[[], Any]
) -> None:
    def full(*arguments: Any, **options: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(place, full)
    with pytest.raises(MemoryError, match=rf"^{name} needs more memory than is free; "):
        call()


def test_words_are_short() -> None:
    assert described(1.5) == "1.5"
    assert described("ab") == "'ab'"
    for value in ["a" * 10**6, list(range(10**6)), 10**6000, ODD["3,000 fields"], Wordy()]:
        assert 2 < len(described(value)) <= 80
    assert described_dtype(np.dtype(np.float32)) == "float32"
    assert len(described_dtype(ODD["3,000 fields"].dtype)) <= 80


PER_IMAGE = [np.zeros((2, 4)), np.ones((3, 4))]


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("parts", [PER_IMAGE, [part.tolist() for part in PER_IMAGE]])
def test_boxes_of_images_in_a_list_are_told_how_to_join(kind: type, parts: list[Any]) -> None:
    given = kind(parts)
    words = r"of the shapes \(2, 4\) and \(3, 4\); np.concatenate\({}\) joins images, and groups="
    calls: dict[str, Callable[[], Any]] = {
        "boxes1": lambda: fastiou.box_iou(given, BOX),
        "a": lambda: fastiou.nms(given, [0.5] * 5),
        "b": lambda: fastiou.match(BOX, given),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"^{name} cannot be read .*{words.format(name)}"):
            call()


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        ([np.ones((3, 4, 5)), np.ones((3, 4, 6))], r"\(3, 4, 5\) and \(3, 4, 6\)$"),
        ([[0, 0, 1, 1], [0, 1]], r"\(4,\) and \(2,\)$"),
        ([[0, 0, 1, 1], 3], r"\(4,\) and \(\)$"),
    ],
)
def test_parts_of_different_shapes_are_told(given: list[Any], shapes: str) -> None:
    with pytest.raises(ValueError, match=f"^boxes1 cannot .* it has parts of the shapes {shapes}"):
        fastiou.box_iou(given, BOX)


RECORDS = np.array([(1, 2, 3, 4)], dtype=[(name, "f4") for name in ("x1", "y1", "x2", "y2")])
RECTANGLE = ((1.0, 2.0), (3.0, 4.0), 30.0)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (
            [RECTANGLE, RECTANGLE],
            ValueError,
            r"for middle, size, angle in boxes1\] with fmt='cx",
        ),
        (RECTANGLE, ValueError, r"for middle, size, angle in \[boxes1\]\] with fmt='cxcywhr-cw'"),
        (RECORDS, TypeError, r"got records with the fields x1, y1, x2, y2: np.stack\(\[boxes1\["),
        (RECORDS.view(np.recarray), TypeError, "got records with the fields x1, y1, x2, y2"),
        ([{"x1": 1}], TypeError, r"got dicts with x1: BoxTable.from_frame\(pandas.DataFrame\(boxe"),
        ({"x1": [1]}, TypeError, r"got a dict with x1: BoxTable.from_frame\(boxes1\) takes"),
        ({"boxes": 1, "labels": 2}, TypeError, r"with boxes, labels: pass boxes1\['boxes'\]"),
    ],
)
def test_what_holds_boxes_otherwise_is_told_with_the_way(
    value: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        fastiou.box_iou(value, [[0, 0, 1, 1]])


def test_what_messages_advise_of_records_and_rectangles_works() -> None:
    boxes1 = RECORDS
    array = np.stack([boxes1[field] for field in boxes1.dtype.names], axis=-1)
    assert array.tolist() == [[1, 2, 3, 4]]
    turned = [(*middle, *size, angle) for middle, size, angle in [RECTANGLE]]
    assert fastiou.box_iou(turned, turned, "cxcywhr-cw").tolist() == [[1]]
    with pytest.raises(ValueError, match=r"BoxTable\.from_frame takes boxes by the names"):
        fastiou.nms([{"x1": 1, "y1": 2}], [0.5])
