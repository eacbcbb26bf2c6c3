"""Polygons against exact rational numbers, quadrilaterals and themselves; and how they are made.

`pytest -m thorough tests/geometries/test_polygon_sets.py` compares 20,000 odd pairs with exact
rational numbers, and 100,000 usual ones with the oracle in the widest floats.
"""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from combinations_for_tests import quadrilaterals
from polygons_for_tests import (
    ADVERSARIAL,
    Array,
    Rings,
    exact_areas,
    exact_iou,
    many_corners,
    star,
    usual,
)

import fastiou
from fastiou import Polygons, reference_polygons

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4]]
HOLE = [[1, 1], [1, 3], [3, 3], [3, 1]]
TRIANGLE = [[0, 0], [4, 0], [4, 4]]
BOW_TIE = [[0, 0], [4, 4], [4, 0], [0, 4]]


def two_sets(made: list[tuple[Rings, Rings]]) -> tuple[Polygons, Polygons]:
    one, other = zip(*made, strict=True)
    return Polygons(list(one)), Polygons(list(other))


def scores_of(made: list[tuple[Rings, Rings]]) -> Array:
    """Aligned scores, which have the same bits both ways."""
    a, b = two_sets(made)
    scores: Array = fastiou.polygon_iou(a, b, aligned=True)
    assert scores.tobytes() == fastiou.polygon_iou(b, a, aligned=True).tobytes()
    return scores


# ---- scores ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [usual, many_corners, *ADVERSARIAL.values()])
def test_scores_are_exact(
    rng: np.random.Generator, make: Callable[[np.random.Generator], tuple[Rings, Rings]]
) -> None:
    made = [make(rng) for _ in range(2 if make is many_corners else 12)]
    expected = [exact_iou(one, other) for one, other in made]
    np.testing.assert_allclose(scores_of(made), expected, rtol=0, atol=1e-11)


def test_self_iou_is_exactly_1(rng: np.random.Generator) -> None:
    points = [star(rng, corners) for corners in range(3, 40)]
    turned = [np.roll(ring[::way], corners, axis=0) for way, corners, ring in zip(
        itertools.cycle([1, -1]), itertools.count(), points, strict=False
    )]  # fmt: skip
    scores = fastiou.polygon_iou(Polygons(points), Polygons(turned))
    assert (np.diagonal(scores) == 1).all()
    assert (scores == fastiou.polygon_iou(Polygons(turned), Polygons(points)).T).all()


def test_quadrilaterals_score_what_their_geometry_says(rng: np.random.Generator) -> None:
    members = quadrilaterals(rng, 60)
    polygons = Polygons(members.reshape(-1, 4, 2))
    expected = fastiou.box_iou(members, members, "xyxyxyxy")
    np.testing.assert_allclose(
        fastiou.polygon_iou(polygons, polygons), expected, rtol=0, atol=1e-14
    )


def test_an_ell_and_what_lies_in_its_notch() -> None:
    ell = Polygons([[[0, 0], [3, 0], [3, 1], [1, 1], [1, 3], [0, 3]]])
    squares = Polygons([[[0, 0], [2, 0], [2, 2], [0, 2]], [[2, 2], [3, 2], [3, 3], [2, 3]]])
    assert fastiou.polygon_iou(ell, squares).tolist() == [[0.5, 0.0]]


def test_an_edge_at_the_top_counts_beside_one_that_comes_from_above() -> None:
    one = [[0, 3], [3, 1], [0, 1]]
    other = [[2, 0], [0, 2], [0, 3], [2, 1], [3, 1]]
    shared, area1, area2 = map(float, exact_areas([np.array(one)], [np.array(other)]))
    score = fastiou.polygon_iou(Polygons([one]), Polygons([other]))[0, 0]
    assert score == pytest.approx(shared / (area1 + area2 - shared), abs=1e-15)


def test_pairs_and_dense_results_agree(rng: np.random.Generator) -> None:
    sets = [
        Polygons([star(rng, 8, centre, 3) for centre in 20 * rng.random((150, 2))])
        for _ in range(2)
    ]
    dense = fastiou.polygon_iou(*sets)
    found = fastiou.pairs(*sets, 0.1)
    rows, cols = np.nonzero(dense >= 0.1)
    assert (found.rows.tolist(), found.cols.tolist()) == (rows.tolist(), cols.tolist())
    assert found.values.tobytes() == dense[rows, cols].tobytes()


