"""Polygons become the masks that COCO makes of them, and what is malformed is refused."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import Array
from hypothesis import given
from hypothesis import strategies as st

import fastiou
from fastiou.geometries.masks import polygons
from fastiou.geometries.masks.polygons import rasterise
from fastiou.geometries.masks.run_lengths import write_run_lengths
from fastiou.runtime import threads

Ring = list[float]


# ---- COCO's definition, once more and slowly ---------------------------------------------------


def walk(ring: Ring) -> list[tuple[int, int]]:
    """The magnified boundary, pixel by pixel."""
    points = [(int(5 * x + 0.5), int(5 * y + 0.5)) for x, y in zip(*[iter(ring)] * 2, strict=True)]
    visited = []
    for here, there in zip(points, points[1:] + points[:1], strict=True):
        run, rise = abs(there[0] - here[0]), abs(there[1] - here[1])
        if run == rise == 0:
            continue
        if run >= rise:
            start, end = min(here, there), max(here, there)
            slope = (end[1] - start[1]) / run
            steps = [(start[0] + t, int(start[1] + slope * t + 0.5)) for t in range(run + 1)]
        else:
            start, end = sorted((here, there), key=lambda point: point[1])
            slope = (end[0] - start[0]) / rise
            steps = [(int(start[0] + slope * t + 0.5), start[1] + t) for t in range(rise + 1)]
        visited += steps if start == here else steps[::-1]
    return visited


def expected_counts(ring: Ring, height: int, width: int) -> list[int]:
    """Run lengths of a ring."""
    changes: set[int] = set()
    visited = walk(ring)
    for before, after in itertools.pairwise(visited):
        if before[0] == after[0]:
            continue
        column = (min(before[0], after[0]) + 0.5) / 5 - 0.5
        if column == math.floor(column) and 0 <= column <= width - 1:
            row = math.ceil(min(max((min(before[1], after[1]) + 0.5) / 5 - 0.5, 0), height))
            changes ^= {int(column) * height + row}
    places = [0, *sorted(changes - {height * width}), height * width]
    return [last - first for first, last in itertools.pairwise(places)]


def is_valid(ring: Any) -> bool:
    if not isinstance(ring, list) or not all(
        isinstance(number, int | float | np.integer | np.floating) for number in ring
    ):
        return False
    return len(ring) >= 6 and len(ring) % 2 == 0 and all(abs(number) <= 2**31 for number in ring)


def each(rings: list[Any], size: tuple[int, int]) -> list[list[int]]:
    """Run lengths of single rings."""
    runs, first = rasterise("polygons", [[ring] for ring in rings], size)
    assert first.tolist() == list(range(len(rings) + 1))
    assert runs.size == size
    assert (runs.counts.dtype, runs.offsets.dtype, first.dtype) == (np.int64,) * 3
    assert runs.offsets[-1] == len(runs.counts)
    cuts = zip(runs.offsets[:-1], runs.offsets[1:], strict=True)
    return [runs.counts[first:last].tolist() for first, last in cuts]


def random_ring(rng: np.random.Generator) -> Ring:
    """A polygon around a small image: of any shape, thin, degenerate, or far outside."""
    count = int(rng.integers(3, 12))
    points = rng.uniform(-5, 25, (count, 2))
    kind = rng.integers(10)
    if kind == 0:
        points = np.round(points)
    elif kind == 1:
        points = np.round(points * 10) / 10
    elif kind == 2:
        points = np.round(points * 2) / 2
        points[rng.integers(count)] = points[rng.integers(count)]
    elif kind == 3:
        points[:] = points[0]
    elif kind == 4:
        points = points[0] + rng.uniform(-1, 1, (count, 1)) * points[1]
    elif kind == 5:
        points = np.cumsum(rng.uniform(-2, 2, (20 * count, 2)), axis=0) + 10
    elif kind == 6:
        points = points[0] + rng.uniform(-0.2, 0.2, (count, 2))
    elif kind == 7:
        points *= rng.choice([10, 30])
    elif kind == 8:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 8 * count))
        points = np.stack([10 + 9 * np.cos(angles), 8 + 9 * np.sin(angles)], axis=1)
    return points.ravel().tolist()


# ---- what is valid -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(0, 5), (1, 1), (20, 20), (7, 31), (300, 3), (1, 40), (90, 120)])
def test_random_rings(rng: np.random.Generator, size: tuple[int, int]) -> None:
    rings = [random_ring(rng) for _ in range(150)]
    assert each(rings, size) == [expected_counts(ring, *size) for ring in rings]


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (7, 31), (300, 3), (480, 640)])
def test_random_rings_of_coco(
    rng: np.random.Generator, coco_mask: Any, size: tuple[int, int]
) -> None:
    rings = [random_ring(rng) for _ in range(1500)]
    runs, _ = rasterise("polygons", [[ring] for ring in rings], size)
    assert write_run_lengths(runs) == coco_mask.frPyObjects(rings, *size)


@given(
    st.lists(
        st.integers(-40, 160).map(lambda number: number / 10)
        | st.floats(-30, 60, allow_subnormal=False),
        min_size=6,
        max_size=16,
    ),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_any_ring(ring: Ring, height: int, width: int) -> None:
    ring = ring[: len(ring) // 2 * 2]
    assert each([ring], (height, width)) == [expected_counts(ring, height, width)]


def test_real_polygons(real_data: Path, coco_mask: Any) -> None:
    seen = 0
    for name in ("instances_val2014_100", "coco_mini_val2017_subset", "minto5z_val2017_subset"):
        with gzip.open(real_data / "coco" / f"{name}.json.gz") as file:
            content = json.load(file)
        sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
        for image, size in sizes.items():
            masks = [
                annotation["segmentation"]
                for annotation in content["annotations"]
                if annotation["image_id"] == image and isinstance(annotation["segmentation"], list)
            ]
            runs, first = rasterise("polygons", masks, size)
            assert np.diff(first).tolist() == list(map(len, masks))
            expected = [
                encoded for rings in masks for encoded in coco_mask.frPyObjects(rings, *size)
            ]
            assert write_run_lengths(runs) == expected
            seen += len(masks)
    assert seen > 2400


def test_a_rectangle_by_hand() -> None:
    # Columns 2 and 3 and rows 1 to 3 of 5 rows.
    assert each([[2, 1, 4, 1, 4, 4, 2, 4]], (5, 6)) == [[11, 3, 2, 3, 11]]
    # All, none, and all but the first row.
    assert each([[-9, -9, 99, -9, 99, 99, -9, 99]], (5, 6)) == [[0, 30]]
    assert each([[7, 7, 8, 7, 8, 8]], (5, 6)) == [[30]]
    assert each([[0, 1, 3, 1, 3, 2, 0, 2]], (2, 3)) == [[1, 1, 1, 1, 1, 1]]


def test_forms_of_rings() -> None:
    flat = [1, 1, 6, 2, 3, 7]
    points = np.reshape(flat, (3, 2))
    rings: list[Any] = [flat, tuple(flat), points, points.tolist(), points.astype(np.uint8)]
    rings += [
        np.array(flat, np.float16),
        np.asfortranarray(points),
        points.repeat(2, axis=1)[:, ::2],
    ]
    masks: list[Any] = [[ring] for ring in rings]
    masks += [points, points[None].reshape(1, 6), (flat,), points.astype(np.float32)]
    expected = expected_counts([float(number) for number in flat], 8, 9)
    for given_masks in (masks, tuple(masks)):
        runs, first = rasterise("polygons", given_masks, (8, 9))
        assert first.tolist() == list(range(len(masks) + 1))
        assert runs.counts.tolist() == expected * len(masks)
    runs, first = rasterise("polygons", np.array([flat, flat]).reshape(2, 1, 6), (8, 9))
    assert (first.tolist(), runs.counts.tolist()) == ([0, 1, 2], expected * 2)


def test_masks_of_several_rings(rng: np.random.Generator) -> None:
    masks = [[random_ring(rng) for _ in range(count)] for count in (1, 3, 2, 7)]
    runs, first = rasterise("polygons", masks, (20, 30))
    assert first.tolist() == [0, 1, 4, 6, 13]
    expected = [expected_counts(ring, 20, 30) for rings in masks for ring in rings]
    assert runs.counts.tolist() == [count for counts in expected for count in counts]
    assert np.diff(runs.offsets).tolist() == list(map(len, expected))


def test_empty() -> None:
    runs, first = rasterise("polygons", [], (4, 5))
    assert (runs.size, runs.counts.tolist(), runs.offsets.tolist()) == ((4, 5), [], [0])
    assert first.tolist() == [0]
    rings: list[Any] = [[1, 1, 6, 2, 3, 7], [0, 0, 0, 0, 0, 0]]
    for size in ((0, 0), (0, 5), (5, 0)):
        assert each(rings, size) == [[0], [0]]


def test_many_rings_are_filled_by_many_threads(rng: np.random.Generator) -> None:
    rings = [random_ring(rng) for _ in range(400)]
    corners = sum(map(len, rings)) // 2
    assert corners * polygons.SCORES_PER_CORNER > threads.PARALLEL_FROM
    assert each(rings, (20, 30)) == [expected_counts(ring, 20, 30) for ring in rings]


def test_many_crossings_of_a_column(rng: np.random.Generator) -> None:
    """As many as are sorted as a heap."""
    for count in (15, 33, 126, 128, 130, 2000):
        ring = np.stack([np.arange(count) % 2 * 3.0, rng.uniform(0, 500, count)], axis=1)
        flat = ring.ravel().tolist()
        assert each([flat], (500, 3)) == [expected_counts(flat, 500, 3)]


def test_coordinates_far_outside() -> None:
    """Right where COCO's integers overflow, and as fast."""
    far = 2**31
    each([[0, 0, 5, 0, 5, 5]], (5, 6))  # kernels are not loaded within what is traced
    tracemalloc.start()
    assert each([[-far, -far, far, -far, far, far, -far, far]], (5, 6)) == [[0, 30]]
    # Left of the diagonal, which both shapes of triangle have in common.
    near = each([[-10, -10, 50, 50, -10, 50]], (40, 40))
    assert each([[-far, -far, far, far, -far, far]], (40, 40)) == near
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_an_image_beyond_32_bits() -> None:
    side = 70_000
    each([[0, 0, 5, 0, 5, 5]], (5, 6))
    tracemalloc.start()
    counts = each([[0, 0, side, 0, side, side, 0, side]], (side, side))
    assert counts == [[0, side**2]]
    last = each([[69_998, 10, side, 10, side, 20, 69_998, 20]], (side, side))
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()
    assert last == [[69_998 * side + 10, 10, side - 10, 10, side - 20]]


