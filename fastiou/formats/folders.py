"""Folders with a file for each image or sequence, read as one: the names of files are a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.formats.content import BoxFile, Wanted
from fastiou.formats.errors import FileError
from fastiou.formats.images import LABEL_ENDINGS
from fastiou.tables.grouping import joined_keys
from fastiou.typing import Array

__all__ = ["files_in", "holds_boxes", "read_folder"]

#: Name endings of files with boxes.
ENDINGS = (".txt", ".csv", ".xml", ".json", ".jsonl", ".npy", ".npz", ".parquet", ".arrow")

#: Files beside annotations that hold none.
BESIDE = ("classes.txt", "readme.txt")


def files_in(path: Path) -> list[Path]:
    """The files with boxes in a folder, in the order of their names."""
    return sorted(
        file
        for file in path.iterdir()
        if _stem(file.name) is not None
        and not file.name.startswith(".")
        and file.name.lower() not in BESIDE
        and file.is_file()
    )


def _stem(name: str) -> str | None:
    """The name of a file without its ending; None if it has none of `ENDINGS`."""
    plain = name[:-3] if name.lower().endswith(".gz") else name
    ending = next((ending for ending in ENDINGS if plain.lower().endswith(ending)), None)
    return None if ending is None else plain[: -len(ending)]


def holds_boxes(path: Path) -> bool:
    """Whether a folder has files with boxes, and none that could be label images."""
    images = any(
        file.suffix.lower() in LABEL_ENDINGS for file in path.iterdir() if not file.is_dir()
    )
    return not images and bool(files_in(path))


def read_folder(
    path: Path, wanted: Wanted, read: Callable[[Path, Wanted], BoxFile | None]
) -> BoxFile:
    """Read all files with boxes in a folder.

    Parameters
    ----------
    path
        The folder.
    wanted
        What to read.
    read
        Reads a file, None if it is empty.

    Returns
    -------
    BoxFile
        Of all files, one after the other. Their names, without endings, are the key "image"; where
        the files tell images themselves, "video".

    Raises
    ------
    FileError
        There are no files with boxes, a file cannot be used, or they are of several formats.
    """
    paths = files_in(path)
    by = wanted.by
    everything = replace(wanted, by=None)  # which key the names are shows when a file is read
    files: list[tuple[str, BoxFile]] = []
    for file in paths:
        found = read(file, everything)
        if found is None:
            continue
        first = files[0][1] if files else found
        if (found.format, found.fmt) != (first.format, first.fmt):
            expected = f"{first.format} ({first.fmt}), as {files[0][1].path.name}"
            raise FileError(file, f"{found.format} ({found.fmt})", expected)
        if found.keys.keys() != first.keys.keys():
            has, expected = (" and ".join(f.keys) or "no keys" for f in (found, first))
            raise FileError(file, has, f"{expected}, as {files[0][1].path.name}")
        if wanted.scores_if_there and (found.scores is None) != (first.scores is None):
            has, expected = ("no scores" if f.scores is None else "scores" for f in (found, first))
            raise FileError(file, has, f"{expected}, as {files[0][1].path.name}")
        name = _stem(file.name) or file.name
        if files and name in dict(files):
            other = dict(files)[name].path.name
            raise FileError(file, f"of the same name as {other}", "one file for each image")
        files.append((name, found))
    if not files:
        raise FileError(path, "no file with boxes in this folder", f"files {', '.join(ENDINGS)}")
    first = files[0][1]
    key = next(name for name in ("image", "video", "file") if name not in first.keys)
    lengths = [len(file) for _, file in files]
    names = np.repeat(np.array([name for name, _ in files], np.str_), lengths)
    keys: dict[str, Any] = {key: names}
    keys |= {name: joined_keys([file.keys[name] for _, file in files]) for name in first.keys}
    for name in by or ():
        if name not in keys:
            raise FileError(path, f"there is no key {name!r}", " or ".join(keys))
    if by is not None:
        keys = {name: keys[name] for name in by}
    return replace(
        first,
        path=path,
        unused=tuple(dict.fromkeys(name for _, file in files for name in file.unused)),
        boxes=np.concatenate([file.boxes for _, file in files]),
        keys=keys,
        scores=_joined([file.scores for _, file in files]),
        crowds=_joined([file.crowds for _, file in files]),
        ids=_joined_ids([file.ids for _, file in files]),
    )


def _joined_ids(parts: Sequence[Array | None]) -> Array | None:
    known = [part for part in parts if part is not None]
    return joined_keys(known) if len(known) == len(parts) else None


def _joined(parts: Sequence[Any]) -> Any:
    return None if any(part is None for part in parts) else np.concatenate(parts)
