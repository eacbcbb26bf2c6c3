"""Folders whose files are written with the kept rows alone."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from command_for_tests import run, run_well

HEAD = "image,x1,y1,x2,y2,score\n"


def texts_in(folder: Path) -> dict[str, str]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_text() for file in files}


def write_texts(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (
            {
                "a.txt": "0 .5 .5 .2 .2 .9\n0 .5 .5 .2 .21 .8\n\n1 .5 .5 .2 .2 .7\n",
                "c.txt": "",
                "sub/b.txt": "1 .5 .5 .2 .2 .9\n1 .5 .5 .2 .21 .95",
                "classes.txt": "cat\ndog\n",
            },
            {
                "a.txt": "0 .5 .5 .2 .2 .9\n1 .5 .5 .2 .2 .7\n",
                "c.txt": "",
                "sub/b.txt": "1 .5 .5 .2 .21 .95\n",
                "classes.txt": "cat\ndog\n",
            },
        ),
        (
            {
                "s.csv": f"{HEAD}a,0,0,4,4,0.9\nb,,,,,\na,0,0,4,5,0.8\n",
                "t.csv": f"{HEAD}d,0,0,4,4,0.7\n",
            },
            {"s.csv": f"{HEAD}a,0,0,4,4,0.9\n", "t.csv": f"{HEAD}d,0,0,4,4,0.7\n"},
        ),
    ],
)
def test_what_is_kept_of_a_folder(
    tmp_path: Path, texts: dict[str, str], kept: dict[str, str]
) -> None:
    folder, out = write_texts(tmp_path / "in", texts), tmp_path / "out"
    run_well("nms", folder, "--out", out)
    assert texts_in(out) == kept
    assert texts_in(folder) == texts
    again = run("nms", folder, "--out", out)
    assert (again.exit_code, "this is there already" in again.stderr) == (2, True)
    run_well("nms", out, "--out", tmp_path / "again")
    assert texts_in(tmp_path / "again") == kept


def test_rows_are_kept_as_they_are(tmp_path: Path) -> None:
    head = "image x1 y1 x2 y2 score note"
    rows = [row.replace(" ", "\t") for row in (head, "a 0 0 4 4 0.9 ", "a 0 0 4 5 0.8 ")]
    folder, out = write_texts(tmp_path / "in", {"a.tsv": "\r\n".join(rows)}), tmp_path / "out"
    with gzip.open(folder / "b.csv.gz", "wt") as file:
        file.write(f'{HEAD}"b, c.jpg",0,0,4,4,0.9\n')
    run_well("nms", folder / "a.tsv", "--out", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == f"{rows[0]}\n{rows[1]}\n"
    run_well("nms", folder, "--out", out)
    kept = {"a.tsv": f"{rows[0]}\n{rows[1]}\n", "b.csv": f'{HEAD}"b, c.jpg",0,0,4,4,0.9\n'}
    assert texts_in(out) == kept
    run_well("nms", out, "--out", tmp_path / "again")
    assert texts_in(tmp_path / "again") == kept


def test_where_a_folder_cannot_be_made(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "in", {"a.txt": "0 .5 .5 .2 .2 .9\n"})
    for out, words in (
        (tmp_path / "no" / "out", "there is no folder "),
        (folder / "kept", "this is within the input"),
    ):
        refused = run("nms", folder, "--out", out)
        assert (refused.exit_code, words in refused.stderr) == (2, True)
    assert texts_in(folder) == {"a.txt": "0 .5 .5 .2 .2 .9\n"}


def test_folders_of_other_files_are_not_written(tmp_path: Path) -> None:
    result = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "score": 0.5}
    folder = write_texts(tmp_path / "in", {"a.json": json.dumps([result])})
    refused = run("nms", folder, "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "boxes as coco, expected csv or jsonl or " in refused.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in"]
    refused = run("nms", folder, "--out", tmp_path / "out.txt")
    assert "a name without an ending is a folder of the same files" in refused.stderr


def test_scores_that_are_lowered_are_not_written_and_that_is_told(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "in", {"a.txt": "0 .5 .5 .2 .2 .9\n0 .5 .5 .2 .21 .8\n"})
    words = "scores are written as they are in {}, not as gaussian lowers them, which"
    outs = ((folder, tmp_path / "out"), (folder / "a.txt", tmp_path / "out.txt"))
    for path, out in outs:
        shown = run_well("nms", path, "--method", "gaussian", "--quiet", "--out", out)
        assert words.format(path.name) in " ".join(shown.stderr.split())
    assert (tmp_path / "out.txt").read_text() == (folder / "a.txt").read_text()
    shown = run_well("nms", folder, "--method", "gaussian", "--out", tmp_path / "out.csv")
    assert shown.stderr == ""
    assert float((tmp_path / "out.csv").read_text().splitlines()[2].split(",")[1]) < 0.4
    assert run_well("nms", folder / "a.txt", "--out", tmp_path / "hard.txt").stderr == ""
