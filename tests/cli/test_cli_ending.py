"""How the command ends: places that cannot be written to, broken streams, and signals."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_for_tests import run, run_well

import fastiou
from fastiou.cli import outputs
from fastiou.cli.demo import make_scene, write_scene
from fastiou.formats.errors import FileError

ROOT = Path(fastiou.__file__).parents[1]

POSIX = pytest.mark.skipif(os.name != "posix", reason="this system has no such files or signals")

#: The command in a process of its own.
COMMAND = [sys.executable, "-m", "fastiou"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"}


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


# ---- broken streams ----------------------------------------------------------------------------


def ended(*arguments, shell, **environment):
    """What became of the command in a shell, with its streams as `shell` has them."""
    line = f'exec "$@" {shell}'
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        ["/bin/sh", "-c", line, "sh", *words],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@POSIX
@pytest.mark.parametrize(
    ("arguments", "shell", "words"),
    [
        (["match", "boxes", "boxes"], ">&-", "standard output is closed: pass --quiet"),
        (["demo"], ">&-", "standard output is closed"),
        (["--help"], ">&-", "standard output is closed"),
        (["match", "boxes", "boxes"], ">/dev/full", "standard output cannot be written to: No sp"),
        (["nms", "--help"], ">/dev/full", "standard output cannot be written to: No space left"),
        (["--version"], ">/dev/full", "standard output cannot be written to: No space left"),
        (["info"], ">/dev/full", "standard output cannot be written to: No space left"),
        (["info"], "</dev/null >/dev/full 2>&-", ""),
        (["info"], ">/dev/full 2>/dev/full", ""),
        (["match", "missing", "boxes"], "2>/dev/full", ""),
        (["match", "missing", "boxes"], "2>&-", ""),
    ],
)
def test_streams_that_cannot_be_written_to(boxes, arguments, shell, words):
    if "/dev/full" in shell and not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    result = ended(*(boxes if word == "boxes" else word for word in arguments), shell=shell)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert words in result.stderr
    assert result.stderr.count("\n") == (1 if words else 0)


@POSIX
@pytest.mark.parametrize(("shell", "options"), [(">&-", ["--quiet"]), ("<&-", []), ("2>&-", [])])
def test_streams_that_are_not_needed(boxes, tmp_path, shell, options):
    out = tmp_path / "pairs.csv"
    result = ended("match", boxes, boxes, "--out", out, *options, shell=shell)
    assert (result.returncode, result.stderr) == (0, "")
    assert out.read_text().count("\n") == 3


@POSIX
def test_nobody_reads_on(boxes):
    result = ended("match", boxes, boxes, shell="| true")
    assert (result.returncode, result.stderr) == (0, "")  # `true` ended last


# ---- threads that cannot be had ----------------------------------------------------------------


@pytest.fixture
def no_tbb(tmp_path):
    """Environment in which TBB is wanted, and its package is hidden."""
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes, pathlib\n"
        "glob = pathlib.Path.glob\n"
        "pathlib.Path.glob = lambda path, pattern: (\n"
        "    iter(()) if pattern.startswith('tbb-') else glob(path, pattern)\n"
        ")\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    return {"NUMBA_THREADING_LAYER": "tbb", "PYTHONPATH": path, "NUMBA_NUM_THREADS": "2"}


def unset_or_install(text):
    words = "the package tbb is not installed: pip install tbb, or unset NUMBA_THREADING_LAYER"
    return words in " ".join(text.replace("│", " ").split())


@pytest.mark.slow
@POSIX
@pytest.mark.skipif(sys.platform != "linux", reason="where TBB has a package")
def test_threads_that_cannot_be_had_are_told(boxes, no_tbb):
    told = ended("info", shell="", **no_tbb)
    assert (told.returncode, told.stderr) == (0, "")
    assert unset_or_install(told.stdout)
    for arguments in (["match", boxes, boxes], ["nms", boxes], ["demo"], ["warmup"]):
        result = ended(*arguments, shell="", **no_tbb)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert unset_or_install(result.stderr)
    assert ended("match", "--help", shell="", **no_tbb).returncode == 0
    unknown = ended("nms", boxes, shell="", NUMBA_THREADING_LAYER="pthreads")
    assert unknown.returncode == 2
    assert unknown.stderr.count("\n") == 1
    assert "'pthreads' is unknown to Numba: unset NUMBA_THREADING_LAYER" in unknown.stderr


# ---- signals -----------------------------------------------------------------------------------

#: Runs the command with a writer that waits, after it has written something.
WAITING = """
import sys, time
from fastiou.cli import main, outputs

