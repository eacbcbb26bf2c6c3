"""`fastiou match --geometry mask`: segmentations of COCO files, against COCO's own code."""

import gzip
import itertools
import json

import numpy as np
import pytest
from command_for_tests import real, run, run_well, words_of

import fastiou
from fastiou.cli.display import Clock
from fastiou.cli.members import Masks
from fastiou.cli.options import MatchOptions
from fastiou.formats import segmentations
from fastiou.formats.errors import FileError
from fastiou.formats.masks import mask_sizes
from fastiou.formats.table import read_masks
from fastiou.geometries.masks.masks import MASK

coco = pytest.importorskip("pycocotools.mask", reason="needs the extra coco")

#: Height and width of each image: one size is shared, one has its sides exchanged.
IMAGES = {7: (20, 30), 8: (30, 20), 9: (20, 30)}


def square(size, top, left, side):
    dense = np.zeros(size, np.uint8, order="F")
    dense[top : top + side, left : left + side] = 1
    return dense


def plain_counts(dense):
    flat = dense.reshape(-1, order="F")
    ends = np.concatenate([np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    counts = np.diff(ends, prepend=0).tolist()
    return counts if flat[0] == 0 else [0, *counts]


def outline(size, top, left, side):
    bottom, right = min(top + side, size[0]), min(left + side, size[1])
    return [[left, top, right, top, right, bottom, left, bottom]]


def segmentation(kind, size, top, left, side):
    """One square in one of three forms."""
    if kind == "polygons":
        return outline(size, top, left, side)
    dense = square(size, top, left, side)
    if kind == "plain":
        return {"size": list(size), "counts": plain_counts(dense)}
    packed = coco.encode(dense)
    return {"size": list(packed["size"]), "counts": packed["counts"].decode()}


def annotations(rng, count, kinds):
    """Squares in all images, of 2 categories, in all forms of `kinds`."""
    entries = []
    for index, kind in zip(range(count), itertools.cycle(kinds), strict=False):
        image = int(rng.choice(list(IMAGES)))
        top, left = rng.integers(0, 12, 2).tolist()
        mask = segmentation(kind, IMAGES[image], top, left, int(rng.integers(4, 12)))
        category = int(rng.integers(1, 3))
        entries.append({"image_id": image, "category_id": category, "segmentation": mask})
        if index % 5 == 0:  # what else an annotation may have does not matter
            entries[-1] |= {"bbox": [0, 0, 1, 1], "keypoints": [1, 2, 3], "iscrowd": 0}
    return entries


def listed():
    return [{"id": number, "height": h, "width": w} for number, (h, w) in IMAGES.items()]


def found_by_loop(entries_a, entries_b, keys, threshold, sizes=IMAGES):
    """Rows, cols and values of all pairs of equal keys, by COCO's own code."""

    def encoded(entry):
        mask, size = entry["segmentation"], sizes[entry["image_id"]]
        if isinstance(mask, list):
            return coco.merge(coco.frPyObjects(mask, *size))
        return coco.frPyObjects(mask, *size) if isinstance(mask["counts"], list) else mask

    parts = []
    group = [[tuple(x[key] for key in keys) for x in side] for side in (entries_a, entries_b)]
    for one in sorted(set(group[0]) & set(group[1])):
        rows, cols = (
            np.array([i for i, other in enumerate(side) if other == one]) for side in group
        )
        values = coco.iou(
            [encoded(entries_a[i]) for i in rows],
            [encoded(entries_b[i]) for i in cols],
            [0] * len(cols),
        )
        i, j = np.nonzero(values >= threshold)
        parts.append((rows[i], cols[j], values[i, j]))
    rows, cols, values = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort([cols, rows])
    return rows[order], cols[order], values[order]


#: Columns by which users know the pairs.
NAMES = {"image", "category", "id_a", "id_b"}


def check_pairs(path, expected):
    with np.load(path) as found:
        names = ["rows", "cols", "values"]
        assert [name for name in found.files if name not in NAMES] == names
        for name, column in zip(names, expected, strict=True):
            np.testing.assert_array_equal(found[name], column)
        assert [found[name].dtype for name in names] == [np.int64, np.int64, np.float64]


@pytest.fixture
def two_files(tmp_path, rng):
    """A ground truth with all forms of masks, results with two of them, and what they hold."""
    truth = annotations(rng, 60, ["polygons", "plain", "packed"])
    results = annotations(rng, 50, ["packed", "polygons"])
    paths = tmp_path / "truth.json.gz", tmp_path / "results.json"
    content = {"images": listed(), "annotations": truth}
    paths[0].write_bytes(gzip.compress(json.dumps(content).encode()))
    paths[1].write_text(json.dumps(results))
    return *paths, truth, results


@pytest.mark.parametrize("at_a_time", [1, 7, 1024])
def test_masks_of_all_forms_meet_within_image_and_category(
    two_files, tmp_path, monkeypatch, at_a_time
):
    monkeypatch.setattr(segmentations, "MASKS_AT_A_TIME", at_a_time)
    a, b, truth, results = two_files
    out = tmp_path / "pairs.npz"
    shown = run_well("match", a, b, "--geometry", "mask", "--threshold", 0.3, "--out", out)
    expected = found_by_loop(truth, results, ["image_id", "category_id"], 0.3)
    assert len(expected[0]) > 20
    check_pairs(out, expected)
    groups = [[(x["image_id"], x["category_id"]) for x in side] for side in (truth, results)]
    tested = sum(one == other for one in groups[0] for other in groups[1])
    words = words_of(shown)
    for text in (
        "60 from truth.json.gz (coco: 20 polygons, 40 run lengths)",
        "50 from results.json (coco: 25 polygons, 25 run lengths)",
        "images 2 sizes, padded to 30 × 30 pixels",
        "6 by image and category",
        f" {tested:,} ",
        f"{len(expected[0])} with iou >= 0.3",
        f"{len(np.unique(expected[0]))} (",
        f"{len(np.unique(expected[1]))} (",
        "packing masks",
        "pairs per second",
    ):
        assert text in words
    assert shown.stderr == ""


def test_sizes_are_told_where_there_are_several(tmp_path):
    masks = [
        {"image_id": image, "score": 1.0, "segmentation": {"size": size, "counts": [0, 12]}}
        for image, size in enumerate([[3, 4], [2, 6], [12, 1]])
    ]
    all_sizes, one = tmp_path / "all.json", tmp_path / "one.json"
    all_sizes.write_text(json.dumps(masks))
    one.write_text(json.dumps(masks[:1]))
    words = "images 3 sizes, padded to 12 × 6 pixels"
    for commands, told in ((["match", one, all_sizes], True), (["match", one, one], False)):
        assert (words in words_of(run_well(*commands, "--geometry", "mask"))) == told
    for path, told in ((all_sizes, True), (one, False)):
        assert (words in words_of(run_well("nms", path, "--geometry", "mask"))) == told


def test_sizes_that_cannot_be_padded_to_one(tmp_path):
    path = tmp_path / "a.json"
    masks = [
        {"image_id": image, "segmentation": {"size": size, "counts": [2**20]}}
        for image, size in enumerate([[2**20, 1], [1, 2**20]])
    ]
    path.write_text(json.dumps(masks))
    result = run("match", path, path, "--geometry", "mask")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "fastiou: masks are padded to one size, but the greatest height"
    )
    assert result.stderr.endswith(
        "; files with images of similar sizes can be compared one by one\n"
    )


def test_order_of_the_files_may_change(two_files, tmp_path):
    a, b, truth, results = two_files
    out = tmp_path / "pairs.npz"
    run_well("match", b, a, "--geometry", "mask", "--out", out)
    check_pairs(out, found_by_loop(results, truth, ["image_id", "category_id"], 0.5))


def test_without_groups_masks_of_all_categories_meet(two_files, tmp_path):
    a, b, truth, results = two_files
    out = tmp_path / "pairs.npz"
    shown = run_well("match", a, b, "--geometry", "mask", "--no-groups", "--out", out)
    check_pairs(out, found_by_loop(truth, results, ["image_id"], 0.5))
    assert "3 by image alone: masks need one image" in words_of(shown)


def test_progress_of_masks_is_shown(two_files):
    a, b, _, _ = two_files
    shown = run_well("match", a, b, "--geometry", "mask", "--progress")
    for stage in ("reading", "loading kernels", "packing masks", "matching", "100%"):
        assert stage in shown.stderr


def test_progress_of_masks_ends_where_the_work_ends(two_files):
    a, b, _, _ = two_files
    steps = {}

    def begin(name):
        return lambda done, total, _=None: steps.setdefault(name, []).append((done, total))

    found = Masks().find(read_masks(a), read_masks(b), MatchOptions(), Clock(begin))
    assert found.tested > 0
    for name in ("packing masks", "matching"):
        *work, last = steps[name]  # the last says that the stage is over
        assert last == (1, 1)
        assert work == sorted(work)
        assert work[-1][0] == work[-1][1]
    assert steps["packing masks"][-2] == (110, 110)


def test_nothing_is_written_after_an_interrupt(two_files, tmp_path, monkeypatch):
    original = fastiou.pairs

    def interrupted(*arguments, **options):
        if "progress" in options:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(fastiou, "pairs", interrupted, raising=False)
    out = tmp_path / "pairs.csv"
    result = run("match", *two_files[:2], "--geometry", "mask", "--out", out)
    assert (result.exit_code, result.stderr) == (130, "fastiou: interrupted\n")
    assert not out.exists()


@pytest.mark.parametrize("content", ["[]", '{"annotations": [], "images": []}'])
def test_no_masks(tmp_path, content, two_files):
    path = tmp_path / "none.json"
    path.write_text(content)
    for other in (path, two_files[0]):
        out = tmp_path / "pairs.npz"
        shown = run_well("match", path, other, "--geometry", "mask", "--out", out)
        assert "0 with iou >= 0.5" in shown.stdout
        check_pairs(out, ([], [], []))


def test_empty_masks_are_counted_and_match_nothing(tmp_path):
    path = tmp_path / "masks.json"
    masks = [{"size": [2, 3], "counts": counts} for counts in ([6], [0, 6], "6")]
    path.write_text(json.dumps([{"image_id": 1, "segmentation": mask} for mask in masks]))
    shown = run_well("match", path, path, "--geometry", "mask", "--out", tmp_path / "pairs.npz")
    assert "3 run lengths, 2 empty" in shown.stdout
    assert "1 by image" in shown.stdout
    check_pairs(tmp_path / "pairs.npz", ([1], [1], [1.0]))


def test_numbers_are_kept_as_arrays(two_files):
    """As Python lists they would take four times the memory."""
    for mask in read_masks(two_files[0]).masks:
        if isinstance(mask, list):
            assert [ring.dtype for ring in mask] == [np.float64]
        elif not isinstance(mask["counts"], str):
            assert mask["counts"].dtype == np.int64


# ---- sizes -------------------------------------------------------------------------------------


def mask_file(path, entries, images=None):
    content = entries if images is None else {"images": images, "annotations": entries}
    path.write_text(json.dumps(content))
    return path


POLYGON = [[0, 0, 2, 0, 2, 2]]
RUNS = {"size": [4, 5], "counts": [20]}
OTHER_RUNS = {"size": [5, 4], "counts": [20]}
IMAGE = {"id": 1, "height": 4, "width": 5}


def entry(mask, image=1):
    return {"image_id": image, "segmentation": mask}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (([entry(POLYGON)], [IMAGE]), ([entry(POLYGON)], None)),
        (([entry(POLYGON)], None), ([entry(POLYGON)], [IMAGE])),
        (([entry(POLYGON)], [{"id": 1}]), ([entry(POLYGON)], [IMAGE])),
        (([entry(POLYGON)], [IMAGE, IMAGE]), ([entry(RUNS)], [{"id": 1}])),
        (([entry(POLYGON)], [{**IMAGE, "height": 4.0}]), ([entry(POLYGON)], [])),
        (([entry(POLYGON)], None), ([entry(POLYGON), entry(RUNS)], None)),
        (([entry(POLYGON), entry(RUNS)], [{"id": 1}]), ([entry(RUNS)], None)),
    ],
)
def test_sizes_come_from_images_or_run_lengths_of_either_file(tmp_path, a, b):
    files = [
        read_masks(mask_file(tmp_path / name, *content))
        for name, content in (("a.json", a), ("b.json", b))
    ]
    for file, sizes in zip(files, mask_sizes(*files), strict=True):
        np.testing.assert_array_equal(sizes, [[4, 5]] * len(file))
        assert sizes.dtype == np.int64


