"""HOTA, CLEAR and Identity: against an oracle, the numbers of TrackEval, and rule by rule."""

import copy
import gzip
import json
import pickle

import numpy as np
import pytest

import fastiou
from fastiou.evaluation.assignment import ASSIGN, work_arrays

pytest.importorskip("scipy", exc_type=ImportError, reason="the oracle needs SciPy")

import tracks_for_tests as oracle
from scipy.optimize import linear_sum_assignment

BOX = (0.0, 0.0, 10.0, 20.0)


def rows(*found, box=BOX):
    """Rows of (frame, id), or (frame, id, x)."""
    return [[frame, id_, *x, *box[len(x) :]] for frame, id_, *x in found]


def assert_same(result, values, arrays):
    """Counts are exact, all else to 1e-12."""
    assert result.values.keys() == values.keys()
    for name, value in values.items():
        if isinstance(result[name], int):
            assert result[name] == value, name
        else:
            assert result[name] == pytest.approx(value, rel=1e-12, abs=1e-12), name
    assert result.per_alpha.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_allclose(
            result.per_alpha[name], array, rtol=1e-12, atol=1e-12, err_msg=name
        )


# ---- the numbers of TrackEval ------------------------------------------------------------------


def of_mot17(folder, sequence):
    files = folder / "mot17"
    return files / f"{sequence}.gt.txt.gz", files / f"{sequence}-SDP.mpntrack.txt.gz"


def test_mot17_has_the_digits_of_trackeval(real_data):
    expected = real_data / "eval" / "mot17_02_mpntrack.json"
    if not expected.exists():
        pytest.skip(f"{expected} is not there")
    known = json.loads(expected.read_text())["MOT17-02-SDP"]
    result = fastiou.tracking_metrics(*of_mot17(real_data, "MOT17-02"), benchmark="mot17")
    for name, value in known.items():
        if name.endswith("_per_alpha"):
            own = result.per_alpha[name.removesuffix("_per_alpha")]
            np.testing.assert_allclose(own, value, rtol=0, atol=1e-12, err_msg=name)
        elif isinstance(result[name], int):
            assert result[name] == value, name
        else:
            assert result[name] == pytest.approx(value, abs=1e-12), name


def test_without_its_preprocessing_mot17_has_another_mota(real_data):
    result = fastiou.tracking_metrics(*of_mot17(real_data, "MOT17-02"), metrics="CLEAR")
    assert result["MOTA"] == pytest.approx(0.53571, abs=5e-6)


def test_mot17_as_the_oracle_has_it(real_data):
    gt, tracks = (
        np.loadtxt(gzip.decompress(path.read_bytes()).decode().splitlines(), delimiter=",")
        for path in of_mot17(real_data, "MOT17-02")
    )
    gt, tracks = gt[gt[:, 0] <= 60], tracks[tracks[:, 0] <= 60]
    for benchmark in ("mot17", "mot20", None):
        result = fastiou.tracking_metrics(gt, tracks, benchmark=benchmark)
        assert_same(result.sequences["sequence"], *oracle.scores(gt, tracks, benchmark))


# ---- against the oracle ------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True], ids=["anywhere", "ties"])
@pytest.mark.parametrize("rules", [None, "mot17", "mot20"])
@pytest.mark.parametrize("size", [12.0, 30.0])
def test_scenes_as_the_oracle_has_them(rng, whole, rules, size):
    for _ in range(25):
        gt, tracks = oracle.random_scene(
            rng, ids=int(rng.integers(1, 12)), frames=int(rng.integers(1, 8)), size=size,
            whole=whole, classes=rules is not None,
        )  # fmt: skip
        result = fastiou.tracking_metrics(gt, tracks, benchmark=rules)
        assert_same(result.sequences["sequence"], *oracle.scores(gt, tracks, rules))


def test_tracks_that_are_twice_there_are_ties_as_in_scipy(rng):
    """Of two tracks with the same boxes, which one is matched shows in IDSW and AssA."""
    for _ in range(40):
        gt, tracks = oracle.random_scene(rng, ids=4, frames=5, size=15.0, whole=True)
        twins = [[row[0], row[1] + 5000, *row[2:]] for row in tracks]
        both = [row for pair in zip(tracks, twins, strict=True) for row in pair]
        result = fastiou.tracking_metrics(gt, both)
        assert_same(result.sequences["sequence"], *oracle.scores(gt, both))