def wait(file, found, progress):
    file.write(b"some")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)

outputs._WRITERS[".csv"] = wait
main.main(sys.argv[1:])
"""


@contextlib.contextmanager
def writing(boxes, *before):
    """The command, amid writing beside its input."""
    out = boxes.parent / "pairs.csv"
    words = [sys.executable, "-c", WAITING, "match", boxes, boxes, "--out", out]
    with subprocess.Popen(
        [*before, *map(str, words)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "writing\n", process.communicate()
            assert len(list(boxes.parent.glob(".pairs.csv.*"))) == 1
            yield process
        finally:
            process.kill()


@pytest.fixture
def hangups_end_processes():
    """Also where the tests run under nohup, whose children ignore them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@POSIX
@pytest.mark.usefixtures("hangups_end_processes")
@pytest.mark.parametrize(
    ("names", "code", "words"),
    [
        (["SIGTERM"], 143, "ended by SIGTERM"),
        (["SIGHUP"], 129, "ended by SIGHUP"),
        (["SIGTERM", "SIGTERM", "SIGHUP"], 143, "ended by SIGTERM"),
        (["SIGINT"], 130, "interrupted"),
    ],
)
def test_a_signal_while_writing_leaves_nothing_behind(boxes, names, code, words):
    (boxes.parent / "pairs.csv").write_text("of before\n")
    with writing(boxes) as process:
        for name in names:
            process.send_signal(getattr(signal, name))
            if len(names) > 1:
                time.sleep(0.01)  # equal signals that wait are one
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, f"fastiou: {words}\n")
    assert not list(boxes.parent.glob(".pairs.csv.*"))
    assert (boxes.parent / "pairs.csv").read_text() == "of before\n"


@POSIX
def test_a_signal_that_is_ignored_stays_so(boxes):
    ignoring = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    ignoring += "os.execv(sys.argv[1], sys.argv[1:])"
    with writing(boxes, sys.executable, "-c", ignoring) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143


@POSIX
@pytest.mark.usefixtures("hangups_end_processes")
def test_handlers_are_those_of_the_command_alone(boxes):
    code = f"""
import signal
import fastiou.cli.main
fastiou.pairs
numbers = signal.SIGTERM, signal.SIGHUP
assert all(signal.getsignal(number) == signal.SIG_DFL for number in numbers)
try:
    fastiou.cli.main.main(["match", {str(boxes)!r}, {str(boxes)!r}, "--quiet"])
except SystemExit as ended:
    assert not ended.code
assert all(signal.getsignal(number) == signal.SIG_DFL for number in numbers)
"""
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)


@POSIX
def test_a_signal_while_compiling_is_not_lost(boxes, tmp_path):
    """What is raised where LLVM calls Python is printed and forgotten."""
    code = f"""
import os, signal, sys
from numba.core.codegen import CPUCodeLibrary
import fastiou.cli.main
sent = []
hook = CPUCodeLibrary._object_compiled_hook
def compiled(*arguments):
    if not sent:
        sent.append(os.kill(os.getpid(), signal.SIGTERM))
    return hook(*arguments)
CPUCodeLibrary._object_compiled_hook = compiled
try:
    fastiou.cli.main.main(["match", {str(boxes)!r}, {str(boxes)!r}, "--quiet"])
except SystemExit as ended:
    sys.exit(ended.code if sent else 99)
"""
    environment = {**ENVIRONMENT, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (143, "fastiou: ended by SIGTERM\n")