def test_an_index_finds_the_same(rng: np.random.Generator) -> None:
    a, b = (
        Polygons([star(rng, 8, centre, 3) for centre in 20 * rng.random((60, 2))]) for _ in range(2)
    )
    groups = rng.integers(0, 2, 60)
    for index, own in ((fastiou.Index(b), None), (fastiou.Index(b, groups=groups), groups)):
        again = pickle.loads(pickle.dumps(index))
        assert repr(again).startswith("<Index: 60 polygons")
        both = None if own is None else (own, own)
        expected = fastiou.pairs(a, b, 0.1, groups=both)
        for part, whole in zip(again.pairs(a, 0.1, groups=own), expected, strict=True):
            assert part.tobytes() == whole.tobytes()
    with pytest.raises(TypeError, match=r"^a must be Polygons"):
        index.pairs(np.zeros((1, 4)), groups=[0])


def test_without_an_area_or_with_a_nan() -> None:
    polygons = Polygons(
        [SQUARE, [[0, 0], [4, 4], [2, 2]], [[1, 1], [1, 1], [1, 1]], [[0, np.nan], [1, 1], [2, 0]]]
    )
    np.testing.assert_array_equal(polygons.area, [16, 0, 0, np.nan])
    assert np.isnan(polygons.bounds).all(axis=1).tolist() == [False, False, True, True]
    nan = np.nan
    expected = [[1, 0, 0, nan], [0, 0, 0, nan], [0, 0, 0, nan], [nan] * 4]
    np.testing.assert_array_equal(fastiou.polygon_iou(polygons, polygons), expected)
    assert len(fastiou.pairs(polygons, threshold=0.1)) == 0
    assert fastiou.polygon_iou(polygons[:0], polygons).shape == (0, 4)


@pytest.mark.parametrize("scale", [1e-90, 1e-20, 1e20, 1e90])
def test_any_size(scale: float) -> None:
    polygons = Polygons([np.array(SQUARE) * scale, np.array(TRIANGLE) * scale])
    scores = fastiou.polygon_iou(polygons, polygons)
    np.testing.assert_allclose(scores, [[1, 0.5], [0.5, 1]], atol=1e-15)


def test_steep_edges_and_large_numbers() -> None:
    """Edges that are all but vertical have slopes that nearly overflow."""
    one = [[0, 0], [1e-300, 1e100], [1e100, 1e100], [1e100, 0]]
    scores = fastiou.polygon_iou(Polygons([one]), Polygons([[[0, 0], [1, 0], [1, 1]]]))
    assert np.isfinite(scores).all()


def test_others_are_refused() -> None:
    polygons = Polygons([SQUARE])
    with pytest.raises(TypeError, match=r"^polygons2 must be Polygons, got \["):
        fastiou.polygon_iou(polygons, [SQUARE])
    with pytest.raises(TypeError, match=r"^b must be Polygons, got array"):
        fastiou.pairs(polygons, np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"^metric must be one of 'iou', 'iof', 'ios'"):
        fastiou.polygon_iou(polygons, polygons, metric="giou")
    for call in (fastiou.pairs, fastiou.topk, fastiou.polygon_iou):
        with pytest.raises(ValueError, match="polygons are computed on the CPU alone"):
            call(polygons, polygons, device="cuda")


# ---- rules -------------------------------------------------------------------------------------


def test_rings_follow_the_even_odd_rule() -> None:
    """Whichever way round and in which order."""
    for rings in itertools.permutations([SQUARE, HOLE[::-1]]):
        assert Polygons([list(rings), [rings[0][::-1], rings[1]]]).area.tolist() == [12, 12]
    overlapping = [SQUARE, (np.array(SQUARE) + 2).tolist()]
    assert Polygons([overlapping, [SQUARE, SQUARE], BOW_TIE]).area.tolist() == [24, 0, 8]
    island = [[1.5, 1.5], [2.5, 1.5], [2.5, 2.5], [1.5, 2.5]]
    assert Polygons([[island, SQUARE, HOLE]]).area.tolist() == [13]
    # A hole that touches the outline with a corner, or an edge.
    assert Polygons([[SQUARE, [[0, 0], [2, 1], [1, 2]]]]).area.tolist() == [14.5]
    assert Polygons([[SQUARE, [[1, 0], [3, 0], [2, 2]]]]).area.tolist() == [14]


def test_coco_draws_the_union_of_rings() -> None:
    flat = [np.array(ring).ravel().tolist() for ring in (SQUARE, HOLE)]
    moved = (np.array(SQUARE) + 2).ravel().tolist()
    file = {"annotations": [{"segmentation": flat}, {"segmentation": [flat[0], moved]}]}
    for given in (
        file,
        file["annotations"],
        [each["segmentation"] for each in file["annotations"]],
    ):
        assert Polygons.from_coco(given).area.tolist() == [16, 28]
    with pytest.raises(TypeError, match=r"^annotations\[0\] has run lengths"):
        Polygons.from_coco([{"segmentation": {"size": [1, 1], "counts": [1]}}])


