"""`fastiou match` with one partner each or the best few, and `fastiou nms`."""

import gzip
import itertools
import json
import re

import numpy as np
import pytest
from command_for_tests import real, run, run_well, words_of

import fastiou
from fastiou.cli import nms
from fastiou.cli.methods import METHODS
from fastiou.cli.nms import SUPPRESSIONS
from fastiou.cli.outputs import OUTPUTS
from fastiou.formats.groups import common_groups
from fastiou.formats.masks import pack_masks
from fastiou.formats.table import read_boxes, read_masks

MATCHES = ("greedy", "optimal", "coco")


@pytest.fixture
def entries(rng):
    """Truth and results of three images and two categories, some of the truth crowds."""
    sides = []
    for count in (60, 80):
        corner = rng.uniform(0, 30, (count, 2))
        boxes = np.concatenate([corner, rng.uniform(4, 20, (count, 2))], axis=1).round(2)
        images, categories = rng.integers(0, 3, count), rng.integers(1, 3, count)
        sides.append(
            [
                {"image_id": image, "category_id": category, "bbox": box}
                for image, category, box in zip(
                    images.tolist(), categories.tolist(), boxes.tolist(), strict=True
                )
            ]
        )
    truth, results = sides
    for entry in truth:
        entry["iscrowd"] = int(rng.random() < 0.2)
    for entry in results:
        entry["score"] = round(float(rng.random()), 1)  # so that some are equal
    return truth, results


@pytest.fixture
def two_files(tmp_path, entries):
    truth, results = tmp_path / "truth.json", tmp_path / "results.json.gz"
    truth.write_text(json.dumps({"annotations": entries[0]}))
    results.write_bytes(gzip.compress(json.dumps(entries[1]).encode()))
    return results, truth


@pytest.fixture
def masks_of_two_sizes(tmp_path, rng):
    """Squares in images of two sizes, as polygons and as run lengths, which are packed apart."""
    sizes = {1: (40, 60), 2: (60, 40), 3: (40, 60)}
    paths = []
    for name, count in (("results", 50), ("truth", 40)):
        found = []
        for index in range(count):
            image = int(rng.integers(1, 4))
            # Few places, so that values are often equal and the order of the file decides.
            top, left = (rng.integers(0, 4, 2) * 5).tolist()
            side = int(rng.integers(1, 3)) * 10
            mask = [[left, top, left + side, top, left + side, top + side, left, top + side]]
            if index % 3:
                dense = np.zeros(sizes[image], bool)
                dense[top : top + side, left : left + side] = True
                (mask,) = fastiou.Masks.from_dense(dense).to_rle()
                mask["counts"] = mask["counts"].decode()
            entry = {"image_id": image, "category_id": 1, "segmentation": mask}
            entry |= {"score": int(rng.integers(1, 5)) / 4, "iscrowd": int(rng.random() < 0.2)}
            found.append(entry)
        images = [{"id": i, "height": h, "width": w} for i, (h, w) in sizes.items()]
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps({"images": images, "annotations": found}))
    return tuple(paths)


def both_as_masks(a, b):
    """The masks of two files in order, all in images of one size."""
    packed = pack_masks((a, b), lambda *_: None)
    for file, masks in zip((a, b), packed, strict=True):
        for mask, entry in zip(masks, file.masks, strict=True):
            if isinstance(entry, dict):
                own = fastiou.Masks.from_rle([{**entry, "size": list(entry["size"])}])
                assert mask == own.padded(masks.shape[1:])
    return packed


