"""Folders with a file for each image or sequence, read as one: the names of files are a key."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np

from fastiou.formats.coco import MaskFile
from fastiou.formats.content import BoxFile, MemberFile, Wanted, kind_of, read_content
from fastiou.formats.errors import DoubtError, FileError, check_regular, shortened
from fastiou.formats.images import LABEL_ENDINGS, could_be_boxes, looks_like_labels
from fastiou.formats.numpy_files import npy_header
from fastiou.formats.skipped import Skipped
from fastiou.tables.column_names import key_meant, plain_name, told_by
from fastiou.tables.grouping import are_one_key, joined_keys
from fastiou.typing import Array

__all__ = ["BESIDE", "CLASS_FILES", "files_in", "holds_boxes", "read_folder"]

Member = TypeVar("Member", bound=MemberFile)

#: Name endings of files with boxes.
ENDINGS = (
    ".txt", ".csv", ".tsv", ".xml", ".json", ".jsonl", ".npy", ".npz", ".parquet", ".arrow",
    ".feather",
)  # fmt: skip

#: Files beside annotations that hold none.
BESIDE = ("classes.txt", "predefined_classes.txt", "readme.txt")

#: Lists of images that may lie there, how many lines tell so, and how each of them ends.
LISTS = ("train.txt", "val.txt", "valid.txt", "test.txt", "trainval.txt")
IMAGES_LOOKED_AT = 8
IMAGE = re.compile(rb"\.(jpe?g|png|bmp|tiff?|webp)\s*$", re.IGNORECASE)

#: Formats whose classes are numbers, and files in the folder that name them, a line each.
CLASSED, CLASS_FILES = ("yolo", "yolo-seg", "yolo-obb"), ("classes.txt", "obj.names")

#: Bytes that tell what an array holds, and how many notes of files are shown.
PIECE, NOTES_SHOWN = 4096, 3

#: Where the truth and the detections of a sequence of MOT lie.
TRUTH, DETECTIONS = Path("gt", "gt.txt"), Path("det", "det.txt")


def files_in(path: Path) -> dict[str, Path]:
    """The files with boxes in a folder and in those inside it, in order, each by its name as a key.

    A name has no ending, and in front of it the folders inside the first in which not all lie. The
    truth of a sequence of MOT has the name of the sequence; "gt" if the first folder is itself the
    sequence, so that two such folders are compared whatever they are called.

    Raises
    ------
    FileError
        Two have the same name, or one is no regular file.
    """
    found: dict[Path, Path] = {}
    for file in _walk(path, {os.path.realpath(path)}):
        stem = _stem(file.name)
        if stem is None or file.name.startswith(".") or file.name.lower() in BESIDE:
            continue
        if _is_list_of_images(file):
            continue
        check_regular(file)
        name = file.relative_to(path).with_name(stem)
        if file.relative_to(file.parent.parent) in (TRUTH, DETECTIONS) and file.parent != path:
            sequence = name.parent.parent
            name = sequence if sequence.name else Path(TRUTH.stem)
            if file.name == DETECTIONS.name and (file.parent.parent / TRUTH).is_file():
                continue  # detections beside the truth
        if name in found:
            other = found[name].relative_to(path)
            raise FileError(file, f"of the same name as {other}", "one file for each image")
        found[name] = file
    shared = Path(os.path.commonpath([name.parent for name in found])) if found else Path()
    return {name.relative_to(shared).as_posix(): file for name, file in found.items()}


def _is_list_of_images(path: Path) -> bool:
    """Whether it is one of the lists of images that YOLO has beside labels."""
    if path.name.lower() not in LISTS or not path.is_file():
        return False
    with path.open("rb") as file:
        lines = file.read(PIECE).splitlines()[:IMAGES_LOOKED_AT]
    named = [line for line in lines if line.strip()]
    return bool(named) and all(IMAGE.search(line) for line in named)


def _walk(path: Path, seen: set[str]) -> Iterator[Path]:
    """What lies in a folder, and in those inside it; none twice."""
    for entry in sorted(path.iterdir()):
        if not entry.is_dir():
            yield entry
        elif not entry.name.startswith(".") and (real := os.path.realpath(entry)) not in seen:
            seen.add(real)
            yield from _walk(entry, seen)


def _stem(name: str) -> str | None:
    """The name of a file without its ending; None if it has none of `ENDINGS`."""
    plain = name[:-3] if name.lower().endswith(".gz") else name
    ending = next((ending for ending in ENDINGS if plain.lower().endswith(ending)), None)
    return None if ending is None else plain[: -len(ending)]


def holds_boxes(path: Path) -> bool:
    """Whether a folder has files with boxes, and none that could be label images.

    Raises
    ------
    FileError
        It has arrays of integers alone, which could be either, or neither.
    """
    files = [
        file for file in sorted(path.iterdir())
        if file.suffix.lower() in LABEL_ENDINGS and not file.is_dir()
    ]  # fmt: skip
    images = [file for file in files if not _is_array_of_boxes(file)]
    opened = [file for file in images if file.suffix.lower() == ".npy" and file.is_file()]
    if images and len(opened) == len(files) and all(map(_is_open, opened)):
        raise FileError(path, "this could be npy or labels", "--format npy or labels")
    named = files_in(path)
    if images and not {*named.values()} <= {*opened}:
        stems = {file.stem for file in images}
        beside = next(
            (
                file for file in named.values()
                if _stem(file.name) in stems and file.suffix.lower() not in LABEL_ENDINGS
            ),
            None,
        )  # fmt: skip
        if beside is not None:
            found = f"{beside.name} lies beside an image of its name: annotations, or label images"
            raise FileError(path, found, "--geometry box for annotations, or --format labels")
    if images:
        return False
    if named:
        return True
    if not any(map(_is_packed_image, path.iterdir())):
        found = "neither files with boxes nor label images in this folder"
        raise FileError(path, found, f"files {', '.join(ENDINGS)}, or {', '.join(LABEL_ENDINGS)}")
    return False


def _is_packed_image(path: Path) -> bool:
    """Whether the name is that of a label image compressed by gzip."""
    return path.suffix.lower() == ".gz" and path.with_suffix("").suffix.lower() in LABEL_ENDINGS


def _is_open(path: Path) -> bool:
    """Whether an array could be boxes or labels."""
    return could_be_boxes(read_content(path))


def _is_array_of_boxes(path: Path) -> bool:
    """Whether a .npy file has as many columns as boxes, or boxes and scores."""
    if path.suffix.lower() != ".npy" or not path.is_file():
        return False
    with path.open("rb") as file:
        data = file.read(PIECE)
    header = npy_header(data) if kind_of(data) == "NPY" else None
    if header is None or looks_like_labels(data):
        return False
    shape, _ = header
    return len(shape) == 2 and shape[1] in (4, 5, 6)


def read_folder(
    path: Path,
    wanted: Wanted,
    read: Callable[[Path, Wanted, str | None], Member | None],
    empty: Member,
) -> Member:
    """Read all files with boxes, or with masks, in a folder.

    Parameters
    ----------
    path
        The folder.
    wanted
        What to read.
    read
        Reads a file, None if it is empty. The last argument is the format where others tell it.
    empty
        What is read where all files are empty.

    Returns
    -------
    BoxFile or MaskFile
        Of all files, one after the other. Their names, without endings, are the key "image"; where
        the files tell images themselves, "video".

    Raises
    ------
    FileError
        There are no files with boxes, a file cannot be used, or they are of several formats.
    """
    # Which key the names are shows when a file is read.
    everything = replace(wanted, by=None, also=wanted.by)
    files: list[tuple[str, Member]] = []
    named = files_in(path)
    in_doubt: dict[str, DoubtError] = {}
    for name, file in named.items():
        try:
            found = read(file, everything, None)
        except DoubtError as error:
            if error.format is None:
                raise
            in_doubt[name] = error
            continue
        if found is not None:
            _check_alike(file, found, files[0][1] if files else found, wanted)
            files.append((name, found))
    for name, doubt in in_doubt.items():
        if not files or files[0][1].format != doubt.format:
            raise doubt
        found = read(named[name], everything, doubt.format)
        assert found is not None
        _check_alike(named[name], found, files[0][1], wanted)
        files.append((name, found))
    if in_doubt:
        order = {name: place for place, name in enumerate(named)}
        files.sort(key=lambda pair: order[pair[0]])
    if not named:
        raise FileError(path, "no file with boxes in this folder", f"files {', '.join(ENDINGS)}")
    if not files:
        names = np.empty(0, np.str_)
        asked = [told_by(name)[0] or name for name in wanted.by or ("image",)]
        nothing: dict[str, Any] = {
            "keys": dict.fromkeys(asked, names),
            _sizes_in(empty): dict.fromkeys(named),
        }
        return replace(empty, **nothing)
    # Files of which all is left out may lack keys.
    first = next((file for _, file in files if len(file)), files[0][1])
    lengths = [len(file) for _, file in files]
    names = np.repeat(np.array([name for name, _ in files], np.str_), lengths)
    keys: dict[str, Array] = {}
    # The names of DOTA's results tell the class, which the reader has taken from there.
    if first.format != "dota-results" or "category" not in first.keys:
        key = next(name for name in ("image", "video", "file") if name not in first.keys)
        keys[key] = names
    nothing_in = {name: values[:0] for name, values in first.keys.items()}
    own = [file.keys if len(file) else nothing_in for _, file in files]
    keys |= {name: joined_keys([each[name] for each in own]) for name in first.keys}
    columns = _joined_columns(keys, [file for _, file in files])
    members = _joined_members(files)
    if wanted.sizes and keys.get("image") is names:  # some files may hold no object
        name = _sizes_in(first)
        members[name] = dict.fromkeys(named) | members[name]
    notes = (
        *_joined_notes([file for _, file in files]),
        *_named_otherwise(files),
        *_named_twice(files),
    )
    beside, told = _names_beside(path, first.format, keys.get("category"))
    if beside and told:
        notes = (*notes, f"{beside} does not name the classes: {told}")
    elif beside:
        names_of = _lines_of(path / beside)
        if names_of[0].startswith("#") or names_of[0].endswith(":"):
            head = shortened(repr(names_of[0]))
            notes = (*notes, f"{beside} begins with {head}, taken for the name of class 0")
        columns["category"] = {
            "category_name": np.array(names_of, np.str_)[keys["category"]],
            "class_number": keys["category"],
        }
        keys["category"] = columns["category"]["category_name"]
        members |= {"classes_in": beside}
        members["classes"] = dict(enumerate(names_of))
    if wanted.by is not None:
        by = wanted.by
        if isinstance(first, MaskFile):  # masks of two images have no common size
            by = ("image", *(name for name in by if key_meant(name, keys) != "image"))
        chosen: dict[str, Array] = {}
        kept: dict[str, dict[str, Array]] = {}
        for name in by:
            key, values = _chosen_key(path, name, keys, columns)
            chosen[key] = values
            if values is keys[key]:
                by_name = columns.get(key, {})
                kept[key] = {name: by_name[name]} if name in by_name else by_name
        keys, columns = chosen, kept
    unused = dict.fromkeys(name for _, file in files for name in file.unused)
    unused |= {
        f"{file.name} (a list of images)": None
        for file in _walk(path, {os.path.realpath(path)})
        if _is_list_of_images(file)
    }
    if any((file.parent.parent / DETECTIONS).is_file() for file in named.values()
           if file.parts[-2:] == TRUTH.parts):  # fmt: skip
        unused[f"{DETECTIONS.as_posix()} beside {TRUTH.as_posix()}"] = None
    return replace(
        first,
        path=path,
        unused=tuple(unused),
        notes=notes,
        **members,
        keys=keys,
        columns=columns,
        scores=_joined([file.scores for _, file in files]),
        crowds=_joined([file.crowds for _, file in files]),
        ignored=_joined([file.ignored for _, file in files]),
        ids=_joined_ids([file.ids for _, file in files]),
        skipped=Skipped.joined([file for _, file in files]),
        parts=tuple((named[name], file.entries) for name, file in files),
    )


def _sizes_in(file: MemberFile) -> str:
    """What a file calls the sizes of its images."""
    return "sizes" if isinstance(file, BoxFile) else "images"


def _check_alike(path: Path, found: MemberFile, first: MemberFile, wanted: Wanted) -> None:
    """Raise a FileError unless a file holds what the first one of its folder does."""
    if _kind(found) != _kind(first):
        raise FileError(path, _kind(found), f"{_kind(first)}, as {first.path.name}")
    if isinstance(found, MaskFile) and "image" in found.keys:
        raise FileError(path, "the masks of several images", "one image in a file of a folder")
    if len(found) and len(first) and found.keys.keys() != first.keys.keys():
        has, expected = (" and ".join(f.keys) or "no keys" for f in (found, first))
        raise FileError(path, has, f"{expected}, as {first.path.name}")
    if wanted.scores_if_there and (found.scores is None) != (first.scores is None):
        has, expected = ("no scores" if f.scores is None else "scores" for f in (found, first))
        raise FileError(path, has, f"{expected}, as {first.path.name}")


def _kind(file: MemberFile) -> str:
    return f"{file.format} ({file.fmt})" if isinstance(file, BoxFile) else file.format


def _joined_members(files: Sequence[tuple[str, MemberFile]]) -> dict[str, Any]:
    """The boxes of all files, or their masks with the sizes of their images."""
    of_boxes = [(name, file) for name, file in files if isinstance(file, BoxFile)]
    if of_boxes:
        return {
            "boxes": np.concatenate([file.boxes for _, file in of_boxes]),
            "sizes": _joined_facts([(name, file.sizes) for name, file in of_boxes]),
            "files": {}
            if _named_twice(files)
            else _named([(name, f.files) for name, f in of_boxes]),
            "classes": _named([(name, file.classes) for name, file in of_boxes]),
            "size_columns": of_boxes[0][1].size_columns,
        }
    masks = [(name, file) for name, file in files if isinstance(file, MaskFile)]
    return {
        "masks": [mask for _, file in masks for mask in file.masks],
        "images": {name: file.images[""] for name, file in masks},
        "places_told": [
            f"{file.path.name}:{file.where(index)}"
            for _, file in masks
            for index in range(len(file))
        ],
    }


def _named_twice(files: Sequence[tuple[str, MemberFile]]) -> tuple[str, ...]:
    """What is said of files of one image each, two of which tell the same name of it."""
    first: dict[str, str] = {}
    for name, file in files:
        told = file.files.get("", "")
        if told and first.setdefault(told, name) != name:
            both = f"{shortened(first[told])} and {shortened(name)}"
            return (f"{both} tell the same name of an image, {shortened(told)}: it is left aside",)
    return ()


def _named_otherwise(files: Sequence[tuple[str, MemberFile]]) -> tuple[str, ...]:
    """What is said of files of one image each that tell another name of it than their own."""
    others = [
        (file.path.name, told) for name, file in files if (told := file.files.get("", ""))
        and PurePath(name).name not in (told, told.rpartition(".")[0])
    ]  # fmt: skip
    if not others:
        return ()
    some = "1 file" if len(others) == 1 else f"{len(others):,} files"
    first, told = map(shortened, others[0])
    return (f"the name of the image in {some} is not that of the file, as in {first}: {told}",)


def _names_beside(path: Path, format_: str, classes: Array | None) -> tuple[str, str]:
    """The file in a folder that names its classes, "" if there is none, and why it does not."""
    beside = next((name for name in CLASS_FILES if (path / name).is_file()), "")
    if format_ not in CLASSED or classes is None or not beside:
        return "", ""
    try:
        names = _lines_of(path / beside)
    except UnicodeDecodeError:
        return beside, "it is not UTF-8 (iconv -f LATIN1 -t UTF-8 converts Latin-1)"
    except OSError as error:
        return beside, str(error)
    most = int(classes.max(initial=-1))
    if most >= len(names):
        count = "1 name" if len(names) == 1 else f"{len(names):,} names"
        return beside, f"it has {count}, and the largest class is {most:,}"
    if "" in names:
        return beside, f"line {names.index('') + 1:,} is blank"
    twice = next((name for name in names if names.count(name) > 1), None)
    return beside, "" if twice is None else f"it has {shortened(repr(twice))} twice"


def _lines_of(path: Path) -> list[str]:
    """The lines of a small text, without blank ones at the end."""
    return [line.strip() for line in path.read_text("utf-8-sig").rstrip().splitlines()]


def _joined_facts(
    files: Sequence[tuple[str, Mapping[int | str, Any]]],
) -> dict[int | str, Any]:
    """What all files tell of their images or classes; None of those of which two tell differently.

    Two files may have different images of one number. What a file tells of its only image, "", is
    told of the name of the file.
    """
    joined: dict[int | str, Any] = {}
    for name, facts in files:
        for number, fact in facts.items():
            key = name if number == "" else number
            joined[key] = fact if joined.setdefault(key, fact) == fact else None
    return joined


def _named(files: Sequence[tuple[str, Mapping[int | str, str]]]) -> dict[int | str, str]:
    """The names that all files tell; none where two tell differently."""
    joined = _joined_facts(files)
    return {} if None in joined.values() else joined


def _chosen_key(
    path: Path, name: str, keys: dict[str, Array], columns: dict[str, dict[str, Array]]
) -> tuple[str, Array]:
    """The key that a name stands for, and what tells it: a column by its name, or all."""
    told, _ = told_by(name)
    if told in keys:
        return told, keys[told]
    for key, by_name in columns.items():
        for column, values in by_name.items():
            if name not in keys and plain_name(column) == plain_name(name):
                return key, values
    known = key_meant(name, keys)
    if known is None:
        raise FileError(path, f"there is no key {name!r}", " or ".join(keys))
    return known, keys[known]


def _joined_columns(
    keys: dict[str, Array], files: Sequence[MemberFile]
) -> dict[str, dict[str, Array]]:
    """The columns of each key in all files, where all have them and they tell the same."""
    joined: dict[str, dict[str, Array]] = {}
    files = [file for file in files if len(file)] or files
    for key, first in files[0].columns.items():
        names = [name for name in first if all(name in f.columns.get(key, {}) for f in files)]
        columns = {name: joined_keys([file.columns[key][name] for file in files]) for name in names}
        joined[key] = {n: c for n, c in columns.items() if are_one_key(keys[key], c)}
    return joined


def _joined_notes(files: Sequence[MemberFile]) -> tuple[str, ...]:
    """The notes of the first few files that have some."""
    notes = [f"{file.path.name}: {note}" for file in files for note in file.notes]
    more = len(notes) - NOTES_SHOWN
    return (*notes[:NOTES_SHOWN], *([f"and {more:,} more such files"] if more > 0 else []))


def _joined_ids(parts: Sequence[Array | None]) -> Array | None:
    known = [part for part in parts if part is not None]
    return joined_keys(known) if len(known) == len(parts) else None


def _joined(parts: Sequence[Any]) -> Any:
    return None if any(part is None for part in parts) else np.concatenate(parts)
