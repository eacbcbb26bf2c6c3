"""How the command ends where it cannot write."""

import contextlib
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from command_for_tests import run, run_well

from fastiou.cli import outputs
from fastiou.cli.demo import make_scene, write_scene
from fastiou.formats.errors import FileError

POSIX = pytest.mark.skipif(os.name != "posix", reason="this system has no such files or signals")


@pytest.fixture
def boxes(tmp_path):
    """A file of boxes."""
    path = tmp_path / "boxes.npy"
    np.save(path, np.array([[0.0, 0, 1, 1], [5, 5, 6, 6]]))
    return path


def refused(result, words):
    """Whether the command ended with code 2 and one line that has these words."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("fastiou: ")
    assert words in result.stderr


# ---- places that cannot be written to ----------------------------------------------------------


@contextlib.contextmanager
def listening(path):
    """A socket at a path, which may be at most 100 characters long."""
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)
        yield


@POSIX
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_regular_file_is_never_replaced(boxes, tmp_path, kind, linked):
    place = tmp_path / f"{kind}.csv"
    with contextlib.ExitStack() as stack:
        if kind == "pipe":
            os.mkfifo(place)
        elif kind == "device":
            place.symlink_to(os.devnull)
        else:
            stack.enter_context(listening(place))
        named = place
        if linked:
            named = tmp_path / "link.csv"
            named.symlink_to(place)
        mode = named.stat().st_mode
        refused(run("match", boxes, boxes, "--out", named), f"{named}: no regular file, but a ")
        refused(run("nms", "missing", "--out", named), "no regular file, but a ")
        for write in (outputs.write_entries, write_no_mot):
            with pytest.raises(FileError, match="no regular file"):
                write(named, [])
        assert named.stat().st_mode == mode
    left = {entry.name for entry in tmp_path.iterdir()} - {boxes.name, place.name, named.name}
    assert not left


def write_no_mot(path, _):
    none = np.empty(0, np.int64)
    outputs.write_mot(path, none, none, np.empty((0, 4)), np.empty(0))


@POSIX
def test_plots_go_to_regular_files_alone(boxes, tmp_path):
    plot = tmp_path / "plot.png"
    plot.symlink_to(os.devnull)
    refused(run("match", boxes, boxes, "--plot", plot), "no regular file, but a device")


@POSIX
def test_links_that_lead_nowhere(boxes, tmp_path):
    loop, other = tmp_path / "loop.csv", tmp_path / "other.csv"
    loop.symlink_to(loop)
    refused(run("match", boxes, boxes, "--out", loop), "Too many levels of symbolic links")
    refused(run("nms", boxes, "--out", loop), "Too many levels of symbolic links")
    refused(run("match", loop, boxes), "Too many levels of symbolic links")
    refused(run("match", boxes, boxes, "--out", loop / "pairs.csv"), "Too many levels")
    other.symlink_to(tmp_path / "new.csv")  # which will be there
    run_well("match", boxes, boxes, "--out", other)
    assert other.is_symlink()
    assert (tmp_path / "new.csv").read_text().count("\n") == 3


@POSIX
def test_the_files_of_a_scene_replace_no_device(tmp_path):
    (tmp_path / "truth.txt.gz").symlink_to(os.devnull)
    with pytest.raises(FileError, match="no regular file"):
        write_scene(make_scene(2), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch):
    """Here the hidden file, in which all is written first, is a device that is full."""
    monkeypatch.setattr(outputs, "_target", lambda _: FullPath(tmp_path / "pairs.csv"))
    with pytest.raises(FileError, match=r"pairs\.csv: cannot be written: No space left"):
        outputs.write_entries(tmp_path / "pairs.csv", ["{}"])


class FullPath(type(Path())):
    """A place beside which all files are full."""

    def with_name(self, _):
        return FullPath("/dev/full")

    def open(self, *_):
        return Path("/dev/full").open("wb")

    def unlink(self, **_):
        pass