# ---- made from ---------------------------------------------------------------------------------


def test_lists_arrays_and_contours() -> None:
    expected = Polygons([np.array(SQUARE, float), np.array(TRIANGLE, float)])
    closed = [[*SQUARE, SQUARE[0], SQUARE[0]], [TRIANGLE[0], *TRIANGLE]]
    contours = [np.array(ring, np.int32)[:, None] for ring in (SQUARE, TRIANGLE)]
    flat = [[np.array(ring).ravel().tolist()] for ring in (SQUARE, TRIANGLE)]
    for given in (closed, contours, flat, [np.array(ring, np.float32) for ring in closed]):
        assert Polygons(given) == expected
    assert Polygons(np.array([SQUARE, SQUARE], float)).area.tolist() == [16, 16]
    assert len(Polygons([])) == 0
    assert expected.to_rings()[1][0].tolist() == TRIANGLE
    assert expected.nbytes == 7 * 16 + 2 * (256 + 64)
    assert repr(expected) == "<Polygons: 2 of 7 corners>"


def test_blocks_of_edges_whole_and_in_part() -> None:
    """Parts of a set, joined, pickled, and beside memory that others had, have the bits of all."""
    rng = np.random.default_rng(8)
    rings = [star(rng, corners, rng.uniform(0, 2, 2)) for corners in (3, 7, 8, 9, 16, 17, 40, 64)]
    polygons = Polygons(rings)
    scores = fastiou.polygon_iou(polygons, polygons)
    expected = [[exact_iou([one], [other]) for other in rings] for one in rings]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    order = rng.permutation(len(rings))
    parts = Polygons.concatenate([polygons[order], polygons[2:5], polygons[::3]])
    places = np.concatenate([order, np.arange(2, 5), np.arange(0, len(rings), 3)])
    for made in (parts, pickle.loads(pickle.dumps(parts))):
        np.testing.assert_array_equal(fastiou.polygon_iou(made, polygons), scores[places])
    large = [star(rng, 24, rng.uniform(0, 90, 2)) for _ in range(5000)]  # more than 1 MiB
    some = [Polygons(large)[k : k + 3] for k in range(4)]
    for k, own in enumerate(some):
        assert own == Polygons(large[k : k + 3])


def test_corners_in_a_row() -> None:
    points = [*SQUARE, *HOLE, *TRIANGLE]
    assert Polygons.from_flat(points, [0, 4, 8, 11]).area.tolist() == [16, 4, 8]
    assert Polygons.from_flat(points, ([0, 4, 8, 11], [0, 2, 3])).area.tolist() == [12, 8]
    apart = np.array(points)
    apart[8:] += 9
    assert Polygons.from_flat(apart, ([0, 4, 8, 11], [0, 2, 3], [0, 2])).area.tolist() == [20]
    for offsets in ([0, 4], [1, 11], [0, 8, 4, 11], [0.0, 11.0], ([0, 11], [0, 2])):
        with pytest.raises(ValueError, match="must be integers that grow from 0 to"):
            Polygons.from_flat(points, offsets)
    with pytest.raises(ValueError, match=r"^points must have the shape \(P, 2\)"):
        Polygons.from_flat([1, 2, 3], [0, 3])


def test_geojson() -> None:
    polygon = {"type": "Polygon", "coordinates": [[*SQUARE, SQUARE[0]], [*HOLE, HOLE[0]]]}
    heights = [[x, y, 7.5] for x, y in TRIANGLE]
    multi = {"type": "MultiPolygon", "coordinates": [[heights], [(np.array(SQUARE) + 9).tolist()]]}
    features = [
        {"type": "Feature", "geometry": each, "properties": {}} for each in (polygon, multi)
    ]
    collection = {"type": "FeatureCollection", "features": features}
    assert Polygons.from_geojson(collection).area.tolist() == [12, 24]
    assert Polygons.from_geojson([polygon, features[1]]).area.tolist() == [12, 24]
    with pytest.raises(TypeError, match=r"^value\[1\] must be a GeoJSON Polygon.* type 'Point'$"):
        Polygons.from_geojson([polygon, {"type": "Point", "coordinates": [0, 0]}])
    with pytest.raises(ValueError, match=r"^value\['geometry'\] must have 'coordinates'"):
        Polygons.from_geojson({"type": "Feature", "geometry": {"type": "Polygon"}})


