"""`fastiou match` of label images."""

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command_for_tests import real, run, run_well, words_of
from images_for_tests import image_bytes, npy_bytes

import fastiou

FRAMES, HEIGHT, WIDTH = 3, 40, 50


def scenes(rng, dtype=np.uint8, count=FRAMES):
    """Rectangles of labels, and the same moved a little and partly relabelled."""
    a, b = np.zeros((2, count, HEIGHT, WIDTH), dtype)
    for frame in range(count):
        for label in range(1, 7):
            top, left = rng.integers(0, HEIGHT - 12), rng.integers(0, WIDTH - 12)
            a[frame, top : top + 10, left : left + 10] = label
            down, right = rng.integers(0, 3, 2)
            other = 9 if label % 3 == 0 else label
            b[frame, top + down : top + 10 + down, left + right : left + 10 + right] = other
    return a, b


def found_by_loop(a, b, threshold, frames=None, metric="iou"):
    """Rows, cols, values and frames, one pair of labels at a time."""
    rows = []
    for number, one, other in zip(range(len(a)) if frames is None else frames, a, b, strict=True):
        for i in np.unique(one[one != 0]).tolist():
            for j in np.unique(other[other != 0]).tolist():
                shared = np.sum((one == i) & (other == j))
                whole = np.sum((one == i) | (other == j))
                if metric == "dice":
                    shared, whole = 2 * shared, np.sum(one == i) + np.sum(other == j)
                if shared and shared / whole >= threshold:
                    rows.append((i, j, shared / whole, number))
    return [np.array(column) for column in zip(*rows, strict=True)] or [np.empty(0)] * 4


def check_pairs(path, expected, dtype=np.int64):
    with np.load(path) as found:
        assert found.files == ["rows", "cols", "values", "frames"]
        for name, column in zip(found.files, expected, strict=True):
            np.testing.assert_array_equal(found[name], column)
        dtypes = [dtype, dtype, np.float64, np.int64]
        assert [found[name].dtype for name in found.files] == dtypes


def objects(stack):
    return sum(len(np.unique(image[image != 0])) for image in stack)


def line(shown, name):
    return next(line for line in shown.stdout.splitlines() if f" {name} " in line)


@pytest.mark.parametrize("threshold", [0.2, 0.7])
def test_stacks_of_labels(tmp_path, rng, threshold):
    a, b = scenes(rng)
    paths = tmp_path / "a.npy", tmp_path / "b.npy"
    for path, stack in zip(paths, (a, b), strict=True):
        path.write_bytes(npy_bytes(stack))
    out = tmp_path / "pairs.npz"
    shown = run_well("match", *paths, "--threshold", threshold, "--out", out)
    expected = found_by_loop(a, b, threshold)
    assert len(set(expected[3])) > 1
    check_pairs(out, expected)
    tested = len(found_by_loop(a, b, 1e-9)[0])
    assert f" {objects(a)} from a.npy (NPY) " in line(shown, "objects in A")
    assert f" {objects(b)} from b.npy (NPY) " in line(shown, "objects in B")
    assert f" {FRAMES} " in line(shown, "frames")
    assert f" {tested} that share pixels " in line(shown, "compared")
    assert f" {len(expected[0])} with iou >= {threshold}" in line(shown, "pairs found")
    for name, column in (("matched in A", 0), ("matched in B", 1)):
        matched = len(set(zip(expected[column], expected[3], strict=True)))
        count = objects((a, b)[column])
        assert f" {matched} ({matched / count:.1%}) " in line(shown, name)
    assert "counting objects" in shown.stdout
    assert "pixels per second" in shown.stdout
    assert shown.stderr == ""


def test_single_images_of_several_formats(tmp_path, rng):
    pytest.importorskip("PIL", reason="images need the extra images")
    (a, *_), (b, *_) = scenes(rng)
    (tmp_path / "a").write_bytes(image_bytes(a, "PNG", "P"))
    (tmp_path / "b").write_bytes(image_bytes(b, "TIFF"))
    out = tmp_path / "pairs.npz"
    expected = found_by_loop([a], [b], 0.4, metric="dice")
    for geometry in ("auto", "labels"):
        arguments = ["--metric", "dice", "--threshold", 0.4, "--geometry", geometry]
        shown = run_well("match", tmp_path / "a", tmp_path / "b", *arguments, "--out", out)
        check_pairs(out, expected)
        assert " 1 " in line(shown, "frames")


