"""`pairs` and `topk` find exactly what the dense result has, wherever boxes lie.

The property tests take few examples. `pytest --hypothesis-profile thorough tests/search`
runs 10,000 of each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import pytest
from boxes_for_tests import FORMATS, METRICS, USUAL_METRICS, as_format, random_boxes
from hypothesis import given
from hypothesis import strategies as st
from masks_for_tests import METRICS as MASK_METRICS
from masks_for_tests import awkward_masks, drawn_masks, drawn_sizes, random_masks
from scenes_for_tests import (
    EXAMPLES,
    SCENE_NAMES,
    Scene,
    dense,
    dense_blocks,
    drawn_scenes,
    mask_scene,
    scattered,
    scene_named,
    small_objects,
    uneven_groups,
)

import fastiou
from fastiou import reference
from fastiou.cpu import pairs as join
from fastiou.runtime import memory, steps, threads
from fastiou.search import grid_plan, pair_lists

#: Few are many here: other tests compare what one call does for a few.
pytestmark = pytest.mark.general_way

METRICS_AND_DTYPES: list[Any] = [(metric, np.float64) for metric in METRICS]
METRICS_AND_DTYPES += [
    pytest.param(metric, np.float32, marks=pytest.mark.slow) for metric in USUAL_METRICS
]

SMALL_SIZES = [0, 1, 2, 63, 64, 65, 257]


def assert_pairs_of_dense(scene: Scene, *, itself: bool = False, grouped: bool = False) -> int:
    """Compare `pairs` with the dense result at all thresholds; return how many pairs there are."""
    b = scene.a if itself else scene.b
    groups = (scene.groups[0], scene.groups[0] if itself else scene.groups[1]) if grouped else None
    parts = []
    for first, scores in dense_blocks(scene, b, groups):
        rows, cols, values = reference.box_pairs(scores, scene.thresholds[-1])
        once = rows + first < cols if itself else np.full(len(rows), True)
        parts.append((rows[once] + first, cols[once], values[once]))
    expected = [np.concatenate(column) for column in zip(*parts, strict=True)]
    options = dict(scene.options)
    if groups is not None:
        options["groups"] = groups[0] if itself else groups
    for threshold in scene.thresholds:
        found = fastiou.pairs(scene.a, None if itself else b, threshold, **options)
        enough = expected[2] >= reference.rounded_down(threshold, expected[2].dtype)
        for name, column in zip(("rows", "cols", "values"), expected, strict=True):
            np.testing.assert_array_equal(
                getattr(found, name), column[enough], f"{name} at {threshold}", strict=True
            )
        assert len(found) == enough.sum()
    return len(expected[0])


def assert_topk_of_dense(
    scene: Scene, *, grouped: bool = False, ks: tuple[int, ...] = (1, 3)
) -> int:
    """Compare `topk` with the dense result; return how many it found."""
    groups = scene.groups if grouped else None
    parts = [reference.topk(scores, max(ks)) for _, scores in dense_blocks(scene, scene.b, groups)]
    best, columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    for k, threshold in [*((k, 0.0) for k in ks), (max(ks), scene.thresholds[0])]:
        # Sorted, so that fewer are the first ones, and those below a threshold the last ones.
        enough = best[:, :k] >= reference.rounded_down(threshold, best.dtype)
        values, indices = np.where(enough, best[:, :k], 0), np.where(enough, columns[:, :k], -1)
        found = fastiou.topk(
            scene.a, scene.b, k, threshold=threshold, groups=groups, **scene.options
        )
        told = f"k {k} at {threshold}"
        np.testing.assert_array_equal(found.indices, indices, told, strict=True)
        np.testing.assert_array_equal(found.values, values, told, strict=True)
    return int((columns >= 0).sum())


# ---- scenes ------------------------------------------------------------------------------------

#: In which nothing overlaps, so that nothing may be found.
EMPTY_SCENES = {"nothing proper"}

#: In which no two of the first set overlap: tiles that touch, and three boxes in three groups.
APART = {("tiles", False), ("tiles", True), ("one against many", True)}


@pytest.mark.parametrize(
    ("itself", "grouped"),
    [
        (False, False),
        pytest.param(True, True, marks=pytest.mark.slow),
        pytest.param(False, True, marks=pytest.mark.thorough),
        pytest.param(True, False, marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("name", SCENE_NAMES)
@pytest.mark.usefixtures("any_threads")
def test_pairs_of_scenes(name: str, itself: bool, grouped: bool) -> None:
    count = assert_pairs_of_dense(scene_named(name), itself=itself, grouped=grouped)
    apart = name in EMPTY_SCENES or (itself and (name, grouped) in APART)
    assert (count == 0) == apart


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True], ids=["all", "grouped"])
@pytest.mark.parametrize("name", SCENE_NAMES)
@pytest.mark.usefixtures("any_threads")
def test_topk_of_scenes(name: str, grouped: bool) -> None:
    count = assert_topk_of_dense(scene_named(name), grouped=grouped)
    assert (count == 0) == (name in EMPTY_SCENES)


def scene_of_metric(rng: np.random.Generator, metric: str, fmt: str, dtype: type) -> Scene:
    """Sides of all sizes: a bound on the search that holds for iou alone would show."""
    sides = [10 ** rng.uniform(-1, 2, (size, 2)) for size in (5000, 1500)]
    corners = [
        np.concatenate([low, low + side], axis=1)
        for low, side in ((rng.random((len(side), 2)) * 600, side) for side in sides)
    ]
    corners[1][:300] = corners[0][:300]  # that score 1
    corners[1][300:400, :2] = corners[0][300:400, :2]  # that share a corner
    a, b = (as_format(some, fmt).astype(dtype) for some in corners)
    thresholds = (300.0, 5.0, 1e-6) if metric == "intersection" else (0.999, 0.4, 1e-6)
    groups = uneven_groups(rng, 5000, 1500)
    return Scene(a, b, (groups[0], groups[1]), thresholds, {"metric": metric, "fmt": fmt})


@pytest.mark.parametrize(("metric", "dtype"), METRICS_AND_DTYPES)
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.usefixtures("any_threads")
def test_pairs_of_every_metric_and_format(
    rng: np.random.Generator, metric: str, fmt: str, dtype: type
) -> None:
    scene = scene_of_metric(rng, metric, fmt, dtype)
    assert assert_pairs_of_dense(scene) > 300
    assert assert_pairs_of_dense(scene, grouped=True) > 30


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "dtype"), METRICS_AND_DTYPES)
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.usefixtures("any_threads")
def test_topk_of_every_metric_and_format(
    rng: np.random.Generator, metric: str, fmt: str, dtype: type
) -> None:
    scene = scene_of_metric(rng, metric, fmt, dtype)
    assert assert_topk_of_dense(scene, ks=(2,)) > 300


def thirty_thousand(rng: np.random.Generator) -> Scene:
    """Most in a narrow strip, some far wider than it."""
    a, b = (scattered(rng, size, 5000).astype(np.float32) for size in (30_000, 20_000))
    for boxes in (a, b):
        strip = np.arange(len(boxes)) % 97 != 0
        boxes[strip, 0::2] *= 0.5
        boxes[::1000, 2:] += 500
    groups = uneven_groups(rng, 30_000, 20_000)
    return Scene(a, b, (groups[0], groups[1]), (0.5, 1e-6))


@pytest.mark.usefixtures("any_threads")
def test_pairs_of_thirty_thousand(rng: np.random.Generator) -> None:
    assert assert_pairs_of_dense(thirty_thousand(rng)) > 10_000


@pytest.mark.slow
def test_pairs_of_thirty_thousand_with_themselves(rng: np.random.Generator) -> None:
    assert assert_pairs_of_dense(thirty_thousand(rng), itself=True) > 10_000


@pytest.mark.usefixtures("any_threads")
def test_topk_of_thirty_thousand(rng: np.random.Generator) -> None:
    assert assert_topk_of_dense(thirty_thousand(rng), ks=(4,)) > 10_000


@pytest.mark.parametrize("grid", [False, True], ids=["as it is", "grid"])
@pytest.mark.parametrize("size1", SMALL_SIZES)
def test_odd_sizes(rng: np.random.Generator, size1: int, grid: bool) -> None:
    with grids(grid):
        assert_odd_sizes(rng, size1)


def assert_odd_sizes(rng: np.random.Generator, size1: int) -> None:
    for size2 in SMALL_SIZES:
        for dtype in (np.float32, np.int16):
            a = random_boxes(rng, size1, dtype)
            b = random_boxes(rng, size2, dtype)
            groups = rng.integers(-1, 2, size1), rng.integers(-1, 2, size2)
            scene = Scene(a, b, groups, (0.3, 1e-6))
            for grouped in (False, True):
                assert_pairs_of_dense_or_empty(scene, grouped=grouped)
    assert_pairs_of_dense_or_empty(scene, itself=True, grouped=True)


def assert_pairs_of_dense_or_empty(
    scene: Scene, *, itself: bool = False, grouped: bool = False
) -> None:
    if len(scene.a):
        assert_pairs_of_dense(scene, itself=itself, grouped=grouped)
        return
    groups = (scene.groups[0] if itself else scene.groups) if grouped else None
    found = fastiou.pairs(scene.a, None if itself else scene.b, groups=groups)
    assert len(found) == 0
    assert found.rows.dtype == found.cols.dtype == np.int64
    assert found.values.dtype == fastiou.box_iou(scene.a, scene.b).dtype


@pytest.mark.parametrize("size1", SMALL_SIZES)
def test_topk_of_odd_sizes(rng: np.random.Generator, size1: int) -> None:
    for size2 in SMALL_SIZES:
        for dtype in (np.float32, np.int16):
            a = random_boxes(rng, size1, dtype)
            b = random_boxes(rng, size2, dtype)
            groups = rng.integers(-1, 2, size1), rng.integers(-1, 2, size2)
            for wanted in (None, groups):
                scores = dense(a, b)
                if wanted is not None:
                    scores[groups[0][:, None] != groups[1]] = 0
                for k in (1, 2, 300):
                    values, indices = reference.topk(scores, k)
                    found = fastiou.topk(a, b, k, groups=wanted)
                    np.testing.assert_array_equal(found.values, values, strict=True)
                    np.testing.assert_array_equal(found.indices, indices, strict=True)


# ---- drawn -------------------------------------------------------------------------------------


@contextlib.contextmanager
def grids(wanted: bool) -> Iterator[None]:
    """Have every group searched by a grid, as only large ones are, and with the smallest cells."""
    with pytest.MonkeyPatch.context() as patch:
        if wanted:
            patch.setattr(grid_plan, "BUILDING_SCORES", 0)
            patch.setattr(grid_plan, "ASKING_SCORES", 0)
            patch.setattr(grid_plan, "CELL_BOXES", 1)
            patch.setattr(grid_plan, "CLASS_SHARE", 0)
            patch.setattr(grid_plan, "REORDER_BY_ROWS", 0)
        yield


@contextlib.contextmanager
def room_for(size: int | None) -> Iterator[None]:
    """Have no more pairs collected while they are counted than so many; the rest is found again."""

    def make_small_pool(found: Any, *arguments: Any) -> Any:
        return pair_lists._Pool(len(arguments[-1]), found.dtype, size or 0, 20)

    with pytest.MonkeyPatch.context() as patch:
        if size is not None:
            patch.setattr(pair_lists, "_pool", make_small_pool)
        yield


@pytest.mark.parametrize("metric", METRICS)
@EXAMPLES
@given(
    data=st.data(),
    itself=st.booleans(),
    grouped=st.booleans(),
    grid=st.booleans(),
    size=st.sampled_from([None, 0, 15, 16, 40, 200]),
)
def test_pairs_of_any_scene(
    metric: str, data: st.DataObject, itself: bool, grouped: bool, grid: bool, size: int | None
) -> None:
    scene = data.draw(drawn_scenes(metric))
    if len(scene.a):
        with grids(grid), room_for(size):
            assert_pairs_of_dense(scene, itself=itself, grouped=grouped)


@pytest.mark.parametrize("metric", METRICS)
@EXAMPLES
@given(
    data=st.data(),
    grouped=st.booleans(),
    k=st.sampled_from([1, 2, 5, 400]),
    grid=st.booleans(),
)
def test_topk_of_any_scene(
    metric: str, data: st.DataObject, grouped: bool, k: int, grid: bool
) -> None:
    scene = data.draw(drawn_scenes(metric))
    if len(scene.a):
        with grids(grid):
            assert_topk_of_dense(scene, grouped=grouped, ks=(k,))


@pytest.mark.parametrize("topk", [False, True], ids=["pairs", "topk"])
@pytest.mark.parametrize("metric", MASK_METRICS)
@EXAMPLES
@given(size=drawn_sizes(), data=st.data())
def test_any_masks(metric: str, topk: bool, size: tuple[int, int], data: st.DataObject) -> None:
    a, b = (fastiou.Masks.from_dense(data.draw(drawn_masks(size, 8))) for _ in range(2))
    group = st.integers(-1, 1)
    first, second = (
        np.array(data.draw(st.lists(group, min_size=len(some), max_size=len(some))), np.int64)
        for some in (a, b)
    )
    options = {"metric": metric}
    threshold = data.draw(st.sampled_from([1e-9, 0.3, 1.0]))
    scene = Scene(a, b, (first, second), (threshold,), options, whole=True)
    grouped = data.draw(st.booleans())
    with grids(data.draw(st.booleans())):
        if len(a) and topk:
            assert_topk_of_dense(scene, grouped=grouped, ks=(1, 9))
        elif len(a):
            assert_pairs_of_dense(scene, itself=data.draw(st.booleans()), grouped=grouped)


# ---- masks -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masks() -> Scene:
    return mask_scene(np.random.default_rng(20260303))


@pytest.mark.parametrize("grouped", [False, True], ids=["all", "grouped"])
@pytest.mark.parametrize("itself", [False, True], ids=["two sets", "itself"])
@pytest.mark.usefixtures("any_threads")
def test_pairs_of_many_masks(masks: Scene, itself: bool, grouped: bool) -> None:
    assert assert_pairs_of_dense(masks, itself=itself, grouped=grouped) > 100


@pytest.mark.parametrize("grouped", [False, True], ids=["all", "grouped"])
@pytest.mark.usefixtures("any_threads")
def test_topk_of_many_masks(masks: Scene, grouped: bool) -> None:
    assert assert_topk_of_dense(masks, grouped=grouped) > 1000


@pytest.mark.parametrize("topk", [False, True], ids=["pairs", "topk"])
@pytest.mark.parametrize("metric", MASK_METRICS)
@pytest.mark.usefixtures("any_threads")
def test_every_metric_of_masks(rng: np.random.Generator, metric: str, topk: bool) -> None:
    a, b = small_objects(rng, 3000, (200, 150)), small_objects(rng, 900, (200, 150), 30)
    b = fastiou.Masks.concatenate([b, a[500:600]])
    thresholds = (40.0, 5.0, 1e-6) if metric == "intersection" else (1.0, 0.4, 1e-6)
    groups = uneven_groups(rng, 3000, 1000)
    scene = Scene(a, b, (groups[0], groups[1]), thresholds, {"metric": metric})
    if topk:
        assert assert_topk_of_dense(scene, ks=(2,)) > 100
    else:
        assert assert_pairs_of_dense(scene) > 100
        assert assert_pairs_of_dense(scene, grouped=True) > 10


def test_awkward_masks(rng: np.random.Generator) -> None:
    a = fastiou.Masks.from_dense(
        np.concatenate([awkward_masks((90, 70)), random_masks(rng, 80, (90, 70))])
    )
    b = a[rng.permutation(len(a))]
    scene = Scene(a, b, (np.arange(len(a)) % 3, np.arange(len(a)) % 2), (1.0, 0.2, 1e-9))
    for grouped in (False, True):
        assert assert_pairs_of_dense(scene, grouped=grouped) > 10
        assert assert_pairs_of_dense(scene, itself=True, grouped=grouped) > 10
        assert assert_topk_of_dense(scene, grouped=grouped, ks=(1, 200)) > 10


def test_empty_masks_meet_nothing() -> None:
    empty = fastiou.Masks.from_dense(np.zeros((700, 30, 40), np.bool_))
    assert len(fastiou.pairs(empty, threshold=1e-9)) == 0
    assert (fastiou.topk(empty, empty, 2).indices == -1).all()


# ---- threads and steps -------------------------------------------------------------------------


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize(
    "what", ["pairs", *(pytest.param(name, marks=pytest.mark.slow) for name in ("topk", "masks"))]
)
def test_the_same_bits_for_any_threads_and_steps(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    fixed_steps: Callable[[int], None],
    what: str,
) -> None:
    """On a scene of unequal work: a pile, giants, and a wide space."""
    a, b = (scattered(rng, size, 3000).astype(np.float32) for size in (6000, 5000))
    for boxes in (a, b):
        boxes[::9] = scattered(rng, len(boxes[::9]), 10, (100, 130))
        boxes[5::1000, 2:] += 2000
    groups = uneven_groups(rng, 6000, 5000)
    objects = small_objects(rng, 600, (120, 90))
    work: dict[str, Callable[[], list[Any]]] = {
        "pairs": lambda: [
            *fastiou.pairs(a, b, 0.6),
            *fastiou.pairs(a, b, 0.3, groups=groups),
            *fastiou.pairs(a, threshold=0.6),
        ],
        "topk": lambda: [
            *fastiou.topk(a, b, 3, threshold=0.1),
            *fastiou.topk(a, b, 2, groups=groups),
        ],
        "masks": lambda: [
            *fastiou.pairs(objects, threshold=0.1),
            *fastiou.topk(objects, objects, 2),
        ],
    }

    def found() -> list[bytes]:
        return [part.tobytes() for part in work[what]()]

    numba.set_num_threads(1)
    wanted = found()
    assert all(len(part) > 100 for part in wanted)
    monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
    for count in (1, 2, 4):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        for step in (50_000, 2_000_000, 1 << 26):
            fixed_steps(step)
            assert found() == wanted, (threads, step)


@pytest.mark.usefixtures("several_threads")
def test_members_left_out_of_large_sets(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns of large sets are put in order by all threads, without those left out."""
    monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
    a, b = (scattered(rng, size, 1000).astype(np.float32) for size in (30_000, 20_000))
    for boxes in (a, b):
        boxes[100:200] = np.nan
        boxes[::11, 2:] = boxes[::11, :2] - 1
    wanted = fastiou.pairs(a, b, 0.1), fastiou.pairs(b, threshold=0.1)
    monkeypatch.setattr(grid_plan, "REORDER_BY_ROWS", 10_000)
    found = fastiou.pairs(a, b, 0.1), fastiou.pairs(b, threshold=0.1)
    assert min(map(len, found)) > 1000
    for some, expected in zip(found, wanted, strict=True):
        for part, column in zip(some, expected, strict=True):
            np.testing.assert_array_equal(part, column, strict=True)


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("of_masks", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [0, 100, 5_000, 60_000])
def test_the_same_bits_however_much_room_there_is(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    fixed_steps: Callable[[int], None],
    of_masks: bool,
) -> None:
    """Rows of thousands of pairs outgrow what a thread has taken, and some find no room at all."""
    a, b = (scattered(rng, size, 3000).astype(np.float32) for size in (6000, 5000))
    for boxes in (a, b):
        boxes[::9] = scattered(rng, len(boxes[::9]), 10, (100, 130))
    a[7] = 0, 0, 3000, 3000
    objects = small_objects(rng, 600, (120, 90))

    def find() -> fastiou.Pairs:
        return fastiou.pairs(objects, threshold=0.1) if of_masks else fastiou.pairs(a, b, 1e-6)

    wanted = find()
    assert of_masks or np.bincount(wanted.rows).max() > 4000
    monkeypatch.setattr(threads, "PARALLEL_FROM", 0)
    fixed_steps(1 << 20)
    with room_for(size):
        found = find()
    for part, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(part, expected, strict=True)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What each run of the pairs' kernel is for, and how many scores it made."""
    told: list[tuple[int, int]] = []
    run = threads.run

    def spy(kernel: Any, work: int, *arguments: Any) -> Any:
        result = run(kernel, work, *arguments)
        if kernel._label.startswith("pairs-"):
            told.append((arguments[6], int(arguments[10].sum())))
        return result

    monkeypatch.setattr(threads, "run", spy)
    return told