def test_labelme() -> None:
    shapes = [
        {"label": "a", "shape_type": "polygon", "points": TRIANGLE},
        {"label": "b", "shape_type": "rectangle", "points": [[4, 4], [0, 0]]},
    ]
    assert Polygons.from_labelme({"shapes": shapes}).area.tolist() == [8, 16]
    with pytest.raises(ValueError, match=r"^shapes\[0\] must be one of polygon, rectangle, got"):
        Polygons.from_labelme([{"shape_type": "circle", "points": [[0, 0], [1, 1]]}])


def test_many_rings_of_one_polygon() -> None:
    """Beside each other and within each other: each is compared with those around it alone."""
    square = np.array(SQUARE, float) - np.mean(SQUARE, axis=0)
    square /= np.ptp(square)
    places = np.stack(np.divmod(np.arange(900), 30), -1) * 3.0
    rings = [place + size * square for place in places for size in (2, 1.5, 1)]
    polygon = Polygons([rings])
    np.testing.assert_allclose(polygon.area, 900 * (4 - 2.25 + 1))
    np.testing.assert_allclose(polygon.bounds, [[-1, -1, 88, 88]])
    around = Polygons([[[[-5, -5], [95, -5], [95, 95], [-5, 95]]]])
    holes = Polygons([[*rings, *around.to_rings()[0]]])
    np.testing.assert_allclose(holes.area, 10_000 - polygon.area)


def test_published_cases(real_data: Path) -> None:
    cases = json.loads((real_data / "geometry" / "vectors.json").read_text())["cases"]
    cases = [case for case in cases if case["kind"] == "polygon_iou"]
    for case in cases:
        a, b = ([np.reshape(ring, (-1, 2)) for ring in case[name]] for name in "ab")
        found = fastiou.polygon_iou(Polygons(a), Polygons(b))
        np.testing.assert_allclose(found, case["expected"], rtol=0, atol=case["atol"])
    assert cases


