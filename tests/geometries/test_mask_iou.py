"""Scores of sets of masks against the reference and against COCO's."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masks_for_tests import (
    METRICS,
    Array,
    awkward_masks,
    drawn_masks,
    drawn_sizes,
    encoded,
    forms_of,
    noise,
    random_masks,
)

import fastiou
from fastiou import Masks, reference

pytestmark = [
    # Where COCO's decoder makes an array.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # Parallel kernels, of the same loops, take long to compile: see "threads" in test_masks.py.
    pytest.mark.usefixtures("one_thread"),
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("sizes", "size"),
    [((1, 1), (1, 1)), ((7, 31), (65, 129)), ((33, 70), (64, 64)), ((130, 65), (200, 131))],
)
def test_equals_the_reference(
    rng: np.random.Generator, sizes: tuple[int, int], size: tuple[int, int], metric: str
) -> None:
    a, b = (random_masks(rng, count, size) for count in sizes)
    crowd = rng.random(len(b)) < 0.3
    actual = fastiou.mask_iou(a, b, metric=metric)
    assert actual.dtype == np.float64
    np.testing.assert_array_equal(actual, reference.mask_iou(a, b, metric=metric))
    np.testing.assert_array_equal(
        fastiou.mask_iou(a, b, metric=metric, iscrowd=crowd),
        reference.mask_iou(a, b, metric=metric, iscrowd=crowd),
    )
    few = min(sizes)
    aligned = fastiou.mask_iou(a[:few], b[:few], metric=metric, aligned=True)
    np.testing.assert_array_equal(aligned, np.diag(actual[:, :few]))


@pytest.mark.parametrize("metric", METRICS)
def test_awkward_masks(metric: str) -> None:
    """Empty masks score 0, and all others 1 with themselves, exactly."""
    dense = awkward_masks((65, 130))
    packed = Masks.from_dense(dense)
    actual = fastiou.mask_iou(packed, packed, metric=metric)
    np.testing.assert_array_equal(actual, reference.mask_iou(dense, dense, metric=metric))
    empty = packed.area == 0
    assert empty.any()
    assert not actual[empty].any()
    assert not actual[:, empty].any()
    if metric != "intersection":
        assert (np.diag(actual)[~empty] == 1).all()
        assert actual.max() <= 1
    else:
        np.testing.assert_array_equal(np.diag(actual), packed.area)
    np.testing.assert_array_equal(
        fastiou.mask_iou(packed, packed[::-1], metric=metric, aligned=True),
        np.diag(actual[:, ::-1]),
    )


@pytest.mark.parametrize("metric", METRICS)
@given(size=drawn_sizes(), data=st.data())
@settings(max_examples=40)
def test_any_two_sets(size: tuple[int, int], metric: str, data: st.DataObject) -> None:
    a, b = data.draw(drawn_masks(size)), data.draw(drawn_masks(size))
    crowd = np.array(data.draw(st.lists(st.booleans(), min_size=len(b), max_size=len(b))), bool)
    for iscrowd in (None, crowd):
        actual = fastiou.mask_iou(a, b, metric=metric, iscrowd=iscrowd)
        expected = reference.mask_iou(a, b, metric=metric, iscrowd=iscrowd)
        np.testing.assert_array_equal(actual, expected)
        few = min(len(a), len(b))
        aligned = fastiou.mask_iou(
            a[:few],
            b[:few],
            metric=metric,
            iscrowd=None if iscrowd is None else iscrowd[:few],
            aligned=True,
        )
        np.testing.assert_array_equal(aligned, np.diag(expected[:few, :few]))


@pytest.mark.parametrize("size", [(64, 64), (200, 131)])
def test_scores_are_those_of_coco(
    rng: np.random.Generator, coco_mask: Any, size: tuple[int, int]
) -> None:
    a, b = (random_masks(rng, count, size) for count in (30, 50))
    crowd = rng.random(50) < 0.3
    entries1, entries2 = encoded(coco_mask, a), encoded(coco_mask, b)
    for iscrowd in (np.zeros(50, bool), crowd):
        expected = coco_mask.iou(entries1, entries2, iscrowd.astype(int).tolist())
        # COCO divides by the area of an empty mask.
        expected = np.where(np.isnan(expected), 0, expected)
        for left, right in ((a, b), (entries1, entries2), (Masks.from_dense(a), entries2)):
            np.testing.assert_array_equal(fastiou.mask_iou(left, right, iscrowd=iscrowd), expected)


#: Numbers of masks around tiles of 4, 16 and 64, and images of words around vectors of 8 and
#: blocks of 512 of them, with a box to which all masks are cropped.
UNIFORM = [
    ((1, 1), (1, 1), (0, 0, 1, 1)),
    ((3, 5), (65, 9), (0, 0, 9, 65)),
    ((4, 64), (64, 8), (0, 0, 8, 64)),
    ((16, 65), (130, 200), (0, 0, 200, 130)),
    ((17, 63), (64, 512), (0, 0, 512, 64)),
    ((18, 66), (64, 513), (0, 0, 513, 64)),
    ((19, 131), (200, 100), (3, 61, 90, 199)),
    ((33, 1), (128, 256), (0, 0, 256, 128)),
    ((1, 67), (40, 1031), (1, 7, 1030, 39)),
]


def uniform(
    rng: np.random.Generator, count: int, size: tuple[int, int], box: tuple[int, ...]
) -> Array:
    left, top, right, bottom = box
    dense = np.zeros((count, *size), np.bool_)
    dense[:, top:bottom, left:right] = noise(rng, count, (bottom - top, right - left))
    return dense


@pytest.mark.parametrize(("counts", "size", "box"), UNIFORM)
def test_masks_that_fill_one_box(
    rng: np.random.Generator,
    counts: tuple[int, int],
    size: tuple[int, int],
    box: tuple[int, ...],
) -> None:
    """They are scored in tiles; one mask more, which does not, leads them another way."""
    a, b = (uniform(rng, count, size, box) for count in counts)
    crowd = rng.random(len(b)) < 0.3
    packed1, packed2 = Masks.from_dense(a), Masks.from_dense(b)
    empty = Masks.from_dense(np.zeros((1, *size)))
    more1, more2 = Masks.concatenate([packed1, empty]), Masks.concatenate([empty, packed2])
    for iscrowd in (None, crowd):
        actual = fastiou.mask_iou(packed1, packed2, iscrowd=iscrowd)
        expected = reference.mask_iou(a, b, iscrowd=iscrowd)
        np.testing.assert_array_equal(actual, expected)
        padded = None if iscrowd is None else np.concatenate([[False], iscrowd])
        for left_set, right_set in ((packed1, more2), (more1, more2)):
            general = fastiou.mask_iou(left_set, right_set, iscrowd=padded)
            np.testing.assert_array_equal(general[: len(a), 1:], expected)
    # Slices of larger sets, which do not begin where the words do.
    np.testing.assert_array_equal(
        fastiou.mask_iou(packed1[len(a) // 2 :], packed2[len(b) // 2 :]),
        reference.mask_iou(a[len(a) // 2 :], b[len(b) // 2 :]),
    )


@pytest.mark.parametrize("metric", METRICS)
def test_masks_that_fill_one_box_by_any_metric(rng: np.random.Generator, metric: str) -> None:
    a, b = (uniform(rng, count, (70, 50), (1, 2, 49, 69)) for count in (21, 70))
    crowd = rng.random(70) < 0.3
    for iscrowd in (None, crowd):
        np.testing.assert_array_equal(
            fastiou.mask_iou(a, b, metric=metric, iscrowd=iscrowd),
            reference.mask_iou(a, b, metric=metric, iscrowd=iscrowd),
        )


def test_one_box_in_each_set_but_not_in_both(rng: np.random.Generator) -> None:
    a, b = (np.zeros((9, 70, 90), np.bool_) for _ in range(2))
    a[:, 5:65, 10:80] = noise(rng, 9, (60, 70))
    b[:, 8:68, 15:85] = noise(rng, 9, (60, 70))
    c = a.copy()
    c[-1] = b[-1]
    for pair in ((a, b), (b, a), (a, c), (c, a)):
        np.testing.assert_array_equal(fastiou.mask_iou(*pair), reference.mask_iou(*pair))


def test_forms_mix_freely(rng: np.random.Generator) -> None:
    a, b = random_masks(rng, 6, (20, 30)), random_masks(rng, 8, (20, 30))
    expected = reference.mask_iou(a, b)
    for name1, form1 in forms_of(a).items():
        for name2, form2 in forms_of(b).items():
            actual = fastiou.mask_iou(form1, form2)
            assert type(actual) is np.ndarray
            np.testing.assert_array_equal(actual, expected, err_msg=f"{name1} and {name2}")
    one = a[0]
    np.testing.assert_array_equal(fastiou.mask_iou(one, b), expected[:1])
    np.testing.assert_array_equal(fastiou.mask_iou(one, one), reference.mask_iou(a[:1], a[:1]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (5, 0)])
def test_empty_sets_keep_their_shape(sizes: tuple[int, int], metric: str) -> None:
    size = (7, 9)
    none: list[Any] = [[], (), np.zeros((0, *size)), Masks.from_rle([], size)]
    none += [Masks.from_rle([]), Masks.from_dense(np.ones((2, *size)))[:0], np.zeros((0, 0, 0))]
    some: list[Any] = [np.ones((5, *size)), Masks.from_dense(np.ones((5, *size)))]
    some += [some[1].to_rle()]
    for a in none if sizes[0] == 0 else some:
        for b in none if sizes[1] == 0 else some:
            scores = fastiou.mask_iou(a, b, metric=metric)
            assert scores.shape == sizes
            assert scores.dtype == np.float64
            crowd = [True] * sizes[1]
            assert fastiou.mask_iou(a, b, metric=metric, iscrowd=crowd).shape == sizes
            out = np.empty(sizes)
            assert fastiou.mask_iou(a, b, metric=metric, out=out) is out
            if sizes == (0, 0):
                assert fastiou.mask_iou(a, b, metric=metric, aligned=True).shape == (0,)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_masks_without_pixels_score_0(size: tuple[int, int], metric: str) -> None:
    dense = np.ones((3, *size))
    np.testing.assert_array_equal(fastiou.mask_iou(dense, dense, metric=metric), np.zeros((3, 3)))
    assert fastiou.mask_iou(dense, dense, metric=metric, aligned=True).tolist() == [0, 0, 0]


@pytest.mark.parametrize("metric", METRICS)
def test_crowds(rng: np.random.Generator, metric: str) -> None:
    a, b = random_masks(rng, 40, (70, 90)), random_masks(rng, 70, (70, 90))
    a[0] = False
    crowd = rng.random(70) < 0.3
    expected = reference.mask_iou(a, b, metric=metric, iscrowd=crowd)
    for form in (crowd, crowd.astype(np.uint8), crowd.astype(np.int64), crowd.tolist()):
        actual = fastiou.mask_iou(a, b, metric=metric, iscrowd=form)
        np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(
        fastiou.mask_iou(a, b, metric=metric, iscrowd=np.ones(70, bool)),
        reference.mask_iou(a, b, metric="iof"),
    )
    np.testing.assert_array_equal(
        fastiou.mask_iou(a, b, metric=metric, iscrowd=np.zeros(70, int)),
        reference.mask_iou(a, b, metric=metric),
    )
    aligned = fastiou.mask_iou(a, b[:40], metric=metric, iscrowd=crowd[:40], aligned=True)
    np.testing.assert_array_equal(aligned, np.diag(expected[:, :40]))


def test_out_of_any_layout(rng: np.random.Generator) -> None:
    for a, b in (
        (random_masks(rng, 30, (20, 30)), random_masks(rng, 50, (20, 30))),
        (noise(rng, 30, (20, 30)), noise(rng, 50, (20, 30))),
    ):
        expected = reference.mask_iou(a, b)
        for out in (
            np.full((30, 50), 7.0),
            np.full((50, 30), 7.0).T,
            np.full((60, 100), 7.0)[::2, ::-2],
            np.zeros(30 * 50 * 8 + 1, "u1")[1:].view(np.float64).reshape(30, 50),
        ):
            assert fastiou.mask_iou(a, b, out=out) is out
            np.testing.assert_array_equal(out, expected)
        aligned = np.full((30, 2), 7.0)
        fastiou.mask_iou(a, b[:30], aligned=True, out=aligned[:, 1])
        np.testing.assert_array_equal(aligned[:, 1], np.diag(expected[:, :30]))
        assert (aligned[:, 0] == 7).all()


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        (np.full((3, 2), 7.0), r"out must have the shape \(2, 3\) and dtype float64, got \(3, 2\)"),
        (np.full((2, 3), 7, np.float32), r"got \(2, 3\) and float32"),
        (np.full((2, 3), 7, np.int64), "got .* and int64"),
        (np.full((2, 3), 7, ">f8"), "out must have"),
        (np.broadcast_to(7.0, (2, 3)), "out must be writable, got a read-only array"),
        ([[0.0] * 3] * 2, "out must be a NumPy array or a tensor, got list"),
    ],
)
def test_unfit_out_is_refused_untouched(out: Any, problem: str) -> None:
    before = copy.deepcopy(out)
    with pytest.raises((ValueError, TypeError), match=problem):
        fastiou.mask_iou(np.ones((2, 4, 4)), np.ones((3, 4, 4)), out=out)
    np.testing.assert_array_equal(out, before)


ONE = np.ones((1, 4, 5))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((ONE, np.ones((1, 5, 4))), {}, ValueError, "masks1 and masks2 must have one size, "
         "got 4 × 5 and 5 × 4"),
        ((ONE, Masks.from_dense(np.ones((1, 5, 4)))), {}, ValueError, "must have one size"),
        ((ONE, ONE[0, 0]), {}, ValueError, r"masks2 must have the shape \(N, H, W\) or"),
        ((ONE.astype(complex), ONE), {}, TypeError, "masks1 must hold booleans"),
        ((ONE, [{"size": [4, 5], "counts": [3]}]), {}, ValueError, r"masks2\[0\]: counts sum to 3"),
        ((ONE, {"size": [4, 5], "counts": [20]}), {}, TypeError, "masks2 must be a list of dicts"),
        ((ONE, [{"size": [4, 5], "counts": [20]}, 3]), {}, TypeError,
         r"masks2\[1\] must be a dict"),
        ((None, ONE), {}, TypeError, "masks1 must hold"),
        (("masks", ONE), {}, TypeError, "masks1 must be an array or a table"),
        ((ONE, ONE), {"metric": "giou"}, ValueError,
         "metric must be one of 'iou', 'iof', .*'giou'"),
        ((ONE, ONE), {"metric": "ciou"}, ValueError, "metric must be one of"),
        ((ONE, ONE), {"metric": None}, ValueError, "metric must be one of"),
        ((ONE, np.ones((2, 4, 5))), {"aligned": True}, ValueError, "as many masks1 as masks2, got 1"
         " and 2"),
        ((ONE, ONE), {"iscrowd": [True, False]}, ValueError, "iscrowd must be 1 booleans, one for "
         "each of masks2"),
        ((ONE, ONE), {"iscrowd": []}, ValueError, "iscrowd must be 1 booleans"),
        ((ONE, ONE), {"iscrowd": [0.5]}, ValueError, "dtype float64"),
        ((ONE, ONE), {"iscrowd": True}, ValueError, r"got shape \(\)"),
        ((ONE, ONE), {"device": "gpu"}, ValueError, "device must be one of 'auto', 'cpu', 'cuda'"),
    ],
)  # fmt: skip
def test_bad_input_is_named(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fastiou.mask_iou(*arguments, **options)


def test_out_is_untouched_by_bad_input() -> None:
    out = np.full((1, 1), 7.0)
    for other in (np.ones((1, 5, 4)), [{"size": [4, 5], "counts": [3]}]):
        with pytest.raises(ValueError, match="masks2"):
            fastiou.mask_iou(ONE, other, out=out)
    assert out == 7