def test_several_sequences_are_combined_as_in_trackeval(rng):
    parts = {
        f"s{n}": oracle.random_scene(rng, ids=5, frames=4, classes=False) for n in range(3)
    } | {"blind": (rows((1, 1), (2, 1)), []), "vain": ([], rows((1, 1))), "empty": ([], [])}
    result = fastiou.tracking_metrics(parts)
    assert_same(result, *oracle.combined_scores(list(parts.values())))
    assert list(result.sequences) == sorted(parts)
    for name, (gt, tracks) in parts.items():
        assert_same(result.sequences[name], *oracle.scores(gt, tracks))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3000))
def test_many_scenes_as_the_oracle_has_them(seed):
    rng = np.random.default_rng(seed)
    benchmark = [None, "mot17", "mot20"][seed % 3]
    gt, tracks = oracle.random_scene(
        rng, ids=int(rng.integers(1, 15)), frames=int(rng.integers(1, 15)),
        size=float(rng.choice([5, 12, 30, 100])), whole=bool(rng.random() < 0.6),
        classes=benchmark is not None,
    )  # fmt: skip
    if rng.random() < 0.4:
        tracks += [[row[0], row[1] + 5000, *row[2:]] for row in tracks if rng.random() < 0.7]
        tracks = [tracks[place] for place in rng.permutation(len(tracks))]
    if not gt and benchmark is not None:
        return
    result = fastiou.tracking_metrics(gt, tracks, benchmark=benchmark)
    assert_same(result.sequences["sequence"], *oracle.scores(gt, tracks, benchmark))


@pytest.mark.thorough
@pytest.mark.parametrize("sequence", ["MOT17-02", "MOT17-04"])
def test_mot17_has_the_digits_of_a_port_of_trackeval(real_data, tmp_path, sequence):
    peer = pytest.importorskip("trackers.eval", exc_type=ImportError)
    files = []
    for path in of_mot17(real_data, sequence):
        files.append(tmp_path / path.stem)
        files[-1].write_bytes(gzip.decompress(path.read_bytes()))
    result = fastiou.tracking_metrics(*files, benchmark="mot17")
    known = peer.evaluate_mot_sequence(*files, ["HOTA", "CLEAR", "Identity"])
    for part in (known.HOTA, known.CLEAR, known.Identity):
        for name, value in part.to_dict().items():
            if name in result.values and not name.startswith("HOTA_"):
                assert result[name] == pytest.approx(value, rel=1e-12), name


# ---- assignments -------------------------------------------------------------------------------


def assigned(scores, margin=1e-12):
    """The pairs that the kernel chooses in a frame of these scores."""
    count1, count2 = scores.shape
    own, other = np.nonzero(scores)
    starts = np.searchsorted(own, np.arange(count1 + 1))
    partners = np.empty(count1, np.int64)
    work, costs = work_arrays(max(count1, count2, 1)), np.empty(count1 * count2)
    ends = (np.array([0, count]) for count in (count1, count2))
    done = ASSIGN.serial(
        *ends, starts, other.astype(np.int64), scores[own, other], margin, partners, *work, costs,
        0, 1,
    )  # fmt: skip
    assert done == 1
    return {(i, int(other[k])) for i, k in enumerate(partners) if k >= 0}


@pytest.mark.parametrize("levels", [1, 2, 3, 5, 100, None])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.6, 1.0])
def test_assignments_have_the_partners_of_scipy(rng, levels, share):
    for n in range(80):
        shape = rng.integers(1, 9 if n < 60 else 40, 2)
        scores = rng.random(shape)
        if levels is not None:
            scores = np.ceil(scores * levels) / levels
        scores[rng.random(shape) > share] = 0
        found = zip(*linear_sum_assignment(-scores), strict=True)
        assert assigned(scores) == {(i, j) for i, j in found if scores[i, j] > 0}


def test_costs_of_a_large_frame_find_room(rng):
    """More than fits in what is kept ready, in frames that are all ties."""
    count = 150
    boxes = [[1, n, n % 3, 0, 10, 10] for n in range(count)]
    others = [[1, n, n % 5, 0, 10, 10] for n in range(count)]
    result = fastiou.tracking_metrics(boxes, others)
    assert_same(result.sequences["sequence"], *oracle.scores(boxes, others))


# ---- rules -------------------------------------------------------------------------------------