def overlapping(rng: np.random.Generator, count: int, share: float) -> Any:
    """Boxes of which each overlaps about a share of the others."""
    side = 1000 * share**0.5 / 2
    return scattered(rng, count, 1000, (0.9 * side, 1.1 * side)).astype(np.float32)


@pytest.mark.parametrize(
    ("count", "share"), [(100, 0.05), (3000, 0.001), (3000, 0.03), (9000, 0.01)]
)
def test_pairs_are_mostly_found_once(
    rng: np.random.Generator, searches: list[tuple[int, int]], count: int, share: float
) -> None:
    boxes = overlapping(rng, count, share)
    found = fastiou.pairs(boxes, boxes, 1e-6)
    assert len(found) > count * (1 + share * count / 4)
    assert {mode for mode, _ in searches} <= {join.REACH, join.COLLECT}


@pytest.mark.parametrize("shortage", ["too many", "no memory", "refused"])
def test_without_room_only_rows_with_pairs_are_searched_again(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    searches: list[tuple[int, int]],
    shortage: str,
) -> None:
    a, b = overlapping(rng, 3000, 0.003), overlapping(rng, 3000, 0.003)
    a[:2000, 2:] = a[:2000, :2] + 1  # which have candidates, and score little
    wanted = fastiou.pairs(a, b, 0.3)
    assert join.FILL not in {mode for mode, _ in searches}
    searches.clear()
    if shortage == "too many":
        monkeypatch.setattr(pair_lists, "MOST_POOL", 100)
    elif shortage == "no memory":
        monkeypatch.setattr(memory, "fits", lambda size: False)
    else:

        def refuse(*arguments: Any, pool: Any = pair_lists._Pool) -> Any:
            if len(arguments) > 2:
                raise MemoryError
            return pool(*arguments)

        monkeypatch.setattr(pair_lists, "_Pool", refuse)
    found = fastiou.pairs(a, b, 0.3)
    for part, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(part, expected, strict=True)
    collected = sum(scores for mode, scores in searches if mode == join.COLLECT)
    filled = sum(scores for mode, scores in searches if mode == join.FILL)
    assert 0 < filled < 0.8 * collected


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The pools with room that are made."""
    made: list[Any] = []

    class Recorded(pair_lists._Pool):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            if len(self):
                made.append(self)

    monkeypatch.setattr(pair_lists, "_Pool", Recorded)
    return made


def test_rows_of_pairs_take_the_place_of_what_was_collected(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, pools: list[Any]
) -> None:
    taken = []
    rows_of = pair_lists._Pool.rows
    monkeypatch.setattr(
        pair_lists._Pool, "rows", lambda *given: taken.append(rows_of(*given)) or taken[-1]
    )
    boxes = overlapping(rng, 3000, 0.003)
    found = fastiou.pairs(boxes, boxes, 0.3)
    assert np.shares_memory(found.rows, taken[0])
    assert pools[0].nbytes == 0
    pool = pair_lists._Pool(9, np.dtype(np.float32), 100, 1)
    buffer = pool._buffer
    rows = pool.rows(50)
    assert buffer.nbytes == 8 * 50
    assert np.shares_memory(rows, buffer)
    assert len(pair_lists._Pool(9, np.dtype(np.float32), 100, 1).rows(101)) == 101


def test_rows_seldom_move_while_they_are_collected(
    rng: np.random.Generator, pools: list[Any]
) -> None:
    """A row that outgrows its thread's portion moves to another; where most would, none is made."""
    boxes = overlapping(rng, 9000, 0.03)
    found = fastiou.pairs(boxes, boxes, 1e-6)
    assert pools[0]._taken[0] < 1.2 * len(found)
    pools.clear()
    boxes = overlapping(rng, 9000, 0.08)
    assert len(fastiou.pairs(boxes, boxes, 1e-6)) > 2 * len(found)
    assert not pools


