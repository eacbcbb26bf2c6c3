"""COCO and COCOeval, against pycocotools, and in the place of pycocotools."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_sets_for_tests import random_sets

from fastiou.compat.pycocotools import coco as own_coco
from fastiou.compat.pycocotools import cocoeval as own_eval

#: How many sets of a few images are evaluated by both in a quick test, and in a thorough one.
FEW, MANY = 12, 5_000


@pytest.fixture
def peers() -> tuple[Any, Any]:
    pytest.importorskip("pycocotools", exc_type=ImportError)
    import pycocotools.coco
    import pycocotools.cocoeval

    return pycocotools.coco, pycocotools.cocoeval


def of_content(module: Any, content: Any) -> Any:
    made = module.COCO()
    made.dataset = copy.deepcopy(content)
    made.createIndex()
    return made


def evaluated(modules: tuple[Any, Any], sets: Any, kind: str, change: Any = None) -> Any:
    """An evaluation by these modules, and what it prints at the end."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        truth = of_content(modules[0], sets[0])
        evaluation = modules[1].COCOeval(truth, truth.loadRes(copy.deepcopy(sets[1])), kind)
        if change is not None:
            change(evaluation.params)
        evaluation.evaluate()
        evaluation.accumulate()
        printed.truncate(0)
        printed.seek(0)
        if len(evaluation.params.maxDets) == 3:
            evaluation.summarize()
    return evaluation, printed.getvalue()


def compressed(sets: Any, peer: Any) -> Any:
    """Sets whose masks are compressed, which results of pycocotools must be."""
    for entry in sets[1]:
        entry["segmentation"] = peer.maskUtils.frPyObjects(entry["segmentation"], 24, 24)
    return sets


def assert_equal(actual: Any, expected: Any) -> None:
    assert actual[1] == expected[1]
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(actual[0].eval[name], expected[0].eval[name])
    assert actual[0].eval["counts"] == expected[0].eval["counts"]
    np.testing.assert_array_equal(actual[0].stats, expected[0].stats)


def no_classes(params: Any) -> None:
    params.useCats = 0


def other_numbers(params: Any) -> None:
    params.iouThrs = np.array([0.75, 0.3])
    params.recThrs = np.array([0.0, 0.25, 0.9])
    params.maxDets = [7, 1]
    params.areaRng, params.areaRngLbl = [[0, 30], [0, 1e10]], ["tiny", "all"]
    params.imgIds, params.catIds = params.imgIds[1:], params.catIds[::-1][:2]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("many", [FEW, pytest.param(MANY, marks=pytest.mark.thorough)])
def test_numbers(peers: tuple[Any, Any], kind: str, many: int) -> None:
    for case in range(many):
        rng = np.random.default_rng([16, case])
        sets = random_sets(rng, masks=kind == "segm")
        if kind == "segm":
            sets = compressed(sets, peers[0])
        change = [None, no_classes, other_numbers][case % 3]
        own = (own_coco, own_eval)
        expected = evaluated(peers, sets, kind, change)
        actual = evaluated(own, sets, kind, change)
        assert_equal(actual, expected)
        if case % 4 == 0:  # what is told of single images is computed when it is asked for
            assert len(actual[0].evalImgs) == len(expected[0].evalImgs)
            for one, other in zip(actual[0].evalImgs, expected[0].evalImgs, strict=True):
                assert (one is None) == (other is None)
                for name in one or ():
                    np.testing.assert_array_equal(one[name], other[name], err_msg=name)
            assert actual[0].ious.keys() == expected[0].ious.keys()
            for name, scores in expected[0].ious.items():
                np.testing.assert_array_equal(actual[0].ious[name], scores)


def test_single_images_that_were_gathered_are_added_up(peers: tuple[Any, Any]) -> None:
    """As programs do that evaluate on several machines."""
    sets = random_sets(np.random.default_rng(5))
    whole, _ = evaluated((own_coco, own_eval), sets, "bbox")
    parts = []
    for image in whole.params.imgIds:

        def change(params: Any, image: Any = image) -> None:
            params.imgIds = [image]

        part, _ = evaluated((own_coco, own_eval), sets, "bbox", change)
        parts.append(np.asarray(part.evalImgs, object).reshape(-1, len(part.params.areaRng), 1))
    gathered, _ = evaluated((own_coco, own_eval), sets, "bbox")
    gathered.evalImgs = list(np.concatenate(parts, axis=2).flatten())
    gathered.accumulate()
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(gathered.eval[name], whole.eval[name])
    # Other parameters than those that were evaluated.
    some = copy.deepcopy(whole.params)
    some.catIds, some.maxDets = some.catIds[:1], [100]
    whole.accumulate(some)
    np.testing.assert_array_equal(
        whole.eval["recall"], gathered.eval["recall"][:, :1, :, 2:], strict=True
    )