def test_folders_meet_by_name(tmp_path, rng):
    pytest.importorskip("PIL", reason="images need the extra images")
    a, b = scenes(rng, count=7)
    for side, stack, kind in (("a", a, "PNG"), ("b", b, "TIFF")):
        (tmp_path / side).mkdir()
        for frame, image in enumerate(stack):
            if (side, frame) not in [("a", 6), ("b", 0), ("b", 2), ("b", 3), ("b", 5)]:
                path = tmp_path / side / f"{frame:03}.{kind.lower()}"
                path.write_bytes(image_bytes(image, kind))
    (tmp_path / "b" / "notes.txt").write_text("")
    out = tmp_path / "pairs.npz"
    shown = run_well("match", tmp_path / "a", tmp_path / "b", "--threshold", 0.2, "--out", out)
    common = [1, 4]
    check_pairs(out, found_by_loop(a[common], b[common], 0.2, frames=common))
    assert f" {len(common)} by name " in line(shown, "frames")
    assert " 4, not compared: 000, 002, 003, … " in line(shown, "only in A")
    assert " 1, not compared: 006 " in line(shown, "only in B")
    words = words_of(shown)
    assert "(3 images, 1 other files left out)" in words
    assert "(6 images)" in words


def colour_bytes(ids):
    """A PNG whose colours are numbers, as COCO's panoptic images."""
    return image_bytes(
        np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype("u1"), "PNG"
    )


def test_colours_are_labels_with_the_format_panoptic(tmp_path, rng):
    pytest.importorskip("PIL", reason="images need the extra images")
    a, b = (stack * 70_001 for stack in scenes(rng, np.int64))
    out = tmp_path / "pairs.npz"
    for side, stack in (("a", a), ("b", b)):
        (tmp_path / side).mkdir()
        for frame, image in enumerate(stack):
            (tmp_path / side / f"{frame}.png").write_bytes(colour_bytes(image))
    for geometry in ("auto", "labels"):
        arguments = ["--format", "panoptic", "--geometry", geometry, "--out", out]
        shown = run_well("match", tmp_path / "a", tmp_path / "b", *arguments)
        check_pairs(out, found_by_loop(a, b, 0.5))
        assert f"({FRAMES} panoptic images)" in words_of(shown)
        shown = run_well("match", tmp_path / "a/1.png", tmp_path / "b/1.png", *arguments)
        check_pairs(out, found_by_loop(a[1:2], b[1:2], 0.5))
        assert "from 1.png (panoptic PNG)" in words_of(shown)
    np.save(tmp_path / "b.npy", b[1])
    formats = ["--format-a", "panoptic", "--format-b", "labels"]
    run_well("match", tmp_path / "a/1.png", tmp_path / "b.npy", *formats, "--out", out)
    check_pairs(out, found_by_loop(a[1:2], b[1:2], 0.5))


def test_colours_are_refused_with_the_option_that_reads_them(tmp_path):
    pytest.importorskip("PIL", reason="images need the extra images")
    path = tmp_path / "a.png"
    path.write_bytes(colour_bytes(np.zeros((4, 5), int)))
    for arguments in ([], ["--geometry", "labels"], ["--format", "labels"]):
        for paths in ((path, path), (tmp_path, tmp_path)):
            result = run("match", *paths, *arguments)
            assert (result.exit_code, result.stderr) == (
                2,
                f"fastiou: {path}: an image of colours (RGB), expected a palette or grey, where a "
                "pixel is a label; --format panoptic reads colours of PNG as COCO's ids, R + 256 G "
                "+ 65536 B\n",
            )


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_frames_are_written_in_every_format(tmp_path, rng, ending):
    if ending == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)
    a, b = scenes(rng)
    (tmp_path / "a.npy").write_bytes(npy_bytes(a))
    (tmp_path / "b.npy").write_bytes(npy_bytes(b))
    out = tmp_path / f"pairs{ending}"
    run_well("match", tmp_path / "a.npy", tmp_path / "b.npy", "--out", out)
    expected = found_by_loop(a, b, 0.5)
    if ending == ".csv":
        header, *lines = out.read_text().splitlines()
        columns = zip(*(map(float, row.split(",")) for row in lines), strict=True)
        names = header.split(",")
    else:
        table = parquet.read_table(out)
        columns, names = table.to_pydict().values(), table.column_names
    assert names == ["rows", "cols", "values", "frames"]
    for column, written in zip(columns, expected, strict=True):
        np.testing.assert_array_equal(list(column), written)