def test_rows_without_room_are_left_alone_by_sorting() -> None:
    offsets, homes = np.array([0, 2, 5]), np.array([-1, 0], np.int32)
    columns, values = np.full(5, -7), np.full(5, -7, np.float32)
    pool = np.array([9, 4, 6], np.int32), np.array([0.9, 0.4, 0.6], np.float32)
    join.SORT_OUT.serial(offsets, np.array([0, 2]), homes, *pool, columns, values)
    assert columns.tolist() == [-7, -7, 4, 6, 9]
    np.testing.assert_array_equal(values, np.float32([-7, -7, 0.4, 0.6, 0.9]))


def test_what_rows_need_besides_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows take the place of what was collected; where there is none, they must fit, too."""
    boxes = np.tile(np.array([0, 0, 5, 5], np.float32), (300, 1))
    groups = np.arange(300) % 3
    monkeypatch.setattr(memory, "KEPT_BYTES", 1)
    pairs = 300 * 100
    for size, needed in ((None, 12 * pairs), (0, 20 * pairs)):
        with room_for(size):
            monkeypatch.setattr(memory, "_available_memory", lambda: 1 << 30)
            assert len(fastiou.pairs(boxes, boxes, groups=(groups, groups))) == pairs
            monkeypatch.setattr(memory, "fits", lambda size: True)
            monkeypatch.setattr(memory, "_available_memory", lambda needed=needed: needed)
            assert len(fastiou.pairs(boxes, boxes, groups=(groups, groups))) == pairs
            monkeypatch.setattr(memory, "_available_memory", lambda needed=needed: needed - 1)
            with pytest.raises(MemoryError, match=r"the list of 30,000 pairs needs .* are free"):
                fastiou.pairs(boxes, boxes, groups=(groups, groups))


def test_progress_of_nothing_is_not_told() -> None:
    told: list[tuple[int, int]] = []
    for empty in (np.empty((0, 4)), np.zeros((3, 4))):
        fastiou.pairs(empty, np.ones((2, 4)), progress=lambda *step: told.append(step))
    assert told == []


def test_pairs_are_brought_home_in_steps(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, fixed_steps: Callable[[int], None]
) -> None:
    """Also where a step ends within a row."""
    boxes = overlapping(rng, 2000, 0.02)
    wanted = fastiou.pairs(boxes, boxes, 1e-6)
    for step in (1, 30, 10_000):
        size = step * max(1, len(wanted) // 40_000)
        monkeypatch.setattr(pair_lists, "HOME_WORK", steps.STEP // size)
        monkeypatch.setattr(pair_lists, "NAME_WORK", steps.STEP // size)
        fixed_steps(steps.STEP)
        found = fastiou.pairs(boxes, boxes, 1e-6)
        for part, expected in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(part, expected, strict=True)


def test_pairs_that_were_not_expected_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row has more pairs than a sample of the rows lets expect."""
    monkeypatch.setattr(pair_lists, "LEAST_POOL", 1)
    low = np.arange(20_000) * 10.0
    b = np.stack([low, low, low + 5, low + 5], axis=1)
    a = np.concatenate([b, [[0, 0, 300_000, 300_000]]])
    found = fastiou.pairs(a, b, 1e-12)
    assert found.rows.tolist() == [*range(20_000), *[20_000] * 20_000]
    assert found.cols.tolist() == [*range(20_000)] * 2
    np.testing.assert_allclose(found.values[:20_000], 1)
    np.testing.assert_allclose(found.values[20_000:], 25 / 9e10)


