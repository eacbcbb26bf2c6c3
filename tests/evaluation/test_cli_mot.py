"""`fastiou eval mot`: scores of trackers, shown, written and required."""

import json

import pytest
from command_for_tests import run, run_well, words_of
from track_files_for_tests import GT, TRACKS, array, data_set, written

import fastiou
from fastiou.cli.evaluate import mot
from fastiou.evaluation.tracking_input import DISTRACTORS
from fastiou.evaluation.tracking_result import METRICS


def test_names_of_the_command_are_those_of_the_package():
    assert mot.METRICS == METRICS
    assert tuple(DISTRACTORS) == mot.BENCHMARKS


def test_the_command_shows_scores(tmp_path):
    gt, tracks = data_set(tmp_path)
    written(tmp_path / "tracks" / "other.txt", TRACKS)
    words = words_of(run_well("eval", "mot", gt, tracks, "--per-sequence"))
    result = fastiou.tracking_metrics(gt, tracks)
    for text in (
        "sequences 2, of 4 frames",
        "truth 6 boxes, 4 ids",
        f"HOTA {result.HOTA:.5f}",
        f"MOTA {result.MOTA:.5f}",
        f"IDF1 {result.IDF1:.5f}",
        "1 files of tracks without truth",
        "A-01 ",
        "COMBINED ",
    ):
        assert text in words
    assert "COMBINED" not in run_well("eval", "mot", gt, tracks).stdout


def test_the_command_scores_by_a_benchmark_and_some_metrics(tmp_path):
    gt = written(tmp_path / "gt.txt", GT + "1,3,80,0,10,20,1,8,1\n")
    tracks = written(tmp_path / "tracks.txt", TRACKS + "1,9,80,0,10,20,0.9,-1,-1,-1\n")
    words = words_of(run_well("eval", "mot", gt, tracks, "--metrics", "clear"))
    assert "FP 1" not in words_of(
        run_well("eval", "mot", gt, tracks, "--metrics", "clear", "--benchmark", "MOT17")
    )
    assert "TP 3, FP 0, FN 1" in words
    assert "HOTA" not in words
    result = run("eval", "mot", gt, tracks, "--metrics", "MOTA")
    assert (result.exit_code, result.stderr) == (
        2, "fastiou: --metrics must be some of HOTA,CLEAR,Identity, got 'MOTA'\n",
    )  # fmt: skip


def test_the_command_writes_json(tmp_path):
    gt, tracks = data_set(tmp_path)
    out = tmp_path / "scores.json"
    result = run_well("eval", "mot", gt, tracks, "--json", out, "--quiet")
    assert result.stdout == ""
    content = json.loads(out.read_text())
    expected = fastiou.tracking_metrics(gt, tracks)
    assert {name: content[name] for name in expected} == expected.as_dict()
    assert content["per_alpha"]["HOTA"] == expected.per_alpha["HOTA"].tolist()
    assert (
        content["sequences"]["A-01"] == fastiou.tracking_metrics(array(GT), array(TRACKS)).as_dict()
    )
    assert run("eval", "mot", gt, tracks, "--json", tmp_path / "a.txt").exit_code == 2
    gt_file = written(tmp_path / "gt.json", GT)
    overwritten = run("eval", "mot", gt_file, tracks / "A-01.txt", "--json", gt_file)
    assert "this is an input, and would be overwritten" in overwritten.stderr


def test_the_command_requires_scores(tmp_path):
    gt, tracks = data_set(tmp_path)
    files = "eval", "mot", gt, tracks, "--quiet"
    hota = fastiou.tracking_metrics(gt, tracks).HOTA
    run_well(*files, "--require", f"HOTA={hota!r}", "--require", "MOTA = -1")
    low = run(*files, "--require", "HOTA=0.9", "--require", "IDSW=1")
    assert low.exit_code == 1
    assert low.stderr.splitlines() == [
        f"fastiou: HOTA is {hota:.6g}, and 0.9 is required",
        "fastiou: IDSW is 0, and 1 is required",
    ]
    for text in ("HOTA", "HOTA=", "=0.5", "HOTA=half", "HOTA=nan"):
        result = run(*files, "--require", text)
        assert (result.exit_code, result.stderr) == (
            2, f"fastiou: --require must be NAME=VALUE, got {text!r}\n",
        )  # fmt: skip
    unknown = run(*files, "--require", "mota=0.5")
    assert unknown.exit_code == 2
    assert "--require mota: the scores are HOTA, DetA" in unknown.stderr


def test_the_command_names_what_is_missing(tmp_path):
    gt = written(tmp_path / "gt.txt", GT)
    for files in ((tmp_path / "none.txt", gt), (gt, tmp_path / "none.txt")):
        result = run("eval", "mot", *files)
        assert result.exit_code == 2
        assert "none.txt: no such file" in result.stderr


@pytest.mark.parametrize("text", ["1,1,0,0,10\n", GT + "3,1,0,0,ten,20,1,1,1\n", "{}", "\0", "é\n"])
def test_the_command_says_in_one_line_what_is_wrong(tmp_path, text):
    path = written(tmp_path / "a.txt", text)
    result = run("eval", "mot", path, written(tmp_path / "b.txt", TRACKS))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"fastiou: {path}:")
    assert result.stderr.count("\n") == 1


def test_the_command_tells_what_was_left_out(tmp_path):
    header = "frame,id,x,y,w,h,conf,class,visibility\n#1,1,0,0,10,20,1,1,1\n"
    gt = written(tmp_path / "gt.csv", header.replace("#", "") + GT.replace("1,1,0", "3,1,0"))
    commented = written(tmp_path / "a.csv", "#1,9,0,0,10,20,1,1,1\n" + header.replace("#", ""))
    result = run_well("eval", "mot", gt, commented, "--quiet")
    assert result.stderr == (
        f"fastiou: {commented}: 1 row that begins with # left out as comment\n"
    )
