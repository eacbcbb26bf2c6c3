"""Label images: the pairs of labels in the frames that two files share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import fastiou
from fastiou.cli.display import LOADING, Clock
from fastiou.cli.kinds import Found, Kind
from fastiou.cli.options import MatchOptions, Options
from fastiou.formats.errors import FileError, RefusedError
from fastiou.formats.images import LabelFile, shared_frames
from fastiou.typing import Array

__all__ = ["Labels"]

#: Names of images that a summary lists.
NAMES_SHOWN = 3


class Labels(Kind):
    """Label images, compared frame by frame."""

    name = "labels"
    noun = "label images"
    compared = " that share pixels"

    def check(self, options: Options, *formats: str | None) -> None:
        """See `Kind.check`."""
        super().check(options, *formats)
        if options.by is not None:
            raise RefusedError(
                "--by and --no-groups are not for label images: labels meet within frames"
            )
        if options.method != "pairs":
            method = options.method
            raise RefusedError(f"--method {method} is for boxes and masks; labels have pairs")

    def find(self, a: LabelFile, b: LabelFile, options: MatchOptions, clock: Clock) -> Found:
        """See `Kind.find`."""
        shared = shared_frames(a, b)
        with clock.stage(LOADING):
            compare, count = fastiou.label_iou, fastiou.label_overlap
        objects_a = objects_b = pixels = in_all = tested = 0
        parts = []
        with clock.stage("matching") as update:
            for done, (number_a, number_b) in enumerate(shared.numbers):
                update(done, len(shared.numbers))
                with clock.apart("reading", "matching"):
                    one, other = _read_frames(a, b, number_a, number_b)
                pixels += one.size
                rows, cols, values = compare(one, other, options.metric)
                tested += len(values)
                kept = values >= options.threshold
                frames = np.full(np.count_nonzero(kept), number_a)
                parts.append((rows[kept], cols[kept], values[kept], frames))
                if not options.quiet:  # nobody else asks for the number of objects
                    with clock.apart("counting objects", "matching"):
                        occurring = count(one, other)[:2]
                        count_a, count_b = (int(np.count_nonzero(np.unique(x))) for x in occurring)
                        objects_a += count_a
                        objects_b += count_b
                        in_all += count_a * count_b
            rows, cols, values, frames = _concatenated(
                _of_one_type(parts), [np.int64, np.int64, np.float64, np.int64]
            )

        def describe() -> dict[str, str]:
            facts = {
                "objects in A": f"{objects_a:,} from {_described(a)}",
                "objects in B": f"{objects_b:,} from {_described(b)}",
                "frames": f"{len(shared.numbers):,}" + (" by name" if a.names else ""),
            }
            for side, names in (("A", shared.only_a), ("B", shared.only_b)):
                if names:
                    some = ", ".join(names[:NAMES_SHOWN])
                    more = ", …" if len(names) > NAMES_SHOWN else ""
                    facts[f"only in {side}"] = f"{len(names):,}, not compared: {some}{more}"
            return facts

        sizes, work = (objects_a, objects_b), ("pixels", pixels)
        return Found(rows, cols, values, sizes, in_all, tested, work, describe, frames)


def _read_frames(a: LabelFile, b: LabelFile, number_a: int, number_b: int) -> tuple[Array, Array]:
    one, other = a.read(number_a), b.read(number_b)
    if one.shape != other.shape:
        where = None if b.count == 1 else f"frame {number_b}"
        where = b.names[number_b] if b.names else where
        found, expected = (" × ".join(map(str, image.shape)) + " pixels" for image in (other, one))
        raise FileError(b.path, found, f"{expected}, as {a.path} has", where)
    return one, other


def _concatenated(parts: Sequence[tuple[Array, ...]], dtypes: list[Any]) -> list[Array]:
    """The columns of all parts, of these types where there is none."""
    empty = [np.empty(0, dtype) for dtype in dtypes]
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)] or empty


def _of_one_type(parts: Sequence[tuple[Array, ...]]) -> Sequence[tuple[Array, ...]]:
    """Labels of all frames as int64, or as uint64 where one is 2⁶³ or more."""
    for column in (0, 1):
        labels = [part[column] for part in parts]
        if {part.dtype.kind for part in labels} == {"i", "u"}:  # joined, they would be floats
            if any(part.dtype.kind == "i" and part.min(initial=0) < 0 for part in labels):
                raise RefusedError(
                    "some labels are below 0 and some are 2**63 or more: they have no integer "
                    "type in common"
                )
            parts = [
                (*part[:column], part[column].astype(np.uint64), *part[column + 1 :])
                for part in parts
            ]
    return parts


def _described(file: LabelFile) -> str:
    if not file.names:
        return f"{file.path.name} ({file.kind})"
    ignored = f", {file.ignored:,} other files left out" if file.ignored else ""
    panoptic = "panoptic " if file.kind.startswith("panoptic") else ""
    return f"{file.path} ({file.count:,} {panoptic}images{ignored})"