def test_boxes_have_no_frames(tmp_path):
    np.save(tmp_path / "boxes.npy", np.array([[0, 0, 1, 1], [2, 2, 4, 4]]))
    out = tmp_path / "pairs.npz"
    run_well("match", tmp_path / "boxes.npy", tmp_path / "boxes.npy", "--out", out)
    assert zipfile.ZipFile(out).namelist() == ["rows.npy", "cols.npy", "values.npy"]


def test_integers_four_wide_are_boxes_unless_told(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[0, 0, 5, 5], [0, 3, 3, 5]]))
    assert "boxes in A" in run_well("match", path, path).stdout
    for arguments in (["--format", "labels"], ["--format-b", "labels"], ["--geometry", "labels"]):
        assert "objects in A" in run_well("match", path, path, *arguments).stdout
    result = run("match", path, path, "--geometry", "box", "--format", "labels")
    assert result.exit_code == 2
    assert "--geometry box cannot read --format labels, but npy or npz" in result.stderr


def test_labels_of_64_bits_are_exact(tmp_path):
    large = 2**63 + 1
    a = np.array([[[1, 1, 0]], [[large, large, 0]], [[3, 0, 0]]], np.uint64)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", np.array([[[-5, -5, 0]], [[2, 2, 0]], [[0, 0, 0]]]))
    out = tmp_path / "pairs.npz"
    run_well("match", tmp_path / "a.npy", tmp_path / "a.npy", "--out", out)
    check_pairs(out, ([1, large, 3], [1, large, 3], [1.0] * 3, [0, 1, 2]), np.uint64)
    told = run_well("match", tmp_path / "b.npy", tmp_path / "b.npy", "--out", out).stderr
    assert "b.npy: label -5, and what else is below 0, is an object: 0 alone is none\n" in told
    check_pairs(out, ([-5, 2], [-5, 2], [1.0] * 2, [0, 1]))
    run_well("match", tmp_path / "a.npy", tmp_path / "b.npy", "--out", out)
    with np.load(out) as found:
        assert (found["rows"].tolist(), found["cols"].tolist()) == ([1, large], [-5, 2])
    folders = tmp_path / "c", tmp_path / "d"
    for folder in folders:
        folder.mkdir()
        np.save(folder / "0.npy", np.array([[-1, 0]]))
        np.save(folder / "1.npy", np.array([[large, 0]], np.uint64))
    result = run("match", *folders, "--out", out)
    assert result.exit_code == 2
    assert "they have no integer type in common" in result.stderr


def test_one_label_counts_once_in_every_frame(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((3, 4, 5), np.uint8))
    shown = run_well("match", path, path)
    for name in ("matched in A", "matched in B"):
        assert " 3 (100.0%) " in line(shown, name)


@pytest.mark.parametrize("shape", [(0, 4, 5), (2, 0, 5), (0, 5), (1, 4, 5)])
def test_nothing_to_compare(tmp_path, shape):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(shape, np.uint8))
    out = tmp_path / "pairs.npz"
    shown = run_well("match", path, path, "--out", out)
    assert "0 with iou >= 0.5" in shown.stdout
    check_pairs(out, ([], [], [], []))


