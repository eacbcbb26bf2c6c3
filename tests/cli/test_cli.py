"""The command `fastiou`, as a user meets it."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_for_tests import real, run, run_well, without

import fastiou
from fastiou.cli import demo, main, members, summary
from fastiou.cli.match import PLOTS
from fastiou.cli.options import METRIC_NAMES
from fastiou.cli.outputs import OUTPUTS
from fastiou.formats.table import read_boxes
from fastiou.metrics import METRICS


def scores(a, b, fmt):
    """Intersection over union of all with all, in plain NumPy."""
    if fmt == "xyxy":
        a, b = (np.concatenate([x[:, :2], x[:, 2:] - x[:, :2]], axis=1) for x in (a, b))
    low = np.maximum(a[:, None, :2], b[:, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[:, :2] + b[:, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    return shared / (a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1) - shared)


def found_by_loop(a, b, groups_a, groups_b, fmt, threshold):
    """Rows, cols and values of all pairs within groups, one group at a time."""
    parts = []
    for group in np.intersect1d(groups_a, groups_b):
        rows, cols = np.flatnonzero(groups_a == group), np.flatnonzero(groups_b == group)
        values = scores(a[rows], b[cols], fmt)
        i, j = np.nonzero(values >= threshold)
        parts.append((rows[i], cols[j], values[i, j]))
    rows, cols, values = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort([cols, rows])
    return rows[order], cols[order], values[order]


@pytest.fixture
def two_files(tmp_path):
    """Boxes of three groups in .npz files, and what they hold."""
    rng = np.random.default_rng(0)
    contents = []
    for name, count in (("a", 40), ("b", 30)):
        corner = rng.uniform(0, 10, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(2, 9, (count, 2))], axis=1)
        groups = rng.integers(0, 3, count)
        np.savez(tmp_path / f"{name}.npz", boxes=boxes, groups=groups)
        contents += [boxes, groups]
    return tmp_path / "a.npz", tmp_path / "b.npz", contents


def check_pairs(path, expected):
    with np.load(path) as found:
        np.testing.assert_array_equal(found["rows"], expected[0])
        np.testing.assert_array_equal(found["cols"], expected[1])
        np.testing.assert_allclose(found["values"], expected[2], rtol=1e-14)


# ---- match -------------------------------------------------------------------------------------


def test_match_finds_the_pairs_within_groups(two_files, tmp_path):
    a, b, (boxes_a, groups_a, boxes_b, groups_b) = two_files
    out = tmp_path / "pairs.npz"
    result = run_well("match", a, b, "--threshold", "0.3", "--out", out)
    expected = found_by_loop(boxes_a, boxes_b, groups_a, groups_b, "xyxy", 0.3)
    check_pairs(out, expected)
    tested = sum(np.sum(groups_a == g) * np.sum(groups_b == g) for g in range(3))
    for text in (
        "40 from a.npz",
        "30 from b.npz",
        "3 by image",
        f"{tested:,}",
        f"{len(expected[0])} with iou >= 0.3",
        f"{len(np.unique(expected[0]))} (",
        f"{len(np.unique(expected[1]))} (",
        "pairs per second",
        "peak memory",
        "0.300 to 0.370",
        "0.930 to 1.000",
    ):
        assert text in result.stdout
    assert result.stderr == ""


def test_match_without_groups(two_files, tmp_path):
    a, b, (boxes_a, groups_a, boxes_b, groups_b) = two_files
    out = tmp_path / "pairs.npz"
    result = run_well("match", a, b, "--no-groups", "--out", out)
    everyone = np.zeros_like(groups_a), np.zeros_like(groups_b)
    check_pairs(out, found_by_loop(boxes_a, boxes_b, *everyone, "xyxy", 0.5))
    assert "not used: all with all" in result.stdout
    np.save(tmp_path / "bare.npy", boxes_b)
    result = run("match", a, tmp_path / "bare.npy")
    assert result.exit_code == 2
    assert "only A has image, so nothing tells what may meet (--by none" in result.stderr
    run_well("match", a, tmp_path / "bare.npy", "--by", "none")


def test_match_converts_layouts_that_differ(two_files, tmp_path):
    a, _, (boxes_a, groups_a, boxes_b, groups_b) = two_files
    centred = fastiou.box_convert(boxes_b, "xyxy", "cxcywh")
    np.savez(tmp_path / "c.npz", boxes=centred, groups=groups_b, fmt="cxcywh")
    run_well("match", a, tmp_path / "c.npz", "--out", tmp_path / "pairs.npz")
    check_pairs(
        tmp_path / "pairs.npz", found_by_loop(boxes_a, boxes_b, groups_a, groups_b, "xyxy", 0.5)
    )
    np.save(tmp_path / "d.npy", fastiou.box_convert(boxes_b, "xyxy", "xywh"))
    run_well(
        "match", tmp_path / "d.npy", tmp_path / "d.npy", "--boxes", "xywh", "--threshold", 1,
        "--out", tmp_path / "same.npz",
    )  # fmt: skip
    with np.load(tmp_path / "same.npz") as same:
        np.testing.assert_array_equal(same["rows"], np.arange(30))
        np.testing.assert_array_equal(same["cols"], np.arange(30))


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_every_metric_can_be_asked_for(two_files, tmp_path, metric):
    a, b, _ = two_files
    fmt = "xyxy"
    if metric == "probiou":  # of rotated boxes alone
        a = b = tmp_path / "rotated.npy"
        fmt = "cxcywhr"
        np.save(a, [[10.0, 10, 8, 4, 30], [40, 10, 8, 4, 0]])
    result = run_well("match", a, b, "--boxes", fmt, "--metric", metric, "--threshold", "0.2")
    assert f"with {metric} >= 0.2" in result.stdout


def test_the_names_of_metrics_are_those_of_the_library():
    assert list(METRICS) == list(METRIC_NAMES)


@pytest.mark.parametrize("ending", OUTPUTS)
def test_match_writes_every_format(two_files, tmp_path, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet", exc_type=ImportError)
    a, b, _ = two_files
    out = tmp_path / f"pairs{ending}"
    result = run_well("match", a, b, "--out", out)
    assert out.stat().st_size > 0
    assert "written to" in result.stdout


@pytest.mark.parametrize("metric", ["iou", "intersection"])
@pytest.mark.parametrize("ending", PLOTS)
def test_match_plots(two_files, tmp_path, ending, metric):
    pytest.importorskip("matplotlib", reason="needs the extra plot", exc_type=ImportError)
    a, b, _ = two_files
    plot = tmp_path / f"values{ending}"
    run_well("match", a, b, "--plot", plot, "--metric", metric)
    assert plot.stat().st_size > 1000
    run_well("match", a, b, "--plot", plot, "--threshold", "1")


def test_no_boxes_and_no_pairs(tmp_path, two_files):
    (tmp_path / "none.csv").write_text("group,x1,y1,x2,y2\n")
    (tmp_path / "nan.csv").write_text("group,x1,y1,x2,y2\n1,nan,0,1,1\n")
    for a in ("none.csv", "nan.csv"):
        for b in (tmp_path / "none.csv", two_files[1]):
            out = tmp_path / "pairs.npz"
            result = run_well("match", tmp_path / a, b, "--out", out)
            assert "0 with iou >= 0.5" in result.stdout
            with np.load(out) as found:
                assert all(len(found[name]) == 0 for name in ("rows", "cols", "values"))


def test_quiet_is_quiet(two_files):
    a, b, _ = two_files
    result = run_well("match", a, b, "--quiet", "--progress")
    assert (result.stdout, result.stderr) == ("", "")


def test_progress_is_shown_when_forced(two_files, tmp_path):
    a, b, _ = two_files
    result = run_well("match", a, b, "--progress", "--out", tmp_path / "pairs.csv")
    for stage in ("reading", "loading kernels", "matching", "writing", "100%"):
        assert stage in result.stderr
    assert run_well("match", a, b).stderr == ""


def test_brackets_in_names_are_no_markup(two_files, tmp_path):
    a, b, _ = two_files
    odd = tmp_path / "[bold]a[red].npz"
    a.rename(odd)
    assert "[bold]a[red].npz" in run_well("match", odd, b).stdout


# ---- what goes wrong ---------------------------------------------------------------------------


def test_a_bad_file_ends_with_code_2(two_files, tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_text("1,-1,0,0,5,5,1\n2,-1,0,x,5,5,1\n")
    for arguments in ((bad, two_files[1]), (two_files[0], bad)):
        result = run("match", *arguments)
        assert result.exit_code == 2
        assert result.stderr == (f"fastiou: {bad}:2: column 4 (y) holds 'x', expected a number\n")


@pytest.mark.parametrize("threshold", ["0", "-1", "nan", "1.5"])
def test_a_threshold_that_pairs_refuses(two_files, threshold):
    result = run("match", *two_files[:2], "--threshold", threshold)
    assert result.exit_code == 2
    assert result.stderr.startswith("fastiou: threshold must be greater than 0")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--metric", "nothing"],
        ["--method", "nothing"],
        ["--format", "nothing"],
        ["--boxes", "nothing"],
        ["--threshold", "x"],
        ["--unknown"],
    ],
)
def test_options_that_are_not_known(two_files, arguments):
    result = run("match", *two_files[:2], *arguments)
    assert result.exit_code == 2
    assert arguments[-1] in result.stderr


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--out", "pairs.txt", "cannot write '.txt', expected .npz or .csv or .parquet"),
        ("--out", "missing/pairs.npz", "there is no folder"),
        ("--plot", "plot.npz", "cannot write '.npz', expected .png"),
        ("--plot", "missing/plot.png", "there is no folder"),
    ],
)
def test_outputs_are_checked_before_the_work(tmp_path, option, name, message):
    # That there is no input shows only later.
    result = run("match", tmp_path / "none", tmp_path / "none", option, tmp_path / name)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "fastiou: interrupted\n"),
        (MemoryError("needs 9 TiB"), 2, "fastiou: needs 9 TiB\n"),
        (MemoryError(), 2, "fastiou: out of memory\n"),
        (
            OSError(28, "No space left on device"),
            2,
            "fastiou: [Errno 28] No space left on device\n",
        ),
    ],
)
def test_what_happens_during_the_work(two_files, monkeypatch, tmp_path, error, code, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(fastiou, "pairs", fail, raising=False)
    out = tmp_path / "pairs.npz"
    result = run("match", *two_files[:2], "--out", out)
    assert (result.exit_code, result.stderr) == (code, message)
    assert not out.exists()


def test_an_error_of_ours_is_not_hidden(two_files, monkeypatch):
    def fail(*_):
        raise ValueError("a defect")

    monkeypatch.setattr(members, "common_groups", fail)
    result = run("match", *two_files[:2])
    assert isinstance(result.exception, ValueError)


@pytest.mark.parametrize("module", ["click", "rich"])
def test_without_the_extra_the_command_says_so(monkeypatch, capsys, module):
    without(monkeypatch, module)
    with pytest.raises(SystemExit) as ended:
        main.main(["demo"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "fastiou: the command needs: pip install 'fastiou[cli]'\n"


def test_without_matplotlib_a_plot_is_refused_at_once(monkeypatch, tmp_path):
    commands = main.commands()
    without(monkeypatch, "matplotlib")
    plot = tmp_path / "plot.png"
    result = run("match", "none", "none", "--plot", plot, commands=commands)
    assert result.exit_code == 2
    assert result.stderr == "fastiou: --plot needs: pip install 'fastiou[plot]'\n"


# ---- the other commands ------------------------------------------------------------------------


def test_demo_runs_match_on_a_scene(tmp_path):
    result = run_well("demo", "--frames", 60, "--keep", tmp_path / "new" / "scene")
    assert "60 by image" in result.stdout
    truth, detections = (
        tmp_path / "new" / "scene" / f"{name}.txt.gz" for name in ("truth", "detections")
    )
    same = run_well("match", truth, detections)
    found = [
        next(line for line in output.splitlines() if "pairs found" in line)
        for output in (result.stdout, same.stdout)
    ]
    assert found[0].split() == found[1].split()


def test_a_scene_is_determined_by_its_seed(tmp_path):
    written = []
    for index, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(index)
        folder.mkdir()
        paths = demo.write_scene(demo.make_scene(50, seed), folder)
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert written[0] != written[2]


@pytest.mark.parametrize("frames", [1, 2, 300])
def test_a_scene_is_one_that_a_camera_could_see(frames):
    scene = demo.make_scene(frames, seed=frames)
    for track in (scene.truth, scene.detections):
        assert np.isfinite(track.boxes).all()
        assert (track.boxes[:, 2:] >= 1).all()
        assert track.frames.min() >= 1
        assert track.frames.max() <= frames
        assert ((track.scores >= 0) & (track.scores <= 1)).all()
    truth = scene.truth
    assert len(np.unique(np.stack([truth.frames, truth.ids]), axis=1).T) == len(truth.frames)
    # Nobody jumps: from one frame to the next, a box moves by a fraction of its size.
    stays = (np.diff(truth.ids) == 0) & (np.diff(truth.frames) == 1)
    moved = np.abs(np.diff(truth.boxes[:, 0]))[stays]
    assert (moved <= 2 + 0.35 * truth.boxes[1:, 2][stays]).all()
    assert 15 <= len(truth.frames) / frames <= 60
    assert 0.8 <= len(scene.detections.frames) / len(truth.frames) <= 1.2


def test_info():
    result = run_well("info")
    for text in ("fastiou", fastiou.__version__, "numba", "threads", "cache folder"):
        assert text in result.stdout


def test_warmup(monkeypatch):
    def warm_up(progress, processes):
        assert processes >= 1
        progress(0, 1, "iou of a few boxes")
        progress(1, 1, "done")

    monkeypatch.setattr("fastiou.config.warm_up", warm_up)
    result = run_well("warmup", "--progress")
    assert "The kernels are ready after" in result.stdout
    assert "done" in result.stderr
    assert run_well("warmup", "--quiet").output == ""


def test_help_and_version():
    assert fastiou.__version__ in run_well("--version").stdout
    for command in ("match", "nms", "demo", "info", "warmup"):
        assert f"fastiou {command}" in run_well(command, "--help").stdout


def test_a_process_of_its_own_ends_with_the_right_code(two_files, tmp_path):
    command = [sys.executable, "-c", "from fastiou.cli.main import main; main()", "match"]
    root = Path(fastiou.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_NUM_THREADS": "1"}
    for arguments, code in ((two_files[:2], 0), ((tmp_path / "none",) * 2, 2)):
        ended = subprocess.run(
            [*command, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        assert "Traceback" not in ended.stderr


def test_help_does_not_wait_for_numba():
    code = (
        "import sys; from fastiou.cli.main import commands; commands(); "
        "sys.exit('numba' in sys.modules)"
    )
    root = Path(fastiou.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


# ---- what is shown -----------------------------------------------------------------------------


def test_histogram_counts_everything_once():
    values = np.array([0.25, 0.3, 0.999, 1.0])
    counted = summary.histogram(values, 0.25, 1.0, bins=3)
    assert counted.counts.tolist() == [2, 0, 2]
    assert summary.histogram(values * 40, 10, None).counts.sum() == 4
    assert summary.histogram(np.ones(5), 1.0, 1.0).counts.tolist() == [5]
    assert summary.histogram(np.ones(0), 0.5, None).counts.sum() == 0


@pytest.mark.parametrize(("encoding", "bar"), [("utf-8", "█"), ("ascii", "#")])
def test_bars_fit_the_encoding(monkeypatch, encoding, bar):
    class Stream:
        pass

    Stream.encoding = encoding
    monkeypatch.setattr(summary.sys, "stdout", Stream())
    bars = summary.histogram_bars(summary.Histogram(np.array([1, 0, 400]), np.arange(4.0)))
    assert list(bars.columns[-1].cells) == [bar, "", bar * summary.LONGEST_BAR]


def test_peak_memory_is_in_bytes():
    peak = summary.peak_memory()
    assert peak is None or 2**24 < peak < 2**40


# ---- real inputs -------------------------------------------------------------------------------


def test_match_of_a_real_sequence_is_what_a_loop_finds(tmp_path):
    paths = real("mot17/MOT17-04.gt.txt.gz"), real("mot17/MOT17-04-SDP.mpntrack.txt.gz")
    out = tmp_path / "pairs.npz"
    run_well("match", *paths, "--threshold", "0.5", "--out", out)
    truth, tracks = (
        np.loadtxt(gzip.decompress(path.read_bytes()).decode().splitlines(), delimiter=",")
        for path in paths
    )
    check_pairs(
        out,
        found_by_loop(truth[:, 2:6], tracks[:, 2:6], truth[:, 0], tracks[:, 0], "xywh", 0.5),
    )


def test_match_of_real_detections_meets_only_within_image_and_category(tmp_path):
    paths = (
        real("coco/instances_val2014_100.json.gz"),
        real("coco/instances_val2014_fakebbox100_results.json.gz"),
    )
    out = tmp_path / "pairs.npz"
    result = run_well("match", *paths, "--out", out)
    assert "by image and category" in result.stdout
    a, b = map(read_boxes, paths)
    codes = [
        file.keys["image"] * 1000 + file.keys["category"]  # categories of COCO end at 90
        for file in (a, b)
    ]
    check_pairs(out, found_by_loop(a.boxes, b.boxes, *codes, "xywh", 0.5))


def test_an_input_is_never_overwritten(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("x1,y1,x2,y2\n0,0,1,1\n")
    result = run("match", path, path, "--out", path)
    assert result.exit_code == 2
    assert "this is an input" in result.stderr
    assert path.read_text() == "x1,y1,x2,y2\n0,0,1,1\n"


@pytest.mark.parametrize("threshold", ["0", "nan", "2"])
def test_the_threshold_is_checked_before_the_files(threshold):
    result = run("match", "missing", "missing", "--threshold", threshold)
    assert result.exit_code == 2
    assert "threshold must be greater than 0" in result.stderr


def test_boxes_that_can_match_nothing_are_counted(tmp_path):
    path = tmp_path / "boxes.npy"
    np.save(path, np.array([[0, 0, 1, 1], [np.nan, 0, 1, 1], [5, 5, 2, 2], [0, 0, 1, 1.0]]))
    result = run_well("match", path, path)
    assert "1 with NaN" in result.stdout
    assert "1 empty or" in result.stdout


def test_values_that_round_above_1_are_in_the_histogram():
    counted = summary.histogram(np.array([0.5, 1.0, np.nextafter(1, 2)]), 0.5, 1.0, bins=2)
    assert counted.counts.tolist() == [1, 2]


def test_python_runs_the_package():
    command = [sys.executable, "-m", "fastiou", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert fastiou.__version__ in ended.stdout