# ---- forms of rings ----------------------------------------------------------------------------

SQUARE = [[2, 2], [6, 2], [6, 6], [2, 6]]

FORMS: dict[str, Callable[[list[list[int]]], Any]] = {
    "a flat list": lambda points: [number for point in points for number in point],
    "a flat tuple": lambda points: tuple(number for point in points for number in point),
    "points": lambda points: points,
    "tuples": lambda points: tuple(map(tuple, points)),
    "floats": lambda points: [[float(x), np.float32(y)] for x, y in points],
    "an array": np.array,
    "a flat array": lambda points: np.array(points, np.float32).reshape(-1),
    "arrays of points": lambda points: list(np.array(points)),
    "a contour": lambda points: np.array(points, np.int32)[:, None],
    "a contour as a list": lambda points: np.array(points)[:, None].tolist(),
    "a tensor": lambda points: torch_or_skip().tensor(points),
    "a flat tensor": lambda points: torch_or_skip().tensor(points).reshape(-1),
    "a tensor of floats": lambda points: torch_or_skip().tensor(points).bfloat16(),
    "tensors of points": lambda points: list(torch_or_skip().tensor(points)),
    "a contour as a tensor": lambda points: torch_or_skip().tensor(points)[:, None],
}


def torch_or_skip() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.mark.parametrize("form", FORMS)
def test_rings_of_any_form(form: str) -> None:
    from_polygons, make = fastiou.Masks.from_polygons, FORMS[form]
    triangle, larger = [[0, 0], [9, 0], [0, 9]], [[1, 1], [8, 1], [8, 8], [1, 8], [0, 4]]
    expected = from_polygons([[np.array(SQUARE).ravel()]], (10, 10))
    assert expected.area.tolist() == [16]
    ring = make(SQUARE)
    assert from_polygons([[ring]], (10, 10)) == expected
    assert from_polygons(((ring,),), (10, 10)) == expected
    flat = [[number for point in points for number in point] for points in (triangle, larger)]
    several = from_polygons([[flat[0], flat[1]], [flat[1]]], (10, 10))
    assert from_polygons([[make(triangle), make(larger)], [make(larger)]], (10, 10)) == several
    if "flat" not in form:  # a mask of one ring is its points
        assert from_polygons([ring], (10, 10)) == expected
        assert from_polygons((ring,), (10, 10)) == expected
        three = from_polygons([make(triangle), [flat[1]], make(triangle)], (10, 10))
        assert three == from_polygons([[flat[0]], [flat[1]], [flat[0]]], (10, 10))