def test_progress_and_quiet(tmp_path, rng):
    a, _ = scenes(rng)
    path = tmp_path / "a.npy"
    path.write_bytes(npy_bytes(a))
    shown = run_well("match", path, path, "--progress")
    for stage in ("reading", "loading kernels", "matching", "100%"):
        assert stage in shown.stderr
    assert run_well("match", path, path, "--quiet", "--progress").output == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_read_but_once(tmp_path, rng):
    a, _ = scenes(rng)
    path, pipe = tmp_path / "a.npy", tmp_path / "pipe"
    path.write_bytes(npy_bytes(a))
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "fastiou", "match", pipe, path]
    environment = {**os.environ, "PYTHONPATH": str(Path(fastiou.__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    threading.Thread(target=pipe.write_bytes, args=[npy_bytes(a)], daemon=True).start()
    try:
        # Whoever opens the pipe again waits for ever.
        assert b"objects in A" in process.communicate(timeout=100)[0]
    finally:
        process.kill()


# ---- what goes wrong ---------------------------------------------------------------------------


def test_images_of_two_sizes(tmp_path):
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    np.save(a, np.zeros((4, 5), int))
    np.save(b, np.zeros((5, 4), int))
    out = tmp_path / "pairs.npz"
    result = run("match", a, b, "--geometry", "labels", "--out", out)
    assert result.exit_code == 2
    assert result.stderr == f"fastiou: {b}: 5 × 4 pixels, expected 4 × 5 pixels, as {a} has\n"
    np.save(a, np.zeros((3, 4, 5), int))
    np.save(b, np.zeros((3, 4, 6), int))
    assert f"{b}:frame 0: 4 × 6 pixels, expected" in run("match", a, b).stderr
    np.save(b, np.zeros((2, 4, 5), int))
    assert f"{b}: 2 frames, expected 3, as {a} has" in run("match", a, b).stderr
    folders = tmp_path / "c", tmp_path / "d"
    for folder, width in zip(folders, (5, 6), strict=True):
        folder.mkdir()
        np.save(folder / "x.npy", np.zeros((4, 5), int))
        np.save(folder / "y.npy", np.zeros((4, width), int))
    result = run("match", *folders, "--out", out)
    assert result.exit_code == 2
    assert f"{folders[1]}:y: 4 × 6 pixels, expected 4 × 5 pixels" in result.stderr
    assert not out.exists()


def test_options_that_labels_do_not_have(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 5), int))
    for arguments, message in (
        (["--no-groups"], "--by and --no-groups are not for label images"),
        (["--metric", "ciou"], "--metric ciou is for boxes; label images have iou, iof, ios"),
        (
            ["--format-b", "coco"],
            "--geometry labels cannot read --format coco, but labels or panoptic",
        ),
    ):
        for geometry in ("auto", "labels"):
            result = run("match", path, path, "--geometry", geometry, *arguments)
            assert result.exit_code == 2
            assert result.stderr.startswith(f"fastiou: {message}")


def test_boxes_and_labels_cannot_be_compared(tmp_path):
    labels, boxes, text = tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "c.csv"
    np.save(labels, np.zeros((4, 5), int))
    np.save(boxes, np.zeros((4, 4)))
    text.write_text("1,2,3,4\n")
    for paths, bad in (((labels, boxes), boxes), ((labels, text), text), ((boxes, labels), labels)):
        result = run("match", *paths)
        assert result.exit_code == 2
        assert f"fastiou: {bad}:" in result.stderr
    assert f"fastiou: {labels}: this could be a class" in run("match", boxes, tmp_path).stderr
    assert "expected a folder, as" in run("match", tmp_path, labels, "--geometry", "labels").stderr


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    path, out = tmp_path / "a.npy", tmp_path / "pairs.npz"
    np.save(path, np.zeros((2, 4, 5), int))
    original = fastiou.label_overlap
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(fastiou, "label_overlap", interrupted, raising=False)
    result = run("match", path, path, "--out", out)
    assert (result.exit_code, result.stderr) == (130, "fastiou: interrupted\n")
    assert not out.exists()


# ---- real inputs -------------------------------------------------------------------------------


def test_real_segmentations_of_a_video(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="images need the extra images")
    folders = real("davis/rvos/soapbox"), real("davis/osvos/soapbox")
    out = tmp_path / "pairs.npz"
    shown = run_well("match", *folders, "--threshold", 0.3, "--out", out)
    stacks = [
        np.stack([np.asarray(image.open(path)) for path in sorted(folder.glob("*.png"))])
        for folder in folders
    ]
    assert "20 by name" in shown.stdout
    check_pairs(out, found_by_loop(*stacks, 0.3))


def test_real_panoptic_segmentations(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="images need the extra images")
    folders = real("eval/panoptic/panoptic_examples"), real("eval/panoptic/pred")
    out = tmp_path / "pairs.npz"
    shown = run_well("match", *folders, "--format", "panoptic", "--out", out)
    parts = []
    for frame, path in enumerate(sorted(folders[0].glob("*.png"))):
        pair = [np.asarray(image.open(folder / path.name)).astype(int) for folder in folders]
        ids = [colours @ [1, 256, 65536] for colours in pair]
        parts.append(found_by_loop(*([one] for one in ids), 0.5, frames=[frame]))
    expected = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    assert len(expected[0]) > 10
    check_pairs(out, expected)
    assert "2 by name" in words_of(shown)
