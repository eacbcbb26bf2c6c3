"""Files of sequences, in folders laid out as MOTChallenge has them."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import NamedTuple

from fastiou.formats.errors import FileError

__all__ = ["Sequences", "frames_told", "sequence_name", "sequences_in"]

#: Endings of files of sequences.
ENDINGS = (".txt", ".txt.gz")


class Sequences(NamedTuple):
    """The files of sequences."""

    #: The truth and the tracks of each, by name.
    files: dict[str, tuple[Path, Path]]
    #: Files of tracks for which there is no truth.
    left_out: tuple[Path, ...]


def sequence_name(path: Path) -> str:
    """What a file of a sequence is called: SEQ of SEQ/gt/gt.txt, of SEQ.txt and of SEQ.txt.gz."""
    name = path.name.removesuffix(".gz")
    folder = path.absolute().parent
    if name == "gt.txt" and folder.name == "gt":
        return folder.parent.name
    return Path(name).stem


def frames_told(path: Path) -> int | None:
    """How many frames a sequence has by its seqinfo.ini, beside the folder gt of gt.txt.

    Raises
    ------
    FileError
        There is one, and it does not tell.
    """
    folder = path.absolute().parent
    told = folder.parent / "seqinfo.ini"
    if folder.name != "gt" or not told.is_file():
        return None
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(told.read_text(encoding="utf-8-sig"))
        frames = int(parser["Sequence"]["seqLength"])
    except (OSError, KeyError, ValueError, configparser.Error):
        raise FileError(told, "no seqLength", "[Sequence] with seqLength=N") from None
    return frames


def sequences_in(gt: Path, tracks: Path) -> Sequences:
    """Find the sequences of which there is truth, and the tracks of each.

    Parameters
    ----------
    gt
        A folder with SEQ/gt/gt.txt, or with SEQ.txt, for each sequence; or that of one sequence,
        with gt/gt.txt.
    tracks
        A folder with SEQ.txt for each sequence, or with data/SEQ.txt. All may be compressed by
        gzip. A file, for the truth of one sequence.

    Raises
    ------
    FileError
        There is no truth, or a sequence has no tracks.
    """
    own = _truth_of(gt)
    if own is not None:
        name = gt.absolute().name
        if tracks.is_dir():
            return Sequences({name: (own, _tracks_of(name, tracks, _files_in(tracks)))}, ())
        return Sequences({name: (own, tracks)}, ())
    if not tracks.is_dir():
        found = "this is a file" if tracks.exists() else "no such folder"
        raise FileError(tracks, found, f"a folder with the tracks of each sequence in {gt}")
    in_folders = {folder.name: _truth_of(folder) for folder in sorted(gt.iterdir())}
    truth = {name: file for name, file in in_folders.items() if file is not None}
    truth = truth or _only(gt, _files_in(gt))
    if not truth:
        expected = "SEQ/gt/gt.txt, or SEQ.txt, for each sequence SEQ"
        raise FileError(gt, "no truth of sequences", expected)
    known = _files_in(tracks)
    files = {name: (file, _tracks_of(name, tracks, known)) for name, file in truth.items()}
    used = {pair[1] for pair in files.values()}
    others = [file for files in known.values() for file in files if file not in used]
    return Sequences(files, tuple(others))


def _truth_of(folder: Path) -> Path | None:
    """The truth in the folder of a sequence, if it is one."""
    files = [folder / "gt" / f"gt{ending}" for ending in ENDINGS]
    return next((file for file in files if file.is_file()), None)


def _files_in(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder, or of data in it, by the sequences that they are named for."""
    inner = folder / "data"
    found: dict[str, list[Path]] = {}
    for place in (folder, inner) if inner.is_dir() else (folder,):
        for file in sorted(place.iterdir()):
            ending = next((end for end in ENDINGS if file.name.endswith(end)), None)
            if ending is not None and not file.name.startswith(".") and file.is_file():
                found.setdefault(file.name.removesuffix(ending), []).append(file)
    return found


def _only(folder: Path, found: dict[str, list[Path]]) -> dict[str, Path]:
    """The one file of each sequence."""
    for name, files in found.items():
        if len(files) > 1:
            named = " and ".join(str(file.relative_to(folder)) for file in files)
            raise FileError(folder, f"{named} for one sequence", f"one file for {name}")
    return {name: files[0] for name, files in found.items()}


def _tracks_of(name: str, folder: Path, found: dict[str, list[Path]]) -> Path:
    if name not in found:
        raise FileError(folder, f"no {name}.txt", "the tracks of each sequence that has truth")
    return _only(folder, {name: found[name]})[name]
