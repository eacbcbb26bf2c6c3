"""Sets of masks against dense ones, and against COCO's."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masks_for_tests import (
    SIDES,
    Array,
    assert_holds,
    assert_same,
    awkward_masks,
    drawn_masks,
    drawn_sizes,
    encoded,
    layouts,
    noise,
    random_masks,
)

import fastiou
from fastiou import Masks, reference
from fastiou.geometries.masks import packing
from fastiou.runtime import memory, threads

INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
FLOATS = [np.float16, np.float32, np.float64]

pytestmark = [
    # Where COCO's decoder makes an array.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # Parallel kernels, of the same loops, take long to compile: see "threads" below.
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed")


# ---- dense masks -------------------------------------------------------------------------------


@pytest.mark.parametrize("height", SIDES)
def test_sizes_around_words(rng: np.random.Generator, height: int) -> None:
    for width in SIDES:
        dense = np.concatenate(
            [awkward_masks((height, width)), random_masks(rng, 20, (height, width))]
        )
        for some in (dense, dense[:1], dense[-1:], dense[:0]):
            assert_holds(Masks.from_dense(some), some)


@pytest.mark.parametrize("dtype", [np.bool_, *INTEGERS, *FLOATS, np.longdouble])
def test_what_is_not_0_is_foreground(rng: np.random.Generator, dtype: type) -> None:
    values = np.array([0, 1])
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = np.array([0, 1, 2, info.max, info.min], dtype)
    elif np.issubdtype(dtype, np.floating):
        info = np.finfo(dtype)
        values = np.array([0, -0.0, 1, -1, 2, info.max, info.min], dtype)
    background = values == 0
    chosen = rng.integers(0, len(values), (5, 70, 90))
    before = values[chosen]
    given = before.copy()
    assert_holds(Masks.from_dense(given), (~background)[chosen])
    np.testing.assert_array_equal(given, before)


#: What is no whole number, in each type of floats.
FRACTIONS = (0.25, -0.5, np.nan, np.inf, -np.inf, 1.5)


@pytest.mark.parametrize("dtype", [*FLOATS, np.longdouble])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (70, 90), (700, 900)])
def test_floats_that_are_not_whole_are_refused(
    rng: np.random.Generator, dtype: type, size: tuple[int, int]
) -> None:
    for value in (*FRACTIONS, np.finfo(dtype).smallest_subnormal, 1 - np.finfo(dtype).epsneg):
        masks = (rng.random((4, *size)) < 0.5).astype(dtype)
        k, row, column = (int(rng.integers(0, length)) for length in masks.shape)
        masks[k, row, column] = value
        # Those behind it are not told of.
        masks.reshape(-1)[np.ravel_multi_index((k, row, column), masks.shape) + 1 :: 7] = 0.5
        where = f"in mask {k} at row {row}, column {column}; "
        for form in (masks, np.asfortranarray(masks)):
            with pytest.raises(ValueError, match=f"^array must hold whole numbers, .*{where}"):
                Masks.from_dense(form)
    with pytest.raises(ValueError, match=r"by Masks\.from_dense\(masks2, threshold=0\.5\)$"):
        fastiou.mask_iou(masks > 0, masks)


def test_floats_in_every_function() -> None:
    ones, half = np.ones((2, 4, 5)), np.full((2, 4, 5), 0.5, np.float32)
    for name, call in (
        ("masks1", lambda: fastiou.mask_iou(half, ones)),
        ("masks2", lambda: fastiou.mask_iou(ones, half.tolist())),
        ("masks", lambda: fastiou.masks_to_boxes(half)),
        ("a", lambda: fastiou.pairs(half, ones)),
        ("b", lambda: fastiou.topk(ones, half)),
        ("b", lambda: fastiou.match(ones, half)),
        ("a", lambda: fastiou.nms(half, [1, 2])),
        ("a", lambda: fastiou.soft_nms(half, [1, 2])),
        ("array", lambda: Masks.from_dense(half[0])),
    ):
        told = rf"^{name} must hold whole numbers, got 0\.5 in mask 0 at row 0, column 0; "
        with pytest.raises(ValueError, match=told):
            call()


@pytest.mark.parametrize("dtype", [np.bool_, *INTEGERS, *FLOATS, np.longdouble])
def test_more_than_a_threshold_is_foreground(rng: np.random.Generator, dtype: type) -> None:
    """Compared as exact numbers: 0.1 of float32 is more than 0.1."""
    values = np.array([0, 1], np.int64)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = np.array([0, 1, 2, 3, info.max, info.max - 1, info.min], dtype)
    elif np.issubdtype(dtype, np.floating):
        values = np.array([0, 0.1, 0.7, 1 / 3, 0.5, 1, -3, np.inf, -np.inf], dtype)
    numbers = rng.integers(0, len(values), (5, 70, 90))
    masks = values[numbers].astype(dtype)
    # Python compares an int with a float as they are.
    exact = [float(v) if np.issubdtype(dtype, np.floating) else int(v) for v in values]
    for threshold in (0.5, 0.1, 0.7, 1 / 3, 0, 1, -0.5, -2.5, 2.5, 1e30, -1e30, 2.0**63, 2.0**53):
        chosen = np.array([value > threshold for value in exact])[numbers]
        assert_holds(Masks.from_dense(masks, threshold=threshold), chosen)
        assert_holds(Masks.from_dense(masks[:, ::-1], threshold=threshold), chosen[:, ::-1])


def test_thresholds_that_are_none() -> None:
    for threshold, error in ((np.nan, ValueError), (np.inf, ValueError), ("a", TypeError)):
        with pytest.raises(error, match=r"^threshold must be a finite number, got"):
            Masks.from_dense([[0.5]], threshold=threshold)
    with pytest.raises(ValueError, match=r"^array must hold numbers, got nan in mask 1 at row 2,"):
        Masks.from_dense(np.array([np.zeros((3, 2)), np.full((3, 2), [[1], [1], [np.nan]])]),
                         threshold=0.5)  # fmt: skip
    with pytest.raises(TypeError, match="positional"):
        Masks.from_dense([[0.5]], 0.5)


def test_bytes_of_booleans() -> None:
    """Booleans over other memory may be any byte."""
    values = np.arange(256, dtype=np.uint8).reshape(1, 2, 128)
    assert_holds(Masks.from_dense(values.view(np.bool_)), values)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float32, np.float64])
def test_any_memory_layout(rng: np.random.Generator, dtype: type) -> None:
    dense = random_masks(rng, 9, (70, 75)).astype(dtype)
    expected = Masks.from_dense(dense != 0)
    for name, variant in layouts(dense).items():
        before = variant.copy()
        packed = Masks.from_dense(variant)
        np.testing.assert_array_equal(packed.to_dense(), dense != 0, err_msg=name)
        assert packed == expected, name
        np.testing.assert_array_equal(variant, before, err_msg=f"{name} was changed")
    repeated = np.broadcast_to(dense[0], dense.shape)
    assert_holds(Masks.from_dense(repeated), repeated)
    assert_holds(Masks.from_dense(dense[0].T), dense[:1].transpose(0, 2, 1))
    one_row = np.broadcast_to(dense[:, 30:31], dense.shape)
    assert_holds(Masks.from_dense(one_row), one_row)
    one_column = np.broadcast_to(dense[..., 30:31], dense.shape)
    assert_holds(Masks.from_dense(one_column), one_column)


def test_forms_of_dense_masks() -> None:
    rows = [[0, 1, 1], [0, 1, 0]]
    dense = np.array([rows])
    for form in (rows, [rows], (tuple(rows),), dense, dense[0], [np.array(rows)]):
        assert_holds(Masks.from_dense(form), dense)
    assert Masks.from_dense([]).shape == (0, 0, 0)
    assert Masks.from_dense([[]]).shape == (1, 1, 0)
    assert Masks.from_dense([[], []]).shape == (1, 2, 0)
    assert Masks.from_dense(np.zeros((0, 5))).shape == (1, 0, 5)


def test_boxes_at_every_alignment() -> None:
    """Solid boxes of every position within a word, and of every size up to two words and more."""
    positions, sizes = np.arange(66), np.arange(1, 140)
    row = np.arange(210)
    within = (row >= positions[:, None]) & (row < positions[:, None] + 70)
    dense = within[:, :, None] & within[::-1, None, :]
    assert_holds(Masks.from_dense(dense), dense)
    within = (row >= 3) & (row < 3 + sizes[:, None])
    others = within[:, :, None] & within[::-1, None, :]
    assert_holds(Masks.from_dense(others), others)
    np.testing.assert_array_equal(
        fastiou.mask_iou(dense, others), reference.mask_iou(dense, others)
    )
    assert_same(Masks.from_rle(Masks.from_dense(dense).to_rle()), Masks.from_dense(dense))


@given(size=drawn_sizes(), data=st.data())
@settings(max_examples=40)
def test_any_masks(coco_mask: Any, size: tuple[int, int], data: st.DataObject) -> None:
    dense = data.draw(drawn_masks(size))
    packed = Masks.from_dense(dense)
    assert_holds(packed, dense)
    if dense.size:
        assert packed.to_rle() == encoded(coco_mask, dense)
    assert_same(Masks.from_rle(packed.to_rle(), size), packed)
    chosen = np.array(
        data.draw(st.lists(st.integers(-len(dense), len(dense) - 1))) if len(dense) else [], int
    )
    assert_holds(packed[chosen], dense[chosen])
    cut = data.draw(st.slices(len(dense)))
    assert_holds(packed[cut], dense[cut])
    assert_same(Masks.concatenate([packed[:2], packed[2:]]), packed)


@pytest.mark.parametrize("pixels", [1, 64, 5000, 40_000, 1 << 18])
def test_chunks_give_the_same_set(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, pixels: int
) -> None:
    """Masks of some chunks are larger than those before, so that nothing old may shine through."""
    dense = np.concatenate(
        [random_masks(rng, 20, (150, 131)), awkward_masks((150, 131)), noise(rng, 5, (150, 131))]
    )
    dense = dense[rng.permutation(len(dense))]
    expected = Masks.from_dense(dense)
    monkeypatch.setattr(packing, "PIXELS_AT_A_TIME", pixels)
    packed = Masks.from_dense(dense)
    assert packed == expected
    assert_holds(packed, dense)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.zeros(3), ValueError, r"array must have the shape .* or \(H, W\), got \(3,\)"),
        (np.zeros((1, 1, 2, 2)), ValueError, r"\(N, H, W\) .* got \(1, 1, 2, 2\)"),
        (1, ValueError, r"got \(\)"),
        (np.zeros((2, 2), complex), TypeError, "booleans, integers or floats, got dtype complex"),
        ([["a", "b"]], TypeError, "array must hold booleans, integers or floats, got dtype <U1"),
        (np.zeros((2, 2), object), TypeError, "got dtype object"),
        (np.zeros((2, 2), "M8[s]"), TypeError, "got dtype datetime64"),
        (np.zeros((2, 2), [("x", "u1")]), TypeError, "array must hold"),
        ([[[0, 1], [0]]], ValueError, "array cannot be read as an array"),
        (np.ma.ones((2, 2)), TypeError, "array is a masked array"),
        (None, TypeError, "array must hold"),
    ],
)
def test_what_is_no_dense_mask(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Masks.from_dense(value)


def test_masks_are_made_by_their_methods() -> None:
    with pytest.raises(TypeError, match=r"Masks are made by Masks\.from_dense"):
        Masks()


# ---- tensors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 4])
def test_images_of_colours_are_no_masks(channels: int) -> None:
    image = np.ones((480, 640, channels), np.uint8)
    message = r"must be masks of shape \(N, H, W\), got shape \(480, 640, \d\) and dtype uint8, as"
    for call in (
        lambda: fastiou.mask_iou(image, image),
        lambda: fastiou.masks_to_boxes(image),
        lambda: fastiou.Masks.from_dense(image),
        lambda: fastiou.Masks.from_dense(image, threshold=100),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    few = [image != 0, image[:4], image.astype(np.int32), np.ones((480, 640, 5), np.uint8)]
    for masks in few:
        assert len(fastiou.Masks.from_dense(masks)) == len(masks)


TENSOR_DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64"]
TENSOR_DTYPES += ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", TENSOR_DTYPES)
def test_torch(torch: Any, rng: np.random.Generator, dtype: str) -> None:
    dense = random_masks(rng, 12, (70, 90))
    tensor = torch.from_numpy(dense).to(getattr(torch, dtype))
    assert_holds(Masks.from_dense(tensor), dense)
    assert_holds(Masks.from_dense(tensor[3]), dense[3:4])
    assert_holds(Masks.from_dense(tensor.permute(2, 0, 1)), dense.transpose(2, 0, 1))
    assert_holds(Masks.from_dense(tensor[::2, ::3]), dense[::2, ::3])
    expected = reference.mask_iou(dense, dense)
    for other in (tensor, dense, Masks.from_dense(dense), Masks.from_dense(dense).to_rle()):
        for pair in ((tensor, other), (other, tensor)):
            scores = fastiou.mask_iou(*pair)
            assert isinstance(scores, torch.Tensor)
            assert scores.dtype == torch.float64
            np.testing.assert_array_equal(scores.numpy(), expected)
    assert isinstance(fastiou.mask_iou(tensor, tensor, aligned=True), torch.Tensor)
    boxes = fastiou.masks_to_boxes(tensor)
    assert isinstance(boxes, torch.Tensor)
    assert boxes.dtype == torch.float32
    np.testing.assert_array_equal(boxes.numpy(), fastiou.masks_to_boxes(dense))


def test_torch_labels_and_out(torch: Any) -> None:
    image = torch.tensor([[0, 7, 7], [3, 0, 7]], dtype=torch.int16)
    packed, labels = Masks.from_labels(image)
    assert isinstance(labels, torch.Tensor)
    assert labels.dtype == torch.int16
    assert labels.tolist() == [3, 7]
    out = torch.full((2, 2), 7.0, dtype=torch.float64)
    assert fastiou.mask_iou(packed, packed, out=out) is out
    assert out.tolist() == [[1, 0], [0, 1]]
    transposed = torch.full((2, 3), 7.0, dtype=torch.float64).T
    assert fastiou.mask_iou(packed[[0, 1, 1]], packed, out=transposed) is transposed
    assert transposed.tolist() == [[1, 0], [0, 1], [0, 1]]
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(ValueError, match="out must have the"):
            fastiou.mask_iou(packed, packed, out=torch.zeros((2, 2), dtype=dtype))


def test_torch_that_cannot_be_used(torch: Any) -> None:
    dense = torch.ones((1, 2, 2), requires_grad=True)
    with pytest.raises(TypeError, match=r"array requires grad.*pass array.detach\(\)"):
        Masks.from_dense(dense)
    with pytest.raises(TypeError, match="masks2 requires grad"):
        fastiou.mask_iou(dense.detach(), dense)
    elsewhere = torch.empty((1, 2, 2), device="meta")
    with pytest.raises(TypeError, match=r"masks1 is on the device meta.*masks1.cpu\(\)"):
        fastiou.mask_iou(elsewhere, elsewhere)
    with pytest.raises(TypeError, match="masks must be a dense tensor"):
        fastiou.masks_to_boxes(dense.detach().to_sparse())
    with pytest.raises(TypeError, match="array must hold booleans, integers or floats"):
        Masks.from_dense(torch.ones((1, 2, 2), dtype=torch.complex64))


def test_jax(rng: np.random.Generator) -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    dense = random_masks(rng, 12, (70, 90))
    for dtype in ("bool", "uint8", "int32", "bfloat16", "float32"):
        array = jax.numpy.asarray(dense, dtype=dtype)
        assert_holds(Masks.from_dense(array), dense)
        scores = fastiou.mask_iou(array, dense)
        assert isinstance(scores, jax.Array)
        np.testing.assert_allclose(
            np.asarray(scores), reference.mask_iou(dense, dense), rtol=1e-6
        )  # without JAX's 64 bits
        assert isinstance(fastiou.masks_to_boxes(array), jax.Array)


def test_two_libraries_are_refused(torch: Any) -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    with pytest.raises(TypeError, match="masks1 is an array of torch and masks2 one of jax"):
        fastiou.mask_iou(torch.zeros(1, 2, 2), jax.numpy.zeros((1, 2, 2)))


# ---- run lengths -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (63, 5), (64, 5), (65, 5), (200, 131)])
def test_run_lengths_are_those_of_coco(
    rng: np.random.Generator, coco_mask: Any, size: tuple[int, int]
) -> None:
    dense = np.concatenate([awkward_masks(size), random_masks(rng, 30, size), noise(rng, 5, size)])
    packed = Masks.from_dense(dense)
    entries = packed.to_rle()
    assert entries == encoded(coco_mask, dense)
    np.testing.assert_array_equal(coco_mask.decode(entries).transpose(2, 0, 1), dense)
    read = Masks.from_rle(entries)
    assert_holds(read, dense)
    assert_same(read, packed)
    as_text = [{**entry, "counts": entry["counts"].decode()} for entry in entries]
    assert Masks.from_rle(as_text) == packed
    assert_same(Masks.from_rle(entries[7:3:-2]), packed[7:3:-2])


@pytest.mark.parametrize("size", [(0, 0), (0, 4), (4, 0)])
def test_run_lengths_of_masks_without_pixels(size: tuple[int, int]) -> None:
    packed = Masks.from_dense(np.zeros((3, *size)))
    assert packed.to_rle() == [{"size": list(size), "counts": b"0"}] * 3
    assert_same(Masks.from_rle(packed.to_rle()), packed)


def test_counts_with_empty_runs() -> None:
    """They are no runs at all: the set is that of the pixels."""
    expected = Masks.from_dense([[0, 0, 1], [1, 1, 0]])
    for counts in ([1, 1, 1, 2, 1], [1, 1, 1, 0, 0, 2, 1], [0, 0, 1, 1, 1, 1, 0, 1, 1, 0], None):
        if counts is not None:
            assert_same(Masks.from_rle([{"size": [2, 3], "counts": counts}]), expected)
    assert_holds(Masks.from_rle([{"size": [2, 3], "counts": [6, 0]}]), np.zeros((1, 2, 3)))


def test_no_run_lengths() -> None:
    assert Masks.from_rle([]).shape == (0, 0, 0)
    assert Masks.from_rle([], (4, 5)).shape == (0, 4, 5)
    entry = {"size": [2, 2], "counts": [4]}
    assert Masks.from_rle([entry], (2, 2)).shape == (1, 2, 2)
    with pytest.raises(ValueError, match="size"):
        Masks.from_rle([entry], (2, 3))
    with pytest.raises(ValueError, match=r"entries\[1\]: counts sum to 3"):
        Masks.from_rle([entry, {"size": [2, 2], "counts": [3]}])
    with pytest.raises(TypeError, match="entries must be a list of dicts"):
        Masks.from_rle(np.zeros((1, 2, 2)).tobytes())


def test_masks_that_are_huge_with_objects_that_are_small() -> None:
    """Of 70,000 × 70,000 pixels only the boxes take memory; positions pass 2**32."""
    side = 70_000

    def rectangle(top: int, left: int, height: int, width: int) -> dict[str, Any]:
        gap = side - height
        counts = [left * side + top, *[height, gap] * (width - 1), height]
        return {"size": [side, side], "counts": [*counts, side * side - sum(counts)]}

    corner = rectangle(69_900, 69_950, 100, 50)
    entries = [
        rectangle(0, 0, 1, 1),
        corner,
        rectangle(69_950, 69_930, 20, 60),
        rectangle(69_999, 69_999, 1, 1),
        {"size": [side, side], "counts": [side * side]},
    ]
    packed = Masks.from_rle(entries)
    assert packed.area.tolist() == [1, 5000, 1200, 1, 0]
    assert packed.boxes.tolist() == [
        [0, 0, 1, 1],
        [69_950, 69_900, 70_000, 70_000],
        [69_930, 69_950, 69_990, 69_970],
        [69_999, 69_999, 70_000, 70_000],
        [0, 0, 0, 0],
    ]
    assert packed.nbytes < 10_000
    shared = fastiou.mask_iou(packed, entries, metric="intersection")
    np.testing.assert_array_equal(np.diag(shared), packed.area)
    np.testing.assert_array_equal(shared[1], [0, 5000, 800, 1, 0])
    assert fastiou.mask_iou(packed, packed)[1, 2] == 800 / 5400
    assert Masks.from_rle(packed.to_rle()) == packed
    np.testing.assert_array_equal(fastiou.masks_to_boxes(packed)[1, 2:], [69_999, 69_999])


def test_more_pixels_than_32_bits_count() -> None:
    side = 70_000
    full = Masks.from_rle([{"size": [side, side], "counts": [0, side * side]}])
    assert full.area.tolist() == [4_900_000_000]
    assert full.boxes.tolist() == [[0, 0, side, side]]
    part = Masks.from_rle([{"size": [side, side], "counts": [side, 5, side * (side - 1) - 5]}])
    for metric, scores in (("intersection", [4_900_000_000, 5]), ("iou", [1, 5 / 4_900_000_000])):
        for other, expected in zip((full, part), scores, strict=True):
            assert fastiou.mask_iou(full, other, metric=metric).tolist() == [[expected]]


# ---- polygons ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 40), (100, 130)])
def test_polygons_are_those_of_coco(
    rng: np.random.Generator, coco_mask: Any, size: tuple[int, int]
) -> None:
    height, width = size
    polygons = [
        [
            (rng.random(2 * rng.integers(3, 9)) * 1.4 * max(size) - 0.2 * max(size)).tolist()
            for _ in range(rng.integers(1, 4))
        ]
        for _ in range(40)
    ]
    outside = [2.0 * width, 0, 3.0 * width, 0, 3.0 * width, 5]
    inside = [0, 0, width, 0, width, height, 0, height]
    polygons += [[outside], [outside, inside], [inside, outside], [inside, inside]]
    packed = Masks.from_polygons(polygons, size)
    expected = [
        coco_mask.merge(coco_mask.frPyObjects([list(map(float, ring)) for ring in rings], *size))
        for rings in polygons
    ]
    assert packed.to_rle() == expected
    assert_holds(packed, coco_mask.decode(expected).transpose(2, 0, 1))


def test_forms_of_polygons() -> None:
    assert Masks.from_polygons([], (5, 6)).shape == (0, 5, 6)
    ring = [1, 1, 5, 1, 5, 4, 1, 4]
    expected = Masks.from_polygons([[ring]], (6, 8))
    assert expected.area.tolist() == [12]
    assert Masks.from_polygons([[np.reshape(ring, (4, 2))]], [6, 8]) == expected
    assert Masks.from_polygons([[ring]], (0, 8)).shape == (1, 0, 8)
    with pytest.raises(ValueError, match=r"polygons\[1\]\[0\]: coordinates must be finite"):
        Masks.from_polygons([[ring], [[0, 0, np.nan, 1, 1, 1]]], (6, 8))
    with pytest.raises(ValueError, match=r"polygons\[0\] must have at least one ring"):
        Masks.from_polygons([[]], (6, 8))


# ---- label images ------------------------------------------------------------------------------


def assert_labels(image: Any, dtype: Any = None) -> None:
    array = np.asarray(image)
    packed, labels = Masks.from_labels(image)
    present = np.unique(array)
    present = present[present != 0]
    np.testing.assert_array_equal(labels, present)
    assert labels.dtype == (array.dtype if dtype is None else dtype)
    assert_holds(packed, array == present[:, None, None])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_any_dtype(rng: np.random.Generator, dtype: type) -> None:
    info = np.iinfo(dtype)
    for values in (
        [0, 1, 2, 5, 100],
        [info.min, info.min + 1, 0, 7, info.max - 1, info.max],
        [info.max - 3, info.max - 1, info.max],
        [info.min, info.min + 2],
        [info.max],
        [0],
    ):
        image = rng.choice(np.array(values, dtype), (70, 90))
        assert_labels(image)
        assert_labels(image.astype(image.dtype.newbyteorder(">")))


def test_labels_far_apart(rng: np.random.Generator) -> None:
    sparse = np.array([0, 1, 2**40, 2**40 + 1, -(2**50), 2**62], np.int64)
    assert_labels(rng.choice(sparse, (130, 70)))
    assert_labels(rng.choice(sparse[1:], (5, 7)))
    assert_labels(np.array([[2**63 - 1, -(2**63)], [0, -(2**63)]]))
    assert_labels(np.array([[2**64 - 1, 2**63], [0, 1]], np.uint64))
    assert_labels(rng.choice(np.array([2**63 + 9, 2**63 + 5, 2**63], np.uint64), (70, 9)))


@pytest.mark.parametrize("cell", [1, 3, 64])
def test_labels_around_words(rng: np.random.Generator, cell: int) -> None:
    """Objects on a grid, in any order; and those that lie in several places."""
    image = np.kron(rng.permutation(9 * 8).reshape(8, 9), np.ones((cell, cell), int)) - 7
    assert_labels(image)
    assert_labels(image % 5)
    assert_labels(image.astype(np.uint16))
    for name, variant in layouts(image[None]).items():
        packed, labels = Masks.from_labels(variant[0])
        expected, wanted = Masks.from_labels(image)
        assert packed == expected, name
        np.testing.assert_array_equal(labels, wanted)
    assert_labels(np.asfortranarray(image))


def test_forms_of_label_images() -> None:
    assert_labels([[0, 7, 7], [3, 0, 7]])
    assert_labels(np.array([[True, False], [True, True]]))
    assert_labels(np.zeros((4, 5), np.uint8))
    assert_labels(np.zeros((4, 5), np.bool_))
    assert_labels(np.ones((65, 129), np.bool_))
    for size in ((0, 0), (0, 5), (5, 0)):
        assert_labels(np.zeros(size, np.int16))
    assert_labels([[]], np.int64)


@given(
    rows=st.lists(
        st.lists(st.sampled_from([0, 1, 2, -1, 2**63 - 1, -(2**63), 2**40]), min_size=3, max_size=3)
    )
)
@settings(max_examples=30)
def test_any_labels(rows: list[list[int]]) -> None:
    assert_labels(np.array(rows, np.int64).reshape(-1, 3))
    assert_labels(np.repeat(np.array(rows, np.int64).reshape(-1, 3), 40, axis=0))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((1, 4, 5), int), ValueError, r"image must have the shape .H, W., got \(1, 4, 5"),
        (np.zeros(4, int), ValueError, r"got \(4,\)"),
        (np.zeros((4, 5)), TypeError, "image must hold integers or booleans, got dtype float64"),
        ([["a"]], TypeError, "image must hold integers"),
    ],
)
def test_what_is_no_label_image(image: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Masks.from_labels(image)


# ---- boxes of masks ----------------------------------------------------------------------------


def test_boxes_of_masks_are_those_of_torchvision(rng: np.random.Generator) -> None:
    dense = np.concatenate([awkward_masks((70, 90)), random_masks(rng, 30, (70, 90))])
    expected = np.zeros((len(dense), 4), np.float32)
    for box, mask in zip(expected, dense, strict=True):
        rows, columns = np.nonzero(mask)
        if len(rows):
            box[:] = columns.min(), rows.min(), columns.max(), rows.max()
    packed = Masks.from_dense(dense)
    for form in (dense, packed, packed.to_rle(), dense.astype(np.float16)):
        boxes = fastiou.masks_to_boxes(form)
        assert boxes.dtype == np.float32
        np.testing.assert_array_equal(boxes, expected)
    np.testing.assert_array_equal(fastiou.masks_to_boxes(dense[1]), expected[1:2])
    for none in ([], np.zeros((0, 4, 5)), packed[:0]):
        boxes = fastiou.masks_to_boxes(none)
        assert boxes.shape == (0, 4)
        assert boxes.dtype == np.float32
    with pytest.raises(ValueError, match="masks must have the shape"):
        fastiou.masks_to_boxes([1, 2])


# ---- steps, threads, memory --------------------------------------------------------------------


def all_that_is_made_of(dense: Array, labels: Array) -> list[Any]:
    """Something of every kernel."""
    packed = Masks.from_dense(dense)
    entries = packed.to_rle()
    objects, names = Masks.from_labels(labels)
    crowd = np.arange(len(dense)) % 3 == 0
    full = packed[packed.area > 0][[0, 0, 0, 0, 0]]
    parts = [
        packed,
        entries,
        Masks.from_rle(entries),
        objects,
        names,
        packed[::-2],
        packed.to_dense(),
        objects.to_dense(),
        fastiou.mask_iou(packed, packed[5:]),
        fastiou.mask_iou(packed, packed, iscrowd=crowd),
        fastiou.mask_iou(objects, objects),
        fastiou.mask_iou(full, full),
        fastiou.mask_iou(packed, packed[::-1], aligned=True, iscrowd=crowd),
    ]
    return [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]


@pytest.fixture
def inputs(rng: np.random.Generator) -> tuple[Array, Array]:
    dense = np.concatenate([random_masks(rng, 70, (150, 131)), awkward_masks((150, 131))])
    return dense, np.kron(rng.permutation(30).reshape(6, 5), np.ones((25, 25), int))


@pytest.mark.slow
def test_the_same_bits_for_any_threads(
    monkeypatch: pytest.MonkeyPatch, inputs: tuple[Array, Array]
) -> None:
    expected = all_that_is_made_of(*inputs)
    monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
    for count in (2, 4):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        assert all_that_is_made_of(*inputs) == expected


@pytest.mark.parametrize("words", [1, 300, 5000])
def test_the_same_bits_for_any_steps(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    inputs: tuple[Array, Array],
    words: int,
    fixed_steps: Callable[[int], None],
) -> None:
    dense, labels = inputs
    polygons = [[(rng.random(10) * 140).tolist() for _ in range(2)] for _ in range(30)]

    def made() -> list[Any]:
        return [Masks.from_polygons(polygons, (150, 131)), *all_that_is_made_of(dense[:40], labels)]

    expected = made()
    fixed_steps(max(1, int(words * packing.SCORES_PER_WORD)))
    monkeypatch.setattr(packing, "PIXELS_AT_A_TIME", 64 * words)
    assert made() == expected


def test_steps_of_masks_that_fill_one_box(
    rng: np.random.Generator, fixed_steps: Callable[[int], None]
) -> None:
    a, b = noise(rng, 37, (70, 30)), noise(rng, 150, (70, 30))
    expected = reference.mask_iou(a, b)
    for words in (1, 200_000):
        fixed_steps(max(1, int(words * packing.SCORES_PER_WORD)))
        np.testing.assert_array_equal(fastiou.mask_iou(a, b), expected)


def test_what_cannot_fit_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    side = 70_000
    huge = Masks.from_rle([{"size": [side, side], "counts": [5, 3, side * side - 8]}])
    many = huge[np.zeros(50_000, int)]
    monkeypatch.setattr(memory, "_available_memory", lambda: 200_000_000)
    refused: dict[str, Callable[[], Any]] = {
        r"1 dense masks of 70,000 × 70,000 pixels needs 4\.6 GiB, and 190\.7 MiB are free; unpack "
        r"fewer at a time, as masks\[:100\]": huge.to_dense,
        r"mask_iou of 50,000 × 50,000 masks needs 18\.6 GiB, and 190\.7 MiB": (
            lambda: fastiou.mask_iou(many, many)
        ),
        r"the bits of masks needs 584\.3 MiB, and 190\.7 MiB": (
            lambda: Masks.from_rle([{"size": [side, side], "counts": [0, side * side]}])
        ),
    }
    for message, call in refused.items():
        with pytest.raises(MemoryError, match=message):
            call()
    assert fastiou.mask_iou(many, many, aligned=True).sum() == 50_000


def test_packing_many_small_masks_takes_little_memory() -> None:
    masks = np.ones((300_000, 2, 2), bool)
    Masks.from_dense(masks[:3])  # compiling takes memory
    tracemalloc.start()
    packed = Masks.from_dense(masks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(packed) == 300_000
    assert peak < 100 << 20


@pytest.mark.parametrize("dtype", [np.bool_, np.float32])
def test_a_channel_of_masks_is_named(dtype: type) -> None:
    """As detectors of torchvision return masks."""
    masks = np.zeros((3, 1, 4, 5), dtype)
    with pytest.raises(ValueError, match=r"got \(3, 1, 4, 5\); pass masks1\[:, 0\]"):
        fastiou.mask_iou(masks, masks)
    with pytest.raises(ValueError, match=r"got \(3, 1, 4, 5\); pass array\[:, 0\]"):
        fastiou.Masks.from_dense(masks, threshold=0.5)
    with pytest.raises(ValueError, match=r"got \(3, 2, 4, 5\)$"):
        fastiou.mask_iou(np.zeros((3, 2, 4, 5)), masks)
