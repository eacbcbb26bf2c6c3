"""The benchmark suite: bounds write what they should, peers agree, and the report reads the run."""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

# The suite is not part of the package; behind everything else, so that an installed fastiou wins.
sys.path.append(str(Path(__file__).parents[1]))

from bench import (
    bounds,
    box_peers,
    join_peers,
    mask_peers,
    peers,
    quadrilateral_peers,
    report,
    run,
    scaling,
    segment_peers,
    space_peers,
)  # fmt: skip

SIZES = [0, 1, 7, 16, 31, 1000, 100_003]


@pytest.mark.parametrize("fill", [bounds.stream_fill, bounds.plain_fill])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_fills_write_the_buffer_and_nothing_else(fill, dtype, size, offset):
    whole = np.full(size + offset + 40, 9, dtype)
    fill(whole[offset : offset + size], 3)
    assert (whole[offset : offset + size] == 3).all()
    assert (whole[:offset] == 9).all()
    assert (whole[offset + size :] == 9).all()


@pytest.mark.parametrize("fill", [bounds.stream_fill, bounds.plain_fill])
def test_fills_take_any_number_of_dimensions(fill):
    buffer = np.zeros((330, 777), np.float32)
    fill(buffer, 2)
    assert (buffer == 2).all()


@pytest.mark.parametrize("size", [*SIZES, 3_200_005])
@pytest.mark.parametrize("offset", [0, 3])
def test_read_sees_every_byte(rng, size, offset):
    data = rng.integers(0, 256, size + offset, np.uint8)[offset:]
    words = data[: size // 8 * 8].view(np.uint64)
    rest = data[size // 8 * 8 :]
    # The sum is taken modulo 2^64; words are read where they lie, aligned or not.
    assert bounds.read(data) == int(words.sum(dtype=np.uint64)) + int(rest.sum())


#: Those that compile much, one by one, are thorough.
COMPILE_MUCH = {
    *quadrilateral_peers.QUADRILATERAL_WORKLOADS,
    *segment_peers.SEGMENT_WORKLOADS,
    *space_peers.SPACE_WORKLOADS,
}
NAMES = [
    pytest.param(name, marks=[pytest.mark.thorough] * (name in COMPILE_MUCH))
    for name in peers.WORKLOADS
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("default")  # of peers, which may be older than the tests
def test_peers_agree(name):
    results = {
        library: contender.read(call())
        for library, contender, call in peers.set_up(name, 12)
        if peers.LIBRARIES[library].kind != "bound"
    }
    assert "fastiou" in results
    for library, result in results.items():
        peers.check_agreement(name, library, results["fastiou"], result)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_peer_is_noticed(name):
    workload = peers.WORKLOADS[name]
    ours = workload.contenders["fastiou"]
    # So many boxes that some pairs are found, and so few masks that one thread will do.
    size = 60 if name in {**box_peers.BOX_WORKLOADS, **join_peers.JOIN_WORKLOADS} else 12
    right = ours.read(ours.set_up(workload.make(size))())
    if isinstance(right, tuple):
        wrong = [(right[0], right[1] + 1, right[2]), (right[0][1:], right[1][1:], right[2][1:])]
    else:
        wrong = [right + 1e-3, right[1:], np.full(right.shape, np.nan)]
    for result in wrong:
        with pytest.raises(AssertionError, match="the peer differs"):
            peers.check_agreement(name, "the peer", right, result)


# ---- joins, by an oracle of loops --------------------------------------------------------------


def kept_by_loops(ious, scores, threshold):
    alive = np.ones(len(scores), bool)
    kept = []
    for best in np.argsort(-scores):
        if alive[best]:
            kept.append(best)
            alive &= ~(ious[best] > threshold)
    return np.sort(kept)


def pairs_by_loops(ious, once=False):
    rows, cols = np.nonzero(ious >= join_peers.PAIR_THRESHOLD)
    chosen = rows < cols if once else np.full(len(rows), True)
    return rows[chosen], cols[chosen], ious[rows[chosen], cols[chosen]]


def best_by_loops(ious):
    gated = np.where(ious >= join_peers.PAIR_THRESHOLD, ious, 0)
    gated = np.pad(gated, ((0, 0), (0, join_peers.BEST)))
    order = np.argsort(-gated, axis=1, kind="stable")[:, : join_peers.BEST]
    values = np.take_along_axis(gated, order, axis=1)
    indices = np.where(values > 0, order, -1)
    return indices, (indices >= 0).sum(1), values


def best_sum(gated, used=frozenset(), row=0):
    """All ways to match, one after the other."""
    if row == len(gated):
        return 0.0
    free = [col for col in np.flatnonzero(gated[row]) if col not in used]
    taken = (gated[row, col] + best_sum(gated, used | {col}, row + 1) for col in free)
    return max([best_sum(gated, used, row + 1), *taken])


def matched_as_coco(scene):
    """COCO's rule; NumPy scores in the order of lower corner and size are pycocotools'."""
    found = np.zeros(len(scene.detections), np.int64)
    taken = set()
    for box in np.argsort(-scene.scores, kind="stable"):
        best = join_peers.COCO_THRESHOLD
        for truth in range(len(scene.truths)):
            same = all(of[0][box] == of[1][truth] for of in (scene.images, scene.classes))
            if not same or truth in taken:
                continue
            one, other = scene.detections[box], scene.truths[truth]
            sides = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
            sides = np.maximum(0, sides - np.maximum(one[:2], other[:2]))
            shared = sides.prod()
            iou = shared / (one[2:].prod() + other[2:].prod() - shared)
            if iou >= best:
                best, found[box] = iou, truth + 1
        taken.add(found[box] - 1)
        taken.discard(-1)
    return found


def by_loops(name, scene):
    if name == "match-coco":
        return matched_as_coco(scene)
    if name == "mask-nms":
        flat = scene.dense.reshape(len(scene.dense), -1).astype(np.int64)
        shared, areas = flat @ flat.T, flat.sum(1)
        ious = shared / (areas[:, None] + areas - shared)
        return kept_by_loops(ious, scene.scores, join_peers.MASK_THRESHOLD)
    if name in ("nms", "nms-pile"):
        ious = box_peers.numpy_scores(scene.boxes[:, None], scene.boxes)
        return kept_by_loops(ious, scene.scores, join_peers.BETWEEN)
    if name == "pairs-skewed":
        return pairs_by_loops(box_peers.numpy_scores(scene.boxes1[:, None], scene.boxes1), True)
    ious = box_peers.numpy_scores(scene.boxes1[:, None], scene.boxes2)
    if name == "pairs-large":
        return pairs_by_loops(ious)
    if name == "topk-large":
        return best_by_loops(ious)
    gated = np.where(ious >= join_peers.MATCH_THRESHOLD, ious, 0)
    return np.array([best_sum(gated) / len(gated)])


@pytest.mark.parametrize("name", join_peers.JOIN_WORKLOADS)
@pytest.mark.parametrize("size", [1, 13, 40])
@pytest.mark.filterwarnings("default")  # of peers
def test_peers_do_what_loops_do(name, size):
    if name == "match-coco":
        size = min(size, 13)
    if name == "match-optimal":
        size = min(size, 25)
    scene = join_peers.JOIN_WORKLOADS[name].make(size)
    expected = by_loops(name, scene)
    installed = peers.available()
    for library, contender in join_peers.JOIN_WORKLOADS[name].contenders.items():
        if installed[library] and peers.LIBRARIES[library].kind == "peer":
            result = contender.read(contender.set_up(scene)())
            peers.check_agreement(name, library, expected, result)


def test_scenes_of_joins_are_what_their_notes_say():
    skewed = join_peers.skewed(20_000).boxes1
    assert ((skewed[:, 2:] - skewed[:, :2]).min(1) > 1000).sum() == 2
    piled = join_peers.pile(500).boxes
    assert (box_peers.numpy_scores(piled[:, None], piled) > 0).all()
    for scene in (join_peers.detections(1000), join_peers.pile(1000), join_peers.blobs(60)):
        scores = scene.scores.astype(np.float32)
        assert len(np.unique(scores)) == len(scores)
        assert 0 < scores.min() <= scores.max() <= 1
    masks = join_peers.blobs(60)
    kept = by_loops("mask-nms", masks)
    assert 20 <= len(kept) < 40
    boxes = join_peers.detections(2000)
    assert 0.5 < len(by_loops("nms", boxes)) / 2000 < 0.67


def test_no_score_of_boxes_is_at_the_threshold_between():
    for scene in (join_peers.detections(2000), join_peers.pile(1000)):
        ious = box_peers.numpy_scores(scene.boxes[:, None], scene.boxes)
        assert np.abs(ious - join_peers.BETWEEN).min() > 1e-6


# ---- the suite ---------------------------------------------------------------------------------


def test_discs_are_the_same_in_every_form(rng):
    discs = mask_peers.Discs(rng, 40, 65, 1, 32)
    dense = discs.packed().to_dense()
    np.testing.assert_array_equal(dense, discs.dense)
    np.testing.assert_array_equal(dense, discs.columns.transpose(2, 0, 1))
    assert (dense.any((1, 2))).all()


def test_every_contender_is_a_known_library():
    for workload in peers.WORKLOADS.values():
        assert set(workload.contenders) <= set(peers.LIBRARIES)
        assert set(workload.quick_sizes) <= set(workload.sizes)
        assert any(peers.LIBRARIES[name].kind == "bound" for name in workload.contenders)


def test_absent_libraries_are_skipped_by_name(monkeypatch):
    absent = peers.LIBRARIES["torch formula"]._replace(module="no_such_module")
    monkeypatch.setitem(peers.LIBRARIES, "torch formula", absent)
    assert not peers.available()["torch formula"]
    assert "torch formula" not in [name for name, _, _ in peers.set_up("dense", 3)]


def test_functions_that_are_absent_are_skipped_by_name(monkeypatch, tmp_path, capsys):
    row = peers.WORKLOADS["soft-iou"]._replace(functions=("soft_iou", "no_such_function"))
    monkeypatch.setitem(peers.WORKLOADS, "soft-iou", row)
    assert peers.lacking("soft-iou") == ["no_such_function"]
    out = tmp_path / "results.json"
    run.main(["--quick", "--out", str(out), "soft-iou"])
    assert "soft-iou is left out: this fastiou has no no_such_function" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["results"] == []
    assert "Not in this fastiou and left out: no_such_function." in report.page(
        written["run"], report.tables(written["results"]), []
    )


def test_growth_is_the_exponent_between_two_sizes():
    promise = next(row for row in report.PROMISES if row.since is not None)
    assert promise.since in peers.WORKLOADS[promise.workload].sizes

    def row(seconds, others=0.0):
        return {"fastiou": {"seconds": seconds, "cores_used_by_others": others}}

    assert not promise.is_measured({promise.size: row(1.0)})
    table = {promise.since: row(0.01), promise.size: row(1.0)}
    assert promise.is_measured(table)
    assert promise.of(table).endswith("| 1 as the power of n | yes |")
    assert promise.of({**table, promise.size: row(10.0)}).endswith("| **no** |")
    assert "†" in promise.of({**table, promise.since: row(0.01, others=1.0)})


def test_every_contender_has_a_colour():
    for workload in peers.WORKLOADS.values():
        for name in workload.contenders:
            assert peers.LIBRARIES[name].kind == "bound" or name in report.COLOURS


def test_promises_are_of_what_is_measured():
    for promise in report.PROMISES:
        if promise.workload in peers.WORKLOADS:
            assert promise.size in peers.WORKLOADS[promise.workload].sizes
    promise = next(row for row in report.PROMISES if row.workload == "mask-noise")
    fastest = {"kind": "peer", "over_fastiou": 12.0, "cores_used_by_others": 0.0}
    assert promise.line({"torch matmul": fastest}).endswith("| yes |")
    assert promise.line({"torch matmul": {**fastest, "over_fastiou": 9.0}}).endswith("| **no** |")
    assert promise.line({}).endswith("| not measured |")


def published():
    """The results that the page has, and the page; skips where this is an installed package."""
    root = Path(report.__file__).parents[1]
    page = root / "docs" / "benchmarks.md"
    if not page.exists():
        pytest.skip("there are no pages")
    date = page.read_text().partition(",")[0].split()[-1]
    return json.loads((root / "bench" / "results" / f"{date}.json").read_text()), page


def test_the_page_is_what_the_report_makes_of_the_published_results():
    results, page = published()
    found = report.tables(results["results"])
    gpu = report.newest_gpu_results(Path(report.__file__).parent / "results")
    made = report.page(results["run"], found, report.drawn(found), gpu)
    assert page.read_text() == made, "python -m bench.report bench/results/DATE.json"


def test_the_page_opens_with_what_is_ahead_and_behind():
    results, page = published()
    opening = page.read_text().partition("## How it was measured")[0]
    for name, table in report.tables(results["results"]).items():
        for size, row in table.items():
            peer = report._fastest(row, "peer")
            if name in report.WORKLOADS and peer and peer["over_fastiou"] < 1:
                behind = opening.partition("## Where it is behind")[2]
                (line,) = re.findall(rf"^\| {re.escape(report.TITLES[name])} .*$", behind, re.M)
                assert f"{size:,}" in line


def test_a_thread_against_a_thread():
    def row(threaded, **others):
        peer = {"kind": "peer", "seconds": 8.0, "over_fastiou": 8.0, "threaded": threaded}
        return {"other": {**peer, "library": "other"}, **others}

    assert report.Standing("dense", 10, row(True)).on_one_thread(4) == 8
    assert report.Standing("dense", 10, row(False)).on_one_thread(4) == 2
    one = {"kind": "fastiou", "over_fastiou": 2.5}
    timed = report.Standing("dense", 10, row(False, **{"fastiou, 1 thread": one}))
    assert timed.on_one_thread(4) == 8 / 2.5


def test_rows_of_the_readme_are_rows_of_the_page():
    _, page = published()
    readme = (page.parents[1] / "README.md").read_text()
    rows = re.findall(r"^\| .* × \|$", readme, re.MULTILINE)
    assert len(rows) == 5
    assert any("| 0." in row for row in rows), "one of them is a loss"
    for row in rows:
        assert row in page.read_text()


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12, "12"), (999.6, "1 k"), (1.2345e9, "1.23 G"), (2e13, "20 T")]
)
def test_amounts_have_prefixes(value, text):
    assert report.amount(value) == text