def read_columns(path):
    """The columns of a file that was written, by name."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return dict(archive)
    if path.suffix == ".csv":
        header, *lines = path.read_text().splitlines()
        columns = np.array([[float(cell) for cell in line.split(",")] for line in lines])
        names = header.split(",")
        return dict(zip(names, columns.reshape(-1, len(names)).T, strict=True))
    parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)
    table = parquet.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


#: Columns by which users know the members.
NAMES = {"image", "category", "id", "id_a", "id_b"}


def check(path, expected):
    found = read_columns(path)
    assert [name for name in found if name not in NAMES] == list(expected)
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column)


def columns_of(match):
    names = ("rows", "cols", "values", "unmatched_rows", "unmatched_cols")
    return dict(zip(names, match, strict=True))


def expected_match(a, b, method, threshold=0.5, **options):
    grouping = common_groups(a, b)
    if grouping is not None:
        options["groups"] = grouping.codes_a, grouping.codes_b
    if method == "coco":
        options |= {"scores": a.scores, "iscrowd": b.crowds}
    return options, {"method": method, "threshold": threshold}


# ---- match -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", MATCHES)
def test_matches_of_boxes(two_files, tmp_path, method):
    a, b = read_boxes(two_files[0], scored=True), read_boxes(two_files[1], crowded=True)
    options, others = expected_match(a, b, method, 0.2)
    match = fastiou.match(a.boxes, b.boxes, fmt="xywh", **options, **others)
    assert len(match) > 10
    out = tmp_path / "matches.npz"
    shown = run_well("match", *two_files, "--method", method, "--threshold", 0.2, "--out", out)
    check(out, columns_of(match))
    groups = options["groups"]
    in_all = np.sum(groups[0][:, None] == groups[1])
    words = words_of(shown)
    for text in (
        f" method {method} ",
        f" pairs in all {in_all} ",
        f" matches {len(match)} with iou >= 0.2 ",
        f" matched in A {len(match.rows)} (",
        f" matched in B {len(np.unique(match.cols))} (",
        "boxes per second",
    ):
        assert text in words
    assert " compared" not in words
    assert shown.stderr == ""


@pytest.mark.parametrize("ending", OUTPUTS)
def test_matches_in_every_format(two_files, tmp_path, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet", exc_type=ImportError)
    out = tmp_path / f"matches{ending}"
    run_well("match", *two_files, "--method", "greedy", "--threshold", 0.2, "--out", out)
    a, b = map(read_boxes, two_files)
    options, others = expected_match(a, b, "greedy", 0.2)
    expected = columns_of(fastiou.match(a.boxes, b.boxes, fmt="xywh", **options, **others))
    if ending != ".npz":
        del expected["unmatched_rows"], expected["unmatched_cols"]
    check(out, expected)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(name, marks=pytest.mark.thorough) if name == "coco" else name
        for name in MATCHES
    ],
)
def test_matches_of_masks(masks_of_two_sizes, tmp_path, method):
    a, b = (read_masks(path, scored=True, crowded=True) for path in masks_of_two_sizes)
    one, other = both_as_masks(a, b)
    options, others = expected_match(a, b, method)
    out = tmp_path / "matches.npz"
    arguments = ["--geometry", "mask", "--method", method]
    shown = run_well("match", *masks_of_two_sizes, *arguments, "--out", out)
    match = fastiou.match(one, other, **options, **others)
    assert len(match) > 10
    check(out, columns_of(match))
    assert "masks per second" in shown.stdout


def test_pairs_in_all_do_not_need_a_matrix(tmp_path):
    """More than there are 32-bit integers, few of which are compared."""
    left = np.arange(70_000) * 3.0
    boxes = np.stack([left, 0 * left, left + 1, 0 * left + 1], axis=1)
    np.save(tmp_path / "a.npy", boxes)
    np.savez(tmp_path / "b.npz", boxes=boxes, groups=np.arange(70_000) % 2)
    for name, in_all in (("a.npy", "4,900,000,000"), ("b.npz", "2,450,000,000")):
        words = words_of(run_well("match", tmp_path / name, tmp_path / name))
        compared = re.search(
            rf" pairs in all {in_all} compared ([0-9,]+) pairs found 70,000 ", words
        )
        assert compared
        assert 70_000 <= int(compared[1].replace(",", "")) < 70_000_000


@pytest.mark.parametrize("ending", OUTPUTS)
def test_the_best_few(two_files, tmp_path, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet", exc_type=ImportError)
    a, b = map(read_boxes, two_files)
    grouping = common_groups(a, b)
    groups = grouping.codes_a, grouping.codes_b
    out = tmp_path / f"best{ending}"
    for arguments, k, threshold in (([], 1, 0.5), (["-k", 3], 3, 0.0), (["--top", 99], 99, 0.1)):
        shown = run_well(
            "match", *two_files, "--method", "topk", *arguments, "--threshold", threshold,
            "--out", out,
        )  # fmt: skip
        best = fastiou.topk(a.boxes, b.boxes, k, threshold=threshold, fmt="xywh", groups=groups)
        lines = [
            (row, column, value)
            for row, found in enumerate(zip(best.indices, best.values, strict=True))
            for column, value in zip(*found, strict=True)
            if column >= 0
        ]
        columns = zip(*lines, strict=True)
        check(out, dict(zip(("rows", "cols", "values"), columns, strict=True)))
        words = words_of(shown)
        assert f"topk, the best {k} in B of each in A" in words
        assert (
            f" kept {len(lines)} with iou {f'>= {threshold:g}' if threshold else '> 0'} " in words
        )


def test_the_best_few_masks(masks_of_two_sizes, tmp_path):
    a, b = map(read_masks, masks_of_two_sizes)
    one, other = both_as_masks(a, b)
    grouping = common_groups(a, b)
    best = fastiou.topk(one, other, 2, threshold=0.2, groups=(grouping.codes_a, grouping.codes_b))
    out = tmp_path / "best.npz"
    arguments = ["--geometry", "mask", "--method", "topk", "-k", 2, "--threshold", 0.2]
    run_well("match", *masks_of_two_sizes, *arguments, "--out", out)
    rows, ranks = np.nonzero(best.indices >= 0)
    columns = best.indices[rows, ranks]
    assert len(np.unique(rows)) < len(rows)
    check(out, {"rows": rows, "cols": columns, "values": best.values[rows, ranks]})


def test_pairs_of_masks_are_in_the_order_of_the_file(masks_of_two_sizes, tmp_path):
    out = tmp_path / "pairs.npz"
    run_well("match", *masks_of_two_sizes, "--geometry", "mask", "--out", out)
    found = read_columns(out)
    order = np.lexsort([found["cols"], found["rows"]])
    np.testing.assert_array_equal(order, np.arange(len(order)))
    assert len(order) > 20


@pytest.mark.parametrize("metric", ["giou", "intersection"])
def test_crowds_need_a_share(two_files, tmp_path, entries, metric):
    arguments = ["--method", "coco", "--metric", metric, "--threshold", 0.4]
    result = run("match", *two_files, *arguments)
    if metric == "giou":
        assert result.exit_code == 0
        return
    assert result.exit_code == 2
    assert result.stderr.startswith("fastiou: iscrowd must be None with metric='intersection'")
    for entry in entries[0]:
        entry["iscrowd"] = 0
    (tmp_path / "none.json").write_text(json.dumps(entries[0]))
    run_well("match", two_files[0], tmp_path / "none.json", *arguments)


@pytest.mark.parametrize("method", [*MATCHES, "topk"])
def test_nothing_to_match(tmp_path, two_files, method):
    (tmp_path / "none.json").write_text("[]")
    out = tmp_path / "matches.npz"
    for paths in itertools.permutations((tmp_path / "none.json", two_files[0])):
        shown = run_well("match", *paths, "--method", method, "--out", out)
        assert "0 with iou >= 0.5" in shown.stdout
        found = read_columns(out)
        assert len(found["rows"]) == 0
        if method != "topk":
            counts = [len(found[f"unmatched_{side}"]) for side in ("rows", "cols")]
            assert counts == [0 if path.name == "none.json" else 80 for path in paths]


@pytest.mark.parametrize("method", ["pairs", "coco"])
def test_how_many_is_for_the_best_alone(two_files, method):
    result = run("match", *two_files, "--method", method, "-k", 2)
    message = f"fastiou: --top is for --method topk, not for {method}\n"
    assert (result.exit_code, result.stderr) == (2, message)
    assert run("match", *two_files, "--method", "topk", "-k", 0).exit_code == 2


def test_a_threshold_of_0_is_for_the_best_alone(two_files):
    for method in MATCHES:
        result = run("match", *two_files, "--method", method, "--threshold", 0)
        assert result.exit_code == 2
        assert result.stderr.startswith("fastiou: threshold must be greater than 0")
    result = run("match", *two_files, "--method", "topk", "--threshold", -1)
    assert result.exit_code == 2
    assert result.stderr.startswith("fastiou: threshold must be at least 0")


# ---- scores and crowds of files ----------------------------------------------------------------

BOX = {"image_id": 1, "bbox": [1, 2, 3, 4]}
MASK = {"image_id": 1, "segmentation": {"size": [1, 1], "counts": [0, 1]}}

#: What a file holds, and the message after its name when it is asked for scores.
WITHOUT_SCORES = {
    "csv": (b"x,y,w,h\n1,2,3,4\n", ":1: the first line 'x,y,w,h' names no scores, expected a co"),
    "csv, no header": (b"1.5,2,3,4\n", ":1: 4 columns of numbers, expected 5 (boxes and scores), "),
    "csv, two scores": (b"x,y,w,h,score,score\n", ":1: columns score come twice, expected one"),
    "csv, text": (b"x,y,w,h,conf\n1,2,3,4,?\n", ":2: column 5 (conf) holds '?', expected a finite"),
    "csv, nan": (b"1.5,2,3,4,0.5\n1,2,3,4,nan\n", ":2: column 5 holds 'nan', expected a finite nu"),
    "mot": (b"1,-1,5,5,9,9\n", ":1: 6 columns, expected 7 or more: frame, id, x, y, w, h, conf"),
    "mot, infinite": (b"1,-1,5,5,9,9,inf\n", ":1: column 7 (conf) holds 'inf', expected a finite"),
    "coco": (json.dumps([BOX]).encode(), ':[0]: no "score", expected one in every entry, as resu'),
    "coco, truth": (
        json.dumps({"annotations": [{**BOX, "score": 1}, BOX]}).encode(),
        ':annotations[1]: no "score", expected one in every entry, as results have; --skip-invalid',
    ),
    "coco, text": (json.dumps([{**BOX, "score": "1"}]).encode(), ':[0]: "score": "1", expected a '),
    "coco, nan": (json.dumps([{**BOX, "score": np.nan}]).encode(), ':[0]: "score": NaN, expected '),
    "coco, bool": (json.dumps([{**BOX, "score": True}]).encode(), ':[0]: "score": true, expected'),
    "coco, huge": (json.dumps([{**BOX, "score": 10**400}]).encode(), ':[0]: "score": 1000'),
}


def as_npz(**arrays):
    def write(path):
        with path.open("wb") as file:
            np.savez(file, **arrays)

    return write


def as_npy(array):
    def write(path):
        with path.open("wb") as file:
            np.save(file, array)

    return write


ARRAYS_WITHOUT_SCORES = {
    "npy": (
        as_npy(np.ones((2, 4))),
        ":array: shape (2, 4), dtype float64, expected numbers of sha",
    ),
    "npy, a class behind": (
        as_npy(np.tile([1, 1, 9.5, 9, 0.5, 3], (2, 1))),
        ":array: shape (2, 6), dtype float64, expected numbers of shape (N, 5): boxes, and a score "
        "each, such as array[:, :5]",
    ),
    "npy, infinite": (
        as_npy(np.diag([1, 1, 1, 1, np.inf])),
        ":array[4]: score inf, expected a fin",
    ),
    "npz": (
        as_npz(boxes=np.ones((2, 4))),
        ': holds boxes, expected an array "scores" of shape (2,',
    ),
    "npz, too many": (
        as_npz(boxes=np.ones((2, 4)), scores=np.ones(3)),
        ":scores: shape (3,), dtype float64, expected numbers of shape (2,)",
    ),
    "npz, text": (
        as_npz(boxes=np.ones((1, 4)), scores=["a"]),
        ":scores: shape (1,), dtype <U1, expected numbers of shape (1,)",
    ),
    "npz, nan": (
        as_npz(boxes=np.ones((1, 4)), scores=[np.nan]),
        ":scores[0]: score nan, expected a finite number",
    ),
}


@pytest.mark.parametrize("name", [*WITHOUT_SCORES, *ARRAYS_WITHOUT_SCORES])
def test_scores_that_are_missing_or_malformed(tmp_path, name):
    path, out = tmp_path / "file", tmp_path / "out.npz"
    if name in WITHOUT_SCORES:
        content, message = WITHOUT_SCORES[name]
        path.write_bytes(content)
    else:
        write, message = ARRAYS_WITHOUT_SCORES[name]
        write(path)
    for command in (["nms", path], ["match", path, path, "--method", "coco"]):
        result = run(*command, "--out", out)
        assert result.exit_code == 2, result.output
        # Of coco's files the message also says which comes first.
        assert result.stderr.startswith(f"fastiou: {path}{message.rstrip()}")
        assert result.stderr.count("\n") == 1
        assert not out.exists()


def test_masks_without_scores(tmp_path):
    path = tmp_path / "masks.json"
    path.write_text(json.dumps([MASK]))
    for command in (["nms", path], ["match", path, path, "--method", "coco"]):
        result = run(*command, "--geometry", "mask")
        assert result.exit_code == 2
        assert f'{path}:[0]: no "score", expected one in every entry' in result.stderr


@pytest.mark.parametrize("value", [2, "1", None, 0.5, [1]])
def test_crowds_that_are_malformed(tmp_path, value):
    path, results = tmp_path / "truth.json", tmp_path / "results.json"
    entry = {**BOX, **MASK}
    path.write_text(json.dumps({"annotations": [entry, {**entry, "iscrowd": value}]}))
    results.write_text(json.dumps([{**entry, "score": 1}]))
    for geometry in ("box", "mask"):
        arguments = ["--geometry", geometry, "--method", "coco"]
        result = run("match", results, path, *arguments)
        assert result.exit_code == 2
        where = f'{path}:annotations[1]: "iscrowd": {json.dumps(value)}, expected 0 or 1'
        assert where in result.stderr


def test_nobody_else_minds_scores_and_crowds(tmp_path):
    path = tmp_path / "odd.json"
    path.write_text(json.dumps([{**BOX, **MASK, "score": "?", "iscrowd": "?"}]))
    for geometry in ("box", "mask"):
        run_well("match", path, path, "--geometry", geometry)
    (tmp_path / "odd.csv").write_text("x,y,w,h,score,score\n1,2,3,4,?,?\n")
    run_well("match", tmp_path / "odd.csv", tmp_path / "odd.csv")


SCORES = np.array([0.25, 1e-300, -3, 1])
BOXES = np.array([[0, 0, 4, 5.5], [1, 1, 5, 5], [9, 9, 2, 1], [3, 3, 9, 9]])
ROWS = [
    ",".join(map(repr, (*box, score)))
    for box, score in zip(BOXES.tolist(), SCORES.tolist(), strict=True)
]


@pytest.mark.parametrize(
    ("content", "format_"),
    [
        ("\n".join(ROWS), "csv"),
        ("\n".join(row.replace(",", " ") for row in ROWS), "csv"),
        ("x1,y1,x2,y2,Score\n" + "\n".join(ROWS), "csv"),
        ("cx,cy,w,h,confidence\n" + "\n".join(ROWS), "csv"),
        ("x,y,w,h,score,conf\n" + "\n".join(f"{row},?" for row in ROWS), "csv"),
        (
            "x,y,w,h,conf\n"
            + "\n".join(f'"{row.split(",")[0]}",' + row.split(",", 1)[1] for row in ROWS),
            "csv",
        ),
        ("\n".join(f"1,-1,{row},-1,-1,-1" for row in ROWS), "mot"),
        ("\n".join(f"1,-1,{row}" for row in ROWS), "mot"),
    ],
)
def test_scores_of_text(tmp_path, monkeypatch, content, format_):
    path = tmp_path / "boxes.txt"
    path.write_text(content)
    read = read_boxes(path, scored=True)
    monkeypatch.setattr("fastiou.formats.tables._load_table", lambda *_: None)
    for file in (read, read_boxes(path, scored=True, by=())):
        assert file.format == format_
        np.testing.assert_array_equal(file.boxes, BOXES)
        np.testing.assert_array_equal(file.scores, SCORES)
        assert file.scores.dtype == np.float64
        assert file.crowds is None


def test_scores_of_arrays(tmp_path):
    np.save(tmp_path / "five.npy", np.column_stack([BOXES, SCORES]).astype(">f8"))
    np.savez(tmp_path / "both.npz", boxes=BOXES, scores=SCORES, groups=[1, 1, 2, 2])
    for name in ("five.npy", "both.npz"):
        read = read_boxes(tmp_path / name, scored=True)
        np.testing.assert_array_equal(read.boxes, BOXES)
        np.testing.assert_array_equal(read.scores, SCORES)
        assert read_boxes(tmp_path / "both.npz").scores is None


# ---- nms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", OUTPUTS)
@pytest.mark.parametrize("method", list(SUPPRESSIONS))
def test_nms_of_boxes(two_files, tmp_path, method, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet", exc_type=ImportError)
    file = read_boxes(two_files[0], scored=True)
    sigma = {"sigma": 0.4} if method == "gaussian" else {}
    options = {"method": method, "score_threshold": 0.2, **sigma}
    kept = fastiou.nms(
        file.boxes, file.scores, 0.3, fmt="xywh", groups=common_groups(file).codes_a, **options
    )
    assert 5 < len(kept) < 70
    scores = file.scores[kept]
    if method != "hard":
        _, scores = fastiou.soft_nms(
            file.boxes, file.scores, 0.3, fmt="xywh", groups=common_groups(file).codes_a, **options
        )
        assert (scores < file.scores[kept]).any()
    out = tmp_path / f"kept{ending}"
    shown = run_well(
        "nms", two_files[0], "--threshold", 0.3, "--method", method,
        "--score-threshold", 0.2, "--out", out, *(("--sigma", 0.4) if sigma else ()),
    )  # fmt: skip
    check(out, {"kept": kept, "scores": scores})
    below = int(np.sum(file.scores < 0.2))
    words = words_of(shown)
    for text in (
        "80 from results.json.gz (coco, xywh)",
        "6 by image and category",
        f" method {method}: ",
        f" kept {len(kept)} ({len(kept) / 80:.1%})",
        f" suppressed {80 - below - len(kept)} (",
        f" below score threshold {below} (",
        "boxes per second",
        "peak memory",
        "written to",
    ):
        assert text in words
    assert shown.stderr == ""


def test_nms_without_groups_and_with_a_limit(two_files, tmp_path):
    file = read_boxes(two_files[0], scored=True)
    out = tmp_path / "kept.npz"
    arguments = ["--no-groups", "--metric", "giou", "--max-output", 7]
    shown = run_well("nms", two_files[0], *arguments, "--out", out)
    kept = fastiou.nms(file.boxes, file.scores, metric="giou", fmt="xywh", max_output=7)
    check(out, {"kept": kept, "scores": file.scores[kept]})
    assert "not used: all with all" in shown.stdout
    assert "or beyond --max-output" in shown.stdout
    shown = run_well("nms", two_files[0], "--max-total", 7, "--out", out)
    groups = common_groups(file).codes_a
    kept = fastiou.nms(file.boxes, file.scores, fmt="xywh", groups=groups, max_total=7)
    assert len(kept) == 7
    check(out, {"kept": kept, "scores": file.scores[kept]})
    assert "or beyond --max-total" in shown.stdout


@pytest.mark.parametrize("method", list(SUPPRESSIONS))
def test_nms_of_masks(masks_of_two_sizes, tmp_path, method):
    """Those of all sizes in one order: the scores that soft methods lower decide it."""
    a, b = (read_masks(path, scored=True) for path in masks_of_two_sizes)
    masks, _ = both_as_masks(a, b)
    codes = common_groups(a).codes_a
    kept = fastiou.nms(masks, a.scores, groups=codes, method=method, max_output=30)
    out = tmp_path / "kept.npz"
    arguments = ["--geometry", "mask", "--method", method, "--max-output", 30]
    shown = run_well("nms", masks_of_two_sizes[0], *arguments, "--out", out)
    scores = a.scores[kept]
    if method != "hard":
        _, scores = fastiou.soft_nms(masks, a.scores, groups=codes, method=method, max_output=30)
    check(out, {"kept": kept, "scores": scores})
    assert "masks per second" in shown.stdout
    assert "3 by image and category" in shown.stdout
    alone = run_well("nms", masks_of_two_sizes[0], "--geometry", "mask", "--no-groups")
    assert "3 by image alone" in alone.stdout


def test_results_are_written_as_they_are(tmp_path):
    texts = [
        '{"image_id": 1, "bbox": [0, 0, 4.50, 4e0], "score": 0.5000, "note": "[,]} \\u00e9"}',
        '{"bbox": [0, 0, 4, 4.5],\n  "image_id": 1, "score": 9.00e-1}',
        '{"image_id": 2, "bbox": [0,0,4,4], "score": 1, "big": 123456789012345678901}',
    ]
    path, out = tmp_path / "results.json", tmp_path / "kept.json"
    path.write_text("\ufeff \n[ " + " , ".join(texts) + "\t]\n", encoding="utf-8")
    run_well("nms", path, "--out", out)
    assert out.read_text() == f"[\n{texts[1]},\n{texts[2]}\n]\n"
    assert len(json.loads(out.read_text())) == 2
    run_well("nms", path, "--out", out, "--max-output", 0)
    assert json.loads(out.read_text()) == []
    path.write_text("[]")
    run_well("nms", path, "--out", out)
    assert json.loads(out.read_text()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            json.dumps({"annotations": [{**BOX, "score": 1}]}),
            ": annotations, expected a list of re",
        ),
        ("x,y,w,h,score\n1,2,3,4,1\n", ": boxes as csv, expected coco, for an output"),
    ],
)
def test_results_are_written_from_results_alone(tmp_path, monkeypatch, content, message):
    monkeypatch.delattr(nms, "_suppress")  # before the work
    path = tmp_path / "file"
    path.write_text(content)
    result = run("nms", path, "--out", tmp_path / "kept.json")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"fastiou: {path}{message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "-0.1"], "fastiou: threshold must be at least 0"),
        (["--threshold", "nan"], "fastiou: threshold must be at least 0"),
        (["--method", "gaussian", "--sigma", "nan"], "fastiou: --sigma must be a number, got nan"),
        (["--score-threshold", "nan"], "fastiou: --score-threshold must be a number, got nan"),
        (["--geometry", "mask", "--metric", "giou"], "fastiou: --metric giou is for boxes; masks"),
        (
            ["--geometry", "mask", "--format", "mot"],
            "fastiou: --geometry mask cannot read --format",
        ),
        (
            ["--out", "kept.xml"],
            "fastiou: kept.xml: cannot write '.xml', expected .npz or .csv or ",
        ),
        ([], "fastiou: missing: no such file"),
    ],
)
def test_what_nms_refuses_before_the_work(arguments, message):
    result = run("nms", "missing", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)


@pytest.mark.parametrize(
    "arguments",
    [["--sigma", "0"], ["--max-output", "-1"], ["--method", "coco"], ["--geometry", "labels"]],
)
def test_options_of_nms_that_are_not_known(arguments):
    result = run("nms", "missing", *arguments)
    assert result.exit_code == 2
    assert arguments[1] in result.stderr


def test_nms_never_overwrites_its_input(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{**BOX, "score": 1}]))
    result = run("nms", path, "--out", path)
    assert result.exit_code == 2
    assert "this is an input" in result.stderr


def test_nms_of_nothing(tmp_path):
    (tmp_path / "none.json").write_text("[]")
    for geometry in ("box", "mask"):
        out = tmp_path / "kept.npz"
        run_well("nms", tmp_path / "none.json", "--geometry", geometry, "--out", out)
        assert len(read_columns(out)["kept"]) == 0


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (ValueError("no"), 2)])
def test_what_happens_during_nms(two_files, tmp_path, monkeypatch, error, code):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(fastiou, "nms", fail, raising=False)
    out = tmp_path / "kept.csv"
    result = run("nms", two_files[0], "--out", out)
    assert result.exit_code == code
    assert not out.exists()


@pytest.mark.parametrize(("name", "command"), [("match", ["match", 0, 1]), ("nms", ["nms", 0])])
def test_progress_of_what_tells_none(two_files, name, command):
    arguments = [two_files[x] if isinstance(x, int) else x for x in command]
    method = ["--method", "greedy"] if name == "match" else []
    shown = run_well(*arguments, *method, "--progress")
    for stage in ("reading", "loading kernels", "matching" if name == "match" else "suppressing"):
        assert stage in shown.stderr
    assert run_well(*arguments, *method, "--progress", "--quiet").output == ""


def test_help_names_every_method():
    shown = run_well("match", "--help").stdout
    assert all(f"    {name} " in shown for name in METHODS)
    assert "unmatched" in shown
    shown = run_well("nms", "--help").stdout
    assert all(f"    {name} " in shown for name in SUPPRESSIONS)
    assert "fastiou nms" in shown
    assert "  nms " in run_well("--help").stdout


# ---- real inputs -------------------------------------------------------------------------------


@pytest.mark.parametrize("geometry", ["box", "mask"])
def test_real_results_match_by_the_rule_of_coco(tmp_path, geometry):
    kind = "bbox" if geometry == "box" else "segm"
    paths = (
        real(f"coco/instances_val2014_fake{kind}100_results.json.gz"),
        real("coco/instances_val2014_100.json.gz"),
    )
    out = tmp_path / "matches.npz"
    arguments = ["--geometry", geometry, "--method", "coco"]
    run_well("match", *paths, *arguments, "--out", out)
    found = read_columns(out)
    expected = published_rule(paths, geometry, tmp_path)
    assert dict(zip(found["rows"].tolist(), found["cols"].tolist(), strict=True)) == expected


def published_rule(paths, geometry, folder):
    """Positions of detections and of their truth, by COCO's own evaluation."""
    from contextlib import redirect_stdout
    from io import StringIO

    coco = pytest.importorskip("pycocotools.coco", reason="needs the extra coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval", reason="needs the extra coco")
    unpacked = []
    for path in paths:
        unpacked.append(folder / path.name.removesuffix(".gz"))
        unpacked[-1].write_bytes(gzip.decompress(path.read_bytes()))
    with redirect_stdout(StringIO()):
        truth = coco.COCO(unpacked[1])
        results = truth.loadRes(str(unpacked[0]))
        judged = evaluation.COCOeval(truth, results, "bbox" if geometry == "box" else "segm")
        judged.params.iouThrs = np.array([0.5])
        judged.params.areaRng = [[0, 1e10]]
        judged.params.areaRngLbl = ["all"]
        judged.params.maxDets = [10_000]
        judged.evaluate()
    places = {entry["id"]: place for place, entry in enumerate(truth.dataset["annotations"])}
    expected = {}
    for image in judged.evalImgs:
        for detection, match in (
            zip(image["dtIds"], image["dtMatches"][0], strict=True) if image else ()
        ):
            if match:
                expected[detection - 1] = places[int(match)]
    return expected


def test_nms_of_real_tracks(tmp_path):
    path = real("mot17/MOT17-02-SDP.mpntrack.txt.gz")
    out = tmp_path / "kept.npz"
    run_well("nms", path, "--threshold", 0.3, "--out", out)
    file = read_boxes(path, scored=True)
    rows = np.loadtxt(gzip.decompress(path.read_bytes()).decode().splitlines(), delimiter=",")
    np.testing.assert_array_equal(file.scores, rows[:, 6])
    groups = rows[:, 0].astype(int)
    kept = fastiou.nms(rows[:, 2:6], rows[:, 6], 0.3, fmt="xywh", groups=groups)
    check(out, {"kept": kept, "scores": rows[kept, 6]})