GOOD = ([entry(RUNS)], [IMAGE])
DISAGREEING = {
    "images of both files": (
        ([entry(RUNS)], [{**IMAGE, "width": 6}]),
        "b.json:images: image 1 is 4 × 6 pixels, expected 4 × 5 pixels, as in a.json",
    ),
    "images of one file": (
        ([], [IMAGE, {**IMAGE, "height": 9}]),
        "b.json:images[1]: image 1 again, 9 × 5 pixels, expected 4 × 5 pixels, as before",
    ),
    "run lengths and image": (
        ([entry(RUNS), entry(OTHER_RUNS)], None),
        'b.json:[1]: "segmentation" of 5 × 4 pixels, expected 4 × 5 pixels, the size of image 1 '
        "in a.json",
    ),
    "an unknown image": (
        ([entry(RUNS), entry(RUNS, 2)], None),
        'b.json:[1]: image 2 is unknown, expected one of those in "images"',
    ),
    "an image without a size": (
        ([entry(POLYGON, 2)], [{"id": 2, "file_name": "x.jpg"}]),
        "b.json:annotations[0]: polygons of image 2, the size of which is not told, expected "
        '"height" and "width" of the image in "images" of either file',
    ),
    "half a size": (
        ([], [{"id": 2, "height": 3}]),
        'b.json:images[0]: no "width", expected one in every entry',
    ),
    "a size that is none": (
        ([], [{"id": 2, "height": 3, "width": "4"}]),
        'b.json:images[0]: "width": "4", expected a whole number of 64 bits',
    ),
    "a size below 0": (
        ([], [{"id": 2, "height": -3, "width": 4}]),
        "b.json:images[0]: height and width must be (height, width), both >= 0, got [-3, 4]",
    ),
    "a size beyond all measure": (
        ([entry({"size": [2**40, 1], "counts": [2**40]})], None),
        'b.json:[0]: "segmentation": size must have sides of at most',
    ),
    "a size of three": (
        ([entry({"size": [4, 5, 1], "counts": [20]})], None),
        'b.json:[0]: "segmentation": size must be (height, width), two integers, got [4, 5, 1]',
    ),
    "images without a list": (([], {}), "b.json:images: {}, expected a list of images"),
    "an image that is none": (([], [3]), "b.json:images[0]: 3, expected an object"),
    "an image without an id": (([], [{}]), 'b.json:images[0]: no "id", expected one in every'),
}


