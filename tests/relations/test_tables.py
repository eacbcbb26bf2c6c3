"""Tables and data frames with named columns in place of arrays."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array, random_boxes

import fastiou
from fastiou import BoxTable

MAKERS = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}


def maker(library: str) -> Any:
    module = pytest.importorskip(
        library, exc_type=ImportError, reason=f"{library} is not installed"
    )
    return getattr(module, MAKERS[library])


def table_of(rng: np.random.Generator, size: int, fmt: str = "xyxy", **others: Any) -> BoxTable:
    boxes = random_boxes(rng, size, span=20)
    keys = {
        "image": np.array([f"{number}.jpg" for number in rng.integers(0, 3, size)]),
        "category": rng.integers(0, 2, size),
    }
    boxes = fastiou.box_convert(boxes, "xyxy", fmt)
    columns = {"scores": rng.random(size), "keys": keys, "ids": np.arange(size) + 100}
    return BoxTable(boxes, fmt, **{**columns, **others})


@pytest.fixture
def both(rng: np.random.Generator) -> tuple[BoxTable, BoxTable]:
    """Tables of two formats."""
    return table_of(rng, 40), table_of(rng, 30, "xywh")


def groups_of(table: BoxTable) -> tuple[Array, Array]:
    return table.keys["image"], table.keys["category"]


def assert_equal(actual: Any, expected: Any) -> None:
    for own, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(own, other, strict=True)


# ---- the table itself ----------------------------------------------------------------------------


def test_it_is_indexed(rng: np.random.Generator) -> None:
    table = table_of(rng, 9, iscrowd=np.arange(9) % 2 == 0).by("image")
    flags = table.scores > 0.5
    for index in (slice(2, 8, 2), [3, 1, -1], np.array([4]), flags, [], np.int64(3), slice(0, 0)):
        some = table[index]
        places = np.arange(9)[index] if not isinstance(index, list) else np.array(index, np.int64)
        places = np.atleast_1d(places)
        np.testing.assert_array_equal(some.boxes, table.boxes[places])
        np.testing.assert_array_equal(some.keys["image"], table.keys["image"][places])
        np.testing.assert_array_equal(some.ids, table.ids[places])
        np.testing.assert_array_equal(some.scores, table.scores[places])
        np.testing.assert_array_equal(some.iscrowd, table.iscrowd[places])
        assert len(some) == len(places)
        assert (some.fmt, some.grouped) == ("xyxy", ("image",))
    for wrong in (9, [-10], "a", [0.5], [True], (0, 1, [2]), [[1]]):
        with pytest.raises(IndexError):
            table[wrong]


def test_it_says_what_it_holds(rng: np.random.Generator) -> None:
    table = table_of(rng, 2)
    assert repr(table) == "<BoxTable: 2 boxes as xyxy; scores; keys image, category; ids>"
    assert repr(table[:1].by()).endswith("keys image, category (grouped by none); ids>")
    assert repr(BoxTable(np.empty((0, 5)), "cxcywhr")) == "<BoxTable: 0 boxes as cxcywhr>"
    masks = fastiou.Masks.from_dense(np.ones((1, 2, 2), np.bool_))
    assert repr(BoxTable(masks=masks)) == "<BoxTable: 1 mask>"
    assert table.labels is table.keys["category"]
    assert BoxTable([[0, 0, 1, 1]]).labels is None


def test_it_is_pickled(both: tuple[BoxTable, BoxTable]) -> None:
    table = both[0]
    again = pickle.loads(pickle.dumps(table))
    assert_equal(again.columns().values(), table.columns().values())
    found = fastiou.pairs(*both, 0.1)
    assert found.source is not None
    again = pickle.loads(pickle.dumps(found))
    assert_equal(again.columns().values(), found.columns().values())
    index = pickle.loads(pickle.dumps(fastiou.Index(both[1])))
    assert_equal(
        index.pairs(both[0].convert("xywh"), 0.1), fastiou.Index(both[1]).pairs(both[0], 0.1)
    )


def test_it_cannot_be_changed(rng: np.random.Generator) -> None:
    with pytest.raises(AttributeError):
        table_of(rng, 2).fmt = "xywh"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": [1]}, r"^scores must have the shape \(2,\), got \(1,\): one for each of"),
        ({"scores": [1, np.nan]}, r"^scores must be numbers, got NaN in row 1"),
        ({"keys": {"image": [1]}}, r"^keys\['image'\] must have the shape \(2,\), got \(1,\)"),
        ({"keys": {"image": ["a", None]}}, r"^keys\['image'\] has no value at position 1"),
        ({"keys": [1, 2]}, r"^keys must be a dict of arrays by name, got \[1, 2\]"),
        ({"keys": {"image": [1, 2]}, "grouped": ("a",)}, r"^there is no key 'a' in the table, but"),
        ({"ids": [1.5, 2]}, r"^ids must hold integers or names"),
        ({"iscrowd": [1]}, r"^iscrowd must be 2 booleans"),
        ({"fmt": "xyxyx"}, r"^fmt must be one of 'xyxy'"),
        ({"masks": np.ones((2, 1, 1))}, r"^a BoxTable must have either boxes or masks, got both"),
        ({"boxes": None}, r"^a BoxTable must have either boxes or masks, got neither"),
        ({"boxes": [[1, 2, 3]]}, r"^boxes must have the shape \(N, 4\), got \(1, 3\)"),
        ({"boxes": BoxTable([[0, 0, 1, 1]])}, r"^boxes must be an array, got a table"),
        ({"grouped": 3}, r"^grouped must be names of keys, got 3"),
    ],
)
def test_unfit_columns_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        BoxTable(**{"boxes": [[0, 0, 1, 1]] * 2, **options})


def test_no_column_takes_the_place_of_another() -> None:
    keys = {"x1": [7], "score": [8], "iscrowd": [9], "key_x1": [10]}
    table = BoxTable([[1, 2, 3, 4]], scores=[0.5], keys=keys, iscrowd=[True])
    columns = {name: column.tolist() for name, column in table.columns().items()}
    assert columns == {
        "x1": [1], "y1": [2], "x2": [3], "y2": [4], "key_key_x1": [7], "key_score": [8],
        "key_iscrowd": [9], "key_x1": [10], "score": [0.5], "iscrowd": [True],
    }  # fmt: skip


@pytest.mark.parametrize("fmt", ["cxcywhr", "cxcywhr-rad", "xywhr"])
def test_angles_come_back_in_their_unit(fmt: str) -> None:
    table = BoxTable([[1, 2, 3, 4, 1.5]], fmt)
    again = BoxTable.from_frame(table.columns())
    assert (again.boxes.tolist(), again.fmt) == (table.boxes.tolist(), fmt)


# ---- in place of arrays --------------------------------------------------------------------------


def test_dense_functions_take_the_format_and_no_keys(both: tuple[BoxTable, BoxTable]) -> None:
    a, b = both
    corners = fastiou.box_convert(b.boxes, "xywh", "xyxy")
    np.testing.assert_array_equal(fastiou.box_iou(a, b), fastiou.box_iou(a.boxes, corners))
    np.testing.assert_array_equal(
        fastiou.box_iou(b, b.boxes, "xywh"), fastiou.box_iou(b.boxes, b.boxes, "xywh")
    )
    expected = fastiou.box_iou(a.boxes[:30], corners, aligned=True)
    np.testing.assert_array_equal(fastiou.box_iou(a[:30], b, aligned=True), expected)
    giou = fastiou.generalized_box_iou(a.boxes, corners)
    np.testing.assert_array_equal(fastiou.generalized_box_iou(a, b), giou)
    np.testing.assert_array_equal(fastiou.box_area(b), fastiou.box_area(b.boxes, "xywh"))
    converted = fastiou.box_convert(b, "xywh", "xyxy")
    assert converted.fmt == "xyxy"
    np.testing.assert_array_equal(converted.boxes, corners)
    np.testing.assert_array_equal(converted.keys["image"], b.keys["image"])


def test_keys_are_the_groups(both: tuple[BoxTable, BoxTable]) -> None:
    a, b = both
    corners = fastiou.box_convert(b.boxes, "xywh", "xyxy")
    groups = groups_of(a), groups_of(b)
    arrays = a.boxes, corners
    for call in (
        lambda *sets, **options: fastiou.pairs(*sets, 0.1, **options),
        lambda *sets, **options: fastiou.topk(*sets, 2, **options),
        lambda *sets, **options: fastiou.match(*sets, 0.1, **options),
        lambda *sets, **options: fastiou.match(*sets, 0.1, method="optimal", **options),
    ):
        assert_equal(call(a, b), call(*arrays, groups=groups))
        assert_equal(call(a.by(), b.by()), call(*arrays))
        assert_equal(call(a, b.by("image")), call(*arrays, groups=(groups[0][0], groups[1][0])))
        own = np.arange(40) % 2, np.arange(30) % 2
        assert_equal(call(a, b, groups=own), call(*arrays, groups=own))
    assert_equal(
        fastiou.pairs(a, threshold=0.1), fastiou.pairs(a.boxes, None, 0.1, groups=groups[0])
    )
    index = fastiou.Index(b)
    assert_equal(index.pairs(a, 0.1), fastiou.pairs(a, b, 0.1))
    assert_equal(index.topk(a, 2), fastiou.topk(a, b, 2))
    many = a[np.arange(4000) % 40]
    assert_equal(fastiou.pairs(many, b, 0.1), index.pairs(many, 0.1))


def test_nms_takes_scores_and_keys(both: tuple[BoxTable, BoxTable]) -> None:
    _, b = both
    kept = fastiou.nms(b, threshold=0.2)
    expected = fastiou.nms(b.boxes, b.scores, 0.2, groups=groups_of(b), fmt="xywh")
    np.testing.assert_array_equal(kept, expected)
    assert len(b[kept]) == len(kept)
    other = 1 - b.scores
    np.testing.assert_array_equal(
        fastiou.nms(b.by(), other, 0.2), fastiou.nms(b.boxes, other, 0.2, fmt="xywh")
    )
    soft = fastiou.soft_nms(b.by("category"), threshold=0.2)
    assert_equal(
        soft,
        fastiou.soft_nms(b.boxes, b.scores, 0.2, groups=b.keys["category"], fmt="xywh"),
    )
    batched = fastiou.batched_nms(b, None, None, 0.2)
    np.testing.assert_array_equal(batched, expected)
    without = BoxTable(b.boxes, "xywh")
    with pytest.raises(TypeError, match=r"^scores must be given: one number for each of a, which"):
        fastiou.nms(without)
    with pytest.raises(TypeError, match=r"^scores must be given: one number for each of a$"):
        fastiou.nms(b.boxes)


def test_coco_takes_scores_and_crowds(rng: np.random.Generator) -> None:
    a, b = table_of(rng, 60), table_of(rng, 30, iscrowd=np.arange(30) % 3 == 0)
    groups = groups_of(a), groups_of(b)
    expected = fastiou.match(
        a.boxes, b.boxes, 0.1, method="coco", scores=a.scores, iscrowd=b.iscrowd, groups=groups
    )
    assert_equal(fastiou.match(a, b, 0.1, method="coco"), expected)
    no_crowds = BoxTable(b.boxes, keys=b.keys, iscrowd=np.zeros(30, np.bool_))
    fastiou.match(a, no_crowds, 0.1, method="coco", metric="intersection")
    with pytest.raises(TypeError, match=r"^scores must be given: .* which has none$"):
        fastiou.match(no_crowds, a, method="coco")


def test_masks_go_where_boxes_go(rng: np.random.Generator) -> None:
    dense = rng.random((12, 9, 9)) < 0.5
    masks = fastiou.Masks.from_dense(dense)
    keys = {"image": np.arange(12) % 3}
    table = BoxTable(
        masks=masks, keys=keys, scores=rng.random(12), ids=[f"m{i}" for i in range(12)]
    )
    assert (table.fmt, len(table), len(table[3:5].masks)) == ("", 12, 2)
    np.testing.assert_array_equal(fastiou.mask_iou(table, masks), fastiou.mask_iou(masks, masks))
    own = fastiou.pairs(masks, threshold=0.1, groups=keys["image"])
    assert_equal(fastiou.pairs(table, threshold=0.1), own)
    expected = fastiou.match(masks, masks, 0.2, groups=(keys["image"],) * 2)
    assert_equal(fastiou.match(table, table, 0.2), expected)
    kept = fastiou.nms(table, threshold=0.2)
    np.testing.assert_array_equal(kept, fastiou.nms(masks, table.scores, 0.2, groups=keys["image"]))
    boxes = BoxTable(np.zeros((12, 4)), keys=keys)
    assert list(table.columns()) == ["image", "score", "id"]
    for call, message in (
        (lambda: fastiou.box_iou(table, boxes), "boxes1 must be boxes, got a table of masks"),
        (lambda: fastiou.box_area(table), "boxes must be boxes, got a table of masks"),
        (lambda: fastiou.mask_iou(masks, boxes), "masks2 must be masks, got a table of boxes"),
        (lambda: fastiou.pairs(table, boxes), "a and b must both be boxes or both masks: a holds"),
        (lambda: fastiou.Index(table), "b must be boxes, got masks"),
        (lambda: table.convert("xywh"), "a table of masks has no format"),
    ):
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            call()


def test_what_does_not_go_together_is_refused(both: tuple[BoxTable, BoxTable]) -> None:
    a, b = both
    rotated = BoxTable(np.zeros((2, 5)), "cxcywhr")
    other = BoxTable(b.boxes, "xywh", keys={"image": np.full(30, "d.jpg")})
    index = fastiou.Index(b)
    for call, message in (
        (lambda: fastiou.pairs(b, fmt="xyxy"), "fmt must be 'xywh', the format of the table a, or"),
        (lambda: fastiou.pairs(b, fmt="xyx"), "fmt must be 'xywh', the format of the table a, or"),
        (lambda: fastiou.box_area(b, "xyxy"), "fmt must be 'xywh', the format of the table boxes,"),
        (lambda: fastiou.Index(b, "xyxy"), "fmt must be 'xywh', the format of the table b, or"),
        (lambda: fastiou.box_convert(b, "xyxy", "xywh"), "in_fmt must be 'xywh', as of the table"),
        (lambda: fastiou.pairs(b, a.boxes), "fmt must be given: a is a table of xywh, and nothing"),
        (lambda: fastiou.box_iou(a.boxes, b), "fmt must be given: boxes2 is a table of xywh, and"),
        (lambda: fastiou.pairs(a, rotated), "xyxy in a and cxcywhr in b are of two geometries"),
        (lambda: a.convert("cxcywhr"), "fmt must be a format of boxes, as the table has, got"),
        (lambda: fastiou.pairs(a, b.boxes, fmt="xyxy"), "only a has image and category, so nothing "
         "tells what may meet (a.by(): all with all)"),
        (lambda: fastiou.match(a.by(), b), "only b has image and category, so nothing tells what "),
        (lambda: fastiou.topk(a, other), "no image in common: a has 0.jpg, 1.jpg, 2.jpg and b has "
         "d.jpg (a.by() and b.by() compares without regard to it)"),
        (lambda: index.pairs(a.by()), "a must have the keys of the index, image, category, and"),
        (lambda: index.pairs(other), "a must have the keys of the index, image, category, and"),
        (lambda: fastiou.Index(b.by("image")).topk(other), "no image in common: a has d.jpg and "
         "the index has 0.jpg, 1.jpg, 2.jpg (a.by() and Index(b.by()) compares without regard"),
        (lambda: fastiou.Index(b.by()).pairs(a), "only a has image and category, so nothing tells"),
        (lambda: index.pairs(b.boxes), "groups must be given, one for each of a: the index has"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            call()
    with pytest.raises(TypeError, match=r"^b must be boxes, got 0\.5; if it is the threshold"):
        fastiou.pairs(a, 0.5)
    assert "source" not in repr(fastiou.topk(a, b))
    assert fastiou.pairs(a.boxes, a.boxes).source is None  # that of tables stays with their results
    # An empty table has no values in common, and no pairs.
    assert len(fastiou.pairs(a[:0], b)) == len(index.pairs(a[:0])) == 0


@pytest.mark.filterwarnings("ignore:.* names of images without their endings")
def test_an_index_compares_names_as_pairs_does(both: tuple[BoxTable, BoxTable]) -> None:
    a, b = both
    images = b.keys["image"]
    numbers = np.array([int(name[0]) for name in images.tolist()])
    several = b.changed(
        keys={"image": numbers + 5},
        key_columns={"image": {"image_id": numbers + 5, "file": images}},
    ).changed(grouped=("image",))
    a = a.by("image")
    for other in (
        BoxTable(b.boxes, "xywh", keys={"image": np.array([name[0] for name in images])}),
        BoxTable(b.boxes, "xywh", keys={"image": numbers}),
        several,
    ):
        for one in (a, BoxTable(a.boxes, keys={"image": np.array([*"0123"])[np.arange(40) % 4]})):
            for first, second in ((one, other), (other, one)):
                index = pickle.loads(pickle.dumps(fastiou.Index(second)))
                try:
                    expected = fastiou.pairs(first, second, 0.1)
                except ValueError as error:
                    words = str(error).partition(":")[0]
                    with pytest.raises(ValueError, match=f"^{words}: a has .* and the index has "):
                        index.pairs(first, 0.1)
                    continue
                assert_equal(index.pairs(first, 0.1), expected)
                assert len(expected)
                found = index.pairs(first, 0.1).columns()
                assert_equal(found.values(), expected.columns().values())
                assert_equal(index.topk(first, 2), fastiou.topk(first, second, 2))
    # Each key has values in common, and no group has.
    one = BoxTable([[0, 0, 1, 1]] * 2, keys={"image": [1, 2], "category": [3, 4]})
    other = BoxTable([[0, 0, 1, 1]] * 2, keys={"image": [1, 2], "category": [4, 3]})
    assert len(fastiou.Index(one).pairs(other)) == len(fastiou.pairs(one, other)) == 0
    swapped = several.by("image_id").changed(
        key_columns={"image": {"image_id": -numbers, "file": images}}
    )
    words = "image_id and file tell different groups across a and the index: a.by('image_id') and "
    with pytest.raises(ValueError, match=f"^{re.escape(words + 'Index(b.by(')}"):
        fastiou.Index(several).pairs(swapped)


def test_an_index_keeps_a_copy_of_a_table(both: tuple[BoxTable, BoxTable]) -> None:
    a, b = both
    index, found = fastiou.Index(b), fastiou.pairs(a, b, 0.1).columns()
    b.ids[:] = 0
    b.keys["image"][:] = "c"
    assert_equal(index.pairs(a, 0.1).columns().values(), found.values())


def test_results_have_the_callers_keys(both: tuple[BoxTable, BoxTable]) -> None:
    a, b = both
    found = fastiou.pairs(a, b, 0.1)
    columns = found.columns()
    assert list(columns) == ["rows", "cols", "values", "image", "category", "id_a", "id_b"]
    np.testing.assert_array_equal(columns["image"], a.keys["image"][found.rows])
    np.testing.assert_array_equal(columns["image"], b.keys["image"][found.cols])
    np.testing.assert_array_equal(columns["id_b"], b.ids[found.cols])
    best = fastiou.topk(a, b, 2)
    rows, cols, values = best.to_numpy()
    np.testing.assert_array_equal(best.values[best.indices >= 0], values)
    np.testing.assert_array_equal(best.columns()["id_b"], b.ids[cols])
    assert (np.diff(rows) >= 0).all()
    matched = fastiou.match(a.by("category"), b, 0.1)
    assert list(matched.columns()) == ["rows", "cols", "values", "category", "id_a", "id_b"]
    mine = fastiou.pairs(a.boxes, a.boxes, 0.1).columns()
    assert list(mine) == ["rows", "cols", "values"]
    plain = fastiou.Index(b).pairs(a, 0.1).columns()
    assert_equal(plain.values(), columns.values())
    alone = fastiou.Index(a.by()).pairs(a.boxes).columns()
    assert list(alone) == ["rows", "cols", "values", "id_b"]
    taken = BoxTable(a.boxes, keys={"rows": np.zeros(40, np.int64)})
    assert list(fastiou.pairs(taken).columns()) == ["rows", "cols", "values", "key_rows"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_results_become_frames(both: tuple[BoxTable, BoxTable], library: str) -> None:
    pytest.importorskip(library, exc_type=ImportError, reason=f"{library} is not installed")
    a, b = both
    for found in (a, fastiou.pairs(a, b, 0.1), fastiou.topk(a, b), fastiou.match(a, b, 0.1)):
        frame = getattr(found, f"to_{library}")()
        columns = found.columns()
        assert list(frame.columns) == list(columns)
        for name, column in columns.items():
            assert frame[name].to_numpy().tolist() == column.tolist()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_missing_libraries_are_named(
    monkeypatch: pytest.MonkeyPatch, both: tuple[BoxTable, BoxTable], library: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(ImportError, match=rf"pip install 'fastiou\[{library}\]'"):
        getattr(both[0], f"to_{library}")()


# ---- data frames ---------------------------------------------------------------------------------


@pytest.mark.parametrize("library", MAKERS)
def test_frames_are_read_by_name(both: tuple[BoxTable, BoxTable], library: str) -> None:
    make = maker(library)
    a, b = both
    columns = {"y_max": a.boxes[:, 3], "x_min": a.boxes[:, 0], "x_max": a.boxes[:, 2],
               "y_min": a.boxes[:, 1], "File Name": a.keys["image"].tolist(),
               "label": a.keys["category"], "Confidence": a.scores, "note": ["n"] * 40,
               "track_id": a.ids}  # fmt: skip
    frame = make(columns)
    table = BoxTable.from_frame(frame)
    assert_equal(table.columns().values(), a.columns().values())
    assert table.unused == ("note",)
    assert_equal(fastiou.pairs(frame, b, 0.1), fastiou.pairs(a, b, 0.1))
    np.testing.assert_array_equal(fastiou.nms(frame), fastiou.nms(a))
    np.testing.assert_array_equal(fastiou.box_iou(frame, frame), fastiou.box_iou(a, a))
    np.testing.assert_array_equal(fastiou.box_area(frame), fastiou.box_area(a))
    assert BoxTable.from_frame(frame, by=["label"]).keys.keys() == {"category"}
    cameras = BoxTable.from_frame(make({**columns, "cam": list(range(40))}))
    assert cameras.by("cam").grouped == cameras.by("video").grouped == ("video",)
    with pytest.raises(ValueError, match=r"^fmt must be 'xyxy' for the columns x_min,y_min,x_max,"):
        fastiou.pairs(frame, fmt="xywh")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_come_back_from_frames(rng: np.random.Generator, library: str) -> None:
    pytest.importorskip(library, exc_type=ImportError, reason=f"{library} is not installed")
    for fmt in ("xyxy", "xywh", "cxcywh"):
        table = table_of(rng, 7, fmt, iscrowd=np.arange(7) % 2 == 1)
        again = BoxTable.from_frame(getattr(table, f"to_{library}")())
        assert again.fmt == fmt
        assert_equal(again.columns().values(), table.columns().values())


@pytest.mark.parametrize("library", MAKERS)
def test_types_of_numbers_stay(library: str) -> None:
    make = maker(library)
    for dtype in (np.float32, np.int16, np.uint8):
        columns = {
            name: np.array([value], dtype) for name, value in zip("xywh", (1, 2, 3, 4), strict=True)
        }
        assert BoxTable.from_frame(make(columns)).boxes.dtype == dtype


def test_frames_whose_names_tell_nothing() -> None:
    make = maker("pandas")
    ordered = make([[0, 0, 2, 2], [1, 1, 3, 3]])
    np.testing.assert_array_equal(fastiou.box_area(ordered), [4, 4])
    corners = {"x1": [0], "y1": [0], "x2": [1], "y2": [1]}
    for columns, message in (
        ({"a": [1], "b": [1], "c": [1], "d": [1]}, r"^a: the columns 'a,b,c,d' name no boxes, "),
        ({**corners, "w": [1], "h": [1], "x": [0], "y": [0]}, r"^a: columns of several layouts"),
        ({**corners, "image": [None]}, r"^a\['image'\] has no value at position 0"),
        ({**corners, "image": [1.5]}, r"^a\['image'\] must hold integers or names"),
        ({**corners, "x1": ["1"]}, r"^a\['x1'\] must hold booleans, integers, or floats"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            fastiou.pairs(make(columns))
    both = make({**{name: values * 3 for name, values in corners.items()}, "image_id": [1, 1, 2],
                 "file_name": ["a", "b", "c"]})  # fmt: skip
    with pytest.raises(ValueError, match=r"columns image_id and file_name tell different groups"):
        fastiou.pairs(both)
    with pytest.raises(TypeError, match=r"^boxes must be an array, got a data frame"):
        BoxTable(both)
    with pytest.raises(TypeError, match=r"^frame must be a data frame of pandas or polars"):
        BoxTable.from_frame([[0, 0, 1, 1]])
    without_ids = BoxTable.from_frame(make({**corners, "id": [None]}))
    assert (without_ids.ids, without_ids.unused) == (None, ("id",))


CORNERS = {"x1": [0, 1], "y1": [0, 1], "x2": [2, 3], "y2": [2, 3]}


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({**CORNERS, "x1": 0}, {}, r"^frame\['x1'\] must have the shape \(1,\), got \(\)"),
        ({**CORNERS, "x2": [2]}, {}, r"^frame\['x2'\] must have the shape \(2,\), got \(1,\)"),
        ({**CORNERS, "y1": [[0, 1]]}, {}, r"^frame\['y1'\] must have the shape \(2,\), got \(1, 2"),
        ({0: [1], 1: [2]}, {}, r"^frame: the columns '0,1' name no boxes"),
        ({"bbox": [[1, 2, 3, 4], None]}, {}, r"^frame\['bbox'\] .*as xyxy has, got None in row 1"),
        ({"bbox": ["[1, 2]"]}, {}, r"^frame\['bbox'\] must hold 4 numbers in each row, .*row 0"),
        ({"bbox": [[1, 2, 3]]}, {}, r"^frame\['bbox'\] .* got \[1, 2, 3\] in row 0"),
        (CORNERS, {"by": 3}, r"^by must be names of keys, got 3"),
    ],
)
def test_columns_that_do_not_go_together(
    columns: dict[Any, Any], options: dict[str, Any], message: str
) -> None:
    fmt = "xyxy" if "bbox" in columns else None
    with pytest.raises((TypeError, ValueError), match=message):
        BoxTable.from_frame(columns, fmt=fmt, **options)


def test_keys_of_a_frame_are_named_as_those_of_a_file() -> None:
    columns = {**CORNERS, "image": [1, 2], "class": ["a", "b"]}
    assert list(BoxTable.from_frame(columns, by="image").keys) == ["image"]
    assert list(BoxTable.from_frame(columns, by="class, image").keys) == ["category", "image"]


def test_levels_of_an_index_are_columns() -> None:
    pandas = pytest.importorskip("pandas", exc_type=ImportError)
    corners = {name: [0.0 if "1" in name else 9.0] * 2 for name in CORNERS}
    frame = pandas.DataFrame({"image": ["a", "b"], **corners, "score": [0.9, 0.8]})
    assert fastiou.nms(frame.set_index("image")).tolist() == [0, 1]
    assert list(BoxTable.from_frame(frame.set_index("image")).keys) == ["image"]
    both = frame.assign(label="cat").set_index(["image", "label"])
    assert list(BoxTable.from_frame(both).keys) == ["image", "category"]
    assert fastiou.nms(frame.groupby("image").first()).tolist() == [0, 1]
    kept = frame.set_index("image", drop=False)  # and a column of the same name
    assert BoxTable.from_frame(kept).keys["image"].tolist() == ["a", "b"]
    assert fastiou.nms(frame.drop(columns="image")).tolist() == [0]
    bare = pandas.DataFrame([[0, 0, 2, 2], [1, 1, 3, 3]], index=pandas.Index([1, 2], name="image"))
    with pytest.raises(ValueError, match="the columns 'image,0,1,2,3' name no boxes"):
        fastiou.pairs(bare)


def test_columns_that_may_be_keys_are_refused() -> None:
    pandas = pytest.importorskip("pandas", exc_type=ImportError)
    frame = pandas.DataFrame({**CORNERS, "name": ["a", "b"], "score": [0.9, 0.8]})
    ways = (
        r"BoxTable.from_frame\(a, by='image=name'\) or "
        r"BoxTable.from_frame\(a, by='category=name'\) or BoxTable.from_frame\(a, by='none'\)"
    )
    with pytest.raises(ValueError, match=f"column name may tell the image .* expected {ways}"):
        fastiou.nms(frame)
    assert list(BoxTable.from_frame(frame, by="name").keys) == ["name"]
    assert BoxTable.from_frame(frame, by="image=name").keys["image"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match=r"by='category=nam'|no column or key 'category=nam'"):
        BoxTable.from_frame(frame, by="category=nam")
    with pytest.raises(ValueError, match="by='image=nam': there is no column nam in frame"):
        BoxTable.from_frame(frame.rename(columns={"name": "image"}), by="image=nam")
    assert BoxTable.from_frame(frame, by="none").keys == {}


def test_an_image_that_one_table_lacks_is_told() -> None:
    own = {"image": ["a", "b"], "category": ["c", "c"]}
    boxes = [[0, 0, 1, 1]] * 2
    table, other = BoxTable(boxes, keys=own), BoxTable(boxes, keys={"category": ["c", "c"]})
    for a, b, name in ((table, other, "a"), (other, table, "b")):
        with pytest.warns(UserWarning, match=f"^only {name} has image: all are compared without"):
            assert len(fastiou.pairs(a, b)) == 4
    assert len(fastiou.pairs(table.by("category"), other)) == 4  # which was asked for


def test_two_columns_may_tell_the_image_of_a_frame_together() -> None:
    columns = {**CORNERS, "file_name": ["a", "a"], "tile": [1, 2], "score": [0.9, 0.8]}
    with pytest.raises(ValueError, match="different groups") as caught:
        BoxTable.from_frame(columns)
    by = re.findall(r"by=(\[[^]]*\])", str(caught.value))[-1]
    table = BoxTable.from_frame(columns, by=ast.literal_eval(by))
    assert {key: values.tolist() for key, values in table.keys.items()} == {
        "image": [1, 2],
        "file_name": ["a", "a"],
    }


def test_a_table_without_members_may_lack_keys() -> None:
    empty, table = BoxTable(np.empty((0, 4))), BoxTable([[0, 0, 1, 1]], keys={"image": [3]})
    for pairs in (fastiou.pairs(empty, table), fastiou.pairs(table, empty)):
        assert pairs.columns()["image"].tolist() == []


def test_a_number_is_no_score_of_each() -> None:
    with pytest.raises(TypeError, match=r"^scores must be one .* pass threshold=0\.5$"):
        fastiou.nms(BoxTable([[0, 0, 1, 1]], scores=[0.5]), 0.5)


def test_names_of_files_are_refused(tmp_path: Path) -> None:
    box = np.array([[0, 0, 1, 1.0]])
    path = tmp_path / "a.csv"
    for call in (fastiou.pairs, fastiou.match, fastiou.topk, fastiou.box_iou, fastiou.mask_iou):
        for a, b, name in (("a.csv", box, "a"), (box, "a.csv", "b"), (["x"], path, "b")):
            name = {"a": "(a|boxes1|masks1)", "b": "(b|boxes2|masks2)"}[name]
            words = (
                rf"^{name} must be an array or a table, got '.*a.csv'; fastiou.read\('.*a.csv'\)"
            )
            with pytest.raises(TypeError, match=words):
                call(a, b)
    for alone in (fastiou.pairs, fastiou.Index, fastiou.nms, fastiou.box_area):
        for _ in range(2):
            with pytest.raises(
                TypeError, match=r"; fastiou\.read\('a\.csv'\) makes a table of a file$"
            ):
                alone("a.csv")
    with pytest.raises(TypeError, match=r"got 'xywh'; the format is fmt='xywh'$"):
        fastiou.box_iou(box, "xywh")


def test_remedies_are_for_frames(both: tuple[BoxTable, BoxTable]) -> None:
    frame = maker("pandas")(both[0].columns())
    other = maker("pandas")({**both[0][:1].columns(), "image": ["d.jpg"]})
    by = "BoxTable.from_frame({}).by({})"
    for call, message in (
        (lambda: fastiou.match(frame, other), f"({by} and {by} compares without regard to it)"),
        (lambda: fastiou.pairs(frame, both[1].boxes, fmt="xyxy"), f"({by[:-3]}): all with all)"),
        (lambda: fastiou.Index(both[0].by()).pairs(frame), f"({by[:-3]}): all with all)"),
    ):
        filled = message.format("a", "'category'", "b", "'category'")
        with pytest.raises(ValueError, match=re.escape(filled) + "$"):
            call()
    with pytest.raises(ValueError, match=r"others that docs/files\.md lists, or no names"):
        BoxTable.from_frame({"a": [1]})


def test_boxes_of_a_table_of_masks() -> None:
    masks = np.eye(3, dtype=bool)[None]
    assert_equal([fastiou.masks_to_boxes(BoxTable(masks=masks))], [fastiou.masks_to_boxes(masks)])
