"""The files that the command `fastiou` writes."""

from __future__ import annotations

import gzip
import importlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fastiou.formats.content import Floats, Integers
from fastiou.formats.errors import FileError, import_extra, special_kind

__all__ = [
    "OUTPUTS",
    "check_new_folder",
    "check_output",
    "folder_at_end",
    "replaced_at_end",
    "write_columns",
    "write_entries",
    "write_mot",
    "write_pairs",
]

#: Called now and then with the number of pairs written so far and in all.
Progress = Callable[[int, int], None]

#: Pairs written at a time.
BLOCK = 1 << 18


@contextmanager
def replaced_at_end(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its place only when it is complete.

    Parameters
    ----------
    path
        Where it goes. Whatever is there stays until the new file is complete, and if it fails.

    Yields
    ------
    file
        To write bytes to.

    Raises
    ------
    FileError
        What is there is no regular file, or there is no room.
    """
    _check_regular(path)
    target = _target(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise FileError(path, f"cannot be written: {error.strerror or error}") from None


def check_new_folder(path: Path) -> None:
    """Raise a FileError unless a folder can be made at a place."""
    if os.path.lexists(path):
        raise FileError(path, "this is there already", "a new folder")
    if not path.parent.is_dir():
        raise FileError(path, f"there is no folder {path.parent}")


@contextmanager
def folder_at_end(path: Path) -> Iterator[Path]:
    """Make a folder that takes its place only when it is complete.

    Parameters
    ----------
    path
        Where it goes; nothing may be there.

    Yields
    ------
    path
        A folder to write to.

    Raises
    ------
    FileError
        Something is there already, or there is no room.
    """
    check_new_folder(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir()
        yield temporary
        os.rename(temporary, path)  # noqa: PTH104
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        raise FileError(path, f"cannot be written: {error.strerror or error}") from None


def _target(path: Path) -> Path:
    """Where a file lies, all links followed."""
    return Path(os.path.realpath(path))  # `Path.resolve` raises a RuntimeError for a loop of links


def _check_regular(path: Path) -> None:
    """Raise a FileError if there is something at a place to write to that is no regular file.

    A new file would take the place of a device or a pipe, and nobody who reads from it would get
    anything.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise FileError(path, f"cannot be written to: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise FileError(path, "this is a folder", "a file to write to")
    if not stat.S_ISREG(mode):
        kind = special_kind(mode)
        raise FileError(path, f"no regular file, but {kind}", "a file to write to")


def _text_rows(template: str, *columns: npt.NDArray[Any]) -> bytes:
    """Rows of text, `template` filled with the columns of each."""
    cells = (_quoted(column) if column.dtype.kind == "U" else column.tolist() for column in columns)
    return "".join(map(template.format, *cells)).encode("utf-8", "backslashreplace")


def _quoted(column: npt.NDArray[Any]) -> list[str]:
    """Text as CSV has it: in quotes where it could be taken for several cells."""
    return [
        '"{}"'.format(text.replace('"', '""')) if any(mark in text for mark in ',"\r\n') else text
        for text in column.tolist()
    ]


def _blocks(found: Sequence[npt.NDArray[Any]], progress: Progress | None) -> Iterator[list[Any]]:
    """Parts of columns, few enough rows at a time to turn into something larger."""
    total = len(found[0])
    for first in range(0, total, BLOCK):
        yield [column[first : first + BLOCK] for column in found]
        if progress is not None:
            progress(min(first + BLOCK, total), total)


def _write_npz(
    file: BinaryIO, found: dict[str, npt.NDArray[Any]], progress: Progress | None
) -> None:
    np.savez(file, **found)  # type: ignore[arg-type]
    if progress is not None:
        progress(1, 1)


def _write_csv(
    file: BinaryIO, found: dict[str, npt.NDArray[Any]], progress: Progress | None
) -> None:
    file.write((",".join(found) + "\n").encode())
    template = ",".join(["{}"] * len(found)) + "\n"
    for block in _blocks(list(found.values()), progress):
        file.write(_text_rows(template, *block))


def _write_parquet(
    file: BinaryIO, found: dict[str, npt.NDArray[Any]], progress: Progress | None
) -> None:
    arrow = _arrow()
    parquet = importlib.import_module("pyarrow.parquet")
    schema = arrow.schema([(name, arrow.array(col[:0]).type) for name, col in found.items()])
    with parquet.ParquetWriter(file, schema) as writer:
        for block in _blocks(list(found.values()), progress):
            arrays = [arrow.array(column) for column in block]
            writer.write_table(arrow.table(arrays, schema=schema), row_group_size=BLOCK)


def _write_arrow(
    file: BinaryIO, found: dict[str, npt.NDArray[Any]], progress: Progress | None
) -> None:
    arrow = _arrow()
    ipc = importlib.import_module("pyarrow.ipc")
    schema = arrow.schema([(name, arrow.array(col[:0]).type) for name, col in found.items()])
    with ipc.new_file(file, schema) as writer:
        for block in _blocks(list(found.values()), progress):
            arrays = [arrow.array(column) for column in block]
            writer.write_batch(arrow.record_batch(arrays, schema=schema))


def _arrow() -> ModuleType:
    return import_extra("pyarrow", "parquet", "writing .arrow and .parquet")


_WRITERS: dict[str, Callable[[BinaryIO, dict[str, npt.NDArray[Any]], Progress | None], None]] = {
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
    ".feather": _write_arrow,
}

#: What is in no pair, as .npz has it: of label images, with the frames.
UNMATCHED = ("unmatched_rows", "unmatched_cols", "unmatched_row_frames", "unmatched_col_frames")

#: Name endings of the files that pairs are written to.
OUTPUTS = (".npz", ".csv", ".parquet")


def check_output(path: Path, endings: Sequence[str] = OUTPUTS) -> None:
    """Find out, before any work, whether a file could be written.

    Parameters
    ----------
    path
        The file.
    endings
        How its name may end.

    Raises
    ------
    FileError
        Its name ends otherwise; it is a folder, a device, a pipe or a socket; or its folder is
        missing or cannot be written to.
    ImportError
        It needs an extra that is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in endings:
        found = f"cannot write {suffix!r}" if suffix else "the name has no ending"
        raise FileError(path, found, " or ".join(endings))
    _check_regular(path)
    folder = _target(path).parent
    if not folder.is_dir():
        raise FileError(path, f"there is no folder {folder}")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FileError(path, f"the folder cannot be written to: {error.strerror}") from None
    if suffix in (".parquet", ".arrow", ".feather"):
        _arrow()


def write_pairs(
    path: Path,
    rows: Integers,
    cols: Integers,
    values: npt.NDArray[Any],
    frames: Integers | None = None,
    progress: Progress | None = None,
    unmatched: Sequence[Integers] | None = None,
    names: Mapping[str, npt.NDArray[Any]] | None = None,
) -> None:
    """Write pairs as columns named rows, cols, values and, where there are any, frames and names.

    Parameters
    ----------
    path
        A file that ends in one of `OUTPUTS`.
    rows, cols, values
        The pairs. They are written in blocks, never copied as a whole.
    frames
        Their frames, for pairs of labels.
    progress
        Called with the number of pairs written so far and in all.
    unmatched
        What is in no pair, in the order of `UNMATCHED`, for .npz alone.
    names
        Further columns, numbers or text.

    Raises
    ------
    FileError
        As `check_output`, or there is no room.
    """
    columns = {"rows": rows, "cols": cols, "values": values}
    if frames is not None:
        # Last, so that the first three are the same whatever was compared.
        columns["frames"] = frames
    columns |= names or {}
    if unmatched is not None and path.suffix.lower() == ".npz":
        # Of other lengths than the columns, which a table cannot have.
        columns |= dict(zip(UNMATCHED, unmatched, strict=False))
    write_columns(path, columns, progress)


def write_columns(
    path: Path,
    columns: dict[str, npt.NDArray[Any]],
    progress: Progress | None = None,
    endings: Sequence[str] = OUTPUTS,
) -> None:
    """Write columns, by name.

    Parameters
    ----------
    path
        A file that ends in one of `endings`.
    columns
        They are written in blocks, never copied as a whole.
    progress
        Called with the number of rows written so far and in all.
    endings
        How its name may end: `OUTPUTS`, .arrow or .feather.

    Raises
    ------
    FileError
        As `check_output`, or there is no room.
    """
    check_output(path, endings)
    write = _WRITERS[path.suffix.lower()]
    with replaced_at_end(path) as file:
        write(file, columns, progress)


def write_entries(path: Path, entries: Sequence[str]) -> None:
    """Write a list of JSON, one entry a line.

    Parameters
    ----------
    path
        The file.
    entries
        JSON each.

    Raises
    ------
    FileError
        There is no room.
    """
    with replaced_at_end(path) as file:
        file.write(b"[")
        for number, entry in enumerate(entries):
            file.write(f"{',' if number else ''}\n{entry}".encode())
        file.write(b"\n]\n")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of text, each of which ends itself.

    Raises
    ------
    FileError
        There is no room.
    """
    with replaced_at_end(path) as file:
        for line in lines:
            file.write(line.encode())


def write_mot(path: Path, frames: Integers, ids: Integers, boxes: Floats, scores: Floats) -> None:
    """Write boxes as MOT text, compressed by gzip.

    Parameters
    ----------
    path
        The file.
    frames, ids
        Frame and track of each box, shape (N,).
    boxes
        Shape (N, 4), xywh; written with two digits after the point.
    scores
        Confidence of each box, shape (N,).
    """
    # Without a time stamp or a name inside, equal content makes equal files.
    with (
        replaced_at_end(path) as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        template = "{},{},{:.2f},{:.2f},{:.2f},{:.2f},{:.3f},-1,-1,-1\n"
        packed.write(_text_rows(template, frames, ids, *boxes.T, scores))