def test_programs_with_an_evaluation_of_their_own(peers: tuple[Any, Any]) -> None:
    """As DETR does, batch after batch, by one object."""
    content, results = random_sets(np.random.default_rng(7))
    both = []
    for modules in (peers, (own_coco, own_eval)):
        with contextlib.redirect_stdout(io.StringIO()):
            truth = of_content(modules[0], content)
            evaluation = modules[1].COCOeval(truth, iouType="bbox")
            p, parts, images = evaluation.params, [], truth.getImgIds()
            batches = [images[:1], images[1:]]
            for batch in batches:
                found = [copy.deepcopy(each) for each in results if each["image_id"] in batch]
                evaluation.cocoDt = truth.loadRes(found) if found else modules[0].COCO()
                p.imgIds = list(np.unique(batch))
                evaluation._prepare()
                evaluation.ious = {
                    (image, label): evaluation.computeIoU(image, label)
                    for image in p.imgIds
                    for label in p.catIds
                }
                own = [
                    evaluation.evaluateImg(image, label, area, p.maxDets[-1])
                    for label in p.catIds
                    for area in p.areaRng
                    for image in p.imgIds
                ]
                parts.append(np.asarray(own, object).reshape(len(p.catIds), len(p.areaRng), -1))
                evaluation._paramsEval = copy.deepcopy(p)
            evaluation.evalImgs = list(np.concatenate(parts, axis=2).flatten())
            p.imgIds = [image for batch in batches for image in np.unique(batch)]
            evaluation._paramsEval = copy.deepcopy(p)
            evaluation.accumulate()
            evaluation.summarize()
        both.append(evaluation)
    assert both[0].stats[0] > 0
    assert all(any(each is not None for each in part.flatten()) for part in parts)
    np.testing.assert_array_equal(both[1].stats, both[0].stats)
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(both[1].eval[name], both[0].eval[name])


def test_small_boxes_of_an_early_checkpoint_score_nothing() -> None:
    """Files with such boxes alone are refused, as parts of the image."""
    box = {"image_id": 1, "category_id": 3}
    truth = {
        "images": [{"id": 1}],
        "categories": [{"id": 3, "name": "boat"}],
        "annotations": [{**box, "bbox": [100, 90, 80, 70], "id": 1, "area": 5600, "iscrowd": 0}],
    }
    found = [{**box, "bbox": [0.2, 0.3, 0.5, 0.5], "score": 0.8}]
    evaluation, _ = evaluated((own_coco, own_eval), (truth, found), "bbox")
    assert evaluation.stats[0] == 0


def test_nothing_found() -> None:
    truth, _ = random_sets(np.random.default_rng(1))
    evaluation, printed = evaluated((own_coco, own_eval), (truth, []), "bbox")
    assert printed.count("\n") == 12
    assert evaluation.stats[0] == 0
    assert "bbox" in str(evaluation)


@pytest.mark.parametrize("case", range(8))
def test_annotations_are_looked_up(peers: tuple[Any, Any], case: int) -> None:
    rng = np.random.default_rng([3, case])
    content, results = random_sets(rng)
    content["categories"] = [{**entry, "supercategory": "thing"} for entry in content["categories"]]
    with contextlib.redirect_stdout(io.StringIO()):
        both = [of_content(module, content) for module in (own_coco, peers[0])]
        images, classes = both[0].getImgIds()[:2], both[0].getCatIds()[:2]
        calls: list[Any] = [
            lambda coco: coco.getAnnIds(),
            lambda coco: coco.getAnnIds(imgIds=images),
            lambda coco: coco.getAnnIds(imgIds=images[0], catIds=classes[0]),
            lambda coco: coco.getAnnIds(catIds=classes, areaRng=[0, 50], iscrowd=False),
            lambda coco: coco.getAnnIds(iscrowd=1),
            lambda coco: coco.getCatIds(catNms=[f"class {classes[0]}"], supNms=["thing"]),
            lambda coco: coco.getCatIds(catIds=classes[0]),
            lambda coco: sorted(coco.getImgIds(catIds=classes)),
            lambda coco: sorted(coco.getImgIds(imgIds=images, catIds=classes[:1])),
            lambda coco: coco.loadAnns(coco.getAnnIds()),
            lambda coco: coco.loadImgs(images[0]) + coco.loadImgs(images),
            lambda coco: coco.loadCats(classes),
            lambda coco: (coco.anns, coco.imgs, coco.cats, coco.imgToAnns, coco.catToImgs),
            lambda coco: coco.loadRes(copy.deepcopy(results)).anns,
            lambda coco: coco.loadRes(np.array([[images[0], 1, 2, 3, 4, 0.5, 7]])).anns,
        ]
        for place, call in enumerate(calls):
            assert call(both[0]) == call(both[1]), place