def test_alphas_are_those_of_numpy_and_similarity_may_be_epsilon_below():
    result = fastiou.tracking_metrics(rows((1, 1)), rows((1, 1)))
    np.testing.assert_array_equal(result.alphas, np.arange(0.05, 0.99, 0.05), strict=True)
    # An IoU of 13/20 = .65, which is less than the 13th alpha, .6500000000000000222.
    near = fastiou.tracking_metrics([[1, 1, 0, 0, 20, 1]], [[1, 1, 0, 0, 13, 1]])
    assert result.alphas[12] > 0.65
    assert near.per_alpha["HOTA_TP"].tolist() == [1] * 13 + [0] * 6


def test_clear_takes_half_less_epsilon_and_identity_a_half():
    for width, clear, identity in ((5.0, 1, 1), (np.nextafter(5.0, 0), 1, 0), (4.999, 0, 0)):
        result = fastiou.tracking_metrics([[1, 1, 0, 0, 10, 1]], [[1, 1, 0, 0, width, 1]])
        assert (result["CLR_TP"], result["IDTP"]) == (clear, identity), width


def test_the_partner_of_the_frame_before_is_preferred():
    gt = rows((1, 1), (2, 1, 2.0))
    tracks = rows((1, 10), (2, 10), (2, 11, 2.0))
    assert fastiou.tracking_metrics(gt, tracks)["IDSW"] == 0
    assert fastiou.tracking_metrics(gt, tracks)["MOTP"] == pytest.approx((1 + 8 / 12) / 2)


def test_a_switch_is_told_by_the_last_match_ever():
    gt = rows(*((frame, 1) for frame in range(1, 6)))
    tracks = rows((1, 10), (5, 11))
    result = fastiou.tracking_metrics(gt, tracks)
    assert (result["IDSW"], result["Frag"]) == (1, 0)
    assert fastiou.tracking_metrics(gt, rows((1, 10), (5, 10)))["IDSW"] == 0


def test_frames_without_tracks_do_not_break_what_is_tracked():
    """TrackEval skips them: the partner of before stays preferred, and nothing is fragmented."""
    gt = rows((1, 1), (2, 1), (3, 1))
    assert fastiou.tracking_metrics(gt, rows((1, 10), (3, 10)))["Frag"] == 0
    apart = rows((1, 10), (2, 10, 500.0), (3, 10))
    assert fastiou.tracking_metrics(gt, apart)["Frag"] == 1


@pytest.mark.parametrize(
    ("hits", "expected"), [(8, "PT"), (9, "MT"), (2, "PT"), (1, "ML"), (10, "MT"), (0, "ML")]
)
def test_mostly_tracked_is_more_than_eight_tenths(hits, expected):
    gt = rows(*((frame, 1) for frame in range(1, 11)))
    tracks = rows((1, 9, 500.0), *((frame, 10) for frame in range(1, hits + 1)))
    result = fastiou.tracking_metrics(gt, tracks)
    assert {name: result[name] for name in ("MT", "PT", "ML")} == {
        "MT": 0, "PT": 0, "ML": 0, expected: 1,
    }  # fmt: skip


def test_a_sequence_without_tracks_has_loca_one():
    result = fastiou.tracking_metrics(rows((1, 1), (2, 1), (2, 2, 50.0)), [])
    assert result["LocA"] == result["LocA(0)"] == 1
    assert (result["HOTA"], result["CLR_FN"], result["ML"], result["IDFN"]) == (0, 3, 2, 3)
    alone = result.sequences["sequence"]
    assert (alone["MLR"], alone["MOTA"], alone["CLR_Frames"], alone["Frames"]) == (1, 0, 0, 2)


def test_a_sequence_without_truth_has_false_positives_alone():
    result = fastiou.tracking_metrics([], rows((1, 1), (2, 1)))
    assert (result["CLR_FP"], result["IDFP"], result["LocA"]) == (2, 2, 1)
    # Together with others it counts against them; alone, TrackEval has 0.
    assert (result["MOTA"], result.sequences["sequence"]["MOTA"]) == (-2, 0)
    assert result.sequences["sequence"]["MLR"] == 1