def test_ratios_are_paired():
    samples = {"fastiou": {0: 1.0, 1: 10.0, 2: 2.0}, "slow": {1: 20.0, 2: 8.0}}
    ours, slow = run.records("dense", 3, samples, "fastiou")
    assert ours["seconds"] == 2
    assert ours["over_fastiou"] == 1
    assert slow["over_fastiou"] == 3  # median of 2 and 4
    assert slow["rounds"] == 2


def test_compare_gives_everyone_samples_beside_the_reference():
    calls = {"fastiou": lambda: None, "other": lambda: sum(range(10_000))}
    samples = run.compare(calls, "fastiou", seconds=0.01, least=3)
    assert len(samples["other"]) >= 3
    assert set(samples["other"]) <= set(samples["fastiou"])


def test_long_calls_are_made_a_few_times_only(monkeypatch):
    monkeypatch.setattr(run, "LONG_SECONDS", 0.005)
    monkeypatch.setattr(run, "WARM_SECONDS", 0.005)
    made = []
    calls = {"fastiou": lambda: None, "slow": lambda: (made.append(1), time.sleep(0.01))}
    samples = run.compare(calls, "fastiou", seconds=0.01, least=5)
    assert len(samples["slow"]) == run.FEW_ROUNDS
    assert len(made) == 1 + run.FEW_ROUNDS
    assert len(samples["fastiou"]) >= 5