@pytest.mark.parametrize("name", DISAGREEING)
def test_sizes_that_disagree_or_are_missing(tmp_path, name):
    b, message = DISAGREEING[name]
    a = mask_file(tmp_path / "a.json", *GOOD)
    result = run("match", a, mask_file(tmp_path / "b.json", *b), "--geometry", "mask")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"fastiou: {tmp_path}/{message}")


def test_run_lengths_of_one_image_have_one_size(tmp_path):
    path = mask_file(tmp_path / "a.json", [entry(RUNS), entry(RUNS, 2), entry(OTHER_RUNS)])
    with pytest.raises(FileError) as caught:
        mask_sizes(read_masks(path), read_masks(path))
    assert str(caught.value) == (
        f'{path}:[2]: "segmentation" of 5 × 4 pixels, expected 4 × 5 pixels, the size of image 1 '
        "in a.json:[0]"
    )


# ---- what goes wrong ---------------------------------------------------------------------------

#: A value of "segmentation", and the message after the name of the file and the entry.
MALFORMED = {
    "null": (None, '"segmentation": null, expected "segmentation": polygons, or run lengths'),
    "text": ("13", '"segmentation": "13", expected "segmentation": polygons, or run lengths'),
    "no counts": ({"size": [4, 5]}, '"segmentation" has no "counts", expected'),
    "no size": ({"counts": [20]}, '"segmentation" has no "size", expected'),
    "counts too few": ({**RUNS, "counts": [3, 4]}, '"segmentation": counts sum to 7, but size'),
    "counts below 0": ({**RUNS, "counts": [25, -5]}, '"segmentation": counts must be >= 0, got -5'),
    "counts not whole": ({**RUNS, "counts": [20.5]}, '"segmentation": counts must be integers, go'),
    "counts beyond 64 bits": ({**RUNS, "counts": [2**70]}, '"segmentation": counts sum to 118059'),
    "counts null": ({**RUNS, "counts": None}, '"segmentation": counts must be a string, bytes'),
    "a string that ends early": ({**RUNS, "counts": "o"}, '"segmentation": counts end within the'),
    "a string of other letters": (
        {**RUNS, "counts": "é"},
        "\"segmentation\": counts have the character 'é' at position 0",
    ),
    "no polygon": ([], '"segmentation" must have at least one ring, got none'),
    "two points": ([POLYGON[0], [1, 2, 3, 4]], '"segmentation"[1] must have at least 3 points'),
    "half a point": ([[1, 2, 3, 4, 5, 6, 7]], '"segmentation"[0] must have a y for each x, got 7'),
    "a flat list": ([1, 2, 3, 4, 5, 6], '"segmentation"[0] must be a ring, [x1, y1, x2, y2, ...]'),
    "a polygon of text": ([["1", 2, 3, 4, 5, 6]], '"segmentation"[0] must be a ring, [x1, y1'),
    "a polygon with NaN": (
        [[1, 2, float("nan"), 4, 5, 6]],
        '"segmentation"[0]: coordinates must be finite and at most',
    ),
    "a polygon beyond floats": ([[1, 2, 10**400, 4, 5, 6]], '"segmentation"[0] must be a ring'),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_masks_are_named(tmp_path, name):
    mask, message = MALFORMED[name]
    good = [entry(RUNS), entry(POLYGON)] * 6
    a = mask_file(tmp_path / "a.json", good, [IMAGE])
    b = mask_file(tmp_path / "b.json", [*good, entry(mask), entry(POLYGON)], [IMAGE])
    out = tmp_path / "pairs.csv"
    for paths in ((a, b), (b, a)):
        result = run("match", *paths, "--geometry", "mask", "--out", out)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"fastiou: {b}:annotations[12]: {message}")
        assert result.stderr.count("\n") == 1
        assert not out.exists()