def test_truth_that_is_marked_by_zero_does_not_count():
    gt = [[1, 1, *BOX, 1, 1, 1], [1, 2, 50, *BOX[1:], 0, 1, 1]]
    tracks = rows((1, 1), (1, 2, 50.0))
    for benchmark in (None, "mot17"):
        result = fastiou.tracking_metrics(gt, tracks, benchmark=benchmark)
        assert (result["CLR_TP"], result["CLR_FP"], result["CLR_FN"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("class_", "mot17", "mot20"),
    [(1, 0, 0), (2, 0, 0), (6, 1, 0), (7, 0, 0), (8, 0, 0), (12, 0, 0), (3, 1, 1), (13, 1, 1)],
)
def test_tracks_on_distractors_are_left_out(class_, mot17, mot20):
    gt = [[1, 1, *BOX, 1, class_, 1], [1, 2, 50, *BOX[1:], 1, 1, 1]]
    tracks = rows((1, 1), (1, 2, 50.0))
    for benchmark, expected in (("mot17", mot17), ("mot20", mot20)):
        result = fastiou.tracking_metrics(gt, tracks, benchmark=benchmark)
        assert (result["CLR_FP"], result["GT_Dets"]) == (expected, 1 + (class_ == 1))


def test_a_track_on_a_person_and_a_distractor_is_on_whom_it_suits_better():
    gt = [[1, 1, *BOX, 1, 1, 1], [1, 2, 1, *BOX[1:], 1, 8, 1]]
    for x, kept in ((0.0, 1), (1.0, 0)):
        result = fastiou.tracking_metrics(gt, rows((1, 1, x)), benchmark="mot17")
        assert result["Dets"] == kept


def test_ids_need_not_be_dense_nor_positive(rng):
    gt, tracks = oracle.random_scene(rng, ids=5)
    expected = fastiou.tracking_metrics(gt, tracks).as_dict()
    known = sorted({row[1] for row in gt})
    names = dict(zip(known, rng.integers(-(2**52), 2**52, len(known)).tolist(), strict=True))
    renamed = [[row[0], names[row[1]], *row[2:]] for row in gt]
    assert fastiou.tracking_metrics(renamed, tracks).as_dict() == pytest.approx(expected, rel=1e-14)


def test_frames_may_be_far_apart_and_begin_at_zero():
    gt, tracks = rows((0, 1), (10**12, 1)), rows((0, 5), (10**12, 5))
    result = fastiou.tracking_metrics(gt, tracks)
    assert (result["HOTA"], result["Frames"]) == (1, 10**12 + 1)


# ---- the same bits -----------------------------------------------------------------------------


def bits(result):
    return {
        name: value.hex() if isinstance(value, float) else value for name, value in result.items()
    }


def test_order_of_rows_of_updates_and_ranks_change_no_bit(rng):
    scenes = {f"s{n}": oracle.random_scene(rng, ids=6, frames=5) for n in range(6)}
    whole = fastiou.TrackingEvaluator()
    for name, (gt, tracks) in scenes.items():
        whole.update(gt, tracks, sequence=name)
    expected = bits(whole.compute().as_dict())
    for _ in range(5):
        ranks = [fastiou.TrackingEvaluator() for _ in range(3)]
        for name in rng.permutation(list(scenes)):
            gt, tracks = scenes[name]
            ranks[rng.integers(3)].update(gt, tracks, sequence=str(name))
        first, *others = (ranks[n] for n in rng.permutation(3))
        first.merge(fastiou.TrackingEvaluator.from_state(others[0].state()), others[1].state())
        assert bits(first.compute().as_dict()) == expected


@pytest.mark.usefixtures("several_threads")
def test_threads_change_no_bit(rng, monkeypatch):
    gt, tracks = ([], [])
    for frame in range(1, 40):
        places = rng.uniform(0, 100, (60, 2))
        gt += [[frame, n, *place, 10, 10] for n, place in enumerate(places)]
        tracks += [[frame, n, *place, 10, 10] for n, place in enumerate(places + 1)]
    results = []
    for parallel in (False, True):
        monkeypatch.setattr("fastiou.runtime.threads.FORCED", parallel)
        results.append(bits(fastiou.tracking_metrics(gt, tracks).as_dict()))
    assert results[0] == results[1]


def test_steps_change_no_bit(rng, monkeypatch):
    gt, tracks = oracle.random_scene(rng, ids=8, frames=30)
    expected = bits(fastiou.tracking_metrics(gt, tracks).as_dict())
    monkeypatch.setattr("fastiou.runtime.steps.STEP", 1)
    assert bits(fastiou.tracking_metrics(gt, tracks).as_dict()) == expected


# ---- the evaluator and its result --------------------------------------------------------------


def test_a_state_is_plain_arrays_and_comes_back(rng):
    evaluator = fastiou.TrackingEvaluator(benchmark="mot20")
    assert evaluator.state()["hota"].shape == (0, 7, 19)
    for name in "ba":
        evaluator.update(*oracle.random_scene(rng, classes=True), sequence=name)
    state = evaluator.state()
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in state.values())
    assert state["sequences"].tolist() == ["a", "b"]
    again = fastiou.TrackingEvaluator.from_state(state)
    assert bits(again.compute().as_dict()) == bits(evaluator.compute().as_dict())
    assert repr(again) == repr(evaluator)
    with pytest.raises(ValueError, match="it lacks hota"):
        fastiou.TrackingEvaluator.from_state({k: v for k, v in state.items() if k != "hota"})