def test_shapely() -> None:
    shapely = pytest.importorskip("shapely", exc_type=ImportError)
    square, triangle = shapely.Polygon(SQUARE, [HOLE]), shapely.Polygon(np.array(TRIANGLE) + 9)
    shapes = [square, shapely.MultiPolygon([square, triangle]), shapely.Polygon()]
    assert Polygons.from_shapely(shapes).area.tolist() == [12, 20, 0]
    assert Polygons.from_shapely(triangle).area.tolist() == [8]
    points, offsets = shapely.to_ragged_array(shapes[:2])[1:]
    assert Polygons.from_flat(points, offsets) == Polygons.from_shapely(shapes[:2])
    with pytest.raises(TypeError, match=r"^geometries\[1\] must be a Polygon or MultiPolygon"):
        Polygons.from_shapely([square, None])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([[[0, 0], [1, 1]]], r"^polygons\[0\]\[0\] must have at least 3 points"),
        ([SQUARE, [[0, 0], [1, np.inf], [2, 0]]], r"^polygons\[1\] has the corner \(1.0, inf\)"),
        ([SQUARE, [[0, 0], [1, 1e101], [2, 0]]], "at most 1e\\+100 in absolute value"),
        (5, "^polygons must be a list"),
        ({"a": 1}, "^polygons must be a list of polygons, got a dict; Polygons.from_geojson"),
        ([["a", "b"]], r"^polygons\[0\]\[0\] must be a ring"),
        ([[[0, 0], [2**53 + 1, 0], [0, 1]]], "integers below 2\\*\\*53 in absolute value"),
    ],
)
def test_malformed_ones_are_refused(given: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Polygons(given)


# ---- sets --------------------------------------------------------------------------------------


def test_sets_are_indexed_pickled_and_joined(rng: np.random.Generator) -> None:
    given = [[star(rng, 3 + k), star(rng, 5, (9, 9))][: 1 + k % 2] for k in range(12)]
    polygons = Polygons(given)
    for chosen in (slice(2, 5), slice(None, None, -2), [3, -1, 3], np.arange(12) % 3 == 0, [], 4):
        some = polygons[chosen]
        places = np.atleast_1d(np.arange(12)[chosen])
        expected = Polygons([given[place] for place in places.tolist()])
        assert some == expected
        assert pickle.loads(pickle.dumps(some)) == expected
        assert Polygons.concatenate([some, polygons])[len(some) :] == polygons
    assert len(pickle.dumps(polygons[:1])) < len(pickle.dumps(polygons)) / 4
    assert [each.area[0] for each in polygons] == polygons.area.tolist()
    assert polygons != polygons[:3]
    assert polygons != 5
    joined = Polygons.concatenate([polygons[5:], polygons[:5]])
    whole = fastiou.polygon_iou(polygons, polygons)
    order = np.roll(np.arange(12), -5)
    np.testing.assert_array_equal(fastiou.polygon_iou(joined, polygons), whole[order])


def test_sets_do_not_change() -> None:
    given = np.array([SQUARE], float)
    polygons = Polygons(given)
    given += 1
    assert polygons.bounds.tolist() == [[0, 0, 4, 4]]
    with pytest.raises(AttributeError, match=r"^Polygons are immutable: area cannot be set"):
        polygons.area = 5  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        polygons.area[0] = 5
    with pytest.raises(TypeError, match=r"^Polygons are no array"):
        np.asarray(polygons)
    with pytest.raises(IndexError, match=r"^index 1 is out of range for 1 polygons"):
        polygons[1]
    with pytest.raises(IndexError, match=r"^polygons are chosen by an integer"):
        polygons["a"]
    with pytest.raises(ValueError, match="at least one set"):
        Polygons.concatenate([])
    with pytest.raises(TypeError, match=r"^sets\[0\] must be Polygons, got list"):
        Polygons.concatenate([[SQUARE]])  # type: ignore[list-item]


def test_many_are_prepared_in_parts(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastiou.geometries.polygons import polygon_set

    given = [[star(rng, 3 + k % 20)] if k % 7 else [np.array(BOW_TIE, float)] for k in range(60)]
    expected = Polygons(given)
    monkeypatch.setattr(polygon_set, "CORNERS_AT_A_TIME", 30)
    assert Polygons(given) == expected


def precise_iou(one: Rings, other: Rings) -> float:
    """Of as many bits as the machine has: 64, mostly. Rational numbers would take an hour."""
    scores = reference_polygons.polygon_iou([one], [other], dtype=np.longdouble)
    return float(scores[0, 0])


# ---- exact scores of many ----------------------------------------------------------------------


@pytest.mark.thorough
def test_exact_scores_of_many() -> None:
    rng = np.random.default_rng(17)
    kinds: list[tuple[str, Any, int]] = [("usual", usual, 99_000), ("100", many_corners, 1_000)]
    kinds += [(name, make, 2_000) for name, make in ADVERSARIAL.items()]
    for name, make, count in kinds:
        worst = worst_single = 0.0
        for first in range(0, count, 1_000):
            made = [make(rng) for _ in range(min(1_000, count - first))]
            oracle = exact_iou if name in ADVERSARIAL else precise_iou
            expected = np.array([oracle(one, other) for one, other in made])
            worst = max(worst, float(np.abs(scores_of(made) - expected).max()))
            single = [
                tuple([ring.astype(np.float32) for ring in rings] for rings in two) for two in made
            ]
            if name not in ("far_away", "slivers"):  # other polygons, once rounded
                apart = np.abs(scores_of(single) - expected).max()
                worst_single = max(worst_single, float(apart))
        print(
            f"{name}: {count:,} pairs, float64 {worst:.1e}, of rounded corners {worst_single:.1e}"
        )
        assert worst < 1e-11, name


def test_a_ring_an_ulp_from_another_one_is_no_hole() -> None:
    one = [[0, 0], [1, 1], [0, 1]]
    other = [[1 - 2**-53, 1 + 2**-52], [1, 2], [0, 2]]
    np.testing.assert_allclose(fastiou.Polygons([[one, other]]).area, 1)


INEXACT = [[0, 0], [2**53 + 1, 0], [0, 5]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: fastiou.Polygons([INEXACT]),
        lambda: fastiou.Polygons([INEXACT, [[np.nan, 0.0], [1.0, 0.0], [0.0, 1.0]]]),
        lambda: fastiou.Polygons.from_flat(np.array(INEXACT), [0, 3]),
        lambda: fastiou.Polygons.from_geojson({"type": "Polygon", "coordinates": [INEXACT]}),
    ],
)
def test_integers_that_are_not_exact_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must hold integers below 2"):
        make()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"type": "Polygon", "coordinates": 5}, r"value\['coordinates'\] must be a list, got 5"),
        ({"type": "MultiPolygon", "coordinates": [1]}, r"\['coordinates'\]\[0\] must be a list"),
    ],
)
def test_geojson_without_lists_is_told(value: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        fastiou.Polygons.from_geojson(value)


@pytest.mark.parametrize("points", [[[1], [2]], None, 5])
def test_shapes_of_labelme_without_corners_are_told(points: object) -> None:
    shape = {"shape_type": "rectangle", "points": points}
    with pytest.raises((TypeError, ValueError), match=r"shapes\[0\]\['points'\] must be"):
        fastiou.Polygons.from_labelme({"shapes": [shape]})