BAD = {
    "no segmentation": (
        b'[{"image_id": 1, "bbox": [0, 0, 1, 1]}]',
        ':[0]: no "segmentation", expected "segmentation": polygons, or run lengths with "size"',
    ),
    "no image": (b'[{"segmentation": []}]', ':[0]: no "image_id", expected one in every entry'),
    "no object": (b"[3]", ":[0]: 3, expected an object"),
    "no annotations": (b'{"images": []}', ": an object with images, expected"),
    "broken": (b'{"annotations": [', ":1: not JSON"),
    "an image": (b"\x89PNG\r\n\x1a\n", ": a PNG image, expected COCO JSON with masks (fast"),
    "boxes": (b"PK\x03\x04", ": a .npz file, expected COCO JSON with masks\n"),
    "text": (b"1,2,3,4\n", ": csv, which has boxes alone, expected masks as yolo-seg, labelme"),
    "not UTF-8": (b"\xff", ":1: byte 0xff is not UTF-8 but Latin-1 or another encoding, expected"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_without_masks(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    result = run("match", path, path, "--geometry", "mask")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"fastiou: {path}{message}")


def test_a_folder_or_nothing_in_place_of_masks(tmp_path):
    path = mask_file(tmp_path / "a.json", *GOOD)
    empty = tmp_path / "empty"
    empty.mkdir()
    for other, message in ((empty, "no file with boxes in"), (tmp_path / "no", "no such")):
        for paths in ((path, other), (other, path)):
            result = run("match", *paths, "--geometry", "mask")
            assert result.exit_code == 2
            assert f"{other}: {message}" in result.stderr


def test_options_that_masks_do_not_have():
    known = "yolo-seg or labelme or coco"
    for arguments, message in (
        (
            ["--metric", "giou"],
            f"--metric giou is for boxes; masks have {', '.join(MASK.metrics())}",
        ),
        (
            ["--format", "mot"],
            f"--geometry mask cannot read --format mot, but {known}",
        ),
        (
            ["--format-b", "labels"],
            f"--geometry mask cannot read --format labels, but {known}",
        ),
    ):
        result = run("match", "none", "none", "--geometry", "mask", *arguments)
        assert (result.exit_code, result.stderr) == (2, f"fastiou: {message}\n")


def test_masks_without_boxes_are_pointed_to_their_option(tmp_path):
    path = mask_file(tmp_path / "a.json", *GOOD)
    result = run("match", path, path)
    assert result.exit_code == 2
    assert "(--geometry mask compares masks)" in result.stderr


@pytest.mark.parametrize("metric", MASK.metrics())
def test_every_metric_of_masks_can_be_asked_for(two_files, monkeypatch, metric):
    original = fastiou.pairs
    asked = set()

    def counted(*arguments, metric, **options):
        asked.add(metric)
        return original(*arguments, **options)  # each other metric would compile for seconds

    monkeypatch.setattr(fastiou, "pairs", counted, raising=False)
    shown = run_well("match", *two_files[:2], "--geometry", "mask", "--metric", metric)
    assert asked == {metric}
    assert f"with {metric} >= 0.5" in shown.stdout


def test_outlines_with_scores_of_a_folder_are_suppressed(tmp_path):
    square, rest = "0 .1 .1 .5 .1 .5 .5 .1 .5 .05 .3", "1 .6 .6 .9 .6 .9 .9 .5"
    rows = f"{square} .8\n{square} .9\n{rest}\n"
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(rows)
    options = ("--geometry", "mask", "--image-size", "64,48", "--format", "yolo-seg")
    run_well("nms", tmp_path, *options, "--out", tmp_path / "kept.npz")
    with np.load(tmp_path / "kept.npz") as kept:
        assert kept["kept"].tolist() == [1, 4, 2, 5]
        assert kept["scores"].tolist() == [0.9, 0.9, 0.5, 0.5]
    run_well("nms", tmp_path / "a.txt", *options, "--out", tmp_path / "rows.txt")
    assert (tmp_path / "rows.txt").read_text() == f"{square} .9\n{rest}\n"


# ---- real inputs -------------------------------------------------------------------------------


def test_real_results_get_the_pairs_and_bits_of_coco(tmp_path):
    paths = (
        real("coco/instances_val2014_100.json.gz"),
        real("coco/instances_val2014_fakesegm100_results.json.gz"),
    )
    out = tmp_path / "pairs.npz"
    run_well("match", *paths, "--geometry", "mask", "--out", out)
    truth, results = (json.loads(gzip.decompress(path.read_bytes())) for path in paths)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    keys = ["image_id", "category_id"]
    expected = found_by_loop(truth["annotations"], results, keys, 0.5, sizes)
    assert len(expected[0]) == 565
    check_pairs(out, expected)
