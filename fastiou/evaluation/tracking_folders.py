"""Folders of several sequences, laid out as MOTChallenge has them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fastiou.formats.errors import FileError

__all__ = ["Sequences", "sequences_in"]

#: Endings of files of sequences.
ENDINGS = (".txt", ".txt.gz")


class Sequences(NamedTuple):
    """The files of sequences."""

    #: The truth and the tracks of each, by name.
    files: dict[str, tuple[Path, Path]]
    #: Files of tracks for which there is no truth.
    left_out: tuple[Path, ...]


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
