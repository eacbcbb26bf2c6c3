"""Files and folders of label images, the truth and what is scored against it."""

from __future__ import annotations

from pathlib import Path

from fastiou.formats.errors import FileError
from fastiou.formats.images import LabelFile, SharedFrames, read_labels, shared_frames

__all__ = ["fault_of_frames", "label_files"]


def label_files(
    target: Path, pred: Path, format_: str | None = None
) -> tuple[LabelFile, LabelFile, SharedFrames]:
    """Both files or folders, opened, and the frames to be scored: all of the truth.

    `format_` is as for `formats.images.read_labels`.

    Raises
    ------
    FileError
        One of them cannot be used, or an image of the truth is missing in the other.
    """
    truth, found = (read_labels(path, format=format_) for path in (target, pred))
    shared = shared_frames(truth, found)
    if shared.only_a:
        raise FileError(
            found.path, f"no image of the name {shared.only_a[0]!r}", "one for each image"
        )
    return truth, found, shared


def fault_of_frames(
    truth: LabelFile, found: LabelFile, numbers: tuple[int, int], message: str
) -> FileError:
    """The error of what is said of an argument, which begins with its name."""
    name, _, told = message.partition(" ")
    file, number = (found, numbers[1]) if name == "pred" else (truth, numbers[0])
    where = file.names[number] if file.names else None if file.count == 1 else f"frame {number}"
    return FileError(file.path, told if name in ("pred", "target") else message, None, where)