def test_compare_ends_early_on_a_machine_that_turned_slow():
    naps = itertools.chain([0.001] * 3, itertools.repeat(0.02))
    samples = run.compare(
        {"fastiou": lambda: time.sleep(next(naps))}, "fastiou", seconds=0.05, least=3
    )
    assert 3 <= len(samples["fastiou"]) < 20


@pytest.mark.filterwarnings("default")  # of matplotlib and of peers
def test_run_and_report(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    small = {
        name: workload._replace(quick_sizes=workload.sizes[:2])
        for name, workload in peers.WORKLOADS.items()
        if name in ("dense", "aligned", "soft-iou")
    }
    monkeypatch.setattr(run, "WORKLOADS", small)
    monkeypatch.setattr(run, "MOST_ROUNDS", 3)
    monkeypatch.setattr(run, "REPEATS", 0)
    out = tmp_path / "results.json"
    run.main(["--quick", "--out", str(out), *small])
    written = json.loads(out.read_text())
    assert {row["workload"] for row in written["results"]} == set(small)
    assert str(tmp_path) not in out.read_text()
    report.main([str(out), "--docs", str(tmp_path)])
    page = (tmp_path / "benchmarks.md").read_text()
    assert small["dense"].title in page
    assert "fastiou, bytes read per second" in page
    assert small["soft-iou"].note in page
    assert (tmp_path / "benchmarks" / "dense.png").stat().st_size > 1000


# ---- scaling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("overlaps", [1, 10, 100])
def test_scenes_are_as_crowded_as_asked(overlaps):
    given = scaling.scene(3000, overlaps)
    assert given.boxes1.dtype == given.scores.dtype == np.float32
    ious = box_peers.numpy_scores(given.boxes1[:, None], given.boxes2)
    # Boxes at the border meet fewer, and those that touch do not count.
    assert 0.75 * overlaps < np.count_nonzero(ious) / 3000 < 1.1 * overlaps


def test_cases_vary_one_thing_at_a_time():
    for quick in (True, False):
        size = scaling.QUICK_SIZE if quick else scaling.SIZE
        usual = scaling.Case("nms", size)
        for sweep, case in scaling.cases(["nms"], quick=quick):
            assert case._replace(**{sweep.field: getattr(usual, sweep.field)}) == usual
            json.dumps(case)


@pytest.mark.parametrize("relation", scaling.RELATIONS)
def test_a_case_is_measured(relation, monkeypatch):
    monkeypatch.setattr(scaling, "WARM_SIZES", (10,))
    record = scaling.measured(scaling.Case(relation, 500))
    assert record["seconds"] > 0
    assert record["found"] > 0
    assert record["calls"] >= 1
    assert record["input_bytes"] == 500 * (16 + 16 + 4)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets an earlier peak")
def test_the_peak_is_that_of_the_call_alone():
    np.ones(2**24)  # 128 MiB, which are given back
    seconds, peak, result = scaling._peak_above(lambda: np.ones(2**23)[: 2**10].copy())
    assert seconds > 0
    assert len(result) == 2**10
    assert 60 * 2**20 < peak < 80 * 2**20


@pytest.mark.slow
def test_scaling_measures_and_draws(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    few = tuple(sweep._replace(quick_values=sweep.quick_values[:2]) for sweep in scaling.SWEEPS)
    few = (few[0]._replace(quick_values=(20, 50)), *few[1:])
    monkeypatch.setattr(scaling, "SWEEPS", few)
    monkeypatch.setattr(scaling, "QUICK_SIZE", 50)
    monkeypatch.setattr(scaling, "RELATIONS", {"pairs": scaling.RELATIONS["pairs"]})
    out = tmp_path / "scaling.json"
    arguments = ["--out", str(out), "--docs", str(tmp_path)]
    scaling.main(["--quick", *arguments])
    written = json.loads(out.read_text())
    assert len(written["results"]) == 6
    assert str(tmp_path) not in out.read_text()
    assert "pairs: time grows" in capsys.readouterr().out
    assert (tmp_path / "cost" / "time-by-size.png").stat().st_size > 1000
    scaling.main(["--quick", "--limit", "0.01", *arguments])
    assert "pairs, size 20: more than 0.01 s" in capsys.readouterr().out
    assert json.loads(out.read_text())["results"] == []


def test_scaling_draws_again_all_that_there_is(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    results = [
        {
            "sweep": sweep.field,
            **case._asdict(),
            "seconds": 1e-6 * case.size**1.1,
            "peak_bytes": 100 * case.size,
        }
        for sweep, case in scaling.cases(scaling.RELATIONS, quick=False)
    ]
    assert scaling.growth(results, "nms") == pytest.approx(1.1)
    stored = tmp_path / "scaling.json"
    facts = {"cpu": "a processor", "threads": 4, "size": scaling.SIZE}
    stored.write_text(json.dumps({"run": facts, "results": results}))
    scaling.main(["--from", str(stored), "--docs", str(tmp_path)])
    assert "6 plots" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "cost").iterdir())
    assert names == sorted(
        f"{what}-by-{field}.png"
        for what in ("time", "memory")
        for field in ("size", "overlaps", "threshold")
    )
