"""Scenes that a search by place can get wrong: piles, giants, rows, far clusters, ties, groups.

They are a few thousand boxes each, enough for an index to be used, and sparse enough that what the
dense result finds stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from boxes_for_tests import FORMATS, USUAL_METRICS, as_format
from hypothesis import settings
from hypothesis import strategies as st

import fastiou

Array = npt.NDArray[Any]

#: Scores of a dense block that are compared at a time: 64 MB of float64.
BLOCK = 8_000_000

#: For property tests: few examples, or as many as a profile of more than Hypothesis's own 100 asks
#: for: `pytest --hypothesis-profile thorough tests/search tests/relations` runs 10,000.
EXAMPLES = settings() if settings().max_examples > 100 else settings(max_examples=60)


@dataclass(frozen=True)
class Scene:
    """Two sets and the groups of their members."""

    a: Any
    b: Any
    groups: tuple[Array, Array]
    #: In descending order.
    thresholds: tuple[float, ...] = (1.0, 0.5, 1e-6)
    options: dict[str, Any] = field(default_factory=dict)
    #: The dense result must be made of all boxes at once, since extreme ones change the arithmetic
    #: of all.
    whole: bool = False


def dense(a: Any, b: Any, **options: Any) -> Array:
    """Dense scores of boxes or masks, 0 for boxes that are missing, since NaN is never a pair."""
    if isinstance(a, fastiou.Masks):
        return np.asarray(fastiou.mask_iou(a, b, **options))
    scores = np.asarray(fastiou.box_iou(a, b, **options))
    scores[np.isnan(a).any(1)] = 0
    scores[:, np.isnan(b).any(1)] = 0
    return scores


def dense_blocks(
    scene: Scene, b: Any, groups: tuple[Array, Array] | None
) -> Iterator[tuple[int, Array]]:
    """Dense scores of `a` and a second set, some rows at a time, 0 where groups differ."""
    a, rows = scene.a, len(scene.a) if scene.whole else max(1, BLOCK // max(1, len(b)))
    for first in range(0, len(a), max(rows, 1)):
        scores = dense(a[first : first + rows], b, **scene.options)
        if groups is not None:
            scores[groups[0][first : first + rows, None] != groups[1][None]] = 0
        yield first, scores


# ---- boxes -------------------------------------------------------------------------------------


def boxes_at(low: Array, sides: Array) -> Array:
    """Corners of boxes, from one corner and the sides."""
    return np.concatenate([low, low + sides], axis=1)


def scattered(
    rng: np.random.Generator,
    count: int,
    span: float = 1000.0,
    sides: tuple[float, float] = (2.0, 20.0),
) -> Array:
    return boxes_at(rng.random((count, 2)) * span, rng.uniform(*sides, (count, 2)))


def uneven_groups(rng: np.random.Generator, *sizes: int) -> tuple[Array, ...]:
    """A giant group, a few large ones, a thousand of a few members, some in one set only."""
    numbers = np.concatenate([[-5, 0, 2**62, -(2**63)], 2**40 + np.arange(1000), -np.arange(1, 9)])
    chances = np.concatenate(
        [[0.5, 0.1, 0.1, 0.05], np.full(1000, 0.2 / 1000), np.full(8, 0.05 / 8)]
    )
    groups = []
    for position, size in enumerate(sizes):
        of_set = rng.choice(numbers, size, p=chances)
        own = rng.random(size) < 0.03
        of_set[own] = 77 + position
        groups.append(of_set)
    return tuple(groups)


def with_groups(rng: np.random.Generator, a: Any, b: Any, **options: Any) -> Scene:
    first, second = uneven_groups(rng, len(a), len(b))
    return Scene(a, b, (first, second), **options)


def _random(rng: np.random.Generator, dtype: Any) -> Scene:
    return with_groups(rng, scattered(rng, 5000).astype(dtype), scattered(rng, 3000).astype(dtype))


def _two_dtypes(rng: np.random.Generator, dtype1: Any, dtype2: Any) -> Scene:
    a, b = scattered(rng, 5000) + 100, scattered(rng, 3000) + 100
    return with_groups(rng, a.astype(dtype1), b.astype(dtype2))


def _clustered(rng: np.random.Generator) -> Scene:
    centres = rng.random((60, 2)) * 1e4

    def some(count: int) -> Array:
        low = centres[rng.integers(0, 60, count)] + rng.normal(0, 20, (count, 2))
        return boxes_at(low, rng.uniform(1, 25, (count, 2))).astype(np.float32)

    return with_groups(rng, some(5000), some(3000))


def _giants(rng: np.random.Generator) -> Scene:
    """A few as large as the page among many tiny ones, in both sets, at any place in the order."""

    def some(count: int) -> Array:
        boxes = scattered(rng, count, 1000, (0.5, 4))
        pages = rng.choice(count, 12, replace=False)
        boxes[pages] = scattered(rng, 12, 100, (700, 900))
        boxes[pages[:2]] = -5, -5, 1500, 1500
        return boxes.astype(np.float32)

    return with_groups(rng, some(5000), some(3000), thresholds=(0.5, 1e-3, 1e-6))


def _all_sizes(rng: np.random.Generator) -> Scene:
    """Sides of all orders of magnitude, long and thin ones too."""

    def some(count: int) -> Array:
        sides = 10 ** rng.uniform(-2, 2.5, (count, 2))
        return boxes_at(rng.random((count, 2)) * 2000, sides)

    return with_groups(rng, some(5000), some(3000), thresholds=(0.9, 0.3, 1e-4))


def _powers_of_two(rng: np.random.Generator) -> Scene:
    """Sides and places on the lines of a grid that is halved again and again."""

    def some(count: int) -> Array:
        side = 2.0 ** rng.integers(-3, 5, (count, 1))
        low = np.floor(rng.random((count, 2)) * 512 / side) * side
        return boxes_at(low, np.repeat(side, 2, axis=1)).astype(np.float32)

    return with_groups(rng, some(5000), some(3000), thresholds=(1.0, 0.25, 1 / 1024))


def _pile(rng: np.random.Generator) -> Scene:
    """Thousands around one point."""

    def some(count: int) -> Array:
        half = rng.uniform(1, 30, (count, 2))
        jitter = rng.normal(0, 0.5, (count, 2))
        return np.concatenate([jitter - half, jitter + half], axis=1).astype(np.float32)

    return with_groups(rng, some(5000), some(3000), thresholds=(1.0, 0.97, 0.9))


def _pile_in_a_corner(rng: np.random.Generator) -> Scene:
    """A spot that most boxes share, and a wide space with the rest."""

    def some(count: int) -> Array:
        boxes = scattered(rng, count, 1e5, (10, 500))
        boxes[: count // 2] = scattered(rng, count // 2, 1, (0.5, 3))
        return rng.permutation(boxes).astype(np.float32)

    return with_groups(rng, some(5000), some(3000), thresholds=(1.0, 0.9, 0.8))


def _line(rng: np.random.Generator, direction: tuple[float, float]) -> Scene:
    """In one row, in one column, or on the diagonal."""

    def some(count: int) -> Array:
        low = rng.random((count, 1)) * 3e4 * np.array([direction])
        return boxes_at(low, rng.uniform(5, 50, (count, 2))).astype(np.float32)

    return with_groups(rng, some(5000), some(3000))


def _one_coordinate(rng: np.random.Generator, axis: int) -> Scene:
    """Nine in ten begin at the same place in one direction, so that quantiles coincide."""

    def some(count: int) -> Array:
        boxes = scattered(rng, count, 3000, (1, 30))
        same = rng.random(count) < 0.9
        boxes[same, axis] = 1500
        boxes[same, axis + 2] = 1500 + rng.integers(1, 4, int(same.sum()))
        return boxes

    return with_groups(rng, some(5000), some(3000))


def _copies(rng: np.random.Generator) -> Scene:
    """600 equal boxes, 40 of each of a hundred, and a few near misses."""
    distinct = scattered(rng, 100)

    def some(count: int) -> Array:
        boxes = distinct[rng.integers(0, 100, count)]
        boxes[:600] = 3, 3, 8, 9
        boxes[600:650, 2] = np.nextafter(boxes[600:650, 2], 0)
        return rng.permutation(boxes)

    return with_groups(rng, some(5000), some(2500))


def _all_equal(rng: np.random.Generator) -> Scene:
    return with_groups(
        rng, np.tile([[-7.5, 2, 3, 4]], (1500, 1)), np.tile([[-7.5, 2, 3, 4]], (700, 1))
    )


def _far_clusters(rng: np.random.Generator, dtype: Any) -> Scene:
    """Clusters so far apart that the steps between floats there are large."""
    centres = np.array([[0, 0], [1e9, 1e9], [-1e9, 1e9], [1e15, -1e15], [-1e15, 1e15], [1e9, 0]])

    def some(count: int) -> Array:
        cluster = rng.integers(0, len(centres), count)
        scale = np.maximum(np.abs(centres[cluster]).max(1) * np.finfo(dtype).eps * 8, 1)[:, None]
        low = centres[cluster] + rng.normal(0, 100, (count, 2)) * scale
        return boxes_at(low, rng.uniform(1, 9, (count, 2)) * scale).astype(dtype)

    return with_groups(rng, some(5000), some(3000))


def _outlier(rng: np.random.Generator, dtype: Any, far: float, *, whole: bool = False) -> Scene:
    """One box so far away, in either set, that all others are in one cell of an even grid."""
    a = scattered(rng, 4000 if whole else 5000).astype(dtype)
    b = scattered(rng, 700 if whole else 3000).astype(dtype)
    a[1234] = far, far, far * 1.5, far * 2
    b[56] = -far, far, far, 2 * far
    b[57] = -far, -far, 0, 0
    return with_groups(rng, a, b, whole=whole)


def _tiny(rng: np.random.Generator) -> Scene:
    """Areas beyond the smallest float32, beside usual ones."""
    a, b = scattered(rng, 4000, 1000, (5, 30)), scattered(rng, 700, 1000, (5, 30))
    a[::2] *= 1e-30
    b[::2] *= 1e-30
    return with_groups(rng, a.astype(np.float32), b.astype(np.float32), whole=True)


def _tiles(rng: np.random.Generator) -> Scene:
    """Tiles that touch, and the same tiles moved by half of one: only the latter overlap."""
    x, y = (axis.reshape(-1, 1).astype(np.float64) for axis in np.indices((70, 70)))
    tiles = boxes_at(np.concatenate([x, y], axis=1), np.ones((4900, 2)))
    moved = tiles[:3000] + rng.choice([-0.5, 0.0, -1.0, 1.0], (3000, 4))[:, [0, 1, 0, 1]]
    return with_groups(rng, rng.permutation(tiles - 35), moved - 35)


def _degenerate(rng: np.random.Generator, dtype: Any) -> Scene:
    """Points, lines, inverted and missing boxes among proper ones, all on a coarse grid."""

    def some(count: int) -> Array:
        low = rng.integers(-60, 60, (count, 2)).astype(dtype)
        boxes = boxes_at(low, rng.integers(-2, 4, (count, 2)).astype(dtype))
        missing = rng.random(count) < 0.05
        boxes[missing, rng.integers(0, 4, int(missing.sum()))] = np.nan
        boxes[rng.random(count) < 0.02] = np.nan
        boxes[boxes == 0] *= rng.choice([-1, 1])
        return boxes

    return with_groups(rng, some(5000), some(3000))


def _nothing_proper(rng: np.random.Generator) -> Scene:
    a, b = scattered(rng, 5000), scattered(rng, 3000)
    a[:2000] = np.nan
    a[2000:, 2:] = a[2000:, :2]
    b[::2, 3] = np.nan
    return with_groups(rng, a, b)


def _at_the_threshold(rng: np.random.Generator, dtype: Any) -> Scene:
    """Nested boxes whose ratio is just a threshold, or rounds to it."""

    def some(count: int) -> Array:
        place = rng.integers(0, 50, (count, 2)) * 100
        sides = np.stack([rng.integers(1, 11, count), rng.choice([1, 2, 5, 10], count)], axis=1)
        return boxes_at(place.astype(np.float64), sides.astype(np.float64)).astype(dtype)

    thresholds = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 1 / 3, 0.2, 0.1, 1 / 7, 0.01)
    return with_groups(rng, some(5000), some(3000), thresholds=tuple(sorted(thresholds)[::-1]))


def _integers(rng: np.random.Generator, dtype: Any) -> Scene:
    """Over the whole range of the type, and up to its ends."""
    info = np.iinfo(dtype)
    # Of no more than 1e6, so that the boxes of large types meet.
    span = min(info.max - info.min, 1_000_000)

    def some(count: int) -> Array:
        # Of 64 bits: too far apart for float64, and in steps that float64 does not have there.
        starts = [0, 2**59 + 1, 2**61 + 7] if info.bits == 64 else [info.min, info.max - span]
        start = rng.choice(starts, (count, 1)).astype(object)
        low = start + rng.integers(0, span - span // 40, (count, 2)).astype(object)
        sides = rng.integers(1, max(2, span // 40), (count, 2)).astype(object)
        return boxes_at(low, sides).astype(dtype)

    whole = info.bits == 64
    return with_groups(rng, some(4000), some(700 if whole else 3000), whole=whole)


def _narrow_far_integers(rng: np.random.Generator) -> Scene:
    """Signed and unsigned, near each other, at an origin beyond 2**53."""
    a, b = (np.floor(scattered(rng, size)).astype(np.int64) + 2**62 for size in (5000, 3000))
    return with_groups(rng, a + 1, (b + 1).astype(np.uint64))


def _float16(rng: np.random.Generator) -> Scene:
    """Up to the largest number of the type, where its steps are 32."""
    a, b = scattered(rng, 5000, 6e4, (50, 2000)), scattered(rng, 3000, 6e4, (50, 2000))
    a[::3] -= 6e4
    return with_groups(rng, a.astype(np.float16), b.astype(np.float16))


def _giant_group(rng: np.random.Generator) -> Scene:
    """One group of most boxes beside thousands of one or two, of interleaved members."""
    a, b = (scattered(rng, size, 600).astype(np.float32) for size in (6000, 4000))
    first = np.where(rng.random(6000) < 0.6, 7, rng.integers(-(2**40), -(2**40) + 3000, 6000))
    second = np.where(rng.random(4000) < 0.6, 7, rng.integers(-(2**40), -(2**40) + 3000, 4000))
    return Scene(a, b, (first, second))


def _unsigned_groups(rng: np.random.Generator) -> Scene:
    """Groups that differ in their last bit only, beyond what float64 and int64 hold."""
    a, b = (scattered(rng, size, 300).astype(np.float32) for size in (5000, 3000))
    first, second = (
        np.uint64(2**64 - 1) - rng.integers(0, 40, size).astype(np.uint64) for size in (5000, 3000)
    )
    return Scene(a, b, (first, second))


def _groups_apart(rng: np.random.Generator) -> Scene:
    """No group has members in both sets, but for one box each."""
    a, b = (scattered(rng, size, 300).astype(np.float32) for size in (5000, 3000))
    first, second = 2 * rng.integers(0, 30, 5000), 2 * rng.integers(0, 30, 3000) + 1
    first[4321] = second[1234] = -9
    b[1234] = a[4321]
    return Scene(a, b, (first, second))


def _one_against_many(rng: np.random.Generator) -> Scene:
    a = scattered(rng, 3, 10, (100, 900))
    return with_groups(rng, a, scattered(rng, 20_000), thresholds=(0.5, 1e-3, 1e-6))


def _many_against_one(rng: np.random.Generator) -> Scene:
    return with_groups(rng, scattered(rng, 6000), np.array([[100.0, 100, 140, 130]]))


SCENES: dict[str, Callable[[np.random.Generator], Scene]] = {
    "random float32": lambda rng: _random(rng, np.float32),
    "random float64": lambda rng: _random(rng, np.float64),
    "float32 with float64": lambda rng: _two_dtypes(rng, np.float32, np.float64),
    "float16 with uint16": lambda rng: _two_dtypes(rng, np.float16, np.uint16),
    "clustered": _clustered,
    "giants among tiny ones": _giants,
    "all sizes": _all_sizes,
    "powers of two": _powers_of_two,
    "pile": _pile,
    "pile in a corner": _pile_in_a_corner,
    "row": lambda rng: _line(rng, (1, 0)),
    "column": lambda rng: _line(rng, (0, 1)),
    "diagonal": lambda rng: _line(rng, (1, 1)),
    "one x": lambda rng: _one_coordinate(rng, 0),
    "one y": lambda rng: _one_coordinate(rng, 1),
    "copies": _copies,
    "all equal": _all_equal,
    "far clusters float32": lambda rng: _far_clusters(rng, np.float32),
    "far clusters float64": lambda rng: _far_clusters(rng, np.float64),
    "outlier float32": lambda rng: _outlier(rng, np.float32, 1e15),
    "outlier float64": lambda rng: _outlier(rng, np.float64, 1e100),
    "outlier near the largest float32": lambda rng: _outlier(rng, np.float32, 1e38, whole=True),
    "outlier near the largest float64": lambda rng: _outlier(rng, np.float64, 8e307, whole=True),
    "tiny areas": _tiny,
    "tiles": _tiles,
    "degenerate float32": lambda rng: _degenerate(rng, np.float32),
    "degenerate float64": lambda rng: _degenerate(rng, np.float64),
    "nothing proper": _nothing_proper,
    "at the threshold float32": lambda rng: _at_the_threshold(rng, np.float32),
    "at the threshold float64": lambda rng: _at_the_threshold(rng, np.float64),
    "int8": lambda rng: _integers(rng, np.int8),
    "uint8": lambda rng: _integers(rng, np.uint8),
    "int16": lambda rng: _integers(rng, np.int16),
    "uint16": lambda rng: _integers(rng, np.uint16),
    "int32": lambda rng: _integers(rng, np.int32),
    "uint32": lambda rng: _integers(rng, np.uint32),
    "int64": lambda rng: _integers(rng, np.int64),
    "uint64": lambda rng: _integers(rng, np.uint64),
    "int64 with uint64": _narrow_far_integers,
    "float16": _float16,
    "giant group": _giant_group,
    "unsigned groups": _unsigned_groups,
    "groups apart": _groups_apart,
    "one against many": _one_against_many,
    "many against one": _many_against_one,
}


#: Those that have kernels of their own compiled are slow.
SCENE_NAMES = [
    pytest.param(name, marks=pytest.mark.slow)
    if name in ("int64", "uint64", "outlier near the largest float32", "tiny areas")
    else name
    for name in SCENES
]


def scene_named(name: str) -> Scene:
    return SCENES[name](np.random.default_rng(20260202))


# ---- masks -------------------------------------------------------------------------------------


def small_objects(
    rng: np.random.Generator, count: int, size: tuple[int, int] = (300, 400), largest: int = 14
) -> fastiou.Masks:
    """Objects of a few pixels anywhere, each column of its own height; one in forty is empty."""
    height, width = size
    entries = []
    for _ in range(count):
        columns, rows = rng.integers(1, largest, 2)
        left, top = rng.integers(0, width - columns), rng.integers(0, height - rows)
        heights = rng.integers(1, rows + 1, columns)
        if rng.random() < 1 / 40:
            entries.append({"size": [height, width], "counts": [height * width]})
            continue
        counts = [left * height + top]
        for own in heights:
            counts += [own, height - own]
        counts[-1] = height * width - sum(counts[:-1])
        entries.append({"size": [height, width], "counts": [int(run) for run in counts]})
    return fastiou.Masks.from_rle(entries, size)


def mask_scene(rng: np.random.Generator) -> Scene:
    """Small objects, and a few that fill much of the image."""
    full = np.zeros((4, 300, 400), np.bool_)
    full[0] = True
    full[1, :, ::2] = True
    full[2, 100:220, 50:399] = True
    large = fastiou.Masks.from_dense(full)
    small = small_objects(rng, 5000)
    a = fastiou.Masks.concatenate([small[:2000], large, small[2000:]])
    b = fastiou.Masks.concatenate([large[2:], small_objects(rng, 2500), small[:400]])
    return with_groups(rng, a, b)


# ---- drawn by hypothesis -----------------------------------------------------------------------

DTYPES = ["f2", "f4", "f8", "i1", "u2", "i4", "i8", "u8"]


@st.composite
def _clusters(draw: st.DrawFn, most: int) -> list[dict[str, Any]]:
    cluster = st.fixed_dictionaries(
        {
            "count": st.sampled_from([0, 1, 2, 3, 5, 9, 40, most // 2, most]),
            "centre": st.tuples(*[st.sampled_from([0.0, 3.0, 100.0, -1e3, 1e9, -1e15])] * 2),
            "spread": st.tuples(*[st.sampled_from([0.0, 1.0, 30.0, 1e3, 1e5])] * 2),
            "side": st.tuples(*[st.sampled_from([0.0, 0.01, 1.0, 20.0, 300.0, 1e4])] * 2),
            "law": st.sampled_from(["equal", "even", "wide"]),
            "step": st.sampled_from([0.0, 1.0, 0.25, 64.0]),
        }
    )
    return draw(st.lists(cluster, min_size=1, max_size=3))


def _of_clusters(rng: np.random.Generator, clusters: list[dict[str, Any]]) -> Array:
    parts = []
    for cluster in clusters:
        count = cluster["count"]
        low = np.array(cluster["centre"]) + rng.uniform(-1, 1, (count, 2)) * cluster["spread"]
        sides = (
            np.array(cluster["side"])
            * {
                "equal": np.ones((count, 2)),
                "even": rng.random((count, 2)),
                "wide": 10 ** rng.uniform(-4, 0, (count, 2)),
            }[cluster["law"]]
        )
        step = cluster["step"]
        if step:
            low, sides = np.round(low / step) * step, np.round(sides / step) * step
        parts.append(boxes_at(low, sides))
    return np.concatenate(parts)


def _as_dtype(boxes: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        return boxes.clip(-6e4, 6e4).astype(dtype) if dtype.itemsize == 2 else boxes.astype(dtype)
    # Whole numbers in range; one step below the largest, which float64 may round up.
    info = np.iinfo(dtype)
    lowest, highest = float(info.min), np.nextafter(float(info.max), 0)
    return np.round(boxes).clip(lowest, highest).astype(dtype)


@st.composite
def drawn_scenes(draw: st.DrawFn, metric: str, most: int = 300) -> Scene:
    """Mixtures of clusters of all sizes, some boxes copied, inverted or missing, in any dtype."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fmt = draw(st.sampled_from(FORMATS))
    share = st.sampled_from([0.0, 0.0, 0.1, 0.9])
    clusters = draw(_clusters(most))
    sets = []
    for others in (clusters, draw(st.none() | _clusters(most))):
        boxes = _of_clusters(rng, others or clusters)
        if sets and draw(st.booleans()):  # some are members of both sets
            boxes = np.concatenate([boxes, sets[0][:: draw(st.integers(1, 9))]])
        count = len(boxes)
        if count:
            copied = rng.random(count) < draw(share)
            boxes[copied] = boxes[rng.integers(0, count, int(copied.sum()))]
            inverted = rng.random(count) < draw(share) / 2
            boxes[inverted] = boxes[inverted][:, [2, 1, 0, 3]]
            missing = rng.random(count) < draw(share) / 2
            boxes[missing, rng.integers(0, 4, int(missing.sum()))] = np.nan
        sets.append(rng.permutation(boxes))
    dtypes = [np.dtype(draw(st.sampled_from(DTYPES)))]
    dtypes.append(draw(st.sampled_from([dtypes[0], np.dtype("f4"), dtypes[0]])))
    if metric not in USUAL_METRICS and all(dtype in ("f2", "f4") for dtype in dtypes):
        dtypes[1] = np.dtype("f8")
    a, b = (
        _as_dtype(as_format(np.nan_to_num(boxes) if dtype.kind != "f" else boxes, fmt), dtype)
        for boxes, dtype in zip(sets, dtypes, strict=True)
    )
    numbers = np.array(draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9)))
    unevenness = draw(st.sampled_from([1.0, 4.0]))
    first, second = (
        numbers[(len(numbers) * rng.random(len(boxes)) ** unevenness).astype(int)]
        for boxes in (a, b)
    )
    lowest = st.sampled_from([1e-6, 0.01, 0.1, 1 / 3, 0.5, 0.7, 0.999, 1.0]) | st.floats(1e-9, 1)
    return Scene(
        a,
        b,
        (first, second),
        thresholds=(draw(lowest),),
        options={"fmt": fmt, "metric": metric},
        whole=True,
    )