def test_inputs_are_left_alone(rng: np.random.Generator) -> None:
    scene = scene_named("degenerate float32")
    before = [part.copy() for part in (scene.a, scene.b, *scene.groups)]
    for part in (scene.a, scene.b, *scene.groups):
        part.flags.writeable = False
    fastiou.pairs(scene.a, scene.b, groups=scene.groups)
    fastiou.pairs(scene.a, groups=scene.groups[0])
    fastiou.topk(scene.a, scene.b, 2, groups=scene.groups)
    for part, other in zip(before, (scene.a, scene.b, *scene.groups), strict=True):
        np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("fmt", FORMATS)
def test_memory_layouts(rng: np.random.Generator, fmt: str) -> None:
    boxes = as_format(scattered(rng, 5000), fmt)
    wide = np.zeros((10_000, 9))
    wide[::2, 2:6] = boxes
    expected = fastiou.pairs(boxes.copy(), boxes[::-1].copy(), 0.2, fmt=fmt)
    assert len(expected) > 5000
    for some in (
        np.asfortranarray(boxes),
        wide[::2, 2:6],
        boxes.astype(">f8"),
        boxes[::-1].copy()[::-1],
    ):
        found = fastiou.pairs(some, some[::-1], 0.2, fmt=fmt)
        best = fastiou.topk(some, some[::-1], 1, fmt=fmt)
        np.testing.assert_array_equal(best.indices[:, 0], np.arange(5000)[::-1])
        for part, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(part, wanted, strict=True)