def test_results_of_captions(peers: tuple[Any, Any]) -> None:
    captions = [{"image_id": image, "caption": f"a boat, {image}"} for image in (2, 3, 2)]
    content = {
        "images": [{"id": image} for image in (1, 2, 3)],
        "annotations": [{**entry, "id": 5 + at} for at, entry in enumerate(captions)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        own, peer = (
            of_content(module, content).loadRes(copy.deepcopy(captions))
            for module in (own_coco, peers[0])
        )
    assert own.dataset == peer.dataset
    assert own.getImgIds() == peer.getImgIds() == [2, 3]
    assert own.getAnnIds(imgIds=[2]) == peer.getAnnIds(imgIds=[2]) == [1, 3]
    assert (own.anns, own.imgToAnns) == (peer.anns, peer.imgToAnns)


def test_names_and_arguments(peers: tuple[Any, Any]) -> None:
    for own, peer, left_out in (
        (own_coco.COCO, peers[0].COCO, {"download"}),
        (own_eval.COCOeval, peers[1].COCOeval, {"computeOks"}),
    ):
        names = [name for name, value in vars(peer).items() if inspect.isfunction(value)]
        for name in set(names) - left_out:
            assert list(inspect.signature(getattr(own, name)).parameters) == list(
                inspect.signature(getattr(peer, name)).parameters
            ), name
    for kind in ("bbox", "segm"):
        own, peer = own_eval.Params(kind), peers[1].Params(kind)
        assert vars(own).keys() == vars(peer).keys()
        for name, value in vars(peer).items():
            np.testing.assert_array_equal(getattr(own, name), value)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_masks_of_annotations(peers: tuple[Any, Any]) -> None:
    ring = [1, 1, 6, 1, 6, 5, 1, 5]
    content = {
        "images": [{"id": 1, "height": 8, "width": 9}],
        "annotations": [
            {"id": 1, "image_id": 1, "segmentation": [ring, [2, 2, 8, 2, 8, 7]]},
            {"id": 2, "image_id": 1, "segmentation": {"size": [8, 9], "counts": [10, 5, 57]}},
            {"id": 3, "image_id": 1, "segmentation": {"size": [8, 9], "counts": b":5i1"}},
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        own, peer = (of_content(module, content) for module in (own_coco, peers[0]))
    for entry in own.loadAnns([1, 2, 3]):
        assert own.annToRLE(entry) == peer.annToRLE(entry)
        np.testing.assert_array_equal(own.annToMask(entry), peer.annToMask(entry))


def test_annotations_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    matplotlib = pytest.importorskip("matplotlib", exc_type=ImportError)
    matplotlib.use("agg")
    from matplotlib import pyplot

    coco = own_coco.COCO()
    coco.imgs = {1: {"height": 8, "width": 9}}
    coco.cats = {5: {"skeleton": [[1, 2]]}}
    entries = [
        {"image_id": 1, "bbox": [1, 1, 2, 2], "segmentation": [[1, 1, 6, 1, 6, 5]]},
        {
            "image_id": 1, "bbox": [1, 1, 2, 2], "category_id": 5,
            "segmentation": {"size": [8, 9], "counts": [10, 5, 57]},
            "keypoints": [1, 1, 2, 5, 5, 1],
        },
    ]  # fmt: skip
    coco.showAnns(entries, draw_bbox=True)
    axes = pyplot.gca()
    assert (len(axes.patches), len(axes.images), len(axes.lines)) == (6, 1, 2)
    pyplot.close("all")
    assert coco.showAnns([]) == 0
    coco.showAnns([{"caption": "a boat"}])
    assert capsys.readouterr().out == "a boat\n"
    with pytest.raises(ValueError, match="anns must have"):
        coco.showAnns([{}])


def test_errors(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": [{"id": 1}], "annotations": [], "categories": []}))
    coco = own_coco.COCO(path)
    with pytest.raises(ValueError, match=r"resFile\[0\] must have an image_id of this set"):
        coco.loadRes([{"image_id": 2}])
    with pytest.raises(TypeError, match="resFile must hold a list of results"):
        coco.loadRes({})
    with pytest.raises(ValueError, match=r"data must have the shape \(N, 7\)"):
        coco.loadRes(np.ones((2, 6)))
    with pytest.raises(ValueError, match="keypoints are not evaluated here"):
        own_eval.COCOeval(coco, coco, "keypoints")
    evaluation = own_eval.COCOeval(coco, coco.loadRes([]), "bbox")
    with pytest.raises(RuntimeError, match=r"evaluate\(\) must be called before"):
        evaluation.accumulate()
    with pytest.raises(RuntimeError, match=r"accumulate\(\) must be called before"):
        evaluation.summarize()
    evaluation.params.maxDets = [100]
    evaluation.evaluate()
    evaluation.accumulate()
    with pytest.raises(ValueError, match=r"params\.maxDets must be three numbers"):
        evaluation.summarize()
    path.write_text("[]")
    with pytest.raises(ValueError, match="expected an object with annotations"):
        own_coco.COCO(str(path))


#: The evaluation of detectron2, in its own words: what it imports, sets, calls and reads.
AS_DETECTRON2 = """
import contextlib, copy, io, itertools, json, sys
from fastiou.compat import init_as_pycocotools
init_as_pycocotools()

import numpy as np
import pycocotools.mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

truth_path, results_path, kind = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()):
    coco_gt = COCO(truth_path)
coco_results = json.load(open(results_path))
if kind == "segm":
    coco_results = copy.deepcopy(coco_results)
    for each in coco_results:
        each["segmentation"] = mask_util.frPyObjects(each["segmentation"], 24, 24)
        each.pop("bbox", None)
coco_dt = coco_gt.loadRes(coco_results)
coco_eval = COCOeval(coco_gt, coco_dt, kind)
coco_eval.params.maxDets = [1, 10, 100]
coco_eval.params.imgIds = sorted(coco_gt.getImgIds())
coco_eval.evaluate()
coco_eval.accumulate()
with contextlib.redirect_stdout(io.StringIO()):
    coco_eval.summarize()
metrics = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
results = {
    metric: float(coco_eval.stats[at] * 100 if coco_eval.stats[at] >= 0 else "nan")
    for at, metric in enumerate(metrics)
}
precisions = coco_eval.eval["precision"]
for at, category in enumerate(coco_gt.loadCats(sorted(coco_gt.getCatIds()))):
    precision = precisions[:, :, at, 0, -1]
    precision = precision[precision > -1]
    ap = np.mean(precision) if precision.size else float("nan")
    results["AP-" + category["name"]] = float(ap * 100)
print(json.dumps(results))
assert "fastiou" in sys.modules["pycocotools._mask"].__name__
"""


@pytest.mark.parametrize("kind", ["bbox", pytest.param("segm", marks=pytest.mark.slow)])
def test_evaluation_of_detectron2_runs_unchanged(
    peers: tuple[Any, Any], tmp_path: Path, kind: str
) -> None:
    sets = random_sets(np.random.default_rng(11), masks=kind == "segm")
    for name, content in zip(("truth", "results"), sets, strict=True):
        (tmp_path / name).write_text(json.dumps(content))
    ended = subprocess.run(
        [sys.executable, "-c", AS_DETECTRON2, tmp_path / "truth", tmp_path / "results", kind],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    results = json.loads(ended.stdout)
    expected, _ = evaluated(peers, compressed(sets, peers[0]) if kind == "segm" else sets, kind)
    stats = [float("nan") if value < 0 else value * 100 for value in expected.stats[:6]]
    assert list(results.values())[:6] == pytest.approx(stats, nan_ok=True)
    assert len(results) == 6 + len(sets[0]["categories"])


def test_other_programs_import_it_too() -> None:
    code = (
        "import sys, fastiou.compat as compat; compat.init_as_pycocotools();"
        "import pycocotools.mask as one; from pycocotools import mask as other, coco, cocoeval;"
        "assert one is other and 'fastiou' in one.__name__ and 'fastiou' in coco.__name__;"
        "import pycocotools._mask as third; from pycocotools import _mask as fourth;"
        "assert one is third and one is fourth;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
