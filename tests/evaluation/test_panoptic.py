"""Panoptic quality follows COCO's rules, from arrays and from files."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panoptic_for_tests import add_image, averages, drawn_image, new_totals, png_of, written

import fastiou
from fastiou.formats import panoptic as files
from fastiou.runtime import threads

DATA = Path(os.environ.get("FASTIOU_DATA", Path(__file__).parents[3] / "shared" / "data"))
CATEGORIES = [{"id": number, "isthing": number % 2} for number in range(1, 5)]


def assert_as_published(found: fastiou.PanopticQuality, images: Any) -> None:
    totals = new_totals(range(1, 5))
    for image in images:
        add_image(totals, *image)
    for number, expected in totals.items():
        own = found.per_class[number]
        assert (own.tp, own.fp, own.fn) == (expected["tp"], expected["fp"], expected["fn"])
        assert own.iou == pytest.approx(expected["iou"], rel=1e-12, abs=0)
    for own, chosen in ((found, range(1, 5)), (found.things, (1, 3)), (found.stuff, (2, 4))):
        expected = averages(totals, chosen)
        assert {key: getattr(own, key) for key in expected} == pytest.approx(expected, rel=1e-12)


# ---- published numbers -------------------------------------------------------------------------


def real_files() -> tuple[Path, Path]:
    folder = DATA / "eval" / "panoptic"
    if not folder.exists():
        pytest.skip(f"{folder} is not there; FASTIOU_DATA names the folder of real inputs")
    return folder / "panoptic_examples.json", folder / "pred.json"


def test_the_numbers_of_panopticapi() -> None:
    truth, pred = real_files()
    found = fastiou.panoptic_quality(truth, str(pred))
    assert found.things is not None
    assert found.stuff is not None
    numbers = [found.pq, found.sq, found.rq, found.things.pq, found.stuff.pq]
    expected = [
        0.5774278478653184, 0.6420026998049267, 0.7766608391608392, 0.37129878575189995,
        0.783556909978737,
    ]  # fmt: skip
    np.testing.assert_allclose(numbers, expected, rtol=0, atol=1e-12)
    assert (found.n, found.things.n, found.stuff.n, len(found.per_class)) == (8, 4, 4, 133)
    same = fastiou.panoptic_quality(truth, truth)
    assert same.pq == same.sq == same.rq == 1


def test_the_published_procedure(rng: np.random.Generator) -> None:
    for _ in range(40):
        images = [drawn_image(rng) for _ in range(8)]
        columns = [list(column) for column in zip(*images, strict=True)]
        assert_as_published(fastiou.panoptic_quality(*columns, categories=CATEGORIES), images)


# ---- edge rules --------------------------------------------------------------------------------


def segment(number: int, category: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "category_id": category, **more}


def counts(true: Any, pred: Any, truth: Any, found: Any, category: int = 1) -> tuple[int, ...]:
    """True positives, false positives and false negatives of a category."""
    result = fastiou.panoptic_quality([true], [pred], truth, found, categories=CATEGORIES)
    own = result.per_class[category]
    return own.tp, own.fp, own.fn


def test_one_half_is_no_match() -> None:
    assert counts([7, 7], [9, 0], [segment(7)], [segment(9)]) == (0, 1, 1)
    assert counts([7, 7, 7], [9, 9, 0], [segment(7)], [segment(9)]) == (1, 0, 0)


def test_the_union_leaves_out_void() -> None:
    """2 of 4 pixels, of which one is on void: 2 of 3."""
    true, pred = [7, 7, 0, 5], [9, 9, 9, 9]
    found = fastiou.panoptic_quality([true], [pred], [segment(7), segment(5, 2)], [segment(9)])
    assert (found.per_class[1].tp, found.per_class[1].iou) == (1, 2 / 3)


def test_areas_of_the_truth_are_those_told() -> None:
    true, pred = [7, 7, 0], [9, 9, 0]
    for area, iou in ((2, 1), (3, 2 / 3), (None, 1)):
        told = segment(7) if area is None else segment(7, area=area)
        own = fastiou.panoptic_quality([true], [pred], [told], [segment(9, area=99)]).per_class[1]
        assert own.iou == iou
    assert counts(true, pred, [segment(7, area=4)], [segment(9)]) == (0, 1, 1)


def test_false_positives_on_void_are_forgiven() -> None:
    for on_void, fp in ((1, 1), (2, 1), (3, 0)):
        true = [0] * on_void + [5] * (4 - on_void)
        assert counts(true, [9] * 4, [segment(5, 2)], [segment(9)]) == (0, fp, 0)


def test_crowds_are_neither_matched_nor_missed() -> None:
    crowd = segment(7, iscrowd=1)
    assert counts([7, 7], [9, 9], [crowd], [segment(9)])[1:] == (0, 0)
    assert counts([7, 7], [9, 9], [segment(7, 2, iscrowd=1)], [segment(9)]) == (0, 1, 0)
    assert counts([7, 7, 0], [9, 9, 9], [crowd, segment(3)], [segment(9)]) == (0, 0, 1)


def test_only_the_last_crowd_of_a_class_forgives() -> None:
    true, pred = [7, 7, 7, 8], [9] * 4
    crowds = [segment(7, iscrowd=1), segment(8, iscrowd=1)]
    assert counts(true, pred, crowds, [segment(9)]) == (0, 1, 0)
    assert counts(true, pred, crowds[::-1], [segment(9)])[1] == 0


def test_classes_that_do_not_occur_are_left_out() -> None:
    found = fastiou.panoptic_quality(
        [[7]], [[9]], [segment(7, 3)], [segment(9, 3)], categories={3: True, 4: True, 5: False}
    )
    assert (found.pq, found.n, found.things, found.stuff) == (1, 1, (1, 1, 1, 1), (0, 0, 0, 0))
    assert not found.per_class[4].counts


def test_nothing_at_all() -> None:
    for found in (
        fastiou.panoptic_quality([[0, 0]], [[0, 0]], [], []),
        fastiou.panoptic_quality([], [], [], []),
        fastiou.PanopticEvaluator().compute(),
    ):
        assert (found.pq, found.sq, found.rq, found.n) == (0, 0, 0, 0)
        assert found.things is None
    # What the truth tells is missed where it has no pixels, and what its pixels have besides not.
    assert counts([4, 4], [0, 0], [segment(7, area=3)], []) == (0, 0, 1)


# ---- order, split and threads ------------------------------------------------------------------


def test_any_order_and_split_has_the_same_bits(rng: np.random.Generator) -> None:
    images = [drawn_image(rng) for _ in range(12)]
    results = set()
    for categories in (CATEGORIES, None):
        for order in (np.arange(12), rng.permutation(12), rng.permutation(12)):
            parts = [fastiou.PanopticEvaluator(categories) for _ in range(3)]
            for number in order:
                parts[rng.integers(3)].update(*images[number], image=f"{number}")
            state = pickle.loads(pickle.dumps(parts[1].state()))
            assert all(
                isinstance(part, np.ndarray) and part.dtype != object for part in state.values()
            )
            parts[0].merge(state, parts[2])
            found = parts[0].compute()
            results.add(str((found.pq, found.sq, found.rq, found.n, found.n_images)))
    assert len(results) == 1


def test_an_image_comes_once(rng: np.random.Generator) -> None:
    evaluator = fastiou.PanopticEvaluator()
    evaluator.update(*drawn_image(rng), image=5)
    other = fastiou.PanopticEvaluator()
    other.update(*drawn_image(rng), image=5)
    with pytest.raises(ValueError, match="image '5' was there before: each must come once"):
        evaluator.merge(other)
    with pytest.raises(ValueError, match="image '5' was there before"):
        evaluator.update(*drawn_image(rng), image="5")
    assert evaluator.compute().n_images == 1


# ---- files -------------------------------------------------------------------------------------


def test_files_and_arrays_agree(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [drawn_image(rng) for _ in range(12)]
    truth, pred = written(tmp_path, images)
    calls: list[tuple[int, int]] = []
    found = fastiou.panoptic_quality(
        truth, pred, progress=lambda done, total: calls.append((done, total))
    )
    assert_as_published(found, images)
    assert calls == [(done + 1, 12) for done in range(12)]
    assert found.per_class[3].name == "class 3"
    monkeypatch.setattr(threads, "thread_count", lambda: 1)
    assert fastiou.panoptic_quality(truth, pred).as_dict() == found.as_dict()
    folders = truth.with_suffix(""), pred.with_suffix("")
    assert fastiou.panoptic_quality(*folders).as_dict() == found.as_dict()
    moved = tmp_path / "moved"
    truth.with_suffix("").rename(moved)
    with pytest.raises(ValueError, match=r"moved: a folder without moved.json beside it, expected"):
        fastiou.panoptic_quality(moved, pred)
    again = fastiou.panoptic_quality(truth, pred, target_folder=moved)
    assert again.as_dict("a ") == {f"a {key}": value for key, value in found.as_dict().items()}
    assert set(found.as_dict()) == {
        f"{name}{ending}" for name in ("PQ", "SQ", "RQ") for ending in ("", "_th", "_st")
    }


@pytest.mark.parametrize(
    "filters", [[kind] * 9 for kind in range(5)] + [[2, 4, 1, 3, 0, 4, 3, 2, 4]]
)
def test_png_of_every_filter(rng: np.random.Generator, tmp_path: Path, filters: list[int]) -> None:
    path = tmp_path / "a.png"
    for ids in (
        rng.integers(0, 1 << 24, (9, 13)),
        rng.choice([0, 1 << 23, 255, 65535], (9, 13)),
        np.repeat(rng.integers(0, 1 << 24, (9, 3)), 5, axis=1),
        rng.integers(0, 1 << 24, (9, 1)),
    ):
        data = png_of(ids, filters)
        numbers = files._plain_ids(data, files._Blocks())
        assert numbers is not None
        np.testing.assert_array_equal(numbers, ids)
        path.write_bytes(data)
        np.testing.assert_array_equal(files.read_ids(path), ids)


def test_png_of_other_kinds_are_read_by_pillow(rng: np.random.Generator, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", exc_type=ImportError)
    ids = rng.integers(0, 1 << 24, (9, 13))
    colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=2).astype(np.uint8)
    opaque = np.concatenate([colours, np.full((9, 13, 1), 255, np.uint8)], axis=2)
    path = tmp_path / "a.png"
    for pixels in (colours, opaque):
        image.fromarray(pixels).save(path)
        np.testing.assert_array_equal(files.read_ids(path), ids)


def test_broken_png_are_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image", exc_type=ImportError)
    data = png_of(rng.integers(0, 1 << 24, (9, 13)), [2] * 9)
    path = tmp_path / "a.png"
    broken = [data[:end] for end in range(8, len(data) - 12, 7)]
    for place in rng.integers(8, len(data) - 12, 200):
        broken.append(
            data[:place] + bytes([data[place] ^ 1 << rng.integers(8)]) + data[place + 1 :]
        )
    broken += [b"", b"no image", png_of(np.zeros((9, 13), int), [5] * 9)]
    for content in broken:
        path.write_bytes(content)
        with contextlib.suppress(files.FileError):  # any other error fails the test
            assert files.read_ids(path).ndim == 2
    with pytest.raises(files.FileError, match=r"a\.png: "):
        files.read_ids(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it["pred"]["annotations"].pop(), "pred.json: no annotation of the image 1"),
        (lambda it: it["pred"].pop("annotations"), "pred.json: .*expected COCO's panoptic JSON"),
        (
            lambda it: it["gt"]["annotations"][1].pop("file_name"),
            r"gt.json:annotations\[1\]: no fil",
        ),
        (lambda it: it["gt"]["annotations"].__setitem__(0, 5), r"annotations\[0\]: 5, expected an"),
        (
            lambda it: it["gt"]["annotations"][1].update(image_id=0),
            r"gt.json:annotations\[1\]: the image 0 again",
        ),
        (lambda it: it["gt"].update(categories=3), "gt.json:categories: 3, expected a list"),
        (lambda it: it["gt"].update(categories=[3]), "categories must hold dicts with id, got 3"),
        (
            lambda it: it["pred"]["annotations"][1].update(segments_info=[]),
            "pred.json: image 1: pred has pixels of the segment",
        ),
        (
            lambda it: it["pred"]["annotations"][1].update(file_name="0000.png"),
            "pixels, expected .* pixels, as the truth of the image 1",
        ),
        (
            lambda it: it["gt"]["annotations"][0].update(file_name="none.png"),
            "none.png: no such file",
        ),
    ],
)
def test_files_that_are_refused(
    rng: np.random.Generator, tmp_path: Path, change: Any, message: str
) -> None:
    images = [drawn_image(rng)]
    while len(images) < 2:
        image = drawn_image(rng)
        images += [image] * int(image[0].shape != images[0][0].shape and image[1].any())
    paths = dict(zip(("gt", "pred"), written(tmp_path, images), strict=True))
    contents = {name: json.loads(path.read_text()) for name, path in paths.items()}
    change(contents)
    for name, path in paths.items():
        path.write_text(json.dumps(contents[name]))
    with pytest.raises(ValueError, match=message):
        fastiou.panoptic_quality(paths["gt"], paths["pred"])


def test_more_files_that_are_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    truth, pred = written(tmp_path, [drawn_image(rng)])
    with pytest.raises(FileNotFoundError, match=r"none.json: no such file"):
        fastiou.panoptic_quality(truth, tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"nowhere: no such folder, expected the PNG of gt\.json"):
        fastiou.panoptic_quality(truth, pred, target_folder="nowhere")
    pred.write_text('{"annotations": [}')
    with pytest.raises(ValueError, match=r"pred\.json:1: not JSON: .* \(column 18\)"):
        fastiou.panoptic_quality(truth, pred)
    for options, message in (
        ({"target_segments": []}, "target_segments must be None with files"),
        ({"categories": []}, "categories must be None with files"),
    ):
        with pytest.raises(ValueError, match=message):
            fastiou.panoptic_quality(truth, pred, **options)
    with pytest.raises(TypeError, match="must both be paths, or both be arrays"):
        fastiou.panoptic_quality(truth, [[1]])


def test_changed_bytes_are_told(rng: np.random.Generator, tmp_path: Path) -> None:
    """300 changed files: a number or one clear error, and nothing else."""
    truth, pred = written(tmp_path, [drawn_image(rng) for _ in range(2)])
    for path in (truth, pred):
        data = path.read_bytes()
        for place in rng.integers(0, len(data), 150):
            changed = bytearray(data)
            changed[place] = rng.choice([0, 34, 44, 45, 57, 91, 93, 101, 123, 125, 200])
            path.write_bytes(bytes(changed))
            with contextlib.suppress(ValueError):
                assert 0 <= fastiou.panoptic_quality(truth, pred).pq <= 1
        for end in rng.integers(0, len(data) - 1, 20):
            path.write_bytes(data[:end])
            with pytest.raises(ValueError, match=r"\.json"):
                fastiou.panoptic_quality(truth, pred)
        path.write_bytes(data)
    truth.write_text(truth.read_text().replace('"area": ', '"area": NaN, "are": ', 1))
    with pytest.raises(ValueError, match=r"gt\.json: cannot be read as JSON \(NaN is no number\)"):
        fastiou.panoptic_quality(truth, pred)


# ---- errors of arrays --------------------------------------------------------------------------


ONE = [[7]]


@pytest.mark.parametrize(
    ("truth", "found", "error", "message"),
    [
        (None, [], ValueError, "target_segments must be given with arrays"),
        ([segment(7)], {}, TypeError, r"pred_segments must be a list of dicts, got \{\}"),
        ([3], [segment(7)], TypeError, "target_segments must hold dicts, got 3"),
        ([{"id": 7}], [segment(7)], ValueError, "have category_id for each segment, segment 0 has"),
        ([segment(7.5)], [segment(7)], ValueError, "have an integer as id, got 7.5 in segment 0"),
        ([segment("a")], [segment(7)], TypeError, "have an integer as id, got 'a' in segment 0"),
        ([segment(2**63)], [segment(7)], ValueError, "an integer as id, got 9223372036854775808"),
        ([segment(0)], [segment(7)], ValueError, "target_segments must have ids above 0, .* got 0"),
        ([segment(7)] * 2, [segment(7)], ValueError, "target_segments has the id 7 twice"),
        ([segment(7, iscrowd=2)], [segment(7)], ValueError, "0 or 1 as iscrowd, got 2 in segment"),
        ([segment(7, area=-1)], [segment(7)], ValueError, "a number of pixels as area, got -1 in"),
        (
            [segment(7, area=float("nan"))],
            [segment(7)],
            ValueError,
            "as area, got nan in segm",
        ),
        ([segment(7, area="x")], [segment(7)], TypeError, "a number of pixels as area, got 'x'"),
        ([segment(7, area=0)], [segment(7)], ValueError, "the area 0 of the segment 7, which has"),
        (
            [segment(7, 9)],
            [segment(7)],
            ValueError,
            "target_segments has the category 9, which cat",
        ),
        ([segment(7)], [segment(7), segment(8)], ValueError, "has the segment 8, of which pred ha"),
        ([segment(7)], [], ValueError, "pixels of the segment 7, which pred_segments does not"),
    ],
)
def test_segments_that_are_refused(
    truth: Any, found: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fastiou.panoptic_quality(ONE, ONE, truth, found, categories=CATEGORIES)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((ONE, [[7, 7]]), {}, ValueError, "target and pred must have the same shape"),
        (
            (np.zeros((2, 2, 3), np.uint8), ONE),
            {},
            ValueError,
            "target must be a label image, got a",
        ),
        ((ONE, [[0.5]]), {}, TypeError, "pred must hold integers or booleans"),
        ((ONE, ONE), {"pred_folder": "a"}, ValueError, "pred_folder must be None with arrays"),
        ((ONE, ONE), {"categories": 3}, TypeError, "categories must be a list of dicts with id"),
        ((ONE, ONE), {"categories": [{}]}, TypeError, "categories must hold dicts with id, got"),
        ((ONE, ONE), {"categories": {1.5: 1}}, TypeError, "id of category 0 must be an integer"),
        ((ONE, ONE), {"categories": {1: 7}}, ValueError, "0 or 1 as isthing, got 7 in category 0"),
        ((ONE, ONE), {"categories": [{"id": 1}] * 2}, ValueError, "categories has the id 1 twice"),
        (([np.array(ONE)], ONE), {}, ValueError, "target holds several images and pred is one"),
        (
            ([np.array(ONE)] * 2, [np.array(ONE)] * 2),
            {},
            TypeError,
            "image 0: target_segments must",
        ),
    ],
)
def test_what_else_is_refused(
    arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fastiou.panoptic_quality(*arguments, [segment(7)], [segment(7)], **options)


def test_lists_of_segments_are_as_many_as_images() -> None:
    images = [np.array(ONE)] * 2
    for count in (1, 3):
        with pytest.raises(ValueError, match="must have a list for each image, got"):
            fastiou.panoptic_quality(images, images, [[segment(7)]] * count, [[segment(7)]] * count)
    with pytest.raises(ValueError, match="image 1: pred has pixels of the segment 7"):
        fastiou.panoptic_quality(images, images, [[], []], [[segment(7)], []])
    with pytest.raises(TypeError, match="must be a PanopticEvaluator"):
        fastiou.PanopticEvaluator().merge(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="other options: categories="):
        fastiou.PanopticEvaluator().merge(fastiou.PanopticEvaluator({1: True}))
    with pytest.raises(ValueError, match="must be what state"):
        fastiou.PanopticEvaluator().merge({"images": np.empty(0)})


def test_damaged_states_are_refused_and_change_nothing() -> None:
    good = fastiou.PanopticEvaluator()
    image = np.array([[1, 1], [2, 2]])
    segments = [{"id": 1, "category_id": 1}, {"id": 2, "category_id": 1}]
    good.update(image, image, segments, segments, image="a")
    evaluator = fastiou.PanopticEvaluator()
    state = good.state()
    state["ious"][:] = 9
    with pytest.raises(ValueError, match=r"an IoU above 0\.5 for each match"):
        evaluator.merge(good, state)
    evaluator.merge(good)
    assert evaluator.compute().pq == good.compute().pq == 1