# ---- pairs as an object ------------------------------------------------------------------------


def test_columns_as_numpy_arrays(rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 40)
    found = fastiou.pairs(boxes, threshold=0.1)
    columns = found.to_numpy()
    assert isinstance(columns, tuple)
    for column, part in zip(columns, found, strict=True):
        assert type(column) is np.ndarray
        np.testing.assert_array_equal(column, part, strict=True)


def test_repr_shows_the_first_and_the_last_rows() -> None:
    boxes = np.zeros((4321, 4))
    boxes[:, 0] = 10 * np.arange(4321)
    boxes[:, 2:] = boxes[:, :2] + [4, 8]
    others = boxes - [0, 2, 0, 0]  # each scores 0.8 with its own
    told = repr(fastiou.pairs(boxes, others))
    for part in ("row", "col", "value", "4320", "4,321", "0.8"):
        assert part in told
    assert len(told.splitlines()) < 40
    assert max(map(len, told.splitlines())) <= 100
    assert repr(fastiou.pairs(boxes[:1], others[1:2]))  # of no pairs


# ---- top k -------------------------------------------------------------------------------------


def test_best_by_hand() -> None:
    a = [[0, 0, 10, 10], [50, 50, 60, 60], [float("nan"), 0, 10, 10]]
    b = [[0, 0, 10, 5], [0, 5, 10, 10], [0, 0, 10, 8], [50, 50, 60, 52], [90, 90, 91, 91]]
    values, indices = fastiou.topk(a, b, 2)
    assert values.tolist() == [[0.8, 0.5], [0.2, 0], [0, 0]]
    assert indices.tolist() == [[2, 0], [3, -1], [-1, -1]]
    assert indices.dtype == np.int64
    best = fastiou.topk(a, b)
    assert best.indices.tolist() == [[2], [3], [-1]]
    best = fastiou.topk(a, b, 7, threshold=0.5)
    assert best.indices.tolist() == [[2, 0, 1, -1, -1, -1, -1], [-1] * 7, [-1] * 7]
    best = fastiou.topk(a, b, 4, groups=([5, 5, 5], [4, 5, 5, 4, 5]))
    assert best.indices.tolist() == [[2, 1, -1, -1], [-1] * 4, [-1] * 4]