def test_a_sequence_comes_once():
    one, other = fastiou.TrackingEvaluator(), fastiou.TrackingEvaluator()
    one.update(rows((1, 1)), [], sequence="a")
    with pytest.raises(ValueError, match="the sequence 'a' was added before"):
        one.update(rows((1, 1)), [], sequence="a")
    other.update([], [], sequence="b")
    third = fastiou.TrackingEvaluator.from_state(one.state())
    with pytest.raises(ValueError, match="the sequence 'a' was added before"):
        one.merge(other, third)
    assert len(one.state()["sequences"]) == 1  # nothing of the others


def test_evaluators_of_other_options_are_not_merged():
    one = fastiou.TrackingEvaluator()
    with pytest.raises(ValueError, match="benchmark='mot17', and not None"):
        one.merge(fastiou.TrackingEvaluator(benchmark="mot17"))
    with pytest.raises(ValueError, match="other options: metrics="):
        one.merge(fastiou.TrackingEvaluator("HOTA"))
    with pytest.raises(TypeError, match="must be a TrackingEvaluator, or what its"):
        one.merge([])
    with pytest.raises(ValueError, match="it lacks sequences"):
        one.merge({"options": one.state()["options"]})
    with pytest.raises(ValueError, match="there is no sequence to score"):
        one.compute()


def test_metrics_that_are_asked_for_alone():
    every = fastiou.tracking_metrics(rows((1, 1)), rows((1, 1)))
    for metric, known, others in (
        ("HOTA", "DetA", "MOTA"), ("CLEAR", "MOTA", "IDF1"), ("Identity", "IDF1", "HOTA"),
    ):  # fmt: skip
        result = fastiou.tracking_metrics(rows((1, 1)), rows((1, 1)), metric)
        assert result[known] == every[known]
        assert others not in result.values
        assert bool(result.per_alpha) == (metric == "HOTA")


def test_a_result_shows_what_it_has():
    result = fastiou.tracking_metrics({"a": (rows((1, 1)), rows((1, 1))), "b": (rows((1, 1)), [])})
    assert repr(result) == (
        "<TrackingMetrics: 2 sequences; HOTA 0.5000, MOTA 0.5000, IDF1 0.6667, IDSW 0>"
    ).replace("HOTA 0.5000", f"HOTA {result.HOTA:.4f}")
    assert repr(result.sequences["a"]).startswith("<TrackingMetrics: a; HOTA 1.0000")
    assert result.as_dict("val/")["val/MOTA"] == result.MOTA == 0.5
    assert result.summary().splitlines()[0].split()[:4] == ["sequence", "HOTA", "DetA", "AssA"]
    assert [line.split()[0] for line in result.summary().splitlines()[1:]] == ["a", "b", "COMBINED"]
    assert len(result.summary(per_sequence=False).splitlines()) == 2
    assert "MOTA" in dir(result)
    with pytest.raises(KeyError, match="'mota' is none of HOTA"):
        result["mota"]
    with pytest.raises(AttributeError, match="has no attribute 'mota'"):
        result.mota  # noqa: B018
    assert set(map(type, result.as_dict().values())) == {int, float}


def test_a_result_is_a_data_frame():
    pandas = pytest.importorskip("pandas", exc_type=ImportError, reason="pandas is not installed")
    result = fastiou.tracking_metrics(rows((1, 1)), rows((1, 1)))
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["sequence"].tolist() == ["sequence", "COMBINED"]
    assert frame["IDSW"].dtype == np.int64


def test_results_and_evaluators_are_copied_and_pickled():
    evaluator = fastiou.TrackingEvaluator()
    evaluator.update(rows((1, 1)), rows((1, 1)), sequence="a")
    assert repr(evaluator) == "<TrackingEvaluator: HOTA, CLEAR, Identity; 1 sequence>"
    again = copy.deepcopy(pickle.loads(pickle.dumps(evaluator)))
    result = pickle.loads(pickle.dumps(evaluator.compute()))
    assert again.compute().as_dict() == copy.copy(result).as_dict() == result.as_dict()
    assert list(result) == list(result.values)


def test_nothing_is_printed(capsys):
    fastiou.tracking_metrics(rows((1, 1)), rows((1, 1)))
    assert capsys.readouterr() == ("", "")