def test_stacks_of_rings() -> None:
    """An array of masks of one ring each, and one of the rings of a mask."""
    squares = np.array([SQUARE, SQUARE]) + np.array([0, 3])[:, None, None]
    expected = fastiou.Masks.from_polygons([[ring.ravel()] for ring in squares], (10, 10))
    both = fastiou.Masks.from_polygons([[ring.ravel() for ring in squares]], (10, 10))
    assert expected.area.tolist() == [16, 16]
    assert both.area.tolist() == [31]
    for stack in (squares, torch_or_skip().from_numpy(squares)):
        assert fastiou.Masks.from_polygons(stack, (10, 10)) == expected
        assert fastiou.Masks.from_polygons(stack[:, :, None], (10, 10)) == expected
        assert fastiou.Masks.from_polygons([stack], (10, 10)) == both
        assert fastiou.Masks.from_polygons(stack.reshape(2, 8)[:, None], (10, 10)) == expected


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[2, 2], [6, 2]], r"polygons\[0\]\[0\] must have at least 3 points, .* got 4"),
        ([[[2, 2]]], r"polygons\[0\]\[0\] must have at least 3 points"),
        ([[2, 2], [6, 2], [6]], r"polygons\[0\]\[0\] must have at least 3 points"),
        ([[2, 2], [6, 2], [6, 2, 1]], r"polygons\[0\]\[0\] must have at least 3 points"),
        (np.ones((4, 1, 3)), r"polygons\[0\]\[0\] must be a ring"),
        ([[2, 2], [6, 2], [math.nan, 3]], r"polygons\[0\]\[0\]: coordinates must be finite"),
    ],
)
def test_points_that_are_no_ring(mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        fastiou.Masks.from_polygons([mask], (10, 10))


def test_tensors_that_require_grad_are_refused() -> None:
    ring = torch_or_skip().tensor(SQUARE, dtype=torch_or_skip().float32, requires_grad=True)
    with pytest.raises(TypeError, match=r"^polygons\[0\]\[0\] requires grad"):
        fastiou.Masks.from_polygons([ring], (10, 10))


# ---- what is not -------------------------------------------------------------------------------

GOOD: Ring = [1, 1, 6, 2, 3, 7]

MALFORMED: list[tuple[Any, type[Exception], str]] = [
    # masks
    ([], ValueError, "polygons[1] must have at least one ring, got none"),
    (np.empty((0, 6)), ValueError, "polygons[1] must have at least one ring, got none"),
    (None, TypeError, "polygons[1] must be a list of rings, got None; one mask is passed as"),
    (1.5, TypeError, "polygons[1] must be a list of rings, got 1.5; one mask is passed as"),
    ("[]", TypeError, "polygons[1] must be a list of rings, got '[]'"),
    (iter([GOOD]), TypeError, "polygons[1] must be a list of rings, got <list_it"),
    (np.array(3.0), TypeError, "polygons[1] must be a list of rings, got array(3.)"),
    ({"size": [4, 4], "counts": b"`0"}, TypeError, "polygons[1] must be a list of rings, got run"),
    (GOOD, ValueError, "polygons[1][0] must be a ring, [x1, y1, x2, y2, ...] or an array (k, 2),"),
    (GOOD, ValueError, "a flat list of numbers must be a list of rings itself: [polygons[1]]"),
    # rings
    *(
        ([GOOD, ring], error, f"polygons[1][1]{text}")
        for ring, error, text in [
            ([], ValueError, " must have at least 3 points, that is 6 numbers, got 0"),
            ([1, 2], ValueError, " must have at least 3 points, that is 6 numbers, got 2"),
            ([1, 2, 3, 4], ValueError, " must have at least 3 points, that is 6 numbers, got 4; C"),
            (np.ones((2, 2)), ValueError, " must have at least 3 points, that is 6 numbers, got 4"),
            ([1, 2, 3, 4, 5], ValueError, " must have a y for each x, got 5 numbers"),
            ([*GOOD, 1], ValueError, " must have a y for each x, got 7 numbers"),
            (np.ones((3, 3)), ValueError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            (np.ones((2, 3, 2)), ValueError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            ([GOOD, GOOD], ValueError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            ([GOOD, GOOD[:4]], ValueError, " cannot be read as an array"),
            ([1, 2, [3], 4, 5, 6], ValueError, " cannot be read as an array"),
            (None, TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            ("1,2,3,4,5,6", TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            (b"123456", TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            ({"a": 1}, TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            ({1, 2, 3, 4, 5, 6}, TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            (iter(GOOD), TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            ([*GOOD[:5], "7"], TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            ([*GOOD[:5], None], TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            ([*GOOD[:5], 7j], TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            ([*GOOD[:5], 10**30], TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an array"),
            (np.array(GOOD, np.complex64), TypeError, " must be a ring, [x1, y1, x2, y2, ...] or"),
            (np.array(GOOD, "M8[s]"), TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an"),
            (np.ma.array(GOOD), TypeError, " is a masked array"),
            ([*GOOD[:5], math.nan], ValueError, ": coordinates must be finite and at most 2,147,4"),
            ([*GOOD[:5], math.inf], ValueError, ": coordinates must be finite and at most 2,147,4"),
            ([-math.inf, *GOOD[1:]], ValueError, ": coordinates must be finite and at most"),
            ([*GOOD[:5], 2.0**31 + 1], ValueError, ": coordinates must be finite and at most"),
            ([1e308, *GOOD[1:]], ValueError, ": coordinates must be finite and at most"),
            ([2**63, *GOOD[1:]], ValueError, ": coordinates must be finite and at most"),
            ([1.5, 10**400, *GOOD[2:]], TypeError, " must be a ring, [x1, y1, x2, y2, ...] or an"),
        ]
    ),
    ([GOOD, [-3e9, *GOOD[1:]]], ValueError, "got the point (-3000000000.0, 1.0)"),
]  # fmt: skip


@pytest.mark.parametrize(("mask", "error", "message"), MALFORMED)
def test_malformed_polygons(mask: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as raised:
        rasterise("polygons", [[GOOD, GOOD], mask, [GOOD]], (8, 9))
    assert str(raised.value).startswith("polygons[1]")
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "polygons", [None, 7, "[[1]]", b"12", {1: [GOOD]}, np.array(1.0), iter([[GOOD]])]
)
def test_polygons_that_are_no_list(polygons: Any) -> None:
    with pytest.raises(TypeError, match="polygons must be a list with the list of rings of each"):
        rasterise("polygons", polygons, (8, 9))


@pytest.mark.parametrize(
    "size", [None, 8, (8,), (8, 9, 1), (8.0, 9), (True, 9), (-8, 9), (2**31, 1), (100_000, 100_000)]
)
def test_malformed_sizes(size: Any) -> None:
    for masks in ([], [[GOOD]]):
        with pytest.raises((TypeError, ValueError), match=r"^size must"):
            rasterise("polygons", masks, size)


def test_a_ring_that_crosses_too_often() -> None:
    """Refused before anything is allocated."""
    ring = np.zeros((200, 2))
    ring[::2, 0] = 2**20
    rasterise("polygons", [[GOOD], [GOOD]], (8, 2**20))  # compiling takes memory
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"^polygons\[1\]\[0\]: its edges cross columns of the im"):
        rasterise("polygons", [[GOOD], [ring]], (8, 2**20))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert sum(each([ring], (8, 2000))[0]) == 8 * 2000


# ---- anything ----------------------------------------------------------------------------------

ODD: list[Any] = [None, "", "1", [], [1.0], {}, math.nan, math.inf, -math.inf, 1e9, -1e9, 1e300]
ODD += [2**31, 2**64, 10**400, True, 1j, np.float32(3), np.int64(2**62)]


def mutated(rng: np.random.Generator, ring: Ring) -> Any:
    """A ring with something changed; often it is still valid."""
    changed: Any = list(ring)
    for _ in range(rng.integers(1, 3)):
        kind = rng.integers(7)
        if not changed:
            break
        i, j = rng.integers(len(changed), size=2)
        if kind == 0:
            changed[i] = ODD[rng.integers(len(ODD))]
        elif kind == 1:
            del changed[i : i + rng.integers(1, 4)]
        elif kind == 2:
            changed = changed[:i]
        elif kind == 3:
            changed[i], changed[j] = changed[j], changed[i]
        elif kind == 4:
            changed[i] = -changed[i] if isinstance(changed[i], float) else 0.0
        elif kind == 5 and isinstance(changed[i], float):
            bits = np.array([changed[i]]).view(np.int64)
            bits ^= np.int64(1) << rng.integers(63)
            changed[i] = float(bits.view(np.float64)[0])
        elif isinstance(changed[i], float):
            changed[i] *= 10.0 ** rng.integers(0, 4)
    return ODD[rng.integers(len(ODD))] if rng.random() < 0.02 else changed


def assert_judged_rightly(ring: Any, size: tuple[int, int]) -> bool:
    """Whether it is valid."""
    if not is_valid(ring):
        with pytest.raises((ValueError, TypeError), match=r"^polygons\[0\]"):
            rasterise("polygons", [[ring]], size)
        return False
    counts = each([ring], size)
    if max(map(abs, ring)) < 1e4:  # the slow walk visits every pixel
        assert counts == [expected_counts([float(number) for number in ring], *size)], ring
    assert sum(counts[0]) == size[0] * size[1]
    return True


@pytest.mark.slow
def test_mutated_rings(rng: np.random.Generator) -> None:
    valid = 0
    for _ in range(2000):
        size = tuple(rng.integers(1, 30, size=2).tolist())
        ring = random_ring(rng)[:24]
        valid += assert_judged_rightly(mutated(rng, ring), (size[0], size[1]))
    assert 500 < valid < 1500


@given(st.lists(st.floats() | st.integers() | st.none(), max_size=10))
def test_any_numbers(ring: list[Any]) -> None:
    assert_judged_rightly(ring, (12, 9))


def shoelace(ring: Array) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def test_areas_are_those_of_geometry(rng: np.random.Generator) -> None:
    """A large polygon has as many pixels as its area says, to within its perimeter."""
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 30))
        ring = 200 + 150 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        area = sum(each([ring], (400, 400))[0][1::2])
        assert area == pytest.approx(shoelace(ring), abs=0.5 * 2 * np.pi * 150)