def test_threshold_of_topk_is_compared_in_the_dtype_of_the_scores() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 7], [0, 0, 10, 6.999]], np.float32)
    best = fastiou.topk(a, b, 2, threshold=0.7)
    assert best.indices.tolist() == [[0, -1]]
    assert best.values.dtype == np.float32
    assert fastiou.topk(a, b, 2, threshold=1e-320).indices.tolist() == [[0, 1]]
    far = np.array([[50, 50, 51, 51]], np.float32)
    assert fastiou.topk(a, far, 2, threshold=1e-320).indices.tolist() == [[-1, -1]]


@pytest.mark.parametrize("metric", ["giou", "diou", "ciou"])
def test_negative_scores_are_padding(metric: str) -> None:
    """Boxes that only touch have a giou of at most 0, and are nobody's best."""
    a, b = np.array([[0.0, 0, 1, 1]]), np.array([[1.0, 0, 2, 1], [5, 5, 6, 6]])
    best = fastiou.topk(a, b, 1, metric=metric)
    assert best.values.tolist() == [[0]]
    assert best.indices.tolist() == [[-1]]


def test_ties_of_topk_over_thousands() -> None:
    """The lowest of equal columns wins, in whatever order an index visits them."""
    b = np.tile([[0.0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 4, 2]], (2000, 1))
    a = np.array([[0.0, 0, 4, 4], [0, 0, 4, 1]])
    best = fastiou.topk(a, b, 5)
    assert best.indices.tolist() == [[0, 1, 3, 4, 6], [2, 5, 8, 11, 14]]
    assert best.values.tolist() == [[1] * 5, [0.5] * 5]
    # More than there are at the best score, of which none is left out.
    best = fastiou.topk(a[:1], b, 4500)
    assert best.indices[0, 4000:4003].tolist() == [2, 5, 8]
    assert best.indices[0, 3999] == 5998


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": -1}, ValueError, "k must be"),
        ({"k": 1.5}, TypeError, "k must be"),
        ({"k": "1"}, TypeError, "k must be"),
        ({"threshold": -0.5}, ValueError, "threshold must be"),
        ({"threshold": 1.5}, ValueError, "threshold must be .*at most 1"),
        ({"threshold": float("nan")}, ValueError, "threshold must be"),
        ({"threshold": "0.5"}, TypeError, "threshold must be a number, got '0.5'"),
        ({"metric": "no"}, ValueError, "metric must be one of"),
        ({"fmt": "no"}, ValueError, "fmt must be one of"),
        ({"device": "cuda"}, RuntimeError, "cannot be used"),
        ({"groups": [1, 1]}, ValueError, "groups"),
        ({"groups": ([1], [1, 2])}, ValueError, r"groups\[1\] must have the shape \(1,\)"),
        ({"groups": ([1.5], [1])}, TypeError, r"groups\[0\] must hold integers"),
    ],
)
def test_bad_options_of_topk(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastiou.topk([[0, 0, 1, 1]], [[0, 0, 1, 1]], **options)


def test_bad_boxes_of_topk() -> None:
    box = [[0, 0, 1, 1]]
    with pytest.raises(ValueError, match="a must have the shape"):
        fastiou.topk([0, 0, 1, 1], box)
    with pytest.raises(ValueError, match="b must have the shape"):
        fastiou.topk(box, [[0, 0, 1]])
    with pytest.raises(ValueError, match="has an infinite coordinate in row 0"):
        fastiou.topk(box, [[0, 0, 1, float("inf")]])


def test_tensors_of_topk(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    a, b = (torch.tensor(random_boxes(rng, size, np.float32)) for size in (70, 90))
    best = fastiou.topk(a, b, 3)
    assert isinstance(best.values, torch.Tensor)
    assert isinstance(best.indices, torch.Tensor)
    assert (best.values.dtype, best.indices.dtype) == (torch.float32, torch.int64)
    values, indices = reference.topk(dense(a.numpy(), b.numpy()), 3)
    np.testing.assert_array_equal(best.values.numpy(), values)
    np.testing.assert_array_equal(best.indices.numpy(), indices)
    # In the library of either.
    assert isinstance(fastiou.topk(a.numpy(), b).indices, torch.Tensor)
    groups = torch.zeros(70, dtype=torch.int32), torch.zeros(90, dtype=torch.int32)
    assert torch.equal(fastiou.topk(a, b, 3, groups=groups).indices, best.indices)
    assert all(type(column) is np.ndarray for column in fastiou.pairs(a, b).to_numpy())
